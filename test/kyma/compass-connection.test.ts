import { describe, expect, test } from 'bun:test'
import type { KubeObject } from '../../src/clients/kubernetes/api.ts'
import {
  APPROVE,
  CONDITIONS,
  compassConnection,
  saysTheSame,
} from '../../src/kyma/compass-connection.ts'
import type { ConnectionFacts } from '../../src/kyma/compass-connection.ts'
import { problem } from '../../src/model/problem.ts'
import type { Code, Problem } from '../../src/model/problem.ts'
import type { Status } from '../../src/model/status.ts'
import { statusFixture } from '../server/status.fixture.ts'

const AT = Date.UTC(2026, 10, 21, 12, 0, 0, 789)
const seconds = (at: number) => new Date(at).toISOString().replace(/\.\d{3}Z$/, 'Z')
const trouble = (code: Code, message = 'Cannot do it: it is so'): Problem => problem(code, message)

const IDENTITY = {
  ...required(statusFixture().identity),
  notBefore: AT - 60_000,
  notAfter: AT + 90_000,
}
const DIRECTOR = required(statusFixture().sources[0])
const KYMA = { ...required(statusFixture().targets[0]), name: 'kyma', kind: 'kyma' }

/** An agent in step; everything happened at AT. */
function statusOf(change: Partial<Status> = {}): Status {
  return statusFixture({
    at: AT,
    identity: IDENTITY,
    sources: [{ ...DIRECTOR, lastAttempt: AT, lastSuccess: AT }],
    targets: [{ ...KYMA, lastSuccess: AT }],
    ...change,
  })
}

/** Before anything was done. */
const beginning = (change: Partial<Status> = {}): Status => {
  const { identity: _, connectorUrl: __, directorUrl: ___, ...status } = statusOf()
  return {
    ...status,
    applications: [],
    sources: [{ name: 'director', nextAt: AT, failures: 0 }],
    targets: [{ name: 'kyma', kind: 'kyma', nextAt: AT, failures: 0 }],
    ...change,
  }
}

function write(
  status: Status,
  existing?: KubeObject,
  more: Partial<ConnectionFacts> = {},
): KubeObject | undefined {
  const granted = { resync: false, refresh: false }
  return compassConnection({
    ...{ name: 'compass-connection', status, existing, granted, remarks: {} },
    ...more,
  })
}

const written = (status: Status, existing?: KubeObject, more: Partial<ConnectionFacts> = {}) =>
  required(write(status, existing, more))

type Fields = {
  connectionState: string
  connectionStatus: Record<string, unknown> & { certificateStatus: Record<string, unknown> }
  synchronizationStatus: Record<string, unknown> | null
}
const fieldsOf = (object: KubeObject): Fields => object['status'] as Fields
const specOf = (object: KubeObject) => object['spec'] as Record<string, unknown>
const conditionsOf = (object: KubeObject) =>
  JSON.parse(object.metadata.annotations?.[CONDITIONS] ?? '{}') as Record<string, unknown>

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('there is none')
  return value
}

