//! The audit: the ledger's events in, every credit recomputed, the first difference named (AUD-1).
//!
//! Owns: what each event must say, given all events before it. Refuses: reading a chain, and guessing: an event that
//! the rules do not allow is a difference, and nothing after it is looked at.
//!
//! What only an insertion or a deletion of a payment betrays is seen at the first event whose amount follows from it.
//! Two more inputs make that earlier and complete: the `Transfer` events of the tokens that are followed, and the
//! ledger's own balances at the end.
//!
//! # A credit and the money that came for it
//!
//! Every credit of a followed token is held against the transfers ahead of it: its gross amount is the sum of the last
//! moves of its token into `Royalties`, one or several, in the same transaction and since the last credit of any token
//! and the last payout of its own; and one of them comes from the credit's source.
//!
//! That is what the ledger writes, on every way in (a payment, a purchase or renewal, one that its payer signed, a
//! sweep): `Royalties` takes the money from the source, credits what its own balance grew by, and says so at once, all
//! under one lock. So whatever moved in between the two looks at the balance is part of the credit, nothing before the
//! first look is, and neither another credit nor a payout can stand between. It holds however many payments, sweeps
//! and gifts one transaction has, and in whatever order. Mostly one move is all there is; only of a token that calls
//! back are there more, when whoever is called adds to the payment.
//!
//! A move that no credit takes up is a gift. It changes nothing (PAY-1): it covers for no credit of another
//! transaction and for no part of one in its own. One thing is left to the balances at the end: a gift straight ahead
//! of a payment in the same transaction reads, taken whole, like one that a call back added, and so does an alteration
//! of the credit by just its amount.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use residual_primitives::{
    Address, Amount, AssetId, B256, LicenceId, RevenueKind, SHARES_SUPPLY, Terms, TermsId,
};
use serde::{Serialize, Serializer};

use crate::{
    book::{Book, DefinedTerms},
    event::{Entry, LedgerEvent, Place},
    lineage::{self, Edge},
    model::checked_fee,
    refusal::{BuyError, GrantError, LicenceError, OfferError, Refusal, RegisterError, TransferError},
    report::Report,
    snapshot::Snapshot,
    till::{Contracts, Till},
};

/// What an event, or the ledger at the end, says otherwise than the rules do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Each event stands after the one before it.
    Order,
    /// The rules let it happen.
    Permission,
    /// The id of terms hashes all their fields.
    TermsId,
    /// The running number of terms.
    TermsNumber,
    /// The id of a licence.
    Licence,
    /// When a licence ends.
    Expiry,
    /// The price of a purchase or renewal, and that it was paid (PAY-7).
    Price,
    /// What a child owes its ancestors.
    Edges,
    /// Units of shares.
    Units,
    /// What a credit's source brought to `Royalties` just ahead of it.
    Arrival(Address),
    /// The protocol's fee.
    Fee,
    /// The till of a sweep, or that a payment from a till is a sweep.
    Till,
    /// Whether an operator gets a part.
    Granted,
    /// What flowed over an edge.
    Flow(RevenueKind),
    /// What could not be credited to a parent.
    Diversion(RevenueKind),
    /// What was released of it.
    Release,
    /// What a holder was paid.
    Claim(Address),
    /// What an operator was paid.
    OperatorClaim(Address),
    /// What a ruling gave.
    Award(Address),
    /// What an account was paid of that.
    AwardClaim(Address),
    /// The fees that were collected.
    FeesCollected,
    /// Where they went.
    Treasury,
    /// When a freeze ends.
    FreezeEnd,
    /// The token's balance of `Royalties`.
    Balance,
    /// Own revenue at the end.
    Own(RevenueKind),
    /// Inherited revenue at the end.
    Inherited(RevenueKind),
    /// Own revenue carried to parents at the end.
    OwnFlowed(RevenueKind),
    /// Inherited revenue carried to parents at the end.
    InheritedFlowed(RevenueKind),
    /// What an edge is owed at the end.
    Pending(RevenueKind),
    /// What the shares were owed at the end.
    SharesOwed,
    /// What a freeze holds at the end.
    Held,
    /// What a holder can claim at the end.
    Claimable(Address),
    /// What an operator can claim at the end.
    OperatorClaimable(Address),
    /// What an account can claim by the arbiter's word at the end.
    AwardClaimable(Address),
    /// What waits for the arbiter's word at the end.
    Diverted,
    /// Fees to be collected at the end.
    FeesAccrued,
    /// A holder's units at the end.
    UnitsHeld(Address),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order => f.write_str("a place after the event before it"),
            Self::Permission => f.write_str("what the rules allow"),
            Self::TermsId => f.write_str("the hash of the terms"),
            Self::TermsNumber => f.write_str("the running number of the terms"),
            Self::Licence => f.write_str("the licence's id"),
            Self::Expiry => f.write_str("the licence's expiry"),
            Self::Price => f.write_str("payment of the licence's price"),
            Self::Edges => f.write_str("edges"),
            Self::Units => f.write_str("units"),
            Self::Arrival(source) => write!(f, "what arrived from {source} for the credit"),
            Self::Fee => f.write_str("a protocol fee"),
            Self::Till => f.write_str("a sweep of the till"),
            Self::Granted => f.write_str("a granted operator"),
            Self::Flow(kind) => write!(f, "a flow of {kind} revenue"),
            Self::Diversion(kind) => write!(f, "a diversion of {kind} revenue"),
            Self::Release => f.write_str("a release of diverted revenue"),
            Self::Claim(holder) => write!(f, "a claim by holder {holder}"),
            Self::OperatorClaim(operator) => write!(f, "a claim by operator {operator}"),
            Self::Award(account) => write!(f, "an award to {account}"),
            Self::AwardClaim(account) => write!(f, "a claim of awards by {account}"),
            Self::FeesCollected => f.write_str("fees collected"),
            Self::Treasury => f.write_str("the treasury"),
            Self::FreezeEnd => f.write_str("the freeze's end"),
            Self::Balance => f.write_str("a balance of Royalties that covers what is recorded"),
            Self::Own(kind) => write!(f, "own {kind} revenue"),
            Self::Inherited(kind) => write!(f, "inherited {kind} revenue"),
            Self::OwnFlowed(kind) => write!(f, "own {kind} revenue carried to parents"),
            Self::InheritedFlowed(kind) => write!(f, "inherited {kind} revenue carried to parents"),
            Self::Pending(kind) => write!(f, "{kind} revenue waiting to flow"),
            Self::SharesOwed => f.write_str("what the shares are owed"),
            Self::Held => f.write_str("what a freeze holds"),
            Self::Claimable(holder) => write!(f, "what holder {holder} can claim"),
            Self::OperatorClaimable(operator) => write!(f, "what operator {operator} can claim"),
            Self::AwardClaimable(account) => write!(f, "the awards that {account} can claim"),
            Self::Diverted => f.write_str("diverted revenue"),
            Self::FeesAccrued => f.write_str("fees to be collected"),
            Self::UnitsHeld(holder) => write!(f, "units of holder {holder}"),
        }
    }
}

