//! Writing COCO: a file for each split, with the keys that pycocotools and its kin ask for.
//!
//! `annotations/instances_SPLIT.json` has the labelled images, `image_info_SPLIT.json` the others unless captions name
//! them, and `captions_SPLIT.json` and `panoptic_SPLIT.json` what the reader keeps as attributes of those names; without a
//! split, `instances.json` and so on. A record stands on a line of its own, so that two files can be compared line by line.
//! Whole numbers are written without a decimal point. `area`, and `bbox` of an outline, which readers ask for, are computed
//! where the model has none.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashSet},
    io::{self, BufWriter, Write},
    path::Path,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::{
    Annotation, Bounds, Category, Dataset, Image, Licence, Segmentation, Skeleton, Visibility,
    formats::{Loss, WriteError, image_file, paths, shape},
};

use super::mask;

/// The folder that the files are in.
const DIR: &str = "annotations";

/// Attributes of an image that go to files of their own, with a key that each of their rows has.
const OF_IMAGES: [(&str, &str); 2] = [("captions", "caption"), ("panoptic", "segments_info")];

/// Writes the dataset.
pub(crate) fn write(dataset: &Dataset, out: &Path) -> Result<Vec<Loss>, WriteError> {
    let failed = |file: &str| {
        let file = file.to_owned();
        move |source| WriteError::Io { file, source }
    };
    let writer = Writer::new(dataset);
    Dir::create_ambient_dir_all(out, ambient_authority()).map_err(failed("."))?;
    let dir = Dir::open_ambient_dir(out, ambient_authority()).map_err(failed("."))?;
    dir.create_dir_all(DIR).map_err(failed(DIR))?;
    for part in writer.parts() {
        let path = paths::join(DIR, &part.name);
        let file =
            dir.open_with(&path, OpenOptions::new().write(true).create_new(true)).map_err(failed(&path))?;
        let mut to = BufWriter::new(file);
        writer.part(&part, &mut to).and_then(|()| to.flush()).map_err(failed(&path))?;
    }
    Ok(writer.losses())
}

/// A file to be: some images of a split, and rows that are about them.
struct Part<'a> {
    name: String,
    images: Vec<usize>,
    rows: Rows<'a>,
}

enum Rows<'a> {
    /// Annotations, by index.
    Objects(Vec<usize>),
    /// Attributes of images: the image, and the row.
    OfImages(Vec<(usize, &'a Map<String, Value>)>),
    /// None: nothing is said of objects.
    None,
}

struct Writer<'a> {
    dataset: &'a Dataset,
    licences: Vec<u64>,
    categories: Vec<u64>,
    images: Vec<u64>,
    annotations: Vec<u64>,
    names: Vec<String>,
    renumbered: u64,
    /// Attributes whose names are COCO's own, left out.
    clashes: Cell<u64>,
}

impl<'a> Writer<'a> {
    fn new(dataset: &'a Dataset) -> Self {
        let mut renumbered = 0;
        let mut ids = |ids: Vec<(Option<&str>, u64)>| {
            let (ids, more) = distinct(&ids);
            renumbered += more;
            ids
        };
        let split = |image: &'a Image| image.split.as_deref();
        let of = |annotation: &Annotation| dataset.images.get(annotation.image.0 as usize).and_then(split);
        Self {
            dataset,
            licences: ids(dataset.info.licences.iter().map(|licence| (None, licence.id)).collect()),
            categories: ids(dataset.categories.iter().map(|category| (None, category.id)).collect()),
            images: ids(dataset.images.iter().map(|image| (split(image), image.id)).collect()),
            annotations: ids(dataset.annotations.iter().map(|one| (of(one), one.id)).collect()),
            names: file_names(dataset),
            renumbered,
            clashes: Cell::new(0),
        }
    }

