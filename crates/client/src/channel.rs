//! Prepaid channels: open, top up, promise, close; and, for the gateway, redeem.

use std::collections::BTreeMap;

use alloy_sol_types::{SolEvent, SolValue};
use residual_ledger::{
    Account, LogQuery,
    contracts::{
        CANONICAL_CHANNELS, channels as bound, channels::Channels as ChannelsContract,
        transfer_deposit_collector as collector,
    },
};
use residual_meter::{
    Channels, CommitError, Escrow, Meter, OpenChannelError, OpenMeterError, OpenPurseError, Purse, Rules,
    VoucherClaim, WITHDRAW_DELAYS_S,
};
use residual_primitives::{Address, Amount, AssetId, B256, RevenueKind, signed::ChannelConfig};
use residual_royalty::Till;
use serde::{Deserialize, Serialize};

use crate::{ClaimedRows, Client, EpochError, HomeError, LedgerError, Money, PayError, SweptRow};

/// The most channels that one gateway on this machine keeps open.
const CHANNELS_MAX: usize = 100_000;

/// Why a channel was not opened, topped up, closed or redeemed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Outside what the contract takes.
    #[error("expected a withdraw delay of 900 to 2592000 seconds, found {found}")]
    WithdrawDelay {
        /// What was asked for.
        found: u64,
    },
    /// Not opened from this data directory.
    #[error(
        "expected a channel that was opened from this data directory, found none with id {channel}: `residual channel list` lists them"
    )]
    Unknown {
        /// The id.
        channel: B256,
    },
    /// Somebody else's channel.
    #[error("expected the payer of channel {channel}, {payer}, found {found}: act with the payer's account")]
    NotPayer {
        /// The channel.
        channel: B256,
        /// Who pays.
        payer: Address,
        /// Who acts.
        found: Address,
    },
    /// All of it was promised.
    #[error("nothing is left to take back from channel {channel}: {promised} of {balance} were promised")]
    NothingLeft {
        /// The channel.
        channel: B256,
        /// Promised so far.
        promised: Box<Money>,
        /// Deposited.
        balance: Box<Money>,
    },
    /// The payer's record cannot be used.
    #[error(transparent)]
    Purse(#[from] OpenPurseError),
    /// The gateway's log cannot be used.
    #[error(transparent)]
    Meter(#[from] OpenMeterError),
    /// The gateway's log failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What the claim rests on is not published, so nothing was claimed.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The gateway does not serve such a channel.
    #[error(transparent)]
    Serve(#[from] OpenChannelError),
    /// The money could not be deposited.
    #[error(transparent)]
    Deposit(#[from] PayError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A channel that was opened from this data directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChannelRecord {
    /// The asset that it pays.
    pub asset: AssetId,
    /// Its configuration, which the ledger keeps only the hash of.
    pub config: ChannelConfig,
}

/// A channel and what is in it.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelRow {
    /// Its id.
    pub channel: B256,
    /// The asset that it pays.
    pub asset: AssetId,
    /// Who pays.
    pub payer: Address,
    /// Deposited, less withdrawn.
    pub balance: Amount,
    /// Claimed by the gateway.
    pub claimed: Amount,
    /// Asked back by the payer and not taken yet.
    pub pending_withdrawal: Amount,
}

/// What a final block says of a channel, whoever opened it.
#[derive(Debug, Clone)]
pub struct ChannelOnLedger {
    /// Its configuration; none when it was opened before the marketplace was made.
    pub config: Option<ChannelConfig>,
    /// What is in it.
    pub escrow: Escrow,
    /// The block that says so.
    pub block: u64,
}

/// How far a closing is.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Closing {
    /// The wish is on the ledger; the money comes when the command is repeated after that time.
    Requested {
        /// How much.
        amount: Amount,
        /// From when on, in UNIX seconds.
        ready_at_s: u64,
    },
    /// The money is back.
    Returned {
        /// How much.
        amount: Amount,
    },
}

/// What redeeming brought.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Redeemed {
    /// Channels whose vouchers were claimed.
    pub channels: usize,
    /// Transactions that claimed them.
    pub batches: usize,
    /// What was claimed, in the currency's smallest unit.
    pub claimed: Amount,
    /// What came into the asset's revenue.
    pub swept: Vec<SweptRow>,
}

pub(crate) fn on_ledger(config: &ChannelConfig) -> bound::IChannels::ChannelConfig {
    bound::IChannels::ChannelConfig {
        payer: config.payer,
        payerAuthorizer: config.payerAuthorizer,
        receiver: config.receiver,
        receiverAuthorizer: config.receiverAuthorizer,
        token: config.token,
        withdrawDelay: config.withdrawDelay,
        salt: config.salt,
    }
}

