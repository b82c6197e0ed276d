//! Kill -9 of a running node in the middle of things, and starting it again: nothing is lost, and repeating the command
//! that was interrupted completes it (LED-1, MET-1, CH-1).

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use residual_client::{ANY_PORT, Budget, Charge, Client, Governance, Ground, Password, Payer, Place};
use residual_ledger::http;
use residual_primitives::{Amount, B256, U256};
use serde_json::{Value, json as json_of};

use crate::support::{command, examples, json, served, units, up, word};

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

/// CH-1, and AUD-1: what is claimed by hand is in published records before, as what a running gateway claims is.
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
    let (mut charged, mut uses) = (0, 0);
    for round in 0..6_u64 {
        json(&data, &["channel", "open", &asset, "1", "--gateway", "dev:1", "-a", "dev:2"]);
        charged += charge_every_channel(&data, round);
        // One more channel each round.
        uses += round + 1;
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
        assert_eq!(
            audit["usage"]["records"], uses,
            "each use is recorded, and compared with what was claimed"
        );
        assert_eq!(audit["usage"]["sources"], round + 1);
        assert_eq!(audit["usage"]["outstanding"], "0");
    }
}

/// Makes a charge on each channel, as a gateway that serves calls does, and answers their sum.
pub(crate) fn charge_every_channel(data: &Path, round: u64) -> u128 {
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

/// Calls the model until the gateway is gone, and counts what was answered.
async fn pay_until_it_is_killed(data: &Path, served: &Value, payer: usize, answers: &AtomicU64) {
    // It may be killed already.
    let Ok(client) = Client::open(data, &Place::Rpc(word(&served["rpc_url"]))).await else { return };
    let account = client.account(&format!("dev:{payer}"), || unreachable!("no password")).unwrap();
    let asset = word(&served["serving"][0]).parse().unwrap();
    let budget = Budget { per_call: Amount(1_000_000), total: Amount(900_000_000) };
    let time = Duration::from_secs(20);
    let payer = Payer::new(&client, account, asset, budget, http::client(time, time).unwrap());
    let url: http::Url =
        format!("{}/v1/assets/{asset}/inference", word(&served["gateway_url"])).parse().unwrap();
    for question in 0_u64.. {
        let mut request = http::Request::new(http::Method::POST, url.clone());
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(http::header::CONTENT_TYPE, json);
        // Another question each time, so that none is a repetition of one that was paid.
        let pixels: Vec<u64> = (0..64).map(|at| (question + at) % 17).collect();
        *request.body_mut() = Some(json_of!({ "tensor": [pixels] }).to_string().into());
        let answered = match payer.call(request).await {
            Ok(answered) => answered,
            Err(error) => return eprintln!("payer: {error}"),
        };
        if answered.response.status() == 200 && answered.response.bytes().await.is_ok() {
            answers.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// MET-1: a gateway that is killed at any moment under load has released no answer whose charge it cannot claim, and
/// claims nothing that was not used.
#[test]
fn met_1_a_gateway_that_is_killed_under_load_can_claim_all_it_released_and_no_more() {
    const PAYERS: usize = 3;
    const ROUNDS: u64 = 6;
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let (node, first) = served(&data, &["--development", "--demo", "--examples", &examples("")]);
    let asset = word(&first["serving"][0]);
    drop(node);
    for payer in 0..PAYERS {
        json(&data, &["account", "fund", &format!("dev:{}", 2 + payer), "1000", "-a", "dev:0"]);
    }
    let serve = ["--serve", asset.as_str(), "--settle-every-s", "1"];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let answers = Arc::new(AtomicU64::new(0));
    for round in 0..ROUNDS {
        let (mut node, at) = served(&data, &serve);
        let before = answers.load(Ordering::SeqCst);
        runtime.block_on(async {
            let mut payers = tokio::task::JoinSet::new();
            for payer in 0..PAYERS {
                let (data, at, answers) = (data.clone(), at.clone(), Arc::clone(&answers));
                payers.spawn(async move { pay_until_it_is_killed(&data, &at, 2 + payer, &answers).await });
            }
            // Another moment each time: of the first deposit, and of more and more calls after it.
            let enough = async {
                while answers.load(Ordering::SeqCst) < before + 13 * round {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(120), enough).await.unwrap();
            node.kill();
            payers.join_all().await
        });
    }
    let answers = u128::from(answers.load(Ordering::SeqCst));
    assert!(answers >= 13 * 15, "somebody was served: {answers}");

    // It comes back, claims what it may and is shut down as a service manager does.
    let (mut node, _) = served(&data, &serve);
    node.terminate();
    let uses = json(&data, &["usage", "list", &asset])["uses"].as_array().unwrap().len() as u128;
    // A killed gateway may have recorded a use whose answer was on its way: at most one for each payer and kill.
    assert!(
        (answers..=answers + u128::from(ROUNDS) * PAYERS as u128).contains(&uses),
        "{answers} answers, {uses} uses"
    );
    let price = units(&json(&data, &["usage", "list", &asset])["uses"][0]["amount"]);
    let channels = json(&data, &["channel", "list"]);
    let claimed: u128 = channels.as_array().unwrap().iter().map(|row| units(&row["claimed"])).sum();
    assert_eq!(claimed, uses * price, "each use was claimed, and nothing else");
    let audit = json(&data, &["audit"]);
    assert_eq!(audit["usage"]["records"], json_of!(uses as u64));
    assert_eq!(audit["usage"]["outstanding"], "0");
}
