//! What was signed for which intent, so that repeating a command continues it and never pays twice.
//!
//! Owns the entries, in memory or in a directory. An entry is durable before its transaction is sent.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use alloy_consensus::{Signed, TxEip1559, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

/// The longest entry that is read, in bytes: a transaction of the largest contract, signed anew a hundred times.
const ENTRY_MAX: u64 = 32 << 20;

/// Why the journal cannot be trusted or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk or its permissions.
    #[error("{}: {source}; the journal's directory must be there to read and write", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An entry is not what this program writes.
    #[error("{}: expected a transaction of {account} on chain {chain_id}, found {reason}; \
        look up that account's transactions, then remove the file", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Whose journal it is.
        account: Address,
        /// On which chain.
        chain_id: u64,
        /// What is wrong.
        reason: String,
    },
}

/// One transaction, with every version of it that was signed: all under one nonce, so at most one can be carried out.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    versions: Vec<Signed<TxEip1559>>,
}

impl Attempt {
    pub(crate) fn new(first: Signed<TxEip1559>) -> Self {
        Self { versions: vec![first] }
    }

    /// Adds the same transaction with other fees.
    pub(crate) fn add(&mut self, version: Signed<TxEip1559>) {
        self.versions.push(version);
    }

    /// The one that was signed last.
    pub(crate) fn newest(&self) -> &Signed<TxEip1559> {
        self.versions.last().expect("there is a first version")
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.newest().tx().nonce
    }

    /// The hashes of all versions, the newest first.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = B256> {
        self.versions.iter().rev().map(|version| *version.hash())
    }

    /// The newest version as it is sent.
    pub(crate) fn raw(&self) -> Bytes {
        encoded(self.newest())
    }
}

fn encoded(version: &Signed<TxEip1559>) -> Bytes {
    let mut raw = Vec::new();
    version.encode_2718(&mut raw);
    raw.into()
}

/// An entry's file.
#[derive(Serialize, Deserialize)]
struct Entry {
    transactions: Vec<Bytes>,
}

/// The attempts of one account on one chain by intent.
#[derive(Debug)]
pub(crate) struct Journal {
    account: Address,
    chain_id: u64,
    place: Place,
    /// Intents that are being worked on; a second caller of the same waits.
    busy: Mutex<HashMap<B256, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug)]
enum Place {
    Memory(Mutex<HashMap<B256, Attempt>>),
    Directory(PathBuf),
}

impl Journal {
    pub(crate) fn in_memory(account: Address, chain_id: u64) -> Self {
        Self::at(Place::Memory(Mutex::default()), account, chain_id)
    }

