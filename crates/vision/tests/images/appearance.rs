//! Darkened, brightened, blurred and emptied photographs are told from photographs.

use image::{DynamicImage, GrayImage, ImageFormat};
use residual_vision::{
    Limits, Rule,
    images::{Measures, Outline, look},
};

use super::{encoded, folder_of, jpeg, linted, listing, photos, told};

fn rules_of(bytes: &[u8], name: &str) -> Vec<Rule> {
    let place = folder_of(&[(name, bytes)]);
    let (findings, _) = linted(place.path(), &listing(&[name]));
    findings.counts().map(|(rule, _)| rule).collect()
}

fn measures(bytes: &[u8]) -> Measures {
    look(bytes, &Outline::of(bytes), &Limits::default()).unwrap().measures
}

fn scaled(photo: &DynamicImage, factor: f64, more: f64) -> DynamicImage {
    let mut photo = photo.to_rgb8();
    photo.iter_mut().for_each(|level| *level = (f64::from(*level) * factor + more) as u8);
    photo.into()
}

#[test]
fn photographs_are_as_they_should_be() {
    for (name, photo) in photos() {
        for quality in [40, 75, 95] {
            assert_eq!(rules_of(&jpeg(&photo, quality), "a.jpg"), [], "{name} at quality {quality}");
        }
        let double = photo.resize_exact(
            photo.width() * 2,
            photo.height() * 2,
            image::imageops::FilterType::CatmullRom,
        );
        assert_eq!(rules_of(&jpeg(&double, 90), "a.jpg"), [], "{name} at double size");
        assert_eq!(rules_of(&jpeg(&photo.thumbnail(64, 64), 90), "a.jpg"), [], "a thumbnail of {name}");
    }
}

#[test]
fn blurred_photographs_are_found() {
    for (name, photo) in photos() {
        for sigma in [3.0, 4.0, 6.0, 8.0] {
            let blurred = photo.blur(sigma);
            for bytes in [encoded(&blurred, ImageFormat::Png), jpeg(&blurred, 90)] {
                let found = rules_of(&bytes, "a.png");
                assert!(found.contains(&Rule::Blurred), "{name} at {sigma}: {:?}", measures(&bytes));
            }
        }
    }
}

#[test]
fn darkened_photographs_are_found() {
    for (name, photo) in photos() {
        for factor in [0.05, 0.1, 0.2, 0.3] {
            let found = rules_of(&jpeg(&scaled(&photo, factor, 0.0), 90), "a.jpg");
            assert!(
                found == [Rule::Dark] || found == [Rule::LowInformation],
                "{name} at {factor}: {found:?}"
            );
        }
    }
}

#[test]
fn faded_photographs_are_found() {
    for (name, photo) in photos() {
        let found = rules_of(&jpeg(&scaled(&photo, 0.2, 204.0), 90), "a.jpg");
        assert_eq!(found, [Rule::Bright], "{name}");
    }
}

#[test]
fn a_page_with_writing_is_white_and_an_empty_one_is_empty() {
    let page = GrayImage::from_fn(400, 500, |x, y| {
        let letter = y % 25 < 8 && x % 7 < 2 && (30..370).contains(&x) && (x / 7 * 31 + y / 25 * 17) % 5 < 3;
        image::Luma([if letter { 20 } else { 250 }])
    });
    assert_eq!(rules_of(&encoded(&page.into(), ImageFormat::Png), "page.png"), []);
    let empty = GrayImage::from_fn(400, 500, |x, y| image::Luma([249 + ((x * 7 + y * 13) % 3) as u8]));
    assert_eq!(rules_of(&encoded(&empty.into(), ImageFormat::Png), "page.png"), [Rule::LowInformation]);
}

#[test]
fn sizes_and_shapes_out_of_the_ordinary_are_found() {
    let (_, photo) = &photos()[0];
    let strip = photo.crop_imm(0, 0, 500, 100);
    assert_eq!(rules_of(&jpeg(&strip, 90), "a.jpg"), [Rule::OddSize]);
    assert_eq!(rules_of(&jpeg(&photo.crop_imm(0, 0, 490, 100), 90), "a.jpg"), []);
    assert_eq!(
        rules_of(&encoded(&photo.crop_imm(0, 0, 7, 9), ImageFormat::Png), "a.png"),
        [Rule::ImageTooSmall]
    );

    let usual = encoded(&photo.crop_imm(0, 0, 300, 300), ImageFormat::Bmp);
    let small = encoded(&photo.crop_imm(100, 100, 29, 30), ImageFormat::Bmp);
    let names: Vec<_> = (0..20).map(|number| format!("{number:02}.bmp")).collect();
    let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), usual.as_slice())).collect();
    files[4].1 = &small;
    let place = folder_of(&files);
    let dataset = listing(&files.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let odd: Vec<_> = told(&linted(place.path(), &dataset).0)
        .into_iter()
        .filter(|(rule, _)| *rule == Rule::OddSize)
        .collect();
    assert_eq!(odd, [(Rule::OddSize, "04.bmp".to_owned())]);
}
