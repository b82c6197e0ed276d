//! The report: who is owed what, and that every unit of every token is accounted for (PAY-1).

use residual_primitives::{Address, Amount, AssetId, RevenueKind};
use serde::Serialize;

use crate::{
    book::{Book, less, operator_owed},
    formula,
    paths::PathEarning,
    till::Till,
};

/// What an asset received of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevenueRow {
    /// The asset.
    pub asset: AssetId,
    /// The token.
    pub token: Address,
    /// The kind.
    pub kind: RevenueKind,
    /// Through its tills, payments and purchases, after the protocol's fee.
    pub own: Amount,
    /// From its children.
    pub inherited: Amount,
}

/// What one edge carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgeRow {
    /// Who owes.
    pub child: AssetId,
    /// Who is owed.
    pub parent: AssetId,
    /// The token.
    pub token: Address,
    /// The kind.
    pub kind: RevenueKind,
    /// Owed since the child was registered.
    pub owed: Amount,
    /// Carried so far, what was diverted included.
    pub carried: Amount,
}

/// What one asset's shares are owed in one token, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharesRow {
    /// The asset.
    pub asset: AssetId,
    /// The token.
    pub token: Address,
    /// Owed to the shares since the beginning.
    pub owed: Amount,
    /// Of that, held by a freeze now.
    pub held: Amount,
    /// Of that, taken by rulings.
    pub awarded: Amount,
    /// Of that, parts of units that make up whole ones only over all holders.
    pub fractions: Amount,
    /// What edges, operators and shares together leave: never payable.
    pub remainder: Amount,
}

/// What one holder earned of one asset in one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HolderRow {
    /// The holder.
    pub holder: Address,
    /// The asset.
    pub asset: AssetId,
    /// The token.
    pub token: Address,
    /// Units held now, of 1,000,000.
    pub units: u32,
    /// Whole units of the token since the beginning.
    pub earned: Amount,
    /// Paid out.
    pub claimed: Amount,
    /// Earned and not paid out.
    pub claimable: Amount,
}

/// What one operator earned through one till in one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorRow {
    /// The till, which names the operator.
    pub till: Till,
    /// The token.
    pub token: Address,
    /// Since the beginning.
    pub earned: Amount,
    /// Paid out.
    pub claimed: Amount,
}

/// What the arbiter named as an account's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AwardRow {
    /// The account.
    pub account: Address,
    /// The token.
    pub token: Address,
    /// By rulings and releases.
    pub awarded: Amount,
    /// Paid out.
    pub claimed: Amount,
}

/// What a parent could not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DivertedRow {
    /// The parent.
    pub parent: AssetId,
    /// The token.
    pub token: Address,
    /// In all.
    pub diverted: Amount,
    /// Given to an account by the arbiter.
    pub released: Amount,
}

/// Where every recorded unit of one token belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenRow {
    /// The token.
    pub token: Address,
    /// Gross payments.
    pub received: Amount,
    /// Claims of holders, operators and awards, and fees collected.
    pub paid_out: Amount,
    /// Received and not paid out.
    pub recorded: Amount,
    /// The protocol's fees in all.
    pub fees: Amount,
    /// Owed to the treasury.
    pub treasury: Amount,
    /// Owed to holders, in whole units.
    pub holders: Amount,
    /// Holders' parts of units.
    pub fractions: Amount,
    /// Owed to operators.
    pub operators: Amount,
    /// Owed to accounts that the arbiter named.
    pub awards: Amount,
    /// Held by freezes.
    pub held: Amount,
    /// Diverted and not released.
    pub diverted: Amount,
    /// Owed by children to parents and not carried yet.
    pub unflowed: Amount,
    /// Remainders.
    pub remainders: Amount,
}

impl TokenRow {
    /// The sum of what is owed and of the remainders.
    #[must_use]
    pub fn accounted(&self) -> Amount {
        let owed = [self.treasury, self.holders, self.operators, self.awards, self.diverted, self.unflowed];
        owed.into_iter().chain([self.held, self.fractions, self.remainders]).sum()
    }
}

/// The whole account, rows in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What each asset received.
    pub revenue: Vec<RevenueRow>,
    /// What each edge carries.
    pub edges: Vec<EdgeRow>,
    /// What each asset's shares are owed.
    pub shares: Vec<SharesRow>,
    /// What each holder earned.
    pub holders: Vec<HolderRow>,
    /// The same by kind and path; sums to [`HolderRow::earned`].
    pub paths: Vec<PathEarning>,
    /// What each operator earned.
    pub operators: Vec<OperatorRow>,
    /// What the arbiter gave to accounts.
    pub awards: Vec<AwardRow>,
    /// What parents could not take.
    pub diverted: Vec<DivertedRow>,
    /// The sums, by token.
    pub tokens: Vec<TokenRow>,
}

