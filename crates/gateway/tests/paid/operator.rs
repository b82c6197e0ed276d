//! The operator's part: granted by the controller, out of the shares' part, by the same sweep as fee and royalties.
#![expect(clippy::unwrap_used, reason = "a helper of tests that fails is a failed test")]

use std::time::Duration;

use residual_client::Till;
use residual_gateway::{Config, Gateway, ServiceError, SettlementRules, StartError};
use residual_primitives::{Amount, RevenueKind};

use crate::support::{PRICE, World, plenty};

const BPS: u16 = 1_500;
const CALLS: u32 = 13;

/// dev:9 as the operator of the world's model.
fn till(world: &World) -> Till {
    let operator = world.account(9).address();
    Till { asset: world.model.asset, kind: RevenueKind::Inference, operator, operator_bps: BPS }
}

/// Settled only when it is told to, so that one sweep brings it all.
fn config(world: &World) -> Config {
    let settlement = SettlementRules { interval: Duration::from_secs(3_600), ..SettlementRules::default() };
    Config { operator_bps: BPS, settlement, ..world.config() }
}

async fn refused(world: &World, config: Config) -> StartError {
    Gateway::start(world.client.clone(), world.account(9), config).await.unwrap_err()
}

async fn calls(world: &World, gateway: &Gateway, payer: u32) {
    let payer = world.payer(payer, plenty()).await;
    for digit in world.digits.iter().take(CALLS as usize) {
        let paid = payer.call(world.call(gateway, digit)).await.unwrap();
        assert_eq!((paid.response.status().as_u16(), paid.charged), (200, PRICE));
    }
}

/// PAY-9: the operator's part comes out of the owner's, and the parent is owed what it is owed without; every unit is
/// somebody's, and the audit says so.
#[tokio::test(flavor = "multi_thread")]
async fn pay_9_an_operators_till_is_split_as_the_rules_say() {
    let (world, parent) = World::derived(100).await;
    let (client, token) = (&world.client, world.client.currency().token);
    let (owner, of_parent, operator) = (world.account(1), world.account(3), world.account(9));
    let gross = PRICE.0 * u128::from(CALLS);
    let net = gross - gross / 100;
    let (part, royalty) = (net * u128::from(BPS) / 10_000, net * 1_000 / 10_000);
    let shares = (net * 9_000 - net * u128::from(BPS)) / 10_000;
    assert_eq!((gross, net, part, royalty, shares), (26_000, 25_740, 3_861, 2_574, 19_305));

    let error = refused(&world, config(&world)).await;
    let StartError::Service(ServiceError::NotGranted { asset, operator: named, operator_bps }) = error else {
        panic!("{error}");
    };
    assert_eq!((asset, named, operator_bps), (world.model.asset, operator.address(), BPS));
    let stranger = client.grant_operator(&of_parent, &till(&world)).await.unwrap_err();
    assert!(stranger.is_refusal(), "{stranger}");
    let granted = client.grant_operator(&owner, &till(&world)).await.unwrap();
    assert!(granted.granted && granted.transaction.is_some());
    let again = client.grant_operator(&owner, &till(&world)).await.unwrap();
    assert_eq!((again.granted, again.transaction), (true, None), "it is there already");

    let gateway = world.open_with(config(&world)).await;
    let about = world.get(&gateway, "/v1/gateway").await;
    let serving = &about["serving"][0];
    assert_eq!(serving["operator"], operator.address().to_string());
    assert_eq!((&serving["operator_bps"], &serving["till"]), (&BPS.into(), &granted.till.to_string().into()));
    calls(&world, &gateway, 2).await;
    gateway.settle().await;

    let rows = client.operator_rows(operator.address(), None).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].claimable, rows[0].claimed, rows[0].in_till),
        (Amount(part), Amount::ZERO, Amount::ZERO)
    );
    assert_eq!(client.claimable(world.model.asset, token, owner.address()).await.unwrap(), Amount(shares));
    let before = client.claimable(parent.asset, token, of_parent.address()).await.unwrap();
    assert!(client.flow(&owner, world.model.asset).await.unwrap());
    let after = client.claimable(parent.asset, token, of_parent.address()).await.unwrap();
    assert_eq!(after.0 - before.0, royalty, "as much as without an operator");
    client.audit().await.unwrap();

    let had = world.balance(operator.address()).await;
    let claims = client.claim_operator(&operator, None).await.unwrap();
    assert_eq!(claims.iter().map(|claim| claim.amount).collect::<Vec<_>>(), [Amount(part)]);
    assert_eq!(world.balance(operator.address()).await, Amount(had.0 + part));
    assert!(client.claim_operator(&operator, None).await.unwrap().is_empty(), "once");

    // Taken back while it serves: what is swept from then on is the owner's, and the parent's as before.
    calls(&world, &gateway, 4).await;
    assert!(client.revoke_operator(&owner, &till(&world)).await.unwrap().transaction.is_some());
    gateway.shut_down().await.unwrap();
    assert!(client.claim_operator(&operator, None).await.unwrap().is_empty());
    let both = (2 * net * 9_000 - net * u128::from(BPS)) / 10_000;
    assert_eq!(client.claimable(world.model.asset, token, owner.address()).await.unwrap(), Amount(both));
    client.flow(&owner, world.model.asset).await.unwrap();
    let last = client.claimable(parent.asset, token, of_parent.address()).await.unwrap();
    assert_eq!(last.0 - after.0, royalty);
    assert!(matches!(
        refused(&world, config(&world)).await,
        StartError::Service(ServiceError::NotGranted { .. })
    ));
    let audited = client.audit().await.unwrap();
    assert_eq!(audited.usage.records, u64::from(2 * CALLS));
    assert_eq!(audited.usage.outstanding, Amount::ZERO);
    let uses = client.usage_of(world.model.asset).await.unwrap();
    assert_eq!(uses.len(), 2 * CALLS as usize, "uses of the operator's till are the asset's");
}

/// What lies in an operator's till is the asset's: whoever sweeps the asset sweeps it too.
#[tokio::test(flavor = "multi_thread")]
async fn an_asset_is_swept_with_its_operators_tills() {
    let world = World::new().await;
    let (client, owner) = (&world.client, world.account(1));
    client.grant_operator(&owner, &till(&world)).await.unwrap();
    let into = client.till_address(&till(&world));
    client.fund(&world.account(0), into, Amount(10_000)).await.unwrap();
    let rows = client.operator_rows(world.account(9).address(), Some(world.model.asset)).await.unwrap();
    assert_eq!((rows[0].in_till, rows[0].granted), (Amount(10_000), true));
    let swept = client.sweep(&owner, world.model.asset).await.unwrap();
    assert_eq!(swept.iter().map(|row| row.amount).collect::<Vec<_>>(), [Amount(10_000)]);
    let claimed = client.claim(&owner, world.model.asset).await.unwrap();
    assert_eq!(claimed[0].amount, Amount(8_500));
    let rows = client.operator_rows(world.account(9).address(), None).await.unwrap();
    assert_eq!((rows[0].in_till, rows[0].claimable), (Amount::ZERO, Amount(1_500)));
    client.audit().await.unwrap();
}
