import { createHash } from 'node:crypto'
import { Secret } from './secret.ts'

/** SHA-256 as 64 lower-case hex characters. The only `node:` import of the model: hashing is pure. */
export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

/** SHA-1 as 40 lower-case hex characters: for names that others make with it, never for trust. */
export function sha1(data: string): string {
  return createHash('sha1').update(data).digest('hex')
}

/**
 * JSON with sorted object keys, so that equal values give equal text. Undefined members are left out.
 *
 * Secrets are revealed: the text is for hashing or for a private file, never for printing.
 */
export function canonicalJson(value: unknown): string {
  if (value instanceof Secret) return JSON.stringify(value.reveal())
  if (value === undefined) return 'null'
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`)
  return `{${members.join(',')}}`
}

/** SHA-256 over {@link canonicalJson}. */
export function digestOf(value: unknown): string {
  return sha256(canonicalJson(value))
}
