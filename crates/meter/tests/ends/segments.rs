//! The log in its segments: what is read of them, and what a crash leaves.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256};
use proptest::prelude::*;
use residual_meter::{
    Charge, ChargeError, Charged, Escrow, Lane, LogError, Meter, OpenMeterError, REMEMBERED_EXACT,
    RecordExactError, SegmentError, UsageEntry, WindowError, decode_records, decode_segment,
};
use residual_primitives::Amount;
use tempfile::{TempDir, tempdir};

use crate::parties::{
    AUTHORIZER, Payer, RECEIVER, TOKEN, Waiting as _, Window, channels, charge, claims, escrow, open,
    quick_dir, rules,
};

const FRAME: usize = 256;

fn usage(meter: &Meter, number: u64) -> Vec<UsageEntry> {
    meter.read_segment(number).unwrap().map(Result::unwrap).collect()
}

fn payment(n: u64) -> B256 {
    B256::left_padding_from(&(n + 1_000_000).to_be_bytes())
}

#[test]
fn every_use_is_read_once_and_as_it_was() {
    let (dir, payer, other) = (tempdir().unwrap(), Payer::new(1), Payer::new(2));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    meter.open_channel(&other.config, escrow(10_000)).unwrap();
    assert_eq!((meter.epoch(), meter.closed_segments().unwrap()), (0, vec![]));
    meter.accept(&payer.voucher(50), &Charge { units: 6, ..charge(1, 42) }).unwrap();
    meter.accept(&payer.voucher(50), &Charge { units: 6, ..charge(1, 42) }).unwrap();
    let window = other.window(0, 8, 3, 1);
    window.open(&meter).unwrap();
    meter.tick(&window.tick(1), &Charge { units: 4, ..charge(2, 8) }).unwrap();
    meter
        .record_exact(Address::repeat_byte(0x55), payment(1), &Charge { units: 2, ..charge(3, 10) })
        .unwrap();
    assert_eq!(meter.rotate(0).unwrap(), 0);
    window.charge(&meter, 2, 4).unwrap();
    meter.accept(&payer.voucher(60), &charge(5, 0)).unwrap();
    assert_eq!(meter.rotate(0).unwrap(), 1);

    let first = UsageEntry {
        sequence: 1,
        lane: Lane::Voucher { channel_id: payer.channel_id },
        receiver: RECEIVER,
        token: TOKEN,
        payer: payer.config.payer,
        request_id: charge(1, 0).request_id,
        units: 6,
        unit_price: Amount(7),
        amount: Amount(42),
        charged_total: Amount(42),
        at_s: charge(1, 0).at_s,
    };
    let second = UsageEntry {
        sequence: 5,
        lane: Lane::Tick { channel_id: other.channel_id, index: 1 },
        request_id: charge(2, 0).request_id,
        units: 4,
        unit_price: Amount(2),
        amount: Amount(8),
        charged_total: Amount(8),
        at_s: charge(2, 0).at_s,
        ..first
    };
    let third = UsageEntry {
        sequence: 6,
        lane: Lane::Exact { payment_id: payment(1) },
        payer: Address::repeat_byte(0x55),
        request_id: charge(3, 0).request_id,
        units: 2,
        unit_price: Amount(5),
        amount: Amount(10),
        charged_total: Amount(10),
        at_s: charge(3, 0).at_s,
        ..first
    };
    assert_eq!(usage(&meter, 0), [first, second, third]);
    let next = usage(&meter, 1);
    assert_eq!(next.iter().map(|entry| entry.amount.0).collect::<Vec<_>>(), [8, 0]);
    assert_eq!(next[0].lane, Lane::Tick { channel_id: other.channel_id, index: 2 });
    assert_eq!(next[0].charged_total, Amount(16));
    assert!(next.is_sorted_by(|a, b| a.sequence < b.sequence));
    for number in [0, 1] {
        let bytes = fs::read(dir.path().join(format!("charges-{number}.log"))).unwrap();
        let decoded = decode_segment(&bytes).unwrap();
        assert_eq!((decoded.number, decoded.receiver_authorizer), (number, AUTHORIZER));
        assert_eq!(decoded.usage, usage(&meter, number));
    }
}

