// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// How escrow gets from a payer into `Channels`: one small contract for each way a token can be pulled.
/// The interface is that of x402 `batch-settlement`, so that a collector serves this project's `Channels` and the
/// canonical contract alike.
interface IDepositCollector {
    /// Moves exactly `amount` of `token` from `payer` to the caller, which measures what arrived.
    /// @param payer whose tokens are taken; the collector must have their consent for this very channel
    /// @param token the ERC-20 of the channel
    /// @param amount in the token's smallest unit
    /// @param channelId the channel that is credited; what the payer's consent is bound to
    /// @param collectorData whatever the collector needs besides: signatures, salts, times
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata collectorData)
        external;
}
