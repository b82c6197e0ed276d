// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// An ERC-721 whose owner shares a word with what else the contract must know of the token: one new slot at birth in
/// place of two. Tokens are never burned.
abstract contract PackedERC721 is ERC721 {
    uint256 internal constant OWNER_MASK = type(uint160).max;

    /// Owner in the low 160 bits; the rest is the inheriting contract's.
    mapping(uint256 tokenId => uint256) internal _words;
    mapping(address owner => uint256) private _balances;

    function balanceOf(address owner) public view virtual override returns (uint256) {
        if (owner == address(0)) revert ERC721InvalidOwner(address(0));
        return _balances[owner];
    }

    function _ownerOf(uint256 tokenId) internal view override returns (address) {
        return address(uint160(_words[tokenId]));
    }

    function _update(address to, uint256 tokenId, address auth) internal virtual override returns (address from) {
        uint256 word = _words[tokenId];
        from = address(uint160(word));
        if (auth != address(0)) _checkAuthorized(from, auth, tokenId);
        if (from != address(0)) {
            _approve(address(0), tokenId, address(0), false);
            _balances[from] -= 1;
        }
        _balances[to] += 1;
        _words[tokenId] = word & ~OWNER_MASK | uint160(to);
        emit Transfer(from, to, tokenId);
    }
}
