//! The linter: what is wrong with a dataset, beyond what its readers find in single records.

pub mod archives;
mod duplicates;
mod geometry;
pub mod images;
mod labels;
pub mod licence;

pub use labels::{ClassStatistics, Histogram, SplitStatistics, Statistics};

use crate::{Dataset, Findings, Limits};

/// Adds what the model alone shows, without a look at the images: boxes, outlines, masks and keypoints, then classes and
/// splits. Findings are in the order of the dataset's rows, whatever the number of threads.
pub fn check_annotations(dataset: &Dataset, limits: &Limits, findings: &mut Findings) {
    geometry::check(dataset, limits, findings);
    labels::check(dataset, limits, findings);
}
