// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IUsage} from "../../src/interfaces/IUsage.sol";
import {UsageTree} from "../support/UsageTree.sol";
import {Test} from "forge-std/Test.sol";

contract UsageFuzzTest is Test {
    using UsageTree for bytes32[];
    using UsageTree for bytes32[][];

    IUsage private usage;

    function setUp() external {
        usage = IUsage(vm.deployCode("Usage.sol:Usage"));
    }

    /// AUD-1: every record of an epoch is proved where it is, and under no other index, epoch or gateway; no other
    /// record is proved in its place, and no shorter or longer proof proves it.
    function testFuzz_AUD_1_a_record_is_proved_where_it_is_and_nowhere_else(
        address gateway,
        uint64 epoch,
        uint256 seed,
        uint256 count,
        uint256 index
    ) external {
        epoch = uint64(bound(epoch, 0, 3));
        count = bound(count, 1, 70);
        uint64 at = uint64(bound(index, 0, count - 1));
        bytes32[] memory leaves = new bytes32[](count);
        for (uint64 i = 0; i < count; ++i) {
            leaves[i] = UsageTree.leaf(gateway, epoch, i, _record(seed, i));
        }
        bytes32[][] memory levels = leaves.levels();
        vm.startPrank(gateway);
        for (uint64 i = 0; i < epoch; ++i) {
            usage.commit(i, keccak256(""), 0, 0);
        }
        usage.commit(epoch, levels.root(), uint64(count), 0);
        vm.stopPrank();

        bytes32[] memory proof = levels.proof(at);
        bytes32 record = _record(seed, at);
        assertTrue(usage.verify(gateway, epoch, at, record, proof));
        assertFalse(usage.verify(gateway, epoch, at + 1, record, proof));
        assertFalse(usage.verify(gateway, epoch + 1, at, record, proof));
        assertFalse(usage.verify(address(uint160(gateway) ^ 1), epoch, at, record, proof));
        assertFalse(usage.verify(gateway, epoch, at, keccak256(abi.encode(record)), proof));
        assertFalse(usage.verify(gateway, epoch, at, record, _with(proof, levels.root())));
        if (proof.length == 0) return;
        proof[seed % proof.length] ^= bytes32(uint256(1) << seed % 256);
        assertFalse(usage.verify(gateway, epoch, at, record, proof));
        assertFalse(usage.verify(gateway, epoch, at, record, new bytes32[](0)));
    }

    function _record(uint256 seed, uint64 index) private pure returns (bytes32) {
        return keccak256(abi.encode(seed, index));
    }

    function _with(bytes32[] memory proof, bytes32 sibling) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](proof.length + 1);
        for (uint256 i = 0; i < proof.length; ++i) {
            longer[i] = proof[i];
        }
        longer[proof.length] = sibling;
    }
}
