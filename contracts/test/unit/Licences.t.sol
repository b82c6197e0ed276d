// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "../../src/interfaces/IAssets.sol";
import {IERC5643} from "../../src/interfaces/IERC5643.sol";
import {IEligibility} from "../../src/interfaces/IEligibility.sol";
import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {CoreFixture} from "../support/CoreFixture.sol";
import {ITestUSD} from "../support/ITestUSD.sol";

contract Register is IEligibility {
    mapping(address => bool) public entered;

    function enter(address account) external {
        entered[account] = true;
    }

    function isEligible(address account, uint256, bytes32) external view returns (bool) {
        return entered[account];
    }
}

/// Answers every question in one unclean way.
contract UncleanHook {
    enum Way {
        TwoForTrue,
        Revert,
        Nothing,
        Endless,
        AnswerBomb
    }

    Way private immutable WAY;

    constructor(Way way) {
        WAY = way;
    }

    fallback() external {
        if (WAY == Way.TwoForTrue) {
            assembly {
                mstore(0, 2)
                return(0, 32)
            }
        }
        if (WAY == Way.Revert) {
            assembly {
                mstore(0, 1)
                revert(0, 32)
            }
        }
        if (WAY == Way.AnswerBomb) {
            assembly {
                return(0, 1000000000)
            }
        }
        if (WAY == Way.Endless) {
            while (true) {}
        }
    }
}

