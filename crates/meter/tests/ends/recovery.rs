//! The log after a crash and after damage.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use alloy_primitives::{Address, B256};
use proptest::prelude::*;
use residual_meter::{Channels, LogError, Meter, OpenMeterError, Rules};
use residual_primitives::Amount;
use tempfile::{TempDir, tempdir};

use crate::parties::{Payer, Waiting as _, channels, charge, escrow, open, quick_dir, rules};

const FRAME: usize = 256;

/// A log of two channels, and for each acknowledged charge how long the file was at that moment.
struct History {
    dir: TempDir,
    bytes: Vec<u8>,
    acknowledged: Vec<(usize, B256, Amount)>,
    payers: [Payer; 2],
}

fn history() -> History {
    let dir = quick_dir();
    let payers = [Payer::new(1), Payer::new(2)];
    let meter = open(dir.path());
    let log = dir.path().join("charges-0.log");
    let mut acknowledged = Vec::new();
    for payer in &payers {
        meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    }
    for n in 1..=3 {
        for payer in &payers {
            let charged = meter.accept(&payer.voucher(u128::from(n) * 10), &charge(n, 7)).unwrap();
            let length = usize::try_from(meter.log_bytes().unwrap()).unwrap();
            acknowledged.push((length, payer.channel_id, charged.charged_total));
        }
    }
    drop(meter);
    let mut bytes = fs::read(log).unwrap();
    // What follows is zeros, written ahead.
    bytes.truncate(acknowledged.last().unwrap().0);
    History { dir, bytes, acknowledged, payers }
}

impl History {
    fn open_with(&self, bytes: &[u8]) -> Result<Meter, OpenMeterError> {
        fs::write(self.log(), bytes).unwrap();
        Meter::open(self.dir.path(), channels(), rules())
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("charges-0.log")
    }

    /// Every charge that was acknowledged while the file was at most `length` bytes can be claimed.
    fn assert_recovered(&self, meter: &Meter, length: usize) {
        for payer in &self.payers {
            let charged: Vec<Amount> = self
                .acknowledged
                .iter()
                .filter(|(end, id, _)| *end <= length && *id == payer.channel_id)
                .map(|(_, _, total)| *total)
                .collect();
            let Some(&last) = charged.last() else { continue };
            meter.reconcile(payer.channel_id, escrow(1_000)).unwrap();
            assert_eq!(meter.channel(payer.channel_id).unwrap().charged, last, "cut at {length}");
            let rows = meter.redeemable(Amount(1)).unwrap().concat();
            let row = rows.iter().find(|row| row.config == payer.config).unwrap();
            assert!(row.total_claimed >= last);
            assert_eq!(channels().verify(&row.signed, payer.config.payerAuthorizer), Ok(()));
        }
    }
}

fn damaged_at(opened: Result<Meter, OpenMeterError>) -> u64 {
    match opened {
        Err(OpenMeterError::Log(LogError::Damaged { offset, .. })) => offset,
        other => panic!("expected damage to be reported, found {other:?}"),
    }
}

/// MET-1: killed at any byte, everything acknowledged before is there, and the log goes on.
#[test]
fn met_1_cut_at_any_byte_keeps_every_acknowledged_charge() {
    let history = history();
    for length in 0..=history.bytes.len() {
        let opened = history.open_with(&history.bytes[..length]);
        if length < FRAME {
            // The header is durable before the file has its name, so no crash leaves this.
            assert!(matches!(opened, Err(OpenMeterError::Log(LogError::Header { .. }))), "{length}");
            continue;
        }
        let meter = opened.unwrap();
        assert_eq!(meter.recovery().torn_bytes, (length % FRAME) as u64);
        history.assert_recovered(&meter, length);
        if length % 61 == 0 {
            let payer = &history.payers[0];
            meter.open_channel(&payer.config, escrow(1_000)).unwrap();
            meter.accept(&payer.voucher(500), &charge(99, 5)).unwrap();
            let charged = meter.channel(payer.channel_id).unwrap().charged;
            drop(meter);
            let meter = open(history.dir.path());
            assert_eq!(meter.recovery().torn_bytes, 0);
            assert_eq!(meter.channel(payer.channel_id).unwrap().charged, charged);
        }
    }
}

