//! Payment checks a second: ours beside bare libsecp256k1, bare SHA-256 and tap_core, as one line of JSON.
//!
//! Every figure is that of the best round of all: other work on the machine can only slow a round down. The subjects take
//! turns, so that all of them meet the same quiet and busy moments.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, aliases::U40};
use residual_meter::{
    Channels, Charge, Escrow, MAX_TICKS, Meter, Purse, Rules, SignedTickOpen, SignedVoucher, Tick, TickSeed,
    WindowPlan,
};
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, Voucher},
};
use secp256k1::{Message, Secp256k1, SecretKey, ecdsa::Signature};
use serde_json::json;
use sha2::{Digest, Sha256};
use tap_core::{TapVersion, tap_eip712_domain};
use tap_graph::v2::{Receipt, SignedReceipt};
use thegraph_core::alloy::signers::local::PrivateKeySigner;

const RECEIVER: Address = Address::repeat_byte(2);
const AUTHORIZER: Address = Address::repeat_byte(3);
const TOKEN: Address = Address::repeat_byte(4);
const CONTRACT: Address = Address::repeat_byte(5);
const CHAIN: u64 = 84_532;

/// Signed payments in a round, and hashes and ticks in one.
const SIGNED: u32 = 100;
const HASHED: u32 = 1_000;
/// How long the subjects take turns.
const TURNS: Duration = Duration::from_secs(12);
/// Windows of ticks that are charged to the log.
const WINDOWS: u32 = 100;

type Failure = Box<dyn Error>;

/// One thing that is measured: so many operations, again and again.
struct Subject<'a> {
    name: &'static str,
    operations: u32,
    round: Box<dyn Fn() -> Result<(), Failure> + 'a>,
    best: Duration,
}

impl<'a> Subject<'a> {
    fn new(name: &'static str, operations: u32, round: impl Fn() -> Result<(), Failure> + 'a) -> Self {
        Self { name, operations, round: Box::new(round), best: Duration::MAX }
    }

    fn rate(&self) -> f64 {
        f64::from(self.operations) / self.best.as_secs_f64()
    }
}

struct Payer {
    key: SecretKey,
    config: ChannelConfig,
}

