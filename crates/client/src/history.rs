//! The ledger's logs in the form that the audit reads.
//!
//! Owns: which logs move money or decide a credit, and their typed form. Refuses: a log of our contracts' own events
//! whose content they never log, since a node that makes one up must not be believed for the rest.

use residual_ledger::{
    Log, SolEvent,
    contracts::{Assets, Licences, Royalties, Shares, TestUSD, licences::ILicences},
    deploy::Deployment,
};
use residual_primitives::{
    Address, Amount, Bps, LicenceId, Rates, Reach, RevenueKind, Rights, Terms, TermsId, U256, VersionsGranted,
};
use residual_royalty::{Edge, Entry, LedgerEvent, Place};

use crate::{LedgerError, asset_id as asset, narrow};

type Read<T> = Result<Option<T>, LedgerError>;

/// Reads the ledger's logs in their order.
pub(crate) fn entries(suite: &Deployment, logs: &[Log]) -> Result<Vec<Entry>, LedgerError> {
    let mut entries = Vec::new();
    for log in logs {
        let place = || {
            Some(Place {
                block: log.block_number?,
                time_s: log.block_timestamp?,
                transaction: log.transaction_hash?,
                log_index: log.log_index?,
            })
        };
        if let Some(event) = event(suite, log)? {
            let place = place().ok_or_else(|| LedgerError::unexpected("a log without its place"))?;
            entries.push(Entry { place, event });
        }
    }
    Ok(entries)
}

/// Reads one log; `None` for those that move no money and decide no credit.
fn event(suite: &Deployment, log: &Log) -> Read<LedgerEvent> {
    let from = log.address();
    if from == suite.assets.address {
        of_assets(log)
    } else if from == suite.shares.address {
        of_shares(log)
    } else if from == suite.licences.address {
        of_licences(log)
    } else if from == suite.royalties.address {
        of_royalties(log)
    } else {
        let Some(moved) = read::<TestUSD::Transfer>(log)? else { return Ok(None) };
        if ![moved.from, moved.to].contains(&suite.royalties.address) {
            return Ok(None);
        }
        let amount = amount(moved.value)?;
        Ok(Some(LedgerEvent::TokenMoved { token: from, from: moved.from, to: moved.to, amount }))
    }
}

fn read<E: SolEvent>(log: &Log) -> Read<E> {
    if log.topic0() != Some(&E::SIGNATURE_HASH) {
        return Ok(None);
    }
    E::decode_log_data(log.data()).map(Some).map_err(|_| LedgerError::unexpected("an event in another form"))
}

fn amount(number: U256) -> Result<Amount, LedgerError> {
    narrow(number).map(Amount)
}

fn licence(id: U256) -> Result<LicenceId, LedgerError> {
    id.try_into().map_err(|_| LedgerError::unexpected("a licence id"))
}

fn kind(index: u8) -> Result<RevenueKind, LedgerError> {
    RevenueKind::from_index(index).ok_or_else(|| LedgerError::unexpected("a kind of revenue"))
}

fn rate(bps: u16) -> Result<Bps, LedgerError> {
    Bps::new(bps).map_err(|_| LedgerError::unexpected("a rate"))
}

fn of_assets(log: &Log) -> Read<LedgerEvent> {
    let Some(event) = read::<Assets::Registered>(log)? else { return Ok(None) };
    Ok(Some(LedgerEvent::Registered {
        asset: asset(event.assetId)?,
        registrant: event.registrant,
        licences: event.licenceIds.into_iter().map(licence).collect::<Result<_, _>>()?,
        edges: event.edges.into_iter().map(edge).collect::<Result<_, _>>()?,
    }))
}

/// A word `parentId << 112 | child << 56 | all`, four rates of 14 bits each.
fn edge(word: U256) -> Result<Edge, LedgerError> {
    let rates = |shift: usize| {
        let mut rates = Rates::default();
        for kind in RevenueKind::ALL {
            let bps: U256 = (word >> (shift + 14 * kind.index())) & U256::from((1 << 14) - 1);
            rates.0[kind.index()] = rate(narrow(bps)?)?;
        }
        Ok::<_, LedgerError>(rates)
    };
    let parent: U256 = word >> 112usize;
    Ok(Edge { parent: asset(parent)?, all: rates(0)?, child: rates(56)? })
}

