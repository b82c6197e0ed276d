// A stock x402 2.27 resource server, unmodified, lets this project's gateway check and settle what a stock client pays into
// an asset's till; and the gateway carries out nothing else.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { x402Client } from "@x402/core/client";
import { decodePaymentRequiredHeader, encodePaymentSignatureHeader, HTTPFacilitatorClient } from "@x402/core/http";
import { toClientEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { decodePaymentResponseHeader } from "@x402/fetch";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { contract, openLedger } from "./ledger.mjs";
import { customerOf, openShop } from "./market.mjs";

const gateway = JSON.parse(process.env.RESIDUAL_UP ?? "null");
const PRICE = 1_000n;
const MINTED = 1_000_000n;

let ledger;
let token;
let till;
let facilitator;
let shop;

before(async () => {
  assert.ok(gateway, "expected what `residual up --demo --json` printed in RESIDUAL_UP");
  ledger = await openLedger();
  token = { address: gateway.currency, abi: contract("TestUSD").abi, name: "Test USD", version: "1" };
  const asked = await fetch(modelUrl(), { method: "GET" });
  till = decodePaymentRequiredHeader(asked.headers.get("PAYMENT-REQUIRED")).accepts[0].payTo;
  facilitator = new HTTPFacilitatorClient({ url: `${gateway.gateway_url}/v1/facilitator` });
  shop = await openAt(till);
});

after(() => {
  shop?.close();
  ledger?.stop();
});

const modelUrl = () => `${gateway.gateway_url}/v1/assets/${gateway.serving[0]}/inference`;
const openAt = (receiver) =>
  openShop({ network: ledger.network, facilitator, receiver, token, price: PRICE, schemes: ["exact"] });
const balanceOf = (account) => ledger.client.readContract({ ...token, functionName: "balanceOf", args: [account] });

async function newCustomer(minted = MINTED) {
  const account = privateKeyToAccount(generatePrivateKey());
  const hash = await ledger.client.writeContract({ ...token, functionName: "mint", args: [account.address, minted] });
  await ledger.client.waitForTransactionReceipt({ hash });
  return account;
}

/** What a stock client would send for what `url` asks for by `exact`, and what was asked for. */
async function signedFor(account, url) {
  const response = await fetch(url);
  assert.equal(response.status, 402);
  const required = decodePaymentRequiredHeader(response.headers.get("PAYMENT-REQUIRED"));
  required.accepts = required.accepts.filter(({ scheme }) => scheme === "exact");
  const client = new x402Client()
    .register(ledger.network, new ExactEvmScheme(toClientEvmSigner(account, ledger.client)))
    .setSpendControls({ allowedAssets: [{ network: ledger.network, asset: token.address }] });
  const payload = await client.createPaymentPayload(required);
  return { payload, requirements: required.accepts[0], header: encodePaymentSignatureHeader(payload) };
}

test("the gateway says what it settles, and who sends it", async () => {
  const { kinds, signers } = await facilitator.getSupported();
  assert.deepEqual(kinds, [{ x402Version: 2, scheme: "exact", network: ledger.network }]);
  const about = await (await fetch(`${gateway.gateway_url}/v1/gateway`)).json();
  assert.deepEqual(signers, { "eip155:*": [about.gateway] });
});

test("a stock client pays a stock server, and the gateway settles it into the asset's revenue", async () => {
  const account = await newCustomer();
  const response = await customerOf(ledger, account, token).fetch(`${shop.url}/exact`);
  assert.equal(response.status, 200, await response.clone().text());
  assert.deepEqual(await response.json(), { answer: 42 });
  const paid = decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));
  assert.equal(paid.payer.toLowerCase(), account.address.toLowerCase());
  assert.equal(await balanceOf(account.address), MINTED - PRICE);
  assert.equal(await ledger.client.getBalance({ address: account.address }), 0n, "no gas was needed");
  const { status } = await ledger.client.getTransactionReceipt({ hash: paid.transaction });
  assert.equal(status, "success");
  // It is swept from there by itself.
  const end = Date.now() + 30_000;
  while ((await balanceOf(till)) !== 0n) assert.ok(Date.now() < end, "expected the till to be swept");
});

test("a payment succeeds once: settled again it moves nothing and names its transaction", async () => {
  const account = await newCustomer();
  const { payload, requirements } = await signedFor(account, `${shop.url}/exact`);
  const good = await facilitator.verify(payload, requirements);
  assert.deepEqual([good.isValid, good.payer], [true, account.address.toLowerCase()]);
  // At once: one is told of success, whichever comes first.
  const both = await Promise.all([1, 2].map(() => facilitator.settle(payload, requirements)));
  const [done, again] = both[0].success ? both : both.reverse();
  assert.deepEqual([done.success, again.success], [true, false]);
  assert.equal(again.errorReason, "invalid_exact_evm_nonce_already_used");
  assert.equal(again.transaction, done.transaction);
  assert.equal(done.amount, String(PRICE));
  assert.equal(await balanceOf(account.address), MINTED - PRICE);
  const { isValid, invalidReason } = await facilitator.verify(payload, requirements);
  assert.deepEqual([isValid, invalidReason], [false, "invalid_exact_evm_nonce_already_used"]);
});

