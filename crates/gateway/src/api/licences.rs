//! Licences: one by its id, and those that an account holds.

use std::sync::Arc;

use axum::{Json, extract::State};
use residual_client::LicenceRow;
use residual_primitives::{AssetId, LicenceId, TermsId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    api::words::{self, Account},
    extract::{Named, Queried, page},
    problem::{Problem, ProblemBody},
};

/// The most licences on a page.
const PAGE_MAX: u32 = 100;

/// A licence.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LicenceView {
    /// Its id.
    #[schema(value_type = words::Licence)]
    licence: LicenceId,
    /// What it licenses.
    #[schema(value_type = words::Asset)]
    asset: AssetId,
    /// Who holds it.
    #[schema(value_type = words::Address)]
    holder: String,
    /// What it was bought under, and stays under.
    #[schema(value_type = words::Terms)]
    terms: TermsId,
    /// When it ends, in UNIX seconds; none for a perpetual one.
    expires_at_s: Option<u64>,
    /// How many works it served.
    derivations_used: u32,
    /// The version that was current when it was bought.
    version: u32,
}

impl From<LicenceRow> for LicenceView {
    fn from(row: LicenceRow) -> Self {
        let LicenceRow { licence, asset, holder, terms, expires_at_s, derivations_used, version } = row;
        let holder = holder.to_string();
        Self { licence, asset, holder, terms, expires_at_s, derivations_used, version }
    }
}

/// Shows a licence as the newest block has it.
#[utoipa::path(
    get,
    path = "/v1/licences/{licence}",
    operation_id = "show_licence",
    tag = "licences",
    params(("licence" = words::Licence, Path, description = "The licence's id.")),
    responses(
        (status = 200, description = "The licence.", body = LicenceView),
        (status = 404, description = "There is no such licence.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(licence): Named<LicenceId>,
) -> Result<Json<LicenceView>, Problem> {
    Ok(Json(app.client.licence_row(licence).await?.into()))
}

/// Whose licences, and a page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Holder {
    /// Who holds them.
    holder: Account,
    /// Only licences of this asset.
    #[param(value_type = Option<words::Asset>)]
    asset: Option<AssetId>,
    /// How many to leave out, in the order in which they came to the holder.
    #[serde(default)]
    #[param(minimum = 0, maximum = 4_294_967_295_u32, default = 0)]
    offset: u32,
    /// How many to list, 1 to 100.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: u32,
}

fn default_limit() -> u32 {
    20
}

/// Licences of one holder.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LicenceList {
    /// How many there are.
    total: usize,
    /// This page of them.
    licences: Vec<LicenceView>,
}

/// Lists the licences that an account holds by the final blocks, also those that have ended.
#[utoipa::path(
    get,
    path = "/v1/licences",
    operation_id = "list_licences",
    tag = "licences",
    params(Holder),
    responses((status = 200, description = "The licences.", body = LicenceList)),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Queried(query): Queried<Holder>,
) -> Result<Json<LicenceList>, Problem> {
    let (skip, take) = page(query.offset, query.limit, PAGE_MAX)?;
    let held = app.client.licences_of(query.holder.0, query.asset).await?;
    let mut licences = Vec::new();
    for licence in held.iter().skip(skip).take(take) {
        licences.push(app.client.licence_row(*licence).await?.into());
    }
    Ok(Json(LicenceList { total: held.len(), licences }))
}
