//! What is read from a folder, written, and read again is the same, to the last bit of its coordinates.

use std::{collections::BTreeMap, fs};

use proptest::prelude::*;
use residual_vision::{
    Annotation, Bounds, Category, CategoryIndex, Dataset, Format, Image, ImageIndex, Loss, Quadrangle,
    Segmentation, write,
};
use serde_json::{Value, json};

use super::{folder, png, read_folder, rules, without_places};

/// Writes a dataset into a folder that has its images, and reads it.
fn through(dataset: &Dataset, format: Format) -> (Dataset, Vec<&'static str>, Vec<Loss>) {
    let place = tempfile::tempdir().unwrap();
    for image in &dataset.images {
        let path = place.path().join(&image.file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, png(image.width.unwrap_or(1), image.height.unwrap_or(1))).unwrap();
    }
    let losses = write(dataset, format, place.path()).unwrap();
    let (again, findings) = read_folder(format, place.path());
    (again, rules(&findings), losses)
}

/// A number from 0 to 1, in as many digits as tools write.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        (0u32..=1_000_000).prop_map(|part| format!("{:.6}", f64::from(part) / 1e6)),
        (0.0..=1.0f64).prop_map(|part| part.to_string()),
        (0.0..=1.0f32).prop_map(|part| part.to_string()),
        "0\\.[0-9]{1,18}",
        Just("1".to_owned()),
        Just("1e-7".to_owned()),
    ]
}

fn score() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), part().prop_map(|score| format!(" {score}"))]
}

/// Rows of one task, and what `data.yaml` says of it.
fn rows() -> impl Strategy<Value = (&'static str, Vec<Vec<String>>)> {
    let parts = |count: std::ops::RangeInclusive<usize>| {
        prop::collection::vec(part(), count).prop_map(|parts| parts.join(" "))
    };
    let detect = (0u32..3, parts(4..=4), score())
        .prop_map(|(class, parts, score)| format!("{class} {parts}{score}"))
        .boxed();
    let outline = (0u32..3, (3usize..9).prop_flat_map(move |count| parts(2 * count..=2 * count)), score())
        .prop_map(|(class, parts, score)| format!("{class} {parts}{score}"))
        .boxed();
    let corners = (0u32..3, parts(8..=8), score())
        .prop_map(|(class, parts, score)| format!("{class} {parts}{score}"))
        .boxed();
    let point = (part(), part(), 0u8..3).prop_map(|(x, y, visibility)| format!("{x} {y} {visibility}"));
    let pose = (0u32..3, parts(4..=4), prop::collection::vec(point, 2), score())
        .prop_map(|(class, parts, points, score)| format!("{class} {parts} {}{score}", points.join(" ")))
        .boxed();
    let flat = (0u32..3, parts(8..=8), score())
        .prop_map(|(class, parts, score)| format!("{class} {parts}{score}"))
        .boxed();
    let labels = |row: BoxedStrategy<String>| prop::collection::vec(prop::collection::vec(row, 0..4), 1..4);
    prop_oneof![
        labels(detect.clone()).prop_map(|rows| ("", rows)),
        labels(prop_oneof![outline, detect].boxed()).prop_map(|rows| ("task: segment\n", rows)),
        labels(corners).prop_map(|rows| ("", rows)),
        labels(pose)
            .prop_map(|rows| ("kpt_shape: [2, 3]\nflip_idx: [1, 0]\nkpt_names: {0: [\"a: b\", c]}\n", rows)),
        labels(flat).prop_map(|rows| ("kpt_shape: [2, 2]\n", rows)),
    ]
}

