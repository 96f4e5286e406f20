import type { Application } from '../model/application.ts'
import type { SourceProblem } from '../model/target.ts'
import { applicationName, isObjectName } from './kyma-names.ts'
import type { ObservedKyma, SeenApplication } from './kyma-observe.ts'
import { applicationKey } from './kyma-observe.ts'
import { invalidName, nameForeign, nameGoing, nameTaken } from './kyma-problems.ts'

type ChosenName = {
  name: string
  /** Key of the CR that has the name now and must go first. */
  after: string | undefined
}

/** Where the objects of one application go. */
export type ApplicationPlace = ChosenName & {
  /** The CR, where it is there. */
  seen: SeenApplication | undefined
  /** Bundles whose Secrets are another application's. */
  lost: ReadonlySet<string>
  /** Bundles without credentials for which there are Secrets. */
  left: ReadonlySet<string>
}

type Chosen = { names: Map<Application, ChosenName>; problems: SourceProblem[] }

/**
 * Name of the CR of each application that can have one. A CR keeps its name for life, whatever its application is called
 * now; a new one gets the name that the Go agent would give it unless another has it, of two new ones the first.
 */
export function chooseNames(
  applications: readonly Application[],
  observed: ObservedKyma,
  normalized: boolean,
): Chosen {
  const chosen: Chosen = { names: new Map(), problems: [] }
  const desired = new Set(applications.map(({ id }) => id))
  const given = new Map<string, Application>()
  for (const application of applications) {
    const seen = observed.byId.get(application.id)
    if (seen !== undefined) {
      chosen.names.set(application, { name: seen.name, after: undefined })
      continue
    }
    const name = applicationName(application, normalized)
    const problem = isObjectName(name)
      ? takenBy(application, name, { observed, desired, given })
      : invalidName(application, name)
    if (problem !== undefined) {
      chosen.problems.push(problem)
      continue
    }
    const holder = observed.byName.get(name)?.applicationId
    const after = holder === undefined ? undefined : applicationKey(holder)
    chosen.names.set(application, { name, after })
    given.set(name, application)
  }
  return chosen
}

type Names = {
  observed: ObservedKyma
  desired: ReadonlySet<string>
  given: ReadonlyMap<string, Application>
}

/** Why it cannot have the name. One that only an application gone from Compass has is free once that one is removed. */
function takenBy(
  application: Application,
  name: string,
  { observed, desired, given }: Names,
): SourceProblem | undefined {
  const twin = given.get(name)
  if (twin !== undefined) return nameTaken(application, name, twin.id)
  const holder = observed.byName.get(name)
  if (holder === undefined) return undefined
  if (holder.going) return nameGoing(application, name)
  const { applicationId: id } = holder
  if (id === undefined) return nameForeign(application, name)
  // A copy is nobody's to remove.
  const goes = !desired.has(id) && observed.byId.get(id) === holder && !holder.keep
  return goes ? undefined : nameTaken(application, name, id)
}
