// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "../../src/interfaces/IAssets.sol";
import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {IShares} from "../../src/interfaces/IShares.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Test} from "forge-std/Test.sol";

interface IDeployer {
    error OnlyOwner(address caller);
    error CreationFailed();

    function create(bytes memory initCode) external returns (address created);
}

/// What tests call of OpenZeppelin's `TimelockController`, which is compiled with the released contracts alone: were it
/// imported here, there would be a second one by its name.
interface ITimelock is IAccessControl {
    function DEFAULT_ADMIN_ROLE() external view returns (bytes32);
    function getMinDelay() external view returns (uint256 delay);
    function schedule(
        address target,
        uint256 value,
        bytes calldata data,
        bytes32 predecessor,
        bytes32 salt,
        uint256 delay
    ) external;
    function execute(address target, uint256 value, bytes calldata payload, bytes32 predecessor, bytes32 salt)
        external
        payable;
}

/// Deploys the core contracts in the order and with the arguments that `Deployer` prescribes.
abstract contract Deployment is Test {
    struct Parameters {
        uint256 governanceDelay;
        address proposer;
        address arbiter;
        address treasury;
        uint16 feeBps;
        address[] listed;
    }

    IDeployer internal deployer;
    ITimelock internal timelock;
    IAssets internal assets;
    IShares internal shares;
    ILicences internal licences;
    IRoyalties internal royalties;

    /// The caller becomes the deployer's owner.
    function deploySuite(Parameters memory parameters) internal {
        deployer = IDeployer(vm.deployCode("Deployer.sol:Deployer", abi.encode(address(this))));
        address[] memory proposers = new address[](1);
        proposers[0] = parameters.proposer;
        timelock = ITimelock(predicted(1));
        assets = IAssets(predicted(2));
        shares = IShares(predicted(3));
        licences = ILicences(predicted(4));
        royalties = IRoyalties(predicted(5));
        create(
            "TimelockController.sol:TimelockController",
            abi.encode(parameters.governanceDelay, proposers, proposers, address(0)),
            address(timelock)
        );
        create("Assets.sol:Assets", abi.encode(shares, licences, royalties), address(assets));
        create("Shares.sol:Shares", abi.encode(assets, royalties), address(shares));
        create("Licences.sol:Licences", abi.encode(assets, royalties), address(licences));
        create(
            "Royalties.sol:Royalties",
            abi.encode(
                assets,
                shares,
                licences,
                timelock,
                parameters.arbiter,
                parameters.treasury,
                parameters.feeBps,
                parameters.listed
            ),
            address(royalties)
        );
    }

    function predicted(uint256 nonce) internal view returns (address) {
        return vm.computeCreateAddress(address(deployer), nonce);
    }

    function create(string memory artifact, bytes memory arguments, address expected) private {
        assertEq(deployer.create(bytes.concat(vm.getCode(artifact), arguments)), expected, artifact);
    }
}
