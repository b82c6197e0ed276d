//! COCO: instances, keypoints, stuff, captions, panoptic, image lists and lists of results, and Roboflow's layout.
//!
//! A folder may hold several files. Those of one split (`instances_train`, `person_keypoints_train`) speak of the same
//! images, and of the same objects where id, image and class are the same; those of different splits may use an id each
//! for its own. A record with a blocker is left out, and what refers to it is left out without a further word, so that one
//! fault is told once. Captions and panoptic segments are kept as attributes of their images, `captions` and `panoptic`.

mod mask;
mod results;
mod write;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::{
    Annotation, Attributes, Bounds, Category, CategoryIndex, Dataset, Findings, Folder, Image, ImageIndex,
    Keypoint, Licence, Limits, Place, Rule, Segmentation, Skeleton, Visibility,
};

use super::{
    image_file,
    json::{self, Node, Outline, Raw, Record, Rows, Source, Spot, Told},
    paths,
};

pub use results::read_results;
pub(crate) use write::write;

/// What the names of the official files begin with; the split comes after.
const KINDS: [&str; 7] =
    ["instances", "person_keypoints", "stuff", "labels", "image_info", "captions", "panoptic"];

/// Kinds that do not say which objects there are.
const SILENT_KINDS: [&str; 2] = ["image_info", "captions"];

/// Keys that a file may have beside COCO's own.
const OTHER_KEYS: usize = 1_000;

/// A file of the folder by which it is COCO.
pub(crate) fn recognises(folder: &Folder, limits: &Limits) -> Option<String> {
    json::first(folder, limits, |outline| is_dataset(outline) || is_results(outline))
}

fn is_dataset(outline: &Outline) -> bool {
    let Outline::Object(keys) = outline else { return false };
    keys.iter().any(|(key, first)| matches!(key.as_str(), "images" | "annotations") && *first == b'[')
}

fn is_results(outline: &Outline) -> bool {
    let Outline::Rows(keys) = outline else { return false };
    let has = |wanted| keys.iter().any(|(key, _)| key == wanted);
    has("image_id") && (has("category_id") || has("caption"))
}

/// Reads every COCO file of the folder.
pub(crate) fn read(folder: &Folder, limits: &Limits, findings: &mut Findings) -> Dataset {
    let (mut files, mut others) = (Vec::new(), 0);
    for path in json::files(folder) {
        match Outline::of(folder, path, limits) {
            Some(outline) if is_dataset(&outline) => files.push(Named::new(path)),
            Some(outline) if is_results(&outline) => {
                let found =
                    "expected ground truth, found a list of results; evaluate it with `residual eval --dt`";
                findings.add(Rule::MetadataLost, &Place::file(path), found);
            }
            Some(Outline::Broken) | None => {
                tell_broken(folder, path, limits, findings);
                others += 1;
            }
            Some(_) => {}
        }
    }
    if files.is_empty() && others == 0 {
        let found = "expected a JSON file with `images`, `annotations` and `categories`, found none";
        findings.add(Rule::ParseError, &Place::default(), found);
    }
    files.sort();
    let mut reader = Reader { folder, limits, dataset: Dataset::default(), known: Known::default() };
    for (at, file) in files.iter().enumerate() {
        if at == 0 || files[at - 1].split != file.split {
            reader.known.annotations.clear();
        }
        let more = files.get(at + 1).is_some_and(|next| next.split == file.split);
        reader.file(file, more, findings);
    }
    reader.dataset
}

fn tell_broken(folder: &Folder, path: &str, limits: &Limits, findings: &mut Findings) {
    let Some(content) = json::content(folder, path, limits.annotation_file_bytes, findings) else { return };
    let Some(source) = Source::open(path, &content, findings) else { return };
    match source.whole() {
        Ok(raw) => drop(raw.parse(&source, &Spot::File, limits, findings)),
        Err(broken) => source.tell(&broken, findings),
    }
}

/// A file, and what its name says. In the order they are read in: split by split, the kinds that know most first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    split: Option<String>,
    kind: usize,
    path: String,
}

