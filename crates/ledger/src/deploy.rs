//! Putting the contracts on a chain at addresses that are known beforehand, and finding them there again.
//!
//! Owns the order of creation and the deployment file. An address follows from who deploys, from the parameters and
//! from the code, so a repetition finds what is there and goes on after it, and another release or other parameters
//! never meet it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolValue;
use residual_durable as durable;
use residual_primitives::MAX_TOKENS;
use serde::{Deserialize, Serialize};

use crate::{
    chain::Chain,
    contracts::{
        CANONICAL_CHANNELS, CANONICAL_EIP3009_COLLECTOR, CREATE2_PROXY, CREATE2_PROXY_CODE, Contract,
        Deployer, create2_address,
    },
    logs::Checkpoint,
    rpc::RpcError,
    transact::{Sender, TransactError, Transaction},
};

/// The longest deployment file that is read, in bytes.
const FILE_MAX: u64 = 64 << 10;
/// The form of the deployment file.
const FILE_VERSION: u32 = 1;

/// Why a contract is not where it should be.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// More currencies than are ever listed.
    #[error("expected at most {MAX_TOKENS} currencies, found {found}; no later one can be listed either")]
    TooManyCurrencies {
        /// How many.
        found: usize,
    },
    /// The chain has no deterministic deployment proxy.
    #[error(
        "expected the deterministic deployment proxy at {CREATE2_PROXY} on chain {chain_id}, found {found}; \
        send its one well-known transaction there first (github.com/Arachnid/deterministic-deployment-proxy)"
    )]
    NoProxy {
        /// The chain.
        chain_id: u64,
        /// What lies there.
        found: &'static str,
    },
    /// A contract that is not this project's to create is missing.
    #[error(
        "expected {contract} at {address} on chain {chain_id}, found no code; choose a chain that has it"
    )]
    NotThere {
        /// Its name.
        contract: &'static str,
        /// Where stock clients look for it.
        address: Address,
        /// The chain.
        chain_id: u64,
    },
    /// What lies at a contract's address is something else.
    #[error(
        "expected {contract} at {address}, found {found}; is this the right chain and the right release?"
    )]
    OtherCode {
        /// Its name.
        contract: &'static str,
        /// Its address.
        address: Address,
        /// What lies there.
        found: &'static str,
    },
    /// A creation was not carried out.
    #[error("{contract}: {source}")]
    Transact {
        /// What was to be created.
        contract: &'static str,
        /// Why not.
        source: TransactError,
    },
    /// The node does not answer.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

/// Why a deployment file is no use.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// The disk or its permissions.
    #[error("{}: {source}; the deployment file must be there to read and write", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("{}: expected a deployment file of version {FILE_VERSION}, found {reason}; remove it and deploy again, \
        which finds what is there", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The deployment is on another chain, or the chain was begun anew.
    #[error("expected the deployment's chain {expected_id}, found {}; use that chain's node, or deploy here",
        if expected_id == found_id { "another history of it".to_owned() } else { format!("chain {found_id}") })]
    OtherChain {
        /// The chain in the file.
        expected_id: u64,
        /// The chain that is connected.
        found_id: u64,
    },
    /// A contract is gone or another one.
    #[error(
        "expected {contract} at {address} with code {expected}, found {found}; this is not the chain that the \
        deployment was made on"
    )]
    OtherCode {
        /// Its name.
        contract: String,
        /// Its address.
        address: Address,
        /// The hash of its code in the file.
        expected: B256,
        /// The hash of what lies there.
        found: B256,
    },
    /// The node does not answer.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

/// What a suite is made with. None of it can be changed in a suite but by its timelock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// How long the timelock holds a decision, in seconds.
    pub governance_delay_s: u64,
    /// Who may propose and carry out decisions: the DAO.
    pub proposer: Address,
    /// Who may freeze.
    pub arbiter: Address,
    /// Who gets the protocol fee.
    pub treasury: Address,
    /// The protocol fee in basis points, at most 500.
    pub fee_bps: u16,
    /// The currencies that are listed from the start.
    pub listed: Vec<Address>,
    /// Whether [`crate::contracts::TestUSD`] is created and listed as well. Anybody mints it: for development only.
    pub test_usd: bool,
    /// Zero, or another number for another suite with the same parameters.
    pub salt: B256,
}

