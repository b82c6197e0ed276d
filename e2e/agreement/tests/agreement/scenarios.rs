//! Histories that are too special to wait for: each on both sides, with figures worked out by hand.

use residual_ledger::Address;
use residual_primitives::{
    Amount, AssetId, Bps, FREEZE_S, MAX_TOKENS, Rates, Reach, RevenueKind, Rights, SHARES_SUPPLY, Terms,
    VersionsGranted,
};
use residual_royalty::{LedgerEvent, MAX_REVENUE, Operation};

use crate::run::{Checked, Run};

const TRAINING: RevenueKind = RevenueKind::Training;
const ALL_KINDS: u8 = 0b1111;

fn check(scenario: impl Future<Output = Checked<()>>) {
    if let Err(difference) = crate::runtime().block_on(scenario) {
        panic!("{difference}");
    }
}

/// Free terms to derive under.
fn terms(rate_bps: u16, reach: Reach) -> Terms {
    Terms {
        rights: Rights::ACCESS.with(Rights::DERIVE),
        versions: VersionsGranted::Bought,
        reach,
        renewable: false,
        transferable: false,
        rates: Rates::equal(Bps::new(rate_bps).expect("a rate")),
        derivations: 0,
        period_s: 0,
        supply_cap: 0,
        price: Amount::ZERO,
        currency: Address::ZERO,
        eligibility_hook: Address::ZERO,
        training_unit_price: Amount::ZERO,
        inference_unit_price: Amount::ZERO,
        legal_text: "LicenseRef-Residual-Test".to_owned(),
        text_cid: Default::default(),
    }
}

impl Run {
    /// Registers a work of `by` under those terms of those parents; all of its shares are `by`'s.
    async fn child(&mut self, by: Address, parents: &[(AssetId, Terms)]) -> Checked<Option<AssetId>> {
        let mut licences = Vec::new();
        for (parent, terms) in parents {
            let terms = self.define(by, terms.clone()).await?;
            if self.offer(*parent, terms).await? {
                licences.extend(self.buy(by, *parent, terms).await?);
            }
        }
        self.register(by, licences, Vec::new(), vec![(by, SHARES_SUPPLY)], 0).await
    }

    async fn must_derive(&mut self, by: Address, parents: &[(AssetId, Terms)]) -> Checked<AssetId> {
        let child = self.child(by, parents).await?;
        child.ok_or_else(|| "both refuse a registration that must succeed".to_owned())
    }

    async fn pay_for_training(&mut self, asset: AssetId, token: usize, amount: u128) -> Checked<()> {
        let (token, received) = (self.world.tokens[token], Amount(amount));
        self.must(self.actor(5), Operation::Pay { asset, kind: TRAINING, token, received }).await.map(drop)
    }

    async fn inherited(&mut self, asset: AssetId, token: usize) -> Checked<u128> {
        let seen = self.compare().await?;
        let revenue = seen.revenue.get(&(asset, self.world.tokens[token], TRAINING)).copied();
        Ok(revenue.unwrap_or_default().inherited().0)
    }
}

/// PAY-2, LIN-1: an ancestor that is reached along two paths has one edge, at the higher rate, and is paid once.
#[test]
fn lin_1_a_diamond_pays_the_top_once() {
    check(async {
        let mut run = Run::begin(2, 0).await;
        let [top, left, right, bottom] = [0, 1, 2, 3].map(|actor| run.actor(actor));
        let root = run.must_derive(top, &[]).await?;
        let a = run.must_derive(left, &[(root, terms(1_000, Reach::All))]).await?;
        let b = run.must_derive(right, &[(root, terms(500, Reach::All))]).await?;
        let sides = [(a, terms(2_000, Reach::All)), (b, terms(3_000, Reach::All))];
        let c = run.must_derive(bottom, &sides).await?;
        let rates: Vec<_> =
            run.model.edges(c).iter().map(|edge| (edge.parent, edge.all.of(TRAINING).get())).collect();
        let mut expected = vec![(root, 1_000), (a, 2_000), (b, 3_000)];
        expected.sort();
        assert_eq!(rates, expected, "one edge to each ancestor, the higher rate of the two");

        run.pay_for_training(c, 0, 9_999).await?;
        for child in [c, a, b] {
            run.flow(child, run.world.tokens[0], ALL_KINDS).await?;
        }
        let (root, a, b) =
            (run.inherited(root, 0).await?, run.inherited(a, 0).await?, run.inherited(b, 0).await?);
        // Reach ALL takes nothing of what a and b inherit.
        assert_eq!((root, a, b), (999, 1_999, 2_999));
        run.claim_all().await?;
        run.audit().await.map(drop)
    });
}

