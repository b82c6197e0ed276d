//! The linter: what is wrong with a dataset, beyond what its readers find in single records.

pub mod archives;
mod duplicates;
mod geometry;
pub mod images;
mod labels;
pub mod licence;

pub use labels::{ClassStatistics, Histogram, SplitStatistics, Statistics};

use std::path::Path;

use crate::{
    Dataset, DetectError, Findings, Folder, FolderError, Format, Limits, Report,
    formats::{detect, read},
};

/// How a folder is to be checked.
pub struct Checkup<'a> {
    /// The format it is in; none to tell it by its content.
    pub format: Option<Format>,
    /// The licence that whoever asks names for it, an SPDX id say; none to look for one in the folder.
    pub licence: Option<&'a str>,
    /// What it may cost.
    pub limits: Limits,
    /// Is told how many of how many images are done, from several threads.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// A folder, or a single annotation file, that was checked.
#[derive(Debug)]
pub struct Health {
    /// The folder.
    pub folder: Folder,
    /// What it says.
    pub dataset: Dataset,
    /// What its images show.
    pub images: images::ImageFacts,
    /// What there is and what is wrong with it.
    pub report: Report,
}

/// Why a folder cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// It cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// It is of no format, or of several.
    #[error(transparent)]
    Detect(#[from] DetectError),
}

/// Reads a folder and holds it to every rule, on all cores. The same folder gives the same report.
///
/// Of a single annotation file, what it says is checked and nothing else: not its images, and not its licence, which may
/// be in another file.
///
/// # Errors
/// See [`HealthError`]; all else that is wrong with it is in the report.
pub fn check_up(path: &Path, how: &Checkup<'_>) -> Result<Health, HealthError> {
    let limits = &how.limits;
    let mut findings = Findings::new(limits.findings_per_rule);
    let folder = Folder::list(path, limits, &mut findings)?;
    let format = match how.format {
        Some(format) => format,
        None => detect(&folder, limits)?,
    };
    let dataset = read(&folder, format, limits, &mut findings);
    check_annotations(&dataset, limits, &mut findings);
    let mut images = images::ImageFacts::default();
    if !folder.is_one_file() {
        archives::check(&folder, limits, &mut findings);
        licence::check(&folder, &dataset, how.licence, &mut findings);
        images = images::check(&folder, &dataset, limits, how.progress, &mut findings);
    }
    let report = Report::new(format, &findings, Statistics::of(&dataset));
    Ok(Health { folder, dataset, images, report })
}

/// Adds what the model alone shows, without a look at the images: boxes, outlines, masks and keypoints, then classes and
/// splits. Findings are in the order of the dataset's rows, whatever the number of threads.
pub fn check_annotations(dataset: &Dataset, limits: &Limits, findings: &mut Findings) {
    geometry::check(dataset, limits, findings);
    labels::check(dataset, limits, findings);
}
