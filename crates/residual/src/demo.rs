//! The whole loop on a fresh embedded ledger: three datasets and two generations of models are published, licensed,
//! trained, used and paid; every owner claims; an audit recomputes all of it. Every step goes through the same calls of
//! `client` as the single commands.

mod cast;
mod ending;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use residual_classifier::{
    FineTuneConfig, FineTuneError, Model, Sample, TrainConfig, TrainError, fine_tune, onnx, parse_csv, train,
};
use residual_client::{
    ANY_PORT, Budget, Check, Client, Existing, Governance, Ground, LicenseError, Payer, Profile, Progress,
    Publication, PublishedAsset, Step,
};
use residual_gateway::{self as gateway, Gateway};
use residual_ledger::http::{self, Url};
use residual_primitives::{Address, Amount, AssetId, AssetKind, Bps, LicenceId, RevenueKind, TermsId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    cli::Demo,
    failure::Failure,
    output::{Output, step_word},
    terms_file,
};
use cast::{Cast, Who};

/// Calls that are made of the grandchild.
const PREDICTIONS: u32 = 1_000;

/// How many of them lie between two settlements.
const SETTLE_EVERY: u32 = 250;

/// Longer than any demo takes.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long one call of the demo may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a signed purchase of the demo may be relayed, in seconds.
const SIGNED_FOR_S: u64 = 600;

/// What can go wrong in the demo alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("example file {path}: {source}; give the folder of the examples with --examples")]
    Example {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("example file {path}: {source}")]
    Csv {
        path: String,
        #[source]
        source: residual_classifier::CsvError,
    },
    #[error("expected the gateway to answer with classes, found {found}")]
    Answer { found: String },
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    FineTune(#[from] FineTuneError),
    #[error("the licensed model cannot be read: {0}")]
    Onnx(#[from] onnx::ImportError),
    #[error("{}: {source}; the demo keeps its files in the system's folder for temporary ones", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("expected the royalty of a resale to go to the till at {expected}, found {found}")]
    Royalty { expected: Address, found: Address },
}

/// What was made of the examples in a data directory.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    model: AssetId,
}

const MADE: &str = "demo.json";

/// The assets, as they are published.
struct Assets {
    photos: PublishedAsset,
    digits_a: PublishedAsset,
    digits_b: PublishedAsset,
}

/// The models, and how often each is right on the third of the digits that neither saw.
struct Models {
    child: PublishedAsset,
    grandchild: PublishedAsset,
    child_accuracy: f64,
    grandchild_accuracy: f64,
}

/// The demo on its way.
struct Story<'a> {
    client: &'a Arc<Client>,
    cast: Cast,
    examples: &'a Path,
    /// Where buyers put what they get.
    downloads: &'a Path,
    output: &'a mut Output,
}

/// Runs the demo in a directory that is gone afterwards.
pub(crate) async fn run(what: &Demo, output: &mut Output) -> Result<(), Failure> {
    let started = Instant::now();
    let directory = tempfile::tempdir().map_err(io_at(&std::env::temp_dir()))?;
    let ground = Ground::Embedded(ANY_PORT);
    let client = Client::init(&directory.path().join("data"), true, &ground, &Governance::default(), |_| {
        unreachable!("development mode asks for none")
    })
    .await?;
    let client = Arc::new(client);
    let downloads = directory.path().join("downloads");
    let cast = Cast::new(&client)?;
    let mut story = Story { client: &client, cast, examples: &what.examples, downloads: &downloads, output };
    let outcome = story.tell(started).await;
    // Nobody else works on it: the gateway of the story is shut down.
    if let Some(client) = Arc::into_inner(client) {
        client.close().await;
    }
    outcome
}

