//! What a gateway does on the ledger: takes signed payments there, claims what vouchers promise, gives back what is
//! left, and brings it all into the assets' revenue.
//!
//! Each of it may be repeated after an interruption: deposits and transfers serve once by their own nonces, a claim of
//! what was claimed is a no-op (CH-1), and a settlement or sweep of nothing is skipped.

use alloy_primitives::{Bytes, Signature};
use alloy_sol_types::{SolStruct, SolValue};
use residual_ledger::{
    Account, Transaction,
    contracts::{
        CANONICAL_CHANNELS, CANONICAL_EIP3009_COLLECTOR, channels::Channels as ChannelsContract,
        royalties::Royalties, test_usd::TestUSD,
    },
    token::{TokenDomain, TransferWithAuthorization},
};
use residual_meter::{Escrow, VoucherClaim};
use residual_primitives::{
    Address, Amount, B256, U256,
    signed::{ChannelConfig, Refund, channels_domain},
};
use residual_royalty::Till;

use crate::{
    Client, LedgerError, SweptRow,
    channel::{claim_on_ledger, on_ledger},
};

/// A channel in the state after one block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelView {
    /// What is in it.
    pub escrow: Escrow,
    /// When the payer asked to withdraw, in UNIX seconds; none when nothing is pending.
    pub withdraw_requested_at_s: Option<u64>,
    /// What the next signed refund must name.
    pub refund_nonce: u64,
}

/// A deposit that its payer signed (EIP-3009).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDeposit {
    /// Into which channel.
    pub config: ChannelConfig,
    /// How much.
    pub amount: Amount,
    /// From when on, in UNIX seconds.
    pub valid_after_s: u64,
    /// Until when, in UNIX seconds.
    pub valid_before_s: u64,
    /// Tells deposits apart.
    pub salt: B256,
    /// Over `ReceiveWithAuthorization` to the deposit collector.
    pub signature: Bytes,
}

impl SignedDeposit {
    fn call(&self) -> ChannelsContract::depositCall {
        let consent = (
            U256::from(self.valid_after_s),
            U256::from(self.valid_before_s),
            self.salt,
            self.signature.clone(),
        );
        ChannelsContract::depositCall {
            config: on_ledger(&self.config),
            amount: self.amount.0,
            collector: CANONICAL_EIP3009_COLLECTOR,
            collectorData: consent.abi_encode_params().into(),
        }
    }
}

/// A transfer that its payer signed (EIP-3009).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTransfer {
    /// In which token.
    pub token: Address,
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much.
    pub value: Amount,
    /// From when on, in UNIX seconds.
    pub valid_after_s: u64,
    /// Until when, in UNIX seconds.
    pub valid_before_s: u64,
    /// Serves once.
    pub nonce: B256,
    /// Over `TransferWithAuthorization`: r, s, v.
    pub signature: [u8; 65],
}

impl SignedTransfer {
    /// In the form with v, r and s, which every token of the EIP has.
    fn call(&self) -> TestUSD::transferWithAuthorization_1Call {
        let [r, s] = [0, 32].map(|at| B256::from_slice(&self.signature[at..at + 32]));
        TestUSD::transferWithAuthorization_1Call {
            from: self.from,
            to: self.to,
            value: U256::from(self.value.0),
            validAfter: U256::from(self.valid_after_s),
            validBefore: U256::from(self.valid_before_s),
            nonce: self.nonce,
            v: self.signature[64],
            r,
            s,
        }
    }

    /// Whether its payer's key has signed it, in the domain of its token.
    #[must_use]
    pub fn is_signed(&self, token: &TokenDomain) -> bool {
        let consent = TransferWithAuthorization {
            from: self.from,
            to: self.to,
            value: U256::from(self.value.0),
            validAfter: U256::from(self.valid_after_s),
            validBefore: U256::from(self.valid_before_s),
            nonce: self.nonce,
        };
        let digest = consent.eip712_signing_hash(token.domain());
        let signer = Signature::from_raw_array(&self.signature)
            .and_then(|signature| signature.recover_address_from_prehash(&digest));
        signer.is_ok_and(|signer| signer == self.from)
    }

