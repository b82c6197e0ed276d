//! Handing a version key to one buyer: HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! ChaCha20-Poly1305.
//!
//! Owns: the wrapped form and what it is bound to. Refuses: deciding who gets a key (that is `release`).

use std::convert::Infallible;

use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256, rand_core,
};
use residual_primitives::{B256, LicenceId};
use zeroize::Zeroizing;

use crate::{
    keys::{BuyerKey, KeyCommitment, VersionKey, WrapSecret},
    limits::TAG_BYTES,
};

/// Why a wrapped key could not be made or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WrapError {
    /// The public key is no usable X25519 point.
    #[error("expected an X25519 public key to wrap for, found {found}: make a new one")]
    PublicKey {
        /// The key as given.
        found: B256,
    },
    /// It was wrapped for another key, licence or version, or altered.
    #[error(
        "expected a key wrapped for this buyer, licence and version, found it altered or made for another: ask again"
    )]
    Sealed,
    /// It opened, but to a key that the ledger does not know for this version.
    #[error(
        "expected the key that the ledger commits to ({expected}), found one with commitment {found}: report the gateway"
    )]
    OtherKey {
        /// The ledger's commitment.
        expected: KeyCommitment,
        /// The commitment of what was wrapped.
        found: KeyCommitment,
    },
}

/// What a wrapped key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyBinding {
    /// The licence that entitles to it; it names the asset.
    pub licence: LicenceId,
    /// The version's number on the ledger.
    pub version: u32,
    /// The ledger's commitment to the version's key.
    pub key_commitment: KeyCommitment,
}

impl KeyBinding {
    /// HPKE's `info`: what the key is for.
    fn info(&self) -> Vec<u8> {
        let mut info = b"residual key release v1".to_vec();
        info.extend(self.licence.asset().to_be_bytes());
        info.extend(self.licence.to_u256().to_be_bytes::<32>());
        info.extend(self.version.to_be_bytes());
        info
    }
}

/// A version key that one buyer can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrappedKey {
    /// HPKE's `enc`: an ephemeral X25519 public key.
    pub encapsulated: [u8; 32],
    /// The key under HPKE, with the tag.
    pub sealed: [u8; 32 + TAG_BYTES],
}

/// Randomness that follows from what is wrapped, so that an identical request gets identical bytes, and different ones
/// never share an ephemeral key.
struct Determined(blake3::OutputReader);

impl rand_core::TryRng for Determined {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Determined {}

/// Wraps `key` for the X25519 public key `buyer`.
///
/// Deterministic: the ephemeral key follows from `secret` and everything else given here.
///
/// # Errors
/// [`WrapError::PublicKey`] when `buyer` is no usable public key.
pub fn wrap(
    secret: &WrapSecret,
    buyer: B256,
    binding: &KeyBinding,
    key: &VersionKey,
) -> Result<WrappedKey, WrapError> {
    let unusable = |_| WrapError::PublicKey { found: buyer };
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(buyer.as_slice()).map_err(unusable)?;
    let info = binding.info();
    let mut randomness = blake3::Hasher::new_keyed(secret.expose());
    for part in [buyer.as_slice(), binding.key_commitment.0.as_slice(), key.expose(), &info] {
        randomness.update(part);
    }
    let (encapsulated, sealed) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            &info,
            key.expose(),
            binding.key_commitment.0.as_slice(),
            &mut Determined(randomness.finalize_xof()),
        )
        .map_err(unusable)?;
    Ok(WrappedKey {
        encapsulated: encapsulated.to_bytes().into(),
        sealed: sealed.try_into().expect("a key and a tag are 48 bytes"),
    })
}

impl BuyerKey {
    /// The public key that a request for a version key names.
    #[must_use]
    pub fn public(&self) -> B256 {
        B256::new(<X25519HkdfSha256 as Kem>::sk_to_pk(&self.private()).to_bytes().into())
    }

