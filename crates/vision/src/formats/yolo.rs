//! YOLO: a text file for each image, a row for each object, in parts of the image's width and height.
//!
//! Rows are `class x y width height` (detect), `class x1 y1 x2 y2 ...` (segment), a box and its keypoints (pose, where
//! `data.yaml` says `kpt_shape`), or `class` and four corners (oriented), each with a confidence behind it in results. Nine
//! columns are an outline of four vertices or an oriented box; they are oriented boxes when every row has nine, unless
//! `task` in `data.yaml` says what they are.
//!
//! Layouts are Ultralytics' (`images/train` beside `labels/train`), Roboflow's (`train/images` beside `train/labels`),
//! Darknet's (`obj.data`, lists of images) and images with their labels beside them. Pixels need the image's size, which its
//! header says; without an image the coordinates stay parts of a unit square, and the image says `normalised`.
//!
//! A row beyond the image by more than rounding is left out; a box whose centre and size are within it, but not its edges, is
//! kept as it is. Written are labels, `data.yaml` and lists of the splits' images, never images.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use serde_json::Value;

use super::{
    Loss, WriteError,
    draft::{self, Draft},
    header,
    lines::{content, lines, text},
    numbers::{briefest, number},
    output::Output,
    paths, yaml,
};
use crate::{
    Annotation, Attributes, Bounds, Category, CategoryIndex, Dataset, Findings, Folder, Image, Keypoint,
    Licence, Limits, Place, Quadrangle, Rule, Segmentation, Skeleton, Visibility,
};

/// How far beyond 0 and 1 a coordinate may be by rounding.
const ROUNDING: f64 = 1e-6;

/// The attribute of an image whose size is unknown, so that its annotations are in parts of it.
const NORMALISED: &str = "normalised";

/// The folders, in lower case, that hold labels.
const LABEL_FOLDERS: &[&str] = &["labels", "label", "annotations"];

/// Stems, in lower case, of text files that are no labels unless an image has the same.
const NO_LABELS: &[&str] = &[
    "classes",
    "names",
    "labels",
    "train",
    "val",
    "valid",
    "test",
    "trainval",
    "requirements",
    "notes",
    "changelog",
    "predefined_classes",
];

/// The most bytes of the names of keypoints, of which each class has all.
const SKELETON_BYTES: usize = 64 << 20;

/// What a name of a keypoint costs beside its letters.
const SKELETON_NAME: usize = 32;

/// How many files are looked into to tell the format.
const LOOKED_INTO: usize = 64;

/// Columns of a row for its box.
const BOX: usize = 4;

/// The file by which a folder is known as YOLO: its configuration, or else a label that looks like one.
pub(crate) fn recognises(folder: &Folder, _: &Limits) -> Option<String> {
    if let Some(path) = yaml_file(folder) {
        return Some(path);
    }
    let images = paths::Images::of(folder);
    let texts = folder.files().map(|(path, _)| path).filter(|path| is_text(path) && !is_known_text(path));
    let mut labels = texts.filter(|path| {
        let beside = images.with_stem(paths::parent(path), paths::stem(path)).is_some();
        beside
            || folder.is_one_file()
            || paths::renamed(paths::parent(path), LABEL_FOLDERS, "images").is_some()
    });
    let rows = |path: &&str| looks_like_rows(&folder.head(path, 256).unwrap_or_default());
    let found = labels.by_ref().take(LOOKED_INTO).find(rows);
    found.or_else(|| darknet_file(folder)).map(str::to_owned)
}

/// Reads a folder.
pub(crate) fn read(folder: &Folder, limits: &Limits, findings: &mut Findings) -> Dataset {
    let mut draft = Draft::new(limits, findings);
    let config = Config::read(folder, &mut draft);
    let samples = samples(folder, &config, &mut draft);
    let mut reader = Reader { folder, config, draft, classes: HashMap::new(), forms: Forms::default() };
    reader.list_classes();
    for sample in samples {
        reader.sample(sample);
    }
    reader.finish()
}

/// What the folder says of all its labels.
#[derive(Debug, Default)]
struct Config {
    /// Names of classes by their numbers; none where nothing lists them.
    names: Option<BTreeMap<u64, String>>,
    names_place: Place,
    /// How many keypoints, and how many numbers each: 2 or 3.
    keypoints: Option<(usize, usize)>,
    skeleton: Option<Skeleton>,
    task: Option<String>,
    /// Folders of images, and their splits.
    folders: BTreeMap<String, &'static str>,
    /// Images that a list names, and their splits.
    listed: BTreeMap<String, &'static str>,
    /// Text files that are lists, and so no labels.
    lists: BTreeSet<String>,
}

/// Whether an image's size is not known, so that what is in it is in parts of it.
pub(crate) fn is_normalised(image: &Image) -> bool {
    image.attributes.contains_key(NORMALISED)
}

fn is_text(path: &str) -> bool {
    paths::extension(path).eq_ignore_ascii_case("txt")
}

/// Whether a text file's name says that it is none of labels.
fn is_known_text(path: &str) -> bool {
    let stem = paths::stem(path).to_lowercase();
    NO_LABELS.contains(&stem.as_str()) || stem.starts_with("readme") || stem.starts_with("licen")
}

/// Whether a file begins as rows of labels do: numbers alone, the first of them whole.
fn looks_like_rows(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    let Some(line) = head.lines().find(|line| !line.trim().is_empty()) else { return false };
    let mut words = line.split_ascii_whitespace();
    words.next().is_some_and(|class| class.parse::<u64>().is_ok())
        && words.clone().count() >= BOX
        && words.all(|word| word.parse::<f64>().is_ok())
}

