// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Prepaid balances and cumulative vouchers, wire-compatible with x402 v2 `batch-settlement` on EVM chains.
///
/// A *channel* is named by the hash of its configuration. The payer side escrows tokens in it and signs vouchers off
/// the ledger, each with the highest total that may be claimed so far. The receiver side claims (moves accounting
/// only) and settles (moves tokens, many claims at once). What was never claimed goes back to the payer: by a refund
/// at any time if the receiver side agrees, by a withdrawal after the channel's delay if it does not.
///
/// Amounts are in the token's smallest unit, times in UNIX seconds. Functions, EIP-712 types, events and errors are
/// those of the published scheme. Its errors carry no operands because peers match their four bytes.
///
/// A receiver must know: nothing is reserved for a voucher before it is claimed (CH-3), so watch for
/// {WithdrawInitiated} and claim within the delay.
interface IChannels {
    /// What a channel is; fixed for ever.
    /// @param payer whose money it is; escrow that is not claimed goes back here
    /// @param payerAuthorizer the key that signs vouchers; zero means the payer itself, also by ERC-1271
    /// @param receiver where settled tokens go; it may have no code yet
    /// @param receiverAuthorizer who may claim and refund, in person or by signature (ERC-1271 too)
    /// @param token the ERC-20 that is paid
    /// @param withdrawDelay seconds between asking for a withdrawal and getting it, 15 minutes to 30 days
    /// @param salt tells channels apart that are alike in all else
    struct ChannelConfig {
        address payer;
        address payerAuthorizer;
        address receiver;
        address receiverAuthorizer;
        address token;
        uint40 withdrawDelay;
        bytes32 salt;
    }

    /// @param maxClaimableAmount cumulative: the most that may be claimed from the channel since it began
    struct Voucher {
        ChannelConfig channel;
        uint128 maxClaimableAmount;
    }

    /// One row of a claim.
    /// @param signature of `Voucher(bytes32 channelId,uint128 maxClaimableAmount)` by the payer side
    /// @param totalClaimed cumulative: what the channel's claimed total is to become, at most the voucher's maximum
    struct VoucherClaim {
        Voucher voucher;
        bytes signature;
        uint128 totalClaimed;
    }

    /// Escrow arrived in a channel that had none and from which nothing was ever claimed. A channel that was emptied
    /// and funded again emits it again.
    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
    /// The last escrow of a channel from which nothing was ever claimed went back to the payer.
    event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);
    event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance);
    event Claimed(bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed);
    event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);
    event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);
    event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);
    event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);

    /// A configuration with no payer, receiver, receiver's authorizer or token.
    error InvalidChannel();
    error WithdrawDelayOutOfRange();
    error InvalidCollector();
    error ZeroDeposit();
    /// The channel's balance would not fit 128 bits.
    error DepositOverflow();
    /// Less arrived than was to be deposited.
    error DepositCollectionFailed();
    error EmptyBatch();
    error NotAuthorizedToClaim();
    /// The rows of a signed batch name different receiver's authorizers.
    error NotReceiverAuthorizer();
    error InvalidSignature();
    /// A row claims more than its voucher allows.
    error ClaimExceedsCeiling();
    /// A row claims more than the channel holds.
    error ClaimExceedsBalance();
    error NotAuthorizedToInitiateWithdraw();
    error NotAuthorizedToFinalizeWithdraw();
    error NothingToWithdraw();
    error WithdrawAmountExceedsAvailable();
    error WithdrawalAlreadyPending();
    error WithdrawalNotPending();
    error WithdrawDelayNotElapsed();
    error NotAuthorizedToRefund();
    error ZeroRefund();
    error InvalidRefundNonce();

    /// Credits `amount` to the channel once `collector` has brought it. Anyone may send it: the collector holds the
    /// payer's consent. A surplus that arrives in the same call is a gift to nobody and changes nothing.
    function deposit(ChannelConfig calldata config, uint128 amount, address collector, bytes calldata collectorData)
        external;

    /// Raises the claimed totals of the rows' channels, in order. The caller must be receiver or receiver's
    /// authorizer of each. A row that raises nothing is skipped, so a replay is a no-op (CH-1); a row that may not
    /// be claimed reverts the whole batch.
    function claim(VoucherClaim[] calldata voucherClaims) external;

    /// As {claim}, by anyone who has the `ClaimBatch` signature of the one receiver's authorizer of all rows.
    function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature) external;

    /// Sends to `receiver` all that was claimed for it in `token` and not sent yet; by anyone; nothing to send is no
    /// error.
    function settle(address receiver, address token) external;

    /// Begins the withdrawal of `amount` of what is not claimed; by the payer or its authorizer. The channel goes on
    /// working, and claims within the delay go first.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external;

    /// Pays the payer the pending withdrawal, or what claims have left of it, once the delay is over (CH-2).
    function finalizeWithdraw(ChannelConfig calldata config) external;

    /// Gives back to the payer up to `amount` of what is not claimed, at once; by the receiver or its authorizer.
    /// A pending withdrawal shrinks by as much. Uses up the refund nonce even when there was nothing to give back.
    function refund(ChannelConfig calldata config, uint128 amount) external;

    /// As {refund}, by anyone who has the `Refund` signature of the receiver's authorizer for the current nonce.
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external;

    /// Does several of the above in one transaction, all or none.
    function multicall(bytes[] calldata data) external returns (bytes[] memory results);

    /// @return balance deposited less withdrawn and refunded; claims do not lower it
    /// @return totalClaimed at most `balance`
    function channels(bytes32 channelId) external view returns (uint128 balance, uint128 totalClaimed);

    /// @return totalClaimed over all channels that name this receiver and token
    /// @return totalSettled how much of it was sent
    function receivers(address receiver, address token)
        external
        view
        returns (uint128 totalClaimed, uint128 totalSettled);

    /// @return amount zero when none is pending
    /// @return initiatedAt zero when none is pending
    function pendingWithdrawals(bytes32 channelId) external view returns (uint128 amount, uint40 initiatedAt);

    /// The nonce that the next {refundWithSignature} must name.
    function refundNonce(bytes32 channelId) external view returns (uint256);

    /// The EIP-712 digest of the configuration, so bound to this chain and this contract.
    function getChannelId(ChannelConfig calldata config) external view returns (bytes32);
    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32);
    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) external view returns (bytes32);
    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32);
    function CHANNEL_CONFIG_TYPEHASH() external view returns (bytes32);
}
