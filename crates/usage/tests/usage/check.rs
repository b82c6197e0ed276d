use alloy_primitives::{Address, B256};
use proptest::{prelude::*, sample::Index};
use residual_primitives::Amount;
use residual_usage::{Checker, Commitment, Lane, MAX_RECORDS, Totals, UsageFault, UsageRecord, check};

use crate::made::{GATEWAY, altered, commitment, histories, long_epoch};

/// Checks histories that may have been tampered with against what was committed.
fn checked(commitments: &[Commitment], epochs: &[Vec<UsageRecord>]) -> Result<Totals, UsageFault> {
    let records = epochs.iter().map(|records| records.iter().copied().map(Ok).collect::<Vec<_>>());
    check(commitments.iter().copied().zip(records))
}

fn committed(epochs: &[Vec<UsageRecord>]) -> Vec<Commitment> {
    (0..).zip(epochs).map(|(epoch, records)| commitment(epoch, records)).collect()
}

/// What a forger does to one epoch, without numbering the rest anew.
#[derive(Debug, Clone, Copy)]
enum Forgery {
    Delete,
    Repeat,
    Swap,
    Amount,
    ChargedTotal,
    Source,
    Lane,
}

fn forgeries() -> impl Strategy<Value = Forgery> {
    use Forgery::{Amount, ChargedTotal, Delete, Lane, Repeat, Source, Swap};
    proptest::sample::select(vec![Delete, Repeat, Swap, Amount, ChargedTotal, Source, Lane])
}

/// Forges the records of an epoch at one place, perhaps with the help of another; says which record is the first that
/// must be named. None if nothing can be forged so.
fn forge(
    forgery: Forgery,
    earlier: &[Vec<UsageRecord>],
    records: &mut Vec<UsageRecord>,
    at: usize,
    other: usize,
) -> Option<usize> {
    let record = records[at];
    let changed = match forgery {
        Forgery::Delete => {
            records.remove(at);
            return Some(at);
        }
        Forgery::Repeat => {
            records.insert(at, records[other]);
            // A copy of what stands there is told by what follows.
            return Some(if at == other { at + 1 } else { at });
        }
        Forgery::Swap => {
            records.swap(at, other);
            return (at != other).then_some(at.min(other));
        }
        _ if record.lane != Lane::Voucher || record.amount.0 == 0 => None,
        Forgery::Amount => altered(&record, |fields| fields.amount.0 -= 1),
        Forgery::ChargedTotal => altered(&record, |fields| fields.charged_total.0 += 1),
        // To a channel that is known already.
        Forgery::Source => {
            let mut known = earlier.iter().flatten().chain(&records[..at]);
            let known = known.find(|one| one.lane != Lane::Exact && one.source != record.source)?;
            altered(&record, |fields| fields.source = known.source)
        }
        Forgery::Lane if record.charged_total > record.amount => altered(&record, |fields| {
            fields.lane = Lane::Exact;
            fields.charged_total = fields.amount;
        }),
        Forgery::Lane => None,
    };
    records[at] = changed?;
    Some(at)
}

/// Any other record in the place of one, with everything but its place at will.
fn replaced(record: &UsageRecord, what: u8, by: u8) -> Option<UsageRecord> {
    let by = by.max(1);
    altered(record, |fields| match what {
        0 => fields.at_s += u64::from(by),
        1 => fields.request_id = B256::repeat_byte(by),
        2 => fields.licence = None,
        3 => fields.unit_price = Amount(fields.unit_price.0 + u128::from(by)),
        4 => fields.units += u32::from(by),
        5 => fields.payer = Address::repeat_byte(by),
        6 => fields.token = Address::repeat_byte(by),
        7 => fields.source = B256::repeat_byte(by),
        8 => fields.charged_total = Amount(fields.charged_total.0 + u128::from(by)),
        9 => {
            fields.amount = Amount(fields.amount.0 + u128::from(by));
            fields.charged_total = Amount(fields.charged_total.0 + u128::from(by));
        }
        10 => fields.gateway = Address::repeat_byte(by),
        11 => fields.epoch += u64::from(by),
        12 => fields.index += u64::from(by),
        _ => fields.asset = "0xfe".parse().unwrap(),
    })
}

