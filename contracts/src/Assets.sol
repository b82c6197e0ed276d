// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "./interfaces/IAssets.sol";
import {IERC5646} from "./interfaces/IERC5646.sol";
import {ILicences} from "./interfaces/ILicences.sol";
import {IRoyalties} from "./interfaces/IRoyalties.sol";
import {IShares} from "./interfaces/IShares.sol";
import {CodeStore} from "./libraries/CodeStore.sol";
import {Edges} from "./libraries/Edges.sol";
import {Formula} from "./libraries/Formula.sol";
import {PackedERC721} from "./libraries/PackedERC721.sol";
import {IERC165} from "@openzeppelin/contracts/interfaces/IERC165.sol";
import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// See {IAssets}. Refuses everything about money: it knows rates, never amounts.
///
/// An asset's word, from the low end: owner 160, kind 8, resaleBps 14, versions 16, edges 7, nonce of the edges' code
/// store 32 (zero: the edges, at most two, are in slots), whether an edge has a rate of reach `Child` 1.
contract Assets is IAssets, IERC5646, PackedERC721 {
    using Edges for Edges.List;

    uint256 private constant KIND_SHIFT = 160;
    uint256 private constant RESALE_SHIFT = 168;
    uint256 private constant VERSIONS_SHIFT = 182;
    uint256 private constant EDGES_SHIFT = 198;
    uint256 private constant STORE_SHIFT = 205;
    uint256 private constant CHILD_REACH_SHIFT = 237;

    uint256 private constant RESALE_MASK = (1 << 14) - 1;
    uint256 private constant EDGES_MASK = (1 << 7) - 1;

    uint256 private constant MAX_MANIFEST_CID_BYTES = 128;
    uint256 private constant SLOT_EDGES = 2;
    uint256 private constant CHILD_REACH_BIT = 1 << 56;
    uint256 private constant RATES_MASK = CHILD_REACH_BIT - 1;
    /// Of the ERC-4906 interface, which has an id of its own since its functions are none.
    bytes4 private constant ERC4906_ID = 0x49064906;

    IShares private immutable SHARES;
    ILicences private immutable LICENCES;
    IRoyalties private immutable ROYALTIES;

    mapping(uint256 assetId => mapping(uint256 version => bytes32)) private _commitments;
    mapping(uint256 assetId => uint256[SLOT_EDGES]) private _edges;
    /// How many code stores this contract created; nothing else moves its nonce, which began at 1.
    uint32 private _stores;

    constructor(IShares shares, ILicences licences, IRoyalties royalties) ERC721("Residual Assets", "RASSET") {
        SHARES = shares;
        LICENCES = licences;
        ROYALTIES = royalties;
    }

    function register(Registration calldata registration) external returns (uint256 assetId) {
        assetId = assetIdOf(msg.sender, registration.salt);
        if (_ownerOf(assetId) != address(0)) revert AssetExists(assetId);
        if (registration.resaleBps > Formula.BASIS) revert ResaleAboveLimit(registration.resaleBps);

        uint256[] memory edges = _edgesUnder(registration.licenceIds);
        _words[assetId] = uint256(registration.kind) << KIND_SHIFT | uint256(registration.resaleBps) << RESALE_SHIFT | 1
            << VERSIONS_SHIFT | _keep(assetId, edges);
        _mint(msg.sender, assetId);
        emit Registered(
            assetId,
            msg.sender,
            registration.kind,
            registration.resaleBps,
            registration.salt,
            registration.licenceIds,
            edges
        );
        _commit(assetId, 1, registration.manifestCid, registration.contentRoot, registration.keyCommitment);
        if (registration.termsIds.length > 0) LICENCES.offerAtBirth(assetId, registration.termsIds);
        // Last, because it calls holders that are contracts.
        SHARES.issue(assetId, msg.sender, registration.holders, registration.units);
    }

    function publishVersion(uint256 assetId, bytes calldata manifestCid, bytes32 contentRoot, bytes32 keyCommitment)
        external
        returns (uint256 version)
    {
        uint256 word = _wordOf(assetId);
        if (!_isAuthorized(address(uint160(word)), msg.sender, assetId)) revert NotController(assetId, msg.sender);
        version = uint16(word >> VERSIONS_SHIFT);
        if (version == type(uint16).max) revert TooManyVersions(assetId);
        unchecked {
            version += 1;
            _words[assetId] = word + (1 << VERSIONS_SHIFT);
        }
        _commit(assetId, version, manifestCid, contentRoot, keyCommitment);
        emit MetadataUpdate(assetId);
    }

    function assetIdOf(address registrant, bytes32 salt) public view returns (uint256) {
        return uint128(uint256(keccak256(abi.encode(block.chainid, address(this), registrant, salt))));
    }

    function exists(uint256 assetId) external view returns (bool) {
        return _ownerOf(assetId) != address(0);
    }

    function asset(uint256 assetId) external view returns (Asset memory) {
        uint256 word = _wordOf(assetId);
        return Asset({
            controller: address(uint160(word)),
            kind: AssetKind(uint8(word >> KIND_SHIFT)),
            resaleBps: uint16(word >> RESALE_SHIFT & RESALE_MASK),
            versions: uint16(word >> VERSIONS_SHIFT),
            edges: uint8(word >> EDGES_SHIFT & EDGES_MASK)
        });
    }

    function versionCount(uint256 assetId) external view returns (uint256) {
        return uint16(_wordOf(assetId) >> VERSIONS_SHIFT);
    }

    function versionCommitment(uint256 assetId, uint256 version) external view returns (bytes32) {
        return _commitments[assetId][version];
    }

    function edgesOf(uint256 assetId) external view returns (Edge[] memory edges) {
        (bytes memory packed,) = lineage(assetId);
        edges = new Edge[](Edges.count(packed));
        for (uint256 i = 0; i < edges.length; ++i) {
            uint256 edge = Edges.get(packed, i);
            edges[i] = Edge({
                parentId: Edges.parentOf(edge),
                all: Edges.unpackRates(Edges.allRates(edge)),
                child: Edges.unpackRates(Edges.childRates(edge))
            });
        }
    }

    function lineage(uint256 assetId) public view returns (bytes memory edges, bool childReach) {
        uint256 word = _words[assetId];
        childReach = word >> CHILD_REACH_SHIFT & 1 != 0;
        uint256 count = word >> EDGES_SHIFT & EDGES_MASK;
        uint32 nonce = uint32(word >> STORE_SHIFT);
        if (nonce != 0) {
            edges = CodeStore.read(CodeStore.addressOf(address(this), nonce), Edges.lineageBytes(count));
        } else {
            uint256[] memory words = new uint256[](count);
            for (uint256 i = 0; i < count; ++i) {
                words[i] = _edges[assetId][i];
            }
            edges = Edges.toLineage(words);
        }
    }

    function rateSums(uint256 assetId) external view returns (uint256[4] memory own, uint256[4] memory inherited) {
        (bytes memory edges,) = lineage(assetId);
        return Edges.sums(edges);
    }

    function leastChildRates(uint256 assetId) external view returns (uint256[4] memory) {
        (bytes memory edges,) = lineage(assetId);
        return Edges.highestChildRates(edges);
    }

    function isController(uint256 assetId, address account) external view returns (bool) {
        return _isAuthorized(_ownerOf(assetId), account, assetId);
    }

    function getStateFingerprint(uint256 assetId) external view override(IAssets, IERC5646) returns (bytes32) {
        uint256 versions = uint16(_wordOf(assetId) >> VERSIONS_SHIFT);
        (uint256 licences, uint256 offersRevision) = LICENCES.offersState(assetId);
        return keccak256(abi.encode(assetId, versions, licences, offersRevision, ROYALTIES.grantsRevision(assetId)));
    }

    function royaltyInfo(uint256 assetId, uint256 salePrice) external view returns (address, uint256) {
        uint256 resaleBps = _wordOf(assetId) >> RESALE_SHIFT & RESALE_MASK;
        return (
            ROYALTIES.till(assetId, IRoyalties.Kind.Resale, address(0), 0),
            Math.mulDiv(salePrice, resaleBps, Formula.BASIS)
        );
    }

    function tokenURI(uint256 assetId) public view override returns (string memory) {
        uint256 versions = uint16(_wordOf(assetId) >> VERSIONS_SHIFT);
        return string.concat(
            'data:application/json;utf8,{"name":"Residual asset ',
            Strings.toHexString(assetId, 16),
            '","versions":',
            Strings.toString(versions),
            ',"commitment":"',
            Strings.toHexString(uint256(_commitments[assetId][versions]), 32),
            '"}'
        );
    }

    function supportsInterface(bytes4 interfaceId) public view override(ERC721, IERC165) returns (bool) {
        return interfaceId == type(IERC2981).interfaceId || interfaceId == type(IERC5646).interfaceId
            || interfaceId == ERC4906_ID || super.supportsInterface(interfaceId);
    }

    function _wordOf(uint256 assetId) private view returns (uint256 word) {
        word = _words[assetId];
        if (word == 0) revert UnknownAsset(assetId);
    }

    /// The edges of a work of the caller's that uses these licences: one to each parent, at the rates of the licence,
    /// and those that the parents hand down. Every parent exists, for it has sold a licence, and the new asset has sold
    /// none, so no edge leads back (LIN-1).
    function _edgesUnder(uint256[] calldata licenceIds) private returns (uint256[] memory) {
        if (licenceIds.length == 0) return new uint256[](0);
        // Ascending, so that none counts twice and those of one parent stand together.
        for (uint256 i = 1; i < licenceIds.length; ++i) {
            if (licenceIds[i] <= licenceIds[i - 1]) revert LicencesNotAscending(i);
        }
        uint256[] memory terms = LICENCES.useForDerivation(msg.sender, licenceIds);
        Edges.List memory list;
        uint256 lastParent;
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            uint256 parent = licenceIds[i] >> 128;
            uint256 rates = terms[i] & RATES_MASK;
            bool childOnly = terms[i] & CHILD_REACH_BIT != 0;
            list.insert(Edges.pack(parent, childOnly ? 0 : rates, childOnly ? rates : 0));
            if (parent == lastParent) continue;
            lastParent = parent;
            (bytes memory handedDown,) = lineage(parent);
            list.insertInherited(handedDown);
        }
        return list.toArray();
    }

    /// Writes the edges of a new asset, in slots or as code, whichever is cheaper.
    /// @return word the edges' part of the asset's word
    function _keep(uint256 assetId, uint256[] memory edges) private returns (uint256 word) {
        if (edges.length == 0) return 0;
        bytes memory packed = Edges.toLineage(edges);
        Edges.checkSums(packed);
        word = edges.length << EDGES_SHIFT;
        if (Edges.hasChildRates(edges)) word |= 1 << CHILD_REACH_SHIFT;
        if (edges.length > SLOT_EDGES) {
            uint32 nonce = _stores + 1;
            _stores = nonce;
            CodeStore.write(packed);
            return word | uint256(nonce) << STORE_SHIFT;
        }
        for (uint256 i = 0; i < edges.length; ++i) {
            _edges[assetId][i] = edges[i];
        }
    }

    function _commit(
        uint256 assetId,
        uint256 version,
        bytes calldata manifestCid,
        bytes32 contentRoot,
        bytes32 keyCommitment
    ) private {
        if (manifestCid.length == 0 || manifestCid.length > MAX_MANIFEST_CID_BYTES) {
            revert ManifestCidLength(manifestCid.length);
        }
        _commitments[assetId][version] = keccak256(abi.encode(keccak256(manifestCid), contentRoot, keyCommitment));
        emit VersionPublished(assetId, version, manifestCid, contentRoot, keyCommitment);
    }
}
