//! What is sealed comes back: any tree, any range, any number of threads, from a directory and to one.

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use crate::support::{Keys, MemoryStore, noise, publish, tree};
use proptest::prelude::*;
use residual_content::{
    BlockSource, DirectoryStore, Existing, ExtractError, Hidden, OpenVersion, Profile, Published, ReadError,
    Tree, limits::CHUNK_BYTES,
};

fn open<'a>(store: &'a MemoryStore, published: &Published, keys: &Keys) -> OpenVersion<&'a MemoryStore> {
    OpenVersion::open(store, &published.record, &keys.version).unwrap()
}

#[test]
fn files_around_the_borders_of_chunks_come_back() {
    let keys = Keys::fixed();
    let lengths =
        [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 1_048_576, 3_000_001];
    for profile in [Profile::Fixed, Profile::Cdc] {
        for length in lengths {
            let content = noise(1, length);
            let store = MemoryStore::default();
            let published = publish(&store, &tree(&[("only", content.clone())]), &keys, profile, 1);
            let version = open(&store, &published, &keys);
            assert!(
                version.read("only", 0..length as u64).unwrap() == content,
                "{profile:?}, {length} bytes"
            );
        }
        let store = MemoryStore::default();
        let published = publish(&store, &Tree::new(), &keys, profile, 1);
        assert!(open(&store, &published, &keys).files().is_empty(), "a version without files");
    }
}

#[test]
fn fixed_leaves_are_those_that_helia_would_cut() {
    let keys = Keys::fixed();
    let store = MemoryStore::default();
    publish(&store, &tree(&[("a", noise(1, 2_500_000))]), &keys, Profile::Fixed, 1);
    let raw = store.blocks.lock().unwrap().values().filter(|bytes| bytes.len() == 1 << 20).count();
    assert_eq!(raw, 3, "every leaf is a full chunk of unixfs-v1-2025");
}

#[test]
fn sealing_again_gives_the_same_blocks_whatever_the_number_of_threads() {
    let keys = Keys::fixed();
    let files = tree(&[("a", noise(1, 9_000_000)), ("b/c", noise(2, 500)), ("b/d", noise(3, 7_000_000))]);
    for profile in [Profile::Fixed, Profile::Cdc] {
        let store = MemoryStore::default();
        let first = publish(&store, &files, &keys, profile, 1);
        assert_eq!(first.stats.blocks_present, 0);
        for threads in [1, 2, 3] {
            let again = publish(&store, &files, &keys, profile, threads);
            assert_eq!(again.record, first.record);
            assert_eq!(again.stats.blocks_stored, 0, "a repeated publication writes nothing again");
        }
    }
}

#[test]
fn a_new_version_uploads_what_changed() {
    let mut keys = Keys::fixed();
    let store = MemoryStore::default();
    let mut files = vec![("a", noise(1, 4_000_000)), ("b", noise(2, 4_000_000)), ("c", noise(3, 4_000_000))];
    publish(&store, &tree(&files), &keys, Profile::Cdc, 1);
    keys.version = residual_content::VersionKey::from_bytes([3; 32]);
    files[1].1.splice(1_000_000..1_000_000, *b"inserted");
    let second = publish(&store, &tree(&files), &keys, Profile::Cdc, 1);
    assert!(second.stats.blocks_present >= 15, "{:?}", second.stats);
    assert!(second.stats.blocks_stored <= 6, "{:?}", second.stats);
}

