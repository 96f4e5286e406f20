import type { Identity } from '../model/identity.ts'
import type { Source } from '../model/status.ts'
import { renewalCap } from '../model/backoff.ts'
import type { AgentError } from '../model/problem.ts'
import { nextRenewal, remainingLife, renewalOffset } from '../model/renewal.ts'
import { MINUTE, SECOND, formatInstant } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import type { Deps } from './deps.ts'
import { busyWith, isListening, makeDue } from './memory.ts'
import type { Memory } from './memory.ts'
import { notDue, succeeded } from './next.ts'
import { noteDone, noteFailure, retryLater, saveState } from './retry.ts'

/** HTTP `Date` has whole seconds, and an answer takes its time. */
const CLOCK_NOISE = 2 * SECOND

/** Takes over what the servers' clocks say, and plans the renewal by it. */
export function recordClock(deps: Deps, memory: Memory): void {
  const answer = deps.compass.lastAnswer()
  if (answer === undefined || answer.at < memory.clockFrom || answer.at > deps.clock.now()) return
  const skew = Math.abs(answer.skew) < CLOCK_NOISE ? 0 : answer.skew
  const shift = memory.clockSkew === undefined ? Infinity : Math.abs(skew - memory.clockSkew)
  if (shift < CLOCK_NOISE) return
  memory.clockSkew = skew
  if (memory.renew.failures === 0) planRenewal(deps, memory)
}

/** More than this between two looks: the clock was set, or the machine slept. */
const LEAP = MINUTE

/**
 * Forgets what was known of our clock when it may have been set: an identity that only our clock calls expired is then
 * tried before it is given up. A long step looks the same; that costs nothing, as its answers tell the time anew.
 */
export function recordLeap(memory: Memory, now: Instant): void {
  const passed = now - memory.lookedAt
  if (passed >= 0 && passed < LEAP) return
  delete memory.clockSkew
  memory.clockFrom = now
}

/** Opens the connections of the present identity; those before it end with the last job that uses them. */
export function openSession(deps: Deps, memory: Memory): void {
  if (memory.session !== undefined) memory.retired.push(memory.session)
  if (memory.identity === undefined) delete memory.session
  else memory.session = deps.compass.session(memory.identity)
}

/** Renewed or not, an open connection goes on with the certificate that it was made with: it has to be closed. */
export async function closeRetired(memory: Memory): Promise<void> {
  // Who listens does so over the present one.
  const used = busyWith(memory).some(([part]) => !part.startsWith('target '))
  if (!used) await Promise.all(memory.retired.splice(0).map((session) => session.close()))
}

/** When the present identity is to be renewed: what an earlier run began, and what was asked for, at once. */
export function planRenewal(deps: Deps, memory: Memory): void {
  const { identity, clockSkew: skew, obtainedAt, pending } = memory
  if (identity === undefined) {
    memory.renew = notDue
    return
  }
  const now = deps.clock.now()
  if (pending?.kind === 'renew' || memory.renewAsked === true) {
    memory.renew = succeeded(now)
    return
  }
  const { threshold, windows } = deps.settings.renewal
  const offset = renewalOffset(`${identity.runtimeId} ${deps.settings.name}`)
  const at = nextRenewal(identity, { threshold, windows, offset }, { now, skew, obtainedAt })
  memory.renew = succeeded(at)
}

/** From now on the attempts count for the token that is there. */
export function recordConnectBegins(memory: Memory): void {
  const { digest } = memory.token
  if (memory.connectToken === digest) return
  memory.connect = succeeded(memory.connect.nextAt)
  if (digest === undefined) delete memory.connectToken
  else memory.connectToken = digest
}

/** A token became an identity: everything is fetched at once. */
export async function recordEnrolled(
  deps: Deps,
  memory: Memory,
  identity: Identity,
): Promise<void> {
  const { pending } = memory
  const resumed = pending?.stage === 'signed' && pending.chain === identity.chain
  // Not the one that lies there now: that may have changed since.
  const enrolledWith = resumed ? pending.token?.digest : memory.connectToken
  memory.reconnect = false
  memory.pending = undefined
  memory.connect = succeeded(deps.clock.now())
  if (memory.snapshot?.runtimeId !== identity.runtimeId) delete memory.snapshot
  if (memory.configuration?.runtimeId !== identity.runtimeId) delete memory.configuration
  adopt(deps, memory, identity)
  const now = deps.clock.now()
  for (const [name, source] of Object.entries(memory.sources)) {
    Object.assign(source, succeeded(now), { failure: undefined })
    makeDue(memory, [name as Source, source], now)
  }
  noteDone(deps, memory, `enrolled as runtime ${identity.runtimeId}`, factsOfIdentity(identity))
  await saveState(deps, memory, enrolledWith === undefined ? {} : { enrolledWith })
}

/** The identity was replaced by one for the same runtime. */
export function recordAdopted(deps: Deps, memory: Memory, identity: Identity, why: string): void {
  adopt(deps, memory, identity)
  noteDone(deps, memory, why, factsOfIdentity(identity))
}

function adopt(deps: Deps, memory: Memory, identity: Identity): void {
  memory.identity = identity
  memory.obtainedAt = deps.clock.now()
  delete memory.identityProblem
  delete memory.renewAsked
  planRenewal(deps, memory)
  openSession(deps, memory)
  for (const [part, job] of memory.running)
    if (isListening(job)) listenAnew(memory, part as Source, deps.clock.now())
}

/** Over the connections of the present identity. */
function listenAnew(memory: Memory, source: Source, now: Instant): void {
  const due = memory.sources[source]
  if (due !== undefined) makeDue(memory, [source, due], now)
}

function factsOfIdentity(identity: Identity): Record<string, string> {
  return { fingerprint: identity.fingerprint.slice(0, 16), until: formatInstant(identity.notAfter) }
}

export function recordConnectFailed(deps: Deps, memory: Memory, error: AgentError): void {
  const before = memory.connect
  memory.connect = retryLater(deps, before, error)
  noteFailure(deps, memory, 'connect', { before, after: memory.connect, error })
}

/** Nobody could say where Compass is now. The Director's own failure is shown already, and is what this is about. */
export function recordNotFound(deps: Deps, error: AgentError): void {
  deps.log.warn(error.message, { part: 'connect', code: error.code, ...error.detail })
}

export function recordRenewFailed(deps: Deps, memory: Memory, error: AgentError): void {
  const { identity, clockSkew: skew, renew: before } = memory
  const left = identity === undefined ? 0 : remainingLife(identity, { now: deps.clock.now(), skew })
  memory.renew = retryLater(deps, before, error, renewalCap(left))
  noteFailure(deps, memory, 'renew', { before, after: memory.renew, error })
}
