import type { Duration, Instant } from '../model/time.ts'
import { NEVER, SECOND } from '../model/time.ts'
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

/** What can be worked on beside everything else, by one job at a time. */
export type Part = 'identity' | 'label' | Source | `target ${TargetName}` | 'report'

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
  /** Telling the Runtime Director what came of its configuration. */
  report: Due
  /** What is being worked on, and since when: not begun again before it has ended. */
  running: ReadonlyMap<Part, Instant>
  /** Of these, sources that were asked to answer when they have something new: that may be never. */
  listening: ReadonlySet<Part>
}

export type Decision =
  | { state: 'sync'; fetch: Source[]; apply: TargetName[]; report?: true; why: string }
  | { state: 'connect' | 'label' | 'renew'; why: string }
  | Idle

export type Idle = { state: 'idle'; until: Instant; why: string }

/**
 * A target waits so long for a fetch that is under way and may bring it something new; then it is repaired without. It
 * does not wait for a source that only listens for changes.
 */
const NEWS: Duration = 15 * SECOND

/**
 * What to begin now: the only place where a state is chosen. Pure: no I/O, no clock, no randomness.
 *
 * The order is the order of what an operator fears: without an identity nothing else works, so it comes first;
 * renewing it comes before using it; labels are the least urgent. Each part is due, fails and backs off on its own, and
 * one that takes its time holds up no other.
 */
export function next(f: Facts): Decision {
  if (!f.owner) return { state: 'idle', until: NEVER, why: 'another agent is in charge' }
  if (!f.running.has('identity')) {
    if (f.connect.nextAt <= f.now) return { state: 'connect', why: connectReason(f) }
    if (f.identity && f.renew.nextAt <= f.now)
      return { state: 'renew', why: 'the certificate is due' }
  }
  if (!f.paused) {
    const sync = nextSync(f)
    if (sync !== undefined) return sync
    if (f.identity && f.label.nextAt <= f.now && !f.running.has('label'))
      return { state: 'label', why: 'the labels of the runtime differ' }
  }
  return idle(f)
}

function nextSync(f: Facts): Decision | undefined {
  const fetch = f.identity ? free(f, sourcesOf(f)).filter(([, due]) => due.nextAt <= f.now) : []
  if (fetch.length > 0)
    return {
      state: 'sync',
      fetch: fetch.map(([name]) => name),
      apply: [],
      why: 'the sources are due',
    }
  const apply = f.snapshot
    ? free(f, targetsOf(f)).filter(([, due]) => atOrAfterNews(f, due) <= f.now)
    : []
  if (apply.length > 0)
    return {
      state: 'sync',
      fetch: [],
      apply: apply.map(([name]) => name),
      why: 'the targets are due',
    }
  if (f.identity && f.report.nextAt <= f.now && !f.running.has('report'))
    return {
      state: 'sync',
      fetch: [],
      apply: [],
      report: true,
      why: 'the Runtime Director is to know what came of its configuration',
    }
  return undefined
}

type Entry<Name extends string> = [Name, Due, Part]

function sourcesOf({ sources }: Facts): Entry<Source>[] {
  const all = Object.entries(sources) as [Source, Due][]
  return all.map(([name, due]) => [name, due, name])
}

function targetsOf({ targets }: Facts): Entry<TargetName>[] {
  return Object.entries(targets).map(([name, due]) => [name, due, `target ${name}`])
}

function free<Name extends string>({ running }: Facts, parts: Entry<Name>[]): Entry<Name>[] {
  return parts.filter(([, , part]) => !running.has(part))
}

function atOrAfterNews(f: Facts, { nextAt }: Due): Instant {
  const fetching = sourcesOf(f)
    .filter(([name]) => !f.listening.has(name))
    .map(([name]) => f.running.get(name) ?? -Infinity)
  return Math.max(nextAt, ...fetching.map((since) => since + NEWS))
}

function connectReason(f: Facts): string {
  if (f.connect.failures > 0) return `attempt ${f.connect.failures + 1} to enrol`
  return f.identity
    ? 'a new token replaces an identity that is refused'
    : 'there is no usable identity'
}

function idle(f: Facts): Idle {
  const active = !f.paused
  const sources = f.identity && active ? free(f, sourcesOf(f)).map(([, due]) => due.nextAt) : []
  const targets =
    f.snapshot && active ? free(f, targetsOf(f)).map(([, due]) => atOrAfterNews(f, due)) : []
  const told = [
    ...(f.running.has('label') ? [] : [f.label.nextAt]),
    ...(f.running.has('report') ? [] : [f.report.nextAt]),
  ]
  const tell = f.identity && active ? told : []
  const renew = f.identity ? [f.renew.nextAt] : []
  const identity = f.running.has('identity') ? [] : [f.connect.nextAt, ...renew]
  const until = Math.min(NEVER, ...identity, ...tell, ...sources, ...targets)
  return { state: 'idle', until, why: idleReason(f) }
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
