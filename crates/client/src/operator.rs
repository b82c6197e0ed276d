//! Operators: who serves an asset, and has a part of what comes through a till of their own.
//!
//! The part comes out of the shares', never out of the parents' (PAY-9), and only of what is swept while the asset's
//! controller grants it. Owns granting, revoking, what an operator has, and taking it.

use std::collections::BTreeSet;

use alloy_sol_types::SolEvent;
use residual_ledger::{Account, LogQuery, contracts::royalties::Royalties};
use residual_primitives::{Address, Amount, AssetId, B256, RevenueKind, U256};
use residual_royalty::Till;
use serde::Serialize;

use crate::{Client, LedgerError};

/// The largest part of what its shares keep that an asset can grant, in basis points: half.
pub const OPERATOR_BPS_MAX: u16 = 5_000;

/// A grant as it stands after a command.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorGrant {
    /// The asset.
    pub asset: AssetId,
    /// Of which revenue.
    pub kind: RevenueKind,
    /// Whose.
    pub operator: Address,
    /// How much of what the till brings, less the protocol fee, in basis points.
    pub operator_bps: u16,
    /// The operator's till, to which payers pay.
    pub till: Address,
    /// Whether it counts now.
    pub granted: bool,
    /// The transaction; none when it was so already.
    pub transaction: Option<B256>,
}

/// What an operator has of one of its tills, in one token.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorRow {
    /// The asset.
    pub asset: AssetId,
    /// Of which revenue.
    pub kind: RevenueKind,
    /// The part, in basis points.
    pub operator_bps: u16,
    /// The till.
    pub till: Address,
    /// Whether what is swept now brings a part.
    pub granted: bool,
    /// The token.
    pub token: Address,
    /// What lies in the till and was not swept yet, fee and all parts included.
    pub in_till: Amount,
    /// All that was claimed so far.
    pub claimed: Amount,
    /// What can be claimed now.
    pub claimable: Amount,
}

/// What an operator took.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorClaim {
    /// The asset.
    pub asset: AssetId,
    /// Of which revenue.
    pub kind: RevenueKind,
    /// The part, in basis points.
    pub operator_bps: u16,
    /// The token.
    pub token: Address,
    /// How much.
    pub amount: Amount,
}

impl Client {
    /// Grants an operator a part of what comes through its till. What is granted already stays so and costs nothing; what
    /// was swept before stays without.
    ///
    /// # Errors
    /// When the ledger refuses, since somebody else controls the asset or its shares keep less, or cannot be reached.
    pub async fn grant_operator(
        &self,
        controller: &Account,
        till: &Till,
    ) -> Result<OperatorGrant, LedgerError> {
        self.set_grant(controller, till, true).await
    }

    /// Takes a grant back: what is swept from now on brings the operator nothing. What it has stays its own.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached.
    pub async fn revoke_operator(
        &self,
        controller: &Account,
        till: &Till,
    ) -> Result<OperatorGrant, LedgerError> {
        self.set_grant(controller, till, false).await
    }

    async fn set_grant(
        &self,
        controller: &Account,
        till: &Till,
        granted: bool,
    ) -> Result<OperatorGrant, LedgerError> {
        self.asset_row(till.asset).await?;
        let Till { asset, kind, operator, operator_bps } = *till;
        let mut transaction = None;
        if self.is_granted(till).await? != granted {
            let royalties = self.suite().royalties;
            let (id, number) = (asset.to_u256(), kind as u8);
            let receipt = if granted {
                let call =
                    Royalties::grantCall { assetId: id, kind: number, operator, operatorBps: operator_bps };
                self.send(controller, royalties, &call).await?
            } else {
                let call =
                    Royalties::revokeCall { assetId: id, kind: number, operator, operatorBps: operator_bps };
                self.send(controller, royalties, &call).await?
            };
            transaction = Some(receipt.transaction_hash);
        }
        Ok(OperatorGrant {
            asset,
            kind,
            operator,
            operator_bps,
            till: self.till_address(till),
            granted,
            transaction,
        })
    }

