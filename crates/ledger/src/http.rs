//! HTTP clients as everything here makes them: TLS by ring and the web's roots, no redirect, every request in its time.
//!
//! For nodes it is used by this crate alone; for others who speak HTTP it is the one place that decides on TLS.

use std::time::Duration;

pub use reqwest::{
    Body, Client, Error, Method, Request, RequestBuilder, Response, StatusCode, Url,
    header::{self, HeaderValue},
};

/// Makes a client; nothing is sent.
///
/// # Errors
/// When the system has no resources for it.
pub fn client(connect_timeout: Duration, timeout: Duration) -> Result<Client, Error> {
    Client::builder()
        .tls_backend_preconfigured(tls())
        .timeout(timeout)
        .connect_timeout(connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It broke off.
    #[error(transparent)]
    Broken(#[from] Error),
    /// It is too long.
    #[error("expected an answer of at most {max} bytes, found more")]
    TooLong {
        /// The most that is read.
        max: usize,
    },
}

/// The body of an answer, of at most so many bytes.
///
/// # Errors
/// See [`BodyError`].
pub async fn body(mut response: Response, max: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        if body.len() + part.len() > max {
            return Err(BodyError::TooLong { max });
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// Whether only this machine can be meant.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

/// TLS by ring and the web's roots, named outright: with several backends in one program rustls would refuse to guess.
fn tls() -> rustls::ClientConfig {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions' cipher suites")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
