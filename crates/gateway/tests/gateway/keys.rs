//! KEY-1 over HTTP: each way of having no licence, and the one of having it.

use axum::{Router, body::Bytes, extract::State, routing::post};
use residual_client::{ANY_PORT, Client, Person, now_s};
use residual_content::{BuyerKey, KeyBinding, WrapError, WrappedKey};
use residual_gateway::{Config, Gateway};
use residual_ledger::contracts::licences::Licences;
use residual_primitives::{
    Address, B256, LicenceId, U256,
    signed::{KeyRequest, licences_domain},
};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::support::{Answer, Town, account, ask, commercial, publication};

/// A buyer of one licence, and what they would send.
struct Buyer {
    town: Town,
    licence: LicenceId,
    key: BuyerKey,
}

impl Buyer {
    async fn new() -> Self {
        let town = Town::new().await;
        let licence = town.license(town.commercial).await;
        Self { town, licence, key: BuyerKey::random() }
    }

    fn request(&self) -> KeyRequest {
        KeyRequest {
            licenceId: self.licence.to_u256(),
            version: 1,
            hpkePublicKey: self.key.public(),
            nonce: B256::new(rand::random()),
            expiry: now_s() + 300,
            gateway: self.town.account("dev:9").address(),
        }
    }

    fn signed(&self, request: &KeyRequest, by: &Person) -> Value {
        let domain = licences_domain(self.town.client.chain().id(), self.town.client.suite().licences);
        let signature = by.sign_typed(request, &domain).as_bytes();
        json!({
            "licence_id": format!("{:#066x}", request.licenceId),
            "version": request.version,
            "hpke_public_key": request.hpkePublicKey,
            "nonce": request.nonce,
            "expiry": request.expiry,
            "gateway": request.gateway.to_string(),
            "signature": format!("0x{}", hex(&signature)),
        })
    }

    async fn ask(&self, request: &KeyRequest) -> Answer {
        self.ask_signed(&self.signed(request, &self.town.account("dev:2"))).await
    }

    async fn ask_signed(&self, body: &Value) -> Answer {
        self.town.post("/v1/key-requests", body).await
    }

    /// Opens an answer as the buyer does.
    async fn open(&self, answer: &Answer) -> Result<(), WrapError> {
        let body = answer.json();
        let record = self.town.client.version_record(self.town.asset, 1).await.unwrap();
        let binding = KeyBinding { licence: self.licence, version: 1, key_commitment: record.key_commitment };
        let wrapped = WrappedKey {
            encapsulated: unhex(&body["encapsulated"]).try_into().unwrap(),
            sealed: unhex(&body["sealed"]).try_into().unwrap(),
        };
        self.key.unwrap(&wrapped, &binding).map(drop)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().strip_prefix("0x").unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// KEY-1: a licence gives the key, to the buyer alone, and the same request the same bytes, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_the_holder_gets_the_key_and_the_same_request_the_same_bytes() {
    let buyer = Buyer::new().await;
    let request = buyer.request();
    let first = buyer.ask(&request).await;
    buyer.open(&first).await.unwrap();
    assert_eq!(first.header("cache-control"), "no-store");
    let stranger = Buyer { key: BuyerKey::random(), ..buyer };
    assert_eq!(stranger.open(&first).await, Err(WrapError::Sealed));
    let Buyer { town, .. } = &stranger;
    let body = stranger.signed(&request, &town.account("dev:2"));
    let again = stranger.ask_signed(&body).await;
    assert_eq!(again.bytes, first.bytes);

    town.stop().await;
    let config = Config::at(ANY_PORT);
    let restarted = Gateway::start(town.client.clone(), town.account("dev:9"), config).await.unwrap();
    let at = |address: std::net::SocketAddr, body: &Value| {
        let post = town.http.post(format!("http://{address}/v1/key-requests"));
        ask(post.header("content-type", "application/json").body(body.to_string()))
    };
    assert_eq!(at(restarted.address(), &body).await.bytes, first.bytes);
    // The nonce stays used for the other gateway process too.
    let other = KeyRequest { expiry: request.expiry + 1, ..request };
    let other = stranger.signed(&other, &town.account("dev:2"));
    at(restarted.address(), &other).await.problem(409, "nonce-used");
    restarted.shut_down().await.unwrap();
}

/// KEY-1: no licence, no key.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_an_absent_licence_and_another_assets_give_no_key() {
    let buyer = Buyer::new().await;
    let absent = LicenceId::new(buyer.town.asset, 1, 99).to_u256();
    let detail = buyer.ask(&KeyRequest { licenceId: absent, ..buyer.request() }).await;
    assert!(detail.problem(404, "not-found").contains("buy one"));
    let no_licence = KeyRequest { licenceId: U256::from(7), ..buyer.request() };
    buyer.ask(&no_licence).await.problem(422, "unprocessable");