impl Named {
    fn new(path: &str) -> Self {
        let stem = paths::stem(path);
        let prefixed = |(kind, name): (usize, &&str)| {
            let rest = stem.strip_prefix(*name)?;
            if rest.is_empty() { Some((kind, None)) } else { Some((kind, Some(rest.strip_prefix('_')?))) }
        };
        let (kind, split) = KINDS.iter().enumerate().find_map(prefixed).unwrap_or((0, None));
        let word =
            || stem.split(|one: char| !one.is_ascii_alphanumeric()).find(|word| image_file::is_split(word));
        let split = split.filter(|split| !split.is_empty()).or_else(word);
        let split = split.or_else(|| image_file::split_of_folder(path)).map(str::to_owned);
        Self { split, kind, path: path.to_owned() }
    }

    fn labels(&self) -> bool {
        !SILENT_KINDS.contains(&KINDS[self.kind])
    }
}

/// What earlier files said.
#[derive(Default)]
struct Known {
    licences: HashMap<u64, usize>,
    last_licence: u64,
    categories: HashMap<u64, Vec<CategoryIndex>>,
    images: HashMap<(Option<String>, u64), Vec<ImageIndex>>,
    /// Of the split that is being read, if it has several files.
    annotations: HashMap<(ImageIndex, u64), usize>,
}

/// What the ids of one file mean. None: a record that was left out.
#[derive(Default)]
struct Tables {
    licences: HashMap<u64, u64>,
    categories: HashMap<u64, Option<CategoryIndex>>,
    images: HashMap<u64, Option<ImageIndex>>,
    annotations: HashSet<u64>,
    /// Whether every id of these is in its table, so that others are known not to be there.
    all_categories: bool,
    all_images: bool,
}

/// The parts of a file, not looked into yet.
#[derive(Default)]
struct Sections<'a> {
    licences: Option<Raw<'a>>,
    categories: Option<Raw<'a>>,
    images: Option<Raw<'a>>,
    annotations: Option<Raw<'a>>,
    others: Vec<(String, Raw<'a>)>,
    /// Whether the file could be gone through to its end.
    complete: bool,
}

impl<'a> Sections<'a> {
    fn of(source: &Source<'a>, findings: &mut Findings) -> Self {
        let mut sections = Self { complete: true, ..Self::default() };
        for member in source.members() {
            let (key, raw) = match member {
                Ok(member) => member,
                Err(broken) => {
                    source.tell(&broken, findings);
                    sections.complete = false;
                    break;
                }
            };
            let twice = match key.as_ref() {
                "licenses" => put(&mut sections.licences, raw),
                "categories" => put(&mut sections.categories, raw),
                "images" => put(&mut sections.images, raw),
                "annotations" => put(&mut sections.annotations, raw),
                _ if sections.others.len() >= OTHER_KEYS => {
                    let found = format!("expected at most {OTHER_KEYS} keys of the whole, found more");
                    findings.add(Rule::ResourceLimit, source.place(), found);
                    sections.complete = false;
                    break;
                }
                _ if sections.others.iter().any(|(other, _)| *other == key) => true,
                _ => {
                    sections.others.push((key.clone().into_owned(), raw));
                    false
                }
            };
            if twice {
                let place = source.place().at(Spot::File.beneath_key(&key));
                findings.add(Rule::DuplicateKey, &place, format!("expected `{key}` once, found it again"));
            }
        }
        sections
    }
}

/// Keeps the first; whether there was one.
fn put<T>(place: &mut Option<T>, value: T) -> bool {
    let twice = place.is_some();
    place.get_or_insert(value);
    twice
}

/// The rows of a section with their numbers, up to the first fault of the list itself. Says whether it went to the end.
fn each_row<'a>(
    section: Option<Raw<'a>>,
    list: &'static str,
    most: usize,
    source: &Source<'a>,
    findings: &mut Findings,
    mut row: impl FnMut(Spot, Raw<'a>, &mut Findings) -> Result<(), Told>,
) -> bool {
    let Some(raw) = section.filter(|raw| !raw.is_null()) else { return true };
    let place = source.place().at(Spot::File.field(list));
    if !raw.is_list() {
        findings.add(Rule::BadType, &place, format!("expected `{list}` to be a list, found none"));
        return false;
    }
    let rows: Rows<'a> = raw.rows();
    for (number, raw) in rows.enumerate() {
        if number >= most {
            findings.add(Rule::ResourceLimit, &place, format!("expected at most {most} rows"));
            return false;
        }
        match raw {
            // A row that was told of needs nothing more.
            Ok(raw) => drop(row(Spot::Row(list, u32::try_from(number).unwrap_or(u32::MAX)), raw, findings)),
            Err(broken) => {
                source.tell(&broken, findings);
                return false;
            }
        }
    }
    true
}

