import { PODS } from '../clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes, Resource } from '../clients/kubernetes/api.ts'
import { AgentError } from '../model/problem.ts'

const SERVICE_BINDINGS: Resource = {
  group: 'servicebinding.io',
  version: 'v1',
  plural: 'servicebindings',
  kind: 'ServiceBinding',
  namespaced: true,
}

/**
 * Who refers to Secrets of a namespace, by name of the Secret, as in `Pod orders-7d9f`. Where pods or ServiceBindings
 * may not be listed, or there is no such kind, they are left out: a right to look is no right that the agent needs.
 */
export async function usersOfSecrets(
  kubernetes: Kubernetes,
  namespace: string,
  signal: AbortSignal,
): Promise<Map<string, string[]>> {
  const list = (resource: Resource) => listIfPossible(kubernetes, { resource, namespace }, signal)
  const [pods, bindings] = await Promise.all([list(PODS), list(SERVICE_BINDINGS)])
  const users = new Map<string, string[]>()
  const add = (secret: string, user: string): void => {
    users.set(secret, [...(users.get(secret) ?? []), user])
  }
  for (const { metadata, spec } of pods.filter(isAlive))
    for (const secret of secretsOfPod(spec)) add(secret, `Pod ${metadata.name}`)
  for (const { metadata, spec } of bindings) {
    const secret = secretOfBinding(spec)
    if (secret !== undefined) add(secret, `ServiceBinding ${metadata.name}`)
  }
  return users
}

async function listIfPossible(
  kubernetes: Kubernetes,
  { resource, namespace }: { resource: Resource; namespace: string },
  signal: AbortSignal,
): Promise<KubeObject[]> {
  try {
    const { items } = await kubernetes.list(resource, { namespace }, signal)
    return items
  } catch (thrown) {
    const code = thrown instanceof AgentError ? thrown.code : undefined
    if (code === 'kubernetes_forbidden' || code === 'kubernetes_missing') return []
    throw thrown
  }
}

function isAlive({ status }: KubeObject): boolean {
  const phase = member(status, 'phase')
  return phase !== 'Succeeded' && phase !== 'Failed'
}

function secretOfBinding(spec: unknown): string | undefined {
  const service = member(spec, 'service')
  const isSecret = member(service, 'apiVersion') === 'v1' && member(service, 'kind') === 'Secret'
  const name = member(service, 'name')
  return isSecret && typeof name === 'string' ? name : undefined
}

/** Names of the Secrets that a pod (or the template of one) mounts or takes its environment from. */
export function secretsOfPod(spec: unknown): Set<string> {
  const volumes = listOf(spec, 'volumes')
  const containers = ['containers', 'initContainers', 'ephemeralContainers'].flatMap((kind) =>
    listOf(spec, kind),
  )
  const names = [
    ...volumes.map((volume) => member(member(volume, 'secret'), 'secretName')),
    ...volumes
      .flatMap((volume) => listOf(member(volume, 'projected'), 'sources'))
      .map((source) => member(member(source, 'secret'), 'name')),
    ...containers
      .flatMap((container) => listOf(container, 'envFrom'))
      .map((from) => member(member(from, 'secretRef'), 'name')),
    ...containers
      .flatMap((container) => listOf(container, 'env'))
      .map((env) => member(member(member(env, 'valueFrom'), 'secretKeyRef'), 'name')),
  ]
  return new Set(names.filter((name) => typeof name === 'string'))
}

/** A member of what may be anything. */
export function member(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined
}

function listOf(value: unknown, key: string): unknown[] {
  const list: unknown = member(value, key)
  return Array.isArray(list) ? list : []
}