impl Payer {
    fn new() -> Result<Self, Failure> {
        let key = SecretKey::from_byte_array([1; 32])?;
        let public = key.public_key(&Secp256k1::new()).serialize_uncompressed();
        let config = ChannelConfig {
            payer: Address::repeat_byte(1),
            payerAuthorizer: Address::from_raw_public_key(&public[1..]),
            receiver: RECEIVER,
            receiverAuthorizer: AUTHORIZER,
            token: TOKEN,
            withdrawDelay: U40::from(86_400),
            salt: B256::ZERO,
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

    fn vouchers(&self, channels: &Channels) -> Vec<SignedVoucher> {
        let channel_id = channels.channel_id(&self.config);
        let sign = |max| {
            let voucher = Voucher { channelId: channel_id, maxClaimableAmount: max };
            let signature = self.sign(&channels.voucher_digest(&voucher));
            SignedVoucher { voucher, signature }
        };
        (1..=u128::from(SIGNED)).map(sign).collect()
    }
}

fn main() -> Result<(), Failure> {
    let dir = match std::env::args_os().nth(1) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let payer = Payer::new()?;
    let channels = Channels::new(CHAIN, CONTRACT);
    let windows = windows(&payer, &channels, &dir.path().join("purse"))?;
    let rates = checks(&payer, &channels, &windows, dir.path())?;
    let (ticks_per_s, ticks_cpu_s) = charged(&payer, &channels, &windows, &dir.path().join("log"))?;
    println!(
        "{}",
        json!({ "checks": rates, "charged": { "ticks_per_s": ticks_per_s, "ticks_per_cpu_s": ticks_cpu_s } })
    );
    Ok(())
}

fn checks(
    payer: &Payer,
    channels: &Channels,
    windows: &[Window],
    dir: &Path,
) -> Result<BTreeMap<&'static str, f64>, Failure> {
    // Lane A. Bare: the key and the digest are known beforehand.
    let vouchers = payer.vouchers(channels);
    let secp = Secp256k1::verification_only();
    let public = payer.key.public_key(&Secp256k1::new());
    let bare = vouchers
        .iter()
        .map(|signed| {
            let digest = Message::from_digest(channels.voucher_digest(&signed.voucher).0);
            Ok((digest, Signature::from_compact(&signed.signature[..64])?))
        })
        .collect::<Result<Vec<_>, secp256k1::Error>>()?;
    let key = channels.learn_key(&vouchers[0], payer.config.payerAuthorizer)?;
    let meter = Meter::open(&dir.join("vouchers"), channels.clone(), rules())?;
    meter.open_channel(&payer.config, escrow())?;
    meter.check(&vouchers[0], &one_unit())?;

    // The peer: what it offers for a receipt's signature, as its own in-memory context uses it.
    let wallet = PrivateKeySigner::from_slice(&payer.key.secret_bytes())?;
    let domain = tap_eip712_domain(CHAIN, CONTRACT, TapVersion::V2);
    let receipts = (1..=u128::from(SIGNED))
        .map(|value| {
            let receipt = Receipt::new(B256::ZERO, wallet.address(), RECEIVER, AUTHORIZER, value)?;
            Ok(SignedReceipt::new(&domain, receipt, &wallet)?)
        })
        .collect::<Result<Vec<_>, Failure>>()?;

    // Lane B: the first tick of a window, judged and not charged, so that it can be judged again.
    let ticking = Meter::open(&dir.join("ticks"), channels.clone(), rules())?;
    ticking.open_channel(&payer.config, escrow())?;
    let ((open, promise), ticks) = &windows[0];
    ticking.submit_window(open, promise)?.wait()?;
    let (tick, charge) = (ticks[0], use_of(&ticks[0]));

    let mut subjects = [
        Subject::new("libsecp256k1", SIGNED, || {
            Ok(bare
                .iter()
                .try_for_each(|(digest, signature)| secp.verify_ecdsa(*digest, signature, &public))?)
        }),
        Subject::new("voucher", SIGNED, || {
            Ok(vouchers.iter().try_for_each(|signed| channels.verify_known(signed, &key))?)
        }),
        Subject::new("voucher_by_the_meter", SIGNED, || {
            Ok(vouchers.iter().try_for_each(|signed| meter.check(signed, &one_unit()))?)
        }),
        Subject::new("voucher_by_recovery", SIGNED, || {
            let signer = payer.config.payerAuthorizer;
            Ok(vouchers.iter().try_for_each(|signed| channels.verify(signed, signer))?)
        }),
        Subject::new("tap_core_receipt", SIGNED, || {
            let ours = |receipt: &SignedReceipt| {
                Ok::<_, Failure>(receipt.recover_signer(&domain)? == wallet.address())
            };
            receipts
                .iter()
                .try_for_each(|receipt| if ours(receipt)? { Ok(()) } else { Err("another's receipt".into()) })
        }),
        Subject::new("sha256_of_32_bytes", HASHED, || {
            for _ in 0..HASHED {
                black_box(Sha256::digest(black_box(tick.preimage)));
            }
            Ok(())
        }),
        Subject::new("tick", HASHED, || {
            Ok((0..HASHED).try_for_each(|_| ticking.check_tick(black_box(&tick), &charge))?)
        }),
    ];
    let start = Instant::now();
    while start.elapsed() < TURNS {
        for subject in &mut subjects {
            let round = Instant::now();
            (subject.round)()?;
            subject.best = subject.best.min(round.elapsed());
        }
    }
    Ok(subjects.iter().map(|subject| (subject.name, subject.rate())).collect())
}

/// A window's anchor and its ticks.
type Window = ((SignedTickOpen, SignedVoucher), Vec<Tick>);

fn windows(payer: &Payer, channels: &Channels, dir: &Path) -> Result<Vec<Window>, Failure> {
    let mut purse = Purse::open(dir, channels.clone(), payer.config.clone(), escrow())?;
    let seed = TickSeed::new([9; 32]);
    let mut windows = Vec::new();
    for n in 0..WINDOWS {
        let base = Amount(u128::from(n * MAX_TICKS));
        let plan = WindowPlan { base, unit_price: Amount(1), max_ticks: MAX_TICKS, terms_hash: B256::ZERO };
        let sent = purse.open_window(&plan, &seed, |digest| Ok::<_, Infallible>(payer.sign(digest)))?;
        let ticks = (0..MAX_TICKS).map(|_| purse.tick()).collect::<Result<Vec<_>, _>>()?;
        purse.end_window()?;
        windows.push((sent, ticks));
    }
    Ok(windows)
}

/// The whole way of ticks, entered in the books and written to the log, waited for once a window: a second, in the best
/// window, and a second of processor time of both threads, over all.
fn charged(
    payer: &Payer,
    channels: &Channels,
    windows: &[Window],
    dir: &Path,
) -> Result<(f64, f64), Failure> {
    let meter = Meter::open(dir, channels.clone(), rules())?;
    meter.open_channel(&payer.config, escrow())?;
    let (mut best, cpu) = (Duration::MAX, cpu_time());
    for ((signed, voucher), ticks) in windows {
        meter.submit_window(signed, voucher)?.wait()?;
        let start = Instant::now();
        let mut last = None;
        for tick in ticks {
            last = Some(meter.submit_tick(tick, &use_of(tick))?);
        }
        last.map_or(Ok(()), |last| last.wait().map(drop))?;
        best = best.min(start.elapsed());
    }
    let all = f64::from(WINDOWS * MAX_TICKS);
    Ok((f64::from(MAX_TICKS) / best.as_secs_f64(), all / (cpu_time() - cpu).as_secs_f64()))
}

/// What this process has had of the processors.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.try_into().unwrap_or_default())
}

fn rules() -> Rules {
    Rules {
        receiver_authorizer: AUTHORIZER,
        unclaimed_caps: BTreeMap::from([(TOKEN, Amount(1_000_000_000))]),
        min_withdraw_delay_s: 86_400,
        max_channels: 100,
    }
}

fn escrow() -> Escrow {
    Escrow { balance: Amount(1_000_000_000), ..Escrow::default() }
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

fn use_of(tick: &Tick) -> Charge {
    Charge { request_id: tick.preimage, request_digest: tick.preimage, ..one_unit() }
}
