//! The scheme `batch-settlement` on EVM chains: prepaid channels and cumulative vouchers.

use alloy_primitives::{Bytes, aliases::U40};
use residual_primitives::{
    Address, Amount, B256,
    signed::{ChannelConfig, Voucher},
};
use serde::{Deserialize, Serialize, de};
use serde_json::{Map, Value};

use crate::TransferMethod;

/// The scheme's name.
pub const SCHEME: &str = "batch-settlement";

/// The peers' names of failures. A client that gets [`CUMULATIVE_MISMATCH`](reason::CUMULATIVE_MISMATCH) or
/// [`BELOW_CLAIMED`](reason::BELOW_CLAIMED) takes over the state that comes with it and tries once more.
pub mod reason {
    /// No voucher, deposit or refund.
    pub const PAYLOAD: &str = "invalid_batch_settlement_evm_payload_type";
    /// The channel's id is not that of its configuration.
    pub const CHANNEL_ID: &str = "invalid_batch_settlement_evm_channel_id_mismatch";
    /// The channel pays somebody else.
    pub const RECEIVER: &str = "invalid_batch_settlement_evm_receiver_mismatch";
    /// The channel is another gateway's.
    pub const RECEIVER_AUTHORIZER: &str = "invalid_batch_settlement_evm_receiver_authorizer_mismatch";
    /// The channel's vouchers are signed by nobody's key.
    pub const AUTHORIZER: &str = "invalid_batch_settlement_evm_authorizer_address_mismatch";
    /// The channel is in another token.
    pub const TOKEN: &str = "invalid_batch_settlement_evm_token_mismatch";
    /// Another delay than the one asked for.
    pub const WITHDRAW_DELAY: &str = "invalid_batch_settlement_evm_withdraw_delay_mismatch";
    /// Nothing was ever deposited.
    pub const CHANNEL_NOT_FOUND: &str = "invalid_batch_settlement_evm_channel_not_found";
    /// The voucher is not signed by the channel's authorizer.
    pub const SIGNATURE: &str = "invalid_batch_settlement_evm_voucher_signature";
    /// The voucher does not start where the server's count stands.
    pub const CUMULATIVE_MISMATCH: &str = "invalid_batch_settlement_evm_cumulative_amount_mismatch";
    /// The voucher is below what was claimed.
    pub const BELOW_CLAIMED: &str = "invalid_batch_settlement_evm_cumulative_below_claimed";
    /// The voucher promises more than the channel holds.
    pub const BEYOND_BALANCE: &str = "invalid_batch_settlement_evm_cumulative_exceeds_balance";
    /// Another request of the channel is being served.
    pub const BUSY: &str = "invalid_batch_settlement_evm_channel_busy";
    /// The state of the channel could not be found out.
    pub const UNAVAILABLE: &str = "invalid_batch_settlement_evm_verification_state_unavailable";
    /// A deposit that is not authorized by EIP-3009.
    pub const AUTHORIZATION_REQUIRED: &str = "invalid_batch_settlement_evm_erc3009_authorization_required";
    /// A deposit smaller than the least that is taken.
    pub const DEPOSIT_TOO_SMALL: &str = "invalid_batch_settlement_evm_deposit_below_min_deposit";
    /// The ledger would refuse the deposit.
    pub const DEPOSIT_REFUSED: &str = "invalid_batch_settlement_evm_deposit_simulation_failed";
    /// The authorization of the deposit ends too early.
    pub const VALID_BEFORE: &str = "invalid_batch_settlement_evm_payload_authorization_valid_before";
    /// The authorization of the deposit begins too late.
    pub const VALID_AFTER: &str = "invalid_batch_settlement_evm_payload_authorization_valid_after";
    /// Nothing is left to give back.
    pub const REFUND_NOTHING: &str = "invalid_batch_settlement_evm_refund_no_balance";
    /// An amount to give back that is none.
    pub const REFUND_AMOUNT: &str = "invalid_batch_settlement_evm_refund_amount_invalid";
    /// The ledger refused to give it back.
    pub const REFUND_FAILED: &str = "invalid_batch_settlement_evm_refund_transaction_failed";
    /// Of another chain.
    pub const NETWORK: &str = "invalid_batch_settlement_evm_network_mismatch";
}

/// A channel's configuration as peers write it: the delay is a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireConfig {
    /// Whose money it is.
    pub payer: Address,
    /// The key that signs vouchers.
    pub payer_authorizer: Address,
    /// Who is paid.
    pub receiver: Address,
    /// Who may claim and refund.
    pub receiver_authorizer: Address,
    /// The token.
    pub token: Address,
    /// Seconds between asking for a withdrawal and getting it.
    #[serde(deserialize_with = "delay")]
    pub withdraw_delay: u64,
    /// Tells channels apart that are alike in all else.
    pub salt: B256,
}

/// A delay that the contract's 40 bits hold.
fn delay<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let delay = u64::deserialize(deserializer)?;
    if delay >> 40 == 0 { Ok(delay) } else { Err(de::Error::custom("expected a delay below 2^40 seconds")) }
}

