//! The receiver's end of all channels of one gateway process: takes vouchers and ticks for charges, durably and once
//! each, and says what can be redeemed.
//!
//! What the ledger knows is never kept here: after a restart every channel waits to be reconciled before it is charged.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, MutexGuard},
    thread::{self, JoinHandle},
};

use alloy_primitives::{Address, B256};
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, TickOpen},
};

use crate::{
    books::{Books, Channel, Verdict, WindowVerdict, has_unit_price},
    channels::{Channels, PayerKey, SignedVoucher},
    charges::{Charge, ChargeError, Charged, RecordExactError, UnknownChannel, WindowError, WriteOffError},
    committer::{CommitError, Desk, Pending, State},
    durable::{self, FileError},
    escrow::Escrow,
    log::{BeginError, Log, LogError, Owner},
    record::{ChargeRecord, ExactRecord, Record, TickRecord, WindowRecord},
    segments::{SegmentError, Segments, Usage},
    ticks::{SignedTickOpen, Tick},
};

/// The most rows of one claim transaction.
pub const CLAIM_ROWS: usize = 100;

/// The withdraw delays that the contract takes, in seconds: 15 minutes to 30 days.
pub const WITHDRAW_DELAYS_S: RangeInclusive<u64> = 15 * 60..=30 * 24 * 60 * 60;

/// What a gateway serves and how much it risks.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The key of this gateway process, which claims and refunds; no two processes share one.
    pub receiver_authorizer: Address,
    /// The tokens that are taken, each with the most that may be charged and not claimed yet over all its channels.
    pub unclaimed_caps: BTreeMap<Address, Amount>,
    /// The shortest withdraw delay that is served, in seconds; at least a day for a public gateway.
    pub min_withdraw_delay_s: u64,
    /// The most channels that are held in memory.
    pub max_channels: usize,
}

/// A channel as the meter knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelState {
    /// The channel's id.
    pub channel_id: B256,
    /// Its configuration.
    pub config: ChannelConfig,
    /// What the ledger said last; `None` after a restart, until it is asked again.
    pub escrow: Option<Escrow>,
    /// Charged so far, cumulative, and at least what was claimed.
    pub charged: Amount,
    /// By the highest voucher, which the next one must exceed; zero before the first.
    pub promised: Amount,
    /// The open window of ticks.
    pub window: Option<WindowState>,
    /// When it was last charged, in UNIX seconds.
    pub last_charged_at_s: Option<u64>,
    /// Up to where what was charged and not claimed is given up; it counts as unclaimed no more.
    pub written_off_to: Amount,
}

/// An open window of ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowState {
    /// Its anchor.
    pub open: TickOpen,
    /// How many of its ticks were charged; the next has the index after it.
    pub used: u32,
}

/// One row of `Channels.claim`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoucherClaim {
    /// The channel.
    pub config: ChannelConfig,
    /// Its highest voucher and the signature, whose `v` is the right one.
    pub signed: SignedVoucher,
    /// What the channel's claimed total is to become: what was charged, within voucher and balance.
    pub total_claimed: Amount,
    /// By how much the claim raises it.
    pub raise: Amount,
}

/// What opening found in the newest segment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Channels that were charged before; each must be reconciled before it is charged again.
    pub channels: usize,
    /// Uses in the segment.
    pub charges: u64,
    /// Bytes that a crash left of charges that were never acknowledged; they are cut off.
    pub torn_bytes: u64,
}

/// Why a meter cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenMeterError {
    /// The directory cannot be used, or another process uses it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log is damaged or another's.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The system gives no thread.
    #[error("cannot start the thread that flushes the log: {0}; end other processes and try again")]
    Thread(#[source] io::Error),
}

/// Why the next segment was not begun.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// It could not be written; the one before goes on.
    #[error("the log goes on in the segment it is in: {0}")]
    Kept(#[source] FileError),
    /// The meter cannot go on.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a channel is not served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenChannelError {
    /// A contract wallet could unsay its vouchers.
    #[error("expected a payerAuthorizer, found zero; open a channel whose vouchers a key signs")]
    NoAuthorizer,
    /// Payer or receiver is zero, so the contract takes no such channel.
    #[error("expected a payer and a receiver, found a zero address; open a channel that names both")]
    Incomplete,
    /// Another gateway's channel.
    #[error("expected receiverAuthorizer {expected}, found {found}; open a channel toward this gateway")]
    OtherAuthorizer {
        /// This gateway's.
        expected: Address,
        /// The channel's.
        found: Address,
    },
    /// A token that is not taken.
    #[error(
        "expected a token that this gateway takes, found {found}; ask it for its prices and open a channel in one of those"
    )]
    Token {
        /// The channel's.
        found: Address,
    },
    /// There would be too little time to claim, or the contract takes no such channel.
    #[error(
        "expected a withdraw delay of {min_s} to {max_s} seconds, found {found_s}; open a channel within these bounds"
    )]
    WithdrawDelay {
        /// The shortest served.
        min_s: u64,
        /// The longest there is.
        max_s: u64,
        /// The channel's.
        found_s: u64,
    },
    /// The gateway is full of channels that were charged.
    #[error("expected fewer than {max} open channels, found as many; try again later or use another gateway")]
    TooMany {
        /// The most that are held.
        max: usize,
    },
}

