//! What the tests share: a marketplace with one model, and a gateway that serves it.
#![expect(clippy::unwrap_used, reason = "a helper of tests that fails is a failed test")]

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use residual_classifier::{Model, Sample, TrainConfig, onnx, parse_csv, train};
use residual_client::{
    ANY_PORT, Budget, Check, Client, Governance, Ground, Payer, Person, Profile, Publication, PublishedAsset,
};
use residual_gateway::{Config, Gateway, Serving, SettlementRules};
use residual_ledger::http::{self, Method, Request, Url};
use residual_primitives::{Amount, AssetKind, Bps, Rates, Reach, Rights, Terms, VersionsGranted};
use serde_json::Value;
use tempfile::TempDir;

/// What a call costs, in the smallest unit.
pub(crate) const PRICE: Amount = Amount(2_000);
/// What each payer is given.
pub(crate) const PURSE: Amount = Amount(50_000_000);

/// A marketplace in development mode: dev:1 has published a model, dev:9 is the gateway, dev:2 and on are payers.
pub(crate) struct World {
    pub(crate) client: Arc<Client>,
    pub(crate) model: PublishedAsset,
    pub(crate) twin: Model,
    pub(crate) digits: Vec<Sample>,
    dir: TempDir,
}

fn examples(place: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(place)
}

