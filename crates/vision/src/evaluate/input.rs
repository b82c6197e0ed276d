//! Both inputs, checked and in the engine's form.

use std::{collections::HashMap, io::Read, path::Path};

use cap_std::{ambient_authority, fs::File};
use hotcoco::{Annotation as Row, COCO, Dataset as Rows, Segmentation as RowSegmentation, mask::RleRef};
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{EvaluateError, Kind};
use crate::{
    Annotation, CategoryIndex, Dataset, ImageIndex, Limits, Segmentation, Visibility,
    geometry::{drawable, polygon},
};

/// Classes in all: for each the engine keeps 24,240 numbers.
const CLASSES: usize = 5_000;

/// Pairs of an object and a detection of one class in one image, in all: the engine keeps eight bytes of each.
const PAIRS: u64 = 1 << 27;

/// What a file may take when it is parsed: a record has 300 bytes, a value in it 32.
const PARSED_BYTES: u64 = 8 << 30;
const RECORD_BYTES: u64 = 300;
const VALUE_BYTES: u64 = 32;

/// Bytes of a file that are looked at together.
const BLOCK: usize = 1 << 20;

fn too_much(what: &'static str, limit: u64, found: u64) -> Result<(), EvaluateError> {
    if found > limit { Err(EvaluateError::TooMuch { what, limit, found }) } else { Ok(()) }
}

/// Refuses what is no file, and a file that is larger than the limits or would be when parsed.
pub(super) fn check_file(path: &Path, limits: &Limits) -> Result<(), EvaluateError> {
    let failed =
        |reason: String| EvaluateError::File { expected: "a file", path: path.display().to_string(), reason };
    // Before it is opened: to open a pipe would wait for somebody at its other end.
    let metadata = path.metadata().map_err(|error| failed(error.to_string()))?;
    if !metadata.is_file() {
        return Err(failed("it is no regular file".to_owned()));
    }
    too_much("bytes of one file", limits.annotation_file_bytes, metadata.len())?;
    // The smallest record, `{},`, has three bytes.
    if metadata.len() <= PARSED_BYTES / RECORD_BYTES * 3 {
        return Ok(());
    }
    let mut file =
        File::open_ambient(path, ambient_authority()).map_err(|error| failed(error.to_string()))?;
    let mut block = vec![0; BLOCK];
    let (mut records, mut values) = (0, 0);
    loop {
        let read = file.read(&mut block).map_err(|error| failed(error.to_string()))?;
        if read == 0 {
            break;
        }
        let of = |sign: u8| block[..read].iter().filter(|byte| **byte == sign).count() as u64;
        records += of(b'{');
        values += of(b',') + of(b'[');
    }
    too_much("bytes of a file once it is parsed", PARSED_BYTES, RECORD_BYTES * records + VALUE_BYTES * values)
}

pub(super) fn check_counts(truth: &Dataset, detections: usize, limits: &Limits) -> Result<(), EvaluateError> {
    too_much("annotations", limits.annotations as u64, truth.annotations.len() as u64)?;
    too_much("detections", limits.annotations as u64, detections as u64)
}

/// The dataset in the engine's form, with what this comparison needs of it.
pub(super) fn truth(truth: &Dataset, kind: Kind, keypoints: usize) -> Result<Rows, EvaluateError> {
    let images = truth.images.iter().map(|image| hotcoco::Image {
        id: image.id,
        width: image.width.unwrap_or(0),
        height: image.height.unwrap_or(0),
        ..hotcoco::Image::default()
    });
    let categories = truth.categories.iter().map(|category| hotcoco::Category {
        id: category.id,
        name: category.name.clone(),
        ..hotcoco::Category::default()
    });
    let mut rows = Rows { images: images.collect(), categories: categories.collect(), ..Rows::default() };
    let annotations = truth.annotations.iter().enumerate().map(|(row, annotation)| {
        let mut made = make(&rows, "annotations", row, annotation, kind)?;
        made.id = annotation.id;
        made.area = annotation.area.or_else(|| area(annotation));
        // Crowds and objects whose keypoints nobody labelled: COCO writes as many zeros.
        if kind == Kind::Keypoints && annotation.keypoints.is_empty() {
            made.keypoints = Some(vec![0.0; 3 * keypoints]);
        }
        made.num_keypoints = made.keypoints.as_ref().map(|points| {
            let labelled = points.chunks_exact(3).filter(|point| point[2] > 0.0).count();
            u32::try_from(labelled).unwrap_or(u32::MAX)
        });
        Ok(made)
    });
    rows.annotations = annotations.collect::<Result<_, EvaluateError>>()?;
    Ok(rows)
}

