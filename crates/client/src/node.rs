//! Opening a marketplace: the data directory, the embedded ledger or another, and the contracts on it.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use residual_content::KeyringSecret;
use residual_ledger::{
    Account, Chain, Config as ChainConfig, ConnectError,
    contracts::{CANONICAL_CHANNELS, genesis_alloc, royalties::Royalties, test_usd::TestUSD},
    deploy::{self, DeployError, Deployment, DeploymentError, Parameters},
};
use residual_local_ledger::{
    Config as LedgerConfig, DEVELOPMENT_ACCOUNTS, Genesis, GenesisAccount, LocalLedger, OpenError,
};
use residual_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{AccountError, Client, Currency, Home, HomeError, LedgerError, Password, Suite};

/// How long another process that has the embedded ledger open and does not answer is waited for.
const IN_USE_WAIT: Duration = Duration::from_secs(5);
const IN_USE_PAUSE: Duration = Duration::from_millis(50);

const MARKETPLACE: &str = "marketplace.json";
const DEPLOYMENT: &str = "deployment.json";
pub(crate) const NODE: &str = "node.json";
const GATEWAY: &str = "gateway.json";
const GATEWAY_LOCK: &str = "gateway.lock";

/// What the operator of an embedded ledger holds at genesis, to give gas to others: a billion ether, in wei.
const OPERATOR_WEI: U256 = U256::from_limbs([0x9fd0_803c_e800_0000, 0x033b_2e3c, 0, 0]);

/// Any free loopback port.
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long the timelock holds a decision, in seconds: two days.
const GOVERNANCE_DELAY_S: u64 = 2 * 24 * 60 * 60;

/// Whether a password is asked for a key that is made with it, or for one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKey {
    /// The key is made now.
    Yes,
    /// The key lies in the keystore.
    No,
}

/// Which ledger to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The one that the data directory was made for. An embedded one is served on this loopback address while it is open,
    /// and other commands work through it; without an address it is for this process alone, and others wait.
    Own(Option<SocketAddr>),
    /// The same chain through another node's JSON-RPC.
    Rpc(String),
}

/// The ledger that a data directory is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// A new embedded ledger with the contracts on it, served on this loopback address while it is open.
    Embedded(SocketAddr),
    /// The chain behind this JSON-RPC, onto which the contracts are put.
    Deploy {
        /// The node, `http://` or `https://`.
        rpc_url: String,
        /// The currencies that are listed; the first is the one that prices are said in. None: `TestUSD`, which is
        /// for development mode alone.
        currencies: Vec<Address>,
    },
    /// The chain behind this JSON-RPC, with the contracts that somebody else put there.
    Join {
        /// The node, `http://` or `https://`.
        rpc_url: String,
        /// That one's deployment file.
        deployment: PathBuf,
    },
}

impl Ground {
    fn rpc_url(&self) -> Option<&str> {
        match self {
            Self::Embedded(_) => None,
            Self::Deploy { rpc_url, .. } | Self::Join { rpc_url, .. } => Some(rpc_url),
        }
    }
}

