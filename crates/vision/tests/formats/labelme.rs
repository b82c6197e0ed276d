//! What LabelMe's reader makes of shapes.

use residual_vision::{Bounds, Format, Segmentation};
use serde_json::{Value, json};

use super::{read_files, rules, told};

fn with(shapes: Value) -> Vec<u8> {
    let file = json!({
        "version": "5.0.1", "flags": {}, "shapes": shapes, "imagePath": "..\\images\\a.jpg",
        "imageData": "AAAA", "imageHeight": 80, "imageWidth": 100,
    });
    serde_json::to_vec(&file).unwrap()
}

fn shape(kind: &str, points: Value) -> Value {
    json!({"label": "cat", "points": points, "shape_type": kind, "group_id": null, "flags": {}})
}

#[test]
fn shapes_are_outlines_boxes_and_points() {
    let shapes = json!([
        shape("polygon", json!([[0, 0], [4, 0], [4, 3.5]])),
        shape("rectangle", json!([[9, 8], [1, 2]])),
        shape("circle", json!([[10, 10], [13, 14]])),
        shape("point", json!([[5, 6]])),
        shape("line", json!([[0, 1], [9, 1]])),
    ]);
    let (dataset, findings) =
        read_files(Format::LabelMe, &[("labels/a.json", &with(shapes)), ("images/a.jpg", b"")]);
    assert_eq!(rules(&findings), [""; 0]);
    let image = &dataset.images[0];
    assert_eq!((image.file.as_str(), image.width, image.height), ("images/a.jpg", Some(100), Some(80)));
    assert!(!image.attributes.contains_key("imageData"));
    let bounds: Vec<_> = dataset.annotations.iter().map(|one| one.bounds).collect();
    let bounds_of = |x, y, width, height| Some(Bounds { x, y, width, height });
    assert_eq!(
        bounds,
        [
            bounds_of(0.0, 0.0, 4.0, 3.5),
            bounds_of(1.0, 2.0, 8.0, 6.0),
            bounds_of(5.0, 5.0, 10.0, 10.0),
            None,
            None
        ]
    );
    let outline = vec![vec![[0.0, 0.0], [4.0, 0.0], [4.0, 3.5]]];
    assert_eq!(dataset.annotations[0].segmentation, Some(Segmentation::Polygons(outline)));
    assert_eq!(dataset.annotations[3].keypoints.len(), 1);
    assert_eq!(dataset.annotations[4].attributes["points"], json!([[0.0, 1.0], [9.0, 1.0]]));
    assert_eq!(dataset.categories.len(), 1);
}

#[test]
fn outlines_of_one_group_are_one_object() {
    let part = |group: Value, x: u32| {
        let mut shape = shape("polygon", json!([[x, 0], [x + 4, 0], [x + 4, 3]]));
        shape["group_id"] = group;
        shape
    };
    let shapes = json!([part(json!(1), 0), part(json!(1), 10), part(json!(2), 20), part(json!(null), 30)]);
    let (dataset, findings) = read_files(Format::LabelMe, &[("a.json", &with(shapes).replace_path())]);
    assert_eq!(told(&findings), [""; 0]);
    let widths: Vec<_> = dataset.annotations.iter().map(|one| one.bounds.unwrap().width).collect();
    assert_eq!(widths, [14.0, 4.0, 4.0]);
}

/// The image beside the file.
trait Beside {
    fn replace_path(self) -> Vec<u8>;
}

impl Beside for Vec<u8> {
    fn replace_path(self) -> Vec<u8> {
        String::from_utf8(self).unwrap().replace(r"..\\images\\", "").into_bytes()
    }
}

#[test]
fn faults_are_told_and_the_rest_is_read() {
    let good = shape("rectangle", json!([[1, 2], [9, 8]]));
    let faults = [
        (shape("polygon", json!([[0, 0], [4, 0]])), "BAD_POLYGON"),
        (shape("rectangle", json!([[0, 0]])), "BAD_ARITY"),
        (shape("polygon", json!([[0, 0], [4, 0], [4]])), "BAD_ARITY"),
        (shape("polygon", json!([[0, 0], [4, 0], [4, "3"]])), "BAD_TYPE"),
        (shape("blob", json!([[0, 0], [4, 0]])), "BAD_TYPE"),
        (json!({"points": [[0, 0], [4, 0]], "shape_type": "rectangle"}), "MISSING_FIELD"),
    ];
    for (fault, rule) in faults {
        let file = with(json!([fault, good])).replace_path();
        let (dataset, findings) = read_files(Format::LabelMe, &[("a.json", &file)]);
        assert_eq!(rules(&findings), [rule], "{fault}");
        assert!(
            findings.iter().next().unwrap().place.to_string().starts_with("a.json /shapes/0/"),
            "{fault}"
        );
        assert_eq!(dataset.annotations.len(), 1, "{fault}");
    }
}

#[test]
fn a_path_may_climb_within_the_folder_and_not_out_of_it() {
    let (dataset, findings) = read_files(Format::LabelMe, &[("a.json", &with(json!([])))]);
    assert_eq!((rules(&findings), dataset.images.len()), (vec!["PATH_TRAVERSAL"], 0));
    let twice = [("x/a.json", &*with(json!([]))), ("y/a.json", &*with(json!([])))];
    let (dataset, findings) = read_files(Format::LabelMe, &twice);
    assert_eq!((rules(&findings), dataset.images.len()), (vec!["DUP_IMAGE_ID"], 1));
}
