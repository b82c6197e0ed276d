//! How good a model is on a dataset: average precision and recall as pycocotools reckons them, and what they hide.
//!
//! Owns: the way to both inputs (`paths`) and their check, the figures and how they are broken down (class, size, curve,
//! confusion, slice). The matching and the averages are `hotcoco`'s, which sums in numpy's order; the tests hold every figure
//! to the last bit of pycocotools 2.0.11 (ADR 18, with what differs).
//!
//! Refuses: what pycocotools fails on or silently takes for something else (a missing score, box or size, ids that stand
//! twice, a mask that does not fill its image), and inputs that would cost more than [`Limits`] allow. All of this is found
//! before `hotcoco` computes anything, so that no input panics or takes memory without bound.

mod figures;
mod input;
mod paths;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use hotcoco::{COCO, COCOeval, params::IouType};
use serde::Serialize;

use crate::{Annotation, Dataset, Limits};

pub use paths::evaluate_paths;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Upright boxes, by intersection over union.
    Boxes,
    /// Masks and outlines, by intersection over union of pixels.
    Masks,
    /// Keypoints, by object keypoint similarity.
    Keypoints,
    /// Oriented boxes, by intersection over union. pycocotools knows no such; the figures are reckoned alike.
    Oriented,
}

impl Kind {
    fn iou_type(self) -> IouType {
        match self {
            Kind::Boxes => IouType::Bbox,
            Kind::Masks => IouType::Segm,
            Kind::Keypoints => IouType::Keypoints,
            Kind::Oriented => IouType::Obb,
        }
    }
}

/// How to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How far off each keypoint may be, in parts of the object's size; none for COCO's 17.
    pub sigmas: Option<Vec<f64>>,
    /// At which overlap and from which score on to tell which class is taken for which; none to leave it out, which saves
    /// about as much time as the figures take.
    pub confusion: Option<ConfusionAt>,
    /// Which images count.
    pub images: Images,
    /// Parts of the dataset to give the figures of: names, and the ids of their images.
    pub slices: BTreeMap<String, Vec<u64>>,
    /// Bounds on the input.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sigmas: None,
            confusion: Some(ConfusionAt { overlap: 0.5, score: 0.25 }),
            images: Images::All,
            slices: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}

/// Which images count (`params.imgIds` of pycocotools).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Images {
    /// All of the dataset, as is usual: objects in an image without a detection are missed.
    #[default]
    All,
    /// Those that have a detection: for results on a part of the dataset.
    Detected,
    /// Those with these ids.
    These(Vec<u64>),
}

/// Which detections are matched for the confusion of classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ConfusionAt {
    /// The least overlap, 0 to 1.
    pub overlap: f64,
    /// The least score.
    pub score: f64,
}

/// How good a model is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// What was compared.
    pub kind: Kind,
    /// pycocotools' 12 figures (10 of keypoints), in its order.
    pub summary: Vec<Figure>,
    /// The classes, in the order of their ids.
    pub classes: Vec<ClassFigures>,
    /// Precision by recall of each class that has objects, at overlaps of 0.5 and 0.75.
    pub curves: Vec<Curve>,
    /// Which class is taken for which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
    /// The summary of parts of the dataset.
    pub slices: Vec<Slice>,
    /// What the reader of the figures should know.
    pub notes: Vec<String>,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// `AP`, `AP50`, `ARl`...
    pub name: String,
    /// 0 to 1; none where there was nothing to measure (pycocotools says -1).
    pub value: Option<f64>,
}

/// The figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Objects of it, without crowds.
    pub objects: u64,
    /// Detections of it.
    pub detections: u64,
    /// Average precision over all overlaps.
    pub ap: Option<f64>,
    /// At an overlap of 0.5.
    pub ap50: Option<f64>,
    /// At an overlap of 0.75.
    pub ap75: Option<f64>,
    /// Average recall over all overlaps.
    pub ar: Option<f64>,
    /// Average precision over all overlaps of objects of a size: `small`, `medium`, `large`.
    pub ap_by_size: Vec<Figure>,
}

/// Precision by recall.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// The class's id.
    pub class: u64,
    /// The overlap that counts as found.
    pub overlap: f64,
    /// Precision at recalls of 0, 0.01 ... 1.
    pub precision: Vec<f64>,
    /// The score from which on detections are taken to reach that recall.
    pub score: Vec<f64>,
}

/// Which class is taken for which.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// What was matched.
    pub at: ConfusionAt,
    /// The class that is there, the class that was detected, and how often; `None` there for a detection of nothing, `None`
    /// detected for an object that was missed. Those that never occur are left out.
    pub counts: Vec<(Option<u64>, Option<u64>, u64)>,
}

/// The summary of a part of the dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slice {
    /// Its name.
    pub name: String,
    /// Its images.
    pub images: u64,
    /// The figures.
    pub summary: Vec<Figure>,
}

