//! The payer of this project, told to pay by windows of ticks.
#![expect(clippy::unwrap_used, reason = "a helper of tests that fails is a failed test")]

use std::{
    fs,
    time::{Duration, Instant},
};

use residual_client::{Budget, Payer, SpendError};
use residual_gateway::Gateway;
use residual_ledger::http::{self, Method, Request, Url};
use residual_primitives::{Amount, B256, Bytes, signed::TickClose};
use serde_json::{Value, json};

use crate::support::{PRICE, PURSE, World, plenty};

/// Has one digit read, and paid for; what was deposited for it, and the channel.
async fn read(world: &World, gateway: &Gateway, payer: &Payer<'_>, digit: usize) -> (Amount, B256) {
    let digit = &world.digits[digit];
    let paid = payer.call(world.call(gateway, digit)).await.unwrap();
    assert_eq!((paid.response.status().as_u16(), paid.charged), (200, PRICE));
    let answer: Value = serde_json::from_slice(&paid.response.bytes().await.unwrap()).unwrap();
    let label = answer["answers"][0]["classes"][0]["label"].as_str().unwrap();
    assert_eq!(label, world.twin.predict(digit.pixels()).label.to_string());
    (paid.deposited, paid.channel.unwrap())
}

fn place(gateway: &Gateway, channel: B256) -> Url {
    format!("http://{}/v1/channels/{channel}/window", gateway.address()).parse().unwrap()
}

