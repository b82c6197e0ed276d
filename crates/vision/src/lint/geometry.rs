//! Rules on shapes: each annotation by itself, then those of one image beside each other, then boxes beside their class.
//!
//! A broken shape is said once: a box without area or beyond its image is not compared with its mask, and a mask that is
//! not in its box is not compared with the area. Sizes are those that the annotations declare; without one, what needs it
//! is not asked.

use rayon::prelude::*;

use crate::{
    Annotation, Bounds, Category, Dataset, Findings, Image, Keypoint, Limits, Quadrangle, Rle, Rule,
    Segmentation, Visibility,
    geometry::{Crossing, polygon},
};

/// How far beyond its image a shape may reach, in pixels: formats that count pixels from 1, or a last pixel as included,
/// are off by one.
const BEYOND_PIXELS: f64 = 1.0;

/// How far each edge of a box may be from its mask's: 2 pixels, since either may count its last pixel as included or
/// outline pixel centres, ...
const BOX_PIXELS: f64 = 2.0;
/// ... or this part of the box's side, since some draw boxes and outlines separately.
const BOX_PART: f64 = 0.1;

/// How far an area may be from the outline's, in parts of the outline's length, and a pixel more: a pixel that the outline
/// cuts is in the mask or not, half of it on average; and an outline through the centres of the outermost pixels encloses
/// that much less than they cover. COCO's masks and outlines differ by up to 0.44.
const AREA_BY_LENGTH: f64 = 0.5;

/// A box under this area in square pixels is tiny: COCO's smallest in val2014 (of 100 images) has 18.
const TINY_PIXELS: f64 = 16.0;
/// But not where it is that much of its image, which then is tiny itself.
const TINY_PART: f64 = 0.01;

/// A box whose edges are all this near to the image's, in pixels, is over the whole image.
const WHOLE_IMAGE_PIXELS: f64 = 1.0;

/// Two boxes with more than this overlap are the same box: they differ by less than a twentieth.
const SAME_BOX: f64 = 0.95;
/// Two masks with less than this overlap are two objects, though their boxes are the same.
const SAME_OBJECT: f64 = 0.5;
/// Pairs of boxes of one image that are looked at: some, and so many for each box, so that the work grows with the number of
/// boxes whoever made them. Only an image with thousands of boxes that begin at one place has more.
const BOX_PAIRS: u64 = 1_000_000;
const PAIRS_OF_A_BOX: u64 = 2_000;

/// Boxes of a class from which on it is known what is usual in it.
const OUTLIER_CLASS: usize = 50;
/// How many robust standard deviations from the class's median a box's size or shape must be. Sizes and shapes in
/// photographs are log-normal, about; their tails are heavier, hence not the customary 3.5.
const OUTLIER_DEVIATIONS: f64 = 6.0;
/// The least robust standard deviation, of natural logarithms: classes whose boxes are nearly of one size would make
/// outliers of boxes that differ by a few percent.
const OUTLIER_SPREAD: f64 = 0.2;
/// From the median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_DEVIATION: f64 = 1.4826;

/// How far apart left and right must be, in parts of the box's longer side, before their order says something.
const APART: f64 = 0.08;

/// Annotations that one thread takes at a time.
const CHUNK: usize = 4096;

pub(crate) fn check(dataset: &Dataset, limits: &Limits, findings: &mut Findings) {
    let sides: Vec<Vec<Sides>> = dataset.categories.iter().map(sides).collect();
    in_parallel(&dataset.annotations, limits, findings, |chunk, findings| {
        for annotation in chunk {
            let Some(image) = dataset.images.get(annotation.image.0 as usize) else { continue };
            let sides = sides.get(annotation.category.0 as usize).map_or(&[][..], Vec::as_slice);
            Shape { annotation, size: size(image), findings }.check(sides);
        }
    });
    let by_image = by_image(dataset);
    let groups: Vec<&[u32]> =
        by_image.chunk_by(|one, other| image_of(dataset, *one) == image_of(dataset, *other)).collect();
    in_parallel(&groups, limits, findings, |chunk, findings| {
        for group in chunk {
            check_neighbours(dataset, group, limits, findings);
        }
    });
    check_outliers(dataset, findings);
}

/// Lets threads look at chunks of the rows, and adds what they find in the rows' order.
fn in_parallel<T: Sync>(
    rows: &[T],
    limits: &Limits,
    findings: &mut Findings,
    look: impl Fn(&[T], &mut Findings) + Sync,
) {
    let found: Vec<Findings> = rows
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut found = Findings::new(limits.findings_per_rule);
            look(chunk, &mut found);
            found
        })
        .collect();
    for some in found {
        findings.append(some);
    }
}

fn size(image: &Image) -> Option<[f64; 2]> {
    let (width, height) = (image.width?, image.height?);
    (width > 0 && height > 0).then(|| [width.into(), height.into()])
}

/// One annotation under the rules that look at it alone.
struct Shape<'a> {
    annotation: &'a Annotation,
    /// Width and height of the image.
    size: Option<[f64; 2]>,
    findings: &'a mut Findings,
}

