//! Files that are there whole or not at all, and survive a power cut with the directories that they lie in.
//!
//! Owns how a file is put in its place, how a directory's name is made to last, and how a lock is taken. Refuses to know
//! what is in them, and what went wrong means to whoever asked: errors are the system's own.
//!
//! A file or directory is there after a power cut only if the directory that names it was written out too. Only POSIX
//! systems can be asked to do that; elsewhere a rename is durable by itself.

use std::{
    ffi::OsStr,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::Path,
};

use tempfile::NamedTempFile;

/// What the names of files begin with that are not in their places yet.
const DRAFT: &str = ".new-";

/// Puts a file with `bytes`, for the owner alone, in the place of another or of none: after a crash either is there, whole.
/// Two writers at once do not mix.
///
/// # Errors
/// The system's; what was there before stays then, unless all but the last flush was done.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (directory, file) = drafted(path, bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    flush_dir(directory)
}

/// Makes `path` with `bytes`, for the owner alone; false, with nothing changed, when there is such a file already.
///
/// # Errors
/// The system's.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let (directory, file) = drafted(path, bytes)?;
    match file.persist_noclobber(path) {
        Ok(_) => flush_dir(directory).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// Writes beside the place, under a name of its own, and makes that durable.
fn drafted<'p>(path: &'p Path, bytes: &[u8]) -> io::Result<(&'p Path, NamedTempFile)> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(DRAFT).tempfile_in(here_if_empty(directory))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok((directory, file))
}

/// Whether a name in a directory is of a file that a crash kept from its place; it is of no use to anybody.
#[must_use]
pub fn is_draft(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(DRAFT.as_bytes())
}

/// Makes a directory for the owner alone, with those above it that are missing, and makes its name survive: also when it is
/// there already, since whoever made it may have been stopped before that.
///
/// # Errors
/// The system's, also when a file is in the way.
pub fn make_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let mut made = builder.create(path);
    if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        && let Some(above) = path.parent()
    {
        make_dir(above)?;
        made = builder.create(path);
    }
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    path.parent().map_or(Ok(()), flush_dir)
}

/// Makes the names in a directory survive.
///
/// # Errors
/// The system's.
pub fn flush_dir(path: &Path) -> io::Result<()> {
    #[cfg(any(test, feature = "testing"))]
    note(path);
    if cfg!(unix) { File::open(here_if_empty(path))?.sync_all() } else { Ok(()) }
}

/// The parent of a name alone is the directory that the process is in.
fn here_if_empty(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Opens a lock file, for the owner alone, made if need be. Its content is whoever holds it's.
///
/// # Errors
/// The system's.
pub fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Takes a lock, which is held until the file is dropped or the process dies; none when somebody else has it.
///
/// # Errors
/// The system's.
pub fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = lock_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether somebody holds a lock. Those who ask do not see each other.
///
/// # Errors
/// The system's.
pub fn is_locked(path: &Path) -> io::Result<bool> {
    match lock_file(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(any(test, feature = "testing"))]
thread_local! {
    /// What this thread flushes while [`flushed_by`] listens: a power cut cannot be tried.
    static FLUSHED: std::cell::RefCell<Option<Vec<std::path::PathBuf>>> = const { std::cell::RefCell::new(None) };
}

#[cfg(any(test, feature = "testing"))]
fn note(path: &Path) {
    FLUSHED.with_borrow_mut(|flushed| flushed.iter_mut().for_each(|flushed| flushed.push(path.to_owned())));
}

/// The directories that this thread flushes during `work`, in order.
#[cfg(any(test, feature = "testing"))]
pub fn flushed_by(work: impl FnOnce()) -> Vec<std::path::PathBuf> {
    FLUSHED.set(Some(Vec::new()));
    work();
    FLUSHED.take().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_directory_that_is_made_is_flushed_where_it_lies() {
        let root = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "a/b", "a/b/c"].map(|path| root.path().join(path));
        let made = flushed_by(|| make_dir(&c).unwrap());
        assert_eq!(made, [root.path(), a.as_path(), b.as_path()]);
        let found = flushed_by(|| make_dir(&c).unwrap());
        assert_eq!(found, [b.as_path()], "it may not be flushed yet");
        for write in
            [|path: &Path| write_new(path, b"x").map(|new| assert!(new)), |path: &Path| write(path, b"y")]
        {
            assert_eq!(flushed_by(|| write(&c.join("file")).unwrap()), [c.as_path()]);
        }
        fs::write(a.join("file"), b"x").unwrap();
        assert!(make_dir(&a.join("file")).is_err(), "a file is no directory");
        assert!(make_dir(&a.join("file/below")).is_err());
        assert!(make_dir(Path::new("")).is_err());
        make_dir(Path::new(".")).unwrap();
    }

    #[test]
    fn writers_at_once_leave_one_whole_file_and_no_draft() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("record");
        std::thread::scope(|scope| {
            for byte in 0..8_u8 {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| write(path, &[byte; 10_000]).unwrap()));
            }
        });
        let written = fs::read(&path).unwrap();
        assert_eq!(written.len(), 10_000);
        assert!(written.iter().all(|byte| *byte == written[0]), "one writer's, whole");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        assert!(!write_new(&path, b"another").unwrap());
        assert_eq!(fs::read(&path).unwrap(), written);
        assert!(is_draft(drafted(&path, b"x").unwrap().1.path().file_name().unwrap()));
    }

    #[test]
    fn a_lock_has_one_holder_and_askers_do_not_hold_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("lock");
        assert!(!is_locked(&path).unwrap());
        let held = lock(&path).unwrap().unwrap();
        assert!(lock(&path).unwrap().is_none());
        assert!(is_locked(&path).unwrap());
        drop(held);
        assert!(lock(&path).unwrap().is_some());
    }
}
