//! `up` serves a gateway, and `get` fetches from one.

use serde_json::Value;

use crate::support::{Town, command, examples, json, refused, served, word};

#[test]
fn a_buyer_elsewhere_gets_from_the_gateway_of_a_running_node() {
    let town = Town::new();
    let (mut node, up) = served(&town.data(), &[]);
    let (rpc_url, gateway) = (word(&up["rpc_url"]), word(&up["gateway_url"]));
    let buyer = town.temp.path().join("buyer");
    let deployment = town.data().join("deployment.json");
    let deployment = deployment.to_str().unwrap();
    json(&buyer, &["init", "--development", "--rpc-url", &rpc_url, "--deployment", deployment]);
    let bought = json(&buyer, &["license", &town.asset, &town.commercial, "-a", "dev:2"]);
    let licence = word(&bought["licence"]);
    let target = town.temp.path().join("got");
    let target = target.to_str().unwrap();
    let get = ["get", &licence, target, "-a", "dev:2"];

    let elsewhere = |url: &'static str| [&get[..], &["--gateway", url]].concat();
    refused(&buyer, 2, "expected a gateway's address", &elsewhere("http://192.0.2.1"));
    refused(&buyer, 5, "check that it runs", &elsewhere("http://127.0.0.1:1"));
    let thief = ["get", &licence, target, "-a", "dev:3", "--gateway", &gateway];
    refused(&buyer, 4, "sign with the account that holds the licence", &thief);
    // The buyer's own directory has neither key nor blocks.
    refused(&buyer, 4, "published from another keyring", &get);

    let got = json(&buyer, &[&get[..], &["--gateway", &gateway]].concat());
    assert_eq!(got["written"], 2, "{got}");
    let original = std::fs::read(crate::support::examples("digits-a/digits.csv")).unwrap();
    assert_eq!(std::fs::read(std::path::Path::new(target).join("digits.csv")).unwrap(), original);
    node.kill();
}

#[test]
fn the_gateways_account_is_made_once_under_the_operators_password_and_given_gas() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let (mut node, up) = served(&data, &[]);
    let accounts = json(&data, &["account", "list"]);
    let gateway = accounts.as_array().unwrap().iter().find(|row| row["name"] == "gateway").unwrap().clone();
    assert_eq!(gateway["gas_wei"], "0x8ac7230489e80000", "10 ether: {accounts}");
    let gateway_url = word(&up["gateway_url"]);
    let address = gateway_url.strip_prefix("http://").unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    // The node does not keep the operator's account for itself.
    json(&data, &["account", "fund", "gateway", "5", "-a", "operator"]);
    node.kill();

    let any_port = ["up", "--listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0"];
    let wrong = command(&data, &any_port).env("RESIDUAL_PASSWORD", "wrong").output().unwrap();
    crate::support::assert_refused(&wrong, 4, "password");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let in_use =
        command(&data, &["up", "--listen", "127.0.0.1:0", "--gateway-listen", &taken]).output().unwrap();
    crate::support::assert_refused(&in_use, 1, "is another process there?");

    let (_node, _) = served(&data, &[]);
    let accounts = json(&data, &["account", "list"]);
    let again = accounts.as_array().unwrap().iter().find(|row| row["name"] == "gateway").unwrap();
    assert_eq!((&again["address"], &again["gas_wei"]), (&gateway["address"], &gateway["gas_wei"]));
}

