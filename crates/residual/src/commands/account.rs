//! `account`: new, import, list, fund.

use std::io::Read;

use residual_client::Person;
use residual_primitives::Amount;
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    cli::Account,
    commands::{Here, new_password},
    failure::Failure,
    output::{Output, Table},
};

pub(super) async fn run(here: &Here<'_>, what: Account, output: &mut Output) -> Result<(), Failure> {
    let client = here.client;
    match what {
        Account::New { name } => {
            let account = client.create_account(&name, &new_password(here.settings)?)?;
            shown(&name, &account, output)
        }
        Account::Import { name } => {
            let account = read_key()?;
            client.import_account(&name, &account, &new_password(here.settings)?)?;
            shown(&name, &account, output)
        }
        Account::List => {
            let rows = client.accounts().await?;
            output.result(&rows, |rows| {
                let mut table = Table::new(&["name", "address", ">balance"]);
                for row in rows {
                    table.row([
                        row.name.clone(),
                        row.address.to_string(),
                        client.currency().show(row.balance),
                    ]);
                }
                table.render()
            })?;
            Ok(())
        }
        Account::Fund { to, amount } => {
            let operator = here.account()?;
            let to = client.address_of(&to)?;
            let amount = Amount::parse_tokens(&amount, client.currency().decimals)?;
            client.fund(&operator, to, amount).await?;
            let balance = client.balance(to, client.currency().token).await?;
            let funded = json!({ "address": to, "balance": balance });
            output.result(&funded, |_| format!("{to} holds {}", client.currency().show(balance)))?;
            Ok(())
        }
    }
}

fn shown(name: &str, account: &Person, output: &mut Output) -> Result<(), Failure> {
    let address = account.address();
    output.result(&json!({ "name": name, "address": address }), |_| format!("{name} is {address}"))?;
    Ok(())
}

/// A private key from the standard input, which no shell history keeps.
fn read_key() -> Result<Person, Failure> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(200).read_to_string(&mut text)?;
    let digits = text.trim().strip_prefix("0x").filter(|digits| digits.len() == 64 && digits.is_ascii());
    let digits = digits.ok_or(Failure::NoKey)?;
    let mut secret = Zeroizing::new([0; 32]);
    for (byte, pair) in secret.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| Failure::NoKey)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| Failure::NoKey)?;
    }
    Person::from_secret(&secret).map_err(|_| Failure::NoKey)
}
