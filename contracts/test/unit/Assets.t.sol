// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "../../src/interfaces/IAssets.sol";
import {IERC5646} from "../../src/interfaces/IERC5646.sol";
import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {IShares} from "../../src/interfaces/IShares.sol";
import {CodeStore} from "../../src/libraries/CodeStore.sol";
import {CoreFixture} from "../support/CoreFixture.sol";
import {stdError} from "forge-std/StdError.sol";

contract AssetsTest is CoreFixture {
    function test_register_writes_all_and_says_so() external {
        bytes32 termsId = licences.defineTerms(plainTerms());
        IAssets.Registration memory r = registration(alice, none());
        r.termsIds = new bytes32[](1);
        r.termsIds[0] = termsId;
        uint256 expected = assets.assetIdOf(alice, r.salt);

        vm.expectEmit(address(assets));
        emit IAssets.Registered(expected, alice, r.kind, r.resaleBps, r.salt, none(), none());
        vm.expectEmit(address(assets));
        emit IAssets.VersionPublished(expected, 1, r.manifestCid, r.contentRoot, r.keyCommitment);
        vm.expectEmit(address(licences));
        emit ILicences.Offered(expected, termsId);
        vm.prank(alice);
        uint256 assetId = assets.register(r);

        assertEq(assetId, expected);
        IAssets.Asset memory asset = assets.asset(assetId);
        assertEq(asset.controller, alice);
        assertEq(uint256(asset.kind), uint256(IAssets.AssetKind.Model));
        assertEq(asset.resaleBps, 500);
        assertEq(asset.versions, 1);
        assertEq(asset.edges, 0);
        assertEq(assets.balanceOf(alice), 1);
        assertEq(shares.balanceOf(alice, assetId), UNITS);
        (bool live, uint256 sold) = licences.offerOf(assetId, termsId);
        assertTrue(live);
        assertEq(sold, 0);
    }

    function test_an_id_is_the_low_128_bits_of_the_documented_hash() external view {
        bytes32 salt = keccak256("salt");
        uint256 hash = uint256(keccak256(abi.encode(block.chainid, address(assets), alice, salt)));
        assertEq(assets.assetIdOf(alice, salt), hash & type(uint128).max);
    }

    /// Known fault: squatting on another's registration. Whoever copies a registration gets another id.
    function test_nobody_can_squat_on_anothers_registration() external {
        IAssets.Registration memory r = registration(alice, none());
        vm.prank(stranger);
        uint256 squatted = assets.register(r);
        vm.prank(alice);
        uint256 assetId = assets.register(r);
        assertNotEq(assetId, squatted);
        assertEq(assets.ownerOf(assetId), alice);
    }

    function test_a_salt_serves_a_registrant_once() external {
        IAssets.Registration memory r = registration(alice, none());
        vm.startPrank(alice);
        uint256 assetId = assets.register(r);
        vm.expectRevert(abi.encodeWithSelector(IAssets.AssetExists.selector, assetId));
        assets.register(r);
    }

    function test_register_refuses_bad_input() external {
        IAssets.Registration memory r = registration(alice, none());
        vm.startPrank(alice);

        r.manifestCid = "";
        vm.expectRevert(abi.encodeWithSelector(IAssets.ManifestCidLength.selector, 0));
        assets.register(r);
        r.manifestCid = new bytes(129);
        vm.expectRevert(abi.encodeWithSelector(IAssets.ManifestCidLength.selector, 129));
        assets.register(r);

        r = registration(alice, none());
        r.resaleBps = 10_001;
        vm.expectRevert(abi.encodeWithSelector(IAssets.ResaleAboveLimit.selector, 10_001));
        assets.register(r);

        r = registration(alice, none());
        r.termsIds = new bytes32[](1);
        r.termsIds[0] = "unknown";
        vm.expectRevert(abi.encodeWithSelector(ILicences.UnknownTerms.selector, bytes32("unknown")));
        assets.register(r);
    }

    /// ACC-1: only the controller publishes; PAY-3: what was published stays.
    function test_ACC_1_PAY_3_only_the_controller_appends_versions() external {
        uint256 assetId = root(alice);
        bytes32 first = assets.versionCommitment(assetId, 1);
        assertEq(
            first,
            keccak256(
                abi.encode(
                    keccak256(hex"0171122000112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
                    keccak256("content"),
                    keccak256("key")
                )
            )
        );

        vm.expectRevert(abi.encodeWithSelector(IAssets.NotController.selector, assetId, stranger));
        vm.prank(stranger);
        assets.publishVersion(assetId, "cid", "root", "key");

        vm.prank(alice);
        assets.approve(bob, assetId);
        vm.expectEmit(address(assets));
        emit IAssets.VersionPublished(assetId, 2, "cid", "root", "key");
        vm.prank(bob);
        assertEq(assets.publishVersion(assetId, "cid", "root", "key"), 2);
        assertEq(assets.versionCount(assetId), 2);
        assertEq(assets.versionCommitment(assetId, 1), first);

        vm.prank(alice);
        assets.transferFrom(alice, carol, assetId);
        vm.expectRevert(abi.encodeWithSelector(IAssets.NotController.selector, assetId, alice));
        vm.prank(alice);
        assets.publishVersion(assetId, "cid", "root", "key");
        vm.expectRevert(abi.encodeWithSelector(IAssets.NotController.selector, assetId, bob));
        vm.prank(bob);
        assets.publishVersion(assetId, "cid", "root", "key");
    }

    function test_publish_refuses_an_unknown_asset() external {
        vm.expectRevert(abi.encodeWithSelector(IAssets.UnknownAsset.selector, 1));
        assets.publishVersion(1, "cid", "root", "key");
    }

    /// LIN-1, LIN-2: an edge for each parent, and the rates of reach `All` from there on down.
    function test_LIN_1_rates_of_reach_all_go_down_to_every_descendant() external {
        uint256 grandparent = root(alice);
        uint256 parent = child(bob, grandparent, 1000, ILicences.Reach.All);
        uint256 grandchild = child(carol, parent, 500, ILicences.Reach.All);
        IAssets.Edge[] memory edges = assets.edgesOf(grandchild);
        assertEq(edges.length, 2);
        for (uint256 i = 0; i < 2; ++i) {
            assertEq(edges[i].all[2], edges[i].parentId == parent ? 500 : 1000);
            assertEq(edges[i].child[2], 0);
        }
        assertLt(edges[0].parentId, edges[1].parentId);
    }

    function test_LIN_1_rates_of_reach_child_end_at_the_child() external {
        uint256 grandparent = root(alice);
        uint256 parent = child(bob, grandparent, 1000, ILicences.Reach.Child);
        assertEq(assets.edgesOf(parent)[0].child[3], 1000);
        uint256 grandchild = child(carol, parent, 1500, ILicences.Reach.All);
        IAssets.Edge[] memory edges = assets.edgesOf(grandchild);
        assertEq(edges.length, 1);
        assertEq(edges[0].parentId, parent);
    }

    function test_LIN_1_of_an_edge_with_both_reaches_only_all_goes_down() external {
        uint256 top = root(alice);
        uint256 reachAll = buy(top, deriveTerms(300, ILicences.Reach.All), bob);
        uint256 reachChild = buy(top, deriveTerms(200, ILicences.Reach.Child), bob);
        uint256 middle = register(bob, two(reachAll, reachChild));
        uint256 bottom = child(carol, middle, 200, ILicences.Reach.All);
        IAssets.Edge[] memory edges = assets.edgesOf(bottom);
        assertEq(edges.length, 2);
        IAssets.Edge memory toTop = edges[0].parentId == top ? edges[0] : edges[1];
        assertEq(toTop.parentId, top);
        assertEq(toTop.all[0], 300);
        assertEq(toTop.child[0], 0);
    }

    /// Known fault: the same parent twice. One edge, the highest rate of each kind and reach.
    function test_the_same_parent_twice_makes_one_edge() external {
        uint256 parent = root(alice);
        ILicences.Terms memory low = plainTerms();
        low.rates = [uint16(100), 900, 0, 5];
        ILicences.Terms memory high = plainTerms();
        high.rates = [uint16(200), 300, 0, 5];
        ILicences.Terms memory direct = deriveTerms(50, ILicences.Reach.Child);
        uint256[] memory licenceIds = new uint256[](3);
        licenceIds[0] = buy(parent, low, bob);
        licenceIds[1] = buy(parent, high, bob);
        licenceIds[2] = buy(parent, direct, bob);
        uint256 childId = register(bob, ascending(licenceIds));
        IAssets.Edge[] memory edges = assets.edgesOf(childId);
        assertEq(edges.length, 1);
        assertEq(edges[0].all[0], 200);
        assertEq(edges[0].all[1], 900);
        assertEq(edges[0].all[2], 0);
        assertEq(edges[0].all[3], 5);
        assertEq(edges[0].child[1], 50);
        (uint256[4] memory own, uint256[4] memory inherited) = assets.rateSums(childId);
        assertEq(own[1], 950);
        assertEq(inherited[1], 50);
    }

    /// Known fault: duplicate ids in a batch. A licence named twice would serve two works at the price of one.
    function test_a_licence_twice_is_refused() external {
        uint256 licenceId = buy(root(alice), plainTerms(), bob);
        uint256[] memory licenceIds = new uint256[](2);
        (licenceIds[0], licenceIds[1]) = (licenceId, licenceId);
        IAssets.Registration memory r = registration(bob, licenceIds);
        vm.expectRevert(abi.encodeWithSelector(IAssets.LicencesNotAscending.selector, 1));
        vm.prank(bob);
        assets.register(r);
    }

    /// Known fault: paying twice through a diamond. Two paths to one ancestor make one edge at the higher rate.
    function test_a_diamond_makes_one_edge_and_one_payment() external {
        uint256 top = root(alice);
        uint256 left = child(bob, top, 1000, ILicences.Reach.All);
        uint256 right = child(carol, top, 2000, ILicences.Reach.All);
        uint256 licenceLeft = buy(left, deriveTerms(500, ILicences.Reach.All), bob);
        uint256 licenceRight = buy(right, deriveTerms(500, ILicences.Reach.All), bob);
        uint256 bottom = register(bob, two(licenceLeft, licenceRight));
        assertEq(assets.edgesOf(bottom).length, 3);

        payInference(bottom, 10_000);
        flow(bottom);
        assertEq(inheritedOf(top, IRoyalties.Kind.Inference), 2000);
        flow(left);
        flow(right);
        assertEq(inheritedOf(top, IRoyalties.Kind.Inference), 2000);
    }

    /// Known fault: cycles by late parenting. Edges are born with the child; before that it can sell no licence, and
    /// afterwards its own licences can only make it a parent.
    function test_LIN_1_no_cycle_can_be_made() external {
        IAssets.Registration memory r = registration(alice, none());
        uint256 future = assets.assetIdOf(alice, r.salt);
        bytes32 termsId = licences.defineTerms(plainTerms());
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(IAssets.NotController.selector, future, alice));
        licences.offer(future, termsId);
        vm.expectRevert(abi.encodeWithSelector(IAssets.UnknownAsset.selector, future));
        licences.buy(future, termsId, alice, 0);
        vm.stopPrank();

        uint256 first = root(alice);
        uint256 second = child(alice, first, 100, ILicences.Reach.All);
        uint256 third = child(alice, second, 100, ILicences.Reach.All);
        assertEq(assets.edgesOf(first).length, 0);
        assertEq(assets.edgesOf(third).length, 2);
    }

    /// LIN-2, and the known fault of checking only the first element of an array: each licence is checked.
    function test_LIN_2_every_licence_must_carry_the_right() external {
        uint256 good = buy(root(alice), plainTerms(), bob);

        ILicences.Terms memory withoutRight = plainTerms();
        withoutRight.rights = ACCESS;
        uint256 rightless = buy(root(alice), withoutRight, bob);
        IAssets.Registration memory r = registration(bob, two(good, rightless));
        vm.expectRevert(abi.encodeWithSelector(ILicences.NoRightToDerive.selector, rightless));
        vm.prank(bob);
        assets.register(r);

        ILicences.Terms memory brief = plainTerms();
        brief.period = 1 days;
        uint256 brieflyValid = buy(root(alice), brief, bob);
        uint256 until = block.timestamp + 1 days;
        vm.warp(until);
        r = registration(bob, two(good, brieflyValid));
        vm.expectRevert(abi.encodeWithSelector(ILicences.Expired.selector, brieflyValid, until));
        vm.prank(bob);
        assets.register(r);

        uint256 anothers = buy(root(alice), plainTerms(), carol);
        r = registration(bob, two(good, anothers));
        vm.expectRevert(abi.encodeWithSelector(ILicences.NotLicensee.selector, anothers, bob));
        vm.prank(bob);
        assets.register(r);

        r = registration(bob, one(type(uint256).max));
        vm.expectRevert(abi.encodeWithSelector(ILicences.UnknownLicence.selector, type(uint256).max));
        vm.prank(bob);
        assets.register(r);
    }

    /// LIN-2: derivations are counted across transfers of the licence.
    function test_LIN_2_a_licence_serves_as_many_works_as_its_terms_say() external {
        ILicences.Terms memory terms = plainTerms();
        terms.derivations = 2;
        uint256 licenceId = buy(root(alice), terms, bob);
        register(bob, one(licenceId));
        vm.prank(bob);
        licences.transferFrom(bob, carol, licenceId);
        register(carol, one(licenceId));
        assertEq(licences.licence(licenceId).derivationsUsed, 2);
        IAssets.Registration memory r = registration(carol, one(licenceId));
        vm.expectRevert(abi.encodeWithSelector(ILicences.NoDerivationsLeft.selector, licenceId, 2));
        vm.prank(carol);
        assets.register(r);
    }

    /// A child made before the expiry stays, with its edges.
    function test_PAY_3_an_edge_outlives_its_licence() external {
        uint256 parent = root(alice);
        ILicences.Terms memory terms = deriveTerms(700, ILicences.Reach.All);
        terms.period = 1 days;
        uint256 childId = register(bob, one(buy(parent, terms, bob)));
        vm.warp(block.timestamp + 365 days);
        assertEq(assets.edgesOf(childId)[0].all[0], 700);
        payInference(childId, 10_000);
        flow(childId);
        assertEq(inheritedOf(parent, IRoyalties.Kind.Inference), 700);
    }

    /// Sums that wrap in narrow lanes read as small: 9,000 + 9,000 is 1,616 in 14 bits.
    function test_rates_of_all_edges_sum_to_9000_at_most() external {
        uint256 first = buy(root(alice), deriveTerms(9000, ILicences.Reach.All), bob);
        register(bob, one(first));
        uint256 second = buy(root(alice), deriveTerms(9000, ILicences.Reach.Child), bob);
        IAssets.Registration memory r = registration(bob, two(first, second));
        vm.expectRevert(abi.encodeWithSelector(IAssets.RatesAboveLimit.selector, 0, 18_000));
        vm.prank(bob);
        assets.register(r);
    }

    function test_an_asset_has_64_edges_at_most() external {
        uint256[] memory licenceIds = new uint256[](65);
        ILicences.Terms memory terms = deriveTerms(10, ILicences.Reach.All);
        for (uint256 i = 0; i < 65; ++i) {
            licenceIds[i] = buy(root(alice), terms, bob);
        }
        ascending(licenceIds);
        IAssets.Registration memory r = registration(bob, licenceIds);
        vm.expectRevert(abi.encodeWithSelector(IAssets.TooManyEdges.selector, 65));
        vm.prank(bob);
        assets.register(r);

        uint256[] memory fewer = new uint256[](64);
        for (uint256 i = 0; i < 64; ++i) {
            fewer[i] = licenceIds[i];
        }
        uint256 childId = register(bob, fewer);
        IAssets.Edge[] memory edges = assets.edgesOf(childId);
        assertEq(edges.length, 64);
        for (uint256 i = 0; i < 64; ++i) {
            assertEq(edges[i].parentId, fewer[i] >> 128);
            assertEq(edges[i].all[1], 10);
        }
        payInference(childId, 1_000_000);
        flow(childId);
        for (uint256 i = 0; i < 64; ++i) {
            assertEq(inheritedOf(fewer[i] >> 128, IRoyalties.Kind.Inference), 1000);
        }
    }

    /// Edges live in slots up to two, as code from three on.
    function test_edges_read_the_same_from_slots_and_from_code() external {
        for (uint256 parents = 1; parents <= 5; ++parents) {
            uint256[] memory licenceIds = new uint256[](parents);
            for (uint256 i = 0; i < parents; ++i) {
                // forge-lint: disable-next-line(unsafe-typecast)
                ILicences.Terms memory terms = deriveTerms(uint16(i + 1), ILicences.Reach(i % 2));
                licenceIds[i] = buy(root(alice), terms, bob);
            }
            uint256[] memory sorted = ascending(licenceIds);
            uint256 childId = register(bob, sorted);
            IAssets.Edge[] memory edges = assets.edgesOf(childId);
            assertEq(edges.length, parents);
            uint256 sum;
            for (uint256 i = 0; i < parents; ++i) {
                assertEq(edges[i].parentId, sorted[i] >> 128);
                sum += edges[i].all[0] + edges[i].child[0];
            }
            assertEq(sum, parents * (parents + 1) / 2);
        }
    }

    function test_code_store_addresses_are_the_ledgers() external view {
        uint32[9] memory nonces = [uint32(1), 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0xffffff, type(uint32).max];
        for (uint256 i = 0; i < nonces.length; ++i) {
            assertEq(
                CodeStore.addressOf(address(assets), nonces[i]), vm.computeCreateAddress(address(assets), nonces[i])
            );
        }
    }

    /// A buyer of control must not be surprised in the block of the sale.
    function test_the_fingerprint_covers_versions_offers_grants_and_licences() external {
        uint256 assetId = root(alice);
        bytes32[6] memory seen;
        seen[0] = assets.getStateFingerprint(assetId);
        bytes32 termsId = offer(assetId, plainTerms());
        seen[1] = assets.getStateFingerprint(assetId);
        vm.prank(bob);
        licences.buy(assetId, termsId, bob, 0);
        seen[2] = assets.getStateFingerprint(assetId);
        vm.startPrank(alice);
        licences.withdraw(assetId, termsId);
        seen[3] = assets.getStateFingerprint(assetId);
        royalties.grant(assetId, IRoyalties.Kind.Inference, bob, 100);
        seen[4] = assets.getStateFingerprint(assetId);
        assets.publishVersion(assetId, "cid", 0, 0);
        seen[5] = assets.getStateFingerprint(assetId);
        vm.stopPrank();
        for (uint256 i = 0; i < seen.length; ++i) {
            for (uint256 j = 0; j < i; ++j) {
                assertNotEq(seen[i], seen[j]);
            }
        }
        payInference(assetId, 1000);
        assertEq(assets.getStateFingerprint(assetId), seen[5]);
    }

    function test_resale_royalties_go_to_the_resale_till() external {
        uint256 assetId = root(alice);
        address till = royalties.till(assetId, IRoyalties.Kind.Resale, address(0), 0);
        uint256 licenceId = buy(assetId, plainTerms(), bob);
        (address to, uint256 amount) = assets.royaltyInfo(assetId, 1_000_000);
        assertEq(to, till);
        assertEq(amount, 50_000);
        (to, amount) = shares.royaltyInfo(assetId, 1_000_000);
        assertEq(to, till);
        (to, amount) = licences.royaltyInfo(licenceId, type(uint256).max);
        assertEq(to, till);
        assertEq(amount, type(uint256).max / 20);
    }

    function test_interfaces_are_announced() external view {
        assertTrue(assets.supportsInterface(type(IERC5646).interfaceId));
        assertTrue(assets.supportsInterface(0x80ac58cd));
        assertTrue(assets.supportsInterface(0x2a55205a));
        assertTrue(assets.supportsInterface(0x49064906));
        assertEq(type(IERC5646).interfaceId, bytes4(0xf5112315));
        assertFalse(assets.supportsInterface(0xffffffff));
    }

    /// Known fault: only the first element of an array checked.
    function test_shares_must_sum_and_every_holder_must_be_one() external {
        IAssets.Registration memory r = registration(alice, none());
        vm.startPrank(alice);
        r.holders = new address[](2);
        r.units = new uint256[](2);
        (r.holders[0], r.holders[1]) = (alice, bob);

        (r.units[0], r.units[1]) = (500_000, 500_001);
        vm.expectRevert(abi.encodeWithSelector(IShares.UnitsDoNotSum.selector, 1_000_001));
        assets.register(r);
        (r.units[0], r.units[1]) = (500_000, 499_999);
        vm.expectRevert(abi.encodeWithSelector(IShares.UnitsDoNotSum.selector, 999_999));
        assets.register(r);
        (r.units[0], r.units[1]) = (UNITS, 0);
        vm.expectRevert(abi.encodeWithSelector(IShares.NoUnits.selector, 1));
        assets.register(r);
        (r.units[0], r.units[1]) = (500_000, 500_000);
        r.holders[1] = address(0);
        vm.expectRevert(abi.encodeWithSignature("ERC1155InvalidReceiver(address)", address(0)));
        assets.register(r);
        r.units = one(UNITS);
        vm.expectRevert(abi.encodeWithSelector(IShares.HoldersAndUnits.selector, 2, 1));
        assets.register(r);
        r.holders = new address[](0);
        r.units = none();
        vm.expectRevert(abi.encodeWithSelector(IShares.HoldersAndUnits.selector, 0, 0));
        assets.register(r);
        // A sum that would be 1,000,000 again after it wrapped.
        r.holders = new address[](3);
        r.units = new uint256[](3);
        (r.holders[0], r.holders[1], r.holders[2]) = (alice, bob, carol);
        (r.units[0], r.units[1], r.units[2]) = (2, type(uint256).max - 1, UNITS);
        vm.expectRevert(stdError.arithmeticError);
        assets.register(r);
    }
}
