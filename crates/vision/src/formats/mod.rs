//! The annotation formats: which one a folder is in, reading it into the model, writing the model.
//!
//! Owns: the list of formats ([`Format`]) and what they share: how files are named, numbers as text, JSON, XML, losses. Each
//! format has a module of its own, with three functions at most: `recognises`, `read`, `write`. Refuses: judging what the
//! records say together, and decoding images.

pub(crate) mod coco;
mod createml;
mod cvat;
mod dota;
mod draft;
mod header;
mod image_file;
mod image_folder;
mod json;
mod labelme;
mod labels;
mod lines;
mod numbers;
mod output;
mod paths;
mod shape;
mod voc;
mod xml;
mod yaml;
pub(crate) mod yolo;

use std::{fmt, io, path::Path, str::FromStr};

use crate::{Dataset, Findings, Folder, Limits, images::Kind};

pub use coco::read_results;

/// A format of annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// COCO: instances, keypoints, stuff, captions, panoptic, and Roboflow's layout of it.
    Coco,
    /// LabelMe: a JSON file for each image.
    LabelMe,
    /// Apple's Create ML.
    CreateMl,
    /// CVAT for images 1.1 and for video 1.1: XML.
    Cvat,
    /// Pascal VOC: an XML file for each image.
    Voc,
    /// DOTA: oriented boxes in `labelTxt`.
    Dota,
    /// YOLO: a text file for each image; detect, segment, pose and oriented.
    Yolo,
    /// A folder for each class.
    ImageFolder,
}

impl Format {
    /// Every format, in the order in which they are looked for.
    pub const ALL: &[Format] = &[
        Format::Coco,
        Format::LabelMe,
        Format::CreateMl,
        Format::Cvat,
        Format::Voc,
        Format::Dota,
        Format::Yolo,
        Format::ImageFolder,
    ];

    /// Its name, as `--format` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Coco => "coco",
            Format::LabelMe => "labelme",
            Format::CreateMl => "createml",
            Format::Cvat => "cvat",
            Format::Voc => "voc",
            Format::Dota => "dota",
            Format::Yolo => "yolo",
            Format::ImageFolder => "image-folder",
        }
    }

    /// A file by which the folder is known to be of this format.
    fn recognises(self, folder: &Folder, limits: &Limits) -> Option<String> {
        match self {
            Format::Coco => coco::recognises(folder, limits),
            Format::LabelMe => labelme::recognises(folder, limits),
            Format::CreateMl => createml::recognises(folder, limits),
            Format::Cvat => cvat::recognises(folder, limits),
            Format::Voc => voc::recognises(folder, limits),
            Format::Dota => dota::recognises(folder, limits),
            Format::Yolo => yolo::recognises(folder, limits),
            Format::ImageFolder => image_folder::recognises(folder, limits),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl serde::Serialize for Format {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A word that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}, found `{found}`", names(Format::ALL))]
pub struct UnknownFormat {
    /// The word.
    pub found: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let known = Format::ALL.iter().find(|format| format.name() == name);
        known.copied().ok_or_else(|| UnknownFormat { found: name.to_owned() })
    }
}

/// Why it cannot be said which format a folder is in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// Nothing of any format.
    #[error(
        "expected annotations of a known format ({}), found {seen}; name the format with --format",
        names(Format::ALL)
    )]
    Nothing {
        /// What is in the folder, in words.
        seen: String,
    },
    /// Annotations of several formats.
    #[error("expected annotations of one format, found {}; name the one to read with --format", several(.found))]
    Several {
        /// The formats, each with a file of it.
        found: Vec<(Format, String)>,
    },
}

fn names(formats: &[Format]) -> String {
    formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ")
}

fn several(found: &[(Format, String)]) -> String {
    found.iter().map(|(format, file)| format!("{format} ({file})")).collect::<Vec<_>>().join(" and ")
}

