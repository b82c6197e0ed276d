//! Which error of the contracts says the same as a refusal of the model.

use residual_royalty::{
    BuyError, CreditError, FreezeError, GrantError, LicenceError, LineageError, OfferError, PayoutError,
    Refusal, RegisterError, SettingsError, TransferError,
};

/// Whether the contracts' error says the same, or names another thing that is wrong as well.
pub(crate) fn agree(refusal: &Refusal, error: &str) -> bool {
    names(refusal).contains(&error) || looked_at_before(refusal).contains(&error)
}

/// What the contracts look at before they would come to this reason, and the model after: an operation that is wrong
/// in both ways is refused for the one here and for the other there.
fn looked_at_before(refusal: &Refusal) -> &'static [&'static str] {
    match refusal {
        Refusal::Credit(CreditError::UnknownAsset { .. }) => {
            &["TokenNeverListed", "NothingReceived", "RevenueAboveLimit"]
        }
        Refusal::Buy(BuyError::PriceAboveMax { .. } | BuyError::NothingToPay { .. }) => {
            &["SoldOut", "NotEligible", "ERC721InvalidReceiver", "SafeCastOverflowedUintDowncast"]
        }
        Refusal::Buy(BuyError::AddressZero) => &["SoldOut", "NotEligible", "SafeCastOverflowedUintDowncast"],
        Refusal::Buy(BuyError::SoldOut { .. }) => &["NotEligible"],
        Refusal::Offer(OfferError::AlreadyOffered { .. }) => &["CurrencyNotListed", "RateBelowParents"],
        Refusal::Transfer(TransferError::NotController { .. }) => &["ERC721InvalidReceiver"],
        Refusal::Licence(LicenceError::NotLicensee { .. }) => {
            &["ERC721InvalidReceiver", "NotTransferable", "NotEligible"]
        }
        Refusal::Licence(LicenceError::NotTransferable { .. }) => &["ERC721InvalidReceiver"],
        Refusal::Grant(GrantError::OperatorBpsNotValid { .. } | GrantError::AlreadyGranted) => {
            &["FrozenAsset"]
        }
        // Licence after licence there, reason after reason here.
        Refusal::Register(
            RegisterError::NoRightToDerive { .. }
            | RegisterError::Expired { .. }
            | RegisterError::NoDerivationsLeft { .. }
            | RegisterError::Lineage(_),
        ) => &["NotLicensee", "Expired", "NoRightToDerive", "NoDerivationsLeft"],
        _ => &[],
    }
}

/// The names in Solidity. Several where ERC-721 and ERC-1155 have names of their own, or where the contracts tell
/// apart what is one reason to the model.
fn names(refusal: &Refusal) -> &'static [&'static str] {
    match refusal {
        Refusal::Credit(error) => credit(error),
        Refusal::Terms(_) => &[],
        Refusal::Offer(error) => offer(error),
        Refusal::Register(error) => register(error),
        Refusal::Buy(error) => buy(error),
        Refusal::Licence(error) => licence(error),
        Refusal::Transfer(error) => match error {
            TransferError::UnknownAsset { .. } => &["ERC1155InsufficientBalance", "ERC721NonexistentToken"],
            TransferError::NotEnoughUnits { .. } => &["ERC1155InsufficientBalance"],
            TransferError::NotController { .. } => &["ERC721InsufficientApproval"],
            TransferError::AddressZero => &["ERC1155InvalidReceiver", "ERC721InvalidReceiver"],
        },
        Refusal::Payout(error) => match error {
            PayoutError::KindsNotValid { .. } => &["KindsNotValid"],
            PayoutError::AddressZero => &["AddressZero"],
        },
        Refusal::Grant(error) => match error {
            GrantError::NotController { .. } => &["NotController"],
            GrantError::OperatorZero => &["OperatorZero"],
            GrantError::OperatorBpsNotValid { .. } => &["OperatorBpsNotValid"],
            GrantError::AlreadyGranted => &["AlreadyGranted"],
            GrantError::NotGranted => &["NotGranted"],
            GrantError::FrozenAsset { .. } => &["FrozenAsset"],
        },
        Refusal::Freeze(error) => match error {
            FreezeError::OnlyArbiter { .. } => &["OnlyArbiter"],
            FreezeError::UnknownAsset { .. } => &["UnknownAsset"],
            FreezeError::AlreadyFrozen { .. } => &["AlreadyFrozen"],
            FreezeError::NotFrozen { .. } => &["NotFrozen"],
            FreezeError::AddressZero => &["AddressZero"],
        },
        Refusal::Settings(error) => match error {
            SettingsError::OnlyGovernor { .. } => &["OnlyGovernor"],
            SettingsError::FeeAboveLimit { .. } => &["FeeAboveLimit"],
            SettingsError::TooManyTokensListed { .. } => &["TooManyTokensListed"],
            SettingsError::AddressZero => &["AddressZero"],
        },
    }
}

