import type {
  KubeObject,
  Kubernetes,
  Metadata,
  Resource,
  Scope,
} from '../clients/kubernetes/api.ts'
import { mapConcurrently } from './concurrent.ts'

/** Marks of what this agent makes in a cluster (reference/kubernetes.md §9); the prefix stays for ever. */
export const PREFIX = 'runtime-agent.kyma-project.io'
const MANAGED_BY = 'app.kubernetes.io/managed-by'
export const MANAGER = 'runtime-agent'
const RUNTIME_ID = `${PREFIX}/runtime-id`
const AGENT = `${PREFIX}/agent`
export const SOURCE = `${PREFIX}/source`
export const HASH = `${PREFIX}/hash`
export const ORPHANED_SINCE = `${PREFIX}/orphaned-since`

/** Whose objects. */
export type ClusterMark = { agent: string; runtimeId: string }

/** The labels of all that is ours. */
export function markLabels({ agent, runtimeId }: ClusterMark): Record<string, string> {
  return { [MANAGED_BY]: MANAGER, [RUNTIME_ID]: runtimeId, [AGENT]: agent }
}

/** Selects what is ours. */
export function markSelector(mark: ClusterMark): string {
  return Object.entries(markLabels(mark))
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}

/** `reconcile: disabled`: a person wants the object left as it is. */
export function isReconcileDisabled({ annotations }: Metadata): boolean {
  return annotations?.[`${PREFIX}/reconcile`] === 'disabled'
}

/** `prune: disabled`, or left as it is: the object is never deleted. */
export function isPruneDisabled(metadata: Metadata): boolean {
  return metadata.annotations?.[`${PREFIX}/prune`] === 'disabled' || isReconcileDisabled(metadata)
}

/** Removed already, and kept there by a finalizer of somebody else. */
export function isGoing({ deletionTimestamp }: Metadata): boolean {
  return deletionTimestamp !== undefined
}

/** What a deletion must find, so that nothing goes that changed since it was read. */
export function preconditions({ uid, resourceVersion }: Metadata): {
  uid?: string
  resourceVersion?: string
} {
  return {
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  }
}

type Version = { resourceVersion: string | undefined }
type Known<T> = Map<string, Version & { value: T }>

/**
 * What was made of the objects of one kind, for as long as they stay as they are: by uid and resourceVersion, both of
 * which the API server changes with the object. Forgets what is not listed any more.
 */
export class Seen<T> {
  readonly #read: (object: KubeObject) => T
  #known: Known<T> = new Map()
  /** Of the latest list. */
  #listedAt = 0

  /** `read` gets whole objects, which are shared: it must not change them, nor keep more of them than it needs. */
  constructor(read: (object: KubeObject) => T) {
    this.#read = read
  }

  /** After a write: what the API server answered, and what to make of it when that is known already. */
  note(object: KubeObject, value = this.#read(object)): T {
    const { uid = '', resourceVersion } = object.metadata
    this.#known.set(uid, { resourceVersion, value })
    return value
  }

  #only(objects: readonly KubeObject[], before = this.#known): T[] {
    const known: Known<T> = new Map()
    const values = objects.map((object) => this.#note(object, before, known))
    this.#known = known
    return values
  }

  #note(object: KubeObject, before: Known<T>, after: Known<T>): T {
    const { uid = '', resourceVersion } = object.metadata
    const known = before.get(uid)
    const value = isAsKnown(known, object) ? known.value : this.#read(object)
    after.set(uid, { resourceVersion, value })
    return value
  }

  /**
   * All objects in the scope. Once it knows them it asks for their metadata only and reads those that changed, so that
   * values of Secrets do not travel in every pass.
   */
  async list(
    kubernetes: Kubernetes,
    { resource, scope }: { resource: Resource; scope: Scope },
    signal: AbortSignal,
  ): Promise<T[]> {
    if (this.#known.size > 0) {
      const listed = await kubernetes.list(resource, { ...scope, only: 'metadata' }, signal)
      this.#noteBackup(listed.resourceVersion)
      const { items } = listed
      const changed = items.filter((item) => !isAsKnown(this.#known.get(uidOf(item)), item))
      if (changed.length <= SINGLY) {
        const whole = await mapConcurrently(
          changed,
          ({ metadata: { name, namespace } }) =>
            kubernetes.get(
              resource,
              namespace === undefined ? { name } : { name, namespace },
              signal,
            ),
          signal,
        )
        const fresh = new Map(changed.map((item, index) => [item, whole[index]]))
        return this.#only(
          items.flatMap((item) => {
            // Gone since it was listed.
            const object = fresh.has(item) ? fresh.get(item) : item
            return object === undefined ? [] : [object]
          }),
        )
      }
    }
    const known: Known<T> = new Map()
    const keep = (object: KubeObject): KubeObject => {
      this.#note(object, this.#known, known)
      return { metadata: object.metadata }
    }
    const { items, resourceVersion } = await kubernetes.list(resource, { ...scope, keep }, signal)
    this.#listedAt = Number(resourceVersion)
    return this.#only(items, known)
  }

  /** From a cluster that was restored from a backup a version may come twice, with other content: nothing is known. */
  #noteBackup(resourceVersion: string): void {
    const at = Number(resourceVersion)
    if (at < this.#listedAt) this.#known = new Map()
    this.#listedAt = at
  }
}

/** Beyond this many, one list is less than the single reads. */
const SINGLY = 16

function uidOf({ metadata: { uid = '' } }: KubeObject): string {
  return uid
}

function isAsKnown<V extends Version>(known: V | undefined, { metadata }: KubeObject): known is V {
  return known !== undefined && known.resourceVersion === metadata.resourceVersion
}
