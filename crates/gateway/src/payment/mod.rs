//! Paid calls: what is asked for, what is taken, and that nothing is answered before it is paid durably (MET-1).
//!
//! The order is always the same. The payment is checked; the work is done; the charge is made durable, or the transfer
//! carried to the ledger; then the answer goes. Work that fails costs nothing. A payment is one of x402, or a tick of a
//! window that was opened on a channel.

mod batch;
mod exact;
pub(crate) mod facilitator;
mod refusal;
mod repeats;
mod seats;
mod shop;
mod sponsor;
mod windows;

use std::{sync::Arc, time::Duration};

use axum::http::HeaderValue;
use residual_primitives::{Amount, B256};
use residual_x402::{
    PAYMENT_SIGNATURE, PaymentPayload, SettleResponse, VERSION, batch as wire, decode, extensions,
};

use crate::{App, limits, problem::Problem};

pub(crate) use refusal::Refusal;
pub(crate) use repeats::Repeats;
pub(crate) use seats::Seats;
pub use shop::PaymentRules;
pub(crate) use shop::{Call, Shop};
pub(crate) use sponsor::Sponsor;
pub(crate) use windows::{Opened, Opening, close, open, ticked, unknown};

/// Waits until the chain's finality rule takes a block, since a transaction that may be taken back pays for nothing; not for
/// longer than a payment is waited for.
async fn confirmed(app: &App, block: u64) -> Result<(), Problem> {
    match tokio::time::timeout(app.shop.timeout(), app.client.wait_final(block)).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => {
            let detail =
                "the ledger has the transaction and has not confirmed it yet; send the request again";
            Err(Problem::unavailable(detail, Duration::from_secs(10)))
        }
    }
}

/// What came of a paid call.
pub(crate) enum Outcome<T> {
    /// It was served, and paid.
    Served(T, SettleResponse),
    /// Nothing was to be served: the payer got back what was left in the channel.
    Refunded(SettleResponse),
}

/// Serves `work` when it is paid by `header`. `work` is not begun before the payment is known to be good. Once a payment is
/// looked at, it is dealt with to its end, whether or not the caller still waits: so nothing is given back and spent
/// again, and no work is done that is not charged.
pub(crate) async fn paid<T: Send + 'static>(
    app: &Arc<App>,
    call: Call,
    header: Option<&HeaderValue>,
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<Outcome<T>, Refusal> {
    let Some(header) = header else {
        let detail = "this call is paid; see the PAYMENT-REQUIRED header";
        return Err(app.shop.unpaid(&call, "Payment required", detail));
    };
    let payment: PaymentPayload =
        decode(header.as_bytes(), "an x402 payment").map_err(|error| header_refused(&error))?;
    if payment.x402_version != VERSION {
        let found = payment.x402_version;
        return Err(Problem::invalid(format!("expected x402 version {VERSION}, found {found}")).into());
    }
    let Some(way) = app.shop.accepts(&call).into_iter().find(|way| way.is_accepted_by(&payment.accepted))
    else {
        if payment.accepted.scheme == residual_x402::exact::SCHEME
            && let Err(least) = app.shop.exact_is_worth(&call)
        {
            return Err(app.shop.too_cheap(&call, least));
        }
        let detail = "expected one of the ways to pay that are listed, found another or one with other terms; ask again \
                      without a payment and sign what is asked for then";
        return Err(app.shop.unpaid(&call, "No matching payment requirements", detail));
    };
    let name = extensions::payment_id(payment.extensions.as_ref())
        .map_err(Problem::invalid)?
        .map(|id| residual_client::digest(id.as_bytes()));
    let gateway = Arc::clone(app);
    deal(app, async move {
        if way.scheme == wire::SCHEME {
            batch::serve(&gateway, &call, &payment, name, work).await
        } else {
            let served = exact::serve(&gateway, &call, &payment, name, work).await;
            served.map(|(answer, paid)| Outcome::Served(answer, paid))
        }
    })
    .await
}

/// Deals with a payment to its end, whether or not anybody still waits, if there is room for one more.
async fn deal<T: Send + 'static, E: From<Problem> + Send + 'static>(
    app: &App,
    payment: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    let Ok(place) = Arc::clone(&app.payments).try_acquire_owned() else {
        let detail =
            "expected fewer payments at once, found as many as are dealt with; try again in a moment";
        return Err(Problem::unavailable(detail, Duration::from_secs(1)).into());
    };
    let caller = limits::caller_place();
    let dealt = tokio::spawn(async move {
        let _places = (place, caller);
        payment.await
    });
    dealt.await.map_err(|_| Problem::internal("the payment could not be dealt with"))?
}

fn header_refused(error: &residual_x402::HeaderError) -> Problem {
    Problem::invalid(format!("{PAYMENT_SIGNATURE}: {error}"))
}

/// The id under which a charge is remembered: the payer's name for it, else what the payment itself says.
fn request_id(name: Option<B256>, payment: &[&[u8]]) -> B256 {
    let parts: Vec<&[u8]> = match &name {
        Some(name) => vec![b"name", name.as_slice()],
        None => [&[b"payment".as_slice()], payment].concat(),
    };
    residual_client::digest_of_parts(&parts)
}

/// The price of some units; none when it is beyond all money.
pub(crate) fn price_of(unit: Amount, units: u32) -> Option<Amount> {
    unit.0.checked_mul(units.into()).map(Amount)
}
