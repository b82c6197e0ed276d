//! COCO as datumaro, Roboflow, faster-coco-eval, hotcoco and we ourselves write it.

use std::{collections::BTreeMap, fs, path::Path};

use residual_vision::{
    Dataset, Findings, Folder, Format, Limits, Severity, detect, read, read_results, write,
};
use serde_json::{Value, json};

use super::shared;

fn read_folder(path: &Path) -> (Dataset, Findings) {
    let (limits, mut findings) = (Limits::default(), Findings::new(100));
    let folder = Folder::list(path, &limits, &mut findings).unwrap();
    assert_eq!(detect(&folder, &limits), Ok(Format::Coco), "{}", path.display());
    (read(&folder, Format::Coco, &limits, &mut findings), findings)
}

/// Everything graver than a mere fact.
fn told(findings: &Findings) -> Vec<String> {
    let grave = findings.iter().filter(|finding| finding.severity() > Severity::Info);
    grave.map(|finding| format!("{} {}: {}", finding.rule.id(), finding.place, finding.found)).collect()
}

/// Images and annotations.
fn sizes(dataset: &Dataset) -> (usize, usize) {
    (dataset.images.len(), dataset.annotations.len())
}

#[test]
fn samples_are_read_without_findings() {
    let samples = [
        ("formats/datumaro/tests/assets/coco_dataset/coco", (2, 4)),
        ("formats/datumaro/tests/assets/coco_dataset/coco_roboflow", (2, 3)),
        ("formats/datumaro/tests/assets/roboflow_dataset/coco", (3, 4)),
        ("formats/faster_coco_eval/tests/dataset/cocoapi", (100, 839)),
        ("photos", (6, 33)),
    ];
    for (path, expected) in samples {
        let (dataset, findings) = read_folder(&shared(path));
        assert_eq!(told(&findings), [""; 0], "{path}");
        assert_eq!(sizes(&dataset), expected, "{path}");
    }
}

#[test]
fn images_are_found_where_each_project_keeps_them() {
    let files = |path: &str| {
        let (dataset, _) = read_folder(&shared(path));
        dataset.images.into_iter().map(|image| (image.file, image.split)).collect::<Vec<_>>()
    };
    let named = |file: &str, split: &str| (file.to_owned(), Some(split.to_owned()));
    let coco = files("formats/datumaro/tests/assets/coco_dataset/coco");
    assert_eq!(coco, [named("images/train/a.jpg", "train"), named("images/val/b.jpg", "val")]);
    let roboflow = files("formats/datumaro/tests/assets/coco_dataset/coco_roboflow");
    assert_eq!(roboflow, [named("train/a.jpg", "train"), named("val/b.jpg", "val")]);
    assert_eq!(files("photos")[0], ("images/astronaut.png".to_owned(), None));
}

