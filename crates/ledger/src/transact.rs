//! Transactions of one account: simulated, signed, sent, and followed until their outcome is known.
//!
//! Owns the account's nonces and what was signed under them. Refuses to send what reverts in simulation, to pay more
//! per gas than the configuration allows, and to sign a second transaction for an intent whose first may still count.
//!
//! **Why an intent is carried out once.** Of all transactions of an account under one nonce the chain takes at most
//! one. So whatever was signed for an intent stays in the journal, and the intent stays with its nonce: the same bytes
//! are sent again, or others under the same nonce. It gets another nonce only when the first is used up: by a
//! transaction of its own that was carried out and changed nothing, or by one that is *not* its own, which the node must
//! show. What a node answers to a sending counts for no more than a hint where to look, since the answer may come from
//! another machine than the one that took the transaction, and after it. Only a refusal in certain words, of something
//! that was never sent before, ends the waiting; and if the nonce of that is used in a final block and there is no
//! receipt, it need not be shown by what.
//!
//! **What is believed.** One node is asked, and it may lie. Whatever it says, it cannot
//! - have more paid per gas than the configured cap, or anything signed but what the caller asked for;
//! - have one call of [`Sender::send_once`] pay twice, but for the last point below: by silence, errors, false counts of
//!   nonces or hidden receipts it gets no further than [`TransactError::Unresolved`], as often as the call is repeated;
//! - forge the transaction that took a nonce: that is signed by the account, with another hash than all that was signed
//!   for the intent, and both are reckoned here.
//!
//! It can
//! - say that something was carried out which was not, or keep it back;
//! - say of what it carried out that it was refused or that it reverted. A command that is repeated then pays again: once
//!   for each time that a person repeats it, never by itself;
//! - get an intent another nonce if the account signed two different things under the first: it carries one out and
//!   shows the other. Two programs with one key sign so, and so does one whose node names a nonce again under which an
//!   unresolved command waits. One call gets one other nonce: that is one payment more, and two such commands are needed.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_consensus::{
    SignableTransaction, Signed, Transaction as _, TxEip1559, TxEnvelope, transaction::SignerRecoverable,
};
use alloy_eips::{BlockNumberOrTag, eip2718::Encodable2718};
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U128, U256, keccak256};
use alloy_sol_types::SolCall;

use crate::{
    account::Account,
    chain::Chain,
    journal::{Attempts, Journal, JournalError},
    revert::Revert,
    rpc::{CallRequest, Receipt, RpcError},
};

/// Gas above the estimate, in percent: what a transaction finds when it runs may differ from what was simulated.
const GAS_MARGIN_PERCENT: u64 = 20;
/// The most gas that one transaction may ask for (EIP-7825); the margin stops there.
const GAS_MAX: u64 = 1 << 24;
/// Under how many nonces what has no intent is signed, one after the other as somebody else takes them.
const NONCE_TRIES: usize = 16;
/// The same for an intent, in one call.
const INTENT_NONCE_TRIES: usize = 2;
/// How long fees that were asked for are used.
const FEES_AGE_MAX: Duration = Duration::from_secs(1);
/// The first pause between two looks for a receipt; each is twice as long, up to the poll interval.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// How nodes say that they have not taken a transaction and will not take it as things are: the words of geth, which
/// most others repeat, of anvil and of the embedded ledger. Other words cost time, no money.
const REFUSALS: [&str; 18] = [
    "insufficient funds",
    "intrinsic gas too low",
    "gas required exceeds",
    "exceeds block gas limit",
    "gas limit too high",
    "over the limit of",
    "max fee per gas less than block base fee",
    "max priority fee per gas higher than max fee per gas",
    "fee too low",
    "max initcode size exceeded",
    "oversized data",
    "invalid sender",
    "invalid signature",
    "sender not an eoa",
    "invalid chain id",
    "transaction type not supported",
    "only replay-protected",
    "does not decode",
];
/// How nodes say that another nonce is the next.
const OTHER_NONCE: [&str; 3] = ["nonce too low", "nonce too high", "already been used"];
/// How nodes say that they have these very bytes already.
const KNOWN: [&str; 2] = ["already known", "already imported"];
/// The code of a method that a node does not have (JSON-RPC 2.0).
const NO_SUCH_METHOD: i64 = -32601;

/// What is to be done on the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The contract or account; none creates a contract.
    pub to: Option<Address>,
    /// Encoded call or creation code.
    pub data: Bytes,
    /// Wei that go along.
    pub value_wei: U256,
    /// The most gas that it may ask for; none: what the chain lets one transaction ask for.
    pub gas_max: Option<u64>,
}

