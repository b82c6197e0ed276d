//! What a use is, how it is paid for, and why it is refused.

use alloy_primitives::{Address, B256};
use residual_primitives::Amount;

use crate::{channels::SignatureError, committer::CommitError};

/// One use and its price, in the smallest unit of `token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Names the request on its channel, or of its payer; chosen by the payer.
    pub request_id: B256,
    /// The hash of all that the answer depends on; a repeated id must bring the same.
    pub request_digest: B256,
    /// Who is paid: the inference till of the asset that is used.
    pub receiver: Address,
    /// In which token.
    pub token: Address,
    /// How much, for all units; zero is recorded like any other.
    pub amount: Amount,
    /// How many units that is, at least one, of the same price each.
    pub units: u32,
    /// When, in UNIX seconds.
    pub at_s: u64,
}

/// A charge: the answer may go once it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// The request had been charged before and was not charged again.
    pub repeated: bool,
    /// What this use cost, when it was first charged.
    pub amount: Amount,
    /// Charged on the channel with this use, cumulative; of a use that was settled by itself, its amount.
    pub charged_total: Amount,
}

/// How a use was paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Lane A: by a voucher of its own.
    Voucher {
        /// On this channel.
        channel_id: B256,
    },
    /// Lane B: by a tick.
    Tick {
        /// Of the window on this channel.
        channel_id: B256,
        /// Which one, from 1.
        index: u32,
    },
    /// Settled on the ledger by itself.
    Exact {
        /// What names that payment.
        payment_id: B256,
    },
    /// No use: what was charged on a channel is given up.
    WrittenOff {
        /// This channel.
        channel_id: B256,
    },
}

/// One use of a segment of the log, or a write-off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEntry {
    /// Its place in the segment: rising, with gaps where the log says other things.
    pub sequence: u64,
    /// How it was paid for.
    pub lane: Lane,
    /// Who was paid: the inference till of the asset that was used.
    pub receiver: Address,
    /// In which token.
    pub token: Address,
    /// Who paid.
    pub payer: Address,
    /// Names the request on its channel, or of its payer; zero of a write-off.
    pub request_id: B256,
    /// How many units were used; none of a write-off.
    pub units: u32,
    /// The price of each, in the token's smallest unit; zero of a write-off.
    pub unit_price: Amount,
    /// `units` times `unit_price`; of a write-off what is given up.
    pub amount: Amount,
    /// Charged on the channel with this use, cumulative; of a use that was settled by itself, its amount.
    pub charged_total: Amount,
    /// When, in UNIX seconds.
    pub at_s: u64,
}

/// Why nothing was written off.
#[derive(Debug, thiserror::Error)]
pub enum WriteOffError {
    /// The channel is not open here.
    #[error(transparent)]
    UnknownChannel(#[from] UnknownChannel),
    /// The log failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// No such channel is open here.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("expected an open channel, found {channel_id}; open it with its configuration first")]
pub struct UnknownChannel {
    /// What was asked for.
    pub channel_id: B256,
}

/// Why a use was not charged, and so must not be served.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    /// The voucher or tick is of a channel that is not open here.
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
    /// The gateway's own mistake: no unit has a whole price.
    #[error(
        "expected an amount that is so many times the price of a unit, found {amount} for {units}; price each unit"
    )]
    Units {
        /// For all units.
        amount: Amount,
        /// How many.
        units: u32,
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
    /// The request id was used for another request, or with another voucher or tick (MET-2).
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
    /// A voucher while ticks are counted: only one of the two can say how much was charged.
    #[error("expected a tick of the open window {root}, found a voucher; use the window up or close it")]
    InsideWindow {
        /// The window's root.
        root: B256,
    },
    /// A tick, and nothing to count it in.
    #[error(
        "expected an open window on channel {channel_id}, found none; open one and begin with its first tick"
    )]
    NoWindow {
        /// The channel.
        channel_id: B256,
    },
    /// The window's ticks have another price.
    #[error(
        "expected a use at the window's price {expected}, found one at {found}; close the window and open one at that price"
    )]
    WindowPrice {
        /// The window's.
        expected: Amount,
        /// The use's.
        found: Amount,
    },
    /// Another tick than the next, so it pays for nothing new, or leaves some out (MET-2).
    #[error("expected tick {expected}, found {found}; send the ticks in their order, each once")]
    NotNextTick {
        /// The next.
        expected: u32,
        /// What was sent.
        found: u32,
    },
    /// It does not hash to the tick before.
    #[error("expected the preimage of tick {}, found another; check which window the ticks are of", index - 1)]
    NotOfTheChain {
        /// Of the tick that was sent, from 1.
        index: u32,
    },
    /// More is promised than is there (CH-3).
    #[error(
        "expected a promise of at most {covered} (confirmed balance less pending withdrawal), found {found}; top the \
         channel up and wait until the ledger has confirmed it"
    )]
    BeyondEscrow {
        /// What the escrow covers.
        covered: Amount,
        /// The promise.
        found: Amount,
    },
    /// The gateway must claim before it goes on.
    #[error(
        "expected at most {cap} of token {token} to be unclaimed, found that this would exceed it; try again after the next claim"
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