impl Shape<'_> {
    fn check(mut self, sides: &[Sides]) {
        let annotation = self.annotation;
        let sound = self.check_box() && self.check_reach();
        let simple = self.check_crossing();
        if sound && simple && self.check_mask_in_box() {
            self.check_area();
        }
        self.check_keypoints();
        check_sides(annotation, sides, self.findings);
    }

    fn add(&mut self, rule: Rule, found: String) {
        self.findings.add(rule, &self.annotation.place, found);
    }

    /// Area and size of the box; whether it has any.
    fn check_box(&mut self) -> bool {
        let oriented = self.annotation.oriented.as_deref();
        let Some(bounds) = self.annotation.bounds.or_else(|| oriented.and_then(Quadrangle::bounds)) else {
            return true;
        };
        let area = oriented.map_or(bounds.area(), Quadrangle::area);
        if bounds.width <= 0.0 || bounds.height <= 0.0 || area <= 0.0 {
            let found =
                format!("expected a width and a height over 0, found {} x {}", bounds.width, bounds.height);
            self.add(Rule::DegenerateBox, found);
            return false;
        }
        let of_image = self.size.map(|[width, height]| area / (width * height));
        if area < TINY_PIXELS && of_image.is_none_or(|part| part < TINY_PART) && !self.annotation.crowd {
            self.add(Rule::TinyBox, format!("a box of {:.1} x {:.1} pixels", bounds.width, bounds.height));
        }
        if let Some([width, height]) = self.size {
            let near = |at: f64, edge: f64| (at - edge).abs() <= WHOLE_IMAGE_PIXELS;
            let horizontally = near(bounds.x, 0.0) && near(bounds.right(), width);
            let vertically = near(bounds.y, 0.0) && near(bounds.bottom(), height);
            // In an image of a few pixels every box is near every edge.
            let meant = width.min(height) > 8.0 * WHOLE_IMAGE_PIXELS;
            if meant && horizontally && vertically && oriented.is_none() && !self.annotation.crowd {
                self.add(Rule::WholeImageBox, format!("a box over all of an image of {width} x {height}"));
            }
        }
        true
    }

    /// Whether everything is within the image.
    fn check_reach(&mut self) -> bool {
        let Some([width, height]) = self.size else { return true };
        let shapes = [
            ("box", self.annotation.bounds),
            ("outline", outline_bounds(self.annotation.segmentation.as_ref())),
            ("oriented box", self.annotation.oriented.as_deref().and_then(Quadrangle::bounds)),
        ];
        for (name, bounds) in shapes {
            let Some(bounds) = bounds else { continue };
            let beyond = [-bounds.x, -bounds.y, bounds.right() - width, bounds.bottom() - height];
            let most = beyond.into_iter().fold(0.0, f64::max);
            if most > BEYOND_PIXELS {
                let found = format!(
                    "expected the {name} within the image of {width} x {height}, found it {most:.1} pixels beyond: \
                     {:.1}, {:.1} to {:.1}, {:.1}",
                    bounds.x,
                    bounds.y,
                    bounds.right(),
                    bounds.bottom()
                );
                self.add(Rule::OutOfBounds, found);
                return false;
            }
        }
        true
    }

    /// Whether no outline is known to cross itself.
    fn check_crossing(&mut self) -> bool {
        let Some(Segmentation::Polygons(polygons)) = &self.annotation.segmentation else { return true };
        for outline in polygons {
            if let Crossing::At([x, y]) = polygon::crossing(outline) {
                self.add(
                    Rule::SelfIntersecting,
                    format!("an outline that crosses itself near {x:.1}, {y:.1}"),
                );
                return false;
            }
        }
        true
    }

    /// Whether the box is around the mask.
    fn check_mask_in_box(&mut self) -> bool {
        let Some(bounds) = self.annotation.bounds else { return true };
        let mask = match &self.annotation.segmentation {
            Some(Segmentation::Rle(rle)) => rle.bounds(),
            outlines => outline_bounds(outlines.as_ref()),
        };
        let Some(mask) = mask else { return true };
        let across = BOX_PIXELS.max(BOX_PART * bounds.width);
        let down = BOX_PIXELS.max(BOX_PART * bounds.height);
        let agree = (mask.x - bounds.x).abs() <= across
            && (mask.right() - bounds.right()).abs() <= across
            && (mask.y - bounds.y).abs() <= down
            && (mask.bottom() - bounds.bottom()).abs() <= down;
        if !agree {
            let corners = |one: &Bounds| {
                format!("{:.1}, {:.1} to {:.1}, {:.1}", one.x, one.y, one.right(), one.bottom())
            };
            let found =
                format!("expected the box around its mask ({}), found {}", corners(&mask), corners(&bounds));
            self.add(Rule::MaskBoxMismatch, found);
        }
        agree
    }

    /// A crowd's area is nobody's to say: COCO's own are up to a tenth off.
    fn check_area(&mut self) {
        let Some(area) = self.annotation.area.filter(|_| !self.annotation.crowd) else { return };
        let Some((least, most)) = self.areas() else { return };
        if !(area >= least && area <= most) {
            let least = if least < 1.0 { "over 0, at most".to_owned() } else { format!("{least:.0} to") };
            self.add(Rule::AreaMismatch, format!("expected an area of {least} {most:.0}, found {area}"));
        }
    }

    /// Which areas this annotation can have.
    fn areas(&self) -> Option<(f64, f64)> {
        match &self.annotation.segmentation {
            Some(Segmentation::Polygons(polygons)) if !polygons.is_empty() => {
                // Parts may overlap: together they cover at least the largest, at most all of them.
                let each = polygons.iter().map(|outline| polygon::area(outline));
                let length: f64 = polygons.iter().map(|outline| polygon::perimeter(outline)).sum();
                let tolerance = AREA_BY_LENGTH * length + 1.0;
                Some((each.clone().fold(0.0, f64::max) - tolerance, each.sum::<f64>() + tolerance))
            }
            Some(Segmentation::Rle(rle)) => {
                // Half the length around: every run has an upper and a lower end, every row that is covered two sides.
                let tolerance = (rle.counts.len() / 2) as f64 + rle.bounds()?.height;
                let area = rle.area() as f64;
                Some((area - tolerance, area + tolerance))
            }
            _ => {
                // The object fills its box or less; one that counts its last pixels as included is a pixel larger.
                let bounds = self.annotation.bounds?;
                Some((f64::MIN_POSITIVE, (bounds.width + 1.0) * (bounds.height + 1.0)))
            }
        }
    }

    fn check_keypoints(&mut self) {
        let Some([width, height]) = self.size else { return };
        let beyond = |point: &Keypoint| {
            let within = |at: f64, size: f64| at >= -BEYOND_PIXELS && at <= size + BEYOND_PIXELS;
            point.visibility != Visibility::Absent && !(within(point.x, width) && within(point.y, height))
        };
        if let Some((index, point)) =
            self.annotation.keypoints.iter().enumerate().find(|(_, point)| beyond(point))
        {
            let found = format!(
                "expected keypoint {index} within the image of {width} x {height}, found {:.1}, {:.1}",
                point.x, point.y
            );
            self.add(Rule::KeypointOutOfBounds, found);
        }
    }
}

