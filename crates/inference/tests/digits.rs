//! The model that the demo publishes, under its card: as sure of every digit as the classifier that trained it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;
use std::thread;

use image::{DynamicImage, GrayImage, ImageFormat, Luma, imageops::FilterType};
use residual_classifier::{Model, Sample, TrainConfig, onnx, parse_csv, train};
use residual_inference::{
    Answer, Answers, ClassScore, Fault, Limits, LoadError, MediaType, ModelCard, OutputCard, RequestError,
    Served,
};
use serde_json::json;

fn example(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

static HELD_OUT: LazyLock<Vec<Sample>> =
    LazyLock::new(|| parse_csv(&example("digits-held-out/digits.csv")).unwrap());

static TRAINED: LazyLock<Model> = LazyLock::new(|| {
    train(&parse_csv(&example("digits-a/digits.csv")).unwrap(), &TrainConfig::default()).unwrap()
});

static SERVED: LazyLock<Served> =
    LazyLock::new(|| Served::load(&onnx::export(&TRAINED), Some(&card()), &Limits::default()).unwrap());

fn card() -> ModelCard {
    ModelCard::from_toml(&String::from_utf8(example("digits-model.toml")).unwrap()).unwrap()
}

fn answer(body: &[u8], media: MediaType) -> Answers {
    let input = SERVED.read(body, media).unwrap();
    SERVED.answer(&input).unwrap()
}

fn classes(answer: &Answer) -> &[ClassScore] {
    let Answer::Classes(classes) = answer else { panic!("the card says classes: {answer:?}") };
    classes
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.into().write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
    bytes
}

/// As one would draw it: white ink on black, as bright as 8 bits allow.
fn picture(sample: &Sample) -> GrayImage {
    GrayImage::from_fn(8, 8, |x, y| {
        Luma([(f64::from(sample.pixels()[(8 * y + x) as usize]) * 255.0 / 16.0).round() as u8])
    })
}

fn npy(rows: &[&Sample]) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}, 64), }}\n", rows.len());
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(rows.iter().flat_map(|sample| sample.pixels()));
    bytes
}

#[test]
fn tensors_are_answered_as_the_classifier_answers() {
    for rows in HELD_OUT.chunks(64) {
        let rows: Vec<&Sample> = rows.iter().collect();
        let input = SERVED.read(&npy(&rows), MediaType::Npy).unwrap();
        assert_eq!(SERVED.units(&input), rows.len() as u64);
        let answers = SERVED.answer(&input).unwrap();
        assert_eq!(answers.rows().len(), rows.len());
        for (answer, sample) in answers.rows().iter().zip(rows) {
            let ours = TRAINED.predict(sample.pixels());
            let told = classes(answer);
            assert_eq!(told[0].class, usize::from(ours.label));
            assert_eq!(told[0].label, ours.label.to_string());
            for one in told {
                assert!((one.score - ours.probabilities[one.class]).abs() <= 1e-5, "{told:?} for {ours:?}");
            }
        }
    }
}

#[test]
fn pictures_of_every_held_out_digit_are_told_as_the_classifier_tells_them() {
    for sample in HELD_OUT.iter() {
        let told = answer(&png(picture(sample)), MediaType::Png);
        let ours = TRAINED.predict(sample.pixels());
        assert_eq!(classes(&told.rows()[0])[0].class, usize::from(ours.label), "{sample:?}");
    }
}

#[test]
fn a_larger_picture_is_brought_to_size() {
    let same = HELD_OUT.iter().filter(|sample| {
        let large = DynamicImage::from(picture(sample)).resize_exact(80, 80, FilterType::Nearest);
        let told = answer(&png(large.into_rgb8()), MediaType::Png);
        classes(&told.rows()[0])[0].class == usize::from(TRAINED.predict(sample.pixels()).label)
    });
    // Shrinking blurs what lies at the borders of the 64 pixels: a few digits in a hundred are told differently.
    assert!(same.count() * 100 >= HELD_OUT.len() * 95);
}

