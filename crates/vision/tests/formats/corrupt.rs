//! Every broken file has its findings, and no others.

use std::{collections::BTreeMap, fs};

use residual_vision::Format;

use super::{corrupt, read_files, rules, told};

/// Rules on what records say together, which the readers do not judge.
const OF_THE_MODEL: [&str; 8] = [
    "AREA_MISMATCH",
    "DEGENERATE_BOX",
    "DUPLICATE_ANNOTATION",
    "KP_OUT_OF_BOUNDS",
    "MASK_BOX_MISMATCH",
    "MISSING_IMAGE",
    "OUT_OF_BOUNDS",
    "SELF_INTERSECTING",
];

#[test]
fn a_corrupt_coco_file_has_the_expected_findings_and_no_others() {
    let expected: BTreeMap<String, Vec<String>> =
        serde_json::from_slice(&fs::read(corrupt("expected.json")).unwrap()).unwrap();
    let cases: Vec<_> = expected.iter().filter(|(case, _)| case.starts_with("coco/")).collect();
    assert_eq!(cases.len(), fs::read_dir(corrupt("coco")).unwrap().count());
    for (case, expected) in cases {
        let (dataset, findings) = read_files(Format::Coco, &[("a.json", &fs::read(corrupt(case)).unwrap())]);
        let wanted: Vec<_> = expected.iter().filter(|rule| !OF_THE_MODEL.contains(&rule.as_str())).collect();
        assert_eq!(rules(&findings), wanted, "{case}: {:?}", told(&findings));
        if wanted.is_empty() {
            assert_eq!((dataset.images.len(), dataset.annotations.len()), (2, 1), "{case}");
        }
    }
}

#[test]
fn a_finding_says_where_it_is() {
    let place = |case: &str| {
        let (_, findings) =
            read_files(Format::Coco, &[("a.json", &fs::read(corrupt("coco").join(case)).unwrap())]);
        findings.iter().next().unwrap().place.to_string()
    };
    let expected = [
        ("dup_key.json", "a.json /images/0/id"),
        ("bbox3.json", "a.json /annotations/0/bbox"),
        ("nan.json", "a.json:1 /annotations/0"),
        ("trunc.json", "a.json:1"),
        ("latin1.json", "a.json:1"),
        ("traversal.json", "a.json /images/0/file_name"),
        ("orphan_image.json", "a.json /annotations/0/image_id"),
        ("rle_sum.json", "a.json /annotations/0/segmentation"),
    ];
    for (case, expected) in expected {
        assert_eq!(place(case), expected, "{case}");
    }
}
