//! Usage records: published by gateways, committed on the ledger, checked by anybody.
//!
//! A gateway's epoch is a closed segment of its meter's log. Publishing writes the epoch's Parquet file below
//! `usage/<gateway>/` and commits its root on the ledger; repeated after an interruption it finds what was done.

use std::collections::{BTreeMap, BTreeSet};

use alloy_sol_types::SolEvent;
use residual_ledger::{
    Account, LogQuery,
    contracts::{CANONICAL_CHANNELS, Usage, channels::Channels as ChannelsContract, test_usd::TestUSD},
    usage::read_commitment,
};
use residual_meter::{Lane as MeterLane, UsageEntry};
use residual_primitives::{Address, Amount, AssetId, B256, RevenueKind, U256};
use residual_royalty::Till;
use residual_usage::{
    Checker, Commitment, FileError, Lane, MAX_FILE_BYTES, RecordError, Totals, Tree, UsageFault, UsageFields,
    UsageFile, UsageRecord, WriteError, verify,
};
use serde::Serialize;

use crate::{Client, HomeError, LedgerError};

/// Why usage was not published, shown or proved.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A use that no record can say.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Records that are no epoch.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The gateway has said something else of the epoch.
    #[error(
        "expected the root of epoch {epoch} of {gateway} to be {found}, the records', found {committed} on the ledger: \
         restore the gateway's log, and serve from no copy of it"
    )]
    OtherRoot {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// What the ledger has.
        committed: B256,
        /// What the records have.
        found: B256,
    },
    /// The file is not here.
    #[error(
        "expected the usage file of epoch {epoch} of {gateway} in {place}, found none: fetch it with `residual usage fetch`"
    )]
    NotHere {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// Where it was looked for.
        place: String,
    },
    /// The file is not what was committed.
    #[error("usage of epoch {epoch} of {gateway}: {source}")]
    File {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// What is wrong with it.
        #[source]
        source: FileError,
    },
    /// No such record.
    #[error("expected a record below {records} of epoch {epoch}, found {index}")]
    NoRecord {
        /// How many there are.
        records: u64,
        /// The epoch.
        epoch: u64,
        /// What was asked for.
        index: u64,
    },
    /// Nothing was committed.
    #[error("gateway {gateway} has committed to no epoch {epoch} on this ledger")]
    NotCommitted {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
    },
    /// The record is not under the root that was committed.
    #[error("record {index} of epoch {epoch} of {gateway} is not what the gateway committed to: root {root}")]
    NotProven {
        /// The gateway.
        gateway: Address,
        /// The epoch.
        epoch: u64,
        /// The record.
        index: u64,
        /// The committed root.
        root: B256,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// An epoch that is published and committed to.
#[derive(Debug, Clone, Serialize)]
pub struct PublishedEpoch {
    /// The gateway.
    pub gateway: Address,
    /// Its epoch.
    pub epoch: u64,
    /// How many uses.
    pub records: u64,
    /// The root of their tree.
    pub root: B256,
}

/// One use, or what was written off, as an owner sees it.
#[derive(Debug, Clone, Serialize)]
pub struct UsageRow {
    /// The gateway.
    pub gateway: Address,
    /// Its epoch.
    pub epoch: u64,
    /// The record's place in the epoch.
    pub index: u64,
    /// When, in UNIX seconds.
    pub at_s: u64,
    /// What was used.
    pub asset: AssetId,
    /// `voucher`, `tick` or `exact`; `written-off` of what the gateway gives up, which is no use.
    pub lane: &'static str,
    /// Who paid.
    pub payer: Address,
    /// The channel, or the payment of the lane `exact`.
    pub source: B256,
    /// In which token.
    pub token: Address,
    /// How many units.
    pub units: u32,
    /// The price of one.
    pub unit_price: Amount,
    /// What was charged; what is given up.
    pub amount: Amount,
}

impl From<&UsageRecord> for UsageRow {
    fn from(record: &UsageRecord) -> Self {
        Self {
            gateway: record.gateway,
            epoch: record.epoch,
            index: record.index,
            at_s: record.at_s,
            asset: record.asset,
            lane: record.lane.name(),
            payer: record.payer,
            source: record.source,
            token: record.token,
            units: record.units,
            unit_price: record.unit_price,
            amount: record.amount,
        }
    }
}

/// A record with the proof that its gateway committed to it.
#[derive(Debug, Clone, Serialize)]
pub struct UsageProof {
    /// The record.
    #[serde(flatten)]
    pub row: UsageRow,
    /// The root that the ledger has.
    pub root: B256,
    /// The siblings from the leaf to the root, as `Usage.verify` takes them.
    pub proof: Vec<B256>,
    /// Keccak-256 of the record's encoding, as `Usage.verify` takes it.
    pub record: B256,
}

/// What a gateway gave up of a channel, since its claim would have cost more than it brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenOff {
    /// The gateway.
    pub gateway: Address,
    /// The channel.
    pub channel: B256,
    /// What was used.
    pub asset: AssetId,
    /// In which token.
    pub token: Address,
    /// How much.
    pub amount: Amount,
}

