//! Paying for calls over HTTP as any x402 client does, within a budget.
//!
//! A [`Payer`] has one channel toward one asset's till. It is opened and topped up by deposits that the payer signs and the
//! gateway carries to the ledger (EIP-3009), so that the payer needs no gas, and each call is paid by a voucher. What was
//! signed is written down before it is sent: neither a crash nor a lost answer makes the payer promise the same money
//! twice, or deposit beyond its budget. A payer that is told to pays by windows of ticks (`windows`), through another
//! channel of its own.

mod windows;

use std::sync::OnceLock;

use residual_ledger::{
    Account, SolValue,
    contracts::test_usd::TestUSD,
    http::{self, Request, Response, Url},
};
use residual_meter::{OpenWindowError, PromiseError, Purse, ResumeError, SignedVoucher, TickError};
use residual_primitives::{
    Address, Amount, AssetId, B256, Bytes,
    signed::{ChannelConfig, Voucher},
};
use residual_x402::{
    HeaderError, Network, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload,
    PaymentRequired, PaymentRequirements, SettleResponse, VERSION,
    batch::{
        self, ChannelState, Deposit, DepositAuthorization, DepositConsent, Payload, VoucherState,
        WireVoucher, reason,
    },
    decode, encode,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use windows::{ByTick, Ticking};

use crate::{ChannelError, ChannelRecord, Client, HomeError, LedgerError, Till, now_s};

/// How often a call is sent anew after the gateway has said where the channel stands.
const CORRECTIONS_MAX: u32 = 2;

/// The least time that a signed deposit must be good still to be sent again, in seconds.
const DEPOSIT_MARGIN_S: u64 = 15;

/// The longest that a deposit is signed for, in seconds, whatever a gateway asks for.
const DEPOSIT_VALID_MAX_S: u64 = 600;

/// The longest withdraw delay of a channel that is opened by itself, in seconds: a week.
const WITHDRAW_DELAY_MAX_S: u64 = 7 * 24 * 60 * 60;

/// The longest refusal that is read, in bytes.
const PROBLEM_BYTES_MAX: usize = 64 << 10;

/// What a payer lets be spent, in the currency's smallest unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// For one call.
    pub per_call: Amount,
    /// In the channels of the asset together: neither deposits nor promises ever pass it.
    pub total: Amount,
}

