//! Transactions of one account: simulated, signed, sent, and followed until their outcome is known.
//!
//! Owns the account's nonces and what was signed under them. Refuses to send what reverts in simulation, to pay more
//! per gas than the configuration allows, and to sign a second transaction for an intent whose first may still count.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U128, U256};
use alloy_sol_types::SolCall;

use crate::{
    account::Account,
    chain::Chain,
    journal::{Attempt, Journal, JournalError},
    revert::Revert,
    rpc::{CallRequest, Receipt, RpcError},
};

/// Gas above the estimate, in percent: what a transaction finds when it runs may differ from what was simulated.
const GAS_MARGIN_PERCENT: u64 = 20;
/// The most gas that one transaction may ask for (EIP-7825); the margin stops there.
const GAS_MAX: u64 = 1 << 24;
/// How often a nonce may turn out to be taken before a sender gives up: somebody else uses the account then.
const NONCE_TRIES: usize = 16;
/// How long fees that were asked for are used.
const FEES_AGE_MAX: Duration = Duration::from_secs(1);
/// The first pause between two looks for a receipt; each is twice as long, up to the poll interval.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// How long a transaction must be nowhere, with its nonce used, before another is signed in its place. Nodes show a new
/// state for a moment before they show the receipts that belong to it, and some of several behind an address lag.
const DISPLACED_AFTER: Duration = Duration::from_secs(3);

/// What is to be done on the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The contract or account; none creates a contract.
    pub to: Option<Address>,
    /// Encoded call or creation code.
    pub data: Bytes,
    /// Wei that go along.
    pub value_wei: U256,
}

impl Transaction {
    /// A call of a contract's function.
    #[must_use]
    pub fn call<C: SolCall>(contract: Address, call: &C) -> Self {
        Self { to: Some(contract), data: call.abi_encode().into(), value_wei: U256::ZERO }
    }

    /// A payment of the chain's own coin.
    #[must_use]
    pub fn payment(to: Address, value_wei: U256) -> Self {
        Self { to: Some(to), data: Bytes::new(), value_wei }
    }
}

/// Why a transaction was not carried out, or why that is not known.
#[derive(Debug, thiserror::Error)]
pub enum TransactError {
    /// The contract refused in simulation; nothing was sent.
    #[error("{revert}; nothing was sent")]
    Reverted {
        /// What the contract said.
        revert: Revert,
    },
    /// The contract refused in the block: gas was spent, nothing else has changed.
    #[error("{}; transaction {transaction} in block {block_number} spent its gas and changed nothing else",
        revert.as_ref().map_or_else(|| "the contract refused".to_owned(), ToString::to_string))]
    RevertedInBlock {
        /// The transaction.
        transaction: B256,
        /// The block that it is in.
        block_number: u64,
        /// What the contract says to the same call now, if it still refuses.
        revert: Option<Revert>,
    },
    /// The account cannot pay the value and the gas; nothing was sent.
    #[error(
        "expected {account} to have the coin for value and gas, found {balance_wei} wei: {reason}; fund the account"
    )]
    InsufficientFunds {
        /// The account.
        account: Address,
        /// What it has, in wei.
        balance_wei: U256,
        /// The node's words.
        reason: String,
    },
    /// Gas costs more than the configuration allows; nothing was sent.
    #[error("expected gas at no more than {cap_wei} wei, found {base_fee_wei}; wait, or allow more")]
    FeesAboveCap {
        /// The newest block's base fee, in wei per gas.
        base_fee_wei: u128,
        /// The configured cap, in wei per gas.
        cap_wei: u128,
    },
    /// The chain does not price gas by EIP-1559; nothing was sent.
    #[error("expected a chain with EIP-1559 fees, found blocks without a base fee; use another chain")]
    NoBaseFee,
    /// Whether the transaction is or will be carried out is unknown.
    #[error("expected transaction {transaction} (nonce {nonce}) in a block within {waited:?}, found none{}; \
        repeat the same command: it looks for that transaction before it makes another",
        source.as_ref().map(|error| format!(" ({error})")).unwrap_or_default())]
    Unresolved {
        /// The version that was sent last.
        transaction: B256,
        /// Its nonce.
        nonce: u64,
        /// How long it was waited for.
        waited: Duration,
        /// Why the node could not be asked, if that is why.
        source: Option<RpcError>,
    },
    /// The intent stands for something else.
    #[error(
        "expected intent {intent} to mean one transaction, found transaction {transaction} with another content \
        under it; use another intent, or repeat the first command unchanged"
    )]
    OtherIntent {
        /// The intent.
        intent: B256,
        /// What was signed for it.
        transaction: B256,
    },
    /// Nonce after nonce was taken by somebody else.
    #[error(
        "expected to be the only one who sends from {account}, found {tries} nonces taken; stop the other program"
    )]
    NoncesTaken {
        /// The account.
        account: Address,
        /// How many were tried.
        tries: usize,
    },
    /// The journal of intents cannot be trusted or written; nothing was sent.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The node refused or did not answer before anything was sent.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

