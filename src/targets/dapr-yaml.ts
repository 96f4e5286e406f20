import { CORE_SCHEMA, dump, load, YAML11_SCHEMA } from 'js-yaml'
import { isMap } from './dapr-document.ts'
import type { Json, JsonMap } from './dapr-document.ts'

/**
 * One document as text. daprd reads YAML 1.1 and more (`yes`, `012`, `1e3` are no text to it), so every text is in quotes,
 * and so is a key that any version takes for something else.
 */
export function yamlOf(document: JsonMap): string {
  return dump(document, { schema: YAML11_SCHEMA, forceQuotes: true, noRefs: true, lineWidth: -1 })
}

/** Where daprd cuts a file: a line that begins with `---`, whatever follows in it. */
const SEPARATOR = /\n---[^\n]*(?:\n|$)/

/** The documents of a file as text, cut as daprd cuts them. */
export function splitDocuments(text: string): string[] {
  return text.split(SEPARATOR)
}

/** Undefined for what is no mapping or cannot be read. */
export function readDocument(text: string): JsonMap | undefined {
  try {
    const value = load(text.replace(/^---[^\n]*\n/, ''), { schema: CORE_SCHEMA }) as Json
    return isMap(value) ? value : undefined
  } catch {
    // Whoever wrote it sees in daprd's log what is wrong with it.
    return undefined
  }
}

/** What daprd takes for YAML in a directory of resources. */
export function isYamlName(name: string): boolean {
  return /\.ya?ml$/i.test(name)
}
