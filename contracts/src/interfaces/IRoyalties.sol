// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// All revenue accounting: credit, flow to parents, claim, freeze, and the tills.
///
/// Revenue of an asset is cumulative per token and kind: *own* is what its tills, purchases and payments brought, less
/// the protocol fee; *inherited* is what flowed from its children. From these two numbers and the asset's fixed edges
/// follows what every parent and the shares are owed:
///
/// 1. of a gross payment G the fee is floor(G x fee / 10,000), once, at the first asset; own grows by the rest;
/// 2. an edge is owed floor(own x all / 10,000) + floor((own + inherited) x child / 10,000);
/// 3. the shares are owed floor((own x (10,000 - R_own) - W) / 10,000) + floor(inherited x (10,000 - R_inh) / 10,000),
///    R the sums of the edges' rates; W sums, over the asset's operator tills, net revenue while granted x operatorBps;
/// 4. an operator is owed floor(net revenue through its till while granted x operatorBps / 10,000);
/// 5. what is left is the remainder, never payable.
///
/// Amounts are in the token's smallest unit, rates in basis points, times in UNIX seconds.
interface IRoyalties {
    enum Kind {
        Licence,
        Training,
        Inference,
        Resale
    }

    /// Never: cannot be credited or swept. Listed: can, and can be a currency of new offers. Delisted: as listed, but
    /// for new offers. At most four tokens leave the first state, ever, so that an asset's set of tokens never runs out
    /// of places: else dust of others could close it to the money that it lives on.
    enum Listing {
        Never,
        Listed,
        Delisted
    }

    /// Own revenue was credited: own grows by gross - fee.
    /// @param source the payer, or the till that was swept
    event Credited(
        uint256 indexed assetId, address indexed token, address indexed source, Kind kind, uint256 gross, uint256 fee
    );

    /// Follows the {Credited} of a sweep.
    /// @param operatorBps of the till
    /// @param granted whether the operator gets its part of this sweep's net
    event Swept(
        uint256 indexed assetId,
        address indexed operator,
        address indexed till,
        address token,
        Kind kind,
        uint16 operatorBps,
        bool granted
    );

    /// Parents' parts were carried.
    /// @param kinds bit k: kind k was carried; only kinds with revenue since the last flow
    /// @param amounts for each carried kind, ascending, one amount for each edge, ascending by parent
    event Flowed(uint256 indexed childId, address indexed token, uint256 kinds, uint256[] amounts);

    /// A part of the {Flowed} that follows could not be credited to the parent, whose total would pass 112 bits. It is
    /// held for the arbiter to name its way.
    event Diverted(uint256 indexed parentId, address indexed token, uint256 indexed childId, Kind kind, uint256 amount);
    /// The arbiter named the account to which the diverted part belongs.
    event DivertedReleased(uint256 indexed parentId, address indexed token, address indexed to, uint256 amount);

    event Claimed(uint256 indexed assetId, address indexed token, address indexed holder, address to, uint256 amount);
    event OperatorClaimed(
        uint256 indexed assetId,
        address indexed token,
        address indexed operator,
        Kind kind,
        uint16 operatorBps,
        address to,
        uint256 amount
    );
    event AwardClaimed(address indexed account, address indexed token, address to, uint256 amount);
    event FeesCollected(address indexed token, address indexed treasury, uint256 amount);

    event OperatorGranted(uint256 indexed assetId, address indexed operator, Kind kind, uint16 operatorBps);
    event OperatorRevoked(uint256 indexed assetId, address indexed operator, Kind kind, uint16 operatorBps);

    /// @param until when the freeze ends by itself
    event Frozen(uint256 indexed assetId, uint256 until);
    /// @param claimant zero: what was held is the holders'
    event Ruled(uint256 indexed assetId, address indexed claimant);
    /// What a ruling took from the shares for the claimant, in one token. Follows {Ruled}.
    event Awarded(uint256 indexed assetId, address indexed token, address indexed claimant, uint256 amount);

    event FeeSet(uint256 feeBps);
    event TreasurySet(address treasury);
    event ArbiterSet(address arbiter);
    event ListingSet(address indexed token, bool listed);

