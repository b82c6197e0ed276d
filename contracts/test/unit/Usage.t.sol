// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IUsage} from "../../src/interfaces/IUsage.sol";
import {UsageTree} from "../support/UsageTree.sol";
import {Test} from "forge-std/Test.sol";

contract UsageTest is Test {
    IUsage private usage;
    address private immutable GATEWAY = makeAddr("gateway");
    address private immutable OTHER = makeAddr("another gateway");
    bytes32 private constant ROOT = bytes32(uint256(1));
    bytes32 private constant FILE = bytes32(uint256(2));

    function setUp() external {
        usage = IUsage(vm.deployCode("Usage.sol:Usage"));
    }

    function test_a_commitment_is_told_and_kept() external {
        vm.expectEmit(address(usage));
        emit IUsage.Committed(GATEWAY, 0, ROOT, 3, FILE);
        vm.prank(GATEWAY);
        usage.commit(0, ROOT, 3, FILE);
        assertEq(usage.roots(GATEWAY, 0), ROOT);
        assertEq(usage.roots(GATEWAY, 1), 0);
        assertEq(usage.roots(OTHER, 0), 0);
    }

    /// AUD-1: what was committed cannot be changed, and saying the same again changes nothing and tells nothing.
    function test_AUD_1_history_never_changes() external {
        vm.startPrank(GATEWAY);
        usage.commit(0, ROOT, 3, FILE);
        vm.recordLogs();
        usage.commit(0, ROOT, 4, bytes32(0));
        assertEq(vm.getRecordedLogs().length, 0);
        vm.expectRevert(abi.encodeWithSelector(IUsage.OtherRoot.selector, GATEWAY, 0, ROOT, FILE));
        usage.commit(0, FILE, 3, FILE);
        assertEq(usage.roots(GATEWAY, 0), ROOT);
    }

    /// AUD-1: no epoch is left out.
    function test_AUD_1_epochs_follow_one_another() external {
        vm.startPrank(GATEWAY);
        vm.expectRevert(abi.encodeWithSelector(IUsage.NoPreviousEpoch.selector, GATEWAY, 1));
        usage.commit(1, ROOT, 3, FILE);
        usage.commit(0, ROOT, 3, FILE);
        vm.expectRevert(abi.encodeWithSelector(IUsage.NoPreviousEpoch.selector, GATEWAY, type(uint64).max));
        usage.commit(type(uint64).max, ROOT, 3, FILE);
        usage.commit(1, ROOT, 0, FILE);
        assertEq(usage.roots(GATEWAY, 1), ROOT);
        vm.stopPrank();

        vm.expectRevert(abi.encodeWithSelector(IUsage.NoPreviousEpoch.selector, OTHER, 1));
        vm.prank(OTHER);
        usage.commit(1, ROOT, 3, FILE);
    }

    function test_no_root_is_no_commitment() external {
        vm.expectRevert(IUsage.NoRoot.selector);
        usage.commit(0, 0, 0, FILE);
    }

    function test_nothing_is_proved_without_a_commitment_or_under_an_empty_epoch() external {
        bytes32[] memory none = new bytes32[](0);
        assertFalse(usage.verify(GATEWAY, 0, 0, ROOT, none));
        vm.prank(GATEWAY);
        usage.commit(0, keccak256(""), 0, FILE);
        assertFalse(usage.verify(GATEWAY, 0, 0, ROOT, none));
        assertFalse(usage.verify(GATEWAY, 0, 0, keccak256(""), none));
    }

    /// The golden vectors, which the crate `usage` makes and reads too: roots, leaves, and a proof of every record.
    function test_AUD_1_the_tree_is_that_of_the_vectors() external {
        string memory json = vm.readFile("test/vectors/usage.json");
        address gateway = vm.parseJsonAddress(json, ".gateway");
        vm.startPrank(gateway);
        uint64 epoch;
        for (string memory at = ".epochs[0]"; vm.keyExistsJson(json, at); at = _row(".epochs", ++epoch)) {
            bytes32 root = vm.parseJsonBytes32(json, string.concat(at, ".root"));
            uint64 count;
            usage.commit(epoch, root, uint64(vm.parseJsonUint(json, string.concat(at, ".records"))), FILE);
            string memory list = string.concat(at, ".proofs");
            for (string memory row = _row(list, 0); vm.keyExistsJson(json, row); row = _row(list, ++count)) {
                bytes32 record = keccak256(vm.parseJsonBytes(json, string.concat(row, ".record")));
                bytes32[] memory proof = vm.parseJsonBytes32Array(json, string.concat(row, ".proof"));
                assertTrue(usage.verify(gateway, epoch, count, record, proof), row);
                assertEq(
                    UsageTree.leaf(gateway, epoch, count, record),
                    vm.parseJsonBytes32(json, string.concat(row, ".leaf")),
                    row
                );
            }
            assertEq(count, vm.parseJsonUint(json, string.concat(at, ".records")), at);
            if (count == 0) assertEq(root, keccak256(""), at);
        }
        assertGt(epoch, 2);
    }

    function _row(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(index), "]");
    }
}
