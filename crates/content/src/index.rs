//! The index of a version: which files it has, which leaves hold them, and the key of each chunk.
//!
//! Files are laid end to end, sorted by path, and the whole is cut into chunks; so a thousand small files cost no more
//! than one large one, and a leaf tells nothing about where a file begins. The index is DAG-CBOR, sealed in pieces under
//! the version key.
//!
//! Owns: the index's form, its limits, and its sealing. Refuses: an index in which anything overlaps, is missing, is out
//! of order or could be written outside a directory.

use std::collections::HashSet;

use residual_primitives::AssetId;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

use crate::{
    cipher::{self, NONCE_BYTES},
    cut::Profile,
    keys::{ChunkKey, VersionKey},
    limits::{CHUNK_BYTES, LEAF_BYTES, MAX_FILES, MAX_INDEX_BYTES, MAX_LEAVES, TAG_BYTES},
    path::TreePath,
};

const FORMAT: &str = "residual/index/1";

/// Plaintext in a full sealed piece of an index: what a block holds after nonce and tag.
const PIECE_BYTES: usize = LEAF_BYTES - NONCE_BYTES - TAG_BYTES;

/// The most blocks that a sealed index can take.
pub(crate) const MAX_PIECES: u64 = MAX_INDEX_BYTES.div_ceil(PIECE_BYTES) as u64;

/// The longest that a sealed index can be, in bytes.
pub(crate) const MAX_SEALED_BYTES: u64 =
    MAX_INDEX_BYTES as u64 + MAX_PIECES * (NONCE_BYTES + TAG_BYTES) as u64;

/// Why an index is refused (SEAL-1).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IndexError {
    /// A piece does not open with the version key, or stands in another place.
    #[error(
        "expected piece {piece} of the index to open with the version key, found it altered or sealed otherwise"
    )]
    Sealed {
        /// Which piece, from 0.
        piece: u64,
    },
    /// Not the DAG-CBOR of an index.
    #[error("expected an index in DAG-CBOR: {reason}")]
    Malformed {
        /// What the decoder said.
        reason: String,
    },
    /// Decoded, but it describes no possible content.
    #[error("expected an index whose files and leaves fit one another: {reason}")]
    Inconsistent {
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// More files, leaves or bytes than an index may have.
    #[error(
        "expected an index with at most {limit} {what}, found {found}: publish the files as several assets"
    )]
    TooLarge {
        /// `files`, `leaves` or `bytes`.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What is there.
        found: u64,
    },
}

/// One file of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it belongs.
    pub path: TreePath,
    /// Where it begins in the laid out content, in bytes.
    pub offset: u64,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// One leaf of a version.
#[derive(Debug, Clone)]
pub(crate) struct LeafEntry {
    /// The digest that names the sealed block.
    pub(crate) digest: [u8; 32],
    /// Bytes of plaintext in it, padding included.
    pub(crate) plain_bytes: u32,
    /// The key that opens it.
    pub(crate) key: ChunkKey,
}

/// All that the holder of a version key learns.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) files: Vec<FileEntry>,
    pub(crate) leaves: Vec<LeafEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireIndex {
    format: String,
    files: Vec<(TreePath, u64, u64)>,
    leaves: Vec<(ByteArray<32>, u32, ChunkKey)>,
}

impl Index {
    /// Bytes of all files together.
    pub(crate) fn content_bytes(&self) -> u64 {
        self.files.last().map_or(0, |last| last.offset + last.bytes)
    }

    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, IndexError> {
        let wire = WireIndex {
            format: FORMAT.to_owned(),
            files: self.files.iter().map(|file| (file.path.clone(), file.offset, file.bytes)).collect(),
            leaves: self
                .leaves
                .iter()
                .map(|leaf| (ByteArray::new(leaf.digest), leaf.plain_bytes, leaf.key.clone()))
                .collect(),
        };
        let bytes = serde_ipld_dagcbor::to_vec(&wire).expect("an index is made of what DAG-CBOR can say");
        if bytes.len() > MAX_INDEX_BYTES {
            return Err(IndexError::TooLarge {
                what: "bytes",
                limit: MAX_INDEX_BYTES as u64,
                found: bytes.len() as u64,
            });
        }
        Ok(Zeroizing::new(bytes))
    }