impl Transaction {
    /// A call of a contract's function.
    #[must_use]
    pub fn call<C: SolCall>(contract: Address, call: &C) -> Self {
        Self { to: Some(contract), data: call.abi_encode().into(), value_wei: U256::ZERO, gas_max: None }
    }

    /// A payment of the chain's own coin.
    #[must_use]
    pub fn payment(to: Address, value_wei: U256) -> Self {
        Self { to: Some(to), data: Bytes::new(), value_wei, gas_max: None }
    }

    /// The same, refused when it takes more gas than this.
    #[must_use]
    pub fn within(self, gas_max: u64) -> Self {
        Self { gas_max: Some(gas_max), ..self }
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
    /// It takes more gas than it may; nothing was sent.
    #[error(
        "expected a transaction of at most {expected} gas, found one that takes {found}; nothing was sent"
    )]
    GasAboveLimit {
        /// The most that it may take.
        expected: u64,
        /// What it takes.
        found: u64,
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
    /// Whether the transaction is or will be carried out is unknown. Also when its nonce is used, and the node shows
    /// neither its receipt nor what used the nonce instead; a node that keeps the chain's old states can.
    #[error("expected transaction {transaction} (nonce {nonce}) in a block{}, found none{}; \
        repeat the same command: it looks for that transaction before it makes another",
        if waited.is_zero() { String::new() } else { format!(" within {waited:?}") },
        source.as_ref().map(|error| format!(" ({error})")).unwrap_or_default())]
    Unresolved {
        /// The version that was sent last.
        transaction: B256,
        /// Its nonce.
        nonce: u64,
        /// How long it was waited for.
        waited: Duration,
        /// The last that the node said against it, or why it could not be asked.
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
    /// Nonce after nonce was taken by somebody else; nothing was carried out.
    #[error(
        "expected to be the only one who sends from {account}, found {tries} nonces taken; stop the other program \
        and repeat the same command"
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
    base: u128,
    max: u128,
    tip: u128,
}

/// What a look at the chain shows of what was signed.
enum Seen {
    Mined(Box<Receipt>),
    /// In a block that is not yet deep enough, or its nonce is used and the node does not show by what.
    Settling,
    /// Its nonce is used, and the node does not remember by what.
    Forgotten(RpcError),
    /// In no block; its nonce is free.
    Waiting,
    /// Never to be carried out: the node has shown another transaction with its nonce, deep enough.
    Displaced,
}

/// What a node says to a transaction.
enum Answer {
    /// It has it, now or before.
    Taken,
    /// Whatever it says, it may have it.
    Doubtful(RpcError),
    /// It will not have it, nor ever will as things are.
    Refused(RpcError),
}