    error UnknownAsset(uint256 assetId);
    /// Expected a token that is or was listed.
    error TokenNeverListed(address token);
    /// The asset's total of this kind and token would pass 112 bits.
    error RevenueAboveLimit(uint256 assetId, address token, uint256 total);
    /// The token said yes and moved nothing.
    error NothingReceived(address token);
    /// Expected some of the bits 0 to 3.
    error KindsNotValid(uint256 kinds);
    error NotController(uint256 assetId, address account);
    /// Expected at least 1 and at most `maxBps`: 5,000, and what the shares keep.
    error OperatorBpsNotValid(uint256 operatorBps, uint256 maxBps);
    error OperatorZero();
    error AlreadyGranted(uint256 assetId, Kind kind, address operator, uint256 operatorBps);
    error NotGranted(uint256 assetId, Kind kind, address operator, uint256 operatorBps);
    error AlreadyFrozen(uint256 assetId, uint256 until);
    error NotFrozen(uint256 assetId);
    /// While revenue is held, no part of it can be promised to an operator.
    error FrozenAsset(uint256 assetId);
    error OnlyArbiter(address caller);
    error OnlyGovernor(address caller);
    error OnlyShares(address caller);
    error OnlyLicences(address caller);
    /// Expected at most 500.
    error FeeAboveLimit(uint256 feeBps);
    /// Four tokens were listed before, and a fifth never is; those four can be listed again.
    error TooManyTokensListed(address token);
    error AddressZero();

    /// Pays an asset with the caller's tokens, which must be approved to this contract. What arrives is credited as own
    /// revenue of that kind.
    /// @return received what arrived, before the fee
    function pay(uint256 assetId, Kind kind, address token, uint256 amount) external returns (uint256 received);

    /// Brings all that lies in a till into the asset's own revenue. Anyone may call. An empty till is no error.
    /// @return received what arrived, before the fee
    function sweep(uint256 assetId, Kind kind, address operator, uint16 operatorBps, address token)
        external
        returns (uint256 received);

    /// Carries to all parents of a child what they are owed since the last flow. Anyone may call; nothing to carry is
    /// no error.
    /// @param kinds bit k: carry kind k
    function flow(uint256 childId, address token, uint256 kinds) external;

    /// Pays the caller the whole units that its shares of the asset have earned.
    /// @param to where they go
    /// @return amount what was sent; zero is no error
    function claim(uint256 assetId, address token, address to) external returns (uint256 amount);

    /// Pays the caller its part of what came through its till.
    function claimOperator(uint256 assetId, Kind kind, uint16 operatorBps, address token, address to)
        external
        returns (uint256 amount);

    /// Pays the caller what the arbiter named as its own.
    function claimAward(address token, address to) external returns (uint256 amount);

    /// Sends the accrued protocol fees of a token to the treasury. Anyone may call.
    function collectFees(address token) external returns (uint256 amount);

    /// Promises an operator a part of the shares' part of what comes through its till of that kind, from the next
    /// sweep on. Only the controller, who may name itself: see {IAssets} for what that means to holders of shares.
    /// @param operatorBps at most 5,000 and at most what the shares keep of own revenue of that kind
    function grant(uint256 assetId, Kind kind, address operator, uint16 operatorBps) external;

    /// Ends a grant; what was swept before stays the operator's. Only the controller.
    function revoke(uint256 assetId, Kind kind, address operator, uint16 operatorBps) external;

    /// Holds apart the shares' part of all revenue credited from now on, until a ruling or for 90 days. Only the
    /// arbiter. Parents' and operators' parts go on.
    ///
    /// But for {releaseDiverted} that is the arbiter's whole power over revenue, and it is a large one: all that the
    /// shares earn while an asset is frozen goes where {rule} says, and nothing here bounds how often the arbiter
    /// freezes. What was credited before a freeze is out of its reach.
    function freeze(uint256 assetId) external;

    /// Ends a freeze. Only the arbiter.
    /// @param claimant who gets what was held; zero: the holders
    function rule(uint256 assetId, address claimant) external;

    /// Gives what could not be credited to a parent to an account, which takes it with {claimAward}. Only the arbiter.
    function releaseDiverted(uint256 parentId, address token, address to) external returns (uint256 amount);

    /// Only the governor, as for all of these. None reaches what was credited to an asset before.
    /// @param feeBps at most 500
    function setFee(uint16 feeBps) external;
    /// Also redirects the fees that have accrued and were not collected: {collectFees} first leaves them where they
    /// were going.
    function setTreasury(address treasury) external;
    function setArbiter(address arbiter) external;
    /// Reverts for a fifth token. Taking a token off the list that never was on it changes nothing.
    function setListing(address token, bool listed) external;