/// Segments go in their order, for good; the one that is written is none of them.
#[test]
fn only_the_oldest_closed_segment_is_discarded() {
    let dir = tempdir().unwrap();
    let mut meter = open(dir.path());
    for _ in 0..3 {
        meter.rotate(0).unwrap();
    }
    assert_eq!((meter.epoch(), meter.closed_segments().unwrap()), (3, vec![0, 1, 2]));
    for number in [3, 4, u64::MAX] {
        assert!(matches!(meter.read_segment(number), Err(SegmentError::NotClosed { .. })));
        assert!(matches!(meter.discard_segment(number), Err(SegmentError::NotClosed { .. })));
    }
    assert!(matches!(meter.discard_segment(1), Err(SegmentError::NotOldest { number: 1, oldest: 0 })));
    meter.discard_segment(0).unwrap();
    assert!(matches!(meter.discard_segment(0), Err(SegmentError::NotClosed { number: 0 })));
    drop(meter);
    fs::write(dir.path().join("charges-01.log"), b"no name that a meter gives").unwrap();
    meter = open(dir.path());
    assert_eq!((meter.epoch(), meter.closed_segments().unwrap()), (3, vec![1, 2]));
    assert!(usage(&meter, 1).is_empty());
}

/// A closed segment that is shorter than it was, damaged or another is told, not read as less.
#[test]
fn a_damaged_closed_segment_is_reported() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    for n in 1..=5 {
        meter.accept(&payer.voucher(n.into()), &charge(n, 1)).unwrap();
    }
    meter.rotate(0).unwrap();
    let path = dir.path().join("charges-0.log");
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len(), 7 * FRAME, "what was written ahead is given back");
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let read: Result<Vec<_>, _> = match meter.read_segment(0) {
            Ok(usage) => usage.collect(),
            Err(SegmentError::Log(error)) => Err(error),
            Err(error) => panic!("{error}"),
        };
        match read {
            Err(LogError::Header { .. }) => assert!(length < FRAME),
            Err(LogError::Damaged { offset, .. }) => assert_eq!(offset as usize, length / FRAME * FRAME),
            other => panic!("{length}: {other:?}"),
        }
    }
    let mut usage = meter.read_segment(0).unwrap();
    assert!(usage.by_ref().any(|entry| entry.is_err()) && usage.next().is_none(), "it ends after an error");
    fs::write(&path, &whole).unwrap();
    assert_eq!(meter.read_segment(0).unwrap().count(), 5);
    fs::copy(dir.path().join("charges-1.log"), &path).unwrap();
    assert!(matches!(
        meter.read_segment(0),
        Err(SegmentError::Log(LogError::OtherSegment { expected: 0, found: 1, .. }))
    ));
}

/// MET-1: a crash between any two steps of a rotation leaves either segment the newest, and the same channels.
#[test]
fn met_1_a_rotation_that_was_interrupted_is_one_of_two_states() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    let window = payer.window(0, 5, 9, 1);
    window.open(&meter).unwrap();
    window.charge(&meter, 1, 1).unwrap();
    drop(meter);
    let old = dir.path().join("charges-0.log");
    let before = fs::read(&old).unwrap();
    let meter = open(dir.path());
    meter.reconcile(payer.channel_id, escrow(10_000)).unwrap();
    let state = meter.channel(payer.channel_id).unwrap();
    meter.rotate(0).unwrap();
    drop(meter);
    let new = dir.path().join("charges-1.log");
    let after = fs::read(&new).unwrap();
    let draft = dir.path().join("charges-1.log.new");

    let recovers = |epoch| {
        let meter = open(dir.path());
        assert_eq!(meter.epoch(), epoch);
        meter.reconcile(payer.channel_id, escrow(10_000)).unwrap();
        assert_eq!(meter.channel(payer.channel_id).unwrap(), state);
        assert!(window.charge(&meter, 1, 1).unwrap().repeated);
        assert!(!draft.exists(), "what was not adopted takes no space");
        meter
    };
    // The draft in part, or whole.
    for length in [0, 1, FRAME, after.len() - 1, after.len()] {
        fs::remove_file(&new).unwrap();
        fs::write(&draft, &after[..length]).unwrap();
        fs::write(&old, &before).unwrap();
        let meter = recovers(0);
        // The rotation is repeated.
        meter.rotate(0).unwrap();
        drop(meter);
        assert_eq!(fs::read(&new).unwrap(), after);
    }
    // Adopted, with the old one as long as it was written ahead.
    fs::write(&old, &before).unwrap();
    let meter = recovers(1);
    assert_eq!(usage(&meter, 0).len(), 1);
    drop(meter);
    // A snapshot that is not whole was damaged, since it was durable before it had its name.
    for length in (FRAME..after.len()).step_by(64) {
        fs::write(&new, &after[..length]).unwrap();
        let refused = Meter::open(dir.path(), channels(), rules());
        assert!(matches!(refused, Err(OpenMeterError::Log(LogError::Damaged { .. }))), "{length}");
    }
}

