//! Any EVM chain by JSON-RPC: bindings, deployment, transactions, accounts, log stream.
//!
//! The only crate that talks to a node. [`Chain::connect`] makes sure that the chain is the one that was meant;
//! [`Chain::call`] reads, [`Sender::send`] and [`Sender::send_once`] write, [`Chain::follow`] streams logs;
//! [`contracts`] holds what is said. It keeps no state but what a caller gives it a place for (keys, the journal of
//! intents, the deployment file), and it decides nothing about money: that is the contracts' and `royalty`'s.

mod account;
mod chain;
pub mod contracts;
pub mod deploy;
pub mod events;
pub mod http;
mod journal;
pub mod keystore;
mod logs;
mod revert;
mod rpc;
pub mod token;
mod transact;
pub mod usage;

pub use account::{Account, DevelopmentKeyError, InvalidKey};
pub use alloy_primitives::{Address, B256, Bytes, Signature, U256};
pub use alloy_rpc_types_eth::Log;
pub use alloy_sol_types::{Eip712Domain, SolCall, SolEvent, SolStruct, SolValue};
pub use chain::{CallError, Chain, Config, ConnectError, Finality};
pub use journal::JournalError;
pub use logs::{Checkpoint, LogError, LogQuery, LogStream, Update};
pub use revert::Revert;
pub use rpc::{Block, Receipt, RpcError};
pub use transact::{Sender, TransactError, Transaction};
