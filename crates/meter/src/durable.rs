//! Files that are there whole or not at all, and directories that have one owner.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {doing} {}: {source}; look at the permissions and the free space, then try again", path.display())]
    System {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it did not work.
        source: io::Error,
    },
    /// Another process has it.
    #[error("expected to be the only user of {}, found it locked; stop the other process or take another directory", path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
}

/// For `map_err`: names what was done to which path.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::System { doing, path, source }
}

/// Makes the directory and takes its lock `name`, which is held until the file is dropped or the process dies.
pub(crate) fn lock(dir: &Path, name: &str) -> Result<File, FileError> {
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let path = dir.join(name);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FileError::InUse { path }),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
    }
}

/// Where [`draft`] writes what is to become `path`.
pub(crate) fn draft_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Writes all of `parts` durably beside `path`, which stays as it is. A draft that a crash left is overwritten.
pub(crate) fn draft<P: AsRef<[u8]>>(path: &Path, parts: impl Iterator<Item = P>) -> Result<File, FileError> {
    let draft = draft_path(path);
    let write = || {
        let mut file = io::BufWriter::new(File::create(&draft)?);
        for part in parts {
            file.write_all(part.as_ref())?;
        }
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(file)
    };
    write().map_err(|source| {
        // What is left of it would only keep a full disk full.
        let _ = fs::remove_file(&draft);
        failed("write", &draft)(source)
    })
}

/// Puts the draft in the place of `path`, durably. After an error either of the two may be found there.
pub(crate) fn adopt_draft(path: &Path) -> Result<(), FileError> {
    fs::rename(draft_path(path), path).map_err(failed("replace", path))?;
    flush_directory_of(path)
}

/// Removes the file durably.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).map_err(failed("remove", path))?;
    flush_directory_of(path)
}

fn flush_directory_of(path: &Path) -> Result<(), FileError> {
    // Only POSIX systems can flush a directory; elsewhere renaming and removing are durable by themselves.
    if cfg!(unix) {
        let dir = path.parent().unwrap_or(Path::new("."));
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("flush the directory of", path))?;
    }
    Ok(())
}

/// Replaces the content of `path`, durably and as a whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    draft(path, std::iter::once(bytes))?;
    adopt_draft(path)
}
