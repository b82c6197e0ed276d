//! By which right a model is served, and at which price, while that changes on the ledger.

use std::sync::Arc;

use residual_client::ServeError;
use residual_gateway::{Config, Gateway, ServiceError, Serving, StartError};
use residual_ledger::{Transaction, contracts::licences::Licences};
use residual_primitives::{Amount, Terms};
use residual_x402::{PAYMENT_REQUIRED, PaymentRequired, decode};

use crate::{
    raw::send,
    support::{PRICE, PURSE, World, account, plenty, terms},
};

/// An operator elsewhere serves with its own licence, what the publisher's gateway gives for it; for as long as the
/// licence is its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_serves_by_a_licence_for_as_long_as_it_holds_it() {
    let world = World::new().await;
    let publisher = world.open().await;
    let client = Arc::new(world.join().await);
    let operator = account(&client, 8);
    client.fund(&account(&client, 0), operator.address(), PURSE).await.unwrap();
    let (asset, offered) = (world.model.asset, world.model.terms[0]);
    let licence = client.license(&operator, asset, offered, operator.address(), None).await.unwrap().licence;
    let start = async |content_from| {
        let serving = vec![Serving { asset, licence: Some(licence) }];
        let config = Config { serving, content_from, coin_price: Some(Amount::ZERO), ..world.config() };
        Gateway::start(client.clone(), account(&client, 8), config).await
    };
    let error = start(None).await.unwrap_err();
    assert!(matches!(error, StartError::Service(ServiceError::Serve(ServeError::Get(_)))), "{error}");
    let from = client.gateway(&format!("http://{}", publisher.address()), false).await.unwrap();
    let gateway = start(Some(Arc::new(from))).await.unwrap();

    let payer = world.payer(2, plenty()).await;
    let served = payer.call(world.call(&gateway, &world.digits[0])).await.unwrap();
    assert_eq!((served.response.status().as_u16(), served.charged), (200, PRICE));
    let call = Licences::transferFromCall {
        from: operator.address(),
        to: world.account(4).address(),
        tokenId: licence.to_u256(),
    };
    let sender = client.chain().sender(account(&client, 8));
    sender.send(&Transaction::call(client.suite().licences, &call)).await.unwrap();
    gateway.settle().await;
    let refused = send(world.call(&gateway, &world.digits[1])).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let why = String::from_utf8(refused.bytes().await.unwrap().to_vec()).unwrap();
    assert!(why.contains(&format!("found {}", world.account(4).address())), "{why}");
    assert_eq!(world.get(&gateway, "/v1/gateway").await["serving"], serde_json::json!([]));

    // What was put in can be had back all the same.
    let (_, back) = payer.refund(world.url(&gateway)).await.unwrap().unwrap();
    assert_eq!(back, Amount(served.deposited.0 - PRICE.0));
    gateway.shut_down().await.unwrap();
    publisher.shut_down().await.unwrap();
}

/// What a call costs is what the controller offers it for, also while it is served; without an offer it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_costs_what_it_is_offered_for() {
    let world = World::new().await;
    let gateway = world.open().await;
    let (client, owner, asset) = (&world.client, world.account(1), world.model.asset);
    let asked = async || {
        gateway.settle().await;
        let unpaid = send(world.call(&gateway, &world.digits[0])).await;
        let required = unpaid.headers().get(PAYMENT_REQUIRED)?;
        let required: PaymentRequired = decode(required.as_bytes(), "what is asked for").unwrap();
        Some(required.accepts[0].amount)
    };
    let payer = world.payer(2, plenty()).await;
    assert_eq!(asked().await, Some(PRICE));
    assert_eq!(payer.call(world.call(&gateway, &world.digits[0])).await.unwrap().charged, PRICE);
    let lower = Amount(PRICE.0 / 2);
    let cheaper = Terms { inference_unit_price: lower, ..terms(client) };
    let cheaper = client.define_terms(&owner, &cheaper).await.unwrap();
    client.offer(&owner, asset, cheaper).await.unwrap();
    assert_eq!(asked().await, Some(lower));
    assert_eq!(payer.call(world.call(&gateway, &world.digits[1])).await.unwrap().charged, lower);
    for offered in [cheaper, world.model.terms[0]] {
        client.withdraw_offer(&owner, asset, offered).await.unwrap();
    }
    assert_eq!(asked().await, None);
    let refused = payer.call(world.call(&gateway, &world.digits[2])).await.unwrap();
    assert_eq!((refused.response.status().as_u16(), refused.charged), (503, Amount::ZERO));
    client.offer(&owner, asset, cheaper).await.unwrap();
    assert_eq!(asked().await, Some(lower));
    gateway.shut_down().await.unwrap();
    client.audit().await.unwrap();
}
