//! Calls that are paid by ticks: one signature for a window of them.
//!
//! Windows have a channel of their own, told by its salt, so that neither a call of several units nor a stock client of
//! the same payer waits for a window to end. The purse keeps the window, and its ticks are drawn from the account's key,
//! so a payer that starts again goes on in it, behind what the gateway says was charged. A gateway that has closed or lost
//! the window says where the channel stands instead; it is believed as far as ticks were let go, and no further.

use residual_ledger::http::{self, Request, Response, StatusCode, Url};
use residual_meter::{Purse, SignedTickOpen, Tick, TickSeed, WindowPlan};
use residual_primitives::{
    Amount, B256, Bytes, TermsId,
    signed::{TickClose, TickOpen},
};
use residual_x402::{
    HeaderError, PAYMENT_RESPONSE, PaymentRequired, PaymentRequirements, SettleResponse,
    batch::{self, WireConfig, reason},
    decode,
    extensions::Windows,
};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    CORRECTIONS_MAX, Open, PROBLEM_BYTES_MAX, PaidAnswer, Payer, SignedAhead, SpendError, asked, refusal_of,
};

/// Refusals of a tick after which the two ends are to agree anew.
const DOUBTS: &[&str] =
    &["no-window", "not-next-tick", "not-of-the-chain", "tick-used", "window-price", "window-terms"];

/// Tells the channel of windows from the one that vouchers are for.
pub(super) fn salt() -> B256 {
    crate::digest(b"residual windows")
}

/// The payer's channel of windows.
#[derive(Debug, Default)]
pub(super) struct Ticking {
    open: Option<Open>,
    /// Whether the gateway has the purse's window, as far as is known.
    agreed: bool,
    /// Let go, and not known to be charged.
    tick: Option<Tick>,
}

impl Ticking {
    /// The channel, of which all is to be asked anew.
    pub(super) fn doubted(&mut self) -> &mut Option<Open> {
        (self.agreed, self.tick) = (false, None);
        &mut self.open
    }

    /// The channel, if there is a window to go on with.
    fn ready(&mut self) -> Option<&mut Open> {
        self.open.as_mut().filter(|open| self.agreed && open.purse.window().is_some())
    }
}

/// What came of a call that was to be paid by a tick.
pub(super) enum ByTick {
    /// It was answered.
    Answered(PaidAnswer),
    /// It takes more than a tick: what is asked for.
    Otherwise(Box<PaymentRequired>),
}

/// Where a channel stands, by the gateway's word.
#[derive(Debug, Deserialize)]
struct Standing {
    charged: Amount,
    window: Option<WindowAt>,
}

#[derive(Debug, Deserialize)]
struct WindowAt {
    root: B256,
    used: u32,
}

