//! Running code: the rules of the chain, calls that change nothing, and estimates.
//!
//! Owns the hard fork (Osaka: all that solc 0.8.37 emits, transient storage, 7702, P-256; gas as on mainnet) and
//! the limits of a call. Changes no state; that is the writer's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_consensus::Header;
use alloy_eips::eip2930::{AccessList, AccessListItem, AccessListResult};
use alloy_evm::eth::{EthEvm, EthEvmBuilder, EthEvmContext};
use alloy_evm::overrides::{StateOverrideError, apply_block_overrides, apply_state_overrides};
use alloy_evm::precompiles::PrecompilesMap;
use alloy_evm::rpc::{EthTxEnvError, TryIntoTxEnv};
use alloy_evm::{Evm, EvmEnv};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest};
use alloy_sol_types::{Panic, Revert, SolError};
use revm::context::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, ResultAndState};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::database::State;
use revm::database_interface::bal::EvmDatabaseError;
use revm::inspector::Inspector;
use revm::interpreter::{InstructionResult, Interpreter};
use revm::primitives::hardfork::SpecId;

use crate::genesis::{BLOCK_GAS_LIMIT, TRANSACTION_GAS_LIMIT};
use crate::store::{Snapshot, StoreError};
use crate::view::View;

/// The rules by which code runs, in every block.
pub(crate) const SPEC: SpecId = SpecId::OSAKA;

/// Gas of one `eth_call`, at most; more is asked for in vain, as with geth's `rpc.gascap`.
pub(crate) const CALL_GAS_LIMIT: u64 = BLOCK_GAS_LIMIT;

/// Time of one `eth_call`, one access list or one whole estimate, at most.
pub(crate) const CALL_TIME_LIMIT: Duration = Duration::from_secs(5);

/// An estimate may be this share too high; narrowing it further costs a run for each halving (geth's figure).
const ESTIMATE_TOLERANCE: f64 = 0.015;

/// A call gave no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("execution reverted{}", reason(.0))]
    Reverted(Bytes),
    #[error("{}", halt_text(.0))]
    Halted(HaltReason),
    #[error("gas required exceeds allowance ({allowance})")]
    GasExceedsAllowance { allowance: u64 },
    #[error("execution aborted (timeout = {}s)", CALL_TIME_LIMIT.as_secs())]
    TimedOut,
    #[error("{0}")]
    Request(#[from] EthTxEnvError),
    #[error("{0}")]
    Override(StateOverrideError<EvmDatabaseError<StoreError>>),
    #[error("{}", invalid_text(.0))]
    Invalid(InvalidTransaction),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the EVM failed: {0}")]
    Evm(String),
}

impl From<EVMError<EvmDatabaseError<StoreError>>> for CallError {
    fn from(e: EVMError<EvmDatabaseError<StoreError>>) -> Self {
        match e {
            EVMError::Transaction(e) => Self::Invalid(e),
            EVMError::Database(e) => Self::Store(e.into()),
            other => Self::Evm(other.to_string()),
        }
    }
}

/// The text of a Solidity `Error` or `Panic`, as geth puts it.
fn reason(data: &Bytes) -> String {
    if let Ok(error) = Revert::abi_decode(data) {
        return format!(": {}", error.reason);
    }
    match Panic::abi_decode(data) {
        Ok(panic) => format!(": {}", panic.kind().map_or("unknown panic code", |kind| kind.as_str())),
        Err(_) => String::new(),
    }
}

/// The words that clients look for in geth's answers.
fn halt_text(halt: &HaltReason) -> String {
    match halt {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => "invalid opcode".into(),
        HaltReason::InvalidJump => "invalid jump destination".into(),
        HaltReason::CreateCollision => "contract address collision".into(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".into(),
        other => format!("execution halted: {other:?}"),
    }
}

/// Why a transaction or a call cannot run, in the words that clients look for in geth's answers.
pub(crate) fn invalid_text(e: &InvalidTransaction) -> String {
    match e {
        InvalidTransaction::NonceTooLow { tx, state } => {
            format!("nonce too low: next nonce {state}, tx nonce {tx}")
        }
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            format!("insufficient funds for gas * price + value: balance {balance}, tx cost {fee}")
        }
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: gas {gas_limit}, minimum needed {initial_gas}")
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            format!(
                "intrinsic gas too low: gas {gas_limit}, minimum needed for its data {gas_floor} (EIP-7623)"
            )
        }
        InvalidTransaction::CreateInitCodeSizeLimit => "max initcode size exceeded".into(),
        InvalidTransaction::RejectCallerWithCode => "sender not an eoa: it has code (EIP-3607)".into(),
        InvalidTransaction::EmptyAuthorizationList => "EIP-7702 transaction with empty auth list".into(),
        other => other.to_string(),
    }
}

/// The rules with which a block's transactions run.
pub(crate) fn block_rules(chain_id: u64, header: &Header) -> EvmEnv {
    let block_env = BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new_with_spec(0, SPEC)),
        ..BlockEnv::default()
    };
    EvmEnv::new(CfgEnv::new_with_spec(SPEC).with_chain_id(chain_id), block_env)
}

