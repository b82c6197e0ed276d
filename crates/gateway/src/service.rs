//! The models that are served: each loaded once, its price and its till, and the queue before the processor.

use std::{fmt, sync::Arc, time::Duration};

use residual_client::{Client, Person, ServeError, Till};
use residual_inference::{CardError, InputCard, Limits, LoadError, ModelCard, Served};
use residual_primitives::{Address, Amount, AssetId, LicenceId, RevenueKind, TermsId};
use residual_x402::extensions;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// The file beside the weights that says what a model takes and gives.
const CARD: &str = "model.toml";

/// A model to serve.
#[derive(Debug, Clone)]
pub struct Serving {
    /// Which.
    pub asset: AssetId,
    /// The operator's licence; none when the publisher's keys are here.
    pub licence: Option<LicenceId>,
}

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It may not be, or cannot be opened.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Its version has no weights, or several.
    #[error(
        "expected one file *.onnx in the newest version of {asset}, found {found}: publish the model alone"
    )]
    Weights {
        /// The asset.
        asset: AssetId,
        /// How many there are.
        found: usize,
    },
    /// A file of it is too large to be read at once.
    #[error("expected {path} to have at most {max} bytes, found {found}: serve a smaller model")]
    TooLarge {
        /// The file.
        path: String,
        /// The most that is read.
        max: u64,
        /// Its size.
        found: u64,
    },
    /// A file of it cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The card is none.
    #[error("{CARD} of {asset}: {source}")]
    Card {
        /// The asset.
        asset: AssetId,
        /// What is wrong with it.
        #[source]
        source: CardError,
    },
    /// The operator asks for a part that the controller does not grant.
    #[error(
        "expected the controller of {asset} to grant {operator} {operator_bps} basis points of its inference, found no such \
         grant, and what is swept without it brings the operator nothing: have `residual operator grant {asset} {operator} \
         --bps {operator_bps}` carried out, or serve without --operator-bps"
    )]
    NotGranted {
        /// The asset.
        asset: AssetId,
        /// The gateway's account.
        operator: Address,
        /// The part, in basis points.
        operator_bps: u16,
    },
    /// The weights cannot be run.
    #[error("the weights of {asset}: {source}")]
    Load {
        /// The asset.
        asset: AssetId,
        /// Why.
        #[source]
        source: LoadError,
    },
}

/// A model that is served.
pub(crate) struct Service {
    pub(crate) asset: AssetId,
    pub(crate) name: String,
    pub(crate) version: u32,
    /// The terms that the price is of.
    pub(crate) terms: TermsId,
    pub(crate) unit_price: Amount,
    pub(crate) till: Till,
    pub(crate) receiver: Address,
    pub(crate) model: Arc<Served>,
    /// What crawlers are told of it.
    pub(crate) discovery: Arc<Value>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("asset", &self.asset)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Opens a model's newest version, loads it and learns its price. With a part for the operator, it is paid through the
    /// operator's till, and only if the asset's controller grants that.
    pub(crate) async fn open(
        client: &Client,
        operator: &Person,
        serving: &Serving,
        operator_bps: u16,
    ) -> Result<Self, ServiceError> {
        let asset = serving.asset;
        let till = till_of(asset, operator.address(), operator_bps);
        if operator_bps > 0 && !client.is_granted(&till).await.map_err(ServeError::from)? {
            client.asset_row(asset).await.map_err(ServeError::from)?;
            return Err(ServiceError::NotGranted { asset, operator: till.operator, operator_bps });
        }
        let price = client.call_price(asset).await?;
        let (version, content) = client.open_for_serving(operator, asset, serving.licence).await?;
        let limits = Limits::default();
        let weights: Vec<_> =
            content.files().iter().filter(|file| file.path.as_str().ends_with(".onnx")).collect();
        let [weights] = weights[..] else {
            return Err(ServiceError::Weights { asset, found: weights.len() });
        };
        let read = |path: &str, bytes: u64, max: u64| {
            if bytes > max {
                return Err(ServiceError::TooLarge { path: path.to_owned(), max, found: bytes });
            }
            let read = tokio::task::block_in_place(|| content.read(path, 0..bytes));
            read.map_err(|source| ServiceError::Read { path: path.to_owned(), source: source.into() })
        };
        let onnx = read(weights.path.as_str(), weights.bytes, limits.max_model_bytes as u64)?;
        let card = match content.files().iter().find(|file| file.path.as_str() == CARD) {
            None => None,
            Some(file) => {
                let text = read(CARD, file.bytes, residual_inference::MAX_CARD_BYTES as u64)?;
                // Bytes that are no text are no card: what stands for them is refused as such.
                let card = ModelCard::from_toml(&String::from_utf8_lossy(&text));
                Some(card.map_err(|source| ServiceError::Card { asset, source })?)
            }
        };
        let load = || Served::load(&onnx, card.as_ref(), &limits);
        let model =
            tokio::task::block_in_place(load).map_err(|source| ServiceError::Load { asset, source })?;
        let page = client.asset_page(asset).await.map_err(ServeError::from)?;
        let name = page.about.get("name").cloned().unwrap_or_else(|| asset.to_string());
        let discovery = Arc::new(discovery(&model));
        Ok(Self {
            asset,
            name,
            version,
            terms: price.terms,
            unit_price: price.unit,
            till,
            receiver: client.till_address(&till),
            model: Arc::new(model),
            discovery,
        })
    }
}

