//! The reference model: every operation on money, lineage and shares, as a state machine.
//!
//! Owns: who may do what (ACC-1), the checks before each operation, and the events that a ledger would write. Each
//! operation is validated whole and then applied with nothing left that can fail; a refused one changes nothing.
//! Refuses: tokens (what a payment brought is told to it), eligibility hooks (their answer is told to it), approvals
//! (only holders act) and clocks (the time is told to it).

use std::collections::{BTreeMap, BTreeSet};

use residual_primitives::{
    Address, Amount, AssetId, BPS_ONE, Bps, LicenceId, RevenueKind, SHARES_SUPPLY, Terms, TermsId,
};
use serde::{Deserialize, Serialize};

use crate::{
    book::{Book, DefinedTerms, Licence, Offer, less},
    event::LedgerEvent,
    lineage::{self, Edge},
    paths::PathEarning,
    refusal::{
        BuyError, CreditError, FreezeError, GrantError, LicenceError, OfferError, PayoutError, Refusal,
        RegisterError, SettingsError, TransferError,
    },
    report::Report,
    snapshot::Snapshot,
    till::{Contracts, Till},
};

/// The highest protocol fee, in basis points.
pub const MAX_FEE_BPS: u16 = 500;

/// The latest time that the ledger can write: 2^40 - 1.
const MAX_TIME_S: u64 = (1 << 40) - 1;

/// How a licence is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payment {
    /// With the caller's tokens, at no more than `max_price`.
    Approved {
        /// The most that the caller agreed to.
        max_price: Amount,
    },
    /// With a payment that `payer` signed, of just the price.
    Signed {
        /// Who signed.
        payer: Address,
    },
}

/// Something that an account does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contracts' functions, where each is described")]
pub enum Operation {
    /// `Licences.defineTerms`.
    DefineTerms { terms: Box<Terms> },
    /// `Assets.register`; the caller becomes the controller. `asset` is what the ledger derives from caller and salt.
    Register {
        asset: AssetId,
        licences: Vec<LicenceId>,
        terms: Vec<TermsId>,
        holders: Vec<(Address, u32)>,
        resale_bps: u16,
    },
    /// Control changes hands (`Assets`, ERC-721).
    TransferControl { asset: AssetId, to: Address },
    /// `Licences.offer`.
    Offer { asset: AssetId, terms: TermsId },
    /// `Licences.withdraw`.
    Withdraw { asset: AssetId, terms: TermsId },
    /// `Licences.buy` or `buyWithAuthorization`. `eligible`: the answer of the terms' hook, if they have one.
    Buy { asset: AssetId, terms: TermsId, recipient: Address, payment: Payment, eligible: bool },
    /// `Licences.renewSubscription`; the holder pays.
    Renew { licence: LicenceId, duration_s: u64 },
    /// `Licences.cancelSubscription`.
    Cancel { licence: LicenceId },
    /// A licence changes hands (`Licences`, ERC-721).
    TransferLicence { licence: LicenceId, to: Address, eligible: bool },
    /// Shares change hands (`Shares`, ERC-1155); ids may repeat.
    TransferShares { to: Address, units: Vec<(AssetId, u32)> },
    /// Tokens are sent to a till.
    FillTill { till: Till, token: Address, amount: Amount },
    /// `Royalties.pay`, with what arrived.
    Pay { asset: AssetId, kind: RevenueKind, token: Address, received: Amount },
    /// `Royalties.sweep`.
    Sweep { till: Till, token: Address },
    /// `Royalties.flow`; `kinds` is a bitmap.
    Flow { child: AssetId, token: Address, kinds: u8 },
    /// `Royalties.claim`.
    Claim { asset: AssetId, token: Address, to: Address },
    /// `Royalties.claimOperator`.
    ClaimOperator { asset: AssetId, kind: RevenueKind, operator_bps: u16, token: Address, to: Address },
    /// `Royalties.claimAward`.
    ClaimAward { token: Address, to: Address },
    /// `Royalties.collectFees`.
    CollectFees { token: Address },
    /// `Royalties.grant`.
    Grant { till: Till },
    /// `Royalties.revoke`.
    Revoke { till: Till },
    /// `Royalties.freeze`.
    Freeze { asset: AssetId },
    /// `Royalties.rule`.
    Rule { asset: AssetId, claimant: Option<Address> },
    /// `Royalties.releaseDiverted`.
    ReleaseDiverted { parent: AssetId, token: Address, to: Address },
    /// `Royalties.setFee`.
    SetFee { fee_bps: u16 },
    /// `Royalties.setTreasury`.
    SetTreasury { treasury: Address },
    /// `Royalties.setArbiter`.
    SetArbiter { arbiter: Address },
    /// `Royalties.setListing`.
    SetListing { token: Address, listed: bool },
}

