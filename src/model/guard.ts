import { sha256 } from './digest.ts'
import type { KnownIds } from './plan.ts'
import { idsOf } from './plan.ts'
import type { Change, Desired, Observed, Owner, Slice } from './target.ts'
import type { Duration, Instant } from './time.ts'
import { HOUR, MINUTE, formatDuration } from './time.ts'

/** Deletions that wait. `hash` is what `agent approve HASH` takes. */
export type Held = {
  /** Target name; `credentials` for credentials that the Director stopped showing. */
  target: string
  slice: Slice
  /** `last`: waits for agreeing fetches. `mass`: waits for a person. `credentials`: all vanished at once. */
  kind: 'last' | 'mass' | 'credentials'
  hash: string
  since: Instant
  applications: number
  bundles: number
  /** Of the slice `configuration`. */
  documents?: number
  /** Names of what would go, at most 20, for people. */
  names: string[]
  reason: string
}

/** What may go in one pass: the larger of `count` and `percent` of what we own. */
export type OrdinaryLimit = { count: number; percent: number }

export type GuardConfig = {
  ordinary: OrdinaryLimit
  /** `hold` waits for a person, `{after}` for a person or that long, `off` for nobody. */
  massDeletion: 'hold' | 'off' | { after: Duration }
  credentialsGrace: Duration
}

/** A hash that a person approved. */
export type Approval = { hash: string; at: Instant }

/** What the guard of one target remembers between passes and over restarts; plain JSON. */
export type GuardState = { waiting: Waiting[] }

/** Applications are counted on their own, bundles of applications that stay on theirs. */
type Group = 'applications' | 'bundles' | 'documents'

type Waiting = {
  group: Group
  hash: string
  since: Instant
  /** Complete fetches that agreed on exactly this set, and when the first and the latest of them were. */
  fetches: number
  firstFetch: Instant
  lastFetch: Instant
}

export type Deletion = Extract<Change, { kind: 'delete' }>

export type GuardInput = {
  target: string
  /** Those of planChanges. */
  deletions: readonly Deletion[]
  observed: Observed
  desired: Desired
  state: GuardState
  /** When each slice was fetched: tells one complete fetch from the next. */
  fetchedAt: Readonly<Partial<Record<Slice, Instant | undefined>>>
  now: Instant
  config: GuardConfig
  approvals: readonly Approval[]
}

export type GuardOutcome = {
  released: Deletion[]
  held: Held[]
  state: GuardState
  /** Approvals used up by this pass. */
  spent: string[]
}

export const initialGuardState: GuardState = { waiting: [] }

const AGREEING_FETCHES = 3
const AGREEING_SPAN = 10 * MINUTE
const APPROVAL_LIFE = HOUR
const NAMES = 20

/**
 * Decides which deletions of one target happen now (design §6, Guard). Ordinary ones at once, the last ones of a target
 * when three fetches over ten minutes agree, many at once when a person approves exactly this set.
 */
export function guard(input: GuardInput): GuardOutcome {
  const known = idsOf(input.desired)
  const groups: Group[] = ['applications', 'bundles', 'documents']
  const outcomes = groups.map((group) => guardGroup(group, known, input))
  return {
    released: outcomes.flatMap(({ released }) => released),
    held: outcomes.flatMap(({ held }) => held),
    state: { waiting: outcomes.flatMap(({ waiting }) => waiting) },
    spent: outcomes.flatMap(({ spent }) => spent),
  }
}

type GroupOutcome = { released: Deletion[]; held: Held[]; waiting: Waiting[]; spent: string[] }

function guardGroup(group: Group, known: KnownIds, input: GuardInput): GroupOutcome {
  const slice = sliceOf(group)
  const before = input.state.waiting.find((waiting) => waiting.group === group)
  // An unknown slice decides nothing, and what was counted so far stays counted.
  if (input.desired[slice] === undefined) return outcome({ waiting: before ? [before] : [] })
  const deletions = input.deletions.filter(({ owner }) => groupOf(owner, known) === group)
  if (deletions.length === 0) return outcome({})
  const counts = count(group, deletions, known, input.observed)
  const kind = classify(counts, input.config.ordinary)
  if (kind === 'ordinary') return outcome({ released: deletions })
  const hash = heldHash(
    input.target,
    slice,
    deletions.map(({ key }) => key),
  )
  const waiting = agree(before, { group, hash }, input)
  if (validApprovals(input.approvals, input.now).has(hash)) {
    return outcome({ released: deletions, waiting: [waiting], spent: [hash] })
  }
  if (isOver(kind, waiting, input)) return outcome({ released: deletions, waiting: [waiting] })
  const held = describe({ kind, deletions, counts, waiting, input })
  return outcome({ held: [held], waiting: [waiting] })
}

function outcome(some: Partial<GroupOutcome>): GroupOutcome {
  return { released: [], held: [], waiting: [], spent: [], ...some }
}

function sliceOf(group: Group): Slice {
  return group === 'documents' ? 'configuration' : 'applications'
}

