//! The name that an annotation file has for an image, the file it means, and the split both belong to.

use super::paths::{join, parent};
use crate::Folder;

/// Words that name a split, without a year behind them.
const SPLITS: [&str; 11] = [
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "test",
    "testing",
    "dev",
    "eval",
    "trainval",
    "minival",
];

/// A name with `/` between its parts and nothing else special; none when it leads out of where it stands, is absolute, or
/// empty.
pub(crate) fn relative(name: &str) -> Option<String> {
    let name = name.replace('\\', "/");
    let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    if name.starts_with('/') || drive || name.contains('\0') {
        return None;
    }
    let parts: Vec<_> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// As [`relative`] for a name that may climb from `dir` as long as it stays within the folder.
pub(crate) fn climbing(dir: &str, name: &str) -> Option<String> {
    let name = name.replace('\\', "/");
    let mut parts: Vec<_> = dir.split('/').filter(|part| !part.is_empty()).collect();
    let mut rest = name.as_str();
    loop {
        rest = match rest.split_once('/') {
            Some((".", after)) => after,
            Some(("..", after)) => {
                parts.pop()?;
                after
            }
            _ => break,
        };
    }
    let rest = relative(rest)?;
    parts.push(&rest);
    Some(parts.join("/"))
}

/// Whether a word names a split: `train`, `val2017`, `Test`.
pub(crate) fn is_split(word: &str) -> bool {
    let word = word.trim_end_matches(|one: char| one.is_ascii_digit()).to_ascii_lowercase();
    SPLITS.contains(&word.as_str())
}

/// The nearest folder above a file that names a split.
pub(crate) fn split_of_folder(path: &str) -> Option<&str> {
    parent(path).rsplit('/').find(|part| is_split(part))
}

/// Where an image may be that is named in an annotation file of the folder `dir`, the likeliest first.
pub(crate) fn places<'a>(
    dir: &'a str,
    split: Option<&'a str>,
    name: &'a str,
) -> impl Iterator<Item = String> + 'a {
    let own = dir.rsplit('/').next().unwrap_or(dir);
    let apart = ["annotations", "labels", "json", "jsons"].iter().any(|word| own.eq_ignore_ascii_case(word));
    let base = if apart { parent(dir) } else { dir };
    let of_split = split.into_iter().flat_map(move |split| {
        [join(base, &format!("images/{split}/{name}")), join(base, &format!("{split}/{name}"))]
    });
    let others = [join(dir, name), join(base, &format!("images/{name}")), join(base, name), name.to_owned()];
    of_split.chain(others)
}

/// The file that a name means; the name itself where the folder has no such file.
pub(crate) fn resolve(folder: &Folder, dir: &str, split: Option<&str>, name: &str) -> String {
    places(dir, split, name).find(|place| folder.bytes(place).is_some()).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_where_it_is_looked_up() {
        assert_eq!(relative("./a\\b//c.jpg").as_deref(), Some("a/b/c.jpg"));
        for out in ["", ".", "/etc/passwd", "../a", "a/../../b", "C:\\a.jpg", "\\\\host\\a", "a\0"] {
            assert_eq!(relative(out), None, "{out}");
        }
        assert_eq!(climbing("labels/x", "../../images/a.jpg").as_deref(), Some("images/a.jpg"));
        assert_eq!(climbing("labels", "a.jpg").as_deref(), Some("labels/a.jpg"));
        for out in ["../../a.jpg", "../b/../../a.jpg", "/a.jpg", ".."] {
            assert_eq!(climbing("labels", out), None, "{out}");
        }
    }

    #[test]
    fn a_split_is_a_word_with_or_without_a_year() {
        assert!(is_split("train2017") && is_split("Val") && is_split("test"));
        assert!(!is_split("images") && !is_split("2017") && !is_split("trains"));
        assert_eq!(split_of_folder("a/valid/b/_annotations.coco.json"), Some("valid"));
        assert_eq!(split_of_folder("train.json"), None);
    }
}
