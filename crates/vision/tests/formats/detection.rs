//! Which format a folder is in.

use residual_vision::{Findings, Folder, Format, Limits, detect};

use super::folder;

const COCO: &[u8] = br#"{"info": {}, "images": [], "annotations": [{"#;
const LABELME: &[u8] = br#"{"version": "5", "shapes": []}"#;
const CREATE_ML: &[u8] = br#"[{"image": "a.jpg", "annotations": []}]"#;

fn detected(files: &[(&str, &[u8])]) -> Result<Format, String> {
    let (place, limits) = (folder(files), Limits::default());
    let folder = Folder::list(place.path(), &limits, &mut Findings::new(1)).unwrap();
    detect(&folder, &limits).map_err(|error| error.to_string())
}

#[test]
fn a_format_is_told_by_content() {
    assert_eq!(detected(&[("x.json", COCO)]), Ok(Format::Coco));
    assert_eq!(detected(&[("x.json", LABELME), ("other.json", b"{}")]), Ok(Format::LabelMe));
    assert_eq!(detected(&[("x.JSON", CREATE_ML)]), Ok(Format::CreateMl));
    // The list of results beside it is COCO's too.
    assert_eq!(
        detected(&[("r.json", br#"[{"image_id": 1, "category_id": 1}]"#), ("x.json", COCO)]),
        Ok(Format::Coco)
    );
    let late = [br#"{"info": ""#.as_slice(), &[b'x'; 100_000], br#"", "images": []}"#].concat();
    assert_eq!(detected(&[("x.json", &late)]), Ok(Format::Coco));
    // Its reader says where it breaks.
    assert_eq!(detected(&[("x.json", b"[[[[")]), Ok(Format::Coco));
}

#[test]
fn what_cannot_be_told_is_said() {
    assert_eq!(
        detected(&[("a.jpg", b""), ("b.JPG", b""), ("x.json", b"{}")]).unwrap_err(),
        "expected annotations of a known format (coco, labelme, createml, cvat, voc, dota, yolo, image-folder), found files by \
         ending: 2 of jpg, 1 of json; name the format with --format"
    );
    assert_eq!(
        detected(&[("a.json", LABELME), ("b.json", COCO)]).unwrap_err(),
        "expected annotations of one format, found coco (b.json) and labelme (a.json); name the one to read with --format"
    );
    assert!(detected(&[]).unwrap_err().contains("found no files"));
}

#[test]
fn a_format_reads_again_from_its_name() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(*format));
    }
    let error = "pascal".parse::<Format>().unwrap_err();
    let known = Format::ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    assert_eq!(error.to_string(), format!("expected one of {known}, found `pascal`"));
}
