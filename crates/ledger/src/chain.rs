//! One connection to one chain: how it is configured, that it is the chain that was meant, and what can be read of it.

use std::{fmt, sync::Arc, time::Duration};

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolCall;
use reqwest::Url;

use crate::{
    account::{Account, DevelopmentKeyError},
    http,
    revert::Revert,
    rpc::{Block, BlockBody, CallRequest, Limits, Node, Receipt, RpcError, WireReceipt},
};

/// From when on a block is taken for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// At once: the embedded ledger, where one writer makes every block.
    Latest,
    /// When so many blocks lie above it.
    Depth(u64),
    /// When the node calls it safe.
    Safe,
    /// When the node calls it final.
    Finalized,
}

/// How to reach a chain and how to behave there.
#[derive(Clone)]
pub struct Config {
    /// The node's JSON-RPC over HTTP, `http://` or `https://`.
    pub url: String,
    /// Its WebSocket, if there is one: told of new blocks, the log stream need not ask for them.
    pub ws_url: Option<String>,
    /// The chain that is meant; none for whichever answers.
    pub chain_id: Option<u64>,
    /// Whether the well-known development keys may be used here. Only for a node on this machine.
    pub development: bool,
    /// From when on a block is taken for good.
    pub finality: Finality,
    /// Blocks that must hold a transaction, its own counted, before it counts as carried out; at least 1.
    pub confirmations: u64,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long one answer may be, in bytes.
    pub max_response_bytes: usize,
    /// How often the node is asked for news, at most.
    pub poll_interval: Duration,
    /// Wei per gas that a transaction may cost in all, at most.
    pub max_fee_wei: u128,
    /// Wei per gas that the block's maker may get of it, at most.
    pub max_tip_wei: u128,
    /// How long a transaction may wait before it is sent again with higher fees.
    pub bump_after: Duration,
    /// How long a transaction is waited for; its outcome is unknown then.
    pub give_up_after: Duration,
}

impl Config {
    /// A public chain at `url`: final blocks only, two confirmations, at most 500 gwei per gas.
    #[must_use]
    pub fn public(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ws_url: None,
            chain_id: None,
            development: false,
            finality: Finality::Finalized,
            confirmations: 2,
            request_timeout: Duration::from_secs(20),
            max_response_bytes: 32 << 20,
            poll_interval: Duration::from_secs(2),
            max_fee_wei: 500_000_000_000,
            max_tip_wei: 50_000_000_000,
            bump_after: Duration::from_secs(45),
            give_up_after: Duration::from_secs(600),
        }
    }

    /// The embedded ledger at `url`: its blocks are durable and final when they are seen.
    #[must_use]
    pub fn embedded(url: impl Into<String>) -> Self {
        Self {
            finality: Finality::Latest,
            confirmations: 1,
            poll_interval: Duration::from_millis(200),
            bump_after: Duration::from_secs(10),
            give_up_after: Duration::from_secs(30),
            ..Self::public(url)
        }
    }
}

impl fmt::Debug for Config {
    /// Of the URLs only the host, since the rest may carry the key of their user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Url::parse(&self.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        f.debug_struct("Config")
            .field("host", &host)
            .field("chain_id", &self.chain_id)
            .field("development", &self.development)
            .field("finality", &self.finality)
            .field("confirmations", &self.confirmations)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address of the node is not one.
    #[error("expected the node's address as {expected}, found something else; look at the configuration")]
    Url {
        /// Its form.
        expected: &'static str,
    },
    /// Development keys are everybody's; on a node that others reach they would be given away money.
    #[error("expected a node on this machine in development mode, found {host:?}; turn development mode off")]
    DevelopmentElsewhere {
        /// The host that was configured.
        host: Option<String>,
    },
    /// The HTTP client could not be made.
    #[error("expected to set up HTTP, found: {0}")]
    Http(#[source] reqwest::Error),
    /// Another chain answers.
    #[error(
        "expected chain {expected}, found chain {found}; use the node of chain {expected} or change the configuration"
    )]
    WrongChain {
        /// The chain that was meant.
        expected: u64,
        /// The chain that answers.
        found: u64,
    },
    /// The node did not say which chain it has.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

