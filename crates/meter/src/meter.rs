//! The receiver's end of all channels of one gateway process: takes vouchers for charges, durably and once each, and
//! says what can be redeemed.
//!
//! What the ledger knows is never kept here: after a restart every channel waits to be reconciled before it is charged.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    fs::File,
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use alloy_primitives::{Address, B256, U256};
use residual_primitives::{Amount, signed::ChannelConfig};

use crate::{
    channels::{Channels, PayerKey, SignatureError, SignedVoucher},
    durable::{self, FileError},
    escrow::Escrow,
    log::{ChargeRecord, Log, LogError, Record, RewriteError},
};

/// How many of its newest charges a channel remembers, so that a repeated request is answered and not charged again.
/// An older one is refused, since its voucher does not grow. Stock clients have one request in flight on a channel.
pub const REMEMBERED_CHARGES: usize = 8;

/// The most rows of one claim transaction.
const CLAIM_ROWS: usize = 100;

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

/// One use and its price, in the smallest unit of `token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Names the request on its channel; chosen by the payer.
    pub request_id: B256,
    /// The hash of all that the answer depends on; a repeated id must bring the same.
    pub request_digest: B256,
    /// Who is paid: the inference till of the asset that is used.
    pub receiver: Address,
    /// In which token.
    pub token: Address,
    /// How much; zero is recorded like any other.
    pub amount: Amount,
    /// When, in UNIX seconds.
    pub at_s: u64,
}

/// A charge that is durable: the answer may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// The request had been charged before and was not charged again.
    pub repeated: bool,
    /// What this use cost, when it was first charged.
    pub amount: Amount,
    /// Charged on the channel with this use, cumulative.
    pub charged_total: Amount,
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
    /// When it was last charged, in UNIX seconds.
    pub last_charged_at_s: Option<u64>,
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

/// What opening found in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Channels that were charged before; each must be reconciled before it is charged again.
    pub channels: usize,
    /// Charges in the log.
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
    /// The gateway is full.
    #[error("expected fewer than {max} open channels, found as many; try again later or use another gateway")]
    TooMany {
        /// The most that are held.
        max: usize,
    },
}

/// No such channel is open here.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("expected an open channel, found {channel_id}; open it with its configuration first")]
pub struct UnknownChannel {
    /// What was asked for.
    pub channel_id: B256,
}

/// The log could not be flushed. Memory is now ahead of it, so the meter charges and redeems nothing until it is
/// opened anew; what was acknowledged before is safe.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the charge was not recorded, so nothing was served: {source}; open the meter again once that is repaired"
)]
pub struct CommitError {
    /// What failed first.
    pub source: Arc<FileError>,
}