    pub(crate) fn decode(bytes: &[u8], profile: Profile) -> Result<Self, IndexError> {
        if bytes.len() > MAX_INDEX_BYTES {
            return Err(IndexError::TooLarge {
                what: "bytes",
                limit: MAX_INDEX_BYTES as u64,
                found: bytes.len() as u64,
            });
        }
        let wire: WireIndex = serde_ipld_dagcbor::from_slice(bytes)
            .map_err(|error| IndexError::Malformed { reason: error.to_string() })?;
        if wire.format != FORMAT {
            return Err(IndexError::Malformed { reason: format!("its format is not {FORMAT}") });
        }
        let files =
            wire.files.into_iter().map(|(path, offset, bytes)| FileEntry { path, offset, bytes }).collect();
        let leaf = |(digest, plain_bytes, key): (ByteArray<32>, u32, ChunkKey)| LeafEntry {
            digest: digest.into_array(),
            plain_bytes,
            key,
        };
        let index = Self { files, leaves: wire.leaves.into_iter().map(leaf).collect() };
        index.check(profile)?;
        Ok(index)
    }

    fn check(&self, profile: Profile) -> Result<(), IndexError> {
        let inconsistent = |reason| Err(IndexError::Inconsistent { reason });
        let (files, leaves) = (self.files.len(), self.leaves.len() as u64);
        if files > MAX_FILES {
            return Err(IndexError::TooLarge { what: "files", limit: MAX_FILES as u64, found: files as u64 });
        }
        if leaves > MAX_LEAVES {
            return Err(IndexError::TooLarge { what: "leaves", limit: MAX_LEAVES, found: leaves });
        }
        if !self.files.is_sorted_by(|a, b| a.path < b.path) {
            return inconsistent("its paths are not sorted, or one comes twice");
        }
        let paths: HashSet<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        if self.files.iter().any(|file| file.path.directories().any(|directory| paths.contains(directory))) {
            return inconsistent("a file has the path of a directory");
        }
        let mut end = 0u64;
        for file in &self.files {
            if file.offset != end {
                return inconsistent("its files are not laid end to end");
            }
            let Some(next) = end.checked_add(file.bytes) else {
                return inconsistent("its files are too long");
            };
            end = next;
        }
        if self.leaves.is_empty() {
            return inconsistent("it has no leaf");
        }
        if self.leaves.iter().any(|leaf| leaf.plain_bytes as usize > CHUNK_BYTES) {
            return inconsistent("a chunk is longer than 1 MiB - 16");
        }
        let held: u64 = self.leaves.iter().map(|leaf| u64::from(leaf.plain_bytes)).sum();
        let fits = match profile {
            Profile::Fixed => {
                let full = self.leaves.iter().all(|leaf| leaf.plain_bytes as usize == CHUNK_BYTES);
                full && leaves == end.div_ceil(CHUNK_BYTES as u64).max(1)
            }
            Profile::Cdc => {
                held == end && (leaves == 1 || self.leaves.iter().all(|leaf| leaf.plain_bytes > 0))
            }
        };
        if fits { Ok(()) } else { inconsistent("its leaves do not hold exactly its files") }
    }
}

/// Seals an encoded index: pieces of `nonce (24) | ciphertext | tag (16)`, each a block.
///
/// The nonce is a keyed hash of the piece and its place, so that sealing again gives the same blocks, and a version key
/// that is used for two indexes by mistake still never repeats a nonce for different plaintexts.
pub(crate) struct IndexSealer {
    asset: AssetId,
    epoch: u32,
    nonce_key: Zeroizing<[u8; 32]>,
    encryption: Zeroizing<[u8; 32]>,
}

