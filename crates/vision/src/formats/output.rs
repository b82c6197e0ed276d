//! What a writer writes to: a folder that its files cannot leave, and a count of what they cannot say.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};

use super::{Loss, WriteError, paths};

/// A folder to write to, in which nothing is written over.
#[derive(Debug)]
pub(crate) struct Output {
    root: Dir,
    written: BTreeSet<String>,
    losses: BTreeMap<&'static str, u64>,
}

impl Output {
    /// Makes the folder, if it is not there.
    pub(crate) fn create(path: &Path) -> Result<Self, WriteError> {
        let failed = |source| WriteError::Io { file: path.display().to_string(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        Ok(Self { root, written: BTreeSet::new(), losses: BTreeMap::new() })
    }

    /// Whether a file of this path was written.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.written.contains(path)
    }

    /// Writes a file that is not there yet. The path is one that [`paths::inside`] gave; the folder refuses any other.
    pub(crate) fn put(&mut self, path: String, content: &str) -> Result<(), WriteError> {
        let made = self.root.create_dir_all(match paths::parent(&path) {
            "" => ".",
            parent => parent,
        });
        let created =
            made.and_then(|()| self.root.open_with(&path, OpenOptions::new().write(true).create_new(true)));
        let done = created.and_then(|mut file| file.write_all(content.as_bytes()));
        done.map_err(|source| WriteError::Io { file: path.clone(), source })?;
        self.written.insert(path);
        Ok(())
    }

    /// Counts something that cannot be said.
    pub(crate) fn lose(&mut self, what: &'static str, count: usize) {
        if count > 0 {
            *self.losses.entry(what).or_default() += count as u64;
        }
    }

    /// What was lost.
    pub(crate) fn losses(self) -> Vec<Loss> {
        self.losses.into_iter().map(|(what, count)| Loss { what: what.to_owned(), count }).collect()
    }
}
