//! A small world around the model: people, tokens, terms, and histories that a property test can draw.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use residual_primitives::{
    Address, Amount, AssetId, B256, Bps, LicenceId, Rates, Reach, RevenueKind, Rights, Terms, TermsId, U256,
    VersionsGranted,
};
use residual_royalty::{
    Contracts, Entry, LedgerEvent, MAX_REVENUE, Model, Operation, Payment, Place, Refusal, Snapshot, Till,
};

pub(crate) const DAY_S: u64 = 24 * 60 * 60;
pub(crate) const GOVERNOR: Address = Address::repeat_byte(0xf0);
pub(crate) const ARBITER: Address = Address::repeat_byte(0xf1);
pub(crate) const TREASURY: Address = Address::repeat_byte(0xf2);
pub(crate) const CONTRACTS: Contracts =
    Contracts { royalties: Address::repeat_byte(0xc0), till_implementation: Address::repeat_byte(0xc1) };

pub(crate) fn person(number: u8) -> Address {
    Address::repeat_byte(0x10 + number)
}

pub(crate) fn token(number: u8) -> Address {
    Address::repeat_byte(0x70 + number)
}

pub(crate) fn asset_id(number: usize) -> AssetId {
    AssetId::try_from(U256::from(1_000 + number)).unwrap()
}

pub(crate) fn bps(rate: u16) -> Bps {
    Bps::new(rate).unwrap()
}

/// Terms that let others derive, at this rate of every kind.
pub(crate) fn derive_terms(rate: u16, reach: Reach, price: u128) -> Terms {
    Terms {
        rights: Rights::ACCESS.with(Rights::DERIVE),
        versions: VersionsGranted::Bought,
        reach,
        renewable: false,
        transferable: true,
        rates: Rates::equal(bps(rate)),
        derivations: 0,
        period_s: 0,
        supply_cap: 0,
        price: Amount(price),
        currency: token(0),
        eligibility_hook: Address::ZERO,
        training_unit_price: Amount::ZERO,
        inference_unit_price: Amount::ZERO,
        legal_text: "LicenseRef-Test".to_owned(),
        text_cid: Default::default(),
    }
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) now_s: u64,
    pub(crate) block: u64,
    pub(crate) history: Vec<Entry>,
    pub(crate) assets: Vec<AssetId>,
    pub(crate) licences: Vec<LicenceId>,
    pub(crate) terms: Vec<TermsId>,
}

impl World {
    /// A deployment with a fee of 2.5%, tokens 0 to 3 listed, and nothing registered.
    pub(crate) fn new() -> Self {
        let mut world = Self {
            model: Model::new(CONTRACTS, GOVERNOR),
            now_s: 1_800_000_000,
            block: 0,
            history: Vec::new(),
            assets: Vec::new(),
            licences: Vec::new(),
            terms: Vec::new(),
        };
        world.must(GOVERNOR, Operation::SetFee { fee_bps: 250 });
        world.must(GOVERNOR, Operation::SetTreasury { treasury: TREASURY });
        world.must(GOVERNOR, Operation::SetArbiter { arbiter: ARBITER });
        for number in 0..4 {
            world.must(GOVERNOR, Operation::SetListing { token: token(number), listed: true });
        }
        world
    }

    pub(crate) fn try_do(
        &mut self,
        caller: Address,
        operation: Operation,
    ) -> Result<Vec<LedgerEvent>, Refusal> {
        let events = self.model.apply(self.now_s, caller, &operation)?;
        if !events.is_empty() {
            self.block += 1;
            let transaction = B256::from(U256::from(self.block));
            let mut log_index = 0;
            for event in with_token_moves(&events) {
                log_index += 10;
                let place = Place { block: self.block, time_s: self.now_s, transaction, log_index };
                self.history.push(Entry { place, event });
            }
        }
        Ok(events)
    }

    pub(crate) fn must(&mut self, caller: Address, operation: Operation) -> Vec<LedgerEvent> {
        self.try_do(caller, operation.clone()).unwrap_or_else(|refusal| panic!("{operation:?}: {refusal}"))
    }

    pub(crate) fn define(&mut self, terms: Terms) -> TermsId {
        self.must(person(0), Operation::DefineTerms { terms: Box::new(terms.clone()) });
        let id = terms.id().unwrap();
        self.terms.push(id);
        id
    }

