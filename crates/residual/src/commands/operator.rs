//! `operator`: grants to those who serve an asset, and what these bring them.

use residual_client::{OperatorGrant, OperatorRow, Till};

use crate::{
    cli::{Operator, OperatorsPart},
    commands::Here,
    failure::Failure,
    output::{Output, Table},
};

pub(super) async fn run(here: &Here<'_>, what: Operator, output: &mut Output) -> Result<(), Failure> {
    match what {
        Operator::Grant(part) => {
            let granted = here.client.grant_operator(&here.account()?, &till(here, &part)?).await?;
            output.result(&granted, |granted| said(granted, "granted", "was granted already"))?;
        }
        Operator::Revoke(part) => {
            let revoked = here.client.revoke_operator(&here.account()?, &till(here, &part)?).await?;
            output.result(&revoked, |revoked| said(revoked, "revoked", "was not granted"))?;
        }
        Operator::Show { operator, asset } => {
            let operator = here.client.address_of(&operator)?;
            let rows = here.client.operator_rows(operator, asset).await?;
            output.result(&rows, |rows| shown(here, rows))?;
        }
        Operator::Claim { asset } => {
            let claims = here.client.claim_operator(&here.account()?, asset).await?;
            output.result(&claims, |claims| {
                if claims.is_empty() {
                    return "nothing to claim".to_owned();
                }
                let mut table = Table::new(&["asset", "kind", ">bps", ">claimed"]);
                for claim in claims {
                    table.row([
                        claim.asset.to_string(),
                        claim.kind.to_string(),
                        claim.operator_bps.to_string(),
                        here.show_in(claim.token, claim.amount),
                    ]);
                }
                table.render()
            })?;
        }
    }
    Ok(())
}

fn till(here: &Here<'_>, part: &OperatorsPart) -> Result<Till, Failure> {
    let operator = here.client.address_of(&part.operator)?;
    Ok(Till { asset: part.asset, kind: part.kind, operator, operator_bps: part.bps })
}

fn said(grant: &OperatorGrant, news: &str, no_news: &str) -> String {
    let OperatorGrant { asset, kind, operator, operator_bps, till, transaction, .. } = grant;
    let how = if transaction.is_some() { news } else { no_news };
    format!("{operator} and {operator_bps} basis points of {asset} for {kind}: {how}\ntill    {till}")
}

fn shown(here: &Here<'_>, rows: &[OperatorRow]) -> String {
    if rows.is_empty() {
        return "nothing was ever granted to this operator".to_owned();
    }
    let mut table =
        Table::new(&["asset", "kind", ">bps", "granted", ">in the till", ">claimed", ">claimable"]);
    for row in rows {
        table.row([
            row.asset.to_string(),
            row.kind.to_string(),
            row.operator_bps.to_string(),
            (if row.granted { "yes" } else { "no" }).to_owned(),
            here.show_in(row.token, row.in_till),
            here.show_in(row.token, row.claimed),
            here.show_in(row.token, row.claimable),
        ]);
    }
    table.render()
}
