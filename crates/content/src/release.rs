//! Who gets a version key (KEY-1).
//!
//! Owns: checking a buyer's signed request against a licence, and answering it with the key wrapped for that buyer. The
//! shape holds for one publisher's own machine and for gateways; parts of a key split t-of-n become another kind of
//! [`Released`]. Refuses: reading a ledger (a [`LicenceBook`] answers for it, at a block that the chain's finality rule
//! accepts).

use std::{
    fs, io,
    io::Read,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Signature, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use residual_durable as durable;
use residual_primitives::{Address, B256, LicenceId, Rights, signed::KeyRequest};
use sha2::{Digest, Sha256};

use crate::{
    keyring::{Keyring, KeyringError},
    keys::KeyCommitment,
    wrap::{KeyBinding, WrapError, WrappedKey, wrap},
};

/// How far ahead a request's expiry may lie, in seconds.
pub const MAX_REQUEST_LIFE_S: u64 = 600;

/// Why no key was released (KEY-1).
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The request names no licence that could exist.
    #[error("expected a licence id, found {found}")]
    NotALicence {
        /// The number in the request.
        found: U256,
    },
    /// The request is for another gateway.
    #[error(
        "expected a request to the gateway {expected}, found one to {found}: sign a request for this gateway"
    )]
    OtherGateway {
        /// This gateway.
        expected: Address,
        /// The request's.
        found: Address,
    },
    /// The request is too old, or good for too long.
    #[error(
        "expected a request that expires within {MAX_REQUEST_LIFE_S} s after {now_s}, found {expiry_s}: sign a new one"
    )]
    Expiry {
        /// The time here.
        now_s: u64,
        /// When the request expires.
        expiry_s: u64,
    },
    /// No such licence.
    #[error("expected a licence that was bought, found none with id {licence}: buy one")]
    NoLicence {
        /// The id.
        licence: LicenceId,
    },
    /// The signature is not the holder's.
    #[error("expected the signature of the holder {holder}, found {}: sign with the account that holds the licence", signer_text(.signer))]
    Signer {
        /// Who holds the licence.
        holder: Address,
        /// Who signed; `None` when it is no signature at all.
        signer: Option<Address>,
    },
    /// The licence has ended.
    #[error("the licence ended at {expired_at_s}, and it is {now_s}: renew it")]
    Expired {
        /// When it ended.
        expired_at_s: u64,
        /// The time here.
        now_s: u64,
    },
    /// The licence does not give access.
    #[error("expected a licence with the right ACCESS, found {rights:?}: buy one under other terms")]
    NoAccess {
        /// What it gives.
        rights: Rights,
    },
    /// The licence does not reach the version.
    #[error("the licence grants the versions {} to {}, not {version}: buy or renew one for that version", .granted.start(), .granted.end())]
    VersionNotGranted {
        /// The version asked for.
        version: u32,
        /// Those granted.
        granted: RangeInclusive<u32>,
    },
    /// The nonce was used for something else.
    #[error(
        "expected a nonce that {holder} has not used, found {nonce} used for another request: sign with a new one"
    )]
    NonceUsed {
        /// The signer.
        holder: Address,
        /// The nonce.
        nonce: B256,
    },
    /// The ledger could not be asked.
    #[error("cannot look the licence up: try again")]
    Book(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The key is not here, or could not be read.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The key here is not the one that the ledger commits to.
    #[error("expected the key of version {version} with commitment {expected}, found another in the keyring")]
    OtherKey {
        /// The version.
        version: u32,
        /// The ledger's commitment.
        expected: KeyCommitment,
    },
    /// The public key in the request is unusable.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// The nonce could not be kept, so nothing may be answered.
    #[error("cannot {action} {path}")]
    Nonce {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn signer_text(signer: &Option<Address>) -> String {
    signer.map_or_else(|| "nobody's".to_owned(), |signer| format!("that of {signer}"))
}

/// A buyer's request and their signature over its EIP-712 digest, `r | s | v`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedKeyRequest {
    /// What is asked.
    pub request: KeyRequest,
    /// By whom.
    pub signature: [u8; 65],
}

impl SignedKeyRequest {
    /// What can be said of a request before a ledger is asked: the licence that it names, if it is to `gateway` and good
    /// for a while from `now_s` on.
    ///
    /// # Errors
    /// [`ReleaseError::NotALicence`], [`ReleaseError::OtherGateway`] or [`ReleaseError::Expiry`].
    pub fn check(&self, gateway: Address, now_s: u64) -> Result<LicenceId, ReleaseError> {
        let request = &self.request;
        let licence = LicenceId::try_from(request.licenceId)
            .map_err(|_| ReleaseError::NotALicence { found: request.licenceId })?;
        if request.gateway != gateway {
            return Err(ReleaseError::OtherGateway { expected: gateway, found: request.gateway });
        }
        if request.expiry <= now_s || request.expiry - now_s > MAX_REQUEST_LIFE_S {
            return Err(ReleaseError::Expiry { now_s, expiry_s: request.expiry });
        }
        Ok(licence)
    }
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Released {
    /// The whole key, wrapped for the buyer.
    Key(WrappedKey),
}

/// Anyone who may hold keys for buyers: the publisher's own machine, a gateway over HTTP.
pub trait KeyRelease {
    /// Answers a request. An identical request gets identical bytes.
    ///
    /// # Errors
    /// When the request or the licence does not entitle to the key (KEY-1), or it cannot be had.
    fn release(&self, request: &SignedKeyRequest) -> Result<Released, ReleaseError>;
}

/// What the ledger says of one licence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenceFacts {
    /// Who holds it now.
    pub holder: Address,
    /// What it allows.
    pub rights: Rights,
    /// When it ends, in UNIX seconds; `None` for a perpetual one.
    pub expires_at_s: Option<u64>,
    /// Which versions of its asset it grants; the ledger counts them from 1.
    pub versions: RangeInclusive<u32>,
}

/// Answers for the ledger, at a block that the chain's finality rule accepts.
pub trait LicenceBook {
    /// The licence `id`, or `None` when there is none.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    fn licence(
        &self,
        id: LicenceId,
    ) -> Result<Option<LicenceFacts>, Box<dyn std::error::Error + Send + Sync>>;

    /// The commitment that the ledger holds for a version of the licence's asset, or `None` when there is no such version.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    fn key_commitment(
        &self,
        id: LicenceId,
        version: u32,
    ) -> Result<Option<KeyCommitment>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Releases keys from a keyring on this machine.