    /// Whether the controller grants the till's operator its part now. The asset's own till needs no grant and has none.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn is_granted(&self, till: &Till) -> Result<bool, LedgerError> {
        let call = Royalties::isGrantedCall {
            assetId: till.asset.to_u256(),
            kind: till.kind as u8,
            operator: till.operator,
            operatorBps: till.operator_bps,
        };
        self.call(self.suite().royalties, &call).await
    }

    /// The operators' tills that were ever granted: of one asset, or of one operator, or of all.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn granted_tills(
        &self,
        asset: Option<AssetId>,
        operator: Option<Address>,
    ) -> Result<BTreeSet<Till>, LedgerError> {
        let head = self.chain().head().await?.number;
        self.tills_in(vec![Royalties::OperatorGranted::SIGNATURE_HASH], asset, operator, head).await
    }

    /// The same up to a block, and those that were swept though nobody granted them: all through which an asset has earned.
    pub(crate) async fn operators_tills_to(&self, block: u64) -> Result<BTreeSet<Till>, LedgerError> {
        let events = vec![Royalties::OperatorGranted::SIGNATURE_HASH, Royalties::Swept::SIGNATURE_HASH];
        self.tills_in(events, None, None, block).await
    }

    async fn tills_in(
        &self,
        events: Vec<B256>,
        asset: Option<AssetId>,
        operator: Option<Address>,
        block: u64,
    ) -> Result<BTreeSet<Till>, LedgerError> {
        let assets: Vec<B256> = asset.iter().map(|asset| asset.to_u256().into()).collect();
        let operators: Vec<B256> = operator.iter().map(|operator| operator.into_word()).collect();
        let indexed = [assets, operators, Vec::new()];
        let query = LogQuery { events, indexed, ..LogQuery::of([self.suite().royalties]) };
        let mut tills = BTreeSet::new();
        for log in self.logs_to(query, block).await? {
            let granted = crate::decode::<Royalties::OperatorGranted>(&log)
                .map(|granted| (granted.assetId, granted.kind, granted.operator, granted.operatorBps));
            let till = granted.or_else(|| {
                let swept = crate::decode::<Royalties::Swept>(&log)?;
                Some((swept.assetId, swept.kind, swept.operator, swept.operatorBps))
            });
            let (asset, kind, operator, operator_bps) =
                till.ok_or_else(|| LedgerError::unexpected("a grant or a sweep"))?;
            // The asset's own till is swept too.
            if operator != Address::ZERO {
                let kind = RevenueKind::from_index(kind);
                let kind = kind.ok_or_else(|| LedgerError::unexpected("a kind of revenue"))?;
                tills.insert(Till { asset: crate::asset_id(asset)?, kind, operator, operator_bps });
            }
        }
        Ok(tills)
    }

    /// What an operator has of each of its tills, in each listed token; tokens in which nothing ever came are left out,
    /// but for the currency.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn operator_rows(
        &self,
        operator: Address,
        asset: Option<AssetId>,
    ) -> Result<Vec<OperatorRow>, LedgerError> {
        let currency = self.currency().token;
        let mut rows = Vec::new();
        for till in self.granted_tills(asset, Some(operator)).await? {
            let granted = self.is_granted(&till).await?;
            let earned = self.tokens_of(till.asset).await?.into_iter().filter(|token| *token != currency);
            for token in std::iter::once(currency).chain(earned) {
                let (claimed, claimable) = self.operator_part(&till, token).await?;
                let address = self.till_address(&till);
                let in_till = self.balance(address, token).await?;
                if token != currency && (in_till, claimed, claimable) == Default::default() {
                    continue;
                }
                rows.push(OperatorRow {
                    asset: till.asset,
                    kind: till.kind,
                    operator_bps: till.operator_bps,
                    till: address,
                    granted,
                    token,
                    in_till,
                    claimed,
                    claimable,
                });
            }
        }
        Ok(rows)
    }

    /// What an operator has claimed of a till, and what it can claim.
    async fn operator_part(&self, till: &Till, token: Address) -> Result<(Amount, Amount), LedgerError> {
        let royalties = self.suite().royalties;
        let Till { asset, kind, operator, operator_bps } = *till;
        let (id, kind) = (asset.to_u256(), kind as u8);
        let state =
            Royalties::operatorStateCall { assetId: id, kind, operator, operatorBps: operator_bps, token };
        let claimable = Royalties::operatorClaimableCall {
            assetId: id,
            kind,
            operator,
            operatorBps: operator_bps,
            token,
        };
        let paid: U256 = self.call(royalties, &state).await?.paid;
        let claimable: U256 = self.call(royalties, &claimable).await?;
        Ok((Amount(crate::narrow(paid)?), Amount(crate::narrow(claimable)?)))
    }

    /// Takes what the operator's tills brought it, of one asset or of all, also where the grant was taken back since.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached. Repeated, it takes the rest.
    pub async fn claim_operator(
        &self,
        operator: &Account,
        asset: Option<AssetId>,
    ) -> Result<Vec<OperatorClaim>, LedgerError> {
        let royalties = self.suite().royalties;
        let mut claims = Vec::new();
        for row in self.operator_rows(operator.address(), asset).await? {
            if row.claimable == Amount::ZERO {
                continue;
            }
            let call = Royalties::claimOperatorCall {
                assetId: row.asset.to_u256(),
                kind: row.kind as u8,
                operatorBps: row.operator_bps,
                token: row.token,
                to: operator.address(),
            };
            let receipt = self.send(operator, royalties, &call).await?;
            let claimed = receipt
                .event::<Royalties::OperatorClaimed>(royalties)
                .ok_or_else(|| LedgerError::unexpected("an operator's claim without its event"))?;
            let amount = Amount(crate::narrow(claimed.amount)?);
            let OperatorRow { asset, kind, operator_bps, token, .. } = row;
            claims.push(OperatorClaim { asset, kind, operator_bps, token, amount });
        }
        Ok(claims)
    }

    /// The inference till of the asset at this address: its own, or one of this operator's, whatever its part. Whether the
    /// part is granted makes no difference to a payer: ungranted, all of it is the asset's.
    pub(crate) fn inference_till_at(
        &self,
        asset: AssetId,
        operator: Address,
        address: Address,
    ) -> Option<Till> {
        let own = Till::own(asset, RevenueKind::Inference);
        let of_operator = (1..=OPERATOR_BPS_MAX).map(|operator_bps| Till { operator, operator_bps, ..own });
        std::iter::once(own).chain(of_operator).find(|till| self.till_address(till) == address)
    }
}
