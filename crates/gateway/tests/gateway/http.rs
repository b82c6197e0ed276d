//! What holds for every request: ids, problems, HEAD, pages of the web.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use residual_client::ANY_PORT;
use residual_gateway::{Config, Gateway, Limits, Serving, StartError};
use residual_ledger::http::RequestBuilder;
use residual_primitives::{Amount, AssetId};
use serde_json::json;

use crate::support::{Answer, OWN_ORIGIN, Town, account, ask};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_its_id_and_others_get_one() {
    let town = Town::new().await;
    let with = async |id: &str| ask(town.http.get(town.url("/v1/assets")).header("x-request-id", id)).await;
    assert_eq!(with("abc-123").await.header("x-request-id"), "abc-123");
    for id in ["", "a b", "a\"b", &"a".repeat(65)] {
        let given = with(id).await;
        assert_eq!(given.header("x-request-id").len(), 32, "{id:?} is no plain word");
    }
    let one = town.get("/v1/nowhere").await;
    let detail = one.problem(404, "not-found");
    assert!(detail.contains("/v1/nowhere"), "{detail}");
    assert_ne!(one.header("x-request-id"), town.get("/v1/nowhere").await.header("x-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_get_can_be_a_head_and_other_methods_are_told_which_there_are() {
    let town = Town::new().await;
    for path in ["/v1/gateway", "/v1/assets", "/v1/openapi.json"] {
        let (get, head) = (town.get(path).await, ask(town.http.head(town.url(path))).await);
        assert_eq!((head.status, head.bytes.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-length"), get.bytes.len().to_string());
    }
    let wrong = ask(town.http.delete(town.url("/v1/assets"))).await;
    wrong.problem(405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), "GET,HEAD");
    let wrong = town.get("/v1/quotes").await;
    wrong.problem(405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), "POST");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_page_may_read_and_only_our_own_may_begin_something() {
    let town = Town::new().await;
    let from = async |origin: &str, request: RequestBuilder| ask(request.header("origin", origin)).await;
    let preflight = |path: &str, method: &str| {
        let options = town.http.request("OPTIONS".parse().unwrap(), town.url(path));
        options.header("access-control-request-method", method)
    };
    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").to_owned();
    for origin in [OWN_ORIGIN, "https://elsewhere.example"] {
        let read = from(origin, town.http.get(town.url("/v1/assets"))).await;
        assert_eq!((read.status, allowed(&read)), (200, origin.to_owned()));
        assert!(read.header("access-control-expose-headers").contains("x-request-id"));
        assert!(read.header("access-control-allow-credentials").is_empty(), "nothing here goes by cookies");
        let missing = from(origin, town.http.get(town.url("/v1/nowhere"))).await;
        assert_eq!((missing.status, allowed(&missing)), (404, origin.to_owned()), "problems can be read too");
        assert_eq!(allowed(&from(origin, preflight("/v1/assets", "GET")).await), origin);
    }
    let asked = preflight("/v1/quotes", "POST").header("access-control-request-headers", "content-type");
    let own = from(OWN_ORIGIN, asked).await;
    assert_eq!((own.status, allowed(&own)), (200, OWN_ORIGIN.to_owned()));
    assert!(own.header("access-control-allow-methods").contains("POST"));
    assert!(own.header("access-control-allow-headers").contains("content-type"));
    assert_eq!(allowed(&from("https://elsewhere.example", preflight("/v1/quotes", "POST")).await), "");
    let body = json!({ "asset": town.asset, "terms": town.commercial }).to_string();
    let quote = town.http.post(town.url("/v1/quotes")).header("content-type", "application/json").body(body);
    assert_eq!(allowed(&from("https://elsewhere.example", quote.try_clone().unwrap()).await), "");
    assert_eq!(allowed(&from(OWN_ORIGIN, quote).await), OWN_ORIGIN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_too_fast_is_told_when_to_go_on() {
    let town = Town::new().await;
    let limits = Limits { rate_per_s: 0.01, burst: 2.0, ..Limits::default() };
    let config = Config { limits, ..Config::at(ANY_PORT) };
    let gateway = Gateway::start(town.client.clone(), town.account("dev:8"), config).await.unwrap();
    let get = || ask(town.http.get(format!("http://{}/v1/assets", gateway.address())));
    assert_eq!([get().await.status, get().await.status], [200, 200]);
    let refused = get().await;
    refused.problem(429, "too-many-requests");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 90);
    gateway.shut_down().await.unwrap();
}

/// As long as a gateway is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

const ASK: &[u8] = b"GET /v1/gateway HTTP/1.1\r\nhost: gateway\r\n\r\n";

fn connect(gateway: &Gateway) -> TcpStream {
    let socket = TcpStream::connect(gateway.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Reads until the gateway closes the connection; what it said.
fn to_its_end(mut socket: TcpStream) -> String {
    let mut said = Vec::new();
    match socket.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "expected it to be closed"),
    }
    String::from_utf8(said).unwrap()
}

async fn limited(town: &Town, limits: Limits) -> Gateway {
    let config = Config { limits, ..Config::at(ANY_PORT) };
    Gateway::start(town.client.clone(), town.account("dev:8"), config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_ask_in_time_is_cut_off() {
    let town = Town::new().await;
    let limits = Limits { head_time: Duration::from_millis(200), ..Limits::default() };
    let gateway = limited(&town, limits).await;
    tokio::task::block_in_place(|| {
        assert_eq!(to_its_end(connect(&gateway)), "", "it said nothing");
        let mut slow = connect(&gateway);
        slow.write_all(&ASK[..ASK.len() - 2]).unwrap();
        assert_eq!(to_its_end(slow), "", "its head had no end");
        let mut idle = connect(&gateway);
        idle.write_all(ASK).unwrap();
        let said = to_its_end(idle);
        assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
    });
    gateway.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_take_its_answers_is_cut_off() {
    let town = Town::new().await;
    let limits = Limits { stall_time: Duration::from_millis(200), ..Limits::default() };
    let gateway = limited(&town, limits).await;
    tokio::task::block_in_place(|| {
        let mut deaf = connect(&gateway);
        deaf.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        let end = Instant::now() + PATIENCE;
        // It asks and asks and reads nothing, until nobody listens any more.
        loop {
            match deaf.write(b"GET /v1/openapi.json HTTP/1.1\r\nhost: gateway\r\n\r\n") {
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => {
                    let kind = error.kind();
                    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
                    break;
                }
            }
            assert!(Instant::now() < end, "expected it to be cut off");
        }
    });
    gateway.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_so_many_for_each_and_for_all() {
    let town = Town::new().await;
    let answered = |mut socket: TcpStream| {
        // Refused connections may be gone before anything is written.
        let mut begin = [0; 15];
        let said = socket.write_all(ASK).and_then(|()| socket.read_exact(&mut begin));
        said.is_ok().then(|| (assert_eq!(&begin, b"HTTP/1.1 200 OK"), socket).1)
    };
    let gateway = limited(&town, Limits { connections_per_caller: 1, ..Limits::default() }).await;
    tokio::task::block_in_place(|| {
        let first = answered(connect(&gateway)).unwrap();
        assert!(answered(connect(&gateway)).is_none(), "one more than its share");
        drop(first);
        let end = Instant::now() + PATIENCE;
        while answered(connect(&gateway)).is_none() {
            assert!(Instant::now() < end, "expected the place of the first to be free again");
        }
    });
    gateway.shut_down().await.unwrap();

    let gateway = limited(&town, Limits { connections: 1, ..Limits::default() }).await;
    tokio::task::block_in_place(|| {
        let first = answered(connect(&gateway)).unwrap();
        let waiting = connect(&gateway);
        drop(first);
        assert!(answered(waiting).is_some(), "it waits until there is room");
    });
    gateway.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_behind_a_trusted_proxy_has_a_rate_of_its_own() {
    let town = Town::new().await;
    let limits = Limits { rate_per_s: 0.01, burst: 1.0, ..Limits::default() };
    let status = async |gateway: &Gateway, caller: &str| {
        let get = town.http.get(format!("http://{}/v1/assets", gateway.address()));
        ask(get.header("x-forwarded-for", caller)).await.status
    };
    let trusting = |trusted_proxies| Config { limits, trusted_proxies, ..Config::at(ANY_PORT) };
    let here = SocketAddr::from(([127, 0, 0, 1], 0)).ip();
    let start =
        async |config| Gateway::start(town.client.clone(), town.account("dev:8"), config).await.unwrap();
    let gateway = start(trusting(vec![here])).await;
    assert_eq!(status(&gateway, "192.0.2.1").await, 200);
    assert_eq!(status(&gateway, "192.0.2.2").await, 200);
    assert_eq!(status(&gateway, "6.6.6.6, 192.0.2.1").await, 429);
    assert_eq!(status(&gateway, "2001:db8::1").await, 200);
    assert_eq!(status(&gateway, "2001:db8::2").await, 429, "of the same network");
    gateway.shut_down().await.unwrap();
    let gateway = start(trusting(Vec::new())).await;
    assert_eq!(status(&gateway, "192.0.2.1").await, 200);
    assert_eq!(status(&gateway, "192.0.2.2").await, 429, "anybody can write that");
    gateway.shut_down().await.unwrap();
}

/// Where gas is worth something, its price is said before any model is served.
#[tokio::test(flavor = "multi_thread")]
async fn no_model_is_served_on_a_chain_whose_gas_has_no_price() {
    let town = Town::new().await;
    let elsewhere = Arc::new(town.elsewhere("elsewhere", true, None).await);
    let config = |serving: &[AssetId], coin_price| Config {
        serving: serving.iter().map(|asset| Serving { asset: *asset, licence: None }).collect(),
        coin_price,
        ..Config::at(ANY_PORT)
    };
    let start = async |serving: &[AssetId], coin_price| {
        let account = account(&elsewhere, "dev:8");
        Gateway::start(elsewhere.clone(), account, config(serving, coin_price)).await
    };
    let refused = start(&[town.asset], None).await.unwrap_err();
    assert!(matches!(refused, StartError::NoCoinPrice), "{refused}");
    let refused = start(&[town.asset], Some(Amount::ZERO)).await.unwrap_err();
    assert!(
        matches!(refused, StartError::Service(_)),
        "that it is no model is the next to be told: {refused}"
    );
    start(&[], None).await.unwrap().shut_down().await.unwrap();
}
