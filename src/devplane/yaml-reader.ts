import { nearest } from '../config/nearest.ts'
import type { MapEntry, YamlNode } from '../config/yaml.ts'

/** What is wrong, and where in the text. */
export type ReadProblem = { offset: number; path: string; message: string }

/** One value that is read: its node and how a person names its place, for example `applications[0].name`. */
export type At = { node: YamlNode; path: string }

/** Reads values out of a YAML tree, and lists all that does not fit instead of stopping at the first. */
export class YamlReader {
  readonly problems: ReadProblem[] = []

  /** Adds a problem of one value. */
  report(at: At, message: string): void {
    if (!at.node.broken) {
      this.problems.push({ offset: at.node.offset, path: at.path, message })
    }
  }

  /** The members of a section; unknown keys are reported. Missing and empty are an empty section. */
  section(at: At | undefined, keys: readonly string[]): (key: string) => At | undefined {
    if (at === undefined || isNothing(at.node)) return () => undefined
    if (at.node.kind !== 'map') {
      this.report(at, `found ${kindOf(at.node)}, want a section with ${keys.join(', ')}`)
      return () => undefined
    }
    const { entries } = at.node
    for (const [key, entry] of entries) {
      if (!keys.includes(key)) this.#unknownKey(at, key, entry, keys)
    }
    return (key) => {
      const node = entries.get(key)?.node
      if (node === undefined || isNothing(node)) return undefined
      return { node, path: at.path === '' ? key : `${at.path}.${key}` }
    }
  }

  #unknownKey(at: At, key: string, entry: MapEntry, keys: readonly string[]): void {
    const meant = nearest(key, keys)
    const hint = meant === undefined ? `known are ${keys.join(', ')}` : `did you mean "${meant}"?`
    const node = { ...entry.node, offset: entry.keyOffset }
    this.report({ node, path: at.path }, `unknown key "${key}", ${hint}`)
  }

  /** Text; numbers and booleans are taken as they are written. */
  text(at: At | undefined): string | undefined {
    if (at === undefined) return undefined
    if (at.node.kind === 'scalar') return at.node.text
    this.report(at, `found ${kindOf(at.node)}, want text`)
    return undefined
  }

  /** Text that must be there and not be empty. `owner` is where it would stand. */
  required(at: At | undefined, owner: At, key: string): string {
    const text = this.text(at)
    if (text === undefined && at === undefined) this.report(owner, `${key} is missing`)
    if (text === '' && at !== undefined) this.report(at, 'found empty text, want some')
    return text ?? ''
  }

  flag(at: At | undefined): boolean | undefined {
    if (at === undefined) return undefined
    if (at.node.kind === 'scalar' && typeof at.node.value === 'boolean') return at.node.value
    this.report(at, `found ${kindOf(at.node)}, want true or false`)
    return undefined
  }

  /** Each item of a list, read by `read`. Missing is an empty list. */
  list<T>(at: At | undefined, read: (item: At) => T): T[] {
    if (at === undefined) return []
    if (at.node.kind !== 'list') {
      this.report(at, `found ${kindOf(at.node)}, want a list`)
      return []
    }
    return at.node.items.map((node, index) => read({ node, path: `${at.path}[${index}]` }))
  }

  /** A list of texts; one text alone counts as a list of one. */
  texts(at: At | undefined): string[] {
    if (at?.node.kind === 'scalar') return [at.node.text]
    return this.list(at, (item) => this.text(item) ?? '')
  }

  /** Names with one text or a list of texts each. */
  multimap(at: At | undefined): Record<string, string[]> | undefined {
    if (at === undefined) return undefined
    if (at.node.kind !== 'map') {
      this.report(at, `found ${kindOf(at.node)}, want names with values`)
      return undefined
    }
    const members = [...at.node.entries].map(([key, { node }]): [string, string[]] => [
      key,
      this.texts({ node, path: `${at.path}.${key}` }),
    ])
    return Object.fromEntries(members)
  }

  /** Names with any values, as JSON. */
  record(at: At | undefined): Record<string, unknown> {
    if (at === undefined) return {}
    if (at.node.kind === 'map') return toObject(at.node.entries)
    this.report(at, `found ${kindOf(at.node)}, want names with values`)
    return {}
  }
}

/** The plain value of a node. */
export function toJson(node: YamlNode): unknown {
  switch (node.kind) {
    case 'scalar':
      return node.value
    case 'list':
      return node.items.map(toJson)
    case 'map':
      return toObject(node.entries)
  }
}

function toObject(entries: Map<string, MapEntry>): Record<string, unknown> {
  return Object.fromEntries([...entries].map(([key, { node }]) => [key, toJson(node)]))
}

function isNothing(node: YamlNode): boolean {
  return node.kind === 'scalar' && node.value === null && node.plain
}

function kindOf(node: YamlNode): string {
  if (node.kind === 'list') return 'a list'
  if (node.kind === 'map') return 'a section'
  return node.text === '' ? 'nothing' : JSON.stringify(node.text.slice(0, 40))
}
