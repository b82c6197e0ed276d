//! A durable private EVM chain in one process: revm executes, redb stores, jsonrpsee serves.
//!
//! [`LocalLedger::open`] takes a data directory and serves an Ethereum JSON-RPC over HTTP and WebSocket at one
//! address. A block is made as soon as a transaction arrives; `eth_sendRawTransaction` answers when the block is
//! durable (LED-1). Everything else about the chain is stock: gas, receipts, logs and errors agree with other EVMs
//! (LED-2) and their clients connect unchanged (LED-3).
//!
//! The parts: `home` (the data directory), `store` (what is on the disk), `view` (the state for the EVM), `genesis`,
//! `evm` (calls and rules), `pool` (admission and the queue), `writer` (makes blocks), `rpc`, `filters`, `logs`,
//! `pubsub`, `convert` (what is served) and `guard` (to whom). It holds no keys, makes no state proofs, reaches no
//! network, and knows nothing of what the contracts on it are for.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::B128;
use jsonrpsee::server::{BatchRequestConfig, PingConfig, RpcModule, ServerConfig, ServerHandle};
use tokio::sync::{mpsc, watch};

mod convert;
mod evm;
mod filters;
mod genesis;
mod guard;
mod home;
mod logs;
mod pool;
mod pubsub;
mod rpc;
mod store;
mod view;
mod writer;

pub use genesis::{
    BASE_FEE, BLOCK_GAS_LIMIT, DEVELOPMENT_ACCOUNTS, Genesis, GenesisAccount, TRANSACTION_GAS_LIMIT,
};
pub use store::StoreError;

use guard::Guard;
use home::Home;
use rpc::{Clockwork, DevelopmentServer, EthServer, Rpc};
use store::{Facts, Snapshot, Store};
use writer::{Clock, JOBS_MAX, Writer};

/// One request or batch in bytes, at most; the largest transaction in hex, twice, fits well.
const REQUEST_BYTES_MAX: u32 = 2 * 1024 * 1024;
/// One answer in bytes, at most.
const RESPONSE_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// Calls in a batch, at most.
const BATCH_MAX: u32 = 256;
/// Connections at a time, at most.
const CONNECTIONS_MAX: u32 = 256;
/// Subscriptions of one connection, at most.
const SUBSCRIPTIONS_MAX: u32 = 128;
/// How long a closing ledger waits for the answers that are on their way.
const CLOSING_MAX: Duration = Duration::from_secs(10);

/// How to open a ledger.
#[derive(Clone, Debug)]
pub struct Config {
    /// What a new ledger begins with; a ledger that exists keeps its own.
    pub genesis: Genesis,
    /// Funds [`DEVELOPMENT_ACCOUNTS`], whose keys everybody has, and serves `evm_increaseTime` and `evm_mine`. Fixed
    /// when the ledger is made.
    pub development: bool,
    /// Where to listen; port 0 for any.
    pub listen: SocketAddr,
    /// Must be set to listen on an address that is not loopback: whoever reaches it can read everything and have
    /// transactions made into blocks, though not sign any.
    pub allow_remote: bool,
    /// Names, besides loopback ones and `listen`, by which clients may call the server (the `Host` of a request).
    pub hosts: Vec<String>,
    /// Origins, like `http://localhost:3000`, whose pages may call the server from a browser. None by default.
    pub origins: Vec<String>,
}

impl Default for Config {
    /// An empty ledger on a free loopback port, for no browser.
    fn default() -> Self {
        Self {
            genesis: Genesis::default(),
            development: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            allow_remote: false,
            hosts: Vec::new(),
            origins: Vec::new(),
        }
    }
}

