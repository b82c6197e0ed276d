//! What may become part of a block: admission of raw transactions, and the queue of those that came early.
//!
//! A transaction whose nonce is the next goes into the next block. One with a later nonce waits in the queue, which
//! is on disk before anybody is told that it was taken, or is refused; none is acknowledged and forgotten. It leaves
//! the queue into a block, or because another transaction with its nonce did, or replaced by a better paying one.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::Transaction as _;
use alloy_consensus::transaction::{Recovered, SignerRecoverable};
use alloy_eips::eip2718::Decodable2718;
use alloy_evm::IntoTxEnv;
use alloy_primitives::{Address, B256};
use revm::context::TxEnv;
use revm::context::result::InvalidTransaction;
use revm::handler::validation::validate_initial_tx_gas;

use crate::evm::{SPEC, invalid_text};
use crate::genesis::{BASE_FEE, TRANSACTION_GAS_LIMIT};
use crate::store::{QueueChange, Transaction};

/// A raw transaction in bytes, at most (geth's figure).
const TRANSACTION_BYTES_MAX: usize = 128 * 1024;

/// Transactions of one sender that may wait.
const QUEUE_PER_SENDER_MAX: usize = 64;

/// Transactions that may wait in all.
const QUEUE_MAX: usize = 1024;

/// What a better paying transaction must add to the fees of the one it replaces, in percent (geth's figure).
const REPLACEMENT_BUMP_PERCENT: u128 = 10;

