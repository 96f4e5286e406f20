import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { KnobSettings } from '../../src/devplane/knob-board.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import type { Code, Turn } from '../../src/model/problem.ts'
import type { ObservedObject } from '../../src/model/target.ts'
import { MINUTE } from '../../src/model/time.ts'
import { openMemory } from '../../src/targets/memory.ts'
import type { MemoryTarget } from '../../src/targets/memory.ts'
import { World } from './harness.ts'
import type { TestAgent } from './harness.ts'

/*
 * Whatever the Director answers, and however long it does: targets, credentials, snapshot and identity stay as they are,
 * the status names what is wrong and whose turn it is, and when it is over the agent is in step again by itself.
 */

type Row = [answer: string, knobs: KnobSettings, code: Code, turn: Turn]

const fetches = { operation: 'applications' } as const

const ROWS: Row[] = [
  ['a page of HTML with 503', { html: { value: 503, ...fetches } }, 'server_failed', 'compass'],
  ['a captive portal: HTML with 200', { html: { value: 200 } }, 'answer_malformed', 'agent'],
  ['JSON cut in the middle', { cut: { value: 0.5, ...fetches } }, 'answer_malformed', 'agent'],
  [
    'JSON of which the last character is missing',
    { cut: { value: 0.9999 } },
    'answer_malformed',
    'agent',
  ],
  ['a body of nothing', { cut: { value: 0 } }, 'answer_malformed', 'agent'],
  [
    'a connection that breaks in the body',
    { cutConnection: { value: 0.7 } },
    'unreachable',
    'agent',
  ],
  ['a connection that breaks before it answers', { lostBefore: true }, 'unreachable', 'agent'],
  ['an answer that is lost', { lost: true }, 'unreachable', 'agent'],
  ['an error 10 beside whole data', { errorBesideData: 10 }, 'director_failed', 'compass'],
  ['an error 22 beside whole data', { errorBesideData: 22 }, 'director_refused', 'compass'],
  [
    'an error without code beside whole data',
    { errorBesideData: 'trouble' },
    'director_failed',
    'compass',
  ],
  ['error 10', { error: 10 }, 'director_failed', 'compass'],
  ['error 20', { error: 20 }, 'director_refused', 'compass'],
  ['error 22', { error: 22 }, 'director_refused', 'compass'],
  ['error 23 without scopes', { scopes: [] }, 'identity_refused', 'agent'],
  [
    'error 23 with the list of scopes',
    { scopes: { value: ['runtime:read'] } },
    'scope_missing',
    'compass',
  ],
  ['error 24', { error: 24 }, 'tenant_wrong', 'operator'],
  ['error 25', { error: 25 }, 'tenant_wrong', 'operator'],
  ['error 26', { error: 26 }, 'director_refused', 'compass'],
  ['error 27', { error: 27 }, 'director_refused', 'compass'],
  ['error 28', { error: 28 }, 'timed_out', 'agent'],
  ['an existing tenant that is not ours', { wrongTenant: 'existing' }, 'tenant_wrong', 'operator'],
  ['an unknown tenant', { wrongTenant: 'unknown' }, 'identity_refused', 'agent'],
  ['fields that are {}', { hollow: 'object' }, 'answer_malformed', 'agent'],
  ['data: null', { hollow: 'null' }, 'answer_malformed', 'agent'],
  ['the body {}', { hollow: 'missing' }, 'answer_malformed', 'agent'],
  ['fields that are null', { hollow: 'field' }, 'identity_refused', 'agent'],
  ['a redirect', { redirect: 'https://127.0.0.1:9/' }, 'redirect_refused', 'operator'],
  ['a well-formed answer with status 500', { status: 500 }, 'server_failed', 'compass'],
  [
    'a well-formed empty page with status 500',
    { status: 500, emptyPage: true },
    'server_failed',
    'compass',
  ],
  [
    'a well-formed empty page with status 403',
    { status: 403, emptyPage: true },
    'identity_refused',
    'agent',
  ],
  ['502', { refuse: 502 }, 'server_failed', 'compass'],
  ['503', { refuse: 503 }, 'server_failed', 'compass'],
  ['504', { refuse: 504 }, 'timed_out', 'agent'],
  ['401 without body', { refuse: 401 }, 'identity_refused', 'agent'],
  ['404 without body', { refuse: 404 }, 'answer_malformed', 'agent'],
  ['nobody is recognised', { refuse: 0 }, 'identity_refused', 'agent'],
  ['a Director that is down', { directorDown: true }, 'server_failed', 'compass'],
  ['a database that is down', { databaseDown: true }, 'identity_refused', 'agent'],
  ['a Hydrator that is down', { hydratorDown: true }, 'server_failed', 'compass'],
  ['429', { tooMany: 0 }, 'too_many_requests', 'agent'],
  ['a body without end', { endless: 64 }, 'answer_too_large', 'operator'],
  ['a body that trickles', { trickle: 400 }, 'timed_out', 'agent'],
  ['no answer in time', { delay: 2000 }, 'timed_out', 'agent'],
  [
    'another name in the certificate of the server',
    { serverNames: ['other.example'] },
    'tls_name_mismatch',
    'operator',
  ],
  [
    'a certificate of the server that has expired',
    { serverLifetime: -MINUTE },
    'tls_server_expired',
    'compass',
  ],
]

