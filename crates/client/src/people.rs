//! Accounts by name: in the keystore of the data directory, or of development mode.

use residual_ledger::{
    Account, DevelopmentKeyError, Transaction,
    contracts::test_usd::TestUSD,
    keystore::{Keystore, KeystoreError, Password},
};
use residual_local_ledger::DEVELOPMENT_ACCOUNTS;
use residual_primitives::{Address, Amount, U256};
use serde::Serialize;

use crate::{Client, Home, HomeError, LedgerError, NewKey};

const ACCOUNTS: &str = "accounts";
const OPERATOR: &str = "operator";
const GATEWAY: &str = "gateway";

/// Which development account is the gateway's.
const DEVELOPMENT_GATEWAY: u32 = 9;

/// What an account is given for gas, in wei: 10 ether.
const GAS_WEI: U256 = U256::from_limbs([10_000_000_000_000_000_000, 0, 0, 0]);

/// Why an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No such account.
    #[error(
        "expected an account of this data directory, dev:0 to dev:9 in development mode, or an address; found {name:?}: `residual account list` lists them"
    )]
    Unknown {
        /// The name as given, cut to 80 characters.
        name: String,
    },
    /// An address that is none, or whose checksum says that it was mistyped.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There is no development account of that number, or none at all here.
    #[error(transparent)]
    Development(#[from] DevelopmentKeyError),
    /// The keystore cannot be used, or the password is wrong.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The password could not be had.
    #[error("expected a password from RESIDUAL_PASSWORD, --password-file or the terminal, found none: {0}")]
    Password(#[source] std::io::Error),
    /// An empty password protects nothing.
    #[error("expected a password for the new key, found an empty one")]
    NoPassword,
    /// Mistyped once.
    #[error("expected the same password twice, found two: nothing was made, repeat the command")]
    PasswordsDiffer,
    /// The gateway cannot carry anything to the ledger.
    #[error(
        "expected the gateway's account {account} to have gas on chain {chain}, found none: send it some, and repeat the \
         command"
    )]
    NoGas {
        /// The gateway's account.
        account: Address,
        /// The chain (EIP-155).
        chain: u64,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why a text is not an address.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected an address, 0x and 40 hexadecimal digits, their case a checksum if it is mixed (EIP-55); found {found:?}"
)]
pub struct AddressError {
    /// The text, cut to 80 characters.
    found: String,
}

/// Reads an address. One with letters of both cases must have its checksum right.
///
/// # Errors
/// [`AddressError`].
pub fn parse_address(text: &str) -> Result<Address, AddressError> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40);
    let mixed = digits.is_some_and(|digits| {
        digits.contains(|c: char| c.is_ascii_lowercase()) && digits.contains(|c: char| c.is_ascii_uppercase())
    });
    let parsed = match digits {
        None => None,
        Some(_) if mixed => Address::parse_checksummed(text, None).ok(),
        Some(_) => text.parse().ok(),
    };
    parsed.ok_or_else(|| AddressError { found: text.chars().take(80).collect() })
}

/// An account and what it holds.
#[derive(Debug, Clone, Serialize)]
pub struct AccountRow {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Address,
    /// What it holds of the currency.
    pub balance: Amount,
    /// What it holds for gas, in wei.
    pub gas_wei: U256,
}

fn keystore(home: &Home) -> Result<Keystore, AccountError> {
    Ok(Keystore::open(home.path(ACCOUNTS))?)
}

/// The keystore's `operator`, made if need be.
pub(crate) fn operator(
    home: &Home,
    password: impl FnOnce(NewKey) -> Result<Password, AccountError>,
) -> Result<Account, AccountError> {
    kept(home, OPERATOR, password)
}

/// An account of the keystore, made if need be.
fn kept(
    home: &Home,
    name: &str,
    password: impl FnOnce(NewKey) -> Result<Password, AccountError>,
) -> Result<Account, AccountError> {
    let keystore = keystore(home)?;
    if keystore.contains(name)? {
        Ok(keystore.unlock(name, &password(NewKey::No)?)?)
    } else {
        Ok(keystore.create(name, &password(NewKey::Yes)?)?)
    }
}

fn development_index(name: &str) -> Option<u32> {
    name.strip_prefix("dev:")
        .and_then(|index| index.parse().ok())
        .filter(|index| (*index as usize) < DEVELOPMENT_ACCOUNTS.len())
}

