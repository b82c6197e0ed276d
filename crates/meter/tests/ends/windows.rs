//! Windows of ticks at both ends.

use std::fs;

use alloy_primitives::{Address, B256};
use proptest::prelude::*;
use residual_meter::{
    ChargeError, Charged, Escrow, OpenWindowError, PromiseError, Purse, REMEMBERED_TICKS, RESERVED_TICKS,
    ResumeError, SignatureError, SignedTickOpen, TickError, TickSeed, WindowError, WindowPlan,
};
use residual_primitives::{
    Amount,
    signed::{TickClose, TickOpen},
};
use tempfile::tempdir;

use crate::parties::{Payer, Window, channels, charge, claims, escrow, open, taken_away};

#[test]
fn ticks_are_charged_and_redeemed() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    meter.accept(&payer.voucher(40), &charge(1, 40)).unwrap();
    let window = payer.window(40, 5, 20, 1);
    window.open(&meter).unwrap();
    for index in 1..=3 {
        let charged = window.charge(&meter, index, 100 + u64::from(index)).unwrap();
        let charged_total = Amount(40 + 5 * u128::from(index));
        assert_eq!(charged, Charged { repeated: false, amount: Amount(5), charged_total });
    }
    let rows = claims(&meter);
    assert_eq!((rows[0].total_claimed, &rows[0].signed), (Amount(55), &window.voucher));
    let inside = meter.accept(&payer.voucher(200), &charge(9, 5));
    assert!(matches!(inside, Err(ChargeError::InsideWindow { root }) if root == window.root()));
    assert!(meter.accept(&payer.voucher(40), &charge(1, 40)).unwrap().repeated, "that is no new charge");
    let state = meter.channel(payer.channel_id).unwrap();
    assert_eq!((state.charged, state.window.unwrap().used), (Amount(55), 3));

    // It ends early: the next window goes on from what was charged, though it promises less than the first.
    assert_eq!(meter.close_window(payer.channel_id, window.root()).unwrap(), Amount(55));
    assert_eq!(meter.close_window(payer.channel_id, window.root()).unwrap(), Amount(55));
    let short = payer.window(55, 5, 2, 2);
    short.open(&meter).unwrap();
    assert!(matches!(meter.close_window(payer.channel_id, window.root()), Err(WindowError::NotOpen { .. })));
    short.charge(&meter, 1, 201).unwrap();
    short.charge(&meter, 2, 202).unwrap();
    // It ended with its last tick. A voucher goes on above all that was promised.
    assert_eq!(meter.channel(payer.channel_id).unwrap().window, None);
    assert!(matches!(short.charge(&meter, 3, 203), Err(ChargeError::NoWindow { .. })));
    let promised = meter.accept(&payer.voucher(140), &charge(3, 10));
    assert!(matches!(promised, Err(ChargeError::NotGrowing { highest: Amount(140), .. })));
    meter.accept(&payer.voucher(141), &charge(3, 10)).unwrap();
    assert_eq!(claims(&meter)[0].total_claimed, Amount(75));
    assert_eq!(channels().verify(&claims(&meter)[0].signed, payer.config.payerAuthorizer), Ok(()));
}

