//! DOTA: a text file for each image in `labelTxt`, a row for each object: four corners in pixels, the class, and whether it is
//! difficult. Two lines before may say the source of the image and how many metres a pixel is.
//!
//! Classes are in the order of their names. The format says nothing of the image's size.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    draft::{self, Draft},
    lines::{lines, text},
    numbers::number,
    paths,
};
use crate::{Annotation, Dataset, Findings, Folder, Image, Limits, Place, Quadrangle, Rule};

/// How many files are looked into to tell the format.
const LOOKED_INTO: usize = 64;

/// Numbers of a row for its corners.
const CORNERS: usize = 8;

/// A text file in a `labelTxt` folder, or one with a row of eight numbers and a name.
pub(crate) fn recognises(folder: &Folder, _: &Limits) -> Option<String> {
    let by_folder = texts(folder).find(|path| label_folder(path).is_some());
    let by_rows = || texts(folder).take(LOOKED_INTO).find(|path| is_label(folder, path));
    by_folder.or_else(by_rows).map(str::to_owned)
}

/// Whether a file begins as DOTA's do.
fn looks_like_rows(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    let mut rows = head.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(first) = rows.next() else { return false };
    let words: Vec<&str> = first.split_ascii_whitespace().collect();
    first.starts_with("imagesource:")
        || (words.len() > CORNERS
            && words[..CORNERS].iter().all(|word| word.parse::<f64>().is_ok())
            && words[CORNERS].parse::<f64>().is_err())
}

/// A label, and the folder that its image is in.
struct Label<'a> {
    path: &'a str,
    images: String,
}

/// The folder, among those of a path, that holds DOTA's labels: `labelTxt`, `labelTxt-v1.0`, `labelTxt_hbb`.
fn label_folder(path: &str) -> Option<&str> {
    paths::parent(path).split('/').rfind(|part| part.to_lowercase().starts_with("labeltxt"))
}

fn texts(folder: &Folder) -> impl Iterator<Item = &str> {
    folder.files().map(|(path, _)| path).filter(|path| paths::extension(path).eq_ignore_ascii_case("txt"))
}

fn is_label(folder: &Folder, path: &str) -> bool {
    label_folder(path).is_some() || looks_like_rows(&folder.head(path, 1024).unwrap_or_default())
}

fn labels(folder: &Folder) -> impl Iterator<Item = Label<'_>> {
    texts(folder).filter(|path| is_label(folder, path)).map(|path| {
        let parent = paths::parent(path);
        let name = label_folder(path).map(str::to_lowercase);
        let named = [name.as_deref().unwrap_or("labels"), "annotations"];
        let images = paths::renamed(parent, &named, "images");
        Label { path, images: images.unwrap_or_else(|| parent.to_owned()) }
    })
}

/// Reads a folder.
pub(crate) fn read(folder: &Folder, limits: &Limits, findings: &mut Findings) -> Dataset {
    let mut draft = Draft::new(limits, findings);
    let images = paths::Images::of(folder);
    let mut taken = BTreeSet::new();
    let mut places = BTreeSet::new();
    for label in labels(folder) {
        let stem = paths::stem(label.path);
        let found = images
            .with_stem(&label.images, stem)
            .or_else(|| images.with_stem(paths::parent(label.path), stem));
        let file = found.map_or_else(|| paths::join(&label.images, &format!("{stem}.png")), str::to_owned);
        places.insert(paths::parent(&file).to_lowercase());
        if !taken.insert(file.clone()) {
            let found = format!("expected one file about each image, found another about {file}");
            draft.find(Rule::DuplicateImageId, &Place::file(label.path), found);
            continue;
        }
        read_label(folder, label.path, file, &mut draft);
    }
    let unlabelled = folder.files().map(|(path, _)| path).filter(|path| {
        paths::is_image(path)
            && !taken.contains(*path)
            && places.contains(&paths::parent(path).to_lowercase())
    });
    for path in unlabelled {
        let split = paths::split_of(path).map(str::to_owned);
        let image = Image { file: path.to_owned(), split, place: Place::file(path), ..Image::default() };
        draft.image(image, Vec::new());
    }
    draft::numbered(draft.finish(Some(draft::by_name)))
}

fn read_label(folder: &Folder, path: &str, file: String, draft: &mut Draft<'_>) {
    let split = paths::split_of(&file).map(str::to_owned);
    let place = Place::file(path);
    let mut image = Image { file, split, labelled: true, place: place.clone(), ..Image::default() };
    let mut annotations = Vec::new();
    if let Some(text) = text(folder, path, draft.limits, draft.findings) {
        for (line, row) in lines(&text) {
            let place = place.at_line(line);
            let header = row.split_once(':').filter(|(name, _)| ["imagesource", "gsd"].contains(name));
            if let Some((name, value)) = header {
                let value = value.trim();
                let value = if name == "gsd" {
                    number(value).map_or(Value::from(value), Value::from)
                } else {
                    value.into()
                };
                image.attributes.insert(name.to_owned(), value);
                continue;
            }
            match object(row, &place, draft) {
                Ok(annotation) => annotations.extend(annotation),
                Err((rule, found)) => draft.find(rule, &place, found),
            }
            if draft.is_full(annotations.len()) {
                break;
            }
        }
    }
    draft.image(image, annotations);
}

fn object(row: &str, place: &Place, draft: &mut Draft<'_>) -> Result<Option<Annotation>, (Rule, String)> {
    if row.contains([',', ';']) {
        return Err((Rule::ParseError, format!("expected words with blanks between them, found {row:?}")));
    }
    let words: Vec<&str> = row.split_ascii_whitespace().take(CORNERS + 3).collect();
    let Some(class) = words.get(CORNERS).filter(|_| words.len() <= CORNERS + 2) else {
        let found = format!("expected eight numbers, a class and 0 or 1, found {row:?}");
        return Err((Rule::BadArity, found));
    };
    let mut corners = [[0.0; 2]; 4];
    for (word, kept) in words.iter().zip(corners.as_flattened_mut()) {
        *kept = number(word)?;
    }
    let difficult = words.get(CORNERS + 1).map(|word| {
        word.parse::<u8>()
            .map_err(|_| (Rule::BadType, format!("expected whether it is difficult, 0 or 1, found {word:?}")))
    });
    let difficult = difficult.transpose()?;
    let Some(category) = draft.category(class, place) else { return Ok(None) };
    let mut annotation = draft::annotation(category, place.clone());
    annotation.oriented = Some(Box::new(Quadrangle(corners)));
    if let Some(difficult) = difficult {
        annotation.attributes.insert("difficult".to_owned(), Value::from(difficult));
    }
    Ok(Some(annotation))
}
