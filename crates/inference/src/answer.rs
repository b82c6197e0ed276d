//! Answers: what a model's numbers mean by its card, as JSON (by `serde`) and as npy.

use serde::Serialize;

use crate::boxes::{Detection, Unsound};
use crate::card::{ClassesCard, Scores};
use crate::npy;
use crate::tensor::{Element, Numbers, Tensor};

/// A label's score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// The label.
    pub label: String,
    /// Its place in the card, from 0.
    pub class: usize,
    /// How sure the model is.
    pub score: f32,
}

/// The answer for one image or one row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// All labels, the highest score first; among equals the first in the card.
    Classes(Vec<ClassScore>),
    /// What was found, the highest score first.
    Boxes(Vec<Detection>),
    /// The model's output as it is.
    Tensor {
        /// The output's name in the graph.
        name: String,
        /// Shape and numbers.
        #[serde(flatten)]
        tensor: Tensor,
    },
}

/// The answers to one request, all of one kind, at least one, in the order of its rows. As JSON a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Answers {
    rows: Vec<Answer>,
}

impl Answers {
    pub(crate) fn new(rows: Vec<Answer>) -> Self {
        Self { rows }
    }

    /// One for each row.
    pub fn rows(&self) -> &[Answer] {
        &self.rows
    }

    /// The answers as one array, as `numpy.load` reads it.
    ///
    /// Classes: `[rows, classes]`, 32-bit floats in the card's order of labels. Boxes: `[n, 6]`, 32-bit floats: left, top,
    /// width, height, score, class; there is one row, since requests for boxes have one image. Tensors: the output as
    /// it is; those of several rows behind each other if each begins with a 1, else under one more dimension.
    pub fn to_npy(&self) -> Vec<u8> {
        let mut numbers = Vec::new();
        let mut shape = Vec::new();
        let mut tensors = Vec::new();
        for row in &self.rows {
            match row {
                Answer::Classes(classes) => {
                    let start = numbers.len();
                    numbers.resize(start + classes.len(), 0.0);
                    for one in classes {
                        numbers[start + one.class] = one.score;
                    }
                    shape = vec![self.rows.len(), classes.len()];
                }
                Answer::Boxes(boxes) => {
                    for one in boxes {
                        numbers.extend(one.bbox);
                        numbers.extend([one.score, one.class as f32]);
                    }
                    shape = vec![boxes.len(), 6];
                }
                Answer::Tensor { tensor, .. } => tensors.push(tensor),
            }
        }
        match tensors[..] {
            [] => npy::write(&shape, &Numbers::F32(numbers)),
            [tensor] => npy::write(tensor.shape(), tensor.numbers()),
            [first, ..] => npy::write(&stacked_shape(first.shape(), tensors.len()), &stacked(&tensors)),
        }
    }
}

fn stacked_shape(row: &[usize], rows: usize) -> Vec<usize> {
    let rest = match row {
        [1, rest @ ..] => rest,
        whole => whole,
    };
    [&[rows], rest].concat()
}

/// Rows of one program are of one element.
fn stacked(tensors: &[&Tensor]) -> Numbers {
    fn all<T: Copy>(tensors: &[&Tensor], of: fn(&Numbers) -> Option<&Vec<T>>) -> Vec<T> {
        tensors.iter().filter_map(|tensor| of(tensor.numbers())).flatten().copied().collect()
    }
    match tensors.first().map_or(Element::F32, |tensor| tensor.numbers().element()) {
        Element::F32 => Numbers::F32(all(tensors, |numbers| match numbers {
            Numbers::F32(numbers) => Some(numbers),
            _ => None,
        })),
        Element::F64 => Numbers::F64(all(tensors, |numbers| match numbers {
            Numbers::F64(numbers) => Some(numbers),
            _ => None,
        })),
        Element::U8 => Numbers::U8(all(tensors, |numbers| match numbers {
            Numbers::U8(numbers) => Some(numbers),
            _ => None,
        })),
        Element::I64 => Numbers::I64(all(tensors, |numbers| match numbers {
            Numbers::I64(numbers) => Some(numbers),
            _ => None,
        })),
    }
}

