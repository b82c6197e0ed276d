//! COCO's own sample of val2014 with its made-up detections, which everybody who evaluates compares.

use residual_vision::{Images, Kind, Options, align, evaluate, evaluate_files};

use super::{
    peer::{self, Case},
    pycocotools::{by_files, by_model},
    read,
};

#[path = "../support/shared.rs"]
mod samples;

use samples::shared;

const TRUTH: &str = "formats/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json";

fn val2014(kind: Kind) -> Case {
    let detections = match kind {
        Kind::Boxes => "formats/cocoapi/results/instances_val2014_fakebbox100_results.json",
        _ => "formats/cocoapi/results/instances_val2014_fakesegm100_results.json",
    };
    Case { truth: shared(TRUTH), detections: shared(detections), kind }
}

#[test]
fn the_figures_of_val2014_are_the_golden_ones() {
    let golden = std::fs::read(shared("formats/golden_pycocotools.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
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

#[test]
fn a_slice_of_all_images_has_the_whole_summary() {
    let case = val2014(Kind::Boxes);
    let truth = read::dataset(&case.truth);
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
    let truth = read::dataset(&case.truth);
    let confusion = by_files(&case).confusion.unwrap();
    let there: u64 =
        confusion.counts.iter().filter(|(there, ..)| there.is_some()).map(|(.., count)| count).sum();
    assert_eq!(there, truth.annotations.iter().filter(|one| !one.crowd).count() as u64);
}

#[test]
fn detections_of_their_own_dataset_are_found_by_file_and_class() {
    let case = val2014(Kind::Boxes);
    let truth = read::dataset(&case.truth);
    let mut other = truth.clone();
    other.annotations = read::detections(&case.detections, &truth);
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
