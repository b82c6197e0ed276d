//! Annotations of datasets: JSON in the words of several formats.

use std::{fs, path::Path};

use residual_vision::{
    Category, Dataset, Findings, Folder, Format, Image, Limits, Place, Segmentation, read, read_results,
    write,
};

use crate::memory::within;

/// How many times its length a file may cost: an object of one short field is a node of a tree as large as one of ten.
const TIMES: usize = 250;

/// What COCO's reader takes is written, and what was written is read again the same.
pub fn coco(bytes: &[u8]) -> bool {
    let Some(dataset) = dataset_of(Format::Coco, bytes) else { return false };
    // What has no area is given one, so that the first writing may add something.
    let once = again(&dataset);
    assert_eq!(again(&once), once);
    true
}

/// What is taken as a result is of an image and a class of the dataset.
pub fn coco_results(bytes: &[u8]) -> bool {
    let dataset = Dataset {
        categories: vec![Category { id: 1, name: "cat".to_owned(), ..Category::default() }],
        images: vec![Image {
            id: 1,
            file: "a.jpg".to_owned(),
            width: Some(100),
            height: Some(80),
            ..Image::default()
        }],
        ..Dataset::default()
    };
    let results = within(bytes, TIMES, || {
        read_results("results.json", bytes, &dataset, None, &Limits::default(), &mut Findings::new(10))
    });
    let taken = !results.is_empty();
    assert_model(&Dataset { annotations: results, ..dataset });
    taken
}

/// What is taken keeps the model's promises.
pub fn labelme(bytes: &[u8]) -> bool {
    dataset_of(Format::LabelMe, bytes).is_some()
}

/// What is taken keeps the model's promises.
pub fn createml(bytes: &[u8]) -> bool {
    dataset_of(Format::CreateMl, bytes).is_some()
}

/// The dataset of a folder with this one file, if any annotation is taken.
fn dataset_of(format: Format, bytes: &[u8]) -> Option<Dataset> {
    let place = tempfile::tempdir().expect("a folder for the file");
    fs::write(place.path().join("train.json"), bytes).expect("the file is written");
    let dataset = within(bytes, TIMES, || read_folder(format, place.path()));
    assert_model(&dataset);
    (!dataset.annotations.is_empty()).then_some(dataset)
}

fn read_folder(format: Format, path: &Path) -> Dataset {
    let (limits, mut findings) = (Limits::default(), Findings::new(10));
    let folder = Folder::list(path, &limits, &mut findings).expect("the folder is there");
    read(&folder, format, &limits, &mut findings)
}

/// The dataset as it is read from how it is written, without the places, which are those of another file.
fn again(dataset: &Dataset) -> Dataset {
    let place = tempfile::tempdir().expect("a folder to write into");
    write(dataset, Format::Coco, place.path()).expect("the folder is empty");
    let mut read = read_folder(Format::Coco, place.path());
    read.images.iter_mut().for_each(|image| image.place = Place::default());
    read.annotations.iter_mut().for_each(|annotation| annotation.place = Place::default());
    read
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
    let climbs = |file: &str| file.starts_with('/') || file.split('/').any(|part| part == "..");
    assert!(!dataset.images.iter().any(|image| climbs(&image.file)));
}
