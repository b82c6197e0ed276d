// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC5643} from "./IERC5643.sol";
import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IERC721} from "@openzeppelin/contracts/interfaces/IERC721.sol";

/// Terms and their ids, offers, buying, renewing, and the rights of a licence.
///
/// Terms are immutable, named by the hash of all their fields, and shared by all assets; anybody may define them. A
/// controller offers terms on an asset or withdraws the offer. A licence is an ERC-721 token, and keeps the terms it
/// was bought under for ever (PAY-3). Its id is `assetId << 128 | termsNumber << 64 | serial`, the serial counting the
/// asset's licences from 1.
///
/// Payments are pulled by `Royalties`: a buyer approves that contract, never this one.
interface ILicences is IERC721, IERC2981, IERC5643 {
    /// How far the rates of a parent reach.
    enum Reach {
        All,
        Child
    }

    /// @param rights bits: ACCESS 1, TRAIN 2, INFER 4, DERIVE 8, REDISTRIBUTE 16, COMMERCIAL 32; at least one
    /// @param allVersions whether a licence opens every version until it expires, or only those published before it was
    ///        bought
    /// @param renewable whether a licence can be prolonged at the price of these terms
    /// @param transferable whether a licence can change hands
    /// @param currency the ERC-20 of all prices; zero only if every price is zero
    /// @param price of a licence and of each period of renewal, below 2^88
    /// @param period how long a licence lasts, in seconds; zero is for ever, and then not renewable
    /// @param trainingUnitPrice what the licensor asks for a unit of training, below 2^88
    /// @param inferenceUnitPrice what the licensor asks for a call, below 2^88
    /// @param rates basis points of a child's revenue of each kind (licence, training, inference, resale) that it will
    ///        owe, each at most 9,000; all zero without DERIVE
    /// @param reach `All`: of the own revenue of every descendant; `Child`: of all that a direct child receives
    /// @param derivations how many works a licence may serve, over all its holders; zero is any number; below 2^24
    /// @param supplyCap how many licences may be sold on one asset under these terms; zero is any number
    /// @param hook who may hold a licence ({IEligibility}); zero is anyone
    /// @param vesting must be zero: the meaning of another value is not defined
    /// @param legalText SPDX id or `LicenseRef-...`, 1 to 64 characters of printable ASCII
    /// @param textCid the CID of the legal text in binary, at most 128 bytes
    struct Terms {
        uint8 rights;
        bool allVersions;
        bool renewable;
        bool transferable;
        address currency;
        uint256 price;
        uint40 period;
        uint256 trainingUnitPrice;
        uint256 inferenceUnitPrice;
        uint16[4] rates;
        Reach reach;
        uint24 derivations;
        uint32 supplyCap;
        address hook;
        uint40 vesting;
        string legalText;
        bytes textCid;
    }

    /// What the ledger keeps of terms; the rest is in {TermsDefined} and in the id.
    struct TermsSummary {
        uint256 number;
        uint8 rights;
        bool allVersions;
        bool renewable;
        bool transferable;
        address currency;
        uint256 price;
        uint40 period;
        uint16[4] rates;
        Reach reach;
        uint24 derivations;
        uint32 supplyCap;
        address hook;
    }

    /// @param holder who owns the token
    /// @param assetId what it is a licence on
    /// @param termsId what it was bought under
    /// @param expiresAt the first second at which it is no longer valid; zero: never
    /// @param derivationsUsed how many works it has served
    /// @param version the version that was current when it was bought; it opens none after that, unless its terms grant
    ///        all
    struct Licence {
        address holder;
        uint256 assetId;
        bytes32 termsId;
        uint40 expiresAt;
        uint24 derivationsUsed;
        uint16 version;
    }

    /// A payment signed for `Royalties` with EIP-3009 `receiveWithAuthorization`; the signed value is the price, the
    /// signed nonce is {authorizationNonce}.
    /// @param signature packed: r, s, v of an account, or what a contract wallet takes (ERC-1271), as in USDC 2.2
    struct Authorization {
        address from;
        uint256 validAfter;
        uint256 validBefore;
        bytes signature;
    }

    event TermsDefined(bytes32 indexed termsId, uint256 indexed number, Terms terms);
    event Offered(uint256 indexed assetId, bytes32 indexed termsId);
    event Withdrawn(uint256 indexed assetId, bytes32 indexed termsId);
    /// @param payer whose money it was
    /// @param expiresAt zero: never
    event Bought(
        uint256 indexed licenceId,
        address indexed recipient,
        bytes32 indexed termsId,
        address payer,
        uint256 expiresAt,
        uint256 version
    );
    /// @param price what was paid in all
    event Renewed(uint256 indexed licenceId, address indexed payer, uint256 price, uint256 expiresAt);

