//! Models as exporters write them, made by the `onnx` package, answer as they do in stock onnxruntime.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::{fs, io};

use image::{ImageFormat, Rgb, RgbImage};
use residual_inference::{
    Answer, Detection, Fault, InputCard, Limits, LoadError, MediaType, ModelCard, Numbers, OutputCard,
    Resize, Served,
};
use serde_json::{Value, json};

struct Peer {
    detector: Vec<u8>,
    separate: Vec<u8>,
    classifier: Vec<u8>,
    /// What onnxruntime answered.
    told: Value,
}

/// Makes the models and runs them (see `tests/peers/detector.py`).
static PEER: LazyLock<Peer> = LazyLock::new(|| {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../classifier/tests/peers/.venv/bin/python");
    let folder = tempfile::tempdir().unwrap();
    let picture = picture();
    let rows: Vec<Vec<[u8; 3]>> = picture.rows().map(|row| row.map(|pixel| pixel.0).collect()).collect();
    fs::write(folder.path().join("image.json"), json!(rows).to_string()).unwrap();
    let run = Command::new(python).arg(tests.join("detector.py")).arg(folder.path()).output();
    let run = match run {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            panic!("onnxruntime is not installed: run crates/classifier/tests/peers/setup once")
        }
        run => run.unwrap(),
    };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let read = |name| fs::read(folder.path().join(name)).unwrap();
    Peer {
        detector: read("detector.onnx"),
        separate: read("separate.onnx"),
        classifier: read("classifier.onnx"),
        told: serde_json::from_slice(&run.stdout).unwrap(),
    }
});

/// As wide as the model's and half as high, so that a letterbox needs no resampling, about which programs differ.
fn picture() -> RgbImage {
    RgbImage::from_fn(48, 16, |x, y| Rgb([(5 * x) as u8, (15 * y) as u8, ((x * x + 7 * y) % 256) as u8]))
}

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
    bytes
}

fn load(onnx: &[u8], card: Option<&str>) -> Result<Served, LoadError> {
    let card = card.map(|text| ModelCard::from_toml(text).unwrap());
    Served::load(onnx, card.as_ref(), &Limits::default())
}

