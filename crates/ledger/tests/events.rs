//! The suite's logs, read as the audit reads them: a short life of two assets, written by the contracts themselves.

mod support;

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use residual_ledger::{
    Address, Chain, Log, LogQuery, Receipt, Sender, Transaction,
    contracts::{
        Assets, Licences, Royalties, Shares, TestUSD, assets::IAssets::Registration,
        licences::ILicences::Terms,
    },
    deploy::{self, Deployment, Parameters},
    events::{self, EventError},
};
use residual_royalty::{Audit, Contracts, Entry, LedgerEvent, audit};
use support::{connect, embedded, mint, sender};

const DERIVE: u8 = 8;
const LICENCE: u8 = 0;
const INFERENCE: u8 = 2;

async fn act<C: SolCall>(sender: &Sender, contract: Address, call: C) -> Receipt {
    let sent = sender.send(&Transaction::call(contract, &call)).await;
    sent.unwrap_or_else(|error| panic!("{}: {error}", C::SIGNATURE))
}

/// Registers with all shares to the sender but a tenth, which goes to the second account.
async fn register(
    sender: &Sender,
    other: &Sender,
    suite: &Deployment,
    licences: Vec<U256>,
    terms: Vec<B256>,
) -> U256 {
    let registration = Registration {
        kind: 0,
        salt: B256::with_last_byte(licences.len() as u8),
        manifestCid: vec![1, 2, 3].into(),
        contentRoot: B256::repeat_byte(1),
        keyCommitment: B256::repeat_byte(2),
        licenceIds: licences,
        termsIds: terms,
        holders: vec![sender.address(), other.address()],
        units: vec![U256::from(900_000), U256::from(100_000)],
        resaleBps: 500,
    };
    let receipt = act(sender, suite.assets.address, Assets::registerCall { registration }).await;
    receipt.event::<Assets::Registered>(suite.assets.address).expect("is logged").assetId
}