    fn parts(&self) -> Vec<Part<'a>> {
        let mut splits = BTreeMap::<Option<&str>, Vec<usize>>::new();
        for (at, image) in self.dataset.images.iter().enumerate() {
            splits.entry(image.split.as_deref()).or_default().push(at);
        }
        if splits.is_empty() {
            splits.insert(None, Vec::new());
        }
        let mut objects = vec![Vec::new(); self.dataset.images.len()];
        for (at, annotation) in self.dataset.annotations.iter().enumerate() {
            objects[annotation.image.0 as usize].push(at);
        }
        let mut parts = Vec::new();
        for (split, images) in splits {
            let is_labelled =
                |image: &usize| self.dataset.images[*image].labelled || !objects[*image].is_empty();
            let (labelled, others): (Vec<_>, Vec<_>) = images.iter().copied().partition(is_labelled);
            let mut rows: Vec<_> =
                labelled.iter().flat_map(|image| objects[*image].iter().copied()).collect();
            rows.sort_unstable();
            if !labelled.is_empty() || others.is_empty() {
                parts.push(Part {
                    name: file_name("instances", split),
                    images: labelled,
                    rows: Rows::Objects(rows),
                });
            }
            // A list of captions names every image, as the official ones do; one of segments labels those it names.
            let [captions, panoptic] = OF_IMAGES;
            let segmented = |at: &usize| rows_of(&self.dataset.images[*at], panoptic.0, panoptic.1).is_some();
            let named = images.iter().copied().filter(|at| is_labelled(at) || segmented(at)).collect();
            let captions = self.of_images(captions, split, images);
            if !others.is_empty() && captions.is_none() {
                let name = file_name("image_info", split);
                parts.push(Part { name, images: others, rows: Rows::None });
            }
            parts.extend(captions);
            parts.extend(self.of_images(panoptic, split, named));
        }
        parts
    }

    /// The file of an attribute, if any of these images has it.
    fn of_images(
        &self,
        (attribute, key): (&str, &str),
        split: Option<&str>,
        images: Vec<usize>,
    ) -> Option<Part<'a>> {
        let rows_of =
            |image: &usize| rows_of(&self.dataset.images[*image], attribute, key).unwrap_or_default();
        let rows = images.iter().flat_map(|image| rows_of(image).into_iter().map(|row| (*image, row)));
        let rows: Vec<_> = rows.collect();
        let name = file_name(attribute, split);
        (!rows.is_empty()).then_some(Part { name, images, rows: Rows::OfImages(rows) })
    }

    fn part(&self, part: &Part<'_>, to: &mut impl Write) -> io::Result<()> {
        to.write_all(b"{\n")?;
        for (key, value) in &self.dataset.info.attributes {
            if matches!(key.as_str(), "licenses" | "categories" | "images" | "annotations") {
                self.clashes.set(self.clashes.get() + 1);
                continue;
            }
            serde_json::to_writer(&mut *to, key)?;
            to.write_all(b": ")?;
            serde_json::to_writer(&mut *to, value)?;
            to.write_all(b",\n")?;
        }
        let (info, dataset) = (&self.dataset.info, self.dataset);
        list(
            to,
            "licenses",
            info.licences.iter().zip(&self.licences).map(|(licence, id)| LicenceRow {
                licence,
                id: *id,
                to: self,
            }),
        )?;
        to.write_all(b",\n")?;
        list(
            to,
            "categories",
            dataset.categories.iter().zip(&self.categories).map(|(category, id)| CategoryRow {
                category,
                id: *id,
                to: self,
            }),
        )?;
        to.write_all(b",\n")?;
        list(to, "images", part.images.iter().map(|image| ImageRow { image: *image, to: self }))?;
        match &part.rows {
            Rows::Objects(rows) => {
                to.write_all(b",\n")?;
                list(
                    to,
                    "annotations",
                    rows.iter().map(|annotation| AnnotationRow { annotation: *annotation, to: self }),
                )?;
            }
            Rows::OfImages(rows) => {
                to.write_all(b",\n")?;
                list(
                    to,
                    "annotations",
                    rows.iter().map(|(image, row)| OfImage { image: self.images[*image], row }),
                )?;
            }
            Rows::None => {}
        }
        to.write_all(b"\n}\n")
    }

    fn losses(&self) -> Vec<Loss> {
        let dataset = self.dataset;
        let count = |many: usize| many as u64;
        let flips =
            dataset.categories.iter().filter_map(|category| category.skeleton.as_ref()?.flip.as_ref());
        let splits: BTreeSet<&str> =
            dataset.images.iter().filter_map(|image| image.split.as_deref()).collect();
        let renamed = splits.into_iter().filter(|split| word(split) != **split);
        let losses = [
            ("ids that stood twice, numbered anew", self.renumbered),
            ("classes of whole images", count(dataset.images.iter().map(|image| image.classes.len()).sum())),
            (
                "oriented boxes, written as outlines",
                count(dataset.annotations.iter().filter(|one| one.oriented.is_some()).count()),
            ),
            ("classes whose keypoints change places when mirrored", count(flips.count())),
            ("attributes under names that are COCO's own", self.clashes.get()),
            ("names of splits that no file can have, spelled with `_`", count(renamed.count())),
        ];
        let losses = losses.into_iter().filter(|(_, count)| *count > 0);
        losses.map(|(what, count)| Loss { what: what.to_owned(), count }).collect()
    }

    /// Adds attributes, but for those whose names were written already.
    fn attributes<'v, M: SerializeMap>(
        &self,
        map: &mut M,
        attributes: impl IntoIterator<Item = (&'v String, &'v Value)>,
        written: &[&str],
    ) -> Result<(), M::Error> {
        for (key, value) in attributes {
            if written.contains(&key.as_str()) {
                self.clashes.set(self.clashes.get() + 1);
            } else {
                map.serialize_entry(key, value)?;
            }
        }
        Ok(())
    }
}

