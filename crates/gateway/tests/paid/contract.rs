//! The paid part of the API keeps to its description too.

use serde_json::json;

use crate::{schemathesis::schemathesis, support::World};

/// Whatever is sent to a model that is served, with a payment or without, is answered as the description says.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_paid_calls_as_their_description_says() {
    let world = World::new().await;
    let gateway = world.open().await;
    let description = format!("http://{}/v1/openapi.json", gateway.address());
    let dir = tempfile::tempdir().unwrap();
    // No schema says which texts are a payment, a picture or a tensor that fits: 400 and 422 are as good as 402 there.
    let only = "--include-path-regex=/(inference|usage|window|close)$";
    let parameters = json!({ "asset": world.model.asset });
    let arguments =
        [only, "--mode", "all", "--exclude-checks", "negative_data_rejection,positive_data_acceptance"];
    schemathesis(dir.path(), &description, &arguments, &parameters);
    gateway.shut_down().await.unwrap();
    assert!(world.client.usage_of(world.model.asset).await.unwrap().is_empty(), "nobody paid");
}
