import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '../../src/model/secret.ts'
import { openStorage } from '../../src/storage/storage.ts'
import { needsPostgres, postgresForTests } from '../postgres.ts'
import { failure } from '../runtime/failure.ts'
import { SCHEMA, storageContract } from './storage.contract.ts'
import type { Tables } from './storage.contract.ts'

const directory = mkdtempSync(join(tmpdir(), 'storage-test-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

let files = 0
const file = (): string => join(directory, `${(files += 1)}.db`)
const open = (place: Parameters<typeof openStorage>[0]) =>
  openStorage<Tables>(place, SCHEMA, { migrate: 'start' })

storageContract('node:sqlite', () => ({ sqlite: file() }))

describe('over node:sqlite', () => {
  test('the file and what lies beside it is for the owner alone', async () => {
    const path = file()
    const storage = await open({ sqlite: path })
    for (const name of [path, `${path}-wal`, `${path}-shm`])
      expect(statSync(name).mode & 0o777).toBe(0o600)
    await storage.close()
  })

  test('a file that is no database, or cannot be opened, is named with the reason', async () => {
    const path = file()
    writeFileSync(
      path,
      'this is no database, and is longer than a header of one would be: '.repeat(9),
    )
    for (const place of [path, join(directory, 'no', 'x.db')])
      expect(await failure(open({ sqlite: place }))).toMatchObject({ code: 'state_unusable' })
  })
})

describe('over PostgreSQL', () => {
  const postgres = postgresForTests()
  storageContract('PostgreSQL', () => ({ postgres: postgres().database() }), needsPostgres)

  needsPostgres('a server that is not there is named without the password', async () => {
    const url = new Secret('postgres://u:hunter2@127.0.0.1:1/x')
    const failed = await open({ postgres: url }).catch((thrown: unknown) => thrown)
    expect(failed).toMatchObject({ code: 'storage_failed' })
    expect(String(failed)).toContain('nothing listens there')
    expect(JSON.stringify(failed) + String(failed)).not.toContain('hunter2')
  })

  needsPostgres(
    'a server that dies and comes back is used again, and its end is told',
    async () => {
      const lost: string[] = []
      const url = postgres().database()
      const storage = await openStorage<Tables>({ postgres: url }, SCHEMA, {
        migrate: 'start',
        lost: (reason) => lost.push(reason),
      })
      const gone: string[] = []
      await storage.follow({ changed: () => undefined, lost: (reason) => gone.push(reason) })
      await postgres().restart()
      await storage
        .read((db) => db.selectFrom('counters').selectAll().execute())
        .catch(() => undefined)
      expect(await storage.read((db) => db.selectFrom('counters').selectAll().execute())).toEqual(
        [],
      )
      expect(gone.length).toBeGreaterThan(0)
      expect(lost.length).toBeLessThan(6)
      await storage.close()
    },
  )
})
