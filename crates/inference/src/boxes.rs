//! What a detector found: from the model's numbers to boxes in the pixels of the picture that was sent.

use serde::Serialize;

use crate::card::{BoxCorners, BoxLayout, BoxesCard};
use crate::geometry::{Placement, Rectangle, overlap};
use crate::tensor::Tensor;

/// The most boxes above the threshold that are compared with each other; those with the highest scores.
const MAX_CANDIDATES: usize = 4_096;

/// Something found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// What it is.
    pub label: String,
    /// The label's place in the card, from 0.
    pub class: usize,
    /// How sure the model is.
    pub score: f32,
    /// Left, top, width, height in pixels of the picture that was sent (COCO's convention).
    pub bbox: [f32; 4],
}

struct Candidate {
    class: usize,
    score: f32,
    /// In the model's pixels.
    place: Rectangle,
}

/// Something in the model's numbers that no box can be made of, in words that follow "the model gave".
pub(crate) type Unsound = &'static str;

/// Reads what one run gave: the outputs in the order of [`BoxesCard::outputs`].
///
/// # Errors
/// Scores or sides that are no numbers, and classes without a label.
pub(crate) fn read(
    card: &BoxesCard,
    outputs: &[Tensor],
    placement: &Placement,
) -> Result<Vec<Detection>, Unsound> {
    let mut candidates = match (&card.layout, outputs) {
        (BoxLayout::Columns, [columns]) => read_columns(card, columns)?,
        (BoxLayout::Separate { corners, .. }, [boxes, scores, labels]) => {
            read_separate(card, *corners, [boxes, scores, labels])?
        }
        _ => return Err("other outputs than the card names"),
    };
    // A stable sort: among equals the first in the model's order stays first.
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    candidates.truncate(MAX_CANDIDATES);
    let mut kept: Vec<Candidate> = Vec::new();
    let mut found = Vec::new();
    for candidate in candidates {
        if found.len() == card.max_boxes {
            break;
        }
        let covered = |other: &Candidate| {
            let limit = card.iou_threshold.map_or(f64::INFINITY, f64::from);
            other.class == candidate.class && overlap(other.place, candidate.place) > limit
        };
        if kept.iter().any(covered) {
            continue;
        }
        if let Some(bbox) = placement.to_image(candidate.place) {
            found.push(Detection {
                label: card.labels[candidate.class].clone(),
                class: candidate.class,
                score: candidate.score,
                bbox: bbox.map(|side| side as f32),
            });
        }
        kept.push(candidate);
    }
    Ok(found)
}

fn read_columns(card: &BoxesCard, columns: &Tensor) -> Result<Vec<Candidate>, Unsound> {
    let numbers = columns.numbers().clone().into_f64();
    let count = numbers.len() / (4 + card.labels.len());
    let at = |row: usize, column: usize| numbers[row * count + column];
    let mut candidates = Vec::new();
    for column in 0..count {
        let mut best = (0, f64::NEG_INFINITY);
        for class in 0..card.labels.len() {
            let score = at(4 + class, column);
            if score.is_nan() {
                return Err("a score that is no number");
            }
            if score > best.1 {
                best = (class, score);
            }
        }
        let sides = [0, 1, 2, 3].map(|row| at(row, column));
        push(&mut candidates, card, best.0, best.1, rectangle(BoxCorners::Cxcywh, sides))?;
    }
    Ok(candidates)
}

fn read_separate(
    card: &BoxesCard,
    corners: BoxCorners,
    outputs: [&Tensor; 3],
) -> Result<Vec<Candidate>, Unsound> {
    let [boxes, scores, labels] = outputs.map(|output| output.numbers().clone().into_f64());
    let mut candidates = Vec::new();
    for ((sides, score), label) in boxes.as_chunks().0.iter().zip(scores).zip(labels) {
        if score.is_nan() {
            return Err("a score that is no number");
        }
        // What is below the threshold may be filling, with labels that mean nothing.
        if score < f64::from(card.score_threshold) {
            continue;
        }
        if label.fract() != 0.0 || !(0.0..card.labels.len() as f64).contains(&label) {
            return Err("a class that has no label");
        }
        push(&mut candidates, card, label as usize, score, rectangle(corners, *sides))?;
    }
    Ok(candidates)
}

fn push(
    candidates: &mut Vec<Candidate>,
    card: &BoxesCard,
    class: usize,
    score: f64,
    place: Rectangle,
) -> Result<(), Unsound> {
    if score < f64::from(card.score_threshold) {
        return Ok(());
    }
    if !score.is_finite() || place.iter().any(|side| !side.is_finite()) {
        return Err("a box that is no numbers");
    }
    candidates.push(Candidate { class, score: score as f32, place });
    Ok(())
}

