//! The HTTP side of a marketplace: its API under `/v1`, described by OpenAPI 3.1.
//!
//! Owns: requests and answers (one shape of errors, ids, limits), x402 payments as their server, the models that are
//! served and the queue before them, the release of keys over HTTP, content by CID, and the background work that brings
//! the money of vouchers to the ledger. Refuses: rules of money and of metering (`client`, `meter`), what a licence
//! allows (`content` decides, `client` reads the ledger for it), pages (`web`), and the wire forms of x402 (`x402`).

mod api;
mod caller;
mod connections;
mod cors;
mod extract;
mod gas;
mod limits;
mod payment;
mod problem;
mod service;
mod settlement;

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use axum::{
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use residual_client::{
    ChannelError, Client, DirectoryStore, EpochError, LedgerError, Person, StoreError, TokenError,
};
use residual_meter::Meter;
use residual_primitives::{Address, Amount, AssetId};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinHandle,
};
use tower_http::catch_panic::CatchPanicLayer;

use gas::GasPrice;
use problem::Problem;
use service::{Queue, Service};
use settlement::Settlement;

pub use api::openapi;
pub use limits::Limits;
pub use payment::PaymentRules;
pub use service::{ServiceError, Serving};
pub use settlement::SettlementRules;

/// How many calls wait for a worker before others are told to come back.
const WAITING_MAX: usize = 256;

/// What a gateway serves, and to whom.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The URL that it is known by, without a slash at the end; none: what each caller calls it.
    pub public_url: Option<String>,
    /// The models that it serves.
    pub serving: Vec<Serving>,
    /// The gateway's part of what its models earn, in basis points, 0 to 5000, as their controllers grant it: then they are
    /// paid through its own tills as their operator.
    pub operator_bps: u16,
    /// What a whole coin of the chain (10^18 wei) costs, in the currency's smallest unit; none: gas is for nothing, as on an
    /// embedded ledger, and elsewhere no model is served then.
    pub coin_price: Option<Amount>,
    /// The most that may be charged and not claimed, in the currency's smallest unit.
    pub unclaimed_cap: Amount,
    /// The marketplace's own origins, as `https://market.example`: their pages may do everything, others only GET.
    pub origins: Vec<String>,
    /// What every request is held to.
    pub limits: Limits,
    /// The proxies in front of it: what they say of whom they speak for is believed (`Forwarded`, `X-Forwarded-For`).
    pub trusted_proxies: Vec<IpAddr>,
    /// By which rules payments are taken.
    pub payments: PaymentRules,
    /// When and how vouchers are claimed.
    pub settlement: SettlementRules,
}

