// Writes helia.json: the CIDs that a real Helia gives to contents that the Rust tests build again.
//
//   ../../../../contracts/scripts/setup . && npm run generate
//
// Byte i of a `pattern` is the low byte of (i * 167 + (i >> 8) * 13 + seed); `zeros` is all zero bytes.
// The settings are those of IPIP-499 `unixfs-v1-2025`.
import { readFile } from 'node:fs/promises'
import { unixfs } from '@helia/unixfs'
import { MemoryBlockstore } from 'blockstore-core'
import { MemoryDatastore } from 'datastore-core'
import { createHelia } from 'helia'

const MIB = 1024 * 1024
const helia = await createHelia({ blockstore: new MemoryBlockstore(), datastore: new MemoryDatastore(), start: false })
const fs = unixfs(helia)
const settings = { profile: 'unixfs-v1-2025' }

function pattern (seed, length) {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) {
    bytes[i] = (i * 167 + (i >> 8) * 13 + seed) & 0xff
  }
  return bytes
}

async function * zeros (length) {
  const piece = new Uint8Array(MIB)
  for (; length > MIB; length -= MIB) {
    yield piece
  }
  yield piece.subarray(0, length)
}

const vectors = []

for (const [name, seed, length] of [['one byte', 1, 1], ['one full leaf', 2, MIB], ['two leaves', 3, MIB + 1]]) {
  const cid = await fs.addBytes(pattern(seed, length), settings)
  vectors.push({ name, kind: 'pattern', seed, length, cid: cid.toString() })
}

// 1,025 leaves: one more than a node may link, so the tree has two levels of nodes.
const deep = 1024 * MIB + 1
vectors.push({ name: 'two levels', kind: 'zeros', length: deep, cid: (await fs.addByteStream(zeros(deep), settings)).toString() })

// The shape of a version: a directory of the sealed data and the sealed index.
const data = { seed: 4, length: 2 * MIB }
const index = { seed: 5, length: 1000 }
let root
for await (const entry of fs.addAll([
  { path: 'data', content: pattern(data.seed, data.length) },
  { path: 'index', content: pattern(index.seed, index.length) }
], { ...settings, wrapWithDirectory: true })) {
  root = entry.cid
}
vectors.push({ name: 'directory', kind: 'directory', data, index, cid: root.toString() })

const { dependencies } = JSON.parse(await readFile(new URL('package.json', import.meta.url)))
console.log(JSON.stringify({ made_with: dependencies, vectors }, null, 2))
