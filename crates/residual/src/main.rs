//! `residual`: one binary. Here it is parsed what is to be done, `client` does it, `output` shows it.

mod cli;
mod commands;
mod config;
mod demo;
mod failure;
mod output;
mod terms_file;

use std::process::ExitCode;

use clap::Parser;

use crate::{cli::Cli, config::Settings, failure::Failure, output::Output};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::new(cli.global.json);
    match run(cli, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has heard enough: `residual show ... | head`.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli, output: &mut Output) -> Result<(), Failure> {
    let Some(command) = commands::run_alone(cli.command, output)? else { return Ok(()) };
    let settings = Settings::resolve(cli.global)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(commands::run(command, settings, output))
}
