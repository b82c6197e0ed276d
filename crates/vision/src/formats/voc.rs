//! Pascal VOC: an XML file for each image, corners counted from 1 and inclusive.
//!
//! A box from `xmin` to `xmax` covers both columns, so that in the model it begins at `xmin - 1` and is `xmax - xmin + 1` wide.
//! Files that count from 0 are read by the same rule and told of once: nothing in them says how they meant it.
//!
//! Layouts are VOC's own (`Annotations`, `JPEGImages`, `ImageSets`) and images with their XML beside them. Classes come from
//! `labelmap.txt` where there is one, and otherwise from the objects, in the order of their names. Whatever else an
//! object or a file says is kept as attributes, which is how parts and actions come through; the masks in
//! `SegmentationClass` and `SegmentationObject` are not read, and told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

use serde_json::{Map, Value};

use super::{
    Loss, WriteError,
    draft::{self, Draft},
    lines::{content, lines, text},
    numbers::{briefest, number},
    output::Output,
    paths,
    xml::{self, Document, Element},
};
use crate::{
    Annotation, Attributes, Bounds, Category, Dataset, Findings, Folder, Image, Limits, Place, Pointer, Rule,
};

/// The folders, in lower case, that hold annotations.
const ANNOTATION_FOLDERS: &[&str] = &["annotations", "annotation", "xmls", "labels"];

/// Elements that are 0 or 1, and read as numbers.
const FLAGS: &[&str] = &["difficult", "truncated", "occluded", "segmented", "depth"];

/// The most bytes of a file: of one image. What is kept of it as attributes takes many times as much.
const FILE_BYTES: u64 = 16 << 20;

/// How many files are looked into to tell the format.
const LOOKED_INTO: usize = 64;

/// The names of corners.
const CORNERS: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

/// An XML file whose root is `annotation`.
pub(crate) fn recognises(folder: &Folder, _: &Limits) -> Option<String> {
    xml_files(folder)
        .take(LOOKED_INTO)
        .find(|path| is_voc(&folder.head(path, 4096).unwrap_or_default()))
        .map(str::to_owned)
}

fn is_voc(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    // `<annotations>` is CVAT's; LabelMe's XML has outlines for boxes.
    let root = head.find("<annotation").and_then(|at| head[at + "<annotation".len()..].chars().next());
    root.is_some_and(|next| next == '>' || next == '/' || next.is_whitespace())
        && !head.contains("<imagesize>")
}

fn xml_files(folder: &Folder) -> impl Iterator<Item = &str> {
    folder.files().map(|(path, _)| path).filter(|path| paths::extension(path).eq_ignore_ascii_case("xml"))
}

/// Reads a folder.
pub(crate) fn read(folder: &Folder, limits: &Limits, findings: &mut Findings) -> Dataset {
    let mut draft = Draft::new(limits, findings);
    let images = paths::Images::of(folder);
    let listed = read_labelmap(folder, &mut draft);
    let splits = Splits::read(folder, &images, &mut draft);
    let mut reader = Reader {
        folder,
        images,
        splits,
        draft,
        listed,
        taken: BTreeSet::new(),
        parts: (0, Place::default()),
        zeros: (0, Place::default()),
    };
    for path in xml_files(folder) {
        reader.file(path);
    }
    reader.finish()
}

/// Classes, the first field of each line; none where there is no such file.
fn read_labelmap(folder: &Folder, draft: &mut Draft<'_>) -> bool {
    let file = folder.files().map(|(path, _)| path).find(|path| paths::file_name(path) == "labelmap.txt");
    let Some(text) = file.and_then(|path| text(folder, path, draft.limits, draft.findings)) else {
        return false;
    };
    let place = Place::file(file.unwrap_or_default());
    for (line, said) in lines(&text).filter(|(_, said)| !said.starts_with('#')) {
        // The last three fields are colour, parts and actions; a name may hold colons itself.
        let name = said.rsplitn(4, ':').last().unwrap_or(said);
        let place = place.at_line(line);
        if draft.listed(name).is_some() {
            draft.find(Rule::DuplicateKey, &place, format!("expected each class once, found {name:?} again"));
        } else {
            draft.category(name, &place);
        }
    }
    true
}

