//! The facilitator of x402 v2, for resource servers elsewhere: their client's base URL is `/v1/facilitator` here.

use std::sync::Arc;

use axum::{Json, extract::State};
use residual_x402::{PaymentPayload, PaymentRequirements, SettleResponse, Supported, VerifyResponse};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    App, extract,
    payment::facilitator::{self, Order},
    problem::Problem,
};

/// A payment and what it was asked for, as x402 v2 writes both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FacilitatorRequest {
    /// 2; another is answered as a payment that is not valid.
    x402_version: u8,
    /// What the client has sent.
    #[schema(value_type = Object)]
    payment_payload: PaymentPayload,
    /// What the server has asked for.
    #[schema(value_type = Object)]
    payment_requirements: PaymentRequirements,
}

impl From<FacilitatorRequest> for Order {
    fn from(request: FacilitatorRequest) -> Self {
        let FacilitatorRequest { x402_version: version, payment_payload, payment_requirements } = request;
        Self { version, payment: payment_payload, required: payment_requirements }
    }
}

/// Says which payments are carried out: `exact` (EIP-3009) in the marketplace's currency, into tills of its assets.
#[utoipa::path(
    get,
    path = "/v1/facilitator/supported",
    operation_id = "facilitator_supported",
    tag = "facilitator",
    responses((status = 200, description = "The schemes and chains, and the account that sends: `kinds`, `extensions`, `signers` of x402 v2.", body = Object)),
)]
pub(crate) async fn supported(State(app): State<Arc<App>>) -> Json<Supported> {
    Json(facilitator::supported(&app))
}

/// Says whether a payment would be carried out now. Nothing is reserved by it.
#[utoipa::path(
    post,
    path = "/v1/facilitator/verify",
    operation_id = "facilitator_verify",
    tag = "facilitator",
    request_body = FacilitatorRequest,
    responses((status = 200, description = "Whether it would (`isValid`), or the name of what is wrong (`invalidReason`): a verification of x402 v2.", body = Object)),
)]
pub(crate) async fn verify(
    State(app): State<Arc<App>>,
    extract::Json(request): extract::Json<FacilitatorRequest>,
) -> Result<Json<VerifyResponse>, Problem> {
    Ok(Json(facilitator::verify(&app, &request.into()).await?))
}

/// Carries a payment to the ledger at the gateway's expense, once, and answers when the chain has confirmed it. Whoever
/// settles it again moves nothing, and is told that its nonce was used and, if that was here, by which transaction.
#[utoipa::path(
    post,
    path = "/v1/facilitator/settle",
    operation_id = "facilitator_settle",
    tag = "facilitator",
    request_body = FacilitatorRequest,
    responses((status = 200, description = "The transaction (`success`), or the name of what is wrong (`errorReason`): a settlement of x402 v2.", body = Object)),
)]
pub(crate) async fn settle(
    State(app): State<Arc<App>>,
    extract::Json(request): extract::Json<FacilitatorRequest>,
) -> Result<Json<SettleResponse>, Problem> {
    Ok(Json(facilitator::settle(&app, request.into()).await?))
}
