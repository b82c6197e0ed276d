//! The gateway as a facilitator: what other servers of x402 let it check, and carry to the ledger, of what their clients
//! signed.
//!
//! Owns: transfers by the scheme `exact` (EIP-3009) in the marketplace's currency into the tills of its assets. Refuses
//! every other payee: the gas of strangers' business is not this marketplace's to give.
//!
//! **One payment, one success (MET-2).** The ledger takes a transfer once. Whoever settles it again, or has settled it here
//! for a call of this gateway, is told that its nonce was used, and by which transaction if that is known: a server that is
//! told of success serves for it. So only what was interrupted before its server was told goes on where it stopped. The
//! intents under which transfers are carried to the ledger are other ones than those of paid calls, so that neither takes
//! the other's transaction for its own, also after a restart.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use residual_client::{LedgerError, SignedTransfer, Sponsored, now_s};
use residual_primitives::{Address, Amount, B256};
use residual_x402::{
    PaymentPayload, PaymentRequirements, SettleResponse, Supported, SupportedKind, VERSION, VerifyResponse,
    exact::{Authorization, SCHEME, reason},
};
use serde_json::{Map, Value};

use super::{
    confirmed, deal,
    exact::{BUSY_PAYER, payer_seat, signed_transfer},
    sponsor,
};
use crate::{App, problem::Problem};

/// What the signers of all EVM chains are listed under.
const EVM_CHAINS: &str = "eip155:*";

/// What a server asks to be checked or carried out.
pub(crate) struct Order {
    pub(crate) version: u8,
    pub(crate) payment: PaymentPayload,
    pub(crate) required: PaymentRequirements,
}

/// Transfers that were begun and whose servers were not told what came of them; with the end of each, in UNIX seconds.
#[derive(Debug, Default)]
pub(crate) struct Untold(Mutex<HashMap<B256, u64>>);

impl Untold {
    fn begin(&self, intent: B256, valid_before_s: u64, now_s: u64) {
        let mut untold = self.0.lock().expect("nobody panics while noting a transfer");
        // What ended is either on the ledger or never will be; whoever asks so late is told that.
        untold.retain(|_, valid_before_s| *valid_before_s >= now_s);
        untold.insert(intent, valid_before_s);
    }

    fn end(&self, intent: B256) {
        self.0.lock().expect("nobody panics while forgetting a transfer").remove(&intent);
    }

    fn has(&self, intent: B256) -> bool {
        self.0.lock().expect("nobody panics while looking for a transfer").contains_key(&intent)
    }
}

