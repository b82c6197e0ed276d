// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "./interfaces/IAssets.sol";
import {IRoyalties} from "./interfaces/IRoyalties.sol";
import {IShares} from "./interfaces/IShares.sol";
import {IERC1155} from "@openzeppelin/contracts/interfaces/IERC1155.sol";
import {IERC1155MetadataURI} from "@openzeppelin/contracts/interfaces/IERC1155MetadataURI.sol";
import {IERC165} from "@openzeppelin/contracts/interfaces/IERC165.sol";
import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IERC721Metadata} from "@openzeppelin/contracts/interfaces/IERC721Metadata.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {ERC1155Utils} from "@openzeppelin/contracts/token/ERC1155/utils/ERC1155Utils.sol";

/// See {IShares}. Refuses to know of money: it tells `Royalties` of every move before it happens.
///
/// A holder's word, from the low end: units 24, since when 40, the units before that 24, since when those 40, how many
/// such moments there were 32. Moments older than these two are in `_history`, four to a slot.
contract Shares is IShares, ERC1155 {
    uint256 private constant UNITS = 1_000_000;

    uint256 private constant MOMENT_BITS = 64;
    uint256 private constant MOMENT_MASK = (1 << MOMENT_BITS) - 1;
    uint256 private constant UNITS_BITS = 24;
    uint256 private constant UNITS_MASK = (1 << UNITS_BITS) - 1;
    uint256 private constant COUNT_SHIFT = 2 * MOMENT_BITS;
    uint256 private constant MOMENTS_A_SLOT = 4;

    IAssets private immutable ASSETS;
    IRoyalties private immutable ROYALTIES;

    mapping(uint256 assetId => mapping(address holder => uint256)) private _words;
    mapping(uint256 assetId => mapping(address holder => mapping(uint256 slot => uint256))) private _history;

    constructor(IAssets assets, IRoyalties royalties) ERC1155("") {
        ASSETS = assets;
        ROYALTIES = royalties;
    }

    function issue(uint256 assetId, address registrant, address[] calldata holders, uint256[] calldata units) external {
        if (msg.sender != address(ASSETS)) revert OnlyAssets(msg.sender);
        if (holders.length == 0 || holders.length != units.length) {
            revert HoldersAndUnits(holders.length, units.length);
        }
        uint256 sum;
        for (uint256 i = 0; i < holders.length; ++i) {
            address holder = holders[i];
            uint256 part = units[i];
            if (holder == address(0)) revert ERC1155InvalidReceiver(address(0));
            if (part == 0) revert NoUnits(i);
            sum += part;
            // Here already, so that what is written below has its 24 bits.
            if (sum > UNITS) revert UnitsDoNotSum(sum);
            _setUnits(assetId, holder, balanceOf(holder, assetId) + part);
            emit TransferSingle(registrant, address(0), holder, assetId, part);
        }
        if (sum != UNITS) revert UnitsDoNotSum(sum);
        // After all writes: a receiver may call back, and finds everything in place.
        for (uint256 i = 0; i < holders.length; ++i) {
            ERC1155Utils.checkOnERC1155Received(registrant, address(0), holders[i], assetId, units[i], "");
        }
    }

    function balanceOf(address account, uint256 assetId) public view override(ERC1155, IERC1155) returns (uint256) {
        return _words[assetId][account] & UNITS_MASK;
    }

    function totalSupply(uint256 assetId) external view returns (uint256) {
        return ASSETS.exists(assetId) ? UNITS : 0;
    }

    function getPastVotes(address account, uint256 assetId, uint256 timepoint) external view returns (uint256) {
        if (timepoint >= block.timestamp) revert NotYetPast(timepoint, block.timestamp);
        uint256 word = _words[assetId][account];
        uint256 count = word >> COUNT_SHIFT;
        if (count == 0) return 0;
        if (_since(word) <= timepoint) return word & UNITS_MASK;
        if (count == 1) return 0;
        word = word >> MOMENT_BITS & MOMENT_MASK;
        if (_since(word) <= timepoint) return word & UNITS_MASK;

        // The last of the older moments that is not after the timepoint, if any: there are `low` of those.
        uint256 low = 0;
        uint256 high = count - 2;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (_since(_moment(assetId, account, middle)) <= timepoint) low = middle + 1;
            else high = middle;
        }
        return low == 0 ? 0 : _moment(assetId, account, low - 1) & UNITS_MASK;
    }

    function clock() external view returns (uint48) {
        return uint48(block.timestamp);
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() external pure returns (string memory) {
        return "mode=timestamp";
    }

    function royaltyInfo(uint256 assetId, uint256 salePrice) external view returns (address, uint256) {
        return ASSETS.royaltyInfo(assetId, salePrice);
    }

    function uri(uint256 assetId) public view override(ERC1155, IERC1155MetadataURI) returns (string memory) {
        return IERC721Metadata(address(ASSETS)).tokenURI(assetId);
    }

    function supportsInterface(bytes4 interfaceId) public view override(ERC1155, IERC165) returns (bool) {
        return interfaceId == type(IERC2981).interfaceId || super.supportsInterface(interfaceId);
    }

    /// Transfers only: {issue} writes for itself, and nothing is burned. Ids one after another, each reckoned with the
    /// balances that the one before it left, so that an id may stand in a batch twice.
    function _update(address from, address to, uint256[] memory ids, uint256[] memory values) internal override {
        if (ids.length != values.length) revert ERC1155InvalidArrayLength(ids.length, values.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            uint256 fromUnits = balanceOf(from, ids[i]);
            uint256 toUnits = balanceOf(to, ids[i]);
            if (fromUnits < values[i]) revert ERC1155InsufficientBalance(from, fromUnits, values[i], ids[i]);
            ROYALTIES.checkpoint(ids[i], from, fromUnits, to, toUnits);
            if (from != to && values[i] != 0) {
                _setUnits(ids[i], from, fromUnits - values[i]);
                _setUnits(ids[i], to, toUnits + values[i]);
            }
        }
        if (ids.length == 1) emit TransferSingle(msg.sender, from, to, ids[0], values[0]);
        else emit TransferBatch(msg.sender, from, to, ids, values);
    }

    /// Opens a new moment, or changes the present one: within a second only the last counts.
    function _setUnits(uint256 assetId, address holder, uint256 units) private {
        uint256 word = _words[assetId][holder];
        uint256 count = word >> COUNT_SHIFT;
        uint256 moment = units | block.timestamp << UNITS_BITS;
        if (count == 0) {
            _words[assetId][holder] = moment | 1 << COUNT_SHIFT;
            return;
        }
        if (_since(word) == block.timestamp) {
            _words[assetId][holder] = word & ~UNITS_MASK | units;
            return;
        }
        if (count > 1) {
            uint256 index = count - 2;
            uint256 shift = MOMENT_BITS * (index % MOMENTS_A_SLOT);
            _history[assetId][holder][index / MOMENTS_A_SLOT] |= (word >> MOMENT_BITS & MOMENT_MASK) << shift;
        }
        _words[assetId][holder] = moment | (word & MOMENT_MASK) << MOMENT_BITS | (count + 1) << COUNT_SHIFT;
    }

    function _moment(uint256 assetId, address holder, uint256 index) private view returns (uint256) {
        uint256 shift = MOMENT_BITS * (index % MOMENTS_A_SLOT);
        return _history[assetId][holder][index / MOMENTS_A_SLOT] >> shift & MOMENT_MASK;
    }

    function _since(uint256 moment) private pure returns (uint256) {
        return uint40(moment >> UNITS_BITS);
    }
}