#[test]
fn a_directory_is_published_and_extracted() {
    let keys = Keys::fixed();
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    for (path, bytes) in
        [("images/1.png", noise(1, 70_000)), ("images/2.png", noise(2, 2_000_000)), ("labels.txt", vec![])]
    {
        let path = source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut tree = Tree::new();
    tree.add_directory(&source, Hidden::Skip).unwrap();
    let store = DirectoryStore::open(directory.path().join("blocks")).unwrap();
    let published = publish(&store, &tree, &keys, Profile::Fixed, 2);
    let version = OpenVersion::open(&store, &published.record, &keys.version).unwrap();
    let target = directory.path().join("target");
    let mut last = 0;
    let extracted = version.extract(&target, Existing::Keep, &mut |progress| last = progress.done).unwrap();
    assert_eq!((extracted.written, extracted.present, last), (3, 0, 2_070_000));
    for file in ["images/1.png", "images/2.png", "labels.txt"] {
        assert!(fs::read(target.join(file)).unwrap() == fs::read(source.join(file)).unwrap());
    }
    assert_eq!(fs::read_dir(&target).unwrap().count(), 2, "nothing else is left there");

    // Again: nothing to write; a file that is gone is written; one that differs is not replaced unasked.
    let again = version.extract(&target, Existing::Keep, &mut |_| {}).unwrap();
    assert_eq!((again.written, again.present), (0, 3));
    fs::remove_file(target.join("labels.txt")).unwrap();
    assert_eq!(version.extract(&target, Existing::Keep, &mut |_| {}).unwrap().written, 1);
    let mut changed = noise(1, 70_000);
    changed[69_999] ^= 1;
    fs::write(target.join("images/1.png"), &changed).unwrap();
    assert!(matches!(
        version.extract(&target, Existing::Keep, &mut |_| {}),
        Err(ExtractError::Occupied { .. })
    ));
    assert!(fs::read(target.join("images/1.png")).unwrap() == changed);
    assert_eq!(version.extract(&target, Existing::Replace, &mut |_| {}).unwrap().written, 1);
    assert!(fs::read(target.join("images/1.png")).unwrap() == noise(1, 70_000));
}

#[cfg(unix)]
#[test]
fn extraction_does_not_follow_links_out_of_its_target() {
    use std::os::unix::fs::symlink;
    let keys = Keys::fixed();
    let store = MemoryStore::default();
    let published = publish(&store, &tree(&[("d/file", b"payload".to_vec())]), &keys, Profile::Fixed, 1);
    let version = open(&store, &published, &keys);
    let outside = tempfile::tempdir().unwrap();
    let is_empty = |directory: &Path| fs::read_dir(directory).unwrap().next().is_none();

    let target = tempfile::tempdir().unwrap();
    symlink(outside.path(), target.path().join("d")).unwrap();
    for existing in [Existing::Keep, Existing::Replace] {
        assert!(matches!(
            version.extract(target.path(), existing, &mut |_| {}),
            Err(ExtractError::Io { .. })
        ));
        assert!(is_empty(outside.path()));
    }

    let target = tempfile::tempdir().unwrap();
    fs::create_dir(target.path().join("d")).unwrap();
    symlink(outside.path().join("file"), target.path().join("d/file")).unwrap();
    assert!(matches!(
        version.extract(target.path(), Existing::Keep, &mut |_| {}),
        Err(ExtractError::Occupied { .. })
    ));
    version.extract(target.path(), Existing::Replace, &mut |_| {}).unwrap();
    assert!(is_empty(outside.path()), "the link itself was replaced");
    assert_eq!(fs::read(target.path().join("d/file")).unwrap(), b"payload");

    let target = tempfile::tempdir().unwrap();
    symlink(outside.path(), target.path().join(".residual-partial")).unwrap();
    let _ = version.extract(target.path(), Existing::Replace, &mut |_| {});
    assert!(is_empty(outside.path()));
}

#[test]
fn readers_seek_and_wrong_ranges_are_refused() {
    let keys = Keys::fixed();
    let store = MemoryStore::default();
    let content = noise(7, 2_200_000);
    let published =
        publish(&store, &tree(&[("a", noise(1, 10)), ("b", content.clone())]), &keys, Profile::Fixed, 1);
    let version = open(&store, &published, &keys);
    let mut reader = version.reader("b").unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == content);
    reader.seek(SeekFrom::End(-5)).unwrap();
    let mut tail = [0; 5];
    reader.read_exact(&mut tail).unwrap();
    assert_eq!(tail, content[content.len() - 5..]);
    assert_eq!(reader.seek(SeekFrom::Start(9_000_000)).unwrap(), 9_000_000);
    assert_eq!(reader.read(&mut tail).unwrap(), 0);
    assert!(reader.seek(SeekFrom::Current(-9_000_001)).is_err());
    for range in [0..11, 11..11, 5..u64::MAX] {
        assert!(matches!(version.read("a", range), Err(ReadError::OutOfRange { .. })));
    }
    assert!(matches!(version.read("c", 0..0), Err(ReadError::NoSuchFile { .. })));
}

#[test]
fn small_files_side_by_side_share_a_fetched_leaf() {
    let keys = Keys::fixed();
    let store = MemoryStore::default();
    let files: Vec<(String, Vec<u8>)> = (0..200).map(|i| (format!("{i:03}"), noise(i as u8, 1000))).collect();
    let mut all = Tree::new();
    for (path, bytes) in &files {
        all.add_bytes(path.parse().unwrap(), bytes.clone()).unwrap();
    }
    let published = publish(&store, &all, &keys, Profile::Fixed, 1);
    let version = open(&store, &published, &keys);
    store.reads.lock().unwrap().clear();
    for (path, bytes) in &files {
        assert_eq!(&version.read(path, 0..1000).unwrap(), bytes);
    }
    assert_eq!(store.reads.lock().unwrap().values().sum::<u64>(), 1);
    assert!(store.has(&published.record.manifest).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_range_of_any_file_of_any_tree_comes_back(
        lengths in prop::collection::vec(prop_oneof![0usize..2000, 900_000usize..1_200_000], 0..6),
        cdc: bool,
        threads in 1usize..3,
        at: prop::sample::Index,
        from: prop::sample::Index,
        to: prop::sample::Index,
    ) {
        let keys = Keys::fixed();
        let store = MemoryStore::default();
        let files: Vec<(String, Vec<u8>)> =
            lengths.iter().enumerate().map(|(i, &length)| (format!("d{}/f{i}", i % 2), noise(i as u8, length))).collect();
        let mut all = Tree::new();
        for (path, bytes) in &files {
            all.add_bytes(path.parse().unwrap(), bytes.clone()).unwrap();
        }
        let profile = if cdc { Profile::Cdc } else { Profile::Fixed };
        let published = publish(&store, &all, &keys, profile, threads);
        let version = open(&store, &published, &keys);
        prop_assert_eq!(version.files().len(), files.len());
        if !files.is_empty() {
            let (path, bytes) = &files[at.index(files.len())];
            let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
            let (from, to) = (from.min(to), from.max(to));
            prop_assert!(version.read(path, from as u64..to as u64).unwrap() == bytes[from..to]);
        }
    }
}
