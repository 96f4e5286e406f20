import * as fs from 'node:fs/promises'
import type { DatabaseSync } from 'node:sqlite'
import { AgentError } from '../model/problem.ts'
import { errorCode, errorReason } from './disk-error.ts'
import { loadSqlite } from './sqlite.ts'

/*
 * The kernel holds the lock, so it is gone with the process, also after kill -9, and it holds across network namespaces
 * and container borders as long as the file system is one. SQLite is what all three runtimes have for it: a transaction
 * that may write, on an empty database, is a POSIX record lock.
 *
 * Tried and dropped: BEGIN EXCLUSIVE. It is hindered by those who only read, as each one does who begins to try, so that
 * of two agents started at the same moment neither got it.
 *
 * POSIX locks have a trap: they are lost when the process closes *any* descriptor of the file. So nothing in this
 * program may open the lock file a second time; it is made only when missing, before SQLite opens it.
 */

/** Held until released or until this process ends, however it ends. */
export interface Lock {
  release(): Promise<void>
}

/** A database that is not referenced is collected, and its lock with it. */
const held = new Set<DatabaseSync>()

/**
 * Takes the lock of a file, which is created 0600 when missing and never removed. `undefined`: another holds it.
 *
 * Throws `state_unusable` when the file cannot be opened or made.
 */
export async function acquireLock(path: string): Promise<Lock | undefined> {
  try {
    await createMissing(path)
    const { DatabaseSync: Database } = await loadSqlite()
    const database = new Database(path)
    try {
      database.exec('PRAGMA busy_timeout=0; BEGIN IMMEDIATE')
    } catch (thrown) {
      database.close()
      if (isBusy(thrown)) return undefined
      throw thrown
    }
    held.add(database)
    return {
      release() {
        if (held.delete(database)) database.close()
        return Promise.resolve()
      },
    }
  } catch (thrown) {
    throw new AgentError('state_unusable', `Cannot lock ${path}: ${errorReason(thrown)}`, {
      cause: thrown,
    })
  }
}

async function createMissing(path: string): Promise<void> {
  try {
    await (await fs.open(path, 'wx', 0o600)).close()
  } catch (thrown) {
    if (errorCode(thrown) !== 'EEXIST') throw thrown
  }
}

/** Deno gives no error number, so the text decides there. */
function isBusy(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false
  if ('errcode' in thrown) return thrown.errcode === 5 || thrown.errcode === 6
  return /database (table )?is locked/.test(thrown.message)
}
