import type { Application, Bundle } from '../model/application.ts'
import type { Observed } from '../model/target.ts'

/** Identity of a binding in a target that has one object for each; what has no UTF-8 would not be found again. */
export function bindingKey({ id }: Pick<Bundle, 'id'>): string {
  return `binding/${id.toWellFormed()}`
}

/** Whose binding each key is: a second application with a bundle of the same id must not get at what is there. */
export function holdersOf(
  applications: readonly Application[],
  { objects }: Observed,
): Map<string, Application> {
  const holders = new Map<string, Application>()
  for (const application of applications) {
    for (const bundle of application.bundles) {
      const key = bindingKey(bundle)
      const older = objects.get(key)?.owner
      const wasFirst = older?.slice === 'applications' && older.application === application.id
      if (wasFirst || !holders.has(key)) holders.set(key, application)
    }
  }
  return holders
}
