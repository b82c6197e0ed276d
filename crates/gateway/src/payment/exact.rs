//! The scheme `exact`: one signed transfer into the asset's till for one call, carried to the ledger before the answer.

use std::{sync::Arc, time::Duration};

use residual_client::{SignedTransfer, Sponsored, now_s};
use residual_meter::{Charge, RecordExactError};
use residual_primitives::{Address, Amount, B256};
use residual_x402::{
    PaymentPayload, SettleResponse,
    exact::{Authorization, Payload, reason},
};

use super::{
    Call, Refusal, confirmed, request_id,
    shop::{Shop, refused},
    sponsor,
};
use crate::{App, problem::Problem};

/// For how long after its end a transfer that was carried to the ledger is followed, in seconds: chains may take half an hour
/// to call a block final. The meter remembers by far more uses than can be settled in that time.
const FOLLOWED_S: u64 = 60 * 60;

/// What is said to a payer who waited for a turn in vain.
pub(super) const BUSY_PAYER: &str =
    "other transfers of this payer are still being dealt with; send one at a time";

/// Serves what a signed transfer pays for.
pub(super) async fn serve<T>(
    app: &Arc<App>,
    call: &Call,
    payment: &PaymentPayload,
    name: Option<B256>,
    work: impl Future<Output = Result<T, Problem>> + Send,
) -> Result<(T, SettleResponse), Refusal> {
    let unpaid = |word: &str, detail: String| app.shop.unpaid(call, word, detail);
    // Before the turn of a payer and the ledger's time are taken for somebody who only names them.
    let payload = payment.exact().map_err(|error| unpaid(reason::PAYLOAD, error.to_string()))?;
    let transfer = signed_transfer(&app.shop, &payload, call.receiver, call.price)
        .map_err(|flaw| unpaid(flaw.reason, flaw.detail))?;
    let (from, value) = (transfer.from, transfer.value);
    // One at a time for a payer: of two like requests the second finds the first's record, and nobody has work done for
    // more than there is money for.
    let busy = || Problem::unavailable(BUSY_PAYER, Duration::from_secs(1));
    let _turn = app.seats.turn(payer_seat(from), app.shop.timeout()).await.ok_or_else(busy)?;
    let charge = Charge {
        request_id: request_id(name, &[transfer.id().as_slice()]),
        request_digest: call.digest,
        receiver: call.receiver,
        token: transfer.token,
        amount: call.price,
        units: call.units,
        at_s: now_s(),
    };
    let recorded = app.meter.check_exact(from, transfer.id(), &charge).map_err(Problem::conflict)?;
    let begun = recorded || app.client.is_sponsored(&app.account, transfer.id()).await?;
    check_validity(app, call, &transfer, begun)?;
    // What was counted is what the transfer gets. One that was begun before is followed, and takes no more gas.
    let mut gas = sponsor::GAS_MAX;
    let mut reserved = None;
    if recorded {
        app.repeats.take(from.as_slice(), charge.request_id)?;
    } else if !begun {
        let what = Sponsored::Transfer(&transfer);
        gas = match app.client.sponsored_gas(&app.account, what, sponsor::GAS_MAX).await {
            Ok(gas) => gas,
            Err(error) => return Err(unpaid(reason::REFUSED, refused(error)?)),
        };
        app.shop.covers(call, gas).map_err(|least| app.shop.too_cheap(call, least))?;
        // Given back when the work fails.
        reserved = Some(app.sponsor.reserve(from, gas)?);
    }
    let answer = work.await?;
    if let Some(reserved) = reserved {
        reserved.spend();
    }
    let transaction = match settle(app, &transfer, &charge, gas).await? {
        Ok(transaction) => transaction,
        Err(detail) => return Err(unpaid(reason::REFUSED, detail)),
    };
    let paid = SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some(from),
        transaction: transaction.to_string(),
        network: app.shop.network(),
        amount: Some(value.to_string()),
        extra: serde_json::Map::new(),
    };
    Ok((answer, paid))
}