#[test]
fn windows_that_cannot_be_counted_are_not_opened() {
    let (dir, payer, other) = (tempdir().unwrap(), Payer::new(1), Payer::new(2));
    let meter = open(dir.path());
    let good = payer.window(0, 5, 10, 1);
    assert!(matches!(good.open(&meter), Err(WindowError::Refused(ChargeError::UnknownChannel(_)))));
    meter.open_channel(&payer.config, escrow(100)).unwrap();
    let before = meter.channel(payer.channel_id);
    let changed = |change: &dyn Fn(&mut TickOpen)| {
        let mut window = good.clone();
        change(&mut window.signed.open);
        window.signed = payer.anchor(window.signed.open);
        window.open(&meter).unwrap_err()
    };
    let gateway = changed(&|open| open.gateway = Address::ZERO);
    assert!(matches!(gateway, WindowError::OtherGateway { found: Address::ZERO, .. }));
    for found in [0, 1025, u32::MAX] {
        let ticks = changed(&|open| open.maxTicks = found);
        assert!(matches!(ticks, WindowError::Ticks { found: f } if f == found));
    }
    assert!(matches!(changed(&|open| open.unitPrice = 0), WindowError::Free));
    // The voucher is for exactly the window, whatever overflows.
    for unit_price in [4, 6, u128::MAX] {
        let voucher = changed(&|open| open.unitPrice = unit_price);
        assert!(matches!(voucher, WindowError::Voucher { found: Amount(50), .. }));
    }
    assert!(matches!(changed(&|open| open.base = 1), WindowError::Voucher { .. }));
    let base = payer.window(1, 5, 10, 1).open(&meter);
    assert!(matches!(base, Err(WindowError::Base { expected: Amount::ZERO, found: Amount(1) })));
    let elsewhere = Window { voucher: other.voucher(50), ..good.clone() };
    assert!(matches!(elsewhere.open(&meter), Err(WindowError::OtherChannel { .. })));
    // Either signature by somebody else, or over something else.
    let by_other = Window { signed: other.anchor(good.signed.open.clone()), ..good.clone() };
    let mut voucher = good.voucher.clone();
    voucher.signature = other.sign(&channels().voucher_digest(&voucher.voucher)).unwrap();
    let voucher_by_other = Window { voucher, ..good.clone() };
    let signature = payer.sign(&channels().voucher_digest(&good.voucher.voucher)).unwrap();
    let another_message =
        Window { signed: SignedTickOpen { signature, ..good.signed.clone() }, ..good.clone() };
    for forged in [by_other, voucher_by_other, another_message] {
        let refused = forged.open(&meter);
        let signature = matches!(
            refused,
            Err(WindowError::Refused(ChargeError::Signature(SignatureError::OtherSigner { .. })))
        );
        assert!(signature, "{refused:?}");
    }
    assert!(SignedTickOpen::new(good.signed.open.clone(), &[0; 64]).is_err());
    assert_eq!(meter.channel(payer.channel_id), before, "nothing has changed");

    good.open(&meter).unwrap();
    good.open(&meter).unwrap();
    let second = payer.window(0, 5, 10, 2).open(&meter);
    assert!(matches!(second, Err(WindowError::AlreadyOpen { root }) if root == good.root()));
}

/// CH-3: a window is within the confirmed escrow when it is opened, and each of its ticks when it is charged; and both
/// within what may be unclaimed.
#[test]
fn ch_3_windows_stay_within_the_confirmed_escrow() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(49)).unwrap();
    let window = payer.window(0, 5, 10, 1);
    let beyond = |covered| {
        move |error| {
            assert!(matches!(error, ChargeError::BeyondEscrow { covered: c, .. } if c == Amount(covered)))
        }
    };
    match window.open(&meter) {
        Err(WindowError::Refused(error)) => beyond(49)(error),
        other => panic!("{other:?}"),
    }
    meter.reconcile(payer.channel_id, escrow(50)).unwrap();
    window.open(&meter).unwrap();
    window.charge(&meter, 1, 1).unwrap();
    meter.reconcile(payer.channel_id, Escrow { pending_withdrawal: Amount(41), ..escrow(50) }).unwrap();
    beyond(9)(window.charge(&meter, 2, 2).unwrap_err());
    drop(meter);
    meter = open(dir.path());
    assert!(matches!(window.charge(&meter, 2, 2), Err(ChargeError::NotReconciled { .. })));
    meter.reconcile(payer.channel_id, escrow(50)).unwrap();
    window.charge(&meter, 2, 2).unwrap();

    let rich = Payer::new(2);
    meter.open_channel(&rich.config, escrow(u128::MAX)).unwrap();
    let over = rich.window(0, 1_000_000, 1, 1).open(&meter);
    assert!(matches!(over, Err(WindowError::Refused(ChargeError::UnclaimedCap { .. }))));
    rich.window(0, 499_990, 2, 2).open(&meter).unwrap();
    let window = rich.window(0, 499_990, 2, 2);
    window.charge(&meter, 1, 1).unwrap();
    let third = Payer::new(3);
    meter.open_channel(&third.config, escrow(1_000_000)).unwrap();
    meter.accept(&third.voucher(11), &charge(1, 11)).unwrap();
    assert!(matches!(window.charge(&meter, 2, 2), Err(ChargeError::UnclaimedCap { .. })));
    meter.claimed(third.channel_id, Amount(11)).unwrap();
    window.charge(&meter, 2, 2).unwrap();
}

