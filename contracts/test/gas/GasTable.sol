// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";

/// What the gas tests share. A figure of the gas table is a whole transaction: 21,000 and calldata included, less
/// refunds. So a test contract that records runs isolated (the line `default.isolate = true` in its own NatSpec, after
/// the word that forge looks for): each of its outermost calls is then a transaction, and slots are cold in the next.
abstract contract GasTable is Test {
    uint256 private constant INTRINSIC_GAS = 21_000;

    /// Records the last call under `key` and holds it to `atMost`.
    function recordLastCall(string memory key, uint256 atMost) internal {
        record(key, lastTransactionGas(), atMost);
    }

    /// Records a figure that was computed from several calls.
    function record(string memory key, uint256 gas, uint256 atMost) internal {
        vm.snapshotValue(key, gas);
        assertLe(gas, atMost, key);
    }

    /// Gas of the last call, as its sender is charged.
    function lastTransactionGas() internal returns (uint256 gas) {
        gas = vm.lastCallGas().gasTotalUsed;
        (bool called,) = address(uint160(uint256(keccak256("an empty account")))).call("");
        require(
            called && vm.lastCallGas().gasTotalUsed >= INTRINSIC_GAS,
            "calls are no transactions: set default.isolate for this test contract"
        );
    }
}
