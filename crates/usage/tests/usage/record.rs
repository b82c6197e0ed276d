use alloy_primitives::{Address, B256};
use proptest::prelude::*;
use residual_primitives::{Amount, LicenceId};
use residual_usage::{
    AMOUNT_MAX, AT_MAX_S, Lane, MAX_RECORDS, RECORD_BYTES, RecordError, UsageFields, UsageRecord,
};

use crate::made::{long_epoch, records};

proptest! {
    /// AUD-1: a record survives its bytes, and no other bytes are that record.
    #[test]
    fn a_record_survives_its_bytes_and_no_other_bytes_are_it(record in records(), at in 0..RECORD_BYTES, bit in 0..8) {
        let mut bytes = record.encode();
        prop_assert_eq!(UsageRecord::decode(&bytes), Ok(record));
        bytes[at] ^= 1_u8 << bit;
        if let Ok(other) = UsageRecord::decode(&bytes) {
            prop_assert_ne!(other, record);
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    /// AUD-1: whatever bytes come, they are refused or they are canonical.
    #[test]
    fn bytes_that_are_no_record_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        match UsageRecord::decode(&bytes) {
            Ok(record) => prop_assert_eq!(record.encode().to_vec(), bytes),
            Err(RecordError::Length { found }) => prop_assert_eq!(found, bytes.len()),
            Err(_) => prop_assert_eq!(bytes.len(), RECORD_BYTES),
        }
    }
}

#[test]
fn another_version_and_another_length_are_told() {
    let mut bytes = long_epoch(1)[0].encode().to_vec();
    bytes[0] = 2;
    assert_eq!(UsageRecord::decode(&bytes), Err(RecordError::Version { found: 2 }));
    bytes.push(0);
    assert_eq!(UsageRecord::decode(&bytes), Err(RecordError::Length { found: RECORD_BYTES + 1 }));
}

type Change = fn(&mut UsageFields);

#[test]
fn fields_that_do_not_agree_are_refused_by_name() {
    let record = long_epoch(2)[1];
    assert_eq!(record.lane, Lane::Voucher);
    let changes: [(&str, Change); 20] = [
        ("gateway", |fields| fields.gateway = Address::ZERO),
        ("payer", |fields| fields.payer = Address::ZERO),
        ("token", |fields| fields.token = Address::ZERO),
        ("source", |fields| fields.source = B256::ZERO),
        ("index", |fields| fields.index = MAX_RECORDS),
        ("time", |fields| fields.at_s = AT_MAX_S + 1),
        ("units", |fields| fields.units = 0),
        ("unit price", |fields| fields.unit_price = Amount(AMOUNT_MAX.0 + 1)),
        ("amount", |fields| {
            fields.amount = Amount(AMOUNT_MAX.0 + 1);
            fields.charged_total = fields.amount;
        }),
        ("charged total", |fields| fields.charged_total = Amount(AMOUNT_MAX.0 + 1)),
        ("charged total", |fields| fields.charged_total = Amount(fields.amount.0 - 1)),
        ("amount", |fields| {
            fields.lane = Lane::Tick;
            fields.amount = Amount(fields.amount.0 - 1);
        }),
        ("amount", |fields| {
            fields.lane = Lane::Tick;
            fields.unit_price = AMOUNT_MAX;
            fields.units = u32::MAX;
        }),
        ("charged total", |fields| {
            fields.lane = Lane::Exact;
            fields.charged_total = Amount(fields.amount.0 + 1);
        }),
        ("licence", |fields| fields.licence = Some(LicenceId::new("77".parse().unwrap(), 1, 1))),
        ("charged total", |fields| fields.charged_total = Amount::ZERO),
        ("units", |fields| fields.lane = Lane::WrittenOff),
        ("unit price", |fields| {
            fields.lane = Lane::WrittenOff;
            fields.units = 0;
        }),
        ("amount", |fields| {
            fields.lane = Lane::WrittenOff;
            (fields.units, fields.unit_price, fields.amount) = (0, Amount::ZERO, Amount::ZERO);
        }),
        ("licence", |fields| {
            fields.lane = Lane::WrittenOff;
            (fields.units, fields.unit_price) = (0, Amount::ZERO);
            fields.licence = Some(LicenceId::new(fields.asset, 1, 1));
        }),
    ];
    for (expected, change) in changes {
        let mut fields = *record;
        change(&mut fields);
        match UsageRecord::new(fields).unwrap_err() {
            RecordError::Field { field, .. } => assert_eq!(field, expected),
            other => panic!("{other}"),
        }
    }
}
