//! Getting what a licence opens: a signed request, the version's key for the buyer alone, and every byte verified. And
//! the other side of it: answering such a request (KEY-1), for the publisher's own commands and for a gateway alike.

use std::{error::Error, num::NonZeroUsize, ops::RangeInclusive, path::Path, sync::atomic::Ordering};

use residual_content::{
    BlockSource, BuyerKey, Existing, ExtractError, Extracted, FetchError, KeyBinding, KeyCommitment,
    KeyRelease, KeyringError, KeyringRelease, LicenceBook, LicenceFacts, OpenError, OpenVersion, Present,
    Progress, ReadThrough, ReleaseError, Released, SignedKeyRequest, StoreError, VersionKey, VersionRecord,
    WrapError, WrappedKey, fetch,
};
use residual_ledger::Account;
use residual_primitives::{
    Address, B256, LicenceId, VersionsGranted,
    signed::{KeyRequest, licences_domain},
};
use serde::Serialize;

use crate::{AssetRow, Client, GatewayError, HomeError, LedgerError, RemoteGateway, Step};

/// How long a key request is good for, in seconds; the most that a gateway takes is ten minutes.
const REQUEST_LIFE_S: u64 = 120;

/// How many blocks are asked of a gateway at a time.
const BLOCKS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(8).expect("eight is not zero");

/// How often the nonces of expired requests are forgotten, in seconds.
const FORGET_EVERY_S: u64 = 60;

/// Why no key was released (KEY-1).
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A licence that a reorganisation may still take back opens nothing.
    #[error(
        "licence {licence} is on the ledger and not final there yet: repeat the request in a few minutes"
    )]
    NotFinal {
        /// The licence.
        licence: LicenceId,
    },
    /// The request or the licence does not entitle to the key, or it is not here.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The publisher's keys cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

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
    /// No key was released, by this data directory's own keyring.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The gateway did not give key or blocks.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// What was released is not the key.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// The gateway's blocks are not the version's. Those that are stay, and are not fetched again.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The content does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file could not be verified or written.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
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

/// What the ledger says of one licence at a block that the finality rule accepts.
struct Licensed {
    licence: LicenceId,
    facts: LicenceFacts,
    /// Who controls the asset.
    controller: Address,
    /// That block.
    block: u64,
}

/// That, and the commitment to one version's key: what a request is held against.
struct Book {
    licensed: Licensed,
    version: u32,
    commitment: Option<KeyCommitment>,
}

impl LicenceBook for Book {
    fn licence(&self, id: LicenceId) -> Result<Option<LicenceFacts>, Box<dyn Error + Send + Sync>> {
        Ok((id == self.licensed.licence).then(|| self.licensed.facts.clone()))
    }

    fn key_commitment(
        &self,
        id: LicenceId,
        version: u32,
    ) -> Result<Option<KeyCommitment>, Box<dyn Error + Send + Sync>> {
        let asked = id == self.licensed.licence && version == self.version;
        Ok(self.commitment.filter(|_| asked))
    }
}

impl Client {
    /// Fetches a version's files below `target`, with the key that the holder of the licence asked for and got: from
    /// `gateway`, or, without one, from the blocks and keys of this data directory.
    ///
    /// # Errors
    /// See [`GetError`]. Repeated, it goes on where it stopped (SEAL-2).
    #[expect(clippy::too_many_arguments, reason = "each is a separate word of the one command")]
    pub async fn get(
        &self,
        gateway: Option<&RemoteGateway>,
        holder: &Account,
        licence: LicenceId,
        version: Option<u32>,
        target: &Path,
        existing: Existing,
        progress: &mut (dyn FnMut(Step, Progress) + Send),
    ) -> Result<Got, GetError> {
        let licensed = self.licensed(licence).await?;
        let granted = licensed.facts.versions.clone();
        let version = version.unwrap_or(*granted.end());
        if !granted.contains(&version) {
            return Err(GetError::VersionNotGranted { licence, version, granted });
        }
        let record = self.version_record_at(licence.asset(), version, licensed.block).await?;
        let key = self.request_key(gateway, holder, &licensed, version, &record).await?;
        let Extracted { written, present, bytes } = tokio::task::block_in_place(|| {
            let store = self.blocks()?;
            match gateway {
                None => extract(store, &record, &key, target, existing, progress),
                Some(gateway) => {
                    let brought = &mut |done| progress(Step::Fetching, done);
                    fetch(gateway, &store, &record, Present::Trust, BLOCKS_IN_FLIGHT, brought)?;
                    // A block that was damaged since it was fetched is fetched again.
                    extract(ReadThrough::new(store, gateway), &record, &key, target, existing, progress)
                }
            }
        })?;
        Ok(Got { licence, version, written, present, bytes })
    }

    /// Opens the newest version that a licence opens, with the key and the blocks that `gateway` gives, or, without one, with
    /// those of this data directory; its files are written nowhere.
    pub(crate) async fn open_licensed(
        &self,
        gateway: Option<&RemoteGateway>,
        holder: &Account,
        licence: LicenceId,
    ) -> Result<(u32, OpenVersion<residual_content::DirectoryStore>), GetError> {
        let licensed = self.licensed(licence).await?;
        let version = *licensed.facts.versions.end();
        let record = self.version_record_at(licence.asset(), version, licensed.block).await?;
        let key = self.request_key(gateway, holder, &licensed, version, &record).await?;
        let opened = tokio::task::block_in_place(|| -> Result<_, GetError> {
            let store = self.blocks()?;
            if let Some(gateway) = gateway {
                fetch(gateway, &store, &record, Present::Trust, BLOCKS_IN_FLIGHT, &mut |_| {})?;
            }
            Ok(OpenVersion::open(store, &record, &key)?)
        })?;
        Ok((version, opened))
    }