/// MET-2: a tick pays for one request; the same request is answered again, also after restart and rotation, and a tick
/// that was charged, that is left out, or that is of another chain pays for nothing.
#[test]
fn met_2_a_tick_is_charged_once_and_in_its_order() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    let window = payer.window(0, 5, 200, 1);
    assert!(matches!(window.charge(&meter, 1, 1), Err(ChargeError::NoWindow { .. })));
    window.open(&meter).unwrap();
    let first = window.charge(&meter, 1, 1).unwrap();
    for round in 0..3 {
        assert_eq!(window.charge(&meter, 1, 1).unwrap(), Charged { repeated: true, ..first });
        meter.check_tick(&window.tick(1), &charge(1, 5)).unwrap();
        let mut other = charge(1, 5);
        other.request_digest = B256::ZERO;
        let reused = meter.tick(&window.tick(1), &other);
        assert!(matches!(reused, Err(ChargeError::RequestReused { .. })));
        assert!(matches!(window.charge(&meter, 2, 1), Err(ChargeError::RequestReused { .. })));
        let spent = window.charge(&meter, 1, 7);
        assert!(matches!(spent, Err(ChargeError::NotNextTick { expected: 2, found: 1 })));
        for index in [0, 3, 201, u32::MAX] {
            let refused = window.charge(&meter, index, 7);
            assert!(
                matches!(refused, Err(ChargeError::NotNextTick { expected: 2, found }) if found == index)
            );
        }
        let mut guessed = window.tick(2);
        guessed.preimage.0[31] ^= 1;
        let refused = meter.tick(&guessed, &charge(7, 5));
        assert!(matches!(refused, Err(ChargeError::NotOfTheChain { index: 2 })));
        for amount in [0, 4, 6] {
            let refused = meter.tick(&window.tick(2), &charge(7, amount));
            assert!(matches!(refused, Err(ChargeError::WindowPrice { expected: Amount(5), .. })));
        }
        assert_eq!(meter.channel(payer.channel_id).unwrap().charged, Amount(5));
        if round == 0 {
            meter.rotate(0).unwrap();
        } else {
            drop(meter);
            meter = open(dir.path());
            meter.reconcile(payer.channel_id, escrow(10_000)).unwrap();
        }
    }
    // Forgotten ids are refused for their tick.
    for index in 2..=u32::try_from(REMEMBERED_TICKS).unwrap() + 1 {
        window.charge(&meter, index, u64::from(index)).unwrap();
    }
    assert!(matches!(window.charge(&meter, 1, 1), Err(ChargeError::NotNextTick { .. })));
    assert!(window.charge(&meter, 2, 2).unwrap().repeated);
}

