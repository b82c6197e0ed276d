//! The sample data of other projects, read where the variable `RESIDUAL_SHARED_DATA` says they are: their licences let us read
//! them and not hand them on.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod coco;

use std::path::{Path, PathBuf};

/// A file or folder of the shared data. Fails where there is none: a sample that is not read proves nothing.
fn shared(path: &str) -> PathBuf {
    let folder = std::env::var_os("RESIDUAL_SHARED_DATA")
        .expect("set RESIDUAL_SHARED_DATA to the folder with the shared test data (`./test` does)");
    let path = Path::new(&folder).join(path);
    assert!(path.exists(), "expected {}; is RESIDUAL_SHARED_DATA the right folder?", path.display());
    path
}
