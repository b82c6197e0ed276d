//! Paid calls over real HTTP, on an embedded ledger, of a model that was trained and published: from a payer's first
//! request to the owner's revenue, the usage records and the audit.

mod contract;
mod operator;
mod payer;
mod raw;
#[path = "../peers/schemathesis.rs"]
mod schemathesis;
mod settling;
mod support;
mod ticks;
mod windows;