impl Client {
    /// Unlocks an account: `dev:N` in development mode, else of the keystore under the password that `password` brings.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn account(
        &self,
        name: &str,
        password: impl FnOnce() -> Result<Password, AccountError>,
    ) -> Result<Account, AccountError> {
        if let Some(index) = development_index(name) {
            return Ok(self.chain().development_account(index)?);
        }
        let keystore = keystore(self.home())?;
        if !keystore.contains(name)? {
            return Err(AccountError::Unknown { name: name.chars().take(80).collect() });
        }
        Ok(keystore.unlock(name, &password()?)?)
    }

    /// The address that a name or an address stands for.
    ///
    /// # Errors
    /// [`AccountError::Unknown`] or [`AccountError::Address`], or when the keystore cannot be read.
    pub fn address_of(&self, name: &str) -> Result<Address, AccountError> {
        if name.starts_with("0x") {
            return Ok(parse_address(name)?);
        }
        if let Some(index) = development_index(name) {
            return Ok(self.chain().development_account(index)?.address());
        }
        let keystore = keystore(self.home())?;
        if !keystore.contains(name)? {
            return Err(AccountError::Unknown { name: name.chars().take(80).collect() });
        }
        Ok(keystore.address(name)?)
    }

    /// Makes an account and keeps its key under a password.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn create_account(&self, name: &str, password: &Password) -> Result<Account, AccountError> {
        Ok(keystore(self.home())?.create(name, password)?)
    }

    /// Keeps the key of an account that was made elsewhere.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn import_account(
        &self,
        name: &str,
        account: &Account,
        password: &Password,
    ) -> Result<(), AccountError> {
        Ok(keystore(self.home())?.store(name, account, password)?)
    }

    /// The account of the gateway that runs on an embedded ledger: `dev:9` in development mode, else `gateway` of the
    /// keystore, made under the operator's password if need be. The operator gives it gas when it has little.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn gateway_account(
        &self,
        operators_password: impl FnOnce() -> Result<Password, AccountError>,
    ) -> Result<Account, AccountError> {
        if self.chain().config().development {
            return Ok(self.chain().development_account(DEVELOPMENT_GATEWAY)?);
        }
        let keystore = keystore(self.home())?;
        let password = operators_password()?;
        let operator = || keystore.unlock(OPERATOR, &password);
        let gateway = if keystore.contains(GATEWAY)? {
            keystore.unlock(GATEWAY, &password)?
        } else {
            // First the operator, so that no key is made under a mistyped password.
            operator()?;
            keystore.create(GATEWAY, &password)?
        };
        let address = gateway.address();
        if self.chain().balance_wei(address).await.map_err(LedgerError::from)? < GAS_WEI / U256::from(2) {
            let gas = Transaction::payment(address, GAS_WEI);
            let operator = operator()?;
            self.sender(&operator).await?.send(&gas).await.map_err(LedgerError::from)?;
            // The gateway runs for long and does not act with it again.
            self.release_account(operator.address()).await;
        }
        Ok(gateway)
    }

    /// The account of the gateway that runs on a chain behind a JSON-RPC: `dev:9` in development mode, else `gateway` of the
    /// keystore, made under `password` if need be. Nobody gives it gas there.
    ///
    /// # Errors
    /// See [`AccountError`]; [`AccountError::NoGas`] says where to send some.
    pub async fn public_gateway_account(
        &self,
        password: impl FnOnce(NewKey) -> Result<Password, AccountError>,
    ) -> Result<Account, AccountError> {
        if self.chain().config().development {
            return Ok(self.chain().development_account(DEVELOPMENT_GATEWAY)?);
        }
        let gateway = kept(self.home(), GATEWAY, password)?;
        let account = gateway.address();
        if self.chain().balance_wei(account).await.map_err(LedgerError::from)? == U256::ZERO {
            return Err(AccountError::NoGas { account, chain: self.chain().id() });
        }
        Ok(gateway)
    }

    /// The accounts of the data directory, and those of development mode, with what they hold.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, AccountError> {
        let mut known = keystore(self.home())?.list()?;
        if self.chain().config().development {
            for (index, address) in DEVELOPMENT_ACCOUNTS.into_iter().enumerate() {
                known.push((format!("dev:{index}"), address));
            }
        }
        let mut rows = Vec::new();
        for (name, address) in known {
            let balance = self.balance(address, self.currency().token).await?;
            let gas_wei = self.chain().balance_wei(address).await.map_err(LedgerError::from)?;
            rows.push(AccountRow { name, address, balance, gas_wei });
        }
        Ok(rows)
    }

    /// Gives an account gas from the operator, and test dollars.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn fund(&self, operator: &Account, to: Address, amount: Amount) -> Result<(), AccountError> {
        if self.chain().balance_wei(to).await.map_err(LedgerError::from)? < GAS_WEI {
            let gas = Transaction::payment(to, GAS_WEI);
            self.sender(operator).await?.send(&gas).await.map_err(LedgerError::from)?;
        }
        let call = TestUSD::mintCall { to, amount: U256::from(amount.0) };
        self.send(operator, self.currency().token, &call).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_address_is_refused() {
        let good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert!(parse_address(good).is_ok(), "the example of EIP-55");
        assert!(parse_address(&good.to_lowercase()).is_ok(), "without a checksum");
        for bad in [
            "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg",
        ] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }
}
