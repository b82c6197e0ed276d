//! Every balance at one moment, as the contracts' views show them: to compare a model with a ledger to the unit.
//!
//! Entries of zero are left out, so that two snapshots are equal exactly when all balances are.

use std::collections::BTreeMap;

use residual_primitives::{Address, Amount, AssetId, RevenueKind};

use crate::{
    book::{Account, Book},
    formula::{self, Revenue},
    till::Till,
};

/// All balances. Each map names the view of `Royalties` (or `Shares`) that it mirrors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// `revenue`, by asset, token and kind.
    pub revenue: BTreeMap<(AssetId, Address, RevenueKind), Revenue>,
    /// `flowed`: the revenue up to which parents were paid. Inherited revenue that is owed to no parent counts as carried.
    pub flowed: BTreeMap<(AssetId, Address, RevenueKind), Revenue>,
    /// `pendingFlow`, by child, parent, token and kind.
    pub pending_flow: BTreeMap<(AssetId, AssetId, Address, RevenueKind), Amount>,
    /// `sharesOwed`, by asset and token.
    pub shares_owed: BTreeMap<(AssetId, Address), Amount>,
    /// `held`, by asset and token.
    pub held: BTreeMap<(AssetId, Address), Amount>,
    /// `claimable`, by asset, token and holder.
    pub claimable: BTreeMap<(AssetId, Address, Address), Amount>,
    /// `operatorClaimable`, by till and token.
    pub operator_claimable: BTreeMap<(Till, Address), Amount>,
    /// `award`, by account and token.
    pub awards: BTreeMap<(Address, Address), Amount>,
    /// `diverted`, by parent and token.
    pub diverted: BTreeMap<(AssetId, Address), Amount>,
    /// `feesAccrued`, by token.
    pub fees: BTreeMap<Address, Amount>,
    /// What the token's balance of `Royalties` must be at least (PAY-1), by token.
    pub recorded: BTreeMap<Address, Amount>,
    /// What lies in tills (`pendingTill`), by till and token. An audit cannot know and leaves it empty.
    pub in_tills: BTreeMap<(Till, Address), Amount>,
    /// `Shares.balanceOf`, by asset and holder.
    pub units: BTreeMap<(AssetId, Address), u32>,
}

impl Snapshot {
    pub(crate) fn of(book: &Book, now_s: u64) -> Self {
        let mut all = Self::default();
        for (&(id, token), earnings) in &book.earnings {
            let asset = &book.assets[&id];
            for kind in RevenueKind::ALL {
                let (now, before) = (earnings.revenue[kind.index()], earnings.flowed(asset, kind));
                all.revenue.insert((id, token, kind), now);
                all.flowed.insert((id, token, kind), before);
                for edge in &asset.edges {
                    let owed = |revenue| formula::edge_owed(revenue, edge.of(kind));
                    all.pending_flow
                        .insert((id, edge.parent, token, kind), crate::book::less(owed(now), owed(before)));
                }
            }
            all.shares_owed.insert((id, token), earnings.open(asset, now_s));
            all.held.insert((id, token), earnings.held(asset, now_s));
            for holder in earnings.everyone(asset) {
                all.claimable.insert((id, token, holder), book.claimable(id, token, holder, now_s));
            }
            for &till in earnings.tills.keys() {
                all.operator_claimable.insert((till, token), book.operator_claimable(till, token));
            }
        }
        let owed = |(key, account): (&_, &Account)| (*key, account.owed());
        all.awards = book.awards.iter().map(|(key, account)| (*key, account.owed())).collect();
        all.diverted = book.diverted.iter().map(|(key, account)| (*key, account.owed())).collect();
        all.fees = book.fees.iter().map(owed).collect();
        all.recorded = book.totals.iter().map(owed).collect();
        for (id, asset) in &book.assets {
            all.units.extend(asset.units.iter().map(|(holder, units)| ((*id, *holder), *units)));
        }
        all.drop_zeros();
        all
    }

    /// Leaves out every entry of zero, as a snapshot must be to be compared.
    pub fn drop_zeros(&mut self) {
        fn drop<K: Ord, V: Default + PartialEq>(map: &mut BTreeMap<K, V>) {
            map.retain(|_, value| *value != V::default());
        }
        drop(&mut self.revenue);
        drop(&mut self.flowed);
        drop(&mut self.pending_flow);
        drop(&mut self.shares_owed);
        drop(&mut self.held);
        drop(&mut self.claimable);
        drop(&mut self.operator_claimable);
        drop(&mut self.awards);
        drop(&mut self.diverted);
        drop(&mut self.fees);
        drop(&mut self.recorded);
        drop(&mut self.in_tills);
        drop(&mut self.units);
    }
}
