//! The log stream: every log of some contracts once, in order, through disconnects and reorganisations.
//!
//! Owns where the stream stands and how large a page the node bears. Refuses to guess: a page counts only if it joins
//! what came before it, block hash by block hash, and what a reorganisation took back is said before anything new.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use alloy_pubsub::RawSubscription;
use alloy_rpc_client::RpcClient;
use alloy_rpc_types_eth::{Filter, Log};
use alloy_transport::{TransportError, TransportErrorKind};
use alloy_transport_ws::{WebSocketConfig, WsConnect};

use crate::{
    chain::{Chain, ConnectError, Finality},
    rpc::{Block, RpcError},
};

/// The first page's blocks; pages double while the node answers and halve when it refuses.
const FIRST_PAGE: u64 = 2_000;
/// The largest page, in blocks.
const PAGE_MAX: u64 = 50_000;
/// As many places are remembered to which a reorganisation may lead back; past them the stream begins anew.
const CHECKPOINTS_MAX: usize = 256;
/// The longest pause between two tries to reach a node that is gone.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often one block's logs may be refused before that is an error.
const REFUSALS_MAX: u32 = 5;
/// How long a node may show a shorter chain, as one of several behind an address does that lags, before it is believed.
const LAG_MAX: Duration = Duration::from_secs(10);

/// Which logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Logged by one of these contracts; empty for any.
    pub addresses: Vec<Address>,
    /// Of one of these kinds of event (`SolEvent::SIGNATURE_HASH`); empty for any.
    pub events: Vec<B256>,
    /// With one of these as the first, the second, the third indexed parameter of the event; empty for any.
    pub indexed: [Vec<B256>; 3],
}

impl LogQuery {
    /// All logs of some contracts.
    #[must_use]
    pub fn of(addresses: impl IntoIterator<Item = Address>) -> Self {
        Self { addresses: addresses.into_iter().collect(), ..Self::default() }
    }

    fn filter(&self) -> Filter {
        let [first, second, third] = self.indexed.clone();
        Filter::new()
            .address(self.addresses.clone())
            .event_signature(self.events.clone())
            .topic1(first)
            .topic2(second)
            .topic3(third)
    }

    fn matches(&self, log: &Log) -> bool {
        let of = self.addresses.is_empty() || self.addresses.contains(&log.address());
        let is = self.events.is_empty() || log.topic0().is_some_and(|event| self.events.contains(event));
        let has = self.indexed.iter().enumerate().all(|(at, wanted)| {
            wanted.is_empty() || log.topics().get(at + 1).is_some_and(|found| wanted.contains(found))
        });
        of && is && has
    }
}

/// A block that a stream has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Checkpoint {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

impl Checkpoint {
    /// The number after it. A checkpoint may come from a caller's file, so any number may be in it.
    fn next_number(&self) -> u64 {
        self.number.saturating_add(1)
    }
}

impl From<&Block> for Checkpoint {
    fn from(block: &Block) -> Self {
        Self { number: block.number, hash: block.hash }
    }
}

/// What a stream tells next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// The logs of the blocks after the last update, in order.
    Logs {
        /// All of them, perhaps none.
        logs: Vec<Log>,
        /// The last block that they cover.
        through: Checkpoint,
        /// Whether that is the newest block that the finality rule accepts.
        caught_up: bool,
    },
    /// All that came from blocks above this one no longer holds. The logs that hold instead come next.
    Reorganised {
        /// The last block that still holds.
        to_block: u64,
    },
}

/// Why logs do not come.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The node does not answer, or refuses even a single block.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// Another chain answers than before.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The range is upside down, or does not lie on the chain.
    #[error(
        "expected blocks from {from} to {to} on a chain that ends at {head}; ask for a range that is there"
    )]
    Range {
        /// The first block asked for.
        from: u64,
        /// The last block asked for.
        to: u64,
        /// The newest block.
        head: u64,
    },
    /// The chain was reorganised while it was read.
    #[error(
        "expected blocks {from} to {to} to stay while they were read, found another block {to}; ask again"
    )]
    Moved {
        /// The first block asked for.
        from: u64,
        /// The last block asked for.
        to: u64,
    },
}

