import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { landscapeOf } from '../../src/devplane/landscape.ts'
import type { Landscape } from '../../src/devplane/landscape.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { AgentError } from '../../src/model/problem.ts'
import { openMemory } from '../../src/targets/memory.ts'
import { changedPaths, Disk } from './disk.ts'
import { INTERVAL, World } from './harness.ts'
import { openStores } from './stores.ts'

/** Texts, lists and maps in an order that sorting would change, and every kind of credentials. */
function unsorted(): Landscape {
  const [application] = makeLandscape({
    applications: 1,
    bundles: 3,
    apis: 2,
    events: 2,
  }).applications
  const one = application!
  one.labels = { zebra: { z: 1, a: [{ y: 1, b: 2 }] }, applicationType: 'Odd', '10': 'x', '9': 'y' }
  one.systemNumber = 'SN-1'
  one.localTenantId = 'local-tenant'
  one.bundles[0]!.inputSchema = '{"type":"object","properties":{"z":{},"a":{}}}'
  one.bundles[0]!.auth = {
    headers: { 'X-Zone': ['zone-secret-1', 'zone-secret-0'], Authorization: ['header-secret'] },
    queryParams: { z: ['query-secret-z'], a: ['query-secret-a'] },
    csrf: {
      tokenUrl: 'https://csrf.example/token',
      credential: { type: 'basic', username: 'csrf-user', password: 'csrf-password' },
      headers: { 'Z-Csrf': ['csrf-secret-z'], 'A-Csrf': ['csrf-secret-a'] },
    },
  }
  one.bundles[1]!.apis[0]!.group = 'group'
  one.bundles[1]!.apis[0]!.version = {
    value: '2',
    forRemoval: true,
    deprecated: true,
    deprecatedSince: '1',
  }
  const certificate = {
    type: 'certificate_oauth',
    clientId: 'certificate-client',
    certificate: 'certificate-pem',
    tokenUrl: 'https://t.example/',
  } as const
  one.bundles[2]!.auth = { credential: certificate }
  return landscapeOf([one])
}

let world: World
beforeAll(async () => {
  world = await World.open(makeLandscape({ applications: 8, bundles: 2, apis: 1, events: 1 }))
  await world.identity()
})
afterEach(() => world.plane.reset())
afterAll(() => world[Symbol.asyncDispose]())

