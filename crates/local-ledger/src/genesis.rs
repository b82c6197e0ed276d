//! The first block: what a ledger begins with, given by its owner as data.
//!
//! Owns the random chain id, the fixed parameters of the chain and the funded accounts of development mode.
//! Knows no contract: whoever opens a ledger says which code and storage lie where.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, address, keccak256};
use rand::Rng;

use crate::store::{Account, Changes, NewBlock};
use crate::writer::seal;

/// Gas of all transactions in a block, at most (mainnet's figure of late 2025).
pub const BLOCK_GAS_LIMIT: u64 = 60_000_000;

/// Gas limit of one transaction, at most (EIP-7825).
pub const TRANSACTION_GAS_LIMIT: u64 = 1 << 24;

/// Base fee of every block, in wei per gas: 1 gwei.
///
/// It does not move with load as EIP-1559 would have it: a private ledger has nobody to crowd out, and a fee that
/// cannot rise never strands a transaction that was taken in. It is burned; a tip is not needed.
pub const BASE_FEE: u64 = 1_000_000_000;

/// The accounts that development mode funds, the ten of the well-known mnemonic
/// "test test test test test test test test test test test junk". Everybody has their keys.
pub const DEVELOPMENT_ACCOUNTS: [Address; 10] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

/// What each development account holds at genesis: 10,000 ether, in wei.
const DEVELOPMENT_BALANCE: u128 = 10_000 * 10u128.pow(18);

/// What an account holds at genesis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// In wei.
    pub balance: U256,
    /// 1 is usual for a contract (EIP-161).
    pub nonce: u64,
    /// Runtime code, not a constructor; empty for none.
    pub code: Bytes,
    /// Slots other than zero.
    pub storage: BTreeMap<U256, U256>,
}

/// The state that a new ledger begins with. A ledger that exists already keeps the one it was made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Genesis {
    /// Accounts by address; everything else is empty.
    pub accounts: BTreeMap<Address, GenesisAccount>,
}

/// A chain id that no public chain has and every client can hold: at least 2^40, and small enough that wallets in
/// JavaScript, which count in doubles and need 2 x id + 36 exact, take it (MetaMask's limit).
pub(crate) fn draw_chain_id() -> u64 {
    rand::rng().random_range(1 << 40..=4_503_599_627_370_476)
}

/// Block 0 with the state of `genesis`, and the development accounts if asked for.
pub(crate) fn block(
    genesis: &Genesis,
    development: bool,
    incarnation: [u8; 16],
    timestamp_s: u64,
) -> NewBlock {
    let mut accounts = genesis.accounts.clone();
    if development {
        for address in DEVELOPMENT_ACCOUNTS {
            let account = accounts.entry(address).or_default();
            account.balance = account.balance.saturating_add(U256::from(DEVELOPMENT_BALANCE));
        }
    }
    let mut changes = Changes::default();
    for (address, account) in accounts {
        let code_hash = if account.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&account.code) };
        let record = Account { nonce: account.nonce, balance: account.balance, code_hash };
        changes.set_account(address, Some(&record));
        for (slot, value) in account.storage.into_iter().filter(|(_, value)| !value.is_zero()) {
            changes.set_slot(address, slot, value);
        }
        if !account.code.is_empty() {
            changes.add_code(account.code);
        }
    }
    changes.sort();
    let mut header = empty_header(incarnation);
    header.timestamp = timestamp_s;
    header.state_root = changes.digest(B256::ZERO);
    seal(header, Vec::new(), Vec::new(), changes)
}

/// A header with all that is the same in every block.
pub(crate) fn empty_header(incarnation: [u8; 16]) -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        gas_limit: BLOCK_GAS_LIMIT,
        base_fee_per_gas: Some(BASE_FEE),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        extra_data: Bytes::copy_from_slice(&incarnation),
        ..Header::default()
    }
}