impl Payer<'_> {
    /// Sends a request and pays for it by the next tick, in a window that is opened if need be.
    pub(super) async fn by_tick(
        &self,
        ticking: &mut Ticking,
        request: &Request,
        ticks: u32,
    ) -> Result<ByTick, SpendError> {
        let mut deposited = Amount::ZERO;
        let mut corrections = 0;
        loop {
            if ticking.ready().is_none() {
                let response = self.send(request, None).await?;
                if response.status() != StatusCode::PAYMENT_REQUIRED {
                    return Ok(unpaid(response));
                }
                let required = asked(&response)?;
                let way = self.way(&required)?;
                let offered = Windows::offered(&required.extensions).ok_or(SpendError::NoWindows)?;
                if way.amount != offered.unit_price {
                    return Ok(ByTick::Otherwise(Box::new(required)));
                }
                let put_in = self.prepare(ticking, request.url(), way, &offered, ticks).await?;
                deposited = [deposited, put_in].into_iter().sum();
            }
            let kept = ticking.tick;
            let open = ticking.ready().expect("it was prepared");
            let tick = match kept {
                Some(tick) => tick,
                None => self.next_tick(open)?,
            };
            let by = due(open, &tick);
            ticking.tick = Some(tick);
            let response = self.send(request, Some((Tick::HEADER, &tick.to_text()))).await?;
            if let Some(receipt) = response.headers().get(PAYMENT_RESPONSE) {
                let receipt = decode(receipt.as_bytes(), "a receipt")?;
                let (charged, channel) = charged(ticking, by, &receipt)?;
                let channel = Some(channel);
                return Ok(ByTick::Answered(PaidAnswer { response, charged, deposited, channel }));
            }
            let (reason, detail) = match response.status() {
                StatusCode::PAYMENT_REQUIRED => {
                    let required = asked(&response)?;
                    let word = required.error.clone().unwrap_or_default();
                    if word != reason::BEYOND_BALANCE {
                        return Ok(ByTick::Otherwise(Box::new(required)));
                    }
                    (word, refusal_of(response).await.1)
                }
                StatusCode::CONFLICT => {
                    let (word, detail) = refusal_of(response).await;
                    if !DOUBTS.contains(&word.as_str()) {
                        return Err(SpendError::Refused { reason: word, detail });
                    }
                    (word, detail)
                }
                // Not served and not charged; the tick serves the next call.
                _ => return Ok(unpaid(response)),
            };
            ticking.doubted();
            corrections += 1;
            if corrections > CORRECTIONS_MAX {
                return Err(SpendError::Refused { reason, detail });
            }
        }
    }

    /// Lets the next tick go, if it is within the budget.
    fn next_tick(&self, open: &mut Open) -> Result<Tick, SpendError> {
        let price = open.purse.window().map(|(signed, _)| Amount(signed.open.unitPrice)).unwrap_or_default();
        if price > self.budget.per_call {
            return Err(SpendError::TooDear { allowed: self.budget.per_call, price });
        }
        let share = open.share(self.budget.total);
        let needed = Amount(open.charged.0.saturating_add(price.0));
        if needed > share {
            return Err(beyond(share, needed));
        }
        Ok(open.purse.tick()?)
    }

    /// Makes both ends agree on an open window at the price of now. What was deposited for it.
    async fn prepare(
        &self,
        ticking: &mut Ticking,
        url: &Url,
        way: &PaymentRequirements,
        offered: &Windows,
        ticks: u32,
    ) -> Result<Amount, SpendError> {
        let open = self.open(ticking.doubted(), self.config(way, salt())?).await?;
        let place = self.place_of(url, open.purse.channel_id())?;
        self.agree(open, &place).await?;
        let holds =
            |open: &TickOpen| (open.unitPrice, open.termsHash) == (offered.unit_price.0, offered.terms_hash);
        if open.purse.window().is_some_and(|(signed, _)| !holds(&signed.open)) {
            self.close(open, &place).await?;
        }
        if open.purse.window().is_none() {
            self.begin(open, way, offered, ticks).await?;
        }
        let deposited = self.offer(open, way, &place).await?;
        ticking.agreed = true;
        Ok(deposited)
    }

    /// Asks where the channel stands, and forgets a window that has ended there.
    async fn agree(&self, open: &mut Open, place: &Url) -> Result<(), SpendError> {
        let response = self.send(&Request::new(http::Method::GET, place.clone()), None).await?;
        let standing =
            if response.status() == StatusCode::NOT_FOUND { None } else { Some(read(response).await?) };
        open.purse.confirm(self.client.escrow(open.purse.channel_id()).await?);
        // A gateway that does not know the channel counts from what was claimed.
        let charged =
            standing.as_ref().map_or(open.purse.escrow().total_claimed, |standing| standing.charged);
        let theirs = standing.and_then(|standing| standing.window).map(|window| window.root);
        let mine = open.purse.window().map(|(signed, _)| (signed.open.root, signed.open.base));
        match (mine, theirs) {
            (Some((mine, _)), Some(theirs)) if mine == theirs => {}
            (_, Some(theirs)) => {
                let reason = "window-open".to_owned();
                let detail = format!(
                    "another program of this account has opened window {theirs} on the channel; end that one first"
                );
                return Err(SpendError::Refused { reason, detail });
            }
            // It was never opened there, or lost before its first tick.
            (Some((_, base)), None) if base == charged.0 => {}
            (Some(_), None) => open.purse.end_window().map_err(residual_meter::PromiseError::from)?,
            (None, None) => {}
        }
        open.charged = charged;
        Ok(())
    }

    /// Signs a window from where the channel stands: as many ticks as were asked for and as the budget allows.
    async fn begin(
        &self,
        open: &mut Open,
        way: &PaymentRequirements,
        offered: &Windows,
        ticks: u32,
    ) -> Result<(), SpendError> {
        let &Windows { unit_price, max_ticks, terms_hash } = offered;
        let terms = self.client.terms(TermsId(terms_hash)).await?;
        let token = self.client.currency().token;
        if terms.is_none_or(|terms| (terms.inference_unit_price, terms.currency) != (unit_price, token)) {
            return Err(SpendError::OtherTerms { price: unit_price, terms: terms_hash });
        }
        let (base, share) = (open.charged, open.share(self.budget.total));
        let room = share.0.saturating_sub(base.0).checked_div(unit_price.0).unwrap_or_default();
        let max_ticks = ticks.min(max_ticks).min(u32::try_from(room).unwrap_or(u32::MAX));
        let Some(total) = unit_price.0.checked_mul(max_ticks.into()).and_then(|all| all.checked_add(base.0))
        else {
            return Err(beyond(share, Amount(u128::MAX)));
        };
        if max_ticks == 0 && ticks > 0 {
            return Err(beyond(share, Amount(base.0.saturating_add(unit_price.0))));
        }
        if Amount(total) > open.purse.escrow().covers() {
            self.deposit(open, way, Amount(total)).await?;
        }
        let plan = WindowPlan { base, unit_price, max_ticks, terms_hash };
        open.purse.open_window(&plan, &self.seed(), |digest| self.signed(digest))?;
        Ok(())
    }

    /// Sends the purse's window to the gateway, with a deposit when the channel holds too little for it, and goes on behind
    /// the ticks that were charged. What was deposited.
    async fn offer(
        &self,
        open: &mut Open,
        way: &PaymentRequirements,
        place: &Url,
    ) -> Result<Amount, SpendError> {
        let channel = open.purse.channel_id();
        let total = open.purse.window().map(|(_, voucher)| voucher.max_claimable()).unwrap_or_default();
        open.purse.confirm(self.client.escrow(channel).await?);
        let mut ahead = None;
        if total > open.purse.escrow().covers() {
            ahead = Some(self.deposit(open, way, total).await?);
        }
        let body = opening(&open.purse, ahead.as_ref());
        let standing: Standing = read(self.post(place.clone(), &body).await?).await?;
        let used = standing.window.map(|window| window.used).unwrap_or_default();
        open.purse.resume_window(&self.seed(), used)?;
        open.charged = standing.charged;
        let deposited = ahead.map(|ahead| ahead.amount).unwrap_or_default();
        if deposited > Amount::ZERO {
            open.purse.confirm(self.client.escrow(channel).await?);
        }
        Ok(deposited)
    }

    /// Has the gateway end the purse's window, and forgets it.
    async fn close(&self, open: &mut Open, place: &Url) -> Result<(), SpendError> {
        let Some((SignedTickOpen { open: window, .. }, _)) = open.purse.window() else { return Ok(()) };
        let wish = TickClose { gateway: window.gateway, channelId: window.channelId, root: window.root };
        let Ok(signature) = self.signed(&self.client.channels().tick_close_digest(&wish));
        let body = json!({ "root": wish.root, "signature": Bytes::copy_from_slice(&signature) });
        let url = below(place.clone(), &["close"]);
        let standing: Standing = read(self.post(url, &body).await?).await?;
        open.purse.end_window().map_err(residual_meter::PromiseError::from)?;
        open.charged = standing.charged;
        Ok(())
    }

    async fn post(&self, url: Url, body: &Value) -> Result<Response, SpendError> {
        let mut request = Request::new(http::Method::POST, url);
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(http::header::CONTENT_TYPE, json);
        *request.body_mut() = Some(body.to_string().into());
        self.send(&request, None).await
    }

    /// Where the gateway that is called has the window of a channel: beside the asset that is called there.
    fn place_of(&self, url: &Url, channel: B256) -> Result<Url, SpendError> {
        let asset = self.asset.to_string();
        let mut base = url.clone();
        base.set_query(None);
        base.set_fragment(None);
        let path = base.path().strip_suffix(&format!("/assets/{asset}/inference")).map(str::to_owned);
        base.set_path(&path.ok_or(SpendError::NoWindows)?);
        Ok(below(base, &["channels", &channel.to_string(), "window"]))
    }

    fn signed(&self, digest: &B256) -> Result<[u8; 65], std::convert::Infallible> {
        Ok(self.account.sign_hash(*digest).as_bytes())
    }

    /// What the ticks are drawn from: a signature that nobody is ever shown. The key makes it anew whenever it is needed,
    /// so there is no secret to keep.
    fn seed(&self) -> TickSeed {
        let Ok(signature) = self.signed(&crate::digest(b"residual seed of ticks"));
        let signature = Zeroizing::new(signature);
        TickSeed::new(crate::digest_of_parts(&[b"residual ticks", signature.as_slice()]).0)
    }
}

