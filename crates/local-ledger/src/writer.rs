//! The one thread that makes blocks.
//!
//! It drains what has arrived, runs it, makes one durable commit of the block, and only then acknowledges; what
//! arrives during a commit is the next block, so a hundred clients share a sync as one does (group commit). Nothing
//! else writes. After a failed write it takes no more transactions and says why; reading goes on.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{BlockBody, Header, Transaction as _};
use alloy_evm::Evm;
use alloy_evm::eth::{EthEvm, EthEvmBuilder};
use alloy_evm::precompiles::PrecompilesMap;
use alloy_primitives::{Address, B256, Bloom};
use alloy_rlp::Encodable;
use revm::DatabaseCommit;
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction, ResultAndState};
use revm::database::State;
use revm::database::states::bundle_state::BundleRetention;
use revm::inspector::NoOpInspector;
use tokio::sync::{mpsc, oneshot, watch};

use crate::convert;
use crate::evm::block_rules;
use crate::genesis::empty_header;
use crate::home::Home;
use crate::pool::{Queue, Standing, SubmitError, hash};
use crate::store::{
    Block, Changes, Facts, NewBlock, QueueChange, Receipt, Snapshot, Store, StoreError, Transaction,
};
use crate::view::View;

/// Jobs that may wait for the writer; past it senders wait.
pub(crate) const JOBS_MAX: usize = 4096;

type Reply<T> = oneshot::Sender<Result<T, SubmitError>>;

/// What the writer is asked to do.
pub(crate) enum Job {
    /// Put it into a block or the queue; answered with its hash once that is durable.
    Submit { tx: Box<Recovered<Transaction>>, reply: Reply<B256> },
    /// Make a block even if it is empty; answered with its number. Development mode only.
    Mine { reply: Reply<u64> },
    /// Put the clock forward; answered with the seconds it is ahead in all. Development mode only.
    PutClockForward { seconds: u64, reply: Reply<u64> },
}

/// The wall clock and what development mode added to it.
#[derive(Clone, Default)]
pub(crate) struct Clock {
    ahead_s: Arc<AtomicU64>,
}

impl Clock {
    pub(crate) fn new(ahead_s: u64) -> Self {
        Self { ahead_s: Arc::new(ahead_s.into()) }
    }

    /// The time a block made now would have: never before its parent's, and ahead of the clock only if the clock
    /// was set back. Two blocks of one second share it.
    pub(crate) fn next_timestamp_s(&self, parent: &Header) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        now.saturating_add(self.ahead_s.load(Ordering::Acquire)).max(parent.timestamp)
    }
}

/// The header of the block after `parent`, before anything ran in it.
pub(crate) fn next_header(parent: &Block, clock: &Clock, incarnation: [u8; 16]) -> Header {
    Header {
        parent_hash: parent.hash,
        number: parent.header.number + 1,
        timestamp: clock.next_timestamp_s(&parent.header),
        ..empty_header(incarnation)
    }
}

pub(crate) struct Writer {
    store: Store,
    home: Home,
    facts: Facts,
    clock: Clock,
    queue: Queue,
    head: watch::Sender<Arc<Snapshot>>,
    stopped: Option<String>,
}

impl Writer {
    pub(crate) fn new(store: Store, home: Home, facts: Facts, clock: Clock) -> Result<Self, StoreError> {
        let snapshot = store.snapshot()?;
        let queue = Queue::new(snapshot.queued()?);
        let head = watch::Sender::new(snapshot);
        Ok(Self { store, home, facts, clock, queue, head, stopped: None })
    }

    /// Follows the newest durable block.
    pub(crate) fn head(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.head.subscribe()
    }

    /// Makes an empty block, so that the head changes.
    pub(crate) fn mark_restoration(&mut self) -> Result<(), StoreError> {
        let draft = Draft::begin(self);
        let block = draft.finish();
        self.commit(Some(block), &[])
    }

