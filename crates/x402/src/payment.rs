//! What a server asks for, what a client answers, and what became of it.

use std::{fmt, str::FromStr};

use residual_primitives::{Address, Amount};
use serde::{Deserialize, Serialize, de};
use serde_json::{Map, Value};

use crate::{batch, exact};

/// The protocol's version.
pub const VERSION: u8 = 2;

/// Why a text names no chain that payments can be made on.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("expected an EVM chain such as eip155:8453 (CAIP-2), found {found:?}")]
pub struct NetworkError {
    /// The text, cut to 80 characters.
    found: String,
}

/// An EVM chain, `eip155:<id>` (CAIP-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(pub u64);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eip155:{}", self.0)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let id = text.strip_prefix("eip155:").filter(|id| !id.starts_with(['0', '+']));
        let id = id.and_then(|id| id.parse().ok());
        id.map(Self).ok_or_else(|| NetworkError { found: text.chars().take(80).collect() })
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What is paid for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInfo {
    /// Where it is.
    pub url: String,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The media type of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Who serves it, at most 32 printable ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// At most 5, each at most 32 printable ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// How a token moves; of the methods that peers know, this one is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferMethod {
    /// By an authorization that the payer signed (EIP-3009).
    Eip3009,
}

/// One way to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// `batch-settlement` or `exact`; a peer may know others.
    pub scheme: String,
    /// On which chain.
    pub network: Network,
    /// How much, in the token's smallest unit.
    pub amount: Amount,
    /// The token's contract.
    pub asset: Address,
    /// Who is paid.
    pub pay_to: Address,
    /// For how long a signed payment is good, in seconds.
    pub max_timeout_seconds: u64,
    /// What the scheme adds: [`batch::Extra`] or [`exact::Extra`].
    #[serde(default)]
    pub extra: Map<String, Value>,
}

impl PaymentRequirements {
    /// Whether `accepted`, which a client sent back, is this very way to pay. What the server may have added to `extra`
    /// since, such as the state of a channel, is no difference: only what is here is compared.
    #[must_use]
    pub fn is_accepted_by(&self, accepted: &Self) -> bool {
        let fields = |other: &Self| {
            (
                other.scheme.clone(),
                other.network,
                other.amount,
                other.asset,
                other.pay_to,
                other.max_timeout_seconds,
            )
        };
        fields(self) == fields(accepted)
            && self.extra.iter().all(|(name, value)| accepted.extra.get(name) == Some(value))
    }
}

/// What a 402 says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// [`VERSION`].
    pub x402_version: u8,
    /// Why it was not served; a name of the peers where they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is paid for.
    pub resource: ResourceInfo,
    /// The ways to pay, the preferred one first.
    pub accepts: Vec<PaymentRequirements>,
    /// What else both sides may use, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

/// What a client sends to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// [`VERSION`].
    pub x402_version: u8,
    /// What it pays for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceInfo>,
    /// The way that it chose, as the server said it.
    pub accepted: PaymentRequirements,
    /// What the scheme needs; see [`PaymentPayload::batch`] and [`PaymentPayload::exact`].
    pub payload: Value,
    /// The server's extensions with what the client added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
}

/// Why a payload is not of its scheme.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected a payload of the scheme {scheme}, found something else: {source}; see that scheme's specification"
)]
pub struct UnknownPayload {
    /// The scheme.
    scheme: &'static str,
    /// Where it departs from that.
    #[source]
    source: serde_json::Error,
}

impl PaymentPayload {
    /// The payload as one of `batch-settlement`.
    ///
    /// # Errors
    /// When it is none.
    pub fn batch(&self) -> Result<batch::Payload, UnknownPayload> {
        batch::Payload::deserialize(&self.payload)
            .map_err(|source| UnknownPayload { scheme: batch::SCHEME, source })
    }

    /// The payload as one of `exact`.
    ///
    /// # Errors
    /// When it is none.
    pub fn exact(&self) -> Result<exact::Payload, UnknownPayload> {
        exact::Payload::deserialize(&self.payload)
            .map_err(|source| UnknownPayload { scheme: exact::SCHEME, source })
    }
}

/// What became of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// Whether it was taken.
    pub success: bool,
    /// Why not; a name of the peers where they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Address>,
    /// The transaction on the ledger; empty when it took none.
    pub transaction: String,
    /// On which chain.
    pub network: Network,
    /// What moved on the ledger, in the token's smallest unit; empty when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// What the scheme adds: [`batch::SettleExtra`].
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// What a facilitator says of a payment before it is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whether it would be taken.
    pub is_valid: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Address>,
    /// What the scheme adds.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// A scheme that a facilitator settles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedKind {
    /// [`VERSION`].
    pub x402_version: u8,
    /// Its name.
    pub scheme: String,
    /// On which chain.
    pub network: Network,
    /// What the scheme adds.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// All that a facilitator settles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Supported {
    /// Schemes and chains.
    pub kinds: Vec<SupportedKind>,
    /// The extensions it knows.
    pub extensions: Vec<String>,
    /// The accounts that it sends transactions with, by chain.
    pub signers: Map<String, Value>,
}
