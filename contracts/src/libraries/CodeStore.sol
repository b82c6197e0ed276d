// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Bytes kept as the code of a contract that does nothing. From three edges on that is cheaper to write than storage, and
/// far cheaper to read. The address follows from the creator's nonce, so that 32 bits remember it.
library CodeStore {
    /// A leading STOP: a call of the code ends at once, whatever the data are.
    uint256 private constant HEADER_BYTES = 1;
    /// Returns all that follows these ten bytes: PUSH2 size, DUP1, PUSH1 10, PUSH0, CODECOPY, PUSH0, RETURN; then STOP.
    uint256 private constant INIT_CODE = 0x61000080600a5f395ff300;
    uint256 private constant SIZE_SHIFT = 64;

    error StoreFailed();

    /// Writes less than 2^16 bytes. The caller must count its creations: this one's nonce is one more than the number of
    /// those before it.
    function write(bytes memory data) internal returns (address store) {
        // forge-lint: disable-next-line(unsafe-typecast) -- the constant has 11 bytes, and the size goes into its PUSH2
        bytes memory code = abi.encodePacked(uint88(INIT_CODE | (HEADER_BYTES + data.length) << SIZE_SHIFT), data);
        assembly ("memory-safe") {
            store := create(0, add(code, 32), mload(code))
        }
        if (store == address(0)) revert StoreFailed();
    }

    /// Reads the first `size` bytes of a store.
    function read(address store, uint256 size) internal view returns (bytes memory data) {
        data = new bytes(size);
        assembly ("memory-safe") {
            extcodecopy(store, add(data, 32), HEADER_BYTES, size)
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