    /// What the final blocks say of a licence.
    pub(crate) async fn licence_facts(&self, licence: LicenceId) -> Result<LicenceFacts, KeyError> {
        Ok(self.licensed(licence).await?.facts)
    }

    /// Asks for the version's key as any buyer does: signed for one gateway, without one for whoever controls the asset,
    /// and for one public key, made for this request.
    async fn request_key(
        &self,
        gateway: Option<&RemoteGateway>,
        holder: &Account,
        licensed: &Licensed,
        version: u32,
        record: &VersionRecord,
    ) -> Result<VersionKey, GetError> {
        let licence = licensed.licence;
        let domain = licences_domain(self.chain().id(), self.suite().licences);
        let buyer = BuyerKey::random();
        let request = KeyRequest {
            licenceId: licence.to_u256(),
            version,
            hpkePublicKey: buyer.public(),
            nonce: B256::new(rand::random()),
            expiry: crate::now_s() + REQUEST_LIFE_S,
            gateway: gateway.map_or(licensed.controller, RemoteGateway::account),
        };
        let signature = holder.sign_typed(&request, &domain).as_bytes();
        let signed = SignedKeyRequest { request, signature };
        let wrapped = match gateway {
            Some(gateway) => gateway.release_key(&signed).await?,
            None => self.release_key(&signed, licensed.controller).await?,
        };
        let binding = KeyBinding { licence, version, key_commitment: record.key_commitment };
        Ok(buyer.unwrap(&wrapped, &binding)?)
    }

    /// Answers a request to `gateway` with the key of the version, for the buyer alone, when a final block says that the
    /// licence gives it (KEY-1). An identical request gets identical bytes; the nonce of an answered one serves no other
    /// until it has expired, also after a restart.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn release_key(
        &self,
        signed: &SignedKeyRequest,
        gateway: Address,
    ) -> Result<WrappedKey, KeyError> {
        // What needs no ledger first: anybody may ask.
        let licence = signed.check(gateway, crate::now_s())?;
        let licensed = self.licensed(licence).await?;
        let (version, versions) = (signed.request.version, &licensed.facts.versions);
        let commitment = if versions.contains(&version) {
            let record = self.version_record_at(licence.asset(), version, licensed.block).await?;
            Some(record.key_commitment)
        } else {
            None
        };
        let book = Book { licensed, version, commitment };
        let keyring = self.keyring()?;
        let nonces = self.home().dir("nonces")?;
        let domain = licences_domain(self.chain().id(), self.suite().licences);
        tokio::task::block_in_place(|| {
            let release = if self.forgets_nonces_now() {
                KeyringRelease::open(&keyring, book, domain, gateway, nonces)?
            } else {
                KeyringRelease::reopen(&keyring, book, domain, gateway, nonces)
            };
            match release.release(signed)? {
                Released::Key(wrapped) => Ok(wrapped),
                _ => Err(LedgerError::unexpected("a part of a key").into()),
            }
        })
    }

    /// Whether the nonces of expired requests are to be looked for, by whoever asks first in a minute.
    fn forgets_nonces_now(&self) -> bool {
        let (now_s, last_s) = (crate::now_s(), self.nonces_forgotten_at_s.load(Ordering::Relaxed));
        let due = now_s.abs_diff(last_s) >= FORGET_EVERY_S;
        let (order, other) = (Ordering::Relaxed, Ordering::Relaxed);
        due && self.nonces_forgotten_at_s.compare_exchange(last_s, now_s, order, other).is_ok()
    }

    /// A licence by the final blocks, with all that decides what it opens.
    async fn licensed(&self, licence: LicenceId) -> Result<Licensed, KeyError> {
        let block = self.chain().final_head().await.map_err(LedgerError::from)?.number;
        let row = match self.licence_row_at(licence, block).await {
            Err(LedgerError::UnknownLicence { .. }) => {
                return Err(match self.licence_row(licence).await {
                    Ok(_) => KeyError::NotFinal { licence },
                    Err(LedgerError::UnknownLicence { .. }) => ReleaseError::NoLicence { licence }.into(),
                    Err(error) => error.into(),
                });
            }
            row => row?,
        };
        let terms = self
            .terms_row(row.terms)
            .await?
            .ok_or_else(|| LedgerError::unexpected("a licence under terms that nobody defined"))?;
        let AssetRow { versions: newest, controller, .. } = self.asset_row_at(licence.asset(), block).await?;
        let versions = match terms.versions() {
            VersionsGranted::Bought => 1..=row.version,
            VersionsGranted::AllUntilExpiry => 1..=newest,
        };
        let facts = LicenceFacts {
            holder: row.holder,
            rights: terms.rights,
            expires_at_s: row.expires_at_s,
            versions,
        };
        Ok(Licensed { licence, facts, controller, block })
    }
}

/// Opens a version and writes its files.
fn extract(
    source: impl BlockSource,
    record: &VersionRecord,
    key: &VersionKey,
    target: &Path,
    existing: Existing,
    progress: &mut (dyn FnMut(Step, Progress) + Send),
) -> Result<Extracted, GetError> {
    let opened = OpenVersion::open(source, record, key)?;
    Ok(opened.extract(target, existing, &mut |done| progress(Step::Verifying, done))?)
}
