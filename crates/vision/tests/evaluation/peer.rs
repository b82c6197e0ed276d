//! What stock pycocotools makes of cases.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use residual_vision::{Evaluation, Kind};
use serde::Deserialize;

/// What is evaluated.
pub(crate) struct Case {
    pub(crate) truth: PathBuf,
    pub(crate) detections: PathBuf,
    pub(crate) kind: Kind,
}

/// pycocotools' answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) summary: Vec<f64>,
    classes: Vec<Class>,
}

#[derive(Debug, Deserialize)]
struct Class {
    id: u64,
    ap: Option<f64>,
    ar: Option<f64>,
    curves: [Vec<f64>; 2],
}

/// Lets pycocotools evaluate all cases, in one process.
pub(crate) fn evaluate(cases: &[Case]) -> Vec<Answer> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let mut child = Command::new(peers.join(".venv/bin/python"))
        .arg(peers.join("evaluate.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("pycocotools is not installed: run crates/vision/tests/peers/setup once ({error})")
        });
    let mut lines = String::new();
    for case in cases {
        let kind = match case.kind {
            Kind::Boxes => "bbox",
            Kind::Masks => "segm",
            Kind::Keypoints => "keypoints",
            Kind::Oriented => panic!("pycocotools knows no oriented boxes"),
        };
        let line = serde_json::json!({"truth": case.truth, "detections": case.detections, "kind": kind});
        lines += &format!("{line}\n");
    }
    let mut stdin = child.stdin.take().expect("is piped");
    let write = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    write.join().unwrap().unwrap();
    assert!(output.status.success(), "pycocotools failed; see above");
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Answer> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), cases.len());
    answers
}

impl Answer {
    /// What differs from ours in any bit; none where nothing does.
    pub(crate) fn differs(&self, ours: &Evaluation) -> Option<String> {
        let bits = |value: Option<f64>| value.unwrap_or(-1.0).to_bits();
        for (figure, value) in ours.summary.iter().zip(&self.summary) {
            if bits(figure.value) != value.to_bits() {
                return Some(format!("{}: {:?}, theirs {value}", figure.name, figure.value));
            }
        }
        if (ours.summary.len(), ours.classes.len()) != (self.summary.len(), self.classes.len()) {
            return Some("other figures or classes".to_owned());
        }
        for (class, theirs) in ours.classes.iter().zip(&self.classes) {
            if class.id != theirs.id || bits(class.ap) != bits(theirs.ap) || bits(class.ar) != bits(theirs.ar)
            {
                return Some(format!("{class:?}, theirs {theirs:?}"));
            }
            for (overlap, curve) in [0.5, 0.75].into_iter().zip(&theirs.curves) {
                let here = ours.curves.iter().find(|one| one.class == class.id && one.overlap == overlap);
                let same = match here {
                    Some(here) => here
                        .precision
                        .iter()
                        .map(|one| one.to_bits())
                        .eq(curve.iter().map(|one| one.to_bits())),
                    None => curve.iter().all(|value| *value == -1.0),
                };
                if !same {
                    return Some(format!("the curve of class {} at {overlap}", class.id));
                }
            }
        }
        None
    }
}
