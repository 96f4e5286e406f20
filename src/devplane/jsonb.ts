import { isObject } from './graphql.ts'

/**
 * JSON as PostgreSQL's `jsonb` writes it, for that is what comes back of a context: a blank behind each comma and colon,
 * keys in the order of their length and then their bytes.
 */
export function jsonbText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jsonbText).join(', ')}]`
  if (!isObject(value)) return JSON.stringify(value)
  const members = Object.entries(value)
    .sort(([a], [b]) => a.length - b.length || (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}: ${jsonbText(member)}`)
  return `{${members.join(', ')}}`
}
