//! A gateway commits to its usage records, and anybody finds the commitment and proves a record under it.

mod support;

use alloy_primitives::{B256, U256, keccak256};
use residual_ledger::{
    Address, TransactError, Transaction,
    contracts::{Contract, Usage},
    deploy::{self, Deployment, DeploymentError, Parameters},
    events::EventError,
    usage::{commitments_of, read_commitment},
};
use residual_primitives::{Amount, AssetId};
use residual_usage::{Commitment, Lane, Tree, UsageFields, UsageFile, UsageRecord, check, write};
use support::{connect, embedded, sender};

fn parameters(dao: Address) -> Parameters {
    Parameters {
        governance_delay_s: 3_600,
        proposer: dao,
        arbiter: dao,
        treasury: dao,
        fee_bps: 0,
        listed: Vec::new(),
        test_usd: true,
        salt: B256::ZERO,
    }
}

fn epoch_of(gateway: Address, epoch: u64, count: u64) -> Vec<UsageRecord> {
    let record = |index: u64| {
        let id = keccak256([epoch.to_be_bytes(), index.to_be_bytes()].concat());
        UsageRecord::new(UsageFields {
            gateway,
            epoch,
            index,
            at_s: 1_800_000_000 + index,
            asset: AssetId::try_from(U256::from(7)).expect("an asset"),
            lane: Lane::Exact,
            payer: Address::repeat_byte(2),
            source: id,
            token: Address::repeat_byte(3),
            units: 1,
            unit_price: Amount(50),
            amount: Amount(50),
            charged_total: Amount(50),
            request_id: id,
            licence: None,
        })
    };
    (0..count).map(|index| record(index).expect("a record")).collect()
}

/// AUD-1: what a gateway committed to is read back whole and in order, holds the records that were published, and
/// cannot be changed; each record is proved on the ledger itself.
#[tokio::test(flavor = "multi_thread")]
async fn aud_1_commitments_are_found_and_records_proved_under_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = connect(&ledger).await;
    let (gateway, other) = (sender(&chain, 1), sender(&chain, 2));
    let suite = deploy::suite(&sender(&chain, 0), &parameters(gateway.address())).await.expect("deploys");
    let usage = suite.usage.address;

    let epochs: Vec<_> =
        (0..).zip([3, 0, 5]).map(|(n, count)| epoch_of(gateway.address(), n, count)).collect();
    let mut files = Vec::new();
    for (epoch, records) in (0..).zip(&epochs) {
        let (bytes, head) =
            write(chain.id(), gateway.address(), epoch, records.clone()).expect("the records of one epoch");
        let file = keccak256(&bytes);
        let commit = Usage::commitCall { epoch, root: head.root, records: head.records, file };
        let receipt = gateway.send(&Transaction::call(usage, &commit)).await.expect("is committed");
        assert!(receipt.event::<Usage::Committed>(usage).is_some());
        files.push(bytes);
        // Somebody else's are not mixed in.
        let theirs = Usage::commitCall { root: B256::repeat_byte(9), ..commit };
        other.send(&Transaction::call(usage, &theirs)).await.expect("is committed");
    }

    let head = chain.head().await.expect("a head").number;
    let logs = chain.logs(&commitments_of(&suite, gateway.address()), 0, head).await.expect("logs");
    let committed: Vec<_> =
        logs.iter().map(|log| read_commitment(&suite, log).expect("a commitment")).collect();
    assert_eq!(committed.iter().map(|event| event.epoch).collect::<Vec<_>>(), [0, 1, 2]);
    let files: Vec<_> = files.iter().map(|bytes| UsageFile::open(bytes).expect("a usage file")).collect();
    let epochs_read = committed.iter().zip(&files).map(|(event, file)| {
        let Usage::Committed { gateway, epoch, root, records, .. } = *event;
        (Commitment { gateway, epoch, root, records }, file.records())
    });
    let totals = check(epochs_read).expect("the records are those that were committed");
    assert_eq!(totals.iter().count(), 8);

    let record = epochs[2][4];
    let tree = Tree::new(epochs[2].iter().map(UsageRecord::leaf).collect());
    let proof = Usage::verifyCall {
        gateway: gateway.address(),
        epoch: 2,
        index: 4,
        record: record.hash(),
        proof: tree.proof(4).expect("there are five"),
    };
    assert!(chain.call(usage, &proof).await.expect("an answer"));
    let elsewhere = Usage::verifyCall { index: 3, ..proof };
    assert!(!chain.call(usage, &elsewhere).await.expect("an answer"));

    let rewritten = Usage::commitCall { epoch: 1, root: B256::repeat_byte(1), records: 1, file: B256::ZERO };
    match gateway.send(&Transaction::call(usage, &rewritten)).await.expect_err("history stays") {
        TransactError::Reverted { revert } => assert_eq!(revert.name(), "OtherRoot"),
        other => panic!("{other}"),
    }

    let mut elsewhere = logs[0].clone();
    elsewhere.inner.address = suite.channels.address;
    let mut broken = logs[0].clone();
    broken.inner.data.data = vec![1; 31].into();
    for log in [elsewhere, broken] {
        let error = read_commitment(&suite, &log).expect_err("no such log");
        assert!(matches!(error, EventError::NotOfContract { contract, .. } if contract == usage), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_without_the_contract_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(&dir.path().join("ledger")).await;
    let chain = connect(&ledger).await;
    let sender = sender(&chain, 0);
    let suite = deploy::suite(&sender, &parameters(sender.address())).await.expect("deploys");
    suite.check_release(&chain).await.expect("is this release's");
    assert!(Contract::Usage.is_code(&chain.code(suite.usage.address).await.expect("code")));

    let file = dir.path().join("deployment.json");
    suite.save(&file).expect("writes");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("reads")).expect("is JSON");
    json.as_object_mut().expect("an object").remove("usage").expect("is in it");
    std::fs::write(&file, json.to_string()).expect("writes");
    match Deployment::load(&chain, &file).await.expect_err("a file of before") {
        DeploymentError::Corrupt { reason, .. } => assert!(reason.contains("`usage`"), "{reason}"),
        other => panic!("{other}"),
    }

    let mut elsewhere = suite.clone();
    elsewhere.usage = suite.transfer_collector;
    elsewhere.check_release(&chain).await.expect_err("another contract");
}
