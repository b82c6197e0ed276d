//! What is written in COCO is read again the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use residual_vision::{
    Annotation, Attributes, Bounds, Category, CategoryIndex, Dataset, Format, Image, ImageIndex, Info,
    Keypoint, Licence, Loss, Place, Quadrangle, Rle, Segmentation, Skeleton, Visibility, WriteError, write,
};
use serde_json::{Value, json};

use super::{read_folder, told};

/// A number as annotations have it: whole, or of any bits.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![(-500_i32..500).prop_map(f64::from), -1e4..1e4, prop::num::f64::NORMAL]
}

fn size() -> impl Strategy<Value = f64> {
    number().prop_map(f64::abs).prop_filter("an area that is finite", |size| *size < 1e100)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        number().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z~/]{1,4}", inner, 0..3)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Attributes under names that are not COCO's. `null` says as much as nothing, but is kept.
fn attributes() -> impl Strategy<Value = Attributes> {
    prop::collection::btree_map("x_[a-z\"\\\\é]{0,4}", value(), 0..3)
}

fn segmentation() -> impl Strategy<Value = Option<Segmentation>> {
    let vertex = || [number(), number()];
    let polygon = prop::collection::vec(vertex(), 3..6);
    let polygons = prop::collection::vec(polygon, 1..3).prop_map(Segmentation::Polygons);
    let rle = (prop::collection::vec(0_u32..99, 1..9), any::<bool>()).prop_map(|(counts, compressed)| {
        // One column: as many rows as there are pixels.
        Segmentation::Rle(Rle { height: counts.iter().sum(), width: 1, counts, compressed })
    });
    prop_oneof![Just(None), polygons.prop_map(Some), rle.prop_map(Some)]
}

fn keypoints(count: usize) -> impl Strategy<Value = Vec<Keypoint>> {
    let visibility = prop::sample::select(vec![Visibility::Absent, Visibility::Hidden, Visibility::Visible]);
    let keypoint =
        (number(), number(), visibility).prop_map(|(x, y, visibility)| Keypoint { x, y, visibility });
    prop_oneof![Just(Vec::new()), prop::collection::vec(keypoint, count)]
}

fn category() -> impl Strategy<Value = (String, Option<String>, Option<Skeleton>, Attributes)> {
    let skeleton = prop::collection::vec([0..3_u32, 0..3_u32], 0..3).prop_map(|edges| Skeleton {
        keypoints: ["nose", "ear", "tail"].map(str::to_owned).to_vec(),
        edges,
        flip: None,
    });
    ("\\PC{1,8}", prop::option::of("[a-z]{0,4}"), prop::option::of(skeleton), attributes())
}

/// A dataset as the reader gives it: in the order of splits, with area and box wherever there is an outline.
fn dataset() -> impl Strategy<Value = Dataset> {
    let licences =
        prop::collection::btree_map(any::<u64>(), (".{0,8}", prop::option::of(".{0,8}"), attributes()), 0..3);
    let categories = prop::collection::btree_map(any::<u64>(), category(), 1..4);
    let split = prop::sample::select(vec![None, Some("test"), Some("train"), Some("val2017")]);
    let sizes = (prop::option::of(any::<u32>()), prop::option::of(any::<u32>()));
    let images = prop::collection::btree_map(
        (split, any::<u64>()),
        ("[a-zé ]{1,5}", 0_usize..4, sizes, any::<bool>(), attributes()),
        1..5,
    );
    (attributes(), licences, categories, images).prop_flat_map(|(info, licences, categories, images)| {
        let (classes, pictures) = (categories.len(), images.len());
        let annotation = (
            (0..pictures, 0..classes, size(), size(), number(), number()),
            segmentation(),
            keypoints(3),
            (size(), any::<bool>(), prop::option::of(number())),
            attributes(),
        );
        let annotations = prop::collection::btree_map(any::<u64>(), annotation, 0..6);
        (Just(info), Just(licences), Just(categories), Just(images), annotations).prop_map(assemble)
    })
}

