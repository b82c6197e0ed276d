//! What pays for calls in headers: x402, and ticks.

use std::fmt::Debug;

use base64::{Engine, engine::general_purpose::STANDARD};
use residual_meter::Tick;
use residual_primitives::signed::ChannelConfig;
use residual_x402::{
    MAX_HEADER_BYTES, PaymentPayload, PaymentRequired, SettleResponse, Supported, VerifyResponse,
    batch::WireConfig, decode, encode, extensions,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::memory::within;

/// Nodes of a JSON tree are some hundred bytes for a handful of text.
const TIMES: usize = 1024;

/// The bytes are a header, or the JSON in one: a mutation of base64 seldom is base64.
pub fn x402(bytes: &[u8]) -> bool {
    let mut taken = false;
    for header in [bytes, STANDARD.encode(bytes).as_bytes()] {
        if let Some(payment) = survives::<PaymentPayload>(header) {
            check_payment(&payment);
            taken = true;
        }
        taken |= survives::<PaymentRequired>(header).is_some();
        taken |= survives::<SettleResponse>(header).is_some();
        taken |= survives::<VerifyResponse>(header).is_some();
        taken |= survives::<Supported>(header).is_some();
    }
    taken
}

/// Decodes the header; what was decoded is decoded again from how we encode it.
fn survives<T: Debug + PartialEq + Serialize + DeserializeOwned>(header: &[u8]) -> Option<T> {
    let value: T = within(header, TIMES, || decode(header, "anything").ok())?;
    let again = encode(&value);
    let json = serde_json::to_value(&value).expect("the types on the wire are JSON");
    // JSON's reader may miss the last bit of a fraction; and what was left out may be written, beyond the longest header.
    if !has_fraction(&json) && again.len() <= MAX_HEADER_BYTES {
        assert_eq!(decode::<T>(again.as_bytes(), "the same").expect("what is encoded decodes"), value);
    }
    Some(value)
}

fn check_payment(payment: &PaymentPayload) {
    assert!(payment.accepted.is_accepted_by(&payment.accepted));
    let rewritten = |payload: Value| PaymentPayload { payload, ..payment.clone() };
    if let Ok(batch) = payment.batch() {
        let again = rewritten(serde_json::to_value(&batch).expect("a payload is JSON"));
        assert_eq!(again.batch().expect("what is encoded decodes"), batch);
        assert_eq!(WireConfig::from(&ChannelConfig::from(batch.config())), *batch.config());
        assert_eq!(batch.voucher().voucher().channelId, batch.voucher().channel_id);
    }
    if let Ok(exact) = payment.exact() {
        let again = rewritten(serde_json::to_value(&exact).expect("a payload is JSON"));
        assert_eq!(again.exact().expect("what is encoded decodes"), exact);
    }
    if let Ok(Some(id)) = extensions::payment_id(payment.extensions.as_ref()) {
        assert!((16..=128).contains(&id.len()) && id.is_ascii(), "{id:?} is no name of a payment");
        let mut named = payment.extensions.clone().expect("the name stands in the extensions");
        extensions::name_payment(&mut named, id);
        assert_eq!(Some(&named), payment.extensions.as_ref());
    }
}

/// A tick's header. What is read is written the same.
pub fn tick(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(tick) = within(bytes, 16, || text.parse::<Tick>()) else { return false };
    assert_eq!(tick.to_text(), text);
    true
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_fraction),
        Value::Object(fields) => fields.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}
