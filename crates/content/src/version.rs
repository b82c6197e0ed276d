//! A version opened with its key: listing its files, reading any range of any of them.
//!
//! Owns: verifying everything between the ledger's record and a byte of plaintext. Refuses: returning a byte that was not
//! verified (SEAL-1); writing files (that is `extract`).
//!
//! The chain of verification: the ledger's record names the manifest's CID, the content root and the commitment to the
//! version key; the content root names the sealed index; the index opens with the version key alone and lists every
//! leaf and chunk key; the tree over those leaves must be the one under the content root, and the keys those that the
//! manifest commits to. A leaf is read by its CID and opened with its key.

use std::{
    collections::VecDeque,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use zeroize::Zeroizing;

use crate::{
    block::{BlockId, Codec},
    index::{FileEntry, Index, IndexError, IndexSealer, MAX_PIECES, MAX_SEALED_BYTES},
    keys::VersionKey,
    leaf,
    limits::TAG_BYTES,
    manifest::{ContentRoot, Manifest, ManifestError, SignedManifest, VersionRecord},
    path::TreePath,
    proof::{self, ChunkProof},
    store::{BlockSource, StoreError},
    unixfs::{self, DagError, FileBuilder, Leaf},
};

/// How many opened leaves are kept for the next read: small files next to one another share them.
const LEAVES_KEPT: usize = 4;

/// Why a version cannot be opened (SEAL-1, KEY-1).
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The manifest is not the registered one.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The key is not the one of this version.
    #[error(
        "expected the key of the version with manifest {manifest}, found another: ask for this version's key"
    )]
    WrongKey {
        /// The version's manifest.
        manifest: BlockId,
    },
    /// The blocks under the content root are not as they should be.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// The index is not as it should be.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The publisher's index does not describe the publisher's content.
    #[error(
        "the index does not match the manifest's {what}: the publisher made a version that cannot be read"
    )]
    IndexMismatch {
        /// What differs.
        what: &'static str,
    },
}

/// Why a range of a file cannot be read (SEAL-1).
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such file in the version.
    #[error("expected a file of this version, found {path:?}: list the version's files")]
    NoSuchFile {
        /// The path as given.
        path: String,
    },
    /// A range beyond the file.
    #[error("expected a range within the {bytes} bytes of {path}, found {} to {}", .range.start, .range.end)]
    OutOfRange {
        /// The file.
        path: TreePath,
        /// Its length.
        bytes: u64,
        /// The range as given.
        range: Range<u64>,
    },
    /// A leaf could not be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A leaf is the registered one but the key that the publisher committed to does not open it.
    #[error(
        "chunk {position} does not open with the key that the publisher committed to: `prove_chunk` shows it to others"
    )]
    WrongChunkKey {
        /// Which chunk, from 0.
        position: usize,
    },
    /// A leaf opens, but to another length than the publisher's index says.
    #[error(
        "expected {expected} bytes in chunk {position}, found {found}: the publisher made a version that cannot be read"
    )]
    ChunkLength {
        /// Which chunk, from 0.
        position: usize,
        /// Bytes that the index says.
        expected: u32,
        /// Bytes in it.
        found: usize,
    },
}

/// A chunk's plaintext, wiped when the last reader lets go of it.
type OpenLeaf = Arc<Zeroizing<Vec<u8>>>;

/// A version whose index has been verified and opened.
pub struct OpenVersion<S> {
    source: S,
    signed: SignedManifest,
    index: Index,
    /// Where each leaf begins in the laid out content.
    starts: Vec<u64>,
    kept: Mutex<VecDeque<(usize, OpenLeaf)>>,
}

