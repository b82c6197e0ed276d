//! The suite's logs as `royalty` reads them: which event a log is, and where it stands.
//!
//! Owns which logs move money or decide a credit, and their typed form. Refuses a log of the suite's own contracts
//! that they never write: a node that makes one up must not be believed for the rest.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_eth::Log;
use alloy_sol_types::{SolEvent, SolEventInterface};
use residual_primitives::{
    Amount, AssetId, Bps, LicenceId, Rates, Reach, RevenueKind, Rights, Terms, TermsId, VersionsGranted,
};
use residual_royalty::{Edge, Entry, LedgerEvent, Place};

use crate::{
    chain::Chain,
    contracts::{
        Assets::{self, AssetsEvents},
        Licences::{self, LicencesEvents},
        Royalties::{self, RoyaltiesEvents},
        Shares::{self, SharesEvents},
        TestUSD,
        licences::ILicences,
    },
    deploy::Deployment,
    rpc::RpcError,
};

/// Bits of one rate in an edge's word.
const RATE_BITS: usize = 14;

/// Why logs cannot be read as events.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The log is not one that the contract writes.
    #[error(
        "expected an event as {contract} logs it, found {reason} in transaction {transaction}; ask another node"
    )]
    NotOfContract {
        /// The contract's address.
        contract: Address,
        /// What is wrong.
        reason: String,
        /// The transaction; zero if the log does not say.
        transaction: B256,
    },
    /// The node did not say where the log stands.
    #[error(
        "expected a log of {contract} with its block, transaction and index, found one without; ask another node"
    )]
    NoPlace {
        /// The contract's address.
        contract: Address,
    },
    /// The node does not answer.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

impl Chain {
    /// Reads the suite's logs, and ERC-20 transfers from or to its `Royalties`, as entries of the audit, in their
    /// order. Logs that move no money and decide no credit are left out. Nodes that do not send the time with a log
    /// are asked for it, once for each block.
    ///
    /// # Errors
    /// See [`EventError`].
    pub async fn entries(&self, suite: &Deployment, logs: &[Log]) -> Result<Vec<Entry>, EventError> {
        let (mut entries, mut times_s) = (Vec::new(), BTreeMap::new());
        for log in logs {
            let Some(event) = read(suite, log)? else { continue };
            let no_place = EventError::NoPlace { contract: log.address() };
            let (Some(block), Some(transaction), Some(log_index)) =
                (log.block_number, log.transaction_hash, log.log_index)
            else {
                return Err(no_place);
            };
            let time_s = match log.block_timestamp.or_else(|| times_s.get(&block).copied()) {
                Some(time_s) => time_s,
                None => {
                    let time_s = self.block(block).await?.ok_or(no_place)?.timestamp_s;
                    times_s.insert(block, time_s);
                    time_s
                }
            };
            entries.push(Entry { place: Place { block, time_s, transaction, log_index }, event });
        }
        Ok(entries)
    }
}

/// Reads one log; none if it moves no money and decides no credit.
///
/// # Errors
/// [`EventError::NotOfContract`].
pub fn read(suite: &Deployment, log: &Log) -> Result<Option<LedgerEvent>, EventError> {
    let from = log.address();
    let event = if from == suite.assets.address {
        decode(log).and_then(of_assets)
    } else if from == suite.shares.address {
        decode(log).and_then(of_shares)
    } else if from == suite.licences.address {
        decode(log).and_then(of_licences)
    } else if from == suite.royalties.address {
        decode(log).and_then(of_royalties).map(Some)
    } else {
        Ok(of_token(suite, log))
    };
    event.map_err(|NotOfContract(reason)| EventError::NotOfContract {
        contract: from,
        reason,
        transaction: log.transaction_hash.unwrap_or_default(),
    })
}

/// What a contract of the suite would not have logged.
struct NotOfContract(String);

impl<E: fmt::Display> From<E> for NotOfContract {
    fn from(reason: E) -> Self {
        Self(reason.to_string())
    }
}

fn decode<E: SolEventInterface>(log: &Log) -> Result<E, NotOfContract> {
    Ok(E::decode_raw_log(log.topics(), &log.data().data)?)
}

