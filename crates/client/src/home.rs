//! The data directory: what lies where, of which version, and how a record is written so that a crash leaves the old
//! one or the new one.
//!
//! ```text
//! residual-home     what this directory is, and its version
//! marketplace.json  which ledger it is for, development mode or not, the secret of keys/
//! deployment.json   where the contracts are: what others join the marketplace with
//! residual.toml     settings, if its owner wrote any; read by the command line alone
//! ledger/           the embedded ledger
//! node.json         where a running node of this directory answers
//! gateway.json      where the gateway of this directory answers, while it holds gateway.lock
//! accounts/         encrypted keystores, NAME.json
//! blocks/           sealed content
//! keys/             the publisher's keys, a directory an asset, encrypted
//! nonces/           key requests that were answered, until they expire
//! drafts/           publications begun: what repeating the command continues
//! operations/       commands that move money: under way, and how often done
//! journal/          transactions that are to be carried out once, by chain and account
//! channels/         the configurations of channels that were opened here
//! purses/           the payer's ends of channels: the highest promise of each
//! spending/         deposits that were signed for paid calls and may be carried out still
//! meter/            the receivers' logs of vouchers, a directory a gateway
//! usage/            published epochs, a directory a gateway, EPOCH.parquet
//! demo.json         what `up --demo` published here
//! ```

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

/// The layout that this program reads and writes.
pub const HOME_VERSION: u32 = 1;

/// How long another command's lock is waited for, and how often it is looked at meanwhile.
const LOCK_WAIT: Duration = Duration::from_secs(60);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

const MARK: &str = "residual-home";

/// Records are small; a larger file is not one of ours.
const RECORD_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why a data directory, or a record in it, cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// There is none.
    #[error("{} is not a data directory of Residual: make one with `residual init --data-dir {}`", path.display(), path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{} is not empty and not a data directory of Residual: choose an empty or a new directory", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// Another program version made it.
    #[error("{} is a data directory of version {found}, this program reads version {HOME_VERSION}: use the program that made it, or another directory", path.display())]
    OtherVersion {
        /// The directory.
        path: PathBuf,
        /// Its version as written.
        found: String,
    },
    /// The file system refused.
    #[error("{} cannot be {doing}: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What was tried: `read`, `written`, `made`.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A record is not what this program wrote.
    #[error("{} is damaged: {source}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A record is far too large to be one.
    #[error("{} is damaged: expected at most {RECORD_BYTES_MAX} bytes, found {found}; restore it from a backup", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: u64,
    },
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_owned();
    move |source| HomeError::Io { path, doing, source }
}

/// A data directory whose mark and version were checked.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Makes a data directory, or opens the one that is there.
    ///
    /// # Errors
    /// When something else is there, or the file system refuses.
    pub fn init(root: &Path) -> Result<Self, HomeError> {
        match Self::open(root) {
            Err(HomeError::Missing { .. }) => {}
            other => return other,
        }
        make_dir(root)?;
        for entry in fs::read_dir(root).map_err(failed(root, "read"))? {
            let entry = entry.map_err(failed(root, "read"))?;
            // What an earlier try left that was cut short here.
            if !residual_durable::is_draft(&entry.file_name()) {
                return Err(HomeError::Foreign { path: root.to_owned() });
            }
        }
        write(&root.join(MARK), format!("{HOME_VERSION}\n").as_bytes())?;
        Self::open(root)
    }

    /// Opens a data directory.
    ///
    /// # Errors
    /// When there is none, it has another version, or it cannot be read.
    pub fn open(root: &Path) -> Result<Self, HomeError> {
        let mark = root.join(MARK);
        match fs::read_to_string(&mark) {
            Ok(found) if found.trim() == HOME_VERSION.to_string() => {
                let root = root.canonicalize().map_err(failed(root, "read"))?;
                Ok(Self { root })
            }
            Ok(found) => Err(HomeError::OtherVersion {
                path: root.to_owned(),
                found: found.trim().chars().take(40).collect(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(HomeError::Missing { path: root.to_owned() })
            }
            Err(error) => Err(failed(&mark, "read")(error)),
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A place in the directory, as the module's table names it.
    #[must_use]
    pub fn path(&self, place: &str) -> PathBuf {
        self.root.join(place)
    }

    /// A subdirectory, made with access for its owner alone if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn dir(&self, place: &str) -> Result<PathBuf, HomeError> {
        let path = self.path(place);
        make_dir(&path)?;
        Ok(path)
    }

    /// Reads a record; `None` when there is none.
    ///
    /// # Errors
    /// When it is damaged or cannot be read.
    pub fn read<T: DeserializeOwned>(&self, place: &str) -> Result<Option<T>, HomeError> {
        read_record(&self.path(place))
    }

    /// Writes a record: after a crash the old or the new one is there, whole.
    ///
    /// # Errors
    /// When the disk is full or refuses; the old record stays then.
    pub fn write<T: Serialize>(&self, place: &str, record: &T) -> Result<(), HomeError> {
        let path = self.path(place);
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        let mut text = serde_json::to_vec_pretty(record)
            .map_err(|source| HomeError::Damaged { path: path.clone(), source })?;
        text.push(b'\n');
        write(&path, &text)
    }

    /// Keeps bytes, whole or not at all, beneath a directory that is there.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write_bytes(&self, place: &str, bytes: &[u8]) -> Result<(), HomeError> {
        write(&self.path(place), bytes)
    }

    /// Bytes that were kept, if there are any; at most so many.
    ///
    /// # Errors
    /// When there are more, or they cannot be read.
    pub fn read_bytes(&self, place: &str, max: u64) -> Result<Option<Vec<u8>>, HomeError> {
        let path = self.path(place);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, "read")(error)),
            Ok(found) if found.len() > max => Err(HomeError::TooLarge { path, found: found.len() }),
            Ok(_) => fs::read(&path).map(Some).map_err(failed(&path, "read")),
        }
    }

    /// Takes a lock, which is held until the file is dropped or the process dies; none when another process held it all
    /// the time that was waited.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) async fn lock(&self, place: &str) -> Result<Option<File>, HomeError> {
        let started = Instant::now();
        loop {
            match self.try_lock(place)? {
                None if started.elapsed() < LOCK_WAIT => tokio::time::sleep(LOCK_PAUSE).await,
                outcome => return Ok(outcome),
            }
        }
    }

    /// Takes a lock as [`Home::lock`] does, without waiting.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn try_lock(&self, place: &str) -> Result<Option<File>, HomeError> {
        let path = self.path(place);
        residual_durable::lock(&path).map_err(failed(&path, "locked"))
    }

    /// Whether somebody holds a lock.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn is_locked(&self, place: &str) -> Result<bool, HomeError> {
        let path = self.path(place);
        residual_durable::is_locked(&path).map_err(failed(&path, "locked"))
    }

    /// Removes a record, if it is there.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove(&self, place: &str) -> Result<(), HomeError> {
        let path = self.path(place);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, "removed")(error)),
            _ => Ok(()),
        }
    }

    /// All records of a subdirectory, by the name of their file without its ending, in order.
    ///
    /// # Errors
    /// When one is damaged or cannot be read.
    pub fn list<T: DeserializeOwned>(&self, place: &str) -> Result<Vec<(String, T)>, HomeError> {
        let dir = self.path(place);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed(&dir, "read"))?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed(&dir, "read"))?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
            if let (Some(name), true) = (name, path.extension().is_some_and(|ending| ending == "json"))
                && let Some(record) = read_record(&path)?
            {
                records.push((name, record));
            }
        }
        records.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(records)
    }
}