fn outline_bounds(segmentation: Option<&Segmentation>) -> Option<Bounds> {
    match segmentation {
        Some(Segmentation::Polygons(polygons)) => Bounds::around(polygons.iter().flatten()),
        _ => None,
    }
}

/// The annotations' indices, image by image, in their order within each.
fn by_image(dataset: &Dataset) -> Vec<u32> {
    let count = u32::try_from(dataset.annotations.len()).unwrap_or(u32::MAX);
    let mut indices: Vec<u32> = (0..count).collect();
    indices.par_sort_by_key(|index| image_of(dataset, *index));
    indices
}

fn image_of(dataset: &Dataset, annotation: u32) -> u32 {
    dataset.annotations[annotation as usize].image.0
}

/// Finds the same box twice among the annotations of one image. A sweep along the axis on which boxes are shorter beside
/// their spread: two boxes with an overlap over 0.95 begin within a twentieth of the first one's length.
fn check_neighbours(dataset: &Dataset, group: &[u32], limits: &Limits, findings: &mut Findings) {
    let mut boxes: Vec<(u32, Bounds)> = group
        .iter()
        .filter_map(|index| {
            let annotation = &dataset.annotations[*index as usize];
            let bounds = annotation.bounds.or_else(|| annotation.oriented.as_deref()?.bounds())?;
            (!annotation.crowd && bounds.area() > 0.0 && bounds.area().is_finite())
                .then_some((*index, bounds))
        })
        .collect();
    let begin = if crowding(&boxes, |one| (one.x, one.width)) <= crowding(&boxes, |one| (one.y, one.height)) {
        |one: &Bounds| (one.x, one.width)
    } else {
        |one: &Bounds| (one.y, one.height)
    };
    boxes.sort_by(|(_, one), (_, other)| begin(one).0.total_cmp(&begin(other).0));
    let mut repeats: Vec<(u32, u32, f64)> = Vec::new();
    let mut is_repeat = vec![false; boxes.len()];
    let (mut looked_at, most) = (0, BOX_PAIRS + PAIRS_OF_A_BOX * boxes.len() as u64);
    for (at, (index, bounds)) in boxes.iter().enumerate() {
        // What repeats an earlier box is not looked at again: a box that stands a thousand times makes a thousand
        // findings, not a million.
        if is_repeat[at] {
            continue;
        }
        let (start, length) = begin(bounds);
        let reach = start + (1.0 - SAME_BOX) * length;
        for (other_at, (other, other_bounds)) in boxes.iter().enumerate().skip(at + 1) {
            looked_at += 1;
            if begin(other_bounds).0 > reach {
                break;
            }
            if !is_repeat[other_at] && same_box(dataset, *index, *other, bounds.iou(other_bounds)) {
                is_repeat[other_at] = true;
                repeats.push((*index, *other, bounds.iou(other_bounds)));
            }
        }
        if looked_at > most {
            let found = format!(
                "expected boxes at different places, found {} that overlap too much to compare",
                boxes.len()
            );
            findings.add(Rule::ResourceLimit, &dataset.annotations[*index as usize].place, found);
            break;
        }
    }
    repeats.sort_unstable_by_key(|(_, second, _)| *second);
    for (first, second, iou) in repeats {
        let (first, second) = (&dataset.annotations[first as usize], &dataset.annotations[second as usize]);
        let same_class = first.category == second.category;
        if same_class && same_object(dataset, first, second, limits) {
            let found = format!("the object of annotation {} again: the boxes overlap by {iou:.3}", first.id);
            findings.add(Rule::DuplicateAnnotation, &second.place, found);
        } else if !same_class {
            let name = |one: &Annotation| {
                dataset.categories.get(one.category.0 as usize).map_or("?", |one| &one.name)
            };
            let found = format!(
                "`{}`, where annotation {} says `{}`: the boxes overlap by {iou:.3}",
                name(second),
                first.id,
                name(first)
            );
            findings.add(Rule::TwoClasses, &second.place, found);
        }
    }
}

