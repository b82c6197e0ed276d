//! Oriented boxes.

use super::{bounds::ratio, polygon};
use crate::{Bounds, Quadrangle};

impl Quadrangle {
    /// The smallest upright box around it.
    pub fn bounds(&self) -> Option<Bounds> {
        Bounds::around(&self.0)
    }

    /// In square pixels.
    pub fn area(&self) -> f64 {
        polygon::area(&self.0)
    }

    /// What two of them share, of what they cover together: 0 to 1. Right for convex ones, which boxes are.
    pub fn iou(&self, other: &Self) -> f64 {
        ratio(polygon::area(&self.clipped_to(other)), self.area(), other.area())
    }

    /// What of it is inside the other (Sutherland and Hodgman 1974).
    fn clipped_to(&self, other: &Self) -> Vec<[f64; 2]> {
        let clockwise = turns(&other.0);
        let mut left = self.0.to_vec();
        for (index, from) in other.0.iter().enumerate() {
            let to = other.0[(index + 1) % 4];
            let depth = |point: [f64; 2]| {
                let turn =
                    (to[0] - from[0]) * (point[1] - from[1]) - (to[1] - from[1]) * (point[0] - from[0]);
                if clockwise { turn } else { -turn }
            };
            let whole = std::mem::take(&mut left);
            for (index, point) in whole.iter().enumerate() {
                let next = whole[(index + 1) % whole.len()];
                let (here, there) = (depth(*point), depth(next));
                if here >= 0.0 {
                    left.push(*point);
                }
                if (here >= 0.0) != (there >= 0.0) {
                    let along = here / (here - there);
                    left.push([
                        point[0] + along * (next[0] - point[0]),
                        point[1] + along * (next[1] - point[1]),
                    ]);
                }
            }
        }
        left
    }
}

/// Whether it goes around clockwise as one sees it, y being down.
fn turns([a, b, c, d]: &[[f64; 2]; 4]) -> bool {
    (c[0] - a[0]) * (d[1] - b[1]) - (c[1] - a[1]) * (d[0] - b[0]) >= 0.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::raster::Raster;
    use super::*;

    fn turned() -> impl Strategy<Value = Quadrangle> {
        (10.0..30.0, 10.0..30.0, 1.0..20.0, 1.0..20.0, 0.0..7.0, any::<bool>()).prop_map(
            |(x, y, width, height, angle, mirrored): (f64, f64, f64, f64, f64, bool)| {
                let (sine, cosine) = angle.sin_cos();
                let corner = |right: f64, down: f64| {
                    let (along, across) = (right * width / 2.0, down * height / 2.0);
                    [x + along * cosine - across * sine, y + along * sine + across * cosine]
                };
                let mut corners =
                    [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
                if mirrored {
                    corners.reverse();
                }
                Quadrangle(corners)
            },
        )
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_within_0_and_1(one in turned(), other in turned()) {
            let iou = one.iou(&other);
            prop_assert!((0.0..=1.0).contains(&iou), "{iou}");
            prop_assert!((iou - other.iou(&one)).abs() < 1e-9);
            prop_assert!(one.iou(&one) > 1.0 - 1e-9);
        }

        #[test]
        fn overlap_is_that_of_the_pixels(one in turned(), other in turned()) {
            const FINE: f64 = 8.0;
            let draw = |quadrangle: &Quadrangle| {
                let corners = quadrangle.0.map(|[x, y]| [x * FINE, y * FINE]);
                Raster::of_polygon(320, 320, &corners)
            };
            let (drawn, other_drawn) = (draw(&one), draw(&other));
            // What leaves the image is lost to the raster alone.
            prop_assume!([one, other].iter().flat_map(|one| one.0).flatten().all(|at| (0.0..40.0).contains(&at)));
            prop_assert!((one.iou(&other) - drawn.iou(&other_drawn)).abs() < 0.1);
        }

        #[test]
        fn upright_ones_agree_with_boxes(x in -9i32..9, y in -9i32..9, width in 1i32..9, height in 1i32..9) {
            let upright = |bounds: &Bounds| {
                let (left, top, right, bottom) = (bounds.x, bounds.y, bounds.right(), bounds.bottom());
                Quadrangle([[left, top], [right, top], [right, bottom], [left, bottom]])
            };
            let one = Bounds { x: x.into(), y: y.into(), width: width.into(), height: height.into() };
            let other = Bounds { x: 0.0, y: 0.0, width: 5.0, height: 5.0 };
            prop_assert!((upright(&one).iou(&upright(&other)) - one.iou(&other)).abs() < 1e-12);
            prop_assert_eq!(upright(&one).bounds(), Some(one));
        }

        #[test]
        fn any_numbers_are_measured(numbers in proptest::array::uniform16(any::<f64>())) {
            let quadrangle = |from: usize| Quadrangle(std::array::from_fn(|index| [numbers[from + 2 * index], numbers[from + 2 * index + 1]]));
            let iou = quadrangle(0).iou(&quadrangle(8));
            prop_assert!((0.0..=1.0).contains(&iou));
        }
    }
}
