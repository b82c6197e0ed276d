//! Records to test with: single ones of every kind, and histories such as an honest gateway makes.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256, keccak256};
use proptest::prelude::*;
use residual_primitives::{Amount, AssetId, LicenceId};
use residual_usage::{
    AMOUNT_MAX, AT_MAX_S, Commitment, Lane, MAX_RECORDS, RootBuilder, UsageFields, UsageRecord,
};

pub(crate) const GATEWAY: Address = Address::repeat_byte(0x11);

/// Any amount, and often one at an end.
fn amounts() -> impl Strategy<Value = u128> {
    prop_oneof![0..=AMOUNT_MAX.0, 0..1000_u128, Just(0), Just(AMOUNT_MAX.0)]
}

fn lanes() -> impl Strategy<Value = Lane> {
    proptest::sample::select(Lane::ALL.as_slice())
}

prop_compose! {
    /// Any record that is one, with every field at random.
    pub(crate) fn records()(
        words in any::<[[u8; 32]; 3]>(),
        (gateway, payer, token) in (any::<[u8; 20]>(), any::<[u8; 20]>(), any::<[u8; 20]>()),
        (epoch, index, at_s) in (any::<u64>(), 0..MAX_RECORDS, 0..=AT_MAX_S),
        asset in 1..=u128::MAX,
        lane in lanes(),
        units in 1..=u32::MAX,
        (price, amount, before) in (amounts(), amounts(), amounts()),
        licence in any::<Option<(u64, u64)>>(),
    ) -> UsageRecord {
        let asset = AssetId::try_from(U256::from(asset)).unwrap();
        // Ticks cost what units cost, within the limit.
        let price = if lane == Lane::Tick { price.min(AMOUNT_MAX.0 / u128::from(units)) } else { price };
        let amount = if lane == Lane::Tick { price * u128::from(units) } else { amount };
        let before = if lane == Lane::Exact { 0 } else { before };
        // What is written off is no use, of some amount.
        let is_use = lane != Lane::WrittenOff;
        let (units, price, amount) = if is_use { (units, price, amount) } else { (0, 0, amount.max(1)) };
        let licence = licence.filter(|_| is_use);
        let not_zero = |bytes: [u8; 20]| Address::new(bytes.map(|byte| byte | 1));
        UsageRecord::new(UsageFields {
            gateway: not_zero(gateway),
            epoch,
            index,
            at_s,
            asset,
            lane,
            payer: not_zero(payer),
            source: B256::new(words[0].map(|byte| byte | 1)),
            token: not_zero(token),
            units,
            unit_price: Amount(price),
            amount: Amount(amount),
            charged_total: Amount(amount.saturating_add(before).min(AMOUNT_MAX.0)),
            request_id: B256::new(words[1]),
            licence: licence.map(|(terms, serial)| LicenceId::new(asset, terms, serial)),
        })
        .unwrap()
    }
}

/// One use of a history: on which of a few channels, or by a payment of its own; units and price.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use {
    channel: Option<u8>,
    tick: bool,
    units: u32,
    price: u64,
}

fn uses() -> impl Strategy<Value = Use> {
    (proptest::option::weighted(0.8, 0..4_u8), any::<bool>(), 1..5_u32, 0..100_u64)
        .prop_map(|(channel, tick, units, price)| Use { channel, tick, units, price })
}

/// A gateway's epochs, some of them empty, its channels going on from one to the next.
pub(crate) fn histories() -> impl Strategy<Value = Vec<Vec<UsageRecord>>> {
    let epochs = proptest::collection::vec(proptest::collection::vec(uses(), 0..24), 1..5);
    epochs.prop_map(|epochs| history(&epochs))
}

pub(crate) fn history(epochs: &[Vec<Use>]) -> Vec<Vec<UsageRecord>> {
    let mut totals = BTreeMap::new();
    let epochs = (0_u64..).zip(epochs);
    epochs.map(|(epoch, uses)| one_epoch(GATEWAY, epoch, uses, &mut totals)).collect()
}

fn one_epoch(
    gateway: Address,
    epoch: u64,
    uses: &[Use],
    totals: &mut BTreeMap<u8, u128>,
) -> Vec<UsageRecord> {
    let made = (0_u64..).zip(uses).map(|(index, one)| {
        let id = keccak256([epoch.to_be_bytes(), index.to_be_bytes()].concat());
        let amount = u128::from(one.price) * u128::from(one.units);
        let number = one.channel.unwrap_or(9);
        let total = totals.entry(number).or_default();
        *total += amount;
        let asset = AssetId::try_from(U256::from(1 + number % 2)).unwrap();
        UsageRecord::new(UsageFields {
            gateway,
            epoch,
            index,
            at_s: 1_800_000_000 + epoch * 1000 + index,
            asset,
            lane: match one.channel {
                None => Lane::Exact,
                Some(_) if one.tick => Lane::Tick,
                Some(_) => Lane::Voucher,
            },
            payer: Address::repeat_byte(0x20 + number),
            source: one.channel.map_or(id, |channel| B256::repeat_byte(0x40 + channel)),
            token: Address::repeat_byte(0x33),
            units: one.units,
            unit_price: Amount(one.price.into()),
            amount: Amount(amount),
            charged_total: Amount(if one.channel.is_some() { *total } else { amount }),
            request_id: keccak256(id),
            licence: (index % 3 == 0).then(|| LicenceId::new(asset, 1, index)),
        })
        .unwrap()
    });
    made.collect()
}

/// A long epoch whose channels and prices repeat, as those of a gateway do.
pub(crate) fn long_epoch(count: u64) -> Vec<UsageRecord> {
    let uses: Vec<Use> = (0..count)
        .map(|n| Use {
            channel: (n % 7 != 0).then_some((n % 4) as u8),
            tick: n % 2 == 0,
            units: 1 + (n % 3) as u32,
            price: 50 + n % 2,
        })
        .collect();
    one_epoch(GATEWAY, 0, &uses, &mut BTreeMap::new())
}

/// What an honest gateway commits to.
pub(crate) fn commitment(epoch: u64, records: &[UsageRecord]) -> Commitment {
    let mut root = RootBuilder::default();
    records.iter().for_each(|record| root.push(record.leaf()));
    Commitment { gateway: GATEWAY, epoch, root: root.root(), records: records.len() as u64 }
}

/// The record with other fields, if they still make one.
pub(crate) fn altered(record: &UsageRecord, change: impl FnOnce(&mut UsageFields)) -> Option<UsageRecord> {
    let mut fields: UsageFields = **record;
    change(&mut fields);
    UsageRecord::new(fields).ok().filter(|other| other != record)
}
