//! The health report of a dataset: one value, shown three ways.
//!
//! [`Report::json`] is the report itself: the same folder gives the same bytes, so that its hash can be signed and a buyer
//! can tell that the report they read is the one that was sealed. [`Report::text`] and [`Report::html`] show it to people;
//! the page needs no file or network beside it, and no script. [`pictures`] draws the worst findings for it.

mod pictures;

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Finding, Findings, Format, Histogram, Rule, Severity, Statistics};

pub use pictures::pictures;

/// The name of the form of [`Report::json`]; another form has another name.
const SCHEMA: &str = "residual/health/1";

/// The findings of one rule that the text shows; all are counted, and the JSON has those that were kept.
const SHOWN_PER_RULE: usize = 5;
/// The findings of one rule that the page shows.
const PAGE_SHOWN_PER_RULE: usize = 50;
/// The classes that the page shows, those with the most samples.
const PAGE_CLASSES: usize = 100;

/// Light or dark as the reader has it; one column on a telephone.
const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--blocker:#c0392b;--error:#b9770e;--warning:#7d6608;--info:#2471a3}\
@media(prefers-color-scheme:dark){:root{--blocker:#ff7b6b;--error:#f0b04f;--warning:#d9c44a;--info:#7fbfea}}\
body{margin:0;font:16px/1.5 system-ui,sans-serif}main{max-width:62rem;margin:auto;padding:1rem}\
h1{font-size:1.6rem;overflow-wrap:anywhere}h2{font-size:1.2rem;margin-top:2rem}\
.tiles{display:flex;flex-wrap:wrap;gap:.5rem;padding:0;list-style:none}.tiles li{padding:.4rem .8rem;border:1px solid var(--line);border-radius:.5rem}\
.blocker{color:var(--blocker)}.error{color:var(--error)}.warning{color:var(--warning)}.info{color:var(--info)}\
.pictures{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr))}\
figure{margin:0}svg{max-width:100%;height:auto}figure svg{width:100%;background:var(--soft)}figcaption{overflow-wrap:anywhere}\
rect.meant{fill:none;stroke:#ff2d2d;stroke-width:2;vector-effect:non-scaling-stroke}\
rect.other{fill:none;stroke:#2d9bff;stroke-width:1;vector-effect:non-scaling-stroke}\
details{border:1px solid var(--line);border-radius:.5rem;margin:.5rem 0;padding:.4rem .8rem}summary{cursor:pointer}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}td,th{padding:.2rem .6rem .2rem 0;text-align:left;vertical-align:top;border-top:1px solid var(--soft);overflow-wrap:anywhere}\
td.n,th.n{text-align:right}.bar{fill:var(--info)}.heat rect{fill:var(--info)}";

/// What is in a dataset and what is wrong with it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema: &'static str,
    /// How the annotations were read.
    pub format: Format,
    /// How many findings there are of each severity.
    pub severities: BTreeMap<Severity, u64>,
    /// Rules that are broken, the gravest first.
    pub rules: Vec<Broken>,
    /// Classes, sizes, places.
    pub statistics: Statistics,
}

/// What is in a dataset and how it is, in a few numbers; shown as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The format of the annotations.
    pub format: String,
    /// Images.
    pub images: u64,
    /// Annotations.
    pub annotations: u64,
    /// Classes.
    pub classes: u64,
    /// How many findings there are of each severity.
    pub severities: BTreeMap<Severity, u64>,
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, images, annotations, classes, severities } = self;
        write!(out, "{format}: {images} images, {annotations} annotations, {classes} classes; ")?;
        let counts = severities.iter().rev().filter(|(_, count)| **count > 0);
        let counts: Vec<_> =
            counts.map(|(severity, count)| format!("{count} {}", noun(*severity, *count))).collect();
        out.write_str(if counts.is_empty() { "no findings" } else { "" })?;
        out.write_str(&counts.join(", "))
    }
}

/// A rule and what breaks it.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// How grave it is.
    pub severity: Severity,
    /// What it finds.
    pub meaning: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