/// What the audit found in usage records.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UsageAudit {
    /// Epochs read.
    pub epochs: u64,
    /// Records read.
    pub records: u64,
    /// Channels and payments compared with the ledger.
    pub sources: usize,
    /// Recorded and neither claimed nor written off yet, in the currency.
    pub outstanding: Amount,
    /// What gateways gave up, channel by channel: recorded, not claimed, and said so.
    pub written_off: Vec<WrittenOff>,
    /// Epochs that were committed to and whose files are not here: nothing of their gateway was compared.
    pub missing: Vec<(Address, u64)>,
    /// Gateways that claimed and were not compared: for want of a file, or because they committed to nothing.
    pub not_compared: Vec<NotCompared>,
}

/// A gateway whose claims were held against no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCompared {
    /// The key that its claims are made with.
    pub gateway: Address,
    /// Channels of the marketplace that were claimed from with it.
    pub channels: usize,
    /// What was claimed, in the currency.
    pub claimed: Amount,
    /// Whether it committed to any epoch: then the files of those in [`UsageAudit::missing`] tell the rest.
    pub committed: bool,
}

/// Why usage records and revenue do not agree.
#[derive(Debug, thiserror::Error)]
pub enum UsageDifference {
    /// The records are not what was committed, or contradict themselves.
    #[error(transparent)]
    Fault(#[from] Box<UsageFault>),
    /// Revenue without use.
    #[error(
        "gateway {gateway} claimed {claimed} units of channel {channel} and recorded uses for {recorded}: {beyond} more than \
         was used"
    )]
    ClaimedBeyond {
        /// The gateway.
        gateway: Address,
        /// The channel.
        channel: B256,
        /// Claimed on the ledger.
        claimed: Amount,
        /// Recorded.
        recorded: Amount,
        /// The difference.
        beyond: Amount,
    },
    /// Use without revenue.
    #[error(
        "the till of {asset} got {arrived} units, and gateway {gateway} recorded {recorded} as paid into it: some uses that it \
         recorded as paid were not"
    )]
    NeverArrived {
        /// The gateway.
        gateway: Address,
        /// The asset.
        asset: AssetId,
        /// What came.
        arrived: Amount,
        /// What should have come.
        recorded: Amount,
    },
}

