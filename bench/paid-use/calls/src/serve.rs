//! The process that is measured: a gateway with its embedded ledger, and beside it, on the same runtime, what paid calls
//! are compared with: the same model without payments, limits and log, and an echo.
//!
//! It says where it listens in one line of JSON, answers every line it is sent with the number of its flushes so far, and
//! ends when there are no more.

use std::{io, path::Path, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use residual_client::ANY_PORT;
use residual_gateway::{Config, Gateway, Limits, Serving, SettlementRules};
use residual_inference::{MediaType, ModelCard, Served};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{
    Failure, syncs,
    world::{World, account, place},
};

/// Where everything is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stand {
    /// The ledger.
    pub(crate) rpc_url: String,
    /// Paid calls.
    pub(crate) paid: String,
    /// The same calls, for nothing.
    pub(crate) unpaid: String,
    /// The same requests, sent back.
    pub(crate) echo: String,
    /// What is sent.
    pub(crate) body: String,
}

/// The model of the unpaid calls, and as many workers as the gateway has.
struct Free {
    model: Arc<Served>,
    workers: Arc<Semaphore>,
    asset: String,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    tensor: &'a RawValue,
}

pub(crate) async fn run(dir: &Path) -> Result<(), Failure> {
    let world = World::new(dir).await?;
    let gateway = Gateway::start(world.client.clone(), account(&world.client, 9)?, config(&world)).await?;
    let free = free_calls(&world).await?;
    let pixels: Vec<String> = world.digit.pixels().iter().map(u8::to_string).collect();
    let stand = Stand {
        rpc_url: world.client.chain().config().url.clone(),
        paid: format!("http://{}/v1/assets/{}/inference", gateway.address(), world.model.asset),
        unpaid: format!("http://{free}/inference"),
        echo: format!("http://{free}/echo"),
        body: format!(r#"{{"tensor":[[{}]]}}"#, pixels.join(",")),
    };
    println!("{}", serde_json::to_string(&stand)?);
    tokio::task::spawn_blocking(|| -> io::Result<()> {
        for _ in io::stdin().lines() {
            println!("{}", syncs::count());
        }
        Ok(())
    })
    .await??;
    Ok(gateway.shut_down().await?)
}

fn config(world: &World) -> Config {
    Config {
        serving: vec![Serving { asset: world.model.asset, licence: None }],
        // One address sends everything.
        limits: Limits { rate_per_s: 1e9, burst: 1e9, ..Limits::default() },
        // Claims come when the process ends: they are measured by themselves.
        settlement: SettlementRules { interval: Duration::from_secs(60 * 60), ..SettlementRules::default() },
        ..Config::at(ANY_PORT)
    }
}

/// Serves what is compared; where.
async fn free_calls(world: &World) -> Result<std::net::SocketAddr, Failure> {
    let card = ModelCard::from_toml(&std::fs::read_to_string(place("examples/digits-model.toml"))?)?;
    let model = Served::load(&world.onnx, Some(&card), &residual_inference::Limits::default())?;
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let free = Arc::new(Free {
        model: Arc::new(model),
        workers: Arc::new(Semaphore::new(workers)),
        asset: world.model.asset.to_string(),
    });
    let routes = Router::new()
        .route("/echo", post(|_: HeaderMap, body: Bytes| async { body }))
        .route("/inference", post(predict))
        .with_state(free);
    let listener = TcpListener::bind(ANY_PORT).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(address)
}

/// What the gateway does for a call, without all that is there for its payment.
async fn predict(State(free): State<Arc<Free>>, body: Bytes) -> Result<Json<Value>, StatusCode> {
    let call: Call = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let input = free.model.read(call.tensor.get().as_bytes(), MediaType::Json);
    let input = input.map_err(|_| StatusCode::BAD_REQUEST)?;
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    let worker = Arc::clone(&free.workers).acquire_owned().await.map_err(|_| failed)?;
    let model = Arc::clone(&free.model);
    let job = move || {
        let _held = worker;
        model.answer(&input)
    };
    let answers = tokio::task::spawn_blocking(job).await.map_err(|_| failed)?.map_err(|_| failed)?;
    Ok(Json(json!({ "asset": free.asset, "version": 1, "answers": answers })))
}
