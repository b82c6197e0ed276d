// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "../../src/interfaces/IAssets.sol";
import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {CoreFixture} from "../support/CoreFixture.sol";
import {GasTable} from "./GasTable.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";

/// Repeat conditions: every caller did the same before, so that its balances, its allowance and the asset's totals are
/// not new; the token is a plain ERC-20 and the protocol takes its highest fee. What a registration or a purchase
/// brings into being is new, as it must be.
/// forge-config: default.isolate = true
contract CoreGasTest is CoreFixture, GasTable {
    uint16 private constant RATE = 100;

    ILicences.Terms private _terms;
    bytes32 private _termsId;

    function setUp() public override {
        super.setUp();
        setFee(500);
        fund(alice, token);
        fund(bob, token);
        _terms = pricedTerms(50_000_000);
        _terms.rates = [RATE, RATE, RATE, RATE];
        _termsId = licences.defineTerms(_terms);
        _derive(3);
    }

    function test_gas_register() external {
        IAssets.Registration memory r = _registration(alice, none());
        vm.prank(alice);
        assets.register(r);
        recordLastCall("register", 190_000);
    }

    function test_gas_register_each_further_holder() external {
        IAssets.Registration memory r = _registration(alice, none());
        vm.prank(alice);
        assets.register(r);
        uint256 oneHolder = lastTransactionGas();
        r = _registration(alice, none());
        r.holders = new address[](3);
        (r.holders[0], r.holders[1], r.holders[2]) = (alice, bob, carol);
        r.units = new uint256[](3);
        (r.units[0], r.units[1], r.units[2]) = (500_000, 300_000, 200_000);
        vm.prank(alice);
        assets.register(r);
        assertLe((lastTransactionGas() - oneHolder) / 2, 30_000);
    }

    function test_gas_buy_licence() external {
        uint256 assetId = _parent(alice);
        _buy(assetId, bob);
        _buy(assetId, bob);
        recordLastCall("buy_licence", 115_000);
    }

    function test_gas_derive_1() external {
        _derive(1);
        recordLastCall("derive_1", 230_000);
    }

    function test_gas_derive_3() external {
        _derive(3);
        recordLastCall("derive_3", 290_000);
    }

    function test_gas_derive_16() external {
        _derive(16);
        recordLastCall("derive_16", 600_000);
    }

    function test_gas_pay() external {
        uint256 childId = _derive(3);
        payInference(childId, 10_000_000);
        payInference(childId, 10_000_000);
        recordLastCall("pay", 80_000);
    }

    function test_gas_flow_edge() external {
        uint256 sixteen = _flowRepeat(_derive(16));
        uint256 seventeen = _flowRepeat(_derive(17));
        record("flow_edge", seventeen - sixteen, 12_000);
    }

    function test_gas_claim() external {
        uint256 assetId = _parent(alice);
        payInference(assetId, 10_000_000);
        claim(assetId, alice);
        payInference(assetId, 10_000_000);
        assertGt(claim(assetId, alice), 0);
        recordLastCall("claim", 60_000);
    }

    /// The same with what a child brought; that is one slot more to read.
    function test_gas_claim_with_inherited() external {
        uint256 assetId = _parent(alice);
        uint256 childId = register(bob, one(_buy(assetId, bob)));
        for (uint256 i = 0; i < 2; ++i) {
            payInference(assetId, 10_000_000);
            payInference(childId, 10_000_000);
            flow(childId);
            assertGt(claim(assetId, alice), 0);
        }
        assertLe(lastTransactionGas(), 60_000);
    }

    function test_gas_pay_flow_17() external {
        uint256 childId = _derive(17);
        payInference(childId, 10_000_000);
        flow(childId);
        bytes[] memory calls = new bytes[](2);
        calls[0] =
            abi.encodeCall(IRoyalties.pay, (childId, IRoyalties.Kind.Inference, address(token), uint256(10_000_000)));
        calls[1] = abi.encodeCall(IRoyalties.flow, (childId, address(token), uint256(4)));
        vm.prank(payer);
        Multicall(address(royalties)).multicall(calls);
        recordLastCall("pay_flow_17", 200_000);
    }

    function _flowRepeat(uint256 childId) private returns (uint256) {
        payInference(childId, 10_000_000);
        flow(childId);
        payInference(childId, 10_000_000);
        royalties.flow(childId, address(token), 4);
        return lastTransactionGas();
    }

    function _registration(address owner, uint256[] memory licenceIds) private returns (IAssets.Registration memory r) {
        r = registration(owner, licenceIds);
        r.termsIds = new bytes32[](1);
        r.termsIds[0] = _termsId;
    }

    function _parent(address owner) private returns (uint256) {
        IAssets.Registration memory r = _registration(owner, none());
        vm.prank(owner);
        return assets.register(r);
    }

    function _buy(uint256 assetId, address buyer) private returns (uint256) {
        vm.prank(buyer);
        return licences.buy(assetId, _termsId, buyer, _terms.price);
    }

    /// The last call is the registration of a work of bob's with so many parents.
    function _derive(uint256 parents) private returns (uint256) {
        uint256[] memory licenceIds = new uint256[](parents);
        for (uint256 i = 0; i < parents; ++i) {
            licenceIds[i] = _buy(_parent(alice), bob);
        }
        IAssets.Registration memory r = _registration(bob, ascending(licenceIds));
        vm.prank(bob);
        return assets.register(r);
    }
}
