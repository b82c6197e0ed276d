//! One function for each command: read what it needs, one call of `client`, show what came of it.

mod account;
mod asset;
mod dataset;
mod money;
mod node;
mod operator;
mod paid;
mod usage;

pub(crate) use paid::serving;

use std::io::{self, Write};

use clap::CommandFactory;
use residual_client::{AccountError, Client, Password, Person, Place};
use zeroize::Zeroizing;

use crate::{
    cli::{Cli, Command},
    config::Settings,
    demo,
    failure::Failure,
    output::Output,
};

/// Carries out a command that needs neither settings nor ledger; gives back any other.
pub(crate) fn run_alone(command: Command, output: &mut Output) -> Result<Option<Command>, Failure> {
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "residual", &mut script);
            io::stdout().write_all(&script)?;
        }
        Command::Lint(what) => dataset::lint(&what, output)?,
        Command::Eval(what) => dataset::eval(what, output)?,
        other => return Ok(Some(other)),
    }
    Ok(None)
}

/// Carries out a command.
pub(crate) async fn run(command: Command, settings: Settings, output: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Init(what) => return node::init(&settings, &what, output).await,
        Command::Up(what) => return node::up(&settings, &what, output).await,
        Command::Demo(what) => return demo::run(&what, output).await,
        _ => {}
    }
    let place = settings.rpc_url.clone().map_or(Place::Own(None), Place::Rpc);
    let client = Client::open(&settings.data_dir, &place).await?;
    let here = Here { client: &client, settings: &settings };
    let outcome = on_ledger(command, &here, output).await;
    client.close().await;
    outcome
}

async fn on_ledger(command: Command, here: &Here<'_>, output: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Publish(what) => asset::publish(here, what, output).await,
        Command::Derive(what) => asset::derive(here, what, output).await,
        Command::Terms(what) => asset::terms(here, what, output).await,
        Command::Show(what) => asset::show(here, what, output).await,
        Command::License(what) => asset::license(here, what, output).await,
        Command::Get(what) => asset::get(here, what, output).await,
        Command::Shares(what) => asset::shares(here, what, output).await,
        Command::Relay { file } => money::relay(here, &file, output).await,
        Command::Use(what) => paid::run(here, what, output).await,
        Command::Usage(what) => usage::run(here, what, output).await,
        Command::Pay(what) => money::pay(here, what, output).await,
        Command::Channel(what) => money::channel(here, what, output).await,
        Command::Redeem(what) => money::redeem(here, what.asset, output).await,
        Command::Sweep(what) => money::sweep(here, what.asset, output).await,
        Command::Flow(what) => money::flow(here, what.asset, output).await,
        Command::Claim(what) => money::claim(here, what.asset, output).await,
        Command::Collect(what) => money::collect(here, what.asset, output).await,
        Command::Operator(what) => operator::run(here, what, output).await,
        Command::Audit => money::audit(here, output).await,
        Command::Account(what) => account::run(here, what, output).await,
        Command::Completions { .. }
        | Command::Init(_)
        | Command::Up(_)
        | Command::Demo(_)
        | Command::Lint(_)
        | Command::Eval(_) => unreachable!("carried out before a ledger was opened"),
    }
}

/// What a command on a ledger works with.
struct Here<'a> {
    client: &'a Client,
    settings: &'a Settings,
}

impl Here<'_> {
    /// The account that acts, unlocked.
    fn account(&self) -> Result<Person, Failure> {
        let name = self.settings.account.as_deref().ok_or(Failure::NoAccount)?;
        Ok(self.client.account(name, || password(self.settings))?)
    }
}

/// The account's password: of the file, else of the environment, else asked for.
fn password(settings: &Settings) -> Result<Password, AccountError> {
    let password = match given_password(settings)? {
        Some(password) => password,
        None => asked_for("Password: ")?,
    };
    Ok(taken_over(password))
}

/// A password for a new key: not empty, and typed twice, since nobody finds the key again without it.
fn new_password(settings: &Settings) -> Result<Password, AccountError> {
    let password = match given_password(settings)? {
        Some(password) => password,
        None => {
            let (first, second) = (asked_for("New password: ")?, asked_for("The same again: ")?);
            if first != second {
                return Err(AccountError::PasswordsDiffer);
            }
            first
        }
    };
    if password.is_empty() { Err(AccountError::NoPassword) } else { Ok(taken_over(password)) }
}

fn taken_over(mut password: Zeroizing<String>) -> Password {
    Password::new(std::mem::take(&mut *password))
}

fn given_password(settings: &Settings) -> Result<Option<Zeroizing<String>>, AccountError> {
    if let Some(path) = &settings.password_file {
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(AccountError::Password)?);
        return Ok(Some(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())));
    }
    Ok(std::env::var("RESIDUAL_PASSWORD").ok().map(Zeroizing::new))
}

fn asked_for(prompt: &str) -> Result<Zeroizing<String>, AccountError> {
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(AccountError::Password)
}