/// One side of a difference.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// An amount of the token.
    Amount(Amount),
    /// A count, a time or a rate.
    Number(u64),
    /// An account.
    Account(Address),
    /// Terms.
    Terms(TermsId),
    /// A licence.
    Licence(LicenceId),
    /// All edges of an asset.
    Edges(Vec<Edge>),
    /// Where an event stands.
    Place(Place),
    /// Yes or no.
    Flag(bool),
    /// No such event or amount.
    Nothing,
    /// An event of that kind.
    Event,
    /// What the rules say against it.
    Refused(Refusal),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(amount) => amount.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Account(account) => account.fmt(f),
            Self::Terms(terms) => terms.fmt(f),
            Self::Licence(licence) => licence.fmt(f),
            Self::Edges(edges) => {
                f.write_str("[")?;
                for (place, edge) in edges.iter().enumerate() {
                    let rates =
                        |rates: residual_primitives::Rates| rates.0.map(residual_primitives::Bps::get);
                    let gap = if place == 0 { "" } else { ", " };
                    write!(
                        f,
                        "{gap}{} all {:?} child {:?}",
                        edge.parent,
                        rates(edge.all),
                        rates(edge.child)
                    )?;
                }
                f.write_str("]")
            }
            Self::Place(place) => place.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Nothing => f.write_str("nothing"),
            Self::Event => f.write_str("one"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

fn as_text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The first difference between what the ledger says and what the rules say.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct AuditDifference {
    /// How many events were read before it.
    pub events_before: u64,
    /// The event that differs; `None` for the ledger's balances at the end.
    pub place: Option<Place>,
    /// The asset.
    pub asset: Option<AssetId>,
    /// The edge, as the parent that the asset owes.
    pub edge: Option<AssetId>,
    /// The token.
    pub token: Option<Address>,
    /// What differs.
    #[serde(serialize_with = "as_text")]
    pub subject: Subject,
    /// What the rules say.
    #[serde(serialize_with = "as_text")]
    pub expected: Finding,
    /// What the ledger says.
    #[serde(serialize_with = "as_text")]
    pub found: Finding,
}

impl fmt::Display for AuditDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}")?,
            None => write!(f, "the ledger's balances after {} events", self.events_before)?,
        }
        if let Some(asset) = self.asset {
            write!(f, ", asset {asset}")?;
        }
        if let Some(parent) = self.edge {
            write!(f, ", its edge to {parent}")?;
        }
        if let Some(token) = self.token {
            write!(f, ", token {token}")?;
        }
        write!(f, ": expected {}: {}, found {}", self.subject, self.expected, self.found)
    }
}

impl std::error::Error for AuditDifference {}

/// A difference before it is known where: boxed, for it is rare and large.
struct Finder(Box<AuditDifference>);

impl Finder {
    fn new(subject: Subject, expected: Finding, found: Finding) -> Self {
        let (asset, edge, token) = (None, None, None);
        let difference =
            AuditDifference { events_before: 0, place: None, asset, edge, token, subject, expected, found };
        Self(Box::new(difference))
    }

    fn refused(refusal: impl Into<Refusal>) -> Self {
        Self::new(Subject::Permission, Finding::Nothing, Finding::Refused(refusal.into()))
    }

    fn asset(mut self, asset: AssetId) -> Self {
        self.0.asset = Some(asset);
        self
    }

    fn edge(mut self, child: AssetId, parent: AssetId) -> Self {
        (self.0.asset, self.0.edge) = (Some(child), Some(parent));
        self
    }

