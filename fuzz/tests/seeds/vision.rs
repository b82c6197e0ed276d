//! Datasets as honest tools write them.

use std::io::Cursor;

use alloy_primitives::hex;
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use super::honest::{Seed, text};

pub(crate) fn all() -> Vec<Seed> {
    [annotations_in_json(), images(), archives()].into_iter().flatten().collect()
}

fn annotations_in_json() -> Vec<Seed> {
    let coco = json!({
        "info": { "year": 2026 }, "licenses": [{ "id": 1, "name": "CC0-1.0", "url": "" }],
        "images": [{ "id": 1, "file_name": "a.jpg", "width": 100, "height": 80, "license": 1, "coco_url": "" }],
        "categories": [{ "id": 1, "name": "cat", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]] }],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20.5, 20], "area": 200.5, "iscrowd": 0,
                "segmentation": [[10, 10, 30.5, 10, 30, 30]], "keypoints": [11, 12, 2, 0, 0, 0], "num_keypoints": 1,
            },
            { "id": 2, "image_id": 1, "category_id": 1, "segmentation": { "size": [80, 100], "counts": [10, 20, 7970] } },
            { "id": 3, "image_id": 1, "category_id": 1, "segmentation": { "size": [80, 100], "counts": "Pj7" } },
            { "id": 4, "image_id": 1, "caption": "a cat" },
            { "image_id": 1, "file_name": "a.png", "segments_info": [{ "id": 7, "category_id": 1, "area": 3 }] },
        ],
    });
    let results = json!([
        { "image_id": 1, "category_id": 1, "bbox": [1, 2.5, 3, 4], "score": 0.5 },
        { "image_id": 1, "category_id": 1, "segmentation": { "size": [80, 100], "counts": "Pj7" }, "score": 1e-3 },
    ]);
    let shape = |kind: &str, points: Value| json!({ "label": kind, "points": points, "group_id": null, "shape_type": kind, "flags": {} });
    let labelme = json!({
        "version": "5.0.1", "flags": {}, "imagePath": "a.jpg", "imageData": null, "imageHeight": 80, "imageWidth": 100,
        "shapes": [
            shape("polygon", json!([[1, 2], [3.5, 4], [5, 0]])), shape("rectangle", json!([[9, 8], [1, 2]])),
            shape("circle", json!([[5, 5], [8, 9]])), shape("point", json!([[1, 2]])),
            shape("linestrip", json!([[1, 2], [3, 4], [5, 6]])),
        ],
    });
    let createml = json!([{ "image": "a.jpg", "annotations": [
        { "label": "cat", "coordinates": { "x": 55, "y": 50.5, "width": 90, "height": 60 } },
    ] }]);
    vec![
        ("coco", "each-kind", text(&coco)),
        ("coco_results", "box-and-mask", text(&results)),
        ("labelme", "each-shape", text(&labelme)),
        ("createml", "box", text(&createml)),
    ]
}

fn images() -> Vec<Seed> {
    let picture = |format| {
        let picture =
            RgbImage::from_fn(20, 17, |x, y| image::Rgb([x * 12, y * 15, x * y].map(|level| level as u8)));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    // EXIF with an orientation and a position, after the first marker.
    let jpeg = picture(ImageFormat::Jpeg);
    let tiff = "49492a00080000000200 120103000100000006000000 258804000100000026000000 00000000\
                0200 020005000300000044000000 040005000300000044000000 00000000";
    let tiff = [hex::decode(tiff.replace(' ', "")).unwrap(), [1, 0, 0, 0].repeat(6)].concat();
    let length = (tiff.len() as u16 + 8).to_be_bytes();
    let exif = [&jpeg[..2], b"\xff\xe1", &length, b"Exif\0\0", &tiff, &jpeg[2..]].concat();
    vec![
        ("image", "jpeg", jpeg),
        ("image", "jpeg-exif", exif),
        ("image", "png", picture(ImageFormat::Png)),
        ("image", "bmp", picture(ImageFormat::Bmp)),
        ("image", "gif", picture(ImageFormat::Gif)),
        ("image", "webp", picture(ImageFormat::WebP)),
        ("image", "tiff", picture(ImageFormat::Tiff)),
    ]
}

fn archives() -> Vec<Seed> {
    let mut header = [0; 46];
    header[..4].copy_from_slice(b"PK\x01\x02");
    header[28] = 5;
    let mut end = [0; 22];
    end[..4].copy_from_slice(b"PK\x05\x06");
    end[12] = 51;
    let zip = [b"\0".as_slice(), &header, b"a/b.c", &end].concat();
    let mut block = [0; 513];
    block[0] = 1;
    block[1..6].copy_from_slice(b"a/b.c");
    block[125..136].fill(b'0');
    block[157] = b'0';
    let tar = [block.as_slice(), &[0; 1024]].concat();
    vec![("archive", "zip", zip), ("archive", "tar", tar)]
}
