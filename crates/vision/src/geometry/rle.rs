//! Run-length encoded masks.

use hotcoco::mask::fr_poly;

use super::bounds::ratio;
use crate::{Bounds, Limits, Rle};

/// Boundary points that drawing one annotation's outlines may walk: drawing keeps eight bytes of each. Five a pixel of
/// outline (as pycocotools does it), so this is an outline of three million pixels' length.
const BOUNDARY_POINTS: f64 = 16_000_000.0;

/// How finely pycocotools walks an outline.
const POINTS_PER_PIXEL: f64 = 5.0;

impl Rle {
    /// How many pixels it covers.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|count| u64::from(*count)).sum()
    }

    /// The smallest box around what it covers; none where it covers nothing.
    pub fn bounds(&self) -> Option<Bounds> {
        let height = u64::from(self.height);
        if height == 0 {
            return None;
        }
        let (mut left, mut right, mut top, mut bottom) = (u64::MAX, 0, u64::MAX, 0);
        for (start, end) in self.runs() {
            let last = end - 1;
            let (from, to) = (start / height, last / height);
            left = left.min(from);
            right = right.max(to + 1);
            // A run over a column's end covers the foot of one column and the head of the next.
            top = top.min(if from == to { start % height } else { 0 });
            bottom = bottom.max(if from == to { last % height + 1 } else { height });
        }
        (right > 0).then(|| Bounds {
            x: left as f64,
            y: top as f64,
            width: (right - left) as f64,
            height: (bottom - top) as f64,
        })
    }

    /// How many pixels two masks share; those of different sizes share nothing.
    pub fn intersection(&self, other: &Self) -> u64 {
        if (self.height, self.width) != (other.height, other.width) {
            return 0;
        }
        let (mut runs, mut others) = (self.runs().peekable(), other.runs().peekable());
        let mut shared = 0;
        while let (Some(&(start, end)), Some(&(other_start, other_end))) = (runs.peek(), others.peek()) {
            shared += end.min(other_end).saturating_sub(start.max(other_start));
            if end <= other_end {
                runs.next();
            } else {
                others.next();
            }
        }
        shared
    }

    /// What two masks share, of what they cover together: 0 to 1.
    pub fn iou(&self, other: &Self) -> f64 {
        ratio(self.intersection(other) as f64, self.area() as f64, other.area() as f64)
    }

    /// The mask of outlines in an image of that size, as pycocotools draws them: each alone, then their union. None where
    /// this would cost more than [`drawable`] allows.
    pub(crate) fn draw(polygons: &[Vec<[f64; 2]>], height: u32, width: u32, limits: &Limits) -> Option<Self> {
        if !drawable(polygons, height, width, limits) {
            return None;
        }
        let mut runs = Vec::new();
        for polygon in polygons {
            let drawn = fr_poly(polygon.as_flattened(), height, width).ok()?;
            runs.extend(spans(&drawn.counts));
        }
        runs.sort_unstable();
        Some(Self {
            height,
            width,
            counts: union(&runs, u64::from(height) * u64::from(width)),
            compressed: false,
        })
    }

    /// Where it covers something: pixels from one index up to, but without, another. No empty ones.
    fn runs(&self) -> impl Iterator<Item = (u64, u64)> {
        spans(&self.counts)
    }
}

fn spans(counts: &[u32]) -> impl Iterator<Item = (u64, u64)> {
    let mut at = 0;
    counts.iter().enumerate().filter_map(move |(index, count)| {
        let start = at;
        at += u64::from(*count);
        (index % 2 == 1 && *count > 0).then_some((start, at))
    })
}

