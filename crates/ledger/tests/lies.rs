//! Nodes that hiccup, contradict themselves or lie: what they can make a sender do, and what not.

mod support;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use alloy_consensus::{Signed, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use residual_ledger::{
    Account, Address, Chain, Config, LogError, LogQuery, RpcError, Sender, Signature, TransactError, Update,
};
use residual_local_ledger::LocalLedger;
use serde_json::{Value, json};
use support::{
    Between, Reply, Twist, connect, development, embedded, mint, result_of, sender, test_usd, tokens_of,
};
use tempfile::TempDir;

const RECEIVER: Address = Address::repeat_byte(0x77);

/// A ledger, a node that lies before it, and a journal that outlives senders.
struct Town {
    ledger: LocalLedger,
    between: Between,
    /// Goes around the liar.
    honest: Chain,
    /// Asks the liar.
    chain: Chain,
    account: Account,
    token: Address,
    journal: TempDir,
    _dir: TempDir,
}

impl Town {
    async fn new(give_up_after: Duration) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = embedded(dir.path()).await;
        let honest = connect(&ledger).await;
        let token = test_usd(&sender(&honest, 0)).await;
        let between = Between::to(ledger.address()).await;
        let config =
            Config { give_up_after, poll_interval: Duration::from_millis(50), ..development(between.url()) };
        let chain = Chain::connect(config).await.expect("connects");
        let account = chain.development_account(1).expect("development mode");
        let journal = tempfile::tempdir().expect("a directory");
        Self { ledger, between, honest, chain, account, token, journal, _dir: dir }
    }

    /// The program after a restart.
    fn open(&self) -> Sender {
        self.chain.journaled_sender(self.account.clone(), self.journal.path()).expect("opens")
    }

    /// The same key in another program, which asks the ledger itself.
    fn other_program(&self) -> Sender {
        self.honest.sender(self.account.clone())
    }

    async fn paid(&self) -> u64 {
        tokens_of(&self.honest, self.token, RECEIVER).await
    }

    /// What the journal holds of an intent.
    fn signed_for(&self, intent: B256) -> Vec<Signed<TxEip1559>> {
        let path = self.journal.path().join(self.chain.id().to_string());
        let path = path.join(self.account.address().to_string()).join(format!("{intent}.json"));
        let entry: Value = serde_json::from_slice(&std::fs::read(path).expect("is there")).expect("JSON");
        let raws = entry["transactions"].as_array().expect("a list").iter();
        raws.map(|raw| {
            let raw: Bytes = raw.as_str().expect("a text").parse().expect("bytes");
            match TxEnvelope::decode_2718_exact(&raw).expect("a transaction") {
                TxEnvelope::Eip1559(signed) => signed,
                other => panic!("{other:?}"),
            }
        })
        .collect()
    }
}

fn is_sending(method: &str) -> bool {
    method == "eth_sendRawTransaction"
}

