//! Datasets of images: `lint`, `eval`, and what `publish` makes of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{RESIDUAL, Town, assert_refused, command, examples, word};

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

/// The photographs' own annotations as a model's answer; what `spoil` makes of them.
fn detected(photos: &Photos, spoil: impl FnOnce(&mut Vec<Value>)) -> String {
    let annotations = fs::read(photos.path().join("annotations.json")).unwrap();
    let annotations: Value = serde_json::from_slice(&annotations).unwrap();
    let as_result = |one: &Value| json!({ "image_id": one["image_id"], "category_id": one["category_id"], "bbox": one["bbox"], "score": 0.9 });
    let mut results: Vec<Value> =
        annotations["annotations"].as_array().unwrap().iter().map(as_result).collect();
    spoil(&mut results);
    let file = photos.path().join("results.json");
    fs::write(&file, json!(results).to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn detections_are_evaluated_from_a_file_or_a_folder_alike() {
    let photos = Photos::new();
    let results = detected(&photos, |results| {
        let cat = results.iter().position(|one| one["category_id"] == 4).unwrap();
        results[cat]["category_id"] = json!(1);
    });
    let truth = format!("{}/annotations.json", photos.shown());
    let said = text(&run(&["eval", "--gt", &truth, "--dt", &results]));
    // Nine of ten classes are found; the cat is taken for a person, who is found as surely.
    assert!(said.starts_with("figure  value\n------  -----\nAP      0.900\nAP50    0.900\n"), "{said}");
    let row = |class: &str| said.lines().find(|line| line.starts_with(class)).unwrap().split_whitespace();
    assert_eq!(row("coin ").collect::<Vec<_>>()[1..7], ["24", "24", "1.000", "1.000", "1.000", "1.000"]);
    assert_eq!(row("cat ").collect::<Vec<_>>()[1..4], ["1", "0", "0.000"]);
    assert!(said.contains("at an overlap of 0.5 and a score of 0.25"), "{said}");
    let taken: Vec<_> = said.lines().skip_while(|line| !line.starts_with("there is")).skip(2).collect();
    assert_eq!(taken[0].split_whitespace().collect::<Vec<_>>(), ["cat", "person", "1"], "{said}");

    let evaluated = |arguments: &[&str]| -> Value {
        serde_json::from_str(&text(&run(&[&["eval", "--json"][..], arguments].concat()))).unwrap()
    };
    let of_file = evaluated(&["--gt", &truth, "--dt", &results]);
    assert_eq!(of_file["kind"], "boxes");
    let figures: Vec<_> =
        of_file["summary"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    let usual = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"];
    assert_eq!(figures, usual);
    assert_eq!(of_file["curves"][0]["precision"].as_array().unwrap().len(), 101);
    fs::remove_file(photos.path().join("results.json")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("results.json");
    let results = detected(&photos, |results| {
        let cat = results.iter().position(|one| one["category_id"] == 4).unwrap();
        results[cat]["category_id"] = json!(1);
    });
    fs::rename(results, &moved).unwrap();
    let of_folder = evaluated(&["--gt", photos.shown(), "--dt", moved.to_str().unwrap()]);
    assert_eq!(of_folder, of_file);
}

/// A YOLO folder of two splits beside the same with scores: each split is a slice, and can be had alone.
#[test]
fn splits_are_slices_and_can_be_had_alone() {
    let place = tempfile::tempdir().unwrap();
    let set = |name: &str, train: &str, val: &str| {
        let root = place.path().join(name);
        for (split, photo, rows) in [("train", "chelsea.png", train), ("val", "coffee.png", val)] {
            for folder in ["images", "labels"] {
                fs::create_dir_all(root.join(folder).join(split)).unwrap();
            }
            let photo = PathBuf::from(examples("photos/images")).join(photo);
            fs::copy(photo, root.join("images").join(split).join("a.png")).unwrap();
            fs::write(root.join("labels").join(split).join("a.txt"), rows).unwrap();
        }
        fs::write(root.join("data.yaml"), "train: images/train\nval: images/val\nnames: [cat, cup]\n")
            .unwrap();
        root.to_str().unwrap().to_owned()
    };
    let truth = set("truth", "0 0.5 0.5 0.4 0.4\n", "1 0.5 0.5 0.4 0.4\n");
    let found = set("found", "0 0.5 0.5 0.4 0.4 0.9\n", "1 0.1 0.1 0.1 0.1 0.8\n");
    let said = text(&run(&["eval", "--gt", &truth, "--dt", &found]));
    let mut lines = said.lines();
    let heads: Vec<_> =
        lines.next().unwrap().split("  ").map(str::trim).filter(|head| !head.is_empty()).collect();
    assert_eq!(heads, ["figure", "value", "train (1 images)", "val (1 images)"]);
    assert_eq!(
        lines.nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
        ["AP", "0.500", "1.000", "0.000"]
    );
    // Detections of the other split are of images that are not there.
    let whole = ["eval", "--gt", &truth, "--dt", &found, "--split", "train"];
    assert_refused(&run(&whole), 2, "expected an image of the dataset, found `images/val/a.png`");
    let no = ["eval", "--gt", &truth, "--dt", &found, "--split", "dev"];
    assert_refused(&run(&no), 2, "expected a split of the dataset (train, val), found \"dev\"");
}

#[test]
fn keypoints_have_their_ten_figures() {
    let place = tempfile::tempdir().unwrap();
    let points: Vec<u32> = (0..17).flat_map(|at| [20 + 3 * at, 30 + at, 2]).collect();
    let truth = json!({
        "images": [{ "id": 1, "file_name": "a.png", "width": 100, "height": 100 }],
        "categories": [{ "id": 1, "name": "person" }],
        "annotations": [{ "id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 80, 80], "area": 6400,
            "iscrowd": 0, "num_keypoints": 17, "keypoints": points }],
    });
    let found = json!([{ "image_id": 1, "category_id": 1, "keypoints": points, "score": 0.5 }]);
    let [truth, found] = [("truth.json", truth), ("found.json", found)].map(|(name, content)| {
        let file = place.path().join(name);
        fs::write(&file, content.to_string()).unwrap();
        file.to_str().unwrap().to_owned()
    });
    let arguments = ["eval", "--gt", &truth, "--dt", &found, "--kind", "keypoints", "--json"];
    let evaluation: Value = serde_json::from_str(&text(&run(&arguments))).unwrap();
    let summary = evaluation["summary"].as_array().unwrap();
    let figures: Vec<_> = summary.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(figures, ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]);
    assert!(summary[0]["value"].as_f64().unwrap() > 1.0 - 1e-12, "{evaluation}");
    let three = ["eval", "--gt", &truth, "--dt", &found, "--kind", "keypoints", "--sigmas", "0.1,0.1,0.1"];
    assert_refused(&run(&three), 2, "annotations record 0");
    let none = ["eval", "--gt", &truth, "--dt", &found, "--kind", "keypoints", "--sigmas", "0"];
    assert_refused(&run(&none), 2, "expected --sigmas over 0, found 0");
}

#[test]
fn what_cannot_be_evaluated_says_why() {
    let photos = Photos::new();
    let truth = format!("{}/annotations.json", photos.shown());
    let eval = |dt: &str| run(&["eval", "--gt", &truth, "--dt", dt]);
    let unscored = detected(&photos, |results| drop(results[2].as_object_mut().unwrap().remove("score")));
    assert_refused(
        &eval(&unscored),
        2,
        "expected a score that is a number, found None in detections record 2",
    );
    let elsewhere = detected(&photos, |results| results[1]["image_id"] = json!(99));
    assert_refused(&eval(&elsewhere), 2, "99");
    assert_refused(&eval("/no/such/file"), 2, "/no/such/file");
    fs::write(&unscored, "[{").unwrap();
    assert_refused(&eval(&unscored), 2, "expected COCO results in");
    fs::remove_file(&unscored).unwrap();
    photos.edit(|all| all["annotations"][1]["image_id"] = json!(4711));
    let folder = ["eval", "--gt", photos.shown(), "--dt", &truth];
    assert_refused(
        &run(&folder),
        2,
        "found 1 that are not, the first in annotations.json /annotations/1/image_id",
    );
    let beyond = ["eval", "--gt", &truth, "--dt", &truth, "--confusion-score", "2"];
    assert_refused(&run(&beyond), 2, "expected --confusion-score from 0 to 1, found 2");
}

#[test]
fn the_buyer_gets_the_report_that_the_manifest_names() {
    let town = Town::new();
    let photos = Photos::new();
    photos.edit(|all| all["annotations"][0]["bbox"] = json!([-40.0, 10.0, 100.0, 100.0]));
    let report = text(&photos.lint(&["--json"]));
    let terms = examples("terms/research.toml");
    let publish = ["publish", photos.shown(), "--name", "photos", "--terms", &terms, "-a", "dev:1"];
    let published = town.json(&publish);
    let health = &published["health"];
    assert_eq!(
        (&health["format"], &health["images"], &health["annotations"]),
        (&json!("coco"), &json!(6), &json!(33))
    );
    assert_eq!((&health["severities"]["blocker"], &health["severities"]["error"]), (&json!(0), &json!(1)));
    assert_eq!(health["rules"][0]["rule"], "OUT_OF_BOUNDS");

    let asset = word(&published["asset"]);
    let about = town.json(&["show", &asset])["about"]["health"].clone();
    let about: Value = serde_json::from_str(&word(&about)).unwrap();
    assert_eq!(about["report_sha256"], health["report_sha256"]);
    let shown = text(&command(&town.data(), &["show", &asset]).output().unwrap());
    assert!(
        shown.starts_with("health       coco: 6 images, 33 annotations, 10 classes; 1 error, "),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("\nreport       sha256 {}\n", word(&health["report_sha256"]))),
        "{shown}"
    );

    let bought = town.json(&["license", &asset, &word(&published["terms"][0]), "-a", "dev:2"]);
    let target = town.temp.path().join("got");
    town.json(&["get", &word(&bought["licence"]), target.to_str().unwrap(), "-a", "dev:2"]);
    let sealed = fs::read_to_string(target.join(".residual/health.json")).unwrap();
    assert_eq!(sealed, report.trim_end(), "as `lint --json` says it");
    assert_eq!(format!("{:x}", residual_client::digest(sealed.as_bytes())), word(&health["report_sha256"]));
    let again = run(&["lint", target.to_str().unwrap(), "--json"]);
    assert_eq!(text(&again), report, "whoever has the content can make the report anew");

    let repeated = town.json(&publish);
    assert_eq!((&repeated["asset"], repeated["transaction"].is_null()), (&json!(asset), true));
    let said = text(&command(&town.data(), &publish).output().unwrap());
    assert!(said.contains("health   coco: 6 images"), "{said}");
    assert!(said.contains("\n         error OUT_OF_BOUNDS (1): a box or outline beyond its image"), "{said}");
    assert!(!said.contains("FEW_SAMPLES"), "facts are in the report: {said}");
}

#[test]
fn a_dataset_with_blockers_is_not_published() {
    let town = Town::new();
    let events = town.events();
    let photos = Photos::new();
    let publish = ["publish", photos.shown(), "--name", "photos", "-a", "dev:1"];
    photos.edit(|all| {
        all["annotations"][1]["image_id"] = json!(4711);
        all["annotations"][2]["image_id"] = json!(4712);
        all["annotations"][3]["category_id"] = json!(4713);
    });
    let says = format!(
        "expected a dataset without blockers, found 3: ORPHAN_IMAGE_REF in annotations.json /annotations/1/image_id: expected \
         the id of an image, found 4711; UNKNOWN_CATEGORY in annotations.json /annotations/3/category_id: expected the id of a \
         class, found 4713; and 1 more; `residual lint {}` shows all, and what to do",
        photos.shown()
    );
    town.refused(8, &says, &publish);
    town.refused(8, "found 3", &[&publish[..], &["--version-of", &town.asset]].concat());
    assert_eq!(town.events(), events, "nothing was registered");

    // A licence may be named by whoever publishes.
    let photos = Photos::new();
    fs::remove_file(photos.path().join("README.md")).unwrap();
    photos.edit(|all| all["licenses"] = json!([]));
    let publish = ["publish", photos.shown(), "--name", "photos", "-a", "dev:1"];
    town.refused(8, "MISSING_LICENCE", &publish);
    let published = town.json(&[&publish[..], &["--data-licence", "CC0-1.0"]].concat());
    let page = town.json(&["show", &word(&published["asset"])]);
    assert_eq!(page["about"]["licence"], "CC0-1.0");
}

#[test]
fn what_is_no_dataset_of_images_is_published_unchecked_and_that_is_said() {
    let town = Town::new();
    let folder = town.temp.path().join("texts");
    fs::create_dir(&folder).unwrap();
    // All of these would be taken for annotations beside images.
    fs::write(folder.join("data.yaml"), "names: [a, b]\n").unwrap();
    fs::write(folder.join("answers.json"), r#"{"annotations": [{"text": "x"}]}"#).unwrap();
    fs::write(folder.join("lines.json"), "{\"a\": 1}\n{\"a\": 2}\n").unwrap();
    let publish = ["publish", folder.to_str().unwrap(), "--name", "texts", "-a", "dev:1"];
    let said = text(&command(&town.data(), &publish).output().unwrap());
    assert!(
        said.contains("health   not checked: found no images with annotations of a known format\n"),
        "{said}"
    );
    assert!(town.json(&publish)["health"].is_null());
    town.refused(8, "MISSING_FIELD in answers.json", &[&publish[..], &["--format", "coco"]].concat());

    let photos = Photos::new();
    fs::write(photos.path().join("coins.xml"), "<annotation><filename>coins.png</filename></annotation>")
        .unwrap();
    let both = ["publish", photos.shown(), "--name", "both", "-a", "dev:1"];
    town.refused(
        2,
        "found coco (annotations.json) and voc (coins.xml); name the one to read with --format",
        &both,
    );
    assert_eq!(town.json(&[&both[..], &["--format", "coco"]].concat())["health"]["format"], "coco");

    let model = town.temp.path().join("model");
    fs::create_dir(&model).unwrap();
    fs::copy(examples("photos/images/coins.png"), model.join("sample.png")).unwrap();
    let publish = ["publish", model.to_str().unwrap(), "--name", "m", "--kind", "model", "-a", "dev:1"];
    let said = text(&command(&town.data(), &publish).output().unwrap());
    assert!(!said.contains("health"), "{said}");
}
