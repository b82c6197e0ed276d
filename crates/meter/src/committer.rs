//! Who waits until what is flushed: threads that block, futures that are polled, and the thread that flushes for those.
//!
//! A thread that blocks flushes itself when nobody else does, since to hand that over would cost it two switches of
//! thread. Who does not block is served by the committer. Both flush all that has arrived meanwhile, by the same code.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use crate::{books::Books, durable::FileError, log::Log, record::Record};

/// The log could not be flushed. Memory is now ahead of it, so the meter charges and redeems nothing until it is
/// opened anew; what was acknowledged before is safe.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the charge was not recorded, so nothing was served: {source}; open the meter again once that is repaired"
)]
pub struct CommitError {
    /// What failed first.
    pub source: Arc<FileError>,
}

/// A change that is carried out in memory and not yet durable: only when it resolves may the answer go (MET-1).
///
/// To drop it undoes nothing: the change becomes durable all the same, and the request can be repeated.
#[derive(Debug)]
#[must_use = "nothing may be served before it resolves"]
pub struct Pending<T> {
    desk: Arc<Desk>,
    ticket: u64,
    /// Its own among those that wait for the same ticket.
    waiter: u64,
    value: T,
}

impl<T: Copy> Pending<T> {
    /// Waits for it, blocking the thread.
    ///
    /// # Errors
    /// When the log cannot be flushed; the use must not be served then.
    pub fn wait(self) -> Result<T, CommitError> {
        drop(self.desk.commit(self.desk.lock(), self.ticket)?);
        Ok(self.value)
    }
}

impl<T: Copy + Unpin> Future for Pending<T> {
    type Output = Result<T, CommitError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.desk.lock();
        if state.durable >= self.ticket {
            return Poll::Ready(Ok(self.value));
        }
        if let Some(failed) = &state.failed {
            return Poll::Ready(Err(failed.clone()));
        }
        let before = state.wakers.insert((self.ticket, self.waiter), context.waker().clone());
        drop(state);
        // Outside the lock, here and below: to drop a waker may drop the task, and with it this very future.
        drop(before);
        Poll::Pending
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        let mut state = self.desk.lock();
        let waker = state.wakers.remove(&(self.ticket, self.waiter));
        drop(state);
        drop(waker);
    }
}

/// All that changes, under one lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) books: Books,
    /// Entered in the books, not yet given to the log.
    pub(crate) unwritten: Vec<Record>,
    /// The last ticket handed out, and the last that is durable.
    pub(crate) issued: u64,
    pub(crate) durable: u64,
    /// The last ticket that somebody waits for without blocking.
    submitted: u64,
    waiters: u64,
    wakers: BTreeMap<(u64, u64), Waker>,
    /// Absent while a thread is writing it.
    pub(crate) log: Option<Log>,
    /// The number of the segment that it is.
    pub(crate) epoch: u64,
    /// How many uses it has.
    pub(crate) uses: u64,
    pub(crate) failed: Option<CommitError>,
    /// The committer waits to be told of work. To tell it when it does not would cost a system call each time.
    resting: bool,
    closing: bool,
}

impl State {
    /// From now on nothing is durable any more.
    pub(crate) fn fail(&mut self, source: FileError) -> CommitError {
        let error = CommitError { source: Arc::new(source) };
        self.failed = Some(error.clone());
        error
    }

    /// Those that wait for what is durable by now; after a failure, all.
    fn take_wakers(&mut self) -> BTreeMap<(u64, u64), Waker> {
        let still = match (&self.failed, self.durable.checked_add(1)) {
            (None, Some(next)) => self.wakers.split_off(&(next, 0)),
            _ => BTreeMap::new(),
        };
        std::mem::replace(&mut self.wakers, still)
    }
}

/// Where everyone waits.
#[derive(Debug)]
pub(crate) struct Desk {
    state: Mutex<State>,
    /// For the threads that block.
    flushed: Condvar,
    /// For the committer.
    work: Condvar,
}

impl Desk {
    pub(crate) fn new(books: Books, log: Log, uses: u64) -> Self {
        let state = State {
            books,
            unwritten: Vec::new(),
            issued: 0,
            durable: 0,
            submitted: 0,
            waiters: 0,
            wakers: BTreeMap::new(),
            epoch: log.header.number,
            uses,
            log: Some(log),
            failed: None,
            resting: false,
            closing: false,
        };
        Self { state: Mutex::new(state), flushed: Condvar::new(), work: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    /// Leaves the flush up to `ticket` to the committer.
    pub(crate) fn submit<T>(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        ticket: u64,
        value: T,
    ) -> Pending<T> {
        state.waiters += 1;
        let waiter = state.waiters;
        if state.durable < ticket {
            state.submitted = state.submitted.max(ticket);
        }
        self.call_committer(state);
        Pending { desk: Arc::clone(self), ticket, waiter, value }
    }

    /// Returns once all up to `ticket` is durable. The first thread that finds the log free writes for all that wait.
    pub(crate) fn commit<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        ticket: u64,
    ) -> Result<MutexGuard<'a, State>, CommitError> {
        while state.durable < ticket {
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
            state = match state.log.take() {
                Some(log) => self.flush(state, log),
                None => self.wait(state),
            };
        }
        Ok(state)
    }

    /// Waits until no thread is writing the log, and takes it.
    pub(crate) fn take_log<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<(MutexGuard<'a, State>, Log), CommitError> {
        loop {
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
            match state.log.take() {
                Some(log) => return Ok((state, log)),
                None => state = self.wait(state),
            }
        }
    }

    /// Tells all whom it concerns that the log is back, or that it failed.
    pub(crate) fn announce(&self, mut state: MutexGuard<'_, State>) {
        let wakers = state.take_wakers();
        self.call_committer(state);
        self.flushed.notify_all();
        wakers.into_values().for_each(Waker::wake);
    }

    /// Lets the lock go, and tells the committer when there is something that it can flush, or that it may end. While
    /// another thread writes the log there is nothing; that thread calls it.
    fn call_committer(&self, mut state: MutexGuard<'_, State>) {
        let can_flush = state.log.is_some() && state.durable < state.submitted;
        let call = state.resting && (can_flush || state.closing);
        if call {
            state.resting = false;
        }
        drop(state);
        if call {
            self.work.notify_one();
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.flushed.wait(state).expect("no thread panics while it holds the state")
    }

    /// Writes and flushes all that is unwritten.
    fn flush<'a>(&'a self, mut state: MutexGuard<'a, State>, mut log: Log) -> MutexGuard<'a, State> {
        let batch = std::mem::take(&mut state.unwritten);
        let last = state.issued;
        drop(state);
        let appended = log.append(&batch);
        state = self.lock();
        match appended {
            Ok(()) => {
                state.log = Some(log);
                state.durable = last;
            }
            Err(source) => drop(state.fail(source)),
        }
        self.announce(state);
        self.lock()
    }

    /// Flushes for those who do not block, until the meter is closed. The committer's thread.
    pub(crate) fn serve(&self) {
        let mut state = self.lock();
        loop {
            let owes = state.failed.is_none() && state.durable < state.submitted;
            if state.closing && !owes {
                return;
            }
            state = match state.log.take() {
                Some(log) if owes => self.flush(state, log),
                log => {
                    state.log = log;
                    state.resting = true;
                    self.work.wait(state).expect("no thread panics while it holds the state")
                }
            };
        }
    }

    /// Lets the committer flush what is owed and end.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.call_committer(state);
    }
}
