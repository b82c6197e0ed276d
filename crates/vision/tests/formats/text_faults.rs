//! Each broken file yields exactly the findings that it was made for.

use std::{collections::BTreeMap, fs};

use residual_vision::Format;

use super::{corrupt, folder, png, read_folder, rules};

/// What only shows on the model is for the linter to find.
const ON_THE_MODEL: &[&str] = &["DUPLICATE_ANNOTATION", "OUT_OF_BOUNDS"];

fn expected(prefix: &str) -> BTreeMap<String, Vec<String>> {
    let expected = fs::read(corrupt("expected.json")).unwrap();
    let expected: BTreeMap<String, Vec<String>> = serde_json::from_slice(&expected).unwrap();
    let ours = expected.into_iter().filter(|(case, _)| case.starts_with(prefix));
    let ours: BTreeMap<_, _> = ours
        .map(|(case, mut rules)| {
            rules.retain(|rule| !ON_THE_MODEL.contains(&rule.as_str()));
            (case, rules)
        })
        .collect();
    assert!(ours.len() >= 8, "expected cases of {prefix}");
    ours
}

#[test]
fn each_broken_label_of_yolo_is_told_as_what_it_is() {
    for (case, expected) in expected("yolo/") {
        let label = fs::read(corrupt(&case)).unwrap();
        let image = png(100, 80);
        let place = folder(&[
            ("data.yaml", b"train: images\nnames: [cat, dog]\n"),
            ("images/a.png", &image),
            ("labels/a.txt", &label),
        ]);
        let (dataset, findings) = read_folder(Format::Yolo, place.path());
        assert_eq!(rules(&findings), expected, "{case}");
        assert!(dataset.images[0].labelled, "{case}");
        let rows = String::from_utf8(label).unwrap().lines().count();
        assert_eq!(dataset.annotations.len(), if expected.is_empty() { rows } else { 0 }, "{case}");
        assert!(findings.iter().all(|one| one.place.to_string() == "labels/a.txt:1"), "{case}");
    }
}

#[test]
fn a_box_past_the_edge_is_kept_as_it_is() {
    let label = fs::read(corrupt("yolo/labels/edge.txt")).unwrap();
    let image = png(100, 80);
    let place = folder(&[("images/a.png", &image), ("labels/a.txt", &label)]);
    let (dataset, _) = read_folder(Format::Yolo, place.path());
    let bounds = dataset.annotations[0].bounds.unwrap();
    assert_eq!((bounds.x, bounds.width), (85.0, 20.0));
}

#[test]
fn each_broken_file_of_voc_is_told_as_what_it_is() {
    for (case, expected) in expected("voc/") {
        let file = fs::read(corrupt(&case)).unwrap();
        let image = png(100, 80);
        let place = folder(&[("Annotations/a.xml", &file), ("JPEGImages/a.jpg", &image)]);
        let (dataset, findings) = read_folder(Format::Voc, place.path());
        assert_eq!(rules(&findings), expected, "{case}");
        assert!(findings.iter().all(|one| one.place.line == Some(1)), "{case}");
        assert_eq!(dataset.images.len(), 1, "{case}");
        assert_eq!(
            (&*dataset.images[0].file, dataset.images[0].labelled),
            ("JPEGImages/a.jpg", true),
            "{case}"
        );
        let kept = expected.is_empty() || expected == ["VOC_ZERO_BASED"];
        assert_eq!(dataset.annotations.len(), usize::from(kept), "{case}");
    }
}

