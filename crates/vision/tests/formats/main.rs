//! The annotation formats by their public functions: what is found in broken files, that nothing is lost in a round trip,
//! and that no bytes make a reader panic.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod coco;
mod corrupt;
mod createml;
mod detection;
mod hostile;
mod labelme;
mod million;
mod round_trip;

use std::path::Path;

use residual_vision::{Dataset, Findings, Folder, Format, Limits, Severity, read};

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
