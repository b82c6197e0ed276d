//! A gateway elsewhere, as a buyer or an auditor uses it: who it is, a key, blocks, usage, where models are called.
//!
//! Owns the connection: which addresses are taken, how long and how large an answer may be. Believes nothing of it: a
//! key is checked against the ledger's commitment and a block against its CID by whoever asked.

use std::time::Duration;

use residual_content::{Block, BlockId, BlockSource, SignedKeyRequest, StoreError, WrappedKey};
use residual_ledger::http::{self, BodyError, Url};
use residual_primitives::{Address, AssetId, Bytes};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::runtime::Handle;

use crate::Client;

/// How long one request may take, and how long a connection.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer that is no block, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The largest epoch that is fetched, in bytes, and how long that may take.
const EPOCH_BYTES_MAX: usize = 2 << 30;
const EPOCH_TIMEOUT: Duration = Duration::from_secs(600);

/// As much of a gateway's words as an error repeats, in characters.
const QUOTED_MAX: usize = 500;

/// How often a request is sent again to a gateway that is too busy, and what is waited at most each time.
const BUSY_RETRIES: u32 = 5;
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Why a gateway did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address is none that is used.
    #[error(
        "expected a gateway's address as https://..., or http://... on this machine, found {found:?}: over other http anybody on the way sees who asks for what; --allow-http takes it"
    )]
    Address {
        /// Without what may be secret in it, cut to 80 characters.
        found: String,
    },
    /// Nothing useful came back.
    #[error(
        "expected an answer of the gateway at {host}, found {reason}: check that it runs and can be reached, and repeat the command, which goes on where it stopped"
    )]
    Unreachable {
        /// Where.
        host: String,
        /// What went wrong on the way.
        reason: String,
    },
    /// It said no.
    #[error("the gateway at {host} refused ({status}): {detail}")]
    Refused {
        /// Where.
        host: String,
        /// The HTTP status.
        status: u16,
        /// Its words, cut.
        detail: String,
    },
    /// What came back is no answer of a gateway.
    #[error(
        "expected an answer as Residual's gateways give it from {host}, found {reason}: is that a gateway?"
    )]
    Malformed {
        /// Where.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is a gateway of another marketplace.
    #[error(
        "expected a gateway of chain {expected_chain} and Licences {expected_licences}, found at {host} one of chain {found_chain} and {found_licences}"
    )]
    OtherMarketplace {
        /// Where.
        host: String,
        /// This data directory's chain.
        expected_chain: u64,
        /// This data directory's contract.
        expected_licences: Address,
        /// The gateway's chain.
        found_chain: u64,
        /// The gateway's contract.
        found_licences: Address,
    },
    /// The HTTP client could not be made.
    #[error("expected to set up HTTP, found: {0}")]
    Http(#[source] http::Error),
}

impl GatewayError {
    /// Whether the gateway said no, rather than nothing.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if (400..500).contains(status))
    }
}

/// What a gateway says of itself, as far as a buyer needs it.
#[derive(Debug, Deserialize)]
struct About {
    chain_id: u64,
    gateway: Address,
    contracts: Contracts,
}

#[derive(Debug, Deserialize)]
struct Contracts {
    licences: Address,
}

/// A key request as a gateway takes it.
#[derive(Debug, Serialize)]
struct KeyRequestBody {
    licence_id: String,
    version: u32,
    hpke_public_key: String,
    nonce: String,
    expiry: u64,
    gateway: String,
    signature: String,
}

/// A key as a gateway gives it.
#[derive(Debug, Deserialize)]
struct KeyAnswer {
    encapsulated: Bytes,
    sealed: Bytes,
}

/// What went wrong, in the words of a gateway (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

/// A gateway elsewhere that serves this data directory's marketplace.
#[derive(Debug)]
pub struct RemoteGateway {
    client: http::Client,
    base: Url,
    host: String,
    account: Address,
    /// Where its requests are waited for by those who read blocks on threads of their own.
    runtime: Handle,
}

