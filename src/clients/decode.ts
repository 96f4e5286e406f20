import { Secret } from '../model/secret.ts'

/**
 * Hand-written decoding of answers: a {@link Json} is a value together with the place where it stood, so that what does
 * not fit is named exactly (`applicationsForRuntime.data[3].name: found null, want a string`). The place is turned to
 * text only when something does not fit, and found values are never in it: they may be secrets.
 *
 * A schema library was tried and dropped: its copies cost 100 MB on an answer of 20 MB.
 */
export class Json {
  readonly value: unknown
  readonly #key: string | number
  readonly #parent: Json | undefined

  constructor(value: unknown, key: string | number = '', parent?: Json) {
    this.value = value
    this.#key = key
    this.#parent = parent
  }

  /** A member that must be an object. */
  object(key: string): Json {
    const member = this.#member(key)
    if (!isObject(member)) throw this.#unexpected(key, member, 'an object')
    return new Json(member, key, this)
  }

  /** A member that may be null or missing, else must be an object. */
  objectOrNone(key: string): Json | undefined {
    const member = this.#member(key)
    return member === null || member === undefined ? undefined : this.object(key)
  }

  /** A member that must be a list of objects. */
  list(key: string): Json[] {
    const member = this.#member(key)
    if (!Array.isArray(member)) throw this.#unexpected(key, member, 'a list')
    const list = new Json(member, key, this)
    return member.map((entry: unknown, index) => {
      if (!isObject(entry)) throw list.#unexpected(index, entry, 'an object')
      return new Json(entry, index, list)
    })
  }

  /** As {@link list}; null or missing is an empty one. */
  listOrNone(key: string): Json[] {
    const member = this.#member(key)
    return member === null || member === undefined ? [] : this.list(key)
  }

  /** A member that must be a string. */
  text(key: string): string {
    const member = this.#member(key)
    if (typeof member !== 'string') throw this.#unexpected(key, member, 'a string')
    return member
  }

  /** A member that may be null or missing, else must be a string. */
  textOrNone(key: string): string | undefined {
    const member = this.#member(key)
    return member === null || member === undefined ? undefined : this.text(key)
  }

  /** A string that must never be printed. */
  secret(key: string): Secret {
    return new Secret(this.text(key))
  }

  /** A member that must be a whole number of at least 0. */
  count(key: string): number {
    const member = this.#member(key)
    if (typeof member !== 'number' || !Number.isSafeInteger(member) || member < 0) {
      throw this.#unexpected(key, member, 'a whole number of at least 0')
    }
    return member
  }

  /** A member that must be true or false. */
  flag(key: string): boolean {
    const member = this.#member(key)
    if (typeof member !== 'boolean') throw this.#unexpected(key, member, 'true or false')
    return member
  }

  /** A member that may be null or missing, else must be true or false. */
  flagOrNone(key: string): boolean | undefined {
    const member = this.#member(key)
    return member === null || member === undefined ? undefined : this.flag(key)
  }

  /** An object of any JSON (labels), as it is; null or missing is an empty one. */
  record(key: string): Record<string, unknown> {
    const member = this.#member(key)
    if (member === null || member === undefined) return {}
    if (!isObject(member)) throw this.#unexpected(key, member, 'an object')
    if (isDeep(member)) throw this.#unexpected(key, member, `one nested at most ${DEEPEST} deep`)
    return member
  }

  /** Any JSON, which must be there. */
  any(key: string): unknown {
    const member = this.#member(key)
    if (member === undefined) throw this.#unexpected(key, member, 'a value')
    return member
  }

  /** Names with lists of strings (headers, query parameters); missing when null. Go gives null for an empty list. */
  multimapOrNone(key: string): Record<string, Secret[]> | undefined {
    const map = this.objectOrNone(key)
    if (map === undefined || !isObject(map.value)) return undefined
    const entries = Object.entries(map.value).map(([name, values]): [string, Secret[]] => {
      if (values === null) return [name, []]
      if (!Array.isArray(values)) throw map.#unexpected(name, values, 'a list of strings')
      const list = new Json(values, name, map)
      return [name, values.map((value: unknown, index) => list.#secretAt(index, value))]
    })
    // Sorted, so that equal maps make equal files. Not by assignment: a header may be called `__proto__`.
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** An error that names this member: what was found (its kind, never its value) and what is wanted. */
  unfit(key: string, want: string): UnfitAnswer {
    return this.#unexpected(key, this.#member(key), want)
  }

  #secretAt(index: number, value: unknown): Secret {
    if (typeof value !== 'string') throw this.#unexpected(index, value, 'a string')
    return new Secret(value)
  }

  #member(key: string): unknown {
    const { value } = this
    if (!isObject(value)) throw this.#unexpectedHere('an object')
    return value[key]
  }

  #unexpectedHere(want: string): UnfitAnswer {
    return new UnfitAnswer(`${this.#path()}: found ${kindOf(this.value)}, want ${want}`)
  }

  #unexpected(key: string | number, found: unknown, want: string): UnfitAnswer {
    const place = new Json(found, key, this)
    return place.#unexpectedHere(want)
  }

  #path(): string {
    if (this.#parent === undefined) return this.#key === '' ? 'data' : String(this.#key)
    if (typeof this.#key === 'number') return `${this.#parent.#path()}[${this.#key}]`
    const name = /^[\w-]{1,60}$/.test(this.#key) ? this.#key : '(another name)'
    return this.#parent.#parent === undefined ? name : `${this.#parent.#path()}.${name}`
  }
}

/** An answer that is not what was asked for. The message names the place and never a value. */
export class UnfitAnswer extends Error {
  override readonly name = 'UnfitAnswer'
}

/** What is compared, hashed and printed later is gone through by recursion: some thousand levels would be too many. */
const DEEPEST = 200

function isDeep(value: unknown, levels = DEEPEST): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((member) => isDeep(member, levels - 1))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (value === '') return 'an empty string'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'boolean') return 'true or false'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