/// Where a suite is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    version: u32,
    /// The chain.
    pub chain_id: u64,
    /// A final block before the first of the suite's logs: where a log stream begins.
    pub block: Checkpoint,
    /// Creates the others.
    pub deployer: Placed,
    /// Delays decisions.
    pub timelock: Placed,
    /// Registration, versions, lineage.
    pub assets: Placed,
    /// Shares.
    pub shares: Placed,
    /// Terms and licences.
    pub licences: Placed,
    /// Revenue accounting.
    pub royalties: Placed,
    /// The channels that stock clients know.
    pub channels: Placed,
    /// Their collector for EIP-3009 deposits.
    pub eip3009_collector: Placed,
    /// The project's collector for deposits by allowance.
    pub transfer_collector: Placed,
    /// What gateways commit their usage records to.
    pub usage: Placed,
    /// The currencies that were listed from the start; the first is the one that prices are said in.
    pub listed: Vec<Address>,
    /// The development currency, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub test_usd: Option<Placed>,
}

/// A contract's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Placed {
    /// Its address.
    pub address: Address,
    /// The keccak-256 of its code.
    pub code_hash: B256,
}

impl Deployment {
    /// The four contracts from whose logs every row and every credit follows.
    #[must_use]
    pub fn core(&self) -> [Address; 4] {
        [self.assets, self.shares, self.licences, self.royalties].map(|placed| placed.address)
    }

