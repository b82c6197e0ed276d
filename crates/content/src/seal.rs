//! Publishing: files to sealed blocks to a signed manifest (protocol, "Sealed content").
//!
//! Owns: the order of work. Refuses: choosing keys (that is `keyring`), registering on a ledger. Sealing again the same
//! files with the same keys gives the same blocks, so an interrupted publication is resumed by repeating it: what the
//! store has is not written again.

use std::{collections::BTreeMap, num::NonZeroUsize, thread};

use residual_primitives::{AssetId, B256};

use crate::{
    block::{Block, BlockId, Codec},
    cut::{Cutter, Profile},
    index::{Index, IndexError, IndexSealer, LeafEntry},
    keys::{ContentKey, KeyCommitment, VersionKey},
    leaf::LeafSealer,
    limits::{CHUNK_BYTES, LEAF_BYTES, MAX_LEAVES},
    manifest::{ContentRoot, Manifest, ManifestSigner, SignError, SignedManifest, VersionRecord},
    proof,
    store::{BlockStore, Put, StoreError},
    tree::{Tree, TreeError},
    unixfs::{self, FileBuilder, Leaf},
};

/// Chunks that one thread seals before the next are handed out.
const CHUNKS_PER_TURN: usize = 4;

/// Why a tree could not be sealed. The blocks written so far stay and are used again when it is repeated.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A file could not be taken in.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A block could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index would be larger than readers accept.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The content is larger than a version may be.
    #[error("expected content of at most {MAX_LEAVES} chunks, found more: publish it as several assets")]
    TooLarge,
}

/// Why sealed content could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The manifest was not signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A block could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How far a long work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Hears how far a long work is, now and then, from the thread that started it.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress);

/// With which keys and how content is sealed.
#[derive(Debug, Clone, Copy)]
pub struct Sealing<'a> {
    /// The asset.
    pub asset: AssetId,
    /// The key epoch that `content_key` belongs to.
    pub epoch: u32,
    /// K of this asset and epoch, and of no other.
    pub content_key: &'a ContentKey,
    /// K_v of this version, and of no other.
    pub version_key: &'a VersionKey,
    /// How to cut.
    pub profile: Profile,
    /// How many threads seal; with one, the caller's own does all the work.
    pub threads: NonZeroUsize,
}

/// What sealing did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SealStats {
    /// Files taken in.
    pub files: u64,
    /// Bytes of the files.
    pub content_bytes: u64,
    /// Blocks written, nodes and index included.
    pub blocks_stored: u64,
    /// Blocks that the store had already.
    pub blocks_present: u64,
}

/// Content whose blocks are in the store, without a manifest yet.
#[derive(Debug, Clone)]
pub struct SealedContent {
    asset: AssetId,
    epoch: u32,
    profile: Profile,
    content: ContentRoot,
    leaves: u64,
    data_bytes: u64,
    index_bytes: u64,
    chunk_keys: B256,
    key_commitment: KeyCommitment,
    /// What it took.
    pub stats: SealStats,
}

/// A version that is ready to be registered.
#[derive(Debug, Clone)]
pub struct Published {
    /// What the ledger is to hold.
    pub record: VersionRecord,
    /// The signed manifest.
    pub manifest: SignedManifest,
    /// What sealing took.
    pub stats: SealStats,
}

/// Seals all files of `tree` into `store`.
///
/// # Errors
/// When a file cannot be read or changes, the store refuses a block, or the content is too large.
pub fn seal(
    store: &dyn BlockStore,
    tree: &Tree,
    how: &Sealing<'_>,
    progress: OnProgress<'_>,
) -> Result<SealedContent, SealError> {
    let files = tree.entries();
    let mut kept = Kept { store, stats: SealStats { files: files.len() as u64, ..SealStats::default() } };
    let (data, leaves) = seal_data(&mut kept, tree, how, progress)?;
    let chunk_keys = proof::chunk_keys_root(&leaves);
    let leaf_count = leaves.len() as u64;
    let index = Index { files, leaves };
    kept.stats.content_bytes = index.content_bytes();
    let sealed_index = seal_index(&mut kept, &index, how)?;
    let directory = unixfs::directory(data, sealed_index);
    let content = ContentRoot::from(directory.id());
    kept.put(&directory)?;
    Ok(SealedContent {
        asset: how.asset,
        epoch: how.epoch,
        profile: how.profile,
        content,
        leaves: leaf_count,
        data_bytes: data.file_bytes,
        index_bytes: sealed_index.file_bytes,
        chunk_keys,
        key_commitment: how.version_key.commitment(how.asset),
        stats: kept.stats,
    })
}

/// A store that counts.
struct Kept<'a> {
    store: &'a dyn BlockStore,
    stats: SealStats,
}

impl Kept<'_> {
    fn put(&mut self, block: &Block) -> Result<(), StoreError> {
        let put = self.store.put(block)?;
        self.count(put);
        Ok(())
    }

    fn count(&mut self, put: Put) {
        match put {
            Put::Stored => self.stats.blocks_stored += 1,
            Put::Present => self.stats.blocks_present += 1,
        }
    }
}

/// A chunk on its way: plaintext before its turn, ciphertext after, then its buffer serves the next.
#[derive(Default)]
struct Work {
    bytes: Vec<u8>,
    sealed: Option<(LeafEntry, Put)>,
}

