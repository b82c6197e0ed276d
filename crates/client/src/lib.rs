//! What a person does: publish, license, get, derive, pay, collect, audit. One call each.
//!
//! Owns: the data directory, the order of steps, and that a command which was interrupted is resumed by repeating it.
//! Refuses: rules of money (the contracts' and `royalty`'s), JSON-RPC (`ledger`'s), sealing (`content`'s), and
//! everything that a terminal or a page looks like.

mod audit;
mod authorization;
mod channel;
mod epochs;
mod get;
mod health;
mod home;
mod license;
mod node;
mod operation;
mod operator;
mod people;
mod publish;
mod quote;
mod remote;
mod revenue;
mod serve;
mod settlement;
mod shares;
mod show;
mod spend;
mod usage;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    sync::{Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_sol_types::{SolCall, SolEvent};
use residual_content::{Keyring, KeyringSecret};
use residual_ledger::{
    Account, CallError, Chain, JournalError, Log, LogError, LogQuery, Receipt, RpcError, Sender,
    TransactError, Transaction,
    contracts::{royalties::Royalties, test_usd::TestUSD},
    deploy::Deployment,
    events::EventError,
};
use residual_primitives::{Address, Amount, AssetId, B256, LicenceId, U256};
use residual_royalty::{Contracts, Entry};
use sha2::{Digest, Sha256};

pub use audit::{AuditError, Audited};
pub use authorization::{Purpose, RelayError, Relayed, Signed};
pub use channel::{ChannelError, ChannelOnLedger, ChannelRecord, ChannelRow, Closing, Redeemed};
pub use epochs::{EpochError, PublishedEpochs};
pub use get::{GetError, Got, KeyError};
pub use health::{BrokenRule, Check, HEALTH, HealthSummary};
pub use home::{Home, HomeError};
pub use license::{BoughtLicence, LicenseError, TermsRow};
pub use node::{ANY_PORT, Announced, ClientError, Governance, Ground, Made, NewKey, Place};
pub use operator::{OPERATOR_BPS_MAX, OperatorClaim, OperatorGrant, OperatorRow};
pub use people::{AccountError, AccountRow, AddressError, parse_address};
pub use publish::{Publication, PublishError, PublishedAsset, PublishedHealth};
pub use quote::{Quote, QuoteError};
pub use remote::{GatewayError, RemoteGateway};
pub use residual_content::{
    BlockId, BlockSource, DirectoryStore, Existing, ExtractError, FetchError, KeyringError, Profile,
    Progress, ReleaseError, SignedKeyRequest, StoreError, WrappedKey,
};
pub use residual_ledger::{
    Account as Person, Finality,
    deploy::DeployError,
    keystore::Password,
    token::{TokenDomain, TokenError},
};
pub use residual_meter::{Charge, ChargeError, Meter, PromiseError, Purse, VoucherClaim};
pub use residual_royalty::{Finding, PathEarning, Report, Till, TokenRow};
pub use residual_usage::{Lane, UsageRecord};
pub use revenue::{ClaimRow, Collected, Paid, PayError, PayoutRow, SweptRow};
pub use serve::{CallPrice, ServeError};
pub use settlement::{
    ChannelView, ClaimedRows, Deposited, SignedDeposit, SignedRefund, SignedTransfer, Sponsored,
};
pub use shares::{TransferError, Transferred};
pub use show::{AssetPage, AssetRow, EdgeRow, LicenceRow, OfferRow, VersionRow};
pub use spend::{Budget, PaidAnswer, Payer, SpendError};
pub use usage::{
    NotCompared, PublishedEpoch, UsageAudit, UsageDifference, UsageError, UsageProof, WrittenOff,
};

/// What of a long work is under way, and what its [`Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A dataset is checked before it is published; images.
    Checking,
    /// Files are sealed and stored; bytes of files.
    Sealing,
    /// Blocks come from the gateway; bytes of sealed content.
    Fetching,
    /// Files are verified, decrypted and written; bytes of files.
    Verifying,
}

