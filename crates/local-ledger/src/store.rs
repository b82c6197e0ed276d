//! What is on the disk: blocks, transactions, receipts, and every value the state ever had.
//!
//! State is keyed by (what, block), so the state after any block is a range look-up: the newest entry at or below
//! it. Nothing is ever overwritten but the queue and the few words of [`META`]. A block and all it changes go in by
//! one durable commit, so a crash leaves it whole or absent (LED-1). Reads go through a [`Snapshot`], which stays
//! as it is while later blocks are written.
//!
//! There is no state trie, so no proofs: a block's `stateRoot` is a running digest of all changes up to it, and
//! two ledgers with the same blocks have the same one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{EthereumTxEnvelope, Header, TxEip4844};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Log, U256, keccak256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use revm::database::BundleState;
use revm::database_interface::bal::EvmDatabaseError;

/// A signed transaction of any type this ledger takes (blob transactions are refused on arrival).
pub(crate) type Transaction = EthereumTxEnvelope<TxEip4844>;

/// Where a transaction lies: block number and index, big-endian so that keys sort.
type Place = [u8; 12];

type Table<K> = TableDefinition<'static, K, &'static [u8]>;
const META: Table<&str> = TableDefinition::new("meta");
const ACCOUNTS: Table<&[u8; 28]> = TableDefinition::new("accounts");
const STORAGE: Table<&[u8; 60]> = TableDefinition::new("storage");
const CODE: Table<&[u8; 32]> = TableDefinition::new("code");
const BLOCKS: Table<u64> = TableDefinition::new("blocks");
const BLOCK_NUMBERS: TableDefinition<'static, &[u8; 32], u64> = TableDefinition::new("block_numbers");
const TRANSACTIONS: Table<&[u8; 12]> = TableDefinition::new("transactions");
const RECEIPTS: Table<&[u8; 12]> = TableDefinition::new("receipts");
const PLACES: TableDefinition<'static, &[u8; 32], &'static [u8; 12]> = TableDefinition::new("places");
const LOGS: TableDefinition<'static, &[u8; 32], ()> = TableDefinition::new("logs");
const QUEUE: Table<&[u8; 28]> = TableDefinition::new("queue");

/// A read or a write of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not do it: out of space, unreadable, or its checksums do not hold.
    #[error("the ledger's store failed: {0}")]
    Database(#[source] Box<redb::Error>),
    /// A value that is stored is not what was written there.
    #[error(
        "the ledger's store is corrupt: {what} does not decode; restore the data directory from a backup"
    )]
    Corrupt {
        /// What was being read.
        what: &'static str,
    },
    /// The file system refused a question about the store's own file.
    #[error("the ledger's store failed: {0}")]
    Io(#[from] std::io::Error),
}

impl revm::context::DBErrorMarker for StoreError {}

impl From<EvmDatabaseError<StoreError>> for StoreError {
    fn from(e: EvmDatabaseError<StoreError>) -> Self {
        match e {
            EvmDatabaseError::Database(e) => e,
            EvmDatabaseError::Bal(_) => Self::Corrupt { what: "a list of accesses, which no block here has" },
        }
    }
}

/// Each step of a transaction has an error type of its own; they are one thing to whoever reads the message.
macro_rules! from_redb {
    ($($step:ident),*) => {$(
        impl From<redb::$step> for StoreError {
            fn from(e: redb::$step) -> Self {
                Self::Database(Box::new(e.into()))
            }
        }
    )*};
}
from_redb!(DatabaseError, TransactionError, TableError, StorageError, CommitError);

/// What an account holds, without its storage.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) code_hash: B256,
}

/// A block without its transactions.
#[derive(Clone, Debug, RlpEncodable, RlpDecodable)]
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) hash: B256,
    /// RLP length of the whole block, in bytes.
    pub(crate) size: u64,
    pub(crate) transactions: u64,
}

/// What a transaction did.
#[derive(Clone, Debug, RlpEncodable, RlpDecodable)]
pub(crate) struct Receipt {
    pub(crate) success: bool,
    pub(crate) gas_used: u64,
    /// Up to and with this transaction, in its block.
    pub(crate) cumulative_gas_used: u64,
    /// Index in the block of the first of `logs`.
    pub(crate) first_log: u64,
    pub(crate) logs: Vec<Log>,
}

/// What a block does to the state, sorted, so that its digest is the same wherever it is computed.
#[derive(Default, RlpEncodable)]
pub(crate) struct Changes {
    accounts: Vec<AccountChange>,
    slots: Vec<SlotChange>,
    code: Vec<Bytes>,
}