    /// Works until nobody can send another job; all that was taken in is answered by then. Gives the head back:
    /// while anybody follows it, its snapshot keeps the store open.
    pub(crate) fn run(mut self, mut jobs: mpsc::Receiver<Job>) -> watch::Sender<Arc<Snapshot>> {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() && !(self.queue.has_stirred() && self.stopped.is_none()) {
                match jobs.blocking_recv() {
                    Some(job) => waiting.push_back(job),
                    None => return self.head,
                }
            }
            while waiting.len() < JOBS_MAX
                && let Ok(job) = jobs.try_recv()
            {
                waiting.push_back(job);
            }
            if self.stopped.is_none() {
                let mut answers = Answers::default();
                let round = catch_unwind(AssertUnwindSafe(|| self.round(&mut waiting, &mut answers)));
                let failure = match round {
                    Ok(Ok(())) => None,
                    Ok(Err(e)) => Some(e.to_string()),
                    Err(panic) => Some(format!("internal error: {}", panic_text(&*panic))),
                };
                answers.send(failure.as_deref(), self.head.borrow().number());
                if let Some(reason) = failure {
                    tracing::error!(reason, "the ledger stopped taking transactions");
                    self.stopped = Some(reason);
                }
            }
            if let Some(reason) = &self.stopped {
                waiting.drain(..).for_each(|job| refuse(job, reason));
            }
        }
    }

    /// Makes at most one block of what waits; what does not fit stays in front.
    fn round(&mut self, waiting: &mut VecDeque<Job>, answers: &mut Answers) -> Result<(), RoundError> {
        while let Some(Job::PutClockForward { seconds, .. }) = waiting.front() {
            self.facts.clock_ahead_s = self.facts.clock_ahead_s.saturating_add(*seconds);
            self.store.set_facts(&self.facts)?;
            self.clock.ahead_s.store(self.facts.clock_ahead_s, Ordering::Release);
            if let Some(Job::PutClockForward { reply, .. }) = waiting.pop_front() {
                let _ = reply.send(Ok(self.facts.clock_ahead_s));
            }
        }

        let mut draft = Draft::begin(self);
        let mut queue_changes = Vec::new();
        let mut mine = false;
        for sender in self.queue.take_stirred() {
            let next = draft.standing(sender)?.next_nonce;
            queue_changes.extend(self.queue.drop_below(sender, next));
            draft.promote(sender, &mut self.queue, &mut queue_changes)?;
        }
        while let Some(job) = waiting.pop_front() {
            match job {
                Job::Submit { tx, reply } => match draft.submit(tx, &mut self.queue, &mut queue_changes)? {
                    Submitted::Answer(answer) => answers.submitted.push((reply, answer)),
                    Submitted::Full(tx) => {
                        waiting.push_front(Job::Submit { tx, reply });
                        break;
                    }
                },
                Job::Mine { reply } => {
                    answers.mined.push(reply);
                    mine = true;
                    break;
                }
                clock @ Job::PutClockForward { .. } => {
                    waiting.push_front(clock);
                    break;
                }
            }
        }
        let block = (mine || !draft.transactions.is_empty()).then(|| draft.finish());
        if block.is_some() || !queue_changes.is_empty() {
            self.commit(block, &queue_changes)?;
        }
        Ok(())
    }

    fn commit(&mut self, block: Option<NewBlock>, queue: &[QueueChange]) -> Result<(), StoreError> {
        let snapshot = self.store.commit(block.as_ref(), queue)?;
        if let Some(block) = block {
            for account in block.changes.touched() {
                self.queue.stir(account);
            }
            // A note that is missed is only a note that is older, see `home.rs`.
            if let Err(error) = self.home.note_tip(snapshot.number(), snapshot.head.hash) {
                tracing::debug!(%error, "the newest block was not noted beside the store");
            }
        }
        self.head.send_replace(snapshot);
        Ok(())
    }
}

/// A round cannot go on; the ledger stops taking transactions.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the EVM failed: {0}")]
    Evm(String),
}

/// Answers that are given when the round's commit is durable, or has failed.
#[derive(Default)]
struct Answers {
    submitted: Vec<(Reply<B256>, Result<B256, SubmitError>)>,
    mined: Vec<Reply<u64>>,
}

impl Answers {
    /// Whoever no longer waits for an answer does not get one; the block stands.
    fn send(self, failure: Option<&str>, head: u64) {
        let stopped = || failure.map(|reason| SubmitError::Stopped(reason.to_owned()));
        for (reply, answer) in self.submitted {
            let _ = reply.send(stopped().map_or(answer, Err));
        }
        for reply in self.mined {
            let _ = reply.send(stopped().map_or(Ok(head), Err));
        }
    }
}

