//! The methods and their limits, one by one, against a real ledger.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use alloy_consensus::{TxEip7702, TxLegacy};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, hex, keccak256};
use alloy_provider::{Provider, ProviderBuilder, RootProvider, WsConnect};
use alloy_signer_local::PrivateKeySigner;
use residual_local_ledger::{BASE_FEE, Config, Genesis, GenesisAccount, LocalLedger, OpenError, Opening};
use serde_json::{Value, json};
use support::{
    Client, Unsigned, counter, deploying, development_ledger, key, number, sign_hash, signed, transaction,
};

const SOMEBODY: Address = address!("00000000000000000000000000000000005eED01");

struct Fixture {
    _dir: tempfile::TempDir,
    ledger: LocalLedger,
    client: Client,
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let ledger = development_ledger(dir.path()).await;
    let client = Client::new(&ledger.rpc_url());
    Fixture { _dir: dir, ledger, client }
}

impl Fixture {
    fn tx(&self, nonce: u64, to: TxKind, value: u64, input: impl Into<Bytes>) -> Bytes {
        signed(transaction(self.ledger.chain_id(), nonce, to, value, input).into(), &key(0))
    }

    async fn deploy(&self, nonce: u64, init: Vec<u8>) -> Address {
        let receipt = self.client.send_ok(&self.tx(nonce, TxKind::Create, 0, init)).await;
        support::address(&receipt["contractAddress"])
    }

    async fn refused(&self, raw: &Bytes, why: &str) {
        let e = self.client.send(raw).await.expect_err("refused");
        assert_eq!(e["code"], -32000, "{e}");
        assert!(e["message"].as_str().unwrap().contains(why), "{e} should say {why:?}");
    }
}