fn narrow<T: TryFrom<U256>>(number: U256) -> Result<T, NotOfContract> {
    T::try_from(number).map_err(|_| NotOfContract(format!("the number {number}")))
}

fn amount(number: U256) -> Result<Amount, NotOfContract> {
    narrow(number).map(Amount)
}

fn asset(id: U256) -> Result<AssetId, NotOfContract> {
    Ok(id.try_into()?)
}

fn licence(id: U256) -> Result<LicenceId, NotOfContract> {
    Ok(id.try_into()?)
}

fn kind(index: u8) -> Result<RevenueKind, NotOfContract> {
    RevenueKind::from_index(index).ok_or_else(|| NotOfContract(format!("revenue kind {index}")))
}

fn of_assets(event: AssetsEvents) -> Result<Option<LedgerEvent>, NotOfContract> {
    let AssetsEvents::Registered(Assets::Registered { assetId, registrant, licenceIds, edges, .. }) = event
    else {
        return Ok(None);
    };
    Ok(Some(LedgerEvent::Registered {
        asset: asset(assetId)?,
        registrant,
        licences: licenceIds.into_iter().map(licence).collect::<Result<_, _>>()?,
        edges: edges.into_iter().map(edge).collect::<Result<_, _>>()?,
    }))
}

/// A word `parentId << 112 | child << 56 | all`, four rates of 14 bits each.
fn edge(word: U256) -> Result<Edge, NotOfContract> {
    let rates = |shift: usize| -> Result<Rates, NotOfContract> {
        let mut rates = Rates::default();
        for kind in RevenueKind::ALL {
            let bps: U256 = (word >> (shift + RATE_BITS * kind.index())) & U256::from((1 << RATE_BITS) - 1);
            rates.0[kind.index()] = Bps::new(narrow(bps)?)?;
        }
        Ok(rates)
    };
    let parent: U256 = word >> (8 * RATE_BITS);
    Ok(Edge { parent: asset(parent)?, all: rates(0)?, child: rates(4 * RATE_BITS)? })
}

fn of_shares(event: SharesEvents) -> Result<Option<LedgerEvent>, NotOfContract> {
    let (from, to, moved) = match event {
        SharesEvents::TransferSingle(Shares::TransferSingle { from, to, id, value, .. }) => {
            (from, to, vec![(id, value)])
        }
        SharesEvents::TransferBatch(Shares::TransferBatch { from, to, ids, values, .. }) => {
            (from, to, ids.into_iter().zip(values).collect())
        }
        _ => return Ok(None),
    };
    let mut units = Vec::new();
    // Anybody can move no units, even of what is no asset; that is no news, and no fault of the node.
    for (id, count) in moved.into_iter().filter(|(_, count)| !count.is_zero()) {
        units.push((asset(id)?, narrow(count)?));
    }
    Ok((!units.is_empty()).then_some(LedgerEvent::SharesMoved { from, to, units }))
}

fn terms(terms: ILicences::Terms) -> Result<Terms, NotOfContract> {
    let mut rates = Rates::default();
    for kind in RevenueKind::ALL {
        rates.0[kind.index()] = Bps::new(terms.rates[kind.index()])?;
    }
    let reach = match terms.reach {
        0 => Reach::All,
        1 => Reach::Child,
        other => return Err(NotOfContract(format!("reach {other}"))),
    };
    Ok(Terms {
        rights: Rights::from_bits(terms.rights)?,
        versions: if terms.allVersions { VersionsGranted::AllUntilExpiry } else { VersionsGranted::Bought },
        reach,
        renewable: terms.renewable,
        transferable: terms.transferable,
        rates,
        derivations: terms.derivations.to(),
        period_s: terms.period.to(),
        supply_cap: terms.supplyCap,
        price: amount(terms.price)?,
        currency: terms.currency,
        eligibility_hook: terms.hook,
        training_unit_price: amount(terms.trainingUnitPrice)?,
        inference_unit_price: amount(terms.inferenceUnitPrice)?,
        legal_text: terms.legalText,
        text_cid: terms.textCid,
    })
}

