// What ethers does with a chain, over HTTP and over WebSocket: node ethers.mjs HTTP WS CHAIN_ID KEY INIT_CODE
import assert from 'node:assert/strict'
import { ContractFactory, JsonRpcProvider, NonceManager, Wallet, WebSocketProvider, isError, parseEther } from 'ethers'

const [httpUrl, wsUrl, chainId, key, initCode] = process.argv.slice(2)
const somebody = '0x00000000000000000000000000000000000000cc'

async function use(provider) {
  const wallet = new NonceManager(new Wallet(key, provider))
  assert.equal((await provider.getNetwork()).chainId, BigInt(chainId))

  const before = await provider.getBalance(somebody)
  const receipt = await (await wallet.sendTransaction({ to: somebody, value: parseEther('1') })).wait()
  assert.equal(receipt.status, 1)
  assert.equal(await provider.getBalance(somebody), before + parseEther('1'))
  assert.equal(await provider.getBalance(somebody, receipt.blockNumber - 1), before)

  const deployed = await (await new ContractFactory([], initCode, wallet).deploy()).waitForDeployment()
  const contract = await deployed.getAddress()

  const seen = { blocks: [], logs: 0 }
  await provider.on('block', (number) => seen.blocks.push(number))
  await provider.on({ address: contract }, () => seen.logs++)
  await new Promise((done) => setTimeout(done, 300))
  const calls = await Promise.all([1, 2, 3].map(() => wallet.sendTransaction({ to: contract })))
  for (const call of calls) assert.equal((await call.wait()).logs.length, 1)
  const deadline = Date.now() + 10_000
  while ((seen.blocks.length < 1 || seen.logs < 3) && Date.now() < deadline) {
    await new Promise((done) => setTimeout(done, 20))
  }
  await provider.removeAllListeners()
  assert.ok(seen.blocks.length >= 1)
  assert.equal(seen.logs, 3)

  assert.equal((await provider.getLogs({ address: contract, fromBlock: 0 })).length, 3)
  assert.equal(BigInt(await provider.getStorage(contract, 0)), 3n)
  const block = await provider.getBlock('latest', true)
  assert.equal(block.prefetchedTransactions[0].to, contract)
  assert.ok((await provider.getFeeData()).maxFeePerGas >= 10n ** 9n)
  assert.ok((await provider.estimateGas({ to: contract })) > 21_000n)

  // Code that reverts: deploying it fails in its constructor, and the estimate says so.
  await assert.rejects(provider.estimateGas({ data: '0x5f5ffd' }), (e) => isError(e, 'CALL_EXCEPTION'))
  const plain = new Wallet(key, provider)
  await assert.rejects(plain.sendTransaction({ to: somebody, nonce: 0 }), (e) => isError(e, 'NONCE_EXPIRED'))
  await provider.destroy()
}

// Its cache gives the same answer to the same question for a quarter of a second, several blocks here.
const options = { cacheTimeout: -1, pollingInterval: 50 }
await use(new JsonRpcProvider(httpUrl, undefined, options))
console.log('http done')
await use(new WebSocketProvider(wsUrl, undefined, options))
console.log('ws done')
process.exit(0)