/// MET-2: no window is opened a second time once a tick of it was charged, whether it was used up or closed, after
/// restart and rotation, or behind others; and the root before is refused in any window.
#[test]
fn met_2_a_window_that_was_used_is_never_opened_again() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    let unused = payer.window(0, 5, 2, 9);
    unused.open(&meter).unwrap();
    meter.close_window(payer.channel_id, unused.root()).unwrap();
    unused.open(&meter).unwrap();
    meter.close_window(payer.channel_id, unused.root()).unwrap();

    let mut windows = vec![unused];
    let mut base = 0;
    for n in 1..=4_u8 {
        let window = payer.window(base, 5, 2, n);
        window.open(&meter).unwrap();
        window.charge(&meter, 1, u64::from(n) * 10).unwrap();
        base += 5;
        if n % 2 == 0 {
            window.charge(&meter, 2, u64::from(n) * 10 + 1).unwrap();
            base += 5;
        } else {
            meter.close_window(payer.channel_id, window.root()).unwrap();
        }
        windows.push(window);
        if n == 2 {
            meter.rotate(0).unwrap();
        }
        if n == 3 {
            drop(meter);
            meter = open(dir.path());
            meter.reconcile(payer.channel_id, escrow(10_000)).unwrap();
        }
        for old in &windows {
            let refused = old.open(&meter);
            assert!(matches!(refused, Err(WindowError::Base { .. })), "{refused:?}");
            assert!(matches!(old.charge(&meter, 1, 999), Err(ChargeError::NoWindow { .. })));
        }
        let same_chain = payer.window(base, 5, 2, n).open(&meter);
        assert!(matches!(same_chain, Err(WindowError::RootUsed { .. })));
    }
    assert_eq!(meter.channel(payer.channel_id).unwrap().charged, Amount(30));
}

/// MET-1: an open window is there after a restart, at its highest tick, whether its opening or its ticks are in the newest
/// segment or before it.
#[test]
fn met_1_a_restart_goes_on_in_the_window() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let window = payer.window(7, 5, 40, 1);
    let mut meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    meter.accept(&payer.voucher(7), &charge(1, 7)).unwrap();
    window.open(&meter).unwrap();
    for index in 0..20 {
        if index > 0 {
            window.charge(&meter, index, u64::from(index) + 50).unwrap();
        }
        if index % 3 == 0 {
            meter.rotate(0).unwrap();
        }
        let before = meter.channel(payer.channel_id).unwrap();
        assert_eq!(before.window.as_ref().unwrap().used, index);
        drop(meter);
        meter = open(dir.path());
        meter.reconcile(payer.channel_id, escrow(10_000)).unwrap();
        assert_eq!(meter.channel(payer.channel_id).unwrap(), before);
        assert_eq!(claims(&meter)[0].total_claimed, Amount(7 + 5 * u128::from(index)));
        assert_eq!(claims(&meter)[0].signed, window.voucher);
    }
}

/// MET-2: a log from an older copy does not know how many ticks were charged. Once the ledger says that it was more, the
/// window counts no more, and a new one begins where the ledger is.
#[test]
fn met_2_a_restored_log_does_not_count_ticks_again() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    let window = payer.window(0, 5, 40, 1);
    window.open(&meter).unwrap();
    window.charge(&meter, 1, 1).unwrap();
    drop(meter);
    // Ticks 2 to 10 were charged and claimed; their records are lost.
    let claimed = Escrow { total_claimed: Amount(50), ..escrow(1_000) };
    for _ in 0..2 {
        let meter = open(dir.path());
        meter.reconcile(payer.channel_id, claimed).unwrap();
        for index in 1..=11 {
            let refused = window.charge(&meter, index, u64::from(index) + 70);
            assert!(matches!(refused, Err(ChargeError::NoWindow { .. })));
        }
        assert!(matches!(window.open(&meter), Err(WindowError::Base { expected: Amount(50), .. })));
    }
    let meter = open(dir.path());
    meter.reconcile(payer.channel_id, claimed).unwrap();
    let next = payer.window(50, 5, 40, 2);
    next.open(&meter).unwrap();
    next.charge(&meter, 1, 1_000).unwrap();
    drop(meter);
    let meter = open(dir.path());
    assert_eq!(meter.channel(payer.channel_id).unwrap().charged, Amount(55));
}