/// Why inputs cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file cannot be read, or is not of its format.
    #[error("expected {expected} in {path}: {reason}; repair the file or run `residual lint` on it")]
    File {
        /// What it should hold.
        expected: &'static str,
        /// Which.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Something would cost too much.
    #[error("expected at most {limit} {what}, found {found}; evaluate a part at a time")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
        /// How many there are, at least.
        found: u64,
    },
    /// A record is not what the comparison needs.
    #[error("expected {expected}, found {found} in {list} record {row}; repair the record or leave it out")]
    Record {
        /// `annotations`, `images`, `categories` or `detections`.
        list: &'static str,
        /// Which, from 0.
        row: usize,
        /// What it should have.
        expected: String,
        /// What it has.
        found: String,
    },
    /// A reader left something out.
    #[error(
        "expected every record of {path} to be sound, found {count} that are not, the first in {first}; `residual lint` shows them"
    )]
    Unread {
        /// The file or folder.
        path: String,
        /// How many.
        count: u64,
        /// The first one's place, and what stands there.
        first: String,
    },
    /// A split that is not there.
    #[error("expected a split of the dataset ({}), found {split:?}", if splits.is_empty() { "it has none" } else { splits })]
    NoSplit {
        /// What was asked for.
        split: String,
        /// Those that there are.
        splits: String,
    },
    /// A part of the dataset was asked for that has no image.
    #[error("expected images to evaluate, found none; name some, or give detections")]
    NoImages,
    /// The engine refuses.
    #[error("the evaluation failed: {0}")]
    Engine(#[from] hotcoco::Error),
}

/// Evaluates detections, which name images and categories of `truth` by their indices.
///
/// # Errors
/// A record lacks what the comparison needs, or the inputs exceed the limits.
pub fn evaluate(
    truth: &Dataset,
    detections: &[Annotation],
    kind: Kind,
    options: &Options,
) -> Result<Evaluation, EvaluateError> {
    let sigmas = options.sigmas.as_deref().map_or(COCO_KEYPOINTS, <[f64]>::len);
    input::check_counts(truth, detections.len(), &options.limits)?;
    let truth = COCO::from_dataset(input::truth(truth, kind, sigmas)?);
    input::check_truth(&truth.dataset, kind, sigmas, &options.limits)?;
    let rows = input::detections(&truth.dataset, detections, kind)?;
    input::check_detections(&truth.dataset, &rows, kind, sigmas, &options.limits)?;
    let found = truth.load_res_anns(rows)?;
    run(truth, found, kind, options)
}

/// Evaluates a file of COCO results beside a file of COCO annotations, both of which `hotcoco` reads: the way for large
/// files.
///
/// # Errors
/// A file cannot be read, a record lacks what the comparison needs, or the inputs exceed the limits.
pub fn evaluate_files(
    truth: &Path,
    detections: &Path,
    kind: Kind,
    options: &Options,
) -> Result<Evaluation, EvaluateError> {
    let sigmas = options.sigmas.as_deref().map_or(COCO_KEYPOINTS, <[f64]>::len);
    let failed = |path: &Path, expected| {
        let path = path.display().to_string();
        move |error: hotcoco::Error| EvaluateError::File { expected, path, reason: error.to_string() }
    };
    input::check_file(truth, &options.limits)?;
    input::check_file(detections, &options.limits)?;
    let coco = COCO::new(truth).map_err(failed(truth, "COCO annotations"))?;
    input::check_truth(&coco.dataset, kind, sigmas, &options.limits)?;
    let found = coco.load_res(detections).map_err(failed(detections, "COCO results"))?;
    input::check_detections(&coco.dataset, &found.dataset.annotations, kind, sigmas, &options.limits)?;
    run(coco, found, kind, options)
}

/// Finds the images and classes of detections that were read as a dataset of their own: images by their file, classes by
/// their name.
///
/// # Errors
/// An image or class is not in `truth`.
pub fn align(truth: &Dataset, mut detections: Dataset) -> Result<Vec<Annotation>, EvaluateError> {
    input::align(truth, &mut detections)?;
    Ok(detections.annotations)
}

/// How many keypoints COCO's people have.
const COCO_KEYPOINTS: usize = 17;

fn run(truth: COCO, found: COCO, kind: Kind, options: &Options) -> Result<Evaluation, EvaluateError> {
    input::check_pairs(&truth, &found)?;
    let notes = notes(&truth, kind);
    let images = match &options.images {
        // The engine takes all where it is given none.
        Images::All => Vec::new(),
        Images::Detected => found.nonempty_img_ids().collect(),
        Images::These(images) => images.clone(),
    };
    if images.is_empty() && options.images != Images::All {
        return Err(EvaluateError::NoImages);
    }
    let mut engine = COCOeval::new(Arc::new(truth), Arc::new(found), kind.iou_type());
    engine.params.img_ids = BTreeSet::from_iter(images).into_iter().collect();
    if let Some(sigmas) = &options.sigmas {
        engine.params.kpt_oks_sigmas.clone_from(sigmas);
    }
    engine.evaluate()?;
    engine.accumulate();
    Ok(Evaluation {
        kind,
        summary: figures::summary(&mut engine),
        classes: figures::classes(&engine),
        curves: figures::curves(&engine),
        confusion: options.confusion.map(|at| figures::confusion(&engine, at)),
        slices: figures::slices(&engine, &options.slices)?,
        notes,
    })
}

fn notes(truth: &COCO, kind: Kind) -> Vec<String> {
    let mut notes = Vec::new();
    if truth.dataset.annotations.iter().any(|annotation| annotation.id == 0) {
        notes.push(
            "an annotation has the id 0: pycocotools takes what is matched to it for unmatched, and its figures are lower"
                .to_owned(),
        );
    }
    if kind == Kind::Oriented {
        notes.push(
            "pycocotools knows no oriented boxes: there is nothing to compare these figures with".to_owned(),
        );
    }
    notes
}
