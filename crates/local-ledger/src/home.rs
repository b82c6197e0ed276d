//! The data directory: who may use it, which version it has, and whether it is the same one as last time.
//!
//! Owns `version`, `lock` and `tip`. Refuses a directory of another version, one in use, and one that holds
//! something else. The store itself is `store.rs`.
//!
//! A restored backup is told apart by two marks. The store remembers the identity (inode and time of birth) of its
//! own file, which a copy does not share; and `tip`, a note of the newest block outside the store, is ahead of a
//! store that was put back alone. Neither is needed for durability: the note is written without a sync, after the
//! block it names is durable, so a crash can only leave it behind, which means nothing.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use alloy_primitives::{B256, keccak256};

use crate::OpenError;

/// Raised with every change of the store's layout; there is no silent migration.
const VERSION: &str = "1";

const VERSION_LINE: &str = "residual-local-ledger ";

/// An entered directory; leaving (dropping) it frees the lock.
pub(crate) struct Home {
    dir: PathBuf,
    tip: File,
    _lock: File,
}

impl Home {
    /// Makes the directory if it is missing, takes its lock and checks its version.
    pub(crate) fn enter(dir: &Path) -> Result<Self, OpenError> {
        let fail = |path: &Path, source| OpenError::Directory { path: path.to_owned(), source };
        residual_durable::make_dir(dir).map_err(|e| fail(dir, e))?;
        let lock = lock(&dir.join("lock"))?;
        let version = dir.join("version");
        match fs::read_to_string(&version) {
            Ok(line) => match line.trim_end().strip_prefix(VERSION_LINE) {
                Some(VERSION) => {}
                Some(found) => {
                    return Err(OpenError::OtherVersion {
                        dir: dir.to_owned(),
                        found: found.chars().take(32).collect(),
                        expected: VERSION,
                    });
                }
                None => return Err(OpenError::NotALedger { dir: dir.to_owned() }),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound && is_fresh(dir).map_err(|e| fail(dir, e))? => {
                residual_durable::write(&version, format!("{VERSION_LINE}{VERSION}\n").as_bytes())
                    .map_err(|e| fail(&version, e))?;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::NotALedger { dir: dir.to_owned() });
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(OpenError::NotALedger { dir: dir.to_owned() });
            }
            Err(e) => return Err(fail(&version, e)),
        }
        let tip_path = dir.join("tip");
        let tip = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&tip_path);
        Ok(Self { dir: dir.to_owned(), tip: tip.map_err(|e| fail(&tip_path, e))?, _lock: lock })
    }

    /// Where the store lies once it is whole.
    pub(crate) fn store_path(&self) -> PathBuf {
        self.dir.join("ledger.redb")
    }

    /// Where a store is made before it is whole; whatever a crash left there is worth nothing.
    pub(crate) fn draft_path(&self) -> PathBuf {
        self.dir.join("ledger.redb.new")
    }

    /// Puts the finished draft in its place, durably.
    pub(crate) fn adopt_draft(&self) -> io::Result<()> {
        fs::rename(self.draft_path(), self.store_path())?;
        residual_durable::flush_dir(&self.dir)
    }

    /// The identity of a store's file: a copy, also one made by a backup, has another.
    pub(crate) fn mark(path: &Path) -> io::Result<[u8; 16]> {
        let meta = fs::metadata(path)?;
        // Where the file system keeps no time of birth the inode has to do.
        let born = meta.created().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let born = born.map_or(0, |d| d.as_nanos() as u64);
        let mut mark = [0; 16];
        mark[..8].copy_from_slice(&meta.ino().to_be_bytes());
        mark[8..].copy_from_slice(&born.to_be_bytes());
        Ok(mark)
    }

    /// Notes the newest durable block.
    pub(crate) fn note_tip(&self, number: u64, hash: B256) -> io::Result<()> {
        let mut note = [0; 72];
        note[..8].copy_from_slice(&number.to_be_bytes());
        note[8..40].copy_from_slice(hash.as_slice());
        let check = keccak256(&note[..40]);
        note[40..].copy_from_slice(check.as_slice());
        self.tip.write_all_at(&note, 0)
    }

    /// The newest block that was noted; `None` when there is no whole note, which proves nothing.
    pub(crate) fn noted_tip(&self) -> Option<(u64, B256)> {
        let mut note = [0; 72];
        self.tip.read_exact_at(&mut note, 0).ok()?;
        let (body, check) = note.split_at(40);
        (keccak256(body).as_slice() == check).then(|| {
            let (number, hash) = body.split_at(8);
            (u64::from_be_bytes(number.try_into().expect("split at 8")), B256::from_slice(hash))
        })
    }
}

/// A directory may become a ledger when nothing but our own lock is in it.
fn is_fresh(dir: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if name != "lock" && !residual_durable::is_draft(&name) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let fail = |source| OpenError::Directory { path: path.to_owned(), source };
    let mut file = residual_durable::lock_file(path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The holder writes its id just after it has the lock, so for a moment there may be none.
            let _ = (&file).take(20).read_to_string(&mut pid);
            return Err(OpenError::InUse { path: path.to_owned(), pid: pid.trim().parse().ok() });
        }
        Err(TryLockError::Error(e)) => return Err(fail(e)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(fail)?;
    Ok(file)
}
