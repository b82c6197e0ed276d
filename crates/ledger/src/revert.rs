//! What a contract says when it refuses, read by the errors of all released contracts.

use std::{collections::HashMap, fmt, sync::LazyLock};

use alloy_dyn_abi::{DynSolValue, JsonAbiExt};
use alloy_json_abi::Error as AbiError;
use alloy_primitives::{Bytes, U256};
use alloy_sol_types::{Panic, Revert as ErrorString, SolError};

use crate::{contracts::Contract, rpc::RpcError};

/// As many elements of a list or bytes of a string as a message shows.
const SHOWN_MAX: usize = 16;

/// The errors of all released contracts by their selectors.
static KNOWN: LazyLock<HashMap<[u8; 4], &'static AbiError>> = LazyLock::new(|| {
    let errors = Contract::ALL.iter().flat_map(|contract| contract.abi().errors.values().flatten());
    errors.map(|error| (error.selector().0, error)).collect()
});

/// A contract's refusal. Whatever it had done in that call is undone.
///
/// To act on one, ask [`Revert::decode`] with the error's binding; to tell a person, print it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    data: Bytes,
    name: String,
    operands: Vec<(String, String)>,
}

impl Revert {
    /// Reads what came back: a released contract's error, `Error(string)`, `Panic(uint256)`, or something unknown.
    #[must_use]
    pub fn from_data(data: Bytes) -> Self {
        if let Ok(error) = ErrorString::abi_decode(&data) {
            return Self {
                data,
                name: "Error".to_owned(),
                operands: vec![("reason".to_owned(), shown(&error.reason))],
            };
        }
        if let Ok(panic) = Panic::abi_decode(&data) {
            let code = panic.kind().map_or_else(|| panic.code.to_string(), |kind| kind.to_string());
            return Self { data, name: "Panic".to_owned(), operands: vec![("code".to_owned(), code)] };
        }
        let selector: Option<[u8; 4]> = data.get(..4).and_then(|selector| selector.try_into().ok());
        let known = selector.and_then(|selector| KNOWN.get(&selector));
        if let Some(error) = known
            && let Ok(values) = error.abi_decode_input(&data[4..])
        {
            let names = error.inputs.iter().map(|input| input.name.clone());
            let operands = names.zip(values.iter().map(value_text)).collect();
            return Self { name: error.name.clone(), operands, data };
        }
        Self { data, name: String::new(), operands: Vec::new() }
    }

    /// The refusal in a node's answer, if it is one and not a refusal of the node's own.
    pub(crate) fn of(error: &RpcError) -> Option<Self> {
        match error {
            RpcError::Refused { data: Some(data), .. } => Some(Self::from_data(data.clone())),
            RpcError::Refused { message, .. } if message.to_ascii_lowercase().contains("revert") => {
                Some(Self::from_data(Bytes::new()))
            }
            _ => None,
        }
    }

    /// The error's name in Solidity; empty when it is of no released contract, or none was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The error's operands in order: name and value as text.
    #[must_use]
    pub fn operands(&self) -> &[(String, String)] {
        &self.operands
    }

    /// The bytes as they came: selector and encoded operands.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The error as `E`, if it is that.
    #[must_use]
    pub fn decode<E: SolError>(&self) -> Option<E> {
        E::abi_decode(&self.data).ok()
    }
}

/// What a person can do about an error of the core contracts or the channels; none where it tells a fault of the program.
fn advice(error: &str) -> Option<&'static str> {
    Some(match error {
        "AssetExists" => "the asset is registered already; register a new version of it, or use another salt",
        "AssetFrozen" | "FrozenAsset" => {
            "the arbiter froze the asset; wait for the ruling or the end of the freeze"
        }
        "CurrencyNotListed" => "offer terms whose currency the marketplace lists",
        "DepositCollectionFailed" => "the payer's consent or money was missing; deposit again",
        "ERC20InsufficientAllowance" => "allow the contract to take the amount first",
        "ERC20InsufficientBalance" => "fund the account",
        "ERC3009InvalidAuthorizationTime" => {
            "the signed payment has ended or not begun; have it signed again"
        }
        "ERC3009UsedAuthorization" => "the signed payment was carried out already",
        "ERC3009InvalidSignature" => {
            "the signed payment was changed, or is of another token; have it signed again"
        }
        "Expired" => "the licence ended; renew it",
        "LegalTextLength" | "LegalTextNotPrintable" => "shorten the legal text to printable ASCII",
        "NoDerivationsLeft" => "the licence served as many works as it may; buy another",
        "NoRightToDerive" => "buy a licence under terms with the right to derive",
        "NotController" => "act with the account that controls the asset",
        "NotEligible" => "the terms' eligibility hook does not let this account buy",
        "NotLicensee" => "act with the account that holds the licence",
        "NotOffered" => "look at what the asset is offered under now",
        "NotRenewable" | "NotASubscription" => "buy a new licence instead",
        "NotTransferable" => "its terms do not let the licence be passed on",
        "NotWholePeriods" => "renew by whole periods",
        "PriceAboveMax" => "the price has risen; agree to it, or look for another offer",
        "RateBelowParents" => {
            "offer the right to derive at no less than what the parents are owed of all that is received"
        }
        "RateAboveLimit" | "RatesAboveLimit" => {
            "what is owed to parents may be 9000 basis points in all, of each kind; derive under fewer or cheaper licences"
        }
        "ResaleAboveLimit" => "lower the royalty on resales",
        "SoldOut" => "as many licences as the terms allow were sold; look for another offer",
        "TooManyEdges" => "a work may owe 64 ancestors; derive from fewer",
        "UnitsDoNotSum" => "let the holders' units sum to 1000000",
        "WithdrawDelayNotElapsed" => "wait until the withdraw delay is over",
        "WithdrawalAlreadyPending" => "finish the withdrawal that is pending first",
        _ => return None,
    })
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.data.is_empty() {
            return f.write_str("the contract refused without a reason");
        }
        if self.name.is_empty() {
            let head = &self.data[..self.data.len().min(SHOWN_MAX)];
            return write!(
                f,
                "the contract refused with an error of no known contract: {}",
                Bytes::copy_from_slice(head)
            );
        }
        write!(f, "the contract refused: {}(", self.name)?;
        for (index, (name, value)) in self.operands.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let colon = if name.is_empty() { "" } else { ": " };
            write!(f, "{comma}{name}{colon}{value}")?;
        }
        f.write_str(")")?;
        advice(&self.name).map_or(Ok(()), |advice| write!(f, ": {advice}"))
    }
}