/// The ids, those that stand twice in a split replaced by the lowest that are free everywhere; and how many were.
fn distinct(ids: &[(Option<&str>, u64)]) -> (Vec<u64>, u64) {
    let taken: HashSet<u64> = ids.iter().map(|(_, id)| *id).collect();
    let mut free = (1..).filter(|id| !taken.contains(id));
    let (mut seen, mut renumbered) = (HashSet::new(), 0);
    let distinct = ids.iter().map(|(split, id)| {
        if seen.insert((*split, *id)) {
            return *id;
        }
        renumbered += 1;
        free.next().unwrap_or(*id)
    });
    (distinct.collect(), renumbered)
}

/// The word of a split as a file name may have it.
fn word(split: &str) -> String {
    let safe = |one: char| one.is_alphanumeric() || matches!(one, '-' | '_' | '.');
    split.chars().map(|one| if safe(one) { one } else { '_' }).collect()
}

/// The name of a file.
fn file_name(kind: &str, split: Option<&str>) -> String {
    split.map_or_else(|| format!("{kind}.json"), |split| format!("{kind}_{}.json", word(split)))
}

/// What `file_name` says of each image: the shortest name that the reader resolves to its file.
fn file_names(dataset: &Dataset) -> Vec<String> {
    let files: BTreeSet<&str> = dataset.images.iter().map(|image| image.file.as_str()).collect();
    let name = |image: &Image| {
        let split = image.split.as_deref();
        let prefixes = [
            split.map(|split| format!("images/{split}/")),
            split.map(|split| format!("{split}/")),
            Some("images/".to_owned()),
        ];
        let short = prefixes.iter().flatten().find_map(|prefix| image.file.strip_prefix(prefix.as_str()));
        let found =
            |name: &&str| image_file::places(DIR, split, name).find(|place| files.contains(place.as_str()));
        short.filter(|name| found(name).as_deref() == Some(&image.file)).unwrap_or(&image.file).to_owned()
    };
    dataset.images.iter().map(name).collect()
}

