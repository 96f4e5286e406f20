import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '../../src/model/secret.ts'
import { claimKey } from '../../src/runtime-director/keeper.ts'
import type { Keeper } from '../../src/runtime-director/keeper.ts'
import { SCHEMA } from '../../src/runtime-director/tables.ts'
import type { Tables } from '../../src/runtime-director/tables.ts'
import { contentOf, publish, versionsOf } from '../../src/runtime-director/versions.ts'
import { openStorage } from '../../src/storage/storage.ts'
import type { Place } from '../../src/storage/storage.ts'
import { needsPostgres, postgresForTests } from '../postgres.ts'
import { failure } from '../runtime/failure.ts'
import { skipUnless, slow } from '../skip.ts'
import { logging, sampleFiles, startDirector } from './director.ts'
import { KEY, stateWith } from './states.ts'

setDefaultTimeout(60_000)

const base = mkdtempSync(join(tmpdir(), 'director-store-'))
let files = 0
const file = (): string => join(base, `${(files += 1)}.db`)
const child = new URL('publish-child.ts', import.meta.url).pathname
const rules = { steps: [], wait: 1, stopAfter: 1, keep: 1000, keepAudit: 1e12 }

async function open(place: Place, key = KEY): Promise<Keeper & { close(): Promise<void> }> {
  const storage = await openStorage<Tables>(place, SCHEMA, { migrate: 'start' })
  await claimKey(storage, key)
  return { storage, key, now: () => Date.now(), close: () => storage.close() }
}

const put = (keeper: Keeper, text: string) =>
  publish(keeper, { state: stateWith(text), who: 'test', reason: 'publish', changed: 1, rules })

/** Every version is there, whole, and the log tells of each. */
async function expectWhole(keeper: Keeper): Promise<number> {
  const { versions, log } = await keeper.storage.read(async (db) => ({
    versions: await versionsOf(db),
    log: await db.selectFrom('audit').select('subject').where('action', '=', 'publish').execute(),
  }))
  const numbers = versions.map(({ number }) => number)
  expect(numbers).toEqual(numbers.map((_, i) => numbers.length - i))
  expect(log).toHaveLength(numbers.length)
  expect(versions.filter(({ state }) => state === 'rolling').length).toBeLessThan(2)
  for (const number of numbers)
    expect((await contentOf(keeper, number))?.runtimes).toHaveLength(200)
  return numbers.length
}

slow('killed at random moments of publishing, the store holds whole versions only', async () => {
  const path = file()
  let told = 0
  for (let round = 0; round < 12; round += 1) {
    const running = spawn(process.execPath, [child, path])
    let output = ''
    running.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    await once(running.stdout, 'data')
    await Bun.sleep(Math.random() * 60)
    running.kill('SIGKILL')
    await once(running, 'exit')
    const keeper = await open({ sqlite: path })
    const count = await expectWhole(keeper)
    told = Math.max(told, ...output.trim().split('\n').map(Number))
    // What was said to be published is.
    expect(count).toBeGreaterThanOrEqual(told)
    await keeper.close()
  }
})

describe('many who publish at once', () => {
  const postgres = postgresForTests()
  const contend = async (place: string): Promise<void> => {
    const all = Array.from({ length: 3 }, () => spawn(process.execPath, [child, place, '8']))
    const ended = await Promise.all(all.map((one) => once(one, 'exit')))
    expect(ended.map(([code]) => code as number)).toEqual([0, 0, 0])
    const keeper = await open(
      place.startsWith('postgres:') ? { postgres: new Secret(place) } : { sqlite: place },
    )
    expect(await expectWhole(keeper)).toBe(24)
    await keeper.close()
  }
  slow('get a number each, over SQLite', () => contend(file()))
  needsPostgres('get a number each, over PostgreSQL', () => contend(postgres().database().reveal()))

  needsPostgres(
    'a change on one server is served by the other one at once; the database may go away',
    async () => {
      const place = { postgres: postgres().database() }
      const settings = { place, files: sampleFiles(['a']), secrets: { 'logging-password': 'x' } }
      const one = await startDirector(settings)
      const two = await startDirector({ place, beside: one })
      await one.publish()
      const ask = await two.agent('cn-a')
      const until = Date.now() + 5000
      while ((await ask('/runtimes/a')).status !== 200 && Date.now() < until) await Bun.sleep(10)
      const etag = (await ask('/runtimes/a')).headers.get('etag') ?? ''
      const news = ask('/runtimes/a', { headers: { 'if-none-match': etag, prefer: 'wait=20' } })
      await Bun.sleep(100)
      one.write({ 'configurations/logging.yaml': logging('https://two.example') })
      const begin = performance.now()
      await one.publish()
      expect((await news).status).toBe(200)
      expect(performance.now() - begin).toBeLessThan(2000)

      const report = { method: 'POST', body: '{"etag": "x", "state": "applied", "problems": []}' }
      expect((await ask('/runtimes/a/report', report)).status).toBe(204)
      await postgres().restart()
      expect((await ask('/runtimes/a')).status).toBe(200)
      const statuses = new Set<number>()
      const back = Date.now() + 20_000
      while (Date.now() < back) {
        const { status } = await ask('/runtimes/a/report', report)
        statuses.add(status)
        if (status === 204) break
      }
      expect([...statuses].filter((status) => status !== 503)).toEqual([204])
      await two.stop()
      await one.stop()
    },
  )

  needsPostgres('what pg_dump wrote is restored with the key, and served as before', async () => {
    const [from, to] = [postgres().database(), postgres().database()]
    const keeper = await open({ postgres: from })
    await put(keeper, 'one')
    await keeper.close()
    const dump = postgres().dump(from)
    expect(dump).not.toContain('a-secret-in-the-store')
    postgres().psql(to, dump)
    const restored = await open({ postgres: to })
    expect(await expectWhole(restored)).toBe(1)
    await restored.close()
  })
})

