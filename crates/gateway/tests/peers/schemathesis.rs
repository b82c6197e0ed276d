//! Stock schemathesis (see `setup`) against a running gateway.
#![expect(clippy::unwrap_used, reason = "a helper of tests that fails is a failed test")]

use std::{path::Path, process::Command};

use serde_json::Value;

/// Runs it with its files in `dir`; it must find nothing.
pub(crate) fn schemathesis(dir: &Path, description: &str, arguments: &[&str], parameters: &Value) {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let program = peers.join(".venv/bin/schemathesis");
    assert!(program.exists(), "schemathesis is not installed: run crates/gateway/tests/peers/setup once");
    let mut config = std::fs::read_to_string(peers.join("schemathesis.toml")).unwrap();
    config += "\n[parameters]\n";
    for (name, value) in parameters.as_object().unwrap() {
        config += &format!("{name:?} = {value}\n");
    }
    let file = dir.join("schemathesis.toml");
    std::fs::write(&file, config).unwrap();
    let output = Command::new(program)
        .current_dir(dir)
        .arg("--config-file")
        .arg(&file)
        .arg("run")
        .args(arguments)
        .arg(description)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains(" 0 generated"), "{said}");
}
