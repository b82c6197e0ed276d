//! Inputs that no evaluation should take: an error that says which record, never a panic.

use proptest::prelude::*;
use residual_vision::{EvaluateError, Kind, Limits, Options, evaluate, evaluate_files};
use serde_json::{Value, json};

use crate::{made::made, read};

fn files(truth: &Value, detections: &Value, kind: Kind) -> Result<(), EvaluateError> {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("truth.json"), folder.path().join("found.json"));
    std::fs::write(&one, truth.to_string()).unwrap();
    std::fs::write(&other, detections.to_string()).unwrap();
    evaluate_files(&one, &other, kind, &Options::default()).map(drop)
}

fn good() -> (Value, Value) {
    let outline = json!([[10, 10, 30, 10, 30, 30, 10, 30]]);
    let truth = json!({
        "images": [{"id": 1, "width": 100, "height": 80, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0,
            "segmentation": outline, "keypoints": vec![2; 51], "num_keypoints": 17}],
    });
    let found = json!([{"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "score": 0.5, "segmentation": outline,
        "keypoints": vec![2; 51]}]);
    (truth, found)
}

#[test]
fn good_input_is_evaluated() {
    let (truth, found) = good();
    for kind in [Kind::Boxes, Kind::Masks, Kind::Keypoints] {
        files(&truth, &found, kind).unwrap();
    }
}

/// What is put where, for which comparison, and what the error must say.
#[test]
fn what_cannot_be_compared_is_said() {
    let huge = json!({"size": [4_000_000_000u32, 4_000_000_000u32], "counts": [16]});
    let cases: Vec<(Kind, bool, &str, Value, &str)> = vec![
        (Kind::Boxes, true, "/annotations/0/bbox", json!(null), "annotations record 0"),
        (Kind::Boxes, true, "/annotations/0/id", json!(-1), "expected COCO annotations"),
        (Kind::Boxes, true, "/annotations/0/bbox", json!([1, 2, 3]), "expected COCO annotations"),
        (Kind::Boxes, false, "/0/score", json!(null), "a score that is a number"),
        (Kind::Boxes, false, "/0/image_id", json!(7), "found image 7 in detections record 0"),
        (Kind::Boxes, false, "/0/bbox", json!("box"), "expected COCO results"),
        (Kind::Masks, true, "/images/0/width", json!(0), "width and height are known"),
        (Kind::Masks, true, "/images/0/width", json!(4_000_000_000u32), "an image of fewer pixels"),
        (Kind::Masks, true, "/annotations/0/segmentation", huge, "a mask of its image's size"),
        (Kind::Masks, false, "/0/segmentation", json!({"size": [80, 100], "counts": [8001]}), "a mask"),
        (
            Kind::Masks,
            false,
            "/0/segmentation",
            json!({"size": [80, 100], "counts": [7999]}),
            "7999 of 8000 pixels",
        ),
        (
            Kind::Masks,
            false,
            "/0/segmentation",
            json!({"size": [80, 100], "counts": "~~~~~~~~~~~~~~~~"}),
            "910 of 8000 pixels",
        ),
        (Kind::Masks, false, "/0/segmentation", json!([[1, 2, 3, 4]]), "three vertices"),
        (Kind::Masks, false, "/0/segmentation", json!([]), ""),
        (Kind::Masks, true, "/annotations/0/segmentation", json!([vec![1e300; 8]]), ""),
        (Kind::Keypoints, true, "/annotations/0/keypoints", json!([1, 2, 2]), "found 3 for 17"),
        (Kind::Keypoints, false, "/0/keypoints", json!(null), "keypoints that are numbers"),
    ];
    for (kind, in_truth, place, value, says) in cases {
        let (mut truth, mut found) = good();
        let file = if in_truth { &mut truth } else { &mut found };
        *file.pointer_mut(place).unwrap() = value.clone();
        match files(&truth, &found, kind) {
            Err(error) => {
                assert!(!says.is_empty() && error.to_string().contains(says), "{place} = {value}: {error}")
            }
            Ok(()) => assert!(says.is_empty(), "{place} = {value} was taken"),
        }
    }
}