impl Client {
    /// Connects to the gateway at a URL and makes sure that it is one of this marketplace. Redirects are not followed.
    ///
    /// Without `allow_http` the URL is `https://`, or `http://` on this machine.
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub async fn gateway(&self, url: &str, allow_http: bool) -> Result<RemoteGateway, GatewayError> {
        let (base, host) = address(url, allow_http)?;
        let client = http::client(CONNECT_TIMEOUT, TIMEOUT).map_err(GatewayError::Http)?;
        let runtime = Handle::current();
        let mut gateway = RemoteGateway { client, base, host, account: Address::ZERO, runtime };
        let about: About = gateway.json(gateway.client.get(gateway.at(&["gateway"]))).await?;
        let (expected_chain, expected_licences) = (self.chain().id(), self.suite().licences);
        if (about.chain_id, about.contracts.licences) != (expected_chain, expected_licences) {
            return Err(GatewayError::OtherMarketplace {
                host: gateway.host,
                expected_chain,
                expected_licences,
                found_chain: about.chain_id,
                found_licences: about.contracts.licences,
            });
        }
        gateway.account = about.gateway;
        Ok(gateway)
    }
}

/// The address that requests go below, and what of it may be shown.
fn address(url: &str, allow_http: bool) -> Result<(Url, String), GatewayError> {
    let shown = || {
        let shown = crate::node::host_of(url);
        GatewayError::Address { found: shown.chars().take(80).collect() }
    };
    let mut base = Url::parse(url).map_err(|_| shown())?;
    let secure = base.scheme() == "https";
    let taken = secure || (base.scheme() == "http" && (allow_http || http::is_loopback(&base)));
    let plain = base.username().is_empty() && base.password().is_none() && base.query().is_none();
    let Some(host) = base.host_str().filter(|_| taken && plain) else { return Err(shown()) };
    let host = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    base.set_fragment(None);
    Ok((base, host))
}

impl RemoteGateway {
    /// The account that key requests and channels name.
    #[must_use]
    pub fn account(&self) -> Address {
        self.account
    }

    /// Asks for a key. What comes back is to be checked against the ledger's commitment.
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub async fn release_key(&self, signed: &SignedKeyRequest) -> Result<WrappedKey, GatewayError> {
        let request = &signed.request;
        let body = KeyRequestBody {
            licence_id: format!("{:#066x}", request.licenceId),
            version: request.version,
            hpke_public_key: request.hpkePublicKey.to_string(),
            nonce: request.nonce.to_string(),
            expiry: request.expiry,
            gateway: request.gateway.to_string(),
            signature: Bytes::copy_from_slice(&signed.signature).to_string(),
        };
        let body = serde_json::to_vec(&body).expect("strings and numbers are JSON");
        let post = self.client.post(self.at(&["key-requests"]));
        let answer: KeyAnswer = self.json(post.header("content-type", "application/json").body(body)).await?;
        let wrong = || self.malformed("a key of another length");
        Ok(WrappedKey {
            encapsulated: answer.encapsulated.as_ref().try_into().map_err(|_| wrong())?,
            sealed: answer.sealed.as_ref().try_into().map_err(|_| wrong())?,
        })
    }

    /// Where an asset is called, if the gateway serves it.
    #[must_use]
    pub fn inference_url(&self, asset: AssetId) -> Url {
        self.at(&["assets", &asset.to_string(), "inference"])
    }

    /// The file of an epoch that `gateway` published. What comes back is to be checked against the commitment.
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub async fn usage_epoch(&self, gateway: Address, epoch: u64) -> Result<Vec<u8>, GatewayError> {
        let place = self.at(&["usage", &gateway.to_string(), &epoch.to_string()]);
        self.answer(self.client.get(place).timeout(EPOCH_TIMEOUT), EPOCH_BYTES_MAX).await
    }

