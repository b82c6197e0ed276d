//! The one shape of every error over HTTP: problem details (RFC 9457).

use std::{fmt, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use residual_client::LedgerError;
use serde::Serialize;
use utoipa::ToSchema;

/// How long a caller should wait for a ledger that does not answer, in seconds.
const LEDGER_RETRY: Duration = Duration::from_secs(5);

/// What went wrong, as `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// Names the kind of problem: `urn:residual:problem:` and a word.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The kind, for people.
    pub(crate) title: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What was expected, what was found and what to do next.
    pub(crate) detail: String,
    /// The id of the request, which the server's log names too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) request_id: Option<String>,
}

/// An error on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    word: &'static str,
    title: &'static str,
    detail: String,
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(status: StatusCode, word: &'static str, title: &'static str, detail: impl fmt::Display) -> Self {
        Self { status, word, title, detail: detail.to_string(), retry_after: None }
    }

    /// 400: the request is not what it should be.
    pub(crate) fn invalid(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", "The request is not what it should be", detail)
    }

    /// 402: a payment is asked for; the header says how.
    pub(crate) fn payment_required(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::PAYMENT_REQUIRED, "payment-required", "A payment is asked for", detail)
    }

    /// 416: bytes that are not there.
    pub(crate) fn range_not_satisfiable(detail: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range-not-satisfiable",
            "Bytes that are not there",
            detail,
        )
    }

    /// 403: not for this caller.
    pub(crate) fn forbidden(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not for this caller", detail)
    }

    /// 404: there is no such thing.
    pub(crate) fn not_found(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// 405: there is such a thing, and this cannot be done with it.
    pub(crate) fn method_not_allowed(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This cannot be done here", detail)
    }

    /// 408: the request took too long.
    pub(crate) fn timeout(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long", detail)
    }

    /// 409: it contradicts what was done before.
    pub(crate) fn conflict(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "It contradicts what was done before", detail)
    }

    /// 413: too large.
    pub(crate) fn too_large(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    /// 415: a media type that is not taken.
    pub(crate) fn unsupported_media_type(detail: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "A media type that is not taken",
            detail,
        )
    }

    /// 422: well formed, and no sense in it.
    pub(crate) fn unprocessable(detail: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unprocessable",
            "The content makes no sense here",
            detail,
        )
    }

    /// 429: too many requests.
    pub(crate) fn too_many(detail: impl fmt::Display, retry_after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests", detail)
            .retry_after(retry_after)
    }

    /// 500: a fault of the gateway or of the model that it serves.
    pub(crate) fn internal(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "A fault on this side", detail)
    }

    /// 503: not now.
    pub(crate) fn unavailable(detail: impl fmt::Display, retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now", detail).retry_after(retry_after)
    }

    /// The same status for a kind of its own, which programs can tell by its word.
    pub(crate) fn named(mut self, word: &'static str, title: &'static str) -> Self {
        (self.word, self.title) = (word, title);
        self
    }

    /// With the time after which it may be tried again.
    pub(crate) fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// The status that it goes out with.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::UnknownAsset { .. }
            | LedgerError::UnknownLicence { .. }
            | LedgerError::UnknownVersion { .. } => Self::not_found(error),
            error if error.is_refusal() => Self::conflict(error),
            error => {
                // What it says may name the node, which is the operator's business.
                tracing::warn!(%error, "the ledger did not answer");
                Self::unavailable("the ledger does not answer; try again in a moment", LEDGER_RETRY)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, word, title, detail, retry_after } = self;
        let body = ProblemBody {
            kind: format!("urn:residual:problem:{word}"),
            title,
            status: status.as_u16(),
            detail,
            request_id: crate::limits::request_id(),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(pause) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
        }
        response
    }
}
