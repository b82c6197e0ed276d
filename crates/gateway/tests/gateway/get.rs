//! `Client::get` from a gateway: another person's data directory, key and blocks over HTTP, everything verified.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::{IntoResponse, Redirect, Response},
};
use residual_client::{
    ANY_PORT, Client, Existing, ExtractError, FetchError, GatewayError, GetError, Got, RemoteGateway, Step,
    StoreError,
};
use residual_primitives::LicenceId;

use crate::support::{Town, account, ask, work};

async fn get(
    client: &Client,
    gateway: &RemoteGateway,
    licence: LicenceId,
    to: &Path,
) -> Result<Got, GetError> {
    let holder = account(client, "dev:2");
    client.get(Some(gateway), &holder, licence, None, to, Existing::Keep, &mut |_, _| {}).await
}

/// What a relay does with the blocks that pass.
#[derive(Clone)]
struct Relay {
    http: residual_ledger::http::Client,
    target: String,
    passed: Arc<Mutex<Vec<String>>>,
    /// How many blocks pass before it breaks.
    left: Arc<AtomicUsize>,
    breaks: fn(Vec<u8>) -> Response,
}

/// A gateway of the same answers that passes so many blocks and breaks then.
async fn relay(town: &Town, left: usize, breaks: fn(Vec<u8>) -> Response) -> (String, Relay) {
    let relay = Relay {
        http: town.http.clone(),
        target: town.url(""),
        passed: Arc::default(),
        left: Arc::new(left.into()),
        breaks,
    };
    let listener = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(carry).with_state(relay.clone());
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    (url, relay)
}

async fn carry(State(relay): State<Relay>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let url = format!("{}{}", relay.target, parts.uri);
    let send = relay.http.request(parts.method, url).header("content-type", "application/json");
    let answer = ask(send.body(body.to_vec())).await;
    if parts.uri.path().starts_with("/v1/content/") {
        relay.passed.lock().unwrap().push(parts.uri.to_string());
        let carried = relay.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if carried.is_err() {
            return (relay.breaks)(answer.bytes);
        }
    }
    Response::builder().status(answer.status).body(Body::from(answer.bytes)).unwrap()
}

/// SEAL-2: what was verified once is not fetched again.
#[tokio::test(flavor = "multi_thread")]
async fn seal_2_a_buyer_elsewhere_gets_the_files_and_goes_on_where_it_stopped() {
    let town = Town::new().await;
    let licence = town.license(town.commercial).await;
    let buyer = town.elsewhere("buyer", true, None).await;
    let target = town.temp.path().join("got");
    let (url, broken) = relay(&town, 4, |_| axum::http::StatusCode::BAD_GATEWAY.into_response()).await;
    let gateway = buyer.gateway(&url, false).await.unwrap();
    assert_eq!(gateway.account(), town.account("dev:9").address());
    let stopped = get(&buyer, &gateway, licence, &target).await;
    assert!(
        matches!(stopped, Err(GetError::Fetch(FetchError::Store(StoreError::Remote { .. })))),
        "{stopped:?}"
    );
    let first: Vec<String> = broken.passed.lock().unwrap()[..4].to_vec();

    let (url, whole) = relay(&town, usize::MAX, |_| unreachable!()).await;
    let gateway = buyer.gateway(&url, false).await.unwrap();
    let holder = account(&buyer, "dev:2");
    let mut steps = Vec::new();
    let progress =
        &mut |step: Step, done: residual_client::Progress| steps.push((step, done.done, done.total));
    let got =
        buyer.get(Some(&gateway), &holder, licence, None, &target, Existing::Keep, progress).await.unwrap();
    assert_eq!((got.written, got.bytes), (1, work().len() as u64));
    assert_eq!(std::fs::read(target.join("work.bin")).unwrap(), work());
    let second = whole.passed.lock().unwrap().clone();
    assert!(!second.is_empty() && second.iter().all(|url| !first.contains(url)), "{first:?} {second:?}");
    let ended = |step| steps.iter().rfind(|(at, ..)| *at == step).map(|(_, done, total)| done == total);
    assert_eq!((ended(Step::Fetching), ended(Step::Verifying)), (Some(true), Some(true)));

    // All of it is here now; only the key is asked for again.
    get(&buyer, &gateway, licence, &town.temp.path().join("again")).await.unwrap();
    assert_eq!(whole.passed.lock().unwrap().len(), second.len());
}

