import { matchesGlob } from './names.ts'

/** One row of `configuration.allow`: which documents may be applied. */
export type AllowRow = {
  apiVersion: string
  kind: string
  /** Patterns of namespaces that a document may name. One that names none is meant for where the target is, and fits. */
  namespaces: readonly string[]
  /** Patterns. */
  names: readonly string[]
}

/** What a document says it is. */
export type Identified = { apiVersion: string; kind: string; namespace?: string; name: string }

/**
 * Why a document is not let in; undefined when it is. What is never applied comes first: no row lets it in, as whoever
 * may write a Secret, a workload or a role through the Runtime Director rules the cluster.
 */
export function whyRefused(it: Identified, allow: readonly AllowRow[]): string | undefined {
  const never = whyNever(it)
  if (never !== undefined) return never
  const rows = allow.filter(
    ({ apiVersion, kind }) => apiVersion === it.apiVersion && kind === it.kind,
  )
  if (rows.length === 0) return `no row of configuration.allow names ${it.apiVersion} ${it.kind}`
  const named = rows.filter(({ names }) => names.some((pattern) => matchesGlob(pattern, it.name)))
  if (named.length === 0) return 'its name is in no row of configuration.allow'
  const { namespace } = it
  if (namespace === undefined) return undefined
  const placed = named.some(({ namespaces }) =>
    namespaces.some((one) => matchesGlob(one, namespace)),
  )
  return placed ? undefined : `its namespace ${namespace} is in no row of configuration.allow`
}

const CLUSTER = 'a kind without namespace is never applied'
const RIGHTS = 'rights are never applied'
const WEBHOOK = 'what changes or refuses requests to the cluster is never applied'
const WORKLOAD = 'workloads are never applied'

/** By API group, all of its kinds. */
const GROUPS: Readonly<Record<string, string>> = {
  'rbac.authorization.k8s.io': RIGHTS,
  'authorization.k8s.io': RIGHTS,
  'authentication.k8s.io': RIGHTS,
  'certificates.k8s.io': RIGHTS,
  'admissionregistration.k8s.io': WEBHOOK,
  'apiextensions.k8s.io': CLUSTER,
  'apiregistration.k8s.io': CLUSTER,
  'flowcontrol.apiserver.k8s.io': CLUSTER,
  'node.k8s.io': CLUSTER,
  'scheduling.k8s.io': CLUSTER,
  'storage.k8s.io': CLUSTER,
  apps: WORKLOAD,
  batch: WORKLOAD,
  extensions: WORKLOAD,
}

/** Of the core group. */
const CORE: Readonly<Record<string, string>> = {
  Secret: 'Secrets are never applied: inline values of documents become secrets by themselves',
  ServiceAccount: RIGHTS,
  Pod: WORKLOAD,
  PodTemplate: WORKLOAD,
  ReplicationController: WORKLOAD,
  Binding: WORKLOAD,
  Namespace: CLUSTER,
  Node: CLUSTER,
  PersistentVolume: CLUSTER,
  ComponentStatus: CLUSTER,
  List: 'a list inside the list is never applied: give its items',
}

function whyNever({ apiVersion, kind }: Identified): string | undefined {
  const [group = '', version] = apiVersion.split('/')
  const ofKind = version === undefined ? ownOf(CORE, kind) : ownOf(GROUPS, group)
  if (ofKind !== undefined) return ofKind
  // ClusterIssuer, ClusterSecretStore …: operators call what has no namespace so.
  if (/^Cluster/.test(kind)) return CLUSTER
  return kind === 'IngressClass' ? CLUSTER : undefined
}

function ownOf(table: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined
}
