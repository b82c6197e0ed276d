//! The money rules as properties of drawn histories, and each rule's own examples.

use std::collections::BTreeMap;

use proptest::prelude::*;
use residual_primitives::{
    Address, Amount, AssetId, B256, BPS_ONE, LicenceId, Rates, Reach, RevenueKind, Rights, U256,
};
use residual_royalty::{
    BuyError, CreditError, FreezeError, GrantError, LedgerEvent, LineageError, MAX_PATH_ASSETS, MAX_REVENUE,
    OfferError, Operation, Payment, Refusal, RegisterError, SettingsError, Till,
};

use crate::world::*;

const LICENCE: RevenueKind = RevenueKind::Licence;
const INFERENCE: RevenueKind = RevenueKind::Inference;

fn played(steps: &[Step]) -> World {
    let mut world = started();
    steps.iter().for_each(|step| world.play(step));
    world
}

fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(prop_oneof![20 => step(), 1 => freeze_step()], 1..count)
}

proptest! {
    /// PAY-1: after every step each recorded unit is owed to somebody or a named remainder, and remainders are less
    /// than one unit for each reach of an edge and each operator, plus two, of each kind.
    #[test]
    fn pay_1_every_unit_is_accounted_for_after_every_step(steps in steps(60)) {
        let mut world = started();
        for step in &steps {
            world.play(step);
            let report = world.model.report(world.now_s);
            prop_assert!(report.every_unit_is_accounted_for(), "{step:?}: {:?}", report.tokens);
            for row in &report.shares {
                let reaches: usize = world.model.edges(row.asset).iter().map(|edge| {
                    RevenueKind::ALL.iter().map(|kind| usize::from(edge.all.of(*kind).get() > 0) + usize::from(edge.child.of(*kind).get() > 0)).sum::<usize>()
                }).sum();
                let tills = report.operators.iter().filter(|till| till.till.asset == row.asset && till.token == row.token).count();
                prop_assert!(row.remainder.0 < (reaches + tills + 8) as u128 + 1, "{row:?}");
            }
        }
    }

    /// PAY-2: each edge's credit is its exact part of the child's cumulative credit, rounded down once for each reach.
    #[test]
    fn pay_2_an_edge_is_credited_its_part_of_the_cumulative_revenue(steps in steps(80)) {
        let world = played(&steps);
        let report = world.model.report(world.now_s);
        let revenue: BTreeMap<_, _> = report.revenue.iter().map(|row| ((row.asset, row.token, row.kind), row)).collect();
        for row in &report.edges {
            let edge = world.model.edges(row.child).iter().find(|edge| edge.parent == row.parent).unwrap();
            let (all, child) = (edge.all.of(row.kind).get(), edge.child.of(row.kind).get());
            let total = revenue[&(row.child, row.token, row.kind)];
            let exact = U256::from(total.own.0) * U256::from(all)
                + (U256::from(total.own.0) + U256::from(total.inherited.0)) * U256::from(child);
            let owed = U256::from(row.owed.0) * U256::from(BPS_ONE);
            let reaches = u64::from(all > 0) + u64::from(child > 0);
            prop_assert!(owed <= exact && exact - owed <= U256::from(reaches * u64::from(BPS_ONE)));
            prop_assert!(reaches == 0 || exact - owed < U256::from(reaches * u64::from(BPS_ONE)));
        }
    }

    /// LIN-1: every parent is older than its child and has one edge; LIN-1 and the limits hold in every lineage.
    #[test]
    fn lin_1_the_lineage_is_acyclic_with_one_edge_per_ancestor(steps in steps(80)) {
        let world = played(&steps);
        for (age, asset) in world.assets.iter().enumerate() {
            let edges = world.model.edges(*asset);
            prop_assert!(edges.windows(2).all(|pair| pair[0].parent < pair[1].parent));
            prop_assert!(edges.iter().all(|edge| world.assets[..age].contains(&edge.parent)));
            for kind in RevenueKind::ALL {
                let sum: u32 = edges.iter().map(|edge| u32::from(edge.all.of(kind).get() + edge.child.of(kind).get())).sum();
                prop_assert!(sum <= 9_000);
            }
            // What a parent owes its own ancestors by reach ALL, the child owes at least as much.
            for parent in edges.iter().map(|edge| edge.parent) {
                for ancestor in world.model.edges(parent).iter().filter(|edge| edge.all != Rates::default()) {
                    let own = edges.iter().find(|edge| edge.parent == ancestor.parent);
                    prop_assert!(own.is_some_and(|own| own.all.max(ancestor.all) == own.all) || !derived_under(&world, *asset, parent));
                }
            }
        }
    }

    /// The table of paths sums to every holder's earnings to the unit, and each path runs along edges.
    #[test]
    fn earnings_by_path_sum_to_the_unit(steps in steps(80)) {
        let mut world = played(&steps);
        world.flow_all();
        let report = world.model.report(world.now_s);
        let mut sums: BTreeMap<_, u128> = BTreeMap::new();
        for row in &report.paths {
            *sums.entry((row.asset, row.token, row.holder)).or_default() += row.amount.0;
            prop_assert_eq!(row.path.assets().last(), Some(&row.asset));
            for pair in row.path.assets().windows(2) {
                prop_assert!(world.model.edges(pair[0]).iter().any(|edge| edge.parent == pair[1]));
            }
        }
        for row in &report.holders {
            prop_assert_eq!(sums.get(&(row.asset, row.token, row.holder)).copied().unwrap_or(0), row.earned.0);
        }
    }

    /// PAY-4: whatever lies in tills and edges, any interleaving of sweep, flow and claim ends in the same totals of
    /// assets and edges and in the same credits of holders.
    #[test]
    fn pay_4_order_does_not_matter(
        steps in steps(40),
        fills in prop::collection::vec((any::<(u8, u8, u8)>(), 1u128..1 << 60), 1..12),
        first in prop::collection::vec(any::<(u8, u8, u8)>(), 0..40),
        second in prop::collection::vec(any::<(u8, u8, u8)>(), 0..40),
    ) {
        // A parent that is full takes what comes first: with few tokens and sums none is.
        let steps: Vec<_> = steps.into_iter().map(modest).collect();
        let mut world = played(&steps);
        world.now_s += 100 * DAY_S;
        let tills: Vec<_> = fills.iter().map(|((asset, kind, token_number), amount)| {
            let asset = world.assets[usize::from(*asset) % world.assets.len()];
            let till = Till::own(asset, RevenueKind::ALL[usize::from(*kind) % 4]);
            (till, token(token_number % 2), *amount)
        }).collect();
        for (till, token, amount) in &tills {
            world.must(person(9), Operation::FillTill { till: *till, token: *token, amount: Amount(*amount) });
        }
        let end = |order: &[(u8, u8, u8)]| {
            let mut world = world.clone();
            for (what, one, other) in order {
                let asset = world.assets[usize::from(*one) % world.assets.len()];
                let (till, token, _) = tills[usize::from(*one) % tills.len()];
                match what % 3 {
                    0 => world.must(person(9), Operation::Sweep { till, token }),
                    1 => world.must(person(9), Operation::Flow { child: asset, token, kinds: other % 15 + 1 }),
                    _ => world.must(person(other % 6), Operation::Claim { asset, token, to: person(other % 6) }),
                };
            }
            for (till, token, _) in &tills {
                world.must(person(9), Operation::Sweep { till: *till, token: *token });
            }
            world.flow_all();
            let report = world.model.report(world.now_s);
            let earned: Vec<_> = report.holders.into_iter().map(|row| (row.asset, row.token, row.holder, row.earned)).collect();
            (report.revenue, report.edges, report.shares, earned)
        };
        prop_assert_eq!(end(&first), end(&second));
    }

    /// PAY-9: the same revenue through any granted operator's till leaves every parent what it is owed without one.
    #[test]
    fn pay_9_an_operator_takes_nothing_from_parents(
        amounts in prop::collection::vec(amount(), 1..8), rate in 1u16..=5_000, all in 0u16..=4_000, child in 0u16..=4_000,
    ) {
        let mut world = World::new();
        let terms = [world.define(derive_terms(all, Reach::All, 0)), world.define(derive_terms(child, Reach::Child, 0))];
        let parents = [0, 1].map(|_| world.register(person(0), &[], &terms).unwrap());
        let licences = [world.buy(person(1), parents[0], terms[0]).unwrap(), world.buy(person(1), parents[1], terms[1]).unwrap()];
        let asset = world.register(person(1), &licences, &[]).unwrap();
        let till = Till { asset, kind: INFERENCE, operator: person(8), operator_bps: rate };
        let kept = BPS_ONE - all - child;
        let granted = world.try_do(person(1), Operation::Grant { till });
        prop_assert_eq!(granted.is_ok(), rate <= kept.min(5_000));
        let end = |till: Till| {
            let mut world = world.clone();
            for amount in &amounts {
                world.must(person(9), Operation::FillTill { till, token: token(0), amount: Amount(*amount) });
                drop(world.try_do(person(9), Operation::Sweep { till, token: token(0) }));
            }
            world.flow_all();
            let report = world.model.report(world.now_s);
            assert!(report.every_unit_is_accounted_for());
            report.edges
        };
        prop_assert_eq!(end(till), end(Till::own(asset, INFERENCE)));
    }

    /// PAY-5: revenue before a transfer is the seller's, after it the buyer's, for every token, to the millionth.
    #[test]
    fn pay_5_a_transfer_of_shares_parts_the_revenue(
        before in prop::collection::vec(1u128..1 << 60, 1..4), after in prop::collection::vec(1u128..1 << 60, 1..4),
        sold in 0u32..=400_000, tokens in 1u8..=4,
    ) {
        let mut world = World::new();
        world.must(GOVERNOR, Operation::SetFee { fee_bps: 0 });
        let asset = world.register_for(person(0), &[], &[], &[(person(0), 400_000), (person(1), 600_000)]).unwrap();
        for number in 0..tokens {
            before.iter().for_each(|amount| world.pay(asset, INFERENCE, token(number), *amount));
        }
        world.must(person(0), Operation::TransferShares { to: person(2), units: vec![(asset, sold)] });
        for number in 0..tokens {
            after.iter().for_each(|amount| world.pay(asset, LICENCE, token(number), *amount));
        }
        let (before, after): (u128, u128) = (before.iter().sum(), after.iter().sum());
        for number in 0..tokens {
            let part = |before_units: u32, after_units: u32| {
                (before * u128::from(before_units) + after * u128::from(after_units)) / 1_000_000
            };
            prop_assert_eq!(world.claimable(asset, token(number), person(0)), part(400_000, 400_000 - sold));
            prop_assert_eq!(world.claimable(asset, token(number), person(2)), part(0, sold));
            prop_assert_eq!(world.claimable(asset, token(number), person(1)), part(600_000, 600_000));
        }
    }
}