/// What an intent's next transaction comes after.
struct Plan {
    earlier: Option<Attempts>,
    /// The nonce to sign under, if it must be that one.
    nonce: Option<u64>,
    /// Under how many nonces it may be signed.
    tries: usize,
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
        let plan = Plan { earlier: None, nonce: None, tries: NONCE_TRIES };
        self.carry_out(None, plan, transaction).await
    }

    /// Whether something was signed for an intent before, also by an earlier process.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn has_signed(&self, intent: B256) -> Result<bool, TransactError> {
        Ok(self.inner.journal.load(intent)?.is_some())
    }

    /// Carries a transaction out at most once for an intent, an id that the caller gives to what is meant. Repeated,
    /// also after a crash, it finds what was signed before: the receipt if that was carried out, else it goes on with
    /// the same transaction. Only what can no longer be carried out, or was and changed nothing, is signed anew, and
    /// what the node refused: that under the same nonce, and it may be another transaction then.
    ///
    /// # Errors
    /// See [`TransactError`]. After any of them the same call may be repeated.
    pub async fn send_once(&self, intent: B256, transaction: &Transaction) -> Result<Receipt, TransactError> {
        let _turn = self.inner.journal.take(intent).await;
        let mut plan = Plan { earlier: None, nonce: None, tries: INTENT_NONCE_TRIES };
        if let Some(mut attempts) = self.inner.journal.load(intent)? {
            let unresolved = |attempts: &Attempts, error| TransactError::Unresolved {
                transaction: *attempts.newest().hash(),
                nonce: attempts.nonce(),
                waited: Duration::ZERO,
                source: Some(error),
            };
            let receipt = match self.look(&attempts).await.map_err(|error| unresolved(&attempts, error))? {
                Seen::Mined(receipt) => Some(*receipt),
                Seen::Displaced => None,
                Seen::Waiting if attempts.refused() => {
                    plan.nonce = Some(attempts.nonce());
                    None
                }
                Seen::Settling | Seen::Forgotten(_)
                    if attempts.refused() && self.is_used_up(attempts.nonce()).await? =>
                {
                    None
                }
                Seen::Forgotten(error) => return Err(unresolved(&attempts, error)),
                Seen::Waiting | Seen::Settling => {
                    if !is_same(attempts.newest(), transaction) {
                        let transaction = *attempts.newest().hash();
                        return Err(TransactError::OtherIntent { intent, transaction });
                    }
                    self.follow(Some(intent), &mut attempts, None, None).await?
                }
            };
            match receipt {
                Some(receipt) if receipt.succeeded => {
                    return accept(Some(intent), &attempts, transaction, receipt);
                }
                Some(_) => {}
                None if plan.nonce.is_some() => {}
                // What is signed now is signed the second time already.
                None => plan.tries -= 1,
            }
            plan.earlier = Some(attempts);
        }
        self.carry_out(Some(intent), plan, transaction).await
    }

    async fn carry_out(
        &self,
        intent: Option<B256>,
        mut plan: Plan,
        transaction: &Transaction,
    ) -> Result<Receipt, TransactError> {
        for _ in 0..plan.tries {
            let gas = self.estimate(transaction).await?;
            let fees = self.fees().await?;
            let (mut attempts, doubt) = self.sign_and_send(intent, &mut plan, transaction, gas, fees).await?;
            let sent = Some(Instant::now());
            let Some(receipt) = self.follow(intent, &mut attempts, sent, doubt).await? else {
                plan.earlier = Some(attempts);
                continue;
            };
            if receipt.succeeded {
                return accept(intent, &attempts, transaction, receipt);
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
        Err(TransactError::NoncesTaken { account: self.address(), tries: plan.tries })
    }

    fn call_request(&self, transaction: &Transaction) -> CallRequest {
        CallRequest {
            from: Some(self.address()),
            to: transaction.to,
            value: transaction.value_wei,
            data: transaction.data.clone(),
        }
    }

    /// What a gas costs now, in wei: the newest block's base fee and the tip that is given. What a rollup asks beside it
    /// for its own chain's blocks is not in it.
    ///
    /// # Errors
    /// [`TransactError::FeesAboveCap`], [`TransactError::NoBaseFee`] or [`TransactError::Rpc`].
    pub async fn wei_per_gas(&self) -> Result<u128, TransactError> {
        let fees = self.fees().await?;
        Ok(fees.base.saturating_add(fees.tip).min(fees.max))
    }

    /// The gas limit for a transaction, which is simulated for that on top of what is pending; a fifth above what it took
    /// there. Nothing is sent.
    ///
    /// # Errors
    /// [`TransactError::Reverted`] with what the contract says, [`TransactError::GasAboveLimit`],
    /// [`TransactError::InsufficientFunds`] or [`TransactError::Rpc`].
    pub async fn estimate(&self, transaction: &Transaction) -> Result<u64, TransactError> {
        let params = (self.call_request(transaction), BlockNumberOrTag::Pending);
        let estimate: Result<U64, RpcError> = self.chain().node().request("eth_estimateGas", params).await;
        match estimate {
            Ok(estimate) => {
                let estimate = estimate.to::<u64>();
                if let Some(expected) = transaction.gas_max.filter(|most| estimate > *most) {
                    return Err(TransactError::GasAboveLimit { expected, found: estimate });
                }
                let margin = estimate / 100 * GAS_MARGIN_PERCENT;
                let most = transaction.gas_max.unwrap_or(GAS_MAX.max(estimate));
                Ok(estimate.saturating_add(margin).min(most))
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
        let fees = Fees { base, max, tip: tip.min(max) };
        *known = Some((Instant::now(), fees));
        Ok(fees)
    }

    /// Two programs that do the same with one account must not sign the same bytes: each would take the other's receipt
    /// for its own. So no two signatures are alike.
    fn sign(&self, transaction: TxEip1559) -> Signed<TxEip1559> {
        let signature = self.account().sign_unlike_any_other(transaction.signature_hash());
        transaction.into_signed(signature)
    }

    fn save(&self, intent: Option<B256>, attempts: &Attempts) -> Result<(), JournalError> {
        intent.map_or(Ok(()), |intent| self.inner.journal.save(intent, attempts))
    }

    /// Signs under the plan's nonce or the next and hands the transaction to the node. It is in the journal before.
    /// Returns as well what the node said, unless that it took it.
    async fn sign_and_send(
        &self,
        intent: Option<B256>,
        plan: &mut Plan,
        transaction: &Transaction,
        gas: u64,
        fees: Fees,
    ) -> Result<(Attempts, Option<RpcError>), TransactError> {
        let mut next_nonce = self.inner.next_nonce.lock().await;
        let held = plan.nonce.take();
        let nonce = match held.or(*next_nonce) {
            Some(nonce) => nonce,
            None => self.chain().transaction_count(self.address(), BlockNumberOrTag::Pending).await?,
        };
        let version = self.sign(TxEip1559 {
            chain_id: self.chain().id(),
            nonce,
            gas_limit: gas,
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.tip,
            to: kind(transaction),
            value: transaction.value_wei,
            access_list: Default::default(),
            input: transaction.data.clone(),
        });
        let mut attempts = Attempts::after(plan.earlier.take(), version);
        self.save(intent, &attempts)?;
        let doubt = match self.broadcast(&attempts).await {
            Answer::Taken => None,
            Answer::Doubtful(error) => Some(error),
            Answer::Refused(error) => {
                attempts.refuse();
                self.save(intent, &attempts)?;
                return Err(self.explain(error).await);
            }
        };
        // The nonce counts as used even if the transaction was lost, since `follow` sends it again.
        let is_next = held.is_none() && !doubt.as_ref().is_some_and(|error| says(error, &OTHER_NONCE));
        *next_nonce = if is_next { nonce.checked_add(1) } else { None };
        Ok((attempts, doubt))
    }

    async fn broadcast(&self, attempts: &Attempts) -> Answer {
        let method = "eth_sendRawTransaction";
        let sent: Result<B256, RpcError> = self.chain().node().request_once(method, (attempts.raw(),)).await;
        match sent {
            Ok(_) => Answer::Taken,
            // Nobody else has signed these bytes.
            Err(error) if says(&error, &KNOWN) => Answer::Taken,
            Err(error) if is_refusal(&error) => Answer::Refused(error),
            Err(error) => Answer::Doubtful(error),
        }
    }

    /// Looks where what was signed is.
    async fn look(&self, attempts: &Attempts) -> Result<Seen, RpcError> {
        for version in attempts.newest_first() {
            let Some(receipt) = self.chain().receipt(*version.hash()).await? else { continue };
            if !self.is_confirmed(&receipt).await? {
                return Ok(Seen::Settling);
            }
            // One that changed nothing, under an earlier nonce, is why there is a later nonce.
            if receipt.succeeded || version.tx().nonce == attempts.nonce() {
                return Ok(Seen::Mined(Box::new(receipt)));
            }
        }
        let counted = self.chain().transaction_count(self.address(), BlockNumberOrTag::Latest).await?;
        if counted <= attempts.nonce() { Ok(Seen::Waiting) } else { self.look_for_other(attempts).await }
    }

    /// Whether enough blocks hold it.
    async fn is_confirmed(&self, receipt: &Receipt) -> Result<bool, RpcError> {
        let above = self.chain().config().confirmations.saturating_sub(1);
        if above == 0 {
            return Ok(true);
        }
        let deep = self.chain().head().await?.number >= receipt.block_number.saturating_add(above);
        let block = self.chain().block(receipt.block_number).await?;
        Ok(deep && block.is_some_and(|block| block.hash == receipt.block_hash))
    }

    /// Whether the nonce is used in a final block.
    async fn is_used_up(&self, nonce: u64) -> Result<bool, RpcError> {
        let final_tag = self.chain().final_tag().await?;
        Ok(self.chain().transaction_count(self.address(), final_tag).await? > nonce)
    }

    /// Looks whether the node shows another transaction that used the nonce. It is sought by the account's count of
    /// transactions in earlier and earlier blocks; that what is found is the account's and none of these does not
    /// depend on how it was found.
    async fn look_for_other(&self, attempts: &Attempts) -> Result<Seen, RpcError> {
        let head = self.chain().head().await?.number;
        let mut forgotten = None;
        let mut is_used = async |block: u64| {
            match self.chain().transaction_count(self.address(), block.into()).await {
                Ok(count) => Ok(count > attempts.nonce()),
                // Many nodes forget old states. What is younger than that is found all the same.
                Err(error @ RpcError::Refused { .. }) => {
                    forgotten = Some(error);
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        };
        let (mut used, mut unused, mut step) = (head, head.saturating_sub(1), 1);
        while unused > 0 && is_used(unused).await? {
            used = unused;
            step *= 2;
            unused = unused.saturating_sub(step);
        }
        while used - unused > 1 {
            let middle = unused + (used - unused) / 2;
            if is_used(middle).await? { used = middle } else { unused = middle }
        }
        let shown = self.chain().block_transactions(used).await?.unwrap_or_default();
        if !shown.into_iter().any(|shown| self.displaces(shown, attempts)) {
            return Ok(forgotten.map_or(Seen::Settling, Seen::Forgotten));
        }
        let deep = head - used >= self.chain().config().confirmations.saturating_sub(1);
        Ok(if deep { Seen::Displaced } else { Seen::Settling })
    }

    /// Whether that is a transaction of the account under the nonce, and none of these.
    fn displaces(&self, shown: serde_json::Value, attempts: &Attempts) -> bool {
        let from = shown["from"].as_str().and_then(|from| from.parse().ok());
        if from != Some(self.address()) {
            return false;
        }
        let Ok(shown) = serde_json::from_value::<TxEnvelope>(shown) else { return false };
        // Neither the sender nor the hash that the node gives is believed. Recovery takes a signature in one of its two
        // forms only; in the other, one of these would look like another.
        shown.nonce() == attempts.nonce()
            && shown.chain_id() == Some(self.chain().id())
            && shown.recover_signer().is_ok_and(|signer| signer == self.address())
            && attempts.find(keccak256(shown.encoded_2718())).is_none()
    }

    /// Waits for a transaction's block, sends it again while it is in none, and raises its fees when that takes long.
    /// None when its nonce went to another for good. `sent` is when it was sent last, if that is known, and `doubt`
    /// what the node said to it.
    async fn follow(
        &self,
        intent: Option<B256>,
        attempts: &mut Attempts,
        mut sent: Option<Instant>,
        mut doubt: Option<RpcError>,
    ) -> Result<Option<Receipt>, TransactError> {
        let config = self.chain().config();
        let began = Instant::now();
        let mut priced = began;
        let mut pause = FIRST_PAUSE;
        loop {
            let waiting = match self.look(attempts).await {
                Ok(Seen::Mined(receipt)) => return Ok(Some(*receipt)),
                Ok(Seen::Displaced) => {
                    *self.inner.next_nonce.lock().await = None;
                    return Ok(None);
                }
                Ok(Seen::Waiting) => true,
                Ok(Seen::Settling) => false,
                Ok(Seen::Forgotten(error)) => {
                    doubt = Some(error);
                    false
                }
                Err(error) => {
                    doubt = Some(error);
                    // What the node knew before it was gone, it may not know when it is back.
                    sent = None;
                    false
                }
            };
            if began.elapsed() >= config.give_up_after {
                *self.inner.next_nonce.lock().await = None;
                return Err(TransactError::Unresolved {
                    transaction: *attempts.newest().hash(),
                    nonce: attempts.nonce(),
                    waited: config.give_up_after,
                    source: doubt,
                });
            }
            if waiting && priced.elapsed() >= config.bump_after {
                priced = Instant::now();
                if self.raise_fees(intent, attempts).await? {
                    sent = None;
                }
            }
            // A node forgets; one that knows the transaction says so and does nothing.
            if waiting && sent.is_none_or(|sent| sent.elapsed() >= config.poll_interval) {
                let is_news = sent.is_none() || doubt.is_some();
                sent = Some(Instant::now());
                doubt = match self.broadcast(attempts).await {
                    Answer::Taken => None,
                    Answer::Doubtful(error) => Some(error),
                    // An earlier sending may have arrived, and be what speaks against this one.
                    Answer::Refused(error) => {
                        tracing::warn!(%error, hash = %attempts.newest().hash(), "a transaction waits");
                        Some(error)
                    }
                };
                if is_news && doubt.is_none() {
                    pause = FIRST_PAUSE;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(config.poll_interval);
        }
    }

    /// Signs the same transaction under the same nonce with fees that nodes take for a replacement, an eighth more at
    /// least. False if that would be above the cap.
    async fn raise_fees(&self, intent: Option<B256>, attempts: &mut Attempts) -> Result<bool, TransactError> {
        let old = attempts.newest().tx();
        let eighth_more = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        // What the market asks matters less than that the transaction gets on; without an answer an eighth will do.
        let market = self.fees().await.unwrap_or(Fees { base: 0, max: 0, tip: 0 });
        let fees = Fees {
            base: market.base,
            max: eighth_more(old.max_fee_per_gas).max(market.max),
            tip: eighth_more(old.max_priority_fee_per_gas).max(market.tip),
        };
        let config = self.chain().config();
        if fees.max > config.max_fee_wei || fees.tip > config.max_tip_wei {
            tracing::warn!(hash = %attempts.newest().hash(), "a transaction waits, and its fees are at the cap");
            return Ok(false);
        }
        let raised = TxEip1559 {
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.tip.min(fees.max),
            ..old.clone()
        };
        attempts.add(self.sign(raised));
        self.save(intent, attempts)?;
        Ok(true)
    }
}

fn kind(transaction: &Transaction) -> TxKind {
    transaction.to.map_or(TxKind::Create, TxKind::Call)
}

/// Whether what was signed says what the transaction says.
fn is_same(signed: &Signed<TxEip1559>, transaction: &Transaction) -> bool {
    let signed = signed.tx();
    signed.to == kind(transaction)
        && signed.input == transaction.data
        && signed.value == transaction.value_wei
}

/// A receipt as the outcome of an intent, unless it is of something else that was signed for it.
fn accept(
    intent: Option<B256>,
    attempts: &Attempts,
    transaction: &Transaction,
    receipt: Receipt,
) -> Result<Receipt, TransactError> {
    let same = attempts.find(receipt.transaction_hash).is_some_and(|signed| is_same(signed, transaction));
    match intent {
        Some(intent) if !same => {
            Err(TransactError::OtherIntent { intent, transaction: receipt.transaction_hash })
        }
        _ => Ok(receipt),
    }
}

/// Whether the node's refusal has one of these in its words.
fn says(error: &RpcError, words: &[&str]) -> bool {
    let RpcError::Refused { message, .. } = error else { return false };
    let message = message.to_ascii_lowercase();
    words.iter().any(|words| message.contains(words))
}

/// Whether an honest node that says so has not taken a transaction and would not take it again.
fn is_refusal(error: &RpcError) -> bool {
    let underpriced = says(error, &["transaction underpriced"]) && !says(error, &["replacement"]);
    let no_method = matches!(error, RpcError::Refused { code: NO_SUCH_METHOD, .. });
    (says(error, &REFUSALS) && !says(error, &OTHER_NONCE)) || underpriced || no_method
}

fn reverted_or_rpc(error: RpcError) -> TransactError {
    match Revert::of(&error) {
        Some(revert) => TransactError::Reverted { revert },
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i64, message: &str) -> RpcError {
        RpcError::Refused { method: "eth_sendRawTransaction", code, message: message.to_owned(), data: None }
    }

    #[test]
    fn only_what_no_node_says_of_a_transaction_that_it_took_is_a_refusal() {
        for certain in [
            "insufficient funds for gas * price + value: balance 0, tx cost 42000, overshot 42000",
            "Insufficient funds for gas * price + value",
            "intrinsic gas too low: gas 20000, minimum needed 21000",
            "exceeds block gas limit",
            "transaction gas limit too high (cap: 16777216, tx: 20000000)",
            "max fee per gas less than block base fee: address 0x11, maxFeePerGas: 1, baseFee: 7",
            "transaction underpriced: gas tip cap 0, minimum needed 1",
            "invalid sender",
            "invalid chain id for signer: have 5 want 1",
            "transaction type not supported",
        ] {
            assert!(is_refusal(&refused(-32000, certain)), "{certain}");
        }
        assert!(is_refusal(&refused(NO_SUCH_METHOD, "Method not found")));
        for doubtful in [
            "replacement transaction underpriced",
            "replacement transaction underpriced: new tx gas fee cap 1 <= 2 queued",
            "nonce too low: next nonce 7, tx nonce 6",
            "nonce too high",
            "already known",
            "request timed out",
            "internal error",
            "txpool is full",
            "header not found",
            "",
        ] {
            assert!(!is_refusal(&refused(-32000, doubtful)), "{doubtful}");
        }
        let silence = RpcError::Unreachable {
            method: "eth_sendRawTransaction",
            reason: "HTTP error 503 with body: insufficient funds".to_owned(),
        };
        assert!(!is_refusal(&silence));
    }
}
