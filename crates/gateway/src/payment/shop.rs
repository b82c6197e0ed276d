//! What is asked for a call, and the channels that are taken for it.

use std::{ops::Range, sync::Arc};

use residual_client::{Client, LedgerError, TokenDomain, TokenError};
use residual_ledger::Finality;
use residual_meter::{MAX_TICKS, WITHDRAW_DELAYS_S};
use residual_primitives::{Address, Amount, B256, signed::ChannelConfig};
use residual_x402::{
    Network, PaymentRequired, PaymentRequirements, ResourceInfo, TransferMethod, VERSION,
    batch::{self, ChannelState, VoucherState, reason},
    exact, extensions,
};
use serde_json::{Map, Value};

use super::{Refusal, price_of};
use crate::gas::GasPrice;

/// Gas of one signed transfer, rounded up: what a currency such as USDC takes for it.
const TRANSFER_GAS: u64 = 90_000;

/// The rules by which payments are taken.
#[derive(Debug, Clone)]
pub struct PaymentRules {
    /// The withdraw delay of the channels that are asked for, in seconds; at least a day for a public gateway.
    pub withdraw_delay_s: u64,
    /// The least that may be deposited at the gateway's expense, in calls: their gas is to be worth it.
    pub deposit_calls: u32,
    /// For how long a payment that is asked for may be good, in seconds.
    pub timeout_s: u64,
    /// How much gas an hour the gateway gives for one payer's transactions; for those of all together a hundred times as
    /// much.
    pub sponsored_gas_per_hour: u64,
}

impl Default for PaymentRules {
    fn default() -> Self {
        Self {
            withdraw_delay_s: 24 * 60 * 60,
            deposit_calls: 100,
            timeout_s: 120,
            // A hundred deposits, which take some 120,000 each.
            sponsored_gas_per_hour: 12_000_000,
        }
    }
}

/// One call that is to be paid.
#[derive(Debug)]
pub(crate) struct Call {
    /// Where it was made.
    pub(crate) url: String,
    /// What is called, for people.
    pub(crate) description: String,
    /// Its till, which is paid.
    pub(crate) receiver: Address,
    /// What a unit costs.
    pub(crate) unit_price: Amount,
    /// How many it takes.
    pub(crate) units: u32,
    /// What the whole call costs.
    pub(crate) price: Amount,
    /// The id of the terms that the price is of.
    pub(crate) terms: B256,
    /// The hash of all that the answer depends on.
    pub(crate) digest: B256,
    /// What crawlers are told of it.
    pub(crate) discovery: Arc<Value>,
}

/// What all calls of a gateway are asked for.
pub(crate) struct Shop {
    network: Network,
    token: Address,
    domain: TokenDomain,
    name: String,
    version: String,
    gateway: Address,
    /// Whether blocks are taken for good while a caller can wait for it, as `exact` makes them.
    settles_soon: bool,
    rules: PaymentRules,
    gas: Arc<GasPrice>,
}

impl Shop {
    /// A shop that takes the marketplace's currency.
    pub(crate) async fn open(
        client: &Client,
        gateway: Address,
        rules: PaymentRules,
        gas: Arc<GasPrice>,
    ) -> Result<Self, TokenError> {
        let token = client.currency().token;
        let domain = TokenDomain::read(client.chain(), token).await?;
        let text =
            |text: &Option<std::borrow::Cow<'static, str>>| text.as_deref().unwrap_or_default().to_owned();
        Ok(Self {
            network: Network(client.chain().id()),
            token,
            name: text(&domain.domain().name),
            version: text(&domain.domain().version),
            domain,
            gateway,
            settles_soon: matches!(client.chain().config().finality, Finality::Latest | Finality::Depth(_)),
            rules,
            gas,
        })
    }

    /// The chain.
    pub(crate) fn network(&self) -> Network {
        self.network
    }

    /// The token.
    pub(crate) fn token(&self) -> Address {
        self.token
    }

    /// The domain in which the token takes consents.
    pub(crate) fn domain(&self) -> &TokenDomain {
        &self.domain
    }

