//! The demo: the whole loop, told for people and for machines.

use serde_json::Value;

use crate::support::{command, examples, json, units};

#[test]
fn the_demo_ends_with_every_unit_accounted_for() {
    let temp = tempfile::tempdir().unwrap();
    let story = json(temp.path(), &["demo", "--examples", &examples("")]);

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
}

#[test]
fn the_demo_in_a_pipe_is_plain_lines_and_ends_in_table_and_audit() {
    let temp = tempfile::tempdir().unwrap();
    let output = command(temp.path(), &["demo", "--examples", &examples("")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "no terminal codes in a pipe");
    assert!(text.trim_end().ends_with("audit: every unit accounted for"), "{text}");
    insta::assert_snapshot!("demo", without_chance(&text));
}

/// The story without what differs from run to run: the assets' ids and how long it took.
fn without_chance(text: &str) -> String {
    let (before, after) = text.rsplit_once(", in ").unwrap();
    let after = after.split_once(" s\n").unwrap().1;
    let mut parts = before.split("asset 0x");
    let first = parts.next().unwrap().to_owned();
    let before = parts.fold(first, |told, part| format!("{told}asset 0x...{}", &part[32..]));
    format!("{before}, in the time it takes\n{after}")
}
