//! What was signed for which intent, so that repeating a command continues it and never pays twice.
//!
//! Owns the entries, in memory or in a directory. An entry is durable before its transaction is sent. It only grows:
//! whatever was sent once may turn up on the chain, so nothing of it is forgotten.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use alloy_consensus::{Signed, TxEip1559, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes};
use residual_durable as durable;
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

/// All that was signed for one intent, in that order. Of those under one nonce at most one can be carried out.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    versions: Vec<Signed<TxEip1559>>,
    refused: bool,
}

impl Attempts {
    /// Those before, if any, and one more.
    pub(crate) fn after(earlier: Option<Self>, version: Signed<TxEip1559>) -> Self {
        let mut versions = earlier.map(|earlier| earlier.versions).unwrap_or_default();
        versions.push(version);
        Self { versions, refused: false }
    }

    /// Adds one that was signed later.
    pub(crate) fn add(&mut self, version: Signed<TxEip1559>) {
        self.versions.push(version);
        self.refused = false;
    }

    /// The one that was signed last.
    pub(crate) fn newest(&self) -> &Signed<TxEip1559> {
        self.versions.last().expect("there is a first version")
    }

    /// The newest one's nonce.
    pub(crate) fn nonce(&self) -> u64 {
        self.newest().tx().nonce
    }

    /// Whether the node would not have the newest one, and none under its nonce before.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// Notes that the node would not have the newest one, and none under its nonce before.
    pub(crate) fn refuse(&mut self) {
        self.refused = true;
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Signed<TxEip1559>> {
        self.versions.iter().rev()
    }

    /// The one with that hash.
    pub(crate) fn find(&self, hash: B256) -> Option<&Signed<TxEip1559>> {
        self.versions.iter().find(|version| *version.hash() == hash)
    }

    /// The newest one as it is sent.
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
    #[serde(default)]
    refused: bool,
}

/// The attempts of one account on one chain, by intent.
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
    Memory(Mutex<HashMap<B256, Attempts>>),
    Directory(PathBuf),
}

impl Journal {
    pub(crate) fn in_memory(account: Address, chain_id: u64) -> Self {
        Self::at(Place::Memory(Mutex::default()), account, chain_id)
    }

    /// A journal in a directory of its own within `dir`.
    pub(crate) fn in_directory(dir: &Path, account: Address, chain_id: u64) -> Result<Self, JournalError> {
        let of_chain = dir.join(chain_id.to_string());
        let path = of_chain.join(account.to_string());
        // Each by itself: also one that is there is flushed then, whose maker may have crashed before it was durable.
        match durable::make_dir(&of_chain).and_then(|()| durable::make_dir(&path)) {
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

    pub(crate) fn load(&self, intent: B256) -> Result<Option<Attempts>, JournalError> {
        let dir = match &self.place {
            Place::Memory(entries) => {
                return Ok(entries.lock().unwrap_or_else(PoisonError::into_inner).get(&intent).cloned());
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

    fn decode(&self, json: &[u8]) -> Result<Attempts, String> {
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
            versions.push(version);
        }
        if versions.is_empty() {
            return Err("none".to_owned());
        }
        Ok(Attempts { versions, refused: entry.refused })
    }

    /// Writes all that was signed for an intent; durable when this returns.
    pub(crate) fn save(&self, intent: B256, attempts: &Attempts) -> Result<(), JournalError> {
        let dir = match &self.place {
            Place::Memory(entries) => {
                entries.lock().unwrap_or_else(PoisonError::into_inner).insert(intent, attempts.clone());
                return Ok(());
            }
            Place::Directory(dir) => dir,
        };
        let path = entry_path(dir, intent);
        let transactions = attempts.versions.iter().map(encoded).collect();
        let entry = Entry { transactions, refused: attempts.refused };
        let json = serde_json::to_vec(&entry).expect("the entry's form has string keys only");
        durable::write(&path, &json).map_err(|source| JournalError::Io { path, source })
    }
}

fn entry_path(dir: &Path, intent: B256) -> PathBuf {
    dir.join(format!("{intent}.json"))
}

#[cfg(test)]
mod tests {
    use alloy_consensus::SignableTransaction;

    use super::*;
    use crate::account::Account;

    fn signed(account: &Account, chain_id: u64, nonce: u64) -> Signed<TxEip1559> {
        let transaction = TxEip1559 { chain_id, nonce, gas_limit: 21_000, ..TxEip1559::default() };
        let signature = account.sign_hash(transaction.signature_hash());
        transaction.into_signed(signature)
    }

    fn attempts(account: &Account, chain_id: u64, nonce: u64) -> Attempts {
        Attempts::after(None, signed(account, chain_id, nonce))
    }

    #[test]
    fn all_that_was_signed_survives_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let account = Account::generate();
        let (intent, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let mut attempts = attempts(&account, 7, 3);
        let bumped = TxEip1559 { max_fee_per_gas: 9, ..attempts.newest().tx().clone() };
        let signature = account.sign_hash(bumped.signature_hash());
        attempts.add(bumped.into_signed(signature));

        let hashes = |attempts: &Attempts| attempts.newest_first().map(|v| *v.hash()).collect::<Vec<_>>();
        let journal = Journal::in_directory(dir.path(), account.address(), 7).expect("opens");
        assert!(journal.load(intent).expect("reads").is_none());
        journal.save(intent, &attempts).expect("writes");

        let again = Journal::in_directory(dir.path(), account.address(), 7).expect("opens");
        let read = again.load(intent).expect("reads").expect("is there");
        assert_eq!(hashes(&read), hashes(&attempts));
        assert_eq!((read.raw(), read.nonce(), read.refused()), (attempts.raw(), 3, false));
        assert!(again.load(other).expect("reads").is_none());

        // Under another nonce as well, with the earlier ones.
        let mut more = Attempts::after(Some(read), signed(&account, 7, 4));
        more.refuse();
        again.save(intent, &more).expect("writes");
        let read = again.load(intent).expect("reads").expect("is there");
        assert_eq!(hashes(&read)[1..], hashes(&attempts));
        assert_eq!((read.nonce(), read.refused()), (4, true));
    }

    #[test]
    fn an_entry_of_an_earlier_release_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let account = Account::generate();
        let journal = Journal::in_directory(dir.path(), account.address(), 7).expect("opens");
        let (intent, version) = (B256::repeat_byte(1), signed(&account, 7, 3));
        let path = dir.path().join("7").join(account.address().to_string()).join(format!("{intent}.json"));
        fs::write(path, format!(r#"{{"transactions":["{}"]}}"#, encoded(&version))).expect("writes");
        let read = journal.load(intent).expect("reads").expect("is there");
        assert!(read.find(*version.hash()).is_some() && !read.refused());
    }

    #[test]
    fn another_accounts_or_a_broken_entry_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let (account, stranger) = (Account::generate(), Account::generate());
        let journal = Journal::in_directory(dir.path(), account.address(), 7).expect("opens");
        let intent = B256::repeat_byte(1);
        for wrong in [attempts(&stranger, 7, 3), attempts(&account, 8, 3)] {
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
