//! Windows of ticks: one signature of the payer for up to 1024 calls of one model, and a preimage for each of them.
//!
//! A window is opened at the price and under the terms of a model that is served, and only its payer ends it early. While
//! it is open the channel takes no voucher. A tick pays for one unit, since its record is one use: of a call of several
//! units some ticks could be durable and others not when the gateway dies, so such a call is to be paid otherwise.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderValue;
use residual_client::now_s;
use residual_meter::{Charge, ChargeError, SignedTickOpen, SignedVoucher, Tick, WindowError, WindowState};
use residual_primitives::{
    Amount, B256, Bytes,
    signed::{ChannelConfig, TickClose, TickOpen},
};
use residual_x402::batch::{self, Deposit, WireVoucher, reason};

use super::{
    Call, Outcome, Refusal,
    batch::{BUSY, Channel, unrecorded},
    deal,
};
use crate::{App, problem::Problem, service::Service};

/// What a 402 says to a tick that pays for less than the call.
const TICK_UNITS: &str = "residual_tick_units";

/// A window that a payer asks for.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The channel, which is that of the configuration.
    pub(crate) channel: B256,
    pub(crate) config: ChannelConfig,
    /// What is charged on the channel so far.
    pub(crate) base: Amount,
    pub(crate) unit_price: Amount,
    pub(crate) max_ticks: u32,
    pub(crate) root: B256,
    pub(crate) terms_hash: B256,
    /// Of the anchor.
    pub(crate) signature: [u8; 65],
    /// Of the voucher that promises what all ticks cost.
    pub(crate) voucher_signature: [u8; 65],
    /// What is put in first.
    pub(crate) deposit: Option<Deposit>,
}

/// A window that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) window: WindowState,
    /// Charged on the channel so far.
    pub(crate) charged: Amount,
    /// The transaction that carried the deposit, if one was carried for this.
    pub(crate) deposit: Option<B256>,
}

/// Opens a window, durably, or finds it open. `url` is where that was asked for.
pub(crate) async fn open(app: &Arc<App>, url: String, opening: Opening) -> Result<Opened, Refusal> {
    let receiver = opening.config.receiver;
    let service = app.services.values().find(|service| service.receiver == receiver).ok_or_else(|| {
        let expected = "expected a channel that pays the till of a model that this gateway serves";
        Problem::not_found(format!("{expected}, found one that pays {receiver}; see /v1/gateway"))
    })?;
    if opening.unit_price != service.unit_price {
        let (expected, found) = (service.unit_price, opening.unit_price);
        let detail =
            format!("expected a window at the price {expected}, found one at {found}; sign one at that");
        return Err(Problem::conflict(detail).named("window-price", "The window has another price").into());
    }
    let terms = service.terms.0;
    if opening.terms_hash != terms {
        let found = opening.terms_hash;
        let detail =
            format!("expected a window under the terms {terms}, found {found}; sign one under those");
        return Err(other_terms(detail).into());
    }
    let whole = opening.unit_price.0.checked_mul(opening.max_ticks.into());
    let price = whole.ok_or_else(|| beyond_money(&opening)).map(Amount)?;
    let max = opening.base.checked_add(price).ok_or_else(|| beyond_money(&opening))?;
    let call = asked_for(service, url);
    let gateway = Arc::clone(app);
    deal(app, async move { opened(&gateway, &call, opening, price, max).await }).await
}

fn beyond_money(opening: &Opening) -> Problem {
    let Opening { base, unit_price, max_ticks, .. } = opening;
    let detail = format!("expected a window below 2^128 units, found {base} + {max_ticks} x {unit_price}");
    Problem::unprocessable(detail)
}

/// A call that a window is opened for.
fn asked_for(service: &Service, url: String) -> Call {
    Call {
        url,
        description: format!("{}, version {}: a window of predictions", service.name, service.version),
        receiver: service.receiver,
        unit_price: service.unit_price,
        units: 1,
        price: service.unit_price,
        terms: service.terms.0,
        digest: B256::ZERO,
        discovery: Arc::clone(&service.discovery),
    }
}

