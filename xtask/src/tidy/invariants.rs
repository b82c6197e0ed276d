//! That every invariant of `docs/invariants.md` has a test that names it: in the name of a function that a runner
//! runs, or in the lines of documentation directly above it. A mention anywhere else proves nothing.

use std::{fs, path::Path};

use super::{
    files,
    tokens::{Source, Test},
};

/// Every id that the list has as `- **PAY-1**` must be named by a test.
pub(super) fn check(root: &Path, findings: &mut Vec<String>) {
    let Ok(text) = fs::read_to_string(root.join("docs/invariants.md")) else {
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
    let tests = tests(root, findings);
    for id in ids {
        if !tests.iter().any(|test| names(test, id)) {
            findings.push(format!("docs/invariants.md: no test names {id}"));
        }
    }
}

/// All tests of the tree, in Rust and Solidity.
fn tests(root: &Path, findings: &mut Vec<String>) -> Vec<Test> {
    let mut sources = Vec::new();
    for dir in ["crates", "contracts/test", "e2e"] {
        files(&root.join(dir), &["rs", "sol"], &mut sources);
    }
    let mut tests = Vec::new();
    for path in sources {
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        let Ok(text) = fs::read_to_string(&path) else {
            findings.push(format!("{shown}: cannot be read as text"));
            continue;
        };
        if path.extension().is_some_and(|ending| ending == "sol") {
            tests.extend(solidity_tests(&text));
        } else {
            match Source::read(&text) {
                Ok(source) => tests.extend(source.tests()),
                Err(error) => findings.push(format!("{shown}: expected Rust: {error}")),
            }
        }
    }
    tests
}

/// The functions that forge runs: `test*` and `invariant*`, with the NatSpec directly above each.
fn solidity_tests(text: &str) -> Vec<Test> {
    let mut found = Vec::new();
    let mut docs = Vec::new();
    let mut in_block = false;
    for line in text.lines().map(str::trim_start) {
        if in_block || line.starts_with("///") || line.starts_with("/**") {
            in_block = !line.starts_with("///") && !line.contains("*/");
            docs.push(line.to_owned());
            continue;
        }
        let above = std::mem::take(&mut docs);
        let Some(signature) = line.strip_prefix("function ") else { continue };
        let name = signature.split(|next: char| !is_word(next)).next().unwrap_or_default();
        if name.starts_with("test") || name.starts_with("invariant") {
            found.push(Test { name: name.to_owned(), docs: above });
        }
    }
    found
}

/// Whether the test is one of the invariant, which its name has with `_` for `-`, and its documentation as it is.
fn names(test: &Test, id: &str) -> bool {
    let in_name = id.replace('-', "_").to_lowercase();
    // A `_` parts the words of a name.
    has_word(&test.name.to_lowercase(), &in_name, |next| next.is_ascii_alphanumeric())
        || test.docs.iter().any(|line| has_word(line, id, is_word))
}

/// Whether `word` stands in the text with no further character of its kind on either side.
fn has_word(text: &str, word: &str, is_part: impl Fn(char) -> bool) -> bool {
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(&is_part) && !text[at + word.len()..].starts_with(&is_part))
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str, docs: &[&str]) -> Test {
        Test { name: name.to_owned(), docs: docs.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn a_name_holds_an_id_between_word_boundaries() {
        for name in ["ch_1", "ch_1_replay", "test_CH_1_replay", "testFuzz_CH_1", "a_replay_is_ch_1"] {
            assert!(names(&test(name, &[]), "CH-1"), "{name}");
        }
        for name in ["batch_1", "ch_10_replay", "ch_1st", "ch1", "ch_2"] {
            assert!(!names(&test(name, &[]), "CH-1"), "{name}");
        }
    }

    #[test]
    fn documentation_holds_an_id_between_word_boundaries() {
        for line in ["CH-1: replay", "PAY-2, CH-1.", "/// (CH-1)"] {
            assert!(names(&test("a", &[line]), "CH-1"), "{line}");
        }
        for line in ["BATCH-1", "CH-10", "ch-1", "CH_1", "CH-1a"] {
            assert!(!names(&test("a", &[line]), "CH-1"), "{line}");
        }
        assert!(names(&test("a", &["one line", "CH-1 on the next"]), "CH-1"));
    }

    #[test]
    fn solidity_tests_are_what_forge_runs_with_the_lines_directly_above() {
        let text = "
/// PAY-1 of a contract.
contract A {
    /// PAY-2: of a test,
    /// in two lines.
    function test_a() external {
        // PAY-3
        function_call();
    }
    /// Far away.

    function testFuzz_b(uint8 b) external {}
    /// Of a helper.
    function _test_c() private {}
    /**
     * PAY-4
     */
    function invariant_d()
        external {}
}";
        let found = solidity_tests(text);
        let names: Vec<_> = found.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["test_a", "testFuzz_b", "invariant_d"]);
        assert_eq!(found[0].docs, ["/// PAY-2: of a test,", "/// in two lines."]);
        assert!(found[1].docs.is_empty());
        assert_eq!(found[2].docs, ["/**", "* PAY-4", "*/"]);
    }
}
