//! The `Channels` contract as its two ends see it off the ledger: ids, digests, signatures.

use std::fmt;

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolStruct;
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, Voucher, channels_domain},
};
use secp256k1::{
    Message, Secp256k1, VerifyOnly,
    ecdsa::{RecoverableSignature, RecoveryId},
};

/// Half the order of secp256k1. OpenZeppelin's `ECDSA`, and so the contract, refuses an `s` above it.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d,
    0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// Why a voucher's signature cannot be claimed with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignatureError {
    /// Not 65 bytes.
    #[error(
        "expected a signature of 65 bytes (r, s, v), found {found}; compact and ERC-1271 signatures are not taken"
    )]
    Length {
        /// Bytes given.
        found: usize,
    },
    /// The last byte is neither 27 nor 28.
    #[error("expected v to be 27 or 28, found {found}; sign again with a client that adds 27")]
    Parity {
        /// The byte given.
        found: u8,
    },
    /// `s` is in the upper half of the order.
    #[error(
        "expected the lower of the two possible s (EIP-2), found the upper; sign again with a client that normalises"
    )]
    HighS,
    /// No key can have made it.
    #[error("expected a secp256k1 signature, found one that no key can have made; sign the voucher again")]
    Malformed,
    /// Made by another key, or over another voucher, channel, chain or contract.
    #[error(
        "expected the signature of {expected}, found that of {found}; check the key, the chain and the channel's id"
    )]
    OtherSigner {
        /// The channel's `payerAuthorizer`.
        expected: Address,
        /// Who signed this digest.
        found: Address,
    },
}

/// A cumulative promise and its signature, r, s, v (27 or 28), as `Channels.claim` takes it.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedVoucher {
    /// What is promised.
    pub voucher: Voucher,
    /// By the channel's `payerAuthorizer`.
    pub signature: [u8; 65],
}

impl SignedVoucher {
    /// Puts together what a peer has sent.
    ///
    /// # Errors
    /// [`SignatureError::Length`]; nothing else is looked at here.
    pub fn new(voucher: Voucher, signature: &[u8]) -> Result<Self, SignatureError> {
        let signature =
            signature.try_into().map_err(|_| SignatureError::Length { found: signature.len() })?;
        Ok(Self { voucher, signature })
    }

    /// The most that may ever be claimed from the channel.
    #[must_use]
    pub fn max_claimable(&self) -> Amount {
        Amount(self.voucher.maxClaimableAmount)
    }
}

impl fmt::Debug for SignedVoucher {
    /// Without the signature: whoever has it can claim, so it does not belong into a log of the program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedVoucher").field("voucher", &self.voucher).finish_non_exhaustive()
    }
}

/// One `Channels` contract on one chain: what every id and signature is bound to.
#[derive(Debug, Clone)]
pub struct Channels {
    chain_id: u64,
    address: Address,
    /// The domain's hash, which each digest needs and which never changes.
    separator: B256,
    secp: Secp256k1<VerifyOnly>,
}

impl Channels {
    /// The contract at `address` on chain `chain_id`.
    #[must_use]
    pub fn new(chain_id: u64, address: Address) -> Self {
        let separator = channels_domain(chain_id, address).separator();
        Self { chain_id, address, separator, secp: Secp256k1::verification_only() }
    }

    /// The chain's id.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The contract's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// The id of the channel with this configuration, as `getChannelId`.
    #[must_use]
    pub fn channel_id(&self, config: &ChannelConfig) -> B256 {
        self.digest(config)
    }

    /// What the payer's authorizer signs, as `getVoucherDigest`.
    #[must_use]
    pub fn voucher_digest(&self, voucher: &Voucher) -> B256 {
        self.digest(voucher)
    }

    fn digest(&self, message: &impl SolStruct) -> B256 {
        let mut bytes = [0; 66];
        bytes[..2].copy_from_slice(&[0x19, 0x01]);
        bytes[2..34].copy_from_slice(self.separator.as_slice());
        bytes[34..].copy_from_slice(message.eip712_hash_struct().as_slice());
        keccak256(bytes)
    }

