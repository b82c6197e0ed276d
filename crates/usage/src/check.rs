//! The check of published records against what was committed, and against each other (AUD-1).
//!
//! A root tells that an epoch's records are not those that were committed, but not which one is another. So each record
//! is held first to what it must continue: its place, and its channel's payer, token, asset and charged total. That
//! names the first record that was inserted, deleted, reordered or altered in what a payer was charged. What remains,
//! such as another time or request id, or an altered record that nothing later continues, is named by its epoch.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use residual_primitives::{Amount, AssetId};

use crate::{
    parquet::FileError,
    record::{Lane, MAX_RECORDS, UsageRecord},
    tree::RootBuilder,
};

/// What a gateway committed to on the ledger: an event `Committed` of the contract `Usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment {
    /// The gateway.
    pub gateway: Address,
    /// Its epoch.
    pub epoch: u64,
    /// The root of the epoch's tree.
    pub root: B256,
    /// How many records the epoch has.
    pub records: u64,
}

/// The first place where records are not what was committed, or contradict themselves.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UsageFault {
    /// An epoch was left out or comes twice.
    #[error(
        "expected epoch {expected} of gateway {gateway}, found epoch {found}; give every epoch once, in order"
    )]
    Epoch {
        /// The gateway.
        gateway: Address,
        /// The one that is next.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The gateway committed to more than any file holds.
    #[error(
        "expected at most {MAX_RECORDS} records in epoch {epoch} of gateway {gateway}, found {found} committed"
    )]
    TooManyRecords {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// As many are committed to.
        found: u64,
    },
    /// A record cannot be read.
    #[error("epoch {epoch} of gateway {gateway}: {source}")]
    File {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// Why not.
        source: FileError,
    },
    /// A record is in another's place: one was inserted, deleted or moved there.
    #[error(
        "expected record {index} of epoch {epoch} of gateway {gateway}, found record {found_index} of epoch \
         {found_epoch} of gateway {found_gateway}"
    )]
    Place {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// The place in it.
        index: u64,
        /// The record's gateway.
        found_gateway: Address,
        /// The record's epoch.
        found_epoch: u64,
        /// The record's index.
        found_index: u64,
    },
    /// More or fewer records than were committed to.
    #[error("expected {expected} records in epoch {epoch} of gateway {gateway}, found {found}")]
    Count {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// As many were committed to.
        expected: u64,
        /// As many are there; one more than expected if there are more.
        found: u64,
    },
    /// A channel's charged total does not continue the one before.
    #[error(
        "expected {expected} charged on {channel} with record {index} of epoch {epoch} of gateway {gateway}, found {found}"
    )]
    ChargedTotal {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// The record.
        index: u64,
        /// The channel.
        channel: B256,
        /// The total before and the record's amount.
        expected: Amount,
        /// The record's total.
        found: Amount,
    },
    /// A channel is another's, pays in another token or for another asset than before, or is a payment as well.
    #[error(
        "expected the {what} of {channel} to stay as it was, found another in record {index} of epoch {epoch} of gateway \
         {gateway}"
    )]
    OtherChannel {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// The record.
        index: u64,
        /// The channel.
        channel: B256,
        /// What is another.
        what: &'static str,
    },
    /// An exact payment serves a second use.
    #[error(
        "expected payment {payment} to serve one use, found a second in record {index} of epoch {epoch} of gateway {gateway}"
    )]
    PaidTwice {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// The second use.
        index: u64,
        /// The payment.
        payment: B256,
    },
    /// The records are not those that were committed to, though they agree among themselves.
    #[error(
        "expected epoch {epoch} of gateway {gateway} to have the committed root {expected:#x}, found {found:#x}"
    )]
    Root {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// The committed root.
        expected: B256,
        /// The root of the records.
        found: B256,
    },
}

