//! Rules that need the images: whether they are there, sound, as they are said to be, and fit to learn from.
//!
//! Every image file is read and decoded once, on all cores; the findings are those of a single one, in the order of paths.
//! Memory is what the cores decode at a time, and of large images one is decoded at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rayon::prelude::*;

use super::duplicates;
use crate::{
    Dataset, Findings, Folder, Image, Limits, Place, ReadError, Rule,
    images::{Damage, Facts, Kind, Measures, Outline, look},
};

/// The shortest side, in pixels, of an image that shows something; handwritten digits of 8x8 are learnt from.
const SMALL_SIDE: u32 = 8;
/// Dark: 99% of the pixels are below this level, less than a third of the range. A night with a single street lamp is not.
const DARK_LEVEL: u8 = 80;
/// Bright: 95% of the pixels are above this level ...
const BRIGHT_LEVEL: u8 = 200;
/// ... and 99% above this one: a page with writing on it is white, and as it should be.
const WRITING_LEVEL: u8 = 64;
/// Blurred: what is kept of the changes by blurring again. Photographs keep 0.2 to 0.4, and enlarged to double size 0.3 to
/// 0.55; blurred by a Gaussian of three pixels they keep 0.67 to 0.9.
const BLUR: f64 = 0.65;
/// Longer side to shorter side; panoramas are up to four to one.
const EXTREME_SHAPE: u32 = 5;
/// How many times longer or shorter than the median its sides are, in the geometric mean, for a size to be odd ...
const ODD_SIZE: f64 = 10.0;
/// ... among so many images, since fewer have no usual size.
const USUAL_OF: usize = 20;
/// Files and images above these are read and decoded one at a time.
const LARGE_FILE_BYTES: u64 = 16 << 20;
const LARGE_PIXELS: u64 = 16_000_000;
/// Files whose outcome is kept before it is added to the findings.
const BATCH: usize = 1 << 14;
/// Parts of a mask's name that may come after its image's name, such as `_instance_mask`.
const SUFFIXES: usize = 3;

/// What was seen of the images, by file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageFacts {
    files: BTreeMap<String, Facts>,
}

impl ImageFacts {
    /// Of an image's file; none where it is not there or could not be decoded.
    pub fn of(&self, file: &str) -> Option<&Facts> {
        self.files.get(file)
    }

    /// Of all files that were decoded, in the order of paths; masks that stand beside images are not among them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Facts)> {
        self.files.iter().map(|(file, facts)| (file.as_str(), facts))
    }
}

/// Looks at every image of the dataset and every other image in the folder, and compares them.
///
/// `progress` is told how many of how many files are done; it is called from several threads, and not always in order.
pub fn check(
    folder: &Folder,
    dataset: &Dataset,
    limits: &Limits,
    progress: &(dyn Fn(u64, u64) + Sync),
    findings: &mut Findings,
) -> ImageFacts {
    missing(folder, dataset, findings);
    let subjects = subjects(folder, dataset);
    let examination = Examination { folder, limits, turn: Mutex::default() };
    let (done, total) = (AtomicU64::new(0), subjects.len() as u64);
    let mut facts = ImageFacts::default();
    for batch in subjects.chunks(BATCH) {
        let examined = batch.par_iter().map(|subject| {
            let examined = examination.of(subject);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            examined
        });
        for (subject, examined) in batch.iter().zip(examined.collect::<Vec<_>>()) {
            let place = Place::file(subject.file);
            for (rule, found) in examined.found {
                findings.add(rule, &place, found);
            }
            if let Some(of_file) = examined.facts {
                facts.files.insert(subject.file.to_owned(), of_file);
            }
        }
    }
    for image in &dataset.images {
        declared_size(image, &facts, findings);
    }
    odd_sizes(dataset, &facts, findings);
    duplicates::check(dataset, &facts, findings);
    facts
}

/// Whether an image is in the folder; if none at all is, that is said once.
fn missing(folder: &Folder, dataset: &Dataset, findings: &mut Findings) {
    let is_there = |image: &&Image| folder.bytes(&image.file).is_some();
    if let Some(first) = dataset.images.first()
        && !dataset.images.iter().any(|image| is_there(&image))
        && !folder.files().any(|(path, _)| Kind::of_name(path).is_some())
    {
        let found = format!("expected {} images, found none in the folder", dataset.images.len());
        return findings.add(Rule::MissingImage, &Place::file(first.place.file.clone()), found);
    }
    for image in dataset.images.iter().filter(|image| !is_there(image)) {
        findings.add(
            Rule::MissingImage,
            &image.place,
            format!("expected {}, found no such file", image.file),
        );
    }
}

