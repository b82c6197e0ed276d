//! An image file before its pixels: its kind by content, its size, whether it has its end, and where its EXIF is.
//!
//! Decoders are lenient: what misses its end is filled with grey and called an image. So the file's own structure is
//! walked here, which costs a hundredth of decoding and allocates nothing.

use std::ops::Range;

use serde::Serialize;

use super::{Exif, exif};

/// A kind of image file, told by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// BMP.
    Bmp,
    /// GIF.
    Gif,
    /// WebP.
    WebP,
    /// TIFF.
    Tiff,
}

/// Endings of names that promise an image, and which kind.
const ENDINGS: &[(&str, Kind)] = &[
    ("jpg", Kind::Jpeg),
    ("jpeg", Kind::Jpeg),
    ("jpe", Kind::Jpeg),
    ("jfif", Kind::Jpeg),
    ("png", Kind::Png),
    ("apng", Kind::Png),
    ("bmp", Kind::Bmp),
    ("dib", Kind::Bmp),
    ("gif", Kind::Gif),
    ("webp", Kind::WebP),
    ("tif", Kind::Tiff),
    ("tiff", Kind::Tiff),
];

impl Kind {
    /// What the first bytes of a file say it is.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Kind::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Kind::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Kind::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Kind::WebP),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Kind::Tiff),
            // Two letters are little to go by: the reserved words of the header are zero in every BMP.
            [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some(Kind::Bmp),
            _ => None,
        }
    }

    /// What a file's name says it is; none where it says nothing of images.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        ENDINGS.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known)).map(|(_, kind)| *kind)
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Jpeg => "JPEG",
            Kind::Png => "PNG",
            Kind::Bmp => "BMP",
            Kind::Gif => "GIF",
            Kind::WebP => "WebP",
            Kind::Tiff => "TIFF",
        }
    }
}

/// What a walk through a file's structure shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Its kind; none when the content is no image that is known here.
    pub kind: Option<Kind>,
    /// Width and height as its header says; none where there is no such header.
    pub size: Option<(u32, u32)>,
    /// Whether the file goes on to its own end, where its kind has one. What comes after is nobody's concern.
    pub whole: bool,
    exif: Option<Range<usize>>,
}

impl Outline {
    /// Walks through a file. Any bytes will do.
    pub fn of(bytes: &[u8]) -> Self {
        let kind = Kind::of(bytes);
        let mut outline = Self { kind, size: None, whole: false, exif: None };
        // A walk that runs out of bytes ends with none, and so leaves `whole` as it is.
        let walked = match kind {
            Some(Kind::Jpeg) => outline.walk_jpeg(bytes),
            Some(Kind::Png) => outline.walk_png(bytes),
            Some(Kind::Gif) => outline.walk_gif(bytes),
            Some(Kind::WebP) => outline.walk_webp(bytes),
            // These have no end of their own: the decoder tells.
            Some(Kind::Tiff) => {
                outline.exif = Some(0..bytes.len());
                outline.size = exif::tiff_size(bytes);
                Some(())
            }
            Some(Kind::Bmp) => {
                outline.size = bmp_size(bytes);
                Some(())
            }
            None => None,
        };
        outline.whole = walked.is_some();
        outline
    }

    /// What the file's EXIF says, as far as it can be read.
    pub fn exif(&self, bytes: &[u8]) -> Exif {
        self.exif.clone().and_then(|range| bytes.get(range)).map(Exif::read).unwrap_or_default()
    }

    /// ITU-T T.81, annex B: markers and their segments, then entropy-coded data up to the next marker.
    fn walk_jpeg(&mut self, bytes: &[u8]) -> Option<()> {
        let mut at = 2;
        loop {
            // Bytes between segments should not be; decoders step over them.
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?;
            while *bytes.get(at)? == 0xff {
                at += 1;
            }
            let marker = bytes[at];
            at += 1;
            match marker {
                0xd9 => return Some(()),
                // Stuffed bytes, restarts, and markers without a segment.
                0x00 | 0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let length = usize::from(be16(bytes, at)?);
            let segment = bytes.get(at + 2..at + length.max(2))?;
            match marker {
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) && self.size.is_none() => {
                    let size = be16(segment, 3).zip(be16(segment, 1));
                    self.size = size.map(|(width, height)| (width.into(), height.into()));
                }
                0xe1 if segment.starts_with(b"Exif\0\0") && self.exif.is_none() => {
                    self.exif = Some(at + 8..at + length);
                }
                _ => {}
            }
            at += length.max(2);
        }
    }

