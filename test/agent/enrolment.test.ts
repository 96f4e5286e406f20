import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KnobSettings } from '../../src/devplane/knob-board.ts'
import { DEFAULT_FORMATION } from '../../src/devplane/landscape.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { AgentError } from '../../src/model/problem.ts'
import type { Code } from '../../src/model/problem.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../src/model/time.ts'
import { openMemory } from '../../src/targets/memory.ts'
import { World } from './harness.ts'
import type { TestAgent } from './harness.ts'
import { openStores } from './stores.ts'

const TICK = 5 * SECOND
const OTHER_RUNTIME = '99999999-0000-4000-8000-000000000001'

let world: World
beforeAll(async () => {
  const landscape = makeLandscape({ applications: 6, bundles: 1, apis: 1, events: 0 })
  const other = { id: OTHER_RUNTIME, name: 'other', formations: [DEFAULT_FORMATION], labels: {} }
  landscape.runtimes.push(other)
  world = await World.open(landscape)
})
afterEach(() => world.plane.reset())
afterAll(() => world[Symbol.asyncDispose]())

/** Operations of the Connector through the token port since the mark. */
function spent(mark: number): string[] {
  const events = world.plane.events(mark).filter(({ port }) => port === 'token')
  return events.map(({ operations }) => operations.join())
}

async function isEnrolled(agent: TestAgent): Promise<void> {
  await agent.atRest()
  expect(agent.codes).toEqual([])
  expect(agent.status).toMatchObject({
    runtimeId: world.runtimeId,
    identity: { condition: 'valid' },
    token: 'spent',
    applications: { length: 6 },
  })
}

/** A new token, and no more than one tick. */
async function healsWithNewToken(agent: TestAgent): Promise<void> {
  agent.token = await world.token()
  await world.clock.advance(TICK)
  await isEnrolled(agent)
}

describe('without a token', () => {
  test('the agent waits, asks nobody, says what it needs, and enrols within one tick of its coming', async () => {
    const mark = world.mark()
    await using agent = await world.start()
    await agent.atRest()
    expect(agent.status).toMatchObject({
      state: 'idle',
      why: 'waiting for a one-time token',
      token: 'none',
      problems: [{ code: 'token_missing', turn: 'operator' }],
    })
    await world.clock.advance(HOUR)
    expect(world.requests(mark)).toEqual([])
    await healsWithNewToken(agent)
  })

  test('an empty file is no token', async () => {
    await using agent = await world.start({ token: ' \n' })
    await agent.atRest()
    expect(agent.codes).toEqual(['token_missing'])
  })
})

