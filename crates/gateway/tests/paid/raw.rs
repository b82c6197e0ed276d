//! What no honest client does: the same payment many times, at once and after a restart.
#![expect(clippy::unwrap_used, reason = "a helper of tests that fails is a failed test")]

use residual_client::{Payer, Person};
use residual_gateway::Gateway;
use residual_ledger::http::{self, Request, Response};
use residual_primitives::Amount;
use residual_primitives::{Bytes, signed::Voucher};
use residual_x402::{
    PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload, PaymentRequired, SettleResponse,
    VERSION,
    batch::{self, Payload, WireVoucher},
    decode, encode,
};

use crate::support::{PRICE, World, copy, plenty};

pub(crate) async fn send(request: Request) -> Response {
    http::client(std::time::Duration::from_secs(5), std::time::Duration::from_secs(60))
        .unwrap()
        .execute(request)
        .await
        .unwrap()
}

/// The payment of `total` on the channel that `payer` has opened.
async fn voucher(
    world: &World,
    gateway: &Gateway,
    account: &Person,
    payer: &Payer<'_>,
    total: Amount,
) -> String {
    let channel = payer.call(world.call(gateway, &world.digits[0])).await.unwrap().channel.unwrap();
    let unpaid = send(world.call(gateway, &world.digits[0])).await;
    let required: PaymentRequired =
        decode(unpaid.headers()[PAYMENT_REQUIRED].as_bytes(), "what is asked for").unwrap();
    let rows = world.client.channel_rows().await.unwrap();
    assert!(rows.iter().any(|row| row.channel == channel));
    let config = world.client.channel_on_ledger(channel).await.unwrap().unwrap().config.unwrap();
    let signed = Voucher { channelId: channel, maxClaimableAmount: total.0 };
    let digest = world.client.channels().voucher_digest(&signed);
    let payload = Payload::Voucher {
        channel_config: (&config).into(),
        voucher: WireVoucher {
            channel_id: channel,
            max_claimable_amount: total,
            signature: Bytes::copy_from_slice(&account.sign_hash(digest).as_bytes()),
        },
    };
    let accepted = required.accepts.iter().find(|way| way.scheme == batch::SCHEME).unwrap().clone();
    encode(&PaymentPayload {
        x402_version: VERSION,
        resource: None,
        accepted,
        payload: serde_json::to_value(payload).unwrap(),
        extensions: None,
    })
}

pub(crate) fn paid(mut request: Request, payment: &str) -> Request {
    request.headers_mut().insert(PAYMENT_SIGNATURE, payment.parse().unwrap());
    request
}

fn charged(response: &Response) -> Option<Amount> {
    let receipt = response.headers().get(PAYMENT_RESPONSE)?;
    let receipt: SettleResponse = decode(receipt.as_bytes(), "a receipt").unwrap();
    let extra: batch::SettleExtra = serde_json::from_value(receipt.extra.into()).unwrap();
    extra.channel_state.charged_cumulative_amount
}

/// The peers' name of why a call was not served.
fn why(response: &Response) -> String {
    assert_eq!(response.status().as_u16(), 402);
    let required: PaymentRequired =
        decode(response.headers()[PAYMENT_REQUIRED].as_bytes(), "what is asked for").unwrap();
    required.error.unwrap()
}

/// MET-2: one voucher, sent by many at once, serves the one request that it was sent with first, and is charged once.
#[tokio::test(flavor = "multi_thread")]
async fn met_2_one_voucher_pays_once() {
    let world = World::new().await;
    let gateway = world.open().await;
    let account = world.account(2);
    let payer = world.payer(2, plenty()).await;
    let second = Amount(PRICE.0 * 2);
    let payment = voucher(&world, &gateway, &account, &payer, second).await;

    let mut sent = tokio::task::JoinSet::new();
    for at in 0..40 {
        // Half of them with another question.
        let digit = &world.digits[1 + at % 2];
        sent.spawn(send(paid(world.call(&gateway, digit), &payment)));
    }
    let (mut served, mut refused) = (0, 0);
    while let Some(response) = sent.join_next().await {
        let response = response.unwrap();
        match response.status().as_u16() {
            200 => {
                assert_eq!(charged(&response), Some(second));
                served += 1;
            }
            402 => refused += 1,
            other => panic!("expected 200 or 402, found {other}"),
        }
    }
    assert_eq!(
        (served, refused),
        (20, 20),
        "one question is answered, however often it is asked; the other is not"
    );
    gateway.shut_down().await.unwrap();
    assert_eq!(world.client.usage_of(world.model.asset).await.unwrap().len(), 2, "and charged once");

    // After a restart too.
    let gateway = world.open().await;
    let other = send(paid(world.call(&gateway, &world.digits[3]), &payment)).await;
    assert_eq!(other.status().as_u16(), 402);
    gateway.shut_down().await.unwrap();
    assert_eq!(world.client.usage_of(world.model.asset).await.unwrap().len(), 2);
    world.client.audit().await.unwrap();
}

