import type { Call } from '../clients/connector.ts'
import { enrol } from '../identity/enrolment.ts'
import { tokenDue } from '../identity/token-due.ts'
import type { Identity, TokenIntent } from '../model/identity.ts'
import { AgentError, problem } from '../model/problem.ts'
import type { Code, Problem } from '../model/problem.ts'
import { isExpired } from '../model/renewal.ts'
import { HOUR, NEVER, formatInstant } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import type { Deps } from './deps.ts'
import type { Memory } from './memory.ts'
import type { Due } from './next.ts'
import { proveOver } from './prove.ts'

/** Answers that may mean that this identity is worth nothing any more (observed-compass.md §2). */
const REFUSED: ReadonlySet<Code> = new Set<Code>(['identity_refused', 'client_certificate_refused'])

/** Failures after which the Director may have moved. */
const LOST: ReadonlySet<Code> = new Set<Code>([
  'unreachable',
  'timed_out',
  'tls_name_mismatch',
  'redirect_refused',
])
const LOST_FAILURES = 3

/** What there is to connect: a new identity, or new addresses for the one we have. */
export type ConnectWork = 'enrol' | 'find-plane'

/**
 * Pure: whether the present identity may be used now. One that only our own clock calls expired is used until Compass
 * refuses it or tells its time: the clock that is wrong may be ours.
 */
export function isUsable(memory: Memory, now: Instant): boolean {
  const { identity, clockSkew } = memory
  if (identity === undefined) return false
  return !isExpired(identity, now, clockSkew) || (clockSkew === undefined && !isRefused(memory))
}

function isRefused({ sources, renew }: Memory): boolean {
  return [sources.director?.failure, renew.failure].some(
    (failure) => failure !== undefined && REFUSED.has(failure.code),
  )
}

/** Pure: whether and for what the state connect is needed, whenever that may be. */
export function connectWork(memory: Memory, now: Instant): ConnectWork | undefined {
  const { identity, clockSkew } = memory
  if (identity === undefined || isExpired(identity, now, clockSkew)) return 'enrol'
  const director = memory.sources.director
  const untried = memory.token.status === 'unspent' || memory.token.status === 'in-use'
  if (memory.reconnect || (isRefused(memory) && untried)) return 'enrol'
  const lost = director?.failure !== undefined && LOST.has(director.failure.code)
  if (lost && director.failures >= LOST_FAILURES && now - memory.planeAskedAt >= HOUR)
    return 'find-plane'
  return undefined
}

/** Pure: when to connect, and what stands in the way. */
export function connectDue(memory: Memory, now: Instant): Due {
  const work = connectWork(memory, now)
  if (work === undefined) return { nextAt: NEVER, failures: 0 }
  if (work === 'find-plane') return { nextAt: now, failures: 0 }
  const { token, pending } = memory
  // A changed token begins anew, whatever failed before.
  const attempt: Due =
    memory.connectToken === token.digest ? memory.connect : { nextAt: now, failures: 0 }
  if (pending?.stage === 'signed') return attempt
  if (token.problem !== undefined) return blocked(attempt, token.problem)
  const intent = pending?.token
  const same = token.digest === undefined || token.digest === intent?.digest
  if (
    intent !== undefined &&
    same &&
    (token.parsed !== undefined || pending?.stage === 'signing')
  ) {
    const due = tokenDue(intent, now)
    if (due === 'over') return blocked(attempt, timeOver(intent))
    if (due === 'spent') return blocked(attempt, attempt.failure ?? usedUp)
    return {
      ...attempt,
      nextAt: attempt.failures === 0 ? due.at : Math.max(due.at, attempt.nextAt),
    }
  }
  if (token.digest === undefined)
    return blocked(attempt, attempt.failure ?? expired(memory, now) ?? noToken)
  if (token.status === 'spent') return blocked(attempt, expired(memory, now) ?? usedUp)
  return attempt
}

function blocked(attempt: Due, failure: Problem): Due {
  return { ...attempt, nextAt: NEVER, failure }
}

const usedUp = problem('token_spent', 'Cannot enrol: the token that is there was used before')

/** It may have been spent by a lost answer, or refused for an hour by a Compass in trouble: nobody can tell any more. */
function timeOver({ firstSeen }: TokenIntent): Problem {
  const since = formatInstant(firstSeen)
  return problem(
    'token_spent',
    `Cannot enrol with the token that is there: it was refused since ${since} and its time is over`,
  )
}

const noToken = problem('token_missing', 'Cannot enrol: there is no one-time token')

function expired({ identity, clockSkew }: Memory, now: Instant): Problem | undefined {
  if (identity === undefined || !isExpired(identity, now, clockSkew)) return undefined
  return problem('identity_expired', 'Cannot talk to Compass: the client certificate has expired')
}

/** Spends the token, or goes on with what an earlier attempt left in the journal. Gives the identity that is current then. */
export async function enrolStep(deps: Deps, memory: Memory, call: Call): Promise<Identity> {
  const { settings, store, compass, clock } = deps
  const { parsed } = memory.token
  const url = connectorUrl(settings.connectorUrl, parsed?.connectorUrl)
  const door = url === undefined ? undefined : compass.enrolment(url)
  try {
    return await enrol({
      store,
      ...(parsed === undefined ? {} : { token: parsed }),
      ...(door === undefined ? {} : { connector: door.connector }),
      prove: proveOver(compass),
      now: () => clock.now(),
      makeKey: deps.makeKey,
      call,
      expectedRuntimeId: settings.runtimeId,
      previousRuntimeId: memory.identity?.runtimeId,
    })
  } finally {
    await door?.close()
  }
}

function connectorUrl(
  configured: string | undefined,
  named: string | undefined,
): string | undefined {
  if (
    configured !== undefined &&
    named !== undefined &&
    new URL(configured).href !== new URL(named).href
  ) {
    const message = `Cannot enrol: the token is for the Connector at ${new URL(named).host}, connector.url names ${new URL(configured).host}`
    throw new AgentError('connector_url_mismatch', message)
  }
  return configured ?? named
}

/** Asks the Connector where the Director is now and stores the answer with the identity. */
export async function findPlaneStep(
  deps: Deps,
  memory: Memory,
  call: Call,
): Promise<Identity | undefined> {
  const { identity, session } = memory
  if (identity === undefined || session === undefined) return undefined
  const { plane } = await session.connector.configuration('mtls', call)
  const same =
    plane.directorUrl === identity.plane.directorUrl &&
    plane.connectorUrl === identity.plane.connectorUrl
  if (same) return undefined
  const moved = { ...identity, plane }
  const viewer = await proveOver(deps.compass)(moved, call)
  if (viewer.id.toLowerCase() !== identity.runtimeId.toLowerCase()) {
    const message = `Cannot follow Compass to its new address: there we are ${viewer.id.slice(0, 80)}, not runtime ${identity.runtimeId}`
    throw new AgentError('runtime_mismatch', message)
  }
  await deps.store.promote(moved)
  return moved
}
