//! Publishing: a folder becomes sealed blocks, a signed manifest, and an asset or a version on the ledger.
//!
//! Owns: the order of work (a dataset of images is checked before anything is sealed, and refused with blockers) and that it
//! can be repeated: the salt is drawn once and written down before anything else, so the same command after any interruption
//! ends in the same asset, and says so when it exists already.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

use alloy_sol_types::SolValue;
use residual_content::{
    Hidden, KeyringError, ManifestSigner, OpenError, OpenVersion, PathError, Profile, Progress,
    PublishError as ManifestPublishError, Published, SealError, SealStats, Sealing, SigningError, StoreError,
    Tree, TreeError, TreePath, seal,
};
use residual_ledger::{
    Account,
    contracts::{
        assets::{self, Assets},
        licences::{self, Licences},
    },
};
use residual_primitives::{
    Address, AssetId, AssetKind, B256, Bps, LicenceId, Rights, SHARES_SUPPLY, Terms, TermsError, TermsId,
    U256,
};
use residual_vision::HealthError;
use serde::{Deserialize, Serialize};

use crate::{
    AssetRow, BrokenRule, Check, Client, HealthSummary, HomeError, LedgerError, LicenceRow, Step,
    digest_of_parts,
    health::{self, Checked},
};

/// The key epoch of everything published here; a later epoch begins when a publisher changes K.
const EPOCH: u32 = 0;

/// What is to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// A folder or a file.
    pub path: PathBuf,
    /// What the asset is.
    pub kind: AssetKind,
    /// Its public name, 1 to 200 bytes.
    pub name: String,
    /// Its public description, at most 3,072 bytes.
    pub description: String,
    /// Who holds its shares, and how many of the 1,000,000 units.
    pub holders: Vec<(Address, u32)>,
    /// What is offered at once.
    pub terms: Vec<Terms>,
    /// Licences that it derives under; none for an original work.
    pub licences: Vec<LicenceId>,
    /// The royalty on resales.
    pub resale: Bps,
    /// How it is cut.
    pub profile: Profile,
    /// How it is checked, if it is a dataset of images.
    pub check: Check,
}

/// What became of it.
#[derive(Debug, Clone, Serialize)]
pub struct PublishedAsset {
    /// The asset.
    pub asset: AssetId,
    /// What it is.
    pub kind: AssetKind,
    /// The version's number, from 1.
    pub version: u32,
    /// The manifest's CID.
    pub manifest_cid: String,
    /// The content root.
    pub content_root: B256,
    /// What is offered.
    pub terms: Vec<TermsId>,
    /// Files sealed.
    pub files: u64,
    /// Hidden files and folders that were left out: their names begin with a dot.
    pub hidden: u64,
    /// Their bytes.
    pub content_bytes: u64,
    /// The registering transaction; none when the asset was there already.
    pub transaction: Option<B256>,
    /// What its check found, and what anybody may know of it; none of what is no dataset of images.
    pub health: Option<PublishedHealth>,
}

/// The health of a dataset that was published.
#[derive(Debug, Clone, Serialize)]
pub struct PublishedHealth {
    /// What its manifest says.
    #[serde(flatten)]
    pub summary: HealthSummary,
    /// The rules that it breaks, the gravest first.
    pub rules: Vec<BrokenRule>,
}

