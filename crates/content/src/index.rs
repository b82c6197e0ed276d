//! The index of a version: which files it has, which leaves hold them, and the key of each chunk.
//!
//! Files are laid end to end, sorted by path, and the whole is cut into chunks; so a thousand small files cost no more
//! than one large one, and a leaf tells nothing about where a file begins. The index is DAG-CBOR, sealed in pieces under
//! the version key.
//!
//! Owns: the index's form, its limits, and its sealing. Refuses: an index in which anything overlaps, is missing, is out
//! of order or could be written outside a directory.

use std::{cell::Cell, collections::HashSet, fmt};

use residual_primitives::AssetId;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_bytes::{ByteArray, Bytes};
use serde_ipld_dagcbor::de::Deserializer as DagCbor;
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

/// The least bytes that a file takes in an encoded index: a list of a path of one byte and two small numbers.
const MIN_FILE_BYTES: usize = 1 + 2 + 1 + 1;

/// The most bytes that a file takes besides its path.
const MAX_FILE_BYTES: usize = 1 + 3 + 9 + 9;

/// The least bytes that a leaf takes in an encoded index: a list of its digest, a small number and its key.
const MIN_LEAF_BYTES: usize = 1 + 34 + 1 + 34;

/// The most bytes that a leaf takes.
const MAX_LEAF_BYTES: usize = 1 + 34 + 5 + 34;

/// The most bytes that an encoded index takes besides files and leaves: the names of its fields, and its format.
const MAX_FRAME_BYTES: usize = 64;

/// The most characters of a reason that quotes a malformed index.
const REASON_CHARS: usize = 200;

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

/// How an index is written; [`Decoder`] reads it.
#[derive(Serialize)]
struct WireIndex<'a> {
    format: &'a str,
    files: Vec<(&'a TreePath, u64, u64)>,
    leaves: Vec<(&'a Bytes, u32, &'a ChunkKey)>,
}

impl Index {
    /// Bytes of all files together.
    pub(crate) fn content_bytes(&self) -> u64 {
        self.files.last().map_or(0, |last| last.offset + last.bytes)
    }

    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, IndexError> {
        let wire = WireIndex {
            format: FORMAT,
            files: self.files.iter().map(|file| (&file.path, file.offset, file.bytes)).collect(),
            leaves: self
                .leaves
                .iter()
                .map(|leaf| (Bytes::new(&leaf.digest), leaf.plain_bytes, &leaf.key))
                .collect(),
        };
        // Room for all of it at once: a buffer that grew would leave copies of chunk keys behind.
        let room = self.encoded_bytes_at_most().min(MAX_INDEX_BYTES);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        serde_ipld_dagcbor::to_writer(&mut *bytes, &wire).expect("an index is made of what DAG-CBOR can say");
        if bytes.len() > MAX_INDEX_BYTES {
            return Err(IndexError::TooLarge {
                what: "bytes",
                limit: MAX_INDEX_BYTES as u64,
                found: bytes.len() as u64,
            });
        }
        Ok(bytes)
    }

    fn encoded_bytes_at_most(&self) -> usize {
        let paths: usize = self.files.iter().map(|file| file.path.as_str().len()).sum();
        MAX_FRAME_BYTES + paths + self.files.len() * MAX_FILE_BYTES + self.leaves.len() * MAX_LEAF_BYTES
    }

    pub(crate) fn decode(bytes: &[u8], profile: Profile) -> Result<Self, IndexError> {
        if bytes.len() > MAX_INDEX_BYTES {
            return Err(IndexError::TooLarge {
                what: "bytes",
                limit: MAX_INDEX_BYTES as u64,
                found: bytes.len() as u64,
            });
        }
        let too_large = Cell::new(None);
        let mut source = DagCbor::from_slice(bytes);
        let read = Decoder { bytes: bytes.len(), too_large: &too_large }.deserialize(&mut source);
        let index = read.and_then(|index| source.end().map(|()| index)).map_err(|error| {
            // What the decoder says quotes what it found, however long that is.
            let reason = || error.to_string().chars().take(REASON_CHARS).collect();
            too_large.take().unwrap_or_else(|| IndexError::Malformed { reason: reason() })
        })?;
        index.check(profile)?;
        Ok(index)
    }

