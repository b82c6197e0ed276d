//! What Create ML's reader makes of rows.

use residual_vision::{Bounds, Format};
use serde_json::json;

use super::{read_files, rules, told};

#[test]
fn boxes_are_around_their_centres() {
    let file = br#"[{"image": "a.jpg", "annotations": [{"label": "cat",
        "coordinates": {"x": 55.0, "y": 50, "width": 90, "height": 61}, "confidence": 0.5}]},
        {"imagefilename": "b.jpg", "annotation": []}]"#;
    let files = [("train/_annotations.createml.json", file.as_slice()), ("train/a.jpg", b"")];
    let (dataset, findings) = read_files(Format::CreateMl, &files);
    assert_eq!(told(&findings), [""; 0]);
    let images: Vec<_> = dataset.images.iter().map(|one| (one.file.as_str(), one.split.as_deref())).collect();
    assert_eq!(images, [("train/a.jpg", Some("train")), ("b.jpg", Some("train"))]);
    let annotation = &dataset.annotations[0];
    assert_eq!(annotation.bounds, Some(Bounds { x: 10.0, y: 19.5, width: 90.0, height: 61.0 }));
    assert_eq!(annotation.attributes["confidence"], json!(0.5));
    assert_eq!(annotation.place.to_string(), "train/_annotations.createml.json /0/annotations/0");
}

#[test]
fn faults_are_told_and_the_rest_is_read() {
    let file = br#"[{"image": "a.jpg", "annotations": [
            {"label": "cat", "coordinates": {"x": 5, "y": 5, "width": -9, "height": 6}},
            {"label": "cat", "coordinates": {"x": 5, "y": 5, "width": 9}},
            {"label": "cat", "coordinates": [1, 2, 3, 4]},
            {"coordinates": {"x": 5, "y": 5, "width": 9, "height": 6}},
            {"label": "cat", "coordinates": {"x": 5, "y": 5, "width": 9, "height": 6}}]},
        {"image": "../a.jpg", "annotations": []},
        {"image": "a.jpg", "annotations": []},
        {"image": "c.jpg", "annotations": [{"label": "cat", "coordinates": {"x": NaN, "y": 5, "width": 9, "height": 6}}]}]"#;
    let (dataset, findings) = read_files(Format::CreateMl, &[("a.json", file)]);
    let places: Vec<_> = findings.iter().map(|one| format!("{} {}", one.rule.id(), one.place)).collect();
    assert_eq!(
        places,
        [
            "MISSING_FIELD a.json /0/annotations/1/coordinates/height",
            "MISSING_FIELD a.json /0/annotations/3/label",
            "BAD_TYPE a.json /0/annotations/2/coordinates",
            "NOT_FINITE a.json:9 /3",
            "NEGATIVE_SIZE a.json /0/annotations/0/coordinates/width",
            "PATH_TRAVERSAL a.json /1/image",
            "DUP_IMAGE_ID a.json /2/image",
        ]
    );
    assert_eq!((rules(&findings).len(), dataset.images.len(), dataset.annotations.len()), (7, 1, 1));
}

#[test]
fn a_corner_beyond_all_numbers_is_told() {
    let file = br#"[{"image": "a.jpg", "annotations": [
        {"label": "cat", "coordinates": {"x": -1.7e308, "y": 0, "width": 1.7e308, "height": 1}}]}]"#;
    let (dataset, findings) = read_files(Format::CreateMl, &[("a.json", file)]);
    assert_eq!((rules(&findings), dataset.annotations.len()), (vec!["NOT_FINITE"], 0));
}
