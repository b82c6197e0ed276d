//! LabelMe: a JSON file for each image, with shapes drawn by hand.
//!
//! Polygons become outlines (those of one label and `group_id` are one object), rectangles boxes, points keypoints. What is
//! drawn as a circle becomes its box; a line has no area and stays an attribute, `points`, as all have that the model has no
//! word for, beside `shape_type`. The picture that may be embedded (`imageData`) is not looked at.

use std::collections::HashMap;

use crate::{
    Annotation, Bounds, CategoryIndex, Dataset, Findings, Folder, Image, ImageIndex, Keypoint, Limits, Place,
    Quadrangle, Rule, Segmentation, Visibility,
};

use super::{
    image_file,
    json::{self, Node, Outline, Record, Source, Spot, Told},
    labels::Labels,
    paths, shape,
};

/// Endings of the image beside a file that does not name it, the likeliest first.
const IMAGE_ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "JPG", "bmp", "webp"];

/// A file of the folder by which it is LabelMe's.
pub(crate) fn recognises(folder: &Folder, limits: &Limits) -> Option<String> {
    json::first(folder, limits, is_labelme)
}

fn is_labelme(outline: &Outline) -> bool {
    matches!(outline, Outline::Object(keys) if keys.iter().any(|(key, first)| key == "shapes" && *first == b'['))
}

/// Reads every LabelMe file of the folder.
pub(crate) fn read(folder: &Folder, limits: &Limits, findings: &mut Findings) -> Dataset {
    let mut reader = Reader {
        folder,
        limits,
        dataset: Dataset::default(),
        labels: Labels::default(),
        images: HashMap::new(),
    };
    let mut any = false;
    for path in json::files(folder) {
        match Outline::of(folder, path, limits) {
            Some(outline) if is_labelme(&outline) => {}
            // It says what is wrong with it when it is read.
            Some(Outline::Broken) | None => {}
            Some(_) => continue,
        }
        any = true;
        let Some(content) = json::content(folder, path, limits.annotation_file_bytes, findings) else {
            continue;
        };
        let Some(source) = Source::open(path, &content, findings) else { continue };
        match source.whole() {
            // What was told of needs nothing more.
            Ok(raw) => drop(
                Record::read(&raw, Spot::File, &source, limits, findings)
                    .and_then(|record| reader.file(path, record)),
            ),
            Err(broken) => source.tell(&broken, findings),
        }
    }
    if !any {
        findings.add(Rule::ParseError, &Place::default(), "expected a JSON file with `shapes`, found none");
    }
    reader.dataset
}

struct Reader<'r> {
    folder: &'r Folder,
    limits: &'r Limits,
    dataset: Dataset,
    labels: Labels,
    images: HashMap<String, ImageIndex>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, mut record: Record<'_, '_>) -> Result<(), Told> {
        record.take("imageData");
        let file = self.image_file(path, &mut record)?;
        let (width, height) = (record.pixels("imageWidth")?, record.pixels("imageHeight")?);
        if self.images.contains_key(&file) {
            return Err(record.tell(
                "imagePath",
                Rule::DuplicateImageId,
                format!("expected one file for each image, found another for {file}"),
            ));
        }
        let shapes = match record.must("shapes")? {
            Node::List(shapes) => shapes,
            other => {
                return Err(record.tell(
                    "shapes",
                    Rule::BadType,
                    format!("expected a list of shapes, found {other}"),
                ));
            }
        };
        let index = ImageIndex(u32::try_from(self.dataset.images.len()).map_err(|_| Told)?);
        self.images.insert(file.clone(), index);
        let place = record.place();
        let mut groups = HashMap::new();
        for (row, node) in (0..).zip(shapes) {
            if self.dataset.annotations.len() >= self.limits.annotations {
                let found = format!("expected at most {} shapes in all", self.limits.annotations);
                record.tell("shapes", Rule::ResourceLimit, found);
                break;
            }
            let shape = record.row(Spot::Row("shapes", row), node);
            // What was told of needs nothing more.
            drop(shape.and_then(|shape| self.shape(shape, index, &mut groups)));
        }
        self.dataset.images.push(Image {
            id: u64::from(index.0) + 1,
            file,
            width,
            height,
            split: image_file::split_of_folder(path).map(str::to_owned),
            licence: None,
            labelled: true,
            classes: Vec::new(),
            place,
            attributes: record.rest(),
        });
        Ok(())
    }

    /// The image that a file is about. It may be named with `..` as long as it is within the dataset's folder.
    fn image_file(&self, path: &str, record: &mut Record<'_, '_>) -> Result<String, Told> {
        let dir = paths::parent(path);
        if !record.has("imagePath") {
            let stem = paths::join(dir, paths::stem(path));
            let beside = IMAGE_ENDINGS.iter().map(|ending| format!("{stem}.{ending}"));
            let there = beside.into_iter().find(|name| self.folder.bytes(name).is_some());
            return there.ok_or_else(|| {
                record.tell("imagePath", Rule::MissingField, "expected the name of the image, found none")
            });
        }
        let name = record.text("imagePath")?;
        let Some(named) = image_file::climbing(dir, &name) else {
            return Err(record.tell(
                "imagePath",
                Rule::PathTraversal,
                format!("expected a file within the folder, found {name}"),
            ));
        };
        if self.folder.bytes(&named).is_some() {
            return Ok(named);
        }
        let alone = named.rsplit('/').next().unwrap_or(&named);
        let found = image_file::places(dir, image_file::split_of_folder(path), alone)
            .find(|place| self.folder.bytes(place).is_some());
        Ok(found.unwrap_or(named))
    }

    fn shape(
        &mut self,
        mut record: Record<'_, '_>,
        image: ImageIndex,
        groups: &mut HashMap<(CategoryIndex, String), usize>,
    ) -> Result<(), Told> {
        let label = record.text("label")?;
        let kind = if record.has("shape_type") { record.text("shape_type")? } else { "polygon".to_owned() };
        let points = points(&mut record, self.limits)?;
        let drawn = Drawn::read(&mut record, &kind, &points)?;
        let category = self.category(&label, &mut record)?;
        if let (Some(group), Some(Segmentation::Polygons(outline))) =
            (record.take("group_id"), &drawn.segmentation)
        {
            record.put_back("group_id", group.clone());
            let key = (category, group.into_value().to_string());
            if let Some(known) = groups.get(&key).and_then(|at| self.dataset.annotations.get_mut(*at)) {
                join(known, outline);
                return Ok(());
            }
            groups.insert(key, self.dataset.annotations.len());
        }
        let place = record.place();
        if drawn.inexact {
            record.take("mask");
            let found = format!(
                "expected an outline, a box or a point, found `{kind}`; its points are kept as an attribute"
            );
            record.tell("shape_type", Rule::MetadataLost, found);
        }
        let mut attributes = record.rest();
        attributes
            .retain(|key, value| key != "flags" || value.as_object().is_none_or(|flags| !flags.is_empty()));
        if drawn.inexact {
            attributes.insert("points".to_owned(), serde_json::json!(points));
            attributes.insert("shape_type".to_owned(), kind.into());
        }
        self.dataset.annotations.push(Annotation {
            id: self.dataset.annotations.len() as u64 + 1,
            image,
            category,
            bounds: drawn.bounds,
            segmentation: drawn.segmentation,
            oriented: drawn.oriented,
            keypoints: drawn.keypoints,
            area: None,
            crowd: false,
            score: None,
            place,
            attributes,
        });
        Ok(())
    }

    /// The class of a label.
    fn category(&mut self, label: &str, record: &mut Record<'_, '_>) -> Result<CategoryIndex, Told> {
        let most = self.limits.categories;
        self.labels.class(label, &mut self.dataset.categories, most).ok_or_else(|| {
            record.tell(
                "label",
                Rule::ResourceLimit,
                format!("expected at most {most} labels, found {label}"),
            )
        })
    }
}

