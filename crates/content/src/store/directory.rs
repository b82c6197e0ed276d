//! Blocks as files of a directory.
//!
//! `<root>/<first byte of the digest, two hexadecimal digits>/<CID>`; what is being written lies in `<root>/incoming`
//! until it is whole and on the disk, and is then renamed. Killed writers leave their files there; they are swept
//! when a store is opened a day later.

use std::{
    collections::BTreeSet,
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use residual_durable as durable;

use super::{BlockSource, BlockStore, Put, StoreError};
use crate::{
    block::{Block, BlockError, BlockId},
    limits::MAX_BLOCK_BYTES,
};

/// How old a file in `incoming` must be to count as left behind.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory of blocks on a local file system.
///
/// Writes are atomic and durable (temporary file, `fdatasync`, rename; [`BlockStore::sync`] makes the renames durable
/// too); reads are verified. Any number of threads and processes may use one directory.
#[derive(Debug)]
pub struct DirectoryStore {
    root: PathBuf,
    incoming: PathBuf,
    /// Shards renamed into since the last `sync`.
    unsynced: Mutex<BTreeSet<PathBuf>>,
}

impl DirectoryStore {
    /// Opens the store under `root`, which is made if need be.
    ///
    /// # Errors
    /// When the directory can be neither made nor read.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let incoming = root.join("incoming");
        for directory in [&root, &incoming] {
            durable::make_dir(directory).map_err(|error| failed("create", directory, 0, error))?;
        }
        for entry in fs::read_dir(&incoming).map_err(|error| failed("read", &incoming, 0, error))?.flatten() {
            let abandoned = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > ABANDONED_AFTER));
            if abandoned {
                // Only room is at stake, and another process may be sweeping too.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self { root, incoming, unsynced: Mutex::new(BTreeSet::new()) })
    }

    fn shard(&self, id: &BlockId) -> PathBuf {
        self.root.join(format!("{:02x}", id.digest()[0]))
    }

    fn place(&self) -> String {
        self.root.display().to_string()
    }
}

fn failed(action: &'static str, path: &Path, needed: u64, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full { place: path.to_owned(), needed, source }
        }
        _ => StoreError::Io { action, path: path.to_owned(), source },
    }
}

impl BlockSource for DirectoryStore {
    fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
        let path = self.shard(id).join(id.to_string());
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { id: *id, place: self.place() });
            }
            Err(error) => return Err(failed("open", &path, 0, error)),
        };
        let bytes_on_disk = file.metadata().map_err(|error| failed("read", &path, 0, error))?.len();
        let corrupt = |source| StoreError::Corrupt { place: path.display().to_string(), source };
        if bytes_on_disk > MAX_BLOCK_BYTES as u64 {
            return Err(corrupt(BlockError::TooLarge { expected: *id, found: bytes_on_disk }));
        }
        let mut bytes = Vec::with_capacity(bytes_on_disk as usize + 1);
        file.take(MAX_BLOCK_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| failed("read", &path, 0, error))?;
        Block::verify(*id, bytes).map_err(corrupt)
    }

    fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
        let path = self.shard(id).join(id.to_string());
        path.try_exists().map_err(|error| failed("look for", &path, 0, error))
    }
}

