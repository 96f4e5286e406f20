import { AgentError } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import type { Instant } from '../model/time.ts'
import { sealKeyId } from '../runtime/seal.ts'
import type { Storage } from '../storage/storage.ts'
import type { Db, Tables } from './tables.ts'

/** The store with what everybody needs who works on it. */
export type Keeper = {
  storage: Storage<Tables>
  key: Secret
  now(): Instant
}

/** Changes the store: one transaction at a time, of all servers and commands; those who serve hear of it. */
export function change<T>({ storage }: Keeper, work: (db: Db) => Promise<T>): Promise<T> {
  return storage.write(
    async (db) => {
      const result = await work(db)
      await setFact(db, 'revision', String((await revisionOf(db)) + 1))
      await storage.announce(db)
      return result
    },
    { alone: true },
  )
}

/** Grows with each {@link change}. */
export async function revisionOf(db: Db): Promise<number> {
  return Number((await factOf(db, 'revision')) ?? 0)
}

export async function factOf(db: Db, name: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('facts')
    .select('value')
    .where('name', '=', name)
    .executeTakeFirst()
  return row?.value
}

export async function setFact(db: Db, name: string, value: string): Promise<void> {
  await db
    .insertInto('facts')
    .values({ name, value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
    .execute()
}

/** Whether nothing has ever been kept in the store, so that any key may be its key. */
export async function isNew(storage: Storage<Tables>): Promise<boolean> {
  return (await storage.read((db) => factOf(db, 'key'))) === undefined
}

/**
 * Makes the key that of the store, which stays so for good.
 *
 * @throws AgentError store_key_wrong when the store has another one
 */
export async function claimKey(storage: Storage<Tables>, key: Secret): Promise<void> {
  const id = sealKeyId(key)
  const used = await storage.write(
    async (db) => {
      const known = await factOf(db, 'key')
      if (known === undefined) await setFact(db, 'key', id)
      return known ?? id
    },
    { alone: true },
  )
  if (used !== id) {
    throw new AgentError(
      'store_key_wrong',
      `Cannot use the key: the store was encrypted with another one (its id is ${used}, that of this one is ${id})`,
    )
  }
}

export type AuditEntry = {
  at: Instant
  who: string
  action: string
  subject: string
  detail: string
}

/** Adds to the audit log, within a {@link change}. `detail` holds no secret. */
export async function audit(db: Db, entry: AuditEntry): Promise<void> {
  const last = await db
    .selectFrom('audit')
    .select(({ fn }) => fn.max('id').as('id'))
    .executeTakeFirst()
  await db
    .insertInto('audit')
    .values({ id: (last?.id ?? 0) + 1, ...entry })
    .execute()
}

/** The newest entries first; `before`: only those that are older than this one. */
export function readAudit(
  { storage }: Keeper,
  { before, limit }: { before?: number | undefined; limit: number },
): Promise<(AuditEntry & { id: number })[]> {
  return storage.read((db) => {
    const all = db.selectFrom('audit').selectAll().orderBy('id', 'desc').limit(limit)
    return (before === undefined ? all : all.where('id', '<', before)).execute()
  })
}
