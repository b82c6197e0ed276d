// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// The tree of usage records, written down a second time: levels in memory instead of proofs, so that what `Usage`
/// verifies was not made by its own code.
library UsageTree {
    function leaf(address gateway, uint64 epoch, uint64 index, bytes32 record) internal pure returns (bytes32) {
        bytes32 domain = keccak256("Residual usage record");
        return keccak256(abi.encode(keccak256(abi.encode(domain, gateway, epoch, index, record))));
    }

    /// From the leaves up; the last level is the root alone.
    function levels(bytes32[] memory leaves) internal pure returns (bytes32[][] memory all) {
        uint256 height = 1;
        for (uint256 width = leaves.length; width > 1; width = (width + 1) / 2) {
            ++height;
        }
        all = new bytes32[][](height);
        all[0] = leaves;
        for (uint256 i = 1; i < height; ++i) {
            bytes32[] memory below = all[i - 1];
            bytes32[] memory level = new bytes32[]((below.length + 1) / 2);
            for (uint256 j = 0; j < level.length; ++j) {
                level[j] = 2 * j + 1 < below.length ? node(below[2 * j], below[2 * j + 1]) : below[2 * j];
            }
            all[i] = level;
        }
    }

    function root(bytes32[][] memory all) internal pure returns (bytes32) {
        return all[all.length - 1][0];
    }

    function proof(bytes32[][] memory all, uint256 index) internal pure returns (bytes32[] memory siblings) {
        siblings = new bytes32[](all.length);
        uint256 count;
        for (uint256 i = 0; i < all.length; ++i) {
            uint256 sibling = index ^ 1;
            if (sibling < all[i].length) siblings[count++] = all[i][sibling];
            index /= 2;
        }
        assembly ("memory-safe") {
            mstore(siblings, count)
        }
    }

    function node(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encodePacked(a, b)) : keccak256(abi.encodePacked(b, a));
    }
}
