//! Along which path money came: for what each holder earned, the assets it passed on its way up the lineage.
//!
//! Owns: the attribution of flowed and earned units to paths. Refuses to decide anything: no credit depends on it.
//!
//! An edge is owed a rounded part of a total, not a part of each payment, so which path a whole unit came along is a
//! convention, and this is it. Whenever money flows over an edge, the edge's cumulative total is divided among the
//! paths by which the child received its revenue, in proportion to what each brought to the edge: every path gets
//! the floor of its part, the units left over go to the paths with the largest remainders, the earlier path first
//! among equals, and no path ever loses a unit it was given before. The shares' part of inherited revenue is
//! divided in the same way at every transfer of shares and for every report, and so is what a holder earned. Each
//! step therefore adds up to the unit, and a path's figure is within a few units of the exact product of its rates.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::U256;
use residual_primitives::{Address, Amount, AssetId, RevenueKind};
use serde::Serialize;

use crate::formula::{EdgeRates, Revenue};

/// How many paths one asset tells apart in one token and kind. Any further one is cut to its last edge, so that a
/// lineage with exponentially many paths cannot exhaust an auditor.
pub const MAX_PATHS: usize = 1_024;

/// How many assets a path names. Of a longer one the beginning is cut, since reach `CHILD` has no limit of depth.
pub const MAX_PATH_ASSETS: usize = 64;

/// The assets that money passed: first the one that was paid, last the one whose shares earned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Path {
    assets: Vec<AssetId>,
    cut: bool,
}

impl Path {
    fn own(asset: AssetId) -> Self {
        Self { assets: vec![asset], cut: false }
    }

    fn extended(&self, parent: AssetId) -> Self {
        let beyond = (self.assets.len() + 1).saturating_sub(MAX_PATH_ASSETS);
        let assets = self.assets[beyond..].iter().copied().chain([parent]).collect();
        Self { assets, cut: self.cut || beyond > 0 }
    }

    fn last_edge(child: AssetId, parent: AssetId) -> Self {
        Self { assets: vec![child, parent], cut: true }
    }

    /// The assets, at least one.
    #[must_use]
    pub fn assets(&self) -> &[AssetId] {
        &self.assets
    }

    /// Whether the beginning was cut off: an asset had more than [`MAX_PATHS`], or more than [`MAX_PATH_ASSETS`] were
    /// passed.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cut {
            f.write_str(".. > ")?;
        }
        for (place, asset) in self.assets.iter().enumerate() {
            if place > 0 {
                f.write_str(" > ")?;
            }
            asset.fmt(f)?;
        }
        Ok(())
    }
}

/// What a holder earned of one asset in one token, of one kind and along one path, in whole units.
///
/// Over all kinds and paths it sums to what the holder earned of that asset in that token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathEarning {
    /// Whose shares earned.
    pub holder: Address,
    /// The asset whose shares they are.
    pub asset: AssetId,
    /// The token.
    pub token: Address,
    /// What was paid for, at the first asset of the path.
    pub kind: RevenueKind,
    /// The assets the money passed, the last one being `asset`.
    pub path: Path,
    /// Whole units.
    pub amount: Amount,
}

type Source = (RevenueKind, Path);
type Parts = BTreeMap<Source, u128>;

#[derive(Debug, Clone, Default)]
struct HolderTrace {
    since: Parts,
    /// Unit-shares times units of the token, as in the book.
    accrued: BTreeMap<Source, U256>,
}

/// The paths of one asset in one token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    inherited: Parts,
    sent: BTreeMap<AssetId, Parts>,
    shares: Parts,
    at_freeze: Parts,
    diverted: Parts,
    holders: BTreeMap<Address, HolderTrace>,
}

/// The shares' part of one kind, as the formula sheet has it.
pub(crate) struct SharesParts {
    pub(crate) own: [Amount; 4],
    pub(crate) inherited: [Amount; 4],
}