/// The same step in one of two tokens and with less money.
fn modest(mut step: Step) -> Step {
    if let Step::Pay { token, amount, .. } | Step::Sweep { token, amount, .. } = &mut step {
        (*token, *amount) = (*token % 2, *amount % (1 << 90) + 1);
    }
    step
}

/// Whether `asset` was derived under a licence on `parent`, rather than owing it through another.
fn derived_under(world: &World, asset: AssetId, parent: AssetId) -> bool {
    world.history.iter().any(|entry| match &entry.event {
        LedgerEvent::Registered { asset: id, licences, .. } => {
            *id == asset && licences.iter().any(|id| id.asset() == parent)
        }
        _ => false,
    })
}

fn rates_to(world: &World, child: AssetId, parent: AssetId) -> Option<(u16, u16)> {
    let edge = world.model.edges(child).iter().find(|edge| edge.parent == parent)?;
    Some((edge.all.of(LICENCE).get(), edge.child.of(LICENCE).get()))
}

/// PAY-2: an ancestor reached through a diamond is paid once.
#[test]
fn a_diamond_pays_its_top_once_at_the_highest_rate() {
    let mut world = World::new();
    let low = world.define(derive_terms(500, Reach::All, 0));
    let high = world.define(derive_terms(1_000, Reach::All, 0));
    let top = world.register(person(0), &[], &[low, high]).unwrap();
    let left_licence = world.buy(person(1), top, low).unwrap();
    let left = world.register(person(1), &[left_licence], &[low]).unwrap();
    let right_licence = world.buy(person(2), top, high).unwrap();
    let right = world.register(person(2), &[right_licence], &[low]).unwrap();
    let bottom = world.derive(person(3), &[left, right], low);
    assert_eq!(rates_to(&world, bottom, top), Some((1_000, 0)));
    assert_eq!(rates_to(&world, bottom, left), Some((500, 0)));
    world.must(GOVERNOR, Operation::SetFee { fee_bps: 0 });
    world.pay(bottom, LICENCE, token(0), 10_000);
    world.flow_all();
    assert_eq!(world.claimable(top, token(0), person(0)), 1_000);
    assert_eq!(world.claimable(left, token(0), person(1)), 500);
    assert_eq!(world.claimable(bottom, token(0), person(3)), 8_000);
    let paths = world.model.earnings_by_path(world.now_s);
    let of_top: Vec<_> =
        paths.iter().filter(|row| row.asset == top).map(|row| (row.path.assets(), row.amount.0)).collect();
    assert_eq!(of_top, [(&[bottom, top][..], 1_000)]);
}

