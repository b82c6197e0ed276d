//! What is in a dataset of images, what is wrong with it, how good a model is on it, and whether it was taken from another.
//!
//! Owns: the annotation formats (`formats`) and the one model they are read into ([`Dataset`]); the linter (`lint`)
//! and its rules ([`Rule`]); the health report; evaluation (mAP and its kin, to the bit of pycocotools); hashes of images
//! and the search among them. Every layer above asks here and judges nothing itself.
//!
//! Refuses: clocks, randomness, network, and files but those in the folder it is given. A folder is a stranger's: a file is
//! read within [`Limits`], and what cannot be read becomes a [`Finding`], never a panic and never a silent gap.
//!
//! A reader is tolerant: it takes in what it can, and says of each fault which rule it breaks, where, and what to do. What a
//! single record says is checked by the reader, because only it knows the record's place and the words of its format;
//! what records say together, and what the images show, is checked on the model, for all formats alike.

mod evaluate;
mod finding;
mod folder;
mod formats;
mod geometry;
pub mod images;
mod limits;
pub mod lint;
mod model;
mod report;
mod rule;

pub use evaluate::{
    ClassFigures, Confusion, ConfusionAt, Curve, EvaluateError, Evaluation, Figure, Images, Kind, Options,
    Slice, align, evaluate, evaluate_files, evaluate_paths,
};
pub use finding::{Finding, Findings, Place, Pointer};
pub use folder::{Folder, FolderError, ReadError};
pub use formats::{
    DetectError, Format, Loss, UnknownFormat, WriteError, detect, read, read_results, recognise, write,
};
pub use limits::Limits;
pub use lint::{Checkup, Health, HealthError, Histogram, Statistics, check_up};
pub use model::{
    Annotation, Attributes, Bounds, Category, CategoryIndex, Dataset, Image, ImageIndex, Info, Keypoint,
    Licence, Quadrangle, Rle, Segmentation, Skeleton, Visibility,
};
pub use report::{Broken, Drawing, Outline, Picture, Report, Summary, pictures};
pub use rule::{Rule, Severity};