/// Why a call was not paid or not answered.
#[derive(Debug, thiserror::Error)]
pub enum SpendError {
    /// The request did not come through, or no answer came.
    #[error(
        "expected an answer of {host}, found none: {source}; the call may be repeated, it is not paid twice"
    )]
    Http {
        /// Where.
        host: String,
        /// What went wrong.
        #[source]
        source: http::Error,
    },
    /// The body of the request cannot be sent twice.
    #[error("expected a request whose body can be sent again after the price is known, found a stream")]
    Stream,
    /// The gateway's header is none.
    #[error("the gateway's payment header: {0}")]
    Header(#[from] HeaderError),
    /// A 402 without a price.
    #[error(
        "expected a 402 that says what is asked for (x402 v2), found one without the header {PAYMENT_REQUIRED}"
    )]
    NoPrice,
    /// None of the ways to pay is one that is known here.
    #[error(
        "expected among the ways to pay batch-settlement in {token} on {network}, found {found}: this marketplace pays in \
         no other way"
    )]
    NoWay {
        /// The marketplace's currency.
        token: Address,
        /// The marketplace's chain.
        network: Network,
        /// What was listed, by scheme and chain.
        found: String,
    },
    /// The money would go somewhere else.
    #[error(
        "expected to pay the till of {asset}, {expected}, or the gateway's own as its operator, found that the gateway wants \
         it at {found}: it would reach nobody of the lineage, so nothing was paid"
    )]
    OtherPayee {
        /// The asset.
        asset: AssetId,
        /// Its till.
        expected: Address,
        /// Where the gateway wants the money.
        found: Address,
    },
    /// The payer would wait too long for its money.
    #[error(
        "expected a withdraw delay of at most {WITHDRAW_DELAY_MAX_S} seconds, found that the gateway asks for {found}: open \
         such a channel by hand if you agree to it"
    )]
    Delay {
        /// What it asks for.
        found: u64,
    },
    /// The call is dearer than allowed.
    #[error(
        "expected a call of at most {allowed} units, found that it costs {price}: allow more with --max-price"
    )]
    TooDear {
        /// What may be spent.
        allowed: Amount,
        /// What it costs.
        price: Amount,
    },
    /// The budget is used up.
    #[error(
        "expected to keep {what} within {budget} units, found that this call needs {needed}: raise the budget with --budget"
    )]
    Budget {
        /// What of.
        what: &'static str,
        /// What may be spent.
        budget: Amount,
        /// What it would become.
        needed: Amount,
    },
    /// The gateway did not take the payment.
    #[error("the gateway refused the payment ({reason}): {detail}")]
    Refused {
        /// The peers' name of it.
        reason: String,
        /// In words.
        detail: String,
    },
    /// The gateway does not ask for payments of this asset, so it pays none back.
    #[error(
        "expected a gateway that takes payments for this asset, found one that answers {status}: {detail}; name another with \
         --gateway, or take the money back without one by `residual channel close`"
    )]
    NoRefund {
        /// The HTTP status.
        status: u16,
        /// Its words, cut.
        detail: String,
    },
    /// What the gateway says of the channel does not follow from what was signed here.
    #[error(
        "expected a gateway that counts what was signed, found one that says {charged} units were charged where {promised} \
         were promised; stop using it: it can claim no more than what was signed"
    )]
    Dishonest {
        /// What it says.
        charged: Amount,
        /// What was promised.
        promised: Amount,
    },
    /// No voucher was signed.
    #[error(transparent)]
    Promise(#[from] PromiseError),
    /// Calls can be paid here one by one only.
    #[error(
        "expected a gateway that opens windows of ticks (the extension residual-windows in its 402), found one that does \
         not; pay each call by itself"
    )]
    NoWindows,
    /// What a use is was defined otherwise on the ledger, or not at all.
    #[error(
        "expected a window under terms that the ledger has at {price} units a call, found that {terms} are not; stop using \
         this gateway"
    )]
    OtherTerms {
        /// The price that the gateway names.
        price: Amount,
        /// The terms that it names.
        terms: B256,
    },
    /// No window was opened.
    #[error(transparent)]
    Window(#[from] OpenWindowError),
    /// No tick was let go.
    #[error(transparent)]
    Tick(#[from] TickError),
    /// The window cannot be gone on with.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// An answer about a window is none.
    #[error(
        "expected where the window stands, found something else: {0}; is that a gateway of this version?"
    )]
    Standing(#[source] serde_json::Error),
    /// The channel cannot be used.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// An answer and what was paid for it.
#[derive(Debug)]
pub struct PaidAnswer {
    /// What the gateway answered; its status may be an error that was not paid for.
    pub response: Response,
    /// What was charged.
    pub charged: Amount,
    /// What was deposited on the way.
    pub deposited: Amount,
    /// The channel; none when nothing was paid.
    pub channel: Option<B256>,
}

/// A deposit that was signed and may be carried out until it ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SignedAhead {
    amount: Amount,
    valid_before_s: u64,
    salt: B256,
    signature: Bytes,
}

/// The channel in use.
#[derive(Debug)]
struct Open {
    purse: Purse,
    /// What the gateway has charged, as far as is known.
    charged: Amount,
    /// What the payer's other channels of the asset hold: a gateway that asks for one channel after another gets no more
    /// than the budget.
    elsewhere: Amount,
}

impl Open {
    /// What of a budget is left for this channel.
    fn share(&self, budget: Amount) -> Amount {
        Amount(budget.0.saturating_sub(self.elsewhere.0))
    }
}

/// What is kept between calls.
#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    /// What was asked for last, to pay the next call without asking again.
    asked: Option<(Url, PaymentRequired)>,
    ticking: Ticking,
}

/// Pays for calls of one asset.
#[derive(Debug)]
pub struct Payer<'a> {
    client: &'a Client,
    account: Account,
    asset: AssetId,
    budget: Budget,
    http: http::Client,
    /// How many ticks a window is to have; none when each call is paid by a voucher.
    window_ticks: Option<u32>,
    state: Mutex<State>,
    /// A gateway and the asset's till that it asks to be paid into.
    payee: OnceLock<(Address, Address)>,
}

