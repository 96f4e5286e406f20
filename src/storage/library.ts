/**
 * What is taken of kysely and pg, and all that calls them directly: a bundle of its own (scripts/bundle.ts), which an
 * agent that is no server never loads. It must not import the model: classes of a second bundle are other classes.
 */
import {
  CompiledQuery,
  Kysely,
  PostgresAdapter,
  PostgresDialect,
  PostgresIntrospector,
} from 'kysely'
import {
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { DatabaseConnection, Dialect, Driver, QueryResult, Transaction } from 'kysely'
import { sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import { Migrator } from 'kysely/migration'
import pg from 'pg'
import type { SqliteDatabase } from '../runtime/sqlite.ts'

export type Migrations = Record<string, Migration>

/** Milliseconds between two tries to begin, and in all. */
const PAUSE = 10
const PATIENCE = 20_000

type Wait = (length: number) => Promise<void>

/** Opened as an empty schema: whoever knows the tables says so in its type. */
export function overSqlite(database: SqliteDatabase, wait: Wait): Kysely<unknown> {
  return new Kysely<unknown>({ dialect: sqliteDialect(database, wait) })
}

/** kysely's own dialect for SQLite asks for better-sqlite3 and begins transactions that cannot write yet. */
function sqliteDialect(database: SqliteDatabase, wait: Wait): Dialect {
  const connection: DatabaseConnection = {
    executeQuery<R>({ sql: text, parameters }: CompiledQuery): Promise<QueryResult<R>> {
      // Within the promise, so that what is thrown is a rejection.
      return Promise.resolve().then(() => {
        const { rows, changes } = database.run(text, parameters)
        return { rows: rows as R[], numAffectedRows: BigInt(changes) }
      })
    },
    async *streamQuery() {
      await Promise.reject(new Error('rows are not streamed'))
    },
  }
  const exec = (text: string) => (): Promise<void> =>
    Promise.resolve().then(() => database.exec(text))
  const driver: Driver = {
    init: () => Promise.resolve(),
    acquireConnection: () => Promise.resolve(connection),
    releaseConnection: () => Promise.resolve(),
    beginTransaction: () => begin(database, wait),
    commitTransaction: exec('COMMIT'),
    // SQLite has rolled back by itself when the disk was full; what began it all must be what is told.
    rollbackTransaction: () => exec('ROLLBACK')().catch(() => undefined),
    destroy: () => Promise.resolve().then(() => database.close()),
  }
  return {
    createAdapter: () => new TransactionalSqlite(),
    createDriver: () => driver,
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createIntrospector: (db) => new SqliteIntrospector(db),
  }
}

/**
 * IMMEDIATE, as one that only reads at first cannot wait for another writer later: SQLite refuses it at once. SQLite would
 * wait by itself, but everything else in this process would wait with it.
 */
async function begin(database: SqliteDatabase, wait: Wait): Promise<void> {
  for (let waited = 0; ; waited += PAUSE) {
    try {
      database.begin()
      return
    } catch (thrown) {
      if (waited >= PATIENCE || !isBusy(thrown)) throw thrown
    }
    await wait(PAUSE)
  }
}

/** Deno gives no error number, so the text decides there. */
function isBusy(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false
  if ('errcode' in thrown && typeof thrown.errcode === 'number')
    return [5, 6].includes(thrown.errcode & 0xff)
  return /database (table )?is locked/.test(thrown.message)
}

/** SQLite can change tables in a transaction; kysely leaves that out. */
class TransactionalSqlite extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

export type PostgresOptions = {
  /** postgres://user:password@host/database?sslmode=… */
  url: string
  /** Connections at most. */
  connections: number
  /** Milliseconds. */
  timeout: number
  /** What an idle connection says when it breaks. */
  lost: (reason: string) => void
}

// Whole numbers that JavaScript holds exactly: times in milliseconds.
const INT8 = 20
const types = new pg.TypeOverrides()
types.setTypeParser(INT8, Number)

export function overPostgres(options: PostgresOptions): Kysely<unknown> {
  const pool = new pg.Pool({ ...client(options), max: options.connections })
  // Without a listener an idle connection that the server closes would end the process.
  pool.on('error', ({ message }) => options.lost(message))
  return new Kysely<unknown>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new PostgresDialect({ pool }).createDriver(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (db) => new PostgresIntrospector(db),
    },
  })
}

function client({ url, timeout }: PostgresOptions): pg.ClientConfig {
  return {
    connectionString: url,
    connectionTimeoutMillis: timeout,
    query_timeout: timeout,
    statement_timeout: timeout,
    keepAlive: true,
    types,
    application_name: 'runtime-agent',
  }
}

/** A connection that hears what {@link announce} says. `lost` is called once, when it breaks. */
export async function hear(
  options: PostgresOptions,
  channel: string,
  heard: () => void,
): Promise<{ close(): Promise<void> }> {
  const connection = new pg.Client(client(options))
  connection.on('error', ({ message }) => options.lost(message))
  connection.on('end', () => options.lost('the connection has ended'))
  connection.on('notification', heard)
  try {
    await connection.connect()
    await connection.query(`LISTEN ${connection.escapeIdentifier(channel)}`)
  } catch (thrown) {
    await connection.end().catch(() => undefined)
    throw thrown
  }
  return { close: () => connection.end() }
}

/** Tells all that hear the channel when the transaction is committed. */
export async function announce(transaction: Transaction<unknown>, channel: string): Promise<void> {
  await sql`select pg_notify(${channel}, '')`.execute(transaction)
}

/** Lets one transaction at a time go on, of all processes. Until its end. */
export async function alone(transaction: Transaction<unknown>, schema: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${schema}, 0))`.execute(transaction)
}

/** The version of SQLite's file: another number when another connection has written. */
export async function dataVersion(db: Kysely<unknown>): Promise<number> {
  const { rows } = await db.executeQuery<{ data_version: number }>(
    CompiledQuery.raw('PRAGMA data_version'),
  )
  return rows[0]?.data_version ?? 0
}

export type MigrateOptions = { schema: string | undefined; migrations: Migrations }

/** Names of the migrations that are still to be run, in order. */
export async function pending(
  db: Kysely<unknown>,
  options: MigrateOptions,
): Promise<readonly string[]> {
  const all = await migratorOf(db, options).getMigrations()
  return all.filter(({ executedAt }) => executedAt === undefined).map(({ name }) => name)
}

/**
 * Runs what is pending, each process after the other: in SQLite in one transaction, in PostgreSQL under an advisory lock. A database that a later version has migrated is left alone when
 * nothing of ours is missing: additions are no business of an older one.
 */
export async function migrate(db: Kysely<unknown>, options: MigrateOptions): Promise<void> {
  if ((await pending(db, options)).length === 0) return
  const { error } =
    options.schema === undefined
      ? await db.transaction().execute((all) => migratorOf(all, options).migrateToLatest())
      : await migratorOf(db, options).migrateToLatest()
  if (error !== undefined) throw error instanceof Error ? error : new Error('no reason')
}

function migratorOf(db: Kysely<unknown>, { schema, migrations }: MigrateOptions): Migrator {
  return new Migrator({
    db,
    provider: { getMigrations: () => Promise.resolve(migrations) },
    ...(schema === undefined ? {} : { migrationTableSchema: schema }),
  })
}
