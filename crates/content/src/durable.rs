//! Files that are there whole or not at all, and survive a power cut, and the directories that they lie in.

use std::{
    fs::{DirBuilder, File},
    io::{self, Write},
    path::Path,
};

/// Makes a directory for the owner alone, with those above it that are missing, and makes its name survive: also when
/// it is there already, since whoever made it may have been stopped before that.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let mut made = builder.create(path);
    if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        && let Some(above) = path.parent()
    {
        create_directory(above)?;
        made = builder.create(path);
    }
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    path.parent().map_or(Ok(()), flush_directory)
}

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
    #[cfg(test)]
    tests::FLUSHED.with_borrow_mut(|flushed| flushed.push(path.to_owned()));
    // The parent of a name alone is the directory that the process is in.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{cell::RefCell, fs, path::PathBuf};

    use super::*;

    thread_local! {
        /// What this thread flushed: a power cut cannot be tried here.
        pub(super) static FLUSHED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    /// The directories flushed meanwhile, in order.
    pub(crate) fn flushed_by(work: impl FnOnce()) -> Vec<PathBuf> {
        FLUSHED.take();
        work();
        FLUSHED.take()
    }

    #[test]
    fn every_directory_that_is_made_is_flushed_where_it_lies() {
        let root = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "a/b", "a/b/c"].map(|path| root.path().join(path));
        let made = flushed_by(|| create_directory(&c).unwrap());
        assert_eq!(made, [root.path(), a.as_path(), b.as_path()]);
        let found = flushed_by(|| create_directory(&c).unwrap());
        assert_eq!(found, [b.as_path()], "it may not be flushed yet");
        let written = flushed_by(|| assert!(write_new(&c.join("file"), b"x").unwrap()));
        assert_eq!(written, [c.as_path()]);
        fs::write(a.join("file"), b"x").unwrap();
        assert!(create_directory(&a.join("file")).is_err(), "a file is no directory");
        assert!(create_directory(&a.join("file/below")).is_err());
        assert!(create_directory(Path::new("")).is_err());
        create_directory(Path::new(".")).unwrap();
    }
}
