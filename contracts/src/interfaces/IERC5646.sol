// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// ERC-5646: a token's state as one hash. Interface id 0xf5112315.
interface IERC5646 {
    function getStateFingerprint(uint256 tokenId) external view returns (bytes32);
}
