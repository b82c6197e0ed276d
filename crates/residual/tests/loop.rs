//! The whole loop through the real binary, as a person at a terminal runs it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

const RESIDUAL: &str = env!("CARGO_BIN_EXE_residual");

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The binary in an environment of its own: nothing of the tester's settings reaches it.
fn residual(data_dir: &Path, arguments: &[&str]) -> Output {
    Command::new(RESIDUAL)
        .env_clear()
        .env("HOME", data_dir)
        .env("RESIDUAL_DATA_DIR", data_dir.join("data"))
        .env("RESIDUAL_PASSWORD", "correct horse battery staple")
        .args(arguments)
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("expected one JSON object, found {error} in {}", String::from_utf8_lossy(&output.stdout))
    })
}

fn units(value: &Value) -> u128 {
    value.as_str().unwrap_or_else(|| panic!("expected an amount as a string, found {value}")).parse().unwrap()
}

#[test]
fn the_demo_ends_with_every_unit_accounted_for() {
    let temp = tempfile::tempdir().unwrap();
    let examples = examples();
    let output = residual(temp.path(), &["demo", "--json", "--examples", examples.to_str().unwrap()]);
    let story = json(&output);

    let accuracy = |who: &str| story["accuracy"][who].as_f64().unwrap();
    assert!(accuracy("grandchild") >= 0.93, "{story}");
    assert!(accuracy("grandchild") > accuracy("child"), "fine-tuning with digits-b must lift: {story}");
    assert_eq!(story["predictions"], 1000);

    // What was earned is what was claimed and what is still held, for each holder and asset.
    let credits = story["credits"].as_array().unwrap();
    let claims = story["claims"].as_array().unwrap();
    assert!(!credits.is_empty() && !claims.is_empty());
    let credited: u128 = credits.iter().map(|row| units(&row["amount"])).sum();
    let claimed: u128 = claims.iter().map(|row| units(&row["amount"])).sum();
    let held: u128 = story["held"].as_array().unwrap().iter().map(|row| units(&row["amount"])).sum();
    assert_eq!(credited, claimed + held, "{story}");

    // Money came up the lineage: to the owners of digits-a, for inference on its grandchild, along the path.
    let along = |row: &&Value| {
        row["asset"] == "digits-a" && row["kind"] == "inference" && row["path"].as_array().is_some_and(|path| path.len() > 1)
    };
    assert!(credits.iter().any(|row| along(&row) && units(&row["amount"]) > 0), "{story}");
    for kind in ["licence", "inference", "resale"] {
        assert!(credits.iter().any(|row| row["kind"] == kind), "nobody earned by {kind}");
    }
    assert_eq!(story["audit"]["accounted"], true, "{story}");
    assert_eq!(story["audit"]["difference"], Value::Null);
}

#[test]
fn the_demo_in_a_pipe_is_plain_lines_and_ends_in_table_and_audit() {
    let temp = tempfile::tempdir().unwrap();
    let examples = examples();
    let output = residual(temp.path(), &["demo", "--examples", examples.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "no terminal codes in a pipe");
    assert!(text.trim_end().ends_with("audit: every unit accounted for"), "{text}");
    assert!(text.contains("along"), "{text}");
}
