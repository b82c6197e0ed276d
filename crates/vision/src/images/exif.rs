//! The few fields of EXIF that make a dataset wrong or give somebody away.
//!
//! Its own reader, for these fields only: `kamadak-exif` takes in every entry of every directory, and directories may
//! overlap, so that 64 KiB of EXIF become gigabytes. Here a directory's entries are looked at one by one, and nothing is
//! allocated. What is broken is passed over, as viewers do.

use serde::Serialize;

/// Entries of one directory that are looked at; cameras write some dozens.
const ENTRIES: usize = 1_000;

/// What EXIF says. All false and none where there is no EXIF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Exif {
    /// How a viewer turns the pixels, 1 to 8; 1 is not at all. None where it is not said, or not one of these.
    pub orientation: Option<u8>,
    /// It says where the image was taken.
    pub position: bool,
    /// It names the artist or the camera's owner.
    pub person: bool,
    /// It has the serial number of the camera's body or lens.
    pub serial: bool,
}

impl Exif {
    /// Reads EXIF: a TIFF structure (EXIF 3.0, section 4.5). Any bytes will do.
    pub fn read(bytes: &[u8]) -> Self {
        let mut exif = Self::default();
        let Some(tiff) = Tiff::open(bytes) else { return exif };
        let (mut of_camera, mut of_place) = (None, None);
        for entry in tiff.u32(4).into_iter().flat_map(|first| tiff.directory(first)) {
            match entry.tag {
                0x0112 => {
                    exif.orientation =
                        tiff.number(&entry).and_then(|way| (1..=8).find(|one| way == u32::from(*one)))
                }
                // Artist; the author as Windows writes it.
                0x013b | 0x9c9d => exif.person |= tiff.says_something(&entry),
                0x8769 => of_camera = tiff.number(&entry),
                0x8825 => of_place = tiff.number(&entry),
                _ => {}
            }
        }
        for entry in of_camera.into_iter().flat_map(|at| tiff.directory(at)) {
            match entry.tag {
                0xa430 => exif.person |= tiff.says_something(&entry),
                0xa431 | 0xa435 => exif.serial |= tiff.says_something(&entry),
                _ => {}
            }
        }
        // Latitude and longitude; many cameras write the other fields without knowing where they are.
        let position = of_place.into_iter().flat_map(|at| tiff.directory(at));
        exif.position =
            position.filter(|entry| matches!(entry.tag, 2 | 4) && tiff.says_something(entry)).count() >= 2;
        exif
    }
}

/// Width and height of a TIFF image's first page (TIFF 6.0, section 8).
pub(super) fn tiff_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let tiff = Tiff::open(bytes)?;
    let (mut width, mut height) = (None, None);
    for entry in tiff.directory(tiff.u32(4)?) {
        match entry.tag {
            0x0100 => width = tiff.number(&entry),
            0x0101 => height = tiff.number(&entry),
            _ => {}
        }
    }
    width.zip(height)
}

struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
}

/// A row of a directory; its value stands in the last four bytes, or where they point.
struct Entry {
    tag: u16,
    kind: u16,
    count: u32,
    value_at: usize,
}

impl<'a> Tiff<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes {
            [b'I', b'I', 42, 0, ..] => true,
            [b'M', b'M', 0, 42, ..] => false,
            _ => return None,
        };
        Some(Self { bytes, little })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn directory(&self, at: u32) -> impl Iterator<Item = Entry> {
        let at = at as usize;
        let count = self.u16(at).map_or(0, usize::from).min(ENTRIES);
        (0..count).map_while(move |row| self.entry(at.checked_add(2 + 12 * row)?))
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let value_at = at.checked_add(8)?;
        self.u32(value_at)?;
        Some(Entry { tag: self.u16(at)?, kind: self.u16(at + 2)?, count: self.u32(at + 4)?, value_at })
    }

    /// A single SHORT or LONG.
    fn number(&self, entry: &Entry) -> Option<u32> {
        match (entry.kind, entry.count) {
            (3, 1) => self.u16(entry.value_at).map(u32::from),
            (4, 1) => self.u32(entry.value_at),
            _ => None,
        }
    }

    /// Whether the value is more than zeros and spaces, which stand for nothing.
    fn says_something(&self, entry: &Entry) -> bool {
        let width = match entry.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 => 4,
            5 | 10 | 12 => 8,
            _ => return false,
        };
        // Where there are many bytes, the first of them tell.
        let length = (entry.count as usize).saturating_mul(width).min(1_000);
        let at =
            if length <= 4 { Some(entry.value_at) } else { self.u32(entry.value_at).map(|at| at as usize) };
        let value = at.and_then(|at| self.bytes.get(at..at.checked_add(length)?));
        value.is_some_and(|value| value.iter().any(|byte| !matches!(byte, 0 | b' ')))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A little-endian directory of the given rows at `at`, as it stands in a file.
    fn directory(rows: &[(u16, u16, u32, u32)]) -> Vec<u8> {
        let mut bytes = (rows.len() as u16).to_le_bytes().to_vec();
        for (tag, kind, count, value) in rows {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend([0; 4]);
        bytes
    }

    fn tiff(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        parts.iter().for_each(|part| bytes.extend(part));
        bytes
    }

    #[test]
    fn orientation_position_and_names_are_found() {
        // 8: three rows, 42 bytes; 50: two rows of GPS, 30 bytes; 80: two rows of the camera; 110: text and fractions.
        let first = directory(&[(0x0112, 3, 1, 6), (0x8769, 4, 1, 80), (0x8825, 4, 1, 50)]);
        let place = directory(&[(2, 5, 3, 110), (4, 5, 3, 110)]);
        let camera = directory(&[(0xa430, 2, 30, 110), (0xa431, 2, 3, u32::from_le_bytes(*b"17\0\0"))]);
        let bytes = tiff(&[first, place, camera, b"somebody's name, or fractions".to_vec()]);
        let exif = Exif::read(&bytes);
        // 24 bytes of fractions and 30 of text from 110; there are only 29.
        assert_eq!(exif, Exif { orientation: Some(6), position: true, person: false, serial: true });
        let longer = [bytes, vec![0]].concat();
        assert!(Exif::read(&longer).person);
    }

    #[test]
    fn fields_that_say_nothing_are_not_found() {
        let first = directory(&[
            (0x0112, 3, 1, 9),
            (0x013b, 2, 4, u32::from_le_bytes(*b"   \0")),
            (0x8825, 4, 1, 50),
        ]);
        let place = directory(&[(2, 5, 3, 80), (4, 5, 3, 80)]);
        let exif = Exif::read(&tiff(&[first, place, vec![0; 24]]));
        assert_eq!(exif, Exif::default());
        assert_eq!(Exif::read(b"MM\0*\xff\xff\xff\xff"), Exif::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(rest in proptest::collection::vec(any::<u8>(), 0..300), little: bool) {
            let start: &[u8] = if little { b"II*\0" } else { b"MM\0*" };
            Exif::read(&[start, &rest].concat());
        }
    }
}
