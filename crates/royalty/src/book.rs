//! The book: who is owed what, as it follows from what has happened so far.
//!
//! Owns: the rules themselves, one method for each thing that can happen to money, lineage or shares; the model calls
//! them for operations, the audit for events. Refuses: permissions, which differ between the two (a model asks who
//! calls; an audit reads what the ledger let through).
//!
//! Nothing here is incremental but the totals themselves: every part is recomputed from cumulative revenue by the
//! formula sheet whenever it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::U256;
use residual_primitives::{
    Address, Amount, AssetId, BPS_ONE, Bps, FREEZE_S, LicenceId, MAX_TOKENS, RevenueKind, Rights,
    SHARES_SUPPLY, Terms, TermsId,
};

use crate::{
    formula::{self, EdgeRates, MAX_REVENUE, Revenue},
    lineage::{self, Derivation, Edge},
    paths::{Path, SharesParts, Trace},
    refusal::{CreditError, FreezeError, GrantError, RegisterError, SettingsError, TransferError},
    till::Till,
};

const UNPAID: &str = "no more is paid than is owed";
const PART: &str = "a part of what was received of the token, whose total fits";

/// Terms and their running number.
#[derive(Debug, Clone)]
pub(crate) struct DefinedTerms {
    pub(crate) number: u64,
    pub(crate) terms: Terms,
}

