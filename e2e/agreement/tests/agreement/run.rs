//! Carries a history out on both sides, operation by operation, and holds them against each other.

use std::{cell::Cell, collections::BTreeMap};

use residual_ledger::{
    Address, B256, Log, LogQuery, Revert, Transaction, U256,
    contracts::{Assets, TestUSD},
    events,
};
use residual_primitives::{
    Amount, AssetId, Bps, LicenceId, Rates, Reach, RevenueKind, Rights, SHARES_SUPPLY, Terms, TermsId,
    VersionsGranted,
};
use residual_royalty::{
    Audit, Contracts, Entry, LedgerEvent, Model, Operation, Payment, Snapshot, Till, audit,
};

use crate::{
    calls::{self, Detail},
    history, refusals,
    steps::{Door, Hook, How, Moment, Period, Pick, Shape, Split, Step, Units, Where, Who},
    views::{self, Scope},
    world::{WEALTH, World},
};

/// Balances are compared after as many operations.
const COMPARED_EVERY: u64 = 8;

/// As many operations are told of a history that fails.
const TOLD: usize = 12;

/// In what ledger and model differ, and after what.
pub(crate) type Checked<T> = Result<T, String>;

/// What has come about so far.
#[derive(Default)]
struct Known {
    tokens_in_use: usize,
    terms: Vec<(TermsId, Terms)>,
    assets: Vec<AssetId>,
    registrations: BTreeMap<AssetId, (Address, B256)>,
    resale_bps: BTreeMap<AssetId, u16>,
    controllers: BTreeMap<AssetId, Address>,
    offers: BTreeMap<AssetId, Vec<TermsId>>,
    licences: Vec<(LicenceId, TermsId)>,
    /// Every till that was ever granted.
    doors: Vec<Till>,
    /// Every till that was ever granted or filled.
    tills: Vec<Till>,
    freezes: Vec<(AssetId, u64)>,
    arbiter: Address,
}

/// A history that the audit has accepted.
pub(crate) struct Audited {
    pub(crate) entries: Vec<Entry>,
    pub(crate) now_s: u64,
    /// The ledger's own balances at the end.
    pub(crate) closing: Snapshot,
}

/// A history on its way.
pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) model: Model,
    contracts: Contracts,
    known: Known,
    wallets: BTreeMap<(Address, Address), Amount>,
    gifts: BTreeMap<Address, Amount>,
    serial: Cell<u64>,
    last_s: u64,
    told: Vec<String>,
    /// How many operations were tried, and how many of them both sides refused.
    pub(crate) tried: u64,
    pub(crate) refused: u64,
    /// Gas of the last transaction that was carried out.
    pub(crate) gas_used: u64,
}

fn pick<T: Copy>(among: &[T], pick: Pick) -> Option<T> {
    (!among.is_empty()).then(|| among[usize::from(pick) % among.len()])
}

impl Run {
    /// A new ledger and a new model that agree on how it all begins.
    pub(crate) async fn begin(tokens: usize, fee_bps: u16) -> Self {
        let world = World::new(tokens, fee_bps).await;
        let contracts = Contracts {
            royalties: world.royalties(),
            till_implementation: world.till_implementation().await,
        };
        let governor = world.suite.timelock.address;
        let mut model = Model::new(contracts, governor);
        let mut beginning = vec![
            Operation::SetArbiter { arbiter: world.arbiter() },
            Operation::SetTreasury { treasury: world.treasury() },
            Operation::SetFee { fee_bps },
        ];
        beginning.extend(
            world.tokens[..tokens].iter().map(|&token| Operation::SetListing { token, listed: true }),
        );
        for operation in beginning {
            model.apply(0, governor, &operation).expect("what the suite was deployed with");
        }
        let known = Known { tokens_in_use: tokens, arbiter: world.arbiter(), ..Known::default() };
        let actors = world.actors();
        let everybody = world.everybody();
        let mut wallets = BTreeMap::new();
        for &token in &world.tokens {
            for &account in &everybody {
                let wealth = if actors.contains(&account) { Amount(WEALTH) } else { Amount::ZERO };
                wallets.insert((token, account), wealth);
            }
        }
        let last_s = world.now_s().await;
        Self {
            world,
            model,
            contracts,
            known,
            wallets,
            gifts: BTreeMap::new(),
            serial: Cell::new(0),
            last_s,
            told: Vec::new(),
            tried: 0,
            refused: 0,
            gas_used: 0,
        }
    }

    fn tell(&mut self, what: String) {
        self.told.push(what);
        if self.told.len() > TOLD {
            self.told.remove(0);
        }
    }

    fn disagreement<T>(&self, what: &str) -> Checked<T> {
        Err(format!("after {} operations:\n  {}\n{what}", self.tried, self.told.join("\n  ")))
    }