#[test]
fn other_faults_of_yolo_are_told_as_what_they_are() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("names: [cat]\n", "0 0.5 0.5 -0.1 0.2", &["NEGATIVE_SIZE"]),
        ("names: [cat]\n", "0 0.5 0.5 inf 0.2", &["NOT_FINITE"]),
        ("names: [cat]\n", "0 0.5 x 0.1 0.2", &["BAD_TYPE"]),
        ("names: [cat]\n", "cat 0.5 0.5 0.1 0.2", &["BAD_TYPE"]),
        ("names: [cat]\n", "-1 0.5 0.5 0.1 0.2", &["UNKNOWN_CATEGORY"]),
        ("names: [cat]\n", "99999999999999999999999 0.5 0.5 0.1 0.2", &["UNKNOWN_CATEGORY"]),
        ("names: [cat]\n", "0 0.5 0.5 0.1 0.2 1.5", &["NOT_NORMALISED"]),
        ("names: [cat]\n", "0 0.1 0.1 0.2 0.1 0.2 1.2", &["NOT_NORMALISED"]),
        ("names: [cat]\nkpt_shape: [1, 3]\n", "0 0.5 0.5 0.1 0.2 0.5 0.5", &["BAD_ARITY"]),
        ("names: [cat]\nkpt_shape: [1, 3]\n", "0 0.5 0.5 0.1 0.2 0.5 0.5 3", &["KP_VISIBILITY"]),
        ("names: [cat]\nkpt_shape: [1, 4]\n", "0 0.5 0.5 0.1 0.2", &["BAD_ARITY"]),
        ("names: [cat]\nkpt_shape: [99999999, 3]\n", "0 0.5 0.5 0.1 0.2", &["RESOURCE_LIMIT"]),
        ("names: [cat]\nkpt_shape: [1, 2]\nflip_idx: [1]\n", "0 0.5 0.5 0.1 0.2 0.5 0.5", &["BAD_ARITY"]),
        ("names: [cat]\nnc: 2\n", "0 0.5 0.5 0.1 0.2", &["BAD_ARITY"]),
        ("names: cat\nnc: 1\n", "0 0.5 0.5 0.1 0.2", &["BAD_TYPE"]),
        ("names: [cat]\nnames: [dog]\n", "0 0.5 0.5 0.1 0.2", &["DUPLICATE_KEY"]),
        ("names: [cat\n", "0 0.5 0.5 0.1 0.2", &["PARSE_ERROR"]),
        ("names: [cat]\npath: /data/set\n", "0 0.5 0.5 0.1 0.2", &["PATH_TRAVERSAL"]),
        ("names: [cat]\ntrain: ../../images\n", "0 0.5 0.5 0.1 0.2", &["PATH_TRAVERSAL"]),
        ("names: [cat]\ntrain: ../private\n", "0 0.5 0.5 0.1 0.2", &["PATH_TRAVERSAL"]),
        ("names: [cat]\ntrain: images\nval: images\n", "0 0.5 0.5 0.1 0.2", &["SPLIT_LEAKAGE"]),
        ("names: [cat]\ntrain: ../train/images\nval: ../valid/images\n", "0 0.5 0.5 0.1 0.2", &[]),
    ];
    for (config, label, expected) in cases {
        let image = png(100, 80);
        let place = folder(&[
            ("data.yaml", config.as_bytes()),
            ("images/a.png", &image),
            ("labels/a.txt", label.as_bytes()),
        ]);
        let (_, findings) = read_folder(Format::Yolo, place.path());
        assert_eq!(rules(&findings), *expected, "{config}{label}");
    }
    let place = folder(&[("labels/a.txt", b"0 0.5 0.5 0.1 0.2\n0 0.5 0.5 0.1 \xff\n")]);
    let (_, findings) = read_folder(Format::Yolo, place.path());
    assert_eq!(rules(&findings), ["BAD_ENCODING"]);
    assert_eq!(findings.iter().next().unwrap().place.line, Some(2));
}

#[test]
fn other_faults_of_voc_are_told_as_what_they_are() {
    let corners = |corners: &str| {
        format!(
            "<annotation><filename>a.png</filename><object><name>cat</name><bndbox>{corners}</bndbox></object></annotation>"
        )
    };
    let right = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>";
    let whole = corners(right);
    let cases: &[(String, &[&str])] = &[
        (corners(right), &[]),
        (corners(&right.replace(">9<", ">nan<")), &["NOT_FINITE"]),
        (corners(&right.replace("<xmin>1<", "<xmin>one<")), &["BAD_TYPE"]),
        (corners(&right.replace("<xmin>1<", "<xmin><")), &["BAD_TYPE"]),
        (corners(&right.replace("<xmin>1</xmin>", "")), &["MISSING_FIELD"]),
        (corners(&format!("{right}<xmin>2</xmin>")), &["DUPLICATE_KEY"]),
        (whole.replace("<name>cat</name>", ""), &["MISSING_FIELD"]),
        (whole.replace("<filename>a.png</filename>", ""), &["MISSING_FIELD"]),
        (whole.replace("a.png", "../a.png"), &["PATH_TRAVERSAL"]),
        (whole.replace("a.png", "C:\\a.png"), &["PATH_TRAVERSAL"]),
        (whole.replace("<object>", "<folder>../..</folder><object>"), &["PATH_TRAVERSAL"]),
        (whole.replace("<object>", "<size><width>-1</width></size><object>"), &["NEGATIVE_SIZE"]),
        (whole.replace("<object>", "<size><width>1.5</width></size><object>"), &["BAD_TYPE"]),
        (whole.replace("cat", "&cat;"), &["PARSE_ERROR"]),
    ];
    for (file, expected) in cases {
        let image = png(10, 10);
        let place = folder(&[("a.xml", file.as_bytes()), ("a.png", &image)]);
        let (_, findings) = read_folder(Format::Voc, place.path());
        assert_eq!(rules(&findings), *expected, "{file}");
    }
}

