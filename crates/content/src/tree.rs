//! What is to be published: files of a directory, single files, bytes in memory.
//!
//! Owns: walking a directory, and reading its files so that what is sealed is what was there at one time. Refuses:
//! symbolic links (copy what they point to), sockets and the like, names that are not UTF-8 or could not be extracted
//! elsewhere, and files that change while they are read. Empty directories are not content and are left out.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata},
};

use crate::{
    cut::ContentReader,
    index::FileEntry,
    limits::{MAX_FILES, MAX_PATH_DEPTH},
    path::{PathError, TreePath},
};

/// Why something cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The file or directory cannot be read.
    #[error("cannot read {path}: make it readable, or leave it out")]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not what it was when publishing began.
    #[error("{path} changed while it was read ({change}): wait until it is finished and publish again")]
    Changed {
        /// Where it is.
        path: PathBuf,
        /// What shows it.
        change: &'static str,
    },
    /// A symbolic link.
    #[error(
        "{path} is a symbolic link: put a copy of what it points to in its place (cp -RL), or leave it out"
    )]
    SymbolicLink {
        /// Where it is.
        path: PathBuf,
    },
    /// Neither file nor directory.
    #[error("expected a file or directory, found something else at {path}: leave it out")]
    NotAFile {
        /// Where it is.
        path: PathBuf,
    },
    /// A name that another system could not take.
    #[error("{path} cannot be published under its name")]
    Name {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with the name; `None` when it is not UTF-8.
        #[source]
        source: Option<PathError>,
    },
    /// Two files for one place, or a file where a directory must be.
    #[error("expected one file at {path}, found another file or a directory there already")]
    Taken {
        /// The path inside the version.
        path: TreePath,
    },
    /// More files than a version may have.
    #[error("expected at most {MAX_FILES} files, found more: publish them as several assets")]
    TooMany,
}

/// What to do with files and directories whose name begins with a dot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hidden {
    /// Leave them out: they are more often `.git` and `.env` than data.
    #[default]
    Skip,
    /// Publish them like the rest.
    Include,
}

/// Files to be published, each under its path inside the version.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<TreePath, Origin>,
    hidden_skipped: u64,
}

#[derive(Debug)]
enum Origin {
    Memory(Vec<u8>),
    File(FileOrigin),
}

#[derive(Debug)]
struct FileOrigin {
    directory: Arc<Dir>,
    /// Inside `directory`.
    inside: PathBuf,
    /// For messages.
    shown: PathBuf,
    stamp: Stamp,
}

/// What the system says of a file without reading it; two equal stamps mean that nobody wrote in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<std::time::SystemTime>,
    /// Device, inode and time of the last change of either content or metadata, where there is such a thing.
    identity: (u64, u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use cap_std::fs::MetadataExt;
            (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = (0, 0, 0, 0);
        let modified = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
        Self { bytes: metadata.len(), modified, identity }
    }

    /// What tells this stamp from `other`.
    fn change(&self, other: &Self) -> Option<&'static str> {
        if self.bytes != other.bytes {
            Some("its length is another")
        } else if self.modified != other.modified {
            Some("it was written to")
        } else if self.identity != other.identity {
            Some("it was replaced or its attributes changed")
        } else {
            None
        }
    }
}

impl Tree {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all files below `directory`, each under its path relative to it.
    ///
    /// # Errors
    /// When anything in it cannot be published; nothing is read but names and lengths.
    pub fn add_directory(&mut self, directory: &Path, hidden: Hidden) -> Result<(), TreeError> {
        let unreadable = |source| TreeError::Unreadable { path: directory.to_owned(), source };
        let root = Arc::new(Dir::open_ambient_dir(directory, ambient_authority()).map_err(unreadable)?);
        self.walk(&root, &root, Path::new(""), directory, hidden, 0)
    }

