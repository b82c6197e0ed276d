//! The money of vouchers, brought to the ledger by itself.
//!
//! Vouchers are claimed in batches: when all that they raise is [`WORTH`] times the gas of claiming, settling and sweeping
//! it; a row when its oldest charge has waited for a quarter of the channel's withdraw delay, or at once when the payer
//! withdraws what was charged; and never a row that raises less than its own gas and its part of what a batch takes. Such a
//! row waits; when the payer withdraws it, it is written off, and recorded with the uses. Then the tills are settled and swept
//! that hold more than the gas of it. Each step may be repeated: a crash between any two loses nothing and pays nothing
//! twice (CH-1).
//!
//! Before anything is claimed, the epoch that it rests on is closed, published and committed to
//! (`Client::publish_epochs`, AUD-1).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use residual_client::{EpochError, LedgerError, PublishedEpochs, Till, now_s};
use residual_ledger::{
    LogQuery, LogStream, SolEvent, Update,
    contracts::{CANONICAL_CHANNELS, channels::Channels},
};
use residual_meter::{CLAIM_ROWS, ChannelState, CommitError, VoucherClaim, WriteOffError};
use residual_primitives::{Address, Amount, B256, RevenueKind};
use tokio::sync::{Mutex, OnceCell, mpsc, oneshot, watch};

use crate::{App, service::RENEW_EVERY};

/// How many times its gas a settlement must bring to be made before its time.
const WORTH: u128 = 50;

/// Gas of one more row in a claim, rounded up (`contracts/gas.json`, voucher of a batch).
const ROW_GAS: u64 = 20_000;

/// Gas of a claim beside its rows, rounded up (one voucher alone, less its row), and of committing before it to the epoch of
/// usage records that it rests on.
const BATCH_GAS: u64 = 78_000;

/// Gas of settling a till and sweeping it, rounded up; without the flow to parents, which is its caller's.
const SWEEP_GAS: u64 = 200_000;

/// How many uses an epoch has before it is closed, whatever its age.
const EPOCH_USES: u64 = 1_000_000;

/// When and how vouchers are claimed.
#[derive(Debug, Clone, Copy)]
pub struct SettlementRules {
    /// How often is looked what is due.
    pub interval: Duration,
    /// How long an epoch may last when nothing is claimed.
    pub epoch: Duration,
}

impl Default for SettlementRules {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), epoch: Duration::from_secs(60 * 60) }
    }
}

/// Why settling was interrupted; the next look goes on.
#[derive(Debug, thiserror::Error)]
enum SettlementError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Epoch(#[from] EpochError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    WriteOff(#[from] WriteOffError),
}

/// A row that waits to be claimed.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// What it raises.
    raise: Amount,
    /// Its oldest charge has waited for long enough, or the payer withdraws it.
    late: bool,
    /// The payer withdraws what was charged: it is now or never.
    withdrawing: bool,
}

/// Whether a row is claimed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Due,
    NotYet,
    /// The payer withdraws, and it is worth less than its gas.
    WrittenOff,
}

/// The rules for all rows together. `cost` is what so much gas costs; with `all` due is all that is worth its gas.
fn judge(rows: &[Waiting], cost: impl Fn(u64) -> Amount, all: bool) -> Vec<Verdict> {
    let everyone: Vec<usize> = (0..rows.len()).collect();
    let worth = worth_claiming(rows, everyone.clone(), &cost);
    let sum = worth.iter().fold(0, |sum: u128, at| sum.saturating_add(rows[*at].raise.0));
    let settlement = batches_gas(worth.len()) + SWEEP_GAS;
    let is_worth = sum >= cost(settlement).0.saturating_mul(WORTH);
    let late = worth_claiming(rows, everyone.into_iter().filter(|at| rows[*at].late).collect(), &cost);
    // One that pays its gas only in the company of all others does not have to be lost.
    let saved = worth.iter().any(|at| rows[*at].withdrawing && !late.contains(at));
    let due: BTreeSet<usize> = if all || is_worth || saved { worth } else { late }.into_iter().collect();
    let verdict = |(at, row): (usize, &Waiting)| match () {
        () if due.contains(&at) => Verdict::Due,
        () if row.withdrawing => Verdict::WrittenOff,
        () => Verdict::NotYet,
    };
    rows.iter().enumerate().map(verdict).collect()
}