impl<'c> Payer<'c> {
    /// A payer that signs with `account` for calls of `asset`.
    #[must_use]
    pub fn new(
        client: &'c Client,
        account: Account,
        asset: AssetId,
        budget: Budget,
        http: http::Client,
    ) -> Self {
        Self {
            client,
            account,
            asset,
            budget,
            http,
            window_ticks: None,
            state: Mutex::default(),
            payee: OnceLock::new(),
        }
    }

    /// Pays by windows of up to so many ticks, 1 to 1024: one signature for all of them, for a payer that trusts the
    /// gateway with as many calls. A call of several units is paid by a voucher all the same. They have a channel of
    /// their own, of which [`Payer::refund`] then has back what is left.
    #[must_use]
    pub fn in_windows(mut self, ticks: u32) -> Self {
        self.window_ticks = Some(ticks);
        self
    }

    /// Sends a request and pays for it if that is asked for. One call at a time.
    ///
    /// # Errors
    /// See [`SpendError`]. A call that failed may be repeated.
    pub async fn call(&self, request: Request) -> Result<PaidAnswer, SpendError> {
        let state = &mut *self.state.lock().await;
        let known = state.asked.take().filter(|(url, _)| url == request.url()).map(|(_, required)| required);
        let mut known = known.filter(|_| state.open.is_some());
        if let Some(ticks) = self.window_ticks {
            match self.by_tick(&mut state.ticking, &request, ticks).await? {
                ByTick::Answered(answer) => return Ok(answer),
                ByTick::Otherwise(required) => known = Some(*required),
            }
        }
        let mut required = match known {
            Some(required) => required,
            None => {
                let response = self.send(&request, None).await?;
                if response.status() != http::StatusCode::PAYMENT_REQUIRED {
                    let (charged, deposited) = (Amount::ZERO, Amount::ZERO);
                    return Ok(PaidAnswer { response, charged, deposited, channel: None });
                }
                asked(&response)?
            }
        };
        let mut corrections = 0;
        loop {
            let way = self.way(&required)?.clone();
            let open = self.open(&mut state.open, self.config(&way, B256::ZERO)?).await?;
            let paid = self.pay(open, &way).await?;
            let payment = payment(&required, way, &paid.payload);
            let response = self.send(&request, Some((PAYMENT_SIGNATURE, &payment))).await?;
            let receipt = response.headers().get(PAYMENT_RESPONSE).map(|header| header.as_bytes().to_vec());
            if let Some(receipt) = receipt {
                let receipt: SettleResponse = decode(&receipt, "a receipt")?;
                let charged = self.settled(open, &paid, &receipt).await?;
                let channel = Some(open.purse.channel_id());
                state.asked = Some((request.url().clone(), required));
                return Ok(PaidAnswer { response, charged, deposited: paid.deposited, channel });
            }
            if response.status() != http::StatusCode::PAYMENT_REQUIRED {
                // Not served and not charged; the voucher serves the next call, and so does a deposit that was not carried out.
                if paid.deposited > Amount::ZERO {
                    open.purse.confirm(self.client.escrow(open.purse.channel_id()).await?);
                }
                return Ok(PaidAnswer {
                    response,
                    charged: Amount::ZERO,
                    deposited: Amount::ZERO,
                    channel: None,
                });
            }
            let again = asked(&response)?;
            let word = again.error.clone().unwrap_or_default();
            let changed =
                again.accepts.iter().all(|way| !required.accepts.iter().any(|old| way.is_accepted_by(old)));
            corrections += 1;
            if corrections > CORRECTIONS_MAX || !(changed || self.corrected(open, &again).await?) {
                return Err(SpendError::Refused { reason: word, detail: detail_of(response).await });
            }
            required = again;
        }
    }