/// Detections in the engine's form.
pub(super) fn detections(
    truth: &Rows,
    detections: &[Annotation],
    kind: Kind,
) -> Result<Vec<Row>, EvaluateError> {
    let rows = detections.iter().enumerate();
    rows.map(|(row, detection)| {
        let mut made = make(truth, "detections", row, detection, kind)?;
        made.score = detection.score;
        if kind == Kind::Oriented {
            // With an upright box its area would be taken, not the oriented one's.
            made.bbox = None;
        }
        Ok(made)
    })
    .collect()
}

fn make(
    rows: &Rows,
    list: &'static str,
    row: usize,
    of: &Annotation,
    kind: Kind,
) -> Result<Row, EvaluateError> {
    let unknown = |expected: &str, index: u32| {
        let found = format!("number {index}");
        EvaluateError::Record { list, row, expected: expected.to_owned(), found }
    };
    let image =
        rows.images.get(of.image.0 as usize).ok_or_else(|| unknown("an image of the dataset", of.image.0))?;
    let category = rows.categories.get(of.category.0 as usize);
    let category = category.ok_or_else(|| unknown("a category of the dataset", of.category.0))?;
    let segmentation = of.segmentation.as_ref().filter(|_| kind == Kind::Masks);
    let points = of.keypoints.iter().flat_map(|point| {
        let visibility = match point.visibility {
            Visibility::Absent => 0.0,
            Visibility::Hidden => 1.0,
            Visibility::Visible => 2.0,
        };
        [point.x, point.y, visibility]
    });
    let oriented = of.oriented.as_deref().filter(|_| kind == Kind::Oriented);
    let oriented = oriented.map(|one| hotcoco::geometry::corners_to_obb(one.0.as_flattened())).transpose()?;
    Ok(Row {
        image_id: image.id,
        category_id: category.id,
        bbox: of.bounds.map(|one| [one.x, one.y, one.width, one.height]),
        segmentation: segmentation.map(|one| match one {
            Segmentation::Polygons(polygons) => {
                RowSegmentation::Polygon(polygons.iter().map(|one| one.as_flattened().to_vec()).collect())
            }
            Segmentation::Rle(rle) => {
                RowSegmentation::UncompressedRle { size: [rle.height, rle.width], counts: rle.counts.clone() }
            }
        }),
        keypoints: (kind == Kind::Keypoints && !of.keypoints.is_empty()).then(|| points.collect()),
        obb: oriented.map(Box::new),
        iscrowd: of.crowd,
        ..Row::default()
    })
}

/// The area of an object whose format says none: as COCO reckons it, by the outline.
fn area(annotation: &Annotation) -> Option<f64> {
    match (&annotation.segmentation, &annotation.oriented) {
        (Some(Segmentation::Polygons(polygons)), _) if !polygons.is_empty() => {
            Some(polygons.iter().map(|one| polygon::area(one)).sum())
        }
        (Some(Segmentation::Rle(rle)), _) => Some(rle.area() as f64),
        (_, Some(oriented)) => Some(oriented.area()),
        _ => annotation.bounds.map(|bounds| bounds.area()),
    }
}

/// Refuses a dataset that the comparison cannot take.
pub(super) fn check_truth(
    rows: &Rows,
    kind: Kind,
    keypoints: usize,
    limits: &Limits,
) -> Result<(), EvaluateError> {
    too_much("annotations", limits.annotations as u64, rows.annotations.len() as u64)?;
    too_much("images", limits.files as u64, rows.images.len() as u64)?;
    too_much("classes", CLASSES as u64, rows.categories.len() as u64)?;
    unique("images", rows.images.iter().map(|image| image.id))?;
    unique("categories", rows.categories.iter().map(|category| category.id))?;
    unique("annotations", rows.annotations.iter().map(|annotation| annotation.id))?;
    let sizes = sizes(rows);
    let need = |row: &Row| {
        if row.area.is_none_or(|area| !area.is_finite()) {
            return Err(("an area that is a number", format!("{:?}", row.area)));
        }
        Ok(())
    };
    check_rows("annotations", &rows.annotations, |row| {
        need(row)?;
        // Only what the comparison visits: an annotation of an image that is not listed is nobody's.
        match sizes.get(&row.image_id) {
            Some(size) => check_shape(row, *size, kind, keypoints, limits),
            None => Ok(()),
        }
    })
}