/// `data.yaml`, or another YAML file near the root that lists classes.
fn yaml_file(folder: &Folder) -> Option<String> {
    let is_yaml = |path: &str| matches!(paths::extension(path).to_ascii_lowercase().as_str(), "yaml" | "yml");
    let near = |path: &str| path.bytes().filter(|byte| *byte == b'/').count() <= 1;
    let mut found: Vec<&str> =
        folder.files().map(|(path, _)| path).filter(|path| is_yaml(path) && near(path)).collect();
    let rank = |path: &str| {
        let stem = paths::stem(path).to_lowercase();
        (path.contains('/'), !["data", "dataset"].contains(&stem.as_str()))
    };
    found.sort_by_key(|path| rank(path));
    let lists = |path: &&str| {
        let head = folder.head(path, 64 << 10).unwrap_or_default();
        let head = String::from_utf8_lossy(&head);
        let is_ours =
            |key: &str| ["names", "nc", "kpt_shape"].contains(&key.trim().trim_matches(['"', '\'']));
        head.lines().filter_map(|line| line.split_once(':')).any(|(key, _)| is_ours(key))
    };
    found.into_iter().find(lists).map(str::to_owned)
}

/// `obj.data` or `obj.names`, and where it is.
fn darknet_file(folder: &Folder) -> Option<&str> {
    let configures = |path: &str| {
        let head = folder.head(path, 1024).unwrap_or_default();
        let head = String::from_utf8_lossy(&head);
        head.lines().filter_map(|line| line.split_once('=')).any(|(key, _)| key.trim() == "names")
    };
    let is_ours = |path: &&str| match paths::extension(path) {
        "names" => true,
        "data" => configures(path),
        _ => false,
    };
    folder.files().map(|(path, _)| path).find(is_ours)
}

impl Config {
    fn read(folder: &Folder, draft: &mut Draft<'_>) -> Self {
        let mut config = Self::default();
        if let Some(path) = yaml_file(folder) {
            config.read_yaml(folder, &path, draft);
        } else if let Some(path) =
            folder.files().map(|(path, _)| path).find(|path| paths::extension(path) == "data")
        {
            config.read_darknet(folder, path, draft);
        }
        if config.names.is_none() {
            let files = || folder.files().map(|(path, _)| path);
            let names = files().find(|path| paths::extension(path) == "names");
            let classes = || files().find(|path| paths::file_name(path) == "classes.txt");
            if let Some(path) = names.or_else(classes) {
                config.read_names(folder, path, draft);
            }
        }
        config
    }

    /// A class a line.
    fn read_names(&mut self, folder: &Folder, path: &str, draft: &mut Draft<'_>) {
        self.names_place = Place::file(path);
        self.lists.insert(path.to_owned());
        if let Some(text) = text(folder, path, draft.limits, draft.findings) {
            self.names = Some((0..).zip(lines(&text).map(|(_, name)| name.to_owned())).collect());
        }
    }

    /// `key = value` a line, as Darknet has it.
    fn read_darknet(&mut self, folder: &Folder, path: &str, draft: &mut Draft<'_>) {
        let Some(text) = text(folder, path, draft.limits, draft.findings) else { return };
        let mut classes = None;
        for (line, said) in lines(&text).filter(|(_, said)| !said.starts_with('#')) {
            let place = Place::file(path).at_line(line);
            let Some((key, value)) = said.split_once('=') else {
                draft.find(Rule::ParseError, &place, format!("expected `key = value`, found {said:?}"));
                continue;
            };
            let value = value.trim();
            match key.trim() {
                "names" => match within(folder, paths::parent(path), value) {
                    Within::File(names) => self.read_names(folder, &names, draft),
                    Within::Outside => outside(draft, &place, value),
                    Within::Folder(_) | Within::Nothing => {}
                },
                "classes" => classes = value.parse::<usize>().ok().map(|count| (count, place)),
                split @ ("train" | "valid" | "test") => {
                    self.read_split(folder, paths::parent(path), split, value, &place, draft);
                }
                _ => {}
            }
        }
        self.check_count(classes, draft);
    }

