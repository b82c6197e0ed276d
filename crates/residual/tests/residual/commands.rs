//! The loop by single commands, as a person at a terminal makes it.

use residual_client::{ANY_PORT, Client, Place};
use residual_ledger::{
    Transaction,
    contracts::{shares::Shares, test_usd::TestUSD},
};
use residual_primitives::{Bytes, RevenueKind, U256};

use crate::support::{Town, examples, publish_digits, word};

#[test]
fn the_single_commands_make_the_loop() {
    let town = Town::new();
    let licence = town.license(&town.commercial);

    let target = town.temp.path().join("got");
    let got = town.json(&["get", &licence, target.to_str().unwrap(), "-a", "dev:2"]);
    assert_eq!(got["written"], 2);
    let original = std::fs::read(examples("digits-a/digits.csv")).unwrap();
    assert_eq!(std::fs::read(target.join("digits.csv")).unwrap(), original);

    let model = town.temp.path().join("model.bin");
    std::fs::write(&model, b"weights").unwrap();
    let model = model.to_str().unwrap();
    let derive = ["derive", model, "--name", "m", "--kind", "model", "--licence", &licence, "-a", "dev:2"];
    let child = word(&town.json(&derive)["asset"]);
    town.json(&["pay", &child, "10", "--till", "-a", "dev:2"]);
    town.json(&["shares", "transfer", &child, "dev:3", "400000", "-a", "dev:2"]);
    let collected = town.json(&["collect", &town.asset, "-a", "dev:1"]);
    // 25 of the licence, and 10% of the 10 that the child was paid.
    assert_eq!(collected["claims"][0]["amount"], "26000000", "{collected}");
    // What came before the sweep came after the transfer (PAY-5): two fifths of 9.
    let claimed = town.json(&["claim", &child, "-a", "dev:3"]);
    assert_eq!(claimed[0]["amount"], "3600000", "{claimed}");
    let audit = town.json(&["audit"]);
    assert_eq!(audit["tokens"][0]["received"], "35000000");
}

#[test]
fn a_repeated_publication_is_the_same_asset() {
    let town = Town::new();
    let again = publish_digits(&town.data());
    assert_eq!(again["asset"], town.asset);
    assert!(again["transaction"].is_null(), "nothing was registered again: {again}");
}

#[test]
fn a_repeated_derivation_is_the_same_asset_though_its_licence_serves_no_other() {
    let town = Town::new();
    let terms = town.temp.path().join("once.toml");
    let text = std::fs::read_to_string(examples("terms/commercial.toml")).unwrap();
    std::fs::write(&terms, format!("{text}derivations = 1\n")).unwrap();
    let terms = word(&town.json(&["terms", "define", terms.to_str().unwrap(), "-a", "dev:1"])["terms"]);
    town.json(&["terms", "offer", &town.asset, &terms, "-a", "dev:1"]);
    let licence = town.license(&terms);
    let work = examples("digits-b");
    let derive = ["derive", &work, "--name", "d", "--licence", &licence, "-a", "dev:2"];
    let child = town.json(&derive);
    let again = town.json(&derive);
    assert_eq!(again["asset"], child["asset"]);
    assert!(again["transaction"].is_null(), "nothing was registered again: {again}");
    let other = ["derive", &work, "--name", "another", "--licence", &licence, "-a", "dev:2"];
    town.refused(4, "served all of its 1", &other);
}

