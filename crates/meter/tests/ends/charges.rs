//! What the gateway's end takes and refuses, and what it redeems.

use alloy_primitives::{Address, B256, aliases::U40};
use proptest::prelude::*;
use residual_meter::{
    Charge, ChargeError, Charged, Escrow, FileError, Lane, Meter, OpenChannelError, OpenMeterError,
    REMEMBERED_CHARGES, RotateError, SignatureError, WriteOffError,
};
use residual_primitives::Amount;
use tempfile::tempdir;

use crate::parties::{AUTHORIZER, Payer, RECEIVER, TOKEN, channels, charge, claims, escrow, open, rules};

#[test]
fn a_use_is_charged_and_redeemed() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    let charged = meter.accept(&payer.voucher(100), &charge(1, 40)).unwrap();
    assert_eq!(charged, Charged { repeated: false, amount: Amount(40), charged_total: Amount(40) });
    // The first use cost less than was promised for it: the next voucher needs to cover only what was charged.
    let charged = meter.accept(&payer.voucher(101), &charge(2, 61)).unwrap();
    assert_eq!(charged.charged_total, Amount(101));

    let rows = claims(&meter);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].total_claimed, rows[0].raise), (Amount(101), Amount(101)));
    assert_eq!(rows[0].signed, payer.voucher(101));
    assert_eq!(rows[0].config, payer.config);
    assert!(meter.redeemable(Amount(102)).unwrap().is_empty(), "not worth its gas");

    meter.claimed(payer.channel_id, Amount(101)).unwrap();
    assert!(claims(&meter).is_empty());
    meter.claimed(payer.channel_id, Amount(50)).unwrap();
    assert!(claims(&meter).is_empty(), "an older event does not undo a newer one");
    meter.accept(&payer.voucher(120), &charge(3, 10)).unwrap();
    assert_eq!((claims(&meter)[0].total_claimed, claims(&meter)[0].raise), (Amount(111), Amount(10)));
}

/// MET-1: a known key does not prove v, which the contract needs: the row that claims has the right one, whether the
/// wrong one came with a channel's first voucher or a later one, and after a restart.
#[test]
fn met_1_a_flipped_v_is_taken_and_claimed_with_the_right_one() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    for request in 1..=4 {
        let right = payer.voucher(u128::from(request) * 10);
        let mut flipped = right.clone();
        flipped.signature[64] = 55 - right.signature[64];
        let signed = if request == 2 { &right } else { &flipped };
        meter.accept(signed, &charge(request, 10)).unwrap();
        assert_eq!(claims(&meter)[0].signed, right);
        assert_eq!(meter.highest(payer.channel_id), Some(right));
        flipped.signature[64] = 29;
        let refused = meter.accept(&flipped, &charge(request, 10));
        assert!(matches!(refused, Err(ChargeError::Signature(SignatureError::Parity { found: 29 }))));
        if request == 3 {
            drop(meter);
            meter = open(dir.path());
            meter.reconcile(payer.channel_id, escrow(1_000)).unwrap();
        }
    }
}

#[test]
fn claims_come_in_batches_of_a_hundred_and_the_largest_first() {
    let dir = tempdir().unwrap();
    let meter = open(dir.path());
    let payers: Vec<_> = (1..=101).map(Payer::new).collect();
    for (index, payer) in (1..).zip(&payers) {
        meter.open_channel(&payer.config, escrow(1_000)).unwrap();
        meter.accept(&payer.voucher(index), &charge(1, index)).unwrap();
    }
    let batches = meter.redeemable(Amount(1)).unwrap();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [100, 1]);
    let raises: Vec<u128> = batches.concat().iter().map(|row| row.raise.0).collect();
    assert!(raises.is_sorted_by(|a, b| a >= b));
    assert_eq!(raises.iter().sum::<u128>(), 101 * 102 / 2);
    assert_eq!(meter.redeemable(Amount(100)).unwrap().concat().len(), 2);
}