impl Client {
    /// Publishes an epoch of the gateway and commits to it. Entries of tills that belong to no asset are refused.
    ///
    /// # Errors
    /// See [`UsageError`]. Repeated, it goes on where it stopped.
    pub async fn publish_usage(
        &self,
        gateway: &Account,
        epoch: u64,
        entries: &[UsageEntry],
        asset_of: &BTreeMap<Address, AssetId>,
    ) -> Result<PublishedEpoch, UsageError> {
        let who = gateway.address();
        let mut records = Vec::with_capacity(entries.len());
        for (index, entry) in (0..).zip(entries) {
            let asset = asset_of.get(&entry.receiver).copied();
            let asset = asset.ok_or_else(|| LedgerError::unexpected("a use of a till that is no asset's"))?;
            records.push(record_of(who, epoch, index, asset, entry)?);
        }
        let (file, head) = residual_usage::write(self.chain().id(), who, epoch, records)?;
        let committed = self.committed_usage(who, epoch).await?;
        if let Some(committed) = committed.filter(|committed| *committed != head.root) {
            return Err(UsageError::OtherRoot { gateway: who, epoch, committed, found: head.root });
        }
        self.home().dir(&format!("usage/{who}"))?;
        self.home().write_bytes(&file_of(who, epoch), &file)?;
        if committed.is_none() {
            let call = Usage::commitCall {
                epoch,
                root: head.root,
                records: head.records,
                file: crate::digest(&file),
            };
            self.send(gateway, self.suite().usage, &call).await?;
        }
        Ok(PublishedEpoch { gateway: who, epoch, records: head.records, root: head.root })
    }

