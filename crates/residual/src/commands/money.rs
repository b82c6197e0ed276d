//! `pay`, `channel`, `relay`, `redeem`, `sweep`, `flow`, `claim`, `collect`, `audit`.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use residual_client::{ClaimRow, Closing, NotCompared, Signed, SweptRow, UsageAudit};
use residual_primitives::{Address, Amount, AssetId};
use serde_json::json;

use crate::{
    cli::{Channel, Pay},
    commands::Here,
    failure::Failure,
    output::{Output, Table},
};

/// What a gateway on this machine lets stand unclaimed, in whole tokens.
const UNCLAIMED_CAP: &str = "1000000";

/// The longest signed payment that is read: a contract wallet's signature is the long part of it.
const SIGNED_BYTES_MAX: u64 = 64 << 10;

impl Here<'_> {
    pub(super) fn tokens(&self, text: &str) -> Result<Amount, Failure> {
        Ok(Amount::parse_tokens(text, self.client.currency().decimals)?)
    }

    pub(super) fn show(&self, amount: Amount) -> String {
        self.client.currency().show(amount)
    }

    /// An amount of any token; of one that is not the currency no more is known than its address.
    pub(super) fn show_in(&self, token: Address, amount: Amount) -> String {
        if token == self.client.currency().token {
            self.show(amount)
        } else {
            format!("{amount} units of {token}")
        }
    }

    fn swept(&self, rows: &[SweptRow]) -> String {
        let rows: Vec<String> = rows.iter().map(|row| self.show_in(row.token, row.amount)).collect();
        if rows.is_empty() { "nothing".to_owned() } else { rows.join(", ") }
    }
}

pub(super) async fn pay(here: &Here<'_>, what: Pay, output: &mut Output) -> Result<(), Failure> {
    let payer = here.account()?;
    let amount = here.tokens(&what.amount)?;
    let paid = here.client.pay(&payer, what.asset, what.kind, amount, what.till).await?;
    output.result(&paid, |paid| match paid.till {
        Some(till) => format!(
            "paid {} into the till {till}; `residual sweep {}` credits it",
            here.show(paid.amount),
            paid.asset
        ),
        None => format!("paid {} to {} for {}", here.show(paid.amount), paid.asset, paid.kind),
    })?;
    Ok(())
}

pub(super) async fn channel(here: &Here<'_>, what: Channel, output: &mut Output) -> Result<(), Failure> {
    let rows = match what {
        Channel::Open { asset, amount, gateway, withdraw_delay_s, signing } => {
            let (payer, gateway) = (here.account()?, here.client.address_of(&gateway)?);
            let amount = here.tokens(&amount)?;
            if signing.sign {
                let signed = here
                    .client
                    .sign_open_channel(&payer, asset, gateway, amount, withdraw_delay_s, signing.valid_for)
                    .await?;
                return Ok(output.document(&signed)?);
            }
            vec![here.client.open_channel(&payer, asset, gateway, amount, withdraw_delay_s).await?]
        }
        Channel::TopUp { channel, amount, signing } => {
            let (payer, amount) = (here.account()?, here.tokens(&amount)?);
            if signing.sign {
                let signed = here.client.sign_top_up(&payer, channel, amount, signing.valid_for).await?;
                return Ok(output.document(&signed)?);
            }
            vec![here.client.top_up(&payer, channel, amount).await?]
        }
        Channel::Close { channel, unclaimed } => {
            let closing = here.client.close_channel(&here.account()?, channel, unclaimed).await?;
            output.result(&closing, |closing| match closing {
                Closing::Requested { amount, ready_at_s } => format!(
                    "asked for {}; repeat the command after {ready_at_s} (UNIX seconds) to receive it",
                    here.show(*amount)
                ),
                Closing::Returned { amount } => format!("{} came back", here.show(*amount)),
            })?;
            return Ok(());
        }
        Channel::List => here.client.channel_rows().await?,
    };
    output.result(&rows, |rows| {
        let mut table = Table::new(&["channel", "asset", ">deposited", ">claimed"]);
        for row in rows {
            let cells = [row.channel.to_string(), row.asset.to_string()];
            table.row(cells.into_iter().chain([here.show(row.balance), here.show(row.claimed)]));
        }
        table.render()
    })?;
    Ok(())
}

pub(super) async fn relay(here: &Here<'_>, file: &Path, output: &mut Output) -> Result<(), Failure> {
    let sender = here.account()?;
    let relayed = here.client.relay(&sender, &read_signed(file)?).await?;
    output.result(&relayed, |relayed| {
        let what = match (relayed.licence, relayed.channel) {
            (Some(licence), _) => format!("licence {licence}"),
            (None, Some(channel)) => format!("channel {channel}"),
            (None, None) => format!("transaction {}", relayed.transaction),
        };
        format!("{what}\npaid    {}", here.show(relayed.amount))
    })?;
    Ok(())
}

/// What `--sign` printed, from a file or, for `-`, the standard input.
fn read_signed(file: &Path) -> Result<Signed, Failure> {
    let malformed = |reason: String| Failure::Signed { file: file.display().to_string(), reason };
    let mut text = String::new();
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| malformed(error.to_string()))?)
    };
    input.take(SIGNED_BYTES_MAX).read_to_string(&mut text).map_err(|error| malformed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))
}