    /// Opens a wrapped key and checks it against the ledger's commitment.
    ///
    /// # Errors
    /// When it was wrapped for another buyer, licence or version, was altered, or is not the version's key.
    pub fn unwrap(&self, wrapped: &WrappedKey, binding: &KeyBinding) -> Result<VersionKey, WrapError> {
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&wrapped.encapsulated)
            .map_err(|_| WrapError::Sealed)?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private(),
            &encapsulated,
            &binding.info(),
            &wrapped.sealed,
            binding.key_commitment.0.as_slice(),
        )
        .map(Zeroizing::new)
        .map_err(|_| WrapError::Sealed)?;
        let key = VersionKey::from_bytes(opened.as_slice().try_into().map_err(|_| WrapError::Sealed)?);
        let found = key.commitment(binding.licence.asset());
        if found == binding.key_commitment {
            Ok(key)
        } else {
            Err(WrapError::OtherKey { expected: binding.key_commitment, found })
        }
    }

    fn private(&self) -> <X25519HkdfSha256 as Kem>::PrivateKey {
        <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(self.expose())
            .expect("any 32 bytes are an X25519 private key")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn licence(serial: u64) -> LicenceId {
        LicenceId::new("9".parse().unwrap(), 1, serial)
    }

    fn binding(key: &VersionKey) -> KeyBinding {
        KeyBinding { licence: licence(1), version: 3, key_commitment: key.commitment(licence(1).asset()) }
    }

    #[test]
    fn key_1_a_wrapped_key_opens_only_for_its_buyer_licence_and_version() {
        let (secret, key, buyer) = (WrapSecret::random(), VersionKey::random(), BuyerKey::random());
        let binding = binding(&key);
        let wrapped = wrap(&secret, buyer.public(), &binding, &key).unwrap();
        assert_eq!(buyer.unwrap(&wrapped, &binding).unwrap().expose(), key.expose());
        assert_eq!(BuyerKey::random().unwrap(&wrapped, &binding).unwrap_err(), WrapError::Sealed);
        let others = [
            KeyBinding { licence: licence(2), ..binding },
            KeyBinding { version: 4, ..binding },
            KeyBinding { key_commitment: KeyCommitment(B256::ZERO), ..binding },
        ];
        for other in others {
            assert_eq!(buyer.unwrap(&wrapped, &other).unwrap_err(), WrapError::Sealed);
        }
        for at in 0..80 {
            let mut altered = wrapped;
            if at < 32 {
                altered.encapsulated[at] ^= 1
            } else {
                altered.sealed[at - 32] ^= 1
            }
            assert_eq!(buyer.unwrap(&altered, &binding).unwrap_err(), WrapError::Sealed, "byte {at}");
        }
    }

    #[test]
    fn a_gateway_that_wraps_another_key_is_caught() {
        let (secret, key, buyer) = (WrapSecret::random(), VersionKey::random(), BuyerKey::random());
        let wrapped = wrap(&secret, buyer.public(), &binding(&key), &VersionKey::random()).unwrap();
        assert!(matches!(buyer.unwrap(&wrapped, &binding(&key)), Err(WrapError::OtherKey { .. })));
    }

    #[test]
    fn an_identical_request_gets_identical_bytes_and_another_shares_nothing() {
        let (secret, key, buyer) = (WrapSecret::random(), VersionKey::random(), BuyerKey::random());
        let binding = binding(&key);
        let wrapped = wrap(&secret, buyer.public(), &binding, &key).unwrap();
        assert_eq!(wrap(&secret, buyer.public(), &binding, &key).unwrap(), wrapped);
        let other = wrap(&secret, buyer.public(), &KeyBinding { version: 4, ..binding }, &key).unwrap();
        assert_ne!(other.encapsulated, wrapped.encapsulated);
        assert_ne!(
            wrap(&WrapSecret::random(), buyer.public(), &binding, &key).unwrap().encapsulated,
            wrapped.encapsulated
        );
    }

    #[test]
    fn a_public_key_of_small_order_is_refused() {
        let (secret, key) = (WrapSecret::random(), VersionKey::random());
        for point in [B256::ZERO, B256::from(residual_primitives::U256::from(1u8).to_le_bytes::<32>())] {
            assert!(matches!(wrap(&secret, point, &binding(&key), &key), Err(WrapError::PublicKey { .. })));
        }
    }

    /// RFC 9180, appendix A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, base mode, sequence number 0.
    #[test]
    fn the_suite_is_the_one_of_the_rfc() {
        let hex = |text: &str| alloy_primitives::hex::decode(text).unwrap();
        let buyer = BuyerKey::from_bytes(
            hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb").try_into().unwrap(),
        );
        assert_eq!(
            buyer.public().to_vec(),
            hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
        );
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&hex(
            "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
        ))
        .unwrap();
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &buyer.private(),
            &encapsulated,
            &hex("4f6465206f6e2061204772656369616e2055726e"),
            &hex(
                "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
            ),
            &hex("436f756e742d30"),
        )
        .unwrap();
        assert_eq!(opened, b"Beauty is truth, truth beauty");
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(encapsulated: [u8; 32], sealed: [u8; 24], public: [u8; 32]) {
            let sealed = [sealed, sealed].concat().try_into().unwrap();
            let key = VersionKey::from_bytes([1; 32]);
            let wrapped = WrappedKey { encapsulated, sealed };
            prop_assert!(BuyerKey::from_bytes([2; 32]).unwrap(&wrapped, &binding(&key)).is_err());
            let _ = wrap(&WrapSecret::from_bytes([3; 32]), B256::new(public), &binding(&key), &key);
        }
    }
}