impl Work {
    fn seal(&mut self, store: &dyn BlockStore, sealer: &LeafSealer) -> Result<(), StoreError> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let plain_bytes = bytes.len() as u32;
        let key = sealer.seal(&mut bytes);
        let block = Block::new(Codec::Raw, bytes);
        let put = store.put(&block)?;
        self.sealed = Some((LeafEntry { digest: *block.id().digest(), plain_bytes, key }, put));
        self.bytes = block.into_bytes();
        Ok(())
    }
}

fn seal_data(
    kept: &mut Kept<'_>,
    tree: &Tree,
    how: &Sealing<'_>,
    progress: OnProgress<'_>,
) -> Result<(unixfs::Subtree, Vec<LeafEntry>), SealError> {
    let store = kept.store;
    let sealer = LeafSealer::new(how.asset, how.epoch, how.content_key);
    let mut cutter = Cutter::new(tree.reader(), how.profile);
    let mut fill = |turn: &mut Vec<Work>, room: usize| {
        for at in 0..room {
            if at == turn.len() {
                turn.push(Work { bytes: Vec::with_capacity(LEAF_BYTES), sealed: None });
            }
            if !cutter.next(&mut turn[at].bytes)? {
                turn.truncate(at);
                break;
            }
        }
        Ok::<_, TreeError>(())
    };
    let mut builder = FileBuilder::default();
    let mut leaves = Vec::new();
    let total = tree.bytes();
    let mut done = 0;
    // One turn is sealed by the threads while this one reads the next.
    let threads = how.threads.get();
    let room = if threads == 1 { 1 } else { threads * CHUNKS_PER_TURN };
    let (mut turn, mut next) = (Vec::new(), Vec::new());
    fill(&mut turn, room)?;
    while !turn.is_empty() {
        if threads == 1 {
            turn.iter_mut().try_for_each(|work| work.seal(store, &sealer))?;
        } else {
            let share = turn.len().div_ceil(threads);
            thread::scope(|scope| {
                let sealing: Vec<_> = turn
                    .chunks_mut(share)
                    .map(|works| {
                        scope.spawn(|| works.iter_mut().try_for_each(|work| work.seal(store, &sealer)))
                    })
                    .collect();
                let filled = fill(&mut next, room);
                for thread in sealing {
                    thread.join().expect("sealing does not panic")?;
                }
                filled.map_err(SealError::from)
            })?;
        }
        for work in &mut turn {
            let (leaf, put) = work.sealed.take().expect("every chunk of the turn was sealed");
            kept.count(put);
            if leaves.len() as u64 == MAX_LEAVES {
                return Err(SealError::TooLarge);
            }
            done = total.min(done + u64::from(leaf.plain_bytes));
            let bytes = work.bytes.len() as u64;
            let id = BlockId::new(Codec::Raw, leaf.digest);
            builder.push(Leaf { id, bytes }, &mut |node| kept.put(&node))?;
            leaves.push(leaf);
        }
        progress(Progress { done, total });
        if threads == 1 {
            fill(&mut turn, room)?;
        } else {
            std::mem::swap(&mut turn, &mut next);
        }
    }
    let root = builder.finish(&mut |node| kept.put(&node))?.expect("even empty content has one leaf");
    Ok((root, leaves))
}

fn seal_index(kept: &mut Kept<'_>, index: &Index, how: &Sealing<'_>) -> Result<unixfs::Subtree, SealError> {
    let encoded = index.encode()?;
    let sealer = IndexSealer::new(how.asset, how.epoch, how.version_key);
    let mut builder = FileBuilder::default();
    for piece in sealer.seal(&encoded) {
        let block = Block::new(Codec::Raw, piece);
        kept.put(&block)?;
        let leaf = Leaf { id: block.id(), bytes: block.bytes().len() as u64 };
        builder.push(leaf, &mut |node| kept.put(&node))?;
    }
    Ok(builder.finish(&mut |node| kept.put(&node))?.expect("an index is never empty"))
}

impl SealedContent {
    /// The content root that the ledger is to hold.
    #[must_use]
    pub fn content_root(&self) -> ContentRoot {
        self.content
    }

    /// Describes the content in a manifest, has the publisher sign it, and returns when all blocks survive a power cut.
    ///
    /// # Errors
    /// When `about` is too long, the signer declines, or the store fails.
    pub fn publish(
        self,
        store: &dyn BlockStore,
        about: BTreeMap<String, String>,
        signer: &dyn ManifestSigner,
    ) -> Result<Published, PublishError> {
        let manifest = Manifest {
            asset: self.asset,
            epoch: self.epoch,
            profile: self.profile,
            content: self.content,
            leaves: self.leaves,
            data_bytes: self.data_bytes,
            index_bytes: self.index_bytes,
            chunk_keys: self.chunk_keys,
            key_commitment: self.key_commitment,
            about,
        };
        let manifest = manifest.sign(signer)?;
        let mut kept = Kept { store, stats: self.stats };
        kept.put(&manifest.block())?;
        store.sync()?;
        Ok(Published { record: manifest.record(), manifest, stats: kept.stats })
    }
}

const _: () = assert!(CHUNK_BYTES < u32::MAX as usize, "a chunk's length fits the index");
