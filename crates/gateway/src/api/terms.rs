//! Terms: one by its id, and what an asset is offered under.

use std::sync::Arc;

use axum::{Json, extract::State};
use residual_client::Client;
use residual_primitives::{Amount, AssetId, RevenueKind, Terms, TermsId, VersionsGranted};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    api::words,
    extract::{Named, Queried, page},
    problem::{Problem, ProblemBody},
};

/// The most offers on a page.
const PAGE_MAX: u32 = 50;

/// Terms with all their fields. They never change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TermsView {
    /// Their id.
    #[schema(value_type = words::Terms)]
    terms: TermsId,
    /// What a licence allows: access, train, infer, derive, redistribute, commercial.
    rights: Vec<String>,
    /// Whether a licence opens every version until it ends, or those up to the one current when it was bought.
    versions: VersionsView,
    /// The token of the prices; none when all is free.
    #[schema(value_type = Option<words::Address>)]
    currency: Option<String>,
    /// What a licence costs.
    #[schema(value_type = words::Units)]
    price: Amount,
    /// How long it lasts, in seconds; 0 for ever.
    period_s: u64,
    /// Whether it can be renewed at this price.
    renewable: bool,
    /// Whether it can be passed on.
    transferable: bool,
    /// What one unit of training costs.
    #[schema(value_type = words::Units)]
    training_unit_price: Amount,
    /// What one call costs.
    #[schema(value_type = words::Units)]
    inference_unit_price: Amount,
    /// What a work derived under it owes of each kind of revenue.
    rates_bps: RatesView,
    /// How far the rates reach down the lineage.
    reach: ReachView,
    /// How many works one licence may serve; 0 for any number.
    derivations: u32,
    /// How many licences may be sold of one asset; 0 for any number.
    supply_cap: u32,
    /// The contract that says who may buy; none for everybody.
    #[schema(value_type = Option<words::Address>)]
    eligibility_hook: Option<String>,
    /// The legal text: an SPDX id or a `LicenseRef-`.
    legal_text: String,
    /// The CID of the legal text in binary; `0x` when there is none.
    #[schema(value_type = words::Hex)]
    text_cid: String,
}

/// Which versions a licence opens.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum VersionsView {
    /// The newest at the time of purchase, and those before it.
    Bought,
    /// Also every one that appears until the licence ends.
    AllUntilExpiry,
}

/// How far rates reach.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ReachView {
    /// They apply to the own revenue of the child and of every later descendant.
    All,
    /// They apply to all that the child receives.
    Child,
}

/// Rates by kind of revenue, in basis points.
#[derive(Debug, Serialize, ToSchema)]
struct RatesView {
    /// Of licences.
    #[schema(maximum = 10_000)]
    licence: u16,
    /// Of training.
    #[schema(maximum = 10_000)]
    training: u16,
    /// Of inference.
    #[schema(maximum = 10_000)]
    inference: u16,
    /// Of resales.
    #[schema(maximum = 10_000)]
    resale: u16,
}

impl TermsView {
    pub(crate) fn new(id: TermsId, terms: &Terms) -> Self {
        let address = |address: residual_primitives::Address| Some(address).filter(|it| !it.is_zero());
        let rate = |kind| terms.rates.of(kind).get();
        Self {
            terms: id,
            rights: terms.rights.to_string().split(',').map(str::to_owned).collect(),
            versions: match terms.versions {
                VersionsGranted::Bought => VersionsView::Bought,
                VersionsGranted::AllUntilExpiry => VersionsView::AllUntilExpiry,
            },
            currency: address(terms.currency).map(|it| it.to_string()),
            price: terms.price,
            period_s: terms.period_s,
            renewable: terms.renewable,
            transferable: terms.transferable,
            training_unit_price: terms.training_unit_price,
            inference_unit_price: terms.inference_unit_price,
            rates_bps: RatesView {
                licence: rate(RevenueKind::Licence),
                training: rate(RevenueKind::Training),
                inference: rate(RevenueKind::Inference),
                resale: rate(RevenueKind::Resale),
            },
            reach: match terms.reach {
                residual_primitives::Reach::All => ReachView::All,
                residual_primitives::Reach::Child => ReachView::Child,
            },
            derivations: terms.derivations,
            supply_cap: terms.supply_cap,
            eligibility_hook: address(terms.eligibility_hook).map(|it| it.to_string()),
            legal_text: terms.legal_text.clone(),
            text_cid: terms.text_cid.to_string(),
        }
    }
}

async fn terms(client: &Client, id: TermsId) -> Result<TermsView, Problem> {
    let unknown = || {
        Problem::not_found(format!("expected terms that are defined on this ledger, found none with id {id}"))
    };
    let terms = client.terms(id).await?.ok_or_else(unknown)?;
    Ok(TermsView::new(id, &terms))
}

/// Shows terms with all their fields.
#[utoipa::path(
    get,
    path = "/v1/terms/{terms}",
    operation_id = "show_terms",
    tag = "terms",
    params(("terms" = words::Terms, Path, description = "The id of the terms.")),
    responses(
        (status = 200, description = "The terms.", body = TermsView),
        (status = 404, description = "Nobody defined such terms.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<TermsId>,
) -> Result<Json<TermsView>, Problem> {
    Ok(Json(terms(&app.client, id).await?))
}

/// A page of offers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OffersPage {
    /// How many to leave out, oldest offer first.
    #[serde(default)]
    #[param(minimum = 0, maximum = 4_294_967_295_u32, default = 0)]
    offset: u32,
    /// How many to list, 1 to 50.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 50, default = 20)]
    limit: u32,
}

fn default_limit() -> u32 {
    20
}

/// What an asset is offered under, in the order of the offers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfferList {
    /// How many offers stand.
    total: usize,
    /// This page of them.
    terms: Vec<TermsView>,
}

/// Lists the terms that an asset is offered under now, with all their fields.
#[utoipa::path(
    get,
    path = "/v1/assets/{asset}/terms",
    operation_id = "list_offers",
    tag = "assets",
    params(("asset" = words::Asset, Path, description = "The asset's id."), OffersPage),
    responses(
        (status = 200, description = "The offers.", body = OfferList),
        (status = 404, description = "There is no such asset.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn offered(
    State(app): State<Arc<App>>,
    Named(asset): Named<AssetId>,
    Queried(query): Queried<OffersPage>,
) -> Result<Json<OfferList>, Problem> {
    let (skip, take) = page(query.offset, query.limit, PAGE_MAX)?;
    app.client.asset_row(asset).await?;
    let offers = app.client.offers(asset).await?;
    let mut listed = Vec::new();
    for id in offers.iter().skip(skip).take(take) {
        listed.push(terms(&app.client, *id).await?);
    }
    Ok(Json(OfferList { total: offers.len(), terms: listed }))
}
