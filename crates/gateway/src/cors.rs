//! Which pages of the web may read what is served here.
//!
//! Nothing here goes by cookies or by where a request comes from: what may be done is decided by signatures, and what can
//! be read is on a ledger or sealed. So any page may GET. What begins something (a quote, a key request, a paid call) is
//! for pages of the marketplace's own origins, lest a stranger's page spend a visitor's rate or make their wallet's
//! signature look like this marketplace's wish.

use std::time::Duration;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, header, request::Parts},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may keep the answer to a preflight.
const KEPT: Duration = Duration::from_secs(3_600);

/// Lets pages of `origins` do everything, and others read.
pub(crate) fn open(routes: Router, origins: &[String]) -> Router {
    let origins: Vec<String> =
        origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
    let allowed = AllowOrigin::predicate(move |origin: &HeaderValue, request: &Parts| {
        let asked = request.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
        let reads = match asked {
            Some(method) => matches!(method.as_bytes(), b"GET" | b"HEAD"),
            None => matches!(request.method, Method::GET | Method::HEAD),
        };
        reads || origin.to_str().is_ok_and(|origin| origins.contains(&origin.to_ascii_lowercase()))
    });
    let request_id = HeaderName::from_static("x-request-id");
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            header::RANGE,
            HeaderName::from_static(residual_x402::PAYMENT_SIGNATURE),
            HeaderName::from_static(residual_meter::Tick::HEADER),
            request_id.clone(),
        ])
        .expose_headers([
            header::CONTENT_RANGE,
            header::ETAG,
            header::RETRY_AFTER,
            HeaderName::from_static(residual_x402::PAYMENT_REQUIRED),
            HeaderName::from_static(residual_x402::PAYMENT_RESPONSE),
            request_id,
        ])
        .max_age(KEPT);
    routes.layer(cors)
}
