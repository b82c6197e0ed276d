//! A folder for each class, `train/cat/a.jpg` or `cat/a.jpg`: classes of whole images, without a file that says more.

use std::collections::BTreeSet;

use super::{
    draft::{self, Draft},
    paths,
};
use crate::{Dataset, Findings, Folder, Image, Limits, Place};

/// Extensions, in lower case, of files that may stand beside images without saying anything of them.
const BESIDE: &[&str] = &["md", "rst", "html", "pdf", "txt", ""];

/// The first image in a class's folder, where nothing else could say what is in the images.
pub(crate) fn recognises(folder: &Folder, _: &Limits) -> Option<String> {
    let mut first = None;
    for (path, _) in folder.files() {
        if paths::is_image(path) {
            if first.is_none() && class_of(path).is_some_and(|class| !is_no_class(class)) {
                first = Some(path.to_owned());
            }
        } else {
            // A text beside the images could be their labels.
            let extension = paths::extension(path).to_ascii_lowercase();
            let at_root = !path.contains('/') && BESIDE.contains(&extension.as_str());
            if !at_root {
                return None;
            }
        }
    }
    first
}

/// The folder of an image that names its class: the outermost, but for one that names a split.
fn class_of(path: &str) -> Option<&str> {
    let mut folders = paths::parent(path).split('/').filter(|part| !part.is_empty());
    let first = folders.next()?;
    if paths::split_word(first).is_some() { folders.next() } else { Some(first) }
}

/// Whether a folder is one that only gathers images.
fn is_no_class(name: &str) -> bool {
    paths::IMAGE_FOLDERS.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// Reads a folder.
pub(crate) fn read(folder: &Folder, limits: &Limits, findings: &mut Findings) -> Dataset {
    let mut draft = Draft::new(limits, findings);
    let files = folder.files().map(|(path, _)| path).filter(|path| paths::is_image(path));
    let images: Vec<&str> = files.collect();
    // Names first, so that classes are in their order.
    let classes: BTreeSet<&str> =
        images.iter().filter_map(|path| class_of(path)).filter(|name| !is_no_class(name)).collect();
    for class in classes {
        draft.category(class, &Place::default());
    }
    for path in images {
        let class = class_of(path).and_then(|name| draft.listed(name));
        let first = path.split('/').next().filter(|first| *first != path);
        let image = Image {
            file: path.to_owned(),
            split: first.and_then(paths::split_word).map(str::to_owned),
            labelled: class.is_some(),
            classes: class.into_iter().collect(),
            place: Place::file(path),
            ..Image::default()
        };
        draft.image(image, Vec::new());
    }
    draft::numbered(draft.finish(Some(draft::by_name)))
}
