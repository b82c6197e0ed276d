//! A payer with a key, and a gateway with its rules.

use std::{collections::BTreeMap, convert::Infallible, path::Path};

use alloy_primitives::{Address, B256, aliases::U40};
use residual_meter::{
    Channels, Charge, ChargeError, Charged, Escrow, Meter, Rules, SignedTickOpen, SignedVoucher, Tick,
    VoucherClaim, WindowError,
};
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, TickOpen, Voucher},
};
use secp256k1::{All, Message, Secp256k1, SecretKey};
use sha2::{Digest, Sha256};
use tempfile::{TempDir, tempdir, tempdir_in};

pub(crate) const RECEIVER: Address = Address::repeat_byte(0x22);
pub(crate) const AUTHORIZER: Address = Address::repeat_byte(0x33);
pub(crate) const TOKEN: Address = Address::repeat_byte(0x44);

pub(crate) fn channels() -> Channels {
    Channels::new(84_532, Address::repeat_byte(0x40))
}

pub(crate) fn rules() -> Rules {
    Rules {
        receiver_authorizer: AUTHORIZER,
        unclaimed_caps: BTreeMap::from([(TOKEN, Amount(1_000_000))]),
        min_withdraw_delay_s: 86_400,
        max_channels: 1_000,
    }
}

/// For tests that open a meter at every byte, which takes a flush each: where the system has a memory for files it is
/// used, since what a disk does is not what they are about.
pub(crate) fn quick_dir() -> TempDir {
    tempdir_in("/dev/shm").or_else(|_| tempdir()).unwrap()
}

pub(crate) fn open(dir: &Path) -> Meter {
    Meter::open(dir, channels(), rules()).unwrap()
}

pub(crate) fn escrow(balance: u128) -> Escrow {
    Escrow { balance: Amount(balance), ..Escrow::default() }
}

pub(crate) struct Payer {
    key: SecretKey,
    secp: Secp256k1<All>,
    pub(crate) config: ChannelConfig,
    pub(crate) channel_id: B256,
}

impl Payer {
    pub(crate) fn new(seed: u8) -> Self {
        let secp = Secp256k1::new();
        let key = SecretKey::from_byte_array([seed; 32]).unwrap();
        let public = key.public_key(&secp).serialize_uncompressed();
        let config = ChannelConfig {
            payer: Address::repeat_byte(0x11),
            payerAuthorizer: Address::from_raw_public_key(&public[1..]),
            receiver: RECEIVER,
            receiverAuthorizer: AUTHORIZER,
            token: TOKEN,
            withdrawDelay: U40::from(86_400),
            salt: B256::repeat_byte(seed),
        };
        let channel_id = channels().channel_id(&config);
        Self { key, secp, config, channel_id }
    }

    pub(crate) fn sign(&self, digest: &B256) -> Result<[u8; 65], Infallible> {
        let signature = self.secp.sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.key);
        let (id, compact) = signature.serialize_compact();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&compact);
        bytes[64] = 27 + u8::try_from(i32::from(id)).unwrap();
        Ok(bytes)
    }

    pub(crate) fn voucher(&self, max: u128) -> SignedVoucher {
        let voucher = Voucher { channelId: self.channel_id, maxClaimableAmount: max };
        let signature = self.sign(&channels().voucher_digest(&voucher)).unwrap();
        SignedVoucher { voucher, signature }
    }
}

/// A window as a payer's own program would make it, by nothing but SHA-256 and a signature.
#[derive(Clone)]
pub(crate) struct Window {
    pub(crate) signed: SignedTickOpen,
    pub(crate) voucher: SignedVoucher,
    /// The root first.
    pub(crate) chain: Vec<B256>,
}

impl Payer {
    pub(crate) fn window(&self, base: u128, unit_price: u128, max_ticks: u32, seed: u8) -> Window {
        let mut chain = vec![B256::repeat_byte(seed)];
        for _ in 0..max_ticks {
            let last = chain.last().unwrap();
            chain.push(B256::new(Sha256::digest(last).into()));
        }
        chain.reverse();
        let open = TickOpen {
            gateway: AUTHORIZER,
            channelId: self.channel_id,
            base,
            unitPrice: unit_price,
            maxTicks: max_ticks,
            root: chain[0],
            termsHash: B256::repeat_byte(0x77),
        };
        let voucher = self.voucher(base.saturating_add(unit_price.saturating_mul(max_ticks.into())));
        Window { signed: self.anchor(open), voucher, chain }
    }

    pub(crate) fn anchor(&self, open: TickOpen) -> SignedTickOpen {
        let signature = self.sign(&channels().tick_open_digest(&open)).unwrap();
        SignedTickOpen { open, signature }
    }
}

impl Window {
    pub(crate) fn open(&self, meter: &Meter) -> Result<(), WindowError> {
        meter.open_window(&self.signed, &self.voucher)
    }

    pub(crate) fn root(&self) -> B256 {
        self.signed.open.root
    }

    pub(crate) fn tick(&self, index: u32) -> Tick {
        let preimage = self.chain.get(index as usize).copied().unwrap_or(B256::repeat_byte(0xee));
        Tick { channel_id: self.signed.open.channelId, index, preimage }
    }

    /// Charges tick `index` for request `request` at the window's price.
    pub(crate) fn charge(&self, meter: &Meter, index: u32, request: u64) -> Result<Charged, ChargeError> {
        meter.tick(&self.tick(index), &charge(request, self.signed.open.unitPrice))
    }
}

pub(crate) fn claims(meter: &Meter) -> Vec<VoucherClaim> {
    meter.redeemable(Amount::ZERO).unwrap().concat()
}

/// A use whose request id and digest are made from `request`.
pub(crate) fn charge(request: u64, amount: u128) -> Charge {
    Charge {
        request_id: B256::left_padding_from(&request.to_be_bytes()),
        request_digest: B256::left_padding_from(&(request ^ 0xffff).to_be_bytes()),
        receiver: RECEIVER,
        token: TOKEN,
        amount: Amount(amount),
        units: 1,
        at_s: 1_800_000_000 + request,
    }
}

/// Takes a directory away, so that nothing can be written there until it is renamed back from where it is then.
pub(crate) fn taken_away(dir: &std::path::Path) -> std::path::PathBuf {
    let elsewhere = dir.with_extension("away");
    std::fs::rename(dir, &elsewhere).unwrap();
    elsewhere
}
