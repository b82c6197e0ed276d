//! The one door to a node: how a request is sent, how long and how large its answer may be, and what it says.
//!
//! Owns the transport and the wire forms of what is asked. Refuses to interpret: whether an answer is good news is for
//! those who asked.

use std::{task, time::Duration};

use alloy_json_rpc::{RequestPacket, ResponsePacket, RpcError as AlloyError, RpcRecv, RpcSend};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_client::{ClientBuilder, RpcClient};
use alloy_rpc_types_eth::Log;
use alloy_sol_types::SolEvent;
use alloy_transport::{TransportError, TransportErrorKind, TransportFut, layers::RetryBackoffLayer};
use reqwest::{StatusCode, Url, header};
use serde::{Deserialize, Serialize};

use crate::http;

/// How often a request is repeated when the node says that it gets too many; only that is repeated here.
const RATE_LIMIT_RETRIES: u32 = 5;
/// What is waited before such a repetition, in milliseconds, unless the node says how long.
const RATE_LIMIT_PAUSE_MS: u64 = 400;
/// What public nodes let a free user have; the retries are spread by it.
const COMPUTE_UNITS_PER_S: u64 = 300;
/// As much of a node's words as an error repeats, in bytes.
const QUOTED_MAX: usize = 500;
/// The largest block number and the latest time, in UNIX seconds, that a node is believed: what has 40 bits, as the
/// times of the contracts have. With a block each millisecond that is 34 years; nothing that is reckoned with such
/// numbers overflows.
const ORDINAL_MAX: u64 = (1 << 40) - 1;

/// Why a request got no useful answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RpcError {
    /// No answer: whether the node saw the request is unknown.
    #[error(
        "{method}: expected an answer from the node, found {reason}; check that it runs and can be reached"
    )]
    Unreachable {
        /// The JSON-RPC method.
        method: &'static str,
        /// What went wrong on the way.
        reason: String,
    },
    /// The node answered with an error.
    #[error("{method}: the node refused: {message} (code {code})")]
    Refused {
        /// The JSON-RPC method.
        method: &'static str,
        /// The JSON-RPC error code, or the HTTP status.
        code: i64,
        /// The node's words, at most 500 bytes of them.
        message: String,
        /// What a contract reverted with, if that is why.
        data: Option<Bytes>,
    },
    /// The answer is longer than the configuration allows.
    #[error(
        "{method}: expected an answer of at most {limit_bytes} bytes, found a longer one; ask for less at a time"
    )]
    TooLarge {
        /// The JSON-RPC method.
        method: &'static str,
        /// The limit.
        limit_bytes: usize,
    },
    /// The answer is not of the form that the method has.
    #[error(
        "{method}: expected an answer as Ethereum's JSON-RPC has it, found {reason}; is this an EVM node?"
    )]
    Malformed {
        /// The JSON-RPC method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl RpcError {
    /// Whether the same request may well succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// The limits of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) response_bytes: usize,
}

/// A node reached over HTTP.
#[derive(Clone)]
pub(crate) struct Node {
    client: RpcClient,
    /// The same without repetitions.
    once: RpcClient,
    limits: Limits,
}

impl Node {
    /// Makes the client; nothing is sent.
    pub(crate) fn new(url: Url, limits: Limits) -> Result<Self, reqwest::Error> {
        let client = http::client(limits.timeout, limits.timeout)?;
        let local = http::is_loopback(&url);
        let transport = CappedHttp { client, url, limits };
        let retry = RetryBackoffLayer::new(RATE_LIMIT_RETRIES, RATE_LIMIT_PAUSE_MS, COMPUTE_UNITS_PER_S);
        Ok(Self {
            client: ClientBuilder::default().layer(retry).transport(transport.clone(), local),
            once: ClientBuilder::default().transport(transport, local),
            limits,
        })
    }

    /// Sends one request.
    pub(crate) async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, RpcError> {
        self.client.request(method, params).await.map_err(|error| self.describe(method, error))
    }

    /// Sends one request and never the same again: for what must not arrive twice unknown to the caller.
    pub(crate) async fn request_once<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, RpcError> {
        self.once.request(method, params).await.map_err(|error| self.describe(method, error))
    }

    fn describe(&self, method: &'static str, error: TransportError) -> RpcError {
        match error {
            AlloyError::ErrorResp(payload) => RpcError::Refused {
                method,
                code: payload.code,
                message: quoted(&payload.message),
                data: payload.as_revert_data(),
            },
            AlloyError::Transport(TransportErrorKind::NonRetryable(source))
                if source.is::<AnswerTooLong>() =>
            {
                RpcError::TooLarge { method, limit_bytes: self.limits.response_bytes }
            }
            AlloyError::Transport(kind) => match kind.as_http_error() {
                Some(http) if is_final(http.status) => RpcError::Refused {
                    method,
                    code: i64::from(http.status),
                    message: quoted(&http.body),
                    data: None,
                },
                _ => RpcError::Unreachable { method, reason: quoted(&kind.to_string()) },
            },
            other => RpcError::Malformed { method, reason: quoted(&other.to_string()) },
        }
    }
}

/// Whether a repetition would get the same status.
fn is_final(status: u16) -> bool {
    (400..500).contains(&status)
        && status != StatusCode::TOO_MANY_REQUESTS.as_u16()
        && status != StatusCode::REQUEST_TIMEOUT.as_u16()
}

