//! Findings: which rule is broken, where, by what value, and what to do.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::{Rule, Severity};

/// The most characters of a value that a finding shows.
const VALUE_CHARS: usize = 120;

/// Where something is said. Cheap to clone: files are shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, relative to the dataset's folder; empty for the dataset as a whole.
    #[serde(serialize_with = "as_text")]
    pub file: Arc<str>,
    /// The line from 1, where the format has lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Within the file: a JSON pointer (RFC 6901) or an XML path; none for the file or the line as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Pointer>,
}

/// The way to a value in a file, kept short: most places are a row of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pointer {
    /// `/list/row`: row `row`, from 0, of the list of that name; `/row` where the file is the list and the name empty.
    Row(&'static str, u32),
    /// `/list/row/field`.
    Field(&'static str, u32, &'static str),
    /// Any other.
    Path(Arc<str>),
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pointer::Row("", row) => write!(out, "/{row}"),
            Pointer::Field("", row, field) => write!(out, "/{row}/{field}"),
            Pointer::Row(list, row) => write!(out, "/{list}/{row}"),
            Pointer::Field(list, row, field) => write!(out, "/{list}/{row}/{field}"),
            Pointer::Path(path) => out.write_str(path),
        }
    }
}

impl Serialize for Pointer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Place {
    /// A file as a whole.
    pub fn file(file: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), line: None, within: None }
    }

    /// A line of this file, from 1.
    #[must_use]
    pub fn at_line(&self, line: u32) -> Self {
        Self { file: Arc::clone(&self.file), line: Some(line), within: None }
    }

    /// Something within this file.
    #[must_use]
    pub fn at(&self, within: Pointer) -> Self {
        Self { file: Arc::clone(&self.file), line: self.line, within: Some(within) }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(if self.file.is_empty() { "the dataset" } else { &self.file })?;
        if let Some(line) = self.line {
            write!(out, ":{line}")?;
        }
        if let Some(within) = &self.within {
            write!(out, " {within}")?;
        }
        Ok(())
    }
}

/// One fault, or one fact worth knowing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Where.
    pub place: Place,
    /// What stands there, or what was measured, in words: `expected ..., found ...`.
    pub found: String,
}

impl Finding {
    /// How grave it is.
    pub fn severity(&self) -> Severity {
        self.rule.severity()
    }
}

/// All findings of a dataset: each rule's first ones with their places, and how many there are.
#[derive(Debug, Clone)]
pub struct Findings {
    kept_per_rule: usize,
    kept: BTreeMap<Rule, Vec<Finding>>,
    counts: BTreeMap<Rule, u64>,
}

impl Findings {
    /// None yet; of each rule the first `kept_per_rule` will be kept.
    pub fn new(kept_per_rule: usize) -> Self {
        Self { kept_per_rule, kept: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// Adds one. `found` is cut after 120 characters and stripped of control characters, since strangers wrote it.
    pub fn add<'a>(&mut self, rule: Rule, place: &Place, found: impl Into<Cow<'a, str>>) {
        *self.counts.entry(rule).or_default() += 1;
        let kept = self.kept.entry(rule).or_default();
        if kept.len() < self.kept_per_rule {
            kept.push(Finding { rule, place: place.clone(), found: shown(&found.into()) });
        }
    }

    /// Takes in what others found, after what is here.
    pub fn append(&mut self, others: Findings) {
        for (rule, count) in others.counts {
            *self.counts.entry(rule).or_default() += count;
        }
        for (rule, findings) in others.kept {
            let kept = self.kept.entry(rule).or_default();
            let room = self.kept_per_rule.saturating_sub(kept.len());
            kept.extend(findings.into_iter().take(room));
        }
    }

    /// Those that are kept, the gravest first, then by rule, then in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        let mut rules: Vec<_> = self.kept.keys().copied().collect();
        rules.sort_by_key(|rule| (std::cmp::Reverse(rule.severity()), *rule));
        rules.into_iter().filter_map(|rule| self.kept.get(&rule)).flatten()
    }

    /// How many of a rule there are, kept or not.
    pub fn count(&self, rule: Rule) -> u64 {
        self.counts.get(&rule).copied().unwrap_or(0)
    }

    /// How many there are of each rule that has any.
    pub fn counts(&self) -> impl Iterator<Item = (Rule, u64)> {
        self.counts.iter().map(|(rule, count)| (*rule, *count))
    }

    /// How many there are of a severity.
    pub fn of_severity(&self, severity: Severity) -> u64 {
        self.counts.iter().filter(|(rule, _)| rule.severity() == severity).map(|(_, count)| count).sum()
    }

    /// Whether something stands in the way of publishing.
    pub fn block(&self) -> bool {
        self.of_severity(Severity::Blocker) > 0
    }
}

fn as_text<S: serde::Serializer>(file: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(file)
}

fn shown(text: &str) -> String {
    let clean = text.chars().map(|one| if one.is_control() { ' ' } else { one });
    let mut shown: String = clean.take(VALUE_CHARS + 1).collect();
    if shown.chars().count() > VALUE_CHARS {
        shown = shown.chars().take(VALUE_CHARS - 3).collect::<String>() + "...";
    }
    shown
}
