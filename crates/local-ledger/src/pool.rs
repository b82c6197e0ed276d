//! What may become part of a block: admission of raw transactions, and the queue of those that came early.
//!
//! A transaction whose nonce is the next goes into the next block. One with a later nonce waits in the queue, which
//! is on disk before anybody is told that it was taken, or is refused; no crash and no restart takes it away (LED-1).
//! It leaves the queue into a block, or because another transaction with its nonce did, or replaced by a better paying
//! one, or displaced.
//!
//! Displaced, because the queue has an end and whoever reaches the ledger may write to it: a transaction is taken only if
//! its sender can pay for it now, and when the queue is full, what can wait least well makes room for what can wait
//! better: first what its sender could not pay for together with all that he has waiting before it, then what is
//! farthest from its turn. As in every node's pool, then, an acknowledged transaction with a later nonce is a promise to
//! run it in its turn if there is room until then; `eth_getTransactionByHash` says whether it still waits.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::Transaction as _;
use alloy_consensus::transaction::{Recovered, SignerRecoverable};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_evm::IntoTxEnv;
use alloy_primitives::{Address, B256, U256};
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

/// Bytes of all transactions that may wait, as they are encoded.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

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
    #[error(
        "txpool is full: {QUEUE_PER_SENDER_MAX} transactions of this sender wait for an earlier nonce; send that first"
    )]
    SenderFull,
    #[error(
        "txpool is full: others wait for an earlier nonce and are nearer to their turn or better paid for, \
        {QUEUE_MAX} transactions or {} MiB of them; send the earlier nonce first", QUEUE_BYTES_MAX >> 20
    )]
    QueueFull,
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

/// What an account can do now.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    /// The nonce of its next transaction.
    pub(crate) next_nonce: u64,
    /// In wei.
    pub(crate) balance: U256,
}

/// The most that a transaction can take from its sender, in wei.
fn cost(tx: &Transaction) -> U256 {
    let gas = U256::from(tx.gas_limit()).saturating_mul(U256::from(tx.max_fee_per_gas()));
    gas.saturating_add(tx.value())
}

/// Sender and nonce.
type Key = (Address, u64);

/// The transactions that wait for an earlier nonce, as the writer holds them; the store has the same.
pub(crate) struct Queue {
    waiting: BTreeMap<Key, Recovered<Transaction>>,
    /// Of all of them, as they are encoded.
    bytes: usize,
    /// Senders whose account changed, so that their first transaction may be able to run.
    stirred: BTreeSet<Address>,
}

impl Queue {
    pub(crate) fn new(stored: Vec<Recovered<Transaction>>) -> Self {
        let stirred = stored.iter().map(|tx| tx.signer()).collect();
        let bytes = stored.iter().map(|tx| tx.encode_2718_len()).sum();
        let waiting = stored.into_iter().map(|tx| ((tx.signer(), tx.nonce()), tx)).collect();
        Self { waiting, bytes, stirred }
    }

    /// Takes a transaction with a later nonce, or says why not.
    ///
    /// # Errors
    /// What `standing` fails with, which tells of any account; then nothing has changed.
    pub(crate) fn add<E>(
        &mut self,
        tx: Recovered<Transaction>,
        mut standing: impl FnMut(Address) -> Result<Standing, E>,
    ) -> Result<Result<Vec<QueueChange>, SubmitError>, E> {
        let key = (tx.signer(), tx.nonce());
        let known = self.waiting.get(&key);
        if known.is_some_and(|known| known.tx_hash() == tx.tx_hash()) {
            return Ok(Err(SubmitError::AlreadyKnown));
        }
        let (fee, balance) = (cost(&tx), standing(key.0)?.balance);
        if fee > balance {
            let (fee, balance) = (Box::new(fee), Box::new(balance));
            return Ok(Err(InvalidTransaction::LackOfFundForMaxFee { fee, balance }.into()));
        }
        if let Some(known) = known {
            let bumped = |fee: u128| fee.saturating_add(fee.saturating_mul(REPLACEMENT_BUMP_PERCENT) / 100);
            let tip = |tx: &Transaction| tx.max_priority_fee_per_gas().unwrap_or(tx.max_fee_per_gas());
            if tx.max_fee_per_gas() < bumped(known.max_fee_per_gas()) || tip(&tx) < bumped(tip(known)) {
                return Ok(Err(SubmitError::Underpriced));
            }
        } else if self.of(key.0).count() >= QUEUE_PER_SENDER_MAX {
            return Ok(Err(SubmitError::SenderFull));
        }
        let Some(displaced) = self.displaced_by(&tx, standing)? else {
            return Ok(Err(SubmitError::QueueFull));
        };
        let mut changes: Vec<_> = displaced.into_iter().map(|key| self.remove(key)).collect();
        self.bytes += tx.encode_2718_len();
        if let Some(replaced) = self.waiting.insert(key, tx.clone()) {
            self.bytes -= replaced.encode_2718_len();
        }
        changes.push(QueueChange::Add(Box::new(tx)));
        Ok(Ok(changes))
    }

