//! Measures what the meter makes durable on this machine: `cargo run --release -p residual-meter --example charges --
//! [DIRECTORY]`. Checks alone, over HTTP and beside peers, are measured by `bench/paid-use`.
//!
//! Prints promises, ticks and charges a second, and the latency of charges one by one and with 2, 8 and 32 threads. The
//! directory (a fresh temporary one unless given) decides which disk is measured.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, aliases::U40};
use residual_meter::{
    Channels, Charge, Escrow, MAX_TICKS, Meter, Purse, Rules, SignedVoucher, Tick, TickSeed, WindowPlan,
};
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, Voucher},
};
use secp256k1::{Message, Secp256k1, SecretKey};

const RECEIVER: Address = Address::repeat_byte(2);
const AUTHORIZER: Address = Address::repeat_byte(3);
const TOKEN: Address = Address::repeat_byte(4);

struct Payer {
    key: SecretKey,
    config: ChannelConfig,
}

impl Payer {
    fn new(seed: u8) -> Result<Self, secp256k1::Error> {
        let key = SecretKey::from_byte_array([seed; 32])?;
        let public = key.public_key(&Secp256k1::new()).serialize_uncompressed();
        let config = ChannelConfig {
            payer: Address::repeat_byte(1),
            payerAuthorizer: Address::from_raw_public_key(&public[1..]),
            receiver: RECEIVER,
            receiverAuthorizer: AUTHORIZER,
            token: TOKEN,
            withdrawDelay: U40::from(86_400),
            salt: B256::repeat_byte(seed),
        };
        Ok(Self { key, config })
    }

    fn sign(&self, digest: &B256) -> [u8; 65] {
        let signature =
            Secp256k1::signing_only().sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.key);
        let (id, compact) = signature.serialize_compact();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&compact);
        bytes[64] = if i32::from(id) == 0 { 27 } else { 28 };
        bytes
    }

    fn vouchers(&self, channels: &Channels, maxima: impl Iterator<Item = u128>) -> Vec<SignedVoucher> {
        let channel_id = channels.channel_id(&self.config);
        let sign = |max| {
            let voucher = Voucher { channelId: channel_id, maxClaimableAmount: max };
            let signature = self.sign(&channels.voucher_digest(&voucher));
            SignedVoucher { voucher, signature }
        };
        maxima.map(sign).collect()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = match std::env::args_os().nth(1) {
        Some(parent) => tempfile::tempdir_in(PathBuf::from(parent))?,
        None => tempfile::tempdir()?,
    };
    let channels = Channels::new(84_532, Address::repeat_byte(5));
    promises(&channels, dir.path())?;
    ticks(&channels, dir.path())?;
    for threads in [1, 2, 8, 32] {
        charges(&channels, &dir.path().join(format!("{threads}")), threads)?;
    }
    Ok(())
}

fn promises(channels: &Channels, dir: &Path) -> Result<(), Box<dyn Error>> {
    let payer = Payer::new(1)?;
    let escrow = Escrow { balance: Amount(1_000_000), ..Escrow::default() };
    let mut purse = Purse::open(&dir.join("purse"), channels.clone(), payer.config.clone(), escrow)?;
    let mut took = Vec::new();
    for _ in 0..500 {
        let start = Instant::now();
        purse.promise(Amount(1), |digest| Ok::<_, Infallible>(payer.sign(digest)))?;
        took.push(start.elapsed());
    }
    report("promises, durable, one purse", took.iter().sum(), &mut took);
    Ok(())
}

