//! Published models, their cards, and requests to them.

use std::{str::from_utf8, sync::LazyLock};

use residual_classifier::{TrainConfig, onnx, parse_csv, train};
use residual_inference::{Fault, Limits, MediaType, ModelCard, Served};
use serde_json::Value;

use crate::memory::{at_most, within};

const DIGITS: &[u8] = include_bytes!("../../examples/digits-a/digits.csv");
const DIGITS_CARD: &str = include_str!("../../examples/digits-model.toml");

/// Small, so that whatever gets past them is seen.
fn limits() -> Limits {
    Limits {
        max_model_bytes: 64 << 10,
        max_nodes: 50,
        max_operations: 1_000_000,
        max_working_bytes: 1 << 20,
        max_request_bytes: 64 << 10,
        max_image_side: 256,
        max_image_pixels: 10_000,
        max_batch: 4,
    }
}

/// A model in these limits with its tables in tract, and what its operators take inside.
const MODEL_BYTES: usize = 32 << 20;
/// A request in these limits, its picture at 16 bytes a pixel and its decoder's own tables.
const REQUEST_BYTES: usize = 8 << 20;

static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let samples = parse_csv(DIGITS).expect("the examples are read");
    let mut config = TrainConfig { hidden: vec![4], ..TrainConfig::default() };
    config.schedule.epochs = 1;
    let onnx = onnx::export(&train(&samples[..20], &config).expect("the examples are learnt"));
    let card = ModelCard::from_toml(DIGITS_CARD).expect("the example is a card");
    Served::load(&onnx, Some(&card), &limits()).expect("the example is served")
});

/// A card in TOML or JSON: what is read is in its range, and read again from how it is written.
pub fn model_card(bytes: &[u8]) -> bool {
    let Ok(text) = from_utf8(bytes) else { return false };
    let cards = within(bytes, 1024, || [ModelCard::from_toml(text).ok(), ModelCard::from_json(text).ok()]);
    let taken = cards.iter().any(Option::is_some);
    for card in cards.into_iter().flatten() {
        card.check().expect("what was read is in its range");
        let json = serde_json::to_value(&card).expect("a card is JSON");
        let again = ModelCard::from_json(&json.to_string()).expect("what is written is read");
        assert!(alike(&json, &serde_json::to_value(&again).expect("a card is JSON")), "{card:?}");
    }
    taken
}

/// The same, but for the last bits of a fraction, which JSON's reader may miss.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| alike(value, other)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Number(one), Value::Number(other)) => {
            let [one, other] = [one, other].map(|number| number.as_f64().unwrap_or(f64::NAN));
            (one - other).abs() <= one.abs() * 1e-12
        }
        _ => one == other,
    }
}

/// The first byte is the kind of request, the rest its body: what is read is priced by its rows and answered, the same
/// each time.
pub fn model_request(bytes: &[u8]) -> bool {
    let Some((&kind, body)) = bytes.split_first() else { return false };
    let kinds = [MediaType::Json, MediaType::Npy, MediaType::Png, MediaType::Jpeg];
    let served = &*SERVED;
    let Ok(input) = at_most(REQUEST_BYTES, || served.read(body, kinds[usize::from(kind) % kinds.len()]))
    else {
        return false;
    };
    let rows = served.units(&input);
    assert!((1..=served.max_rows() as u64).contains(&rows));
    let answers = served.answer(&input).expect("this model answers all that it takes");
    assert_eq!(answers.rows().len() as u64, rows);
    assert_eq!(served.answer(&input).expect("as before").to_npy(), answers.to_npy());
    true
}

/// ONNX, with a card and without: it is refused, or served within the limits.
pub fn model(bytes: &[u8]) -> bool {
    let card = ModelCard::from_toml(DIGITS_CARD).expect("the example is a card");
    // Both are to be tried.
    [None, Some(&card)].map(|card| at_most(MODEL_BYTES, || try_model(bytes, card))).contains(&true)
}

fn try_model(bytes: &[u8], card: Option<&ModelCard>) -> bool {
    let Ok(served) = Served::load(bytes, card, &limits()) else { return false };
    let shape = &served.input().shape;
    let body = serde_json::json!({"shape": shape, "data": vec![0; shape.iter().product()]}).to_string();
    match served.read(body.as_bytes(), MediaType::Json) {
        Ok(input) => match served.answer(&input) {
            Ok(answers) => assert_eq!(answers.rows().len() as u64, served.units(&input)),
            Err(error) => assert_eq!(error.fault(), Fault::Model, "{error}"),
        },
        // A model's input may be larger than a request.
        Err(error) => assert_eq!(error.fault(), Fault::TooLarge, "{error}"),
    }
    true
}