impl Chain {
    /// All logs of a range of blocks, both ends included, in order. Pages are as large as the node bears.
    ///
    /// # Errors
    /// See [`LogError`]; no part of the logs is returned then.
    pub async fn logs(&self, query: &LogQuery, from: u64, to: u64) -> Result<Vec<Log>, LogError> {
        let head = self.head().await?.number;
        if from > to || to > head {
            return Err(LogError::Range { from, to, head });
        }
        let moved = LogError::Moved { from, to };
        let Some(last) = self.block(to).await? else { return Err(moved) };
        let mut size = PageSize::new();
        let (mut logs, mut next) = (Vec::new(), from);
        while next <= to {
            let end = size.end(next, to);
            match self.page(query, next, end).await {
                Ok(mut page) => {
                    logs.append(&mut page);
                    next = end + 1;
                    size.grow();
                }
                Err(error) if error.is_transient() || !size.shrink(end - next + 1) => {
                    return Err(error.into());
                }
                Err(_) => {}
            }
        }
        if self.block(to).await?.is_some_and(|block| block.hash == last.hash) { Ok(logs) } else { Err(moved) }
    }

    /// Follows the logs from a block on, without end.
    #[must_use]
    pub fn follow(&self, query: LogQuery, from_block: u64) -> LogStream {
        self.resume(query, from_block, Vec::new())
    }

    /// Follows the logs on from where an earlier stream stood: from the last of its checkpoints if that still holds,
    /// else after an [`Update::Reorganised`]. `from_block` is where the earlier one began.
    #[must_use]
    pub fn resume(&self, query: LogQuery, from_block: u64, mut checkpoints: Vec<Checkpoint>) -> LogStream {
        checkpoints.sort_by_key(|checkpoint| checkpoint.number);
        LogStream {
            chain: self.clone(),
            query,
            from_block,
            next_block: checkpoints.last().map_or(from_block, Checkpoint::next_number),
            checkpoints,
            size: PageSize::new(),
            news: News::new(self),
            shorter_since: None,
            lost: false,
        }
    }

    /// One request's logs, checked to be what was asked for.
    async fn page(&self, query: &LogQuery, from: u64, to: u64) -> Result<Vec<Log>, RpcError> {
        self.checked_logs(query, query.filter().from_block(from).to_block(to), from, to).await
    }

    async fn checked_logs(
        &self,
        query: &LogQuery,
        filter: Filter,
        from: u64,
        to: u64,
    ) -> Result<Vec<Log>, RpcError> {
        let method = "eth_getLogs";
        let logs: Vec<Log> = self.node().request(method, (filter,)).await?;
        let mut last = (0, 0);
        for log in &logs {
            let place = log.block_number.zip(log.log_index);
            let in_order = place.is_some_and(|place| place >= last && (from..=to).contains(&place.0));
            if !in_order || log.removed || !query.matches(log) {
                let reason = format!("a log out of place or not asked for in blocks {from} to {to}");
                return Err(RpcError::Malformed { method, reason });
            }
            last = place.unwrap_or(last);
        }
        Ok(logs)
    }
}

/// How many blocks are asked for at a time.
#[derive(Debug)]
struct PageSize {
    blocks: u64,
}

impl PageSize {
    fn new() -> Self {
        Self { blocks: FIRST_PAGE }
    }

    /// The last block of the page that begins at `from`.
    fn end(&self, from: u64, to: u64) -> u64 {
        to.min(from.saturating_add(self.blocks - 1))
    }

    fn grow(&mut self) {
        self.blocks = (self.blocks * 2).min(PAGE_MAX);
    }

    /// After a page of so many blocks was refused; false if that was one block already.
    fn shrink(&mut self, blocks: u64) -> bool {
        self.blocks = (blocks / 2).max(1);
        blocks > 1
    }
}

/// Logs without end. See [`Chain::follow`].
#[derive(Debug)]
pub struct LogStream {
    chain: Chain,
    query: LogQuery,
    from_block: u64,
    /// The first block that no update covers.
    next_block: u64,
    /// Ascending; the last is the block before `next_block`, unless nothing was read yet.
    checkpoints: Vec<Checkpoint>,
    size: PageSize,
    news: News,
    /// Since when the node has shown a chain that ends below the last checkpoint.
    shorter_since: Option<Instant>,
    /// Whether the node was gone: what comes back at its address may be another chain.
    lost: bool,
}