fn rectangle(corners: BoxCorners, [a, b, c, d]: [f64; 4]) -> Rectangle {
    match corners {
        BoxCorners::Xyxy => [a, b, c - a, d - b],
        BoxCorners::Xywh => [a, b, c, d],
        BoxCorners::Cxcywh => [a - c / 2.0, b - d / 2.0, c, d],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::Resize;
    use crate::tensor::Numbers;
    use proptest::prelude::*;

    fn card(layout: BoxLayout) -> BoxesCard {
        BoxesCard {
            labels: vec!["cat".to_owned(), "dog".to_owned()],
            layout,
            score_threshold: 0.25,
            iou_threshold: Some(0.5),
            max_boxes: 10,
        }
    }

    fn separate() -> BoxLayout {
        let [boxes, scores, labels] = ["boxes", "scores", "labels"].map(str::to_owned);
        BoxLayout::Separate { boxes, scores, labels, corners: BoxCorners::Xyxy }
    }

    fn tensor(shape: &[usize], numbers: Vec<f32>) -> Tensor {
        Tensor::new(shape.to_vec(), Numbers::F32(numbers)).unwrap()
    }

    fn same_size() -> Placement {
        Placement::new(Resize::Exact, [100, 100], [100, 100]).unwrap()
    }

    #[test]
    fn of_overlapping_boxes_of_a_class_the_surest_stays() {
        // Columns: two cats on each other, a dog on the same place, something below the threshold.
        let rows: [[f32; 4]; 6] = [
            [50.0, 52.0, 50.0, 20.0],
            [50.0, 50.0, 50.0, 20.0],
            [20.0, 20.0, 20.0, 10.0],
            [20.0, 20.0, 20.0, 10.0],
            [0.8, 0.9, 0.1, 0.2],
            [0.1, 0.0, 0.7, 0.1],
        ];
        let found =
            read(&card(BoxLayout::Columns), &[tensor(&[1, 6, 4], rows.concat())], &same_size()).unwrap();
        let told: Vec<_> = found.iter().map(|one| (&*one.label, one.score, one.bbox)).collect();
        assert_eq!(told, [("cat", 0.9, [42.0, 40.0, 20.0, 20.0]), ("dog", 0.7, [40.0, 40.0, 20.0, 20.0])]);
    }

    #[test]
    fn unsound_numbers_are_the_models_fault() {
        let run = |boxes: [f32; 4], score: f32, label: f32| {
            let outputs =
                [tensor(&[1, 4], boxes.to_vec()), tensor(&[1], vec![score]), tensor(&[1], vec![label])];
            read(&card(separate()), &outputs, &same_size())
        };
        assert_eq!(run([1.0, 2.0, 4.0, 8.0], 0.5, 1.0).unwrap()[0].bbox, [1.0, 2.0, 3.0, 6.0]);
        assert!(run([1.0, 2.0, 4.0, 8.0], 0.5, 2.0).is_err());
        assert!(run([1.0, 2.0, 4.0, 8.0], 0.5, 0.5).is_err());
        assert!(run([1.0, 2.0, 4.0, 8.0], f32::NAN, 0.0).is_err());
        assert!(run([1.0, 2.0, f32::INFINITY, 8.0], 0.5, 0.0).is_err());
        assert_eq!(run([1.0, 2.0, 4.0, 8.0], 0.1, 9.0), Ok(vec![]), "filling below the threshold");
    }

    proptest! {
        #[test]
        fn what_is_found_lies_within_and_does_not_overlap(
            boxes in prop::collection::vec(([0.0..100.0_f32, 0.0..100.0, 0.0..200.0, 0.0..200.0], 0.0..1.0_f32, 0..2_u8), 1..40),
        ) {
            let count = boxes.len();
            let outputs = [
                tensor(&[count, 4], boxes.iter().flat_map(|one| one.0).collect()),
                tensor(&[count], boxes.iter().map(|one| one.1).collect()),
                tensor(&[count], boxes.iter().map(|one| f32::from(one.2)).collect()),
            ];
            let found = read(&card(separate()), &outputs, &same_size()).unwrap();
            prop_assert!(found.len() <= 10);
            prop_assert!(found.is_sorted_by(|a, b| a.score >= b.score));
            for one in &found {
                prop_assert!(one.score >= 0.25);
                prop_assert!(one.bbox[0] >= 0.0 && one.bbox[0] + one.bbox[2] <= 100.001, "{one:?}");
                prop_assert!(one.bbox[1] >= 0.0 && one.bbox[1] + one.bbox[3] <= 100.001, "{one:?}");
            }
        }
    }
}
