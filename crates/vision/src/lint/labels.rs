//! Classes and splits: what there is of each, and what of that is worth knowing.

use std::collections::BTreeMap;

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::{Category, CategoryIndex, Dataset, Findings, Limits, Place, Pointer, Rule};

/// The largest class beside the middle one, from which on training and figures are the largest one's.
const IMBALANCE: u64 = 10;

/// Fewer samples than this are too few to learn a class from, or to measure it by.
const FEW_SAMPLES: u64 = 10;

/// Cramér's V above which splits differ in their classes: a small effect, by Cohen's convention for two splits.
const DRIFT: f64 = 0.1;
/// And how many standard deviations chi-square must be over what chance gives, about one in 30,000.
const DRIFT_DEVIATIONS: f64 = 4.0;
/// Classes of which a split would have fewer than this by chance are taken together: chi-square is not right below.
const DRIFT_EXPECTED: f64 = 5.0;

/// Names longer than this that differ by one letter are probably one name; of shorter ones many differ by one letter.
const TYPO_CHARS: usize = 4;
/// Names longer than this are sentences; they are compared whole.
const NAME_CHARS: usize = 64;

/// Splits that are counted apart; annotations of further ones are counted in all.
const SPLITS: usize = 16;
/// The heat map's cells, across and down.
const CELLS: usize = 16;

/// Square roots of areas, in pixels; 32 and 96 are COCO's bounds of small, medium and large.
const SIZE_EDGES: [f64; 10] = [4.0, 8.0, 16.0, 32.0, 64.0, 96.0, 128.0, 256.0, 512.0, 1024.0];
/// Width by height.
const ASPECT_EDGES: [f64; 8] = [0.125, 0.25, 0.5, 0.8, 1.25, 2.0, 4.0, 8.0];
/// Annotations of an image.
const PER_IMAGE_EDGES: [f64; 9] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0];

/// How many there are of what.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Statistics {
    /// Images that are listed.
    pub images: u64,
    /// Of which nothing is said.
    pub unlabelled_images: u64,
    /// That are said to hold nothing.
    pub empty_images: u64,
    /// Annotations, crowds too.
    pub annotations: u64,
    /// Crowds.
    pub crowds: u64,
    /// By class, in the dataset's order.
    pub classes: Vec<ClassStatistics>,
    /// By split, in the order of their names; at most 16.
    pub splits: Vec<SplitStatistics>,
    /// Boxes by the square root of their area, in pixels.
    pub box_sizes: Histogram,
    /// Boxes by width over height.
    pub aspect_ratios: Histogram,
    /// Images by how many annotations they have.
    pub annotations_per_image: Histogram,
    /// Boxes by where in the image their centre is: 16 rows of 16, from the upper left.
    pub centres: Vec<[u64; CELLS]>,
}

/// What there is of one class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ClassStatistics {
    /// Its name.
    pub name: String,
    /// Annotations of it, and images that are of it as a whole.
    pub samples: u64,
    /// Images with it.
    pub images: u64,
    /// Its samples by split, in the order of [`Statistics::splits`].
    pub by_split: Vec<u64>,
}

/// What there is of one split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SplitStatistics {
    /// Its name.
    pub name: String,
    /// Its images.
    pub images: u64,
    /// Their samples.
    pub samples: u64,
}

/// How many are below the first edge, between one and the next, and from the last one on.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Histogram {
    /// In ascending order.
    pub edges: Vec<f64>,
    /// One more than edges.
    pub counts: Vec<u64>,
}

impl Histogram {
    fn new(edges: &[f64]) -> Self {
        Self { edges: edges.to_vec(), counts: vec![0; edges.len() + 1] }
    }

    fn add(&mut self, value: f64) {
        let bin = self.edges.partition_point(|edge| *edge <= value);
        self.counts[bin] += 1;
    }
}

impl Statistics {
    /// Counts, in one pass over the images and one over the annotations.
    pub fn of(dataset: &Dataset) -> Self {
        Count::new(dataset).all()
    }
}

