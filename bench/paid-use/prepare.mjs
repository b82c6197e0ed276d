// Opens channels at any x402 v2 server of the scheme batch-settlement and signs vouchers ahead, with stock parts:
// prepare.mjs URL BODY COUNT...  one channel for each count; RESIDUAL_RPC_URL says where the ledger is. The first payment of
// a channel, which deposits, is sent; the others are printed, one a line: the channel's number, a tab, the header.
import { createRequire } from "node:module";
import { openLedger } from "../../e2e/x402/ledger.mjs";

const require = createRequire(new URL("../../e2e/x402/package.json", import.meta.url));
const { decodePaymentRequiredHeader, encodePaymentSignatureHeader } = require("@x402/core/http");
const { toClientEvmSigner } = require("@x402/evm");
const batch = require("@x402/evm/batch-settlement/client");
const { generatePrivateKey, privateKeyToAccount } = require("viem/accounts");

const MINT = ["function mint(address to, uint256 amount)"];
const [url, body, ...counts] = process.argv.slice(2);
const call = (headers = {}) =>
  fetch(url, body ? { method: "POST", body, headers: { "Content-Type": "application/json", ...headers } } : { headers });

const ledger = await openLedger();
const account = privateKeyToAccount(generatePrivateKey());
const signer = toClientEvmSigner(account, ledger.client);
const required = decodePaymentRequiredHeader((await call()).headers.get("PAYMENT-REQUIRED"));
const accepted = required.accepts.find(({ scheme }) => scheme === "batch-settlement");
const price = BigInt(accepted.amount);
const total = counts.reduce((sum, count) => sum + BigInt(count) + 1n, 0n) * price;
const mint = { address: accepted.asset, abi: require("viem").parseAbi(MINT), functionName: "mint" };
const hash = await ledger.client.writeContract({ ...mint, args: [account.address, total] });
await ledger.client.waitForTransactionReceipt({ hash });

const header = ({ payload }) =>
  encodePaymentSignatureHeader({ x402Version: 2, resource: required.resource, accepted, payload });
for (const [channel, count] of counts.entries()) {
  const salt = `0x${channel.toString(16).padStart(64, "0")}`;
  const config = new batch.BatchSettlementEvmScheme(signer, { salt }).buildChannelConfig(accepted);
  const deposit = String((BigInt(count) + 1n) * price);
  const first = await batch.createBatchSettlementEIP3009DepositPayload(
    signer, 2, accepted, config, deposit, String(price),
  );
  const response = await call({ "PAYMENT-SIGNATURE": header(first) });
  if (response.status !== 200) throw new Error(`expected the deposit to be taken, found ${await response.text()}`);
  const id = batch.computeChannelId(config, ledger.network);
  const lines = [];
  for (let made = 2n; made <= BigInt(count) + 1n; made += 1n) {
    const voucher = await batch.signVoucher(signer, id, String(made * price), ledger.network);
    lines.push(`${channel}\t${header({ payload: { type: "voucher", channelConfig: config, voucher } })}\n`);
  }
  process.stdout.write(lines.join(""));
}
ledger.stop();