/// Windows used up one after the other. The gateway does not wait for each tick, but for the last of a window.
fn ticks(channels: &Channels, dir: &Path) -> Result<(), Box<dyn Error>> {
    let payer = Payer::new(1)?;
    let escrow = Escrow { balance: Amount(1_000_000_000), ..Escrow::default() };
    let mut purse = Purse::open(&dir.join("ticks"), channels.clone(), payer.config.clone(), escrow)?;
    let seed = TickSeed::new([9; 32]);
    let mut windows = Vec::new();
    let start = Instant::now();
    for n in 0..200 {
        let base = Amount(n * u128::from(MAX_TICKS));
        let plan = WindowPlan { base, unit_price: Amount(1), max_ticks: MAX_TICKS, terms_hash: B256::ZERO };
        let sent = purse.open_window(&plan, &seed, |digest| Ok::<_, Infallible>(payer.sign(digest)))?;
        let ticks = (0..MAX_TICKS).map(|_| purse.tick()).collect::<Result<Vec<_>, _>>()?;
        purse.end_window()?;
        windows.push((sent, ticks));
    }
    let released = windows.len() as f64 * f64::from(MAX_TICKS) / start.elapsed().as_secs_f64();
    println!("ticks let go, durable, one purse: {released:.0}/s");

    let meter = Meter::open(&dir.join("windows"), channels.clone(), rules())?;
    meter.open_channel(&payer.config, escrow)?;
    let use_of = |tick: &Tick| Charge {
        request_id: B256::left_padding_from(&tick.index.to_be_bytes()),
        request_digest: tick.preimage,
        ..one_unit()
    };
    let start = Instant::now();
    for ((signed, voucher), ticks) in &windows {
        meter.submit_window(signed, voucher)?.wait()?;
        let mut last = None;
        for tick in ticks {
            let charge = Charge { request_id: tick.preimage, ..use_of(tick) };
            last = Some(meter.submit_tick(tick, &charge)?);
        }
        last.map_or(Ok(()), |last| last.wait().map(drop))?;
    }
    let durable = windows.len() as f64 * f64::from(MAX_TICKS) / start.elapsed().as_secs_f64();
    println!("ticks charged, durable, waited for once a window: {durable:.0}/s");
    Ok(())
}

fn rules() -> Rules {
    Rules {
        receiver_authorizer: AUTHORIZER,
        unclaimed_caps: BTreeMap::from([(TOKEN, Amount(1_000_000))]),
        min_withdraw_delay_s: 86_400,
        max_channels: 100,
    }
}

fn one_unit() -> Charge {
    Charge {
        request_id: B256::ZERO,
        request_digest: B256::ZERO,
        receiver: RECEIVER,
        token: TOKEN,
        amount: Amount(1),
        units: 1,
        at_s: 0,
    }
}

fn charges(channels: &Channels, dir: &Path, threads: u8) -> Result<(), Box<dyn Error>> {
    let meter = Meter::open(dir, channels.clone(), rules())?;
    let mut rows = Vec::new();
    for seed in 1..=threads {
        let payer = Payer::new(seed)?;
        meter.open_channel(&payer.config, Escrow { balance: Amount(1_000_000), ..Escrow::default() })?;
        rows.push(payer.vouchers(channels, 1..=if threads == 1 { 2_000 } else { 1_000 }));
    }
    let start = Instant::now();
    let mut took: Vec<Duration> = thread::scope(|scope| {
        let workers: Vec<_> =
            rows.iter().map(|vouchers| scope.spawn(|| charge_all(&meter, vouchers))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no charge panics")).collect()
    });
    report(&format!("durable charges, {threads} threads"), start.elapsed(), &mut took);
    Ok(())
}

fn charge_all(meter: &Meter, vouchers: &[SignedVoucher]) -> Vec<Duration> {
    let mut took = Vec::with_capacity(vouchers.len());
    for signed in vouchers {
        let request_id = B256::left_padding_from(&signed.voucher.maxClaimableAmount.to_be_bytes());
        let charge = Charge { request_id, ..one_unit() };
        let start = Instant::now();
        let charged = meter.submit(signed, &charge).expect("every voucher is good for its charge");
        charged.wait().expect("the disk takes every charge");
        took.push(start.elapsed());
    }
    took
}

fn report(what: &str, whole: Duration, took: &mut [Duration]) {
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let rate = took.len() as f64 / whole.as_secs_f64();
    println!("{what}: {rate:.0}/s, p50 {:?}, p99 {:?}", at(50), at(99));
}