#[test]
fn channels_that_cannot_be_served_are_not_opened() {
    let dir = tempdir().unwrap();
    let meter =
        Meter::open(dir.path(), channels(), residual_meter::Rules { max_channels: 1, ..rules() }).unwrap();
    let refused = |change: fn(&mut residual_primitives::signed::ChannelConfig)| {
        let mut config = Payer::new(1).config;
        change(&mut config);
        meter.open_channel(&config, escrow(10)).unwrap_err()
    };
    let (zero, other) = (Address::ZERO, Address::repeat_byte(9));
    assert_eq!(refused(|config| config.payerAuthorizer = Address::ZERO), OpenChannelError::NoAuthorizer);
    assert_eq!(refused(|config| config.payer = Address::ZERO), OpenChannelError::Incomplete);
    assert_eq!(refused(|config| config.receiver = Address::ZERO), OpenChannelError::Incomplete);
    assert_eq!(
        refused(|config| config.receiverAuthorizer = Address::ZERO),
        OpenChannelError::OtherAuthorizer { expected: AUTHORIZER, found: zero }
    );
    assert_eq!(
        refused(|config| config.token = Address::repeat_byte(9)),
        OpenChannelError::Token { found: other }
    );
    let delay = |found_s| OpenChannelError::WithdrawDelay { min_s: 86_400, max_s: 2_592_000, found_s };
    assert_eq!(refused(|config| config.withdrawDelay = U40::from(86_399)), delay(86_399));
    assert_eq!(refused(|config| config.withdrawDelay = U40::from(2_592_001)), delay(2_592_001));
    assert!(meter.channels().is_empty());
    meter.open_channel(&Payer::new(1).config, escrow(10)).unwrap();
    meter.open_channel(&Payer::new(1).config, escrow(20)).unwrap();
    meter.accept(&Payer::new(1).voucher(1), &charge(1, 1)).unwrap();
    let full = meter.open_channel(&Payer::new(2).config, escrow(10));
    assert_eq!(full, Err(OpenChannelError::TooMany { max: 1 }));
}

/// MET-2, CH-3: channels that were opened and never charged are forgotten before others are refused, the oldest first; one
/// that comes back is charged as the ledger says then, and what was charged before it was forgotten is never forgotten.
#[test]
fn met_2_channels_that_were_never_charged_make_room() {
    let dir = tempdir().unwrap();
    let rules = residual_meter::Rules { max_channels: 2, ..rules() };
    let meter = Meter::open(dir.path(), channels(), rules.clone()).unwrap();
    let [one, two, three, four] = [1, 2, 3, 4].map(Payer::new);
    let open = |meter: &Meter, payer: &Payer| meter.open_channel(&payer.config, escrow(100)).map(drop);
    let known = |meter: &Meter, payer: &Payer| meter.channel(payer.channel_id).is_some();
    open(&meter, &one).unwrap();
    open(&meter, &two).unwrap();
    meter.accept(&one.voucher(10), &charge(1, 10)).unwrap();
    open(&meter, &three).unwrap();
    assert!(known(&meter, &one) && !known(&meter, &two) && known(&meter, &three));
    let unknown = meter.accept(&two.voucher(10), &charge(2, 10));
    assert!(matches!(unknown, Err(ChargeError::UnknownChannel(_))), "{unknown:?}");
    // It comes back with more claimed than was known here, and goes on from there.
    let claimed = Escrow { total_claimed: Amount(30), ..escrow(100) };
    meter.open_channel(&two.config, claimed).unwrap();
    assert!(!known(&meter, &three));
    let below = meter.accept(&two.voucher(30), &charge(2, 10));
    assert!(matches!(below, Err(ChargeError::Uncovered { .. })), "{below:?}");
    assert_eq!(meter.accept(&two.voucher(40), &charge(2, 10)).unwrap().charged_total, Amount(40));
    // Both were charged: nobody is forgotten, also after a rotation and a restart.
    let full = || Err(OpenChannelError::TooMany { max: 2 });
    assert_eq!(open(&meter, &four), full());
    meter.rotate(0).unwrap();
    assert_eq!(open(&meter, &four), full());
    drop(meter);
    let meter = Meter::open(dir.path(), channels(), rules).unwrap();
    assert_eq!(open(&meter, &four), full());
    meter.reconcile(one.channel_id, escrow(100)).unwrap();
    assert!(meter.accept(&one.voucher(10), &charge(1, 10)).unwrap().repeated);
}

