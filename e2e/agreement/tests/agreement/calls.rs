//! What an operation of the model is on the ledger: who sends which transactions.

use std::cell::Cell;

use alloy_primitives::keccak256;
use residual_ledger::{
    Address, B256, Bytes, SolCall, SolValue, Transaction, U256,
    contracts::{Assets, Licences, Royalties, Shares, TestUSD, TimelockController, assets, licences},
    token::ReceiveWithAuthorization,
};
use residual_primitives::{Amount, Terms};
use residual_royalty::{Contracts, Operation, Payment};

use crate::world::World;

/// What the ledger must be told besides the operation.
pub(crate) struct Detail<'a> {
    pub(crate) contracts: Contracts,
    /// The salt of a registration.
    pub(crate) salt: B256,
    /// The holder of the asset or licence that changes hands.
    pub(crate) holder: Address,
    /// The terms that are bought.
    pub(crate) terms: Option<&'a Terms>,
    /// Tells apart the DAO's decisions and signed purchases that are alike in all else.
    pub(crate) serial: &'a Cell<u64>,
}

impl Detail<'_> {
    fn fresh(&self) -> B256 {
        self.serial.set(self.serial.get() + 1);
        B256::from(U256::from(self.serial.get()))
    }
}

/// The transactions by which `caller` does it, and who sends them. Only the last can be refused.
pub(crate) fn transactions(
    world: &World,
    caller: Address,
    operation: &Operation,
    detail: &Detail<'_>,
) -> (Address, Vec<Transaction>) {
    let call = call(world, caller, operation, detail);
    if caller != world.suite.timelock.address {
        return (caller, vec![call]);
    }
    let (target, payload) = (call.to.expect("a call"), call.data);
    let (value, predecessor, salt, delay) = (U256::ZERO, B256::ZERO, detail.fresh(), U256::ZERO);
    let schedule =
        TimelockController::scheduleCall { target, value, data: payload.clone(), predecessor, salt, delay };
    let execute = TimelockController::executeCall { target, value, payload, predecessor, salt };
    let timelock = world.suite.timelock.address;
    (world.dao(), vec![Transaction::call(timelock, &schedule), Transaction::call(timelock, &execute)])
}

