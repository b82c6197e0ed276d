// The ledger under test: the one at RESIDUAL_RPC_URL, whose RESIDUAL_FUNDED_KEY pays gas, or else a fresh anvil that gets
// the contracts' runtime code where stock clients look for it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createTestClient, createWalletClient, defineChain, http, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const ABI = new URL("../../contracts/abi/", import.meta.url);
const ANVIL = fileURLToPath(new URL("node_modules/.bin/anvil", import.meta.url));
// The first account that anvil funds, the same for everyone.
const ANVIL_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const START_LIMIT_MS = 20_000;

/** The committed ABI and code of a released contract. */
export function contract(name) {
  return JSON.parse(readFileSync(new URL(`${name}.json`, ABI), "utf8"));
}

/** Resolves to `{ client, network, deploy, stop }`; `client` reads, and writes as the funded account. */
export async function openLedger() {
  const given = process.env.RESIDUAL_RPC_URL;
  const { url, stop } = given ? { url: given, stop: () => {} } : await startAnvil();
  try {
    const chain = defineChain({
      id: await chainId(url),
      name: "under test",
      nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
      rpcUrls: { default: { http: [url] } },
    });
    const account = privateKeyToAccount(process.env.RESIDUAL_FUNDED_KEY ?? ANVIL_KEY);
    const client = createWalletClient({ account, chain, transport: http(url), pollingInterval: 20 }).extend(
      publicActions,
    );
    await provideCanonicalContracts(client, given === undefined);

    const deploy = async (name) => {
      const { abi, bytecode } = contract(name);
      const hash = await client.deployContract({ abi, bytecode });
      const receipt = await client.waitForTransactionReceipt({ hash });
      return { abi, address: receipt.contractAddress };
    };
    return { client, network: `eip155:${chain.id}`, deploy, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

async function startAnvil() {
  const anvil = spawn(ANVIL, ["--port", "0", "--chain-id", "740617"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const stop = () => anvil.kill();
  const lines = createInterface({ input: anvil.stdout });
  const timer = setTimeout(stop, START_LIMIT_MS);
  try {
    for await (const line of lines) {
      const port = /Listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port) return { url: `http://127.0.0.1:${port}`, stop };
    }
  } finally {
    clearTimeout(timer);
    anvil.stdout.resume();
  }
  const [code] = anvil.exitCode === null ? await once(anvil, "exit") : [anvil.exitCode];
  throw new Error(`expected anvil to listen within ${START_LIMIT_MS} ms, it ended with ${code}`);
}

async function chainId(url) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_chainId", params: [] }),
  });
  return Number((await response.json()).result);
}

async function provideCanonicalContracts(client, place) {
  for (const { contract: name, address } of contract("canonical")) {
    const { deployedBytecode } = contract(name);
    if (place) {
      await createTestClient({ mode: "anvil", chain: client.chain, transport: http(client.transport.url) }).setCode({
        address,
        bytecode: deployedBytecode,
      });
    }
    const code = await client.getCode({ address });
    if (code === undefined) throw new Error(`expected ${name} at ${address}, found no code; the ledger must provide it`);
  }
}
