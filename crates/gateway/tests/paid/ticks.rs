//! Windows of ticks by hand, and what no honest client does with them.
#![expect(clippy::unwrap_used, reason = "a helper of tests that fails is a failed test")]

use std::{convert::Infallible, time::Duration};

use residual_client::Person;
use residual_gateway::Gateway;
use residual_ledger::http::{self, Method, Request, Response};
use residual_meter::{Escrow, Purse, Tick, TickSeed, WindowPlan};
use residual_primitives::{
    Amount, B256, Bytes,
    signed::{TickClose, Voucher},
};
use residual_x402::{
    PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload, PaymentRequired, SettleResponse,
    VERSION,
    batch::{self, Payload, WireConfig, WireVoucher},
    decode, encode,
    extensions::Windows,
};
use serde_json::{Value, json};

use crate::support::{PRICE, PURSE, World};

const DAY_S: u64 = 86_400;

async fn send(request: Request) -> Response {
    let http = http::client(Duration::from_secs(5), Duration::from_secs(60)).unwrap();
    http.execute(request).await.unwrap()
}

/// The status of an answer, and the kind of problem that it is, if it is one.
async fn told(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    let kind = body["type"].as_str().unwrap_or_default();
    (status, kind.trim_start_matches("urn:residual:problem:").to_owned())
}

/// What a 402 is for, by its x402 name.
fn unpaid(response: &Response) -> String {
    assert_eq!(response.status().as_u16(), 402);
    let required: PaymentRequired =
        decode(response.headers()[PAYMENT_REQUIRED].as_bytes(), "what is asked for").unwrap();
    required.error.unwrap()
}

fn refusal(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

/// A payer with a channel that was opened with gas of its own, and the purse of it.
struct Ticker<'a> {
    world: &'a World,
    account: Person,
    channel: B256,
    purse: Purse,
    _dir: tempfile::TempDir,
}

impl<'a> Ticker<'a> {
    async fn new(world: &'a World, index: u32, deposit: Amount) -> Self {
        let account = world.account(index);
        world.client.fund(&world.account(0), account.address(), PURSE).await.unwrap();
        let gateway = world.account(9).address();
        let opened = world.client.open_channel(&account, world.model.asset, gateway, deposit, DAY_S);
        let channel = opened.await.unwrap().channel;
        let config = world.client.channel_on_ledger(channel).await.unwrap().unwrap().config.unwrap();
        let dir = tempfile::tempdir().unwrap();
        // What it lets go is for the gateway to judge.
        let escrow = Escrow { balance: Amount(u128::MAX), ..Escrow::default() };
        let purse = Purse::open(dir.path(), world.client.channels(), config, escrow).unwrap();
        Self { world, account, channel, purse, _dir: dir }
    }

    fn sign(&self, digest: &B256) -> [u8; 65] {
        self.account.sign_hash(*digest).as_bytes()
    }

    fn plan(&self, base: Amount, max_ticks: u32) -> WindowPlan {
        WindowPlan { base, unit_price: PRICE, max_ticks, terms_hash: self.world.model.terms[0].0 }
    }

    /// Signs a window.
    fn begin(&mut self, plan: &WindowPlan) {
        let account = self.account.clone();
        let sign = |digest: &B256| Ok::<_, Infallible>(account.sign_hash(*digest).as_bytes());
        self.purse.open_window(plan, &TickSeed::new([7; 32]), sign).unwrap();
    }

    /// The window as it is asked for.
    fn opening(&self) -> Value {
        let (signed, voucher) = self.purse.window().unwrap();
        json!({
            "config": WireConfig::from(self.purse.config()),
            "base": Amount(signed.open.base),
            "unit_price": Amount(signed.open.unitPrice),
            "max_ticks": signed.open.maxTicks,
            "root": signed.open.root,
            "terms_hash": signed.open.termsHash,
            "signature": Bytes::copy_from_slice(&signed.signature),
            "voucher_signature": Bytes::copy_from_slice(&voucher.signature),
        })
    }

    async fn post(&self, gateway: &Gateway, place: &str, body: &Value) -> Response {
        let url = format!("http://{}/v1/channels/{}/{place}", gateway.address(), self.channel);
        let mut request = Request::new(Method::POST, url.parse().unwrap());
        *request.body_mut() = Some(body.to_string().into());
        request.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        send(request).await
    }