#[derive(RlpEncodable)]
struct AccountChange {
    address: Address,
    /// Empty when the account is gone.
    account: Bytes,
}

#[derive(RlpEncodable)]
struct SlotChange {
    address: Address,
    slot: U256,
    value: U256,
}

impl Changes {
    pub(crate) fn set_account(&mut self, address: Address, account: Option<&Account>) {
        let account = account.map(alloy_rlp::encode).unwrap_or_default().into();
        self.accounts.push(AccountChange { address, account });
    }

    pub(crate) fn set_slot(&mut self, address: Address, slot: U256, value: U256) {
        self.slots.push(SlotChange { address, slot, value });
    }

    pub(crate) fn add_code(&mut self, code: Bytes) {
        self.code.push(code);
    }

    /// What the transactions of a block left behind.
    pub(crate) fn from_bundle(bundle: BundleState) -> Self {
        let mut changes = Self::default();
        for (address, account) in &bundle.state {
            if account.is_info_changed() {
                let now = account.info.as_ref().map(|info| Account {
                    nonce: info.nonce,
                    balance: info.balance,
                    code_hash: info.code_hash,
                });
                changes.set_account(*address, now.as_ref());
            }
            for (slot, value) in account.storage.iter().filter(|(_, v)| v.is_changed()) {
                changes.set_slot(*address, *slot, value.present_value);
            }
        }
        changes.code = bundle.contracts.values().map(|code| code.original_bytes()).collect();
        changes.sort();
        changes
    }

    pub(crate) fn sort(&mut self) {
        self.accounts.sort_by_key(|c| c.address);
        self.slots.sort_by_key(|c| (c.address, c.slot));
        self.code.sort();
    }

    /// The running digest of all changes: of those up to the parent, and these.
    pub(crate) fn digest(&self, parent: B256) -> B256 {
        let mut bytes = parent.to_vec();
        self.encode(&mut bytes);
        keccak256(bytes)
    }

    /// The accounts whose nonce, balance or code changed.
    pub(crate) fn touched(&self) -> impl Iterator<Item = Address> + '_ {
        self.accounts.iter().map(|c| c.address)
    }
}

/// A block that is ready to be written.
pub(crate) struct NewBlock {
    pub(crate) block: Block,
    pub(crate) transactions: Vec<Recovered<Transaction>>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) changes: Changes,
}

/// One change of the queue of transactions that wait for an earlier nonce.
pub(crate) enum QueueChange {
    Add(Box<Recovered<Transaction>>),
    Remove(Address, u64),
}

/// Facts about the ledger as a whole, drawn at genesis or at an opening.
#[derive(Clone, Debug, RlpEncodable, RlpDecodable)]
pub(crate) struct Facts {
    pub(crate) chain_id: u64,
    pub(crate) development: bool,
    /// Drawn anew when the ledger is found to be a restored copy; written into every block.
    pub(crate) incarnation: [u8; 16],
    /// Identity of the store's file, see `home.rs`.
    pub(crate) mark: [u8; 16],
    /// Seconds by which development mode has put the clock forward.
    pub(crate) clock_ahead_s: u64,
}

/// The key in [`QUEUE`] of each transaction that waits, by its hash: who asks for a hash that is not known must not have
/// the whole queue read.
type QueueIndex = HashMap<B256, [u8; 28]>;

/// The open store; the writer owns it, everyone else reads through snapshots.
pub(crate) struct Store {
    db: Database,
    /// As of the last commit. Held in memory, for it is short and follows from the queue; shared with the snapshots.
    queued: Arc<QueueIndex>,
}