/// Why a window was not opened or closed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// As a charge on this channel would be refused.
    #[error(transparent)]
    Refused(#[from] ChargeError),
    /// The anchor is for another gateway, which counts by itself.
    #[error("expected a window of gateway {expected}, found one of {found}; sign one for this gateway")]
    OtherGateway {
        /// This one.
        expected: Address,
        /// The anchor's.
        found: Address,
    },
    /// The voucher is of another channel than the anchor.
    #[error("expected a voucher of channel {expected}, found one of {found}; sign both for one channel")]
    OtherChannel {
        /// The anchor's.
        expected: B256,
        /// The voucher's.
        found: B256,
    },
    /// No ticks, or too many.
    #[error("expected a window of 1 to 1024 ticks, found {found}; sign one within these bounds")]
    Ticks {
        /// The anchor's.
        found: u32,
    },
    /// Ticks that are worth nothing would serve without end.
    #[error("expected a price above zero, found 0; sign a window at the gateway's price")]
    Free,
    /// The voucher is not exactly for the window.
    #[error(
        "expected a voucher of {base} + {max_ticks} x {unit_price}, found {found}; sign one of exactly that"
    )]
    Voucher {
        /// The anchor's.
        base: Amount,
        /// The anchor's.
        unit_price: Amount,
        /// The anchor's.
        max_ticks: u32,
        /// The voucher's.
        found: Amount,
    },
    /// One window at a time.
    #[error("expected no open window on the channel, found {root}; use it up or close it first")]
    AlreadyOpen {
        /// The open window's root.
        root: B256,
    },
    /// The window does not begin where the channel stands, as one that was used before does not (MET-2).
    #[error(
        "expected a window from {expected} on, which is charged so far, found one from {found}; sign one from there"
    )]
    Base {
        /// Charged so far.
        expected: Amount,
        /// The anchor's.
        found: Amount,
    },
    /// The chain of the window before, whose ticks others may have seen.
    #[error("expected a root that was not used, found {root} again; draw a new chain")]
    RootUsed {
        /// The root.
        root: B256,
    },
    /// There is no such window to be closed.
    #[error(
        "expected window {root} to be open on the channel, found that it is not; ask for the channel's state"
    )]
    NotOpen {
        /// What was to be closed.
        root: B256,
    },
}

impl From<UnknownChannel> for WindowError {
    fn from(error: UnknownChannel) -> Self {
        Self::Refused(error.into())
    }
}

impl From<SignatureError> for WindowError {
    fn from(error: SignatureError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<CommitError> for WindowError {
    fn from(error: CommitError) -> Self {
        Self::Refused(error.into())
    }
}

/// Why a use that was settled by itself was not recorded, and so must not be served.
#[derive(Debug, thiserror::Error)]
pub enum RecordExactError {
    /// The gateway's own mistake: no unit has a whole price.
    #[error(
        "expected an amount that is so many times the price of a unit, found {amount} for {units}; price each unit"
    )]
    Units {
        /// For all units.
        amount: Amount,
        /// How many.
        units: u32,
    },
    /// One payment, two uses (MET-2).
    #[error(
        "expected a payment for this request, found {payment_id}, which another was served for; pay for this one"
    )]
    PaymentReused {
        /// The payment.
        payment_id: B256,
    },
    /// The payer has used the id with another payment.
    #[error(
        "expected a new request id, found {request_id}, which was paid for before; send that payment again or draw a new id"
    )]
    RequestReused {
        /// The id.
        request_id: B256,
    },
    /// The record could not be made durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
}
