//! The payer of this project against the gateway of this project.

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
};
use residual_client::{ANY_PORT, Budget, SpendError};
use residual_primitives::{Amount, RevenueKind};
use residual_x402::{
    PAYMENT_REQUIRED, PAYMENT_SIGNATURE, PaymentPayload, PaymentRequired, batch, decode, encode,
};
use serde_json::{Value, json};

use crate::{
    raw::send,
    support::{PRICE, PURSE, World, plenty},
};

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_paid_settled_recorded_and_audited_to_the_unit() {
    const CALLS: u32 = 150;
    let world = World::new().await;
    let gateway = world.open().await;
    let payer = world.payer(2, plenty()).await;
    let mut charged = Amount::ZERO;
    let mut deposited = Amount::ZERO;
    for digit in world.digits.iter().cycle().take(CALLS as usize) {
        let paid = payer.call(world.call(&gateway, digit)).await.unwrap();
        assert_eq!(paid.response.status(), 200);
        assert_eq!(paid.charged, PRICE);
        charged = Amount(charged.0 + paid.charged.0);
        deposited = Amount(deposited.0 + paid.deposited.0);
        let answer: Value = serde_json::from_slice(&paid.response.bytes().await.unwrap()).unwrap();
        let label = answer["answers"][0]["classes"][0]["label"].as_str().unwrap();
        assert_eq!(
            label,
            world.twin.predict(digit.pixels()).label.to_string(),
            "the model that was published answers"
        );
    }
    assert_eq!(charged, Amount(PRICE.0 * u128::from(CALLS)));
    let me = world.account(2).address();
    assert_eq!(world.balance(me).await, Amount(PURSE.0 - deposited.0));

    let (_, refunded) = payer.refund(world.url(&gateway)).await.unwrap().unwrap();
    assert_eq!(refunded, Amount(deposited.0 - charged.0));
    assert_eq!(world.balance(me).await, Amount(PURSE.0 - charged.0));

    // The owner's money arrives by itself.
    world.has_earned(charged).await;
    gateway.shut_down().await.unwrap();

    let uses = world.client.usage_of(world.model.asset).await.unwrap();
    assert_eq!(uses.len(), CALLS as usize, "each use is recorded once");
    assert!(uses.iter().all(|row| row.amount == PRICE && row.payer == me && row.units == 1));
    let last = uses.last().unwrap();
    let proof = world.client.prove_usage(last.gateway, last.epoch, last.index).await.unwrap();
    assert_eq!(proof.usage.source, last.source);
    let audited = world.client.audit().await.unwrap();
    assert_eq!(audited.usage.records, u64::from(CALLS));
    assert_eq!(audited.usage.outstanding, Amount::ZERO);
    assert!(audited.usage.missing.is_empty());
    let till = world.client.till(world.model.asset, RevenueKind::Inference).await.unwrap();
    assert_eq!(world.balance(till).await, Amount::ZERO, "it was swept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_kept() {
    let world = World::new().await;
    let gateway = world.open().await;
    let call = || world.call(&gateway, &world.digits[0]);
    let dear = world.payer(3, Budget { per_call: Amount(PRICE.0 - 1), total: PURSE }).await;
    let refused = dear.call(call()).await.unwrap_err();
    assert!(matches!(refused, SpendError::TooDear { .. }), "{refused}");
    assert!(
        refused.to_string().contains("at most 0.001999 TUSD, found that it costs 0.002 TUSD"),
        "{refused}"
    );
    assert_eq!(world.balance(world.account(3).address()).await, PURSE, "nothing was deposited");

    // Two deposits' worth and a little: the third is not signed.
    let total = Amount(PRICE.0 * 250);
    let payer = world.payer(4, Budget { per_call: PRICE, total }).await;
    let mut served = 0;
    let refused = loop {
        match payer.call(call()).await {
            Ok(paid) => {
                assert_eq!(paid.response.status(), 200);
                served += 1;
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SpendError::Budget { .. }), "{refused}");
    assert!(refused.to_string().contains("within 0.5 TUSD"), "{refused}");
    assert_eq!(served, 200);
    let spent = Amount(PURSE.0 - world.balance(world.account(4).address()).await.0);
    assert!(spent <= total, "{spent} of {total}");
    gateway.shut_down().await.unwrap();
}

/// A payer that forgets what was charged, as after a crash between a call and its answer, goes on where it stood.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_starts_again_goes_on() {
    let world = World::new().await;
    let gateway = world.open().await;
    for _ in 0..3 {
        let payer = world.payer(5, plenty()).await;
        for _ in 0..2 {
            let paid = payer.call(world.call(&gateway, &world.digits[1])).await.unwrap();
            assert_eq!((paid.response.status().as_u16(), paid.charged), (200, PRICE));
        }
    }
    gateway.shut_down().await.unwrap();
    let uses = world.client.usage_of(world.model.asset).await.unwrap();
    assert_eq!(uses.len(), 6);
}

/// What is not served is not charged: a body that the model cannot read.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_costs_nothing() {
    let world = World::new().await;
    let gateway = world.open().await;
    let payer = world.payer(6, plenty()).await;
    payer.call(world.call(&gateway, &world.digits[0])).await.unwrap();
    let mut broken = world.call(&gateway, &world.digits[0]);
    *broken.body_mut() = Some(r#"{"tensor":[[1,2,3]]}"#.into());
    let paid = payer.call(broken).await.unwrap();
    assert_eq!((paid.response.status().as_u16(), paid.charged), (422, Amount::ZERO));
    let paid = payer.call(world.call(&gateway, &world.digits[0])).await.unwrap();
    assert_eq!((paid.response.status().as_u16(), paid.charged), (200, PRICE));
    gateway.shut_down().await.unwrap();
    assert_eq!(world.client.usage_of(world.model.asset).await.unwrap().len(), 2);
}

/// A gateway that calls a voucher charged which it has not served gets no more for the call than one may cost.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_costs_what_it_may_and_no_more_whatever_the_gateway_says() {
    let world = World::new().await;
    let gateway = world.open().await;
    let honest = send(world.call(&gateway, &world.digits[0])).await;
    let required: PaymentRequired =
        decode(honest.headers()[PAYMENT_REQUIRED].as_bytes(), "what is asked for").unwrap();
    let (seen, mut vouchers) = tokio::sync::mpsc::unbounded_channel();
    let lies = async move |headers: HeaderMap| {
        let mut required = required.clone();
        if let Some(payment) = headers.get(PAYMENT_SIGNATURE) {
            let payment: PaymentPayload = decode(payment.as_bytes(), "a payment").unwrap();
            let payload = payment.batch().unwrap();
            let voucher = payload.voucher();
            seen.send(voucher.max_claimable_amount).unwrap();
            required.error = Some(batch::reason::CUMULATIVE_MISMATCH.to_owned());
            let extra = &mut required.accepts[0].extra;
            let charged = voucher.max_claimable_amount;
            let state = json!({
                "channelId": voucher.channel_id, "balance": "0", "totalClaimed": "0", "withdrawRequestedAt": 0,
                "refundNonce": "0", "chargedCumulativeAmount": charged,
            });
            extra.insert("channelState".to_owned(), state);
            let highest = json!({ "signedMaxClaimable": charged, "signature": voucher.signature });
            extra.insert("voucherState".to_owned(), highest);
        }
        (StatusCode::PAYMENT_REQUIRED, [(PAYMENT_REQUIRED, encode(&required))])
    };
    let listener = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(lies)).await.unwrap() });

    let per_call = Amount(PRICE.0 * 2 + 1);
    let payer = world.payer(2, Budget { per_call, total: PURSE }).await;
    let mut call = world.call(&gateway, &world.digits[0]);
    call.url_mut().set_port(Some(at.port())).unwrap();
    let refused = payer.call(call).await.unwrap_err();
    assert!(matches!(refused, SpendError::TooDear { .. }), "{refused}");
    for promised in [PRICE, Amount(PRICE.0 * 2)] {
        assert_eq!(vouchers.recv().await, Some(promised));
    }
    assert!(vouchers.try_recv().is_err(), "a third would be more than a call may cost");
    gateway.shut_down().await.unwrap();
}