    fn walk(
        &mut self,
        root: &Arc<Dir>,
        here: &Dir,
        inside: &Path,
        shown: &Path,
        hidden: Hidden,
        depth: usize,
    ) -> Result<(), TreeError> {
        let unreadable = |path: &Path, source| TreeError::Unreadable { path: path.to_owned(), source };
        for entry in here.entries().map_err(|error| unreadable(shown, error))? {
            let entry = entry.map_err(|error| unreadable(shown, error))?;
            let name = entry.file_name();
            let (inside, shown) = (inside.join(&name), shown.join(&name));
            let Some(name) = name.to_str() else { return Err(TreeError::Name { path: shown, source: None }) };
            if hidden == Hidden::Skip && name.starts_with('.') {
                self.hidden_skipped += 1;
                continue;
            }
            // The type of the entry itself: a symbolic link is not followed to be asked.
            let kind = entry.file_type().map_err(|error| unreadable(&shown, error))?;
            if kind.is_symlink() {
                return Err(TreeError::SymbolicLink { path: shown });
            } else if kind.is_dir() {
                if depth == MAX_PATH_DEPTH {
                    let reason = "it is deeper than 32 names";
                    let source = Some(PathError { found: inside.display().to_string(), reason });
                    return Err(TreeError::Name { path: shown, source });
                }
                let below = entry.open_dir().map_err(|error| unreadable(&shown, error))?;
                self.walk(root, &below, &inside, &shown, hidden, depth + 1)?;
            } else if kind.is_file() {
                let path = inside
                    .iter()
                    .map(|name| name.to_str().expect("each name was UTF-8 when it was walked"))
                    .collect::<Vec<_>>()
                    .join("/");
                let path = path
                    .parse()
                    .map_err(|source| TreeError::Name { path: shown.clone(), source: Some(source) })?;
                let metadata = entry.metadata().map_err(|error| unreadable(&shown, error))?;
                let stamp = Stamp::of(&metadata);
                self.add(
                    path,
                    Origin::File(FileOrigin { directory: Arc::clone(root), inside, shown, stamp }),
                )?;
            } else {
                return Err(TreeError::NotAFile { path: shown });
            }
        }
        Ok(())
    }

    /// Adds one file of the file system under `path`.
    ///
    /// # Errors
    /// When it is not a readable regular file, or `path` is taken.
    pub fn add_file(&mut self, file: &Path, path: TreePath) -> Result<(), TreeError> {
        let unreadable = |source| TreeError::Unreadable { path: file.to_owned(), source };
        let name = file.file_name().ok_or_else(|| TreeError::NotAFile { path: file.to_owned() })?;
        let parent = match file.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let directory = Dir::open_ambient_dir(parent, ambient_authority()).map_err(unreadable)?;
        let metadata = directory.symlink_metadata(name).map_err(unreadable)?;
        if metadata.is_symlink() {
            return Err(TreeError::SymbolicLink { path: file.to_owned() });
        }
        if !metadata.is_file() {
            return Err(TreeError::NotAFile { path: file.to_owned() });
        }
        let stamp = Stamp::of(&metadata);
        let origin =
            FileOrigin { directory: Arc::new(directory), inside: name.into(), shown: file.to_owned(), stamp };
        self.add(path, Origin::File(origin))
    }

    /// Adds `bytes` under `path`.
    ///
    /// # Errors
    /// When `path` is taken.
    pub fn add_bytes(&mut self, path: TreePath, bytes: Vec<u8>) -> Result<(), TreeError> {
        self.add(path, Origin::Memory(bytes))
    }

    fn add(&mut self, path: TreePath, origin: Origin) -> Result<(), TreeError> {
        let inside_a_file = path.directories().any(|directory| self.files.contains_key(directory));
        let below = format!("{path}/");
        let from_there = (Bound::Included(below.as_str()), Bound::Unbounded);
        let next = self.files.range::<str, _>(from_there).next();
        let has_files_below = next.is_some_and(|(next, _)| next.as_str().starts_with(&below));
        if inside_a_file || has_files_below || self.files.contains_key(&path) {
            return Err(TreeError::Taken { path });
        }
        if self.files.len() == MAX_FILES {
            return Err(TreeError::TooMany);
        }
        self.files.insert(path, origin);
        Ok(())
    }

