//! SEAL-1: any flipped, missing or swapped byte of manifest, index or leaf is refused before a byte of it is returned.

use std::num::NonZeroUsize;

use crate::support::{Keys, MemoryStore, noise, publish, tree};
use residual_content::{
    Block, BlockId, Codec, ContentRoot, Existing, ExtractError, KeyCommitment, OpenError, OpenVersion,
    Present, Profile, Published, ReadError, StoreError, Tree, Verdict, VersionKey, VersionRecord, fetch,
};
use residual_primitives::B256;

/// A version with every class of block: manifest, directory, nodes of data and index, pieces of index, leaves.
///
/// Many files with long names make an index of more than one piece.
fn version() -> (MemoryStore, Keys, Published) {
    let keys = Keys::fixed();
    let store = MemoryStore::default();
    let mut all = tree(&[("a", noise(1, 2_500_000)), ("z", noise(2, 10))]);
    for i in 0..5_500 {
        all.add_bytes(format!("many/{i:05}-{}", "n".repeat(200)).parse().unwrap(), vec![i as u8]).unwrap();
    }
    let published = publish(&store, &all, &keys, Profile::Fixed, 1);
    (store, keys, published)
}

/// Opens the version and reads all of it; the error, if any, as text.
fn read_all(store: &MemoryStore, record: &VersionRecord, key: &VersionKey) -> Result<(), String> {
    let version = OpenVersion::open(store, record, key).map_err(|error| error.to_string())?;
    for file in version.files() {
        let bytes = version.read(file.path.as_str(), 0..file.bytes).map_err(|error| error.to_string())?;
        assert_eq!(bytes.len() as u64, file.bytes);
    }
    Ok(())
}

/// Brings the version to an empty store, as a gateway does without its key.
fn pin(store: &MemoryStore, record: &VersionRecord) -> Result<(), String> {
    let local = MemoryStore::default();
    fetch(store, &local, record, Present::Trust, NonZeroUsize::MIN, &mut |_| {})
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// What a block is, told from its place in the version.
fn class(id: &BlockId, bytes: &[u8], record: &VersionRecord) -> &'static str {
    match id.codec() {
        Codec::DagCbor => "manifest",
        Codec::DagPb if *id == record.content_root.block() => "directory",
        Codec::DagPb => "node",
        Codec::Raw if bytes.len() == 1 << 20 => "leaf or full piece of index",
        Codec::Raw => "last piece of index",
    }
}

#[test]
fn seal_1_every_damage_to_every_block_is_refused() {
    let (store, keys, published) = version();
    let record = &published.record;
    read_all(&store, record, &keys.version).unwrap();
    pin(&store, record).unwrap();
    let blocks = store.blocks.lock().unwrap().clone();
    let classes: std::collections::BTreeSet<_> =
        blocks.iter().map(|(id, bytes)| class(id, bytes, record)).collect();
    assert_eq!(classes.len(), 5, "{classes:?}");
    for (id, good) in &blocks {
        let flip = |at: usize, bit: u8| {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            Some(bytes)
        };
        let other = blocks
            .iter()
            .find(|(other, _)| *other != id && other.codec() == id.codec())
            .map(|(_, bytes)| bytes);
        let damages = [
            ("first byte", flip(0, 0)),
            ("a byte in the middle", flip(good.len() / 2, 3)),
            ("last byte", flip(good.len() - 1, 7)),
            ("truncated", Some(good[..good.len() - 1].to_vec())),
            ("emptied", Some(vec![])),
            ("appended", Some([&good[..], b"\0"].concat())),
            ("missing", None),
            ("swapped", Some(other.cloned().unwrap_or_else(|| noise(9, 100)))),
        ];
        for (damage, bytes) in damages {
            match bytes {
                Some(bytes) => store.blocks.lock().unwrap().insert(*id, bytes),
                None => store.blocks.lock().unwrap().remove(id),
            };
            let what = format!("{damage} of {}", class(id, good, record));
            // The nodes of the data are not needed to read: the index says the same. Those who pin need them.
            let read = read_all(&store, record, &keys.version);
            assert!(read.is_err() || class(id, good, record) == "node", "{what} was read");
            assert!(pin(&store, record).is_err(), "{what} was pinned");
        }
        store.blocks.lock().unwrap().insert(*id, good.clone());
    }
    read_all(&store, record, &keys.version).unwrap();
}

