// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// The formula sheet: who is owed what of an asset's cumulative revenue of one kind in one token. Every term is rounded
/// down, so what is owed never exceeds what came in.
///
/// Totals are below 2^112 and rates at most 10,000, so no product comes near a word's end and none is checked.
library Formula {
    uint256 internal constant BASIS = 10_000;

    /// The protocol's part of one gross payment.
    function fee(uint256 gross, uint256 feeBps) internal pure returns (uint256) {
        unchecked {
            return gross * feeBps / BASIS;
        }
    }

    /// What an edge is owed since the beginning.
    function edgeOwed(uint256 own, uint256 inherited, uint256 allBps, uint256 childBps)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 owed = own * allBps / BASIS;
            return childBps == 0 ? owed : owed + (own + inherited) * childBps / BASIS;
        }
    }

    /// What the shares are owed of own revenue since the beginning.
    /// @param ratesBps the sum of the edges' rates of own revenue
    /// @param operatorsScaled the sum over operators of (net revenue through their till while granted x their part), in
    ///        10,000ths of a unit. Each part is at most 10,000 - ratesBps, so it never exceeds what it is taken from;
    ///        rounded together with it, the result never falls and does not depend on the order of payments (PAY-4).
    function ownSharesOwed(uint256 own, uint256 ratesBps, uint256 operatorsScaled) internal pure returns (uint256) {
        unchecked {
            return (own * (BASIS - ratesBps) - operatorsScaled) / BASIS;
        }
    }

    /// What the shares are owed of inherited revenue since the beginning.
    function inheritedSharesOwed(uint256 inherited, uint256 ratesBps) internal pure returns (uint256) {
        unchecked {
            return inherited * (BASIS - ratesBps) / BASIS;
        }
    }

    /// What an operator is owed since the beginning.
    /// @param net what came through its till while it was granted, less fees
    function operatorOwed(uint256 net, uint256 operatorBps) internal pure returns (uint256) {
        unchecked {
            return net * operatorBps / BASIS;
        }
    }
}