/// Adds an outline to an object of the same group.
fn join(known: &mut Annotation, outline: &[Vec<[f64; 2]>]) {
    if let Some(Segmentation::Polygons(polygons)) = &mut known.segmentation {
        polygons.extend_from_slice(outline);
        known.bounds = shape::extent(polygons.iter().flatten());
    }
}

fn points(record: &mut Record<'_, '_>, limits: &Limits) -> Result<Vec<[f64; 2]>, Told> {
    let rows = match record.must("points")? {
        Node::List(rows) => rows,
        other => {
            return Err(record.tell(
                "points",
                Rule::BadType,
                format!("expected a list of points, found {other}"),
            ));
        }
    };
    if rows.len() > limits.vertices {
        let found = format!("expected at most {} points, found {}", limits.vertices, rows.len());
        return Err(record.tell("points", Rule::ResourceLimit, found));
    }
    rows.iter().map(|row| record.tuple("points", row)).collect()
}

/// What a shape is in the model.
#[derive(Default)]
struct Drawn {
    bounds: Option<Bounds>,
    segmentation: Option<Segmentation>,
    oriented: Option<Box<Quadrangle>>,
    keypoints: Vec<Keypoint>,
    /// Whether the model has no word for it, so that its points are kept beside it.
    inexact: bool,
}

impl Drawn {
    fn read(record: &mut Record<'_, '_>, kind: &str, points: &[[f64; 2]]) -> Result<Self, Told> {
        let bounds = shape::extent(points.iter());
        match (kind, points) {
            ("polygon", [_, _, _, ..]) => {
                let segmentation = Some(Segmentation::Polygons(vec![points.to_vec()]));
                Ok(Self { bounds, segmentation, ..Self::default() })
            }
            ("polygon", _) => {
                let found = format!("expected three vertices or more, found {}", points.len());
                Err(record.tell("points", Rule::BadPolygon, found))
            }
            ("rectangle", [_, _] | [_, _, _, _]) => Ok(Self { bounds, ..Self::default() }),
            ("oriented_rectangle", &[a, b, c, d]) => {
                Ok(Self { bounds, oriented: Some(Box::new(Quadrangle([a, b, c, d]))), ..Self::default() })
            }
            ("point" | "points", [_, ..]) => {
                let keypoint = |[x, y]: &[f64; 2]| Keypoint { x: *x, y: *y, visibility: Visibility::Visible };
                Ok(Self { keypoints: points.iter().map(keypoint).collect(), ..Self::default() })
            }
            ("circle", [[x, y], edge]) => {
                let radius = (edge[0] - x).hypot(edge[1] - y);
                let corners = [[x - radius, y - radius], [x + radius, y + radius]];
                Ok(Self { bounds: shape::extent(corners.iter()), inexact: true, ..Self::default() })
            }
            ("mask", [_, _]) => Ok(Self { bounds, inexact: true, ..Self::default() }),
            ("line" | "linestrip", [_, _, ..]) => Ok(Self { inexact: true, ..Self::default() }),
            (
                "rectangle" | "oriented_rectangle" | "point" | "points" | "circle" | "mask" | "line"
                | "linestrip",
                _,
            ) => {
                let found = format!("expected as many points as a {kind} has, found {}", points.len());
                Err(record.tell("points", Rule::BadArity, found))
            }
            _ => Err(record.tell(
                "shape_type",
                Rule::BadType,
                format!("expected a kind of shape, found {kind}"),
            )),
        }
    }
}
