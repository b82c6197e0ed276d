//! Datasets of images: `lint`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{RESIDUAL, assert_refused, examples};

/// The binary without any setting, not even a home: these commands work on files alone.
fn run(arguments: &[&str]) -> Output {
    std::process::Command::new(RESIDUAL).env_clear().args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert!(output.stderr.is_empty(), "nothing is said beside the result: {error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A copy of the six photographs and their annotations, to be spoilt.
struct Photos(TempDir);

impl Photos {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("images")).unwrap();
        let original = PathBuf::from(examples("photos"));
        for entry in fs::read_dir(original.join("images")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), place.path().join("images").join(entry.file_name())).unwrap();
        }
        for name in ["annotations.json", "README.md"] {
            fs::copy(original.join(name), place.path().join(name)).unwrap();
        }
        Self(place)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn shown(&self) -> &str {
        self.path().to_str().unwrap()
    }

    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let file = self.path().join("annotations.json");
        let mut annotations = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        edit(&mut annotations);
        fs::write(file, annotations.to_string()).unwrap();
    }

    fn lint(&self, arguments: &[&str]) -> Output {
        run(&[&["lint", self.shown()][..], arguments].concat())
    }
}

#[test]
fn a_sound_dataset_has_nothing_above_info() {
    let said = text(&run(&["lint", &examples("photos")]));
    assert!(said.contains("coco: 6 images, 33 annotations"), "{said}");
    for grave in ["blocker", "error", "warning"] {
        assert!(!said.contains(grave), "{said}");
    }
    let report: Value = serde_json::from_str(&text(&run(&["lint", &examples("photos"), "--json"]))).unwrap();
    assert_eq!((&report["schema"], &report["format"]), (&json!("residual/health/1"), &json!("coco")));
    assert_eq!(report["severities"]["blocker"], 0);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_to_do() {
    let photos = Photos::new();
    photos.edit(|all| {
        all["annotations"][0]["bbox"] = json!([-40.0, 10.0, 100.0, 100.0]);
        all["annotations"][1]["image_id"] = json!(4711);
    });
    let output = photos.lint(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(8), "{error}");
    assert_eq!(
        error,
        "residual: 1 blocker in the way of publishing: the report says where, and what to do\n"
    );
    let orphan = "blocker ORPHAN_IMAGE_REF (1): an annotation of an image that is not listed; list the image or remove the annotation\n  annotations.json /annotations/1/image_id: expected the id of an image, found 4711\n";
    assert!(said.contains(orphan), "{said}");
    let (first, second) = (said.find("blocker ORPHAN").unwrap(), said.find("error OUT_OF_BOUNDS").unwrap());
    assert!(first < second, "the gravest come first: {said}");
    assert!(said.trim_end().lines().last().unwrap().contains("; 1 blocker, "), "{said}");

    let output = photos.lint(&["--json"]);
    assert_eq!(output.status.code(), Some(8));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["rules"][0]["findings"][0]["place"]["within"], "/annotations/1/image_id");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exit_code"], 8);
}

#[test]
fn the_page_shows_the_worst_and_needs_nothing_beside_it() {
    let photos = Photos::new();
    photos.edit(|all| all["annotations"][0]["bbox"] = json!([-40.0, 10.0, 100.0, 100.0]));
    fs::write(photos.path().join("images/odd.png"), b"\x89PNG\r\n\x1a\n and no more").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let page = elsewhere.path().join("report.html");
    let output = photos.lint(&["--report", page.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(8), "{}", String::from_utf8_lossy(&output.stderr));
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("<rect class=\"meant\"") && html.contains("data:image/jpeg;base64,"));
    assert!(html.contains("No picture: "), "a broken image leaves a note");
    for fetched in ["src=", "http:", "https:", "url("] {
        assert!(!html.contains(fetched), "{fetched}");
    }
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
}

#[test]
fn a_file_alone_is_read_for_its_annotations() {
    let said = text(&run(&["lint", &format!("{}/annotations.json", examples("photos"))]));
    assert!(!said.contains("MISSING_IMAGE"), "{said}");
}

#[test]
fn what_cannot_be_looked_at_says_why() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    assert_refused(&run(&["lint", path]), 2, "expected annotations of a known format");
    assert_refused(&run(&["lint", &format!("{path}/no")]), 2, "expected a folder or an annotation file");
    assert_refused(&run(&["lint", path, "--format", "tar"]), 2, "expected one of coco");
    let report = format!("{path}/no/report.html");
    assert_refused(&run(&["lint", &examples("photos"), "--report", &report]), 1, "cannot write");
}
