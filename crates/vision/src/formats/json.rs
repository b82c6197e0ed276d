//! JSON from strangers: strict, bounded, a record at a time.
//!
//! Owns: the one way from a file's bytes to values. A file is split into members and rows by a scan that looks at brackets
//! and quotes only ([`Members`], [`Rows`]); each row is then parsed by itself (serde_json), so that a bad one is a finding
//! and not the end of the file, and no more than one is held as a tree.
//!
//! Refuses what readers of JSON disagree about: text that is not UTF-8, keys that stand twice (the first counts), numbers
//! that are not finite, values nested deeper than [`Limits::nesting`]. A byte order mark is let by.

mod node;
mod record;
mod scan;

use std::cell::Cell;

use crate::{Findings, Folder, Limits, Place, ReadError, Rule};

use scan::{Scanner, Series, key};

pub(crate) use node::Node;
pub(crate) use record::{Record, Spot, Told};
pub(crate) use scan::{Broken, Members, Raw, Rows};

/// So much of a file is looked at to tell which format it is.
const HEAD_BYTES: u64 = 64 << 10;

/// Keys by which a file is told from those of other formats.
const TELLING_KEYS: [&str; 6] = ["images", "annotations", "categories", "annotation", "shapes", "imagePath"];

/// So many files are looked at before the formats of a folder are judged.
const FILES_LOOKED_AT: usize = 1_000;
/// A file's text, and where in it something stands.
pub(crate) struct Source<'a> {
    text: &'a str,
    place: Place,
    /// An offset and the line it is in: lines are counted on from here.
    counted: Cell<(usize, u32)>,
}

impl<'a> Source<'a> {
    /// Takes in a file's content; none, and a finding, when it is not UTF-8.
    pub(crate) fn open(file: &str, bytes: &'a [u8], findings: &mut Findings) -> Option<Self> {
        let place = Place::file(file);
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(Self { text, place, counted: Cell::new((0, 1)) }),
            Err(error) => {
                let valid = error.valid_up_to();
                let line = 1 + bytes[..valid].iter().filter(|byte| **byte == b'\n').count();
                let found =
                    format!("expected UTF-8, found the byte 0x{:02x} at offset {valid}", bytes[valid]);
                findings.add(
                    Rule::BadEncoding,
                    &place.at_line(u32::try_from(line).unwrap_or(u32::MAX)),
                    found,
                );
                None
            }
        }
    }

    /// The file.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The line of an offset. Cheap when offsets rise.
    pub(crate) fn at(&self, offset: usize) -> Place {
        let (from, line) = match self.counted.get() {
            (from, line) if from <= offset => (from, line),
            _ => (0, 1),
        };
        let to = offset.min(self.text.len());
        let more = self.text.as_bytes()[from.min(to)..to].iter().filter(|byte| **byte == b'\n').count();
        let line = line.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        self.counted.set((to, line));
        self.place.at_line(line)
    }

    /// The members of the object that the file is.
    pub(crate) fn members(&self) -> Members<'a> {
        Members(Series::new(self.text, 0, 0, true))
    }

    /// The rows of the list that the file is.
    pub(crate) fn rows(&self) -> Rows<'a> {
        Rows(Series::new(self.text, 0, 0, true))
    }

    /// Tells where the file is not JSON.
    pub(crate) fn tell(&self, broken: &Broken, findings: &mut Findings) {
        findings.add(Rule::ParseError, &self.at(broken.offset), broken.found());
    }

    /// The whole file as one value, which stands on its own; none, and a finding, when it is not JSON.
    pub(crate) fn whole(&self) -> Result<Raw<'a>, Broken> {
        let mut scanner = Scanner { bytes: self.text.as_bytes(), at: 0 };
        scanner.space();
        let (start, depth) = (scanner.at, scanner.value()?);
        let end = scanner.at;
        scanner.end()?;
        Ok(Raw { text: &self.text[start..end], offset: start, depth })
    }
}

/// What a file seems to be, by its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outline {
    /// An object with these keys and the first bytes of their values.
    Object(Vec<(String, u8)>),
    /// A list whose first row is such an object.
    Rows(Vec<(String, u8)>),
    /// JSON of another shape.
    Other,
    /// No JSON.
    Broken,
}

