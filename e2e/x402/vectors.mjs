// Writes contracts/test/vectors/x402.json: what the stock x402 library computes and signs for fixed inputs, so that the
// contracts are compared with it and not with themselves.
//   node vectors.mjs           writes
//   node vectors.mjs --check   writes nothing, fails when the file is not what the library gives
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  BATCH_SETTLEMENT_ADDRESS,
  BATCH_SETTLEMENT_DOMAIN,
  ERC3009_DEPOSIT_COLLECTOR_ADDRESS,
  claimBatchTypes,
  refundTypes,
  voucherTypes,
} from "@x402/evm";
import {
  computeChannelId,
  createBatchSettlementEIP3009DepositPayload,
  signVoucher,
} from "@x402/evm/batch-settlement/client";
import { BatchSettlementEvmScheme as Facilitator } from "@x402/evm/batch-settlement/facilitator";
import { encodeFunctionResult, hashTypedData, keccak256, pad, parseAbi, stringToBytes, toHex } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const FILE = fileURLToPath(new URL("../../contracts/test/vectors/x402.json", import.meta.url));

// Not the chain that forge simulates by default: a test that forgets to set the chain must fail.
const CHAIN_ID = 84_532;
const NETWORK = `eip155:${CHAIN_ID}`;
const NOW_S = 1_800_000_000;
const TOKEN = "0x7057057057057057057057057057057057057057";
const TOKEN_NAME = "Test USD";
const TOKEN_VERSION = "1";

const key = (name) => keccak256(stringToBytes(`x402 vector: ${name}`));
const payer = privateKeyToAccount(key("payer"));
const payerAuthorizer = privateKeyToAccount(key("payer authorizer"));
const receiverAuthorizer = privateKeyToAccount(key("receiver authorizer"));

function channelConfig(salt, overrides = {}) {
  return {
    payer: payer.address,
    payerAuthorizer: payerAuthorizer.address,
    receiver: "0x7111111111111111111111111111111111111117",
    receiverAuthorizer: receiverAuthorizer.address,
    token: TOKEN,
    withdrawDelay: 86_400,
    salt: pad(toHex(salt)),
    ...overrides,
  };
}

const domain = { ...BATCH_SETTLEMENT_DOMAIN, chainId: CHAIN_ID, verifyingContract: BATCH_SETTLEMENT_ADDRESS };

async function signed(account, types, primaryType, message) {
  const typedData = { domain, types, primaryType, message };
  return { digest: hashTypedData(typedData), signature: await account.signTypedData(typedData) };
}

async function voucher(config, maxClaimableAmount) {
  const channelId = computeChannelId(config, NETWORK);
  const { signature } = await signVoucher(payerAuthorizer, channelId, String(maxClaimableAmount), NETWORK);
  const { digest } = await signed(payerAuthorizer, voucherTypes, "Voucher", { channelId, maxClaimableAmount });
  return { config, channelId, maxClaimableAmount: String(maxClaimableAmount), digest, signature };
}

