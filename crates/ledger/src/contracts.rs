//! The released contracts: typed bindings of their functions, events and errors, and their code.
//!
//! All of it is made from `contracts/abi`, which is committed, so a build needs no Solidity compiler. The bindings hold
//! no connection: they encode and decode, and [`crate::Chain`] and [`crate::Sender`] carry.

use std::sync::LazyLock;

use alloy_json_abi::JsonAbi;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use residual_primitives::signed::ChannelConfig;
use serde::Deserialize;

/// Bindings of one contract in a module of its own, since contracts share the structs of their interfaces.
macro_rules! bindings {
    ($($(#[$doc:meta])* $module:ident: $name:ident from $abi:literal;)*) => {
        #[expect(missing_docs, reason = "generated; documented in contracts/src/interfaces")]
        mod generated {
            $(pub mod $module {
                alloy_sol_types::sol!(#[sol(all_derives)] $name, $abi);
            })*
        }
        $(
            pub use generated::$module;
            $(#[$doc])*
            pub use generated::$module::$name;
        )*

        /// A released contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Contract {
            $($(#[$doc])* $name,)*
        }

        impl Contract {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in Solidity.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What the compiler made of it.
            fn artifact(self) -> &'static Artifact {
                match self {
                    $(Self::$name => {
                        static ARTIFACT: LazyLock<Artifact> = LazyLock::new(|| Artifact::read(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $abi))));
                        &ARTIFACT
                    })*
                }
            }
        }
    };
}

bindings! {
    /// Registration, versions, lineage edges, control of an asset.
    assets: Assets from "../../contracts/abi/Assets.json";
    /// Who gets an asset's revenue and votes.
    shares: Shares from "../../contracts/abi/Shares.json";
    /// Terms, offers, buying, renewing, rights of a licence.
    licences: Licences from "../../contracts/abi/Licences.json";
    /// All revenue accounting.
    royalties: Royalties from "../../contracts/abi/Royalties.json";
    /// ERC-20 tokens waiting to be swept.
    till: Till from "../../contracts/abi/Till.json";
    /// Creates the core contracts at addresses that are known beforehand.
    deployer: Deployer from "../../contracts/abi/Deployer.json";
    /// Prepaid balances and vouchers, in the interface of x402 `batch-settlement`.
    channels: Channels from "../../contracts/abi/Channels.json";
    /// Deposits into channels by EIP-3009, for clients without gas.
    eip3009_deposit_collector: Eip3009DepositCollector from "../../contracts/abi/Eip3009DepositCollector.json";
    /// Deposits into channels by a plain allowance.
    transfer_deposit_collector: TransferDepositCollector from "../../contracts/abi/TransferDepositCollector.json";
    /// The roots of what gateways recorded.
    usage: Usage from "../../contracts/abi/Usage.json";
    /// Several calls in one.
    multicall3: Multicall3 from "../../contracts/abi/Multicall3.json";
    /// The development currency: six decimals, permit, EIP-3009.
    test_usd: TestUSD from "../../contracts/abi/TestUSD.json";
    /// Delays what the parameters' governors decide.
    timelock_controller: TimelockController from "../../contracts/abi/TimelockController.json";
}

/// A channel's configuration, as the contracts have it whose functions take one.
macro_rules! channel_configs {
    ($($module:ident)*) => {$(
        impl From<&ChannelConfig> for $module::IChannels::ChannelConfig {
            fn from(config: &ChannelConfig) -> Self {
                Self {
                    payer: config.payer,
                    payerAuthorizer: config.payerAuthorizer,
                    receiver: config.receiver,
                    receiverAuthorizer: config.receiverAuthorizer,
                    token: config.token,
                    withdrawDelay: config.withdrawDelay,
                    salt: config.salt,
                }
            }
        }
    )*};
}

channel_configs!(channels transfer_deposit_collector);

impl From<&channels::IChannels::ChannelConfig> for ChannelConfig {
    fn from(config: &channels::IChannels::ChannelConfig) -> Self {
        Self {
            payer: config.payer,
            payerAuthorizer: config.payerAuthorizer,
            receiver: config.receiver,
            receiverAuthorizer: config.receiverAuthorizer,
            token: config.token,
            withdrawDelay: config.withdrawDelay,
            salt: config.salt,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    abi: JsonAbi,
    bytecode: Bytes,
    deployed_bytecode: Bytes,
    /// For each immutable, where its value is put into the runtime code.
    immutable_references: Vec<Vec<Place>>,
}

#[derive(Deserialize)]
struct Place {
    start: usize,
    length: usize,
}

impl Artifact {
    fn read(json: &str) -> Self {
        serde_json::from_str(json).expect("a test reads every committed artifact")
    }
}

impl Contract {
    /// The code that creates it, before the constructor's arguments.
    #[must_use]
    pub fn creation_code(self) -> &'static Bytes {
        &self.artifact().bytecode
    }

    /// The code that lies on the ledger; immutables are zero in it.
    #[must_use]
    pub fn runtime_code(self) -> &'static Bytes {
        &self.artifact().deployed_bytecode
    }

    pub(crate) fn abi(self) -> &'static JsonAbi {
        &self.artifact().abi
    }

    /// Whether `code`, as it lies on a ledger, is this contract's, whatever its immutables are.
    #[must_use]
    pub fn is_code(self, code: &[u8]) -> bool {
        let artifact = self.artifact();
        let mut code = code.to_vec();
        if code.len() != artifact.deployed_bytecode.len() {
            return false;
        }
        for place in artifact.immutable_references.iter().flatten() {
            match code.get_mut(place.start..place.start + place.length) {
                Some(immutable) => immutable.fill(0),
                None => return false,
            }
        }
        code == artifact.deployed_bytecode
    }
}

/// The address at which every stock x402 client looks for [`Channels`], on every chain (npm `@x402/evm`).
pub const CANONICAL_CHANNELS: Address =
    alloy_primitives::address!("4020074e9dF2ce1deE5A9C1b5c3f541D02a10003");

/// The address of the collector that stock x402 clients name for EIP-3009 deposits.
pub const CANONICAL_EIP3009_COLLECTOR: Address =
    alloy_primitives::address!("4020806089470a89826cB9fB1f4059150b550004");

/// The address that [`Multicall3`] has on every chain.
pub const CANONICAL_MULTICALL3: Address =
    alloy_primitives::address!("cA11bde05977b3631167028862bE2a173976CA11");

/// The deterministic deployment proxy: called with a salt and creation code it makes a contract by CREATE2, at an
/// address that follows from the two and so is the same on every chain.
pub const CREATE2_PROXY: Address = alloy_primitives::address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// The proxy's runtime code, as it lies on public chains.
pub const CREATE2_PROXY_CODE: Bytes = Bytes::from_static(&alloy_primitives::hex!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
));

