// Stock x402 2.27 clients, unmodified, pay this project's gateway for predictions of the demo's model: deposits, vouchers
// one after another and in parallel, top-ups, refunds, withdrawals, single transfers; and the money arrives by itself.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { x402Client } from "@x402/core/client";
import {
  decodePaymentRequiredHeader,
  decodePaymentResponseHeader,
  encodePaymentSignatureHeader,
} from "@x402/core/http";
import { BATCH_SETTLEMENT_ADDRESS, toClientEvmSigner } from "@x402/evm";
import { appendPaymentIdentifierToExtensions } from "@x402/extensions/payment-identifier";
import { validateDiscoveryExtension } from "@x402/extensions/bazaar";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { contract, openLedger } from "./ledger.mjs";
import { customerOf } from "./market.mjs";

const gateway = JSON.parse(process.env.RESIDUAL_UP ?? "null");
const channels = { address: BATCH_SETTLEMENT_ADDRESS, abi: contract("Channels").abi };
const MINTED = 1_000_000_000n;
// A digit of 8 x 8 pixels, 0 to 16 each, as the model takes it.
const INPUT = JSON.stringify({
  tensor: [
    [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0, 0, 3, 15, 2, 0, 11, 8, 0, 0, 4, 12, 0, 0, 8, 8, 0, 0, 5, 8, 0,
      0, 9, 8, 0, 0, 4, 11, 0, 1, 12, 7, 0, 0, 2, 14, 5, 10, 12, 0, 0, 0, 0, 6, 13, 10, 0, 0, 0],
  ],
});

const ANOTHER = INPUT.replace("13,9", "13,8");

let ledger;
let token;
let url;
let receiver;

before(async () => {
  assert.ok(gateway, "expected what `residual up --demo --json` printed in RESIDUAL_UP");
  ledger = await openLedger();
  token = { address: gateway.currency, abi: contract("TestUSD").abi };
  url = `${gateway.gateway_url}/v1/assets/${gateway.serving[0]}/inference`;
  ({ payTo: receiver } = (await asked()).accepts[0]);
});

after(() => ledger?.stop());

const read = (functionName, args, of = token) => ledger.client.readContract({ ...of, functionName, args });
const balanceOf = (address) => read("balanceOf", [address]);
const channelOf = async (id) => {
  const [balance, totalClaimed] = await read("channels", [id], channels);
  return { balance, totalClaimed };
};
const call = (headers = {}) => ({
  method: "POST",
  headers: { "Content-Type": "application/json", ...headers },
  body: INPUT,
});

async function asked() {
  const response = await fetch(url, call());
  assert.equal(response.status, 402);
  return decodePaymentRequiredHeader(response.headers.get("PAYMENT-REQUIRED"));
}

async function newCustomer() {
  const account = privateKeyToAccount(generatePrivateKey());
  const hash = await ledger.client.writeContract({ ...token, functionName: "mint", args: [account.address, MINTED] });
  await ledger.client.waitForTransactionReceipt({ hash });
  return { account, ...customerOf(ledger, account, token) };
}

async function buy(customer, body = INPUT) {
  const response = await customer.fetch(url, { ...call(), body });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  const [{ classes }] = JSON.parse(text).answers;
  assert.equal(classes[0].label, "0", text);
  return decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));
}

