// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IChannels} from "../../src/interfaces/IChannels.sol";
import {CANONICAL_CHANNELS} from "../../src/libraries/Canonical.sol";
import {ITestUSD} from "./ITestUSD.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test} from "forge-std/Test.sol";

interface ITransferDepositCollector {
    error NotChannels(address caller);
    error NotPayer(address caller, address payer);

    function deposit(IChannels.ChannelConfig calldata config, uint128 amount) external;
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata collectorData)
        external;
}

/// Channels as the embedded ledger has them: the runtime code alone at the canonical addresses, no constructor run.
abstract contract ChannelsFixture is Test {
    address internal constant EIP3009_COLLECTOR = 0x4020806089470a89826cB9fB1f4059150b550004;
    uint40 internal constant DELAY = 1 days;

    bytes32 internal constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    IChannels internal channels = IChannels(CANONICAL_CHANNELS);
    ITransferDepositCollector internal transferCollector;
    ITestUSD internal usd;

    address internal payer;
    uint256 internal payerKey;
    address internal payerAuthorizer;
    uint256 internal payerAuthorizerKey;
    address internal receiverAuthorizer;
    uint256 internal receiverAuthorizerKey;
    /// A till: an address without code.
    address internal receiver = makeAddr("receiver");
    address internal stranger = makeAddr("stranger");

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        (payer, payerKey) = makeAddrAndKey("payer");
        (payerAuthorizer, payerAuthorizerKey) = makeAddrAndKey("payer authorizer");
        (receiverAuthorizer, receiverAuthorizerKey) = makeAddrAndKey("receiver authorizer");
        vm.etch(CANONICAL_CHANNELS, vm.getDeployedCode("Channels.sol:Channels"));
        vm.etch(EIP3009_COLLECTOR, vm.getDeployedCode("Eip3009DepositCollector.sol:Eip3009DepositCollector"));
        transferCollector =
            ITransferDepositCollector(vm.deployCode("TransferDepositCollector.sol:TransferDepositCollector"));
        usd = ITestUSD(vm.deployCode("TestUSD.sol:TestUSD"));
    }

    function configOf(address token) internal view returns (IChannels.ChannelConfig memory) {
        return IChannels.ChannelConfig({
            payer: payer,
            payerAuthorizer: payerAuthorizer,
            receiver: receiver,
            receiverAuthorizer: receiverAuthorizer,
            token: token,
            withdrawDelay: DELAY,
            salt: bytes32(0)
        });
    }

    /// Deposits into `config` by a plain allowance, the tokens being minted for it.
    function fund(IChannels.ChannelConfig memory config, uint128 amount) internal {
        ITestUSD(config.token).mint(config.payer, amount);
        approveAndDeposit(config, amount);
    }

    function approveAndDeposit(IChannels.ChannelConfig memory config, uint128 amount) internal {
        vm.startPrank(config.payer);
        // By a bare call: some tokens return nothing.
        (bool approved,) =
            config.token.call(abi.encodeCall(IERC20.approve, (address(transferCollector), uint256(amount))));
        require(approved, "approve failed");
        transferCollector.deposit(config, amount);
        vm.stopPrank();
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// A row whose voucher the payer's authorizer signed.
    function row(IChannels.ChannelConfig memory config, uint128 maxClaimableAmount, uint128 totalClaimed)
        internal
        view
        returns (IChannels.VoucherClaim memory)
    {
        return rowSignedBy(payerAuthorizerKey, config, maxClaimableAmount, totalClaimed);
    }

    function rowSignedBy(
        uint256 key,
        IChannels.ChannelConfig memory config,
        uint128 maxClaimableAmount,
        uint128 totalClaimed
    ) internal view returns (IChannels.VoucherClaim memory) {
        bytes32 digest = channels.getVoucherDigest(channels.getChannelId(config), maxClaimableAmount);
        return IChannels.VoucherClaim({
            voucher: IChannels.Voucher({channel: config, maxClaimableAmount: maxClaimableAmount}),
            signature: sign(key, digest),
            totalClaimed: totalClaimed
        });
    }

    function batch(IChannels.VoucherClaim memory only) internal pure returns (IChannels.VoucherClaim[] memory rows) {
        rows = new IChannels.VoucherClaim[](1);
        rows[0] = only;
    }

    function batch(IChannels.VoucherClaim memory first, IChannels.VoucherClaim memory second)
        internal
        pure
        returns (IChannels.VoucherClaim[] memory rows)
    {
        rows = new IChannels.VoucherClaim[](2);
        (rows[0], rows[1]) = (first, second);
    }

    function claim(IChannels.VoucherClaim[] memory rows) internal {
        vm.prank(receiverAuthorizer);
        channels.claim(rows);
    }

    /// What the EIP-3009 collector needs besides, signed by the payer.
    function authorization(IChannels.ChannelConfig memory config, uint128 amount, uint256 salt)
        internal
        view
        returns (bytes memory)
    {
        uint256 validBefore = block.timestamp + 1 hours;
        bytes32 nonce = keccak256(abi.encode(channels.getChannelId(config), salt));
        bytes32 structHash =
            keccak256(abi.encode(RECEIVE_TYPEHASH, config.payer, EIP3009_COLLECTOR, amount, 0, validBefore, nonce));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", usd.DOMAIN_SEPARATOR(), structHash));
        return abi.encode(uint256(0), validBefore, salt, sign(payerKey, digest));
    }

    function balanceOf(IChannels.ChannelConfig memory config) internal view returns (uint128 balance) {
        (balance,) = channels.channels(channels.getChannelId(config));
    }

    function claimedOf(IChannels.ChannelConfig memory config) internal view returns (uint128 claimed) {
        (, claimed) = channels.channels(channels.getChannelId(config));
    }
}
