// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "./interfaces/IAssets.sol";
import {IERC5643} from "./interfaces/IERC5643.sol";
import {IEligibility} from "./interfaces/IEligibility.sol";
import {ILicences} from "./interfaces/ILicences.sol";
import {IRoyalties} from "./interfaces/IRoyalties.sol";
import {Edges} from "./libraries/Edges.sol";
import {PackedERC721} from "./libraries/PackedERC721.sol";
import {TermsWord} from "./libraries/TermsWord.sol";
import {IERC165} from "@openzeppelin/contracts/interfaces/IERC165.sol";
import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// See {ILicences}. Refuses to hold money: `Royalties` pulls every price from the buyer to itself.
///
/// A licence's word, from the low end: holder 160, expiry 40 (zero: never), derivations used 24, version 16. An offer's:
/// live 1, sold 32. An asset's: licences 64, revision of its offers 64.
contract Licences is ILicences, PackedERC721 {
    using TermsWord for uint256;

    uint8 private constant DERIVE = 8;
    uint8 private constant ALL_RIGHTS = 63;
    uint256 private constant MAX_PRICE = type(uint88).max;
    uint256 private constant MAX_LEGAL_TEXT_BYTES = 64;
    uint256 private constant MAX_TEXT_CID_BYTES = 128;
    uint256 private constant HOOK_GAS = 50_000;

    uint256 private constant EXPIRY_SHIFT = 160;
    uint256 private constant EXPIRY_MASK = uint256(type(uint40).max) << EXPIRY_SHIFT;
    uint256 private constant USED_SHIFT = 200;
    uint256 private constant VERSION_SHIFT = 224;

    uint256 private constant ASSET_SHIFT = 128;
    uint256 private constant NUMBER_SHIFT = 64;

    uint256 private constant LIVE_BIT = 1;
    uint256 private constant SOLD_ONE = 2;
    uint256 private constant REVISION_ONE = 1 << 64;

    IAssets private immutable ASSETS;
    IRoyalties private immutable ROYALTIES;

    /// By number, which a licence's id holds.
    mapping(uint256 number => uint256) private _terms;
    mapping(uint256 number => bytes32) private _termsIds;
    mapping(uint256 number => address) private _hooks;
    /// By id, which a buyer names: {TermsWord}'s second word.
    mapping(bytes32 termsId => uint256) private _purchases;
    mapping(uint256 assetAndNumber => uint256) private _offers;
    mapping(uint256 assetId => uint256) private _assets;
    uint64 private _termsCount;

    constructor(IAssets assets, IRoyalties royalties) ERC721("Residual Licences", "RLICENCE") {
        ASSETS = assets;
        ROYALTIES = royalties;
    }

    function defineTerms(Terms calldata terms) external returns (bytes32 termsId) {
        termsId = termsIdOf(terms);
        if (_purchases[termsId] != 0) return termsId;

        if (terms.rights == 0 || terms.rights > ALL_RIGHTS) revert RightsNotValid(terms.rights);
        _checkPrice(terms.price, terms.currency);
        _checkPrice(terms.trainingUnitPrice, terms.currency);
        _checkPrice(terms.inferenceUnitPrice, terms.currency);
        for (uint256 kind = 0; kind < Edges.KINDS; ++kind) {
            if (terms.rates[kind] > Edges.MAX_SUM_BPS) revert RateAboveLimit(kind, terms.rates[kind]);
            if (terms.rates[kind] != 0 && terms.rights & DERIVE == 0) revert RatesWithoutDerive();
        }
        if (terms.renewable && terms.period == 0) revert RenewableWithoutPeriod();
        if (terms.vesting != 0) revert VestingNotDefined(terms.vesting);
        _checkText(bytes(terms.legalText), terms.textCid);

        uint64 number = ++_termsCount;
        _terms[number] = TermsWord.pack(terms);
        _termsIds[number] = termsId;
        _purchases[termsId] = TermsWord.packPurchase(terms.currency, number, terms.hook != address(0));
        if (terms.hook != address(0)) _hooks[number] = terms.hook;
        emit TermsDefined(termsId, number, terms);
    }

    function offer(uint256 assetId, bytes32 termsId) external {
        if (!ASSETS.isController(assetId, msg.sender)) revert IAssets.NotController(assetId, msg.sender);
        _offer(assetId, termsId);
        _assets[assetId] += REVISION_ONE;
    }

    function offerAtBirth(uint256 assetId, bytes32[] calldata termsIds) external {
        if (msg.sender != address(ASSETS)) revert OnlyAssets(msg.sender);
        for (uint256 i = 0; i < termsIds.length; ++i) {
            _offer(assetId, termsIds[i]);
        }
    }

    function withdraw(uint256 assetId, bytes32 termsId) external {
        if (!ASSETS.isController(assetId, msg.sender)) revert IAssets.NotController(assetId, msg.sender);
        uint256 key = _offerKey(assetId, _purchaseWord(termsId).number());
        uint256 state = _offers[key];
        if (state & LIVE_BIT == 0) revert NotOffered(assetId, termsId);
        _offers[key] = state & ~LIVE_BIT;
        _assets[assetId] += REVISION_ONE;
        emit Withdrawn(assetId, termsId);
    }

    function buy(uint256 assetId, bytes32 termsId, address recipient, uint256 maxPrice)
        external
        returns (uint256 licenceId)
    {
        uint256 price;
        address currency;
        (licenceId, price, currency) = _sell(assetId, termsId, recipient, msg.sender);
        if (price > maxPrice) revert PriceAboveMax(price, maxPrice);
        if (price != 0) ROYALTIES.creditPurchase(assetId, currency, msg.sender, price);
    }

    function buyWithAuthorization(
        uint256 assetId,
        bytes32 termsId,
        address recipient,
        bytes32 salt,
        Authorization calldata authorization
    ) external returns (uint256 licenceId) {
        uint256 price;
        address currency;
        (licenceId, price, currency) = _sell(assetId, termsId, recipient, authorization.from);
        if (price == 0) revert NothingToPay(termsId);
        // The token holds the signature to this nonce and to the price, so the money can buy nothing else (PAY-7).
        ROYALTIES.creditAuthorizedPurchase(
            assetId,
            currency,
            authorization.from,
            price,
            authorization.validAfter,
            authorization.validBefore,
            authorizationNonce(assetId, termsId, recipient, salt),
            authorization.signature
        );
    }

    function renewSubscription(uint256 licenceId, uint64 duration) external payable {
        if (msg.value != 0) revert EtherNotTaken(msg.value);
        uint256 word = _licensee(licenceId);
        uint256 number = uint64(licenceId >> NUMBER_SHIFT);
        uint256 terms = _terms[number];
        uint256 period = terms.period();
        if (!terms.renewable()) revert NotRenewable(licenceId);
        if (duration == 0 || duration % period != 0) revert NotWholePeriods(duration, period);
        uint256 assetId = licenceId >> ASSET_SHIFT;
        if (ROYALTIES.isFrozen(assetId)) revert AssetFrozen(assetId);

        uint256 expiry = _expiryOf(word);
        uint256 from = expiry > block.timestamp ? expiry : block.timestamp;
        uint40 renewed = SafeCast.toUint40(from + duration);
        uint256 price = terms.price() * (duration / period);
        _words[licenceId] = word & ~EXPIRY_MASK | uint256(renewed) << EXPIRY_SHIFT;
        emit Renewed(licenceId, msg.sender, price, renewed);
        emit SubscriptionUpdate(licenceId, renewed);
        if (price != 0) {
            ROYALTIES.creditPurchase(assetId, _purchases[_termsIds[number]].currency(), msg.sender, price);
        }
    }

    function cancelSubscription(uint256 licenceId) external payable {
        if (msg.value != 0) revert EtherNotTaken(msg.value);
        uint256 word = _licensee(licenceId);
        uint256 expiry = _expiryOf(word);
        if (expiry == 0) revert NotASubscription(licenceId);
        if (expiry <= block.timestamp) revert Expired(licenceId, expiry);
        _words[licenceId] = word & ~EXPIRY_MASK | block.timestamp << EXPIRY_SHIFT;
        emit SubscriptionUpdate(licenceId, uint64(block.timestamp));
    }

    function useForDerivation(address account, uint256[] calldata licenceIds)
        external
        returns (uint256[] memory termsOf)
    {
        if (msg.sender != address(ASSETS)) revert OnlyAssets(msg.sender);
        termsOf = new uint256[](licenceIds.length);
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            uint256 licenceId = licenceIds[i];
            uint256 word = _wordOf(licenceId);
            if (!_isAuthorized(address(uint160(word)), account, licenceId)) revert NotLicensee(licenceId, account);
            if (!_isLive(word)) revert Expired(licenceId, _expiryOf(word));
            uint256 terms = _terms[uint64(licenceId >> NUMBER_SHIFT)];
            if (terms.rights() & DERIVE == 0) revert NoRightToDerive(licenceId);
            uint256 derivations = terms.derivations();
            if (derivations != 0) {
                if (_usedOf(word) >= derivations) revert NoDerivationsLeft(licenceId, derivations);
                unchecked {
                    // Below `derivations`, which fits the field.
                    _words[licenceId] = word + (1 << USED_SHIFT);
                }
            }
            termsOf[i] = terms.derivationTerms();
        }
    }

    function authorizationNonce(uint256 assetId, bytes32 termsId, address recipient, bytes32 salt)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(assetId, termsId, recipient, salt));
    }

    function termsIdOf(Terms calldata terms) public pure returns (bytes32) {
        return keccak256(abi.encode(terms));
    }

    function termsSummary(bytes32 termsId) external view returns (TermsSummary memory) {
        uint256 purchase = _purchaseWord(termsId);
        uint256 number = purchase.number();
        uint256 terms = _terms[number];
        return TermsSummary({
            number: number,
            rights: terms.rights(),
            allVersions: terms.allVersions(),
            renewable: terms.renewable(),
            transferable: terms.transferable(),
            currency: purchase.currency(),
            price: terms.price(),
            period: terms.period(),
            rates: Edges.unpackRates(terms.rates()),
            reach: terms.reach(),
            derivations: terms.derivations(),
            supplyCap: terms.supplyCap(),
            hook: _hooks[number]
        });
    }

    function offerOf(uint256 assetId, bytes32 termsId) external view returns (bool live, uint256 sold) {
        uint256 state = _offers[_offerKey(assetId, _purchaseWord(termsId).number())];
        return (state & LIVE_BIT != 0, state / SOLD_ONE);
    }

    function offersState(uint256 assetId) external view returns (uint256 licences, uint256 revision) {
        uint256 state = _assets[assetId];
        return (uint64(state), state / REVISION_ONE);
    }

    function licence(uint256 licenceId) external view returns (Licence memory) {
        uint256 word = _wordOf(licenceId);
        return Licence({
            holder: address(uint160(word)),
            assetId: licenceId >> ASSET_SHIFT,
            termsId: _termsIds[uint64(licenceId >> NUMBER_SHIFT)],
            expiresAt: _expiryOf(word),
            derivationsUsed: _usedOf(word),
            version: uint16(word >> VERSION_SHIFT)
        });
    }

    function grantsRights(uint256 licenceId, uint8 rights) external view returns (bool) {
        uint256 word = _words[licenceId];
        if (word == 0 || !_isLive(word)) return false;
        return _terms[uint64(licenceId >> NUMBER_SHIFT)].rights() & rights == rights;
    }

    function opensVersion(uint256 licenceId, uint256 version) external view returns (bool) {
        uint256 word = _words[licenceId];
        if (word == 0 || !_isLive(word)) return false;
        bool all = _terms[uint64(licenceId >> NUMBER_SHIFT)].allVersions();
        uint256 last = all ? ASSETS.versionCount(licenceId >> ASSET_SHIFT) : uint16(word >> VERSION_SHIFT);
        return version != 0 && version <= last;
    }

    /// ERC-5643 has no word for "never"; the highest number is the one that no comparison reads as past.
    function expiresAt(uint256 licenceId) external view returns (uint64) {
        uint256 expiry = _expiryOf(_wordOf(licenceId));
        return expiry == 0 ? type(uint64).max : uint64(expiry);
    }

    function isRenewable(uint256 licenceId) external view returns (bool) {
        _wordOf(licenceId);
        return _terms[uint64(licenceId >> NUMBER_SHIFT)].renewable() && !ROYALTIES.isFrozen(licenceId >> ASSET_SHIFT);
    }

    function royaltyInfo(uint256 licenceId, uint256 salePrice) external view returns (address, uint256) {
        return ASSETS.royaltyInfo(licenceId >> ASSET_SHIFT, salePrice);
    }

    function tokenURI(uint256 licenceId) public view override returns (string memory) {
        _wordOf(licenceId);
        return string.concat(
            'data:application/json;utf8,{"name":"Residual licence ',
            Strings.toHexString(licenceId, 32),
            '","terms":"',
            Strings.toHexString(uint256(_termsIds[uint64(licenceId >> NUMBER_SHIFT)]), 32),
            '"}'
        );
    }

    function supportsInterface(bytes4 interfaceId) public view override(ERC721, IERC165) returns (bool) {
        return interfaceId == type(IERC2981).interfaceId || interfaceId == type(IERC5643).interfaceId
            || super.supportsInterface(interfaceId);
    }

    /// A licence that may not change hands does not, and whoever gets one must be eligible as its buyer had to be.
    function _update(address to, uint256 licenceId, address auth) internal override returns (address) {
        if (_ownerOf(licenceId) != address(0)) {
            uint256 number = uint64(licenceId >> NUMBER_SHIFT);
            if (!_terms[number].transferable()) revert NotTransferable(licenceId);
            if (_hooks[number] != address(0)) {
                _requireEligible(number, to, licenceId >> ASSET_SHIFT, _termsIds[number]);
            }
        }
        return super._update(to, licenceId, auth);
    }

    function _checkPrice(uint256 price, address currency) private pure {
        if (price > MAX_PRICE) revert PriceAboveLimit(price);
        if (price != 0 && currency == address(0)) revert CurrencyMissing();
    }

    function _checkText(bytes calldata legalText, bytes calldata textCid) private pure {
        if (legalText.length == 0 || legalText.length > MAX_LEGAL_TEXT_BYTES || textCid.length > MAX_TEXT_CID_BYTES) {
            revert LegalTextLength(legalText.length, textCid.length);
        }
        for (uint256 i = 0; i < legalText.length; ++i) {
            if (legalText[i] < 0x20 || legalText[i] > 0x7e) revert LegalTextNotPrintable(i);
        }
    }

    function _offer(uint256 assetId, bytes32 termsId) private {
        uint256 purchase = _purchaseWord(termsId);
        address currency = purchase.currency();
        if (currency != address(0) && ROYALTIES.listing(currency) != IRoyalties.Listing.Listed) {
            revert CurrencyNotListed(currency);
        }
        uint256 number = purchase.number();
        uint256 terms = _terms[number];
        if (terms.rights() & DERIVE != 0) {
            uint256[4] memory least = ASSETS.leastChildRates(assetId);
            for (uint256 kind = 0; kind < Edges.KINDS; ++kind) {
                uint256 rateBps = Edges.rate(terms.rates(), kind);
                if (rateBps < least[kind]) revert RateBelowParents(kind, rateBps, least[kind]);
            }
        }
        uint256 key = _offerKey(assetId, number);
        uint256 state = _offers[key];
        if (state & LIVE_BIT != 0) revert AlreadyOffered(assetId, termsId);
        _offers[key] = state | LIVE_BIT;
        emit Offered(assetId, termsId);
    }

    /// All of a sale but the payment, which the caller takes last: it calls the token.
    function _sell(uint256 assetId, bytes32 termsId, address recipient, address payer)
        private
        returns (uint256 licenceId, uint256 price, address currency)
    {
        // Reverts for an asset that is not registered; so from here on the id has 128 bits, and no key made of it is
        // another asset's.
        uint256 version = ASSETS.versionCount(assetId);
        uint256 purchase = _purchaseWord(termsId);
        uint256 number = purchase.number();
        uint256 terms = _terms[number];
        uint256 key = _offerKey(assetId, number);
        uint256 state = _offers[key];
        if (state & LIVE_BIT == 0) revert NotOffered(assetId, termsId);
        if (purchase.hasHook()) _requireEligible(number, recipient, assetId, termsId);
        uint256 cap = terms.supplyCap();
        if (cap != 0) {
            if (state / SOLD_ONE >= cap) revert SoldOut(assetId, termsId, cap);
            _offers[key] = state + SOLD_ONE;
        }

        uint256 licences = _assets[assetId] + 1;
        _assets[assetId] = licences;
        licenceId = key << NUMBER_SHIFT | uint64(licences);
        uint256 period = terms.period();
        uint256 expiry = period == 0 ? 0 : SafeCast.toUint40(block.timestamp + period);
        _words[licenceId] = expiry << EXPIRY_SHIFT | version << VERSION_SHIFT;
        _mint(recipient, licenceId);
        emit Bought(licenceId, recipient, termsId, payer, expiry, version);
        return (licenceId, terms.price(), purchase.currency());
    }

    function _requireEligible(uint256 number, address account, uint256 assetId, bytes32 termsId) private view {
        address hook = _hooks[number];
        bytes memory question = abi.encodeCall(IEligibility.isEligible, (account, assetId, termsId));
        bool eligible;
        // Reads one word of the answer, however long it is.
        assembly ("memory-safe") {
            mstore(0, 0)
            let done := staticcall(HOOK_GAS, hook, add(question, 32), mload(question), 0, 32)
            eligible := and(and(done, gt(returndatasize(), 31)), eq(mload(0), 1))
        }
        if (!eligible) revert NotEligible(account, assetId, termsId);
    }

    function _licensee(uint256 licenceId) private view returns (uint256 word) {
        word = _wordOf(licenceId);
        if (!_isAuthorized(address(uint160(word)), msg.sender, licenceId)) revert NotLicensee(licenceId, msg.sender);
    }

    function _purchaseWord(bytes32 termsId) private view returns (uint256 word) {
        word = _purchases[termsId];
        if (word == 0) revert UnknownTerms(termsId);
    }

    function _wordOf(uint256 licenceId) private view returns (uint256 word) {
        word = _words[licenceId];
        if (word == 0) revert UnknownLicence(licenceId);
    }

    function _offerKey(uint256 assetId, uint256 number) private pure returns (uint256) {
        return assetId << NUMBER_SHIFT | number;
    }

    /// Zero means never, not long ago.
    function _isLive(uint256 word) private view returns (bool) {
        uint256 expiry = _expiryOf(word);
        return expiry == 0 || block.timestamp < expiry;
    }

    function _expiryOf(uint256 word) private pure returns (uint40) {
        // forge-lint: disable-next-line(unsafe-typecast) -- the field has 40 bits
        return uint40(word >> EXPIRY_SHIFT);
    }

    function _usedOf(uint256 word) private pure returns (uint24) {
        // forge-lint: disable-next-line(unsafe-typecast) -- the field has 24 bits
        return uint24(word >> USED_SHIFT);
    }
}
