//! The health of a dataset of images when it is published: checked before anything is sealed, told to everybody in a few
//! numbers, and sealed whole with the content, so that the buyer reads the very report that the publisher had.
//!
//! Owns: what is checked (datasets that hold images with annotations of a known format), what keeps it from being published
//! (blockers), and the summary's form. Refuses: the rules, which are `vision`'s.

use std::{collections::BTreeMap, path::Path, sync::Mutex};

use residual_content::Progress;
use residual_vision::{
    Checkup, Findings, Folder, Format, HealthError, Limits, Report, Severity, Summary, check_up, recognise,
};
use serde::{Deserialize, Serialize};

use crate::{PublishError, Step};

/// Where the report lies among a version's files.
pub(crate) const REPORT: &str = ".residual/health.json";

/// Under which name the manifest says the summary.
pub const HEALTH: &str = "health";

/// Blockers that a refusal names.
const NAMED: usize = 3;

/// What a publisher says of a dataset for its check.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// The format of its annotations; none to tell it by their content, and to check nothing where they are of none.
    pub format: Option<Format>,
    /// The licence that the data stands under, an SPDX id say; none to look for one in the folder.
    pub data_licence: Option<String>,
}

/// What anybody may know of a dataset's health without a licence. In the manifest it stands under `health`, as JSON: its
/// publisher's word, which whoever has the content can hold against the report, and the report against the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSummary {
    /// What there is and how it is.
    #[serde(flatten)]
    pub summary: Summary,
    /// The SHA-256 of the report, in 64 hexadecimal digits; it is sealed as `.residual/health.json`.
    pub report_sha256: String,
}

impl HealthSummary {
    /// What a version's public description says of its health; none where it says nothing that can be read.
    #[must_use]
    pub fn of_about(about: &BTreeMap<String, String>) -> Option<Self> {
        serde_json::from_str(about.get(HEALTH)?).ok()
    }
}

/// A rule that a published dataset breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenRule {
    /// Its id.
    pub rule: &'static str,
    /// How grave it is; no blocker is published.
    pub severity: Severity,
    /// How often.
    pub count: u64,
    /// What it finds.
    pub meaning: &'static str,
}

/// What a check found.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) summary: HealthSummary,
    /// The gravest first.
    pub(crate) broken: Vec<BrokenRule>,
    /// The report, as it is sealed.
    pub(crate) json: String,
}

/// Checks a dataset; none where nothing in it says that it is one of images.
pub(crate) fn check(
    path: &Path,
    how: &Check,
    progress: &mut (dyn FnMut(Step, Progress) + Send),
) -> Result<Option<Checked>, PublishError> {
    let limits = Limits::default();
    let format = match how.format {
        Some(format) => format,
        None => match recognised(path, &limits)? {
            Some(format) => format,
            None => return Ok(None),
        },
    };
    let told = Mutex::new(progress);
    let progress = |done, total| {
        // Whoever tells has a newer number than those who would wait for it.
        if let Ok(mut progress) = told.try_lock() {
            progress(Step::Checking, Progress { done, total });
        }
    };
    let licence = how.data_licence.as_deref();
    let report =
        check_up(path, &Checkup { format: Some(format), licence, limits, progress: &progress })?.report;
    if report.blocks() {
        return Err(blocked(path, &report));
    }
    let broken = report.rules.iter().map(|broken| BrokenRule {
        rule: broken.rule.id(),
        severity: broken.severity,
        count: broken.count,
        meaning: broken.meaning,
    });
    let (broken, json) = (broken.collect(), report.json());
    let report_sha256 = format!("{:x}", crate::digest(json.as_bytes()));
    Ok(Some(Checked { summary: HealthSummary { summary: report.summary(), report_sha256 }, broken, json }))
}

fn recognised(path: &Path, limits: &Limits) -> Result<Option<Format>, PublishError> {
    // What cannot be listed is found again by the check, if there is one.
    let folder = Folder::list(path, limits, &mut Findings::new(0)).map_err(HealthError::from)?;
    Ok(recognise(&folder, limits).map_err(HealthError::from)?)
}

fn blocked(path: &Path, report: &Report) -> PublishError {
    let blockers = report.rules.iter().filter(|broken| broken.severity == Severity::Blocker);
    // Of each rule one, since a thousand of one would hide the others.
    let named = blockers.clone().filter_map(|broken| broken.findings.first()).take(NAMED);
    let mut first: Vec<String> = named
        .map(|finding| {
            let place = finding.place.to_string().replace(char::is_control, " ");
            format!("{} in {place}: {}", finding.rule.id(), finding.found)
        })
        .collect();
    let count: u64 = blockers.map(|broken| broken.count).sum();
    let rest = count.saturating_sub(first.len() as u64);
    if rest > 0 {
        first.push(format!("and {rest} more"));
    }
    PublishError::Blockers { path: path.to_owned(), count, first: first.join("; ") }
}
