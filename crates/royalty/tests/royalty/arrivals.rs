//! AUD-1: every credit is held against the money that came for it, among gifts and in transactions that do several
//! things.

use proptest::prelude::*;
use residual_primitives::{Address, Amount, AssetId, B256, Bps, RevenueKind, U256};
use residual_royalty::{
    Audit, AuditDifference, Entry, Finding, LedgerEvent, Operation, Place, Report, Snapshot, Subject, Till,
    audit,
};

use crate::world::*;

const ROYALTIES: Address = CONTRACTS.royalties;

/// Somebody who gives and never pays.
const GIVER: Address = Address::repeat_byte(0x66);

fn followed(
    history: &[Entry],
    now_s: u64,
    closing: Option<&Snapshot>,
) -> Result<Report, Box<AuditDifference>> {
    audit(Audit::new(CONTRACTS, (0..5).map(token)), history, now_s, closing)
}

/// What one transaction wrote.
#[derive(Debug, Clone)]
struct Transaction {
    time_s: u64,
    events: Vec<LedgerEvent>,
}

fn transactions(history: &[Entry]) -> Vec<Transaction> {
    let whole = history.chunk_by(|one, next| one.place.transaction == next.place.transaction);
    whole
        .map(|entries| Transaction {
            time_s: entries[0].place.time_s,
            events: entries.iter().map(|entry| entry.event.clone()).collect(),
        })
        .collect()
}

/// Neighbours of one time become one transaction where the draw says so, as a contract makes them that does several
/// things at once.
fn joined(history: &[Entry], joins: &[bool]) -> Vec<Transaction> {
    let mut all: Vec<Transaction> = Vec::new();
    for (number, next) in transactions(history).into_iter().enumerate() {
        match all.last_mut() {
            Some(last) if last.time_s == next.time_s && joins[number % joins.len()] => {
                last.events.extend(next.events);
            }
            _ => all.push(next),
        }
    }
    all
}

/// Puts transactions on the ledger, two to a block where time allows.
fn written(transactions: &[Transaction]) -> Vec<Entry> {
    let (mut history, mut block, mut log_index, mut last_s) = (Vec::new(), 0, 0, 0);
    for (number, Transaction { time_s, events }) in transactions.iter().enumerate() {
        if number % 2 == 0 || *time_s != last_s {
            (block, log_index) = (block + 1, 0);
        }
        last_s = *time_s;
        for event in events {
            log_index += 1;
            let transaction = B256::from(U256::from(number + 1));
            let place = Place { block, time_s: *time_s, transaction, log_index };
            history.push(Entry { place, event: event.clone() });
        }
    }
    history
}

fn moved(token: Address, from: Address, amount: u128) -> LedgerEvent {
    LedgerEvent::TokenMoved { token, from, to: ROYALTIES, amount: Amount(amount) }
}

/// Where something may happen between two operations: everywhere but between a move and its credit, or a sweep's
/// credit and its till. As transaction and place in it.
fn gaps(transactions: &[Transaction]) -> Vec<(usize, usize)> {
    let bound =
        |event: &LedgerEvent| matches!(event, LedgerEvent::Credited { .. } | LedgerEvent::Swept { .. });
    let gaps_of = |(number, transaction): (usize, &Transaction)| {
        let places = 0..=transaction.events.len();
        let free = places.filter(|place| !transaction.events.get(*place).is_some_and(bound));
        free.map(|place| (number, place)).collect::<Vec<_>>()
    };
    transactions.iter().enumerate().flat_map(gaps_of).collect()
}

/// All credits, as transaction and place in it.
fn credits(transactions: &[Transaction]) -> Vec<(usize, usize)> {
    let credits_of = |(number, transaction): (usize, &Transaction)| {
        let credited = |place: &usize| matches!(transaction.events[*place], LedgerEvent::Credited { .. });
        (0..transaction.events.len()).filter(credited).map(|place| (number, place)).collect::<Vec<_>>()
    };
    transactions.iter().enumerate().flat_map(credits_of).collect()
}

