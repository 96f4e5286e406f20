import { AgentError } from '../../model/problem.ts'
import type { Access, Kubernetes } from './api.ts'

/** All of these rights that are missing, as one failure that names them; undefined: none is. */
export async function missingRights(
  kubernetes: Kubernetes,
  rights: readonly Access[],
  signal: AbortSignal,
): Promise<AgentError | undefined> {
  const denied = await kubernetes.denied(rights, signal)
  return denied.length === 0 ? undefined : lackOf(denied)
}

/** The failure that names these rights: verbs of one object together, then objects with the same verbs. */
export function lackOf(denied: readonly Access[]): AgentError {
  const byObject = groups(denied, objectOf, ({ verb }) => verb)
  const byVerbs = groups(
    [...byObject],
    ([, verbs]) => verbs.join(', '),
    ([object]) => object,
  )
  const list = [...byVerbs].map(([verbs, objects]) => `${verbs} ${shown(objects)}`).join('; ')
  return new AgentError(
    'kubernetes_forbidden',
    `Cannot work in this cluster: the service account may not ${list}`,
  )
}

const SHOWN = 4

function shown(objects: readonly string[]): string {
  const rest = objects.length - SHOWN
  const first = objects.slice(0, SHOWN).join(', ')
  return rest > 0 ? `${first} and ${rest} more` : first
}

/** `secrets kyma-system/one`, `pods in kyma-system`, `nodes`. */
function objectOf({ resource, namespace, name }: Access): string {
  const kind = resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`
  if (name === undefined) return namespace === undefined ? kind : `${kind} in ${namespace}`
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`
}

function groups<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  valueOf: (item: T) => string,
): Map<string, string[]> {
  const found = new Map<string, Set<string>>()
  for (const item of items) {
    const key = keyOf(item)
    found.set(key, (found.get(key) ?? new Set()).add(valueOf(item)))
  }
  return new Map([...found].map(([key, values]) => [key, [...values]]))
}
