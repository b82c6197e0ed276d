//! The photographs with their annotations, in each format that is written.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

use residual_vision::{Checkup, Format, Limits, check_up, write};

use super::{checked, photos, told};

#[test]
fn clean_photographs_have_no_finding_above_info_in_any_format() {
    let original = checked(&photos());
    assert_eq!(told(&original), [""; 0]);
    assert_eq!(original.report.format, Format::Coco);
    assert_eq!((original.dataset.images.len(), original.dataset.annotations.len()), (6, 33));
    for format in [Format::Coco, Format::Yolo, Format::Voc] {
        let place = tempfile::tempdir().unwrap();
        write(&original.dataset, format, place.path()).unwrap();
        for image in &original.dataset.images {
            let copy = place.path().join(&image.file);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(photos().join(&image.file), copy).unwrap();
        }
        let written = checked(place.path());
        assert_eq!(told(&written), [""; 0], "{format}");
        assert_eq!(written.report.format, format);
        assert_eq!(written.dataset.annotations.len(), original.dataset.annotations.len(), "{format}");
        assert_eq!(written.images.iter().count(), 6, "{format}");
    }
}

#[test]
fn a_check_tells_how_far_it_is() {
    let (told, most) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |done: u64, total: u64| {
        assert_eq!(total, 6);
        told.fetch_add(1, Ordering::Relaxed);
        most.fetch_max(done, Ordering::Relaxed);
    };
    let how = Checkup { format: None, licence: None, limits: Limits::default(), progress: &progress };
    check_up(&photos(), &how).unwrap();
    assert_eq!((told.into_inner(), most.into_inner()), (6, 6));
}

#[test]
fn a_licence_is_asked_for_of_a_folder_and_not_of_a_file() {
    let place = tempfile::tempdir().unwrap();
    let unlicensed = Checkup { format: None, licence: None, limits: Limits::default(), progress: &|_, _| {} };
    let file = place.path().join("a.xml");
    fs::copy(super::data("corrupt/voc/ok.xml"), &file).unwrap();
    let rules = |path| super::rules(&check_up(path, &unlicensed).unwrap());
    assert_eq!(rules(&file), [""; 0]);
    assert_eq!(rules(place.path()), ["MISSING_IMAGE", "MISSING_LICENCE"]);
}
