//! Quotes: what a licence and calls cost now, or why they are not to be had.

use std::sync::Arc;

use axum::{Json, extract::State};
use residual_client::{Quote, QuoteError};
use residual_primitives::{Amount, AssetId, TermsId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        about::CurrencyView,
        terms::TermsView,
        words::{self, Account},
    },
    extract,
    problem::{Problem, ProblemBody},
};

/// What is to be priced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuoteRequest {
    /// The asset.
    #[schema(value_type = words::Asset)]
    asset: AssetId,
    /// The terms that it is offered under.
    #[schema(value_type = words::Terms)]
    terms: TermsId,
    /// Who would get the licence: asked of the contract that says who may buy, where terms name one.
    #[serde(default)]
    recipient: Option<Account>,
    /// How many calls to price beside the licence.
    #[serde(default)]
    #[schema(default = 0, maximum = 4_294_967_295_u32)]
    calls: u32,
}

/// What it costs at one block. Terms never change; an offer may be withdrawn, sold out or frozen later.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteView {
    /// What is licensed.
    #[schema(value_type = words::Asset)]
    asset: AssetId,
    /// What the prices are in; none when all is free.
    currency: Option<CurrencyView>,
    /// What the licence costs.
    #[schema(value_type = words::Units)]
    licence_price: Amount,
    /// What the calls cost, beside the licence.
    #[schema(value_type = words::Units)]
    calls_price: Amount,
    /// Both.
    #[schema(value_type = words::Units)]
    total: Amount,
    /// The terms.
    terms: TermsView,
    /// The block in whose state this holds.
    block: u64,
}

impl From<Quote> for QuoteView {
    fn from(quote: Quote) -> Self {
        Self {
            asset: quote.asset,
            currency: quote.currency.as_ref().map(CurrencyView::from),
            licence_price: quote.licence,
            calls_price: quote.calls,
            total: quote.total,
            terms: TermsView::new(quote.terms_id, &quote.terms),
            block: quote.block,
        }
    }
}

impl From<QuoteError> for Problem {
    fn from(error: QuoteError) -> Self {
        match error {
            QuoteError::UnknownTerms { .. } => Self::not_found(error),
            QuoteError::NotOffered { .. } => {
                Self::conflict(error).named("not-offered", "The asset is not offered so")
            }
            QuoteError::SoldOut { .. } => {
                Self::conflict(error).named("sold-out", "All licences under these terms are sold")
            }
            QuoteError::Frozen { .. } => {
                Self::conflict(error).named("asset-frozen", "A dispute about the asset is under way")
            }
            QuoteError::NotEligible { .. } => {
                Self::forbidden(error).named("not-eligible", "The terms do not let this account buy")
            }
            QuoteError::TooManyCalls { .. } => Self::unprocessable(error),
            QuoteError::Ledger(error) => error.into(),
        }
    }
}

/// Says what a licence and calls cost by the newest block. Nothing is reserved by it.
#[utoipa::path(
    post,
    path = "/v1/quotes",
    operation_id = "make_quote",
    tag = "quotes",
    request_body = QuoteRequest,
    responses(
        (status = 200, description = "What it costs.", body = QuoteView),
        (status = 403, description = "The terms name who may buy, and the recipient may not.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such asset, or nobody defined such terms.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Not offered, sold out, or frozen: the problem's type says which.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn make(
    State(app): State<Arc<App>>,
    extract::Json(request): extract::Json<QuoteRequest>,
) -> Result<Json<QuoteView>, Problem> {
    let QuoteRequest { asset, terms, recipient, calls } = request;
    let recipient = recipient.map(|Account(recipient)| recipient);
    Ok(Json(app.client.quote(asset, terms, recipient, calls).await?.into()))
}