fn answer(served: &Served, body: &[u8], media: MediaType) -> Answer {
    let input = served.read(body, media).unwrap();
    assert_eq!(served.units(&input), 1);
    served.answer(&input).unwrap().rows()[0].clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn close(ours: &[f64], theirs: &[f64], within: f64) {
    assert_eq!(ours.len(), theirs.len());
    for (our, their) in ours.iter().zip(theirs) {
        assert!((our - their).abs() <= within, "{our} for {their}");
    }
}

/// The model's own picture as the tensor it takes.
fn letterboxed() -> Vec<u8> {
    let pixels = numbers(&PEER.told["letterbox"]);
    let planes: Vec<f64> = (0..3)
        .flat_map(|channel| pixels.iter().skip(channel).step_by(3).map(|pixel| pixel / 255.0))
        .collect();
    json!({"shape": [1, 3, 32, 48], "data": planes}).to_string().into_bytes()
}

fn found_as_theirs(found: &[Detection]) {
    let theirs = PEER.told["found"].as_array().unwrap();
    assert!(theirs.len() > 5, "the model finds something");
    assert_eq!(found.len(), theirs.len());
    for (ours, theirs) in found.iter().zip(theirs) {
        assert_eq!(ours.class as u64, theirs["class"].as_u64().unwrap());
        assert_eq!(ours.label, ["cat", "dog's", "bird"][ours.class]);
        close(&[f64::from(ours.score)], &numbers(&theirs["score"]), 1e-5);
        close(&ours.bbox.map(f64::from), &numbers(&theirs["bbox"]), 1e-3);
    }
}

#[test]
fn tensors_are_those_of_onnxruntime() {
    let card = "[input]\nkind = \"tensor\"\n[output]\nkind = \"tensor\"\n";
    let served = load(&PEER.detector, Some(card)).unwrap();
    let Answer::Tensor { name, tensor } = answer(&served, &letterboxed(), MediaType::Json) else {
        panic!("the card says a tensor")
    };
    assert_eq!((&*name, tensor.shape()), ("output0", &[1, 7, 96][..]));
    let Numbers::F32(ours) = tensor.numbers() else { panic!("the output is floats") };
    let ours: Vec<f64> = ours.iter().copied().map(f64::from).collect();
    close(&ours, &numbers(&PEER.told["columns"]), 1e-4);
}

#[test]
fn a_detector_is_served_by_its_metadata_alone() {
    let served = load(&PEER.detector, None).unwrap();
    let InputCard::Image(image) = &served.card().input else { panic!("a detector takes images") };
    assert_eq!((image.width, image.height, image.resize), (48, 32, Resize::Letterbox));
    let Answer::Boxes(found) = answer(&served, &png(&picture()), MediaType::Png) else {
        panic!("a detector gives boxes")
    };
    found_as_theirs(&found);
    for one in &found {
        let [left, top, width, height] = one.bbox;
        assert!(left >= 0.0 && top >= 0.0 && left + width <= 48.001 && top + height <= 16.001, "{one:?}");
    }
    // As npy: a row for each box.
    let input = served.read(&png(&picture()), MediaType::Png).unwrap();
    let npy = served.answer(&input).unwrap().to_npy();
    assert_eq!(npy.len(), 128 + found.len() * 6 * 4);
    assert!(String::from_utf8_lossy(&npy[..128]).contains(&format!("'shape': ({}, 6)", found.len())));
}

#[test]
fn boxes_are_in_the_pixels_that_were_sent() {
    let served = load(&PEER.detector, None).unwrap();
    let twice = RgbImage::from_fn(96, 32, |x, y| *picture().get_pixel(x / 2, y / 2));
    let Answer::Boxes(found) = answer(&served, &png(&twice), MediaType::Png) else { panic!("boxes") };
    assert!(!found.is_empty());
    let furthest = found.iter().map(|one| one.bbox[0] + one.bbox[2]).fold(0.0, f32::max);
    assert!(furthest > 48.0 && furthest <= 96.001, "{furthest}");
}

#[test]
fn outputs_of_their_own_say_the_same() {
    let card = r#"
        [input]
        kind = "image"
        width = 48
        height = 32
        channels = 3
        layout = "nchw"
        scale = 0.00392156862745098
        resize = "letterbox"
        [output]
        kind = "boxes"
        labels = ["cat", "dog's", "bird"]
        score_threshold = 0.25
        iou_threshold = 0.7
        max_boxes = 300
        layout = { form = "separate", boxes = "boxes", scores = "best", labels = "labels", corners = "xyxy" }
    "#;
    let served = load(&PEER.separate, Some(card)).unwrap();
    let Answer::Boxes(found) = answer(&served, &png(&picture()), MediaType::Png) else { panic!("boxes") };
    found_as_theirs(&found);
    // Without a card it is not known which of the three to tell.
    assert!(matches!(load(&PEER.separate, None), Err(LoadError::WhichOutput { found: 3 })));
    for (index, name) in ["boxes", "best", "labels"].into_iter().enumerate() {
        let card = format!("[input]\nkind = \"tensor\"\n[output]\nkind = \"tensor\"\nname = \"{name}\"\n");
        let served = load(&PEER.separate, Some(&card)).unwrap();
        let Answer::Tensor { tensor, .. } = answer(&served, &letterboxed(), MediaType::Json) else {
            panic!("the card says a tensor")
        };
        let ours: Vec<f64> = match tensor.numbers() {
            Numbers::F32(numbers) => numbers.iter().copied().map(f64::from).collect(),
            Numbers::I64(numbers) => numbers.iter().map(|&number| number as f64).collect(),
            other => panic!("floats or integers: {other:?}"),
        };
        close(&ours, &numbers(&PEER.told["separate"][index]), 1e-4);
    }
}

#[test]
fn a_classifier_is_served_by_its_metadata_alone() {
    let served = load(&PEER.classifier, None).unwrap();
    let InputCard::Image(image) = &served.card().input else { panic!("a classifier takes images") };
    assert_eq!(image.resize, Resize::Crop);
    let OutputCard::Classes(card) = &served.card().output else { panic!("a classifier gives classes") };
    assert_eq!(card.labels, ["cat", "dog's", "bird"]);
    let Answer::Classes(told) = answer(&served, &letterboxed(), MediaType::Json) else { panic!("classes") };
    let theirs = numbers(&PEER.told["scores"]);
    for one in &told {
        close(&[f64::from(one.score)], &[theirs[one.class]], 1e-5);
    }
}

#[test]
fn a_detector_takes_one_picture_at_a_time() {
    let served = load(&PEER.detector, None).unwrap();
    assert_eq!(served.max_rows(), 1);
    let two = json!({"shape": [2, 3, 32, 48], "data": vec![0; 2 * 3 * 32 * 48]}).to_string();
    assert_eq!(served.read(two.as_bytes(), MediaType::Json).unwrap_err().fault(), Fault::Unfit);
}