/// Which image is in which split, as `ImageSets` lists it.
#[derive(Default)]
struct Splits {
    /// By image.
    of: BTreeMap<String, (String, Place)>,
}

impl Splits {
    fn read(folder: &Folder, images: &paths::Images<'_>, draft: &mut Draft<'_>) -> Self {
        let mut splits = Self::default();
        let is_list = |path: &&str| path.contains("ImageSets/") && path.ends_with(".txt");
        let mut lists: Vec<&str> = folder.files().map(|(path, _)| path).filter(is_list).collect();
        // `Main` counts, then the other tasks; `trainval` says less than `train` and `val`.
        let rank = |path: &str| (!path.contains("/Main/"), paths::stem(path) == "trainval");
        lists.sort_by_key(|path| rank(path));
        let names: BTreeSet<&str> = lists.iter().map(|path| paths::stem(path)).collect();
        for path in lists {
            // `cat_train.txt` says which images of `train` show a cat.
            let of_class = paths::stem(path).rsplit_once('_').is_some_and(|(_, split)| names.contains(split));
            if !of_class {
                splits.read_list(folder, images, path, draft);
            }
        }
        splits
    }

    fn read_list(&mut self, folder: &Folder, images: &paths::Images<'_>, path: &str, draft: &mut Draft<'_>) {
        let Some(text) = text(folder, path, draft.limits, draft.findings) else { return };
        let root = path.split("ImageSets/").next().unwrap_or_default().trim_end_matches('/');
        let split = paths::split_word(paths::stem(path)).unwrap_or(paths::stem(path));
        let task = paths::parent(path);
        for (line, said) in lines(&text) {
            let place = Place::file(path).at_line(line);
            // What follows an id says whether a class is in it.
            let id = said.split_ascii_whitespace().next().unwrap_or(said);
            let Some(inside) = paths::inside("", id) else {
                let found = format!("expected an image's id, found {id:?}");
                draft.find(Rule::PathTraversal, &place, found);
                continue;
            };
            let file = ["JPEGImages", "images", ""].iter().find_map(|folder| {
                images.with_stem(
                    paths::parent(&paths::join(&paths::join(root, folder), &inside)),
                    paths::file_name(&inside),
                )
            });
            let named = || if paths::is_image(&inside) { inside.clone() } else { format!("{inside}.jpg") };
            let missing = || paths::join(root, &paths::join("JPEGImages", &named()));
            let file = file.map_or_else(missing, str::to_owned);
            let file = if folder.bytes(&file).is_none() && paths::is_image(&inside) {
                images.only_one_named(paths::file_name(&inside)).map_or(file, str::to_owned)
            } else {
                file
            };
            match self.of.get(&file) {
                Some((other, at))
                    if other != split && split != "trainval" && paths::parent(&at.file) == task =>
                {
                    let found = format!("expected an image of {split} alone, found it in {other} too: {id}");
                    draft.find(Rule::SplitLeakage, &place, found);
                }
                Some(_) => {}
                None => {
                    self.of.insert(file, (split.to_owned(), place));
                }
            }
        }
    }

    fn of(&self, image: &str) -> Option<String> {
        let listed = self.of.get(image).map(|(split, _)| split.clone());
        listed.or_else(|| paths::split_of(image).map(str::to_owned))
    }
}

struct Reader<'a> {
    folder: &'a Folder,
    images: paths::Images<'a>,
    splits: Splits,
    draft: Draft<'a>,
    /// Whether classes are listed, so that another is none.
    listed: bool,
    /// Images that a file is about.
    taken: BTreeSet<String>,
    /// How many objects have parts, and where the first is.
    parts: (u64, Place),
    /// How many corners are 0, and where the first is.
    zeros: (u64, Place),
}