/// Who has which say in contracts that are put on a ledger. None of them: who puts them there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Governance {
    /// The protocol fee in basis points, at most 500.
    pub fee_bps: u16,
    /// Who gets the fee.
    pub treasury: Option<Address>,
    /// Who may freeze an asset's revenue while a dispute runs.
    pub arbiter: Option<Address>,
    /// Who may change the parameters, each after two days.
    pub governor: Option<Address>,
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
    /// The data directory belongs to another ledger.
    #[error(
        "the data directory is for {found}, not for {expected}: use another directory, or leave the ledger out"
    )]
    OtherLedger {
        /// What was asked for.
        expected: String,
        /// What the directory was made for.
        found: String,
    },
    /// A public chain's contracts need a currency that is worth something.
    #[error(
        "expected the currency of the marketplace: give its token with --currency, or join one with --deployment; TestUSD is for --development alone"
    )]
    NoCurrency,
    /// Two gateways would not know of each other's charges.
    #[error("a gateway of this data directory runs already: stop it first, or use another directory")]
    GatewayRuns,
    /// The data directory's ledger is open elsewhere, and that process does not say where it answers.
    #[error(
        "the data directory is in use by another command: repeat this one when that one is done, or let `residual up` run, through which commands work side by side; {source}"
    )]
    InUse {
        /// What opening found.
        #[source]
        source: OpenError,
    },
    /// Another process has it open, and nothing answers where that one says it does.
    #[error(
        "the data directory is in use by a node that should answer at {rpc_url} and does not: stop the other process, or wait until it has started; {source}"
    )]
    Silent {
        /// Where.
        rpc_url: String,
        /// What came instead.
        #[source]
        source: ConnectError,
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
    /// There is no deployment file.
    #[error("{}: expected the deployment file of the marketplace to join, found no file", path.display())]
    NoDeployment {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The operator's account cannot be used.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The contracts did not answer.
    #[error(transparent)]
    Call(#[from] LedgerError),
}

/// What was decided when the data directory was made. Not to be printed: it holds a secret, and the URL may hold one.
#[derive(Clone, Serialize, Deserialize)]
struct Marketplace {
    development: bool,
    ledger: Ledger,
    /// What the publisher's keyring is encrypted with; it protects backups of `keys/`, not this directory.
    keyring_secret: Zeroizing<[u8; 32]>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Ledger {
    /// `operator` deploys and gives gas.
    Embedded {
        operator: Address,
    },
    Rpc {
        url: String,
    },
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { .. } => f.write_str("an embedded ledger"),
            Self::Rpc { url } => write!(f, "the ledger at {}", host_of(url)),
        }
    }
}

/// Where a running node of this data directory answers.
#[derive(Debug, Serialize, Deserialize)]
struct RunningNode {
    rpc_url: String,
}

/// Where the gateway of this data directory answers.
#[derive(Debug, Serialize, Deserialize)]
struct RunningGateway {
    url: String,
    /// The account that it acts with.
    account: Address,
}

/// The announcement of a running gateway: other commands find it until this is dropped or the process dies.
#[must_use]
#[derive(Debug)]
pub struct Announced(#[expect(dead_code, reason = "it is held, not read")] File);

/// How a data directory was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// In development mode.
    pub development: bool,
    /// With an embedded ledger, and not for a chain behind a JSON-RPC.
    pub embedded: bool,
}

impl Client {
    /// Makes a data directory for a ledger, puts the contracts there or finds them, or finishes what was begun.
    ///
    /// What the contracts cost is paid by the first development account in development mode, else by an account
    /// `operator` that is made and kept under `password`.
    ///
    /// # Errors
    /// See [`ClientError`]. Repeated, it goes on where it stopped.
    pub async fn init(
        root: &Path,
        development: bool,
        ground: &Ground,
        governance: &Governance,
        password: impl FnOnce(NewKey) -> Result<Password, AccountError>,
    ) -> Result<Self, ClientError> {
        if matches!(ground, Ground::Deploy { currencies, .. } if currencies.is_empty() && !development) {
            return Err(ClientError::NoCurrency);
        }
        let home = Home::init(root)?;
        let listen = match ground {
            Ground::Embedded(listen) => *listen,
            _ => ANY_PORT,
        };
        let made = home.read::<Marketplace>(MARKETPLACE)?;
        if let Some(made) = &made {
            made.check(development, ground)?;
            if home.path(DEPLOYMENT).exists() {
                return Self::open(root, &Place::Own(Some(listen))).await;
            }
        }
        // Whoever joins puts nothing there.
        let kept = match ground {
            Ground::Join { .. } => None,
            _ if development => None,
            _ => Some(crate::people::operator(&home, password)?),
        };
        let marketplace = made.unwrap_or_else(|| Marketplace {
            development,
            ledger: match ground.rpc_url() {
                Some(url) => Ledger::Rpc { url: url.to_owned() },
                None => Ledger::Embedded {
                    operator: kept.as_ref().map_or(DEVELOPMENT_ACCOUNTS[0], Account::address),
                },
            },
            keyring_secret: Zeroizing::new(rand::random()),
        });
        let (chain, node) = connect(&home, &marketplace, &Place::Own(Some(listen))).await?;
        if let Ground::Deploy { currencies, .. } = ground {
            for currency in currencies {
                // Before anything is paid for: whatever has no decimals is no currency.
                let asked = chain.call(*currency, &TestUSD::decimalsCall {}).await;
                asked.map_err(|error| ClientError::Call(LedgerError::Call(error)))?;
            }
        }
        // Only now, so that an address at which nothing answers does not stay the directory's.
        home.write(MARKETPLACE, &marketplace)?;
        let deployment = match ground {
            Ground::Join { deployment, .. } => joined(&chain, deployment).await?,
            Ground::Embedded(_) | Ground::Deploy { .. } => {
                let operator = match kept {
                    Some(operator) => operator,
                    None => chain.development_account(0).map_err(AccountError::from)?,
                };
                let parameters = parameters(operator.address(), development, ground, governance);
                let (sender, _lock) = crate::sole_sender(&home, &chain, &operator).await?;
                deploy::suite(&sender, &parameters).await?
            }
        };
        deployment.save(&home.path(DEPLOYMENT))?;
        Self::assemble(home, &marketplace, chain, node).await
    }

    /// How a data directory was made; none when there is none.
    ///
    /// # Errors
    /// When it is of another version or cannot be read.
    pub fn made(root: &Path) -> Result<Option<Made>, HomeError> {
        match Home::open(root) {
            Err(HomeError::Missing { .. }) => Ok(None),
            home => Ok(home?.read::<Marketplace>(MARKETPLACE)?.map(|made| Made {
                development: made.development,
                embedded: matches!(made.ledger, Ledger::Embedded { .. }),
            })),
        }
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
        let token = *deployment
            .listed
            .first()
            .ok_or_else(|| LedgerError::unexpected("a suite without a currency"))?;
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
            usage: deployment.usage.address,
            transfer_collector: deployment.transfer_collector.address,
            channels: CANONICAL_CHANNELS,
            till_implementation,
            deployment,
        };
        Ok(Self {
            home,
            chain,
            suite,
            currency: Currency { token, symbol, decimals },
            node,
            embedded: matches!(marketplace.ledger, Ledger::Embedded { .. }),
            keyring_secret: KeyringSecret::from_bytes(*marketplace.keyring_secret),
            nonces_forgotten_at_s: 0.into(),
            senders: tokio::sync::Mutex::new(BTreeMap::new()),
        })
    }

    /// Lets other commands on this data directory find the gateway that this process runs with an account.
    ///
    /// # Errors
    /// [`ClientError::GatewayRuns`], or when the file system refuses.
    pub async fn announce_gateway(&self, url: &str, account: Address) -> Result<Announced, ClientError> {
        let lock = self.home.lock(GATEWAY_LOCK).await?.ok_or(ClientError::GatewayRuns)?;
        self.home.write(GATEWAY, &RunningGateway { url: url.to_owned(), account })?;
        Ok(Announced(lock))
    }

    /// Where the gateway of this data directory answers; none when none runs.
    ///
    /// # Errors
    /// When the data directory cannot be read.
    pub fn running_gateway(&self) -> Result<Option<String>, HomeError> {
        Ok(running_gateway(&self.home)?.map(|running| running.url))
    }

    /// Where this process serves the embedded ledger; none when it works through another's JSON-RPC.
    #[must_use]
    pub fn serves(&self) -> Option<(String, String)> {
        self.node.as_ref().map(|node| (node.rpc_url(), node.ws_url()))
    }
}