    fn contracts(&self) -> BTreeMap<&'static str, Placed> {
        let mut contracts = BTreeMap::from([
            ("Deployer", self.deployer),
            ("TimelockController", self.timelock),
            ("Assets", self.assets),
            ("Shares", self.shares),
            ("Licences", self.licences),
            ("Royalties", self.royalties),
            ("Channels", self.channels),
            ("Eip3009DepositCollector", self.eip3009_collector),
            ("TransferDepositCollector", self.transfer_collector),
            ("Usage", self.usage),
        ]);
        contracts.extend(self.test_usd.map(|placed| ("TestUSD", placed)));
        contracts
    }

    /// Writes the file; whole and durable or not at all.
    ///
    /// # Errors
    /// [`DeploymentError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), DeploymentError> {
        let mut json = serde_json::to_vec_pretty(self).expect("the file's form has string keys only");
        json.push(b'\n');
        durable::write(path, &json).map_err(|source| DeploymentError::Io { path: path.to_owned(), source })
    }

    /// Reads the file, none if there is none, and makes sure that the chain is that chain and holds those contracts.
    ///
    /// # Errors
    /// See [`DeploymentError`].
    pub async fn load(chain: &Chain, path: &Path) -> Result<Option<Self>, DeploymentError> {
        let mut json = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut json));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DeploymentError::Io { path: path.to_owned(), source }),
            Ok(_) => {}
        }
        let corrupt = |reason| DeploymentError::Corrupt { path: path.to_owned(), reason };
        let deployment: Self = serde_json::from_slice(&json).map_err(|error| corrupt(error.to_string()))?;
        if deployment.version != FILE_VERSION {
            return Err(corrupt(format!("version {}", deployment.version)));
        }
        deployment.verify(chain).await?;
        Ok(Some(deployment))
    }

    /// Makes sure that the core contracts are those of this release, wherever the file came from. Not that they were
    /// made with good parameters: whoever hands out a deployment is trusted with that.
    ///
    /// # Errors
    /// [`DeployError::OtherCode`], or when the node does not answer.
    pub async fn check_release(&self, chain: &Chain) -> Result<(), DeployError> {
        let core = [
            (Contract::Assets, self.assets),
            (Contract::Shares, self.shares),
            (Contract::Licences, self.licences),
            (Contract::Royalties, self.royalties),
            (Contract::TransferDepositCollector, self.transfer_collector),
            (Contract::Usage, self.usage),
        ];
        for (contract, at) in core {
            if placed(chain, contract, at.address).await?.is_none() {
                let (contract, address) = (contract.name(), at.address);
                return Err(DeployError::OtherCode { contract, address, found: "no code" });
            }
        }
        Ok(())
    }

    async fn verify(&self, chain: &Chain) -> Result<(), DeploymentError> {
        let block = if chain.id() == self.chain_id { chain.block(self.block.number).await? } else { None };
        if block.is_none_or(|block| block.hash != self.block.hash) {
            return Err(DeploymentError::OtherChain { expected_id: self.chain_id, found_id: chain.id() });
        }
        for (contract, Placed { address, code_hash: expected }) in self.contracts() {
            let found = keccak256(chain.code(address).await?);
            if found != expected {
                return Err(DeploymentError::OtherCode {
                    contract: contract.to_owned(),
                    address,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }
}

/// Creates the whole suite, or what of it is missing, and makes sure of the rest.
///
/// Its addresses follow from the sender, the parameters and the code. Interrupted, it is repeated with a sender of the
/// same account and journal ([`Chain::journaled_sender`]). On a chain of several owners nobody else can take part: the
/// deployer obeys the sender only.
///
/// # Errors
/// See [`DeployError`].
pub async fn suite(sender: &Sender, parameters: &Parameters) -> Result<Deployment, DeployError> {
    let currencies: BTreeSet<_> = parameters.listed.iter().collect();
    let found = currencies.len() + usize::from(parameters.test_usd);
    if found > MAX_TOKENS {
        return Err(DeployError::TooManyCurrencies { found });
    }
    let chain = sender.chain();
    let before = chain.final_head().await?;
    let channels = there(chain, "Channels", CANONICAL_CHANNELS).await?;
    let eip3009_collector = there(chain, "Eip3009DepositCollector", CANONICAL_EIP3009_COLLECTOR).await?;
    let transfer_collector = create2(sender, Contract::TransferDepositCollector, B256::ZERO, &[]).await?;
    let usage = create2(sender, Contract::Usage, B256::ZERO, &[]).await?;
    let mut listed = parameters.listed.clone();
    let test_usd = match parameters.test_usd {
        true => Some(create2(sender, Contract::TestUSD, B256::ZERO, &[]).await?),
        false => None,
    };
    listed.extend(test_usd.map(|placed| placed.address));

    let owner = sender.address();
    let salt = keccak256(
        (
            parameters.salt,
            U256::from(parameters.governance_delay_s),
            parameters.proposer,
            parameters.arbiter,
            parameters.treasury,
            U256::from(parameters.fee_bps),
            listed.clone(),
            release(),
        )
            .abi_encode(),
    );
    let deployer_code = init_code(Contract::Deployer, &owner.abi_encode());
    let is_new = chain.code(create2_address(salt, &deployer_code)).await?.is_empty();
    let deployer = create2(sender, Contract::Deployer, salt, &owner.abi_encode()).await?;
    // Only of what was not there before is it known when it came; the beginning of the chain is right for the rest.
    let block = if is_new { Some(before) } else { chain.block(0).await? };
    let block =
        block.as_ref().map_or(Checkpoint { number: before.number, hash: before.hash }, Checkpoint::from);

    // The first account of a contract's own making has nonce 1 (EIP-161).
    let [timelock, assets, shares, licences, royalties] = [1, 2, 3, 4, 5].map(|n| deployer.address.create(n));
    let proposers = vec![parameters.proposer];
    let delay = U256::from(parameters.governance_delay_s);
    let create = |contract, address, arguments: Vec<u8>| {
        create_placed(sender, &deployer, contract, address, arguments)
    };
    Ok(Deployment {
        version: FILE_VERSION,
        chain_id: chain.id(),
        block,
        deployer,
        timelock: create(
            Contract::TimelockController,
            timelock,
            (delay, proposers.clone(), proposers, Address::ZERO).abi_encode_params(),
        )
        .await?,
        assets: create(Contract::Assets, assets, (shares, licences, royalties).abi_encode_params()).await?,
        shares: create(Contract::Shares, shares, (assets, royalties).abi_encode_params()).await?,
        licences: create(Contract::Licences, licences, (assets, royalties).abi_encode_params()).await?,
        royalties: create(
            Contract::Royalties,
            royalties,
            (
                assets,
                shares,
                licences,
                timelock,
                parameters.arbiter,
                parameters.treasury,
                U256::from(parameters.fee_bps),
                listed.clone(),
            )
                .abi_encode_params(),
        )
        .await?,
        channels,
        eip3009_collector,
        transfer_collector,
        usage,
        listed,
        test_usd,
    })
}

/// What tells one release of the core contracts from another: the hash of all that they are made of.
fn release() -> B256 {
    let parts = [
        Contract::TimelockController,
        Contract::Assets,
        Contract::Shares,
        Contract::Licences,
        Contract::Royalties,
    ];
    keccak256(parts.map(|contract| keccak256(contract.creation_code())).concat())
}

fn init_code(contract: Contract, arguments: &[u8]) -> Vec<u8> {
    [contract.creation_code(), arguments].concat()
}

/// A contract that must be there already.
async fn there(chain: &Chain, contract: &'static str, address: Address) -> Result<Placed, DeployError> {
    let code = chain.code(address).await?;
    if code.is_empty() {
        return Err(DeployError::NotThere { contract, address, chain_id: chain.id() });
    }
    Ok(Placed { address, code_hash: keccak256(code) })
}

/// A released contract at its address, none if nothing is there yet.
async fn placed(chain: &Chain, contract: Contract, address: Address) -> Result<Option<Placed>, DeployError> {
    let code = chain.code(address).await?;
    if code.is_empty() {
        return Ok(None);
    }
    if !contract.is_code(&code) {
        return Err(DeployError::OtherCode { contract: contract.name(), address, found: "other code" });
    }
    Ok(Some(Placed { address, code_hash: keccak256(code) }))
}

/// Creates a released contract by the deterministic deployment proxy, unless it is there: its address follows from
/// salt, code and encoded constructor arguments.
///
/// # Errors
/// See [`DeployError`].
pub async fn create2(
    sender: &Sender,
    contract: Contract,
    salt: B256,
    arguments: &[u8],
) -> Result<Placed, DeployError> {
    let chain = sender.chain();
    let init_code = init_code(contract, arguments);
    let address = create2_address(salt, &init_code);
    if let Some(placed) = placed(chain, contract, address).await? {
        return Ok(placed);
    }
    check_proxy(chain).await?;
    let data: Bytes = [salt.as_slice(), &init_code].concat().into();
    let creation = Transaction { to: Some(CREATE2_PROXY), data, value_wei: U256::ZERO, gas_max: None };
    create_once(sender, contract, address, &creation).await
}

/// Creates a core contract by the deployer, unless it is there.
async fn create_placed(
    sender: &Sender,
    deployer: &Placed,
    contract: Contract,
    address: Address,
    arguments: Vec<u8>,
) -> Result<Placed, DeployError> {
    if let Some(placed) = placed(sender.chain(), contract, address).await? {
        return Ok(placed);
    }
    let init_code = init_code(contract, &arguments).into();
    let creation = Transaction::call(deployer.address, &Deployer::createCall { initCode: init_code });
    create_once(sender, contract, address, &creation).await
}

/// Sent twice, a creation by the deployer would leave a contract where the next one belongs; hence the intent.
async fn create_once(
    sender: &Sender,
    contract: Contract,
    address: Address,
    creation: &Transaction,
) -> Result<Placed, DeployError> {
    let name = contract.name();
    let intent = keccak256((address, &creation.data).abi_encode());
    let sent = sender.send_once(intent, creation).await;
    sent.map_err(|source| DeployError::Transact { contract: name, source })?;
    let placed = placed(sender.chain(), contract, address).await?;
    placed.ok_or(DeployError::OtherCode { contract: name, address, found: "no code after its creation" })
}

async fn check_proxy(chain: &Chain) -> Result<(), DeployError> {
    let code: Bytes = chain.code(CREATE2_PROXY).await?;
    let found = match code {
        code if code == CREATE2_PROXY_CODE => return Ok(()),
        code if code.is_empty() => "nothing",
        _ => "other code",
    };
    Err(DeployError::NoProxy { chain_id: chain.id(), found })
}
