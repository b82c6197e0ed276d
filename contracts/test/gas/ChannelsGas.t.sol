// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IChannels} from "../../src/interfaces/IChannels.sol";
import {ChannelsFixture} from "../support/ChannelsFixture.sol";
import {GasTable} from "./GasTable.sol";

/// Repeat conditions: every channel was claimed from before and the receiver was settled before, so that no slot is
/// new. All channels pay one receiver in one token, as those of one gateway for one asset do.
/// forge-config: default.isolate = true
contract ChannelsGasTest is ChannelsFixture, GasTable {
    uint256 private constant CHANNELS = 100;
    /// 10,000 calls at 50 millionths of a dollar: half a dollar a channel and claim.
    uint128 private constant CALLS_PER_CLAIM = 10_000;
    uint128 private constant PRICE = 50;

    IChannels.ChannelConfig[] private _configs;
    uint256[] private _keys;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < CHANNELS; ++i) {
            (address authorizer, uint256 key) = makeAddrAndKey(string.concat("authorizer ", vm.toString(i)));
            IChannels.ChannelConfig memory config = configOf(address(usd));
            config.payer = makeAddr(string.concat("payer ", vm.toString(i)));
            config.payerAuthorizer = authorizer;
            config.salt = keccak256(abi.encode(i));
            fund(config, 10_000_000);
            _configs.push(config);
            _keys.push(key);
        }
        claim(_rows(CHANNELS, 1_000_000));
        channels.settle(receiver, address(usd));
    }

    function test_gas_voucher_1() external {
        claim(_rows(1, 1_000_000 + PRICE * CALLS_PER_CLAIM));
        recordLastCall("voucher_1", 48_000);
    }

    function test_gas_voucher_100_each() external {
        claim(_rows(CHANNELS, 1_000_000 + PRICE));
        record("voucher_100_each", lastTransactionGas() / CHANNELS, 21_000);
    }

    function test_gas_per_million_calls() external {
        claim(_rows(CHANNELS, 1_000_000 + PRICE * CALLS_PER_CLAIM));
        uint256 calls = CHANNELS * CALLS_PER_CLAIM;
        record("per_million_calls", lastTransactionGas() * 1_000_000 / calls, 2_200_000);
    }

    function _rows(uint256 count, uint128 total) private view returns (IChannels.VoucherClaim[] memory rows) {
        rows = new IChannels.VoucherClaim[](count);
        for (uint256 i = 0; i < count; ++i) {
            rows[i] = rowSignedBy(_keys[i], _configs[i], total, total);
        }
    }
}
