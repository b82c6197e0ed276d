//! SEAL-2: a resumed transfer fetches no verified leaf again.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::support::{Keys, MemoryStore, noise, publish, tree};
use residual_content::{
    Block, BlockId, BlockSource, BlockStore, Codec, DirectoryStore, Existing, FetchError, OpenVersion,
    Present, Profile, ReadThrough, StoreError, fetch,
};

/// A remote place whose connection breaks after so many blocks.
struct Flaky<'a> {
    remote: &'a MemoryStore,
    left: AtomicU64,
}

impl BlockSource for Flaky<'_> {
    fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => self.remote.get(id),
            Err(_) => Err(StoreError::Remote {
                id: *id,
                place: "flaky".to_owned(),
                source: "connection reset".into(),
            }),
        }
    }

    fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
        self.remote.has(id)
    }
}

#[test]
fn seal_2_a_transfer_interrupted_anywhere_fetches_each_block_once() {
    let keys = Keys::fixed();
    let remote = MemoryStore::default();
    let files = tree(&[("a", noise(1, 6_000_000)), ("b", noise(2, 3_000_000))]);
    let published = publish(&remote, &files, &keys, Profile::Fixed, 1);
    let blocks = remote.blocks.lock().unwrap().len() as u64;
    for step in 1..=blocks {
        for in_flight in [1, 4] {
            remote.reads.lock().unwrap().clear();
            let directory = tempfile::tempdir().unwrap();
            // Opened anew at each try, as by a process that was killed.
            let local = || DirectoryStore::open(directory.path()).unwrap();
            let mut tries = 0;
            let last = loop {
                tries += 1;
                let flaky = Flaky { remote: &remote, left: step.into() };
                let in_flight = NonZeroUsize::new(in_flight).unwrap();
                match fetch(&flaky, &local(), &published.record, Present::Trust, in_flight, &mut |_| {}) {
                    Ok(fetched) => break fetched,
                    Err(
                        FetchError::Store(StoreError::Remote { .. })
                        | FetchError::Manifest(_)
                        | FetchError::Dag(_),
                    ) => {}
                    Err(error) => panic!("{error}"),
                }
            };
            assert!(tries >= blocks.div_ceil(step) && last.blocks_fetched <= step);
            let reads = remote.reads.lock().unwrap();
            assert!(reads.values().all(|&reads| reads == 1), "{reads:?}");
            assert_eq!(reads.len() as u64, blocks);
            drop(reads);
            let version = OpenVersion::open(local(), &published.record, &keys.version).unwrap();
            assert!(version.read("a", 0..6_000_000).unwrap() == noise(1, 6_000_000));
        }
    }
}

#[test]
fn seal_2_reading_through_a_local_store_fetches_each_leaf_once_and_only_what_is_read() {
    let keys = Keys::fixed();
    let remote = MemoryStore::default();
    let published = publish(&remote, &tree(&[("a", noise(1, 6_000_000))]), &keys, Profile::Fixed, 1);
    let directory = tempfile::tempdir().unwrap();
    let local = DirectoryStore::open(directory.path()).unwrap();
    let leaves_read = || {
        let reads = remote.reads.lock().unwrap();
        assert!(reads.values().all(|&reads| reads == 1));
        reads.keys().filter(|id| id.codec() == Codec::Raw).count()
    };
    for (range, leaves) in [(0..10, 1), (1_500_000..1_500_001, 2), (0..6_000_000, 6)] {
        let version =
            OpenVersion::open(ReadThrough::new(&local, &remote), &published.record, &keys.version).unwrap();
        assert!(
            version.read("a", range.clone()).unwrap()
                == noise(1, 6_000_000)[range.start as usize..range.end as usize]
        );
        assert_eq!(leaves_read(), leaves + 1, "and the index");
    }
    let target = tempfile::tempdir().unwrap();
    let version =
        OpenVersion::open(ReadThrough::new(&local, &remote), &published.record, &keys.version).unwrap();
    version.extract(target.path(), Existing::Keep, &mut |_| {}).unwrap();
    assert_eq!(leaves_read(), 7);
}

#[test]
fn a_damaged_local_block_is_fetched_again_and_no_other() {
    let keys = Keys::fixed();
    let remote = MemoryStore::default();
    let local = MemoryStore::default();
    let published = publish(&remote, &tree(&[("a", noise(1, 6_000_000))]), &keys, Profile::Fixed, 1);
    let bring =
        |present| fetch(&remote, &local, &published.record, present, NonZeroUsize::MIN, &mut |_| {}).unwrap();
    bring(Present::Trust);
    let damaged = *local.blocks.lock().unwrap().keys().find(|id| id.codec() == Codec::Raw).unwrap();
    local.blocks.lock().unwrap().get_mut(&damaged).unwrap()[0] ^= 1;
    assert_eq!(bring(Present::Verify).blocks_fetched, 1);
    assert!(local.get(&damaged).is_ok());
    assert_eq!(bring(Present::Verify).blocks_fetched, 0);
    local.sync().unwrap();
}
