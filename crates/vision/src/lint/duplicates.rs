//! Images that are the same or look alike, within a split and across splits.
//!
//! Of each image at most one other is named for each rule: the first that is the same, the nearest that looks alike. An image
//! that is all but one colour is compared with none, since any two of them are the same and neither was taken from the other.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use super::images::ImageFacts;
use crate::{
    CategoryIndex, Dataset, Findings, Image, Rule,
    images::{ContentHash, Facts, HashIndex, Hit, PerceptualHash},
};

/// In how many of the 64 bits images that look alike differ; different photographs differ in 18 and more, even when each of
/// the eight flips and turns is tried, and an image cropped by 2% in up to 10.
const ALIKE_COARSE: u32 = 10;
/// In how many of the 256 bits; different photographs differ in 110 and more, an image cropped by 2% in up to 45.
const ALIKE_FINE: u32 = 64;
/// Flips and turns of an image.
const VARIANTS: usize = 8;
/// Earlier images that are compared as the nearest, for each flip and turn: among more that look alike, any will do.
const MOST: usize = 64;
/// Images that are searched for at once, whose hits are in memory together.
const TOGETHER: usize = 1 << 14;

struct Candidate<'a> {
    image: &'a Image,
    facts: &'a Facts,
    labels: Option<BTreeSet<CategoryIndex>>,
}

pub(super) fn check(dataset: &Dataset, facts: &ImageFacts, findings: &mut Findings) {
    let candidates = candidates(dataset, facts);
    identical(&candidates, findings);
    alike(&candidates, findings);
}

fn candidates<'a>(dataset: &'a Dataset, facts: &'a ImageFacts) -> Vec<Candidate<'a>> {
    let mut labels: Vec<BTreeSet<CategoryIndex>> =
        dataset.images.iter().map(|image| image.classes.iter().copied().collect()).collect();
    for annotation in &dataset.annotations {
        if let Some(labels) = labels.get_mut(annotation.image.0 as usize) {
            labels.insert(annotation.category);
        }
    }
    let with_facts = dataset.images.iter().zip(labels).filter_map(|(image, labels)| {
        let facts = facts.of(&image.file).filter(|facts| !facts.measures.says_nothing())?;
        Some(Candidate { image, facts, labels: image.labelled.then_some(labels) })
    });
    with_facts.collect()
}

/// The first image of some content, and the first in each split.
struct Same<'a> {
    first_in: BTreeMap<Option<&'a str>, &'a Image>,
    labelled: Option<(&'a Image, &'a BTreeSet<CategoryIndex>)>,
}

fn identical(candidates: &[Candidate], findings: &mut Findings) {
    let mut seen: BTreeMap<ContentHash, Same> = BTreeMap::new();
    for Candidate { image, facts, labels } in candidates {
        let same =
            seen.entry(facts.content).or_insert_with(|| Same { first_in: BTreeMap::new(), labelled: None });
        let split = image.split.as_deref();
        let elsewhere =
            same.first_in.iter().find(|(other, _)| split.is_some() && other.is_some() && **other != split);
        if let Some((other, first)) = elsewhere {
            let (split, other) = (split.unwrap_or_default(), other.unwrap_or_default());
            let found =
                format!("expected it in one split, found it in `{split}` and as {} in `{other}`", first.file);
            findings.add(Rule::SplitLeakage, &image.place, found);
        }
        match same.first_in.entry(split) {
            Entry::Vacant(place) => {
                place.insert(image);
            }
            Entry::Occupied(first) if first.get().file != image.file => {
                let found = format!("expected it once, found the same pixels in {}", first.get().file);
                findings.add(Rule::NearDuplicate, &image.place, found);
            }
            Entry::Occupied(_) => {}
        }
        match (labels, &same.labelled) {
            (Some(labels), Some((first, others))) if labels != *others => {
                let found =
                    format!("expected the labels of {}, which has the same pixels, found others", first.file);
                findings.add(Rule::ConflictingLabels, &image.place, found);
            }
            (Some(labels), None) => same.labelled = Some((image, labels)),
            _ => {}
        }
    }
}

/// An image, and one before it that looks like it.
struct Alike<'a> {
    distance: u32,
    other: &'a Image,
}

fn alike(candidates: &[Candidate], findings: &mut Findings) {
    // What is the same in the same split has been told, and would be found again by each of its like.
    let mut seen = BTreeSet::new();
    let distinct: Vec<_> = candidates
        .iter()
        .filter_map(|candidate| Some((candidate, candidate.facts.perceptual?)))
        .filter(|(candidate, _)| seen.insert((candidate.facts.content, candidate.image.split.as_deref())))
        .collect();
    let index = HashIndex::new(distinct.iter().map(|(_, hash)| hash.coarse).collect());
    let mut nearest = Vec::with_capacity(distinct.len());
    for part in distinct.chunks(TOGETHER) {
        nearest.extend(nearest_of(&index, &distinct, nearest.len(), part.len()));
    }
    for ((candidate, _), [within, across]) in distinct.iter().zip(nearest) {
        let rules = [(within, Rule::NearDuplicate), (across, Rule::NearDuplicateAcrossSplits)];
        for (alike, rule) in rules {
            let Some(Alike { distance, other }) = alike else { continue };
            let found = format!("looks like {}: {distance} of 256 bits differ", other.file);
            findings.add(rule, &candidate.image.place, found);
        }
    }
}

/// Of some images the nearest earlier ones in the same split and in another one.
fn nearest_of<'a>(
    index: &HashIndex,
    distinct: &[(&Candidate<'a>, PerceptualHash)],
    first: usize,
    count: usize,
) -> Vec<[Option<Alike<'a>>; 2]> {
    let variants: Vec<PerceptualHash> =
        distinct[first..first + count].iter().flat_map(|(_, hash)| hash.variants()).collect();
    let queries: Vec<u64> = variants.iter().map(|variant| variant.coarse).collect();
    let distance = |query: usize, hit: Hit| variants[query].fine_distance(&distinct[hit.at as usize].1);
    let found = index.search(&queries, ALIKE_COARSE, MOST, |query, hit| {
        let (this, before) = (first + query / VARIANTS, hit.at as usize);
        before < this
            && distance(query, hit) <= ALIKE_FINE
            && distinct[before].0.facts.content != distinct[this].0.facts.content
    });
    let nearest = |(this, found): (usize, &[Vec<Hit>])| {
        let mut nearest: [Option<(u32, usize)>; 2] = [None; 2];
        let split = distinct[first + this].0.image.split.as_deref();
        for (variant, hit) in
            found.iter().enumerate().flat_map(|(at, hits)| hits.iter().map(move |hit| (at, *hit)))
        {
            let other = distinct[hit.at as usize].0.image.split.as_deref();
            let across = usize::from(split.is_some() && other.is_some() && split != other);
            let alike = (distance(this * VARIANTS + variant, hit), hit.at as usize);
            nearest[across] = Some(nearest[across].map_or(alike, |old| old.min(alike)));
        }
        nearest.map(|alike| alike.map(|(distance, other)| Alike { distance, other: distinct[other].0.image }))
    };
    found.chunks(VARIANTS).enumerate().map(nearest).collect()
}
