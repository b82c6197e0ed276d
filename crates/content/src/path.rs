//! Paths of files inside a version.
//!
//! Owns: [`TreePath`], a path that cannot leave the directory it is joined to. Refuses: everything else that a file
//! system might understand.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PATH_DEPTH};

/// The name that extraction keeps for itself at the top of its target.
pub(crate) const STAGING: &str = ".residual-partial";

/// Why a text is not a path inside a version.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("expected a relative path such as images/0001.png, found {found:?}: {reason}")]
pub struct PathError {
    /// The text as given, cut to 80 characters.
    pub found: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A file's path inside a version: names joined by `/`, UTF-8, never absolute, without `.` and `..`, without control
/// characters, backslashes or colons (they lead elsewhere on Windows), at most 1,024 bytes, 255 a name, 32 names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(String);

impl TreePath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directories that the path lies in, outermost first: `a`, `a/b` for `a/b/c`.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl TryFrom<String> for TreePath {
    type Error = PathError;

    fn try_from(path: String) -> Result<Self, PathError> {
        let foreign = |c: char| c.is_control() || c == '\\' || c == ':';
        let reason = if path.is_empty() {
            "it is empty"
        } else if path.len() > MAX_PATH_BYTES {
            "it is longer than 1,024 bytes"
        } else if path.starts_with('/') {
            "it is absolute"
        } else if path.contains(foreign) {
            "it has a control character, a backslash or a colon"
        } else if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
            "it has an empty name, `.` or `..`"
        } else if path.split('/').any(|name| name.len() > MAX_NAME_BYTES) {
            "a name in it is longer than 255 bytes"
        } else if path.split('/').count() > MAX_PATH_DEPTH {
            "it is deeper than 32 names"
        } else if path.split('/').next() == Some(STAGING) {
            "its first name is kept for unfinished files"
        } else {
            return Ok(Self(path));
        };
        Err(PathError { found: path.chars().take(80).collect(), reason })
    }
}

impl FromStr for TreePath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        path.to_owned().try_into()
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0
    }
}

impl Borrow<str> for TreePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_leave_its_directory_is_refused() {
        let long_name = "x".repeat(256);
        let deep = vec!["d"; 33].join("/");
        let long = vec!["d".repeat(200); 6].join("/");
        for path in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            ".",
            "./a",
            "a//b",
            "a/",
            "a\\..\\b",
            "C:/x",
            "C:x",
            "a\0b",
            "a\nb",
            "\u{7f}",
            ".residual-partial/0",
            &long_name,
            &deep,
            &long,
        ] {
            assert!(path.parse::<TreePath>().is_err(), "{path:?}");
        }
        for path in ["a", "a/b.txt", "...", ".hidden", "ä/ö 1", "a..b"] {
            assert_eq!(path.parse::<TreePath>().unwrap().as_str(), path);
        }
        assert_eq!("a/b/c".parse::<TreePath>().unwrap().directories().collect::<Vec<_>>(), ["a", "a/b"]);
    }

    proptest! {
        #[test]
        fn a_path_that_passes_has_only_plain_names(path in "[a./\\\\:\\x00é]{0,20}") {
            if let Ok(path) = path.parse::<TreePath>() {
                prop_assert!(Path::new(path.as_str()).components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
