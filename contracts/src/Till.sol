// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ITill} from "./interfaces/ITill.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// The one implementation behind every till. `Royalties` creates it in its own constructor.
contract Till is ITill {
    using SafeERC20 for IERC20;

    address private immutable ROYALTIES = msg.sender;

    function sweep(address token) external {
        if (msg.sender != ROYALTIES) revert OnlyRoyalties(msg.sender);
        IERC20(token).safeTransfer(ROYALTIES, IERC20(token).balanceOf(address(this)));
    }
}