/// Twelve generations of reach ALL: each owes every ancestor directly, and one unit is not rounded away over many
/// payments (a chain's share of rounding must not fall to zero).
#[test]
fn depth_twelve_owes_every_ancestor_and_loses_no_small_payment() {
    let mut world = World::new();
    let terms = world.define(derive_terms(500, Reach::All, 0));
    let mut chain = vec![world.register(person(0), &[], &[terms]).unwrap()];
    for _ in 0..12 {
        let parent = *chain.last().unwrap();
        chain.push(world.derive(person(1), &[parent], terms));
    }
    let last = *chain.last().unwrap();
    assert_eq!(world.model.edges(last).len(), 12);
    world.must(GOVERNOR, Operation::SetFee { fee_bps: 0 });
    for _ in 0..200 {
        world.pay(last, INFERENCE, token(0), 1);
        world.flow_all();
    }
    assert_eq!(world.claimable(chain[0], token(0), person(0)), 10, "5% of 200 payments of one unit");
}

/// Twelve generations of reach CHILD: rates multiply, and the path says every step.
#[test]
fn depth_twelve_by_reach_child_multiplies() {
    let mut world = World::new();
    let terms = world.define(derive_terms(5_000, Reach::Child, 0));
    let mut chain = vec![world.register(person(0), &[], &[terms]).unwrap()];
    for _ in 0..12 {
        let parent = *chain.last().unwrap();
        chain.push(world.derive(person(1), &[parent], terms));
    }
    let last = *chain.last().unwrap();
    assert_eq!(world.model.edges(last).len(), 1, "only the direct parent");
    world.must(GOVERNOR, Operation::SetFee { fee_bps: 0 });
    world.pay(last, INFERENCE, token(0), 1 << 20);
    world.flow_all();
    assert_eq!(world.claimable(chain[0], token(0), person(0)), 1 << 8);
    let paths = world.model.earnings_by_path(world.now_s);
    let top: Vec<_> = paths.iter().filter(|row| row.asset == chain[0]).collect();
    chain.reverse();
    assert_eq!(top.len(), 1);
    assert_eq!((top[0].path.assets(), top[0].kind, top[0].amount), (&chain[..], INFERENCE, Amount(1 << 8)));
}

