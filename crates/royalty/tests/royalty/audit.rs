//! AUD-1: the audit accepts every honest history, and names what was inserted, deleted, reordered or altered.

use proptest::prelude::*;
use residual_primitives::{Amount, B256, Bps, RevenueKind};
use residual_royalty::{
    Audit, AuditDifference, Entry, Finding, LedgerEvent, Operation, Report, Snapshot, Subject, audit,
};

use crate::{naive, world::*};

fn audited(history: &[Entry], now_s: u64, closing: &Snapshot) -> Result<Report, Box<AuditDifference>> {
    audit(Audit::new(CONTRACTS, []), history, now_s, Some(closing))
}

fn honest(steps: &[Step]) -> World {
    let mut world = started();
    steps.iter().for_each(|step| world.play(step));
    world
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![
        prop::collection::vec(step(), 10..90),
        prop::collection::vec(prop_oneof![12 => step(), 1 => freeze_step()], 10..90),
    ]
}

/// One hostile change of a history.
#[derive(Debug, Clone)]
enum Tampering {
    Delete(usize),
    Insert { from: usize, at: usize },
    Swap(usize, usize),
    Alter { at: usize, how: u8, by: u128 },
}

fn tampering() -> impl Strategy<Value = Tampering> {
    prop_oneof![
        1 => any::<usize>().prop_map(Tampering::Delete),
        1 => any::<(usize, usize)>().prop_map(|(from, at)| Tampering::Insert { from, at }),
        1 => any::<(usize, usize)>().prop_map(|(one, other)| Tampering::Swap(one, other)),
        3 => (any::<usize>(), any::<u8>(), prop_oneof![Just(1u128), 1u128..1 << 70])
            .prop_map(|(at, how, by)| Tampering::Alter { at, how, by }),
    ]
}

/// Tampers, and says which event is the first that is not as it was.
fn tamper(history: &mut Vec<Entry>, tampering: &Tampering) -> Option<usize> {
    let count = history.len();
    match *tampering {
        Tampering::Delete(at) => {
            history.remove(at % count);
            Some(at % count)
        }
        Tampering::Insert { from, at } => {
            let event = history[from % count].event.clone();
            let at = at % count;
            let mut place = history[at].place;
            place.log_index += 1;
            history.insert(at + 1, Entry { place, event });
            Some(at + 1)
        }
        Tampering::Swap(one, other) => {
            let (one, other) = ((one % count).min(other % count), (one % count).max(other % count));
            let event = history[one].event.clone();
            history[one].event = std::mem::replace(&mut history[other].event, event);
            (history[one] != history[other]).then_some(one)
        }
        Tampering::Alter { at, how, by } => {
            let at = at % count;
            let before = history[at].clone();
            alter(&mut history[at], how, by);
            (history[at] != before).then_some(at)
        }
    }
}

fn other_kind(kind: &mut RevenueKind) {
    *kind = RevenueKind::ALL[(kind.index() + 1) % 4];
}

fn nudge(amount: &mut Amount, how: u8, by: u128) {
    *amount =
        Amount(if how.is_multiple_of(2) { amount.0.saturating_sub(by) } else { amount.0.saturating_add(by) });
}

fn nudge_time(time_s: &mut u64, how: u8) {
    *time_s = if how.is_multiple_of(2) { time_s.saturating_sub(DAY_S) } else { *time_s + DAY_S };
}