/// What a call may ask for besides its request.
#[derive(Default)]
pub(crate) struct Overrides {
    pub(crate) state: Option<StateOverride>,
    pub(crate) block: Option<Box<BlockOverrides>>,
}

type CallEvm = EthEvm<State<View>, Deadline, PrecompilesMap>;

/// One call against the state after block `at`, under the rules of the block whose header is given.
pub(crate) struct Call {
    evm: CallEvm,
    tx: TxEnv,
    /// The gas the caller asked for, `None` to have as much as there is.
    asked: Option<u64>,
}

impl Call {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        at: u64,
        mut rules: EvmEnv,
        request: TransactionRequest,
        overrides: Overrides,
    ) -> Result<Self, CallError> {
        // As geth: a call needs no nonce, no fee and no key, and may use more gas than a transaction.
        rules.cfg_env.disable_nonce_check = true;
        rules.cfg_env.disable_base_fee = true;
        rules.cfg_env.disable_block_gas_limit = true;
        rules.cfg_env.disable_eip3607 = true;
        rules.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
        let mut state = State::builder().with_database(View::new(snapshot, at)).build();
        if let Some(block) = overrides.block {
            apply_block_overrides(*block, &mut state, &mut rules.block_env);
        }
        if let Some(accounts) = overrides.state {
            apply_state_overrides(accounts, &mut state).map_err(CallError::Override)?;
        }
        let asked = request.gas;
        let mut tx = request.try_into_tx_env(&rules)?;
        tx.gas_limit = asked.unwrap_or(CALL_GAS_LIMIT).min(CALL_GAS_LIMIT);
        let deadline = Deadline { at: Instant::now() + CALL_TIME_LIMIT, steps: 0, passed: false };
        let evm = EthEvmBuilder::new(state, rules).activate_inspector(deadline).build();
        let mut call = Self { evm, tx, asked };
        if call.tx.gas_price > 0 {
            call.tx.gas_limit = call.tx.gas_limit.min(call.affordable_gas()?);
        }
        Ok(call)
    }

    /// What the caller can pay for after the value is sent.
    fn affordable_gas(&mut self) -> Result<u64, CallError> {
        let caller = revm::Database::basic(self.evm.db_mut(), self.tx.caller).map_err(StoreError::from)?;
        let balance = caller.map(|account| account.balance).unwrap_or_default();
        let left = balance.checked_sub(self.tx.value).ok_or_else(|| {
            CallError::Invalid(InvalidTransaction::LackOfFundForMaxFee {
                fee: Box::new(self.tx.value),
                balance: Box::new(balance),
            })
        })?;
        Ok((left / U256::from(self.tx.gas_price)).saturating_to())
    }

    /// Runs it with `gas`, as often as one likes: nothing is kept.
    fn run(&mut self, gas: u64) -> Result<ResultAndState, CallError> {
        let result = self.evm.transact(TxEnv { gas_limit: gas, ..self.tx.clone() })?;
        if self.evm.inspector().passed {
            return Err(CallError::TimedOut);
        }
        Ok(result)
    }

    /// What the call returns.
    pub(crate) fn output(mut self) -> Result<Bytes, CallError> {
        match self.run(self.tx.gas_limit)?.result {
            ExecutionResult::Success { output, .. } => Ok(output.into_data()),
            ExecutionResult::Revert { output, .. } => Err(CallError::Reverted(output)),
            ExecutionResult::Halt { reason, .. } => Err(CallError::Halted(reason)),
        }
    }

    /// The least gas limit with which the transaction succeeds, up to a small tolerance.
    pub(crate) fn estimate(mut self) -> Result<u64, CallError> {
        let cap = self.asked.unwrap_or(TRANSACTION_GAS_LIMIT).min(TRANSACTION_GAS_LIMIT);
        let mut enough = cap.min(self.tx.gas_limit);
        if self.is_plain_transfer()? && self.succeeds(21_000)? {
            return Ok(21_000);
        }
        let allowance = enough;
        let gas = match self.run(enough) {
            Ok(ResultAndState { result: ExecutionResult::Success { gas, .. }, .. }) => gas,
            Ok(ResultAndState { result: ExecutionResult::Revert { output, .. }, .. }) => {
                return Err(CallError::Reverted(output));
            }
            Ok(ResultAndState { result: ExecutionResult::Halt { reason, .. }, .. }) => {
                return Err(match reason {
                    HaltReason::OutOfGas(_) => CallError::GasExceedsAllowance { allowance },
                    other => CallError::Halted(other),
                });
            }
            Err(CallError::Invalid(
                InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
                | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
            )) => return Err(CallError::GasExceedsAllowance { allowance }),
            Err(other) => return Err(other),
        };
        // It cannot do with less than it used; with the refund, a stipend and what the 63/64 rule withholds at one
        // level, it usually can.
        let mut too_little = gas.tx_gas_used().saturating_sub(1);
        let likely = (gas.total_gas_spent() + 2_300) * 64 / 63;
        if likely < enough {
            if self.succeeds(likely)? { enough = likely } else { too_little = likely }
        }
        while too_little + 1 < enough && (enough - too_little) as f64 / enough as f64 >= ESTIMATE_TOLERANCE {
            // Most need little more than the lower bound, so steps up from it are doublings at most.
            let middle = (too_little + (enough - too_little) / 2)
                .min(too_little.saturating_mul(2))
                .max(too_little + 1);
            if self.succeeds(middle)? { enough = middle } else { too_little = middle }
        }
        Ok(enough)
    }

    fn succeeds(&mut self, gas: u64) -> Result<bool, CallError> {
        match self.run(gas) {
            Ok(done) => Ok(done.result.is_success()),
            Err(CallError::Invalid(
                InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
                | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
            )) => Ok(false),
            Err(other) => Err(other),
        }
    }

    fn is_plain_transfer(&mut self) -> Result<bool, CallError> {
        let TxKind::Call(to) = self.tx.kind else { return Ok(false) };
        let bare = self.tx.data.is_empty()
            && self.tx.access_list.0.is_empty()
            && self.tx.authorization_list.is_empty();
        let target = revm::Database::basic(self.evm.db_mut(), to).map_err(StoreError::from)?;
        Ok(bare && target.is_none_or(|account| account.is_empty_code_hash()))
    }

    /// The accounts and slots that the call reads or writes, but those that are warm anyway (EIP-2929, EIP-3651),
    /// and what the call uses and ends in with this list.
    pub(crate) fn access_list(mut self) -> Result<AccessListResult, CallError> {
        let ResultAndState { result, state } = self.run(self.tx.gas_limit)?;
        let warm = |address: &Address| {
            *address == self.tx.caller
                || self.tx.kind.to() == Some(address)
                || *address == self.evm.block().beneficiary
                || result.created_address() == Some(*address)
                || self.evm.precompiles().get(address).is_some()
        };
        let mut items: Vec<AccessListItem> = state
            .iter()
            .filter(|(address, account)| !account.storage.is_empty() || !warm(address))
            .map(|(address, account)| {
                let mut storage_keys: Vec<B256> =
                    account.storage.keys().map(|slot| B256::from(*slot)).collect();
                storage_keys.sort_unstable();
                AccessListItem { address: *address, storage_keys }
            })
            .collect();
        items.sort_by_key(|item| item.address);
        let access_list = AccessList(items);
        self.tx.access_list = access_list.clone();
        self.tx.tx_type = self.tx.tx_type.max(1);
        let result = self.run(self.tx.gas_limit)?.result;
        let error = match &result {
            ExecutionResult::Success { .. } => None,
            ExecutionResult::Revert { output, .. } => Some(CallError::Reverted(output.clone()).to_string()),
            ExecutionResult::Halt { reason, .. } => Some(halt_text(reason)),
        };
        Ok(AccessListResult { access_list, gas_used: U256::from(result.tx_gas_used()), error })
    }
}

