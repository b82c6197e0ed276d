//! Finding logs: which blocks to look into, how much may be looked at, and what matches.

use std::collections::BTreeSet;

use alloy_primitives::B256;
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log as RpcLog};

use crate::convert;
use crate::store::{Snapshot, StoreError};

/// Blocks that a query without an address may span; one with an address uses the index and may span all.
pub(crate) const LOG_BLOCKS_MAX: u64 = 10_000;

/// Logs that a query may return.
pub(crate) const LOGS_MAX: usize = 10_000;

/// Addresses that one filter may name, and topics in all its positions (geth's figure).
pub(crate) const NAMED_MAX: usize = 1000;

/// Transactions that a query with an address may look into.
const LOOKED_INTO_MAX: usize = 100_000;

/// Why a query for logs is not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error(
        "query spans {found} blocks, the limit without an address is {LOG_BLOCKS_MAX}: narrow it or name addresses"
    )]
    Range { found: u64 },
    #[error("filter names {found} {what}, the limit is {NAMED_MAX}: ask in parts")]
    Named { found: usize, what: &'static str },
    #[error("query returns more than {LOGS_MAX} logs: narrow it, blocks {from} to {fits} fit")]
    Count { from: u64, fits: u64 },
    #[error("query returns more than {LOGS_MAX} logs in block {block} alone: narrow it by address or topic")]
    CountInBlock { block: u64 },
    #[error("query looks into more than {LOOKED_INTO_MAX} transactions: narrow its range of blocks")]
    Work,
    #[error("invalid block range: fromBlock {from} is after toBlock {to}")]
    Backwards { from: u64, to: u64 },
    #[error("unknown block {0}")]
    UnknownBlock(B256),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many topics a filter names in all its positions.
fn topics(filter: &Filter) -> usize {
    filter.topics.iter().map(|position| position.len()).sum()
}

/// How many addresses and topics a filter names: its size.
pub(crate) fn named(filter: &Filter) -> usize {
    filter.address.len() + topics(filter)
}

/// Refuses a filter that names too much.
pub(crate) fn check(filter: &Filter) -> Result<(), LogError> {
    for (found, what) in [(filter.address.len(), "addresses"), (topics(filter), "topics")] {
        if found > NAMED_MAX {
            return Err(LogError::Named { found, what });
        }
    }
    Ok(())
}

/// First and last block of a filter, the last at most the newest; `None` when it lies wholly in the future.
pub(crate) fn range(snapshot: &Snapshot, filter: &Filter) -> Result<Option<(u64, u64)>, LogError> {
    let head = snapshot.number();
    let (from, to) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let number = snapshot.block_number(hash)?.ok_or(LogError::UnknownBlock(hash))?;
            (number, number)
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let number = |tag: Option<BlockNumberOrTag>| match tag {
                Some(BlockNumberOrTag::Number(number)) => number,
                Some(BlockNumberOrTag::Earliest) => 0,
                _ => head,
            };
            (number(from_block), number(to_block))
        }
    };
    if from > to && to < head {
        return Err(LogError::Backwards { from, to });
    }
    Ok((from <= head).then_some((from, to.min(head))))
}

/// The logs that match, in order, of blocks `from` to `to` inclusive.
pub(crate) fn find(
    snapshot: &Snapshot,
    filter: &Filter,
    from: u64,
    to: u64,
) -> Result<Vec<RpcLog>, LogError> {
    let mut found = Found { snapshot, filter, from, limit: LOGS_MAX, logs: Vec::new() };
    if filter.address.is_empty() {
        let span = (to - from).saturating_add(1);
        if span > LOG_BLOCKS_MAX {
            return Err(LogError::Range { found: span });
        }
        for number in from..=to {
            found.look_into(number, None)?;
        }
    } else {
        let mut places = BTreeSet::new();
        for address in filter.address.iter() {
            for place in snapshot.log_places(*address, from, to)? {
                places.insert(place?);
                if places.len() > LOOKED_INTO_MAX {
                    return Err(LogError::Work);
                }
            }
        }
        for (number, index) in places {
            found.look_into(number, Some(index))?;
        }
    }
    Ok(found.logs)
}

/// All logs of one block that match; a block's gas is their limit.
pub(crate) fn find_in_block(
    snapshot: &Snapshot,
    filter: &Filter,
    number: u64,
) -> Result<Vec<RpcLog>, LogError> {
    let mut found = Found { snapshot, filter, from: number, limit: usize::MAX, logs: Vec::new() };
    found.look_into(number, None)?;
    Ok(found.logs)
}

struct Found<'a> {
    snapshot: &'a Snapshot,
    filter: &'a Filter,
    from: u64,
    limit: usize,
    logs: Vec<RpcLog>,
}

impl Found<'_> {
    /// Adds what matches in one transaction of a block, or in all of it.
    fn look_into(&mut self, number: u64, only: Option<u64>) -> Result<(), LogError> {
        let block = self.snapshot.block(number)?.ok_or(StoreError::Corrupt { what: "the list of blocks" })?;
        if !self.filter.matches_bloom(block.header.logs_bloom) {
            return Ok(());
        }
        for index in only.map_or(0..block.transactions, |index| index..index + 1) {
            let missing = || StoreError::Corrupt { what: "a block's list of transactions" };
            let receipt = self.snapshot.receipt(number, index)?.ok_or_else(missing)?;
            if !receipt.logs.iter().any(|log| self.filter.matches(log)) {
                continue;
            }
            let tx = self.snapshot.transaction(number, index)?.ok_or_else(missing)?;
            let logs = convert::logs(&tx, &receipt, &block, index);
            self.logs.extend(logs.filter(|log| self.filter.matches(&log.inner)));
            if self.logs.len() > self.limit {
                return Err(match number.checked_sub(1).filter(|fits| *fits >= self.from) {
                    Some(fits) => LogError::Count { from: self.from, fits },
                    None => LogError::CountInBlock { block: number },
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;
    use crate::genesis::{self, Genesis};
    use crate::store::{Facts, Store};

    #[test]
    fn only_a_query_with_an_address_may_span_everything() {
        let dir = tempfile::tempdir().unwrap();
        let facts =
            Facts { chain_id: 1, development: false, incarnation: [0; 16], mark: [0; 16], clock_ahead_s: 0 };
        let first = genesis::block(&Genesis::default(), false, [0; 16], 1);
        let store = Store::create(&dir.path().join("store"), &facts, &first).unwrap();
        let snapshot = store.snapshot().unwrap();
        let open = Filter::new();
        let e = find(&snapshot, &open, 0, LOG_BLOCKS_MAX).unwrap_err();
        assert!(matches!(e, LogError::Range { found } if found == LOG_BLOCKS_MAX + 1), "{e}");
        let e = find(&snapshot, &open, 0, u64::MAX).unwrap_err();
        assert!(matches!(e, LogError::Range { .. }), "{e}");
        assert_eq!(find(&snapshot, &open.clone().address(Address::ZERO), 0, u64::MAX).unwrap(), []);
        assert_eq!(find(&snapshot, &open, 0, 0).unwrap(), []);
    }
}