/// Who asks for a window's end is whoever signs the channel's vouchers, for this window of this gateway and no other.
#[test]
fn only_the_payer_asks_for_a_windows_end() {
    let (payer, other) = (Payer::new(1), Payer::new(2));
    let open = payer.window(0, 5, 10, 1).signed.open;
    let close = TickClose { gateway: open.gateway, channelId: open.channelId, root: open.root };
    let signature = payer.sign(&channels().tick_close_digest(&close)).unwrap();
    let asked = |close: &TickClose, signature: &[u8; 65]| {
        channels().verify_tick_close(close, signature, payer.config.payerAuthorizer)
    };
    assert_eq!(asked(&close, &signature), Ok(()));
    let by_other = other.sign(&channels().tick_close_digest(&close)).unwrap();
    let anchor = payer.sign(&channels().tick_open_digest(&open)).unwrap();
    assert!(asked(&close, &by_other).is_err() && asked(&close, &anchor).is_err());
    for another in [
        TickClose { gateway: Address::ZERO, ..close.clone() },
        TickClose { channelId: B256::ZERO, ..close.clone() },
        TickClose { root: B256::ZERO, ..close.clone() },
    ] {
        assert!(matches!(asked(&another, &signature), Err(SignatureError::OtherSigner { .. })));
    }
}

fn purse(dir: &std::path::Path, payer: &Payer, escrow: Escrow) -> Purse {
    Purse::open(dir, channels(), payer.config.clone(), escrow).unwrap()
}

fn plan(base: u128, unit_price: u128, max_ticks: u32) -> WindowPlan {
    let (base, unit_price) = (Amount(base), Amount(unit_price));
    WindowPlan { base, unit_price, max_ticks, terms_hash: B256::repeat_byte(0x77) }
}

fn seed(n: u8) -> TickSeed {
    TickSeed::new([n; 32])
}

#[test]
fn a_purse_and_a_meter_agree_on_windows() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(&dir.path().join("meter"));
    meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    let mut purse = purse(&dir.path().join("purse"), &payer, escrow(1_000));
    let mut request = 0;
    for max_ticks in [1, 100, 3] {
        let base = meter.channel(payer.channel_id).unwrap().charged.0;
        let (signed, voucher) =
            purse.open_window(&plan(base, 2, max_ticks), &seed(1), |digest| payer.sign(digest)).unwrap();
        assert_eq!(purse.window(), Some((&signed, &voucher)));
        meter.open_window(&signed, &voucher).unwrap();
        let within = purse.promise(Amount(1), |digest| payer.sign(digest));
        assert!(matches!(within, Err(PromiseError::InsideWindow { .. })));
        for _ in 0..max_ticks {
            request += 1;
            meter.tick(&purse.tick().unwrap(), &charge(request, 2)).unwrap();
        }
        assert!(matches!(purse.tick(), Err(TickError::UsedUp { .. })));
        assert_eq!(meter.channel(payer.channel_id).unwrap().charged, purse.charged_at_most());
        purse.end_window().unwrap();
        assert!(matches!(purse.tick(), Err(TickError::NoWindow { .. })));
        let voucher = purse.promise(Amount(4), |digest| payer.sign(digest)).unwrap();
        request += 1;
        meter.accept(&voucher, &charge(request, 4)).unwrap();
    }
    assert_eq!(meter.channel(payer.channel_id).unwrap().charged, Amount(2 * 104 + 3 * 4));
}