async fn opened(
    app: &App,
    call: &Call,
    opening: Opening,
    price: Amount,
    max: Amount,
) -> Result<Opened, Refusal> {
    let Opening { channel: id, config, base, unit_price, max_ticks, root, terms_hash, .. } = opening;
    let voucher = WireVoucher {
        channel_id: id,
        max_claimable_amount: max,
        signature: Bytes::copy_from_slice(&opening.voucher_signature),
    };
    let open = TickOpen {
        gateway: app.account.address(),
        channelId: id,
        base: base.0,
        unitPrice: unit_price.0,
        maxTicks: max_ticks,
        root,
        termsHash: terms_hash,
    };
    let signed = SignedTickOpen { open, signature: opening.signature };
    let (mut channel, voucher) = Channel::take(app, call, config, &voucher, false).await?;
    would_open(app, &channel, &signed, &voucher)?;
    let deposited = match &opening.deposit {
        Some(deposit) => channel.deposit(deposit, &voucher, price).await?,
        None => {
            channel.open().await?;
            None
        }
    };
    let submitted = app.meter.submit_window(&signed, &voucher);
    let stale = ChargeError::NotReconciled { channel_id: id };
    let submitted = match submitted {
        Err(WindowError::Refused(ChargeError::BeyondEscrow { .. } | ChargeError::NotReconciled { .. })) => {
            channel.refresh().await?;
            app.meter.submit_window(&signed, &voucher)
        }
        other => other,
    };
    let pending = submitted.map_err(|error| not_opened(&channel, error))?;
    pending.await.map_err(|error| unrecorded(&error))?;
    let metered = channel.metered()?;
    let window = metered.window.ok_or_else(|| not_opened(&channel, stale.into()))?;
    let deposit = deposited.map(|(transaction, _)| transaction);
    Ok(Opened { window, charged: metered.charged, deposit })
}

/// What would be refused afterwards is refused before the ledger is asked or money moves.
fn would_open(
    app: &App,
    channel: &Channel<'_>,
    signed: &SignedTickOpen,
    voucher: &SignedVoucher,
) -> Result<(), Refusal> {
    let channels = app.client.channels();
    let key = channels.learn_key(voucher, channel.config.payerAuthorizer);
    key.and_then(|key| channels.verify_tick_open(signed, &key)).map_err(wrong_signer)?;
    let Some(known) = app.meter.channel(channel.id).filter(|known| known.escrow.is_some()) else {
        return Ok(());
    };
    let error = match known.window {
        Some(window) if window.open == signed.open => return Ok(()),
        Some(window) => WindowError::AlreadyOpen { root: window.open.root },
        None if known.charged.0 == signed.open.base => return Ok(()),
        None => WindowError::Base { expected: known.charged, found: Amount(signed.open.base) },
    };
    Err(not_opened(channel, error))
}

fn not_opened(channel: &Channel<'_>, error: WindowError) -> Refusal {
    match error {
        WindowError::Refused(error @ ChargeError::BeyondEscrow { .. }) => {
            channel.unpaid(reason::BEYOND_BALANCE, error)
        }
        error => window_problem(error).into(),
    }
}

fn window_problem(error: WindowError) -> Problem {
    match error {
        WindowError::Refused(error) => tick_problem(error),
        WindowError::AlreadyOpen { .. } => {
            Problem::conflict(error).named("window-open", "Another window is open on the channel")
        }
        WindowError::Base { .. } => Problem::conflict(error)
            .named("window-base", "The window begins where the channel does not stand"),
        WindowError::RootUsed { .. } => {
            Problem::conflict(error).named("root-used", "The window's chain was used before")
        }
        WindowError::NotOpen { .. } => no_window(error),
        WindowError::OtherGateway { .. }
        | WindowError::OtherChannel { .. }
        | WindowError::Ticks { .. }
        | WindowError::Free
        | WindowError::Voucher { .. } => Problem::unprocessable(error),
    }
}

