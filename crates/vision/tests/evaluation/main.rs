//! Evaluation beside pycocotools, and the linter on clean datasets of others.
//!
//! The data are read from the folder that `RESIDUAL_SHARED_DATA` names (they may not be copied); pycocotools from
//! `tests/peers/.venv` (see `tests/peers/setup`). Without either these tests fail: a check that is skipped checks nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod clean;
mod hostile;
mod made;
mod peer;
mod pycocotools;
mod read;

/// A file of the shared data.
fn shared(path: &str) -> std::path::PathBuf {
    let folder = std::env::var_os("RESIDUAL_SHARED_DATA")
        .expect("set RESIDUAL_SHARED_DATA to the folder with the shared test data (`./test` does)");
    let path = std::path::Path::new(&folder).join(path);
    assert!(path.exists(), "expected {}; is RESIDUAL_SHARED_DATA the right folder?", path.display());
    path
}