    /// Pulls and credits the price of a licence. Only `Licences`.
    function creditPurchase(uint256 assetId, address token, address payer, uint256 amount) external;

    /// The same with a payment signed by EIP-3009. Only `Licences`.
    function creditAuthorizedPurchase(
        uint256 assetId,
        address token,
        address payer,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;

    /// Writes down what both sides of a transfer of shares earned so far. Only `Shares`, before it moves units.
    function checkpoint(uint256 assetId, address from, uint256 fromUnits, address to, uint256 toUnits) external;

    /// The address of a till: CREATE2 by this contract of an ERC-1167 proxy of {tillImplementation}, the salt
    /// keccak256(abi.encode(assetId, kind, operator, operatorBps)). It can be paid before it has code.
    function till(uint256 assetId, Kind kind, address operator, uint16 operatorBps) external view returns (address);

    function tillImplementation() external view returns (address);

    /// Cumulative revenue for each kind.
    function revenue(uint256 assetId, address token)
        external
        view
        returns (uint256[4] memory own, uint256[4] memory inherited);

    /// Up to where revenue was carried to the parents, for each kind.
    function flowed(uint256 assetId, address token)
        external
        view
        returns (uint256[4] memory own, uint256[4] memory inherited);

    /// What the shares were owed since the beginning, all kinds together: less what a freeze holds now and what rulings
    /// took. It never falls.
    function sharesOwed(uint256 assetId, address token) external view returns (uint256);

    /// What a freeze holds now.
    function held(uint256 assetId, address token) external view returns (uint256);

    /// What {claim} would send.
    function claimable(uint256 assetId, address token, address holder) external view returns (uint256);

    /// The holder's word: the sum owed to the shares up to which it was reckoned, and what it is owed of that, unpaid,
    /// in millionths of the token's smallest unit.
    function holderState(uint256 assetId, address token, address holder)
        external
        view
        returns (uint256 reckoned, uint256 owedMillionths);

    /// What {claimOperator} would send.
    function operatorClaimable(uint256 assetId, Kind kind, address operator, uint16 operatorBps, address token)
        external
        view
        returns (uint256);

    /// An operator till's net revenue while granted, and how much of its part was paid.
    function operatorState(uint256 assetId, Kind kind, address operator, uint16 operatorBps, address token)
        external
        view
        returns (uint256 net, uint256 paid);

    /// What {claimAward} would send.
    function award(address account, address token) external view returns (uint256);

    /// What could not be credited to a parent and has no owner yet.
    function diverted(uint256 parentId, address token) external view returns (uint256);

    /// What {flow} would carry now, by kind and edge.
    /// @return parents the edges' parents, ascending
    /// @return amounts `amounts[k][i]` is of kind k, for `parents[i]`
    function pendingFlow(uint256 childId, address token)
        external
        view
        returns (uint256[] memory parents, uint256[][4] memory amounts);

    /// What lies in a till.
    function pendingTill(uint256 assetId, Kind kind, address operator, uint16 operatorBps, address token)
        external
        view
        returns (uint256);

    /// What is on its way, for each kind: in the asset's tills without an operator, and not yet carried to its parents.
    function pending(uint256 assetId, address token)
        external
        view
        returns (uint256[4] memory inTills, uint256[4] memory toParents);

    /// The tokens in which an asset earned, in the order of their first credit; at most four.
    function tokensOf(uint256 assetId) external view returns (address[] memory);

    function isGranted(uint256 assetId, Kind kind, address operator, uint16 operatorBps) external view returns (bool);

    /// How often grants of the asset changed.
    function grantsRevision(uint256 assetId) external view returns (uint256);

    function isFrozen(uint256 assetId) external view returns (bool);

    /// When the last freeze ends or ended; zero if there was none or a ruling ended it.
    function frozenUntil(uint256 assetId) external view returns (uint256);

    function listing(address token) external view returns (Listing);

    /// Protocol fees of a token not yet collected.
    function feesAccrued(address token) external view returns (uint256);

    function feeBps() external view returns (uint256);
    function treasury() external view returns (address);
    function arbiter() external view returns (address);
    function governor() external view returns (address);
}
