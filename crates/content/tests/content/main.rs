//! Sealed content through its public interface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod key_1;
mod round_trip;
mod seal_1;
mod seal_2;
mod support;
