//! `init` and `up`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use residual_client::{
    ANY_PORT, AccountError, Client, ClientError, Governance, Ground, Made, NewKey, Password, Place,
};
use residual_gateway::{
    Config as GatewayConfig, Gateway, PaymentRules, Serving, SettlementRules, StartError,
};
use residual_primitives::{Address, Amount, AssetId};
use serde_json::{Value, json};

use crate::{
    cli::{Init, Up},
    commands::{new_password, password},
    config::Settings,
    demo,
    failure::Failure,
    output::Output,
};

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
    let made = Client::made(&settings.data_dir).map_err(ClientError::from)?;
    if let Some(Made { embedded: false, development }) = made {
        return gateway_alone(settings, what, development, output).await;
    }
    if settings.rpc_url.is_some() {
        return Err(Failure::NothingToServe);
    }
    let ground = Ground::Embedded(what.listen);
    let development = what.development || made.is_some_and(|made| made.development);
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
    let node = json!({ "rpc_url": rpc_url, "ws_url": ws_url });
    let about = format!(
        "the embedded ledger, chain {}\n  JSON-RPC   {rpc_url}\n  WebSocket  {ws_url}\n",
        client.chain().id()
    );
    serve(client, settings, what, (node, about), output).await
}

/// Serves the gateway of a data directory whose ledger is a chain behind a JSON-RPC.
async fn gateway_alone(
    settings: &Settings,
    what: &Up,
    development: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    if what.development && !development {
        return Err(ClientError::DevelopmentMode { made_with: false }.into());
    }
    let place = settings.rpc_url.clone().map_or(Place::Own(None), Place::Rpc);
    let client = Client::open(&settings.data_dir, &place).await?;
    // The URL may hold its user's key, so it is not said.
    let about = format!("a gateway of the marketplace on chain {}\n", client.chain().id());
    serve(client, settings, what, (json!({}), about), output).await
}

/// Serves the gateway until it is interrupted. `node` is what is said of the ledger: as JSON, and in words.
async fn serve(
    client: Client,
    settings: &Settings,
    what: &Up,
    node: (Value, String),
    output: &mut Output,
) -> Result<(), Failure> {
    let client = Arc::new(client);
    let started = async {
        // Said before the demo publishes anything; the gateway says it of what is published already.
        if what.demo && what.coin_price.is_none() && !client.is_embedded() {
            return Err(StartError::NoCoinPrice.into());
        }
        let served = if what.demo { Some(demo::model(&client, &what.examples, output).await?) } else { None };
        gateway(&client, settings, what, served).await
    };
    let served = match started.await {
        Ok((gateway, account)) => serve_until_stopped(&client, gateway, account, what, node, output).await,
        Err(failure) => Err(failure),
    };
    close(client).await;
    served
}

async fn serve_until_stopped(
    client: &Client,
    gateway: Gateway,
    account: Address,
    what: &Up,
    (node, about): (Value, String),
    output: &mut Output,
) -> Result<(), Failure> {
    let stop = stop();
    let gateway_url = format!("http://{}", from_here(gateway.address()));
    let serving: Vec<_> = gateway.serving().collect();
    let announced = client.announce_gateway(&gateway_url, account).await?;
    let mut up = json!({
        "data_dir": client.home().root(),
        "chain_id": client.chain().id(),
        "gateway_url": gateway_url,
        "public_url": what.public_url,
        "serving": serving.iter().map(|served| served.asset).collect::<Vec<_>>(),
        "currency": client.currency().token,
    });
    for (name, value) in node.as_object().into_iter().flatten() {
        up[name.as_str()] = value.clone();
    }
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
    let public = what.public_url.as_ref().map_or_else(String::new, |url| format!(", for others {url}"));
    output.result(&up, |_| {
        format!(
            "{about}  gateway    {gateway_url}{public}\n{models}  currency   {} at {}\n  data       {}\nCtrl-C stops it; nothing is lost if it is killed.",
            client.currency().symbol,
            client.currency().token,
            client.home().root().display(),
        )
    })?;
    stop.await;
    let served = gateway.shut_down().await;
    drop(announced);
    Ok(served?)
}

/// Where something that listens is reached from this machine: one that listens everywhere also does on loopback.
fn from_here(address: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        own => own,
    };
    SocketAddr::new(loopback, address.port())
}

/// Starts the gateway of this data directory.
async fn gateway(
    client: &Arc<Client>,
    settings: &Settings,
    what: &Up,
    also: Option<AssetId>,
) -> Result<(Gateway, Address), Failure> {
    let account = if client.serves().is_some() {
        client.gateway_account(|| password(settings)).await?
    } else {
        client.public_gateway_account(|key| operator_password(key, settings)).await?
    };
    let address = account.address();
    let decimals = client.currency().decimals;
    let also = also.map(|asset| Serving { asset, licence: None });
    let content_from = match &what.content_from {
        Some(url) => Some(Arc::new(client.gateway(url, what.allow_http).await?)),
        None => None,
    };
    let config = GatewayConfig {
        public_url: what.public_url.clone(),
        serving: what.serve.iter().cloned().chain(also).collect(),
        content_from,
        operator_bps: what.operator_bps,
        coin_price: what
            .coin_price
            .as_deref()
            .map(|price| Amount::parse_tokens(price, decimals))
            .transpose()?,
        unclaimed_cap: Amount::parse_tokens(&what.unclaimed_cap, decimals)?,
        origins: what.gateway_origins.clone(),
        trusted_proxies: what.trusted_proxies.clone(),
        payments: PaymentRules { withdraw_delay_s: what.withdraw_delay_s, ..PaymentRules::default() },
        settlement: SettlementRules {
            interval: Duration::from_secs(what.settle_every_s),
            ..SettlementRules::default()
        },
        ..GatewayConfig::at(what.gateway_listen)
    };
    Ok((Gateway::start(client.clone(), account, config).await?, address))
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

/// Listens from now on for Ctrl-C or, as a service manager asks, SIGTERM; resolves when it comes.
fn stop() -> impl Future<Output = ()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{Signal, SignalKind, signal};

        async fn told(signal: std::io::Result<Signal>) {
            match signal {
                Ok(mut signal) => drop(signal.recv().await),
                // Without a way to be told, it runs until it is killed, which loses nothing.
                Err(_) => std::future::pending().await,
            }
        }

        let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        async move {
            tokio::select! {
                () = told(interrupt) => {}
                () = told(terminate) => {}
            }
        }
    }
    #[cfg(not(unix))]
    async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