/// All channels of one gateway process. Shared by reference between threads; of each change there is a form that blocks
/// until it is durable, and one, `submit`, that answers a future. What arrives while the disk flushes is flushed together.
#[derive(Debug)]
pub struct Meter {
    channels: Channels,
    rules: Rules,
    desk: Arc<Desk>,
    segments: Segments,
    recovery: Recovery,
    committer: Option<JoinHandle<()>>,
    _lock: File,
}

impl Meter {
    /// Opens the meter in `dir`, which no other process may use meanwhile, and recovers what it charged before.
    ///
    /// # Errors
    /// [`OpenMeterError`]; the log has not been changed then.
    pub fn open(dir: &Path, channels: Channels, rules: Rules) -> Result<Self, OpenMeterError> {
        let lock = durable::lock(dir, "lock")?;
        let segments = Segments::new(dir, Owner::new(&channels, rules.receiver_authorizer));
        let mut books = Books::new(channels.clone(), rules.receiver_authorizer);
        let opened = segments.open(&mut books)?;
        let recovery = Recovery {
            channels: books.channels().len(),
            charges: opened.charges,
            torn_bytes: opened.torn_bytes,
        };
        let desk = Arc::new(Desk::new(books, opened.log, opened.charges));
        let at = Arc::clone(&desk);
        let committer = thread::Builder::new()
            .name("meter-committer".to_owned())
            .spawn(move || at.serve())
            .map_err(OpenMeterError::Thread)?;
        Ok(Self { channels, rules, desk, segments, recovery, committer: Some(committer), _lock: lock })
    }

    /// What opening found.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Serves a channel from now on. `escrow` is what the ledger has confirmed (CH-3). Opening an open channel again
    /// reconciles it. Nothing is written before the first charge. When as many are open as may be, the oldest that was
    /// never charged is forgotten: whoever comes back to it opens it again.
    ///
    /// # Errors
    /// [`OpenChannelError`]; nothing has changed then.
    pub fn open_channel(&self, config: &ChannelConfig, escrow: Escrow) -> Result<B256, OpenChannelError> {
        self.check_config(config)?;
        let channel_id = self.channels.channel_id(config);
        let mut state = self.desk.lock();
        let open = state.books.channels();
        let is_full = open.len() >= self.rules.max_channels && !open.contains_key(&channel_id);
        if is_full && !state.books.forget_untouched() {
            return Err(OpenChannelError::TooMany { max: self.rules.max_channels });
        }
        state.books.open_channel(channel_id, config);
        state.reconcile(channel_id, |known| *known = Some(escrow)).expect("it was opened under this lock");
        Ok(channel_id)
    }

    fn check_config(&self, config: &ChannelConfig) -> Result<(), OpenChannelError> {
        if !config.can_be_served() {
            return Err(OpenChannelError::NoAuthorizer);
        }
        if config.payer == Address::ZERO || config.receiver == Address::ZERO {
            return Err(OpenChannelError::Incomplete);
        }
        let (expected, found) = (self.rules.receiver_authorizer, config.receiverAuthorizer);
        if found != expected {
            return Err(OpenChannelError::OtherAuthorizer { expected, found });
        }
        if !self.rules.unclaimed_caps.contains_key(&config.token) {
            return Err(OpenChannelError::Token { found: config.token });
        }
        let (min_s, max_s) = (self.rules.min_withdraw_delay_s, *WITHDRAW_DELAYS_S.end());
        let found_s = config.withdrawDelay.to();
        if !(min_s..=max_s).contains(&found_s) {
            return Err(OpenChannelError::WithdrawDelay { min_s, max_s, found_s });
        }
        Ok(())
    }

    /// Takes over what the ledger has confirmed about a channel. Needed for each channel once after opening, and
    /// whenever it was deposited to, withdrawn or refunded from, claimed, or a withdrawal was asked for.
    ///
    /// # Errors
    /// When the channel is not known.
    pub fn reconcile(&self, channel_id: B256, escrow: Escrow) -> Result<(), UnknownChannel> {
        self.desk.lock().reconcile(channel_id, |known| *known = Some(escrow))
    }

