import type { Duration, Instant } from '../model/time.ts'
import { NEVER } from '../model/time.ts'
import type { Problem } from '../model/problem.ts'
import type { Source } from '../model/status.ts'

/** When something is to be done next, and what went wrong the last time. */
export type Due = {
  nextAt: Instant
  /** Consecutive failures; 0 after a success. */
  failures: number
  failure?: Problem
}

export type TargetName = string

export type Facts = {
  now: Instant
  /** False while another agent holds the state or the Lease. */
  owner: boolean
  paused: boolean
  /** A client certificate that can be used now. */
  identity: boolean
  /** There is desired state to apply: a snapshot of this or of an earlier run. */
  snapshot: boolean
  connect: Due
  renew: Due
  label: Due
  sources: Partial<Record<Source, Due>>
  targets: Record<TargetName, Due>
}

export type Decision =
  | { state: 'sync'; fetch: Source[]; apply: TargetName[]; why: string }
  | { state: 'connect' | 'label' | 'renew'; why: string }
  | { state: 'idle'; until: Instant; why: string }

/**
 * What to do now: the only place where a state is chosen. Pure: no I/O, no clock, no randomness.
 *
 * The order is the order of what an operator fears: without an identity nothing else works, so it comes first;
 * renewing it comes before using it; labels are the least urgent. Each part is due, fails and backs off on its own.
 */
export function next(f: Facts): Decision {
  if (!f.owner) return { state: 'idle', until: NEVER, why: 'another agent is in charge' }
  if (f.connect.nextAt <= f.now) return { state: 'connect', why: connectReason(f) }
  if (f.identity && f.renew.nextAt <= f.now)
    return { state: 'renew', why: 'the certificate is due' }
  if (!f.paused) {
    const sync = nextSync(f)
    if (sync !== undefined) return sync
    if (f.identity && f.label.nextAt <= f.now)
      return { state: 'label', why: 'the labels of the runtime differ' }
  }
  return idle(f)
}

function nextSync(f: Facts): Decision | undefined {
  const isDue = ([, due]: [string, Due]) => due.nextAt <= f.now
  const sources = Object.entries(f.sources) as [Source, Due][]
  const fetch = f.identity ? sources.filter(isDue).map(([name]) => name) : []
  // A fetch may bring something new for every target; one that failed waits for its own time.
  const wanted = ([, due]: [string, Due]) =>
    due.nextAt <= f.now || (fetch.length > 0 && due.failures === 0)
  const apply = Object.entries(f.targets)
    .filter(wanted)
    .map(([name]) => name)
  if (fetch.length > 0) return { state: 'sync', fetch, apply, why: 'the sources are due' }
  if (f.snapshot && apply.length > 0)
    return { state: 'sync', fetch, apply, why: 'the targets are due' }
  return undefined
}

function connectReason(f: Facts): string {
  if (f.connect.failures > 0) return `attempt ${f.connect.failures + 1} to enrol`
  return f.identity
    ? 'a new token replaces an identity that is refused'
    : 'there is no usable identity'
}

function idle(f: Facts): Decision {
  const sources = f.identity && !f.paused ? dues(f.sources) : []
  const targets = f.snapshot && !f.paused ? dues(f.targets) : []
  const label = f.identity && !f.paused ? [f.label.nextAt] : []
  const renew = f.identity ? [f.renew.nextAt] : []
  const until = Math.min(f.connect.nextAt, ...renew, ...label, ...sources, ...targets)
  return { state: 'idle', until, why: idleReason(f) }
}

function dues(all: Record<string, Due>): Instant[] {
  return Object.values(all).map((due) => due.nextAt)
}

function idleReason(f: Facts): string {
  if (!f.identity) {
    return f.connect.nextAt === NEVER
      ? 'waiting for a one-time token'
      : 'waiting to try again to enrol'
  }
  if (f.paused) return 'paused by an operator'
  return 'nothing is due'
}

/** Nothing to do until something changes. */
export const notDue: Due = { nextAt: NEVER, failures: 0 }

/** Done: again at `nextAt`. */
export function succeeded(nextAt: Instant): Due {
  return { nextAt, failures: 0 }
}

/** Failed once more: again after `wait`. */
export function failed(due: Due, failure: Problem, at: Instant, wait: Duration): Due {
  return { nextAt: at + wait, failures: due.failures + 1, failure }
}