/// A voucher by another key, on another channel or beyond what is there is refused by its exact name.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_that_is_not_the_payers_is_refused() {
    let world = World::new().await;
    let gateway = world.open().await;
    let payer = world.payer(2, plenty()).await;
    let why = async |account: u32, total: u128| {
        let account = world.account(account);
        let payment = voucher(&world, &gateway, &account, &payer, Amount(total)).await;
        self::why(&send(paid(world.call(&gateway, &world.digits[2]), &payment)).await)
    };
    assert_eq!(why(3, PRICE.0 * 2).await, batch::reason::SIGNATURE);
    assert_eq!(why(2, u128::MAX).await, batch::reason::BEYOND_BALANCE);
    assert_eq!(why(2, 1).await, batch::reason::CUMULATIVE_MISMATCH);
    gateway.shut_down().await.unwrap();
}

/// CH-3: who asks for the rest and hangs up gets the rest, and nothing more for it.
#[tokio::test(flavor = "multi_thread")]
async fn ch_3_what_was_given_back_pays_for_nothing() {
    let world = World::new().await;
    let gateway = world.open().await;
    let account = world.account(2);
    let payer = world.payer(2, plenty()).await;
    // Signed before: the next voucher, and the refund at the count of now.
    let next = voucher(&world, &gateway, &account, &payer, Amount(PRICE.0 * 2)).await;
    let channel = world.client.channel_rows().await.unwrap()[0].channel;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while world.client.escrow(channel).await.unwrap().balance > PRICE {
        assert!(std::time::Instant::now() < end, "expected the refund to be carried out");
        // Hung up before the answer, or before it was sent: then it is asked again.
        let url = world.url(&gateway);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(2), payer.refund(url)).await;
    }
    let response = send(paid(world.call(&gateway, &world.digits[4]), &next)).await;
    assert_eq!(response.status().as_u16(), 402, "what it would pay with is gone");
    gateway.shut_down().await.unwrap();
    assert_eq!(world.client.usage_of(world.model.asset).await.unwrap().len(), 1);
    world.client.audit().await.unwrap();
}

/// CH-3: what waits for its withdrawal is not given back a second time, out of what was charged.
#[tokio::test(flavor = "multi_thread")]
async fn ch_3_a_refund_leaves_a_pending_withdrawal_to_itself() {
    let world = World::new().await;
    let gateway = world.open().await;
    let account = world.account(2);
    let payer = world.payer(2, plenty()).await;
    payer.call(world.call(&gateway, &world.digits[2])).await.unwrap();
    let row = world.client.channel_rows().await.unwrap().remove(0);
    // All that was not charged is asked for on the ledger, and then of the gateway.
    drop(payer);
    world.client.close_channel(&account, row.channel, false).await.unwrap();
    let payer = world.payer(2, plenty()).await;
    assert_eq!(payer.refund(world.url(&gateway)).await.unwrap(), None, "nothing is left to give back");
    gateway.shut_down().await.unwrap();
    let escrow = world.client.escrow(row.channel).await.unwrap();
    assert_eq!(
        escrow.balance, row.balance,
        "what was charged is still there, and what is withdrawn not gone yet"
    );
    world.client.audit().await.unwrap();
}

/// MET-2: what was paid once is done again for nothing so often and no more, also by many at once.
#[tokio::test(flavor = "multi_thread")]
async fn met_2_a_paid_call_is_repeated_so_often_and_no_more() {
    const REPEATS: usize = 32;
    let world = World::new().await;
    let gateway = world.open().await;
    let account = world.account(2);
    let payer = world.payer(2, plenty()).await;
    let payment = voucher(&world, &gateway, &account, &payer, Amount(PRICE.0 * 2)).await;
    let mut sent = tokio::task::JoinSet::new();
    for _ in 0..REPEATS + 8 {
        sent.spawn(send(paid(world.call(&gateway, &world.digits[1]), &payment)));
    }
    let (mut served, mut refused) = (0, 0);
    while let Some(response) = sent.join_next().await {
        let response = response.unwrap();
        match response.status().as_u16() {
            200 => served += 1,
            409 => {
                let problem = response.text().await.unwrap();
                assert!(problem.contains("urn:residual:problem:repeated-too-often"), "{problem}");
                refused += 1;
            }
            other => panic!("expected 200 or 409, found {other}"),
        }
    }
    assert_eq!((served, refused), (1 + REPEATS, 7));
    // The channel goes on with another.
    let next = payer.call(world.call(&gateway, &world.digits[2])).await.unwrap();
    assert_eq!((next.response.status().as_u16(), next.charged), (200, PRICE));
    gateway.shut_down().await.unwrap();
    assert_eq!(world.client.usage_of(world.model.asset).await.unwrap().len(), 3);
}

