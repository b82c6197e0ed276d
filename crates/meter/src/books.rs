//! What a gateway knows of its channels: judged without change, changed by records that cannot fail once judged.
//!
//! A record is entered by the same code when it is made and when it is read back, so recovery ends where the gateway was.
//! Of a channel the newest charges are remembered, so that a repeated request is answered and not charged again:
//! [`REMEMBERED_CHARGES`] of those by vouchers, [`REMEMBERED_TICKS`] of those by ticks. An older one is refused, since its
//! voucher does not grow, or its tick is not the next.
//!
//! **Why no window serves twice (MET-2), with nothing remembered of windows that ended.** The payer's signature binds a
//! window to its `base`, and it is opened only while exactly that is charged. Every tick raises what is charged by a price
//! above zero, and nothing lowers it: so once a tick was charged, its window's anchor is good for nothing for ever, also
//! where everything else was forgotten. Before, none of its ticks was spent, and to open it again is to open it. A payer
//! that anchors the chain of an earlier window anew, by another signature, pays for every tick anew; what it risks is
//! that others have seen those preimages. The last used root is refused, as the likeliest slip.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{Address, B256, U256};
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, TickOpen},
};

use crate::{
    channels::{Channels, PayerKey, SignedVoucher},
    charges::{
        Charge, ChargeError, Charged, Lane, RecordExactError, UnknownChannel, UsageEntry, WindowError,
    },
    escrow::Escrow,
    record::{
        ChargeRecord, ExactRecord, Memory, Proof, Record, Standing, TickRecord, WindowRecord, WriteOff,
    },
    ticks::{MAX_TICKS, SignedTickOpen, Tick, charged_with, tick_before},
};

/// How many of its newest charges by vouchers a channel remembers. Stock clients have one request in flight on a channel.
pub const REMEMBERED_CHARGES: usize = 8;

/// How many of its newest charges by ticks a channel remembers.
pub const REMEMBERED_TICKS: usize = 64;

/// How many of the newest uses that were settled by themselves are remembered. The ledger takes a payment once, so an
/// older one cannot be settled again for another use; and who answers a repetition must not take a payment that was good
/// for longer than it takes to settle so many.
pub const REMEMBERED_EXACT: usize = 65_536;

/// Whether the newest segment has what it takes to read a channel's next charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logged {
    /// The channel is introduced before its next charge.
    No,
    Yes,
    /// Left out of the segment that is being begun: forgotten once that is there.
    LeftOut,
}

#[derive(Debug)]
struct Window {
    signed: SignedTickOpen,
    voucher: SignedVoucher,
    used: u32,
    /// The last preimage, or the root.
    tip: B256,
    ticket: u64,
}

#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) config: ChannelConfig,
    pub(crate) escrow: Option<Escrow>,
    /// Learnt from the first voucher since the meter was opened.
    pub(crate) key: Option<PayerKey>,
    /// The last voucher whose signature was found good, so that who checks and then charges pays for that once.
    pub(crate) checked: Option<SignedVoucher>,
    pub(crate) charged: Amount,
    pub(crate) highest: Option<SignedVoucher>,
    pub(crate) last_charged_at_s: Option<u64>,
    /// Up to where what was charged and not claimed is given up.
    pub(crate) written_off_to: Amount,
    window: Option<Window>,
    /// The signatures of a window whose record has not come yet.
    offered: Option<(SignedVoucher, [u8; 65])>,
    last_root: B256,
    /// Oldest first; with the ticket of its durability.
    recent: VecDeque<(Memory, u64)>,
    logged: Logged,
}

impl Channel {
    fn new(config: ChannelConfig) -> Self {
        Self {
            config,
            escrow: None,
            key: None,
            checked: None,
            charged: Amount::ZERO,
            highest: None,
            last_charged_at_s: None,
            written_off_to: Amount::ZERO,
            window: None,
            offered: None,
            last_root: B256::ZERO,
            recent: VecDeque::new(),
            logged: Logged::No,
        }
    }

    pub(crate) fn promised(&self) -> Amount {
        self.highest.as_ref().map_or(Amount::ZERO, SignedVoucher::max_claimable)
    }

