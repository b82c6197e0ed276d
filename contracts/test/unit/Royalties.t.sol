// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "../../src/interfaces/IAssets.sol";
import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {ITill} from "../../src/interfaces/ITill.sol";
import {CoreFixture, PlainToken} from "../support/CoreFixture.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {Vm} from "forge-std/Vm.sol";

contract RoyaltiesTest is CoreFixture {
    IRoyalties.Kind private constant INFERENCE = IRoyalties.Kind.Inference;
    IRoyalties.Kind private constant RESALE = IRoyalties.Kind.Resale;
    /// `OperationState.Ready` of OpenZeppelin's timelock.
    uint256 private constant OPERATION_READY = 2;

    // Paying

    function test_pay_credits_own_revenue_less_the_fee() external {
        setFee(250);
        uint256 assetId = root(alice);
        vm.expectEmit(address(royalties));
        emit IRoyalties.Credited(assetId, address(token), payer, INFERENCE, 1_000_019, 25_000);
        payInference(assetId, 1_000_019);
        assertEq(ownOf(assetId, INFERENCE), 975_019);
        assertEq(royalties.feesAccrued(address(token)), 25_000);
        assertEq(claim(assetId, alice), 975_019);
        vm.expectEmit(address(royalties));
        emit IRoyalties.FeesCollected(address(token), treasury, 25_000);
        assertEq(royalties.collectFees(address(token)), 25_000);
        assertEq(token.balanceOf(treasury), 25_000);
        assertEq(royalties.collectFees(address(token)), 0);
        assertEq(token.balanceOf(address(royalties)), 0);
    }

    function test_the_fee_is_taken_once_at_the_first_asset() external {
        setFee(500);
        uint256 parent = root(alice);
        uint256 childId = child(bob, parent, 1000, ILicences.Reach.All);
        payInference(childId, 100_000);
        flow(childId);
        assertEq(inheritedOf(parent, INFERENCE), 9500);
        assertEq(royalties.feesAccrued(address(token)), 5000);
        // A fee that changes does not reach what was credited.
        setFee(0);
        assertEq(claim(parent, alice), 9500);
        assertEq(claim(childId, bob), 85_500);
    }

    function test_payments_that_cannot_be_are_refused() external {
        uint256 assetId = root(alice);
        vm.startPrank(payer);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.UnknownAsset.selector, assetId + 1));
        royalties.pay(assetId + 1, INFERENCE, address(token), 1);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.TokenNeverListed.selector, address(this)));
        royalties.pay(assetId, INFERENCE, address(this), 1);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.NothingReceived.selector, address(token)));
        royalties.pay(assetId, INFERENCE, address(token), 0);
        (bool done,) = address(royalties)
            .call(abi.encodeWithSelector(IRoyalties.pay.selector, assetId, uint256(4), address(token), uint256(1)));
        assertFalse(done);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.KindsNotValid.selector, 0));
        royalties.flow(assetId, address(token), 0);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.KindsNotValid.selector, 16));
        royalties.flow(assetId, address(token), 16);
    }

    /// Known fault: unchecked casts. A total keeps its 112 bits; what would pass them is refused.
    function test_revenue_past_112_bits_is_refused() external {
        uint256 assetId = root(alice);
        token.mint(payer, type(uint128).max);
        uint256 most = type(uint112).max;
        payInference(assetId, most);
        vm.expectRevert(
            abi.encodeWithSelector(IRoyalties.RevenueAboveLimit.selector, assetId, address(token), most + 1)
        );
        payInference(assetId, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IRoyalties.RevenueAboveLimit.selector, assetId, address(token), most + 2)
        );
        payInference(assetId, most + 2);
        // The other kind of the pair is not touched by a neighbour that is full.
        pay(assetId, RESALE, 5);
        assertEq(ownOf(assetId, RESALE), 5);
        assertEq(claim(assetId, alice), most + 5);
    }

    /// PAY-6: a payment and a claim cost the same however many edges, holders and payments there are.
    /// forge-config: default.isolate = true
    function test_PAY_6_pay_and_claim_cost_the_same_with_1_and_64_edges_holders_and_payments() external {
        (uint256 payOne, uint256 claimOne) = _costs(1, 1, 1);
        (uint256 payMany, uint256 claimMany) = _costs(64, 64, 64);
        // Whole transactions, so that both are equally cold.
        assertGt(payOne, 21_000);
        assertGt(claimOne, 21_000);
        assertApproxEqRel(payMany, payOne, 0.01e18);
        assertApproxEqRel(claimMany, claimOne, 0.01e18);
    }

    /// PAY-6: flow is linear in the edges.
    /// forge-config: default.isolate = true
    function test_PAY_6_flow_is_linear_in_the_edges() external {
        uint256 at16 = _flowCost(16);
        uint256 at32 = _flowCost(32);
        uint256 at64 = _flowCost(64);
        assertApproxEqRel(at64 - at32, 2 * (at32 - at16), 0.02e18);
    }

    /// What a payment and a claim cost after so many payments, of which every holder has claimed its part.
    function _costs(uint256 parents, uint256 holders, uint256 payments)
        private
        returns (uint256 payGas, uint256 claimGas)
    {
        (uint256 childId, address[] memory people) = _childOf(parents, holders);
        for (uint256 i = 0; i < payments; ++i) {
            payInference(childId, 1_000_000);
        }
        for (uint256 i = 0; i < holders; ++i) {
            assertGt(claim(childId, people[i]), 0);
        }
        payInference(childId, 1_000_000);
        payGas = vm.lastCallGas().gasTotalUsed;
        assertGt(claim(childId, people[holders - 1]), 0);
        claimGas = vm.lastCallGas().gasTotalUsed;
    }

    function _flowCost(uint256 parents) private returns (uint256) {
        (uint256 childId,) = _childOf(parents, 1);
        payInference(childId, 1_000_000);
        flow(childId);
        payInference(childId, 1_000_000);
        flow(childId);
        return vm.lastCallGas().gasTotalUsed;
    }

    /// A work of bob's, whose shares are divided evenly.
    function _childOf(uint256 parents, uint256 holders) private returns (uint256, address[] memory) {
        uint256[] memory licenceIds = new uint256[](parents);
        for (uint256 i = 0; i < parents; ++i) {
            licenceIds[i] = buy(root(alice), deriveTerms(10, ILicences.Reach.All), bob);
        }
        IAssets.Registration memory r = registration(bob, ascending(licenceIds));
        r.holders = new address[](holders);
        r.units = new uint256[](holders);
        for (uint256 i = 0; i < holders; ++i) {
            r.holders[i] = makeAddr(string.concat("holder ", vm.toString(i)));
            r.units[i] = UNITS / holders;
        }
        vm.prank(bob);
        return (assets.register(r), r.holders);
    }

    // Tills

    function test_a_till_is_where_its_formula_says() external {
        uint256 assetId = root(alice);
        bytes32 salt = keccak256(abi.encode(assetId, RESALE, bob, uint16(300)));
        assertEq(
            royalties.till(assetId, RESALE, bob, 300),
            Clones.predictDeterministicAddress(royalties.tillImplementation(), salt, address(royalties))
        );
    }

    /// A till can be paid before it has code, and before its asset is registered.
    function test_a_prepaid_till_is_swept_into_its_asset() external {
        bytes32 salt = registration(alice, none()).salt;
        uint256 assetId = assets.assetIdOf(alice, bytes32(uint256(salt) + 1));
        address till = royalties.till(assetId, RESALE, address(0), 0);
        vm.prank(payer);
        token.transfer(till, 777);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.UnknownAsset.selector, assetId));
        royalties.sweep(assetId, RESALE, address(0), 0, address(token));

        assertEq(root(alice), assetId);
        (uint256[4] memory inTills,) = royalties.pending(assetId, address(token));
        assertEq(inTills[3], 777);
        vm.expectEmit(address(royalties));
        emit IRoyalties.Credited(assetId, address(token), till, RESALE, 777, 0);
        vm.expectEmit(address(royalties));
        emit IRoyalties.Swept(assetId, address(0), till, address(token), RESALE, 0, false);
        vm.prank(stranger);
        assertEq(royalties.sweep(assetId, RESALE, address(0), 0, address(token)), 777);
        assertEq(ownOf(assetId, RESALE), 777);
        assertEq(royalties.sweep(assetId, RESALE, address(0), 0, address(token)), 0);
        vm.prank(payer);
        token.transfer(till, 3);
        assertEq(royalties.sweep(assetId, RESALE, address(0), 0, address(token)), 3);
        assertEq(claim(assetId, alice), 780);
    }

    function test_nobody_else_empties_a_till() external {
        uint256 assetId = root(alice);
        throughTill(assetId, address(0), 0, 5);
        address till = operatorTill(assetId, address(0), 0);
        vm.expectRevert(abi.encodeWithSelector(ITill.OnlyRoyalties.selector, stranger));
        vm.prank(stranger);
        ITill(till).sweep(address(token));
        ITill implementation = ITill(royalties.tillImplementation());
        vm.expectRevert(abi.encodeWithSelector(ITill.OnlyRoyalties.selector, address(this)));
        implementation.sweep(address(token));
    }

    /// An unlisted token is not swept; one taken off the list still is, and still flows and is claimed.
    function test_delisting_stops_no_sweep_flow_or_claim() external {
        PlainToken other = new PlainToken();
        uint256 parent = root(alice);
        uint256 childId = child(bob, parent, 1000, ILicences.Reach.All);
        address till = operatorTill(childId, address(0), 0);
        other.mint(till, 1000);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.TokenNeverListed.selector, address(other)));
        royalties.sweep(childId, INFERENCE, address(0), 0, address(other));
        vm.startPrank(address(timelock));
        royalties.setListing(address(other), true);
        royalties.setListing(address(other), false);
        vm.stopPrank();
        assertEq(uint256(royalties.listing(address(other))), uint256(IRoyalties.Listing.Delisted));
        assertEq(royalties.sweep(childId, INFERENCE, address(0), 0, address(other)), 1000);
        royalties.flow(childId, address(other), ALL_KINDS);
        vm.prank(alice);
        assertEq(royalties.claim(parent, address(other), alice), 100);
        vm.prank(bob);
        assertEq(royalties.claim(childId, address(other), bob), 900);
    }

    /// Known fault: exact-amount pulls griefed by one unit. A unit sent in front changes nothing but adds itself.
    function test_a_unit_sent_in_front_spoils_nothing() external {
        uint256 assetId = root(alice);
        vm.startPrank(payer);
        token.transfer(address(royalties), 1);
        token.transfer(operatorTill(assetId, address(0), 0), 1);
        vm.stopPrank();
        throughTill(assetId, address(0), 0, 1000);
        payInference(assetId, 500);
        assertEq(ownOf(assetId, INFERENCE), 1501);
        assertEq(claim(assetId, alice), 1501);
        assertEq(token.balanceOf(address(royalties)), 1);
    }

    // Operators

    function test_an_operator_gets_its_part_of_what_came_through_its_till_while_granted() external {
        uint256 assetId = root(alice);
        throughTill(assetId, carol, 1000, 10_000);
        vm.expectEmit(address(royalties));
        emit IRoyalties.OperatorGranted(assetId, carol, INFERENCE, 1000);
        vm.prank(alice);
        royalties.grant(assetId, INFERENCE, carol, 1000);
        assertTrue(royalties.isGranted(assetId, INFERENCE, carol, 1000));
        throughTill(assetId, carol, 1000, 20_005);
        payInference(assetId, 40_000);
        throughTill(assetId, address(0), 0, 80_000);
        vm.prank(alice);
        royalties.revoke(assetId, INFERENCE, carol, 1000);
        throughTill(assetId, carol, 1000, 160_000);

        assertEq(royalties.operatorClaimable(assetId, INFERENCE, carol, 1000, address(token)), 2000);
        (uint256 net, uint256 paid) = royalties.operatorState(assetId, INFERENCE, carol, 1000, address(token));
        assertEq(net, 20_005);
        assertEq(paid, 0);
        // 18,004.5 of the operator's till, rounded down with the rest.
        assertEq(claim(assetId, alice), 310_005 - 2001);
        vm.prank(carol);
        assertEq(royalties.claimOperator(assetId, INFERENCE, 1000, address(token), carol), 2000);
        vm.prank(carol);
        assertEq(royalties.claimOperator(assetId, INFERENCE, 1000, address(token), carol), 0);
        vm.prank(stranger);
        assertEq(royalties.claimOperator(assetId, INFERENCE, 1000, address(token), stranger), 0);
        assertEq(token.balanceOf(address(royalties)), 1);
    }

    /// ACC-1: grants are the controller's, and bounded.
    function test_ACC_1_only_the_controller_grants_within_bounds() external {
        uint256 parent = root(alice);
        uint256 childId = child(bob, parent, 7000, ILicences.Reach.All);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.NotController.selector, childId, stranger));
        vm.prank(stranger);
        royalties.grant(childId, INFERENCE, stranger, 100);
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.OperatorBpsNotValid.selector, 3001, 3000));
        royalties.grant(childId, INFERENCE, carol, 3001);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.OperatorBpsNotValid.selector, 0, 3000));
        royalties.grant(childId, INFERENCE, carol, 0);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.OperatorZero.selector));
        royalties.grant(childId, INFERENCE, address(0), 100);
        royalties.grant(childId, INFERENCE, carol, 3000);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.AlreadyGranted.selector, childId, INFERENCE, carol, 3000));
        royalties.grant(childId, INFERENCE, carol, 3000);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.NotGranted.selector, childId, RESALE, carol, 3000));
        royalties.revoke(childId, RESALE, carol, 3000);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.NotController.selector, childId, stranger));
        vm.prank(stranger);
        royalties.revoke(childId, INFERENCE, carol, 3000);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.OperatorBpsNotValid.selector, 5001, 5000));
        vm.prank(alice);
        royalties.grant(parent, INFERENCE, carol, 5001);
    }

    /// PAY-9: the operator's part comes out of the shares', whatever the controller grants.
    function test_PAY_9_a_grant_takes_nothing_from_parents() external {
        uint256 parent = root(alice);
        uint256 childId = child(bob, parent, 7000, ILicences.Reach.All);
        vm.prank(bob);
        royalties.grant(childId, INFERENCE, bob, 3000);
        throughTill(childId, bob, 3000, 99_999);
        flow(childId);
        assertEq(inheritedOf(parent, INFERENCE), 69_999);
        assertEq(royalties.operatorClaimable(childId, INFERENCE, bob, 3000, address(token)), 29_999);
        assertEq(claim(childId, bob), 0);
    }

    /// PAY-9: an empty shell in between lowers nothing that reach `All` promises.
    function test_PAY_9_a_shell_and_a_licence_of_ones_own_lower_nothing() external {
        uint256 parent = root(alice);
        uint256 shell = child(bob, parent, 2000, ILicences.Reach.All);
        // Its own controller lets itself derive for nothing.
        uint256 product = child(bob, shell, 0, ILicences.Reach.All);
        payInference(product, 10_000);
        flow(product);
        assertEq(inheritedOf(parent, INFERENCE), 2000);

        uint256 strict = root(alice);
        uint256 direct = child(bob, strict, 2000, ILicences.Reach.Child);
        uint256 behind = child(bob, direct, 2000, ILicences.Reach.Child);
        payInference(behind, 10_000);
        flow(behind);
        flow(direct);
        assertEq(inheritedOf(direct, INFERENCE), 2000);
        assertEq(inheritedOf(strict, INFERENCE), 400);
    }

    // Flow

    function test_flow_carries_what_is_owed_and_says_so() external {
        uint256 parent = root(alice);
        uint256 childId = child(bob, parent, 333, ILicences.Reach.All);
        payInference(childId, 10_001);
        pay(childId, RESALE, 1);
        (uint256[] memory parents, uint256[][4] memory due) = royalties.pendingFlow(childId, address(token));
        assertEq(parents[0], parent);
        assertEq(due[2][0], 333);
        assertEq(due[3][0], 0);
        (, uint256[4] memory toParents) = royalties.pending(childId, address(token));
        assertEq(toParents[2], 333);
        vm.expectEmit(address(royalties));
        emit IRoyalties.Flowed(childId, address(token), 4, one(333));
        royalties.flow(childId, address(token), 4);
        vm.recordLogs();
        royalties.flow(childId, address(token), 4);
        royalties.flow(parent, address(token), ALL_KINDS);
        assertEq(vm.getRecordedLogs().length, 0);
        // A kind that moved but carries nothing yet moves its cursor all the same.
        vm.expectEmit(address(royalties));
        emit IRoyalties.Flowed(childId, address(token), 8, one(0));
        flow(childId);
        (uint256[4] memory own,) = royalties.flowed(childId, address(token));
        assertEq(own[2], 10_001);
        assertEq(own[3], 1);
    }

    /// Known fault: rounding a deep chain's share to zero. Units paid one by one add up to what one payment brings.
    function test_PAY_2_small_payments_lose_nothing_down_a_deep_chain() external {
        uint256[] memory chain = new uint256[](13);
        chain[0] = root(alice);
        for (uint256 depth = 1; depth <= 12; ++depth) {
            chain[depth] = child(bob, chain[depth - 1], 100, ILicences.Reach.All);
        }
        for (uint256 i = 0; i < 200; ++i) {
            payInference(chain[12], 1);
            flow(chain[12]);
        }
        for (uint256 depth = 0; depth < 12; ++depth) {
            assertEq(inheritedOf(chain[depth], INFERENCE), 2);
        }
    }

    function test_reach_child_multiplies_with_depth() external {
        uint256 top = root(alice);
        uint256 middle = child(bob, top, 5000, ILicences.Reach.Child);
        uint256 bottom = child(carol, middle, 5000, ILicences.Reach.Child);
        payInference(bottom, 1000);
        payInference(middle, 100);
        flow(bottom);
        flow(middle);
        assertEq(inheritedOf(middle, INFERENCE), 500);
        assertEq(inheritedOf(top, INFERENCE), 300);
        assertEq(claim(bottom, carol), 500);
        assertEq(claim(middle, bob), 300);
        assertEq(claim(top, alice), 300);
    }

    /// Known fault: spam tokens making shares untransferable. What is not listed is nowhere in the way.
    function test_spam_does_not_hold_up_shares() external {
        uint256 assetId = root(alice);
        for (uint256 i = 0; i < 20; ++i) {
            PlainToken spam = new PlainToken();
            spam.mint(operatorTill(assetId, address(0), 0), 1);
            spam.mint(address(royalties), 1);
            vm.expectRevert(abi.encodeWithSelector(IRoyalties.TokenNeverListed.selector, address(spam)));
            royalties.sweep(assetId, INFERENCE, address(0), 0, address(spam));
        }
        assertEq(royalties.tokensOf(assetId).length, 0);
        moveShares(assetId, alice, bob, 1);
    }

    // Claims

    /// ACC-1: a claim is its holder's.
    function test_ACC_1_only_a_holder_takes_its_claim() external {
        uint256 assetId = root(alice);
        payInference(assetId, 1000);
        assertEq(claim(assetId, stranger), 0);
        vm.expectEmit(address(royalties));
        emit IRoyalties.Claimed(assetId, address(token), alice, bob, 1000);
        vm.prank(alice);
        royalties.claim(assetId, address(token), bob);
        assertEq(token.balanceOf(bob), 1000);
        payInference(assetId, 1000);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.AddressZero.selector));
        vm.prank(alice);
        royalties.claim(assetId, address(token), address(0));
    }

    /// Each of the eight totals counts for the shares, alone and with the others.
    function test_shares_are_owed_of_every_kind_own_and_inherited() external {
        for (uint256 kind = 0; kind < 4; ++kind) {
            uint256 parent = root(alice);
            uint256 childId = child(bob, parent, 1000, ILicences.Reach.All);
            pay(childId, IRoyalties.Kind(kind), 10_000);
            flow(childId);
            assertEq(claim(parent, alice), 1000);
            pay(parent, IRoyalties.Kind(kind), 7);
            assertEq(claim(parent, alice), 7);
            for (uint256 other = 0; other < 4; ++other) {
                pay(childId, IRoyalties.Kind(other), 10_000);
                pay(parent, IRoyalties.Kind(other), 5);
            }
            flow(childId);
            assertEq(claim(parent, alice), 4020);
            assertEq(claim(childId, bob), 45_000);
        }
    }

    /// PAY-2: fractions are kept, not paid and not lost.
    function test_PAY_2_a_holders_fractions_add_up() external {
        uint256 assetId = root(alice);
        moveShares(assetId, alice, bob, 333_333);
        for (uint256 i = 1; i <= 6; ++i) {
            payInference(assetId, 1);
            assertEq(claim(assetId, bob), i == 4 ? 1 : 0);
        }
        (uint256 reckoned, uint256 owed) = royalties.holderState(assetId, address(token), bob);
        assertEq(reckoned, 4);
        assertEq(owed, 333_332);
        assertEq(claim(assetId, alice), 4);
    }

    // Freezing

    /// PAY-8: only the shares' part, only from then on, only of this asset.
    function test_PAY_8_a_freeze_holds_the_shares_part_of_what_comes_after() external {
        uint256 parent = root(alice);
        uint256 childId = child(bob, parent, 1000, ILicences.Reach.All);
        payInference(childId, 10_000);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.OnlyArbiter.selector, stranger));
        vm.prank(stranger);
        royalties.freeze(childId);
        uint256 until = block.timestamp + 90 days;
        vm.startPrank(arbiter);
        vm.expectEmit(address(royalties));
        emit IRoyalties.Frozen(childId, until);
        royalties.freeze(childId);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.AlreadyFrozen.selector, childId, until));
        royalties.freeze(childId);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.UnknownAsset.selector, childId + 1));
        royalties.freeze(childId + 1);
        vm.stopPrank();

        payInference(childId, 20_000);
        assertEq(royalties.held(childId, address(token)), 18_000);
        flow(childId);
        assertEq(inheritedOf(parent, INFERENCE), 3000);
        assertEq(claim(parent, alice), 3000);
        assertEq(claim(childId, bob), 9000);
        moveShares(childId, bob, carol, 500_000);
        assertEq(claim(childId, carol), 0);

        // It ends by itself, in its last second to the second.
        vm.warp(until - 1);
        assertEq(claim(childId, bob), 0);
        vm.warp(until);
        assertEq(royalties.held(childId, address(token)), 0);
        assertEq(claim(childId, bob), 9000);
        assertEq(claim(childId, carol), 9000);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.NotFrozen.selector, childId));
        vm.prank(arbiter);
        royalties.rule(childId, stranger);
        assertEq(token.balanceOf(address(royalties)), 0);
    }

    function test_PAY_8_a_ruling_names_the_way() external {
        uint256 assetId = root(alice);
        payInference(assetId, 100);
        vm.prank(arbiter);
        royalties.freeze(assetId);
        payInference(assetId, 1000);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.OnlyArbiter.selector, alice));
        vm.prank(alice);
        royalties.rule(assetId, address(0));
        vm.expectEmit(address(royalties));
        emit IRoyalties.Ruled(assetId, carol);
        vm.expectEmit(address(royalties));
        emit IRoyalties.Awarded(assetId, address(token), carol, 1000);
        vm.prank(arbiter);
        royalties.rule(assetId, carol);
        payInference(assetId, 10);
        assertEq(royalties.sharesOwed(assetId, address(token)), 110);
        assertEq(claim(assetId, alice), 110);

        // A second freeze does not remember the first.
        vm.prank(arbiter);
        royalties.freeze(assetId);
        payInference(assetId, 5);
        assertEq(royalties.held(assetId, address(token)), 5);
        assertEq(claim(assetId, alice), 0);
        vm.prank(arbiter);
        royalties.rule(assetId, address(0));
        assertEq(claim(assetId, alice), 5);
        vm.prank(carol);
        assertEq(royalties.claimAward(address(token), carol), 1000);
        assertEq(token.balanceOf(address(royalties)), 0);
    }

    /// PAY-8: money that a freeze returned is not held again by the next.
    function test_PAY_8_the_same_money_is_not_held_twice() external {
        uint256 assetId = root(alice);
        vm.prank(arbiter);
        royalties.freeze(assetId);
        payInference(assetId, 1000);
        vm.warp(block.timestamp + 90 days);
        vm.prank(arbiter);
        royalties.freeze(assetId);
        assertEq(royalties.held(assetId, address(token)), 0);
        assertEq(claim(assetId, alice), 1000);
    }

    /// PAY-8: a token, a kind and an inheritance first met during a freeze are held as well.
    function test_PAY_8_a_freeze_reaches_every_word() external {
        uint256 parent = root(alice);
        uint256 childId = child(bob, parent, 1000, ILicences.Reach.All);
        payInference(parent, 1);
        assertEq(claim(parent, alice), 1);
        vm.prank(arbiter);
        royalties.freeze(parent);
        PlainToken other = anotherToken();
        vm.prank(payer);
        royalties.pay(parent, RESALE, address(other), 50);
        pay(parent, IRoyalties.Kind.Licence, 60);
        payInference(childId, 700);
        flow(childId);
        assertEq(royalties.held(parent, address(other)), 50);
        assertEq(royalties.held(parent, address(token)), 130);
        assertEq(claim(parent, alice), 0);
        vm.prank(alice);
        assertEq(royalties.claim(parent, address(other), alice), 0);
        vm.prank(arbiter);
        royalties.rule(parent, carol);
        assertEq(royalties.award(carol, address(other)), 50);
        assertEq(royalties.award(carol, address(token)), 130);
    }

    /// PAY-8: the controller of a frozen asset cannot lead the held part away to an operator of its choice.
    function test_PAY_8_nothing_is_granted_while_frozen() external {
        uint256 assetId = root(alice);
        vm.prank(alice);
        royalties.grant(assetId, INFERENCE, carol, 1000);
        vm.prank(arbiter);
        royalties.freeze(assetId);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.FrozenAsset.selector, assetId));
        vm.prank(alice);
        royalties.grant(assetId, INFERENCE, alice, 5000);
        throughTill(assetId, carol, 1000, 10_000);
        assertEq(royalties.operatorClaimable(assetId, INFERENCE, carol, 1000, address(token)), 1000);
        assertEq(royalties.held(assetId, address(token)), 9000);
    }

    // Parameters

    function test_parameters_are_the_governors_and_bounded() external {
        vm.startPrank(stranger);
        bytes memory refusal = abi.encodeWithSelector(IRoyalties.OnlyGovernor.selector, stranger);
        vm.expectRevert(refusal);
        royalties.setFee(1);
        vm.expectRevert(refusal);
        royalties.setTreasury(stranger);
        vm.expectRevert(refusal);
        royalties.setArbiter(stranger);
        vm.expectRevert(refusal);
        royalties.setListing(address(token), false);
        vm.stopPrank();
        vm.startPrank(address(timelock));
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.FeeAboveLimit.selector, 501));
        royalties.setFee(501);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.AddressZero.selector));
        royalties.setTreasury(address(0));
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.AddressZero.selector));
        royalties.setArbiter(address(0));
        royalties.setArbiter(carol);
        royalties.setTreasury(bob);
        royalties.setFee(500);
        vm.stopPrank();
        assertEq(royalties.arbiter(), carol);
        assertEq(royalties.treasury(), bob);
        assertEq(royalties.feeBps(), 500);
        assertEq(royalties.governor(), address(timelock));
    }

    function test_the_timelock_governs_after_its_delay() external {
        bytes memory call = abi.encodeCall(IRoyalties.setFee, (100));
        timelock.schedule(address(royalties), 0, call, 0, 0, 2 days);
        vm.expectRevert(
            abi.encodeWithSignature(
                "TimelockUnexpectedOperationState(bytes32,bytes32)",
                keccak256(abi.encode(address(royalties), 0, call, bytes32(0), bytes32(0))),
                bytes32(uint256(1 << OPERATION_READY))
            )
        );
        timelock.execute(address(royalties), 0, call, 0, 0);
        vm.warp(block.timestamp + 2 days);
        timelock.execute(address(royalties), 0, call, 0, 0);
        assertEq(royalties.feeBps(), 100);
    }

    function test_only_shares_checkpoints() external {
        uint256 assetId = root(alice);
        payInference(assetId, 100);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.OnlyShares.selector, stranger));
        vm.prank(stranger);
        royalties.checkpoint(assetId, stranger, UNITS, alice, UNITS);
    }

    function test_calls_can_be_put_together() external {
        uint256 parent = root(alice);
        uint256 childId = child(bob, parent, 1000, ILicences.Reach.All);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IRoyalties.pay, (childId, INFERENCE, address(token), 1000));
        calls[1] = abi.encodeCall(IRoyalties.flow, (childId, address(token), ALL_KINDS));
        vm.prank(payer);
        (bool done,) = address(royalties).call(abi.encodeWithSignature("multicall(bytes[])", calls));
        assertTrue(done);
        assertEq(inheritedOf(parent, INFERENCE), 100);
    }
}