#[tokio::test]
async fn the_past_stays_readable_at_every_block() {
    let f = fixture().await;
    let contract = f.deploy(0, counter(7)).await;
    for nonce in 1..=5 {
        f.client.send_ok(&f.tx(nonce, TxKind::Call(contract), 0, vec![])).await;
        f.client
            .send_ok(&signed(
                transaction(f.ledger.chain_id(), nonce - 1, TxKind::Call(SOMEBODY), 10, vec![]).into(),
                &key(1),
            ))
            .await;
    }
    let returns_slot_0 = "0x5f545f5260205ff3";
    for round in 0..=5u64 {
        let at = format!("{:#x}", 1 + 2 * round);
        let slot = f.client.get("eth_getStorageAt", json!([contract, "0x0", at])).await;
        assert_eq!(slot, json!(B256::from(U256::from(round))));
        let balance = f.client.get("eth_getBalance", json!([SOMEBODY, at])).await;
        assert_eq!(number(&balance), 10 * round);
        let overrides = json!({ contract.to_string(): { "code": returns_slot_0 } });
        let called = f.client.get("eth_call", json!([{ "to": contract }, at, overrides])).await;
        assert_eq!(called, json!(B256::from(U256::from(round))));
        let nonce = f.client.get("eth_getTransactionCount", json!([key(0).address(), at])).await;
        assert_eq!(number(&nonce), round + 1);
    }
    let before = f.client.get("eth_getCode", json!([contract, "earliest"])).await;
    assert_eq!(before, "0x");
    let future = f.client.ask("eth_getBalance", json!([SOMEBODY, "0xffff"])).await.unwrap_err();
    assert!(future["message"].as_str().unwrap().contains("header not found"), "{future}");
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_a_reason() {
    let f = fixture().await;
    let chain_id = f.ledger.chain_id();
    let plain = || transaction(chain_id, 0, TxKind::Call(SOMEBODY), 1, vec![]);
    let sign = |tx: Unsigned| signed(tx, &key(0));

    f.refused(&Bytes::from_static(b"\x02junk"), "does not decode").await;
    f.refused(&Bytes::new(), "does not decode").await;
    f.refused(&Bytes::from_static(b"\x03\xc0"), "blob").await;
    f.refused(&vec![2; 128 * 1024 + 1].into(), "limit").await;
    f.refused(&sign(transaction(1, 0, TxKind::Call(SOMEBODY), 1, vec![]).into()), "invalid chain id").await;
    let legacy = TxLegacy { gas_limit: 21_000, gas_price: 2_000_000_000, ..TxLegacy::default() };
    f.refused(&sign(legacy.into()), "replay-protected").await;
    let mut tx = plain();
    tx.max_fee_per_gas = u128::from(BASE_FEE) - 1;
    f.refused(&sign(tx.into()), "less than block base fee").await;
    let mut tx = plain();
    tx.max_priority_fee_per_gas = tx.max_fee_per_gas + 1;
    f.refused(&sign(tx.into()), "priority").await;
    let mut tx = plain();
    tx.gas_limit = 20_999;
    f.refused(&sign(tx.into()), "intrinsic gas too low").await;
    let mut tx = plain();
    tx.gas_limit = (1 << 24) + 1;
    f.refused(&sign(tx.into()), "over the limit").await;
    let mut tx = plain();
    tx.value = U256::MAX;
    f.refused(&sign(tx.into()), "").await;
    let poor = PrivateKeySigner::random();
    f.refused(&signed(plain().into(), &poor), "insufficient funds").await;

    f.client.send_ok(&sign(plain().into())).await;
    f.refused(&sign(plain().into()), "already known").await;
    let mut tx = plain();
    tx.value = U256::from(2);
    f.refused(&sign(tx.into()), "nonce too low").await;
    assert_eq!(f.ledger.block_number(), 1, "nothing but the one that was taken made a block");
}

/// A transaction with a future nonce is persisted or refused, never acknowledged and forgotten (LED-1).
#[tokio::test]
async fn early_transactions_wait_on_disk_for_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = development_ledger(dir.path()).await;
    let client = Client::new(&ledger.rpc_url());
    let chain_id = ledger.chain_id();
    let tx = |nonce, value| {
        signed(transaction(chain_id, nonce, TxKind::Call(SOMEBODY), value, vec![]).into(), &key(0))
    };
    let early: Vec<B256> =
        [client.send(&tx(2, 1)).await.unwrap(), client.send(&tx(1, 1)).await.unwrap()].to_vec();
    assert_eq!(ledger.block_number(), 0);
    let e = client.send(&tx(2, 1)).await.unwrap_err();
    assert!(e["message"].as_str().unwrap().contains("already known"), "{e}");
    let e = client.send(&tx(2, 5)).await.unwrap_err();
    assert!(e["message"].as_str().unwrap().contains("replacement transaction underpriced"), "{e}");
    let seen = client.get("eth_getTransactionByHash", json!([early[0]])).await;
    assert_eq!(seen["blockNumber"], Value::Null);
    ledger.shutdown().await;

    let ledger = development_ledger(dir.path()).await;
    let client = Client::new(&ledger.rpc_url());
    assert_eq!(ledger.opening(), Opening::Continued);
    client.send_ok(&tx(0, 1)).await;
    for hash in early {
        assert_eq!(client.receipt(hash).await["blockNumber"], "0x1");
    }
    let pending = client.get("eth_getTransactionCount", json!([key(0).address(), "pending"])).await;
    assert_eq!(number(&pending), 3);

    let e = client.ask("eth_sendRawTransactionSync", json!([tx(4, 1), "0x1"])).await.unwrap_err();
    assert_eq!((&e["code"], &e["data"]), (&json!(4), &json!(keccak256(tx(4, 1)))));
    let mined = client.get("eth_sendRawTransactionSync", json!([tx(3, 1)])).await;
    assert_eq!(mined["transactionHash"], json!(keccak256(tx(3, 1))));

    for nonce in 6..6 + 64 {
        client.send(&tx(nonce, 1)).await.unwrap();
    }
    let e = client.send(&tx(100, 1)).await.unwrap_err();
    assert!(e["message"].as_str().unwrap().contains("txpool is full"), "{e}");
}