impl Store {
    /// Opens an existing store after checking every page of it against its checksum.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut db = Database::open(path)?;
        if !db.check_integrity()? {
            tracing::warn!(path = %path.display(), "the store was repaired after a crash");
        }
        let mut queued = QueueIndex::new();
        for entry in db.begin_read()?.open_table(QUEUE)?.range::<&[u8; 28]>(..)? {
            let (key, bytes) = entry?;
            queued.insert(keccak256(bytes.value()), *key.value());
        }
        Ok(Self { db, queued: Arc::new(queued) })
    }

    /// Makes a store that holds the genesis block.
    pub(crate) fn create(path: &Path, facts: &Facts, genesis: &NewBlock) -> Result<Self, StoreError> {
        let store = Self { db: Database::create(path)?, queued: Arc::default() };
        let txn = store.db.begin_write()?;
        put_facts(&txn, facts)?;
        // Readers open every table, also those that stay empty for a while.
        txn.open_table(TRANSACTIONS)?;
        txn.open_table(RECEIPTS)?;
        txn.open_table(PLACES)?;
        txn.open_table(LOGS)?;
        txn.open_table(QUEUE)?;
        put_block(&txn, genesis)?;
        txn.commit()?;
        Ok(store)
    }

    pub(crate) fn facts(&self) -> Result<Facts, StoreError> {
        let table = self.db.begin_read()?.open_table(META)?;
        let bytes = table.get("facts")?.ok_or(StoreError::Corrupt { what: "the ledger's facts" })?;
        decode(bytes.value(), "the ledger's facts")
    }

    pub(crate) fn set_facts(&mut self, facts: &Facts) -> Result<(), StoreError> {
        let txn = self.db.begin_write()?;
        put_facts(&txn, facts)?;
        Ok(txn.commit()?)
    }

    /// One durable commit: when this returns, a crash takes none of it away.
    pub(crate) fn commit(
        &mut self,
        block: Option<&NewBlock>,
        queue: &[QueueChange],
    ) -> Result<Arc<Snapshot>, StoreError> {
        let txn = self.db.begin_write()?;
        if let Some(block) = block {
            put_block(&txn, block)?;
        }
        let mut queued = self.queued.clone();
        if !queue.is_empty() {
            let mut table = txn.open_table(QUEUE)?;
            let index = Arc::make_mut(&mut queued);
            for change in queue {
                match change {
                    QueueChange::Add(tx) => {
                        let key = account_key(tx.signer(), alloy_consensus::Transaction::nonce(tx.inner()));
                        if let Some(replaced) = table.insert(&key, tx.inner().encoded_2718().as_slice())? {
                            index.remove(&keccak256(replaced.value()));
                        }
                        index.insert(*tx.inner().tx_hash(), key);
                    }
                    QueueChange::Remove(sender, nonce) => {
                        if let Some(removed) = table.remove(&account_key(*sender, *nonce))? {
                            index.remove(&keccak256(removed.value()));
                        }
                    }
                }
            }
        }
        txn.commit()?;
        self.queued = queued;
        self.snapshot()
    }

    /// The ledger as it is now.
    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        let txn = self.db.begin_read()?;
        let blocks = txn.open_table(BLOCKS)?;
        let head = {
            let (_, bytes) = blocks.last()?.ok_or(StoreError::Corrupt { what: "the list of blocks" })?;
            decode(bytes.value(), "the newest block")?
        };
        Ok(Arc::new(Snapshot {
            head,
            accounts: txn.open_table(ACCOUNTS)?,
            storage: txn.open_table(STORAGE)?,
            code: txn.open_table(CODE)?,
            blocks,
            block_numbers: txn.open_table(BLOCK_NUMBERS)?,
            transactions: txn.open_table(TRANSACTIONS)?,
            receipts: txn.open_table(RECEIPTS)?,
            places: txn.open_table(PLACES)?,
            logs: txn.open_table(LOGS)?,
            queue: txn.open_table(QUEUE)?,
            queued: self.queued.clone(),
        }))
    }
}

fn put_facts(txn: &WriteTransaction, facts: &Facts) -> Result<(), StoreError> {
    txn.open_table(META)?.insert("facts", alloy_rlp::encode(facts).as_slice())?;
    Ok(())
}

fn put_block(txn: &WriteTransaction, new: &NewBlock) -> Result<(), StoreError> {
    let number = new.block.header.number;
    txn.open_table(BLOCKS)?.insert(number, alloy_rlp::encode(&new.block).as_slice())?;
    txn.open_table(BLOCK_NUMBERS)?.insert(&new.block.hash.0, number)?;

    let mut accounts = txn.open_table(ACCOUNTS)?;
    for change in &new.changes.accounts {
        accounts.insert(&account_key(change.address, number), change.account.as_ref())?;
    }
    let mut storage = txn.open_table(STORAGE)?;
    for change in &new.changes.slots {
        let value = change.value.to_be_bytes_trimmed_vec();
        storage.insert(&slot_key(change.address, change.slot, number), value.as_slice())?;
    }
    let mut code = txn.open_table(CODE)?;
    for bytes in &new.changes.code {
        code.insert(&keccak256(bytes).0, bytes.as_ref())?;
    }
    if new.transactions.is_empty() {
        return Ok(());
    }

    let mut transactions = txn.open_table(TRANSACTIONS)?;
    let mut receipts = txn.open_table(RECEIPTS)?;
    let mut places = txn.open_table(PLACES)?;
    let mut logs = txn.open_table(LOGS)?;
    for (index, (tx, receipt)) in new.transactions.iter().zip(&new.receipts).enumerate() {
        let place = place(number, index as u64);
        let mut bytes = tx.signer().to_vec();
        tx.inner().encode_2718(&mut bytes);
        transactions.insert(&place, bytes.as_slice())?;
        receipts.insert(&place, alloy_rlp::encode(receipt).as_slice())?;
        places.insert(&tx.inner().tx_hash().0, &place)?;
        for log in &receipt.logs {
            logs.insert(&log_key(log.address, place), ())?;
        }
    }
    Ok(())
}

