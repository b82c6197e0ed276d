//! Why an operation is refused: one error for each group of operations, equal in meaning to the contracts' errors.
//!
//! When several reasons hold at once, which one is named may differ from the contracts.

use residual_primitives::{
    Address, Amount, AssetId, LicenceId, MAX_TOKENS, RevenueKind, SHARES_SUPPLY, TermsId,
};

use crate::lineage::LineageError;

/// Why revenue cannot be credited.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum CreditError {
    /// Not registered.
    #[error("expected a registered asset, found {asset}: register it before paying it")]
    UnknownAsset {
        /// The asset.
        asset: AssetId,
    },
    /// Never listed.
    #[error("expected a token that is or was listed, found {token}: have it listed first")]
    TokenNeverListed {
        /// The token.
        token: Address,
    },
    /// The payment or the asset's total would not fit.
    #[error(
        "asset {asset} takes at most 2^112 - 1 units of {token} as {kind} revenue, at once and in all: pay less"
    )]
    RevenueAboveLimit {
        /// The asset.
        asset: AssetId,
        /// The token.
        token: Address,
        /// The revenue kind.
        kind: RevenueKind,
    },
    /// All that was ever received of the token would not fit the model.
    #[error("expected less than 2^128 units of {token} to be received in all: no honest token has as many")]
    TotalAboveLimit {
        /// The token.
        token: Address,
    },
    /// Nothing arrived.
    #[error("expected some of {token} to arrive, found nothing: pay at least one unit")]
    NothingReceived {
        /// The token.
        token: Address,
    },
}

/// Why terms are not offered, or an offer not withdrawn.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum OfferError {
    /// Not the controller (ACC-1).
    #[error("expected the controller of asset {asset}, found {account}: only the controller makes offers")]
    NotController {
        /// The asset.
        asset: AssetId,
        /// The account.
        account: Address,
    },
    /// Not defined.
    #[error("expected defined terms, found {terms}: define them first")]
    UnknownTerms {
        /// The terms.
        terms: TermsId,
    },
    /// Offered already.
    #[error("asset {asset} offers terms {terms} already")]
    AlreadyOffered {
        /// The asset.
        asset: AssetId,
        /// The terms.
        terms: TermsId,
    },
    /// Not offered.
    #[error("asset {asset} does not offer terms {terms}: nothing to withdraw")]
    NotOffered {
        /// The asset.
        asset: AssetId,
        /// The terms.
        terms: TermsId,
    },
    /// A currency that is not listed.
    #[error("expected a listed currency, found {currency}: offer terms in a listed one")]
    CurrencyNotListed {
        /// The currency.
        currency: Address,
    },
    /// A rate that would cut the chain (PAY-9).
    #[error(
        "expected at least {least} of {kind} revenue for a right to derive, found {found}: the asset owes it to a parent"
    )]
    RateBelowParents {
        /// The revenue kind.
        kind: RevenueKind,
        /// What the asset owes, in basis points.
        least: u16,
        /// What the terms ask for.
        found: u16,
    },
}

