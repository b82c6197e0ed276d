//! Sealed content: what a publisher uploads, what anybody may store, and what only a licence opens.
//!
//! Owns: cutting, sealing and naming content so that IPFS can carry it; the sealed index and the signed manifest; keeping
//! blocks in a directory and bringing them from elsewhere; opening a version with its key and reading any range of any
//! file, verified; the publisher's keys and handing one over to a buyer. Refuses: ledgers (callers bring the record of a
//! version and the answer to "who holds which licence"), accounts (callers sign), runtimes and networks.
//!
//! What leaks to whoever stores the blocks: the size of the content (rounded up to 1 MiB with the profile `fixed`), the size of
//! the index and so roughly how many files there are, which leaves the versions of one key epoch share, and with `cdc` the
//! lengths of chunks. Not: names and sizes of files, nor anything between two assets or epochs. What a licence opened stays open: a new epoch keeps only
//! future versions from sharing leaves with old ones.
//!
//! Invariants: SEAL-1, no byte is returned that was not verified; SEAL-2, no verified leaf is fetched twice; KEY-1, no key
//! without a licence.

mod block;
mod cipher;
mod cut;
mod extract;
mod fetch;
mod index;
mod keyring;
mod keys;
mod leaf;
pub mod limits;
mod manifest;
mod path;
mod proof;
mod release;
mod seal;
mod store;
mod tree;
mod unixfs;
mod version;
mod wrap;

pub use block::{Block, BlockError, BlockId, BlockIdError, Codec};
pub use cut::Profile;
pub use extract::{Existing, ExtractError, Extracted};
pub use fetch::{FetchError, Fetched, Present, fetch};
pub use index::{FileEntry, IndexError};
pub use keyring::{Keyring, KeyringError};
pub use keys::{BuyerKey, ChunkKey, ContentKey, KeyCommitment, KeyringSecret, VersionKey, WrapSecret};
pub use manifest::{
    ContentRoot, Manifest, ManifestError, ManifestSigner, SignError, SignedManifest, SigningError,
    VersionRecord,
};
pub use path::{PathError, TreePath};
pub use proof::{ChunkProof, ProofError, Verdict};
pub use release::{
    KeyRelease, KeyringRelease, LicenceBook, LicenceFacts, MAX_REQUEST_LIFE_S, ReleaseError, Released,
    SignedKeyRequest,
};
pub use seal::{
    OnProgress, Progress, PublishError, Published, SealError, SealStats, SealedContent, Sealing, seal,
};
pub use store::{BlockSource, BlockStore, DirectoryStore, Put, ReadThrough, StoreError};
pub use tree::{Hidden, Tree, TreeError};
pub use unixfs::DagError;
pub use version::{FileReader, OpenError, OpenVersion, ReadError};
pub use wrap::{KeyBinding, WrapError, WrappedKey, wrap};