/// MET-1 where the file has grown before its bytes arrived, as after a loss of power: what is missing reads as zeros.
#[test]
fn met_1_zeros_from_any_byte_on_keep_every_acknowledged_charge() {
    let history = history();
    for length in FRAME..history.bytes.len() {
        let mut zeroed = history.bytes.clone();
        zeroed[length..].fill(0);
        match history.open_with(&zeroed) {
            Ok(meter) => history.assert_recovered(&meter, length),
            // A checksum of which a part is there: no disk writes half a sector, so this was no crash.
            Err(OpenMeterError::Log(LogError::Damaged { .. })) => {
                assert!(length % FRAME > FRAME - 16, "{length}")
            }
            Err(error) => panic!("{length}: {error}"),
        }
    }
}

/// MET-1: a flipped byte anywhere in what was acknowledged is reported, and the file is left as it is.
#[test]
fn met_1_a_flipped_byte_anywhere_is_reported() {
    let history = history();
    for at in 0..history.bytes.len() {
        let mut flipped = history.bytes.clone();
        flipped[at] ^= if at % 9 == 8 { 0xff } else { 1 << (at % 9) };
        let opened = history.open_with(&flipped);
        if at < FRAME {
            assert!(matches!(opened, Err(OpenMeterError::Log(LogError::Header { .. }))), "byte {at}");
        } else {
            assert_eq!(damaged_at(opened), (at / FRAME * FRAME) as u64, "byte {at}");
        }
        assert_eq!(fs::read(history.log()).unwrap(), flipped);
    }
}

/// MET-1: frames that are missing, doubled or moved are reported, but for a hole in the last, unacknowledged batch.
#[test]
fn met_1_a_hole_before_a_later_flush_is_reported() {
    let history = history();
    let frames: Vec<&[u8]> = history.bytes.chunks(FRAME).collect();
    let last = frames.len() - 1;
    let zeros = [0; FRAME];
    // A channel's first charge was flushed together with the frame that opens it, every other alone; so each frame but
    // the last has one behind it that proves it was durable.
    for at in 1..last {
        let mut holed = frames.clone();
        holed[at] = &zeros;
        assert_eq!(damaged_at(history.open_with(&holed.concat())), (at * FRAME) as u64);
        let mut gone = frames.clone();
        gone.remove(at);
        damaged_at(history.open_with(&gone.concat()));
        let mut swapped = frames.clone();
        swapped.swap(at, at + 1);
        damaged_at(history.open_with(&swapped.concat()));
        let mut doubled = frames.clone();
        doubled.insert(at, frames[at]);
        damaged_at(history.open_with(&doubled.concat()));
    }
    // The first flush wrote frames 1 and 2; if 2 reached the disk first, nobody was told.
    let torn = [frames[0], &zeros, frames[2]].concat();
    let meter = history.open_with(&torn).unwrap();
    assert_eq!((meter.recovery().charges, meter.recovery().torn_bytes), (0, 2 * FRAME as u64));
}

/// Where the process that is killed finds its directory.
const KILLED_IN: &str = "RESIDUAL_METER_KILLED_IN";