fn credit(error: &CreditError) -> &'static [&'static str] {
    match error {
        CreditError::UnknownAsset { .. } => &["UnknownAsset"],
        CreditError::TokenNeverListed { .. } => &["TokenNeverListed"],
        CreditError::RevenueAboveLimit { .. } => &["RevenueAboveLimit"],
        CreditError::TotalAboveLimit { .. } => &[],
        CreditError::NothingReceived { .. } => &["NothingReceived"],
    }
}

fn offer(error: &OfferError) -> &'static [&'static str] {
    match error {
        OfferError::NotController { .. } => &["NotController"],
        OfferError::UnknownTerms { .. } => &["UnknownTerms"],
        OfferError::AlreadyOffered { .. } => &["AlreadyOffered"],
        OfferError::NotOffered { .. } => &["NotOffered", "UnknownTerms"],
        OfferError::CurrencyNotListed { .. } => &["CurrencyNotListed"],
        OfferError::RateBelowParents { .. } => &["RateBelowParents"],
    }
}

fn register(error: &RegisterError) -> &'static [&'static str] {
    match error {
        RegisterError::AssetExists { .. } => &["AssetExists"],
        RegisterError::LicencesNotAscending { .. } => &["LicencesNotAscending"],
        RegisterError::UnknownLicence { .. } => &["UnknownLicence"],
        RegisterError::NotLicensee { .. } => &["NotLicensee"],
        RegisterError::Expired { .. } => &["Expired"],
        RegisterError::NoRightToDerive { .. } => &["NoRightToDerive"],
        RegisterError::NoDerivationsLeft { .. } => &["NoDerivationsLeft"],
        RegisterError::Lineage(LineageError::TooManyEdges { .. }) => &["TooManyEdges"],
        RegisterError::Lineage(LineageError::RatesAboveLimit { .. }) => &["RatesAboveLimit"],
        RegisterError::ResaleAboveLimit { .. } => &["ResaleAboveLimit"],
        RegisterError::NoUnits { .. } => &["NoUnits"],
        RegisterError::UnitsDoNotSum { .. } => &["UnitsDoNotSum", "HoldersAndUnits"],
        RegisterError::HolderZero => &["ERC1155InvalidReceiver"],
        RegisterError::Offer(error) => offer(error),
    }
}

fn buy(error: &BuyError) -> &'static [&'static str] {
    match error {
        BuyError::NotOffered { .. } => &["NotOffered", "UnknownTerms", "UnknownAsset"],
        BuyError::PriceAboveMax { .. } => &["PriceAboveMax"],
        BuyError::SoldOut { .. } => &["SoldOut"],
        BuyError::ExpiryAboveLimit { .. } => &["SafeCastOverflowedUintDowncast"],
        BuyError::NotEligible { .. } => &["NotEligible"],
        BuyError::NothingToPay { .. } => &["NothingToPay"],
        BuyError::AddressZero => &["ERC721InvalidReceiver"],
        BuyError::Credit(error) => credit(error),
    }
}

fn licence(error: &LicenceError) -> &'static [&'static str] {
    match error {
        LicenceError::UnknownLicence { .. } => &["UnknownLicence", "ERC721NonexistentToken"],
        LicenceError::NotRenewable { .. } => &["NotRenewable"],
        LicenceError::NotWholePeriods { .. } => &["NotWholePeriods"],
        LicenceError::ExpiryAboveLimit { .. } => &["SafeCastOverflowedUintDowncast"],
        LicenceError::AssetFrozen { .. } => &["AssetFrozen"],
        LicenceError::Expired { .. } => &["Expired"],
        LicenceError::NotASubscription { .. } => &["NotASubscription"],
        LicenceError::NotLicensee { .. } => &["NotLicensee", "ERC721InsufficientApproval"],
        LicenceError::NotTransferable { .. } => &["NotTransferable"],
        LicenceError::NotEligible { .. } => &["NotEligible"],
        LicenceError::AddressZero => &["ERC721InvalidReceiver"],
        LicenceError::Credit(error) => credit(error),
    }
}
