//! Assets: the list, one with its parents and offers, and its versions.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use residual_client::{AssetPage, Client, LedgerError, VersionRow};
use residual_primitives::{AssetId, B256, TermsId};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    api::words,
    extract::{Named, Queried, page},
    problem::{Problem, ProblemBody},
};

/// The most assets, or versions, on a page.
const PAGE_MAX: u32 = 200;

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

/// A page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// How many to leave out, newest first.
    #[serde(default)]
    #[param(minimum = 0, maximum = 4_294_967_295_u32, default = 0)]
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
    #[schema(value_type = Vec<words::Asset>)]
    assets: Vec<AssetId>,
}

/// Lists the assets that are registered in final blocks, newest first.
#[utoipa::path(
    get,
    path = "/v1/assets",
    operation_id = "list_assets",
    tag = "assets",
    params(Page),
    responses((status = 200, description = "The assets.", body = AssetList)),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Queried(query): Queried<Page>,
) -> Result<Json<AssetList>, Problem> {
    let (skip, take) = page(query.offset, query.limit, PAGE_MAX)?;
    let all = app.listing.all(&app.client).await?;
    let assets = all.iter().rev().skip(skip).take(take).copied().collect();
    Ok(Json(AssetList { total: all.len(), assets }))
}

/// One asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetView {
    /// Its id.
    #[schema(value_type = words::Asset)]
    asset: AssetId,
    /// `dataset`, `model`, `algorithm` or `output`.
    kind: String,
    /// Who controls it.
    #[schema(value_type = words::Address)]
    controller: String,
    /// How many versions it has.
    versions: u32,
    /// The royalty on resales, in basis points.
    resale_bps: u16,
    /// What its publisher says of it.
    about: BTreeMap<String, String>,
    /// The newest version's manifest.
    #[schema(value_type = words::Cid)]
    manifest_cid: String,
    /// The newest version's content root.
    #[schema(value_type = words::Hash)]
    content_root: B256,
    /// Whom it owes.
    parents: Vec<EdgeView>,
    /// The terms that it is offered under.
    #[schema(value_type = Vec<words::Terms>)]
    offers: Vec<TermsId>,
}

/// What a child owes one parent, in basis points by kind: licence, training, inference, resale.
#[derive(Debug, Serialize, ToSchema)]
struct EdgeView {
    /// The parent.
    #[schema(value_type = words::Asset)]
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
            content_root: page.content_root,
            offers: page.offers.iter().map(|offer| offer.terms).collect(),
        }
    }
}

/// Shows an asset: what it is, its newest version, whom it owes and what it is offered under.
#[utoipa::path(
    get,
    path = "/v1/assets/{asset}",
    operation_id = "show_asset",
    tag = "assets",
    params(("asset" = words::Asset, Path, description = "The asset's id.")),
    responses(
        (status = 200, description = "The asset.", body = AssetView),
        (status = 404, description = "There is no such asset.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(asset): Named<AssetId>,
) -> Result<Json<AssetView>, Problem> {
    Ok(Json(app.client.asset_page(asset).await?.into()))
}

/// The versions of an asset, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionList {
    /// How many there are.
    total: usize,
    /// This page of them.
    versions: Vec<VersionView>,
}

/// One immutable state of an asset's content.
#[derive(Debug, Serialize, ToSchema)]
struct VersionView {
    /// Its number, from 1.
    version: u32,
    /// Its manifest, which `/v1/content` may serve.
    #[schema(value_type = words::Cid)]
    manifest_cid: String,
    /// Its content root.
    #[schema(value_type = words::Hash)]
    content_root: B256,
    /// The commitment to its key.
    #[schema(value_type = words::Hash)]
    key_commitment: B256,
    /// The block that it was published in.
    block: u64,
}

impl From<&VersionRow> for VersionView {
    fn from(row: &VersionRow) -> Self {
        Self {
            version: row.version,
            manifest_cid: row.manifest_cid.clone(),
            content_root: row.content_root,
            key_commitment: row.key_commitment,
            block: row.block,
        }
    }
}

/// Lists the versions of an asset that final blocks have, newest first.
#[utoipa::path(
    get,
    path = "/v1/assets/{asset}/versions",
    operation_id = "list_versions",
    tag = "assets",
    params(("asset" = words::Asset, Path, description = "The asset's id."), Page),
    responses(
        (status = 200, description = "The versions.", body = VersionList),
        (status = 404, description = "There is no such asset.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn versions(
    State(app): State<Arc<App>>,
    Named(asset): Named<AssetId>,
    Queried(query): Queried<Page>,
) -> Result<Json<VersionList>, Problem> {
    let (skip, take) = page(query.offset, query.limit, PAGE_MAX)?;
    let all = app.client.versions(asset).await?;
    let versions = all.iter().rev().skip(skip).take(take).map(VersionView::from).collect();
    Ok(Json(VersionList { total: all.len(), versions }))
}