/// PAY-2: down twelve generations of reach CHILD every parent gets a half of all that its child got, to the unit, also
/// when the money comes a unit at a time.
#[test]
fn pay_2_twelve_generations_halve_what_comes_up() {
    check(async {
        let mut run = Run::begin(2, 0).await;
        let mut line = vec![run.must_derive(run.actor(0), &[]).await?];
        for generation in 1..=12 {
            let parent = line[generation - 1];
            let by = run.actor((generation % 6).try_into().expect("below six"));
            line.push(run.must_derive(by, &[(parent, terms(5_000, Reach::Child))]).await?);
        }
        let youngest = line[12];
        for _ in 0..3 {
            run.pay_for_training(youngest, 0, 1).await?;
            run.flow_all(true).await?;
        }
        run.pay_for_training(youngest, 0, 1_000_000 - 3).await?;
        run.flow_all(true).await?;
        let mut expected = 1_000_000;
        for parent in line.iter().rev().skip(1) {
            expected /= 2;
            assert_eq!(run.inherited(*parent, 0).await?, expected);
        }
        assert_eq!(expected, 244, "a million halved twelve times, rounded down each time");
        run.claim_all().await?;
        run.audit().await.map(drop)
    });
}

/// PAY-2, PAY-6, LIN-1: an asset carries 64 edges and no more; each is paid to the unit, and paying and claiming cost
/// what they cost with one edge.
#[test]
fn pay_6_sixty_four_edges_are_paid_and_a_payment_costs_no_more() {
    check(async {
        let mut run = Run::begin(2, 30).await;
        let (maker, token) = (run.actor(0), run.world.tokens[0]);
        let mut parents = Vec::new();
        for _ in 0..65 {
            parents.push((run.must_derive(maker, &[]).await?, terms(130, Reach::All)));
        }
        assert_eq!(run.child(maker, &parents).await?, None, "a 65th ancestor is one too many");
        let many = run.must_derive(maker, &parents[..64]).await?;
        let one = run.must_derive(maker, &parents[..1]).await?;

        for amount in [1, 76, 77, 1 << 100] {
            run.pay_for_training(many, 0, amount).await?;
            run.flow(many, token, ALL_KINDS).await?;
        }
        let net = 1 + 76 + 77 + (1u128 << 100) - (1u128 << 100) * 30 / 10_000;
        assert_eq!(run.inherited(parents[63].0, 0).await?, net * 130 / 10_000);

        // The first payment and claim open words; from the second on the cost is the same for ever.
        let mut costs = Vec::new();
        for asset in [one, many] {
            for _ in 0..2 {
                run.pay_for_training(asset, 0, 1_000_000).await?;
                let paid = run.gas_used;
                run.must(maker, Operation::Claim { asset, token, to: maker }).await?;
                costs.push((paid, run.gas_used));
            }
        }
        let within_1_percent = |a: u64, b: u64| a.abs_diff(b) * 100 <= a.max(b);
        assert!(within_1_percent(costs[1].0, costs[3].0), "a payment: {costs:?}");
        assert!(within_1_percent(costs[1].1, costs[3].1), "a claim: {costs:?}");
        run.audit().await.map(drop)
    });
}

