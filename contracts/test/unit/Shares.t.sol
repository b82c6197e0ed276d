// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "../../src/interfaces/IAssets.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {IShares} from "../../src/interfaces/IShares.sol";
import {CoreFixture} from "../support/CoreFixture.sol";
import {ERC1155Holder} from "@openzeppelin/contracts/token/ERC1155/utils/ERC1155Holder.sol";

/// Claims from inside the acceptance call, as a holder that cannot wait would.
contract EagerHolder is ERC1155Holder {
    address public target;
    bytes public data;
    bool public succeeded;

    function arm(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function onERC1155Received(address operator, address from, uint256 id, uint256 value, bytes memory more)
        public
        override
        returns (bytes4)
    {
        if (target != address(0)) (succeeded,) = target.call(data);
        return super.onERC1155Received(operator, from, id, value, more);
    }
}

contract SharesTest is CoreFixture {
    function test_only_assets_issues() external {
        (address[] memory holders, uint256[] memory units) = sole(stranger);
        vm.expectRevert(abi.encodeWithSelector(IShares.OnlyAssets.selector, stranger));
        vm.prank(stranger);
        shares.issue(1, stranger, holders, units);
    }

    function test_a_holder_named_twice_gets_both_parts() external {
        IAssets.Registration memory r = registration(alice, none());
        r.holders = new address[](3);
        (r.holders[0], r.holders[1], r.holders[2]) = (alice, bob, alice);
        r.units = new uint256[](3);
        (r.units[0], r.units[1], r.units[2]) = (300_000, 200_000, 500_000);
        vm.prank(alice);
        uint256 assetId = assets.register(r);
        assertEq(shares.balanceOf(alice, assetId), 800_000);
        assertEq(shares.balanceOf(bob, assetId), 200_000);
        assertEq(shares.totalSupply(assetId), UNITS);
        assertEq(shares.totalSupply(assetId + 1), 0);
    }

    /// PAY-5: what came in before belongs to the seller, after to the buyer.
    function test_PAY_5_a_transfer_divides_revenue_by_time() external {
        uint256 assetId = root(alice);
        payInference(assetId, 1_000_003);
        moveShares(assetId, alice, bob, 400_000);
        payInference(assetId, 2_000_000);
        assertEq(royalties.claimable(assetId, address(token), alice), 1_000_003 + 1_200_000);
        assertEq(royalties.claimable(assetId, address(token), bob), 800_000);
        moveShares(assetId, bob, carol, 400_000);
        payInference(assetId, 100);
        assertEq(claim(assetId, bob), 800_000);
        assertEq(claim(assetId, carol), 40);
        assertEq(claim(assetId, alice), 2_200_003 + 60);
        assertEq(claim(assetId, alice), 0);
    }

    /// PAY-5 in every token the asset earned in.
    function test_PAY_5_holds_for_every_token() external {
        uint256 assetId = root(alice);
        address[] memory tokens = new address[](4);
        tokens[0] = address(token);
        for (uint256 i = 0; i < 4; ++i) {
            if (i > 0) tokens[i] = address(anotherToken());
            vm.prank(payer);
            royalties.pay(assetId, IRoyalties.Kind(i), tokens[i], 1000 * (i + 1));
        }
        moveShares(assetId, alice, bob, UNITS);
        for (uint256 i = 0; i < 4; ++i) {
            vm.prank(payer);
            royalties.pay(assetId, IRoyalties.Kind.Licence, tokens[i], 7);
            assertEq(royalties.claimable(assetId, tokens[i], alice), 1000 * (i + 1));
            assertEq(royalties.claimable(assetId, tokens[i], bob), 7);
        }
    }

    /// Known fault: duplicate ids in a batch. Each is checked and moved with what the one before it left.
    function test_duplicate_ids_in_a_batch_are_reckoned_one_by_one() external {
        uint256 assetId = root(alice);
        payInference(assetId, 900_000);
        uint256[] memory ids = new uint256[](3);
        uint256[] memory values = new uint256[](3);
        for (uint256 i = 0; i < 3; ++i) {
            (ids[i], values[i]) = (assetId, 400_000);
        }
        vm.startPrank(alice);
        vm.expectRevert(
            abi.encodeWithSignature(
                "ERC1155InsufficientBalance(address,uint256,uint256,uint256)", alice, 200_000, 400_000, assetId
            )
        );
        shares.safeBatchTransferFrom(alice, bob, ids, values, "");
        values[2] = 200_000;
        shares.safeBatchTransferFrom(alice, bob, ids, values, "");
        vm.stopPrank();
        assertEq(shares.balanceOf(alice, assetId), 0);
        assertEq(shares.balanceOf(bob, assetId), UNITS);
        assertEq(claim(assetId, alice), 900_000);
        assertEq(claim(assetId, bob), 0);
    }

    function test_a_transfer_to_oneself_changes_nothing() external {
        uint256 assetId = root(alice);
        payInference(assetId, 1000);
        moveShares(assetId, alice, alice, UNITS);
        assertEq(shares.balanceOf(alice, assetId), UNITS);
        assertEq(claim(assetId, alice), 1000);
        vm.expectRevert(
            abi.encodeWithSignature(
                "ERC1155InsufficientBalance(address,uint256,uint256,uint256)", alice, UNITS, UNITS + 1, assetId
            )
        );
        vm.prank(alice);
        shares.safeTransferFrom(alice, alice, assetId, UNITS + 1, "");
    }

    /// ACC-1: only a holder, or whom it approved, moves its shares.
    function test_ACC_1_strangers_move_no_shares() external {
        uint256 assetId = root(alice);
        vm.expectRevert(abi.encodeWithSignature("ERC1155MissingApprovalForAll(address,address)", stranger, alice));
        vm.prank(stranger);
        shares.safeTransferFrom(alice, stranger, assetId, 1, "");
        // Nothing of one's own, nothing taken.
        vm.prank(stranger);
        shares.safeTransferFrom(stranger, alice, assetId, 0, "");
        assertEq(shares.balanceOf(alice, assetId), UNITS);
    }

    function test_votes_are_those_of_a_past_moment() external {
        uint256 t = block.timestamp;
        uint256 assetId = root(alice);
        vm.expectRevert(abi.encodeWithSelector(IShares.NotYetPast.selector, t, t));
        shares.getPastVotes(alice, assetId, t);
        // Seven further moments, two of them in the same second as the one before.
        for (uint256 i = 1; i <= 7; ++i) {
            vm.warp(t + 10 * i);
            moveShares(assetId, alice, bob, 1);
            moveShares(assetId, alice, bob, 1);
        }
        vm.warp(t + 1000);
        assertEq(shares.getPastVotes(alice, assetId, t - 1), 0);
        assertEq(shares.getPastVotes(bob, assetId, t), 0);
        for (uint256 i = 0; i <= 7; ++i) {
            for (uint256 within = 0; within < 10; within += 9) {
                assertEq(shares.getPastVotes(alice, assetId, t + 10 * i + within), UNITS - 2 * i);
                assertEq(shares.getPastVotes(bob, assetId, t + 10 * i + within), 2 * i);
            }
        }
        assertEq(shares.clock(), t + 1000);
        assertEq(shares.CLOCK_MODE(), "mode=timestamp");
    }

    /// A receiver is called when everything is in place, and may claim at once.
    function test_acceptance_calls_come_last() external {
        EagerHolder holder = new EagerHolder();
        uint256 assetId = root(alice);
        moveShares(assetId, alice, address(holder), 500_000);
        payInference(assetId, 1000);
        holder.arm(
            address(royalties),
            abi.encodeWithSignature("claim(uint256,address,address)", assetId, address(token), address(holder))
        );
        moveShares(assetId, alice, address(holder), 100_000);
        assertTrue(holder.succeeded());
        assertEq(token.balanceOf(address(holder)), 500);
        assertEq(royalties.claimable(assetId, address(token), address(holder)), 0);
    }

    function test_a_contract_that_takes_no_shares_is_refused() external {
        uint256 assetId = root(alice);
        vm.expectRevert(abi.encodeWithSignature("ERC1155InvalidReceiver(address)", address(token)));
        vm.prank(alice);
        shares.safeTransferFrom(alice, address(token), assetId, 1, "");
        IAssets.Registration memory r = registration(alice, none());
        (r.holders, r.units) = sole(address(token));
        vm.expectRevert(abi.encodeWithSignature("ERC1155InvalidReceiver(address)", address(token)));
        vm.prank(alice);
        assets.register(r);
    }
}