struct Count<'a> {
    dataset: &'a Dataset,
    statistics: Statistics,
    /// The split of each image; none for an image of none, or of one past the limit.
    split_of: Vec<Option<u8>>,
    /// How many annotations each image has.
    of_image: Vec<u32>,
    /// Which class is in which image, as often as it is.
    occurs: Vec<(u32, u32)>,
}

impl<'a> Count<'a> {
    fn new(dataset: &'a Dataset) -> Self {
        let names: BTreeMap<&str, ()> =
            dataset.images.iter().filter_map(|one| Some((one.split.as_deref()?, ()))).collect();
        let names: Vec<&str> = names.into_keys().take(SPLITS).collect();
        let place = |split: &str| names.binary_search(&split).ok().and_then(|at| u8::try_from(at).ok());
        let split_of = dataset.images.iter().map(|image| place(image.split.as_deref()?)).collect();
        let class = |one: &Category| ClassStatistics {
            name: one.name.clone(),
            by_split: vec![0; names.len()],
            ..ClassStatistics::default()
        };
        let split = |name: &&str| SplitStatistics { name: (*name).to_owned(), ..SplitStatistics::default() };
        let statistics = Statistics {
            images: dataset.images.len() as u64,
            annotations: dataset.annotations.len() as u64,
            classes: dataset.categories.iter().map(class).collect(),
            splits: names.iter().map(split).collect(),
            box_sizes: Histogram::new(&SIZE_EDGES),
            aspect_ratios: Histogram::new(&ASPECT_EDGES),
            annotations_per_image: Histogram::new(&PER_IMAGE_EDGES),
            centres: vec![[0; CELLS]; CELLS],
            ..Statistics::default()
        };
        let of_image = vec![0; dataset.images.len()];
        Self {
            dataset,
            statistics,
            split_of,
            of_image,
            occurs: Vec::with_capacity(dataset.annotations.len()),
        }
    }

    fn all(mut self) -> Statistics {
        self.annotations();
        self.images();
        self.occurs.par_sort_unstable();
        self.occurs.dedup();
        for (class, _) in &self.occurs {
            self.statistics.classes[*class as usize].images += 1;
        }
        self.statistics
    }

    fn annotations(&mut self) {
        for annotation in &self.dataset.annotations {
            let image = annotation.image.0;
            self.statistics.crowds += u64::from(annotation.crowd);
            if let Some(count) = self.of_image.get_mut(image as usize) {
                *count += 1;
            }
            self.sample(image, annotation.category);
            let bounds = annotation.bounds.or_else(|| annotation.oriented.as_deref()?.bounds());
            let Some(bounds) = bounds.filter(|one| one.width > 0.0 && one.height > 0.0) else { continue };
            self.statistics.box_sizes.add(bounds.area().sqrt());
            self.statistics.aspect_ratios.add(bounds.width / bounds.height);
            let Some(listed) = self.dataset.images.get(image as usize) else { continue };
            let Some((width, height)) = listed.width.zip(listed.height) else { continue };
            let cell = |at: f64, size: u32| ((at / f64::from(size) * CELLS as f64) as usize).min(CELLS - 1);
            let row = cell(bounds.y + bounds.height / 2.0, height);
            self.statistics.centres[row][cell(bounds.x + bounds.width / 2.0, width)] += 1;
        }
    }

    fn images(&mut self) {
        for (index, image) in self.dataset.images.iter().enumerate() {
            let count = self.of_image[index];
            self.statistics.annotations_per_image.add(count.into());
            self.statistics.unlabelled_images += u64::from(!image.labelled);
            self.statistics.empty_images +=
                u64::from(image.labelled && count == 0 && image.classes.is_empty());
            if let Some(split) = self.split_of[index] {
                self.statistics.splits[usize::from(split)].images += 1;
            }
            for class in &image.classes {
                self.sample(index as u32, *class);
            }
        }
    }

