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
  if (typeof value !== 'object' || value === null || isOrdered(value)) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = membersOf(value)
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`
}

/**
 * Whether JSON.stringify tells all of a value, members in the order of their names: there is no secret in it, and
 * nothing to be sorted first. A large tenant has 400,000 members, and the executable interprets its code: so it is
 * quicker to look first. `lists: false`: nor is there a list in it.
 */
export function isOrdered(value: object, lists = true): boolean {
  if (value instanceof Secret) return false
  if (Array.isArray(value))
    return (
      lists &&
      value.every((one: unknown) => typeof one !== 'object' || one === null || isOrdered(one))
    )
  let last = ''
  for (const key in value) {
    const member: unknown = value[key as keyof typeof value]
    if (key < last) return false
    if (typeof member === 'object' && member !== null && !isOrdered(member, lists)) return false
    last = key
  }
  return true
}

function membersOf(value: object): [string, unknown][] {
  return Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

/**
 * {@link canonicalJson} in pieces: each entry of a list that is a member of the value is one of its own, so that nobody
 * has to hold the whole text of a large tenant.
 */
export function* canonicalPieces(value: object): Generator<string> {
  yield '{'
  for (const [index, [key, member]] of membersOf(value).entries()) {
    yield `${index === 0 ? '' : ','}${JSON.stringify(key)}:`
    if (Array.isArray(member)) {
      yield '['
      for (const [at, one] of member.entries()) yield `${at === 0 ? '' : ','}${canonicalJson(one)}`
      yield ']'
    } else yield canonicalJson(member)
  }
  yield '}'
}

/** SHA-256 over {@link canonicalJson}. */
export function digestOf(value: unknown): string {
  if (
    value === null ||
    typeof value !== 'object' ||
    Array.isArray(value) ||
    value instanceof Secret
  )
    return sha256(canonicalJson(value))
  const hash = createHash('sha256')
  for (const piece of canonicalPieces(value)) hash.update(piece)
  return hash.digest('hex')
}
