//! What does not block.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use residual_meter::{Charged, Meter, Pending};
use residual_primitives::Amount;
use tempfile::tempdir;

use crate::parties::{Payer, Waiting as _, charge, escrow, open, quick_dir};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor: parks the thread until the future wants to be polled.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn is_in_log(dir: &std::path::Path, signature: &[u8]) -> bool {
    let bytes = std::fs::read(dir.join("charges-0.log")).unwrap();
    bytes.windows(65).any(|window| window == signature)
}

/// MET-1: a future resolves only once its record is in the file, and without a thread of the caller's that blocks.
#[test]
fn met_1_a_future_resolves_when_its_record_is_durable() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    for request in 1..=20 {
        let signed = payer.voucher(u128::from(request) * 2);
        let charged = block_on(meter.submit(&signed, &charge(request, 2)).unwrap()).unwrap();
        assert_eq!(charged.charged_total, Amount(u128::from(request) * 2));
        assert!(is_in_log(dir.path(), &signed.signature));
    }
    let window = payer.window(40, 3, 10, 5);
    block_on(meter.submit_window(&window.signed, &window.voucher).unwrap()).unwrap();
    let tick = meter.submit_tick(&window.tick(1), &charge(21, 3)).unwrap();
    assert_eq!(block_on(tick).unwrap().charged_total, Amount(43));
    let charged = block_on(meter.submit_close(payer.channel_id, window.root()).unwrap()).unwrap();
    assert_eq!(charged, Amount(43));
}

/// MET-1, MET-2: to drop the future undoes nothing. The charge is flushed, at the latest when the meter is closed, and the
/// request is answered as a repeated one.
#[test]
fn met_2_a_dropped_future_is_charged_all_the_same() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let meter = open(dir.path());
    meter.open_channel(&payer.config, escrow(1_000)).unwrap();
    drop(meter.submit(&payer.voucher(5), &charge(1, 5)).unwrap());
    let again = meter.submit(&payer.voucher(5), &charge(1, 5)).unwrap();
    assert!(block_on(again).unwrap().repeated);
    drop(meter.submit(&payer.voucher(6), &charge(2, 1)).unwrap());
    drop(meter);
    let meter = open(dir.path());
    assert_eq!(meter.channel(payer.channel_id).unwrap().charged, Amount(6));
    meter.reconcile(payer.channel_id, escrow(1_000)).unwrap();
    assert!(meter.accept(&payer.voucher(6), &charge(2, 1)).unwrap().repeated);
}

/// The waker of the last poll is woken, once, and a future that outlives the meter resolves.
#[test]
fn the_last_waker_is_woken_once() {
    let polled = |pending: &mut Pending<Charged>, count: &Arc<Count>| {
        let waker = Waker::from(Arc::clone(count));
        Pin::new(pending).poll(&mut Context::from_waker(&waker)).is_pending()
    };
    // The committer may be quicker than this thread is: then it is tried again.
    let waited = (0..100).any(|_| {
        let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
        let meter = open(dir.path());
        meter.open_channel(&payer.config, escrow(1_000)).unwrap();
        let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut pending: Pending<Charged> = meter.submit(&payer.voucher(5), &charge(1, 5)).unwrap();
        let waits = polled(&mut pending, &first) && polled(&mut pending, &last);
        let abandoned = meter.submit(&payer.voucher(6), &charge(2, 1)).unwrap();
        // All is flushed when the meter is gone.
        drop(meter);
        assert!(!polled(&mut pending, &first), "resolved, and stays so");
        if waits {
            let woken = (first.0.load(Ordering::SeqCst), last.0.load(Ordering::SeqCst));
            assert_eq!(woken, (0, 1));
        }
        assert_eq!(block_on(abandoned).unwrap().charged_total, Amount(6));
        waits
    });
    assert!(waited, "of a hundred flushes one takes longer than two polls");
}

/// MET-1: threads that block and futures share flushes, and nobody is forgotten.
#[test]
fn met_1_futures_and_threads_share_flushes() {
    let dir = tempdir().unwrap();
    let meter = open(dir.path());
    let payers: Vec<_> = (1..=6).map(Payer::new).collect();
    for payer in &payers {
        meter.open_channel(&payer.config, escrow(10_000)).unwrap();
    }
    let pay = |meter: &Meter, payer: &Payer, n: u64, blocks: bool| {
        let (signed, charge) = (payer.voucher(n.into()), charge(n, 1));
        if blocks {
            return meter.accept(&signed, &charge).unwrap();
        }
        let pending = meter.submit(&signed, &charge).unwrap();
        if n.is_multiple_of(3) { pending.wait().unwrap() } else { block_on(pending).unwrap() }
    };
    thread::scope(|scope| {
        for (which, payer) in payers.iter().enumerate() {
            let (meter, pay) = (&meter, &pay);
            scope.spawn(move || {
                for n in 1..=60 {
                    assert_eq!(pay(meter, payer, n, which % 2 == 0).charged_total, Amount(n.into()));
                }
            });
        }
    });
    drop(meter);
    let meter = open(dir.path());
    assert_eq!(meter.recovery().charges, 6 * 60);
}

/// A meter that is dropped while another thread waits for the last flush ends all the same, and that thread is answered.
#[test]
fn a_meter_is_closed_while_a_thread_waits() {
    let (dir, payer) = (quick_dir(), Payer::new(1));
    for n in 1..=100 {
        let meter = open(dir.path());
        meter.open_channel(&payer.config, escrow(1_000)).unwrap();
        let pending = meter.submit(&payer.voucher(n.into()), &charge(n, 1)).unwrap();
        let start = Barrier::new(2);
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                start.wait();
                pending.wait().unwrap().charged_total
            });
            start.wait();
            drop(meter);
            assert_eq!(waits.join().unwrap(), Amount(n.into()));
        });
    }
}
