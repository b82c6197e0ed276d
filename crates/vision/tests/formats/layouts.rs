//! Where files stand, what they are recognised by, and what each kind of row becomes.

use residual_vision::{Findings, Folder, Format, Image, Limits, Rle, Rule, Segmentation, Visibility, detect};

use super::{folder, png, read_folder, rules};

fn detected(files: &[(&str, &[u8])]) -> Option<Format> {
    let place = folder(files);
    let limits = Limits::default();
    let folder = Folder::list(place.path(), &limits, &mut Findings::new(1)).unwrap();
    detect(&folder, &limits).ok()
}

#[test]
fn formats_are_told_by_content() {
    let row: &[u8] = b"0 0.5 0.5 0.2 0.2\n";
    let corners: &[u8] = b"1 1 5 1 5 5 1 5 ship 0\n";
    assert_eq!(detected(&[("a.jpg", b""), ("a.txt", row)]), Some(Format::Yolo));
    assert_eq!(detected(&[("x/labels/a.txt", row)]), Some(Format::Yolo));
    assert_eq!(detected(&[("data.yaml", b"names: [a]\n")]), Some(Format::Yolo));
    assert_eq!(detected(&[("a.jpg", b""), ("a.txt", corners)]), Some(Format::Dota));
    assert_eq!(detected(&[("labelTxt/a.txt", b"")]), Some(Format::Dota));
    assert_eq!(detected(&[("a.xml", b"<annotation>")]), Some(Format::Voc));
    assert_eq!(detected(&[("a.xml", b"<annotations><version>1.1</version>")]), Some(Format::Cvat));
    assert_eq!(detected(&[("train/cat/a.jpg", b""), ("README.md", b"")]), Some(Format::ImageFolder));
    assert_eq!(detected(&[("cat/a.jpg", b""), ("cat/a.json", b"{}")]), None);
    assert_eq!(detected(&[("images/a.jpg", b"")]), None);
    assert_eq!(detected(&[("classes.txt", b"cat")]), None);
    assert_eq!(detected(&[("compose.yaml", b"name: x\nncores: 4\n")]), None);
    assert_eq!(detected(&[("a.jpg", b""), ("notes.txt", b"what I did")]), None);
}

#[test]
fn an_image_without_label_is_unlabelled_and_one_with_an_empty_label_holds_nothing() {
    let image = png(10, 10);
    let place = folder(&[
        ("data.yaml", b"names: [cat]\ntrain: images/train\nval: lists/val.txt\n"),
        ("lists/val.txt", b"../images/other/c.png\n../images/other/gone.png\n"),
        ("images/train/a.png", &image),
        ("images/train/b.png", &image),
        ("images/other/c.png", &image),
        ("labels/train/a.txt", b""),
        ("labels/train/d.txt", b"0 0.5 0.5 1 1\n"),
        ("cover.png", &image),
    ]);
    let (dataset, findings) = read_folder(Format::Yolo, place.path());
    assert_eq!(rules(&findings), [""; 0]);
    let found: Vec<_> = dataset
        .images
        .iter()
        .map(|one| (&*one.file, one.labelled, one.split.as_deref(), one.width))
        .collect();
    let expected = [
        ("images/other/c.png", false, Some("val"), Some(10)),
        ("images/other/gone.png", false, Some("val"), None),
        ("images/train/a.png", true, Some("train"), Some(10)),
        ("images/train/b.png", false, Some("train"), Some(10)),
        ("images/train/d.png", true, Some("train"), None),
    ];
    assert_eq!(found, expected);
    // Without its image the box is in parts of it.
    assert_eq!(dataset.annotations[0].bounds.unwrap().width, 1.0);
    assert_eq!(dataset.images[4].attributes["normalised"], true);
}

#[test]
fn rows_of_nine_are_corners_only_when_all_are() {
    let image = png(10, 10);
    let nine = "0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n";
    for (rows, corners) in [(nine.to_owned(), true), (format!("{nine}0 0.1 0.1 0.2 0.1 0.2 0.2\n"), false)] {
        let place = folder(&[("images/a.png", &image), ("labels/a.txt", rows.as_bytes())]);
        let (dataset, findings) = read_folder(Format::Yolo, place.path());
        assert_eq!(rules(&findings), [""; 0]);
        assert_eq!(dataset.annotations[0].oriented.is_some(), corners);
        let outline = matches!(dataset.annotations[0].segmentation, Some(Segmentation::Polygons(_)));
        assert_eq!(outline, !corners);
    }
}

#[test]
fn keypoints_of_yolo_have_the_shape_that_the_configuration_says() {
    let image = png(10, 10);
    let config = "names: {0: person}\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\nkpt_names:\n  0: [left, right]\nroboflow:\n  license: CC BY 4.0\n";
    let row = "0 0.5 0.5 0.2 0.2 0.4 0.4 2.0 0 0 0 0.75\n";
    let place = folder(&[("data.yaml", config.as_bytes()), ("a.png", &image), ("a.txt", row.as_bytes())]);
    let (dataset, findings) = read_folder(Format::Yolo, place.path());
    assert_eq!(rules(&findings), [""; 0]);
    let skeleton = dataset.categories[0].skeleton.as_ref().unwrap();
    assert_eq!((skeleton.keypoints.join(" "), &skeleton.flip), ("left right".to_owned(), &Some(vec![1, 0])));
    let annotation = &dataset.annotations[0];
    let seen: Vec<_> = annotation.keypoints.iter().map(|point| (point.x, point.visibility)).collect();
    assert_eq!(seen, [(4.0, Visibility::Visible), (0.0, Visibility::Absent)]);
    assert_eq!(annotation.score, Some(0.75));
    assert_eq!(dataset.info.licences[0].name, "CC BY 4.0");
}

