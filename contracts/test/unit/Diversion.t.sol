// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {CoreFixture} from "../support/CoreFixture.sol";

/// A parent whose total would pass 112 bits cannot take its part. It holds up nobody, and the part waits for the
/// arbiter.
contract DiversionTest is CoreFixture {
    IRoyalties.Kind private constant INFERENCE = IRoyalties.Kind.Inference;
    uint256 private constant MOST = type(uint112).max;

    function setUp() public override {
        super.setUp();
        token.mint(payer, type(uint128).max);
    }

    function test_a_parent_whose_total_is_full_is_diverted_and_holds_up_no_sibling() external {
        uint256 full = root(alice);
        uint256 open = root(alice);
        payInference(full, 1);
        uint256 other = child(bob, full, 9000, ILicences.Reach.All);
        payInference(other, MOST);
        flow(other);
        uint256 room = MOST - MOST * 9000 / 10_000;

        uint256 licenceFull = buy(full, deriveTerms(5000, ILicences.Reach.All), bob);
        uint256 licenceOpen = buy(open, deriveTerms(2000, ILicences.Reach.All), bob);
        uint256 childId = register(bob, two(licenceFull, licenceOpen));
        // Up to the last unit there is room.
        payInference(childId, 2 * room);
        flow(childId);
        assertEq(inheritedOf(full, INFERENCE), MOST);
        assertEq(royalties.diverted(full, address(token)), 0);

        payInference(childId, 2000);
        vm.expectEmit(address(royalties));
        emit IRoyalties.Diverted(full, address(token), childId, INFERENCE, 1000);
        flow(childId);
        assertEq(inheritedOf(open, INFERENCE), (2 * room + 2000) * 2000 / 10_000);
        assertEq(inheritedOf(full, INFERENCE), MOST);
        assertEq(royalties.diverted(full, address(token)), 1000);
        // Money of its own has a total of its own.
        payInference(full, 7);
        assertEq(claim(full, alice), 1 + MOST + 7);
        // And so has another kind.
        pay(childId, IRoyalties.Kind.Resale, 10_000);
        flow(childId);
        assertEq(inheritedOf(full, IRoyalties.Kind.Resale), 5000);
    }

    /// PAY-1: 90 % of two full totals together is more than a total holds. It is diverted like any part that does not
    /// fit, and the flow goes through.
    function test_PAY_1_a_part_above_every_total_is_diverted_and_the_flow_goes_through() external {
        uint256 parent = root(alice);
        uint256 childId = child(bob, parent, 9000, ILicences.Reach.Child);
        uint256 grandchild = child(carol, childId, 9000, ILicences.Reach.Child);
        payInference(grandchild, MOST);
        flow(grandchild);
        payInference(childId, MOST);
        uint256 inherited = MOST * 9000 / 10_000;
        uint256 due = (MOST + inherited) * 9000 / 10_000;
        assertGt(due, MOST);
        vm.expectEmit(address(royalties));
        emit IRoyalties.Diverted(parent, address(token), childId, INFERENCE, due);
        flow(childId);
        assertEq(inheritedOf(parent, INFERENCE), 0);
        assertEq(royalties.diverted(parent, address(token)), due);
        assertEq(claim(childId, bob), MOST * 1000 / 10_000 + inherited * 1000 / 10_000);
        assertEq(claim(grandchild, carol), MOST * 1000 / 10_000);
        assertApproxEqAbs(token.balanceOf(address(royalties)), due, 6);
        assertGe(token.balanceOf(address(royalties)), due);
        // The parent, of which nothing was written, takes what fits as if nothing had been.
        pay(childId, IRoyalties.Kind.Licence, 1000);
        flow(childId);
        assertEq(inheritedOf(parent, IRoyalties.Kind.Licence), 900);
        assertEq(claim(parent, alice), 900);
    }

    function test_ACC_1_only_the_arbiter_names_whose_the_diverted_part_is() external {
        uint256 parent = root(alice);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 childId = child(bob, parent, 9000, ILicences.Reach.All);
            payInference(childId, MOST);
            flow(childId);
        }
        uint256 each = MOST * 9000 / 10_000;
        assertEq(inheritedOf(parent, INFERENCE), each);
        assertEq(royalties.diverted(parent, address(token)), each);

        vm.expectRevert(abi.encodeWithSelector(IRoyalties.OnlyArbiter.selector, alice));
        vm.prank(alice);
        royalties.releaseDiverted(parent, address(token), alice);
        vm.startPrank(arbiter);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.AddressZero.selector));
        royalties.releaseDiverted(parent, address(token), address(0));
        vm.expectEmit(address(royalties));
        emit IRoyalties.DivertedReleased(parent, address(token), alice, each);
        assertEq(royalties.releaseDiverted(parent, address(token), alice), each);
        assertEq(royalties.releaseDiverted(parent, address(token), alice), 0);
        vm.stopPrank();
        assertEq(royalties.award(alice, address(token)), each);
        vm.prank(alice);
        assertEq(royalties.claimAward(address(token), carol), each);
        assertEq(token.balanceOf(carol), each);
    }
}
