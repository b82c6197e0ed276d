//! The money of vouchers, brought to the ledger by itself.
//!
//! A channel's vouchers are claimed when what they raise is [`WORTH`] times what their row costs in gas, when the oldest
//! has waited for a quarter of the channel's withdraw delay, or at once when the payer asks to withdraw; and never when
//! they raise less than their row costs. Then the till is settled and swept. Each step may be repeated: a crash between
//! any two loses nothing and pays nothing twice (CH-1).
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
use residual_meter::{ChannelState, CommitError, VoucherClaim};
use residual_primitives::{Address, Amount, AssetId, B256, RevenueKind, U256};
use tokio::sync::{mpsc, oneshot, watch};

use crate::App;

/// How many times its own gas a row must raise to be claimed before its time.
const WORTH: u128 = 50;

/// Gas of one more row in a claim, rounded up (`contracts/gas.json`, voucher of a batch).
const ROW_GAS: u128 = 20_000;

/// How many uses an epoch has before it is closed, whatever its age.
const EPOCH_USES: u64 = 1_000_000;

/// The wei of a coin.
const COIN_WEI: u128 = 1_000_000_000_000_000_000;

/// When and how vouchers are claimed.
#[derive(Debug, Clone, Copy)]
pub struct SettlementRules {
    /// What a whole coin of the chain (10^18 wei) costs, in the currency's smallest unit; zero where gas is for nothing.
    pub coin_price: Amount,
    /// How often is looked what is due.
    pub interval: Duration,
    /// How long an epoch may last when nothing is claimed.
    pub epoch: Duration,
}

impl Default for SettlementRules {
    fn default() -> Self {
        Self {
            coin_price: Amount::ZERO,
            interval: Duration::from_secs(10),
            epoch: Duration::from_secs(60 * 60),
        }
    }
}

/// What a row costs in the currency, rounded up; the most that an amount says when it is more.
fn row_cost(rules: &SettlementRules, wei_per_gas: u128) -> Amount {
    let wei = U256::from(ROW_GAS) * U256::from(wei_per_gas);
    let units = (wei * U256::from(rules.coin_price.0)).div_ceil(U256::from(COIN_WEI));
    Amount(units.saturating_to())
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
}

/// Why a row is claimed now, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Due,
    NotYet,
    /// It has waited long enough and is worth less than its gas.
    WrittenOff,
}

/// The rules for one row: what it raises, what it costs, how long its oldest charge has waited, and whether the payer
/// wants the money back.
fn verdict(raise: Amount, cost: Amount, waited_s: u64, withdraw_delay_s: u64, withdrawing: bool) -> Verdict {
    let late = withdrawing || waited_s >= withdraw_delay_s / 4;
    if raise < cost {
        return if late { Verdict::WrittenOff } else { Verdict::NotYet };
    }
    if late || raise.0 >= cost.0.saturating_mul(WORTH) { Verdict::Due } else { Verdict::NotYet }
}

/// The work in the background of one gateway.
pub(crate) struct Settlement {
    app: Arc<App>,
    rules: SettlementRules,
    /// Since when each channel has had something to claim, in UNIX seconds.
    waiting_since_s: HashMap<B256, u64>,
    /// Channels whose payers ask to withdraw.
    withdrawing: BTreeSet<B256>,
    /// Written off and said so.
    written_off: BTreeSet<B256>,
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
            withdrawing: BTreeSet::new(),
            written_off: BTreeSet::new(),
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
        let from_block = self.begin().await;
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
        loop {
            tokio::select! {
                () = told(&mut stop) => break,
                found = Self::next(&mut watch) => self.noticed(&found).await,
                _ = look.tick() => self.settle(false).await,
                Some(done) = asked.recv() => {
                    self.settle(true).await;
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
            }
        }
        self.settle(true).await;
    }