    fn read_yaml(&mut self, folder: &Folder, path: &str, draft: &mut Draft<'_>) {
        let place = Place::file(path);
        self.names_place = place.clone();
        let limit = yaml::FILE_BYTES.min(draft.limits.annotation_file_bytes);
        let Some(content) = content(folder, path, limit, draft.findings) else { return };
        let Ok(text) = String::from_utf8(content) else {
            draft.find(Rule::BadEncoding, &place, "expected UTF-8, found other bytes");
            return;
        };
        let map = match yaml::parse(text.trim_start_matches('\u{feff}'), draft.limits) {
            Ok(Value::Object(map)) => map,
            Ok(_) => {
                draft.find(Rule::ParseError, &place, "expected a map with `names`, found something else");
                return;
            }
            Err(fault) => {
                draft.find(fault.rule, &place.at_line(fault.line), fault.found);
                return;
            }
        };
        let at = |key: &str| place.at(crate::Pointer::Path(format!("/{key}").into()));
        let mut base = paths::parent(path).to_owned();
        if let Some(given) = map.get("path").and_then(Value::as_str) {
            match paths::inside(&base, given) {
                // One that is not there is the folder's own name, seen from above.
                Some(inside) if is_folder(folder, &inside) => base = inside,
                Some(_) => {}
                None => outside(draft, &at("path"), given),
            }
        }
        let mut count = None;
        for (key, value) in map {
            let place = at(&key);
            match key.as_str() {
                "names" => self.take_names(&value, &place, draft),
                "nc" => match value.as_u64().and_then(|count| usize::try_from(count).ok()) {
                    Some(given) => count = Some((given, place)),
                    None => draft.find(
                        Rule::BadType,
                        &place,
                        format!("expected a count of classes, found {value}"),
                    ),
                },
                "kpt_shape" => self.take_shape(&value, &place, draft),
                "flip_idx" => match indices(&value) {
                    Some(flip) => self.skeleton.get_or_insert_default().flip = Some(flip),
                    None => draft.find(
                        Rule::BadType,
                        &place,
                        format!("expected a list of indices, found {value}"),
                    ),
                },
                "kpt_names" => {
                    // A list for each class by its number, or one for all.
                    let list = value.as_object().and_then(|map| map.values().next()).unwrap_or(&value);
                    let names = list.as_array().map(|list| list.iter().map(word).collect::<Option<Vec<_>>>());
                    match names.flatten() {
                        Some(names) => self.skeleton.get_or_insert_default().keypoints = names,
                        None => draft.find(
                            Rule::BadType,
                            &place,
                            format!("expected names of keypoints, found {value}"),
                        ),
                    }
                }
                "task" => self.task = value.as_str().map(str::to_owned),
                "path" => {}
                "train" | "val" | "valid" | "validation" | "test" => {
                    let entries = match &value {
                        Value::Array(list) => list.iter().collect(),
                        one => vec![one],
                    };
                    for entry in entries.into_iter().filter(|entry| !entry.is_null()) {
                        match entry.as_str() {
                            Some(entry) => self.read_split(folder, &base, &key, entry, &place, draft),
                            None => {
                                draft.find(Rule::BadType, &place, format!("expected a path, found {entry}"))
                            }
                        }
                    }
                }
                "license" | "licence" if value.is_string() => draft.info.licences.push(licence(&value)),
                _ => {
                    let licensed = value.get("license").filter(|_| key == "roboflow");
                    draft.info.licences.extend(licensed.map(licence));
                    draft.info.attributes.insert(key, value);
                }
            }
        }
        self.complete_skeleton(&place, draft);
        if self.names.is_none()
            && let Some((count, _)) = &count
            && *count <= draft.limits.categories
        {
            self.names = Some((0..*count as u64).map(|one| (one, one.to_string())).collect());
        }
        self.check_count(count, draft);
    }

    fn take_names(&mut self, value: &Value, place: &Place, draft: &mut Draft<'_>) {
        let mut names = BTreeMap::new();
        let entries: Vec<(Option<u64>, &Value)> = match value {
            Value::Array(list) => (0..).map(Some).zip(list).collect(),
            Value::Object(map) => map.iter().map(|(key, name)| (key.parse().ok(), name)).collect(),
            _ => {
                let found = format!("expected a list or map of names, found {value}");
                return draft.find(Rule::BadType, place, found);
            }
        };
        for (number, name) in entries {
            match (number, word(name)) {
                (Some(number), Some(name)) => {
                    if names.insert(number, name).is_some() {
                        draft.find(
                            Rule::DuplicateKey,
                            place,
                            format!("expected each class once, found {number} again"),
                        );
                    }
                }
                _ => draft.find(
                    Rule::BadType,
                    place,
                    format!("expected a class's number and name, found {name}"),
                ),
            }
        }
        self.names = Some(names);
    }

    fn take_shape(&mut self, value: &Value, place: &Place, draft: &mut Draft<'_>) {
        let shape = indices(value).unwrap_or_default();
        match shape[..] {
            [count, dims @ (2 | 3)] if count > 0 && count as usize <= draft.limits.keypoints => {
                self.keypoints = Some((count as usize, dims as usize));
            }
            [_, 2 | 3] => {
                let limit = draft.limits.keypoints;
                draft.find(
                    Rule::ResourceLimit,
                    place,
                    format!("expected 1 to {limit} keypoints, found {value}"),
                );
            }
            _ => {
                let found = format!("expected `[count, 2]` or `[count, 3]`, found {value}");
                draft.find(Rule::BadArity, place, found);
            }
        }
    }

    /// Names that are not said are numbers; a list of another length than the shape's is no use.
    fn complete_skeleton(&mut self, place: &Place, draft: &mut Draft<'_>) {
        let Some((count, _)) = self.keypoints else {
            self.skeleton = None;
            return;
        };
        let skeleton = self.skeleton.get_or_insert_default();
        let numbers = || (0..count).map(|one| one.to_string()).collect();
        if !skeleton.keypoints.is_empty() && skeleton.keypoints.len() != count {
            let found = format!("expected {count} names of keypoints, found {}", skeleton.keypoints.len());
            draft.find(Rule::BadArity, place, found);
            skeleton.keypoints = Vec::new();
        }
        if skeleton.keypoints.is_empty() {
            skeleton.keypoints = numbers();
        }
        let right = |flip: &Vec<u32>| flip.len() == count && flip.iter().all(|one| (*one as usize) < count);
        if skeleton.flip.as_ref().is_some_and(|flip| !right(flip)) {
            draft.find(
                Rule::BadArity,
                place,
                format!("expected `flip_idx` of {count} indices below {count}"),
            );
            skeleton.flip = None;
        }
    }

    fn check_count(&self, count: Option<(usize, Place)>, draft: &mut Draft<'_>) {
        if let (Some((count, place)), Some(names)) = (count, &self.names)
            && names.len() != count
        {
            draft.find(
                Rule::BadArity,
                &place,
                format!("expected {count} names of classes, found {}", names.len()),
            );
        }
    }

