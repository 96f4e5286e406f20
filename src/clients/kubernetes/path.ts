import type { Ref, Resource } from './api.ts'
import { apiVersionOf } from './api.ts'

/** What of a resource a request is about: one object, or all of one namespace or of the cluster. */
export type Place = { namespace?: string | undefined; name?: string | undefined }

/** The path below the API server's address. */
export function pathOf(resource: Resource, { namespace, name }: Place): string {
  const root = resource.group === '' ? '/api/' : '/apis/'
  const inside = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`
  const one = name === undefined ? '' : `/${encodeURIComponent(name)}`
  return `${root}${apiVersionOf(resource)}${inside}/${resource.plural}${one}`
}

/** `?a=b&c=d` of the values that are there; empty when there is none. */
export function queryOf(values: Record<string, string | number | boolean | undefined>): string {
  const pairs = Object.entries(values)
    .filter(([, value]) => value !== undefined && value !== '' && value !== false)
    .map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`)
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

/** As messages name it: `Secret team-a/orders`, `Application crm`. */
export function nameOf(resource: Resource, { namespace, name }: Ref): string {
  return `${resource.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`
}

/** As messages name many: `secrets in namespace team-a`, `applications`. */
export function manyOf(resource: Resource, namespace: string | undefined): string {
  return `${resource.plural}${namespace === undefined ? '' : ` in namespace ${namespace}`}`
}
