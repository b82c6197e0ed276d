//! The meter's log, vouchers from payers, and a payer's purse.
//!
//! Checksums let nothing through but what was written, so inputs are also shown with the right ones put in: what is behind
//! them has to stand against a bug of ours and a disk's.

use std::{convert::Infallible, fs};

use alloy_primitives::{Address, B256, aliases::U40};
use k256::ecdsa::SigningKey;
use residual_meter::{
    Channels, Escrow, Lane, Purse, SignatureError, SignedTickOpen, SignedVoucher, UsageEntry, decode_records,
    decode_segment,
};
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, TickOpen, Voucher},
};

use crate::memory::within;

const FRAME: usize = 256;
const RECORD: usize = 224;
const CHECKSUM: usize = 16;

/// The gateway's key in all seeds.
pub const AUTHORIZER: Address = Address::repeat_byte(0x33);

/// The chain and the contract of all seeds.
#[must_use]
pub fn channels() -> Channels {
    Channels::new(84_532, Address::repeat_byte(0x40))
}

/// Records without frames: the uses of a part are the first of the uses of the whole.
pub fn meter_records(bytes: &[u8]) -> bool {
    let decode = |bytes: &[u8]| decode_records(bytes, &channels(), AUTHORIZER);
    let Ok(usage) = within(bytes, 64, || decode(bytes)) else { return false };
    check_usage(&usage, bytes.len().div_ceil(RECORD) as u64);
    let half = bytes.len() / RECORD / 2 * RECORD;
    let part =
        decode(&bytes[..half]).expect("what follows from what came before does so without what comes after");
    assert!(usage.starts_with(&part));
    true
}

/// A segment's file, as it is and with right checksums. What a crash has cut off takes nothing else with it.
pub fn meter_segment(bytes: &[u8]) -> bool {
    let mut taken = false;
    for bytes in [bytes.to_vec(), with_checksums(bytes)] {
        let Ok(segment) = within(&bytes, 64, || decode_segment(&bytes)) else { continue };
        let frames = (bytes.len() / FRAME - 1) as u64;
        check_usage(&segment.usage, frames);
        assert!(segment.torn_bytes <= frames * FRAME as u64 + FRAME as u64);
        // A cut into the snapshot, which was durable before, is refused; any other is only the end of the file.
        if let Ok(torn) = decode_segment(&bytes[..FRAME + (bytes.len() - FRAME) / 2]) {
            assert!(segment.usage.starts_with(&torn.usage));
        }
        taken = true;
    }
    taken
}

fn check_usage(usage: &[UsageEntry], records: u64) {
    assert!(usage.is_sorted_by(|a, b| a.sequence < b.sequence));
    assert!(usage.last().is_none_or(|last| last.sequence < records));
    for entry in usage {
        if let Lane::WrittenOff { .. } = entry.lane {
            assert!(entry.units == 0 && (1..=entry.charged_total.0).contains(&entry.amount.0), "{entry:?}");
            continue;
        }
        assert_eq!(entry.unit_price.0.checked_mul(entry.units.into()), Some(entry.amount.0), "{entry:?}");
        assert!(entry.amount <= entry.charged_total, "{entry:?}");
    }
}

fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some((header, frames)) = bytes.split_first_chunk_mut::<FRAME>() else { return bytes };
    put_checksum("Residual meter log header checksum", b"RSDMETER", header);
    // A frame that ends in zeros was not written whole; it stays so.
    for frame in frames.chunks_exact_mut(FRAME).filter(|frame| !frame.ends_with(&[0; CHECKSUM])) {
        put_checksum("Residual meter log frame checksum", header, frame);
    }
    bytes
}

fn put_checksum(context: &str, material: &[u8], bytes: &mut [u8]) {
    let (body, checksum) = bytes.split_at_mut(bytes.len() - CHECKSUM);
    let hash = blake3::keyed_hash(&blake3::derive_key(context, material), body);
    checksum.copy_from_slice(&hash.as_bytes()[..CHECKSUM]);
}