#[tokio::test]
async fn who_cannot_pay_cannot_wait() {
    let f = fixture().await;
    let early = |value: U256, key: &PrivateKeySigner| {
        let mut tx = transaction(f.ledger.chain_id(), 7, TxKind::Call(SOMEBODY), 0, vec![]);
        tx.value = value;
        signed(tx.into(), key)
    };
    let poor = PrivateKeySigner::random();
    f.refused(&early(U256::ZERO, &poor), "insufficient funds for gas * price + value: balance 0").await;

    // To the last wei: what the gas may cost, and the value.
    let gas = U256::from(1_000_000) * U256::from(2 * BASE_FEE);
    let mut gift = transaction(f.ledger.chain_id(), 0, TxKind::Call(poor.address()), 0, vec![]);
    gift.value = gas + U256::from(5);
    f.client.send_ok(&signed(gift.into(), &key(0))).await;
    f.refused(&early(U256::from(6), &poor), "insufficient funds").await;
    f.refused(&early(U256::MAX, &poor), "insufficient funds").await;
    f.client.send(&early(U256::from(5), &poor)).await.unwrap();
}

/// A queue that somebody fills takes neither room nor time without end, and lets in what is nearer to its turn; what it
/// keeps is on disk (LED-1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_bounded_answers_at_once_and_displaces_the_farthest() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = development_ledger(dir.path()).await;
    let client = Client::new(&ledger.rpc_url());
    let chain_id = ledger.chain_id();
    let large = |sender: usize, nonce: u64, fee: u64| {
        let mut tx = transaction(chain_id, nonce, TxKind::Call(SOMEBODY), 0, vec![0; 127_900]);
        (tx.gas_limit, tx.max_fee_per_gas) = (2_000_000, u128::from(fee * BASE_FEE));
        signed(tx.into(), &key(sender))
    };
    // 16 MiB have room for 131 of them.
    let mut sent = Vec::new();
    let mut flight = tokio::task::JoinSet::new();
    for (sender, nonce) in (1..=64).flat_map(|nonce| [(0, nonce), (1, nonce)]).chain((1..=3).map(|n| (2, n)))
    {
        let raw = large(sender, nonce, 2);
        sent.push((nonce, keccak256(&raw)));
        let client = client.clone();
        flight.spawn(async move { client.send(&raw).await.unwrap() });
    }
    flight.join_all().await;
    let waits = async |client: &Client, hash: B256| {
        !client.get("eth_getTransactionByHash", json!([hash])).await.is_null()
    };

    let unknown = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionByHash","params":["0x{}"]}"#;
    let unknown = unknown.replace("{}", &"ab".repeat(32));
    let batch = format!("[{}]", vec![unknown; 256].join(","));
    let headers = "Host: localhost\r\nContent-Type: application/json\r\n";
    let began = std::time::Instant::now();
    let (status, answer) = post(ledger.address(), headers, &batch);
    assert_eq!((status, answer.matches(r#""result":null"#).count()), (200, 256));
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "took {:?}", began.elapsed());

    let e = client.send(&large(3, 65, 2)).await.unwrap_err();
    assert!(e["message"].as_str().unwrap().contains("txpool is full"), "{e}");
    let near = [client.send(&large(3, 1, 2)).await.unwrap(), client.send(&large(3, 2, 2)).await.unwrap()];
    // In the place of another with its nonce, and so of nothing else.
    let replaced = client.send(&large(3, 2, 3)).await.unwrap();
    assert!(!waits(&client, near[1]).await);
    for (nonce, hash) in &sent {
        assert_eq!(waits(&client, *hash).await, *nonce < 64, "nonce {nonce}");
    }
    ledger.shutdown().await;

    let ledger = development_ledger(dir.path()).await;
    let client = Client::new(&ledger.rpc_url());
    for (nonce, hash) in &sent {
        assert_eq!(waits(&client, *hash).await, *nonce < 64, "nonce {nonce} after a restart");
    }
    assert!(
        waits(&client, near[0]).await && waits(&client, replaced).await && !waits(&client, near[1]).await
    );
    let whole = client.get("eth_getRawTransactionByHash", json!([replaced])).await;
    assert_eq!(whole, json!(large(3, 2, 3)));
    client.send_ok(&large(3, 0, 2)).await;
    for hash in [near[0], replaced] {
        let seen = client.get("eth_getTransactionByHash", json!([hash])).await;
        assert_eq!((&seen["blockNumber"], &seen["from"]), (&json!("0x1"), &json!(key(3).address())));
    }
}

#[tokio::test]
async fn reverts_carry_their_data() {
    let f = fixture().await;
    // revert(Error("no")) by code that copies its calldata out.
    let reverts = f.deploy(0, deploying(&hex!("365f5f37365ffd"))).await;
    let data = format!("0x08c379a0{:064x}{:064x}{}{}", 32, 2, hex::encode("no"), "0".repeat(60));
    for method in ["eth_call", "eth_estimateGas"] {
        let e = f.client.ask(method, json!([{ "to": reverts, "data": data }])).await.unwrap_err();
        assert_eq!(e["code"], 3);
        assert_eq!(e["message"], "execution reverted: no");
        assert_eq!(e["data"], data);
    }
    let e = f.client.ask("eth_call", json!([{ "to": reverts }])).await.unwrap_err();
    assert_eq!(
        (&e["code"], &e["message"], &e["data"]),
        (&json!(3), &json!("execution reverted"), &json!("0x"))
    );
}

#[tokio::test]
async fn calls_are_bounded_in_gas_and_estimates_suffice() {
    let f = fixture().await;
    let forever = f.deploy(0, deploying(&hex!("5b5f56"))).await;
    let e = f.client.ask("eth_call", json!([{ "to": forever, "gas": "0xffffffffffff" }])).await.unwrap_err();
    assert_eq!(e["message"], "out of gas");
    let e = f.client.ask("eth_estimateGas", json!([{ "to": forever }])).await.unwrap_err();
    assert!(e["message"].as_str().unwrap().contains("gas required exceeds allowance"), "{e}");

    let contract = f.deploy(1, counter(1)).await;
    let gas = number(&f.client.get("eth_estimateGas", json!([{ "to": contract }])).await);
    let mut tx = transaction(f.ledger.chain_id(), 2, TxKind::Call(contract), 0, vec![]);
    tx.gas_limit = gas;
    let used = number(&f.client.send_ok(&signed(tx.into(), &key(0))).await["gasUsed"]);
    assert!(used <= gas && gas < used * 12 / 10, "{used} used, {gas} estimated");
    let plain = f
        .client
        .get("eth_estimateGas", json!([{ "from": key(0).address(), "to": SOMEBODY, "value": "0x1" }]))
        .await;
    assert_eq!(plain, "0x5208");
    let poor = json!([{ "from": SOMEBODY, "to": contract, "value": "0x1" }]);
    let e = f.client.ask("eth_estimateGas", poor).await.unwrap_err();
    assert!(e["message"].as_str().unwrap().contains("insufficient funds"), "{e}");

    let list = f.client.get("eth_createAccessList", json!([{ "to": contract }])).await;
    assert_eq!(list["accessList"][0]["storageKeys"], json!([B256::ZERO]));
}

#[tokio::test]
async fn overrides_change_a_call_and_nothing_else() {
    let f = fixture().await;
    let returns_balance = "0x475f5260205ff3";
    let call = |state: Value| json!([{ "to": SOMEBODY }, "latest", state]);
    let with = json!({ SOMEBODY.to_string(): { "code": returns_balance, "balance": "0x2a" } });
    assert_eq!(f.client.get("eth_call", call(with)).await, json!(B256::from(U256::from(42))));
    assert_eq!(f.client.get("eth_call", call(json!({}))).await, "0x");
    let timestamp = "0x425f5260205ff3";
    let with = json!([{ "to": SOMEBODY }, "latest", { SOMEBODY.to_string(): { "code": timestamp } }, { "time": "0x7" }]);
    assert_eq!(f.client.get("eth_call", with).await, json!(B256::from(U256::from(7))));
    let both = json!({ SOMEBODY.to_string(): { "state": {}, "stateDiff": {} } });
    assert_eq!(f.client.ask("eth_call", call(both)).await.unwrap_err()["code"], -32602);
}

/// Timestamps do not run ahead of the clock, may repeat, and go forward in development mode, also after a restart.
#[tokio::test]
async fn the_clock_is_that_of_the_wall() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = development_ledger(dir.path()).await;
    let client = Client::new(&ledger.rpc_url());
    let wall = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let newest = async |client: &Client| {
        number(&client.get("eth_getBlockByNumber", json!(["latest", false])).await["timestamp"])
    };
    let before = wall();
    for _ in 0..20 {
        client.get("evm_mine", json!([])).await;
        assert!((before..=wall()).contains(&newest(&client).await));
    }
    assert_eq!(client.get("evm_increaseTime", json!([1000])).await, 1000);
    assert_eq!(client.get("evm_increaseTime", json!(["0x1"])).await, 1001);
    let timestamp =
        json!([{ "to": SOMEBODY }, "latest", { SOMEBODY.to_string(): { "code": "0x425f5260205ff3" } }]);
    let called = number(&client.get("eth_call", timestamp).await);
    assert!((before + 1001..=wall() + 1001).contains(&called), "latest runs at the time of now");
    ledger.shutdown().await;
    let ledger = development_ledger(dir.path()).await;
    let client = Client::new(&ledger.rpc_url());
    client.get("evm_mine", json!([])).await;
    assert!((before + 1001..=wall() + 1001).contains(&newest(&client).await));
    assert!(client.ask("evm_increaseTime", json!([u64::MAX])).await.is_err());
}