    fn claimed(&self) -> Amount {
        self.escrow.map_or(Amount::ZERO, |escrow| escrow.total_claimed)
    }

    /// Charged, and neither claimed nor given up.
    fn unclaimed(&self) -> U256 {
        let settled = self.claimed().max(self.written_off_to);
        U256::from(self.charged.0.saturating_sub(settled.0))
    }

    /// What is to be written down to give up all that was charged and not claimed; none when there is nothing of it, or the
    /// ledger was not asked yet. Never more than was promised: what a log that was restored from an older copy only heard
    /// of by its claim, it has no record of.
    pub(crate) fn write_off(&self, channel_id: B256, at_s: u64) -> Option<WriteOff> {
        let claimed = self.escrow?.total_claimed;
        let total = self.charged.min(self.promised());
        let amount = total.checked_sub(claimed.max(self.written_off_to))?;
        (amount > Amount::ZERO).then_some(WriteOff { channel_id, total, amount, at_s })
    }

    /// The open window, and how many of its ticks were charged.
    pub(crate) fn window(&self) -> Option<(&TickOpen, u32)> {
        self.window.as_ref().map(|window| (&window.signed.open, window.used))
    }

    /// Nothing was ever promised or charged on it, as far as is known here, and the log does not name it: it is as if it
    /// had not been opened, and to open it again is all that it takes.
    fn is_untouched(&self) -> bool {
        self.highest.is_none()
            && self.window.is_none()
            && self.offered.is_none()
            && self.recent.is_empty()
            && self.logged == Logged::No
    }

    fn remember(&mut self, memory: Memory, ticket: u64) {
        let most = match memory.proof {
            Proof::Voucher(_) => REMEMBERED_CHARGES,
            Proof::Tick { .. } => REMEMBERED_TICKS,
        };
        while self.recent.len() >= most {
            self.recent.pop_front();
        }
        self.recent.push_back((memory, ticket));
    }

    fn raise_highest(&mut self, voucher: &SignedVoucher) {
        if voucher.max_claimable() > self.promised() {
            self.highest = Some(voucher.clone());
        }
    }

    fn close_window(&mut self) {
        if let Some(window) = self.window.take().filter(|window| window.used > 0) {
            self.last_root = window.signed.open.root;
        }
    }

    /// Nothing of it can ever be needed again, once the ledger has said so for good: all that was promised was claimed, so
    /// no voucher there is reaches above where the channel begins when it is opened anew, and neither does the base of a
    /// window. See [`Books::snapshot`].
    fn is_spent(&self) -> bool {
        let claimed = self.escrow.map(|escrow| escrow.total_claimed);
        self.window.is_none() && claimed.is_some_and(|claimed| self.promised() <= claimed)
    }

    /// What a segment must have to read the channel's next record.
    fn introduction(&self) -> impl Iterator<Item = Record> {
        let standing = self.highest.clone().map(|highest| {
            Record::Standing(Standing {
                highest,
                charged: self.charged,
                last_charged_at_s: self.last_charged_at_s.unwrap_or_default(),
                last_root: self.last_root,
            })
        });
        let channel_id = self.highest.as_ref().map(|highest| highest.voucher.channelId);
        let given_up = channel_id.filter(|_| self.written_off_to > Amount::ZERO);
        let given_up =
            given_up.map(|channel_id| Record::RememberedWriteOff { channel_id, total: self.written_off_to });
        std::iter::once(Record::Opened(self.config.clone())).chain(standing).chain(given_up)
    }

    /// All that is remembered of it.
    fn records(&self, channel_id: B256) -> impl Iterator<Item = Record> {
        let recent = self.recent.iter();
        let recent = recent.map(move |(memory, _)| Record::Remembered { channel_id, memory: *memory });
        let window = self.window.iter().flat_map(|window| {
            let (open, voucher) = (window.signed.signature, window.voucher.clone());
            let record =
                WindowRecord { open: window.signed.open.clone(), used: window.used, tip: window.tip };
            [Record::WindowSigned { voucher, open }, Record::Window(record)]
        });
        self.introduction().chain(recent).chain(window)
    }