/// Refuses detections that the comparison cannot take.
pub(super) fn check_detections(
    truth: &Rows,
    rows: &[Row],
    kind: Kind,
    keypoints: usize,
    limits: &Limits,
) -> Result<(), EvaluateError> {
    too_much("detections", limits.annotations as u64, rows.len() as u64)?;
    let sizes = sizes(truth);
    check_rows("detections", rows, |row| {
        if row.score.is_none_or(|score| !score.is_finite()) {
            return Err(("a score that is a number", format!("{:?}", row.score)));
        }
        let size = sizes.get(&row.image_id);
        let size = size.ok_or_else(|| ("an image of the dataset", format!("image {}", row.image_id)))?;
        check_shape(row, *size, kind, keypoints, limits)
    })
}

/// What a record should have, and what it has.
type Fault = (&'static str, String);

/// Says the first fault, by all threads.
fn check_rows(
    list: &'static str,
    rows: &[Row],
    check: impl Fn(&Row) -> Result<(), Fault> + Sync,
) -> Result<(), EvaluateError> {
    let fault = rows.par_iter().enumerate().find_map_first(|(row, record)| Some((row, check(record).err()?)));
    match fault {
        Some((row, (expected, found))) => {
            Err(EvaluateError::Record { list, row, expected: expected.to_owned(), found })
        }
        None => Ok(()),
    }
}

fn sizes(rows: &Rows) -> FxHashMap<u64, [u32; 2]> {
    rows.images.iter().map(|image| (image.id, [image.height, image.width])).collect()
}

fn unique(list: &'static str, ids: impl ExactSizeIterator<Item = u64>) -> Result<(), EvaluateError> {
    let mut seen = FxHashSet::with_capacity_and_hasher(ids.len(), rustc_hash::FxBuildHasher);
    for (row, id) in ids.enumerate() {
        if !seen.insert(id) {
            let (expected, found) = ("an id of its own".to_owned(), format!("{id} again"));
            return Err(EvaluateError::Record { list, row, expected, found });
        }
    }
    Ok(())
}

fn check_shape(
    row: &Row,
    size: [u32; 2],
    kind: Kind,
    keypoints: usize,
    limits: &Limits,
) -> Result<(), Fault> {
    let numbers = |expected: &'static str, numbers: Option<&[f64]>| match numbers {
        Some(numbers) if numbers.iter().all(|number| number.is_finite()) => Ok(()),
        Some(numbers) => Err((expected, format!("{:?}", &numbers[..numbers.len().min(5)]))),
        None => Err((expected, "none".to_owned())),
    };
    match kind {
        Kind::Boxes => numbers("a box of four numbers", row.bbox.as_ref().map(|one| &one[..])),
        Kind::Oriented => numbers("an oriented box of numbers", row.obb.as_deref().map(|one| &one[..])),
        Kind::Masks => check_mask(row, size, limits),
        Kind::Keypoints => {
            numbers("keypoints that are numbers", row.keypoints.as_deref())?;
            numbers("a box of four numbers", row.bbox.as_ref().map(|one| &one[..])).or_else(|fault| {
                // The engine finds a detection's box itself.
                if row.score.is_some() { Ok(()) } else { Err(fault) }
            })?;
            let found = row.keypoints.as_ref().map_or(0, Vec::len);
            if found == 3 * keypoints {
                Ok(())
            } else {
                Err((
                    "three numbers for each keypoint that a sigma is known of",
                    format!("{found} for {keypoints}"),
                ))
            }
        }
    }
}

