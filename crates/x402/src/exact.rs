//! The scheme `exact` on EVM chains: one transfer that the payer signed (EIP-3009), for one request.

use alloy_primitives::Bytes;
use residual_primitives::{Address, Amount, B256};
use serde::{Deserialize, Serialize};

use crate::{TransferMethod, batch::decimal};

/// The scheme's name.
pub const SCHEME: &str = "exact";

/// The peers' names of failures.
pub mod reason {
    /// Of another version of the protocol.
    pub const VERSION: &str = "invalid_x402_version";
    /// Of another scheme.
    pub const SCHEME: &str = "invalid_exact_evm_scheme";
    /// No authorization.
    pub const PAYLOAD: &str = "invalid_payload";
    /// Of another chain.
    pub const NETWORK: &str = "invalid_exact_evm_network_mismatch";
    /// What a server asks for is nothing that this facilitator carries out.
    pub const REQUIREMENTS: &str = "invalid_payment_requirements";
    /// Not signed by who pays.
    pub const SIGNATURE: &str = "invalid_exact_evm_signature";
    /// To somebody else.
    pub const RECIPIENT: &str = "invalid_exact_evm_recipient_mismatch";
    /// Not the price.
    pub const VALUE: &str = "invalid_exact_evm_authorization_value";
    /// It ends too early.
    pub const VALID_BEFORE: &str = "invalid_exact_evm_payload_authorization_valid_before";
    /// It begins too late.
    pub const VALID_AFTER: &str = "invalid_exact_evm_payload_authorization_valid_after";
    /// Used before.
    pub const NONCE_USED: &str = "invalid_exact_evm_nonce_already_used";
    /// The payer has less.
    pub const BALANCE: &str = "invalid_exact_evm_insufficient_balance";
    /// The ledger refuses it.
    pub const REFUSED: &str = "invalid_exact_evm_transaction_failed";
    /// The ledger could not be asked.
    pub const UNAVAILABLE: &str = "unexpected_settle_error";
}

/// What the payer signed: `TransferWithAuthorization`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much, in the token's smallest unit.
    pub value: Amount,
    /// From when on, in UNIX seconds.
    #[serde(with = "decimal")]
    pub valid_after: u64,
    /// Until when, in UNIX seconds.
    #[serde(with = "decimal")]
    pub valid_before: u64,
    /// Of the payer's choosing; serves once.
    pub nonce: B256,
}

/// What a client pays with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// 65 bytes: r, s, v.
    pub signature: Bytes,
    /// What they sign.
    pub authorization: Authorization,
}

/// What a 402 adds for this scheme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extra {
    /// The token's name in its EIP-712 domain.
    pub name: String,
    /// The token's version in its EIP-712 domain.
    pub version: String,
    /// How it moves.
    pub asset_transfer_method: TransferMethod,
}