    /// Takes over that the channel's claimed total has become `total`, as the event `Claimed` says; a lower total than
    /// the known one is an older event and changes nothing. A channel that waits to be reconciled goes on waiting.
    ///
    /// # Errors
    /// When the channel is not known.
    pub fn claimed(&self, channel_id: B256, total: Amount) -> Result<(), UnknownChannel> {
        self.desk.lock().reconcile(channel_id, |known| {
            if let Some(escrow) = known {
                escrow.total_claimed = escrow.total_claimed.max(total);
            }
        })
    }

    /// The state of one channel.
    #[must_use]
    pub fn channel(&self, channel_id: B256) -> Option<ChannelState> {
        self.desk.lock().books.channels().get(&channel_id).map(|channel| state_of(channel_id, channel))
    }

    /// All channels, in the order of their ids; after a restart those to be reconciled.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelState> {
        let state = self.desk.lock();
        state.books.channels().iter().map(|(id, channel)| state_of(*id, channel)).collect()
    }

    /// The highest voucher of a channel, as it can be claimed with. It takes a recovery of the key.
    #[must_use]
    pub fn highest(&self, channel_id: B256) -> Option<SignedVoucher> {
        let (signed, signer) = {
            let state = self.desk.lock();
            let channel = state.books.channels().get(&channel_id)?;
            (channel.highest.clone()?, channel.config.payerAuthorizer)
        };
        Some(self.channels.with_right_v(signed, signer))
    }

    /// Whether [`Meter::accept`] would take the voucher for the charge now. Nothing is reserved.
    ///
    /// # Errors
    /// [`ChargeError`], as `accept` would.
    pub fn check(&self, signed: &SignedVoucher, charge: &Charge) -> Result<(), ChargeError> {
        let known = {
            let state = self.desk.lock();
            state.books.judge_voucher(&self.rules.unclaimed_caps, signed, charge)?;
            Signer::of(&state, signed)?
        };
        self.check_signature(signed, known)?;
        Ok(())
    }

    /// Charges one use to the channel of the voucher. When it returns, the charge is durable and can be claimed, so the
    /// answer may go (MET-1). A request id that was charged before is answered again without a second charge when
    /// digest and voucher are the same, and refused when not (MET-2); see [`REMEMBERED_CHARGES`].
    ///
    /// [`REMEMBERED_CHARGES`]: crate::REMEMBERED_CHARGES
    ///
    /// # Errors
    /// [`ChargeError`]; the use must not be served then.
    pub fn accept(&self, signed: &SignedVoucher, charge: &Charge) -> Result<Charged, ChargeError> {
        let (state, ticket, charged) = self.charge(signed, charge)?;
        drop(self.desk.commit(state, ticket)?);
        Ok(charged)
    }

    /// As [`Meter::accept`], but does not wait: the answer may go once the future has resolved.
    ///
    /// # Errors
    /// [`ChargeError`]; the use must not be served then.
    pub fn submit(&self, signed: &SignedVoucher, charge: &Charge) -> Result<Pending<Charged>, ChargeError> {
        let (state, ticket, charged) = self.charge(signed, charge)?;
        Ok(self.desk.submit(state, ticket, charged))
    }

    fn charge(
        &self,
        signed: &SignedVoucher,
        charge: &Charge,
    ) -> Result<(MutexGuard<'_, State>, u64, Charged), ChargeError> {
        // Outside the lock, since it is what takes the time; whatever else could refuse the voucher is asked before,
        // being cheaper, and again after, being able to change.
        self.check(signed, charge)?;
        let state = self.desk.lock();
        let verdict = state.books.judge_voucher(&self.rules.unclaimed_caps, signed, charge)?;
        let record = |charged_total| {
            Record::Charged(ChargeRecord {
                signed: signed.clone(),
                charged_total,
                amount: charge.amount,
                units: charge.units,
                request_id: charge.request_id,
                request_digest: charge.request_digest,
                at_s: charge.at_s,
            })
        };
        Ok(carry_out(state, Some(signed.voucher.channelId), verdict, charge.amount, record)?)
    }

    /// Whether [`Meter::tick`] would take the tick for the charge now. Nothing is reserved.
    ///
    /// # Errors
    /// [`ChargeError`], as `tick` would.
    pub fn check_tick(&self, tick: &Tick, charge: &Charge) -> Result<(), ChargeError> {
        self.desk.lock().books.judge_tick(&self.rules.unclaimed_caps, tick, charge).map(drop)
    }

    /// Charges one use to the window of the tick's channel, at the window's price. When it returns, the charge is durable
    /// and can be claimed, so the answer may go (MET-1). A request id that was charged before is answered again without a
    /// second charge when digest and tick are the same, and refused when not (MET-2); see [`REMEMBERED_TICKS`].
    ///
    /// [`REMEMBERED_TICKS`]: crate::REMEMBERED_TICKS
    ///
    /// # Errors
    /// [`ChargeError`]; the use must not be served then.
    pub fn tick(&self, tick: &Tick, charge: &Charge) -> Result<Charged, ChargeError> {
        let (state, ticket, charged) = self.charge_tick(tick, charge)?;
        drop(self.desk.commit(state, ticket)?);
        Ok(charged)
    }

    /// As [`Meter::tick`], but does not wait: the answer may go once the future has resolved.
    ///
    /// # Errors
    /// [`ChargeError`]; the use must not be served then.
    pub fn submit_tick(&self, tick: &Tick, charge: &Charge) -> Result<Pending<Charged>, ChargeError> {
        let (state, ticket, charged) = self.charge_tick(tick, charge)?;
        Ok(self.desk.submit(state, ticket, charged))
    }

    fn charge_tick(
        &self,
        tick: &Tick,
        charge: &Charge,
    ) -> Result<(MutexGuard<'_, State>, u64, Charged), ChargeError> {
        let state = self.desk.lock();
        let verdict = state.books.judge_tick(&self.rules.unclaimed_caps, tick, charge)?;
        let record = |_| {
            Record::Ticked(TickRecord {
                channel_id: tick.channel_id,
                index: tick.index,
                preimage: tick.preimage,
                units: charge.units,
                request_id: charge.request_id,
                request_digest: charge.request_digest,
                at_s: charge.at_s,
            })
        };
        Ok(carry_out(state, Some(tick.channel_id), verdict, charge.amount, record)?)
    }

    /// Opens a window of ticks on a channel, which is counted from what is charged so far. `voucher` promises exactly what
    /// all of them cost. Until the window is used up or closed, the channel is charged by its ticks alone. To open the
    /// same again changes nothing. What a use is, and at what price, the caller compares with its own terms.
    ///
    /// # Errors
    /// [`WindowError`]; nothing has changed then, unless the log has failed.
    pub fn open_window(&self, signed: &SignedTickOpen, voucher: &SignedVoucher) -> Result<(), WindowError> {
        let (state, ticket) = self.begin_window(signed, voucher)?;
        drop(self.desk.commit(state, ticket)?);
        Ok(())
    }

    /// As [`Meter::open_window`], but does not wait.
    ///
    /// # Errors
    /// As [`Meter::open_window`].
    pub fn submit_window(
        &self,
        signed: &SignedTickOpen,
        voucher: &SignedVoucher,
    ) -> Result<Pending<()>, WindowError> {
        let (state, ticket) = self.begin_window(signed, voucher)?;
        Ok(self.desk.submit(state, ticket, ()))
    }

    fn begin_window(
        &self,
        signed: &SignedTickOpen,
        voucher: &SignedVoucher,
    ) -> Result<(MutexGuard<'_, State>, u64), WindowError> {
        let (caps, open) = (&self.rules.unclaimed_caps, &signed.open);
        let known = {
            let state = self.desk.lock();
            state.books.judge_window(caps, open, voucher)?;
            Signer::of(&state, voucher)?
        };
        let key = self.check_signature(voucher, known)?;
        self.channels.verify_tick_open(signed, &key)?;
        let mut state = self.desk.lock();
        if let WindowVerdict::Repeated { ticket } = state.books.judge_window(caps, open, voucher)? {
            return Ok((state, ticket));
        }
        state.is_writable()?;
        state.issued += 1;
        state.introduce(open.channelId);
        state.enter(Record::WindowSigned { voucher: voucher.clone(), open: signed.signature });
        state.enter(Record::Window(WindowRecord { open: open.clone(), used: 0, tip: open.root }));
        let ticket = state.issued;
        Ok((state, ticket))
    }

    /// Ends the channel's window `root`; what is charged stands, and vouchers or another window go on from there. A
    /// voucher must exceed all that was promised before, the window's included; another window need not. A channel
    /// without a window stays as it is. Who may ask, the caller knows. Answers what is charged on the channel.
    ///
    /// # Errors
    /// [`WindowError::NotOpen`] when another window is open; when the channel is not known; when the log has failed.
    pub fn close_window(&self, channel_id: B256, root: B256) -> Result<Amount, WindowError> {
        let (state, ticket, charged) = self.end_window(channel_id, root)?;
        drop(self.desk.commit(state, ticket)?);
        Ok(charged)
    }

    /// As [`Meter::close_window`], but does not wait.
    ///
    /// # Errors
    /// As [`Meter::close_window`].
    pub fn submit_close(&self, channel_id: B256, root: B256) -> Result<Pending<Amount>, WindowError> {
        let (state, ticket, charged) = self.end_window(channel_id, root)?;
        Ok(self.desk.submit(state, ticket, charged))
    }

    fn end_window(
        &self,
        channel_id: B256,
        root: B256,
    ) -> Result<(MutexGuard<'_, State>, u64, Amount), WindowError> {
        let mut state = self.desk.lock();
        state.is_writable()?;
        let channel = state.books.channel(channel_id)?;
        let (charged, found) = (channel.charged, channel.window().map(|(open, _)| open.root));
        if let Some(found) = found {
            if found != root {
                return Err(WindowError::NotOpen { root });
            }
            state.issued += 1;
            state.enter(Record::WindowClosed { channel_id, root });
        }
        // Also what another call has closed is not durable before this.
        let ticket = state.issued;
        Ok((state, ticket, charged))
    }

    /// Records a use that was settled on the ledger by itself, so that the log has every use. `payment_id` names that
    /// payment: its transaction, or the hash of the authorization that was spent. A payment that was recorded before is
    /// answered without a second record when payer, request and charge are the same, and refused when not (MET-2); see
    /// [`REMEMBERED_EXACT`].
    ///
    /// [`REMEMBERED_EXACT`]: crate::REMEMBERED_EXACT
    ///
    /// # Errors
    /// [`RecordExactError`]; the use must not be served then.
    pub fn record_exact(
        &self,
        payer: Address,
        payment_id: B256,
        charge: &Charge,
    ) -> Result<Charged, RecordExactError> {
        let (state, ticket, charged) = self.begin_exact(payer, payment_id, charge)?;
        drop(self.desk.commit(state, ticket)?);
        Ok(charged)
    }

    /// As [`Meter::record_exact`], but does not wait: the answer may go once the future has resolved.
    ///
    /// # Errors
    /// [`RecordExactError`]; the use must not be served then.
    pub fn submit_exact(
        &self,
        payer: Address,
        payment_id: B256,
        charge: &Charge,
    ) -> Result<Pending<Charged>, RecordExactError> {
        let (state, ticket, charged) = self.begin_exact(payer, payment_id, charge)?;
        Ok(self.desk.submit(state, ticket, charged))
    }

    /// Whether [`Meter::record_exact`] would find the use recorded before. Nothing is recorded.
    ///
    /// # Errors
    /// [`RecordExactError`], as `record_exact` would.
    pub fn check_exact(
        &self,
        payer: Address,
        payment_id: B256,
        charge: &Charge,
    ) -> Result<bool, RecordExactError> {
        let exact = exact_record(payer, payment_id, charge)?;
        Ok(matches!(self.desk.lock().books.judge_exact(&exact)?, Verdict::Repeated { .. }))
    }

    fn begin_exact(
        &self,
        payer: Address,
        payment_id: B256,
        charge: &Charge,
    ) -> Result<(MutexGuard<'_, State>, u64, Charged), RecordExactError> {
        let exact = exact_record(payer, payment_id, charge)?;
        let amount = exact.amount;
        let state = self.desk.lock();
        let verdict = state.books.judge_exact(&exact)?;
        Ok(carry_out(state, None, verdict, amount, |_| Record::Exact(exact))?)
    }

    /// What can be claimed now, in batches that one transaction holds, largest raise first; rows that raise less than
    /// `at_least` (what their gas is worth) are left out. All of it is durable.
    ///
    /// # Errors
    /// When the log cannot be flushed.
    pub fn redeemable(&self, at_least: Amount) -> Result<Vec<Vec<VoucherClaim>>, CommitError> {
        let state = self.desk.lock();
        let ticket = state.issued;
        let state = self.desk.commit(state, ticket)?;
        let mut rows: Vec<_> = state.books.channels().values().filter_map(claim_of).collect();
        drop(state);
        rows.retain(|row| row.raise >= at_least);
        for row in &mut rows {
            row.signed = self.channels.with_right_v(row.signed.clone(), row.config.payerAuthorizer);
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.raise));
        Ok(rows.chunks(CLAIM_ROWS).map(<[_]>::to_vec).collect())
    }

    /// What can be claimed of one channel now; none when nothing can. All of it is durable.
    ///
    /// # Errors
    /// When the log cannot be flushed.
    pub fn claim_row(&self, channel_id: B256) -> Result<Option<VoucherClaim>, CommitError> {
        let state = self.desk.lock();
        let ticket = state.issued;
        let state = self.desk.commit(state, ticket)?;
        let mut row = state.books.channels().get(&channel_id).and_then(claim_of);
        drop(state);
        if let Some(row) = &mut row {
            row.signed = self.channels.with_right_v(row.signed.clone(), row.config.payerAuthorizer);
        }
        Ok(row)
    }

    /// Gives up what was charged on a channel and not claimed, since to claim it costs more than it brings, or it is no
    /// longer in the channel. It counts as unclaimed no more and is told with the uses of the epoch; a claim may take it
    /// all the same, should it be worth that one day. What is charged from now on counts as before. Blocks until it is
    /// durable; answers what was given up, zero when that was nothing new or the ledger was not asked yet.
    ///
    /// # Errors
    /// [`WriteOffError`].
    pub fn write_off(&self, channel_id: B256, at_s: u64) -> Result<Amount, WriteOffError> {
        let mut state = self.desk.lock();
        state.is_writable()?;
        let given_up = state.books.channel(channel_id)?.write_off(channel_id, at_s);
        let Some(given_up) = given_up else { return Ok(Amount::ZERO) };
        state.issued += 1;
        state.introduce(channel_id);
        state.enter(Record::WrittenOff(given_up));
        let ticket = state.issued;
        drop(self.desk.commit(state, ticket)?);
        Ok(given_up.amount)
    }

    /// The gateway's epoch: the number of the segment that is written.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.desk.lock().epoch
    }

    /// How many uses and write-offs the segment has that is written.
    #[must_use]
    pub fn uses(&self) -> u64 {
        self.desk.lock().uses
    }

    /// Bytes of the segment that is written, so that the caller knows when to begin the next.
    ///
    /// # Errors
    /// When the log has failed.
    pub fn log_bytes(&self) -> Result<u64, CommitError> {
        let (mut state, log) = self.desk.take_log(self.desk.lock())?;
        let bytes = log.bytes();
        state.log = Some(log);
        self.desk.announce(state);
        Ok(bytes)
    }

    /// Closes the segment that is written and begins the next, which starts with all that is remembered; answers the
    /// number of the one that was closed. Charges wait meanwhile. A channel that was not charged since `idle_since_s`
    /// (UNIX seconds; 0 leaves none out) is forgotten when all that it was promised to pay was claimed: it is to be
    /// opened again before it is charged again, and no voucher or window from before serves there (MET-2).
    ///
    /// # Errors
    /// [`RotateError`]; no acknowledged charge is lost.
    pub fn rotate(&self, idle_since_s: u64) -> Result<u64, RotateError> {
        let (mut state, mut log) = self.desk.take_log(self.desk.lock())?;
        let batch = std::mem::take(&mut state.unwritten);
        let ticket = state.issued;
        let snapshot = state.books.snapshot(idle_since_s);
        drop(state);
        let closed = log.header.number;
        let next = match log.append(&batch) {
            Ok(()) => self.segments.next(&log, &snapshot),
            Err(source) => Err(BeginError { source, intact: false }),
        };
        let mut state = self.desk.lock();
        let result = match next {
            Ok(next) => {
                state.books.forget_left_out();
                // What came while the log was away goes into the next segment.
                state.uses = state.unwritten.iter().filter(|record| record.is_use()).count() as u64;
                state.resume(next, ticket);
                Ok(closed)
            }
            Err(BeginError { source, intact: true }) => {
                state.books.keep_left_out();
                state.resume(log, ticket);
                Err(RotateError::Kept(source))
            }
            Err(BeginError { source, intact: false }) => Err(state.fail(source).into()),
        };
        self.desk.announce(state);
        result
    }

    /// The closed segments that were not discarded, in their order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn closed_segments(&self) -> Result<Vec<u64>, FileError> {
        let epoch = self.epoch();
        let mut numbers = self.segments.numbers()?;
        numbers.retain(|number| *number < epoch);
        Ok(numbers)
    }

    /// The uses of a closed segment, each once and in their order.
    ///
    /// # Errors
    /// [`SegmentError`], when it is not closed or cannot be read.
    pub fn read_segment(&self, number: u64) -> Result<Usage, SegmentError> {
        let books = Books::new(self.channels.clone(), self.rules.receiver_authorizer);
        self.segments.read(number, self.epoch(), books)
    }

    /// Removes the oldest closed segment, durably, whose uses are of use no more.
    ///
    /// # Errors
    /// [`SegmentError`], when it is not the oldest that is closed or cannot be removed.
    pub fn discard_segment(&self, number: u64) -> Result<(), SegmentError> {
        self.segments.discard(number, self.epoch())
    }

    /// Whether `signer` has signed the voucher. Of a channel that is open here that is looked at once for this and the
    /// charge that follows.
    ///
    /// # Errors
    /// [`SignatureError`](crate::SignatureError).
    pub fn verify(
        &self,
        signed: &SignedVoucher,
        signer: Address,
    ) -> Result<(), crate::channels::SignatureError> {
        let known = Signer::of(&self.desk.lock(), signed);
        match known {
            Ok(known) if known.address == signer => self.check_signature(signed, known).map(drop),
            _ => self.channels.verify(signed, signer),
        }
    }

    /// Checks the voucher's signature by the channel's key, or learns that by it.
    fn check_signature(
        &self,
        signed: &SignedVoucher,
        signer: Signer,
    ) -> Result<PayerKey, crate::channels::SignatureError> {
        let key = match signer.key {
            Some(key) if signer.checked => return Ok(key),
            Some(key) => self.channels.verify_known(signed, &key).map(|()| key)?,
            None => self.channels.learn_key(signed, signer.address)?,
        };
        self.desk.lock().books.learn_checked(signed, key);
        Ok(key)
    }
}

