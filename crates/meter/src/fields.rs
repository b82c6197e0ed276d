//! The fixed-width fields of the files: big-endian integers, raw bytes, one after the other, and their checksum.

use alloy_primitives::{Address, B256, aliases::U40};
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, Voucher},
};

use crate::channels::SignedVoucher;

/// Bytes of a checksum: BLAKE3 cut to what makes an accident as unlikely as a broken processor.
pub(crate) const CHECKSUM: usize = 16;

/// The keyed checksum of `bytes`. Another key makes the same bytes foreign.
pub(crate) fn checksum(key: &[u8; 32], bytes: &[u8]) -> [u8; CHECKSUM] {
    let hash = blake3::keyed_hash(key, bytes);
    *hash.as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes")
}

/// Reads fields from the front; `None` once the bytes have run out.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub(crate) fn word(&mut self) -> Option<B256> {
        self.bytes().map(B256::new)
    }

    pub(crate) fn address(&mut self) -> Option<Address> {
        self.bytes().map(Address::new)
    }

    pub(crate) fn amount(&mut self) -> Option<Amount> {
        self.bytes().map(u128::from_be_bytes).map(Amount)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_be_bytes)
    }

    pub(crate) fn config(&mut self) -> Option<ChannelConfig> {
        Some(ChannelConfig {
            payer: self.address()?,
            payerAuthorizer: self.address()?,
            receiver: self.address()?,
            receiverAuthorizer: self.address()?,
            token: self.address()?,
            withdrawDelay: U40::from_be_bytes(self.bytes::<5>()?),
            salt: self.word()?,
        })
    }

    pub(crate) fn voucher(&mut self) -> Option<SignedVoucher> {
        let voucher = Voucher { channelId: self.word()?, maxClaimableAmount: self.amount()?.0 };
        Some(SignedVoucher { voucher, signature: self.bytes()? })
    }
}

pub(crate) fn put_config(out: &mut Vec<u8>, config: &ChannelConfig) {
    for address in
        [config.payer, config.payerAuthorizer, config.receiver, config.receiverAuthorizer, config.token]
    {
        out.extend_from_slice(address.as_slice());
    }
    out.extend_from_slice(&config.withdrawDelay.to_be_bytes::<5>());
    out.extend_from_slice(config.salt.as_slice());
}

pub(crate) fn put_voucher(out: &mut Vec<u8>, signed: &SignedVoucher) {
    out.extend_from_slice(signed.voucher.channelId.as_slice());
    out.extend_from_slice(&signed.voucher.maxClaimableAmount.to_be_bytes());
    out.extend_from_slice(&signed.signature);
}
