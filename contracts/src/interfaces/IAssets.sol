// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IERC4906} from "@openzeppelin/contracts/interfaces/IERC4906.sol";

/// Registration, versions, lineage and control of assets.
///
/// An asset is an ERC-721 token. Its holder, or an account the holder approved, is the *controller*: it publishes
/// versions here, makes offers in `Licences` and grants operators in `Royalties`. Control alone brings no money:
/// revenue belongs to the shares. But a controller can grant an operator, itself if it likes, up to half of the shares'
/// part of what comes through that operator's tills, and can advertise those tills; and it sets the prices. So far, who
/// holds shares without control trusts the controller, and sees every grant in an event and in the ERC-5646
/// fingerprint. What parents are owed is out of its reach (PAY-9).
///
/// The receiver that `royaltyInfo` (ERC-2981) names, here, in `Shares` and in `Licences`, is the asset's resale till.
/// It takes listed ERC-20 tokens only. Ether sent there is locked for ever: a marketplace that settles in ether pays
/// the royalty in wrapped ether, where that is listed, or does not pay it.
///
/// Everything but control and the list of versions is fixed at registration: nobody can change an edge (PAY-3), and an
/// edge points only to an asset that was there before (LIN-1).
interface IAssets is IERC2981, IERC4906 {
    enum AssetKind {
        Dataset,
        Model,
        Algorithm,
        Output
    }

    /// What `register` is told.
    /// @param kind what the asset is
    /// @param salt chosen by the registrant; one registrant and salt give one asset id
    /// @param manifestCid the CID of version 1's manifest in binary, 1 to 128 bytes
    /// @param contentRoot the root of version 1's content
    /// @param keyCommitment the commitment to version 1's index key; zero when the content is not sealed
    /// @param licenceIds licences that the registrant holds and derives under, strictly ascending; empty for an
    ///        original work. They name the parents.
    /// @param termsIds terms offered from the start
    /// @param holders who gets shares; an address may stand here twice
    /// @param units units of each holder, none of them zero, together 1,000,000
    /// @param resaleBps royalty on resales of the asset, its shares and its licences, at most 10,000
    struct Registration {
        AssetKind kind;
        bytes32 salt;
        bytes manifestCid;
        bytes32 contentRoot;
        bytes32 keyCommitment;
        uint256[] licenceIds;
        bytes32[] termsIds;
        address[] holders;
        uint256[] units;
        uint16 resaleBps;
    }

    /// @param controller the holder of the token
    /// @param kind what the asset is
    /// @param resaleBps royalty on resales
    /// @param versions how many were published; they are numbered from 1
    /// @param edges how many assets are owed a part of this one's revenue
    struct Asset {
        address controller;
        AssetKind kind;
        uint16 resaleBps;
        uint16 versions;
        uint8 edges;
    }

    /// What a child owes one ancestor for ever, in basis points for each revenue kind. There is an edge to every parent,
    /// if only with zero rates, and to every further ancestor that is owed something.
    /// @param parentId the ancestor
    /// @param all rates of the child's own revenue
    /// @param child rates of all that the child receives, own and inherited
    struct Edge {
        uint256 parentId;
        uint16[4] all;
        uint16[4] child;
    }

    /// @param edges one word each, ascending by parent: `parentId << 112 | child << 56 | all`, where the rate of kind k
    ///        lies at bits 14k to 14k + 13 of its 56
    event Registered(
        uint256 indexed assetId,
        address indexed registrant,
        AssetKind kind,
        uint16 resaleBps,
        bytes32 salt,
        uint256[] licenceIds,
        uint256[] edges
    );

    /// Version 1 is published by the registration. The time is that of the block.
    event VersionPublished(
        uint256 indexed assetId, uint256 indexed version, bytes manifestCid, bytes32 contentRoot, bytes32 keyCommitment
    );

    error UnknownAsset(uint256 assetId);
    /// The same registrant used the same salt before.
    error AssetExists(uint256 assetId);
    /// Expected the holder of the asset's token or its approved account.
    error NotController(uint256 assetId, address account);
    /// Expected 1 to 128 bytes.
    error ManifestCidLength(uint256 length);
    /// Expected each licence id above the one before it: `licenceIds[index]` is not.
    error LicencesNotAscending(uint256 index);
    /// Expected at most 64 ancestors.
    error TooManyEdges(uint256 edges);
    /// Expected the rates of all edges to sum to at most 9,000 for each kind.
    error RatesAboveLimit(uint256 kind, uint256 sumBps);
    /// Expected at most 10,000.
    error ResaleAboveLimit(uint256 resaleBps);
    /// An asset has at most 65,535 versions.
    error TooManyVersions(uint256 assetId);

    /// Registers an asset for the caller, who becomes its first controller. Mints its shares last, and a holder that is
    /// a contract is called then, as ERC-1155 asks.
    function register(Registration calldata registration) external returns (uint256 assetId);

    /// Appends a version. Only the controller.
    /// @return version its number
    function publishVersion(uint256 assetId, bytes calldata manifestCid, bytes32 contentRoot, bytes32 keyCommitment)
        external
        returns (uint256 version);

    /// The id that `registrant` gets with `salt`: the low 128 bits of
    /// keccak256(abi.encode(chain id, address of this contract, registrant, salt)).
    function assetIdOf(address registrant, bytes32 salt) external view returns (uint256);

    function exists(uint256 assetId) external view returns (bool);

    /// Reverts for an asset that is not registered.
    function asset(uint256 assetId) external view returns (Asset memory);

    /// How many versions were published. Reverts for an asset that is not registered.
    function versionCount(uint256 assetId) external view returns (uint256);

    /// keccak256(abi.encode(keccak256(manifestCid), contentRoot, keyCommitment)) of a version; zero if there is none.
    function versionCommitment(uint256 assetId, uint256 version) external view returns (bytes32);

    /// What the asset owes, ascending by parent. Empty for an asset that is not registered.
    function edgesOf(uint256 assetId) external view returns (Edge[] memory);

    /// The same for contracts.
    /// @return edges 30 bytes each: the words of {Registered} without their 16 leading zero bits
    /// @return childReach whether any edge has a rate of reach `Child`: whether inherited revenue is owed on
    function lineage(uint256 assetId) external view returns (bytes memory edges, bool childReach);

    /// The sums of the edges' rates for each kind, in basis points.
    /// @return own of own revenue: all + child
    /// @return inherited of inherited revenue: child
    function rateSums(uint256 assetId) external view returns (uint256[4] memory own, uint256[4] memory inherited);

    /// For each kind the highest `child` rate among the edges: what the asset's own offers with `DERIVE` must carry at
    /// least, so that an empty shell cannot cut the chain (PAY-9).
    function leastChildRates(uint256 assetId) external view returns (uint256[4] memory);

    /// Whether the account is the holder of the asset's token or approved by the holder. False for an asset that is
    /// not registered.
    function isController(uint256 assetId, address account) external view returns (bool);

    /// ERC-5646: changes with every change that a buyer of control must know of: versions, offers, grants and the
    /// number of licences.
    function getStateFingerprint(uint256 assetId) external view returns (bytes32);
}
