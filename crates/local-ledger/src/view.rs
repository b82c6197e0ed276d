//! The state after one block, as the EVM reads it.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::state::AccountInfo;

use crate::store::{Snapshot, StoreError};

/// Reads a [`Snapshot`] at block `at`; writes go nowhere but into the EVM's own cache.
pub(crate) struct View {
    snapshot: Arc<Snapshot>,
    at: u64,
}

impl View {
    /// `at` is at most the newest block of the snapshot.
    pub(crate) fn new(snapshot: Arc<Snapshot>, at: u64) -> Self {
        Self { snapshot, at }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("at", &self.at).finish_non_exhaustive()
    }
}

impl revm::Database for View {
    type Error = StoreError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StoreError> {
        Ok(self.snapshot.account(address, self.at)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            ..AccountInfo::default().without_code()
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, StoreError> {
        let code = self.snapshot.code(hash)?;
        Bytecode::new_raw_checked(code).map_err(|_| StoreError::Corrupt { what: "a contract's code" })
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StoreError> {
        self.snapshot.slot(address, slot, self.at)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StoreError> {
        // The EVM asks only for the last 256 before the block it runs; zero is its word for "none".
        let known = (number <= self.at).then(|| self.snapshot.block(number)).transpose()?.flatten();
        Ok(known.map_or(B256::ZERO, |block| block.hash))
    }
}