impl LogStream {
    /// Where the stream stands and how it came there, ascending, at most 256 blocks. Kept beside what was made of the
    /// updates, it lets [`Chain::resume`] go on there.
    #[must_use]
    pub fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// The next update; waits for it. A node that is gone is waited for as well, however long that takes.
    ///
    /// May be dropped at any point and called again: nothing is lost.
    ///
    /// # Errors
    /// When the node refuses a single block's logs again and again, or comes back as another chain.
    pub async fn next(&mut self) -> Result<Update, LogError> {
        let mut pause = self.chain.config().poll_interval;
        let mut refusals = 0;
        loop {
            match self.step().await {
                Ok(Some(update)) => return Ok(update),
                Ok(None) => self.news.wait().await,
                Err(StepError::Refused) => {}
                Err(StepError::Moved) => {
                    refusals += 1;
                    if refusals > REFUSALS_MAX {
                        tokio::time::sleep(pause).await;
                    }
                }
                Err(StepError::Rpc(error)) if error.is_transient() => {
                    tracing::warn!(%error, "the log stream waits for the node");
                    self.lost = true;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(StepError::OtherChain(error)) => return Err(error.into()),
                Err(StepError::Rpc(error)) => {
                    refusals += 1;
                    if refusals >= REFUSALS_MAX {
                        return Err(error.into());
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// One page, or a reorganisation, or none while there is no news.
    async fn step(&mut self) -> Result<Option<Update>, StepError> {
        if self.lost {
            self.chain.check_id().await?;
            self.lost = false;
        }
        let head = self.chain.final_head().await?;
        if head.number < self.next_block {
            return self.look_back(&head).await;
        }
        self.shorter_since = None;
        let (from, to) = (self.next_block, self.size.end(self.next_block, head.number));
        let end = if to == head.number { head } else { self.block(to).await? };
        if !self.joins(&end).await? {
            return self.go_back().await.map(Some);
        }
        let logs = if from == to {
            let filter = self.query.filter().at_block_hash(end.hash);
            self.chain.checked_logs(&self.query, filter, from, to).await
        } else {
            self.chain.page(&self.query, from, to).await
        };
        let logs = match logs {
            Ok(logs) => logs,
            Err(error) => {
                // A slow answer is as good a reason to ask for less as a refusal.
                let smaller = self.size.shrink(to - from + 1);
                return Err(if smaller && !error.is_transient() { StepError::Refused } else { error.into() });
            }
        };
        // A range is read by number; it is of this chain if its ends are still where they were.
        if from != to && (self.block(to).await?.hash != end.hash || !self.joins(&end).await?) {
            return Err(StepError::Moved);
        }
        if logs.iter().any(|log| log.block_number == Some(to) && log.block_hash != Some(end.hash)) {
            return Err(StepError::Moved);
        }
        self.size.grow();
        self.next_block = to + 1;
        self.checkpoints.push((&end).into());
        if self.checkpoints.len() > CHECKPOINTS_MAX {
            self.checkpoints.remove(0);
        }
        Ok(Some(Update::Logs { logs, through: (&end).into(), caught_up: to == head.number }))
    }

    /// Whether a block above the last checkpoint descends from it: by its parent's hash if it is the next, else
    /// because the checkpoint is still on the chain.
    async fn joins(&self, end: &Block) -> Result<bool, RpcError> {
        match self.checkpoints.last() {
            None => Ok(true),
            Some(last) if end.number == last.next_number() => Ok(end.parent_hash == last.hash),
            Some(last) => self.holds(last).await,
        }
    }

    async fn holds(&self, checkpoint: &Checkpoint) -> Result<bool, RpcError> {
        Ok(self.chain.block(checkpoint.number).await?.is_some_and(|block| block.hash == checkpoint.hash))
    }

    /// The chain has no new block, or ends below where the stream stands.
    async fn look_back(&mut self, head: &Block) -> Result<Option<Update>, StepError> {
        let Some(last) = self.checkpoints.last().copied() else { return Ok(None) };
        if head.number == last.number {
            self.shorter_since = None;
            return if head.hash == last.hash { Ok(None) } else { self.go_back().await.map(Some) };
        }
        // Only with one writer is a shorter chain news at once.
        let patience =
            if self.chain.config().finality == Finality::Latest { Duration::ZERO } else { LAG_MAX };
        if self.shorter_since.get_or_insert_with(Instant::now).elapsed() < patience {
            return Ok(None);
        }
        self.shorter_since = None;
        self.go_back().await.map(Some)
    }

    /// Back to the last checkpoint that still holds.
    async fn go_back(&mut self) -> Result<Update, StepError> {
        self.chain.check_id().await?;
        let mut kept = self.checkpoints.len();
        while kept > 0 && !self.holds(&self.checkpoints[kept - 1]).await? {
            kept -= 1;
        }
        self.checkpoints.truncate(kept);
        self.next_block = self.checkpoints.last().map_or(self.from_block, Checkpoint::next_number);
        Ok(Update::Reorganised { to_block: self.next_block.saturating_sub(1) })
    }

    /// A block at or below the head; that it is missing means that the chain has just become shorter.
    async fn block(&self, number: u64) -> Result<Block, StepError> {
        self.chain.block(number).await?.ok_or(StepError::Moved)
    }
}

/// Why a step gave nothing.
#[derive(Debug)]
enum StepError {
    /// The page was too large; the next one is smaller.
    Refused,
    /// The chain changed under the step.
    Moved,
    OtherChain(ConnectError),
    Rpc(RpcError),
}

impl From<RpcError> for StepError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl From<ConnectError> for StepError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Rpc(error) => Self::Rpc(error),
            error => Self::OtherChain(error),
        }
    }
}

/// Tells when to look for new blocks: when the node says so over its WebSocket, and from time to time anyway.
///
/// What the WebSocket says is only a reason to look, so losing it costs time and nothing else.
struct News {
    ws: Option<WsConnect>,
    poll_interval: Duration,
    heads: Option<(RpcClient, RawSubscription)>,
    /// When to try the WebSocket again after it was lost.
    retry_at: Instant,
}

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("News").field("subscribed", &self.heads.is_some()).finish_non_exhaustive()
    }
}

impl News {
    fn new(chain: &Chain) -> Self {
        let config = chain.config();
        let limits = WebSocketConfig::default()
            .max_message_size(Some(config.max_response_bytes))
            .max_frame_size(Some(config.max_response_bytes));
        let ws = config.ws_url.as_ref();
        Self {
            ws: ws.map(|url| WsConnect::new(url).with_config(limits).with_max_retries(0)),
            poll_interval: config.poll_interval,
            heads: None,
            retry_at: Instant::now(),
        }
    }

