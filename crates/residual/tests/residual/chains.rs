//! A marketplace on a chain of somebody else's, behind a JSON-RPC: deployed, joined, and mistaken for another.

use std::path::Path;

use residual_ledger::contracts::genesis_alloc;
use serde_json::{Value, json};

use crate::support::{anvil, ask, command, examples, json, refused, word};

/// What public chains have already: the canonical contracts and the deployment proxy.
fn as_public(url: &str) {
    for (address, code) in genesis_alloc() {
        ask(url, "anvil_setCode", json!([address, code]));
    }
}

fn buy(data: &Path, published: &Value, buyer: &str) -> Value {
    let [asset, terms] = [&published["asset"], &published["terms"][0]].map(word);
    json(data, &["license", &asset, &terms, "-a", buyer])
}

#[test]
fn a_marketplace_on_a_development_chain_is_made_joined_and_not_mistaken() {
    let temp = tempfile::tempdir().unwrap();
    let (_chain, url) = anvil(&[]);
    as_public(&url);
    let [ada, bo] = ["ada", "bo"].map(|name| temp.path().join(name));
    let made = json(&ada, &["init", "--development", "--rpc-url", &url]);
    assert_eq!(made["chain_id"], 31_337);
    assert_eq!(json(&ada, &["init", "--development", "--rpc-url", &url])["assets"], made["assets"]);

    let terms = examples("terms/commercial.toml");
    let work = examples("digits-a");
    let published = json(&ada, &["publish", &work, "--name", "digits-a", "--terms", &terms, "-a", "dev:1"]);
    let deployment = word(&made["deployment"]);
    let join = ["init", "--development", "--rpc-url", &url, "--deployment", &deployment];
    assert_eq!(json(&bo, &join)["licences"], made["licences"]);
    json(&bo, &["account", "fund", "dev:2", "100", "-a", "dev:0"]);
    buy(&bo, &published, "dev:2");
    let collected = json(&ada, &["collect", "-a", "dev:1"]);
    assert_eq!(collected["claims"][0]["amount"], "25000000", "{collected}");
    assert_eq!(json(&bo, &["audit"])["tokens"][0]["received"], "25000000");

    refused(&temp.path().join("new"), 2, "residual init --rpc-url", &["up", "--rpc-url", &url]);
    let (_other, other_url) = anvil(&["--chain-id", "4242"]);
    refused(&ada, 5, "found chain 4242", &["audit", "--rpc-url", &other_url]);
    let (_same, same_url) = anvil(&[]);
    // By its history, or by the code there, if the two chains began in the same second.
    let elsewhere = command(&ada, &["audit", "--rpc-url", &same_url]).output().unwrap();
    assert_eq!(elsewhere.status.code(), Some(5));
    let said = String::from_utf8_lossy(&elsewhere.stderr);
    assert!(said.contains("another history") || said.contains("not the chain that the deployment"), "{said}");
    refused(&ada, 5, "", &["audit", "--rpc-url", "http://127.0.0.1:9"]);
    refused(&ada, 5, "http://", &["audit", "--rpc-url", "ftp://127.0.0.1"]);
}

#[test]
fn what_a_marketplace_on_a_chain_needs_is_said() {
    let temp = tempfile::tempdir().unwrap();
    let (_chain, url) = anvil(&[]);
    let data = temp.path().join("data");
    let token = "0x00000000000000000000000000000000000000aa";
    refused(&data, 2, "--currency", &["init", "--rpc-url", &url]);
    refused(&data, 2, "--rpc-url", &["init", "--currency", token]);
    assert!(!data.exists(), "nothing was made");
    refused(&data, 5, "expected a contract at", &["init", "--rpc-url", &url, "--currency", token]);
    let bare = ["init", "--development", "--rpc-url", &url];
    refused(&temp.path().join("bare"), 5, "found no code; choose a chain that has it", &bare);
    as_public(&url);
    let missing = temp.path().join("none.json");
    let missing = missing.to_str().unwrap();
    refused(&data, 2, "deployment file", &["init", "--rpc-url", &url, "--deployment", missing]);
}

/// On a chain that makes blocks on its own, with an account of one's own that has to pay for gas.
#[test]
fn an_operator_without_gas_is_told_where_to_send_it_and_repeats() {
    let temp = tempfile::tempdir().unwrap();
    let (_chain, url) = anvil(&["--block-time", "1"]);
    as_public(&url);
    let (maker, data) = (temp.path().join("maker"), temp.path().join("data"));
    let made = json(&maker, &["init", "--development", "--rpc-url", &url]);
    let currency = word(&made["currency"]);
    let init = ["init", "--rpc-url", &url, "--currency", &currency, "--fee-bps", "100"];
    let output = command(&data, &init).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{error}");
    let operator = error.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.len() == 42);
    ask(
        &url,
        "anvil_setBalance",
        json!([operator.expect("it says whom to send gas to"), "0xde0b6b3a7640000"]),
    );
    let made_again = json(&data, &init);
    assert_eq!(made_again["currency"], made["currency"]);
    assert_ne!(made_again["royalties"], made["royalties"], "a marketplace of its own");
    let operator = json(&data, &["account", "list"]);
    assert_eq!(operator[0]["name"], "operator", "{operator}");
    json(&data, &["audit"]);
}