/// Why a transaction was not taken; nothing of it is kept. The first words are those of geth, which clients know.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    #[error("transaction does not decode: {0}")]
    Undecodable(String),
    #[error("transaction of {found} bytes is over the limit of {TRANSACTION_BYTES_MAX}")]
    TooLong { found: usize },
    #[error("blob transactions (type 3) are not served by this ledger")]
    Blob,
    #[error("only replay-protected (EIP-155) transactions allowed: sign with chain id {chain_id}")]
    Unprotected { chain_id: u64 },
    #[error("invalid chain id for signer: have {found} want {chain_id}")]
    OtherChain { found: u64, chain_id: u64 },
    #[error("invalid sender: the signature recovers to nobody")]
    Signature,
    #[error("gas limit of {found} is over the limit of a transaction, {TRANSACTION_GAS_LIMIT} (EIP-7825)")]
    GasLimit { found: u64 },
    #[error("max fee per gas less than block base fee: maxFeePerGas {found}, baseFee {BASE_FEE}")]
    FeeTooLow { found: u128 },
    #[error("{}", invalid_text(.0))]
    Invalid(#[from] InvalidTransaction),
    #[error("already known")]
    AlreadyKnown,
    #[error("replacement transaction underpriced: raise both fees by {REPLACEMENT_BUMP_PERCENT}%")]
    Underpriced,
    #[error("txpool is full: {limit} transactions {of} wait for an earlier nonce; send that first")]
    QueueFull { limit: usize, of: &'static str },
    #[error("the ledger takes no more transactions: {0}; put it right and start the ledger again")]
    Stopped(String),
}

/// Decodes a raw transaction and checks all that does not depend on the state.
pub(crate) fn admit(raw: &[u8], chain_id: u64) -> Result<Recovered<Transaction>, SubmitError> {
    if raw.len() > TRANSACTION_BYTES_MAX {
        return Err(SubmitError::TooLong { found: raw.len() });
    }
    if raw.first() == Some(&3) {
        return Err(SubmitError::Blob);
    }
    let tx = Transaction::decode_2718_exact(raw).map_err(|e| SubmitError::Undecodable(e.to_string()))?;
    match tx.chain_id() {
        None => return Err(SubmitError::Unprotected { chain_id }),
        Some(found) if found != chain_id => return Err(SubmitError::OtherChain { found, chain_id }),
        Some(_) => {}
    }
    if tx.gas_limit() > TRANSACTION_GAS_LIMIT {
        return Err(SubmitError::GasLimit { found: tx.gas_limit() });
    }
    if tx.max_fee_per_gas() < BASE_FEE.into() {
        return Err(SubmitError::FeeTooLow { found: tx.max_fee_per_gas() });
    }
    if tx.max_priority_fee_per_gas().is_some_and(|tip| tip > tx.max_fee_per_gas()) {
        return Err(InvalidTransaction::PriorityFeeGreaterThanMaxFee.into());
    }
    if tx.nonce() == u64::MAX {
        return Err(InvalidTransaction::NonceOverflowInTransaction.into());
    }
    if tx.is_create() && tx.input().len() > revm::primitives::eip3860::MAX_INITCODE_SIZE {
        return Err(InvalidTransaction::CreateInitCodeSizeLimit.into());
    }
    if tx.authorization_list().is_some_and(<[_]>::is_empty) {
        return Err(InvalidTransaction::EmptyAuthorizationList.into());
    }
    let tx = tx.try_into_recovered().map_err(|_| SubmitError::Signature)?;
    // What waits in the queue must be runnable one day, so its gas is checked here and not only when it runs.
    let env: TxEnv = (&tx).into_tx_env();
    validate_initial_tx_gas(&env, SPEC, false, false, TRANSACTION_GAS_LIMIT, None)?;
    Ok(tx)
}

/// The transactions that wait for an earlier nonce, as the writer holds them; the store has the same.
pub(crate) struct Queue {
    waiting: BTreeMap<(Address, u64), Recovered<Transaction>>,
    /// Senders whose account changed, so that their first transaction may be able to run.
    stirred: BTreeSet<Address>,
}

impl Queue {
    pub(crate) fn new(stored: Vec<Recovered<Transaction>>) -> Self {
        let stirred = stored.iter().map(|tx| tx.signer()).collect();
        let waiting = stored.into_iter().map(|tx| ((tx.signer(), tx.nonce()), tx)).collect();
        Self { waiting, stirred }
    }

    /// Takes a transaction with a later nonce, or says why not.
    pub(crate) fn add(&mut self, tx: Recovered<Transaction>) -> Result<QueueChange, SubmitError> {
        let key = (tx.signer(), tx.nonce());
        if let Some(known) = self.waiting.get(&key) {
            if known.tx_hash() == tx.tx_hash() {
                return Err(SubmitError::AlreadyKnown);
            }
            let bumped = |fee: u128| fee.saturating_add(fee.saturating_mul(REPLACEMENT_BUMP_PERCENT) / 100);
            let tip = |tx: &Transaction| tx.max_priority_fee_per_gas().unwrap_or(tx.max_fee_per_gas());
            if tx.max_fee_per_gas() < bumped(known.max_fee_per_gas()) || tip(&tx) < bumped(tip(known)) {
                return Err(SubmitError::Underpriced);
            }
        } else if self.waiting.len() >= QUEUE_MAX {
            return Err(SubmitError::QueueFull { limit: QUEUE_MAX, of: "in all" });
        } else if self.of(key.0).count() >= QUEUE_PER_SENDER_MAX {
            return Err(SubmitError::QueueFull { limit: QUEUE_PER_SENDER_MAX, of: "of this sender" });
        }
        self.waiting.insert(key, tx.clone());
        Ok(QueueChange::Add(Box::new(tx)))
    }

    fn of(&self, sender: Address) -> impl Iterator<Item = (&(Address, u64), &Recovered<Transaction>)> {
        self.waiting.range((sender, 0)..=(sender, u64::MAX))
    }

    /// The first transaction of a sender.
    pub(crate) fn first(&self, sender: Address) -> Option<&Recovered<Transaction>> {
        self.of(sender).next().map(|(_, tx)| tx)
    }

    /// Drops what can never run again because the sender's next nonce is `next`.
    pub(crate) fn drop_below(&mut self, sender: Address, next: u64) -> Vec<QueueChange> {
        let stale: Vec<_> = self.waiting.range((sender, 0)..(sender, next)).map(|(key, _)| *key).collect();
        stale
            .into_iter()
            .map(|key| {
                self.waiting.remove(&key);
                QueueChange::Remove(key.0, key.1)
            })
            .collect()
    }

    /// Remembers that the account changed, if the queue has anything of it.
    pub(crate) fn stir(&mut self, account: Address) {
        if self.first(account).is_some() {
            self.stirred.insert(account);
        }
    }

    /// Takes the senders to be looked at again.
    pub(crate) fn take_stirred(&mut self) -> BTreeSet<Address> {
        std::mem::take(&mut self.stirred)
    }

    pub(crate) fn has_stirred(&self) -> bool {
        !self.stirred.is_empty()
    }
}

/// The hash under which a transaction is asked for.
pub(crate) fn hash(tx: &Recovered<Transaction>) -> B256 {
    *tx.inner().tx_hash()
}
