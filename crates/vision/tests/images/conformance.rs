//! Every broken image has its finding, and every good one none but what is true of it.

use std::{collections::BTreeMap, fs, path::Path};

use residual_vision::{Rule, Severity};

use super::{linted, listing};

#[path = "../support/shared.rs"]
mod samples;

use samples::shared;

/// The rules that are broken by each image in a folder, when each is alone in its dataset.
fn found_in(folder: &Path) -> BTreeMap<String, Vec<Rule>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let alone = super::folder_of(&[(&name, &fs::read(&path).unwrap())]);
        let (findings, _) = linted(alone.path(), &listing(&[&name]));
        let rules = findings.counts().filter(|(rule, _)| rule.severity() > Severity::Info);
        found.insert(name, rules.map(|(rule, _)| rule).collect());
    }
    assert!(!found.is_empty(), "no image in {}", folder.display());
    found
}

#[test]
fn each_broken_image_made_for_this_project_has_its_finding() {
    let expected = fs::read_to_string(shared("formats/corrupt/expected.json")).unwrap();
    let expected: BTreeMap<String, Vec<String>> = serde_json::from_str(&expected).unwrap();
    let found = found_in(&shared("formats/corrupt/img"));
    for (name, rules) in &found {
        // A flipped bit in the entropy-coded data can be another image as sound as the first.
        if name == "bitflip.jpg" {
            continue;
        }
        let ids: Vec<_> = rules.iter().map(|rule| rule.id()).collect();
        let wanted = &expected[&format!("img/{name}")];
        assert!(
            wanted.iter().all(|id| ids.contains(&id.as_str())),
            "{name}: expected {wanted:?}, found {ids:?}"
        );
        let grave = rules.iter().filter(|rule| rule.severity() >= Severity::Error);
        assert!(grave.clone().all(|rule| wanted.iter().any(|id| id == rule.id())), "{name}: found {ids:?}");
        assert_eq!(wanted.is_empty(), ids.is_empty(), "{name}: found {ids:?}");
    }
}

#[test]
fn each_bad_image_of_the_image_crate_has_its_finding() {
    let bad = shared("formats/image-rs/tests/bad");
    let bitmaps = found_in(&bad.join("bmp"));
    assert_eq!(bitmaps["Bad_shortfile.bmp"], [Rule::ImageTruncated]);
    assert_eq!(bitmaps["Bad_reallybig.bmp"], [Rule::ResourceLimit]);
    assert_eq!(bitmaps["Bad_width.bmp"], [Rule::ResourceLimit]);
    assert_eq!(bitmaps["Bad_height.bmp"], [Rule::ResourceLimit]);
    for (name, rules) in bitmaps.iter().chain(&found_in(&bad.join("tiff"))).chain(&found_in(&bad.join("ico")))
    {
        assert!(rules.iter().any(|rule| rule.severity() == Severity::Blocker), "{name}: found {rules:?}");
    }
}

#[test]
fn each_good_image_has_none_but_what_is_true_of_it() {
    let photos = found_in(&shared("photos/images"));
    let faster = found_in(&shared("formats/faster_coco_eval/tests/dataset"));
    let images = shared("formats/image-rs/tests/images/jpg");
    let progressive = found_in(&images.join("progressive"));
    let baseline = found_in(&images);
    for (name, rules) in photos.iter().chain(&faster).chain(&progressive).chain(&baseline) {
        let true_of_it: &[Rule] = match name.as_str() {
            "portrait_2.jpg" => &[Rule::ExifOrientation],
            // 5x5.
            "exif-xmp-metadata.jpg" => &[Rule::ImageTooSmall],
            _ if name.ends_with(".json") => &[Rule::ImageUnreadable],
            _ => &[],
        };
        assert_eq!(rules, true_of_it, "{name}");
    }
}