/// The counts that cover what these runs, sorted by their starts, cover together.
fn union(runs: &[(u64, u64)], pixels: u64) -> Vec<u32> {
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(runs.len());
    for &(start, end) in runs {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    let mut counts = Vec::with_capacity(2 * joined.len() + 1);
    let mut at = 0;
    let length = |from: u64, to: u64| u32::try_from(to - from).expect("a mask has fewer than 2^32 pixels");
    for (start, end) in joined {
        counts.push(length(at, start));
        counts.push(length(start, end));
        at = end;
    }
    if at < pixels || counts.is_empty() {
        counts.push(length(at, pixels));
    }
    counts
}

/// Whether these outlines can be drawn in an image of that size within the limits: finite, few enough pixels, and
/// outlines short enough (of an outline that leaves the image, what passes it by counts only as much as the image is
/// wide).
pub(crate) fn drawable(polygons: &[Vec<[f64; 2]>], height: u32, width: u32, limits: &Limits) -> bool {
    if u64::from(height) * u64::from(width) > limits.mask_pixels.min(u32::MAX.into()) {
        return false;
    }
    let (image_width, image_height) = (f64::from(width) + 2.0, f64::from(height) + 2.0);
    let mut points = 0.0;
    for polygon in polygons {
        for (index, [x, y]) in polygon.iter().enumerate() {
            let [next_x, next_y] = polygon[(index + 1) % polygon.len()];
            if !(x.is_finite() && y.is_finite()) {
                return false;
            }
            let (along_x, along_y) = ((next_x - x).abs(), (next_y - y).abs());
            points += POINTS_PER_PIXEL * (along_x.min(image_width) + along_y.min(image_height)) + 2.0;
        }
    }
    points <= BOUNDARY_POINTS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::raster::Raster;
    use super::*;

    fn mask() -> impl Strategy<Value = Raster> {
        (Just(9), Just(7), proptest::collection::vec(any::<bool>(), 63)).prop_map(|(width, height, bits)| {
            Raster::new(width, height, |x, y| bits[(x * height + y) as usize])
        })
    }

    fn outline() -> impl Strategy<Value = Vec<[f64; 2]>> {
        let vertex = (-5.0..25.0, -5.0..25.0).prop_map(|(x, y)| [x, y]);
        proptest::collection::vec(vertex, 3..9)
    }

    proptest! {
        #[test]
        fn masks_are_measured_as_their_pixels(one in mask(), other in mask()) {
            let (rle, other_rle) = (one.to_rle(), other.to_rle());
            prop_assert_eq!(rle.area(), one.area());
            prop_assert_eq!(rle.bounds(), one.bounds());
            prop_assert_eq!(rle.intersection(&other_rle), one.shared(&other));
            prop_assert_eq!(rle.iou(&other_rle), one.iou(&other));
            prop_assert_eq!(rle.iou(&other_rle), other_rle.iou(&rle));
        }

        #[test]
        fn runs_of_nothing_change_nothing(one in mask(), at in any::<prop::sample::Index>()) {
            let plain = one.to_rle();
            let mut split = plain.clone();
            let index = at.index(split.counts.len());
            let count = split.counts[index];
            split.counts.splice(index..=index, [count / 2, 0, count - count / 2]);
            prop_assert_eq!(split.area(), plain.area());
            prop_assert_eq!(split.bounds(), plain.bounds());
            prop_assert_eq!(split.intersection(&plain), plain.area());
        }

        #[test]
        fn a_union_is_drawn_as_the_union_of_its_parts(one in outline(), other in outline()) {
            let limits = Limits::default();
            let draw = |polygons: &[Vec<[f64; 2]>]| Rle::draw(polygons, 20, 20, &limits).unwrap();
            let parts = Raster::of_rle(&draw(std::slice::from_ref(&one))).or(&Raster::of_rle(&draw(std::slice::from_ref(&other))));
            let both = draw(&[one, other]);
            prop_assert_eq!(&both, &parts.to_rle());
            prop_assert_eq!(both.counts.iter().sum::<u32>(), 400);
        }

        /// The raster counts centres; pycocotools rounds edges to a fifth of a pixel. They differ at edges only.
        #[test]
        fn a_drawn_outline_is_its_pixels_but_for_its_edge(one in outline()) {
            let drawn = Rle::draw(std::slice::from_ref(&one), 20, 20, &Limits::default()).unwrap();
            let pixels = Raster::of_polygon(20, 20, &one);
            let length: f64 = (0..one.len()).map(|index| {
                let (from, to) = (one[index], one[(index + 1) % one.len()]);
                (to[0] - from[0]).abs() + (to[1] - from[1]).abs()
            }).sum();
            let shared = Raster::of_rle(&drawn).shared(&pixels);
            let differ = drawn.area() + pixels.area() - 2 * shared;
            prop_assert!(differ as f64 <= length + 1.0, "{differ} pixels of an outline {length} long");
        }

        #[test]
        fn any_numbers_are_drawn_or_refused(
            points in proptest::collection::vec((any::<f64>(), any::<f64>()).prop_map(|(x, y)| [x, y]), 0..8),
            height in 0..30u32,
            width in 0..30u32,
        ) {
            if let Some(drawn) = Rle::draw(&[points], height, width, &Limits::default()) {
                prop_assert_eq!(drawn.counts.iter().sum::<u32>(), height * width);
            }
        }
    }

    #[test]
    fn what_would_cost_too_much_is_not_drawn() {
        let limits = Limits::default();
        let zigzag: Vec<_> =
            (0..100_000).map(|at| [f64::from(at % 2) * 4000.0, f64::from(at) / 100.0]).collect();
        assert!(Rle::draw(&[zigzag], 4000, 4000, &limits).is_none());
        let triangle = vec![[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]];
        assert!(Rle::draw(std::slice::from_ref(&triangle), u32::MAX, u32::MAX, &limits).is_none());
        assert!(Rle::draw(&[triangle], 10, 10, &limits).is_some());
    }
}