/// CH-3: neither a window nor a tick goes beyond the confirmed escrow less the pending withdrawal.
#[test]
fn ch_3_a_purse_lets_no_tick_go_beyond_the_escrow() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut purse = purse(dir.path(), &payer, escrow(100));
    let opened = |purse: &mut Purse, plan| purse.open_window(&plan, &seed(1), |digest| payer.sign(digest));
    let beyond = opened(&mut purse, plan(0, 10, 11));
    assert!(matches!(beyond, Err(OpenWindowError::Refused(PromiseError::BeyondEscrow { .. }))));
    let beyond = opened(&mut purse, plan(0, u128::MAX, 2));
    assert!(matches!(beyond, Err(OpenWindowError::Refused(PromiseError::BeyondEscrow { .. }))));
    for found in [0, 1025] {
        let refused = opened(&mut purse, plan(0, 1, found));
        assert!(matches!(refused, Err(OpenWindowError::Ticks { found: f }) if f == found));
    }
    assert!(matches!(opened(&mut purse, plan(0, 0, 1)), Err(OpenWindowError::Free)));
    // A gateway that says that more was charged than was ever let go is not believed.
    let lie = opened(&mut purse, plan(1, 10, 1));
    assert!(matches!(lie, Err(OpenWindowError::Base { at_most: Amount::ZERO, found: Amount(1), .. })));
    assert_eq!((purse.promised(), purse.window().is_some()), (Amount::ZERO, false));

    opened(&mut purse, plan(0, 10, 10)).unwrap();
    assert_eq!(purse.promised(), Amount(100));
    purse.tick().unwrap();
    purse.confirm(Escrow { pending_withdrawal: Amount(75), ..escrow(100) });
    purse.tick().unwrap();
    let beyond = purse.tick();
    assert!(matches!(beyond, Err(TickError::BeyondEscrow { covered: Amount(25), found: Amount(30) })));
    purse.confirm(escrow(100));
    assert_eq!(purse.tick().unwrap().index, 3);
    purse.end_window().unwrap();
    // It ended early: another goes on from the ticks, within the same escrow; below what was claimed there is none.
    assert_eq!((purse.charged_at_most(), purse.left()), (Amount(30), Amount::ZERO));
    purse.confirm(Escrow { total_claimed: Amount(20), ..escrow(100) });
    for base in [19, 31] {
        let refused = opened(&mut purse, plan(base, 10, 7));
        assert!(matches!(refused, Err(OpenWindowError::Base { at_least: Amount(20), .. })));
    }
    opened(&mut purse, plan(30, 10, 7)).unwrap();
}

/// What may have been let go is on disk before it goes: after a crash all of it counts, and no more than a part of a
/// window is lost by that.
#[test]
fn a_restart_counts_reserved_ticks_as_let_go() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut before = purse(dir.path(), &payer, escrow(1_000));
    let plan = plan(0, 2, 100);
    let sent = before.open_window(&plan, &seed(1), |digest| payer.sign(digest)).unwrap();
    let ticks: Vec<_> = (0..3).map(|_| before.tick().unwrap()).collect();
    assert_eq!(before.charged_at_most(), Amount(6));
    drop(before);

    let mut after = purse(dir.path(), &payer, escrow(1_000));
    assert_eq!(after.window(), Some((&sent.0, &sent.1)));
    assert_eq!(after.charged_at_most(), Amount(2 * u128::from(RESERVED_TICKS)));
    assert!(matches!(after.tick(), Err(TickError::NotResumed { .. })));
    assert_eq!(after.resume_window(&seed(2), 0), Err(ResumeError::OtherSeed { root: sent.0.open.root }));
    let ahead = after.resume_window(&seed(1), RESERVED_TICKS + 1);
    assert_eq!(ahead, Err(ResumeError::Ahead { released: RESERVED_TICKS, found: RESERVED_TICKS + 1 }));
    after.resume_window(&seed(1), 1).unwrap();
    assert_eq!([after.tick().unwrap(), after.tick().unwrap()], ticks[1..]);
    for index in 4..=100 {
        assert_eq!(after.tick().unwrap().index, index);
    }
    drop(after);
    let mut after = purse(dir.path(), &payer, escrow(1_000));
    assert_eq!(after.charged_at_most(), Amount(200));
    after.end_window().unwrap();
    assert_eq!(after.resume_window(&seed(1), 0), Err(ResumeError::NoWindow { channel_id: payer.channel_id }));
    drop(after);
    let after = purse(dir.path(), &payer, escrow(1_000));
    assert_eq!((after.window(), after.charged_at_most()), (None, Amount(200)));
}

