//! The `Channels` contract as its two ends see it off the ledger: ids, digests, signatures.

use std::{fmt, sync::LazyLock};

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolStruct;
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, TickClose, TickOpen, Voucher, channels_domain, gateway_domain},
};
use secp256k1::{
    Message, PublicKey, Secp256k1, VerifyOnly,
    ecdsa::{RecoverableSignature, RecoveryId, Signature},
};

use crate::ticks::SignedTickOpen;

/// Made once, since a [`Channels`] is made for many a request: where another crate turns on the feature `rand`, a
/// context is blinded, though nothing is signed with this one, and that takes four fifths of a check.
static SECP: LazyLock<Secp256k1<VerifyOnly>> = LazyLock::new(Secp256k1::verification_only);

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
    /// That of the type `Voucher`: to find it anew for each would take as long as the rest of the digest.
    voucher_type: B256,
    /// The hash of the domain of windows.
    gateway_separator: B256,
}

impl Channels {
    /// The contract at `address` on chain `chain_id`.
    #[must_use]
    pub fn new(chain_id: u64, address: Address) -> Self {
        let separator = channels_domain(chain_id, address).separator();
        let voucher_type = keccak256(Voucher::eip712_encode_type().as_bytes());
        let gateway_separator = gateway_domain(chain_id, address).separator();
        Self { chain_id, address, separator, voucher_type, gateway_separator }
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
        digest(&self.separator, &config.eip712_hash_struct())
    }

    /// What the payer's authorizer signs, as `getVoucherDigest`.
    #[must_use]
    pub fn voucher_digest(&self, voucher: &Voucher) -> B256 {
        let mut fields = [0; 96];
        fields[..32].copy_from_slice(self.voucher_type.as_slice());
        fields[32..64].copy_from_slice(voucher.channelId.as_slice());
        fields[80..].copy_from_slice(&voucher.maxClaimableAmount.to_be_bytes());
        digest(&self.separator, &keccak256(fields))
    }

    /// What the payer's authorizer signs to anchor a window of ticks.
    #[must_use]
    pub fn tick_open_digest(&self, open: &TickOpen) -> B256 {
        digest(&self.gateway_separator, &open.eip712_hash_struct())
    }

    /// What the payer's authorizer signs to end a window before it is used up.
    #[must_use]
    pub fn tick_close_digest(&self, close: &TickClose) -> B256 {
        digest(&self.gateway_separator, &close.eip712_hash_struct())
    }

    /// Checks that the contract would take this signature for that of `signer`, which must not be zero.
    ///
    /// The key is recovered, since only that proves `v`, without which the claim would revert and with it the whole
    /// batch. A gateway that checks many vouchers of one key does it once a claim ([`Channels::verify_known`]).
    ///
    /// # Errors
    /// As [`SignatureError`] says.
    pub fn verify(&self, signed: &SignedVoucher, signer: Address) -> Result<(), SignatureError> {
        self.verify_signer(self.voucher_digest(&signed.voucher), &signed.signature, signer)
    }

    /// Checks that `signer`, which must not be zero, wants the window to end.
    ///
    /// # Errors
    /// As [`SignatureError`] says.
    pub fn verify_tick_close(
        &self,
        close: &TickClose,
        signature: &[u8; 65],
        signer: Address,
    ) -> Result<(), SignatureError> {
        self.verify_signer(self.tick_close_digest(close), signature, signer)
    }

    fn verify_signer(
        &self,
        digest: B256,
        signature: &[u8; 65],
        signer: Address,
    ) -> Result<(), SignatureError> {
        let (compact, v) = split_signature(signature)?;
        let found = address_of(&self.recover(digest, compact, v)?);
        if found != signer || signer == Address::ZERO {
            return Err(SignatureError::OtherSigner { expected: signer, found });
        }
        Ok(())
    }

    /// Learns the public key of `signer`, which must not be zero, from a voucher it has signed. `v` may be the wrong one
    /// of the two, as with [`Channels::verify_known`].
    ///
    /// # Errors
    /// As [`SignatureError`] says.
    pub fn learn_key(&self, signed: &SignedVoucher, signer: Address) -> Result<PayerKey, SignatureError> {
        let (compact, v) = split_signature(&signed.signature)?;
        let digest = self.voucher_digest(&signed.voucher);
        let key = self.recover(digest, compact, v)?;
        let found = address_of(&key);
        if signer == Address::ZERO {
            return Err(SignatureError::OtherSigner { expected: signer, found });
        }
        if found == signer {
            return Ok(PayerKey(key));
        }
        match self.recover(digest, compact, 27 + 28 - v) {
            Ok(key) if address_of(&key) == signer => Ok(PayerKey(key)),
            _ => Err(SignatureError::OtherSigner { expected: signer, found }),
        }
    }

    /// Checks a voucher with a key that is known, in five sixths of what [`Channels::verify`] takes (`bench/paid-use`).
    /// It proves who signed, but not `v`; [`Channels::with_right_v`] puts that right before the voucher is claimed with.
    ///
    /// # Errors
    /// As [`SignatureError`] says.
    pub fn verify_known(&self, signed: &SignedVoucher, key: &PayerKey) -> Result<(), SignatureError> {
        self.verify_digest(self.voucher_digest(&signed.voucher), &signed.signature, key)
    }

