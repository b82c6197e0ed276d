//! Samples of other projects as a whole.

use std::{collections::BTreeMap, fs};

use residual_vision::{Format, Rule, Severity};

use super::{checked, folder, rules, told};

#[path = "../support/shared.rs"]
mod samples;

use samples::shared;

#[test]
fn clean_files_have_no_finding_above_info() {
    for path in [
        "formats/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json",
        "formats/faster_coco_eval/tests/dataset/gt_dataset.json",
        "formats/datumaro/tests/assets/coco_dataset/coco/annotations/instances_train.json",
        "formats/datumaro/tests/assets/coco_dataset/coco/annotations/instances_val.json",
        "formats/datumaro/tests/assets/coco_dataset/coco/annotations/person_keypoints_train.json",
        "formats/datumaro/tests/assets/coco_dataset/coco/annotations/person_keypoints_val.json",
        "formats/datumaro/tests/assets/coco_dataset/coco/annotations/stuff_train.json",
        "formats/datumaro/tests/assets/coco_dataset/coco/annotations/stuff_val.json",
        "formats/datumaro/tests/assets/coco_dataset/coco_roboflow/train/_annotations.coco.json",
        "formats/datumaro/tests/assets/coco_dataset/coco_roboflow/val/_annotations.coco.json",
        "formats/datumaro/tests/assets/roboflow_dataset/coco/train/_annotations.coco.json",
        "formats/datumaro/tests/assets/roboflow_dataset/coco/val/_annotations.coco.json",
        "formats/hotcoco/crates/hotcoco/tests/fixtures/gt.json",
    ] {
        assert_eq!(told(&checked(&shared(path))), [""; 0], "{path}");
    }
}

/// Three boxes of this sample are of other images than it says: one begins below its image's end.
#[test]
fn boxes_of_other_images_are_found() {
    let sample = shared("formats/croissant/datasets/1.0/coco2014-mini/data/instances_train2014.json");
    let found: Vec<_> = checked(&sample)
        .report
        .rules
        .iter()
        .filter(|broken| broken.severity > Severity::Info)
        .map(|broken| (broken.rule, broken.count))
        .collect();
    assert_eq!(found, [(Rule::OutOfBounds, 3)]);
}

/// Folders of datumaro's tests: what is told of them is true. Their images are a few pixels wide or of one colour.
#[test]
fn clean_folders_have_no_finding_that_is_not_true() {
    let (small, plain) = (Rule::ImageTooSmall.id(), Rule::LowInformation.id());
    // One of two images is in a list only; the boxes are of one and two pixels.
    let (unlabelled, tiny) = (Rule::Unlabelled.id(), Rule::TinyBox.id());
    let samples: [(&str, Format, &[&str]); 9] = [
        ("coco_dataset/coco", Format::Coco, &[small]),
        ("coco_dataset/coco_roboflow", Format::Coco, &[small]),
        ("roboflow_dataset/coco", Format::Coco, &[small]),
        ("roboflow_dataset/yolo", Format::Yolo, &[small]),
        ("yolo_dataset/annotations", Format::Yolo, &[plain]),
        ("yolo_dataset/labels", Format::Yolo, &[plain]),
        ("yolo_dataset/strict", Format::Yolo, &[plain]),
        ("voc_dataset/voc_dataset1", Format::Voc, &[unlabelled, plain]),
        ("dota_dataset", Format::Dota, &[tiny, small]),
    ];
    for (path, format, expected) in samples {
        let health = checked(&shared("formats/datumaro/tests/assets").join(path));
        assert_eq!(health.report.format, format, "{path}");
        assert_eq!(rules(&health), expected, "{path}: {:?}", told(&health));
    }
}

#[test]
fn each_broken_image_has_its_finding() {
    let expected = fs::read(shared("formats/corrupt/expected.json")).unwrap();
    let expected: BTreeMap<String, Vec<String>> = serde_json::from_slice(&expected).unwrap();
    for entry in fs::read_dir(shared("formats/corrupt/img")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // A flipped bit in the entropy-coded data can be another image as sound as the first.
        if name == "bitflip.jpg" {
            continue;
        }
        let place = folder(&[(&format!("cat/{name}"), &fs::read(&path).unwrap())]);
        let health = checked(place.path());
        assert_eq!(health.report.format, Format::ImageFolder, "{name}");
        assert_eq!(rules(&health), expected[&format!("img/{name}")], "{name}: {:?}", told(&health));
    }
}
