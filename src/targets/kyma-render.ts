import type { KubeObject } from '../clients/kubernetes/api.ts'
import type { Application } from '../model/application.ts'
import type { Secret } from '../model/secret.ts'
import type { Desired, Observed, Rendered, RenderedObject, SourceProblem } from '../model/target.ts'
import { holdersOf, bindingKey } from './binding-holders.ts'
import { ApplicationWish, digestOfApplication, ownedFields } from './kyma-application.ts'
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
  const made = new WeakMap<Application, Made>()
  const partOf = (application: Application, place: ApplicationPlace): Part => {
    const known = made.get(application)
    const { name, seen, after = '', lost } = place
    const told = [name, after, ...lost].join('\n')
    const draft =
      known?.draft.told === told ? known.draft : { told, ...draftOf(application, place, options) }
    const uid = seen?.uid ?? ''
    if (known?.draft === draft && known.uid === uid) return known.part
    const ids = { application: application.id, uid }
    const secrets = draft.wishes.map((wish) => secretObject(wish, ids, options))
    const part = { objects: [draft.application, ...secrets], problems: draft.problems }
    if (draft.lasting) made.set(application, { draft, uid, part })
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
        left: leftFor(application, observed),
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
  const rendered = new Map(
    objects.map((object) => {
      const key = keyBeside(object, observed)
      return [key, key === object.key ? object : { ...object, key }]
    }),
  )
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

/**
 * A Secret cannot be renamed: one that has another name now (its CR was deleted and came back under another one, or the
 * bundle went to another application) is made anew, and the old one goes.
 */
function keyBeside({ key, name }: KymaObject, { secrets }: ObservedKyma): string {
  const there = secrets.get(key)
  return there === undefined || there.name === name ? key : `${key}/${name}`
}

function copiesOf(applications: readonly Application[], observed: ObservedKyma): SourceProblem[] {
  const desired = new Set(applications.map(({ id }) => id))
  return observed.copies.flatMap(({ name, applicationId: id = '' }) =>
    desired.has(id) ? [copied(id, name, observed.byId.get(id)?.name ?? '')] : [],
  )
}

/** Bundles without credentials for which there are Secrets. */
function leftFor({ bundles }: Application, observed: ObservedKyma): Set<string> {
  const bare = bundles.filter(({ auth, id }) => auth === undefined && observed.hasSecret(id))
  return new Set(bare.map(({ id }) => id))
}

/** What one application needs, whatever CR will be there. */
type Draft = {
  told: string
  application: KymaObject
  wishes: SecretWish[]
  problems: SourceProblem[]
  /** False: made from what is published now too. */
  lasting: boolean
}

type Made = { draft: Draft; uid: string; part: Part }

function draftOf(
  application: Application,
  place: ApplicationPlace,
  { gatewayUrl }: KymaRenderOptions,
): Omit<Draft, 'told'> {
  const { id, name: title } = application
  const { name, after } = place
  const bundles = application.bundles.map((bundle) => bundleOf(application, bundle, place))
  const accesses = new Map(bundles.map(({ bundleId, access }) => [bundleId, access]))
  const owned = (): KubeObject => ownedFields({ application, name, gatewayUrl, accesses })
  const wishes = bundles.flatMap((one) => one.wishes)
  const isLong = wishes.length > 0 && !isLabelValue(name)
  return {
    application: {
      key: applicationKey(id),
      owner: { slice: 'applications', application: id },
      name,
      digest: digestOfApplication(owned()),
      content: new ApplicationWish(title, owned, after),
    },
    wishes,
    problems: [
      ...bundles.flatMap(({ problems }) => problems),
      ...(isLong ? [longName(application, name)] : []),
    ],
    lasting: bundles.every(({ lasting }) => lasting),
  }
}

/** `uid`: of the CR, where it is there. */
function secretObject(
  wish: SecretWish,
  { application, uid }: { application: string; uid: string },
  { digestKey }: KymaRenderOptions,
): KymaObject {
  const { part, bundleId } = wish.ids
  return {
    key: secretKey(part, bundleId),
    owner: { slice: 'applications', application, bundle: bundleId },
    name: wish.name,
    digest: digestOfWish(digestKey, wish, uid),
    credentialed: true,
    content: wish,
  }
}
