//! The publisher's keys on disk.
//!
//! Owns: one file a key, sealed under the keyring's secret and bound to its asset and number; making a key exactly once,
//! durably, before anything is sealed with it. Refuses: overwriting or forgetting a key (content whose key is gone is
//! gone); keeping its own secret (whoever opens it brings that: a data directory has a random one in its
//! `marketplace.json`, mode 0600, so that a copy of the keyring alone is of no use to who finds it).

use std::{fs, io, path::PathBuf};

use residual_durable as durable;
use residual_primitives::AssetId;
use zeroize::Zeroizing;

use crate::{
    cipher::{self, NONCE_BYTES},
    keys::{ContentKey, KeyringSecret, VersionKey, WrapSecret, random_bytes},
};

/// Bytes of a key's file: nonce, key, tag.
const FILE_BYTES: usize = NONCE_BYTES + 32 + 16;

/// Why a key could not be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// No such key here.
    #[error(
        "the keyring {keyring} has no key for {name}: it was published from another keyring, or not at all"
    )]
    Missing {
        /// The keyring's directory.
        keyring: PathBuf,
        /// Which key.
        name: String,
    },
    /// The file does not open.
    #[error(
        "expected {path} to open with this keyring's secret, found it altered or sealed with another: restore it, or give the right secret"
    )]
    Sealed {
        /// The key's file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("cannot {action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A directory of the publisher's keys; any number of processes may use it.
#[derive(Debug)]
pub struct Keyring {
    root: PathBuf,
    secret: KeyringSecret,
}

impl Keyring {
    /// Opens the keyring under `root`, which is made if need be.
    ///
    /// # Errors
    /// [`KeyringError::Sealed`] when it was made with another secret, else what went wrong.
    pub fn open(root: impl Into<PathBuf>, secret: KeyringSecret) -> Result<Self, KeyringError> {
        let keyring = Self { root: root.into(), secret };
        // A key that is never used: it tells a wrong secret before anything is sealed under it.
        keyring.load_or_new("check")?;
        Ok(keyring)
    }

    /// K of an asset and key epoch, made and kept if there is none yet.
    ///
    /// # Errors
    /// When it can be neither read nor kept.
    pub fn content_key_or_new(&self, asset: AssetId, epoch: u32) -> Result<ContentKey, KeyringError> {
        self.load_or_new(&epoch_name(asset, epoch)).map(|key| ContentKey::from_bytes(*key))
    }

    /// K_v of an asset's version, made and kept if there is none yet. `version` is its number on the ledger,
    /// from 1.
    ///
    /// # Errors
    /// When it can be neither read nor kept.
    pub fn version_key_or_new(&self, asset: AssetId, version: u32) -> Result<VersionKey, KeyringError> {
        self.load_or_new(&version_name(asset, version)).map(|key| VersionKey::from_bytes(*key))
    }

    /// K_v of a version that was published from this keyring.
    ///
    /// # Errors
    /// [`KeyringError::Missing`] when it was not, else what went wrong.
    pub fn version_key(&self, asset: AssetId, version: u32) -> Result<VersionKey, KeyringError> {
        let name = version_name(asset, version);
        match self.load(&name)? {
            Some(key) => Ok(VersionKey::from_bytes(*key)),
            None => Err(KeyringError::Missing { keyring: self.root.clone(), name }),
        }
    }

    /// The secret from which this keyring's owner wraps keys for buyers.
    pub(crate) fn wrap_secret(&self) -> WrapSecret {
        WrapSecret::from_bytes(blake3::derive_key("residual keyring v1: wrapping", self.secret.expose()))
    }

    fn load_or_new(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
        if let Some(key) = self.load(name)? {
            return Ok(key);
        }
        let path = self.root.join(name);
        // Before the key, so that no key is found in a directory that a power cut may take away.
        let directory = path.parent().expect("a key lies in the keyring");
        durable::make_dir(directory).map_err(|source| KeyringError::Io {
            action: "create",
            path: directory.to_owned(),
            source,
        })?;
        let key = Zeroizing::new(random_bytes::<32>());
        let failed = |source| KeyringError::Io { action: "write", path: path.clone(), source };
        if durable::write_new(&path, &self.seal(name, &key)).map_err(failed)? {
            Ok(key)
        } else {
            // Another process made it meanwhile: theirs counts, once it is sure to stay.
            durable::flush_dir(directory).map_err(failed)?;
            self.load(name)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
        }
    }

    fn load(&self, name: &str) -> Result<Option<Zeroizing<[u8; 32]>>, KeyringError> {
        let path = self.root.join(name);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyringError::Io { action: "open", path, source }),
        };
        let mut bytes = Vec::with_capacity(FILE_BYTES + 1);
        io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES as u64 + 1), &mut bytes)
            .map_err(|source| KeyringError::Io { action: "read", path: path.clone(), source })?;
        self.unseal(name, &bytes).map(Some).ok_or(KeyringError::Sealed { path })
    }

    fn sealing_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("residual keyring v1: files", self.secret.expose()))
    }

    fn seal(&self, name: &str, key: &[u8; 32]) -> Vec<u8> {
        let nonce = random_bytes::<NONCE_BYTES>();
        let mut sealed = Vec::with_capacity(FILE_BYTES);
        sealed.extend_from_slice(key);
        cipher::seal_in_place(&self.sealing_key(), &nonce, name.as_bytes(), &mut sealed);
        sealed.splice(..0, nonce);
        sealed
    }

    fn unseal(&self, name: &str, file: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let (nonce, sealed) = file.split_first_chunk()?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        cipher::open_in_place(&self.sealing_key(), nonce, name.as_bytes(), &mut bytes).ok()?;
        Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
    }
}

