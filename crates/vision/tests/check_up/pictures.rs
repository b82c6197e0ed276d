//! The page: pictures of the worst findings, so many and no more, and nothing beside it.

use residual_vision::{Limits, pictures};

use super::{checked, folder, picture};

#[test]
fn the_worst_findings_are_drawn_with_their_boxes() {
    let large = picture("coffee.png", 400, 200);
    let annotations = br#"{"images": [{"id": 1, "file_name": "a.jpg", "width": 400, "height": 200},
        {"id": 2, "file_name": "b.jpg", "width": 64, "height": 64}],
        "categories": [{"id": 1, "name": "<cup>"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [350, 10, 100, 40], "area": 4000, "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [20, 10, 100, 40], "area": 4000, "iscrowd": 0}]}"#;
    let place = folder(&[
        ("set.json", annotations),
        ("a.jpg", &large),
        ("b.jpg", &picture("chelsea.png", 64, 64)[..900]),
    ]);
    let health = checked(place.path());
    let pictures = pictures(&health, &Limits::default());
    let of = |rule: &str| pictures.iter().find(|one| one.finding.rule.id() == rule).unwrap();
    let drawing = of("OUT_OF_BOUNDS").drawing.as_ref().unwrap();
    assert_eq!((drawing.width, drawing.height), (320, 160));
    let drawn = image::load_from_memory(&drawing.jpeg).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (320, 160));
    let boxes: Vec<_> = drawing.outlines.iter().map(|one| (one.meant, one.bounds)).collect();
    assert_eq!(boxes, [(false, [16.0, 8.0, 80.0, 32.0]), (true, [280.0, 8.0, 80.0, 32.0])]);
    // The image that cannot be decoded leaves a note.
    let note = of("IMAGE_TRUNCATED").drawing.as_ref().unwrap_err();
    assert!(note.contains("ends too early"), "{note}");
    let page = health.report.html("a <set>", &pictures);
    assert!(page.contains("No picture: expected a whole JPEG"), "{page}");
    assert!(page.contains("&lt;cup&gt;") && !page.contains("<cup>") && !page.contains("a <set>"));
    assert!(!page.contains("http") && !page.contains("<script"), "nothing is fetched, nothing runs");
}

#[test]
fn a_thousand_findings_make_a_few_pictures() {
    let row = |id: u32| {
        format!(
            r#"{{"id": {id}, "image_id": 1, "category_id": 1, "bbox": [{}, 10, 90, 40], "area": 3600}}"#,
            50 + id % 40
        )
    };
    let rows: Vec<_> = (0..1000).map(row).collect();
    let annotations = format!(
        r#"{{"images": [{{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}}],
        "categories": [{{"id": 1, "name": "cup"}}], "annotations": [{}]}}"#,
        rows.join(",")
    );
    let place = folder(&[("set.json", annotations.as_bytes()), ("a.jpg", &picture("coffee.png", 100, 80))]);
    let pictures = pictures(&checked(place.path()), &Limits::default());
    assert!((4..=24).contains(&pictures.len()), "{}", pictures.len());
    assert!(pictures.iter().all(|one| one.drawing.as_ref().unwrap().outlines.len() <= 101));
}
