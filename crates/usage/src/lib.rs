//! Usage records: what a gateway metered, in a form that anybody can check.
//!
//! Owns: one record's fields, limits and bytes; the Merkle tree over an epoch's records, whose root the contract
//! `Usage` keeps; the Parquet file in which an epoch is published; and the check that many epochs agree with themselves
//! and with what was committed (AUD-1). Refuses: clocks, files, randomness, network (bytes come in and go out), and any
//! rule about who is paid (that is `royalty`).

mod check;
mod parquet;
mod record;
mod tree;

pub use check::{Checker, Commitment, Recorded, Totals, UsageFault, check};
pub use parquet::{FileError, Head, MAX_FILE_BYTES, Records, UsageFile, WriteError, write};
pub use record::{
    AMOUNT_MAX, AT_MAX_S, Lane, MAX_RECORDS, RECORD_BYTES, RecordError, UsageFields, UsageRecord,
};
pub use tree::{EMPTY_ROOT, RootBuilder, Tree, verify};