#[test]
fn ids_that_stand_twice_are_refused() {
    for list in ["images", "categories", "annotations"] {
        let (mut truth, found) = good();
        let row = truth[list][0].clone();
        truth[list].as_array_mut().unwrap().push(row);
        let error = files(&truth, &found, Kind::Boxes).unwrap_err().to_string();
        assert!(error.contains(&format!("1 again in {list} record 1")), "{error}");
    }
}

#[test]
fn what_would_take_too_much_is_refused() {
    let (truth, found) = good();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    std::fs::write(&path, truth.to_string()).unwrap();
    let limits = Limits { annotation_file_bytes: 10, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let error = evaluate_files(&path, &path, Kind::Boxes, &options).unwrap_err();
    assert!(matches!(error, EvaluateError::TooMuch { limit: 10, .. }), "{error}");
    let error = evaluate_files(folder.path(), &path, Kind::Boxes, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");
    // 12,000 objects beside 12,000 detections of one class in one image.
    let (mut truth, mut found) = (truth, found);
    let rows = (0..12_000).map(|id| {
        let mut row = truth["annotations"][0].clone();
        row["id"] = json!(id + 1);
        row
    });
    truth["annotations"] = rows.collect();
    found = json!(vec![found[0].clone(); 12_000]);
    let error = files(&truth, &found, Kind::Boxes).unwrap_err();
    assert!(matches!(error, EvaluateError::TooMuch { found: 144_000_000, .. }), "{error}");
}

fn nonsense() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!([])),
        Just(json!({})),
        Just(json!("x")),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        prop::collection::vec(any::<f64>(), 0..9).prop_map(|numbers| json!([numbers])),
        prop::collection::vec(-1e3..1e7f64, 4).prop_map(|numbers| json!(numbers)),
        (any::<u32>(), 0..300u32, prop::collection::vec(any::<u32>(), 0..9))
            .prop_map(|(height, width, counts)| json!({"size": [height, width], "counts": counts})),
        "[0-o]{0,20}".prop_map(|counts| json!({"size": [200, 200], "counts": counts})),
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Boxes), Just(Kind::Masks), Just(Kind::Keypoints)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Well-formed input with nonsense in some places: figures or an error, and figures within 0 and 1.
    #[test]
    fn nonsense_never_panics(
        (kind, made) in any_kind().prop_flat_map(|kind| (Just(kind), made(kind))),
        places in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), nonsense()), 0..4),
    ) {
        let (mut truth, mut found) = (made.truth, made.detections);
        for (in_truth, row, field, value) in places {
            let rows = if in_truth { truth["annotations"].as_array_mut() } else { found.as_array_mut() };
            let Some(rows) = rows.filter(|rows| !rows.is_empty()) else { continue };
            let record = row.get_mut(rows).as_object_mut().unwrap();
            let keys: Vec<String> = record.keys().cloned().collect();
            record.insert(field.get(&keys).clone(), value);
        }
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("truth.json"), folder.path().join("found.json"));
        std::fs::write(&one, truth.to_string()).unwrap();
        std::fs::write(&other, found.to_string()).unwrap();
        if let Ok(ours) = evaluate_files(&one, &other, kind, &Options::default()) {
            for figure in ours.summary {
                prop_assert!(figure.value.is_none_or(|value| (0.0..=1.0).contains(&value)), "{:?}", figure);
            }
        }
    }
}

#[test]
fn a_model_without_what_is_compared_is_refused() {
    let (truth, found) = good();
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("truth.json"), folder.path().join("found.json"));
    std::fs::write(&one, truth.to_string()).unwrap();
    std::fs::write(&other, found.to_string()).unwrap();
    let truth = read::dataset(&one);
    let mut found = read::detections(&other, &truth);
    found[0].score = None;
    let error = evaluate(&truth, &found, Kind::Boxes, &Options::default()).unwrap_err().to_string();
    assert!(
        error.contains("expected a score that is a number, found None in detections record 0"),
        "{error}"
    );
    found[0].score = Some(1.0);
    let error = evaluate(&truth, &found, Kind::Oriented, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("an oriented box of numbers"), "{error}");
    found[0].image.0 = 9;
    let error = evaluate(&truth, &found, Kind::Boxes, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("expected an image of the dataset"), "{error}");
}
