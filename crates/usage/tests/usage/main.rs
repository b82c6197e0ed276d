//! Usage records through the crate's public face: bytes, tree, file, check, and readers and verifiers of others.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod check;
mod file;
mod made;
mod record;
mod stock;
mod tree;
mod vectors;
