//! Kill -9 of a running node in the middle of things, and starting it again: nothing is lost, and repeating the command
//! that was interrupted completes it (LED-1, MET-1, CH-1).

use std::{path::Path, process::Stdio, thread, time::Duration};

use residual_client::{ANY_PORT, Charge, Client, Governance, Ground, Password, Place};
use residual_primitives::{Amount, B256, U256};

use crate::support::{command, json, up};

#[test]
fn led_1_a_publish_whose_node_is_killed_is_completed_by_repeating_it() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let mut registered = Vec::new();
    for round in 0..8_u64 {
        let (mut node, _) = up(&data);
        let file = temp.path().join(format!("work-{round}"));
        std::fs::write(&file, vec![round as u8; 300_000]).unwrap();
        let name = format!("work {round}");
        let publish = ["publish", file.to_str().unwrap(), "--name", &name, "-a", "dev:1"];
        let mut first = command(&data, &publish).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From before the command reached the node to after it was done.
        thread::sleep(Duration::from_millis(round * 12));
        node.kill();
        first.wait().unwrap();
        let (node, _) = up(&data);
        let published = json(&data, &publish);
        assert_eq!(json(&data, &publish)["asset"], published["asset"]);
        registered.push(published["asset"].as_str().unwrap().to_owned());
        drop(node);
    }
    for asset in &registered {
        assert_eq!(json(&data, &["show", asset])["versions"], 1);
    }
    let (all, distinct) = (registered.len(), std::collections::BTreeSet::from_iter(registered).len());
    assert_eq!(distinct, all);
    json(&data, &["audit"]);
}

#[test]
fn met_1_a_redeem_whose_node_is_killed_is_completed_by_repeating_it() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    json(&data, &["init", "--development"]);
    let file = temp.path().join("model");
    std::fs::write(&file, "weights").unwrap();
    let published = json(
        &data,
        &["publish", file.to_str().unwrap(), "--name", "model", "--kind", "model", "-a", "dev:1"],
    );
    let asset = published["asset"].as_str().unwrap().to_owned();
    json(&data, &["account", "fund", "dev:2", "100", "-a", "dev:0"]);
    let mut charged = 0;
    for round in 0..6_u64 {
        json(&data, &["channel", "open", &asset, "1", "--gateway", "dev:1", "-a", "dev:2"]);
        charged += charge_every_channel(&data, round);
        let (mut node, _) = up(&data);
        let redeem = ["redeem", asset.as_str(), "-a", "dev:1"];
        let mut first = command(&data, &redeem).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(round * 15));
        node.kill();
        first.wait().unwrap();
        json(&data, &redeem);
        let audit = json(&data, &["audit"]);
        assert_eq!(
            audit["tokens"][0]["received"],
            charged.to_string(),
            "each charge came in once, and every one"
        );
    }
}

/// Makes a charge on each channel, as a gateway that serves calls does, and answers their sum.
fn charge_every_channel(data: &Path, round: u64) -> u128 {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::open(data, &Place::Own(Some(ANY_PORT))).await.unwrap();
        let account =
            |name| client.account(name, || unreachable!("development accounts have no password")).unwrap();
        let (gateway, payer) = (account("dev:1"), account("dev:2"));
        let meter = client.meter(gateway.address(), Amount(1 << 60)).await.unwrap();
        let mut sum = 0;
        for row in client.channel_rows().await.unwrap() {
            let mut purse = client.purse(row.channel).await.unwrap();
            let amount = Amount(1_000 + u128::from(round));
            let sign = |digest: &B256| Ok::<_, std::io::Error>(payer.sign_hash(*digest).as_bytes());
            let voucher = purse.promise(amount, sign).unwrap();
            let charge = Charge {
                request_id: B256::from(U256::from(round)),
                request_digest: B256::ZERO,
                receiver: purse.config().receiver,
                token: client.currency().token,
                amount,
                units: 1,
                at_s: round,
            };
            meter.accept(&voucher, &charge).unwrap();
            sum += amount.0;
        }
        client.close().await;
        sum
    })
}

#[test]
fn a_command_works_through_the_node_that_runs_and_a_second_node_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let (_node, url) = up(&data);
    let rows = json(&data, &["account", "list"]);
    assert_eq!(rows.as_array().unwrap().len(), 10);
    let unflagged = json(&data, &["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(unflagged["rpc_url"], url.as_str(), "what a directory was made in need not be said again");
    let second = json(&data, &["up", "--development", "--listen", "127.0.0.1:0"]);
    assert_eq!(second["rpc_url"], url.as_str(), "a second node serves nothing and says who does");
}

#[test]
fn an_account_is_kept_under_its_password() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let password = || Ok(Password::new("long enough".to_owned()));
        let client =
            Client::init(&data, false, &Ground::Embedded(ANY_PORT), &Governance::default(), |_| password())
                .await
                .unwrap();
        assert!(
            client.account("dev:0", || unreachable!()).is_err(),
            "no development keys outside development mode"
        );
        let wrong = || Ok(Password::new("wrong".to_owned()));
        assert!(client.account("operator", wrong).is_err());
        let operator = client.account("operator", password).unwrap();
        let ada = client.create_account("ada", &Password::new("hers".to_owned())).unwrap();
        client.fund(&operator, ada.address(), Amount(5)).await.unwrap();
        assert_eq!(client.balance(ada.address(), client.currency().token).await.unwrap(), Amount(5));
        client.close().await;
    });
}
