//! The real thing: a fresh embedded ledger with the whole suite on it, people with money, and its clock.

use std::marker::PhantomData;

use residual_ledger::{
    Address, B256, Bytes, Chain, Config, Receipt, Revert, Sender, SolCall, TransactError, Transaction, U256,
    contracts::{
        CANONICAL_MULTICALL3, Contract, Multicall3, Royalties, Shares, TestUSD, create2_address,
        genesis_alloc,
    },
    deploy::{self, Deployment, Parameters},
    token::TokenDomain,
};
use residual_local_ledger::{Genesis, GenesisAccount, LocalLedger};
use residual_primitives::MAX_TOKENS;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::steps::ACTORS;

/// The tokens that can be listed at once, and one more, which no history begins with.
pub(crate) const TOKENS: usize = MAX_TOKENS + 1;

/// What every actor has of every token: enough that nobody runs out, little enough that all of it fits 128 bits.
pub(crate) const WEALTH: u128 = 1 << 124;

/// As many views are read by one `eth_call`: well below the gas of a block.
const BATCH: usize = 500;

/// Answers `isEligible` with yes: PUSH1 1, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN, behind what puts it on the ledger.
const YES: &[u8] =
    &[0x67, 0x60, 0x01, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3, 0x5f, 0x52, 0x60, 0x08, 0x60, 0x18, 0xf3];

/// A fresh ledger and everything on it.
pub(crate) struct World {
    pub(crate) chain: Chain,
    pub(crate) suite: Deployment,
    pub(crate) tokens: Vec<Address>,
    pub(crate) domains: Vec<TokenDomain>,
    /// A hook that lets everybody in, and one that is no contract and so lets nobody in.
    pub(crate) hooks: [Address; 2],
    senders: Vec<Sender>,
    ledger: LocalLedger,
    _dir: TempDir,
}

/// The account that deployed the suite and speaks for the DAO.
const DAO: usize = ACTORS as usize;

impl World {
    /// A new ledger on which the first `listed` tokens are listed and the fee is `fee_bps`.
    pub(crate) async fn new(listed: usize, fee_bps: u16) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let accounts = genesis_alloc()
            .into_iter()
            .map(|(address, code)| (address, GenesisAccount { code, ..GenesisAccount::default() }));
        let config = residual_local_ledger::Config {
            genesis: Genesis { accounts: accounts.collect() },
            development: true,
            ..residual_local_ledger::Config::default()
        };
        let ledger = LocalLedger::open(dir.path(), config).await.expect("the ledger opens");
        let config = Config { development: true, ..Config::embedded(ledger.rpc_url()) };
        let chain = Chain::connect(config).await.expect("the ledger answers");
        let senders: Vec<_> = (0..u32::from(ACTORS) + 3)
            .map(|index| chain.sender(chain.development_account(index).expect("development mode")))
            .collect();

