//! The log stream through disconnects, small limits and reorganisations.

mod support;

use std::time::Duration;

use alloy_sol_types::SolEvent;
use residual_ledger::{
    Address, Chain, Config, ConnectError, Finality, Log, LogError, LogQuery, LogStream, Update,
    contracts::TestUSD,
};
use serde_json::json;
use support::{Relay, anvil::Anvil, connect, development, embedded, mint, sender, test_usd};

fn values(logs: &[Log]) -> Vec<u64> {
    let decoded = logs.iter().map(|log| TestUSD::Transfer::decode_log_data(log.data()).expect("a transfer"));
    decoded.map(|event| event.value.to()).collect()
}

async fn next(stream: &mut LogStream) -> Update {
    let next = tokio::time::timeout(Duration::from_secs(30), stream.next());
    next.await.expect("an update in 30 s").expect("no error")
}

/// All values up to the newest block.
async fn catch_up(stream: &mut LogStream) -> Vec<u64> {
    let mut all = Vec::new();
    loop {
        match next(stream).await {
            Update::Logs { logs, caught_up, .. } => {
                all.extend(values(&logs));
                if caught_up {
                    return all;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Values until so many have come.
async fn take(stream: &mut LogStream, count: usize) -> Vec<u64> {
    let mut all = Vec::new();
    while all.len() < count {
        match next(stream).await {
            Update::Logs { logs, .. } => all.extend(values(&logs)),
            other => panic!("{other:?}"),
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_comes_once_and_in_order_whatever_the_node_bears() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = connect(&ledger).await;
    let sender = sender(&chain, 0);
    let token = test_usd(&sender).await;
    let receiver = Address::repeat_byte(0x77);
    for value in 0..60 {
        sender.send(&mint(token, receiver, value)).await.expect("mints");
    }
    let expected: Vec<u64> = (0..60).collect();
    let query = LogQuery {
        addresses: vec![token],
        events: vec![TestUSD::Transfer::SIGNATURE_HASH],
        ..LogQuery::default()
    };
    assert_eq!(catch_up(&mut chain.follow(query.clone(), 0)).await, expected);

    // Too little for all logs at once, enough for a few: pages shrink until they fit.
    let config = Config { max_response_bytes: 3_000, ..development(ledger.rpc_url()) };
    let narrow = Chain::connect(config).await.expect("connects");
    assert_eq!(catch_up(&mut narrow.follow(query.clone(), 0)).await, expected);
    let head = ledger.block_number();
    assert_eq!(values(&narrow.logs(&query, 0, head).await.expect("logs")), expected);
    let last_ten = chain.logs(&query, head - 9, head).await.expect("logs");
    assert_eq!(values(&last_ten), expected[50..]);

    let nothing = LogQuery::of([Address::repeat_byte(0x66)]);
    assert!(chain.logs(&nothing, 0, head).await.expect("logs").is_empty());
    let beyond = chain.logs(&query, 0, head + 1).await.expect_err("not there");
    assert!(matches!(beyond, LogError::Range { .. }), "{beyond}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_outlives_its_connections() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let relay = Relay::to(ledger.address()).await;
    let direct = connect(&ledger).await;
    let sender = sender(&direct, 0);
    let token = test_usd(&sender).await;
    let receiver = Address::repeat_byte(0x77);
    let poll_interval = Duration::from_millis(20);
    for ws_url in [None, Some(relay.ws_url())] {
        let config = Config { ws_url, poll_interval, ..development(relay.url()) };
        let chain = Chain::connect(config).await.expect("connects");
        let from = ledger.block_number() + 1;
        let mut stream = chain.follow(LogQuery::of([token]), from);
        for round in 0..3_u64 {
            sender.send(&mint(token, receiver, round)).await.expect("mints");
            assert_eq!(take(&mut stream, 1).await, [round]);
            relay.cut();
            for value in [100, 200] {
                sender.send(&mint(token, receiver, value + round)).await.expect("mints");
            }
            // The stream is asked while the line is dead, gets nowhere, and is dropped: nothing may be lost by it.
            let waits = tokio::time::timeout(Duration::from_millis(100), stream.next()).await;
            assert!(waits.is_err(), "there is no line: {waits:?}");
            relay.mend();
            assert_eq!(take(&mut stream, 2).await, [100 + round, 200 + round]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_brings_a_block_sooner_than_the_next_poll() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let direct = connect(&ledger).await;
    let sender = sender(&direct, 0);
    let token = test_usd(&sender).await;
    let poll_interval = Duration::from_secs(3_600);
    let config = Config { ws_url: Some(ledger.ws_url()), poll_interval, ..development(ledger.rpc_url()) };
    let chain = Chain::connect(config).await.expect("connects");
    let mut stream = chain.follow(LogQuery::of([token]), ledger.block_number() + 1);
    let taking = tokio::spawn(async move { take(&mut stream, 3).await });
    for value in 1..=3 {
        sender.send(&mint(token, Address::repeat_byte(0x77), value)).await.expect("mints");
    }
    assert_eq!(taking.await.expect("runs"), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_behind_the_same_address_ends_the_stream() {
    let (dir, other_dir) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let ledger = embedded(dir.path()).await;
    let config = Config { poll_interval: Duration::from_millis(20), ..development(ledger.rpc_url()) };
    let chain = Chain::connect(config).await.expect("connects");
    let mut stream = chain.follow(LogQuery::default(), 0);
    catch_up(&mut stream).await;

    let listen = ledger.address();
    ledger.shutdown().await;
    let waits = tokio::time::timeout(Duration::from_millis(100), stream.next()).await;
    assert!(waits.is_err(), "the node is gone: {waits:?}");
    let config = residual_local_ledger::Config { development: true, listen, ..Default::default() };
    let other = residual_local_ledger::LocalLedger::open(other_dir.path(), config).await.expect("opens");
    let ends = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.expect("in time");
    match ends {
        Err(LogError::Connect(ConnectError::WrongChain { expected, found })) => {
            assert_eq!((expected, found), (chain.id(), other.chain_id()));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_is_told_before_the_logs_that_hold_instead() {
    let anvil = Anvil::start(false).await;
    let config = Config { poll_interval: Duration::from_millis(20), ..Config::embedded(anvil.url.clone()) };
    let chain = anvil.connect(config).await;
    let sender = sender(&chain, 0);
    let token = test_usd(&sender).await;
    let receiver = Address::repeat_byte(0x77);
    let first = chain.head().await.expect("a head").number + 1;
    let mut stream = chain.follow(LogQuery::of([token]), first);
    for value in [1, 2] {
        sender.send(&mint(token, receiver, value)).await.expect("mints");
        assert_eq!(take(&mut stream, 1).await, [value]);
    }
    let fork = chain.head().await.expect("a head").number;
    let snapshot = anvil.ask("evm_snapshot", json!([])).await;
    for value in [3, 4, 5] {
        sender.send(&mint(token, receiver, value)).await.expect("mints");
        assert_eq!(take(&mut stream, 1).await, [value]);
    }
    let kept = stream.checkpoints().to_vec();

    // Another history from there on, first shorter than what was seen, then as long, then longer.
    assert_eq!(anvil.ask("evm_revert", json!([snapshot])).await, json!(true));
    let sender = self::sender(&chain, 0);
    assert_eq!(next(&mut stream).await, Update::Reorganised { to_block: fork });
    for value in [33, 44, 55, 66] {
        sender.send(&mint(token, receiver, value)).await.expect("mints");
    }
    assert_eq!(take(&mut stream, 4).await, [33, 44, 55, 66]);

    // The same, found by a stream that slept through it.
    let mut late = chain.resume(LogQuery::of([token]), first, kept.clone());
    assert_eq!(next(&mut late).await, Update::Reorganised { to_block: fork });
    assert_eq!(catch_up(&mut late).await, [33, 44, 55, 66]);

    // Without a checkpoint that holds the stream begins anew.
    let stale = kept[kept.len() - 2..].to_vec();
    let mut blind = chain.resume(LogQuery::of([token]), first, stale);
    assert_eq!(next(&mut blind).await, Update::Reorganised { to_block: first - 1 });
    assert_eq!(catch_up(&mut blind).await, [1, 2, 33, 44, 55, 66]);

    // One that nothing happened to goes on where it stood.
    let mut same = chain.resume(LogQuery::of([token]), first, stream.checkpoints().to_vec());
    sender.send(&mint(token, receiver, 77)).await.expect("mints");
    assert_eq!(take(&mut same, 1).await, [77]);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_withheld_until_the_finality_rule_accepts_them() {
    let anvil = Anvil::start(false).await;
    let config = Config {
        poll_interval: Duration::from_millis(20),
        finality: Finality::Depth(3),
        ..Config::embedded(anvil.url.clone())
    };
    let chain = anvil.connect(config).await;
    let sender = sender(&chain, 0);
    let token = test_usd(&sender).await;
    anvil.mine(3).await;
    let mut stream = chain.follow(LogQuery::of([token]), 0);
    assert_eq!(catch_up(&mut stream).await, Vec::<u64>::new());
    let receipt = sender.send(&mint(token, Address::repeat_byte(0x77), 9)).await.expect("mints");
    anvil.mine(2).await;
    loop {
        let early = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
        let Ok(update) = early else { break };
        match update.expect("no error") {
            Update::Logs { logs, through, .. } => {
                assert!(logs.is_empty());
                assert!(through.number < receipt.block_number);
            }
            other => panic!("{other:?}"),
        }
    }
    anvil.mine(1).await;
    assert_eq!(take(&mut stream, 1).await, [9]);
}
