//! Archives in the folder, whose entries must stay within the folder they are unpacked to. Nothing is unpacked.
//!
//! Reads ZIP's central directory and TAR's headers, in pieces. A compressed TAR is looked at by whoever decompresses it.

use std::io::{self, Read, Seek, SeekFrom};

use crate::{Findings, Folder, Limits, Place, Rule};

/// What stands at the end of a ZIP: the record, and a comment of up to 64 KiB.
const ZIP_END_BYTES: u64 = 22 + 0xffff;
/// The bytes of names in all entries that are taken in at once.
const ZIP_DIRECTORY_BYTES: u64 = 256 << 20;
const TAR_BLOCK: u64 = 512;
/// A long name of a TAR entry, in a block of its own.
const TAR_NAME_BYTES: u64 = 1 << 16;

/// Finds [`Rule::ArchiveSlip`] for entries whose names or links leave the folder, [`Rule::ParseError`] for archives that
/// cannot be read, and [`Rule::ResourceLimit`] for such as have more entries than a folder may have files.
pub fn check(folder: &Folder, limits: &Limits, findings: &mut Findings) {
    for (path, bytes) in folder.files() {
        let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let read = match ending.as_deref() {
            Some("zip") => zip,
            Some("tar") => tar,
            _ => continue,
        };
        let place = Place::file(path);
        let mut entries = 0;
        let mut slip = |name: &[u8]| {
            entries += 1;
            if leaves(name) {
                let found = format!("expected names within the archive, found \"{}\"", name.escape_ascii());
                findings.add(Rule::ArchiveSlip, &place, found);
            }
            entries < limits.files
        };
        let end = folder.open(path).map_err(Unreadable::from).and_then(|file| read(file, bytes, &mut slip));
        match end {
            Ok(()) if entries < limits.files => {}
            Ok(()) => {
                let found = format!("expected fewer than {} entries, found more", limits.files);
                findings.add(Rule::ResourceLimit, &place, found);
            }
            Err(Unreadable::Costly) => {
                let found = format!("expected at most {ZIP_DIRECTORY_BYTES} bytes of names, found more");
                findings.add(Rule::ResourceLimit, &place, found);
            }
            Err(Unreadable::Broken(what)) => {
                findings.add(
                    Rule::ParseError,
                    &place,
                    format!("expected an archive that can be read: {what}"),
                );
            }
        }
    }
}

enum Unreadable {
    Broken(String),
    Costly,
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Unreadable::Broken(error.to_string())
    }
}

/// Whether a name, unpacked as it is, leads out: absolute for some system, or through `..`.
fn leaves(name: &[u8]) -> bool {
    let absolute = matches!(name, [b'/' | b'\\', ..] | [_, b':', ..]);
    absolute || name.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| part == b"..")
}

/// APPNOTE 6.3.10, sections 4.3.12 to 4.3.16: the end record, from there the central directory, from there the names.
fn zip(
    mut file: impl Read + Seek,
    bytes: u64,
    entry: &mut impl FnMut(&[u8]) -> bool,
) -> Result<(), Unreadable> {
    let broken = |what: &str| Unreadable::Broken(what.to_owned());
    let tail_at = bytes.saturating_sub(ZIP_END_BYTES);
    let tail = read_at(&mut file, tail_at, bytes - tail_at)?;
    let end = tail.windows(22).rposition(|window| window.starts_with(b"PK\x05\x06"));
    let end = end.ok_or_else(|| broken("no end of a ZIP archive"))?;
    let (mut size, mut at) = (u64::from(le32(&tail, end + 12)), u64::from(le32(&tail, end + 16)));
    let locator = end.checked_sub(20).filter(|at| tail[*at..].starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let large = read_at(&mut file, le64(&tail, locator + 8), 56)?;
        if large.len() < 56 || !large.starts_with(b"PK\x06\x06") {
            return Err(broken("no end record where its locator points"));
        }
        (size, at) = (le64(&large, 40), le64(&large, 48));
    }
    if size > ZIP_DIRECTORY_BYTES {
        return Err(Unreadable::Costly);
    }
    let directory = read_at(&mut file, at, size)?;
    let mut rest = directory.as_slice();
    while let Some(header) = rest.get(..46) {
        if !header.starts_with(b"PK\x01\x02") {
            return Err(broken("a central directory with something else in it"));
        }
        let [name, extra, comment] =
            [28, 30, 32].map(|at| usize::from(u16::from_le_bytes([header[at], header[at + 1]])));
        let name = rest.get(46..46 + name).ok_or_else(|| broken("a name that is cut off"))?;
        if !entry(name) {
            return Ok(());
        }
        rest = rest.get(46 + name.len() + extra + comment..).unwrap_or_default();
    }
    if directory.len() as u64 == size { Ok(()) } else { Err(broken("a central directory that is cut off")) }
}

