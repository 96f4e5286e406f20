import type { Application, Bundle } from './application.ts'
import { problem } from './problem.ts'
import type { Change, Desired, Observed, SourceProblem } from './target.ts'
import type { Duration, Instant } from './time.ts'

/*
 * Only the snapshot remembers credentials that the Director hides. When it is lost (a new state volume, a damaged file)
 * while the targets still have what was published, a bundle without credentials may be one that never had any, or one of
 * which they are hidden just now. Until that is clear, no target replaces an object with credentials by one without.
 */

type Before = { applications: readonly Application[] }

/**
 * Marks the bundles of which nobody knows whether they have credentials: all without any in the first snapshot, then
 * those that were marked before, until they show some or the grace is over. While no bundle at all shows credentials (a
 * missing scope looks like that) the grace does not end.
 */
export function markUnknown(
  before: Before | undefined,
  applications: Application[],
  { now, grace }: { now: Instant; grace: Duration },
): Application[] {
  const since = unknownSince(before)
  const bundles = applications.flatMap((application) => application.bundles)
  const someShown = bundles.some(
    ({ auth, authMissingSince }) => auth && authMissingSince === undefined,
  )
  const mark = (bundle: Bundle): Bundle => {
    const at = before === undefined ? now : since.get(bundle.id)
    const known = bundle.auth !== undefined || at === undefined || (someShown && now - at >= grace)
    return known ? bundle : { ...bundle, authMissingSince: at }
  }
  // What is not marked stays the same object: nobody has to compare it member by member.
  return applications.map((one) => {
    const marked = one.bundles.map(mark)
    const same = marked.every((bundle, index) => bundle === one.bundles[index])
    return same ? one : { ...one, bundles: marked }
  })
}

function unknownSince(before: Before | undefined): Map<string, Instant> {
  const bundles = before?.applications.flatMap((application) => application.bundles) ?? []
  return new Map(
    bundles.flatMap((bundle) => (isUnknown(bundle) ? [[bundle.id, bundle.authMissingSince]] : [])),
  )
}

function isUnknown(bundle: Bundle): bundle is Bundle & { authMissingSince: Instant } {
  return bundle.auth === undefined && bundle.authMissingSince !== undefined
}

/** Takes out the updates that would put an object without credentials in place of one with, where they are unknown. */
export function withholdUnknown<Content>(
  changes: readonly Change<Content>[],
  observed: Observed,
  desired: Desired,
): { changes: Change<Content>[]; problems: SourceProblem[] } {
  const bundles = (desired.applications ?? []).flatMap((application) => application.bundles)
  const unknown = new Set(bundles.filter(isUnknown).map(({ id }) => id))
  const isWithheld = ({ kind, key, owner }: Change<Content>): boolean =>
    kind === 'update' &&
    owner.slice === 'applications' &&
    owner.bundle !== undefined &&
    unknown.has(owner.bundle) &&
    observed.objects.get(key)?.credentialed === true
  return {
    changes: changes.filter((change) => !isWithheld(change)),
    problems: changes.filter(isWithheld).map(({ owner, name }) => ({
      owner,
      withheld: true,
      problem: problem(
        'credentials_missing',
        `Cannot tell whether ${name} still has credentials: Compass shows none, and what was known before is lost, so it stays as it is`,
        { subject: name },
      ),
    })),
  }
}
