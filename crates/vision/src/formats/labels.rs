//! Classes of formats that only know labels: they are numbered in the order in which they appear.

use std::collections::HashMap;

use crate::{Category, CategoryIndex};

/// The labels seen so far, and their classes.
#[derive(Debug, Default)]
pub(crate) struct Labels(HashMap<String, CategoryIndex>);

impl Labels {
    /// The class of a label, which is added to `categories` when it is new; none when there are `most` already.
    pub(crate) fn class(
        &mut self,
        label: &str,
        categories: &mut Vec<Category>,
        most: usize,
    ) -> Option<CategoryIndex> {
        if let Some(index) = self.0.get(label) {
            return Some(*index);
        }
        let index = CategoryIndex(u32::try_from(categories.len()).ok().filter(|_| categories.len() < most)?);
        categories.push(Category { id: u64::from(index.0), name: label.to_owned(), ..Category::default() });
        self.0.insert(label.to_owned(), index);
        Some(index)
    }
}
