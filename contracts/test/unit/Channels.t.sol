// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IChannels} from "../../src/interfaces/IChannels.sol";
import {IDepositCollector} from "../../src/interfaces/IDepositCollector.sol";
import {CANONICAL_CHANNELS} from "../../src/libraries/Canonical.sol";
import {ChannelsFixture} from "../support/ChannelsFixture.sol";
import {ITestUSD} from "../support/ITestUSD.sol";
import {Wallet} from "../support/Wallet.sol";
import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// Brings one unit less than it was asked for, of tokens it was given.
contract ShortCollector is IDepositCollector {
    function collect(address, address token, uint256 amount, bytes32, bytes calldata) external {
        IERC20(token).transfer(msg.sender, amount - 1);
    }
}

/// Brings one unit more.
contract GenerousCollector is IDepositCollector {
    function collect(address, address token, uint256 amount, bytes32, bytes calldata) external {
        IERC20(token).transfer(msg.sender, amount + 1);
    }
}

contract ChannelsTest is ChannelsFixture {
    IChannels.ChannelConfig internal config;
    bytes32 internal id;

    function setUp() public override {
        super.setUp();
        config = configOf(address(usd));
        id = channels.getChannelId(config);
    }

    function test_domainIsThatOfTheScheme() external view {
        (, string memory name, string memory version, uint256 chainId, address verifier,,) =
            IERC5267(address(channels)).eip712Domain();
        assertEq(name, "x402 Batch Settlement");
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(verifier, CANONICAL_CHANNELS);
    }

    // --- deposit

    function test_depositByAllowance() external {
        usd.mint(payer, 1001);
        vm.startPrank(payer);
        usd.approve(address(transferCollector), 1001);
        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.ChannelCreated(id, config);
        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.Deposited(id, address(transferCollector), 1000, 1000);
        transferCollector.deposit(config, 1000);
        assertEq(balanceOf(config), 1000);
        assertEq(usd.balanceOf(CANONICAL_CHANNELS), 1000);

        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.Deposited(id, address(transferCollector), 1, 1001);
        transferCollector.deposit(config, 1);
        vm.stopPrank();
        assertEq(balanceOf(config), 1001);
    }

    function test_depositByAuthorizationSentByAnyone() external {
        usd.mint(payer, 1000);
        bytes memory consent = authorization(config, 1000, 7);
        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.Deposited(id, stranger, 1000, 1000);
        vm.prank(stranger);
        channels.deposit(config, 1000, EIP3009_COLLECTOR, consent);
        assertEq(balanceOf(config), 1000);
        assertEq(usd.balanceOf(EIP3009_COLLECTOR), 0);
    }

    /// CH-1: an authorization credits one channel, once.
    function test_anAuthorizationServesOnce() external {
        usd.mint(payer, 2000);
        bytes memory consent = authorization(config, 1000, 7);
        channels.deposit(config, 1000, EIP3009_COLLECTOR, consent);
        bytes32 nonce = keccak256(abi.encode(id, 7));
        vm.expectRevert(abi.encodeWithSelector(ITestUSD.ERC3009UsedAuthorization.selector, payer, nonce));
        channels.deposit(config, 1000, EIP3009_COLLECTOR, consent);
        assertEq(balanceOf(config), 1000);
    }

    function test_anAuthorizationIsBoundToChannelAmountAndSalt() external {
        usd.mint(payer, 2000);
        bytes memory consent = authorization(config, 1000, 7);
        IChannels.ChannelConfig memory other = config;
        other.receiver = stranger;
        vm.expectRevert(ITestUSD.ERC3009InvalidSignature.selector);
        channels.deposit(other, 1000, EIP3009_COLLECTOR, consent);
        vm.expectRevert(ITestUSD.ERC3009InvalidSignature.selector);
        channels.deposit(config, 999, EIP3009_COLLECTOR, consent);
        (uint256 validAfter, uint256 validBefore,, bytes memory signature) =
            abi.decode(consent, (uint256, uint256, uint256, bytes));
        vm.expectRevert(ITestUSD.ERC3009InvalidSignature.selector);
        channels.deposit(config, 1000, EIP3009_COLLECTOR, abi.encode(validAfter, validBefore, uint256(8), signature));
        channels.deposit(config, 1000, EIP3009_COLLECTOR, consent);
    }

    /// Known fault: an exact-amount pull griefed by one unit. Units that lie in the contracts, or come along, neither
    /// break a deposit nor are credited.
    function test_oneUnitDoesNotGriefADeposit() external {
        usd.mint(CANONICAL_CHANNELS, 1);
        usd.mint(EIP3009_COLLECTOR, 1);
        usd.mint(address(transferCollector), 1);
        usd.mint(payer, 1000);
        channels.deposit(config, 1000, EIP3009_COLLECTOR, authorization(config, 1000, 1));
        fund(config, 500);
        assertEq(balanceOf(config), 1500);

        GenerousCollector generous = new GenerousCollector();
        usd.mint(address(generous), 101);
        channels.deposit(config, 100, address(generous), "");
        assertEq(balanceOf(config), 1600);
    }

    function test_depositThatFallsShortReverts() external {
        ShortCollector short = new ShortCollector();
        usd.mint(address(short), 1000);
        vm.expectRevert(IChannels.DepositCollectionFailed.selector);
        channels.deposit(config, 1000, address(short), "");
    }

    /// An allowance to the collector is no consent: nobody but the payer can turn it into a deposit.
    function test_aStrangerCannotSpendAnAllowance() external {
        usd.mint(payer, 1000);
        vm.prank(payer);
        usd.approve(address(transferCollector), 1000);
        IChannels.ChannelConfig memory theirs = config;
        theirs.receiver = theirs.receiverAuthorizer = theirs.payerAuthorizer = stranger;

        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSignature("NotPayer(address,address)", address(0), payer));
        channels.deposit(theirs, 1000, address(transferCollector), "");
        vm.expectRevert(abi.encodeWithSignature("NotPayer(address,address)", stranger, payer));
        transferCollector.deposit(theirs, 1000);
        vm.expectRevert(abi.encodeWithSignature("NotChannels(address)", stranger));
        transferCollector.collect(payer, address(usd), 1000, id, "");
        vm.stopPrank();
        assertEq(usd.balanceOf(payer), 1000);
    }

    /// The collector would send the tokens to whoever calls it.
    function test_onlyChannelsMayCallTheAuthorizationCollector() external {
        usd.mint(payer, 1000);
        bytes memory consent = authorization(config, 1000, 7);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSignature("NotChannels(address)", stranger));
        IDepositCollector(EIP3009_COLLECTOR).collect(payer, address(usd), 1000, id, consent);
    }

    function test_depositRefusesIncompleteChannels() external {
        IChannels.ChannelConfig memory bad = config;
        bad.payer = address(0);
        _expectDepositRevert(bad, IChannels.InvalidChannel.selector);
        bad = configOf(address(usd));
        bad.receiver = address(0);
        _expectDepositRevert(bad, IChannels.InvalidChannel.selector);
        bad = configOf(address(usd));
        bad.receiverAuthorizer = address(0);
        _expectDepositRevert(bad, IChannels.InvalidChannel.selector);
        _expectDepositRevert(configOf(address(0)), IChannels.InvalidChannel.selector);
    }

    function test_withdrawDelayIsFifteenMinutesToThirtyDays() external {
        IChannels.ChannelConfig memory edge = config;
        edge.withdrawDelay = 15 minutes - 1;
        _expectDepositRevert(edge, IChannels.WithdrawDelayOutOfRange.selector);
        edge.withdrawDelay = 30 days + 1;
        _expectDepositRevert(edge, IChannels.WithdrawDelayOutOfRange.selector);
        edge.withdrawDelay = 15 minutes;
        fund(edge, 1);
        edge.withdrawDelay = 30 days;
        fund(edge, 1);
    }

    function test_depositRefusesNothingAndNobody() external {
        vm.expectRevert(IChannels.ZeroDeposit.selector);
        channels.deposit(config, 0, address(transferCollector), "");
        vm.expectRevert(IChannels.InvalidCollector.selector);
        channels.deposit(config, 1, address(0), "");
    }

    /// Known fault: unchecked casts.
    function test_depositDoesNotOverflow() external {
        fund(config, type(uint128).max);
        vm.prank(payer);
        usd.approve(address(transferCollector), 1);
        usd.mint(payer, 1);
        vm.expectRevert(IChannels.DepositOverflow.selector);
        vm.prank(payer);
        transferCollector.deposit(config, 1);
        assertEq(balanceOf(config), type(uint128).max);
    }

    // --- claim

    function test_claimByReceiverOrItsAuthorizer() external {
        fund(config, 1000);
        IChannels.VoucherClaim[] memory rows = batch(row(config, 400, 300));
        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.Claimed(id, receiverAuthorizer, 300, 300);
        vm.prank(receiverAuthorizer);
        channels.claim(rows);
        assertEq(claimedOf(config), 300);

        rows[0].totalClaimed = 400;
        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.Claimed(id, receiver, 100, 400);
        vm.prank(receiver);
        channels.claim(rows);
        (uint128 claimed, uint128 settled) = channels.receivers(receiver, address(usd));
        assertEq(claimed, 400);
        assertEq(settled, 0);
    }

    function test_claimRefusesOthers() external {
        fund(config, 1000);
        IChannels.VoucherClaim[] memory rows = batch(row(config, 400, 300));
        address[3] memory others = [stranger, payer, payerAuthorizer];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(IChannels.NotAuthorizedToClaim.selector);
            channels.claim(rows);
        }
    }

    function test_emptyBatchesAreRefused() external {
        vm.expectRevert(IChannels.EmptyBatch.selector);
        channels.claim(new IChannels.VoucherClaim[](0));
        vm.expectRevert(IChannels.EmptyBatch.selector);
        channels.claimWithSignature(new IChannels.VoucherClaim[](0), "");
    }

    /// CH-1: never more than the voucher, never more than the escrow.
    function test_claimIsBoundedByVoucherAndEscrow() external {
        fund(config, 1000);
        _expectClaimRevert(batch(row(config, 400, 401)), IChannels.ClaimExceedsCeiling.selector);
        _expectClaimRevert(batch(row(config, 2000, 1001)), IChannels.ClaimExceedsBalance.selector);
        _expectClaimRevert(
            batch(row(config, type(uint128).max, type(uint128).max)), IChannels.ClaimExceedsBalance.selector
        );
        claim(batch(row(config, 2000, 1000)));
        assertEq(claimedOf(config), 1000);
    }

    /// CH-1: replay is a no-op, and an older voucher never lowers the total.
    function test_replayIsANoOp() external {
        fund(config, 1000);
        IChannels.VoucherClaim[] memory rows = batch(row(config, 400, 300));
        claim(rows);
        vm.recordLogs();
        claim(rows);
        claim(batch(row(config, 400, 200)));
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(claimedOf(config), 300);
        (uint128 claimed,) = channels.receivers(receiver, address(usd));
        assertEq(claimed, 300);
    }

    /// CH-1. Known fault: duplicate ids in a batch.
    function test_oneChannelTwiceInABatchCountsOnce() external {
        fund(config, 1000);
        claim(batch(row(config, 400, 300), row(config, 400, 300)));
        assertEq(claimedOf(config), 300);
        claim(batch(row(config, 500, 450), row(config, 600, 600)));
        assertEq(claimedOf(config), 600);
        (uint128 claimed,) = channels.receivers(receiver, address(usd));
        assertEq(claimed, 600);
    }

    /// Known fault: only the first element of an array checked.
    function test_everyRowIsChecked() external {
        fund(config, 1000);
        IChannels.VoucherClaim memory good = row(config, 400, 300);

        IChannels.ChannelConfig memory twin = config;
        twin.salt = bytes32(uint256(1));
        fund(twin, 1000);
        _expectClaimRevert(
            batch(good, rowSignedBy(receiverAuthorizerKey, twin, 400, 300)), IChannels.InvalidSignature.selector
        );
        _expectClaimRevert(batch(good, row(twin, 300, 400)), IChannels.ClaimExceedsCeiling.selector);
        _expectClaimRevert(batch(good, row(twin, 2000, 2000)), IChannels.ClaimExceedsBalance.selector);

        IChannels.ChannelConfig memory foreign = config;
        foreign.receiver = foreign.receiverAuthorizer = stranger;
        fund(foreign, 1000);
        IChannels.VoucherClaim[] memory rows = batch(good, row(foreign, 400, 300));
        _expectClaimRevert(rows, IChannels.NotAuthorizedToClaim.selector);
        bytes memory signature = sign(receiverAuthorizerKey, channels.getClaimBatchDigest(rows));
        vm.expectRevert(IChannels.NotReceiverAuthorizer.selector);
        channels.claimWithSignature(rows, signature);

        assertEq(claimedOf(config), 0);
    }

    function test_claimWithSignatureByAnyone() external {
        fund(config, 1000);
        IChannels.ChannelConfig memory other = config;
        other.salt = bytes32(uint256(1));
        fund(other, 500);
        IChannels.VoucherClaim[] memory rows = batch(row(config, 400, 300), row(other, 500, 500));
        bytes memory signature = sign(receiverAuthorizerKey, channels.getClaimBatchDigest(rows));
        vm.prank(stranger);
        channels.claimWithSignature(rows, signature);
        assertEq(claimedOf(config), 300);
        assertEq(claimedOf(other), 500);

        // The signature covers each row's total.
        rows[0].totalClaimed = 400;
        vm.expectRevert(IChannels.InvalidSignature.selector);
        channels.claimWithSignature(rows, signature);
    }

    function test_claimWithSignatureOfAContract() external {
        Wallet gateway = new Wallet();
        config.receiverAuthorizer = address(gateway);
        fund(config, 1000);
        IChannels.VoucherClaim[] memory rows = batch(row(config, 400, 300));
        vm.expectRevert(IChannels.InvalidSignature.selector);
        channels.claimWithSignature(rows, "");
        gateway.setAccepts(channels.getClaimBatchDigest(rows), true);
        channels.claimWithSignature(rows, "");
        assertEq(claimedOf(config), 300);
    }

    /// CH-1: a voucher binds one channel and the payer side's key.
    function test_vouchersOfOthersAreRefused() external {
        fund(config, 1000);
        _expectClaimRevert(batch(rowSignedBy(payerKey, config, 400, 300)), IChannels.InvalidSignature.selector);
        IChannels.ChannelConfig memory other = config;
        other.salt = bytes32(uint256(1));
        IChannels.VoucherClaim memory moved = row(other, 400, 300);
        moved.voucher.channel = config;
        _expectClaimRevert(batch(moved), IChannels.InvalidSignature.selector);
        IChannels.VoucherClaim memory raised = row(config, 400, 300);
        raised.voucher.maxClaimableAmount = 401;
        _expectClaimRevert(batch(raised), IChannels.InvalidSignature.selector);
    }

    /// Known fault: signatures without destination or chain.
    function test_aVoucherServesOnOneChainAndContract() external {
        fund(config, 1000);
        IChannels.VoucherClaim[] memory rows = batch(row(config, 400, 300));

        address twin = makeAddr("twin");
        vm.etch(twin, CANONICAL_CHANNELS.code);
        assertNotEq(IChannels(twin).getChannelId(config), id);

        // After a fork the escrow lies under the id of the old chain, where no channel of the new one can reach it.
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        assertNotEq(channels.getChannelId(config), id);
        _expectClaimRevert(rows, IChannels.ClaimExceedsBalance.selector);
        fund(config, 1000);
        _expectClaimRevert(rows, IChannels.InvalidSignature.selector);
        vm.chainId(chain);
        claim(rows);
    }

    function test_malformedSignaturesAreRefused() external {
        fund(config, 1000);
        IChannels.VoucherClaim memory good = row(config, 400, 300);
        bytes memory signature = good.signature;
        bytes[4] memory bad = [bytes(""), new bytes(65), abi.encodePacked(signature, uint8(0)), _highS(signature)];
        for (uint256 i = 0; i < bad.length; ++i) {
            good.signature = bad[i];
            _expectClaimRevert(batch(good), IChannels.InvalidSignature.selector);
        }
    }

    /// With an authorizer named, its key decides, whatever code is put at its address afterwards.
    function test_anAuthorizerWithCodeIsStillAKey() external {
        fund(config, 1000);
        Wallet wallet = new Wallet();
        vm.etch(payerAuthorizer, address(wallet).code);
        claim(batch(row(config, 400, 300)));
        assertEq(claimedOf(config), 300);
    }

    function test_withoutAuthorizerThePayerSigns() external {
        config.payerAuthorizer = address(0);
        fund(config, 1000);
        _expectClaimRevert(batch(row(config, 400, 300)), IChannels.InvalidSignature.selector);
        claim(batch(rowSignedBy(payerKey, config, 400, 300)));
        assertEq(claimedOf(config), 300);
    }

    function test_withoutAuthorizerAContractWalletSigns() external {
        Wallet wallet = new Wallet();
        config.payer = address(wallet);
        config.payerAuthorizer = address(0);
        fund(config, 1000);
        IChannels.VoucherClaim[] memory rows = batch(row(config, 400, 300));
        _expectClaimRevert(rows, IChannels.InvalidSignature.selector);
        wallet.setAccepts(channels.getVoucherDigest(channels.getChannelId(config), 400), true);
        claim(rows);
        assertEq(claimedOf(config), 300);
    }

    // --- settle

    function test_settleSendsWhatWasClaimedOfAllChannels() external {
        fund(config, 1000);
        IChannels.ChannelConfig memory other = config;
        other.salt = bytes32(uint256(1));
        fund(other, 500);
        claim(batch(row(config, 400, 300), row(other, 500, 500)));

        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.Settled(receiver, address(usd), stranger, 800);
        vm.prank(stranger);
        channels.settle(receiver, address(usd));
        assertEq(usd.balanceOf(receiver), 800);

        vm.recordLogs();
        channels.settle(receiver, address(usd));
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(usd.balanceOf(receiver), 800);
    }

    // --- withdrawal

    /// CH-2
    function test_withdrawalReturnsWhatWasNotClaimed() external {
        fund(config, 1000);
        claim(batch(row(config, 300, 300)));
        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.WithdrawInitiated(id, 700, uint40(block.timestamp) + DELAY);
        vm.prank(payer);
        channels.initiateWithdraw(config, 700);

        skip(DELAY);
        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.WithdrawFinalized(id, payerAuthorizer, 700);
        vm.prank(payerAuthorizer);
        channels.finalizeWithdraw(config);
        assertEq(usd.balanceOf(payer), 700);
        assertEq(balanceOf(config), 300);
        (uint128 amount, uint40 initiatedAt) = channels.pendingWithdrawals(id);
        assertEq(amount, 0);
        assertEq(initiatedAt, 0);
    }

    /// CH-3: what a receiver credits off the ledger is the balance less the pending withdrawal, both readable at once;
    /// nothing leaves before the delay, and claims within it go first.
    function test_claimsWithinTheDelayGoFirst() external {
        fund(config, 1000);
        vm.prank(payer);
        channels.initiateWithdraw(config, 1000);
        (uint128 pending, uint40 initiatedAt) = channels.pendingWithdrawals(id);
        assertEq(balanceOf(config) - pending, 0);
        assertEq(initiatedAt, block.timestamp);

        skip(DELAY - 1);
        vm.prank(payer);
        vm.expectRevert(IChannels.WithdrawDelayNotElapsed.selector);
        channels.finalizeWithdraw(config);
        claim(batch(row(config, 400, 400)));

        skip(1);
        vm.prank(payer);
        channels.finalizeWithdraw(config);
        assertEq(usd.balanceOf(payer), 600);
        channels.settle(receiver, address(usd));
        assertEq(usd.balanceOf(receiver), 400);
    }

    function test_withdrawalMayComeToNothing() external {
        fund(config, 1000);
        vm.prank(payer);
        channels.initiateWithdraw(config, 1000);
        claim(batch(row(config, 1000, 1000)));
        skip(DELAY);
        vm.prank(payer);
        channels.finalizeWithdraw(config);
        assertEq(usd.balanceOf(payer), 0);
        assertEq(balanceOf(config), 1000);
    }

    function test_withdrawalIsThePayersSide() external {
        fund(config, 1000);
        address[3] memory others = [stranger, receiver, receiverAuthorizer];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(IChannels.NotAuthorizedToInitiateWithdraw.selector);
            channels.initiateWithdraw(config, 1);
        }
        vm.prank(payerAuthorizer);
        channels.initiateWithdraw(config, 1);
        skip(DELAY);
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(IChannels.NotAuthorizedToFinalizeWithdraw.selector);
            channels.finalizeWithdraw(config);
        }
        config.payerAuthorizer = address(0);
        vm.prank(address(0));
        vm.expectRevert(IChannels.NotAuthorizedToInitiateWithdraw.selector);
        channels.initiateWithdraw(config, 1);
    }

    function test_withdrawalRefusesBadAmountsAndOrders() external {
        fund(config, 1000);
        claim(batch(row(config, 300, 300)));
        vm.startPrank(payer);
        vm.expectRevert(IChannels.NothingToWithdraw.selector);
        channels.initiateWithdraw(config, 0);
        vm.expectRevert(IChannels.WithdrawAmountExceedsAvailable.selector);
        channels.initiateWithdraw(config, 701);
        vm.expectRevert(IChannels.WithdrawalNotPending.selector);
        channels.finalizeWithdraw(config);
        channels.initiateWithdraw(config, 700);
        vm.expectRevert(IChannels.WithdrawalAlreadyPending.selector);
        channels.initiateWithdraw(config, 1);
        skip(DELAY);
        channels.finalizeWithdraw(config);
        vm.expectRevert(IChannels.WithdrawalNotPending.selector);
        channels.finalizeWithdraw(config);
        vm.stopPrank();
    }

    /// CH-2: a top-up during the delay does not put the withdrawal off.
    function test_depositsDoNotDelayAWithdrawal() external {
        fund(config, 1000);
        vm.prank(payer);
        channels.initiateWithdraw(config, 1000);
        skip(DELAY);
        usd.mint(payer, 5);
        channels.deposit(config, 5, EIP3009_COLLECTOR, authorization(config, 5, 1));
        vm.prank(payer);
        channels.finalizeWithdraw(config);
        assertEq(usd.balanceOf(payer), 1000);
        assertEq(balanceOf(config), 5);
    }

    // --- refund

    function test_refundByReceiverOrItsAuthorizer() external {
        fund(config, 1000);
        claim(batch(row(config, 300, 300)));
        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.Refunded(id, receiver, 100);
        vm.prank(receiver);
        channels.refund(config, 100);
        // Capped by what is not claimed.
        vm.prank(receiverAuthorizer);
        channels.refund(config, type(uint128).max);
        assertEq(usd.balanceOf(payer), 700);
        assertEq(balanceOf(config), 300);
        assertEq(channels.refundNonce(id), 2);

        vm.prank(receiver);
        vm.recordLogs();
        channels.refund(config, 1);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(channels.refundNonce(id), 3);
    }

    function test_refundRefusesOthersAndNothing() external {
        fund(config, 1000);
        address[3] memory others = [stranger, payer, payerAuthorizer];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(IChannels.NotAuthorizedToRefund.selector);
            channels.refund(config, 1);
        }
        vm.prank(receiver);
        vm.expectRevert(IChannels.ZeroRefund.selector);
        channels.refund(config, 0);
    }

    function test_signedRefundServesOnce() external {
        fund(config, 1000);
        bytes memory signature = sign(receiverAuthorizerKey, channels.getRefundDigest(id, 0, 100));
        vm.expectRevert(IChannels.InvalidSignature.selector);
        channels.refundWithSignature(config, 101, 0, signature);
        vm.expectRevert(IChannels.InvalidRefundNonce.selector);
        channels.refundWithSignature(config, 100, 1, signature);

        vm.prank(stranger);
        channels.refundWithSignature(config, 100, 0, signature);
        assertEq(usd.balanceOf(payer), 100);
        vm.expectRevert(IChannels.InvalidRefundNonce.selector);
        channels.refundWithSignature(config, 100, 0, signature);
        vm.expectRevert(IChannels.InvalidSignature.selector);
        channels.refundWithSignature(config, 100, 1, signature);
    }

    /// A refund is a part of what the payer waits for; the payer does not get it twice.
    function test_refundShrinksAPendingWithdrawal() external {
        fund(config, 1000);
        vm.prank(payer);
        channels.initiateWithdraw(config, 600);
        vm.prank(receiver);
        channels.refund(config, 200);
        (uint128 pending,) = channels.pendingWithdrawals(id);
        assertEq(pending, 400);
        vm.prank(receiver);
        channels.refund(config, 400);
        (uint128 left, uint40 initiatedAt) = channels.pendingWithdrawals(id);
        assertEq(left, 0);
        assertEq(initiatedAt, 0);
        assertEq(usd.balanceOf(payer), 600);
    }

    function test_createdAndClosedAreTold() external {
        fund(config, 1000);
        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.ChannelClosed(id, config);
        vm.prank(receiver);
        channels.refund(config, 1000);
        usd.mint(payer, 10);
        bytes memory consent = authorization(config, 10, 1);
        vm.expectEmit(CANONICAL_CHANNELS);
        emit IChannels.ChannelCreated(id, config);
        channels.deposit(config, 10, EIP3009_COLLECTOR, consent);
    }

    // --- multicall

    function test_multicallDoesAllOrNothing() external {
        fund(config, 1000);
        IChannels.VoucherClaim[] memory rows = batch(row(config, 400, 300));
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(
            IChannels.claimWithSignature, (rows, sign(receiverAuthorizerKey, channels.getClaimBatchDigest(rows)))
        );
        bytes memory signature = sign(receiverAuthorizerKey, channels.getRefundDigest(id, 0, 700));
        calls[1] = abi.encodeCall(IChannels.refundWithSignature, (config, 700, 1, signature));
        vm.expectRevert(IChannels.InvalidRefundNonce.selector);
        channels.multicall(calls);
        assertEq(claimedOf(config), 0);

        calls[1] = abi.encodeCall(IChannels.refundWithSignature, (config, 700, 0, signature));
        channels.multicall(calls);
        assertEq(claimedOf(config), 300);
        assertEq(usd.balanceOf(payer), 700);
    }

    function _expectDepositRevert(IChannels.ChannelConfig memory bad, bytes4 selector) private {
        vm.expectRevert(selector);
        channels.deposit(bad, 1, address(transferCollector), "");
    }

    function _expectClaimRevert(IChannels.VoucherClaim[] memory rows, bytes4 selector) private {
        vm.prank(receiverAuthorizer);
        vm.expectRevert(selector);
        channels.claim(rows);
    }

    /// The same signature with `s` on the other side of the curve: valid to the precompile, malleable.
    function _highS(bytes memory signature) private pure returns (bytes memory) {
        bytes32 r;
        bytes32 s;
        uint8 v;
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
            v := byte(0, mload(add(signature, 0x60)))
        }
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        return abi.encodePacked(r, order - uint256(s), v == 27 ? uint8(28) : uint8(27));
    }
}
