//! Who is in the demo: ten people with the development accounts.

use std::{collections::BTreeMap, fmt};

use residual_client::{AccountError, Client, Person};
use residual_primitives::{Address, Amount, AssetId};

/// A person of the story; the number is that of the development account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(super) enum Who {
    Operator,
    Ada,
    Bo,
    Cy,
    Dee,
    Eli,
    Fay,
    Gus,
    Hal,
    App,
}

impl Who {
    pub(super) const ALL: [Self; 10] = [
        Self::Operator,
        Self::Ada,
        Self::Bo,
        Self::Cy,
        Self::Dee,
        Self::Eli,
        Self::Fay,
        Self::Gus,
        Self::Hal,
        Self::App,
    ];
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

/// The people, their accounts, and the names of what they publish.
pub(super) struct Cast {
    accounts: Vec<Person>,
    assets: BTreeMap<AssetId, String>,
}

impl Cast {
    pub(super) fn new(client: &Client) -> Result<Self, AccountError> {
        let accounts = Who::ALL
            .iter()
            .map(|who| client.account(&format!("dev:{}", *who as u32), || unreachable!("no password")));
        Ok(Self { accounts: accounts.collect::<Result<_, _>>()?, assets: BTreeMap::new() })
    }

    pub(super) fn account(&self, who: Who) -> &Person {
        &self.accounts[who as usize]
    }

    pub(super) fn address(&self, who: Who) -> Address {
        self.account(who).address()
    }

    /// Gives everybody who buys something to spend.
    pub(super) async fn fund(&self, client: &Client, amount: Amount) -> Result<(), AccountError> {
        for who in [Who::Fay, Who::Gus, Who::Hal, Who::App] {
            client.fund(self.account(Who::Operator), self.address(who), amount).await?;
        }
        Ok(())
    }

    pub(super) fn name_asset(&mut self, asset: AssetId, name: &str) {
        self.assets.insert(asset, name.to_owned());
    }

    pub(super) fn asset(&self, asset: AssetId) -> &str {
        self.assets.get(&asset).map_or("an asset of somebody else", String::as_str)
    }

    pub(super) fn who(&self, address: Address) -> String {
        let found = Who::ALL.iter().find(|who| self.address(**who) == address);
        found.map_or_else(|| address.to_string(), ToString::to_string)
    }
}
