//! The size of an image by its header alone, for formats that measure in parts of it.

use crate::{Folder, images::Outline};

/// So much of a file is read at first, and then where the header is not in it. It is behind EXIF with its thumbnail, or, in a
/// TIFF, at the end.
const HEAD_BYTES: [u64; 3] = [64 << 10, 4 << 20, u64::MAX];

/// Columns and rows as stored; none where the file is not there, or its header does not say.
pub(crate) fn size(folder: &Folder, path: &str, limit: u64) -> Option<(u32, u32)> {
    let bytes = folder.bytes(path)?;
    for most in HEAD_BYTES {
        let outline = Outline::of(&folder.head(path, most.min(limit)).ok()?);
        match outline.size {
            Some((width, height)) => return (width > 0 && height > 0).then_some((width, height)),
            None if outline.kind.is_none() || bytes <= most || limit <= most => return None,
            None => {}
        }
    }
    None
}
