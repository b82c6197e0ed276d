// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAssets} from "../../src/interfaces/IAssets.sol";
import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {CoreFixture} from "../support/CoreFixture.sol";
import {FeeToken, OpenToken, RebasingToken} from "../support/WeirdTokens.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// Acts for everyone; see README.md.
contract CoreHandler is CoreFixture {
    uint256 internal constant MOST_ASSETS = 7;
    uint256 internal constant MOST = 1e24;
    uint16 internal constant OPERATOR_BPS = 450;

    struct Rates {
        uint16[4] all;
        uint16[4] child;
        bool known;
    }

    struct Books {
        uint256 received;
        uint256 paidOut;
        uint256 gifts;
    }

    address[4] public actors;
    address[3] public tokens;
    uint256[] public works;
    uint256[] public licenceIds;

    /// By child and ancestor: what the edge must be.
    mapping(uint256 => mapping(uint256 => Rates)) internal _rates;
    mapping(uint256 => uint256[]) internal _ancestors;
    mapping(uint256 => bytes32) public firstVersion;
    mapping(uint256 => bytes32) public licenceAsBought;
    mapping(address => Books) public books;
    /// By asset, token and actor: what was earned, in millionths, and what was claimed.
    mapping(uint256 => mapping(address => mapping(address => uint256))) public earned;
    mapping(uint256 => mapping(address => mapping(address => uint256))) public claimed;
    /// By asset and token: what the shares were owed when last looked at.
    mapping(uint256 => mapping(address => uint256)) internal _seen;
    bool public fell;
    bool public cameThrough;

    constructor() {
        setUp();
        actors = [alice, bob, carol, stranger];
        tokens = [address(token), address(new FeeToken()), address(new RebasingToken())];
        for (uint256 i = 0; i < 3; ++i) {
            if (i > 0) list(tokens[i]);
            vm.prank(payer);
            IERC20(tokens[i]).approve(address(royalties), type(uint256).max);
        }
        register(0, 0, 0, 0);
        register(1, 1, 700, 1);
        register(2, 3, 1000, 2);
    }

    /// Writes down what every actor earned since the last look, by the units it holds now. Every action looks before
    /// it moves units and after it moves money.
    modifier looksAround() {
        _look();
        _;
        _look();
    }

    function _look() private {
        for (uint256 w = 0; w < works.length; ++w) {
            for (uint256 t = 0; t < tokens.length; ++t) {
                uint256 owed = royalties.sharesOwed(works[w], tokens[t]);
                uint256 before = _seen[works[w]][tokens[t]];
                if (owed < before) fell = true;
                if (owed <= before) continue;
                for (uint256 a = 0; a < actors.length; ++a) {
                    earned[works[w]][tokens[t]][actors[a]] += (owed - before) * shares.balanceOf(actors[a], works[w]);
                }
                _seen[works[w]][tokens[t]] = owed;
            }
        }
    }

    // Actions

    /// @param parents bit i: work i is a parent
    function register(uint256 who, uint256 parents, uint16 rate, uint256 reaches) public looksAround {
        if (works.length == MOST_ASSETS) return;
        address owner = actors[who % 4];
        rate = uint16(bound(rate, 0, 1500));
        uint256[] memory used = new uint256[](works.length);
        uint256 count;
        for (uint256 i = 0; i < works.length; ++i) {
            if (parents >> i & 1 == 0) continue;
            ILicences.Terms memory terms = plainTerms();
            terms.rates = [rate, rate / 2, rate, rate / 3];
            terms.reach = ILicences.Reach(reaches >> i & 1);
            // An offer may be too low for a parent with reach `Child` of its own.
            bytes32 termsId = licences.defineTerms(terms);
            (bool live,) = licences.offerOf(works[i], termsId);
            if (!live) {
                vm.prank(assets.ownerOf(works[i]));
                try licences.offer(works[i], termsId) {}
                catch {
                    continue;
                }
            }
            vm.prank(owner);
            used[count++] = licences.buy(works[i], termsId, owner, 0);
            _remember(used[count - 1]);
        }
        assembly ("memory-safe") {
            mstore(used, count)
        }
        IAssets.Registration memory r = registration(owner, ascending(used));
        r.holders = new address[](2);
        (r.holders[0], r.holders[1]) = (owner, actors[(who % 4 + 1) % 4]);
        r.units = new uint256[](2);
        (r.units[0], r.units[1]) = (700_001, 299_999);
        vm.prank(owner);
        try assets.register(r) returns (uint256 assetId) {
            _expectEdges(assetId, used);
            works.push(assetId);
            firstVersion[assetId] = assets.versionCommitment(assetId, 1);
        } catch (bytes memory reason) {
            // forge-lint: disable-next-line(unsafe-typecast) -- the selector is what is compared
            assertEq(bytes4(reason), IAssets.RatesAboveLimit.selector);
        }
    }

    function pay(uint256 which, uint256 kind, uint256 what, uint256 amount) external looksAround {
        address money = _mint(what, payer, amount);
        vm.prank(payer);
        books[money].received += royalties.pay(_work(which), IRoyalties.Kind(kind % 4), money, bound(amount, 1, MOST));
    }

    function buyPriced(uint256 which, uint256 who, uint256 price) external looksAround {
        price = bound(price, 1, MOST);
        _mint(0, payer, price);
        ILicences.Terms memory terms = pricedTerms(price);
        terms.rights = ACCESS;
        bytes32 termsId = offer(_work(which), terms);
        vm.prank(payer);
        _remember(licences.buy(_work(which), termsId, actors[who % 4], price));
        books[address(token)].received += price;
    }

    function fillTill(uint256 which, bool operated, uint256 what, uint256 amount) external {
        _mint(what, _till(which, operated), amount);
    }

    function sweep(uint256 which, bool operated, uint256 what) external looksAround {
        address money = tokens[what % 3];
        books[money].received += royalties.sweep(
            _work(which), IRoyalties.Kind.Inference, operated ? carol : address(0), operated ? OPERATOR_BPS : 0, money
        );
    }

    function give(uint256 what, uint256 amount) external looksAround {
        address money = tokens[what % 2];
        uint256 before = IERC20(money).balanceOf(address(royalties));
        _mint(what % 2, address(royalties), amount);
        books[money].gifts += IERC20(money).balanceOf(address(royalties)) - before;
    }

    function flow(uint256 which, uint256 what, uint256 kinds) external looksAround {
        royalties.flow(_work(which), tokens[what % 3], bound(kinds, 1, 15));
    }

    function claim(uint256 which, uint256 what, uint256 who) external looksAround {
        (address money, address holder) = (tokens[what % 3], actors[who % 4]);
        vm.prank(holder);
        // What a rebase took cannot be paid; that is its own token's matter.
        try royalties.claim(_work(which), money, holder) returns (uint256 amount) {
            books[money].paidOut += amount;
            claimed[_work(which)][money][holder] += amount;
        } catch {
            assertEq(money, tokens[2]);
        }
    }

    function claimOther(uint256 which, uint256 what, uint256 who) external looksAround {
        address money = tokens[what % 2];
        vm.startPrank(carol);
        books[money].paidOut += royalties.claimOperator(
            _work(which), IRoyalties.Kind.Inference, OPERATOR_BPS, money, carol
        );
        vm.stopPrank();
        vm.prank(actors[who % 4]);
        books[money].paidOut += royalties.claimAward(money, actors[who % 4]);
        books[money].paidOut += royalties.collectFees(money);
    }

    function moveShares(uint256 which, uint256 from, uint256 to, uint256 units) external looksAround {
        address holder = actors[from % 4];
        units = bound(units, 0, shares.balanceOf(holder, _work(which)));
        moveShares(_work(which), holder, actors[to % 4], units);
    }

    function grantOrRevoke(uint256 which) external looksAround {
        uint256 assetId = _work(which);
        bool granted = royalties.isGranted(assetId, IRoyalties.Kind.Inference, carol, OPERATOR_BPS);
        vm.startPrank(assets.ownerOf(assetId));
        if (granted) {
            royalties.revoke(assetId, IRoyalties.Kind.Inference, carol, OPERATOR_BPS);
        } else if (!royalties.isFrozen(assetId)) {
            royalties.grant(assetId, IRoyalties.Kind.Inference, carol, OPERATOR_BPS);
        }
        vm.stopPrank();
    }

    function freezeOrRule(uint256 which, uint256 who) external looksAround {
        uint256 assetId = _work(which);
        vm.startPrank(arbiter);
        if (royalties.isFrozen(assetId)) royalties.rule(assetId, who % 2 == 0 ? address(0) : actors[who % 4]);
        else royalties.freeze(assetId);
        vm.stopPrank();
    }

    function pass(uint256 time) external looksAround {
        vm.warp(block.timestamp + bound(time, 1 hours, 60 days));
    }

    function changeFee(uint16 feeBps) external looksAround {
        setFee(uint16(bound(feeBps, 0, 500)));
    }

    function changeControl(uint256 which, uint256 who) external looksAround {
        uint256 assetId = _work(which);
        address owner = assets.ownerOf(assetId);
        vm.startPrank(owner);
        assets.publishVersion(assetId, "cid", bytes32(which), bytes32(who));
        assets.transferFrom(owner, actors[who % 4], assetId);
        vm.stopPrank();
    }

    function shrink(uint256 amount) external looksAround {
        uint256 balance = IERC20(tokens[2]).balanceOf(address(royalties));
        RebasingToken(tokens[2]).shrink(address(royalties), bound(amount, 0, balance));
    }

    /// ACC-1: what only a controller, a holder or a contract of the suite may do, tried by an outsider.
    function trespass(uint256 which) external looksAround {
        uint256 assetId = _work(which);
        address outsider = makeAddr("outsider");
        bytes32 termsId = licences.defineTerms(plainTerms());
        vm.startPrank(outsider);
        _mustFail(address(assets), abi.encodeCall(IAssets.publishVersion, (assetId, "cid", 0, 0)));
        _mustFail(address(licences), abi.encodeCall(ILicences.offer, (assetId, termsId)));
        _mustFail(address(licences), abi.encodeCall(ILicences.withdraw, (assetId, termsId)));
        _mustFail(
            address(royalties),
            abi.encodeCall(IRoyalties.grant, (assetId, IRoyalties.Kind.Resale, outsider, OPERATOR_BPS))
        );
        _mustFail(address(royalties), abi.encodeCall(IRoyalties.freeze, (assetId)));
        _mustFail(
            address(shares),
            abi.encodeWithSignature(
                "safeTransferFrom(address,address,uint256,uint256,bytes)", actors[which % 4], outsider, assetId, 1, ""
            )
        );
        if (royalties.claim(assetId, address(token), outsider) != 0) cameThrough = true;
        vm.stopPrank();
    }

    function selectors() external pure returns (bytes4[] memory all) {
        all = new bytes4[](17);
        (all[0], all[1], all[2]) = (this.register.selector, this.pay.selector, this.buyPriced.selector);
        (all[3], all[4], all[5]) = (this.fillTill.selector, this.sweep.selector, this.give.selector);
        (all[6], all[7], all[8]) = (this.flow.selector, this.claim.selector, this.claimOther.selector);
        (all[9], all[10]) = (this.moveShares.selector, this.grantOrRevoke.selector);
        (all[11], all[12], all[13]) = (this.freezeOrRule.selector, this.pass.selector, this.changeFee.selector);
        (all[14], all[15], all[16]) = (this.changeControl.selector, this.shrink.selector, this.trespass.selector);
    }

    // What the contracts must show

    function workCount() external view returns (uint256) {
        return works.length;
    }

    function licenceCount() external view returns (uint256) {
        return licenceIds.length;
    }

    function ancestorsOf(uint256 assetId) external view returns (uint256[] memory) {
        return _ancestors[assetId];
    }

    function ratesOf(uint256 assetId, uint256 ancestor) external view returns (Rates memory) {
        return _rates[assetId][ancestor];
    }

    function licenceHash(uint256 licenceId) public view returns (bytes32) {
        ILicences.Licence memory licence = licences.licence(licenceId);
        return keccak256(
            abi.encode(
                licence.assetId,
                licence.termsId,
                licence.version,
                licences.termsSummary(licence.termsId),
                licence.expiresAt
            )
        );
    }

    function suite() external view returns (IAssets, ILicences, IRoyalties) {
        return (assets, licences, royalties);
    }

    function operatorOf() external view returns (address, uint16) {
        return (carol, OPERATOR_BPS);
    }

    // Within

    function _work(uint256 which) private view returns (uint256) {
        return works[which % works.length];
    }

    function _till(uint256 which, bool operated) private view returns (address) {
        return operated ? operatorTill(_work(which), carol, OPERATOR_BPS) : operatorTill(_work(which), address(0), 0);
    }

    function _mint(uint256 what, address to, uint256 amount) private returns (address money) {
        money = tokens[what % 3];
        OpenToken(money).mint(to, bound(amount, 1, MOST));
    }

    function _remember(uint256 licenceId) private {
        licenceIds.push(licenceId);
        licenceAsBought[licenceId] = licenceHash(licenceId);
    }

    function _mustFail(address target, bytes memory call) private {
        (bool done,) = target.call(call);
        if (done) cameThrough = true;
    }

    /// The edges by the rules alone: each licence's rates, and what the parents hand down.
    function _expectEdges(uint256 assetId, uint256[] memory used) private {
        for (uint256 i = 0; i < used.length; ++i) {
            uint256 parent = used[i] >> 128;
            ILicences.TermsSummary memory terms = licences.termsSummary(licences.licence(used[i]).termsId);
            uint16[4] memory nothing;
            if (terms.reach == ILicences.Reach.All) _owe(assetId, parent, terms.rates, nothing);
            else _owe(assetId, parent, nothing, terms.rates);
            uint256[] memory further = _ancestors[parent];
            for (uint256 j = 0; j < further.length; ++j) {
                uint16[4] memory all = _rates[parent][further[j]].all;
                if (all[0] + all[1] + all[2] + all[3] != 0) _owe(assetId, further[j], all, nothing);
            }
        }
    }

    function _owe(uint256 assetId, uint256 ancestor, uint16[4] memory all, uint16[4] memory child) private {
        Rates storage rates = _rates[assetId][ancestor];
        if (!rates.known) _ancestors[assetId].push(ancestor);
        rates.known = true;
        for (uint256 kind = 0; kind < 4; ++kind) {
            if (all[kind] > rates.all[kind]) rates.all[kind] = all[kind];
            if (child[kind] > rates.child[kind]) rates.child[kind] = child[kind];
        }
    }
}

