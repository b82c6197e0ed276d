//! `publish`, `derive`, `terms`, `show`, `license`, `get`, `shares`.

use residual_client::{
    BrokenRule, Check, Currency, Existing, HEALTH, HealthSummary, Profile, Progress, Publication,
    PublishedAsset, TermsRow,
};
use residual_primitives::{Amount, AssetId, AssetKind, Bps, LicenceId, Rates, Reach, SHARES_SUPPLY, TermsId};
use residual_vision::Severity;
use serde_json::json;

use crate::{
    cli::{CutProfile, Derive, Get, License, Publish, Shares, Show, Terms, Work},
    commands::Here,
    failure::Failure,
    output::{Output, Table, step_word},
    terms_file,
};

impl Here<'_> {
    fn publication(&self, work: Work, licences: Vec<LicenceId>) -> Result<Publication, Failure> {
        let mut holders = Vec::new();
        for holder in &work.holders {
            let wrong = || Failure::Holder { found: holder.clone() };
            let (who, units) = holder.rsplit_once('=').ok_or_else(wrong)?;
            holders.push((self.client.address_of(who)?, units.parse().map_err(|_| wrong())?));
        }
        if holders.is_empty() {
            holders.push((self.account()?.address(), SHARES_SUPPLY));
        }
        let mut terms = Vec::new();
        for file in &work.terms {
            terms.push(terms_file::read(file, self.client.currency())?);
        }
        Ok(Publication {
            path: work.path,
            kind: work.kind,
            name: work.name,
            description: work.description,
            holders,
            terms,
            licences,
            resale: Bps::new(work.resale_bps)?,
            profile: match work.profile {
                CutProfile::Fixed => Profile::Fixed,
                CutProfile::Cdc => Profile::Cdc,
            },
            check: Check { format: work.format, data_licence: work.data_licence },
        })
    }
}

fn published(asset: &PublishedAsset, output: &mut Output) -> Result<(), Failure> {
    output.result(asset, |asset| {
        let mut text = format!(
            "asset    {}\nversion  {}\nmanifest {}\nfiles    {} ({} bytes)\n",
            asset.asset, asset.version, asset.manifest_cid, asset.files, asset.content_bytes
        );
        if asset.hidden > 0 {
            text +=
                &format!("left out {} hidden files or folders: their names begin with a dot\n", asset.hidden);
        }
        match &asset.health {
            Some(health) => {
                text += &format!("health   {}\n", health.summary.summary);
                for broken in health.rules.iter().filter(|broken| broken.severity > Severity::Info) {
                    let BrokenRule { rule, severity, count, meaning } = broken;
                    text += &format!("         {severity} {rule} ({count}): {meaning}\n");
                }
            }
            None if asset.kind == AssetKind::Dataset => {
                text += "health   not checked: found no images with annotations of a known format\n";
            }
            None => {}
        }
        for terms in &asset.terms {
            text += &format!("terms    {terms}\n");
        }
        if asset.transaction.is_none() {
            text += "it was published before; nothing has changed\n";
        }
        text
    })?;
    Ok(())
}

pub(super) async fn publish(here: &Here<'_>, what: Publish, output: &mut Output) -> Result<(), Failure> {
    let publisher = here.account()?;
    let publication = here.publication(what.work, Vec::new())?;
    let progress = &mut |step, done: Progress| output.progress(step_word(step), done.done, done.total);
    let asset = match what.version_of {
        Some(asset) => here.client.publish_version(&publisher, asset, publication, progress).await?,
        None => here.client.publish(&publisher, publication, progress).await?,
    };
    published(&asset, output)
}

pub(super) async fn derive(here: &Here<'_>, what: Derive, output: &mut Output) -> Result<(), Failure> {
    let publisher = here.account()?;
    let publication = here.publication(what.work, what.licences)?;
    let progress = &mut |step, done: Progress| output.progress(step_word(step), done.done, done.total);
    let asset = here.client.publish(&publisher, publication, progress).await?;
    published(&asset, output)
}