    /// The root that a gateway has committed to for an epoch, by the newest block; none when it has not.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn committed_usage(&self, gateway: Address, epoch: u64) -> Result<Option<B256>, LedgerError> {
        let root: B256 = self.call(self.suite().usage, &Usage::rootsCall { gateway, epoch }).await?;
        Ok(Some(root).filter(|root| *root != B256::ZERO))
    }

    /// Whether a final block has the gateway's word on an epoch.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn usage_is_final(&self, gateway: Address, epoch: u64) -> Result<bool, LedgerError> {
        let block = self.chain().final_head().await?.number;
        let root: B256 =
            self.call_at(self.suite().usage, &Usage::rootsCall { gateway, epoch }, block).await?;
        Ok(root != B256::ZERO)
    }

    /// The bytes of a published epoch; none when they are not here.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn usage_file(&self, gateway: Address, epoch: u64) -> Result<Option<Vec<u8>>, HomeError> {
        self.home().read_bytes(&file_of(gateway, epoch), MAX_FILE_BYTES)
    }

    /// Keeps an epoch's file that was fetched, if it is what the gateway committed to.
    ///
    /// # Errors
    /// See [`UsageError`].
    pub async fn keep_usage(
        &self,
        gateway: Address,
        epoch: u64,
        bytes: &[u8],
    ) -> Result<PublishedEpoch, UsageError> {
        let commitment = self.usage_commitment(gateway, epoch).await?;
        let (records, root) = read(gateway, epoch, bytes)?;
        if root != commitment.root {
            return Err(UsageError::OtherRoot { gateway, epoch, committed: commitment.root, found: root });
        }
        self.home().dir(&format!("usage/{gateway}"))?;
        self.home().write_bytes(&file_of(gateway, epoch), bytes)?;
        Ok(PublishedEpoch { gateway, epoch, records: records.len() as u64, root })
    }

    /// Everything that gateways committed to, in the order of the ledger, up to a block.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn usage_commitments(&self, to_block: u64) -> Result<Vec<Commitment>, LedgerError> {
        let query =
            LogQuery { events: vec![Usage::Committed::SIGNATURE_HASH], ..LogQuery::of([self.suite().usage]) };
        let deployment = &self.suite().deployment;
        let logs = self.chain().logs(&query, deployment.block.number, to_block).await?;
        let commitments = logs.iter().map(|log| {
            let Usage::Committed { gateway, epoch, root, records, .. } = read_commitment(deployment, log)?;
            Ok(Commitment { gateway, epoch, root, records })
        });
        commitments.collect()
    }

    async fn usage_commitment(&self, gateway: Address, epoch: u64) -> Result<Commitment, UsageError> {
        let head = self.chain().head().await.map_err(LedgerError::from)?.number;
        let all = self.usage_commitments(head).await?;
        let found = all.into_iter().find(|one| (one.gateway, one.epoch) == (gateway, epoch));
        found.ok_or(UsageError::NotCommitted { gateway, epoch })
    }

    /// Each use of an asset in the files that are here, oldest epoch first.
    ///
    /// # Errors
    /// When a file is damaged, or the ledger cannot be reached.
    pub async fn usage_of(&self, asset: AssetId) -> Result<Vec<UsageRow>, UsageError> {
        let head = self.chain().head().await.map_err(LedgerError::from)?.number;
        let mut rows = Vec::new();
        for Commitment { gateway, epoch, .. } in self.usage_commitments(head).await? {
            let Some(bytes) = self.usage_file(gateway, epoch)? else { continue };
            let (records, _) = read(gateway, epoch, &bytes)?;
            rows.extend(records.iter().filter(|record| record.asset == asset).map(UsageRow::from));
        }
        Ok(rows)
    }

    /// Proves one record: that it is the one at this place under the root that the ledger has.
    ///
    /// # Errors
    /// See [`UsageError`].
    pub async fn prove_usage(
        &self,
        gateway: Address,
        epoch: u64,
        index: u64,
    ) -> Result<UsageProof, UsageError> {
        let root: B256 = self.call(self.suite().usage, &Usage::rootsCall { gateway, epoch }).await?;
        if root == B256::ZERO {
            return Err(UsageError::NotCommitted { gateway, epoch });
        }
        let place = self.home().path(&file_of(gateway, epoch)).display().to_string();
        let bytes = self.usage_file(gateway, epoch)?;
        let bytes = bytes.ok_or(UsageError::NotHere { gateway, epoch, place })?;
        let (records, _) = read(gateway, epoch, &bytes)?;
        let no_record = UsageError::NoRecord { records: records.len() as u64, epoch, index };
        let tree = Tree::new(records.iter().map(UsageRecord::leaf).collect());
        let at = usize::try_from(index).ok().and_then(|at| records.get(at));
        let (Some(record), Some(proof)) = (at, tree.proof(index)) else { return Err(no_record) };
        let call = Usage::verifyCall { gateway, epoch, index, record: record.hash(), proof: proof.clone() };
        // Both by the rules here and by the contract's own.
        if !verify(root, record, &proof) || !self.call(self.suite().usage, &call).await? {
            return Err(UsageError::NotProven { gateway, epoch, index, root });
        }
        Ok(UsageProof { row: record.into(), root, proof, record: record.hash() })
    }

    /// Holds every published record to what was committed, and the revenue of channels and tills to the records, in the
    /// state after a block (AUD-1).
    pub(crate) async fn audit_usage(&self, block: u64) -> Result<UsageAudit, crate::AuditError> {
        let commitments = self.usage_commitments(block).await?;
        let mut found = UsageAudit::default();
        // One for each gateway: what a stranger says of another's channel is the stranger's word.
        let mut checkers = BTreeMap::<Address, Checker>::new();
        let mut broken = BTreeSet::new();
        for commitment in &commitments {
            let Commitment { gateway, epoch, .. } = *commitment;
            if broken.contains(&gateway) {
                found.missing.push((gateway, epoch));
                continue;
            }
            let Some(bytes) = self.usage_file(gateway, epoch).map_err(LedgerError::from)? else {
                checkers.remove(&gateway);
                broken.insert(gateway);
                found.missing.push((gateway, epoch));
                continue;
            };
            let fault = |source| Box::new(UsageFault::File { gateway, epoch, source });
            let file = UsageFile::open(&bytes).map_err(|error| UsageDifference::from(fault(error)))?;
            let checked = checkers.entry(gateway).or_default().epoch(commitment, file.records());
            checked.map_err(|error| UsageDifference::from(Box::new(error)))?;
            found.epochs += 1;
            found.records += commitment.records;
        }
        let tills = self.operators_tills_to(block).await.map_err(crate::AuditError::from)?;
        let mut channels = self.channels_by_authorizer(block).await?;
        for (gateway, checker) in checkers {
            let totals = checker.into_totals();
            let of_gateway = channels.remove(&gateway).unwrap_or_default();
            self.compare_channels(gateway, &totals, of_gateway, block, &mut found).await?;
            self.compare_tills(gateway, &totals, &tills, block).await?;
        }
        // What is left was compared with nothing. It is no difference: whoever makes a channel can name any key as its
        // gateway's, and so could make the audit of everybody fail.
        for (gateway, channels) in channels {
            let mut rest = NotCompared {
                gateway,
                channels: 0,
                claimed: Amount::ZERO,
                committed: broken.contains(&gateway),
            };
            for channel in channels {
                let claimed = self.channel_at(channel, block).await?.escrow.total_claimed;
                if claimed > Amount::ZERO {
                    rest.channels += 1;
                    rest.claimed.0 = rest.claimed.0.saturating_add(claimed.0);
                }
            }
            if rest.channels > 0 {
                found.not_compared.push(rest);
            }
        }
        Ok(found)
    }

    /// The channels that pay an inference till of an asset in the currency, by whose key claims from them: a claim may be
    /// sent by anybody whom that key has signed for, so who sent it tells nothing. Channels with another receiver are none
    /// of a gateway's business: their receiver may claim by itself, and nothing of it is an asset's.
    async fn channels_by_authorizer(
        &self,
        block: u64,
    ) -> Result<BTreeMap<Address, BTreeSet<B256>>, LedgerError> {
        let tills = self.inference_tills(block).await?;
        let query = LogQuery {
            events: vec![ChannelsContract::ChannelCreated::SIGNATURE_HASH],
            ..LogQuery::of([CANONICAL_CHANNELS])
        };
        let mut channels = BTreeMap::<Address, BTreeSet<B256>>::new();
        for log in self.logs_to(query, block).await? {
            let created = crate::decode::<ChannelsContract::ChannelCreated>(&log);
            let created = created.ok_or_else(|| LedgerError::unexpected("a channel that was made"))?;
            let config = &created.config;
            if tills.contains_key(&config.receiver) && config.token == self.currency().token {
                channels.entry(config.receiverAuthorizer).or_default().insert(created.channelId);
            }
        }
        Ok(channels)
    }

    /// No channel of the gateway may have been claimed beyond what was recorded: none that its key claims from, none that it
    /// sent a claim of itself, and none that it recorded.
    async fn compare_channels(
        &self,
        gateway: Address,
        totals: &Totals,
        mut channels: BTreeSet<B256>,
        block: u64,
        found: &mut UsageAudit,
    ) -> Result<(), crate::AuditError> {
        let query = LogQuery {
            events: vec![ChannelsContract::Claimed::SIGNATURE_HASH],
            indexed: [Vec::new(), vec![gateway.into_word()], Vec::new()],
            ..LogQuery::of([CANONICAL_CHANNELS])
        };
        let from = self.suite().deployment.block.number;
        let logs = self.chain().logs(&query, from, block).await.map_err(LedgerError::from)?;
        channels.extend(logs.iter().filter_map(|log| log.topics().get(1).copied()));
        let of_gateway = totals.iter().filter(|(_, recorded)| recorded.gateway == gateway);
        channels.extend(of_gateway.filter(|(_, recorded)| !recorded.is_exact).map(|(channel, _)| channel));
        for channel in channels {
            let claimed = self.channel_at(channel, block).await?.escrow.total_claimed;
            if let Some(beyond) = totals.claimed_beyond(channel, claimed) {
                let recorded = totals.get(channel).map_or(Amount::ZERO, |recorded| recorded.charged);
                return Err(
                    UsageDifference::ClaimedBeyond { gateway, channel, claimed, recorded, beyond }.into()
                );
            }
            let outstanding = totals.outstanding(channel, claimed);
            found.outstanding.0 = found.outstanding.0.saturating_add(outstanding.0);
            let amount = totals.written_off(channel, claimed);
            if let Some(recorded) = totals.get(channel).filter(|_| amount > Amount::ZERO) {
                let (asset, token) = (recorded.asset, recorded.token);
                found.written_off.push(WrittenOff { gateway, channel, asset, token, amount });
            }
            found.sources += 1;
        }
        Ok(())
    }

    /// What was recorded as paid by itself, and what was settled, must have come into the tills.
    async fn compare_tills(
        &self,
        gateway: Address,
        totals: &Totals,
        operators: &BTreeSet<Till>,
        block: u64,
    ) -> Result<(), crate::AuditError> {
        let token = self.currency().token;
        let mut paid = BTreeMap::<AssetId, Amount>::new();
        for (_, recorded) in totals.iter() {
            if recorded.is_exact && recorded.token == token {
                let sum = paid.entry(recorded.asset).or_default();
                // What a gateway writes down may be beyond all money.
                sum.0 = sum.0.saturating_add(recorded.charged.0);
            }
        }
        for (asset, exact) in paid {
            let of_gateway = operators.iter().copied().filter(|till| {
                (till.asset, till.kind, till.operator) == (asset, RevenueKind::Inference, gateway)
            });
            let tills = std::iter::once(Till::own(asset, RevenueKind::Inference)).chain(of_gateway);
            let (mut arrived, mut recorded) = (Amount::ZERO, exact);
            for till in tills {
                let receiver = self.till_address(&till);
                let settled = ChannelsContract::receiversCall { receiver, token };
                let settled = self.call_at(CANONICAL_CHANNELS, &settled, block).await?.totalSettled;
                recorded.0 = recorded.0.saturating_add(settled);
                // Anybody may send a till as much as there is, again and again.
                arrived.0 = arrived.0.saturating_add(self.came_to(receiver, token, block).await?.0);
            }
            if arrived < recorded {
                return Err(UsageDifference::NeverArrived { gateway, asset, arrived, recorded }.into());
            }
        }
        Ok(())
    }

    /// All that an account ever got of a token since the marketplace was made, up to a block.
    async fn came_to(&self, receiver: Address, token: Address, block: u64) -> Result<Amount, LedgerError> {
        let query = LogQuery {
            addresses: vec![token],
            events: vec![TestUSD::Transfer::SIGNATURE_HASH],
            indexed: [Vec::new(), vec![receiver.into_word()], Vec::new()],
        };
        let logs = self.logs_to(query, block).await?;
        let came = logs.iter().filter_map(crate::decode::<TestUSD::Transfer>).map(|moved| moved.value);
        Ok(Amount(came.fold(U256::ZERO, U256::saturating_add).saturating_to()))
    }
}