/// Why nothing was published. The ledger has not changed; sealed blocks stay and are used again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The name says nothing, or too much.
    #[error("expected a name of 1 to 200 bytes, found {found}")]
    Name {
        /// Its length.
        found: usize,
    },
    /// Units that are not a million.
    #[error("expected the holders' units to sum to {SHARES_SUPPLY}, found {found}")]
    Units {
        /// Their sum.
        found: u64,
    },
    /// Somebody who would hold nothing.
    #[error("expected at least one unit for every holder, found none for {holder}")]
    NoUnits {
        /// Who.
        holder: Address,
    },
    /// The same licence twice.
    #[error("expected each licence once, found {licence} twice")]
    LicenceTwice {
        /// Which.
        licence: LicenceId,
    },
    /// Somebody else's licence.
    #[error(
        "expected a licence of your own, found {licence} held by {holder}: buy one with `residual license`"
    )]
    NotHolder {
        /// The licence.
        licence: LicenceId,
        /// Who holds it.
        holder: Address,
    },
    /// A licence for other uses.
    #[error(
        "expected a licence with the right to derive, found {licence} without it: buy one under other terms"
    )]
    NoRightToDerive {
        /// The licence.
        licence: LicenceId,
    },
    /// A licence that ended.
    #[error(
        "expected a licence that has not expired, found {licence}, which ended at {expires_at_s} (UNIX seconds): renew it with `residual license --renew {licence}`"
    )]
    LicenceExpired {
        /// The licence.
        licence: LicenceId,
        /// When it ended.
        expires_at_s: u64,
    },
    /// A licence that served as often as it may.
    #[error(
        "expected a licence that serves another work, found {licence}, which served all of its {derivations}: buy another"
    )]
    NoDerivationsLeft {
        /// The licence.
        licence: LicenceId,
        /// How many works it may serve.
        derivations: u32,
    },
    /// Terms that the ledger would refuse.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// A file's name cannot be published.
    #[error(transparent)]
    FileName(#[from] PathError),
    /// A file cannot be taken in.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// It cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The manifest cannot be made.
    #[error(transparent)]
    Manifest(#[from] ManifestPublishError),
    /// The publisher's keys cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was published before does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The path cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Path {
        /// What was to be published.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The keys are in there.
    #[error("{} is, holds or lies in the data directory, whose keys nobody else may get: choose another path", path.display())]
    DataDirectory {
        /// What was to be published.
        path: PathBuf,
    },
    /// Nothing to publish.
    #[error("expected at least one file in {}, found none{}", path.display(), if *hidden > 0 { " but hidden ones: their names begin with a dot" } else { "" })]
    Empty {
        /// What was to be published.
        path: PathBuf,
        /// How many hidden files and folders were left out.
        hidden: u64,
    },
    /// It cannot be told what to check: annotations of several formats.
    #[error(transparent)]
    Check(#[from] HealthError),
    /// A dataset that readers fail on or are harmed by.
    #[error(
        "expected a dataset without blockers, found {count}: {first}; `residual lint {}` shows all, and what to do",
        path.display()
    )]
    Blockers {
        /// What was to be published.
        path: PathBuf,
        /// How many.
        count: u64,
        /// The first of some rules: rule, place and what was found.
        first: String,
    },
    /// Published before from here, and changed since.
    #[error(
        "{name:?} was published from here as {asset} with other content: publish the change with --version-of {asset}, or choose another name"
    )]
    Changed {
        /// The name.
        name: String,
        /// The asset.
        asset: AssetId,
    },
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What repeating a publication must find again.
#[derive(Debug, Serialize, Deserialize)]
struct Draft {
    path: PathBuf,
    name: String,
    publisher: Address,
    salt: B256,
}

/// A version that is sealed and stored, and on no ledger yet.
struct SealedVersion {
    kind: AssetKind,
    published: Published,
    hidden: u64,
    health: Option<PublishedHealth>,
}

/// Signs the manifest with an account of the keystore.
struct AccountSigner<'a>(&'a Account);

impl ManifestSigner for AccountSigner<'_> {
    fn publisher(&self) -> Address {
        self.0.address()
    }

    fn sign(&self, digest: B256) -> Result<[u8; 65], SigningError> {
        Ok(self.0.sign_hash(digest).as_bytes())
    }
}