    /// What a split is: a folder of images, or a list of them.
    fn read_split(
        &mut self,
        folder: &Folder,
        base: &str,
        key: &str,
        given: &str,
        place: &Place,
        draft: &mut Draft<'_>,
    ) {
        let split = paths::split_word(key).unwrap_or("train");
        match within(folder, base, given) {
            Within::Folder(path) => match self.folders.get(&path) {
                Some(other) if *other != split => {
                    let found = format!("expected other images than those of {other}, found {given:?} again");
                    draft.find(Rule::SplitLeakage, place, found);
                }
                _ => {
                    self.folders.insert(path, split);
                }
            },
            Within::File(path) if is_text(&path) => self.read_list(folder, &path, split, draft),
            Within::File(_) | Within::Nothing => {}
            Within::Outside => outside(draft, place, given),
        }
    }

    /// A path of an image a line.
    fn read_list(&mut self, folder: &Folder, path: &str, split: &'static str, draft: &mut Draft<'_>) {
        self.lists.insert(path.to_owned());
        let Some(text) = text(folder, path, draft.limits, draft.findings) else { return };
        for (line, given) in lines(&text) {
            let place = Place::file(path).at_line(line);
            let image = match within(folder, paths::parent(path), given) {
                Within::File(image) => image,
                Within::Outside => {
                    outside(draft, &place, given);
                    continue;
                }
                Within::Folder(_) | Within::Nothing => match paths::inside(paths::parent(path), given) {
                    Some(image) => image,
                    None => continue,
                },
            };
            match self.listed.insert(image, split) {
                Some(other) if other != split => {
                    let found =
                        format!("expected an image of {split} alone, found it in {other} too: {given}");
                    draft.find(Rule::SplitLeakage, &place, found);
                }
                _ => {}
            }
        }
    }

    /// The split of an image that is listed, or else of the innermost of its folders that is.
    fn split(&self, image: &str) -> Option<&'static str> {
        if let Some(split) = self.listed.get(image) {
            return Some(split);
        }
        let mut path = image;
        while !path.is_empty() {
            path = paths::parent(path);
            if let Some(split) = self.folders.get(path) {
                return Some(split);
            }
        }
        None
    }
}

/// What a path of a configuration leads to.
enum Within {
    File(String),
    Folder(String),
    Nothing,
    Outside,
}

/// Where a configuration's path leads. It was often written for another place: Darknet's from the folder above
/// (`data/train.txt`), Roboflow's from a folder beside (`../train/images`), as their own tools forgive.
fn within(folder: &Folder, base: &str, given: &str) -> Within {
    let look = |path: &str| {
        if folder.bytes(path).is_some() {
            Some(Within::File(path.to_owned()))
        } else {
            is_folder(folder, path).then(|| Within::Folder(path.to_owned()))
        }
    };
    let direct = paths::inside(base, given);
    if let Some(found) = direct.as_deref().and_then(look) {
        return found;
    }
    if let Some(beside) = given.strip_prefix("../").and_then(|rest| paths::inside(base, rest)) {
        if let Some(found) = look(&beside) {
            return found;
        }
        let first = beside.strip_prefix(base).unwrap_or(&beside).trim_start_matches('/').split('/').next();
        if first.and_then(paths::split_word).is_some() {
            return Within::Nothing;
        }
    }
    let Some(mut rest) = direct.as_deref().and(paths::inside("", given)) else {
        return if direct.is_some() { Within::Nothing } else { Within::Outside };
    };
    while let Some((_, shorter)) = rest.split_once('/') {
        rest = shorter.to_owned();
        if let Some(found) = look(&paths::join(base, &rest)) {
            return found;
        }
    }
    Within::Nothing
}

fn is_folder(folder: &Folder, path: &str) -> bool {
    path.is_empty() || folder.has_folder(path)
}

fn outside(draft: &mut Draft<'_>, place: &Place, given: &str) {
    draft.find(Rule::PathTraversal, place, format!("expected a path within the folder, found {given:?}"));
}

fn indices(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(|one| one.as_u64().and_then(|one| u32::try_from(one).ok())).collect()
}

/// A scalar as the word that was written, near enough: a class may be called `1` or `no`.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(one) => Some(one.to_string()),
        _ => None,
    }
}

fn licence(value: &Value) -> Licence {
    Licence { id: 1, name: value.as_str().unwrap_or_default().to_owned(), ..Licence::default() }
}

/// An image and its label, of which at least one is there.
struct Sample {
    image: String,
    image_is_there: bool,
    label: Option<String>,
    split: Option<String>,
}