    fn repeated(&self, charge: &Charge, proof: &Proof) -> Result<Option<Verdict>, ChargeError> {
        let of_request = |(memory, _): &&(Memory, u64)| memory.request_id == charge.request_id;
        let Some((memory, ticket)) = self.recent.iter().rev().find(of_request) else { return Ok(None) };
        if memory.request_digest != charge.request_digest || memory.proof != *proof {
            return Err(ChargeError::RequestReused { request_id: charge.request_id });
        }
        let (amount, charged_total) = (memory.amount, memory.charged_total);
        let charged = Charged { repeated: true, amount, charged_total };
        Ok(Some(Verdict::Repeated { charged, ticket: *ticket }))
    }

    fn enter_charge(&mut self, record: &ChargeRecord, ticket: u64) -> Result<(), &'static str> {
        if self.window.is_some() {
            return Err("it charges a voucher inside a window of ticks");
        }
        let max = record.signed.max_claimable();
        let least = self.charged.checked_add(record.amount);
        let adds_up = least.is_some_and(|least| (least..=max).contains(&record.charged_total));
        if max <= self.promised() || !adds_up {
            return Err("it does not follow from the charge before");
        }
        if !has_unit_price(record.amount, record.units) {
            return Err(NO_UNIT_PRICE);
        }
        self.highest = Some(record.signed.clone());
        self.charged = record.charged_total;
        self.last_charged_at_s = Some(record.at_s);
        let memory = Memory {
            request_id: record.request_id,
            request_digest: record.request_digest,
            proof: Proof::Voucher(max),
            amount: record.amount,
            charged_total: record.charged_total,
        };
        self.remember(memory, ticket);
        Ok(())
    }

    fn enter_window(&mut self, record: &WindowRecord, ticket: u64) -> Result<(), &'static str> {
        let WindowRecord { open, used, tip } = record;
        if self.window.is_some() {
            return Err("it opens a window in another");
        }
        let Some((voucher, signature)) = self.offered.take() else {
            return Err("it opens a window without its voucher");
        };
        let whole = charged_with(open, open.maxTicks) == Some(voucher.max_claimable());
        let in_bounds = open.unitPrice > 0 && open.maxTicks <= MAX_TICKS && *used < open.maxTicks;
        let begins = *used > 0 || *tip == open.root;
        let charged = charged_with(open, *used).filter(|charged| *charged >= self.charged);
        let Some(charged) = charged.filter(|_| whole && in_bounds && begins) else {
            return Err("it opens a window that does not follow from the charge before");
        };
        self.charged = charged;
        self.raise_highest(&voucher);
        let signed = SignedTickOpen { open: open.clone(), signature };
        self.window = Some(Window { signed, voucher, used: *used, tip: *tip, ticket });
        Ok(())
    }

    fn enter_tick(&mut self, record: &TickRecord, ticket: u64) -> Result<(), &'static str> {
        let window = self.window.as_mut().ok_or("it charges a tick without a window")?;
        let open = &window.signed.open;
        let charged = charged_with(open, record.index);
        let follows = record.index == window.used + 1 && tick_before(&record.preimage) == window.tip;
        let Some(charged_total) = charged.filter(|_| follows) else {
            return Err("its tick is not the next of the window");
        };
        let amount = Amount(open.unitPrice);
        if !has_unit_price(amount, record.units) {
            return Err(NO_UNIT_PRICE);
        }
        (window.used, window.tip) = (record.index, record.preimage);
        let whole = window.used == open.maxTicks;
        self.charged = charged_total;
        self.last_charged_at_s = Some(record.at_s);
        let memory = Memory {
            request_id: record.request_id,
            request_digest: record.request_digest,
            proof: Proof::Tick { index: record.index, preimage: record.preimage },
            amount,
            charged_total,
        };
        self.remember(memory, ticket);
        if whole {
            self.close_window();
        }
        Ok(())
    }

    fn enter_write_off(&mut self, total: Amount) -> Result<(), &'static str> {
        if total > self.promised() || total < self.written_off_to {
            return Err("it gives up what was not charged");
        }
        self.charged = self.charged.max(total);
        self.written_off_to = total;
        Ok(())
    }

    fn enter_standing(&mut self, record: &Standing) -> Result<(), &'static str> {
        if record.charged < self.charged || record.highest.max_claimable() < self.promised() {
            return Err("it forgets what a channel was charged");
        }
        self.charged = record.charged;
        self.highest = Some(record.highest.clone());
        self.last_charged_at_s = Some(record.last_charged_at_s).filter(|at_s| *at_s > 0);
        self.last_root = record.last_root;
        Ok(())
    }
}

