//! Opening a marketplace: the data directory, the embedded ledger or another, and the contracts on it.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Mutex};

use residual_content::KeyringSecret;
use residual_ledger::{
    Account, Chain, Config as ChainConfig, ConnectError,
    contracts::{genesis_alloc, royalties::Royalties, test_usd::TestUSD},
    deploy::{self, DeployError, Deployment, DeploymentError, Parameters},
};
use residual_local_ledger::{
    Config as LedgerConfig, DEVELOPMENT_ACCOUNTS, Genesis, GenesisAccount, LocalLedger, OpenError,
};
use residual_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::{AccountError, Client, Currency, Home, HomeError, LedgerError, Password, Suite};

const MARKETPLACE: &str = "marketplace.json";
const DEPLOYMENT: &str = "deployment.json";
pub(crate) const NODE: &str = "node.json";

/// What the operator of an embedded ledger holds at genesis, to give gas to others: a billion ether, in wei.
const OPERATOR_WEI: U256 = U256::from_limbs([0x9fd0_803c_e800_0000, 0x033b_2e3c, 0, 0]);

/// How long the timelock of an embedded marketplace holds a decision, in seconds: two days.
const GOVERNANCE_DELAY_S: u64 = 2 * 24 * 60 * 60;

/// Where the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the data directory, served on this loopback address while it is open.
    Embedded(SocketAddr),
    /// At a JSON-RPC of its own.
    Rpc(String),
}

/// Why a marketplace does not open. Nothing was lost.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The data directory was made and never finished.
    #[error("{} was not finished: repeat `residual init`", path.display())]
    Unfinished {
        /// The data directory.
        path: std::path::PathBuf,
    },
    /// An embedded ledger was asked for in another mode than it has.
    #[error("the data directory was made {} development mode: repeat the command {} --development, or use another directory", if *made_with { "in" } else { "without" }, if *made_with { "with" } else { "without" })]
    DevelopmentMode {
        /// How it was made.
        made_with: bool,
    },
    /// The data directory's ledger is open elsewhere, and that process does not say where it answers.
    #[error(
        "the data directory is in use and its node does not answer: stop the other process, or wait until it has started; {source}"
    )]
    InUse {
        /// What opening found.
        #[source]
        source: OpenError,
    },
    /// The embedded ledger does not open.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// The ledger cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The contracts could not be put on the ledger.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// The contracts are not where the data directory says.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// The operator's account cannot be used.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The contracts did not answer.
    #[error(transparent)]
    Call(#[from] LedgerError),
}

/// What was decided when the data directory was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Marketplace {
    development: bool,
    /// Who deploys, and gives gas on an embedded ledger.
    operator: Address,
    /// What the publisher's keyring is encrypted with; it protects backups of `keys/`, not this directory.
    keyring_secret: B256,
}

/// Where a running node of this data directory answers.
#[derive(Debug, Serialize, Deserialize)]
struct RunningNode {
    pid: u32,
    rpc_url: String,
}