/// Pairs images with labels. Images are those that the configuration names, that have labels, or that stand where images
/// stand; in a folder without such places, all.
fn samples(folder: &Folder, config: &Config, draft: &mut Draft<'_>) -> Vec<Sample> {
    let key = |parent: &str, stem: &str| format!("{}/{stem}", parent.to_lowercase());
    let mut labels = BTreeMap::new();
    for (path, _) in folder.files().filter(|(path, _)| is_text(path) && !config.lists.contains(*path)) {
        if let Some(other) = labels.insert(key(paths::parent(path), paths::stem(path)), path) {
            let found = format!("expected one label about each image, found {other} too");
            draft.find(Rule::DuplicateImageId, &Place::file(path), found);
        }
    }
    let images: Vec<&str> =
        folder.files().map(|(path, _)| path).filter(|path| paths::is_image(path)).collect();
    let has_place = |path: &str| paths::renamed(paths::parent(path), paths::IMAGE_FOLDERS, "").is_some();
    let anywhere =
        config.folders.is_empty() && config.listed.is_empty() && !images.iter().any(|path| has_place(path));
    let split = |image: &str| config.split(image).or_else(|| paths::split_of(image)).map(str::to_owned);

    let mut used = BTreeSet::new();
    let mut samples = Vec::new();
    for image in images {
        let (parent, stem) = (paths::parent(image), paths::stem(image));
        let beside = std::iter::once(parent.to_owned());
        let places = LABEL_FOLDERS.iter().filter_map(|to| paths::renamed(parent, paths::IMAGE_FOLDERS, to));
        let label = places.chain(beside).find_map(|place| labels.get(&key(&place, stem)).copied());
        used.extend(label);
        if label.is_some() || anywhere || has_place(image) || config.split(image).is_some() {
            let label = label.map(str::to_owned);
            samples.push(Sample {
                image: image.to_owned(),
                image_is_there: true,
                label,
                split: split(image),
            });
        }
    }
    let extension = samples.first().map_or("jpg", |one| paths::extension(&one.image)).to_owned();
    let listed: HashMap<(&str, &str), &String> =
        config.listed.keys().map(|one| ((paths::parent(one), paths::stem(one)), one)).collect();
    let mut known: BTreeSet<String> = samples.iter().map(|one| one.image.clone()).collect();
    for label in labels.into_values().filter(|label| !used.contains(label) && !is_known_text(label)) {
        let images = paths::renamed(paths::parent(label), LABEL_FOLDERS, "images");
        if images.is_none() && !looks_like_rows(&folder.head(label, 256).unwrap_or_default()) {
            continue;
        }
        let parent = images.unwrap_or_else(|| paths::parent(label).to_owned());
        let stem = paths::stem(label);
        let image = listed.get(&(parent.as_str(), stem)).map(|image| (*image).clone());
        let image = image.unwrap_or_else(|| paths::join(&parent, &format!("{stem}.{extension}")));
        known.insert(image.clone());
        let split = split(&image);
        samples.push(Sample { image, image_is_there: false, label: Some(label.to_owned()), split });
    }
    for (image, split) in config.listed.iter().filter(|(image, _)| !known.contains(*image)) {
        let (image, split) = (image.clone(), Some((*split).to_owned()));
        samples.push(Sample { image, image_is_there: false, label: None, split });
    }
    if samples.is_empty() {
        draft.find(Rule::ParseError, &Place::default(), "expected images or labels, found none");
    }
    samples
}

/// How many rows had which form.
#[derive(Debug, Default)]
struct Forms {
    boxes: u64,
    corners: u64,
    outlines: u64,
}

struct Reader<'a> {
    folder: &'a Folder,
    config: Config,
    draft: Draft<'a>,
    classes: HashMap<u64, CategoryIndex>,
    forms: Forms,
}

impl Reader<'_> {
    fn list_classes(&mut self) {
        if let Some(names) = &self.config.names {
            for (id, name) in names {
                let (id, name) = (*id, name.clone());
                let category = Category { id, name, ..Category::default() };
                if let Some(index) = self.draft.list(category, &self.config.names_place) {
                    self.classes.insert(id, index);
                }
            }
        }
    }

    /// The class of a number; where nothing lists classes, any number is one.
    fn class(&mut self, id: u64, place: &Place) -> Option<CategoryIndex> {
        if let Some(index) = self.classes.get(&id) {
            return Some(*index);
        }
        if let Some(names) = &self.config.names {
            let found = format!("expected one of {} classes, found {id}", names.len());
            self.draft.find(Rule::UnknownCategory, place, found);
            return None;
        }
        let category = Category { id, name: id.to_string(), ..Category::default() };
        let index = self.draft.list(category, place)?;
        self.classes.insert(id, index);
        Some(index)
    }

    fn sample(&mut self, sample: Sample) {
        let limit = self.draft.limits.image_file_bytes;
        let size = sample.image_is_there.then(|| header::size(self.folder, &sample.image, limit)).flatten();
        let place = Place::file(sample.label.as_deref().unwrap_or(&sample.image));
        let mut attributes = Attributes::new();
        if size.is_none() {
            attributes.insert(NORMALISED.to_owned(), Value::Bool(true));
        }
        let image = Image {
            file: sample.image,
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            split: sample.split,
            labelled: sample.label.is_some(),
            place: place.clone(),
            attributes,
            ..Image::default()
        };
        let mut annotations = Vec::new();
        if let Some(label) = &sample.label
            && let Some(text) = text(self.folder, label, self.draft.limits, self.draft.findings)
        {
            let scale = size.map_or([1.0, 1.0], |(width, height)| [f64::from(width), f64::from(height)]);
            for (line, row) in lines(&text) {
                let place = place.at_line(line);
                match self.row(row, scale, &place) {
                    Ok(annotation) => annotations.extend(annotation),
                    Err((rule, found)) => self.draft.find(rule, &place, found),
                }
                if self.draft.is_full(annotations.len()) {
                    break;
                }
            }
        }
        self.draft.image(image, annotations);
    }

    /// One object; none where its class is not listed, which is told.
    fn row(
        &mut self,
        row: &str,
        scale: [f64; 2],
        place: &Place,
    ) -> Result<Option<Annotation>, (Rule, String)> {
        if row.contains([',', ';']) {
            return Err((
                Rule::ParseError,
                format!("expected numbers with blanks between them, found {row:?}"),
            ));
        }
        let mut words = row.split_ascii_whitespace();
        let class = class_number(words.next().unwrap_or_default())?;
        let most = 2 * self.draft.limits.vertices + 1;
        let numbers: Vec<f64> = words.take(most + 1).map(number).collect::<Result<_, _>>()?;
        if numbers.len() > most {
            return Err((Rule::ResourceLimit, format!("expected at most {most} numbers in a row")));
        }
        let form = self.form(&numbers)?;
        let Some(class) = class else {
            return Err((Rule::UnknownCategory, format!("expected a class, found {row:?}")));
        };
        let Some(category) = self.class(class, place) else { return Ok(None) };
        let mut annotation = draft::annotation(category, place.clone());
        let rest = match form {
            Form::Box => BOX,
            Form::Pose(count, dims) => {
                annotation.keypoints = keypoints(&numbers[BOX..BOX + count * dims], dims, scale)?;
                BOX + count * dims
            }
            Form::Outline(count) => {
                let (pairs, _) = numbers[..2 * count].as_chunks::<2>();
                check_normalised(pairs.as_flattened())?;
                let vertices = pairs.iter().map(|[x, y]| [x * scale[0], y * scale[1]]).collect();
                annotation.segmentation = Some(Segmentation::Polygons(vec![vertices]));
                2 * count
            }
        };
        if let Form::Box | Form::Pose(..) = form {
            check_normalised(&numbers[..2])?;
            if let Some(negative) = numbers[2..BOX].iter().find(|side| **side < 0.0) {
                return Err((Rule::NegativeSize, format!("expected a width and height, found {negative}")));
            }
            check_normalised(&numbers[2..BOX])?;
            annotation.bounds = Some(bounds([numbers[0], numbers[1]], [numbers[2], numbers[3]], scale));
        }
        if let Some(score) = numbers.get(rest) {
            check_normalised(&[*score])?;
            annotation.score = Some(*score);
        }
        match form {
            Form::Outline(4) => self.forms.corners += 1,
            Form::Outline(_) => self.forms.outlines += 1,
            Form::Box | Form::Pose(..) => self.forms.boxes += 1,
        }
        Ok(Some(annotation))
    }

    /// What a row of so many numbers behind its class says.
    fn form(&self, numbers: &[f64]) -> Result<Form, (Rule, String)> {
        let found = numbers.len();
        if let Some((count, dims)) = self.config.keypoints {
            let expected = BOX + count * dims;
            if found == expected || found == expected + 1 {
                return Ok(Form::Pose(count, dims));
            }
            let found = format!("expected {expected} numbers behind the class, found {found}");
            return Err((Rule::BadArity, found));
        }
        match found {
            4 | 5 => Ok(Form::Box),
            6.. => Ok(Form::Outline(found / 2)),
            _ => Err((Rule::BadArity, format!("expected {BOX} numbers behind the class, found {found}"))),
        }
    }

    fn finish(mut self) -> Dataset {
        let all_corners = self.forms.corners > 0 && self.forms.boxes + self.forms.outlines == 0;
        let oriented = self.config.task.as_deref().map_or(all_corners, |task| task == "obb" && all_corners);
        if oriented {
            for annotation in self.draft.annotations() {
                if let Some(Segmentation::Polygons(polygons)) = annotation.segmentation.take()
                    && let Some(corners) =
                        polygons.first().and_then(|one| <[[f64; 2]; 4]>::try_from(&one[..]).ok())
                {
                    annotation.oriented = Some(Box::new(Quadrangle(corners)));
                }
            }
        }
        if let Some(skeleton) = self.config.skeleton.take() {
            let of_each: usize = skeleton.keypoints.iter().map(|name| SKELETON_NAME + name.len()).sum();
            let categories = self.draft.categories();
            if of_each.saturating_mul(categories.len()) > SKELETON_BYTES {
                let found =
                    format!("expected fewer classes with so many keypoints, found {}", categories.len());
                self.draft.find(Rule::ResourceLimit, &self.config.names_place, found);
            } else {
                categories.iter_mut().for_each(|one| one.skeleton = Some(skeleton.clone()));
            }
        }
        if let Some((count, dims)) = self.config.keypoints
            && dims == 2
        {
            self.draft.info.attributes.insert("kpt_shape".to_owned(), Value::from(vec![count, dims]));
        }
        self.draft.finish(Some(|left, right| left.id.cmp(&right.id)))
    }
}