impl UsageFault {
    /// The gateway, its epoch and, where the records tell it, the record.
    #[must_use]
    pub fn place(&self) -> (Address, u64, Option<u64>) {
        match *self {
            Self::Epoch { gateway, found: epoch, .. }
            | Self::TooManyRecords { gateway, epoch, .. }
            | Self::Root { gateway, epoch, .. }
            | Self::File { gateway, epoch, .. } => (gateway, epoch, None),
            Self::Count { gateway, epoch, expected, found } => (gateway, epoch, Some(expected.min(found))),
            Self::Place { gateway, epoch, index, .. }
            | Self::ChargedTotal { gateway, epoch, index, .. }
            | Self::OtherChannel { gateway, epoch, index, .. }
            | Self::PaidTwice { gateway, epoch, index, .. } => (gateway, epoch, Some(index)),
        }
    }
}

/// What was recorded of one channel, or of one exact payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Who metered.
    pub gateway: Address,
    /// Who paid.
    pub payer: Address,
    /// In which currency.
    pub token: Address,
    /// For which asset.
    pub asset: AssetId,
    /// Whether it is an exact payment and no channel.
    pub is_exact: bool,
    /// How many records name it as used.
    pub records: u64,
    /// Their units.
    pub units: u64,
    /// The sum of their amounts.
    pub charged: Amount,
    /// Up to where the gateway gave up what it has not claimed: of a channel, and at most `charged`.
    pub written_off_to: Amount,
}

/// What was recorded, by channel or payment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    sources: BTreeMap<B256, Recorded>,
}

impl Totals {
    /// Every channel and payment with what was recorded of it, ascending by id.
    pub fn iter(&self) -> impl Iterator<Item = (B256, &Recorded)> {
        self.sources.iter().map(|(source, recorded)| (*source, recorded))
    }

    /// What was recorded of a channel or payment.
    #[must_use]
    pub fn get(&self, source: B256) -> Option<&Recorded> {
        self.sources.get(&source)
    }

    fn charged(&self, channel: B256) -> Amount {
        let recorded = self.sources.get(&channel).filter(|recorded| !recorded.is_exact);
        recorded.map_or(Amount::ZERO, |recorded| recorded.charged)
    }

    /// By how much more was claimed of a channel than was recorded as charged: revenue without use, a fault. None if it
    /// was not more.
    #[must_use]
    pub fn claimed_beyond(&self, channel: B256, total_claimed: Amount) -> Option<Amount> {
        total_claimed.checked_sub(self.charged(channel)).filter(|beyond| *beyond > Amount::ZERO)
    }

    /// How much of what was recorded as charged on a channel is not claimed yet, and not given up; no fault.
    #[must_use]
    pub fn outstanding(&self, channel: B256, total_claimed: Amount) -> Amount {
        let settled = total_claimed.max(self.written_off_to(channel));
        self.charged(channel).checked_sub(settled).unwrap_or(Amount::ZERO)
    }

    /// How much of what was recorded as charged on a channel the gateway gave up: what it has recorded so and has not
    /// claimed since; no fault.
    #[must_use]
    pub fn written_off(&self, channel: B256, total_claimed: Amount) -> Amount {
        self.written_off_to(channel).checked_sub(total_claimed).unwrap_or(Amount::ZERO)
    }

    fn written_off_to(&self, channel: B256) -> Amount {
        self.sources.get(&channel).map_or(Amount::ZERO, |recorded| recorded.written_off_to)
    }
}

/// Checks epochs as they come: those of a gateway in order, those of several in any. After a fault it is of no more use.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    next_epoch: BTreeMap<Address, u64>,
    totals: Totals,
}

