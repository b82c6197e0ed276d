// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// Tokens that misbehave as real ones do; TOK-1 says whom that may hurt.
abstract contract OpenToken is ERC20("Weird", "WRD") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// Takes a tenth of every transfer.
contract FeeToken is OpenToken {
    function _update(address from, address to, uint256 value) internal override {
        if (from == address(0) || to == address(0)) return super._update(from, to, value);
        super._update(from, to, value - feeOf(value));
        super._update(from, address(0xFEE), feeOf(value));
    }

    function feeOf(uint256 value) public pure returns (uint256) {
        return value / 10;
    }
}

/// Returns nothing from transfers and approvals.
contract SilentToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// Answers false where others revert.
contract FalseToken is OpenToken {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// Refuses to send to whoever was blocked.
contract BlockingToken is OpenToken {
    mapping(address => bool) public blocked;

    function setBlocked(address account, bool yes) external {
        blocked[account] = yes;
    }

    function _update(address from, address to, uint256 value) internal override {
        require(!blocked[to], "blocked");
        super._update(from, to, value);
    }
}

/// Can take from anyone, as a rebase downwards does.
contract RebasingToken is OpenToken {
    function shrink(address account, uint256 amount) external {
        _burn(account, amount);
    }
}

/// Calls a target of its maker's choice in the middle of a transfer, and remembers how that went.
contract CallingToken is OpenToken {
    address public target;
    bytes public data;
    bool public succeeded;
    bytes public answer;

    function arm(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (target == address(0) || from == address(0)) return;
        address called = target;
        target = address(0);
        (succeeded, answer) = called.call(data);
    }
}
