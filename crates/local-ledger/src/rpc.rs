//! The JSON-RPC methods. Each is short: it finds the block that is asked about, reads, and says it in RPC shapes.
//!
//! Served are the methods that wallets and libraries use against any chain. Refused by absence: signing (no key is
//! ever here), proofs (there is no trie), tracing, and, outside development mode, everything that moves the clock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::Transaction as _;
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessListResult;
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::pubsub::{Params, SubscriptionKind};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{
    BlockId, BlockNumberOrTag, BlockOverrides, FeeHistory, Filter, FilterChanges, Header as RpcHeader, Index,
    Log as RpcLog, TransactionReceipt, TransactionRequest,
};
use alloy_serde::JsonStorageKey;
use jsonrpsee::core::{RpcResult, SubscriptionResult};
use jsonrpsee::proc_macros::rpc;
use jsonrpsee::server::PendingSubscriptionSink;
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::{INTERNAL_ERROR_CODE, INVALID_PARAMS_CODE};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::convert::{self, RpcBlock, RpcTransaction};
use crate::evm::{Call, CallError, Overrides, block_rules};
use crate::filters::{FilterError, Filters, Kind};
use crate::genesis::BASE_FEE;
use crate::logs::{self, LogError};
use crate::pool::{self, SubmitError};
use crate::pubsub::{self, SubscribeError, Topic};
use crate::store::{Block, Facts, Snapshot, StoreError};
use crate::writer::{Clock, Job, next_header, panic_text, seal};

/// Calls, estimates and searches that run at a time; the rest wait their turn.
const HEAVY_MAX: usize = 8;

/// Blocks of one `eth_feeHistory`, at most (geth's figure).
const FEE_HISTORY_BLOCKS_MAX: u64 = 1024;

/// Percentiles of one `eth_feeHistory`, at most (geth's figure).
const PERCENTILES_MAX: usize = 100;

/// How long `eth_sendRawTransactionSync` waits, at most and if not told.
const SYNC_MAX: Duration = Duration::from_secs(10);

/// Seconds by which one call may put the clock forward, at most: about a hundred years.
const CLOCK_STEP_MAX_S: u64 = 100 * 366 * 86_400;

#[rpc(server)]
pub(crate) trait Eth {
    #[method(name = "web3_clientVersion")]
    fn client_version(&self) -> RpcResult<String>;
    #[method(name = "net_version")]
    fn net_version(&self) -> RpcResult<String>;
    #[method(name = "net_listening")]
    fn net_listening(&self) -> RpcResult<bool>;
    #[method(name = "eth_chainId")]
    fn chain_id(&self) -> RpcResult<U64>;
    #[method(name = "eth_syncing")]
    fn syncing(&self) -> RpcResult<bool>;
    #[method(name = "eth_accounts")]
    fn accounts(&self) -> RpcResult<Vec<Address>>;
    #[method(name = "eth_blockNumber")]
    fn block_number(&self) -> RpcResult<U64>;
    #[method(name = "eth_gasPrice")]
    fn gas_price(&self) -> RpcResult<U256>;
    #[method(name = "eth_maxPriorityFeePerGas")]
    fn max_priority_fee(&self) -> RpcResult<U256>;
    #[method(name = "eth_feeHistory")]
    async fn fee_history(
        &self,
        blocks: U64,
        newest: BlockNumberOrTag,
        percentiles: Option<Vec<f64>>,
    ) -> RpcResult<FeeHistory>;

    #[method(name = "eth_getBalance")]
    fn balance(&self, address: Address, at: Option<BlockId>) -> RpcResult<U256>;
    #[method(name = "eth_getTransactionCount")]
    fn transaction_count(&self, address: Address, at: Option<BlockId>) -> RpcResult<U64>;
    #[method(name = "eth_getCode")]
    fn code(&self, address: Address, at: Option<BlockId>) -> RpcResult<Bytes>;
    #[method(name = "eth_getStorageAt")]
    fn storage_at(&self, address: Address, slot: JsonStorageKey, at: Option<BlockId>) -> RpcResult<B256>;

