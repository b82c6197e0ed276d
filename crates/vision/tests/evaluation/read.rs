//! Datasets and detections as this crate's readers read them.

use std::{fs, path::Path};

use residual_vision::{Annotation, Dataset, Findings, Folder, Format, Limits, Severity, read, read_results};

pub(crate) fn dataset(path: &Path) -> Dataset {
    let (limits, mut findings) = (Limits::default(), Findings::new(10));
    let file = Folder::list(path, &limits, &mut findings).unwrap();
    let dataset = read(&file, Format::Coco, &limits, &mut findings);
    assert_sound(path, &findings);
    dataset
}

pub(crate) fn detections(path: &Path, truth: &Dataset) -> Vec<Annotation> {
    let mut findings = Findings::new(10);
    let content = fs::read(path).unwrap();
    let detections =
        read_results(&path.display().to_string(), &content, truth, None, &Limits::default(), &mut findings);
    assert_sound(path, &findings);
    detections
}

/// What a reader leaves out would be missing from the figures.
fn assert_sound(path: &Path, findings: &Findings) {
    let grave: Vec<_> = findings.iter().filter(|finding| finding.severity() > Severity::Info).collect();
    assert!(grave.is_empty(), "{}: {grave:?}", path.display());
}
