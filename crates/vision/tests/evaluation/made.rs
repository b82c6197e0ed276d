//! Datasets that are made up, with all that makes evaluators differ: crowds, ties in score and overlap, classes without
//! objects or without detections, more detections than count, ids in no order, areas at the edges of sizes.

use hotcoco::mask::{fr_polys, rle_to_string};
use proptest::prelude::*;
use residual_vision::Kind;
use serde_json::{Value, json};

/// A dataset and its detections, as COCO JSON.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) truth: Value,
    pub(crate) detections: Value,
}

#[derive(Debug, Clone)]
struct Object {
    image: prop::sample::Index,
    class: prop::sample::Index,
    corner: [f64; 2],
    size: [f64; 2],
    crowd: bool,
    /// Of a detection: whether it is a ground truth moved a little.
    moved: Option<(prop::sample::Index, [f64; 2])>,
    score: f64,
    keypoints: Vec<(f64, f64, u8)>,
    as_rle: bool,
}

fn object() -> impl Strategy<Value = Object> {
    let place = prop_oneof![(0..12u8).prop_map(|at| f64::from(at) * 8.0), 0.0..90.0];
    let size = || prop_oneof![Just(32.0), Just(96.0), Just(10.0), 1.0..100.0];
    let score = prop_oneof![Just(0.5), Just(0.25), Just(1.0), Just(0.0), 0.0..1.0];
    let shift = prop_oneof![Just(0.0), Just(1.0), -4.0..4.0];
    let moved = prop::option::weighted(
        0.8,
        (any::<prop::sample::Index>(), (shift.clone(), shift).prop_map(|(x, y)| [x, y])),
    );
    let point = (0.0..1.0f64, 0.0..1.0f64, prop_oneof![3 => Just(2u8), 1 => Just(1), 2 => Just(0)]);
    let points = prop_oneof![3 => prop::collection::vec(point, 17), 1 => Just(vec![(0.0, 0.0, 0); 17])];
    let head =
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), place.clone(), place, size(), size());
    (head, prop::bool::weighted(0.12), moved, score, points, any::<bool>()).prop_map(
        |((image, class, x, y, width, height), crowd, moved, score, keypoints, as_rle)| Object {
            image,
            class,
            corner: [x, y],
            size: [width, height],
            crowd,
            moved,
            score,
            keypoints,
            as_rle,
        },
    )
}

const SIDE: u32 = 200;

pub(crate) fn made(kind: Kind) -> impl Strategy<Value = Made> {
    let ids = |most| {
        prop::collection::hash_set(1..1000u64, 1..most).prop_map(|ids| ids.into_iter().collect::<Vec<_>>())
    };
    let found = prop_oneof![8 => 1..30usize, 1 => 110..140usize];
    let found = found.prop_flat_map(|count| prop::collection::vec(object(), count));
    (ids(6), ids(5), prop::collection::vec(object(), 0..25), found)
        .prop_map(move |(images, classes, objects, found)| make(kind, &images, &classes, &objects, &found))
}

fn make(kind: Kind, images: &[u64], classes: &[u64], objects: &[Object], found: &[Object]) -> Made {
    let truth: Vec<Value> = objects
        .iter()
        .enumerate()
        .map(|(row, object)| {
            let mut one = record(object, kind, images, classes, None);
            // The first fill the last ids, so that the order of rows is not that of ids.
            one["id"] = json!(1000 - row);
            one["area"] = json!(object.size[0] * object.size[1]);
            one["iscrowd"] = json!(u8::from(object.crowd));
            if kind == Kind::Keypoints {
                one["num_keypoints"] = json!(object.keypoints.iter().filter(|point| point.2 > 0).count());
            }
            one
        })
        .collect();
    let detections: Vec<Value> = found
        .iter()
        .map(|object| {
            let mut one = record(object, kind, images, classes, Some(objects));
            one["score"] = json!(object.score);
            if kind != Kind::Boxes {
                one.as_object_mut().unwrap().remove("bbox");
            }
            one
        })
        .collect();
    let images = images
        .iter()
        .map(|id| json!({"id": id, "width": SIDE, "height": SIDE, "file_name": format!("{id}.png")}));
    let classes = classes.iter().map(|id| json!({"id": id, "name": format!("class {id}")}));
    let truth = json!({
        "images": images.collect::<Vec<_>>(),
        "categories": classes.collect::<Vec<_>>(),
        "annotations": truth,
    });
    Made { truth, detections: json!(detections) }
}

fn record(object: &Object, kind: Kind, images: &[u64], classes: &[u64], near: Option<&[Object]>) -> Value {
    let detected = near.is_some();
    let near = near.filter(|objects| !objects.is_empty()).zip(object.moved.as_ref());
    let (like, shift) = match near {
        Some((objects, (index, shift))) => (index.get(objects), *shift),
        None => (object, [0.0, 0.0]),
    };
    let [x, y] = [like.corner[0] + shift[0], like.corner[1] + shift[1]];
    let [width, height] = like.size;
    let mut one = json!({"image_id": like.image.get(images), "category_id": like.class.get(classes), "bbox": [x, y, width, height]});
    if kind == Kind::Masks {
        // A box with a corner cut off.
        let outline =
            vec![x, y, x + width, y, x + width, y + height / 2.0, x + width / 2.0, y + height, x, y + height];
        let mask = fr_polys(std::slice::from_ref(&outline), SIDE, SIDE).unwrap();
        one["segmentation"] = if detected {
            json!({"size": [SIDE, SIDE], "counts": rle_to_string(&mask)})
        } else if object.crowd || object.as_rle {
            json!({"size": [SIDE, SIDE], "counts": mask.counts})
        } else {
            json!([outline])
        };
    }
    if kind == Kind::Keypoints {
        let point = |(across, down, visible): &(f64, f64, u8)| {
            let labelled = if *visible == 0 && !detected { 0.0 } else { 1.0 };
            [labelled * (x + across * width), labelled * (y + down * height), f64::from(*visible)]
        };
        one["keypoints"] = json!(like.keypoints.iter().flat_map(point).collect::<Vec<_>>());
    }
    one
}
