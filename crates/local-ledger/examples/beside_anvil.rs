//! Measures the ledger and anvil in one run: `beside_anvil [TRANSACTIONS]`. See bench/ledger/README.md.
//!
//! Each is a process of its own, driven over HTTP by the same client, and new for every round, since anvil slows
//! down as its chain grows. One by one, the next transaction is sent when the last has its receipt
//! (`eth_sendRawTransactionSync`, which both serve). With 32 in flight, each of 32 senders sends its next when the
//! last is acknowledged, and the time ends when the last of each has its receipt: anvil acknowledges before it makes
//! the block. Half are transfers, half calls that write a slot and log.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use residual_local_ledger::{Config, LocalLedger};
use serde_json::json;
use support::{Anvil, Client, counter, key, number, signed, transaction};

/// Clients that each send their own transactions, one after the other.
const IN_FLIGHT: usize = 32;
/// Times that each is measured, in turns, so that a busy moment of the machine does not hit one alone.
const ROUNDS: usize = 3;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("serve") => serve(&args.next().expect("a directory")).await,
        count => compare(count.map_or(1_000, |n| n.parse().expect("a number of transactions"))).await,
    }
}

async fn serve(dir: &str) {
    let config = Config { development: true, ..Config::default() };
    let ledger = LocalLedger::open(dir, config).await.expect("the ledger opens");
    println!("{}", ledger.rpc_url());
    std::future::pending::<()>().await;
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It is gone already only if it crashed, and then the measurement failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(dir: &std::path::Path) -> (Process, String) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let mut child = command.arg("serve").arg(dir).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut url = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut url).expect("it says its URL");
    (Process(child), url.trim().to_owned())
}

async fn compare(count: usize) {
    println!("{count} transactions each time; transactions a second");
    println!("{:<8} {:>12} {:>14}", "", "one by one", "32 in flight");
    let mut best = [[0.0f64; 2]; 2];
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir().expect("a directory");
        let (_ledger, url) = start(dir.path());
        let ours = Client::new(&url);
        let chain_id = number(&ours.get("eth_chainId", json!([])).await);
        let anvil = Anvil::start(chain_id).await;
        let theirs = Client::new(&anvil.url);
        for (side, best) in [("ledger", ours), ("anvil", theirs)].into_iter().zip(&mut best) {
            let (name, client) = side;
            let mut side = Side::prepare(client, chain_id).await;
            let rates = [side.measure(1, count).await, side.measure(IN_FLIGHT, count).await];
            println!("{name:<8} {:>12.0} {:>14.0}", rates[0], rates[1]);
            for (best, rate) in best.iter_mut().zip(rates) {
                *best = best.max(rate);
            }
        }
    }
    let [[ours, ours_32], [theirs, theirs_32]] = best;
    let times = [ours / theirs, ours_32 / theirs_32];
    println!("best of each: one by one {:.2} times anvil, 32 in flight {:.2} times", times[0], times[1]);
    assert!(times.iter().all(|times| *times >= 1.0), "the ledger is to be at least as fast as anvil");
}

struct Side {
    client: Client,
    chain_id: u64,
    contract: Address,
    senders: Vec<(PrivateKeySigner, u64)>,
}

impl Side {
    /// Funds the senders and deploys what they call.
    async fn prepare(client: Client, chain_id: u64) -> Self {
        let deploy = transaction(chain_id, 0, TxKind::Create, 0, counter(1));
        let sent = client.send(&signed(deploy.into(), &key(0))).await.expect("taken");
        client.awaited_receipt(sent).await;
        let mut senders = Vec::new();
        for nonce in 1..=IN_FLIGHT as u64 {
            let sender = PrivateKeySigner::random();
            let mut fund = transaction(chain_id, nonce, TxKind::Call(sender.address()), 0, vec![]);
            fund.value = U256::from(10u128.pow(20));
            let sent = client.send(&signed(fund.into(), &key(0))).await.expect("taken");
            client.awaited_receipt(sent).await;
            senders.push((sender, 0));
        }
        Self { client, chain_id, contract: key(0).address().create(0), senders }
    }

    /// Transactions a second, signed beforehand.
    async fn measure(&mut self, in_flight: usize, count: usize) -> f64 {
        let mut lanes: Vec<Vec<Bytes>> = Vec::new();
        for (sender, next) in &mut self.senders[..in_flight] {
            let end = *next + (count / in_flight) as u64;
            let lane = (*next..end).map(|nonce| {
                let to = if nonce % 2 == 0 { self.contract } else { Address::with_last_byte(0xaa) };
                let mut tx = transaction(self.chain_id, nonce, TxKind::Call(to), nonce % 2, vec![]);
                tx.gas_limit = 100_000;
                // Anvil's base fee moves with load.
                tx.max_fee_per_gas *= 100;
                signed(tx.into(), sender)
            });
            lanes.push(lane.collect());
            *next = end;
        }
        let total: usize = lanes.iter().map(Vec::len).sum();
        let started = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for lane in lanes {
            let client = self.client.clone();
            running.spawn(async move {
                if in_flight == 1 {
                    for raw in &lane {
                        let receipt = client.get("eth_sendRawTransactionSync", json!([raw])).await;
                        assert_eq!(receipt["status"], "0x1");
                    }
                } else {
                    for raw in &lane {
                        client.send(raw).await.unwrap_or_else(|e| panic!("refused: {e}"));
                    }
                    // Nonces are in order, so with the last of them all are in blocks.
                    let receipt = client.awaited_receipt(keccak256(&lane[lane.len() - 1])).await;
                    assert_eq!(receipt["status"], "0x1");
                }
            });
        }
        running.join_all().await;
        total as f64 / started.elapsed().max(Duration::from_nanos(1)).as_secs_f64()
    }
}
