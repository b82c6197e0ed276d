//! What is listed and not there, there and not listed, or another than it is said to be; and the same findings whatever the
//! number of threads.

use std::sync::atomic::{AtomicU64, Ordering};

use image::ImageFormat;
use residual_vision::{Findings, Folder, Limits, Rule, lint::images::check};

use super::{encoded, folder_of, jpeg, linted, listing, photos, told};

#[test]
fn missing_unlisted_and_companion_images_are_told_apart() {
    let (_, photo) = &photos()[0];
    let image = encoded(&photo.thumbnail(50, 50), ImageFormat::Png);
    let other = encoded(&photo.crop_imm(100, 100, 60, 50), ImageFormat::Png);
    let place = folder_of(&[
        ("images/a.png", &image),
        ("images/b.png", &other),
        // Masks of listed images, in folders of such; and something to be explained.
        ("masks/a.png", &image),
        ("panoptic/a_panoptic_mask.png", &image),
        ("masks/z.png", &image),
        ("notes.txt", b"no image"),
    ]);
    let (findings, facts) = linted(place.path(), &listing(&["images/a.png", "images/c.png"]));
    let expected = [
        (Rule::MissingImage, "images/c.png.txt"),
        (Rule::UnlistedImage, "images/b.png"),
        (Rule::UnlistedImage, "masks/z.png"),
    ];
    assert_eq!(told(&findings), expected.map(|(rule, file)| (rule, file.to_owned())));
    assert!(facts.of("masks/a.png").is_none());
}

#[test]
fn images_that_are_missing_one_and_all_are_told_once() {
    let place = folder_of(&[("instances.json", b"{}")]);
    let (findings, _) = linted(place.path(), &listing(&["a.png", "b.png", "c.png"]));
    assert_eq!(findings.count(Rule::MissingImage), 1);
}

#[test]
fn a_declared_size_is_held_against_the_file() {
    let (_, photo) = &photos()[0];
    let bytes = jpeg(&photo.crop_imm(0, 0, 60, 40), 90);
    // EXIF with orientation 6 and nothing else, after the first marker.
    let tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let segment = [b"\xff\xe1\0\x22Exif\0\0", tiff.as_slice()].concat();
    let turned = [&bytes[..2], &segment, &bytes[2..]].concat();
    let place = folder_of(&[("a.jpg", &bytes), ("b.jpg", &turned), ("c.jpg", &bytes)]);
    let mut dataset = listing(&["a.jpg", "b.jpg", "c.jpg"]);
    for (image, (width, height)) in dataset.images.iter_mut().zip([(60, 41), (40, 60), (60, 40)]) {
        (image.width, image.height) = (Some(width), Some(height));
    }
    let (findings, _) = linted(place.path(), &dataset);
    let grave: Vec<_> = findings.iter().filter(|finding| finding.rule != Rule::NearDuplicate).collect();
    let found: Vec<_> = grave.iter().map(|finding| (finding.rule, &*finding.place.file)).collect();
    let expected = [
        (Rule::DeclaredSize, "a.jpg.txt"),
        (Rule::DeclaredSize, "b.jpg.txt"),
        (Rule::ExifOrientation, "b.jpg"),
    ];
    assert_eq!(found, expected);
    assert!(grave[1].found.contains("EXIF"), "{}", grave[1].found);
}

#[test]
fn findings_do_not_depend_on_the_number_of_threads() {
    let mut files = Vec::new();
    for (name, photo) in photos() {
        let small = photo.thumbnail(120, 120);
        for (number, image) in
            [small.clone(), small.fliph(), small.blur(4.0), small.brighten(-180)].iter().enumerate()
        {
            let mut bytes = jpeg(image, 80);
            bytes.truncate(bytes.len() - usize::from(name == "coins") * 40);
            files.push((format!("{}/{name}{number}.jpg", ["train", "val"][number % 2]), bytes));
        }
    }
    files.sort();
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let place = folder_of(&files);
    let dataset = listing(&files.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let limits = Limits::default();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut findings = Findings::new(1_000);
        let folder = Folder::list(place.path(), &limits, &mut findings).unwrap();
        let (told, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let progress = |done, total| {
            assert_eq!(total, files.len() as u64);
            told.fetch_add(1, Ordering::Relaxed);
            most.fetch_max(done, Ordering::Relaxed);
        };
        let facts = pool.install(|| check(&folder, &dataset, &limits, &progress, &mut findings));
        assert_eq!((told.into_inner(), most.into_inner()), (files.len() as u64, files.len() as u64));
        (findings.iter().cloned().collect::<Vec<_>>(), facts)
    };
    let alone = run(1);
    assert!(alone.0.len() > 20, "found {}", alone.0.len());
    assert_eq!(alone, run(4));
}
