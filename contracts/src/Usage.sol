// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IUsage} from "./interfaces/IUsage.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// Owns the roots of what gateways recorded. Holds no money, has no owner, no parameter and no constructor, and knows
/// nothing of assets, channels or what a record says: whoever calls is a gateway.
contract Usage is IUsage {
    /// @dev Leaves of other trees, should they ever be hashed alike, are not leaves of this one.
    bytes32 private constant LEAF_DOMAIN = keccak256("Residual usage record");

    mapping(address gateway => mapping(uint64 epoch => bytes32)) public roots;

    function commit(uint64 epoch, bytes32 root, uint64 records, bytes32 file) external {
        if (root == 0) revert NoRoot();
        mapping(uint64 epoch => bytes32) storage own = roots[msg.sender];
        bytes32 committed = own[epoch];
        if (committed == root) return;
        if (committed != 0) revert OtherRoot(msg.sender, epoch, committed, root);
        if (epoch != 0 && own[epoch - 1] == 0) revert NoPreviousEpoch(msg.sender, epoch);

        own[epoch] = root;
        emit Committed(msg.sender, epoch, root, records, file);
    }

    function verify(address gateway, uint64 epoch, uint64 index, bytes32 record, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        // Hashed twice, and of more than two words: no inner node can pass for a leaf, nor a leaf for a node.
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(LEAF_DOMAIN, gateway, epoch, index, record))));
        bytes32 root = roots[gateway][epoch];
        // A proof's result is a hash, which is not 0; the root of an epoch without commitment is.
        return MerkleProof.verifyCalldata(proof, root, leaf);
    }
}