fn refuse(job: Job, reason: &str) {
    let stopped = SubmitError::Stopped(reason.to_owned());
    let _ = match job {
        Job::Submit { reply, .. } => reply.send(Err(stopped)).map_err(drop),
        Job::Mine { reply } | Job::PutClockForward { reply, .. } => reply.send(Err(stopped)).map_err(drop),
    };
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// What became of a submitted transaction.
enum Submitted {
    /// It is in the block, in the queue, or refused.
    Answer(Result<B256, SubmitError>),
    /// The block has no room for it; the next one will.
    Full(Box<Recovered<Transaction>>),
}

/// What became of a transaction that was to run.
enum Ran {
    Yes,
    Full,
    Refused(InvalidTransaction),
}

/// A block while it is made.
struct Draft {
    evm: EthEvm<State<View>, NoOpInspector, PrecompilesMap>,
    parent: Arc<Snapshot>,
    header: Header,
    transactions: Vec<Recovered<Transaction>>,
    receipts: Vec<Receipt>,
    logs: u64,
}

impl Draft {
    fn begin(writer: &Writer) -> Self {
        let parent = writer.head.borrow().clone();
        let mut header = next_header(&parent.head, &writer.clock, writer.facts.incarnation);
        header.mix_hash = B256::new(rand::random());
        let view = View::new(parent.clone(), parent.number());
        let state = State::builder().with_database(view).with_bundle_update().build();
        let evm = EthEvmBuilder::new(state, block_rules(writer.facts.chain_id, &header)).build();
        Self { evm, parent, header, transactions: Vec::new(), receipts: Vec::new(), logs: 0 }
    }

    /// What an account can do after what has run in this block.
    fn standing(&mut self, account: Address) -> Result<Standing, StoreError> {
        let account = revm::Database::basic(self.evm.db_mut(), account)?.unwrap_or_default();
        Ok(Standing { next_nonce: account.nonce, balance: account.balance })
    }

    /// Runs a transaction if its nonce is the next, and what it lets run; queues it if its nonce is later.
    fn submit(
        &mut self,
        tx: Box<Recovered<Transaction>>,
        queue: &mut Queue,
        changes: &mut Vec<QueueChange>,
    ) -> Result<Submitted, RoundError> {
        let (sender, nonce, hash) = (tx.signer(), tx.nonce(), hash(&tx));
        let next = self.standing(sender)?.next_nonce;
        let answer = if nonce < next {
            let here = self.transactions.iter().any(|known| *known.inner().tx_hash() == hash);
            if here || self.parent.place(hash)?.is_some() {
                Err(SubmitError::AlreadyKnown)
            } else {
                Err(InvalidTransaction::NonceTooLow { tx: nonce, state: next }.into())
            }
        } else if nonce > next {
            queue.add(*tx, |account| self.standing(account))?.map(|added| {
                changes.extend(added);
                hash
            })
        } else {
            match self.run(&tx)? {
                Ran::Full => return Ok(Submitted::Full(tx)),
                Ran::Refused(e) => Err(e.into()),
                Ran::Yes => {
                    changes.extend(queue.drop_below(sender, nonce + 1));
                    self.promote(sender, queue, changes)?;
                    Ok(hash)
                }
            }
        };
        Ok(Submitted::Answer(answer))
    }

    /// Runs what waited for the sender's next nonce, as far as it reaches.
    fn promote(
        &mut self,
        sender: Address,
        queue: &mut Queue,
        changes: &mut Vec<QueueChange>,
    ) -> Result<(), RoundError> {
        let mut next = self.standing(sender)?.next_nonce;
        while let Some(tx) = queue.first(sender).filter(|tx| tx.nonce() == next).cloned() {
            match self.run(&tx)? {
                Ran::Yes => next += 1,
                Ran::Full => {
                    queue.stir(sender);
                    break;
                }
                // It was acknowledged, so it stays: its sender may get the money yet, or replace it.
                Ran::Refused(_) => break,
            }
            changes.extend(queue.drop_below(sender, next));
        }
        Ok(())
    }

    fn run(&mut self, tx: &Recovered<Transaction>) -> Result<Ran, RoundError> {
        if tx.gas_limit() > self.header.gas_limit - self.header.gas_used {
            return Ok(Ran::Full);
        }
        let ResultAndState { result, state } = match self.evm.transact(tx) {
            Ok(done) => done,
            Err(EVMError::Transaction(e)) => return Ok(Ran::Refused(e)),
            Err(EVMError::Database(e)) => return Err(StoreError::from(e).into()),
            Err(other) => return Err(RoundError::Evm(other.to_string())),
        };
        self.evm.db_mut().commit(state);
        let gas_used = result.tx_gas_used();
        self.header.gas_used += gas_used;
        let (success, logs) = match result {
            ExecutionResult::Success { logs, .. } => (true, logs),
            ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. } => (false, Vec::new()),
        };
        let first_log = self.logs;
        self.logs += logs.len() as u64;
        self.receipts.push(Receipt {
            success,
            gas_used,
            cumulative_gas_used: self.header.gas_used,
            first_log,
            logs,
        });
        self.transactions.push(tx.clone());
        Ok(Ran::Yes)
    }

    fn finish(self) -> NewBlock {
        let Self { evm, parent, mut header, transactions, receipts, .. } = self;
        let mut state = evm.into_db();
        state.merge_transitions(BundleRetention::PlainState);
        let changes = Changes::from_bundle(state.take_bundle());
        let envelopes: Vec<_> = transactions
            .iter()
            .zip(&receipts)
            .map(|(tx, receipt)| convert::envelope(tx.tx_type(), receipt, receipt.logs.clone()))
            .collect();
        header.logs_bloom =
            envelopes.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        header.receipts_root = alloy_consensus::proofs::calculate_receipt_root(&envelopes);
        header.state_root = changes.digest(parent.head.header.state_root);
        seal(header, transactions, receipts, changes)
    }
}

/// Completes a header with what follows from the rest of the block.
pub(crate) fn seal(
    mut header: Header,
    transactions: Vec<Recovered<Transaction>>,
    receipts: Vec<Receipt>,
    changes: Changes,
) -> NewBlock {
    let body: Vec<_> = transactions.iter().map(|tx| tx.inner().clone()).collect();
    header.transactions_root = alloy_consensus::proofs::calculate_transaction_root(&body);
    let body = BlockBody { transactions: body, ommers: Vec::new(), withdrawals: Some(Default::default()) };
    let whole = alloy_consensus::Block { header, body };
    let size = whole.length() as u64;
    let header = whole.header;
    let block = Block { hash: header.hash_slow(), header, size, transactions: transactions.len() as u64 };
    NewBlock { block, transactions, receipts, changes }
}
