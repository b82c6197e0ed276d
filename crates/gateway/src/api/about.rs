//! What this gateway is: the chain, the contracts, the key that requests name.

use std::sync::Arc;

use axum::{Json, extract::State};
use residual_client::Finality;
use residual_primitives::{Amount, AssetId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{App, api::words, service::Service};

/// The version of this API: the first part of every path.
const API_VERSION: &str = "v1";

/// A gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct About {
    /// The version of the API, as paths have it.
    #[schema(example = "v1")]
    api_version: &'static str,
    /// The version of the program.
    software_version: &'static str,
    /// The chain (EIP-155).
    chain_id: u64,
    /// The account of this gateway: what key requests and channels name.
    #[schema(value_type = words::Address)]
    gateway: String,
    /// Where the contracts are.
    contracts: Contracts,
    /// What prices are said in.
    currency: CurrencyView,
    /// From when on a block counts.
    finality: FinalityView,
    /// The EIP-712 domain of key requests.
    key_request_domain: Domain,
    /// The models that it serves, paid by the call (x402 v2).
    serving: Vec<ServingView>,
}

/// A model that is served.
#[derive(Debug, Serialize, ToSchema)]
struct ServingView {
    /// The model.
    #[schema(value_type = words::Asset)]
    asset: AssetId,
    /// Its publisher's word for it.
    name: String,
    /// Which version.
    version: u32,
    /// The terms that say what a call costs.
    #[schema(value_type = words::Terms)]
    terms: String,
    /// What one image or row costs.
    #[schema(value_type = words::Units)]
    unit_price: Amount,
    /// The till that is paid: the model's own, or that of the operator.
    #[schema(value_type = words::Address)]
    till: String,
    /// Whose part comes out of what the till brings: the gateway's account; none when nobody has one.
    #[schema(value_type = Option<words::Address>)]
    operator: Option<String>,
    /// That part of what the till brings, in basis points, out of what the owners' shares keep.
    #[schema(maximum = 5_000)]
    operator_bps: u16,
    /// Where it is called.
    path: String,
}

impl From<&Service> for ServingView {
    fn from(service: &Service) -> Self {
        Self {
            asset: service.asset,
            name: service.name.clone(),
            version: service.version,
            terms: service.terms.to_string(),
            unit_price: service.unit_price,
            till: service.receiver.to_string(),
            operator: (service.till.operator_bps > 0).then(|| service.till.operator.to_string()),
            operator_bps: service.till.operator_bps,
            path: format!("/v1/assets/{}/inference", service.asset),
        }
    }
}

/// Addresses of contracts.
#[derive(Debug, Serialize, ToSchema)]
struct Contracts {
    /// Registration, versions, lineage.
    #[schema(value_type = words::Address)]
    assets: String,
    /// Who shares in an asset's revenue.
    #[schema(value_type = words::Address)]
    shares: String,
    /// Terms, offers, licences.
    #[schema(value_type = words::Address)]
    licences: String,
    /// Revenue accounting.
    #[schema(value_type = words::Address)]
    royalties: String,
    /// Prepaid channels (x402 `batch-settlement`).
    #[schema(value_type = words::Address)]
    channels: String,
    /// The roots of what gateways recorded.
    #[schema(value_type = words::Address)]
    usage: String,
}

/// A token that prices are in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurrencyView {
    /// Its contract.
    #[schema(value_type = words::Address)]
    token: String,
    /// Its symbol, its own word.
    symbol: String,
    /// How many places it has after the point.
    decimals: u8,
}

impl From<&residual_client::Currency> for CurrencyView {
    fn from(currency: &residual_client::Currency) -> Self {
        Self {
            token: currency.token.to_string(),
            symbol: currency.symbol.clone(),
            decimals: currency.decimals,
        }
    }
}

/// From when on a block is taken for good.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "rule", rename_all = "lowercase")]
enum FinalityView {
    /// At once: one writer makes every block.
    Latest,
    /// When so many blocks lie above it.
    Depth {
        /// How many.
        blocks: u64,
    },
    /// When the node calls it safe.
    Safe,
    /// When the node calls it final.
    Finalized,
}

impl From<Finality> for FinalityView {
    fn from(finality: Finality) -> Self {
        match finality {
            Finality::Latest => Self::Latest,
            Finality::Depth(blocks) => Self::Depth { blocks },
            Finality::Safe => Self::Safe,
            Finality::Finalized => Self::Finalized,
        }
    }
}

/// A domain of signed messages (EIP-712).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Domain {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// The chain.
    chain_id: u64,
    /// The contract.
    #[schema(value_type = words::Address)]
    verifying_contract: String,
}

/// Shows what this gateway is: whose requests it answers, on which chain, with which contracts.
#[utoipa::path(
    get,
    path = "/v1/gateway",
    operation_id = "show_gateway",
    tag = "gateway",
    responses((status = 200, description = "The gateway.", body = About)),
)]
pub(crate) async fn show(State(app): State<Arc<App>>) -> Json<About> {
    let (client, suite) = (&app.client, app.client.suite());
    let chain_id = client.chain().id();
    let domain = residual_primitives::signed::licences_domain(chain_id, suite.licences);
    Json(About {
        api_version: API_VERSION,
        software_version: env!("CARGO_PKG_VERSION"),
        chain_id,
        gateway: app.account.address().to_string(),
        contracts: Contracts {
            assets: suite.assets.to_string(),
            shares: suite.shares.to_string(),
            licences: suite.licences.to_string(),
            royalties: suite.royalties.to_string(),
            channels: suite.channels.to_string(),
            usage: suite.usage.to_string(),
        },
        currency: client.currency().into(),
        finality: client.chain().config().finality.into(),
        key_request_domain: Domain {
            name: domain.name.unwrap_or_default().into_owned(),
            version: domain.version.unwrap_or_default().into_owned(),
            chain_id,
            verifying_contract: suite.licences.to_string(),
        },
        serving: app.services.values().map(ServingView::from).collect(),
    })
}