pub struct KeyringRelease<'a, B> {
    keyring: &'a Keyring,
    book: B,
    domain: Eip712Domain,
    gateway: Address,
    nonces: PathBuf,
}

impl<'a, B: LicenceBook> KeyringRelease<'a, B> {
    /// Answers requests to `gateway`, signed in `domain`, from `keyring`; used nonces are kept under `nonces`, and those
    /// of requests that have expired are forgotten.
    ///
    /// # Errors
    /// When the directory of nonces can be neither made nor read.
    pub fn open(
        keyring: &'a Keyring,
        book: B,
        domain: Eip712Domain,
        gateway: Address,
        nonces: impl Into<PathBuf>,
    ) -> Result<Self, ReleaseError> {
        let release = Self::reopen(keyring, book, domain, gateway, nonces);
        durable::make_dir(&release.nonces)
            .map_err(|source| nonce_failed("create", &release.nonces, source))?;
        release.forget_expired(now_s())?;
        Ok(release)
    }

    /// As [`KeyringRelease::open`], once that has been done: forgets nothing, which would take the longer the more
    /// nonces there are. For a gateway, which answers many requests between two times that it does forget.
    pub fn reopen(
        keyring: &'a Keyring,
        book: B,
        domain: Eip712Domain,
        gateway: Address,
        nonces: impl Into<PathBuf>,
    ) -> Self {
        Self { keyring, book, domain, gateway, nonces: nonces.into() }
    }

