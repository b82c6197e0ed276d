// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// The hook that terms may name: who may hold a licence under them. Called statically with at most 50,000 gas;
/// anything but a clean `true` means no.
interface IEligibility {
    function isEligible(address account, uint256 assetId, bytes32 termsId) external view returns (bool);
}
