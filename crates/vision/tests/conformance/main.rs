//! The readers and writers on folders: broken files made for this project, test data of other projects, and whatever
//! chance makes of either.
//!
//! Data that may not be copied is read from the folder that `RESIDUAL_SHARED_DATA` names; without it these tests fail.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod broken;
mod chance;
mod layouts;
mod others;
mod round_trips;

use std::{fs, path::Path};

use residual_vision::{Dataset, Findings, Folder, Format, Limits, Place, Severity, read};
use tempfile::TempDir;

/// A folder of the shared test data.
fn shared(path: &str) -> std::path::PathBuf {
    let folder = std::env::var_os("RESIDUAL_SHARED_DATA")
        .expect("set RESIDUAL_SHARED_DATA to the folder with the shared test data (`./test` does)");
    let path = Path::new(&folder).join(path);
    assert!(path.exists(), "expected {}; is RESIDUAL_SHARED_DATA the right folder?", path.display());
    path
}

/// A folder with these files.
fn folder_of(files: &[(&str, &[u8])]) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    place
}

/// The beginning of a PNG, as far as its size.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend(width.to_be_bytes());
    png.extend(height.to_be_bytes());
    png.extend([8, 2, 0, 0, 0]);
    png
}

/// What is read, and what was found wrong.
fn read_at(path: &Path, format: Format) -> (Dataset, Findings) {
    let limits = Limits::default();
    let mut findings = Findings::new(limits.findings_per_rule);
    let folder = Folder::list(path, &limits, &mut findings).unwrap();
    let dataset = read(&folder, format, &limits, &mut findings);
    (dataset, findings)
}

/// The ids of rules above Info that are broken, each as often as it is.
fn faults(findings: &Findings) -> Vec<&'static str> {
    let grave = findings.iter().filter(|finding| finding.severity() > Severity::Info);
    grave.map(|finding| finding.rule.id()).collect()
}

/// The same without the places where it is said, which differ from file to file.
fn without_places(mut dataset: Dataset) -> Dataset {
    dataset.images.iter_mut().for_each(|image| image.place = Place::default());
    dataset.annotations.iter_mut().for_each(|annotation| annotation.place = Place::default());
    dataset
}
