//! Who may talk to the server: the check of Host and Origin, and CORS.
//!
//! A page on the web can make a browser send requests to a loopback address, and by rebinding its own name to that
//! address can read the answers too. So a request must name a host that is ours, and one that a page sent must come
//! from an origin that was configured; both are refused otherwise, before anything of them is read.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::{Method, StatusCode, Uri};
use jsonrpsee::core::BoxError;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use tower::{Layer, Service};

/// The hosts and origins that are let in.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    hosts: Arc<BTreeSet<String>>,
    origins: Arc<BTreeSet<String>>,
}

impl Guard {
    /// Loopback names are always let in; no origin is unless it is given.
    pub(crate) fn new(hosts: &[String], origins: &[String]) -> Self {
        let loopback = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).chain(loopback).collect();
        let origins =
            origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        Self { hosts: Arc::new(hosts), origins: Arc::new(origins) }
    }

    /// The origin to name in the answer, or why there is none.
    fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<HeaderValue>, String> {
        let mut named = headers.get_all(HOST).iter();
        let host = match (named.next(), named.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            (None, _) => uri.authority().map(|authority| authority.as_str()).unwrap_or_default(),
            (Some(_), Some(_)) => "",
        };
        let name = without_port(host).to_ascii_lowercase();
        if !self.hosts.contains(&name) {
            return Err(format!("host {name:?} is not served here; use a loopback name or configure it\n"));
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(None),
            (Some(origin), None)
                if origin.to_str().is_ok_and(|o| self.origins.contains(&o.to_ascii_lowercase())) =>
            {
                Ok(Some(origin.clone()))
            }
            (Some(origin), _) => {
                Err(format!("origin {origin:?} is not allowed; configure it to let its pages in\n"))
            }
        }
    }
}

/// The name in `name:port`, `name`, `[v6]:port` or `[v6]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// A service behind a [`Guard`].
#[derive(Clone, Debug)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, B> Service<HttpRequest<B>> for Guarded<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let origin = match self.guard.check(request.headers(), request.uri()) {
            Ok(origin) => origin,
            Err(why) => return Box::pin(async { Ok(answer(StatusCode::FORBIDDEN, why)) }),
        };
        let Some(origin) = origin else {
            let answer = self.inner.call(request);
            return Box::pin(async { answer.await.map_err(Into::into) });
        };
        if request.method() == Method::OPTIONS {
            let mut answer = answer(StatusCode::NO_CONTENT, String::new());
            let headers = answer.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            allow(headers, origin);
            return Box::pin(async { Ok(answer) });
        }
        let answer = self.inner.call(request);
        Box::pin(async {
            let mut answer = answer.await.map_err(Into::into)?;
            allow(answer.headers_mut(), origin);
            Ok(answer)
        })
    }
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("origin"));
}

fn answer(status: StatusCode, text: String) -> HttpResponse {
    let mut answer = HttpResponse::new(HttpBody::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, headers: &[(&'static str, &'static str)]) -> Result<Option<HeaderValue>, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        guard.check(&map, &Uri::from_static("/"))
    }

    #[test]
    fn a_rebound_name_is_refused() {
        let guard = Guard::new(&["ledger.example".into()], &["http://localhost:3000/".into()]);
        for ours in ["localhost", "LOCALHOST:1", "127.0.0.1:8545", "[::1]:8545", "[::1]", "ledger.example:80"]
        {
            assert_eq!(check(&guard, &[("host", ours)]), Ok(None), "{ours}");
        }
        for foreign in
            ["evil.example", "evil.example:8545", "localhost.evil.example", "", "127.0.0.1.evil.example"]
        {
            assert!(check(&guard, &[("host", foreign)]).is_err(), "{foreign}");
        }
        assert!(check(&guard, &[]).is_err());
        assert!(check(&guard, &[("host", "localhost"), ("host", "evil.example")]).is_err());
    }

    #[test]
    fn only_configured_origins_come_in() {
        let guard = Guard::new(&[], &["http://localhost:3000/".into()]);
        let with = |origin| check(&guard, &[("host", "localhost"), ("origin", origin)]);
        assert_eq!(
            with("http://localhost:3000"),
            Ok(Some(HeaderValue::from_static("http://localhost:3000")))
        );
        for foreign in ["http://localhost", "http://localhost:3001", "https://evil.example", "null", ""] {
            assert!(with(foreign).is_err(), "{foreign}");
        }
    }
}