/// Reach CHILD has no limit of depth: a path names the last assets it passed, and still every unit is on one.
#[test]
fn a_very_long_path_is_cut_at_its_beginning() {
    let mut world = World::new();
    let terms = world.define(derive_terms(9_000, Reach::Child, 0));
    let mut chain = vec![world.register(person(0), &[], &[terms]).unwrap()];
    for _ in 0..MAX_PATH_ASSETS + 5 {
        let parent = *chain.last().unwrap();
        chain.push(world.derive(person(1), &[parent], terms));
    }
    world.pay(*chain.last().unwrap(), INFERENCE, token(0), 1 << 60);
    world.flow_all();
    let paths = world.model.earnings_by_path(world.now_s);
    let top: Vec<_> = paths.iter().filter(|row| row.asset == chain[0]).collect();
    assert_eq!((top.len(), top[0].amount.0), (1, world.claimable(chain[0], token(0), person(0))));
    chain.truncate(MAX_PATH_ASSETS);
    chain.reverse();
    assert_eq!((top[0].path.is_cut(), top[0].path.assets()), (true, &chain[..]));
}

/// LIN-1: 64 edges stand, the 65th is refused, as are rates above 9,000 in all.
#[test]
fn sixty_four_edges_and_no_more() {
    let mut world = World::new();
    let terms = world.define(derive_terms(140, Reach::All, 0));
    let steep = world.define(derive_terms(4_600, Reach::Child, 0));
    let mut licences: Vec<LicenceId> = Vec::new();
    for _ in 0..65 {
        let parent = world.register(person(0), &[], &[terms, steep]).unwrap();
        licences.push(world.buy(person(1), parent, terms).unwrap());
    }
    let refused = world.register(person(1), &licences, &[]).unwrap_err();
    assert_eq!(refused, RegisterError::Lineage(LineageError::TooManyEdges { found: 65 }).into());
    let child = world.register(person(1), &licences[1..], &[terms]).unwrap();
    assert_eq!(world.model.edges(child).len(), 64);
    world.must(GOVERNOR, Operation::SetFee { fee_bps: 0 });
    world.pay(child, LICENCE, token(0), MAX_REVENUE);
    world.flow_all();
    assert!(world.model.report(world.now_s).every_unit_is_accounted_for());
    let steep_licences: Vec<_> =
        [0, 1].map(|parent| world.buy(person(1), asset_id(parent), steep).unwrap()).to_vec();
    let refused = world.register(person(1), &steep_licences, &[]).unwrap_err();
    assert_eq!(
        refused,
        RegisterError::Lineage(LineageError::RatesAboveLimit { kind: LICENCE, sum: 9_200 }).into()
    );
}

