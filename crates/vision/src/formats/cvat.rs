//! CVAT 1.1: one XML file for all images of a task, or for the frames of a video.
//!
//! Boxes (a turned one is an oriented box), polygons, masks, skeletons and tags are read into the model. Polylines, loose
//! points, ellipses and cuboids have no word there: they come as annotations whose `shape` and numbers are attributes, and
//! are told. A video's frames are images named `frame_000000`, as CVAT itself exports them; what says whether a
//! box was drawn or interpolated stays an attribute.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{
    draft::{self, Draft},
    lines::content,
    numbers::number,
    paths,
    xml::{Document, Element, Fault},
};
use crate::{
    Annotation, Attributes, Bounds, Category, CategoryIndex, Dataset, Findings, Folder, Image, Keypoint,
    Limits, Place, Pointer, Quadrangle, Rle, Rule, Segmentation, Skeleton, Visibility,
};

/// The most runs of all masks together: a mask of few characters can have many.
const RUNS: usize = 50_000_000;

/// How much of a file is looked at to tell whether it is ours.
const HEAD_BYTES: u64 = 4096;

/// How many files are looked into to tell the format.
const LOOKED_INTO: usize = 64;

/// Attributes of a shape's element that say what the model says, and are not kept beside it.
const SAID: &[&str] = &[
    "label", "xtl", "ytl", "xbr", "ybr", "points", "rle", "left", "top", "width", "height", "frame",
    "outside", "name",
];

/// An XML file whose root is `annotations`, as CVAT's is.
pub(crate) fn recognises(folder: &Folder, _: &Limits) -> Option<String> {
    xml_files(folder)
        .take(LOOKED_INTO)
        .find(|path| is_cvat(&folder.head(path, HEAD_BYTES).unwrap_or_default()))
        .map(str::to_owned)
}

fn is_cvat(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    head.contains("<annotations")
        && ["<image ", "<track ", "<meta>", "<version>"].iter().any(|element| head.contains(element))
}

fn xml_files(folder: &Folder) -> impl Iterator<Item = &str> {
    folder.files().map(|(path, _)| path).filter(|path| paths::extension(path).eq_ignore_ascii_case("xml"))
}

/// Reads a folder.
pub(crate) fn read(folder: &Folder, limits: &Limits, findings: &mut Findings) -> Dataset {
    let mut reader = Reader {
        folder,
        images: paths::Images::of(folder),
        draft: Draft::new(limits, findings),
        listed: false,
        video_size: None,
        frames: BTreeMap::new(),
        in_frames: 0,
        names: HashMap::new(),
        runs: 0,
        kept: (0, Place::default()),
    };
    for path in xml_files(folder).filter(|path| is_cvat(&folder.head(path, HEAD_BYTES).unwrap_or_default())) {
        let place = Place::file(path);
        let Some(content) = content(folder, path, limits.annotation_file_bytes, reader.draft.findings) else {
            continue;
        };
        if let Err(fault) = reader.file(&content, &place) {
            reader.draft.find(fault.rule, &place.at_line(fault.line), fault.found);
        }
        reader.finish_video(&place);
    }
    if reader.kept.0 > 0 {
        let found = format!("{} shapes are kept as attributes alone; the first is here", reader.kept.0);
        reader.draft.find(Rule::MetadataLost, &reader.kept.1, found);
    }
    let listed = reader.listed;
    if listed {
        reader.draft.finish(None)
    } else {
        draft::numbered(reader.draft.finish(Some(draft::by_name)))
    }
}

struct Reader<'a> {
    folder: &'a Folder,
    images: paths::Images<'a>,
    draft: Draft<'a>,
    /// Whether classes are listed, so that another is none.
    listed: bool,
    /// The size of a video's frames.
    video_size: Option<(u32, u32)>,
    /// What is in each frame of a video.
    frames: BTreeMap<u32, Vec<Annotation>>,
    in_frames: usize,
    /// Names of images, and where they are said.
    names: HashMap<String, Place>,
    runs: usize,
    /// How many shapes the model has no word for, and where the first is.
    kept: (u64, Place),
}

