//! Shares: who holds an asset, and giving units to another.

use alloy_sol_types::SolEvent;
use residual_ledger::{
    Account, LogQuery,
    contracts::{assets::Assets, shares::Shares},
};
use residual_primitives::{Address, AssetId, B256, U256};
use serde::Serialize;

use std::collections::{BTreeMap, BTreeSet};

use crate::{Client, HomeError, LedgerError};

/// Why no units moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// More than the account holds.
    #[error("expected at least {asked} units of {asset} on {holder}, found {found}")]
    TooFew {
        /// The asset.
        asset: AssetId,
        /// Whose.
        holder: Address,
        /// How many were to move.
        asked: u32,
        /// How many are there.
        found: u32,
    },
    /// Nothing to move.
    #[error("expected at least one unit to transfer, found none")]
    Nothing,
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Units that moved.
#[derive(Debug, Clone, Serialize)]
pub struct Transferred {
    /// The asset.
    pub asset: AssetId,
    /// From whom.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// How many.
    pub units: u32,
    /// The transaction.
    pub transaction: B256,
}

impl Client {
    /// How many units of the asset an account holds.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn units(&self, asset: AssetId, holder: Address) -> Result<u32, LedgerError> {
        let call = Shares::balanceOfCall { account: holder, assetId: asset.to_u256() };
        crate::narrow(self.call(self.suite().shares, &call).await?)
    }

    /// Gives units to another. What they earned so far stays the giver's (PAY-5).
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_shares(
        &self,
        from: &Account,
        asset: AssetId,
        to: Address,
        units: u32,
    ) -> Result<Transferred, TransferError> {
        if units == 0 {
            return Err(TransferError::Nothing);
        }
        self.asset_row(asset).await?;
        let parts: [&[u8]; 3] = [&asset.to_be_bytes(), to.as_slice(), &units.to_be_bytes()];
        let mut operation = self.operation(from, "transfer-shares", &parts).await?;
        if !operation.interrupted() {
            let found = self.units(asset, from.address()).await?;
            if found < units {
                return Err(TransferError::TooFew { asset, holder: from.address(), asked: units, found });
            }
        }
        let call = Shares::safeTransferFromCall {
            from: from.address(),
            to,
            id: asset.to_u256(),
            value: U256::from(units),
            data: residual_primitives::Bytes::new(),
        };
        let receipt = operation.send(self.suite().shares, &call).await?;
        Ok(Transferred { asset, from: from.address(), to, units, transaction: receipt.transaction_hash })
    }

    /// Everyone who holds units of the asset, by the events of `Shares`.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn holders(&self, asset: AssetId) -> Result<BTreeMap<Address, u32>, LedgerError> {
        self.asset_row(asset).await?;
        let mut holders = BTreeMap::new();
        for (moved, to) in self.share_moves(None).await? {
            if moved == asset && !holders.contains_key(&to) {
                let units = self.units(asset, to).await?;
                if units > 0 {
                    holders.insert(to, units);
                }
            }
        }
        Ok(holders)
    }

    /// Every asset that units of ever went to the account: in whose revenue it has, or may still be owed, a part.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn assets_of(&self, holder: Address) -> Result<BTreeSet<AssetId>, LedgerError> {
        Ok(self.share_moves(Some(holder)).await?.into_iter().map(|(asset, _)| asset).collect())
    }

    /// Every asset and every account that units of it ever went to; or only to one.
    async fn share_moves(&self, to: Option<Address>) -> Result<BTreeSet<(AssetId, Address)>, LedgerError> {
        let mut moves = BTreeSet::new();
        // Anybody may move no units of anything, to anybody: that says nothing.
        let mut note = |id, value: U256, to| {
            if let (false, Ok(asset)) = (value.is_zero(), AssetId::try_from(id)) {
                moves.insert((asset, to));
            }
        };
        let query = LogQuery {
            events: vec![Shares::TransferSingle::SIGNATURE_HASH, Shares::TransferBatch::SIGNATURE_HASH],
            indexed: [Vec::new(), Vec::new(), to.map(|to| to.into_word()).into_iter().collect()],
            ..LogQuery::of([self.suite().shares])
        };
        for log in self.logs(query).await? {
            if let Some(single) = crate::decode::<Shares::TransferSingle>(&log) {
                note(single.id, single.value, single.to);
            } else if let Some(batch) = crate::decode::<Shares::TransferBatch>(&log) {
                for (id, value) in batch.ids.into_iter().zip(batch.values) {
                    note(id, value, batch.to);
                }
            }
        }
        Ok(moves)
    }

    /// Every asset with its parents, in the order of registration.
    pub(crate) async fn lineage(&self) -> Result<Vec<(AssetId, Vec<AssetId>)>, LedgerError> {
        let mut lineage = Vec::new();
        for log in self.logs(LogQuery::of([self.suite().assets])).await? {
            if let Some(registered) = crate::decode::<Assets::Registered>(&log) {
                let parents = registered.edges.iter().map(|edge| crate::asset_id(*edge >> 112usize));
                lineage.push((crate::asset_id(registered.assetId)?, parents.collect::<Result<_, _>>()?));
            }
        }
        Ok(lineage)
    }
}
