//! Polled filters: what happened since a client last asked. Kept in memory only, and forgotten when not asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::{Filter, FilterChanges};

use crate::convert::RpcTransaction;
use crate::logs::{self, LogError};
use crate::pool;
use crate::store::Snapshot;

/// Filters open at a time, of all clients.
const FILTERS_MAX: usize = 1024;

/// A filter nobody asked about for so long is gone (geth's figure).
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Blocks of which one answer tells, so that a filter left alone for long is caught up with in steps.
const CHANGES_BLOCKS_MAX: u64 = logs::LOG_BLOCKS_MAX;

/// What a filter reports.
#[derive(Clone)]
pub(crate) enum Kind {
    Blocks,
    Transactions,
    Logs(Arc<Filter>),
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
    #[error(transparent)]
    Logs(#[from] LogError),
}

struct Open {
    kind: Kind,
    /// The first block not yet told of.
    next: u64,
    asked: Instant,
}

#[derive(Default)]
pub(crate) struct Filters {
    open: Mutex<HashMap<U256, Open>>,
}

impl Filters {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<U256, Open>) -> T) -> T {
        // No code can panic while it holds the lock with the map half changed.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, filter| filter.asked.elapsed() < IDLE_MAX);
        f(&mut open)
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
    pub(crate) fn logs(&self, id: U256) -> Result<Arc<Filter>, FilterError> {
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