describe('a token', () => {
  test.each(['token', 'raw', 'rawEncoded'] as const)('in the form %s enrols', async (form) => {
    const token = (await world.issueToken())[form]
    const settings = form === 'token' ? { connectorUrl: world.plane.tokenUrl } : {}
    await using agent = await world.start({ token: `${token}\n`, settings })
    await isEnrolled(agent)
  })

  test('in the plain form without connector.url is not sent anywhere', async () => {
    const { token } = await world.issueToken()
    const mark = world.mark()
    await using agent = await world.start({ token })
    await agent.atRest()
    expect(agent.codes).toEqual(['connector_url_missing'])
    expect(world.requests(mark)).toEqual([])
    await healsWithNewToken(agent)
  })

  test('for another Connector than connector.url is not sent anywhere', async () => {
    const mark = world.mark()
    const settings = { connectorUrl: 'https://another.example/connector/graphql' }
    await using agent = await world.start({ token: await world.token(), settings })
    await agent.atRest()
    expect(agent.codes).toEqual(['connector_url_mismatch'])
    expect(agent.status.problems[0]?.message).toContain('another.example')
    expect(world.requests(mark)).toEqual([])
  })

  test('that cannot be read, or is none, is named and looked for again', async () => {
    await using agent = await world.start()
    const rows: [TestAgent['token'], Code][] = [
      [{ unreadable: 'EACCES' }, 'token_unreadable'],
      ['https://compass.example/', 'token_invalid'],
      ['two words', 'token_invalid'],
      [`{"token": "${'x'.repeat(88)}"`, 'token_invalid'],
    ]
    for (const [token, code] of rows) {
      agent.token = token
      await world.clock.advance(TICK)
      await agent.atRest()
      expect([agent.codes, agent.status.token]).toEqual([[code], 'unreadable'])
    }
    await healsWithNewToken(agent)
  })

  test('for an application is not sent when it says so itself', async () => {
    const owner = { application: world.plane.landscape.applications[0]!.id }
    const mark = world.mark()
    await using agent = await world.start({ token: await world.token(owner) })
    await agent.atRest()
    expect(agent.codes).toEqual(['not_a_runtime'])
    expect(world.requests(mark)).toEqual([])
    await healsWithNewToken(agent)
  })

  test('for an application that does not say so makes no identity', async () => {
    const { token } = await world.issueToken({
      application: world.plane.landscape.applications[0]!.id,
    })
    const settings = { connectorUrl: world.plane.tokenUrl }
    await using agent = await world.start({ token, settings })
    await agent.atRest()
    expect(agent.codes).toEqual(['not_a_runtime'])
    expect(await agent.stores.identity.load()).toBeUndefined()
    await healsWithNewToken(agent)
  })

  test('for another runtime than runtime.id makes no identity, and nothing of that runtime is mirrored', async () => {
    const target = openMemory('memory')
    const settings = { runtimeId: world.runtimeId }
    const token = await world.token({ runtime: OTHER_RUNTIME })
    await using agent = await world.start({ token, settings, targets: [target] })
    await world.clock.advance(10 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual(['runtime_mismatch'])
    expect(target.objects.size).toBe(0)
    expect(await agent.stores.identity.load()).toBeUndefined()
    await healsWithNewToken(agent)
  })

  test('of a healthy agent is left unspent, and the status says so', async () => {
    await using agent = await world.healthy()
    agent.token = await world.token()
    const mark = world.mark()
    await world.clock.advance(10 * MINUTE)
    await agent.atRest()
    expect(spent(mark)).toEqual([])
    expect(agent.status.token).toBe('unspent')
    expect(agent.codes).toEqual([])
  })
})

describe('a token that the Connector refuses', () => {
  test('is tried at most six times an hour, then a new one is asked for, which is taken within one tick', async () => {
    const used = await world.issueToken()
    await using first = await world.start({ token: used.rawEncoded })
    await isEnrolled(first)
    await first.stop()
    const mark = world.mark()
    await using agent = await world.start({ token: used.raw, random: () => 0 })
    await agent.atRest()
    expect([agent.codes, agent.status.token]).toEqual([['token_refused'], 'in-use'])
    await world.clock.advance(HOUR)
    await agent.atRest()
    expect(spent(mark).length).toBeWithin(4, 7)
    expect(agent.status.token).toBe('refused')
    expect(agent.status).toMatchObject({ state: 'idle', problems: [{ code: 'token_spent' }] })
    const later = world.mark()
    await world.clock.advance(5 * HOUR)
    expect(world.requests(later)).toEqual([])
    await healsWithNewToken(agent)
  })

  test('as it has expired is tried once, and no more', async () => {
    const token = await world.token()
    world.clock.set(world.clock.now() + 2 * HOUR)
    const mark = world.mark()
    await using agent = await world.start({ token })
    await world.clock.advance(HOUR)
    await agent.atRest()
    expect(spent(mark)).toEqual(['configuration'])
    expect(agent.status.problems).toMatchObject([{ code: 'token_spent' }])
    await healsWithNewToken(agent)
  })

  test.each<[string, KnobSettings, Code]>([
    ['the Director is down', { directorDown: { operation: 'token' } }, 'token_refused'],
    ['the database is down', { databaseDown: { operation: 'token' } }, 'token_refused'],
    ['the Hydrator is down', { hydratorDown: { operation: 'token' } }, 'server_failed'],
    ['a page is in the way', { html: { value: 503, operation: 'token' } }, 'server_failed'],
    ['a redirect is in the way', { redirect: { operation: 'token' } }, 'redirect_refused'],
    ['it asks to slow down', { tooMany: { value: 60, operation: 'token' } }, 'too_many_requests'],
  ])('as %s enrols with the same token once that is over', async (_, knobs, code) => {
    await world.plane.set(knobs)
    await using agent = await world.start({ token: await world.token() })
    await world.clock.advance(MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([code])
    await world.plane.reset()
    await world.clock.advance(30 * MINUTE)
    await isEnrolled(agent)
  })

  test('between configuration and signing goes on with the same key once Compass is back', async () => {
    await world.plane.set({ directorDown: { operation: 'sign' } })
    const mark = world.mark()
    await using agent = await world.start({ token: await world.token() })
    await agent.atRest()
    expect(agent.codes).toEqual(['token_refused'])
    const journal = await agent.stores.identity.loadPending()
    expect(journal?.stage).toBe('signing')
    await world.plane.reset()
    await world.clock.advance(30 * MINUTE)
    await isEnrolled(agent)
    expect(spent(mark).filter((operation) => operation === 'configuration')).toHaveLength(1)
  })
})

describe('a Connector that cannot be reached', () => {
  test('costs no token: the same one enrols when it listens again, hours later', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'agent-plane-'))
    try {
      const { landscape } = world.plane
      const options = { clock: world.clock, directory }
      const before = await World.open(landscape, options)
      const token = await before.token()
      await before[Symbol.asyncDispose]()
      await using agent = await before.start({ token })
      await agent.atRest()
      expect(agent.codes).toEqual(['unreachable'])
      await world.clock.advance(20 * MINUTE)
      await agent.atRest()
      expect([agent.codes, agent.status.token]).toEqual([['unreachable'], 'in-use'])
      await using _after = await World.open(landscape, options)
      await world.clock.advance(6 * MINUTE)
      await isEnrolled(agent)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  test('as its CA is not known costs no token', async () => {
    const token = await world.token()
    const mark = world.mark()
    const stores = openStores()
    await using agent = await world.start({ token, stores, compass: { ca: [] } })
    await agent.atRest()
    expect(agent.codes).toEqual(['tls_untrusted'])
    await agent.stop()
    await using again = await world.start({ token, stores })
    await world.clock.advance(MINUTE)
    await isEnrolled(again)
    expect(spent(mark)).toEqual(['configuration', 'sign'])
  })
})

describe('an answer that is lost', () => {
  test.each<[string, KnobSettings]>([
    ['the Connector is down behind the gateway', { connectorDown: { operation: 'token' } }],
    ['the configuration is lost', { lost: { operation: 'configuration' } }],
    ['the configuration is cut', { cut: { value: 0.5, operation: 'configuration' } }],
    ['the certificate is lost', { lost: { operation: 'sign' } }],
    ['the certificate is cut', { cutConnection: { value: 0.5, operation: 'sign' } }],
    ['an HTML page comes for the certificate', { html: { value: 200, operation: 'sign' } }],
  ])('costs the token (%s): that is named, and a new one heals', async (_, knobs) => {
    await world.plane.set(knobs)
    await using agent = await world.start({ token: await world.token() })
    await agent.atRest()
    expect(agent.codes.length).toBeGreaterThan(0)
    expect(await agent.stores.identity.load()).toBeUndefined()
    await world.plane.reset()
    if (!('html' in knobs)) {
      await world.clock.advance(2 * HOUR)
      await agent.atRest()
      expect(agent.status).toMatchObject({ state: 'idle', token: 'refused' })
      expect(agent.status.problems).toMatchObject([{ code: 'token_spent', turn: 'operator' }])
      expect(agent.status.problems[0]?.hint).toContain('get a new one-time token')
    }
    await healsWithNewToken(agent)
  })

  test.each<[string, KnobSettings, Code]>([
    ['refused', { error: { value: 'Error while signing', operation: 'sign' } }, 'server_failed'],
    ['for another key', { certificate: 'otherKey' }, 'certificate_invalid'],
    ['for another name', { certificate: 'otherName' }, 'certificate_invalid'],
    ['no PEM', { certificate: 'notPem' }, 'answer_malformed'],
    ['cut', { certificate: 'cut' }, 'certificate_invalid'],
    ['for a key of an unknown kind', { keyAlgorithm: 'ecdsa' }, 'key_algorithm_unknown'],
  ])('or a certificate that is %s costs the token and nothing else', async (_, knobs, code) => {
    await world.plane.set(knobs)
    const identity = await world.identity()
    await world.plane.set(knobs)
    const stores = openStores(identity)
    const target = openMemory('memory')
    await using agent = await world.healthy({ stores, targets: [target] })
    const before = new Map(target.objects)
    agent.token = await world.token()
    await world.clock.advance(TICK)
    await agent.ask({ kind: 'reconnect' })
    expect(agent.codes).toEqual([code])
    expect((await stores.identity.load())?.identity.fingerprint).toBe(identity.fingerprint)
    expect(new Map(target.objects)).toEqual(before)
    await world.plane.reset()
    agent.token = await world.token()
    await world.clock.advance(TICK)
    await agent.atRest()
    expect(agent.status.identity?.fingerprint).not.toBe(identity.fingerprint)
    expect(agent.codes).toEqual([])
  })
})

describe('a certificate that is signed', () => {
  test('and cannot be proved yet is proved later, without a token and without signing again, after a restart too', async () => {
    await world.plane.set({ directorDown: { operation: 'viewer' } })
    const stores = openStores()
    await using first = await world.start({ stores, token: await world.token() })
    await first.atRest()
    expect(first.codes).toEqual(['server_failed'])
    expect(await stores.identity.load()).toBeUndefined()
    await first.stop()
    const mark = world.mark()
    await using agent = await world.start({ stores })
    await agent.atRest()
    expect(agent.codes).toEqual(['server_failed'])
    await world.plane.reset()
    await world.clock.advance(5 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(agent.status.applications).toHaveLength(6)
    expect(spent(mark)).toEqual([])
  })
})

describe('an identity that is lost', () => {
  test('by expiry is named, what is deployed stays and is repaired, and a new token heals within one tick', async () => {
    await using own = await World.open(world.plane.landscape)
    await own.plane.set({
      certificateLifetime: 61 * DAY,
      refuse: { value: 503, operation: 'connector', skip: 2 },
    })
    const target = openMemory('memory')
    await using agent = await own.start({ token: await own.token(), targets: [target] })
    await agent.atRest()
    const before = new Map(target.objects)
    const { fingerprint } = agent.status.identity!
    await own.clock.jump(62 * DAY)
    expect(agent.codes).toContain('identity_expired')
    expect(agent.status.identity).toMatchObject({ fingerprint, condition: 'expired' })
    const mark = own.mark()
    target.objects.delete([...target.objects.keys()][0]!)
    await own.clock.advance(10 * MINUTE)
    await agent.atRest()
    expect(new Map(target.objects)).toEqual(before)
    expect(own.requests(mark)).toEqual([])
    // This clock is ahead of the one by which TLS looks at certificates.
    await own.plane.set({ certificateOffset: -10 * DAY, refuse: false })
    agent.token = await own.token()
    await own.clock.advance(TICK)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(agent.status.identity).toMatchObject({ condition: 'valid' })
    expect(new Map(target.objects)).toEqual(before)
  })

  test('by revocation is named, and with a new token the agent enrols again and deletes nothing', async () => {
    const target = openMemory('memory')
    await using agent = await world.start({ token: await world.token(), targets: [target] })
    await isEnrolled(agent)
    const before = new Map(target.objects)
    const { writes } = target
    const { fingerprint } = agent.status.identity!
    await world.plane.revoke({ fingerprint })
    await agent.sync()
    await world.clock.advance(HOUR)
    await agent.atRest()
    expect(agent.codes).toEqual(['identity_refused'])
    expect(agent.status.identity?.fingerprint).toBe(fingerprint)
    await healsWithNewToken(agent)
    expect(agent.status.identity?.fingerprint).not.toBe(fingerprint)
    expect([new Map(target.objects), target.writes]).toEqual([before, writes])
  })

  test('as its runtime was removed from Compass deletes nothing either', async () => {
    await using own = await World.open(world.plane.landscape)
    const target = openMemory('memory')
    await using agent = await own.healthy({ targets: [target] })
    const before = new Map(target.objects)
    own.edit((draft) => void draft.runtimes.shift())
    await agent.sync()
    await own.clock.advance(HOUR)
    await agent.atRest()
    expect(agent.codes).toEqual(['identity_refused'])
    expect(new Map(target.objects)).toEqual(before)
  })

  test('is not replaced by one for another runtime, unless runtime.id says so', async () => {
    const target = openMemory('memory')
    await using agent = await world.start({ token: await world.token(), targets: [target] })
    await isEnrolled(agent)
    const before = new Map(target.objects)
    const { fingerprint } = agent.status.identity!
    await world.plane.revoke({ fingerprint })
    await agent.sync()
    agent.token = await world.token({ runtime: OTHER_RUNTIME })
    await world.clock.advance(10 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toContain('runtime_mismatch')
    expect(agent.status.identity?.fingerprint).toBe(fingerprint)
    expect(new Map(target.objects)).toEqual(before)
    await healsWithNewToken(agent)
  })
})

describe('a store that cannot be written', () => {
  test('keeps the token from being sent; once it can be written the agent enrols', async () => {
    const stores = openStores()
    const { check } = stores.identity
    stores.identity.check = () =>
      Promise.reject(new AgentError('disk_full', 'Cannot write to the state: no space is left'))
    const mark = world.mark()
    await using agent = await world.start({ stores, token: await world.token() })
    await world.clock.advance(10 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual(['disk_full'])
    expect(world.requests(mark)).toEqual([])
    stores.identity.check = check
    await world.clock.advance(5 * MINUTE)
    await isEnrolled(agent)
  })
})
