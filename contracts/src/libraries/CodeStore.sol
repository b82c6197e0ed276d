// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Words of 240 bits kept as the code of a contract that does nothing. From three words on that is cheaper to write than
/// storage, and far cheaper to read. The address follows from the creator's nonce, so that 32 bits remember it.
library CodeStore {
    uint256 private constant WORD_BYTES = 30;
    uint256 private constant WORD_SHIFT = 16;
    /// A leading STOP: a call of the code ends at once, whatever the words are.
    uint256 private constant HEADER_BYTES = 1;
    /// Returns all that follows these ten bytes: PUSH2 size, DUP1, PUSH1 10, PUSH0, CODECOPY, PUSH0, RETURN.
    uint256 private constant INIT_BYTES = 10;

    error StoreFailed();

    /// Writes words, of which the high 16 bits are lost. The caller must count its creations: this one's nonce is one
    /// more than the number of those before it.
    function write(uint256[] memory words) internal returns (address store) {
        uint256 size = HEADER_BYTES + WORD_BYTES * words.length;
        // Two words longer than needed: the last store below writes past the end of its own 30 bytes.
        bytes memory code = new bytes(INIT_BYTES + size + 64);
        // Memory-safe: every byte written lies inside `code`.
        assembly ("memory-safe") {
            let cursor := add(code, 32)
            mstore(cursor, or(shl(176, 0x61000080600a5f395ff3), shl(232, size)))
            cursor := add(cursor, add(INIT_BYTES, HEADER_BYTES))
            let word := add(words, 32)
            for { let end := add(word, mul(mload(words), 32)) } lt(word, end) { word := add(word, 32) } {
                mstore(cursor, shl(WORD_SHIFT, mload(word)))
                cursor := add(cursor, WORD_BYTES)
            }
            store := create(0, add(code, 32), add(INIT_BYTES, size))
        }
        if (store == address(0)) revert StoreFailed();
    }

    /// Reads `count` words of a store that has at least as many.
    function read(address store, uint256 count) internal view returns (uint256[] memory words) {
        words = new uint256[](count);
        uint256 size = WORD_BYTES * count;
        bytes memory code = new bytes(size + 32);
        // Memory-safe: copies into `code`, which is a word longer so that the last load stays inside it.
        assembly ("memory-safe") {
            let cursor := add(code, 32)
            extcodecopy(store, cursor, HEADER_BYTES, size)
            let word := add(words, 32)
            for { let end := add(word, mul(count, 32)) } lt(word, end) { word := add(word, 32) } {
                mstore(word, shr(WORD_SHIFT, mload(cursor)))
                cursor := add(cursor, WORD_BYTES)
            }
        }
    }

    /// The address of what `creator` made at `nonce`: the hash of their RLP, as the ledger computes it.
    function addressOf(address creator, uint32 nonce) internal pure returns (address) {
        bytes memory encoded;
        if (nonce < 0x80) {
            encoded = abi.encodePacked(hex"d694", creator, uint8(nonce));
        } else if (nonce < 0x100) {
            encoded = abi.encodePacked(hex"d794", creator, hex"81", uint8(nonce));
        } else if (nonce < 0x10000) {
            encoded = abi.encodePacked(hex"d894", creator, hex"82", uint16(nonce));
        } else if (nonce < 0x1000000) {
            encoded = abi.encodePacked(hex"d994", creator, hex"83", uint24(nonce));
        } else {
            encoded = abi.encodePacked(hex"da94", creator, hex"84", nonce);
        }
        return address(uint160(uint256(keccak256(encoded))));
    }
}