/// Ends a window of which at least one tick was charged, or whose price or terms hold no more, as its payer wishes; or
/// finds no window open. What is charged on the channel by then.
///
/// An unused window at the price of now goes on: opening and ending windows without end would fill the log for nothing.
pub(crate) async fn close(
    app: &Arc<App>,
    channel: B256,
    root: B256,
    signature: [u8; 65],
) -> Result<Amount, Refusal> {
    let known = app.meter.channel(channel).ok_or_else(|| unknown(channel))?;
    let wish = TickClose { gateway: app.account.address(), channelId: channel, root };
    let channels = app.client.channels();
    channels.verify_tick_close(&wish, &signature, known.config.payerAuthorizer).map_err(wrong_signer)?;
    let gateway = Arc::clone(app);
    deal(app, async move { Ok(closed(&gateway, channel, root).await?) }).await
}

async fn closed(app: &App, channel: B256, root: B256) -> Result<Amount, Problem> {
    // A tick that is worked for is charged first.
    let seat = app.seats.of(channel).lock_owned();
    let Ok(_turn) = tokio::time::timeout(app.shop.timeout(), seat).await else { return Err(busy()) };
    let known = app.meter.channel(channel).ok_or_else(|| unknown(channel))?;
    let unused = known.window.filter(|window| window.open.root == root && window.used == 0);
    let holds = |window: &WindowState| {
        app.services.values().any(|service| {
            let TickOpen { unitPrice, termsHash, .. } = window.open;
            service.receiver == known.config.receiver
                && (service.unit_price.0, service.terms.0) == (unitPrice, termsHash)
        })
    };
    if unused.as_ref().is_some_and(holds) {
        let detail = "expected a window of which a tick was charged, found an unused one whose price still holds; use it";
        return Err(Problem::conflict(detail).named("window-unused", "The window was not used yet"));
    }
    let pending = app.meter.submit_close(channel, root).map_err(window_problem)?;
    pending.await.map_err(|error| unrecorded(&error))
}

/// There is no channel of this id that this gateway has charged or was shown.
pub(crate) fn unknown(channel: B256) -> Problem {
    Problem::not_found(format!(
        "expected a channel that was paid through or opened a window here, found none with id {channel}"
    ))
}

/// Serves `work` when it is paid by the tick in `header`, as [`super::paid`] does by x402. A tick is a payment's name by
/// itself: sent again with the same request it is answered again, with another it is refused (MET-2).
pub(crate) async fn ticked<T: Send + 'static>(
    app: &Arc<App>,
    call: Call,
    header: &HeaderValue,
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<Outcome<T>, Refusal> {
    let text = header.to_str().unwrap_or_default();
    let tick: Tick = text.parse().map_err(|error| Problem::invalid(format!("{}: {error}", Tick::HEADER)))?;
    if call.units != 1 {
        let found = call.units;
        let detail = format!(
            "expected a call of one unit, which is what a tick pays for, found one of {found}; send its rows one by one, \
             or pay it by a voucher on another channel"
        );
        return Err(app.shop.unpaid(&call, TICK_UNITS, detail));
    }
    let index = tick.index.to_be_bytes();
    let parts: [&[u8]; 4] = [b"tick", tick.channel_id.as_slice(), &index, tick.preimage.as_slice()];
    let charge = Charge {
        request_id: residual_client::digest_of_parts(&parts),
        request_digest: call.digest,
        receiver: call.receiver,
        token: app.shop.token(),
        amount: call.price,
        units: call.units,
        at_s: now_s(),
    };
    // Whoever has not the preimage neither takes the channel's turn nor, of a channel that is known, makes the ledger be
    // asked.
    match app.meter.check_tick(&tick, &charge) {
        Ok(()) | Err(ChargeError::BeyondEscrow { .. } | ChargeError::NotReconciled { .. }) => {}
        Err(error) => return Err(tick_problem(error).into()),
    }
    let gateway = Arc::clone(app);
    deal(app, async move { serve(&gateway, &call, &tick, &charge, work).await }).await
}

