//! Rates in basis points, the kinds of revenue they are set for, and how far one reaches down the lineage.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The whole in basis points.
pub const BPS_ONE: u16 = 10_000;

/// Why a number or a word is no rate, kind or reach.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RateError {
    /// Above the whole.
    #[error("expected a rate of 0 to 10000 basis points, found {found}")]
    AboveOne {
        /// The number as found.
        found: u64,
    },
    /// Not a revenue kind.
    #[error("expected a revenue kind (licence, training, inference or resale), found {found:?}")]
    UnknownKind {
        /// The word as found, cut to 80 characters.
        found: String,
    },
    /// Not a reach.
    #[error("expected a reach (all or child), found {found:?}")]
    UnknownReach {
        /// The word as found, cut to 80 characters.
        found: String,
    },
}

/// A rate in basis points, 0 to 10,000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Bps(u16);

impl Bps {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// A rate.
    ///
    /// # Errors
    /// Above 10,000.
    pub fn new(bps: u16) -> Result<Self, RateError> {
        if bps > BPS_ONE { Err(RateError::AboveOne { found: bps.into() }) } else { Ok(Self(bps)) }
    }

    /// The number of basis points.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u64> for Bps {
    type Error = RateError;

    fn try_from(found: u64) -> Result<Self, RateError> {
        u16::try_from(found).map_err(|_| RateError::AboveOne { found }).and_then(Self::new)
    }
}

impl From<Bps> for u64 {
    fn from(rate: Bps) -> Self {
        rate.0.into()
    }
}

impl fmt::Display for Bps {
    /// As per cent: `12.5%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", crate::Amount(self.0.into()).to_tokens(2))
    }
}

/// What a payment was for. The payer says so, and nobody can check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum RevenueKind {
    /// The price of a licence.
    Licence = 0,
    /// Training on the asset.
    Training = 1,
    /// Calls of a served model.
    Inference = 2,
    /// The royalty of an ERC-2981 resale.
    Resale = 3,
}

impl RevenueKind {
    /// Every kind, in the order of its number on the ledger.
    pub const ALL: [Self; 4] = [Self::Licence, Self::Training, Self::Inference, Self::Resale];

    /// Its number on the ledger, 0 to 3.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The kind of that number, if there is one.
    #[must_use]
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        ["licence", "training", "inference", "resale"][self.index()]
    }
}

impl fmt::Display for RevenueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RevenueKind {
    type Err = RateError;

    fn from_str(word: &str) -> Result<Self, RateError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| RateError::UnknownKind { found: word.chars().take(80).collect() })
    }
}

/// One rate for each revenue kind, indexed by [`RevenueKind::index`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rates(pub [Bps; 4]);

impl Rates {
    /// The same rate for every kind.
    #[must_use]
    pub fn equal(rate: Bps) -> Self {
        Self([rate; 4])
    }

    /// The rate of one kind.
    #[must_use]
    pub fn of(self, kind: RevenueKind) -> Bps {
        self.0[kind.index()]
    }

    /// The higher rate of each kind.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(std::array::from_fn(|kind| self.0[kind].max(other.0[kind])))
    }
}

/// How far a rate reaches down the lineage (protocol, section 1, "Edges").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Reach {
    /// The rate applies to the own revenue of the child and of every later descendant.
    #[default]
    All = 0,
    /// The rate applies to all that the direct child receives, own and inherited.
    Child = 1,
}

impl Reach {
    /// The reach of that number on the ledger.
    #[must_use]
    pub fn from_index(index: u8) -> Option<Self> {
        [Self::All, Self::Child].into_iter().find(|reach| *reach as u8 == index)
    }
}

impl FromStr for Reach {
    type Err = RateError;

    fn from_str(word: &str) -> Result<Self, RateError> {
        match word {
            "all" => Ok(Self::All),
            "child" => Ok(Self::Child),
            _ => Err(RateError::UnknownReach { found: word.chars().take(80).collect() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_above_the_whole_is_refused() {
        assert_eq!(Bps::new(10_001), Err(RateError::AboveOne { found: 10_001 }));
        assert_eq!(Bps::try_from(70_000), Err(RateError::AboveOne { found: 70_000 }));
        assert_eq!(Bps::new(1_250).unwrap().to_string(), "12.5%");
    }

    #[test]
    fn a_kind_survives_its_word_and_its_number() {
        for kind in RevenueKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(RevenueKind::from_index(kind as u8), Some(kind));
        }
        assert_eq!(RevenueKind::from_index(4), None);
        assert!("rent".parse::<RevenueKind>().is_err());
    }
}
