//! What exporters write into a model's metadata, as a card.
//!
//! Ultralytics (YOLO) writes `task`, `imgsz` and `names` in Python's notation. Its other tasks (segment, pose, ...) have
//! no card: such a model is served as a plain tensor model.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::card::{
    BoxLayout, BoxesCard, ClassesCard, ImageCard, InputCard, Layout, ModelCard, OutputCard, Resize, Scores,
};
use crate::python::{self, Literal, LiteralError};

/// The thresholds that Ultralytics' own exports are served with, and its most boxes.
const SCORE_THRESHOLD: f32 = 0.25;
const IOU_THRESHOLD: f32 = 0.7;
const MAX_BOXES: usize = 300;

/// Why metadata that names a task makes no card.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// An entry that is missing.
    #[error("the model's metadata names a task but has no {key}; publish a model.toml beside it")]
    Missing {
        /// Which entry.
        key: &'static str,
    },
    /// An entry that is no Python.
    #[error("the model's metadata {key} cannot be read: {source}; publish a model.toml beside it")]
    Literal {
        /// Which entry.
        key: &'static str,
        /// Where it stops being a literal.
        #[source]
        source: LiteralError,
    },
    /// An entry that says something else.
    #[error(
        "the model's metadata {key} is not what is read; expected {expected}: publish a model.toml beside it"
    )]
    Value {
        /// Which entry.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// The card that the metadata amounts to, or none when it says nothing of a known task.
///
/// # Errors
/// A known task whose entries cannot be read.
pub(crate) fn card(entries: &BTreeMap<&str, &str>) -> Result<Option<ModelCard>, MetadataError> {
    let (resize, detects) = match entries.get("task") {
        Some(&"detect") => (Resize::Letterbox, true),
        Some(&"classify") => (Resize::Crop, false),
        _ => return Ok(None),
    };
    let (height, width) = read_size(literal(entries, "imgsz")?)?;
    let labels = read_names(literal(entries, "names")?)?;
    let image = ImageCard {
        width,
        height,
        channels: 3,
        layout: Layout::Nchw,
        scale: 1.0 / 255.0,
        mean: Vec::new(),
        std: Vec::new(),
        resize,
    };
    let output = if detects {
        OutputCard::Boxes(BoxesCard {
            labels,
            layout: BoxLayout::Columns,
            score_threshold: SCORE_THRESHOLD,
            iou_threshold: Some(IOU_THRESHOLD),
            max_boxes: MAX_BOXES,
        })
    } else {
        OutputCard::Classes(ClassesCard { labels, scores: Scores::Probabilities })
    };
    Ok(Some(ModelCard { input: InputCard::Image(image), output }))
}

fn literal(entries: &BTreeMap<&str, &str>, key: &'static str) -> Result<Literal, MetadataError> {
    let text = entries.get(key).ok_or(MetadataError::Missing { key })?;
    python::parse(text).map_err(|source| MetadataError::Literal { key, source })
}

/// `[height, width]`.
fn read_size(size: Literal) -> Result<(u32, u32), MetadataError> {
    let sides = match &size {
        Literal::Sequence(sides) => match sides[..] {
            [Literal::Whole(height), Literal::Whole(width)] => Some((height, width)),
            _ => None,
        },
        _ => None,
    };
    sides
        .and_then(|(height, width)| Some((height.try_into().ok()?, width.try_into().ok()?)))
        .ok_or(MetadataError::Value { key: "imgsz", expected: "[height, width] in pixels" })
}

/// `{0: 'person', 1: 'bicycle', ...}`: every number from 0, once.
fn read_names(names: Literal) -> Result<Vec<String>, MetadataError> {
    let wrong = || MetadataError::Value { key: "names", expected: "{0: 'label', 1: 'label', ...}" };
    let Literal::Dict(entries) = names else { return Err(wrong()) };
    let mut labels = Vec::with_capacity(entries.len());
    for (index, entry) in (0..).zip(entries) {
        match entry {
            (Literal::Whole(number), Literal::Text(label)) if number == index => labels.push(label),
            _ => return Err(wrong()),
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detectors_metadata_is_its_card() {
        let mut entries = BTreeMap::from([
            ("task", "detect"),
            ("imgsz", "[384, 640]"),
            ("names", "{0: 'cat', 1: \"dog's\"}"),
        ]);
        let made = card(&entries).unwrap().unwrap();
        made.check().unwrap();
        let InputCard::Image(image) = made.input else { panic!("a detector takes images") };
        assert_eq!((image.width, image.height, image.resize), (640, 384, Resize::Letterbox));
        let OutputCard::Boxes(boxes) = made.output else { panic!("a detector gives boxes") };
        assert_eq!(boxes.labels, ["cat", "dog's"]);

        entries.insert("names", "{0: 'cat', 2: 'dog'}");
        assert!(matches!(card(&entries), Err(MetadataError::Value { key: "names", .. })));
        entries.insert("names", "{0: 'cat'");
        assert!(matches!(card(&entries), Err(MetadataError::Literal { key: "names", .. })));
        entries.remove("names");
        assert_eq!(card(&entries), Err(MetadataError::Missing { key: "names" }));
        entries.insert("task", "pose");
        assert_eq!(card(&entries), Ok(None));
    }
}
