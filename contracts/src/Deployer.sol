// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Creates the core contracts at addresses that are known before any of them exists, which they need: each takes the
/// addresses of the others as immutables. It holds no power over what it made.
///
/// Created first by the deploying account, with that account as `owner` (by CREATE2 through the deterministic
/// deployment proxy for the same address on every chain). A contract's creations count from nonce 1 and nothing else
/// moves the count, so the suite's addresses are those of CREATE by this contract at
///
/// | nonce | contract | constructor arguments |
/// |---|---|---|
/// | 1 | TimelockController | (uint256 minDelay, address[] proposers, address[] executors, address admin) |
/// | 2 | Assets | (address shares, address licences, address royalties) |
/// | 3 | Shares | (address assets, address royalties) |
/// | 4 | Licences | (address assets, address royalties) |
/// | 5 | Royalties | (address assets, address shares, address licences, address governor, address arbiter, address treasury, uint16 feeBps, address[] listed) |
///
/// with the timelock as governor, and one transaction each. A creation that fails reverts and does not count, so an
/// interrupted deployment goes on at the first address without code.
contract Deployer {
    address private immutable OWNER;

    event Created(address created);

    error OnlyOwner(address caller);
    error CreationFailed();

    constructor(address owner) {
        OWNER = owner;
    }

    /// @param initCode creation code followed by the encoded constructor arguments
    function create(bytes memory initCode) external returns (address created) {
        if (msg.sender != OWNER) revert OnlyOwner(msg.sender);
        assembly ("memory-safe") {
            created := create(0, add(initCode, 32), mload(initCode))
        }
        if (created == address(0)) revert CreationFailed();
        emit Created(created);
    }
}