/// LIN-2: no edge without a licence that gives the right, unexpired, with derivations left, held by the registrant.
#[test]
fn lin_2_a_licence_must_give_the_right_to_derive() {
    let mut world = World::new();
    let mut once = derive_terms(100, Reach::All, 0);
    (once.derivations, once.period_s, once.renewable) = (1, 30 * DAY_S, true);
    let mut access = derive_terms(0, Reach::All, 0);
    access.rights = Rights::ACCESS;
    let (once, access) = (world.define(once), world.define(access));
    let parent = world.register(person(0), &[], &[once, access]).unwrap();
    let licence = world.buy(person(1), parent, once).unwrap();
    let refused = |refusal: RegisterError| Refusal::from(refusal);

    let to_read = world.buy(person(1), parent, access).unwrap();
    assert_eq!(
        world.register(person(1), &[to_read], &[]),
        Err(refused(RegisterError::NoRightToDerive { licence: to_read }))
    );
    assert_eq!(
        world.register(person(2), &[licence], &[]),
        Err(refused(RegisterError::NotLicensee { licence, account: person(2) }))
    );
    let forged = LicenceId::new(parent, 1, 99);
    assert_eq!(
        world.register(person(1), &[forged], &[]),
        Err(refused(RegisterError::UnknownLicence { licence: forged }))
    );
    assert_eq!(
        world.register(person(1), &[licence, licence], &[]),
        Err(refused(RegisterError::LicencesNotAscending { index: 1 }))
    );
    world.register(person(1), &[licence], &[]).unwrap();
    assert_eq!(
        world.register(person(1), &[licence], &[]),
        Err(refused(RegisterError::NoDerivationsLeft { licence, derivations: 1 }))
    );
    let other = world.buy(person(1), parent, once).unwrap();
    world.now_s += 30 * DAY_S;
    let expires_at_s = world.now_s;
    assert_eq!(
        world.register(person(1), &[other], &[]),
        Err(refused(RegisterError::Expired { licence: other, expires_at_s }))
    );
    world.must(person(1), Operation::Renew { licence: other, duration_s: 30 * DAY_S });
    world.register(person(1), &[other], &[]).unwrap();
}

