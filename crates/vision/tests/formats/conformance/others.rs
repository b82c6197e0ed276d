//! What other projects test with is read whole, and nothing is found that is not so.

use residual_vision::{Dataset, Findings, Folder, Format, Limits, Rule, detect};

use super::shared;
use crate::{read_folder, rules};

/// Reads one of datumaro's folders, after its format was told by its content.
fn datumaro(path: &str, format: Format) -> (Dataset, Vec<&'static str>) {
    let path = shared("formats/datumaro/tests/assets").join(path);
    let limits = Limits::default();
    let mut findings = Findings::new(10);
    let folder = Folder::list(&path, &limits, &mut findings).unwrap();
    assert_eq!(detect(&folder, &limits), Ok(format), "{}", path.display());
    let (dataset, findings) = read_folder(format, &path);
    (dataset, rules(&findings))
}

/// How many images, annotations and classes.
fn counts(dataset: &Dataset) -> [usize; 3] {
    [dataset.images.len(), dataset.annotations.len(), dataset.categories.len()]
}

fn splits(dataset: &Dataset) -> Vec<(&str, Option<&str>)> {
    dataset.images.iter().map(|image| (image.file.as_str(), image.split.as_deref())).collect()
}

#[test]
fn yolo_in_all_its_layouts() {
    for (path, images) in
        [("yolo_dataset/annotations", 1), ("yolo_dataset/labels", 2), ("yolo_dataset/strict", 1)]
    {
        let (dataset, faults) = datumaro(path, Format::Yolo);
        assert_eq!(faults, [""; 0], "{path}");
        assert_eq!(counts(&dataset), [images, 2 * images, 10], "{path}");
        // 15x10 pixels, as datumaro's own test has them.
        let bounds = dataset.annotations[0].bounds.unwrap();
        for (found, expected) in [(bounds.x, 0.0), (bounds.y, 2.0), (bounds.width, 4.0), (bounds.height, 2.0)]
        {
            assert!((found - expected).abs() < 1e-4, "{path}: expected {expected}, found {found}");
        }
        assert_eq!(dataset.categories[dataset.annotations[0].category.0 as usize].name, "label_2");
    }
    let (dataset, _) = datumaro("yolo_dataset/labels", Format::Yolo);
    assert_eq!(splits(&dataset), [("images/train/1.jpg", Some("train")), ("images/val/1.jpg", Some("val"))]);
    let (dataset, _) = datumaro("yolo_dataset/strict", Format::Yolo);
    assert_eq!(splits(&dataset), [("obj_train_data/1.jpg", Some("train"))]);
}

#[test]
fn roboflow_s_yolo() {
    let (dataset, faults) = datumaro("roboflow_dataset/yolo", Format::Yolo);
    assert_eq!(faults, [""; 0]);
    assert_eq!(counts(&dataset), [3, 4, 2]);
    let expected = [
        ("train/images/train_001.jpg", Some("train")),
        ("train/images/train_002.jpg", Some("train")),
        ("val/images/val_001.jpg", Some("val")),
    ];
    assert_eq!(splits(&dataset), expected);
}

#[test]
fn voc_as_the_challenge_has_it() {
    let (dataset, faults) = datumaro("voc_dataset/voc_dataset1", Format::Voc);
    assert_eq!(faults, [""; 0]);
    assert_eq!(counts(&dataset), [2, 2, 2]);
    let expected =
        [("JPEGImages/2007_000001.jpg", Some("train")), ("JPEGImages/2007_000002.jpg", Some("test"))];
    assert_eq!(splits(&dataset), expected);
    assert_eq!(dataset.images.iter().map(|image| image.labelled).collect::<Vec<_>>(), [true, false]);
    let cat = &dataset.annotations[0];
    let bounds = cat.bounds.unwrap();
    assert_eq!([bounds.x, bounds.y, bounds.width, bounds.height], [0.0, 1.0, 3.0, 3.0]);
    assert_eq!((&cat.attributes["truncated"], &cat.attributes["pose"]), (&1.into(), &"Unspecified".into()));
    assert_eq!(dataset.annotations[1].attributes["part"]["bndbox"]["xmin"], "5.5");
    let path = shared("formats/datumaro/tests/assets/voc_dataset/voc_dataset1");
    let (_, findings) = read_folder(Format::Voc, &path);
    // The part and the two masks are told.
    assert_eq!(findings.count(Rule::MetadataLost), 2);
}

/// Roboflow counts from 0, which VOC does not: the one finding is true.
#[test]
fn roboflow_s_voc() {
    let (dataset, faults) = datumaro("roboflow_dataset/voc", Format::Voc);
    assert_eq!(faults, ["VOC_ZERO_BASED"]);
    assert_eq!(counts(&dataset), [3, 4, 2]);
    assert_eq!(splits(&dataset)[2], ("val/val_001.jpg", Some("val")));
}

#[test]
fn dota() {
    let (dataset, faults) = datumaro("dota_dataset", Format::Dota);
    assert_eq!(faults, [""; 0]);
    assert_eq!(counts(&dataset), [3, 4, 2]);
    assert_eq!(splits(&dataset)[2], ("val/images/val_001.jpg", Some("val")));
    let corners = dataset.annotations[3].oriented.as_ref().unwrap().0;
    assert_eq!(corners, [[1.0, 2.0], [1.0, 5.0], [10.0, 5.0], [10.0, 2.0]]);
    assert_eq!(dataset.annotations[3].attributes["difficult"], 0);
}