/// What nodes and those before them say after they took a transaction, when something went wrong on the way back, or
/// when they gave it to several others and repeat what one of them said.
const AFTERTHOUGHTS: [Reply; 13] = [
    Reply::Http(503, "no server is available"),
    Reply::Http(429, "too many requests"),
    Reply::Http(400, "bad request"),
    Reply::Http(403, "forbidden"),
    Reply::Http(504, ""),
    Reply::Error(-32603, "request timed out"),
    Reply::Error(-32005, "limit exceeded"),
    Reply::Error(-32000, "already known"),
    Reply::Error(-32000, "nonce too low: next nonce 7, tx nonce 6"),
    Reply::Error(-32000, "nonce too high"),
    Reply::Error(-32000, "replacement transaction underpriced"),
    Reply::Error(-32000, "insufficient funds for gas * price + value"),
    Reply::Error(-32601, "the method eth_sendRawTransaction does not exist/is not available"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_command_pays_once_whatever_is_said_after_its_transaction_was_taken() {
    let town = Town::new(Duration::from_secs(2)).await;
    let blocks = town.ledger.block_number();
    for (number, reply) in (1..).zip(AFTERTHOUGHTS) {
        let mut first = Some(reply.clone());
        town.between.twist(move |method, _| match is_sending(method).then(|| first.take()).flatten() {
            Some(reply) => Twist::After(reply),
            None => Twist::Pass,
        });
        let (intent, payment) = (keccak256([number as u8]), mint(town.token, RECEIVER, 5));
        let first = town.open().send_once(intent, &payment).await;
        assert_eq!(town.paid().await, 5 * number, "{reply:?}: {first:?}");
        let again = town.open().send_once(intent, &payment).await.expect("is found");
        if let Ok(first) = first {
            assert_eq!(first, again, "{reply:?}");
        }
        assert_eq!(town.paid().await, 5 * number, "{reply:?}");
        assert_eq!(town.ledger.block_number(), blocks + number, "{reply:?}: one transaction");
        assert_eq!(town.between.sendings() as u64, number, "{reply:?}: nothing was repeated unasked");
        let signed = town.signed_for(intent);
        assert!(signed.iter().any(|signed| *signed.hash() == again.transaction_hash), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_intent_a_hiccup_pays_once_as_well() {
    let town = Town::new(Duration::from_secs(2)).await;
    for (number, reply) in (1..).zip(AFTERTHOUGHTS) {
        let mut first = Some(reply.clone());
        town.between.twist(move |method, _| match is_sending(method).then(|| first.take()).flatten() {
            Some(reply) => Twist::After(reply),
            None => Twist::Pass,
        });
        let sent = town.open().send(&mint(town.token, RECEIVER, 5)).await;
        assert_eq!(town.paid().await, 5 * number, "{reply:?}: {sent:?}");
    }
}

/// Says "nonce too low" to every transaction after passing it on, and shows neither receipts nor transactions.
fn hiding(method: &str, _: &Value) -> Twist {
    match method {
        "eth_sendRawTransaction" => Twist::After(Reply::Error(-32000, "nonce too low")),
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" => {
            Twist::Instead(Reply::Result(Value::Null))
        }
        _ => Twist::Pass,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_passes_on_and_denies_gets_one_payment_however_often_the_command_is_repeated() {
    let town = Town::new(Duration::from_millis(500)).await;
    town.between.twist(hiding);
    let (intent, payment) = (keccak256("once"), mint(town.token, RECEIVER, 5));
    for _ in 0..4 {
        let error = town.open().send_once(intent, &payment).await.expect_err("it is hidden");
        assert!(matches!(error, TransactError::Unresolved { .. }), "{error}");
        assert_eq!(town.paid().await, 5);
    }
    assert_eq!(town.signed_for(intent).len(), 1);
    town.between.mend();
    town.open().send_once(intent, &payment).await.expect("is found");
    assert_eq!(town.paid().await, 5);

    town.between.twist(hiding);
    let error = town.open().send(&payment).await.expect_err("it is hidden");
    assert!(matches!(error, TransactError::Unresolved { .. }), "{error}");
    assert_eq!(town.paid().await, 10);
}

/// The other form of a signature: as good for the curve, refused by the chain (EIP-2).
fn mirrored(signed: &Signed<TxEip1559>) -> Signed<TxEip1559> {
    let order: U256 =
        "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse().expect("a number");
    let signature = signed.signature();
    let mirrored = Signature::new(signature.r(), order - signature.s(), !signature.v());
    Signed::new_unhashed(signed.tx().clone(), mirrored)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_took_a_nonce_cannot_be_forged() {
    let town = Town::new(Duration::from_millis(500)).await;
    // Something real of the account under another nonce, and something real of somebody else.
    let account = town.account.address();
    let ours = town.other_program().send(&mint(town.token, account, 1)).await.expect("mints");
    let theirs = sender(&town.honest, 0).send(&mint(town.token, account, 1)).await.expect("mints");
    let real = |hash: B256| result_of(town.ledger.address(), "eth_getTransactionByHash", json!([hash]));
    let (ours, theirs) = (real(ours.transaction_hash).await, real(theirs.transaction_hash).await);

    // From what was signed, what is ours, and what is theirs.
    type Forge = fn(&Signed<TxEip1559>, Value, Value) -> Value;
    let shown: [(&str, Forge); 5] = [
        ("the account's, of another nonce", |_, ours, _| ours),
        ("the same with the nonce changed", |signed, mut ours, _| {
            ours["nonce"] = json!(format!("{:#x}", signed.tx().nonce));
            ours
        }),
        ("another's under the account's name", |signed, ours, mut theirs| {
            theirs["from"] = ours["from"].clone();
            theirs["nonce"] = json!(format!("{:#x}", signed.tx().nonce));
            theirs
        }),
        ("what was signed, under another hash", |signed, ours, _| {
            let mut shown = serde_json::to_value(TxEnvelope::Eip1559(signed.clone())).expect("JSON");
            shown["from"] = ours["from"].clone();
            shown["hash"] = json!(B256::repeat_byte(9));
            shown
        }),
        ("what was signed, with the signature mirrored", |signed, ours, _| {
            let mirrored = TxEnvelope::Eip1559(mirrored(signed));
            assert_ne!(keccak256(mirrored.encoded_2718()), *signed.hash());
            let mut shown = serde_json::to_value(mirrored).expect("JSON");
            shown["from"] = ours["from"].clone();
            shown
        }),
    ];
    for (number, (name, forge)) in (1..).zip(shown) {
        let sent: Arc<Mutex<Option<Signed<TxEip1559>>>> = Arc::default();
        let (ours, theirs) = (ours.clone(), theirs.clone());
        town.between.twist(move |method, params| {
            let mut sent = sent.lock().expect("no rule panics");
            if is_sending(method) {
                let raw: Bytes = params[0].as_str().expect("a text").parse().expect("bytes");
                let TxEnvelope::Eip1559(signed) = TxEnvelope::decode_2718_exact(&raw).expect("decodes")
                else {
                    panic!("another type")
                };
                *sent = Some(signed);
            }
            match (&*sent, params[1].as_bool()) {
                (Some(signed), Some(true)) if method == "eth_getBlockByNumber" => {
                    let shown = forge(signed, ours.clone(), theirs.clone());
                    Twist::Instead(Reply::Result(json!({ "transactions": [shown] })))
                }
                _ => hiding(method, params),
            }
        });
        let error = town.open().send_once(keccak256(name), &mint(town.token, RECEIVER, 5)).await;
        let error = error.expect_err("it is hidden");
        assert!(matches!(error, TransactError::Unresolved { .. }), "{name}: {error}");
        assert_eq!(town.paid().await, 5 * number, "{name}");
    }
}

/// Has another program take the nonce before each of so many transactions, then passes them on.
fn overtaking(town: &Town, mut times: usize) -> impl FnMut(&str, &Value) -> Twist + Send + use<> {
    let (other, token) = (town.other_program(), town.token);
    move |method, _| {
        if is_sending(method) && times > 0 {
            times -= 1;
            let other = other.clone();
            // The next nonce, asked for each time: this program knows of no other either.
            tokio::task::block_in_place(|| {
                let runtime = tokio::runtime::Handle::current();
                let other = other.chain().sender(other.account().clone());
                let payment = mint(token, Address::repeat_byte(0x66), 1);
                runtime.block_on(async { other.send(&payment).await.expect("overtakes") })
            });
        }
        Twist::Pass
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_another_program_took_is_replaced_once_in_a_command_and_nothing_is_forgotten() {
    let town = Town::new(Duration::from_secs(10)).await;
    let (once, again) = (keccak256("once"), keccak256("again"));
    let payment = mint(town.token, RECEIVER, 5);

    town.between.twist(overtaking(&town, 1));
    let receipt = town.open().send_once(once, &payment).await.expect("is carried out");
    let signed = town.signed_for(once);
    assert_eq!(signed.len(), 2);
    assert_eq!(signed[1].tx().nonce, signed[0].tx().nonce + 1);
    assert_eq!(*signed[1].hash(), receipt.transaction_hash);
    assert_eq!(town.paid().await, 5);

    town.between.twist(overtaking(&town, 100));
    let error = town.open().send_once(again, &payment).await.expect_err("is overtaken");
    assert!(matches!(error, TransactError::NoncesTaken { tries: 2, .. }), "{error}");
    assert_eq!(town.signed_for(again).len(), 2);
    let error = town.open().send_once(again, &payment).await.expect_err("is overtaken");
    assert!(matches!(error, TransactError::NoncesTaken { tries: 1, .. }), "{error}");
    assert_eq!((town.signed_for(again).len(), town.paid().await), (3, 5));
    town.between.mend();
    let receipt = town.open().send_once(again, &payment).await.expect("is carried out");
    assert_eq!(town.open().send_once(again, &payment).await.expect("exists"), receipt);
    assert_eq!((town.signed_for(again).len(), town.paid().await), (4, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_that_do_the_same_at_once_do_it_twice() {
    let town = Town::new(Duration::from_secs(10)).await;
    let payment = mint(town.token, RECEIVER, 5);
    for round in 1..=8 {
        // Two journals: neither knows of the other.
        let others = tempfile::tempdir().expect("a directory");
        let other = |dir: &Path| town.chain.journaled_sender(town.account.clone(), dir).expect("opens");
        let (one, two) = (town.open(), other(others.path()));
        let intent = keccak256([round as u8]);
        let (one, two) = tokio::join!(one.send_once(intent, &payment), two.send_once(intent, &payment));
        let (one, two) = (one.expect("is carried out"), two.expect("is carried out"));
        assert_ne!(one.transaction_hash, two.transaction_hash);
        assert_eq!(town.paid().await, 10 * round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_refused_may_be_changed_and_keeps_its_nonce() {
    let town = Town::new(Duration::from_secs(20)).await;
    let refusal = Reply::Error(-32000, "insufficient funds for gas * price + value");
    let refusing = {
        let refusal = refusal.clone();
        move |method: &str, _: &Value| match is_sending(method) {
            true => Twist::Instead(refusal.clone()),
            false => Twist::Pass,
        }
    };
    let (intent, began) = (keccak256("refused"), Instant::now());
    let (first, second) = (mint(town.token, RECEIVER, 5), mint(town.token, RECEIVER, 6));
    town.between.twist(refusing);
    for payment in [&first, &first, &second] {
        let error = town.open().send_once(intent, payment).await.expect_err("is refused");
        assert!(matches!(error, TransactError::InsufficientFunds { .. }), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "a refusal is not waited out");
    town.between.mend();
    let receipt = town.open().send_once(intent, &second).await.expect("is carried out");
    assert_eq!(town.open().send_once(intent, &second).await.expect("exists"), receipt);
    let other = town.open().send_once(intent, &first).await.expect_err("means something else");
    assert!(matches!(other, TransactError::OtherIntent { .. }), "{other}");
    assert_eq!(town.paid().await, 6);
    let signed = town.signed_for(intent);
    assert!(signed.iter().all(|one| one.tx().nonce == signed[0].tx().nonce) && signed.len() == 4);

    // It was no refusal: what was refused is what was carried out.
    let intent = keccak256("taken");
    town.between.twist(move |method, _| match is_sending(method) {
        true => Twist::After(refusal.clone()),
        false => Twist::Pass,
    });
    town.open().send_once(intent, &first).await.expect_err("is refused, they say");
    let other = town.open().send_once(intent, &second).await.expect_err("means something else");
    assert!(matches!(other, TransactError::OtherIntent { .. }), "{other}");
    town.open().send_once(intent, &first).await.expect("was carried out");
    assert_eq!(town.paid().await, 11);

    // Refused, and another command got its nonce: nothing holds it up.
    let intent = keccak256("late");
    town.between.twist(|method, _| match is_sending(method) {
        true => Twist::Instead(Reply::Error(-32000, "transaction underpriced")),
        false => Twist::Pass,
    });
    let error = town.open().send_once(intent, &first).await.expect_err("is refused");
    assert!(matches!(error, TransactError::Rpc(RpcError::Refused { .. })), "{error}");
    town.other_program().send(&mint(town.token, Address::repeat_byte(0x66), 1)).await.expect("comes between");
    // Nor does a node that keeps no old states.
    let head = town.ledger.block_number();
    town.between.twist(move |method, params| match (method, params[1].as_str()) {
        ("eth_getTransactionCount", Some(block)) if block.starts_with("0x") => {
            Twist::Instead(Reply::Error(-32000, "missing trie node"))
        }
        ("eth_getBlockByNumber", _)
            if params[0] == json!(format!("{head:#x}")) && params[1] == json!(true) =>
        {
            Twist::Instead(Reply::Result(json!({ "transactions": [] })))
        }
        _ => Twist::Pass,
    });
    town.open().send_once(intent, &first).await.expect("is carried out");
    assert_eq!(town.paid().await, 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_old_states_shows_what_is_young_and_says_what_it_lacks() {
    let town = Town::new(Duration::from_millis(600)).await;
    let (young, old) = (keccak256("young"), keccak256("old"));
    let payment = mint(town.token, RECEIVER, 5);
    let between = mint(town.token, Address::repeat_byte(0x66), 1);
    let lost = |method: &str, _: &Value| match is_sending(method) {
        true => Twist::Instead(Reply::Http(502, "bad gateway")),
        false => Twist::Pass,
    };
    for _ in 0..10 {
        town.other_program().send(&between).await.expect("makes blocks");
    }
    for (intent, blocks_since) in [(young, 2), (old, 12)] {
        town.between.twist(lost);
        let error = town.open().send_once(intent, &payment).await.expect_err("never arrives");
        assert!(matches!(error, TransactError::Unresolved { source: Some(_), .. }), "{error}");
        for _ in 0..blocks_since {
            town.other_program().send(&between).await.expect("comes between");
        }
        let oldest = town.ledger.block_number() - 4;
        town.between.twist(move |method, params| match params[1].as_str() {
            Some(block) if method == "eth_getTransactionCount" && block.starts_with("0x") => {
                let block = u64::from_str_radix(&block[2..], 16).expect("a number");
                if block < oldest {
                    return Twist::Instead(Reply::Error(-32000, "missing trie node"));
                }
                Twist::Pass
            }
            _ => Twist::Pass,
        });
        let outcome = town.open().send_once(intent, &payment).await;
        if intent == young {
            outcome.expect("what took the nonce is shown");
            assert_eq!(town.paid().await, 5);
            continue;
        }
        let error = outcome.expect_err("what took the nonce is not shown");
        assert!(error.to_string().contains("missing trie node"), "{error}");
        assert!(matches!(error, TransactError::Unresolved { .. }), "{error}");
        assert_eq!(town.signed_for(intent).len(), 1);
        town.between.mend();
        town.open().send_once(intent, &payment).await.expect("another node shows it");
        assert_eq!(town.paid().await, 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_in_trouble_is_not_flooded() {
    let town = Town::new(Duration::from_secs(1)).await;
    town.between.twist(|method, _| match is_sending(method) {
        true => Twist::Instead(Reply::Error(-32603, "txpool is full")),
        false => Twist::Pass,
    });
    let sent = town.open().send(&mint(town.token, RECEIVER, 5)).await.expect_err("never arrives");
    assert!(sent.to_string().contains("txpool is full"), "{sent}");
    // Once, then every 50 ms for a second.
    let sendings = town.between.sendings();
    assert!((5..=21).contains(&sendings), "{sendings}");
}

/// A block as nodes send it.
fn block(number: u64, timestamp: u64) -> Value {
    json!({
        "number": format!("{number:#x}"), "timestamp": format!("{timestamp:#x}"),
        "hash": B256::repeat_byte(1), "parentHash": B256::repeat_byte(2), "baseFeePerGas": "0x7",
    })
}

/// Answers every request for a block with this one.
fn one_block(block: Value) -> impl FnMut(&str, &Value) -> Twist + Send {
    move |method, _| match method {
        "eth_getBlockByNumber" => Twist::Instead(Reply::Result(block.clone())),
        _ => Twist::Pass,
    }
}

async fn liar(address: SocketAddr) -> (Between, Chain) {
    let between = Between::to(address).await;
    let poll_interval = Duration::from_millis(20);
    let config = Config { poll_interval, ..development(between.url()) };
    let chain = Chain::connect(config).await.expect("connects");
    (between, chain)
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_beyond_belief_are_refused_and_overflow_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let (between, chain) = liar(ledger.address()).await;
    for (number, time) in [(u64::MAX, 1), (u64::MAX - 1, 1), (1 << 40, 1), (1, u64::MAX), (1, 1 << 40)] {
        between.twist(one_block(block(number, time)));
        for error in [chain.head().await, chain.final_head().await] {
            assert!(matches!(error, Err(RpcError::Malformed { .. })), "{number} {time}: {error:?}");
        }
        let query = LogQuery::default();
        let reading = tokio::time::timeout(Duration::from_secs(10), chain.logs(&query, 0, number));
        let error = reading.await.expect("pages have an end").expect_err("no such chain");
        assert!(matches!(error, LogError::Rpc(RpcError::Malformed { .. })), "{error}");
        let mut stream = chain.follow(query, number);
        let next = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("ends");
        assert!(matches!(next, Err(LogError::Rpc(RpcError::Malformed { .. }))), "{next:?}");
    }

    between.twist(one_block(block(6, 1)));
    let other = chain.block(5).await.expect_err("another block");
    assert!(matches!(other, RpcError::Malformed { .. }), "{other}");
    assert_eq!(chain.block(6).await.expect("that one").expect("is there").number, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_with_any_number_is_survived() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = connect(&ledger).await;
    let stale = residual_ledger::Checkpoint { number: u64::MAX, hash: B256::ZERO };
    let mut stream = chain.resume(LogQuery::default(), 0, vec![stale]);
    let next = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("in time");
    assert_eq!(next.expect("goes back"), Update::Reorganised { to_block: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_without_a_next_is_refused() {
    let town = Town::new(Duration::from_secs(1)).await;
    town.between.twist(|method, _| match method {
        "eth_getTransactionCount" => Twist::Instead(Reply::Result(json!("0xffffffffffffffff"))),
        _ => Twist::Pass,
    });
    let error = town.open().send(&mint(town.token, RECEIVER, 5)).await.expect_err("no such nonce");
    assert!(matches!(error, TransactError::Rpc(RpcError::Malformed { .. })), "{error}");
    // The last that may be is signed; it never comes.
    town.between.twist(|method, _| match method {
        "eth_getTransactionCount" => Twist::Instead(Reply::Result(json!("0xfffffffffffffffe"))),
        _ => Twist::Pass,
    });
    let error = town.open().send(&mint(town.token, RECEIVER, 5)).await.expect_err("no such nonce");
    assert!(!matches!(error, TransactError::Reverted { .. }), "{error}");
    assert_eq!(town.paid().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_of_another_transaction_is_refused() {
    let town = Town::new(Duration::from_millis(500)).await;
    let other = town.other_program().send(&mint(town.token, RECEIVER, 1)).await.expect("mints");
    let asked = json!([other.transaction_hash]);
    let receipt = result_of(town.ledger.address(), "eth_getTransactionReceipt", asked).await;
    assert!(receipt["blockNumber"].is_string());
    town.between.twist(move |method, _| match method {
        "eth_getTransactionReceipt" => Twist::Instead(Reply::Result(receipt.clone())),
        method if is_sending(method) => Twist::Instead(Reply::Result(json!(B256::ZERO))),
        _ => Twist::Pass,
    });
    let error = town.chain.receipt(B256::repeat_byte(3)).await.expect_err("another's");
    assert!(matches!(error, RpcError::Malformed { .. }), "{error}");
    let error = town.open().send(&mint(town.token, RECEIVER, 5)).await.expect_err("is in no block");
    assert!(matches!(error, TransactError::Unresolved { .. }), "{error}");
}