    /// Has both sides do one thing; what was written, or `None` if both refused it for the same reason.
    pub(crate) async fn attempt(
        &mut self,
        caller: Address,
        operation: Operation,
    ) -> Checked<Option<Vec<LedgerEvent>>> {
        self.tried += 1;
        self.tell(format!("{caller}: {operation:?}"));
        let done = self.on_the_ledger(caller, &operation).await;
        let written = match done {
            Ok((now_s, written)) => {
                self.last_s = now_s;
                let expected = match self.model.apply(now_s, caller, &operation) {
                    Ok(events) => history::without_empty_moves(events),
                    Err(refusal) => {
                        return self
                            .disagreement(&format!("the ledger did it, the model refuses: {refusal}"));
                    }
                };
                if expected != written {
                    return self.disagreement(&format!(
                        "the model writes {expected:#?}\nthe ledger wrote {written:#?}"
                    ));
                }
                written
            }
            Err(revert) => {
                self.refused += 1;
                self.agree_to_refuse(caller, &operation, &revert).await?;
                return Ok(None);
            }
        };
        self.note(caller, &operation, &written);
        if self.tried.is_multiple_of(COMPARED_EVERY) {
            self.compare().await?;
        }
        Ok(Some(written))
    }

    /// Has both sides do one thing that must succeed.
    pub(crate) async fn must(&mut self, caller: Address, operation: Operation) -> Checked<Vec<LedgerEvent>> {
        match self.attempt(caller, operation).await? {
            Some(written) => Ok(written),
            None => self.disagreement("both refuse what must succeed"),
        }
    }

    async fn on_the_ledger(
        &mut self,
        caller: Address,
        operation: &Operation,
    ) -> Result<(u64, Vec<LedgerEvent>), Revert> {
        let (salt, holder, terms) = match operation {
            Operation::Register { asset, .. } => {
                let salt = self.known.registrations.get(asset).map(|(_, salt)| *salt);
                (salt.unwrap_or_else(|| self.salt()), Address::ZERO, None)
            }
            Operation::TransferControl { asset, .. } => {
                (B256::ZERO, self.known.controllers.get(asset).copied().unwrap_or_default(), None)
            }
            Operation::TransferLicence { licence, .. } => {
                (B256::ZERO, self.model.licence(*licence).map_or(Address::ZERO, |(holder, _)| holder), None)
            }
            Operation::Buy { terms, .. } => (B256::ZERO, Address::ZERO, self.terms(*terms)),
            _ => (B256::ZERO, Address::ZERO, None),
        };
        let detail = Detail { contracts: self.contracts, salt, holder, terms, serial: &self.serial };
        let (sender, transactions) = calls::transactions(&self.world, caller, operation, &detail);
        let mut last = None;
        for transaction in &transactions {
            last = Some(self.world.send(sender, transaction).await?);
        }
        let receipt = last.expect("one transaction at least");
        self.gas_used = receipt.gas_used;
        let block = self.world.chain.block(receipt.block_number).await.expect("the ledger answers");
        let events = receipt.logs.iter().filter_map(|log| {
            events::read(&self.world.suite, log).expect("logs as the contracts write them")
        });
        let events = events.filter(|event| !matches!(event, LedgerEvent::TokenMoved { .. })).collect();
        let events = history::without_empty_moves(events);
        Ok((block.expect("the receipt's block").timestamp_s, events))
    }

    /// The model must refuse as well, at the ledger's time or, should the second have turned meanwhile, just before.
    async fn agree_to_refuse(
        &mut self,
        caller: Address,
        operation: &Operation,
        revert: &Revert,
    ) -> Checked<()> {
        let now_s = self.world.now_s().await;
        let mut verdicts = Vec::new();
        for at_s in [now_s, self.last_s] {
            let verdict = self.model.clone().apply(at_s, caller, operation);
            if verdict.as_ref().is_err_and(|refusal| refusals::agree(refusal, revert.name())) {
                self.last_s = now_s;
                return Ok(());
            }
            verdicts.push(verdict.map_or_else(|refusal| format!("{refusal:?}"), |_| "does it".to_owned()));
        }
        self.disagreement(&format!(
            "the ledger refuses: {revert}\nthe model: {}",
            verdicts.join(", a moment ago: ")
        ))
    }

