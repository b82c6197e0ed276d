//! Tills: an asset's payable addresses, one for each revenue kind and operator.

use alloy_primitives::{U256, keccak256};
use residual_primitives::{Address, AssetId, B256, RevenueKind};
use serde::{Deserialize, Serialize};

/// Which till: anyone can compute its address and pay it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Till {
    /// Whose revenue it takes.
    pub asset: AssetId,
    /// Of which kind.
    pub kind: RevenueKind,
    /// Through whose service; the zero address = nobody's.
    pub operator: Address,
    /// The operator's part of the shares' part, in basis points. It counts only while granted.
    pub operator_bps: u16,
}

/// The addresses that decide where tills are, and where the money is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contracts {
    /// `Royalties`, which makes the tills and holds all that was credited.
    pub royalties: Address,
    /// The contract that every till is a minimal proxy of.
    pub till_implementation: Address,
}

impl Till {
    /// The asset's own till of a kind, without an operator.
    #[must_use]
    pub fn own(asset: AssetId, kind: RevenueKind) -> Self {
        Self { asset, kind, operator: Address::ZERO, operator_bps: 0 }
    }

    /// The CREATE2 address of the till's ERC-1167 proxy, the salt being the hash of the ABI encoding of its fields.
    #[must_use]
    pub fn address(&self, contracts: Contracts) -> Address {
        let mut fields = [0; 128];
        fields[..32].copy_from_slice(&self.asset.to_u256().to_be_bytes::<32>());
        fields[63] = self.kind as u8;
        fields[76..96].copy_from_slice(self.operator.as_slice());
        fields[96..].copy_from_slice(&U256::from(self.operator_bps).to_be_bytes::<32>());
        let mut creation = Vec::with_capacity(55);
        creation.extend([
            0x3d, 0x60, 0x2d, 0x80, 0x60, 0x0a, 0x3d, 0x39, 0x81, 0xf3, 0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d,
            0x3d, 0x36, 0x3d, 0x73,
        ]);
        creation.extend(contracts.till_implementation);
        creation.extend([
            0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3,
        ]);
        let salt: B256 = keccak256(fields);
        contracts.royalties.create2(salt, keccak256(creation))
    }
}
