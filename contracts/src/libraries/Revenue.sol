// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Formula} from "./Formula.sol";

/// What one asset earned in one token, in storage, and what the formula sheet makes of it. Kinds go in pairs (licence,
/// training) and (inference, resale), two to a word.
///
/// A word of revenue, from the low end: total of the pair's first kind 112, of its second 112, the sums of the edges'
/// rates for each 14, flags 4. Cursors use the totals only.
library Revenue {
    uint256 internal constant KINDS = 4;
    uint256 internal constant PAIRS = 2;
    uint256 internal constant MAX_TOTAL = (1 << TOTAL_BITS) - 1;
    /// The word has its rates, and the token is in the asset's set.
    uint256 internal constant OPEN_FLAG = 1 << 252;
    /// Of the first pair's own word: a freeze reached this token once, so look at the hold.
    uint256 internal constant HOLD_FLAG = 1 << 253;

    uint256 private constant TOTAL_BITS = 112;
    uint256 private constant RATES_SHIFT = 224;
    uint256 private constant RATE_BITS = 14;
    uint256 private constant RATE_MASK = (1 << RATE_BITS) - 1;
    /// Of own words: operators have a part in this kind. For the pair's second kind, one bit higher.
    uint256 private constant OPERATORS_FLAG_SHIFT = 254;

    uint256 private constant MILLION = 1_000_000;
    uint256 private constant OWED_BITS = 140;
    uint256 private constant OWED_MASK = (1 << OWED_BITS) - 1;

    /// @param base what the shares had been owed, before rulings took from it, when the last freeze began
    /// @param taken what rulings took from the shares, ever
    struct Hold {
        uint128 base;
        uint128 taken;
    }

    /// @param own revenue words by pair
    /// @param inherited revenue words by pair
    /// @param ownFlowed up to where `own` was carried to the parents
    /// @param inheritedFlowed the same for `inherited`
    /// @param operatorsScaled by kind, W of the formula sheet
    /// @param hold what freezes did
    /// @param holders by holder, from the low end: owed in millionths and unpaid 140, sharesOwed up to which that was
    ///        reckoned 116. Totals of eight words of 112 bits sum to at most 115, times a million units to 135.
    struct Account {
        uint256[PAIRS] own;
        uint256[PAIRS] inherited;
        uint256[PAIRS] ownFlowed;
        uint256[PAIRS] inheritedFlowed;
        uint256[KINDS] operatorsScaled;
        Hold hold;
        mapping(address holder => uint256) holders;
    }

    /// The total of one of a pair's two kinds.
    function total(uint256 word, uint256 lane) internal pure returns (uint256) {
        return word >> TOTAL_BITS * lane & MAX_TOTAL;
    }

    /// The totals of all kinds.
    function totals(uint256[PAIRS] storage words) internal view returns (uint256[KINDS] memory all) {
        for (uint256 kind = 0; kind < KINDS; ++kind) {
            all[kind] = total(words[kind / 2], kind % 2);
        }
    }

    /// Adds to a total. The caller has checked that the sum is at most MAX_TOTAL.
    function add(uint256 word, uint256 lane, uint256 amount) internal pure returns (uint256) {
        unchecked {
            return word + (amount << TOTAL_BITS * lane);
        }
    }

    /// A cursor moved to where `word` stands, for one kind.
    function moved(uint256 cursor, uint256 word, uint256 lane) internal pure returns (uint256) {
        uint256 mask = MAX_TOTAL << TOTAL_BITS * lane;
        return cursor & ~mask | word & mask;
    }

    /// A word that had no rates, with them.
    function opened(uint256 word, uint256 firstRateBps, uint256 secondRateBps) internal pure returns (uint256) {
        return word | OPEN_FLAG | firstRateBps << RATES_SHIFT | secondRateBps << RATES_SHIFT + RATE_BITS;
    }

    function withOperators(uint256 word, uint256 lane) internal pure returns (uint256) {
        return word | 1 << OPERATORS_FLAG_SHIFT + lane;
    }

    /// What the shares were owed since the beginning, as if there had never been a freeze.
    function sharesOwedUnheld(Account storage account) internal view returns (uint256 owed) {
        for (uint256 pair = 0; pair < PAIRS; ++pair) {
            uint256 own = account.own[pair];
            uint256 inherited = account.inherited[pair];
            for (uint256 lane = 0; lane < 2; ++lane) {
                uint256 operators =
                    own >> OPERATORS_FLAG_SHIFT + lane & 1 == 0 ? 0 : account.operatorsScaled[2 * pair + lane];
                owed += Formula.ownSharesOwed(total(own, lane), _rate(own, lane), operators);
                owed += Formula.inheritedSharesOwed(total(inherited, lane), _rate(inherited, lane));
            }
        }
    }

    /// Brings a holder's word up to date.
    /// @param sharesOwed what the shares were owed since the beginning; it never falls
    function reckoned(uint256 word, uint256 sharesOwed, uint256 units) internal pure returns (uint256) {
        uint256 owed = (word & OWED_MASK) + units * (sharesOwed - (word >> OWED_BITS));
        return sharesOwed << OWED_BITS | owed;
    }

    /// What a holder's word says it is owed in whole units, and the word after they are paid.
    function paid(uint256 word) internal pure returns (uint256 amount, uint256 after_) {
        uint256 owed = word & OWED_MASK;
        return (owed / MILLION, word - owed + owed % MILLION);
    }

    function split(uint256 word) internal pure returns (uint256 sharesOwed, uint256 owedMillionths) {
        return (word >> OWED_BITS, word & OWED_MASK);
    }

    function _rate(uint256 word, uint256 lane) private pure returns (uint256) {
        return word >> RATES_SHIFT + RATE_BITS * lane & RATE_MASK;
    }
}