/// What cannot be kept is not let go, and a signer that fails changes nothing.
#[test]
fn a_window_or_tick_that_cannot_be_written_does_not_go() {
    let (dir, payer, other) = (tempdir().unwrap(), Payer::new(1), Payer::new(2));
    let mut purse = purse(dir.path(), &payer, escrow(1_000));
    let foreign = purse.open_window(&plan(0, 2, 100), &seed(1), |digest| other.sign(digest));
    assert!(matches!(foreign, Err(OpenWindowError::Refused(PromiseError::Signature(_)))));
    let elsewhere = taken_away(dir.path());
    let unwritten = purse.open_window(&plan(0, 2, 100), &seed(1), |digest| payer.sign(digest));
    assert!(matches!(unwritten, Err(OpenWindowError::Refused(PromiseError::File(_)))));
    assert_eq!((purse.promised(), purse.window().is_some()), (Amount::ZERO, false));
    fs::rename(elsewhere, dir.path()).unwrap();
    purse.open_window(&plan(0, 2, 100), &seed(1), |digest| payer.sign(digest)).unwrap();
    let elsewhere = taken_away(dir.path());
    assert!(matches!(purse.tick(), Err(TickError::File(_))));
    assert!(purse.end_window().is_err());
    assert_eq!(purse.charged_at_most(), Amount::ZERO);
    fs::rename(elsewhere, dir.path()).unwrap();
    assert_eq!(purse.tick().unwrap().index, 1);
    // A flush serves a whole reserve.
    let elsewhere = taken_away(dir.path());
    for index in 2..=RESERVED_TICKS {
        assert_eq!(purse.tick().unwrap().index, index);
    }
    assert!(matches!(purse.tick(), Err(TickError::File(_))));
    fs::rename(elsewhere, dir.path()).unwrap();
}