    /// Has what is left in the channel paid back by the gateway, which pays the gas. None when nothing is.
    ///
    /// # Errors
    /// See [`SpendError`]; `residual channel close` takes the money back without the gateway.
    pub async fn refund(&self, url: Url) -> Result<Option<(B256, Amount)>, SpendError> {
        let state = &mut *self.state.lock().await;
        let request = Request::new(http::Method::GET, url);
        let response = self.send(&request, None).await?;
        if response.status() != http::StatusCode::PAYMENT_REQUIRED {
            // It serves no such model any more, say.
            return Err(SpendError::NoRefund {
                status: response.status().as_u16(),
                detail: detail_of(response).await,
            });
        }
        let required = asked(&response)?;
        let way = self.way(&required)?.clone();
        let (salt, slot) = match self.window_ticks {
            None => (B256::ZERO, &mut state.open),
            Some(_) => (windows::salt(), state.ticking.doubted()),
        };
        let open = self.open(slot, self.config(&way, salt)?).await?;
        if open.purse.escrow().balance == Amount::ZERO {
            return Ok(None);
        }
        for _ in 0..=CORRECTIONS_MAX {
            let voucher = self.promise_to(open, open.charged)?;
            let payload = Payload::Refund {
                channel_config: open.purse.config().into(),
                voucher: wire(&voucher),
                amount: None,
            };
            let payment = payment(&required, way.clone(), &payload);
            let response = self.send(&request, Some((PAYMENT_SIGNATURE, &payment))).await?;
            if let Some(receipt) = response.headers().get(PAYMENT_RESPONSE) {
                let receipt: SettleResponse = decode(receipt.as_bytes(), "a receipt")?;
                let amount = receipt.amount.and_then(|amount| amount.parse().ok()).unwrap_or_default();
                let channel = open.purse.channel_id();
                *slot = None;
                return Ok(Some((channel, amount)));
            }
            if response.status() != http::StatusCode::PAYMENT_REQUIRED {
                return Err(SpendError::Refused {
                    reason: response.status().to_string(),
                    detail: detail_of(response).await,
                });
            }
            let again = asked(&response)?;
            if again.error.as_deref() == Some(reason::REFUND_NOTHING) {
                return Ok(None);
            }
            if !self.corrected(open, &again).await? {
                let reason = again.error.unwrap_or_default();
                return Err(SpendError::Refused { reason, detail: detail_of(response).await });
            }
        }
        Err(SpendError::Refused {
            reason: reason::CUMULATIVE_MISMATCH.to_owned(),
            detail: "again and again".to_owned(),
        })
    }

