//! Serves a development ledger: `serve DIRECTORY [ADDRESS]`. Prints its URL and runs until it is interrupted.

use std::net::SocketAddr;
use std::process::ExitCode;

use residual_local_ledger::{Config, LocalLedger};

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(dir), address) = (args.next(), args.next()) else {
        eprintln!("usage: serve DIRECTORY [ADDRESS]");
        return ExitCode::from(2);
    };
    let listen = match address.as_deref().unwrap_or("127.0.0.1:8545").parse::<SocketAddr>() {
        Ok(listen) => listen,
        Err(e) => {
            eprintln!("not an address: {e}");
            return ExitCode::from(2);
        }
    };
    let config = Config { development: true, listen, ..Config::default() };
    let ledger = match LocalLedger::open(&dir, config).await {
        Ok(ledger) => ledger,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", ledger.rpc_url());
    if let Err(e) = tokio::signal::ctrl_c().await {
        eprintln!("cannot wait for an interrupt: {e}");
    }
    ledger.shutdown().await;
    ExitCode::SUCCESS
}