/// Reads scores, as many as the card has labels.
///
/// # Errors
/// Scores that are no numbers.
pub(crate) fn classes(card: &ClassesCard, output: Tensor) -> Result<Vec<ClassScore>, Unsound> {
    let mut scores = output.into_numbers().into_f64();
    if scores.len() != card.labels.len() {
        return Err("more or fewer scores than the card has labels");
    }
    if scores.iter().any(|score| !score.is_finite()) {
        return Err("a score that is no number");
    }
    if card.scores == Scores::Logits {
        softmax(&mut scores);
    }
    let mut told: Vec<ClassScore> = card
        .labels
        .iter()
        .zip(scores)
        .enumerate()
        .map(|(class, (label, score))| ClassScore { label: label.clone(), class, score: score as f32 })
        .collect();
    // A stable sort: among equals the first in the card stays first.
    told.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(told)
}

fn softmax(logits: &mut [f64]) {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - highest).exp();
        sum += *logit;
    }
    // The highest adds 1, so the sum is never zero.
    for probability in logits {
        *probability /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(scores: Scores) -> ClassesCard {
        ClassesCard { labels: ["a", "b", "c"].map(str::to_owned).to_vec(), scores }
    }

    fn scores(numbers: [f32; 3]) -> Tensor {
        Tensor::new(vec![1, 3], Numbers::F32(numbers.to_vec())).unwrap()
    }

    #[test]
    fn classes_are_told_the_surest_first_and_written_in_the_cards_order() {
        let told = classes(&card(Scores::Probabilities), scores([0.2, 0.6, 0.2])).unwrap();
        assert_eq!(told.iter().map(|one| &*one.label).collect::<Vec<_>>(), ["b", "a", "c"]);
        let answers = Answers::new(vec![Answer::Classes(told.clone()), Answer::Classes(told)]);
        let back = npy::parse(&answers.to_npy()).unwrap();
        assert_eq!((back.shape(), back.numbers()), (&[2, 3][..], &Numbers::F32([0.2, 0.6, 0.2].repeat(2))));
    }

    #[test]
    fn logits_become_probabilities() {
        let told = classes(&card(Scores::Logits), scores([1e30, 0.0, 1e30])).unwrap();
        assert_eq!(told.iter().map(|one| one.score).collect::<Vec<_>>(), [0.5, 0.5, 0.0]);
        assert!(classes(&card(Scores::Logits), scores([f32::INFINITY, 0.0, 0.0])).is_err());
        assert!(classes(&card(Scores::Probabilities), scores([f32::NAN, 0.0, 0.0])).is_err());
    }

    #[test]
    fn tensors_of_several_rows_are_one_array() {
        let row = |shape: &[usize], numbers: Vec<i64>| Answer::Tensor {
            name: "out".to_owned(),
            tensor: Tensor::new(shape.to_vec(), Numbers::I64(numbers)).unwrap(),
        };
        let load = |rows| npy::parse(&Answers::new(rows).to_npy()).unwrap();
        assert_eq!(load(vec![row(&[1, 2], vec![1, 2]), row(&[1, 2], vec![3, 4])]).shape(), [2, 2]);
        assert_eq!(load(vec![row(&[2], vec![1, 2]), row(&[2], vec![3, 4])]).shape(), [2, 2]);
        assert_eq!(load(vec![row(&[2], vec![1, 2])]).numbers(), &Numbers::I64(vec![1, 2]));
        let json = serde_json::to_string(&Answers::new(vec![row(&[2], vec![1, 2])])).unwrap();
        assert_eq!(json, r#"[{"tensor":{"name":"out","shape":[2],"data":[1,2]}}]"#);
    }
}
