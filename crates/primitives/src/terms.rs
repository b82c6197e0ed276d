//! Terms: an immutable offer of rights at a price, and the id that binds its every field.

use std::{fmt, str::FromStr};

use alloy_primitives::{Address, U256, Uint, keccak256};
use alloy_sol_types::{SolValue, sol};
use serde::{Deserialize, Serialize};

use crate::{
    MAX_EDGE_RATES_BPS,
    amount::Amount,
    ids::TermsId,
    rates::{Bps, Rates, Reach, RevenueKind},
};

/// Why terms cannot be defined.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TermsError {
    /// A word that names no right.
    #[error("expected rights out of access, train, infer, derive, redistribute, commercial; found {found:?}")]
    UnknownRight {
        /// The word as found, cut to 80 characters.
        found: String,
    },
    /// Bits that name no right, or none at all.
    #[error("expected at least one right, as bits 1 to 63; found {found}")]
    RightsOutOfRange {
        /// The bits as found.
        found: u8,
    },
    /// A number that does not fit its field on the ledger.
    #[error("expected {field} of at most {most}, found {found}")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// The most it can be.
        most: u128,
        /// What was asked for.
        found: u128,
    },
    /// A rate that no child could ever owe.
    #[error(
        "expected rates of at most {most} basis points, found {found} for {kind}: the sum of a child's edges is limited"
    )]
    RateTooHigh {
        /// The revenue kind.
        kind: RevenueKind,
        /// The limit.
        most: u16,
        /// The rate as found.
        found: u16,
    },
    /// A price without a currency.
    #[error("expected a currency for a price of {price} units, found none")]
    PriceWithoutCurrency {
        /// The price.
        price: Amount,
    },
    /// Rates on terms that let nobody derive.
    #[error("expected no rate without the right to derive, found {found} basis points for {kind}")]
    RatesWithoutDerive {
        /// The revenue kind.
        kind: RevenueKind,
        /// The rate as found.
        found: u16,
    },
    /// A legal text that names nothing, or at too great length.
    #[error("expected a legal text of 1 to 64 bytes (an SPDX id or LicenseRef-...), found {found} bytes")]
    LegalText {
        /// Its length in bytes.
        found: usize,
    },
    /// The legal text is not an identifier.
    #[error("expected a legal text of printable ASCII, found {found:?} in it")]
    LegalTextNotPrintable {
        /// The first character that is not.
        found: char,
    },
    /// Renewable without a period.
    #[error("expected a period for renewable terms, found none: perpetual terms cannot be renewed")]
    RenewableForEver,
    /// Not a kind of asset.
    #[error("expected a kind of asset (dataset, model, algorithm or output), found {found:?}")]
    UnknownAssetKind {
        /// The word as found, cut to 80 characters.
        found: String,
    },
}

/// What an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum AssetKind {
    /// Data to learn from.
    Dataset = 0,
    /// Something that learnt.
    Model = 1,
    /// A way of making one from the other.
    Algorithm = 2,
    /// What a model made.
    Output = 3,
}

impl AssetKind {
    /// The kind of that number on the ledger, if there is one.
    #[must_use]
    pub fn from_index(index: u8) -> Option<Self> {
        [Self::Dataset, Self::Model, Self::Algorithm, Self::Output].get(usize::from(index)).copied()
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Model => "model",
            Self::Algorithm => "algorithm",
            Self::Output => "output",
        }
    }
}

impl fmt::Display for AssetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for AssetKind {
    type Err = TermsError;

    fn from_str(word: &str) -> Result<Self, TermsError> {
        [Self::Dataset, Self::Model, Self::Algorithm, Self::Output]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| TermsError::UnknownAssetKind { found: word.chars().take(80).collect() })
    }
}

/// The rights that a licence gives, as the ledger's bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// Fetch and decrypt.
    pub const ACCESS: Self = Self(1);
    /// Train on it.
    pub const TRAIN: Self = Self(2);
    /// Call it, or serve calls of it.
    pub const INFER: Self = Self(4);
    /// Register a child of it.
    pub const DERIVE: Self = Self(8);
    /// Pass it on.
    pub const REDISTRIBUTE: Self = Self(16);
    /// Earn with it.
    pub const COMMERCIAL: Self = Self(32);

    const NAMES: [(&'static str, Self); 6] = [
        ("access", Self::ACCESS),
        ("train", Self::TRAIN),
        ("infer", Self::INFER),
        ("derive", Self::DERIVE),
        ("redistribute", Self::REDISTRIBUTE),
        ("commercial", Self::COMMERCIAL),
    ];

    /// The rights of a bitmap.
    ///
    /// # Errors
    /// With no bit, or a bit that names no right.
    pub fn from_bits(found: u8) -> Result<Self, TermsError> {
        if found == 0 || found > 63 { Err(TermsError::RightsOutOfRange { found }) } else { Ok(Self(found)) }
    }

    /// The bitmap.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether every one of `others` is among these.
    #[must_use]
    pub fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// These and `others`.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> =
            Self::NAMES.iter().filter(|(_, right)| self.contain(*right)).map(|(word, _)| *word).collect();
        f.write_str(&words.join(","))
    }
}