    fn token(mut self, token: Address) -> Self {
        self.0.token = Some(token);
        self
    }
}

fn same<T: PartialEq>(subject: Subject, expected: T, found: T, side: fn(T) -> Finding) -> Result<(), Finder> {
    if expected == found { Ok(()) } else { Err(Finder::new(subject, side(expected), side(found))) }
}

/// A credit that may turn out to be a sweep or a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Credit {
    asset: AssetId,
    token: Address,
    source: Address,
    kind: RevenueKind,
    gross: Amount,
    net: Amount,
}

/// A purchase that must be paid for within its transaction.
#[derive(Debug, Clone, Copy)]
struct Purchase {
    asset: AssetId,
    token: Address,
    payer: Address,
    price: Amount,
}

/// What the transaction being read has left open.
#[derive(Debug, Clone, Default)]
struct Open {
    /// Senders and amounts of what moved in, by followed token, since the last credit or the token's last payout.
    arrivals: BTreeMap<Address, Vec<(Address, Amount)>>,
    /// The last event, if it was a credit.
    credit: Option<Credit>,
    payments: Vec<Credit>,
    purchases: Vec<Purchase>,
    offers: Vec<(AssetId, TermsId)>,
    diversions: BTreeMap<(AssetId, AssetId, Address, RevenueKind), Amount>,
    awards: BTreeMap<(AssetId, Address, Address), Amount>,
    born: BTreeSet<AssetId>,
}

/// An audit on its way through a history.
#[derive(Debug, Clone)]
pub struct Audit {
    contracts: Contracts,
    book: Book,
    events: u64,
    last: Option<Place>,
    transactions: BTreeSet<B256>,
    open: Open,
    granted_tills: BTreeMap<Address, Till>,
    followed: BTreeMap<Address, Amount>,
}

/// What stopped an audit.
pub type AuditResult<T> = Result<T, Box<AuditDifference>>;

impl Audit {
    /// An audit from the deployment on.
    ///
    /// `followed`: tokens whose every `Transfer` event from or to `Royalties` is among the events. Name only tokens
    /// whose events tell exactly what arrived: not one that logs what was sent before it takes a fee, that rebases, or
    /// that logs nothing (TOK-1).
    #[must_use]
    pub fn new(contracts: Contracts, followed: impl IntoIterator<Item = Address>) -> Self {
        Self {
            contracts,
            book: Book::default(),
            events: 0,
            last: None,
            transactions: BTreeSet::new(),
            open: Open::default(),
            granted_tills: BTreeMap::new(),
            followed: followed.into_iter().map(|token| (token, Amount::ZERO)).collect(),
        }
    }

    /// Reads the next event, in the ledger's order.
    ///
    /// # Errors
    /// The first difference; it ends the audit.
    pub fn read(mut self, entry: &Entry) -> AuditResult<Self> {
        let place = entry.place;
        if let Some(last) = self.last {
            if last.transaction != place.transaction {
                self.end_transaction()?;
            }
            let later = (place.block, place.log_index) > (last.block, last.log_index)
                && place.time_s >= last.time_s
                && (place.block > last.block || place.time_s == last.time_s);
            let whole = last.transaction == place.transaction && last.block == place.block
                || !self.transactions.contains(&place.transaction);
            if !later || !whole {
                let difference = Finder::new(Subject::Order, Finding::Place(last), Finding::Place(place));
                return Err(self.locate(difference, Some(place)));
            }
        }
        self.transactions.insert(place.transaction);
        self.last = Some(place);
        match self.enter(place.time_s, &entry.event) {
            Ok(()) => {
                self.events += 1;
                Ok(self)
            }
            Err(difference) => Err(self.locate(difference, Some(place))),
        }
    }

    /// Ends the audit at the time `now_s`, and compares the ledger's own balances at that time, if given.
    ///
    /// A balance that `closing` does not name is taken for zero, but for what lies in tills, which events do not tell.
    ///
    /// # Errors
    /// The first difference.
    pub fn finish(mut self, now_s: u64, closing: Option<&Snapshot>) -> AuditResult<Report> {
        self.end_transaction()?;
        if let Some(found) = closing {
            compare(&self.snapshot(now_s), found).map_err(|difference| self.locate(difference, None))?;
        }
        Ok(Report::of(&self.book, now_s))
    }

    /// Every balance as it follows from the events so far: also the list of what to ask the ledger for `closing`.
    #[must_use]
    pub fn snapshot(&self, now_s: u64) -> Snapshot {
        Snapshot::of(&self.book, now_s)
    }

    fn locate(&self, mut difference: Finder, place: Option<Place>) -> Box<AuditDifference> {
        difference.0.events_before = self.events;
        difference.0.place = place;
        difference.0
    }

    fn end_transaction(&mut self) -> AuditResult<()> {
        let ended = self.end_credit().and_then(|()| self.nothing_is_open());
        ended.map_err(|difference| self.locate(difference, self.last))?;
        self.open = Open::default();
        Ok(())
    }