#[test]
fn shapes_of_cvat_become_those_of_the_model() {
    let file = "<?xml version='1.0' encoding='utf-8'?>
<annotations><version>1.1</version>
<meta><task><labels>
<label><name>cat</name><color>#ff0000</color><type>any</type></label>
<label><name>person</name><type>skeleton</type></label>
<label><name>eye</name><type>points</type><parent>person</parent></label>
<label><name>ear</name><type>points</type><parent>person</parent></label>
</labels></task></meta>
<image id='7' name='a.png' subset='Validation' width='4' height='3'>
<box label='cat' source='manual' occluded='1' xtl='1' ytl='1' xbr='3' ybr='2'><attribute name='tail'>long</attribute></box>
<box label='cat' xtl='1' ytl='1' xbr='3' ybr='2' rotation='90'/>
<polygon label='cat' points='0,0;2,0;2,2'/>
<mask label='cat' rle='1, 3' left='1' top='0' width='2' height='2'/>
<skeleton label='person'><points label='ear' outside='0' occluded='1' points='2,1'/><points label='eye' outside='1' points='0,0'/></skeleton>
<polyline label='cat' points='0,0;1,1'/>
<tag label='cat'/>
</image></annotations>";
    let place = folder(&[("annotations.xml", file.as_bytes()), ("images/Validation/a.png", b"")]);
    let (dataset, findings) = read_folder(Format::Cvat, place.path());
    assert_eq!(rules(&findings), [""; 0]);
    assert_eq!(findings.count(Rule::MetadataLost), 1);
    let image = &dataset.images[0];
    assert_eq!(
        (&*image.file, image.split.as_deref(), image.classes.len()),
        ("images/Validation/a.png", Some("val"), 1)
    );
    assert_eq!(dataset.categories.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["cat", "person"]);
    let [plain, turned, outline, mask, person, line] = &dataset.annotations[..] else {
        panic!("expected six, found {}", dataset.annotations.len())
    };
    assert_eq!((plain.bounds.unwrap().width, &plain.attributes["tail"]), (2.0, &"long".into()));
    assert!(turned.oriented.is_some() && turned.bounds.is_none());
    assert_eq!(
        outline.segmentation,
        Some(Segmentation::Polygons(vec![vec![[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]]]))
    );
    // Columns of three: none; a zero and a one; two ones; none.
    let counts = vec![4, 1, 1, 2, 4];
    assert_eq!(
        mask.segmentation,
        Some(Segmentation::Rle(Rle { height: 3, width: 4, counts, compressed: false }))
    );
    let seen: Vec<_> = person.keypoints.iter().map(|point| point.visibility).collect();
    assert_eq!(seen, [Visibility::Absent, Visibility::Hidden]);
    assert_eq!((&line.attributes["shape"], line.bounds), (&"polyline".into(), None));
}

#[test]
fn frames_of_a_video_are_images() {
    let file = "<annotations><version>1.1</version><meta><original_size><width>8</width><height>6</height></original_size></meta>
<track id='3' label='cat'>
<box frame='0' outside='0' keyframe='1' xtl='1' ytl='1' xbr='2' ybr='2'/>
<box frame='1' outside='0' keyframe='0' xtl='2' ytl='1' xbr='3' ybr='2'/>
<box frame='2' outside='1' keyframe='1' xtl='2' ytl='1' xbr='3' ybr='2'/>
</track></annotations>";
    let place = folder(&[("annotations.xml", file.as_bytes()), ("images/frame_000001.PNG", b"")]);
    let (dataset, findings) = read_folder(Format::Cvat, place.path());
    assert_eq!(rules(&findings), [""; 0]);
    let found: Vec<_> = dataset.images.iter().map(|one| (&*one.file, one.width)).collect();
    assert_eq!(found, [("frame_000000.png", Some(8)), ("images/frame_000001.PNG", Some(8))]);
    assert_eq!(dataset.annotations[1].attributes["track_id"], "3");
}

#[test]
fn folders_are_classes() {
    let place = folder(&[
        ("train/cat/a.jpg", b""),
        ("train/dog/deep/b.jpg", b""),
        ("val/cat/c.jpg", b""),
        ("d.jpg", b""),
    ]);
    let (dataset, findings) = read_folder(Format::ImageFolder, place.path());
    assert_eq!(rules(&findings), [""; 0]);
    let name =
        |image: &Image| image.classes.first().map(|class| dataset.categories[class.0 as usize].name.clone());
    let found: Vec<_> = dataset
        .images
        .iter()
        .map(|one| (&*one.file, one.split.as_deref(), name(one), one.labelled))
        .collect();
    let expected = [
        ("d.jpg", None, None, false),
        ("train/cat/a.jpg", Some("train"), Some("cat".to_owned()), true),
        ("train/dog/deep/b.jpg", Some("train"), Some("dog".to_owned()), true),
        ("val/cat/c.jpg", Some("val"), Some("cat".to_owned()), true),
    ];
    assert_eq!(found, expected);
}
