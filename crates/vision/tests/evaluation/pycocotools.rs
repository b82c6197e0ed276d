//! Every figure is that of pycocotools, to the last bit.

use std::path::Path;

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use residual_vision::{Evaluation, Kind, Options, evaluate, evaluate_files};

use crate::{
    made::made,
    peer::{self, Case},
    read,
};

pub(crate) fn by_files(case: &Case) -> Evaluation {
    evaluate_files(&case.truth, &case.detections, case.kind, &Options::default()).unwrap()
}

pub(crate) fn by_model(case: &Case) -> Evaluation {
    let truth = read::dataset(&case.truth);
    let detections = read::detections(&case.detections, &truth);
    evaluate(&truth, &detections, case.kind, &Options::default()).unwrap()
}

/// Made-up datasets, all in one process of the peer's: most of a case's time is Python's start.
fn made_ones_agree(kind: Kind, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::deterministic();
    let strategy = made(kind);
    let write = |name: String, json: &serde_json::Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, json.to_string()).unwrap();
        path
    };
    let cases: Vec<Case> = (0..count)
        .map(|number| {
            let made = strategy.new_tree(&mut runner).unwrap().current();
            let truth = write(format!("{number}.truth.json"), &made.truth);
            Case { truth, detections: write(format!("{number}.found.json"), &made.detections), kind }
        })
        .collect();
    let mut measured = 0;
    for (case, theirs) in cases.iter().zip(peer::evaluate(&cases)) {
        measured += usize::from(theirs.summary[0] > 0.0);
        for (way, ours) in [("files", by_files(case)), ("the model", by_model(case))] {
            if let Some(difference) = theirs.differs(&ours) {
                let show = |path: &Path| std::fs::read_to_string(path).unwrap();
                panic!("by {way}: {difference}\n{}\n{}", show(&case.truth), show(&case.detections));
            }
        }
    }
    assert!(measured > count / 2, "too few cases say anything: {measured} of {count}");
}

#[test]
fn made_up_boxes_agree_to_the_bit() {
    made_ones_agree(Kind::Boxes, 150);
}

#[test]
fn made_up_masks_agree_to_the_bit() {
    made_ones_agree(Kind::Masks, 100);
}

#[test]
fn made_up_keypoints_agree_to_the_bit() {
    made_ones_agree(Kind::Keypoints, 150);
}
