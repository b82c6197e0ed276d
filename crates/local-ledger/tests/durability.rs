//! LED-1: kill -9 at any moment, and every acknowledged transaction is there after a restart, every block whole.
//! And the other ways in which a data directory can be wrong.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_consensus::{ReceiptEnvelope, TxEnvelope};
use alloy_primitives::{Address, B256, TxKind, keccak256};
use alloy_rpc_types_eth::{Block, Transaction, TransactionReceipt};
use rand::{Rng, SeedableRng, rngs::StdRng};
use residual_local_ledger::{Config, LocalLedger, OpenError, Opening};
use serde_json::{Value, json};
use support::{Client, counter, deploying, development_ledger, key, number, signed, transaction};

/// How often the process is killed.
const KILLS: usize = 60;
/// How many of each sender's transactions are on their way at a time.
const IN_FLIGHT: u64 = 8;
const SENDERS: usize = 3;
/// Names the directory to the process that is to be killed.
const DIRECTORY: &str = "RESIDUAL_LOCAL_LEDGER_TEST_DIRECTORY";

/// Not a test of its own: the process that the tests below start and kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other half of the tests that kill it; they start it"]
async fn serve_until_killed() {
    let dir = std::env::var(DIRECTORY).expect("started by another test");
    match LocalLedger::open(dir, Config { development: true, ..Config::default() }).await {
        Ok(ledger) => {
            println!("\n{}", ledger.rpc_url());
            std::future::pending::<()>().await;
        }
        Err(e) => println!("\nrefused: {e}"),
    }
}

/// A ledger in a process of its own, killed with SIGKILL when dropped.
struct Process(Child);

impl Process {
    fn start(dir: &Path) -> Self {
        Self::start_as(Command::new(std::env::current_exe().unwrap()), dir)
    }

