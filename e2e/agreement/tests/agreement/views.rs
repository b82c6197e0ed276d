//! Every balance as the contracts' views show it, in the model's own form.

use std::{collections::BTreeMap, fmt::Debug};

use residual_ledger::{
    Address, U256,
    contracts::{Royalties, Shares, TestUSD},
};
use residual_primitives::{Amount, AssetId, RevenueKind};
use residual_royalty::{Revenue, Snapshot, Till};

use crate::world::{Batch, World};

/// What to look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub(crate) assets: Vec<AssetId>,
    pub(crate) tills: Vec<Till>,
}

/// The ledger at one moment.
pub(crate) struct Seen {
    pub(crate) now_s: u64,
    pub(crate) snapshot: Snapshot,
    /// By token and account.
    pub(crate) wallets: BTreeMap<(Address, Address), Amount>,
}

/// Reads all balances, as they are at one second: a freeze can end at the next.
pub(crate) async fn read(world: &World, scope: &Scope) -> Seen {
    loop {
        if let Some(seen) = read_within_a_second(world, scope).await {
            return seen;
        }
    }
}

async fn read_within_a_second(world: &World, scope: &Scope) -> Option<Seen> {
    let royalties = world.royalties();
    let everybody = world.everybody();
    let mut batch = Batch::default();
    let clock = batch.ask(world.suite.shares.address, &Shares::clockCall {});

    let mut pairs = Vec::new();
    let mut units = Vec::new();
    for &asset in &scope.assets {
        let id = asset.to_u256();
        for &token in &world.tokens {
            let revenue = batch.ask(royalties, &Royalties::revenueCall { assetId: id, token });
            let flowed = batch.ask(royalties, &Royalties::flowedCall { assetId: id, token });
            let pending = batch.ask(royalties, &Royalties::pendingFlowCall { childId: id, token });
            let owed = batch.ask(royalties, &Royalties::sharesOwedCall { assetId: id, token });
            let held = batch.ask(royalties, &Royalties::heldCall { assetId: id, token });
            let diverted = batch.ask(royalties, &Royalties::divertedCall { parentId: id, token });
            let claimable = everybody.iter().map(|&holder| {
                (holder, batch.ask(royalties, &Royalties::claimableCall { assetId: id, token, holder }))
            });
            let claimable: Vec<_> = claimable.collect();
            pairs.push((asset, token, revenue, flowed, pending, owed, held, diverted, claimable));
        }
        for &account in &everybody {
            let balance = Shares::balanceOfCall { account, assetId: id };
            units.push((asset, account, batch.ask(world.suite.shares.address, &balance)));
        }
    }
    let mut tills = Vec::new();
    for &till in &scope.tills {
        let (id, kind, operator, bps) =
            (till.asset.to_u256(), till.kind as u8, till.operator, till.operator_bps);
        for &token in &world.tokens {
            let claimable =
                Royalties::operatorClaimableCall { assetId: id, kind, operator, operatorBps: bps, token };
            let lying = Royalties::pendingTillCall { assetId: id, kind, operator, operatorBps: bps, token };
            tills.push((till, token, batch.ask(royalties, &claimable), batch.ask(royalties, &lying)));
        }
    }
    let mut tokens = Vec::new();
    for &token in &world.tokens {
        let fees = batch.ask(royalties, &Royalties::feesAccruedCall { token });
        let recorded = batch.ask(token, &TestUSD::balanceOfCall { account: royalties });
        let accounts = everybody.iter().map(|&account| {
            let balance = batch.ask(token, &TestUSD::balanceOfCall { account });
            (account, balance, batch.ask(royalties, &Royalties::awardCall { account, token }))
        });
        let accounts: Vec<_> = accounts.collect();
        tokens.push((token, fees, recorded, accounts));
    }

    let clock_after = batch.ask(world.suite.shares.address, &Shares::clockCall {});
    let answers = batch.read(&world.chain).await;
    if answers.to(&clock) != answers.to(&clock_after) {
        return None;
    }
    let mut seen =
        Seen { now_s: answers.to(&clock).to(), snapshot: Snapshot::default(), wallets: BTreeMap::new() };
    let all = &mut seen.snapshot;
    for (asset, token, revenue, flowed, pending, owed, held, diverted, claimable) in &pairs {
        let (revenue, flowed, pending) = (answers.to(revenue), answers.to(flowed), answers.to(pending));
        for kind in RevenueKind::ALL {
            let at = kind.index();
            let totals = |own: [U256; 4], inherited: [U256; 4]| {
                Revenue::new(amount(own[at]), amount(inherited[at])).expect("totals of at most 112 bits")
            };
            all.revenue.insert((*asset, *token, kind), totals(revenue.own, revenue.inherited));
            all.flowed.insert((*asset, *token, kind), totals(flowed.own, flowed.inherited));
            for (parent, due) in pending.parents.iter().zip(&pending.amounts[at]) {
                let parent = AssetId::try_from(*parent).expect("a parent's id");
                all.pending_flow.insert((*asset, parent, *token, kind), amount(*due));
            }
        }
        all.shares_owed.insert((*asset, *token), amount(answers.to(owed)));
        all.held.insert((*asset, *token), amount(answers.to(held)));
        all.diverted.insert((*asset, *token), amount(answers.to(diverted)));
        for (holder, claimable) in claimable {
            all.claimable.insert((*asset, *token, *holder), amount(answers.to(claimable)));
        }
    }
    for (asset, account, balance) in &units {
        all.units.insert((*asset, *account), answers.to(balance).to());
    }
    for (till, token, claimable, lying) in &tills {
        all.operator_claimable.insert((*till, *token), amount(answers.to(claimable)));
        all.in_tills.insert((*till, *token), amount(answers.to(lying)));
    }
    for (token, fees, recorded, accounts) in &tokens {
        all.fees.insert(*token, amount(answers.to(fees)));
        all.recorded.insert(*token, amount(answers.to(recorded)));
        for (account, balance, award) in accounts {
            seen.wallets.insert((*token, *account), amount(answers.to(balance)));
            all.awards.insert((*account, *token), amount(answers.to(award)));
        }
    }
    all.drop_zeros();
    Some(seen)
}

