//! The linter on clean datasets of others.

use std::collections::BTreeMap;

use residual_vision::{Findings, Limits, Severity, lint::check_annotations};
use serde_json::Value;

use crate::{read, shared};

fn graver_than_info(json: &Value) -> BTreeMap<&'static str, Vec<String>> {
    let mut findings = Findings::new(100);
    check_annotations(&read::dataset(json), &Limits::default(), &mut findings);
    let mut graver: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.severity() > Severity::Info) {
        graver.entry(finding.rule.id()).or_default().push(format!("{} {}", finding.place, finding.found));
    }
    graver
}

#[test]
fn clean_datasets_have_no_faults() {
    for path in [
        "formats/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json",
        "formats/faster_coco_eval/tests/dataset/gt_dataset.json",
        "photos/annotations.json",
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
        "formats/corrupt/coco/ok.json",
    ] {
        let found = graver_than_info(&read::file(&shared(path)));
        assert!(found.is_empty(), "{path}: {found:#?}");
    }
}

#[test]
fn broken_shapes_are_found_and_nothing_else() {
    let expected = read::file(&shared("formats/corrupt/expected.json"));
    for name in ["zero_area", "oob", "bowtie", "seg_box_mismatch", "area_mismatch", "kp_out"] {
        let case = format!("coco/{name}.json");
        let found = graver_than_info(&read::file(&shared(&format!("formats/corrupt/{case}"))));
        let found: Vec<&str> = found.into_keys().collect();
        assert_eq!(serde_json::json!(found), expected[&case], "{name}");
    }
}

/// Three boxes of this sample are of other images than it says: one begins below its image's end.
#[test]
fn boxes_of_other_images_are_found() {
    let path = "formats/croissant/datasets/1.0/coco2014-mini/data/instances_train2014.json";
    let found = graver_than_info(&read::file(&shared(path)));
    let counts: Vec<_> = found.iter().map(|(rule, places)| (*rule, places.len())).collect();
    assert_eq!(counts, [("OUT_OF_BOUNDS", 3)]);
}