    error UnknownTerms(bytes32 termsId);
    error UnknownLicence(uint256 licenceId);
    /// Expected at least one of the six rights and nothing else.
    error RightsNotValid(uint256 rights);
    /// Expected a price below 2^88.
    error PriceAboveLimit(uint256 price);
    /// Expected a currency, since a price is asked.
    error CurrencyMissing();
    /// Expected at most 9,000.
    error RateAboveLimit(uint256 kind, uint256 rateBps);
    /// Rates say what a derived work owes; these terms do not grant DERIVE.
    error RatesWithoutDerive();
    /// What lasts for ever cannot be renewed.
    error RenewableWithoutPeriod();
    error VestingNotDefined(uint256 vesting);
    /// Expected a legal text of 1 to 64 bytes and a CID of at most 128.
    error LegalTextLength(uint256 legalText, uint256 textCid);
    /// Expected printable ASCII, 0x20 to 0x7e: the byte at `index` is not. So every reader of the event sees one text.
    error LegalTextNotPrintable(uint256 index);
    /// Expected a currency that is listed in `Royalties`.
    error CurrencyNotListed(address currency);
    error AlreadyOffered(uint256 assetId, bytes32 termsId);
    error NotOffered(uint256 assetId, bytes32 termsId);
    /// The asset owes `leastBps` of all it receives to a parent with reach `Child`, so its offers to derive must carry
    /// at least that.
    error RateBelowParents(uint256 kind, uint256 rateBps, uint256 leastBps);
    /// Expected the price to be at most what the buyer agreed to.
    error PriceAboveMax(uint256 price, uint256 maxPrice);
    error SoldOut(uint256 assetId, bytes32 termsId, uint256 supplyCap);
    error NotEligible(address account, uint256 assetId, bytes32 termsId);
    /// A purchase signed off the ledger has a price.
    error NothingToPay(bytes32 termsId);
    error NotTransferable(uint256 licenceId);
    error NotRenewable(uint256 licenceId);
    /// Expected a positive multiple of the period.
    error NotWholePeriods(uint256 duration, uint256 period);
    error AssetFrozen(uint256 assetId);
    /// Only perpetual terms have no period; their licences cannot be cancelled.
    error NotASubscription(uint256 licenceId);
    /// Prices are in ERC-20 tokens; expected no ether.
    error EtherNotTaken(uint256 value);
    /// Expected the licence's holder or its approved account.
    error NotLicensee(uint256 licenceId, address account);
    error Expired(uint256 licenceId, uint256 expiresAt);
    /// The licence's terms do not grant DERIVE.
    error NoRightToDerive(uint256 licenceId);
    error NoDerivationsLeft(uint256 licenceId, uint256 derivations);
    /// Only `Assets` may call.
    error OnlyAssets(address caller);

    /// Writes terms down, for anybody's use. Terms that are already there are left as they are.
    /// @return termsId keccak256(abi.encode(terms))
    function defineTerms(Terms calldata terms) external returns (bytes32 termsId);

    /// Offers terms on an asset. Only its controller. What was sold before a withdrawal still counts for the cap.
    function offer(uint256 assetId, bytes32 termsId) external;

    /// Takes an offer back. Only the controller. Licences sold under it stay, and can still be renewed.
    function withdraw(uint256 assetId, bytes32 termsId) external;

    /// Buys a licence for `recipient` with the caller's tokens, which must be approved to `Royalties`.
    /// @param maxPrice the most the caller agrees to
    function buy(uint256 assetId, bytes32 termsId, address recipient, uint256 maxPrice)
        external
        returns (uint256 licenceId);

    /// Buys a licence with a payment that its signer made without gas; anyone may bring it.
    /// @param salt tells apart purchases that are alike in all else
    function buyWithAuthorization(
        uint256 assetId,
        bytes32 termsId,
        address recipient,
        bytes32 salt,
        Authorization calldata authorization
    ) external returns (uint256 licenceId);

    /// Offers terms on an asset that is being registered. Only `Assets`.
    function offerAtBirth(uint256 assetId, bytes32[] calldata termsIds) external;

    /// Uses licences for one derived work of `account`: checks holder, right, expiry and derivations left. Only
    /// `Assets`.
    /// @return terms for each licence its rates (56 bits, as in {IAssets}) and above them one bit: reach is `Child`
    function useForDerivation(address account, uint256[] calldata licenceIds) external returns (uint256[] memory terms);

    /// keccak256(abi.encode(assetId, termsId, recipient, salt)): the EIP-3009 nonce of a signed purchase.
    function authorizationNonce(uint256 assetId, bytes32 termsId, address recipient, bytes32 salt)
        external
        pure
        returns (bytes32);

    function termsIdOf(Terms calldata terms) external pure returns (bytes32);

    /// Reverts for terms that are not defined.
    function termsSummary(bytes32 termsId) external view returns (TermsSummary memory);

    /// @return live whether the offer stands
    /// @return sold how many licences were sold under it; counted only for terms with a supply cap
    function offerOf(uint256 assetId, bytes32 termsId) external view returns (bool live, uint256 sold);

    /// @return licences how many were ever sold on the asset
    /// @return revision how often offers were made or withdrawn after registration
    function offersState(uint256 assetId) external view returns (uint256 licences, uint256 revision);

    /// Reverts for a licence that does not exist.
    function licence(uint256 licenceId) external view returns (Licence memory);

    /// Whether the licence exists, has not expired, and grants all of these rights.
    function grantsRights(uint256 licenceId, uint8 rights) external view returns (bool);

    /// Whether the licence exists, has not expired, and opens this version of its asset: under terms of all versions
    /// every one that is published, else the one current at the purchase and all before it. So a version published in
    /// front of a purchase takes nothing from the buyer.
    function opensVersion(uint256 licenceId, uint256 version) external view returns (bool);
}