#[tokio::test]
async fn only_development_mode_moves_the_clock_or_funds_known_keys() {
    let dir = tempfile::tempdir().unwrap();
    let rich = SOMEBODY;
    let storage = [(U256::from(1), U256::from(2))].into();
    let account =
        GenesisAccount { balance: U256::from(5), nonce: 1, code: Bytes::from_static(&[0]), storage };
    let genesis = Genesis { accounts: [(rich, account)].into() };
    let ledger = LocalLedger::open(dir.path(), Config { genesis, ..Config::default() }).await.unwrap();
    assert_eq!(ledger.opening(), Opening::Created);
    let client = Client::new(&ledger.rpc_url());
    for method in ["evm_mine", "evm_increaseTime"] {
        assert_eq!(client.ask(method, json!([1])).await.unwrap_err()["code"], -32601);
    }
    assert_eq!(client.get("eth_getBalance", json!([key(0).address(), "latest"])).await, "0x0");
    assert_eq!(client.get("eth_getBalance", json!([rich, "latest"])).await, "0x5");
    assert_eq!(client.get("eth_getCode", json!([rich, "latest"])).await, "0x00");
    assert_eq!(
        client.get("eth_getStorageAt", json!([rich, "0x1", "latest"])).await,
        json!(B256::with_last_byte(2))
    );
    let chain_id = ledger.chain_id();
    assert!(chain_id >= 1 << 40);
    assert_eq!(number(&client.get("eth_chainId", json!([])).await), chain_id);
    ledger.shutdown().await;
    let e =
        LocalLedger::open(dir.path(), Config { development: true, ..Config::default() }).await.unwrap_err();
    assert!(matches!(e, OpenError::DevelopmentMode { made_with: false }), "{e}");
    let ledger = LocalLedger::open(dir.path(), Config::default()).await.unwrap();
    assert_eq!(ledger.chain_id(), chain_id, "the chain id is kept");
}