fn of_licences(event: LicencesEvents) -> Result<Option<LedgerEvent>, NotOfContract> {
    Ok(Some(match event {
        LicencesEvents::TermsDefined(Licences::TermsDefined { termsId, number, terms: defined }) => {
            LedgerEvent::TermsDefined {
                terms_id: TermsId(termsId),
                number: narrow(number)?,
                terms: Box::new(terms(defined)?),
            }
        }
        LicencesEvents::Offered(Licences::Offered { assetId, termsId }) => {
            LedgerEvent::Offered { asset: asset(assetId)?, terms_id: TermsId(termsId) }
        }
        LicencesEvents::Withdrawn(Licences::Withdrawn { assetId, termsId }) => {
            LedgerEvent::Withdrawn { asset: asset(assetId)?, terms_id: TermsId(termsId) }
        }
        LicencesEvents::Bought(Licences::Bought {
            licenceId, recipient, termsId, payer, expiresAt, ..
        }) => LedgerEvent::Bought {
            licence: licence(licenceId)?,
            recipient,
            terms_id: TermsId(termsId),
            payer,
            expires_at_s: narrow(expiresAt)?,
        },
        LicencesEvents::Renewed(Licences::Renewed { licenceId, payer, price, expiresAt }) => {
            LedgerEvent::Renewed {
                licence: licence(licenceId)?,
                payer,
                price: amount(price)?,
                expires_at_s: narrow(expiresAt)?,
            }
        }
        LicencesEvents::SubscriptionUpdate(Licences::SubscriptionUpdate { tokenId, expiration }) => {
            LedgerEvent::SubscriptionUpdate { licence: licence(tokenId)?, expires_at_s: expiration }
        }
        _ => return Ok(None),
    }))
}

