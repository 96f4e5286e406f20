import type { Secret } from '../../model/secret.ts'

/** Where objects of a kind are found in the API. */
export type Resource = {
  /** Empty for the core group. */
  group: string
  version: string
  plural: string
  kind: string
  namespaced: boolean
}

export type OwnerReference = { apiVersion: string; kind: string; name: string; uid: string }

export type Metadata = {
  name: string
  namespace?: string
  uid?: string
  resourceVersion?: string
  creationTimestamp?: string
  deletionTimestamp?: string
  generation?: number
  labels?: Record<string, string>
  annotations?: Record<string, string>
  ownerReferences?: OwnerReference[]
  managedFields?: { manager?: string; operation?: string }[]
}

/** Any object of the API, as plain JSON. What lies beyond metadata is checked by whoever reads it. */
export type KubeObject = {
  apiVersion?: string
  kind?: string
  metadata: Metadata
  [field: string]: unknown
}

export type Ref = { name: string; namespace?: string }

export type Listed = {
  items: KubeObject[]
  /** Where a watch goes on without missing anything. */
  resourceVersion: string
}

export type WatchEvent =
  | { type: 'added' | 'modified' | 'deleted'; object: KubeObject }
  /** All that there is was listed anew (first, and after what was missed): what is not among it is gone. */
  | { type: 'listed'; objects: KubeObject[] }

export type Scope = {
  namespace?: string
  /** As in `a=b,c`. */
  labels?: string
  /** As in `metadata.name=x`. */
  fields?: string
  /**
   * `metadata`: nothing but that of each object, without managedFields (PartialObjectMetadata): values of Secrets do
   * not travel, and an unchanged list costs a tenth. For `list` only.
   */
  only?: 'metadata'
  /** What is held of each object as soon as its page has arrived, so that a large list is never held whole. For `list` only. */
  keep?: (object: KubeObject) => KubeObject
}

/** One right to ask for; `name` limits it to one object. */
export type Access = { verb: string; resource: Resource; namespace?: string; name?: string }

/**
 * The Kubernetes API. Calls are bounded in time and size, never repeated, and throw AgentError:
 * - kubernetes_forbidden: which verb on what is missing
 * - kubernetes_conflict: another resourceVersion, another uid, an object that exists already, or fields of another
 *   manager, which are named (`detail.reason` is Conflict, AlreadyExists or FieldManagerConflict)
 * - kubernetes_missing: a namespace or a kind that is not there, or an object that was to be changed
 * - kubernetes_refused: what the API or a webhook does not accept (400, 422, 403 of admission)
 * - too_many_requests, kubernetes_failed (5xx, 401), and those of the transport
 *
 * Messages never hold bodies of requests or values of Secrets.
 */
export interface Kubernetes {
  /** Host of the API server, for messages. */
  readonly host: string
  /** That of the pod, or of the context of the kubeconfig; `default` where neither names one. */
  readonly namespace: string
  /** undefined: there is none of that name. */
  get(resource: Resource, ref: Ref, signal: AbortSignal): Promise<KubeObject | undefined>
  /** All of them, page by page, or it throws. */
  list(resource: Resource, scope: Scope, signal: AbortSignal): Promise<Listed>
  create(
    resource: Resource,
    object: KubeObject,
    signal: AbortSignal,
    options?: { dryRun?: boolean },
  ): Promise<KubeObject>
  /** Server-side apply as field manager `runtime-agent`; `force` takes fields over from other managers. */
  apply(
    resource: Resource,
    object: KubeObject,
    signal: AbortSignal,
    options?: { force?: boolean; dryRun?: boolean },
  ): Promise<KubeObject>
  /**
   * JSON merge patch: what is not named stays as it is, null removes. With metadata.resourceVersion in it, only that
   * version is changed.
   */
  merge(
    resource: Resource,
    ref: Ref,
    patch: Record<string, unknown>,
    signal: AbortSignal,
    options?: { dryRun?: boolean },
  ): Promise<KubeObject>
  /** Replaces the whole object; its metadata.resourceVersion is the precondition. */
  replace(resource: Resource, object: KubeObject, signal: AbortSignal): Promise<KubeObject>
  /** False when it was gone already. Background propagation. */
  remove(
    resource: Resource,
    ref: Ref,
    preconditions: { uid?: string; resourceVersion?: string },
    signal: AbortSignal,
  ): Promise<boolean>
  /**
   * Begins with `listed`, goes on with each change, and ends by throwing when the connection or the right is lost, or
   * when the signal is aborted (then without an error). Resumes by itself only where nothing can be missed.
   */
  watch(resource: Resource, scope: Scope, signal: AbortSignal): AsyncIterable<WatchEvent>
  /** Those of the rights that we do not have (SelfSubjectAccessReview). */
  denied(rights: readonly Access[], signal: AbortSignal): Promise<Access[]>
  close(): Promise<void>
}

/** How the API is reached. */
export type KubernetesOptions = {
  /** Path of a kubeconfig; missing: the service account of the pod, else $KUBECONFIG. */
  kubeconfig?: string
  context?: string
  version: string
  /** Its bearer token instead of the one configured; for tests. */
  token?: Secret
}

export const SECRETS: Resource = core('secrets', 'Secret')
export const CONFIG_MAPS: Resource = core('configmaps', 'ConfigMap')
export const PODS: Resource = core('pods', 'Pod')
export const LEASES: Resource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
}
export const APPLICATIONS: Resource = {
  group: 'applicationconnector.kyma-project.io',
  version: 'v1alpha1',
  plural: 'applications',
  kind: 'Application',
  namespaced: false,
}
export const COMPASS_CONNECTIONS: Resource = {
  group: 'compass.kyma-project.io',
  version: 'v1alpha1',
  plural: 'compassconnections',
  kind: 'CompassConnection',
  namespaced: false,
}

function core(plural: string, kind: string): Resource {
  return { group: '', version: 'v1', plural, kind, namespaced: true }
}

/** `<group>/<version>`, or `v1`. */
export function apiVersionOf({ group, version }: Resource): string {
  return group === '' ? version : `${group}/${version}`
}