impl Report {
    /// Whether every recorded unit is owed to somebody or a named remainder (PAY-1).
    #[must_use]
    pub fn every_unit_is_accounted_for(&self) -> bool {
        self.tokens.iter().all(|row| row.accounted() == row.recorded)
    }

    pub(crate) fn of(book: &Book, now_s: u64) -> Self {
        let mut report = Self {
            revenue: Vec::new(),
            edges: Vec::new(),
            shares: Vec::new(),
            holders: Vec::new(),
            paths: Vec::new(),
            operators: Vec::new(),
            awards: Vec::new(),
            diverted: Vec::new(),
            tokens: Vec::new(),
        };
        for &(asset, token) in book.earnings.keys() {
            report.add_earnings(book, asset, token, now_s);
        }
        for (&(account, token), award) in &book.awards {
            report.awards.push(AwardRow { account, token, awarded: award.credited, claimed: award.paid });
        }
        for (&(parent, token), diverted) in &book.diverted {
            let row = DivertedRow { parent, token, diverted: diverted.credited, released: diverted.paid };
            report.diverted.push(row);
        }
        report.tokens = book.totals.keys().map(|&token| report.token(book, token)).collect();
        report
    }

    fn add_earnings(&mut self, book: &Book, id: AssetId, token: Address, now_s: u64) {
        let (asset, earnings) = (&book.assets[&id], &book.earnings[&(id, token)]);
        let shares_owed = earnings.shares_owed(asset);
        let mut left = shares_owed;
        let mut received = Amount::ZERO;
        for kind in RevenueKind::ALL {
            let (now, before) = (earnings.revenue[kind.index()], earnings.flowed(asset, kind));
            if now == Default::default() {
                continue;
            }
            let (own, inherited) = (now.own(), now.inherited());
            self.revenue.push(RevenueRow { asset: id, token, kind, own, inherited });
            received = [received, own, inherited].into_iter().sum();
            for edge in &asset.edges {
                let owed = formula::edge_owed(now, edge.of(kind));
                let carried = formula::edge_owed(before, edge.of(kind));
                self.edges.push(EdgeRow { child: id, parent: edge.parent, token, kind, owed, carried });
                left = [left, owed].into_iter().sum();
            }
        }
        for (&till, through) in &earnings.tills {
            let earned = operator_owed(till, through);
            self.operators.push(OperatorRow { till, token, earned, claimed: through.paid });
            left = [left, earned].into_iter().sum();
        }
        for holder in earnings.everyone(asset) {
            let (earned, claimed) = (earnings.earned(asset, holder, now_s), earnings.claimed(holder));
            let units = asset.units_of(holder);
            if units == 0 && earned == Amount::ZERO {
                continue;
            }
            let claimable = less(earned, claimed);
            self.holders.push(HolderRow { holder, asset: id, token, units, earned, claimed, claimable });
            for ((kind, path), amount) in earnings.earned_by_path((id, asset), holder, now_s) {
                if amount > 0 {
                    self.paths.push(PathEarning {
                        holder,
                        asset: id,
                        token,
                        kind,
                        path,
                        amount: Amount(amount),
                    });
                }
            }
        }
        self.shares.push(SharesRow {
            asset: id,
            token,
            owed: shares_owed,
            held: earnings.held(asset, now_s),
            awarded: earnings.awarded(),
            fractions: earnings.fractions(asset, now_s),
            remainder: less(received, left),
        });
    }

    fn token(&self, book: &Book, token: Address) -> TokenRow {
        let total = book.totals.get(&token).copied().unwrap_or_default();
        let fees = book.fees.get(&token).copied().unwrap_or_default();
        let shares = || self.shares.iter().filter(|row| row.token == token);
        TokenRow {
            token,
            received: total.credited,
            paid_out: total.paid,
            recorded: total.owed(),
            fees: fees.credited,
            treasury: fees.owed(),
            holders: self.holders.iter().filter(|row| row.token == token).map(|row| row.claimable).sum(),
            fractions: shares().map(|row| row.fractions).sum(),
            operators: (self.operators.iter().filter(|row| row.token == token))
                .map(|row| less(row.earned, row.claimed))
                .sum(),
            awards: (self.awards.iter().filter(|row| row.token == token))
                .map(|row| less(row.awarded, row.claimed))
                .sum(),
            held: shares().map(|row| row.held).sum(),
            diverted: (self.diverted.iter().filter(|row| row.token == token))
                .map(|row| less(row.diverted, row.released))
                .sum(),
            unflowed: (self.edges.iter().filter(|row| row.token == token))
                .map(|row| less(row.owed, row.carried))
                .sum(),
            remainders: shares().map(|row| row.remainder).sum(),
        }
    }
}
