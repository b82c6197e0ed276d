//! `init` and `up`.

use residual_client::Client;
use serde_json::json;

use crate::{
    cli::{Init, Up},
    commands::{ANY_PORT, password},
    config::Settings,
    failure::Failure,
    output::Output,
};

pub(super) async fn init(settings: &Settings, what: &Init, output: &mut Output) -> Result<(), Failure> {
    let client = Client::init(&settings.data_dir, what.development, ANY_PORT, || password(settings)).await?;
    let made = json!({
        "data_dir": client.home().root(),
        "chain_id": client.chain().id(),
        "currency": client.currency().token,
        "assets": client.suite().assets,
        "licences": client.suite().licences,
        "royalties": client.suite().royalties,
        "shares": client.suite().shares,
    });
    let root = client.home().root().display().to_string();
    let chain = client.chain().id();
    client.close().await;
    output.result(&made, |_| {
        format!("made {root}: an embedded ledger, chain {chain}, with the contracts on it")
    })?;
    Ok(())
}

pub(super) async fn up(settings: &Settings, what: &Up, output: &mut Output) -> Result<(), Failure> {
    let client =
        Client::init(&settings.data_dir, what.development, what.listen, || password(settings)).await?;
    let Some((rpc_url, ws_url)) = client.serves() else {
        let place = client.home().root().display().to_string();
        output.say(&format!("{place} has a running node already"))?;
        return Ok(());
    };
    let up = json!({
        "data_dir": client.home().root(),
        "chain_id": client.chain().id(),
        "rpc_url": rpc_url,
        "ws_url": ws_url,
        "currency": client.currency().token,
    });
    output.result(&up, |_| {
        format!(
            "the embedded ledger, chain {}\n  JSON-RPC   {rpc_url}\n  WebSocket  {ws_url}\n  currency   {} at {}\n  data       {}\nCtrl-C stops it; nothing is lost if it is killed.",
            client.chain().id(),
            client.currency().symbol,
            client.currency().token,
            client.home().root().display(),
        )
    })?;
    stopped().await;
    client.close().await;
    Ok(())
}

/// Waits for Ctrl-C or, as a service manager asks, SIGTERM.
async fn stopped() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    // Without a way to be told, it runs until it is killed, which loses nothing.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