/// Why a use was not charged, and so must not be served.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    /// The voucher is of a channel that is not open here.
    #[error(transparent)]
    UnknownChannel(#[from] UnknownChannel),
    /// The ledger was not asked about it since the meter was opened (CH-3).
    #[error(
        "expected channel {channel_id} to be reconciled with the ledger, found that it is not yet; try again in a moment"
    )]
    NotReconciled {
        /// The channel.
        channel_id: B256,
    },
    /// The channel pays somebody else.
    #[error(
        "expected a channel that pays {expected}, found one that pays {found}; each asset has a channel of its own"
    )]
    Receiver {
        /// Who is to be paid.
        expected: Address,
        /// Whom the channel pays.
        found: Address,
    },
    /// The channel pays in another token, or in one that is no longer taken.
    #[error(
        "expected a channel in token {expected}, found one in {found}; open one in a token that the price is in"
    )]
    Token {
        /// The price's.
        expected: Address,
        /// The channel's.
        found: Address,
    },
    /// The contract would not take the voucher.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The request id was used for another request, or with another voucher (MET-2).
    #[error(
        "expected a new request id or the very request it was used for, found {request_id} with other content; draw a new id"
    )]
    RequestReused {
        /// The id.
        request_id: B256,
    },
    /// The voucher is not above the last one, so it pays for nothing new (MET-2).
    #[error("expected a voucher above {highest}, found {found}; sign a higher one")]
    NotGrowing {
        /// The highest so far.
        highest: Amount,
        /// The voucher's.
        found: Amount,
    },
    /// The voucher does not cover what was charged before and this charge.
    #[error(
        "expected a voucher of at least {charged} and the price {price}, found {found}; sign a higher one"
    )]
    Uncovered {
        /// Charged so far.
        charged: Amount,
        /// The charge.
        price: Amount,
        /// The voucher's.
        found: Amount,
    },
    /// The voucher promises more than is there (CH-3).
    #[error(
        "expected a voucher of at most {covered} (confirmed balance less pending withdrawal), found {found}; top the \
         channel up and wait until the ledger has confirmed it"
    )]
    BeyondEscrow {
        /// What the escrow covers.
        covered: Amount,
        /// The voucher's.
        found: Amount,
    },
    /// The gateway must claim before it goes on.
    #[error(
        "expected at most {cap} of token {token} to be unclaimed, found that this charge would exceed it; try again after the next claim"
    )]
    UnclaimedCap {
        /// The token.
        token: Address,
        /// The most that may be unclaimed in it.
        cap: Amount,
    },
    /// The record could not be made durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why the log was not compacted.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The new log could not be written; the old one goes on.
    #[error("the log stays as long as it was: {0}")]
    Kept(#[source] FileError),
    /// The meter cannot go on.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A charge in memory, and the ticket of its durability.
#[derive(Debug)]
struct Remembered {
    record: ChargeRecord,
    ticket: u64,
}

#[derive(Debug)]
struct Channel {
    config: ChannelConfig,
    escrow: Option<Escrow>,
    /// Learnt from the first voucher since the meter was opened.
    key: Option<PayerKey>,
    charged: Amount,
    /// Oldest first, at most [`REMEMBERED_CHARGES`]; the last has the highest voucher.
    recent: VecDeque<Remembered>,
}

impl Channel {
    fn new(config: ChannelConfig) -> Self {
        Self { config, escrow: None, key: None, charged: Amount::ZERO, recent: VecDeque::new() }
    }

    fn highest(&self) -> Option<&SignedVoucher> {
        self.recent.back().map(|last| &last.record.signed)
    }

    fn max_promised(&self) -> Amount {
        self.highest().map_or(Amount::ZERO, SignedVoucher::max_claimable)
    }

    fn claimed(&self) -> Amount {
        self.escrow.map_or(Amount::ZERO, |escrow| escrow.total_claimed)
    }

    fn unclaimed(&self) -> U256 {
        U256::from(self.charged.0.saturating_sub(self.claimed().0))
    }

    fn remember(&mut self, record: ChargeRecord, ticket: u64) {
        if self.recent.len() == REMEMBERED_CHARGES {
            self.recent.pop_front();
        }
        self.charged = record.charged_total;
        self.recent.push_back(Remembered { record, ticket });
    }

    fn state(&self, channel_id: B256) -> ChannelState {
        ChannelState {
            channel_id,
            config: self.config.clone(),
            escrow: self.escrow,
            charged: self.charged,
            promised: self.max_promised(),
            last_charged_at_s: self.recent.back().map(|last| last.record.at_s),
        }
    }

    /// The row that claims what was charged; `None` when nothing is to be claimed or the ledger was not asked yet.
    fn claim(&self) -> Option<VoucherClaim> {
        let (escrow, signed) = (self.escrow?, self.highest()?);
        // A row above the balance would revert the whole batch. A pending withdrawal does not matter: claims go first.
        let total_claimed = self.charged.min(signed.max_claimable()).min(escrow.balance);
        let raise = total_claimed.checked_sub(escrow.total_claimed).filter(|raise| *raise > Amount::ZERO)?;
        Some(VoucherClaim { config: self.config.clone(), signed: signed.clone(), total_claimed, raise })
    }
}

/// What a voucher for a charge leads to.
enum Verdict {
    Repeated { charged: Charged, ticket: u64 },
    New { charged_total: Amount },
}

#[derive(Debug)]
struct State {
    channels: BTreeMap<B256, Channel>,
    /// Charged and not claimed, by token. 256 bits hold the sum of any number of channels.
    unclaimed: BTreeMap<Address, U256>,
    /// Applied in memory, not yet given to the log.
    pending: Vec<Record>,
    /// Tickets handed out, and up to which the log is durable.
    issued: u64,
    durable: u64,
    /// Absent while a thread is writing it.
    log: Option<Log>,
    failed: Option<CommitError>,
}

/// All channels of one gateway process. Shared by reference between threads; calls block while the disk flushes, and
/// charges that arrive meanwhile are flushed together.
#[derive(Debug)]
pub struct Meter {
    channels: Channels,
    rules: Rules,
    state: Mutex<State>,
    flushed: Condvar,
    recovery: Recovery,
    _lock: File,
}

impl Meter {
    /// Opens the meter in `dir`, which no other process may use meanwhile, and recovers what it charged before.
    ///
    /// # Errors
    /// [`OpenMeterError`]; the log has not been changed then.
    pub fn open(dir: &Path, channels: Channels, rules: Rules) -> Result<Self, OpenMeterError> {
        let lock = durable::lock(dir, "lock")?;
        let mut known = BTreeMap::new();
        let mut charges = 0;
        let replay = |record| replay(&mut known, &mut charges, &channels, &rules, record);
        let (log, torn_bytes) =
            Log::open(dir.join("charges.log"), &channels, rules.receiver_authorizer, replay)?;
        let mut unclaimed = BTreeMap::<Address, U256>::new();
        for channel in known.values() {
            *unclaimed.entry(channel.config.token).or_default() += channel.unclaimed();
        }
        let recovery = Recovery { channels: known.len(), charges, torn_bytes };
        let state = State {
            channels: known,
            unclaimed,
            pending: Vec::new(),
            issued: 0,
            durable: 0,
            log: Some(log),
            failed: None,
        };
        let state = Mutex::new(state);
        Ok(Self { channels, rules, state, flushed: Condvar::new(), recovery, _lock: lock })
    }

    /// What opening found.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Serves a channel from now on. `escrow` is what the ledger has confirmed (CH-3). Opening an open channel again
    /// reconciles it. Nothing is written before the first charge.
    ///
    /// # Errors
    /// [`OpenChannelError`]; nothing has changed then.
    pub fn open_channel(&self, config: &ChannelConfig, escrow: Escrow) -> Result<B256, OpenChannelError> {
        self.check_config(config)?;
        let channel_id = self.channels.channel_id(config);
        let mut state = self.lock();
        let full = state.channels.len() >= self.rules.max_channels;
        if let Entry::Vacant(vacant) = state.channels.entry(channel_id) {
            if full {
                return Err(OpenChannelError::TooMany { max: self.rules.max_channels });
            }
            vacant.insert(Channel::new(config.clone()));
        }
        state.reconcile(channel_id, |known| *known = Some(escrow));
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
        let known = self.lock().reconcile(channel_id, |known| *known = Some(escrow));
        if known { Ok(()) } else { Err(UnknownChannel { channel_id }) }
    }

    /// Takes over that the channel's claimed total has become `total`, as the event `Claimed` says; a lower total than
    /// the known one is an older event and changes nothing. A channel that waits to be reconciled goes on waiting.
    ///
    /// # Errors
    /// When the channel is not known.
    pub fn claimed(&self, channel_id: B256, total: Amount) -> Result<(), UnknownChannel> {
        let known = self.lock().reconcile(channel_id, |known| {
            if let Some(escrow) = known {
                escrow.total_claimed = escrow.total_claimed.max(total);
            }
        });
        if known { Ok(()) } else { Err(UnknownChannel { channel_id }) }
    }

    /// The state of one channel.
    #[must_use]
    pub fn channel(&self, channel_id: B256) -> Option<ChannelState> {
        self.lock().channels.get(&channel_id).map(|channel| channel.state(channel_id))
    }

    /// The highest voucher of a channel, as it can be claimed with. It takes a recovery of the key.
    #[must_use]
    pub fn highest(&self, channel_id: B256) -> Option<SignedVoucher> {
        let (signed, signer) = {
            let state = self.lock();
            let channel = state.channels.get(&channel_id)?;
            (channel.highest()?.clone(), channel.config.payerAuthorizer)
        };
        Some(self.channels.with_right_v(signed, signer))
    }

    /// All channels, in the order of their ids; after a restart those to be reconciled.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelState> {
        self.lock().channels.iter().map(|(id, channel)| channel.state(*id)).collect()
    }

    /// Whether [`Meter::accept`] would take the voucher for the charge now. Nothing is reserved.
    ///
    /// # Errors
    /// [`ChargeError`], as `accept` would.
    pub fn check(&self, signed: &SignedVoucher, charge: &Charge) -> Result<(), ChargeError> {
        let (signer, key) = {
            let state = self.lock();
            state.judge(&self.rules, signed, charge)?;
            state.signer(signed)?
        };
        if let Some(key) = key {
            return Ok(self.channels.verify_known(signed, &key)?);
        }
        let key = self.channels.learn_key(signed, signer)?;
        if let Some(channel) = self.lock().channels.get_mut(&signed.voucher.channelId) {
            channel.key = Some(key);
        }
        Ok(())
    }

    /// Charges one use to the channel of the voucher. When it returns, the charge is durable and can be claimed, so the
    /// answer may go (MET-1). A request id that was charged before is answered again without a second charge when
    /// digest and voucher are the same, and refused when not (MET-2); see [`REMEMBERED_CHARGES`].
    ///
    /// # Errors
    /// [`ChargeError`]; the use must not be served then.
    pub fn accept(&self, signed: &SignedVoucher, charge: &Charge) -> Result<Charged, ChargeError> {
        // Outside the lock, since it is what takes the time; whatever else could refuse the voucher is asked before,
        // being cheaper, and again after, being able to change.
        self.check(signed, charge)?;
        let mut state = self.lock();
        let (charged, ticket) = match state.judge(&self.rules, signed, charge)? {
            Verdict::Repeated { charged, ticket } => (charged, ticket),
            Verdict::New { charged_total } => {
                if let Some(failed) = &state.failed {
                    return Err(failed.clone().into());
                }
                let ticket = state.apply(signed, charge, charged_total);
                (Charged { repeated: false, amount: charge.amount, charged_total }, ticket)
            }
        };
        drop(self.commit(state, ticket)?);
        Ok(charged)
    }

    /// What can be claimed now, in batches that one transaction holds, largest raise first; rows that raise less than
    /// `at_least` (what their gas is worth) are left out. All of it is durable.
    ///
    /// # Errors
    /// When the log cannot be flushed.
    pub fn redeemable(&self, at_least: Amount) -> Result<Vec<Vec<VoucherClaim>>, CommitError> {
        let state = self.lock();
        let ticket = state.issued;
        let state = self.commit(state, ticket)?;
        let mut rows: Vec<_> = state.channels.values().filter_map(Channel::claim).collect();
        drop(state);
        rows.retain(|row| row.raise >= at_least);
        for row in &mut rows {
            row.signed = self.channels.with_right_v(row.signed.clone(), row.config.payerAuthorizer);
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.raise));
        Ok(rows.chunks(CLAIM_ROWS).map(<[_]>::to_vec).collect())
    }

    /// Bytes of the log, so that the caller knows when to compact it.
    ///
    /// # Errors
    /// When the log has failed.
    pub fn log_bytes(&self) -> Result<u64, CommitError> {
        let state = self.wait_for_log(self.lock())?;
        Ok(state.log.as_ref().map_or(0, Log::bytes))
    }

    /// Replaces the log by one that holds only what each channel remembers, durably and as a whole. Charges wait
    /// meanwhile.
    ///
    /// # Errors
    /// [`CompactError`]; no acknowledged charge is lost.
    pub fn compact(&self) -> Result<(), CompactError> {
        let mut state = self.wait_for_log(self.lock())?;
        let Some(mut log) = state.log.take() else { unreachable!("waited for the log under the lock") };
        // The snapshot holds what is pending, too.
        let mut pending = std::mem::take(&mut state.pending);
        let ticket = state.issued;
        let mut records = Vec::new();
        for channel in state.channels.values().filter(|channel| !channel.recent.is_empty()) {
            records.push(Record::Opened(channel.config.clone()));
            records.extend(channel.recent.iter().map(|charge| Record::Charged(charge.record.clone())));
        }
        drop(state);
        let rewritten = log.rewrite(&records);
        let mut state = self.lock();
        let result = match rewritten {
            Ok(()) => {
                state.log = Some(log);
                state.durable = ticket;
                Ok(())
            }
            Err(RewriteError { source, intact: true }) => {
                pending.append(&mut state.pending);
                state.pending = pending;
                state.log = Some(log);
                Err(CompactError::Kept(source))
            }
            Err(RewriteError { source, intact: false }) => Err(state.fail(source).into()),
        };
        self.flushed.notify_all();
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.flushed.wait(state).expect("no thread panics while it holds the state")
    }

    /// Waits until no thread is writing the log.
    fn wait_for_log<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, CommitError> {
        loop {
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
            if state.log.is_some() {
                return Ok(state);
            }
            state = self.wait(state);
        }
    }

    /// Returns once all up to `ticket` is durable. The first thread that finds the log free writes for all that wait.
    fn commit<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        ticket: u64,
    ) -> Result<MutexGuard<'a, State>, CommitError> {
        while state.durable < ticket {
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
            let Some(mut log) = state.log.take() else {
                state = self.wait(state);
                continue;
            };
            let batch = std::mem::take(&mut state.pending);
            let last = state.issued;
            drop(state);
            let appended = log.append(&batch);
            state = self.lock();
            match appended {
                Ok(()) => {
                    state.log = Some(log);
                    state.durable = last;
                }
                Err(source) => drop(state.fail(source)),
            }
            self.flushed.notify_all();
        }
        Ok(state)
    }
}

