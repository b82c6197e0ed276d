//! The scheme `batch-settlement`: vouchers on prepaid channels, deposits into them, and what is left given back.

use axum::body::Bytes;
use residual_client::{ChannelView, Deposited, LedgerError, SignedDeposit, Sponsored, now_s};
use residual_meter::{ChannelState as Metered, Charge, ChargeError, CommitError, SignedVoucher};
use residual_primitives::{Amount, B256, signed::ChannelConfig};
use residual_x402::{
    PaymentPayload, SettleResponse,
    batch::{self, ChannelState, Deposit, Payload, VoucherState, WireVoucher, reason},
};
use tokio::sync::OwnedMutexGuard;

use super::{Call, Outcome, Refusal, confirmed, request_id, shop::refused, sponsor};
use crate::{App, problem::Problem};

/// What is said to whom waited for a channel's turn in vain.
pub(super) const BUSY: &str =
    "another request of this channel is still being served; send one at a time, or open another";

/// A channel whose turn it is.
pub(super) struct Channel<'a> {
    pub(super) app: &'a App,
    call: &'a Call,
    pub(super) config: ChannelConfig,
    pub(super) id: B256,
    /// Whether the payer gave the payment a name of its own.
    named: bool,
    view: OwnedMutexGuard<Option<ChannelView>>,
}

/// Serves what a voucher pays for, or gives back what is left.
pub(super) async fn serve<T>(
    app: &App,
    call: &Call,
    payment: &PaymentPayload,
    name: Option<B256>,
    work: impl Future<Output = Result<T, Problem>> + Send,
) -> Result<Outcome<T>, Refusal> {
    let payload = payment.batch().map_err(|error| app.shop.unpaid(call, reason::PAYLOAD, error))?;
    let config = ChannelConfig::from(payload.config());
    let (mut channel, signed) = Channel::take(app, call, config, payload.voucher(), name.is_some()).await?;
    let mut deposited = None;
    match &payload {
        Payload::Refund { amount, .. } => {
            return channel.refund(&signed, *amount).await.map(Outcome::Refunded);
        }
        Payload::Deposit { deposit, .. } => deposited = channel.deposit(deposit, &signed, call.price).await?,
        Payload::Voucher { .. } => channel.open().await?,
    }
    let charge = Charge {
        request_id: request_id(
            name,
            &[channel.id.as_slice(), &signed.voucher.maxClaimableAmount.to_be_bytes()],
        ),
        request_digest: call.digest,
        receiver: call.receiver,
        token: app.shop.token(),
        amount: call.price,
        units: call.units,
        at_s: now_s(),
    };
    channel.check(&signed, &charge).await?;
    let answer = work.await?;
    let charged = match app.meter.submit(&signed, &charge) {
        Ok(pending) => pending.await.map_err(|error| channel.refusal(error.into()))?,
        Err(error) => return Err(channel.refusal(error)),
    };
    let (transaction, amount) = deposited
        .map_or_else(Default::default, |(transaction, amount): (B256, Amount)| {
            (transaction.to_string(), amount.to_string())
        });
    let extra = batch::SettleExtra {
        channel_state: channel.state(charged.charged_total),
        charged_amount: Some(charged.amount),
    };
    Ok(Outcome::Served(answer, channel.settled(transaction, amount, &extra)))
}

impl<'a> Channel<'a> {
    /// Waits for the channel's turn, if it is one that was asked for and the voucher is signed by who signs its vouchers.
    pub(super) async fn take(
        app: &'a App,
        call: &'a Call,
        config: ChannelConfig,
        voucher: &WireVoucher,
        named: bool,
    ) -> Result<(Self, SignedVoucher), Refusal> {
        app.shop
            .check_channel(call, &config)
            .map_err(|(word, detail)| app.shop.unpaid(call, word, detail))?;
        let id = app.client.channels().channel_id(&config);
        if id != voucher.channel_id {
            let found = voucher.channel_id;
            let detail = format!(
                "expected a voucher on {id}, the channel of this configuration, found one on {found}"
            );
            return Err(app.shop.unpaid(call, reason::CHANNEL_ID, detail));
        }
        // Whoever does not sign the channel's vouchers neither takes its turn nor makes the ledger be asked.
        let forged = |error| app.shop.unpaid(call, reason::SIGNATURE, error);
        let signed = SignedVoucher::new(voucher.voucher(), &voucher.signature).map_err(forged)?;
        app.meter.verify(&signed, config.payerAuthorizer).map_err(forged)?;
        let channel = Self::sit(app, call, config, id, named).await;
        Ok((channel.ok_or_else(|| app.shop.unpaid(call, reason::BUSY, BUSY))?, signed))
    }

