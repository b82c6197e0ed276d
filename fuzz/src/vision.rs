//! What `vision` reads of a stranger's folder. Readers take folders, so each input is laid into one of its own.

mod images;
mod json;
mod text;

use std::{fs, path::Path};

use residual_vision::{Dataset, Findings, Folder, Format, Limits, Place, Segmentation, detect, read};
use tempfile::TempDir;

pub use images::{archive, image};
pub use json::{coco, coco_results, createml, labelme};
pub use text::{cvat, dota, image_folder, image_header, voc, yolo_config, yolo_label};

fn folder_of(files: &[(&str, &[u8])]) -> TempDir {
    let place = tempfile::tempdir().expect("a folder for temporary files can be made");
    for (path, content) in files {
        let path = place.path().join(path);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
        made.expect("the name is ours, and so is the folder");
    }
    place
}

/// Reads a folder within limits that are low enough to be reached, and holds what is read to the model.
fn read_at(path: &Path, format: Format) -> (Dataset, Findings) {
    let limits = Limits { annotations: 1000, categories: 1000, vertices: 10_000, ..Limits::default() };
    let mut findings = Findings::new(10);
    let folder = Folder::list(path, &limits, &mut findings).expect("the folder is ours");
    let _ = detect(&folder, &limits);
    let dataset = read(&folder, format, &limits, &mut findings);
    assert_model(&dataset);
    (dataset, findings)
}

/// Places are those of a file, and differ in another that says the same.
fn without_places(mut dataset: Dataset) -> Dataset {
    dataset.images.iter_mut().for_each(|image| image.place = Place::default());
    dataset.annotations.iter_mut().for_each(|annotation| annotation.place = Place::default());
    dataset
}

/// What whoever is given a dataset may rely on.
fn assert_model(dataset: &Dataset) {
    for annotation in &dataset.annotations {
        assert!((annotation.image.0 as usize) < dataset.images.len());
        assert!((annotation.category.0 as usize) < dataset.categories.len());
        if let Some(bounds) = annotation.bounds {
            assert!(
                [bounds.x, bounds.y, bounds.width, bounds.height].iter().all(|number| number.is_finite())
            );
            assert!(bounds.width >= 0.0 && bounds.height >= 0.0);
        }
        match &annotation.segmentation {
            Some(Segmentation::Polygons(polygons)) => {
                assert!(polygons.iter().all(|polygon| polygon.len() >= 3))
            }
            Some(Segmentation::Rle(rle)) => {
                let sum: u64 = rle.counts.iter().map(|run| u64::from(*run)).sum();
                assert_eq!(sum, u64::from(rle.height) * u64::from(rle.width));
            }
            None => {}
        }
    }
    for image in &dataset.images {
        let climbs = image.file.starts_with('/') || image.file.split('/').any(|part| part == "..");
        assert!(!climbs, "{} leaves the folder", image.file);
        assert!(image.classes.iter().all(|class| (class.0 as usize) < dataset.categories.len()));
    }
}