#[tokio::test]
async fn logs_are_found_and_limited() {
    let f = fixture().await;
    // Logs zero as its topic, 200 times.
    let many = f.deploy(0, deploying(&hex!("60c85b80 5f5f a1 6001 9003 80 6002 57 00"))).await;
    let counter_a = f.deploy(1, counter(7)).await;
    let mut calls = Vec::new();
    for nonce in 2..2 + 51 {
        calls.push(f.tx(nonce, TxKind::Call(many), 0, vec![]));
    }
    for raw in &calls {
        f.client.send_ok(raw).await;
    }
    f.client.send_ok(&f.tx(53, TxKind::Call(counter_a), 0, vec![])).await;

    let query = |filter: Value| f.client.ask("eth_getLogs", json!([filter]));
    let found = query(json!({ "fromBlock": "0x0", "address": counter_a })).await.unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["topics"], json!([B256::with_last_byte(7)]));
    assert_eq!(found[0]["blockNumber"], json!(format!("{:#x}", f.ledger.block_number())));
    let seven = json!({ "fromBlock": "0x0", "topics": [B256::with_last_byte(7)] });
    assert_eq!(query(seven).await.unwrap().as_array().unwrap().len(), 52);
    let e = query(json!({ "fromBlock": "0x0", "address": many })).await.unwrap_err();
    assert_eq!(e["code"], -32005);
    assert!(e["message"].as_str().unwrap().contains("more than 10000 logs"), "{e}");
    let fits = e["message"].as_str().unwrap();
    let fits: u64 = fits.split("blocks 0 to ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let found =
        query(json!({ "fromBlock": "0x0", "toBlock": format!("{fits:#x}"), "address": many })).await.unwrap();
    assert_eq!(found.as_array().unwrap().len(), 10_000);
    let block = f.client.get("eth_getBlockByNumber", json!(["0x5", false])).await;
    let found = query(json!({ "blockHash": block["hash"] })).await.unwrap();
    assert_eq!(found.as_array().unwrap().len(), 200);
    let indices: Vec<u64> = found.as_array().unwrap().iter().map(|log| number(&log["logIndex"])).collect();
    assert_eq!(indices, (0..200).collect::<Vec<_>>());
    assert_eq!(query(json!({ "fromBlock": "0x3", "toBlock": "0x2" })).await.unwrap_err()["code"], -32602);
    assert_eq!(query(json!({ "fromBlock": "0xffff" })).await.unwrap(), json!([]));
    assert!(query(json!({ "blockHash": B256::ZERO })).await.is_err());
}

