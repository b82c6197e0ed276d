// Unmodified x402 2.27 peers (client, server, facilitator) on this project's contracts: a deposit, metered requests, the
// claim, the settlement and the refund, to the unit.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { decodePaymentResponseHeader } from "@x402/fetch";
import { BATCH_SETTLEMENT_ADDRESS } from "@x402/evm";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { contract, openLedger } from "./ledger.mjs";
import { customerOf, facilitatorOn, openShop } from "./market.mjs";

const PRICE = 1_000n;
const MINTED = 1_000_000n;
const WITHDRAW_DELAY_S = 86_400;
const channels = { address: BATCH_SETTLEMENT_ADDRESS, abi: contract("Channels").abi };

let ledger;
let token;
let facilitator;

before(async () => {
  ledger = await openLedger();
  token = { ...(await ledger.deploy("TestUSD")), name: "Test USD", version: "1" };
  facilitator = facilitatorOn(ledger);
});

after(() => ledger?.stop());

const newAccount = () => privateKeyToAccount(generatePrivateKey());
const balanceOf = (account) => ledger.client.readContract({ ...token, functionName: "balanceOf", args: [account] });
const channelOf = async (id) => {
  const [balance, totalClaimed] = await ledger.client.readContract({
    ...channels,
    functionName: "channels",
    args: [id],
  });
  return { balance, totalClaimed };
};

async function newCustomer() {
  const account = newAccount();
  const hash = await ledger.client.writeContract({ ...token, functionName: "mint", args: [account.address, MINTED] });
  await ledger.client.waitForTransactionReceipt({ hash });
  return account;
}

/** A shop whose receiver has no code and no history, as an asset's till before its first sweep. */
async function newShop(t) {
  const receiver = newAccount().address;
  const shop = await openShop({
    network: ledger.network,
    facilitator,
    receiver,
    receiverAuthorizer: newAccount(),
    token,
    price: PRICE,
    withdrawDelay: WITHDRAW_DELAY_S,
  });
  t.after(shop.close);
  return { ...shop, receiver };
}

async function buy(customer, url) {
  const response = await customer.fetch(url);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  assert.deepEqual(JSON.parse(text), { answer: 42 });
  return decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));
}

test("a stock client deposits, pays by vouchers and gets the rest back; a stock server claims and settles", async (t) => {
  const shop = await newShop(t);
  const account = await newCustomer();
  const customer = customerOf(ledger, account, token);
  const held = await balanceOf(BATCH_SETTLEMENT_ADDRESS);

  const first = await buy(customer, `${shop.url}/metered`);
  const id = first.extra.channelState.channelId;
  const deposited = BigInt(first.amount);
  assert.ok(deposited > 5n * PRICE, `expected a deposit for several requests, found ${deposited}`);
  for (let request = 2; request <= 5; request += 1) {
    const paid = await buy(customer, `${shop.url}/metered`);
    assert.equal(paid.transaction, "", "a voucher needs no transaction");
    assert.equal(paid.extra.channelState.chargedCumulativeAmount, String(PRICE * BigInt(request)));
  }
  assert.deepEqual(await channelOf(id), { balance: deposited, totalClaimed: 0n });
  assert.equal(await balanceOf(account.address), MINTED - deposited);

  const { claims, settle } = await shop.manager.claimAndSettle();
  assert.deepEqual(
    claims.map(({ vouchers }) => vouchers),
    [1],
  );
  assert.match(settle.transaction, /^0x[0-9a-f]{64}$/);
  assert.deepEqual(await channelOf(id), { balance: deposited, totalClaimed: 5n * PRICE });
  assert.equal(await balanceOf(shop.receiver), 5n * PRICE);

  // One more after the claim, so that the refund has a voucher to claim in the same transaction.
  await buy(customer, `${shop.url}/metered`);
  const refund = await customer.refund(`${shop.url}/metered`);
  assert.equal(refund.success, true, refund.errorReason);
  assert.equal(BigInt(refund.amount), deposited - 6n * PRICE);
  assert.equal(await balanceOf(account.address), MINTED - 6n * PRICE);

  await shop.manager.settle();
  assert.equal(await balanceOf(shop.receiver), 6n * PRICE);
  assert.equal(await balanceOf(BATCH_SETTLEMENT_ADDRESS), held);
});

test("a stock client tops its channel up when it runs dry", async (t) => {
  const shop = await newShop(t);
  const account = await newCustomer();
  const customer = customerOf(ledger, account, token);

  const first = await buy(customer, `${shop.url}/metered`);
  const requests = Number(BigInt(first.amount) / PRICE) + 1;
  let last;
  for (let request = 2; request <= requests; request += 1) last = await buy(customer, `${shop.url}/metered`);
  assert.match(last.transaction, /^0x[0-9a-f]{64}$/, "expected a second deposit");
  const { balance } = await channelOf(first.extra.channelState.channelId);
  assert.equal(balance, BigInt(first.amount) + BigInt(last.amount));

  await shop.manager.claimAndSettle();
  assert.equal(await balanceOf(shop.receiver), PRICE * BigInt(requests));
});

test("a stock client that forgot its channel finds it on the ledger", async (t) => {
  const shop = await newShop(t);
  const account = await newCustomer();

  const first = await buy(customerOf(ledger, account, token), `${shop.url}/metered`);
  const second = await buy(customerOf(ledger, account, token), `${shop.url}/metered`);
  assert.equal(second.extra.channelState.channelId, first.extra.channelState.channelId);
  assert.equal(second.extra.channelState.chargedCumulativeAmount, String(2n * PRICE));
});

test("a stock facilitator sees a pending withdrawal", async (t) => {
  const shop = await newShop(t);
  const account = await newCustomer();
  const first = await buy(customerOf(ledger, account, token), `${shop.url}/metered`);
  const channelId = first.extra.channelState.channelId;
  assert.equal(first.extra.channelState.withdrawRequestedAt, 0);
  const [created] = await ledger.client.getContractEvents({
    ...channels,
    eventName: "ChannelCreated",
    args: { channelId },
    fromBlock: 0n,
    strict: true,
  });
  const { config } = created.args;
  assert.equal(config.withdrawDelay, WITHDRAW_DELAY_S);

  const gas = await ledger.client.sendTransaction({ to: account.address, value: 10n ** 17n });
  await ledger.client.waitForTransactionReceipt({ hash: gas });
  const hash = await ledger.client.writeContract({
    ...channels,
    functionName: "initiateWithdraw",
    args: [config, 1n],
    account,
  });
  const { status } = await ledger.client.waitForTransactionReceipt({ hash });
  assert.equal(status, "success");

  const forgetful = customerOf(ledger, account, token);
  const topUp = 2n * BigInt(first.amount);
  let last;
  for (let request = 0n; request * PRICE < topUp && !last?.transaction; request += 1n) {
    last = await buy(forgetful, `${shop.url}/metered`);
  }
  assert.ok(last.extra.channelState.withdrawRequestedAt > 0, "expected the deposit's answer to tell of the withdrawal");
});

test("a stock client pays exactly, by one EIP-3009 transfer", async (t) => {
  const shop = await newShop(t);
  const account = await newCustomer();
  const paid = await buy(customerOf(ledger, account, token), `${shop.url}/exact`);
  assert.match(paid.transaction, /^0x[0-9a-f]{64}$/);
  assert.equal(await balanceOf(shop.receiver), PRICE);
  assert.equal(await balanceOf(account.address), MINTED - PRICE);
});
