import type { KubeObject } from '../clients/kubernetes/api.ts'
import type { Observed, ObservedObject } from '../model/target.ts'
import { isGoing, isPruneDisabled, isReconcileDisabled, MANAGER } from './cluster-objects.ts'
import { applicationIdOf, digestOfApplication, isMarked, publishedIn } from './kyma-application.ts'
import type { Access } from './kyma-application.ts'
import type { SeenSecret } from './kyma-secret.ts'
import type { SecretPart } from './kyma-names.ts'

/** An Application CR as it is, without its services. */
export type SeenApplication = {
  name: string
  uid: string
  resourceVersion: string
  createdAt: string
  /** Undefined: not of Compass, so nothing is done to it. */
  applicationId: string | undefined
  digest: string
  /** It carries the label of the Go agent, or this agent has written it before. */
  ours: boolean
  /** Others that keep fields of it by server-side apply. */
  appliers: string[]
  published: ReadonlyMap<string, Access>
  /** A person wants it left as it is, or kept. */
  leaveAlone: boolean
  keep: boolean
  /** Removed already: it has its name until its finalizers are gone, and nothing more is to be done with it. */
  going: boolean
}

export function readApplication(object: KubeObject): SeenApplication {
  const { name, uid = '', resourceVersion = '', creationTimestamp = '' } = object.metadata
  const { managedFields = [] } = object.metadata
  const applicationId = applicationIdOf(object)
  const common = { name, uid, resourceVersion, createdAt: creationTimestamp, applicationId }
  const going = isGoing(object.metadata)
  if (applicationId === undefined) {
    return { ...common, ...FOREIGN, going, published: new Map() }
  }
  return {
    ...common,
    digest: digestOfApplication(object),
    ours: isMarked(object) || managedFields.some(({ manager }) => manager === MANAGER),
    appliers: managedFields
      .filter(({ manager, operation }) => operation === 'Apply' && manager !== MANAGER)
      .map(({ manager = '' }) => manager),
    published: publishedIn(object),
    leaveAlone: isReconcileDisabled(object.metadata),
    keep: going || isPruneDisabled(object.metadata),
    going,
  }
}

const FOREIGN = { digest: '', ours: false, appliers: [], leaveAlone: false, keep: false }

export const applicationKey = (id: string): string => `application/${id}`

/** The key of the credentials is that of a binding in other targets. */
export function secretKey(part: SecretPart, bundleId: string): string {
  return part === 'credentials' ? `binding/${bundleId}` : `parameters/${bundleId}`
}

/** What the target sees: our objects by key, with what it takes to change them, and who has which name. */
export class ObservedKyma implements Observed {
  readonly objects: ReadonlyMap<string, ObservedObject>
  /** The CR of each application: the oldest where there are several. */
  readonly byId: ReadonlyMap<string, SeenApplication>
  /** CRs that claim to be of an application which has an older one. */
  readonly copies: readonly SeenApplication[]
  /** All CRs, foreign ones too. */
  readonly byName: ReadonlyMap<string, SeenApplication>
  readonly secrets: ReadonlyMap<string, SeenSecret>

  constructor(applications: readonly SeenApplication[], secrets: readonly SeenSecret[]) {
    const { byId, copies } = oldest(applications)
    this.byId = byId
    this.copies = copies
    this.byName = new Map(applications.map((one) => [one.name, one]))
    this.secrets = this.#keyed(secrets)
    this.objects = new Map([
      ...[...byId].map(([id, seen]) => keyed(observedApplication(id, seen))),
      ...[...this.secrets].map(([key, seen]) => keyed(this.#observedSecret(key, seen))),
    ])
  }

  hasSecret(bundleId: string): boolean {
    const parts: SecretPart[] = ['credentials', 'parameters']
    return parts.some((part) => this.secrets.has(secretKey(part, bundleId)))
  }

  /** Of two Secrets for one bundle that of a CR which is there; the others are left over. */
  #keyed(secrets: readonly SeenSecret[]): Map<string, SeenSecret> {
    const found = new Map<string, SeenSecret>()
    const rank = (one: SeenSecret): number => (this.byName.has(one.application) ? 0 : 1)
    for (const one of secrets.toSorted((a, b) => rank(a) - rank(b) || byAge(a, b))) {
      const key = secretKey(one.part, one.bundleId)
      found.set(found.has(key) ? `left-over/${one.name}` : key, one)
    }
    return found
  }

  #observedSecret(key: string, { application, bundleId, name, digest }: SeenSecret) {
    const id = this.byName.get(application)?.applicationId
    return {
      key,
      // Of one whose CR is gone nobody knows the application; the name is no id, so that none is taken for it.
      owner: {
        slice: 'applications' as const,
        application: id ?? `gone: ${application}`,
        bundle: bundleId,
      },
      ...{ name, digest, credentialed: true },
    }
  }
}

function keyed(object: ObservedObject): [string, ObservedObject] {
  return [object.key, object]
}

function observedApplication(id: string, { name, digest }: SeenApplication): ObservedObject {
  const owner = { slice: 'applications' as const, application: id }
  return { key: applicationKey(id), owner, name, digest }
}

function oldest(applications: readonly SeenApplication[]) {
  const byId = new Map<string, SeenApplication>()
  const copies: SeenApplication[] = []
  for (const one of applications.toSorted(byAge)) {
    if (one.applicationId === undefined) continue
    if (byId.has(one.applicationId)) copies.push(one)
    else byId.set(one.applicationId, one)
  }
  return { byId, copies }
}

type Aged = { createdAt: string; name: string }

function byAge(a: Aged, b: Aged): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1
  return a.name < b.name ? -1 : 1
}