fn below(mut url: Url, segments: &[&str]) -> Url {
    url.path_segments_mut().expect("http addresses have paths").pop_if_empty().extend(segments);
    url
}

fn unpaid(response: Response) -> ByTick {
    let (charged, deposited) = (Amount::ZERO, Amount::ZERO);
    ByTick::Answered(PaidAnswer { response, charged, deposited, channel: None })
}

fn beyond(share: Amount, needed: Amount) -> SpendError {
    SpendError::Budget { what: "all that is promised in the channel of windows", budget: share, needed }
}

/// What is charged on the channel with this tick.
fn due(open: &Open, tick: &Tick) -> Amount {
    let window = open.purse.window().map(|(signed, _)| (signed.open.base, signed.open.unitPrice));
    let (base, price) = window.unwrap_or_default();
    Amount(base.saturating_add(price.saturating_mul(tick.index.into())))
}

/// Takes over that the tick was charged, and forgets a window that was used up by it: what the call cost, and the channel.
fn charged(
    ticking: &mut Ticking,
    by: Amount,
    receipt: &SettleResponse,
) -> Result<(Amount, B256), SpendError> {
    let extra = serde_json::from_value::<batch::SettleExtra>(receipt.extra.clone().into());
    let extra = extra.map_err(|source| HeaderError::Json { what: "a channel's state", source })?;
    let now = extra.channel_state.charged_cumulative_amount.unwrap_or(by);
    if !receipt.success || now != by {
        return Err(SpendError::Dishonest { charged: now, promised: by });
    }
    ticking.tick = None;
    let open = ticking.ready().expect("the tick was of its window");
    let charged = Amount(now.0.saturating_sub(open.charged.0));
    open.charged = now;
    if open.purse.window().is_some_and(|(_, voucher)| voucher.max_claimable() == now) {
        open.purse.end_window().map_err(residual_meter::PromiseError::from)?;
    }
    Ok((charged, open.purse.channel_id()))
}