    async fn wait(&mut self) {
        if self.heads.is_none()
            && self.retry_at <= Instant::now()
            && let Some(ws) = self.ws.clone()
        {
            self.retry_at = Instant::now() + self.poll_interval * 10;
            match tokio::time::timeout(self.poll_interval * 10, subscribe(ws)).await {
                Ok(Ok(heads)) => {
                    self.heads = Some(heads);
                    // A block may have come before the subscription did.
                    return;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "no subscription to new blocks; asking for them instead")
                }
                Err(_) => tracing::warn!("no subscription to new blocks in time; asking for them instead"),
            }
        }
        match &mut self.heads {
            None => tokio::time::sleep(self.poll_interval).await,
            // Asked now and then all the same: a connection can be dead without having ended.
            Some((_, heads)) => {
                use tokio::sync::broadcast::error::RecvError;
                let news = tokio::time::timeout(self.poll_interval * 10, heads.recv()).await;
                if let Ok(Err(RecvError::Closed)) = news {
                    self.heads = None;
                }
            }
        }
    }
}

async fn subscribe(ws: WsConnect) -> Result<(RpcClient, RawSubscription), TransportError> {
    let client = RpcClient::connect_pubsub(ws).await?;
    let mut request = client.request("eth_subscribe", ("newHeads",));
    request.set_is_subscription();
    let id: B256 = request.await?;
    let frontend = client.pubsub_frontend().ok_or_else(TransportErrorKind::pubsub_unavailable)?;
    let heads = frontend.get_subscription(id).await?;
    Ok((client, heads))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_halves_down_to_one_block_and_grows_back() {
        let mut size = PageSize::new();
        assert_eq!(size.end(10, u64::MAX), 10 + FIRST_PAGE - 1);
        assert_eq!(size.end(u64::MAX - 1, u64::MAX), u64::MAX);
        let mut blocks = FIRST_PAGE;
        while size.shrink(blocks) {
            blocks = size.end(0, u64::MAX) + 1;
        }
        assert_eq!(blocks, 1);
        (0..40).for_each(|_| size.grow());
        assert_eq!(size.end(0, u64::MAX), PAGE_MAX - 1);
    }
}
