/** The real PostgreSQL of postgres-server.ts for tests. */
import { afterAll, beforeAll, test } from 'bun:test'
import { hasPostgres, startPostgres } from './postgres-server.ts'
import type { Postgres } from './postgres-server.ts'
import { skipUnless } from './skip.ts'

/** `test` for what needs a PostgreSQL; skips with the way to get it. */
export const needsPostgres: typeof test = skipUnless(hasPostgres, {
  why: 'PostgreSQL is not installed',
  how: 'apt-get install postgresql',
})

/** Starts one before the tests of this file or `describe`, and ends it after them; none where they are skipped. */
export function postgresForTests(): () => Postgres {
  let postgres: Postgres | undefined
  beforeAll(async () => {
    if (hasPostgres) postgres = await startPostgres()
  }, 60_000)
  afterAll(() => postgres?.stop())
  return () => {
    if (postgres === undefined) throw new Error('only a test of needsPostgres has one')
    return postgres
  }
}