/// Why a payment is not taken.
enum Declined {
    /// It is not good: the peers' name of what is wrong, and that in words.
    Refused { reason: &'static str, detail: String, payer: Option<Address>, transaction: Option<B256> },
    /// It cannot be told now.
    Problem(Problem),
}

impl From<Problem> for Declined {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<LedgerError> for Declined {
    fn from(error: LedgerError) -> Self {
        Self::Problem(error.into())
    }
}

fn refused(reason: &'static str, detail: String) -> Declined {
    Declined::Refused { reason, detail, payer: None, transaction: None }
}

/// What is carried out here, on which chain, and by whom.
pub(crate) fn supported(app: &App) -> Supported {
    let kind = SupportedKind {
        x402_version: VERSION,
        scheme: SCHEME.to_owned(),
        network: app.shop.network(),
        extra: Map::new(),
    };
    let signers = Value::Array(vec![app.account.address().to_string().into()]);
    Supported {
        kinds: vec![kind],
        extensions: Vec::new(),
        signers: Map::from_iter([(EVM_CHAINS.to_owned(), signers)]),
    }
}

/// Whether a payment would be carried out now.
pub(crate) async fn verify(app: &App, order: &Order) -> Result<VerifyResponse, Problem> {
    let judged = match judge(app, order).await {
        Ok(transfer) => would_move(app, &transfer).await.map(|_| transfer.from),
        Err(declined) => Err(declined),
    };
    let (invalid_reason, invalid_message, payer) = match judged {
        Ok(payer) => (None, None, Some(payer)),
        Err(Declined::Refused { reason, detail, payer, .. }) => {
            (Some(reason.to_owned()), Some(detail), payer)
        }
        Err(Declined::Problem(problem)) => return Err(problem),
    };
    let is_valid = invalid_reason.is_none();
    Ok(VerifyResponse { is_valid, invalid_reason, invalid_message, payer, extra: Map::new() })
}

/// Carries a payment to the ledger, and answers when the chain's rule takes its block for good. It is dealt with to its
/// end, whether or not the server still waits.
pub(crate) async fn settle(app: &Arc<App>, order: Order) -> Result<SettleResponse, Problem> {
    let network = app.shop.network();
    let gateway = Arc::clone(app);
    let dealt = deal(app, async move {
        let transfer = judge(&gateway, &order).await?;
        carry(&gateway, &transfer).await.map(|transaction| (transfer, transaction))
    })
    .await;
    let text = |transaction: Option<B256>| transaction.map(|hash| hash.to_string()).unwrap_or_default();
    match dealt {
        Ok((transfer, transaction)) => {
            app.untold.end(intent(&transfer));
            Ok(SettleResponse {
                success: true,
                error_reason: None,
                error_message: None,
                payer: Some(transfer.from),
                transaction: transaction.to_string(),
                network,
                amount: Some(transfer.value.to_string()),
                extra: Map::new(),
            })
        }
        Err(Declined::Refused { reason, detail, payer, transaction }) => Ok(SettleResponse {
            success: false,
            error_reason: Some(reason.to_owned()),
            error_message: Some(detail),
            payer,
            transaction: text(transaction),
            network,
            amount: None,
            extra: Map::new(),
        }),
        Err(Declined::Problem(problem)) => Err(problem),
    }
}

/// Whether the payment is one that this facilitator carries out, and is what its server asks for. What costs least is
/// looked at first; the ledger is asked only for what its payer has signed.
async fn judge(app: &App, order: &Order) -> Result<SignedTransfer, Declined> {
    let Order { version, payment, required } = order;
    if (*version, payment.x402_version) != (VERSION, VERSION) {
        let found = payment.x402_version;
        return Err(refused(
            reason::VERSION,
            format!("expected x402 version {VERSION}, found {version} and {found}"),
        ));
    }
    for way in [required, &payment.accepted] {
        if way.scheme != SCHEME {
            let detail = format!("expected the scheme {SCHEME}, found another; see /supported");
            return Err(refused(reason::SCHEME, detail));
        }
        if way.network != app.shop.network() {
            let (expected, found) = (app.shop.network(), way.network);
            return Err(refused(reason::NETWORK, format!("expected the chain {expected}, found {found}")));
        }
    }
    if required.asset != app.shop.token() {
        let (expected, found) = (app.shop.token(), required.asset);
        return Err(refused(reason::REQUIREMENTS, format!("expected the token {expected}, found {found}")));
    }
    if required.amount == Amount::ZERO {
        return Err(refused(reason::REQUIREMENTS, "expected an amount above zero, found zero".to_owned()));
    }
    let payload = payment.exact().map_err(|error| refused(reason::PAYLOAD, error.to_string()))?;
    let Authorization { from, valid_after, valid_before, .. } = payload.authorization;
    let refused = |reason, detail| Declined::Refused { reason, detail, payer: Some(from), transaction: None };
    let needed = app.shop.validity(now_s());
    if valid_before <= needed.end {
        let (expected, found) = (needed.end, valid_before);
        return Err(refused(
            reason::VALID_BEFORE,
            format!("expected a transfer good beyond {expected}, found {found}"),
        ));
    }
    if valid_after >= needed.start {
        let (expected, found) = (needed.start, valid_after);
        return Err(refused(
            reason::VALID_AFTER,
            format!("expected a transfer good before {expected}, found {found}"),
        ));
    }
    let transfer = signed_transfer(&app.shop, &payload, required.pay_to, required.amount)
        .map_err(|flaw| refused(flaw.reason, flaw.detail))?;
    if app.till_at(transfer.to).await?.is_none() {
        let found = transfer.to;
        let detail = format!("expected the till of an asset of this marketplace to be paid, found {found}");
        return Err(refused(reason::REQUIREMENTS, detail));
    }
    Ok(transfer)
}

/// The gas that the ledger would take for it now.
async fn would_move(app: &App, transfer: &SignedTransfer) -> Result<u64, Declined> {
    if app.client.is_spent(transfer).await? {
        return Err(used(transfer, None));
    }
    let what = Sponsored::Transfer(transfer);
    let error = match app.client.sponsored_gas(&app.account, what, sponsor::GAS_MAX).await {
        Ok(gas) => {
            let least = app.gas.of(gas);
            if transfer.value >= least {
                return Ok(gas);
            }
            let found = transfer.value;
            let detail = format!(
                "expected a transfer of at least {least} units, what its gas costs, found one of {found}"
            );
            let payer = Some(transfer.from);
            return Err(Declined::Refused { reason: reason::VALUE, detail, payer, transaction: None });
        }
        Err(error) if error.is_refusal() => error,
        Err(error) => return Err(error.into()),
    };
    let held = app.client.balance(transfer.from, transfer.token).await?;
    let reason = if held < transfer.value { reason::BALANCE } else { reason::REFUSED };
    Err(Declined::Refused {
        reason,
        detail: error.to_string(),
        payer: Some(transfer.from),
        transaction: None,
    })
}

/// Carries it out, or goes on with what was interrupted: its transaction.
async fn carry(app: &App, transfer: &SignedTransfer) -> Result<B256, Declined> {
    let intent = intent(transfer);
    // The turn of paid calls too: of two ways to use a transfer at once, the second finds it used.
    let busy = || Problem::unavailable(BUSY_PAYER, Duration::from_secs(1));
    let _turn = app.seats.turn(payer_seat(transfer.from), app.shop.timeout()).await.ok_or_else(busy)?;
    let begun = app.client.is_sponsored(&app.account, intent).await?;
    let spent = app.client.is_spent(transfer).await?;
    if spent && !app.untold.has(intent) {
        // What is mined is found again; nothing is sent.
        let known = match begun {
            true => {
                let followed = app.client.sponsor_transfer(&app.account, intent, transfer, sponsor::GAS_MAX);
                followed.await.ok()
            }
            false => None,
        };
        return Err(used(transfer, known.map(|known| known.transaction)));
    }
    // One that was begun before is followed, and takes no more gas.
    let mut gas = sponsor::GAS_MAX;
    if !begun {
        gas = would_move(app, transfer).await?;
        app.facilitated.reserve(transfer.from, gas)?.spend();
    }
    app.untold.begin(intent, transfer.valid_before_s, now_s());
    let done = match app.client.sponsor_transfer(&app.account, intent, transfer, gas).await {
        Ok(done) => done,
        Err(error) if error.is_refusal() => {
            app.untold.end(intent);
            let (detail, payer) = (error.to_string(), Some(transfer.from));
            return Err(Declined::Refused { reason: reason::REFUSED, detail, payer, transaction: None });
        }
        Err(error) => return Err(error.into()),
    };
    confirmed(app, done.block).await?;
    app.note_paid(transfer.to);
    Ok(done.transaction)
}

fn used(transfer: &SignedTransfer, transaction: Option<B256>) -> Declined {
    let detail =
        format!("expected a transfer under a new nonce, found {} used; sign another", transfer.nonce);
    Declined::Refused { reason: reason::NONCE_USED, detail, payer: Some(transfer.from), transaction }
}

/// What a transfer is carried out for here: another thing than a call of this gateway.
fn intent(transfer: &SignedTransfer) -> B256 {
    residual_client::digest_of_parts(&[b"facilitator", transfer.id().as_slice()])
}