    /// Answers a request as of `now_s`.
    fn release_at(&self, signed: &SignedKeyRequest, now_s: u64) -> Result<Released, ReleaseError> {
        let request = &signed.request;
        let licence = signed.check(self.gateway, now_s)?;
        let facts = self
            .book
            .licence(licence)
            .map_err(ReleaseError::Book)?
            .ok_or(ReleaseError::NoLicence { licence })?;
        let digest = request.eip712_signing_hash(&self.domain);
        let signer = Signature::from_raw_array(&signed.signature)
            .ok()
            .and_then(|signature| signature.recover_address_from_prehash(&digest).ok());
        if signer != Some(facts.holder) {
            return Err(ReleaseError::Signer { holder: facts.holder, signer });
        }
        if let Some(expired_at_s) = facts.expires_at_s.filter(|&end| end <= now_s) {
            return Err(ReleaseError::Expired { expired_at_s, now_s });
        }
        if !facts.rights.contain(Rights::ACCESS) {
            return Err(ReleaseError::NoAccess { rights: facts.rights });
        }
        let version = request.version;
        let not_granted = || ReleaseError::VersionNotGranted { version, granted: facts.versions.clone() };
        if !facts.versions.contains(&version) {
            return Err(not_granted());
        }
        let expected = self
            .book
            .key_commitment(licence, version)
            .map_err(ReleaseError::Book)?
            .ok_or_else(not_granted)?;
        let key = self.keyring.version_key(licence.asset(), version)?;
        if key.commitment(licence.asset()) != expected {
            return Err(ReleaseError::OtherKey { version, expected });
        }
        let binding = KeyBinding { licence, version, key_commitment: expected };
        let wrapped = wrap(&self.keyring.wrap_secret(), request.hpkePublicKey, &binding, &key)?;
        // Last, so that a request that fails uses up nothing; durable before a byte leaves.
        self.use_nonce(facts.holder, request, digest)?;
        Ok(Released::Key(wrapped))
    }

    /// Ties a nonce to one request until that expires: a file of expiry and digest, made whole or not at all.
    fn use_nonce(&self, holder: Address, request: &KeyRequest, digest: B256) -> Result<(), ReleaseError> {
        let mut hash = Sha256::new_with_prefix(holder.as_slice());
        hash.update(request.nonce);
        let path = self.nonces.join(format!("{:x}", B256::new(hash.finalize().into())));
        let record = [&request.expiry.to_be_bytes()[..], digest.as_slice()].concat();
        if durable::write_new(&path, &record).map_err(|source| nonce_failed("write", &path, source))? {
            return Ok(());
        }
        let there = fs::read(&path).map_err(|source| nonce_failed("read", &path, source))?;
        if there == record { Ok(()) } else { Err(ReleaseError::NonceUsed { holder, nonce: request.nonce }) }
    }

    /// Forgets the nonces of requests that have expired: those are refused for their age already.
    fn forget_expired(&self, now_s: u64) -> Result<(), ReleaseError> {
        let entries =
            fs::read_dir(&self.nonces).map_err(|source| nonce_failed("read", &self.nonces, source))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let mut expiry = [0; 8];
            let read = fs::File::open(&path).and_then(|mut file| file.read_exact(&mut expiry));
            if read.is_ok() && u64::from_be_bytes(expiry) <= now_s {
                match fs::remove_file(&path) {
                    // Another process forgot it meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(|source| nonce_failed("remove", &path, source))?,
                }
            }
        }
        Ok(())
    }
}

impl<B: LicenceBook> KeyRelease for KeyringRelease<'_, B> {
    fn release(&self, request: &SignedKeyRequest) -> Result<Released, ReleaseError> {
        self.release_at(request, now_s())
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn nonce_failed(action: &'static str, path: &Path, source: io::Error) -> ReleaseError {
    ReleaseError::Nonce { action, path: path.to_owned(), source }
}