/// Those of the rows that are worth claiming together: as many of the largest as each raise their own gas and their part of
/// what their batch takes.
fn worth_claiming(rows: &[Waiting], mut of: Vec<usize>, cost: &impl Fn(u64) -> Amount) -> Vec<usize> {
    of.sort_by_key(|at| std::cmp::Reverse(rows[*at].raise));
    let mut worth = 0;
    for batch in of.chunks(CLAIM_ROWS) {
        let pays = |count: &usize| {
            let smallest = rows[batch[count - 1]].raise.0;
            smallest.saturating_mul(*count as u128) >= cost(batches_gas(*count)).0
        };
        let paying = (1..=batch.len()).rev().find(pays).unwrap_or(0);
        worth += paying;
        if paying < batch.len() {
            break;
        }
    }
    of.truncate(worth);
    of
}

/// Gas of claiming so many rows.
fn batches_gas(rows: usize) -> u64 {
    rows as u64 * ROW_GAS + rows.div_ceil(CLAIM_ROWS) as u64 * BATCH_GAS
}

/// The work in the background of one gateway.
pub(crate) struct Settlement {
    app: Arc<App>,
    rules: SettlementRules,
    /// Since when each channel has had something to claim, in UNIX seconds.
    waiting_since_s: HashMap<B256, u64>,
    /// What was claimed in a block that may be taken back: the channel, its till, and that block.
    unconfirmed: BTreeMap<B256, (Address, u64)>,
    /// Tills that may hold something: claimed and not swept yet.
    unswept: BTreeSet<Address>,
    /// The epoch that was written when this process began; those before may be older copies of what was committed to.
    first_epoch: u64,
    /// When the epoch that is written began, as far as this process knows.
    epoch_began: Instant,
}

impl Settlement {
    pub(crate) fn new(app: Arc<App>, rules: SettlementRules) -> Self {
        Self {
            first_epoch: app.meter.epoch(),
            app,
            rules,
            waiting_since_s: HashMap::new(),
            unconfirmed: BTreeMap::new(),
            unswept: BTreeSet::new(),
            epoch_began: Instant::now(),
        }
    }

