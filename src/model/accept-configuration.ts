import type { ConfigObject } from './config-value.ts'
import { documentOf } from './configuration-document.ts'
import type { Refusal } from './configuration.ts'
import { whyRefused } from './configuration-policy.ts'
import type { AllowRow, Identified } from './configuration-policy.ts'
import { AgentError, problem } from './problem.ts'
import type { Code } from './problem.ts'
import type { ConfigDocument } from './target.ts'

/** The part of agent.yaml's `configuration` that says what is let in, and what is secret in it. */
export type AcceptRules = {
  allow: readonly AllowRow[]
  /** Patterns of names whose inline values become secrets. */
  secrets: readonly string[]
}

export type Accepted = {
  /** By id. */
  documents: ConfigDocument[]
  refused: Refusal[]
  /** What was filled in, for the log. */
  notes: string[]
}

/** More is a mistake or worse, and would fill status and log with refusals. */
const MOST_ITEMS = 2_000

/**
 * Turns `data` of the Runtime Director into documents that may be applied (reference/runtime-director.md §4). Pure. What
 * one item is refused for keeps no other from being applied.
 *
 * @throws AgentError configuration_unknown_shape, configuration_too_large: then nothing of it is used
 */
export function acceptConfiguration(data: unknown, rules: AcceptRules): Accepted {
  const items = itemsOf(data)
  const unclear: number[] = []
  const refused: Refusal[] = []
  const allowed: { item: Record<string, unknown>; it: Identified }[] = []
  for (const [index, item] of items.entries()) {
    const it = identify(item)
    if (it === undefined || !isMapping(item)) {
      unclear.push(index)
      continue
    }
    const why = whyRefused(it, rules.allow)
    if (why === undefined) allowed.push({ item, it })
    else refused.push({ problem: refusal('configuration_refused', it, why) })
  }
  const times = countBy(allowed.map(({ it }) => idOf(it)))
  const documents = new Map<string, ConfigDocument>()
  const notes: string[] = []
  for (const { item, it } of allowed) {
    const id = idOf(it)
    const bad = judge(item, times.get(id) ?? 1)
    if (bad !== undefined) {
      const keeps = { document: id }
      refused.push({ problem: refusal(bad.code, it, bad.why), keeps })
      continue
    }
    const made = documentOf(item as ConfigObject, it, rules.secrets)
    if (made.note !== undefined) notes.push(`${nameOf(it)} ${made.note}`)
    const { document, restartSelector } = made
    const selector = restartSelector === undefined ? {} : { restartSelector }
    documents.set(id, { id, ...it, document, ...selector })
  }
  const sorted = [...documents.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
  return { documents: sorted, refused: [...unidentified(unclear), ...distinct(refused)], notes }
}

function itemsOf(data: unknown): unknown[] {
  const items = listOf(data)
  if (items === undefined) {
    const found = data === undefined ? 'nothing' : data === null ? 'null' : typeof data
    throw new AgentError(
      'configuration_unknown_shape',
      `Cannot use the configuration: found ${found === 'object' ? 'an object that is no document' : found}, want a document, a list of them, or {resources: [...]}`,
    )
  }
  if (items.length > MOST_ITEMS) {
    throw new AgentError(
      'configuration_too_large',
      `Cannot use the configuration: it has ${items.length} documents, of at most ${MOST_ITEMS}`,
    )
  }
  return items
}

function listOf(data: unknown): unknown[] | undefined {
  if (Array.isArray(data)) return data as unknown[]
  if (!isMapping(data)) return undefined
  if ('apiVersion' in data && 'kind' in data) return [data]
  const { resources } = data
  return Array.isArray(resources) ? resources : undefined
}

const API_VERSION = /^([a-z0-9]([a-z0-9.-]{0,126}[a-z0-9])?\/)?v[a-z0-9]{1,31}$/
const KIND = /^[A-Z][A-Za-z0-9]{0,62}$/
/** A DNS-1123 subdomain, shorter than Kubernetes allows so that it fits into the name of a file. */
const NAME = /^(?=.{1,200}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
const NAMESPACE = /^(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?$/

/** What an item says it is; undefined when that cannot be told. */
function identify(item: unknown): Identified | undefined {
  const { apiVersion, kind, metadata } = isMapping(item) ? item : {}
  const { name, namespace } = isMapping(metadata) ? metadata : {}
  if (!matches(apiVersion, API_VERSION) || !matches(kind, KIND) || !matches(name, NAME))
    return undefined
  if (namespace === undefined || namespace === null || namespace === '')
    return { apiVersion, kind, name }
  return matches(namespace, NAMESPACE) ? { apiVersion, kind, namespace, name } : undefined
}

function matches(value: unknown, pattern: RegExp): value is string {
  return typeof value === 'string' && pattern.test(value)
}

function idOf({ apiVersion, kind, namespace = '', name }: Identified): string {
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : 'core'
  return `${group}/${kind}/${namespace}/${name}`
}

function nameOf({ kind, namespace, name }: Identified): string {
  return `${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`
}

/** Far beyond any document that a person writes, and what a recursion bears. */
const DEEPEST = 32
const MOST_VALUES = 20_000
const LONGEST = 256 * 1024

function judge(item: object, times: number): { code: Code; why: string } | undefined {
  if (times > 1)
    return {
      code: 'configuration_malformed',
      why: `it is there ${times} times, and nobody can tell which one is meant`,
    }
  const why = whyTooLarge(item)
  return why === undefined ? undefined : { code: 'configuration_too_large', why }
}

/** Without recursion: a bomb has a depth that no stack bears. */
function whyTooLarge(item: object): string | undefined {
  let level: unknown[] = [item]
  let values = 0
  let length = 0
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > DEEPEST) return `it is more than ${DEEPEST} levels deep`
    const below: unknown[] = []
    for (const value of level) {
      values += 1
      if (typeof value === 'string') length += value.length
      else if (typeof value === 'object' && value !== null) {
        for (const [key, member] of Object.entries(value)) {
          length += key.length
          below.push(member)
        }
      }
    }
    if (values > MOST_VALUES) return `it has more than ${MOST_VALUES} values`
    if (length > LONGEST) return `it has more than ${LONGEST / 1024} KiB of text`
    level = below
  }
  return undefined
}

function refusal(code: Code, it: Identified, why: string) {
  const name = nameOf(it)
  return problem(code, `Cannot apply ${name} of the configuration: ${why}`, { subject: name })
}

/** One problem for all of them: an answer may hold thousands. */
function unidentified(indexes: readonly number[]): Refusal[] {
  const [first, ...others] = indexes
  if (first === undefined) return []
  const more = others.length === 0 ? '' : ` and ${others.length} more`
  const message = `Cannot apply item ${first + 1}${more} of the configuration: apiVersion, kind, metadata.name or metadata.namespace is missing or no valid name`
  const hint =
    'correct the item in the Runtime Director; until then no document that is there is removed'
  return [{ problem: problem('configuration_malformed', message, { hint }), keeps: 'everything' }]
}

/** Of two items that are there twice one problem is enough. */
function distinct(refused: readonly Refusal[]): Refusal[] {
  const keyOf = ({ problem: { code, message }, keeps }: Refusal) =>
    JSON.stringify([code, message, keeps])
  return [...new Map(refused.map((one) => [keyOf(one), one])).entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, one]) => one)
}

function countBy(keys: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