/// Why a view function gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The contract refused.
    #[error("{function}: {revert}")]
    Reverted {
        /// The function's signature.
        function: &'static str,
        /// What it said.
        revert: Revert,
    },
    /// There is no code at the address.
    #[error("{function}: expected a contract at {address}, found none; is it deployed on this chain?")]
    NoContract {
        /// Where it was looked for.
        address: Address,
        /// The function's signature.
        function: &'static str,
    },
    /// What came back is not what the function returns.
    #[error(
        "{function}: expected its result from {address}, found {bytes} other bytes; is that the right contract?"
    )]
    OtherResult {
        /// The contract.
        address: Address,
        /// The function's signature.
        function: &'static str,
        /// How many bytes came.
        bytes: usize,
    },
    /// The node gave no answer.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

/// A connection to one chain. Clones share it.
#[derive(Clone)]
pub struct Chain {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    config: Config,
    id: u64,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("id", &self.inner.id).field("config", &self.inner.config).finish()
    }
}

impl Chain {
    /// Connects and makes sure that the chain is the one that was meant.
    ///
    /// # Errors
    /// [`ConnectError::WrongChain`] when another answers; the others when none does or the configuration is wrong.
    pub async fn connect(config: Config) -> Result<Self, ConnectError> {
        let url = Url::parse(&config.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or(ConnectError::Url { expected: "http://... or https://..." })?;
        if let Some(ws_url) = &config.ws_url {
            let parsed = Url::parse(ws_url).ok().filter(|url| matches!(url.scheme(), "ws" | "wss"));
            parsed.ok_or(ConnectError::Url { expected: "ws://... or wss://..." })?;
        }
        if config.development && !http::is_loopback(&url) {
            return Err(ConnectError::DevelopmentElsewhere { host: url.host_str().map(str::to_owned) });
        }
        let limits = Limits { timeout: config.request_timeout, response_bytes: config.max_response_bytes };
        let node = Node::new(url, limits).map_err(ConnectError::Http)?;
        let found = chain_id(&node).await?;
        match config.chain_id {
            Some(expected) if expected != found => Err(ConnectError::WrongChain { expected, found }),
            _ => Ok(Self { inner: Arc::new(Inner { node, config, id: found }) }),
        }
    }

    /// The chain's id (EIP-155).
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// How the connection was configured.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn node(&self) -> &Node {
        &self.inner.node
    }

    /// Asks again which chain this is: behind one address a restarted node may have another.
    ///
    /// # Errors
    /// [`ConnectError::WrongChain`] or [`ConnectError::Rpc`].
    pub async fn check_id(&self) -> Result<(), ConnectError> {
        let (expected, found) = (self.id(), chain_id(self.node()).await?);
        if expected == found { Ok(()) } else { Err(ConnectError::WrongChain { expected, found }) }
    }

    /// Development account number `index`: of the mnemonic that every development node funds.
    ///
    /// # Errors
    /// Unless the connection is in development mode: everybody has these keys.
    pub fn development_account(&self, index: u32) -> Result<Account, DevelopmentKeyError> {
        if !self.config().development {
            return Err(DevelopmentKeyError::NotDevelopment);
        }
        Account::development(index)
    }

