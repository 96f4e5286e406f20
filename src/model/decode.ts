/** Checks for what was read from a file of ours. They name the place, never the value, which may be a secret. */

export type JsonObject = Record<string, unknown>

/** What was read is not what we write. The message names where. */
export class Malformed extends Error {
  override readonly name = 'Malformed'
}

export function asObject(value: unknown, path: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as JsonObject
  }
  throw new Malformed(`${path} is not an object`)
}

export function asString(value: unknown, path: string): string {
  if (typeof value === 'string') return value
  throw new Malformed(`${path} is not text`)
}

/** A finite number. */
export function asNumber(value: unknown, path: string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw new Malformed(`${path} is not a number`)
}

export function asBoolean(value: unknown, path: string): boolean {
  if (typeof value === 'boolean') return value
  throw new Malformed(`${path} is not true or false`)
}

export type Decoder<T> = (value: unknown, path: string) => T

export function arrayOf<T>(value: unknown, path: string, decode: Decoder<T>): T[] {
  if (!Array.isArray(value)) throw new Malformed(`${path} is not a list`)
  return value.map((item, index) => decode(item, `${path}[${index}]`))
}

export function recordOf<T>(value: unknown, path: string, decode: Decoder<T>): Record<string, T> {
  // Not through assignment: a key may be `__proto__`.
  return Object.fromEntries(
    Object.entries(asObject(value, path)).map(([key, member]) => [
      key,
      decode(member, `${path}.*`),
    ]),
  )
}

/** Undefined stays undefined; null is not what we write and is refused by `decode`. */
export function optional<T>(value: unknown, path: string, decode: Decoder<T>): T | undefined {
  return value === undefined ? undefined : decode(value, path)
}