    /// Has a window opened.
    async fn open(&mut self, gateway: &Gateway, plan: &WindowPlan) -> Value {
        self.begin(plan);
        let response = self.post(gateway, "window", &self.opening()).await;
        assert_eq!(response.status().as_u16(), 200);
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    fn closing(&self, by: &Person, root: B256) -> Value {
        let gateway = self.purse.config().receiverAuthorizer;
        let wish = TickClose { gateway, channelId: self.channel, root };
        let signature = by.sign_hash(self.world.client.channels().tick_close_digest(&wish));
        json!({ "root": root, "signature": Bytes::copy_from_slice(&signature.as_bytes()) })
    }

    fn root(&self) -> B256 {
        self.purse.window().unwrap().0.open.root
    }

    /// A call with a digit that a tick is to pay for.
    fn call(&self, gateway: &Gateway, digit: usize, tick: &Tick) -> Request {
        with_tick(self.world.call(gateway, &self.world.digits[digit]), &tick.to_text())
    }

    async fn state(&self, gateway: &Gateway) -> Value {
        let url = format!("http://{}/v1/channels/{}/window", gateway.address(), self.channel);
        let response = send(Request::new(Method::GET, url.parse().unwrap())).await;
        assert_eq!(response.status().as_u16(), 200);
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    /// A call that a voucher of `total` is to pay for.
    async fn by_voucher(&self, gateway: &Gateway, total: Amount) -> Response {
        let mut request = self.world.call(gateway, &self.world.digits[0]);
        let asked = send(request.try_clone().unwrap()).await;
        let required: PaymentRequired =
            decode(asked.headers()[PAYMENT_REQUIRED].as_bytes(), "what is asked for").unwrap();
        let accepted = required.accepts.iter().find(|way| way.scheme == batch::SCHEME).unwrap().clone();
        let voucher = Voucher { channelId: self.channel, maxClaimableAmount: total.0 };
        let digest = self.world.client.channels().voucher_digest(&voucher);
        let payload = Payload::Voucher {
            channel_config: self.purse.config().into(),
            voucher: WireVoucher {
                channel_id: self.channel,
                max_claimable_amount: total,
                signature: Bytes::copy_from_slice(&self.sign(&digest)),
            },
        };
        let payment = encode(&PaymentPayload {
            x402_version: VERSION,
            resource: None,
            accepted,
            payload: serde_json::to_value(payload).unwrap(),
            extensions: None,
        });
        request.headers_mut().insert(PAYMENT_SIGNATURE, payment.parse().unwrap());
        send(request).await
    }
}

fn with_tick(mut request: Request, tick: &str) -> Request {
    request.headers_mut().insert(Tick::HEADER, tick.parse().unwrap());
    request
}

/// What is charged on the channel, by the receipt of an answer.
fn charged(response: &Response) -> Amount {
    assert_eq!(response.status().as_u16(), 200);
    let receipt: SettleResponse =
        decode(response.headers()[PAYMENT_RESPONSE].as_bytes(), "a receipt").unwrap();
    let extra: batch::SettleExtra = serde_json::from_value(receipt.extra.into()).unwrap();
    extra.channel_state.charged_cumulative_amount.unwrap()
}

/// MET-1, MET-2: one tick, sent by many at once, serves the request that it came with first, and is charged once; a
/// restart of the gateway in the middle of the window changes nothing, and the next tick goes on.
#[tokio::test(flavor = "multi_thread")]
async fn met_2_a_tick_pays_once_also_after_a_restart() {
    let world = World::new().await;
    let gateway = world.open().await;
    let mut ticker = Ticker::new(&world, 2, Amount(PRICE.0 * 10)).await;
    let opened = ticker.open(&gateway, &ticker.plan(Amount::ZERO, 5)).await;
    assert_eq!((&opened["charged"], &opened["window"]["used"]), (&json!("0"), &json!(0)));
    let first = ticker.purse.tick().unwrap();
    let mut sent = tokio::task::JoinSet::new();
    for at in 0..40 {
        // Half of them with another question.
        sent.spawn(send(ticker.call(&gateway, 1 + at % 2, &first)));
    }
    let (mut served, mut refused) = (0, 0);
    while let Some(response) = sent.join_next().await {
        let response = response.unwrap();
        if response.status().as_u16() == 200 {
            assert_eq!(charged(&response), PRICE);
            served += 1;
        } else {
            assert_eq!(told(response).await, refusal(409, "tick-used"));
            refused += 1;
        }
    }
    assert_eq!((served, refused), (20, 20), "one question is answered, however often it is asked");
    assert_eq!(ticker.state(&gateway).await["window"]["used"], 1);
    gateway.shut_down().await.unwrap();

    let gateway = world.open().await;
    let again = ticker.post(&gateway, "window", &ticker.opening()).await;
    let again: Value = serde_json::from_slice(&again.bytes().await.unwrap()).unwrap();
    assert_eq!((&again["charged"], &again["window"]["used"]), (&json!(PRICE), &json!(1)));
    assert_eq!(told(send(ticker.call(&gateway, 3, &first)).await).await, refusal(409, "tick-used"));
    for index in 2..=5_u128 {
        let tick = ticker.purse.tick().unwrap();
        let response = send(ticker.call(&gateway, 4, &tick)).await;
        assert_eq!(charged(&response), Amount(PRICE.0 * index));
    }
    // It was used up: the channel takes vouchers again, above all that was promised.
    assert_eq!(ticker.state(&gateway).await["window"], Value::Null);
    ticker.purse.end_window().unwrap();
    let paid = ticker.by_voucher(&gateway, Amount(PRICE.0 * 6)).await;
    assert_eq!(charged(&paid), Amount(PRICE.0 * 6));
    gateway.shut_down().await.unwrap();

    let uses = world.client.usage_of(world.model.asset).await.unwrap();
    let lanes: Vec<_> = uses.iter().map(|row| row.lane).collect();
    assert_eq!(lanes, ["tick", "tick", "tick", "tick", "tick", "voucher"]);
    assert!(uses.iter().all(|row| row.amount == PRICE && row.payer == ticker.account.address()));
    let on_ledger = world.client.escrow(ticker.channel).await.unwrap();
    assert_eq!(on_ledger.total_claimed, Amount(PRICE.0 * 6), "what the ticks earned was claimed");
    let audited = world.client.audit().await.unwrap();
    assert_eq!(audited.usage.outstanding, Amount::ZERO);
}

/// MET-2: a tick that is stale, ahead, guessed, of another channel or of none, or for more than a unit, pays for nothing;
/// each is refused by its own name, and the window stands where it stood.
#[tokio::test(flavor = "multi_thread")]
async fn met_2_only_the_next_tick_of_the_window_pays_for_one_unit() {
    let world = World::new().await;
    let gateway = world.open().await;
    let mut ticker = Ticker::new(&world, 2, Amount(PRICE.0 * 10)).await;
    let mut other = Ticker::new(&world, 3, Amount(PRICE.0 * 10)).await;
    ticker.begin(&ticker.plan(Amount::ZERO, 5));
    let [first, second, third] = std::array::from_fn(|_| ticker.purse.tick().unwrap());
    let refused = async |tick: &Tick| told(send(ticker.call(&gateway, 0, tick)).await).await;
    assert_eq!(refused(&first).await, refusal(409, "no-window"));
    let opened = ticker.post(&gateway, "window", &ticker.opening()).await;
    assert_eq!(opened.status().as_u16(), 200);
    other.open(&gateway, &other.plan(Amount::ZERO, 5)).await;

    assert_eq!(refused(&second).await, refusal(409, "not-next-tick"));
    assert_eq!(charged(&send(ticker.call(&gateway, 0, &first)).await), PRICE);
    assert_eq!(told(send(ticker.call(&gateway, 1, &first)).await).await, refusal(409, "tick-used"));
    assert_eq!(charged(&send(ticker.call(&gateway, 1, &second)).await), Amount(PRICE.0 * 2));
    let renamed = Tick { index: 2, ..first };
    assert_eq!(refused(&renamed).await, refusal(409, "not-next-tick"));
    assert_eq!(refused(&Tick { preimage: second.preimage, ..third }).await, refusal(409, "not-of-the-chain"));
    let theirs = Tick { channel_id: other.channel, ..third };
    assert_eq!(refused(&theirs).await, refusal(409, "not-next-tick"));
    let theirs = Tick { index: 1, ..theirs };
    assert_eq!(refused(&theirs).await, refusal(409, "not-of-the-chain"));
    let nobodys = Tick { channel_id: B256::repeat_byte(9), ..third };
    assert_eq!(refused(&nobodys).await, refusal(409, "no-window"));

    let malformed = with_tick(world.call(&gateway, &world.digits[0]), "0x00; 1; 0x00");
    assert_eq!(told(send(malformed).await).await, refusal(400, "invalid-request"));
    let mut twice = ticker.call(&gateway, 0, &third);
    twice.headers_mut().insert(PAYMENT_SIGNATURE, "e30=".parse().unwrap());
    assert_eq!(told(send(twice).await).await, refusal(400, "invalid-request"));
    let pixels = world.digits[0].pixels().iter().map(u8::to_string).collect::<Vec<_>>().join(",");
    let mut rows = ticker.call(&gateway, 0, &third);
    *rows.body_mut() = Some(format!(r#"{{"tensor":[[{pixels}],[{pixels}]]}}"#).into());
    assert_eq!(unpaid(&send(rows).await), "residual_tick_units");
    // What is not served is not charged.
    let mut broken = ticker.call(&gateway, 0, &third);
    *broken.body_mut() = Some(r#"{"tensor":[[1,2,3]]}"#.into());
    assert_eq!(told(send(broken).await).await, refusal(422, "unprocessable"));
    // Inside a window no voucher is taken, whatever it promises.
    for total in [3, 6] {
        let inside = ticker.by_voucher(&gateway, Amount(PRICE.0 * total)).await;
        assert_eq!(told(inside).await, refusal(409, "inside-window"));
    }
    assert_eq!(ticker.state(&gateway).await["window"]["used"], 2);
    assert_eq!(charged(&send(ticker.call(&gateway, 2, &third)).await), Amount(PRICE.0 * 3));
    gateway.shut_down().await.unwrap();
    assert_eq!(world.client.usage_of(world.model.asset).await.unwrap().len(), 3);
}

/// A window at another price or under other terms, from elsewhere than the channel stands, or not signed by the payer is
/// not opened; and only the payer ends one, once it was used.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_the_payers_at_the_price_that_is_served() {
    let world = World::new().await;
    let gateway = world.open().await;
    let asked = send(world.call(&gateway, &world.digits[0])).await;
    let required: PaymentRequired =
        decode(asked.headers()[PAYMENT_REQUIRED].as_bytes(), "what is asked for").unwrap();
    let terms_hash = world.model.terms[0].0;
    let offered = Windows { unit_price: PRICE, max_ticks: 1024, terms_hash };
    assert_eq!(Windows::offered(&required.extensions), Some(offered));

    let mut ticker = Ticker::new(&world, 2, Amount(PRICE.0 * 20)).await;
    let refused = async |ticker: &Ticker<'_>, body: &Value| {
        let response = ticker.post(&gateway, "window", body).await;
        if response.status().as_u16() == 402 { (402, unpaid(&response)) } else { told(response).await }
    };
    let good = ticker.plan(Amount::ZERO, 5);
    for unit_price in [1, PRICE.0 - 1, PRICE.0 + 1] {
        ticker.begin(&WindowPlan { unit_price: Amount(unit_price), ..good });
        assert_eq!(refused(&ticker, &ticker.opening()).await, refusal(409, "window-price"));
        ticker.purse.end_window().unwrap();
    }
    ticker.begin(&WindowPlan { terms_hash: B256::ZERO, ..good });
    assert_eq!(refused(&ticker, &ticker.opening()).await, refusal(409, "window-terms"));
    ticker.purse.end_window().unwrap();

    ticker.begin(&good);
    let body = ticker.opening();
    let changed = |name: &str, value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    for max_ticks in [0, 1025] {
        assert_eq!(refused(&ticker, &changed("max_ticks", json!(max_ticks))).await.0, 422);
    }
    let beyond = changed("base", json!(u128::MAX.to_string()));
    assert_eq!(refused(&ticker, &beyond).await, refusal(422, "unprocessable"));
    // What was signed is this window and this voucher.
    let signatures =
        [("base", json!("1")), ("max_ticks", json!(6)), ("voucher_signature", body["signature"].clone())];
    for (name, value) in signatures {
        let found = refused(&ticker, &changed(name, value)).await;
        assert_eq!(found, refusal(402, batch::reason::SIGNATURE), "{name}");
    }
    for name in ["root", "signature"] {
        let value =
            if name == "root" { json!(B256::repeat_byte(1)) } else { body["voucher_signature"].clone() };
        assert_eq!(refused(&ticker, &changed(name, value)).await, refusal(403, "wrong-signer"), "{name}");
    }
    let mut elsewhere = body.clone();
    elsewhere["config"]["salt"] = json!(B256::repeat_byte(1));
    assert_eq!(refused(&ticker, &elsewhere).await, refusal(402, batch::reason::CHANNEL_ID));
    elsewhere["config"]["receiver"] = json!(ticker.account.address().to_string().to_lowercase());
    assert_eq!(refused(&ticker, &elsewhere).await, refusal(404, "not-found"));
    assert_eq!(ticker.post(&gateway, "window", &body).await.status().as_u16(), 200);

    // Nobody else ends it, and the payer not before it was used.
    let root = ticker.root();
    let close = async |ticker: &Ticker<'_>, by: &Person, root: B256| {
        told(ticker.post(&gateway, "window/close", &ticker.closing(by, root)).await).await
    };
    let payer = ticker.account.clone();
    assert_eq!(close(&ticker, &world.account(3), root).await, refusal(403, "wrong-signer"));
    assert_eq!(close(&ticker, &payer, root).await, refusal(409, "window-unused"));
    let [first, second] = std::array::from_fn(|_| ticker.purse.tick().unwrap());
    assert_eq!(charged(&send(ticker.call(&gateway, 0, &first)).await), PRICE);
    assert_eq!(close(&ticker, &world.account(3), root).await, refusal(403, "wrong-signer"));
    assert_eq!(close(&ticker, &payer, B256::ZERO).await, refusal(409, "no-window"));
    assert_eq!(close(&ticker, &payer, root).await.0, 200);
    assert_eq!(close(&ticker, &payer, root).await.0, 200, "it is closed already");
    assert_eq!(told(send(ticker.call(&gateway, 0, &second)).await).await, refusal(409, "no-window"));
    assert_eq!(refused(&ticker, &body).await, refusal(409, "window-base"), "and never opened again");
    // Another goes on from there.
    ticker.purse.end_window().unwrap();
    let next = ticker.open(&gateway, &ticker.plan(PRICE, 3)).await;
    assert_eq!((&next["charged"], &next["window"]["base"]), (&json!(PRICE), &json!(PRICE)));
    assert_eq!(refused(&ticker, &body).await, refusal(409, "window-open"));
    let tick = ticker.purse.tick().unwrap();
    assert_eq!(charged(&send(ticker.call(&gateway, 0, &tick)).await), Amount(PRICE.0 * 2));
    gateway.shut_down().await.unwrap();
    assert_eq!(world.client.usage_of(world.model.asset).await.unwrap().len(), 2);
    world.client.audit().await.unwrap();
}

/// CH-3: a window is within what the ledger has confirmed, and so is each of its ticks: once the payer asks for the money
/// back, no tick pays, and what was charged before is claimed.
#[tokio::test(flavor = "multi_thread")]
async fn ch_3_a_window_stays_within_the_confirmed_escrow() {
    let world = World::new().await;
    let gateway = world.open().await;
    let mut ticker = Ticker::new(&world, 2, Amount(PRICE.0 * 10)).await;
    ticker.begin(&ticker.plan(Amount::ZERO, 11));
    let beyond = ticker.post(&gateway, "window", &ticker.opening()).await;
    assert_eq!(unpaid(&beyond), batch::reason::BEYOND_BALANCE);
    ticker.purse.end_window().unwrap();
    ticker.open(&gateway, &ticker.plan(Amount::ZERO, 10)).await;
    let tick = ticker.purse.tick().unwrap();
    assert_eq!(charged(&send(ticker.call(&gateway, 0, &tick)).await), PRICE);

    // A gateway that starts reads the ledger before it takes a tick.
    world.client.close_channel(&ticker.account, ticker.channel, true).await.unwrap();
    gateway.shut_down().await.unwrap();
    let gateway = world.open().await;
    let tick = ticker.purse.tick().unwrap();
    let response = send(ticker.call(&gateway, 0, &tick)).await;
    assert_eq!(unpaid(&response), batch::reason::BEYOND_BALANCE);
    gateway.shut_down().await.unwrap();
    assert_eq!(world.client.usage_of(world.model.asset).await.unwrap().len(), 1);
    let on_ledger = world.client.escrow(ticker.channel).await.unwrap();
    assert_eq!(on_ledger.total_claimed, PRICE);
    world.client.audit().await.unwrap();
}