/// What is recorded of a use that was settled by itself.
fn exact_record(payer: Address, payment_id: B256, charge: &Charge) -> Result<ExactRecord, RecordExactError> {
    let Charge { request_id, request_digest, receiver, token, amount, units, at_s } = *charge;
    if !has_unit_price(amount, units) {
        return Err(RecordExactError::Units { amount, units });
    }
    Ok(ExactRecord { payment_id, payer, receiver, token, amount, units, request_id, request_digest, at_s })
}

impl Drop for Meter {
    /// What was submitted is flushed first.
    fn drop(&mut self) {
        self.desk.close();
        if let Some(committer) = self.committer.take() {
            // Had it panicked, nobody is left to be told.
            let _ = committer.join();
        }
    }
}

impl State {
    /// Carries out what was judged under the same lock; nothing in it can fail.
    fn enter(&mut self, record: Record) {
        self.books.enter(&record, self.issued).expect("it was judged under this lock");
        self.uses += u64::from(record.is_use());
        self.unwritten.push(record);
    }

    /// Makes the segment know of the channel that the next record names.
    fn introduce(&mut self, channel_id: B256) {
        for record in self.books.introduction(channel_id) {
            self.enter(record);
        }
    }

    fn is_writable(&self) -> Result<(), CommitError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Goes on with the log, in which all up to `ticket` is durable.
    fn resume(&mut self, log: Log, ticket: u64) {
        self.epoch = log.header.number;
        self.log = Some(log);
        self.durable = ticket;
    }