/// PAY-9: no fifth token is ever listed, so dust of four closes an asset to none of them, and what a child owes in the
/// last of them is its parent's.
#[test]
fn pay_9_no_fifth_token_is_listed_and_dust_closes_nothing() {
    check(async {
        let mut run = Run::begin(MAX_TOKENS, 0).await;
        let (maker, governor) = (run.actor(0), run.governor());
        let tokens = run.world.tokens.clone();
        let list = |token: usize, listed| Operation::SetListing { token: tokens[token], listed };
        assert_eq!(run.attempt(governor, list(4, true)).await?, None, "a fifth");
        run.must(governor, list(1, false)).await?;
        run.must(governor, list(4, false)).await?;
        assert_eq!(run.attempt(governor, list(4, true)).await?, None, "a fifth in place of one taken off");
        run.must(governor, list(1, true)).await?;

        let top = run.must_derive(maker, &[]).await?;
        let middle = run.must_derive(maker, &[(top, terms(5_000, Reach::Child))]).await?;
        let bottom = run.must_derive(maker, &[(middle, terms(5_000, Reach::Child))]).await?;
        for token in [3, 1, 2] {
            run.must(governor, list(token, false)).await?;
            for asset in [top, middle, bottom] {
                run.pay_for_training(asset, token, 1).await?;
            }
        }
        run.pay_for_training(bottom, 0, 1_000_000).await?;
        run.flow_all(true).await?;
        assert_eq!(run.inherited(middle, 0).await?, 500_000);
        assert_eq!(run.inherited(top, 0).await?, 250_000);
        run.claim_all().await?;
        run.audit().await.map(drop)
    });
}

/// PAY-1: revenue of 112 bits is the most that an asset takes: own revenue above it is refused, inherited revenue
/// above it is diverted, to the unit, and goes where the arbiter says. So is a part that no total could take.
#[test]
fn pay_1_what_passes_112_bits_is_refused_or_diverted() {
    check(async {
        let mut run = Run::begin(2, 500).await;
        let (maker, heir, arbiter) = (run.actor(0), run.actor(4), run.world.arbiter());
        let token = run.world.tokens[0];
        let root = run.must_derive(maker, &[]).await?;
        let mut children = Vec::new();
        for _ in 0..2 {
            children.push(run.must_derive(maker, &[(root, terms(9_000, Reach::Child))]).await?);
        }
        // The fee leaves less than the limit, but no single payment may pass it.
        let received = Amount(MAX_REVENUE + 1);
        let too_much = Operation::Pay { asset: root, kind: TRAINING, token, received };
        assert_eq!(run.attempt(maker, too_much).await?, None);
        for child in &children {
            run.pay_for_training(*child, 0, MAX_REVENUE).await?;
            run.flow(*child, token, ALL_KINDS).await?;
        }
        let part = (MAX_REVENUE - MAX_REVENUE * 500 / 10_000) * 9_000 / 10_000;
        assert_eq!(run.inherited(root, 0).await?, part);
        assert_eq!(run.compare().await?.diverted.get(&(root, token)), Some(&Amount(part)));
        run.must(arbiter, Operation::ReleaseDiverted { parent: root, token, to: heir }).await?;
        let written = run.must(heir, Operation::ClaimAward { token, to: heir }).await?;
        assert_eq!(
            written,
            [LedgerEvent::AwardClaimed { account: heir, token, to: heir, amount: Amount(part) }]
        );

        let (other, token_1) = (run.must_derive(maker, &[]).await?, run.world.tokens[1]);
        let below = run.must_derive(maker, &[(other, terms(9_000, Reach::Child))]).await?;
        let bottom = run.must_derive(maker, &[(below, terms(9_000, Reach::Child))]).await?;
        run.pay_for_training(bottom, 1, MAX_REVENUE).await?;
        run.pay_for_training(below, 1, MAX_REVENUE).await?;
        run.flow_all(true).await?;
        let above_all = (MAX_REVENUE - MAX_REVENUE * 500 / 10_000 + part) * 9_000 / 10_000;
        assert!(above_all > MAX_REVENUE);
        assert_eq!(run.inherited(other, 1).await?, 0);
        assert_eq!(run.compare().await?.diverted.get(&(other, token_1)), Some(&Amount(above_all)));

        let rest = Amount(MAX_REVENUE / 20);
        for _ in 0..2 {
            run.attempt(maker, Operation::Pay { asset: children[0], kind: TRAINING, token, received: rest })
                .await?;
        }
        run.claim_all().await?;
        run.audit().await.map(drop)
    });
}

