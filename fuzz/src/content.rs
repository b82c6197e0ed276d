//! Sealed content: manifests, indexes, the trees over their blocks, names, and keys that were wrapped.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroUsize,
    path::{Component, Path},
    str::from_utf8,
    sync::{LazyLock, Mutex, PoisonError},
};

use alloy_primitives::{Address, B256, Signature};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use k256::ecdsa::SigningKey;
use residual_content::{
    Block, BlockId, BlockSource, BlockStore, BuyerKey, Codec, ContentKey, KeyBinding, Manifest,
    ManifestError, ManifestSigner, OpenVersion, Present, Profile, Put, Sealing, SignedManifest, SigningError,
    StoreError, Tree, TreePath, VersionKey, WrapSecret, WrappedKey, fetch, seal, wrap,
};
use residual_primitives::{AssetId, LicenceId, U256};

use crate::memory::within;

const EPOCH: u32 = 0;

fn asset() -> AssetId {
    AssetId::try_from(U256::from(7)).expect("7 is an asset's id")
}

fn version_key() -> VersionKey {
    VersionKey::from_bytes([2; 32])
}

struct Publisher(SigningKey);

impl Publisher {
    fn new() -> Self {
        Self(SigningKey::from_slice(&[3; 32]).expect("it is a number below the order"))
    }
}

impl ManifestSigner for Publisher {
    fn publisher(&self) -> Address {
        Address::from_private_key(&self.0)
    }

    fn sign(&self, digest: B256) -> Result<[u8; 65], SigningError> {
        let signed = self.0.sign_prehash_recoverable(digest.as_slice()).expect("a digest has 32 bytes");
        Ok(Signature::from(signed).as_bytes())
    }
}

/// Blocks in memory.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<BlockId, Vec<u8>>>);

impl Memory {
    fn blocks(&self) -> std::sync::MutexGuard<'_, BTreeMap<BlockId, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(id: &BlockId) -> StoreError {
    StoreError::Missing { id: *id, place: "memory".to_owned() }
}

impl BlockSource for Memory {
    fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
        let bytes = self.blocks().get(id).cloned().ok_or_else(|| missing(id))?;
        Ok(Block::new(id.codec(), bytes))
    }

    fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
        Ok(self.blocks().contains_key(id))
    }
}

impl BlockStore for Memory {
    fn put(&self, block: &Block) -> Result<Put, StoreError> {
        let before = self.blocks().insert(block.id(), block.bytes().to_vec());
        Ok(if before.is_some() { Put::Present } else { Put::Stored })
    }