proptest! {
    /// AUD-1: an honest history is accepted, and its totals are the sums of its records.
    #[test]
    fn an_honest_history_is_accepted(epochs in histories()) {
        let totals = checked(&committed(&epochs), &epochs).unwrap();
        let (mut amount, mut records, mut units) = (0, 0, 0);
        for (source, recorded) in totals.iter() {
            let of = epochs.iter().flatten().filter(|record| record.source == source);
            let last = of.clone().next_back().unwrap();
            prop_assert_eq!(recorded.charged, last.charged_total);
            prop_assert_eq!(recorded.records, of.count() as u64);
            prop_assert_eq!(recorded.is_exact, last.lane == Lane::Exact);
            amount += recorded.charged.0;
            records += recorded.records as usize;
            units += recorded.units;
        }
        prop_assert_eq!(amount, epochs.iter().flatten().map(|record| record.amount.0).sum::<u128>());
        prop_assert_eq!(units, epochs.iter().flatten().map(|record| u64::from(record.units)).sum::<u64>());
        prop_assert_eq!(records, epochs.iter().flatten().count());
    }

    /// AUD-1: a record that was deleted, inserted or moved, or altered in what was charged and on which channel, is
    /// named.
    #[test]
    fn a_forgery_that_changes_a_credit_is_named(
        epochs in histories(),
        epoch in any::<Index>(),
        at in any::<Index>(),
        other in any::<Index>(),
        forgery in forgeries(),
    ) {
        let mut forged = epochs.clone();
        let epoch = epoch.index(epochs.len());
        let records = &mut forged[epoch];
        prop_assume!(!records.is_empty());
        let (at, other) = (at.index(records.len()), other.index(records.len()));
        let first = forge(forgery, &epochs[..epoch], records, at, other);
        prop_assume!(first.is_some());
        let fault = checked(&committed(&epochs), &forged).unwrap_err();
        let named = first.map(|first| first as u64);
        prop_assert_eq!(fault.place(), (GATEWAY, epoch as u64, named), "{}", fault);
    }

    /// AUD-1: any single record that is another than was committed is a fault of its epoch, and no record before it is
    /// blamed.
    #[test]
    fn any_other_record_is_a_fault(
        epochs in histories(),
        epoch in any::<Index>(),
        at in any::<Index>(),
        (what, by) in (0..14_u8, any::<u8>()),
    ) {
        let commitments = committed(&epochs);
        let mut forged = epochs.clone();
        let epoch = epoch.index(epochs.len());
        prop_assume!(!epochs[epoch].is_empty());
        let at = at.index(epochs[epoch].len());
        let Some(other) = replaced(&epochs[epoch][at], what, by) else { return Ok(()) };
        forged[epoch][at] = other;
        let fault = checked(&commitments, &forged).unwrap_err();
        let (gateway, found, index) = fault.place();
        prop_assert_eq!((gateway, found), (GATEWAY, epoch as u64));
        prop_assert!(index.is_none_or(|index| index >= at as u64), "{}", fault);
    }

    /// AUD-1: a forger who numbers the rest anew and mends every total is told by the root or the number of records.
    #[test]
    fn a_mended_forgery_is_a_fault(epochs in histories(), at in any::<Index>()) {
        let commitments = committed(&epochs);
        let mut forged = epochs.clone();
        let records = forged.last_mut().unwrap();
        prop_assume!(!records.is_empty());
        let gone = records.remove(at.index(records.len()));
        let mended = (0..).zip(records.iter()).map(|(index, record)| {
            let mut fields = **record;
            fields.index = index;
            if fields.source == gone.source && fields.charged_total > gone.charged_total {
                fields.charged_total.0 -= gone.amount.0;
            }
            UsageRecord::new(fields).unwrap()
        });
        let mended: Vec<_> = mended.collect();
        *records = mended;
        let fault = checked(&commitments, &forged).unwrap_err();
        prop_assert_eq!(fault.place().1, epochs.len() as u64 - 1);
        // With the number of records mended too, the root is what is left.
        let mut fewer = commitments;
        fewer.last_mut().unwrap().records -= 1;
        prop_assert!(checked(&fewer, &forged).is_err());
    }
}

#[test]
fn an_epoch_is_neither_left_out_nor_repeated() {
    let empty = |epoch| commitment(epoch, &[]);
    for (given, expected, found) in [(vec![1], 0, 1), (vec![0, 2], 1, 2), (vec![0, 0], 1, 0)] {
        let commitments: Vec<_> = given.iter().map(|epoch| empty(*epoch)).collect();
        let fault = checked(&commitments, &vec![Vec::new(); given.len()]).unwrap_err();
        assert_eq!(fault, UsageFault::Epoch { gateway: GATEWAY, expected, found });
    }
}

#[test]
fn no_more_records_are_taken_than_were_committed() {
    let records = long_epoch(5);
    let short = commitment(0, &records[..3]);
    let fault = checked(&[short], std::slice::from_ref(&records)).unwrap_err();
    assert_eq!(fault, UsageFault::Count { gateway: GATEWAY, epoch: 0, expected: 3, found: 4 });
    assert_eq!(fault.place().2, Some(3));
    let long = commitment(0, &records);
    let fault = checked(&[long], &[records[..3].to_vec()]).unwrap_err();
    assert_eq!(fault.place().2, Some(3), "the first that is missing");

    let huge = Commitment { records: MAX_RECORDS + 1, ..commitment(0, &records) };
    let fault = checked(&[huge], std::slice::from_ref(&records)).unwrap_err();
    assert!(matches!(fault, UsageFault::TooManyRecords { .. }), "{fault}");
}

/// MET-2: one exact payment serves one use, also across epochs.
#[test]
fn an_exact_payment_serves_one_use() {
    let first = long_epoch(1)[0];
    assert_eq!(first.lane, Lane::Exact);
    let second = altered(&first, |fields| fields.epoch = 1).unwrap();
    let epochs = [vec![first], vec![second]];
    let fault = checked(&committed(&epochs), &epochs).unwrap_err();
    assert_eq!(fault, UsageFault::PaidTwice { gateway: GATEWAY, epoch: 1, index: 0, payment: first.source });
}

