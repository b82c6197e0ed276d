//! Datasets as honest tools write them.

use std::io::Cursor;

use alloy_primitives::hex;
use image::{GrayImage, ImageFormat, RgbImage};
use serde_json::{Value, json};

use super::honest::{Seed, text};

pub(crate) fn all() -> Vec<Seed> {
    [annotations_in_json(), annotations_as_text(), images(), archives()].into_iter().flatten().collect()
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

fn annotations_as_text() -> Vec<Seed> {
    let rows = |kind: u8, rows: &str| [&[kind], rows.as_bytes()].concat();
    let config = "path: .\ntrain: images\nval: [val.txt]\nnc: 2\nnames:\n  0: cat\n  1: 'a dog'\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\nkpt_names:\n  0: [left, right]\nroboflow:\n  license: CC BY 4.0\n";
    let voc = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<annotation>\n  <folder>VOC</folder>\n  <filename>a.png</filename>\n  <size><width>640</width><height>480</height><depth>3</depth></size>\n  <object>\n    <name>cat &amp; dog</name>\n    <difficult>0</difficult>\n    <bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>\n    <part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>\n  </object>\n</annotation>\n";
    let bomb = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'>]><annotation>&c;</annotation>";
    let cvat = "<annotations><version>1.1</version><meta><task><labels><label><name>cat</name></label><label><name>person</name><type>skeleton</type></label><label><name>eye</name><parent>person</parent></label></labels></task></meta>\n<image id=\"0\" name=\"a.png\" width=\"640\" height=\"480\">\n<box label=\"cat\" xtl=\"1\" ytl=\"1\" xbr=\"3\" ybr=\"2\" rotation=\"30\"><attribute name=\"tail\">long</attribute></box>\n<polygon label=\"cat\" points=\"0,0;2,0;2,2\"/>\n<mask label=\"cat\" rle=\"1, 3\" left=\"1\" top=\"0\" width=\"2\" height=\"2\"/>\n<skeleton label=\"person\"><points label=\"eye\" occluded=\"1\" points=\"2,1\"/></skeleton>\n</image></annotations>";
    let track = "<annotations><version>1.1</version><track id=\"1\" label=\"cat\"><box frame=\"3\" outside=\"0\" xtl=\"1\" ytl=\"1\" xbr=\"3\" ybr=\"2\"/></track></annotations>";
    let dota = "imagesource:GoogleEarth\ngsd:0.146\n1 1 5 1 5 5.5 1 5.5 ship 0\n";
    let mut png = Cursor::new(Vec::new());
    GrayImage::new(3, 2).write_to(&mut png, ImageFormat::Png).unwrap();
    let mut jpeg = Cursor::new(Vec::new());
    GrayImage::new(3, 2).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    vec![
        ("yolo_label", "detect", rows(0, "0 0.5 0.5 0.2 0.2\r\n1 0.133333 0.3 0.266667 0.2 0.9\n")),
        ("yolo_label", "segment", rows(0, "0 0.1 0.1 0.2 0.1 0.2 0.2\n1 0.5 0.5 0.2 0.2\n")),
        ("yolo_label", "oriented", rows(0, "0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n")),
        ("yolo_label", "pose", rows(1, "0 0.5 0.5 0.2 0.2 0.4 0.4 2 0 0 0\n")),
        ("yolo_label", "flat-pose", rows(2, "0 0.5 0.5 0.2 0.2 0.4 0.4 0.6 0.6\n")),
        ("yolo_config", "every-field", config.into()),
        ("yolo_config", "list", "names: [cat, dog]\nnc: 2\ntrain: ../train/images\n".into()),
        ("voc", "object", voc.into()),
        ("voc", "bomb", bomb.into()),
        ("cvat", "shapes", cvat.into()),
        ("cvat", "track", track.into()),
        ("dota", "rows", dota.into()),
        ("image_folder", "splits", "train/cat/a.png\ntrain/dog/b.png\nval/cat/c.jpg".into()),
        ("image_header", "png", png.into_inner()),
        ("image_header", "jpeg", jpeg.into_inner()),
    ]
}