/// Each look at the contracts reads everything, so there are fewer runs than elsewhere.
/// forge-config: default.invariant.runs = 24
/// forge-config: default.invariant.fail-on-revert = true
contract CoreInvariantTest is CoreFixture {
    CoreHandler private _handler;

    function setUp() public override {
        _handler = new CoreHandler();
        (assets, licences, royalties) = _handler.suite();
        targetContract(address(_handler));
        targetSelector(FuzzSelector(address(_handler), _handler.selectors()));
    }

    /// PAY-1: what came in and was not paid out is what is owed and the remainders, and it is there. TOK-1: to the
    /// unit for the honest token, whatever the others do. PAY-2: remainders stay below a unit a part.
    function invariant_PAY_1_PAY_2_TOK_1_recorded_is_owed_and_remainders() external view {
        for (uint256 t = 0; t < 3; ++t) {
            address money = _handler.tokens(t);
            (uint256 received, uint256 paidOut, uint256 gifts) = _handler.books(money);
            uint256 owed = royalties.feesAccrued(money);
            for (uint256 a = 0; a < 4; ++a) {
                owed += royalties.award(_handler.actors(a), money);
            }
            for (uint256 w = 0; w < _handler.workCount(); ++w) {
                owed += _owedFor(_handler.works(w), money);
            }
            assertEq(received - paidOut, owed, "recorded");
            if (t < 2) {
                assertEq(IERC20(money).balanceOf(address(royalties)), received - paidOut + gifts, "balance");
            }
        }
    }

    /// PAY-3, LIN-1, LIN-2: edges, first versions and licences are as they were written, the edges by the rules alone.
    function invariant_PAY_3_LIN_1_LIN_2_what_was_written_stays() external view {
        for (uint256 w = 0; w < _handler.workCount(); ++w) {
            uint256 assetId = _handler.works(w);
            assertEq(assets.versionCommitment(assetId, 1), _handler.firstVersion(assetId));
            IAssets.Edge[] memory edges = assets.edgesOf(assetId);
            assertEq(edges.length, _handler.ancestorsOf(assetId).length);
            for (uint256 i = 0; i < edges.length; ++i) {
                CoreHandler.Rates memory expected = _handler.ratesOf(assetId, edges[i].parentId);
                assertTrue(expected.known);
                assertEq(abi.encode(edges[i].all), abi.encode(expected.all));
                assertEq(abi.encode(edges[i].child), abi.encode(expected.child));
                if (i > 0) assertGt(edges[i].parentId, edges[i - 1].parentId);
                bool older;
                for (uint256 earlier = 0; earlier < w; ++earlier) {
                    if (_handler.works(earlier) == edges[i].parentId) older = true;
                }
                assertTrue(older, "a parent registered before its child");
            }
        }
        for (uint256 i = 0; i < _handler.licenceCount(); ++i) {
            uint256 licenceId = _handler.licenceIds(i);
            assertEq(_handler.licenceHash(licenceId), _handler.licenceAsBought(licenceId));
        }
    }

    /// PAY-5, PAY-8: every holder is owed units x growth by the units it held, whatever was frozen and ruled in between,
    /// and what the shares are owed never falls. ACC-1: no outsider came through.
    function invariant_PAY_5_PAY_8_ACC_1_holders_are_owed_what_they_earned() external view {
        assertFalse(_handler.fell(), "what the shares are owed fell");
        assertFalse(_handler.cameThrough(), "an outsider came through");
        for (uint256 w = 0; w < _handler.workCount(); ++w) {
            uint256 assetId = _handler.works(w);
            for (uint256 t = 0; t < 3; ++t) {
                address money = _handler.tokens(t);
                for (uint256 a = 0; a < 4; ++a) {
                    address holder = _handler.actors(a);
                    uint256 earned = _handler.earned(assetId, money, holder) / 1e6;
                    uint256 claimed = _handler.claimed(assetId, money, holder);
                    assertEq(royalties.claimable(assetId, money, holder), earned - claimed);
                }
            }
        }
    }

    /// All that is owed on account of one asset in one token, and its remainders.
    function _owedFor(uint256 assetId, address money) private view returns (uint256 owed) {
        uint256 held = royalties.held(assetId, money);
        uint256 sharesOwed = royalties.sharesOwed(assetId, money);
        (uint256 remainders, uint256 sharesUnheld) = _remainders(assetId, money);
        assertLe(sharesOwed + held, sharesUnheld, "no more than the shares' part");
        owed = remainders + sharesOwed + held + royalties.diverted(assetId, money);
        for (uint256 a = 0; a < 4; ++a) {
            owed -= _handler.claimed(assetId, money, _handler.actors(a));
        }
        (uint256 net, uint256 paid) = _operator(assetId, money);
        (, uint16 bps) = _handler.operatorOf();
        owed += net * bps / 10_000 - paid;
        (, uint256[4] memory toParents) = royalties.pending(assetId, money);
        for (uint256 kind = 0; kind < 4; ++kind) {
            owed += toParents[kind];
        }
    }

    /// What is left of each kind when everybody has their part, checked to be a rounding and no more.
    function _remainders(uint256 assetId, address money) private view returns (uint256 sum, uint256 sharesUnheld) {
        (uint256[4] memory own, uint256[4] memory inherited) = royalties.revenue(assetId, money);
        (uint256 net,) = _operator(assetId, money);
        (, uint16 bps) = _handler.operatorOf();
        uint256 most = 2 * uint256(assets.asset(assetId).edges) + 2;
        for (uint256 kind = 0; kind < 4; ++kind) {
            uint256 scaled = kind == 2 ? net * bps : 0;
            (uint256 edges, uint256 shares_) = _parts(assetId, kind, own[kind], inherited[kind], scaled);
            uint256 remainder = own[kind] + inherited[kind] - edges - shares_ - scaled / 10_000;
            assertLe(remainder, most, "remainder");
            sum += remainder;
            sharesUnheld += shares_;
        }
    }

    function _operator(uint256 assetId, address money) private view returns (uint256 net, uint256 paid) {
        (address operator, uint16 bps) = _handler.operatorOf();
        return royalties.operatorState(assetId, IRoyalties.Kind.Inference, operator, bps, money);
    }

    function _parts(uint256 assetId, uint256 kind, uint256 own, uint256 inherited, uint256 operatorsScaled)
        private
        view
        returns (uint256 edges, uint256 shares_)
    {
        uint256[] memory ancestors = _handler.ancestorsOf(assetId);
        uint256 ownRates;
        uint256 inheritedRates;
        for (uint256 i = 0; i < ancestors.length; ++i) {
            CoreHandler.Rates memory rates = _handler.ratesOf(assetId, ancestors[i]);
            edges += own * rates.all[kind] / 10_000 + (own + inherited) * rates.child[kind] / 10_000;
            ownRates += uint256(rates.all[kind]) + rates.child[kind];
            inheritedRates += rates.child[kind];
        }
        shares_ =
            (own * (10_000 - ownRates) - operatorsScaled) / 10_000 + inherited * (10_000 - inheritedRates) / 10_000;
    }
}
