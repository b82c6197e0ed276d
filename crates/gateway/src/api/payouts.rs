//! Payouts: what a holder's shares brought, and what they could bring now.

use std::sync::Arc;

use axum::{Json, extract::State};
use residual_client::PayoutRow;
use residual_primitives::{Amount, AssetId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    api::words::{self, Account},
    extract::{Queried, page},
    problem::{Problem, ProblemBody},
};

/// The most assets on a page: each takes several questions to the ledger.
const PAGE_MAX: u32 = 50;

/// Whose payouts, and a page of the assets that they are of.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Holder {
    /// Who holds, or held, shares.
    holder: Account,
    /// Only of this asset.
    #[param(value_type = Option<words::Asset>)]
    asset: Option<AssetId>,
    /// How many assets to leave out, in the order of their ids.
    #[serde(default)]
    #[param(minimum = 0, maximum = 4_294_967_295_u32, default = 0)]
    offset: u32,
    /// How many assets to list, 1 to 50.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 50, default = 20)]
    limit: u32,
}

fn default_limit() -> u32 {
    20
}

/// Payouts of one holder.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PayoutList {
    /// How many assets the holder has, or had, shares of.
    total: usize,
    /// This page's: a row for each asset and each token that it earned in.
    payouts: Vec<PayoutView>,
}

/// What the shares of one asset brought in one token, by the final blocks.
#[derive(Debug, Serialize, ToSchema)]
struct PayoutView {
    /// The asset.
    #[schema(value_type = words::Asset)]
    asset: AssetId,
    /// The token.
    #[schema(value_type = words::Address)]
    token: String,
    /// All that was claimed so far.
    #[schema(value_type = words::Units)]
    claimed: Amount,
    /// How often.
    claims: u64,
    /// What could be claimed now. What lies in tills, or was not carried from derived works yet, is not in it.
    #[schema(value_type = words::Units)]
    claimable: Amount,
}

impl From<PayoutRow> for PayoutView {
    fn from(row: PayoutRow) -> Self {
        let PayoutRow { asset, token, claimed, claims, claimable } = row;
        Self { asset, token: token.to_string(), claimed, claims, claimable }
    }
}

/// Lists what an account claimed of its shares' revenue and could claim now, by asset and token.
#[utoipa::path(
    get,
    path = "/v1/payouts",
    operation_id = "list_payouts",
    tag = "payouts",
    params(Holder),
    responses(
        (status = 200, description = "The payouts.", body = PayoutList),
        (status = 404, description = "There is no such asset.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Queried(query): Queried<Holder>,
) -> Result<Json<PayoutList>, Problem> {
    let (skip, take) = page(query.offset, query.limit, PAGE_MAX)?;
    let holder = query.holder.0;
    let assets = match query.asset {
        Some(asset) => {
            app.client.asset_row(asset).await?;
            vec![asset]
        }
        None => app.client.assets_of(holder).await?.into_iter().collect(),
    };
    let mut payouts = Vec::new();
    for asset in assets.iter().skip(skip).take(take) {
        payouts.extend(app.client.payouts(*asset, holder).await?.into_iter().map(PayoutView::from));
    }
    Ok(Json(PayoutList { total: assets.len(), payouts }))
}
