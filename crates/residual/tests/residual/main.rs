//! The real binary, as people, machines and accidents use it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to stop there")]

mod audit;
mod bad_input;
mod chains;
mod commands;
mod conformance;
mod dataset;
mod demo;
mod gateway;
mod help;
mod kill;
mod support;