    /// How many files are to be published.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is nothing to publish.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().map(Origin::bytes).sum()
    }

    /// How many hidden files and directories were left out.
    #[must_use]
    pub fn hidden_skipped(&self) -> u64 {
        self.hidden_skipped
    }

    /// The files as the index lists them.
    pub(crate) fn entries(&self) -> Vec<FileEntry> {
        let mut offset = 0;
        self.files
            .iter()
            .map(|(path, origin)| {
                let entry = FileEntry { path: path.clone(), offset, bytes: origin.bytes() };
                offset += entry.bytes;
                entry
            })
            .collect()
    }

    /// All files end to end.
    pub(crate) fn reader(&self) -> TreeReader<'_> {
        TreeReader { ahead: self.files.values(), current: None }
    }
}

impl Origin {
    fn bytes(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(file) => file.stamp.bytes,
        }
    }

    fn open(&self) -> Result<OpenOrigin<'_>, TreeError> {
        match self {
            Self::Memory(bytes) => Ok(OpenOrigin::Memory(bytes)),
            Self::File(origin) => {
                let unreadable = |source| TreeError::Unreadable { path: origin.shown.clone(), source };
                let file = origin.directory.open(&origin.inside).map_err(unreadable)?;
                origin.unchanged(&file)?;
                Ok(OpenOrigin::File { origin, file, left: origin.stamp.bytes })
            }
        }
    }
}

impl FileOrigin {
    fn unchanged(&self, file: &cap_std::fs::File) -> Result<(), TreeError> {
        let metadata =
            file.metadata().map_err(|source| TreeError::Unreadable { path: self.shown.clone(), source })?;
        match self.stamp.change(&Stamp::of(&metadata)) {
            None => Ok(()),
            Some(change) => Err(TreeError::Changed { path: self.shown.clone(), change }),
        }
    }
}

enum OpenOrigin<'a> {
    Memory(&'a [u8]),
    File { origin: &'a FileOrigin, file: cap_std::fs::File, left: u64 },
}

impl OpenOrigin<'_> {
    /// Reads some bytes; 0 at the end, when the file is found to be as it was.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TreeError> {
        match self {
            Self::Memory(bytes) => {
                let (head, rest) = bytes.split_at(bytes.len().min(buffer.len()));
                buffer[..head.len()].copy_from_slice(head);
                *bytes = rest;
                Ok(head.len())
            }
            Self::File { origin, file, left } => {
                if *left == 0 {
                    origin.unchanged(file)?;
                    return Ok(0);
                }
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                let read = loop {
                    match file.read(&mut buffer[..wanted]) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(source) => {
                            return Err(TreeError::Unreadable { path: origin.shown.clone(), source });
                        }
                        Ok(read) => break read,
                    }
                };
                if read == 0 {
                    return Err(TreeError::Changed { path: origin.shown.clone(), change: "it ends early" });
                }
                *left -= read as u64;
                Ok(read)
            }
        }
    }
}

/// Reads a tree's files end to end, each exactly as long as it was when it was added.
pub(crate) struct TreeReader<'a> {
    ahead: std::collections::btree_map::Values<'a, TreePath, Origin>,
    current: Option<OpenOrigin<'a>>,
}

