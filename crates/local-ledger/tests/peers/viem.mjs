// What viem does with a chain, over HTTP and over WebSocket: node viem.mjs HTTP WS CHAIN_ID KEY INIT_CODE
import assert from 'node:assert/strict'
import {
  createPublicClient, createWalletClient, defineChain, http, parseEther, webSocket, BaseError,
  ExecutionRevertedError, NonceTooLowError,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const [httpUrl, wsUrl, chainId, key, initCode] = process.argv.slice(2)
const somebody = '0x00000000000000000000000000000000000000bb'
const chain = defineChain({
  id: Number(chainId),
  name: 'ledger',
  nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  rpcUrls: { default: { http: [httpUrl] } },
})

async function use(transport) {
  const account = privateKeyToAccount(key)
  const client = createPublicClient({ chain, transport, pollingInterval: 50 })
  const wallet = createWalletClient({ account, chain, transport })
  assert.equal(await client.getChainId(), Number(chainId))

  const before = await client.getBalance({ address: somebody })
  const sent = await wallet.sendTransaction({ to: somebody, value: parseEther('1') })
  const receipt = await client.waitForTransactionReceipt({ hash: sent })
  assert.equal(receipt.status, 'success')
  assert.equal(await client.getBalance({ address: somebody }), before + parseEther('1'))
  assert.equal(await client.getBalance({ address: somebody, blockNumber: receipt.blockNumber - 1n }), before)

  const deployed = await client.waitForTransactionReceipt({ hash: await wallet.deployContract({ abi: [], bytecode: initCode }) })
  const contract = deployed.contractAddress

  // What is told while calls are made: over WebSocket by subscriptions, over HTTP by polled filters.
  const seen = { blocks: 0, logs: 0, transactions: 0 }
  const errors = []
  const onError = (e) => errors.push(e)
  const stop = [
    client.watchBlockNumber({ onBlockNumber: () => seen.blocks++, onError, emitMissed: true }),
    client.watchEvent({ address: contract, onLogs: (logs) => { seen.logs += logs.length }, onError }),
    client.watchPendingTransactions({ onTransactions: (hashes) => { seen.transactions += hashes.length }, onError }),
  ]
  await new Promise((done) => setTimeout(done, 300))
  for (let i = 0; i < 3; i++) {
    const hash = await wallet.sendTransaction({ to: contract })
    assert.equal((await client.waitForTransactionReceipt({ hash })).logs.length, 1)
  }
  const deadline = Date.now() + 10_000
  while ((seen.blocks < 3 || seen.logs < 3 || seen.transactions < 3) && Date.now() < deadline) {
    await new Promise((done) => setTimeout(done, 20))
  }
  stop.forEach((end) => end())
  assert.deepEqual(errors, [])
  assert.ok(seen.blocks >= 3, `blocks ${seen.blocks}`)
  assert.deepEqual([seen.logs, seen.transactions], [3, 3])

  assert.equal((await client.getLogs({ address: contract, fromBlock: 0n })).length, 3)
  assert.equal(BigInt(await client.getStorageAt({ address: contract, slot: '0x0' })), 3n)
  const block = await client.getBlock({ includeTransactions: true })
  assert.equal(block.transactions[0].to, contract)
  const fees = await client.getFeeHistory({ blockCount: 4, rewardPercentiles: [50] })
  assert.equal(fees.reward.length, 4)
  assert.ok((await client.estimateFeesPerGas()).maxFeePerGas >= 10n ** 9n)
  assert.ok((await client.createAccessList({ to: contract, account })).accessList.length > 0)

  const reverting = [{ address: somebody, code: '0x60005f5260045ffd' }]
  await assert.rejects(client.call({ to: somebody, stateOverride: reverting }), (e) =>
    e instanceof BaseError && e.walk((cause) => cause instanceof ExecutionRevertedError) !== null)
  await assert.rejects(wallet.sendTransaction({ to: somebody, nonce: 0 }), (e) =>
    e.walk((cause) => cause instanceof NonceTooLowError) !== null)
}

await use(http(httpUrl, { batch: true }))
console.log('http done')

await use(webSocket(wsUrl))
console.log('ws done')
process.exit(0)
