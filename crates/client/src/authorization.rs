//! Payments that are signed and not sent: the payer needs no gas, whoever relays them pays it (EIP-3009).
//!
//! What is signed names the exact purchase or the exact channel in its nonce and can be collected by the contracts alone,
//! so that whoever relays it can do nothing else with it, and nothing twice.

use alloy_primitives::{Bytes, keccak256};
use alloy_sol_types::SolValue;
use residual_ledger::{
    Account, CallError, Receipt,
    contracts::{
        CANONICAL_CHANNELS, CANONICAL_EIP3009_COLLECTOR,
        channels::Channels as ChannelsContract,
        licences::{ILicences, Licences},
        royalties::Royalties,
        test_usd::TestUSD,
    },
    token::{ReceiveWithAuthorization, TokenDomain, TokenError},
};
use residual_primitives::{Address, Amount, AssetId, B256, LicenceId, TermsId, U256, signed::ChannelConfig};
use residual_royalty::Till;
use serde::{Deserialize, Serialize};

use crate::{ChannelError, ChannelRecord, Client, HomeError, LedgerError, LicenseError, PayError};

/// Why a signed payment was not carried out. Nothing was paid.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It was signed for another chain.
    #[error("expected a payment that was signed for chain {expected}, found one for chain {found}")]
    OtherChain {
        /// The chain here.
        expected: u64,
        /// The chain that was signed for.
        found: u64,
    },
    /// Too late.
    #[error(
        "expected a payment that is still valid, found one that ended at {valid_before_s} (UNIX seconds): have it signed again"
    )]
    Expired {
        /// When it ended.
        valid_before_s: u64,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A payment that its payer signed. Anybody may carry it to the ledger, once, before it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The chain.
    pub chain_id: u64,
    /// Who pays.
    pub payer: Address,
    /// In which token.
    pub token: Address,
    /// How much, in its smallest unit.
    pub amount: Amount,
    /// Until when, in UNIX seconds.
    pub valid_before_s: u64,
    /// Tells apart payments that are alike in all else.
    pub salt: B256,
    /// The payer's, packed: r, s, v.
    pub signature: Bytes,
    /// What for.
    pub purpose: Purpose,
}

/// What a signed payment is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Purpose {
    /// A licence of `asset` under `terms` for `recipient`.
    Licence {
        /// The asset.
        asset: AssetId,
        /// The terms.
        terms: TermsId,
        /// Who gets the licence.
        recipient: Address,
    },
    /// A deposit into the channel of this configuration.
    Deposit(ChannelConfig),
}

/// What became of a signed payment.
#[derive(Debug, Clone, Serialize)]
pub struct Relayed {
    /// The transaction.
    pub transaction: B256,
    /// How much was paid, in the token's smallest unit, by the ledger's word.
    pub amount: Amount,
    /// The licence that was bought with it.
    pub licence: Option<LicenceId>,
    /// The channel that it was deposited into.
    pub channel: Option<B256>,
}

impl Client {
    /// Signs the purchase of a licence at the price of now, of at most `max_price`, for whoever relays it.
    ///
    /// # Errors
    /// See [`LicenseError`].
    pub async fn sign_purchase(
        &self,
        buyer: &Account,
        asset: AssetId,
        terms: TermsId,
        recipient: Address,
        max_price: Option<Amount>,
        valid_for_s: u64,
    ) -> Result<Signed, LicenseError> {
        let row = self.offer_at(asset, terms, max_price).await?;
        if row.price == Amount::ZERO {
            return Err(LicenseError::NothingToSign);
        }
        self.check_funds(buyer.address(), row.currency, row.price).await?;
        let salt = B256::new(rand::random());
        let nonce = keccak256((asset.to_u256(), terms.0, recipient, salt).abi_encode());
        let purpose = Purpose::Licence { asset, terms, recipient };
        let payee = self.suite().royalties;
        let payment = Payment { payee, token: row.currency, amount: row.price, salt, nonce, valid_for_s };
        Ok(self.sign(buyer, payment, purpose).await?)
    }

