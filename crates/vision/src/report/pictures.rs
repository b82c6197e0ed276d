//! The worst findings as pictures: the image that each is about, small, with what the annotations say of it.
//!
//! Owns: which findings are drawn, and how. There are so many pictures and no more, each of so many boxes, whatever the
//! folder holds; an image that cannot be decoded within the limits leaves a note. Refuses: to correct what it draws.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use image::{DynamicImage, codecs::jpeg::JpegEncoder};

use super::{Drawing, Outline, Picture};
use crate::{
    Annotation, Bounds, Dataset, Finding, Folder, Health, ImageIndex, Limits, Place, Pointer, Quadrangle,
    Report, Segmentation, Severity,
    images::{self, Kind},
};

/// Pictures in all.
const MOST: usize = 24;
/// Pictures of one rule: a rule that is broken a thousand times is to leave room for others.
const PER_RULE: usize = 4;
/// Findings of one rule that are looked up: of some the image is not known.
const LOOKED_UP: usize = 64;
/// The longer side of a picture, in pixels.
const SIDE: u32 = 320;
/// Boxes on one picture.
const BOXES: usize = 100;
/// Of JPEG, 1 to 100.
const QUALITY: u8 = 80;

/// Draws the worst findings, of warnings and above, the gravest first: a few of each rule, those whose image is known.
pub fn pictures(health: &Health, limits: &Limits) -> Vec<Picture> {
    let Health { folder, dataset, report, .. } = health;
    let candidates = candidates(report);
    let subjects = subjects(folder, dataset, &candidates);
    let chosen = choose(candidates, &subjects);
    let mut of_image: HashMap<&str, Vec<usize>> =
        chosen.iter().map(|(_, subject)| (subject.file.as_str(), Vec::new())).collect();
    for (index, annotation) in dataset.annotations.iter().enumerate() {
        let file = image_file(dataset, annotation.image);
        if let Some(indices) = file.and_then(|file| of_image.get_mut(file)) {
            indices.push(index);
        }
    }
    let draw = |(finding, subject): (&Finding, &Subject)| {
        let annotations = of_image.get(subject.file.as_str()).map_or(&[][..], Vec::as_slice);
        let drawing = draw(folder, dataset, subject, annotations, limits);
        Picture { finding: finding.clone(), drawing }
    };
    chosen.into_iter().map(draw).collect()
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq)]
struct Subject {
    file: String,
    annotation: Option<usize>,
}

fn candidates(report: &Report) -> Vec<&Finding> {
    let grave = report.rules.iter().filter(|broken| broken.severity >= Severity::Warning);
    grave.flat_map(|broken| broken.findings.iter().take(LOOKED_UP)).collect()
}

/// The image, and the annotation if it is of one, of each place.
fn subjects(folder: &Folder, dataset: &Dataset, candidates: &[&Finding]) -> BTreeMap<Place, Subject> {
    let places: BTreeSet<Place> = candidates.iter().map(|finding| record(&finding.place)).collect();
    let mut subjects = BTreeMap::new();
    for (index, annotation) in dataset.annotations.iter().enumerate() {
        let place = record(&annotation.place);
        if places.contains(&place)
            && let Some(file) = image_file(dataset, annotation.image)
        {
            let subject = Subject { file: file.to_owned(), annotation: Some(index) };
            subjects.entry(place).or_insert(subject);
        }
    }
    for image in &dataset.images {
        let place = record(&image.place);
        if places.contains(&place) && folder.bytes(&image.file).is_some() {
            subjects.entry(place).or_insert(Subject { file: image.file.clone(), annotation: None });
        }
    }
    for place in places {
        let file = &*place.file;
        if Kind::of_name(file).is_some() && folder.bytes(file).is_some() {
            let subject = Subject { file: file.to_owned(), annotation: None };
            subjects.entry(place).or_insert(subject);
        }
    }
    subjects
}

/// The place of the record that a field is of.
fn record(place: &Place) -> Place {
    let within = match &place.within {
        Some(Pointer::Field(list, row, _)) => Some(Pointer::Row(list, *row)),
        within => within.clone(),
    };
    Place { within, ..place.clone() }
}

fn image_file(dataset: &Dataset, image: ImageIndex) -> Option<&str> {
    dataset.images.get(image.0 as usize).map(|image| image.file.as_str())
}

fn choose<'a>(
    candidates: Vec<&'a Finding>,
    subjects: &'a BTreeMap<Place, Subject>,
) -> Vec<(&'a Finding, &'a Subject)> {
    let mut of_rule = BTreeMap::new();
    let known = candidates.into_iter().filter_map(|finding| {
        let subject = subjects.get(&record(&finding.place))?;
        let drawn: &mut usize = of_rule.entry(finding.rule).or_default();
        *drawn += 1;
        (*drawn <= PER_RULE).then_some((finding, subject))
    });
    known.take(MOST).collect()
}

fn draw(
    folder: &Folder,
    dataset: &Dataset,
    subject: &Subject,
    annotations: &[usize],
    limits: &Limits,
) -> Result<Drawing, String> {
    let bytes = folder.read(&subject.file, limits.image_file_bytes).map_err(|error| error.to_string())?;
    let outline = images::Outline::of(&bytes);
    let image = images::decode(&bytes, &outline, limits).map_err(|damage| damage.to_string())?;
    drop(bytes);
    let (width, height) = (image.width(), image.height());
    let small = if width.max(height) > SIDE { image.thumbnail(SIDE, SIDE) } else { image };
    let small = DynamicImage::ImageRgb8(small.to_rgb8());
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    small.write_with_encoder(encoder).map_err(|error| error.to_string())?;
    let across = f64::from(small.width()) / f64::from(width);
    let down = f64::from(small.height()) / f64::from(height);
    // What is meant is drawn last, over the others.
    let others = annotations.iter().copied().filter(|index| Some(*index) != subject.annotation);
    let outlines = others.take(BOXES).chain(subject.annotation).filter_map(|index| {
        let annotation = &dataset.annotations[index];
        let Bounds { x, y, width, height } = extent(annotation)?;
        let class = dataset.categories.get(annotation.category.0 as usize);
        Some(Outline {
            bounds: [x * across, y * down, width * across, height * down],
            label: class.map(|class| class.name.clone()).unwrap_or_default(),
            meant: Some(index) == subject.annotation,
        })
    });
    let outlines = outlines.collect();
    Ok(Drawing { jpeg, width: small.width(), height: small.height(), outlines })
}

/// The upright box around whatever an annotation says of its place.
fn extent(annotation: &Annotation) -> Option<Bounds> {
    let of_oriented = || annotation.oriented.as_deref().and_then(Quadrangle::bounds);
    let of_mask = || match annotation.segmentation.as_ref()? {
        Segmentation::Polygons(polygons) => Bounds::around(polygons.iter().flatten()),
        Segmentation::Rle(rle) => rle.bounds(),
    };
    annotation.bounds.or_else(of_oriented).or_else(of_mask)
}
