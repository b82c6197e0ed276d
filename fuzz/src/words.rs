//! Ids, amounts and terms, as texts and as what a client sends.

use std::{
    fmt::{Debug, Display},
    str::{FromStr, from_utf8},
};

use residual_primitives::{
    Amount, AssetId, Bps, LicenceId, Reach, RevenueKind, Rights, Terms, TermsId, U256,
};
use residual_x402::Network;

use crate::memory::within;

/// The most decimals for which every amount has a text that is read.
const DECIMALS_MAX: u8 = 36;

/// The first byte is a token's decimals, the rest a text. What is read is read again from how it is shown.
pub fn ids(bytes: &[u8]) -> bool {
    let Some((&decimals, rest)) = bytes.split_first() else { return false };
    let Ok(text) = from_utf8(rest) else { return false };
    within(rest, 16, || {
        if let Some(asset) = survives::<AssetId>(text) {
            assert_eq!(AssetId::try_from(asset.to_u256()), Ok(asset));
        }
        if let Some(licence) = survives::<LicenceId>(text) {
            assert_eq!(LicenceId::new(licence.asset(), licence.terms_number(), licence.serial()), licence);
        }
        let words = [
            survives::<TermsId>(text).is_some(),
            survives::<Rights>(text).is_some(),
            survives::<RevenueKind>(text).is_some(),
            survives::<Network>(text).is_some(),
            text.parse::<Reach>().is_ok(),
        ];
        if let Ok(amount) = Amount::parse_tokens(text, decimals)
            && decimals <= DECIMALS_MAX
        {
            assert_eq!(Amount::parse_tokens(&amount.to_tokens(decimals), decimals), Ok(amount));
        }
        if let Some(amount) = survives::<Amount>(text) {
            // The same by another arithmetic.
            assert_eq!(U256::from_str_radix(text, 10), Ok(U256::from(amount.0)));
        }
        if let Ok(rate) = text.parse::<u64>().map_or(Ok(Bps::ZERO), Bps::try_from) {
            assert!(rate.get() <= residual_primitives::BPS_ONE);
        }
        words.contains(&true) || Amount::parse_tokens(text, decimals).is_ok()
    })
}

fn survives<T: Copy + Debug + Display + FromStr + PartialEq>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    let again = value.to_string().parse::<T>().ok();
    assert_eq!(again, Some(value), "shown as {value}");
    Some(value)
}

/// Terms as JSON: what is read is read again from how it is written, and either has an id, which is that of its fields,
/// or is refused.
pub fn terms(bytes: &[u8]) -> bool {
    let Ok(terms) = within(bytes, 256, || serde_json::from_slice::<Terms>(bytes)) else { return false };
    let json = serde_json::to_vec(&terms).expect("terms are JSON");
    let again: Terms = serde_json::from_slice(&json).expect("what is written is read");
    assert_eq!(again, terms);
    match (terms.validate(), terms.id()) {
        (Ok(()), Ok(id)) => {
            assert_eq!(again.id(), Ok(id));
            let other = Terms { supply_cap: terms.supply_cap ^ 1, ..terms };
            assert_ne!(other.id(), Ok(id), "another offer has the same id");
        }
        (Err(expected), Err(found)) => assert_eq!(expected, found),
        (checked, id) => panic!("terms are {checked:?}, but their id is {id:?}"),
    }
    true
}
