// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IChannels} from "../../src/interfaces/IChannels.sol";
import {CANONICAL_CHANNELS} from "../../src/libraries/Canonical.sol";
import {ChannelsFixture} from "../support/ChannelsFixture.sol";
import {ITestUSD} from "../support/ITestUSD.sol";

/// Known fault: a wrong EIP-712 type hash. Every hash and signature is compared with what the stock x402 library gives
/// for the same input (test/vectors/x402.json), and what it signed must work from deposit to refund.
contract ChannelsVectorsTest is ChannelsFixture {
    string private _vectors;

    function setUp() public override {
        super.setUp();
        _vectors = vm.readFile("test/vectors/x402.json");
        vm.chainId(vm.parseJsonUint(_vectors, ".chainId"));
        vm.warp(vm.parseJsonUint(_vectors, ".now"));
        address token = vm.parseJsonAddress(_vectors, ".token.address");
        deployCodeTo("TestUSD.sol:TestUSD", token);
        usd = ITestUSD(token);
    }

    function test_addressesAreThoseOfStockClients() external view {
        assertEq(vm.parseJsonAddress(_vectors, ".channels"), CANONICAL_CHANNELS);
        assertEq(vm.parseJsonAddress(_vectors, ".eip3009DepositCollector"), EIP3009_COLLECTOR);
        assertEq(vm.parseJsonString(_vectors, ".token.name"), usd.name());
        assertEq(vm.parseJsonString(_vectors, ".token.version"), usd.version());
    }

    function test_theCommittedListOfCanonicalAddressesAgrees() external view {
        string memory list = vm.readFile("abi/canonical.json");
        assertEq(vm.parseJsonString(list, "[0].contract"), "Channels");
        assertEq(vm.parseJsonAddress(list, "[0].address"), CANONICAL_CHANNELS);
        assertEq(vm.parseJsonString(list, "[1].contract"), "Eip3009DepositCollector");
        assertEq(vm.parseJsonAddress(list, "[1].address"), EIP3009_COLLECTOR);
    }

    function test_channelIdsAndVoucherDigests() external view {
        for (uint256 i = 0; i < 3; ++i) {
            string memory at = string.concat(".vouchers[", vm.toString(i), "]");
            bytes32 channelId = vm.parseJsonBytes32(_vectors, string.concat(at, ".channelId"));
            assertEq(channels.getChannelId(_config(string.concat(at, ".config"))), channelId);
            assertEq(
                channels.getVoucherDigest(channelId, _uint128(string.concat(at, ".maxClaimableAmount"))),
                vm.parseJsonBytes32(_vectors, string.concat(at, ".digest"))
            );
        }
        assertEq(
            channels.getChannelId(_config(".channelWithoutAuthorizer")),
            vm.parseJsonBytes32(_vectors, ".channelIdWithoutAuthorizer")
        );
    }

    function test_claimBatchDigest() external view {
        assertEq(channels.getClaimBatchDigest(_rows()), vm.parseJsonBytes32(_vectors, ".claimBatch.digest"));
        assertEq(
            channels.getClaimBatchDigest(new IChannels.VoucherClaim[](0)),
            vm.parseJsonBytes32(_vectors, ".emptyClaimBatchDigest")
        );
    }

    function test_refundDigest() external view {
        assertEq(
            channels.getRefundDigest(
                vm.parseJsonBytes32(_vectors, ".refund.channelId"),
                vm.parseJsonUint(_vectors, ".refund.nonce"),
                _uint128(".refund.amount")
            ),
            vm.parseJsonBytes32(_vectors, ".refund.digest")
        );
    }

    function test_whatStockClientsSignedWorksFromDepositToRefund() external {
        IChannels.VoucherClaim[] memory rows = _rows();
        IChannels.ChannelConfig memory first = rows[0].voucher.channel;
        usd.mint(first.payer, 5000);
        channels.deposit(
            first,
            _uint128(".deposit.amount"),
            vm.parseJsonAddress(_vectors, ".deposit.collector"),
            vm.parseJsonBytes(_vectors, ".deposit.collectorData")
        );
        assertEq(balanceOf(first), 5000);
        fund(rows[1].voucher.channel, 1_000_000);

        vm.prank(stranger);
        channels.claimWithSignature(rows, vm.parseJsonBytes(_vectors, ".claimBatch.signature"));
        assertEq(claimedOf(first), 650);
        assertEq(claimedOf(rows[1].voucher.channel), 1_000_000);

        vm.startPrank(first.receiver);
        while (channels.refundNonce(channels.getChannelId(first)) < vm.parseJsonUint(_vectors, ".refund.nonce")) {
            channels.refund(first, 1);
        }
        vm.stopPrank();
        uint256 before = usd.balanceOf(first.payer);
        channels.refundWithSignature(
            first,
            _uint128(".refund.amount"),
            vm.parseJsonUint(_vectors, ".refund.nonce"),
            vm.parseJsonBytes(_vectors, ".refund.signature")
        );
        assertEq(usd.balanceOf(first.payer) - before, 250);
    }

    function _rows() private view returns (IChannels.VoucherClaim[] memory rows) {
        rows = new IChannels.VoucherClaim[](2);
        for (uint256 i = 0; i < rows.length; ++i) {
            string memory at = string.concat(".vouchers[", vm.toString(i), "]");
            rows[i].voucher.channel = _config(string.concat(at, ".config"));
            rows[i].voucher.maxClaimableAmount = _uint128(string.concat(at, ".maxClaimableAmount"));
            rows[i].signature = vm.parseJsonBytes(_vectors, string.concat(at, ".signature"));
            rows[i].totalClaimed = _uint128(string.concat(".claimBatch.totals[", vm.toString(i), "]"));
        }
    }

    function _config(string memory at) private view returns (IChannels.ChannelConfig memory) {
        return IChannels.ChannelConfig({
            payer: vm.parseJsonAddress(_vectors, string.concat(at, ".payer")),
            payerAuthorizer: vm.parseJsonAddress(_vectors, string.concat(at, ".payerAuthorizer")),
            receiver: vm.parseJsonAddress(_vectors, string.concat(at, ".receiver")),
            receiverAuthorizer: vm.parseJsonAddress(_vectors, string.concat(at, ".receiverAuthorizer")),
            token: vm.parseJsonAddress(_vectors, string.concat(at, ".token")),
            withdrawDelay: uint40(vm.parseJsonUint(_vectors, string.concat(at, ".withdrawDelay"))),
            salt: vm.parseJsonBytes32(_vectors, string.concat(at, ".salt"))
        });
    }

    function _uint128(string memory at) private view returns (uint128) {
        return uint128(vm.parseJsonUint(_vectors, at));
    }
}