    /// Reconciles the channels that were charged before this start; from which block on to watch the others.
    async fn begin(&mut self) -> u64 {
        let from_block = loop {
            match self.app.client.chain().final_head().await {
                Ok(head) => break head.number,
                Err(error) => {
                    tracing::warn!(%error, "the ledger does not answer; looking again");
                    tokio::time::sleep(self.rules.interval).await;
                }
            }
        };
        for channel in self.app.meter.channels() {
            self.reconcile(channel.channel_id).await;
        }
        // What an earlier process claimed may not be swept yet.
        self.unswept.extend(self.app.services.values().map(|service| service.receiver));
        from_block
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

    /// Takes over what the ledger says of a channel; whether a withdrawal is pending.
    async fn reconcile(&mut self, channel: B256) -> bool {
        let view = match self.app.client.confirmed_channel(channel).await {
            Ok(view) => view,
            Err(error) => {
                tracing::warn!(%channel, %error, "the channel was not read; it is when it is used next");
                return false;
            }
        };
        // It is known, or was dropped meanwhile because nothing is left to claim.
        let _ = self.app.meter.reconcile(channel, view.escrow);
        // Whoever has the channel's turn reads it when it is needed; the meter knows already.
        if let Ok(mut seat) = self.app.seats.of(channel).try_lock() {
            *seat = Some(view);
        }
        let pending = view.withdraw_requested_at_s.is_some();
        if pending {
            self.withdrawing.insert(channel);
        } else {
            self.withdrawing.remove(&channel);
        }
        pending
    }

    /// Claims what is due, settles and sweeps. With `all`, due is what is worth its gas.
    async fn settle(&mut self, all: bool) {
        if let Err(error) = self.try_settle(all).await {
            tracing::warn!(%error, "settling was interrupted; it goes on at the next look");
        }
    }

    async fn try_settle(&mut self, all: bool) -> Result<(), SettlementError> {
        let head = self.app.client.chain().head().await.map_err(LedgerError::from)?;
        let cost = row_cost(&self.rules, head.base_fee_wei.unwrap_or_default());
        let batches = tokio::task::block_in_place(|| self.app.meter.redeemable(Amount(1)))?;
        let rows: Vec<VoucherClaim> = batches.into_iter().flatten().collect();
        let known: BTreeMap<B256, ChannelState> =
            self.app.meter.channels().into_iter().map(|channel| (channel.channel_id, channel)).collect();
        let mut due = Vec::new();
        let mut still_waiting = HashMap::new();
        for row in rows {
            let channel = row.signed.voucher.channelId;
            let charged_at = known.get(&channel).and_then(|state| state.last_charged_at_s);
            let since = self.waiting_since_s.get(&channel).copied();
            let since = since.or(charged_at).unwrap_or_else(now_s);
            still_waiting.insert(channel, since);
            let waited = now_s().saturating_sub(since);
            let withdrawing = self.withdrawing.contains(&channel);
            match verdict(row.raise, cost, waited, row.config.withdrawDelay.to(), withdrawing) {
                Verdict::Due => due.push(row),
                Verdict::NotYet if all && row.raise >= cost => due.push(row),
                Verdict::NotYet => {}
                Verdict::WrittenOff => {
                    if self.written_off.insert(channel) {
                        tracing::info!(%channel, raise = %row.raise, gas = %cost, "written off: less than its gas");
                    }
                }
            }
        }
        self.waiting_since_s = still_waiting;
        // The rows were made before the epoch is closed, so its records cover them.
        let long = self.epoch_began.elapsed() >= self.rules.epoch || self.app.meter.uses() >= EPOCH_USES;
        self.publish(all || long || !due.is_empty()).await?;
        for batch in due.chunks(residual_meter::CLAIM_ROWS) {
            self.claim(batch).await?;
        }
        Ok(self.sweep().await?)
    }

    /// Closes the epoch if that is wanted and anything was used in it; publishes every closed epoch and commits to it.
    async fn publish(&mut self, close: bool) -> Result<(), EpochError> {
        let App { client, account, meter, .. } = &*self.app;
        let till_at = |receiver| self.app.till_at(receiver);
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
        for row in rows {
            self.unswept.insert(row.config.receiver);
        }
        for (channel, total) in outcome.claimed {
            // Known, since the row came from there.
            let _ = self.app.meter.claimed(channel, total);
            self.waiting_since_s.remove(&channel);
            self.reconcile(channel).await;
        }
        Ok(())
    }

    /// Settles and sweeps every till that something was claimed or paid for.
    async fn sweep(&mut self) -> Result<(), LedgerError> {
        self.unswept.extend(self.app.paid_tills());
        let token = self.app.client.currency().token;
        for receiver in self.unswept.clone() {
            if let Some(till) = self.app.till_at(receiver).await? {
                match self.app.client.settle_and_sweep(&self.app.account, &till, token).await {
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

impl App {
    /// The till at an address: of what is served here, else of any asset, without an operator or with this gateway's.
    pub(crate) async fn till_at(&self, receiver: Address) -> Result<Option<Till>, LedgerError> {
        let served = self.services.values().map(|service| service.till);
        let known: Vec<AssetId> = self.listing.all(&self.client).await?;
        let others = known.into_iter().map(|asset| Till::own(asset, RevenueKind::Inference));
        Ok(served.chain(others).find(|till| self.client.till_address(till) == receiver))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn a_row_is_claimed_when_it_is_worth_it_or_late_or_wanted_back_and_never_below_its_gas() {
        let (cost, little, enough) = (Amount(10), Amount(499), Amount(500));
        assert_eq!(verdict(little, cost, 0, DAY, false), Verdict::NotYet);
        assert_eq!(verdict(enough, cost, 0, DAY, false), Verdict::Due);
        assert_eq!(verdict(little, cost, DAY / 4 - 1, DAY, false), Verdict::NotYet);
        assert_eq!(verdict(little, cost, DAY / 4, DAY, false), Verdict::Due);
        assert_eq!(verdict(little, cost, 0, DAY, true), Verdict::Due);
        assert_eq!(verdict(Amount(9), cost, 0, DAY, false), Verdict::NotYet);
        assert_eq!(verdict(Amount(9), cost, DAY, DAY, true), Verdict::WrittenOff);
        assert_eq!(verdict(cost, cost, DAY, DAY, true), Verdict::Due);
        assert_eq!(verdict(Amount(1), Amount::ZERO, 0, DAY, false), Verdict::Due, "gas is for nothing");
    }

    #[test]
    fn gas_is_weighed_in_the_currency_and_rounded_up() {
        // 20,000 gas at 1 gwei are 2 * 10^13 wei; at 3,000 dollars of 6 decimals a coin, 6 cents.
        let rules = SettlementRules { coin_price: Amount(3_000_000_000), ..SettlementRules::default() };
        assert_eq!(row_cost(&rules, 1_000_000_000), Amount(60_000));
        assert_eq!(row_cost(&rules, 1), Amount(1));
        assert_eq!(row_cost(&SettlementRules::default(), u128::MAX), Amount::ZERO);
        let dear = SettlementRules { coin_price: Amount(u128::MAX), ..rules };
        assert_eq!(row_cost(&dear, u128::MAX), Amount(u128::MAX));
    }
}
