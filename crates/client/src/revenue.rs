//! Money: paying an asset, and bringing revenue home along the lineage.

use std::collections::BTreeSet;

use alloy_sol_types::SolEvent;
use residual_ledger::{
    Account, LogQuery,
    contracts::{royalties::Royalties, test_usd::TestUSD},
};
use residual_primitives::{Address, Amount, AssetId, B256, RevenueKind, U256};
use residual_royalty::Till;
use serde::Serialize;

use crate::{Client, HomeError, LedgerError, Money};

/// All four kinds, as `flow` takes them.
const ALL_KINDS: U256 = U256::from_limbs([0b1111, 0, 0, 0]);

/// Why nothing was paid.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// The payer has too little.
    #[error("expected {needed} on {account}, found {found}: fund the account")]
    InsufficientFunds {
        /// The payer.
        account: Address,
        /// What it takes.
        needed: Box<Money>,
        /// What is there.
        found: Box<Money>,
    },
    /// Nothing is no payment.
    #[error("expected an amount above zero, found 0")]
    Nothing,
    /// The token takes no signed payments.
    #[error("token {token} takes no signed payments (EIP-3009): pay with gas of your own, without --sign")]
    NoAuthorizations {
        /// The token.
        token: Address,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A payment that the ledger has.
#[derive(Debug, Clone, Serialize)]
pub struct Paid {
    /// The asset.
    pub asset: AssetId,
    /// What it was for.
    pub kind: RevenueKind,
    /// How much.
    pub amount: Amount,
    /// The till that it lies in; none when it was credited at once.
    pub till: Option<Address>,
    /// The transaction.
    pub transaction: B256,
}

/// What a claim brought.
#[derive(Debug, Clone, Serialize)]
pub struct ClaimRow {
    /// The asset.
    pub asset: AssetId,
    /// The token.
    pub token: Address,
    /// Who claimed.
    pub holder: Address,
    /// How much.
    pub amount: Amount,
}

/// What a holder had and has of one asset, in one token, by the final blocks.
#[derive(Debug, Clone, Serialize)]
pub struct PayoutRow {
    /// The asset.
    pub asset: AssetId,
    /// The token.
    pub token: Address,
    /// All that was claimed so far.
    pub claimed: Amount,
    /// How often.
    pub claims: u64,
    /// What could be claimed now. What lies in tills, or was not carried from children yet, is not in it.
    pub claimable: Amount,
}

/// What a sweep brought out of a till.
#[derive(Debug, Clone, Serialize)]
pub struct SweptRow {
    /// The asset.
    pub asset: AssetId,
    /// What the till is for.
    pub kind: RevenueKind,
    /// The token.
    pub token: Address,
    /// How much, fee included.
    pub amount: Amount,
}

/// What collecting did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Collected {
    /// Swept out of tills.
    pub swept: Vec<SweptRow>,
    /// Assets with a till that the ledger did not let be swept.
    pub refused: Vec<AssetId>,
    /// Assets whose parents were paid.
    pub flowed: usize,
    /// What was claimed.
    pub claims: Vec<ClaimRow>,
}

impl Client {
    /// Pays an asset, directly or into its till of that kind.
    ///
    /// # Errors
    /// When the payer has too little, or the ledger refuses or cannot be reached.
    pub async fn pay(
        &self,
        payer: &Account,
        asset: AssetId,
        kind: RevenueKind,
        amount: Amount,
        into_till: bool,
    ) -> Result<Paid, PayError> {
        if amount == Amount::ZERO {
            return Err(PayError::Nothing);
        }
        self.asset_row(asset).await?;
        let token = self.currency().token;
        let royalties = self.suite().royalties;
        let parts: [&[u8]; 4] =
            [&asset.to_be_bytes(), &[kind as u8], &amount.0.to_be_bytes(), &[into_till.into()]];
        let mut operation = self.operation(payer, "pay", &parts).await?;
        if into_till {
            let till = self.till(asset, kind).await?;
            if !operation.interrupted() {
                self.check_funds(payer.address(), token, amount).await?;
            }
            let call = TestUSD::transferCall { to: till, value: U256::from(amount.0) };
            let receipt = operation.send(token, &call).await?;
            return Ok(Paid { asset, kind, amount, till: Some(till), transaction: receipt.transaction_hash });
        }
        if !operation.interrupted() {
            self.allow(payer, token, royalties, amount).await?;
        }
        let call = Royalties::payCall {
            assetId: asset.to_u256(),
            kind: kind as u8,
            token,
            amount: U256::from(amount.0),
        };
        let receipt = operation.send(royalties, &call).await?;
        Ok(Paid { asset, kind, amount, till: None, transaction: receipt.transaction_hash })
    }