/// MET-2: what is forgotten is only what can serve no more: idle, claimed to the last promise, and without a window.
#[test]
fn met_2_a_forgotten_channel_takes_nothing_from_before() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    let at_s = charge(1, 0).at_s;
    let window = payer.window(0, 5, 2, 1);
    window.open(&meter).unwrap();
    let known = |meter: &Meter| meter.channel(payer.channel_id).is_some();
    let rotate = |meter: &Meter| {
        meter.rotate(u64::MAX).unwrap();
        known(meter)
    };
    assert!(rotate(&meter), "a window is open");
    window.charge(&meter, 1, 1).unwrap();
    meter.close_window(payer.channel_id, window.root()).unwrap();
    meter.claimed(payer.channel_id, Amount(5)).unwrap();
    assert!(rotate(&meter), "a promise of 10 reaches above the 5 that were claimed");
    meter.accept(&payer.voucher(20), &charge(2, 15)).unwrap();
    meter.claimed(payer.channel_id, Amount(19)).unwrap();
    assert!(rotate(&meter), "1 is unclaimed");
    meter.claimed(payer.channel_id, Amount(20)).unwrap();
    meter.rotate(at_s).unwrap();
    assert!(known(&meter), "it was charged since");
    drop(meter);
    meter = open(dir.path());
    assert!(rotate(&meter), "the ledger was not asked");
    meter.reconcile(payer.channel_id, Escrow { total_claimed: Amount(20), ..escrow(10_000) }).unwrap();
    assert!(!rotate(&meter), "nothing of it can be needed again");

    for restart in [false, true] {
        if restart {
            drop(meter);
            meter = open(dir.path());
            assert!(!known(&meter));
        }
        let unknown = meter.accept(&payer.voucher(21), &charge(3, 1));
        assert!(matches!(unknown, Err(ChargeError::UnknownChannel(_))));
        let confirmed = Escrow { total_claimed: Amount(20), ..escrow(10_000) };
        meter.open_channel(&payer.config, confirmed).unwrap();
        for (max, request) in [(20, 2), (20, 3), (10, 3)] {
            let replayed = meter.accept(&payer.voucher(max), &charge(request, 15));
            assert!(matches!(replayed, Err(ChargeError::Uncovered { charged: Amount(20), .. })));
        }
        assert!(matches!(window.open(&meter), Err(WindowError::Base { expected: Amount(20), .. })));
        if !restart {
            // Never charged again, it is nowhere.
            meter.rotate(0).unwrap();
        }
    }
    meter.accept(&payer.voucher(30), &charge(4, 10)).unwrap();
    drop(meter);
    let meter = open(dir.path());
    assert_eq!(meter.channel(payer.channel_id).unwrap().charged, Amount(30));
    let all: Vec<u128> = meter
        .closed_segments()
        .unwrap()
        .into_iter()
        .flat_map(|number| usage(&meter, number))
        .map(|entry| entry.amount.0)
        .collect();
    assert_eq!(all, [5, 15], "each use once, also those of a channel that was forgotten");
}

/// A rotation that fails after it has left channels out forgets none of them.
#[test]
fn met_2_a_rotation_that_fails_forgets_nothing() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(100)).unwrap();
    meter.accept(&payer.voucher(10), &charge(1, 10)).unwrap();
    meter.claimed(payer.channel_id, Amount(10)).unwrap();
    let draft = dir.path().join("charges-1.log.new");
    fs::create_dir(&draft).unwrap();
    assert!(meter.rotate(u64::MAX).is_err());
    assert!(meter.accept(&payer.voucher(10), &charge(1, 10)).unwrap().repeated);
    meter.accept(&payer.voucher(20), &charge(2, 10)).unwrap();
    drop(meter);
    let meter = open(dir.path());
    assert_eq!(meter.channel(payer.channel_id).unwrap().charged, Amount(20));
}

