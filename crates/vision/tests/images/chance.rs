//! Whatever the bytes, an image is looked at or told to be broken; and what is cut off is never sound.

use std::sync::LazyLock;

use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::prelude::*;
use residual_vision::{
    Limits,
    images::{Kind, Outline, look},
};

use super::encoded;

/// A small image in every kind of file.
static SOUND: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let colours = |x: u32, y: u32| image::Rgb([(x * 9) as u8, (y * 11) as u8, (x * y) as u8]);
    let image = DynamicImage::ImageRgb8(RgbImage::from_fn(24, 17, colours));
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    [Jpeg, Png, Bmp, Gif, WebP, Tiff].map(|format| encoded(&image, format)).into()
});

fn limits() -> Limits {
    Limits { image_pixels: 100_000, ..Limits::default() }
}

#[test]
fn every_kind_is_known_by_its_content() {
    let kinds = [Kind::Jpeg, Kind::Png, Kind::Bmp, Kind::Gif, Kind::WebP, Kind::Tiff];
    for (bytes, kind) in SOUND.iter().zip(kinds) {
        let outline = Outline::of(bytes);
        assert_eq!((outline.kind, outline.size, outline.whole), (Some(kind), Some((24, 17)), true));
        let facts = look(bytes, &outline, &limits()).unwrap();
        assert_eq!((facts.kind, facts.width, facts.height), (kind, 24, 17));
    }
}

#[test]
fn what_is_cut_off_is_never_sound() {
    for bytes in SOUND.iter() {
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            assert!(look(cut, &Outline::of(cut), &limits()).is_err(), "{:?} after {length}", Kind::of(bytes));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn changed_images_are_looked_at(
        which in 0usize..6,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = SOUND[which].clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let outline = Outline::of(&bytes);
        if let Ok(facts) = look(&bytes, &outline, &limits()) {
            prop_assert!(u64::from(facts.width) * u64::from(facts.height) <= limits().image_pixels);
            // What a header says before decoding is what decoding finds.
            prop_assert!(outline.size.is_none_or(|size| size == (facts.width, facts.height)));
        }
    }

    #[test]
    fn any_bytes_are_looked_at(which in 0usize..6, rest in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [&SOUND[which][..16], &rest].concat();
        let _ = look(&bytes, &Outline::of(&bytes), &limits());
    }
}
