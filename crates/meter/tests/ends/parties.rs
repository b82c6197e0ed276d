//! A payer with a key, and a gateway with its rules.

use std::{collections::BTreeMap, convert::Infallible, path::Path};

use alloy_primitives::{Address, B256, aliases::U40};
use residual_meter::{Channels, Charge, Escrow, Meter, Rules, SignedVoucher};
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, Voucher},
};
use secp256k1::{All, Message, Secp256k1, SecretKey};

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