    fn nothing_is_open(&mut self) -> Result<(), Finder> {
        for &Purchase { asset, token, payer, price } in &self.open.purchases {
            // Of a token that tells what moved, no more than the price came. Of another, a fee makes it less, and what its
            // own code adds in between makes it more.
            let bounded = self.followed.contains_key(&token);
            let pays = |credit: &Credit| {
                (credit.asset, credit.token, credit.source) == (asset, token, payer)
                    && (!bounded || credit.gross <= price)
            };
            let Some(payment) = self.open.payments.iter().position(pays) else {
                let difference = Finder::new(Subject::Price, Finding::Amount(price), Finding::Nothing);
                return Err(difference.asset(asset).token(token));
            };
            // Those that are left stay in order: each purchase then finds its own payment or one ahead of it, and
            // takes none that a later, cheaper purchase needs.
            self.open.payments.remove(payment);
        }
        if let Some(&(asset, terms)) = self.open.offers.first() {
            let difference = Finder::new(Subject::Permission, Finding::Nothing, Finding::Terms(terms));
            return Err(difference.asset(asset));
        }
        if let Some((&(parent, child, token, kind), &amount)) = self.open.diversions.first_key_value() {
            let difference = Finder::new(Subject::Diversion(kind), Finding::Nothing, Finding::Amount(amount));
            return Err(difference.edge(child, parent).token(token));
        }
        if let Some((&(asset, token, claimant), &amount)) = self.open.awards.first_key_value() {
            let difference = Finder::new(Subject::Award(claimant), Finding::Amount(amount), Finding::Nothing);
            return Err(difference.asset(asset).token(token));
        }
        self.open.born.iter().try_for_each(|asset| self.shares_are_born(*asset))?;
        for (&token, &balance) in &self.followed {
            let recorded = self.book.totals.get(&token).map_or(Amount::ZERO, |total| total.owed());
            if balance < recorded {
                let difference =
                    Finder::new(Subject::Balance, Finding::Amount(recorded), Finding::Amount(balance));
                return Err(difference.token(token));
            }
        }
        Ok(())
    }

    /// An asset that this transaction registered has all its units.
    fn shares_are_born(&self, asset: AssetId) -> Result<(), Finder> {
        if !self.open.born.contains(&asset) {
            return Ok(());
        }
        same(Subject::Units, SHARES_SUPPLY.into(), self.book.units(asset), Finding::Number)
            .map_err(|difference| difference.asset(asset))
    }

    /// A credit that no `Swept` followed must not come from a till whose operator would have got a part.
    fn end_credit(&mut self) -> Result<(), Finder> {
        let Some(credit) = self.open.credit.take() else { return Ok(()) };
        if self.granted_tills.get(&credit.source).is_some_and(|till| till.asset == credit.asset) {
            let difference = Finder::new(Subject::Till, Finding::Event, Finding::Nothing);
            return Err(difference.asset(credit.asset).token(credit.token));
        }
        if credit.kind == RevenueKind::Licence {
            self.open.payments.push(credit);
        }
        Ok(())
    }

