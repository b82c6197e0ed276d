// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IChannels} from "./interfaces/IChannels.sol";
import {IDepositCollector} from "./interfaces/IDepositCollector.sol";
import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// Owns the escrow of channels and who has claimed how much of it. Knows nothing of assets, tills or royalties, has no
/// owner, no parameter and no constructor: its runtime code alone, placed at any address, is the whole contract.
/// Everything it holds is kept by channel and by (receiver, token), so a token that misbehaves reaches no other (TOK-1).
contract Channels is IChannels, IERC5267, Multicall, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev One slot.
    struct Channel {
        uint128 balance;
        uint128 totalClaimed;
    }

    /// @dev One slot. Nothing is pending when `initiatedAt` is zero.
    struct PendingWithdrawal {
        uint128 amount;
        uint40 initiatedAt;
    }

    /// @dev One slot.
    struct Receiver {
        uint128 totalClaimed;
        uint128 totalSettled;
    }

    uint40 private constant MIN_WITHDRAW_DELAY = 15 minutes;
    uint40 private constant MAX_WITHDRAW_DELAY = 30 days;

    string private constant NAME = "x402 Batch Settlement";
    string private constant VERSION = "1";

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 public constant CHANNEL_CONFIG_TYPEHASH = keccak256(
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
    );
    bytes32 private constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
    bytes32 private constant CLAIM_ENTRY_TYPEHASH =
        keccak256("ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)");
    bytes32 private constant CLAIM_BATCH_TYPEHASH = keccak256(
        "ClaimBatch(ClaimEntry[] claims)ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
    );
    bytes32 private constant REFUND_TYPEHASH = keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");

    mapping(bytes32 channelId => Channel) public channels;
    mapping(bytes32 channelId => PendingWithdrawal) public pendingWithdrawals;
    mapping(bytes32 channelId => uint256) public refundNonce;
    mapping(address receiver => mapping(address token => Receiver)) public receivers;

    function deposit(ChannelConfig calldata config, uint128 amount, address collector, bytes calldata collectorData)
        external
        nonReentrant
    {
        if (
            config.payer == address(0) || config.receiver == address(0) || config.receiverAuthorizer == address(0)
                || config.token == address(0)
        ) revert InvalidChannel();
        if (config.withdrawDelay < MIN_WITHDRAW_DELAY || config.withdrawDelay > MAX_WITHDRAW_DELAY) {
            revert WithdrawDelayOutOfRange();
        }
        if (collector == address(0)) revert InvalidCollector();
        if (amount == 0) revert ZeroDeposit();

        bytes32 channelId = getChannelId(config);
        Channel storage channel = channels[channelId];
        uint128 balance = channel.balance;
        if (amount > type(uint128).max - balance) revert DepositOverflow();

        IERC20 token = IERC20(config.token);
        uint256 before = token.balanceOf(address(this));
        IDepositCollector(collector).collect(config.payer, config.token, amount, channelId, collectorData);
        // At least, not exactly: whoever can slip a unit in must not be able to make a deposit fail.
        if (token.balanceOf(address(this)) < before + amount) revert DepositCollectionFailed();

        // The credit follows the call, against the usual order, because it is what was measured; the lock holds.
        channel.balance = balance + amount;
        if (balance == 0 && channel.totalClaimed == 0) emit ChannelCreated(channelId, config);
        emit Deposited(channelId, msg.sender, amount, balance + amount);
    }

    function claim(VoucherClaim[] calldata voucherClaims) external nonReentrant {
        if (voucherClaims.length == 0) revert EmptyBatch();
        bytes32 domain = _domainSeparator();
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            ChannelConfig calldata config = voucherClaims[i].voucher.channel;
            if (msg.sender != config.receiver && msg.sender != config.receiverAuthorizer) {
                revert NotAuthorizedToClaim();
            }
            _claim(domain, _channelId(domain, config), voucherClaims[i]);
        }
    }

    function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature)
        external
        nonReentrant
    {
        if (voucherClaims.length == 0) revert EmptyBatch();
        address authorizer = voucherClaims[0].voucher.channel.receiverAuthorizer;
        for (uint256 i = 1; i < voucherClaims.length; ++i) {
            if (voucherClaims[i].voucher.channel.receiverAuthorizer != authorizer) revert NotReceiverAuthorizer();
        }

        bytes32 domain = _domainSeparator();
        (bytes32[] memory channelIds, bytes32 digest) = _claimBatchDigest(domain, voucherClaims);
        if (!SignatureChecker.isValidSignatureNowCalldata(authorizer, digest, authorizerSignature)) {
            revert InvalidSignature();
        }
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            _claim(domain, channelIds[i], voucherClaims[i]);
        }
    }

    function settle(address receiver, address token) external nonReentrant {
        Receiver storage account = receivers[receiver][token];
        uint128 claimed = account.totalClaimed;
        uint128 amount = claimed - account.totalSettled;
        if (amount == 0) return;

        account.totalSettled = claimed;
        emit Settled(receiver, token, msg.sender, amount);
        IERC20(token).safeTransfer(receiver, amount);
    }

    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (!_isPayerSide(config)) revert NotAuthorizedToInitiateWithdraw();
        if (amount == 0) revert NothingToWithdraw();
        bytes32 channelId = getChannelId(config);
        Channel storage channel = channels[channelId];
        if (amount > channel.balance - channel.totalClaimed) revert WithdrawAmountExceedsAvailable();
        PendingWithdrawal storage pending = pendingWithdrawals[channelId];
        if (pending.initiatedAt != 0) revert WithdrawalAlreadyPending();

        uint40 now_ = uint40(block.timestamp);
        pending.amount = amount;
        pending.initiatedAt = now_;
        emit WithdrawInitiated(channelId, amount, now_ + config.withdrawDelay);
    }

    function finalizeWithdraw(ChannelConfig calldata config) external nonReentrant {
        if (!_isPayerSide(config)) revert NotAuthorizedToFinalizeWithdraw();
        bytes32 channelId = getChannelId(config);
        PendingWithdrawal memory pending = pendingWithdrawals[channelId];
        if (pending.initiatedAt == 0) revert WithdrawalNotPending();
        if (block.timestamp < uint256(pending.initiatedAt) + config.withdrawDelay) revert WithdrawDelayNotElapsed();

        delete pendingWithdrawals[channelId];
        uint128 amount = _release(channelId, config, pending.amount);
        emit WithdrawFinalized(channelId, msg.sender, amount);
        if (amount != 0) IERC20(config.token).safeTransfer(config.payer, amount);
    }

    function refund(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (msg.sender != config.receiver && msg.sender != config.receiverAuthorizer) revert NotAuthorizedToRefund();
        _refund(getChannelId(config), config, amount);
    }

    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external nonReentrant {
        bytes32 domain = _domainSeparator();
        bytes32 channelId = _channelId(domain, config);
        if (nonce != refundNonce[channelId]) revert InvalidRefundNonce();
        bytes32 digest = _refundDigest(domain, channelId, nonce, amount);
        if (!SignatureChecker.isValidSignatureNowCalldata(
                config.receiverAuthorizer, digest, receiverAuthorizerSignature
            )) revert InvalidSignature();
        _refund(channelId, config, amount);
    }

    function multicall(bytes[] calldata data) public override(IChannels, Multicall) returns (bytes[] memory results) {
        return super.multicall(data);
    }

    function getChannelId(ChannelConfig calldata config) public view returns (bytes32) {
        return _channelId(_domainSeparator(), config);
    }

    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32) {
        return _voucherDigest(_domainSeparator(), channelId, maxClaimableAmount);
    }

    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) external view returns (bytes32) {
        return _refundDigest(_domainSeparator(), channelId, nonce, amount);
    }

    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32 digest) {
        (, digest) = _claimBatchDigest(_domainSeparator(), voucherClaims);
    }

    /// @inheritdoc IERC5267
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        // Bits 0 to 3: name, version, chain and contract are there; no salt, no extensions.
        return (0x0f, NAME, VERSION, block.chainid, address(this), bytes32(0), new uint256[](0));
    }

    /// CH-1: the total never passes the voucher's maximum or the escrow, and never falls.
    function _claim(bytes32 domain, bytes32 channelId, VoucherClaim calldata row) private {
        ChannelConfig calldata config = row.voucher.channel;
        uint128 maxClaimableAmount = row.voucher.maxClaimableAmount;
        uint128 total = row.totalClaimed;
        if (total > maxClaimableAmount) revert ClaimExceedsCeiling();

        Channel storage channel = channels[channelId];
        uint128 claimed = channel.totalClaimed;
        if (total <= claimed) return;
        if (total > channel.balance) revert ClaimExceedsBalance();

        bytes32 digest = _voucherDigest(domain, channelId, maxClaimableAmount);
        if (config.payerAuthorizer == address(0)) {
            if (!SignatureChecker.isValidSignatureNowCalldata(config.payer, digest, row.signature)) {
                revert InvalidSignature();
            }
        } else {
            // A key and never a contract, whatever code its address may get: such vouchers cannot be unsaid.
            (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecoverCalldata(digest, row.signature);
            if (fault != ECDSA.RecoverError.NoError || signer != config.payerAuthorizer) revert InvalidSignature();
        }

        uint128 amount = total - claimed;
        channel.totalClaimed = total;
        receivers[config.receiver][config.token].totalClaimed += amount;
        emit Claimed(channelId, msg.sender, amount, total);
    }

    function _refund(bytes32 channelId, ChannelConfig calldata config, uint128 amount) private {
        if (amount == 0) revert ZeroRefund();
        ++refundNonce[channelId];
        uint128 refunded = _release(channelId, config, amount);
        if (refunded == 0) return;

        PendingWithdrawal storage pending = pendingWithdrawals[channelId];
        uint128 pendingAmount = pending.amount;
        if (pendingAmount > refunded) pending.amount = pendingAmount - refunded;
        else if (pendingAmount != 0) delete pendingWithdrawals[channelId];

        emit Refunded(channelId, msg.sender, refunded);
        IERC20(config.token).safeTransfer(config.payer, refunded);
    }

    /// Takes up to `amount` of what is not claimed out of the channel's balance; the caller sends it to the payer.
    function _release(bytes32 channelId, ChannelConfig calldata config, uint128 amount)
        private
        returns (uint128 released)
    {
        Channel storage channel = channels[channelId];
        uint128 balance = channel.balance;
        uint128 claimed = channel.totalClaimed;
        uint128 available = balance - claimed;
        released = amount < available ? amount : available;
        if (released == 0) return 0;
        channel.balance = balance - released;
        if (balance == released) emit ChannelClosed(channelId, config);
    }

    /// An absent authorizer is nobody: the zero address is told apart so that a simulated call from it fails too.
    function _isPayerSide(ChannelConfig calldata config) private view returns (bool) {
        return
            msg.sender == config.payer || (msg.sender == config.payerAuthorizer && config.payerAuthorizer != address(0));
    }

    /// Computed on every use: a cached one would be wrong where only the runtime code was placed, and after a fork.
    function _domainSeparator() private view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256(bytes(NAME)), keccak256(bytes(VERSION)), block.chainid, address(this))
        );
    }

    function _channelId(bytes32 domain, ChannelConfig calldata config) private pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain, keccak256(abi.encode(CHANNEL_CONFIG_TYPEHASH, config)));
    }

    function _voucherDigest(bytes32 domain, bytes32 channelId, uint128 maxClaimableAmount)
        private
        pure
        returns (bytes32)
    {
        return MessageHashUtils.toTypedDataHash(
            domain, keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, maxClaimableAmount))
        );
    }

    function _refundDigest(bytes32 domain, bytes32 channelId, uint256 nonce, uint128 amount)
        private
        pure
        returns (bytes32)
    {
        return
            MessageHashUtils.toTypedDataHash(domain, keccak256(abi.encode(REFUND_TYPEHASH, channelId, nonce, amount)));
    }

    /// @return channelIds of the rows, in order
    function _claimBatchDigest(bytes32 domain, VoucherClaim[] calldata voucherClaims)
        private
        pure
        returns (bytes32[] memory channelIds, bytes32 digest)
    {
        channelIds = new bytes32[](voucherClaims.length);
        bytes32[] memory entries = new bytes32[](voucherClaims.length);
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            Voucher calldata voucher = voucherClaims[i].voucher;
            bytes32 channelId = _channelId(domain, voucher.channel);
            channelIds[i] = channelId;
            entries[i] = keccak256(
                abi.encode(CLAIM_ENTRY_TYPEHASH, channelId, voucher.maxClaimableAmount, voucherClaims[i].totalClaimed)
            );
        }
        bytes32 structHash = keccak256(abi.encode(CLAIM_BATCH_TYPEHASH, keccak256(abi.encodePacked(entries))));
        digest = MessageHashUtils.toTypedDataHash(domain, structHash);
    }
}