pub(crate) fn amount(word: U256) -> Amount {
    Amount(word.try_into().expect("below 2^128, as no more was minted"))
}

/// The first differences between what the model expects and what the ledger shows, a line each; empty if none.
pub(crate) fn differences(expected: &Snapshot, found: &Snapshot) -> String {
    let mut lines = Lines::default();
    lines.compare("revenue", &expected.revenue, &found.revenue);
    lines.compare("flowed", &expected.flowed, &found.flowed);
    lines.compare("pendingFlow", &expected.pending_flow, &found.pending_flow);
    lines.compare("sharesOwed", &expected.shares_owed, &found.shares_owed);
    lines.compare("held", &expected.held, &found.held);
    lines.compare("claimable", &expected.claimable, &found.claimable);
    lines.compare("operatorClaimable", &expected.operator_claimable, &found.operator_claimable);
    lines.compare("award", &expected.awards, &found.awards);
    lines.compare("diverted", &expected.diverted, &found.diverted);
    lines.compare("feesAccrued", &expected.fees, &found.fees);
    lines.compare("balance of Royalties", &expected.recorded, &found.recorded);
    lines.compare("pendingTill", &expected.in_tills, &found.in_tills);
    lines.compare("units", &expected.units, &found.units);
    // A map that is not listed above must not go uncompared.
    if lines.0.is_empty() && expected != found {
        lines.0.push_str("the snapshots differ in a map that is not compared by name\n");
    }
    lines.0
}

/// The same for the wallets.
pub(crate) fn wallet_differences(
    expected: &BTreeMap<(Address, Address), Amount>,
    found: &BTreeMap<(Address, Address), Amount>,
) -> String {
    let mut lines = Lines::default();
    lines.compare("wallet", expected, found);
    lines.0
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn compare<K: Debug + Ord + Copy, V: Debug + PartialEq>(
        &mut self,
        what: &str,
        expected: &BTreeMap<K, V>,
        found: &BTreeMap<K, V>,
    ) {
        let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
        let differing = keys.into_iter().filter(|key| expected.get(key) != found.get(key));
        for key in differing.take(3) {
            let (model, ledger) = (expected.get(key), found.get(key));
            self.0.push_str(&format!("{what} {key:?}: model {model:?}, ledger {ledger:?}\n"));
        }
    }
}