/// CH-3: only confirmed escrow, less what is being withdrawn, and only after the ledger was asked.
#[test]
fn ch_3_only_confirmed_escrow_is_charged() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(0)).unwrap();
    let beyond = |covered| {
        move |result: Result<Charged, ChargeError>| {
            assert!(
                matches!(result, Err(ChargeError::BeyondEscrow { covered: c, .. }) if c == Amount(covered)),
                "{result:?}"
            );
        }
    };
    beyond(0)(meter.accept(&payer.voucher(10), &charge(1, 10)));
    meter.reconcile(payer.channel_id, Escrow { pending_withdrawal: Amount(95), ..escrow(100) }).unwrap();
    beyond(5)(meter.accept(&payer.voucher(10), &charge(1, 10)));
    meter
        .reconcile(payer.channel_id, Escrow { pending_withdrawal: Amount(u128::MAX), ..escrow(100) })
        .unwrap();
    beyond(0)(meter.accept(&payer.voucher(10), &charge(1, 10)));
    meter.reconcile(payer.channel_id, escrow(100)).unwrap();
    beyond(100)(meter.accept(&payer.voucher(101), &charge(1, 10)));
    meter.accept(&payer.voucher(100), &charge(1, 90)).unwrap();

    // A withdrawal that is asked for later does not stop the claim of what was charged, a smaller balance does in part.
    meter.reconcile(payer.channel_id, Escrow { pending_withdrawal: Amount(100), ..escrow(100) }).unwrap();
    assert_eq!(claims(&meter)[0].total_claimed, Amount(90));
    meter.reconcile(payer.channel_id, escrow(50)).unwrap();
    assert_eq!(claims(&meter)[0].total_claimed, Amount(50));
    drop(meter);

    let meter = open(dir.path());
    assert!(matches!(
        meter.accept(&payer.voucher(110), &charge(2, 10)),
        Err(ChargeError::NotReconciled { .. })
    ));
    assert!(claims(&meter).is_empty(), "nothing is claimed on a guess");
    meter.claimed(payer.channel_id, Amount(1)).unwrap();
    assert_eq!(
        meter.channel(payer.channel_id).unwrap().escrow,
        None,
        "a claim alone does not tell the balance"
    );
    meter.reconcile(payer.channel_id, escrow(200)).unwrap();
    meter.accept(&payer.voucher(110), &charge(2, 10)).unwrap();
}

