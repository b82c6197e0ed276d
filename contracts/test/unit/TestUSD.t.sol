// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ITestUSD} from "../support/ITestUSD.sol";
import {Wallet} from "../support/Wallet.sol";
import {Test} from "forge-std/Test.sol";

contract TestUSDTest is Test {
    bytes32 private constant TRANSFER_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant CANCEL_TYPEHASH = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    bytes32 private constant NONCE = keccak256("a nonce");
    uint256 private constant AFTER = 1_800_000_000;
    uint256 private constant BEFORE = AFTER + 100;

    ITestUSD private _usd;
    address private _owner;
    uint256 private _key;
    address private _payee = makeAddr("payee");

    function setUp() external {
        _usd = ITestUSD(vm.deployCode("TestUSD.sol:TestUSD"));
        (_owner, _key) = makeAddrAndKey("owner");
        _usd.mint(_owner, 1000);
        vm.warp(AFTER + 1);
    }

    function test_looksLikeADollar() external view {
        assertEq(_usd.decimals(), 6);
        assertEq(_usd.symbol(), "TUSD");
        assertEq(_usd.totalSupply(), 1000);
        assertEq(
            _usd.DOMAIN_SEPARATOR(),
            keccak256(
                abi.encode(
                    keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                    keccak256(bytes(_usd.name())),
                    keccak256(bytes(_usd.version())),
                    block.chainid,
                    address(_usd)
                )
            )
        );
    }

    function test_transferWithSplitSignature() external {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_key, _transferDigest(_owner));
        vm.expectEmit(address(_usd));
        emit ITestUSD.AuthorizationUsed(_owner, NONCE);
        _usd.transferWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, v, r, s);
        assertEq(_usd.balanceOf(_payee), 100);
        assertTrue(_usd.authorizationState(_owner, NONCE));

        vm.expectRevert(abi.encodeWithSelector(ITestUSD.ERC3009UsedAuthorization.selector, _owner, NONCE));
        _usd.transferWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, v, r, s);
    }

    function test_transferWithPackedSignature() external {
        bytes memory signature = _sign(_transferDigest(_owner));
        vm.expectRevert(ITestUSD.ERC3009InvalidSignature.selector);
        _usd.transferWithAuthorization(_owner, _payee, 101, AFTER, BEFORE, NONCE, signature);
        _usd.transferWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, signature);
        assertEq(_usd.balanceOf(_payee), 100);
    }

    function test_transferOfAContractWallet() external {
        Wallet wallet = new Wallet();
        _usd.mint(address(wallet), 100);
        vm.expectRevert(ITestUSD.ERC3009InvalidSignature.selector);
        _usd.transferWithAuthorization(address(wallet), _payee, 100, AFTER, BEFORE, NONCE, "");
        wallet.setAccepts(_transferDigest(address(wallet)), true);
        _usd.transferWithAuthorization(address(wallet), _payee, 100, AFTER, BEFORE, NONCE, "");
        assertEq(_usd.balanceOf(_payee), 100);
    }

    function test_receiveIsForThePayeeAlone() external {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_key, _receiveDigest());
        vm.expectRevert(abi.encodeWithSelector(ITestUSD.ERC20InvalidReceiver.selector, _payee));
        _usd.receiveWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, v, r, s);
        vm.expectRevert(abi.encodeWithSelector(ITestUSD.ERC20InvalidReceiver.selector, _payee));
        _usd.receiveWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, abi.encodePacked(r, s, v));

        // A receive authorization is no transfer authorization.
        vm.expectRevert(ITestUSD.ERC3009InvalidSignature.selector);
        _usd.transferWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, v, r, s);

        vm.prank(_payee);
        _usd.receiveWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, abi.encodePacked(r, s, v));
        assertEq(_usd.balanceOf(_payee), 100);
    }

    function test_validStrictlyBetweenItsTimes() external {
        bytes memory signature = _sign(_transferDigest(_owner));
        bytes memory fault = abi.encodeWithSelector(ITestUSD.ERC3009InvalidAuthorizationTime.selector, AFTER, BEFORE);
        vm.warp(AFTER);
        vm.expectRevert(fault);
        _usd.transferWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, signature);
        vm.warp(BEFORE);
        vm.expectRevert(fault);
        _usd.transferWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, signature);
        vm.warp(BEFORE - 1);
        _usd.transferWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, signature);
    }

    function test_cancelled() external {
        bytes memory cancellation = _sign(_digest(keccak256(abi.encode(CANCEL_TYPEHASH, _owner, NONCE))));
        vm.expectEmit(address(_usd));
        emit ITestUSD.AuthorizationCanceled(_owner, NONCE);
        _usd.cancelAuthorization(_owner, NONCE, cancellation);
        bytes memory signature = _sign(_transferDigest(_owner));
        vm.expectRevert(abi.encodeWithSelector(ITestUSD.ERC3009UsedAuthorization.selector, _owner, NONCE));
        _usd.transferWithAuthorization(_owner, _payee, 100, AFTER, BEFORE, NONCE, signature);

        bytes32 other = keccak256("another nonce");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_key, _digest(keccak256(abi.encode(CANCEL_TYPEHASH, _owner, other))));
        _usd.cancelAuthorization(_owner, other, v, r, s);
        assertTrue(_usd.authorizationState(_owner, other));
    }

    function test_permitWithEitherSignature() external {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_key, _permitDigest(100, 0));
        _usd.permit(_owner, _payee, 100, BEFORE, v, r, s);
        assertEq(_usd.allowance(_owner, _payee), 100);

        bytes memory signature = _sign(_permitDigest(200, 1));
        _usd.permit(_owner, _payee, 200, BEFORE, signature);
        assertEq(_usd.allowance(_owner, _payee), 200);
        vm.expectRevert(ITestUSD.ERC3009InvalidSignature.selector);
        _usd.permit(_owner, _payee, 200, BEFORE, signature);
        assertEq(_usd.nonces(_owner), 2);

        vm.warp(BEFORE + 1);
        signature = _sign(_permitDigest(300, 2));
        vm.expectRevert(abi.encodeWithSelector(ITestUSD.ERC2612ExpiredSignature.selector, BEFORE));
        _usd.permit(_owner, _payee, 300, BEFORE, signature);
    }

    function _transferDigest(address from) private view returns (bytes32) {
        return _digest(keccak256(abi.encode(TRANSFER_TYPEHASH, from, _payee, 100, AFTER, BEFORE, NONCE)));
    }

    function _receiveDigest() private view returns (bytes32) {
        return _digest(keccak256(abi.encode(RECEIVE_TYPEHASH, _owner, _payee, 100, AFTER, BEFORE, NONCE)));
    }

    function _permitDigest(uint256 value, uint256 nonce) private view returns (bytes32) {
        return _digest(keccak256(abi.encode(PERMIT_TYPEHASH, _owner, _payee, value, nonce, BEFORE)));
    }

    function _digest(bytes32 structHash) private view returns (bytes32) {
        return keccak256(abi.encodePacked("\x19\x01", _usd.DOMAIN_SEPARATOR(), structHash));
    }

    function _sign(bytes32 digest) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_key, digest);
        return abi.encodePacked(r, s, v);
    }
}