pub(super) async fn terms(here: &Here<'_>, what: Terms, output: &mut Output) -> Result<(), Failure> {
    let account = here.account()?;
    match what {
        Terms::Define { file } => {
            let terms = terms_file::read(&file, here.client.currency())?;
            let id = here.client.define_terms(&account, &terms).await?;
            output.result(&json!({ "terms": id }), |_| format!("terms {id}"))?;
        }
        Terms::Offer { asset, terms } => {
            here.client.offer(&account, asset, terms).await?;
            output.result(&json!({ "asset": asset, "terms": terms }), |_| {
                format!("{asset} is offered under {terms}")
            })?;
        }
        Terms::Withdraw { asset, terms } => {
            here.client.withdraw_offer(&account, asset, terms).await?;
            output.result(&json!({ "asset": asset, "terms": terms }), |_| {
                format!("{asset} is no longer offered under {terms}; licences sold under it stay")
            })?;
        }
    }
    Ok(())
}

pub(super) async fn show(here: &Here<'_>, what: Show, output: &mut Output) -> Result<(), Failure> {
    let currency = here.client.currency();
    if let Some(terms) = what.terms {
        let row = here
            .client
            .terms_row(terms)
            .await?
            .ok_or(residual_client::LicenseError::UnknownTerms { terms })?;
        output.result(&row, |row| terms_text(terms, row, currency))?;
        return Ok(());
    }
    let id = what.id.unwrap_or_default();
    // By its length, since every 256-bit number with an upper half could be a licence.
    if id.len() > 34
        && let Ok(licence) = id.parse::<LicenceId>()
    {
        let row = here.client.licence_row(licence).await?;
        output.result(&row, |row| {
            let ends = row.expires_at_s.map_or_else(|| "never".to_owned(), |s| format!("{s} (UNIX seconds)"));
            format!(
                "licence  {}\nasset    {}\nholder   {}\nterms    {}\nversion  {}\nends     {ends}",
                row.licence, row.asset, row.holder, row.terms, row.version
            )
        })?;
        return Ok(());
    }
    let asset: AssetId = id.parse().map_err(|_| Failure::NoId { found: id.chars().take(80).collect() })?;
    let page = here.client.asset_page(asset).await?;
    output.result(&page, |page| {
        let mut text = String::new();
        let health = HealthSummary::of_about(&page.about);
        for (key, value) in page.about.iter().filter(|(_, value)| !value.is_empty()) {
            match health.as_ref().filter(|_| key == HEALTH) {
                Some(HealthSummary { summary, report_sha256 }) => {
                    text += &format!("{HEALTH:<12} {}\n", one_line(&summary.to_string()));
                    text += &format!("{:<12} sha256 {}\n", "report", one_line(report_sha256));
                }
                None => text += &format!("{:<12} {}\n", one_line(key), one_line(value)),
            }
        }
        text += &format!(
            "asset        {}\ncontroller   {}\nversions     {}\nmanifest     {}\nresale       {}\n",
            page.row.asset, page.row.controller, page.row.versions, page.manifest_cid, page.row.resale
        );
        for parent in &page.parents {
            text += &format!("parent       {}\n", parent.parent);
            for (what, rates) in
                [("of its own revenue", parent.all), ("of all that it receives", parent.child)]
            {
                if rates != Rates::default() {
                    text += &format!("             {what}: {}\n", by_kind(rates));
                }
            }
        }
        let mut table = Table::new(&["terms", "rights", ">price"]);
        for offer in &page.offers {
            table.row([
                offer.terms.to_string(),
                offer.row.rights.to_string(),
                currency.show(offer.row.price),
            ]);
        }
        text + "\n" + &table.render()
    })?;
    Ok(())
}

