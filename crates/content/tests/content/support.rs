//! What the tests of sealed content share: an account, a store in memory that can be damaged and counts, and trees.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::Mutex,
};

use alloy_primitives::Signature;
use k256::ecdsa::SigningKey;
use residual_content::{
    Block, BlockId, BlockSource, BlockStore, ContentKey, ManifestSigner, Profile, Published, Put, Sealing,
    SigningError, StoreError, Tree, VersionKey, seal,
};
use residual_primitives::{Address, AssetId, B256};

/// An account with a fixed private key.
pub(crate) struct Account(SigningKey);

impl Account {
    pub(crate) fn new(byte: u8) -> Self {
        Self(SigningKey::from_slice(&[byte; 32]).unwrap())
    }

    pub(crate) fn sign_digest(&self, digest: B256) -> [u8; 65] {
        let (signature, parity) = self.0.sign_prehash_recoverable(digest.as_slice()).unwrap();
        Signature::from((signature, parity)).as_bytes()
    }
}

impl ManifestSigner for Account {
    fn publisher(&self) -> Address {
        Address::from_private_key(&self.0)
    }

    fn sign(&self, digest: B256) -> Result<[u8; 65], SigningError> {
        Ok(self.sign_digest(digest))
    }
}

/// Blocks in memory, kept as raw bytes so that a test can damage them, with a count of reads of each.
#[derive(Default)]
pub(crate) struct MemoryStore {
    pub(crate) blocks: Mutex<BTreeMap<BlockId, Vec<u8>>>,
    pub(crate) reads: Mutex<HashMap<BlockId, u64>>,
}

impl BlockSource for MemoryStore {
    fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
        let place = || "memory".to_owned();
        let bytes = self.blocks.lock().unwrap().get(id).cloned();
        let bytes = bytes.ok_or_else(|| StoreError::Missing { id: *id, place: place() })?;
        *self.reads.lock().unwrap().entry(*id).or_default() += 1;
        Block::verify(*id, bytes).map_err(|source| StoreError::Corrupt { place: place(), source })
    }

    fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
        Ok(self.blocks.lock().unwrap().contains_key(id))
    }
}

impl BlockStore for MemoryStore {
    fn put(&self, block: &Block) -> Result<Put, StoreError> {
        let before = self.blocks.lock().unwrap().insert(block.id(), block.bytes().to_vec());
        Ok(if before.is_some() { Put::Present } else { Put::Stored })
    }

    fn remove(&self, id: &BlockId) -> Result<(), StoreError> {
        self.blocks.lock().unwrap().remove(id);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Keys of one version.
pub(crate) struct Keys {
    pub(crate) asset: AssetId,
    pub(crate) content: ContentKey,
    pub(crate) version: VersionKey,
}

impl Keys {
    pub(crate) fn fixed() -> Self {
        Self {
            asset: "0x000102030405060708090a0b0c0d0e0f".parse().unwrap(),
            content: ContentKey::from_bytes([1; 32]),
            version: VersionKey::from_bytes([2; 32]),
        }
    }
}

/// Seals and publishes `tree` with one or more threads.
pub(crate) fn publish(
    store: &dyn BlockStore,
    tree: &Tree,
    keys: &Keys,
    profile: Profile,
    threads: usize,
) -> Published {
    let how = Sealing {
        asset: keys.asset,
        epoch: 0,
        content_key: &keys.content,
        version_key: &keys.version,
        profile,
        threads: NonZeroUsize::new(threads).unwrap(),
    };
    let about = [("title".to_owned(), "A test".to_owned())].into();
    seal(store, tree, &how, &mut |_| {}).unwrap().publish(store, about, &Account::new(0x11)).unwrap()
}

/// Bytes that do not repeat.
pub(crate) fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
    bytes
}

/// Files under paths.
pub(crate) fn tree(files: &[(&str, Vec<u8>)]) -> Tree {
    let mut tree = Tree::new();
    for (path, bytes) in files {
        tree.add_bytes(path.parse().unwrap(), bytes.clone()).unwrap();
    }
    tree
}
