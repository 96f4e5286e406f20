import type { ApiDefinition, Application, Bundle } from '../model/application.ts'
import { bindingName } from '../model/names.ts'
import type { Observed } from '../model/target.ts'
import { componentKey, endpointKey, oauthKey } from './dapr-applications.ts'
import type { DaprNames } from './dapr-applications.ts'
import { surroundingsOf } from './dapr-rules.ts'

/** Ends the name of a middleware, so that it is not that of a binding. */
const OAUTH_END = '-oauth'

/**
 * Gives names, bundle by bundle: one once given stays, a new one must be free, here and in what others have written. An
 * API has one name for its Component and its HTTPEndpoint. What a second bundle of the same id wants is not given.
 */
export function createNames(observed: Observed): (app: Application, bundle: Bundle) => DaprNames {
  const { objects } = observed
  const { taken } = surroundingsOf(observed)
  const used = new Set([...objects.values()].map(({ name }) => name))
  const claimed = new Set<string>()
  const isFree = (name: string): boolean =>
    !used.has(name) && !taken.has(`Component ${name}`) && !taken.has(`HTTPEndpoint ${name}`)

  /** `keys`: of the objects that share the name. */
  function give(keys: string[], owner: Owned, wish: () => string): string | undefined {
    const [first = ''] = keys
    const seen = keys.flatMap((key) => objects.get(key) ?? [])[0]
    const other = seen !== undefined && !isOf(seen.owner, owner)
    if (other || claimed.has(first)) return undefined
    claimed.add(first)
    if (seen !== undefined) return seen.name
    const name = wish()
    if (!isFree(name)) return undefined
    used.add(name)
    return name
  }

  return (application, bundle) => {
    const owner = { application: application.id, bundle: bundle.id }
    const wish = (api: ApiDefinition): string => bindingName(application.name, api)
    const apis = new Map(
      bundle.apis.map((api) => [
        api,
        give([componentKey(api), endpointKey(api)], owner, () => wish(api)),
      ]),
    )
    const oauth =
      bundle.auth?.credential?.type === 'oauth'
        ? give([oauthKey(bundle)], owner, () => bindingName(application.name, bundle) + OAUTH_END)
        : undefined
    return { api: (api) => apis.get(api), oauth }
  }
}

type Owned = { application: string; bundle: string }

function isOf(owner: { slice: string; application?: string; bundle?: string }, owned: Owned) {
  return owner.application === owned.application && owner.bundle === owned.bundle
}