/// All money rules of one deployment, and their state.
#[derive(Debug, Clone)]
pub struct Model {
    contracts: Contracts,
    governor: Address,
    book: Book,
    tills: BTreeMap<(Till, Address), Amount>,
}

type Outcome<E> = Result<Vec<LedgerEvent>, E>;

impl Model {
    /// A deployment in which nothing has happened: no fee, no treasury, no arbiter, no token listed.
    #[must_use]
    pub fn new(contracts: Contracts, governor: Address) -> Self {
        Self { contracts, governor, book: Book::default(), tills: BTreeMap::new() }
    }

    /// Does what `caller` asks at the time `now_s`, or refuses it and changes nothing.
    ///
    /// Returns the events that the ledger writes, in its order. Claims of nothing, empty sweeps and idle flows write
    /// none. Times must not fall from one call to the next.
    ///
    /// # Errors
    /// The reason, equal in meaning to the contract's error.
    pub fn apply(&mut self, now_s: u64, caller: Address, operation: &Operation) -> Outcome<Refusal> {
        Ok(match operation {
            Operation::DefineTerms { terms } => self.define_terms(terms)?,
            Operation::Register { asset, licences, terms, holders, resale_bps } => {
                self.register(now_s, caller, *asset, licences, terms, holders, *resale_bps)?
            }
            Operation::TransferControl { asset, to } => self.transfer_control(caller, *asset, *to)?,
            Operation::Offer { asset, terms } => self.offer(caller, *asset, *terms)?,
            Operation::Withdraw { asset, terms } => self.withdraw(caller, *asset, *terms)?,
            Operation::Buy { asset, terms, recipient, payment, eligible } => {
                self.buy(now_s, caller, (*asset, *terms), *recipient, *payment, *eligible)?
            }
            Operation::Renew { licence, duration_s } => self.renew(now_s, caller, *licence, *duration_s)?,
            Operation::Cancel { licence } => self.cancel(now_s, caller, *licence)?,
            Operation::TransferLicence { licence, to, eligible } => {
                self.transfer_licence(caller, *licence, *to, *eligible)?
            }
            Operation::TransferShares { to, units } => self.transfer_shares(now_s, caller, *to, units)?,
            Operation::FillTill { till, token, amount } => self.fill_till(*till, *token, *amount)?,
            Operation::Pay { asset, kind, token, received } => {
                self.credit(caller, *asset, *token, *kind, *received)?
            }
            Operation::Sweep { till, token } => self.sweep(*till, *token)?,
            Operation::Flow { child, token, kinds } => self.flow(*child, *token, *kinds)?,
            Operation::Claim { asset, token, to } => self.claim(now_s, caller, *asset, *token, *to)?,
            Operation::ClaimOperator { asset, kind, operator_bps, token, to } => {
                let till = Till { asset: *asset, kind: *kind, operator: caller, operator_bps: *operator_bps };
                self.claim_operator(till, *token, *to)?
            }
            Operation::ClaimAward { token, to } => self.claim_award(caller, *token, *to)?,
            Operation::CollectFees { token } => self.collect_fees(*token),
            Operation::Grant { till } => self.grant(now_s, caller, *till)?,
            Operation::Revoke { till } => self.revoke(caller, *till)?,
            Operation::Freeze { asset } => self.freeze(now_s, caller, *asset)?,
            Operation::Rule { asset, claimant } => self.rule(now_s, caller, *asset, *claimant)?,
            Operation::ReleaseDiverted { parent, token, to } => {
                self.release_diverted(caller, *parent, *token, *to)?
            }
            Operation::SetFee { fee_bps } => self.set_fee(caller, *fee_bps)?,
            Operation::SetTreasury { treasury } => self.set_treasury(caller, *treasury)?,
            Operation::SetArbiter { arbiter } => self.set_arbiter(caller, *arbiter)?,
            Operation::SetListing { token, listed } => self.set_listing(caller, *token, *listed)?,
        })
    }

