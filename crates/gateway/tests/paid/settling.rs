//! What is not worth its gas, what gas is given for others, and who claims beyond what was used.
#![expect(clippy::unwrap_used, reason = "a helper of tests that fails is a failed test")]

use std::time::{Duration, Instant};

use residual_client::{AuditError, UsageDifference, WrittenOff};
use residual_gateway::{Config, PaymentRules};
use residual_ledger::{
    SolValue, Transaction,
    contracts::{
        CANONICAL_CHANNELS,
        channels::{Channels, IChannels},
        test_usd::TestUSD,
        transfer_deposit_collector as collector,
    },
};
use residual_primitives::{
    Amount, B256, Bytes, U256,
    signed::{ChannelConfig, Voucher},
};
use residual_x402::{
    PAYMENT_REQUIRED, PaymentPayload, PaymentRequired, VERSION,
    batch::{self, Deposit, DepositAuthorization, DepositConsent, Payload, WireVoucher},
    decode, encode, exact,
};

use crate::{
    raw::{paid, send},
    support::{PRICE, World, plenty},
};

/// A thousand dollars a coin: at the embedded ledger's gwei a row that is claimed alone costs some 0.05.
const COIN_PRICE: Amount = Amount(1_000_000_000);

async fn asked(world: &World, gateway: &residual_gateway::Gateway) -> PaymentRequired {
    let unpaid = send(world.call(gateway, &world.digits[0])).await;
    decode(unpaid.headers()[PAYMENT_REQUIRED].as_bytes(), "what is asked for").unwrap()
}