contract LicencesTest is CoreFixture {
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    function test_an_id_is_the_hash_of_all_fields() external {
        ILicences.Terms memory terms = pricedTerms(5);
        bytes32 termsId = licences.termsIdOf(terms);
        assertEq(termsId, keccak256(abi.encode(terms)));
        vm.expectEmit(address(licences));
        emit ILicences.TermsDefined(termsId, 1, terms);
        assertEq(licences.defineTerms(terms), termsId);
        // Defined once, whoever asks again.
        vm.recordLogs();
        vm.prank(stranger);
        assertEq(licences.defineTerms(terms), termsId);
        assertEq(vm.getRecordedLogs().length, 0);
        terms.textCid = hex"00";
        assertNotEq(licences.defineTerms(terms), termsId);
        assertEq(licences.termsSummary(licences.termsIdOf(terms)).number, 2);
    }

    function test_terms_are_kept_whole() external {
        ILicences.Terms memory terms = pricedTerms(type(uint88).max);
        terms.allVersions = true;
        terms.renewable = true;
        terms.transferable = false;
        terms.period = type(uint40).max;
        terms.rates = [uint16(9000), 1, 0, 8999];
        terms.reach = ILicences.Reach.Child;
        terms.derivations = type(uint24).max;
        terms.supplyCap = type(uint32).max;
        terms.hook = address(0xbeef);
        ILicences.TermsSummary memory kept = licences.termsSummary(licences.defineTerms(terms));
        assertEq(kept.rights, terms.rights);
        assertTrue(kept.allVersions);
        assertTrue(kept.renewable);
        assertFalse(kept.transferable);
        assertEq(kept.currency, address(token));
        assertEq(kept.price, type(uint88).max);
        assertEq(kept.period, type(uint40).max);
        for (uint256 kind = 0; kind < 4; ++kind) {
            assertEq(kept.rates[kind], terms.rates[kind]);
        }
        assertEq(uint256(kept.reach), uint256(ILicences.Reach.Child));
        assertEq(kept.derivations, type(uint24).max);
        assertEq(kept.supplyCap, type(uint32).max);
        assertEq(kept.hook, address(0xbeef));
    }

    /// Known fault: unchecked casts. What does not fit is refused, not cut.
    function test_terms_that_make_no_sense_are_refused() external {
        ILicences.Terms memory terms = plainTerms();
        terms.rights = 0;
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.RightsNotValid.selector, 0));
        terms.rights = 64;
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.RightsNotValid.selector, 64));
        terms = pricedTerms(1 << 88);
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.PriceAboveLimit.selector, 1 << 88));
        terms = plainTerms();
        terms.inferenceUnitPrice = 1;
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.CurrencyMissing.selector));
        terms = plainTerms();
        terms.rates[3] = 9001;
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.RateAboveLimit.selector, 3, 9001));
        terms = plainTerms();
        terms.rights = ACCESS;
        terms.rates[0] = 1;
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.RatesWithoutDerive.selector));
        terms = plainTerms();
        terms.renewable = true;
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.RenewableWithoutPeriod.selector));
        terms = plainTerms();
        terms.vesting = 1;
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.VestingNotDefined.selector, 1));
        terms = plainTerms();
        terms.legalText = "";
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.LegalTextLength.selector, 0, 0));
        terms = plainTerms();
        terms.legalText = string(abi.encodePacked("MIT", bytes1(0xff)));
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.LegalTextNotPrintable.selector, 3));
        terms.legalText = "\n";
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.LegalTextNotPrintable.selector, 0));
        terms = pricedTerms(1);
        terms.trainingUnitPrice = 1 << 88;
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.PriceAboveLimit.selector, 1 << 88));
        terms = pricedTerms(1);
        terms.inferenceUnitPrice = type(uint256).max;
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.PriceAboveLimit.selector, type(uint256).max));
        terms = plainTerms();
        terms.textCid = new bytes(129);
        _refusedTerms(terms, abi.encodeWithSelector(ILicences.LegalTextLength.selector, 24, 129));
    }

    /// ACC-1: offers are the controller's.
    function test_ACC_1_only_the_controller_makes_and_withdraws_offers() external {
        uint256 assetId = root(alice);
        bytes32 termsId = licences.defineTerms(plainTerms());
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IAssets.NotController.selector, assetId, stranger));
        licences.offer(assetId, termsId);
        bytes32[] memory termsIds = new bytes32[](1);
        vm.expectRevert(abi.encodeWithSelector(ILicences.OnlyAssets.selector, stranger));
        licences.offerAtBirth(assetId, termsIds);
        vm.expectRevert(abi.encodeWithSelector(ILicences.OnlyAssets.selector, stranger));
        licences.useForDerivation(alice, none());
        vm.stopPrank();

        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotOffered.selector, assetId, termsId));
        licences.withdraw(assetId, termsId);
        licences.offer(assetId, termsId);
        vm.expectRevert(abi.encodeWithSelector(ILicences.AlreadyOffered.selector, assetId, termsId));
        licences.offer(assetId, termsId);
        vm.stopPrank();

        vm.expectRevert(abi.encodeWithSelector(IAssets.NotController.selector, assetId, stranger));
        vm.prank(stranger);
        licences.withdraw(assetId, termsId);
    }

    function test_offers_need_a_listed_currency() external {
        uint256 assetId = root(alice);
        ILicences.Terms memory terms = pricedTerms(5);
        terms.currency = address(0xdead);
        bytes32 termsId = licences.defineTerms(terms);
        vm.expectRevert(abi.encodeWithSelector(ILicences.CurrencyNotListed.selector, address(0xdead)));
        vm.prank(alice);
        licences.offer(assetId, termsId);

        // A currency taken off the list ends new offers in it, not those that stand.
        termsId = offer(assetId, pricedTerms(5));
        vm.prank(address(timelock));
        royalties.setListing(address(token), false);
        vm.prank(payer);
        licences.buy(assetId, termsId, bob, 5);
        uint256 other = root(alice);
        vm.expectRevert(abi.encodeWithSelector(ILicences.CurrencyNotListed.selector, address(token)));
        vm.prank(alice);
        licences.offer(other, termsId);
    }

    /// PAY-7: one payment, of the price, for what was asked; own revenue of kind licence.
    function test_PAY_7_a_purchase_pays_the_price_once() external {
        uint256 assetId = root(alice);
        ILicences.Terms memory terms = pricedTerms(1000);
        terms.period = 30 days;
        bytes32 termsId = offer(assetId, terms);
        uint256 expected = assetId << 128 | 1 << 64 | 1;
        uint256 before = token.balanceOf(payer);
        vm.expectEmit(address(licences));
        emit ILicences.Bought(expected, bob, termsId, payer, block.timestamp + 30 days, 1);
        vm.expectEmit(address(royalties));
        emit IRoyalties.Credited(assetId, address(token), payer, IRoyalties.Kind.Licence, 1000, 0);
        vm.prank(payer);
        assertEq(licences.buy(assetId, termsId, bob, 1000), expected);
        assertEq(before - token.balanceOf(payer), 1000);
        assertEq(ownOf(assetId, IRoyalties.Kind.Licence), 1000);
        assertEq(licences.ownerOf(expected), bob);
        assertEq(licences.balanceOf(bob), 1);
        ILicences.Licence memory licence = licences.licence(expected);
        assertEq(licence.holder, bob);
        assertEq(licence.assetId, assetId);
        assertEq(licence.termsId, termsId);
        assertEq(licence.expiresAt, block.timestamp + 30 days);
        assertEq(licence.version, 1);
        vm.prank(payer);
        assertEq(licences.buy(assetId, termsId, bob, 1000), expected + 1);
        (uint256 count,) = licences.offersState(assetId);
        assertEq(count, 2);
    }

    /// PAY-7, and the known fault of a price raised in front of a buyer. A price is part of the terms' id, and the
    /// buyer's bound holds besides.
    function test_PAY_7_the_buyers_bound_holds() external {
        uint256 assetId = root(alice);
        bytes32 termsId = offer(assetId, pricedTerms(1000));
        vm.expectRevert(abi.encodeWithSelector(ILicences.PriceAboveMax.selector, 1000, 999));
        vm.prank(payer);
        licences.buy(assetId, termsId, payer, 999);

        vm.prank(alice);
        licences.withdraw(assetId, termsId);
        offer(assetId, pricedTerms(2000));
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotOffered.selector, assetId, termsId));
        vm.prank(payer);
        licences.buy(assetId, termsId, payer, 1000);
    }

    function test_purchases_that_cannot_be_are_refused() external {
        uint256 assetId = root(alice);
        bytes32 termsId = offer(assetId, plainTerms());
        vm.expectRevert(abi.encodeWithSelector(IAssets.UnknownAsset.selector, assetId + 1));
        licences.buy(assetId + 1, termsId, bob, 0);
        // An id with more than 128 bits must not alias another's offer.
        uint256 alias_ = assetId | 1 << 192;
        vm.expectRevert(abi.encodeWithSelector(IAssets.UnknownAsset.selector, alias_));
        licences.buy(alias_, termsId, bob, 0);
        vm.expectRevert(abi.encodeWithSelector(ILicences.UnknownTerms.selector, bytes32(0)));
        licences.buy(assetId, 0, bob, 0);
        vm.expectRevert(abi.encodeWithSignature("ERC721InvalidReceiver(address)", address(0)));
        licences.buy(assetId, termsId, address(0), 0);
        bytes32 priced = offer(assetId, pricedTerms(7));
        // No allowance.
        vm.expectRevert(
            abi.encodeWithSignature("ERC20InsufficientAllowance(address,uint256,uint256)", address(royalties), 0, 7)
        );
        vm.prank(stranger);
        licences.buy(assetId, priced, stranger, 7);
    }

    function test_supply_is_capped_for_each_asset() external {
        ILicences.Terms memory terms = plainTerms();
        terms.supplyCap = 2;
        uint256 assetId = root(alice);
        bytes32 termsId = offer(assetId, terms);
        licences.buy(assetId, termsId, bob, 0);
        licences.buy(assetId, termsId, bob, 0);
        vm.expectRevert(abi.encodeWithSelector(ILicences.SoldOut.selector, assetId, termsId, 2));
        licences.buy(assetId, termsId, bob, 0);
        // Offering anew forgets nothing.
        vm.startPrank(alice);
        licences.withdraw(assetId, termsId);
        licences.offer(assetId, termsId);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(ILicences.SoldOut.selector, assetId, termsId, 2));
        licences.buy(assetId, termsId, bob, 0);
        (bool live, uint256 sold) = licences.offerOf(assetId, termsId);
        assertTrue(live);
        assertEq(sold, 2);
        buy(root(alice), terms, bob);
    }

    /// Known fault: expiry 0 read as earliest. A perpetual licence is valid for ever.
    function test_an_expiry_of_zero_means_never() external {
        uint256 licenceId = buy(root(alice), plainTerms(), bob);
        vm.warp(block.timestamp + 100 * 365 days);
        assertTrue(licences.grantsRights(licenceId, ACCESS | DERIVE));
        assertTrue(licences.opensVersion(licenceId, 1));
        assertEq(licences.expiresAt(licenceId), type(uint64).max);
        register(bob, one(licenceId));
        assertFalse(licences.isRenewable(licenceId));
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotASubscription.selector, licenceId));
        licences.cancelSubscription(licenceId);
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotRenewable.selector, licenceId));
        licences.renewSubscription(licenceId, 1);
    }

    function test_a_licence_opens_the_versions_it_grants() external {
        uint256 assetId = root(alice);
        uint256 bought = buy(assetId, plainTerms(), bob);
        ILicences.Terms memory terms = plainTerms();
        terms.allVersions = true;
        terms.period = 30 days;
        uint256 all = buy(assetId, terms, bob);
        vm.prank(alice);
        assets.publishVersion(assetId, "cid", 0, 0);
        uint256 later = buy(assetId, plainTerms(), bob);
        assertTrue(licences.opensVersion(bought, 1));
        assertFalse(licences.opensVersion(bought, 0));
        assertFalse(licences.opensVersion(bought, 2));
        assertFalse(licences.opensVersion(later, 0));
        assertTrue(licences.opensVersion(later, 1));
        assertTrue(licences.opensVersion(later, 2));
        assertFalse(licences.opensVersion(later, 3));
        assertFalse(licences.opensVersion(all, 0));
        assertTrue(licences.opensVersion(all, 1));
        assertTrue(licences.opensVersion(all, 2));
        assertFalse(licences.opensVersion(all, 3));
        vm.warp(block.timestamp + 30 days);
        assertFalse(licences.opensVersion(all, 1));
        assertFalse(licences.opensVersion(12_345, 1));
        assertFalse(licences.grantsRights(all, ACCESS));
        assertFalse(licences.grantsRights(bought, 16));
    }

    /// PAY-7: the buyer gets the asset it saw, whatever its controller publishes in front of the purchase.
    function test_PAY_7_a_version_put_in_front_of_a_purchase_takes_nothing_from_the_buyer() external {
        uint256 assetId = root(alice);
        bytes32 termsId = offer(assetId, pricedTerms(1000));
        vm.prank(alice);
        assets.publishVersion(assetId, "junk", 0, 0);
        vm.prank(payer);
        uint256 licenceId = licences.buy(assetId, termsId, payer, 1000);
        assertTrue(licences.opensVersion(licenceId, 1));
        assertTrue(licences.opensVersion(licenceId, 2));
        vm.prank(alice);
        assets.publishVersion(assetId, "later", 0, 0);
        assertFalse(licences.opensVersion(licenceId, 3));
    }

    /// Known fault: terms changed after purchase. PAY-3: nothing the controller does reaches a licence that was bought.
    function test_PAY_3_a_licence_keeps_its_terms() external {
        uint256 assetId = root(alice);
        ILicences.Terms memory terms = _subscription(100);
        terms.rates = [uint16(300), 300, 300, 300];
        uint256 licenceId = buy(assetId, terms, payer);
        bytes32 termsId = licences.termsIdOf(terms);
        vm.prank(alice);
        licences.withdraw(assetId, termsId);
        ILicences.Terms memory dearer = _subscription(900);
        dearer.rates = [uint16(900), 900, 900, 900];
        offer(assetId, dearer);
        assertEq(licences.licence(licenceId).termsId, termsId);

        // Renewed at the price of its terms, though the offer is gone.
        vm.prank(payer);
        licences.renewSubscription(licenceId, 60 days);
        assertEq(ownOf(assetId, IRoyalties.Kind.Licence), 300);
        assertEq(licences.expiresAt(licenceId), block.timestamp + 90 days);
        uint256 childId = register(payer, one(licenceId));
        assertEq(assets.edgesOf(childId)[0].all[0], 300);
    }

    function test_renewals_that_cannot_be_are_refused() external {
        uint256 assetId = root(alice);
        uint256 licenceId = buy(assetId, _subscription(100), payer);
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotLicensee.selector, licenceId, stranger));
        vm.prank(stranger);
        licences.renewSubscription(licenceId, 30 days);
        vm.deal(payer, 1);
        vm.startPrank(payer);
        vm.expectRevert(abi.encodeWithSelector(ILicences.EtherNotTaken.selector, 1));
        licences.renewSubscription{value: 1}(licenceId, 30 days);
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotWholePeriods.selector, 0, 30 days));
        licences.renewSubscription(licenceId, 0);
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotWholePeriods.selector, 31 days, 30 days));
        licences.renewSubscription(licenceId, 31 days);
        // An expiry past 40 bits would come back as one long ago.
        uint64 tooLong = uint64((uint256(type(uint40).max) / 30 days) * 30 days);
        vm.expectRevert(
            abi.encodeWithSignature(
                "SafeCastOverflowedUintDowncast(uint8,uint256)", 40, licences.expiresAt(licenceId) + uint256(tooLong)
            )
        );
        licences.renewSubscription(licenceId, tooLong);
        vm.stopPrank();

        vm.prank(arbiter);
        royalties.freeze(assetId);
        assertFalse(licences.isRenewable(licenceId));
        vm.expectRevert(abi.encodeWithSelector(ILicences.AssetFrozen.selector, assetId));
        vm.prank(payer);
        licences.renewSubscription(licenceId, 30 days);
    }

    function test_a_lapsed_licence_is_renewed_from_now_and_can_be_cancelled() external {
        uint256 licenceId = buy(root(alice), _subscription(100), payer);
        vm.warp(block.timestamp + 50 days);
        vm.startPrank(payer);
        vm.expectRevert(abi.encodeWithSelector(ILicences.Expired.selector, licenceId, block.timestamp - 20 days));
        licences.cancelSubscription(licenceId);
        vm.expectEmit(address(licences));
        emit IERC5643.SubscriptionUpdate(licenceId, uint64(block.timestamp + 30 days));
        licences.renewSubscription(licenceId, 30 days);
        assertTrue(licences.grantsRights(licenceId, ACCESS));
        licences.cancelSubscription(licenceId);
        assertFalse(licences.grantsRights(licenceId, ACCESS));
        assertEq(licences.expiresAt(licenceId), block.timestamp);
    }

    function test_only_transferable_licences_change_hands() external {
        ILicences.Terms memory terms = plainTerms();
        terms.transferable = false;
        uint256 bound = buy(root(alice), terms, bob);
        uint256 free = buy(root(alice), plainTerms(), bob);
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotTransferable.selector, bound));
        licences.transferFrom(bob, carol, bound);
        licences.approve(stranger, free);
        licences.transferFrom(bob, carol, free);
        vm.stopPrank();
        assertEq(licences.ownerOf(free), carol);
        assertEq(licences.balanceOf(bob), 1);
        assertEq(licences.getApproved(free), address(0));
        vm.expectRevert(abi.encodeWithSignature("ERC721InsufficientApproval(address,uint256)", stranger, free));
        vm.prank(stranger);
        licences.transferFrom(carol, stranger, free);
    }

    function test_the_hook_is_asked_for_buyers_and_for_those_who_come_after() external {
        Register hook = new Register();
        ILicences.Terms memory terms = plainTerms();
        terms.hook = address(hook);
        uint256 assetId = root(alice);
        bytes32 termsId = offer(assetId, terms);
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotEligible.selector, bob, assetId, termsId));
        licences.buy(assetId, termsId, bob, 0);
        hook.enter(bob);
        uint256 licenceId = licences.buy(assetId, termsId, bob, 0);
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotEligible.selector, carol, assetId, termsId));
        vm.prank(bob);
        licences.transferFrom(bob, carol, licenceId);
        hook.enter(carol);
        vm.prank(bob);
        licences.transferFrom(bob, carol, licenceId);
    }

    function test_anything_but_a_clean_true_is_no() external {
        uint256 assetId = root(alice);
        for (uint256 way = 0; way <= uint256(type(UncleanHook.Way).max) + 1; ++way) {
            ILicences.Terms memory terms = plainTerms();
            // The last: an account without code.
            terms.hook = way > uint256(type(UncleanHook.Way).max)
                ? address(0xbeef)
                : address(new UncleanHook(UncleanHook.Way(way)));
            bytes32 termsId = offer(assetId, terms);
            vm.expectRevert(abi.encodeWithSelector(ILicences.NotEligible.selector, bob, assetId, termsId));
            licences.buy{gas: 400_000}(assetId, termsId, bob, 0);
        }
    }

    /// PAY-9: whoever owes a part of all it receives cannot let others derive for less.
    function test_PAY_9_an_offer_to_derive_carries_the_parents_child_rates() external {
        uint256 parent = root(alice);
        uint256 shell = child(bob, parent, 1000, ILicences.Reach.Child);
        bytes32 tooLow = licences.defineTerms(deriveTerms(999, ILicences.Reach.All));
        vm.expectRevert(abi.encodeWithSelector(ILicences.RateBelowParents.selector, 0, 999, 1000));
        vm.prank(bob);
        licences.offer(shell, tooLow);
        // At birth as well.
        uint256 licenceId = buy(parent, deriveTerms(1000, ILicences.Reach.Child), bob);
        IAssets.Registration memory r = registration(bob, one(licenceId));
        r.termsIds = new bytes32[](1);
        r.termsIds[0] = tooLow;
        vm.expectRevert(abi.encodeWithSelector(ILicences.RateBelowParents.selector, 0, 999, 1000));
        vm.prank(bob);
        assets.register(r);
        // Without the right to derive no chain can be cut.
        ILicences.Terms memory access = plainTerms();
        access.rights = ACCESS;
        offer(shell, access);
        offer(shell, deriveTerms(1000, ILicences.Reach.All));
    }

    /// PAY-7: a purchase signed off the ledger is bound to asset, terms, recipient and price, and serves once.
    function test_PAY_7_a_signed_purchase_buys_what_was_signed() external {
        ITestUSD usd = ITestUSD(vm.deployCode("TestUSD.sol:TestUSD"));
        list(address(usd));
        (address signer, uint256 key) = makeAddrAndKey("signer");
        usd.mint(signer, 5000);
        uint256 assetId = root(alice);
        uint256 otherAsset = root(bob);
        ILicences.Terms memory terms = pricedTerms(1000);
        terms.currency = address(usd);
        bytes32 termsId = offer(assetId, terms);
        offer(otherAsset, terms);
        terms.price = 1001;
        bytes32 dearer = offer(assetId, terms);

        ILicences.Authorization memory signed =
            _sign(usd, signer, key, 1000, licences.authorizationNonce(assetId, termsId, carol, "salt"));
        vm.startPrank(stranger);
        // Known fault: signatures without a destination. Another recipient, asset, terms or salt is another nonce.
        bytes memory wrong = abi.encodeWithSelector(ITestUSD.ERC3009InvalidSignature.selector);
        vm.expectRevert(wrong);
        licences.buyWithAuthorization(assetId, termsId, stranger, "salt", signed);
        vm.expectRevert(wrong);
        licences.buyWithAuthorization(otherAsset, termsId, carol, "salt", signed);
        vm.expectRevert(wrong);
        licences.buyWithAuthorization(assetId, dearer, carol, "salt", signed);
        vm.expectRevert(wrong);
        licences.buyWithAuthorization(assetId, termsId, carol, "other", signed);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.OnlyLicences.selector, stranger));
        royalties.creditAuthorizedPurchase(assetId, address(usd), signer, 1000, 0, 0, 0, "");
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.OnlyLicences.selector, stranger));
        royalties.creditPurchase(assetId, address(token), payer, 1000);

        uint256 licenceId = licences.buyWithAuthorization(assetId, termsId, carol, "salt", signed);
        assertEq(licences.ownerOf(licenceId), carol);
        assertEq(usd.balanceOf(signer), 4000);
        assertEq(royalties.claimable(assetId, address(usd), alice), 1000);
        bytes32 nonce = licences.authorizationNonce(assetId, termsId, carol, "salt");
        vm.expectRevert(abi.encodeWithSelector(ITestUSD.ERC3009UsedAuthorization.selector, signer, nonce));
        licences.buyWithAuthorization(assetId, termsId, carol, "salt", signed);
        vm.stopPrank();

        bytes32 gratis = offer(assetId, plainTerms());
        vm.expectRevert(abi.encodeWithSelector(ILicences.NothingToPay.selector, gratis));
        licences.buyWithAuthorization(assetId, gratis, carol, "salt", signed);
    }

    /// Known fault: signatures without a chain. The token's domain has it, so the same signature fails elsewhere.
    function test_a_signed_purchase_serves_on_one_chain() external {
        ITestUSD usd = ITestUSD(vm.deployCode("TestUSD.sol:TestUSD"));
        list(address(usd));
        (address signer, uint256 key) = makeAddrAndKey("signer");
        usd.mint(signer, 5000);
        uint256 assetId = root(alice);
        ILicences.Terms memory terms = pricedTerms(1000);
        terms.currency = address(usd);
        bytes32 termsId = offer(assetId, terms);
        ILicences.Authorization memory signed =
            _sign(usd, signer, key, 1000, licences.authorizationNonce(assetId, termsId, carol, "salt"));
        vm.chainId(block.chainid + 1);
        vm.expectRevert(abi.encodeWithSelector(ITestUSD.ERC3009InvalidSignature.selector));
        licences.buyWithAuthorization(assetId, termsId, carol, "salt", signed);
    }

    function test_interfaces_are_announced() external view {
        assertTrue(licences.supportsInterface(0x80ac58cd));
        assertTrue(licences.supportsInterface(0x2a55205a));
        assertTrue(licences.supportsInterface(type(IERC5643).interfaceId));
        assertEq(type(IERC5643).interfaceId, bytes4(0x8c65f84d));
    }

    function _subscription(uint256 price) private view returns (ILicences.Terms memory terms) {
        terms = pricedTerms(price);
        terms.period = 30 days;
        terms.renewable = true;
    }

    function _refusedTerms(ILicences.Terms memory terms, bytes memory reason) private {
        vm.expectRevert(reason);
        licences.defineTerms(terms);
    }

    /// The type hash is written out here: with a wrong one in the token or the collector the purchase would fail.
    function _sign(ITestUSD usd, address signer, uint256 key, uint256 value, bytes32 nonce)
        private
        view
        returns (ILicences.Authorization memory)
    {
        uint256 before = block.timestamp + 1 hours;
        bytes32 structHash =
            keccak256(abi.encode(RECEIVE_TYPEHASH, signer, address(royalties), value, 0, before, nonce));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", usd.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return ILicences.Authorization({
            from: signer, validAfter: 0, validBefore: before, signature: abi.encodePacked(r, s, v)
        });
    }
}