pub(super) async fn redeem(here: &Here<'_>, asset: AssetId, output: &mut Output) -> Result<(), Failure> {
    let gateway = here.account()?;
    let meter = here.client.meter(gateway.address(), here.tokens(UNCLAIMED_CAP)?).await?;
    let redeemed = here.client.redeem(&gateway, &meter, asset).await?;
    output.result(&redeemed, |redeemed| {
        format!(
            "claimed {} of {} channels, swept {}",
            here.show(redeemed.claimed),
            redeemed.channels,
            here.swept(&redeemed.swept)
        )
    })?;
    Ok(())
}

pub(super) async fn sweep(here: &Here<'_>, asset: AssetId, output: &mut Output) -> Result<(), Failure> {
    let swept = here.client.sweep(&here.account()?, asset).await?;
    output.result(&json!({ "asset": asset, "swept": swept }), |_| format!("swept {}", here.swept(&swept)))?;
    Ok(())
}

pub(super) async fn flow(here: &Here<'_>, asset: AssetId, output: &mut Output) -> Result<(), Failure> {
    let flowed = here.client.flow(&here.account()?, asset).await?;
    let text = if flowed { "carried to the parents" } else { "nothing is owed to the parents" };
    output.result(&json!({ "asset": asset, "flowed": flowed }), |_| text.to_owned())?;
    Ok(())
}

pub(super) async fn claim(here: &Here<'_>, asset: AssetId, output: &mut Output) -> Result<(), Failure> {
    let claims = here.client.claim(&here.account()?, asset).await?;
    output.result(&claims, |claims| claimed(here, claims))?;
    Ok(())
}

pub(super) async fn collect(
    here: &Here<'_>,
    asset: Option<AssetId>,
    output: &mut Output,
) -> Result<(), Failure> {
    let collected = here.client.collect(&here.account()?, asset).await?;
    output.result(&collected, |collected| {
        let mut text =
            format!("swept {}, flowed {} assets\n", here.swept(&collected.swept), collected.flowed);
        for asset in &collected.refused {
            text += &format!("a till of {asset} was not swept: `residual sweep {asset}` says why\n");
        }
        text + &claimed(here, &collected.claims)
    })?;
    Ok(())
}

fn claimed(here: &Here<'_>, claims: &[ClaimRow]) -> String {
    if claims.is_empty() {
        return "nothing to claim".to_owned();
    }
    let mut table = Table::new(&["asset", ">claimed"]);
    for claim in claims {
        table.row([claim.asset.to_string(), here.show_in(claim.token, claim.amount)]);
    }
    table.render()
}

pub(super) async fn audit(here: &Here<'_>, output: &mut Output) -> Result<(), Failure> {
    let audited = here.client.audit().await?;
    output.result(&audited, |audited| {
        let written_off: String = audited
            .usage
            .written_off
            .iter()
            .map(|off| {
                let amount = here.show_in(off.token, off.amount);
                format!("gateway {} wrote off {amount} of channel {}\n", off.gateway, off.channel)
            })
            .collect();
        format!(
            "{} events up to block {}, {} balances compared\n{written_off}audit: every unit accounted for\n{}",
            audited.events,
            audited.block,
            audited.balances,
            here.usage_in_words(&audited.usage)
        )
    })?;
    Ok(())
}

impl Here<'_> {
    /// What of usage was compared, and what could not be and why.
    fn usage_in_words(&self, usage: &UsageAudit) -> String {
        let mut text = if usage.epochs > 0 {
            format!(
                "usage: {} epochs with {} records are as they were committed to; {} channels and payments agree with them, {} \
                 is not claimed yet\n",
                usage.epochs,
                usage.records,
                usage.sources,
                self.show(usage.outstanding)
            )
        } else {
            "usage: no claim was compared with records of use\n".to_owned()
        };
        let mut first_missing = BTreeMap::<Address, u64>::new();
        for (gateway, epoch) in &usage.missing {
            first_missing.entry(*gateway).or_insert(*epoch);
        }
        let claims = |gateway: &Address| {
            let of_gateway = usage.not_compared.iter().find(|rest| rest.gateway == *gateway);
            of_gateway.map_or_else(
                || "it has claimed nothing".to_owned(),
                |rest| format!("it claimed {} from {} channels", self.show(rest.claimed), rest.channels),
            )
        };
        for (gateway, epoch) in &first_missing {
            text += &format!(
                "usage: gateway {gateway} was not compared: {}, and the file of its epoch {epoch} is not here; `residual usage \
                 fetch URL {gateway}` brings it from where that gateway answers\n",
                claims(gateway)
            );
        }
        for NotCompared { gateway, .. } in usage.not_compared.iter().filter(|rest| !rest.committed) {
            text += &format!(
                "usage: gateway {gateway} was not compared: {}, and committed to no record of use; nobody can tell what was \
                 used\n",
                claims(gateway)
            );
        }
        text
    }
}
