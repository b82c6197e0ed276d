//! The least of a COCO reader: the model of a well-formed file.

use residual_vision::{
    Annotation, Attributes, Bounds, Category, CategoryIndex, Dataset, Image, ImageIndex, Keypoint, Place,
    Pointer, Rle, Segmentation, Skeleton, Visibility,
};
use serde_json::Value;

pub(crate) fn file(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn dataset(json: &Value) -> Dataset {
    let images = rows(json, "images").map(|one| Image {
        id: one["id"].as_u64().unwrap(),
        file: one["file_name"].as_str().unwrap_or_default().to_owned(),
        width: one["width"].as_u64().map(|width| width as u32),
        height: one["height"].as_u64().map(|height| height as u32),
        labelled: true,
        ..Image::default()
    });
    let categories = rows(json, "categories").map(|one| Category {
        id: one["id"].as_u64().unwrap(),
        name: one["name"].as_str().unwrap_or_default().to_owned(),
        skeleton: one["keypoints"].as_array().map(|names| Skeleton {
            keypoints: names.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
            ..Skeleton::default()
        }),
        ..Category::default()
    });
    let mut dataset =
        Dataset { images: images.collect(), categories: categories.collect(), ..Dataset::default() };
    dataset.annotations = annotations(json["annotations"].as_array().unwrap(), &dataset);
    dataset
}

pub(crate) fn annotations(list: &[Value], dataset: &Dataset) -> Vec<Annotation> {
    list.iter().enumerate().filter_map(|(row, one)| annotation(row, one, dataset)).collect()
}

/// None for what names a class or an image that is not there.
fn annotation(row: usize, one: &Value, dataset: &Dataset) -> Option<Annotation> {
    let image = dataset.images.iter().position(|image| Some(image.id) == one["image_id"].as_u64())?;
    let category =
        dataset.categories.iter().position(|class| Some(class.id) == one["category_id"].as_u64())?;
    let bounds = one["bbox"].as_array().map(|_| {
        let numbers = numbers(&one["bbox"]);
        Bounds { x: numbers[0], y: numbers[1], width: numbers[2], height: numbers[3] }
    });
    Some(Annotation {
        id: one["id"].as_u64().unwrap_or(row as u64 + 1),
        image: ImageIndex(image as u32),
        category: CategoryIndex(category as u32),
        bounds,
        segmentation: segmentation(&one["segmentation"]),
        oriented: None,
        keypoints: numbers(&one["keypoints"]).chunks_exact(3).map(keypoint).collect(),
        area: one["area"].as_f64(),
        crowd: one["iscrowd"].as_u64() == Some(1),
        score: one["score"].as_f64(),
        place: Place::file("a.json").at(Pointer::Row("annotations", row as u32)),
        attributes: Attributes::default(),
    })
}

fn rows<'a>(json: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    json[list].as_array().into_iter().flatten()
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().into_iter().flatten().map(|number| number.as_f64().unwrap()).collect()
}

fn keypoint(point: &[f64]) -> Keypoint {
    let visibility = match point[2] as u8 {
        0 => Visibility::Absent,
        1 => Visibility::Hidden,
        _ => Visibility::Visible,
    };
    Keypoint { x: point[0], y: point[1], visibility }
}

fn segmentation(json: &Value) -> Option<Segmentation> {
    if let Some(polygons) = json.as_array() {
        let vertices = |polygon: &Value| numbers(polygon).as_chunks().0.to_vec();
        return Some(Segmentation::Polygons(polygons.iter().map(vertices).collect()));
    }
    let size: Vec<u32> = numbers(json.get("size")?).into_iter().map(|number| number as u32).collect();
    let counts = match &json["counts"] {
        Value::String(text) => hotcoco::mask::rle_from_string(text, size[0], size[1]).unwrap().counts,
        list => numbers(list).into_iter().map(|number| number as u32).collect(),
    };
    Some(Segmentation::Rle(Rle {
        height: size[0],
        width: size[1],
        counts,
        compressed: json["counts"].is_string(),
    }))
}