proptest! {
    #[test]
    fn yolo_comes_back(
        (config, labels) in rows(),
        sides in prop::collection::vec((1u32..5000, 1u32..5000), 4),
        place in prop::sample::select(vec!["images/train", "train/images", "", "pictures"]),
        names in prop::collection::btree_set("\\PC{1,6}|[ -~]{1,6}", 3),
        licence in "\\PC{0,8}",
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let config = format!("{config}names: {}\nlicense: {}\nx: [1, {{a: null}}]\n", json!(names), json!(licence));
        let mut files = vec![("data.yaml".to_owned(), config.into_bytes())];
        let labels_in = place.replace("images", "labels");
        for (index, (rows, (width, height))) in labels.iter().zip(sides).enumerate() {
            files.push((format!("{place}/{index}.png").trim_start_matches('/').to_owned(), png(width, height)));
            if index > 0 {
                files.push((format!("{labels_in}/{index}.txt").trim_start_matches('/').to_owned(), rows.join("\n").into_bytes()));
            }
        }
        let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
        let first = folder(&files);
        let (dataset, findings) = read_folder(Format::Yolo, first.path());
        prop_assert_eq!(rules(&findings), [""; 0]);
        prop_assert_eq!(dataset.annotations.len(), labels.iter().skip(1).map(Vec::len).sum::<usize>());
        let (again, faults, losses) = through(&dataset, Format::Yolo);
        prop_assert_eq!(faults, [""; 0]);
        prop_assert_eq!(losses, []);
        prop_assert_eq!(without_places(again), without_places(dataset));
    }

    #[test]
    fn voc_comes_back(dataset in voc()) {
        let (again, faults, losses) = through(&dataset, Format::Voc);
        prop_assert_eq!(faults, [""; 0]);
        prop_assert_eq!(losses, []);
        prop_assert_eq!(without_places(again), dataset);
    }
}

/// Text that an element of XML can hold without blanks around it.
fn text() -> impl Strategy<Value = String> {
    "[!-~]([ -~\\n\\t]{0,8}[!-~])?|\\PC{1,6}".prop_filter("no blanks around it", |text| text.trim() == text)
}

fn attribute() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::from("")), text().prop_map(Value::from)];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let list =
            prop::collection::vec(inner.clone().prop_filter("no list of lists", |one| !one.is_array()), 2..4);
        prop_oneof![
            prop::collection::btree_map("[a-z][a-z0-9_]{0,4}", inner, 1..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
            list.prop_map(Value::from),
        ]
    })
}

fn attributes() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let flags = prop::option::of(0u32..2);
    (prop::collection::btree_map("x[a-z]{1,5}", attribute(), 0..3), flags).prop_map(
        |(mut attributes, flag)| {
            attributes.extend(flag.map(|flag| ("difficult".to_owned(), Value::from(flag))));
            attributes
        },
    )
}

/// Boxes as corners say them: whole ones mostly.
fn bounds() -> impl Strategy<Value = Bounds> {
    let corner = || {
        prop_oneof![
            (1u32..2000).prop_map(f64::from),
            1.0..2000.0f64,
            (10u32..9999).prop_map(|one| f64::from(one) / 10.0)
        ]
    };
    [(corner(), corner()), (corner(), corner())].prop_map(|sides| {
        let [(x, width), (y, height)] = sides.map(|(one, other)| {
            let low = one.min(other) - 1.0;
            (low, one.max(other) - low)
        });
        Bounds { x, y, width, height }
    })
}