impl FromStr for Rights {
    type Err = TermsError;

    fn from_str(words: &str) -> Result<Self, TermsError> {
        let mut bits = 0;
        for word in words.split(',').map(str::trim) {
            let (_, right) = Self::NAMES
                .iter()
                .find(|(name, _)| *name == word)
                .ok_or_else(|| TermsError::UnknownRight { found: word.chars().take(80).collect() })?;
            bits |= right.0;
        }
        Self::from_bits(bits)
    }
}

impl Serialize for Rights {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which versions of the asset a licence opens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum VersionsGranted {
    /// The newest at the time of purchase, and those before it.
    #[default]
    Bought = 0,
    /// Also every one that appears until the licence expires.
    AllUntilExpiry = 1,
}

sol! {
    /// `ILicences.Terms`, field for field: its ABI encoding is what the id hashes.
    struct TermsFields {
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
        uint8 reach;
        uint24 derivations;
        uint32 supplyCap;
        address hook;
        uint40 vesting;
        string legalText;
        bytes textCid;
    }
}

/// An immutable offer of rights at a price. Whoever holds a licence keeps the terms it was bought under for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What the licence allows.
    pub rights: Rights,
    /// Which versions it opens.
    #[serde(default)]
    pub versions: VersionsGranted,
    /// How far the rates reach.
    #[serde(default)]
    pub reach: Reach,
    /// Whether it may be renewed, at this price, also after the offer was withdrawn.
    #[serde(default)]
    pub renewable: bool,
    /// Whether the licence may change hands.
    #[serde(default)]
    pub transferable: bool,
    /// What a child will owe of each kind of revenue.
    #[serde(default)]
    pub rates: Rates,
    /// How many children one licence may serve, at most 2^24 - 1; 0 = any number.
    #[serde(default)]
    pub derivations: u32,
    /// How long it lasts, in seconds, below 2^40; 0 = perpetual.
    #[serde(default)]
    pub period_s: u64,
    /// How many licences may ever be sold under these terms of one asset; 0 = any number.
    #[serde(default)]
    pub supply_cap: u32,
    /// The price in the currency's smallest unit, below 2^88.
    pub price: Amount,
    /// The ERC-20 token that it is paid in; the zero address for a free licence only.
    pub currency: Address,
    /// The contract that says who may buy; the zero address = anybody.
    #[serde(default)]
    pub eligibility_hook: Address,
    /// The price of one unit of training, for gateways, below 2^88.
    #[serde(default)]
    pub training_unit_price: Amount,
    /// The price of one call, for gateways, below 2^88.
    #[serde(default)]
    pub inference_unit_price: Amount,
    /// The legal text: an SPDX id or a `LicenseRef-`, 1 to 64 characters of printable ASCII.
    pub legal_text: String,
    /// The CID of the legal text in binary, at most 128 bytes; empty = none.
    #[serde(default)]
    pub text_cid: alloy_primitives::Bytes,
}

impl Terms {
    /// Checks every field against what the ledger takes (`ILicences.defineTerms`).
    ///
    /// # Errors
    /// The first field that the ledger would refuse.
    pub fn validate(&self) -> Result<(), TermsError> {
        let fits = |field, most: u128, found: u128| {
            if found > most { Err(TermsError::TooLarge { field, most, found }) } else { Ok(()) }
        };
        fits("derivations", (1 << 24) - 1, self.derivations.into())?;
        fits("a period in seconds", (1 << 40) - 1, self.period_s.into())?;
        let priced = [self.price, self.training_unit_price, self.inference_unit_price];
        for price in priced {
            fits("a price in units", (1 << 88) - 1, price.0)?;
        }
        fits("a CID in bytes", 128, self.text_cid.len() as u128)?;
        if self.legal_text.is_empty() || self.legal_text.len() > 64 {
            return Err(TermsError::LegalText { found: self.legal_text.len() });
        }
        if let Some(found) = self.legal_text.chars().find(|c| !matches!(c, ' '..='~')) {
            return Err(TermsError::LegalTextNotPrintable { found });
        }
        for kind in RevenueKind::ALL {
            let found = self.rates.of(kind).get();
            if found > MAX_EDGE_RATES_BPS {
                return Err(TermsError::RateTooHigh { kind, most: MAX_EDGE_RATES_BPS, found });
            }
            if found > 0 && !self.rights.contain(Rights::DERIVE) {
                return Err(TermsError::RatesWithoutDerive { kind, found });
            }
        }
        if self.currency == Address::ZERO
            && let Some(price) = priced.into_iter().find(|price| *price != Amount::ZERO)
        {
            return Err(TermsError::PriceWithoutCurrency { price });
        }
        if self.renewable && self.period_s == 0 {
            return Err(TermsError::RenewableForEver);
        }
        Ok(())
    }