/// POSIX.1-1988 `ustar` with GNU's long names and POSIX.1-2001's `path` and `linkpath`.
fn tar(
    mut file: impl Read + Seek,
    bytes: u64,
    entry: &mut impl FnMut(&[u8]) -> bool,
) -> Result<(), Unreadable> {
    let mut at = 0;
    while at < bytes {
        let header = read_at(&mut file, at, TAR_BLOCK)?;
        if header.len() < TAR_BLOCK as usize {
            return Err(Unreadable::Broken("a TAR archive that is cut off".to_owned()));
        }
        if header.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let size = tar_number(&header[124..136])
            .ok_or_else(|| Unreadable::Broken("a size that is no number".to_owned()))?;
        let kind = header[156];
        let (name, link) = (until_zero(&header[..100]), until_zero(&header[157..257]));
        let go_on = match kind {
            // The real name, or several of the fields, stand in a block before the entry's own.
            b'L' | b'K' | b'x' | b'g' => {
                let content = read_at(&mut file, at + TAR_BLOCK, size.min(TAR_NAME_BYTES))?;
                if matches!(kind, b'L' | b'K') {
                    entry(until_zero(&content))
                } else {
                    tar_records(&content, entry)
                }
            }
            // Links count: what is unpacked after one goes where it leads.
            b'1' | b'2' => entry(name) && entry(link),
            _ => entry(&[until_zero(&header[345..500]), name].join(&b'/')[usize::from(header[345] == 0)..]),
        };
        if !go_on {
            return Ok(());
        }
        let blocks = size.div_ceil(TAR_BLOCK) + 1;
        at = blocks.checked_mul(TAR_BLOCK).and_then(|length| at.checked_add(length)).unwrap_or(bytes);
    }
    Ok(())
}

