//! Tests of the money rules and of the audit through the public API.

mod audit;
mod naive;
mod rules;
mod vectors;
mod world;