    /// Checks a window's anchor with a key that is known.
    ///
    /// # Errors
    /// As [`SignatureError`] says.
    pub fn verify_tick_open(&self, signed: &SignedTickOpen, key: &PayerKey) -> Result<(), SignatureError> {
        self.verify_digest(self.tick_open_digest(&signed.open), &signed.signature, key)
    }

    fn verify_digest(
        &self,
        digest: B256,
        signature: &[u8; 65],
        key: &PayerKey,
    ) -> Result<(), SignatureError> {
        let (compact, v) = split_signature(signature)?;
        let parsed = Signature::from_compact(compact).map_err(|_| SignatureError::Malformed)?;
        if SECP.verify_ecdsa(Message::from_digest(digest.0), &parsed, &key.0).is_ok() {
            return Ok(());
        }
        // Only for the message: it says whose signature it is.
        let found = address_of(&self.recover(digest, compact, v)?);
        Err(SignatureError::OtherSigner { expected: address_of(&key.0), found })
    }

    /// The voucher, which [`Channels::verify_known`] has found to be `signer`'s, with the `v` of the two by which the
    /// contract finds `signer`, too.
    #[must_use]
    pub fn with_right_v(&self, mut signed: SignedVoucher, signer: Address) -> SignedVoucher {
        if self.verify(&signed, signer).is_err() {
            signed.signature[64] = if signed.signature[64] == 27 { 28 } else { 27 };
        }
        signed
    }

    fn recover(&self, digest: B256, compact: &[u8], v: u8) -> Result<PublicKey, SignatureError> {
        let signature = RecoverableSignature::from_compact(compact, RecoveryId::from_u8_masked(v - 27))
            .map_err(|_| SignatureError::Malformed)?;
        SECP.recover_ecdsa(Message::from_digest(digest.0), &signature).map_err(|_| SignatureError::Malformed)
    }
}

/// The digest of EIP-712.
fn digest(separator: &B256, hash_struct: &B256) -> B256 {
    let mut bytes = [0; 66];
    bytes[..2].copy_from_slice(&[0x19, 0x01]);
    bytes[2..34].copy_from_slice(separator.as_slice());
    bytes[34..].copy_from_slice(hash_struct.as_slice());
    keccak256(bytes)
}

/// The public key of a channel's `payerAuthorizer`, which its first voucher has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayerKey(PublicKey);

/// r and s, and v, of a form that the contract takes.
fn split_signature(signature: &[u8; 65]) -> Result<(&[u8], u8), SignatureError> {
    let (compact, v) = signature.split_at(64);
    let v = v[0];
    if !matches!(v, 27 | 28) {
        return Err(SignatureError::Parity { found: v });
    }
    if compact[32..] > HALF_ORDER[..] {
        return Err(SignatureError::HighS);
    }
    Ok((compact, v))
}

fn address_of(key: &PublicKey) -> Address {
    Address::from_raw_public_key(&key.serialize_uncompressed()[1..])
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
            let key = channels.learn_key(&signed, config.payerAuthorizer).unwrap();
            assert_eq!(channels.verify_known(&signed, &key), Ok(()));
            let domain = channels_domain(channels.chain_id(), channels.address());
            assert_eq!(channels.voucher_digest(&signed.voucher), signed.voucher.eip712_signing_hash(&domain));
        }
    }

    /// A known key does not prove v; the right one is found before the contract sees it.
    #[test]
    fn a_wrong_v_is_put_right() {
        let (channels, rows) = vectors();
        for (config, _, signed) in rows {
            let signer = config.payerAuthorizer;
            let mut flipped = signed.clone();
            flipped.signature[64] = 55 - signed.signature[64];
            let key = channels.learn_key(&signed, signer).unwrap();
            assert_eq!(channels.learn_key(&flipped, signer), Ok(key));
            assert_eq!(channels.verify_known(&flipped, &key), Ok(()));
            assert_eq!(channels.with_right_v(flipped.clone(), signer), signed);
            assert_eq!(channels.with_right_v(signed.clone(), signer), signed);
            assert!(channels.learn_key(&signed, Address::ZERO).is_err());
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
        let key = channels.learn_key(signed, signer).unwrap();
        assert!(matches!(
            channels.verify_known(&more, &key),
            Err(SignatureError::OtherSigner { expected, .. }) if expected == signer
        ));
        assert!(channels.learn_key(&more, signer).is_err());
        assert!(channels.learn_key(signed, config.payer).is_err());
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
        let key = channels.learn_key(signed, signer).unwrap();
        assert_eq!(channels.verify_known(&twin, &key), Err(SignatureError::HighS));

        let mut flipped = signed.clone();
        flipped.signature[64] = 55 - signed.signature[64];
        assert!(channels.verify(&flipped, signer).is_err());
        for v in [0, 1, 26, 29, 255] {
            flipped.signature[64] = v;
            assert_eq!(channels.verify(&flipped, signer), Err(SignatureError::Parity { found: v }));
            assert_eq!(channels.verify_known(&flipped, &key), Err(SignatureError::Parity { found: v }));
        }
        let mut empty = signed.clone();
        empty.signature[..64].fill(0);
        assert_eq!(channels.verify(&empty, signer), Err(SignatureError::Malformed));
        assert_eq!(channels.verify_known(&empty, &key), Err(SignatureError::Malformed));
        for length in [0, 64, 66, 1000] {
            let found = SignedVoucher::new(signed.voucher.clone(), &vec![1; length]);
            assert_eq!(found, Err(SignatureError::Length { found: length }));
        }
    }
}