    /// Registers the next asset, all its shares one holder's.
    pub(crate) fn register(
        &mut self,
        by: Address,
        licences: &[LicenceId],
        terms: &[TermsId],
    ) -> Result<AssetId, Refusal> {
        self.register_for(by, licences, terms, &[(by, 1_000_000)])
    }

    pub(crate) fn register_for(
        &mut self,
        by: Address,
        licences: &[LicenceId],
        terms: &[TermsId],
        holders: &[(Address, u32)],
    ) -> Result<AssetId, Refusal> {
        let asset = asset_id(self.assets.len());
        let mut licences = licences.to_vec();
        licences.sort_by_key(|licence| licence.to_u256());
        let (terms, holders) = (terms.to_vec(), holders.to_vec());
        self.try_do(by, Operation::Register { asset, licences, terms, holders, resale_bps: 500 })?;
        self.assets.push(asset);
        Ok(asset)
    }

    pub(crate) fn buy(&mut self, by: Address, asset: AssetId, terms: TermsId) -> Result<LicenceId, Refusal> {
        let payment = Payment::Approved { max_price: Amount(u128::MAX) };
        let operation = Operation::Buy { asset, terms, recipient: by, payment, eligible: true };
        let events = self.try_do(by, operation)?;
        let sold = events.iter().find_map(|event| match event {
            LedgerEvent::Bought { licence, .. } => Some(*licence),
            _ => None,
        });
        let licence = sold.expect("a purchase says which licence was bought");
        self.licences.push(licence);
        Ok(licence)
    }

    /// A child of these parents, bought and registered by `by`, under terms that all of them offer.
    pub(crate) fn derive(&mut self, by: Address, parents: &[AssetId], terms: TermsId) -> AssetId {
        let licences: Vec<_> = parents.iter().map(|parent| self.buy(by, *parent, terms).unwrap()).collect();
        self.register(by, &licences, &[terms]).unwrap()
    }

    pub(crate) fn pay(&mut self, asset: AssetId, kind: RevenueKind, token: Address, received: u128) {
        self.must(person(9), Operation::Pay { asset, kind, token, received: Amount(received) });
    }

    pub(crate) fn flow_all(&mut self) {
        // Children are younger than their parents: once from the youngest up carries everything.
        for asset in self.assets.clone().into_iter().rev() {
            for number in 0..4 {
                self.must(person(9), Operation::Flow { child: asset, token: token(number), kinds: 15 });
            }
        }
    }

    pub(crate) fn claimable(&self, asset: AssetId, token: Address, holder: Address) -> u128 {
        self.snapshot().claimable.get(&(asset, token, holder)).map_or(0, |amount| amount.0)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.model.snapshot(self.now_s)
    }
}

/// The token's own `Transfer` events around what `Royalties` says.
fn with_token_moves(events: &[LedgerEvent]) -> Vec<LedgerEvent> {
    let royalties = CONTRACTS.royalties;
    let mut all = Vec::new();
    for event in events {
        match *event {
            LedgerEvent::Credited { token, source, gross, .. } => {
                all.push(LedgerEvent::TokenMoved { token, from: source, to: royalties, amount: gross });
            }
            LedgerEvent::Claimed { token, to, amount, .. }
            | LedgerEvent::OperatorClaimed { token, to, amount, .. }
            | LedgerEvent::AwardClaimed { token, to, amount, .. }
            | LedgerEvent::FeesCollected { token, treasury: to, amount } => {
                all.push(LedgerEvent::TokenMoved { token, from: royalties, to, amount });
            }
            _ => {}
        }
        all.push(event.clone());
    }
    all
}

