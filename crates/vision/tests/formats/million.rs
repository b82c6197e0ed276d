//! How long a large file takes: `cargo nextest run --release -p residual-vision million --run-ignored all --no-capture`.

use std::{fmt::Write, fs, time::Instant};

use residual_vision::{Format, write};

use super::{read_folder, told};

const ANNOTATIONS: u64 = 1_000_000;

#[test]
#[ignore = "takes seconds and a gigabyte"]
fn a_million_annotations() {
    let mut file = String::from(r#"{"categories": [{"id": 1, "name": "cat"}], "images": ["#);
    for image in 0..100_000 {
        let comma = if image == 0 { "" } else { "," };
        write!(
            file,
            r#"{comma}{{"id": {image}, "file_name": "{image:012}.jpg", "width": 640, "height": 480}}"#
        )
        .unwrap();
    }
    file.push_str(r#"], "annotations": ["#);
    for id in 0..ANNOTATIONS {
        let comma = if id == 0 { "" } else { "," };
        let (image, x, y) = (id % 100_000, (id % 597) as f64 + 0.25, (id % 431) as f64 + 0.5);
        write!(file, r#"{comma}{{"segmentation": [["#).unwrap();
        for corner in 0..20 {
            let comma = if corner == 0 { "" } else { ", " };
            write!(file, "{comma}{:.2}, {:.2}", x + f64::from(corner), y + f64::from(corner * corner % 17))
                .unwrap();
        }
        write!(
            file,
            r#"]], "area": 702.1057499999998, "iscrowd": 0, "image_id": {image}, "bbox": [{x}, {y}, 19.0, 16.0], "category_id": 1, "id": {id}}}"#
        )
        .unwrap();
    }
    file.push_str("]}");
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("instances_train.json"), &file).unwrap();
    let bytes = file.len();
    drop(file);
    let start = Instant::now();
    let (dataset, findings) = read_folder(Format::Coco, place.path());
    let reading = start.elapsed();
    assert_eq!(told(&findings), [""; 0]);
    assert_eq!(dataset.annotations.len() as u64, ANNOTATIONS);
    let start = Instant::now();
    write(&dataset, Format::Coco, &place.path().join("out")).unwrap();
    let writing = start.elapsed();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory: Vec<_> =
        status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")).collect();
    println!(
        "{ANNOTATIONS} annotations, {bytes} bytes: read in {reading:.2?}, written in {writing:.2?}; {memory:?}"
    );
}
