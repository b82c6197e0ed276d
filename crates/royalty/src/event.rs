//! What the ledger says: the events of `Assets`, `Shares`, `Licences` and `Royalties` from which every credit follows.
//!
//! Owns: their typed form, one variant for each event, named as in the contracts' interfaces, and where one stands
//! on the ledger. Refuses: reading them off a chain (that is `ledger`). Events that move no money and decide no
//! credit (versions, approvals, control) are not here.

use std::fmt;

use residual_primitives::{Address, Amount, AssetId, B256, LicenceId, RevenueKind, Terms, TermsId};
use serde::{Deserialize, Serialize};

use crate::lineage::Edge;

/// Where an event stands on the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The block's number.
    pub block: u64,
    /// The block's time in UNIX seconds.
    pub time_s: u64,
    /// The transaction's hash.
    pub transaction: B256,
    /// The log's index in the block.
    pub log_index: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {}, transaction {}, log {}", self.block, self.transaction, self.log_index)
    }
}

/// An event and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub event: LedgerEvent,
}

/// One event. Amounts are in the token's smallest unit, times in UNIX seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the fields are those of the contracts' interfaces, where each is described")]
pub enum LedgerEvent {
    /// `Licences.TermsDefined`.
    TermsDefined { terms_id: TermsId, number: u64, terms: Box<Terms> },
    /// `Licences.Offered`.
    Offered { asset: AssetId, terms_id: TermsId },
    /// `Licences.Withdrawn`.
    Withdrawn { asset: AssetId, terms_id: TermsId },
    /// `Licences.Bought`. An `expires_at_s` of 0 is never.
    Bought { licence: LicenceId, recipient: Address, terms_id: TermsId, payer: Address, expires_at_s: u64 },
    /// `Licences.Renewed`.
    Renewed { licence: LicenceId, payer: Address, price: Amount, expires_at_s: u64 },
    /// `Licences.SubscriptionUpdate` (ERC-5643). Only a shortened subscription is news here.
    SubscriptionUpdate { licence: LicenceId, expires_at_s: u64 },
    /// `Assets.Registered`.
    Registered { asset: AssetId, registrant: Address, licences: Vec<LicenceId>, edges: Vec<Edge> },
    /// `Shares.TransferSingle` or `TransferBatch`: ids and units. From the zero address when shares are born.
    SharesMoved { from: Address, to: Address, units: Vec<(AssetId, u32)> },
    /// `Royalties.Credited`, after the `TokenMoved` that brought it. `source` is the payer, or the till that was swept.
    Credited {
        asset: AssetId,
        token: Address,
        source: Address,
        kind: RevenueKind,
        gross: Amount,
        fee: Amount,
    },
    /// `Royalties.Swept`, right after the `Credited` of a sweep.
    Swept {
        asset: AssetId,
        operator: Address,
        till: Address,
        token: Address,
        kind: RevenueKind,
        operator_bps: u16,
        granted: bool,
    },
    /// `Royalties.Flowed`. `kinds` ascending; for each of them one amount for each edge, ascending by parent.
    Flowed { child: AssetId, token: Address, kinds: Vec<RevenueKind>, amounts: Vec<Amount> },
    /// `Royalties.Diverted`, ahead of the `Flowed` that it is a part of.
    Diverted { parent: AssetId, token: Address, child: AssetId, kind: RevenueKind, amount: Amount },
    /// `Royalties.DivertedReleased`.
    DivertedReleased { parent: AssetId, token: Address, to: Address, amount: Amount },
    /// `Royalties.Claimed`.
    Claimed { asset: AssetId, token: Address, holder: Address, to: Address, amount: Amount },
    /// `Royalties.OperatorClaimed`.
    OperatorClaimed {
        asset: AssetId,
        token: Address,
        operator: Address,
        kind: RevenueKind,
        operator_bps: u16,
        to: Address,
        amount: Amount,
    },
    /// `Royalties.AwardClaimed`.
    AwardClaimed { account: Address, token: Address, to: Address, amount: Amount },
    /// `Royalties.FeesCollected`.
    FeesCollected { token: Address, treasury: Address, amount: Amount },
    /// `Royalties.OperatorGranted`.
    OperatorGranted { asset: AssetId, operator: Address, kind: RevenueKind, operator_bps: u16 },
    /// `Royalties.OperatorRevoked`.
    OperatorRevoked { asset: AssetId, operator: Address, kind: RevenueKind, operator_bps: u16 },
    /// `Royalties.Frozen`.
    Frozen { asset: AssetId, until_s: u64 },
    /// `Royalties.Ruled`. No claimant: what was held is the holders'.
    Ruled { asset: AssetId, claimant: Option<Address> },
    /// `Royalties.Awarded`, after the `Ruled` that it is a part of.
    Awarded { asset: AssetId, token: Address, claimant: Address, amount: Amount },
    /// `Royalties.FeeSet`.
    FeeSet { fee_bps: u16 },
    /// `Royalties.TreasurySet`.
    TreasurySet { treasury: Address },
    /// `Royalties.ArbiterSet`.
    ArbiterSet { arbiter: Address },
    /// `Royalties.ListingSet`.
    ListingSet { token: Address, listed: bool },
    /// `Transfer` of an ERC-20 token, from or to `Royalties`.
    TokenMoved { token: Address, from: Address, to: Address, amount: Amount },
}
