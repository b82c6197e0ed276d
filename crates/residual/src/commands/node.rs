//! `init` and `up`.

use std::{sync::Arc, time::Duration};

use residual_client::{ANY_PORT, AccountError, Client, ClientError, Governance, Ground, NewKey, Password};
use residual_gateway::{Config as GatewayConfig, Gateway, PaymentRules, Serving, SettlementRules};
use residual_primitives::{Amount, AssetId};
use serde_json::json;

use crate::{
    cli::{Init, Up},
    commands::{new_password, password},
    config::Settings,
    demo,
    failure::Failure,
    output::Output,
};

/// What the gateway lets stand unclaimed, in whole tokens.
const UNCLAIMED_CAP: &str = "1000000";

pub(super) async fn init(settings: &Settings, what: &Init, output: &mut Output) -> Result<(), Failure> {
    let ground = match (&settings.rpc_url, &what.deployment) {
        (Some(url), Some(file)) => Ground::Join { rpc_url: url.clone(), deployment: file.clone() },
        (Some(url), None) => Ground::Deploy { rpc_url: url.clone(), currencies: what.currencies.clone() },
        (None, None) if what.currencies.is_empty() => Ground::Embedded(ANY_PORT),
        (None, _) => return Err(Failure::NoRpcUrl),
    };
    let was_there = settings.data_dir.join("deployment.json").exists();
    let governance = Governance {
        fee_bps: what.fee_bps,
        treasury: what.treasury,
        arbiter: what.arbiter,
        governor: what.governor,
    };
    let client = Client::init(&settings.data_dir, what.development, &ground, &governance, |key| {
        operator_password(key, settings)
    })
    .await?;
    let root = client.home().root().to_owned();
    let chain = client.chain().id();
    let made = json!({
        "made": !was_there,
        "data_dir": root,
        "chain_id": chain,
        "currency": client.currency().token,
        "assets": client.suite().assets,
        "licences": client.suite().licences,
        "royalties": client.suite().royalties,
        "shares": client.suite().shares,
        "deployment": client.home().path("deployment.json"),
    });
    client.close().await;
    output.result(&made, |_| {
        let root = root.display();
        match ground {
            _ if was_there => format!("{root} is there already, for chain {chain}; what it was made with stays"),
            Ground::Embedded(_) => format!("made {root}: an embedded ledger, chain {chain}, with the contracts on it"),
            Ground::Join { .. } => format!("made {root} for the marketplace on chain {chain}"),
            Ground::Deploy { .. } => format!(
                "made {root}: the contracts are on chain {chain}; others join with --deployment {root}/deployment.json"
            ),
        }
    })?;
    Ok(())
}

pub(super) async fn up(settings: &Settings, what: &Up, output: &mut Output) -> Result<(), Failure> {
    if settings.rpc_url.is_some() {
        return Err(Failure::NothingToServe);
    }
    let ground = Ground::Embedded(what.listen);
    let made_in = Client::development_mode(&settings.data_dir).map_err(ClientError::from)?;
    let development = what.development || made_in.unwrap_or(false);
    let client = Client::init(&settings.data_dir, development, &ground, &Governance::default(), |key| {
        operator_password(key, settings)
    })
    .await?;
    let Some((rpc_url, ws_url)) = client.serves() else {
        let running = json!({
            "data_dir": client.home().root(),
            "chain_id": client.chain().id(),
            "rpc_url": client.chain().config().url,
        });
        output.result(&running, |_| {
            format!(
                "{} has a running node already, its JSON-RPC is {}",
                client.home().root().display(),
                client.chain().config().url
            )
        })?;
        return Ok(());
    };
    let client = Arc::new(client);
    let started = async {
        let served = if what.demo { Some(demo::model(&client, &what.examples, output).await?) } else { None };
        gateway(&client, settings, what, served).await
    };
    let gateway = match started.await {
        Ok(gateway) => gateway,
        Err(failure) => {
            close(client).await;
            return Err(failure);
        }
    };
    let gateway_url = format!("http://{}", gateway.address());
    let serving: Vec<_> = gateway.serving().collect();
    client.announce_gateway(&gateway_url)?;
    let up = json!({
        "data_dir": client.home().root(),
        "chain_id": client.chain().id(),
        "rpc_url": rpc_url,
        "ws_url": ws_url,
        "gateway_url": gateway_url,
        "serving": serving.iter().map(|served| served.asset).collect::<Vec<_>>(),
        "currency": client.currency().token,
    });
    let models: String = serving
        .iter()
        .map(|served| {
            let price = client.currency().show(served.unit_price);
            let part = match what.operator_bps {
                0 => String::new(),
                bps => format!(", of which {bps} basis points are the operator's"),
            };
            format!("  serves     {} at {price} a call{part}: {}\n", served.name, served.asset)
        })
        .collect();
    output.result(&up, |_| {
        format!(
            "the embedded ledger, chain {}\n  JSON-RPC   {rpc_url}\n  WebSocket  {ws_url}\n  gateway    {gateway_url}\n{models}  currency   {} at {}\n  data       {}\nCtrl-C stops it; nothing is lost if it is killed.",
            client.chain().id(),
            client.currency().symbol,
            client.currency().token,
            client.home().root().display(),
        )
    })?;
    stopped().await;
    let served = gateway.shut_down().await;
    close(client).await;
    Ok(served?)
}

/// Starts the gateway of this data directory.
async fn gateway(
    client: &Arc<Client>,
    settings: &Settings,
    what: &Up,
    also: Option<AssetId>,
) -> Result<Gateway, Failure> {
    let account = client.gateway_account(|| password(settings)).await?;
    let decimals = client.currency().decimals;
    let also = also.map(|asset| Serving { asset, licence: None });
    let config = GatewayConfig {
        public_url: what.public_url.clone(),
        serving: what.serve.iter().cloned().chain(also).collect(),
        operator_bps: what.operator_bps,
        coin_price: what
            .coin_price
            .as_deref()
            .map(|price| Amount::parse_tokens(price, decimals))
            .transpose()?,
        unclaimed_cap: Amount::parse_tokens(UNCLAIMED_CAP, decimals)?,
        origins: what.gateway_origins.clone(),
        payments: PaymentRules { withdraw_delay_s: what.withdraw_delay_s, ..PaymentRules::default() },
        settlement: SettlementRules {
            interval: Duration::from_secs(what.settle_every_s),
            ..SettlementRules::default()
        },
        ..GatewayConfig::at(what.gateway_listen)
    };
    Ok(Gateway::start(client.clone(), account, config).await?)
}

/// Closes the ledger when nobody works on it any more. Whatever still does loses nothing by the process's end.
async fn close(client: Arc<Client>) {
    if let Some(client) = Arc::into_inner(client) {
        client.close().await;
    }
}

fn operator_password(key: NewKey, settings: &Settings) -> Result<Password, AccountError> {
    match key {
        NewKey::Yes => new_password(settings),
        NewKey::No => password(settings),
    }
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
