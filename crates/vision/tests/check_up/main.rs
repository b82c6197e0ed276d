//! The linter as a whole, by [`check_up`]: each broken file has the findings that it was made for and no others, and clean
//! datasets have none above Info, in whatever format they are.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod clean;
mod conformance;
mod corrupt;
mod pictures;

use std::{
    fs,
    path::{Path, PathBuf},
};

use residual_vision::{Checkup, Format, Health, Limits, Severity, check_up};
use tempfile::TempDir;

/// How a folder is checked whose licence is known.
fn licensed(format: Option<Format>) -> Checkup<'static> {
    Checkup { format, licence: Some("CC0-1.0"), limits: Limits::default(), progress: &|_, _| {} }
}

/// Checks a folder or a file whose format its content tells.
fn checked(path: &Path) -> Health {
    check_up(path, &licensed(None)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every finding above Info.
fn told(health: &Health) -> Vec<String> {
    let rules = health.report.rules.iter().filter(|broken| broken.severity > Severity::Info);
    let findings = rules.flat_map(|broken| broken.findings.iter());
    findings.map(|finding| format!("{} {}: {}", finding.rule.id(), finding.place, finding.found)).collect()
}

/// The ids of the rules above Info that are broken, once each.
fn rules(health: &Health) -> Vec<&'static str> {
    let rules = health.report.rules.iter().filter(|broken| broken.severity > Severity::Info);
    rules.map(|broken| broken.rule.id()).collect()
}

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn photos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/photos")
}

/// A part of a photograph, as JPEG: sharp, and neither dark nor bright.
fn picture(name: &str, width: u32, height: u32) -> Vec<u8> {
    let photo = image::open(photos().join("images").join(name)).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    photo.crop_imm(150, 100, width, height).to_rgb8().write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    place
}