async fn serve<T>(
    app: &App,
    call: &Call,
    tick: &Tick,
    charge: &Charge,
    work: impl Future<Output = Result<T, Problem>> + Send,
) -> Result<Outcome<T>, Refusal> {
    let id = tick.channel_id;
    let known = app.meter.channel(id).ok_or_else(|| unknown(id))?;
    let mut channel = Channel::sit(app, call, known.config, id, false).await.ok_or_else(busy)?;
    channel.open().await?;
    let mut checked = app.meter.check_tick(tick, charge);
    if matches!(checked, Err(ChargeError::BeyondEscrow { .. } | ChargeError::NotReconciled { .. })) {
        channel.refresh().await?;
        checked = app.meter.check_tick(tick, charge);
    }
    let refused = |error| match error {
        ChargeError::BeyondEscrow { .. } => app.shop.unpaid(call, reason::BEYOND_BALANCE, error),
        error => tick_problem(error).into(),
    };
    checked.map_err(refused)?;
    if let Some(window) = channel.metered()?.window
        && window.open.termsHash != call.terms
    {
        let (expected, found) = (window.open.termsHash, call.terms);
        let detail = format!(
            "expected calls under the window's terms {expected}, found {found}; end it and open another"
        );
        return Err(other_terms(detail).into());
    }
    if channel.metered()?.window.is_some_and(|window| tick.index <= window.used) {
        app.repeats.take(id.as_slice(), charge.request_id)?;
    }
    let answer = work.await?;
    let charged = app.meter.submit_tick(tick, charge).map_err(refused)?;
    let charged = charged.await.map_err(|error| unrecorded(&error))?;
    let extra = batch::SettleExtra {
        channel_state: channel.state(charged.charged_total),
        charged_amount: Some(charged.amount),
    };
    Ok(Outcome::Served(answer, channel.settled(String::new(), String::new(), &extra)))
}

/// What a refused tick means to the payer.
fn tick_problem(error: ChargeError) -> Problem {
    match error {
        ChargeError::UnknownChannel(_) | ChargeError::NoWindow { .. } => no_window(error),
        ChargeError::Receiver { .. } | ChargeError::Token { .. } => {
            Problem::conflict(error).named("other-channel", "The channel pays for something else")
        }
        ChargeError::RequestReused { .. } => {
            Problem::conflict(error).named("tick-used", "The tick has paid for another request")
        }
        ChargeError::WindowPrice { .. } => {
            Problem::conflict(error).named("window-price", "The window has another price")
        }
        ChargeError::NotNextTick { .. } => {
            Problem::conflict(error).named("not-next-tick", "Another tick is the next")
        }
        ChargeError::NotOfTheChain { .. } => {
            Problem::conflict(error).named("not-of-the-chain", "The tick is not of the window's chain")
        }
        ChargeError::BeyondEscrow { .. } => {
            Problem::conflict(error).named("beyond-escrow", "The channel holds too little")
        }
        ChargeError::InsideWindow { .. } => {
            Problem::conflict(error).named("inside-window", "A window is open on the channel")
        }
        ChargeError::Signature(error) => wrong_signer(error),
        ChargeError::NotReconciled { .. } | ChargeError::UnclaimedCap { .. } => {
            Problem::unavailable(error, Duration::from_secs(10))
        }
        ChargeError::Commit(error) => unrecorded(&error),
        // No voucher is charged here, and every price is whole.
        ChargeError::Units { .. } | ChargeError::NotGrowing { .. } | ChargeError::Uncovered { .. } => {
            Problem::internal(error)
        }
    }
}

fn no_window(error: impl std::fmt::Display) -> Problem {
    Problem::conflict(error).named("no-window", "There is no such window")
}

fn other_terms(detail: String) -> Problem {
    Problem::conflict(detail).named("window-terms", "The window is under other terms")
}

fn wrong_signer(error: residual_meter::SignatureError) -> Problem {
    Problem::forbidden(error).named("wrong-signer", "The channel is somebody else's")
}

fn busy() -> Problem {
    Problem::unavailable(BUSY, Duration::from_secs(1))
}
