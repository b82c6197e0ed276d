//! `lint`, `eval`: what is wrong with a dataset of images, and how good detections are on it. Both work on files alone,
//! without a data directory.

use std::{collections::HashMap, fs, path::Path, sync::Mutex};

use residual_client::Step;
use residual_vision::{
    Checkup, Confusion, ConfusionAt, Evaluation, Figure, Health, Images, Kind, Limits, Options, Severity,
    check_up, evaluate_paths, pictures,
};

use crate::{
    cli::{Compared, CountedImages, Eval, Lint},
    failure::Failure,
    output::{Output, Table, step_word},
};

/// Pairs of classes that the text shows, those that are taken for each other most.
const CONFUSIONS: usize = 10;

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
            output.progress(step_word(Step::Checking), done, total);
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

pub(super) fn eval(what: Eval, output: &mut Output) -> Result<(), Failure> {
    let unit = [("confusion-overlap", what.confusion_overlap), ("confusion-score", what.confusion_score)];
    for (option, found) in unit {
        if !(0.0..=1.0).contains(&found) {
            return Err(Failure::OutsideUnit { option, found });
        }
    }
    if let Some(found) = what.sigmas.iter().flatten().find(|sigma| !(**sigma > 0.0 && sigma.is_finite())) {
        return Err(Failure::Sigma { found: *found });
    }
    let kind = match what.kind {
        Compared::Boxes => Kind::Boxes,
        Compared::Masks => Kind::Masks,
        Compared::Keypoints => Kind::Keypoints,
        Compared::Oriented => Kind::Oriented,
    };
    let options = Options {
        sigmas: what.sigmas,
        confusion: Some(ConfusionAt { overlap: what.confusion_overlap, score: what.confusion_score }),
        images: match what.images {
            CountedImages::All => Images::All,
            CountedImages::Detected => Images::Detected,
        },
        ..Options::default()
    };
    let evaluation = evaluate_paths(&what.gt, &what.dt, what.split.as_deref(), kind, options)?;
    Ok(output.result(&evaluation, evaluation_text)?)
}

fn evaluation_text(of: &Evaluation) -> String {
    let mut text = summaries(of);
    if !of.classes.is_empty() {
        text += "\n";
        text += &classes(of);
    }
    if let Some(confusion) = &of.confusion {
        text += &confusions(of, confusion);
    }
    for note in &of.notes {
        text += &format!("note: {note}\n");
    }
    text
}

/// The figures of the whole, and those of the slices beside them.
fn summaries(of: &Evaluation) -> String {
    let slices = of.slices.iter().map(|slice| format!(">{} ({} images)", slice.name, slice.images));
    let heads: Vec<String> = ["figure".to_owned(), ">value".to_owned()].into_iter().chain(slices).collect();
    let mut table = Table::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    for (row, figure) in of.summary.iter().enumerate() {
        let in_slices = of.slices.iter().map(|slice| value(slice.summary.get(row).and_then(|one| one.value)));
        table.row([figure.name.clone(), value(figure.value)].into_iter().chain(in_slices));
    }
    table.render()
}

fn classes(of: &Evaluation) -> String {
    let sizes = of.classes.first().map_or(&[][..], |class| &class.ap_by_size);
    let sizes: Vec<String> = sizes.iter().map(|size| format!(">AP {}", size.name)).collect();
    let heads = ["class", ">objects", ">detections", ">AP", ">AP50", ">AP75", ">AR"];
    let mut table =
        Table::new(&heads.into_iter().chain(sizes.iter().map(String::as_str)).collect::<Vec<_>>());
    for class in &of.classes {
        let counts = [class.name.clone(), class.objects.to_string(), class.detections.to_string()];
        let figures = [class.ap, class.ap50, class.ap75, class.ar].map(value);
        let by_size = class.ap_by_size.iter().map(|Figure { value: of_size, .. }| value(*of_size));
        table.row(counts.into_iter().chain(figures).chain(by_size));
    }
    table.render()
}

/// What is taken for what most often: classes for each other, objects for nothing, nothing for objects.
fn confusions(of: &Evaluation, confusion: &Confusion) -> String {
    let names: HashMap<u64, &str> = of.classes.iter().map(|class| (class.id, class.name.as_str())).collect();
    let name = |class: Option<u64>, none: &str| match class {
        Some(id) => names.get(&id).map_or_else(|| id.to_string(), |name| (*name).to_owned()),
        None => none.to_owned(),
    };
    let mut wrong: Vec<_> =
        confusion.counts.iter().filter(|(there, detected, _)| there != detected).collect();
    if wrong.is_empty() {
        return String::new();
    }
    wrong.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    let mut table = Table::new(&["there is", "taken for", ">times"]);
    for (there, detected, count) in wrong.iter().take(CONFUSIONS) {
        table.row([name(*there, "nothing"), name(*detected, "nothing"), count.to_string()]);
    }
    let ConfusionAt { overlap, score } = confusion.at;
    let rest = wrong.len().saturating_sub(CONFUSIONS);
    let more = if rest > 0 { format!("and {rest} pairs more: --json has all\n") } else { String::new() };
    format!("\nat an overlap of {overlap} and a score of {score}:\n{}{more}", table.render())
}

/// Three places, as pycocotools prints them; nothing where there was nothing to measure.
fn value(of: Option<f64>) -> String {
    of.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}