/// The gateway that runs in this data directory. What is written there while nobody holds the lock is what one left that
/// was stopped or killed.
fn running_gateway(home: &Home) -> Result<Option<RunningGateway>, HomeError> {
    if home.is_locked(GATEWAY_LOCK)? { home.read(GATEWAY) } else { Ok(None) }
}

/// Whether a running gateway of this data directory acts with an account.
pub(crate) fn is_running_gateways(home: &Home, account: Address) -> Result<bool, HomeError> {
    Ok(running_gateway(home)?.is_some_and(|running| running.account == account))
}

/// What the contracts are made with.
fn parameters(operator: Address, development: bool, ground: &Ground, governance: &Governance) -> Parameters {
    let (listed, test_usd) = match ground {
        Ground::Deploy { currencies, .. } => (currencies.clone(), development),
        Ground::Embedded(_) | Ground::Join { .. } => (Vec::new(), true),
    };
    Parameters {
        governance_delay_s: GOVERNANCE_DELAY_S,
        proposer: governance.governor.unwrap_or(operator),
        arbiter: governance.arbiter.unwrap_or(operator),
        treasury: governance.treasury.unwrap_or(operator),
        fee_bps: governance.fee_bps,
        listed,
        test_usd,
        salt: B256::ZERO,
    }
}

/// Somebody else's deployment, after a look at what lies there.
async fn joined(chain: &Chain, path: &Path) -> Result<Deployment, ClientError> {
    let deployment = Deployment::load(chain, path).await?;
    let deployment = deployment.ok_or_else(|| ClientError::NoDeployment { path: path.to_owned() })?;
    deployment.check_release(chain).await?;
    Ok(deployment)
}

