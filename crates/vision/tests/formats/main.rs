//! The annotation formats by their public functions: what is found in broken files, that nothing is lost in a round trip,
//! and that no bytes make a reader panic.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod coco;
mod conformance;
mod corrupt;
mod createml;
mod detection;
mod hostile;
mod labelme;
mod layouts;
mod million;
mod round_trip;
mod text_chance;
mod text_faults;
mod text_round_trip;

use std::path::{Path, PathBuf};

use residual_vision::{Dataset, Findings, Folder, Format, Limits, Place, Severity, read};

/// A broken file, or what is expected of all.
fn corrupt(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corrupt").join(path)
}

/// A folder with these files, read in a format.
fn read_files(format: Format, files: &[(&str, &[u8])]) -> (Dataset, Findings) {
    let place = folder(files);
    read_folder(format, place.path())
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = place.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
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

fn read_folder(format: Format, path: &Path) -> (Dataset, Findings) {
    let (limits, mut findings) = (Limits::default(), Findings::new(100));
    let folder = Folder::list(path, &limits, &mut findings).unwrap();
    let dataset = read(&folder, format, &limits, &mut findings);
    (dataset, findings)
}

/// The ids of the rules that are broken, once for each time, but for mere facts.
fn rules(findings: &Findings) -> Vec<&'static str> {
    let grave = findings.counts().filter(|(rule, _)| rule.severity() > Severity::Info);
    grave.flat_map(|(rule, count)| std::iter::repeat_n(rule.id(), count as usize)).collect()
}

/// The places and rules of all findings, in words.
fn told(findings: &Findings) -> Vec<String> {
    findings
        .iter()
        .map(|finding| format!("{} {}: {}", finding.rule.id(), finding.place, finding.found))
        .collect()
}

/// The same without the places where it is said, which differ from file to file.
fn without_places(mut dataset: Dataset) -> Dataset {
    dataset.images.iter_mut().for_each(|image| image.place = Place::default());
    dataset.annotations.iter_mut().for_each(|annotation| annotation.place = Place::default());
    dataset
}