/// Why the ledger did not do, or did not say, what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// No such asset.
    #[error("expected an asset that is registered on this ledger, found none with id {asset}")]
    UnknownAsset {
        /// The id.
        asset: AssetId,
    },
    /// No such licence.
    #[error("expected a licence that was bought on this ledger, found none with id {licence}")]
    UnknownLicence {
        /// The id.
        licence: LicenceId,
    },
    /// No such version.
    #[error("expected a version of {asset} that was published, found no version {version}")]
    UnknownVersion {
        /// The asset.
        asset: AssetId,
        /// The version.
        version: u32,
    },
    /// Another command acts with the account and does not come to an end.
    #[error("account {account} is acting in another command: wait for that one, then repeat this one")]
    Busy {
        /// The account.
        account: Address,
    },
    /// The gateway that runs acts with the account, for as long as it runs.
    #[error(
        "account {account} is the one that the running gateway of this data directory acts with: act with another, or stop \
         the gateway and repeat the command"
    )]
    ActsAsGateway {
        /// The account.
        account: Address,
    },
    /// A view did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A transaction was not carried out.
    #[error(transparent)]
    Transact(#[from] TransactError),
    /// The node did not answer.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The logs could not be read.
    #[error(transparent)]
    Logs(#[from] LogError),
    /// A log is not what our contracts say.
    #[error(transparent)]
    Events(#[from] EventError),
    /// The journal of transactions cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The contracts there are not ours, or the node does not tell the truth.
    #[error(
        "expected an answer of Residual's contracts, found {what} that they never give; is this the right ledger?"
    )]
    Unexpected {
        /// What it was.
        what: &'static str,
    },
}

impl LedgerError {
    pub(crate) fn unexpected(what: &'static str) -> Self {
        Self::Unexpected { what }
    }

    /// Whether the rules of the ledger say no, and not that it cannot be reached.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Call(error) => matches!(error, CallError::Reverted { .. }),
            Self::Transact(error) => is_refusal(error),
            _ => false,
        }
    }

    /// Whether a contract has no such view: it refused, or said something else, or there is none.
    pub(crate) fn is_no_answer(&self) -> bool {
        matches!(self, Self::Call(error) if !matches!(error, CallError::Rpc(_)))
    }

    /// Whether a view refused with the contracts' error of this name.
    pub(crate) fn reverted_with(&self, name: &str) -> bool {
        matches!(self, Self::Call(CallError::Reverted { revert, .. }) if revert.name() == name)
    }
}

/// Whether the rules of the ledger say no to a transaction, and not that it cannot be reached.
#[must_use]
pub fn is_refusal(error: &TransactError) -> bool {
    matches!(
        error,
        TransactError::Reverted { .. }
            | TransactError::GasAboveLimit { .. }
            | TransactError::RevertedInBlock { .. }
            | TransactError::InsufficientFunds { .. }
    )
}

/// The token that prices are said in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency {
    /// Its contract.
    pub token: Address,
    /// Its symbol.
    pub symbol: String,
    /// How many places it has after the point.
    pub decimals: u8,
}

impl Currency {
    /// An amount with its symbol: `12.5 TestUSD`.
    #[must_use]
    pub fn show(&self, amount: Amount) -> String {
        format!("{} {}", amount.to_tokens(self.decimals), self.symbol)
    }
}

/// An amount of a token, as an error says it: in tokens where their places are known, else in its smallest unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub token: Address,
    /// The currency, if it is that.
    currency: Option<Currency>,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.currency {
            Some(currency) => f.write_str(&currency.show(self.amount)),
            None => write!(f, "{} units of {}", self.amount, self.token),
        }
    }
}

/// Where the contracts are.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Registration, versions, lineage.
    pub assets: Address,
    /// Shares.
    pub shares: Address,
    /// Terms and licences.
    pub licences: Address,
    /// Revenue accounting.
    pub royalties: Address,
    /// The roots of what gateways recorded.
    pub usage: Address,
    /// Takes deposits into channels by allowance.
    pub transfer_collector: Address,
    /// Prepaid channels, where stock x402 clients look for them.
    pub channels: Address,
    /// What every till is a proxy of.
    pub till_implementation: Address,
    /// All of them, with what lies there.
    pub deployment: Deployment,
}