    /// Checks that the contract would take this signature for that of `signer`, which must not be zero.
    ///
    /// The key is recovered rather than known beforehand, since only that proves `v`, without which the claim would
    /// revert and with it the whole batch. That costs a quarter more than a verification with a known key (`bench/meter`).
    ///
    /// # Errors
    /// As [`SignatureError`] says.
    pub fn verify(&self, signed: &SignedVoucher, signer: Address) -> Result<(), SignatureError> {
        let (compact, v) = signed.signature.split_at(64);
        let v = v[0];
        if !matches!(v, 27 | 28) {
            return Err(SignatureError::Parity { found: v });
        }
        if compact[32..] > HALF_ORDER[..] {
            return Err(SignatureError::HighS);
        }
        let signature = RecoverableSignature::from_compact(compact, RecoveryId::from_u8_masked(v - 27))
            .map_err(|_| SignatureError::Malformed)?;
        let digest = Message::from_digest(self.voucher_digest(&signed.voucher).0);
        let key = self.secp.recover_ecdsa(digest, &signature).map_err(|_| SignatureError::Malformed)?;
        let found = Address::from_raw_public_key(&key.serialize_uncompressed()[1..]);
        if found != signer || signer == Address::ZERO {
            return Err(SignatureError::OtherSigner { expected: signer, found });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const VECTORS: &str = include_str!("../../../contracts/test/vectors/x402.json");

    /// The order of the curve, to make the other valid `s`.
    const ORDER: &str = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

    fn vectors() -> (Channels, Vec<(ChannelConfig, B256, SignedVoucher)>) {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let address = serde_json::from_value(vectors["channels"].clone()).unwrap();
        let channels = Channels::new(vectors["chainId"].as_u64().unwrap(), address);
        let rows = vectors["vouchers"].as_array().unwrap().iter().map(|row| {
            let id: B256 = serde_json::from_value(row["channelId"].clone()).unwrap();
            let voucher = Voucher {
                channelId: id,
                maxClaimableAmount: row["maxClaimableAmount"].as_str().unwrap().parse().unwrap(),
            };
            let signature: alloy_primitives::Bytes =
                serde_json::from_value(row["signature"].clone()).unwrap();
            let config = serde_json::from_value(row["config"].clone()).unwrap();
            (config, id, SignedVoucher::new(voucher, &signature).unwrap())
        });
        (channels, rows.collect())
    }

    #[test]
    fn vouchers_of_stock_x402_are_taken() {
        let (channels, rows) = vectors();
        assert!(!rows.is_empty());
        for (config, id, signed) in rows {
            assert_eq!(channels.channel_id(&config), id);
            assert_eq!(channels.verify(&signed, config.payerAuthorizer), Ok(()));
        }
    }

    #[test]
    fn another_contract_chain_signer_or_amount_is_refused() {
        let (channels, rows) = vectors();
        let (config, _, signed) = &rows[0];
        let signer = config.payerAuthorizer;
        let other_chain = Channels::new(channels.chain_id() + 1, channels.address());
        let other_contract = Channels::new(channels.chain_id(), signer);
        for other in [other_chain, other_contract] {
            assert!(matches!(other.verify(signed, signer), Err(SignatureError::OtherSigner { .. })));
        }
        assert!(matches!(channels.verify(signed, config.payer), Err(SignatureError::OtherSigner { .. })));
        let mut more = signed.clone();
        more.voucher.maxClaimableAmount += 1;
        assert!(channels.verify(&more, signer).is_err());
    }

    /// The contract would revert on each of these, and so hold up the whole batch.
    #[test]
    fn forms_that_the_contract_refuses_are_refused() {
        let (channels, rows) = vectors();
        let (config, _, signed) = &rows[0];
        let signer = config.payerAuthorizer;

        let mut twin = signed.clone();
        let order: alloy_primitives::U256 = ORDER.parse().unwrap();
        let s = alloy_primitives::U256::from_be_slice(&signed.signature[32..64]);
        twin.signature[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
        twin.signature[64] = 55 - signed.signature[64];
        assert_eq!(channels.verify(&twin, signer), Err(SignatureError::HighS));

        let mut flipped = signed.clone();
        flipped.signature[64] = 55 - signed.signature[64];
        assert!(channels.verify(&flipped, signer).is_err());
        for v in [0, 1, 26, 29, 255] {
            flipped.signature[64] = v;
            assert_eq!(channels.verify(&flipped, signer), Err(SignatureError::Parity { found: v }));
        }
        let mut empty = signed.clone();
        empty.signature[..64].fill(0);
        assert_eq!(channels.verify(&empty, signer), Err(SignatureError::Malformed));
        for length in [0, 64, 66, 1000] {
            let found = SignedVoucher::new(signed.voucher.clone(), &vec![1; length]);
            assert_eq!(found, Err(SignatureError::Length { found: length }));
        }
    }
}