    /// The ABI encoding of `ILicences.Terms`, which [`Terms::id`] hashes.
    ///
    /// # Errors
    /// As [`Terms::validate`].
    pub fn to_abi(&self) -> Result<Vec<u8>, TermsError> {
        self.validate()?;
        Ok(TermsFields {
            rights: self.rights.bits(),
            allVersions: self.versions == VersionsGranted::AllUntilExpiry,
            renewable: self.renewable,
            transferable: self.transferable,
            currency: self.currency,
            price: U256::from(self.price.0),
            period: Uint::from(self.period_s),
            trainingUnitPrice: U256::from(self.training_unit_price.0),
            inferenceUnitPrice: U256::from(self.inference_unit_price.0),
            rates: self.rates.0.map(Bps::get),
            reach: self.reach as u8,
            derivations: Uint::from(self.derivations),
            supplyCap: self.supply_cap,
            hook: self.eligibility_hook,
            vesting: Uint::ZERO,
            legalText: self.legal_text.clone(),
            textCid: self.text_cid.clone(),
        }
        .abi_encode())
    }

    /// The id: the hash of all fields, so that an offer can never be edited (PAY-3).
    ///
    /// # Errors
    /// As [`Terms::validate`].
    pub fn id(&self) -> Result<TermsId, TermsError> {
        self.to_abi().map(|fields| TermsId(keccak256(fields)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            rights: "access,train,derive".parse().unwrap(),
            versions: VersionsGranted::Bought,
            reach: Reach::All,
            renewable: false,
            transferable: true,
            rates: Rates::equal(Bps::new(1_000).unwrap()),
            derivations: 1,
            period_s: 0,
            supply_cap: 0,
            price: Amount(25_000_000),
            currency: Address::with_last_byte(1),
            eligibility_hook: Address::ZERO,
            training_unit_price: Amount::ZERO,
            inference_unit_price: Amount(100),
            legal_text: "LicenseRef-Residual-Commercial-1.0".to_owned(),
            text_cid: alloy_primitives::Bytes::new(),
        }
    }

    #[test]
    fn pay_3_every_field_changes_the_id() {
        let base = terms().id().unwrap();
        let changes: [fn(&mut Terms); 14] = [
            |terms| terms.rights = terms.rights.with(Rights::COMMERCIAL),
            |terms| terms.versions = VersionsGranted::AllUntilExpiry,
            |terms| terms.reach = Reach::Child,
            |terms| (terms.renewable, terms.period_s) = (true, 1),
            |terms| terms.transferable = false,
            |terms| terms.rates.0[3] = Bps::ZERO,
            |terms| terms.derivations = 2,
            |terms| terms.supply_cap = 1,
            |terms| terms.price = Amount(1),
            |terms| terms.currency = Address::with_last_byte(2),
            |terms| terms.eligibility_hook = Address::with_last_byte(3),
            |terms| terms.training_unit_price = Amount(1),
            |terms| terms.legal_text.push('x'),
            |terms| terms.text_cid = vec![1].into(),
        ];
        for change in changes {
            let mut changed = terms();
            change(&mut changed);
            assert_ne!(changed.id().unwrap(), base, "{changed:?}");
        }
    }

    #[test]
    fn terms_that_the_ledger_would_refuse_are_refused() {
        let wrong: [fn(&mut Terms); 13] = [
            |terms| terms.derivations = 1 << 24,
            |terms| terms.period_s = 1 << 40,
            |terms| terms.price = Amount(1 << 88),
            |terms| terms.text_cid = vec![0; 129].into(),
            |terms| terms.training_unit_price = Amount(1 << 88),
            |terms| terms.inference_unit_price = Amount(1 << 88),
            |terms| terms.legal_text.clear(),
            |terms| terms.legal_text = "MIT\n".to_owned(),
            |terms| terms.legal_text = "Lizenz für alle".to_owned(),
            |terms| terms.rates.0[0] = Bps::new(9_001).unwrap(),
            |terms| terms.rights = Rights::ACCESS,
            |terms| terms.currency = Address::ZERO,
            |terms| terms.renewable = true,
        ];
        for change in wrong {
            let mut changed = terms();
            change(&mut changed);
            assert!(changed.id().unwrap_err().to_string().starts_with("expected"), "{changed:?}");
        }
    }

    #[test]
    fn rights_survive_their_words() {
        for bits in 1..64 {
            let rights = Rights::from_bits(bits).unwrap();
            assert_eq!(rights.to_string().parse(), Ok(rights));
        }
        assert!(Rights::from_bits(64).is_err() && Rights::from_bits(0).is_err());
        assert!("access,fly".parse::<Rights>().is_err());
    }
}