fn check_mask(row: &Row, [height, width]: [u32; 2], limits: &Limits) -> Result<(), Fault> {
    if height == 0 || width == 0 {
        return Err(("an image whose width and height are known", format!("{width} x {height}")));
    }
    let pixels = u64::from(height) * u64::from(width);
    if pixels > limits.mask_pixels {
        return Err(("an image of fewer pixels", format!("{width} x {height}")));
    }
    let Some(segmentation) = &row.segmentation else { return Err(("a mask or outlines", "none".to_owned())) };
    if let Some(polygons) = segmentation.polygons() {
        let short = polygons.iter().find(|one| one.len() < 6 || one.len() % 2 != 0);
        if let Some(short) = short {
            return Err(("outlines of three vertices or more", format!("{} numbers", short.len())));
        }
        if polygons.iter().map(Vec::len).sum::<usize>() > 2 * limits.vertices || pairwise(&polygons) > PAIRS {
            return Err(("outlines with fewer vertices", format!("{} outlines", polygons.len())));
        }
        let points = polygons.iter().map(|one| one.as_chunks().0.to_vec()).collect::<Vec<_>>();
        return if drawable(&points, height, width, limits) {
            Ok(())
        } else {
            Err(("outlines that can be drawn", format!("{} outlines in {width} x {height}", polygons.len())))
        };
    }
    let Some(mask) = segmentation.rle_ref() else {
        return Err(("a mask or outlines", "something else".to_owned()));
    };
    let (RleRef::Compressed { h, w, .. } | RleRef::Runs { h, w, .. }) = mask;
    if (h, w) != (height, width) {
        return Err(("a mask of its image's size", format!("{w} x {h} for {width} x {height}")));
    }
    let bytes = match mask {
        RleRef::Compressed { counts, .. } => counts.len() as u64,
        RleRef::Runs { counts, .. } => counts.len() as u64,
    };
    // A run takes a byte at least, and at most seven.
    if bytes > 8 * limits.vertices as u64 {
        return Err(("a mask of fewer runs", format!("{bytes} bytes")));
    }
    let runs = mask.to_rle().map_err(|error| ("a mask", error.to_string()))?.counts;
    let filled: u64 = runs.iter().map(|run| u64::from(*run)).sum();
    if filled == pixels {
        Ok(())
    } else {
        Err(("runs that fill the mask", format!("{filled} of {pixels} pixels")))
    }
}

/// The engine joins outlines one by one, each with all before it: what this costs, in vertices.
fn pairwise(polygons: &[Vec<f64>]) -> u64 {
    polygons.iter().map(Vec::len).sum::<usize>() as u64 * polygons.len() as u64
}

/// Refuses inputs with too many detections beside too many objects of one class in one image.
pub(super) fn check_pairs(truth: &COCO, found: &COCO) -> Result<(), EvaluateError> {
    let pairs = truth.nonempty_img_cat_pairs().map(|(image, class)| {
        let objects = truth.get_ann_ids_for_img_cat(image, class).len() as u64;
        objects.saturating_mul(found.get_ann_ids_for_img_cat(image, class).len() as u64)
    });
    too_much("pairs of an object and a detection", PAIRS, pairs.fold(0, u64::saturating_add))?;
    // For the confusion of classes an image's best hundred detections are held beside all of its objects.
    let most = truth
        .nonempty_img_ids()
        .map(|image| truth.get_ann_ids_for_img(image).len() as u64)
        .max()
        .unwrap_or(0);
    too_much("objects in one image", PAIRS / 100, most)
}

/// Gives detections the indices of `truth`.
pub(super) fn align(truth: &Dataset, detections: &mut Dataset) -> Result<(), EvaluateError> {
    let numbered = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
    let files: HashMap<&str, u32> = truth
        .images
        .iter()
        .enumerate()
        .map(|(index, image)| (image.file.as_str(), numbered(index)))
        .collect();
    let names: HashMap<&str, u32> = truth
        .categories
        .iter()
        .enumerate()
        .map(|(index, one)| (one.name.as_str(), numbered(index)))
        .collect();
    let missing = |list, row, what: &str, name: &str| EvaluateError::Record {
        list,
        row,
        expected: format!("{what} of the dataset"),
        found: format!("`{name}`"),
    };
    for (row, annotation) in detections.annotations.iter_mut().enumerate() {
        let file = detections.images.get(annotation.image.0 as usize).map_or("", |image| &image.file);
        let name = detections.categories.get(annotation.category.0 as usize).map_or("", |one| &one.name);
        let image = files.get(file).ok_or_else(|| missing("detections", row, "an image", file))?;
        let class = names.get(name).ok_or_else(|| missing("detections", row, "a class", name))?;
        (annotation.image, annotation.category) = (ImageIndex(*image), CategoryIndex(*class));
    }
    Ok(())
}