fn epoch_name(asset: AssetId, epoch: u32) -> String {
    format!("{asset}/epoch-{epoch}")
}

fn version_name(asset: AssetId, version: u32) -> String {
    format!("{asset}/version-{version}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use residual_durable::flushed_by;

    fn asset() -> AssetId {
        "5".parse().unwrap()
    }

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let open =
            || Keyring::open(directory.path().join("keys"), KeyringSecret::from_bytes([1; 32])).unwrap();
        let content_key = open().content_key_or_new(asset(), 0).unwrap();
        let version_key = open().version_key_or_new(asset(), 1).unwrap();
        assert_eq!(open().content_key_or_new(asset(), 0).unwrap().expose(), content_key.expose());
        assert_eq!(open().version_key(asset(), 1).unwrap().expose(), version_key.expose());
        assert_ne!(open().version_key_or_new(asset(), 2).unwrap().expose(), version_key.expose());
        assert_ne!(open().content_key_or_new(asset(), 1).unwrap().expose(), content_key.expose());
        assert!(matches!(open().version_key(asset(), 7), Err(KeyringError::Missing { .. })));
    }

    #[test]
    fn another_secret_and_altered_swapped_or_cut_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("keys");
        let keyring = Keyring::open(&root, KeyringSecret::from_bytes([1; 32])).unwrap();
        keyring.version_key_or_new(asset(), 1).unwrap();
        keyring.version_key_or_new(asset(), 2).unwrap();
        assert!(matches!(
            Keyring::open(&root, KeyringSecret::from_bytes([2; 32])),
            Err(KeyringError::Sealed { .. })
        ));
        let path = root.join(version_name(asset(), 1));
        let good = fs::read(&path).unwrap();
        let other = fs::read(root.join(version_name(asset(), 2))).unwrap();
        let flipped: Vec<u8> = good.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 30)).collect();
        for bad in [&other, &flipped, &good[1..].to_vec(), &[&good[..], b"x"].concat(), &vec![]] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(keyring.version_key(asset(), 1), Err(KeyringError::Sealed { .. })));
            assert!(
                matches!(keyring.version_key_or_new(asset(), 1), Err(KeyringError::Sealed { .. })),
                "never overwritten"
            );
        }
    }

    /// A power cut takes away a directory whose name was not flushed, and with it the key of registered content.
    #[test]
    fn a_new_key_is_flushed_with_every_directory_above_it_that_is_new() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("keys");
        let open = || Keyring::open(&root, KeyringSecret::from_bytes([1; 32])).unwrap();
        let flushed = flushed_by(|| drop(open()));
        assert_eq!(flushed, [directory.path(), root.as_path()]);
        let of_asset = root.join(asset().to_string());
        let flushed = flushed_by(|| drop(open().content_key_or_new(asset(), 0).unwrap()));
        assert_eq!(flushed, [root.as_path(), of_asset.as_path()]);
        let flushed = flushed_by(|| drop(open().version_key_or_new(asset(), 1).unwrap()));
        assert_eq!(flushed, [root.as_path(), of_asset.as_path()]);
        let flushed = flushed_by(|| drop(open().version_key(asset(), 1).unwrap()));
        assert!(flushed.is_empty());
    }

    #[test]
    fn writers_that_race_for_a_new_key_end_with_one() {
        let directory = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(directory.path(), KeyringSecret::from_bytes([1; 32])).unwrap();
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| *keyring.version_key_or_new(asset(), 1).unwrap().expose()))
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key == &keys[0]));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_keys() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("keys");
        Keyring::open(&root, KeyringSecret::from_bytes([1; 32]))
            .unwrap()
            .version_key_or_new(asset(), 1)
            .unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&root), mode(&root.join(version_name(asset(), 1)))), (0o700, 0o600));
    }
}