impl From<&ChannelConfig> for WireConfig {
    fn from(config: &ChannelConfig) -> Self {
        Self {
            payer: config.payer,
            payer_authorizer: config.payerAuthorizer,
            receiver: config.receiver,
            receiver_authorizer: config.receiverAuthorizer,
            token: config.token,
            withdraw_delay: config.withdrawDelay.to(),
            salt: config.salt,
        }
    }
}

impl From<&WireConfig> for ChannelConfig {
    fn from(config: &WireConfig) -> Self {
        Self {
            payer: config.payer,
            payerAuthorizer: config.payer_authorizer,
            receiver: config.receiver,
            receiverAuthorizer: config.receiver_authorizer,
            token: config.token,
            withdrawDelay: U40::from(config.withdraw_delay),
            salt: config.salt,
        }
    }
}

/// A voucher and its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireVoucher {
    /// The channel.
    pub channel_id: B256,
    /// Cumulative: the most that may ever be claimed.
    pub max_claimable_amount: Amount,
    /// By the channel's authorizer.
    pub signature: Bytes,
}

impl WireVoucher {
    /// What was signed.
    #[must_use]
    pub fn voucher(&self) -> Voucher {
        Voucher { channelId: self.channel_id, maxClaimableAmount: self.max_claimable_amount.0 }
    }
}

/// The payer's consent to a deposit (EIP-3009); the nonce is the hash of channel and salt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DepositAuthorization {
    /// From when on, in UNIX seconds.
    #[serde(with = "decimal")]
    pub valid_after: u64,
    /// Until when, in UNIX seconds.
    #[serde(with = "decimal")]
    pub valid_before: u64,
    /// Tells deposits apart.
    pub salt: B256,
    /// Over `ReceiveWithAuthorization`.
    pub signature: Bytes,
}

/// How the payer lets the deposit be taken; of the peers' ways, this one is known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DepositConsent {
    /// Absent when the payer chose another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erc3009_authorization: Option<DepositAuthorization>,
}

/// A deposit that a payer signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deposit {
    /// How much.
    pub amount: Amount,
    /// The payer's consent.
    pub authorization: DepositConsent,
}

/// What a client pays with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Payload {
    /// A first deposit or a top-up, and a voucher for this request.
    Deposit {
        /// The channel.
        channel_config: WireConfig,
        /// Pays for this request.
        voucher: WireVoucher,
        /// What is put in.
        deposit: Deposit,
    },
    /// A voucher for this request.
    Voucher {
        /// The channel.
        channel_config: WireConfig,
        /// Pays for this request.
        voucher: WireVoucher,
    },
    /// The wish to have back what is left; nothing is served.
    Refund {
        /// The channel.
        channel_config: WireConfig,
        /// At the server's count.
        voucher: WireVoucher,
        /// How much; all when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Amount>,
    },
}

impl Payload {
    /// The channel's configuration.
    #[must_use]
    pub fn config(&self) -> &WireConfig {
        match self {
            Self::Deposit { channel_config, .. }
            | Self::Voucher { channel_config, .. }
            | Self::Refund { channel_config, .. } => channel_config,
        }
    }

    /// The voucher.
    #[must_use]
    pub fn voucher(&self) -> &WireVoucher {
        match self {
            Self::Deposit { voucher, .. } | Self::Voucher { voucher, .. } | Self::Refund { voucher, .. } => {
                voucher
            }
        }
    }
}

/// What a 402 adds for this scheme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extra {
    /// The token's name in its EIP-712 domain.
    pub name: String,
    /// The token's version in its EIP-712 domain.
    pub version: String,
    /// How deposits are taken.
    pub asset_transfer_method: TransferMethod,
    /// The key of the gateway.
    pub receiver_authorizer: Address,
    /// The delay that a channel is to have, in seconds.
    pub withdraw_delay: u64,
    /// The least that is worth depositing.
    pub min_deposit: Amount,
    /// After a mismatch: where the channel stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_state: Option<ChannelState>,
    /// After a mismatch: the highest voucher, as proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher_state: Option<VoucherState>,
}

/// Where a channel stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelState {
    /// The channel.
    pub channel_id: B256,
    /// Deposited less withdrawn and refunded.
    pub balance: Amount,
    /// Claimed on the ledger.
    pub total_claimed: Amount,
    /// When the payer asked to withdraw, in UNIX seconds; 0 when nothing is pending.
    pub withdraw_requested_at: u64,
    /// The nonce of the next refund.
    #[serde(with = "decimal")]
    pub refund_nonce: u64,
    /// The server's count: what was charged since the channel began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged_cumulative_amount: Option<Amount>,
}

/// The highest voucher that a server holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoucherState {
    /// Its maximum.
    pub signed_max_claimable: Amount,
    /// Its signature.
    pub signature: Bytes,
}

/// What the answer to a payment adds for this scheme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleExtra {
    /// Where the channel stands now.
    pub channel_state: ChannelState,
    /// What this request cost; absent in the answer to a refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged_amount: Option<Amount>,
}

/// The fields of a wire type, to be put into `extra`.
#[must_use]
pub fn fields(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of).expect("the types on the wire are JSON") {
        Value::Object(fields) => fields,
        _ => unreachable!("only structs are given here"),
    }
}

/// Numbers that peers write as decimal text.
pub(crate) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse().ok() } else { None };
        number.ok_or_else(|| de::Error::custom("expected a whole number below 2^64 as decimal text"))
    }
}