/// The model that the demo ends with, published in this marketplace: made once, found again afterwards.
pub(crate) async fn model(
    client: &Arc<Client>,
    examples: &Path,
    output: &mut Output,
) -> Result<AssetId, Failure> {
    if !client.chain().config().development {
        return Err(Failure::DemoElsewhere);
    }
    if let Some(made) = client.home().read::<Made>(MADE)? {
        return Ok(made.model);
    }
    let downloads = tempfile::tempdir().map_err(io_at(&std::env::temp_dir()))?;
    let cast = Cast::new(client)?;
    let mut story = Story { client, cast, examples, downloads: downloads.path(), output };
    story.cast.fund(client, story.tokens("1000")).await?;
    let assets = story.publish().await?;
    let held_out = parse(&examples.join("digits-held-out/digits.csv"))?;
    let model = story.derive(&assets, &held_out).await?.grandchild.asset;
    client.home().write(MADE, &Made { model })?;
    // The people of the story are for whoever tries the marketplace now.
    client.release_accounts().await;
    Ok(model)
}

impl Story<'_> {
    fn say(&mut self, line: &str) -> Result<(), Failure> {
        Ok(self.output.say(line)?)
    }

    fn tokens(&self, text: &str) -> Amount {
        let decimals = self.client.currency().decimals;
        Amount::parse_tokens(text, decimals).expect("the demo's own amounts are amounts")
    }

    async fn tell(&mut self, started: Instant) -> Result<(), Failure> {
        self.cast.fund(self.client, self.tokens("1000")).await?;
        let assets = self.publish().await?;
        let held_out = parse(&self.examples.join("digits-held-out/digits.csv"))?;
        let models = self.derive(&assets, &held_out).await?;
        let resold = self.use_and_pay(&models, &held_out).await?;
        self.resell(resold).await?;
        ending::end(self, &assets, &models, started).await
    }

    /// 1. Three datasets, each with three owners and two kinds of terms.
    async fn publish(&mut self) -> Result<Assets, Failure> {
        self.say("1. publish")?;
        let photos = [(Who::Ada, 600_000), (Who::Bo, 300_000), (Who::Cy, 100_000)];
        let digits_a = [(Who::Dee, 700_000), (Who::Bo, 200_000), (Who::Cy, 100_000)];
        let digits_b = [(Who::Eli, 500_000), (Who::Ada, 350_000), (Who::Dee, 150_000)];
        Ok(Assets {
            photos: self.publish_one("photos", &photos, &["research", "subscription"]).await?,
            digits_a: self.publish_one("digits-a", &digits_a, &["research", "commercial"]).await?,
            digits_b: self.publish_one("digits-b", &digits_b, &["commercial", "subscription"]).await?,
        })
    }

    async fn publish_one(
        &mut self,
        name: &str,
        holders: &[(Who, u32)],
        terms: &[&str],
    ) -> Result<PublishedAsset, Failure> {
        let publication =
            self.publication(&self.examples.join(name), AssetKind::Dataset, name, holders, terms, &[])?;
        self.register(holders[0].0, publication).await
    }

    fn publication(
        &self,
        path: &Path,
        kind: AssetKind,
        name: &str,
        holders: &[(Who, u32)],
        terms: &[&str],
        licences: &[LicenceId],
    ) -> Result<Publication, Failure> {
        let mut offered = Vec::new();
        for file in terms {
            let file = self.examples.join("terms").join(format!("{file}.toml"));
            offered.push(terms_file::read(&file, self.client.currency())?);
        }
        Ok(Publication {
            path: path.to_owned(),
            kind,
            name: name.to_owned(),
            description: String::new(),
            holders: holders.iter().map(|(who, units)| (self.cast.address(*who), *units)).collect(),
            terms: offered,
            licences: licences.to_vec(),
            resale: Bps::new(500).expect("5% is a rate"),
            profile: Profile::Fixed,
            check: Check::default(),
        })
    }

    async fn register(
        &mut self,
        publisher: Who,
        publication: Publication,
    ) -> Result<PublishedAsset, Failure> {
        let account = self.cast.account(publisher).clone();
        let (client, output) = (self.client, &mut *self.output);
        let name = publication.name.clone();
        let progress = &mut |step, done: Progress| output.progress(step_word(step), done.done, done.total);
        let published = client.publish(&account, publication, progress).await?;
        self.cast.name_asset(published.asset, &name);
        self.say(&format!(
            "   {publisher} publishes {name}: {}, {} bytes sealed; asset {}",
            files(published.files),
            published.content_bytes,
            published.asset
        ))?;
        if let Some(health) = &published.health {
            self.say(&format!("   its annotations were checked: {}", health.summary.summary))?;
        }
        Ok(published)
    }

    async fn license(&mut self, buyer: Who, asset: AssetId, terms: TermsId) -> Result<LicenceId, Failure> {
        let account = self.cast.account(buyer);
        let bought = self.client.license(account, asset, terms, account.address(), None).await?;
        let (name, price) = (self.cast.asset(asset).to_owned(), self.client.currency().show(bought.price));
        let term = self.term(terms).await?;
        self.say(&format!("   {buyer} licenses {name} for {price}, {term}"))?;
        Ok(bought.licence)
    }

    /// How long licences under these terms last, in words.
    async fn term(&self, terms: TermsId) -> Result<String, Failure> {
        let row = self.client.terms_row(terms).await?.ok_or(LicenseError::UnknownTerms { terms })?;
        Ok(match row.period_s {
            0 => "for ever".to_owned(),
            period_s => format!("for {} days", period_s / (24 * 60 * 60)),
        })
    }

    /// Buys without gas: the buyer signs, the operator carries it to the ledger.
    async fn license_signed(
        &mut self,
        buyer: Who,
        asset: &PublishedAsset,
        offer: usize,
    ) -> Result<LicenceId, Failure> {
        let account = self.cast.account(buyer);
        let (asset, terms) = (asset.asset, asset.terms[offer]);
        let signed =
            self.client.sign_purchase(account, asset, terms, account.address(), None, SIGNED_FOR_S).await?;
        let relayed = self.client.relay(self.cast.account(Who::Operator), &signed).await?;
        let licence = relayed.licence.expect("a signed purchase brings a licence");
        let (name, price) = (self.cast.asset(asset).to_owned(), self.client.currency().show(relayed.amount));
        let term = self.term(terms).await?;
        self.say(&format!("   {buyer} licenses {name} for {price}, {term}, signed without gas"))?;
        Ok(licence)
    }

    /// Fetches what a licence opens and verifies every chunk of it.
    async fn get(&mut self, holder: Who, licence: LicenceId) -> Result<std::path::PathBuf, Failure> {
        let account = self.cast.account(holder).clone();
        let name = self.cast.asset(licence.asset()).to_owned();
        let target = self.downloads.join(format!("{holder}-{name}"));
        let (client, output) = (self.client, &mut *self.output);
        let progress = &mut |_: Step, done: Progress| output.progress("verifying", done.done, done.total);
        let got = client.get(None, &account, licence, None, &target, Existing::Keep, progress).await?;
        self.say(&format!(
            "   {holder} gets {name}: {}, {} bytes, every chunk verified",
            files(got.written),
            got.bytes
        ))?;
        Ok(target)
    }

    /// 2 to 4. Licences are bought, the data fetched, a model trained on it, and another from that one.
    async fn derive(&mut self, assets: &Assets, held_out: &[Sample]) -> Result<Models, Failure> {
        self.say("2. license")?;
        let research = self.license(Who::Gus, assets.photos.asset, assets.photos.terms[0]).await?;
        let subscription = self.license_signed(Who::Hal, &assets.photos, 1).await?;
        let digits_a = self.license(Who::Fay, assets.digits_a.asset, assets.digits_a.terms[1]).await?;
        let digits_b = self.license(Who::Gus, assets.digits_b.asset, assets.digits_b.terms[0]).await?;

        self.say("3. get")?;
        self.get(Who::Gus, research).await?;
        self.get(Who::Hal, subscription).await?;
        let data_a = self.get(Who::Fay, digits_a).await?;
        let data_b = self.get(Who::Gus, digits_b).await?;

        self.say("4. derive")?;
        let data_a = parse(&data_a.join("digits.csv"))?;
        let child = train(&data_a, &TrainConfig::default()).map_err(DemoError::from)?;
        let child_accuracy = child.accuracy(held_out);
        self.say(&format!("   Fay trains on digits-a: {child_accuracy} right on the held-out third"))?;
        let holders = [(Who::Fay, 1_000_000)];
        let child = self.publish_model(Who::Fay, "reader", &child, &holders, &[digits_a]).await?;

        let of_child = self.license(Who::Gus, child.asset, child.terms[0]).await?;
        let parent = self.get(Who::Gus, of_child).await?;
        let weights = parent.join("reader.onnx");
        let weights = fs::read(&weights).map_err(io_at(&weights))?;
        let parent = onnx::import(&weights).map_err(DemoError::from)?;
        let data_b = parse(&data_b.join("digits.csv"))?;
        let grandchild = fine_tune(&parent, &data_b, &FineTuneConfig::default()).map_err(DemoError::from)?;
        let grandchild_accuracy = grandchild.accuracy(held_out);
        self.say(&format!(
            "   Gus fine-tunes it with digits-b: {grandchild_accuracy}, a lift of {:+.4}",
            grandchild_accuracy.fraction() - child_accuracy.fraction()
        ))?;
        let holders = [(Who::Gus, 900_000), (Who::Fay, 100_000)];
        let published = self
            .publish_model(Who::Gus, "better-reader", &grandchild, &holders, &[of_child, digits_b])
            .await?;
        Ok(Models {
            child,
            grandchild: published,
            child_accuracy: child_accuracy.fraction(),
            grandchild_accuracy: grandchild_accuracy.fraction(),
        })
    }

    async fn publish_model(
        &mut self,
        publisher: Who,
        name: &str,
        model: &Model,
        holders: &[(Who, u32)],
        licences: &[LicenceId],
    ) -> Result<PublishedAsset, Failure> {
        let folder = self.downloads.join(format!("{publisher}-{name}-onnx"));
        let weights = folder.join(format!("{name}.onnx"));
        fs::create_dir_all(&folder).map_err(io_at(&folder))?;
        fs::write(&weights, onnx::export(model)).map_err(io_at(&weights))?;
        // What the model takes and gives, for whoever serves it.
        let card = self.examples.join("digits-model.toml");
        fs::copy(&card, folder.join("model.toml"))
            .map_err(|source| DemoError::Example { path: card.display().to_string(), source })?;
        let publication = self.publication(&folder, AssetKind::Model, name, holders, &["model"], licences)?;
        self.register(publisher, publication).await
    }

    /// 5. A thousand paid predictions over HTTP, claimed in batches; shares change hands in between.
    async fn use_and_pay(&mut self, models: &Models, held_out: &[Sample]) -> Result<LicenceId, Failure> {
        self.say("5. use")?;
        let grandchild = models.grandchild.asset;
        let gus = self.cast.account(Who::Gus).clone();
        let config = gateway::Config {
            serving: vec![gateway::Serving { asset: grandchild, licence: None }],
            payments: gateway::PaymentRules { deposit_calls: PREDICTIONS, ..Default::default() },
            // Settled when the story says so, and not in between.
            settlement: gateway::SettlementRules { interval: NEVER, ..Default::default() },
            ..gateway::Config::at(ANY_PORT)
        };
        let serving = Gateway::start(self.client.clone(), gus, config).await?;
        let outcome = self.predict(&serving, grandchild, held_out).await;
        let stopped = serving.shut_down().await;
        let (right, paid) = outcome?;
        stopped?;
        let paid = self.client.currency().show(paid);
        self.say(&format!(
            "   App makes {PREDICTIONS} predictions over HTTP, {right} of them right, and pays {paid} by x402 without gas"
        ))?;
        self.say(&format!(
            "   Gus's gateway claims the vouchers in {} batches; half-way Gus gives Hal 250000 shares of better-reader",
            PREDICTIONS / SETTLE_EVERY
        ))?;
        self.license(Who::App, grandchild, models.grandchild.terms[0]).await
    }

    /// Calls the model as any application does. How often it was right, and what all calls cost.
    async fn predict(
        &mut self,
        serving: &Gateway,
        model: AssetId,
        held_out: &[Sample],
    ) -> Result<(u32, Amount), Failure> {
        let budget = Budget { per_call: self.tokens("0.1"), total: self.tokens("5") };
        let app = self.cast.account(Who::App).clone();
        let failed = |error: http::Error| Failure::Http { reason: error.to_string() };
        let client = Arc::clone(self.client);
        let payer = Payer::new(&client, app, model, budget, http::client(TIMEOUT, TIMEOUT).map_err(failed)?);
        let url: Url = format!("http://{}/v1/assets/{model}/inference", serving.address())
            .parse()
            .expect("an address and an id make a URL");
        let (mut right, mut paid) = (0, Amount::ZERO);
        for call in 0..PREDICTIONS {
            let sample = &held_out[call as usize % held_out.len()];
            let answered = payer.call(request(&url, sample)).await?;
            paid = [paid, answered.charged].into_iter().sum();
            let body = answered.response.bytes().await.map_err(failed)?;
            right += u32::from(label_of(&body)? == sample.label().to_string());
            self.output.progress("predicting", u64::from(call) + 1, PREDICTIONS.into());
            if (call + 1) % SETTLE_EVERY == 0 {
                serving.settle().await;
            }
            if call + 1 == PREDICTIONS / 2 {
                let (gus, hal) = (self.cast.account(Who::Gus), self.cast.address(Who::Hal));
                self.client.transfer_shares(gus, model, hal, 250_000).await?;
            }
        }
        Ok((right, paid))
    }

    /// A licence is sold on at a market, which pays the royalty into the resale till as ERC-2981 says.
    async fn resell(&mut self, licence: LicenceId) -> Result<(), Failure> {
        let sale_price = self.tokens("12");
        let (receiver, royalty) = self.client.resale_royalty(licence, sale_price).await?;
        let market = self.cast.account(Who::App);
        let paid = self.client.pay(market, licence.asset(), RevenueKind::Resale, royalty, true).await?;
        if paid.till != Some(receiver) {
            return Err(
                DemoError::Royalty { expected: receiver, found: paid.till.unwrap_or_default() }.into()
            );
        }
        let show = |amount| self.client.currency().show(amount);
        let line = format!(
            "   a licence of better-reader is resold for {}; the market pays {} into the resale till",
            show(sale_price),
            show(royalty)
        );
        self.say(&line)
    }
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> DemoError {
    let path = path.to_owned();
    move |source| DemoError::Io { path, source }
}

/// A call with one digit.
fn request(url: &Url, sample: &Sample) -> http::Request {
    let mut request = http::Request::new(http::Method::POST, url.clone());
    let json = http::HeaderValue::from_static("application/json");
    request.headers_mut().insert(http::header::CONTENT_TYPE, json);
    *request.body_mut() = Some(json!({ "tensor": [sample.pixels().as_slice()] }).to_string().into());
    request
}

/// The likeliest digit of an answer.
fn label_of(body: &[u8]) -> Result<String, DemoError> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let label = answer["answers"][0]["classes"][0]["label"].as_str().map(str::to_owned);
    label
        .ok_or_else(|| DemoError::Answer { found: String::from_utf8_lossy(body).chars().take(200).collect() })
}

fn parse(path: &Path) -> Result<Vec<Sample>, Failure> {
    let shown = || path.display().to_string();
    let bytes = fs::read(path).map_err(|source| DemoError::Example { path: shown(), source })?;
    Ok(parse_csv(&bytes).map_err(|source| DemoError::Csv { path: shown(), source })?)
}
