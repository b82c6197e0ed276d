//! Channels off the ledger: what a payer promised, what a gateway charged, and what it may redeem.
//!
//! Owns: the payer's [`Purse`], which signs cumulative vouchers and never forgets the highest; the gateway's [`Meter`],
//! which checks a voucher, writes the charge to its write-ahead log and only then lets the answer go (MET-1), once for
//! each request (MET-2) and within what the ledger has confirmed (CH-3); and the rows that redeem those charges.
//! Refuses: the ledger itself (its state is passed in as [`Escrow`], claims are handed out to be sent), private keys
//! (a digest goes out, a signature comes in), and the clock (times are passed in).

mod channels;
mod durable;
mod escrow;
mod fields;
mod log;
mod meter;
mod purse;

pub use channels::{Channels, PayerKey, SignatureError, SignedVoucher};
pub use durable::FileError;
pub use escrow::Escrow;
pub use log::LogError;
pub use meter::{
    ChannelState, Charge, ChargeError, Charged, CommitError, CompactError, Meter, OpenChannelError,
    OpenMeterError, REMEMBERED_CHARGES, Recovery, Rules, UnknownChannel, VoucherClaim, WITHDRAW_DELAYS_S,
};
pub use purse::{OpenPurseError, PromiseError, Purse};
