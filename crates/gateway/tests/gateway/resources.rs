//! What can be looked up, and what a quote says.

use residual_client::Till;
use residual_ledger::contracts::{licences::Licences, royalties::Royalties};
use residual_primitives::{Address, Amount, LicenceId, RevenueKind, Terms};
use serde_json::{Value, json};

use crate::support::{Town, commercial, publication};

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_says_what_it_is() {
    let town = Town::new().await;
    let about = town.get("/v1/gateway").await.json();
    let suite = town.client.suite();
    assert_eq!(about["api_version"], "v1");
    assert_eq!(about["chain_id"], town.client.chain().id());
    assert_eq!(about["gateway"], town.account("dev:9").address().to_string());
    assert_eq!(about["contracts"]["licences"], suite.licences.to_string());
    assert_eq!(about["contracts"]["channels"], suite.channels.to_string());
    assert_eq!(about["currency"]["token"], town.client.currency().token.to_string());
    assert_eq!(about["currency"]["decimals"], 6);
    assert_eq!(about["finality"], json!({ "rule": "latest" }));
    assert_eq!(about["key_request_domain"]["name"], "Residual Licences");
    assert_eq!(about["key_request_domain"]["verifyingContract"], suite.licences.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_listed_newest_first_and_in_pages() {
    let town = Town::new().await;
    let publisher = town.account("dev:1");
    let publication = publication(town.temp.path(), &publisher, Vec::new());
    std::fs::write(&publication.path, b"other bytes").unwrap();
    let second =
        town.client.publish_version(&publisher, town.asset, publication, &mut |_, _| {}).await.unwrap();
    let path = format!("/v1/assets/{}/versions", town.asset);
    let all = town.get(&path).await.json();
    assert_eq!(all["total"], 2);
    let expected = |published: &residual_client::PublishedAsset| {
        json!([published.version, published.manifest_cid, published.content_root])
    };
    let listed = |row: &Value| json!([row["version"], row["manifest_cid"], row["content_root"]]);
    assert_eq!(listed(&all["versions"][0]), expected(&second));
    assert_eq!(listed(&all["versions"][1]), expected(&town.published));
    let record = town.client.version_record(town.asset, 2).await.unwrap();
    assert_eq!(all["versions"][0]["key_commitment"], record.key_commitment.0.to_string());
    assert!(all["versions"][0]["block"].as_u64() > all["versions"][1]["block"].as_u64());
    let page = town.get(&format!("{path}?offset=1&limit=1")).await.json();
    assert_eq!((&page["total"], &page["versions"]), (&2.into(), &json!([all["versions"][1]])));
    town.get(&format!("{path}?limit=201")).await.problem(400, "invalid-request");
    town.get("/v1/assets/0x00000000000000000000000000000001/versions").await.problem(404, "not-found");
    town.get("/v1/assets/zebra/versions").await.problem(400, "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_are_shown_with_all_their_fields() {
    let town = Town::new().await;
    let shown = town.get(&format!("/v1/terms/{}", town.commercial)).await.json();
    let expected = json!({
        "terms": town.commercial,
        "rights": ["access", "train", "infer", "derive", "commercial"],
        "versions": "bought",
        "currency": town.client.currency().token.to_string(),
        "price": "25000000",
        "period_s": 0,
        "renewable": false,
        "transferable": true,
        "training_unit_price": "7",
        "inference_unit_price": "100",
        "rates_bps": { "licence": 1000, "training": 1000, "inference": 1000, "resale": 1000 },
        "reach": "all",
        "derivations": 3,
        "supply_cap": 0,
        "eligibility_hook": null,
        "legal_text": "LicenseRef-Residual-Commercial-1.0",
        "text_cid": "0x0155",
    });
    assert_eq!(shown, expected);
    let offers = town.get(&format!("/v1/assets/{}/terms", town.asset)).await.json();
    assert_eq!((&offers["total"], &offers["terms"][0]), (&2.into(), &expected));
    assert_eq!(offers["terms"][1]["terms"], town.subscription.to_string());
    assert_eq!(offers["terms"][1]["versions"], "all-until-expiry");
    town.client.withdraw_offer(&town.account("dev:1"), town.asset, town.commercial).await.unwrap();
    let left = town.get(&format!("/v1/assets/{}/terms?limit=1", town.asset)).await.json();
    assert_eq!((&left["total"], &left["terms"][0]), (&1.into(), &offers["terms"][1]));
    let nobodys = format!("0x{}", "11".repeat(32));
    town.get(&format!("/v1/terms/{nobodys}")).await.problem(404, "not-found");
    town.get("/v1/terms/0x11zz").await.problem(400, "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn licences_are_listed_for_whoever_holds_them_also_after_a_transfer() {
    let town = Town::new().await;
    let (buyer, other) = (town.account("dev:2").address(), town.account("dev:3").address());
    let first = town.license(town.commercial).await;
    let second = town.license(town.commercial).await;
    let held = async |holder: Address, more: &str| {
        let list = town.get(&format!("/v1/licences?holder={holder}{more}")).await.json();
        let ids = list["licences"].as_array().unwrap().iter().map(|row| row["licence"].clone());
        (list["total"].as_u64().unwrap(), ids.collect::<Vec<_>>())
    };
    let ids = |licences: &[LicenceId]| licences.iter().map(|id| json!(id)).collect::<Vec<_>>();
    assert_eq!(held(buyer, "").await, (2, ids(&[first, second])));
    let pass = async |from: &str, to: Address, licence: LicenceId| {
        let from_address = town.account(from).address();
        let call = Licences::transferFromCall { from: from_address, to, tokenId: licence.to_u256() };
        town.send(from, town.client.suite().licences, &call).await;
    };
    pass("dev:2", other, first).await;
    assert_eq!(held(buyer, "").await, (1, ids(&[second])));
    assert_eq!(held(other, "").await, (1, ids(&[first])));
    let shown = town.get(&format!("/v1/licences/{first}")).await.json();
    assert_eq!((&shown["holder"], &shown["terms"]), (&json!(other.to_string()), &json!(town.commercial)));
    assert_eq!((&shown["asset"], &shown["expires_at_s"]), (&json!(town.asset), &Value::Null));
    // There and back again, and from an account to itself.
    pass("dev:3", buyer, first).await;
    pass("dev:2", buyer, second).await;
    assert_eq!(held(buyer, "").await, (2, ids(&[first, second])));
    assert_eq!(held(other, "").await, (0, Vec::new()));
    assert_eq!(held(buyer, "&offset=1&limit=1").await, (2, ids(&[second])));
    assert_eq!(held(buyer, &format!("&asset={}", town.asset)).await.0, 2);
    assert_eq!(held(buyer, "&asset=0x00000000000000000000000000000001").await.0, 0);
    town.get("/v1/licences").await.problem(400, "invalid-request");
    town.get("/v1/licences?holder=0x12").await.problem(400, "invalid-request");
    // One letter's case is wrong, so one digit may be (EIP-55).
    let mistyped = "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    town.get(&format!("/v1/licences?holder={mistyped}")).await.problem(400, "invalid-request");
    town.get(&format!("/v1/licences?holder={buyer}&limit=0")).await.problem(400, "invalid-request");
    let nobodys = LicenceId::new(town.asset, 1, 99);
    town.get(&format!("/v1/licences/{nobodys}")).await.problem(404, "not-found");
    town.get("/v1/licences/7").await.problem(400, "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_says_what_a_licence_and_calls_cost_or_why_not() {
    let town = Town::new().await;
    let quote = async |body: Value| town.post("/v1/quotes", &body).await;
    let (asset, terms) = (town.asset, town.commercial);
    let made = quote(json!({ "asset": asset, "terms": terms, "calls": 1_000 })).await.json();
    assert_eq!(made["licence_price"], "25000000");
    assert_eq!(made["calls_price"], "100000");
    assert_eq!(made["total"], "25100000");
    assert_eq!(made["currency"]["decimals"], 6);
    assert_eq!(made["currency"]["token"], town.client.currency().token.to_string());
    assert_eq!(made["terms"]["terms"], json!(terms));
    assert_eq!(made["block"], town.client.chain().head().await.unwrap().number);
    let plain = quote(json!({ "asset": asset, "terms": terms })).await.json();
    assert_eq!((&plain["calls_price"], &plain["total"]), (&json!("0"), &json!("25000000")));

    let elsewhere = json!({ "asset": "0x00000000000000000000000000000001", "terms": terms });
    quote(elsewhere).await.problem(404, "not-found");
    let nobodys = format!("0x{}", "11".repeat(32));
    quote(json!({ "asset": asset, "terms": nobodys })).await.problem(404, "not-found");
    quote(json!({ "asset": asset })).await.problem(422, "unprocessable");
    quote(json!({ "asset": asset, "terms": terms, "callz": 1 })).await.problem(422, "unprocessable");
    quote(json!({ "asset": asset, "terms": terms, "calls": -1 })).await.problem(422, "unprocessable");
    let mistyped = "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    quote(json!({ "asset": asset, "terms": terms, "recipient": mistyped }))
        .await
        .problem(422, "unprocessable");

    let dear = Amount((1 << 88) - 1);
    let currency = town.client.currency().token;
    let dear = town.offer(&Terms { inference_unit_price: dear, ..commercial(currency) }).await;
    let dear = quote(json!({ "asset": asset, "terms": dear, "calls": u32::MAX })).await.json();
    assert_eq!(dear["calls_price"], (((1_u128 << 88) - 1) * u128::from(u32::MAX)).to_string());

    let last = town.offer(&Terms { supply_cap: 1, ..commercial(currency) }).await;
    quote(json!({ "asset": asset, "terms": last })).await.json();
    town.license(last).await;
    quote(json!({ "asset": asset, "terms": last })).await.problem(409, "sold-out");

    // A contract that is not there lets nobody buy.
    let hook = Address::repeat_byte(0x11);
    let invited = town.offer(&Terms { eligibility_hook: hook, ..commercial(currency) }).await;
    quote(json!({ "asset": asset, "terms": invited })).await.json();
    let recipient = town.account("dev:2").address();
    let asked = json!({ "asset": asset, "terms": invited, "recipient": recipient });
    quote(asked).await.problem(403, "not-eligible");

    town.client.withdraw_offer(&town.account("dev:1"), asset, terms).await.unwrap();
    quote(json!({ "asset": asset, "terms": terms })).await.problem(409, "not-offered");

    town.send("dev:0", town.client.suite().royalties, &Royalties::freezeCall { assetId: asset.to_u256() })
        .await;
    let frozen = quote(json!({ "asset": asset, "terms": town.subscription })).await;
    assert!(frozen.problem(409, "asset-frozen").contains("frozen until"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_shown_as_final_blocks_have_it() {
    let town = Town::new().await;
    let (payer, gateway) = (town.account("dev:2"), town.account("dev:9").address());
    let opened = town
        .client
        .open_channel(
            &payer,
            &Till::own(town.asset, RevenueKind::Inference),
            gateway,
            Amount(2_000_000),
            86_400,
        )
        .await;
    let channel = opened.unwrap().channel;
    let path = format!("/v1/channels/{channel}");
    let shown = town.get(&path).await.json();
    assert_eq!((&shown["balance"], &shown["claimed"]), (&json!("2000000"), &json!("0")));
    assert_eq!(shown["pending_withdrawal"], "0");
    assert_eq!(shown["config"]["payer"], payer.address().to_string());
    assert_eq!(shown["config"]["receiverAuthorizer"], gateway.to_string());
    assert_eq!(shown["config"]["withdrawDelay"], 86_400);
    town.client.close_channel(&payer, channel, false).await.unwrap();
    assert_eq!(town.get(&path).await.json()["pending_withdrawal"], "2000000");
    let nobodys = format!("/v1/channels/0x{}", "11".repeat(32));
    town.get(&nobodys).await.problem(404, "not-found");
    town.get("/v1/channels/0x11").await.problem(400, "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_say_what_was_claimed_and_what_can_be() {
    let town = Town::new().await;
    let publisher = town.account("dev:1");
    let path = format!("/v1/payouts?holder={}", publisher.address());
    let row = async || town.get(&path).await.json()["payouts"][0].clone();
    assert_eq!(town.get(&path).await.json(), json!({ "total": 1, "payouts": [] }), "nothing was earned yet");
    town.license(town.commercial).await;
    let before = row().await;
    let mut expected = json!({
        "asset": town.asset,
        "token": town.client.currency().token.to_string(),
        "claimed": "0",
        "claims": 0,
        "claimable": "25000000",
    });
    assert_eq!(before, expected);
    town.client.claim(&publisher, town.asset).await.unwrap();
    town.license(town.subscription).await;
    town.client.claim(&publisher, town.asset).await.unwrap();
    town.license(town.subscription).await;
    expected["claimed"] = json!("30000000");
    expected["claims"] = json!(2);
    expected["claimable"] = json!("5000000");
    assert_eq!(row().await, expected);
    let of_it = town.get(&format!("{path}&asset={}", town.asset)).await.json();
    assert_eq!(of_it["payouts"][0], expected);
    let stranger = format!("/v1/payouts?holder={}", town.account("dev:7").address());
    assert_eq!(town.get(&stranger).await.json(), json!({ "total": 0, "payouts": [] }));
    let unknown = format!("{path}&asset=0x00000000000000000000000000000001");
    town.get(&unknown).await.problem(404, "not-found");
    town.get(&format!("{path}&limit=51")).await.problem(400, "invalid-request");
}