#[test]
fn what_pays_for_nothing_new_is_refused() {
    let (dir, payer, other) = (tempdir().unwrap(), Payer::new(1), Payer::new(2));
    let meter = open(dir.path());
    assert!(matches!(meter.accept(&payer.voucher(10), &charge(1, 10)), Err(ChargeError::UnknownChannel(_))));
    assert!(meter.reconcile(payer.channel_id, escrow(1)).is_err());
    assert!(meter.claimed(payer.channel_id, Amount(1)).is_err());
    meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    meter.accept(&payer.voucher(100), &charge(1, 60)).unwrap();
    let before = meter.channel(payer.channel_id);

    for max in [0, 99, 100] {
        let refused = meter.accept(&payer.voucher(max), &charge(2, 1));
        assert!(matches!(refused, Err(ChargeError::NotGrowing { highest: Amount(100), .. })));
    }
    for amount in [60, u128::MAX] {
        let refused = meter.accept(&payer.voucher(119), &charge(2, amount));
        assert!(matches!(refused, Err(ChargeError::Uncovered { charged: Amount(60), .. })));
    }
    let mut elsewhere = charge(2, 10);
    elsewhere.receiver = Address::repeat_byte(9);
    assert!(matches!(
        meter.accept(&payer.voucher(120), &elsewhere),
        Err(ChargeError::Receiver { found: RECEIVER, .. })
    ));
    let mut dearer = charge(2, 10);
    dearer.token = Address::repeat_byte(9);
    assert!(matches!(
        meter.accept(&payer.voucher(120), &dearer),
        Err(ChargeError::Token { found: TOKEN, .. })
    ));
    for (amount, units) in [(10, 0), (10, 3), (1, 2)] {
        let refused = meter.accept(&payer.voucher(120), &Charge { units, ..charge(2, amount) });
        assert!(matches!(refused, Err(ChargeError::Units { .. })), "{amount} for {units}");
    }
    let mut forged = payer.voucher(120);
    forged.signature = other.sign(&channels().voucher_digest(&forged.voucher)).unwrap();
    let refused = meter.accept(&forged, &charge(2, 10));
    assert!(matches!(refused, Err(ChargeError::Signature(SignatureError::OtherSigner { .. }))));
    assert!(meter.check(&forged, &charge(2, 10)).is_err());
    assert_eq!(meter.channel(payer.channel_id), before, "nothing has changed");
    meter.check(&payer.voucher(120), &charge(2, 10)).unwrap();
    assert_eq!(meter.channel(payer.channel_id), before, "a check reserves nothing");
    // What was found good is remembered, and vouches for nothing but itself.
    let mut raised = payer.voucher(120);
    raised.voucher.maxClaimableAmount += 1;
    for other in [forged, raised] {
        let refused = meter.accept(&other, &charge(2, 10));
        assert!(matches!(refused, Err(ChargeError::Signature(SignatureError::OtherSigner { .. }))));
    }
    meter.accept(&payer.voucher(120), &charge(2, 10)).unwrap();
}

#[test]
fn the_unclaimed_cap_holds_over_all_channels_of_a_token() {
    let (dir, a, b) = (tempdir().unwrap(), Payer::new(1), Payer::new(2));
    let meter = open(dir.path());
    let whole = Escrow { balance: Amount(u128::MAX), ..Escrow::default() };
    meter.open_channel(&a.config, whole).unwrap();
    meter.open_channel(&b.config, whole).unwrap();
    meter.accept(&a.voucher(900_000), &charge(1, 600_000)).unwrap();
    let refused = meter.accept(&b.voucher(u128::MAX), &charge(1, 400_001));
    assert!(matches!(refused, Err(ChargeError::UnclaimedCap { token: TOKEN, cap: Amount(1_000_000) })));
    meter.accept(&b.voucher(400_000), &charge(1, 400_000)).unwrap();
    assert!(matches!(
        meter.accept(&a.voucher(900_001), &charge(2, 1)),
        Err(ChargeError::UnclaimedCap { .. })
    ));
    meter.claimed(a.channel_id, Amount(600_000)).unwrap();
    meter.accept(&a.voucher(1_200_000), &charge(2, 600_000)).unwrap();
}