    #[method(name = "eth_getBlockByNumber")]
    fn block_by_number(&self, number: BlockNumberOrTag, full: Option<bool>) -> RpcResult<Option<RpcBlock>>;
    #[method(name = "eth_getBlockByHash")]
    fn block_by_hash(&self, hash: B256, full: Option<bool>) -> RpcResult<Option<RpcBlock>>;
    #[method(name = "eth_getHeaderByNumber")]
    fn header_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<RpcHeader>>;
    #[method(name = "eth_getHeaderByHash")]
    fn header_by_hash(&self, hash: B256) -> RpcResult<Option<RpcHeader>>;
    #[method(name = "eth_getBlockTransactionCountByNumber")]
    fn count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>>;
    #[method(name = "eth_getBlockTransactionCountByHash")]
    fn count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>>;
    #[method(name = "eth_getBlockReceipts")]
    async fn block_receipts(&self, block: BlockId) -> RpcResult<Option<Vec<TransactionReceipt>>>;
    #[method(name = "eth_getTransactionByHash")]
    fn transaction_by_hash(&self, hash: B256) -> RpcResult<Option<RpcTransaction>>;
    #[method(name = "eth_getTransactionByBlockNumberAndIndex")]
    fn transaction_by_number(&self, n: BlockNumberOrTag, index: Index) -> RpcResult<Option<RpcTransaction>>;
    #[method(name = "eth_getTransactionByBlockHashAndIndex")]
    fn transaction_by_block_hash(&self, hash: B256, index: Index) -> RpcResult<Option<RpcTransaction>>;
    #[method(name = "eth_getRawTransactionByHash")]
    fn raw_transaction(&self, hash: B256) -> RpcResult<Option<Bytes>>;
    #[method(name = "eth_getTransactionReceipt")]
    fn transaction_receipt(&self, hash: B256) -> RpcResult<Option<TransactionReceipt>>;

    #[method(name = "eth_call")]
    async fn call(
        &self,
        request: TransactionRequest,
        at: Option<BlockId>,
        state: Option<StateOverride>,
        block: Option<Box<BlockOverrides>>,
    ) -> RpcResult<Bytes>;
    #[method(name = "eth_estimateGas")]
    async fn estimate_gas(
        &self,
        request: TransactionRequest,
        at: Option<BlockId>,
        state: Option<StateOverride>,
        block: Option<Box<BlockOverrides>>,
    ) -> RpcResult<U64>;
    #[method(name = "eth_createAccessList")]
    async fn create_access_list(
        &self,
        request: TransactionRequest,
        at: Option<BlockId>,
        state: Option<StateOverride>,
    ) -> RpcResult<AccessListResult>;
    #[method(name = "eth_sendRawTransaction")]
    async fn send_raw_transaction(&self, raw: Bytes) -> RpcResult<B256>;
    #[method(name = "eth_sendRawTransactionSync")]
    async fn send_and_wait(&self, raw: Bytes, timeout_ms: Option<U64>) -> RpcResult<TransactionReceipt>;

    #[method(name = "eth_getLogs")]
    async fn logs(&self, filter: Filter) -> RpcResult<Vec<RpcLog>>;
    #[method(name = "eth_newFilter")]
    fn new_filter(&self, filter: Filter) -> RpcResult<U256>;
    #[method(name = "eth_newBlockFilter")]
    fn new_block_filter(&self) -> RpcResult<U256>;
    #[method(name = "eth_newPendingTransactionFilter")]
    fn new_transaction_filter(&self) -> RpcResult<U256>;
    #[method(name = "eth_getFilterChanges")]
    async fn filter_changes(&self, id: U256) -> RpcResult<FilterChanges<RpcTransaction>>;
    #[method(name = "eth_getFilterLogs")]
    async fn filter_logs(&self, id: U256) -> RpcResult<Vec<RpcLog>>;
    #[method(name = "eth_uninstallFilter")]
    fn uninstall_filter(&self, id: U256) -> RpcResult<bool>;
    #[subscription(name = "eth_subscribe" => "eth_subscription", unsubscribe = "eth_unsubscribe", item = serde_json::Value)]
    async fn subscribe(&self, kind: SubscriptionKind, params: Option<Params>) -> SubscriptionResult;
}