fn file_of(gateway: Address, epoch: u64) -> String {
    format!("usage/{gateway}/{epoch}.parquet")
}

fn record_of(
    gateway: Address,
    epoch: u64,
    index: u64,
    asset: AssetId,
    entry: &UsageEntry,
) -> Result<UsageRecord, RecordError> {
    let (lane, source) = match entry.lane {
        MeterLane::Voucher { channel_id } => (Lane::Voucher, channel_id),
        MeterLane::Tick { channel_id, .. } => (Lane::Tick, channel_id),
        MeterLane::Exact { payment_id } => (Lane::Exact, payment_id),
        MeterLane::WrittenOff { channel_id } => (Lane::WrittenOff, channel_id),
    };
    UsageRecord::new(UsageFields {
        gateway,
        epoch,
        index,
        at_s: entry.at_s,
        asset,
        lane,
        payer: entry.payer,
        source,
        token: entry.token,
        units: entry.units,
        unit_price: entry.unit_price,
        amount: entry.amount,
        charged_total: entry.charged_total,
        request_id: entry.request_id,
        licence: None,
    })
}

/// The records of a file, if it is of that epoch, and the root of their tree.
fn read(gateway: Address, epoch: u64, bytes: &[u8]) -> Result<(Vec<UsageRecord>, B256), UsageError> {
    let failed = |source| UsageError::File { gateway, epoch, source };
    let file = UsageFile::open(bytes).map_err(failed)?;
    let records = file.records().collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let root = Tree::new(records.iter().map(UsageRecord::leaf).collect()).root();
    Ok((records, root))
}
