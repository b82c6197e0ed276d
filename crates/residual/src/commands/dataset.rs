//! `lint`: what is wrong with a dataset of images. Works on files alone, without a data directory.

use std::{fs, path::Path, sync::Mutex};

use residual_vision::{Checkup, Health, Limits, Severity, check_up, pictures};

use crate::{cli::Lint, failure::Failure, output::Output};

pub(super) fn lint(what: &Lint, output: &mut Output) -> Result<(), Failure> {
    let health = checked(what, output)?;
    if let Some(place) = &what.report {
        let page = health.report.html(&title(&what.path), &pictures(&health, &Limits::default()));
        fs::write(place, page).map_err(|source| Failure::Write { path: place.clone(), source })?;
    }
    output.made(&health.report.json(), &health.report.text())?;
    match health.report.severities.get(&Severity::Blocker) {
        None | Some(0) => Ok(()),
        Some(count) => Err(Failure::Blockers { count: *count }),
    }
}

fn checked(what: &Lint, output: &mut Output) -> Result<Health, Failure> {
    let drawn = Mutex::new(output);
    let progress = |done, total| {
        // Whoever draws has a newer number than those who would wait for it.
        if let Ok(mut output) = drawn.try_lock() {
            output.progress("looking at the images", done, total);
        }
    };
    let how = Checkup {
        format: what.format,
        licence: what.data_licence.as_deref(),
        limits: Limits::default(),
        progress: &progress,
    };
    Ok(check_up(&what.path, &how)?)
}

/// The name of what was looked at, also of `.`.
fn title(path: &Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real.file_name().map_or_else(|| real.display().to_string(), |name| name.to_string_lossy().into_owned())
}