#[test]
fn a_signed_purchase_and_deposit_are_relayed_once_and_by_anybody() {
    let town = Town::new();
    let asset = town.asset.as_str();
    let signed = town.json(&["license", asset, &town.research, "--sign", "-a", "dev:2"]);
    let file = town.temp.path().join("signed.json");
    let keep = |signed: &serde_json::Value| std::fs::write(&file, signed.to_string()).unwrap();
    keep(&signed);
    let place = file.to_str().unwrap();
    let relayed = town.json(&["relay", place, "-a", "dev:3"]);
    assert_eq!(relayed["amount"], "5000000");
    let licence = word(&relayed["licence"]);
    let target = town.temp.path().join("got");
    town.json(&["get", &licence, target.to_str().unwrap(), "-a", "dev:2"]);
    town.refused(4, "ERC3009", &["relay", place, "-a", "dev:3"]);

    let mut stolen = signed.clone();
    stolen["salt"] = format!("0x{}", "11".repeat(32)).into();
    keep(&stolen);
    town.refused(4, "ERC3009", &["relay", place, "-a", "dev:3"]);
    let mut elsewhere = signed.clone();
    elsewhere["chain_id"] = 1.into();
    keep(&elsewhere);
    town.refused(4, "signed for chain", &["relay", place, "-a", "dev:3"]);
    keep(&town.json(&["license", asset, &town.research, "--sign", "--valid-for", "0", "-a", "dev:2"]));
    town.refused(4, "have it signed again", &["relay", place, "-a", "dev:3"]);
    std::fs::write(&file, "{}").unwrap();
    town.refused(2, "expected what `--sign` printed", &["relay", place, "-a", "dev:3"]);

    let open = ["channel", "open", asset, "2", "--gateway", "dev:1", "--sign", "-a", "dev:2"];
    keep(&town.json(&open));
    let channel = word(&town.json(&["relay", place, "-a", "dev:3"])["channel"]);
    keep(&town.json(&["channel", "top-up", &channel, "1.5", "--sign", "-a", "dev:2"]));
    assert_eq!(town.json(&["relay", place, "-a", "dev:4"])["channel"], channel);
    let rows = town.json(&["channel", "list"]);
    assert_eq!((&rows[0]["channel"], &rows[0]["balance"]), (&channel.into(), &"3500000".into()), "{rows}");
    let poor = ["channel", "open", asset, "2", "--gateway", "dev:1", "--sign", "-a", "dev:7"];
    town.refused(4, "fund the account", &poor);
    town.json(&["audit"]);
}

#[test]
fn what_strangers_write_on_the_ledger_stops_nobody() {
    let town = Town::new();
    town.json(&["channel", "open", &town.asset, "2", "--gateway", "dev:1", "-a", "dev:2"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::open(&town.data(), &Place::Own(Some(ANY_PORT))).await.unwrap();
        let stranger = client.account("dev:9", || unreachable!()).unwrap();
        let sender = client.chain().sender(stranger.clone());
        let victim = client.address_of("dev:1").unwrap();
        // No units of what is no asset, and of an asset that the victim has nothing to do with.
        for id in [U256::from(1) << 200, U256::from(7)] {
            let from = stranger.address();
            let data = Bytes::new();
            let nothing = Shares::safeTransferFromCall { from, to: victim, id, value: U256::ZERO, data };
            sender.send(&Transaction::call(client.suite().shares, &nothing)).await.unwrap();
        }
        // More than an amount can say, wherever somebody looks for money.
        let till = client.till(town.asset.parse().unwrap(), RevenueKind::Inference).await.unwrap();
        let amount = U256::from(u128::MAX);
        for to in [till, victim, client.suite().royalties] {
            let mint = TestUSD::mintCall { to, amount };
            // What the currency refuses to make is no gift either.
            let _ = sender.send(&Transaction::call(client.currency().token, &mint)).await;
        }
        client.close().await;
    });
    town.license(&town.commercial);
    let collected = town.json(&["collect", "-a", "dev:1"]);
    assert_eq!(collected["claims"][0]["asset"], town.asset, "{collected}");
    town.json(&["shares", "show", &town.asset]);
    town.json(&["account", "list"]);
    town.json(&["audit"]);
}

#[test]
fn a_strangers_words_look_like_no_lines_of_ours() {
    let town = Town::new();
    let file = town.temp.path().join("f");
    std::fs::create_dir(&file).unwrap();
    for part in ["seen", ".hidden"] {
        std::fs::write(file.join(part), "x").unwrap();
    }
    let name = "nice\nasset        0x00000000000000000000000000000bad\u{1b}[2J";
    let published = town.json(&["publish", file.to_str().unwrap(), "--name", name, "-a", "dev:1"]);
    let asset = word(&published["asset"]);
    assert_eq!((&published["files"], &published["hidden"]), (&1.into(), &1.into()), "{published}");
    let shown = crate::support::command(&town.data(), &["show", &asset]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains('\u{1b}') && !shown.contains("\nasset        0x0000"), "{shown}");
    assert!(shown.contains(&format!("\nasset        {asset}")), "{shown}");
}