    /// Every balance, as the contracts' views would show them at the time `now_s`.
    #[must_use]
    pub fn snapshot(&self, now_s: u64) -> Snapshot {
        let mut snapshot = Snapshot::of(&self.book, now_s);
        snapshot.in_tills = self.tills.clone();
        snapshot
    }

    /// Who is owed what, and that every unit is accounted for.
    #[must_use]
    pub fn report(&self, now_s: u64) -> Report {
        Report::of(&self.book, now_s)
    }

    /// Along which paths every holder's earnings came.
    #[must_use]
    pub fn earnings_by_path(&self, now_s: u64) -> Vec<PathEarning> {
        self.report(now_s).paths
    }

    /// What an asset owes its ancestors, ascending by parent; empty for an asset that is not registered.
    #[must_use]
    pub fn edges(&self, asset: AssetId) -> &[Edge] {
        self.book.assets.get(&asset).map_or(&[], |asset| &asset.edges)
    }

    /// The holder of a licence and when it expires (0 = never), or `None` if it was never sold.
    #[must_use]
    pub fn licence(&self, licence: LicenceId) -> Option<(Address, u64)> {
        self.book.licences.get(&licence).map(|licence| (licence.holder, licence.expires_at_s))
    }

    /// An asset's holders and their units.
    #[must_use]
    pub fn holders(&self, asset: AssetId) -> BTreeMap<Address, u32> {
        let units = self.book.assets.get(&asset).map(|asset| asset.units.clone()).unwrap_or_default();
        units.into_iter().filter(|(_, units)| *units > 0).collect()
    }