describe('the CompassConnection', () => {
  test('of an agent in step is the one of the Go agent', () => {
    const object = written(statusOf())
    expect(object).toMatchObject({
      apiVersion: 'compass.kyma-project.io/v1alpha1',
      kind: 'CompassConnection',
      metadata: { name: 'compass-connection' },
      spec: {
        managementInfo: {
          directorUrl: 'https://director.example/graphql',
          connectorUrl: 'https://connector.example/graphql',
        },
      },
    })
    expect(fieldsOf(object)).toEqual({
      connectionState: 'Synchronized',
      connectionStatus: {
        established: '2026-11-21T12:00:00Z',
        renewed: null,
        lastSync: '2026-11-21T12:00:00Z',
        lastSuccess: '2026-11-21T12:00:00Z',
        certificateStatus: {
          acquired: '2026-11-21T12:00:00Z',
          notBefore: seconds(IDENTITY.notBefore),
          notAfter: seconds(IDENTITY.notAfter),
        },
      },
      synchronizationStatus: {
        lastAttempt: '2026-11-21T12:00:00Z',
        lastSuccessfulFetch: '2026-11-21T12:00:00Z',
        lastSuccessfulApplication: '2026-11-21T12:00:00Z',
      },
    })
  })

  test('is not written before something was tried', () => {
    expect(write(beginning())).toBeUndefined()
  })

  test('of a failed enrolment has empty URLs and times that are null', () => {
    const failing = {
      connect: trouble('token_missing', 'Cannot enrol: there is no one-time token'),
    }
    const object = written(beginning({ failing }))
    expect(specOf(object)).toEqual({ managementInfo: { directorUrl: '', connectorUrl: '' } })
    expect(fieldsOf(object)).toEqual({
      connectionState: 'ConnectionFailed',
      connectionStatus: {
        established: null,
        renewed: null,
        lastSync: '2026-11-21T12:00:00Z',
        lastSuccess: null,
        certificateStatus: { acquired: null, notBefore: null, notAfter: null },
        error: 'Failed to retrieve certificate: Cannot enrol: there is no one-time token',
      },
      synchronizationStatus: null,
    })
  })

  const failedTarget = { ...KYMA, problem: trouble('kubernetes_forbidden') }
  const application = { id: 'a', name: 'mp-crm', bundles: 1, condition: 'problem' as const }
  const states: [string, Partial<Status>, string, 'connection' | 'synchronization', string][] = [
    [
      'a refused token',
      { failing: { connect: trouble('token_refused') } },
      'ConnectionFailed',
      'connection',
      'Failed to retrieve certificate: Cannot do it',
    ],
    [
      'a Secret that cannot be written',
      { failing: { connect: trouble('kubernetes_forbidden') } },
      'ConnectionFailed',
      'connection',
      'Failed to preserve certificate: ',
    ],
    [
      'a certificate that has expired',
      {
        identity: { ...IDENTITY, condition: 'expired' },
        failing: { connect: trouble('identity_expired') },
      },
      'ConnectionFailed',
      'connection',
      'Failed to retrieve certificate: ',
    ],
    [
      'a failed renewal',
      { failing: { renew: trouble('unreachable') } },
      'ConnectionMaintenanceFailed',
      'connection',
      'Error while trying to maintain connection: ',
    ],
    [
      'a certificate that nobody accepts',
      { sources: [{ ...DIRECTOR, problem: trouble('identity_refused') }] },
      'ConnectionMaintenanceFailed',
      'connection',
      'Error while trying to maintain connection: ',
    ],
    [
      'a Director in trouble',
      { sources: [{ ...DIRECTOR, problem: trouble('server_failed') }] },
      'SynchronizationFailed',
      'synchronization',
      'Failed to fetch configuration: ',
    ],
    [
      'another runtime id',
      { sources: [{ ...DIRECTOR, problem: trouble('runtime_mismatch') }] },
      'SynchronizationFailed',
      'synchronization',
      'Failed to read Runtime config: ',
    ],
    [
      'a target that fails',
      { targets: [failedTarget] },
      'ResourceApplicationFailed',
      'synchronization',
      'Failed to apply configuration: Cannot do it',
    ],
    [
      'an application that fails',
      { applications: [{ ...application, problems: [trouble('application_invalid')] }] },
      'ResourceApplicationFailed',
      'synchronization',
      'Failed to apply configuration: 1 of 1 applications: mp-crm: Cannot do it',
    ],
    [
      'labels that fail',
      { failing: { label: trouble('label_refused') } },
      'MetadataUpdateFailed',
      'synchronization',
      'Failed to reconcile Runtime labels with proper URLs: ',
    ],
  ]
  test.each(states)('of %s', (_, change, state, part, error) => {
    const fields = fieldsOf(written(statusOf(change)))
    expect(fields.connectionState).toBe(state)
    const [holder, other] =
      part === 'connection'
        ? [fields.connectionStatus, fields.synchronizationStatus]
        : [fields.synchronizationStatus, fields.connectionStatus]
    expect(holder?.['error']).toStartWith(error)
    expect(other).not.toHaveProperty('error')
  })

  test('of an application with a remark alone is Synchronized', () => {
    const remarked = { ...application, problems: [trouble('value_suspect')] }
    const object = written(statusOf({ applications: [remarked] }))
    expect(fieldsOf(object).connectionState).toBe('Synchronized')
    expect(conditionsOf(object)).toMatchObject({
      applications: { problem: 1 },
      notInStep: { 'mp-crm': 'value_suspect: Cannot do it: it is so' },
    })
  })

  test('of an enrolled agent that has not synced yet is Connected', () => {
    const { sources, targets } = beginning()
    const failed = written(beginning({ failing: { connect: trouble('token_missing') } }))
    for (const existing of [undefined, failed]) {
      const fields = fieldsOf(written(statusOf({ sources, targets }), existing))
      expect(fields.connectionState).toBe('Connected')
      expect(fields.connectionStatus).not.toHaveProperty('error')
      expect(fields.connectionStatus['established']).toBe('2026-11-21T12:00:00Z')
      expect(fields.synchronizationStatus).toBeNull()
    }
  })

  test('says after a restart what it said before, until there is an outcome', () => {
    const { sources, targets } = beginning()
    const before = written(
      statusOf({ sources: [{ ...DIRECTOR, problem: trouble('unreachable') }] }),
    )
    const after = written(statusOf({ at: AT + 5000, sources, targets }), before)
    expect(fieldsOf(after)).toEqual(fieldsOf(before))
    expect(saysTheSame(before, after)).toBe(true)
  })

  test('keeps when it was established, and tells of a renewal', () => {
    const before = written(statusOf())
    const later = AT + 3_600_000
    const renewed = { ...IDENTITY, notBefore: later - 1000, notAfter: later + 90_000 }
    const after = written(statusOf({ at: later, identity: renewed }), before)
    expect(fieldsOf(after).connectionStatus).toMatchObject({
      established: '2026-11-21T12:00:00Z',
      renewed: '2026-11-21T13:00:00Z',
      certificateStatus: { acquired: '2026-11-21T13:00:00Z', notBefore: seconds(later - 1000) },
    })
    // And an hour later nothing of that has changed.
    const again = written(statusOf({ at: later + 3_600_000, identity: renewed }), after)
    expect(saysTheSame(after, again)).toBe(true)
  })

  test('of a new enrolment after a failed one is established anew', () => {
    const before = written(statusOf())
    const lost = { ...IDENTITY, condition: 'expired' as const }
    const expired = written(
      statusOf({
        at: AT + 1000,
        identity: lost,
        failing: { connect: trouble('identity_expired') },
      }),
      before,
    )
    expect(fieldsOf(expired).connectionStatus['established']).toBe('2026-11-21T12:00:00Z')
    const later = AT + 60_000
    const after = written(
      statusOf({ at: later, identity: { ...IDENTITY, notBefore: later, notAfter: later + 9000 } }),
      expired,
    )
    expect(fieldsOf(after).connectionStatus).toMatchObject({
      established: '2026-11-21T12:01:00Z',
      renewed: null,
    })
    expect(fieldsOf(after).connectionStatus).not.toHaveProperty('error')
  })

  test('keeps lastSuccessfulApplication when only a part could be applied', () => {
    const before = written(statusOf())
    const later = AT + 60_000
    const failed = { ...application, problems: [trouble('name_taken')] }
    const partly = statusOf({
      at: later,
      sources: [{ ...DIRECTOR, lastAttempt: later, lastSuccess: later }],
      targets: [{ ...KYMA, lastSuccess: later }],
      applications: [failed],
    })
    expect(fieldsOf(written(partly, before)).synchronizationStatus).toMatchObject({
      lastAttempt: '2026-11-21T12:01:00Z',
      lastSuccessfulFetch: '2026-11-21T12:01:00Z',
      lastSuccessfulApplication: '2026-11-21T12:00:00Z',
    })
  })

  test('keeps what is not ours, and the times that only it remembers', () => {
    const before: KubeObject = {
      apiVersion: 'compass.kyma-project.io/v1alpha1',
      metadata: {
        name: 'compass-connection',
        resourceVersion: '7',
        uid: 'u',
        labels: { team: 'x' },
        annotations: { note: 'mine' },
      },
      spec: { managementInfo: { directorUrl: 'x', connectorUrl: 'y' }, other: 1 },
      status: {
        connectionState: 'Synchronized',
        connectionStatus: {
          established: '2025-01-01T00:00:00Z',
          lastSync: '2027-01-01T00:00:00Z',
          certificateStatus: {
            acquired: '2025-01-01T00:00:00Z',
            notBefore: seconds(IDENTITY.notBefore),
            notAfter: seconds(IDENTITY.notAfter),
          },
          error: 'stale: the Go agent never clears it',
        },
      },
    }
    const frozen = structuredClone(before)
    const after = written(statusOf(), before)
    expect(before).toEqual(frozen)
    expect(after.metadata).toMatchObject({
      ...before.metadata,
      annotations: { note: 'mine', [CONDITIONS]: expect.any(String) as string },
    })
    expect(specOf(after)['other']).toBe(1)
    expect(fieldsOf(after).connectionStatus).toEqual({
      established: '2025-01-01T00:00:00Z',
      renewed: null,
      lastSync: '2027-01-01T00:00:00Z',
      lastSuccess: '2026-11-21T12:00:00Z',
      certificateStatus: {
        acquired: '2025-01-01T00:00:00Z',
        notBefore: seconds(IDENTITY.notBefore),
        notAfter: seconds(IDENTITY.notAfter),
      },
    })
  })

  test.each([
    ['without status', { spec: { managementInfo: { directorUrl: '', connectorUrl: '' } } }],
    ['without anything', {}],
    ['of nonsense', { spec: 'x', status: { connectionStatus: [], synchronizationStatus: 7 } }],
    ['with nonsense times', { status: { connectionStatus: { established: 'soon', lastSync: 3 } } }],
  ])('made by hand %s is taken over', (_, members) => {
    const after = written(statusOf(), { metadata: { name: 'compass-connection' }, ...members })
    expect(fieldsOf(after)).toEqual(fieldsOf(written(statusOf())))
  })

  test('takes back only what was done, and only where it is still asked for', () => {
    const asked: KubeObject = {
      metadata: { name: 'x', annotations: { [APPROVE]: 'abcdefabcdef' } },
      spec: { resyncNow: true, refreshCredentialsNow: true },
    }
    const untouched = written(statusOf(), asked)
    expect(specOf(untouched)).toMatchObject({ resyncNow: true, refreshCredentialsNow: true })
    expect(untouched.metadata.annotations).toHaveProperty([APPROVE])
    const done = { resync: true, refresh: true, approve: 'abcdefabcdef' }
    const after = written(statusOf(), asked, { granted: done })
    expect(specOf(after)).toMatchObject({ resyncNow: false, refreshCredentialsNow: false })
    expect(after.metadata.annotations).not.toHaveProperty([APPROVE])
    const other = { ...done, approve: '000000000000' }
    expect(written(statusOf(), asked, { granted: other }).metadata.annotations).toHaveProperty([
      APPROVE,
    ])
    expect(specOf(written(statusOf(), undefined, { granted: done }))).not.toHaveProperty(
      'resyncNow',
    )
  })

  test('differs when something but a time does', () => {
    const one = written(statusOf())
    const later = AT + 60_000
    const same = statusOf({
      at: later,
      sources: [{ ...DIRECTOR, lastAttempt: later, lastSuccess: later }],
      targets: [{ ...KYMA, lastSuccess: later }],
    })
    const two = written(same, one)
    expect(two).not.toEqual(one)
    expect(saysTheSame(one, two)).toBe(true)
    expect(saysTheSame(one, written({ ...same, directorUrl: 'https://x' }, one))).toBe(false)
    expect(saysTheSame(one, written({ ...same, paused: true }, one))).toBe(false)
  })

  test('tells in its annotation what is held and what fails, in few words', () => {
    const many = Array.from({ length: 2000 }, (_, i) => ({
      ...application,
      id: `a${i}`,
      name: `mp-${i}-${'x'.repeat(300)}`,
      problems: [trouble('application_invalid', `Cannot do it: ${'y'.repeat(1000)}`)],
    }))
    const held = {
      target: 'kyma',
      kind: 'mass' as const,
      hash: 'abcdefabcdef',
      reason: '12 of 20 applications would go',
      names: [],
    }
    const object = written(
      statusOf({
        applications: many,
        targets: [{ ...KYMA, held: [held as never] }],
        problems: [problem('deletions_held', held.reason, { hint: 'agent approve abcdefabcdef' })],
      }),
    )
    const text = required(object.metadata.annotations?.[CONDITIONS])
    expect(text.length).toBeLessThan(40_000)
    expect(conditionsOf(object)).toMatchObject({
      applications: { problem: 2000 },
      held: [{ hash: 'abcdefabcdef', target: 'kyma', reason: '12 of 20 applications would go' }],
      problems: [{ code: 'deletions_held', turn: 'operator', hint: 'agent approve abcdefabcdef' }],
    })
  })
})