/// What is given up is unclaimed no more, once and for good; what is charged later counts, and a claim may still take all.
#[test]
fn what_is_written_off_is_unclaimed_no_more() {
    let (dir, a, b) = (tempdir().unwrap(), Payer::new(1), Payer::new(2));
    let mut meter = open(dir.path());
    let whole = Escrow { balance: Amount(10_000_000), total_claimed: Amount(5), ..Escrow::default() };
    assert!(matches!(meter.write_off(a.channel_id, 7), Err(WriteOffError::UnknownChannel(_))));
    meter.open_channel(&a.config, Escrow { total_claimed: Amount::ZERO, ..whole }).unwrap();
    meter.open_channel(&b.config, Escrow { total_claimed: Amount::ZERO, ..whole }).unwrap();
    assert_eq!(meter.write_off(a.channel_id, 7).unwrap(), Amount::ZERO, "nothing was charged");
    meter.accept(&a.voucher(900_000), &charge(1, 1_000_000 - 100_000)).unwrap();
    meter.claimed(a.channel_id, Amount(5)).unwrap();
    let dear = |meter: &Meter| meter.accept(&b.voucher(1_000_000), &charge(1, 1_000_000));
    assert!(matches!(dear(&meter), Err(ChargeError::UnclaimedCap { .. })));
    assert_eq!(meter.write_off(a.channel_id, 1_800_000_007).unwrap(), Amount(899_995));
    assert_eq!(meter.write_off(a.channel_id, 1_800_000_008).unwrap(), Amount::ZERO, "once");
    dear(&meter).unwrap();
    assert_eq!(meter.channel(a.channel_id).unwrap().written_off_to, Amount(900_000));
    let full = |meter: &Meter| {
        let refused = meter.accept(&a.voucher(900_001), &charge(2, 1));
        assert!(matches!(refused, Err(ChargeError::UnclaimedCap { .. })), "{refused:?}");
    };
    full(&meter);

    // After a restart, and when only the next segment says so.
    for rotated in [false, true, true] {
        if rotated {
            meter.rotate(0).unwrap();
        }
        drop(meter);
        meter = open(dir.path());
        for payer in [&a, &b] {
            let total_claimed = if payer.channel_id == a.channel_id { Amount(5) } else { Amount::ZERO };
            meter.reconcile(payer.channel_id, Escrow { total_claimed, ..whole }).unwrap();
        }
        assert_eq!(meter.channel(a.channel_id).unwrap().written_off_to, Amount(900_000));
        assert_eq!(meter.write_off(a.channel_id, 9).unwrap(), Amount::ZERO);
        full(&meter);
    }
    let told: Vec<_> = meter.read_segment(0).unwrap().map(Result::unwrap).collect();
    let lanes: Vec<_> = told.iter().map(|entry| (entry.lane, entry.units, entry.amount.0)).collect();
    let (voucher, given_up) =
        (|channel_id| Lane::Voucher { channel_id }, Lane::WrittenOff { channel_id: a.channel_id });
    assert_eq!(
        lanes,
        [(voucher(a.channel_id), 1, 900_000), (given_up, 0, 899_995), (voucher(b.channel_id), 1, 1_000_000)]
    );
    assert_eq!((told[1].charged_total, told[1].at_s), (Amount(900_000), 1_800_000_007));
    assert_eq!((told[1].receiver, told[1].token, told[1].payer), (RECEIVER, TOKEN, a.config.payer));
    assert_eq!(meter.read_segment(1).unwrap().count(), 0, "told once");

    // The other is claimed, and the first is used again: only what is new counts. Then all of it is claimed.
    meter.claimed(b.channel_id, Amount(1_000_000)).unwrap();
    meter.accept(&a.voucher(1_900_000), &charge(2, 1_000_000)).unwrap();
    let row = claims(&meter).into_iter().find(|row| row.config == a.config).unwrap();
    assert_eq!((row.total_claimed, row.raise), (Amount(1_900_000), Amount(1_899_995)));
    assert_eq!(meter.write_off(a.channel_id, 9).unwrap(), Amount(1_000_000));
    meter.claimed(a.channel_id, Amount(1_900_000)).unwrap();
    assert_eq!(meter.write_off(a.channel_id, 9).unwrap(), Amount::ZERO);
}