    /// Works until it is told to stop; then claims what is worth its gas and returns.
    pub(crate) async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
        mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
        let Some(from_block) = self.begin(&mut stop).await else { return };
        let query = LogQuery {
            events: vec![
                Channels::WithdrawInitiated::SIGNATURE_HASH,
                Channels::WithdrawFinalized::SIGNATURE_HASH,
                Channels::Refunded::SIGNATURE_HASH,
            ],
            ..LogQuery::of([CANONICAL_CHANNELS])
        };
        let mut watch = self.app.client.chain().follow(query, from_block);
        let mut look = tokio::time::interval(self.rules.interval);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + RENEW_EVERY, RENEW_EVERY);
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = told(&mut stop) => break,
                found = Self::next(&mut watch) => self.noticed(&found).await,
                _ = look.tick() => self.settle(false).await,
                _ = renew.tick() => self.renew_offers().await,
                Some(done) = asked.recv() => {
                    self.renew_offers().await;
                    self.settle(true).await;
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
            }
        }
        self.settle(true).await;
    }

    /// Reconciles the channels that were charged before this start; from which block on to watch the others.
    /// None when it is told to stop before the ledger answers.
    async fn begin(&mut self, stop: &mut watch::Receiver<bool>) -> Option<u64> {
        let from_block = loop {
            match self.app.client.chain().final_head().await {
                Ok(head) => break head.number,
                Err(error) => {
                    tracing::warn!(%error, "the ledger does not answer; looking again");
                    tokio::select! {
                        () = told(stop) => return None,
                        () = tokio::time::sleep(self.rules.interval) => {}
                    }
                }
            }
        };
        for channel in self.app.meter.channels() {
            self.reconcile(channel.channel_id).await;
        }
        // What an earlier process claimed may not be swept yet.
        self.unswept.extend(self.app.services.values().map(|service| service.receiver));
        self.unswept.extend(self.app.meter.channels().iter().map(|channel| channel.config.receiver));
        Some(from_block)
    }

    /// The channels in the next logs.
    async fn next(watch: &mut LogStream) -> BTreeSet<B256> {
        match watch.next().await {
            Ok(Update::Logs { logs, .. }) => {
                logs.iter().filter_map(|log| log.topics().get(1).copied()).collect()
            }
            // Only final blocks are read, so nothing was made of what no longer holds.
            Ok(Update::Reorganised { .. }) => BTreeSet::new(),
            Err(error) => {
                tracing::error!(%error, "withdrawals cannot be watched");
                // The periodic look goes on; this ends with the gateway.
                std::future::pending().await
            }
        }
    }

    /// A payer of one of ours asks for a withdrawal, or got it, or a refund.
    async fn noticed(&mut self, channels: &BTreeSet<B256>) {
        let mut urgent = false;
        for channel in channels {
            if self.app.meter.channel(*channel).is_some() {
                urgent |= self.reconcile(*channel).await;
            }
        }
        if urgent {
            self.settle(false).await;
        }
    }

    /// Takes over what the ledger says of a channel; whether its payer withdraws what was charged, false when it cannot be
    /// asked.
    async fn reconcile(&mut self, channel: B256) -> bool {
        self.try_reconcile(channel).await.unwrap_or_else(|error| {
            tracing::warn!(%channel, %error, "the channel was not read; it is when it is used next");
            false
        })
    }

    async fn try_reconcile(&mut self, channel: B256) -> Result<bool, LedgerError> {
        let view = self.app.client.confirmed_channel(channel).await?;
        // It is known, or was dropped meanwhile because nothing is left to claim.
        let _ = self.app.meter.reconcile(channel, view.escrow);
        // Whoever has the channel's turn reads it when it is needed; the meter knows already.
        if let Ok(mut seat) = self.app.seats.of(channel).try_lock() {
            *seat = Some(view);
        }
        Ok(self.app.meter.channel(channel).is_some_and(|known| known.charged > view.escrow.covers()))
    }

    fn known_claimed(&self, channel: B256) -> Option<Amount> {
        Some(self.app.meter.channel(channel)?.escrow?.total_claimed)
    }

    /// Reads the channels again whose claims should be final by now: one that a reorganisation undid is claimed anew, and
    /// its till is looked at anew.
    async fn confirm(&mut self) -> Result<(), LedgerError> {
        if self.unconfirmed.is_empty() {
            return Ok(());
        }
        let last = self.app.client.chain().final_head().await?.number;
        for (channel, (till, block)) in self.unconfirmed.clone() {
            if block <= last {
                let before = self.known_claimed(channel);
                self.try_reconcile(channel).await?;
                if self.known_claimed(channel) < before {
                    tracing::warn!(%channel, "the claim was taken back by a reorganisation; it is made again");
                    self.app.client.reorganised(&self.app.account).await?;
                }
                self.unconfirmed.remove(&channel);
                self.unswept.insert(till);
            }
        }
        Ok(())
    }

    /// Looks which models may still be served, and at which price.
    async fn renew_offers(&self) {
        for service in self.app.services.values() {
            service.renew(&self.app.client).await;
        }
    }

    /// Claims what is due, settles and sweeps. With `all`, due is what is worth its gas.
    async fn settle(&mut self, all: bool) {
        if let Err(error) = self.try_settle(all).await {
            tracing::warn!(%error, "settling was interrupted; it goes on at the next look");
        }
    }

    async fn try_settle(&mut self, all: bool) -> Result<(), SettlementError> {
        // However long the ledger is away: an epoch is not to outgrow what a reader of it takes.
        if self.app.meter.uses() >= EPOCH_USES {
            self.publish(true).await?;
        }
        self.app.gas.renew(&self.app.client, &self.app.account).await?;
        self.confirm().await?;
        let batches = tokio::task::block_in_place(|| self.app.meter.redeemable(Amount(1)))?;
        let rows: Vec<VoucherClaim> = batches.into_iter().flatten().collect();
        let known: BTreeMap<B256, ChannelState> =
            self.app.meter.channels().into_iter().map(|channel| (channel.channel_id, channel)).collect();
        let mut still_waiting = HashMap::new();
        let mut waiting = Vec::with_capacity(rows.len());
        for row in &rows {
            let channel = row.signed.voucher.channelId;
            let charged_at = known.get(&channel).and_then(|state| state.last_charged_at_s);
            let since = self.waiting_since_s.get(&channel).copied();
            let since = since.or(charged_at).unwrap_or_else(now_s);
            still_waiting.insert(channel, since);
            // Only what the rest does not cover: no more is ever charged than it does (CH-3).
            let covers = known.get(&channel).and_then(|state| state.escrow).map(|escrow| escrow.covers());
            let withdrawing = covers.is_some_and(|covers| row.total_claimed > covers);
            let delay_s: u64 = row.config.withdrawDelay.to();
            let late = withdrawing || now_s().saturating_sub(since) >= delay_s / 4;
            waiting.push(Waiting { raise: row.raise, late, withdrawing });
        }
        self.waiting_since_s = still_waiting;
        let verdicts = judge(&waiting, |gas| self.app.gas.of(gas), all);
        let mut due = Vec::new();
        for (row, verdict) in rows.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Due => due.push(row),
                Verdict::NotYet => {}
                Verdict::WrittenOff => self.write_off(row.signed.voucher.channelId, "less than its gas")?,
            }
        }
        for (channel, state) in known {
            // Withdrawn before it was claimed: no voucher brings it any more.
            if state.escrow.is_some_and(|escrow| escrow.balance <= escrow.total_claimed) {
                self.write_off(channel, "it is no longer in the channel")?;
            }
        }
        // The rows were made before the epoch is closed, so its records cover them.
        let long = self.epoch_began.elapsed() >= self.rules.epoch;
        self.publish(all || long || !due.is_empty()).await?;
        for batch in due.chunks(CLAIM_ROWS) {
            self.claim(batch).await?;
        }
        Ok(self.sweep().await?)
    }

    /// Gives up what was charged on a channel and not claimed: recorded, told with the uses, and unclaimed no more.
    fn write_off(&self, channel: B256, why: &str) -> Result<(), SettlementError> {
        let amount = tokio::task::block_in_place(|| self.app.meter.write_off(channel, now_s()))?;
        if amount > Amount::ZERO {
            tracing::info!(%channel, %amount, why, "written off");
        }
        Ok(())
    }

    /// Closes the epoch if that is wanted and anything was used in it; publishes every closed epoch and commits to it.
    async fn publish(&mut self, close: bool) -> Result<(), EpochError> {
        let App { client, account, meter, .. } = &*self.app;
        let till_at = |receiver| self.app.till_paid(receiver);
        let PublishedEpochs { closed, standing } =
            client.publish_epochs(account, meter, self.first_epoch, close, till_at).await?;
        if closed {
            self.epoch_began = Instant::now();
        }
        for epoch in standing {
            tracing::warn!(epoch, "the ledger knows more of this epoch than the log; it stands as it is");
        }
        Ok(())
    }

    async fn claim(&mut self, rows: &[VoucherClaim]) -> Result<(), LedgerError> {
        let outcome = self.app.client.claim_rows(&self.app.account, rows).await?;
        for (channel, error) in outcome.refused {
            tracing::error!(%channel, %error, "the ledger would not take this claim; the channel is read again");
            self.reconcile(channel).await;
        }
        let tills: BTreeMap<B256, Address> =
            rows.iter().map(|row| (row.signed.voucher.channelId, row.config.receiver)).collect();
        self.unswept.extend(tills.values());
        for (channel, total) in outcome.claimed {
            // Known, since the row came from there.
            let _ = self.app.meter.claimed(channel, total);
            self.waiting_since_s.remove(&channel);
            self.unconfirmed.insert(channel, (tills[&channel], outcome.block));
            self.reconcile(channel).await;
        }
        Ok(())
    }

    /// Settles and sweeps every till that something was claimed or paid for, when that is worth its gas.
    async fn sweep(&mut self) -> Result<(), LedgerError> {
        self.unswept.extend(self.app.paid_tills());
        let (client, token) = (&self.app.client, self.app.client.currency().token);
        for receiver in self.unswept.clone() {
            if let Some(till) = self.app.till_paid(receiver).await? {
                let waiting = client.waiting_for(&till, token).await?;
                if waiting > Amount::ZERO && waiting < self.app.gas.of(SWEEP_GAS) {
                    continue;
                }
                if waiting > Amount::ZERO && till.operator_bps > 0 && !client.is_granted(&till).await? {
                    // Parents and shares are owed theirs all the same.
                    let (asset, operator_bps) = (till.asset, till.operator_bps);
                    tracing::warn!(%asset, operator_bps, "the operator's part is not granted any more: it gets nothing of this");
                }
                match client.settle_and_sweep(&self.app.account, &till, token).await {
                    Ok(_) => {}
                    Err(error) if error.is_refusal() => {
                        tracing::warn!(%error, asset = %till.asset, "the till is not swept");
                    }
                    Err(error) => return Err(error),
                }
            }
            self.unswept.remove(&receiver);
        }
        Ok(())
    }
}