#[tokio::test]
async fn filters_tell_each_thing_once() {
    let f = fixture().await;
    let contract = f.deploy(0, counter(9)).await;
    f.client.send_ok(&f.tx(1, TxKind::Call(contract), 0, vec![])).await;
    let logs = f.client.get("eth_newFilter", json!([{ "fromBlock": "0x0", "address": contract }])).await;
    let open = f.client.get("eth_newFilter", json!([{ "topics": [B256::with_last_byte(9)] }])).await;
    let blocks = f.client.get("eth_newBlockFilter", json!([])).await;
    let transactions = f.client.get("eth_newPendingTransactionFilter", json!([])).await;
    let raw = f.tx(2, TxKind::Call(contract), 0, vec![]);
    let receipt = f.client.send_ok(&raw).await;
    let changes = async |id: &Value| f.client.get("eth_getFilterChanges", json!([id])).await;
    assert_eq!(changes(&blocks).await, json!([receipt["blockHash"]]));
    assert_eq!(changes(&transactions).await, json!([keccak256(&raw)]));
    assert_eq!(changes(&logs).await, receipt["logs"]);
    assert_eq!(changes(&open).await, receipt["logs"]);
    for id in [&blocks, &transactions, &logs, &open] {
        assert_eq!(changes(id).await, json!([]));
    }
    let all = f.client.get("eth_getFilterLogs", json!([logs])).await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert!(f.client.ask("eth_getFilterLogs", json!([blocks])).await.is_err());
    assert_eq!(f.client.get("eth_uninstallFilter", json!([logs])).await, true);
    assert_eq!(f.client.get("eth_uninstallFilter", json!([logs])).await, false);
    let e = f.client.ask("eth_getFilterChanges", json!([logs])).await.unwrap_err();
    assert!(e["message"].as_str().unwrap().contains("filter not found"), "{e}");
}