/// AUD-1: revenue without use is told, use without revenue so far is not a fault.
#[test]
fn claims_are_held_to_what_was_recorded() {
    let epochs = [long_epoch(40)];
    let totals = checked(&committed(&epochs), &epochs).unwrap();
    let (channel, recorded) = totals.iter().find(|(_, recorded)| !recorded.is_exact).unwrap();
    let charged = recorded.charged;
    assert!(charged.0 > 1);
    assert_eq!(totals.get(channel), Some(recorded));
    assert_eq!(totals.claimed_beyond(channel, charged), None);
    assert_eq!(totals.outstanding(channel, charged), Amount::ZERO);
    assert_eq!(totals.outstanding(channel, Amount(1)), Amount(charged.0 - 1));
    assert_eq!(totals.claimed_beyond(channel, Amount(charged.0 + 5)), Some(Amount(5)));
    assert_eq!(totals.outstanding(channel, Amount(charged.0 + 5)), Amount::ZERO);

    let (payment, _) = totals.iter().find(|(_, recorded)| recorded.is_exact).unwrap();
    for unknown in [B256::ZERO, payment] {
        assert_eq!(totals.claimed_beyond(unknown, Amount(3)), Some(Amount(3)), "no channel with charges");
        assert_eq!(totals.claimed_beyond(unknown, Amount::ZERO), None);
    }
}

/// AUD-1: what is written off is neither charged nor outstanding, is no fault, and says where its channel stands.
#[test]
fn what_is_written_off_is_told_and_changes_no_charge() {
    let mut records = long_epoch(40);
    let last = *records.iter().rev().find(|record| record.lane != Lane::Exact).unwrap();
    let write_off = |charged_total: Amount, amount| {
        altered(&last, |fields| {
            fields.lane = Lane::WrittenOff;
            fields.index = 40;
            (fields.units, fields.unit_price, fields.licence) = (0, Amount::ZERO, None);
            (fields.amount, fields.charged_total) = (amount, charged_total);
        })
        .unwrap()
    };
    let charged = last.charged_total;
    let before = checked(&committed(&[records.clone()]), &[records.clone()]).unwrap();
    records.push(write_off(charged, Amount(charged.0 - 3)));
    let epochs = [records.clone()];
    let totals = checked(&committed(&epochs), &epochs).unwrap();
    let (channel, was) = (last.source, *before.get(last.source).unwrap());
    assert_eq!(totals.get(channel), Some(&residual_usage::Recorded { written_off_to: charged, ..was }));
    let claimed = Amount(3);
    assert_eq!(totals.outstanding(channel, claimed), Amount::ZERO);
    assert_eq!(totals.written_off(channel, claimed), Amount(charged.0 - 3));
    assert_eq!(totals.claimed_beyond(channel, claimed), None);
    assert_eq!(before.outstanding(channel, claimed), Amount(charged.0 - 3));
    assert_eq!(before.written_off(channel, claimed), Amount::ZERO);
    assert_eq!(totals.written_off(channel, charged), Amount::ZERO, "it was claimed all the same");

    for wrong in [charged.0 - 1, charged.0 + 1] {
        *records.last_mut().unwrap() = write_off(Amount(wrong), Amount(1));
        let epochs = [records.clone()];
        let fault = checked(&committed(&epochs), &epochs).unwrap_err();
        assert!(matches!(fault, UsageFault::ChargedTotal { index: 40, .. }), "{fault}");
    }
}

#[test]
fn gateways_are_told_apart() {
    let one = long_epoch(9);
    let other: Vec<_> = one
        .iter()
        .map(|record| {
            let change = |fields: &mut residual_usage::UsageFields| {
                fields.gateway = Address::repeat_byte(0x99);
                fields.source = alloy_primitives::keccak256(fields.source);
            };
            altered(record, change).unwrap()
        })
        .collect();
    let mut of_other = commitment(0, &other);
    of_other.gateway = Address::repeat_byte(0x99);
    let mut checker = Checker::default();
    checker.epoch(&of_other, other.iter().copied().map(Ok)).unwrap();
    checker.epoch(&commitment(0, &one), one.iter().copied().map(Ok)).unwrap();
    let totals = checker.into_totals();
    assert_eq!(totals.iter().map(|(_, recorded)| recorded.records).sum::<u64>(), 18);

    // A channel has one gateway.
    let taken = altered(&one[1], |fields| {
        fields.gateway = Address::repeat_byte(0x99);
        fields.index = 0;
        fields.epoch = 0;
    });
    let taken = [taken.unwrap()];
    let mut of_other = commitment(0, &taken);
    of_other.gateway = Address::repeat_byte(0x99);
    let mut checker = Checker::default();
    checker.epoch(&commitment(0, &one), one.iter().copied().map(Ok)).unwrap();
    let fault = checker.epoch(&of_other, taken.iter().copied().map(Ok)).unwrap_err();
    assert!(matches!(fault, UsageFault::OtherChannel { what: "gateway", .. }), "{fault}");
}
