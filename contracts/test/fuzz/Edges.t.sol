// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Edges} from "../../src/libraries/Edges.sol";
import {Test} from "forge-std/Test.sol";

contract EdgesFuzzTest is Test {
    uint256 private constant WORD_MASK = (1 << 240) - 1;

    /// The packed sums are those of the rates taken one by one, whatever the words hold: any parent, any 14 bits.
    function testFuzz_PAY_2_sums_are_those_of_every_rate(uint256 seed, uint256 length) external pure {
        length = bound(length, 0, Edges.MAX_EDGES);
        uint256[] memory edges = new uint256[](length);
        for (uint256 i = 0; i < length; ++i) {
            edges[i] = uint256(keccak256(abi.encode(seed, i))) & WORD_MASK;
        }
        _compare(edges);
    }

    /// 64 times the most that 14 bits hold, in every lane.
    function test_PAY_2_full_lanes_do_not_spill() external pure {
        uint256[] memory edges = new uint256[](Edges.MAX_EDGES);
        for (uint256 i = 0; i < edges.length; ++i) {
            edges[i] = WORD_MASK;
        }
        _compare(edges);
        (uint256[4] memory own, uint256[4] memory inherited) = Edges.sums(Edges.toLineage(edges));
        for (uint256 kind = 0; kind < 4; ++kind) {
            assertEq(inherited[kind], 64 * 16_383);
            assertEq(own[kind], 2 * 64 * 16_383);
        }
    }

    function _compare(uint256[] memory edges) private pure {
        uint256[4] memory expectedOwn;
        uint256[4] memory expectedInherited;
        for (uint256 i = 0; i < edges.length; ++i) {
            for (uint256 kind = 0; kind < 4; ++kind) {
                uint256 all = edges[i] >> 14 * kind & 16_383;
                uint256 child = edges[i] >> 56 + 14 * kind & 16_383;
                expectedOwn[kind] += all + child;
                expectedInherited[kind] += child;
            }
        }
        (uint256[4] memory own, uint256[4] memory inherited) = Edges.sums(Edges.toLineage(edges));
        for (uint256 kind = 0; kind < 4; ++kind) {
            assertEq(own[kind], expectedOwn[kind]);
            assertEq(inherited[kind], expectedInherited[kind]);
        }
    }
}