/// Why a ledger does not open. Nothing of an existing one has been changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("{} is held{}: the ledger is in use; stop that process or choose another directory",
        path.display(), pid.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    InUse {
        /// The lock file.
        path: PathBuf,
        /// The holder, if it could be read.
        pid: Option<u32>,
    },
    /// The directory was made by a program with another layout.
    #[error("{} holds a ledger of version {found}, this program reads version {expected}: \
        use the program that made it, or another directory", dir.display())]
    OtherVersion {
        /// The data directory.
        dir: PathBuf,
        /// The version that was found.
        found: String,
        /// The only one that this program reads.
        expected: &'static str,
    },
    /// The directory has something else in it.
    #[error("{} is not empty and not a ledger: choose an empty directory or a new one", dir.display())]
    NotALedger {
        /// The directory.
        dir: PathBuf,
    },
    /// A file or directory could not be made or read.
    #[error("{}: {source}; the ledger's directory must be there to read and write", path.display())]
    Directory {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store is damaged, or the disk did not do its work.
    #[error("{}: {source}; if the disk is full, make room and try again, \
        otherwise restore the directory from a backup", path.display())]
    Store {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        source: StoreError,
    },
    /// Development mode cannot be turned on or off later.
    #[error("the ledger was made {} development mode and cannot be opened {} it",
        with_or_without(*made_with), with_or_without(!*made_with))]
    DevelopmentMode {
        /// How it was made.
        made_with: bool,
    },
    /// Not a loopback address, and not told that this is meant.
    #[error(
        "{address} can be reached from other machines; allow it explicitly or listen on a loopback address"
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another address or port")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

fn with_or_without(with: bool) -> &'static str {
    if with { "with" } else { "without" }
}

/// What an opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing; the ledger is new, made with the genesis that was given.
    Created,
    /// The ledger, as it was left.
    Continued,
    /// A copy that was put back: blocks that were acknowledged may be missing, so whoever keeps records beside the
    /// ledger must reconcile them before serving. The ledger has a new incarnation from here on.
    Restored,
}

/// An open ledger. Dropping it closes it as well, without waiting for what is on its way.
pub struct LocalLedger {
    address: SocketAddr,
    facts: Facts,
    opening: Opening,
    server: ServerHandle,
    writer: JoinHandle<watch::Sender<Arc<Snapshot>>>,
    head: watch::Receiver<Arc<Snapshot>>,
}

impl LocalLedger {
    /// Opens the ledger in `dir`, or makes one there, and serves it. Must be called within a Tokio runtime.
    ///
    /// Every page of the store is checked first, which takes a few seconds a gigabyte.
    ///
    /// # Errors
    /// See [`OpenError`]; an existing ledger is unchanged then.
    pub async fn open(dir: impl AsRef<Path>, config: Config) -> Result<Self, OpenError> {
        let address = config.listen;
        if !address.ip().is_loopback() && !config.allow_remote {
            return Err(OpenError::NotLoopback { address });
        }
        let listen = |source| OpenError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        let dir = dir.as_ref().to_owned();
        let (genesis, development) = (config.genesis, config.development);
        let opened = tokio::task::spawn_blocking(move || open_store(&dir, &genesis, development)).await;
        let (writer, facts, clock, opening) = match opened {
            Ok(opened) => opened?,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        };

        let head = writer.head();
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let mut methods = RpcModule::new(());
        let merged = if facts.development {
            methods.merge(DevelopmentServer::into_rpc(Clockwork { jobs: jobs.clone() }))
        } else {
            Ok(())
        };
        merged
            .and_then(|()| {
                methods.merge(EthServer::into_rpc(Rpc::new(head.clone(), jobs, facts.clone(), clock)))
            })
            .expect("the names of the methods are distinct");
        let mut hosts = config.hosts;
        hosts.push(host_of(address));
        let server = ServerConfig::builder()
            .max_request_body_size(REQUEST_BYTES_MAX)
            .max_response_body_size(RESPONSE_BYTES_MAX)
            .max_connections(CONNECTIONS_MAX)
            .max_subscriptions_per_connection(SUBSCRIPTIONS_MAX)
            .set_batch_request_config(BatchRequestConfig::Limit(BATCH_MAX))
            .enable_ws_ping(PingConfig::new())
            .set_id_provider(pubsub::HexIds)
            .build();
        let server = jsonrpsee::server::Server::builder()
            .set_config(server)
            .set_http_middleware(tower::ServiceBuilder::new().layer(Guard::new(&hosts, &config.origins)))
            .build_from_tcp(listener)
            .map_err(|source| OpenError::Listen { address, source })?
            .start(methods);
        let thread = std::thread::Builder::new().name("ledger-writer".into());
        let writer = thread
            .spawn(move || writer.run(queue))
            .map_err(|source| OpenError::Listen { address, source })?;
        Ok(Self { address, facts, opening, server, writer, head })
    }

