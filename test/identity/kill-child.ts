/**
 * Promotes the identities of a JSON file in turn, once or until it is killed: `kill-child.ts DIRECTORY FILE [once]`.
 * Writes a dot before the first and after each promotion.
 */
import { readFileSync } from 'node:fs'
import { Json } from '../../src/clients/decode.ts'
import { openDiskStore } from '../../src/identity/disk.ts'
import { identityOf } from '../../src/identity/store.ts'
import { PLANE } from './plane.ts'

const [directory = '', file = '', mode = ''] = process.argv.slice(2)
const identities = new Json(JSON.parse(readFileSync(file, 'utf8'))).list('identities').map((json) =>
  identityOf({
    key: json.secret('key'),
    chain: json.text('chain'),
    plane: PLANE,
    runtimeId: 'runtime-1',
  }),
)
const store = openDiskStore({ directory })
process.stdout.write('.')
do {
  for (const identity of identities) {
    await store.savePending({
      stage: 'signed',
      kind: 'renew',
      key: identity.key,
      chain: identity.chain,
      csr: '',
      subject: '',
      plane: identity.plane,
    })
    await store.promote(identity)
    await store.clearPending()
    process.stdout.write('.')
  }
} while (mode !== 'once')