/// Where an event comes to stand in the history as it is written.
fn place_in_history(transactions: &[Transaction], (number, place): (usize, usize)) -> usize {
    transactions[..number].iter().map(|transaction| transaction.events.len()).sum::<usize>() + place
}

/// The fee of a gross payment at some point of a history.
fn fee_at(past: &[Entry], gross: Amount) -> Amount {
    let set = past.iter().rev().find_map(|entry| match entry.event {
        LedgerEvent::FeeSet { fee_bps } => Some(fee_bps),
        _ => None,
    });
    gross.mul_rate_down(Bps::new(set.unwrap_or(0)).unwrap())
}

/// Tokens that anybody sends to `Royalties` for nothing, or a move of nothing out of it.
#[derive(Debug, Clone)]
struct Gift {
    gap: prop::sample::Index,
    /// In a transaction of its own.
    apart: bool,
    from: u8,
    token: u8,
    amount: u128,
    out: bool,
}

fn gift() -> impl Strategy<Value = Gift> {
    let amount = prop_oneof![1 => Just(0u128), 3 => 1u128..=3, 2 => 1u128..1 << 70];
    (any::<prop::sample::Index>(), any::<bool>(), 0u8..11, 0u8..6, amount, prop::bool::weighted(0.1))
        .prop_map(|(gap, apart, from, token, amount, out)| Gift { gap, apart, from, token, amount, out })
}

/// Puts an event into a gap, or into a transaction of its own behind that one; says where it is then.
fn insert(
    transactions: &mut Vec<Transaction>,
    (number, place): (usize, usize),
    apart: bool,
    event: LedgerEvent,
) -> (usize, usize) {
    if apart {
        let time_s = transactions[number].time_s;
        transactions.insert(number + 1, Transaction { time_s, events: vec![event] });
        (number + 1, 0)
    } else {
        transactions[number].events.insert(place, event);
        (number, place)
    }
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(prop_oneof![12 => step(), 1 => freeze_step()], 10..90)
}

fn joins() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(prop::bool::weighted(0.6), 1..40)
}

fn honest(steps: &[Step]) -> World {
    let mut world = started();
    // So that every history has a credit.
    world.pay(asset_id(0), RevenueKind::Training, token(0), 12_345);
    steps.iter().for_each(|step| world.play(step));
    world
}

/// Asserts that the event at `at` is named as a credit for which another amount arrived.
fn named_at(history: &[Entry], now_s: u64, at: usize, arrived: Option<Amount>) -> Result<(), TestCaseError> {
    let Entry { place, event: LedgerEvent::Credited { asset, token, source, gross, .. } } = &history[at]
    else {
        panic!("a credit at {at}")
    };
    let Err(difference) = followed(history, now_s, None) else {
        return Err(TestCaseError::fail(format!("{:?} is accepted", history[at])));
    };
    let expected = arrived.map_or(Finding::Nothing, Finding::Amount);
    let wanted = AuditDifference {
        events_before: at as u64,
        place: Some(*place),
        asset: Some(*asset),
        edge: None,
        token: Some(*token),
        subject: Subject::Arrival(*source),
        expected,
        found: Finding::Amount(*gross),
    };
    prop_assert_eq!(*difference, wanted);
    Ok(())
}