impl ContentReader for TreeReader<'_> {
    type Error = TreeError;

    fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize, TreeError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let Some(current) = &mut self.current else {
                match self.ahead.next() {
                    Some(origin) => self.current = Some(origin.open()?),
                    None => break,
                }
                continue;
            };
            match current.read(&mut buffer[filled..])? {
                0 => self.current = None,
                read => filled += read,
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_all(tree: &Tree) -> Result<Vec<u8>, TreeError> {
        let mut bytes = vec![0; tree.bytes() as usize + 10];
        let read = tree.reader().read_full(&mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("b/empty")).unwrap();
        fs::write(directory.path().join("b/two"), "22").unwrap();
        fs::write(directory.path().join("a"), "1").unwrap();
        fs::write(directory.path().join(".env"), "secret").unwrap();
        directory
    }

    #[test]
    fn files_are_laid_end_to_end_by_path_and_hidden_ones_are_left_out_unless_wanted() {
        let directory = directory();
        let mut tree = Tree::new();
        tree.add_directory(directory.path(), Hidden::Skip).unwrap();
        tree.add_bytes("b/three".parse().unwrap(), b"333".to_vec()).unwrap();
        let listed: Vec<_> =
            tree.entries().into_iter().map(|file| (file.path.to_string(), file.offset, file.bytes)).collect();
        assert_eq!(
            listed,
            [("a".to_owned(), 0, 1), ("b/three".to_owned(), 1, 3), ("b/two".to_owned(), 4, 2)]
        );
        assert_eq!(read_all(&tree).unwrap(), b"133322");
        assert_eq!(tree.hidden_skipped(), 1);
        let mut all = Tree::new();
        all.add_directory(directory.path(), Hidden::Include).unwrap();
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn a_file_that_changes_after_it_was_listed_is_refused_by_name() {
        type Change = fn(&Path);
        let changes: [Change; 5] = [
            |file| fs::write(file, "longer than before").unwrap(),
            |file| fs::write(file, "").unwrap(),
            |file| fs::write(file, "33").unwrap(),
            |file| {
                // Another file of the same length and time in its place.
                let modified = fs::metadata(file).unwrap().modified().unwrap();
                fs::remove_file(file).unwrap();
                fs::write(file, "33").unwrap();
                fs::File::options().write(true).open(file).unwrap().set_modified(modified).unwrap();
            },
            |file| fs::remove_file(file).unwrap(),
        ];
        for (at, change) in changes.iter().enumerate() {
            let directory = directory();
            let mut tree = Tree::new();
            tree.add_directory(directory.path(), Hidden::Skip).unwrap();
            let file = directory.path().join("b/two");
            // Some file systems keep times no finer than a tick of the kernel.
            std::thread::sleep(std::time::Duration::from_millis(20));
            change(&file);
            let error = read_all(&tree).unwrap_err();
            assert!(error.to_string().contains("b/two"), "change {at}: {error}");
        }
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("growing");
        fs::write(&file, vec![1; 1000]).unwrap();
        let mut tree = Tree::new();
        tree.add_directory(directory.path(), Hidden::Skip).unwrap();
        let mut reader = tree.reader();
        assert_eq!(reader.read_full(&mut [0; 400]).unwrap(), 400);
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::OpenOptions::new().append(true).open(&file).unwrap().set_len(1001).unwrap();
        assert!(matches!(reader.read_full(&mut [0; 4000]), Err(TreeError::Changed { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_odd_files_and_names_are_refused_by_name() {
        use std::os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener};
        type Add = fn(&Path);
        let adds: [(&str, Add); 5] = [
            ("link", |root| symlink("/etc/passwd", root.join("link")).unwrap()),
            ("loop", |root| symlink(".", root.join("loop")).unwrap()),
            ("socket", |root| drop(UnixListener::bind(root.join("socket")).unwrap())),
            ("back\\slash", |root| fs::write(root.join("back\\slash"), "").unwrap()),
            ("latin", |root| fs::write(root.join(std::ffi::OsStr::from_bytes(b"latin\xe9")), "").unwrap()),
        ];
        for (name, add) in adds {
            let directory = directory();
            add(directory.path());
            let error = Tree::new().add_directory(directory.path(), Hidden::Skip).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let directory = directory();
        symlink("a", directory.path().join("link")).unwrap();
        let refused = Tree::new().add_file(&directory.path().join("link"), "x".parse().unwrap());
        assert!(matches!(refused, Err(TreeError::SymbolicLink { .. })));
    }

    #[test]
    fn a_path_is_taken_once_and_is_not_both_file_and_directory() {
        let mut tree = Tree::new();
        tree.add_bytes("a/b".parse().unwrap(), vec![]).unwrap();
        for taken in ["a/b", "a", "a/b/c"] {
            assert!(
                matches!(tree.add_bytes(taken.parse().unwrap(), vec![]), Err(TreeError::Taken { .. })),
                "{taken}"
            );
        }
        tree.add_bytes("a.b".parse().unwrap(), vec![]).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = Tree::new().add_directory(Path::new("/no/such/directory"), Hidden::Skip).unwrap_err();
        assert!(error.to_string().contains("/no/such/directory"));
    }
}