/// A finding as the page shows it.
#[derive(Debug, Clone)]
pub struct Picture {
    /// What it shows.
    pub finding: Finding,
    /// The image that the finding is about; or why it cannot be shown.
    pub drawing: Result<Drawing, String>,
}

/// An image, small, with boxes on it.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// The image, JPEG.
    pub jpeg: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Boxes on it, in its pixels.
    pub outlines: Vec<Outline>,
}

/// A box on a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Left, upper, width and height, in the picture's pixels.
    pub bounds: [f64; 4],
    /// Its class.
    pub label: String,
    /// Whether the finding is about it.
    pub meant: bool,
}

impl Report {
    /// The report of a dataset that was read and checked.
    pub fn new(format: Format, findings: &Findings, statistics: Statistics) -> Self {
        let mut rules: Vec<Broken> = Vec::new();
        for finding in findings.iter() {
            match rules.last_mut().filter(|broken| broken.rule == finding.rule) {
                Some(broken) => broken.findings.push(finding.clone()),
                None => rules.push(Broken {
                    rule: finding.rule,
                    severity: finding.severity(),
                    meaning: finding.rule.meaning(),
                    advice: finding.rule.advice(),
                    count: findings.count(finding.rule),
                    findings: vec![finding.clone()],
                }),
            }
        }
        let of = |severity| (severity, findings.of_severity(severity));
        Self {
            schema: SCHEMA,
            format,
            severities: Severity::ALL.iter().copied().map(of).collect(),
            rules,
            statistics,
        }
    }

    /// Whether something stands in the way of publishing.
    pub fn blocks(&self) -> bool {
        self.severities.get(&Severity::Blocker).is_some_and(|count| *count > 0)
    }

    /// The report as JSON, the same bytes for the same folder.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has string keys and finite numbers only")
    }

    /// The sha2-256 digest of [`Report::json`].
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.json().as_bytes()).into()
    }

    /// What there is and how it is, in a few numbers.
    pub fn summary(&self) -> Summary {
        let Statistics { images, annotations, classes, .. } = &self.statistics;
        Summary {
            format: self.format.to_string(),
            images: *images,
            annotations: *annotations,
            classes: classes.len() as u64,
            severities: self.severities.clone(),
        }
    }

    /// The report for a terminal: what is wrong, where, and what to do.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text).expect("a string takes what is written to it");
        text
    }

    fn write_text(&self, out: &mut String) -> fmt::Result {
        for broken in &self.rules {
            let Broken { rule, severity, meaning, advice, count, .. } = broken;
            let severity = noun(*severity, 1);
            writeln!(out, "{severity} {} ({count}): {meaning}; {advice}", rule.id())?;
            for finding in broken.findings.iter().take(SHOWN_PER_RULE) {
                // A file's name may hold what would look like a line of ours.
                let place = finding.place.to_string().replace(char::is_control, " ");
                writeln!(out, "  {place}: {}", finding.found)?;
            }
            let rest = count.saturating_sub(SHOWN_PER_RULE as u64);
            if rest > 0 {
                writeln!(out, "  and {rest} more")?;
            }
        }
        writeln!(out, "{}", self.summary())
    }

    /// The report as a page that needs nothing beside it, with pictures of the worst findings.
    ///
    /// `title` and all that the dataset says are escaped: strangers wrote them.
    pub fn html(&self, title: &str, pictures: &[Picture]) -> String {
        let mut page = String::new();
        self.write_html(&mut page, title, pictures).expect("a string takes what is written to it");
        page
    }

    fn write_html(&self, out: &mut String, title: &str, pictures: &[Picture]) -> fmt::Result {
        let title = Escaped(title);
        write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}: health report</title>\n<style>{STYLE}</style>\n\
             <main>\n<h1>{title}</h1>\n<p>{}</p>\n",
            Escaped(&self.summary().to_string())
        )?;
        out.push_str("<ul class=\"tiles\">\n");
        for (severity, count) in self.severities.iter().rev() {
            let (class, noun) = (noun(*severity, 1), noun(*severity, *count));
            writeln!(out, "<li class=\"{class}\"><b>{count}</b> {noun}</li>")?;
        }
        out.push_str("</ul>\n");
        if !pictures.is_empty() {
            out.push_str("<h2>The worst, seen</h2>\n<div class=\"pictures\">\n");
            for picture in pictures {
                write_picture(out, picture)?;
            }
            out.push_str("</div>\n");
        }
        out.push_str("<h2>Findings</h2>\n");
        if self.rules.is_empty() {
            out.push_str("<p>None.</p>\n");
        }
        for broken in &self.rules {
            write_broken(out, broken)?;
        }
        out.push_str("<h2>What is in it</h2>\n");
        self.write_statistics(out)?;
        out.push_str("</main>\n</html>\n");
        Ok(())
    }
}

