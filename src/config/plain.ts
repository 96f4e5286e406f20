import type { NodePath } from './problem.ts'
import { substitute } from './substitute.ts'
import type { ScalarNode, YamlNode } from './yaml.ts'

/** What becomes of the tree when variables are replaced: plain values for the schema. */
export type Plain = {
  value: unknown
  problems: { offset: number; path: NodePath; message: string }[]
}

type PlainOptions = {
  /** Missing: `${…}` stays as it is written. */
  env: ((name: string) => string | undefined) | undefined
  /** Paths (as {@link pathKey}) whose replaced text is to be a number or a truth value, because the schema wants one. */
  typed: ReadonlySet<string>
}

/** Names that mean something to every JavaScript object; valibot passes over them in silence. */
const IMPOSSIBLE = ['__proto__', 'constructor', 'prototype']

/** A path as a key of sets. */
export function pathKey(path: NodePath): string {
  return JSON.stringify(path)
}

/** Plain lists, null-prototype objects and scalars of a tree. Each unset variable is a problem at its place. */
export function toPlain(root: YamlNode, options: PlainOptions): Plain {
  const problems: Plain['problems'] = []
  const visit = (node: YamlNode, path: NodePath): unknown => {
    if (node.kind === 'scalar') return scalar(node, path)
    if (node.kind === 'list') return node.items.map((item, index) => visit(item, [...path, index]))
    const object = Object.create(null) as Record<string, unknown>
    for (const [key, entry] of node.entries) {
      const at = [...path, key]
      if (!IMPOSSIBLE.includes(key)) object[key] = visit(entry.node, at)
      else problems.push({ offset: entry.keyOffset, path: at, message: 'this key cannot be used' })
    }
    return object
  }
  const scalar = (node: ScalarNode, path: NodePath): unknown => {
    if (typeof node.value !== 'string' || node.broken || options.env === undefined)
      return node.value
    const { text, problems: found } = substitute(node.value, options.env)
    problems.push(...found.map((message) => ({ offset: node.offset, path, message })))
    const isVariable = text !== node.value
    return isVariable && options.typed.has(pathKey(path)) ? typedValue(text) : text
  }
  return { value: visit(root, []), problems }
}

/** The number or truth value that a variable holds, where one is wanted. */
function typedValue(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^-?\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : text
}