/// A person's connection to one marketplace: a data directory and the ledger that belongs to it.
pub struct Client {
    home: Home,
    chain: Chain,
    suite: Suite,
    currency: Currency,
    node: Option<residual_local_ledger::LocalLedger>,
    embedded: bool,
    keyring_secret: KeyringSecret,
    /// When the nonces of expired key requests were last forgotten, in UNIX seconds.
    nonces_forgotten_at_s: std::sync::atomic::AtomicU64,
    senders: tokio::sync::Mutex<BTreeMap<Address, (Sender, File)>>,
    /// Of each gateway's closed epochs that this process needs to do nothing more about: the root that the ledger had then.
    settled_epochs: Mutex<BTreeMap<(Address, u64), B256>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("home", &self.home).field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Client {
    /// The data directory.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The connection to the ledger.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Where the contracts are.
    #[must_use]
    pub fn suite(&self) -> &Suite {
        &self.suite
    }

    /// The token that prices are said in.
    #[must_use]
    pub fn currency(&self) -> &Currency {
        &self.currency
    }

    pub(crate) fn settled_epochs(&self) -> MutexGuard<'_, BTreeMap<(Address, u64), B256>> {
        self.settled_epochs.lock().expect("nobody panics while holding it")
    }

    /// An amount of a token, to be said in an error.
    pub(crate) fn money(&self, token: Address, amount: Amount) -> Money {
        let currency = (token == self.currency.token).then(|| self.currency.clone());
        Money { amount, token, currency }
    }

    /// Whether the ledger is the embedded one, on which gas costs nothing that is worth anything.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// What the audit must know of the contracts.
    pub(crate) fn contracts(&self) -> Contracts {
        Contracts { royalties: self.suite.royalties, till_implementation: self.suite.till_implementation }
    }

    /// The blocks that are kept here, all of them sealed or public.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn blocks(&self) -> Result<DirectoryStore, StoreError> {
        DirectoryStore::open(self.home.path("blocks"))
    }

    pub(crate) fn keyring(&self) -> Result<Keyring, KeyringError> {
        Keyring::open(self.home.path("keys"), self.keyring_secret.clone())
    }

    /// One sender for each account: it owns the account's nonces and its journal, also against other commands, which it
    /// waits for.
    pub(crate) async fn sender(&self, account: &Account) -> Result<Sender, LedgerError> {
        let mut senders = self.senders.lock().await;
        if let Some((sender, _)) = senders.get(&account.address()) {
            return Ok(sender.clone());
        }
        let (sender, lock) = sole_sender(&self.home, &self.chain, account).await?;
        senders.insert(account.address(), (sender.clone(), lock));
        Ok(sender)
    }

    /// Lets other commands act with the accounts that this client has acted with.
    pub async fn release_accounts(&self) {
        self.senders.lock().await.clear();
    }

    /// Lets other commands act with one account, which nobody here is acting with any more.
    pub(crate) async fn release_account(&self, account: Address) {
        self.senders.lock().await.remove(&account);
    }

    /// Calls a view in the state after a block.
    pub(crate) async fn call_at<C: SolCall>(
        &self,
        contract: Address,
        call: &C,
        block: u64,
    ) -> Result<C::Return, LedgerError> {
        Ok(self.chain.call_at(contract, call, block.into()).await?)
    }

    /// Calls a view.
    pub(crate) async fn call<C: SolCall>(
        &self,
        contract: Address,
        call: &C,
    ) -> Result<C::Return, LedgerError> {
        Ok(self.chain.call(contract, call).await?)
    }

    /// Sends what may be sent twice without harm.
    pub(crate) async fn send<C: SolCall>(
        &self,
        account: &Account,
        contract: Address,
        call: &C,
    ) -> Result<Receipt, LedgerError> {
        Ok(self.sender(account).await?.send(&Transaction::call(contract, call)).await?)
    }

    /// Lets `spender` take `amount` from the account, if it may not yet.
    pub(crate) async fn approve(
        &self,
        account: &Account,
        token: Address,
        spender: Address,
        amount: Amount,
    ) -> Result<(), LedgerError> {
        let owner = account.address();
        let allowed: U256 = self.call(token, &TestUSD::allowanceCall { owner, spender }).await?;
        let value = U256::from(amount.0);
        if allowed < value {
            self.send(account, token, &TestUSD::approveCall { spender, value }).await?;
        }
        Ok(())
    }

    /// What an account holds of a token; the most that an amount says, if it is more.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn balance(&self, account: Address, token: Address) -> Result<Amount, LedgerError> {
        Ok(Amount(self.call(token, &TestUSD::balanceOfCall { account }).await?.saturating_to()))
    }

    /// The tokens in which an asset earned.
    pub(crate) async fn tokens_of(&self, asset: AssetId) -> Result<Vec<Address>, LedgerError> {
        self.asset_row(asset).await?;
        self.call(self.suite.royalties, &Royalties::tokensOfCall { assetId: asset.to_u256() }).await
    }

    /// All logs of some contracts since they were deployed.
    pub(crate) async fn logs(&self, query: LogQuery) -> Result<Vec<Log>, LedgerError> {
        let head = self.chain.head().await?.number;
        self.logs_to(query, head).await
    }

    /// All logs of some contracts since they were deployed, up to a block; none when they were deployed later.
    pub(crate) async fn logs_to(&self, query: LogQuery, block: u64) -> Result<Vec<Log>, LedgerError> {
        let from = self.suite.deployment.block.number;
        if block < from {
            return Ok(Vec::new());
        }
        Ok(self.chain.logs(&query, from, block).await?)
    }

    /// All that the audit reads, up to a block.
    pub(crate) async fn entries(&self, to_block: u64) -> Result<Vec<Entry>, LedgerError> {
        let deployment = &self.suite.deployment;
        let from_block = deployment.block.number;
        let mut logs = self.chain.logs(&LogQuery::of(deployment.core()), from_block, to_block).await?;
        // The currency has other business than ours: only its transfers to `Royalties`, then those from it.
        let ours = vec![self.suite.royalties.into_word()];
        for indexed in [[Vec::new(), ours.clone(), Vec::new()], [ours, Vec::new(), Vec::new()]] {
            let (addresses, events) = (vec![self.currency.token], vec![TestUSD::Transfer::SIGNATURE_HASH]);
            let transfers = LogQuery { addresses, events, indexed };
            logs.extend(self.chain.logs(&transfers, from_block, to_block).await?);
        }
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        // A transfer from `Royalties` to itself is in both.
        logs.dedup_by_key(|log| (log.block_number, log.log_index));
        Ok(self.chain.entries(deployment, &logs).await?)
    }

    /// Closes the embedded ledger, if this client opened it.
    pub async fn close(self) {
        if let Some(node) = self.node {
            // Whoever attached by it would only find a dead address.
            let _ = self.home.remove(node::NODE);
            node.shutdown().await;
        }
    }
}

