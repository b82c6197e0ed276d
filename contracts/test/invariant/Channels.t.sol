// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IChannels} from "../../src/interfaces/IChannels.sol";
import {CANONICAL_CHANNELS} from "../../src/libraries/Canonical.sol";
import {ChannelsFixture} from "../support/ChannelsFixture.sol";
import {ITestUSD} from "../support/ITestUSD.sol";
import {CallingToken, FeeToken, RebasingToken} from "../support/WeirdTokens.sol";

/// What one channel must be, by the rules alone.
struct Model {
    uint256 deposited;
    uint256 returned;
    uint256 claimed;
    uint256 highestSigned;
    uint256 pending;
    uint256 pendingSince;
}

/// Acts for everyone; see README.md.
contract ChannelsHandler is ChannelsFixture {
    uint256 internal constant CHANNELS_A_TOKEN = 3;
    uint128 internal constant MOST = 1e24;

    address[4] internal tokens;
    IChannels.ChannelConfig[] internal configs;
    Model[] internal models;
    /// The last batch that was claimed, to be replayed.
    bytes internal lastClaim;
    uint256 internal usdSettled;
    uint256 internal usdGiven;

    constructor() {
        setUp();
        tokens = [address(usd), address(new FeeToken()), address(new CallingToken()), address(new RebasingToken())];
        for (uint256 i = 0; i < tokens.length * CHANNELS_A_TOKEN; ++i) {
            IChannels.ChannelConfig memory config = configOf(tokens[i / CHANNELS_A_TOKEN]);
            config.salt = bytes32(i);
            config.withdrawDelay = uint40(15 minutes + i * 2 days);
            configs.push(config);
            models.push();
        }
    }

    function deposit(uint256 which, uint128 amount) external {
        which %= configs.length;
        amount = uint128(bound(amount, 1, MOST));
        IChannels.ChannelConfig memory config = configs[which];
        ITestUSD(config.token).mint(payer, amount);
        vm.startPrank(payer);
        ITestUSD(config.token).approve(address(transferCollector), amount);
        (bool done,) = address(transferCollector).call(abi.encodeCall(transferCollector.deposit, (config, amount)));
        vm.stopPrank();
        bool cutShort = config.token == tokens[1] && FeeToken(config.token).feeOf(amount) != 0;
        assertEq(done, !cutShort, "every deposit is taken but one that a fee cut short");
        if (done) models[which].deposited += amount;
    }

    function claimOne(uint256 which, uint128 maximum, uint128 total) external {
        which %= configs.length;
        _claim(which, which, _amountNear(which, maximum), _amountNear(which, total), 0);
    }

    function claimTwo(uint256 first, uint256 second, uint128 total, uint128 more) external {
        first %= configs.length;
        second %= configs.length;
        total = _amountNear(first, total);
        _claim(first, second, total, total, _amountNear(second, more));
    }

    function replay() external {
        if (lastClaim.length == 0) return;
        vm.recordLogs();
        vm.prank(receiverAuthorizer);
        (bool done,) = CANONICAL_CHANNELS.call(lastClaim);
        assertTrue(done, "a replay reverted");
        assertEq(vm.getRecordedLogs().length, 0, "a replay did something");
    }

    function settle(uint256 which) external {
        address token = tokens[which % tokens.length];
        (uint128 claimed, uint128 settled) = channels.receivers(receiver, token);
        (bool done,) = CANONICAL_CHANNELS.call(abi.encodeCall(IChannels.settle, (receiver, token)));
        if (token != address(usd)) return;
        assertTrue(done, "an honest token was not settled");
        usdSettled += claimed - settled;
    }

    function initiateWithdraw(uint256 which, uint128 amount) external {
        which %= configs.length;
        Model storage model = models[which];
        amount = _amountNear(which, amount);
        bool allowed = model.pending == 0 && amount > 0 && amount <= _available(model);
        vm.prank(payer);
        (bool done,) = CANONICAL_CHANNELS.call(abi.encodeCall(IChannels.initiateWithdraw, (configs[which], amount)));
        assertEq(done, allowed, "initiateWithdraw");
        if (!done) return;
        model.pending = amount;
        model.pendingSince = block.timestamp;
    }

    function finalizeWithdraw(uint256 which) external {
        which %= configs.length;
        Model storage model = models[which];
        bool due = model.pending != 0 && block.timestamp >= model.pendingSince + configs[which].withdrawDelay;
        vm.prank(payer);
        (bool done,) = CANONICAL_CHANNELS.call(abi.encodeCall(IChannels.finalizeWithdraw, (configs[which])));
        assertTrue(due || !done, "a withdrawal before its time");
        // Only the rebased token can be short of what it owes.
        if (configs[which].token != tokens[3]) assertEq(done, due, "finalizeWithdraw");
        if (!done) return;
        model.returned += _min(model.pending, _available(model));
        model.pending = 0;
    }

    function refund(uint256 which, uint128 amount) external {
        which %= configs.length;
        Model storage model = models[which];
        amount = _amountNear(which, amount);
        vm.prank(receiver);
        (bool done,) = CANONICAL_CHANNELS.call(abi.encodeCall(IChannels.refund, (configs[which], amount)));
        if (configs[which].token != tokens[3]) assertEq(done, amount > 0, "refund");
        if (!done) return;
        uint256 refunded = _min(amount, _available(model));
        model.returned += refunded;
        model.pending -= _min(model.pending, refunded);
    }

    function give(uint128 amount) external {
        amount = uint128(bound(amount, 0, MOST));
        usd.mint(CANONICAL_CHANNELS, amount);
        usdGiven += amount;
    }

    function rebase(uint256 amount) external {
        uint256 held = RebasingToken(tokens[3]).balanceOf(CANONICAL_CHANNELS);
        RebasingToken(tokens[3]).shrink(CANONICAL_CHANNELS, bound(amount, 0, held));
    }

    function arm(uint256 which, uint256 call) external {
        IChannels.ChannelConfig memory config = configs[which % configs.length];
        bytes[3] memory calls = [
            abi.encodeCall(IChannels.settle, (receiver, config.token)),
            abi.encodeCall(IChannels.settle, (receiver, address(usd))),
            abi.encodeCall(IChannels.deposit, (config, 1, address(this), ""))
        ];
        CallingToken(tokens[2]).arm(CANONICAL_CHANNELS, calls[call % calls.length]);
    }

    function wait(uint40 time) external {
        skip(bound(time, 1, 10 days));
    }

    function assertChannelsAreAsTheModelSays() external view {
        for (uint256 i = 0; i < configs.length; ++i) {
            Model memory model = models[i];
            bytes32 id = channels.getChannelId(configs[i]);
            (uint128 balance, uint128 claimed) = channels.channels(id);
            assertEq(balance, model.deposited - model.returned, "balance");
            assertEq(claimed, model.claimed, "claimed");
            assertLe(claimed, balance, "claimed more than escrowed");
            assertLe(claimed, model.highestSigned, "claimed more than signed");
            (uint128 pending,) = channels.pendingWithdrawals(id);
            assertEq(pending, model.pending, "pending");
        }
    }

    function assertTheHonestTokenIsAllThere() external view {
        uint256 owed;
        uint256 claimed;
        for (uint256 i = 0; i < CHANNELS_A_TOKEN; ++i) {
            owed += balanceOf(configs[i]);
            claimed += models[i].claimed;
        }
        assertEq(usd.balanceOf(CANONICAL_CHANNELS), owed - usdSettled + usdGiven);
        assertEq(usd.balanceOf(receiver), usdSettled);
        (uint128 total, uint128 settled) = channels.receivers(receiver, address(usd));
        assertEq(total, claimed);
        assertEq(settled, usdSettled);
    }

    function assertPayersGetBackWhatWasNotClaimed() external {
        for (uint256 i = 0; i < CHANNELS_A_TOKEN; ++i) {
            Model memory model = models[i];
            uint256 before = usd.balanceOf(payer);
            if (model.pending != 0) _withdrawPending(i);
            uint128 rest = balanceOf(configs[i]) - claimedOf(configs[i]);
            if (rest != 0) {
                vm.prank(payer);
                channels.initiateWithdraw(configs[i], rest);
                _withdrawPending(i);
            }
            assertEq(usd.balanceOf(payer) - before, _available(model));
            assertEq(balanceOf(configs[i]), model.claimed);
        }
        channels.settle(receiver, address(usd));
        assertEq(usd.balanceOf(CANONICAL_CHANNELS), usdGiven);
    }

    function selectors() external pure returns (bytes4[] memory all) {
        all = new bytes4[](12);
        all[0] = this.deposit.selector;
        all[1] = this.claimOne.selector;
        all[2] = this.claimTwo.selector;
        all[3] = this.replay.selector;
        all[4] = this.settle.selector;
        all[5] = this.initiateWithdraw.selector;
        all[6] = this.finalizeWithdraw.selector;
        all[7] = this.refund.selector;
        all[8] = this.give.selector;
        all[9] = this.rebase.selector;
        all[10] = this.arm.selector;
        all[11] = this.wait.selector;
    }

    function _withdrawPending(uint256 which) private {
        skip(configs[which].withdrawDelay);
        vm.prank(payer);
        channels.finalizeWithdraw(configs[which]);
    }

    /// One row when both channels are the same and `secondTotal` is zero, two otherwise.
    function _claim(uint256 first, uint256 second, uint128 maximum, uint128 total, uint128 secondTotal) private {
        IChannels.VoucherClaim[] memory rows = first == second && secondTotal == 0
            ? batch(row(configs[first], maximum, total))
            : batch(row(configs[first], maximum, total), row(configs[second], secondTotal, secondTotal));
        Model memory one = models[first];
        bool allowed = total <= maximum && _mayBecome(one, total);
        if (allowed && total > one.claimed) one.claimed = total;
        Model memory two = first == second ? one : models[second];
        allowed = allowed && _mayBecome(two, secondTotal);
        if (allowed && secondTotal > two.claimed) two.claimed = secondTotal;

        bytes memory call = abi.encodeCall(IChannels.claim, (rows));
        vm.prank(receiverAuthorizer);
        (bool done,) = CANONICAL_CHANNELS.call(call);
        assertEq(done, allowed, "claim");
        if (!done) return;
        lastClaim = call;
        one.highestSigned = _max(one.highestSigned, maximum);
        two.highestSigned = _max(two.highestSigned, secondTotal);
        (models[first], models[second]) = (one, two);
    }

    function _mayBecome(Model memory model, uint128 total) private pure returns (bool) {
        return total <= model.claimed || total <= model.deposited - model.returned;
    }

    /// Somewhere around what the channel holds: a little above it as often as not far below.
    function _amountNear(uint256 which, uint128 amount) private view returns (uint128) {
        Model memory model = models[which];
        return uint128(bound(amount, 0, (model.deposited - model.returned) * 5 / 4 + 1));
    }

    function _available(Model memory model) private pure returns (uint256) {
        return model.deposited - model.returned - model.claimed;
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    function _max(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }
}

/// forge-config: default.invariant.fail-on-revert = true
contract ChannelsInvariantTest is ChannelsFixture {
    ChannelsHandler private _handler;

    function setUp() public override {
        _handler = new ChannelsHandler();
        targetContract(address(_handler));
        targetSelector(FuzzSelector(address(_handler), _handler.selectors()));
    }

    /// CH-1, CH-3
    function invariant_CH_1_channelsAreAsTheModelSays() external view {
        _handler.assertChannelsAreAsTheModelSays();
    }

    /// TOK-1
    function invariant_TOK_1_theHonestTokenIsAllThere() external view {
        _handler.assertTheHonestTokenIsAllThere();
    }

    /// CH-2
    function afterInvariant() external {
        _handler.assertPayersGetBackWhatWasNotClaimed();
    }
}