    /// Follows what has come about, from what both sides wrote.
    fn note(&mut self, caller: Address, operation: &Operation, written: &[LedgerEvent]) {
        match operation {
            Operation::Register { asset, resale_bps, .. } => {
                self.known.assets.push(*asset);
                self.known.registrations.insert(*asset, (caller, self.salt()));
                self.known.resale_bps.insert(*asset, *resale_bps);
                self.known.controllers.insert(*asset, caller);
                self.serial.set(self.serial.get() + 1);
            }
            Operation::TransferControl { asset, to } => {
                self.known.controllers.insert(*asset, *to);
            }
            Operation::DefineTerms { terms } => {
                let id = terms.id().expect("valid terms");
                if self.terms(id).is_none() {
                    self.known.terms.push((id, (**terms).clone()));
                }
            }
            Operation::FillTill { till, token, amount } => {
                self.pay(*token, caller, *amount);
                self.know_till(*till);
            }
            _ => {}
        }
        for event in written {
            match *event {
                LedgerEvent::Offered { asset, terms_id } => {
                    self.known.offers.entry(asset).or_default().push(terms_id);
                }
                LedgerEvent::Withdrawn { asset, terms_id } => {
                    self.known.offers.entry(asset).or_default().retain(|offer| *offer != terms_id);
                }
                LedgerEvent::Bought { licence, terms_id, .. } => {
                    self.known.licences.push((licence, terms_id))
                }
                LedgerEvent::OperatorGranted { asset, operator, kind, operator_bps } => {
                    let till = Till { asset, kind, operator, operator_bps };
                    if !self.known.doors.contains(&till) {
                        self.known.doors.push(till);
                    }
                    self.know_till(till);
                }
                LedgerEvent::Frozen { asset, until_s } => self.known.freezes.push((asset, until_s)),
                LedgerEvent::ArbiterSet { arbiter } => self.known.arbiter = arbiter,
                // A till's money is not in a wallet.
                LedgerEvent::Credited { token, source, gross, .. }
                    if self.wallets.contains_key(&(token, source)) =>
                {
                    self.pay(token, source, gross);
                }
                LedgerEvent::Claimed { token, to, amount, .. }
                | LedgerEvent::OperatorClaimed { token, to, amount, .. }
                | LedgerEvent::AwardClaimed { token, to, amount, .. }
                | LedgerEvent::FeesCollected { token, treasury: to, amount } => {
                    self.receive(token, to, amount)
                }
                _ => {}
            }
        }
    }

    fn know_till(&mut self, till: Till) {
        if !self.known.tills.contains(&till) {
            self.known.tills.push(till);
        }
    }

    fn pay(&mut self, token: Address, account: Address, amount: Amount) {
        let wallet = self.wallets.get_mut(&(token, account)).expect("a wallet");
        *wallet = wallet.checked_sub(amount).expect("nobody runs out");
    }

    fn receive(&mut self, token: Address, account: Address, amount: Amount) {
        let wallet = if account == self.contracts.royalties {
            self.gifts.entry(token).or_default()
        } else {
            self.wallets.get_mut(&(token, account)).expect("a wallet")
        };
        *wallet = wallet.checked_add(amount).expect("less than was minted");
    }

    /// Every balance of the ledger is the model's, to the unit (PAY-1).
    pub(crate) async fn compare(&mut self) -> Checked<Snapshot> {
        let scope = Scope { assets: self.known.assets.clone(), tills: self.known.tills.clone() };
        let seen = views::read(&self.world, &scope).await;
        let mut expected = self.model.snapshot(seen.now_s);
        // A gift changes nothing but the balance.
        for (token, gift) in &self.gifts {
            let recorded = expected.recorded.entry(*token).or_default();
            *recorded = recorded.checked_add(*gift).expect("less than was minted");
        }
        expected.drop_zeros();
        let mut differences = views::differences(&expected, &seen.snapshot);
        differences.push_str(&views::wallet_differences(&self.wallets, &seen.wallets));
        if !differences.is_empty() {
            return self.disagreement(&differences);
        }
        self.last_s = seen.now_s;
        Ok(seen.snapshot)
    }

    /// The audit of the ledger's own logs: it accepts them and the ledger's balances (AUD-1), and accounts for every
    /// unit.
    pub(crate) async fn audit(&mut self) -> Checked<Audited> {
        let closing = self.compare().await?;
        let now_s = self.last_s;
        let entries = self.world.chain.entries(&self.world.suite, &self.logs().await).await;
        let entries = entries.expect("logs as the contracts write them");
        match audit(self.auditor(), &entries, now_s, Some(&closing)) {
            Ok(report) if report.every_unit_is_accounted_for() => Ok(Audited { entries, now_s, closing }),
            Ok(report) => self.disagreement(&format!("units are not accounted for: {:#?}", report.tokens)),
            Err(difference) => {
                self.disagreement(&format!("the audit refuses an honest history: {difference}"))
            }
        }
    }

    /// An audit that has read nothing.
    pub(crate) fn auditor(&self) -> Audit {
        Audit::new(self.contracts, self.world.tokens.clone())
    }

    async fn logs(&self) -> Vec<Log> {
        let suite = &self.world.suite;
        let query = LogQuery::of(suite.core().into_iter().chain(self.world.tokens.clone()));
        let head = self.world.chain.head().await.expect("the ledger answers").number;
        self.world.chain.logs(&query, suite.block.number, head).await.expect("the ledger answers")
    }

    // What there is

