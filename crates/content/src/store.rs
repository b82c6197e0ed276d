//! Where blocks are kept.
//!
//! Owns: the two traits that every place of blocks implements, and [`ReadThrough`], which puts a local store before
//! a remote place. Refuses: what a block means.
//!
//! The traits are blocking. Sealing and opening are work for a processor, callers that live in an async runtime run
//! them on its blocking threads, and a networked place (object store, IPFS gateway, peer) waits on its own runtime
//! inside `get`; `fetch` keeps as many requests in flight as it is told to by as many threads. In exchange neither
//! the traits nor this crate name a runtime.

mod directory;

use std::{io, path::PathBuf};

pub use directory::DirectoryStore;

use crate::block::{Block, BlockError, BlockId};

/// Why a place of blocks could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The place does not hold the block.
    #[error("the block {id} is not in {place}: fetch it from another place")]
    Missing {
        /// The block asked for.
        id: BlockId,
        /// The place, as a person names it.
        place: String,
    },
    /// The place answered with other bytes (SEAL-1).
    #[error("{place} holds a damaged block: remove it and fetch it again")]
    Corrupt {
        /// The place, as a person names it.
        place: String,
        /// What was expected and found.
        #[source]
        source: BlockError,
    },
    /// No room for another block.
    #[error("no space left in {place} for a block of {needed} bytes: make room and repeat")]
    Full {
        /// The place, as a person names it.
        place: PathBuf,
        /// Bytes that did not fit.
        needed: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Any other refusal of the file system.
    #[error("cannot {action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A place beyond this machine did not answer as it should.
    #[error("{place} did not deliver the block {id}: try again, or another place")]
    Remote {
        /// The block asked for.
        id: BlockId,
        /// The place, as a person names it.
        place: String,
        /// What the transport said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What became of a block that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was written.
    Stored,
    /// It was there already.
    Present,
}

/// A place that blocks come from.
pub trait BlockSource: Send + Sync {
    /// The block `id`, verified: a [`Block`] cannot be made of other bytes.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the place does not have it, [`StoreError::Corrupt`] when it has other bytes under
    /// that name, else what went wrong.
    fn get(&self, id: &BlockId) -> Result<Block, StoreError>;

    /// Whether the place has `id`, as far as it can say without reading it.
    ///
    /// # Errors
    /// When the place cannot be asked.
    fn has(&self, id: &BlockId) -> Result<bool, StoreError>;
}

/// A place that keeps blocks.
pub trait BlockStore: BlockSource {
    /// Keeps a block; all of it or nothing, also when the process dies in the middle. Any number of writers may put
    /// the same block at once.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is no room, else what went wrong. Nothing is kept then.
    fn put(&self, block: &Block) -> Result<Put, StoreError>;

    /// Forgets a block; one that is not there is forgotten already.
    ///
    /// # Errors
    /// When the place refuses.
    fn remove(&self, id: &BlockId) -> Result<(), StoreError>;

    /// Returns when everything put so far survives a power cut.
    ///
    /// # Errors
    /// When the place cannot promise it.
    fn sync(&self) -> Result<(), StoreError>;
}

/// Reads from `local`, and what is not there from `remote`, keeping it: so no verified block crosses the network
/// twice (SEAL-2), and a damaged local block is replaced.
pub struct ReadThrough<L, R> {
    local: L,
    remote: R,
}

/// Where a block came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Local,
    Remote,
}

impl<L: BlockStore, R: BlockSource> ReadThrough<L, R> {
    /// Puts `local` before `remote`.
    #[must_use]
    pub fn new(local: L, remote: R) -> Self {
        Self { local, remote }
    }

    pub(crate) fn bring(&self, id: &BlockId) -> Result<(Block, Origin), StoreError> {
        match self.local.get(id) {
            Ok(block) => return Ok((block, Origin::Local)),
            Err(StoreError::Missing { .. }) => {}
            Err(StoreError::Corrupt { .. }) => self.local.remove(id)?,
            Err(error) => return Err(error),
        }
        let block = self.remote.get(id)?;
        self.local.put(&block)?;
        Ok((block, Origin::Remote))
    }
}

impl<L: BlockStore, R: BlockSource> BlockSource for ReadThrough<L, R> {
    fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
        self.bring(id).map(|(block, _)| block)
    }

    fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
        Ok(self.local.has(id)? || self.remote.has(id)?)
    }
}

macro_rules! through_pointers {
    ($($pointer:ty)*) => {$(
        impl<T: BlockSource + ?Sized> BlockSource for $pointer {
            fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
                (**self).get(id)
            }

            fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
                (**self).has(id)
            }
        }

        impl<T: BlockStore + ?Sized> BlockStore for $pointer {
            fn put(&self, block: &Block) -> Result<Put, StoreError> {
                (**self).put(block)
            }

            fn remove(&self, id: &BlockId) -> Result<(), StoreError> {
                (**self).remove(id)
            }

            fn sync(&self) -> Result<(), StoreError> {
                (**self).sync()
            }
        }
    )*};
}

through_pointers!(&T std::sync::Arc<T>);
