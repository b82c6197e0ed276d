//! Polled filters: what happened since a client last asked. Kept in memory only, and forgotten when not asked for.
//!
//! Owns also how much all open filters and subscriptions may name together, since a client chooses how long each is.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::{Filter, FilterChanges};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::convert::RpcTransaction;
use crate::logs::{self, LogError};
use crate::pool;
use crate::store::Snapshot;

/// Filters open at a time, of all clients.
const FILTERS_MAX: usize = 1024;

/// Addresses and topics that all open filters and subscriptions may name together; each takes up to 350 bytes, most of
/// them for its bloom.
const NAMED_IN_ALL_MAX: usize = 100_000;

/// A filter nobody asked about for so long is gone (geth's figure).
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Blocks of which one answer tells, so that a filter left alone for long is caught up with in steps.
const CHANGES_BLOCKS_MAX: u64 = logs::LOG_BLOCKS_MAX;

/// What a filter reports.
#[derive(Clone)]
pub(crate) enum Kind {
    Blocks,
    Transactions,
    Logs(Arc<KeptFilter>),
}

/// A filter of logs that stays, for as long as it has its share of what may be named in all.
pub(crate) struct KeptFilter {
    filter: Filter,
    _share: OwnedSemaphorePermit,
}

impl Deref for KeptFilter {
    type Target = Filter;

    fn deref(&self) -> &Filter {
        &self.filter
    }
}

/// Why a filter does not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("filter not found: it was never made, was uninstalled, or was not asked for {}s", IDLE_MAX.as_secs())]
    NotFound,
    #[error("filter {id:#x} is not a filter of logs")]
    NotOfLogs { id: U256 },
    #[error("{FILTERS_MAX} filters are open, which is the limit: uninstall some")]
    TooMany,
    #[error(
        "open filters and subscriptions name {NAMED_IN_ALL_MAX} addresses and topics together, which is the limit: \
        end some"
    )]
    TooMuch,
    #[error(transparent)]
    Logs(#[from] LogError),
}

struct Open {
    kind: Kind,
    /// The first block not yet told of.
    next: u64,
    asked: Instant,
}

pub(crate) struct Filters {
    open: Mutex<HashMap<U256, Open>>,
    /// What may still be named.
    room: Arc<Semaphore>,
}

impl Default for Filters {
    fn default() -> Self {
        Self { open: Mutex::default(), room: Arc::new(Semaphore::new(NAMED_IN_ALL_MAX)) }
    }
}

