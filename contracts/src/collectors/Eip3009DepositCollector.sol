// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IDepositCollector} from "../interfaces/IDepositCollector.sol";
import {IReceiveWithAuthorization} from "../interfaces/IReceiveWithAuthorization.sol";
import {CANONICAL_CHANNELS} from "../libraries/Canonical.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// Deposits by an authorization that the payer signed, without gas of its own.
///
/// The consent is bound three times over: to this collector (`to`, which alone may use a *receive* authorization), to
/// the exact amount, and by the nonce to the one channel. So it does not matter who sends it, and nobody can split it,
/// shrink it or lead it elsewhere. The channels' address is a constant because a caller that is believed by name only
/// could have the tokens sent to itself.
contract Eip3009DepositCollector is IDepositCollector {
    using SafeERC20 for IERC20;

    error NotChannels(address caller);

    /// @inheritdoc IDepositCollector
    /// @param collectorData `abi.encode(uint256 validAfter, uint256 validBefore, uint256 salt, bytes signature)`; the
    /// authorization's nonce is `keccak256(abi.encode(channelId, salt))`
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata collectorData)
        external
    {
        if (msg.sender != CANONICAL_CHANNELS) revert NotChannels(msg.sender);
        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(collectorData, (uint256, uint256, uint256, bytes));
        IReceiveWithAuthorization(token)
            .receiveWithAuthorization(
                payer, address(this), amount, validAfter, validBefore, keccak256(abi.encode(channelId, salt)), signature
            );
        IERC20(token).safeTransfer(CANONICAL_CHANNELS, amount);
    }
}