    fn enter(&mut self, now_s: u64, event: &LedgerEvent) -> Result<(), Finder> {
        if !matches!(event, LedgerEvent::Swept { .. } | LedgerEvent::TokenMoved { .. }) {
            self.end_credit()?;
        }
        match *event {
            LedgerEvent::TermsDefined { terms_id, number, ref terms } => {
                self.terms_defined(terms_id, number, terms)
            }
            LedgerEvent::Offered { asset, terms_id } => self.offered(asset, terms_id),
            LedgerEvent::Withdrawn { asset, terms_id } => self.withdrawn(asset, terms_id),
            LedgerEvent::Bought { licence, recipient, terms_id, payer, expires_at_s } => {
                self.bought(now_s, licence, terms_id, (payer, recipient), expires_at_s)
            }
            LedgerEvent::Renewed { licence, payer, price, expires_at_s } => {
                self.renewed(now_s, licence, payer, price, expires_at_s)
            }
            LedgerEvent::SubscriptionUpdate { licence, expires_at_s } => {
                self.shortened(now_s, licence, expires_at_s)
            }
            LedgerEvent::Registered { asset, registrant, ref licences, ref edges } => {
                self.registered(now_s, asset, registrant, licences, edges)
            }
            LedgerEvent::SharesMoved { from, to, ref units } => self.shares_moved(now_s, from, to, units),
            LedgerEvent::Credited { asset, token, source, kind, gross, fee } => {
                // Money that came before the shares would belong to nobody.
                self.shares_are_born(asset)?;
                self.arrived(token, source, gross).map_err(|difference| difference.asset(asset))?;
                let expected = self.book.fee_of_credit(asset, token, kind, gross);
                let expected =
                    expected.map_err(|refusal| Finder::refused(refusal).asset(asset).token(token))?;
                same(Subject::Fee, expected, fee, Finding::Amount)
                    .map_err(|difference| difference.asset(asset).token(token))?;
                self.book.credit(asset, token, kind, gross, fee);
                let net = gross.checked_sub(fee).unwrap_or_default();
                self.open.credit = Some(Credit { asset, token, source, kind, gross, net });
                Ok(())
            }
            LedgerEvent::Swept { asset, operator, till, token, kind, operator_bps, granted } => {
                self.swept(Till { asset, kind, operator, operator_bps }, till, token, granted)
            }
            LedgerEvent::Flowed { child, token, ref kinds, ref amounts } => {
                self.flowed(child, token, kinds, amounts)
            }
            LedgerEvent::Diverted { parent, token, child, kind, amount } => {
                match self.open.diversions.insert((parent, child, token, kind), amount) {
                    None => Ok(()),
                    Some(before) => {
                        let sides = (Finding::Amount(before), Finding::Event);
                        Err(Finder::new(Subject::Diversion(kind), sides.0, sides.1)
                            .edge(child, parent)
                            .token(token))
                    }
                }
            }
            LedgerEvent::DivertedReleased { parent, token, to, amount } => {
                let expected = self.book.release_diverted(parent, token, to);
                same(Subject::Release, expected, amount, Finding::Amount)
                    .map_err(|difference| difference.asset(parent).token(token))
            }
            LedgerEvent::Claimed { asset, token, holder, amount, .. } => {
                let expected = self.book.claim(asset, token, holder, now_s);
                same(Subject::Claim(holder), expected, amount, Finding::Amount)
                    .map_err(|difference| difference.asset(asset).token(token))
            }
            LedgerEvent::OperatorClaimed { asset, token, operator, kind, operator_bps, amount, .. } => {
                let expected = self.book.claim_operator(Till { asset, kind, operator, operator_bps }, token);
                same(Subject::OperatorClaim(operator), expected, amount, Finding::Amount)
                    .map_err(|difference| difference.asset(asset).token(token))
            }
            LedgerEvent::AwardClaimed { account, token, amount, .. } => {
                let expected = self.book.claim_award(account, token);
                same(Subject::AwardClaim(account), expected, amount, Finding::Amount)
                    .map_err(|difference| difference.token(token))
            }
            LedgerEvent::FeesCollected { token, treasury, amount } => {
                same(Subject::Treasury, self.book.treasury, treasury, Finding::Account)?;
                let expected = self.book.collect_fees(token);
                same(Subject::FeesCollected, expected, amount, Finding::Amount)
                    .map_err(|difference| difference.token(token))
            }
            LedgerEvent::OperatorGranted { asset, operator, kind, operator_bps } => {
                self.granted(now_s, Till { asset, kind, operator, operator_bps })
            }
            LedgerEvent::OperatorRevoked { asset, operator, kind, operator_bps } => {
                let till = Till { asset, kind, operator, operator_bps };
                self.granted_tills.remove(&till.address(self.contracts));
                let revoked =
                    self.book.assets.get_mut(&asset).is_some_and(|asset| asset.grants.remove(&till));
                if revoked { Ok(()) } else { Err(Finder::refused(GrantError::NotGranted).asset(asset)) }
            }
            LedgerEvent::Frozen { asset, until_s } => {
                self.book
                    .check_freeze(asset, now_s)
                    .map_err(|refusal| Finder::refused(refusal).asset(asset))?;
                let expected = self.book.freeze(asset, now_s);
                same(Subject::FreezeEnd, expected, until_s, Finding::Number)
                    .map_err(|difference| difference.asset(asset))
            }
            LedgerEvent::Ruled { asset, claimant } => {
                self.book
                    .check_rule(asset, now_s)
                    .map_err(|refusal| Finder::refused(refusal).asset(asset))?;
                for (token, amount) in self.book.rule(asset, claimant, now_s) {
                    self.open.awards.insert((asset, token, claimant.unwrap_or_default()), amount);
                }
                Ok(())
            }
            LedgerEvent::Awarded { asset, token, claimant, amount } => {
                let expected = self.open.awards.remove(&(asset, token, claimant)).unwrap_or_default();
                same(Subject::Award(claimant), expected, amount, Finding::Amount)
                    .map_err(|difference| difference.asset(asset).token(token))
            }
            LedgerEvent::FeeSet { fee_bps } => {
                self.book.fee = checked_fee(fee_bps).map_err(Finder::refused)?;
                Ok(())
            }
            LedgerEvent::TreasurySet { treasury } => {
                self.book.treasury = treasury;
                Ok(())
            }
            LedgerEvent::ArbiterSet { arbiter } => {
                self.book.arbiter = arbiter;
                Ok(())
            }
            LedgerEvent::ListingSet { token, listed } => {
                self.book.set_listing(token, listed).map_err(|refusal| Finder::refused(refusal).token(token))
            }
            LedgerEvent::TokenMoved { token, from, to, amount } => self.token_moved(token, from, to, amount),
        }
    }

    fn terms_defined(&mut self, id: TermsId, number: u64, terms: &Terms) -> Result<(), Finder> {
        let expected = terms.id().map_err(Finder::refused)?;
        same(Subject::TermsId, expected, id, Finding::Terms)?;
        let next = self.book.terms.len() as u64 + 1;
        let next = self.book.terms.get(&id).map_or(next, |defined| defined.number);
        same(Subject::TermsNumber, next, number, Finding::Number)?;
        self.book.terms.insert(id, DefinedTerms { number, terms: terms.clone() });
        Ok(())
    }

    fn offered(&mut self, id: AssetId, terms_id: TermsId) -> Result<(), Finder> {
        if !self.book.assets.contains_key(&id) {
            self.open.offers.push((id, terms_id));
            return Ok(());
        }
        let refused = |refusal: OfferError| Finder::refused(refusal).asset(id);
        let defined =
            self.book.terms.get(&terms_id).ok_or(refused(OfferError::UnknownTerms { terms: terms_id }))?;
        let currency = defined.terms.currency;
        if currency != Address::ZERO && self.book.listings.get(&currency) != Some(&true) {
            return Err(refused(OfferError::CurrencyNotListed { currency }));
        }
        if let Some(asset) = self.book.assets.get_mut(&id) {
            lineage::check_offered_rates(&asset.edges, &defined.terms).map_err(refused)?;
            let offer = asset.offers.entry(terms_id).or_default();
            if offer.live {
                return Err(refused(OfferError::AlreadyOffered { asset: id, terms: terms_id }));
            }
            offer.live = true;
        }
        Ok(())
    }