fn make_dir(path: &Path) -> Result<(), HomeError> {
    residual_durable::make_dir(path).map_err(failed(path, "made"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    residual_durable::write(path, bytes).map_err(failed(path, "written"))
}

fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, HomeError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "read")(error)),
        Ok(found) if found.len() > RECORD_BYTES_MAX => {
            return Err(HomeError::TooLarge { path: path.to_owned(), found: found.len() });
        }
        Ok(_) => {}
    }
    let text = fs::read(path).map_err(failed(path, "read"))?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| HomeError::Damaged { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_another_kind_or_version_is_refused_unchanged() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("notes.txt"), "mine").unwrap();
        assert!(matches!(Home::open(temp.path()), Err(HomeError::Missing { .. })));
        assert!(matches!(Home::init(temp.path()), Err(HomeError::Foreign { .. })));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);

        let fresh = temp.path().join("home");
        fs::create_dir(&fresh).unwrap();
        fs::write(fresh.join(".new-x7"), "1").unwrap();
        Home::init(&fresh).unwrap();
        Home::init(&fresh).expect("an existing one is opened");
        fs::write(fresh.join(MARK), "9\n").unwrap();
        let error = Home::init(&fresh).unwrap_err().to_string();
        assert!(error.contains("version 9") && error.contains("reads version 1"), "{error}");
    }

    /// CH-3: a purse is there after a power cut only if each directory above it is.
    #[test]
    fn ch_3_every_directory_that_a_record_lies_in_is_flushed() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("above/home");
        let above = residual_durable::flushed_by(|| drop(Home::init(&root).unwrap()));
        assert!(above.contains(&temp.path().to_owned()) && above.contains(&temp.path().join("above")));
        let home = Home::open(&root).unwrap();
        let flushed = residual_durable::flushed_by(|| drop(home.dir("meter/gateway").unwrap()));
        assert_eq!(flushed, [home.root().to_owned(), home.path("meter")]);
        let flushed = residual_durable::flushed_by(|| home.write("channels/a.json", &1).unwrap());
        assert_eq!(flushed, [home.root().to_owned(), home.path("channels")]);
    }

    #[tokio::test]
    async fn a_lock_is_waited_for() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::init(&temp.path().join("home")).unwrap();
        let held = home.lock("one.lock").await.unwrap();
        let (other, waiting) = (home.clone(), Instant::now());
        let second = tokio::spawn(async move { other.lock("one.lock").await });
        tokio::time::sleep(LOCK_PAUSE * 3).await;
        assert!(!second.is_finished());
        drop(held);
        assert!(second.await.unwrap().unwrap().is_some() && waiting.elapsed() < LOCK_WAIT);
    }

    #[test]
    fn a_damaged_record_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::init(&temp.path().join("home")).unwrap();
        home.write("channels/a.json", &[1, 2, 3]).unwrap();
        assert_eq!(home.read::<Vec<u32>>("channels/a.json").unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(home.list::<Vec<u32>>("channels").unwrap(), vec![("a".to_owned(), vec![1, 2, 3])]);
        fs::write(home.path("channels/a.json"), "[1, 2").unwrap();
        let error = home.read::<Vec<u32>>("channels/a.json").unwrap_err();
        assert!(
            matches!(error, HomeError::Damaged { .. }) && error.to_string().contains("a.json"),
            "{error}"
        );
        home.remove("channels/a.json").unwrap();
        home.remove("channels/a.json").expect("removing what is gone is no error");
        assert_eq!(home.read::<Vec<u32>>("channels/a.json").unwrap(), None);
    }
}