fn terms_text(terms: TermsId, row: &TermsRow, currency: &Currency) -> String {
    let count = |count: u32| if count == 0 { "any number".to_owned() } else { count.to_string() };
    let lasts = match (row.period_s, row.renewable) {
        (0, _) => "for ever".to_owned(),
        (period_s, true) => format!("{period_s} s, renewable"),
        (period_s, false) => format!("{period_s} s"),
    };
    let reach = match row.reach {
        Reach::All => "of its own revenue and of every later descendant's",
        Reach::Child => "of all that it receives",
    };
    let mut text = format!(
        "terms        {terms}\nrights       {}\nprice        {}\nlasts        {lasts}\nversions     {}\npassed on    {}\nworks        {} derived under one licence\nsold         {} of one asset\na child owes {} {reach}\n",
        row.rights,
        currency.show(row.price),
        if row.all_versions { "all until it ends" } else { "up to the one current when it is bought" },
        if row.transferable { "yes" } else { "no" },
        count(row.derivations),
        count(row.supply_cap),
        by_kind(row.rates),
    );
    if let Some(hook) = row.eligibility_hook {
        text += &format!("buyers       those that {hook} lets buy\n");
    }
    text
}

/// A stranger's words, without line breaks, which would look like lines of ours.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn by_kind(rates: Rates) -> String {
    let rates: Vec<String> = residual_primitives::RevenueKind::ALL
        .into_iter()
        .map(|kind| format!("{kind} {}", rates.of(kind)))
        .collect();
    rates.join(", ")
}

pub(super) async fn license(here: &Here<'_>, what: License, output: &mut Output) -> Result<(), Failure> {
    let buyer = here.account()?;
    let currency = here.client.currency();
    let bought = match (what.renew, what.asset, what.terms) {
        (Some(licence), _, _) => here.client.renew(&buyer, licence, what.periods).await?,
        (None, Some(asset), Some(terms)) => {
            let recipient = match &what.recipient {
                Some(name) => here.client.address_of(name)?,
                None => buyer.address(),
            };
            let max_price =
                what.max_price.map(|text| Amount::parse_tokens(&text, currency.decimals)).transpose()?;
            if what.signing.sign {
                let valid_for_s = what.signing.valid_for;
                let signed = here
                    .client
                    .sign_purchase(&buyer, asset, terms, recipient, max_price, valid_for_s)
                    .await?;
                return Ok(output.document(&signed)?);
            }
            here.client.license(&buyer, asset, terms, recipient, max_price).await?
        }
        _ => unreachable!("the grammar asks for an asset and terms, or a licence to renew"),
    };
    output.result(&bought, |bought| {
        let ends = bought.expires_at_s.map_or_else(|| "never".to_owned(), |s| format!("{s} (UNIX seconds)"));
        format!("licence {}\npaid    {}\nends    {ends}", bought.licence, currency.show(bought.price))
    })?;
    Ok(())
}

pub(super) async fn get(here: &Here<'_>, what: Get, output: &mut Output) -> Result<(), Failure> {
    let holder = here.account()?;
    let existing = if what.replace { Existing::Replace } else { Existing::Keep };
    let progress = &mut |step, done: Progress| output.progress(step_word(step), done.done, done.total);
    let version = what.version.map(u32::from);
    let gateway = match &what.gateway {
        Some(url) => {
            let connected = here.client.gateway(url, what.allow_http).await;
            Some(connected.map_err(residual_client::GetError::from)?)
        }
        None => None,
    };
    let got = here
        .client
        .get(gateway.as_ref(), &holder, what.licence, version, &what.target, existing, progress)
        .await?;
    output.result(&got, |got| {
        format!(
            "version {}: {} files written, {} there already, {} bytes verified",
            got.version, got.written, got.present, got.bytes
        )
    })?;
    Ok(())
}

pub(super) async fn shares(here: &Here<'_>, what: Shares, output: &mut Output) -> Result<(), Failure> {
    match what {
        Shares::Show { asset } => {
            let holders = here.client.holders(asset).await?;
            output.result(&holders, |holders| {
                let mut table = Table::new(&["holder", ">units"]);
                for (holder, units) in holders {
                    table.row([holder.to_string(), units.to_string()]);
                }
                table.render()
            })?;
        }
        Shares::Transfer { asset, to, units } => {
            let from = here.account()?;
            let to = here.client.address_of(&to)?;
            let moved = here.client.transfer_shares(&from, asset, to, units).await?;
            output.result(&moved, |moved| {
                format!("{} units of {} are {}'s now", moved.units, moved.asset, moved.to)
            })?;
        }
    }
    Ok(())
}