/// One drawn step. Numbers are taken modulo what there is when the step is played.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Register {
        by: u8,
        licences: Vec<u8>,
        terms: Vec<u8>,
        split: u32,
    },
    /// Buys from each of these assets under one of its offers that lets derive, and registers a child of all.
    Derive {
        by: u8,
        parents: Vec<(u8, u8)>,
        split: u32,
    },
    Offer {
        asset: u8,
        terms: u8,
    },
    Withdraw {
        asset: u8,
        terms: u8,
    },
    Buy {
        by: u8,
        asset: u8,
        terms: u8,
    },
    Renew {
        by: u8,
        licence: u8,
        periods: u8,
    },
    Pay {
        asset: u8,
        kind: u8,
        token: u8,
        amount: u128,
    },
    Sweep {
        asset: u8,
        kind: u8,
        token: u8,
        operator: u8,
        amount: u128,
    },
    Flow {
        asset: u8,
        token: u8,
        kinds: u8,
    },
    Claim {
        by: u8,
        asset: u8,
        token: u8,
    },
    TransferShares {
        from: u8,
        to: u8,
        asset: u8,
        thousandths: u32,
    },
    Grant {
        asset: u8,
        kind: u8,
        operator: u8,
    },
    Revoke {
        asset: u8,
        kind: u8,
        operator: u8,
    },
    ClaimOperator {
        asset: u8,
        kind: u8,
        token: u8,
        operator: u8,
    },
    Freeze {
        asset: u8,
    },
    Rule {
        asset: u8,
        claimant: Option<u8>,
    },
    ClaimAward {
        by: u8,
        token: u8,
    },
    /// Two new children owe the asset more than a total holds.
    Overfill {
        asset: u8,
        kind: u8,
        token: u8,
    },
    ReleaseDiverted {
        asset: u8,
        token: u8,
        to: u8,
    },
    CollectFees {
        token: u8,
    },
    SetFee {
        fee: u16,
    },
    Wait {
        days: u8,
    },
}

/// From one unit to more than an asset can take.
pub(crate) fn amount() -> impl Strategy<Value = u128> {
    prop_oneof![
        3 => 1u128..=3,
        3 => 1u128..=10_000,
        3 => 1u128..=1_000_000_000_000,
        2 => 1u128..=1 << 90,
        1 => MAX_REVENUE - 5..=MAX_REVENUE,
    ]
}

/// Steps that any history may have, without freezes.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let few = || prop::collection::vec(any::<u8>(), 0..=3);
    prop_oneof![
        5 => (any::<u8>(), prop::collection::vec(any::<(u8, u8)>(), 1..=4), 0u32..1_000_000)
            .prop_map(|(by, parents, split)| Step::Derive { by, parents, split }),
        2 => (any::<u8>(), few(), few(), 0u32..1_000_000)
            .prop_map(|(by, licences, terms, split)| Step::Register { by, licences, terms, split }),
        1 => any::<(u8, u8)>().prop_map(|(asset, terms)| Step::Offer { asset, terms }),
        1 => any::<(u8, u8)>().prop_map(|(asset, terms)| Step::Withdraw { asset, terms }),
        3 => any::<(u8, u8, u8)>().prop_map(|(by, asset, terms)| Step::Buy { by, asset, terms }),
        1 => (any::<(u8, u8)>(), 0u8..4).prop_map(|((by, licence), periods)| Step::Renew { by, licence, periods }),
        6 => (any::<(u8, u8, u8)>(), amount())
            .prop_map(|((asset, kind, token), amount)| Step::Pay { asset, kind, token, amount }),
        4 => (any::<(u8, u8, u8, u8)>(), amount())
            .prop_map(|((asset, kind, token, operator), amount)| Step::Sweep { asset, kind, token, operator, amount }),
        6 => (any::<(u8, u8)>(), 0u8..=16).prop_map(|((asset, token), kinds)| Step::Flow { asset, token, kinds }),
        5 => any::<(u8, u8, u8)>().prop_map(|(by, asset, token)| Step::Claim { by, asset, token }),
        4 => (any::<(u8, u8, u8)>(), 0u32..=1_100).prop_map(|((from, to, asset), thousandths)| {
            Step::TransferShares { from, to, asset, thousandths }
        }),
        3 => any::<(u8, u8, u8)>().prop_map(|(asset, kind, operator)| Step::Grant { asset, kind, operator }),
        1 => any::<(u8, u8, u8)>().prop_map(|(asset, kind, operator)| Step::Revoke { asset, kind, operator }),
        2 => any::<(u8, u8, u8, u8)>().prop_map(|(asset, kind, token, operator)| {
            Step::ClaimOperator { asset, kind, token, operator }
        }),
        1 => any::<(u8, u8)>().prop_map(|(by, token)| Step::ClaimAward { by, token }),
        1 => any::<(u8, u8, u8)>().prop_map(|(asset, kind, token)| Step::Overfill { asset, kind, token }),
        2 => any::<(u8, u8, u8)>().prop_map(|(asset, token, to)| Step::ReleaseDiverted { asset, token, to }),
        1 => any::<u8>().prop_map(|token| Step::CollectFees { token }),
        1 => (0u16..=510).prop_map(|fee| Step::SetFee { fee }),
        1 => (0u8..=40).prop_map(|days| Step::Wait { days }),
    ]
}