    fn remove(&self, id: &BlockId) -> Result<(), StoreError> {
        self.blocks().remove(id);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A small version as it is published.
struct Version {
    blocks: Memory,
    signed: SignedManifest,
}

static VERSION: LazyLock<Version> = LazyLock::new(|| {
    let blocks = Memory::default();
    let mut tree = Tree::new();
    for (path, bytes) in [("images/one.png", &b"one"[..]), ("labels.csv", b"1,2,3"), ("none", b"")] {
        let path = path.parse::<TreePath>().expect("it is a path");
        tree.add_bytes(path, bytes.to_vec()).expect("there is no such file yet");
    }
    let (content_key, version_key) = (ContentKey::from_bytes([1; 32]), version_key());
    let how = Sealing {
        asset: asset(),
        epoch: EPOCH,
        content_key: &content_key,
        version_key: &version_key,
        profile: Profile::Cdc,
        threads: NonZeroUsize::MIN,
    };
    let sealed = seal(&blocks, &tree, &how, &mut |_| {}).expect("memory takes the blocks");
    let about = BTreeMap::from([("name".to_owned(), "three files".to_owned())]);
    let published = sealed.publish(&blocks, about, &Publisher::new()).expect("the publisher signs");
    let signed = SignedManifest::open(&blocks, &published.record).expect("it was just published");
    Version { blocks, signed }
});

/// Another manifest of that version: one that says these many leaves, bytes of data and bytes of the index; none where
/// that is beyond the limits. A signature takes a hundred times what a decoder does, so up to a thousand are kept.
fn manifest_saying(sizes: [u64; 3]) -> Option<SignedManifest> {
    static SIGNED: Mutex<BTreeMap<[u64; 3], SignedManifest>> = Mutex::new(BTreeMap::new());
    let mut signed = SIGNED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = signed.get(&sizes) {
        return Some(kept.clone());
    }
    let [leaves, data_bytes, index_bytes] = sizes;
    let manifest = Manifest { leaves, data_bytes, index_bytes, ..VERSION.signed.manifest.clone() };
    let new = manifest.sign(&Publisher::new()).ok()?;
    if signed.len() == 1000 {
        signed.clear();
    }
    signed.insert(sizes, new.clone());
    Some(new)
}

/// A manifest's block. What is taken has one encoding; what only lacks its publisher's signature is taken once it says
/// who signed it.
pub fn manifest(bytes: &[u8]) -> bool {
    if bytes.len() > residual_content::limits::MAX_BLOCK_BYTES {
        return false;
    }
    let block = Block::new(Codec::DagCbor, bytes.to_vec());
    match within(bytes, 256, || SignedManifest::from_block(&block)) {
        Ok(signed) => {
            check_manifest(&signed, &block);
            true
        }
        Err(ManifestError::Signature { publisher, signer: Some(signer) }) => {
            let mut bytes = bytes.to_vec();
            let at = bytes.windows(20).rposition(|window| window == publisher.as_slice());
            let at = at.expect("it was read from there");
            bytes[at..at + 20].copy_from_slice(signer.as_slice());
            let block = Block::new(Codec::DagCbor, bytes);
            let signed = SignedManifest::from_block(&block).ok();
            signed.is_some_and(|signed| {
                check_manifest(&signed, &block);
                true
            })
        }
        Err(_) => false,
    }
}

fn check_manifest(signed: &SignedManifest, block: &Block) {
    assert_eq!(signed.block(), *block);
    assert_eq!(signed.record().manifest, block.id());
}

/// Answers what it is asked with what there is for each codec, whatever the name: a decoder behind a hash would never see
/// foreign bytes otherwise, though whoever publishes can put there what they like.
struct Scripted {
    manifest: Block,
    nodes: Mutex<VecDeque<Block>>,
    leaf: Option<Block>,
}

impl BlockSource for Scripted {
    fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
        let found = match id.codec() {
            Codec::DagCbor => Some(self.manifest.clone()),
            Codec::DagPb => self.nodes.lock().unwrap_or_else(PoisonError::into_inner).pop_front(),
            Codec::Raw => self.leaf.clone(),
        };
        found.ok_or_else(|| missing(id))
    }

    fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
        Ok(id.codec() == Codec::Raw)
    }
}

/// A store that has every leaf, and keeps nothing.
struct Leaves;

impl BlockSource for Leaves {
    fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
        Err(missing(id))
    }

    fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
        Ok(id.codec() == Codec::Raw)
    }
}

impl BlockStore for Leaves {
    fn put(&self, _: &Block) -> Result<Put, StoreError> {
        Ok(Put::Stored)
    }

    fn remove(&self, _: &BlockId) -> Result<(), StoreError> {
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn key_context(context: &str) -> [u8; 32] {
    blake3::derive_key(context, version_key().expose())
}

/// What the sealed index is bound to, when it is one piece.
fn index_place() -> Vec<u8> {
    let (piece, pieces) = (0u64.to_be_bytes(), 1u64.to_be_bytes());
    [&b"residual index v1"[..], &asset().to_be_bytes(), &EPOCH.to_be_bytes(), &piece, &pieces].concat()
}

fn index_cipher() -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&key_context("residual content v1: index encryption").into())
}

