import type { Memory, SourceMemory, TargetMemory } from '../../src/agent/memory.ts'
import { notDue, succeeded } from '../../src/agent/next.ts'
import { initialState } from '../../src/agent/state.ts'
import type { ParsedToken } from '../../src/clients/token.ts'
import type { Identity, PendingEnrolment, TokenIntent } from '../../src/model/identity.ts'
import { problem } from '../../src/model/problem.ts'
import type { Code, Problem } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import { DAY, HOUR, NEVER } from '../../src/model/time.ts'
import type { Instant } from '../../src/model/time.ts'
import { RUNTIME } from '../model/samples.ts'

/** What the loop knows, for tests of the pure functions over it. */

export const NOW: Instant = Date.UTC(2026, 10, 21, 12)

export const PLANE = {
  connectorUrl: 'https://compass.example/connector/graphql',
  directorUrl: 'https://compass.example/director/graphql',
}

export function identity(some: Partial<Identity> = {}): Identity {
  return {
    key: new Secret('key'),
    chain: 'chain',
    fingerprint: 'f'.repeat(64),
    subject: 'CN=system-auth',
    notBefore: NOW - 30 * DAY,
    notAfter: NOW + 60 * DAY,
    plane: PLANE,
    runtimeId: RUNTIME,
    ...some,
  }
}

/** Expired an hour ago. */
export const expired = identity({ notAfter: NOW - HOUR })

export function failure(code: Code): Problem {
  return problem(code, `Cannot do it: ${code}`)
}

export function failing(code: Code, failures = 1): SourceMemory {
  return { nextAt: NOW + 1000, failures, failure: failure(code) }
}

/** An agent that is enrolled and in step; without a token. */
export function memory(some: Partial<Memory> = {}): Memory {
  return {
    startedAt: NOW - DAY,
    owner: true,
    identity: identity(),
    pending: undefined,
    token: { status: 'none' },
    reconnect: false,
    planeAskedAt: 0,
    snapshotProblems: [],
    configurationProblems: [],
    report: notDue,
    reported: {},
    credentialsHeld: [],
    state: initialState,
    storedState: JSON.stringify(initialState),
    saving: Promise.resolve(),
    running: new Map(),
    retired: [],
    connect: succeeded(NOW - DAY),
    renew: succeeded(NOW + 30 * DAY),
    label: notDue,
    sources: { director: { ...succeeded(NOW + 1000), lastSuccess: NOW - 1000, requests: 1 } },
    targets: { files: target() },
    history: [],
    clockSkew: 0,
    clockFrom: 0,
    lookedAt: NOW,
    ...some,
  }
}

/** The same without an identity. */
export function newcomer(some: Partial<Memory> = {}): Memory {
  const made = memory(some)
  delete made.identity
  return made
}

/** Before the first answer of this process. */
export function unanswered(some: Partial<Memory> = {}): Memory {
  const made = memory(some)
  delete made.clockSkew
  return made
}

export function target(some: Partial<TargetMemory> = {}): TargetMemory {
  return {
    kind: 'files',
    slices: ['applications', 'configuration'],
    held: [],
    problems: [],
    lastSuccess: NOW - 1000,
    objects: 3,
    changes: 0,
    ...succeeded(NOW + 1000),
    ...some,
  }
}

export function parsed(digest: string): ParsedToken {
  return { token: new Secret(`token ${digest}`), digest, form: 'plain' }
}

/** A token that was seen a minute ago and sent at these instants. */
export function intent(
  digest: string,
  attempts: Instant[],
  some: Partial<TokenIntent> = {},
): TokenIntent {
  return { digest, firstSeen: NOW - 60_000, until: NOW + HOUR, attempts, ...some }
}

const request = {
  kind: 'enrol',
  key: new Secret('key'),
  csr: 'csr',
  subject: 'CN=x',
  plane: PLANE,
} as const

export function pending(stage: PendingEnrolment['stage'], token: TokenIntent): PendingEnrolment {
  if (stage === 'intent') return { stage, kind: 'enrol', token }
  if (stage === 'signing') return { stage, ...request, token, signingToken: new Secret('two') }
  return { stage, ...request, token, chain: 'chain' }
}

export { NEVER }
