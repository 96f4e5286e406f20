import type { KubeObject } from '../clients/kubernetes/api.ts'
import type { Application } from '../model/application.ts'
import type { Secret } from '../model/secret.ts'
import type {
  Desired,
  Observed,
  Owner,
  Rendered,
  RenderedObject,
  SourceProblem,
} from '../model/target.ts'
import { holdersOf, bindingKey } from './binding-holders.ts'
import { ApplicationWish, digestOfApplication, ownedFields } from './kyma-application.ts'
import type { Access } from './kyma-application.ts'
import { bundleOf } from './kyma-bundle.ts'
import { applicationKey, ObservedKyma, secretKey } from './kyma-observe.ts'
import { chooseNames } from './kyma-place.ts'
import type { ApplicationPlace } from './kyma-place.ts'
import { copied, longName } from './kyma-problems.ts'
import { digestOfWish } from './kyma-secret.ts'
import type { SecretWish } from './kyma-secret.ts'
import { isLabelValue } from './kyma-names.ts'

/** What a person wants to stay as it is has none. */
export type KymaContent = ApplicationWish | SecretWish | undefined

type KymaObject = RenderedObject<KymaContent>
type Part = { objects: KymaObject[]; problems: SourceProblem[] }

export type KymaRenderOptions = { gatewayUrl: string; digestKey: Secret }

/**
 * The render of the target kyma. Remembers what it made of an application for as long as that very object is desired in
 * the same place, so that an unchanged snapshot costs some lookups and no hashing; the result is the same without.
 */
export function createKymaRender(
  options: KymaRenderOptions,
): (desired: Desired, observed: Observed) => Rendered<KymaContent> {
  const made = new WeakMap<Application, { place: string; part: Part }>()
  const partOf = (application: Application, place: ApplicationPlace): Part => {
    const { name, seen, after = '', lost } = place
    const told = [name, seen?.uid ?? '', after, ...lost].join('\n')
    const known = made.get(application)
    if (known?.place === told) return known.part
    const { part, lasting } = renderApplication(application, place, options)
    if (lasting) made.set(application, { place: told, part })
    return part
  }
  return ({ applications = [], namesNormalized = false }, observed) => {
    if (!(observed instanceof ObservedKyma)) throw new TypeError('Observed by another target')
    const { names, problems } = chooseNames(applications, observed, namesNormalized)
    const holders = holdersOf(applications, observed)
    const parts = [...names].map(([application, chosen]) => {
      const lost = application.bundles.filter((one) => holders.get(bindingKey(one)) !== application)
      return partOf(application, {
        ...chosen,
        seen: observed.byId.get(application.id),
        lost: new Set(lost.map(({ id }) => id)),
        hasSecret: (bundleId) => observed.hasSecret(bundleId),
      })
    })
    const objects = parts.flatMap((part) => part.objects)
    return {
      objects: withKept(objects, observed),
      problems: [
        ...problems,
        ...parts.flatMap((part) => part.problems),
        ...copiesOf(applications, observed),
      ],
    }
  }
}

/** What a person wants left as it is, or kept, seems to be as it should be. */
function withKept(objects: readonly KymaObject[], observed: ObservedKyma): Map<string, KymaObject> {
  const rendered = new Map(objects.map((object) => [object.key, object]))
  const settle = (key: string, leaveAlone: boolean, keep: boolean): void => {
    const object = observed.objects.get(key)
    if (object === undefined || !(leaveAlone || (keep && !rendered.has(key)))) return
    rendered.set(key, { ...object, content: undefined })
  }
  for (const [id, { leaveAlone, keep }] of observed.byId)
    settle(applicationKey(id), leaveAlone, keep)
  for (const [key, { application, leaveAlone, keep }] of observed.secrets)
    settle(key, leaveAlone, keep || observed.byName.get(application)?.keep === true)
  return rendered
}

function copiesOf(applications: readonly Application[], observed: ObservedKyma): SourceProblem[] {
  const desired = new Set(applications.map(({ id }) => id))
  return observed.copies.flatMap(({ name, applicationId: id = '' }) =>
    desired.has(id) ? [copied(id, name, observed.byId.get(id)?.name ?? '')] : [],
  )
}

function renderApplication(
  application: Application,
  place: ApplicationPlace,
  { gatewayUrl, digestKey }: KymaRenderOptions,
): { part: Part; lasting: boolean } {
  const { id, name: title } = application
  const { name, seen, after } = place
  const bundles = application.bundles.map((bundle) => bundleOf(application, bundle, place))
  const accesses = new Map<string, Access>(
    bundles.map(({ bundleId, access }) => [bundleId, access]),
  )
  const nothing: Access = { credentials: {} }
  const owned = (): KubeObject =>
    ownedFields({
      ...{ application, name, gatewayUrl },
      access: (bundle) => accesses.get(bundle.id) ?? nothing,
    })
  const owner: Owner = { slice: 'applications', application: id }
  const secrets = bundles.flatMap(({ wishes }) => wishes)
  const objects: KymaObject[] = [
    {
      ...{ key: applicationKey(id), owner, name },
      digest: digestOfApplication(owned()),
      content: new ApplicationWish(title, owned, after),
    },
    ...secrets.map((wish): KymaObject => ({
      key: secretKey(wish.ids.part, wish.ids.bundleId),
      owner: { ...owner, bundle: wish.ids.bundleId },
      name: wish.name,
      digest: digestOfWish(digestKey, wish, seen?.uid ?? ''),
      credentialed: true,
      content: wish,
    })),
  ]
  const isLong = secrets.length > 0 && !isLabelValue(name)
  const problems = [
    ...bundles.flatMap((one) => one.problems),
    ...(isLong ? [longName(application, name)] : []),
  ]
  return { part: { objects, problems }, lasting: bundles.every(({ lasting }) => lasting) }
}