    fn withdrawn(&mut self, id: AssetId, terms: TermsId) -> Result<(), Finder> {
        match self.book.assets.get_mut(&id).and_then(|asset| asset.offers.get_mut(&terms)) {
            Some(offer) if offer.live => {
                offer.live = false;
                Ok(())
            }
            _ => Err(Finder::refused(OfferError::NotOffered { asset: id, terms }).asset(id)),
        }
    }

    fn bought(
        &mut self,
        now_s: u64,
        licence: LicenceId,
        terms_id: TermsId,
        (payer, recipient): (Address, Address),
        expires_at_s: u64,
    ) -> Result<(), Finder> {
        let id = licence.asset();
        let refused = |refusal: BuyError| Finder::refused(refusal).asset(id);
        let offer = self.book.assets.get(&id).and_then(|asset| asset.offers.get(&terms_id));
        let offer = offer.cloned().unwrap_or_default();
        let DefinedTerms { number, terms } = match self.book.terms.get(&terms_id) {
            Some(defined) if offer.live => defined.clone(),
            _ => return Err(refused(BuyError::NotOffered { asset: id, terms: terms_id })),
        };
        if terms.supply_cap != 0 && offer.sold >= terms.supply_cap {
            return Err(refused(BuyError::SoldOut {
                asset: id,
                terms: terms_id,
                supply_cap: terms.supply_cap,
            }));
        }
        let expiry = if terms.period_s == 0 { 0 } else { now_s.saturating_add(terms.period_s) };
        let expected = self.book.sell(id, (terms_id, number), recipient, expiry);
        let at = |difference: Finder| difference.asset(id);
        same(Subject::Licence, expected, licence, Finding::Licence).map_err(at)?;
        same(Subject::Expiry, expiry, expires_at_s, Finding::Number).map_err(at)?;
        if terms.price > Amount::ZERO {
            let (token, price) = (terms.currency, terms.price);
            self.open.purchases.push(Purchase { asset: id, token, payer, price });
        }
        Ok(())
    }

    fn renewed(
        &mut self,
        now_s: u64,
        id: LicenceId,
        payer: Address,
        price: Amount,
        expires_at_s: u64,
    ) -> Result<(), Finder> {
        let asset = id.asset();
        let refused = |refusal: LicenceError| Finder::refused(refusal).asset(asset);
        let licence =
            self.book.licences.get(&id).ok_or(refused(LicenceError::UnknownLicence { licence: id }))?;
        let terms = &self.book.terms[&licence.terms].terms;
        if !terms.renewable {
            return Err(refused(LicenceError::NotRenewable { licence: id }));
        }
        let from_s = licence.expires_at_s.max(now_s);
        let duration_s = expires_at_s.saturating_sub(from_s);
        if duration_s == 0 || !duration_s.is_multiple_of(terms.period_s) {
            return Err(refused(LicenceError::NotWholePeriods { duration_s, period_s: terms.period_s }));
        }
        let periods = duration_s / terms.period_s;
        let expected = Amount(terms.price.0.saturating_mul(periods.into()));
        same(Subject::Price, expected, price, Finding::Amount)
            .map_err(|difference| difference.asset(asset))?;
        if price > Amount::ZERO {
            self.open.purchases.push(Purchase { asset, token: terms.currency, payer, price });
        }
        self.book.set_expiry(id, expires_at_s);
        Ok(())
    }

    /// Purchases and renewals say their expiry themselves; what is left is a subscription cut short.
    fn shortened(&mut self, now_s: u64, id: LicenceId, expires_at_s: u64) -> Result<(), Finder> {
        let refused = |refusal: LicenceError| Finder::refused(refusal).asset(id.asset());
        let licence =
            self.book.licences.get(&id).ok_or(refused(LicenceError::UnknownLicence { licence: id }))?;
        let until_s = licence.expires_at_s;
        if until_s != 0 && expires_at_s < until_s {
            self.book.set_expiry(id, if expires_at_s == 0 { until_s.min(now_s) } else { expires_at_s });
        }
        Ok(())
    }

    fn registered(
        &mut self,
        now_s: u64,
        id: AssetId,
        registrant: Address,
        licences: &[LicenceId],
        edges: &[Edge],
    ) -> Result<(), Finder> {
        let refused = |refusal: RegisterError| Finder::refused(refusal).asset(id);
        if self.book.assets.contains_key(&id) {
            return Err(refused(RegisterError::AssetExists { asset: id }));
        }
        let expected = self.book.edges_under(licences, now_s).map_err(refused)?;
        if expected != edges {
            let sides = (Finding::Edges(expected), Finding::Edges(edges.to_vec()));
            return Err(Finder::new(Subject::Edges, sides.0, sides.1).asset(id));
        }
        self.book.register(id, registrant, licences, expected);
        self.open.born.insert(id);
        let (mine, others) =
            std::mem::take(&mut self.open.offers).into_iter().partition(|(asset, _)| *asset == id);
        self.open.offers = others;
        let mine: Vec<_> = mine;
        mine.into_iter().try_for_each(|(asset, terms)| self.offered(asset, terms))
    }