/// MET-1: kill -9 in the middle of charging, thirty times over on one log with rotations in between; whatever was
/// said to be charged is there.
#[test]
fn met_1_a_killed_process_loses_no_acknowledged_charge() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut least = 0;
    for round in 0..30_usize {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["recovery::charges_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(KILLED_IN, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told =
            lines.by_ref().filter_map(|line| line.unwrap().strip_prefix("charged ")?.parse::<u128>().ok());
        least = told.by_ref().nth(1 + round * 7 % 60).expect("the process charges until it is killed");
        child.kill().unwrap();
        child.wait().unwrap();
        // What was still in the pipe had been said, too.
        least = told.last().unwrap_or(least);
        let meter = open(dir.path());
        meter.reconcile(payer.channel_id, escrow(u128::MAX)).unwrap();
        assert!(meter.channel(payer.channel_id).unwrap().charged >= Amount(least), "round {round}");
        let rows = meter.redeemable(Amount(1)).unwrap().concat();
        assert!(rows[0].total_claimed >= Amount(least));
        assert_eq!(channels().verify(&rows[0].signed, payer.config.payerAuthorizer), Ok(()));
    }
    assert!(least > 30);
}

#[test]
#[ignore = "runs until the test above kills it"]
fn charges_until_it_is_killed() {
    let dir = env::var_os(KILLED_IN).expect("started by met_1_a_killed_process_loses_no_acknowledged_charge");
    let (meter, payer) = (open(Path::new(&dir)), Payer::new(1));
    meter.open_channel(&payer.config, escrow(1_000_000)).unwrap();
    let charged = meter.channel(payer.channel_id).unwrap().charged.0;
    for total in charged + 1.. {
        meter.accept(&payer.voucher(total), &charge(u64::try_from(total).unwrap(), 1)).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "charged {total}").unwrap();
        out.flush().unwrap();
        if total % 16 == 0 {
            meter.rotate(0).unwrap();
        }
    }
}

#[test]
fn a_log_of_another_gateway_chain_contract_or_version_is_refused() {
    let history = history();
    let dir = history.dir.path();
    let other = Rules { receiver_authorizer: Address::repeat_byte(9), ..rules() };
    let refused = |channels: Channels, rules| match Meter::open(dir, channels, rules) {
        Err(OpenMeterError::Log(LogError::OtherMeter { .. })) => {}
        other => panic!("{other:?}"),
    };
    refused(channels(), other);
    refused(Channels::new(channels().chain_id() + 1, channels().address()), rules());
    refused(Channels::new(channels().chain_id(), Address::ZERO), rules());
    open(dir);

    // Frames are bound to the header of their file: those of a segment do not fit behind that of the next.
    let meter = open(dir);
    meter.rotate(0).unwrap();
    drop(meter);
    let next = dir.join("charges-1.log");
    let whole = fs::read(&next).unwrap();
    fs::write(&next, [&whole[..FRAME], &history.bytes[FRAME..]].concat()).unwrap();
    damaged_at(Meter::open(dir, channels(), rules()));
    // Nor is a segment another one by another name.
    fs::write(&next, &history.bytes).unwrap();
    let renamed = Meter::open(dir, channels(), rules());
    assert!(matches!(
        renamed,
        Err(OpenMeterError::Log(LogError::OtherSegment { expected: 1, found: 0, .. }))
    ));
    fs::write(&next, whole).unwrap();
    open(dir);
    // The undivided log of the first version is not passed over.
    fs::write(dir.join("charges.log"), &history.bytes).unwrap();
    let old = Meter::open(dir, channels(), rules());
    assert!(matches!(old, Err(OpenMeterError::Log(LogError::OtherVersion { found: 1, .. }))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Foreign bytes, also behind a genuine header or whole frames: an answer and never a panic, and never a charge
    /// that was not made.
    #[test]
    fn foreign_bytes_make_no_charges(
        keep in 0..9_usize,
        noise in prop::collection::vec(any::<u8>(), 0..1_500),
    ) {
        let history = history();
        let mut bytes = history.bytes[..(keep * FRAME).min(history.bytes.len())].to_vec();
        bytes.extend_from_slice(&noise);
        if let Ok(meter) = history.open_with(&bytes) {
            for state in meter.channels() {
                let made = history.acknowledged.iter().any(|(_, id, total)| (*id, *total) == (state.channel_id, state.charged));
                prop_assert!(made || state.charged == Amount::ZERO);
            }
        }
    }
}
