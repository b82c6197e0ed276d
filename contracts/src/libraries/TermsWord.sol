// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ILicences} from "../interfaces/ILicences.sol";
import {Edges} from "./Edges.sol";

/// What the ledger keeps of terms, in two words.
///
/// The first is all that a derivation or a renewal reads. From the low end: rates 4 x 14, reach 1, rights 8, all
/// versions 1, renewable 1, transferable 1, derivations 24, period 40, supply cap 32, price 88.
/// The second is what a purchase reads besides: currency 160, number 64, whether there is a hook 1.
library TermsWord {
    uint256 private constant REACH_SHIFT = 56;
    uint256 private constant RIGHTS_SHIFT = 57;
    uint256 private constant ALL_VERSIONS_SHIFT = 65;
    uint256 private constant RENEWABLE_SHIFT = 66;
    uint256 private constant TRANSFERABLE_SHIFT = 67;
    uint256 private constant DERIVATIONS_SHIFT = 68;
    uint256 private constant PERIOD_SHIFT = 92;
    uint256 private constant CAP_SHIFT = 132;
    uint256 private constant PRICE_SHIFT = 164;
    uint256 private constant NUMBER_SHIFT = 160;
    uint256 private constant HOOK_SHIFT = 224;

    /// Rates and reach: what a derivation copies.
    uint256 private constant DERIVATION_MASK = (1 << RIGHTS_SHIFT) - 1;
    uint256 private constant RATES_MASK = (1 << REACH_SHIFT) - 1;

    /// The caller has checked that the price has at most 88 bits and a rate at most 14.
    function pack(ILicences.Terms calldata terms) internal pure returns (uint256 word) {
        word = Edges.packRates(terms.rates);
        word |= uint256(terms.reach) << REACH_SHIFT;
        word |= uint256(terms.rights) << RIGHTS_SHIFT;
        if (terms.allVersions) word |= 1 << ALL_VERSIONS_SHIFT;
        if (terms.renewable) word |= 1 << RENEWABLE_SHIFT;
        if (terms.transferable) word |= 1 << TRANSFERABLE_SHIFT;
        word |= uint256(terms.derivations) << DERIVATIONS_SHIFT;
        word |= uint256(terms.period) << PERIOD_SHIFT;
        word |= uint256(terms.supplyCap) << CAP_SHIFT;
        word |= terms.price << PRICE_SHIFT;
    }

    function packPurchase(address currency_, uint64 number_, bool hasHook_) internal pure returns (uint256 word) {
        word = uint256(uint160(currency_)) | uint256(number_) << NUMBER_SHIFT;
        if (hasHook_) word |= 1 << HOOK_SHIFT;
    }

    function derivationTerms(uint256 word) internal pure returns (uint256) {
        return word & DERIVATION_MASK;
    }

    function rates(uint256 word) internal pure returns (uint256) {
        return word & RATES_MASK;
    }

    function reach(uint256 word) internal pure returns (ILicences.Reach) {
        return ILicences.Reach(word >> REACH_SHIFT & 1);
    }

    function rights(uint256 word) internal pure returns (uint8) {
        // forge-lint: disable-next-line(unsafe-typecast) -- the field has 8 bits
        return uint8(word >> RIGHTS_SHIFT);
    }

    function allVersions(uint256 word) internal pure returns (bool) {
        return word >> ALL_VERSIONS_SHIFT & 1 != 0;
    }

    function renewable(uint256 word) internal pure returns (bool) {
        return word >> RENEWABLE_SHIFT & 1 != 0;
    }

    function transferable(uint256 word) internal pure returns (bool) {
        return word >> TRANSFERABLE_SHIFT & 1 != 0;
    }

    function derivations(uint256 word) internal pure returns (uint24) {
        // forge-lint: disable-next-line(unsafe-typecast) -- the field has 24 bits
        return uint24(word >> DERIVATIONS_SHIFT);
    }

    function period(uint256 word) internal pure returns (uint40) {
        // forge-lint: disable-next-line(unsafe-typecast) -- the field has 40 bits
        return uint40(word >> PERIOD_SHIFT);
    }

    function supplyCap(uint256 word) internal pure returns (uint32) {
        // forge-lint: disable-next-line(unsafe-typecast) -- the field has 32 bits
        return uint32(word >> CAP_SHIFT);
    }

    function price(uint256 word) internal pure returns (uint256) {
        return word >> PRICE_SHIFT;
    }

    function currency(uint256 purchaseWord) internal pure returns (address) {
        return address(uint160(purchaseWord));
    }

    function number(uint256 purchaseWord) internal pure returns (uint64) {
        // forge-lint: disable-next-line(unsafe-typecast) -- the field has 64 bits
        return uint64(purchaseWord >> NUMBER_SHIFT);
    }

    function hasHook(uint256 purchaseWord) internal pure returns (bool) {
        return purchaseWord >> HOOK_SHIFT & 1 != 0;
    }
}
