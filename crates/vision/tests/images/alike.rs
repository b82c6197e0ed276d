//! Copies of photographs are found under whatever was done to them, and different photographs are not.

use image::{DynamicImage, ImageFormat, imageops::FilterType};
use residual_vision::{
    Limits, Rule,
    images::{ContentHash, Luma, Outline, PerceptualHash, decode},
};

use super::{encoded, folder_of, jpeg, linted, listing, photos, told};

/// What is done to a photograph, and still shows the same.
fn copies(photo: &DynamicImage) -> Vec<(&'static str, DynamicImage)> {
    let (width, height) = (photo.width(), photo.height());
    let again = |quality| image::load_from_memory(&jpeg(photo, quality)).unwrap();
    let sized = |width, height| photo.resize_exact(width, height, FilterType::Triangle);
    let border = (width / 50, height / 50);
    let mut copies = vec![
        ("encoded at quality 30", again(30)),
        ("encoded at quality 10", again(10)),
        ("half the size", sized(width / 2, height / 2)),
        ("a thumbnail", sized(64, 64)),
        ("enlarged", sized(width * 2, height * 2)),
        ("mirrored", photo.fliph()),
        ("upside down", photo.flipv()),
        ("turned, encoded and reduced", {
            let turned = image::load_from_memory(&jpeg(&photo.rotate90(), 50)).unwrap();
            turned.resize_exact(200, 150, FilterType::Triangle)
        }),
        ("turned the other way and mirrored", photo.rotate270().fliph()),
        ("brightened", photo.brighten(30)),
        ("darkened", photo.brighten(-30)),
        ("softened", photo.blur(2.0)),
        ("cropped by 2%", photo.crop_imm(border.0, border.1, width - 2 * border.0, height - 2 * border.1)),
    ];
    // One of them is grey already.
    if photo.color().has_color() {
        copies.push(("in grey", photo.grayscale()));
    }
    copies
}

#[test]
fn copies_are_found_and_other_photographs_are_not() {
    let photos = photos();
    let mut files = Vec::new();
    for (name, photo) in &photos {
        files.push((format!("train/{name}.png"), encoded(photo, ImageFormat::Png)));
        for (number, (_, copy)) in copies(photo).iter().enumerate() {
            files.push((format!("val/{name}_{number:02}.png"), encoded(copy, ImageFormat::Png)));
        }
    }
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    let place = folder_of(&files);
    let mut names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let (findings, _) = linted(place.path(), &listing(&names));
    let across: Vec<_> =
        findings.iter().filter(|finding| finding.rule == Rule::NearDuplicateAcrossSplits).collect();
    for (name, photo) in &photos {
        for (number, (what, _)) in copies(photo).iter().enumerate() {
            let copy = format!("val/{name}_{number:02}.png.txt");
            let finding = across.iter().find(|finding| *finding.place.file == *copy);
            let finding = finding.unwrap_or_else(|| panic!("{name}, {what}, is not found"));
            assert!(
                finding.found.contains(&format!("train/{name}.png")),
                "{name}, {what}: {}",
                finding.found
            );
        }
    }
    assert_eq!(across.len(), files.len() - photos.len());
    // Within a split each is found as a copy of a copy of the same photograph.
    for finding in findings.iter().filter(|finding| finding.rule == Rule::NearDuplicate) {
        let of = finding.place.file.split(['/', '_']).nth(1).unwrap();
        assert!(finding.found.contains(&format!("/{of}")), "{finding:?}");
    }
}

/// Photographs that are not copies are far beyond the limits of 10 of 64 and 64 of 256 bits.
#[test]
fn different_photographs_are_far_apart() {
    let hashes: Vec<_> = photos()
        .iter()
        .flat_map(|(name, photo)| {
            // Quarters of photographs are photographs of different things, and more of them.
            let (width, height) = (photo.width() / 2, photo.height() / 2);
            let quarters = [(0, 0), (1, 0), (0, 1), (1, 1)];
            quarters.map(|(x, y)| (name.clone(), photo.crop_imm(x * width, y * height, width, height)))
        })
        .map(|(name, photo)| (name, PerceptualHash::of(&Luma::of(&photo)).unwrap()))
        .collect();
    for (at, (name, hash)) in hashes.iter().enumerate() {
        for (other_name, other) in &hashes[..at] {
            for variant in hash.variants() {
                let distance = variant.fine_distance(other);
                assert!(distance >= 85, "{name} and {other_name}: {distance}");
            }
        }
    }
}

/// The same pixels are the same content, in whatever file they are.
#[test]
fn content_does_not_depend_on_the_file() {
    let limits = Limits::default();
    let content = |bytes: &[u8]| ContentHash::of(&decode(bytes, &Outline::of(bytes), &limits).unwrap());
    let (_, photo) = &photos()[0];
    let formats = [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Tiff];
    let contents = formats.map(|format| content(&encoded(photo, format)));
    assert!(contents.iter().all(|content| *content == contents[0]));
    // A comment after the first marker, and bytes after the last one.
    let bytes = jpeg(photo, 90);
    let packed_anew = [&bytes[..2], b"\xff\xfe\x00\x06word", &bytes[2..], b"and more"].concat();
    assert_eq!(content(&bytes), content(&packed_anew));
    assert_ne!(content(&bytes), contents[0]);
    assert_ne!(content(&bytes), content(&jpeg(photo, 91)));
}

#[test]
fn the_same_image_in_two_splits_is_leakage_and_two_labels_are_a_conflict() {
    let photos = photos();
    let [one, other] = [&photos[0].1, &photos[1].1];
    let plain = encoded(&DynamicImage::new_rgb8(40, 30), ImageFormat::Png);
    let place = folder_of(&[
        ("train/a.png", &encoded(one, ImageFormat::Png)),
        ("train/b.bmp", &encoded(one, ImageFormat::Bmp)),
        ("train/c.png", &encoded(other, ImageFormat::Png)),
        ("train/plain.png", &plain),
        ("val/a.tiff", &encoded(one, ImageFormat::Tiff)),
        ("val/plain.png", &plain),
    ]);
    let files =
        ["train/a.png", "train/b.bmp", "train/c.png", "train/plain.png", "val/a.tiff", "val/plain.png"];
    let mut dataset = listing(&files);
    for (image, class) in dataset.images.iter_mut().zip([0, 1, 0, 0, 0, 1]) {
        image.labelled = true;
        image.classes = vec![residual_vision::CategoryIndex(class)];
    }
    let (findings, facts) = linted(place.path(), &dataset);
    let told: Vec<_> =
        told(&findings).into_iter().filter(|(rule, _)| *rule != Rule::LowInformation).collect();
    let expected = [
        (Rule::SplitLeakage, "val/a.tiff.txt"),
        (Rule::ConflictingLabels, "train/b.bmp.txt"),
        (Rule::NearDuplicate, "train/b.bmp.txt"),
    ];
    assert_eq!(told, expected.map(|(rule, file)| (rule, file.to_owned())));
    assert_eq!(facts.of("train/a.png").unwrap().content, facts.of("val/a.tiff").unwrap().content);
    assert_eq!(facts.of("train/plain.png").unwrap().perceptual, None);
}