describe('the store', () => {
  test('holds nothing of a version that can be read, and another key is refused', async () => {
    const path = file()
    const keeper = await open({ sqlite: path })
    await put(keeper, 'the-text-of-a-document')
    await keeper.close()
    const bytes = readFileSync(path, 'latin1')
    expect(bytes).not.toContain('a-secret-in-the-store')
    expect(bytes).not.toContain('the-text-of-a-document')
    const other = failure(open({ sqlite: path }, new Secret('aa'.repeat(32))))
    expect(await other).toMatchObject({ code: 'store_key_wrong' })
  })

  test('does not take what was changed, or a version in the place of another one', async () => {
    const keeper = await open({ sqlite: file() })
    await put(keeper, 'one')
    await put(keeper, 'two')
    const first = await keeper.storage.read((db) =>
      db.selectFrom('versions').select('content').where('number', '=', 1).executeTakeFirstOrThrow(),
    )
    const set = (content: Uint8Array) =>
      keeper.storage.write((db) =>
        db.updateTable('versions').set({ content }).where('number', '=', 2).execute(),
      )
    await set(first.content)
    expect(await failure(contentOf(keeper, 2))).toMatchObject({ code: 'store_key_wrong' })
    const changed = new Uint8Array(first.content)
    changed[40]! ^= 1
    await set(changed)
    expect(await failure(contentOf(keeper, 2))).toMatchObject({ code: 'store_key_wrong' })
    await keeper.close()
  })

  test('is copied while it is used, and the copy is whole', async () => {
    const path = file()
    const keeper = await open({ sqlite: path })
    await put(keeper, 'one')
    const copy = file()
    await keeper.storage.read(async (db) => {
      const { CompiledQuery } = await import('kysely')
      await db.executeQuery(CompiledQuery.raw(`vacuum into '${copy}'`))
    })
    await put(keeper, 'two')
    await keeper.close()
    const restored = await open({ sqlite: copy })
    expect(await expectWhole(restored)).toBe(1)
    await restored.close()
  })
})

const small = join(base, 'small')
mkdirSync(small)
const mount = (...args: string[]): boolean => spawnSync('mount', args).status === 0
const mounted = mount('-t', 'tmpfs', '-o', 'size=400k', 'tmpfs', small)
afterAll(() => {
  if (mounted) spawnSync('umount', [small])
  rmSync(base, { recursive: true, force: true })
})
skipUnless(mounted, {
  why: 'this user may not mount a file system',
  how: 'run the tests as root on Linux',
})('a full disk stops publishing and reports, and no poll; with space it goes on', async () => {
  const place = { sqlite: join(small, 'director.db') }
  const ids = ['a', 'b']
  const settings = { place, files: sampleFiles(ids), secrets: { 'logging-password': 'x' } }
  const one = await startDirector(settings)
  await one.publish()
  const ask = await one.agent('cn-a')
  const stuffing = join(small, 'stuffing')
  for (let size = 4096 * 64; size >= 512; size /= 2)
    for (;;) {
      try {
        writeFileSync(stuffing, new Uint8Array(size), { flag: 'a' })
      } catch {
        break
      }
    }
  one.write({ 'configurations/logging.yaml': logging(`https://${'x'.repeat(9000)}.example`) })
  const said = new Set<string>()
  for (let i = 0; i < 40 && !said.has('disk_full'); i += 1)
    said.add(
      await failure(one.publish()).then(
        ({ code }) => code,
        () => 'published',
      ),
    )
  expect([...said]).toContain('disk_full')
  expect((await ask('/runtimes/a')).status).toBe(200)
  const report = { method: 'POST', body: '{"etag": "x", "state": "applied", "problems": []}' }
  expect([204, 503]).toContain((await ask('/runtimes/a/report', report)).status)
  rmSync(stuffing)
  await one.publish()
  expect((await ask('/runtimes/a/report', report)).status).toBe(204)
  await one.stop()
})

test('a copy of the file and its key, made while no server runs, is served by another one', async () => {
  const one = await startDirector({
    files: sampleFiles(['a']),
    secrets: { 'logging-password': 'x' },
  })
  await one.publish()
  const etag = one.server.live.etag('a')
  await one.keeper.storage.write((db) => db.deleteFrom('pending').execute())
  const copy = file()
  await one.server.close()
  await one.keeper.storage.close()
  copyFileSync(join(one.pki.root, 'director.db'), copy)
  const two = await startDirector({ place: { sqlite: copy }, beside: one })
  expect(two.server.live.etag('a')).toBe(etag)
  await two.stop()
  rmSync(one.pki.root, { recursive: true })
})