/// Changes one field that decides a credit.
fn alter(entry: &mut Entry, how: u8, by: u128) {
    let field = how / 2;
    match &mut entry.event {
        LedgerEvent::TermsDefined { terms, number, .. } => match field % 4 {
            0 => nudge(&mut terms.price, how, by),
            1 => terms.rates.0[0] = Bps::new(terms.rates.0[0].get() ^ 1).unwrap(),
            2 => terms.derivations ^= 1,
            _ => *number += 1,
        },
        LedgerEvent::Offered { asset, .. } | LedgerEvent::Withdrawn { asset, .. } => *asset = asset_id(0),
        LedgerEvent::Bought { recipient, payer, expires_at_s, .. } => match field % 3 {
            0 => *recipient = person(3),
            1 => *payer = person(3),
            _ => nudge_time(expires_at_s, how),
        },
        LedgerEvent::Renewed { price, expires_at_s, .. } => match field % 2 {
            0 => nudge(price, how, by),
            _ => nudge_time(expires_at_s, how),
        },
        LedgerEvent::SubscriptionUpdate { expires_at_s, .. } => nudge_time(expires_at_s, how),
        LedgerEvent::Registered { licences, edges, .. } => match (field % 3, edges.first_mut()) {
            (0, Some(edge)) => edge.all.0[0] = Bps::new(edge.all.0[0].get() ^ 1).unwrap(),
            (1, Some(_)) => drop(edges.pop()),
            _ => drop(licences.pop()),
        },
        LedgerEvent::SharesMoved { from, to, units } => match (field % 3, units.first_mut()) {
            (0, Some((_, units))) => {
                *units = units.saturating_add_signed(if how.is_multiple_of(2) { -1 } else { 1 })
            }
            (1, _) => *to = person(4),
            _ => *from = person(3),
        },
        LedgerEvent::Credited { asset, token: with, kind, gross, fee, .. } => match field % 6 {
            0 => nudge(gross, how, by),
            1 => nudge(fee, how, 1),
            2 => other_kind(kind),
            3 => *asset = asset_id(0),
            4 => *with = token(0),
            _ => {
                // The fee is made to fit, so that nothing betrays it but what follows.
                nudge(gross, how, by);
                *fee = gross.mul_rate_down(Bps::new(250).unwrap());
            }
        },
        LedgerEvent::Swept { operator_bps, granted, .. } => match field % 2 {
            0 => *granted = !*granted,
            _ => *operator_bps ^= 1,
        },
        LedgerEvent::Flowed { child, amounts, kinds, .. } => match (field % 3, amounts.first_mut()) {
            (0, Some(amount)) => nudge(amount, how, by),
            (1, _) => kinds.iter_mut().for_each(other_kind),
            _ => *child = asset_id(1),
        },
        LedgerEvent::Diverted { amount, .. }
        | LedgerEvent::DivertedReleased { amount, .. }
        | LedgerEvent::OperatorClaimed { amount, .. }
        | LedgerEvent::AwardClaimed { amount, .. }
        | LedgerEvent::FeesCollected { amount, .. }
        | LedgerEvent::Awarded { amount, .. } => nudge(amount, how, by),
        LedgerEvent::Claimed { holder, amount, .. } => match field % 2 {
            0 => nudge(amount, how, by),
            _ => *holder = person(3),
        },
        LedgerEvent::OperatorGranted { operator_bps, .. }
        | LedgerEvent::OperatorRevoked { operator_bps, .. } => {
            *operator_bps ^= 1;
        }
        LedgerEvent::Frozen { until_s, .. } => nudge_time(until_s, how),
        LedgerEvent::Ruled { claimant, .. } => *claimant = claimant.is_none().then(|| person(3)),
        LedgerEvent::FeeSet { fee_bps } => *fee_bps ^= 1,
        LedgerEvent::TreasurySet { treasury } => *treasury = person(3),
        LedgerEvent::ArbiterSet { arbiter } => *arbiter = person(3),
        LedgerEvent::ListingSet { listed, .. } => *listed = !*listed,
        LedgerEvent::TokenMoved { amount, .. } => nudge(amount, how, by),
    }
}

/// A report of all that is owed, without the paths along which it came: those part one sum among its kinds, to the
/// unit in the order of the credits, which decides nobody's money.
fn owed(report: Report) -> Report {
    Report { paths: Vec::new(), ..report }
}