    fn shares_moved(
        &mut self,
        now_s: u64,
        from: Address,
        to: Address,
        units: &[(AssetId, u32)],
    ) -> Result<(), Finder> {
        let asset = units.first().map(|(asset, _)| *asset);
        let refused = |refusal: TransferError| {
            let difference = Finder::refused(refusal);
            if let Some(asset) = asset { difference.asset(asset) } else { difference }
        };
        if to == Address::ZERO {
            return Err(refused(TransferError::AddressZero));
        }
        if from != Address::ZERO {
            self.book.check_units(from, to, units).map_err(refused)?;
            for &(asset, units) in units {
                self.book.move_units(asset, from, to, units, now_s);
            }
            return Ok(());
        }
        for &(asset, units) in units.iter().filter(|(_, units)| *units > 0) {
            let missing = u64::from(SHARES_SUPPLY).saturating_sub(self.book.units(asset));
            if !self.open.born.contains(&asset) || u64::from(units) > missing {
                let most = if self.open.born.contains(&asset) { missing } else { 0 };
                let sides = (Finding::Number(most), Finding::Number(units.into()));
                return Err(Finder::new(Subject::Units, sides.0, sides.1).asset(asset));
            }
            self.book.bear_units(asset, to, units);
        }
        Ok(())
    }

    fn swept(&mut self, till: Till, address: Address, token: Address, granted: bool) -> Result<(), Finder> {
        let at = |difference: Finder| difference.asset(till.asset).token(token);
        same(Subject::Till, till.address(self.contracts), address, Finding::Account).map_err(at)?;
        let Some(credit) = self.open.credit.take().filter(|credit| {
            (credit.asset, credit.token, credit.source, credit.kind)
                == (till.asset, token, address, till.kind)
        }) else {
            return Err(at(Finder::new(Subject::Till, Finding::Nothing, Finding::Event)));
        };
        let expected = self.book.assets.get(&till.asset).is_some_and(|asset| asset.grants.contains(&till));
        same(Subject::Granted, expected, granted, Finding::Flag).map_err(at)?;
        if granted {
            self.book.through_till(till, token, credit.net);
        }
        Ok(())
    }

    fn flowed(
        &mut self,
        child: AssetId,
        token: Address,
        kinds: &[RevenueKind],
        amounts: &[Amount],
    ) -> Result<(), Finder> {
        let flow = self.book.flow(child, token, kinds);
        let parents: Vec<_> = self
            .book
            .assets
            .get(&child)
            .map_or(Vec::new(), |asset| asset.edges.iter().map(|edge| edge.parent).collect());
        let mut found = amounts.iter().copied();
        for &kind in kinds {
            let carried = flow.kinds.iter().position(|carried| *carried == kind);
            for (place, &parent) in parents.iter().enumerate() {
                let expected =
                    carried.map_or(Amount::ZERO, |carried| flow.amounts[carried * parents.len() + place]);
                let at = |difference: Finder| difference.edge(child, parent).token(token);
                let Some(found) = found.next() else {
                    return Err(at(Finder::new(
                        Subject::Flow(kind),
                        Finding::Amount(expected),
                        Finding::Nothing,
                    )));
                };
                same(Subject::Flow(kind), expected, found, Finding::Amount).map_err(at)?;
                let expected = flow.diverted.get(&(kind, parent)).copied().unwrap_or_default();
                let found = self.open.diversions.remove(&(parent, child, token, kind)).unwrap_or_default();
                same(Subject::Diversion(kind), expected, found, Finding::Amount).map_err(at)?;
            }
        }
        if let (Some(more), Some(&kind)) = (found.next(), kinds.first()) {
            let difference = Finder::new(Subject::Flow(kind), Finding::Nothing, Finding::Amount(more));
            return Err(difference.asset(child).token(token));
        }
        Ok(())
    }

    fn granted(&mut self, now_s: u64, till: Till) -> Result<(), Finder> {
        self.book.check_grant(till, now_s).map_err(|refusal| Finder::refused(refusal).asset(till.asset))?;
        if let Some(asset) = self.book.assets.get_mut(&till.asset) {
            asset.grants.insert(till);
            self.granted_tills.insert(till.address(self.contracts), till);
        }
        Ok(())
    }

    /// Takes up the moves that a credit follows from: see the module's header.
    fn arrived(&mut self, token: Address, source: Address, gross: Amount) -> Result<(), Finder> {
        let moves = std::mem::take(&mut self.open.arrivals).remove(&token).unwrap_or_default();
        if !self.followed.contains_key(&token) {
            return Ok(());
        }
        // From the last move backwards, what it may have been in all, least first.
        let (mut sum, mut from_source) = (Amount::ZERO, false);
        let mut sums = Vec::new();
        for (from, amount) in moves.into_iter().rev() {
            sum = Amount(sum.0.saturating_add(amount.0));
            from_source |= from == source;
            if from_source {
                sums.push(sum);
            }
        }
        if sums.contains(&gross) {
            return Ok(());
        }
        let expected = sums.first().map_or(Finding::Nothing, |least| Finding::Amount(*least));
        Err(Finder::new(Subject::Arrival(source), expected, Finding::Amount(gross)).token(token))
    }