    /// Where the JSON-RPC is served over HTTP.
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the JSON-RPC is served over WebSocket, with subscriptions.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drawn at random when the ledger was made, at least 2^40, so that a signature serves on one installation only.
    pub fn chain_id(&self) -> u64 {
        self.facts.chain_id
    }

    /// The number of the newest durable block.
    pub fn block_number(&self) -> u64 {
        self.head.borrow().number()
    }

    /// What the opening found.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Drawn at random when the ledger was made and each time it is found to be a restored copy. The `extraData` of
    /// every block has it, so that also a client can tell: a restored ledger begins with an empty block of the new
    /// incarnation.
    pub fn incarnation(&self) -> B128 {
        B128::new(self.facts.incarnation)
    }

    /// Answers what has arrived, takes nothing new, and closes the store.
    pub async fn shutdown(self) {
        // It is stopped already only if this was called twice, which its taking `self` rules out.
        let _ = self.server.stop();
        let closing = async {
            self.server.stopped().await;
            drop(self.head);
            // A panic of the writer was caught and told where it happened.
            if let Ok(Ok(head)) = tokio::task::spawn_blocking(|| self.writer.join()).await {
                head.closed().await;
            }
        };
        if tokio::time::timeout(CLOSING_MAX, closing).await.is_err() {
            tracing::warn!("the ledger closes although clients still wait for answers");
        }
    }
}

impl fmt::Debug for LocalLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLedger")
            .field("address", &self.address)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

fn host_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

fn open_store(
    dir: &Path,
    genesis: &Genesis,
    development: bool,
) -> Result<(Writer, Facts, Clock, Opening), OpenError> {
    let home = Home::enter(dir)?;
    let path = home.store_path();
    let store_error = |source| OpenError::Store { path: path.clone(), source };
    let io_error = |source| OpenError::Directory { path: path.clone(), source };
    let (mut store, opening) = if path.exists() {
        (damaged_means_error(|| Store::open(&path)).map_err(store_error)?, Opening::Continued)
    } else {
        (create_store(&home, genesis, development).map_err(store_error)?, Opening::Created)
    };
    let mut facts = store.facts().map_err(store_error)?;
    if facts.development != development {
        return Err(OpenError::DevelopmentMode { made_with: facts.development });
    }
    let mark = Home::mark(&path).map_err(io_error)?;
    let snapshot = store.snapshot().map_err(store_error)?;
    let lost = match home.noted_tip() {
        Some((number, hash)) => {
            snapshot.block(number).map_err(store_error)?.is_none_or(|block| block.hash != hash)
        }
        None => false,
    };
    let opening = if opening == Opening::Continued && (lost || mark != facts.mark) {
        facts.mark = mark;
        facts.incarnation = rand::random();
        store.set_facts(&facts).map_err(store_error)?;
        Opening::Restored
    } else {
        opening
    };
    drop(snapshot);
    let clock = Clock::new(facts.clock_ahead_s);
    let mut writer = Writer::new(store, home, facts.clone(), clock.clone()).map_err(store_error)?;
    if opening == Opening::Restored {
        writer.mark_restoration().map_err(store_error)?;
    }
    Ok((writer, facts, clock, opening))
}

/// Makes the store beside its place and moves it there when it is whole, so that a crash leaves none or all of it.
fn create_store(home: &Home, genesis: &Genesis, development: bool) -> Result<Store, StoreError> {
    let draft = home.draft_path();
    if draft.exists() {
        std::fs::remove_file(&draft)?;
    }
    std::fs::File::create_new(&draft)?;
    let incarnation = rand::random();
    let facts = Facts {
        chain_id: genesis::draw_chain_id(),
        development,
        incarnation,
        mark: Home::mark(&draft)?,
        clock_ahead_s: 0,
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let store = Store::create(&draft, &facts, &genesis::block(genesis, development, incarnation, now_s))?;
    home.adopt_draft()?;
    Ok(store)
}

/// A damaged file can make the database panic; to whoever opens it that is an error like any other.
fn damaged_means_error<T>(open: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(open))
        .unwrap_or(Err(StoreError::Corrupt { what: "the database file" }))
}