fn quoted(text: &str) -> String {
    let mut end = text.len().min(QUOTED_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The answer passed the limit; reading stopped there.
#[derive(Debug, thiserror::Error)]
#[error("the answer is too long")]
struct AnswerTooLong;

/// HTTP that stops reading where the limit is. The stock transport reads as much as a node cares to send.
#[derive(Clone)]
struct CappedHttp {
    client: reqwest::Client,
    url: Url,
    limits: Limits,
}

impl CappedHttp {
    async fn exchange(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        // A URL often carries the key of its user, so no error repeats it.
        let failed = |error: reqwest::Error| TransportErrorKind::custom(error.without_url());
        let body = serde_json::to_vec(&request).map_err(TransportError::ser_err)?;
        let post = self.client.post(self.url).header(header::CONTENT_TYPE, "application/json").body(body);
        let mut response = post.send().await.map_err(failed)?;

        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
        let retry_after = retry_after.map(|pause| pause.min(self.limits.timeout));
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if answer.len() + part.len() > self.limits.response_bytes {
                return Err(TransportErrorKind::non_retryable(AnswerTooLong));
            }
            answer.extend_from_slice(&part);
        }

        // Some nodes put a JSON-RPC error under an HTTP error's status; its words say more.
        match serde_json::from_slice::<ResponsePacket>(&answer) {
            Ok(packet) if status.is_success() || packet.is_error() => Ok(packet),
            Err(error) if status.is_success() => {
                Err(TransportError::deser_err(error, quoted(&String::from_utf8_lossy(&answer))))
            }
            _ => {
                let body = quoted(&String::from_utf8_lossy(&answer));
                Err(TransportErrorKind::http_error_with_retry_after(status.as_u16(), body, retry_after))
            }
        }
    }
}

impl tower::Service<RequestPacket> for CappedHttp {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), TransportError>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().exchange(request))
    }
}

/// What is asked of `eth_call` and `eth_estimateGas`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CallRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Address>,
    pub(crate) value: U256,
    /// By its old name, which also the nodes know that came before `input`.
    pub(crate) data: Bytes,
}

/// What is known of a block without its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Its number; the first is 0.
    #[serde(with = "alloy_serde::quantity")]
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The hash of the block before it.
    pub parent_hash: B256,
    /// When it was made, in UNIX seconds.
    #[serde(rename = "timestamp", with = "alloy_serde::quantity")]
    pub timestamp_s: u64,
    /// Wei per gas that its transactions burned (EIP-1559); none on a chain without.
    #[serde(rename = "baseFeePerGas", default, with = "alloy_serde::quantity::opt")]
    pub base_fee_wei: Option<u128>,
}

impl Block {
    /// The block, if it is the one that was asked for by number, and no number in it is beyond belief.
    pub(crate) fn checked(self, method: &'static str, asked: Option<u64>) -> Result<Self, RpcError> {
        if let Some(asked) = asked.filter(|asked| *asked != self.number) {
            let reason = format!("block {} where {asked} was asked for", self.number);
            return Err(RpcError::Malformed { method, reason });
        }
        if self.number.max(self.timestamp_s) > ORDINAL_MAX {
            let reason = format!("block {} of time {}", self.number, self.timestamp_s);
            return Err(RpcError::Malformed { method, reason });
        }
        Ok(self)
    }
}

/// What became of a transaction that is in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction.
    pub transaction_hash: B256,
    /// The block that it is in.
    pub block_number: u64,
    /// That block's hash.
    pub block_hash: B256,
    /// Gas that it used.
    pub gas_used: u64,
    /// Wei that each unit of gas cost.
    pub gas_price_wei: u128,
    /// The contract that it created, if it was to create one by itself.
    pub contract_address: Option<Address>,
    /// What was logged, in order.
    pub logs: Vec<Log>,
    pub(crate) succeeded: bool,
}

impl Receipt {
    /// The first event of this kind that `emitter` logged.
    #[must_use]
    pub fn event<E: SolEvent>(&self, emitter: Address) -> Option<E> {
        self.events(emitter).next()
    }

    /// All events of this kind that `emitter` logged, in order.
    pub fn events<E: SolEvent>(&self, emitter: Address) -> impl Iterator<Item = E> {
        let logs = self.logs.iter().filter(move |log| log.address() == emitter);
        logs.filter_map(|log| E::decode_log_data(log.data()).ok())
    }
}

/// The transactions of a block, each in whatever form it has.
#[derive(Debug, Deserialize)]
pub(crate) struct BlockBody {
    pub(crate) transactions: Vec<serde_json::Value>,
}

/// A receipt as nodes send it; one of a transaction that still waits has no block.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireReceipt {
    transaction_hash: B256,
    #[serde(default, with = "alloy_serde::quantity::opt")]
    block_number: Option<u64>,
    block_hash: Option<B256>,
    #[serde(with = "alloy_serde::quantity")]
    gas_used: u64,
    #[serde(default, with = "alloy_serde::quantity::opt")]
    effective_gas_price: Option<u128>,
    contract_address: Option<Address>,
    logs: Vec<Log>,
    #[serde(with = "alloy_serde::quantity")]
    status: u64,
}

impl WireReceipt {
    /// The receipt of the transaction that was asked for; none while that is in no block.
    pub(crate) fn in_block(self, method: &'static str, asked: B256) -> Result<Option<Receipt>, RpcError> {
        if self.transaction_hash != asked {
            let reason = format!("the receipt of {} where {asked} was asked for", self.transaction_hash);
            return Err(RpcError::Malformed { method, reason });
        }
        let Some((block_number, block_hash)) = self.block_number.zip(self.block_hash) else {
            return Ok(None);
        };
        if block_number > ORDINAL_MAX {
            return Err(RpcError::Malformed { method, reason: format!("a receipt in block {block_number}") });
        }
        Ok(Some(Receipt {
            transaction_hash: self.transaction_hash,
            block_number,
            block_hash,
            gas_used: self.gas_used,
            gas_price_wei: self.effective_gas_price.unwrap_or_default(),
            contract_address: self.contract_address,
            logs: self.logs,
            succeeded: self.status == 1,
        }))
    }
}