/// The ledger as it was when one block was the newest.
pub(crate) struct Snapshot {
    pub(crate) head: Block,
    accounts: ReadOnlyTable<&'static [u8; 28], &'static [u8]>,
    storage: ReadOnlyTable<&'static [u8; 60], &'static [u8]>,
    code: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    blocks: ReadOnlyTable<u64, &'static [u8]>,
    block_numbers: ReadOnlyTable<&'static [u8; 32], u64>,
    transactions: ReadOnlyTable<&'static [u8; 12], &'static [u8]>,
    receipts: ReadOnlyTable<&'static [u8; 12], &'static [u8]>,
    places: ReadOnlyTable<&'static [u8; 32], &'static [u8; 12]>,
    logs: ReadOnlyTable<&'static [u8; 32], ()>,
    queue: ReadOnlyTable<&'static [u8; 28], &'static [u8]>,
    queued: Arc<QueueIndex>,
}

impl Snapshot {
    /// The number of the newest block.
    pub(crate) fn number(&self) -> u64 {
        self.head.header.number
    }

    /// An account after block `at`.
    pub(crate) fn account(&self, address: Address, at: u64) -> Result<Option<Account>, StoreError> {
        let (first, last) = (account_key(address, 0), account_key(address, at));
        match self.accounts.range::<&[u8; 28]>(&first..=&last)?.next_back().transpose()? {
            Some((_, bytes)) if !bytes.value().is_empty() => decode(bytes.value(), "an account").map(Some),
            _ => Ok(None),
        }
    }

    /// A slot of an account's storage after block `at`.
    pub(crate) fn slot(&self, address: Address, slot: U256, at: u64) -> Result<U256, StoreError> {
        let (first, last) = (slot_key(address, slot, 0), slot_key(address, slot, at));
        match self.storage.range::<&[u8; 60]>(&first..=&last)?.next_back().transpose()? {
            Some((_, bytes)) => {
                U256::try_from_be_slice(bytes.value()).ok_or(StoreError::Corrupt { what: "a storage slot" })
            }
            None => Ok(U256::ZERO),
        }
    }

    pub(crate) fn code(&self, hash: B256) -> Result<Bytes, StoreError> {
        if hash == KECCAK256_EMPTY || hash.is_zero() {
            return Ok(Bytes::new());
        }
        let bytes = self.code.get(&hash.0)?.ok_or(StoreError::Corrupt { what: "a contract's code" })?;
        Ok(Bytes::copy_from_slice(bytes.value()))
    }

    pub(crate) fn block(&self, number: u64) -> Result<Option<Block>, StoreError> {
        if number == self.number() {
            return Ok(Some(self.head.clone()));
        }
        self.blocks.get(number)?.map(|bytes| decode(bytes.value(), "a block")).transpose()
    }

    pub(crate) fn block_number(&self, hash: B256) -> Result<Option<u64>, StoreError> {
        Ok(self.block_numbers.get(&hash.0)?.map(|number| number.value()))
    }

    /// Block and index of a transaction.
    pub(crate) fn place(&self, hash: B256) -> Result<Option<(u64, u64)>, StoreError> {
        Ok(self.places.get(&hash.0)?.map(|place| read_place(place.value())))
    }

    pub(crate) fn transaction(
        &self,
        block: u64,
        index: u64,
    ) -> Result<Option<Recovered<Transaction>>, StoreError> {
        self.transactions
            .get(&place(block, index))?
            .map(|bytes| decode_transaction(bytes.value()))
            .transpose()
    }

    pub(crate) fn transactions(&self, block: u64) -> Result<Vec<Recovered<Transaction>>, StoreError> {
        self.transactions
            .range::<&[u8; 12]>(&place(block, 0)..=&place(block, u64::MAX))?
            .map(|entry| decode_transaction(entry?.1.value()))
            .collect()
    }

