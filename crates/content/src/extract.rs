//! Writing a version's files to a directory.
//!
//! Owns: that nothing is written outside the target, whatever the version or the target holds (paths are checked when an
//! index is read, and every file is opened relative to the target's handle, which links cannot leave); that a file is
//! there whole or not at all; and that repeating an interrupted extraction goes on where it stopped. One extraction at a
//! time into one target.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use cap_std::{ambient_authority, fs::Dir};

use crate::{
    index::FileEntry,
    path::{STAGING, TreePath},
    seal::{OnProgress, Progress},
    store::BlockSource,
    version::{OpenVersion, ReadError},
};

/// Why a version was not extracted, or not all of it; the files written so far stay.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// A file could not be read from the version.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something else is where a file belongs.
    #[error(
        "expected nothing or the same file at {path}, found another: move it away, or ask for it to be replaced"
    )]
    Occupied {
        /// The path below the target.
        path: TreePath,
    },
    /// No room for a file.
    #[error("no space left for {path}: make room and repeat")]
    Full {
        /// Where it belongs.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Any other refusal of the file system, links that lead outside the target among them.
    #[error("cannot write {path}")]
    Io {
        /// Where it belongs.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// What to do when something else is where a file belongs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// Stop and say so.
    #[default]
    Keep,
    /// Put the version's file in its place.
    Replace,
}

/// What an extraction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Files written.
    pub written: u64,
    /// Files that were there already, byte for byte.
    pub present: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

impl<S: BlockSource> OpenVersion<S> {
    /// Writes all files below `target`, which is made if need be.
    ///
    /// A file that is there already with the same bytes is left alone, so that repeating an interrupted extraction
    /// completes it.
    ///
    /// # Errors
    /// When a leaf is missing or altered, something else is in the way, or the file system refuses.
    pub fn extract(
        &self,
        target: &Path,
        existing: Existing,
        progress: OnProgress<'_>,
    ) -> Result<Extracted, ExtractError> {
        std::fs::create_dir_all(target).map_err(|error| failed(target, error))?;
        let root =
            Dir::open_ambient_dir(target, ambient_authority()).map_err(|error| failed(target, error))?;
        let extraction = Extraction { version: self, root: &root, target };
        // Left over from an extraction that was killed.
        extraction.remove_staging()?;
        root.create_dir(STAGING).map_err(|error| failed(&target.join(STAGING), error))?;
        let mut extracted = Extracted::default();
        let total = self.content_bytes();
        let mut outcome = Ok(());
        for file in self.files() {
            match extraction.place(file, existing) {
                Ok(true) => extracted.written += 1,
                Ok(false) => extracted.present += 1,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
            extracted.bytes += file.bytes;
            progress(Progress { done: extracted.bytes, total });
        }
        let cleaned = extraction.remove_staging();
        outcome.and(cleaned).map(|()| extracted)
    }
}

struct Extraction<'a, S> {
    version: &'a OpenVersion<S>,
    root: &'a Dir,
    target: &'a Path,
}

impl<S: BlockSource> Extraction<'_, S> {
    fn remove_staging(&self) -> Result<(), ExtractError> {
        match self.root.remove_dir_all(STAGING) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(&self.target.join(STAGING), error))
            }
            _ => Ok(()),
        }
    }

    /// Brings one file to its place; false when it was there.
    fn place(&self, file: &FileEntry, existing: Existing) -> Result<bool, ExtractError> {
        let path = file.path.as_str();
        let failed = |error| failed(&self.target.join(path), error);
        if let Some(directory) = file.path.directories().last() {
            self.root.create_dir_all(directory).map_err(failed)?;
        }
        match self.root.symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(there) => {
                if there.is_file() && there.len() == file.bytes && self.is_same(file)? {
                    return Ok(false);
                }
                if existing == Existing::Keep || there.is_dir() {
                    return Err(ExtractError::Occupied { path: file.path.clone() });
                }
            }
        }
        let staged = Path::new(STAGING).join("file");
        let mut out = self.root.create(&staged).map_err(failed)?;
        self.version.pieces(file, 0..file.bytes, |piece| out.write_all(piece).map_err(failed))?;
        drop(out);
        self.root.rename(&staged, self.root, path).map_err(failed)?;
        Ok(true)
    }

    /// Whether the file in place has the version's bytes.
    fn is_same(&self, file: &FileEntry) -> Result<bool, ExtractError> {
        /// Ends the comparison at the first difference.
        enum Stop {
            Differs,
            Failed(ExtractError),
        }
        impl From<ReadError> for Stop {
            fn from(error: ReadError) -> Self {
                Self::Failed(error.into())
            }
        }
        let failed = |error| failed(&self.target.join(file.path.as_str()), error);
        let mut there = self.root.open(file.path.as_str()).map_err(failed)?;
        let mut buffer = Vec::new();
        let compared = self.version.pieces(file, 0..file.bytes, |piece| {
            buffer.resize(piece.len(), 0);
            match there.read_exact(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Stop::Differs),
                Err(error) => Err(Stop::Failed(failed(error))),
                Ok(()) if buffer == piece => Ok(()),
                Ok(()) => Err(Stop::Differs),
            }
        });
        match compared {
            Ok(()) => Ok(true),
            Err(Stop::Differs) => Ok(false),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}

fn failed(path: &Path, source: io::Error) -> ExtractError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ExtractError::Full { path: path.to_owned(), source }
        }
        _ => ExtractError::Io { path: path.to_owned(), source },
    }
}
