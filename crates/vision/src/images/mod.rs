//! What an image file holds: whether it is whole, what it shows, what it gives away, and how to find it again.
//!
//! Owns: telling the kind of a file by its content, its outline before a pixel is decoded, decoding within limits, EXIF, the
//! measures that rules judge, and the hashes by which an image is found again: equal content ([`ContentHash`]), alike to
//! the eye ([`PerceptualHash`], [`HashIndex`]), and equal content without showing which ([`SaltedHash`]).
//!
//! Refuses: judging. What is a fault is decided in `lint`.
//!
//! Of an animation the first frame is looked at, and of a file of several pages the first: that is what trainers read.

mod decode;
mod exif;
mod hash;
mod luma;
mod measure;
mod outline;
mod search;

pub use decode::{Damage, decode};
pub use exif::Exif;
pub use hash::{ContentHash, FileHash, PerceptualHash, SaltedHash};
pub use luma::Luma;
pub use measure::Measures;
pub use outline::{Kind, Outline};
pub use search::{HashIndex, Hit};

use serde::Serialize;

use crate::Limits;

/// What one image shows, told in a few bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// What its content is.
    pub kind: Kind,
    /// Pixels in a row, as they are stored.
    pub width: u32,
    /// Rows, as they are stored.
    pub height: u32,
    /// What its metadata says.
    pub exif: Exif,
    /// Its file.
    pub file: FileHash,
    /// Its pixels, whatever file they are in.
    pub content: ContentHash,
    /// What it looks like; none for an image that shows too little to be told from others.
    pub perceptual: Option<PerceptualHash>,
    /// What rules judge.
    pub measures: Measures,
}

/// Looks at an image file's content: decodes it once, and measures it.
///
/// # Errors
/// It is no image, is damaged, or is larger than the limits.
pub fn look(bytes: &[u8], outline: &Outline, limits: &Limits) -> Result<Facts, Damage> {
    let pixels = decode(bytes, outline, limits)?;
    let luma = Luma::of(&pixels);
    let measures = Measures::of(&luma);
    let perceptual = if measures.says_nothing() { None } else { PerceptualHash::of(&luma) };
    Ok(Facts {
        kind: outline.kind.ok_or(Damage::NoImage)?,
        width: pixels.width(),
        height: pixels.height(),
        exif: outline.exif(bytes),
        file: FileHash::of(bytes),
        content: ContentHash::of(&pixels),
        perceptual,
        measures,
    })
}
