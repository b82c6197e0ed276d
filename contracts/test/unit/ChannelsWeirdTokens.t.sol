// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IChannels} from "../../src/interfaces/IChannels.sol";
import {CANONICAL_CHANNELS} from "../../src/libraries/Canonical.sol";
import {ChannelsFixture} from "../support/ChannelsFixture.sol";
import {
    BlockingToken,
    CallingToken,
    FalseToken,
    FeeToken,
    RebasingToken,
    SilentToken
} from "../support/WeirdTokens.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// TOK-1: a token that takes a fee, rebases, calls back, returns nothing or blocks an address has no effect on the
/// accounting of any other. After each misdeed an honest channel, funded beside it, pays out to the unit.
contract ChannelsWeirdTokensTest is ChannelsFixture {
    bytes4 private constant LOCKED = bytes4(keccak256("ReentrancyGuardReentrantCall()"));

    IChannels.ChannelConfig private _honest;

    modifier leavesTheHonestChannelWhole() {
        _honest = configOf(address(usd));
        fund(_honest, 1000);
        claim(batch(row(_honest, 400, 400)));
        _;
        channels.settle(receiver, address(usd));
        vm.prank(receiver);
        channels.refund(_honest, 600);
        assertEq(usd.balanceOf(receiver), 400);
        assertEq(usd.balanceOf(payer), 600);
        assertEq(usd.balanceOf(CANONICAL_CHANNELS), 0);
    }

    /// TOK-1: what a fee took is not credited.
    function test_feeOnTransfer() external leavesTheHonestChannelWhole {
        IChannels.ChannelConfig memory config = configOf(address(new FeeToken()));
        FeeToken(config.token).mint(payer, 1000);
        vm.startPrank(payer);
        IERC20(config.token).approve(address(transferCollector), 1000);
        vm.expectRevert(IChannels.DepositCollectionFailed.selector);
        transferCollector.deposit(config, 1000);
        vm.stopPrank();
        assertEq(balanceOf(config), 0);
    }

    /// TOK-1
    function test_returnsNothing() external leavesTheHonestChannelWhole {
        IChannels.ChannelConfig memory config = configOf(address(new SilentToken()));
        fund(config, 1000);
        claim(batch(row(config, 300, 300)));
        channels.settle(receiver, config.token);
        vm.prank(receiver);
        channels.refund(config, 200);
        vm.prank(payer);
        channels.initiateWithdraw(config, 500);
        skip(DELAY);
        vm.prank(payer);
        channels.finalizeWithdraw(config);
        assertEq(SilentToken(config.token).balanceOf(receiver), 300);
        assertEq(SilentToken(config.token).balanceOf(payer), 700);
    }

    /// TOK-1
    function test_returnsFalse() external leavesTheHonestChannelWhole {
        IChannels.ChannelConfig memory config = configOf(address(new FalseToken()));
        FalseToken(config.token).mint(payer, 1000);
        vm.startPrank(payer);
        IERC20(config.token).approve(address(transferCollector), 1000);
        vm.expectRevert(abi.encodeWithSignature("SafeERC20FailedOperation(address)", config.token));
        transferCollector.deposit(config, 1000);
        vm.stopPrank();
    }

    /// TOK-1: a rebase downwards is borne by the channels of that token, first come, first served.
    function test_rebases() external leavesTheHonestChannelWhole {
        RebasingToken token = new RebasingToken();
        IChannels.ChannelConfig memory config = configOf(address(token));
        fund(config, 1000);
        IChannels.ChannelConfig memory other = configOf(address(token));
        other.salt = bytes32(uint256(1));
        fund(other, 1000);
        token.shrink(CANONICAL_CHANNELS, 500);

        vm.startPrank(receiver);
        channels.refund(config, 1000);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, CANONICAL_CHANNELS, 500, 1000)
        );
        channels.refund(other, 1000);
        channels.refund(other, 500);
        vm.stopPrank();
    }

    /// TOK-1. Known fault: a receiver that cannot be paid blocks everyone's payout.
    function test_blocksAnAddress() external leavesTheHonestChannelWhole {
        BlockingToken token = new BlockingToken();
        IChannels.ChannelConfig memory config = configOf(address(token));
        fund(config, 1000);
        IChannels.ChannelConfig memory other = configOf(address(token));
        other.receiver = makeAddr("another receiver");
        fund(other, 1000);
        claim(batch(row(config, 300, 300), row(other, 200, 200)));
        token.setBlocked(receiver, true);

        vm.expectRevert("blocked");
        channels.settle(receiver, address(token));
        channels.settle(other.receiver, address(token));
        assertEq(token.balanceOf(other.receiver), 200);

        // What was claimed waits for the block to be lifted, and goes on growing.
        claim(batch(row(config, 500, 500)));
        token.setBlocked(receiver, false);
        channels.settle(receiver, address(token));
        assertEq(token.balanceOf(receiver), 500);
    }

    /// TOK-1: the lock holds for every function that changes something, from a deposit, a settlement and a refund.
    function test_callsBack() external leavesTheHonestChannelWhole {
        CallingToken token = new CallingToken();
        IChannels.ChannelConfig memory config = configOf(address(token));
        // The token stands on every side of these, so that nothing but the lock can refuse its calls.
        IChannels.ChannelConfig memory its = configOf(address(token));
        its.payer = its.payerAuthorizer = its.receiver = its.receiverAuthorizer = address(token);
        bytes[] memory inside = new bytes[](1);
        inside[0] = abi.encodeCall(IChannels.settle, (receiver, address(usd)));
        bytes[8] memory calls = [
            abi.encodeCall(IChannels.deposit, (its, 1, address(transferCollector), "")),
            abi.encodeCall(IChannels.claim, (batch(row(its, 1, 1)))),
            abi.encodeCall(IChannels.claimWithSignature, (batch(row(its, 1, 1)), "")),
            abi.encodeCall(IChannels.settle, (receiver, address(usd))),
            abi.encodeCall(IChannels.initiateWithdraw, (its, 1)),
            abi.encodeCall(IChannels.finalizeWithdraw, (its)),
            abi.encodeCall(IChannels.refund, (its, 1)),
            abi.encodeCall(IChannels.multicall, (inside))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            uint128 total = uint128(i + 1) * 10;
            token.mint(payer, 1000);
            token.arm(CANONICAL_CHANNELS, calls[i]);
            approveAndDeposit(config, 1000);
            _assertRefusedByTheLock(token);

            claim(batch(row(config, total, total)));
            token.arm(CANONICAL_CHANNELS, calls[i]);
            channels.settle(receiver, address(token));
            _assertRefusedByTheLock(token);

            token.arm(CANONICAL_CHANNELS, calls[i]);
            vm.prank(receiver);
            channels.refund(config, 10);
            _assertRefusedByTheLock(token);
        }
        assertEq(balanceOf(config), 8 * 990);
        assertEq(claimedOf(config), 80);
    }

    function _assertRefusedByTheLock(CallingToken token) private view {
        assertFalse(token.succeeded());
        assertEq(bytes4(token.answer()), LOCKED);
        assertEq(token.target(), address(0), "the token did not call");
    }
}
