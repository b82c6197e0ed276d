// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IUsage} from "../../src/interfaces/IUsage.sol";
import {UsageTree} from "../support/UsageTree.sol";
import {GasTable} from "./GasTable.sol";

/// An epoch costs what it costs, whatever number of records it has; a proof grows with the logarithm of that number.
/// forge-config: default.isolate = true
contract UsageGasTest is GasTable {
    uint256 private constant DEPTH = 20;
    uint64 private constant RECORDS = uint64(1 << DEPTH);

    IUsage private usage;

    function setUp() external {
        usage = IUsage(vm.deployCode("Usage.sol:Usage"));
        usage.commit(0, keccak256("first root"), RECORDS, keccak256("first file"));
    }

    function test_gas_usage_commit() external {
        usage.commit(1, keccak256("root"), RECORDS, keccak256("file"));
        recordLastCall("usage_commit", 55_000);
    }

    function test_gas_usage_commit_again() external {
        usage.commit(0, keccak256("first root"), RECORDS, keccak256("first file"));
        recordLastCall("usage_commit_again", 26_000);
    }

    /// One of 1,048,576 records: a path of a tree of which nothing else is looked at.
    function test_gas_usage_verify_20() external {
        bytes32[] memory proof = new bytes32[](DEPTH);
        bytes32 node = UsageTree.leaf(address(this), 1, RECORDS - 1, keccak256("record"));
        for (uint256 i = 0; i < DEPTH; ++i) {
            proof[i] = keccak256(abi.encode(i));
            node = node < proof[i]
                ? keccak256(abi.encodePacked(node, proof[i]))
                : keccak256(abi.encodePacked(proof[i], node));
        }
        usage.commit(1, node, RECORDS, keccak256("file"));
        // A plain call, since a view would be no transaction. Most of it is the price of calldata (EIP-7623).
        (bool done, bytes memory proved) = address(usage)
            .call(abi.encodeCall(IUsage.verify, (address(this), 1, RECORDS - 1, keccak256("record"), proof)));
        recordLastCall("usage_verify_20", 51_000);
        assertTrue(done && abi.decode(proved, (bool)));
    }
}