type Made = (
    Attributes,
    BTreeMap<u64, (String, Option<String>, Attributes)>,
    BTreeMap<u64, (String, Option<String>, Option<Skeleton>, Attributes)>,
    BTreeMap<(Option<&'static str>, u64), (String, usize, (Option<u32>, Option<u32>), bool, Attributes)>,
    BTreeMap<
        u64,
        (
            (usize, usize, f64, f64, f64, f64),
            Option<Segmentation>,
            Vec<Keypoint>,
            (f64, bool, Option<f64>),
            Attributes,
        ),
    >,
);

fn assemble((info, licences, categories, images, annotations): Made) -> Dataset {
    let licence = licences.keys().next().copied();
    let licences =
        licences.into_iter().map(|(id, (name, url, attributes))| Licence { id, name, url, attributes });
    let categories = categories.into_iter().map(|(id, (name, supercategory, skeleton, attributes))| {
        Category { id, name, supercategory, skeleton, attributes }
    });
    let categories: Vec<_> = categories.collect();
    let mut images: Vec<_> = images
        .into_iter()
        .enumerate()
        .map(|(at, ((split, id), (name, dir, (width, height), labelled, attributes)))| {
            let name = format!("{name}{at}.jpg");
            let file = match (dir, split) {
                (0, Some(split)) => format!("images/{split}/{name}"),
                (1, Some(split)) => format!("{split}/{name}"),
                (2, _) => format!("images/{name}"),
                _ => name,
            };
            let (split, classes, place) = (split.map(str::to_owned), Vec::new(), Place::default());
            Image { id, file, width, height, split, licence, labelled, classes, place, attributes }
        })
        .collect();
    let mut rows = Vec::new();
    for (
        id,
        ((image, category, width, height, x, y), segmentation, keypoints, (area, crowd, score), attributes),
    ) in annotations
    {
        if let Some(Segmentation::Rle(rle)) = &segmentation {
            (images[image].height, images[image].width) = (Some(rle.height), Some(rle.width));
        }
        let keypoints = if categories[category].skeleton.is_some() { keypoints } else { Vec::new() };
        images[image].labelled = true;
        rows.push(Annotation {
            id,
            image: ImageIndex(image as u32),
            category: CategoryIndex(category as u32),
            bounds: Some(Bounds { x, y, width, height }),
            segmentation,
            oriented: None,
            keypoints,
            area: Some(area),
            crowd,
            score,
            place: Place::default(),
            attributes,
        });
    }
    let masks: BTreeMap<_, _> =
        images.iter().enumerate().map(|(at, image)| (at as u32, (image.height, image.width))).collect();
    rows.retain(|one| match &one.segmentation {
        Some(Segmentation::Rle(rle)) => masks[&one.image.0] == (Some(rle.height), Some(rle.width)),
        _ => true,
    });
    // The order in which files are read: split by split, the labelled images of one first.
    let mut order: Vec<_> = (0..images.len()).collect();
    order.sort_by_key(|at| (images[*at].split.clone(), !images[*at].labelled));
    let place = |at: u32| ImageIndex(order.iter().position(|old| *old as u32 == at).unwrap() as u32);
    for row in &mut rows {
        row.image = place(row.image.0);
    }
    let images: Vec<_> = order.iter().map(|at| images[*at].clone()).collect();
    rows.sort_by_key(|row| images[row.image.0 as usize].split.clone());
    Dataset {
        info: Info { licences: licences.collect(), attributes: info },
        categories,
        images,
        annotations: rows,
    }
}

/// The dataset without the places, which are those of the file it was read from.
fn placeless(mut dataset: Dataset) -> Dataset {
    dataset.images.iter_mut().for_each(|image| image.place = Place::default());
    dataset.annotations.iter_mut().for_each(|annotation| annotation.place = Place::default());
    dataset
}

/// Writes a dataset beside its images and reads it again.
fn again(dataset: &Dataset) -> (Dataset, Vec<Loss>, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    for image in &dataset.images {
        let path = place.path().join(&image.file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }
    let losses = write(dataset, Format::Coco, place.path()).unwrap();
    let (read, findings) = read_folder(Format::Coco, place.path());
    assert_eq!(told(&findings), [""; 0]);
    (placeless(read), losses, place)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read_again_the_same(dataset in dataset()) {
        let (read, losses, _place) = again(&dataset);
        prop_assert_eq!(losses, vec![]);
        prop_assert_eq!(read, dataset);
    }
}

fn one_of_each() -> Dataset {
    let annotation = Annotation {
        id: 1,
        image: ImageIndex(0),
        category: CategoryIndex(0),
        bounds: None,
        segmentation: None,
        oriented: Some(Box::new(Quadrangle([[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]]))),
        keypoints: Vec::new(),
        area: None,
        crowd: false,
        score: None,
        place: Place::default(),
        attributes: [("bbox".to_owned(), json!("clash"))].into(),
    };
    let flip = Skeleton { keypoints: vec!["nose".to_owned()], edges: Vec::new(), flip: Some(vec![0]) };
    Dataset {
        info: Info::default(),
        categories: vec![Category {
            id: 1,
            name: "cat".to_owned(),
            skeleton: Some(flip),
            ..Category::default()
        }],
        images: ["a.jpg", "b.jpg"]
            .map(|file| Image {
                id: 3,
                file: file.to_owned(),
                labelled: true,
                split: Some("my/split".to_owned()),
                classes: vec![CategoryIndex(0)],
                ..Image::default()
            })
            .to_vec(),
        annotations: vec![annotation],
    }
}

#[test]
fn what_coco_cannot_say_is_told() {
    let (read, losses, place) = again(&one_of_each());
    let losses: BTreeSet<_> = losses.iter().map(|loss| (loss.what.as_str(), loss.count)).collect();
    let expected = [
        ("ids that stood twice, numbered anew", 1),
        ("classes of whole images", 2),
        ("oriented boxes, written as outlines", 1),
        ("classes whose keypoints change places when mirrored", 1),
        ("attributes under names that are COCO's own", 1),
        ("names of splits that no file can have, spelled with `_`", 1),
    ];
    assert_eq!(losses, BTreeSet::from(expected));
    assert_eq!(read.images.iter().map(|image| image.id).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(read.annotations[0].bounds, Some(Bounds { x: 0.0, y: 0.0, width: 4.0, height: 2.0 }));
    assert_eq!(read.annotations[0].area, Some(8.0));
    let again = write(&read, Format::Coco, place.path()).unwrap_err();
    assert!(
        matches!(again, WriteError::Io { ref file, .. } if file == "annotations/instances_my_split.json"),
        "{again}"
    );
    assert!(matches!(write(&read, Format::LabelMe, place.path()), Err(WriteError::OnlyRead { .. })));
}

#[test]
fn whole_numbers_have_no_decimal_point() {
    let mut dataset = one_of_each();
    dataset.annotations[0].bounds = Some(Bounds { x: 1.0, y: 0.5, width: 3.0, height: 1e30 });
    let (_, _, place) = again(&dataset);
    let text = std::fs::read_to_string(place.path().join("annotations/instances_my_split.json")).unwrap();
    assert!(
        text.contains(r#""bbox":[1,0.5,3,1e30]"#) || text.contains(r#""bbox":[1,0.5,3,1e+30]"#),
        "{text}"
    );
}
