//! From the engine's arrays to figures.

use std::collections::{BTreeMap, HashMap};

use hotcoco::{AccumulatedEval, COCOeval};

use super::{ClassFigures, Confusion, ConfusionAt, Curve, EvaluateError, Figure, Slice};

/// The overlaps that curves are given of.
const CURVES: [f64; 2] = [0.5, 0.75];

/// Above this many classes their confusion is left out: the engine's table has the square of it.
pub(super) const CONFUSED_CLASSES: usize = 2_000;

/// What the engine writes where there was nothing to measure.
fn measured(value: f64) -> Option<f64> {
    (value >= 0.0).then_some(value)
}

pub(super) fn summary(engine: &mut COCOeval) -> Vec<Figure> {
    engine.summarize_lines();
    let names = engine.metric_keys();
    let values = engine.stats().unwrap_or_default();
    names
        .iter()
        .zip(values)
        .map(|(name, value)| Figure { name: (*name).to_owned(), value: measured(*value) })
        .collect()
}

/// One class, one range of sizes and the largest number of detections an image, of the engine's arrays.
struct Cells<'a> {
    engine: &'a COCOeval,
    arrays: &'a AccumulatedEval,
    class: usize,
    size: usize,
}

impl Cells<'_> {
    fn precision(&self, overlap: usize) -> impl Iterator<Item = f64> {
        self.of(&self.arrays.precision, overlap)
    }

    fn scores(&self, overlap: usize) -> impl Iterator<Item = f64> {
        self.of(&self.arrays.scores, overlap)
    }

    fn of<'b>(&self, values: &'b [f64], overlap: usize) -> impl Iterator<Item = f64> + use<'b> {
        let (shape, class, size, most) =
            (self.arrays.shape, self.class, self.size, self.engine.params.max_det_idx());
        (0..shape.r).map(move |recall| values[shape.precision_idx(overlap, recall, class, size, most)])
    }

    /// The mean precision over these overlaps and all recalls.
    fn ap(&self, overlaps: impl Iterator<Item = usize>) -> Option<f64> {
        mean(&overlaps.flat_map(|overlap| self.precision(overlap)).filter_map(measured).collect::<Vec<_>>())
    }

    /// The mean recall over all overlaps.
    fn ar(&self) -> Option<f64> {
        let most = self.engine.params.max_det_idx();
        let recall =
            |overlap| self.arrays.recall[self.arrays.recall_idx(overlap, self.class, self.size, most)];
        mean(&(0..self.arrays.shape.t).map(recall).filter_map(measured).collect::<Vec<_>>())
    }
}

pub(super) fn classes(engine: &COCOeval) -> Vec<ClassFigures> {
    let Some(arrays) = engine.accumulated() else { return Vec::new() };
    let mut counts: HashMap<u64, (u64, u64)> = HashMap::new();
    for object in engine.coco_gt().dataset.annotations.iter().filter(|object| !object.iscrowd) {
        counts.entry(object.category_id).or_default().0 += 1;
    }
    for detection in &engine.coco_dt().dataset.annotations {
        counts.entry(detection.category_id).or_default().1 += 1;
    }
    let params = &engine.params;
    let all_sizes = params.all_area_idx();
    let of_class = |(class, id): (usize, &u64)| {
        let cells = |size| Cells { engine, arrays, class, size };
        let at =
            |overlap| params.iou_thr_idx(overlap).and_then(|overlap| cells(all_sizes).ap(overlap..=overlap));
        let by_size = (0..arrays.shape.a).filter(|size| *size != all_sizes).map(|size| Figure {
            name: params.area_ranges[size].label.clone(),
            value: cells(size).ap(0..arrays.shape.t),
        });
        let (objects, detections) = counts.get(id).copied().unwrap_or_default();
        ClassFigures {
            id: *id,
            name: engine.coco_gt().cat_name(*id),
            objects,
            detections,
            ap: cells(all_sizes).ap(0..arrays.shape.t),
            ap50: at(0.5),
            ap75: at(0.75),
            ar: cells(all_sizes).ar(),
            ap_by_size: by_size.collect(),
        }
    };
    arrays.cat_ids.iter().enumerate().map(of_class).collect()
}