impl Reader<'_> {
    fn file(&mut self, path: &str) {
        let place = Place::file(path);
        let limit = self.draft.limits.annotation_file_bytes.min(FILE_BYTES);
        let Some(content) = content(self.folder, path, limit, self.draft.findings) else { return };
        let read = Document::open(&content, self.draft.limits);
        let read = read.and_then(|document| self.annotation(document, &place));
        if let Err(fault) = read {
            self.draft.find(fault.rule, &place.at_line(fault.line), fault.found);
            // What it was about is not unlabelled.
            let found = self.images.named(self.folder, path, paths::stem(path), ANNOTATION_FOLDERS);
            if let Some(file) = found {
                self.image(Image { file, labelled: true, place, ..Image::default() }, Vec::new());
            }
        }
    }

    fn annotation(&mut self, mut document: Document<'_>, place: &Place) -> Result<(), xml::Fault> {
        if &*document.root.name != "annotation" {
            // Another format's, beside what is ours.
            return Ok(());
        }
        let mut image = Image { labelled: true, place: place.clone(), ..Image::default() };
        let mut name = None;
        let mut objects = Vec::new();
        let mut rest = Vec::new();
        let mut row = 0;
        while !self.draft.is_full(objects.len())
            && let Some(child) = document.next()?
        {
            let place = place.at_line(child.line);
            match &*child.name {
                "object" => {
                    let place = place.at(Pointer::Row("object", row));
                    row += 1;
                    objects.extend(self.object(child, place));
                }
                "filename" if name.is_some() => self.twice("filename", &place),
                "filename" => name = Some((child.text().to_owned(), place)),
                "size" => self.size(&child, &mut image, &place),
                _ => rest.push(child),
            }
        }
        image.attributes.extend(attributes(rest));
        let Some((name, at)) = name.filter(|(name, _)| !name.is_empty()) else {
            self.draft.find(Rule::MissingField, place, "expected a `filename`, found none");
            return Ok(());
        };
        let folder = image.attributes.get("folder").and_then(Value::as_str).unwrap_or_default();
        let Some(inside) = paths::inside("", &name) else {
            let found = format!("expected a file within the folder, found {name:?}");
            self.draft.find(Rule::PathTraversal, &at, found);
            return Ok(());
        };
        if paths::inside("", folder).is_none() {
            let found = format!("expected a folder within this one, found {folder:?}");
            self.draft.find(Rule::PathTraversal, place, found);
            return Ok(());
        }
        let found = self.images.named(self.folder, &place.file, &inside, ANNOTATION_FOLDERS);
        image.file = found.unwrap_or_else(|| {
            let beside = paths::parent(&place.file);
            let folder = paths::renamed(beside, ANNOTATION_FOLDERS, "JPEGImages");
            paths::join(folder.as_deref().unwrap_or(beside), &inside)
        });
        self.image(image, objects);
        Ok(())
    }

    fn image(&mut self, mut image: Image, objects: Vec<Annotation>) {
        image.split = self.splits.of(&image.file);
        if self.taken.insert(image.file.clone()) {
            self.draft.image(image, objects);
        } else {
            let found = format!("expected one file about each image, found another about {}", image.file);
            self.draft.find(Rule::DuplicateImageId, &image.place, found);
        }
    }

    fn size(&mut self, size: &Element, image: &mut Image, place: &Place) {
        for (side, kept) in [("width", &mut image.width), ("height", &mut image.height)] {
            let mut found = size.all(side);
            let Some(first) = found.next() else { continue };
            if found.next().is_some() {
                self.draft.find(Rule::DuplicateKey, place, format!("expected one `{side}`, found more"));
            }
            match whole(first.text()) {
                Ok(pixels) => *kept = Some(pixels),
                Err((rule, found)) => self.draft.find(rule, &place.at_line(first.line), found),
            }
        }
        let rest = size.children.iter().filter(|one| !["width", "height"].contains(&&*one.name));
        for one in rest {
            image.attributes.insert(one.name.to_string(), flag(&one.name, value(one)));
        }
    }

    /// An object; none where it is at fault, which is told.
    fn object(&mut self, object: Element, place: Place) -> Option<Annotation> {
        for once in ["name", "bndbox"] {
            if object.all(once).nth(1).is_some() {
                self.twice(once, &place);
                return None;
            }
        }
        let name = object.first("name").map(Element::text).unwrap_or_default().to_owned();
        if name.is_empty() {
            self.draft.find(Rule::MissingField, &place, "expected a `name`, found none");
            return None;
        }
        let Some(corners) = object.first("bndbox") else {
            self.draft.find(Rule::MissingField, &place, "expected a `bndbox`, found none");
            return None;
        };
        let corners = self.corners(corners, &place)?;
        let [xmin, ymin, xmax, ymax] = corners;
        let bounds = bounds(corners);
        if bounds.width < 0.0 || bounds.height < 0.0 {
            let found = format!(
                "expected a corner and one to its lower right, found ({xmin}, {ymin}) and ({xmax}, {ymax})"
            );
            self.draft.find(Rule::NegativeSize, &place, found);
            return None;
        }
        let category = match self.draft.listed(&name) {
            None if self.listed => {
                let found = format!("expected a class of labelmap.txt, found {name:?}");
                self.draft.find(Rule::UnknownCategory, &place, found);
                return None;
            }
            _ => self.draft.category(&name, &place)?,
        };
        if xmin == 0.0 || ymin == 0.0 {
            count(&mut self.zeros, &place);
        }
        if object.first("part").is_some() {
            count(&mut self.parts, &place);
        }
        let mut annotation = draft::annotation(category, place);
        annotation.bounds = Some(bounds);
        let rest = object.children.into_iter().filter(|one| !["name", "bndbox"].contains(&&*one.name));
        annotation.attributes = attributes(rest.collect());
        Some(annotation)
    }

    fn corners(&mut self, bndbox: &Element, place: &Place) -> Option<[f64; 4]> {
        let place = place.at_line(bndbox.line);
        let missing: Vec<_> = CORNERS.into_iter().filter(|name| bndbox.first(name).is_none()).collect();
        if !missing.is_empty() {
            let found =
                format!("expected `xmin`, `ymin`, `xmax` and `ymax`, found no {}", missing.join(", "));
            self.draft.find(Rule::MissingField, &place, found);
            return None;
        }
        let mut corners = [0.0; 4];
        for (name, corner) in CORNERS.into_iter().zip(&mut corners) {
            if bndbox.all(name).nth(1).is_some() {
                self.twice(name, &place);
                return None;
            }
            match number(bndbox.first(name).map(Element::text).unwrap_or_default()) {
                Ok(read) => *corner = read,
                Err((rule, found)) => {
                    self.draft.find(rule, &place, format!("in `{name}`: {found}"));
                    return None;
                }
            }
        }
        Some(corners)
    }

    fn twice(&mut self, name: &str, place: &Place) {
        self.draft.find(Rule::DuplicateKey, place, format!("expected one `{name}`, found more"));
    }

    fn finish(mut self) -> Dataset {
        self.add_unlabelled();
        if self.zeros.0 > 0 {
            let found = format!(
                "expected corners counted from 1, found a 0 in {} boxes; the first is here",
                self.zeros.0
            );
            self.draft.find(Rule::VocZeroBased, &self.zeros.1, found);
        }
        if self.parts.0 > 0 {
            let found =
                format!("the parts of {} objects are kept as attributes; the first is here", self.parts.0);
            self.draft.find(Rule::MetadataLost, &self.parts.1, found);
        }
        let masks: Vec<&str> =
            self.folder.files().map(|(path, _)| path).filter(|path| is_mask(path)).collect();
        if let Some(first) = masks.first() {
            let found = format!("{} masks of segmentation are not read; the first is here", masks.len());
            self.draft.find(Rule::MetadataLost, &Place::file(*first), found);
        }
        if self.listed {
            return self.draft.finish(None);
        }
        draft::numbered(self.draft.finish(Some(draft::by_name)))
    }

    /// Images that a split lists, or that stand where images stand, and about which there is no file.
    fn add_unlabelled(&mut self) {
        let places: BTreeSet<String> = self.taken.iter().map(|file| paths::parent(file).to_owned()).collect();
        let is_place = |path: &str| {
            let parent = paths::parent(path);
            places.contains(parent) || paths::file_name(parent) == "JPEGImages"
        };
        let there = self.folder.files().map(|(path, _)| path);
        let there = there
            .filter(|path| paths::is_image(path) && is_place(path))
            .map(|path| (path.to_owned(), Place::file(path)));
        let listed = self.splits.of.iter().map(|(file, (_, place))| (file.clone(), place.clone()));
        let unlabelled: BTreeMap<String, Place> =
            listed.chain(there).filter(|(file, _)| !self.taken.contains(file)).collect();
        for (file, place) in unlabelled {
            self.image(Image { file, place, ..Image::default() }, Vec::new());
        }
    }
}