/// What a new ledger must hold so that stock clients find what they look for: addresses and runtime code.
///
/// The canonical [`Channels`], the collector that stock clients name, [`Multicall3`] and the deterministic deployment
/// proxy. On a public chain they are there already.
#[must_use]
pub fn genesis_alloc() -> Vec<(Address, Bytes)> {
    vec![
        (CANONICAL_CHANNELS, Contract::Channels.runtime_code().clone()),
        (CANONICAL_EIP3009_COLLECTOR, Contract::Eip3009DepositCollector.runtime_code().clone()),
        (CANONICAL_MULTICALL3, Contract::Multicall3.runtime_code().clone()),
        (CREATE2_PROXY, CREATE2_PROXY_CODE),
    ]
}

/// The address that the deterministic deployment proxy gives to `init_code` under `salt` (EIP-1014).
#[must_use]
pub fn create2_address(salt: B256, init_code: &[u8]) -> Address {
    CREATE2_PROXY.create2(salt, keccak256(init_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_artifact_is_read_and_has_code() {
        for &contract in Contract::ALL {
            assert!(!contract.abi().functions.is_empty(), "{contract:?}");
            assert!(!contract.creation_code().is_empty(), "{contract:?}");
            assert!(contract.is_code(contract.runtime_code()), "{contract:?}");
        }
    }

    #[test]
    fn an_immutable_may_differ_and_another_byte_may_not() {
        for &contract in Contract::ALL {
            let places = &contract.artifact().immutable_references;
            let mut code = contract.runtime_code().to_vec();
            for place in places.iter().flatten() {
                code[place.start..place.start + place.length].fill(0xee);
            }
            assert!(contract.is_code(&code), "{contract:?}");
            code[1] ^= 1;
            assert!(!contract.is_code(&code), "{contract:?}");
            assert!(!contract.is_code(&code[1..]), "{contract:?}");
        }
    }

    #[test]
    fn genesis_holds_what_the_committed_list_names() {
        #[derive(Deserialize)]
        struct Entry {
            contract: String,
            address: Address,
        }
        let listed: Vec<Entry> = serde_json::from_str(include_str!("../../../contracts/abi/canonical.json"))
            .expect("a committed list");
        let alloc = genesis_alloc();
        for entry in &listed {
            let (_, code) =
                alloc.iter().find(|(address, _)| *address == entry.address).expect("it is in genesis");
            let contract = Contract::ALL.iter().find(|contract| contract.name() == entry.contract);
            assert!(contract.expect("it is released").is_code(code), "{}", entry.contract);
        }
        assert_eq!(alloc.len(), listed.len() + 1, "the deployment proxy comes on top");
    }
}