/// MET-2: one payment on the ledger is recorded for one use, also after restart and rotation.
#[test]
fn met_2_a_payment_by_itself_is_recorded_once() {
    let dir = tempdir().unwrap();
    let payer = Address::repeat_byte(0x55);
    let mut meter = open(dir.path());
    let first = meter.record_exact(payer, payment(1), &charge(1, 10)).unwrap();
    assert_eq!(first, Charged { repeated: false, amount: Amount(10), charged_total: Amount(10) });
    for round in 0..3 {
        let again = meter.record_exact(payer, payment(1), &Charge { at_s: 5, ..charge(1, 10) });
        assert_eq!(again.unwrap(), Charged { repeated: true, ..first });
        let other_use = meter.record_exact(payer, payment(1), &charge(2, 10));
        assert!(matches!(other_use, Err(RecordExactError::PaymentReused { .. })));
        let dearer = meter.record_exact(payer, payment(1), &charge(1, 11));
        assert!(matches!(dearer, Err(RecordExactError::PaymentReused { .. })));
        let by_other = meter.record_exact(Address::ZERO, payment(1), &charge(1, 10));
        assert!(matches!(by_other, Err(RecordExactError::PaymentReused { .. })));
        let paid_twice = meter.record_exact(payer, payment(2), &charge(1, 10));
        assert!(matches!(paid_twice, Err(RecordExactError::RequestReused { .. })));
        let uneven = meter.record_exact(payer, payment(3), &Charge { units: 3, ..charge(3, 10) });
        assert!(matches!(uneven, Err(RecordExactError::Units { .. })));
        if round == 0 {
            meter.rotate(0).unwrap();
        } else {
            drop(meter);
            meter = open(dir.path());
        }
    }
    // As many as are remembered push the first out, and no more than those are held.
    let most = u64::try_from(REMEMBERED_EXACT).unwrap();
    let recorded: Vec<_> =
        (2..=most + 1).map(|n| meter.submit_exact(payer, payment(n), &charge(n, 1)).unwrap()).collect();
    for pending in recorded {
        assert!(!pending.wait().unwrap().repeated);
    }
    assert!(meter.record_exact(payer, payment(2), &charge(2, 1)).unwrap().repeated);
    meter.rotate(0).unwrap();
    drop(meter);
    let meter = open(dir.path());
    assert_eq!(meter.log_bytes().unwrap(), (most + 1) * FRAME as u64);
    assert!(meter.record_exact(payer, payment(2), &charge(2, 1)).unwrap().repeated);
    // The payer's very first was forgotten here; that the ledger takes no payment twice is what refuses it then.
    assert!(!meter.record_exact(payer, payment(1), &charge(1, 10)).unwrap().repeated);
}

/// What the recovery proof is made on: a run of both lanes and several channels, with a rotation in it, a write that was
/// refused, and an open window at its end.
struct Run {
    dir: TempDir,
    newest: PathBuf,
    /// The newest segment.
    bytes: Vec<u8>,
    /// After each acknowledged change in the newest segment: its length by then, and what was charged on each channel.
    acknowledged: Vec<(usize, BTreeMap<B256, u128>)>,
    payers: Vec<Payer>,
    windows: Vec<Window>,
}