    /// How long anything may take that a payment waits for.
    pub(crate) fn timeout(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.rules.timeout_s)
    }

    /// When a signed payment must be good, in UNIX seconds: now, and for long enough to be carried to the ledger.
    pub(crate) fn validity(&self, now_s: u64) -> Range<u64> {
        now_s..now_s + MARGIN_S
    }

    /// The least that is taken as a deposit for this call.
    pub(crate) fn min_deposit(&self, call: &Call) -> Amount {
        // Beyond all money it is no longer the least of anything: the call itself then.
        price_of(call.unit_price, self.rules.deposit_calls).map_or(call.price, |least| least.max(call.price))
    }

    /// Whether a call's price is worth a transfer of its own; the least that is, when it is not.
    pub(crate) fn exact_is_worth(&self, call: &Call) -> Result<(), Amount> {
        self.covers(call, TRANSFER_GAS)
    }

    /// Whether a call's price covers so much gas; the least that does, when it does not.
    pub(crate) fn covers(&self, call: &Call, gas: u64) -> Result<(), Amount> {
        let least = self.gas.of(gas);
        if call.price < least { Err(least) } else { Ok(()) }
    }

    /// The refusal of a transfer of its own for a call that costs less than its gas.
    pub(crate) fn too_cheap(&self, call: &Call, least: Amount) -> Refusal {
        let price = call.price;
        let detail = format!(
            "expected a call of at least {least} units for a transfer of its own, which takes gas for as much, found one of \
             {price}; pay by {}",
            batch::SCHEME
        );
        self.unpaid(call, exact::reason::REFUSED, detail)
    }

    /// The ways to pay for a call, the preferred one first. One that costs less than the gas of a transfer has only one.
    pub(crate) fn accepts(&self, call: &Call) -> Vec<PaymentRequirements> {
        let way = |scheme: &str, extra| PaymentRequirements {
            scheme: scheme.to_owned(),
            network: self.network,
            amount: call.price,
            asset: self.token,
            pay_to: call.receiver,
            max_timeout_seconds: self.rules.timeout_s,
            extra,
        };
        let (name, version) = (self.name.clone(), self.version.clone());
        let exact = exact::Extra {
            name: name.clone(),
            version: version.clone(),
            asset_transfer_method: TransferMethod::Eip3009,
        };
        let batched = batch::Extra {
            name,
            version,
            asset_transfer_method: TransferMethod::Eip3009,
            receiver_authorizer: self.gateway,
            withdraw_delay: self.rules.withdraw_delay_s,
            min_deposit: self.min_deposit(call),
            channel_state: None,
            voucher_state: None,
        };
        let mut ways = vec![way(batch::SCHEME, batch::fields(&batched))];
        if self.settles_soon && self.exact_is_worth(call).is_ok() {
            ways.push(way(exact::SCHEME, batch::fields(&exact)));
        }
        ways
    }

    fn required(&self, call: &Call, error: &str) -> PaymentRequired {
        let windows =
            extensions::Windows { unit_price: call.unit_price, max_ticks: MAX_TICKS, terms_hash: call.terms };
        let extensions = [
            (extensions::PAYMENT_IDENTIFIER.to_owned(), extensions::payment_identifier()),
            (extensions::BAZAAR.to_owned(), Value::clone(&call.discovery)),
            (extensions::WINDOWS.to_owned(), windows.declared()),
        ];
        PaymentRequired {
            x402_version: VERSION,
            error: Some(error.to_owned()),
            resource: ResourceInfo {
                url: call.url.clone(),
                description: Some(call.description.clone()),
                mime_type: Some("application/json".to_owned()),
                service_name: Some("Residual".to_owned()),
                tags: Some(vec!["inference".to_owned(), "computer-vision".to_owned()]),
            },
            accepts: self.accepts(call),
            extensions: Map::from_iter(extensions),
        }
    }

    /// A 402: `error` is the peers' name of what is wrong.
    pub(crate) fn unpaid(&self, call: &Call, error: &str, detail: impl ToString) -> Refusal {
        Refusal::Unpaid { required: Box::new(self.required(call, error)), detail: detail.to_string() }
    }

    /// A 402 that tells the payer where its channel stands, so that it can sign again (corrective).
    pub(crate) fn corrected(
        &self,
        call: &Call,
        detail: impl ToString,
        channel: ChannelState,
        voucher: Option<VoucherState>,
    ) -> Refusal {
        let mut required = self.required(call, reason::CUMULATIVE_MISMATCH);
        for way in required.accepts.iter_mut().filter(|way| way.scheme == batch::SCHEME) {
            way.extra.insert("channelState".to_owned(), Value::Object(batch::fields(&channel)));
            if let Some(voucher) = &voucher {
                way.extra.insert("voucherState".to_owned(), Value::Object(batch::fields(voucher)));
            }
        }
        Refusal::Unpaid { required: Box::new(required), detail: detail.to_string() }
    }

    /// Whether a channel is one that was asked for; the peers' name of what is wrong with it, and that in words.
    pub(crate) fn check_channel(
        &self,
        call: &Call,
        config: &ChannelConfig,
    ) -> Result<(), (&'static str, String)> {
        let differs = |what: &str, expected: Address, found: Address| {
            format!(
                "expected a channel whose {what} is {expected}, found {found}; open the channel that is asked for"
            )
        };
        if config.receiver != call.receiver {
            return Err((reason::RECEIVER, differs("receiver", call.receiver, config.receiver)));
        }
        if config.receiverAuthorizer != self.gateway {
            let found = config.receiverAuthorizer;
            return Err((reason::RECEIVER_AUTHORIZER, differs("receiverAuthorizer", self.gateway, found)));
        }
        if config.token != self.token {
            return Err((reason::TOKEN, differs("token", self.token, config.token)));
        }
        if !config.can_be_served() {
            let detail =
                "expected a channel with a payerAuthorizer, found zero; open one whose vouchers a key signs";
            return Err((reason::AUTHORIZER, detail.to_owned()));
        }
        let (least, most) = (self.rules.withdraw_delay_s, *WITHDRAW_DELAYS_S.end());
        let found: u64 = config.withdrawDelay.to();
        if !(least..=most).contains(&found) {
            let detail = format!("expected a withdraw delay of {least} to {most} seconds, found {found}");
            return Err((reason::WITHDRAW_DELAY, detail));
        }
        Ok(())
    }
}

/// How long a signed payment must be good still when it comes, in seconds: the ledger must have it by then.
const MARGIN_S: u64 = 6;

/// Whether an error of the ledger is its refusal, rather than that it cannot be asked.
pub(crate) fn refused(error: LedgerError) -> Result<String, Refusal> {
    if error.is_refusal() { Ok(error.to_string()) } else { Err(error.into()) }
}