    /// `<base>/v1/<segments>`.
    fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("http addresses have paths")
            .pop_if_empty()
            .push("v1")
            .extend(segments);
        url
    }

    fn malformed(&self, reason: &str) -> GatewayError {
        GatewayError::Malformed { host: self.host.clone(), reason: reason.to_owned() }
    }

    async fn json<T: DeserializeOwned>(&self, request: http::RequestBuilder) -> Result<T, GatewayError> {
        let answer = self.answer(request, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&answer).map_err(|error| self.malformed(&error.to_string()))
    }

    /// The body of a successful answer. A gateway that is too busy is asked again; nothing else is repeated.
    async fn answer(&self, request: http::RequestBuilder, most: usize) -> Result<Vec<u8>, GatewayError> {
        let mut retries = 0;
        loop {
            let again = request.try_clone().expect("requests have bodies of bytes");
            let failed = |error: http::Error| GatewayError::Unreachable {
                host: self.host.clone(),
                reason: cause(&error.without_url()),
            };
            let response = again.send().await.map_err(failed)?;
            let status = response.status();
            let pause = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let pause = pause.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            if let Some(pause) = pause.filter(|pause| *pause <= BUSY_PAUSE_MAX)
                && matches!(status.as_u16(), 429 | 503)
                && retries < BUSY_RETRIES
            {
                retries += 1;
                tokio::time::sleep(pause).await;
                continue;
            }
            let most = if status.is_success() { most } else { ANSWER_BYTES_MAX };
            let answer = http::body(response, most).await.map_err(|error| match error {
                BodyError::Broken(error) => failed(error),
                BodyError::TooLong { max } => self.malformed(&format!("more than {max} bytes")),
            })?;
            if status.is_success() {
                return Ok(answer);
            }
            let words = serde_json::from_slice(&answer).map(|Problem { detail }| detail);
            let words = words.unwrap_or_else(|_| String::from_utf8_lossy(&answer).into_owned());
            return Err(GatewayError::Refused {
                host: self.host.clone(),
                status: status.as_u16(),
                detail: words.chars().take(QUOTED_MAX).collect(),
            });
        }
    }

    async fn block(&self, id: &BlockId) -> Result<Block, StoreError> {
        let place = || format!("the gateway at {}", self.host);
        let request = self.client.get(self.at(&["content", &id.to_string()]));
        match self.answer(request, residual_content::limits::MAX_BLOCK_BYTES).await {
            Ok(bytes) => {
                Block::verify(*id, bytes).map_err(|source| StoreError::Corrupt { place: place(), source })
            }
            Err(GatewayError::Refused { status: 404, .. }) => {
                Err(StoreError::Missing { id: *id, place: place() })
            }
            Err(error) => Err(StoreError::Remote { id: *id, place: place(), source: error.into() }),
        }
    }
}

/// What an error says, down to its ground: the outermost word is seldom the one that helps.
fn cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Waits for the network: on a thread that may, outside the runtime or inside of `block_in_place`.
impl BlockSource for RemoteGateway {
    fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
        self.runtime.block_on(self.block(id))
    }

    fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
        match self.get(id) {
            Ok(_) => Ok(true),
            Err(StoreError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_taken_unless_told_and_no_secret_is_shown() {
        for url in
            ["https://gateway.example", "http://127.0.0.1:8402", "http://[::1]:1", "http://localhost/x"]
        {
            assert!(address(url, false).is_ok(), "{url}");
        }
        let far = "http://gateway.example:8402";
        assert_eq!(address(far, true).unwrap().1, "gateway.example:8402");
        for url in
            [far, "ftp://127.0.0.1", "gateway", "https://me:secret@gateway.example", "https://x/?key=secret"]
        {
            let error = address(url, false).unwrap_err().to_string();
            assert!(error.contains("https://") && !error.contains("secret"), "{error}");
        }
    }
}
