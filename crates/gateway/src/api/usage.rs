//! Usage: each use of an asset, for its owners; and the published epochs of this gateway, for whoever audits it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use residual_client::{UsageError, UsageRow};
use residual_primitives::{Amount, AssetId, B256};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    api::words::{self, Account},
    extract::{Named, Queried, page},
    problem::{Problem, ProblemBody},
};

/// What a usage file is: Parquet.
const PARQUET: &str = "application/vnd.apache.parquet";

/// The most uses on a page.
const PAGE_MAX: u32 = 1_000;

/// A page of uses.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// How many to leave out, newest first.
    #[serde(default)]
    #[param(minimum = 0, maximum = 4_294_967_295_u32, default = 0)]
    offset: u32,
    /// How many to list, 1 to 1000.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

fn default_limit() -> u32 {
    100
}

/// Uses of one asset, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageList {
    /// How many there are in the epochs that are published.
    total: usize,
    /// This page of them.
    uses: Vec<UsageView>,
}

/// One metered use, or what was written off of a channel. Nothing of what was asked or answered is kept.
#[derive(Debug, Serialize, ToSchema)]
struct UsageView {
    /// Who metered it.
    #[schema(value_type = words::Address)]
    gateway: String,
    /// The gateway's epoch.
    epoch: u64,
    /// The record's place in the epoch.
    record: u64,
    /// When, in UNIX seconds.
    at_s: u64,
    /// How it was paid for: `voucher`, `tick` or `exact`. Or `written-off`: no use, but what the gateway gives up of what was
    /// charged on the channel, since to claim it costs more than it brings.
    lane: &'static str,
    /// Who paid.
    #[schema(value_type = words::Address)]
    payer: String,
    /// The channel; of the lane `exact` the payment.
    #[schema(value_type = words::Hash)]
    source: B256,
    /// In which token.
    #[schema(value_type = words::Address)]
    token: String,
    /// How many units were used; none of what is written off.
    units: u32,
    /// The price of one.
    #[schema(value_type = words::Units)]
    unit_price: Amount,
    /// What was charged, or is given up.
    #[schema(value_type = words::Units)]
    amount: Amount,
}

impl From<&UsageRow> for UsageView {
    fn from(row: &UsageRow) -> Self {
        Self {
            gateway: row.gateway.to_string(),
            epoch: row.epoch,
            record: row.index,
            at_s: row.at_s,
            lane: row.lane,
            payer: row.payer.to_string(),
            source: row.source,
            token: row.token.to_string(),
            units: row.units,
            unit_price: row.unit_price,
            amount: row.amount,
        }
    }
}

/// Lists each use of an asset that gateways have published and committed to, newest first.
#[utoipa::path(
    get,
    path = "/v1/assets/{asset}/usage",
    operation_id = "list_usage",
    tag = "usage",
    params(("asset" = words::Asset, Path, description = "The asset."), Page),
    responses(
        (status = 200, description = "The uses.", body = UsageList),
        (status = 404, description = "There is no such asset.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Named(asset): Named<AssetId>,
    Queried(query): Queried<Page>,
) -> Result<Json<UsageList>, Problem> {
    let (offset, limit) = page(query.offset, query.limit, PAGE_MAX)?;
    app.client.asset_row(asset).await?;
    // Files of many epochs are read for it: by one at a time.
    let _turn = app.usage_turn.acquire().await.map_err(Problem::internal)?;
    let rows = app.client.usage_of(asset).await.map_err(failed)?;
    let uses = rows.iter().rev().skip(offset).take(limit).map(UsageView::from).collect();
    Ok(Json(UsageList { total: rows.len(), uses }))
}

/// A published epoch: Parquet, of which the ledger has the digest and the Merkle root.
#[utoipa::path(
    get,
    path = "/v1/usage/{gateway}/{epoch}",
    operation_id = "get_usage_epoch",
    tag = "usage",
    params(
        ("gateway" = Account, Path, description = "The gateway's account."),
        ("epoch" = u64, Path, maximum = 9_007_199_254_740_991_u64, description = "Its epoch, counted from 0."),
    ),
    responses(
        (status = 200, description = "The epoch's file.", body = words::File, content_type = PARQUET),
        (status = 404, description = "No such epoch is here.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn epoch(
    State(app): State<Arc<App>>,
    path: Result<Path<(Account, u64)>, axum::extract::rejection::PathRejection>,
) -> Result<Response, Problem> {
    let Path((Account(gateway), epoch)) =
        path.map_err(|rejection| Problem::invalid(rejection.body_text()))?;
    let reader = Arc::clone(&app);
    let _turn = reader.usage_turn.acquire().await.map_err(Problem::internal)?;
    let read = tokio::task::spawn_blocking(move || app.client.usage_file(gateway, epoch));
    let file = read.await.map_err(Problem::internal)?.map_err(|error| failed(error.into()))?;
    let missing =
        || Problem::not_found(format!("expected a published epoch of {gateway}, found no epoch {epoch}"));
    Ok(([(header::CONTENT_TYPE, PARQUET)], file.ok_or_else(missing)?).into_response())
}

fn failed(error: UsageError) -> Problem {
    match error {
        UsageError::Ledger(error) => error.into(),
        error => {
            tracing::error!(%error, "usage records cannot be read");
            Problem::internal("the usage records of this gateway cannot be read; tell its operator")
        }
    }
}