    /// The salt of the next registration.
    fn salt(&self) -> B256 {
        B256::from(U256::from(self.serial.get()))
    }

    /// The id of the next registration by that account.
    pub(crate) fn next_asset(&self, registrant: Address) -> AssetId {
        AssetId::derive(self.world.chain.id(), self.world.suite.assets.address, registrant, self.salt())
    }

    fn terms(&self, id: TermsId) -> Option<&Terms> {
        self.known.terms.iter().find(|(known, _)| *known == id).map(|(_, terms)| terms)
    }

    fn terms_of(&self, licence: LicenceId) -> Option<&Terms> {
        let (_, terms) = self.known.licences.iter().find(|(known, _)| *known == licence)?;
        self.terms(*terms)
    }

    pub(crate) fn actor(&self, pick: Pick) -> Address {
        let actors = self.world.actors();
        actors[usize::from(pick) % actors.len()]
    }

    fn who(&self, who: Who, entitled: Address) -> Address {
        match who {
            Who::Entitled if entitled != Address::ZERO => entitled,
            Who::Entitled => self.actor(0),
            Who::Anybody(pick) => self.actor(pick),
        }
    }

    fn place(&self, to: Where, home: Address) -> Address {
        match to {
            Where::Home => home,
            Where::Account(pick) => self.actor(pick),
            Where::Zero => Address::ZERO,
            Where::Royalties => self.contracts.royalties,
        }
    }

    fn asset(&self, number: Pick) -> AssetId {
        pick(&self.known.assets, number).expect("a history begins with an asset")
    }

    fn controller(&self, asset: AssetId) -> Address {
        self.known.controllers.get(&asset).copied().unwrap_or_default()
    }

    /// Mostly one that is in use, now and then the one that no history begins with.
    fn token(&self, pick: Pick) -> Address {
        let at = if pick >= 250 {
            self.world.tokens.len() - 1
        } else {
            usize::from(pick) % self.known.tokens_in_use
        };
        self.world.tokens[at]
    }

    fn till(&self, asset: AssetId, kind: Pick, door: Door) -> Till {
        let kind = RevenueKind::ALL[usize::from(kind) % 4];
        match door {
            Door::Own => Till::own(asset, kind),
            Door::Granted(number) => pick(&self.known.doors, number).unwrap_or(Till::own(asset, kind)),
            Door::Any(operator, operator_bps) => {
                Till { asset, kind, operator: self.actor(operator), operator_bps }
            }
        }
    }

    fn split(&self, split: &Split) -> Vec<(Address, u32)> {
        match split {
            Split::Weights(weights) => {
                let sum: u32 = weights.iter().map(|(_, weight)| u32::from(*weight)).sum();
                let mut left = SHARES_SUPPLY;
                let mut holders: Vec<_> = weights
                    .iter()
                    .map(|(holder, weight)| {
                        let units = SHARES_SUPPLY / sum * u32::from(*weight);
                        left -= units;
                        (self.actor(*holder), units)
                    })
                    .collect();
                holders[0].1 += left;
                holders
            }
            Split::Nobody => Vec::new(),
            Split::OneShort(holder) => vec![(self.actor(*holder), SHARES_SUPPLY - 1)],
            Split::NothingFor(holder) => vec![(self.actor(0), SHARES_SUPPLY), (self.actor(*holder), 0)],
            Split::Zero => vec![(Address::ZERO, SHARES_SUPPLY)],
        }
    }

    fn shaped(&self, shape: &Shape) -> Terms {
        let period_s = match shape.period {
            Period::Perpetual => 0,
            Period::Hours(hours) => u64::from(hours) * 3_600,
            Period::Longest => (1 << 40) - 1,
        };
        let free = shape.price == 0 && shape.token.is_multiple_of(4);
        Terms {
            rights: if shape.derive { Rights::ACCESS.with(Rights::DERIVE) } else { Rights::ACCESS },
            versions: VersionsGranted::Bought,
            reach: if shape.child { Reach::Child } else { Reach::All },
            renewable: shape.renewable && period_s > 0,
            transferable: shape.transferable,
            rates: Rates(shape.rates.map(|rate| Bps::new(rate).expect("at most 9,000"))),
            derivations: shape.derivations.into(),
            period_s,
            supply_cap: shape.cap.into(),
            price: Amount(shape.price),
            currency: if free { Address::ZERO } else { self.token(shape.token) },
            eligibility_hook: match shape.hook {
                Hook::None => Address::ZERO,
                Hook::Everybody => self.world.hooks[0],
                Hook::Nobody => self.world.hooks[1],
            },
            training_unit_price: Amount::ZERO,
            inference_unit_price: Amount::ZERO,
            legal_text: "LicenseRef-Residual-Test".to_owned(),
            text_cid: Default::default(),
        }
    }

