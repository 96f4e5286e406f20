/** The storage of servers inside the runtime that runs this program: node:sqlite, and pg where AGENT_POSTGRES says where. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { Migration } from 'kysely/migration'
import { Secret } from '../../src/model/secret.ts'
import type { Place, Schema, Storage } from '../../src/storage/storage.ts'
import { openStorage } from '../../src/storage/storage.ts'
import { check, codeOf, runChecks, same } from './checks/harness.ts'

type Tables = { rows: { id: string; at: number; data: Uint8Array } }

const name = `conformance_${process.pid}`
const url = process.env['AGENT_POSTGRES']
const directory = mkdtempSync(join(tmpdir(), 'storage-'))
const schema: Schema = { name, migrations: (dialect) => ({ '001': first(dialect) }) }

checkStorage('node:sqlite', { sqlite: join(directory, 'x.db') })
if (url !== undefined) checkStorage('PostgreSQL', { postgres: new Secret(url) })
await runChecks()
rmSync(directory, { recursive: true, force: true })

function first(dialect: 'sqlite' | 'postgres'): Migration {
  return {
    up: (db) =>
      db.schema
        .createTable(dialect === 'postgres' ? `${name}.rows` : 'rows')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('at', 'bigint')
        .addColumn('data', dialect === 'postgres' ? 'bytea' : 'blob')
        .execute(),
  }
}

function checkStorage(what: string, place: Place): void {
  const open = (): Promise<Storage<Tables>> => openStorage(place, schema, { migrate: 'start' })
  check(`${what} keeps text, large numbers and bytes, over a restart`, async () => {
    const row = { id: 'é', at: 1_795_000_000_000, data: new Uint8Array([0, 255]) }
    const storage = await open()
    await storage.write((db) => db.insertInto('rows').values(row).execute())
    await storage.close()
    const again = await open()
    const [found] = await again.read((db) => db.selectFrom('rows').selectAll().execute())
    same({ ...found, data: [...(found?.data ?? [])] }, { ...row, data: [0, 255] })
    await again.close()
  })
  check(`${what} forgets all of a transaction that fails`, async () => {
    const storage = await open()
    const row = { id: 'b', at: 1, data: new Uint8Array() }
    const twice = storage.write(async (db) => {
      await db.insertInto('rows').values(row).execute()
      await db.insertInto('rows').values(row).execute()
    })
    same(await codeOf(twice), 'storage_failed')
    const left = await storage.read((db) =>
      db.selectFrom('rows').select('id').where('id', '=', 'b').execute(),
    )
    same(left.length, 0)
    await storage.close()
  })
  check(`${what} makes writers wait for each other`, async () => {
    const [one, two] = [await open(), await open()]
    const count = (storage: Storage<Tables>): Promise<unknown> =>
      storage.write(
        async (db) => {
          const { at } = await db.selectFrom('rows').select('at').executeTakeFirstOrThrow()
          await db
            .updateTable('rows')
            .set({ at: at + 1 })
            .execute()
        },
        { alone: true },
      )
    const before = 1_795_000_000_000
    await Promise.all([one, two, one, two].map(count))
    const rows = await one.read((db) => db.selectFrom('rows').select('at').execute())
    same(rows[0]?.at, before + 4)
    await Promise.all([one.close(), two.close()])
  })
}
