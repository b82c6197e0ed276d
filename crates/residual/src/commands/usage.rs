//! `usage`: what gateways recorded.

use residual_client::{Lane, RemoteGateway, UsageRecord};
use residual_primitives::Address;
use serde_json::json;

use crate::{
    cli::Usage,
    commands::Here,
    failure::Failure,
    output::{Output, Table},
};

/// How many uses are shown on a terminal.
const SHOWN_MAX: usize = 50;

pub(super) async fn run(here: &Here<'_>, what: Usage, output: &mut Output) -> Result<(), Failure> {
    match what {
        Usage::List { asset } => {
            let rows = here.client.usage_of(asset).await?;
            output.result(&json!({ "asset": asset, "uses": rows }), |_| listed(here, &rows))?;
        }
        Usage::Verify { gateway, epoch, index } => {
            let gateway = here.client.address_of(&gateway)?;
            let proof = here.client.prove_usage(gateway, epoch, index).await?;
            output.result(&proof, |proof| {
                format!(
                    "record {index} of epoch {epoch} of {gateway} is under the root that the ledger has, {}:\n{}",
                    proof.root,
                    in_words(here, &proof.usage)
                )
            })?;
        }
        Usage::Fetch { url, gateway, allow_http } => {
            let from = here.client.gateway(&url, allow_http).await?;
            fetch(here, &from, &gateway, output).await?;
        }
    }
    Ok(())
}

fn listed(here: &Here<'_>, rows: &[UsageRecord]) -> String {
    let mut table = Table::new(&["epoch", "record", "at", "lane", "payer", "units", "charged"]);
    for row in rows.iter().rev().take(SHOWN_MAX).rev() {
        table.row([
            row.epoch.to_string(),
            row.index.to_string(),
            row.at_s.to_string(),
            row.lane.name().to_owned(),
            row.payer.to_string(),
            row.units.to_string(),
            here.show_in(row.token, row.amount),
        ]);
    }
    let uses = rows.iter().filter(|row| row.lane != Lane::WrittenOff).count();
    let given_up: Vec<&UsageRecord> = rows.iter().filter(|row| row.lane == Lane::WrittenOff).collect();
    let left_out = rows.len().saturating_sub(SHOWN_MAX);
    let note =
        if left_out == 0 { String::new() } else { format!("\n{left_out} older ones; --json shows all") };
    let written_off: String = given_up
        .iter()
        .map(|row| {
            let amount = here.show_in(row.token, row.amount);
            format!("\n{amount} of channel {} was written off: less than the gas of its claim", row.source)
        })
        .collect();
    format!("{}{uses} uses{note}{written_off}", table.render())
}

fn in_words(here: &Here<'_>, row: &UsageRecord) -> String {
    if row.lane == Lane::WrittenOff {
        let amount = here.show_in(row.token, row.amount);
        return format!("{amount} of channel {} written off at {} (UNIX seconds)", row.source, row.at_s);
    }
    format!(
        "{} units of {} for {} at {} (UNIX seconds), paid by {} ({} {})",
        row.units,
        row.asset,
        here.show_in(row.token, row.amount),
        row.at_s,
        row.payer,
        row.lane.name(),
        row.source
    )
}

/// Fetches the epochs of a gateway that are committed to and not here.
async fn fetch(
    here: &Here<'_>,
    from: &RemoteGateway,
    gateway: &str,
    output: &mut Output,
) -> Result<(), Failure> {
    let gateway: Address = here.client.address_of(gateway)?;
    let head = here.client.chain().head().await.map_err(residual_client::LedgerError::from)?.number;
    let mut fetched = Vec::new();
    for commitment in here.client.usage_commitments(head).await? {
        let epoch = commitment.epoch;
        if commitment.gateway != gateway || here.client.open_usage_file(gateway, epoch)?.is_some() {
            continue;
        }
        let bytes = from.usage_epoch(gateway, epoch).await?;
        let kept = here.client.keep_usage(gateway, epoch, &bytes).await?;
        output.say(&format!("epoch {epoch}: {} uses", kept.records))?;
        fetched.push(kept);
    }
    output.result(&json!({ "gateway": gateway, "epochs": fetched }), |_| {
        format!("{} epochs fetched, each as the gateway committed to it", fetched.len())
    })?;
    Ok(())
}