proptest! {
    /// AUD-1: an honest history is accepted, with every token followed and the ledger's balances at the end, and its
    /// report is the model's.
    #[test]
    fn aud_1_an_honest_history_is_accepted(steps in history()) {
        let world = honest(&steps);
        let report = audit(Audit::new(CONTRACTS, (0..5).map(token)), &world.history, world.now_s, Some(&world.snapshot()));
        match report {
            Ok(report) => {
                prop_assert!(report.every_unit_is_accounted_for());
                prop_assert_eq!(report, world.model.report(world.now_s));
            }
            Err(difference) => prop_assert!(false, "{difference}"),
        }
    }

    /// PAY-5, PAY-2, PAY-4: every flow, claim and collection of a history is what a walk over all events before it says.
    #[test]
    fn pay_5_every_payment_is_what_the_whole_history_says(steps in prop::collection::vec(step(), 10..90)) {
        let world = honest(&steps);
        for until in 1..=world.history.len() {
            if let Some((expected, found)) = naive::payments(&world.history[..until]) {
                prop_assert_eq!(expected, found, "{:?}", world.history[until - 1]);
            }
        }
    }

    /// AUD-1: a history that was tampered with is either told at or before the first event whose amount does not
    /// follow from the events before it, never before the tampering, or changes no credit at all. With the tokens
    /// followed, a credit for which no money came is such an event.
    #[test]
    fn aud_1_tampering_is_named_where_a_credit_changes(
        steps in history(), changes in prop::collection::vec(tampering(), 1..12),
    ) {
        let world = honest(&steps);
        let (honest_report, closing) = (owed(world.model.report(world.now_s)), world.snapshot());
        for change in changes {
            let mut history = world.history.clone();
            let Some(first) = tamper(&mut history, &change) else { continue };
            let changed = (first + 1..=history.len())
                .find(|until| naive::payments(&history[..*until]).is_some_and(|(expected, found)| expected != found))
                .map(|until| until - 1);
            let unfunded = (first + 1..=history.len())
                .find(|until| naive::is_unfunded(&history[..*until], CONTRACTS.royalties))
                .map(|until| until - 1);
            let followed = audit(Audit::new(CONTRACTS, (0..5).map(token)), &history, world.now_s, Some(&closing));
            let told_by = changed.into_iter().chain(unfunded).min();
            for (outcome, changed) in [(audited(&history, world.now_s, &closing), changed), (followed, told_by)] {
                match outcome {
                    Ok(report) => {
                        prop_assert_eq!(&owed(report), &honest_report, "{:?} changed a credit unseen", change);
                        prop_assert_eq!(changed, None, "{:?} passed", change);
                    }
                    Err(difference) => {
                        prop_assert!(difference.events_before >= first as u64, "{change:?}: {difference}");
                        if let Some(changed) = changed {
                            prop_assert!(
                                difference.events_before <= changed as u64, "{change:?} at {changed}: {difference}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// A parent and a child, two payments, a flow, a claim.
fn small() -> World {
    let mut world = World::new();
    let terms = world.define(derive_terms(1_000, residual_primitives::Reach::All, 0));
    let parent = world.register(person(0), &[], &[terms]).unwrap();
    let child = world.derive(person(1), &[parent], terms);
    world.pay(child, RevenueKind::Inference, token(0), 1_000_000);
    world.flow_all();
    world.pay(child, RevenueKind::Inference, token(0), 2_000_000);
    world.flow_all();
    world.must(person(0), Operation::Claim { asset: parent, token: token(0), to: person(0) });
    world
}

/// AUD-1: a difference names asset, edge, block, transaction, and what was expected and found.
#[test]
fn aud_1_a_difference_names_asset_edge_block_and_transaction() {
    let world = small();
    let mut history = world.history.clone();
    let at = history.iter().rposition(|entry| matches!(entry.event, LedgerEvent::Flowed { .. })).unwrap();
    if let LedgerEvent::Flowed { amounts, .. } = &mut history[at].event {
        amounts[0] = Amount(195_001);
    }
    let difference = *audited(&history, world.now_s, &world.snapshot()).unwrap_err();
    let place = history[at].place;
    assert_eq!(difference.events_before, at as u64);
    assert_eq!(
        (difference.place, difference.asset, difference.edge),
        (Some(place), Some(asset_id(1)), Some(asset_id(0)))
    );
    assert_eq!(difference.subject, Subject::Flow(RevenueKind::Inference));
    assert_eq!(
        (&difference.expected, &difference.found),
        (&Finding::Amount(Amount(195_000)), &Finding::Amount(Amount(195_001)))
    );
    let message = difference.to_string();
    let wanted = [
        format!("block {}", place.block),
        place.transaction.to_string(),
        asset_id(1).to_string(),
        asset_id(0).to_string(),
    ];
    assert!(wanted.iter().all(|part| message.contains(part)), "{message}");
    assert!(message.ends_with("expected a flow of inference revenue: 195000, found 195001"), "{message}");
    assert!(serde_json::to_string(&difference).unwrap().contains("\"found\":\"195001\""));
}

/// AUD-1: a payment that was made up is told in its own transaction when its token is followed.
#[test]
fn aud_1_a_payment_without_money_is_told_at_once() {
    let world = small();
    let mut history = world.history.clone();
    let credited = |entry: &&Entry| matches!(entry.event, LedgerEvent::Credited { .. });
    let mut forged = history.iter().find(credited).unwrap().clone();
    let last = history.last().unwrap().place;
    forged.place = last;
    (forged.place.block, forged.place.transaction) = (last.block + 1, B256::repeat_byte(9));
    history.push(forged);
    let difference = audit(Audit::new(CONTRACTS, [token(0)]), &history, world.now_s, None).unwrap_err();
    assert_eq!(
        (&difference.subject, difference.place),
        (&Subject::Arrival(person(9)), Some(history.last().unwrap().place))
    );
}

/// AUD-1: what no later event betrays is told by the ledger's own balances.
#[test]
fn aud_1_the_closing_balances_tell_what_no_event_does() {
    let mut world = small();
    world.pay(asset_id(0), RevenueKind::Training, token(1), 77);
    let closing = world.snapshot();
    let mut history = world.history.clone();
    history.pop();
    assert!(audit(Audit::new(CONTRACTS, []), &history, world.now_s, None).is_ok());
    let difference = audited(&history, world.now_s, &closing).unwrap_err();
    assert_eq!(
        (difference.place, difference.asset, difference.token),
        (None, Some(asset_id(0)), Some(token(1)))
    );
    assert_eq!(difference.subject, Subject::Own(RevenueKind::Training));
    assert_eq!(
        (&difference.expected, &difference.found),
        (&Finding::Amount(Amount(0)), &Finding::Amount(Amount(76)))
    );
}

/// A registration may make its offers before it says that it is one.
#[test]
fn offers_at_birth_may_come_before_the_registration() {
    let world = small();
    let mut history = world.history.clone();
    let registered =
        history.iter().position(|entry| matches!(entry.event, LedgerEvent::Registered { .. })).unwrap();
    assert!(matches!(history[registered + 1].event, LedgerEvent::Offered { .. }));
    let event = history[registered].event.clone();
    history[registered].event = std::mem::replace(&mut history[registered + 1].event, event);
    assert!(audited(&history, world.now_s, &world.snapshot()).is_ok());
    // But an offer on what is never registered is none.
    history.remove(registered + 1);
    assert!(audited(&history, world.now_s, &world.snapshot()).is_err());
}