impl Client {
    /// Publishes a folder or file as a new asset; with licences, as a work derived under them.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(
        &self,
        publisher: &Account,
        publication: Publication,
        progress: &mut (dyn FnMut(Step, Progress) + Send),
    ) -> Result<PublishedAsset, PublishError> {
        let terms = validate(&publication)?;
        let salt = self.draft(publisher.address(), &publication)?;
        let asset = AssetId::derive(self.chain().id(), self.suite().assets, publisher.address(), salt);
        if self.asset_exists(asset).await? {
            let next = self.asset_row(asset).await?.versions + 1;
            let sealed = self.seal_version(publisher, asset, next, &publication, progress).await?;
            return match self.same_as_registered(asset, 1, sealed.published.clone()).await? {
                Some(published) => {
                    let first = SealedVersion { published, ..sealed };
                    Ok(summary(asset, 1, &first, self.offers(asset).await?, None))
                }
                None => Err(PublishError::Changed { name: publication.name, asset }),
            };
        }
        // Not of a work that is there already: it may have been what the licence served last.
        for licence in &publication.licences {
            self.check_derives(publisher.address(), *licence).await?;
        }
        let sealed = self.seal_version(publisher, asset, 1, &publication, progress).await?;
        let published = &sealed.published;
        for offered in &publication.terms {
            self.define_terms(publisher, offered).await?;
        }
        let mut licence_ids: Vec<U256> =
            publication.licences.iter().map(|licence| licence.to_u256()).collect();
        licence_ids.sort();
        let (holders, units) =
            publication.holders.iter().map(|(holder, units)| (*holder, U256::from(*units))).unzip();
        let registration = assets::IAssets::Registration {
            kind: publication.kind as u8,
            salt,
            manifestCid: published.record.manifest.to_bytes().to_vec().into(),
            contentRoot: published.record.content_root.0,
            keyCommitment: published.record.key_commitment.0,
            licenceIds: licence_ids,
            termsIds: terms.iter().map(|terms| terms.0).collect(),
            holders,
            units,
            resaleBps: publication.resale.get(),
        };
        let receipt =
            self.send(publisher, self.suite().assets, &Assets::registerCall { registration }).await?;
        Ok(summary(asset, 1, &sealed, terms, Some(receipt.transaction_hash)))
    }

    /// Publishes a folder or file as the next version of an asset. Repeating it with nothing changed adds no version.
    ///
    /// Kind, holders, terms, licences and resale royalty stay the asset's; the publication's are not looked at.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish_version(
        &self,
        publisher: &Account,
        asset: AssetId,
        publication: Publication,
        progress: &mut (dyn FnMut(Step, Progress) + Send),
    ) -> Result<PublishedAsset, PublishError> {
        check_name(&publication.name)?;
        let AssetRow { versions: newest, kind, .. } = self.asset_row(asset).await?;
        let publication = Publication { kind, ..publication };
        let sealed = self.seal_version(publisher, asset, newest + 1, &publication, progress).await?;
        if let Some(published) = self.same_as_registered(asset, newest, sealed.published.clone()).await? {
            let registered = SealedVersion { published, ..sealed };
            return Ok(summary(asset, newest, &registered, Vec::new(), None));
        }
        let published = &sealed.published;
        let call = Assets::publishVersionCall {
            assetId: asset.to_u256(),
            manifestCid: published.record.manifest.to_bytes().to_vec().into(),
            contentRoot: published.record.content_root.0,
            keyCommitment: published.record.key_commitment.0,
        };
        let receipt = self.send(publisher, self.suite().assets, &call).await?;
        Ok(summary(asset, newest + 1, &sealed, Vec::new(), Some(receipt.transaction_hash)))
    }

    /// Whether the publisher may derive under a licence: asked before anything is sealed, since that may take long.
    async fn check_derives(&self, publisher: Address, licence: LicenceId) -> Result<(), PublishError> {
        let row = self.licence_row(licence).await?;
        let LicenceRow { holder, derivations_used, .. } = row;
        if holder != publisher {
            return Err(PublishError::NotHolder { licence, holder });
        }
        let terms = self.terms_row(row.terms).await?;
        let terms =
            terms.ok_or_else(|| LedgerError::unexpected("a licence under terms that nobody defined"))?;
        if !terms.rights.contain(Rights::DERIVE) {
            return Err(PublishError::NoRightToDerive { licence });
        }
        if let Some(expires_at_s) = row.expires_at_s.filter(|expires_at_s| *expires_at_s <= crate::now_s()) {
            return Err(PublishError::LicenceExpired { licence, expires_at_s });
        }
        if terms.derivations != 0 && derivations_used >= terms.derivations {
            return Err(PublishError::NoDerivationsLeft { licence, derivations: terms.derivations });
        }
        Ok(())
    }

    /// Writes terms down on the ledger, if they are not there yet.
    ///
    /// # Errors
    /// When the ledger would refuse them or cannot be reached.
    pub async fn define_terms(&self, account: &Account, terms: &Terms) -> Result<TermsId, PublishError> {
        let id = terms.id()?;
        if self.terms_row(id).await?.is_none() {
            let call = Licences::defineTermsCall { terms: on_ledger(terms)? };
            self.send(account, self.suite().licences, &call).await?;
        }
        Ok(id)
    }

    /// The salt of this publication: drawn at the first try, found again at every later one.
    fn draft(&self, publisher: Address, publication: &Publication) -> Result<B256, PublishError> {
        let unreadable = |source| PublishError::Path { path: publication.path.clone(), source };
        let path = publication.path.canonicalize().map_err(unreadable)?;
        let identity = digest_of_parts(&[
            self.suite().assets.as_slice(),
            publisher.as_slice(),
            path.as_os_str().as_encoded_bytes(),
            publication.name.as_bytes(),
        ]);
        let place = format!("drafts/{identity:x}.json");
        if let Some(draft) = self.home().read::<Draft>(&place)? {
            return Ok(draft.salt);
        }
        let salt = B256::new(rand::random());
        self.home().write(&place, &Draft { path, name: publication.name.clone(), publisher, salt })?;
        Ok(salt)
    }

    /// Whether a registered version holds the very files that were sealed just now for a later one.
    ///
    /// They are compared so, and not by sealing them again under the registered version's own key, because that would
    /// put changed files within reach of those who hold only the older version's key.
    async fn same_as_registered(
        &self,
        asset: AssetId,
        version: u32,
        found: Published,
    ) -> Result<Option<Published>, PublishError> {
        let record = self.version_record(asset, version).await?;
        let (key, next) = {
            let keyring = self.keyring()?;
            (keyring.version_key(asset, version)?, keyring.version_key_or_new(asset, version + 1)?)
        };
        let store = self.blocks()?;
        let registered = OpenVersion::open(&store, &record, &key)?;
        let sealed = OpenVersion::open(&store, &found.record, &next)?;
        let (before, now) = (registered.manifest(), sealed.manifest());
        let same = before.manifest.chunk_keys == now.manifest.chunk_keys
            && before.manifest.about == now.manifest.about
            && registered
                .files()
                .iter()
                .map(|file| (&file.path, file.bytes))
                .eq(sealed.files().iter().map(|file| (&file.path, file.bytes)));
        let manifest = before.clone();
        Ok(same.then_some(Published { record, manifest, stats: found.stats }))
    }

    async fn seal_version(
        &self,
        publisher: &Account,
        asset: AssetId,
        version: u32,
        publication: &Publication,
        progress: &mut (dyn FnMut(Step, Progress) + Send),
    ) -> Result<SealedVersion, PublishError> {
        let (keyring, store) = (self.keyring()?, self.blocks()?);
        let path = &publication.path;
        let real = path.canonicalize().map_err(|source| PublishError::Path { path: path.clone(), source })?;
        if real.starts_with(self.home().root()) || self.home().root().starts_with(&real) {
            return Err(PublishError::DataDirectory { path: path.clone() });
        }
        let mut tree = tree_of(path)?;
        let hidden = tree.hidden_skipped();
        if tree.is_empty() {
            return Err(PublishError::Empty { path: path.clone(), hidden });
        }
        let mut about = BTreeMap::from([
            ("name".to_owned(), publication.name.clone()),
            ("description".to_owned(), publication.description.clone()),
            ("kind".to_owned(), publication.kind.to_string()),
        ]);
        about.extend(publication.check.data_licence.clone().map(|licence| ("licence".to_owned(), licence)));
        // After the tree is listed, which knows a file that was changed when it is sealed: what was checked is what is sealed.
        let checked = match publication.kind {
            AssetKind::Dataset => {
                tokio::task::block_in_place(|| health::check(path, &publication.check, progress))?
            }
            _ => None,
        };
        let health = checked.map(|checked| take_in(checked, &mut tree, &mut about)).transpose()?;
        let content_key = keyring.content_key_or_new(asset, EPOCH)?;
        let version_key = keyring.version_key_or_new(asset, version)?;
        let profile = publication.profile;
        tokio::task::block_in_place(move || {
            let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            let how = Sealing {
                asset,
                epoch: EPOCH,
                content_key: &content_key,
                version_key: &version_key,
                profile,
                threads,
            };
            let sealed = seal(&store, &tree, &how, &mut |done| progress(Step::Sealing, done))?;
            let published = sealed.publish(&store, about, &AccountSigner(publisher))?;
            Ok(SealedVersion { kind: publication.kind, published, hidden, health })
        })
    }
}