/// An image file, and what it is to the dataset.
struct Subject<'a> {
    file: &'a str,
    bytes: u64,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Listed,
    /// It should be listed, or should not be there.
    Unlisted,
    /// A mask or a small copy of a listed image, in a folder of such: to be sound, and nothing else.
    Companion,
}

fn subjects<'a>(folder: &'a Folder, dataset: &Dataset) -> Vec<Subject<'a>> {
    let listed: BTreeSet<&str> = dataset.images.iter().map(|image| image.file.as_str()).collect();
    let stems: BTreeSet<&str> = listed.iter().map(|file| stem(file)).collect();
    let folders: BTreeSet<&str> = listed.iter().map(|file| parent(file)).collect();
    let role = |file: &str| {
        if listed.contains(file) {
            return Some(Role::Listed);
        }
        Kind::of_name(file)?;
        let companion =
            !folders.contains(parent(file)) && names_of(stem(file)).any(|name| stems.contains(name));
        Some(if companion { Role::Companion } else { Role::Unlisted })
    };
    let files = folder.files();
    files.filter_map(|(file, bytes)| Some(Subject { file, bytes, role: role(file)? })).collect()
}

fn parent(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn stem(file: &str) -> &str {
    let name = file.rsplit_once('/').map_or(file, |(_, name)| name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// A stem, and what is left of it without its last parts.
fn names_of(stem: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(stem), |name| name.rfind(['_', '-', '.']).map(|at| &name[..at]))
        .take(SUFFIXES + 1)
}

struct Examination<'a> {
    folder: &'a Folder,
    limits: &'a Limits,
    /// Held by whoever has a large image in memory.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Examined {
    found: Vec<(Rule, String)>,
    facts: Option<Facts>,
}

impl Examination<'_> {
    fn of(&self, subject: &Subject) -> Examined {
        let mut examined = Examined::default();
        if subject.role == Role::Unlisted {
            examined.found.push((
                Rule::UnlistedImage,
                "expected an annotation file that names it, found none".to_owned(),
            ));
        }
        match self.look(subject) {
            Err((rule, found)) => examined.found.push((rule, found)),
            Ok(facts) => {
                extension(subject.file, facts.kind, &mut examined.found);
                // A mask is dark, plain and like others, as it should be.
                if subject.role != Role::Companion {
                    metadata(&facts, &mut examined.found);
                    appearance(&facts, &mut examined.found);
                    examined.facts = Some(facts);
                }
            }
        }
        examined
    }

    fn look(&self, subject: &Subject) -> Result<Facts, (Rule, String)> {
        let mut turn = (subject.bytes > LARGE_FILE_BYTES).then(|| self.turn());
        let bytes =
            self.folder.read(subject.file, self.limits.image_file_bytes).map_err(|error| match error {
                ReadError::TooLarge { .. } => (Rule::ResourceLimit, error.to_string()),
                ReadError::Io(_) => {
                    (Rule::ImageUnreadable, format!("expected a file that can be read: {error}"))
                }
            })?;
        let outline = Outline::of(&bytes);
        let pixels = outline.size.map(|(width, height)| u64::from(width) * u64::from(height));
        if turn.is_none() && pixels.is_none_or(|pixels| pixels > LARGE_PIXELS) {
            turn = Some(self.turn());
        }
        let looked = look(&bytes, &outline, self.limits);
        drop(turn);
        looked.map_err(|damage| told(&damage, &bytes))
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        // There is nothing in it that a panic could have left half done.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(damage: &Damage, bytes: &[u8]) -> (Rule, String) {
    let rule = match damage {
        Damage::NoImage => {
            let start = &bytes[..bytes.len().min(16)];
            let found = match start {
                [] => "an empty file".to_owned(),
                start => format!("content that begins with \"{}\"", start.escape_ascii()),
            };
            let expected = "expected a JPEG, PNG, BMP, GIF, WebP or TIFF image";
            return (Rule::ImageUnreadable, format!("{expected}, found {found}"));
        }
        Damage::TooLarge { .. } | Damage::TooCostly { .. } => Rule::ResourceLimit,
        Damage::Truncated { .. } => Rule::ImageTruncated,
        Damage::Broken { .. } => Rule::ImageDecodeError,
    };
    (rule, damage.to_string())
}

fn extension(file: &str, kind: Kind, found: &mut Vec<(Rule, String)>) {
    if let Some(said) = Kind::of_name(file)
        && said != kind
    {
        let what = format!("expected {} by its name, found {}", said.name(), kind.name());
        found.push((Rule::ExtensionMismatch, what));
    }
}

fn metadata(facts: &Facts, found: &mut Vec<(Rule, String)>) {
    let exif = &facts.exif;
    if let Some(orientation @ 2..) = exif.orientation {
        let what =
            format!("expected pixels the right way up (orientation 1), found orientation {orientation}");
        found.push((Rule::ExifOrientation, what));
    }
    if exif.position {
        found.push((Rule::ExifPosition, "expected no position, found latitude and longitude".to_owned()));
    }
    // What is said is not repeated: a report is more public than an image's metadata.
    let personal = [(exif.person, "a person's name"), (exif.serial, "a serial number")];
    let personal: Vec<_> = personal.iter().filter(|(said, _)| *said).map(|(_, what)| *what).collect();
    if !personal.is_empty() {
        found.push((
            Rule::ExifPersonal,
            format!("expected nothing personal, found {}", personal.join(" and ")),
        ));
    }
}

/// What the pixels look like. One who shows nothing is not told that it is dark or blurred as well.
fn appearance(facts: &Facts, found: &mut Vec<(Rule, String)>) {
    let Facts { width, height, measures, .. } = facts;
    let (shorter, longer) = (width.min(height), width.max(height));
    if *shorter < SMALL_SIDE {
        let what = format!("expected at least {SMALL_SIDE} pixels a side, found {width}x{height}");
        found.push((Rule::ImageTooSmall, what));
        return;
    }
    if longer / shorter >= EXTREME_SHAPE {
        let what = format!("expected sides below {EXTREME_SHAPE} to 1, found {width}x{height}");
        found.push((Rule::OddSize, what));
    }
    let Measures { lowest, darkest, dark, bright, highest, blur, .. } = measures;
    if measures.says_nothing() {
        found.push((
            Rule::LowInformation,
            format!("all but one colour: found levels {lowest} to {highest} of 255"),
        ));
    } else if *bright < DARK_LEVEL {
        let what =
            format!("expected levels over {DARK_LEVEL} of 255, found 99% of the pixels up to {bright}");
        found.push((Rule::Dark, what));
    } else if *dark > BRIGHT_LEVEL && *darkest > WRITING_LEVEL {
        let what =
            format!("expected levels under {BRIGHT_LEVEL} of 255, found 95% of the pixels from {dark}");
        found.push((Rule::Bright, what));
    } else if let Some(blur) = blur.filter(|blur| *blur > BLUR) {
        found.push((Rule::Blurred, format!("expected a blur of at most {BLUR}, found {blur:.2}")));
    }
}

fn declared_size(image: &Image, facts: &ImageFacts, findings: &mut Findings) {
    let Some(of_file) = facts.of(&image.file) else { return };
    let differs = |declared: Option<u32>, found| declared.is_some_and(|declared| declared != found);
    if !differs(image.width, of_file.width) && !differs(image.height, of_file.height) {
        return;
    }
    let said = |side: Option<u32>| side.map_or("?".to_owned(), |side| side.to_string());
    let (width, height) = (said(image.width), said(image.height));
    let turned = of_file.exif.orientation.is_some_and(|orientation| orientation >= 5)
        && (image.width, image.height) == (Some(of_file.height), Some(of_file.width));
    let why = if turned { ", which viewers turn by its EXIF" } else { "" };
    let found = format!("expected {width}x{height}, found {}x{}{why}", of_file.width, of_file.height);
    findings.add(Rule::DeclaredSize, &image.place, found);
}

fn odd_sizes(dataset: &Dataset, facts: &ImageFacts, findings: &mut Findings) {
    let files: BTreeSet<&str> = dataset.images.iter().map(|image| image.file.as_str()).collect();
    let pixels = |of_file: &Facts| f64::from(of_file.width) * f64::from(of_file.height);
    let sizes: Vec<_> = files.iter().filter_map(|file| Some((*file, facts.of(file)?))).collect();
    if sizes.len() < USUAL_OF {
        return;
    }
    let mut sorted: Vec<f64> = sizes.iter().map(|(_, of_file)| pixels(of_file)).collect();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[sorted.len() / 2];
    for (file, of_file) in sizes {
        // Of areas, the square; a side too short is told already.
        let ratio = pixels(of_file) / usual;
        let odd = !(ODD_SIZE.powi(-2)..=ODD_SIZE.powi(2)).contains(&ratio);
        if odd && of_file.width.min(of_file.height) >= SMALL_SIDE {
            let (width, height) = (of_file.width, of_file.height);
            let found = format!("expected about {usual} pixels, as most have, found {width}x{height}");
            findings.add(Rule::OddSize, &Place::file(file), found);
        }
    }
}
