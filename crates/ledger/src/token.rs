//! Consents to payments in a token, signed without gas: EIP-2612 permits and EIP-3009 authorizations.
//!
//! Owns how a token's domain is found and that it is the right one. Refuses to sign for a domain that the token itself
//! does not confirm: such a signature would only fail later, on the ledger.

use alloy_primitives::{Address, B256, Signature, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use std::borrow::Cow;

use crate::{
    account::Account,
    chain::{CallError, Chain},
};

sol! {
    /// What is read of a token: ERC-20, EIP-2612, EIP-3009 and EIP-5267.
    interface Token {
        function name() external view returns (string);
        function version() external view returns (string);
        function nonces(address owner) external view returns (uint256);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function eip712Domain() external view returns (
            bytes1 fields, string name, string version, uint256 chainId, address verifyingContract, bytes32 salt,
            uint256[] extensions
        );
    }

    /// The consent that `spender` may take `value` from `owner` (EIP-2612).
    #[derive(Debug, PartialEq, Eq)]
    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }

    /// The consent to one payment, which anyone may carry out (EIP-3009).
    #[derive(Debug, PartialEq, Eq)]
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// The consent to one payment, which only the receiver may carry out (EIP-3009).
    #[derive(Debug, PartialEq, Eq)]
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// The most text that is taken from a token as its name or version, in bytes.
const TEXT_MAX: usize = 256;

/// Why nothing can be signed for a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What the token says of its domain does not hash to its separator, or is absurd.
    #[error(
        "expected token {token} to have the domain that it tells, found {reason}; consents for it cannot be signed"
    )]
    Domain {
        /// The token.
        token: Address,
        /// What is wrong.
        reason: String,
    },
}

/// A token's domain, confirmed by the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDomain {
    domain: Eip712Domain,
    token: Address,
}

impl TokenDomain {
    /// Reads a token's domain: by EIP-5267 if it has that, else from its name and version ("1" if it tells none); then
    /// holds it against its `DOMAIN_SEPARATOR` if it has one.
    ///
    /// # Errors
    /// [`TokenError::Domain`] when they differ; [`TokenError::Call`] when the token does not answer.
    pub async fn read(chain: &Chain, token: Address) -> Result<Self, TokenError> {
        let told = chain.call(token, &Token::eip712DomainCall {}).await;
        let refuse = |reason: &str| Err(TokenError::Domain { token, reason: reason.to_owned() });
        let (name, version, confirmed) = match told {
            Ok(told) => {
                // The bits for name, version, chain and contract, and no other (EIP-5267).
                if told.fields.0 != [0x0f] {
                    return refuse("a domain of other fields than name, version, chain and contract");
                }
                if told.chainId != U256::from(chain.id()) || told.verifyingContract != token {
                    return refuse("a domain of another chain or contract");
                }
                (told.name, told.version, true)
            }
            Err(CallError::Rpc(error)) => return Err(CallError::Rpc(error).into()),
            Err(_) => {
                let name = chain.call(token, &Token::nameCall {}).await?;
                match chain.call(token, &Token::versionCall {}).await {
                    Ok(version) => (name, version, false),
                    Err(CallError::Rpc(error)) => return Err(CallError::Rpc(error).into()),
                    Err(_) => (name, "1".to_owned(), false),
                }
            }
        };
        if name.len().max(version.len()) > TEXT_MAX {
            return refuse("a name or version of more than 256 bytes");
        }
        let (name, version) = (Some(Cow::Owned(name)), Some(Cow::Owned(version)));
        let domain = Eip712Domain::new(name, version, Some(U256::from(chain.id())), Some(token), None);
        match chain.call(token, &Token::DOMAIN_SEPARATORCall {}).await {
            Ok(separator) if separator == domain.separator() => Ok(Self { domain, token }),
            Ok(_) => refuse("another separator"),
            Err(CallError::Rpc(error)) => Err(CallError::Rpc(error).into()),
            Err(_) if confirmed => Ok(Self { domain, token }),
            Err(error) => Err(error.into()),
        }
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Eip712Domain {
        &self.domain
    }

    /// The next nonce of an owner's permits.
    ///
    /// # Errors
    /// When the token has none.
    pub async fn permit_nonce(&self, chain: &Chain, owner: Address) -> Result<U256, TokenError> {
        Ok(chain.call(self.token, &Token::noncesCall { owner }).await?)
    }

    /// Signs a consent in this token: a [`Permit`], [`TransferWithAuthorization`] or [`ReceiveWithAuthorization`].
    #[must_use]
    pub fn sign<T: SolStruct>(&self, account: &Account, consent: &T) -> Signature {
        account.sign_typed(consent, &self.domain)
    }
}

/// A nonce for an EIP-3009 authorization that is bound to nothing: 256 random bits.
#[must_use]
pub fn random_nonce() -> B256 {
    B256::new(rand::random())
}
