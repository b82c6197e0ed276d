//! What a million calls cost in gas, by real transactions on the embedded ledger: a hundred channels are charged, claimed
//! together, settled and swept, and the usage behind the claim is committed.

use std::{collections::BTreeMap, path::Path};

use residual_client::{Charge, Client, Till};
use residual_ledger::{B256, http};
use residual_meter::{CLAIM_ROWS, Meter, SignedVoucher, UsageEntry};
use residual_primitives::{Amount, RevenueKind, signed::Voucher};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Failure,
    world::{PRICE, World, account},
};

const GATEWAY: u32 = 9;
const PAYER: u32 = 2;
/// Calls a channel before the first that is counted: in a claim that is not its first, a channel has no new slot.
const BEFORE: u32 = 1;
const CALLS: [u32; 3] = [1_000, 10_000, 100_000];

/// The gas of one claim of [`CLAIM_ROWS`] channels and of what belongs to it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Gas {
    pub(crate) calls_a_channel: u32,
    pub(crate) claim: u64,
    pub(crate) settle_and_sweep: u64,
    pub(crate) usage_commit: u64,
}

impl Gas {
    /// Of a million calls.
    pub(crate) fn per_million(&self, gas: u64) -> f64 {
        gas as f64 * 1e6 / (f64::from(self.calls_a_channel) * CLAIM_ROWS as f64)
    }

    pub(crate) fn all(&self) -> u64 {
        self.claim + self.settle_and_sweep + self.usage_commit
    }
}

struct Measured {
    world: World,
    meter: Meter,
    channels: Vec<B256>,
    http: http::Client,
}

pub(crate) async fn measure(dir: &Path) -> Result<Vec<Gas>, Failure> {
    let world = World::new(dir).await?;
    let client = &world.client;
    let (gateway, payer) = (account(client, GATEWAY)?, account(client, PAYER)?);
    let each = PRICE.0 * u128::from(CALLS.iter().sum::<u32>() + BEFORE);
    client.fund(&account(client, 0)?, payer.address(), Amount(each * 2 * CLAIM_ROWS as u128)).await?;
    let mut channels = Vec::new();
    for n in 0..CLAIM_ROWS as u128 {
        let till = Till::own(world.model.asset, RevenueKind::Inference);
        let row = client.open_channel(&payer, &till, gateway.address(), Amount(each + n), 86_400).await?;
        channels.push(row.channel);
    }
    let meter = client.meter(gateway.address(), Amount(u128::MAX)).await?;
    let http = http::client(std::time::Duration::from_secs(5), std::time::Duration::from_secs(60))?;
    let measured = Measured { world, meter, channels, http };
    measured.claim(BEFORE).await?;
    let mut gas = Vec::new();
    for calls in CALLS {
        gas.push(measured.claim(calls).await?);
    }
    Ok(gas)
}

impl Measured {
    /// Charges each channel that many calls more, as one use of so many units, and brings the money to the asset.
    async fn claim(&self, calls: u32) -> Result<Gas, Failure> {
        let client = &self.world.client;
        let gateway = account(client, GATEWAY)?;
        let till = Till::own(self.world.model.asset, RevenueKind::Inference);
        for channel in &self.channels {
            self.charge(*channel, &till, calls)?;
        }
        let epoch = self.meter.rotate(0)?;
        let entries = self.meter.read_segment(epoch)?.collect::<Result<Vec<UsageEntry>, _>>()?;
        let assets = BTreeMap::from([(client.till_address(&till), self.world.model.asset)]);
        let begin = self.head().await?;
        client.publish_usage(&gateway, epoch, &entries, &assets).await?;
        let committed = self.head().await?;
        let [rows] = &self.meter.redeemable(Amount(1))?[..] else {
            return Err("expected one batch to claim".into());
        };
        let outcome = client.claim_rows(&gateway, rows).await?;
        if outcome.claimed.len() != CLAIM_ROWS || !outcome.refused.is_empty() {
            return Err(format!("expected all rows to be claimed, found {:?}", outcome.refused).into());
        }
        for (channel, total) in outcome.claimed {
            self.meter.claimed(channel, total)?;
        }
        let claimed = self.head().await?;
        client.settle_and_sweep(&gateway, &till, client.currency().token).await?;
        let swept = self.head().await?;
        Ok(Gas {
            calls_a_channel: calls,
            claim: self.gas(committed, claimed).await?,
            settle_and_sweep: self.gas(claimed, swept).await?,
            usage_commit: self.gas(begin, committed).await?,
        })
    }

    fn charge(&self, channel: B256, till: &Till, calls: u32) -> Result<(), Failure> {
        let client: &Client = &self.world.client;
        let state = self.meter.channel(channel).ok_or("expected the channel to be known")?;
        let amount = Amount(PRICE.0 * u128::from(calls));
        let voucher = Voucher { channelId: channel, maxClaimableAmount: state.charged.0 + amount.0 };
        let digest = client.channels().voucher_digest(&voucher);
        let signature = account(client, PAYER)?.sign_hash(digest).as_bytes();
        let charge = Charge {
            request_id: digest,
            request_digest: digest,
            receiver: client.till_address(till),
            token: client.currency().token,
            amount,
            units: calls,
            at_s: residual_client::now_s(),
        };
        self.meter.submit(&SignedVoucher { voucher, signature }, &charge)?.wait()?;
        Ok(())
    }

    async fn head(&self) -> Result<u64, Failure> {
        Ok(self.world.client.chain().head().await?.number)
    }

    /// The gas of all blocks after the first up to the last.
    async fn gas(&self, after: u64, last: u64) -> Result<u64, Failure> {
        let mut gas = 0;
        for number in after + 1..=last {
            let params = json!([format!("{number:#x}"), false]);
            let request =
                json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": params });
            let sent = self.http.post(&self.world.client.chain().config().url);
            let sent = sent.header("content-type", "application/json").body(request.to_string());
            let block: Value = serde_json::from_slice(&sent.send().await?.bytes().await?)?;
            let used = block["result"]["gasUsed"].as_str().and_then(|used| used.strip_prefix("0x"));
            gas += u64::from_str_radix(used.ok_or("expected a block's gas")?, 16)?;
        }
        Ok(gas)
    }
}