/// What a shape is drawn on.
#[derive(Clone, Copy)]
struct Canvas {
    width: Option<u32>,
    height: Option<u32>,
}

impl Reader<'_> {
    fn file(&mut self, content: &[u8], place: &Place) -> Result<(), Fault> {
        let mut document = Document::open(content, self.draft.limits)?;
        if &*document.root.name != "annotations" {
            return Ok(());
        }
        let (mut image, mut track) = (0, 0);
        while !self.draft.is_full(self.in_frames)
            && let Some(child) = document.next()?
        {
            let place = place.at_line(child.line);
            match &*child.name {
                "meta" => self.meta(&child, &place),
                "image" => {
                    self.image(&child, place.at(Pointer::Row("image", image)));
                    image += 1;
                }
                "track" => {
                    self.track(&child, place.at(Pointer::Row("track", track)));
                    track += 1;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Classes and the video's size, wherever beneath `meta` they are: in a task, a job or a project.
    fn meta(&mut self, meta: &Element, place: &Place) {
        let mut open = vec![meta];
        while let Some(element) = open.pop() {
            if &*element.name == "labels" {
                self.listed = true;
                for label in element.all("label").filter(|label| label.first("parent").is_none()) {
                    self.label(label, element, place);
                }
            } else if &*element.name == "original_size" {
                let side = |name: &str| element.first(name).and_then(|side| side.text().parse::<u32>().ok());
                self.video_size = side("width").zip(side("height"));
            } else {
                open.extend(element.children.iter().rev());
            }
        }
    }

    fn label(&mut self, label: &Element, labels: &Element, place: &Place) {
        let text = |name: &str| label.first(name).map(Element::text).unwrap_or_default();
        let name = text("name");
        let place = place.at_line(label.line);
        if name.is_empty() {
            self.draft.find(Rule::MissingField, &place, "expected a `name` of the label, found none");
            return;
        }
        if self.draft.listed(name).is_some() {
            return;
        }
        let points =
            labels.all("label").filter(|one| one.first("parent").is_some_and(|parent| parent.text() == name));
        let points: Vec<String> =
            points.filter_map(|one| one.first("name")).map(|one| one.text().to_owned()).collect();
        let skeleton = (text("type") == "skeleton" && points.len() <= self.draft.limits.keypoints)
            .then(|| Skeleton { keypoints: points, ..Skeleton::default() });
        let mut attributes = Attributes::new();
        if !text("color").is_empty() {
            attributes.insert("color".to_owned(), Value::from(text("color")));
        }
        let id = self.draft.categories().len() as u64;
        let category = Category { id, name: name.to_owned(), skeleton, attributes, ..Category::default() };
        self.draft.list(category, &place);
    }

    fn class(&mut self, name: Option<&str>, place: &Place) -> Option<CategoryIndex> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            self.draft.find(Rule::MissingField, place, "expected a `label`, found none");
            return None;
        };
        match self.draft.listed(name) {
            None if self.listed => {
                let found = format!("expected a label that `meta` lists, found {name:?}");
                self.draft.find(Rule::UnknownCategory, place, found);
                None
            }
            _ => self.draft.category(name, place),
        }
    }

    fn image(&mut self, element: &Element, place: Place) {
        let Some(name) = element.attribute("name") else {
            self.draft.find(Rule::MissingField, &place, "expected a `name`, found none");
            return;
        };
        let Some(inside) = paths::inside("", name).filter(|inside| !inside.is_empty()) else {
            let found = format!("expected a file within the folder, found {name:?}");
            self.draft.find(Rule::PathTraversal, &place, found);
            return;
        };
        let mut sides = [None; 2];
        for (side, kept) in ["width", "height"].into_iter().zip(&mut sides) {
            match element.attribute(side).map(str::parse) {
                Some(Ok(pixels)) => *kept = Some(pixels),
                Some(Err(_)) => {
                    let found = format!("expected a count of pixels, found {:?}", element.attribute(side));
                    self.draft.find(Rule::BadType, &place, found);
                }
                None => {}
            }
        }
        let canvas = Canvas { width: sides[0], height: sides[1] };
        let subset = element.attribute("subset");
        let file = self.file_of(&inside, subset, &place.file);
        if self.names.insert(file.clone(), place.clone()).is_some() {
            let found = format!("expected each image once, found {name:?} again");
            self.draft.find(Rule::DuplicateImageId, &place, found);
            return;
        }
        let split = subset.filter(|subset| !subset.is_empty() && *subset != "default");
        let split = split.map(|split| paths::split_word(split).unwrap_or(split).to_owned());
        let split = split.or_else(|| paths::split_of(&file).map(str::to_owned));
        let said = ["name", "width", "height", "subset"];
        let rest = element.attributes.iter().filter(|(name, _)| !said.contains(&&**name));
        let mut image = Image {
            file,
            width: canvas.width,
            height: canvas.height,
            split,
            labelled: true,
            place: place.clone(),
            attributes: rest.map(|(name, value)| (name.to_string(), Value::from(&**value))).collect(),
            ..Image::default()
        };
        let mut annotations = Vec::new();
        for shape in &element.children {
            if self.draft.is_full(annotations.len()) {
                break;
            }
            let place = place.at_line(shape.line);
            if &*shape.name == "tag" {
                image.classes.extend(self.class(shape.attribute("label"), &place));
            } else {
                annotations.extend(self.shape(shape, shape.attribute("label"), canvas, place));
            }
        }
        self.draft.image(image, annotations);
    }

    /// Where an image is: as it is named, or as exports place it (`images`, and there by subset).
    fn file_of(&self, name: &str, subset: Option<&str>, of: &str) -> String {
        let root = paths::parent(of);
        let images = paths::join(root, "images");
        let by_subset = subset.and_then(|subset| paths::inside(&images, subset));
        let places = [Some(root.to_owned()), by_subset, Some(images)];
        let mut there = places.into_iter().flatten().map(|place| paths::join(&place, name));
        let found = there.find(|path| self.folder.bytes(path).is_some());
        let found = found.or_else(|| self.images.named(self.folder, of, name, &["annotations"]));
        found.unwrap_or_else(|| paths::join(root, name))
    }

    fn track(&mut self, track: &Element, place: Place) {
        for shape in &track.children {
            let place = place.at_line(shape.line);
            if shape.attribute("outside") == Some("1") {
                continue;
            }
            let Some(Ok(frame)) = shape.attribute("frame").map(str::parse::<u32>) else {
                let found = format!("expected a `frame`, found {:?}", shape.attribute("frame"));
                self.draft.find(Rule::BadType, &place, found);
                continue;
            };
            let size = self.video_size;
            let canvas = Canvas { width: size.map(|size| size.0), height: size.map(|size| size.1) };
            let label = shape.attribute("label").or(track.attribute("label"));
            if let Some(mut annotation) = self.shape(shape, label, canvas, place) {
                if let Some(id) = track.attribute("id") {
                    annotation.attributes.insert("track_id".to_owned(), Value::from(id));
                }
                self.frames.entry(frame).or_default().push(annotation);
                self.in_frames += 1;
                if self.draft.is_full(self.in_frames) {
                    return;
                }
            }
        }
    }

    /// Makes the frames of a video images.
    fn finish_video(&mut self, place: &Place) {
        let size = self.video_size.take();
        self.in_frames = 0;
        for (frame, annotations) in std::mem::take(&mut self.frames) {
            let name = format!("frame_{frame:06}");
            let found = self.images.named(self.folder, &place.file, &name, &["annotations"]);
            let mut attributes = Attributes::new();
            attributes.insert("frame".to_owned(), Value::from(frame));
            let image = Image {
                file: found
                    .unwrap_or_else(|| paths::join(paths::parent(&place.file), &format!("{name}.png"))),
                width: size.map(|size| size.0),
                height: size.map(|size| size.1),
                labelled: true,
                place: place.clone(),
                attributes,
                ..Image::default()
            };
            self.draft.image(image, annotations);
        }
    }

    /// A shape; none where it is at fault, which is told.
    fn shape(
        &mut self,
        shape: &Element,
        label: Option<&str>,
        canvas: Canvas,
        place: Place,
    ) -> Option<Annotation> {
        let category = self.class(label, &place)?;
        let mut annotation = draft::annotation(category, place);
        for (name, value) in shape.attributes.iter().filter(|(name, _)| !SAID.contains(&&**name)) {
            annotation.attributes.insert(name.to_string(), Value::from(&**value));
        }
        for given in shape.all("attribute") {
            if let Some(name) = given.attribute("name") {
                annotation.attributes.insert(name.to_owned(), Value::from(given.text()));
            }
        }
        match self.geometry(shape, canvas, &mut annotation) {
            Ok(()) => Some(annotation),
            Err((rule, found)) => {
                self.draft.find(rule, &annotation.place, found);
                None
            }
        }
    }

    fn geometry(
        &mut self,
        shape: &Element,
        canvas: Canvas,
        annotation: &mut Annotation,
    ) -> Result<(), (Rule, String)> {
        match &*shape.name {
            "box" => {
                let [xtl, ytl, xbr, ybr] = numbers(shape, ["xtl", "ytl", "xbr", "ybr"])?;
                let bounds = Bounds { x: xtl, y: ytl, width: xbr - xtl, height: ybr - ytl };
                if bounds.width < 0.0 || bounds.height < 0.0 {
                    let found = format!(
                        "expected a corner and one to its lower right, found ({xtl}, {ytl}) and ({xbr}, {ybr})"
                    );
                    return Err((Rule::NegativeSize, found));
                }
                match shape.attribute("rotation").map(number).transpose()? {
                    Some(degrees) if degrees != 0.0 => {
                        annotation.oriented = Some(Box::new(turned(bounds, degrees)));
                    }
                    _ => annotation.bounds = Some(bounds),
                }
            }
            "polygon" => {
                let points = points(shape, self.draft.limits)?;
                if points.len() < 3 {
                    let found = format!("expected three vertices at least, found {}", points.len());
                    return Err((Rule::BadPolygon, found));
                }
                annotation.segmentation = Some(Segmentation::Polygons(vec![points]));
            }
            "mask" => annotation.segmentation = Some(Segmentation::Rle(self.mask(shape, canvas)?)),
            "skeleton" => annotation.keypoints = self.skeleton(shape, annotation.category)?,
            kind @ ("polyline" | "points" | "ellipse" | "cuboid") => {
                if kind == "polyline" || kind == "points" {
                    let points = points(shape, self.draft.limits)?;
                    annotation.attributes.insert(
                        "points".to_owned(),
                        Value::Array(points.into_iter().map(|[x, y]| Value::from(vec![x, y])).collect()),
                    );
                }
                annotation.attributes.insert("shape".to_owned(), Value::from(kind));
                if self.kept.0 == 0 {
                    self.kept.1 = annotation.place.clone();
                }
                self.kept.0 += 1;
            }
            other => return Err((Rule::ParseError, format!("expected a shape, found <{other}>"))),
        }
        Ok(())
    }

    /// Keypoints in the order of the label's; those that are not there are absent.
    fn skeleton(
        &mut self,
        shape: &Element,
        category: CategoryIndex,
    ) -> Result<Vec<Keypoint>, (Rule, String)> {
        let limits = self.draft.limits;
        let names = self.draft.categories()[category.0 as usize]
            .skeleton
            .as_ref()
            .map(|one| one.keypoints.as_slice());
        let names = names.unwrap_or_default();
        let found = shape.all("points").count();
        if found != names.len() {
            let found = format!("expected {} points of the skeleton, found {found}", names.len());
            return Err((Rule::KeypointArity, found));
        }
        let absent = Keypoint { x: 0.0, y: 0.0, visibility: Visibility::Absent };
        let mut keypoints = vec![absent; names.len()];
        for point in shape.all("points") {
            let label = point.attribute("label").unwrap_or_default();
            let Some(index) = names.iter().position(|name| name == label) else {
                return Err((
                    Rule::KeypointArity,
                    format!("expected a point of the skeleton, found {label:?}"),
                ));
            };
            let is = |name: &str| point.attribute(name) == Some("1");
            if is("outside") {
                continue;
            }
            let [[x, y]] = points(point, limits)?[..] else {
                return Err((Rule::BadArity, "expected one point".to_owned()));
            };
            let visibility = if is("occluded") { Visibility::Hidden } else { Visibility::Visible };
            keypoints[index] = Keypoint { x, y, visibility };
        }
        Ok(keypoints)
    }

    /// A mask: runs row by row within a box, as runs column by column of the whole image.
    fn mask(&mut self, shape: &Element, canvas: Canvas) -> Result<Rle, (Rule, String)> {
        let [left, top, width, height] = numbers(shape, ["left", "top", "width", "height"])?;
        let whole =
            |one: f64| (one >= 0.0 && one.fract() == 0.0 && one <= f64::from(u32::MAX)).then_some(one as u32);
        let (Some(left), Some(top), Some(width), Some(height)) =
            (whole(left), whole(top), whole(width), whole(height))
        else {
            return Err((Rule::BadType, "expected a mask's place and size in whole pixels".to_owned()));
        };
        let (Some(columns), Some(rows)) = (canvas.width, canvas.height) else {
            return Err((Rule::MissingField, "expected the size of a mask's image, found none".to_owned()));
        };
        let fits = |low: u32, length: u32, side: u32| u64::from(low) + u64::from(length) <= u64::from(side);
        if !fits(left, width, columns) || !fits(top, height, rows) {
            let found =
                format!("expected a mask within {columns}x{rows}, found {width}x{height} at ({left}, {top})");
            return Err((Rule::RleSizeMismatch, found));
        }
        let (all, limit) = (u64::from(columns) * u64::from(rows), self.draft.limits.mask_pixels);
        if all > limit {
            return Err((
                Rule::ResourceLimit,
                format!("expected masks of at most {limit} pixels, found {all}"),
            ));
        }
        let text = shape.attribute("rle").unwrap_or_default();
        let segments = segments(text, width, height, self.draft.limits.vertices)?;
        let room = RUNS.saturating_sub(self.runs).min(self.draft.limits.vertices);
        let within = Window { left, top, columns, rows };
        let counts = columnwise(&segments, within, room)
            .ok_or_else(|| (Rule::ResourceLimit, format!("expected masks of at most {room} runs more")))?;
        self.runs += counts.len();
        Ok(Rle { height: rows, width: columns, counts, compressed: false })
    }
}

fn numbers<const N: usize>(element: &Element, names: [&str; N]) -> Result<[f64; N], (Rule, String)> {
    let mut numbers = [0.0; N];
    for (name, kept) in names.into_iter().zip(&mut numbers) {
        let text = element.attribute(name);
        let text = text.ok_or_else(|| (Rule::MissingField, format!("expected `{name}`, found none")))?;
        *kept = number(text).map_err(|(rule, found)| (rule, format!("in `{name}`: {found}")))?;
    }
    Ok(numbers)
}

/// `x,y;x,y;...`
fn points(element: &Element, limits: &Limits) -> Result<Vec<[f64; 2]>, (Rule, String)> {
    let Some(text) = element.attribute("points") else {
        return Err((Rule::MissingField, "expected `points`, found none".to_owned()));
    };
    let mut points = Vec::new();
    for point in text.split(';').filter(|point| !point.trim().is_empty()) {
        let Some((x, y)) = point.split_once(',') else {
            return Err((Rule::BadArity, format!("expected `x,y`, found {point:?}")));
        };
        if points.len() >= limits.vertices {
            return Err((Rule::ResourceLimit, format!("expected at most {} vertices", limits.vertices)));
        }
        points.push([number(x.trim())?, number(y.trim())?]);
    }
    Ok(points)
}

/// A box turned clockwise about its middle.
fn turned(bounds: Bounds, degrees: f64) -> Quadrangle {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let (x, y) = (bounds.x + bounds.width / 2.0, bounds.y + bounds.height / 2.0);
    let corner = |right: f64, below: f64| {
        let (right, below) = (right * bounds.width / 2.0, below * bounds.height / 2.0);
        [x + right * cosine - below * sine, y + right * sine + below * cosine]
    };
    Quadrangle([corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)])
}