    /// Sends the request, with what pays for it under the name of its header.
    async fn send(
        &self,
        request: &Request,
        payment: Option<(&'static str, &str)>,
    ) -> Result<Response, SpendError> {
        let mut request = request.try_clone().ok_or(SpendError::Stream)?;
        if let Some((header, payment)) = payment {
            let value = http::HeaderValue::from_str(payment).expect("base64 and ticks are header values");
            request.headers_mut().insert(header, value);
        }
        let host = request.url().host_str().unwrap_or_default().to_owned();
        self.http.execute(request).await.map_err(|source| SpendError::Http { host, source })
    }

    /// The way to pay that is known here, if it leads to the asset and within the budget for a call.
    fn way<'a>(&self, required: &'a PaymentRequired) -> Result<&'a PaymentRequirements, SpendError> {
        let (token, network) = (self.client.currency().token, Network(self.client.chain().id()));
        let known = |way: &&PaymentRequirements| {
            (way.scheme.as_str(), way.asset, way.network) == (batch::SCHEME, token, network)
        };
        let Some(way) = required.accepts.iter().find(known) else {
            let listed = required.accepts.iter().map(|way| format!("{} on {}", way.scheme, way.network));
            let found = listed.collect::<Vec<_>>().join(", ").chars().take(200).collect();
            return Err(SpendError::NoWay { token, network, found });
        };
        // The asset's own till, or one of the gateway as its operator: both are swept to the asset. Which part the operator's
        // is of is found by trying all, so once is enough.
        let payee = (batch_extra(way)?.receiver_authorizer, way.pay_to);
        if self.payee.get() != Some(&payee) {
            if self.client.inference_till_at(self.asset, payee.0, payee.1).is_none() {
                let till = Till::own(self.asset, residual_primitives::RevenueKind::Inference);
                let expected = self.client.till_address(&till);
                return Err(SpendError::OtherPayee { asset: self.asset, expected, found: way.pay_to });
            }
            let _ = self.payee.set(payee);
        }
        if way.amount > self.budget.per_call {
            return Err(SpendError::TooDear { allowed: self.budget.per_call, price: way.amount });
        }
        Ok(way)
    }

    /// The channel of this configuration: the one in use, or the one that all calls of this payer share.
    async fn open<'a>(
        &self,
        slot: &'a mut Option<Open>,
        config: ChannelConfig,
    ) -> Result<&'a mut Open, SpendError> {
        let same = |open: &Open| open.purse.config() == &config;
        if !slot.as_ref().is_some_and(same) {
            let record = ChannelRecord { asset: self.asset, config };
            let channel = self.client.keep_channel(&record)?;
            let purse = self.client.purse(channel).await?;
            let charged = purse.promised();
            let elsewhere = self.held_elsewhere(channel).await?;
            *slot = Some(Open { purse, charged, elsewhere });
        }
        Ok(slot.as_mut().expect("it was opened"))
    }

    /// What the payer's other channels of the asset hold, or will when a deposit that was signed is carried out.
    async fn held_elsewhere(&self, channel: B256) -> Result<Amount, SpendError> {
        let mut held = Amount::ZERO;
        for row in self.client.channel_rows().await? {
            if row.asset == self.asset && row.payer == self.account.address() && row.channel != channel {
                held = [held, row.balance].into_iter().sum();
                let ahead = self.client.home().read::<SignedAhead>(&spending(row.channel))?;
                let token = self.client.currency().token;
                if let Some(ahead) = ahead
                    && !self.is_over(&ahead, row.channel, token).await?
                {
                    held = [held, ahead.amount].into_iter().sum();
                }
            }
        }
        Ok(held)
    }

    /// The channel that the gateway asks for, with this salt. That of vouchers is zero, as stock clients have it: a restart
    /// finds it again, and so does any other program of the payer.
    fn config(&self, way: &PaymentRequirements, salt: B256) -> Result<ChannelConfig, SpendError> {
        let extra = batch_extra(way)?;
        if extra.withdraw_delay > WITHDRAW_DELAY_MAX_S {
            return Err(SpendError::Delay { found: extra.withdraw_delay });
        }
        let payer = self.account.address();
        Ok(ChannelConfig {
            payer,
            payerAuthorizer: payer,
            receiver: way.pay_to,
            receiverAuthorizer: extra.receiver_authorizer,
            token: way.asset,
            withdrawDelay: alloy_primitives::Uint::saturating_from(extra.withdraw_delay),
            salt,
        })
    }

    /// Signs for one call, with a deposit when the channel holds too little.
    async fn pay(&self, open: &mut Open, way: &PaymentRequirements) -> Result<Signed, SpendError> {
        let share = open.share(self.budget.total);
        let total = open.charged.checked_add(way.amount).filter(|total| *total <= share);
        let total = total.ok_or(SpendError::Budget {
            what: "all that is promised in the channel",
            budget: share,
            needed: Amount(open.charged.0.saturating_add(way.amount.0)),
        })?;
        let mut deposited = Amount::ZERO;
        let mut deposit = None;
        if total > open.purse.escrow().covers() {
            // What is known may be old.
            let channel = open.purse.channel_id();
            open.purse.confirm(self.client.escrow(channel).await?);
            if total > open.purse.escrow().covers() {
                let signed = self.deposit(open, way, total).await?;
                deposited = signed.amount;
                deposit = Some(signed);
            }
        }
        let voucher = self.promise_to(open, total)?;
        let (channel_config, voucher) = (open.purse.config().into(), wire(&voucher));
        let payload = match deposit {
            None => Payload::Voucher { channel_config, voucher },
            Some(SignedAhead { amount, valid_before_s, salt, signature }) => Payload::Deposit {
                channel_config,
                voucher,
                deposit: Deposit {
                    amount,
                    authorization: DepositConsent {
                        erc3009_authorization: Some(DepositAuthorization {
                            valid_after: 0,
                            valid_before: valid_before_s,
                            salt,
                            signature,
                        }),
                    },
                },
            },
        };
        Ok(Signed { payload, total, deposited })
    }

    /// Signs a deposit, or takes the one that was signed before and may still be carried out, so that no two ever stand.
    async fn deposit(
        &self,
        open: &mut Open,
        way: &PaymentRequirements,
        total: Amount,
    ) -> Result<SignedAhead, SpendError> {
        let channel = open.purse.channel_id();
        let place = spending(channel);
        let escrow = *open.purse.escrow();
        let ahead = self.client.home().read::<SignedAhead>(&place)?;
        let signed = match ahead {
            Some(ahead) if !self.is_over(&ahead, channel, way.asset).await? => {
                if now_s() + DEPOSIT_MARGIN_S > ahead.valid_before_s {
                    let reason = "a deposit that was signed before may still be carried out".to_owned();
                    let detail = format!("repeat the call after {} (UNIX seconds)", ahead.valid_before_s);
                    return Err(SpendError::Refused { reason, detail });
                }
                ahead
            }
            _ => {
                // Another channel may have got something since this one was opened.
                open.elsewhere = self.held_elsewhere(channel).await?;
                let missing = Amount(total.0.saturating_sub(escrow.covers().0));
                let least = batch_extra(way)?.min_deposit.max(missing);
                let share = open.share(self.budget.total);
                let room = Amount(share.0.saturating_sub(escrow.balance.0));
                if least > room {
                    return Err(SpendError::Budget {
                        what: "all that is deposited in the channel",
                        budget: share,
                        needed: Amount(escrow.balance.0.saturating_add(least.0)),
                    });
                }
                let valid_for_s = way.max_timeout_seconds.min(DEPOSIT_VALID_MAX_S);
                let config = open.purse.config().clone();
                let signed = self.client.sign_deposit(&self.account, &config, least, valid_for_s).await?;
                let ahead = SignedAhead {
                    amount: signed.amount,
                    valid_before_s: signed.valid_before_s,
                    salt: signed.salt,
                    signature: signed.signature,
                };
                self.client.home().write(&place, &ahead)?;
                ahead
            }
        };
        // The payer's own deposit: what it is for may be promised with it.
        let balance = Amount(escrow.balance.0.saturating_add(signed.amount.0));
        open.purse.confirm(residual_meter::Escrow { balance, ..escrow });
        Ok(signed)
    }

    /// Whether a signed deposit was carried out, or never will be.
    async fn is_over(&self, ahead: &SignedAhead, channel: B256, token: Address) -> Result<bool, SpendError> {
        let nonce = alloy_primitives::keccak256((channel, ahead.salt).abi_encode());
        let call = TestUSD::authorizationStateCall { authorizer: self.account.address(), nonce };
        let used = self.client.call(token, &call).await?;
        Ok(used
            || self.client.chain().head().await.map_err(LedgerError::from)?.timestamp_s
                >= ahead.valid_before_s)
    }

    fn promise_to(&self, open: &mut Open, total: Amount) -> Result<SignedVoucher, SpendError> {
        let sign =
            |digest: &B256| Ok::<_, std::convert::Infallible>(self.account.sign_hash(*digest).as_bytes());
        Ok(open.purse.promise_to(total, sign)?)
    }

    /// Takes over what the gateway says it charged.
    async fn settled(
        &self,
        open: &mut Open,
        paid: &Signed,
        receipt: &SettleResponse,
    ) -> Result<Amount, SpendError> {
        let extra = serde_json::from_value::<batch::SettleExtra>(receipt.extra.clone().into());
        let extra = extra.map_err(|source| HeaderError::Json { what: "a channel's state", source })?;
        let now = extra.channel_state.charged_cumulative_amount.unwrap_or(paid.total);
        if !receipt.success || now > paid.total {
            return Err(SpendError::Dishonest { charged: now, promised: paid.total });
        }
        let charged = Amount(now.0.saturating_sub(open.charged.0));
        open.charged = now;
        if paid.deposited > Amount::ZERO {
            let channel = open.purse.channel_id();
            open.purse.confirm(self.client.escrow(channel).await?);
        }
        Ok(charged)
    }

    /// Takes over where the gateway says the channel stands, if the payer's own signature proves it; whether there is
    /// something to be tried again.
    async fn corrected(&self, open: &mut Open, again: &PaymentRequired) -> Result<bool, SpendError> {
        let word = again.error.as_deref().unwrap_or_default();
        if word != reason::CUMULATIVE_MISMATCH && word != reason::BELOW_CLAIMED {
            return Ok(false);
        }
        let channel = open.purse.channel_id();
        open.purse.confirm(self.client.escrow(channel).await?);
        let way = self.way(again)?;
        let said = |name: &str| way.extra.get(name).cloned().unwrap_or_default();
        let state = serde_json::from_value::<ChannelState>(said("channelState")).ok();
        let voucher = serde_json::from_value::<VoucherState>(said("voucherState")).ok();
        let claimed = open.purse.escrow().total_claimed;
        let charged = state.and_then(|state| state.charged_cumulative_amount).unwrap_or(claimed);
        let proven = voucher.filter(|voucher| self.has_signed(channel, voucher));
        let proven = proven.map_or(claimed, |voucher| voucher.signed_max_claimable);
        if charged > proven.max(claimed) || charged < claimed {
            return Err(SpendError::Dishonest { charged, promised: proven.max(claimed) });
        }
        let news = charged != open.charged;
        open.charged = charged;
        Ok(news)
    }
}