/// How many boxes a line across the axis meets, about.
fn crowding(boxes: &[(u32, Bounds)], extent: impl Fn(&Bounds) -> (f64, f64)) -> f64 {
    let (mut low, mut high, mut lengths) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for (_, bounds) in boxes {
        let (start, length) = extent(bounds);
        (low, high, lengths) = (low.min(start), high.max(start), lengths + length);
    }
    lengths / (high - low).max(f64::MIN_POSITIVE)
}

/// Whether two annotations have the same box, of which `iou` is the overlap when upright.
fn same_box(dataset: &Dataset, one: u32, other: u32, iou: f64) -> bool {
    let oriented = |index: u32| dataset.annotations[index as usize].oriented.as_deref();
    match (oriented(one), oriented(other)) {
        (Some(one), Some(other)) => iou > SAME_BOX && one.iou(other) > SAME_BOX,
        _ => iou > SAME_BOX,
    }
}

/// Whether two annotations of one class and box are of one object: two embracing people have two masks.
fn same_object(dataset: &Dataset, one: &Annotation, other: &Annotation, limits: &Limits) -> bool {
    let image = dataset.images.get(one.image.0 as usize);
    let mask = |annotation: &Annotation| match &annotation.segmentation {
        Some(Segmentation::Polygons(polygons)) if !polygons.is_empty() => {
            Rle::draw(polygons, image?.height?, image?.width?, limits)
        }
        Some(Segmentation::Rle(rle)) => Some(rle.clone()),
        _ => None,
    };
    match (&one.segmentation, &other.segmentation) {
        (Some(first), Some(second)) if first != second => match (mask(one), mask(other)) {
            (Some(first), Some(second)) => first.iou(&second) > SAME_OBJECT,
            _ => true,
        },
        _ => true,
    }
}

/// Finds boxes whose size or shape is far from their class's median. The median and the median absolute deviation, since
/// the outliers themselves do not move them.
fn check_outliers(dataset: &Dataset, findings: &mut Findings) {
    let mut classes: Vec<Vec<(u32, [f64; 2])>> = vec![Vec::new(); dataset.categories.len()];
    for (index, annotation) in dataset.annotations.iter().enumerate() {
        let (Some(bounds), Some(class)) =
            (annotation.bounds, classes.get_mut(annotation.category.0 as usize))
        else {
            continue;
        };
        if annotation.crowd || !(bounds.area() > 0.0 && bounds.area().is_finite()) {
            continue;
        }
        // As part of the image where its size is known, since images differ in resolution.
        let image = dataset.images.get(annotation.image.0 as usize).and_then(size);
        let whole = image.map_or(1.0, |[width, height]| width * height);
        let measures = [(bounds.area() / whole).ln() / 2.0, (bounds.width / bounds.height).ln()];
        class.push((index as u32, measures));
    }
    let outliers = classes.par_iter().map(|class| outliers(class)).collect::<Vec<_>>();
    let mut outliers: Vec<_> = outliers.into_iter().flatten().collect();
    outliers.sort_unstable_by_key(|(index, _)| *index);
    for (index, found) in outliers {
        findings.add(Rule::OutlierBox, &dataset.annotations[index as usize].place, found);
    }
}

fn outliers(class: &[(u32, [f64; 2])]) -> Vec<(u32, String)> {
    if class.len() < OUTLIER_CLASS {
        return Vec::new();
    }
    let usual = [0, 1].map(|measure| {
        let middle = median(class.iter().map(|(_, measures)| measures[measure]).collect());
        let spread = median(class.iter().map(|(_, measures)| (measures[measure] - middle).abs()).collect());
        (middle, (MAD_TO_DEVIATION * spread).max(OUTLIER_SPREAD))
    });
    let mut outliers = Vec::new();
    for (index, measures) in class {
        for (measure, name) in [(0, "size"), (1, "ratio of width to height")] {
            let (middle, spread) = usual[measure];
            let away = measures[measure] - middle;
            if away.abs() > OUTLIER_DEVIATIONS * spread {
                outliers.push((*index, format!("a {name} of {:.3} times the class's median", away.exp())));
                break;
            }
        }
    }
    outliers
}

