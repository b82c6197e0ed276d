//! Where a picture of one size lies in one of another, and boxes in both.

use crate::card::Resize;

/// A rectangle: left, top, width, height, in pixels from the top left corner.
pub(crate) type Rectangle = [f64; 4];

/// How a picture was laid into the model's: the part `from` of it became the part `to`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placement {
    /// Width and height of the picture that was sent.
    image: [u32; 2],
    /// In whole pixels, with an area, within the picture.
    pub(crate) from: [u32; 4],
    /// In whole pixels, with an area, within the model's.
    pub(crate) to: [u32; 4],
}

impl Placement {
    /// Where a picture of the size `image` goes in the model's of the size `model`, both at least 1 by 1; nothing when
    /// they should be of one size and are not.
    pub(crate) fn new(resize: Resize, image: [u32; 2], model: [u32; 2]) -> Option<Self> {
        let all = |size: [u32; 2]| [0, 0, size[0], size[1]];
        let (from, to) = match resize {
            Resize::Exact if image != model => return None,
            Resize::Exact | Resize::Stretch => (all(image), all(model)),
            Resize::Letterbox => (all(image), largest_within(model, image)),
            Resize::Crop => (largest_within(image, model), all(model)),
        };
        Some(Self { image, from, to })
    }

    /// A rectangle in the model's pixels as one in the picture's, cut to the picture; nothing when no area is left.
    pub(crate) fn to_image(&self, rectangle: Rectangle) -> Option<Rectangle> {
        let placed = map(rectangle, self.to, self.from);
        let [mut left, mut top] = [placed[0], placed[1]];
        let [mut right, mut bottom] = [left + placed[2], top + placed[3]];
        (left, right) = (left.max(0.0), right.min(f64::from(self.image[0])));
        (top, bottom) = (top.max(0.0), bottom.min(f64::from(self.image[1])));
        let numbers = placed.iter().all(|side| side.is_finite());
        (numbers && right > left && bottom > top).then_some([left, top, right - left, bottom - top])
    }
}

/// The largest rectangle in the proportions of `shape` in the middle of `frame`.
fn largest_within(frame: [u32; 2], shape: [u32; 2]) -> [u32; 4] {
    let [width, height] = shape.map(f64::from);
    let scale = (f64::from(frame[0]) / width).min(f64::from(frame[1]) / height);
    let side = |length: f64, most: u32| ((length * scale).round() as u32).clamp(1, most);
    let (across, down) = (side(width, frame[0]), side(height, frame[1]));
    [(frame[0] - across) / 2, (frame[1] - down) / 2, across, down]
}

fn map(rectangle: Rectangle, from: [u32; 4], to: [u32; 4]) -> Rectangle {
    let (from, to) = (from.map(f64::from), to.map(f64::from));
    let [across, down] = [to[2] / from[2], to[3] / from[3]];
    let [left, top, width, height] = rectangle;
    [(left - from[0]) * across + to[0], (top - from[1]) * down + to[1], width * across, height * down]
}

/// Intersection over union, 0 to 1.
pub(crate) fn overlap(a: Rectangle, b: Rectangle) -> f64 {
    let side = |at: usize| ((a[at] + a[at + 2]).min(b[at] + b[at + 2]) - a[at].max(b[at])).max(0.0);
    let intersection = side(0) * side(1);
    let union = a[2] * a[3] + b[2] * b[3] - intersection;
    if union > 0.0 { (intersection / union).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size() -> impl Strategy<Value = [u32; 2]> {
        [1..3_000_u32, 1..3_000_u32]
    }

    fn resize() -> impl Strategy<Value = Resize> {
        prop::sample::select(vec![Resize::Stretch, Resize::Letterbox, Resize::Crop])
    }

    fn rectangle() -> impl Strategy<Value = Rectangle> {
        [-100.0..3_000.0, -100.0..3_000.0, 0.0..3_000.0, 0.0..3_000.0]
    }

    fn inside(part: [u32; 4], whole: [u32; 2]) -> bool {
        part[2] > 0 && part[3] > 0 && part[0] + part[2] <= whole[0] && part[1] + part[3] <= whole[1]
    }

    proptest! {
        #[test]
        fn both_parts_have_an_area_and_lie_inside(resize in resize(), image in size(), model in size()) {
            let placement = Placement::new(resize, image, model).unwrap();
            prop_assert!(inside(placement.from, image), "{placement:?}");
            prop_assert!(inside(placement.to, model), "{placement:?}");
        }

        #[test]
        fn a_box_in_the_picture_comes_back_from_the_model(
            image in size(), model in size(),
            letterbox in any::<bool>(),
            parts in [0.0..0.9_f64, 0.0..0.9, 0.05..0.1, 0.05..0.1],
        ) {
            let resize = if letterbox { Resize::Letterbox } else { Resize::Stretch };
            let placement = Placement::new(resize, image, model).unwrap();
            let [width, height] = image.map(f64::from);
            let sent = [parts[0] * width, parts[1] * height, parts[2] * width, parts[3] * height];
            let back = placement.to_image(map(sent, placement.from, placement.to)).unwrap();
            for (back, sent) in back.iter().zip(sent) {
                prop_assert!((back - sent).abs() < 1e-6 * (1.0 + width + height), "{back} for {sent}");
            }
        }

        #[test]
        fn boxes_lie_within_the_picture(
            resize in resize(), image in size(), model in size(), box_ in rectangle(),
        ) {
            let placement = Placement::new(resize, image, model).unwrap();
            if let Some([left, top, width, height]) = placement.to_image(box_) {
                let slack = 1e-9 * f64::from(image[0] + image[1]);
                prop_assert!(left >= 0.0 && top >= 0.0 && width > 0.0 && height > 0.0);
                prop_assert!(left + width <= f64::from(image[0]) + slack);
                prop_assert!(top + height <= f64::from(image[1]) + slack);
            }
        }

        #[test]
        fn overlap_is_a_part_and_the_same_both_ways(a in rectangle(), b in rectangle()) {
            let part = overlap(a, b);
            prop_assert!((0.0..=1.0).contains(&part));
            prop_assert!((part - overlap(b, a)).abs() < 1e-12);
        }
    }

    #[test]
    fn letterbox_and_crop_keep_proportions() {
        let letterbox = Placement::new(Resize::Letterbox, [1280, 720], [640, 640]).unwrap();
        assert_eq!((letterbox.from, letterbox.to), ([0, 0, 1280, 720], [0, 140, 640, 360]));
        let crop = Placement::new(Resize::Crop, [1280, 720], [224, 224]).unwrap();
        assert_eq!((crop.from, crop.to), ([280, 0, 720, 720], [0, 0, 224, 224]));
        assert_eq!(Placement::new(Resize::Exact, [8, 8], [8, 9]), None);
    }

    #[test]
    fn what_has_no_area_or_is_no_number_is_no_box() {
        let placement = Placement::new(Resize::Stretch, [10, 10], [10, 10]).unwrap();
        assert_eq!(placement.to_image([12.0, 1.0, 5.0, 5.0]), None);
        assert_eq!(placement.to_image([f64::NAN, 1.0, 5.0, 5.0]), None);
        assert_eq!(placement.to_image([1.0, 1.0, -5.0, 5.0]), None);
        assert_eq!(overlap([0.0, 0.0, 4.0, 4.0], [2.0, 0.0, 4.0, 4.0]), 8.0 / 24.0);
        assert_eq!(overlap([1.0; 4], [1.0; 4]), 1.0);
    }
}
