//! How the demo ends: everybody claims, a table says who earned what along which path, and the audit confirms it.

use std::time::Instant;

use residual_primitives::{Amount, RevenueKind};
use serde::Serialize;

use super::{Assets, Models, PREDICTIONS, Story, Who};
use crate::{failure::Failure, output::Table};

/// What one person earned of one asset, by one kind and along one path.
#[derive(Debug, Serialize)]
struct Credit {
    who: String,
    asset: String,
    kind: RevenueKind,
    /// The assets that the money passed: first the one that was paid, last `asset`.
    path: Vec<String>,
    amount: Amount,
}

/// What one person claimed, or could still claim, of one asset.
#[derive(Debug, Serialize)]
struct Held {
    who: String,
    asset: String,
    amount: Amount,
}

#[derive(Debug, Serialize)]
struct Accuracy {
    child: f64,
    grandchild: f64,
    lift: f64,
}

#[derive(Debug, Serialize)]
struct AuditResult {
    accounted: bool,
    events: usize,
    balances: usize,
    /// Units of the currency: paid in, paid out, and never payable.
    received: Amount,
    paid_out: Amount,
    remainders: Amount,
}

#[derive(Debug, Serialize)]
struct Ending {
    credits: Vec<Credit>,
    claims: Vec<Held>,
    held: Vec<Held>,
    audit: AuditResult,
    accuracy: Accuracy,
    predictions: u32,
    assets: Vec<residual_primitives::AssetId>,
    seconds: f64,
}

pub(super) async fn end(
    story: &mut Story<'_>,
    assets: &Assets,
    models: &Models,
    started: Instant,
) -> Result<(), Failure> {
    story.say("6. collect")?;
    let mut claims = Vec::new();
    for who in Who::ALL {
        let collected = story.client.collect(story.cast.account(who), None).await?;
        for claim in collected.claims {
            let asset = story.cast.asset(claim.asset).to_owned();
            claims.push(Held { who: who.to_string(), asset, amount: claim.amount });
        }
    }
    let audited = story.client.audit().await?;
    let (cast, currency) = (&story.cast, story.client.currency());
    let published = [&assets.photos, &assets.digits_a, &assets.digits_b, &models.child, &models.grandchild]
        .map(|published| published.asset);
    let mut rows = audited.report.paths.clone();
    // Ids are drawn anew each time; the order of the story is the same each time.
    rows.sort_by_key(|row| {
        let place = |asset: &_| published.iter().position(|published| published == asset);
        let path: Vec<_> = row.path.assets().iter().rev().map(place).collect();
        let who = Who::ALL.iter().position(|who| cast.address(*who) == row.holder);
        (place(&row.asset), row.kind.index(), path, who)
    });
    let credits: Vec<Credit> = rows
        .iter()
        .map(|row| Credit {
            who: cast.who(row.holder),
            asset: cast.asset(row.asset).to_owned(),
            kind: row.kind,
            path: row.path.assets().iter().map(|asset| cast.asset(*asset).to_owned()).collect(),
            amount: row.amount,
        })
        .collect();
    let held = audited
        .report
        .holders
        .iter()
        .filter(|row| row.claimable > Amount::ZERO)
        .map(|row| Held {
            who: cast.who(row.holder),
            asset: cast.asset(row.asset).to_owned(),
            amount: row.claimable,
        })
        .collect();
    let sum = |field: fn(&residual_client::TokenRow) -> Amount| audited.report.tokens.iter().map(field).sum();
    let ending = Ending {
        credits,
        claims,
        held,
        audit: AuditResult {
            accounted: audited.report.every_unit_is_accounted_for(),
            events: audited.events,
            balances: audited.balances,
            received: sum(|row| row.received),
            paid_out: sum(|row| row.paid_out),
            remainders: sum(|row| row.remainders),
        },
        accuracy: Accuracy {
            child: models.child_accuracy,
            grandchild: models.grandchild_accuracy,
            lift: models.grandchild_accuracy - models.child_accuracy,
        },
        predictions: PREDICTIONS,
        assets: published.to_vec(),
        seconds: started.elapsed().as_secs_f64(),
    };
    story.output.result(&ending, |ending| text(ending, currency))?;
    Ok(())
}

fn text(ending: &Ending, currency: &residual_client::Currency) -> String {
    let mut table = Table::new(&["who", ">earned", "of", "by", "along"]);
    for credit in &ending.credits {
        table.row([
            credit.who.clone(),
            currency.show(credit.amount),
            credit.asset.clone(),
            credit.kind.to_string(),
            credit.path.join(" > "),
        ]);
    }
    let audit = &ending.audit;
    format!(
        "\n{}\n7. audit: {} events read, {} balances compared with the ledger's own, in {:.1} s\n   received {}, paid out {}, of which {} claims; never payable {}\naudit: every unit accounted for",
        table.render(),
        audit.events,
        audit.balances,
        ending.seconds,
        currency.show(audit.received),
        currency.show(audit.paid_out),
        ending.claims.len(),
        currency.show(audit.remainders),
    )
}
