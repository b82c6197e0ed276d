//! What the ledger says about one channel. It is passed in; nobody here asks for it.

use residual_primitives::Amount;

/// The confirmed state of a channel: views `channels` and `pendingWithdrawals` of the contract, at a block that the
/// chain's finality rule accepts. All in the token's smallest unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Escrow {
    /// Deposited less withdrawn and refunded; claims do not lower it.
    pub balance: Amount,
    /// Claimed since the channel began, at most `balance`.
    pub total_claimed: Amount,
    /// What the payer has asked to withdraw and not taken yet; zero when nothing is pending.
    pub pending_withdrawal: Amount,
}

impl Escrow {
    /// The highest cumulative voucher that this escrow covers: the balance less the pending withdrawal (CH-3).
    #[must_use]
    pub fn covers(&self) -> Amount {
        Amount(self.balance.0.saturating_sub(self.pending_withdrawal.0))
    }
}
