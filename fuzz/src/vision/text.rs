//! Labels and configurations of YOLO, XML of VOC and CVAT, DOTA's labels, names of folders, and headers of images.

use std::fs;

use residual_vision::{Format, Severity, write};

use super::{folder_of, read_at, without_places};
use crate::memory::{at_most, within};

/// What a byte of XML may cost as an element with its vectors.
const TIMES: usize = 256;

/// The beginning of a PNG of 640x480, as far as its size.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0";

/// Reads; and what is written of it without loss is read again the same. Takes what has no fault.
fn comes_back(bytes: &[u8], files: &[(&str, &[u8])], images: &[&str], format: Format) -> bool {
    let place = folder_of(files);
    let (dataset, findings) = within(bytes, TIMES, || read_at(place.path(), format));
    let images: Vec<_> = images.iter().map(|image| (*image, PNG)).collect();
    let out = folder_of(&images);
    let losses = write(&dataset, format, out.path()).expect("nothing is in its way");
    let faultless = findings.of_severity(Severity::Blocker) + findings.of_severity(Severity::Error) == 0;
    if faultless && losses.is_empty() {
        let (again, _) = read_at(out.path(), format);
        assert_eq!(without_places(again), without_places(dataset));
    }
    faultless
}

/// What is read of rows is read again the same from how it is written; the first byte chooses the kind of rows.
pub fn yolo_label(bytes: &[u8]) -> bool {
    let Some((kind, rows)) = bytes.split_first() else { return false };
    let config: &[u8] = match kind % 3 {
        0 => b"names: [cat, dog]\n",
        1 => b"names: [cat, dog]\nkpt_shape: [2, 3]\n",
        _ => b"names: [cat, dog]\nkpt_shape: [2, 2]\n",
    };
    let files = [("data.yaml", config), ("images/a.png", PNG), ("labels/a.txt", rows)];
    comes_back(bytes, &files, &["images/a.png"], Format::Yolo)
}

/// What is read of `data.yaml` is read again the same from how it is written.
pub fn yolo_config(bytes: &[u8]) -> bool {
    let files = [("data.yaml", bytes), ("images/a.png", PNG), ("labels/a.txt", b"")];
    comes_back(bytes, &files, &["images/a.png"], Format::Yolo)
}

/// What is read of a file is read again the same from how it is written.
pub fn voc(bytes: &[u8]) -> bool {
    let files = [("Annotations/a.xml", bytes), ("JPEGImages/a.png", PNG)];
    comes_back(bytes, &files, &["JPEGImages/a.png"], Format::Voc)
}

/// What is read keeps to the model.
pub fn cvat(bytes: &[u8]) -> bool {
    let place = folder_of(&[("annotations.xml", bytes), ("images/a.png", PNG)]);
    // Of a mask, each run by row can be as many by column as it has pixels: the limit of runs bounds it.
    let (dataset, findings) = at_most(8 << 20, || read_at(place.path(), Format::Cvat));
    !findings.block() && !dataset.annotations.is_empty()
}

/// What is read keeps to the model.
pub fn dota(bytes: &[u8]) -> bool {
    let place = folder_of(&[("labelTxt/a.txt", bytes), ("images/a.png", PNG)]);
    let (dataset, findings) = within(bytes, TIMES, || read_at(place.path(), Format::Dota));
    !findings.block() && !dataset.annotations.is_empty()
}

/// A path a line: the images of a folder. Each is one image, of one class at most.
pub fn image_folder(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let place = tempfile::tempdir().expect("a folder for temporary files can be made");
    for path in text.lines().take(16) {
        let fits =
            |part: &str| (1..64).contains(&part.len()) && part != "." && part != ".." && !part.contains('\0');
        if path.split('/').count() > 8 || !path.split('/').all(fits) {
            return false;
        }
        let path = place.path().join(path);
        // A name that is a folder already is none for a file.
        if path.parent().is_none_or(|parent| fs::create_dir_all(parent).is_err())
            || fs::write(&path, PNG).is_err()
        {
            return false;
        }
    }
    let (dataset, _) = within(bytes, TIMES, || read_at(place.path(), Format::ImageFolder));
    assert!(dataset.images.iter().all(|image| image.classes.len() <= 1));
    !dataset.categories.is_empty()
}

/// What a header says is a size, or nothing; and boxes in parts of it are within it.
pub fn image_header(bytes: &[u8]) -> bool {
    let files: [(&str, &[u8]); 3] =
        [("data.yaml", b"names: [cat]\n"), ("images/a.png", bytes), ("labels/a.txt", b"0 0.5 0.5 1 1\n")];
    let place = folder_of(&files);
    let (dataset, _) = within(bytes, 8, || read_at(place.path(), Format::Yolo));
    let width = dataset.images[0].width;
    let bounds = dataset.annotations[0].bounds.expect("the row says a box");
    assert_eq!(bounds.width, width.map_or(1.0, f64::from));
    width.is_some()
}