#[test]
fn datumaro_keypoints_captions_and_segments_are_kept() {
    let (dataset, _) = read_folder(&shared("formats/datumaro/tests/assets/coco_dataset/coco"));
    let keypoints: Vec<_> = dataset.annotations.iter().map(|one| one.keypoints.len()).collect();
    // The second is of `stuff_train.json`; what the other files say of an object has been put together.
    assert_eq!(keypoints, [3, 0, 3, 3]);
    let captions = &dataset.images[1].attributes["captions"];
    assert_eq!((&captions[0]["caption"], &captions[1]["caption"]), (&json!("world"), &json!("text")));
    assert_eq!(dataset.images[1].attributes["panoptic"][0]["segments_info"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_wrong_in_the_samples_of_others_is_found() {
    let fixtures = shared("formats/hotcoco/crates/hotcoco/tests/fixtures");
    let place = tempfile::tempdir().unwrap();
    fs::copy(fixtures.join("healthcheck_bad.json"), place.path().join("bad.json")).unwrap();
    let (dataset, findings) = read_folder(place.path());
    let places: Vec<_> = findings.iter().map(|one| format!("{} {}", one.rule.id(), one.place)).collect();
    assert_eq!(
        places,
        [
            "DUP_IMAGE_ID bad.json /images/1/id",
            "DUP_ANN_ID bad.json /annotations/1/id",
            "ORPHAN_IMAGE_REF bad.json /annotations/2/image_id",
            "UNKNOWN_CATEGORY bad.json /annotations/3/category_id",
        ]
    );
    assert_eq!(sizes(&dataset), (2, 1));
}

#[test]
fn results_are_read_against_their_ground_truth() {
    let pairs = [
        (
            "formats/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json",
            "formats/cocoapi/results/instances_val2014_fakebbox100_results.json",
            734,
        ),
        (
            "formats/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json",
            "formats/cocoapi/results/instances_val2014_fakesegm100_results.json",
            734,
        ),
        (
            "formats/faster_coco_eval/tests/dataset/gt_dataset.json",
            "formats/faster_coco_eval/tests/dataset/dt_dataset.json",
            9,
        ),
        (
            "formats/hotcoco/crates/hotcoco/tests/fixtures/gt.json",
            "formats/hotcoco/crates/hotcoco/tests/fixtures/dt.json",
            7,
        ),
    ];
    for (truth, results, expected) in pairs {
        let place = tempfile::tempdir().unwrap();
        fs::copy(shared(truth), place.path().join("gt.json")).unwrap();
        let (dataset, mut findings) = read_folder(place.path());
        let content = fs::read(shared(results)).unwrap();
        let read = read_results("dt.json", &content, &dataset, None, &Limits::default(), &mut findings);
        assert_eq!(told(&findings), [""; 0], "{results}");
        assert_eq!(read.len(), expected, "{results}");
        assert!(read.iter().all(|one| one.score.is_some()), "{results}");
    }
}

/// Every annotation file, with what does not matter taken away: the order of keys and rows, and whether a whole number is
/// written with a decimal point.
fn meaning(file: &Path) -> Value {
    fn settle(value: Value) -> Value {
        match value {
            Value::Number(number) => json!(number.as_f64()),
            Value::Array(rows) => rows.into_iter().map(settle).collect(),
            Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, settle(value))).collect(),
            other => other,
        }
    }
    settle(serde_json::from_slice(&fs::read(file).unwrap()).unwrap())
}

#[test]
fn a_clean_file_is_written_as_it_was() {
    let samples = [
        ("photos/annotations.json", "instances.json"),
        (
            "formats/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json",
            "instances_val2014_100.json",
        ),
        (
            "formats/datumaro/tests/assets/coco_dataset/coco/annotations/instances_train.json",
            "instances_train.json",
        ),
        (
            "formats/datumaro/tests/assets/coco_dataset/coco/annotations/instances_val.json",
            "instances_val.json",
        ),
        (
            "formats/datumaro/tests/assets/coco_dataset/coco/annotations/person_keypoints_val.json",
            "instances_val.json",
        ),
        ("formats/datumaro/tests/assets/coco_dataset/coco/annotations/stuff_val.json", "instances_val.json"),
        ("formats/datumaro/tests/assets/coco_dataset/coco/annotations/labels_val.json", "instances_val.json"),
        (
            "formats/datumaro/tests/assets/coco_dataset/coco/annotations/captions_val.json",
            "captions_val.json",
        ),
        (
            "formats/datumaro/tests/assets/coco_dataset/coco/annotations/panoptic_val.json",
            "panoptic_val.json",
        ),
        (
            "formats/datumaro/tests/assets/roboflow_dataset/coco/train/_annotations.coco.json",
            "instances_train.json",
        ),
        (
            "formats/croissant/datasets/1.0/coco2014-mini/data/captions_train2014.json",
            "captions_train2014.json",
        ),
    ];
    for (sample, written) in samples {
        let (sample, place) = (shared(sample), tempfile::tempdir().unwrap());
        let folder = sample.parent().and_then(Path::file_name).unwrap();
        // The folder's name may say the split.
        fs::create_dir(place.path().join(folder)).unwrap();
        fs::copy(&sample, place.path().join(folder).join(sample.file_name().unwrap())).unwrap();
        let (dataset, findings) = read_folder(place.path());
        assert_eq!(told(&findings), [""; 0], "{}", sample.display());
        let out = tempfile::tempdir().unwrap();
        assert_eq!(write(&dataset, Format::Coco, out.path()).unwrap(), []);
        let (before, mut after) = (meaning(&sample), meaning(&out.path().join("annotations").join(written)));
        // A captions file need not have classes or licences; ours have the lists, empty.
        for list in ["categories", "licenses"] {
            if before.get(list).is_none() {
                let removed = after.as_object_mut().unwrap().remove(list);
                assert_eq!(removed, Some(json!([])));
            }
        }
        assert_same(before, after, &sample);
    }
}

/// Compares rows by what they are of, since captions and segments are written image by image.
fn assert_same(before: Value, after: Value, sample: &Path) {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { panic!("objects") };
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{}", sample.display());
    let sorted = |rows: &Value| {
        let rows = rows.as_array().into_iter().flatten();
        rows.map(|row| (row.to_string(), 1)).collect::<BTreeMap<_, u32>>()
    };
    for (key, value) in &before {
        if value.is_array() {
            assert_eq!(sorted(value), sorted(&after[key]), "{key} of {}", sample.display());
        } else {
            assert_eq!(*value, after[key], "{key} of {}", sample.display());
        }
    }
}

#[test]
fn hotcoco_loads_what_is_written() {
    let (dataset, _) = read_folder(&shared("photos"));
    let out = tempfile::tempdir().unwrap();
    write(&dataset, Format::Coco, out.path()).unwrap();
    let loaded = hotcoco::COCO::new(&out.path().join("annotations/instances.json")).unwrap();
    assert_eq!(loaded.load_warnings(), [""; 0]);
    assert_eq!((loaded.dataset.images.len(), loaded.dataset.annotations.len()), (6, 33));
}
