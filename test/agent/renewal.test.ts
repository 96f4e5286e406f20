import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import type { KnobSettings } from '../../src/devplane/knob-board.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import type { Code } from '../../src/model/problem.ts'
import { DAY, HOUR, MINUTE } from '../../src/model/time.ts'
import { openMemory } from '../../src/targets/memory.ts'
import { INTERVAL, World } from './harness.ts'
import type { TestAgent } from './harness.ts'
import { LoopClock } from './loop-clock.ts'
import { openStores } from './stores.ts'

const LANDSCAPE = makeLandscape({ applications: 3, bundles: 1, apis: 1, events: 0 })
const LIFE = 90 * DAY
const RENEWAL = ['configuration', 'sign', 'viewer']

let world: World
beforeAll(async () => {
  world = await World.open(LANDSCAPE)
  await world.identity()
})
afterEach(() => world.plane.reset())
afterAll(() => world[Symbol.asyncDispose]())

/**
 * A world of its own for a test that lives to the renewal: the certificate and the one that follows it are both valid by
 * the real time too, which TLS goes by.
 */
function lifeOfOne(): Promise<World> {
  return World.open(LANDSCAPE, { clock: new LoopClock(Date.now() - 0.85 * LIFE) })
}

async function storedFingerprint(agent: TestAgent): Promise<string | undefined> {
  return (await agent.stores.identity.load())?.identity.fingerprint
}

function signings(on: World, mark = 0): number {
  return on.requests(mark).filter((operation) => operation === 'sign').length
}

