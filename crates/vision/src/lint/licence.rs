//! Whether a licence is named: in a file, in the annotations, or by whoever asks.

use crate::{Dataset, Findings, Folder, Place, Rule};

/// Names, without ending and in lower case, of files that are a licence.
const LICENCES: &[&str] = &["license", "licence", "copying", "unlicense"];
/// How much of a README is read for a word on the licence.
const README_BYTES: u64 = 1 << 20;

/// Finds [`Rule::MissingLicence`] unless a licence is `given`, stands in the annotations, or is named by a file at the root:
/// `LICENSE` and its like, or a README that speaks of one.
pub fn check(folder: &Folder, dataset: &Dataset, given: Option<&str>, findings: &mut Findings) {
    let says = |text: &str| !text.trim().is_empty();
    let in_annotations = dataset
        .info
        .licences
        .iter()
        .any(|licence| says(&licence.name) || licence.url.as_deref().is_some_and(says));
    let in_attributes = dataset
        .info
        .attributes
        .iter()
        .any(|(name, value)| speaks_of_licence(name) && value.as_str().is_some_and(says));
    if given.is_some_and(says) || in_annotations || in_attributes || in_files(folder) {
        return;
    }
    let found =
        "expected a licence, found no LICENSE file, no word of it in a README, and none in the annotations";
    findings.add(Rule::MissingLicence, &Place::default(), found);
}

fn in_files(folder: &Folder) -> bool {
    let at_root = folder.files().filter(|(path, bytes)| !path.contains('/') && *bytes > 0);
    at_root.map(|(path, _)| (path, path.to_ascii_lowercase())).any(|(path, name)| {
        let stem = name.split(['.', '-', '_']).next().unwrap_or_default();
        if stem == "readme" {
            let text = folder.read(path, README_BYTES).unwrap_or_default();
            return speaks_of_licence(&String::from_utf8_lossy(&text));
        }
        LICENCES.contains(&stem)
    })
}

fn speaks_of_licence(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("licence") || text.contains("license")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Licence, Limits};

    fn missing(files: &[(&str, &str)], dataset: &Dataset, given: Option<&str>) -> u64 {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut findings = Findings::new(10);
        let folder = Folder::list(place.path(), &Limits::default(), &mut findings).unwrap();
        check(&folder, dataset, given, &mut findings);
        findings.count(Rule::MissingLicence)
    }

    #[test]
    fn a_licence_is_found_wherever_it_is_named() {
        let silent = Dataset::default();
        assert_eq!(missing(&[], &silent, None), 1);
        assert_eq!(
            missing(&[("LICENSE", ""), ("images/LICENSE", "x"), ("README.md", "cats")], &silent, Some(" ")),
            1
        );
        for name in ["LICENSE", "licence.txt", "COPYING", "LICENSE-MIT"] {
            assert_eq!(missing(&[(name, "text")], &silent, None), 0, "{name}");
        }
        assert_eq!(missing(&[("README.dataset.txt", "License: CC BY 4.0")], &silent, None), 0);
        assert_eq!(missing(&[], &silent, Some("CC0-1.0")), 0);
        let mut named = Dataset::default();
        named.info.licences.push(Licence { name: " ".to_owned(), ..Licence::default() });
        assert_eq!(missing(&[], &named, None), 1);
        named
            .info
            .licences
            .push(Licence { url: Some("https://example.org/by".to_owned()), ..Licence::default() });
        assert_eq!(missing(&[], &named, None), 0);
    }
}
