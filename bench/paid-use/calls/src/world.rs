//! A marketplace in development mode with one model, trained on the example digits and published.

use std::{fs, path::Path, sync::Arc};

use residual_classifier::{Sample, TrainConfig, onnx, parse_csv, train};
use residual_client::{ANY_PORT, Check, Client, Governance, Ground, Person, Profile, Publication, PublishedAsset};
use residual_primitives::{Address, Amount, AssetKind, Bps, Rates, Reach, Rights, Terms, VersionsGranted};

use crate::Failure;

/// What a call costs, in the smallest unit.
pub(crate) const PRICE: Amount = Amount(2_000);

pub(crate) struct World {
    pub(crate) client: Arc<Client>,
    pub(crate) model: PublishedAsset,
    pub(crate) onnx: Vec<u8>,
    pub(crate) digit: Sample,
}

/// A file or folder of the repository.
pub(crate) fn place(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(name)
}

impl World {
    pub(crate) async fn new(dir: &Path) -> Result<Self, Failure> {
        let ground = Ground::Embedded(ANY_PORT);
        let no_password = |_| unreachable!("development mode asks for none");
        let client =
            Client::init(&dir.join("data"), true, &ground, &Governance::default(), no_password).await?;
        let digits = parse_csv(&fs::read(place("examples/digits-a/digits.csv"))?)?;
        let onnx = onnx::export(&train(&digits, &TrainConfig::default())?);
        let folder = dir.join("reader");
        fs::create_dir(&folder)?;
        fs::write(folder.join("reader.onnx"), &onnx)?;
        fs::copy(place("examples/digits-model.toml"), folder.join("model.toml"))?;
        let owner = account(&client, 1)?;
        let publication = Publication {
            path: folder,
            kind: AssetKind::Model,
            name: "reader".to_owned(),
            description: String::new(),
            holders: vec![(owner.address(), 1_000_000)],
            terms: vec![terms(&client)],
            licences: Vec::new(),
            resale: Bps::new(500)?,
            profile: Profile::Fixed,
            check: Check::default(),
        };
        let model = client.publish(&owner, publication, &mut |_, _| {}).await?;
        let digit = digits.into_iter().next().ok_or("expected digits to send, found none")?;
        Ok(Self { client: Arc::new(client), model, onnx, digit })
    }
}

fn terms(client: &Client) -> Terms {
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
        eligibility_hook: Address::ZERO,
        training_unit_price: Amount::ZERO,
        inference_unit_price: PRICE,
        legal_text: "MIT".to_owned(),
        text_cid: Default::default(),
    }
}

/// The development account of that number.
pub(crate) fn account(client: &Client, index: u32) -> Result<Person, Failure> {
    Ok(client.account(&format!("dev:{index}"), || unreachable!("no password"))?)
}
