//! Whatever stands in the files, a reader answers: it never panics, and what it gives keeps to the model.

use std::fs;

use proptest::prelude::*;
use residual_vision::{Dataset, Findings, Folder, Format, Limits, detect, read, write};

use super::{corrupt, folder, png};

fn check(dataset: &Dataset, limits: &Limits) {
    for annotation in &dataset.annotations {
        assert!((annotation.image.0 as usize) < dataset.images.len());
        assert!((annotation.category.0 as usize) < dataset.categories.len());
        if let Some(bounds) = annotation.bounds {
            assert!(
                bounds.width >= 0.0 && bounds.height >= 0.0 && bounds.x.is_finite() && bounds.y.is_finite()
            );
        }
    }
    assert!(dataset.annotations.len() <= limits.annotations);
    for image in &dataset.images {
        assert!(!image.file.split('/').any(|part| part == ".."), "{}", image.file);
    }
}

/// Every reader is shown the folder, whatever it is; what they give can be written.
fn show(files: &[(&str, &[u8])]) {
    let place = folder(files);
    let limits = Limits { annotations: 50, categories: 20, vertices: 100, files: 100, ..Limits::default() };
    let mut findings = Findings::new(3);
    let folder = Folder::list(place.path(), &limits, &mut findings).unwrap();
    let _ = detect(&folder, &limits);
    for format in Format::ALL {
        let dataset = read(&folder, *format, &limits, &mut findings);
        check(&dataset, &limits);
        if dataset.images.is_empty() {
            continue;
        }
        for format in [Format::Yolo, Format::Voc] {
            let out = tempfile::tempdir().unwrap();
            write(&dataset, format, out.path()).unwrap();
        }
    }
}

/// Good files of every format.
const GOOD: &[(&str, &[u8])] = &[
    ("data.yaml", b"path: .\ntrain: images\nval: [val.txt]\nnc: 2\nnames:\n  0: cat\n  1: dog\nkpt_shape: [1, 3]\nflip_idx: [0]\n"),
    ("val.txt", b"./images/b.png\n"),
    ("labels/a.txt", b"0 0.5 0.5 0.2 0.2 0.5 0.5 2\n1 0.1 0.1 0.2 0.2 0.1 0.1 0 0.9\n"),
    ("flat/labels/a.txt", b"0 0.5 0.5 0.2 0.2\n0 0.1 0.1 0.9 0.1 0.5 0.5\n"),
    ("labelTxt/a.txt", b"imagesource:x\ngsd:0.1\n1 1 5 1 5 5 1 5 ship 0\n"),
    ("obj.data", b"classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n"),
    ("obj.names", b"cat\ndog\n"),
    ("Annotations/a.xml", b"<?xml version=\"1.0\"?><annotation><folder>x</folder><filename>a.png</filename><size><width>10</width><height>8</height></size><object><name>cat</name><part><name>head</name></part><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"),
    ("ImageSets/Main/train.txt", b"a\n"),
    ("labelmap.txt", b"# label\ncat:::\ndog:::\n"),
    ("annotations.xml", b"<annotations><version>1.1</version><meta><labels><label><name>cat</name><type>skeleton</type></label><label><name>eye</name><parent>cat</parent></label></labels></meta><image id='0' name='a.png' width='10' height='8'><box label='cat' xtl='1' ytl='1' xbr='2' ybr='2' rotation='5'/><mask label='cat' rle='1, 3' left='1' top='0' width='2' height='2'/><skeleton label='cat'><points label='eye' points='1,2'/></skeleton><polygon label='cat' points='1,2;3,4;5,6'/></image><track label='cat'><box frame='1' xtl='1' ytl='1' xbr='2' ybr='2'/></track></annotations>"),
];

/// A change somewhere: some bytes taken out, and others put in.
fn changed() -> impl Strategy<Value = (usize, prop::sample::Index, usize, Vec<u8>)> {
    let word = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        "[0-9.eE+\\- \\n]{0,8}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "nan",
            "-1",
            "99999999999999999999",
            "1e308",
            "../",
            "/",
            "&a;",
            "<",
            ">",
            "'",
            "<!DOCTYPE a [<!ENTITY b 'c'>]>",
            "]]>",
            "<![CDATA[",
            "\0",
            "[[[[",
            "{",
            "*a",
            "&a",
            ":",
            "- ",
            "\r\n",
            "\u{feff}",
            "0x10",
            "4294967296",
            ",",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
    ];
    (0..GOOD.len(), any::<prop::sample::Index>(), 0usize..6, word)
}

proptest! {
    #[test]
    fn good_files_that_chance_has_changed(changes in prop::collection::vec(changed(), 1..4)) {
        let mut files: Vec<(&str, Vec<u8>)> = GOOD.iter().map(|(path, content)| (*path, content.to_vec())).collect();
        for (which, at, out, put) in changes {
            let content = &mut files[which].1;
            let from = at.index(content.len() + 1);
            let to = (from + out).min(content.len());
            content.splice(from..to, put);
        }
        let image = png(10, 8);
        files.extend([("images/a.png", image.clone()), ("JPEGImages/a.png", image)]);
        show(&files.iter().map(|(path, content)| (*path, content.as_slice())).collect::<Vec<_>>());
    }

    #[test]
    fn bytes_of_no_meaning(content in prop::collection::vec(any::<u8>(), 0..200), which in 0..GOOD.len()) {
        show(&[(GOOD[which].0, &content), ("images/a.png", &content), ("a.jpg", &content), ("a.txt", &content)]);
    }

    /// Headers of images are read by their own words, which may lie.
    #[test]
    fn headers_that_lie(
        kind in prop::sample::select(vec!["\u{89}PNG", "BM", "GIF89a", "RIFF....WEBPVP8 ", "RIFF....WEBPVP8L", "RIFF....WEBPVP8X", "II*\0", "MM\0*", "II+\0"]),
        rest in prop::collection::vec(any::<u8>(), 0..60),
        jpeg in any::<bool>(),
    ) {
        let mut image: Vec<u8> = if jpeg { vec![0xff, 0xd8, 0xff] } else { kind.chars().map(|one| one as u8).collect() };
        image.extend(rest);
        show(&[("images/a.png", &image), ("labels/a.txt", b"0 0.5 0.5 0.2 0.2\n")]);
    }
}

#[test]
fn every_broken_file_of_any_format_is_survived_by_every_reader() {
    for folder in ["coco", "voc", "yolo/labels"] {
        for entry in fs::read_dir(corrupt(folder)).unwrap() {
            let content = fs::read(entry.unwrap().path()).unwrap();
            for (path, _) in GOOD {
                show(&[(path, &content)]);
            }
        }
    }
}
