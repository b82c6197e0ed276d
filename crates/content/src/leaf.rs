//! Chunks of plaintext to sealed leaves and back (protocol, "Sealed content").
//!
//! `h = BLAKE3-keyed(K_id, plaintext)`, `key = BLAKE3-derive(K_enc, h)`, XChaCha20-Poly1305 with the zero nonce: each key
//! seals exactly one plaintext, of one length, so the nonce need not vary, equal chunks of one epoch share a leaf, and
//! one chunk's key says nothing about another's. `length` in the associated data is that of the plaintext, padding
//! included: anything else would let one key authenticate two messages.

use residual_primitives::AssetId;
use zeroize::Zeroizing;

use crate::{
    cipher::{self, NONCE_BYTES, Unauthentic},
    keys::{ChunkKey, ContentKey},
    limits::{CHUNK_BYTES, TAG_BYTES},
};

/// Seals the chunks of one asset and key epoch.
pub(crate) struct LeafSealer {
    asset: AssetId,
    epoch: u32,
    identity: Zeroizing<[u8; 32]>,
    encryption: Zeroizing<[u8; 32]>,
}

impl LeafSealer {
    pub(crate) fn new(asset: AssetId, epoch: u32, key: &ContentKey) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, key.expose()));
        Self {
            asset,
            epoch,
            identity: derive("residual content v1: chunk identity"),
            encryption: derive("residual content v1: chunk encryption"),
        }
    }

    /// Encrypts a chunk of at most 1 MiB - 16 in place; 16 bytes longer after.
    ///
    /// # Panics
    /// When the chunk is longer: its leaf would be one that nobody reads.
    pub(crate) fn seal(&self, chunk: &mut Vec<u8>) -> ChunkKey {
        assert!(chunk.len() <= CHUNK_BYTES, "the cutter cuts no larger");
        let identity = blake3::keyed_hash(&self.identity, chunk);
        let mut material = Zeroizing::new([0; 64]);
        material[..32].copy_from_slice(&*self.encryption);
        material[32..].copy_from_slice(identity.as_bytes());
        let key = ChunkKey::from_bytes(blake3::derive_key("residual content v1: chunk key", &*material));
        let aad = associated_data(self.asset, self.epoch, chunk.len());
        cipher::seal_in_place(key.expose(), &[0; NONCE_BYTES], &aad, chunk);
        key
    }
}

/// Decrypts a leaf in place.
pub(crate) fn open(
    asset: AssetId,
    epoch: u32,
    key: &ChunkKey,
    leaf: &mut Vec<u8>,
) -> Result<(), Unauthentic> {
    let plain_bytes = leaf.len().checked_sub(TAG_BYTES).ok_or(Unauthentic)?;
    cipher::open_in_place(key.expose(), &[0; NONCE_BYTES], &associated_data(asset, epoch, plain_bytes), leaf)
}

fn associated_data(asset: AssetId, epoch: u32, plain_bytes: usize) -> [u8; 44] {
    let mut aad = [0; 44];
    aad[..16].copy_from_slice(b"residual leaf v1");
    aad[16..32].copy_from_slice(&asset.to_be_bytes());
    aad[32..36].copy_from_slice(&epoch.to_be_bytes());
    aad[36..].copy_from_slice(&(plain_bytes as u64).to_be_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LEAF_BYTES;

    #[test]
    fn a_leaf_opens_only_with_its_key_asset_epoch_and_bytes() {
        let [asset, other]: [AssetId; 2] = ["1", "2"].map(|id| id.parse().unwrap());
        let content_key = ContentKey::random();
        let sealer = LeafSealer::new(asset, 3, &content_key);
        let mut leaf = b"some plaintext".to_vec();
        let key = sealer.seal(&mut leaf);
        let opens =
            |asset, epoch, key: &ChunkKey, leaf: &[u8]| open(asset, epoch, key, &mut leaf.to_vec()).is_ok();
        assert!(opens(asset, 3, &key, &leaf));
        assert!(!opens(other, 3, &key, &leaf));
        assert!(!opens(asset, 4, &key, &leaf));
        assert!(!opens(asset, 3, &ChunkKey::from_bytes([0; 32]), &leaf));
        assert!(!opens(asset, 3, &key, &leaf[1..]));
        assert!(!opens(asset, 3, &key, b"short"));
    }

    #[test]
    fn a_chunk_fits_its_leaf_or_is_not_sealed() {
        let sealer = LeafSealer::new("1".parse().unwrap(), 0, &ContentKey::random());
        let mut full = vec![7; CHUNK_BYTES];
        sealer.seal(&mut full);
        assert_eq!(full.len(), LEAF_BYTES);
        let longer = std::panic::catch_unwind(|| sealer.seal(&mut vec![7; CHUNK_BYTES + 1]));
        assert!(longer.is_err());
    }

    #[test]
    fn equal_chunks_of_one_epoch_share_a_leaf_and_others_do_not() {
        let asset: AssetId = "1".parse().unwrap();
        let content_key = ContentKey::random();
        let seal = |epoch_key: &ContentKey, chunk: &[u8]| {
            let mut leaf = chunk.to_vec();
            let key = LeafSealer::new(asset, 0, epoch_key).seal(&mut leaf);
            (leaf, *key.expose())
        };
        assert_eq!(seal(&content_key, b"same"), seal(&content_key, b"same"));
        // One byte of padding more is another plaintext and so another key.
        assert_ne!(seal(&content_key, b"same").1, seal(&content_key, b"same\0").1);
        assert_ne!(seal(&content_key, b"same"), seal(&ContentKey::random(), b"same"));
    }
}