    fn is_eligible(&self, terms: Option<&Terms>) -> bool {
        terms.is_none_or(|terms| terms.eligibility_hook != self.world.hooks[1])
    }

    // What people do

    /// Writes terms down unless they are.
    pub(crate) async fn define(&mut self, by: Address, terms: Terms) -> Checked<TermsId> {
        let id = terms.id().expect("valid terms");
        if self.terms(id).is_none() {
            self.must(by, Operation::DefineTerms { terms: Box::new(terms) }).await?;
        }
        Ok(id)
    }

    /// Offers terms, unless they are offered; whether they are now.
    pub(crate) async fn offer(&mut self, asset: AssetId, terms: TermsId) -> Checked<bool> {
        if self.known.offers.get(&asset).is_some_and(|offers| offers.contains(&terms)) {
            return Ok(true);
        }
        let controller = self.who(Who::Entitled, self.controller(asset));
        Ok(self.attempt(controller, Operation::Offer { asset, terms }).await?.is_some())
    }

    /// Buys a licence for the buyer; `None` if both sides refuse to sell it.
    pub(crate) async fn buy(
        &mut self,
        by: Address,
        asset: AssetId,
        terms: TermsId,
    ) -> Checked<Option<LicenceId>> {
        let max_price = self.terms(terms).map_or(Amount::ZERO, |terms| terms.price);
        let eligible = self.is_eligible(self.terms(terms));
        let payment = Payment::Approved { max_price };
        let written =
            self.attempt(by, Operation::Buy { asset, terms, recipient: by, payment, eligible }).await?;
        Ok(written.and_then(|events| {
            events.into_iter().find_map(|event| match event {
                LedgerEvent::Bought { licence, .. } => Some(licence),
                _ => None,
            })
        }))
    }

    pub(crate) async fn register(
        &mut self,
        by: Address,
        mut licences: Vec<LicenceId>,
        terms: Vec<TermsId>,
        holders: Vec<(Address, u32)>,
        resale_bps: u16,
    ) -> Checked<Option<AssetId>> {
        licences.sort();
        licences.dedup();
        let asset = self.next_asset(by);
        let register = Operation::Register { asset, licences, terms, holders, resale_bps };
        Ok(self.attempt(by, register).await?.map(|_| asset))
    }

    pub(crate) async fn flow(&mut self, child: AssetId, token: Address, kinds: u8) -> Checked<()> {
        self.attempt(self.actor(0), Operation::Flow { child, token, kinds }).await?;
        Ok(())
    }

    pub(crate) async fn sweep(&mut self, till: Till, token: Address) -> Checked<()> {
        self.attempt(self.actor(1), Operation::Sweep { till, token }).await?;
        Ok(())
    }

    /// Carries all that waits, one pass over the assets.
    pub(crate) async fn flow_all(&mut self, children_first: bool) -> Checked<()> {
        let mut assets = self.known.assets.clone();
        if children_first {
            assets.reverse();
        }
        for child in assets {
            for token in self.world.tokens.clone() {
                let waits = self.model.snapshot(self.last_s).pending_flow;
                if waits.keys().any(|(waiting, _, in_token, _)| (*waiting, *in_token) == (child, token)) {
                    self.flow(child, token, 0b1111).await?;
                }
            }
        }
        Ok(())
    }

    /// Every holder claims what there is to claim.
    pub(crate) async fn claim_all(&mut self) -> Checked<()> {
        for (asset, token, holder) in self.model.snapshot(self.last_s).claimable.into_keys() {
            self.attempt(holder, Operation::Claim { asset, token, to: holder }).await?;
        }
        Ok(())
    }

    /// A marketplace asks where and how much, and pays that.
    async fn resell(&mut self, asset: AssetId, token: Address, price: u128, by: Address) -> Checked<()> {
        let till = Till::own(asset, RevenueKind::Resale);
        let call = Assets::royaltyInfoCall { assetId: asset.to_u256(), salePrice: U256::from(price) };
        let told = self.world.chain.call(self.world.suite.assets.address, &call).await.expect("ERC-2981");
        let bps = self.known.resale_bps.get(&asset).copied().unwrap_or_default();
        let royalty = Amount(price * u128::from(bps) / 10_000);
        if (told._0, told._1) != (till.address(self.contracts), U256::from(royalty.0)) {
            return self.disagreement(&format!("ERC-2981 names {} to {}, not {royalty}", told._1, told._0));
        }
        self.must(by, Operation::FillTill { till, token, amount: royalty }).await?;
        self.sweep(till, token).await
    }

    async fn gift(&mut self, token: Address, amount: u128, by: Address) -> Checked<()> {
        self.tell(format!("{by} gives {amount} of {token} to nobody"));
        let transfer = TestUSD::transferCall { to: self.contracts.royalties, value: U256::from(amount) };
        let sent = self.world.send(by, &Transaction::call(token, &transfer)).await;
        sent.expect("nobody runs out");
        self.pay(token, by, Amount(amount));
        self.receive(token, self.contracts.royalties, Amount(amount));
        Ok(())
    }