/// What is wrong with a payment: the peers' name of it, and that in words.
pub(super) struct Flaw {
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

/// The transfer of so much to that payee which is in a payment, signed by who pays. Nothing of it is asked of the ledger.
pub(super) fn signed_transfer(
    shop: &Shop,
    payload: &Payload,
    payee: Address,
    amount: Amount,
) -> Result<SignedTransfer, Flaw> {
    let Authorization { from, to, value, valid_after, valid_before, nonce } = payload.authorization;
    let flaw = |reason, detail| Flaw { reason, detail };
    if to != payee {
        return Err(flaw(reason::RECIPIENT, format!("expected a transfer to {payee}, found one to {to}")));
    }
    if value != amount {
        let detail = format!("expected a transfer of {amount} units, found {value}");
        return Err(flaw(reason::VALUE, detail));
    }
    let signature = payload.signature.as_ref().try_into().map_err(|_| {
        let found = payload.signature.len();
        flaw(reason::SIGNATURE, format!("expected a signature of 65 bytes (r, s, v), found {found}"))
    })?;
    let transfer = SignedTransfer {
        token: shop.token(),
        from,
        to,
        value,
        valid_after_s: valid_after,
        valid_before_s: valid_before,
        nonce,
        signature,
    };
    if !transfer.is_signed(shop.domain()) {
        let detail = format!("expected a transfer that {from} signed, found another's signature");
        return Err(flaw(reason::SIGNATURE, detail));
    }
    Ok(transfer)
}

/// The place of a payer, which is no channel's.
pub(super) fn payer_seat(payer: Address) -> B256 {
    residual_client::digest_of_parts(&[b"exact", payer.as_slice()])
}

/// A transfer is taken while it is good, and only one that is not good for long; one that was begun, for as long after as
/// finality may take. So what served before is remembered as long as it could be sent again (MET-2).
fn check_validity(app: &App, call: &Call, transfer: &SignedTransfer, begun: bool) -> Result<(), Refusal> {
    let needed = app.shop.validity(now_s());
    if begun {
        let latest = transfer.valid_before_s.saturating_add(FOLLOWED_S);
        if latest < needed.start {
            let detail = format!("expected a transfer to be sent again until {latest}, found it sent later");
            return Err(app.shop.unpaid(call, reason::VALID_BEFORE, detail));
        }
        return Ok(());
    }
    let latest = needed.start + 2 * app.shop.timeout().as_secs();
    let found = transfer.valid_before_s;
    if !(needed.end + 1..=latest).contains(&found) {
        let detail =
            format!("expected a transfer that is good until {} to {latest}, found {found}", needed.end + 1);
        return Err(app.shop.unpaid(call, reason::VALID_BEFORE, detail));
    }
    let found = transfer.valid_after_s;
    if found >= needed.start {
        let detail = format!("expected a transfer that is good before {}, found {found}", needed.start);
        return Err(app.shop.unpaid(call, reason::VALID_AFTER, detail));
    }
    Ok(())
}

/// Carries the transfer to the ledger, with at most so much gas, and makes the use durable: its transaction, or why the
/// ledger refused.
async fn settle(
    app: &App,
    transfer: &SignedTransfer,
    charge: &Charge,
    gas: u64,
) -> Result<Result<B256, String>, Refusal> {
    let done = match app.client.sponsor_transfer(&app.account, transfer.id(), transfer, gas).await {
        Ok(done) => done,
        Err(error) => return Ok(Err(refused(error)?)),
    };
    confirmed(app, done.block).await?;
    app.note_paid(charge.receiver);
    let unrecorded = |error: RecordExactError| {
        tracing::error!(%error, "a use could not be recorded; restart the gateway once that is repaired");
        Problem::unavailable("uses cannot be recorded here at present", Duration::from_secs(60))
    };
    let pending = app.meter.submit_exact(transfer.from, transfer.id(), charge).map_err(unrecorded)?;
    pending.await.map_err(|error| unrecorded(error.into()))?;
    Ok(Ok(done.transaction))
}