/// What a use leads to.
pub(crate) enum Verdict {
    Repeated { charged: Charged, ticket: u64 },
    New { charged_total: Amount },
}

/// What a window leads to: the ticket of the same that is open already, or nothing yet.
pub(crate) enum WindowVerdict {
    Repeated { ticket: u64 },
    New,
}

/// The uses that were settled by themselves, of which the newest are remembered.
#[derive(Debug, Default)]
struct Exact {
    by_payment: BTreeMap<B256, (ExactRecord, u64)>,
    by_request: BTreeMap<(Address, B256), B256>,
    /// Oldest first.
    payments: VecDeque<B256>,
}

impl Exact {
    fn enter(&mut self, record: &ExactRecord, ticket: u64) -> Result<(), &'static str> {
        let request = (record.payer, record.request_id);
        if self.by_payment.contains_key(&record.payment_id) || self.by_request.contains_key(&request) {
            return Err("it records a payment or a request a second time");
        }
        if !has_unit_price(record.amount, record.units) {
            return Err(NO_UNIT_PRICE);
        }
        if self.payments.len() == REMEMBERED_EXACT {
            let oldest = self.payments.pop_front().and_then(|oldest| self.by_payment.remove(&oldest));
            let (oldest, _) = oldest.expect("each remembered payment is in both");
            self.by_request.remove(&(oldest.payer, oldest.request_id));
        }
        self.payments.push_back(record.payment_id);
        self.by_request.insert(request, record.payment_id);
        self.by_payment.insert(record.payment_id, (record.clone(), ticket));
        Ok(())
    }
}

/// All channels, and what is unclaimed of each token.
#[derive(Debug)]
pub(crate) struct Books {
    contract: Channels,
    receiver_authorizer: Address,
    channels: BTreeMap<B256, Channel>,
    /// Those that were opened and perhaps never charged, oldest first.
    untouched: VecDeque<B256>,
    /// Charged and not claimed, by token. 256 bits hold the sum of any number of channels.
    unclaimed: BTreeMap<Address, U256>,
    exact: Exact,
}

impl Books {
    pub(crate) fn new(contract: Channels, receiver_authorizer: Address) -> Self {
        let (channels, unclaimed, exact) = (BTreeMap::new(), BTreeMap::new(), Exact::default());
        Self { contract, receiver_authorizer, channels, untouched: VecDeque::new(), unclaimed, exact }
    }

    pub(crate) fn channels(&self) -> &BTreeMap<B256, Channel> {
        &self.channels
    }

    pub(crate) fn channel(&self, channel_id: B256) -> Result<&Channel, UnknownChannel> {
        self.channels.get(&channel_id).ok_or(UnknownChannel { channel_id })
    }

    /// Makes the channel known, as one that was never charged unless it is already.
    pub(crate) fn open_channel(&mut self, channel_id: B256, config: &ChannelConfig) {
        let untouched = &mut self.untouched;
        let channel = self.channels.entry(channel_id).or_insert_with(|| {
            untouched.push_back(channel_id);
            Channel::new(config.clone())
        });
        if channel.logged == Logged::LeftOut {
            channel.logged = Logged::No;
        }
    }

    /// Forgets the one that has been open longest among those that nothing was ever charged on; whether there was one. It
    /// is opened again before it is charged, from what the ledger says then, so no use is served twice (MET-2).
    pub(crate) fn forget_untouched(&mut self) -> bool {
        while let Some(oldest) = self.untouched.pop_front() {
            if self.channels.get(&oldest).is_some_and(Channel::is_untouched) {
                self.channels.remove(&oldest);
                return true;
            }
        }
        false
    }