fn run() -> Run {
    let dir = quick_dir();
    let payers: Vec<_> = (1..=3).map(Payer::new).collect();
    let windows =
        vec![payers[1].window(9, 2, 30, 1), payers[2].window(0, 4, 3, 2), payers[2].window(12, 4, 9, 3)];
    let meter = open(dir.path());
    for payer in &payers {
        meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    }
    for n in 1..=3 {
        meter.accept(&payers[0].voucher(n * 10), &charge(n as u64, 7)).unwrap();
    }
    meter.accept(&payers[1].voucher(9), &charge(1, 9)).unwrap();
    windows[0].open(&meter).unwrap();
    windows[0].charge(&meter, 1, 2).unwrap();
    meter.record_exact(Address::repeat_byte(0x55), payment(1), &charge(1, 5)).unwrap();
    meter.rotate(0).unwrap();

    let newest = dir.path().join("charges-1.log");
    let mut acknowledged = Vec::new();
    let mut note = || {
        let charged = meter.channels().into_iter().map(|state| (state.channel_id, state.charged.0));
        acknowledged.push((usize::try_from(meter.log_bytes().unwrap()).unwrap(), charged.collect()));
    };
    note();
    for step in 0..4_u32 {
        let n = u64::from(step) + 10;
        meter.accept(&payers[0].voucher(u128::from(n) * 10), &charge(n, 6)).unwrap();
        note();
        windows[0].charge(&meter, step + 2, n).unwrap();
        note();
        // Refused, and so no part of the log.
        assert!(meter.accept(&payers[0].voucher(u128::from(n) * 10), &charge(n + 50, 6)).is_err());
        assert!(windows[0].charge(&meter, step + 2, n + 50).is_err());
        match step {
            0 => windows[1].open(&meter).unwrap(),
            _ => drop(windows[1].charge(&meter, step, n).unwrap()),
        }
        note();
    }
    meter.record_exact(Address::repeat_byte(0x55), payment(2), &charge(2, 5)).unwrap();
    note();
    windows[2].open(&meter).unwrap();
    windows[2].charge(&meter, 1, 99).unwrap();
    note();
    drop(meter);
    let mut bytes = fs::read(&newest).unwrap();
    // Two frames of what was written ahead are enough of it.
    bytes.truncate(acknowledged.last().unwrap().0 + 2 * FRAME);
    Run { dir, newest, bytes, acknowledged, payers, windows }
}

impl Run {
    fn open_with(&self, bytes: &[u8]) -> Result<Meter, OpenMeterError> {
        fs::write(&self.newest, bytes).unwrap();
        Meter::open(self.dir.path(), channels(), rules())
    }

    fn end(&self) -> usize {
        self.acknowledged.last().unwrap().0
    }

    /// That the meter is where it was after some acknowledged change or between two, not before that at `length`, and
    /// claims by what the payers have signed and released.
    fn assert_prefix(&self, meter: &Meter, length: usize, what: &str) {
        let least =
            self.acknowledged.iter().rev().find(|(end, _)| *end <= length).map(|(_, charged)| charged);
        let most = &self.acknowledged.last().unwrap().1;
        for payer in &self.payers {
            let charged = meter.channel(payer.channel_id).map_or(0, |state| state.charged.0);
            let least = least.and_then(|charged| charged.get(&payer.channel_id)).copied().unwrap_or_default();
            let made =
                self.acknowledged.iter().any(|(_, then)| then.get(&payer.channel_id) == Some(&charged));
            assert!(charged >= least && charged <= most[&payer.channel_id], "{what} {length}");
            assert!(made || charged == 0, "{what} {length}: {charged} was never charged");
            if meter.reconcile(payer.channel_id, escrow(1_000)).is_err() {
                assert_eq!(charged, 0);
            }
        }
        for row in claims(meter) {
            let charged = meter.channel(channels().channel_id(&row.config)).unwrap().charged;
            assert_eq!(row.total_claimed, charged, "{what} {length}");
            assert_eq!(channels().verify(&row.signed, row.config.payerAuthorizer), Ok(()));
        }
    }

    /// That what was charged by then is charged no more.
    fn assert_no_replay(&self, meter: &Meter, what: usize) {
        let tick = self.windows[0].charge(meter, 1, 777);
        assert!(matches!(tick, Err(ChargeError::NotNextTick { .. })), "{what}: {tick:?}");
        let voucher = meter.accept(&self.payers[0].voucher(30), &charge(777, 1));
        assert!(matches!(voucher, Err(ChargeError::NotGrowing { .. })), "{what}: {voucher:?}");
        assert!(meter.accept(&self.payers[0].voucher(30), &charge(3, 7)).unwrap().repeated);
        assert!(self.windows[0].charge(meter, 1, 2).unwrap().repeated);
        let exact = meter.record_exact(Address::repeat_byte(0x55), payment(1), &charge(1, 5));
        assert!(exact.unwrap().repeated);
    }
}