pub(super) fn curves(engine: &COCOeval) -> Vec<Curve> {
    let Some(arrays) = engine.accumulated() else { return Vec::new() };
    let size = engine.params.all_area_idx();
    let mut curves = Vec::new();
    for (class, id) in arrays.cat_ids.iter().enumerate() {
        let cells = Cells { engine, arrays, class, size };
        for overlap in CURVES {
            let Some(index) = engine.params.iou_thr_idx(overlap) else { continue };
            let precision: Vec<f64> = cells.precision(index).collect();
            if precision.iter().any(|value| measured(*value).is_some()) {
                curves.push(Curve { class: *id, overlap, precision, score: cells.scores(index).collect() });
            }
        }
    }
    curves
}

pub(super) fn confusion(engine: &COCOeval, at: ConfusionAt) -> Confusion {
    if engine.params.cat_ids.len() > CONFUSED_CLASSES {
        return Confusion { at, counts: Vec::new() };
    }
    let matrix = engine.confusion_matrix(at.overlap, None, Some(at.score));
    let class = |index: usize| matrix.cat_ids.get(index).copied();
    let side = matrix.num_cats + 1;
    let counts = (0..side).flat_map(|there| (0..side).map(move |detected| (there, detected)));
    let counts = counts.map(|(there, detected)| (class(there), class(detected), matrix.get(there, detected)));
    Confusion { at, counts: counts.filter(|(_, _, count)| *count > 0).collect() }
}

pub(super) fn slices(
    engine: &COCOeval,
    slices: &BTreeMap<String, Vec<u64>>,
) -> Result<Vec<Slice>, EvaluateError> {
    if slices.is_empty() {
        return Ok(Vec::new());
    }
    // By number, since the engine keeps a name for itself.
    let numbered =
        slices.values().enumerate().map(|(number, images)| (number.to_string(), images.clone())).collect();
    let mut of: HashMap<String, _> =
        engine.slice_by(numbered)?.slices.into_iter().map(|slice| (slice.name.clone(), slice)).collect();
    let names = engine.metric_keys();
    let slices = slices.keys().enumerate().filter_map(|(number, name)| {
        let slice = of.remove(&number.to_string())?;
        let value = |metric: &str| slice.metrics.get(metric).copied().and_then(measured);
        let summary =
            names.iter().map(|metric| Figure { name: (*metric).to_owned(), value: value(metric) }).collect();
        Some(Slice { name: name.clone(), images: slice.num_images as u64, summary })
    });
    Ok(slices.collect())
}

/// The mean, in the order in which numpy adds, so that it is the one a script with pycocotools' arrays finds.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| numpy_sum(values) / values.len() as f64)
}

/// numpy adds up to 128 numbers in eight lanes, and more by halves.
fn numpy_sum(values: &[f64]) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if values.len() > BLOCK {
        let middle = values.len() / 2;
        let (first, second) = values.split_at(middle - middle % LANES);
        return numpy_sum(first) + numpy_sum(second);
    }
    let (rows, rest) = values.as_chunks::<LANES>();
    let Some((first, rows)) = rows.split_first() else { return rest.iter().sum() };
    let mut lanes = *first;
    for row in rows {
        for (lane, value) in lanes.iter_mut().zip(row) {
            *lane += value;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy 2.3.5: `numpy.sum(1 / numpy.arange(1, n + 1))`, whose last bits depend on the order.
    #[test]
    fn sums_are_numpys() {
        for (count, bits) in NUMPY {
            let values: Vec<f64> = (1..=count).map(|at| 1.0 / f64::from(at)).collect();
            assert_eq!(numpy_sum(&values).to_bits(), bits, "{count}");
        }
        assert_eq!(mean(&[]), None);
    }

    const NUMPY: [(u32, u64); 9] = [
        (1, 0x3ff0000000000000),
        (7, 0x4004be2be2be2be2),
        (8, 0x4005be2be2be2be2),
        (9, 0x4006a1ba1ba1ba1b),
        (15, 0x400a8bbba47475d4),
        (128, 0x4015bb8ae9541ca7),
        (129, 0x4015c37b09149ba9),
        (1000, 0x401df11f45f4e61a),
        (12345, 0x4023ff1c4577de48),
    ];
}