impl Report {
    fn write_statistics(&self, out: &mut String) -> fmt::Result {
        let of = &self.statistics;
        let said = format!(
            "{} of {} images are not labelled, {} are said to hold nothing; {} of {} annotations are crowds.",
            of.unlabelled_images, of.images, of.empty_images, of.crowds, of.annotations
        );
        writeln!(out, "<p>{said}</p>")?;
        self.write_classes(out)?;
        write_histogram(out, "Boxes by size (square root of the area, pixels)", &of.box_sizes)?;
        write_histogram(out, "Boxes by width over height", &of.aspect_ratios)?;
        write_histogram(out, "Images by number of annotations", &of.annotations_per_image)?;
        write_heat_map(out, &of.centres)
    }

    fn write_classes(&self, out: &mut String) -> fmt::Result {
        let of = &self.statistics;
        if of.classes.is_empty() {
            return Ok(());
        }
        out.push_str("<h3>Classes</h3>\n<div class=\"scroll\"><table>\n<tr><th>class<th class=\"n\">samples<th class=\"n\">images");
        for split in &of.splits {
            write!(out, "<th class=\"n\">{}", Escaped(&split.name))?;
        }
        out.push('\n');
        let mut classes: Vec<_> = of.classes.iter().collect();
        classes.sort_by_key(|class| std::cmp::Reverse(class.samples));
        for class in classes.iter().take(PAGE_CLASSES) {
            let (samples, images) = (class.samples, class.images);
            write!(out, "<tr><td>{}<td class=\"n\">{samples}<td class=\"n\">{images}", Escaped(&class.name))?;
            for samples in &class.by_split {
                write!(out, "<td class=\"n\">{samples}")?;
            }
            out.push('\n');
        }
        out.push_str("</table></div>\n");
        let rest = classes.len().saturating_sub(PAGE_CLASSES);
        if rest > 0 { writeln!(out, "<p>And {rest} classes with fewer samples.</p>") } else { Ok(()) }
    }
}

/// Bars from the left, a row each; the longest is as wide as there is room.
fn write_histogram(out: &mut String, title: &str, histogram: &Histogram) -> fmt::Result {
    let Histogram { edges, counts } = histogram;
    let most = counts.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return Ok(());
    }
    write!(out, "<h3>{title}</h3>\n<div class=\"scroll\"><table>\n")?;
    for (bin, count) in counts.iter().enumerate() {
        let range = match (bin.checked_sub(1).map(|below| edges[below]), edges.get(bin)) {
            (None, Some(to)) => format!("under {to}"),
            (Some(from), Some(to)) => format!("{from} to {to}"),
            (Some(from), None) => format!("{from} and over"),
            (None, None) => "all".to_owned(),
        };
        #[expect(clippy::cast_precision_loss, reason = "the length of a bar on a page")]
        let width = 300.0 * *count as f64 / most as f64;
        writeln!(
            out,
            "<tr><td>{range}<td class=\"n\">{count}<td><svg width=\"300\" height=\"12\" aria-hidden=\"true\"><rect class=\"bar\" width=\"{width:.1}\" height=\"12\"/></svg>"
        )?;
    }
    out.push_str("</table></div>\n");
    Ok(())
}