impl IndexSealer {
    pub(crate) fn new(asset: AssetId, epoch: u32, key: &VersionKey) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, key.expose()));
        Self {
            asset,
            epoch,
            nonce_key: derive("residual content v1: index nonce"),
            encryption: derive("residual content v1: index encryption"),
        }
    }

    /// The associated data: what the piece is, of which asset and epoch, its place, and how many there are.
    fn place(&self, piece: u64, pieces: u64) -> [u8; 53] {
        let mut aad = [0; 53];
        aad[..17].copy_from_slice(b"residual index v1");
        aad[17..33].copy_from_slice(&self.asset.to_be_bytes());
        aad[33..37].copy_from_slice(&self.epoch.to_be_bytes());
        aad[37..45].copy_from_slice(&piece.to_be_bytes());
        aad[45..].copy_from_slice(&pieces.to_be_bytes());
        aad
    }

    pub(crate) fn seal<'a>(&'a self, index: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
        let pieces = index.len().div_ceil(PIECE_BYTES) as u64;
        index.chunks(PIECE_BYTES).zip(0..).map(move |(plain, piece)| {
            let aad = self.place(piece, pieces);
            let mut hash = blake3::Hasher::new_keyed(&self.nonce_key);
            hash.update(&aad);
            hash.update(plain);
            let mut nonce = [0; NONCE_BYTES];
            nonce.copy_from_slice(&hash.finalize().as_bytes()[..NONCE_BYTES]);
            let mut sealed = plain.to_vec();
            sealed.reserve(TAG_BYTES);
            cipher::seal_in_place(&self.encryption, &nonce, &aad, &mut sealed);
            sealed.splice(..0, nonce);
            sealed
        })
    }

    /// Opens piece `piece` of `pieces`.
    pub(crate) fn open(
        &self,
        piece: u64,
        pieces: u64,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, IndexError> {
        let (nonce, rest) = sealed.split_first_chunk().ok_or(IndexError::Sealed { piece })?;
        let mut plain = Zeroizing::new(rest.to_vec());
        cipher::open_in_place(&self.encryption, nonce, &self.place(piece, pieces), &mut plain)
            .map_err(|_| IndexError::Sealed { piece })?;
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::random_bytes;

    fn sample() -> Index {
        let file = |path: &str, offset, bytes| FileEntry { path: path.parse().unwrap(), offset, bytes };
        let leaf = |plain_bytes| LeafEntry {
            digest: random_bytes(),
            plain_bytes,
            key: ChunkKey::from_bytes(random_bytes()),
        };
        Index {
            files: vec![file("a", 0, 10), file("b/c", 10, 0), file("b/d", 10, 1_500_000)],
            leaves: vec![leaf(1_000_000), leaf(500_010)],
        }
    }

    #[test]
    fn an_index_survives_its_encoding() {
        let index = sample();
        let bytes = index.encode().unwrap();
        let read = Index::decode(&bytes, Profile::Cdc).unwrap();
        assert_eq!(read.files, index.files);
        assert_eq!(*read.encode().unwrap(), *bytes);
        assert_eq!(read.content_bytes(), 1_500_010);
    }

    #[test]
    fn seal_1_an_index_that_fits_no_content_is_refused() {
        type Break = fn(&mut Index);
        let breaks: [Break; 10] = [
            |index| index.files.swap(0, 1),
            |index| index.files[1].path = index.files[0].path.clone(),
            |index| index.files[0].path = "b".parse().unwrap(),
            |index| index.files[1].offset = 9,
            |index| index.files[2].bytes = u64::MAX,
            |index| index.files[2].bytes += 1,
            |index| index.leaves.clear(),
            |index| index.leaves[0].plain_bytes = CHUNK_BYTES as u32 + 1,
            |index| index.leaves.truncate(1),
            |index| index.leaves.extend(sample().leaves),
        ];
        for (at, breaks) in breaks.iter().enumerate() {
            let mut index = sample();
            breaks(&mut index);
            let refused = Index::decode(&index.encode().unwrap(), Profile::Cdc);
            assert!(matches!(refused, Err(IndexError::Inconsistent { .. })), "break {at}");
        }
        assert!(matches!(
            Index::decode(&sample().encode().unwrap(), Profile::Fixed),
            Err(IndexError::Inconsistent { .. })
        ));
    }

    #[test]
    fn a_hostile_path_in_an_index_is_refused() {
        for path in ["../x", "/x", "a/../../x"] {
            let wire = (FORMAT, vec![(path, 0u64, 0u64)]);
            #[derive(Serialize)]
            struct Hostile<'a> {
                format: &'a str,
                files: Vec<(&'a str, u64, u64)>,
                leaves: Vec<(ByteArray<32>, u32, ChunkKey)>,
            }
            let leaf = (ByteArray::new([0; 32]), 0, ChunkKey::from_bytes([0; 32]));
            let bytes =
                serde_ipld_dagcbor::to_vec(&Hostile { format: wire.0, files: wire.1, leaves: vec![leaf] })
                    .unwrap();
            assert!(
                matches!(Index::decode(&bytes, Profile::Cdc), Err(IndexError::Malformed { .. })),
                "{path}"
            );
        }
    }

    #[test]
    fn a_large_index_is_sealed_in_pieces_that_keep_their_places() {
        let asset: AssetId = "1".parse().unwrap();
        let key = VersionKey::random();
        let sealer = IndexSealer::new(asset, 0, &key);
        let plain: Vec<u8> = (0..2 * PIECE_BYTES + 5).map(|i| (i / 7) as u8).collect();
        let pieces: Vec<Vec<u8>> = sealer.seal(&plain).collect();
        assert_eq!(
            pieces.iter().map(Vec::len).collect::<Vec<_>>(),
            [LEAF_BYTES, LEAF_BYTES, 5 + NONCE_BYTES + TAG_BYTES]
        );
        assert_eq!(sealer.seal(&plain).collect::<Vec<_>>(), pieces, "sealing again gives the same blocks");
        let opened: Vec<u8> =
            (0..3u64).flat_map(|i| sealer.open(i, 3, &pieces[i as usize]).unwrap().to_vec()).collect();
        assert_eq!(opened, plain);
        assert!(sealer.open(1, 3, &pieces[0]).is_err(), "swapped");
        assert!(sealer.open(0, 2, &pieces[0]).is_err(), "cut off");
        assert!(sealer.open(0, 3, &[0; 23]).is_err(), "shorter than a nonce");
        assert!(IndexSealer::new(asset, 1, &key).open(0, 3, &pieces[0]).is_err(), "other epoch");
        assert!(
            IndexSealer::new(asset, 0, &VersionKey::random()).open(0, 3, &pieces[0]).is_err(),
            "other key"
        );
    }

    proptest! {
        #[test]
        fn foreign_and_mutated_bytes_never_panic(bytes: Vec<u8>, at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let _ = Index::decode(&bytes, Profile::Fixed);
            let mut mutated = sample().encode().unwrap().to_vec();
            let length = mutated.len();
            mutated[at.index(length)] = byte;
            let _ = Index::decode(&mutated, Profile::Cdc);
            mutated.truncate(cut.index(length));
            prop_assert!(Index::decode(&mutated, Profile::Cdc).is_err());
        }

        #[test]
        fn a_length_that_promises_more_than_there_is_does_not_allocate(count in (1u64 << 32)..) {
            // A map of one entry, `files`, an array of `count` elements, and then nothing.
            let mut bytes = b"\xa1\x65files\x9b".to_vec();
            bytes.extend(count.to_be_bytes());
            prop_assert!(Index::decode(&bytes, Profile::Fixed).is_err());
        }
    }
}
