//! What an auditor is told of usage: what was compared, and what could not be.

use residual_client::{ANY_PORT, Client, Place};
use residual_primitives::Amount;
use serde_json::json as json_of;

use crate::{
    kill::charge_every_channel,
    support::{command, json, word},
};

/// AUD-1: claims that no record is there for are listed and never pass as compared.
#[test]
fn aud_1_claims_without_records_and_records_that_are_elsewhere_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    json(&data, &["init", "--development"]);
    let file = temp.path().join("model");
    std::fs::write(&file, "weights").unwrap();
    let publish = ["publish", file.to_str().unwrap(), "--name", "model", "--kind", "model", "-a", "dev:1"];
    let asset = word(&json(&data, &publish)["asset"]);
    json(&data, &["account", "fund", "dev:2", "100", "-a", "dev:0"]);
    json(&data, &["channel", "open", &asset, "1", "--gateway", "dev:1", "-a", "dev:2"]);
    let charged = charge_every_channel(&data, 0);
    let said = || {
        let audited = command(&data, &["audit"]).output().unwrap();
        assert!(audited.status.success());
        String::from_utf8(audited.stdout).unwrap()
    };
    let before = json(&data, &["audit"]);
    assert_eq!(before["usage"]["not_compared"], json_of!([]), "nothing was claimed yet");
    assert!(said().contains("no claim was compared"), "{}", said());

    // As a gateway of another make claims, which publishes nothing.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let gateway = runtime.block_on(async {
        let client = Client::open(&data, &Place::Own(Some(ANY_PORT))).await.unwrap();
        let gateway = client.account("dev:1", || unreachable!("no password")).unwrap();
        let meter = client.meter(gateway.address(), Amount(1 << 60)).await.unwrap();
        let rows = meter.redeemable(Amount(1)).unwrap().concat();
        assert_eq!(client.claim_rows(&gateway, &rows).await.unwrap().claimed.len(), 1);
        client.close().await;
        gateway.address()
    });
    let unrecorded = json(&data, &["audit"]);
    let claims = json_of!({
        "gateway": format!("{gateway:#x}"), "channels": 1, "claimed": charged.to_string(), "committed": false,
    });
    assert_eq!(unrecorded["usage"]["not_compared"], json_of!([claims]));
    let text = said();
    assert!(text.contains(&format!("gateway {gateway} was not compared: it claimed 0.001 TUSD")), "{text}");
    assert!(text.contains("committed to no record"), "{text}");

    // The records come after the claim; here they are compared, and on a machine without the file they are not.
    json(&data, &["redeem", &asset, "-a", "dev:1"]);
    let recorded = json(&data, &["audit"]);
    assert_eq!(recorded["usage"]["not_compared"], json_of!([]));
    assert_eq!(recorded["usage"]["sources"], 1);
    assert!(said().contains("1 channels and payments agree"), "{}", said());
    std::fs::remove_dir_all(data.join("usage")).unwrap();
    let elsewhere = json(&data, &["audit"]);
    assert_eq!(elsewhere["usage"]["not_compared"][0]["committed"], true);
    assert!(said().contains(&format!("`residual usage fetch URL {gateway}`")), "{}", said());
}
