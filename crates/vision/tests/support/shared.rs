//! The sample data of other projects, whose licences let us read them and not hand them on.

use std::path::{Path, PathBuf};

/// A file or folder of the shared data. Fails where there is none, since a sample that is not read proves nothing: where it is
/// not to be had, `./test` leaves out the tests in modules named `conformance`, which alone ask for it.
pub(crate) fn shared(path: &str) -> PathBuf {
    let folder = std::env::var_os("RESIDUAL_SHARED_DATA")
        .expect("set RESIDUAL_SHARED_DATA to the folder with the shared test data (`./test` does)");
    let path = Path::new(&folder).join(path);
    assert!(path.exists(), "expected {}; is RESIDUAL_SHARED_DATA the right folder?", path.display());
    path
}
