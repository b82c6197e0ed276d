// The peer: a stock x402 server whose stock facilitator works in the same process, as e2e/x402 puts them together, on the
// ledger at RESIDUAL_RPC_URL. Its channels are in memory, its default. Says where it sells, and ends with its input.
import { createRequire } from "node:module";
import { openLedger } from "../../e2e/x402/ledger.mjs";
import { facilitatorOn, openShop } from "../../e2e/x402/market.mjs";

const require = createRequire(new URL("../../e2e/x402/package.json", import.meta.url));
const { generatePrivateKey, privateKeyToAccount } = require("viem/accounts");

const ledger = await openLedger();
const shop = await openShop({
  network: ledger.network,
  facilitator: facilitatorOn(ledger),
  receiver: privateKeyToAccount(generatePrivateKey()).address,
  receiverAuthorizer: privateKeyToAccount(generatePrivateKey()),
  token: { ...(await ledger.deploy("TestUSD")), name: "Test USD", version: "1" },
  price: 2_000n,
  withdrawDelay: 86_400,
});
process.stdout.write(`${JSON.stringify(`${shop.url}/metered`)}\n`);
process.stdin.resume().on("end", () => {
  shop.close();
  ledger.stop();
});
