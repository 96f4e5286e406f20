import { Secret } from './secret.ts'

/** JSON of a document of the Runtime Director. What is secret in it is a {@link Secret}, so that nobody can print it. */
export type ConfigValue = null | boolean | number | string | Secret | ConfigValue[] | ConfigObject

export type ConfigObject = { [key: string]: ConfigValue }

/** Where a secret is: keys and indexes from the top. */
export type SecretPath = (string | number)[]

/** The plain JSON of a value, secrets in clear: for where it leaves for its purpose, never for printing. */
export function revealed(value: ConfigValue): unknown {
  if (value instanceof Secret) return value.reveal()
  if (Array.isArray(value)) return value.map(revealed)
  return isObject(value) ? mapMembers(value, revealed) : value
}

export function secretPaths(value: ConfigValue, at: SecretPath = []): SecretPath[] {
  if (value instanceof Secret) return [at]
  if (Array.isArray(value)) return value.flatMap((item, index) => secretPaths(item, [...at, index]))
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([key, member]) => secretPaths(member, [...at, key]))
}

/** The reverse of {@link revealed} and {@link secretPaths}. What no path leads to stays as it is. */
export function concealed(value: ConfigValue, paths: readonly SecretPath[]): ConfigValue {
  if (paths.length === 0) return value
  if (typeof value === 'string') return new Secret(value)
  const below = (key: string | number): SecretPath[] =>
    paths.filter(([first]) => first === key).map(([, ...rest]) => rest)
  if (Array.isArray(value)) return value.map((item, index) => concealed(item, below(index)))
  if (!isObject(value)) return value
  return mapMembers(value, (member, key) => concealed(member, below(key))) as ConfigObject
}

function isObject(value: ConfigValue): value is ConfigObject {
  return typeof value === 'object' && value !== null && !(value instanceof Secret)
}

/** Not by assignment: a key may be `__proto__`. */
function mapMembers(
  object: ConfigObject,
  map: (member: ConfigValue, key: string) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([key, member]) => [key, map(member, key)]))
}