impl<S: BlockSource> OpenVersion<S> {
    /// Opens the version that the ledger has as `record` with its key.
    ///
    /// Reads the manifest, the directory and the index; no leaf. Where several threads read, they share it.
    ///
    /// # Errors
    /// When the key is another version's, or anything is missing, altered or inconsistent.
    pub fn open(source: S, record: &VersionRecord, key: &VersionKey) -> Result<Self, OpenError> {
        let signed = SignedManifest::open(&source, record)?;
        if key.commitment(record.asset) != record.key_commitment {
            return Err(OpenError::WrongKey { manifest: record.manifest });
        }
        let manifest = &signed.manifest;
        let directory = source.get(&manifest.content.block()).map_err(DagError::from)?;
        let (_, sealed_index) = unixfs::read_directory(&directory)?;
        let index = Index::decode(&read_index(&source, manifest, sealed_index.id, key)?, manifest.profile)?;
        check_index(&index, manifest, sealed_index)?;
        let starts = index
            .leaves
            .iter()
            .scan(0, |next, leaf| {
                let start = *next;
                *next += u64::from(leaf.plain_bytes);
                Some(start)
            })
            .collect();
        Ok(Self { source, signed, index, starts, kept: Mutex::default() })
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &SignedManifest {
        &self.signed
    }

    /// All files, sorted by path.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        &self.index.files
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.index.content_bytes()
    }

    /// The file at `path`.
    ///
    /// # Errors
    /// [`ReadError::NoSuchFile`].
    pub fn file(&self, path: &str) -> Result<&FileEntry, ReadError> {
        match self.index.files.binary_search_by(|file| file.path.as_str().cmp(path)) {
            Ok(at) => Ok(&self.index.files[at]),
            Err(_) => Err(ReadError::NoSuchFile { path: path.chars().take(80).collect() }),
        }
    }

    /// Reads `range` of the file at `path`; `0..file.bytes` is all of it.
    ///
    /// # Errors
    /// When there is no such file or range, or a leaf is missing or altered; then nothing is returned.
    pub fn read(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, ReadError> {
        let file = self.file(path)?;
        let mut bytes = Vec::new();
        self.pieces(file, range, |piece| {
            bytes.extend_from_slice(piece);
            Ok::<_, ReadError>(())
        })?;
        Ok(bytes)
    }

    /// The file at `path` as a stream.
    ///
    /// # Errors
    /// [`ReadError::NoSuchFile`].
    pub fn reader(&self, path: &str) -> Result<FileReader<'_, S>, ReadError> {
        Ok(FileReader { version: self, file: self.file(path)?, at: 0 })
    }

    /// The proof of one chunk's key, to be shown together with its leaf; see [`ChunkProof::judge`]. `None` when there is
    /// no such chunk. Whoever sees the proof can read this chunk, and no other.
    #[must_use]
    pub fn prove_chunk(&self, position: usize) -> Option<ChunkProof> {
        (position < self.index.leaves.len()).then(|| ChunkProof::new(&self.index.leaves, position))
    }

    /// Hands the verified bytes of `range` to `take`, piece by piece, in order.
    pub(crate) fn pieces<E: From<ReadError>>(
        &self,
        file: &FileEntry,
        range: Range<u64>,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if range.start > range.end || range.end > file.bytes {
            return Err(ReadError::OutOfRange { path: file.path.clone(), bytes: file.bytes, range }.into());
        }
        let (mut at, end) = (file.offset + range.start, file.offset + range.end);
        // The last leaf that begins at or before `at`; empty leaves hold nothing to read.
        let mut position = self.starts.partition_point(|&start| start <= at).saturating_sub(1);
        while at < end {
            let leaf = self.leaf(position)?;
            let from = (at - self.starts[position]) as usize;
            let to = leaf.len().min((end - self.starts[position]) as usize);
            take(&leaf[from..to])?;
            at = self.starts[position] + to as u64;
            position += 1;
        }
        Ok(())
    }

    fn leaf(&self, position: usize) -> Result<OpenLeaf, ReadError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, leaf)) = kept().iter().find(|(at, _)| *at == position) {
            return Ok(Arc::clone(leaf));
        }
        let entry = &self.index.leaves[position];
        let mut bytes = self.source.get(&BlockId::new(Codec::Raw, entry.digest))?.into_bytes();
        let manifest = &self.signed.manifest;
        leaf::open(manifest.asset, manifest.epoch, &entry.key, &mut bytes)
            .map_err(|_| ReadError::WrongChunkKey { position })?;
        let leaf = Arc::new(Zeroizing::new(bytes));
        if leaf.len() != entry.plain_bytes as usize {
            return Err(ReadError::ChunkLength { position, expected: entry.plain_bytes, found: leaf.len() });
        }
        let mut kept = kept();
        if kept.len() == LEAVES_KEPT {
            kept.pop_front();
        }
        kept.push_back((position, Arc::clone(&leaf)));
        Ok(leaf)
    }
}

