//! Measures the meter on this machine: `cargo run --release -p residual-meter --example checks -- [DIRECTORY]`.
//!
//! Prints vouchers checked a second on one core, and durable charges a second with their latency, one by one and with
//! 2, 8 and 32 threads. The directory (a fresh temporary one unless given) decides which disk is measured.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, aliases::U40};
use residual_meter::{Channels, Charge, Escrow, Meter, Purse, Rules, SignedVoucher};
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, Voucher},
};
use secp256k1::{Message, Secp256k1, SecretKey, ecdsa::Signature};

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
    checks(&channels)?;
    promises(&channels, dir.path())?;
    for threads in [1, 2, 8, 32] {
        charges(&channels, &dir.path().join(format!("{threads}")), threads)?;
    }
    Ok(())
}

fn checks(channels: &Channels) -> Result<(), Box<dyn Error>> {
    let payer = Payer::new(1)?;
    let vouchers = payer.vouchers(channels, 1..=1_000);
    let proven = rate(&vouchers, |signed| Ok(channels.verify(signed, payer.config.payerAuthorizer)?))?;
    println!("checks that prove v, one core: {proven:.0}/s");
    let key = channels.learn_key(&vouchers[0], payer.config.payerAuthorizer)?;
    let checked = rate(&vouchers, |signed| Ok(channels.verify_known(signed, &key)?))?;

    // The floor: what libsecp256k1 alone takes when key and digest are known beforehand.
    let secp = Secp256k1::verification_only();
    let key = payer.key.public_key(&Secp256k1::new());
    let known: Vec<_> = vouchers
        .iter()
        .map(|signed| {
            let digest = Message::from_digest(channels.voucher_digest(&signed.voucher).0);
            Ok((digest, Signature::from_compact(&signed.signature[..64])?))
        })
        .collect::<Result<_, secp256k1::Error>>()?;
    let floor = rate(&known, |(digest, signature)| Ok(secp.verify_ecdsa(*digest, signature, &key)?))?;
    println!("checks with the known key, one core: {checked:.0}/s");
    println!("libsecp256k1 alone, key and digest known: {floor:.0}/s ({:.0}%)", 100.0 * checked / floor);
    Ok(())
}

/// How often a second `check` can be done, over two seconds.
fn rate<T>(rows: &[T], check: impl Fn(&T) -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let mut checked = 0_u32;
    while start.elapsed() < Duration::from_secs(2) {
        rows.iter().try_for_each(&check)?;
        checked += u32::try_from(rows.len())?;
    }
    Ok(f64::from(checked) / start.elapsed().as_secs_f64())
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

fn charges(channels: &Channels, dir: &Path, threads: u8) -> Result<(), Box<dyn Error>> {
    let rules = Rules {
        receiver_authorizer: AUTHORIZER,
        unclaimed_caps: BTreeMap::from([(TOKEN, Amount(1_000_000))]),
        min_withdraw_delay_s: 86_400,
        max_channels: 100,
    };
    let meter = Meter::open(dir, channels.clone(), rules)?;
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
        let charge = Charge {
            request_id: B256::left_padding_from(&signed.voucher.maxClaimableAmount.to_be_bytes()),
            request_digest: B256::ZERO,
            receiver: RECEIVER,
            token: TOKEN,
            amount: Amount(1),
            units: 1,
            at_s: 0,
        };
        let start = Instant::now();
        meter.accept(signed, &charge).expect("every voucher is good for its charge");
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
