//! What the tests share: a town with a ledger, a gateway and something to buy, and a way to speak HTTP with it.

use std::{net::SocketAddr, path::Path, sync::Arc, sync::Mutex, time::Duration};

use residual_client::{
    ANY_PORT, Check, Client, Governance, Ground, Person, Profile, Publication, PublishedAsset,
};
use residual_gateway::{Config, Gateway};
use residual_ledger::{
    SolCall, Transaction,
    http::{self, RequestBuilder},
};
use residual_primitives::{
    Address, Amount, AssetId, AssetKind, Bps, LicenceId, Rates, Reach, SHARES_SUPPLY, Terms, TermsId,
    VersionsGranted,
};
use serde_json::Value;

/// Whose pages may do everything.
pub(crate) const OWN_ORIGIN: &str = "https://market.example";

/// What is published: three leaves and a bit.
pub(crate) fn work() -> Vec<u8> {
    (0..3_200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

pub(crate) struct Town {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) client: Arc<Client>,
    gateway: Mutex<Option<Gateway>>,
    pub(crate) address: SocketAddr,
    pub(crate) asset: AssetId,
    /// 25 TestUSD, perpetual, transferable, versions as bought, a call at 0.0001.
    pub(crate) commercial: TermsId,
    /// 5 TestUSD for 30 days, all versions, not transferable.
    pub(crate) subscription: TermsId,
    pub(crate) published: PublishedAsset,
    pub(crate) http: http::Client,
}

pub(crate) fn commercial(currency: Address) -> Terms {
    Terms {
        rights: "access,train,infer,derive,commercial".parse().unwrap(),
        versions: VersionsGranted::Bought,
        reach: Reach::All,
        renewable: false,
        transferable: true,
        rates: Rates::equal(Bps::new(1_000).unwrap()),
        derivations: 3,
        period_s: 0,
        supply_cap: 0,
        price: Amount(25_000_000),
        currency,
        eligibility_hook: Address::ZERO,
        training_unit_price: Amount(7),
        inference_unit_price: Amount(100),
        legal_text: "LicenseRef-Residual-Commercial-1.0".to_owned(),
        text_cid: vec![1, 0x55].into(),
    }
}

pub(crate) fn subscription(currency: Address) -> Terms {
    Terms {
        rights: "access".parse().unwrap(),
        versions: VersionsGranted::AllUntilExpiry,
        renewable: true,
        transferable: false,
        rates: Rates::default(),
        derivations: 0,
        period_s: 30 * 24 * 3_600,
        price: Amount(5_000_000),
        ..commercial(currency)
    }
}

impl Town {
    /// A ledger of its own; dev:1 publishes, dev:2 has 1,000 TestUSD, dev:9 is the gateway's.
    pub(crate) async fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let ground = Ground::Embedded(ANY_PORT);
        let never = |_| unreachable!("development mode asks for no password");
        let home = temp.path().join("home");
        let client = Client::init(&home, true, &ground, &Governance::default(), never).await.unwrap();
        let client = Arc::new(client);
        let (publisher, operator) = (account(&client, "dev:1"), account(&client, "dev:0"));
        let buyer = account(&client, "dev:2").address();
        client.fund(&operator, buyer, Amount(1_000_000_000)).await.unwrap();
        let currency = client.currency().token;
        let publication =
            publication(temp.path(), &publisher, vec![commercial(currency), subscription(currency)]);
        let published = client.publish(&publisher, publication, &mut |_, _| {}).await.unwrap();
        let config = Config { origins: vec![OWN_ORIGIN.to_owned()], ..Config::at(ANY_PORT) };
        let gateway = Gateway::start(client.clone(), account(&client, "dev:9"), config).await.unwrap();
        let http = http::client(Duration::from_secs(10), Duration::from_secs(60)).unwrap();
        let (commercial, subscription) = (published.terms[0], published.terms[1]);
        let address = gateway.address();
        let gateway = Mutex::new(Some(gateway));
        Self {
            temp,
            client,
            gateway,
            address,
            asset: published.asset,
            commercial,
            subscription,
            published,
            http,
        }
    }

    /// Shuts the gateway down, so that another process may take its place.
    pub(crate) async fn stop(&self) {
        let gateway = self.gateway.lock().unwrap().take().unwrap();
        gateway.shut_down().await.unwrap();
    }

    pub(crate) fn account(&self, name: &str) -> Person {
        account(&self.client, name)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A person elsewhere: a data directory of their own on the same ledger.
    pub(crate) async fn elsewhere(&self, name: &str, development: bool, rpc_url: Option<String>) -> Client {
        let ground = Ground::Join {
            rpc_url: rpc_url.unwrap_or_else(|| self.client.serves().unwrap().0),
            deployment: self.client.home().path("deployment.json"),
        };
        let never = |_| unreachable!("who joins makes no account");
        Client::init(&self.temp.path().join(name), development, &ground, &Governance::default(), never)
            .await
            .unwrap()
    }

    /// dev:2 buys a licence of the asset.
    pub(crate) async fn license(&self, terms: TermsId) -> LicenceId {
        let buyer = self.account("dev:2");
        self.client.license(&buyer, self.asset, terms, buyer.address(), None).await.unwrap().licence
    }

    /// A call of a contract that has no command.
    pub(crate) async fn send<C: SolCall>(&self, account: &str, contract: Address, call: &C) {
        let sender = self.client.chain().sender(self.account(account));
        sender.send(&Transaction::call(contract, call)).await.unwrap();
    }

    /// Offers other terms on the asset.
    pub(crate) async fn offer(&self, terms: &Terms) -> TermsId {
        let publisher = self.account("dev:1");
        let id = self.client.define_terms(&publisher, terms).await.unwrap();
        self.client.offer(&publisher, self.asset, id).await.unwrap();
        id
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        ask(self.http.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let post = self.http.post(self.url(path)).header("content-type", "application/json");
        ask(post.body(body.to_string())).await
    }
}

pub(crate) fn account(client: &Client, name: &str) -> Person {
    client.account(name, || unreachable!("development accounts have no password")).unwrap()
}

pub(crate) fn publication(temp: &Path, publisher: &Person, terms: Vec<Terms>) -> Publication {
    let path = temp.join("work.bin");
    std::fs::write(&path, work()).unwrap();
    Publication {
        path,
        kind: AssetKind::Dataset,
        name: "noise".to_owned(),
        description: "bytes".to_owned(),
        holders: vec![(publisher.address(), SHARES_SUPPLY)],
        terms,
        licences: Vec::new(),
        resale: Bps::ZERO,
        profile: Profile::Fixed,
        check: Check::default(),
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) async fn ask(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn value(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The JSON of a success.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.bytes));
        assert_eq!(self.header("content-type"), "application/json");
        self.value()
    }

    /// Makes sure that it is this problem, in the one form that problems have, and gives what it says.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, word: &str) -> String {
        let body = self.value();
        assert_eq!(
            (self.status, &body["type"]),
            (status, &format!("urn:residual:problem:{word}").into()),
            "{body}"
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert!(!body["title"].as_str().unwrap().is_empty());
        body["detail"].as_str().unwrap().to_owned()
    }
}
