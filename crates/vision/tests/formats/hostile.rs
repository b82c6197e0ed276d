//! No bytes make a reader panic, and what it answers keeps the model's promises.

use proptest::prelude::*;
use residual_vision::{Dataset, Findings, Format, Limits, Segmentation, read_results};

use super::read_files;

/// A file of each kind, as an honest program writes it.
const HONEST: [&[u8]; 4] = [
    br#"{"info": {"year": 2026}, "licenses": [{"id": 1, "name": "CC0"}], "images": [{"id": 1, "file_name": "a.jpg", "width": 100,
    "height": 80, "license": 1}], "categories": [{"id": 1, "name": "cat", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20.5, 20], "area": 400, "iscrowd": 0,
    "segmentation": [[10, 10, 30, 10, 30, 30]], "keypoints": [1, 2, 2, 0, 0, 0], "num_keypoints": 1}, {"id": 2, "image_id": 1,
    "category_id": 1, "segmentation": {"size": [80, 100], "counts": [8000]}}, {"id": 3, "image_id": 1, "category_id": 1,
    "segmentation": {"size": [80, 100], "counts": "Pj7"}}, {"id": 4, "image_id": 1, "caption": "a cat"},
    {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 7, "category_id": 1}]}]}"#,
    br#"{"version": "5.0.1", "flags": {}, "shapes": [{"label": "cat", "points": [[1.5, 2], [3, 4], [5, 0]], "group_id": 3,
    "shape_type": "polygon", "flags": {}}, {"label": "dog", "points": [[1, 2], [3, 4]], "shape_type": "circle"}],
    "imagePath": "../a.jpg", "imageData": null, "imageHeight": 80, "imageWidth": 100}"#,
    br#"[{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {"x": 55, "y": 50, "width": 90, "height": 60}}]}]"#,
    br#"[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]"#,
];

/// Pieces that JSON is made of, and some that it is not.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"id\":",
    "\"images\":[",
    "\"annotations\":[",
    "\"categories\":[",
    "1e999",
    "NaN",
    "-Infinity",
    "null",
    "-1",
    "18446744073709551616",
    "1e308",
    "\"\\ud800\"",
    "\"../\"",
    "\u{feff}",
    "\\",
    "\"counts\":\"",
    "0.5",
];

fn check(bytes: &[u8]) {
    for format in Format::ALL {
        let (dataset, _) = read_files(*format, &[("labels/a.json", bytes)]);
        promises(&dataset);
        let found = read_results("a.json", bytes, &dataset, None, &Limits::default(), &mut Findings::new(1));
        promises(&Dataset { annotations: found, ..dataset });
    }
}

/// What whoever is given a dataset may rely on.
fn promises(dataset: &Dataset) {
    for annotation in &dataset.annotations {
        assert!((annotation.image.0 as usize) < dataset.images.len());
        assert!((annotation.category.0 as usize) < dataset.categories.len());
        if let Some(bounds) = annotation.bounds {
            assert!(bounds.x.is_finite() && bounds.y.is_finite());
            assert!(bounds.width >= 0.0 && bounds.height >= 0.0);
            assert!(bounds.width.is_finite() && bounds.height.is_finite());
        }
        match &annotation.segmentation {
            Some(Segmentation::Polygons(polygons)) => {
                assert!(!polygons.is_empty() && polygons.iter().all(|polygon| polygon.len() >= 3));
            }
            Some(Segmentation::Rle(rle)) => {
                let sum: u64 = rle.counts.iter().map(|run| u64::from(*run)).sum();
                assert_eq!(sum, u64::from(rle.height) * u64::from(rle.width));
            }
            None => {}
        }
    }
    for image in &dataset.images {
        assert!(
            !image.file.starts_with('/')
                && !image.file.split('/').any(|part| part == ".." || part.is_empty())
        );
    }
}

#[test]
fn the_honest_files_are_taken() {
    for (bytes, format) in HONEST.iter().zip([Format::Coco, Format::LabelMe, Format::CreateMl]) {
        let (dataset, findings) = read_files(format, &[("labels/a.json", bytes)]);
        assert_eq!(super::rules(&findings), [""; 0], "{format}: {:?}", super::told(&findings));
        assert!(!dataset.annotations.is_empty(), "{format}");
    }
}

/// Where, how many bytes are cut, and what is put there: the piece, or the byte if it is over 127.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, &'static str, u8)> {
    (any::<prop::sample::Index>(), 0_usize..8, prop::sample::select(&PIECES[..]), any::<u8>())
}

proptest! {
    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn random_pieces_do_not_panic(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)) {
        check(pieces.concat().as_bytes());
    }

    #[test]
    fn mutated_files_do_not_panic(
        file in 0..HONEST.len(),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let mut bytes = HONEST[file].to_vec();
        for (at, cut, piece, byte) in mutations {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            let put = if byte < 128 { piece.as_bytes() } else { std::slice::from_ref(&byte) };
            bytes.splice(at..end, put.iter().copied());
        }
        check(&bytes);
    }

    #[test]
    fn cut_files_do_not_panic(file in 0..HONEST.len(), at in any::<prop::sample::Index>()) {
        check(&HONEST[file][..at.index(HONEST[file].len())]);
    }
}
