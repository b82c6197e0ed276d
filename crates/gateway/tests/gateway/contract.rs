//! The description of the API: what it is, and that the gateway keeps to it.

use serde_json::{Value, json};

use crate::{schemathesis::schemathesis, support::Town};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

/// Set, it writes the snapshot anew: `RESIDUAL_RENEW_OPENAPI=1 cargo nextest run --release -p residual-gateway openapi`.
const RENEW: &str = "RESIDUAL_RENEW_OPENAPI";

#[test]
fn the_openapi_description_is_as_it_was_read() {
    let description = serde_json::to_string_pretty(&residual_gateway::openapi()).unwrap() + "\n";
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(SNAPSHOT, &description).unwrap();
    }
    let committed = std::fs::read_to_string(SNAPSHOT).unwrap_or_default();
    assert!(
        committed == description,
        "the API is not as {SNAPSHOT} says: read the difference after setting {RENEW}=1 and running this test again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_description_is_served() {
    let town = Town::new().await;
    let served = town.get("/v1/openapi.json").await.json();
    assert_eq!(served, serde_json::to_value(residual_gateway::openapi()).unwrap());
    assert_eq!(served["openapi"].as_str().unwrap().split_once('.').unwrap().0, "3");
    for (path, item) in served["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for status in ["400", "429", "500", "503"] {
                let problem = &operation["responses"][status]["content"]["application/problem+json"];
                assert!(problem.is_object(), "{method} {path} says what it answers with {status}");
            }
        }
    }
}

/// Runs stock schemathesis (see `tests/peers/setup`) against the gateway: no 5xx, and nothing that the description does
/// not say. Once with ids that name nothing, mostly; once with those of what is there.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_the_gateway_as_its_description_says() {
    let town = Town::new().await;
    let licence = town.license(town.commercial).await;
    let gateway = town.account("dev:9").address();
    let payer = town.account("dev:2");
    let till = residual_client::Till::own(town.asset, residual_primitives::RevenueKind::Inference);
    let channel = town.client.open_channel(&payer, &till, gateway, residual_primitives::Amount(5), 86_400);
    let known = json!({
        "asset": town.asset,
        "terms": town.commercial,
        "licence": licence,
        "channel": channel.await.unwrap().channel,
        "cid": town.published.manifest_cid,
        "query.holder": payer.address().to_string(),
    });
    let run = |arguments: &[&str], parameters: &Value| {
        schemathesis(town.temp.path(), &town.url("/v1/openapi.json"), arguments, parameters);
    };
    run(&["--mode", "all"], &json!({}));
    // What is put in the place of a value that is meant to be wrong would be right.
    run(&["--mode", "positive", "--exclude-checks", "negative_data_rejection"], &known);
}
