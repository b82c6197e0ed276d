//! Terms as a person writes them: a TOML file with prices in whole tokens.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use residual_client::Currency;
use residual_primitives::{
    Address, Amount, AmountError, Bps, Rates, Reach, RevenueKind, Rights, Terms, TermsError, VersionsGranted,
};
use serde::Deserialize;

/// Why a file holds no terms.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TermsFileError {
    #[error("terms file {}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("terms file {}: {source}", path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("terms file {}: {field}: {source}", path.display())]
    Price {
        path: PathBuf,
        field: &'static str,
        #[source]
        source: AmountError,
    },
    #[error("terms file {}: {source}", path.display())]
    Terms {
        path: PathBuf,
        #[source]
        source: TermsError,
    },
}

/// What the file may say; what is left out is nothing, or no.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsFile {
    /// Words with commas between: access, train, infer, derive, redistribute, commercial.
    rights: Rights,
    #[serde(default)]
    versions: VersionsGranted,
    /// Whole tokens.
    price: String,
    /// What a child owes of every kind.
    #[serde(default)]
    rate_bps: Bps,
    /// What a child owes of one kind, set apart.
    #[serde(default)]
    rates_bps: RatesByKind,
    #[serde(default)]
    reach: Reach,
    #[serde(default)]
    derivations: u32,
    #[serde(default)]
    period_s: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    transferable: bool,
    #[serde(default)]
    supply_cap: u32,
    #[serde(default)]
    eligibility_hook: Address,
    #[serde(default = "zero")]
    training_price: String,
    #[serde(default = "zero")]
    inference_price: String,
    legal_text: String,
}

fn zero() -> String {
    "0".to_owned()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RatesByKind {
    licence: Option<Bps>,
    training: Option<Bps>,
    inference: Option<Bps>,
    resale: Option<Bps>,
}

impl RatesByKind {
    fn over(&self, rate: Bps) -> Rates {
        Rates(RevenueKind::ALL.map(|kind| {
            let own = match kind {
                RevenueKind::Licence => self.licence,
                RevenueKind::Training => self.training,
                RevenueKind::Inference => self.inference,
                RevenueKind::Resale => self.resale,
            };
            own.unwrap_or(rate)
        }))
    }
}

/// Reads terms, with prices in `currency`.
pub(crate) fn read(path: &Path, currency: &Currency) -> Result<Terms, TermsFileError> {
    let text = fs::read_to_string(path)
        .map_err(|source| TermsFileError::Unreadable { path: path.to_owned(), source })?;
    let file: TermsFile = toml::from_str(&text)
        .map_err(|source| TermsFileError::Malformed { path: path.to_owned(), source: Box::new(source) })?;
    let price = |field, text: &str| {
        Amount::parse_tokens(text, currency.decimals).map_err(|source| TermsFileError::Price {
            path: path.to_owned(),
            field,
            source,
        })
    };
    let terms = Terms {
        rights: file.rights,
        versions: file.versions,
        reach: file.reach,
        renewable: file.renewable,
        transferable: file.transferable,
        rates: file.rates_bps.over(file.rate_bps),
        derivations: file.derivations,
        period_s: file.period_s,
        supply_cap: file.supply_cap,
        price: price("price", &file.price)?,
        currency: currency.token,
        eligibility_hook: file.eligibility_hook,
        training_unit_price: price("training_price", &file.training_price)?,
        inference_unit_price: price("inference_price", &file.inference_price)?,
        legal_text: file.legal_text,
        text_cid: residual_primitives::Bytes::new(),
    };
    terms.validate().map_err(|source| TermsFileError::Terms { path: path.to_owned(), source })?;
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency() -> Currency {
        Currency { token: Address::with_last_byte(1), symbol: "TestUSD".to_owned(), decimals: 6 }
    }

    #[test]
    fn the_example_terms_are_terms() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/terms");
        for file in ["research", "commercial", "subscription", "model"] {
            read(&examples.join(format!("{file}.toml")), &currency()).unwrap();
        }
        let commercial = read(&examples.join("commercial.toml"), &currency()).unwrap();
        assert_eq!(commercial.price, Amount(25_000_000));
        assert_eq!(commercial.rates, Rates::equal(Bps::new(1_000).unwrap()));
    }

    #[test]
    fn a_wrong_file_is_named_with_what_is_wrong() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("terms.toml");
        let base = "rights = \"access\"\nlegal_text = \"MIT\"\n";
        for (more, expected) in [
            ("price = \"0.0000001\"", "digits after the point"),
            ("price = \"1\"\nrate_bps = 10", "right to derive"),
            ("price = \"1\"\nrate = 10", "unknown field"),
            ("price = \"1\"\nrenewable = true", "period"),
        ] {
            fs::write(&file, format!("{base}{more}\n")).unwrap();
            let error = read(&file, &currency()).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("terms.toml"), "{error}");
        }
    }
}
