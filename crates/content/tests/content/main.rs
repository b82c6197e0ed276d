//! Sealed content through its public interface.

mod key_1;
mod round_trip;
mod seal_1;
mod seal_2;
mod support;
