//! The audit: every credit recomputed from public events, then every balance compared with the ledger's own.

use residual_ledger::contracts::{royalties::Royalties, shares::Shares, test_usd::TestUSD};
use residual_primitives::{Address, Amount, AssetId, RevenueKind, U256};
use residual_royalty::{Audit, AuditDifference, Report, Revenue, Snapshot};
use serde::Serialize;

use crate::{Client, LedgerError, UsageAudit, UsageDifference};

/// Why the audit did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Something is wrong with the history, and this is the first of it.
    #[error(transparent)]
    Difference(#[from] Box<AuditDifference>),
    /// The sums do not add up, though every event does.
    #[error(
        "expected every recorded unit to be owed to somebody or a named remainder, found a token where it is not"
    )]
    NotAccounted,
    /// Revenue and usage records do not agree, or the records are not what was committed.
    #[error(transparent)]
    Usage(#[from] UsageDifference),
    /// The ledger cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What the audit found: a history in which every credit is right.
#[derive(Debug, Clone, Serialize)]
pub struct Audited {
    /// Events read.
    pub events: usize,
    /// The last block read.
    pub block: u64,
    /// Balances compared with the ledger's own.
    pub balances: usize,
    /// What gateways recorded, held against what they claimed.
    pub usage: UsageAudit,
    /// The whole account.
    #[serde(flatten)]
    pub report: Report,
}

impl Client {
    /// Recomputes every credit since the deployment, compares every balance with the ledger's own and sums them up.
    ///
    /// # Errors
    /// The first difference (AUD-1), or that the ledger cannot be reached.
    pub async fn audit(&self) -> Result<Audited, AuditError> {
        let head = self.chain().head().await.map_err(LedgerError::from)?;
        let entries = self.entries(head.number).await?;
        let mut audit = Audit::new(self.contracts(), [self.currency().token]);
        for entry in &entries {
            audit = audit.read(entry)?;
        }
        let expected = audit.snapshot(head.timestamp_s);
        let closing = self.closing(&expected, head.number).await?;
        let balances = expected.revenue.len()
            + expected.flowed.len()
            + expected.pending_flow.len()
            + expected.shares_owed.len()
            + expected.held.len()
            + expected.claimable.len()
            + expected.operator_claimable.len()
            + expected.awards.len()
            + expected.diverted.len()
            + expected.fees.len()
            + expected.recorded.len()
            + expected.units.len();
        let report = audit.finish(head.timestamp_s, Some(&closing))?;
        if !report.every_unit_is_accounted_for() {
            return Err(AuditError::NotAccounted);
        }
        let usage = self.audit_usage(head.number).await?;
        Ok(Audited { events: entries.len(), block: head.number, balances, usage, report })
    }

    /// The ledger's own answer for every balance that the audit reckoned, in the state after a block.
    async fn closing(&self, expected: &Snapshot, block: u64) -> Result<Snapshot, LedgerError> {
        let royalties = self.suite().royalties;
        let amount = |number: U256| crate::narrow(number).map(Amount);
        let mut found = Snapshot::default();
        let earned: std::collections::BTreeSet<(AssetId, Address)> =
            expected.revenue.keys().map(|(asset, token, _)| (*asset, *token)).collect();
        for (asset, token) in earned {
            let id = asset.to_u256();
            let revenue =
                self.call_at(royalties, &Royalties::revenueCall { assetId: id, token }, block).await?;
            let flowed =
                self.call_at(royalties, &Royalties::flowedCall { assetId: id, token }, block).await?;
            let pending =
                self.call_at(royalties, &Royalties::pendingFlowCall { childId: id, token }, block).await?;
            for kind in RevenueKind::ALL {
                let at = kind.index();
                let both = |own, inherited| -> Result<Revenue, LedgerError> {
                    Revenue::new(amount(own)?, amount(inherited)?)
                        .ok_or_else(|| LedgerError::unexpected("revenue above 112 bits"))
                };
                found.revenue.insert((asset, token, kind), both(revenue.own[at], revenue.inherited[at])?);
                found.flowed.insert((asset, token, kind), both(flowed.own[at], flowed.inherited[at])?);
                for (parent, owed) in pending.parents.iter().zip(&pending.amounts[at]) {
                    found
                        .pending_flow
                        .insert((asset, crate::asset_id(*parent)?, token, kind), amount(*owed)?);
                }
            }
            let owed =
                self.call_at(royalties, &Royalties::sharesOwedCall { assetId: id, token }, block).await?;
            found.shares_owed.insert((asset, token), amount(owed)?);
            let held = self.call_at(royalties, &Royalties::heldCall { assetId: id, token }, block).await?;
            found.held.insert((asset, token), amount(held)?);
        }
        for &(asset, token, holder) in expected.claimable.keys() {
            let call = Royalties::claimableCall { assetId: asset.to_u256(), token, holder };
            let claimable = self.call_at(royalties, &call, block).await?;
            found.claimable.insert((asset, token, holder), amount(claimable)?);
        }
        for &(till, token) in expected.operator_claimable.keys() {
            let call = Royalties::operatorClaimableCall {
                assetId: till.asset.to_u256(),
                kind: till.kind as u8,
                operator: till.operator,
                operatorBps: till.operator_bps,
                token,
            };
            let claimable = self.call_at(royalties, &call, block).await?;
            found.operator_claimable.insert((till, token), amount(claimable)?);
        }
        for &(account, token) in expected.awards.keys() {
            let award = self.call_at(royalties, &Royalties::awardCall { account, token }, block).await?;
            found.awards.insert((account, token), amount(award)?);
        }
        for &(parent, token) in expected.diverted.keys() {
            let call = Royalties::divertedCall { parentId: parent.to_u256(), token };
            let diverted = self.call_at(royalties, &call, block).await?;
            found.diverted.insert((parent, token), amount(diverted)?);
        }
        for &token in expected.fees.keys() {
            let fees = self.call_at(royalties, &Royalties::feesAccruedCall { token }, block).await?;
            found.fees.insert(token, amount(fees)?);
        }
        for &token in expected.recorded.keys() {
            let call = TestUSD::balanceOfCall { account: royalties };
            // A balance may have any size, since anybody may add to it.
            let balance = self.call_at(token, &call, block).await?;
            found.recorded.insert(token, Amount(balance.saturating_to()));
        }
        for &(asset, account) in expected.units.keys() {
            let call = Shares::balanceOfCall { account, assetId: asset.to_u256() };
            let units = self.call_at(self.suite().shares, &call, block).await?;
            found.units.insert((asset, account), crate::narrow(units)?);
        }
        found.drop_zeros();
        Ok(found)
    }
}
