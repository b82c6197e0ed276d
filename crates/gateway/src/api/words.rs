//! The words of the API: how ids, addresses, amounts and bytes look in JSON and in paths, and how strictly they are read.
//!
//! Ids and amounts have their form from `primitives`; here is what the description says of it. An address or bytes in a
//! request are [`Account`] and [`Bytes`].

use std::{borrow::Cow, fmt, str::FromStr};

use residual_client::parse_address;
use serde::{Deserialize, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

fn text(pattern: &str, length: Option<usize>, description: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    text.min_length(length).max_length(length).description(Some(description)).build().into()
}

/// Words that the description alone needs.
macro_rules! words {
    ($($word:ident $name:literal $pattern:literal $(of $length:literal)? $description:literal;)*) => {$(
        #[doc = $description]
        #[derive(Debug)]
        pub(crate) enum $word {}

        impl PartialSchema for $word {
            fn schema() -> RefOr<Schema> {
                text($pattern, None$(.or(Some($length)))?, $description)
            }
        }

        impl ToSchema for $word {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    )*};
}

words! {
    Asset "AssetId" "^0x0*[1-9a-f][0-9a-f]*$" of 34 "An asset: 0x and 32 hexadecimal digits, not all of them 0.";
    Licence "LicenceId" "^0x0*[1-9a-f][0-9a-f]{32,63}$" of 66 "A licence: 0x and 64 hexadecimal digits, the first 32 those of its asset.";
    Terms "TermsId" "^0x[0-9a-f]{64}$" "Terms: 0x and 64 hexadecimal digits, the hash of all their fields.";
    Address "Address" "^0x[0-9a-fA-F]{40}$" "An account or a contract: 0x and 40 hexadecimal digits, their case a checksum (EIP-55).";
    Hash "Hash" "^0x[0-9a-f]{64}$" "32 bytes: 0x and 64 hexadecimal digits.";
    Units "Amount" "^[0-9]{1,39}$" "An amount in the token's smallest unit, below 2^128, as a decimal number in a string.";
    Cid "Cid" "^b(afkrei|afybei|afyrei)[a-h][a-z2-7]{50}[aeimquy4]$" "A CIDv1 in base32 with sha2-256 and the codec raw, dag-pb or dag-cbor.";
    Hex "Hex" "^0x([0-9a-f]{2})*$" "Bytes: 0x and two hexadecimal digits for each.";
    Signature "Signature" "^0x[0-9a-f]{130}$" "An ECDSA signature, r, s and v: 0x and 130 hexadecimal digits.";
    RawFormat "RawFormat" "^raw$" "The block's bytes and nothing else.";
    Key "X25519Key" "^0x[0-9a-f]{64}$" "An X25519 public key: 0x and 64 hexadecimal digits.";
}

/// The bytes of a block.
#[derive(Debug)]
pub(crate) enum RawBlock {}

impl PartialSchema for RawBlock {
    fn schema() -> RefOr<Schema> {
        let bytes = ObjectBuilder::new().schema_type(Type::String);
        bytes
            .content_media_type("application/vnd.ipld.raw")
            .description(Some("The block's bytes."))
            .build()
            .into()
    }
}

impl ToSchema for RawBlock {}

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum File {}

impl PartialSchema for File {
    fn schema() -> RefOr<Schema> {
        let bytes = ObjectBuilder::new().schema_type(Type::String);
        bytes
            .format(Some(SchemaFormat::Custom("binary".to_owned())))
            .description(Some("The file's bytes."))
            .build()
            .into()
    }
}

impl ToSchema for File {}

/// An address as a request names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account(pub(crate) residual_primitives::Address);

impl PartialSchema for Account {
    fn schema() -> RefOr<Schema> {
        text(
            "^0x([0-9a-f]{40}|[0-9A-F]{40})$",
            None,
            "An account or a contract: 0x and 40 hexadecimal digits of one case; with digits of both, their case must be the right checksum (EIP-55).",
        )
    }
}

impl ToSchema for Account {
    fn name() -> Cow<'static, str> {
        "AccountAddress".into()
    }
}

impl FromStr for Account {
    type Err = residual_client::AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_address(text).map(Self)
    }
}

/// So many bytes as a request has them: `0x` and two hexadecimal digits for each, no more and no fewer.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<const N: usize>(pub(crate) [u8; N]);

/// A text that is not so many bytes.
#[derive(Debug, thiserror::Error)]
#[error("expected 0x and {digits} hexadecimal digits, found {found:?}")]
pub(crate) struct NotBytes {
    digits: usize,
    /// Cut to 80 characters.
    found: String,
}

impl<const N: usize> FromStr for Bytes<N> {
    type Err = NotBytes;

    fn from_str(text: &str) -> Result<Self, NotBytes> {
        let wrong = || NotBytes { digits: 2 * N, found: text.chars().take(80).collect() };
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 2 * N).ok_or_else(wrong)?;
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or_else(wrong);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Ok(Self(bytes))
    }
}

/// A text in JSON or in a query, read by its own rules and refused in its own words.
struct Read<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Read<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Read(std::marker::PhantomData))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Read(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_many_as_they_are_meant_to_be() {
        assert_eq!("0x01fF".parse::<Bytes<2>>().unwrap().0, [1, 255]);
        for text in
            ["", "0x", "0x01", "0x01ff0", "0x01ff00", "01ff", "0X01ff", "0x01f\u{e9}", "0x+1-1", "0x 1 1"]
        {
            let error = text.parse::<Bytes<2>>().map(|bytes| bytes.0).unwrap_err().to_string();
            assert!(error.starts_with("expected 0x and 4"), "{error}");
        }
    }
}
