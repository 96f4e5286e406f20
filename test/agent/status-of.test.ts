import { describe, expect, test } from 'bun:test'
import type { Memory } from '../../src/agent/memory.ts'
import { failed, succeeded } from '../../src/agent/next.ts'
import type { Decision } from '../../src/agent/next.ts'
import { statusOf } from '../../src/agent/status-of.ts'
import type { Held } from '../../src/model/guard.ts'
import { markComplete } from '../../src/model/snapshot.ts'
import type { Snapshot } from '../../src/model/snapshot.ts'
import type { Status } from '../../src/model/status.ts'
import type { SourceProblem } from '../../src/model/target.ts'
import { HOUR, MINUTE } from '../../src/model/time.ts'
import { application, basic, bundle, RUNTIME } from '../model/samples.ts'
import {
  expired,
  failing,
  failure,
  identity,
  memory,
  newcomer,
  NEVER,
  NOW,
  PLANE,
  target,
  unanswered,
} from './samples.ts'

const frame = { version: '1.2.3', name: 'default', pid: 42, insecure: false, labels: {} }
const idle: Decision = { state: 'idle', until: NOW + 1000, why: 'nothing is due' }

function status(some: Partial<Memory> | Memory = {}, decision: Decision = idle): Status {
  const known = 'startedAt' in some ? (some as Memory) : memory(some)
  return statusOf(frame, known, decision, NOW)
}

const codes = (of: Status): string[] => of.problems.map(({ code }) => code)

function snapshot(...applications: Snapshot['applications'][number][]): Snapshot {
  return {
    runtimeId: RUNTIME,
    applications: markComplete(applications),
    fetchedAt: NOW - 1000,
    digest: 'd',
  }
}

function held(kind: Held['kind'], hash = 'a1b2c3d4e5f6'): Held {
  return {
    target: 'files',
    slice: 'applications',
    kind,
    hash,
    since: NOW - HOUR,
    applications: 7,
    bundles: 9,
    names: ['one'],
    reason: `7 of 7 applications would go (${kind})`,
  }
}

describe('the status', () => {
  test('of an agent in step has no problem and says what comes next', () => {
    expect(status()).toMatchObject({
      version: '1.2.3',
      name: 'default',
      pid: 42,
      startedAt: memory().startedAt,
      at: NOW,
      state: 'idle',
      why: 'nothing is due',
      nextAt: NOW + 1000,
      standby: false,
      paused: false,
      runtimeId: RUNTIME,
      ...PLANE,
      identity: { condition: 'valid', renewAt: memory().renew.nextAt },
      token: 'none',
      problems: [],
      clockSkew: 0,
    })
  })

  test('of a standby has no problems: without an identity, too, there is nothing to do for anybody', () => {
    const lone = { ...newcomer(), owner: true }
    expect(codes(status(lone))).toEqual(['token_missing'])
    const standby = status({ ...lone, owner: false })
    expect([standby.standby, standby.problems, standby.failing]).toEqual([true, [], {}])
    const standbyProblem = failure('kubernetes_forbidden')
    const barred = status({ ...lone, owner: false, standbyProblem })
    expect(barred.problems).toEqual([standbyProblem])
  })

  test('while something is done says so, and that it is done now', () => {
    const decision: Decision = { state: 'sync', fetch: ['director'], apply: [], why: 'due' }
    expect(status({}, decision)).toMatchObject({ state: 'sync', why: 'due', nextAt: NOW })
  })

  test('holds no key, no certificate, no token and no credential', () => {
    const known = memory({
      snapshot: snapshot(
        application('a', { bundles: [bundle('b', { auth: basic('name-7', 'word-7') })] }),
      ),
      token: { digest: 'digest-of-token', status: 'unspent' },
    })
    const text = JSON.stringify(status(known))
    for (const secret of ['chain', 'digest-of-token', 'name-7', 'word-7', '"key"'])
      expect(text).not.toContain(secret)
  })

  test('is plain JSON: what is read back is the same', () => {
    const of = status({ snapshot: snapshot(application('a')) })
    expect(JSON.parse(JSON.stringify(of))).toEqual(of)
  })

  test('of an agent that never was enrolled knows no runtime and no address', () => {
    const of = status(newcomer())
    expect([of.identity, of.runtimeId, of.directorUrl]).toEqual([undefined, undefined, undefined])
    expect(codes(of)).toEqual(['token_missing'])
  })
})

describe('the identity', () => {
  const future = { notBefore: NOW + HOUR, notAfter: NOW + 2 * HOUR }
  test.each([
    ['is valid', memory(), 'valid'],
    ['has expired', memory({ identity: expired }), 'expired'],
    [
      'has expired by our clock alone',
      memory({ identity: expired, clockSkew: -2 * HOUR }),
      'valid',
    ],
    ['has expired by the only clock that is known', unanswered({ identity: expired }), 'expired'],
    ['is not valid yet', memory({ identity: identity(future) }), 'not-yet-valid'],
    [
      'is not valid yet by our clock alone',
      memory({ identity: identity(future), clockSkew: HOUR }),
      'valid',
    ],
  ] as const)('%s', (_, known, condition) => {
    expect(status(known).identity?.condition).toBe(condition)
  })
})