/// 20 bytes of a signer, 48 of a voucher, and a signature: it is by whom it is found to be, and for nothing else.
pub fn voucher(bytes: &[u8]) -> bool {
    let Some((signer, rest)) = bytes.split_first_chunk().map(|(signer, rest)| (Address::from(signer), rest))
    else {
        return false;
    };
    let Some((channel_id, rest)) = rest.split_first_chunk::<32>() else { return false };
    let Some((max, signature)) = rest.split_first_chunk() else { return false };
    let voucher =
        Voucher { channelId: B256::from(channel_id), maxClaimableAmount: u128::from_be_bytes(*max) };
    let Ok(signed) = SignedVoucher::new(voucher, signature) else {
        assert_ne!(signature.len(), 65);
        return false;
    };
    let channels = channels();
    let found = match channels.verify(&signed, signer) {
        Ok(()) => signer,
        Err(SignatureError::OtherSigner { found, .. }) => found,
        Err(refused) => {
            assert_eq!(channels.learn_key(&signed, signer), Err(refused));
            return false;
        }
    };
    assert_eq!(channels.verify(&signed, found), Ok(()));
    let key = channels.learn_key(&signed, found).expect("who signed it has a key");
    assert_eq!(channels.verify_known(&signed, &key), Ok(()));
    assert_eq!(channels.with_right_v(signed.clone(), found), signed);
    let mut more = signed.clone();
    more.voucher.maxClaimableAmount ^= 1;
    assert!(channels.verify(&more, found).is_err());
    assert!(channels.verify_known(&more, &key).is_err());
    let open = TickOpen {
        gateway: AUTHORIZER,
        channelId: signed.voucher.channelId,
        base: signed.voucher.maxClaimableAmount,
        unitPrice: 1,
        maxTicks: 1,
        root: B256::ZERO,
        termsHash: B256::ZERO,
    };
    let open = SignedTickOpen::new(open, signature).expect("it has the length of a signature");
    assert!(channels.verify_tick_open(&open, &key).is_err());
    true
}

fn payer() -> SigningKey {
    SigningKey::from_slice(&[1; 32]).expect("it is a number below the order")
}

/// Signs as the payer of [`purse_config`].
///
/// # Errors
/// Never.
pub fn sign(digest: &B256) -> Result<[u8; 65], Infallible> {
    let signed = payer().sign_prehash_recoverable(digest.as_slice());
    Ok(alloy_primitives::Signature::from(signed.expect("a digest has 32 bytes")).as_bytes())
}

/// The channel of the purse in all seeds.
#[must_use]
pub fn purse_config() -> ChannelConfig {
    ChannelConfig {
        payer: Address::repeat_byte(0x11),
        payerAuthorizer: Address::from_private_key(&payer()),
        receiver: Address::repeat_byte(0x22),
        receiverAuthorizer: AUTHORIZER,
        token: Address::repeat_byte(0x44),
        withdrawDelay: U40::from(86_400),
        salt: B256::repeat_byte(1),
    }
}

/// A purse's file, as it is and with the right checksum: a purse that opens opens again, and what it promises then is more.
pub fn purse(bytes: &[u8]) -> bool {
    let mut right = bytes.to_vec();
    if right.len() >= CHECKSUM {
        put_checksum("Residual purse file checksum", b"RSDPURSE", &mut right);
    }
    let dir =
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("there is room for files");
    let escrow = Escrow { balance: Amount(u128::MAX), ..Escrow::default() };
    let open = || Purse::open(dir.path(), channels(), purse_config(), escrow);
    let path = dir.path().join(format!("{}.purse", channels().channel_id(&purse_config())));
    let mut taken = false;
    for bytes in [bytes, &right] {
        fs::write(&path, bytes).expect("the directory can be written");
        let Ok(mut purse) = within(bytes, 64, open) else { continue };
        let promised = purse.promised();
        let more = purse.promise(Amount(1), sign).ok();
        if let Some(more) = &more {
            assert!(more.max_claimable() > promised);
        }
        let now = purse.promised();
        drop(purse);
        assert_eq!(open().expect("it was opened before").promised(), now);
        assert_eq!(now, more.map_or(promised, |more| more.max_claimable()));
        taken = true;
    }
    taken
}