    fn define_terms(&mut self, terms: &Terms) -> Outcome<Refusal> {
        let terms_id = terms.id()?;
        if self.book.terms.contains_key(&terms_id) {
            return Ok(Vec::new());
        }
        let number = self.book.terms.len() as u64 + 1;
        self.book.terms.insert(terms_id, DefinedTerms { number, terms: terms.clone() });
        Ok(vec![LedgerEvent::TermsDefined { terms_id, number, terms: Box::new(terms.clone()) }])
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of one registration")]
    fn register(
        &mut self,
        now_s: u64,
        registrant: Address,
        asset: AssetId,
        licences: &[LicenceId],
        terms: &[TermsId],
        holders: &[(Address, u32)],
        resale_bps: u16,
    ) -> Outcome<RegisterError> {
        if self.book.assets.contains_key(&asset) {
            return Err(RegisterError::AssetExists { asset });
        }
        if resale_bps > BPS_ONE {
            return Err(RegisterError::ResaleAboveLimit { found: resale_bps });
        }
        let edges = self.book.edges_under(licences, now_s)?;
        if let Some(&licence) =
            licences.iter().find(|licence| self.book.licences[*licence].holder != registrant)
        {
            return Err(RegisterError::NotLicensee { licence, account: registrant });
        }
        let mut offered = BTreeSet::new();
        for &terms in terms {
            self.check_offer(&edges, terms)?;
            if !offered.insert(terms) {
                return Err(OfferError::AlreadyOffered { asset, terms }.into());
            }
        }
        if let Some(index) = holders.iter().position(|(_, units)| *units == 0) {
            return Err(RegisterError::NoUnits { index });
        }
        let found = holders.iter().map(|(_, units)| u64::from(*units)).sum();
        if found != u64::from(SHARES_SUPPLY) {
            return Err(RegisterError::UnitsDoNotSum { found });
        }
        if holders.iter().any(|(holder, _)| *holder == Address::ZERO) {
            return Err(RegisterError::HolderZero);
        }

        self.book.register(asset, registrant, licences, edges.clone());
        let mut events =
            vec![LedgerEvent::Registered { asset, registrant, licences: licences.to_vec(), edges }];
        for &terms_id in terms {
            events.push(self.make_offer(asset, terms_id));
        }
        for &(to, units) in holders {
            self.book.bear_units(asset, to, units);
            events.push(LedgerEvent::SharesMoved { from: Address::ZERO, to, units: vec![(asset, units)] });
        }
        Ok(events)
    }

    fn transfer_control(&mut self, caller: Address, id: AssetId, to: Address) -> Outcome<TransferError> {
        let asset = self.book.assets.get_mut(&id).ok_or(TransferError::UnknownAsset { asset: id })?;
        if asset.controller != caller {
            return Err(TransferError::NotController { asset: id, account: caller });
        }
        if to == Address::ZERO {
            return Err(TransferError::AddressZero);
        }
        asset.controller = to;
        Ok(Vec::new())
    }

    fn is_controller(&self, asset: AssetId, account: Address) -> bool {
        self.book.assets.get(&asset).is_some_and(|asset| asset.controller == account)
    }

    fn check_offer(&self, edges: &[Edge], id: TermsId) -> Result<(), OfferError> {
        let DefinedTerms { terms, .. } =
            self.book.terms.get(&id).ok_or(OfferError::UnknownTerms { terms: id })?;
        if terms.currency != Address::ZERO && self.book.listings.get(&terms.currency) != Some(&true) {
            return Err(OfferError::CurrencyNotListed { currency: terms.currency });
        }
        lineage::check_offered_rates(edges, terms)
    }

    fn make_offer(&mut self, asset: AssetId, terms_id: TermsId) -> LedgerEvent {
        if let Some(asset) = self.book.assets.get_mut(&asset) {
            asset.offers.entry(terms_id).or_default().live = true;
        }
        LedgerEvent::Offered { asset, terms_id }
    }

    fn offer_of(&self, asset: AssetId, terms: TermsId) -> Offer {
        self.book.assets.get(&asset).and_then(|asset| asset.offers.get(&terms)).cloned().unwrap_or_default()
    }

    fn offer(&mut self, caller: Address, asset: AssetId, terms: TermsId) -> Outcome<OfferError> {
        if !self.is_controller(asset, caller) {
            return Err(OfferError::NotController { asset, account: caller });
        }
        if self.offer_of(asset, terms).live {
            return Err(OfferError::AlreadyOffered { asset, terms });
        }
        self.check_offer(self.edges(asset), terms)?;
        Ok(vec![self.make_offer(asset, terms)])
    }

    fn withdraw(&mut self, caller: Address, asset: AssetId, terms: TermsId) -> Outcome<OfferError> {
        if !self.is_controller(asset, caller) {
            return Err(OfferError::NotController { asset, account: caller });
        }
        match self.book.assets.get_mut(&asset).and_then(|asset| asset.offers.get_mut(&terms)) {
            Some(offer) if offer.live => offer.live = false,
            _ => return Err(OfferError::NotOffered { asset, terms }),
        }
        Ok(vec![LedgerEvent::Withdrawn { asset, terms_id: terms }])
    }

    fn buy(
        &mut self,
        now_s: u64,
        caller: Address,
        (id, terms_id): (AssetId, TermsId),
        recipient: Address,
        payment: Payment,
        eligible: bool,
    ) -> Outcome<BuyError> {
        let offer = self.offer_of(id, terms_id);
        let DefinedTerms { terms, number } = match self.book.terms.get(&terms_id) {
            Some(defined) if offer.live => defined.clone(),
            _ => return Err(BuyError::NotOffered { asset: id, terms: terms_id }),
        };
        let price = terms.price;
        let payer = match payment {
            Payment::Approved { max_price } if price > max_price => {
                return Err(BuyError::PriceAboveMax { price, max_price });
            }
            Payment::Approved { .. } => caller,
            Payment::Signed { .. } if price == Amount::ZERO => {
                return Err(BuyError::NothingToPay { terms: terms_id });
            }
            Payment::Signed { payer } => payer,
        };
        if recipient == Address::ZERO {
            return Err(BuyError::AddressZero);
        }
        if terms.supply_cap != 0 && offer.sold >= terms.supply_cap {
            return Err(BuyError::SoldOut { asset: id, terms: terms_id, supply_cap: terms.supply_cap });
        }
        if terms.eligibility_hook != Address::ZERO && !eligible {
            return Err(BuyError::NotEligible { account: recipient, asset: id, terms: terms_id });
        }
        let expires_at_s = if terms.period_s == 0 { 0 } else { now_s.saturating_add(terms.period_s) };
        if expires_at_s > MAX_TIME_S {
            return Err(BuyError::ExpiryAboveLimit { expires_at_s });
        }
        let payment = self.credit_price(payer, id, terms.currency, price)?;
        let licence = self.book.sell(id, (terms_id, number), recipient, expires_at_s);
        let mut events = vec![LedgerEvent::Bought { licence, recipient, terms_id, payer, expires_at_s }];
        events.extend(payment);
        Ok(events)
    }

    fn renew(
        &mut self,
        now_s: u64,
        caller: Address,
        id: LicenceId,
        duration_s: u64,
    ) -> Outcome<LicenceError> {
        let licence = self.held_by(caller, id)?;
        let terms = &self.book.terms[&licence.terms].terms;
        if !terms.renewable {
            return Err(LicenceError::NotRenewable { licence: id });
        }
        let period_s = terms.period_s;
        if duration_s == 0 || !duration_s.is_multiple_of(period_s) {
            return Err(LicenceError::NotWholePeriods { duration_s, period_s });
        }
        if self.book.assets[&id.asset()].is_frozen(now_s) {
            return Err(LicenceError::AssetFrozen { asset: id.asset() });
        }
        let expires_at_s = licence.expires_at_s.max(now_s).saturating_add(duration_s);
        if expires_at_s > MAX_TIME_S {
            return Err(LicenceError::ExpiryAboveLimit { expires_at_s });
        }
        let currency = terms.currency;
        let price = terms.price.0.checked_mul(u128::from(duration_s / period_s)).map(Amount);
        let price = price.ok_or(CreditError::TotalAboveLimit { token: currency })?;
        let payment = self.credit_price(caller, id.asset(), currency, price)?;
        self.book.set_expiry(id, expires_at_s);
        let mut events = vec![
            LedgerEvent::Renewed { licence: id, payer: caller, price, expires_at_s },
            LedgerEvent::SubscriptionUpdate { licence: id, expires_at_s },
        ];
        events.extend(payment);
        Ok(events)
    }

    fn credit_price(
        &mut self,
        payer: Address,
        asset: AssetId,
        token: Address,
        price: Amount,
    ) -> Outcome<CreditError> {
        if price == Amount::ZERO {
            return Ok(Vec::new());
        }
        self.credit(payer, asset, token, RevenueKind::Licence, price)
    }

    fn held_by(&self, caller: Address, id: LicenceId) -> Result<&Licence, LicenceError> {
        let licence = self.book.licences.get(&id).ok_or(LicenceError::UnknownLicence { licence: id })?;
        if licence.holder != caller {
            return Err(LicenceError::NotLicensee { licence: id, account: caller });
        }
        Ok(licence)
    }

    fn cancel(&mut self, now_s: u64, caller: Address, id: LicenceId) -> Outcome<LicenceError> {
        let expires_at_s = self.held_by(caller, id)?.expires_at_s;
        if expires_at_s == 0 {
            return Err(LicenceError::NotASubscription { licence: id });
        }
        if now_s >= expires_at_s {
            return Err(LicenceError::Expired { licence: id, expires_at_s });
        }
        self.book.set_expiry(id, now_s);
        Ok(vec![LedgerEvent::SubscriptionUpdate { licence: id, expires_at_s: now_s }])
    }

    fn transfer_licence(
        &mut self,
        caller: Address,
        id: LicenceId,
        to: Address,
        eligible: bool,
    ) -> Outcome<LicenceError> {
        let terms = &self.book.terms[&self.held_by(caller, id)?.terms].terms;
        if !terms.transferable {
            return Err(LicenceError::NotTransferable { licence: id });
        }
        if to == Address::ZERO {
            return Err(LicenceError::AddressZero);
        }
        if terms.eligibility_hook != Address::ZERO && !eligible {
            return Err(LicenceError::NotEligible { licence: id, account: to });
        }
        if let Some(licence) = self.book.licences.get_mut(&id) {
            licence.holder = to;
        }
        Ok(Vec::new())
    }

    fn transfer_shares(
        &mut self,
        now_s: u64,
        from: Address,
        to: Address,
        units: &[(AssetId, u32)],
    ) -> Outcome<TransferError> {
        if to == Address::ZERO {
            return Err(TransferError::AddressZero);
        }
        self.book.check_units(from, to, units)?;
        for &(asset, units) in units {
            self.book.move_units(asset, from, to, units, now_s);
        }
        Ok(vec![LedgerEvent::SharesMoved { from, to, units: units.to_vec() }])
    }

    fn fill_till(&mut self, till: Till, token: Address, amount: Amount) -> Outcome<CreditError> {
        let lying = self.tills.get(&(till, token)).copied().unwrap_or_default();
        let lying = lying.checked_add(amount).ok_or(CreditError::TotalAboveLimit { token })?;
        self.tills.insert((till, token), lying);
        Ok(Vec::new())
    }

    fn credit(
        &mut self,
        source: Address,
        asset: AssetId,
        token: Address,
        kind: RevenueKind,
        gross: Amount,
    ) -> Outcome<CreditError> {
        let fee = self.book.fee_of_credit(asset, token, kind, gross)?;
        self.book.credit(asset, token, kind, gross, fee);
        Ok(vec![LedgerEvent::Credited { asset, token, source, kind, gross, fee }])
    }

    fn sweep(&mut self, till: Till, token: Address) -> Outcome<CreditError> {
        let Till { asset, kind, operator, operator_bps } = till;
        if !self.book.listings.contains_key(&token) {
            return Err(CreditError::TokenNeverListed { token });
        }
        let gross = self.tills.get(&(till, token)).copied().unwrap_or_default();
        if gross == Amount::ZERO {
            return Ok(Vec::new());
        }
        let address = till.address(self.contracts);
        let mut events = self.credit(address, asset, token, kind, gross)?;
        self.tills.remove(&(till, token));
        let granted = self.book.assets[&asset].grants.contains(&till);
        if let (true, Some(LedgerEvent::Credited { fee, .. })) = (granted, events.first()) {
            self.book.through_till(till, token, less(gross, *fee));
        }
        events.push(LedgerEvent::Swept {
            asset,
            operator,
            till: address,
            token,
            kind,
            operator_bps,
            granted,
        });
        Ok(events)
    }

    fn flow(&mut self, child: AssetId, token: Address, kinds: u8) -> Outcome<PayoutError> {
        if kinds == 0 || kinds > 0b1111 {
            return Err(PayoutError::KindsNotValid { found: kinds });
        }
        let kinds: Vec<_> =
            RevenueKind::ALL.into_iter().filter(|kind| kinds >> kind.index() & 1 == 1).collect();
        let flow = self.book.flow(child, token, &kinds);
        if flow.kinds.is_empty() {
            return Ok(Vec::new());
        }
        let diverted = flow.diverted.iter();
        let mut events: Vec<_> = diverted
            .map(|(&(kind, parent), &amount)| LedgerEvent::Diverted { parent, token, child, kind, amount })
            .collect();
        events.push(LedgerEvent::Flowed { child, token, kinds: flow.kinds, amounts: flow.amounts });
        Ok(events)
    }

    fn claim(
        &mut self,
        now_s: u64,
        holder: Address,
        asset: AssetId,
        token: Address,
        to: Address,
    ) -> Outcome<PayoutError> {
        check_recipient(to, self.book.claimable(asset, token, holder, now_s))?;
        let amount = self.book.claim(asset, token, holder, now_s);
        Ok(some(amount, LedgerEvent::Claimed { asset, token, holder, to, amount }))
    }

    fn claim_operator(&mut self, till: Till, token: Address, to: Address) -> Outcome<PayoutError> {
        check_recipient(to, self.book.operator_claimable(till, token))?;
        let amount = self.book.claim_operator(till, token);
        let Till { asset, kind, operator, operator_bps } = till;
        Ok(some(
            amount,
            LedgerEvent::OperatorClaimed { asset, token, operator, kind, operator_bps, to, amount },
        ))
    }

    fn claim_award(&mut self, account: Address, token: Address, to: Address) -> Outcome<PayoutError> {
        check_recipient(
            to,
            self.book.awards.get(&(account, token)).map_or(Amount::ZERO, |award| award.owed()),
        )?;
        let amount = self.book.claim_award(account, token);
        Ok(some(amount, LedgerEvent::AwardClaimed { account, token, to, amount }))
    }

    fn collect_fees(&mut self, token: Address) -> Vec<LedgerEvent> {
        let amount = self.book.collect_fees(token);
        some(amount, LedgerEvent::FeesCollected { token, treasury: self.book.treasury, amount })
    }

    fn grant(&mut self, now_s: u64, caller: Address, till: Till) -> Outcome<GrantError> {
        let Till { asset: id, kind, operator, operator_bps } = till;
        if !self.is_controller(id, caller) {
            return Err(GrantError::NotController { asset: id, account: caller });
        }
        self.book.check_grant(till, now_s)?;
        if let Some(asset) = self.book.assets.get_mut(&id) {
            asset.grants.insert(till);
        }
        Ok(vec![LedgerEvent::OperatorGranted { asset: id, operator, kind, operator_bps }])
    }

    fn revoke(&mut self, caller: Address, till: Till) -> Outcome<GrantError> {
        let Till { asset: id, kind, operator, operator_bps } = till;
        if !self.is_controller(id, caller) {
            return Err(GrantError::NotController { asset: id, account: caller });
        }
        if !self.book.assets.get_mut(&id).is_some_and(|asset| asset.grants.remove(&till)) {
            return Err(GrantError::NotGranted);
        }
        Ok(vec![LedgerEvent::OperatorRevoked { asset: id, operator, kind, operator_bps }])
    }

    fn check_arbiter(&self, account: Address) -> Result<(), FreezeError> {
        if account == self.book.arbiter { Ok(()) } else { Err(FreezeError::OnlyArbiter { account }) }
    }

    fn freeze(&mut self, now_s: u64, caller: Address, asset: AssetId) -> Outcome<FreezeError> {
        self.check_arbiter(caller)?;
        self.book.check_freeze(asset, now_s)?;
        Ok(vec![LedgerEvent::Frozen { asset, until_s: self.book.freeze(asset, now_s) }])
    }

    fn rule(
        &mut self,
        now_s: u64,
        caller: Address,
        asset: AssetId,
        claimant: Option<Address>,
    ) -> Outcome<FreezeError> {
        self.check_arbiter(caller)?;
        self.book.check_rule(asset, now_s)?;
        let claimant = claimant.filter(|claimant| *claimant != Address::ZERO);
        let mut events = vec![LedgerEvent::Ruled { asset, claimant }];
        let awarded = self.book.rule(asset, claimant, now_s);
        events.extend(claimant.into_iter().flat_map(|claimant| {
            awarded.iter().map(move |&(token, amount)| LedgerEvent::Awarded {
                asset,
                token,
                claimant,
                amount,
            })
        }));
        Ok(events)
    }

    fn release_diverted(
        &mut self,
        caller: Address,
        parent: AssetId,
        token: Address,
        to: Address,
    ) -> Outcome<FreezeError> {
        self.check_arbiter(caller)?;
        if to == Address::ZERO {
            return Err(FreezeError::AddressZero);
        }
        let amount = self.book.release_diverted(parent, token, to);
        Ok(some(amount, LedgerEvent::DivertedReleased { parent, token, to, amount }))
    }

    fn check_governor(&self, account: Address) -> Result<(), SettingsError> {
        if account == self.governor { Ok(()) } else { Err(SettingsError::OnlyGovernor { account }) }
    }

    fn set_fee(&mut self, caller: Address, fee_bps: u16) -> Outcome<SettingsError> {
        self.check_governor(caller)?;
        self.book.fee = checked_fee(fee_bps)?;
        Ok(vec![LedgerEvent::FeeSet { fee_bps }])
    }

    fn set_treasury(&mut self, caller: Address, treasury: Address) -> Outcome<SettingsError> {
        self.check_governor(caller)?;
        self.book.treasury = checked_account(treasury)?;
        Ok(vec![LedgerEvent::TreasurySet { treasury }])
    }

    fn set_arbiter(&mut self, caller: Address, arbiter: Address) -> Outcome<SettingsError> {
        self.check_governor(caller)?;
        self.book.arbiter = checked_account(arbiter)?;
        Ok(vec![LedgerEvent::ArbiterSet { arbiter }])
    }

    fn set_listing(&mut self, caller: Address, token: Address, listed: bool) -> Outcome<SettingsError> {
        self.check_governor(caller)?;
        checked_account(token)?;
        self.book.set_listing(token, listed)?;
        Ok(vec![LedgerEvent::ListingSet { token, listed }])
    }
}

/// A fee within its limit.
pub(crate) fn checked_fee(found: u16) -> Result<Bps, SettingsError> {
    Bps::new(found).ok().filter(|fee| fee.get() <= MAX_FEE_BPS).ok_or(SettingsError::FeeAboveLimit { found })
}

fn checked_account(account: Address) -> Result<Address, SettingsError> {
    if account == Address::ZERO { Err(SettingsError::AddressZero) } else { Ok(account) }
}

/// Nothing may go to nobody.
fn check_recipient(to: Address, amount: Amount) -> Result<(), PayoutError> {
    if to == Address::ZERO && amount > Amount::ZERO { Err(PayoutError::AddressZero) } else { Ok(()) }
}

fn some(amount: Amount, event: LedgerEvent) -> Vec<LedgerEvent> {
    if amount == Amount::ZERO { Vec::new() } else { vec![event] }
}
