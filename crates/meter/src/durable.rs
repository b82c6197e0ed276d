//! Files that are there whole or not at all, and directories that have one owner.

use std::{
    fs::{self, File},
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

/// Makes the directory, durably, and takes its lock `name`, which is held until the file is dropped or the process dies.
pub(crate) fn lock(dir: &Path, name: &str) -> Result<File, FileError> {
    residual_durable::make_dir(dir).map_err(failed("create", dir))?;
    let path = dir.join(name);
    let held = residual_durable::lock(&path).map_err(failed("lock", &path))?;
    held.ok_or(FileError::InUse { path })
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
    let dir = path.parent().unwrap_or(Path::new("."));
    residual_durable::flush_dir(dir).map_err(failed("flush the directory of", path))
}

/// Replaces the content of `path`, durably and as a whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    residual_durable::write(path, bytes).map_err(failed("replace", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MET-1: a log is there after a power cut only if each directory above it is.
    #[test]
    fn met_1_every_directory_that_a_log_lies_in_is_flushed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("meter/gateway");
        let flushed = residual_durable::flushed_by(|| drop(lock(&dir, "lock").unwrap()));
        assert_eq!(flushed, [temp.path().to_owned(), temp.path().join("meter")]);
        let held = lock(&dir, "lock").unwrap();
        assert!(matches!(lock(&dir, "lock"), Err(FileError::InUse { .. })));
        drop(held);
        let file = dir.join("file");
        assert_eq!(residual_durable::flushed_by(|| replace(&file, b"x").unwrap()), [dir]);
    }
}
