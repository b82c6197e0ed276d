//! The whole loop through the real binary, as a person at a terminal runs it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to stop there")]

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
        row["asset"] == "digits-a"
            && row["kind"] == "inference"
            && row["path"].as_array().is_some_and(|path| path.len() > 1)
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

/// A development data directory with a published asset; its first terms are free to buy for who has the money.
struct Town {
    temp: tempfile::TempDir,
    asset: String,
    terms: String,
}

impl Town {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        json(&residual(temp.path(), &["init", "--development", "--json"]));
        let examples = examples();
        let (photos, terms) = (examples.join("digits-a"), examples.join("terms/commercial.toml"));
        let publish = [
            "publish",
            photos.to_str().unwrap(),
            "--name",
            "digits-a",
            "--terms",
            terms.to_str().unwrap(),
            "-a",
            "dev:1",
            "--json",
        ];
        let published = json(&residual(temp.path(), &publish));
        let again = json(&residual(temp.path(), &publish));
        assert_eq!(published["asset"], again["asset"], "a repeated publication is the same asset");
        assert_eq!(again["transaction"], Value::Null, "and registers nothing again");
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        Self { asset: word(&published["asset"]), terms: word(&published["terms"][0]), temp }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        residual(self.temp.path(), arguments)
    }

    /// Runs a command that must fail with this exit code and say this.
    fn refused(&self, code: i32, says: &str, arguments: &[&str]) {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(says), "{arguments:?}: expected {says:?}, found {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}: nothing but the error is said");
    }
}

#[test]
fn the_single_commands_make_the_loop() {
    let town = Town::new();
    let (asset, terms) = (town.asset.as_str(), town.terms.as_str());
    json(&town.run(&["account", "fund", "dev:2", "100", "-a", "dev:0", "--json"]));
    let bought = json(&town.run(&["license", asset, terms, "-a", "dev:2", "--json"]));
    let licence = bought["licence"].as_str().unwrap();

    let target = town.temp.path().join("got");
    let got = json(&town.run(&["get", licence, target.to_str().unwrap(), "-a", "dev:2", "--json"]));
    assert_eq!(got["written"], 2);
    let original = std::fs::read(examples().join("digits-a/digits.csv")).unwrap();
    assert_eq!(std::fs::read(target.join("digits.csv")).unwrap(), original);

    let model = town.temp.path().join("model.bin");
    std::fs::write(&model, b"weights").unwrap();
    let derive = [
        "derive",
        model.to_str().unwrap(),
        "--name",
        "m",
        "--kind",
        "model",
        "--licence",
        licence,
        "-a",
        "dev:2",
        "--json",
    ];
    let child = json(&town.run(&derive));
    let child = child["asset"].as_str().unwrap();
    json(&town.run(&["pay", child, "10", "--till", "-a", "dev:2", "--json"]));
    json(&town.run(&["shares", "transfer", child, "dev:3", "400000", "-a", "dev:2", "--json"]));
    let collected = json(&town.run(&["collect", asset, "-a", "dev:1", "--json"]));
    // 25 of the licence, and 10% of the 10 that the child was paid.
    assert_eq!(collected["claims"][0]["amount"], "26000000", "{collected}");
    // What came before the sweep came after the transfer (PAY-5): two fifths of 9.
    let claimed = json(&town.run(&["claim", child, "-a", "dev:3", "--json"]));
    assert_eq!(claimed[0]["amount"], "3600000", "{claimed}");
    let audit = json(&town.run(&["audit", "--json"]));
    assert_eq!(audit["tokens"][0]["received"], "35000000");
}

#[test]
fn bad_input_is_refused_with_what_to_do_and_changes_nothing() {
    let town = Town::new();
    let (asset, terms) = (town.asset.as_str(), town.terms.as_str());
    let before = json(&town.run(&["audit", "--json"]));
    let nobody = "0x000000000000000000000000000000ff";
    town.refused(3, "registered on this ledger", &["pay", nobody, "1", "-a", "dev:1"]);
    town.refused(4, "fund the account", &["license", asset, terms, "-a", "dev:5"]);
    town.refused(
        4,
        "agree to it with --max-price",
        &["license", asset, terms, "--max-price", "24.99", "-a", "dev:5"],
    );
    town.refused(2, "digits after the point", &["pay", asset, "0.0000001", "-a", "dev:1"]);
    town.refused(2, "expected an account to act with", &["claim", asset]);
    town.refused(3, "residual account list", &["claim", asset, "-a", "nobody"]);
    town.refused(4, "at least 5 units", &["shares", "transfer", asset, "dev:3", "5", "-a", "dev:9"]);
    let file = town.temp.path().join("f");
    std::fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    town.refused(
        2,
        "sum to 1000000",
        &["publish", file, "--name", "f", "--holder", "dev:1=999999", "-a", "dev:1"],
    );
    town.refused(1, "cannot be read", &["publish", "/nowhere/at/all", "--name", "f", "-a", "dev:1"]);
    let after = json(&town.run(&["audit", "--json"]));
    assert_eq!(before["events"], after["events"], "nothing has changed on the ledger");

    let licence = {
        json(&town.run(&["account", "fund", "dev:2", "100", "-a", "dev:0", "--json"]));
        let bought = json(&town.run(&["license", asset, terms, "-a", "dev:2", "--json"]));
        bought["licence"].as_str().unwrap().to_owned()
    };
    let target = town.temp.path().join("stolen");
    town.refused(
        4,
        "sign with the account that holds the licence",
        &["get", &licence, target.to_str().unwrap(), "-a", "dev:3"],
    );
    assert!(!target.exists(), "KEY-1: nothing was written for who holds no licence");
    town.refused(
        2,
        "twice",
        &["derive", file, "--name", "d", "--licence", &licence, "--licence", &licence, "-a", "dev:2"],
    );
}

#[test]
fn a_directory_that_is_none_of_ours_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let output = residual(temp.path(), &["audit"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("residual init"));

    let data = temp.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("thesis.tex"), "mine").unwrap();
    let output = residual(temp.path(), &["init", "--development"]);
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1, "it was left as it was");
}
