import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { failed, next, notDue, succeeded } from '../../src/agent/next.ts'
import type { Decision, Due, Facts, Part } from '../../src/agent/next.ts'
import { problem } from '../../src/model/problem.ts'
import { NEVER } from '../../src/model/time.ts'

const now = 1_000_000
const later = now + 5000
const failure = problem('unreachable', 'Cannot reach the Director')

/** An agent in step: nothing is due. */
function facts(change: Partial<Facts> = {}): Facts {
  return {
    now,
    owner: true,
    paused: false,
    identity: true,
    snapshot: true,
    connect: notDue,
    renew: succeeded(later + 1),
    label: notDue,
    sources: { director: succeeded(later) },
    targets: { files: succeeded(later) },
    report: notDue,
    running: new Map(),
    listening: new Set(),
    ...change,
  }
}

const due = succeeded(now)

/** Each row: what differs from an agent in step, and what is decided. */
const table: [string, Partial<Facts>, Partial<Decision>][] = [
  ['nothing is due: idle until the next source', {}, { state: 'idle', until: later }],
  [
    'another agent is in charge: nothing is done',
    { owner: false, connect: due, renew: due },
    { state: 'idle', until: NEVER },
  ],
  ['no identity and a token: connect', { identity: false, connect: due }, { state: 'connect' }],
  [
    'no identity and no token: wait, for ever if need be',
    { identity: false, snapshot: false },
    { state: 'idle', until: NEVER },
  ],
  [
    'no identity, but a snapshot: targets are repaired all the same',
    { identity: false, sources: { director: due }, targets: { files: due } },
    { state: 'sync', fetch: [], apply: ['files'] },
  ],
  [
    'no identity and no snapshot: nothing to apply',
    { identity: false, snapshot: false, targets: { files: due } },
    { state: 'idle' },
  ],
  ['enrolling comes before renewing', { connect: due, renew: due }, { state: 'connect' }],
  ['renewing comes before syncing', { renew: due, sources: { director: due } }, { state: 'renew' }],
  ['an expired identity cannot renew', { identity: false, renew: due }, { state: 'idle' }],
  [
    'a due source is fetched, and a target that is due as well waits for what it brings',
    { sources: { director: due }, targets: { files: due } },
    { state: 'sync', fetch: ['director'], apply: [] },
  ],
  [
    'while a fetch has just begun, a due target waits for it',
    { renew: notDue, targets: { files: due }, running: new Map([['director', now]]) },
    { state: 'idle', until: now + 15_000 },
  ],
  [
    'a fetch that takes long holds up no target',
    { targets: { files: due }, running: new Map([['director', now - 15_000]]) },
    { state: 'sync', fetch: [], apply: ['files'] },
  ],
  [
    'a source that only listens for changes holds up no target',
    {
      targets: { files: due },
      running: new Map<Part, number>([['runtime-director', now]]),
      listening: new Set<Part>(['runtime-director']),
    },
    { state: 'sync', fetch: [], apply: ['files'] },
  ],
  [
    'the first fetch of a configuration is news as well, for which a target waits',
    {
      renew: notDue,
      sources: { 'runtime-director': due },
      targets: { files: due },
      running: new Map<Part, number>([['runtime-director', now]]),
    },
    { state: 'idle', until: now + 15_000 },
  ],
  [
    'both sources are fetched at once',
    { sources: { director: due, 'runtime-director': due } },
    { state: 'sync', fetch: ['director', 'runtime-director'] },
  ],
  [
    'a Runtime Director that fails holds up neither the Director nor a target',
    {
      sources: { director: due, 'runtime-director': failed(due, failure, now, 9000) },
      targets: { files: due },
    },
    { state: 'sync', fetch: ['director'] },
  ],
  [
    'what came of a configuration is told after the targets are in step',
    { report: due, targets: { files: due } },
    { state: 'sync', fetch: [], apply: ['files'] },
  ],
  ['a due report is sent', { report: due }, { state: 'sync', fetch: [], apply: [], report: true }],
  [
    'a report that is being sent is not sent again',
    { report: due, running: new Map([['report', now]]) },
    { state: 'idle', until: later },
  ],
  ['paused: no report', { paused: true, report: due }, { state: 'idle' }],
  ['without an identity there is no report', { identity: false, report: due }, { state: 'idle' }],
  [
    'a target that takes long holds up neither the Director nor another target',
    {
      sources: { director: succeeded(later) },
      targets: { files: due, other: due },
      running: new Map([['target files', now - 60_000]]),
    },
    { state: 'sync', fetch: [], apply: ['other'] },
  ],
  [
    'what is being fetched is not fetched a second time',
    { sources: { director: due }, running: new Map([['director', now]]) },
    { state: 'idle' },
  ],
  [
    'the certificate is renewed while the Director does not answer and a target hangs',
    {
      renew: due,
      running: new Map<Part, number>([
        ['director', now - 400_000],
        ['target files', now - 60_000],
      ]),
    },
    { state: 'renew' },
  ],
  [
    'one job at a time touches the identity',
    { connect: due, renew: due, running: new Map([['identity', now]]) },
    { state: 'idle', until: later },
  ],
  [
    'labels that are being sent are not sent again',
    { label: due, running: new Map([['label', now]]) },
    { state: 'idle', until: later },
  ],
  [
    'a source that failed does not hold up a target',
    { sources: { director: failed(succeeded(0), failure, now, 9000) }, targets: { files: due } },
    { state: 'sync', fetch: [], apply: ['files'] },
  ],
  ['syncing comes before labelling', { label: due, sources: { director: due } }, { state: 'sync' }],
  ['a due label is sent', { label: due }, { state: 'label' }],
  [
    'a failed sync does not hold up a label',
    { label: due, sources: { director: failed(due, failure, now, 1000) } },
    { state: 'label' },
  ],
  [
    'paused: no sync and no label',
    { paused: true, label: due, sources: { director: due }, targets: { files: due } },
    { state: 'idle', until: later + 1 },
  ],
  [
    'paused: the identity is renewed all the same',
    { paused: true, renew: due },
    { state: 'renew' },
  ],
  [
    'paused: a lost identity is got again',
    { paused: true, identity: false, connect: due },
    { state: 'connect' },
  ],
]

