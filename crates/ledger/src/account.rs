//! An account: a key and what it signs.
//!
//! A key is held in memory only, is wiped when the last clone goes, and is printed by nothing. Where it is kept is the
//! [`crate::keystore`]'s concern.

use std::{fmt, sync::Arc};

use alloy_primitives::{Address, B256, Signature};
use alloy_sol_types::{Eip712Domain, SolStruct};
use hmac::{Hmac, KeyInit, Mac};
use k256::{
    Secp256k1,
    ecdsa::{
        SigningKey,
        hazmat::{DigestPrimitive, SignPrimitive},
    },
    elliptic_curve::{PrimeField, sec1::ToEncodedPoint},
};
use sha2::Sha512;
use zeroize::Zeroizing;

/// The mnemonic whose accounts every development node funds.
const DEVELOPMENT_MNEMONIC: &[u8] = b"test test test test test test test test test test test junk";
/// The path of the accounts of such a mnemonic but for the last step: m/44'/60'/0'/0 (BIP-44).
const DEVELOPMENT_PATH: [u32; 4] = [HARDENED | 44, HARDENED | 60, HARDENED, 0];
/// The bit of a BIP-32 index that asks for a derivation from the private key.
const HARDENED: u32 = 1 << 31;
/// Rounds of PBKDF2 from mnemonic to seed (BIP-39).
const SEED_ROUNDS: u32 = 2048;

/// Why bytes are not a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a private key, a number from 1 to the order of secp256k1 less 1, found another")]
pub struct InvalidKey;

/// Why there is no development account.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DevelopmentKeyError {
    /// The connection is not in development mode.
    #[error("expected development mode, found a connection without it; use an account of the keystore")]
    NotDevelopment,
    /// The index is above BIP-32's.
    #[error("expected the index of a development account below 2^31, found {found}")]
    IndexTooLarge {
        /// The index.
        found: u32,
    },
}

/// A key that signs, and its address. Clones share the key.
#[derive(Clone)]
pub struct Account {
    address: Address,
    key: Arc<SigningKey>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.address)
    }
}

impl Account {
    /// A new account with a key from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        loop {
            // One draw in 2^128 is not a key.
            if let Ok(account) = Self::from_secret(&Zeroizing::new(rand::random())) {
                return account;
            }
        }
    }

    /// The account of a private key: 32 bytes, big-endian.
    ///
    /// # Errors
    /// When the number is 0 or not below the order of secp256k1.
    pub fn from_secret(secret: &Zeroizing<[u8; 32]>) -> Result<Self, InvalidKey> {
        let key = SigningKey::from_bytes((&**secret).into()).map_err(|_| InvalidKey)?;
        Ok(Self { address: Address::from_private_key(&key), key: Arc::new(key) })
    }

    /// The private key, for the keystore.
    pub(crate) fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes().into())
    }

    /// See [`crate::Chain::development_account`], which asks first whether it may.
    pub(crate) fn development(index: u32) -> Result<Self, DevelopmentKeyError> {
        if index >= HARDENED {
            return Err(DevelopmentKeyError::IndexTooLarge { found: index });
        }
        let seed = pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(DEVELOPMENT_MNEMONIC, b"mnemonic", SEED_ROUNDS);
        let (mut key, mut chain_code) = split_mac(b"Bitcoin seed", &[&seed]);
        for step in DEVELOPMENT_PATH.into_iter().chain([index]) {
            (key, chain_code) = derive_child(&key, &chain_code, step);
        }
        Ok(Self::from_secret(&key).expect("derivation yields keys"))
    }

    /// The account's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest that was made for signing. The same digest gets the same signature (RFC 6979).
    #[must_use]
    pub fn sign_hash(&self, digest: B256) -> Signature {
        let signed = self.key.sign_prehash_recoverable(digest.as_slice());
        signed.expect("secp256k1 signs every digest of 32 bytes").into()
    }

    /// Signs a digest with new randomness besides (RFC 6979, section 3.6), so that no two signatures are alike. A
    /// transaction's hash covers its signature: one that was signed so has a hash that no other program's has, even
    /// if both have the same key and mean the same.
    #[must_use]
    pub(crate) fn sign_unlike_any_other(&self, digest: B256) -> Signature {
        let secret: &k256::Scalar = self.key.as_nonzero_scalar();
        let random: [u8; 32] = rand::random();
        let signed = secret
            .try_sign_prehashed_rfc6979::<<Secp256k1 as DigestPrimitive>::Digest>(&digest.0.into(), &random);
        let (signature, recovery) = signed.expect("secp256k1 signs every digest of 32 bytes");
        (signature, recovery.expect("the curve's signatures come with it")).into()
    }

    /// Signs a typed message in its domain (EIP-712).
    #[must_use]
    pub fn sign_typed<T: SolStruct>(&self, message: &T, domain: &Eip712Domain) -> Signature {
        self.sign_hash(message.eip712_signing_hash(domain))
    }
}