    fn check(&self, profile: Profile) -> Result<(), IndexError> {
        let inconsistent = |reason| Err(IndexError::Inconsistent { reason });
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
                full && self.leaves.len() as u64 == end.div_ceil(CHUNK_BYTES as u64).max(1)
            }
            Profile::Cdc => {
                held == end && (self.leaves.len() == 1 || self.leaves.iter().all(|leaf| leaf.plain_bytes > 0))
            }
        };
        if fits { Ok(()) } else { inconsistent("its leaves do not hold exactly its files") }
    }
}

/// Reads an index, and nothing of a list that is longer than an index may have.
#[derive(Clone, Copy)]
struct Decoder<'a> {
    /// Length of the whole encoding.
    bytes: usize,
    /// Where it is left which limit was passed: the errors of a deserializer have no place for that.
    too_large: &'a Cell<Option<IndexError>>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Format,
    Files,
    Leaves,
}

impl<'de> DeserializeSeed<'de> for Decoder<'_> {
    type Value = Index;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Index, D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Decoder<'_> {
    type Value = Index;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Index, A::Error> {
        let (mut format, mut files, mut leaves) = (None, None, None);
        // No key comes twice: DAG-CBOR has them in order.
        while let Some(field) = map.next_key()? {
            match field {
                Field::Format => format = Some(map.next_value::<&str>()?),
                Field::Files => {
                    let entry = |(path, offset, bytes)| FileEntry { path, offset, bytes };
                    files =
                        Some(map.next_value_seed(self.list("files", MAX_FILES, MIN_FILE_BYTES, entry))?);
                }
                Field::Leaves => {
                    let entry = |(digest, plain_bytes, key): (ByteArray<32>, _, _)| LeafEntry {
                        digest: digest.into_array(),
                        plain_bytes,
                        key,
                    };
                    let limit = MAX_LEAVES as usize;
                    leaves = Some(map.next_value_seed(self.list("leaves", limit, MIN_LEAF_BYTES, entry))?);
                }
            }
        }
        if format.ok_or_else(|| A::Error::missing_field("format"))? != FORMAT {
            return Err(A::Error::custom(format_args!("its format is not {FORMAT}")));
        }
        Ok(Index {
            files: files.ok_or_else(|| A::Error::missing_field("files"))?,
            leaves: leaves.ok_or_else(|| A::Error::missing_field("leaves"))?,
        })
    }
}

impl<'a> Decoder<'a> {
    fn list<W, T>(
        self,
        what: &'static str,
        limit: usize,
        entry_bytes: usize,
        entry: fn(W) -> T,
    ) -> ListDecoder<'a, W, T> {
        ListDecoder { what, limit, room: self.bytes / entry_bytes, entry, too_large: self.too_large }
    }
}

/// Reads a list of at most `limit` entries; a longer one is refused before any of it is read.
struct ListDecoder<'a, W, T> {
    what: &'static str,
    limit: usize,
    /// How many entries there can be in the bytes that there are, whatever the list says.
    room: usize,
    /// Takes an entry as it is written.
    entry: fn(W) -> T,
    too_large: &'a Cell<Option<IndexError>>,
}

impl<'de, W: Deserialize<'de>, T> DeserializeSeed<'de> for ListDecoder<'_, W, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Vec<T>, D::Error> {
        source.deserialize_seq(self)
    }
}