/** Waits until `what` holds; the gateway works in the background. */
async function eventually(what, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await what();
    if (found !== false) return found;
    assert.ok(Date.now() < end, `expected it within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

test("a 402 says what any client must know, and crawlers too", async () => {
  const required = await asked();
  assert.equal(required.x402Version, 2);
  assert.deepEqual(
    required.accepts.map(({ scheme }) => scheme),
    ["batch-settlement", "exact"],
  );
  assert.equal(required.accepts[0].asset.toLowerCase(), token.address.toLowerCase());
  assert.equal(validateDiscoveryExtension(required.extensions.bazaar).valid, true);
});

test("hundreds of calls on one channel cost the payer their price and no gas, and reach the owner by themselves", async () => {
  const customer = await newCustomer();
  const price = BigInt((await asked()).accepts[0].amount);
  const first = await buy(customer);
  const id = first.extra.channelState.channelId;
  const deposited = BigInt(first.amount);
  let deposits = deposited;
  const CALLS = 300n;
  for (let made = 2n; made <= CALLS; made += 1n) {
    const paid = await buy(customer);
    if (paid.transaction !== "") deposits += BigInt(paid.amount);
    assert.equal(paid.extra.channelState.chargedCumulativeAmount, String(made * price));
  }
  assert.ok(deposits > deposited, "expected the channel to be topped up on the way");
  assert.equal(await balanceOf(customer.account.address), MINTED - deposits);
  assert.equal(await ledger.client.getBalance({ address: customer.account.address }), 0n, "no gas was needed");
  await eventually(async () => (await channelOf(id)).totalClaimed === CALLS * price);
  // Claimed, settled to the till and swept from there into the asset's revenue.
  await eventually(async () => (await balanceOf(receiver)) === 0n);
});

test("several payers at once are served, each on a channel of its own", async () => {
  const customers = [];
  // One after another: they are given their money by one account.
  for (let made = 0; made < 6; made += 1) customers.push(await newCustomer());
  const price = BigInt((await asked()).accepts[0].amount);
  const ids = await Promise.all(
    customers.map(async (customer) => {
      let paid;
      for (let made = 0; made < 25; made += 1) paid = await buy(customer);
      assert.equal(paid.extra.channelState.chargedCumulativeAmount, String(25n * price));
      return paid.extra.channelState.channelId;
    }),
  );
  assert.equal(new Set(ids).size, customers.length);
});

test("a client that forgot its channel is told where it stands and goes on", async () => {
  const customer = await newCustomer();
  const first = await buy(customer);
  await buy(customer);
  const forgetful = customerOf(ledger, customer.account, token);
  // Another question: the first one, asked again in the same words and with the same voucher, is answered for nothing.
  const third = await buy(forgetful, ANOTHER);
  assert.equal(third.extra.channelState.channelId, first.extra.channelState.channelId);
  assert.equal(BigInt(third.extra.channelState.chargedCumulativeAmount), 3n * BigInt(third.extra.chargedAmount));
});

test("what is left is given back on request, to the unit", async () => {
  const customer = await newCustomer();
  const price = BigInt((await asked()).accepts[0].amount);
  for (let made = 0; made < 3; made += 1) await buy(customer);
  const refund = await customer.refund(url);
  assert.equal(refund.success, true, refund.errorReason);
  assert.equal(await balanceOf(customer.account.address), MINTED - 3n * price);
  // The channel lives on, and what was charged stays in it until it is claimed.
  const again = await buy(customer, ANOTHER);
  assert.equal(again.extra.channelState.chargedCumulativeAmount, String(4n * price));
});

/** The headers with which a stock client pays this way, without sending them; good for as long as is asked, or `seconds`. */
async function signedBy(account, scheme, change = (payload) => payload, seconds = undefined) {
  const required = await asked();
  required.accepts = required.accepts.filter((way) => way.scheme === scheme);
  const { maxTimeoutSeconds } = required.accepts[0];
  required.accepts[0].maxTimeoutSeconds = seconds ?? maxTimeoutSeconds;
  const signer = toClientEvmSigner(account, ledger.client);
  const client = new x402Client()
    .register(ledger.network, new BatchSettlementEvmScheme(signer))
    .register(ledger.network, new ExactEvmScheme(signer))
    .setSpendControls({ allowedAssets: [{ network: ledger.network, asset: token.address }] });
  const signed = await client.createPaymentPayload(required);
  signed.accepted = { ...signed.accepted, maxTimeoutSeconds };
  const payload = change(signed, required);
  return { "PAYMENT-SIGNATURE": encodePaymentSignatureHeader(payload) };
}

test("one transfer pays one call, and a repetition of the request is answered and not paid again", async () => {
  const { account } = await newCustomer();
  const price = BigInt((await asked()).accepts[1].amount);
  const headers = await signedBy(account, "exact");
  const first = await fetch(url, call(headers));
  assert.equal(first.status, 200, await first.clone().text());
  const receipt = decodePaymentResponseHeader(first.headers.get("PAYMENT-RESPONSE"));
  assert.match(receipt.transaction, /^0x[0-9a-f]{64}$/);
  assert.equal(await balanceOf(account.address), MINTED - price);
  const second = await fetch(url, call(headers));
  assert.equal(second.status, 200);
  assert.equal(await second.text(), await first.text());
  assert.equal(await balanceOf(account.address), MINTED - price);
  const other = await fetch(url, { ...call(headers), body: INPUT.replace("13", "12") });
  assert.equal(other.status, 409, "the same payment for another request");
});

test("a payment that its payer named is not taken twice", async () => {
  const { account } = await newCustomer();
  const name = (payload, required) => ({
    ...payload,
    extensions: appendPaymentIdentifierToExtensions(structuredClone(required.extensions), "call_0123456789abcdef"),
  });
  const headers = await signedBy(account, "batch-settlement", name);
  const first = await fetch(url, call(headers));
  assert.equal(first.status, 200, await first.clone().text());
  const charged = (response) =>
    decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE")).extra.channelState.chargedCumulativeAmount;
  const again = await fetch(url, call(headers));
  assert.equal(again.status, 200, await again.clone().text());
  assert.equal(charged(again), charged(first));
});

test("a payment that is not what was asked for is refused and takes nothing", async () => {
  const { account } = await newCustomer();
  const stranger = privateKeyToAccount(generatePrivateKey());
  const refused = async (scheme, change, status = 402) => {
    const response = await fetch(url, call(await signedBy(account, scheme, change)));
    assert.equal(response.status, status, await response.clone().text());
    assert.equal((await response.json()).status, status);
    const header = response.headers.get("PAYMENT-REQUIRED");
    return header === null ? undefined : decodePaymentRequiredHeader(header).error;
  };
  const edit = (path, value) => (payload) => {
    const edited = structuredClone(payload);
    const at = path.slice(0, -1).reduce((object, key) => object[key], edited);
    at[path.at(-1)] = value;
    return edited;
  };
  assert.equal(await refused("exact", edit(["accepted", "amount"], "1")), "No matching payment requirements");
  assert.equal(await refused("exact", edit(["accepted", "network"], "eip155:1")), "No matching payment requirements");
  assert.equal(
    await refused("exact", edit(["payload", "authorization", "to"], stranger.address)),
    "invalid_exact_evm_recipient_mismatch",
  );
  assert.equal(
    await refused("exact", edit(["payload", "authorization", "value"], "1")),
    "invalid_exact_evm_authorization_value",
  );
  assert.equal(
    await refused("exact", edit(["payload", "authorization", "validBefore"], "1")),
    "invalid_exact_evm_signature",
  );
  assert.equal(
    await refused("exact", edit(["payload", "authorization", "from"], stranger.address)),
    "invalid_exact_evm_signature",
  );
  assert.equal(
    await refused("batch-settlement", edit(["payload", "channelConfig", "receiver"], stranger.address)),
    "invalid_batch_settlement_evm_receiver_mismatch",
  );
  assert.equal(
    await refused("batch-settlement", edit(["payload", "channelConfig", "payerAuthorizer"], stranger.address)),
    "invalid_batch_settlement_evm_channel_id_mismatch",
  );
  assert.equal(
    await refused("batch-settlement", edit(["payload", "voucher", "maxClaimableAmount"], "1")),
    "invalid_batch_settlement_evm_voucher_signature",
  );
  assert.equal(
    await refused("batch-settlement", edit(["payload", "deposit", "amount"], "1")),
    "invalid_batch_settlement_evm_deposit_below_min_deposit",
  );
  await refused("exact", edit(["x402Version"], 1), 400);
  assert.equal(await balanceOf(account.address), MINTED);
  const garbage = await fetch(url, call({ "PAYMENT-SIGNATURE": "????" }));
  assert.equal(garbage.status, 400);
  assert.equal(garbage.headers.get("Content-Type"), "application/problem+json");
});

test("a payment that its payer signed for too short or too long is refused and takes nothing", async () => {
  const { account } = await newCustomer();
  const refused = async (scheme, seconds, change) => {
    const response = await fetch(url, call(await signedBy(account, scheme, change, seconds)));
    assert.equal(response.status, 402, await response.clone().text());
    return decodePaymentRequiredHeader(response.headers.get("PAYMENT-REQUIRED")).error;
  };
  const exact = "invalid_exact_evm_payload_authorization_valid_before";
  const deposit = "invalid_batch_settlement_evm_payload_authorization_valid_before";
  // It has ended; it ends before the ledger can have it; what served before is not remembered for so long.
  assert.equal(await refused("exact", -60), exact);
  assert.equal(await refused("exact", 3), exact);
  assert.equal(await refused("exact", 86_400), exact);
  assert.equal(await refused("batch-settlement", -60), deposit);
  assert.equal(await refused("batch-settlement", 3), deposit);
  // Another time than the one asked for is another way to pay.
  const another = (payload) => ({ ...payload, accepted: { ...payload.accepted, maxTimeoutSeconds: 86_400 } });
  assert.equal(await refused("exact", 86_400, another), "No matching payment requirements");
  assert.equal(await balanceOf(account.address), MINTED);
  const good = await fetch(url, call(await signedBy(account, "exact")));
  assert.equal(good.status, 200, await good.clone().text());
});

test("a payer that asks to withdraw is claimed at once, and gets the rest after the delay", async () => {
  const customer = await newCustomer();
  const paid = await buy(customer);
  const { channelId } = paid.extra.channelState;
  const [created] = await ledger.client.getContractEvents({
    ...channels,
    eventName: "ChannelCreated",
    args: { channelId },
    fromBlock: 0n,
    strict: true,
  });
  const { config } = created.args;
  const gas = await ledger.client.sendTransaction({ to: customer.account.address, value: 10n ** 17n });
  await ledger.client.waitForTransactionReceipt({ hash: gas });
  const write = async (functionName, args) => {
    const hash = await ledger.client.writeContract({ ...channels, functionName, args, account: customer.account });
    const { status } = await ledger.client.waitForTransactionReceipt({ hash });
    assert.equal(status, "success");
  };
  const price = BigInt(paid.extra.chargedAmount);
  const left = BigInt(paid.amount) - price;
  await write("initiateWithdraw", [config, left]);
  await eventually(async () => (await channelOf(channelId)).totalClaimed === price);
  const refused = await customer.fetch(url, call()).catch((error) => error);
  assert.notEqual(refused.status, 200, "what is being withdrawn pays for nothing");
  // From here on the ledger's clock is ahead of everybody else's: this test is the last.
  await ledger.client.request({ method: "evm_increaseTime", params: [Number(config.withdrawDelay)] });
  await ledger.client.request({ method: "evm_mine", params: [] });
  await write("finalizeWithdraw", [config]);
  assert.equal(await balanceOf(customer.account.address), MINTED - price);
});
