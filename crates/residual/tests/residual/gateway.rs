//! `up` serves a gateway, and `get` fetches from one.

use crate::support::{Town, command, json, refused, served, word};

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