    pub(crate) async fn wait_until(&mut self, moment_s: u64) {
        let now_s = self.world.now_s().await;
        if let Some(seconds) = moment_s.checked_sub(now_s).filter(|seconds| *seconds > 0) {
            self.tell(format!("{seconds} seconds pass"));
            self.world.wait(seconds).await;
            self.last_s = self.world.now_s().await;
        }
    }

    async fn wait(&mut self, moment: Moment) {
        let after = |moment_s: u64, seconds: i8| moment_s.saturating_add_signed(seconds.into());
        let until_s = match moment {
            Moment::Later(seconds) => Some(self.world.now_s().await + u64::from(seconds)),
            Moment::Expiry(licence, seconds) => {
                let licence = pick(&self.known.licences, licence).map(|(licence, _)| licence);
                let expiry_s = licence
                    .and_then(|licence| self.model.licence(licence))
                    .map_or(0, |(_, expiry_s)| expiry_s);
                // An expiry in the far future would leave no time for the rest.
                (expiry_s < 1 << 38).then(|| after(expiry_s, seconds))
            }
            Moment::FreezeEnd(freeze, seconds) => {
                pick(&self.known.freezes, freeze).map(|(_, until_s)| after(until_s, seconds))
            }
        };
        if let Some(until_s) = until_s {
            self.wait_until(until_s).await;
        }
    }

    async fn derive(
        &mut self,
        by: Address,
        parents: &[(Pick, Shape)],
        split: &Split,
        resale_bps: u16,
    ) -> Checked<()> {
        let mut licences = Vec::new();
        for (parent, shape) in parents {
            let asset = self.asset(*parent);
            let terms = self.define(by, self.shaped(shape)).await?;
            if self.offer(asset, terms).await? {
                licences.extend(self.buy(by, asset, terms).await?);
            }
        }
        self.register(by, licences, Vec::new(), self.split(split), resale_bps).await?;
        Ok(())
    }

    async fn publish(
        &mut self,
        by: Address,
        split: &Split,
        resale_bps: u16,
        offers: &[Shape],
    ) -> Checked<()> {
        let mut terms = Vec::new();
        for shape in offers {
            terms.push(self.define(by, self.shaped(shape)).await?);
        }
        self.register(by, Vec::new(), terms, self.split(split), resale_bps).await?;
        Ok(())
    }