impl Trace {
    /// Divides what an edge has carried by now and returns what each path gained, beginning at the payment and
    /// ending at `parent`.
    pub(crate) fn flow(
        &mut self,
        (child, parent): (AssetId, AssetId),
        kind: RevenueKind,
        revenue: Revenue,
        rates: EdgeRates,
        owed: Amount,
    ) -> Vec<(Path, u128)> {
        let part = |amount: u128, rate: u128| U256::from(amount) * U256::from(rate);
        let (all, child_rate) = (u128::from(rates.all.get()), u128::from(rates.child.get()));
        let mut weights =
            BTreeMap::from([((kind, Path::own(child)), part(revenue.own().0, all + child_rate))]);
        if child_rate > 0 {
            weights.extend(
                of_kind(&self.inherited, kind)
                    .map(|(source, amount)| (source.clone(), part(*amount, child_rate))),
            );
        }
        let sent = self.sent.entry(parent).or_default();
        let now = apportion(owed.0, &weights, sent);
        let gained = now
            .iter()
            .map(|(source, amount)| {
                (source.1.extended(parent), amount - sent.get(source).copied().unwrap_or(0))
            })
            .filter(|(_, gained)| *gained > 0)
            .collect();
        sent.extend(now);
        gained
    }

    /// Takes in what flowed from `child`.
    pub(crate) fn inherit(
        &mut self,
        (child, parent): (AssetId, AssetId),
        kind: RevenueKind,
        gained: Vec<(Path, u128)>,
    ) {
        let mut known = of_kind(&self.inherited, kind).count();
        for (path, amount) in gained {
            let mut source = (kind, path);
            if !self.inherited.contains_key(&source) {
                if known >= MAX_PATHS {
                    source.1 = Path::last_edge(child, parent);
                }
                known += 1;
            }
            *self.inherited.entry(source).or_default() += amount;
        }
    }

    fn divided(&self, asset: AssetId, shares: &SharesParts) -> Parts {
        let mut parts = Parts::new();
        for kind in RevenueKind::ALL {
            let weights = of_kind(&self.inherited, kind)
                .map(|(source, amount)| (source.clone(), U256::from(*amount)))
                .collect();
            parts.extend(apportion(shares.inherited[kind.index()].0, &weights, &self.shares));
            parts.insert((kind, Path::own(asset)), shares.own[kind.index()].0);
        }
        parts
    }

    fn open_to_holders(&self, divided: &Parts, frozen: bool) -> Parts {
        let of = |parts: &Parts, source| parts.get(source).copied().unwrap_or(0);
        let open = |source, amount| if frozen { of(&self.at_freeze, source) } else { amount };
        divided
            .iter()
            .map(|(source, amount)| (source.clone(), open(source, *amount) - of(&self.diverted, source)))
            .collect()
    }

    /// Sets apart what the shares earn from now on.
    pub(crate) fn freeze(&mut self, asset: AssetId, shares: &SharesParts) {
        self.shares = self.divided(asset, shares);
        self.at_freeze = self.shares.clone();
    }

    /// Takes what was set apart away from the holders.
    pub(crate) fn award(&mut self, asset: AssetId, shares: &SharesParts) {
        self.shares = self.divided(asset, shares);
        for (source, amount) in &self.shares {
            let before = self.at_freeze.get(source).copied().unwrap_or(0);
            *self.diverted.entry(source.clone()).or_default() += amount - before;
        }
    }

    /// Settles a holder who held `units` until now.
    pub(crate) fn checkpoint(
        &mut self,
        asset: AssetId,
        shares: &SharesParts,
        frozen: bool,
        holder: Address,
        units: u32,
    ) {
        self.shares = self.divided(asset, shares);
        let open = self.open_to_holders(&self.shares, frozen);
        let trace = self.holders.entry(holder).or_default();
        accrue(trace, &open, units);
        trace.since = open;
    }

    /// What a holder earned, `earned` whole units in all, by kind and path.
    pub(crate) fn earned(
        &self,
        asset: AssetId,
        shares: &SharesParts,
        frozen: bool,
        holder: Address,
        units: u32,
        earned: Amount,
    ) -> BTreeMap<Source, u128> {
        let mut trace = self.holders.get(&holder).cloned().unwrap_or_default();
        accrue(&mut trace, &self.open_to_holders(&self.divided(asset, shares), frozen), units);
        apportion(earned.0, &trace.accrued, &Parts::new())
    }
}