/// Into which till calls of an asset are paid: its own, or that of an operator with a part.
fn till_of(asset: AssetId, operator: Address, operator_bps: u16) -> Till {
    let own = Till::own(asset, RevenueKind::Inference);
    if operator_bps == 0 { own } else { Till { operator, operator_bps, ..own } }
}

/// What crawlers are told: one example of what is taken and given, and the schema of the former.
fn discovery(model: &Served) -> Value {
    let takes_images = matches!(model.card().input, InputCard::Image(_));
    let (input, schema) = if takes_images {
        let base64 = json!({ "type": "string", "contentEncoding": "base64", "description": "PNG or JPEG" });
        (
            json!({ "image": "iVBORw0KGgo=" }),
            json!({ "properties": { "image": base64 }, "required": ["image"] }),
        )
    } else {
        let numbers = json!({ "type": "array", "description": "numbers, nested by shape" });
        (json!({ "tensor": [[0.0]] }), json!({ "properties": { "tensor": numbers }, "required": ["tensor"] }))
    };
    extensions::bazaar(
        &input,
        &schema,
        &json!({ "answers": [{ "classes": [{ "label": "a", "score": 0.9 }] }] }),
    )
}

/// The processor's queue: so many jobs at once, so many waiting, and no more.
#[derive(Debug)]
pub(crate) struct Queue {
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
}

impl Queue {
    pub(crate) fn new(workers: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(workers + waiting)),
            workers: Arc::new(Semaphore::new(workers)),
        }
    }

    /// Does a job when a worker is free. Once begun it is finished, whether or not anybody still waits for it.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let detail = "the model's queue is full; try again in a moment";
            return Err(Problem::unavailable(detail, Duration::from_secs(1)));
        };
        let closed = |_| Problem::internal("the model's queue is gone");
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(closed)?;
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place, worker);
            job()
        });
        done.await.map_err(|_| Problem::internal("the model failed at this input"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_queue_refuses_and_a_freed_one_serves_again() {
        let queue = Arc::new(Queue::new(1, 1));
        let (go, wait) = mpsc::channel::<()>();
        let (began, begun) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move {
                queue
                    .work(move || {
                        began.send(()).unwrap();
                        wait.recv().unwrap();
                    })
                    .await
            }
        });
        begun.await.unwrap();
        let second = queue.work(|| 2);
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("the only worker is busy"),
            () = std::future::ready(()) => {}
        }
        let refused = queue.work(|| 3).await.unwrap_err();
        assert_eq!(refused.status(), axum::http::StatusCode::SERVICE_UNAVAILABLE);
        go.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(second.await.unwrap(), 2);
        assert_eq!(queue.work(|| 4).await.unwrap(), 4);
    }
}