/// The arbiter's steps.
pub(crate) fn freeze_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u8>().prop_map(|asset| Step::Freeze { asset }),
        (any::<u8>(), any::<Option<u8>>()).prop_map(|(asset, claimant)| Step::Rule { asset, claimant }),
    ]
}

/// A world with two works and all kinds of terms, ready for drawn steps.
pub(crate) fn started() -> World {
    let mut world = World::new();
    let mut uneven = derive_terms(0, Reach::All, 7);
    uneven.rates = Rates([bps(1_000), bps(2_000), bps(333), bps(0)]);
    let mut subscription = derive_terms(700, Reach::Child, 30_000_000);
    (subscription.renewable, subscription.period_s, subscription.derivations) = (true, 30 * DAY_S, 2);
    let mut dear = derive_terms(1_500, Reach::Child, 1 << 80);
    dear.currency = token(1);
    let terms =
        [derive_terms(800, Reach::All, 0), uneven, derive_terms(1_200, Reach::Child, 1), subscription, dear];
    let terms: Vec<_> = terms.into_iter().map(|terms| world.define(terms)).collect();
    let holders = [(person(0), 500_000), (person(1), 333_333), (person(2), 166_667)];
    world.register_for(person(0), &[], &terms, &holders).unwrap();
    world.register(person(1), &[], &terms).unwrap();
    world
}

fn operator_till(asset: AssetId, kind: RevenueKind, operator: u8) -> Till {
    match operator % 3 {
        0 => Till::own(asset, kind),
        operator => {
            Till { asset, kind, operator: person(6 + operator), operator_bps: 1_234 * u16::from(operator) }
        }
    }
}

/// One of those to whom something is owed, if there is one.
fn one_of<K: Copy>(owed: &BTreeMap<K, Amount>, number: u8) -> Option<K> {
    owed.keys().nth(usize::from(number) % owed.len().max(1)).copied()
}

