// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// A contract wallet: accepts exactly the digests it was told to, whatever the signature, and can change its mind.
contract Wallet is IERC1271 {
    mapping(bytes32 digest => bool) public accepts;

    function setAccepts(bytes32 digest, bool yes) external {
        accepts[digest] = yes;
    }

    function approve(address token, address spender, uint256 amount) external {
        IERC20(token).approve(spender, amount);
    }

    function isValidSignature(bytes32 digest, bytes memory) external view returns (bytes4) {
        return accepts[digest] ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