describe('a renewal', () => {
  test('happens when 30 percent of the life are left, a tenth of that more or less, not before', async () => {
    await using own = await lifeOfOne()
    await using agent = await own.healthy()
    const { notBefore, notAfter, renewAt, fingerprint } = agent.status.identity!
    expect((notAfter - renewAt) / (notAfter - notBefore)).toBeWithin(0.27, 0.33)
    const mark = own.mark()
    await own.clock.jump(renewAt - 1000 - own.clock.now())
    expect(signings(own, mark)).toBe(0)
    await own.clock.advance(2000)
    await agent.atRest()
    expect(own.requests(mark).slice(-3)).toEqual(RENEWAL)
    expect(agent.status.identity?.fingerprint).not.toBe(fingerprint)
    expect(agent.status.identity?.notAfter).toBeGreaterThan(notAfter)
    expect(await storedFingerprint(agent)).toBe(agent.status.identity!.fingerprint)
    expect(await agent.stores.identity.loadPending()).toBeUndefined()
    expect(agent.codes).toEqual([])
  })

  test('goes over mTLS with the old certificate, is proved with the new one, and every later call uses that', async () => {
    await using agent = await world.healthy()
    const old = agent.status.identity!.fingerprint
    const mark = world.mark()
    await agent.ask({ kind: 'renew' })
    await agent.sync()
    await world.clock.advance(INTERVAL)
    await agent.atRest()
    const renewed = agent.status.identity!.fingerprint
    expect(renewed).not.toBe(old)
    const seen = world.plane.events(mark).map((event) => [event.port, event.fingerprint])
    expect(seen).toEqual([
      ['mtls', old],
      ['mtls', old],
      ['mtls', renewed],
      ['mtls', renewed],
      ['mtls', renewed],
    ])
  })

  test('makes a key of its own each time', async () => {
    const stores = openStores(await world.identity())
    await using agent = await world.healthy({ stores, ownKeys: true })
    const before = (await stores.identity.load())!.identity.key
    await agent.ask({ kind: 'renew' })
    expect((await stores.identity.load())!.identity.key.equals(before)).toBe(false)
  })

  test('needs one signing call; two when the answer of the first is lost; none more when only the proof fails', async () => {
    await using agent = await world.healthy()
    let mark = world.mark()
    await agent.ask({ kind: 'renew' })
    expect(signings(world, mark)).toBe(1)

    mark = world.mark()
    await world.plane.set({ lost: { operation: 'sign', count: 1 } })
    await agent.ask({ kind: 'renew' })
    expect(agent.codes).toContain('unreachable')
    await world.clock.advance(5 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(signings(world, mark)).toBe(2)

    mark = world.mark()
    await world.plane.set({ directorDown: { operation: 'viewer', count: 3 } })
    await agent.ask({ kind: 'renew' })
    await world.clock.advance(15 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(signings(world, mark)).toBe(1)
  })

  test('that cannot be proved leaves the old identity in use, and is proved after a restart without another signing', async () => {
    const stores = openStores(await world.identity())
    await using agent = await world.healthy({ stores })
    const old = agent.status.identity!.fingerprint
    await world.plane.set({ directorDown: { operation: 'viewer' } })
    const mark = world.mark()
    await agent.ask({ kind: 'renew' })
    await world.clock.advance(10 * MINUTE)
    await agent.atRest()
    expect([agent.status.identity!.fingerprint, await storedFingerprint(agent)]).toEqual([old, old])
    expect(agent.codes).toEqual(['server_failed'])
    expect(agent.status.sources[0]?.failures).toBe(0)
    await agent.stop()
    await world.plane.reset()
    // Nobody has to ask again, and it does not wait until the next one is due.
    await using again = await world.healthy({ stores })
    expect(again.status.identity!.fingerprint).not.toBe(old)
    expect(signings(world, mark)).toBe(1)
    expect(await stores.identity.loadPending()).toBeUndefined()
    await world.clock.advance(10 * MINUTE)
    expect(signings(world, mark)).toBe(1)
  })

  test('goes on when the certificate expires before the new one could be proved, without a token', async () => {
    await using own = await lifeOfOne()
    await using agent = await own.healthy()
    const { renewAt, notAfter, fingerprint } = agent.status.identity!
    await own.plane.set({ directorDown: { operation: 'director' } })
    await own.clock.jump(renewAt + 1000 - own.clock.now())
    expect(signings(own)).toBe(2)
    // Suspended past the end: nothing could be done in the last twentieth of the life.
    await own.clock.jump(notAfter + HOUR - own.clock.now())
    expect(agent.status.identity).toMatchObject({ fingerprint, condition: 'expired' })
    await own.plane.reset()
    await own.clock.advance(6 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(agent.status.identity?.condition).toBe('valid')
    expect(signings(own)).toBe(2)
  })

  test('comes after a suspension past its time at once, together with the sync', async () => {
    await using own = await lifeOfOne()
    await using agent = await own.healthy()
    const mark = own.mark()
    await own.clock.jump(70 * DAY)
    expect(own.requests(mark).toSorted()).toEqual(['applications+runtime', ...RENEWAL])
    expect(agent.codes).toEqual([])
  })

  test('waits for its window; when a twentieth of the life is left, it does not', async () => {
    await using own = await lifeOfOne()
    const nightly = { text: 'Sat 02:00-04:00 UTC', days: [6], from: 120, to: 240 }
    const stores = openStores(await own.identity())
    await using agent = await own.healthy({
      stores,
      settings: { renewal: { threshold: 0.3, windows: [nightly] } },
    })
    const { renewAt, notBefore, notAfter } = agent.status.identity!
    expect(new Date(renewAt).getUTCDay()).toBe(6)
    expect(new Date(renewAt).getUTCHours()).toBe(2)
    await agent.stop()
    const never = {
      text: 'never',
      days: [new Date(notAfter).getUTCDay()],
      from: 0,
      to: 1,
    }
    const late = { threshold: 0.07, windows: [never] }
    await using other = await own.healthy({ stores, settings: { renewal: late } })
    const left = (notAfter - other.status.identity!.renewAt) / (notAfter - notBefore)
    expect(left).toBeCloseTo(0.05, 5)
  })

  test('in the last twentieth of the life takes a certificate that cannot be proved', async () => {
    await using own = await lifeOfOne()
    await using agent = await own.healthy()
    const { notAfter, fingerprint } = agent.status.identity!
    await own.plane.set({
      directorDown: { operation: 'director' },
      certificateOffset: -20 * DAY, // this clock is ahead of the one that TLS goes by
    })
    await own.clock.jump(notAfter - 0.04 * LIFE - own.clock.now())
    expect(agent.status.identity?.fingerprint).not.toBe(fingerprint)
    expect(await storedFingerprint(agent)).toBe(agent.status.identity!.fingerprint)
    await own.plane.reset()
    await own.clock.advance(6 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([])
  })

  test('does not take one that gets nowhere while the old one does, in the last twentieth of the life either', async () => {
    await using own = await lifeOfOne()
    await using agent = await own.healthy()
    const { notAfter, fingerprint } = agent.status.identity!
    await own.plane.set({ certificate: 'otherCa', certificateOffset: -20 * DAY })
    await own.clock.jump(notAfter - 0.04 * LIFE - own.clock.now())
    expect(agent.status.identity?.fingerprint).toBe(fingerprint)
    expect(await storedFingerprint(agent)).toBe(fingerprint)
    expect(await agent.stores.identity.loadPending()).toBeUndefined()
    expect(agent.status.sources[0]?.failures).toBe(0)
  })

  test('that fails is tried again within five minutes, near the end within a twentieth of what is left', async () => {
    await using own = await lifeOfOne()
    await using agent = await own.healthy({ random: () => 0.999 })
    await own.plane.set({ refuse: { value: 503, operation: 'connector' } })
    const { renewAt, notAfter, fingerprint } = agent.status.identity!
    await own.clock.jump(renewAt + 1000 - own.clock.now())
    const mark = own.mark()
    await own.clock.advance(HOUR)
    await agent.atRest()
    const tries = own.requests(mark).filter((operation) => operation === 'configuration')
    expect(tries.length).toBeWithin(12, 25)
    for (const left of [DAY, HOUR, 10 * MINUTE, 2 * MINUTE, 30_000, 10_000]) {
      await own.clock.jump(notAfter - left - own.clock.now())
      const wait = agent.status.identity!.renewAt - own.clock.now()
      expect(wait).toBeGreaterThan(0)
      expect(wait).toBeLessThanOrEqual(Math.max(1000, Math.min(5 * MINUTE, left / 20)))
    }
    expect(agent.codes).toEqual(['server_failed'])
    expect(agent.status.identity?.fingerprint).toBe(fingerprint)
    // The Connector that comes back in the last seconds is in time.
    await own.plane.set({ refuse: false, certificateOffset: -20 * DAY })
    await own.clock.advance(5000)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(agent.status.identity!.notAfter).toBeGreaterThan(notAfter)
  })
})

/** Nothing that the Connector answers harms the identity in use. */
const ROWS: [string, KnobSettings, Code][] = [
  ['503', { refuse: { value: 503, operation: 'connector' } }, 'server_failed'],
  ['400 without a body', { refuse: { value: 0, operation: 'connector' } }, 'identity_refused'],
  ['502 without a body', { connectorDown: true }, 'server_failed'],
  [
    'a Director that is down behind it',
    { directorDown: { operation: 'connector' } },
    'identity_refused',
  ],
  ['a database that is down', { databaseDown: { operation: 'connector' } }, 'identity_refused'],
  ['a Hydrator that is down', { hydratorDown: { operation: 'connector' } }, 'server_failed'],
  ['429', { tooMany: { value: 0, operation: 'connector' } }, 'too_many_requests'],
  ['a redirect', { redirect: { operation: 'connector' } }, 'redirect_refused'],
  ['an HTML page', { html: { value: 200, operation: 'sign' } }, 'answer_malformed'],
  ['cut JSON', { cut: { value: 0.5, operation: 'sign' } }, 'answer_malformed'],
  ['hollow data', { hollow: { value: 'object', operation: 'configuration' } }, 'answer_malformed'],
  ['a GraphQL error', { error: { value: 'trouble', operation: 'sign' } }, 'server_failed'],
  [
    'an error beside the certificate',
    { errorBesideData: { value: 'trouble', operation: 'sign' } },
    'server_failed',
  ],
  ['status 500 with a certificate', { status: { value: 500, operation: 'sign' } }, 'server_failed'],
  ['a certificate for another key', { certificate: 'otherKey' }, 'certificate_invalid'],
  ['a certificate for another name', { certificate: 'otherName' }, 'certificate_invalid'],
  ['no PEM', { certificate: 'notPem' }, 'answer_malformed'],
  ['half a certificate', { certificate: 'cut' }, 'certificate_invalid'],
  ['a certificate of another CA', { certificate: 'otherCa' }, 'unreachable'],
  [
    'a certificate that expired years ago',
    { certificateOffset: -3000 * DAY },
    'certificate_invalid',
  ],
  ['an unknown kind of key', { keyAlgorithm: 'ed25519' }, 'key_algorithm_unknown'],
  ['an address that is none', { directorUrl: 'not an address' }, 'answer_malformed'],
]

describe('a renewal that is answered with', () => {
  test.each(ROWS)(
    '%s leaves the identity as it is, and succeeds once that is over',
    async (_, knobs, code) => {
      const target = openMemory('memory')
      await using agent = await world.healthy({ targets: [target] })
      const { fingerprint } = agent.status.identity!
      const before = [new Map(target.objects), target.writes]
      await world.plane.set(knobs)
      await agent.ask({ kind: 'renew' })
      await world.clock.advance(2 * MINUTE)
      await agent.atRest()
      expect(agent.codes).toEqual([code])
      expect(agent.status.identity!.fingerprint).toBe(fingerprint)
      expect(await storedFingerprint(agent)).toBe(fingerprint)
      expect(agent.status.sources[0]?.failures).toBe(0)
      await world.plane.reset()
      await world.clock.advance(6 * MINUTE)
      await agent.atRest()
      expect(agent.codes).toEqual([])
      expect(agent.status.identity!.fingerprint).not.toBe(fingerprint)
      expect([new Map(target.objects), target.writes]).toEqual(before)
    },
  )
})

describe('asked to renew', () => {
  test('without an identity, or with one that has expired, the agent refuses and says why', async () => {
    await using agent = await world.start()
    await agent.atRest()
    expect((await agent.ask({ kind: 'renew' })).refused?.code).toBe('token_missing')
    await agent.stop()
    await using own = await lifeOfOne()
    await using other = await own.healthy()
    await own.clock.jump(LIFE)
    expect((await other.ask({ kind: 'renew' })).refused?.code).toBe('identity_expired')
  })
})