    // The licence of one asset for the key of another: its id names the asset, so there is no such licence.
    let publisher = buyer.town.account("dev:1");
    let mut other = publication(buyer.town.temp.path(), &publisher, Vec::new());
    other.name = "another".to_owned();
    let other = buyer.town.client.publish(&publisher, other, &mut |_, _| {}).await.unwrap().asset;
    let swapped = LicenceId::new(other, buyer.licence.terms_number(), buyer.licence.serial()).to_u256();
    buyer.ask(&KeyRequest { licenceId: swapped, ..buyer.request() }).await.problem(404, "not-found");
}

/// KEY-1: an ended licence, one without the right, and a version that it does not grant.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_an_ended_licence_a_missing_right_and_a_later_version_give_no_key() {
    let mut buyer = Buyer::new().await;
    for version in [0, 2, u32::MAX] {
        let later = KeyRequest { version, ..buyer.request() };
        let detail = buyer.ask(&later).await.problem(403, "version-not-granted");
        assert!(detail.contains("1 to 1"), "{detail}");
    }
    let mut terms = commercial(buyer.town.client.currency().token);
    terms.rights = "infer".parse().unwrap();
    terms.rates = residual_primitives::Rates::default();
    let blind = buyer.town.offer(&terms).await;
    buyer.licence = buyer.town.license(blind).await;
    buyer.ask(&buyer.request()).await.problem(403, "no-access");

    buyer.licence = buyer.town.license(buyer.town.subscription).await;
    assert_eq!(buyer.ask(&buyer.request()).await.status, 200);
    let cancel = Licences::cancelSubscriptionCall { licenceId: buyer.licence.to_u256() };
    buyer.town.send("dev:2", buyer.town.client.suite().licences, &cancel).await;
    buyer.ask(&buyer.request()).await.problem(403, "licence-expired");
}

/// KEY-1: somebody else's signature, none, and that of a holder who passed the licence on.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_only_the_holders_signature_gives_the_key() {
    let buyer = Buyer::new().await;
    let (holder, other) = (buyer.town.account("dev:2"), buyer.town.account("dev:3"));
    let request = buyer.request();
    buyer.ask_signed(&buyer.signed(&request, &other)).await.problem(403, "wrong-signer");
    let mut nobodys = buyer.signed(&request, &holder);
    nobodys["signature"] = json!(format!("0x{}", "00".repeat(65)));
    buyer.ask_signed(&nobodys).await.problem(403, "wrong-signer");
    // Signed for another version than is asked for: the digest is another, and so is whoever seems to have signed.
    let mut altered = buyer.signed(&KeyRequest { version: 2, ..request.clone() }, &holder);
    altered["version"] = json!(1);
    buyer.ask_signed(&altered).await.problem(403, "wrong-signer");
    // None of them used up the nonce.
    assert_eq!(buyer.ask(&request).await.status, 200);

    let call = Licences::transferFromCall {
        from: holder.address(),
        to: other.address(),
        tokenId: buyer.licence.to_u256(),
    };
    buyer.town.send("dev:2", buyer.town.client.suite().licences, &call).await;
    buyer.ask(&buyer.request()).await.problem(403, "wrong-signer");
    let now_theirs = buyer.signed(&buyer.request(), &other);
    buyer.open(&buyer.ask_signed(&now_theirs).await).await.unwrap();
}

/// KEY-1: a nonce serves one request.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_a_nonce_serves_no_other_request() {
    let buyer = Buyer::new().await;
    let request = buyer.request();
    assert_eq!(buyer.ask(&request).await.status, 200);
    let others = [
        KeyRequest { hpkePublicKey: BuyerKey::random().public(), ..request.clone() },
        KeyRequest { expiry: request.expiry - 1, ..request.clone() },
    ];
    for other in others {
        buyer.ask(&other).await.problem(409, "nonce-used");
    }
    assert_eq!(buyer.ask(&request).await.status, 200);
}

