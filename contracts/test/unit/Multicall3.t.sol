// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";

interface IMulticall3 {
    struct Call {
        address target;
        bytes callData;
    }

    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    error CallFailed(uint256 index, bytes returnData);

    function tryAggregate(bool requireSuccess, Call[] calldata calls) external payable returns (Result[] memory);
    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory);
}

contract Multicall3Test is Test {
    IMulticall3 private _multicall;

    function setUp() external {
        address at = makeAddr("multicall");
        vm.etch(at, vm.getDeployedCode("Multicall3.sol:Multicall3"));
        _multicall = IMulticall3(at);
    }

    function answer() external pure returns (uint256) {
        return 42;
    }

    function refuse() external pure {
        revert("no");
    }

    function test_tryAggregate() external {
        IMulticall3.Call[] memory calls = new IMulticall3.Call[](2);
        calls[0] = IMulticall3.Call(address(this), abi.encodeCall(this.answer, ()));
        calls[1] = IMulticall3.Call(address(this), abi.encodeCall(this.refuse, ()));
        _assertOneOfTwo(_multicall.tryAggregate(false, calls));

        vm.expectRevert(
            abi.encodeWithSelector(IMulticall3.CallFailed.selector, 1, abi.encodeWithSignature("Error(string)", "no"))
        );
        _multicall.tryAggregate(true, calls);
    }

    function test_aggregate3() external {
        IMulticall3.Call3[] memory calls = new IMulticall3.Call3[](2);
        calls[0] = IMulticall3.Call3(address(this), false, abi.encodeCall(this.answer, ()));
        calls[1] = IMulticall3.Call3(address(this), true, abi.encodeCall(this.refuse, ()));
        _assertOneOfTwo(_multicall.aggregate3(calls));

        calls[1].allowFailure = false;
        vm.expectRevert(
            abi.encodeWithSelector(IMulticall3.CallFailed.selector, 1, abi.encodeWithSignature("Error(string)", "no"))
        );
        _multicall.aggregate3(calls);
    }

    function _assertOneOfTwo(IMulticall3.Result[] memory results) private pure {
        assertTrue(results[0].success);
        assertEq(abi.decode(results[0].returnData, (uint256)), 42);
        assertFalse(results[1].success);
        assertEq(results[1].returnData, abi.encodeWithSignature("Error(string)", "no"));
    }
}