/// PAY-3: withdrawing an offer and changing hands leave the edges as they were registered.
#[test]
fn pay_3_nobody_changes_an_edge() {
    let mut world = World::new();
    let terms = world.define(derive_terms(900, Reach::All, 0));
    let parent = world.register(person(0), &[], &[terms]).unwrap();
    let child = world.derive(person(1), &[parent], terms);
    world.must(person(0), Operation::Withdraw { asset: parent, terms });
    world.must(person(1), Operation::TransferControl { asset: child, to: person(2) });
    assert_eq!(rates_to(&world, child, parent), Some((900, 0)));
    assert!(matches!(
        world.try_do(person(1), Operation::Offer { asset: child, terms }),
        Err(Refusal::Offer(OfferError::NotController { .. }))
    ));
}

/// PAY-7: a licence costs its price, at most what the buyer agreed to, as own licence revenue.
#[test]
fn pay_7_a_purchase_costs_the_price_and_no_more() {
    let mut world = World::new();
    let mut terms = derive_terms(0, Reach::All, 1_000);
    terms.supply_cap = 1;
    let terms = world.define(terms);
    let asset = world.register(person(0), &[], &[terms]).unwrap();
    let buy = |max_price, payment| Operation::Buy {
        asset,
        terms,
        recipient: person(1),
        payment: if payment {
            Payment::Signed { payer: person(1) }
        } else {
            Payment::Approved { max_price: Amount(max_price) }
        },
        eligible: true,
    };
    let refused = world.try_do(person(1), buy(999, false)).unwrap_err();
    assert_eq!(refused, BuyError::PriceAboveMax { price: Amount(1_000), max_price: Amount(999) }.into());
    world.must(person(9), buy(0, true));
    let revenue = world.snapshot().revenue[&(asset, token(0), LICENCE)];
    assert_eq!((revenue.own(), revenue.inherited()), (Amount(975), Amount(0)));
    let refused = world.try_do(person(1), buy(1_000, false)).unwrap_err();
    assert_eq!(refused, BuyError::SoldOut { asset, terms, supply_cap: 1 }.into());
}

/// PAY-8: a freeze holds the shares' part of later revenue only, parents go on, and it ends by itself.
#[test]
fn pay_8_a_freeze_holds_only_later_revenue_of_the_shares() {
    let mut world = World::new();
    world.must(GOVERNOR, Operation::SetFee { fee_bps: 0 });
    let terms = world.define(derive_terms(1_000, Reach::All, 0));
    let parent = world.register(person(0), &[], &[terms]).unwrap();
    let child = world.derive(person(1), &[parent], terms);
    let held =
        |world: &World, number| world.snapshot().held.get(&(child, token(number))).map_or(0, |held| held.0);
    world.pay(child, LICENCE, token(0), 100);
    world.must(ARBITER, Operation::Freeze { asset: child });
    world.pay(child, LICENCE, token(0), 1_000);
    world.pay(child, LICENCE, token(1), 10);
    world.flow_all();
    assert_eq!((held(&world, 0), held(&world, 1)), (900, 9), "also a token first used during the freeze");
    assert_eq!(world.claimable(child, token(0), person(1)), 90);
    assert_eq!(world.claimable(parent, token(0), person(0)), 110);
    let till = Till { asset: child, kind: LICENCE, operator: person(8), operator_bps: 100 };
    let refused = world.try_do(person(1), Operation::Grant { till }).unwrap_err();
    assert_eq!(refused, GrantError::FrozenAsset { asset: child }.into());
    let refused =
        world.try_do(person(1), Operation::Rule { asset: child, claimant: Some(person(1)) }).unwrap_err();
    assert_eq!(refused, FreezeError::OnlyArbiter { account: person(1) }.into());

    let mut ruled = world.clone();
    ruled.must(ARBITER, Operation::Rule { asset: child, claimant: Some(person(3)) });
    ruled.pay(child, LICENCE, token(0), 10);
    assert_eq!(
        (ruled.claimable(child, token(0), person(1)), ruled.snapshot().awards[&(person(3), token(0))].0),
        (99, 900)
    );
    ruled.must(person(3), Operation::ClaimAward { token: token(0), to: person(3) });
    assert!(ruled.model.report(ruled.now_s).every_unit_is_accounted_for());

    world.now_s += 90 * DAY_S - 1;
    assert_eq!(held(&world, 0), 900);
    world.now_s += 1;
    assert_eq!((held(&world, 0), world.claimable(child, token(0), person(1))), (0, 990));
    world.must(ARBITER, Operation::Freeze { asset: child });
    assert_eq!(
        (held(&world, 0), world.claimable(child, token(0), person(1))),
        (0, 990),
        "no money is held twice"
    );
}