/// MET-2: a repeated request is answered once more and charged once, also after restart and rotation; the same id
/// with anything else is refused.
#[test]
fn met_2_a_repeated_request_is_charged_once() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    let first = meter.accept(&payer.voucher(10), &charge(1, 10)).unwrap();
    for round in 0..3 {
        // The work may cost another amount the second time; what was charged stands.
        let again = meter.accept(&payer.voucher(10), &charge(1, 3)).unwrap();
        assert_eq!(again, Charged { repeated: true, ..first }, "round {round}");
        let mut other = charge(1, 10);
        other.request_digest = B256::ZERO;
        assert!(matches!(meter.accept(&payer.voucher(10), &other), Err(ChargeError::RequestReused { .. })));
        let higher = meter.accept(&payer.voucher(20), &charge(1, 10));
        assert!(matches!(higher, Err(ChargeError::RequestReused { .. })));
        let mut forged = payer.voucher(10);
        forged.signature[3] ^= 1;
        assert!(
            matches!(meter.accept(&forged, &charge(1, 10)), Err(ChargeError::Signature(_))),
            "an eavesdropper"
        );
        let under_another_id = meter.accept(&payer.voucher(10), &charge(2, 10));
        assert!(matches!(under_another_id, Err(ChargeError::NotGrowing { .. })));
        if round == 0 {
            meter.rotate(0).unwrap();
        } else {
            drop(meter);
            meter = open(dir.path());
            meter.reconcile(payer.channel_id, escrow(1_000)).unwrap();
        }
    }
    // Forgotten ids are refused for their voucher.
    for request in 2..=u64::try_from(REMEMBERED_CHARGES).unwrap() + 1 {
        meter.accept(&payer.voucher(u128::from(request) * 10), &charge(request, 10)).unwrap();
    }
    assert!(matches!(meter.accept(&payer.voucher(10), &charge(1, 10)), Err(ChargeError::NotGrowing { .. })));
}

/// A log from an older copy: the ledger knows of claims that the log does not, and the meter goes on from them.
#[test]
fn met_1_a_restored_log_goes_on_from_what_was_claimed() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, Escrow { total_claimed: Amount(70), ..escrow(1_000) }).unwrap();
    let refused = meter.accept(&payer.voucher(75), &charge(1, 10));
    assert!(matches!(refused, Err(ChargeError::Uncovered { charged: Amount(70), .. })));
    assert!(claims(&meter).is_empty());
    meter.accept(&payer.voucher(80), &charge(1, 10)).unwrap();
    assert_eq!((claims(&meter)[0].total_claimed, claims(&meter)[0].raise), (Amount(80), Amount(10)));
    drop(meter);
    let meter = open(dir.path());
    assert_eq!(meter.channel(payer.channel_id).unwrap().charged, Amount(80));
}

#[test]
fn one_process_at_a_time() {
    let dir = tempdir().unwrap();
    let first = open(dir.path());
    let second = Meter::open(dir.path(), channels(), rules());
    assert!(matches!(second, Err(OpenMeterError::File(FileError::InUse { .. }))));
    drop(first);
    open(dir.path());
}

/// MET-2: what two gateways could both charge, only one of them does: channels and windows name the one.
#[test]
fn met_2_a_second_gateway_refuses_the_channel() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let other = Address::repeat_byte(9);
    let first = open(&dir.path().join("first"));
    let rules = residual_meter::Rules { receiver_authorizer: other, ..rules() };
    let second = Meter::open(&dir.path().join("second"), channels(), rules).unwrap();
    first.open_channel(&payer.config, escrow(100)).unwrap();
    first.accept(&payer.voucher(10), &charge(1, 10)).unwrap();
    let refused = second.open_channel(&payer.config, escrow(100));
    assert_eq!(refused, Err(OpenChannelError::OtherAuthorizer { expected: other, found: AUTHORIZER }));
    let refused = second.accept(&payer.voucher(10), &charge(1, 10));
    assert!(matches!(refused, Err(ChargeError::UnknownChannel(_))));
}