/// The rows that the reader kept as an attribute of an image.
fn rows_of<'a>(image: &'a Image, attribute: &str, key: &str) -> Option<Vec<&'a Map<String, Value>>> {
    let rows = image.attributes.get(attribute)?.as_array().filter(|rows| !rows.is_empty())?;
    rows.iter().map(|row| row.as_object().filter(|row| row.contains_key(key))).collect()
}

fn list<T: Serialize>(to: &mut impl Write, name: &str, rows: impl Iterator<Item = T>) -> io::Result<()> {
    write!(to, "\"{name}\": [")?;
    let mut before = "\n";
    for row in rows {
        to.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut *to, &row)?;
        before = ",\n";
    }
    to.write_all(if before == "\n" { b"]" } else { b"\n]" })
}

/// A number, without a decimal point where it is whole.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Up to here every whole number has its own float. A negative zero is not 0.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let whole =
            self.0.fract() == 0.0 && self.0.abs() <= EXACT && !(self.0 == 0.0 && self.0.is_sign_negative());
        if whole { serializer.serialize_i64(self.0 as i64) } else { serializer.serialize_f64(self.0) }
    }
}

/// Numbers in a row.
fn numbers(numbers: impl Iterator<Item = f64>) -> Vec<Number> {
    numbers.map(Number).collect()
}

struct LicenceRow<'a> {
    licence: &'a Licence,
    id: u64,
    to: &'a Writer<'a>,
}

impl Serialize for LicenceRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("name", &self.licence.name)?;
        let mut written = vec!["id", "name"];
        if let Some(url) = &self.licence.url {
            map.serialize_entry("url", url)?;
            written.push("url");
        }
        self.to.attributes(&mut map, &self.licence.attributes, &written)?;
        map.end()
    }
}

struct CategoryRow<'a> {
    category: &'a Category,
    id: u64,
    to: &'a Writer<'a>,
}

impl Serialize for CategoryRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("name", &self.category.name)?;
        let mut written = vec!["id", "name"];
        if let Some(supercategory) = &self.category.supercategory {
            map.serialize_entry("supercategory", supercategory)?;
            written.push("supercategory");
        }
        if let Some(Skeleton { keypoints, edges, .. }) = &self.category.skeleton {
            map.serialize_entry("keypoints", keypoints)?;
            written.push("keypoints");
            if !edges.is_empty() || !self.category.attributes.contains_key("skeleton") {
                let edges: Vec<_> = edges.iter().map(|edge| edge.map(|index| u64::from(index) + 1)).collect();
                map.serialize_entry("skeleton", &edges)?;
                written.push("skeleton");
            }
        }
        self.to.attributes(&mut map, &self.category.attributes, &written)?;
        map.end()
    }
}

struct ImageRow<'a> {
    image: usize,
    to: &'a Writer<'a>,
}

impl Serialize for ImageRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let image = &self.to.dataset.images[self.image];
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.to.images[self.image])?;
        map.serialize_entry("file_name", &self.to.names[self.image])?;
        let mut written = vec!["id", "file_name"];
        for (key, value) in [("width", image.width), ("height", image.height)] {
            if let Some(value) = value {
                map.serialize_entry(key, &value)?;
                written.push(key);
            }
        }
        if let Some(licence) = image.licence {
            map.serialize_entry("license", &licence)?;
            written.push("license");
        }
        let apart = |name: &str| {
            OF_IMAGES
                .iter()
                .any(|(attribute, key)| name == *attribute && rows_of(image, attribute, key).is_some())
        };
        self.to.attributes(&mut map, image.attributes.iter().filter(|(name, _)| !apart(name)), &written)?;
        map.end()
    }
}

/// What is said of an image as a whole.
struct OfImage<'a> {
    image: u64,
    row: &'a Map<String, Value>,
}

impl Serialize for OfImage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("image_id", &self.image)?;
        for (key, value) in self.row.iter().filter(|(key, _)| *key != "image_id") {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

struct AnnotationRow<'a> {
    annotation: usize,
    to: &'a Writer<'a>,
}

