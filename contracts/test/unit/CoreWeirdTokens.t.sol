// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ILicences} from "../../src/interfaces/ILicences.sol";
import {IRoyalties} from "../../src/interfaces/IRoyalties.sol";
import {CoreFixture} from "../support/CoreFixture.sol";
import {
    BlockingToken,
    CallingToken,
    FalseToken,
    FeeToken,
    OpenToken,
    RebasingToken,
    SilentToken
} from "../support/WeirdTokens.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// TOK-1: a listed token that misbehaves hurts at most those who are owed in it. Every test earns in an honest token
/// first, and finds that untouched at its end.
contract CoreWeirdTokensTest is CoreFixture {
    IRoyalties.Kind private constant INFERENCE = IRoyalties.Kind.Inference;

    uint256 private _parent;
    uint256 private _child;

    function setUp() public override {
        super.setUp();
        _parent = root(alice);
        _child = child(bob, _parent, 1000, ILicences.Reach.All);
        payInference(_child, 10_000);
    }

    modifier honestTokenUntouched() {
        _;
        flow(_child);
        assertEq(claim(_parent, alice), 1000);
        assertEq(claim(_child, bob), 9000);
        assertEq(token.balanceOf(address(royalties)), 0);
    }

    function _listed(address money) private {
        list(money);
        OpenToken(money).mint(payer, 1_000_000);
        vm.prank(payer);
        // SilentToken answers nothing, so the call must not decode.
        (bool done,) =
            money.call(abi.encodeWithSignature("approve(address,uint256)", address(royalties), type(uint256).max));
        assertTrue(done);
    }

    function _pay(address money, uint256 amount) private returns (uint256) {
        vm.prank(payer);
        return royalties.pay(_child, INFERENCE, money, amount);
    }

    function _claim(uint256 assetId, address money, address holder) private returns (uint256) {
        vm.prank(holder);
        return royalties.claim(assetId, money, holder);
    }

    function test_TOK_1_a_token_with_fees_credits_what_arrived() external honestTokenUntouched {
        FeeToken money = new FeeToken();
        _listed(address(money));
        assertEq(_pay(address(money), 1000), 900);
        assertEq(royalties.sharesOwed(_child, address(money)), 810);
        royalties.flow(_child, address(money), ALL_KINDS);
        assertEq(_claim(_parent, address(money), alice), 90);
        assertEq(_claim(_child, address(money), bob), 810);
        assertEq(money.balanceOf(address(royalties)), 0);
    }

    function test_TOK_1_a_till_of_a_token_with_fees_is_swept_for_what_arrives() external honestTokenUntouched {
        FeeToken money = new FeeToken();
        _listed(address(money));
        address till = operatorTill(_child, address(0), 0);
        money.mint(till, 1000);
        assertEq(royalties.sweep(_child, INFERENCE, address(0), 0, address(money)), 900);
    }

    function test_TOK_1_a_token_that_returns_nothing_works() external honestTokenUntouched {
        SilentToken money = new SilentToken();
        _listed(address(money));
        assertEq(_pay(address(money), 1000), 1000);
        assertEq(_claim(_child, address(money), bob), 900);
        address till = operatorTill(_child, address(0), 0);
        money.mint(till, 500);
        assertEq(royalties.sweep(_child, INFERENCE, address(0), 0, address(money)), 500);
    }

    function test_TOK_1_a_token_that_answers_false_credits_nothing() external honestTokenUntouched {
        FalseToken money = new FalseToken();
        _listed(address(money));
        vm.expectRevert(abi.encodeWithSignature("SafeERC20FailedOperation(address)", address(money)));
        _pay(address(money), 1000);
        assertEq(royalties.sharesOwed(_child, address(money)), 0);
    }

    /// Known faults: a receiver that cannot be paid blocks everyone's payout; a token with a blocking list halts
    /// collection. Each holder is paid apart, where it says.
    function test_TOK_1_a_blocked_holder_blocks_nobody_else() external honestTokenUntouched {
        BlockingToken money = new BlockingToken();
        _listed(address(money));
        _pay(address(money), 1000);
        royalties.flow(_child, address(money), ALL_KINDS);
        money.setBlocked(alice, true);
        vm.expectRevert("blocked");
        _claim(_parent, address(money), alice);
        assertEq(_claim(_child, address(money), bob), 900);
        vm.prank(alice);
        assertEq(royalties.claim(_parent, address(money), carol), 100);
        // Nor do shares stay where they are.
        moveShares(_parent, alice, bob, UNITS);
        moveShares(_parent, bob, alice, UNITS);
    }

    /// A token that blocks `Royalties` itself stops its own payments and no other's.
    function test_TOK_1_a_token_that_blocks_the_contract_stops_itself() external honestTokenUntouched {
        BlockingToken money = new BlockingToken();
        _listed(address(money));
        _pay(address(money), 1000);
        money.setBlocked(address(royalties), true);
        vm.expectRevert("blocked");
        _pay(address(money), 1000);
        royalties.flow(_child, address(money), ALL_KINDS);
        moveShares(_child, bob, alice, 1);
        moveShares(_child, alice, bob, 1);
    }

    function test_TOK_1_a_rebase_downwards_is_its_own_tokens_loss() external honestTokenUntouched {
        RebasingToken money = new RebasingToken();
        _listed(address(money));
        _pay(address(money), 1000);
        royalties.flow(_child, address(money), ALL_KINDS);
        money.shrink(address(royalties), 50);
        assertEq(_claim(_child, address(money), bob), 900);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, address(royalties), 50, 100)
        );
        _claim(_parent, address(money), alice);
        money.mint(address(royalties), 50);
        assertEq(_claim(_parent, address(money), alice), 100);
    }

    /// The lock spans the contracts: from inside a token's transfer nothing moves money or shares.
    function test_TOK_1_a_token_that_calls_back_finds_everything_closed() external honestTokenUntouched {
        CallingToken money = new CallingToken();
        _listed(address(money));
        _pay(address(money), 1000);
        money.mint(operatorTill(_child, address(0), 0), 10);
        money.mint(address(money), 1000);
        vm.prank(address(money));
        money.approve(address(royalties), type(uint256).max);
        ILicences.Terms memory terms = plainTerms();
        terms.currency = address(money);
        terms.price = 5;
        bytes32 termsId = offer(_child, terms);
        // The token itself holds shares, so that a transfer from inside has something to move.
        deal1155(address(money), _child, 10);

        bytes[] memory calls = new bytes[](8);
        calls[0] = abi.encodeCall(IRoyalties.pay, (_child, INFERENCE, address(money), 7));
        calls[1] = abi.encodeCall(IRoyalties.sweep, (_child, INFERENCE, address(0), 0, address(money)));
        calls[2] = abi.encodeCall(IRoyalties.flow, (_child, address(money), ALL_KINDS));
        calls[3] = abi.encodeCall(IRoyalties.claim, (_child, address(token), address(money)));
        calls[4] = abi.encodeCall(IRoyalties.claimAward, (address(money), address(money)));
        calls[5] = abi.encodeCall(IRoyalties.collectFees, (address(token)));
        calls[6] = abi.encodeCall(ILicences.buy, (_child, termsId, address(money), 5));
        calls[7] = abi.encodeWithSignature(
            "safeTransferFrom(address,address,uint256,uint256,bytes)", address(money), carol, _child, 1, ""
        );
        for (uint256 i = 0; i < calls.length; ++i) {
            address target = i < 6 ? address(royalties) : i == 6 ? address(licences) : address(shares);
            money.arm(target, calls[i]);
            assertEq(_pay(address(money), 100), 100);
            assertFalse(money.succeeded());
            assertEq(
                money.answer(), abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
            );
        }
        assertEq(royalties.sharesOwed(_child, address(money)), 1620);
        // Free again afterwards; the shares go back, so that the honest token's sums are as they were.
        vm.prank(address(money));
        shares.safeTransferFrom(address(money), bob, _child, 10, "");
    }

    /// Calls back from the transfer out: the claim is written down by then.
    function test_TOK_1_a_claim_cannot_be_taken_twice_from_inside_itself() external honestTokenUntouched {
        CallingToken money = new CallingToken();
        _listed(address(money));
        _pay(address(money), 1000);
        money.arm(address(royalties), abi.encodeCall(IRoyalties.claim, (_child, address(money), bob)));
        assertEq(_claim(_child, address(money), bob), 900);
        assertFalse(money.succeeded());
        assertEq(_claim(_child, address(money), bob), 0);
        assertEq(IERC20(money).balanceOf(address(royalties)), 100);
    }

    /// Gives units to an account that could not accept them by callback: the token is a contract.
    function deal1155(address to, uint256 assetId, uint256 units) private {
        vm.mockCall(
            to,
            abi.encodeWithSignature("onERC1155Received(address,address,uint256,uint256,bytes)"),
            abi.encode(bytes4(0xf23a6e61))
        );
        moveShares(assetId, bob, to, units);
    }
}
