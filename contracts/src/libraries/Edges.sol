// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "../interfaces/IAssets.sol";

/// The lineage of one asset as words: `parentId << 112 | child << 56 | all`, ascending by parent, the rate of kind k at
/// bits 14k to 14k + 13 of its 56. A parent id has 128 bits, so a word has 240; one after the other, at 30 bytes each,
/// they are the *lineage*.
library Edges {
    uint256 internal constant KINDS = 4;
    uint256 internal constant MAX_EDGES = 64;
    /// Of own revenue and of inherited revenue alike, for each kind.
    uint256 internal constant MAX_SUM_BPS = 9000;

    uint256 private constant RATE_BITS = 14;
    uint256 private constant RATE_MASK = (1 << RATE_BITS) - 1;
    uint256 private constant RATES_BITS = 56;
    uint256 private constant RATES_MASK = (1 << RATES_BITS) - 1;
    uint256 private constant PARENT_SHIFT = 112;
    uint256 private constant WORD_BYTES = 30;
    uint256 private constant WORD_SHIFT = 16;
    uint256 private constant SUM_BITS = 2 * RATE_BITS;
    uint256 private constant SUM_MASK = (1 << SUM_BITS) - 1;
    /// Every second of an edge's eight rates, from the first on.
    uint256 private constant SUMMANDS_MASK = RATE_MASK * (1 | 1 << SUM_BITS | 1 << 2 * SUM_BITS | 1 << 3 * SUM_BITS);

    /// A list under construction. It has room for every edge an asset may have, so that inserting never copies it.
    struct List {
        uint256[MAX_EDGES] words;
        uint256 length;
    }

    function pack(uint256 parentId, uint256 all, uint256 child) internal pure returns (uint256) {
        return parentId << PARENT_SHIFT | child << RATES_BITS | all;
    }

    function parentOf(uint256 edge) internal pure returns (uint256) {
        return edge >> PARENT_SHIFT;
    }

    /// The four rates of reach `All`, packed.
    function allRates(uint256 edge) internal pure returns (uint256) {
        return edge & RATES_MASK;
    }

    /// The four rates of reach `Child`, packed.
    function childRates(uint256 edge) internal pure returns (uint256) {
        return edge >> RATES_BITS & RATES_MASK;
    }

    /// One of four packed rates.
    function rate(uint256 rates, uint256 kind) internal pure returns (uint256) {
        return rates >> RATE_BITS * kind & RATE_MASK;
    }

    /// An edge's rates of one kind, both reaches.
    function ratesOf(uint256 edge, uint256 kind) internal pure returns (uint256 all, uint256 child) {
        unchecked {
            edge >>= RATE_BITS * kind;
            return (edge & RATE_MASK, edge >> RATES_BITS & RATE_MASK);
        }
    }

    function packRates(uint16[4] memory rates) internal pure returns (uint256 packed) {
        for (uint256 kind = 0; kind < KINDS; ++kind) {
            packed |= uint256(rates[kind]) << RATE_BITS * kind;
        }
    }

    function unpackRates(uint256 packed) internal pure returns (uint16[4] memory rates) {
        for (uint256 kind = 0; kind < KINDS; ++kind) {
            // forge-lint: disable-next-line(unsafe-typecast) -- a rate has 14 bits
            rates[kind] = uint16(rate(packed, kind));
        }
    }

    function lineageBytes(uint256 length) internal pure returns (uint256) {
        return length * WORD_BYTES;
    }

    function count(bytes memory lineage) internal pure returns (uint256) {
        return lineage.length / WORD_BYTES;
    }

    /// The edge at an index below the count, which the caller sees to.
    function get(bytes memory lineage, uint256 index) internal pure returns (uint256 edge) {
        // Memory-safe: reads only, at most two bytes past the end, and drops those.
        assembly ("memory-safe") {
            edge := shr(WORD_SHIFT, mload(add(add(lineage, 32), mul(index, WORD_BYTES))))
        }
    }

    function toLineage(uint256[] memory edges) internal pure returns (bytes memory lineage) {
        // Two bytes longer at first: each edge is written as a word, of which the next one overwrites the end.
        lineage = new bytes(lineageBytes(edges.length) + 2);
        for (uint256 i = 0; i < edges.length; ++i) {
            uint256 word = edges[i] << WORD_SHIFT;
            // Memory-safe: writes inside `lineage`.
            assembly ("memory-safe") {
                mstore(add(add(lineage, 32), mul(i, WORD_BYTES)), word)
            }
        }
        assembly ("memory-safe") {
            mstore(lineage, sub(mload(lineage), 2))
        }
    }

    /// Puts an edge in its place. Of two edges to one parent one remains, with the higher rate of each kind and reach.
    function insert(List memory list, uint256 edge) internal pure {
        uint256 length = list.length;
        uint256 parent = parentOf(edge);
        uint256 place = length;
        while (place > 0 && parentOf(list.words[place - 1]) > parent) --place;
        if (place > 0 && parentOf(list.words[place - 1]) == parent) {
            list.words[place - 1] = _higher(list.words[place - 1], edge);
            return;
        }
        if (length == MAX_EDGES) revert IAssets.TooManyEdges(length + 1);
        for (uint256 i = length; i > place; --i) {
            list.words[i] = list.words[i - 1];
        }
        list.words[place] = edge;
        list.length = length + 1;
    }

    /// What a child of this list's asset owes because of it: rates of reach `All` go down to every descendant, those of
    /// reach `Child` do not. An edge without the first is not copied.
    function insertInherited(List memory list, bytes memory parentLineage) internal pure {
        uint256 length = count(parentLineage);
        for (uint256 i = 0; i < length; ++i) {
            uint256 edge = get(parentLineage, i);
            uint256 rates = allRates(edge);
            if (rates != 0) insert(list, pack(parentOf(edge), rates, 0));
        }
    }

    function toArray(List memory list) internal pure returns (uint256[] memory edges) {
        edges = new uint256[](list.length);
        for (uint256 i = 0; i < edges.length; ++i) {
            edges[i] = list.words[i];
        }
    }

    /// The sums for each kind. They grow four to a word, each in the width of two rates: 64 rates of 14 bits sum to 20
    /// bits, so none wraps and slips under the limit. One `flow` may ask this of 64 parents with 64 edges each, so the
    /// loop is written to be short.
    function sums(bytes memory lineage) internal pure returns (uint256[4] memory own, uint256[4] memory inherited) {
        uint256 length = count(lineage);
        // Of kinds 0 and 2, and of kinds 1 and 3; `All` below, `Child` above.
        uint256 even;
        uint256 odd;
        unchecked {
            for (uint256 i = 0; i < length; ++i) {
                uint256 edge = get(lineage, i);
                even += edge & SUMMANDS_MASK;
                odd += edge >> RATE_BITS & SUMMANDS_MASK;
            }
            for (uint256 kind = 0; kind < KINDS; ++kind) {
                uint256 lanes = (kind % 2 == 0 ? even : odd) >> SUM_BITS * (kind / 2);
                uint256 child = lanes >> RATES_BITS & SUM_MASK;
                own[kind] = (lanes & SUM_MASK) + child;
                inherited[kind] = child;
            }
        }
    }

    /// Holds the sums to the limit. Those of inherited revenue are parts of those of own revenue.
    function checkSums(bytes memory lineage) internal pure {
        (uint256[4] memory own,) = sums(lineage);
        for (uint256 kind = 0; kind < KINDS; ++kind) {
            if (own[kind] > MAX_SUM_BPS) revert IAssets.RatesAboveLimit(kind, own[kind]);
        }
    }

    /// The highest `Child` rate of each kind.
    function highestChildRates(bytes memory lineage) internal pure returns (uint256[4] memory highest) {
        uint256 length = count(lineage);
        for (uint256 i = 0; i < length; ++i) {
            uint256 child = childRates(get(lineage, i));
            for (uint256 kind = 0; kind < KINDS; ++kind) {
                uint256 childRate = rate(child, kind);
                if (childRate > highest[kind]) highest[kind] = childRate;
            }
        }
    }

    /// Whether any edge has a rate of reach `Child`.
    function hasChildRates(uint256[] memory edges) internal pure returns (bool) {
        uint256 rates;
        for (uint256 i = 0; i < edges.length; ++i) {
            rates |= childRates(edges[i]);
        }
        return rates != 0;
    }

    function _higher(uint256 a, uint256 b) private pure returns (uint256 edge) {
        edge = parentOf(a) << PARENT_SHIFT;
        for (uint256 shift = 0; shift < PARENT_SHIFT; shift += RATE_BITS) {
            uint256 rateA = a >> shift & RATE_MASK;
            uint256 rateB = b >> shift & RATE_MASK;
            edge |= (rateA > rateB ? rateA : rateB) << shift;
        }
    }
}