#[tokio::test]
async fn a_filter_that_names_too_much_is_refused() {
    let f = fixture().await;
    let many = |count: u64| -> Vec<Address> {
        (0..count).map(|i| Address::left_padding_from(&i.to_be_bytes())).collect()
    };
    let topics = |count: u64| -> Vec<B256> { (0..count).map(|i| B256::from(U256::from(i))).collect() };
    let most = json!({ "address": many(1000), "topics": [topics(500), topics(500)] });
    let addresses = json!({ "address": many(1001) });
    let positions = json!({ "topics": [topics(500), topics(501)] });
    let ws: RootProvider =
        ProviderBuilder::default().connect_ws(WsConnect::new(f.ledger.ws_url())).await.unwrap();
    let subscribe = async |filter: &Value| {
        let asked = ws.raw_request::<_, Value>("eth_subscribe".into(), json!(["logs", filter])).await;
        asked.map_err(|e| {
            let e = e.as_error_resp().unwrap().clone();
            json!({ "code": e.code, "message": e.message })
        })
    };
    for method in ["eth_newFilter", "eth_getLogs"] {
        f.client.get(method, json!([most])).await;
    }
    subscribe(&most).await.unwrap();
    for (filter, what) in [(&addresses, "1001 addresses"), (&positions, "1001 topics")] {
        let told = [
            f.client.ask("eth_newFilter", json!([filter])).await,
            f.client.ask("eth_getLogs", json!([filter])).await,
            subscribe(filter).await,
        ];
        for e in told.map(Result::unwrap_err) {
            assert_eq!(e["code"], -32005);
            let expected = format!("filter names {what}, the limit is 1000: ask in parts");
            assert_eq!(e["message"], json!(expected));
        }
    }
    let e = ws.raw_request::<_, Value>("eth_subscribe".into(), json!(["syncing"])).await.unwrap_err();
    assert_eq!(e.as_error_resp().unwrap().code, -32602);
}

#[tokio::test]
async fn fee_history_has_the_tips_by_percentile() {
    let f = fixture().await;
    let mut tx = transaction(f.ledger.chain_id(), 0, TxKind::Call(SOMEBODY), 1, vec![]);
    tx.max_priority_fee_per_gas = 5;
    f.client.send_ok(&signed(tx.into(), &key(0))).await;
    f.client.get("evm_mine", json!([])).await;
    let history = f.client.get("eth_feeHistory", json!(["0x2", "latest", [0.0, 50.0]])).await;
    assert_eq!(history["oldestBlock"], "0x1");
    assert_eq!(history["reward"], json!([["0x5", "0x5"], ["0x0", "0x0"]]));
    assert_eq!(history["baseFeePerGas"], json!(["0x3b9aca00", "0x3b9aca00", "0x3b9aca00"]));
    assert_eq!(history["gasUsedRatio"][1], 0.0);
    for bad in [json!([50.0, 0.0]), json!([101.0]), json!([-1.0])] {
        assert_eq!(
            f.client.ask("eth_feeHistory", json!(["0x1", "latest", bad])).await.unwrap_err()["code"],
            -32602
        );
    }
}

