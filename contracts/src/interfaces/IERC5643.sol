// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// ERC-5643: subscriptions as ERC-721 tokens. Interface id 0x8c65f84d.
interface IERC5643 {
    event SubscriptionUpdate(uint256 indexed tokenId, uint64 expiration);

    function renewSubscription(uint256 tokenId, uint64 duration) external payable;
    function cancelSubscription(uint256 tokenId) external payable;
    function expiresAt(uint256 tokenId) external view returns (uint64);
    function isRenewable(uint256 tokenId) external view returns (bool);
}