    /// Takes one step.
    pub(crate) async fn take(&mut self, step: &Step) -> Checked<()> {
        let (caller, operation) = match *step {
            Step::Publish { by, ref split, resale_bps, ref offers } => {
                return self.publish(self.actor(by), split, resale_bps, offers).await;
            }
            Step::Derive { by, ref parents, ref split, resale_bps } => {
                return self.derive(self.actor(by), parents, split, resale_bps).await;
            }
            Step::Reuse { by, ref licences, in_order, ref split } => {
                let licences = licences.iter().filter_map(|licence| pick(&self.known.licences, *licence));
                let mut licences: Vec<_> = licences.map(|(licence, _)| licence).collect();
                if in_order {
                    licences.sort();
                    licences.dedup();
                }
                let holder = licences.first().and_then(|licence| self.model.licence(*licence));
                let by = self.who(by, holder.map_or(Address::ZERO, |(holder, _)| holder));
                let (asset, holders) = (self.next_asset(by), self.split(split));
                (by, Operation::Register { asset, licences, terms: Vec::new(), holders, resale_bps: 0 })
            }
            Step::Again { asset } => {
                let asset = self.asset(asset);
                let (by, _) = self.known.registrations[&asset];
                let holders = vec![(by, SHARES_SUPPLY)];
                (
                    by,
                    Operation::Register {
                        asset,
                        licences: Vec::new(),
                        terms: Vec::new(),
                        holders,
                        resale_bps: 0,
                    },
                )
            }
            Step::Offer { asset, ref shape, by } => {
                let asset = self.asset(asset);
                let by = self.who(by, self.controller(asset));
                let terms = self.define(by, self.shaped(shape)).await?;
                (by, Operation::Offer { asset, terms })
            }
            Step::OfferAgain { asset, terms, by } => {
                let asset = self.asset(asset);
                let terms = pick(&self.known.terms.iter().map(|(id, _)| *id).collect::<Vec<_>>(), terms);
                let terms = terms.unwrap_or(TermsId(B256::repeat_byte(1)));
                (self.who(by, self.controller(asset)), Operation::Offer { asset, terms })
            }
            Step::Withdraw { asset, offer, by } => {
                let asset = self.asset(asset);
                let terms = self.known.offers.get(&asset).and_then(|offers| pick(offers, offer));
                let terms = terms.unwrap_or(TermsId(B256::repeat_byte(1)));
                (self.who(by, self.controller(asset)), Operation::Withdraw { asset, terms })
            }
            Step::Buy { asset, offer, by, recipient, how } => {
                let asset = self.asset(asset);
                let Some(terms) = self.known.offers.get(&asset).and_then(|offers| pick(offers, offer)) else {
                    return Ok(());
                };
                let price = self.terms(terms).map_or(Amount::ZERO, |terms| terms.price);
                let payment = match how {
                    How::Signed => Payment::Signed { payer: self.actor(recipient) },
                    How::OneLess if price > Amount::ZERO => {
                        Payment::Approved { max_price: Amount(price.0 - 1) }
                    }
                    _ => Payment::Approved { max_price: price },
                };
                let recipient = if recipient == 255 { Address::ZERO } else { self.actor(recipient) };
                let eligible = self.is_eligible(self.terms(terms));
                (self.actor(by), Operation::Buy { asset, terms, recipient, payment, eligible })
            }
            Step::BuyUnoffered { asset, terms, by } => {
                let asset = self.asset(asset);
                let terms = pick(&self.known.terms.iter().map(|(id, _)| *id).collect::<Vec<_>>(), terms);
                return match terms {
                    Some(terms) => self.buy(self.actor(by), asset, terms).await.map(drop),
                    None => Ok(()),
                };
            }
            Step::Renew { licence, periods, seconds, by } => {
                let Some((licence, _)) = pick(&self.known.licences, licence) else { return Ok(()) };
                let holder = self.model.licence(licence).map_or(Address::ZERO, |(holder, _)| holder);
                let period_s = self.terms_of(licence).map_or(0, |terms| terms.period_s);
                let duration_s = period_s * u64::from(periods) + u64::from(seconds);
                (self.who(by, holder), Operation::Renew { licence, duration_s })
            }
            Step::Cancel { licence, by } => {
                let Some((licence, _)) = pick(&self.known.licences, licence) else { return Ok(()) };
                let holder = self.model.licence(licence).map_or(Address::ZERO, |(holder, _)| holder);
                (self.who(by, holder), Operation::Cancel { licence })
            }
            Step::PassLicence { licence, to, by } => {
                let Some((licence, _)) = pick(&self.known.licences, licence) else { return Ok(()) };
                let holder = self.model.licence(licence).map_or(Address::ZERO, |(holder, _)| holder);
                let eligible = self.is_eligible(self.terms_of(licence));
                let to = self.place(to, holder);
                (self.who(by, holder), Operation::TransferLicence { licence, to, eligible })
            }
            Step::PassControl { asset, to, by } => {
                let asset = self.asset(asset);
                let controller = self.controller(asset);
                let to = self.place(to, controller);
                (self.who(by, controller), Operation::TransferControl { asset, to })
            }
            Step::MoveShares { from, to, ref batch } => {
                let from = self.actor(from);
                let units = batch.iter().map(|(asset, units)| {
                    let asset = self.asset(*asset);
                    let held = self.model.holders(asset).get(&from).copied().unwrap_or_default();
                    let units = match units {
                        Units::Part(part) => u64::from(held) * u64::from(*part) / 255,
                        Units::TooMany => u64::from(held) + 1,
                    };
                    (asset, u32::try_from(units).expect("at most a million and one"))
                });
                let units = units.collect();
                (from, Operation::TransferShares { to: self.place(to, from), units })
            }
            Step::MoveNothingOfNothing { from, to } => {
                let (from, to) = (self.actor(from), self.actor(to));
                (from, Operation::TransferShares { to, units: vec![(self.next_asset(from), 0)] })
            }
            Step::Pay { asset, kind, token, amount, by } => {
                let (asset, kind) = (self.asset(asset), RevenueKind::ALL[usize::from(kind) % 4]);
                (
                    self.actor(by),
                    Operation::Pay { asset, kind, token: self.token(token), received: Amount(amount) },
                )
            }
            Step::PayUnregistered { token, amount, by } => {
                let by = self.actor(by);
                let (asset, kind, token) = (self.next_asset(by), RevenueKind::Training, self.token(token));
                (by, Operation::Pay { asset, kind, token, received: Amount(amount) })
            }
            Step::FillTill { asset, kind, door, token, amount, by } => {
                let till = self.till(self.asset(asset), kind, door);
                (
                    self.actor(by),
                    Operation::FillTill { till, token: self.token(token), amount: Amount(amount) },
                )
            }
            Step::Sweep { asset, kind, door, token } => {
                // Mostly where something lies.
                let filled: Vec<_> = self.model.snapshot(self.last_s).in_tills.into_keys().collect();
                let anywhere = (self.till(self.asset(asset), kind, door), self.token(token));
                let (till, token) =
                    if token < 200 { pick(&filled, asset).unwrap_or(anywhere) } else { anywhere };
                return self.sweep(till, token).await;
            }
            Step::Resell { asset, token, price, by } => {
                return self.resell(self.asset(asset), self.token(token), price, self.actor(by)).await;
            }
            Step::Flow { asset, token, kinds } => {
                // Mostly where something waits.
                let waits = self.model.snapshot(self.last_s).pending_flow;
                let waits: Vec<_> = waits.into_keys().map(|(child, _, token, _)| (child, token)).collect();
                let anywhere = (self.asset(asset), self.token(token));
                let (child, token) =
                    if token < 200 { pick(&waits, asset).unwrap_or(anywhere) } else { anywhere };
                return self.flow(child, token, kinds).await;
            }
            Step::FlowAll { children_first } => return self.flow_all(children_first).await,
            Step::Claim { asset, token, by, to } => {
                let (asset, token, by) = (self.asset(asset), self.token(token), self.actor(by));
                (by, Operation::Claim { asset, token, to: self.place(to, by) })
            }
            Step::ClaimAll => return self.claim_all().await,
            Step::ClaimOperator { door, token, by, to } => {
                // Whoever earned as an operator, if somebody did.
                let earned: Vec<_> =
                    self.model.snapshot(self.last_s).operator_claimable.into_keys().collect();
                let door = pick(&self.known.doors, door)
                    .map(|door| (door, self.token(token)))
                    .filter(|_| token >= 200);
                let Some((till, token)) = door.or(pick(&earned, token)) else { return Ok(()) };
                let Till { asset, kind, operator, operator_bps } = till;
                let by = self.who(by, operator);
                (by, Operation::ClaimOperator { asset, kind, operator_bps, token, to: self.place(to, by) })
            }
            Step::ClaimAward { token, by, to } => {
                // Whoever has an award, if somebody does.
                let awards: Vec<_> = self.model.snapshot(self.last_s).awards.into_keys().collect();
                let (by, token) = pick(&awards, by).unwrap_or((self.actor(by), self.token(token)));
                (by, Operation::ClaimAward { token, to: self.place(to, by) })
            }
            Step::CollectFees { token } => {
                (self.actor(0), Operation::CollectFees { token: self.token(token) })
            }
            Step::Grant { asset, kind, operator, bps, by } => {
                let asset = self.asset(asset);
                let operator = if operator == 255 { Address::ZERO } else { self.actor(operator) };
                let kind = RevenueKind::ALL[usize::from(kind) % 4];
                let till = Till { asset, kind, operator, operator_bps: bps };
                (self.who(by, self.controller(asset)), Operation::Grant { till })
            }
            Step::Revoke { door, by } => {
                let Some(till) = pick(&self.known.doors, door) else { return Ok(()) };
                (self.who(by, self.controller(till.asset)), Operation::Revoke { till })
            }
            Step::Freeze { asset, by } => {
                (self.who(by, self.known.arbiter), Operation::Freeze { asset: self.asset(asset) })
            }
            Step::Rule { asset, claimant, by } => {
                let frozen = pick(&self.known.freezes, asset).map(|(asset, _)| asset);
                let asset = frozen.unwrap_or_else(|| self.asset(asset));
                let claimant = claimant.map(|claimant| self.actor(claimant));
                (self.who(by, self.known.arbiter), Operation::Rule { asset, claimant })
            }
            Step::ReleaseDiverted { asset, token, to, by } => {
                let diverted: Vec<_> = self.model.snapshot(self.last_s).diverted.into_keys().collect();
                let (parent, token) =
                    pick(&diverted, asset).unwrap_or((self.asset(asset), self.token(token)));
                let to = self.place(to, self.actor(0));
                // Royalties has no use for an award.
                let to = if to == self.contracts.royalties { self.actor(0) } else { to };
                (self.who(by, self.known.arbiter), Operation::ReleaseDiverted { parent, token, to })
            }
            Step::SetFee { bps, by } => (self.who(by, self.governor()), Operation::SetFee { fee_bps: bps }),
            Step::List { token, listed, by } => {
                (self.who(by, self.governor()), Operation::SetListing { token: self.token(token), listed })
            }
            Step::SetTreasury { to, by } => {
                let treasury = self.place(to, self.world.treasury());
                (self.who(by, self.governor()), Operation::SetTreasury { treasury })
            }
            Step::SetArbiter { to, by } => {
                let arbiter = self.place(to, self.world.arbiter());
                (self.who(by, self.governor()), Operation::SetArbiter { arbiter })
            }
            Step::Gift { token, amount, by } => {
                return self.gift(self.token(token), amount, self.actor(by)).await;
            }
            Step::Wait(moment) => {
                self.wait(moment).await;
                return Ok(());
            }
        };
        self.attempt(caller, operation).await.map(drop)
    }

    pub(crate) fn governor(&self) -> Address {
        self.world.suite.timelock.address
    }
}
