//! The epochs of a gateway: closed, published and committed to before anything that rests on them is claimed, so that at
//! every block the records of a gateway cover what it has claimed (AUD-1).

use std::collections::BTreeMap;

use residual_ledger::Account;
use residual_meter::{FileError, LogError, Meter, RotateError, SegmentError, UsageEntry};
use residual_primitives::Address;
use residual_royalty::Till;
use tokio::task::block_in_place;

use crate::{Client, LedgerError, UsageError, now_s};

/// How long a channel of which all is claimed is remembered after its last use, in seconds.
const FORGET_AFTER_S: u64 = 30 * 24 * 60 * 60;

/// Why an epoch was not closed, or not published; repeated, it goes on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// It was not published or not committed to.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// It was not closed.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// Its segment cannot be read or discarded.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A record of its segment cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log's directory cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What [`Client::publish_epochs`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedEpochs {
    /// Whether an epoch was closed.
    pub closed: bool,
    /// Epochs of which the ledger knows more than a log that was restored from an older copy; they stand as they are.
    pub standing: Vec<u64>,
}

impl Client {
    /// Goes on in an epoch that the ledger has no word on. A log that was restored from an older copy stands in one that was
    /// committed to already, and what is charged now would be in no record (AUD-1). The epoch that is written then; those
    /// before it may be older copies.
    ///
    /// # Errors
    /// The ledger cannot be reached, or the next epoch cannot be begun.
    pub async fn pass_committed(&self, gateway: Address, meter: &Meter) -> Result<u64, EpochError> {
        while self.committed_usage(gateway, meter.epoch()).await?.is_some() {
            block_in_place(|| meter.rotate(0))?;
        }
        Ok(meter.epoch())
    }

    /// With `close`, closes the epoch that is written if anything was used in it. Then publishes every closed epoch, commits
    /// to it, and discards the segments of those that final blocks have. `till_at` tells the till at an address.
    ///
    /// Whoever claims makes the rows first and calls this before it sends them: so the records cover the rows. Tells
    /// what was done. `first` is what [`Client::pass_committed`] told. Waits for the disk: on a runtime of several threads.
    ///
    /// # Errors
    /// See [`EpochError`]. Nothing may be claimed then.
    pub async fn publish_epochs<F>(
        &self,
        gateway: &Account,
        meter: &Meter,
        first: u64,
        close: bool,
        till_at: impl Fn(Address) -> F,
    ) -> Result<PublishedEpochs, EpochError>
    where
        F: Future<Output = Result<Option<Till>, LedgerError>>,
    {
        let closed = close && meter.uses() > 0;
        let mut standing = Vec::new();
        if closed {
            block_in_place(|| meter.rotate(now_s().saturating_sub(FORGET_AFTER_S)))?;
        }
        for epoch in block_in_place(|| meter.closed_segments())? {
            let entries = block_in_place(|| -> Result<Vec<UsageEntry>, EpochError> {
                Ok(meter.read_segment(epoch)?.collect::<Result<_, _>>()?)
            })?;
            let mut assets = BTreeMap::new();
            for entry in &entries {
                if !assets.contains_key(&entry.receiver)
                    && let Some(till) = till_at(entry.receiver).await?
                {
                    assets.insert(entry.receiver, till.asset);
                }
            }
            match self.publish_usage(gateway, epoch, &entries, &assets).await {
                // The log was restored from an older copy: what it has of this epoch was committed to with more.
                Err(UsageError::OtherRoot { .. }) if epoch < first => standing.push(epoch),
                published => {
                    published?;
                }
            }
        }
        // A block that may be taken back is no place to keep the only word of it.
        for epoch in block_in_place(|| meter.closed_segments())? {
            if !self.usage_is_final(gateway.address(), epoch).await? {
                break;
            }
            block_in_place(|| meter.discard_segment(epoch))?;
        }
        Ok(PublishedEpochs { closed, standing })
    }
}
