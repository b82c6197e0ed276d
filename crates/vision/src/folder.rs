//! The folder of a dataset: a listing made once, and reads of what was listed and nothing else.
//!
//! Every path is relative, with `/` between its parts. Links are followed within the folder and nowhere else, by a
//! capability for the folder (`cap-std`), so that a link which is changed between two looks gains nothing. What is hidden
//! (a name that begins with a dot) is left out, as publishing leaves it out.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::Path,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, File},
};

use crate::{Findings, Limits, Place, Rule};

/// A folder that was listed. Its files are in the order of their paths' bytes.
#[derive(Debug)]
pub struct Folder {
    root: Dir,
    files: BTreeMap<String, u64>,
    /// Whether a file was named, and not a folder.
    one_file: bool,
}

/// Why a folder cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is not there, is neither folder nor file, or may not be read.
    #[error("expected a folder or an annotation file that can be read at {path}: {source}")]
    Open {
        /// Where.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Why a file of the folder cannot be read whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is larger than the limit, perhaps since it was listed.
    #[error("expected at most {limit} bytes, found {found}")]
    TooLarge {
        /// What is allowed.
        limit: u64,
        /// What is there, at least.
        found: u64,
    },
    /// The system does not give it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Folder {
    /// Lists the folder. What cannot be taken in (a link that leads out, a name that is not UTF-8, too many files, too
    /// deep) becomes a finding, and the rest is listed.
    ///
    /// Of a path that is a file's, the folder is that file alone, whatever stands beside it ([`Folder::is_one_file`]).
    ///
    /// # Errors
    /// The folder itself cannot be opened.
    pub fn list(path: &Path, limits: &Limits, findings: &mut Findings) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Open { path: path.display().to_string(), source };
        if path.is_file() {
            return Self::of_file(path).map_err(failed);
        }
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        let mut listing = Listing { root: &root, limits, findings, files: BTreeMap::new() };
        listing.folder(&root, "", 0).map_err(failed)?;
        let files = listing.files;
        Ok(Self { root, files, one_file: false })
    }

    fn of_file(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let unnamed = || io::Error::new(io::ErrorKind::InvalidInput, "expected a name in UTF-8");
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(unnamed)?;
        let root = Dir::open_ambient_dir(path.parent().unwrap_or(&path), ambient_authority())?;
        let bytes = root.metadata(name)?.len();
        Ok(Self { root, files: BTreeMap::from([(name.to_owned(), bytes)]), one_file: true })
    }

    /// Whether it is a single file, of whose images and other company nothing is known.
    pub fn is_one_file(&self) -> bool {
        self.one_file
    }

    /// Every file and its bytes, in the order of paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), *bytes))
    }

    /// The bytes of a file; none where there is no such file.
    pub fn bytes(&self, path: &str) -> Option<u64> {
        self.files.get(path).copied()
    }

    /// Whether there is a file somewhere beneath this path.
    pub(crate) fn has_folder(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.files.range(prefix.clone()..).next().is_some_and(|(file, _)| file.starts_with(&prefix))
    }

    /// A file, to read parts of it.
    pub(crate) fn open(&self, path: &str) -> io::Result<File> {
        if !self.files.contains_key(path) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        self.root.open(path)
    }

    /// A file's content, if it is at most `limit` bytes.
    ///
    /// # Errors
    /// It is larger, or cannot be read.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        let file = self.open(path)?;
        let listed = self.bytes(path).unwrap_or(0);
        if listed > limit {
            return Err(ReadError::TooLarge { limit, found: listed });
        }
        let mut content = Vec::with_capacity(usize::try_from(listed).unwrap_or(0));
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut content)? as u64;
        if read > limit { Err(ReadError::TooLarge { limit, found: read }) } else { Ok(content) }
    }

    /// The first bytes of a file, `limit` at most.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn head(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.open(path)?.take(limit).read_to_end(&mut head)?;
        Ok(head)
    }
}