/// Stops a run whose time is over. Gas bounds the work already; this bounds it on a slow disk or a busy machine.
struct Deadline {
    at: Instant,
    steps: u32,
    passed: bool,
}

impl<DB: alloy_evm::Database> Inspector<EthEvmContext<DB>> for Deadline {
    fn step(&mut self, interpreter: &mut Interpreter, _: &mut EthEvmContext<DB>) {
        self.steps = self.steps.wrapping_add(1);
        // A look at the clock costs more than an instruction.
        if self.steps.is_multiple_of(1024) && Instant::now() > self.at {
            self.passed = true;
        }
        if self.passed {
            interpreter.halt(InstructionResult::OutOfGas);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;

    use super::*;
    use crate::genesis::{self, Genesis, GenesisAccount};
    use crate::store::{Facts, Store};

    #[test]
    fn a_call_ends_with_its_time() {
        let forever = Address::with_last_byte(0xaa);
        let account = GenesisAccount { code: hex!("5b5f56").into(), ..GenesisAccount::default() };
        let genesis = Genesis { accounts: [(forever, account)].into() };
        let first = genesis::block(&genesis, false, [0; 16], 1);
        let dir = tempfile::tempdir().unwrap();
        let facts =
            Facts { chain_id: 1, development: false, incarnation: [0; 16], mark: [0; 16], clock_ahead_s: 0 };
        let store = Store::create(&dir.path().join("store"), &facts, &first).unwrap();
        let request = TransactionRequest::default().to(forever);
        let rules = block_rules(1, &first.block.header);
        let call = || {
            let snapshot = store.snapshot().unwrap();
            Call::new(snapshot, 0, rules.clone(), request.clone(), Overrides::default()).unwrap()
        };
        assert!(matches!(call().output(), Err(CallError::Halted(HaltReason::OutOfGas(_)))));
        let mut late = call();
        late.evm.inspector_mut().at = Instant::now();
        assert!(matches!(late.output(), Err(CallError::TimedOut)));
    }
}