    /// PNG (Third Edition), section 5: chunks up to `IEND`.
    fn walk_png(&mut self, bytes: &[u8]) -> Option<()> {
        let mut at = 8;
        loop {
            let length = usize::try_from(be32(bytes, at)?).ok()?;
            let kind = bytes.get(at + 4..at + 8)?;
            let data = at + 8..(at + 8).checked_add(length)?;
            let content = bytes.get(data.clone())?;
            match kind {
                b"IHDR" if self.size.is_none() => self.size = be32(content, 0).zip(be32(content, 4)),
                b"eXIf" if self.exif.is_none() => self.exif = Some(data.clone()),
                b"IEND" => return be32(bytes, data.end).map(|_| ()),
                _ => {}
            }
            at = data.end + 4;
        }
    }

    /// GIF89a, section 17 and following: blocks up to the trailer.
    fn walk_gif(&mut self, bytes: &[u8]) -> Option<()> {
        self.size = le16(bytes, 6).zip(le16(bytes, 8)).map(|(width, height)| (width.into(), height.into()));
        let mut at = 13 + gif_colours(*bytes.get(10)?);
        loop {
            at = match *bytes.get(at)? {
                0x3b => return Some(()),
                // Some encoders pad with these, and decoders step over them.
                0x00 => {
                    at += 1;
                    continue;
                }
                0x21 => at + 2,
                0x2c => at + 11 + gif_colours(*bytes.get(at + 9)?),
                // Neither an image nor an extension: decoders stop here, too.
                _ => return None,
            };
            // Blocks of up to 255 bytes, each after its length, and an empty one last.
            loop {
                let length = usize::from(*bytes.get(at)?);
                at += 1 + length;
                if length == 0 {
                    break;
                }
            }
        }
    }

    /// RFC 9649, section 2: one RIFF chunk that holds the others.
    fn walk_webp(&mut self, bytes: &[u8]) -> Option<()> {
        let end = usize::try_from(le32(bytes, 4)?).ok()?.checked_add(8)?;
        let mut at = 12;
        while let Some(kind) = bytes.get(at..).and_then(|rest| rest.get(..4)) {
            let length = usize::try_from(le32(bytes, at + 4)?).ok()?;
            let data = at + 8..(at + 8).checked_add(length)?;
            let content = bytes.get(data.clone())?;
            match kind {
                b"VP8X" | b"VP8L" | b"VP8 " if self.size.is_none() => self.size = webp_size(kind, content),
                b"EXIF" if self.exif.is_none() => {
                    // Some writers put JPEG's prefix before it.
                    let prefix = if content.starts_with(b"Exif\0\0") { 6 } else { 0 };
                    self.exif = Some(data.start + prefix..data.end);
                }
                _ => {}
            }
            at = data.end.checked_add(length % 2)?;
        }
        (end <= bytes.len()).then_some(())
    }
}

/// The extended header, the lossless one, and that of a VP8 key frame.
fn webp_size(kind: &[u8], content: &[u8]) -> Option<(u32, u32)> {
    match kind {
        b"VP8X" => {
            let less_one = |at| Some(u32::from(le16(content, at)?) | u32::from(*content.get(at + 2)?) << 16);
            less_one(4).zip(less_one(7)).map(|(width, height)| (width + 1, height + 1))
        }
        b"VP8L" => le32(content, 1).map(|bits| ((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)),
        _ => le16(content, 6).zip(le16(content, 8)).map(|(width, height)| {
            // The two highest bits are a scale that no decoder heeds.
            (u32::from(width & 0x3fff), u32::from(height & 0x3fff))
        }),
    }
}

/// BITMAPCOREHEADER has 16 bits for each; all later ones 32, and a negative height means rows from above.
fn bmp_size(bytes: &[u8]) -> Option<(u32, u32)> {
    if le32(bytes, 14)? == 12 {
        return le16(bytes, 18).zip(le16(bytes, 20)).map(|(width, height)| (width.into(), height.into()));
    }
    let signed = |at| le32(bytes, at).map(|size| size.cast_signed().unsigned_abs());
    signed(18).zip(signed(22))
}

/// The bytes of a table of colours by the flags that say whether there is one.
fn gif_colours(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 6 << (flags & 7) }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_be_bytes)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}