impl Outline {
    /// Looks at a file of the folder; none where it cannot be read.
    pub(crate) fn of(folder: &Folder, path: &str, limits: &Limits) -> Option<Self> {
        let bytes = folder.bytes(path)?;
        let head = Self::read(&folder.head(path, HEAD_BYTES).ok()?, bytes <= HEAD_BYTES);
        if bytes <= HEAD_BYTES || head.tells() {
            return Some(head);
        }
        Some(Self::read(
            &folder.head(path, limits.annotation_file_bytes).ok()?,
            bytes <= limits.annotation_file_bytes,
        ))
    }

    fn tells(&self) -> bool {
        match self {
            Outline::Object(keys) | Outline::Rows(keys) => {
                keys.iter().any(|(key, _)| TELLING_KEYS.contains(&key.as_str()))
            }
            Outline::Other | Outline::Broken => false,
        }
    }

    fn read(head: &[u8], whole: bool) -> Self {
        let text = String::from_utf8_lossy(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head));
        let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
        scanner.space();
        match text.as_bytes().get(scanner.at) {
            Some(b'{') => Self::keys(&text, scanner.at, whole).map_or(Outline::Broken, Outline::Object),
            Some(b'[') => {
                scanner.at += 1;
                scanner.space();
                let (row, list) = (scanner.at, whole.then(|| Rows(Series::new(&text, 0, 0, true))));
                if list.is_some_and(|mut rows| rows.any(|row| row.is_err())) {
                    return Outline::Broken;
                }
                match text.as_bytes().get(row) {
                    Some(b'{') => Self::keys(&text, row, false).map_or(Outline::Other, Outline::Rows),
                    _ => Outline::Other,
                }
            }
            Some(_) if whole && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() => {
                Outline::Broken
            }
            Some(_) => Outline::Other,
            None => Outline::Broken,
        }
    }

    /// The keys of an object, that of the value the head ends in too; none where the object breaks before any.
    fn keys(text: &str, at: usize, whole: bool) -> Option<Vec<(String, u8)>> {
        let mut series = Series::new(text, at, 0, whole);
        let mut keys = Vec::new();
        loop {
            match series.advance(b'{', b'}', ["`{`", "`,` or `}`"]) {
                Ok(true) => {}
                Ok(false) => return Some(keys),
                Err(_) => break,
            }
            let Ok(key) = key(&mut series) else { break };
            if let Some(first) = series.scanner.bytes.get(series.scanner.at) {
                keys.push((key.into_owned(), *first));
            }
            if series.value().is_err() {
                break;
            }
        }
        (!keys.is_empty()).then_some(keys)
    }
}

/// Reads a file of the folder whole; none, and a finding, where that cannot be.
pub(crate) fn content(folder: &Folder, path: &str, limit: u64, findings: &mut Findings) -> Option<Vec<u8>> {
    let error = match folder.read(path, limit) {
        Ok(bytes) => return Some(bytes),
        Err(error) => error,
    };
    let rule = match error {
        ReadError::TooLarge { .. } => Rule::ResourceLimit,
        ReadError::Io(_) => Rule::ParseError,
    };
    findings.add(rule, &Place::file(path), error.to_string());
    None
}

/// The files of the folder that say they are JSON, in the order of their paths.
pub(crate) fn files(folder: &Folder) -> impl Iterator<Item = &str> {
    folder
        .files()
        .map(|(path, _)| path)
        .filter(|path| path.len() > 5 && path.as_bytes()[path.len() - 5..].eq_ignore_ascii_case(b".json"))
}

/// The first file of the folder with an outline that is asked for.
pub(crate) fn first(folder: &Folder, limits: &Limits, wanted: impl Fn(&Outline) -> bool) -> Option<String> {
    let looked_at = files(folder).take(FILES_LOOKED_AT);
    looked_at
        .map(str::to_owned)
        .find(|path| Outline::of(folder, path, limits).is_some_and(|outline| wanted(&outline)))
}

/// Whether a file that says it is JSON is none.
pub(crate) fn any_broken(folder: &Folder, limits: &Limits) -> bool {
    first(folder, limits, |outline| *outline == Outline::Broken).is_some()
}