/// A data directory of a chain behind a JSON-RPC serves as one with a ledger of its own does; here that chain is another
/// directory's embedded ledger.
#[test]
fn a_gateway_alone_serves_paid_calls_over_the_chain_of_another() {
    let temp = tempfile::tempdir().unwrap();
    let [chain, data, public] = ["chain", "gateway", "public"].map(|name| temp.path().join(name));
    let (_chain, at) = served(&chain, &["--development"]);
    let deployment = chain.join("deployment.json");
    let rpc_url = word(&at["rpc_url"]);
    let join = ["init", "--rpc-url", &rpc_url, "--deployment", deployment.to_str().unwrap()];
    json(&data, &[&join[..], &["--development"]].concat());
    refused(&chain, 2, "residual init --rpc-url", &["up", "--rpc-url", &rpc_url]);
    refused(&data, 2, "name one with --gateway", &["use", MODEL, "-", "-a", "dev:5"]);

    // Everywhere it listens; here it is said where this machine reaches it, and what others call it.
    let everywhere = ["--gateway-listen", "0.0.0.0:0", "--public-url", "https://gateway.example"];
    let demo = ["--demo", "--examples", &examples(""), "--coin-price", "0"];
    refused(&data, 2, "--coin-price", &["up", "--demo", "--examples", &examples("")]);
    let (mut gateway, up) = served(&data, &[&everywhere[..], &demo].concat());
    let url = word(&up["gateway_url"]);
    assert!(url.starts_with("http://127.0.0.1:"), "{up}");
    assert_eq!(up["public_url"], "https://gateway.example");
    assert_eq!(up["chain_id"], at["chain_id"]);
    let model = word(&up["serving"][0]);
    json(&data, &["account", "fund", "dev:5", "100", "-a", "dev:0"]);

    // The first is answered, paid and shown though the second is none that the model can read.
    let bad = temp.path().join("bad.json");
    std::fs::write(&bad, r#"{"tensor":[[1,2,3]]}"#).unwrap();
    let (good, bad) = (examples("digit.json"), bad.to_str().unwrap().to_owned());
    let two = command(&data, &["use", &model, &good, &bad, "-a", "dev:5", "--json"]).output().unwrap();
    let error = String::from_utf8_lossy(&two.stderr);
    assert_eq!(two.status.code(), Some(4), "{error}");
    assert!(error.contains("nothing was charged"), "{error}");
    let answered: Value = serde_json::from_slice(&two.stdout).unwrap();
    assert_eq!(answered["calls"].as_array().unwrap().len(), 1, "{answered}");
    assert!(answered["calls"][0]["answers"][0]["classes"][0]["label"].is_string(), "{answered}");

    // One door for all that goes to a gateway.
    let secret = "http://me:secret@127.0.0.1:1/?key=secret";
    for go in [
        &["use", &model, &good, "-a", "dev:5", "--gateway", secret][..],
        &["use", &model, &good, "-a", "dev:5", "--gateway", "http://192.0.2.1"],
        &["usage", "fetch", secret, "dev:9"],
        &["usage", "fetch", "http://192.0.2.1", "dev:9"],
    ] {
        let output = command(&data, go).output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"), "{go:?}");
        crate::support::assert_refused(&output, 2, "expected a gateway's address");
    }
    refused(&data, 4, "name another with --gateway", &["use", MODEL, "--refund", "-a", "dev:5"]);
    // The gateway has carried a deposit by now, so it acts with its account until it ends.
    refused(&data, 2, "the running gateway", &["account", "fund", "dev:3", "1", "-a", "dev:9"]);

    gateway.terminate();
    let audit = json(&data, &["audit"]);
    assert_eq!(audit["usage"]["records"], 1, "{audit}");
    assert_eq!(audit["usage"]["outstanding"], "0");
    refused(&data, 2, "name one with --gateway", &["use", &model, &good, "-a", "dev:5"]);

    // Without development mode the gateway's account is made, and pays for its own gas.
    json(&public, &join);
    refused(&public, 2, "--development", &["up", "--development"]);
    let up = ["up", "--gateway-listen", "127.0.0.1:0"];
    refused(&public, 4, "to have gas on chain", &up);
    let accounts = json(&public, &["account", "list"]);
    assert_eq!(accounts[0]["name"], "gateway", "{accounts}");
    json(&chain, &["account", "fund", &word(&accounts[0]["address"]), "1", "-a", "dev:0"]);
    let (_gateway, up) = served(&public, &[]);
    assert!(up["gateway_url"].is_string());
}

/// No asset of any ledger.
const MODEL: &str = "0x000000000000000000000000000000aa";