struct Reader<'r> {
    folder: &'r Folder,
    limits: &'r Limits,
    dataset: Dataset,
    known: Known,
}

/// A file that is being read.
struct File<'a> {
    named: &'a Named,
    source: &'a Source<'a>,
    labels: bool,
    /// Whether another file of the split comes.
    more: bool,
}

impl Reader<'_> {
    fn file(&mut self, named: &Named, more: bool, findings: &mut Findings) {
        let limits = *self.limits;
        let Some(content) = json::content(self.folder, &named.path, limits.annotation_file_bytes, findings)
        else {
            return;
        };
        let Some(source) = Source::open(&named.path, &content, findings) else { return };
        let sections = Sections::of(&source, findings);
        // What a broken file says of objects is not known: its images are not called unlabelled.
        let labels = named.labels() && (sections.annotations.is_some() || !sections.complete);
        let file = File { named, source: &source, labels, more };
        if sections.images.is_none() && sections.complete {
            let place = source.place().at(Spot::File.field("images"));
            findings.add(Rule::MissingField, &place, "expected a list `images`, found none");
        }
        self.attributes(&file, sections.others, findings);
        let all_images = sections.complete && sections.images.is_some();
        let mut tables = Tables { all_categories: sections.complete, all_images, ..Tables::default() };
        each_row(
            sections.licences,
            "licenses",
            limits.categories,
            &source,
            findings,
            |spot, raw, findings| self.licence(&file, &mut tables, spot, &raw, findings),
        );
        let most = limits.categories.saturating_sub(self.dataset.categories.len());
        let all =
            each_row(sections.categories, "categories", most, &source, findings, |spot, raw, findings| {
                self.category(&file, &mut tables, spot, &raw, findings)
            });
        tables.all_categories &= all;
        let most = limits.files.saturating_sub(self.dataset.images.len());
        let all = each_row(sections.images, "images", most, &source, findings, |spot, raw, findings| {
            self.image(&file, &mut tables, spot, &raw, findings)
        });
        tables.all_images &= all;
        let most = limits.annotations.saturating_sub(self.dataset.annotations.len());
        each_row(sections.annotations, "annotations", most, &source, findings, |spot, raw, findings| {
            self.annotation(&file, &mut tables, spot, &raw, findings)
        });
    }

    /// Keeps `info` and whatever else a file says of the whole.
    fn attributes(&mut self, file: &File<'_>, others: Vec<(String, Raw<'_>)>, findings: &mut Findings) {
        for (key, raw) in others {
            let spot = Spot::Path(Spot::File.beneath_key(&key).to_string().into());
            let Some(node) = raw.parse(file.source, &spot, self.limits, findings) else { continue };
            let value = node.into_value();
            let kept = self.dataset.info.attributes.entry(key).or_insert_with(|| value.clone());
            if *kept != value {
                let place = Place { within: spot.pointer(), ..file.source.place().clone() };
                findings.add(
                    Rule::MetadataLost,
                    &place,
                    "expected what another file says, found something else; the first is kept",
                );
            }
        }
    }

    fn licence(
        &mut self,
        file: &File<'_>,
        tables: &mut Tables,
        spot: Spot,
        raw: &Raw<'_>,
        findings: &mut Findings,
    ) -> Result<(), Told> {
        let mut record = Record::read(raw, spot, file.source, self.limits, findings)?;
        let id = record.id("id")?;
        let name = optional_text(&mut record, "name").unwrap_or_default();
        let url = optional_text(&mut record, "url");
        let mut licence = Licence { id, name, url, attributes: record.rest() };
        let licences = &mut self.dataset.info.licences;
        let known = self.known.licences.get(&id).and_then(|at| licences.get(*at));
        if known != Some(&licence) {
            if known.is_some() {
                licence.id = self.known.last_licence.saturating_add(1);
            }
            self.known.last_licence = self.known.last_licence.max(licence.id);
            self.known.licences.entry(licence.id).or_insert(licences.len());
            tables.licences.entry(id).or_insert(licence.id);
            licences.push(licence);
        }
        tables.licences.entry(id).or_insert(id);
        Ok(())
    }

    fn category(
        &mut self,
        file: &File<'_>,
        tables: &mut Tables,
        spot: Spot,
        raw: &Raw<'_>,
        findings: &mut Findings,
    ) -> Result<(), Told> {
        let read = Record::read(raw, spot, file.source, self.limits, findings).and_then(|mut record| {
            let id = record.id("id")?;
            Ok((id, record))
        });
        let Ok((id, mut record)) = read else {
            tables.all_categories = false;
            return Err(Told);
        };
        if tables.categories.contains_key(&id) {
            return Err(record.tell(
                "id",
                Rule::DuplicateCategoryId,
                format!("expected another id than {id}, which stands above"),
            ));
        }
        tables.categories.insert(id, None);
        let name = record.text("name")?;
        let supercategory = optional_text(&mut record, "supercategory");
        let skeleton = skeleton(&mut record, self.limits)?;
        let same_id = self.known.categories.entry(id).or_default();
        let categories = &mut self.dataset.categories;
        let same = same_id.iter().copied().find(|index| categories[index.0 as usize].name == name);
        let index = match (same, same_id.first()) {
            (Some(index), _) => {
                complete_category(&mut categories[index.0 as usize], supercategory, skeleton, record.rest());
                index
            }
            (None, other) => {
                if let Some(other) = other {
                    let other = &categories[other.0 as usize].name;
                    let found =
                        format!("expected class {id} to be `{other}` as in another file, found `{name}`");
                    record.tell("id", Rule::DuplicateCategoryId, found);
                }
                let index = CategoryIndex(u32::try_from(categories.len()).map_err(|_| Told)?);
                categories.push(Category { id, name, supercategory, skeleton, attributes: record.rest() });
                same_id.push(index);
                index
            }
        };
        tables.categories.insert(id, Some(index));
        Ok(())
    }

    fn image(
        &mut self,
        file: &File<'_>,
        tables: &mut Tables,
        spot: Spot,
        raw: &Raw<'_>,
        findings: &mut Findings,
    ) -> Result<(), Told> {
        let read = Record::read(raw, spot, file.source, self.limits, findings).and_then(|mut record| {
            let id = record.id("id")?;
            Ok((id, record))
        });
        let Ok((id, mut record)) = read else {
            tables.all_images = false;
            return Err(Told);
        };
        if tables.images.contains_key(&id) {
            return Err(record.tell(
                "id",
                Rule::DuplicateImageId,
                format!("expected another id than {id}, which stands above"),
            ));
        }
        tables.images.insert(id, None);
        let split = file.named.split.as_deref();
        let name = record.file_name("file_name")?;
        let (width, height) = (record.pixels("width")?, record.pixels("height")?);
        let licence = licence_of(&mut record, tables);
        let path = image_file::resolve(self.folder, paths::parent(&file.named.path), split, &name);
        let same_id = self.known.images.entry((file.named.split.clone(), id)).or_default();
        let images = &mut self.dataset.images;
        let same = same_id.iter().copied().find(|index| images[index.0 as usize].file == path);
        let index = if let Some(index) = same {
            let image = &mut images[index.0 as usize];
            image.labelled |= file.labels;
            image.width = image.width.or(width);
            image.height = image.height.or(height);
            image.licence = image.licence.or(licence);
            add_missing(&mut image.attributes, record.rest());
            index
        } else {
            let index = ImageIndex(u32::try_from(images.len()).map_err(|_| Told)?);
            same_id.push(index);
            images.push(Image {
                id,
                file: path,
                width,
                height,
                split: split.map(str::to_owned),
                licence,
                labelled: file.labels,
                classes: Vec::new(),
                place: record.place(),
                attributes: record.rest(),
            });
            index
        };
        tables.images.insert(id, Some(index));
        Ok(())
    }

    fn annotation(
        &mut self,
        file: &File<'_>,
        tables: &mut Tables,
        spot: Spot,
        raw: &Raw<'_>,
        findings: &mut Findings,
    ) -> Result<(), Told> {
        let mut record = Record::read(raw, spot, file.source, self.limits, findings)?;
        if record.has("segments_info") {
            return self.of_image("panoptic", tables, record);
        }
        if record.has("caption") && !record.has("bbox") && !record.has("segmentation") {
            return self.of_image("captions", tables, record);
        }
        let id = record.id("id")?;
        if !tables.annotations.insert(id) {
            return Err(record.tell(
                "id",
                Rule::DuplicateAnnotationId,
                format!("expected another id than {id}, which stands above"),
            ));
        }
        let image = image_of(&mut record, &tables.images, tables.all_images)?;
        let category = category_of(&mut record, &tables.categories, tables.all_categories)?;
        let annotation = object(record, id, image, category, &self.dataset, self.limits)?;
        let at = self.dataset.annotations.len();
        match self.known.annotations.get(&(image, id)).copied() {
            Some(known) if same_object(&self.dataset.annotations[known], &annotation) => {
                complete_annotation(&mut self.dataset.annotations[known], annotation);
            }
            _ => {
                if file.more {
                    self.known.annotations.insert((image, id), at);
                }
                self.dataset.annotations.push(annotation);
            }
        }
        Ok(())
    }

    /// Keeps a record as one of an image's attributes.
    fn of_image(
        &mut self,
        name: &'static str,
        tables: &mut Tables,
        mut record: Record<'_, '_>,
    ) -> Result<(), Told> {
        if record.has("id") {
            let id = record.id("id")?;
            if !tables.annotations.insert(id) {
                return Err(record.tell(
                    "id",
                    Rule::DuplicateAnnotationId,
                    format!("expected another id than {id}, which stands above"),
                ));
            }
            record.put_back("id", Node::Unsigned(id));
        }
        let image = image_of(&mut record, &tables.images, tables.all_images)?;
        if name == "panoptic" {
            let found = "expected objects with outlines, found segments of a picture; they are kept as an attribute of the image";
            record.tell("segments_info", Rule::MetadataLost, found);
        }
        let attributes = &mut self.dataset.images[image.0 as usize].attributes;
        let rows = attributes.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
        let row = record.rest().into_iter().collect();
        match rows {
            Value::Array(rows) => rows.push(row),
            // The image record says something under this name itself: both stay.
            other => *other = Value::Array(vec![other.take(), row]),
        }
        Ok(())
    }
}