fn of_shares(log: &Log) -> Read<LedgerEvent> {
    let (from, to, moved) = if let Some(event) = read::<Shares::TransferSingle>(log)? {
        (event.from, event.to, vec![(event.id, event.value)])
    } else if let Some(event) = read::<Shares::TransferBatch>(log)? {
        (event.from, event.to, event.ids.into_iter().zip(event.values).collect())
    } else {
        return Ok(None);
    };
    let mut units = Vec::new();
    // No units of anything can be moved by anyone, even of what is no asset.
    for (id, count) in moved.into_iter().filter(|(_, count)| !count.is_zero()) {
        units.push((asset(id)?, narrow(count)?));
    }
    Ok(Some(LedgerEvent::SharesMoved { from, to, units }))
}

fn terms(terms: ILicences::Terms) -> Result<Terms, LedgerError> {
    let mut rates = Rates::default();
    for kind in RevenueKind::ALL {
        rates.0[kind.index()] = rate(terms.rates[kind.index()])?;
    }
    Ok(Terms {
        rights: Rights::from_bits(terms.rights).map_err(|_| LedgerError::unexpected("rights of terms"))?,
        versions: if terms.allVersions { VersionsGranted::AllUntilExpiry } else { VersionsGranted::Bought },
        reach: if terms.reach == 0 { Reach::All } else { Reach::Child },
        renewable: terms.renewable,
        transferable: terms.transferable,
        rates,
        derivations: terms.derivations.to(),
        period_s: terms.period.to(),
        supply_cap: terms.supplyCap,
        price: amount(terms.price)?,
        currency: terms.currency,
        eligibility_hook: terms.hook,
        training_unit_price: amount(terms.trainingUnitPrice)?,
        inference_unit_price: amount(terms.inferenceUnitPrice)?,
        legal_text: terms.legalText,
        text_cid: terms.textCid,
    })
}

fn of_licences(log: &Log) -> Read<LedgerEvent> {
    if let Some(event) = read::<Licences::TermsDefined>(log)? {
        let number = narrow(event.number)?;
        let terms = Box::new(terms(event.terms)?);
        return Ok(Some(LedgerEvent::TermsDefined { terms_id: TermsId(event.termsId), number, terms }));
    }
    if let Some(event) = read::<Licences::Offered>(log)? {
        return Ok(Some(LedgerEvent::Offered {
            asset: asset(event.assetId)?,
            terms_id: TermsId(event.termsId),
        }));
    }
    if let Some(event) = read::<Licences::Withdrawn>(log)? {
        return Ok(Some(LedgerEvent::Withdrawn {
            asset: asset(event.assetId)?,
            terms_id: TermsId(event.termsId),
        }));
    }
    if let Some(event) = read::<Licences::Bought>(log)? {
        return Ok(Some(LedgerEvent::Bought {
            licence: licence(event.licenceId)?,
            recipient: event.recipient,
            terms_id: TermsId(event.termsId),
            payer: event.payer,
            expires_at_s: narrow(event.expiresAt)?,
        }));
    }
    if let Some(event) = read::<Licences::Renewed>(log)? {
        return Ok(Some(LedgerEvent::Renewed {
            licence: licence(event.licenceId)?,
            payer: event.payer,
            price: amount(event.price)?,
            expires_at_s: narrow(event.expiresAt)?,
        }));
    }
    let Some(event) = read::<Licences::SubscriptionUpdate>(log)? else { return Ok(None) };
    Ok(Some(LedgerEvent::SubscriptionUpdate {
        licence: licence(event.tokenId)?,
        expires_at_s: event.expiration,
    }))
}

fn of_royalties(log: &Log) -> Read<LedgerEvent> {
    if let Some(event) = read::<Royalties::Credited>(log)? {
        return Ok(Some(LedgerEvent::Credited {
            asset: asset(event.assetId)?,
            token: event.token,
            source: event.source,
            kind: kind(event.kind)?,
            gross: amount(event.gross)?,
            fee: amount(event.fee)?,
        }));
    }
    if let Some(event) = read::<Royalties::Swept>(log)? {
        return Ok(Some(LedgerEvent::Swept {
            asset: asset(event.assetId)?,
            operator: event.operator,
            till: event.till,
            token: event.token,
            kind: kind(event.kind)?,
            operator_bps: event.operatorBps,
            granted: event.granted,
        }));
    }
    if let Some(event) = read::<Royalties::Flowed>(log)? {
        let kinds = RevenueKind::ALL.into_iter().filter(|kind| event.kinds.bit(kind.index()));
        return Ok(Some(LedgerEvent::Flowed {
            child: asset(event.childId)?,
            token: event.token,
            kinds: kinds.collect(),
            amounts: event.amounts.into_iter().map(amount).collect::<Result<_, _>>()?,
        }));
    }
    for read in [of_lineage, of_claims, of_control] {
        if let Some(event) = read(log)? {
            return Ok(Some(event));
        }
    }
    Err(LedgerError::unexpected("an event of Royalties"))
}