#[derive(Debug, Clone)]
pub(crate) struct Licence {
    pub(crate) holder: Address,
    pub(crate) terms: TermsId,
    /// 0 = never.
    pub(crate) expires_at_s: u64,
    pub(crate) derivations_used: u32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Offer {
    pub(crate) live: bool,
    pub(crate) sold: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Asset {
    pub(crate) controller: Address,
    pub(crate) edges: Vec<Edge>,
    pub(crate) sums: [EdgeRates; 4],
    pub(crate) units: BTreeMap<Address, u32>,
    pub(crate) offers: BTreeMap<TermsId, Offer>,
    pub(crate) grants: BTreeSet<Till>,
    pub(crate) tokens: Vec<Address>,
    pub(crate) licences_sold: u64,
    frozen_until_s: u64,
}

impl Asset {
    pub(crate) fn is_frozen(&self, now_s: u64) -> bool {
        now_s < self.frozen_until_s
    }

    pub(crate) fn units_of(&self, holder: Address) -> u32 {
        self.units.get(&holder).copied().unwrap_or(0)
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct OperatorTill {
    /// What came through while granted, after the fee.
    pub(crate) net: Amount,
    pub(crate) paid: Amount,
}

#[derive(Debug, Clone, Default)]
struct Holder {
    /// The shares' part up to which `accrued` was reckoned.
    reckoned: Amount,
    /// Units of shares times units of the token, since the beginning: a millionth of it is money.
    accrued: U256,
    claimed: Amount,
}

/// One asset in one token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Earnings {
    pub(crate) revenue: [Revenue; 4],
    /// The revenue at the last flow: what the edges were paid is the formula sheet's word on it.
    flowed: [Revenue; 4],
    pub(crate) tills: BTreeMap<Till, OperatorTill>,
    at_freeze: Amount,
    awarded: Amount,
    holders: BTreeMap<Address, Holder>,
    trace: Trace,
}

impl Earnings {
    fn shares_parts(&self, asset: &Asset) -> SharesParts {
        let of = |kind: RevenueKind| (self.revenue[kind.index()], asset.sums[kind.index()]);
        let own = RevenueKind::ALL.map(|kind| {
            let to_operators = self.tills.iter().filter(|(till, _)| till.kind == kind);
            let to_operators =
                to_operators.map(|(till, through)| through.net.0 * u128::from(till.operator_bps)).sum();
            formula::shares_of_own(of(kind).0, of(kind).1, to_operators)
        });
        let inherited = RevenueKind::ALL.map(|kind| formula::shares_of_inherited(of(kind).0, of(kind).1));
        SharesParts { own, inherited }
    }

    /// The revenue up to which parents were paid. Inherited revenue of an asset that owes nothing by reach `CHILD` has
    /// nowhere to go on to, and counts as carried.
    pub(crate) fn flowed(&self, asset: &Asset, kind: RevenueKind) -> Revenue {
        let flowed = self.flowed[kind.index()];
        let owes_inherited = asset.sums.iter().any(|sums| sums.child > Bps::ZERO);
        if owes_inherited { flowed } else { flowed.up_to_inherited(self.revenue[kind.index()]) }
    }

    /// What the shares were owed since the beginning, before any freeze or ruling.
    pub(crate) fn shares_owed(&self, asset: &Asset) -> Amount {
        let parts = self.shares_parts(asset);
        parts.own.into_iter().chain(parts.inherited).sum()
    }

    /// What the holders may divide: without what a freeze holds now and what rulings took. It never falls.
    pub(crate) fn open(&self, asset: &Asset, now_s: u64) -> Amount {
        let owed = if asset.is_frozen(now_s) { self.at_freeze } else { self.shares_owed(asset) };
        less(owed, self.awarded)
    }

    /// What a freeze holds now.
    pub(crate) fn held(&self, asset: &Asset, now_s: u64) -> Amount {
        less(less(self.shares_owed(asset), self.awarded), self.open(asset, now_s))
    }

    /// What rulings took from the shares.
    pub(crate) fn awarded(&self) -> Amount {
        self.awarded
    }

    fn accrued(&self, asset: &Asset, holder: Address, now_s: u64) -> U256 {
        let account = self.holders.get(&holder).cloned().unwrap_or_default();
        let growth = less(self.open(asset, now_s), account.reckoned);
        account.accrued + U256::from(growth.0) * U256::from(asset.units_of(holder))
    }

    /// What a holder earned since the beginning, in whole units.
    pub(crate) fn earned(&self, asset: &Asset, holder: Address, now_s: u64) -> Amount {
        let whole: U256 = self.accrued(asset, holder, now_s) / U256::from(SHARES_SUPPLY);
        Amount(whole.to())
    }

    /// What is open to the holders but in no one's whole units.
    pub(crate) fn fractions(&self, asset: &Asset, now_s: u64) -> Amount {
        let parts = self.everyone(asset).into_iter().map(|holder| {
            let part: U256 = self.accrued(asset, holder, now_s) % U256::from(SHARES_SUPPLY);
            part.to::<u128>()
        });
        Amount(parts.sum::<u128>() / u128::from(SHARES_SUPPLY))
    }

    pub(crate) fn claimed(&self, holder: Address) -> Amount {
        self.holders.get(&holder).map_or(Amount::ZERO, |account| account.claimed)
    }

    /// Everyone who holds or held shares while the asset earned in this token.
    pub(crate) fn everyone(&self, asset: &Asset) -> BTreeSet<Address> {
        self.holders.keys().chain(asset.units.keys()).copied().collect()
    }

    pub(crate) fn earned_by_path(
        &self,
        (id, asset): (AssetId, &Asset),
        holder: Address,
        now_s: u64,
    ) -> BTreeMap<(RevenueKind, Path), u128> {
        let earned = self.earned(asset, holder, now_s);
        let (parts, frozen) = (self.shares_parts(asset), asset.is_frozen(now_s));
        self.trace.earned(id, &parts, frozen, holder, asset.units_of(holder), earned)
    }

    fn checkpoint(&mut self, (id, asset): (AssetId, &Asset), holder: Address, now_s: u64) {
        let accrued = self.accrued(asset, holder, now_s);
        let reckoned = self.open(asset, now_s);
        let (parts, frozen) = (self.shares_parts(asset), asset.is_frozen(now_s));
        self.trace.checkpoint(id, &parts, frozen, holder, asset.units_of(holder));
        let account = self.holders.entry(holder).or_default();
        (account.accrued, account.reckoned) = (accrued, reckoned);
    }
}

pub(crate) fn less(whole: Amount, part: Amount) -> Amount {
    whole.checked_sub(part).expect(UNPAID)
}

fn add(to: &mut Amount, part: Amount) {
    *to = to.checked_add(part).expect(PART);
}

/// What came in, and how much of it went out again to whom it belongs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) credited: Amount,
    pub(crate) paid: Amount,
}

impl Account {
    pub(crate) fn owed(self) -> Amount {
        less(self.credited, self.paid)
    }

    fn pay_out(&mut self) -> Amount {
        let owed = self.owed();
        self.paid = self.credited;
        owed
    }
}

/// What one flow carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// The kinds with revenue since the last flow.
    pub(crate) kinds: Vec<RevenueKind>,
    /// For each of them one amount for each edge.
    pub(crate) amounts: Vec<Amount>,
    /// The parts that a parent could not take.
    pub(crate) diverted: BTreeMap<(RevenueKind, AssetId), Amount>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    pub(crate) fee: Bps,
    pub(crate) treasury: Address,
    pub(crate) arbiter: Address,
    /// Tokens that were ever listed, and whether they are now.
    pub(crate) listings: BTreeMap<Address, bool>,
    pub(crate) terms: BTreeMap<TermsId, DefinedTerms>,
    pub(crate) assets: BTreeMap<AssetId, Asset>,
    pub(crate) licences: BTreeMap<LicenceId, Licence>,
    pub(crate) earnings: BTreeMap<(AssetId, Address), Earnings>,
    /// Protocol fees by token.
    pub(crate) fees: BTreeMap<Address, Account>,
    /// What parents could not take, by parent and token.
    pub(crate) diverted: BTreeMap<(AssetId, Address), Account>,
    /// What the arbiter named as an account's own, by account and token.
    pub(crate) awards: BTreeMap<(Address, Address), Account>,
    /// All that came in and went out again, by token.
    pub(crate) totals: BTreeMap<Address, Account>,
}

impl Book {
    /// What registration under these licences would make: the derivations, unchecked who holds the licences (LIN-2).
    pub(crate) fn edges_under(&self, licences: &[LicenceId], now_s: u64) -> Result<Vec<Edge>, RegisterError> {
        if let Some(place) = licences.windows(2).position(|pair| pair[0].to_u256() >= pair[1].to_u256()) {
            return Err(RegisterError::LicencesNotAscending { index: place + 1 });
        }
        let mut derivations = Vec::with_capacity(licences.len());
        for &id in licences {
            let licence = self.licences.get(&id).ok_or(RegisterError::UnknownLicence { licence: id })?;
            let terms = &self.terms[&licence.terms].terms;
            if !terms.rights.contain(Rights::DERIVE) {
                return Err(RegisterError::NoRightToDerive { licence: id });
            }
            if licence.expires_at_s != 0 && now_s >= licence.expires_at_s {
                return Err(RegisterError::Expired { licence: id, expires_at_s: licence.expires_at_s });
            }
            if terms.derivations != 0 && licence.derivations_used >= terms.derivations {
                return Err(RegisterError::NoDerivationsLeft { licence: id, derivations: terms.derivations });
            }
            derivations.push(Derivation { parent: id.asset(), rates: terms.rates, reach: terms.reach });
        }
        Ok(lineage::edges_of_child(&derivations, |asset| &self.assets[&asset].edges)?)
    }