/// EIP-7702: an account without code runs another's.
#[tokio::test]
async fn an_account_may_borrow_code() {
    let f = fixture().await;
    let chain_id = f.ledger.chain_id();
    let contract = f.deploy(0, counter(3)).await;
    let authority = key(1);
    let authorization = Authorization { chain_id: U256::from(chain_id), address: contract, nonce: 0 };
    let signature = sign_hash(&authority, authorization.signature_hash());
    let mut tx = TxEip7702 {
        chain_id,
        nonce: 1,
        gas_limit: 200_000,
        max_fee_per_gas: u128::from(BASE_FEE),
        to: authority.address(),
        authorization_list: vec![authorization.into_signed(signature)],
        ..TxEip7702::default()
    };
    let receipt = f.client.send_ok(&signed(tx.clone().into(), &key(0))).await;
    assert_eq!(receipt["logs"][0]["address"], json!(authority.address()));
    let code = f.client.get("eth_getCode", json!([authority.address(), "latest"])).await;
    assert_eq!(code, json!(format!("0xef0100{}", hex::encode(contract))));
    let slot = f.client.get("eth_getStorageAt", json!([authority.address(), "0x0", "latest"])).await;
    assert_eq!(slot, json!(B256::with_last_byte(1)));
    tx.authorization_list.clear();
    f.refused(&signed(tx.into(), &key(0)), "empty auth list").await;
}

/// What a client is told over HTTP, headers and all.
fn post(address: SocketAddr, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "POST / HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n")
        .unwrap();
    // A body that is too long is refused before it has been read, and the connection closed under it.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap();
    (status, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_pages_and_rebound_names_are_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { origins: vec!["http://localhost:3000".into()], ..Config::default() };
    let ledger = LocalLedger::open(dir.path(), config).await.unwrap();
    let ask = r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#;
    let json = "Content-Type: application/json\r\n";
    let send = |headers: &str| post(ledger.address(), &format!("{json}{headers}"), ask);
    assert_eq!(send("Host: localhost\r\n").0, 200);
    assert_eq!(send("Host: evil.example\r\n").0, 403);
    assert_eq!(send("Host: localhost\r\nOrigin: https://evil.example\r\n").0, 403);
    let (status, answer) = send("Host: localhost\r\nOrigin: http://localhost:3000\r\n");
    assert_eq!(status, 200);
    assert!(
        answer.to_lowercase().contains("access-control-allow-origin: http://localhost:3000\r\n"),
        "{answer}"
    );
    // Also the handshake of a WebSocket, to which browsers apply no CORS.
    let upgrade =
        "Host: localhost\r\nOrigin: https://evil.example\r\nUpgrade: websocket\r\nConnection: upgrade\r\n";
    assert_eq!(post(ledger.address(), upgrade, "").0, 403);
    // A form needs no preflight, so its content type is refused.
    assert_eq!(post(ledger.address(), "Host: localhost\r\nContent-Type: text/plain\r\n", ask).0, 415);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_bounded() {
    let f = fixture().await;
    let send =
        |body: &str| post(f.ledger.address(), "Host: localhost\r\nContent-Type: application/json\r\n", body);
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
    let (status, answer) = send(&format!("[{}]", vec![one; 256].join(",")));
    assert_eq!((status, answer.matches("\"result\"").count()), (200, 256));
    let (_, answer) = send(&format!("[{}]", vec![one; 257].join(",")));
    assert!(answer.contains("batch"), "{answer}");
    let (status, _) = send(&format!("{one}{}", " ".repeat(2 * 1024 * 1024)));
    assert_eq!(status, 413);
    let (_, answer) = send(&"[".repeat(100_000));
    assert!(answer.contains("-32700"), "{answer}");
    let (_, answer) = send(r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}"#);
    assert!(answer.contains("-32602"), "{answer}");
    let (_, answer) = send(r#"{"jsonrpc":"2.0","id":1,"method":"eth_getProof","params":[]}"#);
    assert!(answer.contains("-32601"), "{answer}");
    f.client.get("eth_chainId", json!([])).await;
}