    pub(crate) fn receipt(&self, block: u64, index: u64) -> Result<Option<Receipt>, StoreError> {
        self.receipts.get(&place(block, index))?.map(|bytes| decode(bytes.value(), "a receipt")).transpose()
    }

    pub(crate) fn receipts(&self, block: u64) -> Result<Vec<Receipt>, StoreError> {
        self.receipts
            .range::<&[u8; 12]>(&place(block, 0)..=&place(block, u64::MAX))?
            .map(|entry| decode(entry?.1.value(), "a receipt"))
            .collect()
    }

    /// Block and index of each transaction in which `address` logged, in order, from block to block inclusive.
    pub(crate) fn log_places(
        &self,
        address: Address,
        from: u64,
        to: u64,
    ) -> Result<impl Iterator<Item = Result<(u64, u64), StoreError>> + use<>, StoreError> {
        let (first, last) = (log_key(address, place(from, 0)), log_key(address, place(to, u64::MAX)));
        let range = self.logs.range::<&[u8; 32]>(&first..=&last)?;
        Ok(range.map(|entry| {
            let (key, ()) = entry.map(|(key, _)| (*key.value(), ()))?;
            Ok(read_place(key[20..].try_into().expect("32 less 20 bytes")))
        }))
    }

    /// All transactions that wait for an earlier nonce.
    pub(crate) fn queued(&self) -> Result<Vec<Recovered<Transaction>>, StoreError> {
        self.queue
            .range::<&[u8; 28]>(..)?
            .map(|entry| {
                let (key, bytes) = entry?;
                decode_queued(key.value(), bytes.value())
            })
            .collect()
    }

    /// A transaction that waits for an earlier nonce, by its hash.
    pub(crate) fn queued_transaction(
        &self,
        hash: B256,
    ) -> Result<Option<Recovered<Transaction>>, StoreError> {
        let Some(key) = self.queued.get(&hash) else { return Ok(None) };
        let bytes = self.queue.get(key)?.ok_or(StoreError::Corrupt { what: "the queue" })?;
        decode_queued(key, bytes.value()).map(Some)
    }

    /// The first nonce from `nonce` on for which no transaction of `sender` waits.
    pub(crate) fn next_free_nonce(&self, sender: Address, mut nonce: u64) -> Result<u64, StoreError> {
        while self.queue.get(&account_key(sender, nonce))?.is_some() {
            nonce += 1;
        }
        Ok(nonce)
    }
}

fn account_key(address: Address, block: u64) -> [u8; 28] {
    let mut key = [0; 28];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&block.to_be_bytes());
    key
}

fn slot_key(address: Address, slot: U256, block: u64) -> [u8; 60] {
    let mut key = [0; 60];
    key[..20].copy_from_slice(address.as_slice());
    key[20..52].copy_from_slice(&slot.to_be_bytes::<32>());
    key[52..].copy_from_slice(&block.to_be_bytes());
    key
}

/// An index past 32 bits stands for "the last": no block holds so many.
fn place(block: u64, index: u64) -> Place {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&block.to_be_bytes());
    key[8..].copy_from_slice(&u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes());
    key
}

fn read_place(place: &Place) -> (u64, u64) {
    let (block, index) = place.split_at(8);
    let index = u32::from_be_bytes(index.try_into().expect("4 bytes"));
    (u64::from_be_bytes(block.try_into().expect("8 bytes")), index.into())
}

fn log_key(address: Address, place: Place) -> [u8; 32] {
    let mut key = [0; 32];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&place);
    key
}

fn decode<T: Decodable>(bytes: &[u8], what: &'static str) -> Result<T, StoreError> {
    alloy_rlp::decode_exact(bytes).map_err(|_| StoreError::Corrupt { what })
}

fn decode_queued(key: &[u8; 28], bytes: &[u8]) -> Result<Recovered<Transaction>, StoreError> {
    let tx = Transaction::decode_2718_exact(bytes)
        .map_err(|_| StoreError::Corrupt { what: "a queued transaction" })?;
    Ok(Recovered::new_unchecked(tx, Address::from_slice(&key[..20])))
}

fn decode_transaction(bytes: &[u8]) -> Result<Recovered<Transaction>, StoreError> {
    let corrupt = || StoreError::Corrupt { what: "a transaction" };
    let (sender, tx) = bytes.split_at_checked(20).ok_or_else(corrupt)?;
    let tx = Transaction::decode_2718_exact(tx).map_err(|_| corrupt())?;
    Ok(Recovered::new_unchecked(tx, Address::from_slice(sender)))
}