impl Payer<'_> {
    /// Whether a voucher that a gateway shows is the payer's, perhaps of another program.
    fn has_signed(&self, channel: B256, shown: &VoucherState) -> bool {
        let voucher = Voucher { channelId: channel, maxClaimableAmount: shown.signed_max_claimable.0 };
        let channels = self.client.channels();
        SignedVoucher::new(voucher, &shown.signature)
            .is_ok_and(|signed| channels.verify(&signed, self.account.address()).is_ok())
    }
}

/// A call that was signed for.
struct Signed {
    payload: Payload,
    /// The voucher's amount.
    total: Amount,
    deposited: Amount,
}

/// What a 402 asks for.
fn asked(response: &Response) -> Result<PaymentRequired, SpendError> {
    let header = response.headers().get(PAYMENT_REQUIRED).ok_or(SpendError::NoPrice)?;
    Ok(decode(header.as_bytes(), "what is asked for")?)
}

fn batch_extra(way: &PaymentRequirements) -> Result<batch::Extra, SpendError> {
    let extra = serde_json::from_value(way.extra.clone().into());
    Ok(extra.map_err(|source| HeaderError::Json { what: "what batch-settlement asks for", source })?)
}

fn wire(signed: &SignedVoucher) -> WireVoucher {
    WireVoucher {
        channel_id: signed.voucher.channelId,
        max_claimable_amount: signed.max_claimable(),
        signature: Bytes::copy_from_slice(&signed.signature),
    }
}