pub(crate) fn terms(client: &Client) -> Terms {
    Terms {
        rights: Rights::ACCESS.with(Rights::INFER),
        versions: VersionsGranted::AllUntilExpiry,
        reach: Reach::All,
        renewable: false,
        transferable: true,
        rates: Rates::default(),
        derivations: 0,
        period_s: 0,
        supply_cap: 0,
        price: Amount(1_000_000),
        currency: client.currency().token,
        eligibility_hook: residual_primitives::Address::ZERO,
        training_unit_price: Amount::ZERO,
        inference_unit_price: PRICE,
        legal_text: "MIT".to_owned(),
        text_cid: Default::default(),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::made(&Ground::Embedded(ANY_PORT), &Governance::default(), None).await.0
    }

    /// On a chain behind a JSON-RPC, onto which the contracts are put.
    pub(crate) async fn on(rpc_url: String) -> Self {
        let ground = Ground::Deploy { rpc_url, currencies: Vec::new() };
        Self::made(&ground, &Governance::default(), None).await.0
    }

    /// A model made from a work of dev:3, who is owed a tenth of what it earns by inference, under a protocol fee.
    pub(crate) async fn derived(fee_bps: u16) -> (Self, PublishedAsset) {
        let governance = Governance { fee_bps, ..Governance::default() };
        let (world, parent) =
            Self::made(&Ground::Embedded(ANY_PORT), &governance, Some(Bps::new(1_000).unwrap())).await;
        (world, parent.unwrap())
    }

    async fn made(
        ground: &Ground,
        governance: &Governance,
        owed: Option<Bps>,
    ) -> (Self, Option<PublishedAsset>) {
        let dir = tempfile::tempdir().unwrap();
        let no_password = |_| unreachable!("development mode asks for none");
        let client =
            Client::init(&dir.path().join("data"), true, ground, governance, no_password).await.unwrap();
        let digits = parse_csv(&fs::read(examples("digits-a/digits.csv")).unwrap()).unwrap();
        let twin = train(&digits, &TrainConfig::default()).unwrap();
        let folder = dir.path().join("reader");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("reader.onnx"), onnx::export(&twin)).unwrap();
        fs::copy(examples("digits-model.toml"), folder.join("model.toml")).unwrap();
        let owner = account(&client, 1);
        let mut licences = Vec::new();
        let mut parent = None;
        if let Some(owed) = owed {
            let of_parent = account(&client, 3);
            let path = dir.path().join("data.csv");
            fs::write(&path, "data").unwrap();
            let terms = Terms {
                rights: Rights::ACCESS.with(Rights::DERIVE),
                rates: Rates::equal(owed),
                ..terms(&client)
            };
            let publication = Publication {
                path,
                kind: AssetKind::Dataset,
                name: "data".to_owned(),
                description: String::new(),
                holders: vec![(of_parent.address(), 1_000_000)],
                terms: vec![terms],
                licences: Vec::new(),
                resale: Bps::ZERO,
                profile: Profile::Fixed,
                check: Check::default(),
            };
            let published = client.publish(&of_parent, publication, &mut |_, _| {}).await.unwrap();
            client.fund(&account(&client, 0), owner.address(), PURSE).await.unwrap();
            let terms = published.terms[0];
            let bought = client.license(&owner, published.asset, terms, owner.address(), None).await.unwrap();
            licences.push(bought.licence);
            parent = Some(published);
        }
        let publication = Publication {
            path: folder,
            kind: AssetKind::Model,
            name: "reader".to_owned(),
            description: String::new(),
            holders: vec![(owner.address(), 1_000_000)],
            terms: vec![terms(&client)],
            licences,
            resale: Bps::new(500).unwrap(),
            profile: Profile::Fixed,
            check: Check::default(),
        };
        let model = client.publish(&owner, publication, &mut |_, _| {}).await.unwrap();
        (Self { client: Arc::new(client), model, twin, digits, dir }, parent)
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            serving: vec![Serving { asset: self.model.asset, licence: None }],
            settlement: SettlementRules {
                interval: Duration::from_millis(200),
                ..SettlementRules::default()
            },
            ..Config::at(ANY_PORT)
        }
    }

    pub(crate) async fn open(&self) -> Gateway {
        self.open_with(self.config()).await
    }

    pub(crate) async fn open_with(&self, config: Config) -> Gateway {
        Gateway::start(self.client.clone(), account(&self.client, 9), config).await.unwrap()
    }

    /// The same marketplace in a data directory of its own.
    pub(crate) async fn join(&self) -> Client {
        let ground = Ground::Join {
            rpc_url: self.client.serves().unwrap().0,
            deployment: self.client.home().path("deployment.json"),
        };
        let no_password = |_| unreachable!("who joins makes no account");
        let root = self.dir.path().join("another");
        Client::init(&root, true, &ground, &Governance::default(), no_password).await.unwrap()
    }

    /// A gateway with a data directory of its own, as dev:8, which serves the same model with the publisher's keys.
    pub(crate) async fn open_another(&self) -> (Arc<Client>, Gateway) {
        let joined = self.join().await;
        let root = joined.home().root().to_owned();
        joined.close().await;
        for place in ["keys", "blocks"] {
            copy(&self.client.home().path(place), &root.join(place));
        }
        let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
        let mine = read(&self.client.home().path("marketplace.json"));
        let mut joined = read(&root.join("marketplace.json"));
        joined["keyring_secret"] = mine["keyring_secret"].clone();
        fs::write(root.join("marketplace.json"), joined.to_string()).unwrap();
        let client = Arc::new(self.join().await);
        let config = Config { coin_price: Some(Amount::ZERO), ..self.config() };
        let gateway = Gateway::start(client.clone(), account(&client, 8), config).await.unwrap();
        (client, gateway)
    }

    pub(crate) fn account(&self, index: u32) -> Person {
        account(&self.client, index)
    }

    /// A payer with money and without a budget to speak of.
    pub(crate) async fn payer(&self, index: u32, budget: Budget) -> Payer<'_> {
        let account = self.account(index);
        self.client.fund(&self.account(0), account.address(), PURSE).await.unwrap();
        let http = http::client(Duration::from_secs(5), Duration::from_secs(60)).unwrap();
        Payer::new(&self.client, account, self.model.asset, budget, http)
    }

    pub(crate) fn url(&self, gateway: &Gateway) -> Url {
        let url = format!("http://{}/v1/assets/{}/inference", gateway.address(), self.model.asset);
        url.parse().unwrap()
    }

    /// What the gateway answers to a GET.
    pub(crate) async fn get(&self, gateway: &Gateway, path: &str) -> serde_json::Value {
        let http = http::client(Duration::from_secs(5), Duration::from_secs(60)).unwrap();
        let response = http.get(format!("http://{}{path}", gateway.address())).send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    /// A call with one digit.
    pub(crate) fn call(&self, gateway: &Gateway, digit: &Sample) -> Request {
        let pixels: Vec<String> = digit.pixels().iter().map(u8::to_string).collect();
        let mut request = Request::new(Method::POST, self.url(gateway));
        *request.body_mut() = Some(format!(r#"{{"tensor":[[{}]]}}"#, pixels.join(",")).into());
        request.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        request
    }

    /// Waits until the model's owner can claim so much.
    pub(crate) async fn has_earned(&self, amount: Amount) {
        let (owner, token) = (self.account(1).address(), self.client.currency().token);
        eventually(async || self.client.claimable(self.model.asset, token, owner).await.unwrap() >= amount)
            .await;
    }

    pub(crate) async fn balance(&self, of: residual_primitives::Address) -> Amount {
        self.client.balance(of, self.client.currency().token).await.unwrap()
    }
}

/// Waits until `what` holds; the gateway works in the background.
pub(crate) async fn eventually(what: impl AsyncFn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what().await {
        assert!(Instant::now() < end, "expected it within 20 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A file, or a directory and all that is in it, in the place of what is there.
pub(crate) fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

pub(crate) fn account(client: &Client, index: u32) -> Person {
    client.account(&format!("dev:{index}"), || unreachable!("no password")).unwrap()
}

/// As much as a test may want to spend.
pub(crate) fn plenty() -> Budget {
    Budget { per_call: Amount(1_000_000), total: PURSE }
}