impl Config {
    /// A gateway at this address that serves no model yet, by the default rules. Nothing but the machine bounds what may
    /// stand unclaimed.
    #[must_use]
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            public_url: None,
            serving: Vec::new(),
            operator_bps: 0,
            coin_price: None,
            unclaimed_cap: Amount(u128::MAX),
            origins: Vec::new(),
            limits: Limits::default(),
            trusted_proxies: Vec::new(),
            payments: PaymentRules::default(),
            settlement: SettlementRules::default(),
        }
    }
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be had.
    #[error("expected to listen on {address}, and the system refuses: {source}; is another process there?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Nobody said what gas costs, where it costs something.
    #[error(
        "expected the price of the chain's coin, to weigh gas against what models earn, found none: say with --coin-price \
         what a whole coin costs, in whole tokens"
    )]
    NoCoinPrice,
    /// What gas costs is not known.
    #[error(transparent)]
    Gas(#[from] LedgerError),
    /// The currency takes no signed payments.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The log of charges cannot be used.
    #[error(transparent)]
    Meter(#[from] ChannelError),
    /// The log of charges cannot go on.
    #[error(transparent)]
    Log(#[from] EpochError),
    /// A model cannot be served.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The blocks cannot be served.
    #[error(transparent)]
    Blocks(#[from] StoreError),
}

/// What handlers share.
pub(crate) struct App {
    pub(crate) client: Arc<Client>,
    /// The key of this gateway process.
    pub(crate) account: Person,
    pub(crate) listing: api::assets::Listing,
    pub(crate) blocks: Arc<DirectoryStore>,
    pub(crate) services: BTreeMap<AssetId, Service>,
    pub(crate) queue: Queue,
    pub(crate) meter: Meter,
    pub(crate) seats: payment::Seats,
    pub(crate) shop: payment::Shop,
    /// Room for payments that are dealt with.
    pub(crate) payments: Arc<Semaphore>,
    pub(crate) repeats: payment::Repeats,
    /// What the facilitator has carried out and nobody was told yet.
    pub(crate) untold: payment::facilitator::Untold,
    /// What gas costs.
    pub(crate) gas: Arc<GasPrice>,
    /// Gas that is still given for others this hour.
    pub(crate) sponsor: payment::Sponsor,
    /// One reader of usage files at a time.
    pub(crate) usage_turn: Semaphore,
    /// Tills that were paid on the ledger and not swept yet.
    paid: Mutex<BTreeSet<Address>>,
    public_url: Option<String>,
}

impl App {
    /// The model that is served under this id.
    fn service(&self, asset: AssetId) -> Result<&Service, Problem> {
        self.services.get(&asset).ok_or_else(|| {
            Problem::not_found(format!(
                "expected a model that this gateway serves, found {asset}; see /v1/gateway"
            ))
        })
    }

    /// The URL that a caller asked for.
    fn url_of(&self, uri: &Uri, headers: &HeaderMap) -> String {
        let host = || headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let base = self.public_url.clone().unwrap_or_else(|| format!("http://{}", host()));
        format!("{base}{}", uri.path())
    }

    /// Notes that something lies in a till.
    fn note_paid(&self, till: Address) {
        self.paid.lock().expect("nobody panics while noting a till").insert(till);
    }

    /// The tills that something was noted for since the last look.
    fn paid_tills(&self) -> BTreeSet<Address> {
        std::mem::take(&mut *self.paid.lock().expect("nobody panics while taking the tills"))
    }
}

/// A model that a running gateway serves.
#[derive(Debug, Clone)]
pub struct Served {
    /// Which.
    pub asset: AssetId,
    /// Its publisher's word for it.
    pub name: String,
    /// What one image or row costs, in the currency's smallest unit.
    pub unit_price: Amount,
}

/// A gateway that runs. Dropped, it is cut off; [`Gateway::shut_down`] lets it finish.
pub struct Gateway {
    address: SocketAddr,
    serving: Vec<Served>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    stop_settling: watch::Sender<bool>,
    settle_now: mpsc::Sender<oneshot::Sender<()>>,
    settlement: JoinHandle<()>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Starts to serve. `account` is the key of this gateway process: key requests name it, and channels; it pays the gas
    /// of deposits and claims.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(client: Arc<Client>, account: Person, config: Config) -> Result<Self, StartError> {
        if config.coin_price.is_none() && !config.serving.is_empty() && !client.is_embedded() {
            return Err(StartError::NoCoinPrice);
        }
        let address = config.listen;
        let failed = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let blocks = Arc::new(client.blocks()?);
        let gas = Arc::new(GasPrice::new(config.coin_price.unwrap_or_default()));
        gas.renew(&client, &account).await?;
        let sponsor = payment::Sponsor::new(config.payments.sponsored_gas_per_hour);
        let shop = payment::Shop::open(&client, account.address(), config.payments, Arc::clone(&gas)).await?;
        let mut services = BTreeMap::new();
        for serving in &config.serving {
            let service = Service::open(&client, &account, serving, config.operator_bps).await?;
            services.insert(serving.asset, service);
        }
        let meter = client.meter(account.address(), config.unclaimed_cap).await?;
        let begun = meter.epoch();
        let epoch = client.pass_committed(account.address(), &meter).await?;
        if epoch > begun {
            tracing::warn!(epoch, "the log is an older copy; it goes on in this epoch");
        }
        let serving = services.values().map(|service| Served {
            asset: service.asset,
            name: service.name.clone(),
            unit_price: service.unit_price,
        });
        let serving = serving.collect();
        let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let app = Arc::new(App {
            client,
            account,
            listing: api::assets::Listing::default(),
            blocks,
            services,
            queue: Queue::new(workers, WAITING_MAX),
            meter,
            seats: payment::Seats::default(),
            shop,
            payments: Arc::new(Semaphore::new(config.limits.concurrency)),
            repeats: payment::Repeats::default(),
            untold: payment::facilitator::Untold::default(),
            gas,
            sponsor,
            usage_turn: Semaphore::new(1),
            paid: Mutex::default(),
            public_url: config.public_url,
        });
        let routes = api::routes(Arc::clone(&app)).layer(CatchPanicLayer::custom(panicked));
        let proxies = Arc::new(caller::Proxies::new(config.trusted_proxies));
        let routes = limits::hold(routes, config.limits, Arc::clone(&proxies));
        let routes = cors::open(routes, &config.origins);
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(connections::serve(listener, routes, config.limits, proxies, stopped));
        let (stop_settling, settling) = watch::channel(false);
        let (settle_now, asked) = mpsc::channel(1);
        let settlement = tokio::spawn(Settlement::new(app, config.settlement).run(settling, asked));
        Ok(Self { address, serving, stop, server, stop_settling, settle_now, settlement })
    }

    /// The models that it serves, and what a call costs.
    pub fn serving(&self) -> impl Iterator<Item = Served> + '_ {
        self.serving.iter().cloned()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Claims now what is worth its gas, settles and sweeps it, and returns when that was tried.
    pub async fn settle(&self) {
        let (done, told) = oneshot::channel();
        // A settlement that is gone is one that is shutting down, which settles by itself.
        if self.settle_now.send(done).await.is_ok() {
            let _ = told.await;
        }
    }

    /// Takes no more requests, answers those that were begun, claims what is worth its gas, and returns.
    ///
    /// # Errors
    /// When serving had failed.
    pub async fn shut_down(self) -> io::Result<()> {
        self.stop.send_replace(true);
        self.server.await.map_err(io::Error::other)?;
        self.stop_settling.send_replace(true);
        self.settlement.await.map_err(io::Error::other)
    }
}

/// What a caller is told of a bug here; what it was is in the panic's own message, for the operator.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    problem::Problem::internal("something went wrong that should not; tell the gateway's operator")
        .into_response()
}
