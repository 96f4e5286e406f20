import type { Kysely, Transaction } from 'kysely'
import type { Migration } from 'kysely/migration'
import { AgentError } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { SECOND } from '../model/time.ts'
import { systemClock } from '../runtime/clock.ts'
import { openSqlite } from '../runtime/sqlite.ts'
import type { SqliteDatabase } from '../runtime/sqlite.ts'
import { storageError } from './storage-error.ts'

/*
 * SQL for servers: one port, two dialects. SQLite is embedded and for one process beside short commands; PostgreSQL is for
 * several. Both keep their tables apart: a file, a schema.
 *
 * kysely and pg are in a bundle of their own (library.ts), loaded when a storage is opened.
 */

declare const AGENT_STORAGE: string | undefined

/** Beside this file, or beside the bundle, which says so; computed, so that no bundler takes it in. */
const LIBRARY = typeof AGENT_STORAGE === 'string' ? AGENT_STORAGE : './library.ts'

type Library = typeof import('./library.ts')

/** Which database. */
export type Place = { sqlite: string } | { postgres: Secret }

export type DialectName = 'sqlite' | 'postgres'

/** One step of a {@link Schema}. */
export type Step = Migration

/** What tables there are, as a list of steps that are only ever added to. */
export type Schema = {
  /** Of PostgreSQL; in SQLite the file is for it alone. */
  name: string
  migrations: (dialect: DialectName) => Record<string, Step>
}

/** Builds and runs queries on the tables. */
export type Queries<Tables> = Kysely<Tables>

export interface Storage<Tables> {
  readonly dialect: DialectName
  /** Reads; throws storage_failed. */
  read<T>(work: (db: Queries<Tables>) => Promise<T>): Promise<T>
  /** One transaction, after all other ones: of all processes with `alone`. Throws storage_failed, and then nothing of it happened. */
  write<T>(work: (db: Queries<Tables>) => Promise<T>, how?: { alone?: boolean }): Promise<T>
  /** Within {@link write}: wakes those who {@link follow} when it is committed. */
  announce(db: Queries<Tables>): Promise<void>
  /** Calls `changed` when another process announces something, until it is closed or `lost` is called. */
  follow(events: { changed: () => void; lost: (reason: string) => void }): Promise<Following>
  /** Whether another process may have written since the last call. */
  touched(): Promise<boolean>
  close(): Promise<void>
}

export interface Following {
  close(): Promise<void>
}

export type StorageOptions = {
  /** `manual`: a missing migration is a problem, not a task. */
  migrate: 'start' | 'manual'
  /** What breaks beside any call. */
  lost?: (reason: string) => void
}

/** A statement that takes longer than this has failed. */
const TIMEOUT = 20 * SECOND
const CONNECTIONS = 5

/**
 * Opens a database and brings its tables to what this version needs.
 *
 * @throws AgentError storage_failed, storage_outdated with `migrate: manual`
 */
export async function openStorage<Tables>(
  place: Place,
  schema: Schema,
  options: StorageOptions,
): Promise<Storage<Tables>> {
  const library = await loadLibrary()
  const opened =
    'sqlite' in place
      ? await openFile(library, place.sqlite)
      : openServer(library, { ...place, schema, ...options })
  try {
    await bringUp(library, opened, schema, options.migrate)
  } catch (thrown) {
    await opened.db.destroy().catch(() => undefined)
    throw thrown
  }
  return over(opened)
}

/** A dialect at work. */
type Opened = {
  dialect: DialectName
  db: Kysely<unknown>
  /** What the tables are in, when they are in one. */
  schema: string | undefined
  alone(db: Transaction<unknown>): Promise<void>
  announce(db: Transaction<unknown>): Promise<void>
  follow(events: { changed: () => void; lost: (reason: string) => void }): Promise<Following>
  touched(): Promise<boolean>
}

async function openFile(library: Library, path: string): Promise<Opened> {
  const database: SqliteDatabase = await openSqlite(path)
  const never = new AbortController().signal
  const db = library.overSqlite(database, (length) => systemClock.sleep(length, never))
  let seen: number | undefined
  return {
    dialect: 'sqlite',
    db,
    schema: undefined,
    // BEGIN IMMEDIATE has the file to itself already.
    alone: () => Promise.resolve(),
    announce: () => Promise.resolve(),
    follow: () => Promise.resolve({ close: () => Promise.resolve() }),
    async touched() {
      const before = seen
      seen = await library.dataVersion(db)
      return before !== seen
    },
  }
}

function openServer(
  library: Library,
  given: { postgres: Secret; schema: Schema } & StorageOptions,
): Opened {
  const { postgres, schema, lost = () => undefined } = given
  const options = { url: postgres.reveal(), connections: CONNECTIONS, timeout: TIMEOUT }
  return {
    dialect: 'postgres',
    db: library.overPostgres({ ...options, lost }),
    schema: schema.name,
    alone: (db) => library.alone(db, schema.name),
    announce: (db) => library.announce(db, schema.name),
    follow: (events) =>
      library.hear({ ...options, lost: events.lost }, schema.name, events.changed),
    // It would have said so.
    touched: () => Promise.resolve(false),
  }
}

async function bringUp(
  library: Library,
  { db, dialect, schema: name }: Opened,
  schema: Schema,
  migrate: StorageOptions['migrate'],
): Promise<void> {
  const steps = { schema: name, migrations: schema.migrations(dialect) }
  try {
    if (migrate === 'start') {
      await library.migrate(db, steps)
      return
    }
    const missing = await library.pending(db, steps)
    if (missing.length === 0) return
    throw new AgentError(
      'storage_outdated',
      `Cannot use the database: ${missing.length} of its migrations were not run, the first is ${missing[0] ?? ''}`,
    )
  } catch (thrown) {
    throw storageError('bring the tables up to date', thrown)
  }
}

function over<Tables>(opened: Opened): Storage<Tables> {
  const { db, schema, dialect } = opened
  // The tables are what the migrations made.
  const inSchema = (one: Kysely<unknown>): Queries<Tables> =>
    (schema === undefined ? one : one.withSchema(schema)) as Kysely<Tables>
  const transactions = new WeakMap<object, Transaction<unknown>>()
  return {
    dialect,
    read: (work) => wrap('read the database', () => work(inSchema(db))),
    write: (work, { alone = false } = {}) =>
      wrap('write the database', () =>
        db.transaction().execute(async (transaction) => {
          if (alone) await opened.alone(transaction)
          const queries = inSchema(transaction)
          transactions.set(queries, transaction)
          return work(queries)
        }),
      ),
    async announce(queries) {
      const transaction = transactions.get(queries)
      if (transaction === undefined) throw new TypeError('announced outside of a transaction')
      await opened.announce(transaction)
    },
    follow: (events) => wrap('listen to the database', () => opened.follow(events)),
    touched: () => wrap('look at the database', () => opened.touched()),
    close: () => db.destroy(),
  }
}

async function wrap<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    throw storageError(what, thrown)
  }
}

async function loadLibrary(): Promise<Library> {
  // The type of a module whose path is computed is ours to say.
  return (await import(new URL(LIBRARY, import.meta.url).href)) as Library
}