/// `length key=value` and a line feed, again and again.
fn tar_records(mut content: &[u8], entry: &mut impl FnMut(&[u8]) -> bool) -> bool {
    loop {
        let digits = content.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length =
            std::str::from_utf8(&content[..digits]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let Some(record) = length.and_then(|length| content.get(digits + 1..length.max(digits + 2) - 1))
        else {
            return true;
        };
        let value = record.strip_prefix(b"path=").or_else(|| record.strip_prefix(b"linkpath="));
        if value.is_some_and(|value| !entry(value)) {
            return false;
        }
        content = content.get(digits + 2 + record.len()..).unwrap_or_default();
    }
}

/// Octal digits, or a number of 63 bits after a set bit.
fn tar_number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return field[4..].try_into().ok().map(u64::from_be_bytes).filter(|_| field[1..4] == [0; 3]);
    }
    let digits = field.iter().filter(|byte| !matches!(byte, 0 | b' '));
    digits.map(|byte| (*byte as char).to_digit(8)).try_fold(0, |sum, digit| Some(sum * 8 + u64::from(digit?)))
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// As many of the bytes as are there.
fn read_at(file: &mut (impl Read + Seek), at: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// A central directory with these names and its end record, as a ZIP of nothing else.
    fn a_zip(names: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names {
            let mut header = [0; 46];
            header[..4].copy_from_slice(b"PK\x01\x02");
            header[28] = name.len() as u8;
            bytes.extend(header);
            bytes.extend(name.bytes());
        }
        let mut end = [0; 22];
        end[..4].copy_from_slice(b"PK\x05\x06");
        end[12..16].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        bytes.extend(end);
        bytes
    }

    fn a_tar(entries: &[(u8, &str, &str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, name, link, content) in entries {
            let mut header = [0; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
            header[156] = *kind;
            header[157..157 + link.len()].copy_from_slice(link.as_bytes());
            bytes.extend(header);
            bytes.extend(content.bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.extend([0; 1024]);
        bytes
    }

    fn counts(name: &str, content: &[u8]) -> [u64; 3] {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join(name), content).unwrap();
        let mut findings = Findings::new(10);
        let limits = Limits { files: 5, ..Limits::default() };
        let folder = Folder::list(place.path(), &limits, &mut findings).unwrap();
        check(&folder, &limits, &mut findings);
        [Rule::ArchiveSlip, Rule::ParseError, Rule::ResourceLimit].map(|rule| findings.count(rule))
    }

    #[test]
    fn entries_that_leave_are_found() {
        assert_eq!(counts("a.zip", &a_zip(&["a/b.jpg", "c..d", "a/"])), [0, 0, 0]);
        assert_eq!(counts("a.ZIP", &a_zip(&["../a", "a/../../b", "/etc/c", "C:\\d"])), [4, 0, 0]);
        let honest = [(b'0', "a/b", "", "x"), (b'2', "l", "b", ""), (b'x', "h", "", "14 path=a/b/c\n")];
        assert_eq!(counts("a.tar", &a_tar(&honest[..2])), [0, 0, 0]);
        assert_eq!(counts("a.tar", &a_tar(&honest)), [0, 0, 0]);
        let slips = [
            (b'0', "../b", "", "x"),
            (b'2', "l", "../..", ""),
            (b'x', "h", "", "11 path=/a\n12 mtime=1.0\n"),
        ];
        assert_eq!(counts("a.tar", &a_tar(&slips)), [3, 0, 0]);
        assert_eq!(counts("a.tar", &a_tar(&[(b'L', "n", "", "../long\0")])), [1, 0, 0]);
    }

    #[test]
    fn what_cannot_be_looked_through_is_told() {
        assert_eq!(counts("a.zip", b"PK\x03\x04"), [0, 1, 0]);
        assert_eq!(counts("a.zip", &a_zip(&["a"; 9])), [0, 0, 1]);
        assert_eq!(counts("a.tar", &[b'9'; 600]), [0, 1, 0]);
        let mut large = a_zip(&["a"]);
        let size_at = large.len() - 10;
        large[size_at..size_at + 4].fill(0xff);
        assert_eq!(counts("a.zip", &large), [0, 0, 1]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(mut bytes in proptest::collection::vec(any::<u8>(), 0..3000), end in 0usize..3000) {
            if let Some(place) = bytes.get_mut(end..end + 4) {
                place.copy_from_slice(b"PK\x05\x06");
            }
            let length = bytes.len() as u64;
            let _ = zip(Cursor::new(&bytes), length, &mut |_| true);
            let _ = tar(Cursor::new(&bytes), length, &mut |_| true);
        }

        #[test]
        fn changed_archives_are_read(at in 0usize..2000, value: u8) {
            for mut bytes in [a_zip(&["a", "b/c"]), a_tar(&[(b'x', "h", "", "14 path=a/b/c\n"), (b'0', "a", "", "x")])] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
                let length = bytes.len() as u64;
                let _ = zip(Cursor::new(&bytes), length, &mut |_| true);
                let _ = tar(Cursor::new(&bytes), length, &mut |_| true);
            }
        }
    }
}
