import type { Application, Bundle } from '../model/application.ts'
import { problem } from '../model/problem.ts'
import type { Desired, Observed, Rendered, SourceProblem } from '../model/target.ts'
import { renderBundle } from './dapr-applications.ts'
import { renderDocument } from './dapr-configuration.ts'
import type { DaprContent } from './dapr-document.ts'
import { createNames } from './dapr-names.ts'
import { preflight } from './dapr-preflight.ts'
import type { DaprObject } from './dapr-preflight.ts'
import { surroundingsOf } from './dapr-rules.ts'
import type { DaprRules } from './dapr-rules.ts'

type Whole = Rendered<DaprContent>

/**
 * Applications and documents of the Runtime Director as Dapr has them, through one pre-flight. Pure: it knows neither
 * files nor a cluster. Remembers the whole for as long as all it was made from are the very same objects; the result is
 * the same without.
 */
export function createDaprRender(
  rules: DaprRules,
): (desired: Desired, observed: Observed) => Whole {
  let last: { desired: Desired; observed: Observed; whole: Whole } | undefined
  return (desired, observed) => {
    if (last === undefined || !isSame(last, desired, observed))
      last = { desired, observed, whole: renderAll(desired, observed, rules) }
    return last.whole
  }
}

function isSame(
  last: { desired: Desired; observed: Observed },
  desired: Desired,
  observed: Observed,
): boolean {
  return (
    last.observed.objects === observed.objects &&
    surroundingsOf(last.observed) === surroundingsOf(observed) &&
    last.desired.applications === desired.applications &&
    last.desired.configuration === desired.configuration
  )
}

function renderAll(desired: Desired, observed: Observed, rules: DaprRules): Whole {
  const names = createNames(observed)
  const { pipeline } = surroundingsOf(observed)
  const objects: DaprObject[] = []
  const problems: SourceProblem[] = []
  const applications = rules.applications ? (desired.applications ?? []) : []
  for (const application of applications) {
    for (const bundle of application.bundles) {
      const given = names(application, bundle)
      const unknown = hidden(application, bundle, observed)
      const part =
        unknown === undefined
          ? renderBundle({ application, bundle, names: given, rules, pipeline })
          : { objects: [], problems: [unknown] }
      objects.push(...part.objects)
      problems.push(...part.problems)
    }
  }
  for (const document of desired.configuration ?? []) {
    const part = renderDocument(document, rules)
    objects.push(...part.objects)
    problems.push(...part.problems)
  }
  const passed = preflight(objects, observed, rules)
  return {
    objects: new Map(passed.objects.map((object) => [object.key, object])),
    problems: [...problems, ...passed.problems],
  }
}

/** Nobody knows whether the bundle still has credentials, and there are objects with them: these stay as they are. */
function hidden(
  application: Application,
  bundle: Bundle,
  { objects }: Observed,
): SourceProblem | undefined {
  if (bundle.auth !== undefined || bundle.authMissingSince === undefined) return undefined
  const has = [...objects.values()].some(
    ({ owner, credentialed }) =>
      credentialed === true && owner.slice === 'applications' && owner.bundle === bundle.id,
  )
  if (!has) return undefined
  const subject = `${application.name} / ${bundle.name}`
  const message = `Cannot tell whether ${subject} still has credentials: Compass shows none, and what was known before is lost, so it stays as it is`
  return {
    owner: { slice: 'applications', application: application.id, bundle: bundle.id },
    withheld: true,
    problem: problem('credentials_missing', message, { subject }),
  }
}