/// Where in their images the boxes' centres are: the fuller a cell, the stronger its colour.
fn write_heat_map<const CELLS: usize>(out: &mut String, centres: &[[u64; CELLS]]) -> fmt::Result {
    let most = centres.iter().flatten().copied().max().unwrap_or(0);
    if most == 0 {
        return Ok(());
    }
    let rows = centres.len();
    write!(
        out,
        "<h3>Where the centres of the boxes are</h3>\n<svg class=\"heat\" viewBox=\"0 0 {CELLS} {rows}\" width=\"256\" height=\"256\" role=\"img\" aria-label=\"heat map of centres\">"
    )?;
    for (y, row) in centres.iter().enumerate() {
        for (x, count) in row.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "the strength of a colour on a page")]
            let strength = *count as f64 / most as f64;
            write!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"1\" height=\"1\" fill-opacity=\"{strength:.2}\"><title>{count}</title></rect>"
            )?;
        }
    }
    out.push_str("</svg>\n");
    Ok(())
}

fn write_broken(out: &mut String, broken: &Broken) -> fmt::Result {
    let Broken { rule, severity, meaning, advice, count, findings } = broken;
    let (class, id) = (noun(*severity, 1), rule.id());
    let open = if *severity >= Severity::Error { " open" } else { "" };
    write!(
        out,
        "<details{open}><summary><span class=\"{class}\">{class}</span> <code>{id}</code> {count}: {}</summary>\n\
         <p>{}.</p>\n<table>\n",
        Escaped(meaning),
        Escaped(&capitalised(advice))
    )?;
    for finding in findings.iter().take(PAGE_SHOWN_PER_RULE) {
        let (place, found) = (finding.place.to_string(), &finding.found);
        writeln!(out, "<tr><td><code>{}</code></td><td>{}</td></tr>", Escaped(&place), Escaped(found))?;
    }
    out.push_str("</table>\n");
    let rest = count.saturating_sub(PAGE_SHOWN_PER_RULE as u64);
    if rest > 0 {
        writeln!(out, "<p>And {rest} more.</p>")?;
    }
    out.push_str("</details>\n");
    Ok(())
}

fn write_picture(out: &mut String, picture: &Picture) -> fmt::Result {
    let Picture { finding, drawing } = picture;
    out.push_str("<figure>");
    match drawing {
        Ok(drawing) => write_drawing(out, drawing, &finding.found)?,
        Err(reason) => write!(out, "<p>No picture: {}.</p>", Escaped(reason))?,
    }
    writeln!(
        out,
        "<figcaption><code>{}</code> {}<br><small>{}</small></figcaption></figure>",
        finding.rule.id(),
        Escaped(&finding.found),
        Escaped(&finding.place.to_string())
    )
}

fn write_drawing(out: &mut String, drawing: &Drawing, said: &str) -> fmt::Result {
    let Drawing { jpeg, width, height, outlines } = drawing;
    write!(
        out,
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\
         <image href=\"data:image/jpeg;base64,{}\" width=\"{width}\" height=\"{height}\"/>",
        Escaped(said),
        STANDARD.encode(jpeg)
    )?;
    for outline in outlines {
        let [x, y, w, h] = outline.bounds;
        let class = if outline.meant { "meant" } else { "other" };
        write!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\"><title>{}</title></rect>",
            Escaped(&outline.label)
        )?;
    }
    out.push_str("</svg>");
    Ok(())
}

fn noun(severity: Severity, count: u64) -> &'static str {
    match (severity, count) {
        (Severity::Blocker, 1) => "blocker",
        (Severity::Blocker, _) => "blockers",
        (Severity::Error, 1) => "error",
        (Severity::Error, _) => "errors",
        (Severity::Warning, 1) => "warning",
        (Severity::Warning, _) => "warnings",
        (Severity::Info, _) => "info",
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Text that may be anything, for HTML's text and quoted attributes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in self.0.chars() {
            match one {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                // What steers the direction of text could show a place as another.
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    out.write_char(char::REPLACEMENT_CHARACTER)?;
                }
                one => out.write_char(one)?,
            }
        }
        Ok(())
    }
}
