//! The extensions that are offered: `payment-identifier`, by which a client names a payment so that repeating it does
//! not pay twice, `bazaar`, by which crawlers learn what a resource takes and gives, and `residual-windows`, by which
//! clients of this project learn that many calls can be paid by one signature. Other clients pass over what they do not
//! know.

use residual_primitives::{Amount, B256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The name of the extension by which a client names its payment.
pub const PAYMENT_IDENTIFIER: &str = "payment-identifier";
/// The name of the extension that describes a resource.
pub const BAZAAR: &str = "bazaar";

/// The name of the extension that offers windows of ticks.
pub const WINDOWS: &str = "residual-windows";

const SCHEMA: &str = "https://json-schema.org/draft/2020-12/schema";
const ID_LENGTHS: std::ops::RangeInclusive<usize> = 16..=128;

/// Why a payment's name is none.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "expected in the extension payment-identifier an `info` with an id of {} to {} letters, digits, `-` or `_`, found {found}; draw another id",
    ID_LENGTHS.start(), ID_LENGTHS.end()
)]
pub struct PaymentIdError {
    /// What was there, cut to 140 characters.
    found: String,
}

/// What a server declares to let clients name their payments.
#[must_use]
pub fn payment_identifier() -> Value {
    json!({
        "info": { "required": false },
        "schema": {
            "$schema": SCHEMA,
            "type": "object",
            "properties": {
                "required": { "type": "boolean" },
                "id": {
                    "type": "string",
                    "minLength": ID_LENGTHS.start(),
                    "maxLength": ID_LENGTHS.end(),
                    "pattern": "^[a-zA-Z0-9_-]+$",
                },
            },
            "required": ["required"],
        },
    })
}

/// The name that a client gave its payment; none when it gave none.
///
/// # Errors
/// When it is no name.
pub fn payment_id(extensions: Option<&Map<String, Value>>) -> Result<Option<&str>, PaymentIdError> {
    let Some(extension) = extensions.and_then(|all| all.get(PAYMENT_IDENTIFIER)) else { return Ok(None) };
    let refused = |found: &Value| PaymentIdError { found: found.to_string().chars().take(140).collect() };
    let Some(info) = extension.get("info").filter(|info| info.is_object()) else {
        return Err(refused(extension));
    };
    match info.get("id") {
        None => Ok(None),
        Some(Value::String(id)) if is_id(id) => Ok(Some(id)),
        Some(other) => Err(refused(other)),
    }
}

/// Names the payment in the extensions that a server declared; nothing when it declared no such extension.
pub fn name_payment(extensions: &mut Map<String, Value>, id: &str) {
    let info = extensions.get_mut(PAYMENT_IDENTIFIER).and_then(|extension| extension.get_mut("info"));
    if let Some(Value::Object(info)) = info {
        info.insert("id".to_owned(), id.into());
    }
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ID_LENGTHS.contains(&id.len()) && id.bytes().all(allowed)
}

/// What a resource takes by POST as JSON and gives, as JSON Schema with an example each.
#[must_use]
pub fn bazaar(input: &Value, input_schema: &Value, output: &Value) -> Value {
    json!({
        "info": {
            "input": { "type": "http", "method": "POST", "bodyType": "json", "body": input },
            "output": { "type": "json", "example": output },
        },
        "schema": {
            "$schema": SCHEMA,
            "type": "object",
            "properties": {
                "input": {
                    "type": "object",
                    "properties": {
                        "type": { "type": "string", "const": "http" },
                        "method": { "type": "string", "enum": ["POST"] },
                        "bodyType": { "type": "string", "enum": ["json"] },
                        "body": input_schema,
                    },
                    "required": ["type", "method", "bodyType", "body"],
                    "additionalProperties": false,
                },
                "output": {
                    "type": "object",
                    "properties": { "type": { "type": "string" }, "example": { "type": "object" } },
                    "required": ["type"],
                },
            },
            "required": ["input"],
        },
    })
}

/// What a window of ticks is to be, of a resource that can be paid so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Windows {
    /// What a tick pays: the price of one unit, in the smallest unit of the token.
    pub unit_price: Amount,
    /// The most ticks of a window.
    pub max_ticks: u32,
    /// The hash of what a use is: the id of the terms that the price is of.
    pub terms_hash: B256,
}

impl Windows {
    /// What a server declares.
    #[must_use]
    pub fn declared(&self) -> Value {
        let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
        json!({
            "info": self,
            "schema": {
                "$schema": SCHEMA,
                "type": "object",
                "properties": {
                    "unitPrice": text("^[0-9]{1,39}$"),
                    "maxTicks": { "type": "integer", "minimum": 1 },
                    "termsHash": text("^0x[0-9a-f]{64}$"),
                },
                "required": ["unitPrice", "maxTicks", "termsHash"],
            },
        })
    }

    /// What a server has declared; none when it opens no windows, or says so in a form that is not known here.
    #[must_use]
    pub fn offered(extensions: &Map<String, Value>) -> Option<Self> {
        Self::deserialize(extensions.get(WINDOWS)?.get("info")?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(info: Value) -> Map<String, Value> {
        Map::from_iter([(PAYMENT_IDENTIFIER.to_owned(), json!({ "info": info }))])
    }

    #[test]
    fn a_payment_is_named_or_not_or_wrongly() {
        assert_eq!(payment_id(None), Ok(None));
        assert_eq!(payment_id(Some(&Map::new())), Ok(None));
        assert_eq!(payment_id(Some(&named(json!({ "required": false })))), Ok(None));
        let id = "pay_0123456789abcdef";
        assert_eq!(payment_id(Some(&named(json!({ "required": false, "id": id })))), Ok(Some(id)));
        let long = "x".repeat(129);
        for wrong in [json!("short"), json!(long), json!("no spaces are allowed"), json!(7), json!(null)] {
            assert!(payment_id(Some(&named(json!({ "id": wrong })))).is_err(), "{wrong}");
        }
        assert!(payment_id(Some(&named(json!("text")))).is_err());
    }

    #[test]
    fn a_name_goes_where_the_server_asked_for_one() {
        let mut declared = Map::from_iter([(PAYMENT_IDENTIFIER.to_owned(), payment_identifier())]);
        name_payment(&mut declared, "0123456789abcdef");
        assert_eq!(payment_id(Some(&declared)), Ok(Some("0123456789abcdef")));
        let mut none = Map::new();
        name_payment(&mut none, "0123456789abcdef");
        assert!(none.is_empty());
    }

    #[test]
    fn windows_are_offered_or_not() {
        let windows =
            Windows { unit_price: Amount(2_000), max_ticks: 1_024, terms_hash: B256::repeat_byte(7) };
        let declared = |value| Map::from_iter([(WINDOWS.to_owned(), value)]);
        assert_eq!(Windows::offered(&declared(windows.declared())), Some(windows));
        assert_eq!(windows.declared()["info"]["unitPrice"], "2000");
        assert_eq!(Windows::offered(&Map::new()), None);
        for other in
            [json!(null), json!("text"), json!({ "info": {} }), json!({ "info": { "maxTicks": -1 } })]
        {
            assert_eq!(Windows::offered(&declared(other)), None);
        }
    }
}