/// The encoded index, opened with the version key.
fn read_index(
    source: &dyn BlockSource,
    manifest: &Manifest,
    root: BlockId,
    key: &VersionKey,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let pieces = unixfs::leaves(source, root, manifest.index_bytes, MAX_PIECES)?;
    let sealer = IndexSealer::new(manifest.asset, manifest.epoch, key);
    // Room for all of it at once: a buffer that grew would leave copies of chunk keys behind. The pieces come to as many
    // bytes as the manifest says, which says no more than an index may have.
    let mut encoded = Zeroizing::new(Vec::with_capacity(manifest.index_bytes.min(MAX_SEALED_BYTES) as usize));
    for (piece, number) in pieces.iter().zip(0..) {
        let sealed = source.get(&piece.id).map_err(DagError::from)?;
        if sealed.bytes().len() as u64 != piece.bytes {
            let found = sealed.bytes().len() as u64;
            return Err(
                DagError::WrongSize { id: piece.id, what: "bytes", expected: piece.bytes, found }.into()
            );
        }
        let opened = sealer.open(number, pieces.len() as u64, sealed.bytes())?;
        encoded.extend_from_slice(&opened);
    }
    Ok(encoded)
}

/// The leaves that the index lists must be those under the content root, and its keys those of the manifest.
fn check_index(index: &Index, manifest: &Manifest, sealed_index: unixfs::Subtree) -> Result<(), OpenError> {
    let mismatch = |what| Err(OpenError::IndexMismatch { what });
    if index.leaves.len() as u64 != manifest.leaves {
        return mismatch("number of leaves");
    }
    if proof::chunk_keys_root(&index.leaves) != manifest.chunk_keys {
        return mismatch("commitment to the chunk keys");
    }
    let mut builder = FileBuilder::default();
    let mut ignore = |_| Ok::<_, std::convert::Infallible>(());
    for leaf in &index.leaves {
        let id = BlockId::new(Codec::Raw, leaf.digest);
        let bytes = u64::from(leaf.plain_bytes) + TAG_BYTES as u64;
        let Ok(()) = builder.push(Leaf { id, bytes }, &mut ignore);
    }
    let Ok(root) = builder.finish(&mut ignore);
    let data = root.expect("an index has at least one leaf");
    if data.file_bytes != manifest.data_bytes {
        return mismatch("bytes of sealed data");
    }
    if ContentRoot::from(unixfs::directory(data, sealed_index).id()) != manifest.content {
        return mismatch("content root");
    }
    Ok(())
}

/// One file of a version as a stream that can seek.
pub struct FileReader<'a, S> {
    version: &'a OpenVersion<S>,
    file: &'a FileEntry,
    at: u64,
}

impl<S: BlockSource> Read for FileReader<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.file.bytes.min(self.at.saturating_add(buffer.len() as u64));
        if self.at >= end {
            return Ok(0);
        }
        let mut filled = 0;
        let read = self.version.pieces(self.file, self.at..end, |piece| {
            buffer[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
            Ok::<_, ReadError>(())
        });
        self.at += filled as u64;
        match read {
            // What came before the fault was verified; the fault shows at the next read.
            Err(error) if filled == 0 => Err(io::Error::other(error)),
            _ => Ok(filled),
        }
    }
}