enum Form {
    Box,
    /// So many keypoints, of so many numbers each.
    Pose(usize, usize),
    /// So many vertices.
    Outline(usize),
}

/// A class's number; none where it is whole and no class can have it.
fn class_number(word: &str) -> Result<Option<u64>, (Rule, String)> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(word.parse().ok());
    }
    let found = format!("expected a class's number, found {word:?}");
    match number(word) {
        Err((Rule::NotFinite, _)) => Err((Rule::NotFinite, found)),
        _ => Err((Rule::BadType, found)),
    }
}

fn check_normalised(numbers: &[f64]) -> Result<(), (Rule, String)> {
    match numbers.iter().find(|one| **one < -ROUNDING || **one > 1.0 + ROUNDING) {
        Some(outside) => Err((Rule::NotNormalised, format!("expected 0 to 1, found {outside}"))),
        None => Ok(()),
    }
}

/// A box from its centre and size. The centre is subtracted from in pixels, so that what is written can be found again from
/// the box and the image alone.
fn bounds(centre: [f64; 2], size: [f64; 2], scale: [f64; 2]) -> Bounds {
    let (width, height) = (size[0] * scale[0], size[1] * scale[1]);
    Bounds { x: centre[0] * scale[0] - width / 2.0, y: centre[1] * scale[1] - height / 2.0, width, height }
}

fn keypoints(numbers: &[f64], dims: usize, scale: [f64; 2]) -> Result<Vec<Keypoint>, (Rule, String)> {
    let points = numbers.chunks_exact(dims).map(|point| {
        let visibility = match point.get(2) {
            None | Some(2.0) => Visibility::Visible,
            Some(1.0) => Visibility::Hidden,
            Some(0.0) => Visibility::Absent,
            Some(other) => {
                return Err((Rule::KeypointVisibility, format!("expected 0, 1 or 2, found {other}")));
            }
        };
        if visibility != Visibility::Absent {
            check_normalised(&point[..2])?;
        }
        Ok(Keypoint { x: point[0] * scale[0], y: point[1] * scale[1], visibility })
    });
    points.collect()
}

/// What rows say in a dataset that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Detect,
    Segment,
    /// So many keypoints, of so many numbers each.
    Pose(usize, usize),
    Oriented,
}