    /// Waits for the turn of a channel, which the caller has shown to be theirs; none when it does not come in time.
    pub(super) async fn sit(
        app: &'a App,
        call: &'a Call,
        config: ChannelConfig,
        id: B256,
        named: bool,
    ) -> Option<Self> {
        let seat = app.seats.of(id).lock_owned();
        let view = tokio::time::timeout(app.shop.timeout(), seat).await.ok()?;
        Some(Self { app, call, config, id, named, view })
    }

    pub(super) fn unpaid(&self, word: &str, detail: impl ToString) -> Refusal {
        self.app.shop.unpaid(self.call, word, detail)
    }

    /// Makes the channel known to the meter as the ledger has confirmed it, unless it is already.
    pub(super) async fn open(&mut self) -> Result<(), Refusal> {
        let reconciled = |state: Metered| state.escrow.is_some();
        if self.view.is_some() && self.app.meter.channel(self.id).is_some_and(reconciled) {
            return Ok(());
        }
        self.refresh().await
    }

    /// The channel as the meter has it. It may have been forgotten since it was opened, when a segment began.
    pub(super) fn metered(&self) -> Result<Metered, Refusal> {
        let detail = "the channel was put away a moment ago; send the request again";
        self.app.meter.channel(self.id).ok_or_else(|| self.unpaid(reason::UNAVAILABLE, detail))
    }

    /// Reads the channel again.
    pub(super) async fn refresh(&mut self) -> Result<(), Refusal> {
        let view = self.app.client.confirmed_channel(self.id).await?;
        if view.escrow.balance == Amount::ZERO {
            let detail =
                "expected a channel with a deposit that the ledger has confirmed, found none; deposit first";
            return Err(self.unpaid(reason::CHANNEL_NOT_FOUND, detail));
        }
        self.app
            .meter
            .open_channel(&self.config, view.escrow)
            .map_err(|error| Problem::unavailable(error, std::time::Duration::from_secs(60)))?;
        *self.view = Some(view);
        Ok(())
    }

    /// Whether the voucher pays for the charge. One that the known escrow does not cover makes the ledger be asked once.
    async fn check(&mut self, signed: &SignedVoucher, charge: &Charge) -> Result<(), Refusal> {
        let mut checked = self.app.meter.check(signed, charge);
        if matches!(checked, Err(ChargeError::BeyondEscrow { .. } | ChargeError::NotReconciled { .. })) {
            self.refresh().await?;
            checked = self.app.meter.check(signed, charge);
        }
        checked.map_err(|error| self.refusal(error))?;
        let state = self.metered()?;
        let (charged, found) = (state.charged, signed.max_claimable());
        let repeated = found <= state.promised;
        if repeated {
            return Ok(self.app.repeats.take(self.id.as_slice(), charge.request_id)?);
        }
        if charged.checked_add(charge.amount) == Some(found) {
            return Ok(());
        }
        let price = charge.amount;
        let detail = format!(
            "expected a voucher of exactly {charged} charged so far and the price {price}, found {found}"
        );
        Err(self.corrected(detail))
    }

    /// The refusal that tells where the channel stands: to whoever signs its vouchers, since nobody else has its turn.
    fn corrected(&self, detail: impl ToString) -> Refusal {
        let Some(state) = self.app.meter.channel(self.id) else {
            return self.unpaid(reason::UNAVAILABLE, detail);
        };
        let voucher = self.app.meter.highest(self.id).map(|highest| VoucherState {
            signed_max_claimable: highest.max_claimable(),
            signature: Bytes::copy_from_slice(&highest.signature).into(),
        });
        self.app.shop.corrected(self.call, detail, self.state(state.charged), voucher)
    }

    pub(super) fn state(&self, charged: Amount) -> ChannelState {
        let view = self.view.unwrap_or_default();
        ChannelState {
            channel_id: self.id,
            balance: view.escrow.balance,
            total_claimed: view.escrow.total_claimed,
            withdraw_requested_at: view.withdraw_requested_at_s.unwrap_or_default(),
            refund_nonce: view.refund_nonce,
            charged_cumulative_amount: Some(charged),
        }
    }