/// Tells by its content which format a folder is in.
///
/// # Errors
/// It is in none, or in several.
pub fn detect(folder: &Folder, limits: &Limits) -> Result<Format, DetectError> {
    let known = |format: &Format| Some((*format, format.recognises(folder, limits)?));
    let found: Vec<_> = Format::ALL.iter().filter_map(known).collect();
    match found.as_slice() {
        [(format, _)] => Ok(*format),
        // A broken file is of no format; COCO's reader says where it breaks.
        [] if json::any_broken(folder, limits) => Ok(Format::Coco),
        [] => Err(DetectError::Nothing { seen: seen(folder) }),
        _ => Err(DetectError::Several { found }),
    }
}

/// As [`detect`], of a folder that may be of anything: none where it holds no image, or images of which nothing is said in a
/// known format.
///
/// # Errors
/// The annotations are of several formats.
pub fn recognise(folder: &Folder, limits: &Limits) -> Result<Option<Format>, DetectError> {
    // Without images, files for other ends look like some format: a list of names in YAML, `annotations` in JSON.
    if !folder.files().any(|(path, _)| Kind::of_name(path).is_some()) {
        return Ok(None);
    }
    match detect(folder, limits) {
        Ok(format) => Ok(Some(format)),
        Err(DetectError::Nothing { .. }) => Ok(None),
        Err(several) => Err(several),
    }
}

/// How many files of which endings there are, the most frequent first.
fn seen(folder: &Folder) -> String {
    const ENDINGS: usize = 4;
    let mut endings = std::collections::BTreeMap::<String, u64>::new();
    for (path, _) in folder.files() {
        let name = path.rsplit('/').next().unwrap_or(path);
        let ending = name.rsplit_once('.').map_or("no ending", |(_, ending)| ending);
        *endings.entry(ending.chars().take(12).collect::<String>().to_ascii_lowercase()).or_default() += 1;
    }
    let mut endings: Vec<_> = endings.into_iter().collect();
    endings.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown: Vec<_> =
        endings.iter().take(ENDINGS).map(|(ending, count)| format!("{count} of {ending}")).collect();
    if shown.is_empty() { "no files".to_owned() } else { format!("files by ending: {}", shown.join(", ")) }
}

/// Reads a folder in a format. What is wrong with it becomes findings; what can be read is in the dataset.
pub fn read(folder: &Folder, format: Format, limits: &Limits, findings: &mut Findings) -> Dataset {
    match format {
        Format::Coco => coco::read(folder, limits, findings),
        Format::LabelMe => labelme::read(folder, limits, findings),
        Format::CreateMl => createml::read(folder, limits, findings),
        Format::Cvat => cvat::read(folder, limits, findings),
        Format::Voc => voc::read(folder, limits, findings),
        Format::Dota => dota::read(folder, limits, findings),
        Format::Yolo => yolo::read(folder, limits, findings),
        Format::ImageFolder => image_folder::read(folder, limits, findings),
    }
}

/// Something that a format cannot say, and so was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What, in words.
    pub what: String,
    /// How many of it.
    pub count: u64,
}

/// Why a dataset cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The format is only read.
    #[error("expected a format that is written (coco, voc, yolo), found {format}; choose that one")]
    OnlyRead {
        /// The format.
        format: Format,
    },
    /// A file cannot be written: it may be there already.
    #[error("expected to create {file}: {source}; write into an empty folder")]
    Io {
        /// The file, relative to the folder that is written to.
        file: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes the annotations of a dataset in a format, into a folder that is made where it is not there. No file is written
/// over. Images are the caller's to copy, to [`crate::Image::file`] below the same folder. Answers what the format cannot
/// say.
///
/// # Errors
/// The format is only read, or a file cannot be written.
pub fn write(dataset: &Dataset, format: Format, out: &Path) -> Result<Vec<Loss>, WriteError> {
    match format {
        Format::Coco => coco::write(dataset, out),
        Format::Voc => voc::write(dataset, out),
        Format::Yolo => yolo::write(dataset, out),
        Format::LabelMe | Format::CreateMl | Format::Cvat | Format::Dota | Format::ImageFolder => {
            Err(WriteError::OnlyRead { format })
        }
    }
}
