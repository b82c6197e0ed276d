// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Edges} from "../../src/libraries/Edges.sol";
import {Formula} from "../../src/libraries/Formula.sol";
import {Revenue} from "../../src/libraries/Revenue.sol";
import {Test} from "forge-std/Test.sol";

/// The golden vectors, which Rust reads too: single formulas, and whole assets, put here through the libraries that
/// `Royalties` is made of: credits into an account's words, edges into a lineage.
contract FormulaVectorsTest is Test {
    using Revenue for Revenue.Account;
    using Revenue for uint256;

    uint256 private constant KIND = 3;
    uint256 private constant PAIR = KIND / 2;
    uint256 private constant LANE = KIND % 2;

    mapping(uint256 index => Revenue.Account) private _accounts;
    string private _json;

    /// PAY-2: each formula gives the vector's number.
    function test_PAY_2_single_formulas() external {
        _json = vm.readFile("test/vectors/formula.json");
        uint256 count;
        for (string memory row = ".fee[0]"; vm.keyExistsJson(_json, row); row = _row(".fee", ++count)) {
            assertEq(Formula.fee(_number(row, ".gross"), _number(row, ".feeBps")), _number(row, ".fee"), row);
        }
        assertGt(count, 0);
        count = 0;
        for (string memory row = ".edge[0]"; vm.keyExistsJson(_json, row); row = _row(".edge", ++count)) {
            uint256 owed = Formula.edgeOwed(
                _number(row, ".own"), _number(row, ".inherited"), _number(row, ".allBps"), _number(row, ".childBps")
            );
            assertEq(owed, _number(row, ".owed"), row);
        }
        assertGt(count, 0);
        count = 0;
        for (string memory row = ".operator[0]"; vm.keyExistsJson(_json, row); row = _row(".operator", ++count)) {
            assertEq(
                Formula.operatorOwed(_number(row, ".net"), _number(row, ".operatorBps")), _number(row, ".owed"), row
            );
        }
        assertGt(count, 0);
    }

    /// PAY-1, PAY-2: every part is the vector's, and parts and remainder sum to what came in.
    function test_PAY_1_PAY_2_whole_assets() external {
        _json = vm.readFile("test/vectors/formula.json");
        uint256 count;
        for (string memory row = ".assets[0]"; vm.keyExistsJson(_json, row); row = _row(".assets", ++count)) {
            _check(_accounts[count], row);
        }
        assertGt(count, 0);
    }

    function _check(Revenue.Account storage account, string memory row) private {
        uint256[] memory edges = _edges(row);
        _credit(account, Edges.toLineage(edges), row);
        uint256 parts = account.sharesOwedUnheld();
        assertEq(parts, _number(row, ".sharesOwed"), row);
        parts += _edgesOwed(account, edges, row) + _operatorsOwed(row);
        uint256 received = account.own[PAIR].total(LANE) + account.inherited[PAIR].total(LANE);
        assertEq(received - parts, _number(row, ".remainder"), row);
    }

    function _credit(Revenue.Account storage account, bytes memory lineage, string memory row) private {
        (uint256[4] memory own, uint256[4] memory inherited) = Edges.sums(lineage);
        account.own[0] = Revenue.SECOND_OWN_FLAG | Revenue.INHERITED_FLAG;
        account.own[PAIR] = uint256(0).opened(0, own[KIND]).add(LANE, _number(row, ".own"));
        account.inherited[PAIR] = uint256(0).opened(0, inherited[KIND]).add(LANE, _number(row, ".inherited"));
        uint256[] memory net = _numbers(row, ".tillsNet");
        uint256[] memory bps = _numbers(row, ".tillsOperatorBps");
        for (uint256 i = 0; i < net.length; ++i) {
            if (bps[i] != 0) account.addOperatorPart(KIND, net[i] * bps[i]);
        }
        assertEq(account.operatorsScaled[KIND], _number(row, ".toOperators"), row);
    }

    function _edges(string memory row) private view returns (uint256[] memory edges) {
        uint256[] memory all = _numbers(row, ".edgesAllBps");
        uint256[] memory child = _numbers(row, ".edgesChildBps");
        edges = new uint256[](all.length);
        for (uint256 i = 0; i < edges.length; ++i) {
            edges[i] = Edges.pack(i + 1, all[i] << 14 * KIND, child[i] << 14 * KIND);
        }
    }

    function _edgesOwed(Revenue.Account storage account, uint256[] memory edges, string memory row)
        private
        view
        returns (uint256 sum)
    {
        uint256[] memory expected = _numbers(row, ".edgesOwed");
        uint256 own = account.own[PAIR].total(LANE);
        uint256 inherited = account.inherited[PAIR].total(LANE);
        for (uint256 i = 0; i < edges.length; ++i) {
            (uint256 all, uint256 child) = Edges.ratesOf(edges[i], KIND);
            uint256 owed = Formula.edgeOwed(own, inherited, all, child);
            assertEq(owed, expected[i], row);
            sum += owed;
        }
    }

    function _operatorsOwed(string memory row) private view returns (uint256 sum) {
        uint256[] memory net = _numbers(row, ".tillsNet");
        uint256[] memory bps = _numbers(row, ".tillsOperatorBps");
        uint256[] memory expected = _numbers(row, ".operatorsOwed");
        for (uint256 i = 0; i < net.length; ++i) {
            uint256 owed = Formula.operatorOwed(net[i], bps[i]);
            assertEq(owed, expected[i], row);
            sum += owed;
        }
    }

    function _numbers(string memory row, string memory key) private view returns (uint256[] memory) {
        return vm.parseJsonUintArray(_json, string.concat(row, key));
    }

    function _number(string memory row, string memory key) private view returns (uint256) {
        return vm.parseJsonUint(_json, string.concat(row, key));
    }

    function _row(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(index), "]");
    }
}