    fn start_as(mut command: Command, dir: &Path) -> Self {
        let command = command.args(["--exact", "serve_until_killed", "--ignored", "--nocapture"]);
        Self(command.env(DIRECTORY, dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// The URL, once it serves.
    fn url(&mut self) -> String {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let said = lines.map(Result::unwrap).find(|l| l.starts_with("http://") || l.starts_with("refused: "));
        said.filter(|line| line.starts_with("http://")).unwrap_or_else(|| panic!("the ledger did not open"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The transaction of a sender with a nonce, always the same, so that it can be sent again after a crash.
fn workload(chain_id: u64, sender: usize, nonce: u64, contract: Address) -> alloy_primitives::Bytes {
    let tx = match nonce % 3 {
        0 => transaction(chain_id, nonce, TxKind::Call(Address::with_last_byte(0xaa)), 1, vec![]),
        1 => transaction(chain_id, nonce, TxKind::Call(contract), 0, vec![]),
        _ => transaction(chain_id, nonce, TxKind::Create, 0, deploying(&nonce.to_be_bytes())),
    };
    signed(tx.into(), &key(sender))
}

/// Sends as fast as it can until the ledger is gone; returns nothing but what was acknowledged, in `acknowledged`.
async fn send_until_gone(
    client: Client,
    chain_id: u64,
    sender: usize,
    contract: Address,
    acknowledged: Arc<Mutex<Vec<B256>>>,
) {
    let Ok(nonce) = client.ask("eth_getTransactionCount", json!([key(sender).address(), "latest"])).await
    else {
        return;
    };
    let mut nonce = number(&nonce);
    loop {
        let mut flight = tokio::task::JoinSet::new();
        for next in nonce..nonce + IN_FLIGHT {
            let (client, acknowledged) = (client.clone(), acknowledged.clone());
            flight.spawn(async move {
                let raw = workload(chain_id, sender, next, contract);
                match client.send(&raw).await {
                    Ok(hash) => acknowledged.lock().unwrap().push(hash),
                    Err(e) if e["message"].as_str().is_some_and(|m| m.contains("already known")) => {
                        acknowledged.lock().unwrap().push(keccak256(&raw));
                    }
                    Err(e) if !e["transport"].is_null() => return false,
                    Err(e) => panic!("refused: {e}"),
                }
                true
            });
        }
        if flight.join_all().await.contains(&false) {
            return;
        }
        nonce += IN_FLIGHT;
    }
}

/// Checks blocks `from` to the newest: linked, and each with exactly the transactions and receipts that its header
/// commits to. Returns the number after the newest and how often the contract was called in them.
async fn check_blocks(client: &Client, from: u64, contract: Address) -> (u64, u64) {
    let newest = number(&client.get("eth_blockNumber", json!([])).await);
    let mut calls = 0;
    let mut parent: Option<B256> = None;
    for at in from.saturating_sub(1)..=newest {
        let at_hex = format!("{at:#x}");
        let block = client.get("eth_getBlockByNumber", json!([at_hex, true])).await;
        let block: Block<Transaction<TxEnvelope>> = serde_json::from_value(block).unwrap();
        assert_eq!(block.header.inner.hash_slow(), block.header.hash, "block {at}");
        assert!(
            parent.is_none_or(|parent| parent == block.header.parent_hash),
            "block {at} follows {}",
            at - 1
        );
        parent = Some(block.header.hash);
        if at == 0 || at < from {
            continue;
        }
        let receipts = client.get("eth_getBlockReceipts", json!([at_hex])).await;
        let receipts: Vec<TransactionReceipt> = serde_json::from_value(receipts).unwrap();
        let transactions: Vec<&Transaction<TxEnvelope>> = block.transactions.txns().collect();
        assert_eq!(transactions.len(), receipts.len(), "block {at}");
        let bodies: Vec<&TxEnvelope> = transactions.iter().map(|tx| tx.inner.inner()).collect();
        assert_eq!(
            alloy_consensus::proofs::calculate_transaction_root(&bodies),
            block.header.transactions_root
        );
        let envelopes: Vec<ReceiptEnvelope> =
            receipts.iter().map(|r| r.inner.clone().map_logs(|log| log.inner)).collect();
        assert_eq!(alloy_consensus::proofs::calculate_receipt_root(&envelopes), block.header.receipts_root);
        calls += receipts.iter().filter(|r| r.to == Some(contract) && r.inner.status()).count() as u64;
    }
    (newest + 1, calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn led_1_kill_at_any_moment_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);

    // The contract is the first transaction of an account that sends nothing else.
    let deployer = SENDERS;
    let contract = key(deployer).address().create(0);
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (mut checked, mut calls, mut next_block) = (0, 0, 1);
    for round in 0..=KILLS {
        let mut process = Process::start(dir.path());
        // Some die before or while they open the ledger, or make it.
        if round % 5 == 1 || (round == 0 && rng.random()) {
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..40))).await;
            continue;
        }
        let client = Client::new(&process.url());
        let chain_id = number(&client.get("eth_chainId", json!([])).await);
        if client.get("eth_getCode", json!([contract, "latest"])).await == "0x" {
            assert_eq!(calls, 0);
            let deploy = transaction(chain_id, 0, TxKind::Create, 0, counter(1));
            client.send_ok(&signed(deploy.into(), &key(deployer))).await;
        }

        let new: Vec<B256> = acknowledged.lock().unwrap()[checked..].to_vec();
        for hash in &new {
            let tx = client.get("eth_getTransactionByHash", json!([hash])).await;
            assert_ne!(tx, Value::Null, "round {round}: {hash} was acknowledged and is gone");
        }
        checked += new.len();
        let (next, more) = check_blocks(&client, next_block, contract).await;
        (next_block, calls) = (next, calls + more);
        let counted = client.get("eth_getStorageAt", json!([contract, "0x0", "latest"])).await;
        assert_eq!(
            u64::from_str_radix(&counted.as_str().unwrap()[50..], 16).unwrap(),
            calls,
            "round {round}"
        );
        if round == KILLS {
            break;
        }

        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let task = send_until_gone(client.clone(), chain_id, sender, contract, acknowledged.clone());
                tokio::spawn(task)
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(rng.random_range(1..150))).await;
        drop(process);
        for sender in senders {
            sender.await.expect("a sender saw nothing but success until the kill");
        }
    }
    println!("{checked} acknowledged transactions in {} blocks survived {KILLS} kills", next_block - 1);
    assert!(checked > 10 * KILLS, "the ledger was hardly used: {checked}");

    // What is in no block waits rightly: for an earlier nonce, which a kill kept from being taken in.
    let mut process = Process::start(dir.path());
    let client = Client::new(&process.url());
    let mut next = BTreeMap::new();
    for sender in (0..SENDERS).map(|sender| key(sender).address()) {
        let count = client.get("eth_getTransactionCount", json!([sender, "latest"])).await;
        next.insert(sender, number(&count));
    }
    let all = acknowledged.lock().unwrap().clone();
    for hash in all {
        let tx = client.get("eth_getTransactionByHash", json!([hash])).await;
        let next = next[&support::address(&tx["from"])];
        assert_eq!(tx["blockNumber"].is_null(), number(&tx["nonce"]) > next, "{tx}");
    }
}

#[tokio::test]
async fn a_directory_in_use_of_another_version_or_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = |dir: &Path| LocalLedger::open(dir.to_owned(), Config::default());
    let ledger = open(dir.path()).await.unwrap();
    let e = open(dir.path()).await.unwrap_err();
    assert!(e.to_string().contains(&format!("by process {}", std::process::id())), "{e}");
    ledger.shutdown().await;

    std::fs::write(dir.path().join("version"), "residual-local-ledger 99\n").unwrap();
    let e = open(dir.path()).await.unwrap_err();
    assert!(e.to_string().contains("a ledger of version 99, this program reads version 1"), "{e}");
    for junk in [&b"something else"[..], &[0xff, 0xfe]] {
        std::fs::write(dir.path().join("version"), junk).unwrap();
        assert!(matches!(open(dir.path()).await.unwrap_err(), OpenError::NotALedger { .. }));
    }
    std::fs::write(dir.path().join("version"), "residual-local-ledger 1\n").unwrap();
    open(dir.path()).await.unwrap().shutdown().await;

    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("photo.jpg"), "").unwrap();
    assert!(matches!(open(other.path()).await.unwrap_err(), OpenError::NotALedger { .. }));
    let e = open(&other.path().join("photo.jpg")).await.unwrap_err();
    assert!(matches!(e, OpenError::Directory { .. }), "{e}");

    let remote = Config { listen: ([0, 0, 0, 0], 0).into(), ..Config::default() };
    let e = LocalLedger::open(tempfile::tempdir().unwrap().path(), remote).await.unwrap_err();
    assert!(matches!(e, OpenError::NotLoopback { .. }), "{e}");
}

/// Any damaged byte is an error that says so, or is in a part of the file that holds nothing; never a panic, and
/// never another history.
#[tokio::test]
async fn a_corrupt_store_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = development_ledger(dir.path()).await;
    let client = Client::new(&ledger.rpc_url());
    for nonce in 0..20 {
        let tx = transaction(ledger.chain_id(), nonce, TxKind::Create, 0, counter(nonce as u8));
        client.send_ok(&signed(tx.into(), &key(0))).await;
    }
    let head = client.get("eth_getBlockByNumber", json!(["latest", false])).await["hash"].clone();
    ledger.shutdown().await;
    let store = dir.path().join("ledger.redb");
    let whole = std::fs::read(&store).unwrap();

