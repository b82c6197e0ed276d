// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// What gateways say that they metered: one Merkle root for each epoch of each gateway, which nobody can change.
///
/// A *usage record* is one metered use as the gateway logged it. A gateway numbers its epochs from 0 and the records of
/// an epoch from 0. The leaf of a record is
///
/// `keccak256(keccak256(abi.encode(LEAF_DOMAIN, gateway, epoch, index, keccak256(record))))`
///
/// with the record in its 250 byte encoding (crate `usage`). A node is the keccak-256 of its two children, the smaller
/// one first, as OpenZeppelin's `MerkleProof` has it; the last node of a level with an odd number goes up as it is. The
/// root of an epoch without records is the keccak-256 of nothing, and nothing can be proved under it.
///
/// A root says what a gateway recorded, not that it is true: the audit compares it with what was claimed.
interface IUsage {
    /// A gateway committed to the records of an epoch.
    /// @param records how many there are
    /// @param file the SHA-256 of the Parquet file that holds them: the digest of its content address
    event Committed(address indexed gateway, uint64 indexed epoch, bytes32 root, uint64 records, bytes32 file);

    /// An epoch was committed to before, and what is said of it never changes.
    error OtherRoot(address gateway, uint64 epoch, bytes32 committed, bytes32 root);
    /// A gateway commits to its epochs one after the other, without a gap.
    error NoPreviousEpoch(address gateway, uint64 epoch);
    /// No tree has the root 0.
    error NoRoot();

    /// Commits the caller, as the gateway, to an epoch's records. Repeated with the same root it does nothing, so that
    /// whoever does not know whether it was carried out can repeat it: the number of records and the file of the first
    /// time stand.
    function commit(uint64 epoch, bytes32 root, uint64 records, bytes32 file) external;

    /// The root of an epoch; 0 while the gateway has not committed to it.
    function roots(address gateway, uint64 epoch) external view returns (bytes32);

    /// Whether a record is the one at `index` in what the gateway committed to for an epoch.
    /// @param record the keccak-256 of the record's encoding
    /// @param proof the siblings on the way from the leaf to the root
    function verify(address gateway, uint64 epoch, uint64 index, bytes32 record, bytes32[] calldata proof)
        external
        view
        returns (bool);
}