describe('next', () => {
  test.each(table)('%s', (_, change, wanted) => {
    expect(next(facts(change))).toMatchObject(wanted)
  })

  const instant = fc.oneof(fc.integer({ min: 0, max: 2 * now }), fc.constant(NEVER))
  const anyDue: fc.Arbitrary<Due> = fc.record({ nextAt: instant, failures: fc.nat(5) })
  const anyFacts: fc.Arbitrary<Facts> = fc.record({
    now: fc.constant(now),
    owner: fc.boolean(),
    paused: fc.boolean(),
    identity: fc.boolean(),
    snapshot: fc.boolean(),
    connect: anyDue,
    renew: anyDue,
    label: anyDue,
    report: anyDue,
    sources: fc.record(
      { director: anyDue, 'runtime-director': anyDue },
      { requiredKeys: ['director'] },
    ),
    targets: fc.dictionary(fc.constantFrom('a', 'b', 'c'), anyDue),
    running: fc
      .uniqueArray(
        fc.constantFrom<Part>(
          'identity',
          'label',
          'director',
          'runtime-director',
          'report',
          'target a',
          'target b',
        ),
      )
      .chain((parts) =>
        fc
          .array(fc.nat(now), { minLength: parts.length, maxLength: parts.length })
          .map((since) => new Map(parts.map((part, i) => [part, since[i]!]))),
      ),
    listening: fc.constantFrom(new Set<Part>(), new Set<Part>(['runtime-director'])),
  })

  test('an idle agent sleeps until some later time: it never spins', () => {
    fc.assert(
      fc.property(anyFacts, (f) => {
        const decision = next(f)
        if (decision.state === 'idle') expect(decision.until).toBeGreaterThan(f.now)
      }),
    )
  })

  test('nothing is begun that is under way', () => {
    fc.assert(
      fc.property(anyFacts, (f) => {
        const decision = next(f)
        const begun: Part[] =
          decision.state === 'sync'
            ? [
                ...decision.fetch,
                ...decision.apply.map((name): Part => `target ${name}`),
                ...(decision.report === true ? ['report' as const] : []),
              ]
            : decision.state === 'label'
              ? ['label']
              : decision.state === 'idle'
                ? []
                : ['identity']
        expect(begun.filter((part) => f.running.has(part))).toEqual([])
      }),
    )
  })

  test('nothing is used that is not there: no fetch and no renewal without an identity, no work for a standby', () => {
    fc.assert(
      fc.property(anyFacts, (f) => {
        const decision = next(f)
        if (!f.owner) expect(decision.state).toBe('idle')
        if (!f.identity) expect(['renew', 'label']).not.toContain(decision.state)
        if (decision.state !== 'sync') return
        const { fetch, apply, report } = decision
        if (!f.identity) expect([fetch, report]).toEqual([[], undefined])
        expect(fetch.length + apply.length + Number(report === true)).toBeGreaterThan(0)
      }),
    )
  })

  test('a healthy part that is due is never starved by failures of another', () => {
    fc.assert(
      fc.property(anyFacts, (f) => {
        const blocked = { nextAt: f.now + 1, failures: 3 }
        const quiet = {
          ...f,
          owner: true,
          paused: false,
          identity: true,
          connect: blocked,
          renew: blocked,
          report: blocked,
          running: new Map(),
        }
        const decision = next({ ...quiet, sources: { director: blocked }, label: due, targets: {} })
        expect(decision.state).toBe('label')
      }),
    )
  })
})