/// SEAL-1: a gateway that gives other bytes gets nothing written.
#[tokio::test(flavor = "multi_thread")]
async fn seal_1_other_bytes_and_more_bytes_than_a_block_has_are_refused() {
    let town = Town::new().await;
    let licence = town.license(town.commercial).await;
    let buyer = town.elsewhere("buyer", true, None).await;
    let target = town.temp.path().join("got");
    let flipped = |mut bytes: Vec<u8>| {
        bytes[0] ^= 1;
        bytes.into_response()
    };
    let endless = |_: Vec<u8>| vec![0; 3 << 20].into_response();
    for (left, breaks) in [(0, flipped as fn(Vec<u8>) -> Response), (3, flipped), (0, endless), (3, endless)]
    {
        let (url, _) = relay(&town, left, breaks).await;
        let gateway = buyer.gateway(&url, false).await.unwrap();
        assert!(get(&buyer, &gateway, licence, &target).await.is_err());
        assert!(!target.join("work.bin").exists());
    }
    // A block that was damaged after it was fetched is fetched again.
    let gateway = buyer.gateway(&town.url(""), false).await.unwrap();
    get(&buyer, &gateway, licence, &target).await.unwrap();
    for shard in std::fs::read_dir(buyer.home().path("blocks")).unwrap() {
        for block in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let path = block.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            if bytes.len() == 1 << 20 {
                bytes[7] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
        }
    }
    let healed = town.temp.path().join("healed");
    get(&buyer, &gateway, licence, &healed).await.unwrap();
    assert_eq!(std::fs::read(healed.join("work.bin")).unwrap(), work());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_licence_or_talks_to_no_gateway_of_this_market_is_told() {
    let town = Town::new().await;
    let licence = town.license(town.commercial).await;
    let buyer = town.elsewhere("buyer", true, None).await;
    let gateway = buyer.gateway(&town.url(""), false).await.unwrap();
    let target = town.temp.path().join("got");
    let thief = account(&buyer, "dev:4");
    let refused =
        buyer.get(Some(&gateway), &thief, licence, None, &target, Existing::Keep, &mut |_, _| {}).await;
    let Err(GetError::Gateway(GatewayError::Refused { status: 403, detail, .. })) = refused else {
        panic!("{refused:?}")
    };
    assert!(detail.contains("sign with the account that holds the licence"), "{detail}");
    // Without a gateway it is this directory's own keyring that is asked, and that has no such key.
    let holder = account(&buyer, "dev:2");
    let here = buyer.get(None, &holder, licence, None, &target, Existing::Keep, &mut |_, _| {}).await;
    assert!(matches!(here, Err(GetError::Key(_))), "{here:?}");

    let other = Town::new().await;
    let wrong = buyer.gateway(&other.url(""), false).await.unwrap_err();
    assert!(matches!(wrong, GatewayError::OtherMarketplace { .. }), "{wrong}");
    let node = buyer.gateway(&town.client.serves().unwrap().0, false).await.unwrap_err();
    assert!(matches!(node, GatewayError::Refused { .. } | GatewayError::Malformed { .. }), "{node}");
    let far = buyer.gateway("http://192.0.2.1:8402", false).await.unwrap_err();
    assert!(matches!(far, GatewayError::Address { .. }), "{far}");
    let nobody = std::net::TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
    let nobody = buyer.gateway(&format!("http://{nobody}"), false).await.unwrap_err();
    assert!(matches!(nobody, GatewayError::Unreachable { .. }), "{nobody}");

    let target_url = town.url("/v1/gateway");
    let listener = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(async move || Redirect::temporary(&target_url));
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    let redirected = buyer.gateway(&url, false).await.unwrap_err();
    assert!(matches!(redirected, GatewayError::Refused { status: 307, .. }), "{redirected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_in_the_way_stay() {
    let town = Town::new().await;
    let licence = town.license(town.commercial).await;
    let buyer = town.elsewhere("buyer", true, None).await;
    let gateway = buyer.gateway(&town.url(""), false).await.unwrap();
    let target = town.temp.path().join("got");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("work.bin"), "mine").unwrap();
    let refused = get(&buyer, &gateway, licence, &target).await;
    assert!(matches!(refused, Err(GetError::Extract(ExtractError::Occupied { .. }))), "{refused:?}");
    assert_eq!(std::fs::read(target.join("work.bin")).unwrap(), b"mine");
}