/** These need a second page. */
const PAGED_ROWS: Row[] = [
  ['totalCount that changes between the pages', { totalCount: 1 }, 'answer_incomplete', 'agent'],
  ['a row removed between the pages', { shift: 'removed' }, 'answer_incomplete', 'agent'],
  ['a row added between the pages', { shift: 'added' }, 'answer_incomplete', 'agent'],
  ['a second page that is cut', { cut: { value: 0.5, skip: 1 } }, 'answer_malformed', 'agent'],
  [
    'a second page with status 500',
    { status: { value: 500, skip: 1 } },
    'server_failed',
    'compass',
  ],
]

/** Far below the real ones, so that what never ends does so soon; above the size of a page. */
const BYTES = 256 * 1024

let world: World
beforeAll(async () => {
  world = await World.open(makeLandscape({ applications: 7, bundles: 2, apis: 1, events: 1 }))
  await world.identity()
})
afterAll(() => world[Symbol.asyncDispose]())

/** All that an agent has to lose. */
async function treasures(agent: TestAgent, target: MemoryTarget): Promise<unknown> {
  const { identity } = (await agent.stores.identity.load())!
  return {
    objects: new Map<string, ObservedObject>(target.objects),
    writes: target.writes,
    snapshot: agent.stores.snapshots.text,
    fingerprint: identity.fingerprint,
  }
}

/** The Date of a connection that a knob breaks is of the real clock, not of the world's. */
function codesOf(agent: TestAgent): string[] {
  return agent.codes.filter((code) => code !== 'clock_skewed')
}

async function holds(on: World, [, knobs, code, turn]: Row, bytes: number): Promise<void> {
  const target = openMemory('memory')
  const time = 'trickle' in knobs || 'delay' in knobs ? 200 : 10_000
  const compass = { limits: { time, bytes } }
  await using agent = await on.healthy({ targets: [target], compass })
  expect(agent.codes).toEqual([])
  const before = await treasures(agent, target)
  try {
    await on.plane.set(knobs)
    await agent.sync()
    expect(agent.status.sources[0]).toMatchObject({ failures: 1, problem: { code, turn } })
    await on.plane.set(knobs)
    await agent.sync()
    expect(agent.status.sources[0]).toMatchObject({ failures: 2, problem: { code, turn } })
    expect(codesOf(agent)).toEqual([code])
    const shown = agent.status.problems.find((problem) => problem.code === code)
    expect(shown?.hint).not.toBe('')
    expect(shown?.message).toMatch(/^Cannot .*[^.]$/)
    expect(await treasures(agent, target)).toEqual(before)
  } finally {
    await on.plane.reset()
  }
  await on.clock.advance(6 * MINUTE)
  await agent.atRest()
  expect(agent.codes).toEqual([])
  expect(agent.status.sources[0]?.failures).toBe(0)
  expect(await treasures(agent, target)).toEqual(before)
}

describe('nothing is lost when the Director answers with', () => {
  test.each(ROWS)('%s', async (...[answer, knobs, code, turn]) => {
    await holds(world, [answer, knobs, code, turn], BYTES)
  })
})

describe('nothing is lost when a list of two pages has', () => {
  let paged: World
  beforeAll(async () => {
    paged = await World.open(makeLandscape({ applications: 201, bundles: 0, apis: 0, events: 0 }))
    await paged.identity()
  })
  afterAll(() => paged[Symbol.asyncDispose]())

  test.each(PAGED_ROWS)('%s', async (...[answer, knobs, code, turn]) => {
    await holds(paged, [answer, knobs, code, turn], 4 * BYTES)
  })
})