fn call(world: &World, caller: Address, operation: &Operation, detail: &Detail<'_>) -> Transaction {
    let suite = &world.suite;
    let (assets, shares) = (suite.assets.address, suite.shares.address);
    let (licences, royalties) = (suite.licences.address, suite.royalties.address);
    match operation {
        Operation::DefineTerms { terms } => {
            let data =
                [&Licences::defineTermsCall::SELECTOR[..], &terms.to_abi().expect("valid terms")].concat();
            Transaction { to: Some(licences), data: data.into(), value_wei: U256::ZERO, gas_max: None }
        }
        Operation::Register { licences, terms, holders, resale_bps, .. } => {
            let registration = assets::IAssets::Registration {
                kind: 0,
                salt: detail.salt,
                manifestCid: Bytes::from_static(b"cid"),
                contentRoot: B256::repeat_byte(1),
                keyCommitment: B256::ZERO,
                licenceIds: licences.iter().map(|licence| licence.to_u256()).collect(),
                termsIds: terms.iter().map(|terms| terms.0).collect(),
                holders: holders.iter().map(|(holder, _)| *holder).collect(),
                units: holders.iter().map(|(_, units)| U256::from(*units)).collect(),
                resaleBps: *resale_bps,
            };
            Transaction::call(assets, &Assets::registerCall { registration })
        }
        Operation::TransferControl { asset, to } => {
            let call = Assets::transferFromCall { from: detail.holder, to: *to, tokenId: asset.to_u256() };
            Transaction::call(assets, &call)
        }
        Operation::Offer { asset, terms } => {
            Transaction::call(licences, &Licences::offerCall { assetId: asset.to_u256(), termsId: terms.0 })
        }
        Operation::Withdraw { asset, terms } => Transaction::call(
            licences,
            &Licences::withdrawCall { assetId: asset.to_u256(), termsId: terms.0 },
        ),
        Operation::Buy { asset, terms, recipient, payment, .. } => {
            let (asset, terms, recipient) = (asset.to_u256(), terms.0, *recipient);
            match payment {
                Payment::Approved { max_price } => {
                    let max_price = U256::from(max_price.0);
                    let call =
                        Licences::buyCall { assetId: asset, termsId: terms, recipient, maxPrice: max_price };
                    Transaction::call(licences, &call)
                }
                Payment::Signed { payer } => {
                    signed_purchase(world, (asset, terms), recipient, *payer, detail)
                }
            }
        }
        Operation::Renew { licence, duration_s } => {
            let call =
                Licences::renewSubscriptionCall { licenceId: licence.to_u256(), duration: *duration_s };
            Transaction::call(licences, &call)
        }
        Operation::Cancel { licence } => {
            Transaction::call(licences, &Licences::cancelSubscriptionCall { licenceId: licence.to_u256() })
        }
        Operation::TransferLicence { licence, to, .. } => {
            let call =
                Licences::transferFromCall { from: detail.holder, to: *to, tokenId: licence.to_u256() };
            Transaction::call(licences, &call)
        }
        Operation::TransferShares { to, units } => {
            let ids: Vec<_> = units.iter().map(|(asset, _)| asset.to_u256()).collect();
            let values: Vec<_> = units.iter().map(|(_, units)| U256::from(*units)).collect();
            let (from, to, data) = (caller, *to, Bytes::new());
            if let ([id], [value]) = (ids.as_slice(), values.as_slice()) {
                Transaction::call(
                    shares,
                    &Shares::safeTransferFromCall { from, to, id: *id, value: *value, data },
                )
            } else {
                Transaction::call(shares, &Shares::safeBatchTransferFromCall { from, to, ids, values, data })
            }
        }
        Operation::FillTill { till, token, amount } => {
            let call =
                TestUSD::transferCall { to: till.address(detail.contracts), value: U256::from(amount.0) };
            Transaction::call(*token, &call)
        }
        Operation::Pay { asset, kind, token, received } => {
            let (asset, kind, token, amount) = (asset.to_u256(), *kind as u8, *token, U256::from(received.0));
            Transaction::call(royalties, &Royalties::payCall { assetId: asset, kind, token, amount })
        }
        Operation::Sweep { till, token } => Transaction::call(
            royalties,
            &Royalties::sweepCall {
                assetId: till.asset.to_u256(),
                kind: till.kind as u8,
                operator: till.operator,
                operatorBps: till.operator_bps,
                token: *token,
            },
        ),
        Operation::Flow { child, token, kinds } => {
            let (child, token, kinds) = (child.to_u256(), *token, U256::from(*kinds));
            Transaction::call(royalties, &Royalties::flowCall { childId: child, token, kinds })
        }
        Operation::Claim { asset, token, to } => Transaction::call(
            royalties,
            &Royalties::claimCall { assetId: asset.to_u256(), token: *token, to: *to },
        ),
        Operation::ClaimOperator { asset, kind, operator_bps, token, to } => Transaction::call(
            royalties,
            &Royalties::claimOperatorCall {
                assetId: asset.to_u256(),
                kind: *kind as u8,
                operatorBps: *operator_bps,
                token: *token,
                to: *to,
            },
        ),
        Operation::ClaimAward { token, to } => {
            Transaction::call(royalties, &Royalties::claimAwardCall { token: *token, to: *to })
        }
        Operation::CollectFees { token } => {
            Transaction::call(royalties, &Royalties::collectFeesCall { token: *token })
        }
        Operation::Grant { till } => Transaction::call(
            royalties,
            &Royalties::grantCall {
                assetId: till.asset.to_u256(),
                kind: till.kind as u8,
                operator: till.operator,
                operatorBps: till.operator_bps,
            },
        ),
        Operation::Revoke { till } => Transaction::call(
            royalties,
            &Royalties::revokeCall {
                assetId: till.asset.to_u256(),
                kind: till.kind as u8,
                operator: till.operator,
                operatorBps: till.operator_bps,
            },
        ),
        Operation::Freeze { asset } => {
            Transaction::call(royalties, &Royalties::freezeCall { assetId: asset.to_u256() })
        }
        Operation::Rule { asset, claimant } => {
            let call =
                Royalties::ruleCall { assetId: asset.to_u256(), claimant: claimant.unwrap_or_default() };
            Transaction::call(royalties, &call)
        }
        Operation::ReleaseDiverted { parent, token, to } => {
            let call = Royalties::releaseDivertedCall { parentId: parent.to_u256(), token: *token, to: *to };
            Transaction::call(royalties, &call)
        }
        Operation::SetFee { fee_bps } => {
            Transaction::call(royalties, &Royalties::setFeeCall { feeBps_: *fee_bps })
        }
        Operation::SetTreasury { treasury } => {
            Transaction::call(royalties, &Royalties::setTreasuryCall { treasury_: *treasury })
        }
        Operation::SetArbiter { arbiter } => {
            Transaction::call(royalties, &Royalties::setArbiterCall { arbiter_: *arbiter })
        }
        Operation::SetListing { token, listed } => {
            Transaction::call(royalties, &Royalties::setListingCall { token: *token, listed: *listed })
        }
    }
}

/// A purchase that the payer signed and the caller brings.
fn signed_purchase(
    world: &World,
    (asset, terms): (U256, B256),
    recipient: Address,
    payer: Address,
    detail: &Detail<'_>,
) -> Transaction {
    let salt = detail.fresh();
    let currency = detail.terms.map_or(Address::ZERO, |terms| terms.currency);
    let price = detail.terms.map_or(Amount::ZERO, |terms| terms.price);
    let consent = ReceiveWithAuthorization {
        from: payer,
        to: world.royalties(),
        value: U256::from(price.0),
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce: keccak256((asset, terms, recipient, salt).abi_encode()),
    };
    let domain = world.tokens.iter().position(|token| *token == currency).map(|at| &world.domains[at]);
    let account = world.sender(payer).account();
    let signature = domain
        .map_or(Bytes::new(), |domain| Bytes::copy_from_slice(&domain.sign(account, &consent).as_bytes()));
    let authorization = licences::ILicences::Authorization {
        from: payer,
        validAfter: consent.validAfter,
        validBefore: consent.validBefore,
        signature,
    };
    let call =
        Licences::buyWithAuthorizationCall { assetId: asset, termsId: terms, recipient, salt, authorization };
    Transaction::call(world.suite.licences.address, &call)
}
