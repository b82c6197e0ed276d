//! The release of keys (KEY-1): a buyer's signed request against a final block, the key for that buyer alone.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::header, response::IntoResponse};
use residual_client::{KeyError, ReleaseError, SignedKeyRequest};
use residual_primitives::{B256, LicenceId, signed::KeyRequest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    api::words::{self, Account, Bytes},
    extract,
    problem::{Problem, ProblemBody},
};

/// How long a buyer should wait for a block to become final, in seconds.
const FINALITY_RETRY: Duration = Duration::from_secs(30);

/// A buyer's wish for the key of one version: an EIP-712 `KeyRequest` in the domain that `/v1/gateway` shows, and its
/// signature.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequestBody {
    /// The licence.
    #[schema(value_type = words::Licence)]
    licence_id: LicenceId,
    /// The version.
    #[schema(maximum = 4_294_967_295_u32)]
    version: u32,
    /// The X25519 public key that the answer is for.
    #[schema(value_type = words::Key)]
    hpke_public_key: Bytes<32>,
    /// 32 random bytes, which serve one request.
    #[schema(value_type = words::Hash)]
    nonce: Bytes<32>,
    /// Until when the request is good, in UNIX seconds; at most ten minutes ahead.
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    expiry: u64,
    /// This gateway's account.
    gateway: Account,
    /// The signature of the licence's holder.
    #[schema(value_type = words::Signature)]
    signature: Bytes<65>,
}

impl From<KeyRequestBody> for SignedKeyRequest {
    fn from(body: KeyRequestBody) -> Self {
        let request = KeyRequest {
            licenceId: body.licence_id.to_u256(),
            version: body.version,
            hpkePublicKey: B256::new(body.hpke_public_key.0),
            nonce: B256::new(body.nonce.0),
            expiry: body.expiry,
            gateway: body.gateway.0,
        };
        Self { request, signature: body.signature.0 }
    }
}

/// A version's key under HPKE (RFC 9180), base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyAnswer {
    /// The licence.
    #[schema(value_type = words::Licence)]
    licence_id: LicenceId,
    /// The version.
    version: u32,
    /// HPKE's `enc`: 32 bytes.
    #[schema(value_type = words::Key)]
    encapsulated: String,
    /// The key under HPKE with its tag: 48 bytes. `info` is `residual key release v1`, then the asset's 16 bytes, the
    /// licence's 32 and the version's 4, big-endian; the associated data is the ledger's commitment to the key.
    #[schema(value_type = words::Hex)]
    sealed: String,
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let error = match error {
            KeyError::Ledger(error) => return error.into(),
            KeyError::NotFinal { .. } => {
                return Self::conflict(error)
                    .named("not-final", "The licence is not final on the ledger yet")
                    .retry_after(FINALITY_RETRY);
            }
            KeyError::Release(error) => error,
            KeyError::Keyring(_) | KeyError::Home(_) => return unusable(&error),
        };
        match error {
            ReleaseError::NotALicence { .. } => Self::unprocessable(error),
            ReleaseError::OtherGateway { .. } => {
                Self::unprocessable(error).named("other-gateway", "The request is to another gateway")
            }
            ReleaseError::Expiry { .. } => Self::unprocessable(error)
                .named("request-expired", "The request has expired, or is good for too long"),
            ReleaseError::Wrap(_) => Self::unprocessable(error)
                .named("unusable-public-key", "Nothing can be sealed to this public key"),
            ReleaseError::NoLicence { .. } => Self::not_found(error),
            ReleaseError::Signer { .. } => {
                Self::forbidden(error).named("wrong-signer", "The licence is somebody else's")
            }
            ReleaseError::Expired { .. } => {
                Self::forbidden(error).named("licence-expired", "The licence has ended")
            }
            ReleaseError::NoAccess { .. } => {
                Self::forbidden(error).named("no-access", "The licence does not give access")
            }
            ReleaseError::VersionNotGranted { .. } => {
                Self::forbidden(error).named("version-not-granted", "The licence does not open the version")
            }
            ReleaseError::NonceUsed { .. } => {
                Self::conflict(error).named("nonce-used", "The nonce served another request")
            }
            ReleaseError::Keyring(residual_client::KeyringError::Missing { .. }) => {
                // Which file it looked for is the operator's business.
                Self::not_found("expected a version whose key this gateway holds, found another: ask the publisher's gateway")
                    .named("key-not-here", "This gateway does not hold the key")
            }
            ReleaseError::Book(_)
            | ReleaseError::Keyring(_)
            | ReleaseError::OtherKey { .. }
            | ReleaseError::Nonce { .. } => unusable(&error),
        }
    }
}

/// A fault of this side, told to the operator alone: it names files.
fn unusable(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "no key can be released");
    Problem::internal("this gateway's keys cannot be used; tell its operator")
}

/// Releases a version's key to the holder of a licence.
///
/// An identical request gets identical bytes until it expires. The same nonce with another content is refused.
#[utoipa::path(
    post,
    path = "/v1/key-requests",
    operation_id = "request_key",
    tag = "keys",
    request_body = KeyRequestBody,
    responses(
        (status = 200, description = "The key, for the request's public key alone.", body = KeyAnswer),
        (status = 403, description = "Another's licence, one that has ended or gives no access, or another version.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such licence, or the key is not here.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The nonce served another request, or the licence is not final yet.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn request(
    State(app): State<Arc<App>>,
    extract::Json(body): extract::Json<KeyRequestBody>,
) -> Result<impl IntoResponse, Problem> {
    let (licence_id, version) = (body.licence_id, body.version);
    let wrapped = app.client.release_key(&body.into(), app.account.address()).await?;
    let hex = |bytes: &[u8]| residual_primitives::Bytes::copy_from_slice(bytes).to_string();
    let answer = KeyAnswer {
        licence_id,
        version,
        encapsulated: hex(&wrapped.encapsulated),
        sealed: hex(&wrapped.sealed),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)))
}
