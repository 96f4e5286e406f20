import process from 'node:process'
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { AgentError } from '../model/problem.ts'
import { errorReason } from './disk-error.ts'

/** An open SQLite database file of this process. All calls are synchronous. */
export interface SqliteDatabase {
  /** One statement: its rows, and how many rows it changed. Throws the error of the database. */
  run(sql: string, parameters: readonly unknown[]): { rows: unknown[]; changes: number }
  exec(sql: string): void
  /** Begins a transaction that writes, or throws at once when another one does. */
  begin(): void
  close(): void
}

/** How long a single statement waits for another process, in milliseconds: it blocks everything else here. */
const BUSY = 1000

/**
 * Opens a database file, which is made 0600 when missing. Readers go on beside one writer, and what was committed is on disk.
 *
 * @throws AgentError state_unusable when it cannot be opened or is no database
 */
export async function openSqlite(path: string): Promise<SqliteDatabase> {
  const { DatabaseSync: Database } = await loadSqlite()
  const umask = process.umask(0o077)
  try {
    const database = new Database(path)
    database.exec(
      `PRAGMA busy_timeout=${BUSY}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON`,
    )
    return over(database)
  } catch (thrown) {
    throw new AgentError('state_unusable', `Cannot open ${path}: ${errorReason(thrown)}`)
  } finally {
    process.umask(umask)
  }
}

function over(database: DatabaseSync): SqliteDatabase {
  return {
    run(sql, parameters) {
      const statement = database.prepare(sql)
      const given = parameters as SQLInputValue[]
      if (statement.columns().length > 0) return { rows: statement.all(...given), changes: 0 }
      return { rows: [], changes: Number(statement.run(...given).changes) }
    },
    exec: (sql) => database.exec(sql),
    begin() {
      database.exec('PRAGMA busy_timeout=0')
      try {
        database.exec('BEGIN IMMEDIATE')
      } finally {
        database.exec(`PRAGMA busy_timeout=${BUSY}`)
      }
    },
    close: () => database.close(),
  }
}

/** Node 22 warns on stderr that this module is experimental; the warning is for developers, not for operators. */
export async function loadSqlite(): Promise<typeof import('node:sqlite')> {
  const emitWarning = process.emitWarning.bind(process)
  process.emitWarning = () => undefined
  try {
    return await import('node:sqlite')
  } finally {
    process.emitWarning = emitWarning
  }
}
