//! The model card: what a published model takes and gives, said by its publisher in `model.toml` beside the ONNX file.
//!
//! The card is as foreign as the model. It is read whole or refused; whether it fits the model is checked at loading.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::tensor::{MAX_RANK, volume};

/// The longest card, in bytes.
pub const MAX_CARD_BYTES: usize = 1 << 20;
/// The most labels.
const MAX_LABELS: usize = 50_000;
/// The longest label, in characters.
const MAX_LABEL_CHARS: usize = 200;
/// The longest name of a model's output, in bytes.
const MAX_NAME_BYTES: usize = 500;
/// The widest and highest picture a model takes, in pixels.
const MAX_MODEL_SIDE: u32 = 8_192;
/// The most boxes of one answer.
const MAX_BOXES: usize = 10_000;

/// What a model takes and gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// What it takes.
    pub input: InputCard,
    /// What it gives.
    pub output: OutputCard,
}

/// What a model takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputCard {
    /// A picture. The tensor made of it is taken as well.
    Image(ImageCard),
    /// A tensor.
    Tensor(TensorInputCard),
}

/// How a picture becomes the model's tensor: each value is `(pixel * scale - mean) / std`, `pixel` being 0 to 255.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageCard {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: u8,
    /// The order of the numbers.
    pub layout: Layout,
    /// Often 1/255.
    pub scale: f64,
    /// One for all channels or one for each; none is 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f64>,
    /// One for all channels or one for each, not 0; none is 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f64>,
    /// What is done with pictures of another size.
    pub resize: Resize,
}

/// The order of a picture's numbers. A leading dimension for the batch may stand before each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `[channels, height, width]`.
    Nchw,
    /// `[height, width, channels]`.
    Nhwc,
    /// `[height * width * channels]`, in the order of `nhwc`.
    Flat,
}

/// What is done with a picture of another size than the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// It is refused.
    Exact,
    /// It is stretched.
    Stretch,
    /// It is scaled until all of it fits, and centred on grey (114, as detectors are trained with).
    Letterbox,
    /// Its centre is cut out in the model's proportions, and scaled.
    Crop,
}

/// A tensor as input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorInputCard {
    /// The shape of one row, without the dimension of the batch; needed where the ONNX file leaves dimensions open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<usize>>,
}

/// What a model gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OutputCard {
    /// A score for each label.
    Classes(ClassesCard),
    /// Things found in a picture.
    Boxes(BoxesCard),
    /// A tensor as it is.
    Tensor(TensorOutputCard),
}

/// Scores for labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassesCard {
    /// In the order of the model's scores.
    pub labels: Vec<String>,
    /// What the scores are.
    pub scores: Scores,
}

/// What scores are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scores {
    /// Told as they are.
    Probabilities,
    /// Softmax makes probabilities of them.
    Logits,
}

/// Things found in a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxesCard {
    /// In the order of the model's classes.
    pub labels: Vec<String>,
    /// Where the model says what.
    pub layout: BoxLayout,
    /// Boxes with lower scores are left out, 0 to 1.
    pub score_threshold: f32,
    /// Of two boxes of one class that overlap by more (intersection over union, 0 to 1), the one with the lower score is
    /// left out. Absent where the model has done that itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iou_threshold: Option<f32>,
    /// The most boxes of an answer.
    pub max_boxes: usize,
}

/// Where a detector says what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case", deny_unknown_fields)]
pub enum BoxLayout {
    /// One output `[1, 4 + labels, n]`, as YOLOv8 and later have it: centre x, centre y, width, height in the model's
    /// pixels, then a score for each label.
    Columns,
    /// Outputs of their own, each with or without a leading 1.
    Separate {
        /// The output `[n, 4]`.
        boxes: String,
        /// The output `[n]`.
        scores: String,
        /// The output `[n]`, counting labels from 0.
        labels: String,
        /// What the four numbers are.
        corners: BoxCorners,
    },
}

/// What the four numbers of a box are, in the model's pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoxCorners {
    /// Left, top, right, bottom.
    Xyxy,
    /// Left, top, width, height.
    Xywh,
    /// Centre x, centre y, width, height.
    Cxcywh,
}

/// A tensor as output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorOutputCard {
    /// Which output; needed when the model has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Why a text is no model card.
