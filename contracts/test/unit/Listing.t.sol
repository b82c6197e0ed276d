// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {CoreFixture, PlainToken} from "../support/CoreFixture.sol";

/// At most four tokens are ever listed, so that dust of some cannot close an asset to the others. See
/// docs/adr/0013-at-most-four-currencies.md.
contract ListingTest is CoreFixture {
    IRoyalties.Kind private constant INFERENCE = IRoyalties.Kind.Inference;

    function test_a_fifth_token_is_never_listed_and_the_four_can_come_back() external {
        PlainToken[3] memory others = _fillTheList();
        address fifth = address(new PlainToken());
        _refused(fifth);
        // What is taken off keeps its place.
        _setListing(address(others[0]), false);
        _setListing(address(others[1]), false);
        _refused(fifth);
        assertEq(uint8(royalties.listing(address(others[0]))), uint8(IRoyalties.Listing.Delisted));
        _setListing(address(others[0]), true);
        assertEq(uint8(royalties.listing(address(others[0]))), uint8(IRoyalties.Listing.Listed));
        _setListing(address(others[0]), true);
        _setListing(fifth, false);
        assertEq(uint8(royalties.listing(fifth)), uint8(IRoyalties.Listing.Never));
        _refused(fifth);
    }

    /// Saying again what is so, and taking off what never was on, takes no place.
    function test_only_a_first_listing_takes_a_place() external {
        address never = address(new PlainToken());
        for (uint256 i = 0; i < 5; ++i) {
            _setListing(address(token), true);
            _setListing(never, false);
            _setListing(address(token), false);
        }
        _setListing(address(token), true);
        _fillTheList();
        _refused(never);
    }

    function test_the_constructor_lists_no_fifth_token() external {
        address[] memory listed = new address[](6);
        for (uint256 i = 0; i < 6; ++i) {
            // Two of them twice.
            listed[i] = vm.addr(1 + i % 4);
        }
        assertGt(_deployed(listed).code.length, 0);
        listed[5] = vm.addr(5);
        bytes memory code = _creation(listed);
        bytes4 refusal;
        // Memory-safe: writes the first word of scratch space.
        assembly ("memory-safe") {
            let created := create(0, add(code, 32), mload(code))
            returndatacopy(0, 0, 4)
            refusal := and(mload(0), shl(224, 0xffffffff))
            if created { refusal := 0 }
        }
        assertEq(refusal, IRoyalties.TooManyTokensListed.selector);
    }

    /// PAY-9: whoever pays dust of every token there is, be it the controller of a work in between, closes no asset to
    /// any of them, and cuts no chain of reach `Child`.
    function test_PAY_9_dust_of_every_token_closes_nothing() external {
        uint256 top = root(alice);
        uint256 middle = child(bob, top, 5000, ILicences.Reach.Child);
        uint256 bottom = child(carol, middle, 5000, ILicences.Reach.Child);
        address till = operatorTill(middle, address(0), 0);
        vm.prank(payer);
        token.transfer(till, 1_000_000);
        PlainToken[3] memory others = _fillTheList();
        uint256[3] memory all = [top, middle, bottom];
        for (uint256 t = 0; t < 3; ++t) {
            for (uint256 a = 0; a < 3; ++a) {
                vm.prank(payer);
                royalties.pay(all[a], INFERENCE, address(others[t]), 1);
            }
            _setListing(address(others[t]), false);
        }
        payInference(bottom, 1_000_000);
        flow(bottom);
        assertEq(royalties.sweep(middle, INFERENCE, address(0), 0, address(token)), 1_000_000);
        flow(middle);
        assertEq(inheritedOf(middle, INFERENCE), 500_000);
        assertEq(inheritedOf(top, INFERENCE), 750_000);
        assertEq(royalties.diverted(middle, address(token)), 0);
        ILicences.Terms memory terms = pricedTerms(50);
        terms.rights = ACCESS;
        bytes32 termsId = offer(middle, terms);
        vm.prank(payer);
        licences.buy(middle, termsId, payer, 50);
        assertEq(royalties.tokensOf(middle).length, 4);
        moveShares(middle, bob, stranger, UNITS);
        assertEq(claim(middle, bob), 750_025);
    }

    function _fillTheList() private returns (PlainToken[3] memory others) {
        for (uint256 i = 0; i < 3; ++i) {
            others[i] = anotherToken();
        }
    }

    function _setListing(address money, bool listed) private {
        vm.expectEmit(address(royalties));
        emit IRoyalties.ListingSet(money, listed);
        vm.prank(address(timelock));
        royalties.setListing(money, listed);
    }

    function _refused(address money) private {
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.TooManyTokensListed.selector, money));
        vm.prank(address(timelock));
        royalties.setListing(money, true);
    }

    function _creation(address[] memory listed) private view returns (bytes memory) {
        bytes memory arguments = abi.encode(assets, shares, licences, timelock, arbiter, treasury, uint16(0), listed);
        return bytes.concat(vm.getCode("Royalties.sol:Royalties"), arguments);
    }

    function _deployed(address[] memory listed) private returns (address created) {
        bytes memory code = _creation(listed);
        assembly ("memory-safe") {
            created := create(0, add(code, 32), mload(code))
        }
    }
}
