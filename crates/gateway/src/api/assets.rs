//! Assets: the list, and one with its versions, parents and offers.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use residual_client::{AssetPage, Client, LedgerError};
use residual_primitives::AssetId;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    extract::{Named, Queried},
    problem::{Problem, ProblemBody},
};

/// The most assets on a page of the list.
const PAGE_MAX: usize = 200;

/// Which assets there are, as far as final blocks say: those never change.
#[derive(Debug, Default)]
pub(crate) struct Listing(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// In the order of registration.
    assets: Vec<AssetId>,
    /// The first block that was not read.
    next_block: u64,
}

impl Listing {
    /// All assets of final blocks.
    pub(crate) async fn all(&self, client: &Client) -> Result<Vec<AssetId>, LedgerError> {
        let mut known = self.0.lock().await;
        let through = client.chain().final_head().await?.number;
        if through >= known.next_block {
            let more = client.registered(known.next_block, through).await?;
            known.assets.extend(more);
            known.next_block = through + 1;
        }
        Ok(known.assets.clone())
    }
}

/// A page of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// How many to leave out, newest first.
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    offset: u32,
    /// How many to list, 1 to 200.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
}

fn default_limit() -> u32 {
    50
}

/// Assets, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetList {
    /// How many there are.
    total: usize,
    /// This page of them: ids.
    #[schema(value_type = Vec<String>)]
    assets: Vec<AssetId>,
}

/// Lists the assets that are registered in final blocks, newest first.
#[utoipa::path(
    get,
    path = "/v1/assets",
    tag = "assets",
    params(Page),
    responses(
        (status = 200, body = AssetList),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Queried(page): Queried<Page>,
) -> Result<Json<AssetList>, Problem> {
    let limit = page.limit as usize;
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("expected a limit of 1 to {PAGE_MAX}, found {limit}")));
    }
    let all = app.listing.all(&app.client).await?;
    let assets = all.iter().rev().skip(page.offset as usize).take(limit).copied().collect();
    Ok(Json(AssetList { total: all.len(), assets }))
}

/// One asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetView {
    /// Its id.
    #[schema(value_type = String)]
    asset: AssetId,
    /// `dataset` or `model`.
    kind: String,
    /// Who controls it.
    controller: String,
    /// How many versions it has.
    versions: u32,
    /// The royalty on resales, in basis points.
    resale_bps: u16,
    /// What its publisher says of it.
    about: BTreeMap<String, String>,
    /// The newest version's manifest.
    manifest_cid: String,
    /// The newest version's content root.
    content_root: String,
    /// Whom it owes.
    parents: Vec<EdgeView>,
    /// The terms that it is offered under.
    offers: Vec<String>,
}

/// What a child owes one parent, in basis points by kind: licence, training, inference, resale.
#[derive(Debug, Serialize, ToSchema)]
struct EdgeView {
    /// The parent.
    #[schema(value_type = String)]
    parent: AssetId,
    /// Of the child's own revenue.
    all_bps: [u16; 4],
    /// Of all that the child receives.
    child_bps: [u16; 4],
}

impl From<AssetPage> for AssetView {
    fn from(page: AssetPage) -> Self {
        let parents = page.parents.iter().map(|edge| EdgeView {
            parent: edge.parent,
            all_bps: edge.all.0.map(residual_primitives::Bps::get),
            child_bps: edge.child.0.map(residual_primitives::Bps::get),
        });
        Self {
            asset: page.row.asset,
            kind: page.row.kind.to_string(),
            controller: page.row.controller.to_string(),
            versions: page.row.versions,
            resale_bps: page.row.resale.get(),
            parents: parents.collect(),
            about: page.about,
            manifest_cid: page.manifest_cid,
            content_root: page.content_root.to_string(),
            offers: page.offers.iter().map(|offer| offer.terms.to_string()).collect(),
        }
    }
}

/// Shows an asset: what it is, its newest version, whom it owes and what it is offered under.
#[utoipa::path(
    get,
    path = "/v1/assets/{asset}",
    tag = "assets",
    params(("asset" = String, Path, description = "The asset's id: 0x and 32 hexadecimal digits.")),
    responses(
        (status = 200, body = AssetView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(asset): Named<AssetId>,
) -> Result<Json<AssetView>, Problem> {
    Ok(Json(app.client.asset_page(asset).await?.into()))
}
