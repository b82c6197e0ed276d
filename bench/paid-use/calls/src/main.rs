//! Paid calls over HTTP beside unpaid ones and a stock x402 server, and the gas of claims; see `bench/paid-use/run`.
//!
//! `paid-use-calls CHECKS DIRECTORY` measures, on the disk of the directory, and prints the table, then all raw figures as
//! JSON. CHECKS is what `paid-use-checks` has printed, once for each profile. `paid-use-calls serve DIRECTORY` is the
//! process that it starts and measures.

mod gas;
mod load;
mod measure;
mod report;
mod serve;
mod syncs;
mod world;

use std::{error::Error, path::Path, process::ExitCode};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", dir] => serve::run(Path::new(dir)).await,
        [checks, dir] => measure(checks, Path::new(dir)).await,
        _ => Err("expected: paid-use-calls CHECKS DIRECTORY".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("paid-use-calls: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(checks: &str, dir: &Path) -> Result<(), Failure> {
    let checks = report::Checks::read(Path::new(checks))?;
    let load_before = measure::load_average()?;
    let dir = tempfile::tempdir_in(dir)?;
    let served = tokio::task::block_in_place(|| measure::served(dir.path()))?;
    let gas = gas::measure(&dir.path().join("gas")).await?;
    let load = [load_before, measure::load_average()?];
    report::print(&report::Figures { load, checks, served, gas })
}
