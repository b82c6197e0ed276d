//! Samples of other projects, whose figures everybody who evaluates compares.

use serde_json::Value;

use crate::support::RESIDUAL;

#[path = "../../../vision/tests/support/shared.rs"]
mod samples;

use samples::shared;

#[test]
fn the_figures_of_val2014_are_the_golden_ones() {
    let golden = std::fs::read(shared("formats/golden_pycocotools.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let truth = shared("formats/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json");
    for (kind, name) in [("boxes", "bbox"), ("masks", "segm")] {
        let results =
            shared(&format!("formats/cocoapi/results/instances_val2014_fake{name}100_results.json"));
        // They are of the images with detections, 99 of the 100.
        let output = std::process::Command::new(RESIDUAL)
            .env_clear()
            .args(["eval", "--kind", kind, "--images", "detected", "--json", "--gt"])
            .arg(&truth)
            .arg("--dt")
            .arg(results)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ours: Value = serde_json::from_slice(&output.stdout).unwrap();
        let golden = golden[format!("val2014_100_{name}")].as_array().unwrap();
        let summary = ours["summary"].as_array().unwrap();
        assert_eq!(summary.len(), golden.len());
        for (figure, golden) in summary.iter().zip(golden) {
            // The golden ones are rounded to twelve places.
            let (value, golden) = (figure["value"].as_f64().unwrap(), golden.as_f64().unwrap());
            assert!((value - golden).abs() <= 5.1e-13, "{kind} {}: {value}, golden {golden}", figure["name"]);
        }
    }
}
