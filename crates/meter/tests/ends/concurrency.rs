//! Many threads at one meter.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use residual_meter::{ChargeError, Charged};
use residual_primitives::Amount;
use tempfile::tempdir;

use crate::parties::{Payer, Waiting as _, charge, escrow, open};

/// MET-2: eight threads send the same forty requests, each also under a second id, while another rotates. No voucher
/// pays twice, no request is charged twice, and the log agrees after a restart.
#[test]
fn met_2_concurrent_duplicates_and_replays_charge_once() {
    const REQUESTS: u64 = 40;
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    let vouchers: BTreeMap<u64, _> = (1..=REQUESTS).map(|n| (n, payer.voucher(u128::from(n) * 10))).collect();
    let charged: BTreeMap<u64, AtomicU32> = (1..=REQUESTS).map(|n| (n, AtomicU32::new(0))).collect();
    thread::scope(|scope| {
        for worker in 0..8_u64 {
            let (meter, vouchers, charged) = (&meter, &vouchers, &charged);
            scope.spawn(move || {
                for (n, signed) in vouchers {
                    let replay = n + 1_000 * worker;
                    for id in [*n, replay] {
                        match meter.accept(signed, &charge(id, 10)) {
                            Ok(Charged { repeated: false, .. }) => {
                                charged[n].fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(Charged { repeated: true, amount, .. }) => assert_eq!(amount, Amount(10)),
                            Err(
                                ChargeError::NotGrowing { .. }
                                | ChargeError::RequestReused { .. }
                                | ChargeError::Uncovered { .. },
                            ) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                meter.rotate(0).unwrap();
            }
        });
    });
    let times: Vec<u32> = charged.values().map(|times| times.load(Ordering::Relaxed)).collect();
    assert!(times.iter().all(|times| *times <= 1), "{times:?}");
    assert!(times[0] == 1, "the first voucher is above nothing and somebody got it through");
    let total = Amount(u128::from(times.iter().sum::<u32>()) * 10);
    assert_eq!(meter.channel(payer.channel_id).unwrap().charged, total);
    drop(meter);
    assert_eq!(open(dir.path()).channel(payer.channel_id).unwrap().charged, total);
}

/// MET-2: eight threads send the same ticks, each also for a second request. No tick pays twice.
#[test]
fn met_2_concurrent_duplicates_of_a_tick_charge_once() {
    const TICKS: u32 = 40;
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    let window = payer.window(0, 10, TICKS, 7);
    window.open(&meter).unwrap();
    let charged: Vec<AtomicU32> = (0..=TICKS).map(|_| AtomicU32::new(0)).collect();
    thread::scope(|scope| {
        for worker in 0..8_u64 {
            let (meter, window, charged) = (&meter, &window, &charged);
            scope.spawn(move || {
                let mut index = 1;
                while index <= TICKS {
                    for request in [u64::from(index), u64::from(index) + 1_000 * (worker + 1)] {
                        match window.charge(meter, index, request) {
                            Ok(Charged { repeated: false, charged_total, .. }) => {
                                assert_eq!(charged_total, Amount(u128::from(index) * 10));
                                charged[index as usize].fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(Charged { repeated: true, amount, .. }) => assert_eq!(amount, Amount(10)),
                            Err(ChargeError::NotNextTick { expected, .. }) => assert!(expected > index),
                            Err(ChargeError::NoWindow { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    index += 1;
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..10 {
                meter.rotate(0).unwrap();
            }
        });
    });
    assert!(charged[1..].iter().all(|times| times.load(Ordering::Relaxed) == 1), "{charged:?}");
    drop(meter);
    let meter = open(dir.path());
    assert_eq!(meter.channel(payer.channel_id).unwrap().charged, Amount(400));
}

/// MET-1: what any thread was told is in the file at that moment, although threads share their flushes.
#[test]
fn met_1_shared_flushes_lose_nobody() {
    let dir = tempdir().unwrap();
    let meter = open(dir.path());
    let payers: Vec<_> = (1..=8).map(Payer::new).collect();
    for payer in &payers {
        meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    }
    let log = dir.path().join("charges-0.log");
    thread::scope(|scope| {
        for payer in &payers {
            let (meter, log) = (&meter, &log);
            scope.spawn(move || {
                for n in 1..=25 {
                    let signed = payer.voucher(u128::from(n));
                    meter.accept(&signed, &charge(n, 1)).unwrap();
                    let mut bytes = std::fs::read(log).unwrap();
                    bytes.truncate(usize::try_from(meter.log_bytes().unwrap()).unwrap());
                    let found = bytes.windows(65).any(|window| window == signed.signature);
                    assert!(found, "acknowledged and not in the log");
                }
            });
        }
    });
    drop(meter);
    let meter = open(dir.path());
    assert_eq!(meter.recovery().charges, 8 * 25);
    assert!(payers.iter().all(|payer| meter.channel(payer.channel_id).unwrap().charged == Amount(25)));
}
