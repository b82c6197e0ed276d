// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {CoreFixture, PlainToken} from "../support/CoreFixture.sol";

/// What one `flow` can cost at most: 64 parents, of which each has 64 edges of its own, has earned dust of every other
/// token, and never a unit of this one or of this pair of kinds.
contract FlowLimitsTest is CoreFixture {
    /// EIP-7825: the most that a transaction may use.
    uint256 private constant MOST_GAS = 1 << 24;
    uint256 private constant EDGES = 64;
    uint256 private constant PARTS = 1_000_000_000;

    uint256 private _victim;
    uint256 private _childId;

    function setUp() public override {
        super.setUp();
        PlainToken[3] memory others = [anotherToken(), anotherToken(), anotherToken()];
        uint256[] memory grandparents = new uint256[](EDGES);
        for (uint256 i = 0; i < EDGES; ++i) {
            grandparents[i] = root(stranger);
        }
        ILicences.Terms memory childTerms = deriveTerms(1, ILicences.Reach.Child);
        uint256[] memory licenceIds = new uint256[](EDGES);
        uint256[] memory under = new uint256[](EDGES);
        for (uint256 i = 0; i < EDGES; ++i) {
            for (uint256 j = 0; j < EDGES; ++j) {
                under[j] = buy(grandparents[j], childTerms, stranger);
            }
            uint256 parent = register(stranger, ascending(under));
            licenceIds[i] = buy(parent, deriveTerms(i == 0 ? 1000 : 1, ILicences.Reach.All), stranger);
            if (i == 0) _victim = parent;
            for (uint256 t = 0; t < 3; ++t) {
                vm.prank(payer);
                royalties.pay(parent, IRoyalties.Kind.Resale, address(others[t]), 1);
            }
        }
        _childId = register(stranger, ascending(licenceIds));
        for (uint256 kind = 0; kind < 4; ++kind) {
            pay(_childId, IRoyalties.Kind(kind), PARTS);
        }
    }

    /// PAY-9: nobody can register a child that is too expensive to flow, and so keep its parents from their money.
    /// forge-config: default.isolate = true
    function test_PAY_9_the_worst_flow_of_each_kind_fits_a_transaction() external {
        // The first of a pair opens more than the second.
        uint8[4] memory kinds = [2, 0, 3, 1];
        for (uint256 i = 0; i < 4; ++i) {
            royalties.flow(_childId, address(token), 1 << kinds[i]);
            assertLt(vm.lastCallGas().gasTotalUsed, MOST_GAS);
            assertEq(inheritedOf(_victim, IRoyalties.Kind(kinds[i])), PARTS / 10);
        }
    }

    /// PAY-9: nor need the kinds be flowed apart.
    /// forge-config: default.isolate = true
    function test_PAY_9_the_worst_flow_of_all_kinds_fits_a_transaction() external {
        flow(_childId);
        assertLt(vm.lastCallGas().gasTotalUsed, MOST_GAS);
        for (uint256 kind = 0; kind < 4; ++kind) {
            assertEq(inheritedOf(_victim, IRoyalties.Kind(kind)), PARTS / 10);
        }
    }
}
