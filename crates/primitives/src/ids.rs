//! Ids of assets, terms and licences, and how one is read from and written as text.

use std::{fmt, str::FromStr};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize, de};

/// Why a text is not an id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdError {
    /// Neither decimal nor `0x` hexadecimal.
    #[error("expected a {what} as decimal or 0x-hexadecimal number, found {found:?}")]
    NotANumber {
        /// Which id was expected.
        what: &'static str,
        /// The text as given, cut to 80 characters.
        found: String,
    },
    /// A number, but not one that this kind of id can be.
    #[error("expected a {what} of at most {bits} bits and not 0, found {found}")]
    OutOfRange {
        /// Which id was expected.
        what: &'static str,
        /// How wide it may be.
        bits: u32,
        /// The number as found.
        found: U256,
    },
}

fn parse_number(what: &'static str, text: &str) -> Result<U256, IdError> {
    let not_a_number = || IdError::NotANumber { what, found: text.chars().take(80).collect() };
    if text.len() > 80 || !text.is_ascii() {
        return Err(not_a_number());
    }
    let number = match text.strip_prefix("0x") {
        Some(hex) if !hex.is_empty() => U256::from_str_radix(hex, 16),
        None if !text.is_empty() => U256::from_str_radix(text, 10),
        _ => return Err(not_a_number()),
    };
    number.map_err(|_| not_a_number())
}

/// A registered dataset or model: 128 bits, never 0, the id of its ERC-721 token and of its ERC-1155 shares.
///
/// Text: `0x` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId(u128);

impl AssetId {
    /// The id that `registrant` gets for `salt` on one chain and one `Assets` contract: the low 128 bits of
    /// `keccak256(abi.encode(chainId, assets, registrant, salt))`, so nobody can squat on it and a reorganisation
    /// cannot move it.
    #[must_use]
    pub fn derive(chain_id: u64, assets: Address, registrant: Address, salt: B256) -> Self {
        let digest = keccak256((U256::from(chain_id), assets, registrant, salt).abi_encode());
        let mut low = [0; 16];
        low.copy_from_slice(&digest[16..]);
        Self(u128::from_be_bytes(low))
    }

    /// The 16 bytes, big-endian.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The number as contracts take it.
    #[must_use]
    pub fn to_u256(self) -> U256 {
        U256::from(self.0)
    }
}

impl TryFrom<U256> for AssetId {
    type Error = IdError;

    fn try_from(number: U256) -> Result<Self, IdError> {
        match u128::try_from(number) {
            Ok(id) if id != 0 => Ok(Self(id)),
            _ => Err(IdError::OutOfRange { what: "asset id", bits: 128, found: number }),
        }
    }
}

impl FromStr for AssetId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_number("asset id", text)?.try_into()
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#034x}", self.0)
    }
}

/// A licence: an ERC-721 token of `Licences`; asset, number of the terms and serial in one 256-bit number.
///
/// Text: `0x` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LicenceId(U256);

impl LicenceId {
    /// Puts a licence's id together: `asset << 128 | terms_number << 64 | serial`.
    #[must_use]
    pub fn new(asset: AssetId, terms_number: u64, serial: u64) -> Self {
        Self((asset.to_u256() << 128) | (U256::from(terms_number) << 64) | U256::from(serial))
    }

    /// The asset that it licenses.
    #[must_use]
    pub fn asset(self) -> AssetId {
        let number: U256 = self.0 >> 128;
        AssetId(number.to::<u128>())
    }

    /// The running number of its terms in `Licences`.
    #[must_use]
    pub fn terms_number(self) -> u64 {
        self.0.as_limbs()[1]
    }

    /// Which licence of its asset it is, from 1, whatever the terms.
    #[must_use]
    pub fn serial(self) -> u64 {
        self.0.as_limbs()[0]
    }

    /// The number as contracts take it.
    #[must_use]
    pub fn to_u256(self) -> U256 {
        self.0
    }
}

impl TryFrom<U256> for LicenceId {
    type Error = IdError;

    fn try_from(number: U256) -> Result<Self, IdError> {
        if (number >> 128usize).is_zero() {
            return Err(IdError::OutOfRange {
                what: "licence id with an asset in its upper half",
                bits: 256,
                found: number,
            });
        }
        Ok(Self(number))
    }
}

impl FromStr for LicenceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_number("licence id", text)?.try_into()
    }
}

impl fmt::Display for LicenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#066x}", self.0)
    }
}

/// The id of terms: the hash of all their fields ([`crate::Terms::id`]).
///
/// Text: `0x` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TermsId(pub B256);

impl FromStr for TermsId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Ok(Self(B256::from(parse_number("terms id", text)?)))
    }
}

impl fmt::Display for TermsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

macro_rules! text_form {
    ($($id:ident)*) => {$(
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

text_form!(AssetId LicenceId TermsId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_id_holds_its_asset_terms_and_serial() {
        let asset: AssetId = "0x000102030405060708090a0b0c0d0e0f".parse().unwrap();
        let licence = LicenceId::new(asset, 7, u64::MAX);
        assert_eq!((licence.asset(), licence.terms_number(), licence.serial()), (asset, 7, u64::MAX));
        assert_eq!(licence.to_string().parse::<LicenceId>().unwrap(), licence);
        assert_eq!(asset.to_string(), "0x000102030405060708090a0b0c0d0e0f");
    }

    #[test]
    fn an_asset_id_depends_on_chain_contract_registrant_and_salt() {
        let base = AssetId::derive(1, Address::ZERO, Address::ZERO, B256::ZERO);
        let one = Address::with_last_byte(1);
        for other in [
            AssetId::derive(2, Address::ZERO, Address::ZERO, B256::ZERO),
            AssetId::derive(1, one, Address::ZERO, B256::ZERO),
            AssetId::derive(1, Address::ZERO, one, B256::ZERO),
            AssetId::derive(1, Address::ZERO, Address::ZERO, B256::with_last_byte(1)),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn what_is_not_an_id_is_refused_with_what_was_expected() {
        for text in ["", "0x", "zebra", "-1", "0", "0x1ffffffffffffffffffffffffffffffff", "１"] {
            let error = text.parse::<AssetId>().unwrap_err();
            assert!(error.to_string().starts_with("expected a"), "{error}");
        }
        assert!("5".parse::<LicenceId>().is_err(), "a licence without an asset");
    }
}
