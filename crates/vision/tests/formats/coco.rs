//! What COCO's reader makes of records.

use residual_vision::{
    Bounds, Findings, Format, Keypoint, Limits, Place, Rle, Rule, Segmentation, Visibility, read_results,
};
use serde_json::{Value, json};

use super::{read_files, rules, told};

/// A file with one image of 100 by 80, one class `cat` and these annotations.
fn with(annotations: Value) -> Value {
    json!({
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": annotations,
    })
}

fn text(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

#[test]
fn one_bad_record_does_not_end_the_file() {
    let good = r#"{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4.25]}"#;
    let bad = [
        (r#"{"id": 2, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3,, 4]}"#, "PARSE_ERROR"),
        (r#"{"id": 2, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "x": 'y'}"#, "PARSE_ERROR"),
        (r#"{"id": 2, "image_id": 1, "category_id": 7, "score": 1e999}"#, "NOT_FINITE"),
        (r#"{"id": 2, "image_id": 1, "category_id": 7, "bbox": [1, 2, -Infinity, 4]}"#, "NOT_FINITE"),
        (r#"{"id": 2, "image_id": 1, "category_id": 7, "a": {"b": [{"c": 1, "c": 2}]}}"#, "DUPLICATE_KEY"),
        (r#"{"id": 2, "image_id": 1}"#, "MISSING_FIELD"),
        (r#"{"id": -2, "image_id": 1, "category_id": 7}"#, "BAD_TYPE"),
        (r#"{"id": "2", "image_id": 1, "category_id": 7}"#, "BAD_TYPE"),
        (r#"{"id": 2, "image_id": 1, "category_id": 7, "iscrowd": 2}"#, "BAD_TYPE"),
        (r#"{"id": 2, "image_id": 1, "category_id": 7, "segmentation": [1, 2, 3, 4, 5, 6]}"#, "BAD_TYPE"),
        (r#"[1]"#, "BAD_TYPE"),
    ];
    for (bad, rule) in bad {
        let file = format!(
            r#"{{"annotations": [{bad}, {good}], "images": [{{"id": 1, "file_name": "a.jpg"}}],
            "categories": [{{"id": 7, "name": "cat"}}]}}"#
        );
        let (dataset, findings) = read_files(Format::Coco, &[("a.json", file.as_bytes())]);
        assert_eq!(rules(&findings), [rule], "{bad}");
        let last = dataset.annotations.last().unwrap();
        assert_eq!(last.bounds, Some(Bounds { x: 1.0, y: 2.0, width: 3.0, height: 4.25 }), "{bad}");
    }
}

#[test]
fn a_duplicate_key_is_told_with_its_pointer() {
    let file = br#"{"images": [], "info": {"a/b": [0, {"~": 1, "~": 2}]}, "annotations": [], "images": [1]}"#;
    let (_, findings) = read_files(Format::Coco, &[("a.json", file)]);
    let places: Vec<_> = findings.iter().map(|finding| finding.place.to_string()).collect();
    assert_eq!(places, ["a.json /images", "a.json /info/a~1b/1/~0"]);
    assert_eq!(findings.count(Rule::DuplicateKey), 2);
}

#[test]
fn what_refers_to_a_record_that_was_left_out_is_left_out_without_a_word() {
    let file = json!({
        "images": [{"id": 1, "file_name": "/etc/passwd"}, {"id": 2, "file_name": "b.jpg"}],
        "categories": [{"id": 1}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2},
            {"id": 2, "image_id": 2, "category_id": 1},
            {"id": 3, "image_id": 2, "category_id": 2},
        ],
    });
    let (dataset, findings) = read_files(Format::Coco, &[("a.json", &text(&file))]);
    assert_eq!(rules(&findings), ["MISSING_FIELD", "PATH_TRAVERSAL"]);
    assert_eq!(dataset.annotations.iter().map(|one| one.id).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_broken_file_keeps_what_comes_before_the_break() {
    let file = text(&with(json!([{"id": 1, "image_id": 1, "category_id": 7}])));
    let (dataset, findings) = read_files(Format::Coco, &[("a.json", &file[..file.len() - 1])]);
    assert_eq!(rules(&findings), ["PARSE_ERROR"]);
    assert_eq!((dataset.annotations.len(), dataset.images[0].labelled), (1, true));
    let (_, findings) = read_files(Format::Coco, &[("a.json", &[&file[..], b" {}"].concat())]);
    assert_eq!(rules(&findings), ["PARSE_ERROR"]);
}

#[test]
fn masks_are_read_in_both_spellings() {
    let file = json!({
        "images": [{"id": 1, "file_name": "a.jpg", "width": 3, "height": 2}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "segmentation": {"size": [2, 3], "counts": [1, 2, 3]}},
            {"id": 2, "image_id": 1, "category_id": 7, "segmentation": {"size": [2, 3], "counts": "123"}},
        ],
    });
    let (dataset, findings) = read_files(Format::Coco, &[("a.json", &text(&file))]);
    assert_eq!(told(&findings), [""; 0]);
    for (annotation, compressed) in dataset.annotations.iter().zip([false, true]) {
        let rle = Rle { height: 2, width: 3, counts: vec![1, 2, 3], compressed };
        assert_eq!(annotation.segmentation, Some(Segmentation::Rle(rle)));
    }
}

#[test]
fn keypoints_are_held_to_the_skeleton() {
    let file = |keypoints: Value| {
        let mut file = with(json!([{"id": 1, "image_id": 1, "category_id": 7, "keypoints": keypoints}]));
        file["categories"][0]["keypoints"] = json!(["nose", "tail"]);
        file["categories"][0]["skeleton"] = json!([[1, 2]]);
        read_files(Format::Coco, &[("a.json", &text(&file))])
    };
    let (dataset, findings) = file(json!([1, 2, 2, 0, 0, 0]));
    assert_eq!(told(&findings), [""; 0]);
    let nose = Keypoint { x: 1.0, y: 2.0, visibility: Visibility::Visible };
    assert_eq!(dataset.annotations[0].keypoints[0], nose);
    assert_eq!(dataset.categories[0].skeleton.as_ref().unwrap().edges, [[0, 1]]);
    assert_eq!(rules(&file(json!([1, 2, 2])).1), ["KP_ARITY"]);
    assert_eq!(rules(&file(json!([1, 2, 2, 3, 4, 5])).1), ["KP_VISIBILITY"]);
}

#[test]
fn files_of_a_split_speak_of_the_same_images_and_those_of_others_do_not() {
    let file = |annotation: Value| text(&with(json!([annotation])));
    let boxed = json!({"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]});
    let points =
        json!({"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "keypoints": [1, 1, 2]});
    let caption = json!({"id": 1, "image_id": 1, "caption": "a cat"});
    let (dataset, findings) = read_files(
        Format::Coco,
        &[
            ("annotations/captions_train.json", &file(caption)),
            ("annotations/instances_train.json", &file(boxed.clone())),
            ("annotations/person_keypoints_train.json", &file(points)),
            ("annotations/instances_val.json", &file(boxed)),
            ("images/train/a.jpg", b""),
            ("val/a.jpg", b""),
        ],
    );
    assert_eq!(told(&findings), [""; 0]);
    let images: Vec<_> = dataset.images.iter().map(|one| (one.file.as_str(), one.split.as_deref())).collect();
    assert_eq!(images, [("images/train/a.jpg", Some("train")), ("val/a.jpg", Some("val"))]);
    assert_eq!(dataset.categories.len(), 1);
    let keypoints: Vec<_> = dataset.annotations.iter().map(|one| one.keypoints.len()).collect();
    assert_eq!(keypoints, [1, 0]);
    assert_eq!(dataset.images[0].attributes["captions"], json!([{"id": 1, "caption": "a cat"}]));
}

#[test]
fn a_class_id_means_one_class_in_all_files() {
    let file = |name: &str| {
        text(&json!({
            "images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": name}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1}],
        }))
    };
    let (dataset, findings) =
        read_files(Format::Coco, &[("train.json", &file("cat")), ("val.json", &file("dog"))]);
    assert_eq!(
        told(&findings),
        [
            "DUP_CATEGORY_ID val.json /categories/0/id: expected class 1 to be `cat` as in another file, found `dog`"
        ]
    );
    let names: Vec<_> = dataset
        .annotations
        .iter()
        .map(|one| dataset.categories[one.category.0 as usize].name.as_str())
        .collect();
    assert_eq!(names, ["cat", "dog"]);
}

#[test]
fn an_image_list_says_nothing_of_objects() {
    let mut file = with(json!([]));
    let (dataset, _) = read_files(Format::Coco, &[("image_info_test.json", &text(&file))]);
    assert!(!dataset.images[0].labelled);
    let (dataset, _) = read_files(Format::Coco, &[("instances_test.json", &text(&file))]);
    assert!(dataset.images[0].labelled);
    file.as_object_mut().unwrap().remove("annotations");
    let (dataset, _) = read_files(Format::Coco, &[("instances_test.json", &text(&file))]);
    assert!(!dataset.images[0].labelled);
}

#[test]
fn limits_hold() {
    let limits = Limits { annotations: 1, vertices: 4, ..Limits::default() };
    let read = |annotations: Value| {
        let place = super::folder(&[("a.json", &text(&with(annotations)))]);
        let mut findings = Findings::new(10);
        let folder = residual_vision::Folder::list(place.path(), &limits, &mut findings).unwrap();
        let dataset = residual_vision::read(&folder, Format::Coco, &limits, &mut findings);
        (dataset.annotations.len(), rules(&findings))
    };
    let one =
        |segmentation: Value| json!({"id": 1, "image_id": 1, "category_id": 7, "segmentation": segmentation});
    assert_eq!(read(json!([one(json!([])), one(json!([]))])), (1, vec!["RESOURCE_LIMIT"]));
    assert_eq!(read(json!([one(json!([[0, 0, 9, 0, 9, 9, 0, 9, 1, 1]]))])), (0, vec!["RESOURCE_LIMIT"]));
    assert_eq!(
        read(json!([one(json!({"size": [80, 100], "counts": [1, 1, 1, 1, 7996]}))])),
        (0, vec!["RESOURCE_LIMIT"])
    );
    let many: Vec<_> = (0..20_000).collect();
    let keys: String = (0..2_000).map(|key| format!(r#""{key}": 0,"#)).collect();
    let (_, findings) =
        read_files(Format::Coco, &[("a.json", format!(r#"{{{keys}"images": []}}"#).as_bytes())]);
    assert_eq!(rules(&findings), ["RESOURCE_LIMIT"]);
    assert_eq!(read(json!([one(json!([many]))])), (0, vec!["RESOURCE_LIMIT"]));
}

#[test]
fn results_are_read_against_a_dataset() {
    let (dataset, _) = read_files(Format::Coco, &[("a.json", &text(&with(json!([]))))]);
    let results = br#"[{"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.236},
        {"image_id": 2, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]},
        {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3], "score": 0.5},
        {"image_id": 1, "category_id": 8, "bbox": [1, 2, 3, 4], "score": NaN},
        {"image_id": 1, "category_id": 7, "bbox": [4, 3, 2, 1], "score": 0.5}]"#;
    let mut findings = Findings::new(10);
    let read = read_results("dt.json", results, &dataset, None, &Limits::default(), &mut findings);
    let of: Vec<_> = read.iter().map(|one| (one.id, one.score)).collect();
    assert_eq!(of, [(1, Some(0.236)), (6, Some(0.5))]);
    let places: Vec<_> = findings.iter().map(|one| format!("{} {}", one.rule.id(), one.place)).collect();
    assert_eq!(
        places,
        [
            "MISSING_FIELD dt.json /2/score",
            "BAD_ARITY dt.json /3/bbox",
            "NOT_FINITE dt.json:5 /4",
            "ORPHAN_IMAGE_REF dt.json /1/image_id",
        ]
    );
    assert_eq!(read[1].place, Place::file("dt.json").at(residual_vision::Pointer::Row("", 5)));
}

#[test]
fn results_of_ids_that_several_splits_have_want_the_split() {
    let file = text(&with(json!([])));
    let (dataset, _) = read_files(
        Format::Coco,
        &[("train/_annotations.coco.json", &file), ("valid/_annotations.coco.json", &file)],
    );
    let results = br#"[{"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}]"#;
    let read = |split| {
        let mut findings = Findings::new(10);
        let read = read_results("dt.json", results, &dataset, split, &Limits::default(), &mut findings);
        (read.iter().map(|one| one.image.0).collect::<Vec<_>>(), rules(&findings))
    };
    assert_eq!(read(None), (vec![], vec!["DUP_IMAGE_ID"]));
    assert_eq!(read(Some("valid")), (vec![1], vec![]));
}