/// A parent, a licence on it, a child, and every way in which money comes and goes.
async fn history(chain: &Chain, suite: &Deployment) {
    let (creator, maker) = (sender(chain, 0), sender(chain, 1));
    let [assets, shares, licences, royalties] = suite.core();
    let usd = suite.test_usd.expect("in development").address;
    for person in [&creator, &maker] {
        creator.send(&mint(usd, person.address(), 1_000_000_000)).await.expect("mints");
        let approve = TestUSD::approveCall { spender: royalties, value: U256::MAX };
        act(person, usd, approve).await;
    }
    let terms = Terms {
        rights: DERIVE | 1,
        allVersions: true,
        renewable: true,
        transferable: true,
        currency: usd,
        price: U256::from(5_000_001),
        period: alloy_primitives::Uint::from(86_400_u64),
        trainingUnitPrice: U256::from(7),
        inferenceUnitPrice: U256::from(9),
        rates: [1_000, 1_001, 1_002, 1_003],
        reach: 1,
        derivations: alloy_primitives::Uint::from(3_u64),
        supplyCap: 10,
        hook: Address::ZERO,
        vesting: Default::default(),
        legalText: "CC-BY-4.0".to_owned(),
        textCid: vec![9].into(),
    };
    let receipt = act(&creator, licences, Licences::defineTermsCall { terms }).await;
    let terms = receipt.event::<Licences::TermsDefined>(licences).expect("is logged").termsId;
    let parent = register(&creator, &maker, suite, vec![], vec![terms]).await;
    act(&creator, licences, Licences::withdrawCall { assetId: parent, termsId: terms }).await;
    act(&creator, licences, Licences::offerCall { assetId: parent, termsId: terms }).await;
    let buy = Licences::buyCall {
        assetId: parent,
        termsId: terms,
        recipient: maker.address(),
        maxPrice: U256::from(5_000_001),
    };
    let receipt = act(&maker, licences, buy).await;
    let licence = receipt.event::<Licences::Bought>(licences).expect("is logged").licenceId;
    act(&maker, licences, Licences::renewSubscriptionCall { licenceId: licence, duration: 86_400 }).await;
    let child = register(&maker, &creator, suite, vec![licence], vec![]).await;

    let (operator, operator_bps) = (creator.address(), 2_000);
    let granted =
        Royalties::grantCall { assetId: child, kind: INFERENCE, operator, operatorBps: operator_bps };
    act(&maker, royalties, granted).await;
    let till = Royalties::tillCall { assetId: child, kind: INFERENCE, operator, operatorBps: operator_bps };
    let till = chain.call(royalties, &till).await.expect("an address");
    act(&creator, usd, TestUSD::transferCall { to: till, value: U256::from(7_777_777) }).await;
    let (kind, token) = (INFERENCE, usd);
    act(
        &maker,
        royalties,
        Royalties::sweepCall { assetId: child, kind, operator, operatorBps: operator_bps, token },
    )
    .await;
    let pay = Royalties::payCall { assetId: child, kind: LICENCE, token, amount: U256::from(1_234_567) };
    act(&creator, royalties, pay.clone()).await;
    act(&maker, royalties, Royalties::flowCall { childId: child, token, kinds: U256::from(0b1111) }).await;

    act(&creator, royalties, Royalties::freezeCall { assetId: child }).await;
    act(&creator, royalties, pay.clone()).await;
    act(&creator, royalties, Royalties::ruleCall { assetId: child, claimant: creator.address() }).await;
    act(&creator, royalties, Royalties::claimAwardCall { token, to: creator.address() }).await;

    let (from, to) = (maker.address(), creator.address());
    let moved = |value: u32| Shares::safeTransferFromCall {
        from,
        to,
        id: child,
        value: U256::from(value),
        data: Default::default(),
    };
    act(&maker, shares, moved(250_000)).await;
    // Of what is no asset anyone can move nothing; that must not stop an audit.
    act(&maker, shares, Shares::safeTransferFromCall { id: U256::MAX, ..moved(0) }).await;
    act(&creator, royalties, pay).await;
    for person in [&creator, &maker] {
        for asset in [parent, child] {
            act(person, royalties, Royalties::claimCall { assetId: asset, token, to: person.address() })
                .await;
        }
    }
    let claim = Royalties::claimOperatorCall { assetId: child, kind, operatorBps: operator_bps, token, to };
    act(&creator, royalties, claim).await;
    let revoked = Royalties::revokeCall { assetId: child, kind, operator, operatorBps: operator_bps };
    act(&maker, royalties, revoked).await;
    act(&maker, royalties, Royalties::collectFeesCall { token }).await;
    let version = Assets::publishVersionCall {
        assetId: child,
        manifestCid: vec![4].into(),
        contentRoot: B256::repeat_byte(3),
        keyCommitment: B256::ZERO,
    };
    act(&maker, assets, version).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aud_1_a_history_that_the_contracts_wrote_is_read_whole_and_accepted() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = connect(&ledger).await;
    let deployer = sender(&chain, 0);
    let parameters = Parameters {
        governance_delay_s: 3_600,
        proposer: deployer.address(),
        arbiter: deployer.address(),
        treasury: Address::repeat_byte(0x55),
        fee_bps: 100,
        listed: Vec::new(),
        test_usd: true,
        salt: B256::ZERO,
    };
    let suite = deploy::suite(&deployer, &parameters).await.expect("deploys");
    history(&chain, &suite).await;

    let usd = suite.test_usd.expect("in development").address;
    let query = LogQuery::of(suite.core().into_iter().chain([usd]));
    let head = chain.head().await.expect("a head");
    let logs = chain.logs(&query, suite.block.number, head.number).await.expect("logs");
    let entries = chain.entries(&suite, &logs).await.expect("reads");

    // The time is the block's, whether the node sends it with the log or not.
    let untimed: Vec<Log> = logs.iter().cloned().map(|log| Log { block_timestamp: None, ..log }).collect();
    assert_eq!(chain.entries(&suite, &untimed).await.expect("reads"), entries);

    let implementation = chain.call(suite.royalties.address, &Royalties::tillImplementationCall {}).await;
    let contracts = Contracts {
        royalties: suite.royalties.address,
        till_implementation: implementation.expect("an address"),
    };
    let fresh = || Audit::new(contracts, [usd]);
    let report = audit(fresh(), &entries, head.timestamp_s, None).expect("every credit is right");
    assert!(report.every_unit_is_accounted_for());

    // Every kind of event was read but the two of a credit that a parent cannot take.
    let names = |entries: &[Entry]| {
        let name = |entry: &Entry| serde_json::to_value(&entry.event).expect("json")["event"].to_string();
        entries.iter().map(name).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(&entries).len(), 25, "{:?}", names(&entries));
    let is_credit = |entry: &Entry| matches!(entry.event, LedgerEvent::Credited { .. });
    let credit = entries.iter().position(is_credit).expect("a credit");
    let mut tampered = entries.clone();
    tampered.remove(credit);
    audit(fresh(), &tampered, head.timestamp_s, None).expect_err("a credit is missing");

    // What the contracts do not log is the node's invention.
    let royalties = suite.royalties.address;
    let genuine = logs.iter().find(|log| log.address() == royalties).expect("a log");
    let mut invented = genuine.clone();
    invented.inner.data =
        alloy_primitives::LogData::new_unchecked(vec![B256::repeat_byte(7)], Default::default());
    let error = events::read(&suite, &invented).expect_err("no such event");
    assert!(matches!(error, EventError::NotOfContract { contract, .. } if contract == royalties), "{error}");
    let placeless = Log { block_number: None, ..genuine.clone() };
    let error = chain.entries(&suite, &[placeless]).await.expect_err("no place");
    assert!(matches!(error, EventError::NoPlace { .. }), "{error}");
}
