//! Upright boxes.

use crate::Bounds;

impl Bounds {
    /// The smallest box around these points; none where there are none.
    pub fn around<'a>(points: impl IntoIterator<Item = &'a [f64; 2]>) -> Option<Self> {
        let mut points = points.into_iter();
        let first = points.next()?;
        let (mut low, mut high) = (*first, *first);
        for point in points {
            for axis in 0..2 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        Some(Self { x: low[0], y: low[1], width: high[0] - low[0], height: high[1] - low[1] })
    }

    /// Right edge.
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    /// Lower edge.
    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }

    /// In square pixels.
    pub fn area(&self) -> f64 {
        self.width * self.height
    }

    /// The part of it within an image of that size; of no area where it is wholly outside.
    pub fn clip(&self, width: f64, height: f64) -> Self {
        let (left, right) = (self.x.clamp(0.0, width), self.right().clamp(0.0, width));
        let (top, bottom) = (self.y.clamp(0.0, height), self.bottom().clamp(0.0, height));
        Self { x: left, y: top, width: right - left, height: bottom - top }
    }

    /// What two boxes share, in square pixels.
    pub fn intersection(&self, other: &Self) -> f64 {
        let width = self.right().min(other.right()) - self.x.max(other.x);
        let height = self.bottom().min(other.bottom()) - self.y.max(other.y);
        if width > 0.0 && height > 0.0 { width * height } else { 0.0 }
    }

    /// What two boxes share, of what they cover together: 0 to 1; 0 where neither has an area.
    pub fn iou(&self, other: &Self) -> f64 {
        ratio(self.intersection(other), self.area(), other.area())
    }
}

/// Intersection over union. What is shared is at most the smaller of the two, and rounding lifts nothing over 1.
pub(super) fn ratio(shared: f64, one: f64, other: f64) -> f64 {
    let shared = shared.min(one).min(other);
    let union = one + other - shared;
    if union > 0.0 && shared > 0.0 { (shared / union).min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::raster::Raster;
    use super::*;

    fn any_box() -> impl Strategy<Value = Bounds> {
        let length = || prop_oneof![Just(0.0), 0.0..1e6, Just(f64::MAX), Just(1e-300)];
        (length(), length(), length(), length()).prop_map(|(x, y, width, height)| Bounds {
            x,
            y,
            width,
            height,
        })
    }

    fn pixels() -> impl Strategy<Value = Bounds> {
        (0..20u32, 0..20u32, 0..20u32, 0..20u32).prop_map(|(x, y, width, height)| Bounds {
            x: x.into(),
            y: y.into(),
            width: width.into(),
            height: height.into(),
        })
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_within_0_and_1(one in any_box(), other in any_box()) {
            let iou = one.iou(&other);
            prop_assert!((0.0..=1.0).contains(&iou), "{iou}");
            prop_assert_eq!(iou.to_bits(), other.iou(&one).to_bits());
        }

        #[test]
        fn whole_pixels_are_counted_exactly(one in pixels(), other in pixels()) {
            let (drawn, other_drawn) = (Raster::of_box(40, 40, &one), Raster::of_box(40, 40, &other));
            prop_assert_eq!(one.area(), drawn.area() as f64);
            prop_assert_eq!(one.intersection(&other), drawn.shared(&other_drawn) as f64);
            prop_assert_eq!(one.iou(&other), drawn.iou(&other_drawn));
        }

        #[test]
        fn a_clipped_box_is_what_the_image_has_of_it(one in pixels(), width in 0..40u32, height in 0..40u32) {
            let clipped = one.clip(width.into(), height.into());
            prop_assert_eq!(clipped.area(), Raster::of_box(width, height, &one).area() as f64);
        }
    }

    #[test]
    fn a_box_equals_itself() {
        let one = Bounds { x: 0.1, y: 0.2, width: 0.3, height: 0.4 };
        assert!(one.iou(&one) > 1.0 - 1e-12);
    }
}
