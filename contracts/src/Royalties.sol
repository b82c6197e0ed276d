// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Till} from "./Till.sol";
import {IAssets} from "./interfaces/IAssets.sol";
import {ILicences} from "./interfaces/ILicences.sol";
import {IReceiveWithAuthorization} from "./interfaces/IReceiveWithAuthorization.sol";
import {IRoyalties} from "./interfaces/IRoyalties.sol";
import {IShares} from "./interfaces/IShares.sol";
import {ITill} from "./interfaces/ITill.sol";
import {Edges} from "./libraries/Edges.sol";
import {Formula} from "./libraries/Formula.sol";
import {Revenue} from "./libraries/Revenue.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// See {IRoyalties}. The only contract that holds revenue. Refuses upgrades, owners and pauses: beside the parameters
/// that the governor sets and the arbiter's freeze, nobody decides anything here.
///
/// It has the suite's one lock. Everything that moves money or shares passes through a function that takes it, so a
/// token that calls back finds all of that closed, in this contract and, through it, in `Shares` and `Licences`.
/// Amounts that come in are measured, not believed; the lock is what makes the measure right.
contract Royalties is IRoyalties, ReentrancyGuardTransient, Multicall {
    using Revenue for uint256;
    using Revenue for Revenue.Account;
    using SafeERC20 for IERC20;

    uint256 private constant MAX_FEE_BPS = 500;
    uint256 private constant MAX_OPERATOR_BPS = 5000;
    /// That are ever listed, and so in an asset's set.
    uint256 private constant MAX_TOKENS = 4;
    uint256 private constant FREEZE_SECONDS = 90 days;

    struct TokenState {
        Listing listing;
        uint248 fees;
    }

    struct AssetState {
        uint40 frozenUntil;
        uint64 grantsRevision;
    }

    struct OperatorState {
        uint128 net;
        uint128 paid;
    }

    IAssets private immutable ASSETS;
    IShares private immutable SHARES;
    ILicences private immutable LICENCES;
    address public immutable governor;
    address public immutable tillImplementation;

    address public treasury;
    uint16 private _feeBps;
    address public arbiter;
    /// How many tokens were ever listed.
    uint8 private _tokensListed;

    mapping(address token => TokenState) private _tokens;
    mapping(uint256 assetId => AssetState) private _assets;
    /// Filled from the front.
    mapping(uint256 assetId => address[MAX_TOKENS]) private _tokensOf;
    mapping(address token => mapping(uint256 assetId => Revenue.Account)) private _accounts;
    /// By the till's salt.
    mapping(bytes32 salt => bool) private _granted;
    mapping(bytes32 salt => mapping(address token => OperatorState)) private _operators;
    mapping(address account => mapping(address token => uint256)) private _awards;
    mapping(uint256 parentId => mapping(address token => uint256)) private _diverted;

    modifier onlyGovernor() {
        if (msg.sender != governor) revert OnlyGovernor(msg.sender);
        _;
    }

    modifier onlyArbiter() {
        if (msg.sender != arbiter) revert OnlyArbiter(msg.sender);
        _;
    }

    constructor(
        IAssets assets,
        IShares shares,
        ILicences licences,
        address governor_,
        address arbiter_,
        address treasury_,
        uint16 feeBps_,
        address[] memory listed
    ) {
        if (governor_ == address(0)) revert AddressZero();
        ASSETS = assets;
        SHARES = shares;
        LICENCES = licences;
        governor = governor_;
        tillImplementation = address(new Till());
        _setArbiter(arbiter_);
        _setTreasury(treasury_);
        _setFee(feeBps_);
        for (uint256 i = 0; i < listed.length; ++i) {
            _setListing(listed[i], true);
        }
    }

    // Money in

    function pay(uint256 assetId, Kind kind, address token, uint256 amount)
        external
        nonReentrant
        returns (uint256 received)
    {
        _requireKnown(token);
        received = _pull(token, msg.sender, amount);
        _credit(assetId, kind, token, msg.sender, received, 0);
    }

    function creditPurchase(uint256 assetId, address token, address payer, uint256 amount) external nonReentrant {
        if (msg.sender != address(LICENCES)) revert OnlyLicences(msg.sender);
        _credit(assetId, Kind.Licence, token, payer, _pull(token, payer, amount), 0);
    }

    function creditAuthorizedPurchase(
        uint256 assetId,
        address token,
        address payer,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external nonReentrant {
        if (msg.sender != address(LICENCES)) revert OnlyLicences(msg.sender);
        uint256 before = IERC20(token).balanceOf(address(this));
        IReceiveWithAuthorization(token)
            .receiveWithAuthorization(payer, address(this), amount, validAfter, validBefore, nonce, signature);
        _credit(assetId, Kind.Licence, token, payer, _receivedSince(token, before), 0);
    }

    function sweep(uint256 assetId, Kind kind, address operator, uint16 operatorBps, address token)
        external
        nonReentrant
        returns (uint256 received)
    {
        _requireKnown(token);
        bytes32 salt = _tillSalt(assetId, kind, operator, operatorBps);
        address from = _tillAt(salt);
        if (IERC20(token).balanceOf(from) == 0) return 0;
        if (from.code.length == 0) Clones.cloneDeterministic(tillImplementation, salt);
        uint256 before = IERC20(token).balanceOf(address(this));
        ITill(from).sweep(token);
        received = _receivedSince(token, before);

        bool granted = _granted[salt];
        uint256 net = _credit(assetId, kind, token, from, received, granted ? operatorBps : 0);
        // No check is needed: an asset's totals hold a till's, and have 112 bits.
        if (granted) _operators[salt][token].net += uint128(net);
        emit Swept(assetId, operator, from, token, kind, operatorBps, granted);
    }

    // Money up the lineage

    function flow(uint256 childId, address token, uint256 kinds) external nonReentrant {
        if (kinds == 0 || kinds >= 1 << Revenue.KINDS) revert KindsNotValid(kinds);
        (bytes memory lineage, bool inheritedCounts) = ASSETS.lineage(childId);
        uint256 length = Edges.count(lineage);
        if (length == 0) return;
        Revenue.Account storage account = _accounts[token][childId];

        uint256[] memory amounts = new uint256[](length * Revenue.KINDS);
        uint256 count;
        uint256 carried;
        for (uint256 kind = 0; kind < Revenue.KINDS; ++kind) {
            if (kinds >> kind & 1 == 0) continue;
            Step memory step = _step(account, kind, inheritedCounts);
            if (!_hasMoved(step)) continue;
            carried |= 1 << kind;
            account.ownFlowed[kind / 2] = account.ownFlowed[kind / 2].withTotal(kind % 2, step.own);
            if (inheritedCounts) {
                account.inheritedFlowed[kind / 2] =
                    account.inheritedFlowed[kind / 2].withTotal(kind % 2, step.inherited);
            }
            _carry(lineage, token, childId, kind, step, amounts, count);
            count += length;
        }
        if (carried == 0) return;
        // Memory-safe: shortens the array to what was filled.
        assembly ("memory-safe") {
            mstore(amounts, count)
        }
        emit Flowed(childId, token, carried, amounts);
    }

    // Money out

    function claim(uint256 assetId, address token, address to) external nonReentrant returns (uint256 amount) {
        Revenue.Account storage account = _accounts[token][assetId];
        uint256 word = account.holders[msg.sender];
        (amount, word) = word.reckoned(_sharesOwed(assetId, account), SHARES.balanceOf(msg.sender, assetId)).paid();
        if (amount == 0) return 0;
        account.holders[msg.sender] = word;
        emit Claimed(assetId, token, msg.sender, to, amount);
        _send(token, to, amount);
    }

    function claimOperator(uint256 assetId, Kind kind, uint16 operatorBps, address token, address to)
        external
        nonReentrant
        returns (uint256 amount)
    {
        OperatorState storage state = _operators[_tillSalt(assetId, kind, msg.sender, operatorBps)][token];
        uint256 owed = Formula.operatorOwed(state.net, operatorBps);
        amount = owed - state.paid;
        if (amount == 0) return 0;
        // At most half of `net`, which fits.
        state.paid = uint128(owed);
        emit OperatorClaimed(assetId, token, msg.sender, kind, operatorBps, to, amount);
        _send(token, to, amount);
    }

    function claimAward(address token, address to) external nonReentrant returns (uint256 amount) {
        amount = _awards[msg.sender][token];
        if (amount == 0) return 0;
        _awards[msg.sender][token] = 0;
        emit AwardClaimed(msg.sender, token, to, amount);
        _send(token, to, amount);
    }

    function collectFees(address token) external nonReentrant returns (uint256 amount) {
        amount = _tokens[token].fees;
        if (amount == 0) return 0;
        _tokens[token].fees = 0;
        address to = treasury;
        emit FeesCollected(token, to, amount);
        _send(token, to, amount);
    }

    // Shares

    function checkpoint(uint256 assetId, address from, uint256 fromUnits, address to, uint256 toUnits)
        external
        nonReentrant
    {
        if (msg.sender != address(SHARES)) revert OnlyShares(msg.sender);
        for (uint256 i = 0; i < MAX_TOKENS; ++i) {
            address token = _tokensOf[assetId][i];
            if (token == address(0)) return;
            Revenue.Account storage account = _accounts[token][assetId];
            uint256 owed = _sharesOwed(assetId, account);
            account.holders[from] = account.holders[from].reckoned(owed, fromUnits);
            // For a transfer to oneself this finds nothing new.
            account.holders[to] = account.holders[to].reckoned(owed, toUnits);
        }
    }

    // Operators

    function grant(uint256 assetId, Kind kind, address operator, uint16 operatorBps) external {
        bytes32 salt = _controlledSalt(assetId, kind, operator, operatorBps);
        if (operator == address(0)) revert OperatorZero();
        // A controller whose asset is frozen could otherwise send the held half to itself as an operator.
        if (isFrozen(assetId)) revert FrozenAsset(assetId);
        (uint256[4] memory rates,) = ASSETS.rateSums(assetId);
        uint256 kept = Formula.BASIS - rates[uint256(kind)];
        uint256 most = kept < MAX_OPERATOR_BPS ? kept : MAX_OPERATOR_BPS;
        if (operatorBps == 0 || operatorBps > most) revert OperatorBpsNotValid(operatorBps, most);
        if (_granted[salt]) revert AlreadyGranted(assetId, kind, operator, operatorBps);
        _granted[salt] = true;
        _assets[assetId].grantsRevision += 1;
        emit OperatorGranted(assetId, operator, kind, operatorBps);
    }

    function revoke(uint256 assetId, Kind kind, address operator, uint16 operatorBps) external {
        bytes32 salt = _controlledSalt(assetId, kind, operator, operatorBps);
        if (!_granted[salt]) revert NotGranted(assetId, kind, operator, operatorBps);
        _granted[salt] = false;
        _assets[assetId].grantsRevision += 1;
        emit OperatorRevoked(assetId, operator, kind, operatorBps);
    }

    // The arbiter

    function freeze(uint256 assetId) external nonReentrant onlyArbiter {
        if (!ASSETS.exists(assetId)) revert UnknownAsset(assetId);
        if (isFrozen(assetId)) revert AlreadyFrozen(assetId, _assets[assetId].frozenUntil);
        uint40 until = uint40(block.timestamp + FREEZE_SECONDS);
        _assets[assetId].frozenUntil = until;
        for (uint256 i = 0; i < MAX_TOKENS; ++i) {
            address token = _tokensOf[assetId][i];
            if (token == address(0)) break;
            // Whatever an earlier freeze held has returned by now: the new one begins above it.
            _accounts[token][assetId].holdFromHere();
        }
        emit Frozen(assetId, until);
    }

    function rule(uint256 assetId, address claimant) external nonReentrant onlyArbiter {
        if (!isFrozen(assetId)) revert NotFrozen(assetId);
        _assets[assetId].frozenUntil = 0;
        emit Ruled(assetId, claimant);
        if (claimant == address(0)) return;
        for (uint256 i = 0; i < MAX_TOKENS; ++i) {
            address token = _tokensOf[assetId][i];
            if (token == address(0)) break;
            Revenue.Account storage account = _accounts[token][assetId];
            uint256 amount = _heldOf(account);
            if (amount == 0) continue;
            account.extras.taken += SafeCast.toUint120(amount);
            _awards[claimant][token] += amount;
            emit Awarded(assetId, token, claimant, amount);
        }
    }

    function releaseDiverted(uint256 parentId, address token, address to)
        external
        nonReentrant
        onlyArbiter
        returns (uint256 amount)
    {
        if (to == address(0)) revert AddressZero();
        amount = _diverted[parentId][token];
        if (amount == 0) return 0;
        _diverted[parentId][token] = 0;
        _awards[to][token] += amount;
        emit DivertedReleased(parentId, token, to, amount);
    }

    // The governor

    function setFee(uint16 feeBps_) external onlyGovernor {
        _setFee(feeBps_);
    }

    function setTreasury(address treasury_) external onlyGovernor {
        _setTreasury(treasury_);
    }

    function setArbiter(address arbiter_) external onlyGovernor {
        _setArbiter(arbiter_);
    }

    function setListing(address token, bool listed) external onlyGovernor {
        _setListing(token, listed);
    }

    // Views

    function till(uint256 assetId, Kind kind, address operator, uint16 operatorBps) public view returns (address) {
        return _tillAt(_tillSalt(assetId, kind, operator, operatorBps));
    }

    function revenue(uint256 assetId, address token)
        external
        view
        returns (uint256[4] memory own, uint256[4] memory inherited)
    {
        Revenue.Account storage account = _accounts[token][assetId];
        return (Revenue.totals(account.own), Revenue.totals(account.inherited));
    }

    function flowed(uint256 assetId, address token)
        external
        view
        returns (uint256[4] memory own, uint256[4] memory inherited)
    {
        Revenue.Account storage account = _accounts[token][assetId];
        own = Revenue.totals(account.ownFlowed);
        // Where no edge depends on inherited revenue, its cursor stays behind: all of it has been carried, to nobody.
        (, bool inheritedCounts) = ASSETS.lineage(assetId);
        inherited = Revenue.totals(inheritedCounts ? account.inheritedFlowed : account.inherited);
    }

    function sharesOwed(uint256 assetId, address token) external view returns (uint256) {
        return _sharesOwed(assetId, _accounts[token][assetId]);
    }

    function held(uint256 assetId, address token) external view returns (uint256) {
        return isFrozen(assetId) ? _heldOf(_accounts[token][assetId]) : 0;
    }

    function claimable(uint256 assetId, address token, address holder) external view returns (uint256 amount) {
        Revenue.Account storage account = _accounts[token][assetId];
        uint256 word = account.holders[holder];
        (amount,) = word.reckoned(_sharesOwed(assetId, account), SHARES.balanceOf(holder, assetId)).paid();
    }

    function holderState(uint256 assetId, address token, address holder)
        external
        view
        returns (uint256 reckoned, uint256 owedMillionths)
    {
        return _accounts[token][assetId].holders[holder].split();
    }

    function operatorClaimable(uint256 assetId, Kind kind, address operator, uint16 operatorBps, address token)
        external
        view
        returns (uint256)
    {
        OperatorState storage state = _operators[_tillSalt(assetId, kind, operator, operatorBps)][token];
        return Formula.operatorOwed(state.net, operatorBps) - state.paid;
    }

    function operatorState(uint256 assetId, Kind kind, address operator, uint16 operatorBps, address token)
        external
        view
        returns (uint256 net, uint256 paid)
    {
        OperatorState storage state = _operators[_tillSalt(assetId, kind, operator, operatorBps)][token];
        return (state.net, state.paid);
    }

    function award(address account, address token) external view returns (uint256) {
        return _awards[account][token];
    }

    function diverted(uint256 parentId, address token) external view returns (uint256) {
        return _diverted[parentId][token];
    }

    function pendingFlow(uint256 childId, address token)
        public
        view
        returns (uint256[] memory parents, uint256[][4] memory amounts)
    {
        (bytes memory lineage, bool inheritedCounts) = ASSETS.lineage(childId);
        Revenue.Account storage account = _accounts[token][childId];
        parents = new uint256[](Edges.count(lineage));
        for (uint256 i = 0; i < parents.length; ++i) {
            parents[i] = Edges.parentOf(Edges.get(lineage, i));
        }
        for (uint256 kind = 0; kind < Revenue.KINDS; ++kind) {
            Step memory step = _step(account, kind, inheritedCounts);
            amounts[kind] = new uint256[](parents.length);
            for (uint256 i = 0; i < parents.length; ++i) {
                amounts[kind][i] = _due(step, Edges.get(lineage, i), kind);
            }
        }
    }

    function pendingTill(uint256 assetId, Kind kind, address operator, uint16 operatorBps, address token)
        public
        view
        returns (uint256)
    {
        return IERC20(token).balanceOf(till(assetId, kind, operator, operatorBps));
    }

    function pending(uint256 assetId, address token)
        external
        view
        returns (uint256[4] memory inTills, uint256[4] memory toParents)
    {
        (uint256[] memory parents, uint256[][4] memory amounts) = pendingFlow(assetId, token);
        for (uint256 kind = 0; kind < Revenue.KINDS; ++kind) {
            inTills[kind] = pendingTill(assetId, Kind(kind), address(0), 0, token);
            for (uint256 i = 0; i < parents.length; ++i) {
                toParents[kind] += amounts[kind][i];
            }
        }
    }

    function tokensOf(uint256 assetId) external view returns (address[] memory tokens) {
        uint256 count;
        while (count < MAX_TOKENS && _tokensOf[assetId][count] != address(0)) ++count;
        tokens = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            tokens[i] = _tokensOf[assetId][i];
        }
    }

    function isGranted(uint256 assetId, Kind kind, address operator, uint16 operatorBps) external view returns (bool) {
        return _granted[_tillSalt(assetId, kind, operator, operatorBps)];
    }

    function grantsRevision(uint256 assetId) external view returns (uint256) {
        return _assets[assetId].grantsRevision;
    }

    function isFrozen(uint256 assetId) public view returns (bool) {
        return block.timestamp < _assets[assetId].frozenUntil;
    }

    function frozenUntil(uint256 assetId) external view returns (uint256) {
        return _assets[assetId].frozenUntil;
    }

    function listing(address token) external view returns (Listing) {
        return _tokens[token].listing;
    }

    function feesAccrued(address token) external view returns (uint256) {
        return _tokens[token].fees;
    }

    function feeBps() external view returns (uint256) {
        return _feeBps;
    }

    // Crediting

    /// Credits what came in to an asset's own revenue.
    /// @param operatorBps the granted part of the operator whose till it came through; zero without one
    /// @return net what remained after the fee
    function _credit(uint256 assetId, Kind kind, address token, address source, uint256 gross, uint256 operatorBps)
        private
        returns (uint256 net)
    {
        // A total has 112 bits, so this bound is no loss, and keeps all that follows far from a word's end.
        if (gross > Revenue.MAX_TOTAL) revert RevenueAboveLimit(assetId, token, gross);
        uint256 fee = Formula.fee(gross, _feeBps);
        net = gross - fee;
        if (fee != 0) _tokens[token].fees += uint248(fee);

        uint256 pair = uint256(kind) / 2;
        uint256 lane = uint256(kind) % 2;
        Revenue.Account storage account = _accounts[token][assetId];
        uint256 word = account.own[pair];
        if (word & Revenue.OPEN_FLAG == 0) {
            if (!ASSETS.exists(assetId)) revert UnknownAsset(assetId);
            _join(assetId, token, account, pair == 0 ? 0 : Revenue.SECOND_OWN_FLAG);
            (uint256[4] memory rates,) = ASSETS.rateSums(assetId);
            // Read anew: joining may have set a flag.
            word = account.own[pair].opened(rates[2 * pair], rates[2 * pair + 1]);
        }
        uint256 total = word.total(lane) + net;
        if (total > Revenue.MAX_TOTAL) revert RevenueAboveLimit(assetId, token, total);
        account.own[pair] = word.add(lane, net);
        if (operatorBps != 0) account.addOperatorPart(uint256(kind), net * operatorBps);
        emit Credited(assetId, token, source, kind, gross, fee);
    }

    /// Credits every parent with what it is owed of one kind, and notes the amounts from `first` on. The one loop whose
    /// length others choose, so it is written to be short.
    function _carry(
        bytes memory lineage,
        address token,
        uint256 childId,
        uint256 kind,
        Step memory step,
        uint256[] memory amounts,
        uint256 first
    ) private {
        mapping(uint256 => Revenue.Account) storage accounts = _accounts[token];
        uint256 pair = kind / 2;
        uint256 lane = kind % 2;
        uint256 length = Edges.count(lineage);
        for (uint256 i = 0; i < length; ++i) {
            uint256 edge = Edges.get(lineage, i);
            uint256 due = _due(step, edge, kind);
            if (due == 0) continue;
            unchecked {
                amounts[first + i] = due;
            }
            uint256 parentId = Edges.parentOf(edge);
            uint256[2] storage inherited = accounts[parentId].inherited;
            uint256 word = inherited[pair];
            if (word & Revenue.OPEN_FLAG == 0) word = _openInherited(parentId, token, pair);
            uint256 total;
            unchecked {
                // What is due is below the child's own and inherited total together, so the sum has at most 114 bits.
                total = word.total(lane) + due;
            }
            if (total <= Revenue.MAX_TOTAL) {
                inherited[pair] = word.add(lane, due);
            } else {
                // One parent that is full must not hold up the others.
                _diverted[parentId][token] += due;
                emit Diverted(parentId, token, childId, Kind(kind), due);
            }
        }
    }

    /// @return word with its rates, which the caller writes
    function _openInherited(uint256 assetId, address token, uint256 pair) private returns (uint256 word) {
        Revenue.Account storage account = _accounts[token][assetId];
        _join(assetId, token, account, Revenue.INHERITED_FLAG);
        if (pair == 0) account.inherited[1] |= Revenue.FIRST_INHERITED_FLAG;
        (, uint256[4] memory rates) = ASSETS.rateSums(assetId);
        return account.inherited[pair].opened(rates[2 * pair], rates[2 * pair + 1]);
    }

    /// Puts a token into the asset's set, if it is not there yet, and sets a flag of the first own word. There is a
    /// place for it: only tokens that were listed come here, and no more of them ever are than the set has places.
    function _join(uint256 assetId, address token, Revenue.Account storage account, uint256 flag) private {
        for (uint256 i = 0;; ++i) {
            address other = _tokensOf[assetId][i];
            if (other == token) break;
            if (other != address(0)) continue;
            _tokensOf[assetId][i] = token;
            // A freeze reaches tokens that the asset first earns in while it lasts; the base is rightly zero.
            if (isFrozen(assetId)) flag |= Revenue.EXTRAS_FLAG;
            break;
        }
        if (flag != 0) account.own[0] |= flag;
    }

    /// What the shares were owed since the beginning, less what a freeze holds now and what rulings took. It never
    /// falls: a freeze begins at the present sum, and a ruling takes exactly what came after.
    function _sharesOwed(uint256 assetId, Revenue.Account storage account) private view returns (uint256 owed) {
        owed = account.sharesOwedUnheld();
        if (account.own[0] & Revenue.EXTRAS_FLAG != 0) {
            Revenue.Extras memory extras = account.extras;
            owed = (isFrozen(assetId) ? extras.base : owed) - extras.taken;
        }
    }

    /// What a freeze that lasts holds.
    function _heldOf(Revenue.Account storage account) private view returns (uint256) {
        return account.sharesOwedUnheld() - account.extras.base;
    }

    // Flowing

    /// Where one kind stands, and up to where it was carried.
    struct Step {
        uint256 own;
        uint256 inherited;
        uint256 ownBefore;
        uint256 inheritedBefore;
    }

    /// @param inheritedCounts inherited revenue concerns only parents of reach `Child`; without one it is not even read
    function _step(Revenue.Account storage account, uint256 kind, bool inheritedCounts)
        private
        view
        returns (Step memory step)
    {
        uint256 pair = kind / 2;
        uint256 lane = kind % 2;
        step.own = account.own[pair].total(lane);
        step.ownBefore = account.ownFlowed[pair].total(lane);
        if (inheritedCounts) {
            step.inherited = account.inherited[pair].total(lane);
            step.inheritedBefore = account.inheritedFlowed[pair].total(lane);
        }
    }

    function _hasMoved(Step memory step) private pure returns (bool) {
        return step.own != step.ownBefore || step.inherited != step.inheritedBefore;
    }

    /// What an edge is owed beyond what was carried: a difference of two cumulative sums, so that no number or order of
    /// flows changes where it ends (PAY-2, PAY-4).
    function _due(Step memory step, uint256 edge, uint256 kind) private pure returns (uint256) {
        (uint256 all, uint256 child) = Edges.ratesOf(edge, kind);
        unchecked {
            // The sums never fall, so the difference is never negative.
            return Formula.edgeOwed(step.own, step.inherited, all, child)
                - Formula.edgeOwed(step.ownBefore, step.inheritedBefore, all, child);
        }
    }

    // Tokens

    function _requireKnown(address token) private view {
        if (_tokens[token].listing == Listing.Never) revert TokenNeverListed(token);
    }

    /// @return received what arrived, which a token with fees makes less than the amount
    function _pull(address token, address from, uint256 amount) private returns (uint256 received) {
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(from, address(this), amount);
        return _receivedSince(token, before);
    }

    function _receivedSince(address token, uint256 before) private view returns (uint256) {
        uint256 present = IERC20(token).balanceOf(address(this));
        if (present <= before) revert NothingReceived(token);
        return present - before;
    }

    function _send(address token, address to, uint256 amount) private {
        if (to == address(0)) revert AddressZero();
        IERC20(token).safeTransfer(to, amount);
    }

    // Tills

    function _tillSalt(uint256 assetId, Kind kind, address operator, uint256 operatorBps)
        private
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(assetId, kind, operator, operatorBps));
    }

    function _tillAt(bytes32 salt) private view returns (address) {
        return Clones.predictDeterministicAddress(tillImplementation, salt);
    }

    function _controlledSalt(uint256 assetId, Kind kind, address operator, uint16 operatorBps)
        private
        view
        returns (bytes32)
    {
        if (!ASSETS.isController(assetId, msg.sender)) revert NotController(assetId, msg.sender);
        return _tillSalt(assetId, kind, operator, operatorBps);
    }

    // Parameters

    function _setFee(uint16 feeBps_) private {
        if (feeBps_ > MAX_FEE_BPS) revert FeeAboveLimit(feeBps_);
        _feeBps = feeBps_;
        emit FeeSet(feeBps_);
    }

    function _setTreasury(address treasury_) private {
        if (treasury_ == address(0)) revert AddressZero();
        treasury = treasury_;
        emit TreasurySet(treasury_);
    }

    function _setArbiter(address arbiter_) private {
        if (arbiter_ == address(0)) revert AddressZero();
        arbiter = arbiter_;
        emit ArbiterSet(arbiter_);
    }

    function _setListing(address token, bool listed) private {
        if (token == address(0)) revert AddressZero();
        TokenState storage state = _tokens[token];
        if (listed) {
            if (state.listing == Listing.Never) {
                if (_tokensListed == MAX_TOKENS) revert TooManyTokensListed(token);
                _tokensListed += 1;
            }
            state.listing = Listing.Listed;
        } else if (state.listing == Listing.Listed) {
            state.listing = Listing.Delisted;
        }
        emit ListingSet(token, listed);
    }
}