#[derive(Debug, Error)]
pub enum CardError {
    /// Longer than [`MAX_CARD_BYTES`].
    #[error("the model card has {found} bytes; at most {MAX_CARD_BYTES} are read: shorten it")]
    TooLarge {
        /// Its length.
        found: usize,
    },
    /// No TOML, or not a card's.
    #[error("the model card cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// No JSON, or not a card's.
    #[error("the model card cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A value out of its range.
    #[error("the model card's {field} is not what is read; expected {expected}")]
    Value {
        /// Which one.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl ModelCard {
    /// Reads the text of a `model.toml`.
    ///
    /// # Errors
    /// What is no TOML, unknown, missing, or out of its range.
    pub fn from_toml(text: &str) -> Result<Self, CardError> {
        check_length(text)?;
        let card: Self = toml::from_str(text)?;
        card.check()?;
        Ok(card)
    }

    /// Reads the same as JSON.
    ///
    /// # Errors
    /// What is no JSON, unknown, missing, or out of its range.
    pub fn from_json(text: &str) -> Result<Self, CardError> {
        check_length(text)?;
        let card: Self = serde_json::from_str(text)?;
        card.check()?;
        Ok(card)
    }

    /// That every value is in its range, which a card that was made in code may not be.
    ///
    /// # Errors
    /// The first value that is not.
    pub fn check(&self) -> Result<(), CardError> {
        match &self.input {
            InputCard::Image(image) => image.check()?,
            InputCard::Tensor(tensor) => {
                let sensible = |shape: &Vec<usize>| {
                    shape.len() < MAX_RANK && volume(shape).is_some_and(|count| count > 0)
                };
                hold(
                    tensor.shape.as_ref().is_none_or(sensible),
                    "input.shape",
                    "up to 7 sizes of 1 or more",
                )?;
            }
        }
        match &self.output {
            OutputCard::Classes(classes) => check_labels(&classes.labels),
            OutputCard::Boxes(boxes) => boxes.check(),
            OutputCard::Tensor(tensor) => check_name(tensor.name.iter(), "output.name"),
        }
    }
}

fn check_length(text: &str) -> Result<(), CardError> {
    if text.len() > MAX_CARD_BYTES { Err(CardError::TooLarge { found: text.len() }) } else { Ok(()) }
}

fn hold(fits: bool, field: &'static str, expected: &'static str) -> Result<(), CardError> {
    if fits { Ok(()) } else { Err(CardError::Value { field, expected }) }
}

fn check_labels(labels: &[String]) -> Result<(), CardError> {
    hold((1..=MAX_LABELS).contains(&labels.len()), "output.labels", "1 to 50000 labels")?;
    let short = labels.iter().all(|label| label.chars().take(MAX_LABEL_CHARS + 1).count() <= MAX_LABEL_CHARS);
    hold(short, "output.labels", "labels of at most 200 characters")
}

fn check_name<'a>(mut names: impl Iterator<Item = &'a String>, field: &'static str) -> Result<(), CardError> {
    let sensible = names.all(|name| (1..=MAX_NAME_BYTES).contains(&name.len()));
    hold(sensible, field, "the name of an output, at most 500 bytes")
}

impl ImageCard {
    fn check(&self) -> Result<(), CardError> {
        let side = |side| (1..=MAX_MODEL_SIDE).contains(&side);
        hold(side(self.width), "input.width", "1 to 8192 pixels")?;
        hold(side(self.height), "input.height", "1 to 8192 pixels")?;
        hold(matches!(self.channels, 1 | 3), "input.channels", "1 (grey) or 3 (colour)")?;
        let number = |number: f64| number.is_finite() && number.abs() <= 1e9;
        hold(number(self.scale) && self.scale != 0.0, "input.scale", "a number within +-1e9, not 0")?;
        let count = |list: &[f64]| list.len() <= 1 || list.len() == usize::from(self.channels);
        let means = count(&self.mean) && self.mean.iter().copied().all(number);
        hold(means, "input.mean", "numbers within +-1e9, one or one for each channel")?;
        let stds = count(&self.std) && self.std.iter().all(|&std| number(std) && std.abs() >= 1e-9);
        hold(stds, "input.std", "numbers from 1e-9 to 1e9, one or one for each channel")
    }

    /// Mean and standard deviation of a channel.
    pub(crate) fn normalisation(&self, channel: usize) -> (f64, f64) {
        let of = |list: &[f64], none| list.get(channel).or(list.first()).copied().unwrap_or(none);
        (of(&self.mean, 0.0), of(&self.std, 1.0))
    }
}

impl BoxesCard {
    fn check(&self) -> Result<(), CardError> {
        check_labels(&self.labels)?;
        let part = 0.0..=1.0;
        hold(part.contains(&self.score_threshold), "output.score_threshold", "0 to 1")?;
        let iou = self.iou_threshold.is_none_or(|threshold| part.contains(&threshold));
        hold(iou, "output.iou_threshold", "0 to 1")?;
        hold((1..=MAX_BOXES).contains(&self.max_boxes), "output.max_boxes", "1 to 10000")?;
        if let BoxLayout::Separate { boxes, scores, labels, .. } = &self.layout {
            check_name([boxes, scores, labels].into_iter(), "output.layout")?;
        }
        Ok(())
    }
}
