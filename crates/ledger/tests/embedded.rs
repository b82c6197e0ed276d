//! The embedded ledger as any other chain: connecting, reading, deploying, sending, signing.

mod support;

use std::{collections::HashSet, sync::Arc, time::Duration};

use alloy_primitives::{B256, U256, keccak256};
use residual_ledger::{
    Account, Address, CallError, Chain, Config, ConnectError, RpcError, TransactError, Transaction,
    contracts::{Contract, Royalties, TestUSD, TimelockController},
    deploy::{self, DeployError, Deployment, DeploymentError, Parameters},
    token::{Permit, ReceiveWithAuthorization, TokenDomain, random_nonce},
};
use residual_local_ledger::LocalLedger;
use support::{
    Fate, Relay, connect, development, embedded, mint, moved, sender, test_usd, tokens_of, transfer,
};

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_than_the_one_that_was_meant_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let meant = |chain_id| Config { chain_id: Some(chain_id), ..Config::embedded(ledger.rpc_url()) };

    assert_eq!(Chain::connect(meant(ledger.chain_id())).await.expect("connects").id(), ledger.chain_id());
    match Chain::connect(meant(1)).await.expect_err("another chain") {
        ConnectError::WrongChain { expected, found } => assert_eq!((expected, found), (1, ledger.chain_id())),
        other => panic!("{other}"),
    }
    let gone = Chain::connect(Config::embedded("http://127.0.0.1:1")).await.expect_err("nobody is there");
    assert!(matches!(gone, ConnectError::Rpc(RpcError::Unreachable { .. })), "{gone}");
    for url in ["", "127.0.0.1:8545", "ftp://127.0.0.1", "http://"] {
        let error = Chain::connect(Config::embedded(url)).await.expect_err("no address of a node");
        assert!(matches!(error, ConnectError::Url { .. }), "{url}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn development_keys_exist_only_in_development_mode_and_on_this_machine() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = Chain::connect(Config::embedded(ledger.rpc_url())).await.expect("connects");
    chain.development_account(0).expect_err("not in development mode");

    let elsewhere = Chain::connect(development("http://node.example.org:8545")).await.expect_err("not here");
    assert!(matches!(elsewhere, ConnectError::DevelopmentElsewhere { .. }), "{elsewhere}");
}

/// What may take only so much gas is refused before it is sent when it takes more, and is never given more.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_held_to_its_gas() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = connect(&ledger).await;
    let sender = sender(&chain, 0);
    let token = test_usd(&sender).await;
    // The first of a token takes more than those after it.
    sender.send(&mint(token, Address::repeat_byte(9), 5)).await.expect("it is taken");
    let pay = mint(token, Address::repeat_byte(1), 5);
    let limit = sender.estimate(&pay).await.expect("it would be taken");
    let takes = sender.send(&pay).await.expect("it is taken").gas_used;
    assert!((takes..=takes * 5 / 4).contains(&limit), "{limit} of {takes}");
    let pay = mint(token, Address::repeat_byte(2), 5);
    for refused in [sender.estimate(&pay.clone().within(takes / 2)).await.map(drop), {
        sender.send(&pay.clone().within(takes / 2)).await.map(drop)
    }] {
        match refused.expect_err("it takes more") {
            TransactError::GasAboveLimit { expected, found } => {
                assert_eq!(expected, takes / 2);
                assert!((takes..=limit).contains(&found), "{found} of {takes}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(tokens_of(&chain, token, Address::repeat_byte(2)).await, 0, "nothing was sent");
    sender.send(&pay.within(limit)).await.expect("it is enough");
    assert!(sender.wei_per_gas().await.expect("fees") >= 1_000_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_the_limit_is_not_read_to_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let config = Config { max_response_bytes: 1_000, ..Config::embedded(ledger.rpc_url()) };
    let chain = Chain::connect(config).await.expect("connects");
    let (address, code) = residual_ledger::contracts::genesis_alloc().remove(0);
    assert!(code.len() > 1_000);
    let error = chain.code(address).await.expect_err("the code is longer");
    assert!(matches!(error, RpcError::TooLarge { limit_bytes: 1_000, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = connect(&ledger).await;
    let nobody = Address::repeat_byte(0x77);
    let call = TestUSD::balanceOfCall { account: nobody };
    match chain.call(nobody, &call).await.expect_err("no contract") {
        CallError::NoContract { address, function } => {
            assert_eq!((address, function), (nobody, "balanceOf(address)"));
        }
        other => panic!("{other}"),
    }
    // The precompile that repeats what it is told.
    let parrot = Address::with_last_byte(4);
    let other = chain.call(parrot, &TestUSD::nameCall {}).await.expect_err("not a token");
    assert!(matches!(other, CallError::OtherResult { bytes: 4, .. }), "{other}");
    let channels = residual_ledger::contracts::CANONICAL_CHANNELS;
    let refused = chain.call(channels, &TestUSD::nameCall {}).await.expect_err("not a token");
    assert!(matches!(refused, CallError::Reverted { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_typed_and_nothing_is_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = connect(&ledger).await;
    let sender = sender(&chain, 0);
    let token = test_usd(&sender).await;
    let before = ledger.block_number();

    let receiver = Address::repeat_byte(0x77);
    match sender.send(&transfer(token, receiver, 5)).await.expect_err("there is nothing") {
        TransactError::Reverted { revert } => {
            let error = revert.decode::<TestUSD::ERC20InsufficientBalance>().expect("that error");
            assert_eq!((error.sender, error.needed), (sender.address(), U256::from(5)));
            assert_eq!(revert.name(), "ERC20InsufficientBalance");
        }
        other => panic!("{other}"),
    }
    assert_eq!(ledger.block_number(), before);

    let receipt = sender.send(&mint(token, receiver, 7)).await.expect("anyone mints");
    let event = receipt.event::<TestUSD::Transfer>(token).expect("is logged");
    assert_eq!((event.to, event.value), (receiver, U256::from(7)));
    assert_eq!(tokens_of(&chain, token, receiver).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_coin_and_gas_above_the_cap_are_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = connect(&ledger).await;
    let token = test_usd(&sender(&chain, 0)).await;
    let poor = chain.sender(Account::generate());
    let error = poor.send(&mint(token, poor.address(), 1)).await.expect_err("no coin for gas");
    assert!(
        matches!(error, TransactError::InsufficientFunds { account, balance_wei, .. }
            if account == poor.address() && balance_wei == U256::ZERO),
        "{error}"
    );

    let config = Config { max_fee_wei: 10, ..development(ledger.rpc_url()) };
    let thrifty = Chain::connect(config).await.expect("connects");
    let error = sender(&thrifty, 0).send(&mint(token, poor.address(), 1)).await.expect_err("too dear");
    assert!(matches!(error, TransactError::FeesAboveCap { cap_wei: 10, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_from_one_account_get_nonces_without_a_gap() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = connect(&ledger).await;
    let one = sender(&chain, 0);
    let token = test_usd(&one).await;
    let receiver = Address::repeat_byte(0x77);

    // Clones share their nonces; the second sender is another process's, so to say, and they have to find out.
    let other = sender(&chain, 0);
    let sends = (0..48).map(|n| {
        let sender = if n % 3 == 0 { other.clone() } else { one.clone() };
        tokio::spawn(async move { sender.send(&mint(token, receiver, 1)).await })
    });
    let mut transactions = HashSet::new();
    for send in sends.collect::<Vec<_>>() {
        let receipt = send.await.expect("runs").expect("is carried out");
        assert_eq!(moved(&receipt, token), [1]);
        transactions.insert(receipt.transaction_hash);
    }
    assert_eq!(transactions.len(), 48);
    assert_eq!(tokens_of(&chain, token, receiver).await, 48);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_request_or_answer_neither_loses_nor_repeats_a_payment() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let relay = Relay::to(ledger.address()).await;
    let chain = Chain::connect(development(relay.url())).await.expect("connects");
    let sender = sender(&chain, 0);
    let token = test_usd(&sender).await;
    let receiver = Address::repeat_byte(0x77);
    let mut expected = 0;
    for fate in [Fate::LostAfter, Fate::LostBefore, Fate::LostAfter] {
        for payment in [1, 10, 100] {
            relay.lose(1, fate);
            let receipt = sender.send(&mint(token, receiver, payment)).await.expect("is carried out");
            assert_eq!(moved(&receipt, token), [payment]);
            assert_eq!(relay.left_to_lose(fate), 0, "the request was lost");
            expected += payment;
            assert_eq!(tokens_of(&chain, token, receiver).await, expected, "{fate:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_is_carried_out_once_whatever_happens_between() {
    let (dir, journal) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let ledger = embedded(dir.path()).await;
    let relay = Relay::to(ledger.address()).await;
    let config = Config { give_up_after: Duration::from_millis(300), ..development(relay.url()) };
    let chain = Chain::connect(config).await.expect("connects");
    let account = chain.development_account(0).expect("development mode");
    // A new sender on the same journal is the program after a restart.
    let open = || chain.journaled_sender(account.clone(), journal.path()).expect("opens");
    let token = test_usd(&open()).await;
    let receiver = Address::repeat_byte(0x77);
    let payment = mint(token, receiver, 5);

    for (number, fate) in [Fate::LostBefore, Fate::LostAfter].into_iter().enumerate() {
        let intent = keccak256([number as u8]);
        relay.lose(usize::MAX, fate);
        let sender = open();
        let sending = tokio::time::timeout(Duration::from_secs(20), sender.send_once(intent, &payment));
        let first = sending.await.expect("gives up");
        relay.lose(0, fate);
        match (fate, first) {
            (Fate::LostBefore, Err(TransactError::Unresolved { .. })) => {}
            (Fate::LostAfter, Ok(_)) => {}
            (_, other) => panic!("{fate:?}: {other:?}"),
        }
        let receipt = open().send_once(intent, &payment).await.expect("is carried out");
        for sender in [open(), open()] {
            assert_eq!(sender.send_once(intent, &payment).await.expect("exists"), receipt);
        }
        assert_eq!(tokens_of(&chain, token, receiver).await, 5 * (number as u64 + 1), "{fate:?}");
        let other =
            open().send_once(intent, &mint(token, receiver, 6)).await.expect_err("means something else");
        assert!(matches!(other, TransactError::OtherIntent { .. }), "{other}");
    }

    let (sender, intent) = (open(), keccak256("at once"));
    let sends = [(); 8].map(|()| {
        let (sender, payment) = (sender.clone(), payment.clone());
        tokio::spawn(async move { sender.send_once(intent, &payment).await })
    });
    for send in sends {
        send.await.expect("runs").expect("is carried out");
    }
    assert_eq!(tokens_of(&chain, token, receiver).await, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_goes_on_after_the_node_was_gone() {
    let (dir, journal) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let ledger = embedded(dir.path()).await;
    let relay = Relay::to(ledger.address()).await;
    let chain = Chain::connect(development(relay.url())).await.expect("connects");
    let sender = chain
        .journaled_sender(chain.development_account(0).expect("development mode"), journal.path())
        .expect("opens");
    let token = test_usd(&sender).await;
    let receiver = Address::repeat_byte(0x77);

    relay.lose(1, Fate::LostBefore);
    let payment = mint(token, receiver, 5);
    let sending = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send_once(keccak256("once"), &payment).await }
    });
    let relay = Arc::new(relay);
    let cutter = tokio::spawn({
        let relay = relay.clone();
        async move {
            while relay.left_to_lose(Fate::LostBefore) > 0 {
                tokio::task::yield_now().await;
            }
            relay.cut();
        }
    });
    cutter.await.expect("runs");
    relay.mend();
    sending.await.expect("runs").expect("is carried out");
    assert_eq!(tokens_of(&chain, token, receiver).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_is_signed_in_the_domain_that_the_token_confirms() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(dir.path()).await;
    let chain = connect(&ledger).await;
    let (owner, spender) = (Account::generate(), sender(&chain, 0));
    let token = test_usd(&spender).await;
    spender.send(&mint(token, owner.address(), 100)).await.expect("mints");
    let domain = TokenDomain::read(&chain, token).await.expect("a domain");
    let deadline = U256::from(chain.head().await.expect("a head").timestamp_s + 600);

    let permit = Permit {
        owner: owner.address(),
        spender: spender.address(),
        value: U256::from(30),
        nonce: domain.permit_nonce(&chain, owner.address()).await.expect("a nonce"),
        deadline,
    };
    let signature = domain.sign(&owner, &permit).as_bytes().to_vec().into();
    let call = TestUSD::permit_0Call {
        owner: permit.owner,
        spender: permit.spender,
        value: permit.value,
        deadline,
        signature,
    };
    spender.send(&Transaction::call(token, &call)).await.expect("the permit is good");

    let authorization = ReceiveWithAuthorization {
        from: owner.address(),
        to: spender.address(),
        value: U256::from(40),
        validAfter: U256::ZERO,
        validBefore: deadline,
        nonce: random_nonce(),
    };
    let signature = domain.sign(&owner, &authorization).as_bytes().to_vec().into();
    let call = TestUSD::receiveWithAuthorization_0Call {
        from: authorization.from,
        to: authorization.to,
        value: authorization.value,
        validAfter: authorization.validAfter,
        validBefore: authorization.validBefore,
        nonce: authorization.nonce,
        signature,
    };
    spender.send(&Transaction::call(token, &call)).await.expect("the authorization is good");
    assert_eq!(tokens_of(&chain, token, spender.address()).await, 40);
    let again = spender.send(&Transaction::call(token, &call)).await.expect_err("used up");
    assert!(matches!(again, TransactError::Reverted { .. }), "{again}");
}

fn parameters(dao: Address) -> Parameters {
    Parameters {
        governance_delay_s: 3_600,
        proposer: dao,
        arbiter: dao,
        treasury: Address::repeat_byte(0x55),
        fee_bps: 100,
        listed: Vec::new(),
        test_usd: true,
        salt: B256::ZERO,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_is_deployed_once_and_found_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(&dir.path().join("ledger")).await;
    let chain = connect(&ledger).await;
    let sender = sender(&chain, 0);
    let parameters = parameters(sender.address());
    let suite = deploy::suite(&sender, &parameters).await.expect("deploys");

    let royalties = suite.royalties.address;
    let governor = chain.call(royalties, &Royalties::governorCall {}).await.expect("a governor");
    assert_eq!(governor, suite.timelock.address);
    let delay = chain.call(governor, &TimelockController::getMinDelayCall {}).await.expect("a delay");
    assert_eq!(delay, U256::from(3_600));
    let usd = suite.test_usd.expect("in development").address;
    let listing = chain.call(royalties, &Royalties::listingCall { token: usd }).await.expect("a listing");
    assert_eq!(listing, 1, "TestUSD is listed");
    assert_eq!(chain.call(royalties, &Royalties::feeBpsCall {}).await.expect("a fee"), U256::from(100));

    let blocks = ledger.block_number();
    let again = deploy::suite(&sender, &parameters).await.expect("is there");
    assert_eq!(ledger.block_number(), blocks, "nothing was sent");
    assert_eq!((again.core(), again.deployer), (suite.core(), suite.deployer));

    let other = Parameters { fee_bps: 200, ..parameters.clone() };
    let other = deploy::suite(&sender, &other).await.expect("deploys");
    assert_ne!(other.royalties, suite.royalties, "other parameters are another suite");

    let file = dir.path().join("deployment.json");
    assert!(Deployment::load(&chain, &file).await.expect("reads").is_none());
    suite.save(&file).expect("writes");
    assert_eq!(Deployment::load(&chain, &file).await.expect("reads"), Some(suite.clone()));

    let elsewhere = embedded(&dir.path().join("elsewhere")).await;
    let error = Deployment::load(&connect(&elsewhere).await, &file).await.expect_err("another chain");
    assert!(matches!(error, DeploymentError::OtherChain { .. }), "{error}");
    let text = std::fs::read_to_string(&file).expect("reads");
    let swapped =
        text.replace(&suite.assets.address.to_string().to_lowercase(), &suite.shares.address.to_string());
    assert_ne!(swapped, text);
    for (broken, is_code) in [
        (swapped, true),
        (text[..200].to_owned(), false),
        (text.replace("\"version\": 1", "\"version\": 9"), false),
    ] {
        std::fs::write(&file, broken).expect("writes");
        let error = Deployment::load(&chain, &file).await.expect_err("is not that");
        assert!(
            if is_code {
                matches!(error, DeploymentError::OtherCode { .. })
            } else {
                matches!(error, DeploymentError::Corrupt { .. })
            },
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_deployment_goes_on_where_it_stopped() {
    let (dir, journal) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let ledger = embedded(dir.path()).await;
    let relay = Relay::to(ledger.address()).await;
    let config = Config { give_up_after: Duration::from_millis(200), ..development(relay.url()) };
    let chain = Chain::connect(config).await.expect("connects");
    let open = || {
        let account = chain.development_account(0).expect("development mode");
        chain.journaled_sender(account, journal.path()).expect("opens")
    };
    let parameters = parameters(open().address());
    let mut stops = 0;
    let suite = loop {
        // Each time a few transactions more get through before the line is dead.
        let sender = open();
        let target = ledger.block_number() + 2;
        let attempt = tokio::spawn({
            let parameters = parameters.clone();
            async move { deploy::suite(&sender, &parameters).await }
        });
        while ledger.block_number() < target && !attempt.is_finished() {
            tokio::task::yield_now().await;
        }
        if !attempt.is_finished() {
            relay.cut();
        }
        let outcome = attempt.await.expect("runs");
        relay.mend();
        match outcome {
            Ok(suite) => break suite,
            Err(DeployError::Transact { .. } | DeployError::Rpc(_)) => stops += 1,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(stops > 0, "it was interrupted");
    for (contract, placed) in [(Contract::Assets, suite.assets), (Contract::Royalties, suite.royalties)] {
        assert!(contract.is_code(&chain.code(placed.address).await.expect("code")), "{contract:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_the_proxy_or_the_channels_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = residual_local_ledger::Config { development: true, ..Default::default() };
    let bare = LocalLedger::open(dir.path(), config).await.expect("opens");
    let chain = connect(&bare).await;
    let sender = sender(&chain, 0);
    let error = deploy::create2(&sender, Contract::TestUSD, B256::ZERO, &[]).await.expect_err("no proxy");
    assert!(matches!(error, DeployError::NoProxy { found: "nothing", .. }), "{error}");
    let error = deploy::suite(&sender, &parameters(sender.address())).await.expect_err("no channels");
    assert!(matches!(error, DeployError::NotThere { contract: "Channels", .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_currency_is_told_before_anything_is_created() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = embedded(&dir.path().join("ledger")).await;
    let chain = connect(&ledger).await;
    let sender = sender(&chain, 0);
    let mut parameters = parameters(sender.address());
    parameters.listed = (1..=4).map(Address::with_last_byte).collect();
    let error = deploy::suite(&sender, &parameters).await.expect_err("five currencies");
    assert!(matches!(error, DeployError::TooManyCurrencies { found: 5 }), "{error}");
    assert_eq!(chain.head().await.expect("a head").number, 0, "nothing was sent");
}