    /// A journal in a directory of its own within `dir`.
    pub(crate) fn in_directory(dir: &Path, account: Address, chain_id: u64) -> Result<Self, JournalError> {
        let path = dir.join(chain_id.to_string()).join(account.to_string());
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(Self::at(Place::Directory(path), account, chain_id)),
            Err(source) => Err(JournalError::Io { path, source }),
        }
    }

    fn at(place: Place, account: Address, chain_id: u64) -> Self {
        Self { account, chain_id, place, busy: Mutex::default() }
    }

    /// Waits until nobody else works on the intent.
    pub(crate) async fn take(&self, intent: B256) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, turn| Arc::strong_count(turn) > 1);
            busy.entry(intent).or_default().clone()
        };
        turn.lock_owned().await
    }

    pub(crate) fn load(&self, intent: B256) -> Result<Option<Attempt>, JournalError> {
        let dir = match &self.place {
            Place::Memory(attempts) => {
                return Ok(attempts.lock().unwrap_or_else(PoisonError::into_inner).get(&intent).cloned());
            }
            Place::Directory(dir) => dir,
        };
        let path = entry_path(dir, intent);
        let json = match fs::metadata(&path).and_then(|file| {
            if file.len() > ENTRY_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { fs::read(&path) }
        }) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JournalError::Io { path, source }),
        };
        self.decode(&json).map(Some).map_err(|reason| JournalError::Corrupt {
            path,
            account: self.account,
            chain_id: self.chain_id,
            reason,
        })
    }

    fn decode(&self, json: &[u8]) -> Result<Attempt, String> {
        let entry: Entry = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut versions: Vec<Signed<TxEip1559>> = Vec::new();
        for raw in &entry.transactions {
            let envelope = TxEnvelope::decode_2718_exact(raw).map_err(|error| error.to_string())?;
            let signer = envelope.recover_signer().map_err(|error| error.to_string())?;
            let TxEnvelope::Eip1559(version) = envelope else {
                return Err("a transaction of another type".to_owned());
            };
            if signer != self.account || version.tx().chain_id != self.chain_id {
                return Err(format!("one of {signer} on chain {}", version.tx().chain_id));
            }
            if versions.first().is_some_and(|first| first.tx().nonce != version.tx().nonce) {
                return Err("transactions of several nonces".to_owned());
            }
            versions.push(version);
        }
        if versions.is_empty() { Err("none".to_owned()) } else { Ok(Attempt { versions }) }
    }

    /// Writes an intent's attempt in place of an earlier one; durable when this returns.
    pub(crate) fn save(&self, intent: B256, attempt: &Attempt) -> Result<(), JournalError> {
        let dir = match &self.place {
            Place::Memory(attempts) => {
                attempts.lock().unwrap_or_else(PoisonError::into_inner).insert(intent, attempt.clone());
                return Ok(());
            }
            Place::Directory(dir) => dir,
        };
        let path = entry_path(dir, intent);
        let entry = Entry { transactions: attempt.versions.iter().map(encoded).collect() };
        let json = serde_json::to_vec(&entry).expect("the entry's form has string keys only");
        write_durably(&path, &json).map_err(|source| JournalError::Io { path, source })
    }

    /// Removes an intent's attempt that the node never took.
    pub(crate) fn remove(&self, intent: B256) -> Result<(), JournalError> {
        match &self.place {
            Place::Memory(attempts) => {
                attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(&intent);
                Ok(())
            }
            Place::Directory(dir) => {
                let path = entry_path(dir, intent);
                match fs::remove_file(&path) {
                    Err(source) if source.kind() != io::ErrorKind::NotFound => {
                        Err(JournalError::Io { path, source })
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

fn entry_path(dir: &Path, intent: B256) -> PathBuf {
    dir.join(format!("{intent}.json"))
}

/// Puts a whole file in the place of another: after a crash either is there, complete.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use alloy_consensus::SignableTransaction;

    use super::*;
    use crate::account::Account;

    fn attempt(account: &Account, chain_id: u64, nonce: u64) -> Attempt {
        let transaction = TxEip1559 { chain_id, nonce, gas_limit: 21_000, ..TxEip1559::default() };
        let signature = account.sign_hash(transaction.signature_hash());
        Attempt::new(transaction.into_signed(signature))
    }

    #[test]
    fn an_attempt_survives_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let account = Account::generate();
        let (intent, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let mut attempt = attempt(&account, 7, 3);
        let bumped = TxEip1559 { max_fee_per_gas: 9, ..attempt.newest().tx().clone() };
        let signature = account.sign_hash(bumped.signature_hash());
        attempt.add(bumped.into_signed(signature));

        let journal = Journal::in_directory(dir.path(), account.address(), 7).expect("opens");
        assert!(journal.load(intent).expect("reads").is_none());
        journal.save(intent, &attempt).expect("writes");

        let again = Journal::in_directory(dir.path(), account.address(), 7).expect("opens");
        let read = again.load(intent).expect("reads").expect("is there");
        assert_eq!(read.hashes().collect::<Vec<_>>(), attempt.hashes().collect::<Vec<_>>());
        assert_eq!((read.raw(), read.nonce()), (attempt.raw(), 3));
        assert!(again.load(other).expect("reads").is_none());
        again.remove(intent).expect("removes");
        assert!(again.load(intent).expect("reads").is_none());
    }

    #[test]
    fn another_accounts_or_a_broken_entry_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let (account, stranger) = (Account::generate(), Account::generate());
        let journal = Journal::in_directory(dir.path(), account.address(), 7).expect("opens");
        let intent = B256::repeat_byte(1);
        for wrong in [attempt(&stranger, 7, 3), attempt(&account, 8, 3)] {
            journal.save(intent, &wrong).expect("writes");
            assert!(matches!(journal.load(intent), Err(JournalError::Corrupt { .. })));
        }
        let path = dir.path().join("7").join(account.address().to_string()).join(format!("{intent}.json"));
        for broken in ["", "{}", r#"{"transactions":[]}"#, r#"{"transactions":["0x02c0"]}"#] {
            fs::write(&path, broken).expect("writes");
            assert!(matches!(journal.load(intent), Err(JournalError::Corrupt { .. })), "{broken}");
        }
    }
}