/// Writes labels, `data.yaml`, and lists of images where there are splits.
pub(crate) fn write(dataset: &Dataset, out: &Path) -> Result<Vec<Loss>, WriteError> {
    let mut output = Output::create(out)?;
    let task = task(dataset);
    let mut of_image: Vec<Vec<&Annotation>> = vec![Vec::new(); dataset.images.len()];
    for annotation in &dataset.annotations {
        match of_image.get_mut(annotation.image.0 as usize) {
            Some(list) => list.push(annotation),
            None => output.lose("annotations of no image", 1),
        }
    }
    let mut splits: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (image, annotations) in dataset.images.iter().zip(of_image) {
        lose_of_image(image, &mut output);
        let Some(file) = paths::inside("", &image.file).filter(|file| !file.is_empty()) else {
            output.lose("images whose path leads out of the folder", 1);
            continue;
        };
        if image.labelled || !annotations.is_empty() {
            let label = label_of(&file);
            if output.has(&label) {
                output.lose("images whose label would be another's", 1);
                continue;
            }
            match scale_of(image) {
                Some(scale) => {
                    let rows = annotations.iter().filter_map(|one| row(one, task, scale, &mut output));
                    let rows: String = rows.collect();
                    output.put(label, &rows)?;
                }
                None => {
                    output.lose("annotations of images whose size is not known", annotations.len());
                    output.put(label, "")?;
                }
            }
        }
        match image.split.as_deref() {
            Some(split @ ("train" | "val" | "test")) => splits.entry(split).or_default().push(file),
            Some(_) => output.lose("splits other than train, val and test", 1),
            None => {}
        }
    }
    let mut config = String::new();
    for (split, files) in splits {
        let mut list = format!("{split}.txt");
        while output.has(&list) {
            list = format!("list-{list}");
        }
        let lines: String = files.iter().map(|file| format!("./{file}\n")).collect();
        output.put(list.clone(), &lines)?;
        config += &format!("{split}: {list}\n");
    }
    config += &described(dataset, task, &mut output);
    output.put("data.yaml".to_owned(), &config)?;
    Ok(output.losses())
}

/// Pose where anything has keypoints, else oriented or segment where anything is.
fn task(dataset: &Dataset) -> Task {
    let points = dataset.annotations.iter().map(|one| one.keypoints.len()).find(|count| *count > 0);
    let skeleton =
        || dataset.categories.iter().find_map(|one| one.skeleton.as_ref()).map(|one| one.keypoints.len());
    if let Some(count) = points.or_else(skeleton).filter(|count| *count > 0) {
        let flat = dataset.info.attributes.get("kpt_shape").is_some_and(|shape| shape[1] == 2);
        let seen =
            |one: &Annotation| one.keypoints.iter().all(|point| point.visibility == Visibility::Visible);
        let dims = if flat && dataset.annotations.iter().all(seen) { 2 } else { 3 };
        return Task::Pose(count, dims);
    }
    if dataset.annotations.iter().any(|one| one.oriented.is_some()) {
        Task::Oriented
    } else if dataset
        .annotations
        .iter()
        .any(|one| matches!(one.segmentation, Some(Segmentation::Polygons(_))))
    {
        Task::Segment
    } else {
        Task::Detect
    }
}

fn scale_of(image: &Image) -> Option<[f64; 2]> {
    match (image.width, image.height) {
        (Some(width), Some(height)) if width > 0 && height > 0 => Some([f64::from(width), f64::from(height)]),
        _ => image.attributes.contains_key(NORMALISED).then_some([1.0, 1.0]),
    }
}

/// Where the label of an image stands.
fn label_of(image: &str) -> String {
    let parent = paths::parent(image);
    let folder = paths::renamed(parent, paths::IMAGE_FOLDERS, "labels").unwrap_or_else(|| parent.to_owned());
    paths::join(&folder, &format!("{}.txt", paths::stem(image)))
}

fn lose_of_image(image: &Image, output: &mut Output) {
    output.lose("licences of images", usize::from(image.licence.is_some()));
    output.lose("classes of whole images", image.classes.len());
    output.lose("attributes of images", image.attributes.keys().filter(|key| *key != NORMALISED).count());
}

/// One line; none where the task has no way to say this annotation.
fn row(annotation: &Annotation, task: Task, scale: [f64; 2], output: &mut Output) -> Option<String> {
    let mut row = Row { text: annotation.category.0.to_string(), rounded: false, outside: false };
    let polygon = match &annotation.segmentation {
        Some(Segmentation::Polygons(polygons)) => polygons.iter().max_by_key(|polygon| polygon.len()),
        _ => None,
    };
    match (task, annotation.bounds, polygon, &annotation.oriented) {
        (Task::Segment, _, Some(polygon), _) => row.points(polygon, scale),
        (Task::Oriented, _, _, Some(corners)) => row.points(&corners.0, scale),
        (Task::Oriented, Some(one), _, None) => {
            let (right, below) = (one.x + one.width, one.y + one.height);
            row.points(&[[one.x, one.y], [right, one.y], [right, below], [one.x, below]], scale);
            output.lose("upright boxes, now oriented ones", 1);
        }
        (_, Some(bounds), ..) => row.bounds(bounds, scale),
        _ => {
            output.lose("annotations without a shape that the task's rows can say", 1);
            return None;
        }
    }
    if let Task::Pose(count, dims) = task {
        let absent = Keypoint { x: 0.0, y: 0.0, visibility: Visibility::Absent };
        let fits = annotation.keypoints.len() == count;
        output.lose("keypoints of another skeleton", if fits { 0 } else { annotation.keypoints.len() });
        let points = (0..count).map(|one| annotation.keypoints.get(one).filter(|_| fits).unwrap_or(&absent));
        for point in points {
            row.points(&[[point.x, point.y]], scale);
            if dims == 3 {
                row.text += match point.visibility {
                    Visibility::Absent => " 0",
                    Visibility::Hidden => " 1",
                    Visibility::Visible => " 2",
                };
            }
        }
    } else {
        output.lose("keypoints", annotation.keypoints.len());
    }
    if let Some(score) = annotation.score {
        row.text += &format!(" {score}");
    }
    output.lose("annotations with coordinates outside of their image", usize::from(row.outside));
    output.lose("annotations that are off by rounding", usize::from(row.rounded));
    lose_of_annotation(annotation, task, output);
    row.text.push('\n');
    Some(row.text)
}

