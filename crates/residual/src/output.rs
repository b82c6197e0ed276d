//! What is shown: progress on the standard error of a terminal, plain lines in a pipe, one JSON object for machines.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use residual_client::Step;
use serde::Serialize;

use crate::failure::Failure;

/// How often a progress line is drawn anew, at most.
const REDRAW: Duration = Duration::from_millis(80);

/// Where results and progress go.
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    drawn: Option<Instant>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, terminal: !json && io::stderr().is_terminal(), drawn: None }
    }

    /// A line of the story; for people only.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        self.clear();
        if self.json { Ok(()) } else { writeln!(io::stdout(), "{}", harmless(line)) }
    }

    /// How far a long work is; drawn over itself on a terminal, silent elsewhere.
    pub(crate) fn progress(&mut self, what: &str, done: u64, total: u64) {
        let due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW);
        if self.terminal && (due || done == total) {
            let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
            // A progress line that cannot be drawn is no reason to stop the work.
            let _ = write!(io::stderr(), "\r\x1b[2K{what} {percent}%");
            self.drawn = Some(Instant::now());
        }
    }

    /// Why a command failed: a line for people, or a JSON object, on the standard error.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        self.clear();
        if self.json {
            eprintln!(
                "{}",
                serde_json::json!({ "error": failure.to_string(), "exit_code": failure.exit_code() })
            );
        } else {
            eprintln!("residual: {}", harmless(&failure.to_string()));
        }
    }

    fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }

    /// A result whose JSON is made already, by its own rules; or `text` for people.
    pub(crate) fn made(&mut self, json: &str, text: &str) -> io::Result<()> {
        self.clear();
        let mut out = io::stdout();
        if self.json { writeln!(out, "{json}") } else { writeln!(out, "{}", harmless(text.trim_end())) }
    }

    /// A result that is made for machines whoever asked: indented for people, since they pass it on.
    pub(crate) fn document<T: Serialize>(&mut self, result: &T) -> io::Result<()> {
        self.result(result, |result| {
            serde_json::to_string_pretty(result).expect("results have string keys only")
        })
    }

    /// The result: its JSON, or `text` for people.
    pub(crate) fn result<T: Serialize>(
        &mut self,
        result: &T,
        text: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        self.clear();
        let mut out = io::stdout();
        if self.json {
            serde_json::to_writer(&mut out, result)?;
            writeln!(out)
        } else {
            let text = text(result);
            let text = harmless(text.trim_end());
            if text.is_empty() { Ok(()) } else { writeln!(out, "{text}") }
        }
    }
}

/// What of a long work is under way, as a progress line says it.
pub(crate) fn step_word(step: Step) -> &'static str {
    match step {
        Step::Checking => "looking at the images",
        Step::Sealing => "sealing",
        Step::Fetching => "fetching",
        Step::Verifying => "verifying",
    }
}

/// Text without what would steer a terminal: names and descriptions come from strangers.
fn harmless(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A table in plain text: columns as wide as their widest cell, numbers to the right.
pub(crate) struct Table {
    heads: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these heads; a head that starts with `>` is a column of numbers.
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self {
            heads: heads.iter().map(|head| head.trim_start_matches('>').to_owned()).collect(),
            right: heads.iter().map(|head| head.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// A row. A cell stays in its line, whoever wrote it.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| cell.replace(['\n', '\r'], " ")).collect());
    }

    pub(crate) fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).chain([&self.heads[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells
                .iter()
                .zip(&widths)
                .zip(&self.right)
                .map(
                    |((cell, &width), right)| {
                        if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                    },
                )
                .collect();
            format!("{}\n", cells.join("  ").trim_end())
        };
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        let mut text = line(&self.heads) + &line(&rule);
        for row in &self.rows {
            text += &line(row);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_words_left_and_numbers_right() {
        let mut table = Table::new(&["who", ">units"]);
        table.row(["Ada".to_owned(), "5".to_owned()]);
        table.row(["M\no".to_owned(), "1000".to_owned()]);
        assert_eq!(table.render(), "who  units\n---  -----\nAda      5\nM o   1000\n");
    }
}