impl BlockStore for DirectoryStore {
    fn put(&self, block: &Block) -> Result<Put, StoreError> {
        let shard = self.shard(&block.id());
        let path = shard.join(block.id().to_string());
        let needed = block.bytes().len() as u64;
        // A file of another length is a damaged one: writing it again heals it.
        if fs::metadata(&path).is_ok_and(|there| there.len() == needed) {
            return Ok(Put::Present);
        }
        let mut file = tempfile::Builder::new()
            .prefix("block-")
            .tempfile_in(&self.incoming)
            .map_err(|error| failed("write in", &self.incoming, needed, error))?;
        file.write_all(block.bytes())
            .and_then(|()| file.as_file().sync_data())
            .map_err(|error| failed("write", &path, needed, error))?;
        fs::create_dir_all(&shard).map_err(|error| failed("create", &shard, needed, error))?;
        file.persist(&path).map_err(|error| failed("rename to", &path, needed, error.error))?;
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).insert(shard);
        Ok(Put::Stored)
    }

    fn remove(&self, id: &BlockId) -> Result<(), StoreError> {
        let path = self.shard(id).join(id.to_string());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, 0, error)),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut shards = std::mem::take(&mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner));
        shards.insert(self.root.clone());
        for shard in &shards {
            if let Err(error) = durable::flush_dir(shard) {
                let failure = failed("flush", shard, 0, error);
                self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).extend(shards);
                return Err(failure);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Codec;

    fn store() -> (tempfile::TempDir, DirectoryStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(directory.path().join("blocks")).unwrap();
        (directory, store)
    }

    fn file_of(store: &DirectoryStore, block: &Block) -> PathBuf {
        store.shard(&block.id()).join(block.id().to_string())
    }

    #[test]
    fn a_block_comes_back_and_is_kept_once() {
        let (_directory, store) = store();
        let block = Block::new(Codec::Raw, vec![7; 1000]);
        assert!(matches!(store.get(&block.id()), Err(StoreError::Missing { .. })));
        assert_eq!(store.put(&block).unwrap(), Put::Stored);
        assert_eq!(store.put(&block).unwrap(), Put::Present);
        store.sync().unwrap();
        assert_eq!(store.get(&block.id()).unwrap(), block);
        assert_eq!(fs::read_dir(&store.incoming).unwrap().count(), 0, "nothing is left behind");
        store.remove(&block.id()).unwrap();
        store.remove(&block.id()).unwrap();
        assert!(!store.has(&block.id()).unwrap());
    }

    #[test]
    fn seal_1_a_damaged_file_is_a_typed_error_and_is_healed_by_its_remedy() {
        let (_directory, store) = store();
        let block = Block::new(Codec::Raw, vec![7; 1000]);
        store.put(&block).unwrap();
        let path = file_of(&store, &block);
        let damages: [Vec<u8>; 4] = [vec![], vec![7; 999], vec![7; 1001], vec![8; 1000]];
        for damage in damages {
            fs::write(&path, &damage).unwrap();
            assert!(matches!(store.get(&block.id()), Err(StoreError::Corrupt { .. })));
            store.remove(&block.id()).unwrap();
            store.put(&block).unwrap();
            assert_eq!(store.get(&block.id()).unwrap(), block);
        }
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(store.get(&block.id()), Err(StoreError::Corrupt { .. })), "a huge file is not read");
        assert_eq!(store.put(&block).unwrap(), Put::Stored, "a file of another length is replaced");
    }

    #[test]
    fn concurrent_writers_of_the_same_blocks_do_not_disturb_one_another() {
        let (_directory, store) = store();
        let blocks: Vec<Block> = (0..20u8).map(|i| Block::new(Codec::Raw, vec![i; 5000])).collect();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    blocks.iter().for_each(|block| {
                        store.put(block).unwrap();
                        assert_eq!(&store.get(&block.id()).unwrap(), block);
                    })
                });
            }
        });
        assert_eq!(fs::read_dir(&store.incoming).unwrap().count(), 0);
    }

    #[test]
    fn a_full_disk_and_a_full_quota_are_told_from_other_failures() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let error = failed("write", Path::new("/blocks/x"), 5, kind.into());
            assert!(matches!(error, StoreError::Full { needed: 5, .. }));
        }
        let other = failed("write", Path::new("/blocks/x"), 5, io::ErrorKind::PermissionDenied.into());
        assert!(matches!(other, StoreError::Io { .. }));
    }

    #[test]
    fn only_files_abandoned_for_a_day_are_swept() {
        let (_directory, store) = store();
        let (old, young) = (store.incoming.join("old"), store.incoming.join("young"));
        fs::write(&young, b"x").unwrap();
        let two_days_ago = std::time::SystemTime::now() - 2 * ABANDONED_AFTER;
        fs::File::create(&old).unwrap().set_modified(two_days_ago).unwrap();
        DirectoryStore::open(&store.root).unwrap();
        assert!(young.exists() && !old.exists());
    }
}