/** What the stock client signs for a deposit, and the calldata that the stock facilitator makes of it. */
async function deposit(config, amount, maxClaimableAmount) {
  const requirements = {
    scheme: "batch-settlement",
    network: NETWORK,
    amount: String(maxClaimableAmount),
    asset: TOKEN,
    payTo: config.receiver,
    maxTimeoutSeconds: 3_600,
    extra: {
      name: TOKEN_NAME,
      version: TOKEN_VERSION,
      receiverAuthorizer: config.receiverAuthorizer,
      withdrawDelay: config.withdrawDelay,
    },
  };
  const { payload } = await withFixedClockAndRandomness(() =>
    createBatchSettlementEIP3009DepositPayload(
      payer,
      2,
      requirements,
      config,
      String(amount),
      String(maxClaimableAmount),
      payerAuthorizer,
    ),
  );

  let sent;
  const views = parseAbi([
    "function channels(bytes32) view returns (uint128, uint128)",
    "function balanceOf(address) view returns (uint256)",
    "function pendingWithdrawals(bytes32) view returns (uint128, uint40)",
    "function refundNonce(bytes32) view returns (uint256)",
  ]);
  const answers = { channels: [0n, 0n], balanceOf: amount, pendingWithdrawals: [0n, 0], refundNonce: 0n };
  const ledger = {
    getAddresses: () => [receiverAuthorizer.address],
    getCode: async () => undefined,
    readContract: async ({ functionName, args }) => {
      if (functionName === "deposit") {
        sent = args;
        return undefined;
      }
      return Object.entries(answers).map(([name, result]) => ({
        success: true,
        returnData: encodeFunctionResult({ abi: views, functionName: name, result }),
      }));
    },
  };
  const verified = await withFixedClockAndRandomness(() =>
    new Facilitator(ledger).verify({ x402Version: 2, accepted: requirements, payload }, requirements),
  );
  if (!verified.isValid) throw new Error(`the stock facilitator refuses its own client: ${verified.invalidReason}`);
  const [, sentAmount, collector, collectorData] = sent;
  return { config, amount: String(sentAmount), collector, collectorData, validBefore: NOW_S + 3_600 };
}

/** The library reads the clock and draws salts by itself; a vector needs both to stand still. */
async function withFixedClockAndRandomness(work) {
  const { now } = Date;
  const { getRandomValues } = globalThis.crypto;
  Date.now = () => NOW_S * 1_000;
  globalThis.crypto.getRandomValues = (array) => array.fill(7);
  try {
    return await work();
  } finally {
    Date.now = now;
    globalThis.crypto.getRandomValues = getRandomValues;
  }
}

async function vectors() {
  const first = channelConfig(1);
  const second = channelConfig(2, { withdrawDelay: 2_592_000 });
  const byPayerItself = channelConfig(3, { payerAuthorizer: "0x0000000000000000000000000000000000000000" });
  const largest = channelConfig(2n ** 256n - 1n, { withdrawDelay: 900 });

  const vouchers = [await voucher(first, 700n), await voucher(second, 1_000_000n), await voucher(largest, 2n ** 128n - 1n)];
  const totals = [650n, 1_000_000n];
  const claims = vouchers.slice(0, 2).map(({ channelId, maxClaimableAmount }, i) => ({
    channelId,
    maxClaimableAmount: BigInt(maxClaimableAmount),
    totalClaimed: totals[i],
  }));
  const refund = { channelId: vouchers[0].channelId, nonce: 3n, amount: 250n };

  return {
    source: "@x402/evm 2.27.0 and viem 2.57.1; written by e2e/x402/vectors.mjs",
    chainId: CHAIN_ID,
    channels: BATCH_SETTLEMENT_ADDRESS,
    eip3009DepositCollector: ERC3009_DEPOSIT_COLLECTOR_ADDRESS,
    token: { address: TOKEN, name: TOKEN_NAME, version: TOKEN_VERSION },
    now: NOW_S,
    vouchers,
    channelIdWithoutAuthorizer: computeChannelId(byPayerItself, NETWORK),
    channelWithoutAuthorizer: byPayerItself,
    claimBatch: {
      totals: totals.map(String),
      ...(await signed(receiverAuthorizer, claimBatchTypes, "ClaimBatch", { claims })),
    },
    emptyClaimBatchDigest: hashTypedData({
      domain,
      types: claimBatchTypes,
      primaryType: "ClaimBatch",
      message: { claims: [] },
    }),
    refund: {
      channelId: refund.channelId,
      nonce: String(refund.nonce),
      amount: String(refund.amount),
      ...(await signed(receiverAuthorizer, refundTypes, "Refund", refund)),
    },
    deposit: await deposit(first, 5_000n, 700n),
  };
}

const text = `${JSON.stringify(await vectors(), null, 2)}\n`;
if (process.argv.includes("--check")) {
  if (readFileSync(FILE, "utf8") !== text) {
    console.error("contracts/test/vectors/x402.json is not what the stock library gives; run node e2e/x402/vectors.mjs");
    process.exitCode = 1;
  }
} else {
  writeFileSync(FILE, text);
}