#[rpc(server)]
pub(crate) trait Development {
    /// Puts the clock forward; the answer is the seconds it is ahead in all, a plain number as others have it.
    #[method(name = "evm_increaseTime")]
    async fn increase_time(&self, seconds: U64) -> RpcResult<u64>;
    /// Makes a block, empty if nothing waits.
    #[method(name = "evm_mine")]
    async fn mine(&self) -> RpcResult<String>;
}

/// What a method answers when it cannot.
#[derive(Debug, thiserror::Error)]
enum RpcError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("header not found: block {asked} was asked for, the newest is {newest}")]
    UnknownNumber { asked: u64, newest: u64 },
    #[error("header not found: no block has the hash {0}")]
    UnknownHash(B256),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Logs(#[from] LogError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error("invalid reward percentiles: at most {PERCENTILES_MAX}, from 0 to 100, ascending")]
    Percentiles,
    #[error("the clock goes forward by 0 to {CLOCK_STEP_MAX_S} seconds at a time, not {0}")]
    ClockStep(u64),
    #[error("transaction {0} was taken but waits for an earlier nonce")]
    StillQueued(B256),
    #[error("the ledger is closing")]
    Closing,
    #[error("internal error: {0}")]
    Panic(String),
}

impl RpcError {
    /// The codes are geth's; EIP-1474 has -32005 for limits and EIP-7966 4 for what is not mined in time.
    fn code(&self) -> i32 {
        match self {
            Self::Call(CallError::Reverted(_)) => 3,
            Self::StillQueued(_) => 4,
            Self::Call(CallError::Request(_) | CallError::Override(_))
            | Self::Percentiles
            | Self::ClockStep(_)
            | Self::Subscribe(SubscribeError::Unknown | SubscribeError::Params) => INVALID_PARAMS_CODE,
            Self::Logs(LogError::Backwards { .. }) => INVALID_PARAMS_CODE,
            Self::Logs(e)
            | Self::Filter(FilterError::Logs(e))
            | Self::Subscribe(SubscribeError::Filter(FilterError::Logs(e)))
                if !matches!(e, LogError::Store(_) | LogError::UnknownBlock(_)) =>
            {
                -32005
            }
            Self::Filter(FilterError::TooMany | FilterError::TooMuch)
            | Self::Subscribe(SubscribeError::Filter(FilterError::TooMuch)) => -32005,
            Self::Store(_) | Self::Panic(_) | Self::Call(CallError::Store(_)) => INTERNAL_ERROR_CODE,
            _ => -32000,
        }
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(e: RpcError) -> Self {
        let data = match &e {
            RpcError::Call(CallError::Reverted(data)) => Some(data.clone()),
            RpcError::StillQueued(hash) => Some(hash.0.into()),
            _ => None,
        };
        Self::owned(e.code(), e.to_string(), data)
    }
}

/// What the methods work on.
pub(crate) struct Rpc {
    head: watch::Receiver<Arc<Snapshot>>,
    jobs: mpsc::Sender<Job>,
    facts: Facts,
    clock: Clock,
    filters: Arc<Filters>,
    heavy: Semaphore,
}

/// What the methods of development mode work on.
pub(crate) struct Clockwork {
    pub(crate) jobs: mpsc::Sender<Job>,
}

/// Rules for running code, and the block whose state it finds.
type Stage = (u64, EvmEnv);

impl Rpc {
    pub(crate) fn new(
        head: watch::Receiver<Arc<Snapshot>>,
        jobs: mpsc::Sender<Job>,
        facts: Facts,
        clock: Clock,
    ) -> Self {
        Self { head, jobs, facts, clock, filters: Arc::default(), heavy: Semaphore::new(HEAVY_MAX) }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.head.borrow().clone()
    }