/// The class an annotation is of.
fn category_of(
    record: &mut Record<'_, '_>,
    categories: &HashMap<u64, Option<CategoryIndex>>,
    all: bool,
) -> Result<CategoryIndex, Told> {
    let id = record.id("category_id")?;
    match categories.get(&id) {
        Some(index) => index.ok_or(Told),
        None if all => Err(record.tell(
            "category_id",
            Rule::UnknownCategory,
            format!("expected the id of a class, found {id}"),
        )),
        None => Err(Told),
    }
}

/// The image an annotation is in.
fn image_of(
    record: &mut Record<'_, '_>,
    images: &HashMap<u64, Option<ImageIndex>>,
    all: bool,
) -> Result<ImageIndex, Told> {
    let id = record.id("image_id")?;
    match images.get(&id) {
        Some(index) => index.ok_or(Told),
        None if all => Err(record.tell(
            "image_id",
            Rule::OrphanImageReference,
            format!("expected the id of an image, found {id}"),
        )),
        None => Err(Told),
    }
}

/// What an annotation or a result says of its object.
fn object(
    mut record: Record<'_, '_>,
    id: u64,
    image: ImageIndex,
    category: CategoryIndex,
    dataset: &Dataset,
    limits: &Limits,
) -> Result<Annotation, Told> {
    let bounds = bounds(&mut record)?;
    let segmentation = segmentation(&mut record, &dataset.images[image.0 as usize], limits)?;
    let skeleton = dataset.categories[category.0 as usize].skeleton.as_ref();
    let keypoints = keypoints(&mut record, skeleton, limits)?;
    Ok(Annotation {
        id,
        image,
        category,
        bounds,
        segmentation,
        oriented: None,
        keypoints,
        area: record.number("area")?,
        crowd: crowd(&mut record)?,
        score: record.number("score")?,
        place: record.place(),
        attributes: record.rest(),
    })
}