#[test]
fn corners_from_zero_are_told_of_once() {
    let file = |name: &str| {
        format!(
            "<annotation><filename>{name}.png</filename><object><name>cat</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
        )
    };
    let (first, second) = (file("a"), file("b"));
    let place = folder(&[("a.xml", first.as_bytes()), ("b.xml", second.as_bytes())]);
    let (dataset, findings) = read_folder(Format::Voc, place.path());
    assert_eq!(rules(&findings), ["VOC_ZERO_BASED"]);
    assert!(findings.iter().next().unwrap().found.contains("2 boxes"));
    assert_eq!(dataset.annotations.len(), 2);
}

#[test]
fn faults_of_cvat_and_dota_are_told_as_what_they_are() {
    let image = |shapes: &str| {
        format!(
            "<annotations><meta><labels><label><name>cat</name></label></labels></meta><image id='0' name='a.png' width='10' height='10'>{shapes}</image></annotations>"
        )
    };
    let of_cvat: &[(String, &[&str])] = &[
        (image("<box label='cat' xtl='1' ytl='1' xbr='2' ybr='2'/>"), &[]),
        (image("<box label='dog' xtl='1' ytl='1' xbr='2' ybr='2'/>"), &["UNKNOWN_CATEGORY"]),
        (image("<box label='cat' xtl='1' ytl='1' xbr='0' ybr='2'/>"), &["NEGATIVE_SIZE"]),
        (image("<box label='cat' xtl='1' ytl='1' xbr='2'/>"), &["MISSING_FIELD"]),
        (image("<box label='cat' xtl='1' ytl='nan' xbr='2' ybr='2'/>"), &["NOT_FINITE"]),
        (image("<polygon label='cat' points='1,2;3,4'/>"), &["BAD_POLYGON"]),
        (image("<polygon label='cat' points='1,2;3;4,5'/>"), &["BAD_ARITY"]),
        (image("<mask label='cat' rle='0, 3' left='0' top='0' width='2' height='2'/>"), &["RLE_LENGTH"]),
        (
            image("<mask label='cat' rle='0, 4' left='9' top='0' width='2' height='2'/>"),
            &["RLE_SIZE_MISMATCH"],
        ),
        (image("<blob label='cat'/>"), &["PARSE_ERROR"]),
        (image("").replace("a.png", "/a.png"), &["PATH_TRAVERSAL"]),
        (image("").replace("width='10'", "width='ten'"), &["BAD_TYPE"]),
    ];
    for (file, expected) in of_cvat {
        let place = folder(&[("annotations.xml", file.as_bytes())]);
        let (_, findings) = read_folder(Format::Cvat, place.path());
        assert_eq!(rules(&findings), *expected, "{file}");
    }
    let of_dota: &[(&str, &[&str])] = &[
        ("imagesource:GoogleEarth\ngsd:0.5\n0 0 2 0 2 2 0 2 ship 1\n", &[]),
        ("0 0 2 0 2 2 0 2\n", &["BAD_ARITY"]),
        ("0 0 2 0 2 2 0 2 ship 0 0\n", &["BAD_ARITY"]),
        ("0 0 2 0 2 inf 0 2 ship 0\n", &["NOT_FINITE"]),
        ("0 0 2 0 x 2 0 2 ship 0\n", &["BAD_TYPE"]),
        ("0 0 2 0 2 2 0 2 ship hard\n", &["BAD_TYPE"]),
        ("0,0,2,0,2,2,0,2,ship,0\n", &["PARSE_ERROR"]),
    ];
    for (label, expected) in of_dota {
        let place = folder(&[("labelTxt/a.txt", label.as_bytes())]);
        let (_, findings) = read_folder(Format::Dota, place.path());
        assert_eq!(rules(&findings), *expected, "{label}");
    }
}