    fn reconcile(
        &mut self,
        channel_id: B256,
        change: impl FnOnce(&mut Option<Escrow>),
    ) -> Result<(), UnknownChannel> {
        // Nobody waits for it to be durable: after a restart it is found out anew.
        if let Some(record) = self.books.reconcile(channel_id, change)? {
            self.enter(record);
        }
        Ok(())
    }
}

/// Carries out what was judged under the lock that `state` is.
fn carry_out(
    mut state: MutexGuard<'_, State>,
    channel_id: Option<B256>,
    verdict: Verdict,
    amount: Amount,
    record: impl FnOnce(Amount) -> Record,
) -> Result<(MutexGuard<'_, State>, u64, Charged), CommitError> {
    match verdict {
        Verdict::Repeated { charged, ticket } => Ok((state, ticket, charged)),
        Verdict::New { charged_total } => {
            state.is_writable()?;
            state.issued += 1;
            if let Some(channel_id) = channel_id {
                state.introduce(channel_id);
            }
            state.enter(record(charged_total));
            let ticket = state.issued;
            Ok((state, ticket, Charged { repeated: false, amount, charged_total }))
        }
    }
}

/// Who signs for a voucher's channel.
struct Signer {
    address: Address,
    /// By which key, when that is known.
    key: Option<PayerKey>,
    /// Whether this very voucher, with this signature, was found good.
    checked: bool,
}

