//! The words that every part of Residual shares: ids, amounts, rates, terms and signed messages.
//!
//! Owns: the types, their limits, their text and wire forms, and the hashes that bind them. Refuses: files,
//! clocks, randomness, network, and any rule about who is paid (that is `royalty`).

mod amount;
mod ids;
mod rates;
pub mod signed;
mod terms;

pub use alloy_primitives::{Address, B256, Bytes, U256};
pub use amount::{Amount, AmountError};
pub use ids::{AssetId, IdError, LicenceId, TermsId};
pub use rates::{BPS_ONE, Bps, RateError, Rates, Reach, RevenueKind};
pub use terms::{AssetKind, Rights, Terms, TermsError, VersionsGranted};

/// Units of every asset, from birth and for ever (protocol, section 1, `Shares`).
pub const SHARES_SUPPLY: u32 = 1_000_000;

/// The most edges that one asset may carry (protocol, section 1, "Edges").
pub const MAX_EDGES: usize = 64;

/// The most that an asset's edges may sum to, for each kind and each of own and inherited revenue, in basis points.
pub const MAX_EDGE_RATES_BPS: u16 = 9_000;

/// The most tokens that are ever listed, and so the most in which one asset may earn.
pub const MAX_TOKENS: usize = 4;

/// The longest that revenue may be held by a freeze, in seconds: 90 days (PAY-8).
pub const FREEZE_S: u64 = 90 * 24 * 60 * 60;
