//! Messages that people and gateways sign (EIP-712), and their domains.
//!
//! The channel messages are those of x402 v2 `batch-settlement` to the byte, so that stock clients, servers and
//! facilitators understand ours and we theirs.

use alloy_primitives::{Address, B256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};

sol! {
    /// Who pays whom through a channel, in which token, and how long the payer waits to take money back.
    #[derive(Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct ChannelConfig {
        address payer;
        address payerAuthorizer;
        address receiver;
        address receiverAuthorizer;
        address token;
        uint40 withdrawDelay;
        bytes32 salt;
    }

    /// The payer's cumulative promise: of this channel at most `maxClaimableAmount` may ever be claimed.
    #[derive(Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Voucher {
        bytes32 channelId;
        uint128 maxClaimableAmount;
    }

    /// The receiver's word that `amount` of a channel goes back to its payer, good for the channel's refund number `nonce`
    /// alone, so that it is carried out once however often it is sent.
    #[derive(Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Refund {
        bytes32 channelId;
        uint256 nonce;
        uint128 amount;
    }

    /// The payer's anchor of a window of uses on a channel: up to `maxTicks` of `unitPrice` each, counted by `gateway`
    /// from `base` on, each paid for by one preimage of the hash chain that ends in `root`. `termsHash` is the hash of
    /// what a use is.
    #[derive(Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct TickOpen {
        address gateway;
        bytes32 channelId;
        uint128 base;
        uint128 unitPrice;
        uint32 maxTicks;
        bytes32 root;
        bytes32 termsHash;
    }

    /// The payer's wish that `gateway` end the window `root` of a channel before it is used up. It ends that one and no
    /// other, however often it is shown.
    #[derive(Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct TickClose {
        address gateway;
        bytes32 channelId;
        bytes32 root;
    }

    /// A buyer's wish for the key of one version, answered only to `hpkePublicKey` and only by `gateway`.
    #[derive(Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct KeyRequest {
        uint256 licenceId;
        uint32 version;
        bytes32 hpkePublicKey;
        bytes32 nonce;
        uint64 expiry;
        address gateway;
    }
}

/// The domain of channel messages: `("x402 Batch Settlement", "1", chain, contract)`.
#[must_use]
pub fn channels_domain(chain_id: u64, channels: Address) -> Eip712Domain {
    eip712_domain! {
        name: "x402 Batch Settlement",
        version: "1",
        chain_id: chain_id,
        verifying_contract: channels,
    }
}

/// The domain of what payers sign for gateways, and the ledger never sees: `("Residual Gateway", "1", chain, contract)`,
/// with the contract of the channels that are paid through.
#[must_use]
pub fn gateway_domain(chain_id: u64, channels: Address) -> Eip712Domain {
    eip712_domain! {
        name: "Residual Gateway",
        version: "1",
        chain_id: chain_id,
        verifying_contract: channels,
    }
}

/// The domain of key requests, bound to the chain and its `Licences` contract.
#[must_use]
pub fn licences_domain(chain_id: u64, licences: Address) -> Eip712Domain {
    eip712_domain! {
        name: "Residual Licences",
        version: "1",
        chain_id: chain_id,
        verifying_contract: licences,
    }
}

impl ChannelConfig {
    /// The channel's id: the EIP-712 digest of its configuration in the domain of the channels' contract.
    #[must_use]
    pub fn channel_id(&self, domain: &Eip712Domain) -> B256 {
        self.eip712_signing_hash(domain)
    }

    /// Whether all that a served channel must have is there: an authorising key of the payer's own, since a contract
    /// wallet could otherwise unsay its vouchers.
    #[must_use]
    pub fn can_be_served(&self) -> bool {
        self.payerAuthorizer != Address::ZERO
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{U256, keccak256};
    use alloy_sol_types::SolValue;
    use serde_json::Value;

    use super::*;

    /// Digests made by the stock x402 library, shared with the Solidity tests.
    const VECTORS: &str = include_str!("../../../contracts/test/vectors/x402.json");

    #[test]
    fn channel_ids_and_voucher_digests_are_those_of_stock_x402() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let channels: Address = serde_json::from_value(vectors["channels"].clone()).unwrap();
        let domain = channels_domain(vectors["chainId"].as_u64().unwrap(), channels);
        let vouchers = vectors["vouchers"].as_array().unwrap();
        assert!(!vouchers.is_empty());
        for vector in vouchers {
            let config: ChannelConfig = serde_json::from_value(vector["config"].clone()).unwrap();
            let channel_id: B256 = serde_json::from_value(vector["channelId"].clone()).unwrap();
            assert_eq!(config.channel_id(&domain), channel_id);
            let voucher = Voucher {
                channelId: channel_id,
                maxClaimableAmount: vector["maxClaimableAmount"].as_str().unwrap().parse().unwrap(),
            };
            let digest: B256 = serde_json::from_value(vector["digest"].clone()).unwrap();
            assert_eq!(voucher.eip712_signing_hash(&domain), digest);
        }
    }

    /// Written out after EIP-712 by hand: the type string, the fields in words, the domain.
    #[test]
    fn a_window_and_its_end_are_signed_over_all_of_their_fields() {
        let (gateway, channels) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let open = TickOpen {
            gateway,
            channelId: B256::repeat_byte(3),
            base: 40,
            unitPrice: 5,
            maxTicks: 1024,
            root: B256::repeat_byte(6),
            termsHash: B256::repeat_byte(7),
        };
        let types = "TickOpen(address gateway,bytes32 channelId,uint128 base,uint128 unitPrice,uint32 maxTicks,\
                     bytes32 root,bytes32 termsHash)";
        let fields = (
            gateway,
            open.channelId,
            U256::from(40),
            U256::from(5),
            U256::from(1024),
            open.root,
            open.termsHash,
        );
        let message = keccak256([keccak256(types).to_vec(), fields.abi_encode()].concat());
        let domain_types =
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
        let domain = (keccak256("Residual Gateway"), keccak256("1"), U256::from(9), channels);
        let domain = keccak256([keccak256(domain_types).to_vec(), domain.abi_encode()].concat());
        let digest = keccak256([&[0x19, 0x01], domain.as_slice(), message.as_slice()].concat());
        assert_eq!(open.eip712_signing_hash(&gateway_domain(9, channels)), digest);

        let close = TickClose { gateway, channelId: open.channelId, root: open.root };
        let types = "TickClose(address gateway,bytes32 channelId,bytes32 root)";
        let fields = (gateway, open.channelId, open.root);
        let message = keccak256([keccak256(types).to_vec(), fields.abi_encode()].concat());
        let digest = keccak256([&[0x19, 0x01], domain.as_slice(), message.as_slice()].concat());
        assert_eq!(close.eip712_signing_hash(&gateway_domain(9, channels)), digest);
    }
}