    let mut refused = 0;
    let mut rng = StdRng::seed_from_u64(7);
    for round in 0..60 {
        let mut damaged = whole.clone();
        match round {
            0 => damaged.truncate(whole.len() / 2),
            1 => damaged.truncate(100),
            2 => damaged.clear(),
            3 => damaged.fill(0),
            _ => {
                // Where there is something: a run of zeros is likely unused.
                let at = (0..).map(|_| rng.random_range(0..whole.len())).find(|at| whole[*at] != 0).unwrap();
                damaged[at] ^= 1 << rng.random_range(0..8);
            }
        }
        std::fs::write(&store, &damaged).unwrap();
        match LocalLedger::open(dir.path(), Config { development: true, ..Config::default() }).await {
            Err(e) => {
                assert!(matches!(e, OpenError::Store { .. }), "{e}");
                refused += 1;
            }
            Ok(ledger) => {
                let client = Client::new(&ledger.rpc_url());
                let block = client.get("eth_getBlockByNumber", json!(["0x14", false])).await;
                assert_eq!(block["hash"], head, "round {round}");
                ledger.shutdown().await;
            }
        }
    }
    assert!(refused > 20, "only {refused} of 60 damages were noticed");
}

/// A backup that was put back is told apart, whether as the store alone or as the whole directory.
#[tokio::test]
async fn a_restored_backup_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("ledger.redb");
    let ledger = development_ledger(dir.path()).await;
    let first = ledger.incarnation();
    ledger.shutdown().await;
    let backup = std::fs::read(&store).unwrap();

    let ledger = development_ledger(dir.path()).await;
    assert_eq!((ledger.opening(), ledger.incarnation()), (Opening::Continued, first));
    let client = Client::new(&ledger.rpc_url());
    client.get("evm_mine", json!([])).await;
    ledger.shutdown().await;

    // In place, so that the file keeps its identity: the note beside it is ahead.
    std::fs::write(&store, &backup).unwrap();
    let ledger = development_ledger(dir.path()).await;
    assert_eq!(ledger.opening(), Opening::Restored);
    let second = ledger.incarnation();
    assert_ne!(second, first);
    let client = Client::new(&ledger.rpc_url());
    let head = client.get("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!((&head["number"], &head["extraData"]), (&json!("0x1"), &json!(second)));
    ledger.shutdown().await;
    let ledger = development_ledger(dir.path()).await;
    assert_eq!((ledger.opening(), ledger.incarnation()), (Opening::Continued, second));
    ledger.shutdown().await;

    // Somewhere else, note and all: the file has another identity.
    let copy = tempfile::tempdir().unwrap();
    for name in ["ledger.redb", "tip", "version"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let ledger = development_ledger(copy.path()).await;
    assert_eq!(ledger.opening(), Opening::Restored);
    assert_ne!(ledger.incarnation(), second);
    ledger.shutdown().await;
}

/// The file may not grow past a limit, as on a full disk: what was acknowledged stands, the rest is refused with the
/// reason, reading goes on, and with room again so does writing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_writing_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    // In blocks of 512 bytes; without the signal the write fails as it does on a full disk.
    shell
        .args(["-c", r#"trap "" XFSZ; ulimit -f 4000; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap());
    let mut process = Process::start_as(shell, dir.path());
    let client = Client::new(&process.url());
    let chain_id = number(&client.get("eth_chainId", json!([])).await);
    let tx = |nonce: u64| {
        // Incompressible and never the same, so that each takes its room.
        let mut code = [nonce.to_be_bytes().as_slice(); 3_000].concat();
        code[0] = 0;
        let mut tx = transaction(chain_id, nonce, TxKind::Create, 0, deploying(&code));
        tx.gas_limit = 10_000_000;
        signed(tx.into(), &key(0))
    };
    let mut taken = 0;
    let e = loop {
        match client.send(&tx(taken)).await {
            Ok(_) => taken += 1,
            Err(e) => break e,
        }
        assert!(taken < 200, "the limit was not reached");
    };
    assert!(e["message"].as_str().unwrap().contains("takes no more transactions"), "{e}");
    let again = client.send(&tx(taken)).await.unwrap_err();
    assert!(again["message"].as_str().unwrap().contains("takes no more transactions"), "{again}");
    assert_eq!(number(&client.get("eth_blockNumber", json!([])).await), taken);
    drop(process);

    let ledger = development_ledger(dir.path()).await;
    let client = Client::new(&ledger.rpc_url());
    assert_eq!(ledger.block_number(), taken);
    client.send_ok(&tx(taken)).await;
}