describe('an application', () => {
  const bad: SourceProblem = {
    owner: { slice: 'applications', application: 'a', bundle: 'b' },
    problem: failure('credentials_unsupported'),
    withheld: true,
  }
  const of = (known: Partial<Memory>): string | undefined =>
    status({ snapshot: snapshot(application('a')), ...known }).applications[0]?.condition

  test('is synced when every target took it', () => {
    expect(of({})).toBe('synced')
  })

  test('is pending before a target was in step, and while one fails', () => {
    const fresh = target()
    delete fresh.lastSuccess
    expect(of({ targets: { a: target(), b: fresh } })).toBe('pending')
    const broken = { ...target(), ...failed(target(), failure('disk_full'), NOW, 1000) }
    expect(of({ targets: { a: target(), b: broken } })).toBe('pending')
  })

  test('has a problem of its own, which is not one of its neighbours', () => {
    const known = {
      snapshot: snapshot(application('a'), application('z')),
      targets: { files: target({ problems: [bad] }) },
    }
    expect(status(known).applications.map(({ condition }) => condition)).toEqual([
      'problem',
      'synced',
    ])
    expect(status(known).applications[0]?.problems).toEqual([bad.problem])
  })

  test('is stale while credentials are kept that Compass no longer shows', () => {
    const stale = application('a', { bundles: [bundle('b', { authMissingSince: NOW - HOUR })] })
    expect(of({ snapshot: snapshot(stale) })).toBe('stale')
  })
})

describe('labels', () => {
  const labelled = (runtimeLabels?: Record<string, unknown>): Status['labels'] => {
    const known = memory(runtimeLabels === undefined ? {} : { runtimeLabels })
    return statusOf({ ...frame, labels: { a: 1, b: { x: 1 } } }, known, idle, NOW).labels
  }

  test('are in step when the Director has them', () => {
    expect(labelled({ a: 1, b: { x: 1 }, other: 2 })).toEqual([
      { key: 'a', wanted: 1, current: 1, inStep: true },
      { key: 'b', wanted: { x: 1 }, current: { x: 1 }, inStep: true },
    ])
  })

  test('are not before anything is known, nor when they differ', () => {
    expect(labelled().map(({ inStep }) => inStep)).toEqual([false, false])
    expect(labelled({ a: 2 }).map(({ inStep }) => inStep)).toEqual([false, false])
  })
})

describe('problems', () => {
  test('of every part are shown, what a person must do first', () => {
    const of = status(
      memory({
        identityProblem: failure('identity_unreadable'),
        renew: failing('server_failed'),
        label: failing('label_refused'),
        sources: { director: failing('unreachable') },
        targets: { a: target(failing('disk_full')), b: target(failing('hook_failed')) },
        snapshotProblems: [failure('snapshot_damaged')],
        clockSkew: HOUR,
      }),
    )
    expect(codes(of)).toEqual([
      'identity_unreadable',
      'server_failed',
      'label_refused',
      'disk_full',
      'hook_failed',
      'clock_skewed',
      'unreachable',
      'snapshot_damaged',
    ])
  })

  test('that two parts share are shown once', () => {
    const of = status({
      targets: { a: target(failing('disk_full')), b: target(failing('disk_full')) },
    })
    expect(codes(of)).toEqual(['disk_full'])
  })

  test('of what is held name the hash that releases it', () => {
    const known = {
      targets: { files: target({ held: [held('mass')] }) },
      credentialsHeld: [held('credentials', 'ffffffffffff')],
    }
    const { problems, targets } = status(known)
    expect(problems.map(({ code, hint }) => [code, /approve (\w+)/.exec(hint)?.[1]])).toEqual([
      ['credentials_held', 'ffffffffffff'],
      ['deletions_held', 'a1b2c3d4e5f6'],
    ])
    expect(targets[0]?.held).toEqual([held('mass')])
    const waiting = status({ targets: { files: target({ held: [held('last')] }) } })
    expect(codes(waiting)).toEqual(['deletions_waiting'])
    expect(waiting.problems[0]?.hint).toContain('or at once with agent approve a1b2c3d4e5f6')
  })

  test('are gone when the part works again', () => {
    const broken = memory({ sources: { director: failing('unreachable') } })
    expect(codes(status(broken))).toEqual(['unreachable'])
    broken.sources.director = { ...succeeded(NOW + MINUTE), lastSuccess: NOW }
    expect(codes(status(broken))).toEqual([])
  })
})

describe('the clock', () => {
  test.each([
    [2 * HOUR, 'The clock here is 2h behind that of Compass'],
    [2 * HOUR - 700, 'The clock here is 2h behind that of Compass'],
    [-5 * MINUTE, 'The clock here is 5m ahead of that of Compass'],
  ])('that is wrong by %d ms is a problem of a person', (clockSkew, message) => {
    expect(status({ clockSkew }).problems).toMatchObject([
      { code: 'clock_skewed', turn: 'operator', message },
    ])
  })

  test.each([0, 59_000, -59_000])('that is wrong by %d ms is none', (clockSkew) => {
    expect(codes(status({ clockSkew }))).toEqual([])
  })
})

test('what never comes has no time', () => {
  const of = status(newcomer(), { state: 'idle', until: NEVER, why: 'waiting' })
  expect(of.nextAt).toBe(NEVER)
})