/// A sender whose account and journal are this process's alone while the lock is held.
pub(crate) async fn sole_sender(
    home: &Home,
    chain: &Chain,
    account: &Account,
) -> Result<(Sender, File), LedgerError> {
    let journal = home.dir("journal")?;
    let address = account.address();
    let place = format!("journal/{address}.lock");
    let lock = match home.try_lock(&place)? {
        None if node::is_running_gateways(home, address)? => {
            return Err(LedgerError::ActsAsGateway { account: address });
        }
        None => home.lock(&place).await?,
        lock => lock,
    };
    let lock = lock.ok_or(LedgerError::Busy { account: address })?;
    Ok((chain.journaled_sender(account.clone(), &journal)?, lock))
}

/// Now, in UNIX seconds.
#[must_use]
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// The digest that a request is known by: sha2-256.
#[must_use]
pub fn digest(bytes: &[u8]) -> B256 {
    B256::new(Sha256::digest(bytes).into())
}

/// The digest of a list: each part with its length before it, so that no two lists are alike.
#[must_use]
pub fn digest_of_parts(parts: &[&[u8]]) -> B256 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    B256::new(hash.finalize().into())
}

/// A number of the ledger in a narrower type, in which an honest contract's numbers fit.
pub(crate) fn narrow<T: TryFrom<U256>>(number: U256) -> Result<T, LedgerError> {
    T::try_from(number).map_err(|_| LedgerError::unexpected("a number out of range"))
}

pub(crate) fn asset_id(number: U256) -> Result<AssetId, LedgerError> {
    AssetId::try_from(number).map_err(|_| LedgerError::unexpected("an asset id out of range"))
}

pub(crate) fn decode<E: SolEvent>(log: &Log) -> Option<E> {
    E::decode_log_data(log.data()).ok()
}