impl State {
    /// Changes what is known of the channel's escrow; whether there is such a channel.
    fn reconcile(&mut self, channel_id: B256, change: impl FnOnce(&mut Option<Escrow>)) -> bool {
        let Some(channel) = self.channels.get_mut(&channel_id) else { return false };
        let before = channel.unclaimed();
        change(&mut channel.escrow);
        // More was claimed than this log knows of: it was restored from an older copy, and goes on from there.
        channel.charged = channel.charged.max(channel.claimed());
        let sum = self.unclaimed.entry(channel.config.token).or_default();
        *sum = *sum - before + channel.unclaimed();
        true
    }

    /// Who signs for the channel, and by which key when that is known.
    fn signer(&self, signed: &SignedVoucher) -> Result<(Address, Option<PayerKey>), UnknownChannel> {
        let channel_id = signed.voucher.channelId;
        let channel = self.channels.get(&channel_id).ok_or(UnknownChannel { channel_id })?;
        Ok((channel.config.payerAuthorizer, channel.key))
    }

    /// All that can be said without looking at the signature.
    fn judge(&self, rules: &Rules, signed: &SignedVoucher, charge: &Charge) -> Result<Verdict, ChargeError> {
        let channel_id = signed.voucher.channelId;
        let channel = self.channels.get(&channel_id).ok_or(UnknownChannel { channel_id })?;
        let config = &channel.config;
        if config.receiver != charge.receiver {
            return Err(ChargeError::Receiver { expected: charge.receiver, found: config.receiver });
        }
        let cap = rules.unclaimed_caps.get(&config.token).copied();
        let Some(cap) = cap.filter(|_| config.token == charge.token) else {
            return Err(ChargeError::Token { expected: charge.token, found: config.token });
        };
        let found = signed.max_claimable();
        if let Some(Remembered { record, ticket }) =
            channel.recent.iter().find(|charged| charged.record.request_id == charge.request_id)
        {
            if record.request_digest != charge.request_digest || record.signed.max_claimable() != found {
                return Err(ChargeError::RequestReused { request_id: charge.request_id });
            }
            let (amount, charged_total) = (record.amount, record.charged_total);
            let charged = Charged { repeated: true, amount, charged_total };
            return Ok(Verdict::Repeated { charged, ticket: *ticket });
        }
        let Some(escrow) = channel.escrow else { return Err(ChargeError::NotReconciled { channel_id }) };
        let highest = channel.max_promised();
        if found <= highest {
            return Err(ChargeError::NotGrowing { highest, found });
        }
        let (charged, price) = (channel.charged, charge.amount);
        let charged_total = charged.checked_add(price).filter(|total| *total <= found);
        let charged_total = charged_total.ok_or(ChargeError::Uncovered { charged, price, found })?;
        let covered = escrow.covers();
        if found > covered {
            return Err(ChargeError::BeyondEscrow { covered, found });
        }
        let unclaimed = self.unclaimed.get(&config.token).copied().unwrap_or_default();
        if unclaimed + U256::from(price.0) > U256::from(cap.0) {
            return Err(ChargeError::UnclaimedCap { token: config.token, cap });
        }
        Ok(Verdict::New { charged_total })
    }

