//! Windows of ticks on prepaid channels: one signature for many calls.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri},
};
use residual_meter::{ChannelState, WindowState};
use residual_primitives::{Amount, B256, signed::ChannelConfig};
use residual_x402::batch::{Deposit, DepositAuthorization, DepositConsent};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    api::words::{self, Account, Bytes},
    extract::{self, Named},
    payment::{self, Opened, Opening, Refusal},
    problem::{Problem, ProblemBody},
};

/// Who pays whom through a channel, in the words of x402 `batch-settlement`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConfigBody {
    /// Who pays.
    payer: Account,
    /// Whose signature promises.
    payer_authorizer: Account,
    /// Who is paid: the till of the model.
    receiver: Account,
    /// Who claims for the receiver: this gateway.
    receiver_authorizer: Account,
    /// In which token.
    token: Account,
    /// How long the payer waits to take money back, in seconds.
    #[schema(maximum = 1_099_511_627_775_u64)]
    withdraw_delay: u64,
    /// Tells like channels apart.
    #[schema(value_type = words::Hash)]
    salt: Bytes<32>,
}

impl TryFrom<ConfigBody> for ChannelConfig {
    type Error = Problem;

    fn try_from(body: ConfigBody) -> Result<Self, Problem> {
        let beyond = |_| Problem::unprocessable("expected a withdrawDelay below 2^40 seconds, found more");
        Ok(Self {
            payer: body.payer.0,
            payerAuthorizer: body.payer_authorizer.0,
            receiver: body.receiver.0,
            receiverAuthorizer: body.receiver_authorizer.0,
            token: body.token.0,
            withdrawDelay: body.withdraw_delay.try_into().map_err(beyond)?,
            salt: B256::new(body.salt.0),
        })
    }
}

/// A deposit that is signed (EIP-3009) and carried to the ledger by the gateway.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DepositBody {
    /// How much.
    #[schema(value_type = words::Units)]
    amount: Amount,
    /// From when on it may be carried out, in UNIX seconds.
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    valid_after: u64,
    /// Until when, in UNIX seconds.
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    valid_before: u64,
    /// Tells like deposits apart; the nonce is the hash of channel and salt.
    #[schema(value_type = words::Hash)]
    salt: Bytes<32>,
    /// The payer's, over `ReceiveWithAuthorization`.
    #[schema(value_type = words::Signature)]
    signature: Bytes<65>,
}

impl From<DepositBody> for Deposit {
    fn from(body: DepositBody) -> Self {
        let authorization = DepositAuthorization {
            valid_after: body.valid_after,
            valid_before: body.valid_before,
            salt: B256::new(body.salt.0),
            signature: body.signature.0.to_vec().into(),
        };
        let authorization = DepositConsent { erc3009_authorization: Some(authorization) };
        Self { amount: body.amount, authorization }
    }
}

/// A window that is to be opened: an EIP-712 `TickOpen(address gateway,bytes32 channelId,uint128 base,uint128
/// unitPrice,uint32 maxTicks,bytes32 root,bytes32 termsHash)` for this gateway and channel in the domain "Residual
/// Gateway", version "1", with the contract of the channels; its signature; and that of the voucher for all ticks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowRequest {
    /// The channel's configuration.
    config: ConfigBody,
    /// What is charged on the channel so far: the window counts from there.
    #[schema(value_type = words::Units)]
    base: Amount,
    /// What a tick pays: the price of one unit of the model.
    #[schema(value_type = words::Units)]
    unit_price: Amount,
    /// How many ticks.
    #[schema(minimum = 1, maximum = 1024)]
    max_ticks: u32,
    /// What the first tick hashes to by SHA-256, as each tick does to the one before; never used before.
    #[schema(value_type = words::Hash)]
    root: Bytes<32>,
    /// The id of the terms that the price is of.
    #[schema(value_type = words::Hash)]
    terms_hash: Bytes<32>,
    /// Of the `TickOpen`, by the channel's `payerAuthorizer`.
    #[schema(value_type = words::Signature)]
    signature: Bytes<65>,
    /// Of the voucher over exactly `base` and `max_ticks` times `unit_price`, by the same.
    #[schema(value_type = words::Signature)]
    voucher_signature: Bytes<65>,
    /// What is put into the channel first.
    deposit: Option<DepositBody>,
}

/// A window's end: an EIP-712 `TickClose(address gateway,bytes32 channelId,bytes32 root)` for this gateway and channel in
/// the domain of the window, and its signature.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseRequest {
    /// The window's root.
    #[schema(value_type = words::Hash)]
    root: Bytes<32>,
    /// By the channel's `payerAuthorizer`.
    #[schema(value_type = words::Signature)]
    signature: Bytes<65>,
}

/// A window that is open.
#[derive(Debug, Serialize, ToSchema)]
struct WindowView {
    /// What it counts from.
    #[schema(value_type = words::Units)]
    base: Amount,
    /// What a tick pays.
    #[schema(value_type = words::Units)]
    unit_price: Amount,
    /// How many ticks it has.
    max_ticks: u32,
    /// How many were charged; the next has the index after it.
    used: u32,
    /// What its first tick hashes to.
    #[schema(value_type = words::Hash)]
    root: B256,
    /// The id of the terms that the price is of.
    #[schema(value_type = words::Hash)]
    terms_hash: B256,
}

