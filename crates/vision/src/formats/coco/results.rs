//! COCO's lists of results: what a model found, for the evaluation.

use std::collections::HashMap;

use crate::{
    Annotation, CategoryIndex, Dataset, Findings, ImageIndex, Limits, Place, Rule,
    formats::json::{Record, Source, Spot, Told},
};

use super::{category_of, image_of, object};

/// Reads a list of results (`[{"image_id", "category_id", "bbox" | "segmentation" | "keypoints", "score"}, ...]`) about the
/// images of a dataset: of those in `split`, or of all when none is named. `file` is what findings call the list.
///
/// A result's id is its number from 1, as pycocotools has it. One that is not right, or of an image or class that the
/// dataset does not have, becomes a finding and is left out.
pub fn read_results(
    file: &str,
    content: &[u8],
    dataset: &Dataset,
    split: Option<&str>,
    limits: &Limits,
    findings: &mut Findings,
) -> Vec<Annotation> {
    let mut results = Vec::new();
    let Some(source) = Source::open(file, content, findings) else { return results };
    let ids = Ids::of(dataset, split);
    ids.tell_ambiguous(source.place(), findings);
    for (number, row) in source.rows().enumerate() {
        if number >= limits.annotations {
            findings.add(
                Rule::ResourceLimit,
                &Place::file(file),
                format!("expected at most {} results", limits.annotations),
            );
            break;
        }
        let raw = match row {
            Ok(raw) => raw,
            Err(broken) => {
                source.tell(&broken, findings);
                break;
            }
        };
        let spot = Spot::Row("", u32::try_from(number).unwrap_or(u32::MAX));
        let record = Record::read(&raw, spot, &source, limits, findings);
        results.extend(record.and_then(|record| result(record, number as u64 + 1, &ids, dataset, limits)));
    }
    results
}

/// What ids mean; none where they mean several.
struct Ids {
    images: HashMap<u64, Option<ImageIndex>>,
    categories: HashMap<u64, Option<CategoryIndex>>,
}

impl Ids {
    fn of(dataset: &Dataset, split: Option<&str>) -> Self {
        let mut images = HashMap::new();
        for (index, image) in (0..).map(ImageIndex).zip(&dataset.images) {
            if split.is_none() || image.split.as_deref() == split {
                images.entry(image.id).and_modify(|known| *known = None).or_insert(Some(index));
            }
        }
        let mut categories = HashMap::new();
        for (index, category) in (0..).map(CategoryIndex).zip(&dataset.categories) {
            categories.entry(category.id).and_modify(|known| *known = None).or_insert(Some(index));
        }
        Self { images, categories }
    }

    /// Says once that results of some ids cannot be told apart; they are left out.
    fn tell_ambiguous(&self, place: &Place, findings: &mut Findings) {
        let images = self.images.values().filter(|index| index.is_none()).count();
        if images > 0 {
            let found =
                format!("expected ids that are of one image each, found {images} of several; name the split");
            findings.add(Rule::DuplicateImageId, place, found);
        }
        let categories = self.categories.values().filter(|index| index.is_none()).count();
        if categories > 0 {
            let found = format!("expected ids that are of one class each, found {categories} of several");
            findings.add(Rule::DuplicateCategoryId, place, found);
        }
    }
}

fn result(
    mut record: Record<'_, '_>,
    number: u64,
    ids: &Ids,
    dataset: &Dataset,
    limits: &Limits,
) -> Result<Annotation, Told> {
    let image = image_of(&mut record, &ids.images, true)?;
    let category = category_of(&mut record, &ids.categories, true)?;
    if !record.has("score") {
        return Err(record.tell("score", Rule::MissingField, "expected a score, found none"));
    }
    record.take("id");
    object(record, number, image, category, dataset, limits)
}