/// Seals an index as a publisher does who is not held to `seal`.
fn seal_index(plain: &[u8]) -> Block {
    let nonce = [9; 24];
    let payload = Payload { msg: plain, aad: &index_place() };
    let sealed = index_cipher().encrypt(&nonce.into(), payload).expect("it is far below 256 GiB");
    Block::new(Codec::Raw, [&nonce[..], &sealed].concat())
}

/// The index of an honest publisher, opened.
///
/// # Panics
/// Never: it was just sealed.
#[must_use]
pub fn honest_index() -> Vec<u8> {
    let leaf = |block: &Vec<u8>| {
        let (nonce, sealed) = block.split_first_chunk::<24>()?;
        let payload = Payload { msg: sealed, aad: &index_place() };
        index_cipher().decrypt(&(*nonce).into(), payload).ok()
    };
    VERSION.blocks.blocks().values().find_map(leaf).expect("one block is the index")
}

/// An honest publisher's manifest.
#[must_use]
pub fn honest_manifest() -> Block {
    VERSION.signed.block()
}

/// The nodes of a version as [`dag`] takes them.
#[must_use]
pub fn honest_dag() -> Vec<u8> {
    let Manifest { leaves, data_bytes, index_bytes, content, .. } = VERSION.signed.manifest;
    let directory = VERSION.blocks.blocks()[&content.block()].clone();
    dag_input([leaves, data_bytes, index_bytes], &[directory])
}

/// Lays out an input of [`dag`]: leaves, bytes of data and of index as the manifest says them, then the nodes.
#[must_use]
pub fn dag_input(sizes: [u64; 3], nodes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = sizes.map(|size| (size as u32).to_be_bytes()).concat();
    for node in nodes {
        bytes.extend((node.len() as u16).to_be_bytes());
        bytes.extend(node);
    }
    bytes
}

/// An index before it is sealed: it is refused, or lists files end to end that can be asked for.
pub fn index(bytes: &[u8]) -> bool {
    if bytes.len() > 512 << 10 {
        return false;
    }
    let Version { blocks, signed } = &*VERSION;
    let sealed = seal_index(bytes);
    let honest = &signed.manifest;
    let index_bytes = sealed.bytes().len() as u64;
    let signed =
        manifest_saying([honest.leaves, honest.data_bytes, index_bytes]).expect("an index has any length");
    let directory = blocks.get(&honest.content.block()).expect("it was published");
    let source = Scripted {
        manifest: signed.block(),
        nodes: Mutex::new(VecDeque::from([directory])),
        leaf: Some(sealed),
    };
    let Ok(version) = within(bytes, 64, || OpenVersion::open(source, &signed.record(), &version_key()))
    else {
        return false;
    };
    let files = version.files();
    assert!(files.is_sorted_by(|a, b| a.path < b.path));
    assert_eq!(files.iter().map(|file| file.bytes).sum::<u64>(), version.content_bytes());
    for file in files {
        // The only leaf there is is the index, and that no chunk's key opens.
        assert_eq!(version.read(file.path.as_str(), 0..file.bytes).is_ok(), file.bytes == 0);
    }
    true
}

/// Three sizes of four bytes as a manifest says them, then nodes, each with its length in two bytes, in the order in which
/// they are asked for; the directory is the first.
pub fn dag(bytes: &[u8]) -> bool {
    let Some((sizes, mut rest)) = bytes.split_first_chunk::<12>() else { return false };
    let size =
        |at: usize| u64::from(u32::from_be_bytes([sizes[at], sizes[at + 1], sizes[at + 2], sizes[at + 3]]));
    let [leaves, data_bytes, index_bytes] = [0, 4, 8].map(size);
    let mut nodes = VecDeque::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let (node, after) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
        nodes.push_back(Block::new(Codec::DagPb, node.to_vec()));
        rest = after;
    }
    let Some(signed) = manifest_saying([leaves, data_bytes, index_bytes]) else { return false };
    let source = Scripted { manifest: signed.block(), nodes: Mutex::new(nodes), leaf: None };
    let fetched = within(bytes, 64, || {
        fetch(&source, &Leaves, &signed.record(), Present::Trust, NonZeroUsize::MIN, &mut |_| {})
    });
    let Ok(fetched) = fetched else { return false };
    // At least one leaf is the index's.
    assert!(fetched.blocks_present > leaves, "{fetched:?} of {leaves} leaves");
    true
}