/// Returns when it is said, or whoever could say it is gone.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The inference tills whose addresses were looked for.
#[derive(Debug, Default)]
pub(crate) struct Tills {
    /// The own tills of the assets that are listed, as far as the list was read.
    own: Mutex<OwnTills>,
    /// Those that this gateway's account was granted a part of before it began, by whoever. One long reading of logs.
    granted: OnceCell<HashMap<Address, Till>>,
}

#[derive(Debug, Default)]
struct OwnTills {
    by_address: HashMap<Address, Till>,
    read: usize,
}

impl App {
    /// The inference till at an address, of what is served here or of an asset without an operator.
    pub(crate) async fn till_at(&self, receiver: Address) -> Result<Option<Till>, LedgerError> {
        if let Some(served) = self.services.values().find(|service| service.receiver == receiver) {
            return Ok(Some(served.till));
        }
        let mut own = self.tills.own.lock().await;
        if !own.by_address.contains_key(&receiver) {
            let listed = self.listing.all(&self.client).await?;
            for asset in &listed[own.read..] {
                let till = Till::own(*asset, RevenueKind::Inference);
                own.by_address.insert(self.client.till_address(&till), till);
            }
            own.read = listed.len();
        }
        Ok(own.by_address.get(&receiver).copied())
    }

    /// The same for one that the log says was paid: also one with this gateway's account as its operator, from before.
    async fn till_paid(&self, receiver: Address) -> Result<Option<Till>, LedgerError> {
        if let Some(till) = self.till_at(receiver).await? {
            return Ok(Some(till));
        }
        let granted = self.tills.granted.get_or_try_init(async || {
            let granted = self.client.granted_tills(None, Some(self.account.address())).await?;
            let inference = granted.into_iter().filter(|till| till.kind == RevenueKind::Inference);
            Ok::<_, LedgerError>(inference.map(|till| (self.client.till_address(&till), till)).collect())
        });
        Ok(granted.await?.get(&receiver).copied())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A unit of the currency for a gas.
    fn one(gas: u64) -> Amount {
        Amount(gas.into())
    }

    fn row(raise: u64) -> Waiting {
        Waiting { raise: Amount(raise.into()), late: false, withdrawing: false }
    }

    const ALONE: u64 = ROW_GAS + BATCH_GAS;
    const ENOUGH: u64 = 50 * (ALONE + SWEEP_GAS);

    #[test]
    fn a_batch_is_claimed_when_it_is_worth_it_and_a_row_when_it_is_late_and_none_below_its_gas() {
        use Verdict::{Due, NotYet, WrittenOff};
        let late = |raise| Waiting { late: true, ..row(raise) };
        let withdrawing = |raise| Waiting { withdrawing: true, ..late(raise) };
        let judged = |rows: &[Waiting]| judge(rows, one, false);
        assert_eq!(judged(&[row(ENOUGH - 1)]), [NotYet]);
        assert_eq!(judged(&[row(ENOUGH)]), [Due]);
        assert_eq!(judged(&[late(ALONE), row(ALONE)]), [Due, NotYet], "the other is not late");
        assert_eq!(judged(&[late(ALONE - 1)]), [NotYet], "it may grow still");
        assert_eq!(judged(&[withdrawing(ALONE)]), [Due]);
        assert_eq!(judged(&[withdrawing(ALONE - 1)]), [WrittenOff]);
        // Two bear what the batch takes together.
        let half = ROW_GAS + BATCH_GAS / 2;
        assert_eq!(judged(&[late(half), withdrawing(half)]), [Due, Due]);
        assert_eq!(judged(&[late(half), withdrawing(half - 1)]), [NotYet, WrittenOff]);
        // In company it is not lost; without need no small row is claimed.
        assert_eq!(judged(&[withdrawing(half), row(half)]), [Due, Due]);
        assert_eq!(judged(&[row(half), row(half)]), [NotYet, NotYet]);
        assert_eq!(judge(&[row(half), row(half), row(ROW_GAS)], one, true), [Due, Due, NotYet]);
        // What all raise counts, whichever raises it.
        let many = vec![row(60 * ROW_GAS); 100];
        assert_eq!(judged(&many), vec![Due; 100]);
        assert_eq!(judge(&[row(1)], |_| Amount::ZERO, false), [Due], "gas is for nothing");
        assert_eq!(judged(&[]), []);
    }

    proptest! {
        /// No transaction of a settlement costs more than it raises, and no row in it less than its own gas.
        #[test]
        fn no_claim_costs_more_than_it_raises(
            raises in proptest::collection::vec((0..60_000_u64, 0..3_u8), 0..260),
            all in any::<bool>(),
        ) {
            let mut rows: Vec<_> = raises
                .iter()
                .map(|(raise, how)| Waiting { late: *how > 0, withdrawing: *how > 1, ..row(*raise) })
                .collect();
            // As the meter gives them.
            rows.sort_by_key(|row| std::cmp::Reverse(row.raise));
            let verdicts = judge(&rows, one, all);
            let due: Vec<_> =
                rows.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Due).collect();
            for batch in due.chunks(CLAIM_ROWS) {
                let raised: u128 = batch.iter().map(|(row, _)| row.raise.0).sum();
                prop_assert!(raised >= one(batches_gas(batch.len())).0);
                prop_assert!(batch.iter().all(|(row, _)| row.raise.0 >= u128::from(ROW_GAS)));
            }
            for (row, verdict) in rows.iter().zip(verdicts) {
                prop_assert_eq!(verdict == Verdict::WrittenOff, verdict != Verdict::Due && row.withdrawing);
                prop_assert!(!row.withdrawing || row.raise < one(ALONE) || verdict == Verdict::Due);
            }
        }
    }
}
