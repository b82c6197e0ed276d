//! Every figure is that of pycocotools, to the last bit.

use std::path::Path;

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use residual_vision::{Evaluation, Images, Kind, Options, align, evaluate, evaluate_files};

use crate::{
    made::made,
    peer::{self, Case},
    read, shared,
};

const TRUTH: &str = "formats/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json";

fn val2014(kind: Kind) -> Case {
    let detections = match kind {
        Kind::Boxes => "formats/cocoapi/results/instances_val2014_fakebbox100_results.json",
        _ => "formats/cocoapi/results/instances_val2014_fakesegm100_results.json",
    };
    Case { truth: shared(TRUTH), detections: shared(detections), kind }
}

fn by_files(case: &Case) -> Evaluation {
    evaluate_files(&case.truth, &case.detections, case.kind, &Options::default()).unwrap()
}

fn by_model(case: &Case) -> Evaluation {
    let truth = read::dataset(&read::file(&case.truth));
    let detections = read::annotations(read::file(&case.detections).as_array().unwrap(), &truth);
    evaluate(&truth, &detections, case.kind, &Options::default()).unwrap()
}

#[test]
fn the_figures_of_val2014_are_the_golden_ones() {
    let golden = read::file(&shared("formats/golden_pycocotools.json"));
    for (kind, name) in [(Kind::Boxes, "val2014_100_bbox"), (Kind::Masks, "val2014_100_segm")] {
        // They are of the images with detections, 99 of the 100.
        let case = val2014(kind);
        let options = Options { images: Images::Detected, ..Options::default() };
        let ours = evaluate_files(&case.truth, &case.detections, case.kind, &options).unwrap();
        let golden = golden[name].as_array().unwrap();
        assert_eq!(ours.summary.len(), golden.len());
        for (figure, golden) in ours.summary.iter().zip(golden) {
            // The golden ones are rounded to twelve places.
            let (value, golden) = (figure.value.unwrap(), golden.as_f64().unwrap());
            assert!((value - golden).abs() <= 5.1e-13, "{name} {}: {value}, golden {golden}", figure.name);
        }
    }
}

#[test]
fn the_figures_of_val2014_are_pycocotools_to_the_bit() {
    let cases = [val2014(Kind::Boxes), val2014(Kind::Masks)];
    for (case, theirs) in cases.iter().zip(peer::evaluate(&cases)) {
        assert_eq!(theirs.differs(&by_files(case)), None, "{:?} by files", case.kind);
        assert_eq!(theirs.differs(&by_model(case)), None, "{:?} by the model", case.kind);
    }
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

#[test]
fn a_slice_of_all_images_has_the_whole_summary() {
    let case = val2014(Kind::Boxes);
    let truth = read::dataset(&read::file(&case.truth));
    let mut options = Options::default();
    options.slices.insert("_overall".to_owned(), truth.images.iter().map(|image| image.id).collect());
    options.slices.insert("none".to_owned(), Vec::new());
    let ours = evaluate_files(&case.truth, &case.detections, case.kind, &options).unwrap();
    let [all, none] = &ours.slices[..] else { panic!("expected two slices, found {:?}", ours.slices) };
    assert_eq!((&all.name[..], all.images, &all.summary), ("_overall", 100, &ours.summary));
    assert!(none.summary.iter().all(|figure| figure.value.is_none()), "{none:?}");
}

#[test]
fn confusion_counts_every_object_once() {
    let case = val2014(Kind::Boxes);
    let truth = read::dataset(&read::file(&case.truth));
    let confusion = by_files(&case).confusion.unwrap();
    let there: u64 =
        confusion.counts.iter().filter(|(there, ..)| there.is_some()).map(|(.., count)| count).sum();
    assert_eq!(there, truth.annotations.iter().filter(|one| !one.crowd).count() as u64);
}

#[test]
fn detections_of_their_own_dataset_are_found_by_file_and_class() {
    let case = val2014(Kind::Boxes);
    let truth = read::dataset(&read::file(&case.truth));
    let mut other = truth.clone();
    other.annotations = read::annotations(read::file(&case.detections).as_array().unwrap(), &truth);
    // Other numbers for the same images and classes.
    let images = other.images.len() as u32 - 1;
    let classes = other.categories.len() as u32 - 1;
    other.images.reverse();
    other.categories.reverse();
    for one in &mut other.annotations {
        one.image.0 = images - one.image.0;
        one.category.0 = classes - one.category.0;
    }
    let aligned = align(&truth, other.clone()).unwrap();
    let ours = evaluate(&truth, &aligned, case.kind, &Options::default()).unwrap();
    assert_eq!(ours.summary, by_files(&case).summary);
    other.images[0].file = "elsewhere.jpg".to_owned();
    other.annotations[0].image.0 = 0;
    let error = align(&truth, other).unwrap_err().to_string();
    assert!(error.contains("expected an image of the dataset, found `elsewhere.jpg`"), "{error}");
}