/// A foreign text, cut and with its control characters made visible.
fn shown(text: &str) -> String {
    const TEXT_MAX: usize = 200;
    text.chars().take(TEXT_MAX).collect::<String>().escape_debug().to_string()
}

fn value_text(value: &DynSolValue) -> String {
    match value {
        DynSolValue::Bool(value) => value.to_string(),
        DynSolValue::Int(value, _) => value.to_string(),
        // Amounts and rates are decimal; what is wider is an id or a hash.
        DynSolValue::Uint(value, _) if *value >> 96 == U256::ZERO => value.to_string(),
        DynSolValue::Uint(value, _) => format!("{value:#x}"),
        DynSolValue::FixedBytes(word, size) => Bytes::copy_from_slice(&word[..*size]).to_string(),
        DynSolValue::Address(address) => address.to_string(),
        DynSolValue::Function(function) => function.to_string(),
        DynSolValue::Bytes(bytes) if bytes.len() > SHOWN_MAX => format!("{} bytes", bytes.len()),
        DynSolValue::Bytes(bytes) => Bytes::copy_from_slice(bytes).to_string(),
        DynSolValue::String(text) => format!("{:?}", shown(text)),
        DynSolValue::Array(values) | DynSolValue::FixedArray(values) | DynSolValue::Tuple(values) => {
            let mut parts: Vec<_> = values.iter().take(SHOWN_MAX).map(value_text).collect();
            if values.len() > SHOWN_MAX {
                parts.push(format!("and {} more", values.len() - SHOWN_MAX));
            }
            format!("[{}]", parts.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, hex};
    use proptest::prelude::*;

    use super::*;
    use crate::contracts::{TestUSD, TransferDepositCollector};

    #[test]
    fn advice_is_given_for_errors_that_there_are() {
        let source = include_str!("revert.rs");
        let table = source.split_once("fn advice(").and_then(|(_, rest)| rest.split_once("_ => return None"));
        let (table, _) = table.expect("the table");
        // Every second piece between quotation marks; a name has no spaces.
        let names = table.split('"').skip(1).step_by(2).filter(|quoted| !quoted.contains(' '));
        for name in names {
            assert!(KNOWN.values().any(|error| error.name == name), "no contract refuses with {name}");
        }
    }

    #[test]
    fn a_contracts_error_is_read_with_its_operands() {
        let error = TestUSD::ERC20InsufficientBalance {
            sender: Address::repeat_byte(0x11),
            balance: U256::from(5),
            needed: U256::from(7),
        };
        let revert = Revert::from_data(error.abi_encode().into());
        assert_eq!(revert.name(), "ERC20InsufficientBalance");
        assert_eq!(revert.decode::<TestUSD::ERC20InsufficientBalance>(), Some(error));
        assert_eq!(revert.decode::<TransferDepositCollector::NotPayer>(), None);
        assert_eq!(
            revert.to_string(),
            "the contract refused: ERC20InsufficientBalance(sender: 0x1111111111111111111111111111111111111111, \
             balance: 5, needed: 7): fund the account"
        );
    }

    #[test]
    fn the_languages_own_errors_are_read() {
        let error = Revert::from_data(ErrorString::from("no").abi_encode().into());
        assert_eq!(error.to_string(), "the contract refused: Error(reason: no)");
        let panic = Panic::from(alloy_sol_types::PanicKind::UnderOverflow);
        let overflow = Revert::from_data(panic.abi_encode().into());
        assert!(overflow.to_string().contains("overflow"), "{overflow}");
        assert_eq!(Revert::from_data(Bytes::new()).to_string(), "the contract refused without a reason");
        let unknown = Revert::from_data(Bytes::from_static(&hex!("deadbeef00")));
        assert!(unknown.to_string().ends_with("0xdeadbeef00"), "{unknown}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(tail: Vec<u8>, known: prop::sample::Index) {
            let selectors: Vec<_> = KNOWN.keys().collect();
            let mut data = known.get(&selectors).to_vec();
            data.extend(&tail);
            prop_assert!(!Revert::from_data(data.into()).to_string().is_empty());
            prop_assert!(!Revert::from_data(tail.into()).to_string().is_empty());
        }
    }
}