proptest! {
    /// AUD-1, PAY-1: gifts change nothing, wherever they are made and whatever else their transactions do.
    #[test]
    fn aud_1_gifts_and_batches_are_no_difference(
        steps in history(), joins in joins(), gifts in prop::collection::vec(gift(), 0..12),
    ) {
        let world = honest(&steps);
        let mut transactions = joined(&world.history, &joins);
        for Gift { gap, apart, from, token: number, amount, out } in gifts {
            let gaps = gaps(&transactions);
            let (token, who) = (token(number), person(from));
            let event = if out {
                LedgerEvent::TokenMoved { token, from: ROYALTIES, to: who, amount: Amount::ZERO }
            } else {
                moved(token, who, amount)
            };
            insert(&mut transactions, gaps[gap.index(gaps.len())], apart, event);
        }
        match followed(&written(&transactions), world.now_s, Some(&world.snapshot())) {
            Ok(report) => prop_assert_eq!(report, world.model.report(world.now_s)),
            Err(difference) => prop_assert!(false, "{difference}"),
        }
    }

    /// AUD-1: a credit that was made up is named itself, though a gift ahead of it would have been enough to pay it.
    #[test]
    fn aud_1_a_forged_credit_is_named_in_spite_of_a_gift(
        steps in history(), joins in joins(), [model, gap, later] in any::<[prop::sample::Index; 3]>(),
        [gift_apart, apart] in any::<[bool; 2]>(), gift in amount(), part in any::<u128>(),
    ) {
        let world = honest(&steps);
        let mut transactions = joined(&world.history, &joins);
        let (kept, all) = (transactions.clone(), credits(&transactions));
        let (number, place) = all[model.index(all.len())];
        let LedgerEvent::Credited { asset, token, source, kind, .. } = kept[number].events[place] else {
            panic!("a credit")
        };
        // Not before its asset is there to be paid: that would be told without any token.
        let after = |at: &(usize, usize)| *at > (number, place);
        let all = gaps(&transactions);
        let gaps_after: Vec<_> = all.into_iter().filter(after).collect();
        let at = gaps_after[gap.index(gaps_after.len())];
        let at = insert(&mut transactions, at, gift_apart, moved(token, GIVER, gift));

        let all = gaps(&transactions);
        let gaps_after: Vec<_> = all.into_iter().filter(|later| *later > at).collect();
        prop_assume!(!gaps_after.is_empty());
        let at = gaps_after[later.index(gaps_after.len())];
        let gross = Amount(1 + part % gift);
        let past = written(&transactions);
        let fee = fee_at(&past[..place_in_history(&transactions, at)], gross);
        let forged = LedgerEvent::Credited { asset, token, source, kind, gross, fee };
        let at = insert(&mut transactions, at, apart, forged);
        named_at(&written(&transactions), world.now_s, place_in_history(&transactions, at), None)?;
    }

    /// AUD-1: a credit of more than arrived is named itself, though a gift would have been enough for the rest; and so
    /// is one of less, and one of another's money.
    #[test]
    fn aud_1_an_altered_credit_is_named_in_spite_of_a_gift(
        steps in history(), joins in joins(), [which, gap] in any::<[prop::sample::Index; 2]>(),
        apart in any::<bool>(), gift in 2u128..1 << 90, part in any::<u128>(), how in 0u8..3,
    ) {
        let world = honest(&steps);
        let mut transactions = joined(&world.history, &joins);
        let all = credits(&transactions);
        let (number, place) = all[which.index(all.len())];
        let LedgerEvent::Credited { token, .. } = transactions[number].events[place] else { panic!("a credit") };
        let apart = apart && number > 0;
        let ahead = |gap: &(usize, usize)| *gap < (if apart { (number, 0) } else { (number, place) });
        let gaps: Vec<_> = gaps(&transactions).into_iter().filter(ahead).collect();
        let at = insert(&mut transactions, gaps[gap.index(gaps.len())], apart, moved(token, GIVER, gift));
        let together = at.0 == number && !apart;
        let (number, place) = (number + usize::from(apart), place + usize::from(together));

        let at = place_in_history(&transactions, (number, place));
        let mut history = written(&transactions);
        let (past, rest) = history.split_at_mut(at);
        let LedgerEvent::Credited { source, gross, fee, .. } = &mut rest[0].event else { panic!("a credit") };
        let arrived = *gross;
        match how {
            // All of the gift only where it is in another transaction: see the next test.
            0 => gross.0 += 1 + part % (gift - u128::from(together)),
            1 => gross.0 -= 1 + part % gross.0,
            _ => *source = person(8),
        }
        *fee = fee_at(past, *gross);
        named_at(&history, world.now_s, at, (how < 2).then_some(arrived))?;
    }
}