    fn token_moved(
        &mut self,
        token: Address,
        from: Address,
        to: Address,
        amount: Amount,
    ) -> Result<(), Finder> {
        let Some(balance) = self.followed.get_mut(&token) else { return Ok(()) };
        let at = |found| {
            Finder::new(Subject::Balance, Finding::Amount(amount), Finding::Amount(found)).token(token)
        };
        if from == self.contracts.royalties {
            *balance = balance.checked_sub(amount).ok_or_else(|| at(*balance))?;
            // A move of nothing is no payout: a token lets anybody make one, at any moment.
            if amount > Amount::ZERO {
                self.open.arrivals.remove(&token);
            }
        }
        if to == self.contracts.royalties {
            // A gift may have any size; what is recorded has 112 bits, far below where this ends.
            *balance = Amount(balance.0.saturating_add(amount.0));
            if from != to {
                self.open.arrivals.entry(token).or_default().push((from, amount));
            }
        }
        Ok(())
    }
}

/// Audits a whole history and the ledger's balances after it.
///
/// # Errors
/// The first difference.
pub fn audit<'a>(
    audit: Audit,
    history: impl IntoIterator<Item = &'a Entry>,
    now_s: u64,
    closing: Option<&Snapshot>,
) -> AuditResult<Report> {
    history.into_iter().try_fold(audit, Audit::read)?.finish(now_s, closing)
}

/// The first key, in order, that the two maps do not agree on.
fn differing<'a, K: Ord + Copy, V: Copy + Default + PartialEq>(
    expected: &'a BTreeMap<K, V>,
    found: &'a BTreeMap<K, V>,
) -> Option<(K, V, V)> {
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).copied().collect();
    let of = |map: &BTreeMap<K, V>, key| map.get(key).copied().unwrap_or_default();
    keys.iter()
        .map(|key| (*key, of(expected, key), of(found, key)))
        .find(|(_, expected, found)| expected != found)
}

fn compare(expected: &Snapshot, found: &Snapshot) -> Result<(), Finder> {
    let amounts =
        |subject, expected, found| Finder::new(subject, Finding::Amount(expected), Finding::Amount(found));
    if let Some(((asset, token, kind), expected, found)) = differing(&expected.revenue, &found.revenue) {
        let difference = if expected.own() == found.own() {
            amounts(Subject::Inherited(kind), expected.inherited(), found.inherited())
        } else {
            amounts(Subject::Own(kind), expected.own(), found.own())
        };
        return Err(difference.asset(asset).token(token));
    }
    if let Some(((asset, token, kind), expected, found)) = differing(&expected.flowed, &found.flowed) {
        let difference = if expected.own() == found.own() {
            amounts(Subject::InheritedFlowed(kind), expected.inherited(), found.inherited())
        } else {
            amounts(Subject::OwnFlowed(kind), expected.own(), found.own())
        };
        return Err(difference.asset(asset).token(token));
    }
    if let Some(((child, parent, token, kind), expected, found)) =
        differing(&expected.pending_flow, &found.pending_flow)
    {
        return Err(amounts(Subject::Pending(kind), expected, found).edge(child, parent).token(token));
    }
    if let Some(((asset, token), expected, found)) = differing(&expected.shares_owed, &found.shares_owed) {
        return Err(amounts(Subject::SharesOwed, expected, found).asset(asset).token(token));
    }
    if let Some(((asset, token), expected, found)) = differing(&expected.held, &found.held) {
        return Err(amounts(Subject::Held, expected, found).asset(asset).token(token));
    }
    if let Some(((asset, token, holder), expected, found)) = differing(&expected.claimable, &found.claimable)
    {
        return Err(amounts(Subject::Claimable(holder), expected, found).asset(asset).token(token));
    }
    if let Some(((till, token), expected, found)) =
        differing(&expected.operator_claimable, &found.operator_claimable)
    {
        return Err(amounts(Subject::OperatorClaimable(till.operator), expected, found)
            .asset(till.asset)
            .token(token));
    }
    if let Some(((account, token), expected, found)) = differing(&expected.awards, &found.awards) {
        return Err(amounts(Subject::AwardClaimable(account), expected, found).token(token));
    }
    if let Some(((parent, token), expected, found)) = differing(&expected.diverted, &found.diverted) {
        return Err(amounts(Subject::Diverted, expected, found).asset(parent).token(token));
    }
    if let Some((token, expected, found)) = differing(&expected.fees, &found.fees) {
        return Err(amounts(Subject::FeesAccrued, expected, found).token(token));
    }
    if let Some((&token, &recorded)) = expected
        .recorded
        .iter()
        .find(|(token, recorded)| found.recorded.get(*token).is_none_or(|found| found < *recorded))
    {
        let balance = found.recorded.get(&token).copied().unwrap_or_default();
        return Err(amounts(Subject::Balance, recorded, balance).token(token));
    }
    if let Some(((asset, holder), expected, found)) = differing(&expected.units, &found.units) {
        let sides = (Finding::Number(expected.into()), Finding::Number(found.into()));
        return Err(Finder::new(Subject::UnitsHeld(holder), sides.0, sides.1).asset(asset));
    }
    Ok(())
}
