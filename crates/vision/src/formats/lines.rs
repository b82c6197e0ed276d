//! Text files of lines: UTF-8, with or without byte order mark, ended by LF or CRLF.

use crate::{Findings, Folder, Limits, Place, ReadError, Rule};

/// A file's text; none, and a finding, where it cannot be read, is too large or is not UTF-8.
pub(crate) fn text(folder: &Folder, path: &str, limits: &Limits, findings: &mut Findings) -> Option<String> {
    let content = content(folder, path, limits.annotation_file_bytes, findings)?;
    match String::from_utf8(content) {
        Ok(mut text) => {
            if text.starts_with('\u{feff}') {
                text.drain(..'\u{feff}'.len_utf8());
            }
            Some(text)
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[at];
            let place = Place::file(path).at_line(line_of(error.as_bytes(), at));
            findings.add(Rule::BadEncoding, &place, format!("expected UTF-8, found the byte 0x{byte:02x}"));
            None
        }
    }
}

/// A file's bytes; none, and a finding, where it cannot be read or is too large.
pub(crate) fn content(folder: &Folder, path: &str, limit: u64, findings: &mut Findings) -> Option<Vec<u8>> {
    match folder.read(path, limit) {
        Ok(content) => Some(content),
        Err(error) => {
            let rule = match error {
                ReadError::TooLarge { .. } => Rule::ResourceLimit,
                ReadError::Io(_) => Rule::ParseError,
            };
            findings.add(rule, &Place::file(path), error.to_string());
            None
        }
    }
}

/// The line, from 1, of a byte.
pub(crate) fn line_of(content: &[u8], at: usize) -> u32 {
    let before = content[..at].iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

/// Lines that say something, trimmed, with their numbers from 1.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1..).zip(text.lines()).map(|(number, line)| (number, line.trim())).filter(|(_, line)| !line.is_empty())
}
