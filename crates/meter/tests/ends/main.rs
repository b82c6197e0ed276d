//! Both ends of a channel, through the public API and on real files.

#![expect(clippy::unwrap_used, reason = "what the tests share is test code, too")]

mod charges;
mod concurrency;
mod futures;
mod parties;
mod purse;
mod recovery;
mod segments;
mod windows;