/// A run of ones in one row of a mask: the row, and the columns from and up to.
type Segment = (u32, u32, u32);

/// The runs of ones of `zeros, ones, zeros, ...`, row by row.
fn segments(text: &str, width: u32, height: u32, limit: usize) -> Result<Vec<Segment>, (Rule, String)> {
    let all = u64::from(width) * u64::from(height);
    let (mut at, mut ones) = (0u64, false);
    let mut segments = Vec::new();
    for run in text.split(',').map(str::trim).filter(|run| !run.is_empty()) {
        let length: u64 = run
            .parse()
            .map_err(|_| (Rule::RleLength, format!("expected the length of a run, found {run:?}")))?;
        let end = at.saturating_add(length);
        if end > all {
            return Err((Rule::RleLength, format!("expected runs of {all} pixels in all, found more")));
        }
        while ones && at < end {
            let row = at / u64::from(width);
            let stop = end.min((row + 1) * u64::from(width));
            if segments.len() >= limit {
                return Err((Rule::ResourceLimit, format!("expected a mask of at most {limit} runs")));
            }
            let from = (at % u64::from(width)) as u32;
            segments.push((row as u32, from, from + (stop - at) as u32));
            at = stop;
        }
        at = end;
        ones = !ones;
    }
    if at == all {
        Ok(segments)
    } else {
        Err((Rule::RleLength, format!("expected runs of {all} pixels in all, found {at}")))
    }
}