/// PAY-9: an offer to derive that asks for less than the asset owes by reach CHILD is refused.
#[test]
fn pay_9_an_empty_shell_cannot_cut_the_chain() {
    let mut world = World::new();
    let fair = world.define(derive_terms(1_000, Reach::Child, 0));
    let cheap = world.define(derive_terms(999, Reach::All, 0));
    let parent = world.register(person(0), &[], &[fair]).unwrap();
    let licence = world.buy(person(1), parent, fair).unwrap();
    let refused = world.register(person(1), &[licence], &[cheap]).unwrap_err();
    assert_eq!(
        refused,
        RegisterError::Offer(OfferError::RateBelowParents { kind: LICENCE, least: 1_000, found: 999 }).into()
    );
    let shell = world.register(person(1), &[licence], &[]).unwrap();
    let refused = world.try_do(person(1), Operation::Offer { asset: shell, terms: cheap }).unwrap_err();
    assert_eq!(refused, OfferError::RateBelowParents { kind: LICENCE, least: 1_000, found: 999 }.into());
    world.must(person(1), Operation::Offer { asset: shell, terms: fair });
}

/// An empty till is no error, even of an asset to come; a token that was never listed is one, empty till or not.
#[test]
fn an_empty_till_is_swept_in_known_tokens_only() {
    let mut world = World::new();
    let till = Till::own(world.register(person(0), &[], &[]).unwrap(), LICENCE);
    let to_come = Till { asset: AssetId::derive(1, Address::ZERO, person(1), B256::ZERO), ..till };
    let unknown = Address::repeat_byte(0x77);
    for till in [till, to_come] {
        assert_eq!(world.must(person(9), Operation::Sweep { till, token: token(0) }), []);
        let refused = world.try_do(person(9), Operation::Sweep { till, token: unknown }).unwrap_err();
        assert_eq!(refused, CreditError::TokenNeverListed { token: unknown }.into());
    }
}

/// PAY-1: a credit that a parent cannot take is diverted, and holds up neither its siblings nor the child. So is one that
/// no total could take.
#[test]
fn pay_1_a_full_parent_holds_up_nobody() {
    let mut world = World::new();
    world.must(GOVERNOR, Operation::SetFee { fee_bps: 0 });
    let [even, steep] = [(1_000, Reach::All), (9_000, Reach::Child)]
        .map(|(rate, reach)| world.define(derive_terms(rate, reach, 0)));
    let full = world.register(person(0), &[], &[even, steep]).unwrap();
    let sibling = world.register(person(1), &[], &[even]).unwrap();
    let filling = world.derive(person(2), &[full], steep);
    let last = world.derive(person(3), &[filling], steep);
    world.pay(filling, LICENCE, token(1), MAX_REVENUE);
    world.flow_all();
    let part = MAX_REVENUE * 9 / 10;
    assert_eq!(world.claimable(full, token(1), person(0)), part);

    let child = world.derive(person(2), &[full, sibling], even);
    world.pay(child, LICENCE, token(1), MAX_REVENUE);
    world.flow_all();
    assert_eq!(world.claimable(sibling, token(1), person(1)), MAX_REVENUE / 10);
    assert_eq!(world.claimable(full, token(1), person(0)), part + MAX_REVENUE / 10, "full but for rounding");
    assert_eq!(world.snapshot().diverted, [].into());
    world.pay(last, LICENCE, token(1), 100);
    world.flow_all();
    assert_eq!(world.snapshot().diverted[&(full, token(1))], Amount(81));

    world.pay(last, INFERENCE, token(1), MAX_REVENUE);
    world.pay(filling, INFERENCE, token(1), MAX_REVENUE);
    world.flow_all();
    let above_all = (MAX_REVENUE + part) * 9 / 10;
    assert!(above_all > MAX_REVENUE);
    assert_eq!(world.snapshot().diverted[&(full, token(1))], Amount(81 + above_all));
    world.must(ARBITER, Operation::ReleaseDiverted { parent: full, token: token(1), to: person(0) });
    world.must(person(0), Operation::ClaimAward { token: token(1), to: person(0) });
    assert!(world.model.report(world.now_s).every_unit_is_accounted_for());
}