fn count(counted: &mut (u64, Place), place: &Place) {
    if counted.0 == 0 {
        counted.1 = place.clone();
    }
    counted.0 += 1;
}

fn is_mask(path: &str) -> bool {
    let folder = paths::file_name(paths::parent(path));
    paths::is_image(path) && (folder == "SegmentationClass" || folder == "SegmentationObject")
}

/// A count of pixels, which some tools write as `640.0`.
fn whole(text: &str) -> Result<u32, (Rule, String)> {
    let read = number(text)?;
    if read < 0.0 {
        return Err((Rule::NegativeSize, format!("expected a count of pixels, found {read}")));
    }
    if read.fract() != 0.0 || read > f64::from(u32::MAX) {
        return Err((Rule::BadType, format!("expected a count of pixels, found {text:?}")));
    }
    Ok(read as u32)
}

/// The box from the first column and row to the last, both covered.
fn bounds([xmin, ymin, xmax, ymax]: [f64; 4]) -> Bounds {
    let (x, y) = (xmin - 1.0, ymin - 1.0);
    Bounds { x, y, width: xmax - x, height: ymax - y }
}

/// Elements as attributes: text as it stands, 0 and 1 of the known ones as numbers, elements within as a map, and several of
/// one name as a list.
fn attributes(elements: Vec<Element>) -> Attributes {
    let Value::Object(map) = children(&elements) else { return Attributes::new() };
    map.into_iter().map(|(name, value)| (name.clone(), flag(&name, value))).collect()
}

