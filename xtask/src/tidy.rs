//! The rules of the house that a machine can check. Each finding names the file, the line and the rule.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use serde_json::Value;

/// Which floor each crate stands on. A crate may import what stands below it, and of its own floor only what
/// [`SAME_FLOOR`] lists.
const FLOORS: &[(&str, u8)] = &[
    ("residual-primitives", 0),
    ("residual-royalty", 1),
    ("residual-classifier", 1),
    ("residual-ledger", 2),
    ("residual-local-ledger", 2),
    ("residual-content", 2),
    ("residual-meter", 2),
    ("residual-client", 3),
    ("residual", 5),
    ("residual-agreement", 5),
    ("xtask", 5),
];

const SAME_FLOOR: &[(&str, &str)] = &[];

/// A text that no source in the crates of the given floors may hold, and why.
struct Ban {
    /// The highest floor that it is banned on; crates named in `except` may hold it.
    up_to_floor: u8,
    except: &'static [&'static str],
    texts: &'static [&'static str],
    why: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        up_to_floor: 1,
        except: &[],
        texts: &[
            "SystemTime",
            "Instant::now",
            "std::fs",
            "std::net",
            "std::env",
            "rand::rng",
            "OsRng",
            "getrandom",
        ],
        why: "no clock, randomness, files, network or environment on floors 0 and 1: pass it in",
    },
    Ban {
        up_to_floor: 5,
        except: &["residual-ledger", "xtask"],
        texts: &["alloy_provider", "ProviderBuilder"],
        why: "only `ledger` talks JSON-RPC",
    },
    Ban {
        up_to_floor: 3,
        except: &[],
        texts: &["anyhow"],
        why: "no anyhow below floor 4: give the operation its own error",
    },
    Ban {
        up_to_floor: 5,
        except: &["xtask"],
        texts: &["TODO", "FIXME", "todo!(", "unimplemented!(", "struct Mock", "mod mock"],
        why: "nothing unfinished and no mock in src/",
    },
];

struct Crate {
    name: String,
    floor: u8,
    dir: PathBuf,
    imports: Vec<String>,
}

/// Runs every check and prints what it found.
pub(crate) fn run(root: &Path) -> ExitCode {
    let mut findings = Vec::new();
    match crates(root, &mut findings) {
        Ok(crates) => {
            check_imports(&crates, &mut findings);
            for one in &crates {
                check_sources(root, one, &mut findings);
            }
        }
        Err(error) => findings.push(error),
    }
    check_invariants(root, &mut findings);
    if findings.is_empty() {
        println!("tidy: nothing to say");
        return ExitCode::SUCCESS;
    }
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    eprintln!("tidy: {} to put right", findings.len());
    ExitCode::FAILURE
}

fn crates(root: &Path, findings: &mut Vec<String>) -> Result<Vec<Crate>, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata cannot be started: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        format!("cargo metadata cannot be read: {error}; {}", String::from_utf8_lossy(&output.stderr))
    })?;
    let floors: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    let mut crates = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
        let Some(&floor) = floors.get(name.as_str()) else {
            findings.push(format!(
                "{}: crate {name} stands on no floor; add it to xtask/src/tidy.rs",
                manifest.display()
            ));
            continue;
        };
        let imports = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect();
        crates.push(Crate { name, floor, dir: manifest.parent().unwrap_or(root).to_path_buf(), imports });
    }
    Ok(crates)
}

fn check_imports(crates: &[Crate], findings: &mut Vec<String>) {
    let floors: BTreeMap<_, _> = crates.iter().map(|one| (one.name.as_str(), one.floor)).collect();
    for one in crates {
        for import in &one.imports {
            let Some(&below) = floors.get(import.as_str()) else { continue };
            let same = SAME_FLOOR.contains(&(one.name.as_str(), import.as_str()));
            if below >= one.floor && !same {
                findings.push(format!(
                    "{} (floor {}) may not import {import} (floor {below})",
                    one.name, one.floor
                ));
            }
        }
    }
}

/// Every file below `dir` with one of the endings, in order.
fn files(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let skip = ["node_modules", "target", "out", "cache", ".git", ".venv"];
        if path.is_dir() {
            if !path.file_name().is_some_and(|name| skip.iter().any(|skip| name == *skip)) {
                files(&path, endings, found);
            }
        } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
            found.push(path);
        }
    }
}

fn check_sources(root: &Path, one: &Crate, findings: &mut Vec<String>) {
    let mut sources = Vec::new();
    files(&one.dir.join("src"), &["rs"], &mut sources);
    for path in sources {
        let Ok(text) = fs::read_to_string(&path) else {
            findings.push(format!("{}: cannot be read as text", path.display()));
            continue;
        };
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        if !text.starts_with("//!") {
            findings.push(format!("{shown}: expected a module header (`//!`) that says what it owns"));
        }
        // What follows `mod tests` is test code, which may read clocks and files.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            for ban in BANS
                .iter()
                .filter(|ban| one.floor <= ban.up_to_floor && !ban.except.contains(&one.name.as_str()))
            {
                for text in ban.texts.iter().filter(|text| line.contains(**text)) {
                    findings.push(format!("{shown}:{}: `{text}`: {}", number + 1, ban.why));
                }
            }
        }
    }
}

/// Every id that `docs/invariants.md` lists as `- **PAY-1**` must be named by a test.
fn check_invariants(root: &Path, findings: &mut Vec<String>) {
    let list = root.join("docs/invariants.md");
    let Ok(text) = fs::read_to_string(&list) else {
        findings.push("docs/invariants.md cannot be read".to_owned());
        return;
    };
    let ids: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("- **"))
        .filter_map(|line| line.split_once("**").map(|(id, _)| id))
        .collect();
    if ids.is_empty() {
        findings.push("docs/invariants.md lists no invariant".to_owned());
    }
    let mut sources = Vec::new();
    for dir in ["crates", "contracts/test", "e2e"] {
        files(&root.join(dir), &["rs", "sol", "mjs"], &mut sources);
    }
    let tests: Vec<String> = sources
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).ok()?;
            let in_tests =
                path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "test");
            if in_tests || path.starts_with(root.join("e2e")) {
                Some(text)
            } else {
                text.split_once("#[cfg(test)]").map(|(_, tests)| tests.to_owned())
            }
        })
        .collect();
    for id in ids {
        let word = id.replace('-', "_");
        let names_it = |text: &String| {
            [id, word.as_str(), word.to_lowercase().as_str()].iter().any(|name| {
                text.match_indices(*name)
                    .any(|(at, _)| !text[at + name.len()..].starts_with(|next: char| next.is_ascii_digit()))
            })
        };
        if !tests.iter().any(names_it) {
            findings.push(format!("docs/invariants.md: no test names {id}"));
        }
    }
}