impl<'de, W: Deserialize<'de>, T> Visitor<'de> for ListDecoder<'_, W, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} {}", self.limit, self.what)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let refuse = |found: usize| {
            let (limit, found) = (self.limit as u64, found as u64);
            self.too_large.set(Some(IndexError::TooLarge { what: self.what, limit, found }));
            A::Error::custom("it is too large")
        };
        let promised = list.size_hint().unwrap_or_default();
        if promised > self.limit {
            return Err(refuse(promised));
        }
        // Room for all of it at once: a list that grew would leave copies of chunk keys behind.
        let mut entries = Vec::with_capacity(promised.min(self.room));
        while let Some(entry) = list.next_element()? {
            if entries.len() == self.limit {
                return Err(refuse(self.limit + 1));
            }
            entries.push((self.entry)(entry));
        }
        Ok(entries)
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
            // Room for all of it at once, as above.
            let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
            sealed.extend_from_slice(plain);
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

    /// A map of one field, an array that promises `count` entries, and `rest`.
    fn promising(field: &str, count: u32, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xa1, 0x60 | field.len() as u8];
        bytes.extend(field.as_bytes());
        bytes.push(0x9a);
        bytes.extend(count.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    /// No entry of a list that is too long is even looked at: here there is none.
    #[test]
    fn seal_1_a_list_that_is_too_long_is_refused_before_its_entries_are_read() {
        for (field, limit) in [("files", MAX_FILES as u64), ("leaves", MAX_LEAVES)] {
            let over = u32::try_from(limit + 1).unwrap();
            let refused = Index::decode(&promising(field, over, b""), Profile::Fixed).unwrap_err();
            assert_eq!(refused, IndexError::TooLarge { what: field, limit, found: limit + 1 });
            let refused = Index::decode(&promising(field, over - 1, b""), Profile::Fixed).unwrap_err();
            assert!(matches!(refused, IndexError::Malformed { .. }), "{refused}");
        }
    }

    /// A list that does not say how long it is, as DAG-CBOR has none, and goes on after its limit.
    #[test]
    fn a_list_ends_at_its_limit_whatever_it_promised() {
        let read = Cell::new(0);
        let entries = (0u32..).inspect(|_| read.set(read.get() + 1)).take_while(|_| true);
        let too_large = Cell::new(None);
        let list = ListDecoder { what: "files", limit: 3, room: 9, entry: |n: u32| n, too_large: &too_large };
        let source = serde::de::value::SeqDeserializer::<_, serde::de::value::Error>::new(entries);
        assert!(list.deserialize(source).is_err());
        assert_eq!(too_large.take(), Some(IndexError::TooLarge { what: "files", limit: 3, found: 4 }));
        assert_eq!(read.get(), 4);
    }

    #[test]
    fn room_for_an_encoding_is_enough_and_its_buffer_never_grows() {
        let longest = FileEntry {
            path: vec!["p".repeat(250); 4].join("/").parse().unwrap(),
            offset: u64::MAX,
            bytes: u64::MAX,
        };
        let leaf = LeafEntry { digest: [0; 32], plain_bytes: u32::MAX, key: ChunkKey::from_bytes([0; 32]) };
        for (files, leaves) in [(0, 0), (1, 1), (300, 5), (5, 300), (70_000, 70_000)] {
            let index = Index { files: vec![longest.clone(); files], leaves: vec![leaf.clone(); leaves] };
            let encoded = index.encode().unwrap();
            assert!(encoded.len() <= index.encoded_bytes_at_most(), "{files} files, {leaves} leaves");
            assert_eq!(encoded.capacity(), index.encoded_bytes_at_most());
        }
    }

    #[test]
    fn an_index_without_a_field_with_another_or_with_something_after_it_is_refused() {
        let good = sample().encode().unwrap();
        let other_format = String::from_utf8_lossy(&good).find(FORMAT).unwrap();
        let mut renamed = good.to_vec();
        renamed[other_format] ^= 1;
        let mut long_name = b"\xa1\x79\xff\xff".to_vec();
        long_name.extend([b'x'; 0xffff]);
        for bad in [
            [&good[..], b"\0"].concat(),
            renamed,
            long_name,
            b"\xa0".to_vec(),
            b"\xa1\x65files\x80".to_vec(),
            b"\xa2\x65files\x80\x65files\x80".to_vec(),
            b"\xa1\x65other\x80".to_vec(),
            b"\x80".to_vec(),
        ] {
            let refused = Index::decode(&bad, Profile::Cdc).unwrap_err();
            assert!(matches!(refused, IndexError::Malformed { .. }), "{refused:?}");
            assert!(refused.to_string().len() < 300, "it is not quoted in full");
        }
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
