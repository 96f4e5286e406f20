import { describe, expect, test } from 'bun:test'
import { connectDue, connectWork, findPlaneStep, isUsable } from '../../src/agent/connect.ts'
import type { ConnectWork } from '../../src/agent/connect.ts'
import type { Deps } from '../../src/agent/deps.ts'
import type { Memory } from '../../src/agent/memory.ts'
import type { Session } from '../../src/agent/ports.ts'
import { openMemoryStore } from '../../src/identity/memory.ts'
import type { Plane } from '../../src/model/identity.ts'
import type { Code } from '../../src/model/problem.ts'
import { HOUR, MINUTE } from '../../src/model/time.ts'
import {
  expired,
  failing,
  failure,
  identity,
  intent,
  memory,
  newcomer,
  NEVER,
  NOW,
  parsed,
  pending,
  PLANE,
  unanswered,
} from './samples.ts'

const unspent = { digest: 'a', parsed: parsed('a'), status: 'unspent' } as const
const spent = { digest: 'a', parsed: parsed('a'), status: 'spent' } as const
const lost = { sources: { director: failing('unreachable', 3) } }

describe('there is something to connect', () => {
  const rows: [string, Memory, ConnectWork | undefined][] = [
    ['without an identity: a new one', newcomer(), 'enrol'],
    ['with one that is healthy: nothing', memory(), undefined],
    ['with one that is healthy, and a new token: nothing', memory({ token: unspent }), undefined],
    ['with one that has expired: a new one', memory({ identity: expired }), 'enrol'],
    [
      'with one that only our clock calls expired: nothing',
      memory({ identity: expired, clockSkew: -2 * HOUR }),
      undefined,
    ],
    [
      'with one that is refused, and a new token: a new one',
      memory({ token: unspent, sources: { director: failing('identity_refused') } }),
      'enrol',
    ],
    [
      'with one whose renewal is refused, and a new token: a new one',
      memory({ token: unspent, renew: failing('client_certificate_refused') }),
      'enrol',
    ],
    [
      'with one that is refused, and the spent token: nothing, as a database that restarts looks the same',
      memory({ token: spent, sources: { director: failing('identity_refused') } }),
      undefined,
    ],
    [
      'with one that lacks a scope, and a new token: nothing',
      memory({ token: unspent, sources: { director: failing('scope_missing') } }),
      undefined,
    ],
    ['when a person wishes it', memory({ token: unspent, reconnect: true }), 'enrol'],
    ['after three failures to reach the Director: where it is', memory(lost), 'find-plane'],
    ['after two: nothing', memory({ sources: { director: failing('unreachable', 2) } }), undefined],
    [
      'after three of another kind: nothing',
      memory({ sources: { director: failing('server_failed', 9) } }),
      undefined,
    ],
    [
      'within an hour of the last question where it is: nothing',
      memory({ ...lost, planeAskedAt: NOW - HOUR + 1 }),
      undefined,
    ],
    ['an hour after it: where it is', memory({ ...lost, planeAskedAt: NOW - HOUR }), 'find-plane'],
  ]
  test.each(rows)('%s', (_, known, work) => {
    expect([connectWork(known, NOW)]).toEqual([work])
  })
})

describe('an identity is used', () => {
  const rows: [string, Memory, boolean][] = [
    ['not when there is none', newcomer(), false],
    ['while it is valid', memory(), true],
    [
      'before its time, as our clock may be behind',
      memory({ identity: identity({ notBefore: NOW + HOUR }) }),
      true,
    ],
    ['not when it has expired by our clock and the server’s', memory({ identity: expired }), false],
    [
      'when only our clock calls it expired',
      memory({ identity: expired, clockSkew: -2 * HOUR }),
      true,
    ],
    [
      'when our clock calls it expired and no server was asked yet',
      unanswered({ identity: expired }),
      true,
    ],
    [
      'when nobody could be reached yet',
      unanswered({ identity: expired, sources: { director: failing('unreachable') } }),
      true,
    ],
    [
      'not when our clock calls it expired and a server refuses it',
      unanswered({
        identity: expired,
        sources: { director: failing('client_certificate_refused') },
      }),
      false,
    ],
    [
      'while it is valid, although it is refused',
      memory({ sources: { director: failing('identity_refused') } }),
      true,
    ],
  ]
  test.each(rows)('%s', (_, known, usable) => {
    expect(isUsable(known, NOW)).toBe(usable)
  })
})

