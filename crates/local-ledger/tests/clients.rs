//! LED-3: alloy, cast, viem and ethers connect unchanged, over HTTP and WebSocket.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use alloy_network::{EthereumWallet, TransactionBuilder};
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_provider::{Provider, ProviderBuilder, WsConnect};
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, TransactionRequest};
use residual_local_ledger::LocalLedger;
use support::{counter, development_ledger, key, peer};

async fn fixture() -> (tempfile::TempDir, LocalLedger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = development_ledger(dir.path()).await;
    (dir, ledger)
}

/// What a client of alloy does all day, with all its usual fillers of nonce, fees, gas and chain id.
async fn use_with_alloy(provider: impl Provider, chain_id: u64) {
    assert_eq!(provider.get_chain_id().await.unwrap(), chain_id);
    let to = Address::with_last_byte(0xaa);
    let transfer = TransactionRequest::default().with_to(to).with_value(U256::from(5));
    let receipt = provider.send_transaction(transfer).await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status());
    assert_eq!(provider.get_balance(to).await.unwrap(), U256::from(5));

    let deploy = TransactionRequest::default().with_deploy_code(counter(4));
    let receipt = provider.send_transaction(deploy).await.unwrap().get_receipt().await.unwrap();
    let contract = receipt.contract_address.unwrap();
    let call = || TransactionRequest::default().with_to(contract).with_input(Bytes::new());
    let pending: Vec<_> = {
        let mut pending = Vec::new();
        for _ in 0..5 {
            pending.push(provider.send_transaction(call()).await.unwrap());
        }
        pending
    };
    for sent in pending {
        assert!(sent.get_receipt().await.unwrap().status());
    }
    assert_eq!(provider.get_storage_at(contract, U256::ZERO).await.unwrap(), U256::from(5));
    let filter = Filter::new().address(contract).from_block(0).event_signature(B256::with_last_byte(4));
    assert_eq!(provider.get_logs(&filter).await.unwrap().len(), 5);
    let block = provider.get_block_by_number(BlockNumberOrTag::Latest).full().await.unwrap().unwrap();
    assert_eq!(block.header.hash, block.header.inner.hash_slow());
    let estimate = provider.estimate_gas(call()).await.unwrap();
    let list = provider.create_access_list(&call()).await.unwrap();
    assert!(estimate > 21_000 && !list.access_list.is_empty());
    let fees = provider.estimate_eip1559_fees().await.unwrap();
    assert!(fees.max_fee_per_gas >= 1_000_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn led_3_alloy_over_http() {
    let (_dir, ledger) = fixture().await;
    let wallet = EthereumWallet::from(key(0));
    support::install_tls();
    let provider = ProviderBuilder::new().wallet(wallet).connect_http(ledger.rpc_url().parse().unwrap());
    use_with_alloy(provider, ledger.chain_id()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn led_3_alloy_over_websocket() {
    let (dir, ledger) = fixture().await;
    let wallet = EthereumWallet::from(key(0));
    let provider =
        ProviderBuilder::new().wallet(wallet).connect_ws(WsConnect::new(ledger.ws_url())).await.unwrap();
    // A connection of its own: waiting for a receipt subscribes to new heads as well, and of two like subscriptions on one
    // connection alloy hears the later one alone.
    let listener = ProviderBuilder::new().connect_ws(WsConnect::new(ledger.ws_url())).await.unwrap();
    let mut heads = listener.subscribe_blocks().await.unwrap();
    let mut logs = listener.subscribe_logs(&Filter::new()).await.unwrap();
    let mut transactions = listener.subscribe_pending_transactions().await.unwrap();
    use_with_alloy(&provider, ledger.chain_id()).await;

    let told = async {
        for number in 1..=7 {
            assert_eq!(heads.recv().await.unwrap().number, number);
            transactions.recv().await.unwrap();
        }
        for count in 1..=5u64 {
            let log = logs.recv().await.unwrap();
            assert_eq!(log.data().data, Bytes::from(B256::from(U256::from(count)).to_vec()));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("every block and log is told of");
    // Closing ends what is still subscribed, and leaves the directory free.
    listener.unsubscribe(*heads.local_id()).await.unwrap();
    ledger.shutdown().await;
    assert_eq!(development_ledger(dir.path()).await.block_number(), 7);
}

fn cast(url: &str, args: &[&str]) -> String {
    let output = Command::new(peer("cast")).args(args).env("ETH_RPC_URL", url).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "cast {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn use_with_cast(url: &str, ledger: &LocalLedger) {
    let secret = hex::encode(key(0).to_bytes());
    let send = |args: &[&str]| cast(url, &[&["send", "--json", "--private-key", &secret], args].concat());
    assert_eq!(cast(url, &["chain-id"]), ledger.chain_id().to_string());
    assert!(
        send(&["0x00000000000000000000000000000000000000aa", "--value", "5"]).contains("\"status\":\"0x1\"")
    );
    assert_eq!(cast(url, &["balance", "0x00000000000000000000000000000000000000aa"]), "5");
    let deployed = send(&["--create", &hex::encode_prefixed(counter(4))]);
    let receipt: serde_json::Value = serde_json::from_str(&deployed).unwrap();
    let contract = receipt["contractAddress"].as_str().unwrap().to_owned();
    for kind in [&[][..], &["--legacy"], &["--access-list"]] {
        assert!(
            send(&[&[contract.as_str(), "0x"], kind].concat()).contains("\"status\":\"0x1\""),
            "{kind:?}"
        );
    }
    assert_eq!(cast(url, &["storage", &contract, "0"]), B256::with_last_byte(3).to_string());
    let logs = cast(url, &["logs", "--json", "--from-block", "0", "--address", &contract]);
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&logs).unwrap().len(), 3);
    let number: u64 = cast(url, &["estimate", &contract, "0x"]).parse().unwrap();
    assert!(number > 21_000);
    assert!(cast(url, &["block", "latest", "--full", "--json"]).contains("\"transactions\""));
    cast(url, &["receipt", receipt["transactionHash"].as_str().unwrap()]);
    cast(url, &["tx", receipt["transactionHash"].as_str().unwrap()]);
    cast(url, &["gas-price"]);
    let name = cast(url, &["client"]);
    assert!(name.starts_with("local-ledger/"), "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn led_3_cast_over_http_and_websocket() {
    let (_dir, ledger) = fixture().await;
    use_with_cast(&ledger.rpc_url(), &ledger);
    let (_dir, ledger) = fixture().await;
    use_with_cast(&ledger.ws_url(), &ledger);
}

/// Runs a script of `tests/peers`, which throws when something is not as it should be.
fn use_with_node(script: &str, ledger: &LocalLedger) {
    peer("cast");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    let output = Command::new("node")
        .arg(path)
        .args([&ledger.rpc_url(), &ledger.ws_url(), &ledger.chain_id().to_string()])
        .args([&hex::encode_prefixed(key(0).to_bytes()), &hex::encode_prefixed(counter(4))])
        .output()
        .expect("Node runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}: {}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stdout), "http done\nws done\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn led_3_viem_over_http_and_websocket() {
    let (_dir, ledger) = fixture().await;
    use_with_node("viem.mjs", &ledger);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn led_3_ethers_over_http_and_websocket() {
    let (_dir, ledger) = fixture().await;
    use_with_node("ethers.mjs", &ledger);
}