/// A history, and one more transaction at its end.
fn one_transaction(events: Vec<LedgerEvent>, after: &World) -> Vec<Entry> {
    let mut all = transactions(&after.history);
    all.push(Transaction { time_s: after.now_s, events });
    written(&all)
}

fn credited(asset: AssetId, source: Address, gross: u128) -> LedgerEvent {
    let (gross, kind) = (Amount(gross), RevenueKind::Inference);
    let fee = gross.mul_rate_down(bps(250));
    LedgerEvent::Credited { asset, token: token(0), source, kind, gross, fee }
}

/// AUD-1: the balances at the end tell a gift that was passed off as part of the payment right behind it.
#[test]
fn aud_1_a_gift_passed_off_as_part_of_a_payment_is_told_by_the_closing_balances() {
    let mut world = started();
    world.pay(asset_id(0), RevenueKind::Inference, token(0), 1_000);
    let mut all = transactions(&world.history);
    let last = all.len() - 1;
    all[last].events.insert(0, moved(token(0), GIVER, 500));
    assert!(followed(&written(&all), world.now_s, Some(&world.snapshot())).is_ok());

    all[last].events[2] = credited(asset_id(0), person(9), 1_500);
    assert!(followed(&written(&all), world.now_s, None).is_ok());
    let difference = followed(&written(&all), world.now_s, Some(&world.snapshot())).unwrap_err();
    assert_eq!((difference.place, difference.subject), (None, Subject::Own(RevenueKind::Inference)));
}

/// AUD-1: one transaction gives, pays twice, sweeps two tills, buys three licences ever cheaper and claims.
#[test]
fn aud_1_one_transaction_may_bring_money_in_every_way() {
    let mut world = started();
    let prices = [30, 20, 10].map(|price| derive_terms(1_000, residual_primitives::Reach::All, price));
    let offers = prices.map(|terms| world.define(terms));
    for terms in offers {
        world.must(person(0), Operation::Offer { asset: asset_id(0), terms });
    }
    let before = transactions(&world.history).len();
    world.pay(asset_id(0), RevenueKind::Inference, token(0), 1_000);
    world.pay(asset_id(0), RevenueKind::Inference, token(0), 1_000);
    for kind in [RevenueKind::Resale, RevenueKind::Training] {
        let till = Till::own(asset_id(0), kind);
        world.must(person(9), Operation::FillTill { till, token: token(0), amount: Amount(77) });
        world.must(person(9), Operation::Sweep { till, token: token(0) });
    }
    for terms in offers {
        world.buy(person(3), asset_id(0), terms).unwrap();
    }
    world.must(person(0), Operation::Claim { asset: asset_id(0), token: token(0), to: person(0) });
    world.pay(asset_id(0), RevenueKind::Inference, token(0), 1_000);

    let apart = transactions(&world.history);
    let (past, batch) = apart.split_at(before);
    let mut all = past.to_vec();
    let events = batch
        .iter()
        .flat_map(|transaction| [vec![moved(token(0), person(9), 5)], transaction.events.clone()].concat());
    all.push(Transaction { time_s: world.now_s, events: events.collect() });
    let report = followed(&written(&all), world.now_s, Some(&world.snapshot()));
    assert_eq!(report.unwrap(), world.model.report(world.now_s));
}

/// AUD-1: a gift of any size changes nothing, before a payment, in its transaction or after it.
#[test]
fn aud_1_a_gift_of_any_size_changes_nothing() {
    let mut world = started();
    world.pay(asset_id(0), RevenueKind::Inference, token(0), 1_000);
    let mut all = transactions(&world.history);
    let huge = || moved(token(0), GIVER, u128::MAX);
    let last = all.len() - 1;
    all[last].events.insert(0, huge());
    all.insert(last, Transaction { time_s: all[last].time_s, events: vec![huge()] });
    all.push(Transaction { time_s: world.now_s, events: vec![huge()] });
    let report = followed(&written(&all), world.now_s, Some(&world.snapshot()));
    assert_eq!(report.unwrap(), world.model.report(world.now_s));
}

