// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// An asset's payable address: nothing but ERC-20 tokens waiting to be swept.
interface ITill {
    error OnlyRoyalties(address caller);

    /// Sends all that lies here of `token` to `Royalties`, which alone may call and measures what arrives.
    function sweep(address token) external;
}
