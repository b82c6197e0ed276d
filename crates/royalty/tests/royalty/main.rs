//! Tests of the money rules and of the audit through the public API.

#![expect(clippy::unwrap_used, reason = "a test's helpers may stop it as the test itself does")]

mod arrivals;
mod audit;
mod naive;
mod rules;
mod vectors;
mod world;