fn optional_text(record: &mut Record<'_, '_>, name: &'static str) -> Option<String> {
    match record.take(name)? {
        Node::Text(text) => Some(text.into_owned()),
        other => {
            record.put_back(name, other);
            None
        }
    }
}

/// The id of an image's licence; what is no id of a licence stays an attribute.
fn licence_of(record: &mut Record<'_, '_>, tables: &Tables) -> Option<u64> {
    let node = record.take("license")?;
    let licence = node.whole().and_then(|id| tables.licences.get(&id).copied());
    if licence.is_none() {
        record.put_back("license", node);
    }
    licence
}

/// The keypoints of a class. A skeleton that does not count them from 1 stays an attribute, as it is.
fn skeleton(record: &mut Record<'_, '_>, limits: &Limits) -> Result<Option<Skeleton>, Told> {
    let (names, edges) = (record.take("keypoints"), record.take("skeleton"));
    if names.is_none() && edges.is_none() {
        return Ok(None);
    }
    let mut skeleton = Skeleton::default();
    match names {
        None => {}
        Some(Node::List(names)) if names.len() > limits.keypoints => {
            let found = format!("expected at most {} keypoints, found {}", limits.keypoints, names.len());
            return Err(record.tell("keypoints", Rule::ResourceLimit, found));
        }
        Some(Node::List(names)) => {
            for name in names {
                let Node::Text(name) = name else {
                    return Err(record.tell(
                        "keypoints",
                        Rule::BadType,
                        format!("expected names, found {name}"),
                    ));
                };
                skeleton.keypoints.push(name.into_owned());
            }
        }
        Some(other) => {
            return Err(record.tell(
                "keypoints",
                Rule::BadType,
                format!("expected a list of names, found {other}"),
            ));
        }
    }
    let Some(edges) = edges else { return Ok(Some(skeleton)) };
    let Node::List(rows) = &edges else {
        return Err(record.tell(
            "skeleton",
            Rule::BadType,
            format!("expected a list of pairs, found {edges}"),
        ));
    };
    let last =
        if skeleton.keypoints.is_empty() { u64::from(u32::MAX) } else { skeleton.keypoints.len() as u64 };
    let edge = |row: &Node<'_>| {
        let Node::List(pair) = row else { return None };
        let [from, to] = pair.as_slice() else { return None };
        let index = |node: &Node<'_>| {
            let number = node.whole().filter(|number| (1..=last).contains(number))?;
            u32::try_from(number - 1).ok()
        };
        Some([index(from)?, index(to)?])
    };
    match rows.iter().map(edge).collect() {
        Some(edges) => skeleton.edges = edges,
        None => record.put_back("skeleton", edges),
    }
    Ok(Some(skeleton))
}