/// MET-1, MET-2: cut off at any byte, the newest segment gives back all that was acknowledged while it was that long, or
/// is refused with file and offset, which it is exactly where even its snapshot is not whole.
#[test]
fn met_1_the_newest_segment_cut_at_any_byte_keeps_what_was_acknowledged() {
    let run = run();
    let snapshot_end = run.acknowledged[0].0;
    for length in 0..=run.bytes.len() {
        match run.open_with(&run.bytes[..length]) {
            Ok(meter) => {
                assert!(length >= snapshot_end, "{length}");
                run.assert_prefix(&meter, length, "cut at");
                run.assert_no_replay(&meter, length);
                let torn = meter.recovery().torn_bytes as usize;
                assert!(torn == length % FRAME || length > run.end(), "{length}");
            }
            Err(OpenMeterError::Log(LogError::Header { path })) => {
                assert!(length < FRAME && path == run.newest, "{length}");
            }
            Err(OpenMeterError::Log(LogError::Damaged { path, offset, .. })) => {
                assert!(length < snapshot_end && path == run.newest, "{length}");
                assert_eq!(offset as usize, length / FRAME * FRAME);
            }
            Err(error) => panic!("cut at {length}: {error}"),
        }
    }
}

/// MET-1, MET-2: with any one byte flipped, the newest segment is refused with file and offset, unless the byte is of what
/// was only written ahead; and it is left as it was.
#[test]
fn met_1_a_byte_flipped_anywhere_in_the_newest_segment_is_reported() {
    let run = run();
    for at in 0..run.bytes.len() {
        let mut flipped = run.bytes.clone();
        flipped[at] ^= if at % 9 == 8 { 0xff } else { 1 << (at % 9) };
        match run.open_with(&flipped) {
            Ok(meter) => {
                assert!(at >= run.end(), "byte {at}");
                run.assert_prefix(&meter, run.end(), "flipped at");
                run.assert_no_replay(&meter, at);
                continue;
            }
            Err(OpenMeterError::Log(LogError::Header { path })) => {
                assert!(at < FRAME && path == run.newest, "byte {at}");
            }
            Err(OpenMeterError::Log(LogError::Damaged { path, offset, .. })) => {
                assert!(path == run.newest && offset as usize == at / FRAME * FRAME, "byte {at}");
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
        assert_eq!(fs::read(&run.newest).unwrap(), flipped);
    }
}

/// MET-1: what was recovered from a cut goes on, and is there when it is opened once more.
#[test]
fn met_1_a_cut_segment_goes_on() {
    let run = run();
    for length in (run.acknowledged[0].0..=run.end()).step_by(97) {
        let meter = run.open_with(&run.bytes[..length]).unwrap();
        for payer in &run.payers {
            meter.open_channel(&payer.config, escrow(1_000)).unwrap();
        }
        meter.accept(&run.payers[0].voucher(500), &charge(500, 5)).unwrap();
        let state = meter.channel(run.payers[2].channel_id).unwrap();
        // The third channel is in one of its windows, or between them, or the crash came between the two records of one.
        let mut next = run.payers[2].window(state.charged.0, 4, 7, 9);
        if let Some(window) = state.window {
            next = run.windows[1..].iter().find(|open| open.root() == window.open.root).unwrap().clone();
            next.charge(&meter, window.used + 1, 501).unwrap();
        } else {
            next.open(&meter).unwrap();
            next.charge(&meter, 1, 501).unwrap();
        }
        let before = meter.channels();
        drop(meter);
        let meter = open(run.dir.path());
        assert_eq!(meter.recovery().torn_bytes, 0);
        for payer in &run.payers {
            meter.reconcile(payer.channel_id, escrow(1_000)).unwrap();
        }
        assert_eq!(meter.channels(), before, "cut at {length}");
        drop(next);
    }
}

fn bodies(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks_exact(FRAME).skip(1).flat_map(|frame| &frame[16..240]).copied().collect()
}

/// The records of a run decode without their frames to the same uses.
#[test]
fn records_without_frames_say_the_same() {
    let run = run();
    let bytes = &run.bytes[..run.end()];
    let whole = decode_segment(bytes).unwrap();
    assert_eq!(decode_records(&bodies(bytes), &channels(), AUTHORIZER).unwrap(), whole.usage);
    assert_eq!(whole.torn_bytes, 0);
    let path: &Path = &run.newest;
    fs::write(path, bytes).unwrap();
    let meter = open(run.dir.path());
    meter.rotate(0).unwrap();
    assert_eq!(usage(&meter, 1), whole.usage);
}

/// What no meter writes is not read either: uses of no units, or of units without a whole price.
#[test]
fn a_use_without_a_unit_price_is_refused() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    meter.accept(&payer.voucher(42), &Charge { units: 6, ..charge(1, 42) }).unwrap();
    let window = payer.window(42, 8, 3, 1);
    window.open(&meter).unwrap();
    meter.tick(&window.tick(1), &Charge { units: 4, ..charge(2, 8) }).unwrap();
    meter
        .record_exact(Address::repeat_byte(0x55), payment(1), &Charge { units: 2, ..charge(3, 10) })
        .unwrap();
    let bytes = fs::read(dir.path().join("charges-0.log")).unwrap();
    let segment = decode_segment(&bytes).unwrap();
    let records = bodies(&bytes[..FRAME * (segment.usage[2].sequence as usize + 2)]);
    // Where a record says its units: behind its kind, what proves it, and its amounts.
    for (entry, at) in segment.usage.iter().zip([1 + 113 + 2 * 16, 1 + 32 + 4 + 32, 1 + 32 + 3 * 20 + 16]) {
        let units = 224 * entry.sequence as usize + at..224 * entry.sequence as usize + at + 4;
        assert_eq!(records[units.clone()], entry.units.to_be_bytes());
        for wrong in [0, 9_u32] {
            let mut changed = records.clone();
            changed[units.clone()].copy_from_slice(&wrong.to_be_bytes());
            let error = decode_records(&changed, &channels(), AUTHORIZER).unwrap_err();
            assert_eq!(error.offset, 224 * entry.sequence);
            assert_eq!(error.what, "its amount is not so many times the price of a unit");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Foreign bytes, foreign records, and records of a run that are changed, left out or moved: an answer and never a
    /// panic.
    #[test]
    fn foreign_records_are_answered(
        noise in prop::collection::vec(any::<u8>(), 0..2_000),
        edits in prop::collection::vec((any::<u16>(), any::<u16>(), any::<u8>(), 0..4_u8), 1..8),
    ) {
        let _ = decode_segment(&noise);
        let _ = decode_records(&noise, &channels(), AUTHORIZER);
        let run = run();
        let mut records: Vec<Vec<u8>> = bodies(&run.bytes[..run.end()]).chunks(224).map(<[u8]>::to_vec).collect();
        for (a, b, value, edit) in edits {
            let (a, at) = (usize::from(a) % records.len(), usize::from(b));
            match edit {
                0 => records[a][at % 224] = value,
                1 => records.swap(a, at % (a + 1)),
                2 if records.len() > 1 => drop(records.remove(a)),
                _ => {
                    let copy = records[a].clone();
                    records.insert(a, copy);
                }
            }
        }
        let _ = decode_records(&records.concat(), &channels(), AUTHORIZER);
        let _ = decode_segment(&[&run.bytes[..FRAME], &noise[..]].concat());
    }
}

/// MET-2: a channel from which all was taken out again is forgotten, whatever was promised on it, so that empty ones do not
/// fill the meter; opened again it takes no window or voucher for what was paid.
#[test]
fn met_2_an_emptied_channel_is_forgotten_and_pays_for_nothing_twice() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    let known = |meter: &Meter| meter.channel(payer.channel_id).is_some();
    let window = payer.window(0, 5, 4, 1);
    window.open(&meter).unwrap();
    window.charge(&meter, 1, 1).unwrap();
    let emptied =
        |total_claimed| Escrow { balance: Amount(5), total_claimed: Amount(total_claimed), ..escrow(10_000) };
    meter.reconcile(payer.channel_id, emptied(0)).unwrap();
    meter.rotate(u64::MAX).unwrap();
    assert!(known(&meter), "what was charged is not claimed");
    meter.reconcile(payer.channel_id, emptied(5)).unwrap();
    meter.rotate(u64::MAX).unwrap();
    assert!(!known(&meter), "a window of four, of which one tick was used, holds nothing");

    for restart in [false, true] {
        if restart {
            drop(meter);
            meter = open(dir.path());
        }
        let again = Escrow { balance: Amount(10_000), ..emptied(5) };
        meter.open_channel(&payer.config, again).unwrap();
        assert!(window.open(&meter).is_err(), "its base is below what was charged");
        assert!(matches!(window.charge(&meter, 1, 1), Err(ChargeError::NoWindow { .. })));
    }
}