    /// Registers an asset without shares; they are born by [`Book::bear_units`].
    pub(crate) fn register(
        &mut self,
        asset: AssetId,
        controller: Address,
        licences: &[LicenceId],
        edges: Vec<Edge>,
    ) {
        for licence in licences {
            let licence = self.licences.get_mut(licence).expect("checked when the edges were made");
            licence.derivations_used = licence.derivations_used.saturating_add(1);
        }
        let sums = RevenueKind::ALL.map(|kind| lineage::rate_sums(&edges, kind));
        let asset_state = Asset {
            controller,
            edges,
            sums,
            units: BTreeMap::new(),
            offers: BTreeMap::new(),
            grants: BTreeSet::new(),
            tokens: Vec::new(),
            licences_sold: 0,
            frozen_until_s: 0,
        };
        self.assets.insert(asset, asset_state);
    }

    /// The asset's units in all: 1,000,000 once it is registered.
    pub(crate) fn units(&self, asset: AssetId) -> u64 {
        self.assets.get(&asset).map_or(0, |asset| asset.units.values().map(|units| u64::from(*units)).sum())
    }

    pub(crate) fn bear_units(&mut self, asset: AssetId, holder: Address, units: u32) {
        if let Some(asset) = self.assets.get_mut(&asset) {
            *asset.units.entry(holder).or_default() += units;
        }
    }

    /// Moves units that `from` holds, after both sides are settled for every token of the asset (PAY-5).
    pub(crate) fn move_units(&mut self, id: AssetId, from: Address, to: Address, units: u32, now_s: u64) {
        let Some(asset) = self.assets.get_mut(&id).filter(|_| units > 0) else { return };
        for token in &asset.tokens {
            let earnings = self.earnings.entry((id, *token)).or_default();
            earnings.checkpoint((id, asset), from, now_s);
            earnings.checkpoint((id, asset), to, now_s);
        }
        *asset.units.entry(from).or_default() -= units;
        *asset.units.entry(to).or_default() += units;
    }