/// Names of blocks and paths of files, in bytes and as text.
pub fn names(bytes: &[u8]) -> bool {
    if let Ok(id) = BlockId::from_bytes(bytes) {
        assert_eq!(id.to_bytes(), bytes);
    }
    if let Ok(id) = within(bytes, 64, || serde_ipld_dagcbor::from_slice::<BlockId>(bytes)) {
        let again = serde_ipld_dagcbor::to_vec(&id).expect("a CID is what DAG-CBOR can say");
        assert_eq!(serde_ipld_dagcbor::from_slice::<BlockId>(&again).ok(), Some(id));
    }
    let Ok(text) = from_utf8(bytes) else { return false };
    if let Ok(id) = within(bytes, 64, || text.parse::<BlockId>()) {
        assert_eq!(id.to_string().parse::<BlockId>().as_ref(), Ok(&id));
    }
    let Ok(path) = text.parse::<TreePath>() else { return false };
    assert_eq!(path.as_str(), text);
    assert!(Path::new(text).components().all(|part| matches!(part, Component::Normal(_))));
    assert_eq!(Path::new(text).components().count(), path.directories().count() + 1);
    true
}

/// A key as a gateway wraps it, from 80 bytes, and a buyer's public key, from the next 32: only the right wrapping opens,
/// and it is the same each time.
pub fn wrapped_key(bytes: &[u8]) -> bool {
    let (secret, buyer, key) =
        (WrapSecret::from_bytes([4; 32]), BuyerKey::from_bytes([5; 32]), version_key());
    let licence = LicenceId::new(asset(), 1, 1);
    let binding = KeyBinding { licence, version: 1, key_commitment: key.commitment(asset()) };
    let Some((encapsulated, rest)) = bytes.split_first_chunk() else { return false };
    let Some((sealed, rest)) = rest.split_first_chunk() else { return false };
    let wrapped = WrappedKey { encapsulated: *encapsulated, sealed: *sealed };
    let honest = wrap(&secret, buyer.public(), &binding, &key).expect("a key made by us is usable");
    let opened = buyer.unwrap(&wrapped, &binding);
    assert_eq!(opened.is_ok(), wrapped == honest, "{wrapped:?}");
    if let Some((public, _)) = rest.split_first_chunk::<32>() {
        let wrapped = wrap(&secret, B256::new(*public), &binding, &key);
        assert_eq!(wrap(&secret, B256::new(*public), &binding, &key), wrapped);
        if let Ok(wrapped) = wrapped {
            assert_eq!(buyer.unwrap(&wrapped, &binding).is_ok(), wrapped == honest);
        }
    }
    opened.is_ok()
}

/// The key of an honest publisher, wrapped for the buyer of [`wrapped_key`], and that buyer's public key.
///
/// # Panics
/// Never: the buyer's key is usable.
#[must_use]
pub fn honest_wrapped_key() -> Vec<u8> {
    let (secret, buyer, key) =
        (WrapSecret::from_bytes([4; 32]), BuyerKey::from_bytes([5; 32]), version_key());
    let licence = LicenceId::new(asset(), 1, 1);
    let binding = KeyBinding { licence, version: 1, key_commitment: key.commitment(asset()) };
    let WrappedKey { encapsulated, sealed } =
        wrap(&secret, buyer.public(), &binding, &key).expect("a key made by us is usable");
    [&encapsulated[..], &sealed, buyer.public().as_slice()].concat()
}