    /// What makes room for a new transaction, if anything must; `None` when nothing can wait less well than it.
    fn displaced_by<E>(
        &self,
        new: &Recovered<Transaction>,
        mut standing: impl FnMut(Address) -> Result<Standing, E>,
    ) -> Result<Option<Vec<Key>>, E> {
        let new_key = (new.signer(), new.nonce());
        let replaced = self.waiting.get(&new_key);
        let mut count = self.waiting.len() + usize::from(replaced.is_none());
        let mut bytes = self.bytes + new.encode_2718_len() - replaced.map_or(0, |tx| tx.encode_2718_len());
        let fits = |count: usize, bytes: usize| count <= QUEUE_MAX && bytes <= QUEUE_BYTES_MAX;
        if fits(count, bytes) {
            return Ok(Some(Vec::new()));
        }

        let mut all: BTreeMap<Key, &Recovered<Transaction>> =
            self.waiting.iter().map(|(key, tx)| (*key, tx)).collect();
        all.insert(new_key, new);
        // How well each can wait: whether it is paid for, how far it is from its turn, and of equals, who came first.
        let mut ranked = Vec::with_capacity(all.len());
        let mut sender: Option<(Address, Standing, U256)> = None;
        for (key, tx) in all {
            let (_, account, spent) = match &mut sender {
                Some(same) if same.0 == key.0 => same,
                other => other.insert((key.0, standing(key.0)?, U256::ZERO)),
            };
            *spent = spent.saturating_add(cost(tx));
            let distance = key.1.saturating_sub(account.next_nonce);
            ranked.push(((*spent > account.balance, distance, key == new_key), key, tx.encode_2718_len()));
        }
        ranked.sort_unstable_by_key(|(rank, key, _)| (*rank, *key));
        let mut displaced = Vec::new();
        while !fits(count, bytes)
            && let Some((_, worst, size)) = ranked.pop()
        {
            if worst == new_key {
                return Ok(None);
            }
            displaced.push(worst);
            count -= 1;
            bytes -= size;
        }
        Ok(Some(displaced))
    }

    fn remove(&mut self, key: Key) -> QueueChange {
        if let Some(tx) = self.waiting.remove(&key) {
            self.bytes -= tx.encode_2718_len();
        }
        QueueChange::Remove(key.0, key.1)
    }

    fn of(&self, sender: Address) -> impl Iterator<Item = (&Key, &Recovered<Transaction>)> {
        self.waiting.range((sender, 0)..=(sender, u64::MAX))
    }

    /// The first transaction of a sender.
    pub(crate) fn first(&self, sender: Address) -> Option<&Recovered<Transaction>> {
        self.of(sender).next().map(|(_, tx)| tx)
    }