fn voc() -> impl Strategy<Value = Dataset> {
    let names = prop::collection::btree_set(
        "[a-zA-Z0-9][!-~]{0,6}|\\PC{1,6}"
            .prop_filter("a line", |name| name.trim() == name && !name.starts_with('#')),
        1..4,
    );
    let object = (any::<prop::sample::Index>(), bounds(), attributes());
    let image = (
        prop::collection::vec(object, 0..4),
        (1u32..5000, 1u32..5000),
        attributes(),
        prop::option::of(prop::sample::select(vec!["train", "val", "odd"])),
        any::<bool>(),
    );
    (names, prop::collection::vec(image, 1..4)).prop_map(|(names, images)| {
        let mut dataset = Dataset::default();
        for (id, name) in (0..).zip(names) {
            dataset.categories.push(Category { id, name, ..Category::default() });
        }
        for (index, (objects, (width, height), attributes, split, labelled)) in (0u32..).zip(images) {
            // What nothing speaks of is not read from anywhere.
            let labelled = labelled || !objects.is_empty() || split.is_none();
            dataset.images.push(Image {
                id: u64::from(index) + 1,
                file: format!("JPEGImages/{index}.png"),
                width: labelled.then_some(width),
                height: labelled.then_some(height),
                split: split.map(str::to_owned),
                labelled,
                attributes: if labelled { attributes } else { BTreeMap::new() },
                ..Image::default()
            });
            for (class, bounds, attributes) in objects {
                dataset.annotations.push(Annotation {
                    id: dataset.annotations.len() as u64 + 1,
                    image: ImageIndex(index),
                    category: CategoryIndex(class.index(dataset.categories.len()) as u32),
                    bounds: Some(bounds),
                    segmentation: None,
                    oriented: None,
                    keypoints: Vec::new(),
                    area: None,
                    crowd: false,
                    score: None,
                    place: residual_vision::Place::default(),
                    attributes,
                });
            }
        }
        dataset
    })
}

/// A dataset with all that neither format has words for.
fn rich() -> Dataset {
    let triangle = vec![[1.0, 1.0], [5.0, 1.0], [5.0, 5.0]];
    let annotation = Annotation {
        id: 9,
        image: ImageIndex(0),
        category: CategoryIndex(0),
        bounds: Some(Bounds { x: 1.0, y: 1.0, width: 4.0, height: 4.0 }),
        segmentation: Some(Segmentation::Polygons(vec![triangle.clone(), triangle])),
        oriented: Some(Box::new(Quadrangle([[0.0; 2]; 4]))),
        keypoints: Vec::new(),
        area: Some(8.0),
        crowd: true,
        score: Some(0.5),
        place: residual_vision::Place::default(),
        attributes: BTreeMap::from([("a".to_owned(), json!(true))]),
    };
    let image = |file: &str, side| Image {
        file: file.to_owned(),
        width: side,
        height: side,
        labelled: true,
        split: Some("odd".to_owned()),
        ..Image::default()
    };
    Dataset {
        categories: vec![Category {
            id: 7,
            name: "cat".to_owned(),
            supercategory: Some("pet".to_owned()),
            ..Category::default()
        }],
        images: vec![
            image("images/a.png", Some(10)),
            image("../b.png", Some(10)),
            image("images/a.jpg", Some(10)),
        ],
        annotations: vec![annotation],
        ..Dataset::default()
    }
}

#[test]
fn what_a_format_cannot_say_is_told() {
    let told = |format| {
        let place = tempfile::tempdir().unwrap();
        let losses = write(&rich(), format, place.path()).unwrap();
        losses.into_iter().map(|loss| format!("{} {}", loss.count, loss.what)).collect::<Vec<_>>()
    };
    assert_eq!(
        told(Format::Yolo),
        [
            "1 areas",
            "1 attributes of annotations",
            "1 boxes beside oriented ones",
            "1 ids of categories",
            "1 images whose label would be another's",
            "1 images whose path leads out of the folder",
            "1 marks of crowds",
            "2 outlines",
            "1 splits other than train, val and test",
            "1 supercategories",
        ]
    );
    assert_eq!(
        told(Format::Voc),
        [
            "1 areas",
            "1 ids of categories",
            "1 images whose annotation file would be another's",
            "1 images whose path leads out of the folder",
            "1 marks of crowds",
            "1 oriented boxes",
            "1 outlines and masks",
            "1 scores",
            "1 supercategories",
            "1 truth values and nothings, now texts",
        ]
    );
}

#[test]
fn nothing_is_written_over_and_what_is_only_read_is_not_written() {
    let place = folder(&[("data.yaml", b"mine")]);
    let refused = write(&Dataset::default(), Format::Yolo, place.path()).unwrap_err();
    assert!(refused.to_string().contains("data.yaml"), "{refused}");
    assert_eq!(fs::read(place.path().join("data.yaml")).unwrap(), b"mine");
    assert!(write(&Dataset::default(), Format::Dota, place.path()).is_err());
}