impl<S: BlockSource> Seek for FileReader<'_, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the file's begin"))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Signature;
    use k256::ecdsa::SigningKey;
    use residual_primitives::{Address, B256};

    use super::*;
    use crate::{
        Block, BlockStore, ContentKey, DirectoryStore, ManifestSigner, Profile, SigningError,
        index::LeafEntry, leaf::LeafSealer,
    };

    struct Publisher(SigningKey);

    impl ManifestSigner for Publisher {
        fn publisher(&self) -> Address {
            Address::from_private_key(&self.0)
        }

        fn sign(&self, digest: B256) -> Result<[u8; 65], SigningError> {
            let (signature, parity) = self.0.sign_prehash_recoverable(digest.as_slice()).unwrap();
            Ok(Signature::from((signature, parity)).as_bytes())
        }
    }

    /// Publishes one file of 1,000 bytes as a hostile publisher can: a real leaf of `held` bytes whose length index and
    /// tree give as 1,000, under `key`, or the leaf's own.
    fn hostile(
        store: &DirectoryStore,
        held: usize,
        key: Option<crate::ChunkKey>,
    ) -> (VersionRecord, VersionKey) {
        let asset = "1".parse().unwrap();
        let version_key = VersionKey::random();
        let mut bytes = vec![7; held];
        let own = LeafSealer::new(asset, 0, &ContentKey::random()).seal(&mut bytes);
        let leaf = Block::new(Codec::Raw, bytes);
        store.put(&leaf).unwrap();
        let entry = LeafEntry { digest: *leaf.id().digest(), plain_bytes: 1000, key: key.unwrap_or(own) };
        let file = FileEntry { path: "a".parse().unwrap(), offset: 0, bytes: 1000 };
        let index = Index { files: vec![file], leaves: vec![entry] };
        let sealed = IndexSealer::new(asset, 0, &version_key).seal(&index.encode().unwrap()).next().unwrap();
        let sealed = Block::new(Codec::Raw, sealed);
        store.put(&sealed).unwrap();
        let index_bytes = sealed.bytes().len() as u64;
        let subtree = |id, bytes| unixfs::Subtree::from(Leaf { id, bytes });
        let directory = unixfs::directory(subtree(leaf.id(), 1016), subtree(sealed.id(), index_bytes));
        store.put(&directory).unwrap();
        let manifest = Manifest {
            asset,
            epoch: 0,
            profile: Profile::Cdc,
            content: directory.id().into(),
            leaves: 1,
            data_bytes: 1016,
            index_bytes,
            chunk_keys: proof::chunk_keys_root(&index.leaves),
            key_commitment: version_key.commitment(asset),
            about: std::collections::BTreeMap::new(),
        };
        let signed = manifest.sign(&Publisher(SigningKey::from_slice(&[5; 32]).unwrap())).unwrap();
        store.put(&signed.block()).unwrap();
        (signed.record(), version_key)
    }

    /// A buffer that grows leaves what it held in freed memory, and an index holds the chunk keys.
    #[test]
    fn an_index_of_many_pieces_is_put_together_where_it_stays() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(directory.path()).unwrap();
        let (record, key) = hostile(&store, 1000, None);
        let mut manifest = SignedManifest::open(&store, &record).unwrap().manifest;
        let plain: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
        let mut put = |block: Block| store.put(&block).map(drop);
        let mut builder = FileBuilder::default();
        for sealed in IndexSealer::new(manifest.asset, manifest.epoch, &key).seal(&plain) {
            let piece = Block::new(Codec::Raw, sealed);
            put(piece.clone()).unwrap();
            let leaf = Leaf { id: piece.id(), bytes: piece.bytes().len() as u64 };
            builder.push(leaf, &mut put).unwrap();
        }
        let root = builder.finish(&mut put).unwrap().unwrap();
        manifest.index_bytes = root.file_bytes;
        let encoded = read_index(&store, &manifest, root.id, &key).unwrap();
        assert_eq!(*encoded, plain);
        assert_eq!(encoded.capacity() as u64, manifest.index_bytes);
    }

    #[test]
    fn a_publisher_that_lies_about_a_chunk_is_refused_and_a_wrong_key_is_proven() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(directory.path()).unwrap();
        for held in [0, 10, 999, 1001] {
            let (record, key) = hostile(&store, held, None);
            let version = OpenVersion::open(&store, &record, &key).unwrap();
            for range in [0..1000, 500..501, 999..1000] {
                let refused = version.read("a", range);
                assert!(matches!(refused, Err(ReadError::ChunkLength { found, .. }) if found == held));
            }
        }
        let (record, key) = hostile(&store, 1000, None);
        let version = OpenVersion::open(&store, &record, &key).unwrap();
        assert_eq!(version.read("a", 0..1000).unwrap(), [7; 1000]);

        let (record, key) = hostile(&store, 1000, Some(crate::ChunkKey::from_bytes([9; 32])));
        let version = OpenVersion::open(&store, &record, &key).unwrap();
        assert!(matches!(version.read("a", 0..1), Err(ReadError::WrongChunkKey { position: 0 })));
        let proof = version.prove_chunk(0).unwrap();
        let verdict = proof.judge(&version.manifest().manifest, store.get(&proof.leaf).unwrap()).unwrap();
        assert_eq!(verdict, crate::Verdict::KeyIsWrong);
    }
}