    /// A read that is over in microseconds, on the server's own thread.
    fn read<T>(&self, work: impl FnOnce(Arc<Snapshot>) -> Result<T, RpcError>) -> RpcResult<T> {
        Ok(guarded(self.snapshot(), work)?)
    }

    /// Work that may take long, on a thread of its own and only so much at a time.
    async fn heavy<T: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Snapshot>) -> Result<T, RpcError> + Send + 'static,
    ) -> RpcResult<T> {
        let _permit = self.heavy.acquire().await.map_err(|_| RpcError::Closing)?;
        let snapshot = self.snapshot();
        let done = tokio::task::spawn_blocking(move || guarded(snapshot, work)).await;
        Ok(done.map_err(|e| RpcError::Panic(e.to_string()))??)
    }

    async fn staged<T: Send + 'static>(
        &self,
        at: BlockId,
        request: TransactionRequest,
        overrides: Overrides,
        work: impl FnOnce(Call) -> Result<T, CallError> + Send + 'static,
    ) -> RpcResult<T> {
        let (chain_id, clock, incarnation) =
            (self.facts.chain_id, self.clock.clone(), self.facts.incarnation);
        self.heavy(move |snapshot| {
            let (number, rules) = stage(&snapshot, at, chain_id, &clock, incarnation)?;
            Ok(work(Call::new(snapshot, number, rules, request, overrides)?)?)
        })
        .await
    }
}

/// Has the writer do something, and waits until it is durable.
async fn ask<T>(
    jobs: &mpsc::Sender<Job>,
    job: impl FnOnce(oneshot::Sender<Result<T, SubmitError>>) -> Job,
) -> Result<T, RpcError> {
    let (reply, answer) = oneshot::channel();
    jobs.send(job(reply)).await.map_err(|_| RpcError::Closing)?;
    Ok(answer.await.map_err(|_| RpcError::Closing)??)
}

/// A store damaged while it is open may panic deep inside; that must not take the server with it.
fn guarded<T>(
    snapshot: Arc<Snapshot>,
    work: impl FnOnce(Arc<Snapshot>) -> Result<T, RpcError>,
) -> Result<T, RpcError> {
    catch_unwind(AssertUnwindSafe(|| work(snapshot)))
        .unwrap_or_else(|panic| Err(RpcError::Panic(panic_text(&*panic).to_owned())))
}

/// The number of the block that is named. A block is final as soon as it is made, and none is pending.
fn resolve(snapshot: &Snapshot, at: BlockId) -> Result<u64, RpcError> {
    let newest = snapshot.number();
    match at {
        BlockId::Hash(hash) => {
            snapshot.block_number(hash.block_hash)?.ok_or(RpcError::UnknownHash(hash.block_hash))
        }
        BlockId::Number(BlockNumberOrTag::Number(asked)) if asked > newest => {
            Err(RpcError::UnknownNumber { asked, newest })
        }
        BlockId::Number(BlockNumberOrTag::Number(asked)) => Ok(asked),
        BlockId::Number(BlockNumberOrTag::Earliest) => Ok(0),
        BlockId::Number(_) => Ok(newest),
    }
}