#[test]
fn a_new_version_keeps_what_the_asset_is_and_both_open_to_later_buyers() {
    let town = Town::new();
    let before = town.license(&town.commercial);
    let work = examples("digits-b");
    let version = ["publish", &work, "--name", "more digits", "--version-of", &town.asset, "-a", "dev:1"];
    let published = town.json(&version);
    assert_eq!((&published["version"], &published["asset"]), (&2.into(), &town.asset.as_str().into()));
    assert!(town.json(&version)["transaction"].is_null(), "repeated it adds no version");
    let after = town.license(&town.commercial);
    let target = |name: &str| town.temp.path().join(name).to_str().unwrap().to_owned();
    town.json(&["get", &before, &target("one"), "-a", "dev:2"]);
    town.refused(
        4,
        "opens the versions 1 to 1",
        &["get", &before, &target("no"), "--version", "2", "-a", "dev:2"],
    );
    assert_eq!(town.json(&["get", &after, &target("two"), "-a", "dev:2"])["version"], 2);
    // What was there when the buyer looked is there after a version came in between.
    assert_eq!(town.json(&["get", &after, &target("old"), "--version", "1", "-a", "dev:2"])["version"], 1);
    let kind =
        ["publish", &work, "--name", "m", "--version-of", &town.asset, "--kind", "model", "-a", "dev:1"];
    town.refused(2, "--kind", &kind);
}

#[test]
fn two_like_commands_at_once_are_two_payments() {
    let town = Town::new();
    pay_four_times_at_once(&town, "4000000");
    let (_node, _) = crate::support::up(&town.data());
    pay_four_times_at_once(&town, "8000000");
}

fn pay_four_times_at_once(town: &Town, received: &str) {
    let pay = ["pay", &town.asset, "1", "-a", "dev:2"];
    let commands: Vec<_> =
        (0..4).map(|_| crate::support::command(&town.data(), &pay).spawn().unwrap()).collect();
    for mut command in commands {
        assert!(command.wait().unwrap().success());
    }
    assert_eq!(town.json(&["audit"])["tokens"][0]["received"], received);
}

#[test]
fn an_operators_part_is_granted_shown_claimed_and_taken_back() {
    let town = Town::new();
    let asset = town.asset.as_str();
    let part = |what: &'static str, bps: &'static str, by: &'static str| {
        ["operator", what, asset, "dev:9", "--bps", bps, "-a", by]
    };
    town.refused(4, "NotController", &part("grant", "1500", "dev:2"));
    town.refused(2, "1..=5000", &part("grant", "5001", "dev:1"));
    let granted = town.json(&part("grant", "1500", "dev:1"));
    assert_eq!((&granted["granted"], &granted["kind"]), (&true.into(), &"inference".into()), "{granted}");
    let events = town.events();
    let again = town.json(&part("grant", "1500", "dev:1"));
    assert_eq!((&again["till"], again["transaction"].is_null()), (&granted["till"], true));
    assert_eq!(town.events(), events, "nothing happened");
    let shown = town.json(&["operator", "show", "dev:9"]);
    assert_eq!((&shown[0]["operator_bps"], &shown[0]["claimable"]), (&1500.into(), &"0".into()), "{shown}");
    assert_eq!(town.json(&["operator", "show", "dev:8"]), serde_json::json!([]));
    assert_eq!(town.json(&["operator", "claim", "-a", "dev:9"]), serde_json::json!([]));
    let revoked = town.json(&part("revoke", "1500", "dev:1"));
    assert_eq!((&revoked["granted"], revoked["transaction"].is_null()), (&false.into(), false));
    assert_eq!(town.json(&["operator", "show", "dev:9", "--asset", asset])[0]["granted"], false);
    assert!(town.json(&part("revoke", "1500", "dev:1"))["transaction"].is_null());
    town.json(&["audit"]);
}