test("what was settled for another server pays no call here, and the other way round", async () => {
  const [one, other] = [await newCustomer(), await newCustomer()];
  const body = JSON.stringify({ tensor: [Array(64).fill(0)] });
  const call = (header) =>
    fetch(modelUrl(), {
      method: "POST",
      headers: { "Content-Type": "application/json", "PAYMENT-SIGNATURE": header },
      body,
    });
  const elsewhere = await signedFor(one, modelUrl());
  assert.equal((await facilitator.settle(elsewhere.payload, elsewhere.requirements)).success, true);
  const refused = await call(elsewhere.header);
  assert.equal(refused.status, 402, await refused.clone().text());
  const here = await signedFor(other, modelUrl());
  const served = await call(here.header);
  assert.equal(served.status, 200, await served.clone().text());
  const settled = await facilitator.settle(here.payload, here.requirements);
  assert.deepEqual([settled.success, settled.errorReason], [false, "invalid_exact_evm_nonce_already_used"]);
});

test("a payment to a stranger is refused, and so the stranger's server sells nothing", async () => {
  const stranger = privateKeyToAccount(generatePrivateKey()).address;
  const theirs = await openAt(stranger);
  try {
    const account = await newCustomer();
    const { payload, requirements } = await signedFor(account, `${theirs.url}/exact`);
    const { isValid, invalidReason } = await facilitator.verify(payload, requirements);
    assert.deepEqual([isValid, invalidReason], [false, "invalid_payment_requirements"]);
    const response = await customerOf(ledger, account, token).fetch(`${theirs.url}/exact`);
    assert.equal(response.status, 402);
    assert.equal(await balanceOf(account.address), MINTED);
  } finally {
    theirs.close();
  }
});

test("a payment that is not good is refused by its exact name, and moves nothing", async () => {
  const account = await newCustomer();
  const stranger = privateKeyToAccount(generatePrivateKey()).address;
  const { payload, requirements } = await signedFor(account, `${shop.url}/exact`);
  const refused = async (change) => {
    const edited = structuredClone({ payload, requirements });
    change(edited.payload, edited.requirements, edited.payload.payload.authorization);
    const verified = await facilitator.verify(edited.payload, edited.requirements);
    const settled = await facilitator.settle(edited.payload, edited.requirements);
    assert.deepEqual([verified.isValid, settled.success, settled.transaction], [false, false, ""]);
    assert.equal(verified.invalidReason, settled.errorReason);
    return settled.errorReason;
  };
  const is = async (change, reason) => assert.equal(await refused(change), reason);
  await is((payload) => (payload.x402Version = 1), "invalid_x402_version");
  await is((_, requirements) => (requirements.scheme = "batch-settlement"), "invalid_exact_evm_scheme");
  await is((payload) => (payload.accepted.scheme = "upto"), "invalid_exact_evm_scheme");
  await is((_, requirements) => (requirements.network = "eip155:1"), "invalid_exact_evm_network_mismatch");
  await is((_, requirements) => (requirements.asset = stranger), "invalid_payment_requirements");
  await is((_, requirements) => (requirements.payTo = stranger), "invalid_exact_evm_recipient_mismatch");
  await is((_, requirements) => (requirements.amount = "999"), "invalid_exact_evm_authorization_value");
  await is((payload) => (payload.payload = {}), "invalid_payload");
  await is((payload) => (payload.payload.signature = "0x1234"), "invalid_exact_evm_signature");
  await is((_, __, authorization) => (authorization.from = stranger), "invalid_exact_evm_signature");
  const [before, after] = ["valid_before", "valid_after"].map(
    (end) => `invalid_exact_evm_payload_authorization_${end}`,
  );
  await is((_, __, authorization) => (authorization.validBefore = "1"), before);
  await is((_, __, authorization) => (authorization.validAfter = authorization.validBefore), after);
  assert.equal(await balanceOf(account.address), MINTED);

  const poor = await newCustomer(PRICE - 1n);
  const signed = await signedFor(poor, `${shop.url}/exact`);
  const { invalidReason } = await facilitator.verify(signed.payload, signed.requirements);
  assert.equal(invalidReason, "invalid_exact_evm_insufficient_balance");
});
