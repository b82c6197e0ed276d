//! The scheme `exact`: one signed transfer into the asset's till for one call, carried to the ledger before the answer.

use residual_client::{SignedTransfer, now_s};
use residual_meter::ExactUse;
use residual_primitives::B256;
use residual_x402::{
    PaymentPayload, SettleResponse,
    exact::{Authorization, reason},
};

use super::{Call, Refusal, request_id, shop::refused};
use crate::{App, problem::Problem};

/// Serves what a signed transfer pays for.
pub(super) async fn serve<T>(
    app: &App,
    call: &Call<'_>,
    payment: &PaymentPayload,
    name: Option<B256>,
    work: impl Future<Output = Result<T, Problem>> + Send,
) -> Result<(T, SettleResponse), Refusal> {
    let unpaid = |word: &str, detail: String| app.shop.unpaid(call, word, detail);
    let payload = payment.exact().map_err(|error| unpaid(reason::PAYLOAD, error.to_string()))?;
    let signature = payload.signature.as_ref().try_into().map_err(|_| {
        let found = payload.signature.len();
        unpaid(reason::SIGNATURE, format!("expected a signature of 65 bytes (r, s, v), found {found}"))
    })?;
    let Authorization { from, to, value, valid_after, valid_before, nonce } = payload.authorization;
    if to != call.receiver {
        let expected = call.receiver;
        return Err(unpaid(
            reason::RECIPIENT,
            format!("expected a transfer to {expected}, found one to {to}"),
        ));
    }
    if value != call.price {
        let expected = call.price;
        return Err(unpaid(reason::VALUE, format!("expected a transfer of {expected} units, found {value}")));
    }
    let needed = app.shop.validity(now_s());
    let transfer = SignedTransfer {
        token: app.shop.token(),
        from,
        to,
        value,
        valid_after_s: valid_after,
        valid_before_s: valid_before,
        nonce,
        signature,
    };
    // The nonce serves once, and so does this lock: of two like requests at once the second finds the first's record.
    let _turn = app.seats.of(transfer.id()).lock_owned().await;
    let usage = ExactUse {
        payment: transfer.id(),
        request_id: request_id(name, &[transfer.id().as_slice()]),
        request_digest: call.digest,
        payer: from,
        receiver: call.receiver,
        token: transfer.token,
        units: call.units,
        unit_price: call.unit_price,
        amount: call.price,
        at_s: now_s(),
    };
    let recorded = app.meter.exact_recorded(&usage).map_err(Problem::conflict)?;
    if !recorded {
        if valid_before <= needed.end {
            let detail = format!("expected a transfer good beyond {}, found {valid_before}", needed.end);
            return Err(unpaid(reason::VALID_BEFORE, detail));
        }
        if valid_after >= needed.start {
            let detail = format!("expected a transfer good before {}, found {valid_after}", needed.start);
            return Err(unpaid(reason::VALID_AFTER, detail));
        }
        if !app.client.is_sponsored(&app.account, &transfer).await? {
            let checked = app.client.check_transfer(&app.account, &transfer).await;
            if let Err(error) = checked {
                return Err(unpaid(reason::REFUSED, refused(error)?));
            }
        }
    }
    let answer = work.await?;
    let done = match app.client.sponsor_transfer(&app.account, &transfer).await {
        Ok(done) => done,
        Err(error) => return Err(unpaid(reason::REFUSED, refused(error)?)),
    };
    tokio::task::block_in_place(|| app.meter.record_exact(&usage)).map_err(|error| {
        tracing::error!(%error, "a use could not be recorded; restart the gateway once that is repaired");
        Problem::unavailable("uses cannot be recorded here at present", std::time::Duration::from_secs(60))
    })?;
    app.note_paid(call.receiver);
    let paid = SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some(from),
        transaction: done.transaction.to_string(),
        network: app.shop.network(),
        amount: Some(value.to_string()),
        extra: serde_json::Map::new(),
    };
    Ok((answer, paid))
}