    fn sample(&mut self, image: u32, class: CategoryIndex) {
        let Some(statistics) = self.statistics.classes.get_mut(class.0 as usize) else { return };
        statistics.samples += 1;
        self.occurs.push((class.0, image));
        if let Some(split) = self.split_of.get(image as usize).copied().flatten() {
            statistics.by_split[usize::from(split)] += 1;
            self.statistics.splits[usize::from(split)].samples += 1;
        }
    }
}

pub(crate) fn check(dataset: &Dataset, _limits: &Limits, findings: &mut Findings) {
    let statistics = Statistics::of(dataset);
    check_images(dataset, findings);
    check_counts(&statistics, findings);
    check_drift(&statistics, findings);
    check_names(dataset, findings);
}

fn class_place(index: usize) -> Place {
    Place::default().at(Pointer::Row("categories", u32::try_from(index).unwrap_or(u32::MAX)))
}

fn check_images(dataset: &Dataset, findings: &mut Findings) {
    let mut has_some = vec![false; dataset.images.len()];
    for annotation in &dataset.annotations {
        if let Some(has_some) = has_some.get_mut(annotation.image.0 as usize) {
            *has_some = true;
        }
    }
    for (image, has_some) in dataset.images.iter().zip(has_some) {
        if has_some || !image.classes.is_empty() {
            continue;
        }
        let rule = if image.labelled { Rule::NoLabels } else { Rule::Unlabelled };
        findings.add(rule, &image.place, format!("`{}`", image.file));
    }
}

fn check_counts(statistics: &Statistics, findings: &mut Findings) {
    for (index, class) in statistics.classes.iter().enumerate() {
        if class.samples == 0 {
            findings.add(Rule::UnusedClass, &class_place(index), format!("`{}`", class.name));
        } else if class.samples < FEW_SAMPLES {
            findings.add(
                Rule::FewSamples,
                &class_place(index),
                format!("{} of `{}`", class.samples, class.name),
            );
        }
    }
    let mut used: Vec<_> =
        statistics.classes.iter().enumerate().filter(|(_, class)| class.samples > 0).collect();
    used.sort_by_key(|(_, class)| class.samples);
    let (Some((_, middle)), Some((index, largest))) =
        (used.get(used.len().saturating_sub(1) / 2), used.last())
    else {
        return;
    };
    if largest.samples >= IMBALANCE.saturating_mul(middle.samples) {
        let found = format!(
            "{} of `{}`, {} of the class in the middle",
            largest.samples, largest.name, middle.samples
        );
        findings.add(Rule::Imbalance, &class_place(*index), found);
    }
}

/// Finds splits whose classes are distributed differently: chi-square of the table of splits and classes, and Cramér's V
/// for how much.
fn check_drift(statistics: &Statistics, findings: &mut Findings) {
    let splits: Vec<usize> =
        (0..statistics.splits.len()).filter(|at| statistics.splits[*at].samples > 0).collect();
    let total: u64 = splits.iter().map(|at| statistics.splits[*at].samples).sum();
    let smallest = splits.iter().map(|at| statistics.splits[*at].samples).min().unwrap_or(0);
    // A class is frequent if the smallest split has enough of it by chance; the rest is one class.
    let of_class =
        |class: &ClassStatistics| splits.iter().map(|at| class.by_split[*at]).collect::<Vec<u64>>();
    let mut rest = vec![0; splits.len()];
    let mut table: Vec<(&str, Vec<u64>)> = Vec::new();
    for class in &statistics.classes {
        let row = of_class(class);
        let expected = row.iter().sum::<u64>() as f64 * smallest as f64 / total.max(1) as f64;
        if expected >= DRIFT_EXPECTED {
            table.push((&class.name, row));
        } else {
            rest.iter_mut().zip(row).for_each(|(all, one)| *all += one);
        }
    }
    if rest.iter().sum::<u64>() as f64 * smallest as f64 >= DRIFT_EXPECTED * total as f64 && total > 0 {
        table.push(("the rare classes", rest));
    }
    let total: u64 = table.iter().flat_map(|(_, row)| row).sum();
    let freedom = splits.len().saturating_sub(1) * table.len().saturating_sub(1);
    if freedom == 0 || total == 0 {
        return;
    }
    let of_split: Vec<u64> = (0..splits.len()).map(|at| table.iter().map(|(_, row)| row[at]).sum()).collect();
    let mut chi_square = 0.0;
    let mut worst = (0.0, "", 0, 0, 0.0);
    for (name, row) in &table {
        let of_class: u64 = row.iter().sum();
        for (at, count) in row.iter().enumerate() {
            let expected = of_class as f64 * of_split[at] as f64 / total as f64;
            let part = if expected > 0.0 { (*count as f64 - expected).powi(2) / expected } else { 0.0 };
            chi_square += part;
            if part > worst.0 {
                worst = (part, name, splits[at], *count, expected);
            }
        }
    }
    let least = (splits.len() - 1).min(table.len() - 1) as f64;
    let effect = (chi_square / (total as f64 * least)).sqrt();
    let by_chance = freedom as f64 + DRIFT_DEVIATIONS * (2.0 * freedom as f64).sqrt();
    if effect > DRIFT && chi_square > by_chance {
        let (_, class, split, count, expected) = worst;
        let found = format!(
            "Cramér's V is {effect:.2}, expected at most {DRIFT}; most so `{}`: {count} of `{class}`, where {expected:.0} \
             would be even",
            statistics.splits[split].name
        );
        findings.add(Rule::SplitDrift, &Place::default(), found);
    }
}

