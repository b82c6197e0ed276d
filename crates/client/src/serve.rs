//! What an operator needs to serve a model: the right to, its files, and what a call of it costs.

use residual_content::{DirectoryStore, KeyringError, OpenError, OpenVersion};
use residual_ledger::Account;
use residual_primitives::{Amount, AssetId, AssetKind, LicenceId, Rights, TermsId};

use crate::{Client, GetError, LedgerError};

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Only models answer calls.
    #[error("expected a model to serve, found that {asset} is a {kind}")]
    NotAModel {
        /// The asset.
        asset: AssetId,
        /// What it is.
        kind: AssetKind,
    },
    /// Neither its publisher's keys are here nor a licence was named.
    #[error(
        "expected the keys of {asset} in this data directory, or a licence with the right INFER, found neither: name \
         the licence behind the asset, ASSET=LICENCE"
    )]
    NoAccess {
        /// The asset.
        asset: AssetId,
    },
    /// The licence is of another asset.
    #[error("expected a licence of {asset}, found {licence}, which is one of {}", licence.asset())]
    OtherAsset {
        /// The asset.
        asset: AssetId,
        /// The licence.
        licence: LicenceId,
    },
    /// The licence does not give the right.
    #[error("expected licence {licence} to give the right INFER, found {rights}: buy one under other terms")]
    NoRight {
        /// The licence.
        licence: LicenceId,
        /// What it gives.
        rights: Rights,
    },
    /// No offer says what a call costs.
    #[error(
        "expected {asset} to be offered under terms with an inference_unit_price, found none: attach such terms first"
    )]
    NoPrice {
        /// The asset.
        asset: AssetId,
    },
    /// It cannot be opened with the licence.
    #[error(transparent)]
    Get(#[from] GetError),
    /// It cannot be opened with the publisher's keys.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The publisher's keys cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] residual_content::StoreError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What a call of a model costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallPrice {
    /// The terms that say so.
    pub terms: TermsId,
    /// For one unit, in the smallest unit of the currency.
    pub unit: Amount,
}

impl Client {
    /// Opens the newest version of a model for serving it: with the publisher's keys if they are here, else with a
    /// licence of the operator's that gives the right `INFER`.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn open_for_serving(
        &self,
        operator: &Account,
        asset: AssetId,
        licence: Option<LicenceId>,
    ) -> Result<(u32, OpenVersion<DirectoryStore>), ServeError> {
        let row = self.asset_row(asset).await?;
        if row.kind != AssetKind::Model {
            return Err(ServeError::NotAModel { asset, kind: row.kind });
        }
        if let Some(licence) = licence {
            if licence.asset() != asset {
                return Err(ServeError::OtherAsset { asset, licence });
            }
            let terms = self.licence_row(licence).await?.terms;
            let terms = self.terms_row(terms).await?;
            let rights = terms.ok_or_else(|| LedgerError::unexpected("a licence without terms"))?.rights;
            if !rights.contain(Rights::INFER) {
                return Err(ServeError::NoRight { licence, rights });
            }
            return Ok(self.open_licensed(operator, licence).await?);
        }
        let record = self.version_record(asset, row.versions).await?;
        let key = match self.keyring()?.version_key(asset, row.versions) {
            Ok(key) => key,
            Err(KeyringError::Missing { .. }) => return Err(ServeError::NoAccess { asset }),
            Err(error) => return Err(error.into()),
        };
        let store = self.blocks()?;
        let opened = tokio::task::block_in_place(|| OpenVersion::open(store, &record, &key))?;
        Ok((row.versions, opened))
    }

    /// What a call costs: the lowest price of a unit of inference, in the marketplace's currency, among the terms that
    /// the asset is offered under.
    ///
    /// # Errors
    /// [`ServeError::NoPrice`], or when the ledger cannot be reached.
    pub async fn call_price(&self, asset: AssetId) -> Result<CallPrice, ServeError> {
        let mut prices = Vec::new();
        for id in self.offers(asset).await? {
            let Some(terms) = self.terms(id).await? else { continue };
            if terms.currency == self.currency().token && terms.inference_unit_price > Amount::ZERO {
                prices.push(CallPrice { terms: id, unit: terms.inference_unit_price });
            }
        }
        prices.into_iter().min_by_key(|price| price.unit).ok_or(ServeError::NoPrice { asset })
    }
}
