/** Publishes changed states for ever: `publish-child.ts DATABASE`. Writes the number of each version when it is told. */
import { Secret } from '../../src/model/secret.ts'
import { claimKey } from '../../src/runtime-director/keeper.ts'
import { SCHEMA } from '../../src/runtime-director/tables.ts'
import type { Tables } from '../../src/runtime-director/tables.ts'
import { publish } from '../../src/runtime-director/versions.ts'
import { openStorage } from '../../src/storage/storage.ts'
import { KEY, stateWith } from './states.ts'

const [database = '', times = '1000000'] = process.argv.slice(2)
const place = database.startsWith('postgres:')
  ? { postgres: new Secret(database) }
  : { sqlite: database }
const storage = await openStorage<Tables>(place, SCHEMA, { migrate: 'start' })
const keeper = { storage, key: KEY, now: () => Date.now() }
await claimKey(storage, KEY)
const rules = { steps: [50], wait: 1000, stopAfter: 1, keep: 1000, keepAudit: 1e12 }
for (let i = 0; i < Number(times); i += 1) {
  const state = stateWith(`${process.pid} ${i}`)
  const { number } = await publish(keeper, {
    state,
    who: 'child',
    reason: 'publish',
    changed: 1,
    rules,
  })
  process.stdout.write(`${number}\n`)
}
await storage.close()