/// The median, the lower one of two.
fn median(mut numbers: Vec<f64>) -> f64 {
    let middle = (numbers.len() - 1) / 2;
    *numbers.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Keypoints that tell left from right.
#[derive(Debug, Clone, Copy)]
enum Sides {
    /// Two pairs, left and right each, that are always on the same sides: shoulders and hips, eyes and ears.
    Agree([usize; 2], [usize; 2]),
    /// Left eye, right eye, nose: who shows all three shows them from the front, the left eye on the viewer's right.
    Face(usize, usize, usize),
}

/// What of a category's keypoints tells left from right, by their names. Limbs cross, so they tell nothing.
fn sides(category: &Category) -> Vec<Sides> {
    let Some(skeleton) = &category.skeleton else { return Vec::new() };
    let words = |name: &str| {
        let lower = name.to_lowercase();
        let mut words: Vec<String> =
            lower.split(|one: char| !one.is_alphanumeric()).map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    let named: Vec<Vec<String>> = skeleton.keypoints.iter().map(|name| words(name)).collect();
    let find = |wanted: &[&str]| {
        named.iter().position(|words| words.iter().map(String::as_str).eq(wanted.iter().copied()))
    };
    let pair = |part: &str| {
        let of = |side: &'static str| {
            let mut wanted = [side, part];
            wanted.sort_unstable();
            find(&wanted)
        };
        Some([of("left")?, of("right")?])
    };
    let mut sides = Vec::new();
    sides.extend(pair("shoulder").zip(pair("hip")).map(|(one, other)| Sides::Agree(one, other)));
    sides.extend(pair("eye").zip(pair("ear")).map(|(one, other)| Sides::Agree(one, other)));
    sides
        .extend(pair("eye").zip(find(&["nose"])).map(|([left, right], nose)| Sides::Face(left, right, nose)));
    sides
}

/// Finds left and right swapped, where nothing but a swap explains what stands there.
fn check_sides(annotation: &Annotation, sides: &[Sides], findings: &mut Findings) {
    let Some(bounds) = annotation.bounds.or_else(|| {
        let labelled = annotation.keypoints.iter().filter(|point| point.visibility != Visibility::Absent);
        Bounds::around(&labelled.map(|point| [point.x, point.y]).collect::<Vec<_>>())
    }) else {
        return;
    };
    let apart = APART * bounds.width.max(bounds.height);
    let seen = |index: usize| {
        let point =
            annotation.keypoints.get(index).filter(|point| point.visibility == Visibility::Visible)?;
        Some([point.x, point.y])
    };
    let between = |from: usize, to: usize| {
        Some(minus(seen(to)?, seen(from)?)).filter(|way| way[0].hypot(way[1]) > apart)
    };
    for side in sides {
        let swapped = match *side {
            Sides::Agree([left, right], [other_left, other_right]) => {
                let ways = between(left, right).zip(between(other_left, other_right));
                // Opposite, within 60 degrees of straight so.
                ways.is_some_and(|(one, other)| cosine(one, other) < -0.5)
            }
            Sides::Face(left, right, nose) => {
                between(left, right).zip(seen(nose)).is_some_and(|(across, nose)| {
                    let Some((left, right)) = seen(left).zip(seen(right)) else { return false };
                    let down = minus(nose, [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0]);
                    let turn = across[0] * down[1] - across[1] * down[0];
                    let long_enough = down[0].hypot(down[1]) > 0.4 * across[0].hypot(across[1]);
                    // Upright and from the front, the way from the left eye to the right one goes left, and the nose is below.
                    long_enough && cosine(across, down).abs() < 0.5 && turn > 0.0
                })
            }
        };
        if swapped {
            let found = match side {
                Sides::Agree([one, _], [other, _]) => {
                    format!("left and right of keypoint {one} are where keypoint {other} has right and left")
                }
                Sides::Face(..) => {
                    "a face seen from the front whose left eye is on the viewer's left".to_owned()
                }
            };
            findings.add(Rule::KeypointsSwapped, &annotation.place, found);
            return;
        }
    }
}

fn minus(one: [f64; 2], other: [f64; 2]) -> [f64; 2] {
    [one[0] - other[0], one[1] - other[1]]
}

fn cosine(one: [f64; 2], other: [f64; 2]) -> f64 {
    (one[0] * other[0] + one[1] * other[1]) / (one[0].hypot(one[1]) * other[0].hypot(other[1]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Attributes, CategoryIndex, Finding, ImageIndex, Place, Pointer, Skeleton};

    fn boxed(x: f64, y: f64, width: f64, height: f64) -> Annotation {
        Annotation {
            id: 0,
            image: ImageIndex(0),
            category: CategoryIndex(0),
            bounds: Some(Bounds { x, y, width, height }),
            segmentation: None,
            oriented: None,
            keypoints: Vec::new(),
            area: None,
            crowd: false,
            score: None,
            place: Place::default(),
            attributes: Attributes::default(),
        }
    }

    /// One image of 100 by 80, two classes, and these.
    fn dataset(mut annotations: Vec<Annotation>) -> Dataset {
        for (row, annotation) in annotations.iter_mut().enumerate() {
            annotation.id = row as u64 + 1;
            annotation.place = Place::file("a").at(Pointer::Row("annotations", row as u32));
        }
        let image = Image { width: Some(100), height: Some(80), labelled: true, ..Image::default() };
        let categories = ["cat", "dog"].map(|name| Category { name: name.to_owned(), ..Category::default() });
        Dataset { images: vec![image], categories: categories.into(), annotations, ..Dataset::default() }
    }

    fn rules(dataset: &Dataset) -> Vec<(&'static str, u64)> {
        let mut findings = Findings::new(100_000);
        check(dataset, &Limits::default(), &mut findings);
        findings.counts().map(|(rule, count)| (rule.id(), count)).collect()
    }

    fn rules_of(annotation: Annotation) -> Vec<&'static str> {
        rules(&dataset(vec![annotation])).into_iter().map(|(rule, _)| rule).collect()
    }

    fn outlined(bounds: [f64; 4], outline: &[[f64; 2]], area: f64) -> Annotation {
        let segmentation = Some(Segmentation::Polygons(vec![outline.to_vec()]));
        let [x, y, width, height] = bounds;
        Annotation { segmentation, area: Some(area), ..boxed(x, y, width, height) }
    }

    const SQUARE: [[f64; 2]; 4] = [[10.0, 10.0], [30.0, 10.0], [30.0, 30.0], [10.0, 30.0]];
    const AROUND: [f64; 4] = [10.0, 10.0, 20.0, 20.0];

    #[test]
    fn a_pixel_beyond_the_image_is_let_pass_and_more_is_not() {
        assert!(rules_of(boxed(-1.0, -1.0, 50.0, 82.0)).is_empty());
        assert_eq!(rules_of(boxed(-1.1, 0.0, 50.0, 50.0)), ["OUT_OF_BOUNDS"]);
        assert_eq!(rules_of(boxed(60.0, 0.0, 41.1, 50.0)), ["OUT_OF_BOUNDS"]);
        let beyond = Quadrangle([[90.0, 10.0], [110.0, 20.0], [100.0, 40.0], [80.0, 30.0]]);
        let oriented =
            Annotation { bounds: None, oriented: Some(Box::new(beyond)), ..boxed(0.0, 0.0, 0.0, 0.0) };
        assert_eq!(rules_of(oriented.clone()), ["OUT_OF_BOUNDS"]);
        let mut without_size = dataset(vec![boxed(-50.0, 0.0, 500.0, 50.0), oriented]);
        without_size.images[0].width = None;
        assert!(rules(&without_size).is_empty());
    }

    #[test]
    fn boxes_without_area_tiny_ones_and_whole_images_are_told_apart() {
        assert_eq!(rules_of(boxed(10.0, 10.0, 0.0, 5.0)), ["DEGENERATE_BOX"]);
        assert_eq!(rules_of(boxed(10.0, 10.0, 3.0, 5.0)), ["TINY_BOX"]);
        assert!(rules_of(boxed(10.0, 10.0, 4.0, 4.0)).is_empty());
        assert_eq!(rules_of(boxed(0.5, 0.0, 99.0, 80.5)), ["WHOLE_IMAGE_BOX"]);
        assert!(rules_of(boxed(2.0, 0.0, 98.0, 80.0)).is_empty());
        assert!(rules_of(Annotation { crowd: true, ..boxed(0.0, 0.0, 100.0, 80.0) }).is_empty());
    }

    #[test]
    fn a_broken_shape_is_said_once() {
        assert!(rules_of(outlined(AROUND, &SQUARE, 400.0)).is_empty());
        // Both the outline's area and its drawn one pass, and nothing much else.
        for (area, expected) in
            [(441.0, &[][..]), (361.0, &[]), (442.0, &["AREA_MISMATCH"]), (200.0, &["AREA_MISMATCH"])]
        {
            assert_eq!(rules_of(outlined(AROUND, &SQUARE, area)), expected, "{area}");
        }
        let elsewhere = SQUARE.map(|[x, y]| [x + 30.0, y]);
        assert_eq!(rules_of(outlined(AROUND, &elsewhere, 1.0)), ["MASK_BOX_MISMATCH"]);
        let bow_tie = [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]];
        assert_eq!(rules_of(outlined(AROUND, &bow_tie, 1.0)), ["SELF_INTERSECTING"]);
        assert_eq!(
            rules_of(outlined([10.0, 10.0, 0.0, 20.0], &bow_tie, 1.0)),
            ["DEGENERATE_BOX", "SELF_INTERSECTING"]
        );
    }

    #[test]
    fn a_mask_is_compared_with_box_and_area() {
        let mut counts = vec![10 * 80 + 10];
        for _ in 0..20 {
            counts.extend([20, 60]);
        }
        let filled: u32 = counts.iter().sum();
        *counts.last_mut().unwrap() += 8000 - filled;
        let rle = Rle { height: 80, width: 100, counts, compressed: false };
        let of = |bounds: [f64; 4], area| {
            let [x, y, width, height] = bounds;
            let segmentation = Some(Segmentation::Rle(rle.clone()));
            rules_of(Annotation { segmentation, area: Some(area), ..boxed(x, y, width, height) })
        };
        assert!(of(AROUND, 400.0).is_empty());
        assert!(of([10.0, 10.0, 19.0, 19.0], 361.0).is_empty());
        assert_eq!(of(AROUND, 100.0), ["AREA_MISMATCH"]);
        assert_eq!(of([20.0, 10.0, 20.0, 20.0], 400.0), ["MASK_BOX_MISMATCH"]);
    }

    #[test]
    fn an_area_without_a_mask_is_at_most_the_box() {
        let of = |area| rules_of(Annotation { area: Some(area), ..boxed(10.0, 10.0, 20.0, 20.0) });
        assert!(of(400.0).is_empty() && of(441.0).is_empty() && of(17.0).is_empty());
        assert_eq!(of(442.0), ["AREA_MISMATCH"]);
        assert_eq!(of(0.0), ["AREA_MISMATCH"]);
        assert_eq!(of(f64::NAN), ["AREA_MISMATCH"]);
    }

    fn near_ones() -> impl Strategy<Value = Vec<Annotation>> {
        let place = || (0..4u8).prop_map(|at| f64::from(at) * 0.6);
        let one = (place(), place(), 18.0..22.0f64, 18.0..22.0f64, 0..2u32);
        let one = one.prop_map(|(x, y, width, height, class)| Annotation {
            category: CategoryIndex(class),
            ..boxed(x, y, width, height)
        });
        prop::collection::vec(one, 0..25)
    }

    proptest! {
        /// What is left without what was found has no repeats, and everything found repeats something.
        #[test]
        fn repeats_are_all_found_and_are_repeats(annotations in near_ones()) {
            let dataset = dataset(annotations);
            let mut findings = Findings::new(100_000);
            check(&dataset, &Limits::default(), &mut findings);
            let same = |one: &Annotation, other: &Annotation| one.bounds.unwrap().iou(&other.bounds.unwrap()) > SAME_BOX;
            let found: Vec<&Finding> = findings.iter().filter(|one| [Rule::DuplicateAnnotation, Rule::TwoClasses].contains(&one.rule)).collect();
            let is_found = |one: &Annotation| found.iter().any(|finding| finding.place == one.place);
            let kept: Vec<_> = dataset.annotations.iter().filter(|one| !is_found(one)).collect();
            for (at, one) in kept.iter().enumerate() {
                prop_assert!(kept[..at].iter().all(|other| !same(one, other)));
            }
            for finding in found {
                let here = dataset.annotations.iter().find(|one| one.place == finding.place).unwrap();
                let like = dataset.annotations.iter().any(|other| {
                    let same_class = other.category == here.category;
                    other.place != here.place && same(here, other) && same_class == (finding.rule == Rule::DuplicateAnnotation)
                });
                prop_assert!(like, "{finding:?}");
            }
        }
    }

    #[test]
    fn a_box_that_stands_a_thousand_times_makes_a_thousand_findings() {
        let annotations = vec![boxed(10.0, 10.0, 20.0, 20.0); 1001];
        assert_eq!(rules(&dataset(annotations)), [("DUPLICATE_ANNOTATION", 1000)]);
        let other = |class| Annotation { category: CategoryIndex(class), ..boxed(10.0, 10.0, 20.0, 20.0) };
        assert_eq!(rules(&dataset(vec![other(0), other(1)])), [("TWO_CLASSES", 1)]);
        let crowds = vec![Annotation { crowd: true, ..boxed(10.0, 10.0, 20.0, 20.0) }; 5];
        assert!(rules(&dataset(crowds)).is_empty());
    }

    #[test]
    fn two_objects_in_one_box_are_no_repeat() {
        let [a, b, c, d] = SQUARE;
        let upper = outlined(AROUND, &[a, b, c], 200.0);
        let lower = outlined(AROUND, &[a, c, d], 200.0);
        assert!(rules(&dataset(vec![upper.clone(), lower])).is_empty());
        let again = outlined(AROUND, &[a, b, [29.5, 30.0]], 195.0);
        assert_eq!(rules(&dataset(vec![upper, again])), [("DUPLICATE_ANNOTATION", 1)]);
    }

    #[test]
    fn boxes_of_two_images_are_not_compared() {
        let mut dataset = dataset(vec![boxed(10.0, 10.0, 20.0, 20.0); 2]);
        dataset.images.push(dataset.images[0].clone());
        dataset.annotations[1].image = ImageIndex(1);
        assert!(rules(&dataset).is_empty());
    }

    #[test]
    fn an_image_whose_boxes_all_overlap_is_given_up() {
        let length = |index: i32| 1.06f64.powi(index);
        let boxes =
            (0..10_000).map(|index| boxed(0.0, 0.0, length(index % 100), length(index / 100))).collect();
        let mut dataset = dataset(boxes);
        dataset.images[0].width = None;
        assert!(rules(&dataset).iter().any(|(rule, count)| (*rule, *count) == ("RESOURCE_LIMIT", 1)));
    }

    #[test]
    fn an_outlier_is_far_from_a_class_of_many() {
        let usual =
            |index: usize| boxed(5.0 + index as f64 / 100.0, 5.0, 5.0 + (index % 7) as f64 / 2.0, 6.0);
        let with = |count: usize, odd: Annotation| {
            let mut boxes: Vec<_> = (0..count).map(usual).collect();
            boxes.push(odd);
            let mut dataset = dataset(boxes);
            // Each in an image of its own: repeats are not the question here.
            dataset.images = vec![dataset.images[0].clone(); count + 1];
            for (index, one) in dataset.annotations.iter_mut().enumerate() {
                one.image = ImageIndex(index as u32);
            }
            rules(&dataset)
        };
        assert_eq!(with(200, boxed(5.0, 5.0, 60.0, 60.0)), [("OUTLIER_BOX", 1)]);
        assert_eq!(with(200, boxed(5.0, 5.0, 90.0, 4.0)), [("OUTLIER_BOX", 1)]);
        assert!(with(200, boxed(5.0, 5.0, 9.0, 6.0)).is_empty());
        assert!(with(40, boxed(5.0, 5.0, 60.0, 60.0)).is_empty());
    }

    #[test]
    fn a_labelled_keypoint_is_within_the_image() {
        let at = |x: f64, visibility| {
            let keypoints = vec![Keypoint { x, y: 12.0, visibility }];
            rules_of(Annotation { keypoints, ..boxed(10.0, 10.0, 20.0, 20.0) })
        };
        assert!(at(101.0, Visibility::Visible).is_empty() && at(332.0, Visibility::Absent).is_empty());
        assert_eq!(at(102.0, Visibility::Hidden), ["KP_OUT_OF_BOUNDS"]);
        assert_eq!(at(f64::NAN, Visibility::Visible), ["KP_OUT_OF_BOUNDS"]);
    }

    /// Nose, eyes, shoulders, hips, wrists, of somebody who faces the camera; some visible.
    fn person(points: [[f64; 2]; 9]) -> Vec<&'static str> {
        let names = [
            "nose",
            "left_eye",
            "right_eye",
            "Left Shoulder",
            "right shoulder",
            "hip-left",
            "hip-right",
            "left_wrist",
            "right_wrist",
        ];
        let skeleton = Skeleton { keypoints: names.map(str::to_owned).into(), ..Skeleton::default() };
        let keypoint = |[x, y]: [f64; 2]| Keypoint { x, y, visibility: Visibility::Visible };
        let keypoints = points.map(keypoint).into();
        let mut dataset = dataset(vec![Annotation { keypoints, ..boxed(20.0, 5.0, 40.0, 70.0) }]);
        dataset.categories[0].skeleton = Some(skeleton);
        rules(&dataset).into_iter().map(|(rule, _)| rule).collect()
    }

    const FRONT: [[f64; 2]; 9] = [
        [40.0, 14.0],
        [44.0, 10.0],
        [36.0, 10.0],
        [50.0, 25.0],
        [30.0, 25.0],
        [46.0, 45.0],
        [34.0, 45.0],
        [55.0, 45.0],
        [25.0, 45.0],
    ];

    #[test]
    fn left_and_right_are_swapped_only_where_nothing_else_explains_it() {
        assert!(person(FRONT).is_empty());
        let with = |pairs: &[[usize; 2]]| {
            let mut points = FRONT;
            pairs.iter().for_each(|[one, other]| points.swap(*one, *other));
            person(points)
        };
        assert_eq!(with(&[[3, 4]]), ["KP_SWAPPED"]);
        assert_eq!(with(&[[5, 6]]), ["KP_SWAPPED"]);
        assert_eq!(with(&[[1, 2]]), ["KP_SWAPPED"]);
        assert_eq!(with(&[[1, 2], [3, 4], [5, 6], [7, 8]]), ["KP_SWAPPED"]);
        // Crossed arms.
        assert!(with(&[[7, 8]]).is_empty());
        // Upside down.
        assert!(person(FRONT.map(|[x, y]| [80.0 - x, 80.0 - y])).is_empty());
        // From the side: hardly a difference between left and right.
        assert!(person(FRONT.map(|[x, y]| [40.0 + (40.0 - x) / 8.0, y])).is_empty());
    }

    #[test]
    fn indices_that_lead_nowhere_are_passed_over() {
        let mut dataset = dataset(vec![boxed(10.0, 10.0, 20.0, 20.0); 3]);
        dataset.annotations[1].image = ImageIndex(7);
        dataset.annotations[2].category = CategoryIndex(7);
        assert_eq!(rules(&dataset), [("TWO_CLASSES", 1)]);
    }
}