/// Where a mask lies in its image.
#[derive(Clone, Copy)]
struct Window {
    left: u32,
    top: u32,
    columns: u32,
    rows: u32,
}

/// Runs column by column of the whole image; none where they are more than `room`. The work is that of the runs, however many
/// pixels they cover.
fn columnwise(segments: &[Segment], window: Window, room: usize) -> Option<Vec<u32>> {
    let edges = edges(segments, room)?;
    let mut counts: Vec<u32> = Vec::with_capacity(edges.len() + 1);
    let mut at = 0u64;
    // The edges of a column are the beginning and the end of ones in turn.
    for [(column, from), (_, to)] in edges.as_chunks::<2>().0 {
        let start = u64::from(window.left + column) * u64::from(window.rows) + u64::from(window.top + from);
        match counts.last_mut() {
            // Goes on from the foot of the column before.
            Some(last) if start == at => *last += to - from,
            _ => counts.extend([(start - at) as u32, to - from]),
        }
        at = start + u64::from(to - from);
    }
    let all = u64::from(window.columns) * u64::from(window.rows);
    if at < all || counts.is_empty() {
        counts.push((all - at) as u32);
    }
    Some(counts)
}

/// Where ones begin or end on the way down a column, by column and row; none where there are more than `room`.
fn edges(segments: &[Segment], room: usize) -> Option<Vec<(u32, u32)>> {
    let mut edges = Vec::new();
    // What differs between two rows lies between their ends, sorted, in turn.
    let mut differ = |above: &[Segment], below: &[Segment], row: u32| {
        let mut ends: Vec<u32> = above.iter().chain(below).flat_map(|(_, from, to)| [*from, *to]).collect();
        ends.sort_unstable();
        for [from, to] in ends.as_chunks::<2>().0 {
            if edges.len() + (to - from) as usize > room {
                return None;
            }
            edges.extend((*from..*to).map(|column| (column, row)));
        }
        Some(())
    };
    let mut above: &[Segment] = &[];
    for below in segments.chunk_by(|left, right| left.0 == right.0) {
        let row = below[0].0;
        if let Some((last, ..)) = above.first()
            && last + 1 < row
        {
            differ(above, &[], last + 1)?;
            above = &[];
        }
        differ(above, below, row)?;
        above = below;
    }
    if let Some((last, ..)) = above.first() {
        differ(above, &[], last + 1)?;
    }
    edges.sort_unstable();
    Some(edges)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs(bits: impl Iterator<Item = bool>) -> Vec<u32> {
        let (mut counts, mut last) = (vec![0], false);
        for bit in bits {
            if bit != last {
                counts.push(0);
                last = bit;
            }
            *counts.last_mut().unwrap() += 1;
        }
        counts
    }

    proptest! {
        /// Runs by row become the runs by column of the same pixels.
        #[test]
        fn a_mask_is_the_same_by_columns(
            bits in prop::collection::vec(any::<bool>(), 35),
            (left, top) in (0u32..4, 0u32..4),
            (right, below) in (0u32..3, 0u32..3),
        ) {
            let (width, height) = (7u32, 5u32);
            let text = runs(bits.iter().copied()).iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            let segments = segments(&text, width, height, 1000).unwrap();
            let window = Window { left, top, columns: left + width + right, rows: top + height + below };
            let found = columnwise(&segments, window, 1000).unwrap();
            let pixel = |x: u32, y: u32| {
                let inside = x >= left && y >= top && x < left + width && y < top + height;
                inside && bits[((y - top) * width + x - left) as usize]
            };
            let all = (0..window.columns).flat_map(|x| (0..window.rows).map(move |y| (x, y)));
            prop_assert_eq!(found, runs(all.map(|(x, y)| pixel(x, y))));
        }

        #[test]
        fn a_box_is_turned_about_its_middle(degrees in 0.0..360.0f64, width in 1.0..100.0f64, height in 1.0..100.0f64) {
            let Quadrangle(corners) = turned(Bounds { x: 5.0, y: 7.0, width, height }, degrees);
            let length = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
            prop_assert!((length(corners[0], corners[1]) - width).abs() < 1e-9);
            prop_assert!((length(corners[1], corners[2]) - height).abs() < 1e-9);
            let middle = [(corners[0][0] + corners[2][0]) / 2.0, (corners[0][1] + corners[2][1]) / 2.0];
            prop_assert!(length(middle, [5.0 + width / 2.0, 7.0 + height / 2.0]) < 1e-9);
        }
    }

    #[test]
    fn a_quarter_turn_is_clockwise() {
        let Quadrangle(corners) = turned(Bounds { x: 0.0, y: 0.0, width: 4.0, height: 2.0 }, 90.0);
        // The upper left corner goes to the upper right of the upright box.
        assert!((corners[0][0] - 3.0).abs() < 1e-9 && (corners[0][1] + 1.0).abs() < 1e-9);
    }

    #[test]
    fn runs_that_do_not_fill_a_mask_are_refused() {
        for text in ["", "1", "2,3", "1,x", "99999999999999999999"] {
            assert_eq!(segments(text, 2, 2, 10).unwrap_err().0, Rule::RleLength, "{text}");
        }
    }
}
