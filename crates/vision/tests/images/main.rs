//! Images: photographs and what becomes of them, broken files made for this project and those of other projects, and
//! whatever chance makes of either.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod alike;
mod appearance;
mod chance;
mod conformance;
mod folders;

use std::{fs, path::Path};

use image::{DynamicImage, ImageFormat, codecs::jpeg::JpegEncoder};
use residual_vision::{
    Dataset, Finding, Findings, Folder, Image, Limits, Place, Rule,
    lint::images::{ImageFacts, check},
};
use tempfile::TempDir;

/// The six photographs, by name.
fn photos() -> Vec<(String, DynamicImage)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/photos/images");
    let mut photos: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), image::open(path).unwrap()))
        .collect();
    photos.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(photos.len(), 6);
    photos
}

fn jpeg(image: &DynamicImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)).unwrap();
    bytes
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut std::io::Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// A folder with these files.
fn folder_of(files: &[(&str, &[u8])]) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    place
}

/// A dataset that lists these files and says nothing more, each in the split that its folder is named after.
fn listing(files: &[&str]) -> Dataset {
    let images = files.iter().map(|file| Image {
        file: (*file).to_owned(),
        split: file.rsplit_once('/').map(|(folder, _)| folder.to_owned()),
        place: Place::file(format!("{file}.txt")),
        ..Image::default()
    });
    Dataset { images: images.collect(), ..Dataset::default() }
}

fn linted(path: &Path, dataset: &Dataset) -> (Findings, ImageFacts) {
    let limits = Limits::default();
    let mut findings = Findings::new(limits.findings_per_rule);
    let folder = Folder::list(path, &limits, &mut findings).unwrap();
    let facts = check(&folder, dataset, &limits, &|_, _| {}, &mut findings);
    (findings, facts)
}

/// Each finding as its rule and the file it is in.
fn told(findings: &Findings) -> Vec<(Rule, String)> {
    findings.iter().map(|Finding { rule, place, .. }| (*rule, place.file.to_string())).collect()
}