    pub(super) fn settled(
        &self,
        transaction: String,
        amount: String,
        extra: &batch::SettleExtra,
    ) -> SettleResponse {
        SettleResponse {
            success: true,
            error_reason: None,
            error_message: None,
            payer: Some(self.config.payer),
            transaction,
            network: self.app.shop.network(),
            amount: Some(amount),
            extra: batch::fields(extra),
        }
    }

    /// What a refused charge means to the payer.
    fn refusal(&self, error: ChargeError) -> Refusal {
        use std::time::Duration;
        match error {
            ChargeError::NotGrowing { .. } | ChargeError::Uncovered { .. } => self.corrected(error),
            ChargeError::Signature(_) => self.unpaid(reason::SIGNATURE, error),
            ChargeError::BeyondEscrow { .. } => self.unpaid(reason::BEYOND_BALANCE, error),
            ChargeError::Receiver { .. } => self.unpaid(reason::RECEIVER, error),
            ChargeError::Token { .. } => self.unpaid(reason::TOKEN, error),
            ChargeError::RequestReused { .. } if self.named => Problem::conflict(error).into(),
            // The voucher itself was used before: its payer has forgotten where the channel stands.
            ChargeError::RequestReused { .. } => self.corrected(error),
            ChargeError::InsideWindow { .. } => {
                Problem::conflict(error).named("inside-window", "A window is open on the channel").into()
            }
            ChargeError::UnknownChannel(_) | ChargeError::NotReconciled { .. } => {
                self.unpaid(reason::UNAVAILABLE, error)
            }
            // No tick is taken here, and every price is whole.
            ChargeError::Units { .. }
            | ChargeError::NoWindow { .. }
            | ChargeError::WindowPrice { .. }
            | ChargeError::NotNextTick { .. }
            | ChargeError::NotOfTheChain { .. } => Problem::internal(error).into(),
            ChargeError::UnclaimedCap { .. } => Problem::unavailable(error, Duration::from_secs(10)).into(),
            ChargeError::Commit(error) => unrecorded(&error).into(),
        }
    }

    /// Carries a signed deposit to the ledger and waits until that has confirmed it. The transaction and the amount; none
    /// when the same deposit is there already, as after an answer that was lost. The voucher is to pay `price` more.
    pub(super) async fn deposit(
        &mut self,
        deposit: &Deposit,
        signed: &SignedVoucher,
        price: Amount,
    ) -> Result<Option<(B256, Amount)>, Refusal> {
        let Some(consent) = &deposit.authorization.erc3009_authorization else {
            let detail =
                "expected a deposit that is authorized by EIP-3009, found another way; sign one of those";
            return Err(self.unpaid(reason::AUTHORIZATION_REQUIRED, detail));
        };
        let least = self.app.shop.min_deposit(self.call);
        if deposit.amount < least {
            let found = deposit.amount;
            let detail = format!(
                "expected a deposit of at least {least} units, found {found}; deposit that much, or use gas of your own"
            );
            return Err(self.unpaid(reason::DEPOSIT_TOO_SMALL, detail));
        }
        let needed = self.app.shop.validity(now_s());
        if consent.valid_before <= needed.end {
            let detail =
                format!("expected a deposit good beyond {}, found {}", needed.end, consent.valid_before);
            return Err(self.unpaid(reason::VALID_BEFORE, detail));
        }
        if consent.valid_after >= needed.start {
            let detail =
                format!("expected a deposit good before {}, found {}", needed.start, consent.valid_after);
            return Err(self.unpaid(reason::VALID_AFTER, detail));
        }
        // A voucher that would be refused afterwards is refused before the money moves.
        if let Some(known) = self.app.meter.channel(self.id) {
            let (charged, found) = (known.charged, signed.max_claimable());
            if found > known.promised && charged.checked_add(price) != Some(found) {
                let detail =
                    format!("expected a voucher of {charged} charged so far and the price, found {found}");
                return Err(self.corrected(detail));
            }
        }
        let order = SignedDeposit {
            config: self.config.clone(),
            amount: deposit.amount,
            valid_after_s: consent.valid_after,
            valid_before_s: consent.valid_before,
            salt: consent.salt,
            signature: consent.signature.clone(),
        };
        let transaction = match self.carry_deposit(&order).await? {
            Ok(deposited) => {
                confirmed(self.app, deposited.block).await?;
                Some((deposited.transaction, deposit.amount))
            }
            Err(error) => {
                let detail = refused(error)?;
                // Perhaps it was carried out before, and the answer was lost.
                let view = self.app.client.confirmed_channel(self.id).await?;
                if view.escrow.covers() < signed.max_claimable() {
                    return Err(self.unpaid(reason::DEPOSIT_REFUSED, detail));
                }
                None
            }
        };
        self.refresh().await?;
        Ok(transaction)
    }

