//! Files that are there whole or not at all, and survive a power cut.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// Makes `path` with `bytes`, for the owner alone; false, with nothing changed, when there is such a file already.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => flush_directory(directory).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// Makes the names in a directory survive. Only POSIX systems can be asked to; elsewhere a rename is durable by itself.
pub(crate) fn flush_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