/// Waits until `what` holds; the gateway works in the background.
async fn eventually(what: impl AsyncFn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what().await {
        assert!(Instant::now() < end, "expected it within 20 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// AUD-1: what is worth less than its gas when the payer withdraws is written off: recorded for good, unclaimed no more,
/// shown, and no difference to the audit.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_worth_its_gas_is_written_off_and_recorded() {
    let world = World::new().await;
    let cap = Amount(PRICE.0 * 3);
    let config = || Config { coin_price: Some(COIN_PRICE), unclaimed_cap: cap, ..world.config() };
    let gateway = world.open_with(config()).await;
    let (leaving, staying) = (world.payer(2, plenty()).await, world.payer(3, plenty()).await);
    let call = || world.call(&gateway, &world.digits[0]);
    let mut channel = B256::ZERO;
    for _ in 0..3 {
        let paid = leaving.call(call()).await.unwrap();
        assert_eq!(paid.charged, PRICE);
        channel = paid.channel.unwrap();
    }
    assert_eq!(staying.call(call()).await.unwrap().response.status(), 503, "as much is unclaimed as may be");
    gateway.settle().await;
    let escrow = world.client.escrow(channel).await.unwrap();
    assert_eq!(escrow.total_claimed, Amount::ZERO, "not worth its gas");

    drop(leaving);
    world.client.close_channel(&world.account(2), channel, true).await.unwrap();
    let list = format!("/v1/assets/{}/usage", world.model.asset);
    eventually(async || {
        gateway.settle().await;
        world.get(&gateway, &list).await["total"] == 4
    })
    .await;
    let newest = &world.get(&gateway, &list).await["uses"][0];
    let shown = (&newest["lane"], &newest["source"], &newest["units"], &newest["amount"]);
    assert_eq!(
        shown,
        (&"written-off".into(), &channel.to_string().into(), &0.into(), &cap.to_string().into())
    );
    assert_eq!(staying.call(call()).await.unwrap().charged, PRICE, "there is room again");
    gateway.shut_down().await.unwrap();

    // A restart forgets nothing of it.
    let gateway = world.open_with(config()).await;
    for _ in 0..2 {
        assert_eq!(staying.call(world.call(&gateway, &world.digits[1])).await.unwrap().charged, PRICE);
    }
    let full = staying.call(world.call(&gateway, &world.digits[1])).await.unwrap();
    assert_eq!(full.response.status(), 503);
    gateway.shut_down().await.unwrap();

    let audited = world.client.audit().await.unwrap().usage;
    let written_off = WrittenOff {
        gateway: world.account(9).address(),
        channel,
        asset: world.model.asset,
        token: world.client.currency().token,
        amount: cap,
    };
    assert_eq!((audited.written_off, audited.outstanding), (vec![written_off], cap));

    // Where gas is for nothing it is worth claiming all the same, and then nothing was given up.
    let gateway = world.open().await;
    gateway.settle().await;
    gateway.shut_down().await.unwrap();
    let escrow = world.client.escrow(channel).await.unwrap();
    assert_eq!(escrow.total_claimed, cap);
    let audited = world.client.audit().await.unwrap().usage;
    assert_eq!((audited.written_off, audited.outstanding), (vec![], Amount::ZERO));
}

/// A call that costs less than the gas of a transfer of its own is not offered for one, and refused by its exact name.
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_asked_for_only_when_the_call_is_worth_its_gas() {
    let world = World::new().await;
    let free = world.open().await;
    let ways = asked(&world, &free).await.accepts;
    let schemes: Vec<_> = ways.iter().map(|way| way.scheme.as_str()).collect();
    assert_eq!(schemes, [batch::SCHEME, exact::SCHEME]);
    free.shut_down().await.unwrap();

    let gateway = world.open_with(Config { coin_price: Some(COIN_PRICE), ..world.config() }).await;
    let required = asked(&world, &gateway).await;
    assert_eq!(required.accepts.len(), 1);
    assert_eq!(required.accepts[0].scheme, batch::SCHEME);
    let payment = encode(&PaymentPayload {
        x402_version: VERSION,
        resource: None,
        accepted: ways[1].clone(),
        payload: serde_json::json!({}),
        extensions: None,
    });
    let refused = send(paid(world.call(&gateway, &world.digits[0]), &payment)).await;
    assert_eq!(refused.status(), 402);
    let why: PaymentRequired =
        decode(refused.headers()[PAYMENT_REQUIRED].as_bytes(), "what is asked for").unwrap();
    assert_eq!(why.error.unwrap(), exact::reason::REFUSED);
    let body = String::from_utf8(refused.bytes().await.unwrap().to_vec()).unwrap();
    assert!(body.contains("pay by batch-settlement"), "{body}");
    gateway.shut_down().await.unwrap();
}

/// Gas is given by the gas, so much an hour.
#[tokio::test(flavor = "multi_thread")]
async fn gas_for_others_is_counted_in_gas() {
    let world = World::new().await;
    let with = |sponsored_gas_per_hour| Config {
        payments: PaymentRules { sponsored_gas_per_hour, ..PaymentRules::default() },
        ..world.config()
    };
    let payer = world.payer(2, plenty()).await;
    let gateway = world.open_with(with(50_000)).await;
    let refused = payer.call(world.call(&gateway, &world.digits[0])).await.unwrap();
    assert_eq!((refused.response.status().as_u16(), refused.charged), (503, Amount::ZERO));
    assert!(refused.response.headers().contains_key("retry-after"));
    gateway.shut_down().await.unwrap();
    let gateway = world.open_with(with(300_000)).await;
    let served = payer.call(world.call(&gateway, &world.digits[0])).await.unwrap();
    assert_eq!((served.response.status().as_u16(), served.charged), (200, PRICE));
    gateway.shut_down().await.unwrap();
}

/// The creation code of a wallet that finds every signature good (ERC-1271), after so many turns of some 26 gas.
fn wallet(turns: u32) -> Vec<u8> {
    let [_, a, b, c] = turns.to_be_bytes();
    let mut runtime = vec![0x62, a, b, c, 0x5b, 0x60, 0x01, 0x90, 0x03, 0x80, 0x60, 0x04, 0x57];
    runtime.extend([0x63, 0x16, 0x26, 0xba, 0x7e, 0x60, 0xe0, 0x1b, 0x60, 0x00, 0x52]);
    runtime.extend([0x60, 0x20, 0x60, 0x00, 0xf3]);
    let mut creation = vec![0x60, runtime.len() as u8, 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    creation.extend(runtime);
    creation
}

/// A payer with code decides what its signature costs to check: more than an honest one's is not carried.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_whose_signature_is_dear_pays_its_own_gas() {
    let world = World::new().await;
    let gateway = world.open().await;
    let (client, key) = (&world.client, world.account(2));
    let required = asked(&world, &gateway).await;
    let way = required.accepts[0].clone();
    let extra: batch::Extra = serde_json::from_value(way.extra.clone().into()).unwrap();
    let mut answers = Vec::new();
    for turns in [100, 20_000] {
        let sender = client.chain().sender(world.account(7));
        let data = wallet(turns).into();
        let creation = Transaction { to: None, data, value_wei: U256::ZERO, gas_max: None };
        let payer = sender.send(&creation).await.unwrap().contract_address.unwrap();
        let mint = TestUSD::mintCall { to: payer, amount: U256::from(10_000_000) };
        sender.send(&Transaction::call(way.asset, &mint)).await.unwrap();
        let config = ChannelConfig {
            payer,
            payerAuthorizer: key.address(),
            receiver: way.pay_to,
            receiverAuthorizer: extra.receiver_authorizer,
            token: way.asset,
            withdrawDelay: extra.withdraw_delay.try_into().unwrap(),
            salt: B256::ZERO,
        };
        let channel = client.channels().channel_id(&config);
        let signed = Voucher { channelId: channel, maxClaimableAmount: PRICE.0 };
        let signature = key.sign_hash(client.channels().voucher_digest(&signed)).as_bytes();
        let payload = Payload::Deposit {
            channel_config: (&config).into(),
            voucher: WireVoucher {
                channel_id: channel,
                max_claimable_amount: PRICE,
                signature: Bytes::copy_from_slice(&signature),
            },
            deposit: Deposit {
                amount: extra.min_deposit,
                authorization: DepositConsent {
                    erc3009_authorization: Some(DepositAuthorization {
                        valid_after: 0,
                        valid_before: residual_client::now_s() + 100,
                        salt: B256::ZERO,
                        signature: Bytes::from_static(&[1; 65]),
                    }),
                },
            },
        };
        let payment = encode(&PaymentPayload {
            x402_version: VERSION,
            resource: None,
            accepted: way.clone(),
            payload: serde_json::to_value(payload).unwrap(),
            extensions: None,
        });
        let response = send(paid(world.call(&gateway, &world.digits[0]), &payment)).await;
        let status = response.status().as_u16();
        answers.push((status, String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap()));
        let left = if status == 200 { 10_000_000 - extra.min_deposit.0 } else { 10_000_000 };
        assert_eq!(world.balance(payer).await, Amount(left));
    }
    assert_eq!(answers[0].0, 200, "a wallet with code is as good as any: {}", answers[0].1);
    assert_eq!(answers[1].0, 402);
    assert!(answers[1].1.contains("at most 300000 gas"), "{}", answers[1].1);
    gateway.shut_down().await.unwrap();
}

/// AUD-1: a claim is held to the records of whose key has signed for it, whoever sends it.
#[tokio::test(flavor = "multi_thread")]
async fn aud_1_a_claim_that_another_sends_is_held_to_the_gateways_records() {
    let world = World::new().await;
    let gateway = world.open().await;
    let client = &world.client;
    let payer = world.payer(2, plenty()).await;
    let channel = payer.call(world.call(&gateway, &world.digits[0])).await.unwrap().channel.unwrap();
    gateway.shut_down().await.unwrap();
    client.audit().await.unwrap();

    // A channel that names the gateway's key, toward its payer's own account: what is claimed there is nobody else's business.
    let config = client.channel_on_ledger(channel).await.unwrap().unwrap().config.unwrap();
    let (me, key) = (world.account(2), world.account(9));
    let beside = ChannelConfig { receiver: me.address(), ..config.clone() };
    deposit(&world, &beside).await;
    let claim = Channels::claimCall { voucherClaims: vec![row(&world, &beside, PRICE.0)] };
    client.chain().sender(me).send(&Transaction::call(CANONICAL_CHANNELS, &claim)).await.unwrap();
    client.audit().await.unwrap();

    // Payer and gateway agree to more than was used, and a third party carries it.
    let rows = vec![row(&world, &config, PRICE.0 * 7)];
    let digest = Channels::getClaimBatchDigestCall { voucherClaims: rows.clone() };
    let digest = client.chain().call(CANONICAL_CHANNELS, &digest).await.unwrap();
    let signature = Bytes::copy_from_slice(&key.sign_hash(digest).as_bytes());
    let claim = Channels::claimWithSignatureCall { voucherClaims: rows, authorizerSignature: signature };
    let relay = client.chain().sender(world.account(5));
    relay.send(&Transaction::call(CANONICAL_CHANNELS, &claim)).await.unwrap();
    match client.audit().await.unwrap_err() {
        AuditError::Usage(UsageDifference::ClaimedBeyond {
            gateway,
            channel: found,
            claimed,
            beyond,
            ..
        }) => {
            assert_eq!((gateway, found), (key.address(), channel));
            assert_eq!((claimed, beyond), (Amount(PRICE.0 * 7), Amount(PRICE.0 * 6)));
        }
        other => panic!("{other}"),
    }
}

/// dev:2 deposits with gas of its own.
async fn deposit(world: &World, config: &ChannelConfig) {
    let at = world.client.suite().transfer_collector;
    let sender = world.client.chain().sender(world.account(2));
    let approve = TestUSD::approveCall { spender: at, value: U256::from(100_000) };
    sender.send(&Transaction::call(config.token, &approve)).await.unwrap();
    let config = collector::IChannels::ChannelConfig::abi_decode(&on_ledger(config).abi_encode()).unwrap();
    let call = collector::TransferDepositCollector::depositCall { config, amount: 100_000 };
    sender.send(&Transaction::call(at, &call)).await.unwrap();
}

/// A row that claims up to `total`, with dev:2's voucher for it.
fn row(world: &World, config: &ChannelConfig, total: u128) -> IChannels::VoucherClaim {
    let channels = world.client.channels();
    let voucher = Voucher { channelId: channels.channel_id(config), maxClaimableAmount: total };
    let signature = world.account(2).sign_hash(channels.voucher_digest(&voucher)).as_bytes();
    IChannels::VoucherClaim {
        voucher: IChannels::Voucher { channel: on_ledger(config), maxClaimableAmount: total },
        signature: Bytes::copy_from_slice(&signature),
        totalClaimed: total,
    }
}

fn on_ledger(config: &ChannelConfig) -> IChannels::ChannelConfig {
    IChannels::ChannelConfig {
        payer: config.payer,
        payerAuthorizer: config.payerAuthorizer,
        receiver: config.receiver,
        receiverAuthorizer: config.receiverAuthorizer,
        token: config.token,
        withdrawDelay: config.withdrawDelay,
        salt: config.salt,
    }
}