    /// Counts the gas of a deposit and carries it to the ledger; what the ledger says when that refuses.
    async fn carry_deposit(&self, order: &SignedDeposit) -> Result<Result<Deposited, LedgerError>, Refusal> {
        let (client, account) = (&self.app.client, &self.app.account);
        let what = Sponsored::Deposit(order);
        let gas = match client.sponsored_gas(account, what, sponsor::GAS_MAX).await {
            Ok(gas) => gas,
            Err(error) => return Ok(Err(error)),
        };
        self.app.sponsor.take(self.config.payer, gas)?;
        Ok(client.sponsor_deposit(account, order, gas).await)
    }

    /// Claims what was charged and gives the payer back the rest, or `amount` of it.
    async fn refund(
        &mut self,
        signed: &SignedVoucher,
        amount: Option<Amount>,
    ) -> Result<SettleResponse, Refusal> {
        self.refresh().await?;
        let metered = self.metered()?;
        if signed.max_claimable() != metered.charged {
            let (charged, found) = (metered.charged, signed.max_claimable());
            let detail =
                format!("expected a voucher of exactly {charged}, what was charged so far, found {found}");
            return Err(self.corrected(detail));
        }
        // What waits for its withdrawal goes back by that: given back here too, it would be taken from what was charged.
        let view = self.view.unwrap_or_default();
        let balance = view.escrow.covers();
        let left = Amount(balance.0.saturating_sub(metered.charged.0));
        if left == Amount::ZERO {
            let detail = format!(
                "nothing is left to give back: {} of {balance} units were charged, less what waits for a withdrawal",
                metered.charged
            );
            return Err(self.unpaid(reason::REFUND_NOTHING, detail));
        }
        let wanted = amount.unwrap_or(left);
        // Less than all only if it is worth a transaction.
        let least = left.min(self.app.shop.min_deposit(self.call));
        if wanted < least || wanted > left {
            let detail =
                format!("expected an amount of {least} to {left} units to give back, found {wanted}");
            return Err(self.unpaid(reason::REFUND_AMOUNT, detail));
        }
        let (client, account) = (&self.app.client, &self.app.account);
        let refund = client.sign_refund(account, &self.config, view.refund_nonce, wanted);
        let what = Sponsored::Refund(&refund);
        let gas = match client.sponsored_gas(account, what, sponsor::GAS_MAX).await {
            Ok(gas) => gas,
            Err(error) => return Err(self.refund_failed(error)?),
        };
        self.app.sponsor.take(self.config.payer, gas)?;
        // What was charged stays in the channel, to be claimed when its records are committed to.
        let done = client.refund_channel(account, &refund, gas).await;
        let (done, refunded) = match done {
            Ok(done) => done,
            Err(error) => return Err(self.refund_failed(error)?),
        };
        self.refresh_after(done.block).await?;
        let extra = batch::SettleExtra { channel_state: self.state(metered.charged), charged_amount: None };
        Ok(self.settled(done.transaction.to_string(), refunded.to_string(), &extra))
    }

    /// Takes over what a transaction of ours took out of the channel, before anything else is charged there.
    async fn refresh_after(&mut self, block: u64) -> Result<(), Refusal> {
        // Less at once; whether it stays so is for the finality rule to say, and does no harm meanwhile.
        let view = self.app.client.confirmed_channel(self.id).await?;
        let _ = self.app.meter.reconcile(self.id, view.escrow);
        *self.view = Some(view);
        Ok(confirmed(self.app, block).await?)
    }

    fn refund_failed(&self, error: LedgerError) -> Result<Refusal, Refusal> {
        Ok(self.unpaid(reason::REFUND_FAILED, refused(error)?))
    }
}

/// The log has failed: what the operator is told, and what the payer.
pub(super) fn unrecorded(error: &CommitError) -> Problem {
    tracing::error!(%error, "a charge could not be recorded; restart the gateway once that is repaired");
    Problem::unavailable("charges cannot be recorded here at present", std::time::Duration::from_secs(60))
}