/// As [`resolve`], for methods that answer null when there is no such block.
fn find_block(snapshot: &Snapshot, at: BlockId) -> Result<Option<Block>, RpcError> {
    match resolve(snapshot, at) {
        Ok(number) => Ok(snapshot.block(number)?),
        Err(RpcError::UnknownHash(_) | RpcError::UnknownNumber { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// A block by its number or hash runs as it ran. "latest" has the newest block's state and number but the time of
/// now: no block is made while nobody sends anything, and a chain with blocks all the time, which contracts and
/// clients reckon with, would have one of now. "pending" is the next block.
fn stage(
    snapshot: &Snapshot,
    at: BlockId,
    chain_id: u64,
    clock: &Clock,
    incarnation: [u8; 16],
) -> Result<Stage, RpcError> {
    let number = resolve(snapshot, at)?;
    let header = match at {
        BlockId::Number(BlockNumberOrTag::Pending) => next_header(&snapshot.head, clock, incarnation),
        BlockId::Number(BlockNumberOrTag::Latest | BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized) => {
            let mut header = snapshot.head.header.clone();
            header.timestamp = clock.next_timestamp_s(&header);
            header
        }
        _ => snapshot.block(number)?.ok_or(StoreError::Corrupt { what: "the list of blocks" })?.header,
    };
    Ok((number, block_rules(chain_id, &header)))
}

fn whole_block(snapshot: &Snapshot, at: BlockId, full: bool) -> Result<Option<RpcBlock>, RpcError> {
    let Some(block) = find_block(snapshot, at)? else { return Ok(None) };
    let transactions = snapshot.transactions(block.header.number)?;
    Ok(Some(convert::block(&block, transactions, full)))
}

fn transaction_at(snapshot: &Snapshot, at: BlockId, index: u64) -> Result<Option<RpcTransaction>, RpcError> {
    let Some(block) = find_block(snapshot, at)? else { return Ok(None) };
    let tx = snapshot.transaction(block.header.number, index)?;
    Ok(tx.map(|tx| convert::mined(tx, &block, index)))
}

#[jsonrpsee::core::async_trait]
impl EthServer for Rpc {
    fn client_version(&self) -> RpcResult<String> {
        Ok(format!("local-ledger/v{}/revm/redb", env!("CARGO_PKG_VERSION")))
    }

    fn net_version(&self) -> RpcResult<String> {
        Ok(self.facts.chain_id.to_string())
    }

    fn net_listening(&self) -> RpcResult<bool> {
        Ok(true)
    }

    fn chain_id(&self) -> RpcResult<U64> {
        Ok(U64::from(self.facts.chain_id))
    }

    fn syncing(&self) -> RpcResult<bool> {
        Ok(false)
    }

    /// None: the ledger holds no keys.
    fn accounts(&self) -> RpcResult<Vec<Address>> {
        Ok(Vec::new())
    }

    fn block_number(&self) -> RpcResult<U64> {
        Ok(U64::from(self.head.borrow().number()))
    }

    fn gas_price(&self) -> RpcResult<U256> {
        Ok(U256::from(BASE_FEE))
    }

    /// A tip buys nothing: whatever arrives goes into the next block.
    fn max_priority_fee(&self) -> RpcResult<U256> {
        Ok(U256::ZERO)
    }

    async fn fee_history(
        &self,
        blocks: U64,
        newest: BlockNumberOrTag,
        percentiles: Option<Vec<f64>>,
    ) -> RpcResult<FeeHistory> {
        self.heavy(move |snapshot| fee_history(&snapshot, blocks.to(), newest, percentiles)).await
    }

    fn balance(&self, address: Address, at: Option<BlockId>) -> RpcResult<U256> {
        self.read(|snapshot| {
            let account = snapshot.account(address, resolve(&snapshot, at.unwrap_or_default())?)?;
            Ok(account.map_or(U256::ZERO, |account| account.balance))
        })
    }

    fn transaction_count(&self, address: Address, at: Option<BlockId>) -> RpcResult<U64> {
        self.read(|snapshot| {
            let at = at.unwrap_or_default();
            let account = snapshot.account(address, resolve(&snapshot, at)?)?;
            let nonce = account.map_or(0, |account| account.nonce);
            Ok(U64::from(if at.is_pending() { snapshot.next_free_nonce(address, nonce)? } else { nonce }))
        })
    }

    fn code(&self, address: Address, at: Option<BlockId>) -> RpcResult<Bytes> {
        self.read(|snapshot| {
            match snapshot.account(address, resolve(&snapshot, at.unwrap_or_default())?)? {
                Some(account) => Ok(snapshot.code(account.code_hash)?),
                None => Ok(Bytes::new()),
            }
        })
    }

    fn storage_at(&self, address: Address, slot: JsonStorageKey, at: Option<BlockId>) -> RpcResult<B256> {
        self.read(|snapshot| {
            let at = resolve(&snapshot, at.unwrap_or_default())?;
            Ok(snapshot.slot(address, slot.as_b256().into(), at)?.into())
        })
    }

    fn block_by_number(&self, number: BlockNumberOrTag, full: Option<bool>) -> RpcResult<Option<RpcBlock>> {
        self.read(|snapshot| {
            let full = full.unwrap_or_default();
            if number.is_pending() {
                let header = next_header(&snapshot.head, &self.clock, self.facts.incarnation);
                let next = seal(header, Vec::new(), Vec::new(), Default::default());
                return Ok(Some(convert::block(&next.block, Vec::new(), full)));
            }
            whole_block(&snapshot, number.into(), full)
        })
    }

    fn block_by_hash(&self, hash: B256, full: Option<bool>) -> RpcResult<Option<RpcBlock>> {
        self.read(|snapshot| whole_block(&snapshot, hash.into(), full.unwrap_or_default()))
    }

    fn header_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<RpcHeader>> {
        self.read(|snapshot| Ok(find_block(&snapshot, number.into())?.map(|block| convert::header(&block))))
    }

    fn header_by_hash(&self, hash: B256) -> RpcResult<Option<RpcHeader>> {
        self.read(|snapshot| Ok(find_block(&snapshot, hash.into())?.map(|block| convert::header(&block))))
    }

    fn count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>> {
        self.read(|snapshot| {
            Ok(find_block(&snapshot, number.into())?.map(|block| U64::from(block.transactions)))
        })
    }

    fn count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>> {
        self.read(|snapshot| {
            Ok(find_block(&snapshot, hash.into())?.map(|block| U64::from(block.transactions)))
        })
    }

    async fn block_receipts(&self, block: BlockId) -> RpcResult<Option<Vec<TransactionReceipt>>> {
        self.heavy(move |snapshot| {
            let Some(block) = find_block(&snapshot, block)? else { return Ok(None) };
            let transactions = snapshot.transactions(block.header.number)?;
            let receipts = snapshot.receipts(block.header.number)?;
            let both = transactions.iter().zip(&receipts).zip(0..);
            Ok(Some(both.map(|((tx, done), index)| convert::receipt(tx, done, &block, index)).collect()))
        })
        .await
    }

    fn transaction_by_hash(&self, hash: B256) -> RpcResult<Option<RpcTransaction>> {
        self.read(|snapshot| {
            if let Some((number, index)) = snapshot.place(hash)? {
                return transaction_at(&snapshot, number.into(), index);
            }
            Ok(snapshot.queued_transaction(hash)?.map(convert::queued))
        })
    }

    fn transaction_by_number(&self, n: BlockNumberOrTag, index: Index) -> RpcResult<Option<RpcTransaction>> {
        self.read(|snapshot| transaction_at(&snapshot, n.into(), index.0 as u64))
    }

    fn transaction_by_block_hash(&self, hash: B256, index: Index) -> RpcResult<Option<RpcTransaction>> {
        self.read(|snapshot| transaction_at(&snapshot, hash.into(), index.0 as u64))
    }

    fn raw_transaction(&self, hash: B256) -> RpcResult<Option<Bytes>> {
        Ok(self.transaction_by_hash(hash)?.map(|tx| tx.inner.inner().encoded_2718().into()))
    }

    fn transaction_receipt(&self, hash: B256) -> RpcResult<Option<TransactionReceipt>> {
        self.read(|snapshot| find_receipt(&snapshot, hash))
    }

    async fn call(
        &self,
        request: TransactionRequest,
        at: Option<BlockId>,
        state: Option<StateOverride>,
        block: Option<Box<BlockOverrides>>,
    ) -> RpcResult<Bytes> {
        self.staged(at.unwrap_or_default(), request, Overrides { state, block }, Call::output).await
    }

    /// For the next block unless one is named: that is where the transaction will run.
    async fn estimate_gas(
        &self,
        request: TransactionRequest,
        at: Option<BlockId>,
        state: Option<StateOverride>,
        block: Option<Box<BlockOverrides>>,
    ) -> RpcResult<U64> {
        let at = at.unwrap_or(BlockId::pending());
        let gas = self.staged(at, request, Overrides { state, block }, Call::estimate).await?;
        Ok(U64::from(gas))
    }

    async fn create_access_list(
        &self,
        request: TransactionRequest,
        at: Option<BlockId>,
        state: Option<StateOverride>,
    ) -> RpcResult<AccessListResult> {
        let at = at.unwrap_or(BlockId::pending());
        self.staged(at, request, Overrides { state, block: None }, Call::access_list).await
    }

    async fn send_raw_transaction(&self, raw: Bytes) -> RpcResult<B256> {
        let tx = pool::admit(&raw, self.facts.chain_id).map_err(RpcError::from)?;
        Ok(ask(&self.jobs, |reply| Job::Submit { tx: Box::new(tx), reply }).await?)
    }

    /// EIP-7966. Only one that waits in the queue is waited for.
    async fn send_and_wait(&self, raw: Bytes, timeout_ms: Option<U64>) -> RpcResult<TransactionReceipt> {
        let hash = self.send_raw_transaction(raw).await?;
        let wait = timeout_ms.map_or(SYNC_MAX, |ms| Duration::from_millis(ms.to()).min(SYNC_MAX));
        let mut head = self.head.clone();
        let mined = async {
            loop {
                let snapshot = head.borrow_and_update().clone();
                if let Some(receipt) = guarded(snapshot, |snapshot| find_receipt(&snapshot, hash))? {
                    return Ok(receipt);
                }
                head.changed().await.map_err(|_| RpcError::Closing)?;
            }
        };
        Ok(tokio::time::timeout(wait, mined).await.unwrap_or(Err(RpcError::StillQueued(hash)))?)
    }

    async fn logs(&self, filter: Filter) -> RpcResult<Vec<RpcLog>> {
        self.heavy(move |snapshot| find_logs(&snapshot, &filter)).await
    }

    fn new_filter(&self, filter: Filter) -> RpcResult<U256> {
        self.read(|snapshot| {
            let kind = Kind::Logs(self.filters.keep(filter)?);
            Ok(self.filters.open(kind, &snapshot)?)
        })
    }

    fn new_block_filter(&self) -> RpcResult<U256> {
        self.read(|snapshot| Ok(self.filters.open(Kind::Blocks, &snapshot)?))
    }

    fn new_transaction_filter(&self) -> RpcResult<U256> {
        self.read(|snapshot| Ok(self.filters.open(Kind::Transactions, &snapshot)?))
    }

    async fn filter_changes(&self, id: U256) -> RpcResult<FilterChanges<RpcTransaction>> {
        let filters = self.filters.clone();
        self.heavy(move |snapshot| Ok(filters.changes(id, &snapshot)?)).await
    }

    async fn filter_logs(&self, id: U256) -> RpcResult<Vec<RpcLog>> {
        let filter = self.filters.logs(id).map_err(RpcError::from)?;
        self.heavy(move |snapshot| find_logs(&snapshot, &filter)).await
    }

    fn uninstall_filter(&self, id: U256) -> RpcResult<bool> {
        Ok(self.filters.close(id))
    }

    async fn subscribe(
        &self,
        pending: PendingSubscriptionSink,
        kind: SubscriptionKind,
        params: Option<Params>,
    ) -> SubscriptionResult {
        match Topic::of(kind, params, &self.filters) {
            Ok(topic) => pubsub::follow(pending, topic, self.head.clone()).await,
            Err(why) => {
                pending.reject(RpcError::from(why)).await;
                Ok(())
            }
        }
    }
}

#[jsonrpsee::core::async_trait]
impl DevelopmentServer for Clockwork {
    async fn increase_time(&self, seconds: U64) -> RpcResult<u64> {
        let seconds = seconds.to::<u64>();
        if seconds > CLOCK_STEP_MAX_S {
            return Err(RpcError::ClockStep(seconds).into());
        }
        Ok(ask(&self.jobs, |reply| Job::PutClockForward { seconds, reply }).await?)
    }

    async fn mine(&self) -> RpcResult<String> {
        ask(&self.jobs, |reply| Job::Mine { reply }).await?;
        Ok("0x0".into())
    }
}

fn find_receipt(snapshot: &Snapshot, hash: B256) -> Result<Option<TransactionReceipt>, RpcError> {
    let Some((number, index)) = snapshot.place(hash)? else { return Ok(None) };
    let missing = || StoreError::Corrupt { what: "a mined transaction" };
    let block = snapshot.block(number)?.ok_or_else(missing)?;
    let tx = snapshot.transaction(number, index)?.ok_or_else(missing)?;
    let receipt = snapshot.receipt(number, index)?.ok_or_else(missing)?;
    Ok(Some(convert::receipt(&tx, &receipt, &block, index)))
}

fn find_logs(snapshot: &Snapshot, filter: &Filter) -> Result<Vec<RpcLog>, RpcError> {
    logs::check(filter)?;
    match logs::range(snapshot, filter)? {
        Some((from, to)) if from <= to => Ok(logs::find(snapshot, filter, from, to)?),
        _ => Ok(Vec::new()),
    }
}

fn fee_history(
    snapshot: &Snapshot,
    blocks: u64,
    newest: BlockNumberOrTag,
    percentiles: Option<Vec<f64>>,
) -> Result<FeeHistory, RpcError> {
    let percentiles = percentiles.unwrap_or_default();
    if percentiles.len() > PERCENTILES_MAX
        || !percentiles.iter().all(|p| (0.0..=100.0).contains(p))
        || !percentiles.is_sorted()
    {
        return Err(RpcError::Percentiles);
    }
    let newest = resolve(snapshot, newest.into())?;
    let count = blocks.min(FEE_HISTORY_BLOCKS_MAX).min(newest + 1);
    let oldest = newest + 1 - count;
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for number in oldest..=newest {
        if count == 0 {
            break;
        }
        let block = snapshot.block(number)?.ok_or(StoreError::Corrupt { what: "the list of blocks" })?;
        let header = &block.header;
        history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or_default().into());
        history.gas_used_ratio.push(header.gas_used as f64 / header.gas_limit as f64);
        history.base_fee_per_blob_gas.push(1);
        history.blob_gas_used_ratio.push(0.0);
        if !percentiles.is_empty() {
            rewards.push(tips(snapshot, &block, &percentiles)?);
        }
    }
    if count > 0 {
        history.base_fee_per_gas.push(BASE_FEE.into());
        history.base_fee_per_blob_gas.push(1);
    }
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    Ok(history)
}

/// The tips paid in a block at the given percentiles of its gas.
fn tips(snapshot: &Snapshot, block: &Block, percentiles: &[f64]) -> Result<Vec<u128>, StoreError> {
    let number = block.header.number;
    let (transactions, receipts) = (snapshot.transactions(number)?, snapshot.receipts(number)?);
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let mut paid: Vec<(u128, u64)> = transactions
        .iter()
        .zip(&receipts)
        .map(|(tx, receipt)| (tx.effective_tip_per_gas(base_fee).unwrap_or_default(), receipt.gas_used))
        .collect();
    paid.sort_unstable();
    let at = |percentile: &f64| {
        let threshold = (block.header.gas_used as f64 * percentile / 100.0) as u64;
        let mut gas = 0;
        let reached = paid.iter().find(|(_, used)| {
            gas += used;
            gas >= threshold
        });
        reached.or(paid.last()).map_or(0, |(tip, _)| *tip)
    };
    Ok(percentiles.iter().map(at).collect())
}