struct Listing<'a> {
    root: &'a Dir,
    limits: &'a Limits,
    findings: &'a mut Findings,
    files: BTreeMap<String, u64>,
}

impl Listing<'_> {
    fn folder(&mut self, dir: &Dir, prefix: &str, depth: usize) -> io::Result<()> {
        if depth > self.limits.depth {
            let found = format!("expected folders at most {} deep", self.limits.depth);
            self.findings.add(Rule::ResourceLimit, &Place::file(prefix), found);
            return Ok(());
        }
        for entry in dir.entries()? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                let found = format!("expected file names in UTF-8, found {:?}", entry.file_name());
                self.findings.add(Rule::BadEncoding, &Place::file(prefix), found);
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            // Follows links, within the root only: cap-std refuses one that leads out.
            match self.root.metadata(&path) {
                Ok(metadata) if metadata.is_dir() && entry.file_type()?.is_symlink() => {
                    // A linked folder could hold itself; its files are listed where they are.
                }
                Ok(metadata) if metadata.is_dir() => self.folder(&dir.open_dir(&name)?, &path, depth + 1)?,
                Ok(metadata) if metadata.is_file() => {
                    if self.files.len() >= self.limits.files {
                        let found = format!("expected at most {} files", self.limits.files);
                        self.findings.add(Rule::ResourceLimit, &Place::file(path), found);
                        return Ok(());
                    }
                    self.files.insert(path, metadata.len());
                }
                Ok(_) => {
                    let found = "expected a file or a folder, found neither";
                    self.findings.add(Rule::BadType, &Place::file(path), found);
                }
                Err(error) => {
                    let found =
                        format!("expected a link within the folder, found one that leads elsewhere: {error}");
                    self.findings.add(Rule::PathTraversal, &Place::file(path), found);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_folder_and_nowhere_else() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("set");
        std::fs::create_dir_all(root.join("images/.cache")).unwrap();
        std::fs::write(place.path().join("outside"), "o").unwrap();
        std::fs::write(root.join("images/a"), "abc").unwrap();
        std::fs::write(root.join("images/.cache/b"), "b").unwrap();
        std::os::unix::fs::symlink("images/a", root.join("inside")).unwrap();
        std::os::unix::fs::symlink("../outside", root.join("out")).unwrap();
        std::os::unix::fs::symlink("..", root.join("images/loop")).unwrap();
        let mut findings = Findings::new(10);
        let folder = Folder::list(&root, &Limits::default(), &mut findings).unwrap();
        assert_eq!(folder.files().collect::<Vec<_>>(), [("images/a", 3), ("inside", 3)]);
        assert_eq!(findings.count(Rule::PathTraversal), 1);
        assert_eq!(folder.read("inside", 3).unwrap(), b"abc");
        assert!(matches!(folder.read("images/a", 2), Err(ReadError::TooLarge { limit: 2, found: 3 })));
        assert!(folder.read("../outside", 3).is_err());
        assert_eq!(folder.head("images/a", 2).unwrap(), b"ab");
        assert!(folder.head("../outside", 2).is_err());
        assert!(folder.head("images/.cache/b", 1).is_err());
    }

    #[test]
    fn a_file_is_a_folder_of_its_own() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("a.json"), "{}").unwrap();
        std::fs::write(place.path().join("b.json"), "{}").unwrap();
        let list =
            |name: &str| Folder::list(&place.path().join(name), &Limits::default(), &mut Findings::new(1));
        let folder = list("a.json").unwrap();
        assert!(folder.is_one_file() && !list("").unwrap().is_one_file());
        assert_eq!(folder.files().collect::<Vec<_>>(), [("a.json", 2)]);
        assert_eq!(folder.read("a.json", 2).unwrap(), b"{}");
        assert!(folder.read("b.json", 2).is_err());
        assert!(
            list("c.json").unwrap_err().to_string().starts_with("expected a folder or an annotation file")
        );
    }
}
