//! Prepaid channels, as final blocks have them.

use std::sync::Arc;

use axum::{Json, extract::State};
use residual_client::ChannelOnLedger;
use residual_primitives::{Amount, B256, signed::ChannelConfig};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    api::words::{self, Bytes},
    extract::Named,
    problem::{Problem, ProblemBody},
};

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelView {
    /// Its id: the EIP-712 digest of its configuration.
    #[schema(value_type = words::Hash)]
    channel: B256,
    /// What it was opened with; none when it is older than the marketplace.
    config: Option<ConfigView>,
    /// Deposited, less withdrawn and refunded.
    #[schema(value_type = words::Units)]
    balance: Amount,
    /// Claimed so far, at most the balance.
    #[schema(value_type = words::Units)]
    claimed: Amount,
    /// Asked back by the payer and not taken yet.
    #[schema(value_type = words::Units)]
    pending_withdrawal: Amount,
    /// The final block that says so.
    block: u64,
}

/// Who pays whom through a channel, in the words of x402 `batch-settlement`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ConfigView {
    /// Who pays.
    #[schema(value_type = words::Address)]
    payer: String,
    /// Whose signature promises; zero when the payer's contract does.
    #[schema(value_type = words::Address)]
    payer_authorizer: String,
    /// Who is paid: an asset's till.
    #[schema(value_type = words::Address)]
    receiver: String,
    /// Who claims for the receiver: a gateway.
    #[schema(value_type = words::Address)]
    receiver_authorizer: String,
    /// In which token.
    #[schema(value_type = words::Address)]
    token: String,
    /// How long the payer waits to take money back, in seconds.
    withdraw_delay: u64,
    /// Tells like channels apart.
    #[schema(value_type = words::Hash)]
    salt: B256,
}

impl From<ChannelConfig> for ConfigView {
    fn from(config: ChannelConfig) -> Self {
        Self {
            payer: config.payer.to_string(),
            payer_authorizer: config.payerAuthorizer.to_string(),
            receiver: config.receiver.to_string(),
            receiver_authorizer: config.receiverAuthorizer.to_string(),
            token: config.token.to_string(),
            withdraw_delay: config.withdrawDelay.to(),
            salt: config.salt,
        }
    }
}

/// Shows a channel by the final blocks: all that a gateway counts on (CH-3).
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}",
    operation_id = "show_channel",
    tag = "channels",
    params(("channel" = words::Hash, Path, description = "The channel's id.")),
    responses(
        (status = 200, description = "The channel.", body = ChannelView),
        (status = 404, description = "There is no such channel in a final block.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(Bytes(channel)): Named<Bytes<32>>,
) -> Result<Json<ChannelView>, Problem> {
    let channel = B256::new(channel);
    let unknown =
        || Problem::not_found(format!("expected a channel in a final block, found none with id {channel}"));
    let ChannelOnLedger { config, escrow, block } =
        app.client.channel_on_ledger(channel).await?.ok_or_else(unknown)?;
    Ok(Json(ChannelView {
        channel,
        config: config.map(ConfigView::from),
        balance: escrow.balance,
        claimed: escrow.total_claimed,
        pending_withdrawal: escrow.pending_withdrawal,
        block,
    }))
}