/// Every event of `Royalties` is about money.
fn of_royalties(event: RoyaltiesEvents) -> Result<LedgerEvent, NotOfContract> {
    Ok(match event {
        RoyaltiesEvents::Credited(Royalties::Credited { assetId, token, source, kind: of, gross, fee }) => {
            LedgerEvent::Credited {
                asset: asset(assetId)?,
                token,
                source,
                kind: kind(of)?,
                gross: amount(gross)?,
                fee: amount(fee)?,
            }
        }
        RoyaltiesEvents::Swept(Royalties::Swept {
            assetId,
            operator,
            till,
            token,
            kind: of,
            operatorBps: operator_bps,
            granted,
        }) => LedgerEvent::Swept {
            asset: asset(assetId)?,
            operator,
            till,
            token,
            kind: kind(of)?,
            operator_bps,
            granted,
        },
        RoyaltiesEvents::Flowed(Royalties::Flowed { childId, token, kinds, amounts }) => {
            LedgerEvent::Flowed {
                child: asset(childId)?,
                token,
                kinds: RevenueKind::ALL.into_iter().filter(|kind| kinds.bit(kind.index())).collect(),
                amounts: amounts.into_iter().map(amount).collect::<Result<_, _>>()?,
            }
        }
        RoyaltiesEvents::Diverted(Royalties::Diverted {
            parentId,
            token,
            childId,
            kind: of,
            amount: diverted,
        }) => LedgerEvent::Diverted {
            parent: asset(parentId)?,
            token,
            child: asset(childId)?,
            kind: kind(of)?,
            amount: amount(diverted)?,
        },
        RoyaltiesEvents::DivertedReleased(Royalties::DivertedReleased {
            parentId,
            token,
            to,
            amount: released,
        }) => {
            LedgerEvent::DivertedReleased { parent: asset(parentId)?, token, to, amount: amount(released)? }
        }
        RoyaltiesEvents::Claimed(Royalties::Claimed { assetId, token, holder, to, amount: claimed }) => {
            LedgerEvent::Claimed { asset: asset(assetId)?, token, holder, to, amount: amount(claimed)? }
        }
        RoyaltiesEvents::OperatorClaimed(Royalties::OperatorClaimed {
            assetId,
            token,
            operator,
            kind: of,
            operatorBps: operator_bps,
            to,
            amount: claimed,
        }) => LedgerEvent::OperatorClaimed {
            asset: asset(assetId)?,
            token,
            operator,
            kind: kind(of)?,
            operator_bps,
            to,
            amount: amount(claimed)?,
        },
        RoyaltiesEvents::AwardClaimed(Royalties::AwardClaimed { account, token, to, amount: claimed }) => {
            LedgerEvent::AwardClaimed { account, token, to, amount: amount(claimed)? }
        }
        RoyaltiesEvents::FeesCollected(Royalties::FeesCollected { token, treasury, amount: collected }) => {
            LedgerEvent::FeesCollected { token, treasury, amount: amount(collected)? }
        }
        RoyaltiesEvents::OperatorGranted(Royalties::OperatorGranted {
            assetId,
            operator,
            kind: of,
            operatorBps,
        }) => LedgerEvent::OperatorGranted {
            asset: asset(assetId)?,
            operator,
            kind: kind(of)?,
            operator_bps: operatorBps,
        },
        RoyaltiesEvents::OperatorRevoked(Royalties::OperatorRevoked {
            assetId,
            operator,
            kind: of,
            operatorBps,
        }) => LedgerEvent::OperatorRevoked {
            asset: asset(assetId)?,
            operator,
            kind: kind(of)?,
            operator_bps: operatorBps,
        },
        RoyaltiesEvents::Frozen(Royalties::Frozen { assetId, until }) => {
            LedgerEvent::Frozen { asset: asset(assetId)?, until_s: narrow(until)? }
        }
        RoyaltiesEvents::Ruled(Royalties::Ruled { assetId, claimant }) => {
            let claimant = Some(claimant).filter(|claimant| *claimant != Address::ZERO);
            LedgerEvent::Ruled { asset: asset(assetId)?, claimant }
        }
        RoyaltiesEvents::Awarded(Royalties::Awarded { assetId, token, claimant, amount: awarded }) => {
            LedgerEvent::Awarded { asset: asset(assetId)?, token, claimant, amount: amount(awarded)? }
        }
        RoyaltiesEvents::FeeSet(Royalties::FeeSet { feeBps }) => {
            LedgerEvent::FeeSet { fee_bps: narrow(feeBps)? }
        }
        RoyaltiesEvents::TreasurySet(Royalties::TreasurySet { treasury }) => {
            LedgerEvent::TreasurySet { treasury }
        }
        RoyaltiesEvents::ArbiterSet(Royalties::ArbiterSet { arbiter }) => LedgerEvent::ArbiterSet { arbiter },
        RoyaltiesEvents::ListingSet(Royalties::ListingSet { token, listed }) => {
            LedgerEvent::ListingSet { token, listed }
        }
    })
}

/// A token's word for a transfer from or to `Royalties`. A token may log what it likes; what no honest one can, an
/// amount of 2^128 or more, is not news.
fn of_token(suite: &Deployment, log: &Log) -> Option<LedgerEvent> {
    let TestUSD::Transfer { from, to, value } = TestUSD::Transfer::decode_log_data(log.data()).ok()?;
    if ![from, to].contains(&suite.royalties.address) {
        return None;
    }
    let amount = Amount(value.try_into().ok()?);
    Some(LedgerEvent::TokenMoved { token: log.address(), from, to, amount })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edges_word_is_read_lane_by_lane() {
        let lanes = [9_000_u64, 1, 0, 10_000, 5, 6, 7, 8];
        let mut word = U256::from(0xabc) << 112;
        for (lane, rate) in lanes.into_iter().enumerate() {
            word |= U256::from(rate) << (RATE_BITS * lane);
        }
        let Ok(edge) = edge(word) else { panic!("expected an edge") };
        assert_eq!(edge.parent.to_u256(), U256::from(0xabc));
        let rates = |rates: Rates| rates.0.map(|rate| u64::from(rate.get()));
        assert_eq!([rates(edge.all), rates(edge.child)].concat(), lanes);
        assert!(super::edge(U256::from(10_001)).is_err(), "no parent, and a rate above the whole");
    }
}
