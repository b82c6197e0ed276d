//! x402 version 2 as it crosses the wire, so that clients, servers and facilitators that have never heard of Residual
//! understand ours and we theirs.
//!
//! Owns: the three headers and their encoding, what a 402 asks for, the payloads of the schemes `batch-settlement` and
//! `exact` (EIP-3009) on EVM chains, the extensions `payment-identifier` and `bazaar` and this project's own, and the peers' names of failures.
//! Refuses: whether a payment is good (the meter's and the ledger's), HTTP itself, keys and the clock. What comes from a
//! peer is held to the limits that are named here before anything is made of it.
//!
//! Source: the x402 v2 specification, its schemes `batch-settlement` and `exact` for EVM, and CAIP-2 for networks.

pub mod batch;
pub mod exact;
pub mod extensions;
mod header;
mod payment;

pub use header::{
    HeaderError, MAX_HEADER_BYTES, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, decode, encode,
};
pub use payment::{
    Network, NetworkError, PaymentPayload, PaymentRequired, PaymentRequirements, ResourceInfo,
    SettleResponse, Supported, SupportedKind, TransferMethod, UnknownPayload, VERSION, VerifyResponse,
};
