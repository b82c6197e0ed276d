//! Money: an integer in its token's smallest unit, checked at every step.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::rates::{BPS_ONE, Bps};

/// Why an amount cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AmountError {
    /// The text is not a decimal number.
    #[error("expected an amount such as 12 or 0.25, found {found:?}")]
    NotANumber {
        /// The text as given, cut to 80 characters.
        found: String,
    },
    /// More places after the point than the token has.
    #[error(
        "expected at most {decimals} digits after the point, found {found:?}: the token has no smaller unit"
    )]
    TooFine {
        /// The token's decimals.
        decimals: u8,
        /// The text as given.
        found: String,
    },
    /// The amount does not fit 128 bits.
    #[error("expected an amount below 2^128 units, found {found:?}")]
    TooLarge {
        /// The text as given.
        found: String,
    },
}

/// An amount in the smallest unit of the token it is said with, 0 to 2^128 - 1.
///
/// In JSON a decimal string, since JavaScript loses large numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub u128);

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` above 2^128 - 1.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` below 0.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `floor(self * rate / 10,000)`; cannot overflow.
    #[must_use]
    pub fn mul_rate_down(self, rate: Bps) -> Self {
        let (rate, one) = (u128::from(rate.get()), u128::from(BPS_ONE));
        Self((self.0 / one) * rate + (self.0 % one) * rate / one)
    }

    /// Reads a decimal text such as `12.5` in whole tokens of `decimals` places.
    ///
    /// # Errors
    /// When the text is no number, is finer than the token or does not fit.
    pub fn parse_tokens(text: &str, decimals: u8) -> Result<Self, AmountError> {
        let not_a_number = || AmountError::NotANumber { found: text.chars().take(80).collect() };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() > 80 || whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
            return Err(not_a_number());
        }
        let places = usize::from(decimals);
        if fraction.len() > places {
            return Err(AmountError::TooFine { decimals, found: text.to_owned() });
        }
        format!("{whole}{fraction:0<places$}")
            .parse()
            .map(Self)
            .map_err(|_| AmountError::TooLarge { found: text.to_owned() })
    }

    /// The amount in whole tokens of `decimals` places, without needless zeros: `12.5`.
    #[must_use]
    pub fn to_tokens(self, decimals: u8) -> String {
        let places = usize::from(decimals);
        let digits = format!("{:0>width$}", self.0, width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::parse_tokens(text, 0)
    }
}

impl std::iter::Sum for Amount {
    /// # Panics
    /// Above 2^128 - 1: no set of honest balances of one token can reach it, since a token's supply cannot.
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts
            .fold(Self::ZERO, |sum, amount| sum.checked_add(amount).expect("a token's supply fits 128 bits"))
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_rate_of_an_amount_is_the_exact_floor(amount: u128, rate in 0u16..=BPS_ONE) {
            let exact = U256::from(amount) * U256::from(rate) / U256::from(BPS_ONE);
            prop_assert_eq!(U256::from(Amount(amount).mul_rate_down(Bps::new(rate).unwrap()).0), exact);
        }

        #[test]
        fn an_amount_survives_its_text(amount: u128, decimals in 0u8..=18) {
            let text = Amount(amount).to_tokens(decimals);
            prop_assert_eq!(Amount::parse_tokens(&text, decimals), Ok(Amount(amount)));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "1e6", "1,5", "+1", "1.2.3"] {
            assert!(matches!(Amount::parse_tokens(text, 6), Err(AmountError::NotANumber { .. })), "{text:?}");
        }
        assert!(matches!(Amount::parse_tokens("0.0000001", 6), Err(AmountError::TooFine { .. })));
        assert!(matches!(Amount::parse_tokens(&"9".repeat(40), 6), Err(AmountError::TooLarge { .. })));
    }
}
