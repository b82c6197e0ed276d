//! From what a person names to an evaluation: files of COCO go to the engine as they are, all else through the model.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{EvaluateError, Evaluation, Kind, Options, align, evaluate, evaluate_files};
use crate::{
    Annotation, Dataset, Finding, Findings, Folder, Format, ImageIndex, Limits, Rule, Severity,
    formats::{detect, read, read_results, yolo},
};

/// Evaluates what is at two paths. The truth is a file of COCO annotations or a dataset's folder, of which `split` names a
/// part. The detections are a file of COCO results about that truth, or a folder in a format that has scores, whose images
/// and classes are found by their names.
///
/// A folder with splits has each of them as a slice, unless one was named.
///
/// # Errors
/// Something cannot be read whole, or see [`evaluate`].
pub fn evaluate_paths(
    truth: &Path,
    detections: &Path,
    split: Option<&str>,
    kind: Kind,
    mut options: Options,
) -> Result<Evaluation, EvaluateError> {
    if truth.is_file() && detections.is_file() && split.is_none() {
        return evaluate_files(truth, detections, kind, &options);
    }
    let limits = options.limits;
    let mut dataset = of_folder(truth, &limits)?;
    if let Some(split) = split {
        keep_split(&mut dataset, split)?;
    }
    let found = if detections.is_dir() {
        aligned(&dataset, detections, &limits)?
    } else {
        of_results(&dataset, detections, &limits)?
    };
    if split.is_none() && options.slices.is_empty() {
        options.slices = splits(&dataset);
    }
    evaluate(&dataset, &found, kind, &options)
}

fn of_folder(path: &Path, limits: &Limits) -> Result<Dataset, EvaluateError> {
    let failed = |reason: String| EvaluateError::File {
        expected: "a dataset",
        path: path.display().to_string(),
        reason,
    };
    let mut findings = Findings::new(1);
    let folder = Folder::list(path, limits, &mut findings).map_err(|error| failed(error.to_string()))?;
    let format = detect(&folder, limits).map_err(|error| failed(error.to_string()))?;
    let dataset = read(&folder, format, limits, &mut findings);
    read_whole(path, &findings)?;
    if format == Format::Yolo && dataset.images.iter().any(yolo::is_normalised) {
        return Err(failed("its images are not beside it, so that their sizes are not known".to_owned()));
    }
    Ok(dataset)
}

fn of_results(dataset: &Dataset, path: &Path, limits: &Limits) -> Result<Vec<Annotation>, EvaluateError> {
    let shown = path.display().to_string();
    let failed =
        |reason: String| EvaluateError::File { expected: "COCO results", path: shown.clone(), reason };
    let mut findings = Findings::new(1);
    let folder = Folder::list(path, limits, &mut findings).map_err(|error| failed(error.to_string()))?;
    let (name, _) = folder.files().next().ok_or_else(|| failed("there is nothing".to_owned()))?;
    let content = folder.read(name, limits.annotation_file_bytes);
    let content = content.map_err(|error| failed(error.to_string()))?;
    let results = read_results(name, &content, dataset, None, limits, &mut findings);
    read_whole(path, &findings)?;
    Ok(results)
}

fn aligned(dataset: &Dataset, path: &Path, limits: &Limits) -> Result<Vec<Annotation>, EvaluateError> {
    align(dataset, of_folder(path, limits)?)
}

/// Refuses what a reader left something out of: it would be missing from the figures.
fn read_whole(path: &Path, findings: &Findings) -> Result<(), EvaluateError> {
    let is_kept = |rule| matches!(rule, Rule::KeypointCountMismatch | Rule::VocZeroBased);
    let is_grave = |rule: Rule| rule.severity() >= Severity::Error && !is_kept(rule);
    let Some(Finding { place, found, .. }) = findings.iter().find(|finding| is_grave(finding.rule)) else {
        return Ok(());
    };
    Err(EvaluateError::Unread {
        path: path.display().to_string(),
        count: findings.counts().filter(|(rule, _)| is_grave(*rule)).map(|(_, count)| count).sum(),
        first: format!("{place}: {found}"),
    })
}

/// Leaves the images of one split and what is in them.
fn keep_split(dataset: &mut Dataset, split: &str) -> Result<(), EvaluateError> {
    let mut kept: Vec<Option<ImageIndex>> = Vec::with_capacity(dataset.images.len());
    let mut next = (0..).map(ImageIndex);
    for image in &dataset.images {
        kept.push(if image.split.as_deref() == Some(split) { next.next() } else { None });
    }
    if kept.iter().all(Option::is_none) {
        let splits: BTreeSet<&str> =
            dataset.images.iter().filter_map(|image| image.split.as_deref()).collect();
        let splits = splits.into_iter().collect::<Vec<_>>().join(", ");
        return Err(EvaluateError::NoSplit { split: split.to_owned(), splits });
    }
    dataset.images.retain(|image| image.split.as_deref() == Some(split));
    dataset.annotations.retain_mut(|annotation| {
        let index = kept.get(annotation.image.0 as usize).copied().flatten();
        annotation.image = index.unwrap_or(annotation.image);
        index.is_some()
    });
    Ok(())
}

/// The ids of each split's images; none where there is one split, or none.
fn splits(dataset: &Dataset) -> BTreeMap<String, Vec<u64>> {
    let mut splits = BTreeMap::<String, Vec<u64>>::new();
    for image in &dataset.images {
        if let Some(split) = &image.split {
            splits.entry(split.clone()).or_default().push(image.id);
        }
    }
    if splits.len() > 1 { splits } else { BTreeMap::new() }
}