    /// Takes over that the voucher's signature is good, and by which key.
    pub(crate) fn learn_checked(&mut self, signed: &SignedVoucher, key: PayerKey) {
        if let Some(channel) = self.channels.get_mut(&signed.voucher.channelId) {
            channel.key = Some(key);
            channel.checked = Some(signed.clone());
        }
    }

    /// Changes what is known of the channel's escrow. Answers the record that this makes necessary.
    pub(crate) fn reconcile(
        &mut self,
        channel_id: B256,
        change: impl FnOnce(&mut Option<Escrow>),
    ) -> Result<Option<Record>, UnknownChannel> {
        let changed = self.change(channel_id, |channel| {
            change(&mut channel.escrow);
            let claimed = channel.claimed();
            if claimed <= channel.charged {
                return Ok(None);
            }
            // More was claimed than this log knows of: it was restored from an older copy, and goes on from there. How
            // many ticks of its window were charged meanwhile it does not know, so that cannot go on.
            channel.charged = claimed;
            let root = channel.window().map(|(open, _)| open.root);
            Ok(root.map(|root| Record::WindowClosed { channel_id, root }))
        });
        changed.map_err(|_| UnknownChannel { channel_id })
    }

    /// The records that make the newest segment know of the channel, before one that names it.
    pub(crate) fn introduction(&self, channel_id: B256) -> Vec<Record> {
        let channel = self.channels.get(&channel_id).filter(|channel| channel.logged != Logged::Yes);
        channel.map_or(Vec::new(), |channel| channel.introduction().collect())
    }