fn accrue(trace: &mut HolderTrace, open: &Parts, units: u32) {
    for (source, amount) in open {
        let growth = amount - trace.since.get(source).copied().unwrap_or(0);
        if growth > 0 && units > 0 {
            *trace.accrued.entry(source.clone()).or_default() += U256::from(growth) * U256::from(units);
        }
    }
}

fn of_kind(parts: &Parts, kind: RevenueKind) -> impl Iterator<Item = (&Source, &u128)> {
    parts.iter().filter(move |((of, _), _)| *of == kind)
}

/// Divides `total` by weight: floors, then one unit each to the largest remainders, and never less than `given`.
///
/// The parts sum to `total`, provided that what was given to the same sources does not exceed it.
fn apportion(total: u128, weights: &BTreeMap<Source, U256>, given: &Parts) -> BTreeMap<Source, u128> {
    let sum = weights.values().fold(U256::ZERO, |sum, weight| sum + weight);
    if sum.is_zero() {
        return BTreeMap::new();
    }
    let mut parts: Vec<_> = weights
        .iter()
        .map(|(source, weight)| {
            let (floor, remainder) = (U256::from(total) * weight).div_rem(sum);
            (source, floor.to::<u128>(), remainder)
        })
        .collect();
    // A stable sort: among equal remainders the earlier path comes first.
    parts.sort_by(|(.., a), (.., b)| b.cmp(a));
    let floors: u128 = parts.iter().map(|(_, floor, _)| floor).sum();
    let left = usize::try_from(total - floors).expect("floors leave less than one unit for each part");
    for (_, part, _) in parts.iter_mut().take(left) {
        *part += 1;
    }
    let mut excess = 0;
    for (source, part, _) in &mut parts {
        let before = given.get(source).copied().unwrap_or(0);
        excess += before.saturating_sub(*part);
        *part = (*part).max(before);
    }
    for (source, part, _) in parts.iter_mut().rev() {
        let taken = excess.min(*part - given.get(source).copied().unwrap_or(0));
        *part -= taken;
        excess -= taken;
    }
    parts.into_iter().map(|(source, part, _)| (source.clone(), part)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(number: usize) -> Source {
        let asset = AssetId::try_from(U256::from(number + 1)).unwrap();
        (RevenueKind::Licence, Path::own(asset))
    }

    proptest! {
        #[test]
        fn a_division_sums_to_the_unit_and_takes_nothing_back(
            steps in prop::collection::vec((0usize..5, 0u128..1 << 100), 1..30), rate in 1u128..10_000,
        ) {
            let mut weights = BTreeMap::new();
            let mut given = Parts::new();
            for (path, amount) in steps {
                *weights.entry(source(path)).or_insert(U256::ZERO) += U256::from(amount);
                let all: U256 = weights.values().fold(U256::ZERO, |sum, weight| sum + weight);
                let total = (all * U256::from(rate) / U256::from(10_000)).to::<u128>();
                let now = apportion(total, &weights, &given);
                if !all.is_zero() {
                    prop_assert_eq!(now.values().sum::<u128>(), total);
                }
                prop_assert!(given.iter().all(|(source, before)| now[source] >= *before));
                given = now;
            }
        }
    }

    #[test]
    fn the_unit_left_over_goes_to_the_largest_remainder_and_the_earlier_path_among_equals() {
        let weights = |parts: [u64; 3]| {
            parts.iter().enumerate().map(|(n, part)| (source(n), U256::from(*part))).collect()
        };
        let divided =
            |total, parts| apportion(total, &weights(parts), &Parts::new()).into_values().collect::<Vec<_>>();
        assert_eq!(divided(10, [1, 1, 1]), [4, 3, 3]);
        assert_eq!(divided(10, [10, 10, 79]), [1, 1, 8]);
        assert_eq!(divided(2, [1, 2, 2]), [0, 1, 1]);
    }
}