    /// Whether `from` holds all these units, an id that repeats counted together. Anyone may move no units of anything.
    pub(crate) fn check_units(
        &self,
        from: Address,
        to: Address,
        units: &[(AssetId, u32)],
    ) -> Result<(), TransferError> {
        let mut left: BTreeMap<AssetId, u32> = BTreeMap::new();
        for &(id, needed) in units.iter().filter(|(_, needed)| *needed > 0) {
            let asset = self.assets.get(&id).ok_or(TransferError::UnknownAsset { asset: id })?;
            let held = left.entry(id).or_insert_with(|| asset.units_of(from));
            if *held < needed {
                return Err(TransferError::NotEnoughUnits { asset: id, account: from, held: *held, needed });
            }
            if from != to {
                *held -= needed;
            }
        }
        Ok(())
    }

    /// Writes a new licence and its serial.
    pub(crate) fn sell(
        &mut self,
        id: AssetId,
        (terms, number): (TermsId, u64),
        holder: Address,
        expires_at_s: u64,
    ) -> LicenceId {
        let asset = self.assets.get_mut(&id).expect("a licence is sold on a registered asset");
        asset.licences_sold += 1;
        let offer = asset.offers.entry(terms).or_default();
        offer.sold = offer.sold.saturating_add(1);
        let licence = LicenceId::new(id, number, asset.licences_sold);
        self.licences.insert(licence, Licence { holder, terms, expires_at_s, derivations_used: 0 });
        licence
    }

    pub(crate) fn set_expiry(&mut self, licence: LicenceId, expires_at_s: u64) {
        if let Some(licence) = self.licences.get_mut(&licence) {
            licence.expires_at_s = expires_at_s;
        }
    }

    /// Lists a token or takes it off the list. No fifth one is ever listed.
    pub(crate) fn set_listing(&mut self, token: Address, listed: bool) -> Result<(), SettingsError> {
        let is_known = self.listings.contains_key(&token);
        if listed && !is_known && self.listings.len() >= MAX_TOKENS {
            return Err(SettingsError::TooManyTokensListed { token });
        }
        // De-listing what was never listed leaves it never listed.
        if listed || is_known {
            self.listings.insert(token, listed);
        }
        Ok(())
    }

    /// Whether the till's operator can be granted (PAY-9).
    pub(crate) fn check_grant(&self, till: Till, now_s: u64) -> Result<(), GrantError> {
        let Some(asset) = self.assets.get(&till.asset) else {
            return Err(GrantError::NotController { asset: till.asset, account: till.operator });
        };
        let sums = asset.sums[till.kind.index()];
        let most = (BPS_ONE - sums.all.get() - sums.child.get()).min(MAX_OPERATOR_BPS);
        if till.operator == Address::ZERO {
            return Err(GrantError::OperatorZero);
        }
        if till.operator_bps == 0 || till.operator_bps > most {
            return Err(GrantError::OperatorBpsNotValid { found: till.operator_bps, most });
        }
        if asset.grants.contains(&till) {
            return Err(GrantError::AlreadyGranted);
        }
        if asset.is_frozen(now_s) {
            return Err(GrantError::FrozenAsset { asset: till.asset });
        }
        Ok(())
    }

    pub(crate) fn check_freeze(&self, id: AssetId, now_s: u64) -> Result<(), FreezeError> {
        let asset = self.assets.get(&id).ok_or(FreezeError::UnknownAsset { asset: id })?;
        if asset.is_frozen(now_s) {
            return Err(FreezeError::AlreadyFrozen { asset: id, until_s: asset.frozen_until_s });
        }
        Ok(())
    }

    pub(crate) fn check_rule(&self, id: AssetId, now_s: u64) -> Result<(), FreezeError> {
        match self.assets.get(&id) {
            Some(asset) if asset.is_frozen(now_s) => Ok(()),
            _ => Err(FreezeError::NotFrozen { asset: id }),
        }
    }

