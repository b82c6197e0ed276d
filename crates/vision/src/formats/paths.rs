//! Names of files as annotations give them: kept within the folder, and found by the conventions of where images stand.

use std::collections::HashMap;

use crate::Folder;

/// Extensions, in lower case, of files that are taken for images.
const IMAGE_EXTENSIONS: &[&str] =
    &["jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff", "avif", "heic", "jp2"];

/// The folders, in lower case, that hold images and nothing else by convention.
pub(crate) const IMAGE_FOLDERS: &[&str] = &["images", "image", "jpegimages", "imgs", "img"];

/// Whether a path's extension is that of an image.
pub(crate) fn is_image(path: &str) -> bool {
    let extension = extension(path);
    IMAGE_EXTENSIONS.iter().any(|one| one.eq_ignore_ascii_case(extension))
}

/// The folder of a path; empty for one in the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The last part of a path without its extension.
pub(crate) fn stem(path: &str) -> &str {
    let name = file_name(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// What stands behind the last dot of a file's name; empty where there is none.
pub(crate) fn extension(path: &str) -> &str {
    file_name(path).rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// A name within a folder of that path.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// What a stranger wrote as a path, relative to the folder `base`, as a path of the folder: without `.`, `..` and doubled
/// slashes. None where it is absolute or leads out. Windows' backslashes part names too, since a reader there would part
/// them.
pub(crate) fn inside(base: &str, given: &str) -> Option<String> {
    let drive = given.as_bytes().get(1) == Some(&b':') && given.as_bytes()[0].is_ascii_alphabetic();
    if drive || given.starts_with(['/', '\\']) || given.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in given.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The split that a folder of this name holds.
pub(crate) fn split_word(name: &str) -> Option<&'static str> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(name));
    match () {
        () if is(&["train", "training", "trainset", "obj_train_data"]) => Some("train"),
        () if is(&["val", "valid", "validation", "valset", "dev", "obj_valid_data"]) => Some("val"),
        () if is(&["test", "testing", "testset", "obj_test_data"]) => Some("test"),
        () => None,
    }
}

/// The split that the folders of a path say, the outermost first.
pub(crate) fn split_of(path: &str) -> Option<&'static str> {
    parent(path).split('/').find_map(split_word)
}

/// The folders of a path in which the innermost of those named (in lower case) is called `to`; none where there is none.
pub(crate) fn renamed(folder: &str, named: &[&str], to: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').collect();
    let place = parts.iter().rposition(|part| named.iter().any(|one| one.eq_ignore_ascii_case(part)))?;
    parts[place] = to;
    Some(parts.join("/"))
}

/// The images of a folder, to be found by what annotations say of them.
#[derive(Debug)]
pub(crate) struct Images<'a> {
    /// By folder in lower case, and stem.
    by_stem: HashMap<(String, &'a str), Vec<&'a str>>,
    by_name: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Images<'a> {
    /// All files of the folder with an image's extension.
    pub(crate) fn of(folder: &'a Folder) -> Self {
        let mut images = Self { by_stem: HashMap::new(), by_name: HashMap::new() };
        for (path, _) in folder.files().filter(|(path, _)| is_image(path)) {
            let stems = (parent(path).to_lowercase(), stem(path));
            images.by_stem.entry(stems).or_default().push(path);
            images.by_name.entry(file_name(path)).or_default().push(path);
        }
        images
    }

    /// The first image of this stem in the folder, whose name is compared without case.
    pub(crate) fn with_stem(&self, folder: &str, stem: &str) -> Option<&'a str> {
        self.by_stem.get(&(folder.to_lowercase(), stem)).and_then(|found| found.first()).copied()
    }

    /// The image of this name, if there is one alone in the whole folder.
    pub(crate) fn only_one_named(&self, name: &str) -> Option<&'a str> {
        match self.by_name.get(name).map(Vec::as_slice) {
            Some([only]) => Some(only),
            _ => None,
        }
    }

    /// The image that the annotation file `of` names `name` (which leads nowhere outside): beside it; in the folder of
    /// images that goes with the folder of annotations (`annotations` names it in lower case); in the root or in `images`
    /// there; or anywhere, if there is but one of that name. A name without extension is a stem.
    pub(crate) fn named(
        &self,
        folder: &Folder,
        of: &str,
        name: &str,
        annotations: &[&str],
    ) -> Option<String> {
        let beside = parent(of);
        let mut folders = vec![beside.to_owned()];
        for images in ["JPEGImages", "images", "Images", "image", "imgs", "img"] {
            folders.extend(renamed(beside, annotations, images));
        }
        folders.extend(["", "images", "JPEGImages"].map(str::to_owned));
        for one in &folders {
            let path = join(one, name);
            if is_image(&path) && folder.bytes(&path).is_some() {
                return Some(path);
            }
            if !is_image(name)
                && let Some(found) = self.with_stem(parent(&path), file_name(name))
            {
                return Some(found.to_owned());
            }
        }
        self.only_one_named(file_name(name)).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_out_of_the_folder_is_refused() {
        assert_eq!(inside("a/b", "../c.jpg").as_deref(), Some("a/c.jpg"));
        assert_eq!(inside("", "./x//y\\z.jpg").as_deref(), Some("x/y/z.jpg"));
        for out in ["../a", "a/../../b", "/etc/passwd", "C:\\a", "..\\a", "\\\\host\\a", "a\0"] {
            assert_eq!(inside("", out), None, "{out:?}");
        }
    }

    #[test]
    fn folders_name_splits() {
        assert_eq!(split_of("images/train/a.jpg"), Some("train"));
        assert_eq!(split_of("valid/images/a.jpg"), Some("val"));
        assert_eq!(split_of("images/train.jpg"), None);
        assert_eq!(renamed("a/Images/b", IMAGE_FOLDERS, "labels").as_deref(), Some("a/labels/b"));
    }
}
