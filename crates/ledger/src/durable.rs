//! Writing that outlives a crash, of the process or of the machine.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

/// Puts a whole file in the place of another: after a crash either is there, complete.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_dir(dir)
}

/// Makes a directory for its owner only, with those above it that are missing. Whatever was made here is durable when
/// this returns: a directory is there after a crash only if the one that names it was written out too.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    let missing: Vec<_> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)?;
    missing.into_iter().filter_map(Path::parent).try_for_each(sync_dir)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    let here = dir.as_os_str().is_empty();
    fs::File::open(if here { Path::new(".") } else { dir })?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_at_any_depth_and_again() {
        let root = tempfile::tempdir().expect("a directory");
        let deep = root.path().join("a").join("b").join("c");
        for _ in 0..2 {
            make_dir(&deep).expect("makes");
            assert!(deep.is_dir());
        }
        write(&deep.join("file"), b"first").expect("writes");
        write(&deep.join("file"), b"second").expect("writes");
        assert_eq!(fs::read(deep.join("file")).expect("reads"), b"second");
        let in_the_way = deep.join("file").join("d");
        make_dir(&in_the_way).expect_err("a file is in the way");
    }
}
