// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {CoreFixture} from "../support/CoreFixture.sol";
import {IDeployer} from "../support/Deployment.sol";

contract DeploymentTest is CoreFixture {
    function test_only_the_owner_creates() external {
        vm.expectRevert(abi.encodeWithSelector(IDeployer.OnlyOwner.selector, stranger));
        vm.prank(stranger);
        deployer.create(hex"00");
    }

    /// A creation that fails does not move the count, so an interrupted deployment can go on where it was.
    function test_a_failed_creation_does_not_count() external {
        address next = predicted(6);
        vm.expectRevert(abi.encodeWithSelector(IDeployer.CreationFailed.selector));
        deployer.create(hex"fe");
        assertEq(deployer.create(hex"600160005360016000f3"), next);
    }

    function test_the_suite_starts_as_it_was_told() external view {
        assertEq(royalties.governor(), address(timelock));
        assertEq(royalties.arbiter(), arbiter);
        assertEq(royalties.treasury(), treasury);
        assertEq(royalties.feeBps(), 0);
        assertEq(uint256(royalties.listing(address(token))), uint256(IRoyalties.Listing.Listed));
        assertEq(timelock.getMinDelay(), 2 days);
        assertFalse(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), address(this)));
        // The first creation of Royalties, in its constructor.
        assertEq(royalties.tillImplementation(), vm.computeCreateAddress(address(royalties), 1));
    }
}