    /// Signs the opening of a channel and a first deposit into it, for whoever relays it. Each signing is another
    /// channel.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn sign_open_channel(
        &self,
        payer: &Account,
        till: &Till,
        gateway: Address,
        amount: Amount,
        withdraw_delay_s: u64,
        valid_for_s: u64,
    ) -> Result<Signed, ChannelError> {
        let salt = B256::new(rand::random());
        let config = self.channel_config(payer, till, gateway, withdraw_delay_s, salt).await?;
        let signed = self.sign_deposit(payer, &config, amount, valid_for_s).await?;
        self.keep_channel(&ChannelRecord { asset: till.asset, config })?;
        Ok(signed)
    }

    /// Signs a deposit into a channel that was opened from this data directory, for whoever relays it.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn sign_top_up(
        &self,
        payer: &Account,
        channel: B256,
        amount: Amount,
        valid_for_s: u64,
    ) -> Result<Signed, ChannelError> {
        let config = self.own_channel(payer, channel)?;
        self.sign_deposit(payer, &config, amount, valid_for_s).await
    }

    pub(crate) async fn sign_deposit(
        &self,
        payer: &Account,
        config: &ChannelConfig,
        amount: Amount,
        valid_for_s: u64,
    ) -> Result<Signed, ChannelError> {
        self.check_funds(payer.address(), config.token, amount).await?;
        let salt = B256::new(rand::random());
        let nonce = keccak256((self.channels().channel_id(config), salt).abi_encode());
        let payee = CANONICAL_EIP3009_COLLECTOR;
        let payment = Payment { payee, token: config.token, amount, salt, nonce, valid_for_s };
        Ok(self.sign(payer, payment, Purpose::Deposit(config.clone())).await?)
    }

    async fn sign(&self, payer: &Account, payment: Payment, purpose: Purpose) -> Result<Signed, PayError> {
        let Payment { payee, token, amount, salt, nonce, valid_for_s } = payment;
        let domain = self.token_domain(token).await?;
        let valid_before_s = crate::now_s().saturating_add(valid_for_s);
        let message = ReceiveWithAuthorization {
            from: payer.address(),
            to: payee,
            value: U256::from(amount.0),
            validAfter: U256::ZERO,
            validBefore: U256::from(valid_before_s),
            nonce,
        };
        let signature = domain.sign(payer, &message).as_bytes().into();
        let (chain_id, payer) = (self.chain().id(), payer.address());
        Ok(Signed { chain_id, payer, token, amount, valid_before_s, salt, signature, purpose })
    }

    /// The domain in which the token takes authorizations.
    async fn token_domain(&self, token: Address) -> Result<TokenDomain, PayError> {
        let none = PayError::NoAuthorizations { token };
        let probe = TestUSD::authorizationStateCall { authorizer: Address::ZERO, nonce: B256::ZERO };
        match self.call(token, &probe).await {
            Ok(_) => {}
            Err(error) if error.is_no_answer() => return Err(none),
            Err(error) => return Err(error.into()),
        }
        match TokenDomain::read(self.chain(), token).await {
            Ok(domain) => Ok(domain),
            Err(TokenError::Call(error)) if matches!(error, CallError::Rpc(_)) => {
                Err(LedgerError::from(error).into())
            }
            Err(_) => Err(none),
        }
    }

    /// Carries a payment that another signed to the ledger and pays the gas. Repeated after an interruption it goes on
    /// where it stopped; a payment that was carried out already is refused by the ledger.
    ///
    /// # Errors
    /// See [`RelayError`].
    pub async fn relay(&self, sender: &Account, signed: &Signed) -> Result<Relayed, RelayError> {
        if signed.chain_id != self.chain().id() {
            return Err(RelayError::OtherChain { expected: self.chain().id(), found: signed.chain_id });
        }
        let parts: [&[u8]; 1] = [&signed.signature];
        let mut operation = self.operation(sender, "relay", &parts).await?;
        if !operation.interrupted() && signed.valid_before_s <= crate::now_s() {
            return Err(RelayError::Expired { valid_before_s: signed.valid_before_s });
        }
        let (valid_after, valid_before) = (U256::ZERO, U256::from(signed.valid_before_s));
        let (receipt, paid, licence, channel): (Receipt, _, _, _) = match &signed.purpose {
            Purpose::Licence { asset, terms, recipient } => {
                let call = Licences::buyWithAuthorizationCall {
                    assetId: asset.to_u256(),
                    termsId: terms.0,
                    recipient: *recipient,
                    salt: signed.salt,
                    authorization: ILicences::Authorization {
                        from: signed.payer,
                        validAfter: valid_after,
                        validBefore: valid_before,
                        signature: signed.signature.clone(),
                    },
                };
                let receipt = operation.send(self.suite().licences, &call).await?;
                let licence = self.bought(&receipt)?.0;
                let credited = receipt.event::<Royalties::Credited>(self.suite().royalties);
                (receipt, credited.map(|credited| credited.gross), Some(licence), None)
            }
            Purpose::Deposit(config) => {
                let data = (valid_after, valid_before, signed.salt, signed.signature.clone());
                let call = ChannelsContract::depositCall {
                    config: config.into(),
                    amount: signed.amount.0,
                    collector: CANONICAL_EIP3009_COLLECTOR,
                    collectorData: data.abi_encode_params().into(),
                };
                let receipt = operation.send(CANONICAL_CHANNELS, &call).await?;
                let deposited = receipt.event::<ChannelsContract::Deposited>(CANONICAL_CHANNELS);
                let paid = deposited.map(|deposited| U256::from(deposited.amount));
                (receipt, paid, None, Some(self.channels().channel_id(config)))
            }
        };
        let paid = paid.ok_or_else(|| LedgerError::unexpected("a payment without its event"))?;
        let amount = Amount(crate::narrow(paid)?);
        Ok(Relayed { transaction: receipt.transaction_hash, amount, licence, channel })
    }
}

/// What a payer is asked to sign.
struct Payment {
    payee: Address,
    token: Address,
    amount: Amount,
    salt: B256,
    nonce: B256,
    valid_for_s: u64,
}
