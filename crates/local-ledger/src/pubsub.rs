//! Subscriptions over WebSocket: new heads, logs, new transactions.
//!
//! A subscription reads the blocks it has not told of from the store, so a slow client holds no memory and misses
//! nothing; the number of blocks it is behind is all that is kept of it.

use std::sync::Arc;

use alloy_rpc_types_eth::Filter;
use alloy_rpc_types_eth::pubsub::{Params, SubscriptionKind};
use jsonrpsee::core::SubscriptionResult;
use jsonrpsee::server::{IdProvider, PendingSubscriptionSink};
use jsonrpsee::types::SubscriptionId;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::watch;

use crate::filters::{FilterError, Filters, KeptFilter};
use crate::store::{Snapshot, StoreError};
use crate::{convert, logs, pool};

/// Ids are hex strings: a number past 2^53 does not survive a client in JavaScript.
#[derive(Debug)]
pub(crate) struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(format!("{:#034x}", rand::random::<u128>()).into())
    }
}

/// Why there is no subscription.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubscribeError {
    #[error("unknown subscription: newHeads, logs and newPendingTransactions are served")]
    Unknown,
    #[error("these parameters do not belong to this subscription")]
    Params,
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// What a subscription tells of every block.
pub(crate) enum Topic {
    Heads,
    Logs(Arc<KeptFilter>),
    /// Hashes, or whole transactions. A transaction is told of when it is in a block: before, it is either not
    /// durable or waits in the queue.
    Transactions {
        whole: bool,
    },
}

impl Topic {
    pub(crate) fn of(
        kind: SubscriptionKind,
        params: Option<Params>,
        filters: &Filters,
    ) -> Result<Self, SubscribeError> {
        match (kind, params.unwrap_or_default()) {
            (SubscriptionKind::NewHeads, Params::None) => Ok(Self::Heads),
            (SubscriptionKind::Logs, Params::None) => Ok(Self::Logs(filters.keep(Filter::new())?)),
            (SubscriptionKind::Logs, Params::Logs(filter)) => Ok(Self::Logs(filters.keep(*filter)?)),
            (SubscriptionKind::NewPendingTransactions, Params::None) => {
                Ok(Self::Transactions { whole: false })
            }
            (SubscriptionKind::NewPendingTransactions, Params::Bool(whole)) => {
                Ok(Self::Transactions { whole })
            }
            (
                SubscriptionKind::NewHeads
                | SubscriptionKind::Logs
                | SubscriptionKind::NewPendingTransactions,
                _,
            ) => Err(SubscribeError::Params),
            _ => Err(SubscribeError::Unknown),
        }
    }

    fn tell(&self, snapshot: &Snapshot, number: u64) -> Result<Vec<Box<RawValue>>, logs::LogError> {
        let block = snapshot.block(number)?.ok_or(StoreError::Corrupt { what: "the list of blocks" })?;
        Ok(match self {
            Self::Heads => vec![raw(&convert::header(&block))],
            Self::Logs(filter) => logs::find_in_block(snapshot, filter, number)?.iter().map(raw).collect(),
            Self::Transactions { whole: false } => {
                snapshot.transactions(number)?.iter().map(|tx| raw(&pool::hash(tx))).collect()
            }
            Self::Transactions { whole: true } => {
                let transactions = snapshot.transactions(number)?.into_iter().zip(0..);
                transactions.map(|(tx, index)| raw(&convert::mined(tx, &block, index))).collect()
            }
        })
    }
}

fn raw(item: &impl Serialize) -> Box<RawValue> {
    to_raw_value(item).expect("the shapes of the RPC have string keys and cannot fail to be written")
}

/// Tells a client of the topic in every block from now on, until it leaves or the ledger closes.
pub(crate) async fn follow(
    pending: PendingSubscriptionSink,
    topic: Topic,
    mut head: watch::Receiver<Arc<Snapshot>>,
) -> SubscriptionResult {
    let mut next = head.borrow_and_update().number() + 1;
    let sink = pending.accept().await?;
    loop {
        tokio::select! {
            () = sink.closed() => return Ok(()),
            changed = head.changed() => if changed.is_err() { return Ok(()) },
        }
        let snapshot = head.borrow_and_update().clone();
        while next <= snapshot.number() {
            for message in topic.tell(&snapshot, next)? {
                sink.send(message).await?;
            }
            next += 1;
        }
    }
}