#[test]
fn a_rotation_that_fails_stops_nothing() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    for request in 1..=20 {
        meter.accept(&payer.voucher(u128::from(request)), &charge(request, 1)).unwrap();
    }
    let draft = dir.path().join("charges-1.log.new");
    std::fs::create_dir(&draft).unwrap();
    let long = meter.log_bytes().unwrap();
    assert!(matches!(meter.rotate(0), Err(RotateError::Kept(_))));
    assert_eq!(meter.log_bytes().unwrap(), long);
    meter.accept(&payer.voucher(21), &charge(21, 1)).unwrap();
    std::fs::remove_dir(&draft).unwrap();
    meter.rotate(0).unwrap();
    assert!(meter.log_bytes().unwrap() < long);
    meter.accept(&payer.voucher(22), &charge(22, 1)).unwrap();
    let before = meter.channel(payer.channel_id).unwrap();
    drop(meter);
    let meter = open(dir.path());
    assert_eq!(meter.recovery().charges, 1, "what is remembered of the segment before is no use of this one");
    meter.reconcile(payer.channel_id, escrow(1_000)).unwrap();
    assert_eq!(meter.channel(payer.channel_id).unwrap(), before);
    assert!(meter.accept(&payer.voucher(15), &charge(15, 1)).unwrap().repeated);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a payer sends and the ledger says, in any order and with restarts: no panic, what is charged stays
    /// within a signed voucher and the escrow of that moment (CH-3), a refusal changes nothing, and every claim is one
    /// that the contract takes (CH-1).
    #[test]
    fn hostile_histories_keep_the_books(
        steps in prop::collection::vec((0..8_u8, any::<u128>(), 0..6_u64, any::<u16>()), 1..40)
    ) {
        let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
        let mut meter = open(dir.path());
        let mut now = escrow(1_000);
        meter.open_channel(&payer.config, now).unwrap();
        for (kind, number, request, noise) in steps {
            let small = number % 1_200;
            let before = meter.channel(payer.channel_id);
            match kind {
                0..=4 => {
                    let mut signed = payer.voucher(if noise % 11 == 0 { number } else { small });
                    if noise % 7 == 0 {
                        signed.signature[usize::from(noise) % 65] ^= (noise >> 8) as u8 | 1;
                    }
                    let price = if noise % 13 == 0 { number } else { small / 7 };
                    let mut charge = charge(request, price);
                    charge.at_s = u64::from(noise);
                    match meter.accept(&signed, &charge) {
                        Ok(Charged { repeated: false, charged_total, .. }) => {
                            let before = before.unwrap();
                            prop_assert_eq!(charged_total.0, before.charged.0 + price);
                            prop_assert!(charged_total <= signed.max_claimable());
                            prop_assert!(signed.max_claimable() <= now.covers());
                            prop_assert_eq!(channels().verify(&signed, payer.config.payerAuthorizer), Ok(()));
                        }
                        Ok(_) | Err(_) => prop_assert_eq!(meter.channel(payer.channel_id), before),
                    }
                }
                5 => {
                    let balance = Amount(small.max(now.total_claimed.0));
                    now = Escrow { balance, pending_withdrawal: Amount(u128::from(noise % 900)), ..now };
                    meter.reconcile(payer.channel_id, now).unwrap();
                }
                6 => {
                    for row in claims(&meter) {
                        prop_assert!(row.total_claimed <= row.signed.max_claimable());
                        prop_assert!(row.total_claimed <= now.balance && row.raise > Amount::ZERO);
                        prop_assert_eq!(row.total_claimed.0 - now.total_claimed.0, row.raise.0);
                        now.total_claimed = row.total_claimed;
                        meter.claimed(payer.channel_id, row.total_claimed).unwrap();
                    }
                }
                _ => {
                    if noise % 2 == 0 {
                        meter.rotate(0).unwrap();
                    }
                    drop(meter);
                    meter = open(dir.path());
                    meter.open_channel(&payer.config, now).unwrap();
                    prop_assert_eq!(meter.channel(payer.channel_id), before);
                }
            }
        }
    }
}