        let dao = &senders[DAO];
        let code = Contract::TestUSD.creation_code();
        let mut tokens = Vec::new();
        for number in 0..TOKENS {
            let salt = B256::with_last_byte(number as u8);
            let creation = Transaction {
                to: Some(residual_ledger::contracts::CREATE2_PROXY),
                data: [salt.as_slice(), code].concat().into(),
                value_wei: U256::ZERO,
                gas_max: None,
            };
            dao.send(&creation).await.expect("a token is created");
            tokens.push(create2_address(salt, code));
        }
        let data = Bytes::from_static(YES);
        let yes = Transaction { to: None, data, value_wei: U256::ZERO, gas_max: None };
        let yes =
            dao.send(&yes).await.expect("the hook is created").contract_address.expect("it has an address");
        let parameters = Parameters {
            governance_delay_s: 0,
            proposer: dao.address(),
            arbiter: senders[DAO + 1].address(),
            treasury: senders[DAO + 2].address(),
            fee_bps,
            listed: tokens[..listed].to_vec(),
            test_usd: false,
            salt: B256::ZERO,
        };
        let suite = deploy::suite(dao, &parameters).await.expect("the suite is deployed");
        let mut domains = Vec::new();
        for token in &tokens {
            domains.push(TokenDomain::read(&chain, *token).await.expect("a token's domain"));
        }
        let world = Self {
            chain,
            suite,
            tokens,
            domains,
            hooks: [yes, Address::ZERO.create(1)],
            senders,
            ledger,
            _dir: dir,
        };
        world.enrich().await;
        world
    }

    /// Gives every actor of every token, and lets `Royalties` take it.
    async fn enrich(&self) {
        let mut mints = Batch::default();
        for token in &self.tokens {
            for actor in self.actors() {
                mints.ask(*token, &TestUSD::mintCall { to: actor, amount: U256::from(WEALTH) });
            }
        }
        let mint =
            Transaction::call(CANONICAL_MULTICALL3, &Multicall3::aggregate3Call { calls: mints.calls });
        self.senders[DAO].send(&mint).await.expect("anyone mints");
        let approvals = (0..usize::from(ACTORS)).map(|actor| {
            let (sender, tokens) = (self.senders[actor].clone(), self.tokens.clone());
            let approve = TestUSD::approveCall { spender: self.royalties(), value: U256::MAX };
            tokio::spawn(async move {
                for token in tokens {
                    sender.send(&Transaction::call(token, &approve)).await.expect("an approval");
                }
            })
        });
        for approval in approvals.collect::<Vec<_>>() {
            approval.await.expect("no panic");
        }
    }

    pub(crate) fn royalties(&self) -> Address {
        self.suite.royalties.address
    }

    /// Those who act.
    pub(crate) fn actors(&self) -> Vec<Address> {
        self.senders[..usize::from(ACTORS)].iter().map(Sender::address).collect()
    }

    /// Everybody: the actors, who speaks for the DAO, the first arbiter and the first treasury.
    pub(crate) fn everybody(&self) -> Vec<Address> {
        self.senders.iter().map(Sender::address).collect()
    }

    pub(crate) fn dao(&self) -> Address {
        self.senders[DAO].address()
    }

    pub(crate) fn arbiter(&self) -> Address {
        self.senders[DAO + 1].address()
    }

    pub(crate) fn treasury(&self) -> Address {
        self.senders[DAO + 2].address()
    }

    pub(crate) fn sender(&self, account: Address) -> &Sender {
        self.senders.iter().find(|sender| sender.address() == account).expect("an account of this world")
    }

    /// Carries a transaction out, or says with what the contract refused it.
    pub(crate) async fn send(&self, account: Address, transaction: &Transaction) -> Result<Receipt, Revert> {
        match self.sender(account).send(transaction).await {
            Ok(receipt) => Ok(receipt),
            Err(
                TransactError::Reverted { revert }
                | TransactError::RevertedInBlock { revert: Some(revert), .. },
            ) => Err(revert),
            Err(error) => panic!("the ledger failed: {error}"),
        }
    }

    /// The ledger's clock, in UNIX seconds.
    pub(crate) async fn now_s(&self) -> u64 {
        let now = self.chain.call(self.suite.shares.address, &Shares::clockCall {}).await;
        now.expect("the ledger answers").to()
    }

    /// Puts the clock forward.
    pub(crate) async fn wait(&self, seconds: u64) {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"evm_increaseTime","params":[{seconds}]}}"#);
        let host = self.ledger.address();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(host).await.expect("the ledger listens");
        stream.write_all(request.as_bytes()).await.expect("the ledger listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the ledger answers");
        assert!(answer.contains("\"result\""), "the clock moves in development mode: {answer}");
    }

    pub(crate) async fn till_implementation(&self) -> Address {
        let call = Royalties::tillImplementationCall {};
        self.chain.call(self.royalties(), &call).await.expect("Royalties answers")
    }

    pub(crate) async fn close(self) {
        self.ledger.shutdown().await;
    }
}

/// Many views, read at one moment as far as they fit one call.
#[derive(Default)]
pub(crate) struct Batch {
    calls: Vec<Multicall3::Call3>,
}

/// Where the answer to a question will stand.
pub(crate) struct Asked<C>(usize, PhantomData<C>);

/// The answers to a batch.
pub(crate) struct Answers(Vec<Multicall3::Result>);

impl Batch {
    pub(crate) fn ask<C: SolCall>(&mut self, target: Address, call: &C) -> Asked<C> {
        self.calls.push(Multicall3::Call3 {
            target,
            allowFailure: false,
            callData: call.abi_encode().into(),
        });
        Asked(self.calls.len() - 1, PhantomData)
    }

    pub(crate) async fn read(self, chain: &Chain) -> Answers {
        let mut answers = Vec::with_capacity(self.calls.len());
        for calls in self.calls.chunks(BATCH) {
            let call = Multicall3::aggregate3Call { calls: calls.to_vec() };
            answers.extend(chain.call(CANONICAL_MULTICALL3, &call).await.expect("views do not revert"));
        }
        Answers(answers)
    }
}

impl Answers {
    pub(crate) fn to<C: SolCall>(&self, asked: &Asked<C>) -> C::Return {
        C::abi_decode_returns(&self.0[asked.0].returnData).expect("the view's result")
    }
}