/// Every flipped byte and every shorter file of a purse with a window is found.
#[test]
fn a_damaged_purse_with_a_window_is_refused() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut whole = purse(dir.path(), &payer, escrow(1_000));
    whole.open_window(&plan(0, 2, 100), &seed(1), |digest| payer.sign(digest)).unwrap();
    drop(whole);
    let path = dir.path().join(format!("{}.purse", payer.channel_id));
    let bytes = fs::read(&path).unwrap();
    let opens = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Purse::open(dir.path(), channels(), payer.config.clone(), escrow(100))
    };
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(opens(&flipped).is_err() && opens(&bytes[..at]).is_err(), "byte {at}");
    }
    assert!(opens(&bytes).unwrap().window().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Both lanes in any order, with rotations, restarts and a ledger that claims: what is charged rises by exactly each
    /// new charge (MET-2), a refusal changes nothing, a claim is never above what was released (CH-1, CH-3), and every use
    /// stands in the log once.
    #[test]
    fn hostile_histories_of_both_lanes_keep_the_books(
        steps in prop::collection::vec((0..12_u8, 0..40_u32, 0..12_u64, any::<u8>()), 1..60)
    ) {
        let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
        let mut meter = open(dir.path());
        let mut now = escrow(2_000);
        meter.open_channel(&payer.config, now).unwrap();
        let mut windows = vec![payer.window(0, 3, 6, 0)];
        let (mut uses, mut total, mut rotated) = (0, 0, false);
        for (kind, number, request, noise) in steps {
            let before = meter.channel(payer.channel_id);
            let charged = before.as_ref().map_or(now.total_claimed.0, |state| state.charged.0);
            match kind {
                0..=4 => {
                    let window = &windows[usize::from(noise) % windows.len()];
                    // Mostly the next tick, so that windows come to their end.
                    let used = before.as_ref().and_then(|state| state.window.as_ref()).map_or(0, |w| w.used);
                    let index = if number % 4 == 0 { number % 8 } else { used + 1 };
                    match window.charge(&meter, index, request + 20 * u64::from(index)) {
                        Ok(Charged { repeated: false, charged_total, .. }) => {
                            prop_assert_eq!(charged_total.0, charged + 3);
                            let state = before.unwrap();
                            prop_assert_eq!(state.window.unwrap().open, window.signed.open.clone());
                            prop_assert!(charged_total <= window.voucher.max_claimable());
                            (uses, total) = (uses + 1, total + 3);
                        }
                        Ok(_) | Err(_) => prop_assert_eq!(meter.channel(payer.channel_id), before),
                    }
                }
                5 | 6 => {
                    let amount = u128::from(number);
                    let promised = before.as_ref().map_or(0, |state| state.promised.0).max(charged);
                    let max = promised + u128::from(noise % 50);
                    match meter.accept(&payer.voucher(max), &charge(request, amount)) {
                        Ok(Charged { repeated: false, charged_total, .. }) => {
                            prop_assert_eq!(charged_total.0, charged + amount);
                            prop_assert!(charged_total.0 <= max && max <= now.covers().0);
                            (uses, total) = (uses + 1, total + amount);
                        }
                        Ok(_) | Err(_) => prop_assert_eq!(meter.channel(payer.channel_id), before),
                    }
                }
                7 => {
                    if noise % 3 == 0 || windows.len() < 3 {
                        // Of a chain of its own.
                        let seed = u8::try_from(windows.len()).unwrap();
                        windows.push(payer.window(charged, 3, 1 + number % 6, seed));
                    }
                    let window = &windows[number as usize % windows.len()];
                    let fresh = before.as_ref().is_some_and(|state| state.window.is_none());
                    if window.open(&meter).is_ok() && fresh {
                        prop_assert_eq!(window.signed.open.base, charged);
                        prop_assert!(window.voucher.max_claimable() <= now.covers());
                    }
                    prop_assert_eq!(meter.channel(payer.channel_id).map(|state| state.charged), before.map(|state| state.charged));
                }
                8 => {
                    let root = windows[number as usize % windows.len()].root();
                    let _ = meter.close_window(payer.channel_id, root);
                }
                9 => {
                    for row in claims(&meter) {
                        prop_assert_eq!(row.total_claimed.0, charged);
                        prop_assert!(row.total_claimed <= row.signed.max_claimable());
                        prop_assert_eq!(channels().verify(&row.signed, payer.config.payerAuthorizer), Ok(()));
                        now.total_claimed = row.total_claimed;
                        meter.claimed(payer.channel_id, row.total_claimed).unwrap();
                    }
                }
                _ => {
                    if noise % 2 == 0 {
                        // With every idle channel forgotten that can be.
                        meter.rotate(if noise % 4 == 0 { u64::MAX } else { 0 }).unwrap();
                        rotated = true;
                    }
                    if kind == 11 {
                        drop(meter);
                        meter = open(dir.path());
                    }
                    meter.open_channel(&payer.config, now).unwrap();
                    let after = meter.channel(payer.channel_id).unwrap();
                    prop_assert_eq!(after.charged.0, charged);
                    prop_assert_eq!(after.window, before.and_then(|state| state.window));
                }
            }
        }
        meter.rotate(0).unwrap();
        let mut read = (0, 0);
        for number in meter.closed_segments().unwrap() {
            for entry in meter.read_segment(number).unwrap() {
                let entry = entry.unwrap();
                read = (read.0 + 1, read.1 + entry.amount.0);
            }
        }
        prop_assert_eq!(read, (uses, total), "rotated: {}", rotated);
    }
}