fn of_ledger(config: &bound::IChannels::ChannelConfig) -> ChannelConfig {
    ChannelConfig {
        payer: config.payer,
        payerAuthorizer: config.payerAuthorizer,
        receiver: config.receiver,
        receiverAuthorizer: config.receiverAuthorizer,
        token: config.token,
        withdrawDelay: config.withdrawDelay,
        salt: config.salt,
    }
}

pub(crate) fn claim_on_ledger(claim: &VoucherClaim) -> bound::IChannels::VoucherClaim {
    bound::IChannels::VoucherClaim {
        voucher: bound::IChannels::Voucher {
            channel: on_ledger(&claim.config),
            maxClaimableAmount: claim.signed.max_claimable().0,
        },
        signature: claim.signed.signature.to_vec().into(),
        totalClaimed: claim.total_claimed.0,
    }
}

impl Client {
    /// The channels' contract on this chain.
    #[must_use]
    pub fn channels(&self) -> Channels {
        Channels::new(self.chain().id(), CANONICAL_CHANNELS)
    }

    /// Opens a channel from the payer to the asset's inference till and deposits `amount` into it.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn open_channel(
        &self,
        payer: &Account,
        asset: AssetId,
        gateway: Address,
        amount: Amount,
        withdraw_delay_s: u64,
    ) -> Result<ChannelRow, ChannelError> {
        let delay = withdraw_delay_s.to_be_bytes();
        let parts: [&[u8]; 4] = [&asset.to_be_bytes(), gateway.as_slice(), &amount.0.to_be_bytes(), &delay];
        let operation = self.operation(payer, "open-channel", &parts).await?;
        // The salt is the intent of this very command: repeated after an interruption it names the same channel.
        let config = self.channel_config(payer, asset, gateway, withdraw_delay_s, operation.intent()).await?;
        let channel = self.keep_channel(&ChannelRecord { asset, config: config.clone() })?;
        self.deposit(payer, &config, amount, operation).await?;
        self.channel(channel).await
    }

    /// The configuration of a channel from the payer to the asset's inference till.
    pub(crate) async fn channel_config(
        &self,
        payer: &Account,
        asset: AssetId,
        gateway: Address,
        withdraw_delay_s: u64,
        salt: B256,
    ) -> Result<ChannelConfig, ChannelError> {
        if !WITHDRAW_DELAYS_S.contains(&withdraw_delay_s) {
            return Err(ChannelError::WithdrawDelay { found: withdraw_delay_s });
        }
        self.asset_row(asset).await?;
        Ok(ChannelConfig {
            payer: payer.address(),
            payerAuthorizer: payer.address(),
            receiver: self.till(asset, RevenueKind::Inference).await?,
            receiverAuthorizer: gateway,
            token: self.currency().token,
            withdrawDelay: alloy_primitives::Uint::from(withdraw_delay_s),
            salt,
        })
    }

    /// Writes a channel down before money moves into it, since nobody finds it again without its configuration.
    pub(crate) fn keep_channel(&self, record: &ChannelRecord) -> Result<B256, ChannelError> {
        let channel = self.channels().channel_id(&record.config);
        self.home().write(&format!("channels/{channel}.json"), record)?;
        Ok(channel)
    }

    /// Deposits more into a channel.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn top_up(
        &self,
        payer: &Account,
        channel: B256,
        amount: Amount,
    ) -> Result<ChannelRow, ChannelError> {
        let config = self.own_channel(payer, channel)?;
        let parts: [&[u8]; 2] = [channel.as_slice(), &amount.0.to_be_bytes()];
        let operation = self.operation(payer, "top-up", &parts).await?;
        self.deposit(payer, &config, amount, operation).await?;
        self.channel(channel).await
    }

    async fn deposit(
        &self,
        payer: &Account,
        config: &ChannelConfig,
        amount: Amount,
        mut operation: crate::operation::Operation<'_>,
    ) -> Result<(), ChannelError> {
        let collector_at = self.suite().transfer_collector;
        if !operation.interrupted() {
            self.allow(payer, config.token, collector_at, amount).await?;
        }
        let config = collector::IChannels::ChannelConfig::abi_decode(&on_ledger(config).abi_encode())
            .map_err(|_| LedgerError::unexpected("the form of a channel's configuration"))?;
        let call = collector::TransferDepositCollector::depositCall { config, amount: amount.0 };
        operation.send(collector_at, &call).await?;
        Ok(())
    }

    /// The configuration of a channel whose payer acts.
    pub(crate) fn own_channel(&self, payer: &Account, channel: B256) -> Result<ChannelConfig, ChannelError> {
        let config = self.channel_record(channel)?.config;
        let found = payer.address();
        if config.payer == found {
            Ok(config)
        } else {
            Err(ChannelError::NotPayer { channel, payer: config.payer, found })
        }
    }

    pub(crate) fn channel_record(&self, channel: B256) -> Result<ChannelRecord, ChannelError> {
        self.home().read(&format!("channels/{channel}.json"))?.ok_or(ChannelError::Unknown { channel })
    }

    /// One channel that was opened from this data directory.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn channel(&self, channel: B256) -> Result<ChannelRow, ChannelError> {
        let record = self.channel_record(channel)?;
        let escrow = self.escrow(channel).await?;
        Ok(ChannelRow {
            channel,
            asset: record.asset,
            payer: record.config.payer,
            balance: escrow.balance,
            claimed: escrow.total_claimed,
            pending_withdrawal: escrow.pending_withdrawal,
        })
    }

    /// All channels that were opened from this data directory.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn channel_rows(&self) -> Result<Vec<ChannelRow>, ChannelError> {
        let mut rows = Vec::new();
        for (_, record) in self.home().list::<ChannelRecord>("channels")? {
            rows.push(self.channel(self.channels().channel_id(&record.config)).await?);
        }
        Ok(rows)
    }

    /// What the newest block says of a channel: for its payer, who knows what is on the way.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn escrow(&self, channel: B256) -> Result<Escrow, LedgerError> {
        Ok(self.channel_at(channel, self.chain().head().await?.number).await?.escrow)
    }

    /// What a final block says of a channel, with the configuration that it was opened with; none when there never was
    /// such a channel.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn channel_on_ledger(&self, channel: B256) -> Result<Option<ChannelOnLedger>, LedgerError> {
        let block = self.chain().final_head().await?.number;
        let query = LogQuery {
            events: vec![ChannelsContract::ChannelCreated::SIGNATURE_HASH],
            indexed: [vec![channel], Vec::new(), Vec::new()],
            ..LogQuery::of([CANONICAL_CHANNELS])
        };
        let logs = self.logs_to(query, block).await?;
        let created = logs.first().and_then(crate::decode::<ChannelsContract::ChannelCreated>);
        let config = created.map(|created| of_ledger(&created.config));
        if config.as_ref().is_some_and(|config| self.channels().channel_id(config) != channel) {
            return Err(LedgerError::unexpected("a channel of another id"));
        }
        let escrow = self.channel_at(channel, block).await?.escrow;
        let known = config.is_some() || escrow != Escrow::default();
        Ok(known.then_some(ChannelOnLedger { config, escrow, block }))
    }

    /// The payer's end of a channel.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn purse(&self, channel: B256) -> Result<Purse, ChannelError> {
        let config = self.channel_record(channel)?.config;
        let escrow = self.escrow(channel).await?;
        Ok(Purse::open(&self.home().dir("purses")?, self.channels(), config, escrow)?)
    }

    /// The gateway's end of all its channels. What this data directory knows of is opened and reconciled.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn meter(&self, gateway: Address, unclaimed_cap: Amount) -> Result<Meter, ChannelError> {
        let rules = Rules {
            receiver_authorizer: gateway,
            unclaimed_caps: [(self.currency().token, unclaimed_cap)].into(),
            min_withdraw_delay_s: *WITHDRAW_DELAYS_S.start(),
            max_channels: CHANNELS_MAX,
        };
        let meter = Meter::open(&self.home().dir(&format!("meter/{gateway}"))?, self.channels(), rules)?;
        for (_, record) in self.home().list::<ChannelRecord>("channels")? {
            if record.config.receiverAuthorizer == gateway {
                let view = self.confirmed_channel(self.channels().channel_id(&record.config)).await?;
                meter.open_channel(&record.config, view.escrow)?;
            }
        }
        Ok(meter)
    }

    /// Claims what the meter holds vouchers for, settles it into the asset's tills, the gateway's as its operator too, and
    /// sweeps those. What was used is published and committed to before (AUD-1).
    ///
    /// Repeating it after an interruption goes on where it stopped: a claim of what was claimed is a no-op (CH-1).
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn redeem(
        &self,
        gateway: &Account,
        meter: &Meter,
        asset: AssetId,
    ) -> Result<Redeemed, ChannelError> {
        let mut tills = vec![Till::own(asset, RevenueKind::Inference)];
        let as_operator = self.granted_tills(Some(asset), Some(gateway.address())).await?;
        tills.extend(as_operator.into_iter().filter(|till| till.kind == RevenueKind::Inference));
        let receivers: Vec<Address> = tills.iter().map(|till| self.till_address(till)).collect();
        let mut redeemed = Redeemed::default();
        // Made before the epoch is closed, so that its records cover them.
        let batches = meter.redeemable(Amount(1))?;
        let block = self.chain().head().await.map_err(LedgerError::from)?.number;
        let known = self.inference_tills(block).await?;
        let till_at = |receiver| std::future::ready(Ok(known.get(&receiver).copied()));
        let first = self.pass_committed(gateway.address(), meter).await?;
        self.publish_epochs(gateway, meter, first, true, till_at).await?;
        for batch in batches {
            let batch: Vec<_> =
                batch.into_iter().filter(|claim| receivers.contains(&claim.config.receiver)).collect();
            if batch.is_empty() {
                continue;
            }
            let ClaimedRows { claimed, refused } = self.claim_rows(gateway, &batch).await?;
            if let Some((_, error)) = refused.into_iter().next() {
                return Err(error.into());
            }
            redeemed.batches += 1;
            redeemed.channels += claimed.len();
            redeemed.claimed = batch.iter().map(|claim| claim.raise).chain([redeemed.claimed]).sum();
            for (channel, total) in claimed {
                // The channel is open here, since its vouchers came from here.
                let _ = meter.claimed(channel, total);
            }
        }
        for till in &tills {
            redeemed.swept.extend(self.settle_and_sweep(gateway, till, self.currency().token).await?);
        }
        Ok(redeemed)
    }

    /// The inference tills of all assets up to a block, their own and those of operators, by their addresses.
    pub(crate) async fn inference_tills(&self, block: u64) -> Result<BTreeMap<Address, Till>, LedgerError> {
        let assets = self.registered(0, block).await?.into_iter();
        let own = assets.map(|asset| Till::own(asset, RevenueKind::Inference));
        let operators = self.operators_tills_to(block).await?.into_iter();
        let tills = own.chain(operators.filter(|till| till.kind == RevenueKind::Inference));
        Ok(tills.map(|till| (self.till_address(&till), till)).collect())
    }

    /// Takes back what was never promised, or with `unclaimed` all that was not claimed: the first call asks, one after
    /// the delay receives (CH-2). The gateway may still claim until then, and what was promised it may claim for ever
    /// from what is left.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn close_channel(
        &self,
        payer: &Account,
        channel: B256,
        unclaimed: bool,
    ) -> Result<Closing, ChannelError> {
        let config = self.own_channel(payer, channel)?;
        let delay: u64 = config.withdrawDelay.to();
        let pending = self
            .call(CANONICAL_CHANNELS, &ChannelsContract::pendingWithdrawalsCall { channelId: channel })
            .await?;
        let asked_at: u64 = pending.initiatedAt.to();
        if asked_at == 0 {
            let Escrow { balance, total_claimed, .. } = self.escrow(channel).await?;
            let promised = self.purse(channel).await?.promised();
            let left = balance
                .checked_sub(if unclaimed { total_claimed } else { promised })
                .filter(|left| *left > Amount::ZERO);
            let money = |amount| Box::new(self.money(config.token, amount));
            let (promised, balance) = (money(promised), money(balance));
            let amount = left.ok_or(ChannelError::NothingLeft { channel, promised, balance })?;
            let call =
                ChannelsContract::initiateWithdrawCall { config: on_ledger(&config), amount: amount.0 };
            self.send(payer, CANONICAL_CHANNELS, &call).await?;
            return Ok(Closing::Requested { amount, ready_at_s: crate::now_s() + delay });
        }
        let ready_at_s = asked_at + delay;
        if crate::now_s() < ready_at_s {
            return Ok(Closing::Requested { amount: Amount(pending.amount), ready_at_s });
        }
        let call = ChannelsContract::finalizeWithdrawCall { config: on_ledger(&config) };
        let receipt = self.send(payer, CANONICAL_CHANNELS, &call).await?;
        let returned = receipt
            .event::<ChannelsContract::WithdrawFinalized>(CANONICAL_CHANNELS)
            .ok_or_else(|| LedgerError::unexpected("a withdrawal without its event"))?;
        Ok(Closing::Returned { amount: Amount(returned.amount) })
    }

    /// What an ERC-2981 market would send on a sale of a licence at `sale_price`, and where.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn resale_royalty(
        &self,
        licence: residual_primitives::LicenceId,
        sale_price: Amount,
    ) -> Result<(Address, Amount), LedgerError> {
        let call = residual_ledger::contracts::licences::Licences::royaltyInfoCall {
            licenceId: licence.to_u256(),
            salePrice: residual_primitives::U256::from(sale_price.0),
        };
        let royalty = self.call(self.suite().licences, &call).await?;
        Ok((royalty._0, Amount(crate::narrow(royalty._1)?)))
    }
}
