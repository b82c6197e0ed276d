//! A JSON value in a header: base64 of its UTF-8 text.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};

/// The header of a 402: what is asked for.
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// The header of a request that pays.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// The header of an answer: what was paid.
pub const PAYMENT_RESPONSE: &str = "payment-response";

/// The longest header value that is read, in bytes. The longest honest one, a deposit with extensions, has about 6,000.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Why a header is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// Too long.
    #[error("expected a header of at most {MAX_HEADER_BYTES} bytes, found {found}; send fewer extensions")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No base64.
    #[error("expected base64 (RFC 4648, section 4), found something else: {0}; encode the JSON text with it")]
    Base64(#[from] base64::DecodeError),
    /// Base64 of something else than what is asked for.
    #[error("expected the JSON of {what}, found something else: {source}; see the x402 v2 specification")]
    Json {
        /// What was expected.
        what: &'static str,
        /// Where it departs from that.
        #[source]
        source: serde_json::Error,
    },
}

/// The header value that says this.
#[must_use]
pub fn encode(value: &impl Serialize) -> String {
    // The types of this crate have only text keys and nothing that fails.
    let json = serde_json::to_vec(value).expect("the types on the wire are JSON");
    STANDARD.encode(json)
}

/// What a header value says; `what` names it in errors.
///
/// # Errors
/// See [`HeaderError`]. JSON nested deeper than 128 levels is refused.
pub fn decode<T: DeserializeOwned>(header: &[u8], what: &'static str) -> Result<T, HeaderError> {
    if header.len() > MAX_HEADER_BYTES {
        return Err(HeaderError::TooLong { found: header.len() });
    }
    let json = STANDARD.decode(header)?;
    serde_json::from_slice(&json).map_err(|source| HeaderError::Json { what, source })
}