    /// Calls a view function in the newest block.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<C: SolCall>(&self, contract: Address, call: &C) -> Result<C::Return, CallError> {
        self.call_at(contract, call, BlockNumberOrTag::Latest).await
    }

    /// Calls a view function in the state after the given block.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_at<C: SolCall>(
        &self,
        contract: Address,
        call: &C,
        block: BlockNumberOrTag,
    ) -> Result<C::Return, CallError> {
        let function = C::SIGNATURE;
        let request =
            CallRequest { from: None, to: Some(contract), value: U256::ZERO, data: call.abi_encode().into() };
        let result: Bytes = match self.node().request("eth_call", (request, block)).await {
            Ok(result) => result,
            Err(error) => {
                return Err(match Revert::of(&error) {
                    Some(revert) => CallError::Reverted { function, revert },
                    None => error.into(),
                });
            }
        };
        match C::abi_decode_returns(&result) {
            Ok(value) => Ok(value),
            Err(_) if result.is_empty() && self.code(contract).await?.is_empty() => {
                Err(CallError::NoContract { address: contract, function })
            }
            Err(_) => Err(CallError::OtherResult { address: contract, function, bytes: result.len() }),
        }
    }

    /// The newest block.
    ///
    /// # Errors
    /// When the node does not say.
    pub async fn head(&self) -> Result<Block, RpcError> {
        self.known_block(BlockNumberOrTag::Latest).await
    }

    /// The newest block that the configured [`Finality`] takes for good.
    ///
    /// # Errors
    /// When the node does not say.
    pub async fn final_head(&self) -> Result<Block, RpcError> {
        self.known_block(self.final_tag().await?).await
    }

    /// The newest block that the configured [`Finality`] takes for good, as a request names it.
    pub(crate) async fn final_tag(&self) -> Result<BlockNumberOrTag, RpcError> {
        Ok(match self.config().finality {
            Finality::Latest | Finality::Depth(0) => BlockNumberOrTag::Latest,
            Finality::Depth(depth) => self.head().await?.number.saturating_sub(depth).into(),
            Finality::Safe => BlockNumberOrTag::Safe,
            Finality::Finalized => BlockNumberOrTag::Finalized,
        })
    }

    /// A block by number; none if the chain is not that long.
    ///
    /// # Errors
    /// When the node does not say.
    pub async fn block(&self, number: u64) -> Result<Option<Block>, RpcError> {
        let method = "eth_getBlockByNumber";
        let block: Option<Block> =
            self.node().request(method, (BlockNumberOrTag::Number(number), false)).await?;
        block.map(|block| block.checked(method, Some(number))).transpose()
    }

    /// The transactions of a block, as the node has them; none if the chain is not that long.
    pub(crate) async fn block_transactions(
        &self,
        number: u64,
    ) -> Result<Option<Vec<serde_json::Value>>, RpcError> {
        let params = (BlockNumberOrTag::Number(number), true);
        let body: Option<BlockBody> = self.node().request("eth_getBlockByNumber", params).await?;
        Ok(body.map(|body| body.transactions))
    }

    async fn known_block(&self, tag: BlockNumberOrTag) -> Result<Block, RpcError> {
        let method = "eth_getBlockByNumber";
        let block: Option<Block> = self.node().request(method, (tag, false)).await?;
        let block =
            block.ok_or_else(|| RpcError::Malformed { method, reason: format!("no block for {tag}") })?;
        block.checked(method, tag.as_number())
    }

    /// The account's balance in the newest block, in wei.
    ///
    /// # Errors
    /// When the node does not say.
    pub async fn balance_wei(&self, account: Address) -> Result<U256, RpcError> {
        self.node().request("eth_getBalance", (account, BlockNumberOrTag::Latest)).await
    }

    /// The code at an address in the newest block; empty if there is none.
    ///
    /// # Errors
    /// When the node does not say.
    pub async fn code(&self, address: Address) -> Result<Bytes, RpcError> {
        self.node().request("eth_getCode", (address, BlockNumberOrTag::Latest)).await
    }

    /// What became of a transaction; none while it is in no block.
    ///
    /// # Errors
    /// When the node does not say.
    pub async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, RpcError> {
        let method = "eth_getTransactionReceipt";
        let receipt: Option<WireReceipt> = self.node().request(method, (transaction,)).await?;
        receipt.map_or(Ok(None), |receipt| receipt.in_block(method, transaction))
    }

    /// How many transactions of the account are in the chain up to that block.
    pub(crate) async fn transaction_count(
        &self,
        account: Address,
        block: BlockNumberOrTag,
    ) -> Result<u64, RpcError> {
        let method = "eth_getTransactionCount";
        let count: U64 = self.node().request(method, (account, block)).await?;
        // The last nonce is never used (EIP-2681).
        if count == U64::MAX {
            return Err(RpcError::Malformed {
                method,
                reason: format!("{count} transactions of an account"),
            });
        }
        Ok(count.to())
    }
}

async fn chain_id(node: &Node) -> Result<u64, RpcError> {
    let id: U64 = node.request("eth_chainId", ()).await?;
    Ok(id.to())
}
