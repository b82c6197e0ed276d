// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IChannels} from "../interfaces/IChannels.sol";
import {IDepositCollector} from "../interfaces/IDepositCollector.sol";
import {CANONICAL_CHANNELS} from "../libraries/Canonical.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// Deposits of any ERC-20 by a plain allowance: the payer approves this contract and calls {deposit}.
///
/// `Channels` takes deposits from anyone and does not tell a collector who asked, so an allowance alone is no consent:
/// a stranger could spend it into a channel of the stranger's choosing. The consent is therefore the payer's own call
/// to {deposit}, and {collect} answers only within it.
contract TransferDepositCollector is IDepositCollector {
    using SafeERC20 for IERC20;

    address private transient _consentingPayer;

    error NotChannels(address caller);
    error NotPayer(address caller, address payer);

    /// Deposits `amount` of the caller's tokens into the caller's own channel.
    function deposit(IChannels.ChannelConfig calldata config, uint128 amount) external {
        if (msg.sender != config.payer) revert NotPayer(msg.sender, config.payer);
        _consentingPayer = msg.sender;
        IChannels(CANONICAL_CHANNELS).deposit(config, amount, address(this), "");
    }

    /// @inheritdoc IDepositCollector
    function collect(address payer, address token, uint256 amount, bytes32, bytes calldata) external {
        if (msg.sender != CANONICAL_CHANNELS) revert NotChannels(msg.sender);
        if (payer != _consentingPayer) revert NotPayer(_consentingPayer, payer);
        _consentingPayer = address(0);
        IERC20(token).safeTransferFrom(payer, CANONICAL_CHANNELS, amount);
    }
}