    /// The asset's till of that kind without an operator.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn till(&self, asset: AssetId, kind: RevenueKind) -> Result<Address, LedgerError> {
        let call = Royalties::tillCall {
            assetId: asset.to_u256(),
            kind: kind as u8,
            operator: Address::ZERO,
            operatorBps: 0,
        };
        self.call(self.suite().royalties, &call).await
    }

    /// Brings what lies in the asset's tills into its revenue, in every listed token: its own, and those of operators that
    /// were ever granted a part; what was claimed of channels for them is settled first. Empty tills cost nothing.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached.
    pub async fn sweep(&self, account: &Account, asset: AssetId) -> Result<Vec<SweptRow>, LedgerError> {
        self.sweep_tokens(account, asset, &self.listed_tokens().await?).await
    }

    async fn sweep_tokens(
        &self,
        account: &Account,
        asset: AssetId,
        tokens: &BTreeSet<Address>,
    ) -> Result<Vec<SweptRow>, LedgerError> {
        let own = RevenueKind::ALL.map(|kind| Till::own(asset, kind));
        let operators = self.granted_tills(Some(asset), None).await?;
        let mut swept = Vec::new();
        for till in own.into_iter().chain(operators) {
            for &token in tokens {
                swept.extend(match till.kind {
                    RevenueKind::Inference => self.settle_and_sweep(account, &till, token).await?,
                    _ => self.sweep_till(account, &till, token).await?,
                });
            }
        }
        Ok(swept)
    }

    /// The tokens that are or were listed: no others can be swept.
    async fn listed_tokens(&self) -> Result<BTreeSet<Address>, LedgerError> {
        let listings = LogQuery {
            events: vec![Royalties::ListingSet::SIGNATURE_HASH],
            ..LogQuery::of([self.suite().royalties])
        };
        let listings = self.logs(listings).await?;
        Ok(listings.iter().filter_map(crate::decode::<Royalties::ListingSet>).map(|set| set.token).collect())
    }

    /// Carries what the asset owes to its parents, in every token it earned in. Nothing owed costs nothing.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached.
    pub async fn flow(&self, account: &Account, asset: AssetId) -> Result<bool, LedgerError> {
        let royalties = self.suite().royalties;
        let mut flowed = false;
        for token in self.tokens_of(asset).await? {
            let pending =
                self.call(royalties, &Royalties::pendingFlowCall { childId: asset.to_u256(), token }).await?;
            if pending.amounts.iter().flatten().any(|amount| !amount.is_zero()) {
                let call = Royalties::flowCall { childId: asset.to_u256(), token, kinds: ALL_KINDS };
                self.send(account, royalties, &call).await?;
                flowed = true;
            }
        }
        Ok(flowed)
    }

    /// Takes what the holder's shares of the asset earned, in every token.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached.
    pub async fn claim(&self, holder: &Account, asset: AssetId) -> Result<Vec<ClaimRow>, LedgerError> {
        let mut claims = Vec::new();
        for token in self.tokens_of(asset).await? {
            if self.claimable(asset, token, holder.address()).await? == Amount::ZERO {
                continue;
            }
            let call = Royalties::claimCall { assetId: asset.to_u256(), token, to: holder.address() };
            let receipt = self.send(holder, self.suite().royalties, &call).await?;
            let claimed = receipt
                .event::<Royalties::Claimed>(self.suite().royalties)
                .ok_or_else(|| LedgerError::unexpected("a claim without its event"))?;
            let amount = Amount(crate::narrow(claimed.amount)?);
            claims.push(ClaimRow { asset, token, holder: holder.address(), amount });
        }
        Ok(claims)
    }

    /// What the holder could claim now.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn claimable(
        &self,
        asset: AssetId,
        token: Address,
        holder: Address,
    ) -> Result<Amount, LedgerError> {
        let call = Royalties::claimableCall { assetId: asset.to_u256(), token, holder };
        Ok(Amount(crate::narrow(self.call(self.suite().royalties, &call).await?)?))
    }

    /// What the holder's shares of an asset brought and can bring, in each token that it earned in.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAsset`], or when the ledger cannot be reached.
    pub async fn payouts(&self, asset: AssetId, holder: Address) -> Result<Vec<PayoutRow>, LedgerError> {
        let block = self.chain().final_head().await?.number;
        let query = LogQuery {
            events: vec![Royalties::Claimed::SIGNATURE_HASH],
            indexed: [vec![asset.to_u256().into()], Vec::new(), vec![holder.into_word()]],
            ..LogQuery::of([self.suite().royalties])
        };
        let mut claims: Vec<Royalties::Claimed> = Vec::new();
        for log in self.logs_to(query, block).await? {
            claims.push(crate::decode(&log).ok_or_else(|| LedgerError::unexpected("a claim"))?);
        }
        let mut rows = Vec::new();
        for token in self.tokens_of(asset).await? {
            let mut row =
                PayoutRow { asset, token, claimed: Amount::ZERO, claims: 0, claimable: Amount::ZERO };
            for claim in claims.iter().filter(|claim| claim.token == token) {
                let claimed = row.claimed.checked_add(Amount(crate::narrow(claim.amount)?));
                row.claimed = claimed.ok_or_else(|| LedgerError::unexpected("claims beyond any supply"))?;
                row.claims += 1;
            }
            let call = Royalties::claimableCall { assetId: asset.to_u256(), token, holder };
            let claimable = self.call_at(self.suite().royalties, &call, block).await?;
            row.claimable = Amount(crate::narrow(claimable)?);
            rows.push(row);
        }
        Ok(rows)
    }

    /// Everything that brings a holder's money home: sweeps and flows every descendant of the asset, children before
    /// parents, then claims. Without an asset, for all assets that the holder has shares of.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached.
    pub async fn collect(&self, holder: &Account, asset: Option<AssetId>) -> Result<Collected, LedgerError> {
        let lineage = self.lineage().await?;
        let mine: BTreeSet<AssetId> = match asset {
            Some(asset) => {
                self.asset_row(asset).await?;
                [asset].into()
            }
            None => self.assets_of(holder.address()).await?,
        };
        let listed = self.listed_tokens().await?;
        let mut collected = Collected::default();
        for one in upstream_of(&mine, &lineage) {
            match self.sweep_tokens(holder, one, &listed).await {
                Ok(swept) => collected.swept.extend(swept),
                // Anybody may fill a till beyond what an asset can be credited; the holder's other money is not that.
                Err(error) if error.is_refusal() => collected.refused.push(one),
                Err(error) => return Err(error),
            }
            if self.flow(holder, one).await? {
                collected.flowed += 1;
            }
        }
        for one in mine {
            collected.claims.extend(self.claim(holder, one).await?);
        }
        Ok(collected)
    }

    /// Makes sure that the account has `amount` and lets `spender` take it.
    pub(crate) async fn allow(
        &self,
        account: &Account,
        token: Address,
        spender: Address,
        amount: Amount,
    ) -> Result<(), PayError> {
        if amount == Amount::ZERO {
            return Ok(());
        }
        self.check_funds(account.address(), token, amount).await?;
        Ok(self.approve(account, token, spender, amount).await?)
    }

    /// Makes sure that the account has `needed`.
    pub(crate) async fn check_funds(
        &self,
        account: Address,
        currency: Address,
        needed: Amount,
    ) -> Result<(), PayError> {
        let found = self.balance(account, currency).await?;
        if found < needed {
            let money = |amount| Box::new(self.money(currency, amount));
            let (needed, found) = (money(needed), money(found));
            return Err(PayError::InsufficientFunds { account, needed, found });
        }
        Ok(())
    }
}

/// `assets` and all that descend from them, latest registered first, so that a flow finds all that came from below.
///
/// `lineage` lists every asset with its parents, in the order of registration; a parent always stands before its child
/// (LIN-1).
fn upstream_of(assets: &BTreeSet<AssetId>, lineage: &[(AssetId, Vec<AssetId>)]) -> Vec<AssetId> {
    let mut concerned = assets.clone();
    let mut order = Vec::new();
    for (asset, parents) in lineage {
        if parents.iter().any(|parent| concerned.contains(parent)) {
            concerned.insert(*asset);
        }
        if concerned.contains(asset) {
            order.push(*asset);
        }
    }
    order.reverse();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_swept_before_their_parents_and_strangers_not_at_all() {
        let [a, b, c, d]: [AssetId; 4] = ["1", "2", "3", "4"].map(|id| id.parse().unwrap());
        let lineage = [(a, vec![]), (d, vec![]), (b, vec![a]), (c, vec![b, d])];
        assert_eq!(upstream_of(&[a].into(), &lineage), [c, b, a]);
        assert_eq!(upstream_of(&[d].into(), &lineage), [c, d]);
    }
}
