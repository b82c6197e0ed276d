//! Annotations in JSON, in the words of several formats.

use residual_vision::{Category, Dataset, Findings, Format, Image, Limits, read_results, write};

use super::{assert_model, folder_of, read_at, without_places};
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
    let place = folder_of(&[("train.json", bytes)]);
    let (dataset, _) = within(bytes, TIMES, || read_at(place.path(), format));
    (!dataset.annotations.is_empty()).then_some(dataset)
}

/// The dataset as it is read from how it is written.
fn again(dataset: &Dataset) -> Dataset {
    let place = folder_of(&[]);
    write(dataset, Format::Coco, place.path()).expect("the folder is empty");
    without_places(read_at(place.path(), Format::Coco).0)
}