impl Marketplace {
    /// Whether the directory may be made for this, having been made for that.
    fn check(&self, development: bool, ground: &Ground) -> Result<(), ClientError> {
        if self.development != development {
            return Err(ClientError::DevelopmentMode { made_with: self.development });
        }
        let same = match (&self.ledger, ground.rpc_url()) {
            (Ledger::Embedded { .. }, None) => true,
            (Ledger::Rpc { url }, Some(asked)) => url == asked,
            _ => false,
        };
        if same {
            return Ok(());
        }
        let expected = ground
            .rpc_url()
            .map_or_else(|| "an embedded ledger".to_owned(), |url| format!("the ledger at {}", host_of(url)));
        Err(ClientError::OtherLedger { expected, found: self.ledger.to_string() })
    }
}

/// Of a URL what may be shown: the rest may hold the key of its user.
pub(crate) fn host_of(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

async fn connect(
    home: &Home,
    marketplace: &Marketplace,
    place: &Place,
) -> Result<(Chain, Option<LocalLedger>), ClientError> {
    let development = marketplace.development;
    let (listen, operator) = match (place, &marketplace.ledger) {
        (Place::Own(listen), Ledger::Embedded { operator }) => (listen, operator),
        (Place::Rpc(url), ledger) | (Place::Own(_), ledger @ Ledger::Rpc { url }) => {
            // One writer makes the blocks of an embedded ledger and of a development node, when there is something in
            // them: there is nothing to wait for.
            let config = match ledger {
                Ledger::Rpc { .. } if !development => ChainConfig::public(url),
                _ => ChainConfig { development, ..ChainConfig::embedded(url) },
            };
            return Ok((Chain::connect(config).await?, None));
        }
    };
    let started = Instant::now();
    loop {
        match embedded(home, development, *listen, *operator).await {
            // Another command has it, and most commands are short.
            Err(ClientError::InUse { .. } | ClientError::Silent { .. })
                if started.elapsed() < IN_USE_WAIT =>
            {
                tokio::time::sleep(IN_USE_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// Opens the embedded ledger, or connects to the process that has it open.
async fn embedded(
    home: &Home,
    development: bool,
    listen: Option<SocketAddr>,
    operator: Address,
) -> Result<(Chain, Option<LocalLedger>), ClientError> {
    let config = LedgerConfig {
        genesis: genesis(operator),
        development,
        listen: listen.unwrap_or(ANY_PORT),
        ..Default::default()
    };
    let (url, node) = match LocalLedger::open(home.path("ledger"), config).await {
        Ok(node) => {
            let rpc_url = node.rpc_url();
            match listen {
                Some(_) => home.write(NODE, &RunningNode { rpc_url: rpc_url.clone() })?,
                // What a killed process left would lead others to a port that is anybody's.
                None => home.remove(NODE)?,
            }
            (rpc_url, Some(node))
        }
        Err(source @ OpenError::InUse { .. }) => match home.read::<RunningNode>(NODE)? {
            Some(running) => (running.rpc_url, None),
            None => return Err(ClientError::InUse { source }),
        },
        Err(error) => return Err(error.into()),
    };
    let config = ChainConfig { development, ..ChainConfig::embedded(url.clone()) };
    match Chain::connect(config).await {
        Ok(chain) => Ok((chain, node)),
        Err(source) if node.is_none() => Err(ClientError::Silent { rpc_url: url, source }),
        Err(error) => Err(error.into()),
    }
}

/// The contracts that stock clients look for, and the operator with gas for everybody.
fn genesis(operator: Address) -> Genesis {
    let mut accounts: BTreeMap<_, _> = genesis_alloc()
        .into_iter()
        .map(|(address, code)| (address, GenesisAccount { nonce: 1, code, ..Default::default() }))
        .collect();
    accounts.insert(operator, GenesisAccount { balance: OPERATOR_WEI, ..Default::default() });
    Genesis { accounts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_the_host_is_shown() {
        for (url, host) in [
            ("https://user:secret@node.example:8545/v2/key?token=x", "node.example:8545"),
            ("http://127.0.0.1:8545", "127.0.0.1:8545"),
            ("https://node.example?key=secret@x", "node.example"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(host_of(url), host);
        }
    }
}
