// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IChannels} from "../../src/interfaces/IChannels.sol";
import {CANONICAL_CHANNELS} from "../../src/libraries/Canonical.sol";
import {ChannelsFixture} from "../support/ChannelsFixture.sol";

contract ChannelsFuzzTest is ChannelsFixture {
    IChannels.ChannelConfig private _channel;

    function setUp() public override {
        super.setUp();
        _channel = configOf(address(usd));
    }

    /// CH-1: after any two claims the total is the highest that voucher and escrow allowed, or the claim reverted; over
    /// the whole range of 128 bits.
    function testFuzz_CH_1_claims(uint128 escrow, uint128[2] memory maxima, uint128[2] memory totals) external {
        escrow = uint128(bound(escrow, 1, type(uint128).max));
        fund(_channel, escrow);
        uint128 expected;
        for (uint256 i = 0; i < 2; ++i) {
            IChannels.VoucherClaim[] memory rows = batch(row(_channel, maxima[i], totals[i]));
            bool allowed = totals[i] <= maxima[i] && (totals[i] <= expected || totals[i] <= escrow);
            vm.prank(receiverAuthorizer);
            (bool done,) = address(channels).call(abi.encodeCall(IChannels.claim, (rows)));
            assertEq(done, allowed);
            if (allowed && totals[i] > expected) expected = totals[i];
            assertEq(claimedOf(_channel), expected);
        }
        channels.settle(receiver, address(usd));
        assertEq(usd.balanceOf(receiver), expected);
    }

    /// CH-1: rows of several channels of one receiver in one batch add up.
    function testFuzz_CH_1_batches(uint64[5] memory escrows, uint64[5] memory totals) external {
        IChannels.VoucherClaim[] memory rows = new IChannels.VoucherClaim[](5);
        uint256 sum;
        for (uint256 i = 0; i < rows.length; ++i) {
            IChannels.ChannelConfig memory config = _channel;
            config.salt = bytes32(i);
            fund(config, uint128(escrows[i]) + 1);
            rows[i] = row(config, totals[i], uint128(bound(totals[i], 0, escrows[i])) % (uint128(totals[i]) + 1));
            sum += rows[i].totalClaimed;
        }
        claim(rows);
        (uint128 claimed,) = channels.receivers(receiver, address(usd));
        assertEq(claimed, sum);
    }

    /// CH-2: whatever is claimed before, during and after the delay, the payer ends with exactly the rest.
    function testFuzz_CH_2_withdrawal(uint128 escrow, uint128 before, uint128 asked, uint128 during, uint40 delay)
        external
    {
        escrow = uint128(bound(escrow, 1, type(uint128).max));
        before = uint128(bound(before, 0, escrow - 1));
        asked = uint128(bound(asked, 1, escrow - before));
        during = uint128(bound(during, before, escrow));
        _channel.withdrawDelay = uint40(bound(delay, 15 minutes, 30 days));
        fund(_channel, escrow);
        claim(batch(row(_channel, before, before)));

        vm.prank(payer);
        channels.initiateWithdraw(_channel, asked);
        claim(batch(row(_channel, during, during)));
        skip(_channel.withdrawDelay);
        vm.prank(payer);
        channels.finalizeWithdraw(_channel);
        uint128 rest = escrow - during;
        uint128 first = asked < rest ? asked : rest;
        assertEq(usd.balanceOf(payer), first);

        if (rest > first) {
            vm.prank(payer);
            channels.initiateWithdraw(_channel, rest - first);
            skip(_channel.withdrawDelay);
            vm.prank(payer);
            channels.finalizeWithdraw(_channel);
        }
        channels.settle(receiver, address(usd));
        assertEq(usd.balanceOf(payer), rest);
        assertEq(usd.balanceOf(receiver), during);
        assertEq(usd.balanceOf(CANONICAL_CHANNELS), 0);
    }

    /// CH-2: a withdrawal and any refund within its delay together return each unit once.
    function testFuzz_CH_2_refundsWithinAWithdrawal(uint128 escrow, uint128 asked, uint128 refunded) external {
        escrow = uint128(bound(escrow, 1, type(uint128).max));
        asked = uint128(bound(asked, 1, escrow));
        refunded = uint128(bound(refunded, 1, type(uint128).max));
        fund(_channel, escrow);
        vm.prank(payer);
        channels.initiateWithdraw(_channel, asked);
        vm.prank(receiver);
        channels.refund(_channel, refunded);
        uint128 returned = refunded < escrow ? refunded : escrow;
        assertEq(usd.balanceOf(payer), returned);

        (uint128 pending, uint40 initiatedAt) = channels.pendingWithdrawals(channels.getChannelId(_channel));
        assertEq(pending, returned < asked ? asked - returned : 0);
        assertEq(initiatedAt != 0, returned < asked);
        if (initiatedAt != 0) {
            skip(DELAY);
            vm.prank(payer);
            channels.finalizeWithdraw(_channel);
            assertEq(usd.balanceOf(payer), asked);
        }
    }

    /// CH-1: the id binds every field, so no two configurations share escrow or vouchers.
    function testFuzz_CH_1_everyFieldIsInTheId(IChannels.ChannelConfig memory a, IChannels.ChannelConfig memory b)
        external
        view
    {
        bool same = keccak256(abi.encode(a)) == keccak256(abi.encode(b));
        assertEq(channels.getChannelId(a) == channels.getChannelId(b), same);
        bytes32 id = channels.getChannelId(a);
        bytes memory words = abi.encode(a);
        for (uint256 field = 0; field < 7; ++field) {
            IChannels.ChannelConfig memory changed = abi.decode(_flipLowestBit(words, field), (IChannels.ChannelConfig));
            assertNotEq(channels.getChannelId(changed), id);
        }
    }

    function _flipLowestBit(bytes memory words, uint256 field) private pure returns (bytes memory flipped) {
        flipped = bytes.concat(words);
        flipped[field * 32 + 31] = bytes1(uint8(flipped[field * 32 + 31]) ^ 1);
    }
}
