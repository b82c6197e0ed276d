//! The commitment to every chunk key, and the proof of one of them.
//!
//! The manifest holds the root of a Merkle tree over (position, leaf, chunk key) in the shape of RFC 6962. A buyer whose
//! key does not open a leaf shows that one leaf and a [`ChunkProof`]: whoever holds the manifest sees that the publisher
//! had committed to this key for this leaf, and that it does not open it. No other chunk is shown.

use residual_primitives::B256;
use sha2::{Digest, Sha256};

use crate::{
    block::{Block, BlockId, Codec},
    index::LeafEntry,
    keys::ChunkKey,
    leaf,
    manifest::Manifest,
};

fn leaf_hash(position: u64, digest: &[u8; 32], key: &ChunkKey) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"\0residual chunk key v1");
    hash.update(position.to_be_bytes());
    hash.update(digest);
    hash.update(key.expose());
    hash.finalize().into()
}

fn node_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The level above; a last node without a sibling goes up as it is.
fn level_above(level: &[[u8; 32]]) -> Vec<[u8; 32]> {
    level
        .chunks(2)
        .map(|pair| if let [left, right] = pair { node_hash(left, right) } else { pair[0] })
        .collect()
}

fn leaf_level(leaves: &[LeafEntry]) -> Vec<[u8; 32]> {
    leaves.iter().zip(0..).map(|(leaf, position)| leaf_hash(position, &leaf.digest, &leaf.key)).collect()
}

/// The root over all chunk keys, of at least one leaf.
pub(crate) fn chunk_keys_root(leaves: &[LeafEntry]) -> B256 {
    let mut level = leaf_level(leaves);
    while level.len() > 1 {
        level = level_above(&level);
    }
    B256::new(level[0])
}

/// What a shown chunk proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The committed key opens the leaf: the publisher delivered.
    KeyOpensLeaf,
    /// The committed key does not open the leaf: the publisher sold a wrong key.
    KeyIsWrong,
}

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProofError {
    /// The key and the leaf are not the ones that the manifest commits to.
    #[error("expected a chunk that the manifest commits to, found a path that leads to another root")]
    NotCommitted,
    /// The block is not the leaf that the proof speaks of.
    #[error("expected the leaf {expected}, found {found}")]
    OtherLeaf {
        /// The leaf of the proof.
        expected: BlockId,
        /// The block that came with it.
        found: BlockId,
    },
}

/// One chunk's key with the path that ties it to a manifest. Whoever has it can read this chunk.
#[derive(Debug, Clone)]
pub struct ChunkProof {
    /// Which leaf of the version, from 0.
    pub position: u64,
    /// The leaf.
    pub leaf: BlockId,
    /// Its key, as the index lists it.
    pub key: ChunkKey,
    /// Sibling hashes from the leaf to the root.
    pub path: Vec<B256>,
}

impl ChunkProof {
    pub(crate) fn new(leaves: &[LeafEntry], position: usize) -> Self {
        let mut level = leaf_level(leaves);
        let mut path = Vec::new();
        let mut at = position;
        while level.len() > 1 {
            path.extend(level.get(at ^ 1).copied().map(B256::new));
            level = level_above(&level);
            at /= 2;
        }
        let leaf = &leaves[position];
        Self {
            position: position as u64,
            leaf: BlockId::new(Codec::Raw, leaf.digest),
            key: leaf.key.clone(),
            path,
        }
    }

    /// Judges the shown leaf by what `manifest` commits to.
    ///
    /// # Errors
    /// When the proof is not about this manifest and this block.
    pub fn judge(&self, manifest: &Manifest, block: Block) -> Result<Verdict, ProofError> {
        if self.root(manifest.leaves) != Some(manifest.chunk_keys) {
            return Err(ProofError::NotCommitted);
        }
        if block.id() != self.leaf {
            return Err(ProofError::OtherLeaf { expected: self.leaf, found: block.id() });
        }
        let mut bytes = block.into_bytes();
        match leaf::open(manifest.asset, manifest.epoch, &self.key, &mut bytes) {
            Ok(()) => Ok(Verdict::KeyOpensLeaf),
            Err(_) => Ok(Verdict::KeyIsWrong),
        }
    }

    /// The root that the path leads to in a tree of `count` leaves; `None` when it cannot be a path of such a tree.
    fn root(&self, count: u64) -> Option<B256> {
        if self.position >= count {
            return None;
        }
        let mut hash = leaf_hash(self.position, self.leaf.digest(), &self.key);
        let mut siblings = self.path.iter();
        let (mut at, mut last) = (self.position, count - 1);
        while last > 0 {
            if at % 2 == 1 {
                hash = node_hash(siblings.next()?, &hash);
            } else if at < last {
                hash = node_hash(&hash, siblings.next()?);
            }
            (at, last) = (at / 2, last / 2);
        }
        siblings.next().is_none().then(|| B256::new(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::random_bytes;

    #[test]
    fn every_chunk_key_is_proven_and_no_other() {
        for count in 1..20usize {
            let leaves: Vec<LeafEntry> = (0..count)
                .map(|_| LeafEntry {
                    digest: random_bytes(),
                    plain_bytes: 1,
                    key: ChunkKey::from_bytes(random_bytes()),
                })
                .collect();
            let root = chunk_keys_root(&leaves);
            for position in 0..count {
                let proof = ChunkProof::new(&leaves, position);
                assert_eq!(proof.root(count as u64), Some(root));
                let wrong = [
                    ChunkProof { key: ChunkKey::from_bytes([0; 32]), ..proof.clone() },
                    ChunkProof { leaf: BlockId::new(Codec::Raw, [0; 32]), ..proof.clone() },
                    ChunkProof { position: proof.position + 1, ..proof.clone() },
                    ChunkProof { path: [&proof.path[..], &[B256::ZERO]].concat(), ..proof.clone() },
                ];
                assert!(wrong.iter().all(|wrong| wrong.root(count as u64) != Some(root)));
                if count > 1 {
                    let short = ChunkProof { path: proof.path[1..].to_vec(), ..proof };
                    assert_ne!(short.root(count as u64), Some(root));
                }
            }
        }
    }
}