#[test]
fn seal_1_a_range_that_touches_a_damaged_leaf_returns_nothing() {
    let keys = Keys::fixed();
    let store = MemoryStore::default();
    let published = publish(&store, &tree(&[("a", noise(1, 3_000_000))]), &keys, Profile::Fixed, 1);
    let version = OpenVersion::open(&store, &published.record, &keys.version).unwrap();
    let second = version.prove_chunk(1).unwrap().leaf;
    store.blocks.lock().unwrap().get_mut(&second).unwrap()[5] ^= 1;
    assert!(matches!(
        version.read("a", 1_000_000..3_000_000),
        Err(ReadError::Store(StoreError::Corrupt { .. }))
    ));
    assert!(version.read("a", 0..1_000_000).is_ok(), "what does not touch it is read");
    let target = tempfile::tempdir().unwrap();
    assert!(matches!(
        version.extract(target.path(), Existing::Keep, &mut |_| {}),
        Err(ExtractError::Read(_))
    ));
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0, "no part of a file is left");
}

#[test]
fn seal_1_a_record_that_differs_in_anything_is_refused() {
    let (store, keys, published) = version();
    let record = published.record;
    let mut other_keys = Keys::fixed();
    other_keys.version = VersionKey::from_bytes([9; 32]);
    let other = publish(&store, &tree(&[("a", vec![1])]), &other_keys, Profile::Fixed, 1).record;
    let wrong = [
        VersionRecord { asset: "1".parse().unwrap(), ..record },
        VersionRecord { manifest: other.manifest, ..record },
        VersionRecord { content_root: other.content_root, ..record },
        VersionRecord { content_root: ContentRoot(B256::ZERO), ..record },
        VersionRecord { key_commitment: other.key_commitment, ..record },
        VersionRecord { key_commitment: KeyCommitment(B256::ZERO), ..record },
    ];
    for wrong in wrong {
        assert!(read_all(&store, &wrong, &keys.version).is_err(), "{wrong:?}");
    }
    let refused = OpenVersion::open(&store, &record, &other_keys.version);
    assert!(matches!(refused.map(|_| ()), Err(OpenError::WrongKey { .. })));
}

#[test]
fn a_publisher_that_sells_wrong_keys_is_proven_by_one_chunk() {
    let keys = Keys::fixed();
    let store = MemoryStore::default();
    let published = publish(&store, &tree(&[("a", noise(1, 3_000_000))]), &keys, Profile::Fixed, 1);
    let version = OpenVersion::open(&store, &published.record, &keys.version).unwrap();
    let block = |id: &BlockId| Block::verify(*id, store.blocks.lock().unwrap()[id].clone()).unwrap();
    for position in 0..3 {
        let proof = version.prove_chunk(position).unwrap();
        let manifest = &published.manifest.manifest;
        assert_eq!(proof.judge(manifest, block(&proof.leaf)).unwrap(), Verdict::KeyOpensLeaf);
        // Another version of the same asset commits to other leaves: the proof says nothing about it.
        let other = publish(&store, &Tree::new(), &keys, Profile::Fixed, 1);
        assert!(proof.judge(&other.manifest.manifest, block(&proof.leaf)).is_err());
        let next = version.prove_chunk((position + 1) % 3).unwrap().leaf;
        assert!(proof.judge(manifest, block(&next)).is_err());
    }
    assert!(version.prove_chunk(3).is_none());
}
