//! Apple's Create ML: a list of images with boxes, whose `x` and `y` are their centres, in pixels.

use std::collections::HashMap;

use crate::{
    Annotation, Bounds, CategoryIndex, Dataset, Findings, Folder, Image, ImageIndex, Limits, Place, Rule,
};

use super::{
    image_file,
    json::{self, Node, Outline, Record, Source, Spot, Told},
    labels::Labels,
    paths,
};

/// The words for the image of a row and for its boxes, of the documentation and of older exporters.
const IMAGE: [&str; 2] = ["image", "imagefilename"];
const BOXES: [&str; 2] = ["annotations", "annotation"];

/// A file of the folder by which it is Create ML's.
pub(crate) fn recognises(folder: &Folder, limits: &Limits) -> Option<String> {
    json::first(folder, limits, is_createml)
}

fn is_createml(outline: &Outline) -> bool {
    let Outline::Rows(keys) = outline else { return false };
    let has = |words: [&str; 2]| keys.iter().any(|(key, _)| words.contains(&key.as_str()));
    has(IMAGE) && has(BOXES)
}

/// Reads every Create ML file of the folder.
pub(crate) fn read(folder: &Folder, limits: &Limits, findings: &mut Findings) -> Dataset {
    let mut reader = Reader { folder, limits, dataset: Dataset::default(), labels: Labels::default() };
    let mut any = false;
    for path in json::files(folder) {
        match Outline::of(folder, path, limits) {
            Some(outline) if is_createml(&outline) => {}
            // It says what is wrong with it when it is read.
            Some(Outline::Broken) | None => {}
            Some(_) => continue,
        }
        any = true;
        reader.file(path, findings);
    }
    if !any {
        let found = "expected a JSON list of objects with `image` and `annotations`, found none";
        findings.add(Rule::ParseError, &Place::default(), found);
    }
    reader.dataset
}

struct Reader<'r> {
    folder: &'r Folder,
    limits: &'r Limits,
    dataset: Dataset,
    labels: Labels,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, findings: &mut Findings) {
        let Some(content) = json::content(self.folder, path, self.limits.annotation_file_bytes, findings)
        else {
            return;
        };
        let Some(source) = Source::open(path, &content, findings) else { return };
        let mut files = HashMap::new();
        for (number, row) in (0..).zip(source.rows()) {
            match row {
                Ok(raw) => {
                    let record = Record::read(&raw, Spot::Row("", number), &source, self.limits, findings);
                    // What was told of needs nothing more.
                    drop(record.and_then(|record| self.image(path, number, record, &mut files)));
                }
                Err(broken) => source.tell(&broken, findings),
            }
        }
    }

    fn image(
        &mut self,
        path: &str,
        number: u32,
        mut record: Record<'_, '_>,
        files: &mut HashMap<String, u32>,
    ) -> Result<(), Told> {
        if self.dataset.images.len() >= self.limits.files {
            let found = format!("expected at most {} images", self.limits.files);
            return Err(record.tell(IMAGE[0], Rule::ResourceLimit, found));
        }
        let word = IMAGE.into_iter().find(|word| record.has(word)).unwrap_or(IMAGE[0]);
        let name = record.file_name(word)?;
        if let Some(other) = files.insert(name.clone(), number) {
            return Err(record.tell(
                word,
                Rule::DuplicateImageId,
                format!("expected one row for each image, found {name} in row {other} too"),
            ));
        }
        let split = image_file::split_of_folder(path);
        let index = ImageIndex(u32::try_from(self.dataset.images.len()).map_err(|_| Told)?);
        let word = BOXES.into_iter().find(|word| record.has(word)).unwrap_or(BOXES[0]);
        let boxes = match record.must(word)? {
            Node::List(boxes) => boxes,
            other => {
                return Err(record.tell(
                    word,
                    Rule::BadType,
                    format!("expected a list of boxes, found {other}"),
                ));
            }
        };
        let place = record.place();
        for (row, node) in boxes.into_iter().enumerate() {
            if self.dataset.annotations.len() >= self.limits.annotations {
                let found = format!("expected at most {} boxes in all", self.limits.annotations);
                record.tell(word, Rule::ResourceLimit, found);
                break;
            }
            let spot = Spot::Path(format!("/{number}/{word}/{row}").into());
            let one = record.row(spot, node);
            // What was told of needs nothing more.
            drop(one.and_then(|one| self.annotation(one, index)));
        }
        self.dataset.images.push(Image {
            id: u64::from(index.0) + 1,
            file: image_file::resolve(self.folder, paths::parent(path), split, &name),
            split: split.map(str::to_owned),
            labelled: true,
            place,
            attributes: record.rest(),
            ..Image::default()
        });
        Ok(())
    }

    fn annotation(&mut self, mut record: Record<'_, '_>, image: ImageIndex) -> Result<(), Told> {
        let label = record.text("label")?;
        let coordinates = record.must("coordinates")?;
        let bounds = Self::bounds(&mut record, coordinates)?;
        let category = self.category(&label, &mut record)?;
        self.dataset.annotations.push(Annotation {
            id: self.dataset.annotations.len() as u64 + 1,
            image,
            category,
            bounds: Some(bounds),
            segmentation: None,
            oriented: None,
            keypoints: Vec::new(),
            area: None,
            crowd: false,
            score: None,
            place: record.place(),
            attributes: record.rest(),
        });
        Ok(())
    }

    /// The box around a centre.
    fn bounds<'a>(record: &mut Record<'a, '_>, coordinates: Node<'a>) -> Result<Bounds, Told> {
        let mut record = record.within("coordinates", coordinates)?;
        let mut number = |name| {
            let number = record.number(name)?;
            number.ok_or_else(|| {
                record.tell(name, Rule::MissingField, format!("expected `{name}`, found none"))
            })
        };
        let [x, y, width, height] = [number("x")?, number("y")?, number("width")?, number("height")?];
        if width < 0.0 || height < 0.0 {
            let name = if width < 0.0 { "width" } else { "height" };
            return Err(record.tell(
                name,
                Rule::NegativeSize,
                format!("expected width and height, found {width} and {height}"),
            ));
        }
        let bounds = Bounds { x: x - width / 2.0, y: y - height / 2.0, width, height };
        if !bounds.x.is_finite() || !bounds.y.is_finite() {
            let found = format!("expected a box of finite corners, found its centre at {x}, {y}");
            return Err(record.tell("x", Rule::NotFinite, found));
        }
        Ok(bounds)
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
