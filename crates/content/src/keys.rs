//! Secret keys, each of its own type, and the public commitment to the one that buyers get.
//!
//! Owns: making keys and wiping them from memory when they go. Refuses: printing them; keeping them (that is
//! `keyring`); giving them to anyone (that is `wrap`).

use std::fmt;

use rand::{TryRngCore, rngs::OsRng};
use residual_primitives::{AssetId, B256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteArray, Bytes};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Fills a new secret from the operating system.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system has a source of randomness");
    bytes
}

macro_rules! secret {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes 32 bytes for the key.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The key itself: for ciphers and for sealed storage.
            #[must_use]
            pub const fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(secret)"))
            }
        }
    )*};
}

macro_rules! random {
    ($($name:ident)*) => {$(
        impl $name {
            /// A new random key.
            ///
            /// # Panics
            /// When the operating system has no randomness to give.
            #[must_use]
            pub fn random() -> Self {
                Self(random_bytes())
            }
        }
    )*};
}

secret! {
    /// K: the publisher's key of one asset and key epoch. It never leaves the publisher; every chunk's key follows
    /// from it and the chunk.
    ContentKey
    /// K_v: the key of one version's index. Buyers get it, and with it this version and no other.
    VersionKey
    /// The key of one chunk, as the index lists it. Showing it shows that chunk and nothing else.
    ChunkKey
    /// What a keyring's files are sealed under: random, kept in the `marketplace.json` of a data directory (mode 0600).
    KeyringSecret
    /// What a releaser of keys mixes into its randomness, so that an identical request gets identical bytes.
    WrapSecret
    /// A buyer's X25519 private key, to which version keys are wrapped.
    BuyerKey
}

random!(ContentKey VersionKey KeyringSecret WrapSecret BuyerKey);

impl VersionKey {
    /// What the ledger holds of this key.
    #[must_use]
    pub fn commitment(&self, asset: AssetId) -> KeyCommitment {
        let mut hash = Sha256::new_with_prefix(b"residual key commitment v1\0");
        hash.update(asset.to_be_bytes());
        hash.update(self.0);
        KeyCommitment(B256::new(hash.finalize().into()))
    }
}

impl Serialize for ChunkKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes::new(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ChunkKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ByteArray::deserialize(deserializer).map(|bytes| Self(bytes.into_array()))
    }
}

/// A version key's public commitment: sha2-256 of `"residual key commitment v1\0"`, asset (16 bytes), K_v (32 bytes).
///
/// It hides the key, since a key is random, and binds it, since sha2-256 has no known collisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyCommitment(pub B256);

impl fmt::Display for KeyCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        let shown = format!(
            "{:?} {:?} {:?}",
            ContentKey::from_bytes([77; 32]),
            VersionKey::from_bytes([77; 32]),
            ChunkKey::from_bytes([77; 32])
        );
        assert_eq!(shown, "ContentKey(secret) VersionKey(secret) ChunkKey(secret)");
    }

    #[test]
    fn a_commitment_binds_key_and_asset() {
        let [one, two]: [AssetId; 2] = ["1", "2"].map(|id| id.parse().unwrap());
        let key = VersionKey::random();
        assert_eq!(key.commitment(one), VersionKey::from_bytes(*key.expose()).commitment(one));
        assert_ne!(key.commitment(one), key.commitment(two));
        assert_ne!(key.commitment(one), VersionKey::random().commitment(one));
    }
}
