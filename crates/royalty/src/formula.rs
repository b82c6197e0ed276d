//! The formula sheet: what a payment, an edge, an operator and the shares are owed, from cumulative totals alone.
//!
//! Owns: the five formulas of the protocol (section 1, "Formula sheet") and their roundings. Refuses: who pays whom
//! and when. Every result is a function of running totals, never of the payments that made them, so that the order
//! and the number of payments cannot matter (PAY-4).

use residual_primitives::{Amount, BPS_ONE, Bps};
use serde::Serialize;

/// The most that one asset can receive in one token and kind, own and inherited each: 2^112 - 1 units.
pub const MAX_REVENUE: u128 = (1 << 112) - 1;

/// What an asset has received in one token and of one kind since it was registered.
///
/// Both totals are at most [`MAX_REVENUE`], so that every product with a rate fits 128 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Revenue {
    own: Amount,
    inherited: Amount,
}

impl Revenue {
    /// The totals, or `None` when one is above [`MAX_REVENUE`].
    #[must_use]
    pub fn new(own: Amount, inherited: Amount) -> Option<Self> {
        (own.0 <= MAX_REVENUE && inherited.0 <= MAX_REVENUE).then_some(Self { own, inherited })
    }

    /// What tills, payments and purchases brought, after the protocol's fee: `T_own`.
    #[must_use]
    pub fn own(self) -> Amount {
        self.own
    }

    /// What flowed from children: `T_inh`.
    #[must_use]
    pub fn inherited(self) -> Amount {
        self.inherited
    }

    /// With more own revenue, or `None` above [`MAX_REVENUE`].
    #[must_use]
    pub fn with_own(self, net: Amount) -> Option<Self> {
        Self::new(self.own.checked_add(net)?, self.inherited)
    }

    /// With more inherited revenue, or `None` above [`MAX_REVENUE`].
    #[must_use]
    pub fn with_inherited(self, credit: Amount) -> Option<Self> {
        Self::new(self.own, self.inherited.checked_add(credit)?)
    }

    /// This own total, and the inherited one of `later`.
    pub(crate) fn up_to_inherited(self, later: Self) -> Self {
        Self { own: self.own, inherited: later.inherited }
    }
}

/// The rates of one edge, or the sums of an asset's edges, for one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct EdgeRates {
    /// Of own revenue only (reach `ALL`).
    pub all: Bps,
    /// Of all that is received (reach `CHILD`).
    pub child: Bps,
}

impl EdgeRates {
    fn of_own(self) -> u128 {
        u128::from(self.all.get()) + u128::from(self.child.get())
    }

    fn of_inherited(self) -> u128 {
        self.child.get().into()
    }
}

const ONE: u128 = BPS_ONE as u128;

/// Formula 1: the protocol's part of one gross payment.
#[must_use]
pub fn protocol_fee(gross: Amount, fee: Bps) -> Amount {
    gross.mul_rate_down(fee)
}

/// Formula 2: what an edge is owed since its child was registered, of one kind; what was paid already not taken off.
#[must_use]
pub fn edge_owed(revenue: Revenue, edge: EdgeRates) -> Amount {
    let of_own = revenue.own.0 * u128::from(edge.all.get()) / ONE;
    let of_all = (revenue.own.0 + revenue.inherited.0) * u128::from(edge.child.get()) / ONE;
    Amount(of_own + of_all)
}

/// Formula 4: what an operator is owed of the net revenue that came through its granted till.
#[must_use]
pub fn operator_owed(net_through_till: Amount, operator_bps: Bps) -> Amount {
    net_through_till.mul_rate_down(operator_bps)
}

/// Formula 3, the part of own revenue, after what operators take out of it.
///
/// `to_operators` is the exact sum, over granted tills, of net revenue through the till times its operator's rate, in
/// ten-thousandths of a unit. It is taken off before the one rounding: rounding the parents' and the operators' parts
/// apart would let the shares' part fall by a unit when a till is swept.
#[must_use]
pub fn shares_of_own(revenue: Revenue, sums: EdgeRates, to_operators: u128) -> Amount {
    Amount((revenue.own.0 * ONE.saturating_sub(sums.of_own())).saturating_sub(to_operators) / ONE)
}

/// Formula 3, the part of inherited revenue.
#[must_use]
pub fn shares_of_inherited(revenue: Revenue, sums: EdgeRates) -> Amount {
    Amount(revenue.inherited.0 * (ONE - sums.of_inherited()) / ONE)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use proptest::prelude::*;

    use super::*;

    fn bps(rate: u16) -> Bps {
        Bps::new(rate).unwrap()
    }

    fn revenue(own: u128, inherited: u128) -> Revenue {
        Revenue::new(Amount(own), Amount(inherited)).unwrap()
    }

    proptest! {
        /// PAY-2: each reach of an edge is below exact arithmetic by less than one unit, at any size.
        #[test]
        fn pay_2_an_edge_is_owed_the_exact_part_rounded_down(
            own in 0..=MAX_REVENUE, inherited in 0..=MAX_REVENUE, all in 0u16..=9_000, child in 0u16..=9_000,
        ) {
            let revenue = revenue(own, inherited);
            for (edge, exact) in [
                (EdgeRates { all: bps(all), child: Bps::ZERO }, U256::from(own) * U256::from(all)),
                (EdgeRates { all: Bps::ZERO, child: bps(child) }, U256::from(own + inherited) * U256::from(child)),
            ] {
                let owed = U256::from(edge_owed(revenue, edge).0) * U256::from(ONE);
                prop_assert!(owed <= exact && exact - owed < U256::from(ONE));
            }
        }

        /// PAY-1: what edges, operators and shares are owed never exceeds the revenue, and what is left is less
        /// than one unit for each reach of an edge and each operator, plus two.
        #[test]
        fn pay_1_the_parts_never_exceed_the_whole(
            own in 0..=MAX_REVENUE, inherited in 0..=MAX_REVENUE,
            edges in prop::collection::vec((0u16..=70, 0u16..=70), 0..=64),
            tills in prop::collection::vec((0u128..=1_000, 0u16..=1_000), 0..4),
        ) {
            let revenue = revenue(own, inherited);
            let edges: Vec<_> = edges.into_iter().map(|(all, child)| EdgeRates { all: bps(all), child: bps(child) }).collect();
            let sums = EdgeRates {
                all: bps(edges.iter().map(|edge| edge.all.get()).sum()),
                child: bps(edges.iter().map(|edge| edge.child.get()).sum()),
            };
            let tills: Vec<_> = tills.into_iter().map(|(thousandths, rate)| (own / 1_000 / 4 * thousandths, bps(rate))).collect();
            let to_operators = tills.iter().map(|(net, rate)| net * u128::from(rate.get())).sum();
            let owed = edges.iter().map(|edge| edge_owed(revenue, *edge).0).sum::<u128>()
                + tills.iter().map(|(net, rate)| operator_owed(Amount(*net), *rate).0).sum::<u128>()
                + shares_of_own(revenue, sums, to_operators).0
                + shares_of_inherited(revenue, sums).0;
            prop_assert!(owed <= own + inherited);
            let most = 2 * edges.len() + tills.len() + 2;
            prop_assert!(own + inherited - owed < most as u128);
        }
    }
}