impl Signer {
    fn of(state: &State, signed: &SignedVoucher) -> Result<Self, UnknownChannel> {
        let channel = state.books.channel(signed.voucher.channelId)?;
        let checked = channel.checked.as_ref() == Some(signed);
        Ok(Self { address: channel.config.payerAuthorizer, key: channel.key, checked })
    }
}

fn state_of(channel_id: B256, channel: &Channel) -> ChannelState {
    ChannelState {
        channel_id,
        config: channel.config.clone(),
        escrow: channel.escrow,
        charged: channel.charged,
        promised: channel.promised(),
        window: channel.window().map(|(open, used)| WindowState { open: open.clone(), used }),
        last_charged_at_s: channel.last_charged_at_s,
        written_off_to: channel.written_off_to,
    }
}

/// The row that claims what was charged; `None` when nothing is to be claimed or the ledger was not asked yet.
fn claim_of(channel: &Channel) -> Option<VoucherClaim> {
    let (escrow, signed) = (channel.escrow?, channel.highest.clone()?);
    // A row above the balance would revert the whole batch. A pending withdrawal does not matter: claims go first.
    let total_claimed = channel.charged.min(signed.max_claimable()).min(escrow.balance);
    let raise = total_claimed.checked_sub(escrow.total_claimed).filter(|raise| *raise > Amount::ZERO)?;
    Some(VoucherClaim { config: channel.config.clone(), signed, total_claimed, raise })
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll, Wake, Waker},
        thread::Thread,
    };

    use residual_primitives::signed::Voucher;
    use secp256k1::{Message, Secp256k1, SecretKey};

    use super::*;

    struct Woken(Thread);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// MET-1: a write that fails fails the request and every later one, and leaves what was acknowledged.
    #[test]
    fn a_failed_write_serves_nothing_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::from_byte_array([7; 32]).unwrap();
        let secp = Secp256k1::new();
        let public = key.public_key(&secp).serialize_uncompressed();
        let address = Address::repeat_byte;
        let config = ChannelConfig {
            payer: address(1),
            payerAuthorizer: Address::from_raw_public_key(&public[1..]),
            receiver: address(2),
            receiverAuthorizer: address(3),
            token: address(4),
            withdrawDelay: alloy_primitives::aliases::U40::from(86_400),
            salt: B256::ZERO,
        };
        let channels = Channels::new(1, address(5));
        let rules = Rules {
            receiver_authorizer: address(3),
            unclaimed_caps: BTreeMap::from([(address(4), Amount(1_000))]),
            min_withdraw_delay_s: 86_400,
            max_channels: 1,
        };
        let escrow = Escrow { balance: Amount(1_000), ..Escrow::default() };
        let meter = Meter::open(dir.path(), channels.clone(), rules.clone()).unwrap();
        let channel_id = meter.open_channel(&config, escrow).unwrap();
        let paid = |max: u8| {
            let voucher = Voucher { channelId: channel_id, maxClaimableAmount: u128::from(max) };
            let digest = Message::from_digest(channels.voucher_digest(&voucher).0);
            let (id, compact) = secp.sign_ecdsa_recoverable(digest, &key).serialize_compact();
            let v = 27 + u8::try_from(i32::from(id)).unwrap();
            let signed = SignedVoucher::new(voucher, &[&compact[..], &[v]].concat()).unwrap();
            let charge = Charge {
                request_id: B256::repeat_byte(max),
                request_digest: B256::ZERO,
                receiver: address(2),
                token: address(4),
                amount: Amount(10),
                units: 1,
                at_s: 0,
            };
            (signed, charge)
        };
        let accept = |meter: &Meter, max| {
            let (signed, charge) = paid(max);
            meter.accept(&signed, &charge)
        };
        let submit = |meter: &Meter, max| {
            let (signed, charge) = paid(max);
            meter.submit(&signed, &charge)
        };
        assert!(accept(&meter, 10).is_ok());
        meter.desk.lock().log.as_mut().unwrap().break_writes();
        // A future that is polled, and one that is left to itself.
        let mut polled = submit(&meter, 20).unwrap();
        let left = submit(&meter, 20).unwrap();
        let waker = Waker::from(Arc::new(Woken(thread::current())));
        let failed = loop {
            match Pin::new(&mut polled).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => break result,
                Poll::Pending => thread::park(),
            }
        };
        assert!(failed.is_err() && left.wait().is_err());
        assert!(matches!(submit(&meter, 30), Err(ChargeError::Commit(_))));
        assert!(matches!(accept(&meter, 20), Err(ChargeError::Commit(_))));
        assert!(
            matches!(accept(&meter, 20), Err(ChargeError::Commit(_))),
            "a repeat is no proof of durability"
        );
        assert!(matches!(accept(&meter, 30), Err(ChargeError::Commit(_))));
        assert!(meter.redeemable(Amount::ZERO).is_err());
        assert!(accept(&meter, 10).unwrap().repeated, "what was durable is still answered");
        drop(meter);

        let meter = Meter::open(dir.path(), channels.clone(), rules).unwrap();
        meter.reconcile(channel_id, escrow).unwrap();
        assert_eq!(meter.channel(channel_id).unwrap().charged, Amount(10));
        assert!(!accept(&meter, 20).unwrap().repeated);
    }
}
