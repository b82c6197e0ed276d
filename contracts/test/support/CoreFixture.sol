// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "../../src/interfaces/IAssets.sol";
import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {Deployment} from "./Deployment.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// A plain ERC-20, whose bare transfer between holders is 34k gas.
contract PlainToken is ERC20("Plain", "PLN") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// The core contracts with one listed token, no protocol fee, and words for what most tests do.
abstract contract CoreFixture is Deployment {
    uint8 internal constant ACCESS = 1;
    uint8 internal constant TRAIN = 2;
    uint8 internal constant INFER = 4;
    uint8 internal constant DERIVE = 8;
    uint8 internal constant COMMERCIAL = 32;
    uint256 internal constant UNITS = 1_000_000;
    uint256 internal constant ALL_KINDS = 15;

    PlainToken internal token;

    address internal arbiter = makeAddr("arbiter");
    address internal treasury = makeAddr("treasury");
    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");
    address internal carol = makeAddr("carol");
    address internal payer = makeAddr("payer");
    address internal stranger = makeAddr("stranger");

    uint256 private _salts;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        token = new PlainToken();
        address[] memory listed = new address[](1);
        listed[0] = address(token);
        deploySuite(
            Parameters({
                governanceDelay: 2 days,
                proposer: address(this),
                arbiter: arbiter,
                treasury: treasury,
                feeBps: 0,
                listed: listed
            })
        );
        fund(payer, token);
    }

    function fund(address account, PlainToken money) internal {
        money.mint(account, type(uint120).max);
        vm.prank(account);
        money.approve(address(royalties), type(uint256).max);
    }

    /// Through the timelock's own door; its delay is its own tests' matter.
    function list(address money) internal {
        vm.prank(address(timelock));
        royalties.setListing(money, true);
    }

    function setFee(uint16 feeBps) internal {
        vm.prank(address(timelock));
        royalties.setFee(feeBps);
    }

    /// Another listed token, of which the payer has plenty.
    function anotherToken() internal returns (PlainToken another) {
        another = new PlainToken();
        list(address(another));
        fund(payer, another);
    }

    // Terms

    /// Perpetual, transferable, all rights, any number of derivations, free of charge, no rates.
    function plainTerms() internal pure returns (ILicences.Terms memory terms) {
        terms.rights = ACCESS | TRAIN | INFER | DERIVE | COMMERCIAL;
        terms.transferable = true;
        terms.legalText = "LicenseRef-Residual-Test";
    }

    /// The same, with one rate for all kinds.
    function deriveTerms(uint16 rateBps, ILicences.Reach reach) internal pure returns (ILicences.Terms memory terms) {
        terms = plainTerms();
        terms.rates = [rateBps, rateBps, rateBps, rateBps];
        terms.reach = reach;
    }

    function pricedTerms(uint256 price) internal view returns (ILicences.Terms memory terms) {
        terms = plainTerms();
        terms.currency = address(token);
        terms.price = price;
    }

    // Assets

    function none() internal pure returns (uint256[] memory) {
        return new uint256[](0);
    }

    function one(uint256 value) internal pure returns (uint256[] memory values) {
        values = new uint256[](1);
        values[0] = value;
    }

    function two(uint256 first, uint256 second) internal pure returns (uint256[] memory values) {
        values = new uint256[](2);
        (values[0], values[1]) = first < second ? (first, second) : (second, first);
    }

    function ascending(uint256[] memory values) internal pure returns (uint256[] memory) {
        for (uint256 i = 1; i < values.length; ++i) {
            for (uint256 j = i; j > 0 && values[j - 1] > values[j]; --j) {
                (values[j - 1], values[j]) = (values[j], values[j - 1]);
            }
        }
        return values;
    }

    function sole(address holder) internal pure returns (address[] memory holders, uint256[] memory units) {
        holders = new address[](1);
        holders[0] = holder;
        units = one(UNITS);
    }

    function registration(address holder, uint256[] memory licenceIds)
        internal
        returns (IAssets.Registration memory r)
    {
        r.kind = IAssets.AssetKind.Model;
        r.salt = bytes32(++_salts);
        r.manifestCid = hex"0171122000112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        r.contentRoot = keccak256("content");
        r.keyCommitment = keccak256("key");
        r.licenceIds = licenceIds;
        r.termsIds = new bytes32[](0);
        (r.holders, r.units) = sole(holder);
        r.resaleBps = 500;
    }

    function register(address owner, uint256[] memory licenceIds) internal returns (uint256) {
        IAssets.Registration memory r = registration(owner, licenceIds);
        vm.prank(owner);
        return assets.register(r);
    }

    function root(address owner) internal returns (uint256) {
        return register(owner, none());
    }

    /// Offers terms, unless they are offered already.
    function offer(uint256 assetId, ILicences.Terms memory terms) internal returns (bytes32 termsId) {
        termsId = licences.defineTerms(terms);
        (bool live,) = licences.offerOf(assetId, termsId);
        if (live) return termsId;
        vm.prank(assets.ownerOf(assetId));
        licences.offer(assetId, termsId);
    }

    function buy(uint256 assetId, ILicences.Terms memory terms, address buyer) internal returns (uint256) {
        bytes32 termsId = offer(assetId, terms);
        vm.prank(buyer);
        return licences.buy(assetId, termsId, buyer, terms.price);
    }

    /// A work of `owner`'s made from one parent, which gets a rate of all kinds.
    function child(address owner, uint256 parentId, uint16 rateBps, ILicences.Reach reach) internal returns (uint256) {
        return register(owner, one(buy(parentId, deriveTerms(rateBps, reach), owner)));
    }

    // Money

    function pay(uint256 assetId, IRoyalties.Kind kind, uint256 amount) internal {
        vm.prank(payer);
        royalties.pay(assetId, kind, address(token), amount);
    }

    function payInference(uint256 assetId, uint256 amount) internal {
        pay(assetId, IRoyalties.Kind.Inference, amount);
    }

    function flow(uint256 childId) internal {
        royalties.flow(childId, address(token), ALL_KINDS);
    }

    function claim(uint256 assetId, address holder) internal returns (uint256) {
        vm.prank(holder);
        return royalties.claim(assetId, address(token), holder);
    }

    function moveShares(uint256 assetId, address from, address to, uint256 units) internal {
        vm.prank(from);
        shares.safeTransferFrom(from, to, assetId, units, "");
    }

    function inheritedOf(uint256 assetId, IRoyalties.Kind kind) internal view returns (uint256) {
        (, uint256[4] memory inherited) = royalties.revenue(assetId, address(token));
        return inherited[uint256(kind)];
    }

    function ownOf(uint256 assetId, IRoyalties.Kind kind) internal view returns (uint256) {
        (uint256[4] memory own,) = royalties.revenue(assetId, address(token));
        return own[uint256(kind)];
    }

    function operatorTill(uint256 assetId, address operator, uint16 bps) internal view returns (address) {
        return royalties.till(assetId, IRoyalties.Kind.Inference, operator, bps);
    }

    /// Pays into an inference till and sweeps it.
    function throughTill(uint256 assetId, address operator, uint16 bps, uint256 amount) internal {
        address till = operatorTill(assetId, operator, bps);
        vm.prank(payer);
        token.transfer(till, amount);
        royalties.sweep(assetId, IRoyalties.Kind.Inference, operator, bps, address(token));
    }
}
