//! The reference model of Residual's money rules, and the audit.
//!
//! Owns: the formula sheet, the lineage's edges, who is owed what after any sequence of operations ([`Model`]), the
//! recomputation of every credit from a ledger's events ([`Audit`]), and along which path each unit came. Written
//! independently of the contracts, which are tested against it. Refuses: files, clocks, randomness, network, and any
//! token's own behaviour.

mod audit;
mod book;
mod event;
pub mod formula;
mod lineage;
mod model;
mod paths;
mod refusal;
mod report;
mod snapshot;
mod till;

pub use audit::{Audit, AuditDifference, AuditResult, Finding, Subject, audit};
pub use event::{Entry, LedgerEvent, Place};
pub use formula::{EdgeRates, MAX_REVENUE, Revenue};
pub use lineage::{Derivation, Edge, LineageError, check_offered_rates, edges_of_child, rate_sums};
pub use model::{MAX_FEE_BPS, Model, Operation, Payment};
pub use paths::{MAX_PATH_ASSETS, MAX_PATHS, Path, PathEarning};
pub use refusal::{
    BuyError, CreditError, FreezeError, GrantError, LicenceError, OfferError, PayoutError, Refusal,
    RegisterError, SettingsError, TransferError,
};
pub use report::{
    AwardRow, DivertedRow, EdgeRow, HolderRow, OperatorRow, Report, RevenueRow, SharesRow, TokenRow,
};
pub use snapshot::Snapshot;
pub use till::{Contracts, Till};