fn lose_of_annotation(annotation: &Annotation, task: Task, output: &mut Output) {
    let parts = match &annotation.segmentation {
        Some(Segmentation::Polygons(polygons)) if task == Task::Segment => {
            output.lose("boxes beside outlines", usize::from(annotation.bounds.is_some()));
            polygons.len().saturating_sub(1)
        }
        Some(Segmentation::Polygons(polygons)) => polygons.len(),
        Some(Segmentation::Rle(_)) => {
            output.lose("masks", 1);
            0
        }
        None => 0,
    };
    output.lose("outlines", parts);
    let oriented = annotation.oriented.is_some();
    output.lose("oriented boxes", usize::from(oriented && task != Task::Oriented));
    output.lose("boxes beside oriented ones", usize::from(oriented && annotation.bounds.is_some()));
    output.lose("areas", usize::from(annotation.area.is_some()));
    output.lose("marks of crowds", usize::from(annotation.crowd));
    output.lose("attributes of annotations", annotation.attributes.len());
}

struct Row {
    text: String,
    rounded: bool,
    outside: bool,
}

impl Row {
    /// A number near `part` of which `right` holds.
    fn number(&mut self, part: f64, right: impl Fn(f64) -> bool) {
        let text = briefest(part, right).unwrap_or_else(|near| {
            self.rounded = true;
            near
        });
        self.outside |= !(-ROUNDING..=1.0 + ROUNDING).contains(&part);
        self.text.push(' ');
        self.text += &text;
    }

    fn points(&mut self, points: &[[f64; 2]], scale: [f64; 2]) {
        for point in points {
            for (pixels, side) in point.iter().zip(scale) {
                self.number(pixels / side, |part| part * side == *pixels);
            }
        }
    }

    /// What [`bounds`] reads as this box.
    fn bounds(&mut self, bounds: Bounds, scale: [f64; 2]) {
        let sides = [(bounds.x, bounds.width, scale[0]), (bounds.y, bounds.height, scale[1])];
        for (low, length, side) in sides {
            self.number((low + length / 2.0) / side, |part| part * side - length / 2.0 == low);
        }
        for (_, length, side) in sides {
            self.number(length / side, |part| part * side == length);
        }
    }
}

/// What `data.yaml` says beside the splits.
fn described(dataset: &Dataset, task: Task, output: &mut Output) -> String {
    let mut text = String::new();
    text += match task {
        Task::Detect => "task: detect\n",
        Task::Segment => "task: segment\n",
        Task::Pose(..) => "task: pose\n",
        Task::Oriented => "task: obb\n",
    };
    let skeletons = || dataset.categories.iter().filter_map(|one| one.skeleton.as_ref());
    if let Task::Pose(count, dims) = task {
        text += &format!("kpt_shape: [{count}, {dims}]\n");
        let skeleton = skeletons().find(|one| one.keypoints.len() == count);
        if let Some(skeleton) = skeleton {
            let names = yaml::written(&Value::from(skeleton.keypoints.clone()));
            text += &format!("kpt_names: {{0: {names}}}\n");
            if let Some(flip) = &skeleton.flip {
                text += &format!("flip_idx: {}\n", Value::from(flip.clone()));
            }
        }
        let others = dataset.categories.iter().filter(|one| one.skeleton.as_ref() != skeleton).count();
        output.lose("skeletons other than the one for all classes", others);
    }
    output.lose("edges of skeletons", skeletons().map(|one| one.edges.len()).sum());
    text += &format!("nc: {}\nnames:\n", dataset.categories.len());
    for (index, category) in (0..).zip(&dataset.categories) {
        text += &format!("  {index}: {}\n", yaml::written(&Value::from(category.name.as_str())));
        output.lose("ids of categories", usize::from(category.id != index));
        output.lose("supercategories", usize::from(category.supercategory.is_some()));
        output.lose("attributes of categories", category.attributes.len());
    }
    if dataset.categories.is_empty() {
        text += "  {}\n";
    }
    for (key, value) in &dataset.info.attributes {
        let ours =
            ["task", "kpt_shape", "kpt_names", "flip_idx", "nc", "names", "path", "license", "licence"];
        if ours.contains(&key.as_str()) || paths::split_word(key).is_some() {
            output.lose("attributes of the dataset under words of YOLO's", usize::from(key != "kpt_shape"));
        } else {
            let key = yaml::written(&Value::from(key.as_str()));
            text += &format!("{key}: {}\n", yaml::written(value));
        }
    }
    let of_roboflow = dataset.info.attributes.get("roboflow").and_then(|value| value.get("license"));
    let mut licences =
        dataset.info.licences.iter().filter(|one| Some(*one) != of_roboflow.map(licence).as_ref());
    if let Some(first) = licences.next() {
        text += &format!("license: {}\n", yaml::written(&Value::from(first.name.as_str())));
        output.lose("addresses of licences", usize::from(first.url.is_some()));
        output.lose("attributes of licences", first.attributes.len());
    }
    output.lose("licences beside the first", licences.count());
    text
}
