// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Formula} from "./Formula.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

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
    // The further flags spare a claim what does not concern it. Of the first pair's own word:
    /// The second pair's own word is open.
    uint256 internal constant SECOND_OWN_FLAG = 1 << 253;
    /// An inherited word is open.
    uint256 internal constant INHERITED_FLAG = 1 << 254;
    /// There is something in `extras`: an operator has a part, or a freeze reached this token.
    uint256 internal constant EXTRAS_FLAG = 1 << 255;
    // Of the second pair's inherited word:
    /// The first pair's inherited word is open.
    uint256 internal constant FIRST_INHERITED_FLAG = 1 << 253;

    uint256 private constant TOTAL_BITS = 112;
    uint256 private constant RATES_SHIFT = 224;
    uint256 private constant RATE_BITS = 14;
    uint256 private constant RATE_MASK = (1 << RATE_BITS) - 1;
    uint256 private constant MILLION = 1_000_000;
    uint256 private constant OWED_BITS = 140;
    uint256 private constant OWED_MASK = (1 << OWED_BITS) - 1;

    /// @param base what the shares had been owed, before rulings took from it, when the last freeze began; zero for a
    ///        token that joined later
    /// @param taken what rulings took from the shares, ever
    /// @param operatorKinds bit k: operators have a part in kind k
    struct Extras {
        uint120 base;
        uint120 taken;
        uint8 operatorKinds;
    }

    /// @param own revenue words by pair
    /// @param inherited revenue words by pair
    /// @param ownFlowed up to where `own` was carried to the parents
    /// @param inheritedFlowed the same for `inherited`
    /// @param operatorsScaled by kind, W of the formula sheet
    /// @param extras what most accounts never need
    /// @param holders by holder, from the low end: owed in millionths and unpaid 140, sharesOwed up to which that was
    ///        reckoned 116. Totals of eight words of 112 bits sum to at most 115, times a million units to 135.
    struct Account {
        uint256[PAIRS] own;
        uint256[PAIRS] inherited;
        uint256[PAIRS] ownFlowed;
        uint256[PAIRS] inheritedFlowed;
        uint256[KINDS] operatorsScaled;
        Extras extras;
        mapping(address holder => uint256) holders;
    }

    /// The total of one of a pair's two kinds.
    function total(uint256 word, uint256 lane) internal pure returns (uint256) {
        unchecked {
            return word >> TOTAL_BITS * lane & MAX_TOTAL;
        }
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

    /// A cursor with another total for one kind.
    function withTotal(uint256 word, uint256 lane, uint256 total_) internal pure returns (uint256) {
        uint256 shift = TOTAL_BITS * lane;
        return word & ~(MAX_TOTAL << shift) | total_ << shift;
    }

    /// A word that had no rates, with them.
    function opened(uint256 word, uint256 firstRateBps, uint256 secondRateBps) internal pure returns (uint256) {
        return word | OPEN_FLAG | firstRateBps << RATES_SHIFT | secondRateBps << RATES_SHIFT + RATE_BITS;
    }

    /// Adds to what operators have a part in.
    /// @param scaled net revenue times the operator's part in basis points
    function addOperatorPart(Account storage account, uint256 kind, uint256 scaled) internal {
        account.operatorsScaled[kind] += scaled;
        // forge-lint: disable-next-line(unsafe-typecast) -- a kind is below 4
        account.extras.operatorKinds |= uint8(1 << kind);
        account.own[0] |= EXTRAS_FLAG;
    }

    /// Begins a freeze: all that the shares are owed beyond the present is held.
    function holdFromHere(Account storage account) internal {
        account.extras.base = SafeCast.toUint120(sharesOwedUnheld(account));
        account.own[0] |= EXTRAS_FLAG;
    }

    /// What the shares were owed since the beginning, as if there had never been a freeze.
    function sharesOwedUnheld(Account storage account) internal view returns (uint256 owed) {
        uint256 first = account.own[0];
        uint256 operatorKinds = first & EXTRAS_FLAG == 0 ? 0 : account.extras.operatorKinds;
        unchecked {
            owed = _ownPart(account, first, 0, operatorKinds);
            if (first & SECOND_OWN_FLAG != 0) owed += _ownPart(account, account.own[1], 2, operatorKinds);
            if (first & INHERITED_FLAG != 0) {
                uint256 second = account.inherited[1];
                owed += _inheritedPart(second);
                if (second & FIRST_INHERITED_FLAG != 0) owed += _inheritedPart(account.inherited[0]);
            }
        }
    }

    /// Brings a holder's word up to date.
    /// @param sharesOwed what the shares were owed since the beginning; it never falls
    function reckoned(uint256 word, uint256 sharesOwed, uint256 units) internal pure returns (uint256) {
        unchecked {
            uint256 owed = (word & OWED_MASK) + units * (sharesOwed - (word >> OWED_BITS));
            return sharesOwed << OWED_BITS | owed;
        }
    }

    /// What a holder's word says it is owed in whole units, and the word after they are paid.
    function paid(uint256 word) internal pure returns (uint256 amount, uint256 after_) {
        uint256 owed = word & OWED_MASK;
        unchecked {
            return (owed / MILLION, word - owed + owed % MILLION);
        }
    }

    function split(uint256 word) internal pure returns (uint256 sharesOwed, uint256 owedMillionths) {
        return (word >> OWED_BITS, word & OWED_MASK);
    }

    /// The shares' part of a word of own revenue, whose first kind is given.
    function _ownPart(Account storage account, uint256 word, uint256 kind, uint256 operatorKinds)
        private
        view
        returns (uint256)
    {
        uint256 first = operatorKinds >> kind & 1 == 0 ? 0 : account.operatorsScaled[kind];
        uint256 second = operatorKinds >> kind + 1 & 1 == 0 ? 0 : account.operatorsScaled[kind + 1];
        unchecked {
            return Formula.ownSharesOwed(total(word, 0), _rate(word, 0), first)
                + Formula.ownSharesOwed(total(word, 1), _rate(word, 1), second);
        }
    }

    function _inheritedPart(uint256 word) private pure returns (uint256) {
        unchecked {
            return Formula.inheritedSharesOwed(total(word, 0), _rate(word, 0))
                + Formula.inheritedSharesOwed(total(word, 1), _rate(word, 1));
        }
    }

    function _rate(uint256 word, uint256 lane) private pure returns (uint256) {
        unchecked {
            return word >> RATES_SHIFT + RATE_BITS * lane & RATE_MASK;
        }
    }
}