/// KEY-1: a request is for one gateway, and not for long.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_a_request_to_another_gateway_or_good_too_long_gives_no_key() {
    let buyer = Buyer::new().await;
    for gateway in [Address::ZERO, buyer.town.account("dev:1").address()] {
        let elsewhere = KeyRequest { gateway, ..buyer.request() };
        buyer.ask(&elsewhere).await.problem(422, "other-gateway");
    }
    // A minute past ten, so that the clock may turn while the test runs.
    for expiry in [0, now_s(), now_s() + 660, u64::MAX] {
        let request = KeyRequest { expiry, ..buyer.request() };
        buyer.ask(&request).await.problem(422, "request-expired");
    }
    let unusable = KeyRequest { hpkePublicKey: B256::ZERO, ..buyer.request() };
    buyer.ask(&unusable).await.problem(422, "unusable-public-key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_form_is_refused() {
    let buyer = Buyer::new().await;
    let good = buyer.signed(&buyer.request(), &buyer.town.account("dev:2"));
    let mut wrong = Vec::new();
    for field in good.as_object().unwrap().keys() {
        let mut missing = good.clone();
        missing.as_object_mut().unwrap().remove(field);
        let mut null = good.clone();
        null[field] = Value::Null;
        wrong.extend([missing, null]);
    }
    for (field, value) in [
        ("licence_id", json!("zebra")),
        ("version", json!(-1)),
        ("version", json!("1")),
        ("version", json!(1_u64 << 32)),
        ("hpke_public_key", json!("0x12")),
        ("nonce", json!("11".repeat(32))),
        ("expiry", json!(1.5)),
        ("gateway", json!("dev:9")),
        ("signature", json!(format!("0x{}", "1".repeat(129)))),
        ("more", json!(1)),
    ] {
        let mut body = good.clone();
        body[field] = value;
        wrong.push(body);
    }
    for body in wrong {
        buyer.ask_signed(&body).await.problem(422, "unprocessable");
    }
    let url = buyer.town.url("/v1/key-requests");
    let send = |content_type: &'static str, body: String| {
        ask(buyer.town.http.post(&url).header("content-type", content_type).body(body))
    };
    send("application/json", "{".to_owned()).await.problem(400, "invalid-request");
    send("text/plain", good.to_string()).await.problem(415, "unsupported-media-type");
    send("application/json", " ".repeat((8 << 20) + 1)).await.problem(413, "too-large");
    let twice = good.to_string().replacen('{', "{\"version\":1,", 1);
    send("application/json", twice).await.problem(422, "unprocessable");
}

/// A node whose blocks become final when it is told.
async fn slow_node(target: String) -> (String, Arc<AtomicU64>) {
    let last_final = Arc::new(AtomicU64::new(u64::MAX));
    let http =
        residual_ledger::http::client(std::time::Duration::from_secs(10), std::time::Duration::from_secs(60));
    let state = (http.unwrap(), target, last_final.clone());
    let relay = async |State((http, target, last)): State<(_, String, Arc<AtomicU64>)>, body: Bytes| {
        let http: residual_ledger::http::Client = http;
        let mut request: Value = serde_json::from_slice(&body).unwrap();
        if request["params"][0] == "finalized" && last.load(Ordering::SeqCst) != u64::MAX {
            request["params"][0] = json!(format!("{:#x}", last.load(Ordering::SeqCst)));
        }
        let send = http.post(target).header("content-type", "application/json").body(request.to_string());
        ([("content-type", "application/json")], ask(send).await.bytes)
    };
    let listener = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(relay)).with_state(state);
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    (url, last_final)
}

/// KEY-1: what a reorganisation may take back opens nothing, and neither does a gateway that lacks the key.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_a_licence_opens_nothing_before_it_is_final() {
    let town = Town::new().await;
    let (node, last_final) = slow_node(town.client.serves().unwrap().0).await;
    let elsewhere: Arc<Client> = Arc::new(town.elsewhere("public", false, Some(node)).await);
    let config = Config::at(ANY_PORT);
    let gateway = Gateway::start(elsewhere, town.account("dev:9"), config).await.unwrap();
    last_final.store(town.client.chain().head().await.unwrap().number, Ordering::SeqCst);
    let licence = town.license(town.commercial).await;
    let buyer = Buyer { licence, key: BuyerKey::random(), town };
    let body = buyer.signed(&buyer.request(), &account(&buyer.town.client, "dev:2"));
    let send = || {
        let post = buyer.town.http.post(format!("http://{}/v1/key-requests", gateway.address()));
        ask(post.header("content-type", "application/json").body(body.to_string()))
    };
    let refused = send().await;
    refused.problem(409, "not-final");
    assert_eq!(refused.header("retry-after"), "30");
    last_final.store(buyer.town.client.chain().head().await.unwrap().number, Ordering::SeqCst);
    send().await.problem(404, "key-not-here");
}