fn flag(name: &str, value: Value) -> Value {
    let whole = |value: &Value| value.as_str().and_then(|text| text.parse::<u32>().ok());
    if FLAGS.contains(&name) { whole(&value).map_or(value, Value::from) } else { value }
}

fn children(elements: &[Element]) -> Value {
    let mut map = Map::new();
    for element in elements {
        let value = value(element);
        match map.get_mut(&*element.name) {
            None => {
                map.insert(element.name.to_string(), value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(map)
}

fn value(element: &Element) -> Value {
    if element.children.is_empty() && element.attributes.is_empty() {
        return Value::from(element.text());
    }
    let mut value = children(&element.children);
    for (name, text) in &element.attributes {
        value[format!("@{name}")] = Value::from(&**text);
    }
    if !element.text().is_empty() {
        value["#text"] = Value::from(element.text());
    }
    value
}

/// Writes an XML file for each labelled image, `ImageSets/Main` where there are splits, and `labelmap.txt`.
pub(crate) fn write(dataset: &Dataset, out: &Path) -> Result<Vec<Loss>, WriteError> {
    let mut output = Output::create(out)?;
    let mut of_image: Vec<Vec<&Annotation>> = vec![Vec::new(); dataset.images.len()];
    for annotation in &dataset.annotations {
        match of_image.get_mut(annotation.image.0 as usize) {
            Some(list) => list.push(annotation),
            None => output.lose("annotations of no image", 1),
        }
    }
    let mut splits: BTreeMap<&str, String> = BTreeMap::new();
    for (image, annotations) in dataset.images.iter().zip(of_image) {
        output.lose("licences of images", usize::from(image.licence.is_some()));
        output.lose("classes of whole images", image.classes.len());
        let Some(file) = paths::inside("", &image.file).filter(|file| !file.is_empty()) else {
            output.lose("images whose path leads out of the folder", 1);
            continue;
        };
        if image.labelled || !annotations.is_empty() {
            let folder = paths::renamed(paths::parent(&file), paths::IMAGE_FOLDERS, "Annotations");
            let folder = folder.as_deref().unwrap_or(paths::parent(&file));
            let path = paths::join(folder, &format!("{}.xml", paths::stem(&file)));
            if output.has(&path) {
                output.lose("images whose annotation file would be another's", 1);
                continue;
            }
            let text = annotation_text(dataset, image, &file, &annotations, &mut output);
            output.put(path, &text)?;
        }
        if let Some(split) = &image.split {
            let id = file
                .strip_prefix("JPEGImages/")
                .map_or(&*file, |rest| rest.rsplit_once('.').map_or(rest, |(id, _)| id));
            if id.contains(char::is_whitespace)
                || paths::inside("", split).as_deref() != Some(split)
                || split.contains('/')
            {
                output.lose("splits whose name, or whose image's name, a list cannot say", 1);
            } else {
                let list = splits.entry(split).or_default();
                list.push_str(id);
                list.push('\n');
            }
        }
    }
    for (split, list) in splits {
        output.put(format!("ImageSets/Main/{split}.txt"), &list)?;
    }
    let mut labelmap = "# label:color_rgb:parts:actions\n".to_owned();
    for (index, category) in (0..).zip(&dataset.categories) {
        let name = &category.name;
        output.lose("names of classes with blanks around them or line ends", usize::from(!can_list(name)));
        output.lose("ids of categories", usize::from(category.id != index));
        output.lose("supercategories", usize::from(category.supercategory.is_some()));
        output.lose("skeletons", usize::from(category.skeleton.is_some()));
        output.lose("attributes of categories", category.attributes.len());
        labelmap += &format!("{}:::\n", name.replace(['\n', '\r'], " "));
    }
    output.lose("licences", dataset.info.licences.len());
    output.lose("attributes of the dataset", dataset.info.attributes.len());
    output.put("labelmap.txt".to_owned(), &labelmap)?;
    Ok(output.losses())
}

/// Whether a class's name comes back from a line of `labelmap.txt` and from an element.
fn can_list(name: &str) -> bool {
    xml::can_say(name) && !name.is_empty() && !name.starts_with('#') && !name.contains(['\n', '\r'])
}

fn annotation_text(
    dataset: &Dataset,
    image: &Image,
    file: &str,
    annotations: &[&Annotation],
    output: &mut Output,
) -> String {
    let mut text = "<annotation>\n".to_owned();
    leaf(&mut text, 1, "filename", paths::file_name(file));
    if image.width.is_some() || image.height.is_some() || image.attributes.contains_key("depth") {
        text += "  <size>\n";
        for (side, pixels) in [("width", image.width), ("height", image.height)] {
            if let Some(pixels) = pixels {
                leaf(&mut text, 2, side, &pixels.to_string());
            }
        }
        if let Some(depth) = image.attributes.get("depth") {
            element(&mut text, 2, "depth", depth, output);
        }
        text += "  </size>\n";
    }
    for (name, value) in image.attributes.iter().filter(|(name, _)| *name != "depth") {
        if ["filename", "size", "object"].contains(&name.as_str()) {
            output.lose("attributes under words of VOC's", 1);
        } else {
            element(&mut text, 1, name, value, output);
        }
    }
    for annotation in annotations {
        object(&mut text, dataset, annotation, output);
    }
    text += "</annotation>\n";
    text
}

fn object(text: &mut String, dataset: &Dataset, annotation: &Annotation, output: &mut Output) {
    let Some(Category { name, .. }) = dataset.categories.get(annotation.category.0 as usize) else {
        return output.lose("annotations of no class", 1);
    };
    let Some(bounds) = annotation.bounds else {
        return output.lose("annotations without a box", 1);
    };
    *text += "  <object>\n";
    leaf(text, 2, "name", name);
    for (name, value) in &annotation.attributes {
        if ["name", "bndbox"].contains(&name.as_str()) {
            output.lose("attributes under words of VOC's", 1);
        } else {
            element(text, 2, name, value, output);
        }
    }
    *text += "    <bndbox>\n";
    let mut rounded = false;
    let sides = [("x", bounds.x, bounds.width), ("y", bounds.y, bounds.height)];
    let mut corner = |name: &str, estimate: f64, right: &dyn Fn(f64) -> bool| {
        let said = briefest(estimate, right).unwrap_or_else(|near| {
            rounded = true;
            near
        });
        leaf(text, 3, name, &said);
    };
    for (axis, low, _) in sides {
        corner(&format!("{axis}min"), low + 1.0, &|one| one - 1.0 == low);
    }
    for (axis, low, length) in sides {
        corner(&format!("{axis}max"), low + length, &|one| one - low == length);
    }
    *text += "    </bndbox>\n  </object>\n";
    output.lose("annotations that are off by rounding", usize::from(rounded));
    output.lose("outlines and masks", usize::from(annotation.segmentation.is_some()));
    output.lose("oriented boxes", usize::from(annotation.oriented.is_some()));
    output.lose("keypoints", annotation.keypoints.len());
    output.lose("areas", usize::from(annotation.area.is_some()));
    output.lose("marks of crowds", usize::from(annotation.crowd));
    output.lose("scores", usize::from(annotation.score.is_some()));
}

fn leaf(text: &mut String, depth: usize, name: &str, said: &str) {
    let said = xml::escaped(said);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:1$}<{name}>{said}</{name}>", "", 2 * depth);
}

/// An attribute as [`attributes`] reads it again; what it would not read the same is counted.
fn element(text: &mut String, depth: usize, name: &str, value: &Value, output: &mut Output) {
    let is_name = |name: &str| {
        let mut letters = name.chars();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | '.'))
    };
    if !is_name(name) {
        return output.lose("attributes whose name XML cannot say", 1);
    }
    match value {
        Value::String(said) => {
            output.lose(
                "texts with blanks around them or control characters",
                usize::from(!xml::can_say(said)),
            );
            leaf(text, depth, name, said);
        }
        Value::Array(list) => {
            output.lose(
                "lists of fewer than two, or of lists",
                usize::from(list.len() < 2 || list.iter().any(Value::is_array)),
            );
            for one in list {
                element(text, depth, name, one, output);
            }
        }
        Value::Object(map) => {
            let (mut attributes, mut said) = (String::new(), "");
            for (name, value) in map {
                match (name.strip_prefix('@'), value) {
                    (Some(name), Value::String(value)) if is_name(name) && xml::can_say(value) => {
                        attributes += &format!(" {name}=\"{}\"", xml::escaped(value));
                    }
                    (Some(_), _) => output.lose("attributes whose name XML cannot say", 1),
                    (None, Value::String(value)) if name == "#text" => said = value,
                    _ => {}
                }
            }
            let _ = writeln!(text, "{:1$}<{name}{attributes}>{2}", "", 2 * depth, xml::escaped(said));
            output.lose("maps of nothing", usize::from(map.is_empty()));
            for (name, value) in map.iter().filter(|(name, _)| !name.starts_with(['@', '#'])) {
                element(text, depth + 1, name, value, output);
            }
            let _ = writeln!(text, "{:1$}</{name}>", "", 2 * depth);
        }
        Value::Number(said) => {
            let kept = FLAGS.contains(&name) && said.as_u64().is_some_and(|said| u32::try_from(said).is_ok());
            output.lose("numbers, now texts", usize::from(!kept));
            leaf(text, depth, name, &said.to_string());
        }
        Value::Bool(_) | Value::Null => {
            output.lose("truth values and nothings, now texts", 1);
            leaf(text, depth, name, &if value.is_null() { String::new() } else { value.to_string() });
        }
    }
}