    /// Drops what can never run again because the sender's next nonce is `next`.
    pub(crate) fn drop_below(&mut self, sender: Address, next: u64) -> Vec<QueueChange> {
        let stale: Vec<_> = self.waiting.range((sender, 0)..(sender, next)).map(|(key, _)| *key).collect();
        stale.into_iter().map(|key| self.remove(key)).collect()
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use alloy_consensus::{SignableTransaction, TxEip1559};
    use alloy_primitives::Signature;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    /// What `paid` of the transactions below can cost.
    fn holding(paid: u64) -> Standing {
        Standing { next_nonce: 10, balance: U256::from(paid * 21_000) * U256::from(BASE_FEE) }
    }

    fn early(sender: u8, nonce: u64, length: usize, fee: u64) -> Recovered<Transaction> {
        let tx = TxEip1559 {
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: u128::from(BASE_FEE) * u128::from(fee),
            max_priority_fee_per_gas: u128::from(fee),
            input: vec![0; length].into(),
            ..TxEip1559::default()
        };
        let signed = Transaction::from(tx.into_signed(Signature::test_signature()));
        Recovered::new_unchecked(signed, Address::with_last_byte(sender))
    }

    /// Adds, every account holding the same.
    fn add(
        queue: &mut Queue,
        tx: Recovered<Transaction>,
        all: Standing,
    ) -> Result<Vec<QueueChange>, SubmitError> {
        let Ok(added) = queue.add(tx, |_| Ok::<_, Infallible>(all));
        added
    }

    fn keys(queue: &Queue) -> Vec<(u8, u64)> {
        queue.waiting.keys().map(|(sender, nonce)| (sender[19], *nonce)).collect()
    }

    /// A full queue: of 16 senders the nonces from 11 on.
    fn full() -> Queue {
        let mut queue = Queue::new(Vec::new());
        for sender in 0..16 {
            for nonce in 11..75 {
                add(&mut queue, early(sender, nonce, 0, 1), holding(64)).unwrap();
            }
        }
        assert_eq!(queue.waiting.len(), QUEUE_MAX);
        queue
    }

    #[test]
    fn what_is_farthest_from_its_turn_makes_room_first() {
        let mut queue = full();
        let before = keys(&queue);
        let refused = add(&mut queue, early(20, 74, 0, 1), holding(64));
        assert!(matches!(refused, Err(SubmitError::QueueFull)), "of equals, who came first stays");
        let refused = add(&mut queue, early(20, 1000, 0, 1), holding(64));
        assert!(matches!(refused, Err(SubmitError::QueueFull)));
        assert_eq!(keys(&queue), before);
        let changes = add(&mut queue, early(20, 73, 0, 1), holding(64)).unwrap();
        assert!(matches!(&changes[..], [QueueChange::Remove(_, 74), QueueChange::Add(_)]));
        assert_eq!(queue.waiting.len(), QUEUE_MAX);
    }

    #[test]
    fn what_its_sender_cannot_pay_for_with_all_before_it_makes_room_first() {
        let mut queue = full();
        // Sender 3 spent what it had but for five of its transactions: the sixth is nearer than others, and goes first.
        let held = |sender: Address| Ok::<_, Infallible>(holding(if sender[19] == 3 { 5 } else { 64 }));
        for nonce in (16..75).rev() {
            let Ok(added) = queue.add(early(20, nonce, 0, 1), held);
            assert!(matches!(added.unwrap()[..], [QueueChange::Remove(_, gone), _] if gone == nonce));
        }
        assert_eq!(keys(&queue).iter().filter(|key| key.0 == 3).count(), 5);
        // One that is near its turn but comes after more than its sender can pay for.
        let Ok(added) = queue.add(early(3, 16, 0, 1), held);
        assert!(matches!(added, Err(SubmitError::QueueFull)));
    }

    #[test]
    fn bytes_are_bounded_whatever_the_count() {
        let mut queue = Queue::new(Vec::new());
        let mut taken = 0;
        for sender in 0..4 {
            for nonce in 11..75 {
                taken += usize::from(add(&mut queue, early(sender, nonce, 127_900, 1), holding(64)).is_ok());
                assert!(queue.bytes <= QUEUE_BYTES_MAX);
            }
        }
        assert!(taken > 131 && queue.waiting.len() == 131, "{taken} taken, {} wait", queue.waiting.len());
        // One that is replaced by a longer one counts as that.
        let mut queue = Queue::new((0..131).map(|i| early(i, 11, 127_900, 1)).collect());
        add(&mut queue, early(200, 12, 8, 1), holding(64)).unwrap();
        let refused = add(&mut queue, early(200, 12, 127_900, 2), holding(64));
        assert!(matches!(refused, Err(SubmitError::QueueFull)));
        assert_eq!(queue.waiting.len(), 132);
        // Several short ones for a long one.
        let mut queue = Queue::new((0..130).map(|i| early(i, 11, 127_900, 1)).collect());
        for nonce in 20..80 {
            add(&mut queue, early(200, nonce, 2_000, 1), holding(64)).unwrap();
        }
        let changes = add(&mut queue, early(201, 12, 120_000, 1), holding(64)).unwrap();
        assert!(changes.len() > 2 && queue.waiting.len() > 131);
        assert!(queue.bytes <= QUEUE_BYTES_MAX);
    }

    /// The store holds what the changes say, the queue holds the same, and counts it right.
    #[test]
    fn led_1_changes_say_what_the_queue_holds() {
        let mut rng = StdRng::seed_from_u64(11);
        let mut queue = Queue::new(Vec::new());
        let mut stored: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
        for _ in 0..5_000 {
            let (sender, nonce, paid) =
                (rng.random_range(0..8), rng.random_range(10..75), rng.random_range(0..70));
            let changes = if nonce == 10 {
                queue.drop_below(Address::with_last_byte(sender), 10 + paid / 5)
            } else {
                let length = [0, 40_000, 127_900][rng.random_range(0..3)];
                let tx = early(sender, nonce, length, rng.random_range(1..4));
                add(&mut queue, tx, holding(paid)).unwrap_or_default()
            };
            for change in changes {
                match change {
                    QueueChange::Add(tx) => {
                        stored.insert((tx.signer(), tx.nonce()), tx.encoded_2718());
                    }
                    QueueChange::Remove(sender, nonce) => {
                        assert!(stored.remove(&(sender, nonce)).is_some());
                    }
                }
            }
            assert_eq!(queue.waiting.len(), stored.len());
            assert_eq!(queue.bytes, stored.values().map(Vec::len).sum::<usize>());
            assert!(queue.bytes <= QUEUE_BYTES_MAX);
        }
        let held: BTreeMap<Key, Vec<u8>> =
            queue.waiting.iter().map(|(key, tx)| (*key, tx.encoded_2718())).collect();
        assert_eq!(held, stored);
        assert!(queue.bytes > QUEUE_BYTES_MAX / 2, "it was hardly used");
    }
}
