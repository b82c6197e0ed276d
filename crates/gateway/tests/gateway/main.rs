//! The gateway as its callers know it: over HTTP, on a real ledger.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to stop there")]

mod content;
mod contract;
mod get;
mod http;
mod keys;
mod resources;
#[path = "../peers/schemathesis.rs"]
mod schemathesis;
mod support;