    /// What names this payment, whoever carries it out: one for each token, payer and nonce.
    #[must_use]
    pub fn id(&self) -> B256 {
        crate::digest_of_parts(&[self.token.as_slice(), self.from.as_slice(), self.nonce.as_slice()])
    }
}

/// What a gateway carries to the ledger for a payer, and pays the gas of.
#[derive(Debug, Clone, Copy)]
pub enum Sponsored<'a> {
    /// Into a channel.
    Deposit(&'a SignedDeposit),
    /// Into a till.
    Transfer(&'a SignedTransfer),
    /// Out of a channel, back to its payer.
    Refund(&'a SignedRefund),
}

impl Sponsored<'_> {
    fn transaction(self) -> Transaction {
        match self {
            Self::Deposit(deposit) => Transaction::call(CANONICAL_CHANNELS, &deposit.call()),
            Self::Transfer(transfer) => Transaction::call(transfer.token, &transfer.call()),
            Self::Refund(refund) => Transaction::call(CANONICAL_CHANNELS, &refund.call()),
        }
    }
}

/// What a gateway gives back of a channel, good for one refund of it, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRefund {
    config: ChannelConfig,
    nonce: u64,
    amount: Amount,
    signature: [u8; 65],
}

impl SignedRefund {
    fn call(&self) -> ChannelsContract::refundWithSignatureCall {
        ChannelsContract::refundWithSignatureCall {
            config: on_ledger(&self.config),
            amount: self.amount.0,
            nonce: U256::from(self.nonce),
            receiverAuthorizerSignature: self.signature.to_vec().into(),
        }
    }
}

/// A deposit as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deposited {
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
}

/// What became of rows to claim.
#[derive(Debug, Default)]
pub struct ClaimedRows {
    /// Claimed: channel and its total now.
    pub claimed: Vec<(B256, Amount)>,
    /// The ledger would not take these, for the reason that follows.
    pub refused: Vec<(B256, LedgerError)>,
}

