//! Getting what a licence opens: a signed request, the version's key for the buyer alone, and every byte verified.

use std::{error::Error, ops::RangeInclusive, path::Path};

use residual_content::{
    BuyerKey, Existing, ExtractError, Extracted, KeyBinding, KeyCommitment, KeyRelease, KeyringError,
    KeyringRelease, LicenceBook, LicenceFacts, OpenError, OpenVersion, Progress, ReleaseError, Released,
    SignedKeyRequest, StoreError, VersionRecord, WrapError,
};
use residual_ledger::Account;
use residual_primitives::{
    Address, B256, LicenceId, VersionsGranted,
    signed::{KeyRequest, licences_domain},
};
use serde::Serialize;

use crate::{AssetRow, Client, HomeError, LedgerError};

/// How long a key request is good for, in seconds; the most that a gateway takes is ten minutes.
const REQUEST_LIFE_S: u64 = 120;

/// Why nothing, or not everything, was fetched. Files written so far are whole and verified.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The licence does not open that version.
    #[error("licence {licence} opens the versions {} to {}, not {version}", granted.start(), granted.end())]
    VersionNotGranted {
        /// The licence.
        licence: LicenceId,
        /// What was asked for.
        version: u32,
        /// What it opens.
        granted: RangeInclusive<u32>,
    },
    /// A licence that a reorganisation may still take back opens nothing.
    #[error(
        "licence {licence} is on the ledger and not final there yet: repeat the command in a few minutes"
    )]
    NotFinal {
        /// The licence.
        licence: LicenceId,
    },
    /// No key was released (KEY-1).
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// What was released is not the key.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// The publisher's keys cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The content does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file could not be verified or written.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What was fetched.
#[derive(Debug, Clone, Serialize)]
pub struct Got {
    /// The licence.
    pub licence: LicenceId,
    /// The version.
    pub version: u32,
    /// Files written now.
    pub written: u64,
    /// Files that were there already, byte for byte.
    pub present: u64,
    /// Bytes of all files, each verified.
    pub bytes: u64,
}

/// What the ledger said of one licence and version, at a block that the finality rule accepts.
struct Facts {
    licence: LicenceId,
    facts: LicenceFacts,
    version: u32,
    commitment: KeyCommitment,
}

impl LicenceBook for Facts {
    fn licence(&self, id: LicenceId) -> Result<Option<LicenceFacts>, Box<dyn Error + Send + Sync>> {
        Ok((id == self.licence).then(|| self.facts.clone()))
    }

    fn key_commitment(
        &self,
        id: LicenceId,
        version: u32,
    ) -> Result<Option<KeyCommitment>, Box<dyn Error + Send + Sync>> {
        Ok((id == self.licence && version == self.version).then_some(self.commitment))
    }
}

impl Client {
    /// Fetches a version's files below `target`, with the key that the holder of the licence asked for and got.
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn get(
        &self,
        holder: &Account,
        licence: LicenceId,
        version: Option<u32>,
        target: &Path,
        existing: Existing,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Got, GetError> {
        let opened = self.open_licensed(holder, licence, version).await?;
        let (version, opened) = opened;
        let Extracted { written, present, bytes } =
            tokio::task::block_in_place(|| opened.extract(target, existing, &mut |done| progress(done)))?;
        Ok(Got { licence, version, written, present, bytes })
    }

    /// Opens a version for reading without writing its files anywhere.
    pub(crate) async fn open_licensed(
        &self,
        holder: &Account,
        licence: LicenceId,
        version: Option<u32>,
    ) -> Result<(u32, OpenVersion<residual_content::DirectoryStore>), GetError> {
        let block = self.chain().final_head().await.map_err(LedgerError::from)?.number;
        let row = match self.licence_row_at(licence, block).await {
            Err(LedgerError::UnknownLicence { .. }) => {
                self.licence_row(licence).await?;
                return Err(GetError::NotFinal { licence });
            }
            row => row?,
        };
        let terms = self
            .terms_row(row.terms)
            .await?
            .ok_or_else(|| LedgerError::unexpected("a licence under terms that nobody defined"))?;
        let AssetRow { versions: newest, controller, .. } = self.asset_row(licence.asset()).await?;
        let granted = match terms.versions() {
            VersionsGranted::Bought => 1..=row.version,
            VersionsGranted::AllUntilExpiry => 1..=newest,
        };
        let version = version.unwrap_or(*granted.end());
        if !granted.contains(&version) {
            return Err(GetError::VersionNotGranted { licence, version, granted });
        }
        let record = self.version_record(licence.asset(), version).await?;
        let book = Facts {
            licence,
            facts: LicenceFacts {
                holder: row.holder,
                rights: terms.rights,
                expires_at_s: row.expires_at_s,
                versions: granted,
            },
            version,
            commitment: record.key_commitment,
        };
        let key = self.request_key(holder, book, &record, controller)?;
        let store = self.store()?;
        let opened = tokio::task::block_in_place(|| OpenVersion::open(store, &record, &key))?;
        Ok((version, opened))
    }

    /// Asks for the version's key as any buyer does: signed for one gateway, here whoever controls the asset, and for one
    /// public key, made for this request.
    fn request_key(
        &self,
        holder: &Account,
        book: Facts,
        record: &VersionRecord,
        gateway: Address,
    ) -> Result<residual_content::VersionKey, GetError> {
        let keyring = self.keyring()?;
        let domain = licences_domain(self.chain().id(), self.suite().licences);
        let buyer = BuyerKey::random();
        let request = KeyRequest {
            licenceId: book.licence.to_u256(),
            version: book.version,
            hpkePublicKey: buyer.public(),
            nonce: B256::new(rand::random()),
            expiry: crate::now_s() + REQUEST_LIFE_S,
            gateway,
        };
        let signature = holder.sign_typed(&request, &domain).as_bytes();
        let binding = KeyBinding {
            licence: book.licence,
            version: book.version,
            key_commitment: record.key_commitment,
        };
        tokio::task::block_in_place(|| {
            let release = KeyringRelease::open(&keyring, book, domain, gateway, self.home().dir("nonces")?)?;
            match release.release(&SignedKeyRequest { request, signature })? {
                Released::Key(wrapped) => Ok(buyer.unwrap(&wrapped, &binding)?),
                _ => Err(LedgerError::unexpected("a part of a key").into()),
            }
        })
    }
}
