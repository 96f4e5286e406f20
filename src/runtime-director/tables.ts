import type { DialectName, Queries, Schema, Step } from '../storage/storage.ts'

/*
 * What the Runtime Director keeps. Times are milliseconds. Migrations are only ever added to, and only add (a column that may be
 * missing, a table), as two versions of the server share the store while they are exchanged.
 */

export type RolloutState = 'rolling' | 'stopped' | 'complete'

export type Tables = {
  /** Published versions, the newest with the largest number. */
  versions: {
    number: number
    created_at: number
    created_by: string
    /** `publish`, `rollback of 7`. */
    reason: string
    note: string | null
    /** Of the state within: tells whether two versions are the same. */
    digest: string
    /** Of what it was encrypted with. */
    key_id: string
    /** The state as JSON, gzip, encrypted. */
    content: Uint8Array
    /** Runtimes in it, and those for which something changed. */
    runtimes: number
    changed: number
    /** Percentages as a list, the last one 100; `stage` is the position of the present one. */
    steps: string
    stage: number
    stage_at: number
    /** Milliseconds between two steps. */
    wait: number
    stop_after: number
    rollout: RolloutState
    why: string | null
  }
  /** Runtimes for which a version did not work where the one before did. */
  failures: { version: number; runtime: string; at: number }
  /** Certificates that were admitted beside those of the desired state. */
  identities: { cn: string; runtime: string; admitted_at: number; admitted_by: string }
  /** Certificates that nobody has admitted. */
  pending: { cn: string; runtime: string; first_seen: number; last_seen: number }
  seen: { runtime: string; cn: string; at: number }
  /** The last report of each runtime. */
  reports: {
    runtime: string
    cn: string
    etag: string
    version: number | null
    state: string
    problems: string
    at: number
  }
  audit: {
    id: number
    at: number
    who: string
    action: string
    subject: string
    detail: string
  }
  /** `revision` grows with every change that servers must know; `key` is the id of the key in use. */
  facts: { name: string; value: string }
}

export type Db = Queries<Tables>

export const SCHEMA: Schema = {
  name: 'runtime_director',
  migrations: (dialect) => ({ '001-first': first(dialect) }),
}

function first(dialect: DialectName): Step {
  const bytes = dialect === 'postgres' ? 'bytea' : 'blob'
  return {
    async up(given) {
      const { schema } = dialect === 'postgres' ? given.withSchema(SCHEMA.name) : given
      await schema
        .createTable('versions')
        .addColumn('number', 'integer', (c) => c.primaryKey())
        .addColumn('created_at', 'bigint', (c) => c.notNull())
        .addColumn('created_by', 'text', (c) => c.notNull())
        .addColumn('reason', 'text', (c) => c.notNull())
        .addColumn('note', 'text')
        .addColumn('digest', 'text', (c) => c.notNull())
        .addColumn('key_id', 'text', (c) => c.notNull())
        .addColumn('content', bytes, (c) => c.notNull())
        .addColumn('runtimes', 'integer', (c) => c.notNull())
        .addColumn('changed', 'integer', (c) => c.notNull())
        .addColumn('steps', 'text', (c) => c.notNull())
        .addColumn('stage', 'integer', (c) => c.notNull())
        .addColumn('stage_at', 'bigint', (c) => c.notNull())
        .addColumn('wait', 'bigint', (c) => c.notNull())
        .addColumn('stop_after', 'integer', (c) => c.notNull())
        .addColumn('rollout', 'text', (c) => c.notNull())
        .addColumn('why', 'text')
        .execute()
      await schema
        .createTable('failures')
        .addColumn('version', 'integer', (c) => c.notNull())
        .addColumn('runtime', 'text', (c) => c.notNull())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .addPrimaryKeyConstraint('failures_key', ['version', 'runtime'])
        .execute()
      await schema
        .createTable('identities')
        .addColumn('cn', 'text', (c) => c.primaryKey())
        .addColumn('runtime', 'text', (c) => c.notNull())
        .addColumn('admitted_at', 'bigint', (c) => c.notNull())
        .addColumn('admitted_by', 'text', (c) => c.notNull())
        .execute()
      await schema
        .createTable('pending')
        .addColumn('cn', 'text', (c) => c.primaryKey())
        .addColumn('runtime', 'text', (c) => c.notNull())
        .addColumn('first_seen', 'bigint', (c) => c.notNull())
        .addColumn('last_seen', 'bigint', (c) => c.notNull())
        .execute()
      await schema
        .createTable('seen')
        .addColumn('runtime', 'text', (c) => c.primaryKey())
        .addColumn('cn', 'text', (c) => c.notNull())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .execute()
      await schema
        .createTable('reports')
        .addColumn('runtime', 'text', (c) => c.primaryKey())
        .addColumn('cn', 'text', (c) => c.notNull())
        .addColumn('etag', 'text', (c) => c.notNull())
        .addColumn('version', 'integer')
        .addColumn('state', 'text', (c) => c.notNull())
        .addColumn('problems', 'text', (c) => c.notNull())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .execute()
      await schema
        .createTable('audit')
        .addColumn('id', 'integer', (c) => c.primaryKey())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .addColumn('who', 'text', (c) => c.notNull())
        .addColumn('action', 'text', (c) => c.notNull())
        .addColumn('subject', 'text', (c) => c.notNull())
        .addColumn('detail', 'text', (c) => c.notNull())
        .execute()
      await schema
        .createTable('facts')
        .addColumn('name', 'text', (c) => c.primaryKey())
        .addColumn('value', 'text', (c) => c.notNull())
        .execute()
    },
  }
}