/// Why a licence does not serve a derivation, or an asset is not registered.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum RegisterError {
    /// Registered before.
    #[error("asset {asset} is registered already: choose another salt")]
    AssetExists {
        /// The asset.
        asset: AssetId,
    },
    /// A licence named twice or out of order.
    #[error(
        "expected licence ids in strictly ascending order, found number {index} not above the one before it"
    )]
    LicencesNotAscending {
        /// Which, from 0.
        index: usize,
    },
    /// No such licence (LIN-2).
    #[error("expected a licence that was sold, found {licence}")]
    UnknownLicence {
        /// The licence.
        licence: LicenceId,
    },
    /// Somebody else's (LIN-2).
    #[error("expected {account} to hold licence {licence}: buy one, or have it transferred")]
    NotLicensee {
        /// The licence.
        licence: LicenceId,
        /// Who registers.
        account: Address,
    },
    /// Too late (LIN-2).
    #[error(
        "licence {licence} expired at {expires_at_s} and serves no new derivation: renew it or buy another"
    )]
    Expired {
        /// The licence.
        licence: LicenceId,
        /// The first second at which it was no longer valid.
        expires_at_s: u64,
    },
    /// Without the right (LIN-2).
    #[error("expected a licence with the right to derive, found {licence}: buy one under terms that give it")]
    NoRightToDerive {
        /// The licence.
        licence: LicenceId,
    },
    /// All used (LIN-2).
    #[error("licence {licence} served all its {derivations} derivations: buy another")]
    NoDerivationsLeft {
        /// The licence.
        licence: LicenceId,
        /// How many it may serve.
        derivations: u32,
    },
    /// The edges are above a limit.
    #[error(transparent)]
    Lineage(#[from] LineageError),
    /// Above the whole.
    #[error("expected a resale royalty of at most 10000 basis points, found {found}")]
    ResaleAboveLimit {
        /// As asked for.
        found: u16,
    },
    /// A holder without units.
    #[error("expected every holder to get units, found none for number {index}")]
    NoUnits {
        /// Which, from 0.
        index: usize,
    },
    /// Too few or too many units.
    #[error("expected units that sum to {SHARES_SUPPLY}, found {found}")]
    UnitsDoNotSum {
        /// Their sum.
        found: u64,
    },
    /// Shares for nobody.
    #[error("expected every holder to be an account, found the zero address")]
    HolderZero,
    /// Terms that cannot be offered.
    #[error(transparent)]
    Offer(#[from] OfferError),
}

/// Why a licence is not sold.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum BuyError {
    /// Not offered, or no longer.
    #[error("asset {asset} does not offer terms {terms}: choose among its offers")]
    NotOffered {
        /// The asset.
        asset: AssetId,
        /// The terms.
        terms: TermsId,
    },
    /// Dearer than agreed (PAY-7).
    #[error("expected a price of at most {max_price}, found {price}")]
    PriceAboveMax {
        /// The price.
        price: Amount,
        /// What the buyer agreed to.
        max_price: Amount,
    },
    /// No more of them.
    #[error("all {supply_cap} licences on asset {asset} under terms {terms} are sold")]
    SoldOut {
        /// The asset.
        asset: AssetId,
        /// The terms.
        terms: TermsId,
        /// How many there are.
        supply_cap: u32,
    },
    /// Later than the ledger can write.
    #[error(
        "expected an expiry before 2^40 seconds, found {expires_at_s}: buy under terms of a shorter period"
    )]
    ExpiryAboveLimit {
        /// What it would be.
        expires_at_s: u64,
    },
    /// The hook says no.
    #[error("{account} is not eligible for terms {terms} of asset {asset}")]
    NotEligible {
        /// Who would hold the licence.
        account: Address,
        /// The asset.
        asset: AssetId,
        /// The terms.
        terms: TermsId,
    },
    /// Signed for nothing.
    #[error("terms {terms} cost nothing: buy without a signed payment")]
    NothingToPay {
        /// The terms.
        terms: TermsId,
    },
    /// To nobody.
    #[error("expected a recipient, found the zero address")]
    AddressZero,
    /// The payment is refused.
    #[error(transparent)]
    Credit(#[from] CreditError),
}

/// Why a licence is not renewed, cancelled or transferred.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum LicenceError {
    /// No such licence.
    #[error("expected a licence that was sold, found {licence}")]
    UnknownLicence {
        /// The licence.
        licence: LicenceId,
    },
    /// Not renewable.
    #[error("the terms of licence {licence} do not let it be renewed: buy another")]
    NotRenewable {
        /// The licence.
        licence: LicenceId,
    },
    /// Not a multiple of the period.
    #[error("expected a positive multiple of {period_s} seconds, found {duration_s}")]
    NotWholePeriods {
        /// As asked for.
        duration_s: u64,
        /// The period of the terms.
        period_s: u64,
    },
    /// Later than the ledger can write.
    #[error("expected an expiry before 2^40 seconds, found {expires_at_s}: renew for fewer periods")]
    ExpiryAboveLimit {
        /// What it would be.
        expires_at_s: u64,
    },
    /// Frozen by the arbiter.
    #[error("asset {asset} is frozen: renew when the freeze ends")]
    AssetFrozen {
        /// The asset.
        asset: AssetId,
    },
    /// Over already.
    #[error("licence {licence} expired at {expires_at_s}: nothing to cancel")]
    Expired {
        /// The licence.
        licence: LicenceId,
        /// The first second at which it was no longer valid.
        expires_at_s: u64,
    },
    /// Perpetual.
    #[error("licence {licence} is perpetual and cannot be cancelled")]
    NotASubscription {
        /// The licence.
        licence: LicenceId,
    },
    /// Somebody else's.
    #[error("expected the holder of licence {licence}, found {account}")]
    NotLicensee {
        /// The licence.
        licence: LicenceId,
        /// The account.
        account: Address,
    },
    /// Bound to its buyer.
    #[error("the terms of licence {licence} do not let it change hands")]
    NotTransferable {
        /// The licence.
        licence: LicenceId,
    },
    /// The hook says no.
    #[error("{account} is not eligible for licence {licence}")]
    NotEligible {
        /// The licence.
        licence: LicenceId,
        /// Who would hold it.
        account: Address,
    },
    /// To nobody.
    #[error("expected a recipient, found the zero address")]
    AddressZero,
    /// The payment is refused.
    #[error(transparent)]
    Credit(#[from] CreditError),
}