fn tree_of(path: &Path) -> Result<Tree, PublishError> {
    let mut tree = Tree::new();
    let found = path.metadata().map_err(|source| PublishError::Path { path: path.to_owned(), source })?;
    if found.is_dir() {
        tree.add_directory(path, Hidden::Skip)?;
    } else {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name: TreePath = name.parse()?;
        tree.add_file(path, name)?;
    }
    Ok(tree)
}

/// Puts the report among the files and its summary into the public description.
fn take_in(
    checked: Checked,
    tree: &mut Tree,
    about: &mut BTreeMap<String, String>,
) -> Result<PublishedHealth, PublishError> {
    let Checked { summary, broken: rules, json } = checked;
    tree.add_bytes(health::REPORT.parse()?, json.into_bytes())?;
    let said = serde_json::to_string(&summary).expect("a summary has string keys and whole numbers only");
    about.insert(health::HEALTH.to_owned(), said);
    Ok(PublishedHealth { summary, rules })
}

fn check_name(name: &str) -> Result<(), PublishError> {
    if name.is_empty() || name.len() > 200 { Err(PublishError::Name { found: name.len() }) } else { Ok(()) }
}

/// What can be told to be wrong before any work is done.
fn validate(publication: &Publication) -> Result<Vec<TermsId>, PublishError> {
    check_name(&publication.name)?;
    if let Some((holder, _)) = publication.holders.iter().find(|(_, units)| *units == 0) {
        return Err(PublishError::NoUnits { holder: *holder });
    }
    let found: u64 = publication.holders.iter().map(|(_, units)| u64::from(*units)).sum();
    if found != u64::from(SHARES_SUPPLY) {
        return Err(PublishError::Units { found });
    }
    let mut licences = publication.licences.clone();
    licences.sort();
    if let Some(pair) = licences.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(PublishError::LicenceTwice { licence: pair[0] });
    }
    Ok(publication.terms.iter().map(Terms::id).collect::<Result<_, _>>()?)
}

/// Terms as the binding has them; the ABI encoding is the same.
fn on_ledger(terms: &Terms) -> Result<licences::ILicences::Terms, PublishError> {
    licences::ILicences::Terms::abi_decode(&terms.to_abi()?)
        .map_err(|_| LedgerError::unexpected("the form of terms").into())
}

fn summary(
    asset: AssetId,
    version: u32,
    sealed: &SealedVersion,
    terms: Vec<TermsId>,
    transaction: Option<B256>,
) -> PublishedAsset {
    let SealedVersion { kind, published, hidden, health } = sealed;
    let SealStats { files, content_bytes, .. } = published.stats;
    PublishedAsset {
        asset,
        kind: *kind,
        version,
        manifest_cid: published.record.manifest.to_string(),
        content_root: published.record.content_root.0,
        terms,
        files,
        hidden: *hidden,
        content_bytes,
        transaction,
        health: health.clone(),
    }
}