/// AUD-1: what arrives while a token calls back is part of the payment, ahead of its own move or behind it, from whoever
/// it comes; and nobody's empty moves come between.
#[test]
fn aud_1_a_payment_may_grow_while_its_token_calls_back() {
    let mut world = started();
    let (payer, other, third) = (person(9), person(2), person(3));
    world.pay(asset_id(0), RevenueKind::Inference, token(0), 1_000);
    let nothing_out =
        LedgerEvent::TokenMoved { token: token(0), from: ROYALTIES, to: GIVER, amount: Amount::ZERO };
    let history = one_transaction(
        vec![
            moved(token(0), GIVER, 70),
            moved(token(0), other, 200),
            nothing_out,
            moved(token(1), GIVER, 1),
            moved(token(0), payer, 1_000),
            moved(token(0), payer, 0),
            moved(token(0), third, 30),
            credited(asset_id(0), payer, 1_230),
        ],
        &world,
    );
    assert!(followed(&history, world.now_s, None).is_ok());
}

/// AUD-1: what does not arrive for a credit, from its source, in its token and transaction, ahead of it and for the
/// first time, is no money for it.
#[test]
fn aud_1_no_other_money_serves_for_a_credit() {
    let (world, payer) = (started(), person(9));
    let credit = credited(asset_id(0), payer, 1_000);
    let mine = |amount| moved(token(0), payer, amount);
    let arrives = mine(1_000);
    let out = LedgerEvent::TokenMoved { token: token(0), from: ROYALTIES, to: GIVER, amount: Amount(1) };
    let unnamed = [
        ("nothing", vec![credit.clone()], None),
        ("behind it", vec![credit.clone(), arrives.clone()], None),
        ("another's", vec![moved(token(0), GIVER, 1_000), credit.clone()], None),
        ("in another token", vec![moved(token(1), payer, 1_000), credit.clone()], None),
        ("less", vec![mine(999), credit.clone()], Some(Amount(999))),
        ("more", vec![mine(1_001), credit.clone()], Some(Amount(1_001))),
        ("only ahead of a gift", vec![arrives.clone(), mine(1), credit.clone()], Some(Amount(1))),
        ("twice", vec![arrives.clone(), credit.clone(), credit.clone()], None),
        ("ahead of a payout", vec![mine(9), arrives.clone(), out, credit.clone()], None),
        (
            "ahead of another credit",
            vec![mine(500), mine(400), credited(asset_id(0), payer, 400), mine(500), credit.clone()],
            Some(Amount(500)),
        ),
    ];
    for (what, events, arrived) in unnamed {
        let history = one_transaction(events, &world);
        let is_credit = |entry: &Entry| entry.event == credit;
        let at = history.iter().rposition(is_credit).unwrap();
        if let Err(error) = named_at(&history, world.now_s, at, arrived) {
            panic!("{what}: {error}");
        }
    }
    let history = one_transaction(vec![arrives, credit], &world);
    assert!(followed(&history, world.now_s, None).is_ok());
    let mut all = transactions(&history);
    let credit = all.last_mut().unwrap().events.split_off(1);
    all.push(Transaction { time_s: world.now_s, events: credit });
    let history = written(&all);
    named_at(&history, world.now_s, history.len() - 1, None).expect("the money is in another transaction");
    // Of a token that is not followed, nothing is known.
    assert!(audit(Audit::new(CONTRACTS, [token(1)]), &history, world.now_s, None).is_ok());
}

/// AUD-1: what came for a credit is told in words.
#[test]
fn aud_1_a_credit_without_its_money_is_named_in_words() {
    let world = started();
    let history = one_transaction(
        vec![moved(token(0), person(9), 999), credited(asset_id(0), person(9), 1_000)],
        &world,
    );
    let message = followed(&history, world.now_s, None).unwrap_err().to_string();
    let place = history.last().unwrap().place;
    let start = format!("{place}, asset {}, token {}: ", asset_id(0), token(0));
    assert_eq!(
        message,
        format!("{start}expected what arrived from {} for the credit: 999, found 1000", person(9))
    );
}
