//! A dataset in the making, for formats that speak of one image after another.

use std::collections::HashMap;

use crate::{
    Annotation, Category, CategoryIndex, Dataset, Findings, Image, ImageIndex, Info, Limits, Place, Rule,
};

/// What was read so far, within the limits.
pub(crate) struct Draft<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) findings: &'a mut Findings,
    pub(crate) info: Info,
    categories: Vec<Category>,
    by_name: HashMap<String, CategoryIndex>,
    images: Vec<(Image, Vec<Annotation>)>,
    annotations: usize,
    told: [bool; 3],
}

/// An annotation that says nothing yet but its class and place.
pub(crate) fn annotation(category: CategoryIndex, place: Place) -> Annotation {
    Annotation {
        id: 0,
        image: ImageIndex(0),
        category,
        bounds: None,
        segmentation: None,
        oriented: None,
        keypoints: Vec::new(),
        area: None,
        crowd: false,
        score: None,
        place,
        attributes: crate::Attributes::new(),
    }
}

impl<'a> Draft<'a> {
    /// Nothing yet.
    pub(crate) fn new(limits: &'a Limits, findings: &'a mut Findings) -> Self {
        Self {
            limits,
            findings,
            info: Info::default(),
            categories: Vec::new(),
            by_name: HashMap::new(),
            images: Vec::new(),
            annotations: 0,
            told: [false; 3],
        }
    }

    /// Adds a finding.
    pub(crate) fn find(&mut self, rule: Rule, place: &Place, found: impl Into<String>) {
        self.findings.add(rule, place, found.into());
    }

    /// Adds a category, without asking whether there is one of its name; none beyond the limit.
    pub(crate) fn list(&mut self, category: Category, place: &Place) -> Option<CategoryIndex> {
        let limit = self.limits.categories;
        if self.categories.len() >= limit {
            self.tell(0, place, format!("expected at most {limit} classes"));
            return None;
        }
        let index = CategoryIndex(u32::try_from(self.categories.len()).ok()?);
        self.by_name.entry(category.name.clone()).or_insert(index);
        self.categories.push(category);
        Some(index)
    }

    /// The category of this name, if it is listed.
    pub(crate) fn listed(&self, name: &str) -> Option<CategoryIndex> {
        self.by_name.get(name).copied()
    }

    /// The category of this name, listed now if it was not; none beyond the limit.
    pub(crate) fn category(&mut self, name: &str, place: &Place) -> Option<CategoryIndex> {
        self.listed(name).or_else(|| {
            let id = self.categories.len() as u64;
            self.list(Category { id, name: name.to_owned(), ..Category::default() }, place)
        })
    }

    /// The categories so far.
    pub(crate) fn categories(&mut self) -> &mut [Category] {
        &mut self.categories
    }

    /// Every annotation so far.
    pub(crate) fn annotations(&mut self) -> impl Iterator<Item = &mut Annotation> {
        self.images.iter_mut().flat_map(|(_, annotations)| annotations)
    }

    /// Whether so many annotations more are beyond the limit, so that none need be read behind them.
    pub(crate) fn is_full(&self, more: usize) -> bool {
        self.annotations.saturating_add(more) > self.limits.annotations
    }

    /// Adds an image and what is in it, as far as the limits go.
    pub(crate) fn image(&mut self, image: Image, mut annotations: Vec<Annotation>) {
        let limit = self.limits.files;
        if self.images.len() >= limit {
            self.tell(1, &image.place, format!("expected at most {limit} images"));
            return;
        }
        let limit = self.limits.annotations;
        let room = limit.saturating_sub(self.annotations);
        if annotations.len() > room {
            annotations.truncate(room);
            self.tell(2, &image.place, format!("expected at most {limit} annotations"));
        }
        self.annotations += annotations.len();
        self.images.push((image, annotations));
    }

    /// The dataset: images in the order of their files, annotations in the order of images, both numbered from 1; and
    /// categories by `order`, if that is given.
    pub(crate) fn finish(mut self, order: Option<fn(&Category, &Category) -> std::cmp::Ordering>) -> Dataset {
        let mut renamed: Vec<CategoryIndex> = (0..).take(self.categories.len()).map(CategoryIndex).collect();
        if let Some(order) = order {
            let mut sorted: Vec<(u32, Category)> = (0..).zip(self.categories).collect();
            sorted.sort_by(|(_, left), (_, right)| order(left, right));
            for (new, (old, _)) in (0..).zip(&sorted) {
                renamed[*old as usize] = CategoryIndex(new);
            }
            self.categories = sorted.into_iter().map(|(_, category)| category).collect();
        }
        self.images.sort_by(|(left, _), (right, _)| left.file.cmp(&right.file));
        let mut dataset = Dataset {
            info: self.info,
            categories: self.categories,
            images: Vec::new(),
            annotations: Vec::new(),
        };
        dataset.images.reserve_exact(self.images.len());
        dataset.annotations.reserve_exact(self.annotations);
        for (index, (mut image, annotations)) in (0..).zip(self.images) {
            image.id = u64::from(index) + 1;
            for class in &mut image.classes {
                *class = renamed[class.0 as usize];
            }
            dataset.images.push(image);
            for mut annotation in annotations {
                annotation.id = dataset.annotations.len() as u64 + 1;
                annotation.image = ImageIndex(index);
                annotation.category = renamed[annotation.category.0 as usize];
                dataset.annotations.push(annotation);
            }
        }
        dataset
    }

    /// Each limit is told of once: what is beyond it is left out from there on.
    fn tell(&mut self, which: usize, place: &Place, found: String) {
        if !std::mem::replace(&mut self.told[which], true) {
            self.find(Rule::ResourceLimit, place, found);
        }
    }
}

/// Categories in the order of their names, numbered so: for formats without a list of them.
pub(crate) fn by_name(left: &Category, right: &Category) -> std::cmp::Ordering {
    left.name.cmp(&right.name)
}

/// Numbers categories by their place: for formats without ids.
pub(crate) fn numbered(mut dataset: Dataset) -> Dataset {
    for (id, category) in (0..).zip(&mut dataset.categories) {
        category.id = id;
    }
    dataset
}