describe('a restart', () => {
  test('goes on with the identity that is there: no Connector request, no signing, one fetch', async () => {
    const stores = openStores(await world.identity())
    await using first = await world.healthy({ stores })
    await first.stop()
    const mark = world.mark()
    await using again = await world.healthy({ stores })
    expect(world.requests(mark)).toEqual(['applications+runtime'])
    expect(again.status.identity!.fingerprint).toBe(first.status.identity!.fingerprint)
  })

  test.each([
    [
      'a generated landscape',
      (): Landscape => makeLandscape({ applications: 4, bundles: 3, apis: 2, events: 1 }),
    ],
    ['members, headers and labels in an order of their own', unsorted],
  ])('makes no new generation and stores nothing: %s', async (_, landscape) => {
    await using own = await World.open(landscape())
    using disk = new Disk(own)
    await using first = await own.start({
      stores: disk.stores(),
      targets: [disk.target()],
      token: await own.token(),
    })
    await first.atRest()
    await first.stop()
    const [generations, files] = [disk.generations, disk.files()]
    const snapshot = statSync(disk.statePath('snapshot.json'))
    for (let restart = 0; restart < 2; restart += 1) {
      await using again = await own.healthy({ stores: disk.stores(), targets: [disk.target()] })
      await own.clock.advance(INTERVAL)
      await again.atRest()
      expect(again.status.targets[0]).toMatchObject({ changes: 0, failures: 0 })
    }
    expect(changedPaths(files, disk.files())).toEqual([])
    expect(disk.generations).toEqual(generations)
    const after = statSync(disk.statePath('snapshot.json'))
    expect([after.ino, after.mtimeMs]).toEqual([snapshot.ino, snapshot.mtimeMs])
  })

  test('without network shows what is known', async () => {
    const own = await World.open(world.plane.landscape, { clock: world.clock })
    const stores = openStores(await own.identity())
    await using first = await own.healthy({ stores })
    await first.stop()
    await own[Symbol.asyncDispose]()
    await using again = await own.healthy({ stores })
    expect(again.status.applications).toHaveLength(8)
    expect(again.status.sources[0]).toMatchObject({ applications: 8, failures: 1 })
    expect(again.codes).toEqual(['unreachable'])
  })

  test('keeps a pause', async () => {
    const stores = openStores(await world.identity())
    await using first = await world.healthy({ stores })
    await first.ask({ kind: 'pause' })
    await first.stop()
    const target = openMemory('memory')
    const mark = world.mark()
    await using again = await world.healthy({ stores, targets: [target] })
    await world.clock.advance(INTERVAL)
    await again.atRest()
    expect([again.status.paused, target.writes, world.requests(mark)]).toEqual([true, 0, []])
    await again.ask({ kind: 'resume' })
    expect(target.objects.size).toBe(24)
  })

  test('knows that the token which lies there is the spent one', async () => {
    const stores = openStores()
    const token = await world.token()
    await using first = await world.start({ stores, token })
    await first.atRest()
    await first.stop()
    const mark = world.mark()
    await using again = await world.healthy({ stores, token })
    await world.plane.revoke({ fingerprint: again.status.identity!.fingerprint })
    await again.sync()
    await world.clock.advance(INTERVAL)
    await again.atRest()
    expect(again.status.token).toBe('spent')
    expect(again.codes).toEqual(['identity_refused'])
    expect(world.requests(mark)).not.toContain('configuration')
  })

  test('ignores the snapshot of another runtime', async () => {
    const stores = openStores(await world.identity())
    await using first = await world.healthy({ stores })
    await first.stop()
    const { identity } = (await stores.identity.load())!
    const foreign = openStores({ ...identity, runtimeId: '99999999-0000-4000-8000-000000000001' })
    foreign.snapshots.text = stores.snapshots.text
    const target = openMemory('memory')
    await world.plane.set({ directorDown: true })
    await using again = await world.healthy({ stores: foreign, targets: [target] })
    expect(target.writes).toBe(0)
    expect(again.status.applications).toEqual([])
  })

  test('with a damaged snapshot says so, deletes nothing, and heals with the next fetch', async () => {
    const stores = openStores(await world.identity())
    const target = openMemory('memory')
    await using first = await world.healthy({ stores, targets: [target] })
    await first.stop()
    const before = new Map(target.objects)
    stores.snapshots.text = stores.snapshots.text!.replace('Bundle 000', 'Bundle 999')
    await world.plane.set({ directorDown: true })
    await using again = await world.healthy({ stores, targets: [target] })
    expect(again.codes).toContain('snapshot_damaged')
    expect(new Map(target.objects)).toEqual(before)
    await world.plane.reset()
    await again.sync()
    expect(again.codes).toEqual([])
    expect([new Map(target.objects), target.writes]).toEqual([before, before.size])
    expect(stores.snapshots.saves).toBe(2)
  })

  test('with a damaged identity falls back to the one before it, and says so', async () => {
    await using own = await World.open(world.plane.landscape)
    using disk = new Disk(own)
    await using first = await own.start({ stores: disk.stores(), token: await own.token() })
    await first.atRest()
    const old = first.status.identity!.fingerprint
    await first.ask({ kind: 'renew' })
    expect(first.status.identity!.fingerprint).not.toBe(old)
    await first.stop()
    const [newest] = readdirSync(disk.statePath('identity'))
      .filter((n) => n.startsWith('gen-'))
      .sort()
      .reverse()
    writeFileSync(disk.statePath('identity', newest!, 'key.pem'), 'damaged')
    await using again = await own.healthy({ stores: disk.stores() })
    expect(again.status.identity!.fingerprint).toBe(old)
    expect(again.codes).toHaveLength(1)
    expect(again.status.sources[0]?.failures).toBe(0)
    await again.ask({ kind: 'renew' })
    expect(again.codes).toEqual([])
  })

  test('with a damaged identity and nothing before it asks for a token and deletes nothing', async () => {
    await using own = await World.open(world.plane.landscape)
    using disk = new Disk(own)
    const target = openMemory('memory')
    await using first = await own.start({
      stores: disk.stores(),
      token: await own.token(),
      targets: [target],
    })
    await first.atRest()
    const before = new Map(target.objects)
    await first.stop()
    writeFileSync(disk.statePath('identity', 'current', 'key.pem'), 'damaged')
    await using again = await own.start({ stores: disk.stores(), targets: [target] })
    await again.atRest()
    expect(again.codes).toEqual(['identity_unreadable', 'token_missing'])
    target.objects.delete([...target.objects.keys()][0]!)
    await own.clock.advance(INTERVAL)
    await again.atRest()
    expect(new Map(target.objects)).toEqual(before)
    again.token = await own.token()
    await own.clock.advance(5000)
    await again.atRest()
    expect(again.codes).toEqual([])
    expect(new Map(target.objects)).toEqual(before)
  })
})

describe('a state that cannot be stored', () => {
  test('is stored with the next pass', async () => {
    const stores = openStores(await world.identity())
    stores.states.failures = 1
    await using agent = await world.healthy({ stores })
    expect(agent.codes).toContain('disk_full')
    expect(stores.states.saves).toBe(0)
    await world.clock.advance(INTERVAL)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(stores.states.saves).toBe(1)
  })

  test('refuses a pause and an approval instead of promising what a restart would forget', async () => {
    const stores = openStores(await world.identity())
    await using agent = await world.healthy({ stores })
    stores.states.failures = 1
    const { status, refused } = await agent.ask({ kind: 'pause' })
    expect([refused?.code, status.paused]).toEqual(['disk_full', false])
    expect((await agent.ask({ kind: 'pause' })).status.paused).toBe(true)
  })

  test('nor a snapshot: what is new waits, what is deployed stays, and it goes on by itself', async () => {
    const stores = openStores(await world.identity())
    const target = openMemory('memory')
    await using agent = await world.healthy({ stores, targets: [target] })
    const before = new Map(target.objects)
    const { landscape } = world.plane
    try {
      stores.snapshots.failures = 2
      world.edit(({ applications }) => void applications.shift())
      await agent.sync()
      expect(agent.codes).toEqual(['disk_full'])
      expect(new Map(target.objects)).toEqual(before)
      await world.clock.advance(6 * 60_000)
      await agent.atRest()
      expect(agent.codes).toEqual([])
      expect(target.objects.size).toBe(before.size - 3)
    } finally {
      world.plane.edit((draft) => void Object.assign(draft, landscape))
    }
  })
})

test('an agent that cannot read its state ends with that, and leaves the state to the next one', async () => {
  const stores = openStores(await world.identity())
  const failure = new AgentError('disk_failed', 'Cannot read the state: EIO')
  stores.states.load = () => Promise.reject(failure)
  const mark = world.mark()
  const agent = await world.start({ stores })
  expect(await agent.ended.catch((thrown: unknown) => thrown)).toBe(failure)
  expect([agent.released, world.requests(mark)]).toEqual([true, []])
})
