//! What a licence and calls cost now, or why it is not to be had.

use alloy_sol_types::sol;
use residual_ledger::contracts::{licences::Licences, royalties::Royalties, test_usd::TestUSD};
use residual_primitives::{Address, Amount, AssetId, Terms, TermsId, U256};

use crate::{Client, Currency, LedgerError};

/// The longest symbol of a currency that is repeated, in characters: it is the token's own word.
const SYMBOL_CHARS_MAX: usize = 32;

sol! {
    /// The contract that says who may buy (`contracts/src/interfaces/IEligibility.sol`).
    interface IEligibility {
        function isEligible(address account, uint256 assetId, bytes32 termsId) external view returns (bool);
    }
}

/// Why there is no price.
#[derive(Debug, thiserror::Error)]
pub enum QuoteError {
    /// Nobody defined these terms.
    #[error("expected terms that are defined on this ledger, found none with id {terms}")]
    UnknownTerms {
        /// The id.
        terms: TermsId,
    },
    /// The asset is not offered under them.
    #[error("expected {asset} to be offered under {terms}, found no such offer: ask for the asset's offers")]
    NotOffered {
        /// The asset.
        asset: AssetId,
        /// The terms.
        terms: TermsId,
    },
    /// As many were sold as there are.
    #[error(
        "expected fewer than {cap} licences of {asset} sold under {terms}, found all of them sold: choose other terms"
    )]
    SoldOut {
        /// The asset.
        asset: AssetId,
        /// The terms.
        terms: TermsId,
        /// How many there are.
        cap: u32,
    },
    /// A dispute is under way about what the asset's shares earn.
    #[error(
        "expected an asset without a dispute, found the revenue of {asset} frozen until {until_s} (UNIX seconds): ask again then"
    )]
    Frozen {
        /// The asset.
        asset: AssetId,
        /// When the freeze ends by itself, in UNIX seconds.
        until_s: u64,
    },
    /// The terms name who may buy, and this account may not.
    #[error("expected an account that {hook} lets buy, found {recipient}: ask whoever offers {asset}")]
    NotEligible {
        /// The asset.
        asset: AssetId,
        /// The contract that says so.
        hook: Address,
        /// Who would get the licence.
        recipient: Address,
    },
    /// More calls than any amount pays.
    #[error("expected a number of calls whose price fits an amount, found {calls}")]
    TooManyCalls {
        /// How many.
        calls: u32,
    },
    /// The ledger cannot be reached, or the asset is not there.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What it costs at one block. Terms never change; an offer may be withdrawn, sold out or frozen later.
#[derive(Debug, Clone)]
pub struct Quote {
    /// What is licensed.
    pub asset: AssetId,
    /// Under what.
    pub terms_id: TermsId,
    /// All that the terms say.
    pub terms: Terms,
    /// What the prices are in; none when all is free.
    pub currency: Option<Currency>,
    /// What the licence costs.
    pub licence: Amount,
    /// What the calls cost, beyond the licence.
    pub calls: Amount,
    /// Both.
    pub total: Amount,
    /// The block in whose state this holds.
    pub block: u64,
}

impl Client {
    /// What a licence for `recipient` and so many calls cost by the newest block.
    ///
    /// # Errors
    /// See [`QuoteError`].
    pub async fn quote(
        &self,
        asset: AssetId,
        terms_id: TermsId,
        recipient: Option<Address>,
        calls: u32,
    ) -> Result<Quote, QuoteError> {
        self.asset_row(asset).await?;
        let terms = self.terms(terms_id).await?.ok_or(QuoteError::UnknownTerms { terms: terms_id })?;
        let head = self.chain().head().await.map_err(LedgerError::from)?;
        let offer = Licences::offerOfCall { assetId: asset.to_u256(), termsId: terms_id.0 };
        let offer = self.call_at(self.suite().licences, &offer, head.number).await?;
        if !offer.live {
            return Err(QuoteError::NotOffered { asset, terms: terms_id });
        }
        let cap = terms.supply_cap;
        if cap != 0 && offer.sold >= U256::from(cap) {
            return Err(QuoteError::SoldOut { asset, terms: terms_id, cap });
        }
        let frozen = Royalties::frozenUntilCall { assetId: asset.to_u256() };
        let until_s: u64 = crate::narrow(self.call_at(self.suite().royalties, &frozen, head.number).await?)?;
        if head.timestamp_s < until_s {
            return Err(QuoteError::Frozen { asset, until_s });
        }
        self.check_eligible(asset, terms_id, &terms, recipient, head.number).await?;
        let too_many = QuoteError::TooManyCalls { calls };
        let for_calls = terms.inference_unit_price.0.checked_mul(calls.into()).map(Amount);
        let total = for_calls.and_then(|for_calls| for_calls.checked_add(terms.price));
        let (Some(for_calls), Some(total)) = (for_calls, total) else { return Err(too_many) };
        let currency = match terms.currency {
            Address::ZERO => None,
            token => Some(self.currency_of(token).await?),
        };
        let licence = terms.price;
        Ok(Quote { asset, terms_id, terms, currency, licence, calls: for_calls, total, block: head.number })
    }

    /// Asks the terms' contract whether the recipient may buy, as `Licences` does.
    async fn check_eligible(
        &self,
        asset: AssetId,
        terms_id: TermsId,
        terms: &Terms,
        recipient: Option<Address>,
        block: u64,
    ) -> Result<(), QuoteError> {
        let hook = terms.eligibility_hook;
        let Some(recipient) = recipient.filter(|_| hook != Address::ZERO) else { return Ok(()) };
        let call = IEligibility::isEligibleCall {
            account: recipient,
            assetId: asset.to_u256(),
            termsId: terms_id.0,
        };
        match self.call_at(hook, &call, block).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(QuoteError::NotEligible { asset, hook, recipient }),
            // A contract that does not answer lets nobody buy.
            Err(error) if error.is_no_answer() => Err(QuoteError::NotEligible { asset, hook, recipient }),
            Err(error) => Err(error.into()),
        }
    }

    /// A token as what prices are said in.
    ///
    /// # Errors
    /// When the ledger cannot be reached, or the token has no decimals.
    pub(crate) async fn currency_of(&self, token: Address) -> Result<Currency, LedgerError> {
        if token == self.currency().token {
            return Ok(self.currency().clone());
        }
        let decimals = self.call(token, &TestUSD::decimalsCall {}).await?;
        // A symbol is decoration, and some tokens have none.
        let symbol: String = match self.call(token, &TestUSD::symbolCall {}).await {
            Ok(symbol) => symbol.chars().take(SYMBOL_CHARS_MAX).collect(),
            Err(error) if error.is_no_answer() => String::new(),
            Err(error) => return Err(error),
        };
        Ok(Currency { token, symbol, decimals })
    }
}