impl World {
    /// Plays a drawn step; a step that the rules refuse must leave everything as it was.
    pub(crate) fn play(&mut self, step: &Step) {
        let pick = |list: &[AssetId], number: u8| list[usize::from(number) % list.len()];
        let asset_of = |number: u8| pick(&self.assets, number);
        let kind_of = |number: u8| RevenueKind::ALL[usize::from(number) % 4];
        let (people, token_of) = (|number: u8| person(number % 6), |number: u8| token(number % 5));
        let terms_of = |number: u8| self.terms[usize::from(number) % self.terms.len()];
        let (caller, operation) = match *step {
            Step::Register { by, ref licences, ref terms, split } => {
                let by = people(by);
                let held = |id: &LicenceId| self.model.licence(*id).is_some_and(|(holder, _)| holder == by);
                let mine: Vec<_> = self.licences.iter().copied().filter(held).collect();
                let number = |pick: &u8| usize::from(*pick) % mine.len().max(1);
                let mut licences: Vec<_> =
                    licences.iter().filter_map(|pick| mine.get(number(pick)).copied()).collect();
                licences.dedup();
                let terms: Vec<_> = terms.iter().map(|number| terms_of(*number)).collect();
                self.play_registration(by, &licences, &terms, split);
                return;
            }
            Step::Derive { by, ref parents, split } => {
                let by = people(by);
                let wanted: Vec<_> =
                    parents.iter().map(|(parent, terms)| (asset_of(*parent), terms_of(*terms))).collect();
                let terms: Vec<_> = wanted.iter().map(|(_, terms)| *terms).collect();
                // What one parent does not offer, the next one may.
                let licences: Vec<_> =
                    wanted.iter().filter_map(|(parent, terms)| self.buy(by, *parent, *terms).ok()).collect();
                self.play_registration(by, &licences, &terms, split);
                return;
            }
            Step::Buy { by, asset, terms } => {
                drop(self.buy(people(by), asset_of(asset), terms_of(terms)));
                return;
            }
            Step::Sweep { asset, kind, token, operator, amount } => {
                let till = operator_till(asset_of(asset), kind_of(kind), operator);
                let token = token_of(token);
                let filled =
                    self.try_do(person(9), Operation::FillTill { till, token, amount: Amount(amount) });
                assert!(filled.is_ok_and(|events| events.is_empty()));
                (person(9), Operation::Sweep { till, token })
            }
            Step::Overfill { asset, kind, token } => {
                self.overfill(asset_of(asset), kind_of(kind), token_of(token));
                return;
            }
            Step::Wait { days } => {
                self.now_s += u64::from(days) * DAY_S;
                return;
            }
            Step::Offer { asset, terms } => (
                self.controller(asset_of(asset)),
                Operation::Offer { asset: asset_of(asset), terms: terms_of(terms) },
            ),
            Step::Withdraw { asset, terms } => (
                self.controller(asset_of(asset)),
                Operation::Withdraw { asset: asset_of(asset), terms: terms_of(terms) },
            ),
            Step::Renew { by, licence, periods } => {
                let Some(&licence) = self.licences.get(usize::from(licence) % self.licences.len().max(1))
                else {
                    return;
                };
                (people(by), Operation::Renew { licence, duration_s: u64::from(periods) * 30 * DAY_S })
            }
            Step::Pay { asset, kind, token, amount } => {
                let (asset, kind, token) = (asset_of(asset), kind_of(kind), token_of(token));
                (person(9), Operation::Pay { asset, kind, token, received: Amount(amount) })
            }
            Step::Flow { asset, token, kinds } => {
                (person(9), Operation::Flow { child: asset_of(asset), token: token_of(token), kinds })
            }
            Step::Claim { by, asset, token } => {
                let any = (asset_of(asset), token_of(token), people(by));
                let claimable =
                    one_of(&self.snapshot().claimable, asset).filter(|_| !token.is_multiple_of(4));
                let (asset, token, by) = claimable.unwrap_or(any);
                (by, Operation::Claim { asset, token, to: by })
            }
            Step::TransferShares { from, to, asset, thousandths } => {
                let (asset, from) = (asset_of(asset), people(from));
                let held = self.model.holders(asset).get(&from).copied().unwrap_or(0);
                let units = (u64::from(held) * u64::from(thousandths) / 1_000) as u32;
                // The same id twice in a batch.
                let units = vec![(asset, units / 3), (asset, units - units / 3)];
                (from, Operation::TransferShares { to: people(to), units })
            }
            Step::Grant { asset, kind, operator } => {
                let till = operator_till(asset_of(asset), kind_of(kind), operator);
                (self.controller(till.asset), Operation::Grant { till })
            }
            Step::Revoke { asset, kind, operator } => {
                let any = operator_till(asset_of(asset), kind_of(kind), operator);
                let granted = self.history.iter().filter_map(|entry| match entry.event {
                    LedgerEvent::OperatorGranted { asset, operator, kind, operator_bps } => {
                        Some(Till { asset, kind, operator, operator_bps })
                    }
                    _ => None,
                });
                let granted: Vec<_> = granted.collect();
                let till = granted.get(usize::from(asset) % granted.len().max(1)).copied().unwrap_or(any);
                (self.controller(till.asset), Operation::Revoke { till })
            }
            Step::ClaimOperator { asset, kind, token, operator } => {
                let any = (operator_till(asset_of(asset), kind_of(kind), operator), token_of(token));
                let (till, token) = one_of(&self.snapshot().operator_claimable, token).unwrap_or(any);
                let Till { asset, kind, operator, operator_bps } = till;
                (operator, Operation::ClaimOperator { asset, kind, operator_bps, token, to: person(4) })
            }
            Step::Freeze { asset } => (ARBITER, Operation::Freeze { asset: asset_of(asset) }),
            Step::Rule { asset, claimant } => {
                (ARBITER, Operation::Rule { asset: asset_of(asset), claimant: claimant.map(people) })
            }
            Step::ClaimAward { by, token } => {
                let any = (people(by), token_of(token));
                let (by, token) = one_of(&self.snapshot().awards, token).unwrap_or(any);
                (by, Operation::ClaimAward { token, to: by })
            }
            Step::ReleaseDiverted { asset, token, to } => {
                let any = (asset_of(asset), token_of(token));
                let (parent, token) = one_of(&self.snapshot().diverted, token).unwrap_or(any);
                (ARBITER, Operation::ReleaseDiverted { parent, token, to: people(to) })
            }
            Step::CollectFees { token } => (person(9), Operation::CollectFees { token: token_of(token) }),
            Step::SetFee { fee } => (GOVERNOR, Operation::SetFee { fee_bps: fee }),
        };
        let before = self.snapshot();
        if self.try_do(caller, operation).is_err() {
            assert!(self.snapshot() == before, "a refused {step:?} changed a balance");
        }
    }

