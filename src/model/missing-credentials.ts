import type { Application, Auth, Bundle } from './application.ts'
import { heldHash, ordinaryLimit } from './guard.ts'
import type { Held, OrdinaryLimit } from './guard.ts'
import { problem } from './problem.ts'
import type { HistoryEntry } from './status.ts'
import type { SourceProblem } from './target.ts'
import type { Duration, Instant } from './time.ts'
import { formatDuration, formatInstant } from './time.ts'

/** A bundle whose credentials were known and are no longer shown. */
export type Missing = { application: Application; bundle: Bundle; auth: Auth; since: Instant }

/** A hold of all credentials: what a person approves, and since when it lasts. */
export type CredentialsHeld = { hash: string; since: Instant }

export type MissingOptions = {
  now: Instant
  grace: Duration
  ordinary: OrdinaryLimit
  approved: ReadonlySet<string>
  /** Bundles that had credentials and are still there, missing ones included. */
  total: number
  /** Of the last pass. */
  held: CredentialsHeld | undefined
  /** Bundles whose credentials had vanished and are shown again. */
  returned: Source[]
}

type Source = Pick<Missing, 'application' | 'bundle'>

export type Settled = {
  /** Credentials to keep, with the instant since which they are missing. */
  kept: Missing[]
  credentialsHeld?: CredentialsHeld
  held: Held[]
  spent: string[]
  problems: SourceProblem[]
  history: HistoryEntry[]
}

const NAMES = 20
const TARGET = 'credentials'

/**
 * The credential rule (design §6, Guard).
 *
 * - Single ones are kept for `grace`, then removed as an ordinary deletion; more than the ordinary limit at once: held.
 * - All of them at once: held without end ("scope missing?").
 * - What a person approved is removed now.
 * - When such a hold ends because some came back, the others get a new grace: until now nothing was known of them.
 */
export function settleMissing(missing: Missing[], options: MissingOptions): Settled {
  const { now, total, held, grace } = options
  const history = returnedNote(options)
  if (missing.length === 0) return { kept: [], held: [], spent: [], problems: [], history }
  if (missing.length === total) return settleAll(missing, options, history)
  const since = (one: Missing): Missing => (held ? { ...one, since: now } : one)
  const dated = missing.map(since)
  const ended = dated.filter((one) => now - one.since >= grace)
  const hash = hashOf(ended)
  const ordinary = ended.length <= ordinaryLimit(total, options.ordinary)
  const approved = options.approved.has(hash)
  const gone = new Set(ordinary || approved ? ended : [])
  const kept = dated.filter((one) => !gone.has(one))
  const reason = `the grace of ${formatDuration(grace)} has ended for ${ended.length} of ${total} bundles, more at once than ${ordinaryLimit(total, options.ordinary)}, so a person must approve`
  const endedAt = Math.min(...ended.map((one) => one.since)) + grace
  return {
    kept,
    held: ordinary || approved ? [] : [heldOf('mass', ended, { hash, since: endedAt, reason })],
    spent: approved && ended.length > 0 ? [hash] : [],
    problems: kept.map((one) => missingProblem(one, grace)),
    history: [...history, ...removedNotes([...gone], now)],
  }
}

function settleAll(
  missing: Missing[],
  { now, approved, held }: MissingOptions,
  history: HistoryEntry[],
): Settled {
  const hash = hashOf(missing)
  if (approved.has(hash)) {
    const notes = [...history, ...removedNotes(missing, now)]
    return { kept: [], held: [], spent: [hash], problems: [], history: notes }
  }
  const since = held?.since ?? now
  const reason = `the credentials of all ${missing.length} bundles vanished at once: scope missing?`
  const note: HistoryEntry = {
    at: now,
    level: 'error',
    message: `Holding ${reason}`,
    code: 'credentials_held',
  }
  return {
    kept: missing,
    credentialsHeld: { hash, since },
    held: [heldOf('credentials', missing, { hash, since, reason })],
    spent: [],
    problems: [],
    history: held?.hash === hash ? history : [...history, note],
  }
}

function hashOf(missing: Missing[]): string {
  return heldHash(
    TARGET,
    'applications',
    missing.map(({ bundle }) => bundle.id),
  )
}

function heldOf(
  kind: 'credentials' | 'mass',
  missing: Missing[],
  { hash, since, reason }: { hash: string; since: Instant; reason: string },
): Held {
  return {
    target: TARGET,
    slice: 'applications',
    kind,
    hash,
    since,
    applications: new Set(missing.map(({ application }) => application.id)).size,
    bundles: missing.length,
    names: missing.slice(0, NAMES).map(nameOf),
    reason,
  }
}

function nameOf({ application, bundle }: Source): string {
  return `${application.name} / ${bundle.name}`
}

function missingProblem(missing: Missing, grace: Duration): SourceProblem {
  const { application, bundle, since } = missing
  const until = formatInstant(since + grace)
  return {
    owner: { slice: 'applications', application: application.id, bundle: bundle.id },
    withheld: false,
    problem: problem(
      'credentials_missing',
      `Cannot see the credentials of ${nameOf(missing)}: Compass has not shown them since ${formatInstant(since)}, so the last known ones are kept until ${until}`,
      { subject: nameOf(missing) },
    ),
  }
}

function removedNotes(missing: Missing[], now: Instant): HistoryEntry[] {
  return missing.slice(0, NAMES).map((one) => ({
    at: now,
    level: 'warn',
    message: `Removed the credentials of ${nameOf(one)}: Compass has not shown them for ${formatDuration(now - one.since)}`,
    code: 'credentials_missing',
  }))
}

function returnedNote({ now, returned }: MissingOptions): HistoryEntry[] {
  const [first, ...others] = returned
  if (first === undefined) return []
  const more = others.length === 0 ? '' : ` and ${others.length} more bundles`
  const message = `Compass shows the credentials of ${nameOf(first)}${more} again`
  return [{ at: now, level: 'info', message }]
}
