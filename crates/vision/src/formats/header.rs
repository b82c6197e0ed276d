//! The size of an image by its header alone, for formats that measure in parts of it.

use std::io::{BufReader, Seek};

use imagesize::ImageType;

use crate::Folder;

/// Columns and rows as stored; none where the file is not there, or its header does not say.
pub(crate) fn size(folder: &Folder, path: &str) -> Option<(u32, u32)> {
    let mut file = BufReader::new(folder.open(path).ok()?);
    let kind = imagesize::reader_type(&mut file).ok()?;
    file.rewind().ok()?;
    let size = kind.reader_size(&mut file).ok()?;
    let (width, mut height) = (u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?);
    if kind == ImageType::Bmp && height > i32::MAX as u32 {
        // Rows from above are said by a negative height.
        height = height.wrapping_neg();
    }
    (width > 0 && height > 0).then_some((width, height))
}