/// HMAC-SHA512, halved (BIP-32).
fn split_mac(key: &[u8], parts: &[&[u8]]) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of every length");
    parts.iter().for_each(|part| mac.update(part));
    let whole: [u8; 64] = mac.finalize().into_bytes().into();
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(&whole[..32]);
    right.copy_from_slice(&whole[32..]);
    (Zeroizing::new(left), right)
}

/// One step of BIP-32 from private key to private key.
fn derive_child(
    key: &Zeroizing<[u8; 32]>,
    chain_code: &[u8; 32],
    step: u32,
) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
    let scalar = |bytes: [u8; 32]| k256::Scalar::from_repr(bytes.into()).expect("derivation yields scalars");
    let (tweak, next_code) = if step & HARDENED == 0 {
        let point = (k256::ProjectivePoint::GENERATOR * scalar(**key)).to_affine().to_encoded_point(true);
        split_mac(chain_code, &[point.as_bytes(), &step.to_be_bytes()])
    } else {
        split_mac(chain_code, &[&[0], &**key, &step.to_be_bytes()])
    };
    (Zeroizing::new((scalar(*tweak) + scalar(**key)).to_bytes().into()), next_code)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, keccak256};

    use super::*;

    #[test]
    fn development_accounts_are_those_that_every_development_node_funds() {
        for (index, expected) in residual_local_ledger::DEVELOPMENT_ACCOUNTS.into_iter().enumerate() {
            assert_eq!(Account::development(index as u32).expect("an index").address(), expected);
        }
        assert_eq!(
            Account::development(HARDENED).expect_err("too large"),
            DevelopmentKeyError::IndexTooLarge { found: HARDENED }
        );
    }

    #[test]
    fn a_signature_recovers_to_its_account() {
        let account = Account::generate();
        let digest = keccak256("digest");
        let signature = account.sign_hash(digest);
        assert_eq!(signature.recover_address_from_prehash(&digest).expect("recovers"), account.address());
        assert_eq!(account.sign_hash(digest), signature);
    }

    #[test]
    fn two_transactions_that_say_the_same_are_not_signed_alike() {
        let account = Account::generate();
        let digest = keccak256("digest");
        let signatures: std::collections::HashSet<_> = (0..16)
            .map(|_| {
                let signature = account.sign_unlike_any_other(digest);
                let signer = signature.recover_address_from_prehash(&digest).expect("recovers");
                assert_eq!(signer, account.address());
                assert!(signature.normalize_s().is_none(), "the form that EIP-2 asks for");
                signature.as_bytes()
            })
            .collect();
        assert_eq!(signatures.len(), 16);
    }

    #[test]
    fn what_is_no_key_is_refused_and_a_key_is_not_printed() {
        assert_eq!(Account::from_secret(&Zeroizing::new([0; 32])).expect_err("zero"), InvalidKey);
        assert_eq!(
            Account::from_secret(&Zeroizing::new([0xff; 32])).expect_err("above the order"),
            InvalidKey
        );
        let account = Account::from_secret(&Zeroizing::new([0x11; 32])).expect("a key");
        assert_eq!(account.address(), address!("19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"));
        assert_eq!(format!("{account:?}"), "Account(0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A)");
    }
}
