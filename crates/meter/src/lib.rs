//! Channels off the ledger: what a payer promised, what a gateway charged, and what it may redeem.
//!
//! Owns: the payer's [`Purse`], which signs cumulative vouchers, opens windows of ticks and never forgets what it let go;
//! the gateway's [`Meter`], which checks a voucher or a tick, writes the charge to its write-ahead log and only then lets
//! the answer go (MET-1), once for each request (MET-2) and within what the ledger has confirmed (CH-3); the segments of
//! that log, from which every use can be read; and the rows that redeem those charges.
//! Refuses: the ledger itself (its state is passed in as [`Escrow`], claims are handed out to be sent), private keys
//! (a digest goes out, a signature comes in), chance (a window's seed is passed in), the clock (times are passed in), and
//! any runtime for futures (what is [`Pending`] needs only a waker).

mod books;
mod channels;
mod charges;
mod committer;
mod durable;
mod escrow;
mod fields;
mod log;
mod meter;
mod purse;
mod record;
mod segments;
mod ticks;

pub use books::{REMEMBERED_CHARGES, REMEMBERED_EXACT, REMEMBERED_TICKS};
pub use channels::{Channels, PayerKey, SignatureError, SignedVoucher};
pub use charges::{
    Charge, ChargeError, Charged, Lane, RecordExactError, UnknownChannel, UsageEntry, WindowError,
    WriteOffError,
};
pub use committer::{CommitError, Pending};
pub use durable::FileError;
pub use escrow::Escrow;
pub use log::LogError;
pub use meter::{
    CLAIM_ROWS, ChannelState, Meter, OpenChannelError, OpenMeterError, Recovery, RotateError, Rules,
    VoucherClaim, WITHDRAW_DELAYS_S, WindowState,
};
pub use purse::{
    OpenPurseError, OpenWindowError, PromiseError, Purse, RESERVED_TICKS, ResumeError, TickError, WindowPlan,
};
pub use segments::{DecodeError, Segment, SegmentError, Usage, decode_records, decode_segment};
pub use ticks::{MAX_TICKS, SignedTickOpen, Tick, TickSeed, TickTextError};