/// Finds names that are probably one name. Every name is looked up by what is left of it without one letter, so that a
/// hundred thousand names cost a few million look-ups, not five billion comparisons.
fn check_names(dataset: &Dataset, findings: &mut Findings) {
    let mut joined: FxHashMap<String, usize> = FxHashMap::default();
    let mut whole: FxHashMap<String, usize> = FxHashMap::default();
    let mut shortened: FxHashMap<String, usize> = FxHashMap::default();
    let mut plain: Vec<Vec<char>> = Vec::with_capacity(dataset.categories.len());
    for (index, category) in dataset.categories.iter().enumerate() {
        let name = plain_name(&category.name);
        let letters: Vec<char> = name.chars().collect();
        let together = name.replace(' ', "");
        let mut like = joined.get(&together).filter(|_| !together.is_empty()).copied();
        if like.is_none() && (TYPO_CHARS + 1..=NAME_CHARS).contains(&letters.len()) {
            let keys: Vec<String> = (0..letters.len()).map(|left_out| without(&letters, left_out)).collect();
            let near =
                |other: &usize| (*other != index && is_typo(&letters, &plain[*other])).then_some(*other);
            like = keys.iter().find_map(|key| whole.get(key).or_else(|| shortened.get(key)).and_then(near));
            like = like.or_else(|| shortened.get(&name).and_then(near));
            for key in keys {
                shortened.entry(key).or_insert(index);
            }
        }
        if let Some(other) = like {
            let found = format!("`{}` and `{}`", dataset.categories[other].name, category.name);
            findings.add(Rule::SimilarClassNames, &class_place(index), found);
        }
        joined.entry(together).or_insert(index);
        whole.entry(name).or_insert(index);
        plain.push(letters);
    }
}

fn without(letters: &[char], left_out: usize) -> String {
    letters[..left_out].iter().chain(&letters[left_out + 1..]).collect()
}

