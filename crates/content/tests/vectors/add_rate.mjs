// Measures a real Helia's `add` (no encryption), in GB/s: `add_rate.mjs FILE`, one JSON object a measurement.
// `bench/content/run` sets it beside sealing.
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { unixfs } from '@helia/unixfs'
import { MemoryBlockstore } from 'blockstore-core'
import { MemoryDatastore } from 'datastore-core'
import { createHelia } from 'helia'

const file = process.argv[2]
const content = await readFile(file)
const settings = { profile: 'unixfs-v1-2025' }

async function measure (what, add) {
  const helia = await createHelia({ blockstore: new MemoryBlockstore(), datastore: new MemoryDatastore(), start: false })
  const start = process.hrtime.bigint()
  await add(unixfs(helia))
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  console.log(JSON.stringify({ helia: what, gb_per_s: Number((content.length / seconds / 1e9).toFixed(3)) }))
}

await measure('a file', async fs => await fs.addByteStream(createReadStream(file), settings))
await measure('bytes in memory', async fs => await fs.addBytes(content, settings))