describe('enrolling is due', () => {
  const rows: [string, Memory, number, Code | undefined][] = [
    ['never while there is nothing to connect', memory(), NEVER, undefined],
    ['not without a token', newcomer(), NEVER, 'token_missing'],
    [
      'not without a token when the identity has expired',
      memory({ identity: expired }),
      NEVER,
      'identity_expired',
    ],
    [
      'not with the spent token when the identity has expired, and that is what is said',
      memory({ identity: expired, token: spent }),
      NEVER,
      'identity_expired',
    ],
    [
      'not with the spent token of an identity that is gone',
      newcomer({ token: spent }),
      NEVER,
      'token_spent',
    ],
    [
      'not with a token that cannot be read',
      newcomer({ token: { digest: 'a', status: 'unreadable', problem: failure('token_invalid') } }),
      NEVER,
      'token_invalid',
    ],
    ['at once with a new token', newcomer({ token: unspent }), NOW, undefined],
    [
      'at once with a new token, whatever became of the one before',
      newcomer({
        token: unspent,
        connectToken: 'b',
        connect: { nextAt: NOW + HOUR, failures: 9, failure: failure('token_refused') },
      }),
      NOW,
      undefined,
    ],
    [
      'after its back-off with the same token',
      newcomer({
        token: { ...unspent, status: 'in-use' },
        connectToken: 'a',
        connect: { nextAt: NOW + MINUTE, failures: 1, failure: failure('token_refused') },
        pending: pending('intent', intent('a', [NOW - 30_000])),
      }),
      NOW + MINUTE,
      'token_refused',
    ],
    [
      'not before the token may be sent again, however short the back-off is',
      newcomer({
        token: { ...unspent, status: 'in-use' },
        connectToken: 'a',
        connect: { nextAt: NOW, failures: 1, failure: failure('token_refused') },
        pending: pending('intent', intent('a', [NOW - 1000, NOW - 500])),
      }),
      NOW - 500 + 25_000,
      'token_refused',
    ],
    [
      'not when the token is proved to be spent, and why is what is said',
      newcomer({
        token: spent,
        connectToken: 'a',
        connect: { nextAt: NOW, failures: 1, failure: failure('csr_refused') },
        pending: pending('signing', intent('a', [NOW - 1000], { spent: true })),
      }),
      NEVER,
      'csr_refused',
    ],
    [
      'not when the time of the token is over, and that is what is said, before and after a restart',
      newcomer({
        token: { ...unspent, status: 'refused' },
        connectToken: 'a',
        connect: { nextAt: NOW, failures: 6, failure: failure('unreachable') },
        pending: pending('intent', intent('a', [NOW - HOUR], { until: NOW })),
      }),
      NEVER,
      'token_spent',
    ],
    [
      'after a restart too: the journal knows what was sent',
      newcomer({
        token: { ...unspent, status: 'in-use' },
        pending: pending('intent', intent('a', [NOW - 1000])),
      }),
      NOW + 4000,
      undefined,
    ],
    [
      'at once with token 2 in the journal, although token 1 was taken away',
      newcomer({ pending: pending('signing', intent('a', [NOW - MINUTE])) }),
      NOW,
      undefined,
    ],
    [
      'not with token 1 in the journal alone',
      newcomer({ pending: pending('intent', intent('a', [NOW - MINUTE])) }),
      NEVER,
      'token_missing',
    ],
    [
      'at once with a certificate in the journal, token or not',
      newcomer({
        pending: pending('signed', intent('a', [NOW - MINUTE])),
        connect: { nextAt: NOW, failures: 0 },
      }),
      NOW,
      undefined,
    ],
    [
      'at once with a token of another digest than the journal’s',
      newcomer({
        token: { digest: 'b', parsed: parsed('b'), status: 'unspent' },
        pending: pending('signing', intent('a', [NOW - 1000])),
      }),
      NOW,
      undefined,
    ],
    [
      'not for a wish whose token is taken away, and nothing is said to have expired',
      memory({ reconnect: true }),
      NEVER,
      'token_missing',
    ],
    ['at once to find Compass', memory(lost), NOW, undefined],
  ]
  test.each(rows)('%s', (_, known, at, code) => {
    const due = connectDue(known, NOW)
    expect([due.nextAt, due.failure?.code]).toEqual([at, code])
  })
})

describe('following Compass to another address', () => {
  const elsewhere: Plane = { ...PLANE, directorUrl: 'https://elsewhere.example/director/graphql' }

  /** Deps and session of a Compass that names this plane, where the viewer is so. */
  function compass(plane: Plane, viewer: { id: string; type: string }) {
    const session = {
      connector: { configuration: () => Promise.resolve({ subject: '', keyAlgorithm: '', plane }) },
      director: { viewer: () => Promise.resolve(viewer) },
      close: () => Promise.resolve(),
    } as unknown as Session
    const promoted: string[] = []
    const store = openMemoryStore()
    const deps = {
      compass: { session: () => session },
      store: {
        ...store,
        promote: (next: { plane: Plane }) =>
          Promise.resolve(void promoted.push(next.plane.directorUrl)),
      },
    } as unknown as Deps
    return { deps, known: memory({ session }), promoted }
  }
  const call = { requestId: 'r', signal: new AbortController().signal }
  const us = { id: identity().runtimeId, type: 'RUNTIME' }

  test('keeps key and certificate, and the new address once we are known there', async () => {
    const { deps, known, promoted } = compass(elsewhere, us)
    expect(await findPlaneStep(deps, known, call)).toEqual({ ...identity(), plane: elsewhere })
    expect(promoted).toEqual([elsewhere.directorUrl])
  })

  test('is no move when the address is the one that is known', async () => {
    const { deps, known, promoted } = compass(PLANE, us)
    expect(await findPlaneStep(deps, known, call)).toBeUndefined()
    expect(promoted).toEqual([])
  })

  test('is refused where we are another runtime', async () => {
    const { deps, known, promoted } = compass(elsewhere, { id: 'another', type: 'RUNTIME' })
    const thrown: unknown = await findPlaneStep(deps, known, call).catch((error: unknown) => error)
    expect(thrown).toMatchObject({ code: 'runtime_mismatch' })
    expect(promoted).toEqual([])
  })
})