/// A name without what makes no difference: case, spaces and signs between words, the plural's ending.
fn plain_name(name: &str) -> String {
    let lower = name.chars().take(4 * NAME_CHARS).collect::<String>().to_lowercase();
    let words: Vec<&str> =
        lower.split(|one: char| !one.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut plain = words.join(" ");
    // `glass` and `bus` are no plurals.
    let singular =
        plain.strip_suffix('s').filter(|rest| rest.chars().count() > 2 && !rest.ends_with(['s', 'u', 'i']));
    if let Some(singular) = singular {
        plain.truncate(singular.len());
    }
    plain
}

/// Whether two names are one letter apart, by a letter that is no number and no word of its own: `player 1` and
/// `player 2` are two names, and so are `grade a` and `grade b`.
fn is_typo(one: &[char], other: &[char]) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    if long.len() - short.len() > 1 || short.len() <= TYPO_CHARS {
        return false;
    }
    let same = short.iter().zip(long).take_while(|(one, other)| one == other).count();
    if same == long.len() {
        return true;
    }
    let rest = if short.len() == long.len() { same + 1 } else { same };
    if short[rest.min(short.len())..] != long[same + 1..] {
        return false;
    }
    let own_word = |name: &[char]| {
        let space = |at: usize| name.get(at).is_none_or(|letter| *letter == ' ');
        space(same + 1) && (same == 0 || space(same - 1))
    };
    let counts = |name: &[char]| name.get(same).is_some_and(|letter| letter.is_alphabetic());
    counts(long) && !own_word(long) && (short.len() < long.len() || (counts(short) && !own_word(short)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Annotation, Attributes, Bounds, Image, ImageIndex};

    fn annotation(image: u32, class: u32) -> Annotation {
        Annotation {
            id: 0,
            image: ImageIndex(image),
            category: CategoryIndex(class),
            bounds: Some(Bounds { x: 0.0, y: 0.0, width: 10.0, height: 20.0 }),
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

    fn classes(names: &[&str]) -> Dataset {
        let class = |name: &&str| Category { name: (*name).to_owned(), ..Category::default() };
        Dataset { categories: names.iter().map(class).collect(), ..Dataset::default() }
    }

    fn image(split: &str) -> Image {
        Image {
            split: Some(split.to_owned()),
            labelled: true,
            width: Some(100),
            height: Some(100),
            ..Image::default()
        }
    }

    fn counts(dataset: &Dataset) -> BTreeMap<&'static str, u64> {
        let mut findings = Findings::new(1000);
        check(dataset, &Limits::default(), &mut findings);
        findings.counts().map(|(rule, count)| (rule.id(), count)).collect()
    }

    fn similar(names: &[&str]) -> bool {
        counts(&classes(names)).contains_key("SIMILAR_CLASS_NAMES")
    }

    #[test]
    fn names_are_similar_by_case_spaces_plural_or_one_letter() {
        for names in [
            ["car", "Car"],
            ["traffic light", "traffic_light"],
            ["traffic light", "TrafficLight"],
            ["dog", "dogs"],
            ["person", "persn"],
            ["person", "persoon"],
            ["bicycle", "bicycla"],
            ["bycicle", "icicle s"],
            ["cat", "cat"],
        ] {
            let expected = names != ["bycicle", "icicle s"];
            assert_eq!(similar(&names), expected, "{names:?}");
            assert_eq!(similar(&[names[1], names[0]]), expected, "{names:?} the other way");
        }
    }

    #[test]
    fn names_that_mean_to_differ_are_not_similar() {
        for names in [
            ["cat", "car"],
            ["class1", "class2"],
            ["player 1", "player 2"],
            ["grade a", "grade b"],
            ["bus", "bu"],
            ["glass", "glas"],
            ["", ""],
            ["?", "!"],
            ["fork", "forklift"],
        ] {
            assert!(!similar(&names), "{names:?}");
        }
    }

    #[test]
    fn a_hundred_thousand_names_are_compared() {
        let word = |mut number: u32| {
            let mut word = String::from("name");
            for _ in 0..10 {
                word.push(char::from(b'a' + (number % 5) as u8 * 5));
                number /= 5;
            }
            word
        };
        let names: Vec<String> = (0..100_000).map(word).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // Every name but the first has one that differs by one letter.
        let similar = counts(&classes(&names))["SIMILAR_CLASS_NAMES"];
        assert!(similar > 90_000, "{similar}");
    }

    #[test]
    fn unlabelled_and_empty_images_are_told_apart() {
        let mut dataset = classes(&["cat"]);
        dataset.images = vec![image("train"); 3];
        dataset.images[0].labelled = false;
        dataset.images[1].classes.push(CategoryIndex(0));
        let counts = counts(&dataset);
        assert_eq!((counts["UNLABELLED"], counts["EMPTY_LABELS"]), (1, 1));
        let statistics = Statistics::of(&dataset);
        assert_eq!(
            (statistics.unlabelled_images, statistics.empty_images, statistics.classes[0].samples),
            (1, 1, 1)
        );
    }

    fn with_samples(table: &[(&str, &[usize])]) -> Dataset {
        let names: Vec<String> =
            (0..table[0].1.len()).map(|class| char::from(b'a' + class as u8).to_string()).collect();
        let mut dataset = classes(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for (split, samples) in table {
            for (class, count) in samples.iter().enumerate() {
                for _ in 0..*count {
                    dataset.annotations.push(annotation(dataset.images.len() as u32, class as u32));
                    dataset.images.push(image(split));
                }
            }
        }
        dataset
    }

    #[test]
    fn few_unused_and_uneven_classes_are_facts() {
        let counted = counts(&with_samples(&[("train", &[100, 10, 10, 9, 0])]));
        assert_eq!(counted, [("CLASS_IMBALANCE", 1), ("FEW_SAMPLES", 1), ("UNUSED_CLASS", 1)].into());
        assert!(counts(&with_samples(&[("train", &[99, 10, 10])])).is_empty());
    }

    #[test]
    fn splits_drift_when_it_is_neither_chance_nor_little() {
        let drifts = |table: &[(&str, &[usize])]| counts(&with_samples(table)).contains_key("SPLIT_DRIFT");
        assert!(drifts(&[("train", &[500, 500]), ("val", &[80, 20])]));
        assert!(!drifts(&[("train", &[500, 500]), ("val", &[55, 45])]));
        // Much, but of few.
        assert!(!drifts(&[("train", &[6, 6]), ("val", &[8, 4])]));
        // Certain, but little.
        assert!(!drifts(&[("train", &[10_300, 9_700]), ("val", &[9_700, 10_300])]));
        assert!(!drifts(&[("train", &[500, 500])]));
        assert!(!drifts(&[("train", &[500, 500]), ("val", &[0, 0])]));
    }

    proptest! {
        #[test]
        fn every_annotation_is_counted_once(rows in prop::collection::vec((0..5u32, 0..4u32), 0..60)) {
            let mut dataset = classes(&["a", "b", "c", "d"]);
            dataset.images = ["train", "val", "train", "test", "val"].map(image).into();
            dataset.annotations = rows.iter().map(|(image, class)| annotation(*image, *class)).collect();
            let statistics = Statistics::of(&dataset);
            let total = rows.len() as u64;
            prop_assert_eq!(statistics.annotations, total);
            prop_assert_eq!(statistics.classes.iter().map(|class| class.samples).sum::<u64>(), total);
            prop_assert_eq!(statistics.splits.iter().map(|split| split.samples).sum::<u64>(), total);
            prop_assert_eq!(statistics.box_sizes.counts.iter().sum::<u64>(), total);
            prop_assert_eq!(statistics.aspect_ratios.counts.iter().sum::<u64>(), total);
            prop_assert_eq!(statistics.centres.as_flattened().iter().sum::<u64>(), total);
            prop_assert_eq!(statistics.annotations_per_image.counts.iter().sum::<u64>(), 5);
            for (index, class) in statistics.classes.iter().enumerate() {
                let images: std::collections::BTreeSet<u32> = rows.iter().filter(|(_, class)| *class as usize == index).map(|(image, _)| *image).collect();
                prop_assert_eq!(class.images, images.len() as u64);
                prop_assert_eq!(class.by_split.iter().sum::<u64>(), class.samples);
            }
        }
    }

    #[test]
    fn a_value_on_an_edge_is_above_it() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        [0.5, 1.0, 1.5, 2.0, 9.0].into_iter().for_each(|value| histogram.add(value));
        assert_eq!(histogram.counts, [1, 2, 2]);
    }
}