impl From<WindowState> for WindowView {
    fn from(WindowState { open, used }: WindowState) -> Self {
        Self {
            base: Amount(open.base),
            unit_price: Amount(open.unitPrice),
            max_ticks: open.maxTicks,
            used,
            root: open.root,
            terms_hash: open.termsHash,
        }
    }
}

/// Where a channel stands with this gateway. What it was charged is no secret: each use is in the published records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Standing {
    /// The channel.
    #[schema(value_type = words::Hash)]
    channel: B256,
    /// Charged so far, cumulative, claimed or not: where the next window begins.
    #[schema(value_type = words::Units)]
    charged: Amount,
    /// The open window; none when there is none.
    window: Option<WindowView>,
    /// The transaction that carried the deposit, when this answers one that was carried now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::Hash>, nullable = false)]
    deposit: Option<B256>,
}

impl Standing {
    fn new(channel: B256, charged: Amount, window: Option<WindowState>) -> Self {
        Self { channel, charged, window: window.map(WindowView::from), deposit: None }
    }
}

/// Shows where a channel stands with this gateway: what it was charged, and its open window.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/window",
    operation_id = "show_window",
    tag = "channels",
    params(("channel" = words::Hash, Path, description = "The channel's id.")),
    responses(
        (status = 200, description = "Where it stands.", body = Standing),
        (status = 404, description = "The channel was not used here, or so long ago that it is forgotten.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(Bytes(channel)): Named<Bytes<32>>,
) -> Result<Json<Standing>, Problem> {
    let channel = B256::new(channel);
    let known = app.meter.channel(channel).ok_or_else(|| payment::unknown(channel))?;
    let ChannelState { charged, window, .. } = known;
    Ok(Json(Standing::new(channel, charged, window)))
}

/// Opens a window of ticks at the price of a model that is served here. To open the same again changes nothing and shows
/// how far it was used.
///
/// Then each call of one unit is paid by the header `residual-tick`, in their order. While the window is open the channel
/// takes no vouchers. It ends with its last tick, or when its payer closes it.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/window",
    operation_id = "open_window",
    tag = "channels",
    params(("channel" = words::Hash, Path, description = "The channel's id.")),
    request_body = WindowRequest,
    responses(
        (status = 200, description = "It is open.", body = Standing),
        (status = 402, description = "The channel is not one that is asked for, or holds too little.", body = ProblemBody, content_type = "application/problem+json",
            headers(("payment-required" = String, description = "What is asked for: base64 of JSON (x402 v2)."))),
        (status = 403, description = "The window is not signed by the channel's payer.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The channel pays for no model that is served here.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Another price, other terms, another window, another base: the problem's type says which.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    Named(Bytes(channel)): Named<Bytes<32>>,
    uri: Uri,
    headers: HeaderMap,
    extract::Json(request): extract::Json<WindowRequest>,
) -> Result<Json<Standing>, Refusal> {
    let channel = B256::new(channel);
    if !(1..=residual_meter::MAX_TICKS).contains(&request.max_ticks) {
        let found = request.max_ticks;
        let detail =
            format!("expected a window of 1 to 1024 ticks, found {found}; sign one within these bounds");
        return Err(Problem::unprocessable(detail).into());
    }
    let opening = Opening {
        channel,
        config: request.config.try_into()?,
        base: request.base,
        unit_price: request.unit_price,
        max_ticks: request.max_ticks,
        root: B256::new(request.root.0),
        terms_hash: B256::new(request.terms_hash.0),
        signature: request.signature.0,
        voucher_signature: request.voucher_signature.0,
        deposit: request.deposit.map(Deposit::from),
    };
    let Opened { window, charged, deposit } =
        payment::open(&app, app.url_of(&uri, &headers), opening).await?;
    Ok(Json(Standing { deposit, ..Standing::new(channel, charged, Some(window)) }))
}

/// Ends a window before it is used up. What was charged stands; another window may begin there at once, and a voucher is
/// to promise more than the window did. Without a window nothing changes.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/window/close",
    operation_id = "close_window",
    tag = "channels",
    params(("channel" = words::Hash, Path, description = "The channel's id.")),
    request_body = CloseRequest,
    responses(
        (status = 200, description = "No window is open.", body = Standing),
        (status = 403, description = "It is not signed by the channel's payer.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The channel was not used here.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Another window is open, or none of its ticks was charged: the problem's type says which.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn close(
    State(app): State<Arc<App>>,
    Named(Bytes(channel)): Named<Bytes<32>>,
    extract::Json(CloseRequest { root, signature }): extract::Json<CloseRequest>,
) -> Result<Json<Standing>, Refusal> {
    let channel = B256::new(channel);
    let charged = payment::close(&app, channel, B256::new(root.0), signature.0).await?;
    Ok(Json(Standing::new(channel, charged, None)))
}
