//! Both ends of a channel, through the public API and on real files.

mod charges;
mod concurrency;
mod parties;
mod purse;
mod recovery;
