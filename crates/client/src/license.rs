//! Licences: offering terms, buying under them, renewing.

use alloy_sol_types::SolEvent;
use residual_ledger::{Account, LogQuery, Receipt, contracts::licences::Licences, events};
use residual_primitives::{
    Address, Amount, AssetId, B256, LicenceId, Rates, Reach, Rights, Terms, TermsId, U256,
};
use residual_royalty::LedgerEvent;
use serde::Serialize;

use crate::{Client, HomeError, LedgerError, Money, PayError};

/// Why no licence was bought or renewed. Nothing was paid.
#[derive(Debug, thiserror::Error)]
pub enum LicenseError {
    /// Nobody defined these terms.
    #[error("expected terms that are defined on this ledger, found none with id {terms}")]
    UnknownTerms {
        /// The id.
        terms: TermsId,
    },
    /// The asset is not offered under them.
    #[error(
        "expected {asset} to be offered under {terms}, found no such offer: `residual show {asset}` lists the offers"
    )]
    NotOffered {
        /// The asset.
        asset: AssetId,
        /// The terms.
        terms: TermsId,
    },
    /// It costs more than the buyer agreed to.
    #[error("expected a price of at most {max_price}, found {price}: agree to it with --max-price")]
    PriceAboveMax {
        /// What it costs.
        price: Box<Money>,
        /// What was agreed to.
        max_price: Box<Money>,
    },
    /// The payment cannot be made.
    #[error(transparent)]
    Pay(#[from] PayError),
    /// Nothing is paid.
    #[error(
        "these terms are free, there is no payment to sign: whoever has gas takes the licence with --recipient"
    )]
    NothingToSign,
    /// It lasts for ever.
    #[error("licence {licence} cannot be renewed: its terms are not renewable")]
    NotRenewable {
        /// Which.
        licence: LicenceId,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A licence just bought or renewed.
#[derive(Debug, Clone, Serialize)]
pub struct BoughtLicence {
    /// The licence.
    pub licence: LicenceId,
    /// Its asset.
    pub asset: AssetId,
    /// Its terms.
    pub terms: TermsId,
    /// Who holds it.
    pub holder: Address,
    /// What was paid.
    pub price: Amount,
    /// When it ends; none for a perpetual one.
    pub expires_at_s: Option<u64>,
    /// The transaction.
    pub transaction: B256,
}

/// What the ledger keeps of terms.
#[derive(Debug, Clone, Serialize)]
pub struct TermsRow {
    /// Their running number.
    pub number: u64,
    /// What they allow.
    pub rights: Rights,
    /// The token of the price.
    pub currency: Address,
    /// The price.
    pub price: Amount,
    /// Seconds that a licence lasts; 0 = perpetual.
    pub period_s: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Whether every version until expiry is granted, or those up to the one current at purchase.
    pub all_versions: bool,
    /// Whether a licence can be passed on.
    pub transferable: bool,
    /// What a work derived under it owes, by kind.
    pub rates: Rates,
    /// How far down the lineage that goes.
    pub reach: Reach,
    /// How many works one licence may serve; 0 = any number.
    pub derivations: u32,
    /// How many licences may be sold of one asset; 0 = any number.
    pub supply_cap: u32,
    /// The contract that says who may buy; none for everybody.
    pub eligibility_hook: Option<Address>,
}

impl Client {
    /// Terms as the ledger keeps them; none when nobody defined them.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn terms_row(&self, id: TermsId) -> Result<Option<TermsRow>, LedgerError> {
        let call = Licences::termsSummaryCall { termsId: id.0 };
        let row = match self.call(self.suite().licences, &call).await {
            Ok(row) => row,
            Err(error) if error.reverted_with("UnknownTerms") => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(TermsRow {
            number: crate::narrow(row.number)?,
            rights: Rights::from_bits(row.rights).map_err(|_| LedgerError::unexpected("rights of terms"))?,
            currency: row.currency,
            price: Amount(crate::narrow(row.price)?),
            period_s: row.period.to(),
            renewable: row.renewable,
            all_versions: row.allVersions,
            transferable: row.transferable,
            rates: crate::show::rates(row.rates)?,
            reach: Reach::from_index(row.reach).ok_or_else(|| LedgerError::unexpected("a reach of terms"))?,
            derivations: row.derivations.to(),
            supply_cap: row.supplyCap,
            eligibility_hook: Some(row.hook).filter(|hook| *hook != Address::ZERO),
        }))
    }

    /// Terms with all their fields, as they were defined; none when nobody defined them.
    ///
    /// # Errors
    /// When the ledger cannot be reached, or its node shows other terms under this id.
    pub async fn terms(&self, id: TermsId) -> Result<Option<Terms>, LedgerError> {
        let query = LogQuery {
            events: vec![Licences::TermsDefined::SIGNATURE_HASH],
            indexed: [vec![id.0], Vec::new(), Vec::new()],
            ..LogQuery::of([self.suite().licences])
        };
        let logs = self.logs(query).await?;
        let Some(log) = logs.first() else { return Ok(None) };
        match events::read(&self.suite().deployment, log)? {
            Some(LedgerEvent::TermsDefined { terms, .. }) if terms.id() == Ok(id) => Ok(Some(*terms)),
            _ => Err(LedgerError::unexpected("terms of another id")),
        }
    }

    /// Offers terms on an asset that the account controls. An offer that stands is left as it is.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached.
    pub async fn offer(
        &self,
        controller: &Account,
        asset: AssetId,
        terms: TermsId,
    ) -> Result<(), LedgerError> {
        if !self.is_offered(asset, terms).await? {
            let call = Licences::offerCall { assetId: asset.to_u256(), termsId: terms.0 };
            self.send(controller, self.suite().licences, &call).await?;
        }
        Ok(())
    }

    /// Takes an offer back.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached.
    pub async fn withdraw_offer(
        &self,
        controller: &Account,
        asset: AssetId,
        terms: TermsId,
    ) -> Result<(), LedgerError> {
        let call = Licences::withdrawCall { assetId: asset.to_u256(), termsId: terms.0 };
        self.send(controller, self.suite().licences, &call).await?;
        Ok(())
    }

    async fn is_offered(&self, asset: AssetId, terms: TermsId) -> Result<bool, LedgerError> {
        let call = Licences::offerOfCall { assetId: asset.to_u256(), termsId: terms.0 };
        Ok(self.call(self.suite().licences, &call).await?.live)
    }

    /// Buys a licence for `recipient`, at no more than `max_price` (PAY-7); without one, at the price of now.
    ///
    /// # Errors
    /// See [`LicenseError`].
    pub async fn license(
        &self,
        buyer: &Account,
        asset: AssetId,
        terms: TermsId,
        recipient: Address,
        max_price: Option<Amount>,
    ) -> Result<BoughtLicence, LicenseError> {
        self.asset_row(asset).await?;
        let row = self.priced(terms, max_price).await?;
        let parts: [&[u8]; 3] = [&asset.to_be_bytes(), terms.0.as_slice(), recipient.as_slice()];
        let mut operation = self.operation(buyer, "license", &parts).await?;
        if !operation.interrupted() {
            if !self.is_offered(asset, terms).await? {
                return Err(LicenseError::NotOffered { asset, terms });
            }
            self.allow(buyer, row.currency, self.suite().royalties, row.price).await?;
        }
        let call = Licences::buyCall {
            assetId: asset.to_u256(),
            termsId: terms.0,
            recipient,
            maxPrice: U256::from(max_price.unwrap_or(row.price).0),
        };
        let receipt = operation.send(self.suite().licences, &call).await?;
        let (licence, expires_at_s) = self.bought(&receipt)?;
        let (price, transaction) = (row.price, receipt.transaction_hash);
        Ok(BoughtLicence { licence, asset, terms, holder: recipient, price, expires_at_s, transaction })
    }

    /// Terms whose price the buyer agrees to.
    async fn priced(&self, terms: TermsId, max_price: Option<Amount>) -> Result<TermsRow, LicenseError> {
        let row = self.terms_row(terms).await?.ok_or(LicenseError::UnknownTerms { terms })?;
        match max_price {
            Some(max_price) if row.price > max_price => {
                let money = |amount| Box::new(self.money(row.currency, amount));
                Err(LicenseError::PriceAboveMax { price: money(row.price), max_price: money(max_price) })
            }
            _ => Ok(row),
        }
    }

    /// Terms that the asset is offered under, at a price that the buyer agrees to.
    pub(crate) async fn offer_at(
        &self,
        asset: AssetId,
        terms: TermsId,
        max_price: Option<Amount>,
    ) -> Result<TermsRow, LicenseError> {
        self.asset_row(asset).await?;
        let row = self.priced(terms, max_price).await?;
        if self.is_offered(asset, terms).await? {
            Ok(row)
        } else {
            Err(LicenseError::NotOffered { asset, terms })
        }
    }

    /// The licence that a transaction bought, and when it ends in UNIX seconds; none for a perpetual one.
    pub(crate) fn bought(&self, receipt: &Receipt) -> Result<(LicenceId, Option<u64>), LedgerError> {
        let bought = receipt
            .event::<Licences::Bought>(self.suite().licences)
            .ok_or_else(|| LedgerError::unexpected("a purchase without its event"))?;
        let licence =
            LicenceId::try_from(bought.licenceId).map_err(|_| LedgerError::unexpected("a licence id"))?;
        let expires_at_s: u64 = crate::narrow(bought.expiresAt)?;
        Ok((licence, (expires_at_s != 0).then_some(expires_at_s)))
    }

    /// Renews a licence by whole periods, at the price of its terms.
    ///
    /// # Errors
    /// See [`LicenseError`].
    pub async fn renew(
        &self,
        payer: &Account,
        licence: LicenceId,
        periods: u32,
    ) -> Result<BoughtLicence, LicenseError> {
        let held = self.licence_row(licence).await?;
        let row =
            self.terms_row(held.terms).await?.ok_or(LicenseError::UnknownTerms { terms: held.terms })?;
        if !row.renewable {
            return Err(LicenseError::NotRenewable { licence });
        }
        let price = Amount(
            row.price.0.checked_mul(periods.into()).ok_or_else(|| LedgerError::unexpected("a price"))?,
        );
        let parts: [&[u8]; 2] = [&licence.to_u256().to_be_bytes::<32>(), &periods.to_be_bytes()];
        let mut operation = self.operation(payer, "renew", &parts).await?;
        if !operation.interrupted() {
            self.allow(payer, row.currency, self.suite().royalties, price).await?;
        }
        let duration =
            row.period_s.checked_mul(periods.into()).ok_or_else(|| LedgerError::unexpected("a period"))?;
        let call = Licences::renewSubscriptionCall { licenceId: licence.to_u256(), duration };
        let receipt = operation.send(self.suite().licences, &call).await?;
        let renewed = self.licence_row(licence).await?;
        Ok(BoughtLicence {
            licence,
            asset: licence.asset(),
            terms: held.terms,
            holder: renewed.holder,
            price,
            expires_at_s: renewed.expires_at_s,
            transaction: receipt.transaction_hash,
        })
    }
}