/// Sends transactions of one account. Clones share its nonces: make one for each account, and clone it.
#[derive(Clone)]
pub struct Sender {
    inner: Arc<Inner>,
}

struct Inner {
    chain: Chain,
    account: Account,
    journal: Journal,
    /// The next nonce; none: ask the node. Held from choosing a nonce until the node has the transaction.
    next_nonce: tokio::sync::Mutex<Option<u64>>,
    fees: tokio::sync::Mutex<Option<(Instant, Fees)>>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("chain", &self.inner.chain)
            .field("account", &self.inner.account)
            .finish()
    }
}

/// Wei per gas.
#[derive(Debug, Clone, Copy)]
struct Fees {
    max: u128,
    tip: u128,
}

/// What a look at the chain shows of a transaction.
enum Seen {
    Mined(Box<Receipt>),
    /// In a block that is not yet deep enough, or on its way into one.
    Settling,
    /// In no block; its nonce is free.
    Waiting,
    /// Nowhere, and its nonce is used: by another transaction, or the node has not caught up with itself.
    Displaced,
}

/// What a node says to a transaction.
enum Answer {
    Taken,
    /// The node has it already.
    Known,
    NonceTaken,
    /// Unknown whether it arrived.
    Silence(RpcError),
    Refused(RpcError),
}

impl Chain {
    /// A sender for an account that remembers intents as long as it lives.
    #[must_use]
    pub fn sender(&self, account: Account) -> Sender {
        let journal = Journal::in_memory(account.address(), self.id());
        Sender::new(self.clone(), account, journal)
    }

    /// A sender for an account that keeps its intents in a directory, so that they outlive the process. Several
    /// accounts and chains may share the directory; two processes may not.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn journaled_sender(&self, account: Account, dir: &Path) -> Result<Sender, JournalError> {
        let journal = Journal::in_directory(dir, account.address(), self.id())?;
        Ok(Sender::new(self.clone(), account, journal))
    }
}

impl Sender {
    fn new(chain: Chain, account: Account, journal: Journal) -> Self {
        let (next_nonce, fees) = Default::default();
        Self { inner: Arc::new(Inner { chain, account, journal, next_nonce, fees }) }
    }

