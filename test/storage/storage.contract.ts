import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import type { Migration } from 'kysely/migration'
import { failure } from '../runtime/failure.ts'
import type { Place, Schema, Storage } from '../../src/storage/storage.ts'
import { openStorage } from '../../src/storage/storage.ts'

export type Tables = { counters: { name: string; value: number; data: Uint8Array | null } }

type More = { counters: Tables['counters'] & { note?: string } }

const first: Migration = {
  up: (db) =>
    db.schema
      .createTable('runtime_test.counters'.slice(prefix(db)))
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('value', 'bigint', (column) => column.notNull())
      .addColumn('data', isPostgres(db) ? 'bytea' : 'blob')
      .execute(),
}

const second: Migration = {
  up: (db) =>
    db.schema
      .alterTable('runtime_test.counters'.slice(prefix(db)))
      .addColumn('note', 'text')
      .execute(),
}

type Db = Parameters<Migration['up']>[0]

function isPostgres(db: Db): boolean {
  return db.getExecutor().adapter.supportsMultipleConnections !== false
}

function prefix(db: Db): number {
  return isPostgres(db) ? 0 : 'runtime_test.'.length
}

/** The first version of the tables, and one that adds to them. */
export const SCHEMA: Schema = { name: 'runtime_test', migrations: () => ({ '001': first }) }
const NEXT: Schema = { ...SCHEMA, migrations: () => ({ '001': first, '002': second }) }

/** What every dialect must do. `place` is an empty database. */
export function storageContract(
  name: string,
  place: () => Place | Promise<Place>,
  run: typeof test = test,
): void {
  describe(`storage over ${name}`, () => {
    let at: Place
    const opened: Storage<never>[] = []
    const open = async (schema = SCHEMA): Promise<Storage<Tables>> => {
      const storage = await openStorage<Tables>(at, schema, { migrate: 'start' })
      opened.push(storage as unknown as Storage<never>)
      return storage
    }
    beforeEach(async () => {
      at = await place()
    })
    afterEach(async () => {
      for (const one of opened.splice(0)) await one.close()
    })
    const add = (storage: Storage<Tables>, counter: string, value = 1): Promise<unknown> =>
      storage.write((db) =>
        db.insertInto('counters').values({ name: counter, value, data: null }).execute(),
      )
    const names = async (storage: Storage<Tables>): Promise<string[]> => {
      const rows = await storage.read((db) =>
        db.selectFrom('counters').select('name').orderBy('name').execute(),
      )
      return rows.map((row) => row.name)
    }

    run('keeps what was written, numbers as numbers and bytes as bytes', async () => {
      const storage = await open()
      const data = new Uint8Array([0, 1, 255])
      const row = { name: "o'hara; drop table counters", value: 1_795_000_000_000, data }
      await storage.write((db) => db.insertInto('counters').values(row).execute())
      const again = await open()
      const [found] = await again.read((db) => db.selectFrom('counters').selectAll().execute())
      expect({ ...found, data: [...(found?.data ?? [])] }).toEqual({ ...row, data: [0, 1, 255] })
    })

    run('forgets all of a transaction that fails, and says why', async () => {
      const storage = await open()
      await add(storage, 'a')
      const failed = storage.write(async (db) => {
        await db.updateTable('counters').set({ value: 7 }).execute()
        await db.insertInto('counters').values({ name: 'a', value: 1, data: null }).execute()
      })
      expect(await failure(failed)).toMatchObject({ code: 'storage_failed' })
      const rows = await storage.read((db) => db.selectFrom('counters').select('value').execute())
      expect(rows).toEqual([{ value: 1 }])
    })

    run('lets one writer at a time count, of two processes', async () => {
      const [one, two] = [await open(), await open()]
      await add(one, 'a', 0)
      const count = (storage: Storage<Tables>): Promise<unknown> =>
        storage.write(
          async (db) => {
            const row = await db.selectFrom('counters').select('value').executeTakeFirstOrThrow()
            await db
              .updateTable('counters')
              .set({ value: row.value + 1 })
              .execute()
          },
          { alone: true },
        )
      await Promise.all(Array.from({ length: 20 }, (_, i) => count(i % 2 === 0 ? one : two)))
      const rows = await one.read((db) => db.selectFrom('counters').select('value').execute())
      expect(rows).toEqual([{ value: 20 }])
    })

    run('runs migrations once, of many who begin at the same time', async () => {
      const all = await Promise.all(Array.from({ length: 5 }, () => open(NEXT)))
      await Promise.all(all.map((storage, i) => add(storage, `c${i}`)))
      expect(await names(all[0]!)).toEqual(['c0', 'c1', 'c2', 'c3', 'c4'])
    })

    run(
      'serves this version and the next one at the same time, also when this one starts later',
      async () => {
        const old = await open()
        const next = (await open(NEXT)) as unknown as Storage<More>
        await add(old, 'a')
        await next.write((db) =>
          db
            .insertInto('counters')
            .values({ name: 'b', value: 1, data: null, note: 'x' })
            .execute(),
        )
        expect(await names(old)).toEqual(['a', 'b'])
        const late = await open()
        await add(late, 'c')
        expect(await names(late)).toEqual(['a', 'b', 'c'])
      },
    )

    run('does not migrate where that is somebody else’s task', async () => {
      const manual = () => openStorage<Tables>(at, SCHEMA, { migrate: 'manual' })
      expect(await failure(manual())).toMatchObject({ code: 'storage_outdated' })
      await open()
      const storage = await manual()
      await storage.close()
    })

    run('tells of what another process has written', async () => {
      const [one, two] = [await open(), await open()]
      let changed = 0
      const following = await one.follow({ changed: () => (changed += 1), lost: () => undefined })
      await one.touched()
      await two.write(async (db) => {
        await db.insertInto('counters').values({ name: 'a', value: 1, data: null }).execute()
        await two.announce(db)
      })
      // Either it says so at once, or it can be asked.
      const until = Date.now() + 5000
      while (changed === 0 && !(await one.touched()) && Date.now() < until)
        await new Promise((resolve) => setTimeout(resolve, 5))
      expect(Date.now()).toBeLessThan(until)
      expect(await names(one)).toEqual(['a'])
      await following.close()
    })
  })
}