impl Filters {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<U256, Open>) -> T) -> T {
        // No code can panic while it holds the lock with the map half changed.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, filter| filter.asked.elapsed() < IDLE_MAX);
        f(&mut open)
    }

    /// Takes a filter of logs that is to stay, here or in a subscription.
    pub(crate) fn keep(&self, filter: Filter) -> Result<Arc<KeptFilter>, FilterError> {
        logs::check(&filter)?;
        // What is forgotten gives its share back.
        self.with(|_| ());
        let named = u32::try_from(logs::named(&filter)).map_err(|_| FilterError::TooMuch)?;
        let share = self.room.clone().try_acquire_many_owned(named).map_err(|_| FilterError::TooMuch)?;
        Ok(Arc::new(KeptFilter { filter, _share: share }))
    }

    /// Opens a filter of what comes after the newest block.
    pub(crate) fn open(&self, kind: Kind, snapshot: &Snapshot) -> Result<U256, FilterError> {
        self.with(|open| {
            if open.len() >= FILTERS_MAX {
                return Err(FilterError::TooMany);
            }
            let id = U256::from(rand::random::<u128>());
            open.insert(id, Open { kind, next: snapshot.number() + 1, asked: Instant::now() });
            Ok(id)
        })
    }

    /// Whether there was such a filter.
    pub(crate) fn close(&self, id: U256) -> bool {
        self.with(|open| open.remove(&id).is_some())
    }

    /// The filter of logs that was given at the opening.
    pub(crate) fn logs(&self, id: U256) -> Result<Arc<KeptFilter>, FilterError> {
        self.with(|open| {
            let filter = open.get_mut(&id).ok_or(FilterError::NotFound)?;
            filter.asked = Instant::now();
            match &filter.kind {
                Kind::Logs(filter) => Ok(filter.clone()),
                _ => Err(FilterError::NotOfLogs { id }),
            }
        })
    }

    /// What happened since the last time this was asked.
    pub(crate) fn changes(
        &self,
        id: U256,
        snapshot: &Snapshot,
    ) -> Result<FilterChanges<RpcTransaction>, FilterError> {
        let (kind, next) = self.with(|open| {
            let filter = open.get_mut(&id).ok_or(FilterError::NotFound)?;
            filter.asked = Instant::now();
            Ok::<_, FilterError>((filter.kind.clone(), filter.next))
        })?;
        let last = snapshot.number().min(next.saturating_add(CHANGES_BLOCKS_MAX - 1));
        let changes = match &kind {
            Kind::Blocks => FilterChanges::Hashes(hashes(snapshot, next, last, false)?),
            Kind::Transactions => FilterChanges::Hashes(hashes(snapshot, next, last, true)?),
            Kind::Logs(filter) => {
                let asked = logs::range(snapshot, filter)?;
                // A filter without bounds has the newest block for both; what is new is after it, and wanted.
                let from =
                    filter.block_option.get_from_block().map_or(0, |_| asked.map_or(u64::MAX, |a| a.0));
                let to = filter.block_option.get_to_block().and_then(|to| to.as_number()).unwrap_or(u64::MAX);
                let (from, to) = (from.max(next), to.min(last));
                let found = if from <= to { logs::find(snapshot, filter, from, to)? } else { Vec::new() };
                FilterChanges::Logs(found)
            }
        };
        self.with(|open| {
            if let Some(filter) = open.get_mut(&id) {
                filter.next = filter.next.max(last + 1);
            }
        });
        Ok(changes)
    }
}

fn hashes(snapshot: &Snapshot, from: u64, to: u64, transactions: bool) -> Result<Vec<B256>, LogError> {
    let mut hashes = Vec::new();
    for number in from..=to {
        if transactions {
            hashes.extend(snapshot.transactions(number)?.iter().map(pool::hash));
        } else {
            hashes.extend(snapshot.block(number)?.map(|block| block.hash));
        }
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;

    /// A filter of `addresses` and `topics`, the topics spread over the positions.
    fn naming(addresses: usize, topics: usize) -> Filter {
        let mut filter = Filter::new();
        for i in 0..addresses {
            filter.address.insert(Address::from_word(U256::from(i).into()));
        }
        for i in 0..topics {
            filter.topics[i % 4].insert(U256::from(i).into());
        }
        filter
    }

    #[test]
    fn filters_are_bounded_in_what_they_name() {
        let filters = Filters::default();
        filters.keep(naming(logs::NAMED_MAX, logs::NAMED_MAX)).unwrap();
        let e = filters.keep(naming(logs::NAMED_MAX + 1, 0)).err().unwrap();
        assert_eq!(e.to_string(), "filter names 1001 addresses, the limit is 1000: ask in parts");
        let e = filters.keep(naming(0, logs::NAMED_MAX + 1)).err().unwrap();
        assert_eq!(e.to_string(), "filter names 1001 topics, the limit is 1000: ask in parts");

        let each = 2 * logs::NAMED_MAX;
        let keep = || filters.keep(naming(logs::NAMED_MAX, logs::NAMED_MAX));
        let mut kept: Vec<_> = (0..NAMED_IN_ALL_MAX / each).map(|_| keep().unwrap()).collect();
        assert!(matches!(keep().err(), Some(FilterError::TooMuch)));
        filters.keep(Filter::new()).unwrap();
        kept.pop();
        keep().unwrap();
    }
}