/// Why shares or control do not change hands.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum TransferError {
    /// Not registered.
    #[error("expected a registered asset, found {asset}")]
    UnknownAsset {
        /// The asset.
        asset: AssetId,
    },
    /// Too few units (ACC-1).
    #[error("expected {account} to hold {needed} units of asset {asset}, found {held}")]
    NotEnoughUnits {
        /// The asset.
        asset: AssetId,
        /// Whose they are.
        account: Address,
        /// What is held.
        held: u32,
        /// What was asked for.
        needed: u32,
    },
    /// Not the controller (ACC-1).
    #[error("expected the controller of asset {asset}, found {account}")]
    NotController {
        /// The asset.
        asset: AssetId,
        /// The account.
        account: Address,
    },
    /// To nobody: shares are never burned.
    #[error("expected a recipient, found the zero address")]
    AddressZero,
}

/// Why nothing is carried or paid out.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum PayoutError {
    /// Not a set of kinds.
    #[error("expected some of the bits 0 to 3 as revenue kinds, found {found:#x}")]
    KindsNotValid {
        /// The bits.
        found: u8,
    },
    /// To nobody.
    #[error("expected a recipient, found the zero address")]
    AddressZero,
}

/// Why an operator is not granted or revoked.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum GrantError {
    /// Not the controller (ACC-1).
    #[error("expected the controller of asset {asset}, found {account}")]
    NotController {
        /// The asset.
        asset: AssetId,
        /// The account.
        account: Address,
    },
    /// No operator.
    #[error("expected an operator, found the zero address")]
    OperatorZero,
    /// Nothing, or more than the shares keep (PAY-9).
    #[error("expected 1 to {most} basis points for an operator, found {found}")]
    OperatorBpsNotValid {
        /// As asked for.
        found: u16,
        /// The limit: 5,000 and what the shares keep.
        most: u16,
    },
    /// Granted already.
    #[error("that operator is granted already")]
    AlreadyGranted,
    /// Not granted.
    #[error("that operator is not granted: nothing to revoke")]
    NotGranted,
    /// Frozen by the arbiter.
    #[error("asset {asset} is frozen: what is held cannot be promised to an operator")]
    FrozenAsset {
        /// The asset.
        asset: AssetId,
    },
}

/// Why the arbiter's word is not taken.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum FreezeError {
    /// Not the arbiter.
    #[error("expected the arbiter, found {account}")]
    OnlyArbiter {
        /// The account.
        account: Address,
    },
    /// Not registered.
    #[error("expected a registered asset, found {asset}")]
    UnknownAsset {
        /// The asset.
        asset: AssetId,
    },
    /// Frozen already.
    #[error("asset {asset} is frozen until {until_s}")]
    AlreadyFrozen {
        /// The asset.
        asset: AssetId,
        /// When it ends by itself.
        until_s: u64,
    },
    /// Not frozen, or no longer.
    #[error("asset {asset} is not frozen: nothing to rule on")]
    NotFrozen {
        /// The asset.
        asset: AssetId,
    },
    /// To nobody.
    #[error("expected a recipient, found the zero address")]
    AddressZero,
}

/// Why a parameter is not changed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// Not the governor.
    #[error("expected the governor, found {account}")]
    OnlyGovernor {
        /// The account.
        account: Address,
    },
    /// Above 5%.
    #[error("expected a fee of at most 500 basis points, found {found}")]
    FeeAboveLimit {
        /// As asked for.
        found: u16,
    },
    /// A fifth token: an asset's set of tokens could run out of places (PAY-9).
    #[error("{MAX_TOKENS} other tokens were listed before and {token} cannot be: list one of those again")]
    TooManyTokensListed {
        /// The token.
        token: Address,
    },
    /// Nobody.
    #[error("expected an account, found the zero address")]
    AddressZero,
}

/// Why an operation is refused. Nothing was changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(transparent)]
#[expect(
    missing_docs,
    reason = "each variant is the error of one group of operations, described at its type"
)]
pub enum Refusal {
    Credit(#[from] CreditError),
    Terms(#[from] residual_primitives::TermsError),
    Offer(#[from] OfferError),
    Register(#[from] RegisterError),
    Buy(#[from] BuyError),
    Licence(#[from] LicenceError),
    Transfer(#[from] TransferError),
    Payout(#[from] PayoutError),
    Grant(#[from] GrantError),
    Freeze(#[from] FreezeError),
    Settings(#[from] SettingsError),
}
