import type { Place } from './place.ts'
import type { YamlNode } from './yaml.ts'

/** One thing wrong with agent.yaml (or worth a warning), with its place in the source. Holds no secret. */
export type ConfigProblem = Place & {
  /** The file as the operator named it. */
  file: string
  /** `targets[1].directory`; empty for what concerns the whole file. */
  path: string
  /** `found 7, want a directory path`. */
  message: string
}

/** `agent.yaml:12:5: targets[1].path: found 7, want a directory path`. */
export function formatProblem({ file, line, column, path, message }: ConfigProblem): string {
  return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`
}

/** Keys and indexes from the root on. */
export type NodePath = readonly (string | number)[]

/** A path as people write it. */
export function formatPath(path: NodePath): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`
    if (!WORD.test(step)) return `${text}[${quoted(step)}]`
    return text === '' ? step : `${text}.${step}`
  }, '')
}

const WORD = /^[A-Za-z_][A-Za-z0-9_-]*$/

/**
 * What stands at a place, as it is written there: a variable shows its name, not its value; user and password of a URL
 * are left out.
 */
export function foundAt(node: YamlNode | undefined, show: boolean): string {
  if (node === undefined) return 'missing'
  return `found ${show ? shown(node) : kindOf(node)}`
}

function shown(node: YamlNode): string {
  switch (node.kind) {
    case 'list':
      return node.items.length === 0 ? 'an empty list' : 'a list'
    case 'map': {
      const keys = [...node.entries.keys()]
      if (keys.length === 0) return 'an empty section'
      return keys.length > 5 ? 'a section' : `a section with ${keys.map(word).join(', ')}`
    }
    case 'scalar':
      if (node.value === null && node.plain) return 'nothing'
      return typeof node.value === 'string' ? quoted(node.text) : bare(node.text)
  }
}

function kindOf(node: YamlNode): string {
  if (node.kind !== 'scalar') return node.kind === 'list' ? 'a list' : 'a section'
  if (node.value === null) return 'nothing'
  return typeof node.value === 'string' ? 'text' : `a ${typeof node.value}`
}

function word(key: string): string {
  return WORD.test(key) ? bare(key) : quoted(key)
}

/** In quotes, control characters escaped, so that a message stays one line. */
export function quoted(text: string): string {
  return JSON.stringify(bare(text))
}

function bare(text: string): string {
  const short = text.length > 60 ? `${text.slice(0, 60)}…` : text
  return short.replace(/\/\/\S*@/, '//…@')
}