fn of_lineage(log: &Log) -> Read<LedgerEvent> {
    if let Some(event) = read::<Royalties::Diverted>(log)? {
        return Ok(Some(LedgerEvent::Diverted {
            parent: asset(event.parentId)?,
            token: event.token,
            child: asset(event.childId)?,
            kind: kind(event.kind)?,
            amount: amount(event.amount)?,
        }));
    }
    let Some(event) = read::<Royalties::DivertedReleased>(log)? else { return Ok(None) };
    Ok(Some(LedgerEvent::DivertedReleased {
        parent: asset(event.parentId)?,
        token: event.token,
        to: event.to,
        amount: amount(event.amount)?,
    }))
}

fn of_claims(log: &Log) -> Read<LedgerEvent> {
    if let Some(event) = read::<Royalties::Claimed>(log)? {
        return Ok(Some(LedgerEvent::Claimed {
            asset: asset(event.assetId)?,
            token: event.token,
            holder: event.holder,
            to: event.to,
            amount: amount(event.amount)?,
        }));
    }
    if let Some(event) = read::<Royalties::OperatorClaimed>(log)? {
        return Ok(Some(LedgerEvent::OperatorClaimed {
            asset: asset(event.assetId)?,
            token: event.token,
            operator: event.operator,
            kind: kind(event.kind)?,
            operator_bps: event.operatorBps,
            to: event.to,
            amount: amount(event.amount)?,
        }));
    }
    if let Some(event) = read::<Royalties::AwardClaimed>(log)? {
        let (account, token, to) = (event.account, event.token, event.to);
        return Ok(Some(LedgerEvent::AwardClaimed { account, token, to, amount: amount(event.amount)? }));
    }
    let Some(event) = read::<Royalties::FeesCollected>(log)? else { return Ok(None) };
    let (token, treasury) = (event.token, event.treasury);
    Ok(Some(LedgerEvent::FeesCollected { token, treasury, amount: amount(event.amount)? }))
}

fn of_control(log: &Log) -> Read<LedgerEvent> {
    if let Some(event) = read::<Royalties::OperatorGranted>(log)? {
        return Ok(Some(LedgerEvent::OperatorGranted {
            asset: asset(event.assetId)?,
            operator: event.operator,
            kind: kind(event.kind)?,
            operator_bps: event.operatorBps,
        }));
    }
    if let Some(event) = read::<Royalties::OperatorRevoked>(log)? {
        return Ok(Some(LedgerEvent::OperatorRevoked {
            asset: asset(event.assetId)?,
            operator: event.operator,
            kind: kind(event.kind)?,
            operator_bps: event.operatorBps,
        }));
    }
    if let Some(event) = read::<Royalties::Frozen>(log)? {
        return Ok(Some(LedgerEvent::Frozen { asset: asset(event.assetId)?, until_s: narrow(event.until)? }));
    }
    if let Some(event) = read::<Royalties::Ruled>(log)? {
        let claimant = Some(event.claimant).filter(|claimant| *claimant != Address::ZERO);
        return Ok(Some(LedgerEvent::Ruled { asset: asset(event.assetId)?, claimant }));
    }
    if let Some(event) = read::<Royalties::Awarded>(log)? {
        return Ok(Some(LedgerEvent::Awarded {
            asset: asset(event.assetId)?,
            token: event.token,
            claimant: event.claimant,
            amount: amount(event.amount)?,
        }));
    }
    if let Some(event) = read::<Royalties::FeeSet>(log)? {
        return Ok(Some(LedgerEvent::FeeSet { fee_bps: narrow(event.feeBps)? }));
    }
    if let Some(event) = read::<Royalties::TreasurySet>(log)? {
        return Ok(Some(LedgerEvent::TreasurySet { treasury: event.treasury }));
    }
    if let Some(event) = read::<Royalties::ArbiterSet>(log)? {
        return Ok(Some(LedgerEvent::ArbiterSet { arbiter: event.arbiter }));
    }
    let Some(event) = read::<Royalties::ListingSet>(log)? else { return Ok(None) };
    Ok(Some(LedgerEvent::ListingSet { token: event.token, listed: event.listed }))
}