    /// Carries out what was judged under the same lock; nothing in it can fail. Returns the ticket to wait for.
    fn apply(&mut self, signed: &SignedVoucher, charge: &Charge, charged_total: Amount) -> u64 {
        let channel =
            self.channels.get_mut(&signed.voucher.channelId).expect("the channel was judged under this lock");
        self.issued += 1;
        let record = ChargeRecord {
            signed: signed.clone(),
            charged_total,
            amount: charge.amount,
            request_id: charge.request_id,
            request_digest: charge.request_digest,
            at_s: charge.at_s,
        };
        if channel.recent.is_empty() {
            self.pending.push(Record::Opened(channel.config.clone()));
        }
        self.pending.push(Record::Charged(record.clone()));
        let before = channel.unclaimed();
        channel.remember(record, self.issued);
        let sum = self.unclaimed.entry(channel.config.token).or_default();
        *sum = *sum - before + channel.unclaimed();
        self.issued
    }

    /// From now on nothing is durable any more.
    fn fail(&mut self, source: FileError) -> CommitError {
        let error = CommitError { source: Arc::new(source) };
        self.failed = Some(error.clone());
        error
    }
}

/// Takes one record of the log over into memory; what is wrong with it when it cannot follow those before.
fn replay(
    known: &mut BTreeMap<B256, Channel>,
    charges: &mut u64,
    channels: &Channels,
    rules: &Rules,
    record: Record,
) -> Result<(), &'static str> {
    match record {
        Record::Opened(config) => {
            if config.receiverAuthorizer != rules.receiver_authorizer {
                return Err("it opens a channel of another authorizer");
            }
            match known.entry(channels.channel_id(&config)) {
                // A crash may have torn the first charge off the record that opens its channel; the next first charge
                // opens it again.
                Entry::Occupied(open) if open.get().recent.is_empty() => Ok(()),
                Entry::Occupied(_) => Err("it opens a channel that was charged"),
                Entry::Vacant(vacant) => {
                    vacant.insert(Channel::new(config));
                    Ok(())
                }
            }
        }
        Record::Charged(record) => {
            let channel =
                known.get_mut(&record.signed.voucher.channelId).ok_or("it charges an unknown channel")?;
            let max = record.signed.max_claimable();
            let grows = max > channel.max_promised();
            let least = channel.charged.checked_add(record.amount);
            let adds_up = least.is_some_and(|least| (least..=max).contains(&record.charged_total));
            if !grows || !adds_up {
                return Err("it does not follow from the charge before");
            }
            channel.remember(record, 0);
            *charges += 1;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use residual_primitives::signed::Voucher;
    use secp256k1::{Message, Secp256k1, SecretKey};

    use super::*;

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
        let accept = |meter: &Meter, max: u8| {
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
                at_s: 0,
            };
            meter.accept(&signed, &charge)
        };
        assert!(accept(&meter, 10).is_ok());
        meter.lock().log.as_mut().unwrap().break_writes();
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