fn payment(required: &PaymentRequired, accepted: PaymentRequirements, payload: &Payload) -> String {
    encode(&PaymentPayload {
        x402_version: VERSION,
        resource: Some(required.resource.clone()),
        accepted,
        payload: serde_json::to_value(payload).expect("the types on the wire are JSON"),
        extensions: (!required.extensions.is_empty()).then(|| required.extensions.clone()),
    })
}

/// Where a deposit of a channel is written down that was signed and may be carried out.
fn spending(channel: B256) -> String {
    format!("spending/{channel}.json")
}

/// The gateway's words of a refusal, cut.
async fn detail_of(response: Response) -> String {
    refusal_of(response).await.1
}

/// The kind of a refusal, `urn:residual:problem:` left out, and the gateway's words for it; both cut.
async fn refusal_of(response: Response) -> (String, String) {
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "type", default)]
        kind: String,
        detail: String,
    }
    let body = http::body(response, PROBLEM_BYTES_MAX).await.ok();
    let said = body.and_then(|body| serde_json::from_slice::<Said>(&body).ok());
    let Some(Said { kind, detail }) = said else { return (String::new(), "it gave no reason".to_owned()) };
    let word = kind.strip_prefix("urn:residual:problem:").unwrap_or(&kind);
    (word.chars().take(80).collect(), detail.chars().take(500).collect())
}