    /// Each of two children owes nine tenths of the most that a total holds, where the asset's own edges leave room.
    fn overfill(&mut self, asset: AssetId, kind: RevenueKind, token: Address) {
        let steep = derive_terms(9_000, Reach::All, 0);
        let terms = steep.id().unwrap();
        self.must(person(4), Operation::DefineTerms { terms: Box::new(steep) });
        drop(self.try_do(self.controller(asset), Operation::Offer { asset, terms }));
        for _ in 0..2 {
            let Ok(licence) = self.buy(person(4), asset, terms) else { return };
            let Ok(child) = self.register(person(4), &[licence], &[]) else { return };
            let received = Amount(MAX_REVENUE);
            drop(self.try_do(person(9), Operation::Pay { asset: child, kind, token, received }));
            drop(self.try_do(person(9), Operation::Flow { child, token, kinds: 0b1111 }));
        }
    }

    /// Registers for a holder or two; without the offers where a parent's rates forbid them.
    fn play_registration(&mut self, by: Address, licences: &[LicenceId], terms: &[TermsId], split: u32) {
        let mut terms = terms.to_vec();
        terms.sort_by_key(|id| id.0);
        terms.dedup();
        let mut holders = vec![(by, 1_000_000 - split)];
        if split > 0 {
            holders.push((person(5), split));
        }
        if self.register_for(by, licences, &terms, &holders).is_err() {
            drop(self.register_for(by, licences, &[], &holders));
        }
    }

    /// Drawn histories never transfer control: the first event of an asset names its controller.
    fn controller(&self, asset: AssetId) -> Address {
        let registered = self.history.iter().find_map(|entry| match entry.event {
            LedgerEvent::Registered { asset: id, registrant, .. } if id == asset => Some(registrant),
            _ => None,
        });
        registered.expect("every asset of the world was registered")
    }
}

/// The drawn histories are worth drawing: over a fixed set of them everything that can happen does.
#[test]
fn drawn_histories_reach_every_event_and_deep_lineages() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let steps = prop::collection::vec(prop_oneof![20 => step(), 1 => freeze_step()], 60..120);
    let (mut seen, mut edges, mut by_child) = (BTreeSet::new(), 0, false);
    for _ in 0..200 {
        let mut world = started();
        steps.new_tree(&mut runner).unwrap().current().iter().for_each(|step| world.play(step));
        seen.extend(world.history.iter().map(|entry| {
            let event = serde_json::to_value(&entry.event).unwrap();
            event["event"].as_str().unwrap().to_owned()
        }));
        edges =
            world.assets.iter().map(|asset| world.model.edges(*asset).len()).chain([edges]).max().unwrap();
        by_child |= world.snapshot().flowed.values().any(|flowed| flowed.inherited() > Amount::ZERO);
    }
    let never: Vec<_> = [
        "terms-defined",
        "offered",
        "withdrawn",
        "bought",
        "renewed",
        "registered",
        "shares-moved",
        "credited",
        "swept",
        "flowed",
        "diverted",
        "diverted-released",
        "claimed",
        "operator-claimed",
        "award-claimed",
        "fees-collected",
        "operator-granted",
        "operator-revoked",
        "frozen",
        "ruled",
        "awarded",
        "fee-set",
    ]
    .into_iter()
    .filter(|event| !seen.contains(*event))
    .collect();
    assert!(never.is_empty(), "{never:?} never happened");
    assert!(edges >= 5 && by_child, "{edges} edges at most");
}
