//! Transactions that have to wait: blocks made by hand, fees that must rise, confirmations.

mod support;

use std::time::Duration;

use residual_ledger::{Address, B256, Chain, Config, Receipt, Sender, TransactError};
use serde_json::json;
use support::{anvil::Anvil, mint, sender, test_usd, tokens_of};
use tokio::task::JoinHandle;

/// A chain whose blocks are made by hand, with the token on it.
async fn by_hand(config: Config) -> (Anvil, Chain, Address) {
    let anvil = Anvil::start(false).await;
    // Blocks come one for each transaction until the token is there, so none is ever confirmed by a second.
    let token = test_usd(&sender(&anvil.connect(Config::embedded("")).await, 0)).await;
    let chain = anvil.connect(Config { poll_interval: Duration::from_millis(20), ..config }).await;
    anvil.ask("evm_setAutomine", json!([false])).await;
    (anvil, chain, token)
}

fn begin(sender: &Sender, token: Address) -> JoinHandle<Result<Receipt, TransactError>> {
    let sender = sender.clone();
    tokio::spawn(async move { sender.send(&mint(token, Address::repeat_byte(0x77), 5)).await })
}

/// The account's transaction that waits in the pool with that nonce; other than `known`.
async fn pooled(anvil: &Anvil, account: Address, nonce: u64, known: Option<B256>) -> (B256, u128) {
    let look = async {
        loop {
            let pool = anvil.ask("txpool_content", json!([])).await;
            let waiting = &pool["pending"][account.to_string().to_lowercase()][nonce.to_string()];
            if let Some(hash) = waiting["hash"].as_str() {
                let hash: B256 = hash.parse().expect("a hash");
                let fee = waiting["maxFeePerGas"].as_str().expect("a fee").trim_start_matches("0x");
                if known != Some(hash) {
                    return (hash, u128::from_str_radix(fee, 16).expect("a fee"));
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look).await.expect("it is in the pool")
}

async fn nonce(anvil: &Anvil, account: Address) -> u64 {
    let count = anvil.ask("eth_getTransactionCount", json!([account, "latest"])).await;
    u64::from_str_radix(count.as_str().expect("a count").trim_start_matches("0x"), 16).expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_transaction_is_sent_again_with_higher_fees_and_carried_out_once() {
    let config = Config { bump_after: Duration::from_millis(200), ..Config::embedded("") };
    let (anvil, chain, token) = by_hand(config).await;
    let sender = sender(&chain, 0);
    let nonce = nonce(&anvil, sender.address()).await;
    let sending = begin(&sender, token);
    let (first, fee) = pooled(&anvil, sender.address(), nonce, None).await;
    let (second, higher) = pooled(&anvil, sender.address(), nonce, Some(first)).await;
    assert!(higher >= fee + fee / 10, "{fee} -> {higher}");
    anvil.mine(1).await;
    let receipt = sending.await.expect("runs").expect("is carried out");
    assert_ne!(receipt.transaction_hash, first);
    assert!(chain.receipt(first).await.expect("an answer").is_none());
    // A third version may have followed the second before the block was made.
    assert!(receipt.transaction_hash == second || chain.receipt(second).await.expect("an answer").is_none());
    assert_eq!(tokens_of(&chain, token, Address::repeat_byte(0x77)).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_do_not_rise_above_the_cap() {
    let bump_after = Duration::from_millis(50);
    let (anvil, chain, token) = by_hand(Config { bump_after, ..Config::embedded("") }).await;
    let base = chain.head().await.expect("a head").base_fee_wei.expect("a base fee");
    let cap = base * 2;
    let config = Config { bump_after, max_fee_wei: cap, max_tip_wei: cap, ..chain.config().clone() };
    let capped = Chain::connect(config).await.expect("connects");
    let sender = sender(&capped, 0);
    let nonce = nonce(&anvil, sender.address()).await;
    let sending = begin(&sender, token);
    let (first, fee) = pooled(&anvil, sender.address(), nonce, None).await;
    assert_eq!(fee, cap);
    let other =
        tokio::time::timeout(bump_after * 10, pooled(&anvil, sender.address(), nonce, Some(first))).await;
    assert!(other.is_err(), "a dearer one was sent: {other:?}");
    anvil.mine(1).await;
    assert_eq!(sending.await.expect("runs").expect("is carried out").transaction_hash, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_node_forgot_is_sent_again() {
    let (anvil, chain, token) = by_hand(Config::embedded("")).await;
    let sender = sender(&chain, 0);
    let nonce = nonce(&anvil, sender.address()).await;
    let sending = begin(&sender, token);
    let (hash, _) = pooled(&anvil, sender.address(), nonce, None).await;
    anvil.ask("anvil_dropTransaction", json!([hash])).await;
    assert_eq!(pooled(&anvil, sender.address(), nonce, None).await.0, hash, "the same one, signed once");
    anvil.mine(1).await;
    assert_eq!(sending.await.expect("runs").expect("is carried out").transaction_hash, hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_another_program_took_is_not_the_end() {
    let (anvil, chain, token) = by_hand(Config { confirmations: 3, ..Config::embedded("") }).await;
    let sender = sender(&chain, 0);
    let nonce = nonce(&anvil, sender.address()).await;
    let sending = begin(&sender, token);
    let (hash, fee) = pooled(&anvil, sender.address(), nonce, None).await;
    // Another program pays more for the same nonce, so ours leaves the pool.
    let other = json!({
        "from": sender.address(), "to": Address::repeat_byte(0x66), "value": "0x1", "gas": "0x5208",
        "nonce": format!("{nonce:#x}"),
        "maxFeePerGas": format!("{:#x}", fee * 10), "maxPriorityFeePerGas": format!("{:#x}", fee * 10),
    });
    anvil.ask("eth_sendTransaction", json!([other])).await;
    pooled(&anvil, sender.address(), nonce, Some(hash)).await;
    anvil.mine(2).await;
    let early =
        tokio::time::timeout(Duration::from_millis(300), pooled(&anvil, sender.address(), nonce + 1, None));
    assert!(early.await.is_err(), "two blocks over the other one are not three");
    anvil.mine(1).await;
    let (second, _) = pooled(&anvil, sender.address(), nonce + 1, None).await;
    anvil.mine(3).await;
    assert_eq!(sending.await.expect("runs").expect("is carried out").transaction_hash, second);
    assert_eq!(tokens_of(&chain, token, Address::repeat_byte(0x77)).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_nobody_is_shown_to_have_taken_stays_the_intents() {
    let config = Config { give_up_after: Duration::from_secs(4), ..Config::embedded("") };
    let (anvil, chain, token) = by_hand(config).await;
    let sender = sender(&chain, 0);
    let nonce = nonce(&anvil, sender.address()).await;
    let sending = begin(&sender, token);
    let (hash, _) = pooled(&anvil, sender.address(), nonce, None).await;
    // The account's count goes up and no transaction says why, as when a node has not caught up with itself.
    anvil.ask("anvil_dropTransaction", json!([hash])).await;
    anvil.ask("anvil_setNonce", json!([sender.address(), format!("{:#x}", nonce + 1)])).await;
    let error = sending.await.expect("runs").expect_err("nobody knows");
    assert!(
        matches!(error, TransactError::Unresolved { transaction, nonce: same, .. }
            if transaction == hash && same == nonce),
        "{error}"
    );
    anvil.mine(1).await;
    assert_eq!(
        tokens_of(&chain, token, Address::repeat_byte(0x77)).await,
        0,
        "nothing was signed in its place"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_counts_only_when_enough_blocks_hold_it() {
    let (anvil, chain, token) = by_hand(Config { confirmations: 3, ..Config::embedded("") }).await;
    let sender = sender(&chain, 1);
    let mut sending = begin(&sender, token);
    pooled(&anvil, sender.address(), 0, None).await;
    anvil.mine(2).await;
    let early = tokio::time::timeout(Duration::from_millis(300), &mut sending).await;
    assert!(early.is_err(), "two blocks are not three: {early:?}");
    anvil.mine(1).await;
    let receipt = sending.await.expect("runs").expect("is carried out");
    assert_eq!(chain.head().await.expect("a head").number, receipt.block_number + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_in_the_pool_is_unresolved_and_not_signed_twice() {
    let config = Config { give_up_after: Duration::from_millis(300), ..Config::embedded("") };
    let (anvil, chain, token) = by_hand(config).await;
    let journal = tempfile::tempdir().expect("a directory");
    let account = chain.development_account(2).expect("development mode");
    let open = || chain.journaled_sender(account.clone(), journal.path()).expect("opens");
    let (intent, payment) = (B256::repeat_byte(9), mint(token, Address::repeat_byte(0x77), 5));
    let error = open().send_once(intent, &payment).await.expect_err("no block is made");
    let TransactError::Unresolved { transaction, nonce: 0, .. } = error else { panic!("{error}") };
    let again = open().send_once(intent, &payment).await.expect_err("no block is made");
    assert!(
        matches!(again, TransactError::Unresolved { transaction: same, .. } if same == transaction),
        "{again}"
    );
    anvil.mine(1).await;
    let receipt = open().send_once(intent, &payment).await.expect("is carried out");
    assert_eq!(receipt.transaction_hash, transaction);
    assert_eq!(tokens_of(&chain, token, Address::repeat_byte(0x77)).await, 5);
}