impl Client {
    /// Makes a data directory with an embedded ledger and the contracts on it, or finishes one that was begun.
    ///
    /// In development mode the operator is the first development account; else an account `operator` is made, kept
    /// under `password`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn init(
        root: &Path,
        development: bool,
        listen: SocketAddr,
        password: impl FnOnce() -> Result<Password, AccountError>,
    ) -> Result<Self, ClientError> {
        let home = Home::init(root)?;
        let marketplace = match home.read::<Marketplace>(MARKETPLACE)? {
            Some(made) if made.development != development => {
                return Err(ClientError::DevelopmentMode { made_with: made.development });
            }
            Some(_) if home.path(DEPLOYMENT).exists() => {
                return Self::open(root, &Place::Embedded(listen)).await;
            }
            found => found,
        };
        let kept = if development { None } else { Some(crate::people::operator(&home, &password()?)?) };
        let marketplace = match marketplace {
            Some(made) => made,
            None => {
                let operator = kept.as_ref().map_or(DEVELOPMENT_ACCOUNTS[0], Account::address);
                let made = Marketplace { development, operator, keyring_secret: B256::new(rand::random()) };
                home.write(MARKETPLACE, &made)?;
                made
            }
        };
        let (chain, node) = connect(&home, &marketplace, &Place::Embedded(listen)).await?;
        let operator = match kept {
            Some(operator) => operator,
            None => chain.development_account(0).map_err(AccountError::from)?,
        };
        let sender = chain.journaled_sender(operator, &home.dir("journal")?).map_err(LedgerError::from)?;
        let parameters = Parameters {
            governance_delay_s: GOVERNANCE_DELAY_S,
            proposer: marketplace.operator,
            arbiter: marketplace.operator,
            treasury: marketplace.operator,
            fee_bps: 0,
            listed: Vec::new(),
            test_usd: true,
            salt: B256::ZERO,
        };
        deploy::suite(&sender, &parameters).await?.save(&home.path(DEPLOYMENT))?;
        Self::assemble(home, &marketplace, chain, node).await
    }

    /// Opens a data directory that [`Client::init`] made.
    ///
    /// While another process has the embedded ledger open, this one works through that one's JSON-RPC.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn open(root: &Path, place: &Place) -> Result<Self, ClientError> {
        let home = Home::open(root)?;
        let unfinished = || ClientError::Unfinished { path: root.to_owned() };
        let marketplace = home.read::<Marketplace>(MARKETPLACE)?.ok_or_else(unfinished)?;
        if !home.path(DEPLOYMENT).exists() {
            return Err(unfinished());
        }
        let (chain, node) = connect(&home, &marketplace, place).await?;
        Self::assemble(home, &marketplace, chain, node).await
    }

    async fn assemble(
        home: Home,
        marketplace: &Marketplace,
        chain: Chain,
        node: Option<LocalLedger>,
    ) -> Result<Self, ClientError> {
        let deployment = Deployment::load(&chain, &home.path(DEPLOYMENT)).await?;
        let deployment =
            deployment.ok_or_else(|| ClientError::Unfinished { path: home.root().to_owned() })?;
        let token =
            deployment.test_usd.ok_or_else(|| LedgerError::unexpected("a suite without a currency"))?.address;
        let read = |error| ClientError::Call(LedgerError::Call(error));
        let symbol = chain.call(token, &TestUSD::symbolCall {}).await.map_err(read)?;
        let decimals = chain.call(token, &TestUSD::decimalsCall {}).await.map_err(read)?;
        let royalties = deployment.royalties.address;
        let till_implementation =
            chain.call(royalties, &Royalties::tillImplementationCall {}).await.map_err(read)?;
        let suite = Suite {
            assets: deployment.assets.address,
            shares: deployment.shares.address,
            licences: deployment.licences.address,
            royalties,
            transfer_collector: deployment.transfer_collector.address,
            till_implementation,
            deployment,
        };
        Ok(Self {
            home,
            chain,
            suite,
            currency: Currency { token, symbol, decimals },
            node,
            keyring_secret: KeyringSecret::from_bytes(marketplace.keyring_secret.0),
            senders: Mutex::new(BTreeMap::new()),
        })
    }

    /// Where this process serves the embedded ledger; none when it works through another's JSON-RPC.
    #[must_use]
    pub fn serves(&self) -> Option<(String, String)> {
        self.node.as_ref().map(|node| (node.rpc_url(), node.ws_url()))
    }
}

async fn connect(
    home: &Home,
    marketplace: &Marketplace,
    place: &Place,
) -> Result<(Chain, Option<LocalLedger>), ClientError> {
    let listen = match place {
        Place::Rpc(url) => return Ok((Chain::connect(ChainConfig::public(url)).await?, None)),
        Place::Embedded(listen) => *listen,
    };
    let config = LedgerConfig {
        genesis: genesis(marketplace),
        development: marketplace.development,
        listen,
        ..Default::default()
    };
    let (url, node) = match LocalLedger::open(home.path("ledger"), config).await {
        Ok(node) => {
            let rpc_url = node.rpc_url();
            home.write(NODE, &RunningNode { pid: std::process::id(), rpc_url: rpc_url.clone() })?;
            (rpc_url, Some(node))
        }
        Err(source @ OpenError::InUse { .. }) => match home.read::<RunningNode>(NODE)? {
            Some(running) => (running.rpc_url, None),
            None => return Err(ClientError::InUse { source }),
        },
        Err(error) => return Err(error.into()),
    };
    let config = ChainConfig { development: marketplace.development, ..ChainConfig::embedded(url) };
    Ok((Chain::connect(config).await?, node))
}

/// The contracts that stock clients look for, and the operator with gas for everybody.
fn genesis(marketplace: &Marketplace) -> Genesis {
    let mut accounts: BTreeMap<_, _> = genesis_alloc()
        .into_iter()
        .map(|(address, code)| (address, GenesisAccount { nonce: 1, code, ..Default::default() }))
        .collect();
    accounts.insert(marketplace.operator, GenesisAccount { balance: OPERATOR_WEI, ..Default::default() });
    Genesis { accounts }
}