    /// The account's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.inner.account.address()
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.inner.account
    }

    /// The chain that it sends to.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.inner.chain
    }

    /// What the transaction would return if it came next; nothing is sent.
    ///
    /// # Errors
    /// [`TransactError::Reverted`] with what the contract says, or [`TransactError::Rpc`].
    pub async fn simulate(&self, transaction: &Transaction) -> Result<Bytes, TransactError> {
        let params = (self.call_request(transaction), BlockNumberOrTag::Pending);
        self.chain().node().request("eth_call", params).await.map_err(reverted_or_rpc)
    }

    /// Carries a transaction out: simulates, signs, sends, and waits for its block.
    ///
    /// After [`TransactError::Unresolved`] a repetition may do the thing twice; what must not happen twice goes by
    /// [`Self::send_once`].
    ///
    /// # Errors
    /// See [`TransactError`]. Only after `Unresolved` is it unknown whether anything has changed.
    pub async fn send(&self, transaction: &Transaction) -> Result<Receipt, TransactError> {
        self.carry_out(None, transaction).await
    }

    /// Carries a transaction out at most once for an intent, an id that the caller gives to what is meant. Repeated,
    /// also after a crash, it finds what was signed before: the receipt if that was carried out, else it goes on with
    /// the same transaction. Only what can no longer be carried out, or was and changed nothing, is signed anew.
    ///
    /// # Errors
    /// See [`TransactError`]. After any of them the same call may be repeated.
    pub async fn send_once(&self, intent: B256, transaction: &Transaction) -> Result<Receipt, TransactError> {
        let _turn = self.inner.journal.take(intent).await;
        if let Some(mut attempt) = self.inner.journal.load(intent)? {
            let signed = attempt.newest().tx();
            let same = signed.to == kind(transaction)
                && signed.input == transaction.data
                && signed.value == transaction.value_wei;
            let receipt = match self.look(&attempt).await? {
                Seen::Mined(receipt) if !receipt.succeeded => None,
                _ if !same => {
                    return Err(TransactError::OtherIntent { intent, transaction: *attempt.newest().hash() });
                }
                Seen::Mined(receipt) => Some(*receipt),
                Seen::Settling | Seen::Waiting | Seen::Displaced => {
                    self.follow(Some(intent), &mut attempt, true).await?
                }
            };
            if let Some(receipt) = receipt.filter(|receipt| receipt.succeeded) {
                return Ok(receipt);
            }
        }
        self.carry_out(Some(intent), transaction).await
    }

    async fn carry_out(
        &self,
        intent: Option<B256>,
        transaction: &Transaction,
    ) -> Result<Receipt, TransactError> {
        for _ in 0..NONCE_TRIES {
            let gas = self.estimate(transaction).await?;
            let fees = self.fees().await?;
            let mut attempt = self.sign_and_send(intent, transaction, gas, fees).await?;
            let Some(receipt) = self.follow(intent, &mut attempt, false).await? else { continue };
            if receipt.succeeded {
                return Ok(receipt);
            }
            // The reason is not in the receipt; the same call in the state that the block left mostly gives it.
            let params = (self.call_request(transaction), BlockNumberOrTag::Number(receipt.block_number));
            let again: Result<Bytes, _> = self.chain().node().request("eth_call", params).await;
            return Err(TransactError::RevertedInBlock {
                transaction: receipt.transaction_hash,
                block_number: receipt.block_number,
                revert: again.err().as_ref().and_then(Revert::of),
            });
        }
        Err(TransactError::NoncesTaken { account: self.address(), tries: NONCE_TRIES })
    }

    fn call_request(&self, transaction: &Transaction) -> CallRequest {
        CallRequest {
            from: Some(self.address()),
            to: transaction.to,
            value: transaction.value_wei,
            data: transaction.data.clone(),
        }
    }

    /// The gas limit for a transaction, which is simulated for that on top of what is pending.
    async fn estimate(&self, transaction: &Transaction) -> Result<u64, TransactError> {
        let params = (self.call_request(transaction), BlockNumberOrTag::Pending);
        let estimate: Result<U64, RpcError> = self.chain().node().request("eth_estimateGas", params).await;
        match estimate {
            Ok(estimate) => {
                let estimate = estimate.to::<u64>();
                // Two programs that do the same with one account must not sign the same bytes: each would take the
                // other's receipt for its own.
                let margin = estimate / 100 * GAS_MARGIN_PERCENT + u64::from(rand::random::<u8>());
                Ok(estimate.saturating_add(margin).min(GAS_MAX.max(estimate)))
            }
            // Some nodes keep the reason to themselves unless they are asked by a call.
            Err(RpcError::Refused { data: None, message, .. }) if message.contains("revert") => {
                self.simulate(transaction).await?;
                Err(TransactError::Reverted { revert: Revert::from_data(Bytes::new()) })
            }
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// Tells a refusal of the contract and a lack of coin from other refusals.
    async fn explain(&self, error: RpcError) -> TransactError {
        match &error {
            RpcError::Refused { message, .. }
                if message.to_ascii_lowercase().contains("insufficient funds") =>
            {
                match self.chain().balance_wei(self.address()).await {
                    Ok(balance_wei) => TransactError::InsufficientFunds {
                        account: self.address(),
                        balance_wei,
                        reason: message.clone(),
                    },
                    Err(_) => error.into(),
                }
            }
            _ => reverted_or_rpc(error),
        }
    }

    async fn fees(&self) -> Result<Fees, TransactError> {
        let mut known = self.inner.fees.lock().await;
        if let Some((asked, fees)) = *known
            && asked.elapsed() < FEES_AGE_MAX
        {
            return Ok(fees);
        }
        let config = self.chain().config();
        let base = self.chain().head().await?.base_fee_wei.ok_or(TransactError::NoBaseFee)?;
        if base > config.max_fee_wei {
            return Err(TransactError::FeesAboveCap { base_fee_wei: base, cap_wei: config.max_fee_wei });
        }
        let tip: U128 = self.chain().node().request("eth_maxPriorityFeePerGas", ()).await?;
        let tip = tip.to::<u128>().min(config.max_tip_wei).min(config.max_fee_wei);
        // Twice the base fee lasts for six full blocks, each of which raises it by an eighth.
        let max = base.saturating_mul(2).saturating_add(tip).min(config.max_fee_wei);
        let fees = Fees { max, tip: tip.min(max) };
        *known = Some((Instant::now(), fees));
        Ok(fees)
    }

    fn sign(&self, transaction: TxEip1559) -> alloy_consensus::Signed<TxEip1559> {
        let signature = self.account().sign_hash(transaction.signature_hash());
        transaction.into_signed(signature)
    }

    /// Signs under the next nonce and hands the transaction to the node. It is in the journal before.
    async fn sign_and_send(
        &self,
        intent: Option<B256>,
        transaction: &Transaction,
        gas: u64,
        fees: Fees,
    ) -> Result<Attempt, TransactError> {
        let mut next_nonce = self.inner.next_nonce.lock().await;
        let mut taken = None;
        for _ in 0..NONCE_TRIES {
            let nonce = match *next_nonce {
                Some(nonce) => nonce,
                None => {
                    let asked =
                        self.chain().transaction_count(self.address(), BlockNumberOrTag::Pending).await?;
                    // A nonce can wait in the pool without being counted, behind a gap.
                    if taken == Some(asked) { asked + 1 } else { asked }
                }
            };
            let attempt = Attempt::new(self.sign(TxEip1559 {
                chain_id: self.chain().id(),
                nonce,
                gas_limit: gas,
                max_fee_per_gas: fees.max,
                max_priority_fee_per_gas: fees.tip,
                to: kind(transaction),
                value: transaction.value_wei,
                access_list: Default::default(),
                input: transaction.data.clone(),
            }));
            if let Some(intent) = intent {
                self.inner.journal.save(intent, &attempt)?;
            }
            match self.broadcast(&attempt).await {
                // After a silence the nonce counts as used, and `follow` finds out.
                Answer::Taken | Answer::Silence(_) => {
                    *next_nonce = Some(nonce + 1);
                    return Ok(attempt);
                }
                // What was signed just now and is known already was signed by another program as well.
                Answer::NonceTaken | Answer::Known => {
                    *next_nonce = None;
                    taken = Some(nonce);
                }
                Answer::Refused(error) => {
                    if let Some(intent) = intent {
                        self.inner.journal.remove(intent)?;
                    }
                    return Err(self.explain(error).await);
                }
            }
        }
        Err(TransactError::NoncesTaken { account: self.address(), tries: NONCE_TRIES })
    }

    async fn broadcast(&self, attempt: &Attempt) -> Answer {
        let sent: Result<B256, RpcError> =
            self.chain().node().request("eth_sendRawTransaction", (attempt.raw(),)).await;
        let error = match sent {
            Ok(_) => return Answer::Taken,
            Err(error) => error,
        };
        let RpcError::Refused { message, .. } = &error else { return Answer::Silence(error) };
        let message = message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        if says(&["already known", "already imported", "known transaction"]) {
            Answer::Known
        } else if says(&["nonce too low", "nonce too high", "replacement transaction", "already been used"]) {
            Answer::NonceTaken
        } else {
            Answer::Refused(error)
        }
    }

    /// Looks where a transaction is.
    async fn look(&self, attempt: &Attempt) -> Result<Seen, RpcError> {
        if let Some(seen) = self.look_for_receipt(attempt).await? {
            return Ok(seen);
        }
        let counted = self.chain().transaction_count(self.address(), self.chain().final_tag().await?).await?;
        if counted <= attempt.nonce() {
            return Ok(Seen::Waiting);
        }
        for hash in attempt.hashes() {
            let known: Option<serde_json::Value> =
                self.chain().node().request("eth_getTransactionByHash", (hash,)).await?;
            if known.is_some() {
                return Ok(Seen::Settling);
            }
        }
        Ok(Seen::Displaced)
    }

    async fn look_for_receipt(&self, attempt: &Attempt) -> Result<Option<Seen>, RpcError> {
        for hash in attempt.hashes() {
            let Some(receipt) = self.chain().receipt(hash).await? else { continue };
            let above = self.chain().config().confirmations.saturating_sub(1);
            if above > 0 {
                let deep = self.chain().head().await?.number >= receipt.block_number.saturating_add(above);
                let block = self.chain().block(receipt.block_number).await?;
                if !deep || block.is_none_or(|block| block.hash != receipt.block_hash) {
                    return Ok(Some(Seen::Settling));
                }
            }
            return Ok(Some(Seen::Mined(Box::new(receipt))));
        }
        Ok(None)
    }

    /// Waits for a transaction's block, sends it again while it is in none, and raises its fees when that takes long.
    /// One that is resumed may never have been sent. None when its nonce went to another for good.
    async fn follow(
        &self,
        intent: Option<B256>,
        attempt: &mut Attempt,
        resumed: bool,
    ) -> Result<Option<Receipt>, TransactError> {
        let config = self.chain().config();
        let began = Instant::now();
        let mut priced = began;
        let mut sent = (!resumed).then_some(began);
        let mut pause = FIRST_PAUSE;
        let (mut silence, mut displaced) = (None, None);
        loop {
            let waiting = match self.look(attempt).await {
                Ok(Seen::Mined(receipt)) => return Ok(Some(*receipt)),
                Ok(Seen::Displaced) => {
                    if displaced.get_or_insert_with(Instant::now).elapsed() >= DISPLACED_AFTER {
                        *self.inner.next_nonce.lock().await = None;
                        return Ok(None);
                    }
                    false
                }
                Ok(seen) => {
                    displaced = None;
                    matches!(seen, Seen::Waiting)
                }
                Err(error) => {
                    silence = Some(error);
                    false
                }
            };
            if began.elapsed() >= config.give_up_after {
                *self.inner.next_nonce.lock().await = None;
                return Err(TransactError::Unresolved {
                    transaction: *attempt.newest().hash(),
                    nonce: attempt.nonce(),
                    waited: config.give_up_after,
                    source: silence,
                });
            }
            if waiting && priced.elapsed() >= config.bump_after {
                priced = Instant::now();
                if self.raise_fees(intent, attempt).await? {
                    sent = None;
                }
            }
            // A node forgets; one that knows the transaction says so and does nothing.
            let overdue = sent.is_none_or(|sent| sent.elapsed() >= config.poll_interval);
            if waiting && (overdue || silence.is_some()) {
                sent = Some(Instant::now());
                silence = match self.broadcast(attempt).await {
                    Answer::Silence(error) => Some(error),
                    // Whether the nonce went to this transaction, the next look tells.
                    Answer::Taken | Answer::Known | Answer::NonceTaken => None,
                    Answer::Refused(error) => {
                        tracing::warn!(%error, hash = %attempt.newest().hash(), "a transaction waits");
                        None
                    }
                };
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(config.poll_interval);
        }
    }

    /// Signs the same transaction under the same nonce with fees that nodes take for a replacement, an eighth more at
    /// least. False if that would be above the cap.
    async fn raise_fees(&self, intent: Option<B256>, attempt: &mut Attempt) -> Result<bool, TransactError> {
        let old = attempt.newest().tx();
        let eighth_more = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        // What the market asks matters less than that the transaction gets on; without an answer an eighth will do.
        let market = self.fees().await.unwrap_or(Fees { max: 0, tip: 0 });
        let fees = Fees {
            max: eighth_more(old.max_fee_per_gas).max(market.max),
            tip: eighth_more(old.max_priority_fee_per_gas).max(market.tip),
        };
        let config = self.chain().config();
        if fees.max > config.max_fee_wei || fees.tip > config.max_tip_wei {
            tracing::warn!(hash = %attempt.newest().hash(), "a transaction waits, and its fees are at the cap");
            return Ok(false);
        }
        let raised = TxEip1559 {
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.tip.min(fees.max),
            ..old.clone()
        };
        attempt.add(self.sign(raised));
        if let Some(intent) = intent {
            self.inner.journal.save(intent, attempt)?;
        }
        Ok(true)
    }
}

fn kind(transaction: &Transaction) -> TxKind {
    transaction.to.map_or(TxKind::Create, TxKind::Call)
}

fn reverted_or_rpc(error: RpcError) -> TransactError {
    match Revert::of(&error) {
        Some(revert) => TransactError::Reverted { revert },
        None => error.into(),
    }
}