/// PAY-1: what one flow diverts of several kinds and one ruling awards of several tokens is told in the ledger's order.
#[test]
fn pay_1_several_kinds_and_tokens_are_told_in_the_ledgers_order() {
    check(async {
        let mut run = Run::begin(MAX_TOKENS, 0).await;
        let (maker, arbiter, token) = (run.actor(0), run.world.arbiter(), run.world.tokens[0]);
        let received = Amount(MAX_REVENUE);
        let mut sides = Vec::new();
        for _ in 0..3 {
            let parent = run.must_derive(maker, &[]).await?;
            for token in [3, 1, 2, 0] {
                run.pay_for_training(parent, token, 10).await?;
            }
            let filling = run.must_derive(maker, &[(parent, terms(9_000, Reach::All))]).await?;
            for kind in RevenueKind::ALL {
                run.must(maker, Operation::Pay { asset: filling, kind, token, received }).await?;
            }
            run.flow(filling, token, ALL_KINDS).await?;
            sides.push((parent, terms(3_000, Reach::All)));
        }
        let child = run.must_derive(maker, &sides).await?;
        for kind in RevenueKind::ALL {
            run.must(maker, Operation::Pay { asset: child, kind, token, received }).await?;
        }
        let written = run.must(maker, Operation::Flow { child, token, kinds: ALL_KINDS }).await?;
        assert_eq!(written.len(), 3 * 4 + 1, "three parents and four kinds, and the flow");

        let (asset, claimant) = (sides[0].0, Some(maker));
        run.must(arbiter, Operation::Freeze { asset }).await?;
        for token in 0..4 {
            run.pay_for_training(asset, token, 10).await?;
        }
        let written = run.must(arbiter, Operation::Rule { asset, claimant }).await?;
        assert_eq!(written.len(), 4 + 1, "four tokens, and the ruling");
        run.audit().await.map(drop)
    });
}

/// PAY-8: a freeze holds the shares' part from its first second to its last, in tokens old and new, returns it by
/// itself, and a ruling in a second freeze takes only what came in that one.
#[test]
fn pay_8_a_freeze_holds_and_returns_to_the_second() {
    check(async {
        let mut run = Run::begin(2, 100).await;
        let (maker, heir, arbiter) = (run.actor(0), run.actor(1), run.world.arbiter());
        let root = run.must_derive(maker, &[]).await?;
        let asset = run.must_derive(heir, &[(root, terms(2_500, Reach::All))]).await?;
        run.pay_for_training(asset, 0, 1_000).await?;
        let written = run.must(arbiter, Operation::Freeze { asset }).await?;
        let [LedgerEvent::Frozen { until_s, .. }] = written[..] else {
            panic!("a freeze writes {written:?}")
        };
        run.pay_for_training(asset, 0, 2_000).await?;
        run.pay_for_training(asset, 1, 4_000).await?;
        run.flow(asset, run.world.tokens[0], ALL_KINDS).await?;
        assert_eq!(run.inherited(root, 0).await?, 742, "the parent's part of 990 and 1,980 goes on");
        let seen = run.compare().await?;
        let held =
            [0, 1].map(|token| seen.held.get(&(asset, run.world.tokens[token])).map_or(0, |amount| amount.0));
        assert_eq!(held, [1_485, 2_970], "three quarters of what came in while frozen");

        for moment_s in [until_s - 2, until_s - 1, until_s, until_s + 1] {
            run.wait_until(moment_s).await;
            run.compare().await?;
        }
        assert!(run.compare().await?.held.is_empty(), "{FREEZE_S} seconds are over");
        run.must(arbiter, Operation::Freeze { asset }).await?;
        run.pay_for_training(asset, 0, 400).await?;
        let written = run.must(arbiter, Operation::Rule { asset, claimant: Some(maker) }).await?;
        let (token, claimant) = (run.world.tokens[0], maker);
        let ruled = LedgerEvent::Ruled { asset, claimant: Some(maker) };
        assert_eq!(written, [ruled, LedgerEvent::Awarded { asset, token, claimant, amount: Amount(297) }]);
        run.claim_all().await?;
        run.must(maker, Operation::ClaimAward { token, to: maker }).await?;
        run.audit().await.map(drop)
    });
}
