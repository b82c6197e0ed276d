//! Masks of COCO: runs as a list of numbers, or as the compressed string of pycocotools.

use std::borrow::Cow;

use crate::{
    Image, Limits, Rle, Rule,
    formats::json::{Node, Record, Told},
};

/// The field that all findings are of.
const FIELD: &str = "segmentation";

/// Reads a mask. It is left out with its annotation unless its runs fill it and it is of its image's size.
pub(super) fn read(
    record: &mut Record<'_, '_>,
    fields: Vec<(Cow<'_, str>, Node<'_>)>,
    image: &Image,
    limits: &Limits,
) -> Result<Rle, Told> {
    let (mut size, mut counts) = (None, None);
    for (key, node) in fields {
        match key.as_ref() {
            "size" => size = Some(node),
            "counts" => counts = Some(node),
            _ => {}
        }
    }
    let (Some(size), Some(counts)) = (size, counts) else {
        return Err(record.tell(
            FIELD,
            Rule::MissingField,
            "expected a mask with `size` and `counts`, found one without",
        ));
    };
    let [height, width] = dimensions(record, &size, limits)?;
    let declared = [image.height.unwrap_or(height), image.width.unwrap_or(width)];
    if declared != [height, width] {
        let found = format!("expected the image's height and width, {declared:?}, found [{height}, {width}]");
        return Err(record.tell(FIELD, Rule::RleSizeMismatch, found));
    }
    let (counts, compressed) = match &counts {
        Node::Text(text) => (decompress(record, text, height, width, limits)?, true),
        Node::List(rows) => (runs(record, rows, limits)?, false),
        other => {
            return Err(record.tell(
                FIELD,
                Rule::BadType,
                format!("expected counts as a list or a text, found {other}"),
            ));
        }
    };
    let (filled, pixels) =
        (counts.iter().map(|run| u64::from(*run)).sum::<u64>(), u64::from(height) * u64::from(width));
    if filled != pixels {
        return Err(record.tell(
            FIELD,
            Rule::RleLength,
            format!("expected runs over {pixels} pixels, found {filled}"),
        ));
    }
    Ok(Rle { height, width, counts, compressed })
}

fn dimensions(record: &mut Record<'_, '_>, node: &Node<'_>, limits: &Limits) -> Result<[u32; 2], Told> {
    let size = record.tuple::<2>(FIELD, node)?;
    if size.iter().any(|side| *side < 0.0) {
        return Err(record.tell(
            FIELD,
            Rule::NegativeSize,
            format!("expected height and width, found {size:?}"),
        ));
    }
    if size.iter().any(|side| side.fract() != 0.0) {
        return Err(record.tell(FIELD, Rule::BadType, format!("expected whole numbers, found {size:?}")));
    }
    if size[0] * size[1] > limits.mask_pixels as f64 || size.iter().any(|side| *side > f64::from(u32::MAX)) {
        let found = format!(
            "expected a mask of at most {} pixels, found {} by {}",
            limits.mask_pixels, size[0], size[1]
        );
        return Err(record.tell(FIELD, Rule::ResourceLimit, found));
    }
    // Whole, and within the range of u32.
    Ok(size.map(|side| side as u32))
}

fn runs(record: &mut Record<'_, '_>, rows: &[Node<'_>], limits: &Limits) -> Result<Vec<u32>, Told> {
    if rows.len() > limits.vertices {
        return Err(record.tell(
            FIELD,
            Rule::ResourceLimit,
            format!("expected at most {} runs, found {}", limits.vertices, rows.len()),
        ));
    }
    let mut runs = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(number) = row.number() else {
            return Err(record.tell(FIELD, Rule::BadType, format!("expected lengths of runs, found {row}")));
        };
        match row.whole().and_then(|run| u32::try_from(run).ok()) {
            Some(run) => runs.push(run),
            None if number.fract() != 0.0 => {
                return Err(record.tell(
                    FIELD,
                    Rule::BadType,
                    format!("expected whole lengths of runs, found {row}"),
                ));
            }
            None => {
                return Err(record.tell(
                    FIELD,
                    Rule::RleLength,
                    format!("expected lengths of runs, found {row}"),
                ));
            }
        }
    }
    Ok(runs)
}

fn decompress(
    record: &mut Record<'_, '_>,
    text: &str,
    height: u32,
    width: u32,
    limits: &Limits,
) -> Result<Vec<u32>, Told> {
    // A run is one character at least.
    if text.len() / 8 > limits.vertices {
        return Err(record.tell(
            FIELD,
            Rule::ResourceLimit,
            format!("expected at most {} runs, found {} characters", limits.vertices, text.len()),
        ));
    }
    match hotcoco::mask::rle_from_string(text, height, width) {
        Ok(rle) => Ok(rle.counts),
        Err(error) => Err(record.tell(
            FIELD,
            Rule::RleLength,
            format!("expected runs over {height} by {width} pixels: {error}"),
        )),
    }
}

/// The compressed string of a mask.
pub(super) fn compress(rle: &Rle) -> String {
    hotcoco::mask::rle_to_string(&hotcoco::Rle { h: rle.height, w: rle.width, counts: rle.counts.clone() })
}