    fn take_in(&mut self, id: AssetId, token: Address) -> Option<&mut Earnings> {
        let asset = self.assets.get_mut(&id)?;
        if !asset.tokens.contains(&token) {
            asset.tokens.push(token);
        }
        Some(self.earnings.entry((id, token)).or_default())
    }

    /// The fee of a gross payment, once it is sure that nothing can hinder the credit.
    pub(crate) fn fee_of_credit(
        &self,
        id: AssetId,
        token: Address,
        kind: RevenueKind,
        gross: Amount,
    ) -> Result<Amount, CreditError> {
        if !self.assets.contains_key(&id) {
            return Err(CreditError::UnknownAsset { asset: id });
        }
        if !self.listings.contains_key(&token) {
            return Err(CreditError::TokenNeverListed { token });
        }
        if gross == Amount::ZERO {
            return Err(CreditError::NothingReceived { token });
        }
        let fee = formula::protocol_fee(gross, self.fee);
        let revenue = self
            .earnings
            .get(&(id, token))
            .map_or(Revenue::default(), |earnings| earnings.revenue[kind.index()]);
        if gross.0 > MAX_REVENUE || revenue.with_own(less(gross, fee)).is_none() {
            return Err(CreditError::RevenueAboveLimit { asset: id, token, kind });
        }
        if self.totals.get(&token).is_some_and(|total| total.credited.checked_add(gross).is_none()) {
            return Err(CreditError::TotalAboveLimit { token });
        }
        Ok(fee)
    }

    /// Credits own revenue that [`Book::fee_of_credit`] let through with this fee.
    pub(crate) fn credit(
        &mut self,
        id: AssetId,
        token: Address,
        kind: RevenueKind,
        gross: Amount,
        fee: Amount,
    ) {
        let earnings = self.take_in(id, token).expect("checked with the fee");
        let revenue = &mut earnings.revenue[kind.index()];
        *revenue = revenue.with_own(less(gross, fee)).expect("checked with the fee");
        add(&mut self.fees.entry(token).or_default().credited, fee);
        add(&mut self.totals.entry(token).or_default().credited, gross);
    }

    /// Gives a granted operator its part of what was just credited from its till.
    pub(crate) fn through_till(&mut self, till: Till, token: Address, net: Amount) {
        let earnings = self.earnings.entry((till.asset, token)).or_default();
        add(&mut earnings.tills.entry(till).or_default().net, net);
    }

    /// Carries to all parents what they are owed of these kinds since the last flow.
    pub(crate) fn flow(&mut self, child: AssetId, token: Address, kinds: &[RevenueKind]) -> Flow {
        let mut flow = Flow::default();
        let (Some(asset), Some(earnings)) = (self.assets.get(&child), self.earnings.get_mut(&(child, token)))
        else {
            return flow;
        };
        if asset.edges.is_empty() {
            return flow;
        }
        let mut carried = Vec::new();
        for &kind in kinds {
            let (now, before) = (earnings.revenue[kind.index()], earnings.flowed(asset, kind));
            if now == before {
                continue;
            }
            earnings.flowed[kind.index()] = now;
            flow.kinds.push(kind);
            for edge in &asset.edges {
                let (owed, rates) = (formula::edge_owed(now, edge.of(kind)), edge.of(kind));
                let amount = less(owed, formula::edge_owed(before, rates));
                flow.amounts.push(amount);
                if amount > Amount::ZERO {
                    let gained = earnings.trace.flow((child, edge.parent), kind, now, rates, owed);
                    carried.push((edge.parent, kind, amount, gained));
                }
            }
        }
        for (parent, kind, amount, gained) in carried {
            let taken = self.take_in(parent, token).and_then(|earnings| {
                let revenue = &mut earnings.revenue[kind.index()];
                *revenue = revenue.with_inherited(amount)?;
                earnings.trace.inherit((child, parent), kind, gained);
                Some(())
            });
            if taken.is_none() {
                flow.diverted.insert((kind, parent), amount);
                add(&mut self.diverted.entry((parent, token)).or_default().credited, amount);
            }
        }
        flow
    }

    /// What a holder would be paid.
    pub(crate) fn claimable(&self, id: AssetId, token: Address, holder: Address, now_s: u64) -> Amount {
        match (self.assets.get(&id), self.earnings.get(&(id, token))) {
            (Some(asset), Some(earnings)) => {
                less(earnings.earned(asset, holder, now_s), earnings.claimed(holder))
            }
            _ => Amount::ZERO,
        }
    }