fn bounds(record: &mut Record<'_, '_>) -> Result<Option<Bounds>, Told> {
    let Some(node) = record.take("bbox") else { return Ok(None) };
    let [x, y, width, height] = record.tuple("bbox", &node)?;
    if width < 0.0 || height < 0.0 {
        let found = format!("expected x, y, width, height, found {x}, {y}, {width}, {height}");
        return Err(record.tell("bbox", Rule::NegativeSize, found));
    }
    Ok(Some(Bounds { x, y, width, height }))
}

fn crowd(record: &mut Record<'_, '_>) -> Result<bool, Told> {
    match record.take("iscrowd") {
        None => Ok(false),
        Some(Node::Bool(crowd)) => Ok(crowd),
        Some(node) => match node.whole() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(record.tell("iscrowd", Rule::BadType, format!("expected 0 or 1, found {node}"))),
        },
    }
}

fn segmentation(
    record: &mut Record<'_, '_>,
    image: &Image,
    limits: &Limits,
) -> Result<Option<Segmentation>, Told> {
    match record.take("segmentation") {
        None => Ok(None),
        Some(Node::List(rows)) => polygons(record, &rows, limits),
        Some(Node::Object(fields)) => {
            mask::read(record, fields, image, limits).map(|rle| Some(Segmentation::Rle(rle)))
        }
        Some(other) => Err(record.tell(
            "segmentation",
            Rule::BadType,
            format!("expected polygons or a mask, found {other}"),
        )),
    }
}

