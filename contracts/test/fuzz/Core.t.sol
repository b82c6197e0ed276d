// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "../../src/interfaces/IAssets.sol";
import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {Edges} from "../../src/libraries/Edges.sol";
import {CoreFixture} from "../support/CoreFixture.sol";

contract CoreFuzzTest is CoreFixture {
    using Edges for Edges.List;

    IRoyalties.Kind private constant INFERENCE = IRoyalties.Kind.Inference;
    /// What the operator of a family's last work is granted of what comes through its till.
    uint16 private constant OPERATOR_BPS = 1234;
    /// A bit for each of a family's tills.
    uint256 private constant ALL_TILLS = 63;

    /// PAY-2: each reach of an edge is below exact arithmetic by less than a unit, and what is left over is under one
    /// unit for each of these parts and one for each of the shares' two; it is never paid.
    function testFuzz_PAY_2_edges_differ_from_exact_by_less_than_a_unit(
        uint16 allRate,
        uint16 childRate,
        uint96 own,
        uint96 fromBelow
    ) external {
        allRate = uint16(bound(allRate, 0, 4500));
        childRate = uint16(bound(childRate, 0, 4500));
        uint256 first = root(alice);
        uint256 second = root(alice);
        uint256 licenceAll = buy(first, deriveTerms(allRate, ILicences.Reach.All), bob);
        uint256 licenceChild = buy(second, deriveTerms(childRate, ILicences.Reach.Child), bob);
        uint256 middle = register(bob, two(licenceAll, licenceChild));
        uint256 bottom = child(carol, middle, 4500, ILicences.Reach.All);
        if (own != 0) payInference(middle, own);
        if (fromBelow != 0) payInference(bottom, fromBelow);
        flow(bottom);
        flow(middle);

        uint256 inherited = inheritedOf(middle, INFERENCE);
        assertEq(inherited, uint256(fromBelow) * 4500 / 10_000);
        uint256 toFirst = inheritedOf(first, INFERENCE) - uint256(fromBelow) * allRate / 10_000;
        uint256 toSecond = inheritedOf(second, INFERENCE);
        _lessThanAUnitBelow(toFirst, uint256(own) * allRate);
        _lessThanAUnitBelow(toSecond, (uint256(own) + inherited) * childRate);
        uint256 remainder = uint256(own) + inherited - toFirst - toSecond - royalties.sharesOwed(middle, address(token));
        assertLt(remainder, 4);
    }

    /// PAY-4: any interleaving of payments, sweeps, flows and claims ends in the same totals and credits.
    function testFuzz_PAY_4_order_does_not_matter(uint64[12] memory amounts, uint256 ways, uint256 order) external {
        (uint256[3] memory left, address[3] memory owners) = _family();
        (uint256[3] memory right,) = _family();
        uint256[3] memory claimed;
        uint256 claimedByOperator;
        for (uint256 i = 0; i < 12; ++i) {
            uint256 amount = bound(amounts[i], 1, type(uint64).max);
            // One family does nothing but receive, and empties each till at once; in the other what lies in the tills
            // waits, and everything happens in between.
            _receive(left, ways >> 16 * i, amount);
            _sweep(left, ALL_TILLS);
            _receive(right, ways >> 16 * i, amount);
            uint256 step = order >> 16 * i;
            _sweep(right, step & ALL_TILLS);
            if (step & 1 << 6 != 0) royalties.flow(right[2], address(token), step >> 7 & 15 | 1);
            if (step & 1 << 11 != 0) royalties.flow(right[1], address(token), step >> 7 & 15 | 4);
            if (step & 1 << 12 != 0) claimed[step % 3] += claim(right[step % 3], owners[step % 3]);
            if (step & 1 << 13 != 0) claimedByOperator += _claimAsOperator(right[2]);
        }
        _sweep(right, ALL_TILLS);
        flow(left[2]);
        flow(left[1]);
        flow(right[2]);
        flow(right[1]);
        assertEq(claimedByOperator + _claimAsOperator(right[2]), _claimAsOperator(left[2]));
        for (uint256 i = 0; i < 3; ++i) {
            (uint256[4] memory own, uint256[4] memory inherited) = royalties.revenue(left[i], address(token));
            (uint256[4] memory ownToo, uint256[4] memory inheritedToo) = royalties.revenue(right[i], address(token));
            for (uint256 kind = 0; kind < 4; ++kind) {
                assertEq(own[kind], ownToo[kind]);
                assertEq(inherited[kind], inheritedToo[kind]);
            }
            uint256 before = token.balanceOf(owners[i]);
            uint256 atOnce = claim(left[i], owners[i]);
            assertEq(token.balanceOf(owners[i]) - before, atOnce);
            claimed[i] += claim(right[i], owners[i]);
            assertEq(claimed[i], atOnce);
            assertEq(royalties.sharesOwed(left[i], address(token)), royalties.sharesOwed(right[i], address(token)));
            assertEq(atOnce, royalties.sharesOwed(right[i], address(token)));
        }
    }

    /// PAY-4 with operators: what the shares are owed never falls, and does not depend on which till was swept first.
    function testFuzz_PAY_4_operators_do_not_bring_order_into_it(
        uint16 rate,
        uint16 firstBps,
        uint16 secondBps,
        uint32[6] memory amounts
    ) external {
        rate = uint16(bound(rate, 0, 9000));
        uint256 most = rate > 5000 ? 10_000 - rate : 5000;
        firstBps = uint16(bound(firstBps, 1, most));
        secondBps = uint16(bound(secondBps, 1, most));
        uint256 parent = root(alice);
        uint256[2] memory twins =
            [child(bob, parent, rate, ILicences.Reach.All), child(bob, parent, rate, ILicences.Reach.All)];
        for (uint256 twin = 0; twin < 2; ++twin) {
            vm.startPrank(bob);
            royalties.grant(twins[twin], INFERENCE, carol, firstBps);
            royalties.grant(twins[twin], INFERENCE, stranger, secondBps);
            vm.stopPrank();
            uint256 owed;
            for (uint256 j = 0; j < 6; ++j) {
                uint256 i = twin == 0 ? j : 5 - j;
                uint256 amount = bound(amounts[i], 1, 1000);
                if (i % 2 == 0) throughTill(twins[twin], carol, firstBps, amount);
                else throughTill(twins[twin], stranger, secondBps, amount);
                uint256 now_ = royalties.sharesOwed(twins[twin], address(token));
                assertGe(now_, owed);
                owed = now_;
            }
            flow(twins[twin]);
        }
        assertEq(royalties.sharesOwed(twins[0], address(token)), royalties.sharesOwed(twins[1], address(token)));
        for (uint256 twin = 0; twin < 2; ++twin) {
            uint256 paidOut = royalties.sharesOwed(twins[twin], address(token))
                + royalties.operatorClaimable(twins[twin], INFERENCE, carol, firstBps, address(token))
                + royalties.operatorClaimable(twins[twin], INFERENCE, stranger, secondBps, address(token))
                + ownOf(twins[twin], INFERENCE) * rate / 10_000;
            assertLe(paidOut, ownOf(twins[twin], INFERENCE));
            assertLt(ownOf(twins[twin], INFERENCE) - paidOut, 5);
        }
    }

    /// PAY-9: whatever the controller of a child grants, offers, registers in between or sells to itself, a parent of
    /// reach `All` gets its rate of what reaches a till.
    function testFuzz_PAY_9_no_choice_of_the_controller_lowers_a_parents_part(
        uint16 rate,
        uint16 operatorBps,
        uint16 shellRate,
        uint8 shells,
        uint64 amount
    ) external {
        rate = uint16(bound(rate, 1, 4000));
        shellRate = uint16(bound(shellRate, 0, 1000));
        shells = uint8(bound(shells, 0, 4));
        uint256 parent = root(alice);
        uint256 work = child(bob, parent, rate, ILicences.Reach.All);
        for (uint256 i = 0; i < shells; ++i) {
            work = child(bob, work, shellRate, ILicences.Reach(i % 2));
        }
        (uint256[4] memory sums,) = assets.rateSums(work);
        uint256 most = 10_000 - sums[2];
        operatorBps = uint16(bound(operatorBps, 1, most < 5000 ? most : 5000));
        vm.prank(bob);
        royalties.grant(work, INFERENCE, bob, operatorBps);
        throughTill(work, bob, operatorBps, bound(amount, 1, type(uint64).max));
        flow(work);
        assertGe(inheritedOf(parent, INFERENCE), ownOf(work, INFERENCE) * rate / 10_000);
    }

    /// PAY-5: any sequence of payments and transfers divides revenue by the units held at the time, exactly.
    function testFuzz_PAY_5_holders_get_units_times_growth(uint64[10] memory amounts, uint256 moves) external {
        uint256 assetId = root(alice);
        address[3] memory holders = [alice, bob, carol];
        uint256[3] memory units = [UNITS, uint256(0), 0];
        uint256[3] memory owedMillionths;
        for (uint256 i = 0; i < 10; ++i) {
            uint256 amount = bound(amounts[i], 1, type(uint64).max);
            pay(assetId, IRoyalties.Kind(i % 4), amount);
            for (uint256 h = 0; h < 3; ++h) {
                owedMillionths[h] += units[h] * amount;
            }
            uint256 move = moves >> 24 * i;
            (uint256 from, uint256 to) = (move % 3, (move >> 2) % 3);
            uint256 moved = bound(move >> 4, 0, units[from]);
            moveShares(assetId, holders[from], holders[to], moved);
            units[from] -= moved;
            units[to] += moved;
            if (move >> 3 & 1 != 0) owedMillionths[to] -= claim(assetId, holders[to]) * 1e6;
        }
        uint256 fractions;
        for (uint256 h = 0; h < 3; ++h) {
            assertEq(claim(assetId, holders[h]), owedMillionths[h] / 1e6);
            fractions += owedMillionths[h] % 1e6;
        }
        // The whole difference is fractions that add up to whole units not yet paid.
        assertEq(token.balanceOf(address(royalties)) * 1e6, fractions);
    }

    /// PAY-8: a freeze changes when the shares' part is paid, never the parents' part nor another asset's.
    function testFuzz_PAY_8_a_freeze_diverts_only_what_it_says(uint64 early, uint64 late, uint32 wait, bool toClaimant)
        external
    {
        uint256 first = bound(early, 1, type(uint64).max);
        uint256 second = bound(late, 1, type(uint64).max);
        wait = uint32(bound(wait, 0, 180 days));
        uint256 parent = root(alice);
        uint256 childId = child(bob, parent, 1234, ILicences.Reach.All);
        uint256 bystander = root(carol);
        payInference(childId, first);
        vm.prank(arbiter);
        royalties.freeze(childId);
        uint256 before = royalties.sharesOwed(childId, address(token));
        payInference(childId, second);
        payInference(bystander, second);
        assertEq(claim(bystander, carol), second);
        assertEq(royalties.sharesOwed(childId, address(token)), before);
        flow(childId);
        assertEq(claim(parent, alice), (first + second) * 1234 / 10_000);

        vm.warp(block.timestamp + wait);
        uint256 all = (first + second) * (10_000 - 1234) / 10_000;
        if (wait < 90 days) {
            assertEq(royalties.held(childId, address(token)), all - before);
            vm.prank(arbiter);
            royalties.rule(childId, toClaimant ? stranger : address(0));
        }
        bool taken = wait < 90 days && toClaimant;
        assertEq(royalties.award(stranger, address(token)), taken ? all - before : 0);
        assertEq(claim(childId, bob), taken ? before : all);
    }

    /// LIN-1: inserting in any order gives one edge for each parent, ascending, with the highest rates.
    function testFuzz_LIN_1_edges_are_merged_into_order(uint8[20] memory parents, uint16[20] memory rates)
        external
        pure
    {
        Edges.List memory list;
        uint256[256] memory highest;
        uint256 distinct;
        for (uint256 i = 0; i < 20; ++i) {
            uint256 rate = bound(rates[i], 1, 9000);
            list.insert(Edges.pack(parents[i], rate << 14, rate));
            if (highest[parents[i]] == 0) ++distinct;
            if (rate > highest[parents[i]]) highest[parents[i]] = rate;
        }
        bytes memory lineage = Edges.toLineage(list.toArray());
        assertEq(Edges.count(lineage), distinct);
        for (uint256 i = 0; i < distinct; ++i) {
            uint256 edge = Edges.get(lineage, i);
            uint256 parent = Edges.parentOf(edge);
            if (i > 0) assertGt(parent, Edges.parentOf(Edges.get(lineage, i - 1)));
            assertEq(Edges.rate(Edges.allRates(edge), 1), highest[parent]);
            assertEq(Edges.rate(Edges.childRates(edge), 0), highest[parent]);
            assertEq(Edges.rate(Edges.allRates(edge), 0), 0);
        }
    }

    /// LIN-2: no set of licences registers a work unless each is held, unexpired, carries the right and has a derivation
    /// left; the fault named is that of the lowest id.
    function testFuzz_LIN_2_each_licence_counts(uint8 faults, uint8 parents) external {
        parents = uint8(bound(parents, 1, 8));
        uint256[] memory licenceIds = new uint256[](parents);
        uint256 lowest = type(uint256).max;
        bytes memory refusal;
        for (uint256 i = 0; i < parents; ++i) {
            if (faults >> i & 1 == 0) {
                licenceIds[i] = buy(root(alice), plainTerms(), bob);
                continue;
            }
            bytes memory found;
            (licenceIds[i], found) = _faultyLicence(i % 4);
            if (licenceIds[i] < lowest) (lowest, refusal) = (licenceIds[i], found);
        }
        vm.warp(block.timestamp + 1);
        IAssets.Registration memory r = registration(bob, ascending(licenceIds));
        if (refusal.length != 0) vm.expectRevert(refusal);
        vm.prank(bob);
        uint256 childId = assets.register(r);
        if (refusal.length == 0) assertEq(assets.edgesOf(childId).length, parents);
    }

    /// A licence that serves bob for no derivation a second later, and what says so.
    function _faultyLicence(uint256 fault) private returns (uint256 licenceId, bytes memory refusal) {
        ILicences.Terms memory terms = plainTerms();
        if (fault == 0) terms.rights = ACCESS;
        if (fault == 2) terms.period = 1;
        if (fault == 3) terms.derivations = 1;
        licenceId = buy(root(alice), terms, fault == 1 ? carol : bob);
        if (fault == 0) return (licenceId, abi.encodeWithSelector(ILicences.NoRightToDerive.selector, licenceId));
        if (fault == 1) return (licenceId, abi.encodeWithSelector(ILicences.NotLicensee.selector, licenceId, bob));
        if (fault == 2) {
            return (licenceId, abi.encodeWithSelector(ILicences.Expired.selector, licenceId, block.timestamp + 1));
        }
        register(bob, one(licenceId));
        return (licenceId, abi.encodeWithSelector(ILicences.NoDerivationsLeft.selector, licenceId, 1));
    }

    /// Three works in a row, each of reach `Child` to the one before, with the stranger as operator of the last.
    function _family() private returns (uint256[3] memory family, address[3] memory owners) {
        owners = [alice, bob, carol];
        family[0] = root(alice);
        family[1] = child(bob, family[0], 1111, ILicences.Reach.Child);
        family[2] = child(carol, family[1], 2222, ILicences.Reach.Child);
        vm.prank(carol);
        royalties.grant(family[2], INFERENCE, stranger, OPERATOR_BPS);
    }

    /// One of the family is paid, directly or into one of its tills.
    function _receive(uint256[3] memory family, uint256 way, uint256 amount) private {
        if (way & 1 == 0) {
            pay(family[(way >> 3) % 3], IRoyalties.Kind(way >> 1 & 3), amount);
            return;
        }
        (uint256 assetId, address operator, uint16 bps) = _tillOf(family, (way >> 1) % 6);
        address till = operatorTill(assetId, operator, bps);
        vm.prank(payer);
        token.transfer(till, amount);
    }

    /// Sweeps those tills of a family whose bits are set.
    function _sweep(uint256[3] memory family, uint256 tills) private {
        for (uint256 i = 0; i < 6; ++i) {
            if (tills >> i & 1 == 0) continue;
            (uint256 assetId, address operator, uint16 bps) = _tillOf(family, i);
            royalties.sweep(assetId, INFERENCE, operator, bps, address(token));
        }
    }

    /// Each work's own till, and the stranger's, which is granted a part by the last work alone.
    function _tillOf(uint256[3] memory family, uint256 i) private view returns (uint256, address, uint16) {
        return i % 2 == 0 ? (family[i / 2], address(0), uint16(0)) : (family[i / 2], stranger, OPERATOR_BPS);
    }

    function _claimAsOperator(uint256 assetId) private returns (uint256) {
        vm.prank(stranger);
        return royalties.claimOperator(assetId, INFERENCE, OPERATOR_BPS, address(token), stranger);
    }

    function _lessThanAUnitBelow(uint256 credit, uint256 exactScaled) private pure {
        assertLe(credit * 10_000, exactScaled);
        assertLt(exactScaled - credit * 10_000, 10_000);
    }
}
