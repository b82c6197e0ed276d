//! What an operator needs to serve a model: the right to, its files, and what a call of it costs.

use residual_content::{DirectoryStore, KeyringError, OpenError, OpenVersion};
use residual_ledger::Account;
use residual_primitives::{Address, Amount, AssetId, AssetKind, LicenceId, Rights, TermsId};

use crate::{Client, GetError, LedgerError, RemoteGateway, now_s};

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
    /// The licence is somebody else's.
    #[error(
        "expected licence {licence} to be held by the gateway's account {operator}, found {holder}: send it there"
    )]
    NotHeld {
        /// The licence.
        licence: LicenceId,
        /// The gateway's account.
        operator: Address,
        /// Who holds it.
        holder: Address,
    },
    /// The licence has ended.
    #[error(
        "expected licence {licence} to last, found that it ended at {at_s} (UNIX seconds): renew it or buy another"
    )]
    Ended {
        /// The licence.
        licence: LicenceId,
        /// When.
        at_s: u64,
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

impl ServeError {
    /// Whether the ledger says so, rather than that it cannot be asked now.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        use ServeError::{Ended, NoAccess, NoPrice, NoRight, NotAModel, NotHeld, OtherAsset};
        matches!(
            self,
            NotAModel { .. }
                | NoAccess { .. }
                | OtherAsset { .. }
                | NoRight { .. }
                | NotHeld { .. }
                | Ended { .. }
                | NoPrice { .. }
        )
    }
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
    /// licence of the operator's that gives the right `INFER`. What a licence opens comes from the gateway `from`, or,
    /// without one, from the keys and blocks of this data directory.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn open_for_serving(
        &self,
        operator: &Account,
        asset: AssetId,
        licence: Option<LicenceId>,
        from: Option<&RemoteGateway>,
    ) -> Result<(u32, OpenVersion<DirectoryStore>), ServeError> {
        let row = self.asset_row(asset).await?;
        if row.kind != AssetKind::Model {
            return Err(ServeError::NotAModel { asset, kind: row.kind });
        }
        if let Some(licence) = licence {
            self.may_serve(operator.address(), asset, licence).await?;
            return Ok(self.open_licensed(from, operator, licence).await?);
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

    /// Whether a licence gives its holder the right to serve a model now, by the final blocks.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn may_serve(
        &self,
        operator: Address,
        asset: AssetId,
        licence: LicenceId,
    ) -> Result<(), ServeError> {
        if licence.asset() != asset {
            return Err(ServeError::OtherAsset { asset, licence });
        }
        let facts = self.licence_facts(licence).await.map_err(GetError::from)?;
        if !facts.rights.contain(Rights::INFER) {
            return Err(ServeError::NoRight { licence, rights: facts.rights });
        }
        if facts.holder != operator {
            return Err(ServeError::NotHeld { licence, operator, holder: facts.holder });
        }
        match facts.expires_at_s {
            Some(at_s) if at_s <= now_s() => Err(ServeError::Ended { licence, at_s }),
            _ => Ok(()),
        }
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
