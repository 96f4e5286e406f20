import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { HOUR, MINUTE, SECOND } from '../../src/model/time.ts'
import { openMemory } from '../../src/targets/memory.ts'
import { INTERVAL, World } from './harness.ts'
import { openStores } from './stores.ts'

const TICK = 5 * SECOND
const PASS = ['applications+runtime']

let world: World
beforeAll(async () => {
  world = await World.open(makeLandscape({ applications: 4, bundles: 1, apis: 1, events: 0 }))
  await world.identity()
})
afterEach(() => world.plane.reset())
afterAll(() => world[Symbol.asyncDispose]())

describe('asked to sync', () => {
  test('the agent answers when it is done, with the status as it is then', async () => {
    const target = openMemory('memory')
    await using agent = await world.healthy({ targets: [target] })
    target.objects.clear()
    const { status, refused } = await agent.ask({ kind: 'sync' })
    expect([refused, status.targets[0]?.changes, target.objects.size]).toEqual([undefined, 8, 8])
    expect(status.sources[0]?.lastSuccess).toBe(world.clock.now())
  })

  test('by many at once it answers all of them, in few passes', async () => {
    await using agent = await world.healthy()
    const mark = world.mark()
    const answers = await Promise.all(Array.from({ length: 8 }, () => agent.ask({ kind: 'sync' })))
    expect(answers.every(({ status }) => status.problems.length === 0)).toBe(true)
    expect(world.requests(mark).length).toBeLessThanOrEqual(8)
  })

  test('while the Director is down it answers with that', async () => {
    await using agent = await world.healthy()
    await world.plane.set({ directorDown: true })
    const { status } = await agent.ask({ kind: 'sync' })
    expect(status.problems.map(({ code }) => code)).toEqual(['server_failed'])
  })

  test('without an identity it answers with what it needs', async () => {
    await using agent = await world.start()
    await agent.atRest()
    const { status } = await agent.ask({ kind: 'sync' })
    expect(status.problems.map(({ code }) => code)).toEqual(['token_missing'])
  })
})

describe('paused', () => {
  test('the agent changes nothing, fetches nothing and labels nothing, and says so', async () => {
    const target = openMemory('memory')
    await using agent = await world.healthy({ targets: [target], settings: { labels: {} } })
    const { status } = await agent.ask({ kind: 'pause' })
    expect(status).toMatchObject({ paused: true, why: 'paused by an operator' })
    const mark = world.mark()
    target.objects.clear()
    await world.clock.advance(5 * INTERVAL)
    await agent.atRest()
    expect([target.objects.size, world.requests(mark)]).toEqual([0, []])
  })

  test('it keeps its identity: it renews, and enrols with a new token when the old one is refused', async () => {
    await using agent = await world.start({ token: await world.token() })
    await agent.atRest()
    await agent.ask({ kind: 'pause' })
    const first = agent.status.identity!.fingerprint
    await agent.ask({ kind: 'renew' })
    const second = agent.status.identity!.fingerprint
    expect(second).not.toBe(first)
  })

  test('a sync that is asked for is not done before the pause ends, and then at once', async () => {
    const target = openMemory('memory')
    await using agent = await world.healthy({ targets: [target] })
    await agent.ask({ kind: 'pause' })
    target.objects.clear()
    const { status } = await agent.ask({ kind: 'sync' })
    expect([status.paused, target.objects.size]).toEqual([true, 0])
    const mark = world.mark()
    await agent.ask({ kind: 'resume' })
    expect([target.objects.size, world.requests(mark)]).toEqual([8, PASS])
    expect(agent.status.history.slice(0, 3).map(({ message }) => message)).toEqual([
      expect.stringContaining('memory: created'),
      'resumed by an operator',
      'paused by an operator',
    ])
  })
})