    pub(crate) fn claim(&mut self, id: AssetId, token: Address, holder: Address, now_s: u64) -> Amount {
        let amount = self.claimable(id, token, holder, now_s);
        if amount > Amount::ZERO {
            let earnings = self.earnings.entry((id, token)).or_default();
            add(&mut earnings.holders.entry(holder).or_default().claimed, amount);
            self.leave(token, amount);
        }
        amount
    }

    /// What an operator would be paid.
    pub(crate) fn operator_claimable(&self, till: Till, token: Address) -> Amount {
        let through = self.earnings.get(&(till.asset, token)).and_then(|earnings| earnings.tills.get(&till));
        through.map_or(Amount::ZERO, |through| less(operator_owed(till, through), through.paid))
    }

    pub(crate) fn claim_operator(&mut self, till: Till, token: Address) -> Amount {
        let amount = self.operator_claimable(till, token);
        if amount > Amount::ZERO {
            let earnings = self.earnings.entry((till.asset, token)).or_default();
            add(&mut earnings.tills.entry(till).or_default().paid, amount);
            self.leave(token, amount);
        }
        amount
    }

    pub(crate) fn claim_award(&mut self, account: Address, token: Address) -> Amount {
        let amount = self.awards.get_mut(&(account, token)).map_or(Amount::ZERO, Account::pay_out);
        self.leave(token, amount);
        amount
    }

    pub(crate) fn collect_fees(&mut self, token: Address) -> Amount {
        let amount = self.fees.get_mut(&token).map_or(Amount::ZERO, Account::pay_out);
        self.leave(token, amount);
        amount
    }

    /// Names the owner of what a parent could not take.
    pub(crate) fn release_diverted(&mut self, parent: AssetId, token: Address, to: Address) -> Amount {
        let amount = self.diverted.get_mut(&(parent, token)).map_or(Amount::ZERO, Account::pay_out);
        if amount > Amount::ZERO {
            add(&mut self.awards.entry((to, token)).or_default().credited, amount);
        }
        amount
    }

    fn leave(&mut self, token: Address, amount: Amount) {
        if amount > Amount::ZERO {
            add(&mut self.totals.entry(token).or_default().paid, amount);
        }
    }

    /// Holds the shares' part of an asset that is not frozen from now on; returns when the freeze ends by itself.
    pub(crate) fn freeze(&mut self, id: AssetId, now_s: u64) -> u64 {
        let until_s = now_s.saturating_add(FREEZE_S);
        let Some(asset) = self.assets.get_mut(&id) else { return until_s };
        for token in &asset.tokens {
            let earnings = self.earnings.entry((id, *token)).or_default();
            earnings.at_freeze = earnings.shares_owed(asset);
            let parts = earnings.shares_parts(asset);
            earnings.trace.freeze(id, &parts);
        }
        asset.frozen_until_s = until_s;
        until_s
    }

    /// Ends the freeze of a frozen asset; returns what the claimant gets in each token, in the order of their first
    /// credit.
    pub(crate) fn rule(
        &mut self,
        id: AssetId,
        claimant: Option<Address>,
        now_s: u64,
    ) -> Vec<(Address, Amount)> {
        let mut awarded = Vec::new();
        let Some(asset) = self.assets.get_mut(&id) else { return awarded };
        if let Some(claimant) = claimant {
            for token in &asset.tokens {
                let earnings = self.earnings.entry((id, *token)).or_default();
                let held = earnings.held(asset, now_s);
                if held > Amount::ZERO {
                    let parts = earnings.shares_parts(asset);
                    earnings.trace.award(id, &parts);
                    add(&mut earnings.awarded, held);
                    add(&mut self.awards.entry((claimant, *token)).or_default().credited, held);
                    awarded.push((*token, held));
                }
            }
        }
        asset.frozen_until_s = 0;
        awarded
    }
}

/// The most of the shares' part that an operator can be granted, in basis points.
pub(crate) const MAX_OPERATOR_BPS: u16 = 5_000;

/// What an operator was owed since the beginning through one till.
pub(crate) fn operator_owed(till: Till, through: &OperatorTill) -> Amount {
    let rate = Bps::new(till.operator_bps).expect("a granted rate is at most 5,000");
    formula::operator_owed(through.net, rate)
}
