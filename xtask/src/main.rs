//! `cargo xtask <task>`: checks and generators that cargo cannot express.
//!
//! - `tidy`: who may import whom, what no crate on a floor may touch, that every invariant has a test.
//! - `gas`: measures the gas table anew, and fails when a figure rose by more than 1%.

mod tidy;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const USAGE: &str = "expected one of: tidy, gas\n\n  cargo xtask tidy   check the layout and manner of the tree\n  cargo xtask gas    write contracts/gas.json anew; fails when a figure rose by more than 1%";

/// The folder that holds the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

fn gas() -> ExitCode {
    let run = Command::new(root().join("contracts/scripts/gas")).status();
    match run {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("contracts/scripts/gas cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let task = env::args().nth(1);
    match task.as_deref() {
        Some("tidy") => tidy::run(&root()),
        Some("gas") => gas(),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