impl Checker {
    /// Holds an epoch's records to its commitment and to all before it. No more are read than were committed to, and one.
    ///
    /// # Errors
    /// [`UsageFault`], the first in the order of the records.
    pub fn epoch(
        &mut self,
        commitment: &Commitment,
        records: impl IntoIterator<Item = Result<UsageRecord, FileError>>,
    ) -> Result<(), UsageFault> {
        let Commitment { gateway, epoch, root: expected_root, records: count } = *commitment;
        let next = self.next_epoch.entry(gateway).or_default();
        if *next != epoch {
            return Err(UsageFault::Epoch { gateway, expected: *next, found: epoch });
        }
        if count > MAX_RECORDS {
            return Err(UsageFault::TooManyRecords { gateway, epoch, found: count });
        }
        *next = epoch.saturating_add(1);

        let (mut root, mut index) = (RootBuilder::default(), 0);
        for record in records {
            let record = record.map_err(|source| UsageFault::File { gateway, epoch, source })?;
            if (record.gateway, record.epoch, record.index) != (gateway, epoch, index) {
                let (found_gateway, found_epoch, found_index) = (record.gateway, record.epoch, record.index);
                return Err(UsageFault::Place {
                    gateway,
                    epoch,
                    index,
                    found_gateway,
                    found_epoch,
                    found_index,
                });
            }
            if index == count {
                return Err(UsageFault::Count { gateway, epoch, expected: count, found: index + 1 });
            }
            self.totals.add(&record)?;
            root.push(record.leaf());
            index += 1;
        }
        if index < count {
            return Err(UsageFault::Count { gateway, epoch, expected: count, found: index });
        }
        let found = root.root();
        if found != expected_root {
            return Err(UsageFault::Root { gateway, epoch, expected: expected_root, found });
        }
        Ok(())
    }

    /// What all epochs together recorded.
    #[must_use]
    pub fn into_totals(self) -> Totals {
        self.totals
    }
}

impl Totals {
    fn add(&mut self, record: &UsageRecord) -> Result<(), UsageFault> {
        let (gateway, epoch, index, source) = (record.gateway, record.epoch, record.index, record.source);
        let is_exact = record.lane == Lane::Exact;
        let first = Recorded {
            gateway,
            payer: record.payer,
            token: record.token,
            asset: record.asset,
            is_exact,
            records: 0,
            units: 0,
            charged: Amount::ZERO,
            written_off_to: Amount::ZERO,
        };
        let recorded = self.sources.entry(source).or_insert(first);
        let same = [
            ("lane", recorded.is_exact == is_exact),
            ("gateway", recorded.gateway == gateway),
            ("payer", recorded.payer == record.payer),
            ("token", recorded.token == record.token),
            ("asset", recorded.asset == record.asset),
        ];
        if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
            return Err(UsageFault::OtherChannel { gateway, epoch, index, channel: source, what });
        }
        if is_exact && recorded.records > 0 {
            return Err(UsageFault::PaidTwice { gateway, epoch, index, payment: source });
        }
        let is_use = record.lane != Lane::WrittenOff;
        let sum = recorded.charged.checked_add(if is_use { record.amount } else { Amount::ZERO });
        let sum = sum.expect("two amounts of 38 digits fit 128 bits");
        if sum != record.charged_total {
            let found = record.charged_total;
            return Err(UsageFault::ChargedTotal {
                gateway,
                epoch,
                index,
                channel: source,
                expected: sum,
                found,
            });
        }
        if !is_use {
            recorded.written_off_to = sum;
            return Ok(());
        }
        recorded.records += 1;
        recorded.units = recorded.units.saturating_add(u64::from(record.units));
        recorded.charged = sum;
        Ok(())
    }
}

/// Checks all epochs of some gateways, from the first.
///
/// # Errors
/// See [`Checker::epoch`].
pub fn check<R>(epochs: impl IntoIterator<Item = (Commitment, R)>) -> Result<Totals, UsageFault>
where
    R: IntoIterator<Item = Result<UsageRecord, FileError>>,
{
    let mut checker = Checker::default();
    for (commitment, records) in epochs {
        checker.epoch(&commitment, records)?;
    }
    Ok(checker.into_totals())
}