async fn json_of(request: Request) -> Value {
    let http = http::client(Duration::from_secs(5), Duration::from_secs(60)).unwrap();
    let response = http.execute(request).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// Where the channel stands.
async fn state(gateway: &Gateway, channel: B256) -> Value {
    json_of(Request::new(Method::GET, place(gateway, channel))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_are_opened_used_settled_recorded_and_audited_to_the_unit() {
    const CALLS: u32 = 70;
    let world = World::new().await;
    let gateway = world.open().await;
    let payer = world.payer(2, plenty()).await.in_windows(30);
    let mut deposited = Amount::ZERO;
    let mut channel = B256::ZERO;
    for at in 0..CALLS {
        let (put_in, at_channel) = read(&world, &gateway, &payer, at as usize % 9).await;
        deposited = Amount(deposited.0 + put_in.0);
        channel = at_channel;
    }
    let charged = Amount(PRICE.0 * u128::from(CALLS));
    let standing = state(&gateway, channel).await;
    assert_eq!(standing["charged"], json!(charged));
    assert_eq!((&standing["window"]["used"], &standing["window"]["max_ticks"]), (&json!(10), &json!(30)));

    let (refunded_from, refunded) = payer.refund(world.url(&gateway)).await.unwrap().unwrap();
    assert_eq!((refunded_from, refunded), (channel, Amount(deposited.0 - charged.0)));
    assert_eq!(payer.refund(world.url(&gateway)).await.unwrap(), None, "that was all");
    let me = world.account(2).address();
    assert_eq!(world.balance(me).await, Amount(PURSE.0 - charged.0));
    let owner = world.account(1);
    let token = world.client.currency().token;
    let end = Instant::now() + Duration::from_secs(20);
    while world.client.claimable(world.model.asset, token, owner.address()).await.unwrap() < charged {
        assert!(Instant::now() < end, "expected the money to arrive within 20 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // The window that was left goes on once there is money for it again.
    let (put_in, _) = read(&world, &gateway, &payer, 0).await;
    assert!(put_in > Amount::ZERO);
    assert_eq!(state(&gateway, channel).await["window"]["used"], 11);
    gateway.shut_down().await.unwrap();
    let uses = world.client.usage_of(world.model.asset).await.unwrap();
    assert_eq!(uses.len(), CALLS as usize + 1, "each use is recorded once");
    assert!(uses.iter().all(|row| {
        (row.lane, row.amount, row.payer, row.units, row.source) == ("tick", PRICE, me, 1, channel)
    }));
    let audited = world.client.audit().await.unwrap();
    assert_eq!((audited.usage.records, audited.usage.outstanding), (u64::from(CALLS) + 1, Amount::ZERO));
}

/// Whichever end forgets: the payer, the gateway, or the gateway all of its log.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_was_interrupted_is_gone_on_with_or_begun_anew() {
    let world = World::new().await;
    let gateway = world.open().await;
    let payer = world.payer(2, plenty()).await.in_windows(100);
    let (_, channel) = read(&world, &gateway, &payer, 0).await;
    read(&world, &gateway, &payer, 1).await;
    let root = state(&gateway, channel).await["window"]["root"].clone();
    drop(payer);

    // The payer starts again, in the same window.
    let payer = world.payer(2, plenty()).await.in_windows(7);
    read(&world, &gateway, &payer, 2).await;
    let standing = state(&gateway, channel).await;
    assert_eq!((&standing["window"]["root"], &standing["window"]["used"]), (&root, &json!(3)));

    // Ended at the gateway behind its back.
    let root: B256 = serde_json::from_value(root).unwrap();
    let wish = TickClose { gateway: world.account(9).address(), channelId: channel, root };
    let signature = world.account(2).sign_hash(world.client.channels().tick_close_digest(&wish)).as_bytes();
    let body = json!({ "root": root, "signature": Bytes::copy_from_slice(&signature) });
    let url = format!("{}/close", place(&gateway, channel)).parse().unwrap();
    let mut close = Request::new(Method::POST, url);
    close.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    *close.body_mut() = Some(body.to_string().into());
    assert_eq!(json_of(close).await["window"], Value::Null);
    read(&world, &gateway, &payer, 3).await;
    let standing = state(&gateway, channel).await;
    assert_eq!((&standing["window"]["used"], &standing["window"]["max_ticks"]), (&json!(1), &json!(7)));
    gateway.shut_down().await.unwrap();

    // A gateway that has lost its log counts from what was claimed.
    fs::remove_dir_all(world.client.home().path("meter")).unwrap();
    let gateway = world.open().await;
    read(&world, &gateway, &payer, 4).await;
    let standing = state(&gateway, channel).await;
    assert_eq!(standing["charged"], json!(Amount(PRICE.0 * 5)));
    gateway.shut_down().await.unwrap();
}

/// A window is cut to what the budget has left, both channels counted; a call of two units is paid by a voucher.
#[tokio::test(flavor = "multi_thread")]
async fn windows_keep_to_the_budget() {
    let world = World::new().await;
    let gateway = world.open().await;
    let dear = world.payer(3, Budget { per_call: Amount(PRICE.0 - 1), total: PURSE }).await.in_windows(10);
    let refused = dear.call(world.call(&gateway, &world.digits[0])).await;
    assert!(matches!(refused, Err(SpendError::TooDear { .. })));
    assert_eq!(world.balance(world.account(3).address()).await, PURSE, "nothing was deposited");

    // Two deposits' worth and a little: the one for windows, and the one for vouchers.
    let total = Amount(PRICE.0 * 250);
    let payer = world.payer(4, Budget { per_call: Amount(PRICE.0 * 2), total }).await.in_windows(80);
    read(&world, &gateway, &payer, 0).await;
    let mut rows = world.call(&gateway, &world.digits[0]);
    let pixels = world.digits[0].pixels().iter().map(u8::to_string).collect::<Vec<_>>().join(",");
    *rows.body_mut() = Some(format!(r#"{{"tensor":[[{pixels}],[{pixels}]]}}"#).into());
    let paid = payer.call(rows).await.unwrap();
    assert_eq!((paid.response.status().as_u16(), paid.charged), (200, Amount(PRICE.0 * 2)));
    let mut served = 1;
    let refused = loop {
        match payer.call(world.call(&gateway, &world.digits[1])).await {
            Ok(paid) => {
                assert_eq!((paid.response.status().as_u16(), paid.charged), (200, PRICE));
                served += 1;
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SpendError::Budget { .. }), "{refused}");
    assert!((80..=150).contains(&served), "{served}");
    let spent = Amount(PURSE.0 - world.balance(world.account(4).address()).await.0);
    assert!(spent <= total, "{spent} of {total}");
    gateway.shut_down().await.unwrap();
    let uses = world.client.usage_of(world.model.asset).await.unwrap();
    assert_eq!(uses.iter().filter(|row| row.lane == "tick").count(), served);
    assert_eq!(uses.iter().filter(|row| row.lane == "voucher").count(), 1);
}
