//! The HTTP side of a marketplace: its API under `/v1`, described by OpenAPI 3.1.
//!
//! Owns: requests and answers (one shape of errors, ids, limits), x402 payments as their server, the models that are
//! served and the queue before them, the release of keys over HTTP, content by CID, and the background work that brings
//! the money of vouchers to the ledger. Refuses: rules of money and of metering (`client`, `meter`), what a licence
//! allows (`content` decides, `client` reads the ledger for it), pages (`web`), and the wire forms of x402 (`x402`).

mod api;
mod cors;
mod extract;
mod limits;
mod problem;

use std::{any::Any, fmt, io, net::SocketAddr, sync::Arc};

use axum::response::{IntoResponse, Response};
use residual_client::{Client, DirectoryStore, Person, StoreError};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tower_http::catch_panic::CatchPanicLayer;

pub use api::openapi;
pub use limits::Limits;

/// What a gateway serves, and to whom.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The marketplace's own origins, as `https://market.example`: their pages may do everything, others only GET.
    pub origins: Vec<String>,
    /// What every request is held to.
    pub limits: Limits,
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
}

/// A gateway that runs. Dropped, it is cut off; [`Gateway::shut_down`] lets it finish.
pub struct Gateway {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<io::Result<()>>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Starts to serve. `account` is the key of this gateway process: key requests name it, and channels.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(client: Arc<Client>, account: Person, config: Config) -> Result<Self, StartError> {
        let address = config.listen;
        let failed = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let blocks = Arc::new(client.blocks()?);
        let app = Arc::new(App { client, account, listing: api::assets::Listing::default(), blocks });
        let routes = api::routes(app).layer(CatchPanicLayer::custom(panicked));
        let routes = cors::open(limits::hold(routes, config.limits), &config.origins);
        let (stop, mut stopped) = watch::channel(false);
        let serve = axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(async move {
                // An error is a sender that is gone: cut off.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            });
        let server = tokio::spawn(async move { serve.await });
        Ok(Self { address, stop, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests and returns when those that were begun are answered.
    ///
    /// # Errors
    /// When serving had failed.
    pub async fn shut_down(self) -> io::Result<()> {
        self.stop.send_replace(true);
        self.server.await.map_err(io::Error::other)?
    }
}

/// What a caller is told of a bug here; what it was is in the panic's own message, for the operator.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    problem::Problem::internal("something went wrong that should not; tell the gateway's operator")
        .into_response()
}