/// INF-2.
#[test]
fn all_forms_of_one_request_have_one_answer() {
    let sample = &HELD_OUT[0];
    let pixels = sample.pixels().as_slice();
    let whole = answer(&npy(&[sample]), MediaType::Npy);
    for body in [
        json!(pixels),
        json!([pixels]),
        json!({"shape": [64], "data": pixels}),
        json!({"data": pixels, "shape": [1, 64]}),
    ] {
        assert_eq!(answer(body.to_string().as_bytes(), MediaType::Json), whole);
    }
    // A row's answer does not depend on its neighbours.
    let together = answer(&npy(&[&HELD_OUT[1], sample, &HELD_OUT[2]]), MediaType::Npy);
    assert_eq!(together.rows()[1], whole.rows()[0]);
    let json = serde_json::to_value(&whole).unwrap();
    assert_eq!(json[0]["classes"].as_array().unwrap().len(), 10);
    assert!(json[0]["classes"][0]["score"].as_f64() >= json[0]["classes"][1]["score"].as_f64());
}

/// INF-2.
#[test]
fn the_same_bytes_give_the_same_bytes_on_any_thread() {
    let body = npy(&HELD_OUT[..64].iter().collect::<Vec<_>>());
    let alone = answer(&body, MediaType::Npy).to_npy();
    thread::scope(|scope| {
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| answer(&body, MediaType::Npy).to_npy())).collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), alone);
        }
    });
    assert_eq!(alone.len(), 128 + 64 * 10 * 4);
}

#[test]
fn without_a_card_it_is_a_model_of_tensors() {
    let served = Served::load(&onnx::export(&TRAINED), None, &Limits::default()).unwrap();
    assert_eq!((&*served.input().name, &*served.input().shape), ("pixels", &[1, 64][..]));
    assert_eq!(served.outputs()[0].shape, [1, 10]);
    let input = served.read(&npy(&[&HELD_OUT[0], &HELD_OUT[1]]), MediaType::Npy).unwrap();
    let answers = served.answer(&input).unwrap();
    let Answer::Tensor { name, tensor } = &answers.rows()[1] else { panic!("{answers:?}") };
    assert_eq!((&**name, tensor.shape()), ("probabilities", &[1, 10][..]));
    let refused = served.read(&png(picture(&HELD_OUT[0])), MediaType::Png).unwrap_err();
    assert_eq!(refused.fault(), Fault::MediaType);
}

#[test]
fn faults_of_requests_say_whose_they_are() {
    let refused = |body: &[u8], media| SERVED.read(body, media).unwrap_err();
    let fault = |body: &[u8], media| refused(body, media).fault();
    assert_eq!(fault(b"[[1,2", MediaType::Json), Fault::Malformed);
    assert_eq!(fault(b"GIF89a", MediaType::Png), Fault::Malformed);
    assert_eq!(fault(b"[1,2,3]", MediaType::Json), Fault::Unfit);
    assert_eq!(fault(&vec![b' '; (16 << 20) + 1], MediaType::Json), Fault::TooLarge);
    let many: Vec<&Sample> = HELD_OUT[..65].iter().collect();
    assert_eq!(fault(&npy(&many), MediaType::Npy), Fault::Unfit);
    assert!(matches!(
        refused(b"[[1]]", MediaType::Json),
        RequestError::Shape { expected, max_rows: 64, found } if expected == [64] && found == [1, 1]
    ));
    assert!(matches!(refused(b"[[]]", MediaType::Json), RequestError::Shape { .. }));
}

#[test]
fn a_card_for_another_model_is_refused() {
    let onnx = onnx::export(&TRAINED);
    let load = |card: &ModelCard| Served::load(&onnx, Some(card), &Limits::default());
    let mut other = card();
    let OutputCard::Classes(classes) = &mut other.output else { panic!("the card has classes") };
    classes.labels.pop();
    assert!(matches!(load(&other), Err(LoadError::OutputShape { .. })));
    let text = String::from_utf8(example("digits-model.toml")).unwrap();
    let wide = ModelCard::from_toml(&text.replace("width = 8", "width = 9")).unwrap();
    assert!(matches!(load(&wide), Err(LoadError::Program(_))));
}

#[test]
fn limits_are_held_before_anything_runs() {
    let onnx = onnx::export(&TRAINED);
    let refused = |limits: Limits| Served::load(&onnx, None, &limits).map(drop).unwrap_err().to_string();
    let default = Limits::default;
    assert!(refused(Limits { max_model_bytes: onnx.len() - 1, ..default() }).contains("bytes"));
    assert!(refused(Limits { max_nodes: 3, ..default() }).contains("4 operators"));
    assert!(refused(Limits { max_operations: 1_000, ..default() }).contains("multiplications"));
    assert!(refused(Limits { max_working_bytes: 10_000, ..default() }).contains("bytes of tensors"));
}
