//! The rules of the house that a machine can check. Each finding names the file, the line and the rule.

mod invariants;
mod tokens;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use proc_macro2::LexError;
use serde_json::Value;

use tokens::Source;

/// Which floor each crate stands on. A crate may import what stands below it, and of its own floor only what
/// [`SAME_FLOOR`] lists.
const FLOORS: &[(&str, u8)] = &[
    ("residual-primitives", 0),
    ("residual-royalty", 1),
    ("residual-classifier", 1),
    ("residual-x402", 1),
    ("residual-inference", 1),
    ("residual-usage", 1),
    ("residual-vision", 1),
    ("residual-durable", 2),
    ("residual-ledger", 2),
    ("residual-local-ledger", 2),
    ("residual-content", 2),
    ("residual-meter", 2),
    ("residual-client", 3),
    ("residual-gateway", 4),
    ("residual", 5),
    ("residual-agreement", 5),
    ("residual-fuzz", 5),
    ("xtask", 5),
];

const SAME_FLOOR: &[(&str, &str)] = &[
    ("residual-ledger", "residual-durable"),
    ("residual-local-ledger", "residual-durable"),
    ("residual-content", "residual-durable"),
    ("residual-meter", "residual-durable"),
];

/// What no source in the crates of the given floors may hold, and why.
struct Ban {
    /// The highest floor that it is banned on; crates named in `except` may hold it.
    up_to_floor: u8,
    except: &'static [&'static str],
    /// Found also in comments.
    texts: &'static [&'static str],
    /// Modules of the standard library, found in paths and imports.
    modules: &'static [&'static str],
    why: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        up_to_floor: 1,
        except: &[],
        texts: &["SystemTime", "Instant::now", "rand::rng", "OsRng", "getrandom"],
        modules: &["net", "env", "process", "thread"],
        why: "no clock, randomness, network, environment, process or thread on floors 0 and 1: pass it in",
    },
    Ban {
        up_to_floor: 1,
        except: &["residual-vision"],
        texts: &[],
        modules: &["fs"],
        why: "no files on floors 0 and 1 but in `vision`, which may touch those of the folders it is given: pass them in",
    },
    Ban {
        up_to_floor: 5,
        except: &["residual-ledger", "xtask"],
        texts: &["alloy_provider", "ProviderBuilder"],
        modules: &[],
        why: "only `ledger` talks JSON-RPC",
    },
    Ban {
        up_to_floor: 3,
        except: &[],
        texts: &["anyhow"],
        modules: &[],
        why: "no anyhow below floor 4: give the operation its own error",
    },
    Ban {
        up_to_floor: 5,
        except: &["xtask"],
        texts: &["TODO", "FIXME", "todo!(", "unimplemented!(", "struct Mock", "mod mock"],
        modules: &[],
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
    invariants::check(root, &mut findings);
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
        let bans = BANS
            .iter()
            .filter(|ban| one.floor <= ban.up_to_floor && !ban.except.contains(&one.name.as_str()));
        match held(&text, bans) {
            Ok(held) => findings
                .extend(held.into_iter().map(|(line, what, why)| format!("{shown}:{line}: `{what}`: {why}"))),
            Err(error) => findings.push(format!("{shown}: expected Rust: {error}")),
        }
    }
}

/// What a source holds although it is banned: line, text or module, and why it is banned. The module of tests may read
/// clocks and files.
fn held<'a>(
    text: &str,
    bans: impl Iterator<Item = &'a Ban>,
) -> Result<Vec<(usize, &'static str, &'static str)>, LexError> {
    let source = Source::read(text)?;
    let tests = source.test_modules();
    let mut held = Vec::new();
    for ban in bans {
        for (number, line) in (1..).zip(text.lines()) {
            held.extend(
                ban.texts.iter().filter(|text| line.contains(**text)).map(|text| (number, *text, ban.why)),
            );
        }
        held.extend(source.uses_of(ban.modules).into_iter().map(|(line, module)| (line, module, ban.why)));
    }
    held.retain(|(line, ..)| !tests.iter().any(|lines| lines.contains(line)));
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_reaches_past_what_only_tests_use_but_not_into_their_module() {
        let ban = Ban { up_to_floor: 1, except: &[], texts: &["SystemTime"], modules: &["fs"], why: "pure" };
        let text = "#[cfg(test)]\nfn for_tests() {}\n\nuse std::{\n    fmt, fs,\n};\n\n// SystemTime\n\n\
                    #[cfg(test)]\nmod tests {\n    use std::{fs, time::SystemTime};\n}\n";
        let found = held(text, [&ban].into_iter()).expect("the text is Rust");
        assert_eq!(found, [(8, "SystemTime", "pure"), (5, "fs", "pure")]);
    }
}
