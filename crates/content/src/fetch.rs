//! Bringing all blocks of a version from one place to another, without its key.
//!
//! Owns: walking what the manifest binds, several requests in flight, and fetching no verified block twice (SEAL-2).
//! Refuses: blocks that the manifest does not lead to, and more of them than it says.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use crate::{
    block::{Block, BlockId},
    index::MAX_PIECES,
    manifest::{ManifestError, SignedManifest, VersionRecord},
    seal::{OnProgress, Progress},
    store::{BlockSource, BlockStore, Origin, ReadThrough, StoreError},
    unixfs::{self, DagError, Leaf},
};

/// Why a version was not fetched, or not all of it; the blocks fetched so far stay and are not fetched again.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The manifest is not the registered one.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The blocks under the content root are not as they should be.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// A block could not be had or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What becomes of blocks that are there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Present {
    /// Their presence is enough: stores keep only whole, verified blocks.
    #[default]
    Trust,
    /// They are read and hashed, and fetched again when damaged since.
    Verify,
}

/// What fetching did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Blocks that came from the remote place.
    pub blocks_fetched: u64,
    /// Blocks that were there already.
    pub blocks_present: u64,
}

/// Brings the registered version's manifest, directory, nodes, index and leaves from `remote` to `local`, asking for at
/// most `in_flight` leaves at a time. A gateway pins with it, a buyer downloads with it; neither needs a key to do so.
///
/// Fetching again after an interruption asks only for what is not there.
///
/// # Errors
/// When a block is missing, altered or beyond what the manifest allows, or `local` cannot keep it.
pub fn fetch(
    remote: &dyn BlockSource,
    local: &dyn BlockStore,
    record: &VersionRecord,
    present: Present,
    in_flight: NonZeroUsize,
    progress: OnProgress<'_>,
) -> Result<Fetched, FetchError> {
    let transfer =
        Transfer { places: ReadThrough::new(local, remote), local, present, fetched: Mutex::default() };
    let manifest = SignedManifest::open(&transfer, record)?.manifest;
    let directory = transfer.get(&manifest.content.block())?;
    let (data, index) = unixfs::read_directory(&directory)?;
    let mut leaves = unixfs::leaves(&transfer, index.id, manifest.index_bytes, MAX_PIECES)?;
    let data_leaves = unixfs::leaves(&transfer, data.id, manifest.data_bytes, manifest.leaves)?;
    if data_leaves.len() as u64 != manifest.leaves {
        let (expected, found) = (manifest.leaves, data_leaves.len() as u64);
        return Err(DagError::WrongSize { id: data.id, what: "leaves", expected, found }.into());
    }
    leaves.extend(data_leaves);
    transfer.bring_all(&leaves, in_flight, progress)?;
    local.sync()?;
    Ok(transfer.fetched.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Transfer<'a> {
    places: ReadThrough<&'a dyn BlockStore, &'a dyn BlockSource>,
    local: &'a dyn BlockStore,
    present: Present,
    fetched: Mutex<Fetched>,
}

impl Transfer<'_> {
    fn count(&self, count: impl FnOnce(&mut Fetched)) {
        count(&mut self.fetched.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn bring_all(
        &self,
        leaves: &[Leaf],
        in_flight: NonZeroUsize,
        progress: OnProgress<'_>,
    ) -> Result<(), FetchError> {
        let total = leaves.iter().map(|leaf| leaf.bytes).sum();
        let next = AtomicUsize::new(0);
        let (brought, arrivals) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..in_flight.get().min(leaves.len()) {
                let brought = brought.clone();
                let next = &next;
                scope.spawn(move || {
                    while let Some(leaf) = leaves.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = self.bring(leaf).map(|()| leaf.bytes);
                        // Nobody listens any more after a failure.
                        if brought.send(outcome).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(brought);
            let mut done = 0;
            for outcome in arrivals {
                done += outcome?;
                progress(Progress { done, total });
            }
            Ok(())
        })
    }

    fn bring(&self, leaf: &Leaf) -> Result<(), FetchError> {
        if self.present == Present::Trust && self.local.has(&leaf.id)? {
            self.count(|fetched| fetched.blocks_present += 1);
            return Ok(());
        }
        let found = self.get(&leaf.id)?.bytes().len() as u64;
        if found == leaf.bytes {
            Ok(())
        } else {
            Err(DagError::WrongSize { id: leaf.id, what: "bytes", expected: leaf.bytes, found }.into())
        }
    }
}

impl BlockSource for Transfer<'_> {
    fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
        let (block, origin) = self.places.bring(id)?;
        self.count(|fetched| match origin {
            Origin::Local => fetched.blocks_present += 1,
            Origin::Remote => fetched.blocks_fetched += 1,
        });
        Ok(block)
    }

    fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
        self.local.has(id)
    }
}
