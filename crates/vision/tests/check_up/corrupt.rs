//! Broken files, each alone and each as the annotations of a folder that is sound otherwise.

use std::{collections::BTreeMap, fs};

use super::{checked, data, folder, picture, rules, told};

/// The cases of a format, each with the rules that it breaks.
fn expected(format: &str) -> BTreeMap<String, Vec<String>> {
    let all = fs::read(data("corrupt/expected.json")).unwrap();
    let all: BTreeMap<String, Vec<String>> = serde_json::from_slice(&all).unwrap();
    let cases: BTreeMap<_, _> = all.into_iter().filter(|(case, _)| case.starts_with(format)).collect();
    assert!(cases.len() >= 8, "{format} has {} cases", cases.len());
    cases
}

#[test]
fn each_file_alone_has_its_findings_and_no_others() {
    for (case, expected) in expected("coco/").into_iter().chain(expected("voc/")) {
        let health = checked(&data("corrupt").join(&case));
        assert_eq!(rules(&health), expected, "{case}: {:?}", told(&health));
    }
}

#[test]
fn each_file_in_a_folder_has_its_findings_and_no_others() {
    let (first, second) = (picture("chelsea.png", 100, 80), picture("coffee.png", 64, 64));
    for (case, expected) in expected("") {
        let Ok(content) = fs::read(data("corrupt").join(&case)) else {
            assert!(case.starts_with("img/"), "expected {case} among the data");
            continue;
        };
        let place = match case.split('/').next().unwrap() {
            "coco" => folder(&[("set.json", &content), ("a.jpg", &first), ("b.jpg", &second)]),
            "voc" => folder(&[("a.xml", &content), ("a.jpg", &first)]),
            _ => folder(&[
                ("data.yaml", b"names: [cat, dog]\n"),
                ("labels/a.txt", &content),
                ("images/a.jpg", &first),
            ]),
        };
        let health = checked(place.path());
        // What a broken file does not get to say leaves its images without a word.
        let found: Vec<_> = rules(&health).into_iter().filter(|rule| *rule != "UNLISTED_IMAGE").collect();
        assert_eq!(found, expected, "{case}: {:?}", told(&health));
        assert_eq!(
            health.report.blocks(),
            health
                .report
                .rules
                .iter()
                .any(|broken| { broken.severity == residual_vision::Severity::Blocker })
        );
    }
}

#[test]
fn the_same_folder_has_the_same_report() {
    let first = picture("chelsea.png", 100, 80);
    let place = folder(&[
        ("data.yaml", b"names: [cat, dog]\n"),
        ("labels/a.txt", b"0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n7 0 0 1 1\n"),
        ("images/a.jpg", &first),
        ("images/b.jpg", &first),
    ]);
    let (one, other) = (checked(place.path()).report, checked(place.path()).report);
    assert_eq!((one.json(), one.digest()), (other.json(), other.digest()));
    assert!(one.blocks());
}