    fn change<T>(
        &mut self,
        channel_id: B256,
        change: impl FnOnce(&mut Channel) -> Result<T, &'static str>,
    ) -> Result<T, &'static str> {
        let channel = self.channels.get_mut(&channel_id).ok_or("it names an unknown channel")?;
        let before = channel.unclaimed();
        let changed = change(channel);
        let sum = self.unclaimed.entry(channel.config.token).or_default();
        *sum = *sum - before + channel.unclaimed();
        changed
    }

    /// Takes a record over; what is wrong with it when it cannot follow those before, which no record does that was
    /// judged under the same lock. The books are not to be used any more then.
    pub(crate) fn enter(&mut self, record: &Record, ticket: u64) -> Result<(), &'static str> {
        match record {
            Record::Opened(config) => {
                if config.receiverAuthorizer != self.receiver_authorizer {
                    return Err("it opens a channel of another authorizer");
                }
                let channel_id = self.contract.channel_id(config);
                self.open_channel(channel_id, config);
                self.change(channel_id, |channel| {
                    channel.logged = Logged::Yes;
                    Ok(())
                })
            }
            Record::Charged(charge) => {
                self.change(charge.signed.voucher.channelId, |channel| channel.enter_charge(charge, ticket))
            }
            Record::WindowSigned { voucher, open } => self.change(voucher.voucher.channelId, |channel| {
                // A crash may have torn the window off an earlier one.
                channel.offered = Some((voucher.clone(), *open));
                Ok(())
            }),
            Record::Window(window) if window.open.gateway != self.receiver_authorizer => {
                Err("it opens a window of another gateway")
            }
            Record::Window(window) => {
                self.change(window.open.channelId, |channel| channel.enter_window(window, ticket))
            }
            Record::Ticked(tick) => self.change(tick.channel_id, |channel| channel.enter_tick(tick, ticket)),
            Record::WindowClosed { channel_id, root } => self.change(*channel_id, |channel| {
                channel.window().filter(|(open, _)| open.root == *root).ok_or("it closes no open window")?;
                channel.close_window();
                Ok(())
            }),
            Record::Exact(exact) | Record::RememberedExact(exact) => self.exact.enter(exact, ticket),
            Record::WrittenOff(given_up) => self.change(given_up.channel_id, |channel| {
                if given_up.amount == Amount::ZERO || given_up.amount > given_up.total {
                    return Err("it gives up nothing, or more than was charged");
                }
                channel.enter_write_off(given_up.total)
            }),
            Record::RememberedWriteOff { channel_id, total } => {
                self.change(*channel_id, |channel| channel.enter_write_off(*total))
            }
            Record::Standing(standing) => {
                self.change(standing.highest.voucher.channelId, |channel| channel.enter_standing(standing))
            }
            Record::Remembered { channel_id, memory } => self.change(*channel_id, |channel| {
                if memory.charged_total > channel.charged {
                    return Err("it remembers a charge that was not made");
                }
                channel.remember(*memory, ticket);
                Ok(())
            }),
        }
    }

    /// The use or write-off that a record is, which was entered last; `None` when it is neither.
    pub(crate) fn usage(&self, sequence: u64, record: &Record) -> Option<UsageEntry> {
        let (channel_id, lane, units, at_s) = match record {
            Record::Exact(exact) => {
                return Some(UsageEntry {
                    sequence,
                    lane: Lane::Exact { payment_id: exact.payment_id },
                    receiver: exact.receiver,
                    token: exact.token,
                    payer: exact.payer,
                    request_id: exact.request_id,
                    units: exact.units,
                    unit_price: unit_price(exact.amount, exact.units),
                    amount: exact.amount,
                    charged_total: exact.amount,
                    at_s: exact.at_s,
                });
            }
            Record::WrittenOff(given_up) => {
                let config = &self.channels.get(&given_up.channel_id)?.config;
                return Some(UsageEntry {
                    sequence,
                    lane: Lane::WrittenOff { channel_id: given_up.channel_id },
                    receiver: config.receiver,
                    token: config.token,
                    payer: config.payer,
                    request_id: B256::ZERO,
                    units: 0,
                    unit_price: Amount::ZERO,
                    amount: given_up.amount,
                    charged_total: given_up.total,
                    at_s: given_up.at_s,
                });
            }
            Record::Charged(charge) => {
                let channel_id = charge.signed.voucher.channelId;
                (channel_id, Lane::Voucher { channel_id }, charge.units, charge.at_s)
            }
            Record::Ticked(tick) => {
                let lane = Lane::Tick { channel_id: tick.channel_id, index: tick.index };
                (tick.channel_id, lane, tick.units, tick.at_s)
            }
            _ => return None,
        };
        let channel = self.channels.get(&channel_id)?;
        let (memory, _) = channel.recent.back()?;
        Some(UsageEntry {
            sequence,
            lane,
            receiver: channel.config.receiver,
            token: channel.config.token,
            payer: channel.config.payer,
            request_id: memory.request_id,
            units,
            unit_price: unit_price(memory.amount, units),
            amount: memory.amount,
            charged_total: memory.charged_total,
            at_s,
        })
    }

    /// What the next segment begins with: all that is remembered. Channels that are spent and were not charged since
    /// `idle_since_s` are left out, and forgotten by [`Books::forget_left_out`].
    ///
    /// Why that serves no use twice (MET-2): the highest voucher that the payer has signed for this gateway and it has
    /// seen is at most what the ledger says was claimed, finally. Opened again, the channel is charged from that amount
    /// on, so an old voucher covers no price above zero, and an old window's base is below it, or was never used.
    pub(crate) fn snapshot(&mut self, idle_since_s: u64) -> Vec<Record> {
        let mut records = Vec::new();
        for (channel_id, channel) in &mut self.channels {
            let is_idle = channel.last_charged_at_s.is_none_or(|last_s| last_s < idle_since_s);
            channel.logged = if channel.highest.is_none() {
                Logged::No
            } else if channel.is_spent() && is_idle {
                Logged::LeftOut
            } else {
                records.extend(channel.records(*channel_id));
                Logged::Yes
            };
        }
        let exact = self.exact.payments.iter().filter_map(|payment| self.exact.by_payment.get(payment));
        records.extend(exact.map(|(record, _)| Record::RememberedExact(record.clone())));
        records
    }

    /// The new segment is there: what was left out of it is forgotten, unless it was opened again meanwhile.
    pub(crate) fn forget_left_out(&mut self) {
        self.channels.retain(|_, channel| channel.logged != Logged::LeftOut);
        let channels = &self.channels;
        self.untouched.retain(|id| channels.get(id).is_some_and(Channel::is_untouched));
    }

    /// The new segment could not be made: the one before knows what was left out, and to introduce a channel to it twice
    /// does no harm.
    pub(crate) fn keep_left_out(&mut self) {
        for channel in self.channels.values_mut().filter(|channel| channel.logged == Logged::LeftOut) {
            channel.logged = Logged::Yes;
        }
    }

    /// All that can be said of a voucher for a charge without looking at the signature.
    pub(crate) fn judge_voucher(
        &self,
        caps: &BTreeMap<Address, Amount>,
        signed: &SignedVoucher,
        charge: &Charge,
    ) -> Result<Verdict, ChargeError> {
        let channel = self.channel(signed.voucher.channelId)?;
        let cap = admit(caps, &channel.config, charge)?;
        let found = signed.max_claimable();
        if let Some(repeated) = channel.repeated(charge, &Proof::Voucher(found))? {
            return Ok(repeated);
        }
        if let Some((open, _)) = channel.window() {
            return Err(ChargeError::InsideWindow { root: open.root });
        }
        let escrow = self.reconciled(channel, signed.voucher.channelId)?;
        let highest = channel.promised();
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
        self.within_cap(channel.config.token, cap, price)?;
        Ok(Verdict::New { charged_total })
    }

    /// All that can be said of a tick for a charge; its signature is the window's.
    pub(crate) fn judge_tick(
        &self,
        caps: &BTreeMap<Address, Amount>,
        tick: &Tick,
        charge: &Charge,
    ) -> Result<Verdict, ChargeError> {
        let channel_id = tick.channel_id;
        let channel = self.channel(channel_id)?;
        let cap = admit(caps, &channel.config, charge)?;
        let proof = Proof::Tick { index: tick.index, preimage: tick.preimage };
        if let Some(repeated) = channel.repeated(charge, &proof)? {
            return Ok(repeated);
        }
        let escrow = self.reconciled(channel, channel_id)?;
        let window = channel.window.as_ref().ok_or(ChargeError::NoWindow { channel_id })?;
        let open = &window.signed.open;
        if charge.amount.0 != open.unitPrice {
            let (expected, found) = (Amount(open.unitPrice), charge.amount);
            return Err(ChargeError::WindowPrice { expected, found });
        }
        let expected = window.used + 1;
        if tick.index != expected {
            return Err(ChargeError::NotNextTick { expected, found: tick.index });
        }
        if tick_before(&tick.preimage) != window.tip {
            return Err(ChargeError::NotOfTheChain { index: tick.index });
        }
        let found = charged_with(open, tick.index).expect("the window's voucher holds more");
        let covered = escrow.covers();
        if found > covered {
            return Err(ChargeError::BeyondEscrow { covered, found });
        }
        self.within_cap(channel.config.token, cap, charge.amount)?;
        Ok(Verdict::New { charged_total: found })
    }

    /// All that can be said of a window without looking at the signatures.
    pub(crate) fn judge_window(
        &self,
        caps: &BTreeMap<Address, Amount>,
        open: &TickOpen,
        voucher: &SignedVoucher,
    ) -> Result<WindowVerdict, WindowError> {
        let channel_id = open.channelId;
        let channel = self.channel(channel_id)?;
        let gateway = self.receiver_authorizer;
        if open.gateway != gateway {
            return Err(WindowError::OtherGateway { expected: gateway, found: open.gateway });
        }
        if voucher.voucher.channelId != channel_id {
            return Err(WindowError::OtherChannel { expected: channel_id, found: voucher.voucher.channelId });
        }
        if !(1..=MAX_TICKS).contains(&open.maxTicks) {
            return Err(WindowError::Ticks { found: open.maxTicks });
        }
        if open.unitPrice == 0 {
            return Err(WindowError::Free);
        }
        let found = voucher.max_claimable();
        let whole = charged_with(open, open.maxTicks).filter(|whole| *whole == found);
        let whole = whole.ok_or(WindowError::Voucher {
            base: Amount(open.base),
            unit_price: Amount(open.unitPrice),
            max_ticks: open.maxTicks,
            found,
        })?;
        if let Some(window) = &channel.window {
            if window.signed.open == *open {
                return Ok(WindowVerdict::Repeated { ticket: window.ticket });
            }
            return Err(WindowError::AlreadyOpen { root: window.signed.open.root });
        }
        let escrow = self.reconciled(channel, channel_id)?;
        if open.base != channel.charged.0 {
            return Err(WindowError::Base { expected: channel.charged, found: Amount(open.base) });
        }
        if open.root == channel.last_root {
            return Err(WindowError::RootUsed { root: open.root });
        }
        let covered = escrow.covers();
        if whole > covered {
            return Err(ChargeError::BeyondEscrow { covered, found: whole }.into());
        }
        let token = channel.config.token;
        let none = ChargeError::Token { expected: token, found: token };
        let cap = caps.get(&token).copied().ok_or(none)?;
        self.within_cap(token, cap, Amount(whole.0 - open.base))?;
        Ok(WindowVerdict::New)
    }

    /// All that can be said of a use that was settled by itself.
    pub(crate) fn judge_exact(&self, record: &ExactRecord) -> Result<Verdict, RecordExactError> {
        let charged = Charged { repeated: true, amount: record.amount, charged_total: record.amount };
        if let Some((known, ticket)) = self.exact.by_payment.get(&record.payment_id) {
            // When it was recorded, and in how many units, may differ the second time; what was recorded stands.
            let same = (known.payer, known.request_id, known.request_digest, known.receiver)
                == (record.payer, record.request_id, record.request_digest, record.receiver)
                && (known.token, known.amount) == (record.token, record.amount);
            if same {
                return Ok(Verdict::Repeated { charged, ticket: *ticket });
            }
            return Err(RecordExactError::PaymentReused { payment_id: record.payment_id });
        }
        if self.exact.by_request.contains_key(&(record.payer, record.request_id)) {
            return Err(RecordExactError::RequestReused { request_id: record.request_id });
        }
        Ok(Verdict::New { charged_total: record.amount })
    }

    fn reconciled(&self, channel: &Channel, channel_id: B256) -> Result<Escrow, ChargeError> {
        channel.escrow.ok_or(ChargeError::NotReconciled { channel_id })
    }

    fn within_cap(&self, token: Address, cap: Amount, raise: Amount) -> Result<(), ChargeError> {
        let unclaimed = self.unclaimed.get(&token).copied().unwrap_or_default();
        if unclaimed + U256::from(raise.0) > U256::from(cap.0) {
            return Err(ChargeError::UnclaimedCap { token, cap });
        }
        Ok(())
    }
}

/// Whether the channel is one for this charge, and how much may be unclaimed in its token.
fn admit(
    caps: &BTreeMap<Address, Amount>,
    config: &ChannelConfig,
    charge: &Charge,
) -> Result<Amount, ChargeError> {
    let Charge { amount, units, .. } = *charge;
    if !has_unit_price(amount, units) {
        return Err(ChargeError::Units { amount, units });
    }
    if config.receiver != charge.receiver {
        return Err(ChargeError::Receiver { expected: charge.receiver, found: config.receiver });
    }
    let cap = caps.get(&config.token).copied();
    cap.filter(|_| config.token == charge.token)
        .ok_or(ChargeError::Token { expected: charge.token, found: config.token })
}

/// Whether the amount is that many times a whole price.
pub(crate) fn has_unit_price(amount: Amount, units: u32) -> bool {
    amount.0.checked_rem(units.into()) == Some(0)
}

const NO_UNIT_PRICE: &str = "its amount is not so many times the price of a unit";

/// The price of each unit of a use that was entered.
fn unit_price(amount: Amount, units: u32) -> Amount {
    Amount(amount.0.checked_div(units.into()).expect("what is entered has units"))
}