/// A window as the gateway is asked to open it.
fn opening(purse: &Purse, deposit: Option<&SignedAhead>) -> Value {
    let Some((signed, voucher)) = purse.window() else { return Value::Null };
    let open = &signed.open;
    let mut body = json!({
        "config": WireConfig::from(purse.config()),
        "base": Amount(open.base),
        "unit_price": Amount(open.unitPrice),
        "max_ticks": open.maxTicks,
        "root": open.root,
        "terms_hash": open.termsHash,
        "signature": Bytes::copy_from_slice(&signed.signature),
        "voucher_signature": Bytes::copy_from_slice(&voucher.signature),
    });
    if let Some(SignedAhead { amount, valid_before_s, salt, signature }) = deposit {
        body["deposit"] = json!({
            "amount": amount,
            "valid_after": 0,
            "valid_before": valid_before_s,
            "salt": salt,
            "signature": signature,
        });
    }
    body
}

/// Where the channel stands, or why the gateway does not say.
async fn read(response: Response) -> Result<Standing, SpendError> {
    if response.status() == StatusCode::PAYMENT_REQUIRED {
        let reason = asked(&response)?.error.unwrap_or_default();
        return Err(SpendError::Refused { reason, detail: refusal_of(response).await.1 });
    }
    if !response.status().is_success() {
        let (reason, detail) = refusal_of(response).await;
        return Err(SpendError::Refused { reason, detail });
    }
    let body = http::body(response, PROBLEM_BYTES_MAX).await.unwrap_or_default();
    serde_json::from_slice(&body).map_err(SpendError::Standing)
}
