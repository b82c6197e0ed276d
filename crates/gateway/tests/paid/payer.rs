//! The payer of this project against the gateway of this project.

use residual_client::{Budget, SpendError};
use residual_primitives::{Amount, RevenueKind};
use serde_json::Value;

use crate::support::{PRICE, PURSE, World, plenty};

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