describe('asked to reconnect', () => {
  test('without a token, or with a spent one, the agent refuses', async () => {
    const stores = openStores()
    await using agent = await world.start({ stores, token: await world.token() })
    await agent.atRest()
    expect((await agent.ask({ kind: 'reconnect' })).refused?.code).toBe('token_missing')
    agent.token = undefined
    await world.clock.advance(TICK)
    expect((await agent.ask({ kind: 'reconnect' })).refused?.code).toBe('token_missing')
  })

  test('it enrols with the token that it left unspent until then, and touches no target', async () => {
    const target = openMemory('memory')
    await using agent = await world.healthy({ targets: [target] })
    const before = agent.status.identity!
    agent.token = await world.token()
    await world.clock.advance(TICK)
    const mark = world.mark()
    const { status, refused } = await agent.ask({ kind: 'reconnect' })
    expect([refused, status.problems]).toEqual([undefined, []])
    expect(world.requests(mark)).toEqual(['configuration', 'sign', 'viewer', ...PASS])
    expect(status.identity!.subject).not.toBe(before.subject)
    expect(target.writes).toBe(8)
    agent.token = await world.token()
    await world.clock.advance(HOUR)
    await agent.atRest()
    expect(agent.status.token).toBe('unspent')
  })

  test('with a token that is refused it says so, goes on with the identity it has, and takes the next token', async () => {
    const used = await world.issueToken()
    await using other = await world.start({ token: used.raw })
    await other.atRest()
    await other.stop()
    await using agent = await world.healthy()
    const { fingerprint } = agent.status.identity!
    agent.token = used.raw
    await world.clock.advance(TICK)
    const { status } = await agent.ask({ kind: 'reconnect' })
    expect(status.problems.map(({ code }) => code)).toEqual(['token_refused'])
    expect(status.identity!.fingerprint).toBe(fingerprint)
    agent.token = await world.token()
    await world.clock.advance(TICK)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(agent.status.identity!.fingerprint).not.toBe(fingerprint)
  })

  test('the wish ends when the token is taken away: a later one is left unspent', async () => {
    await using agent = await world.healthy()
    const { fingerprint } = agent.status.identity!
    await world.plane.set({ directorDown: { operation: 'token' } })
    agent.token = await world.token()
    await world.clock.advance(TICK)
    await agent.ask({ kind: 'reconnect' })
    expect(agent.codes).toEqual(['token_refused'])
    await world.plane.reset()
    agent.token = undefined
    await world.clock.advance(TICK)
    agent.token = await world.token()
    await world.clock.advance(HOUR)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect([agent.status.token, agent.status.identity!.fingerprint]).toEqual([
      'unspent',
      fingerprint,
    ])
  })
})

describe('a Director that has moved', () => {
  const named = (host: string, on: World): string => on.plane.directorUrl.replace('127.0.0.1', host)

  /** An agent that knows the Director by a name which its certificate no longer has. */
  async function moved(): Promise<World> {
    const own = await World.open(world.plane.landscape)
    await own.plane.set({ directorUrl: named('localhost', own) })
    await own.identity()
    await own.plane.set({ directorUrl: false, serverNames: ['127.0.0.1'] })
    return own
  }

  test('is found by asking the Connector, proved, kept, and used at once', async () => {
    await using own = await moved()
    const stores = openStores(await own.identity())
    const target = openMemory('memory')
    await using agent = await own.healthy({ stores, targets: [target] })
    expect(agent.codes).toEqual(['tls_name_mismatch'])
    const mark = own.mark()
    await own.clock.advance(10 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(own.requests(mark).slice(0, 3)).toEqual(['configuration', 'viewer', ...PASS])
    expect(agent.status.directorUrl).toBe(named('127.0.0.1', own))
    expect(target.objects.size).toBe(8)
    await agent.stop()
    await using again = await own.healthy({ stores })
    expect(again.codes).toEqual([])
  })

  test('is asked for at most once an hour while the Connector knows no other address', async () => {
    await using own = await moved()
    await own.plane.set({ directorUrl: named('localhost', own) })
    await using agent = await own.healthy()
    await own.clock.advance(4 * HOUR)
    await agent.atRest()
    const asked = own.requests().filter((operation) => operation === 'configuration')
    expect(asked.length).toBeWithin(1 + 4, 1 + 6)
    expect(agent.codes).toEqual(['tls_name_mismatch'])
  })

  test('to where nobody answers is not followed, and the address that is known is kept', async () => {
    await using own = await moved()
    await own.plane.set({ directorUrl: 'https://127.0.0.1:9/director/graphql' })
    const stores = openStores(await own.identity())
    await using agent = await own.healthy({ stores })
    await own.clock.advance(20 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual(['tls_name_mismatch'])
    expect((await stores.identity.load())!.identity.plane.directorUrl).toBe(named('localhost', own))
    await own.plane.set({ serverNames: ['127.0.0.1', 'localhost'] })
    await own.clock.advance(5 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([])
  })
})

describe('told to stop', () => {
  test('in the middle of a request the agent ends at once, and counts no failure', async () => {
    await using agent = await world.healthy()
    await world.plane.set({ delay: 20_000 })
    const began = performance.now()
    const asked = agent.ask({ kind: 'sync' })
    asked.catch(() => undefined)
    await agent.until(({ state }) => state === 'sync')
    await agent.stop()
    expect(performance.now() - began).toBeLessThan(3000)
    expect(agent.status).toMatchObject({ state: 'idle', why: 'stopped', problems: [] })
  })
})
