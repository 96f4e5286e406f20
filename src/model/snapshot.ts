import type { Application, Bundle } from './application.ts'
import { digestOf } from './digest.ts'
import { isSame } from './equal.ts'
import type { Held, OrdinaryLimit } from './guard.ts'
import { settleMissing } from './missing-credentials.ts'
import type { CredentialsHeld, Missing } from './missing-credentials.ts'
import type { HistoryEntry } from './status.ts'
import type { Complete, SourceProblem } from './target.ts'
import { markUnknown } from './unknown-credentials.ts'
import type { Duration, Instant } from './time.ts'

/** The last complete state of the landscape, with the credentials that are kept although the Director hides them. */
export type Snapshot = {
  runtimeId: string
  applications: Complete<Application[]>
  /** When the fetch was made that brought this content, or last confirmed it in this process. */
  fetchedAt: Instant
  /** SHA-256 over everything but `fetchedAt`. Hashes secrets without a key: it stays in the state directory. */
  digest: string
  /** All credentials vanished at once: kept without end, until they come back or a person approves `hash`. */
  credentialsHeld?: CredentialsHeld
  /** As in Desired (target.ts). */
  namesNormalized?: true
}

/** One complete, verified answer of the Director. */
export type Fetched = {
  runtimeId: string
  applications: Application[]
  fetchedAt: Instant
  /** As in Desired (target.ts). */
  namesNormalized?: true
}

export type RetainOptions = {
  now: Instant
  /** `guard.credentialsGrace` */
  grace: Duration
  /** `guard.ordinary` */
  ordinary: OrdinaryLimit
  /** Hashes that may be used now (validApprovals). */
  approved: ReadonlySet<string>
}

export type Retained = {
  snapshot: Snapshot
  /** False: nothing differs but the time, so there is nothing to store. */
  changed: boolean
  held: Held[]
  /** Approvals used up. */
  spent: string[]
  /** Bundles whose credentials are kept. */
  problems: SourceProblem[]
  history: HistoryEntry[]
}

/**
 * Turns a complete fetch into a snapshot, before any target sees it: a credential that the Director stops showing is
 * unknown, not gone (a missing scope looks the same), and kept as {@link settleMissing} says. Everything else is taken
 * as fetched. What did not change keeps its object identity, so that whoever renders can tell by `===`.
 */
export function retain(
  last: Snapshot | undefined,
  fetched: Fetched,
  options: RetainOptions,
): Retained {
  const before = last?.runtimeId === fetched.runtimeId ? last : undefined
  const known = knownAuths(before)
  const bundles = fetched.applications.flatMap((application) =>
    application.bundles.map((bundle) => ({ application, bundle })),
  )
  const withAuth = bundles.filter(({ bundle }) => known.has(bundle.id))
  const missing = withAuth.flatMap(({ application, bundle }) => {
    const { auth, authMissingSince: since = options.now } = known.get(bundle.id) ?? {}
    return bundle.auth !== undefined || auth === undefined
      ? []
      : [{ application, bundle, auth, since }]
  })
  const settled = settleMissing(missing, {
    ...options,
    total: withAuth.length,
    held: before?.credentialsHeld,
    returned: withAuth.filter(
      ({ bundle }) => bundle.auth && known.get(bundle.id)?.authMissingSince !== undefined,
    ),
  })
  const { kept, credentialsHeld, held, spent, problems, history } = settled
  const applications = reuse(
    before,
    markUnknown(before, withKept(fetched.applications, kept), options),
  )
  const { runtimeId, namesNormalized } = fetched
  const digest =
    before?.applications === applications &&
    before.namesNormalized === namesNormalized &&
    isSame(before.credentialsHeld, credentialsHeld)
      ? before.digest
      : digestSnapshot({ runtimeId, applications, credentialsHeld, namesNormalized })
  const snapshot: Snapshot = {
    runtimeId,
    applications,
    fetchedAt: fetched.fetchedAt,
    digest,
    ...(credentialsHeld === undefined ? {} : { credentialsHeld }),
    ...(namesNormalized === undefined ? {} : { namesNormalized }),
  }
  return { snapshot, changed: digest !== before?.digest, held, spent, problems, history }
}

/** What {@link Snapshot.digest} holds. */
export function digestSnapshot(content: {
  runtimeId: string
  applications: Application[]
  credentialsHeld?: CredentialsHeld | undefined
  namesNormalized?: true | undefined
}): string {
  const { runtimeId, applications, credentialsHeld, namesNormalized } = content
  return digestOf({ runtimeId, applications, credentialsHeld, namesNormalized })
}

/** Says that a value comes from one complete, verified fetch. For retain, the decoder of snapshots, and tests. */
export function markComplete<T>(value: T): Complete<T> {
  // The mark exists for the compiler only; this is the one place that makes it.
  return value as Complete<T>
}

function knownAuths(snapshot: Snapshot | undefined): Map<string, Bundle> {
  const bundles = snapshot?.applications.flatMap((application) => application.bundles) ?? []
  return new Map(bundles.filter(({ auth }) => auth !== undefined).map((b) => [b.id, b]))
}

function withKept(applications: Application[], kept: Missing[]): Application[] {
  if (kept.length === 0) return applications
  const byBundle = new Map(kept.map((missing) => [missing.bundle.id, missing]))
  const patch = (bundle: Bundle): Bundle => {
    const missing = byBundle.get(bundle.id)
    return missing ? { ...bundle, auth: missing.auth, authMissingSince: missing.since } : bundle
  }
  return applications.map((application) => ({
    ...application,
    bundles: application.bundles.map(patch),
  }))
}

/** The old objects wherever they say the same as the new ones, the old list when all of it does. */
function reuse(before: Snapshot | undefined, applications: Application[]): Complete<Application[]> {
  if (before === undefined) return markComplete(applications)
  const old = new Map(before.applications.map((application) => [application.id, application]))
  const reused = applications.map((application) => {
    const same = old.get(application.id)
    return same && isSame(same, application) ? same : application
  })
  const equal =
    reused.length === before.applications.length &&
    reused.every((application, index) => application === before.applications[index])
  return equal ? before.applications : markComplete(reused)
}