impl Client {
    /// What a gateway may count on (CH-3): what a final block says that is in a channel, less what newer blocks have
    /// taken out of it, and what they say was claimed.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn confirmed_channel(&self, channel: B256) -> Result<ChannelView, LedgerError> {
        let last = self.chain().final_head().await?.number;
        let newest = self.chain().head().await?.number;
        let confirmed = self.channel_at(channel, last).await?;
        if newest <= last {
            return Ok(confirmed);
        }
        let newer = self.channel_at(channel, newest).await?;
        Ok(ChannelView {
            escrow: Escrow { balance: confirmed.escrow.balance.min(newer.escrow.balance), ..newer.escrow },
            ..newer
        })
    }

    /// A channel in the state after a block.
    pub(crate) async fn channel_at(&self, channel: B256, block: u64) -> Result<ChannelView, LedgerError> {
        let state = ChannelsContract::channelsCall { channelId: channel };
        let pending = ChannelsContract::pendingWithdrawalsCall { channelId: channel };
        let nonce = ChannelsContract::refundNonceCall { channelId: channel };
        let (state, pending, nonce) = tokio::try_join!(
            self.call_at(CANONICAL_CHANNELS, &state, block),
            self.call_at(CANONICAL_CHANNELS, &pending, block),
            self.call_at(CANONICAL_CHANNELS, &nonce, block),
        )?;
        let requested: u64 = pending.initiatedAt.to();
        Ok(ChannelView {
            escrow: Escrow {
                balance: Amount(state.balance),
                total_claimed: Amount(state.totalClaimed),
                pending_withdrawal: Amount(pending.amount),
            },
            withdraw_requested_at_s: (requested != 0).then_some(requested),
            refund_nonce: crate::narrow(nonce)?,
        })
    }

    /// What a gas costs now, in wei, by what this account would pay; what a rollup asks beside it is not in it.
    ///
    /// # Errors
    /// When gas is dearer than the configuration allows, or the ledger cannot be reached.
    pub async fn wei_per_gas(&self, account: &Account) -> Result<u128, LedgerError> {
        Ok(self.sender(account).await?.wei_per_gas().await?)
    }

    /// How much gas the ledger would take for it now, with a margin. `gas_max` is the most that it may take: a payer with
    /// code (ERC-1271, EIP-7702) decides what its signature costs to check.
    ///
    /// # Errors
    /// When the ledger would not take it, it takes more, or the ledger cannot be reached.
    pub async fn sponsored_gas(
        &self,
        gateway: &Account,
        what: Sponsored<'_>,
        gas_max: u64,
    ) -> Result<u64, LedgerError> {
        Ok(self.sender(gateway).await?.estimate(&what.transaction().within(gas_max)).await?)
    }

    /// Carries a signed deposit to the ledger at the gateway's expense, with at most so much gas.
    ///
    /// # Errors
    /// When the ledger refuses, among others because it was carried out before, or cannot be reached.
    pub async fn sponsor_deposit(
        &self,
        gateway: &Account,
        deposit: &SignedDeposit,
        gas_max: u64,
    ) -> Result<Deposited, LedgerError> {
        let transaction = Sponsored::Deposit(deposit).transaction().within(gas_max);
        let receipt = self.sender(gateway).await?.send(&transaction).await?;
        Ok(Deposited { transaction: receipt.transaction_hash, block: receipt.block_number })
    }

    /// Whether the newest block has a signed transfer, or another under its nonce, or that the payer took it back.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn is_spent(&self, transfer: &SignedTransfer) -> Result<bool, LedgerError> {
        let call = TestUSD::authorizationStateCall { authorizer: transfer.from, nonce: transfer.nonce };
        self.call(transfer.token, &call).await
    }

    /// Whether this gateway has carried a signed transfer to the ledger for this intent, or has begun to.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn is_sponsored(&self, gateway: &Account, intent: B256) -> Result<bool, LedgerError> {
        Ok(self.sender(gateway).await?.has_signed(intent)?)
    }

    /// Carries a signed transfer to the ledger at the gateway's expense, with at most so much gas. Repeated for the same
    /// intent, also after a crash, it answers with the same transaction; for another intent the ledger refuses it.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached.
    pub async fn sponsor_transfer(
        &self,
        gateway: &Account,
        intent: B256,
        transfer: &SignedTransfer,
        gas_max: u64,
    ) -> Result<Deposited, LedgerError> {
        let transaction = Sponsored::Transfer(transfer).transaction().within(gas_max);
        let receipt = self.sender(gateway).await?.send_once(intent, &transaction).await?;
        let moved = receipt.events::<TestUSD::Transfer>(transfer.token).any(|moved| {
            (moved.from, moved.to, moved.value) == (transfer.from, transfer.to, U256::from(transfer.value.0))
        });
        if !moved {
            return Err(LedgerError::unexpected("a transfer without its event"));
        }
        Ok(Deposited { transaction: receipt.transaction_hash, block: receipt.block_number })
    }

    /// Waits until the chain's finality rule accepts a block.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn wait_final(&self, block: u64) -> Result<(), LedgerError> {
        while self.chain().final_head().await?.number < block {
            tokio::time::sleep(self.chain().config().poll_interval).await;
        }
        Ok(())
    }

    /// Claims rows in one transaction, after each was tried alone, so that one that the ledger would not take holds up no
    /// other.
    ///
    /// # Errors
    /// When the ledger cannot be reached, or refuses what it accepted a moment ago.
    pub async fn claim_rows(
        &self,
        gateway: &Account,
        rows: &[VoucherClaim],
    ) -> Result<ClaimedRows, LedgerError> {
        let sender = self.sender(gateway).await?;
        let mut outcome = ClaimedRows::default();
        let mut good = Vec::new();
        let head = self.chain().head().await?.number;
        for row in rows {
            let channel = self.channels().channel_id(&row.config);
            // Claimed already, in a block that is not final yet.
            if self.channel_at(channel, head).await?.escrow.total_claimed >= row.total_claimed {
                outcome.claimed.push((channel, row.total_claimed));
                continue;
            }
            let call = ChannelsContract::claimCall { voucherClaims: vec![claim_on_ledger(row)] };
            match sender
                .simulate(&Transaction::call(CANONICAL_CHANNELS, &call))
                .await
                .map_err(LedgerError::from)
            {
                Ok(_) => good.push((channel, row)),
                Err(error) if error.is_refusal() => outcome.refused.push((channel, error)),
                Err(error) => return Err(error),
            }
        }
        if !good.is_empty() {
            let claims = good.iter().map(|(_, row)| claim_on_ledger(row)).collect();
            self.send(gateway, CANONICAL_CHANNELS, &ChannelsContract::claimCall { voucherClaims: claims })
                .await?;
        }
        outcome.claimed.extend(good.into_iter().map(|(channel, row)| (channel, row.total_claimed)));
        Ok(outcome)
    }

    /// Signs that `amount` of a channel of this gateway goes back to its payer, as the refund after `nonce` others.
    #[must_use]
    pub fn sign_refund(
        &self,
        gateway: &Account,
        config: &ChannelConfig,
        nonce: u64,
        amount: Amount,
    ) -> SignedRefund {
        let domain = channels_domain(self.chain().id(), CANONICAL_CHANNELS);
        let channel = config.channel_id(&domain);
        let refund = Refund { channelId: channel, nonce: U256::from(nonce), amount: amount.0 };
        let signature = gateway.sign_typed(&refund, &domain).as_bytes();
        SignedRefund { config: config.clone(), nonce, amount, signature }
    }

    /// Gives the payer of a channel back what the gateway signed, with at most so much gas. What was given back.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached.
    pub async fn refund_channel(
        &self,
        gateway: &Account,
        refund: &SignedRefund,
        gas_max: u64,
    ) -> Result<(Deposited, Amount), LedgerError> {
        let transaction = Sponsored::Refund(refund).transaction().within(gas_max);
        let receipt = self.sender(gateway).await?.send(&transaction).await?;
        let refunded = receipt.event::<ChannelsContract::Refunded>(CANONICAL_CHANNELS);
        let refunded = refunded.map_or(Amount::ZERO, |refunded| Amount(refunded.amount));
        let done = Deposited { transaction: receipt.transaction_hash, block: receipt.block_number };
        Ok((done, refunded))
    }

    /// The address of a till.
    #[must_use]
    pub fn till_address(&self, till: &Till) -> Address {
        till.address(self.contracts())
    }

    /// What settling and sweeping a till would bring: what lies in it, and what was claimed for it.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn waiting_for(&self, till: &Till, token: Address) -> Result<Amount, LedgerError> {
        let receiver = self.till_address(till);
        let settled =
            self.call(CANONICAL_CHANNELS, &ChannelsContract::receiversCall { receiver, token }).await?;
        let claimed = Amount(settled.totalClaimed.saturating_sub(settled.totalSettled));
        let there = self.balance(receiver, token).await?;
        Ok(Amount(there.0.saturating_add(claimed.0)))
    }

    /// Sends what was claimed for a till there, and brings what lies in it into its asset's revenue. Nothing there is no
    /// error and costs nothing.
    ///
    /// # Errors
    /// When the ledger refuses or cannot be reached.
    pub async fn settle_and_sweep(
        &self,
        account: &Account,
        till: &Till,
        token: Address,
    ) -> Result<Option<SweptRow>, LedgerError> {
        let receiver = self.till_address(till);
        let settled =
            self.call(CANONICAL_CHANNELS, &ChannelsContract::receiversCall { receiver, token }).await?;
        if settled.totalClaimed > settled.totalSettled {
            let call = ChannelsContract::settleCall { receiver, token };
            self.send(account, CANONICAL_CHANNELS, &call).await?;
        }
        self.sweep_till(account, till, token).await
    }

    /// Brings what lies in a till into its asset's revenue; none when nothing does.
    pub(crate) async fn sweep_till(
        &self,
        account: &Account,
        till: &Till,
        token: Address,
    ) -> Result<Option<SweptRow>, LedgerError> {
        if self.balance(self.till_address(till), token).await? == Amount::ZERO {
            return Ok(None);
        }
        let call = Royalties::sweepCall {
            assetId: till.asset.to_u256(),
            kind: till.kind as u8,
            operator: till.operator,
            operatorBps: till.operator_bps,
            token,
        };
        let receipt = self.send(account, self.suite().royalties, &call).await?;
        let credited = receipt
            .event::<Royalties::Credited>(self.suite().royalties)
            .ok_or_else(|| LedgerError::unexpected("a sweep without its event"))?;
        let amount = Amount(crate::narrow(credited.gross)?);
        Ok(Some(SweptRow { asset: till.asset, kind: till.kind, token, amount }))
    }
}