/** By id, never by name: an object of an application that is still desired is counted as one of its bundles. */
function groupOf(owner: Owner, known: KnownIds): Group {
  if (owner.slice === 'configuration') return 'documents'
  return known.applications.has(owner.application) ? 'bundles' : 'applications'
}

type Counts = { gone: number; owned: number }

function count(
  group: Group,
  deletions: readonly Deletion[],
  known: KnownIds,
  observed: Observed,
): Counts {
  const gone = new Set(deletions.map(({ owner }) => unit(owner, group)))
  const owned = new Set(gone)
  for (const { owner } of observed.objects.values()) {
    const counted =
      group === 'bundles'
        ? groupOf(owner, known) === 'bundles' && owner.slice === 'applications' && owner.bundle
        : owner.slice === sliceOf(group)
    if (counted) owned.add(unit(owner, group))
  }
  return { gone: gone.size, owned: owned.size }
}

function unit(owner: Owner, group: Group): string {
  if (owner.slice === 'configuration') return owner.document
  if (group === 'applications') return owner.application
  return owner.bundle ?? `application ${owner.application}`
}

function classify({ gone, owned }: Counts, ordinary: OrdinaryLimit): 'ordinary' | 'last' | 'mass' {
  if (gone < owned && gone <= ordinaryLimit(owned, ordinary)) return 'ordinary'
  return gone === owned && gone <= ordinary.count ? 'last' : 'mass'
}

/** How many of `owned` things may go in one pass. */
export function ordinaryLimit(owned: number, { count, percent }: OrdinaryLimit): number {
  return Math.max(count, Math.floor((owned * percent) / 100))
}

/** Counts this fetch when it is a new one and agrees; begins anew when the set is another one. */
function agree(
  before: Waiting | undefined,
  { group, hash }: { group: Group; hash: string },
  { fetchedAt: times, now }: GuardInput,
): Waiting {
  const fetchedAt = times[sliceOf(group)] ?? now
  // A fetch that lies ahead of the clock was made before the clock was set back: its time says nothing.
  if (before?.hash !== hash || before.lastFetch > now) {
    const since = before?.hash === hash ? Math.min(before.since, now) : now
    return { group, hash, since, fetches: 1, firstFetch: fetchedAt, lastFetch: fetchedAt }
  }
  if (fetchedAt <= before.lastFetch) return before
  return { ...before, fetches: before.fetches + 1, lastFetch: fetchedAt }
}

function isOver(
  kind: 'last' | 'mass',
  waiting: Waiting,
  { now, config: { massDeletion } }: GuardInput,
): boolean {
  if (kind === 'last') {
    const span = waiting.lastFetch - waiting.firstFetch
    return waiting.fetches >= AGREEING_FETCHES && span >= AGREEING_SPAN
  }
  if (massDeletion === 'hold') return false
  return massDeletion === 'off' || now - waiting.since >= massDeletion.after
}

type HeldInput = {
  kind: 'last' | 'mass'
  deletions: readonly Deletion[]
  counts: Counts
  waiting: Waiting
  input: GuardInput
}

function describe({ kind, deletions, counts, waiting, input }: HeldInput): Held {
  const { group, hash, since } = waiting
  const owners = deletions.map(({ owner }) => owner).filter((o) => o.slice === 'applications')
  const what = `${counts.gone} of ${counts.owned} ${group} of ${input.target}`
  const waits =
    kind === 'last'
      ? `the last ones: ${agreement(waiting)}`
      : `more at once than ${ordinaryLimit(counts.owned, input.config.ordinary)}, so a person must approve`
  return {
    target: input.target,
    slice: sliceOf(group),
    kind,
    hash,
    since,
    applications:
      group === 'applications' ? counts.gone : new Set(owners.map((o) => o.application)).size,
    bundles: new Set(owners.flatMap((o) => o.bundle ?? [])).size,
    ...(group === 'documents' ? { documents: counts.gone } : {}),
    names: [...new Set(deletions.map(({ name }) => name))].slice(0, NAMES),
    reason: `${what} would go, ${waits}`,
  }
}

/** How far the complete fetches that say so have come. */
function agreement({ fetches, firstFetch, lastFetch }: Waiting): string {
  const have = `${Math.min(fetches, AGREEING_FETCHES)} of ${AGREEING_FETCHES} fetches agree`
  const span = formatDuration(Math.min(lastFetch - firstFetch, AGREEING_SPAN))
  return `${have}, over ${span} of ${formatDuration(AGREEING_SPAN)}`
}

/** What a person approves: 12 hex characters over target, slice and the set of keys; updates are not in it. */
export function heldHash(target: string, slice: Slice, keys: readonly string[]): string {
  return sha256(JSON.stringify([target, slice, ...keys.toSorted()])).slice(0, 12)
}

/** Hashes that may be used now: approved at most an hour ago, and not in the future of a clock that was set back. */
export function validApprovals(approvals: readonly Approval[], now: Instant): Set<string> {
  const valid = approvals.filter(({ at }) => at <= now && now - at < APPROVAL_LIFE)
  return new Set(valid.map(({ hash }) => hash))
}