/// MET-2: of two gateways that serve the same model, a channel and its voucher serve at the one that they name, and at the
/// other they are refused by the exact name of what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn met_2_a_channel_pays_at_one_gateway() {
    let world = World::new().await;
    let one = world.open().await;
    let (client, other) = world.open_another().await;
    let account = world.account(2);
    let payer = world.payer(2, plenty()).await;
    let payment = voucher(&world, &one, &account, &payer, Amount(PRICE.0 * 2)).await;
    // As it is, it does not even pay in a way that the other has asked for.
    let at_other = send(paid(world.call(&other, &world.digits[1]), &payment)).await;
    assert_eq!(why(&at_other), "No matching payment requirements");
    // Written so that it does, it is on a channel that another gateway may claim from.
    let asked = send(world.call(&other, &world.digits[1])).await;
    let required: PaymentRequired =
        decode(asked.headers()[PAYMENT_REQUIRED].as_bytes(), "what is asked for").unwrap();
    let mut rewritten: PaymentPayload = decode(payment.as_bytes(), "a payment").unwrap();
    rewritten.accepted = required.accepts.into_iter().find(|way| way.scheme == batch::SCHEME).unwrap();
    let at_other = send(paid(world.call(&other, &world.digits[1]), &encode(&rewritten))).await;
    assert_eq!(why(&at_other), batch::reason::RECEIVER_AUTHORIZER);
    // And with the other's name in its configuration, it is another channel, which the voucher is not on.
    rewritten.payload["channelConfig"]["receiverAuthorizer"] = world.account(8).address().to_string().into();
    let at_other = send(paid(world.call(&other, &world.digits[1]), &encode(&rewritten))).await;
    assert_eq!(why(&at_other), batch::reason::CHANNEL_ID);

    let at_one = send(paid(world.call(&one, &world.digits[1]), &payment)).await;
    assert_eq!(charged(&at_one), Some(Amount(PRICE.0 * 2)));
    one.shut_down().await.unwrap();
    other.shut_down().await.unwrap();
    let uses = world.client.usage_of(world.model.asset).await.unwrap();
    assert_eq!(uses.len(), 2, "the first call, and the voucher once");
    assert!(uses.iter().all(|row| row.gateway == world.account(9).address()));
    drop(client);
    world.client.audit().await.unwrap();
}

/// MET-2, AUD-1: a gateway whose log was restored from an older copy asks the ledger before it serves: what was claimed
/// meanwhile pays for nothing more, and what is charged from then on is recorded and claimed.
#[tokio::test(flavor = "multi_thread")]
async fn met_2_a_restored_log_serves_no_voucher_again() {
    let world = World::new().await;
    let log = world.client.home().path(&format!("meter/{}", world.account(9).address()));
    let copied = tempfile::tempdir().unwrap();
    let gateway = world.open().await;
    let account = world.account(2);
    let payer = world.payer(2, plenty()).await;
    let payment = voucher(&world, &gateway, &account, &payer, Amount(PRICE.0 * 2)).await;
    gateway.shut_down().await.unwrap();
    copy(&log, copied.path());

    let gateway = world.open().await;
    let first = send(paid(world.call(&gateway, &world.digits[1]), &payment)).await;
    assert_eq!(charged(&first), Some(Amount(PRICE.0 * 2)));
    gateway.shut_down().await.unwrap();
    copy(copied.path(), &log);

    let gateway = world.open().await;
    // Neither for another question nor, since that is not remembered any more, for the same.
    for digit in &world.digits[1..3] {
        let again = send(paid(world.call(&gateway, digit), &payment)).await;
        assert_eq!(why(&again), batch::reason::CUMULATIVE_MISMATCH);
    }
    let next = payer.call(world.call(&gateway, &world.digits[3])).await.unwrap();
    assert_eq!((next.response.status().as_u16(), next.charged), (200, PRICE));
    gateway.shut_down().await.unwrap();
    let uses = world.client.usage_of(world.model.asset).await.unwrap();
    assert_eq!(uses.len(), 3, "each use is recorded once");
    let escrow = world.client.escrow(next.channel.unwrap()).await.unwrap();
    assert_eq!(escrow.total_claimed, Amount(PRICE.0 * 3), "all of it was claimed");
    assert!(world.client.audit().await.unwrap().usage.missing.is_empty());
}
