// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IERC6372} from "@openzeppelin/contracts/interfaces/IERC6372.sol";
import {IERC1155MetadataURI} from "@openzeppelin/contracts/token/ERC1155/extensions/IERC1155MetadataURI.sol";

/// Who gets an asset's revenue and votes: ERC-1155, id = asset id, 1,000,000 units from birth, never burned.
///
/// Before any unit moves, `Royalties` writes down what both sides earned so far (PAY-5). Votes are units, counted at a
/// moment strictly past; there is no delegation.
interface IShares is IERC1155MetadataURI, IERC2981, IERC6372 {
    /// Expected as many units as holders and at least one; found these.
    error HoldersAndUnits(uint256 holders, uint256 units);
    /// Expected 1,000,000 units in all.
    error UnitsDoNotSum(uint256 sum);
    /// `holders[index]` would hold nothing.
    error NoUnits(uint256 index);
    /// Only `Assets` issues shares.
    error OnlyAssets(address caller);
    /// Expected a time before the present block's; votes of the present can still change.
    error NotYetPast(uint256 timepoint, uint256 clock);

    /// Issues the shares of a new asset. Only `Assets`, once for each id.
    function issue(uint256 assetId, address registrant, address[] calldata holders, uint256[] calldata units) external;

    /// 1,000,000 for a registered asset, else 0.
    function totalSupply(uint256 assetId) external view returns (uint256);

    /// The account's units at the end of the second `timepoint`, which must be past.
    function getPastVotes(address account, uint256 assetId, uint256 timepoint) external view returns (uint256);
}