/// PAY-9: no fifth token is ever listed, so that an asset's set of tokens has a place for each. Those that were can come
/// back.
#[test]
fn pay_9_no_fifth_token_is_listed() {
    let mut world = World::new();
    let list = |number, listed| Operation::SetListing { token: token(number), listed };
    let refusal = SettingsError::TooManyTokensListed { token: token(4) };
    assert_eq!(world.try_do(GOVERNOR, list(4, true)), Err(refusal.clone().into()));
    world.must(GOVERNOR, list(0, false));
    world.must(GOVERNOR, list(4, false));
    assert_eq!(world.try_do(GOVERNOR, list(4, true)), Err(refusal.into()));
    world.must(GOVERNOR, list(0, true));
    let asset = world.register(person(0), &[], &[]).unwrap();
    (0..4).for_each(|number| world.pay(asset, LICENCE, token(number), 1_000));
    world.must(person(0), Operation::TransferShares { to: person(1), units: vec![(asset, 1_000_000)] });
    (0..4).for_each(|number| assert_eq!(world.claimable(asset, token(number), person(0)), 975));
}

/// Bad input is refused with a reason and changes nothing.
#[test]
fn what_the_rules_do_not_allow_is_refused() {
    let mut world = started();
    let asset = world.assets[0];
    let before = world.snapshot();
    let pay =
        |asset, token, received| Operation::Pay { asset, kind: LICENCE, token, received: Amount(received) };
    let unknown = asset_id(77);
    for (operation, refusal) in [
        (pay(unknown, token(0), 1), CreditError::UnknownAsset { asset: unknown }),
        (pay(asset, token(5), 1), CreditError::TokenNeverListed { token: token(5) }),
        (pay(asset, token(0), 0), CreditError::NothingReceived { token: token(0) }),
        (
            pay(asset, token(0), u128::MAX),
            CreditError::RevenueAboveLimit { asset, token: token(0), kind: LICENCE },
        ),
    ] {
        assert_eq!(world.try_do(person(9), operation), Err(refusal.into()));
    }
    let register = |holders: &[(Address, u32)]| Operation::Register {
        asset: asset_id(50),
        licences: Vec::new(),
        terms: Vec::new(),
        holders: holders.to_vec(),
        resale_bps: 0,
    };
    for (holders, refusal) in [
        (&[(person(0), 999_999)][..], RegisterError::UnitsDoNotSum { found: 999_999 }),
        (&[], RegisterError::UnitsDoNotSum { found: 0 }),
        (
            &[(person(0), u32::MAX), (person(1), u32::MAX)],
            RegisterError::UnitsDoNotSum { found: u64::from(u32::MAX) * 2 },
        ),
        (&[(person(0), 1_000_000), (person(1), 0)], RegisterError::NoUnits { index: 1 }),
    ] {
        assert_eq!(world.try_do(person(0), register(holders)), Err(refusal.into()));
    }
    assert_eq!(world.snapshot(), before);
}