/// The outlines of an object. If one is no polygon, all are left out: part of an outline is another outline.
fn polygons(
    record: &mut Record<'_, '_>,
    rows: &[Node<'_>],
    limits: &Limits,
) -> Result<Option<Segmentation>, Told> {
    let (mut polygons, mut vertices, mut bad) = (Vec::with_capacity(rows.len()), 0, false);
    for row in rows {
        let numbers = record.numbers("segmentation", row)?;
        vertices += numbers.len() / 2;
        if vertices > limits.vertices {
            let found = format!("expected at most {} vertices, found more", limits.vertices);
            return Err(record.tell("segmentation", Rule::ResourceLimit, found));
        }
        let (pairs, odd) = numbers.as_chunks::<2>();
        if pairs.len() < 3 || !odd.is_empty() {
            let found =
                format!("expected x and y of three vertices or more, found {} numbers", numbers.len());
            record.tell("segmentation", Rule::BadPolygon, found);
            bad = true;
        }
        polygons.push(pairs.to_vec());
    }
    Ok((!bad && !polygons.is_empty()).then_some(Segmentation::Polygons(polygons)))
}

/// The keypoints of an object; none of them where one has an unknown visibility.
fn keypoints(
    record: &mut Record<'_, '_>,
    skeleton: Option<&Skeleton>,
    limits: &Limits,
) -> Result<Vec<Keypoint>, Told> {
    let count = match record.take("num_keypoints") {
        None => None,
        Some(node) => Some(node.whole().ok_or_else(|| {
            record.tell(
                "num_keypoints",
                Rule::BadType,
                format!("expected a whole number from 0, found {node}"),
            )
        })?),
    };
    let mut keypoints = Vec::new();
    if let Some(node) = record.take("keypoints") {
        let numbers = record.numbers("keypoints", &node)?;
        let named = skeleton.map_or(0, |skeleton| skeleton.keypoints.len());
        let (triples, rest) = numbers.as_chunks::<3>();
        if !rest.is_empty() || (named > 0 && triples.len() != named && !triples.is_empty()) {
            let expected =
                if named > 0 { format!("{named} times three") } else { "three for each keypoint".to_owned() };
            let found = format!("expected {expected} numbers, found {}", numbers.len());
            return Err(record.tell("keypoints", Rule::KeypointArity, found));
        }
        if triples.len() > limits.keypoints {
            let found = format!("expected at most {} keypoints, found {}", limits.keypoints, triples.len());
            return Err(record.tell("keypoints", Rule::ResourceLimit, found));
        }
        for [x, y, v] in triples {
            let Some(visibility) = visibility(*v) else {
                record.tell("keypoints", Rule::KeypointVisibility, format!("expected 0, 1 or 2, found {v}"));
                return Ok(Vec::new());
            };
            keypoints.push(Keypoint { x: *x, y: *y, visibility });
        }
    }
    let labelled =
        keypoints.iter().filter(|keypoint| keypoint.visibility != Visibility::Absent).count() as u64;
    if let Some(count) = count.filter(|count| *count != labelled) {
        record.tell(
            "num_keypoints",
            Rule::KeypointCountMismatch,
            format!("expected {labelled}, found {count}"),
        );
    }
    Ok(keypoints)
}

fn visibility(v: f64) -> Option<Visibility> {
    let known = [(0.0, Visibility::Absent), (1.0, Visibility::Hidden), (2.0, Visibility::Visible)];
    known.into_iter().find_map(|(number, visibility)| (number == v).then_some(visibility))
}

/// Adds what another file of the dataset says of a class.
fn complete_category(
    category: &mut Category,
    supercategory: Option<String>,
    skeleton: Option<Skeleton>,
    attributes: Attributes,
) {
    category.supercategory = category.supercategory.take().or(supercategory);
    category.skeleton = category.skeleton.take().or(skeleton);
    add_missing(&mut category.attributes, attributes);
}

/// Whether two annotations with the same id, in the same image, from different files, are of one object.
fn same_object(known: &Annotation, other: &Annotation) -> bool {
    known.category == other.category
        && (known.bounds == other.bounds || known.bounds.is_none() || other.bounds.is_none())
}

/// Adds what another file of the split says of an object.
fn complete_annotation(known: &mut Annotation, other: Annotation) {
    known.bounds = known.bounds.or(other.bounds);
    known.segmentation = known.segmentation.take().or(other.segmentation);
    known.area = known.area.or(other.area);
    known.score = known.score.or(other.score);
    known.crowd |= other.crowd;
    if known.keypoints.is_empty() {
        known.keypoints = other.keypoints;
    }
    add_missing(&mut known.attributes, other.attributes);
}

fn add_missing(attributes: &mut Attributes, others: Attributes) {
    for (key, value) in others {
        attributes.entry(key).or_insert(value);
    }
}