impl Serialize for AnnotationRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let annotation = &self.to.dataset.annotations[self.annotation];
        let mut map = serializer.serialize_map(None)?;
        let mut written = vec!["id", "image_id", "category_id"];
        map.serialize_entry("id", &self.to.annotations[self.annotation])?;
        map.serialize_entry("image_id", &self.to.images[annotation.image.0 as usize])?;
        map.serialize_entry("category_id", &self.to.categories[annotation.category.0 as usize])?;
        let corners =
            annotation.oriented.as_ref().map(|oriented| Segmentation::Polygons(vec![oriented.0.to_vec()]));
        let segmentation = annotation.segmentation.as_ref().or(corners.as_ref());
        let bounds = annotation.bounds.or_else(|| extent(segmentation?));
        if let Some(Bounds { x, y, width, height }) = bounds {
            map.serialize_entry("bbox", &numbers([x, y, width, height].into_iter()))?;
            written.push("bbox");
        }
        if bounds.is_some() || segmentation.is_some() {
            segments(&mut map, segmentation)?;
            map.serialize_entry("iscrowd", &u8::from(annotation.crowd))?;
            written.extend(["segmentation", "iscrowd"]);
        }
        if let Some(area) =
            annotation.area.or_else(|| area(segmentation, bounds)).filter(|area| area.is_finite())
        {
            map.serialize_entry("area", &Number(area))?;
            written.push("area");
        }
        if !annotation.keypoints.is_empty() {
            let triples =
                annotation.keypoints.iter().flat_map(|point| [point.x, point.y, v(point.visibility)]);
            let labelled = annotation.keypoints.iter().filter(|point| point.visibility != Visibility::Absent);
            map.serialize_entry("keypoints", &numbers(triples))?;
            map.serialize_entry("num_keypoints", &labelled.count())?;
            written.extend(["keypoints", "num_keypoints"]);
        }
        if let Some(score) = annotation.score {
            map.serialize_entry("score", &Number(score))?;
            written.push("score");
        }
        self.to.attributes(&mut map, &annotation.attributes, &written)?;
        map.end()
    }
}

fn segments<M: SerializeMap>(map: &mut M, segmentation: Option<&Segmentation>) -> Result<(), M::Error> {
    match segmentation {
        // As the official files have it where there is only a box.
        None => map.serialize_entry("segmentation", &[(); 0]),
        Some(Segmentation::Polygons(polygons)) => {
            let rows: Vec<_> =
                polygons.iter().map(|polygon| numbers(polygon.iter().flatten().copied())).collect();
            map.serialize_entry("segmentation", &rows)
        }
        Some(Segmentation::Rle(rle)) if rle.compressed => {
            let mask = serde_json::json!({ "size": [rle.height, rle.width], "counts": mask::compress(rle) });
            map.serialize_entry("segmentation", &mask)
        }
        Some(Segmentation::Rle(rle)) => {
            let mask = serde_json::json!({ "size": [rle.height, rle.width], "counts": rle.counts });
            map.serialize_entry("segmentation", &mask)
        }
    }
}

fn v(visibility: Visibility) -> f64 {
    match visibility {
        Visibility::Absent => 0.0,
        Visibility::Hidden => 1.0,
        Visibility::Visible => 2.0,
    }
}

/// The box around outlines.
fn extent(segmentation: &Segmentation) -> Option<Bounds> {
    let Segmentation::Polygons(polygons) = segmentation else { return None };
    shape::extent(polygons.iter().flatten())
}

/// The area of outlines, of a mask, or of a box.
fn area(segmentation: Option<&Segmentation>, bounds: Option<Bounds>) -> Option<f64> {
    match segmentation {
        None => bounds.map(|bounds| bounds.width * bounds.height),
        Some(Segmentation::Polygons(polygons)) => {
            Some(polygons.iter().map(|polygon| shape::area(polygon)).sum())
        }
        Some(Segmentation::Rle(rle)) => {
            Some(rle.counts.iter().skip(1).step_by(2).map(|run| u64::from(*run)).sum::<u64>() as f64)
        }
    }
}
