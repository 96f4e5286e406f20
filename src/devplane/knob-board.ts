import { nearest } from '../config/nearest.ts'
import { AgentError } from '../model/problem.ts'
import { isObject } from './graphql.ts'
import {
  isKnobName,
  KNOB_NAMES,
  KNOBS,
  SCOPES,
  type KnobName,
  type KnobValues,
  type Scope,
} from './knobs.ts'

/** A knob that is turned for some requests only: `{count: 2}` is the next two, `{skip: 1, count: 1}` the one after the next. */
export type KnobRule<V> = {
  /** The row's standard value when missing. */
  value?: V
  operation?: Scope | Scope[]
  skip?: number
  count?: number
}

/** A value, `true` for the standard value, rules, or `false` and `null` to let go. */
export type KnobSetting<V> = V | boolean | null | KnobRule<V> | KnobRule<V>[]

export type KnobSettings = { [K in KnobName]?: KnobSetting<KnobValues[K]> }

/** What is turned for one request. */
export type Taken = { [K in KnobName]?: KnobValues[K] }

type Rule<V> = { value: V; operation?: readonly Scope[]; skip: number; count: number }
type Rules = { [K in KnobName]?: Rule<KnobValues[K]>[] }

/** The knobs of a plane and who they are turned for. */
export class KnobBoard {
  #rules: Rules = {}

  /**
   * Turns the knobs named and leaves the others.
   *
   * @throws AgentError `usage` with all that does not fit; then nothing is turned
   */
  set(settings: Record<string, unknown>): void {
    const problems: string[] = []
    const rules: Rules = { ...this.#rules }
    for (const [name, setting] of Object.entries(settings)) {
      if (isKnobName(name)) setOne(rules, name, setting, problems)
      else problems.push(unknownKnob(name))
    }
    if (problems.length > 0) {
      throw new AgentError('usage', `Cannot turn knobs: ${problems.join('; ')}`)
    }
    this.#rules = rules
  }

  /** Lets go of all knobs. */
  reset(): void {
    this.#rules = {}
  }

  /** What is turned for a request of these scopes, once: counts go down. */
  take(scopes: ReadonlySet<Scope>): Taken {
    const taken: Taken = {}
    for (const name of KNOB_NAMES) takeOne(this.#rules, taken, name, scopes)
    return taken
  }

  /** What a knob is set to for all requests; counts stay. */
  peek<K extends KnobName>(name: K): KnobValues[K] | undefined {
    return this.#rules[name]?.find((rule) => rule.count > 0 && rule.operation === undefined)?.value
  }

  /** The rules that still hold, as JSON. */
  active(): Record<string, unknown> {
    const active: Record<string, unknown> = {}
    for (const name of KNOB_NAMES) {
      const rules = this.#rules[name]?.filter(({ count }) => count > 0) ?? []
      if (rules.length > 0) active[name] = rules.map(describeRule)
    }
    return active
  }
}

function takeOne(rules: Rules, taken: Taken, name: KnobName, scopes: ReadonlySet<Scope>): void {
  for (const rule of rules[name] ?? []) {
    if (rule.count <= 0) continue
    if (rule.operation !== undefined && !rule.operation.some((scope) => scopes.has(scope))) continue
    if (rule.skip > 0) {
      rule.skip -= 1
      continue
    }
    rule.count -= 1
    Object.assign(taken, { [name]: rule.value })
    return
  }
}

function setOne(rules: Rules, name: KnobName, setting: unknown, problems: string[]): void {
  if (setting === false || setting === null || setting === undefined) {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the name is one of the table
    delete rules[name]
    return
  }
  const items: unknown[] = isRuleList(setting) ? setting : [setting]
  const read = items.map((item) => readRule(name, item))
  const good = read.flatMap((rule) => (typeof rule === 'string' ? [] : [rule]))
  problems.push(...read.flatMap((rule) => (typeof rule === 'string' ? [rule] : [])))
  Object.assign(rules, { [name]: good })
}

function isRuleList(setting: unknown): setting is unknown[] {
  return Array.isArray(setting) && setting.length > 0 && setting.every(isRule)
}

const RULE_KEYS = ['value', 'operation', 'skip', 'count']

function isRule(setting: unknown): setting is Record<string, unknown> {
  if (!isObject(setting)) return false
  const keys = Object.keys(setting)
  return keys.length > 0 && keys.every((key) => RULE_KEYS.includes(key))
}

function readRule<K extends KnobName>(name: K, item: unknown): Rule<KnobValues[K]> | string {
  const row = KNOBS[name]
  const rule: Record<string, unknown> = isRule(item) ? item : { value: item }
  const given = rule['value'] ?? true
  const value = row.read(given) ?? (given === true ? row.standard : undefined)
  if (value === undefined) return `${name}: found ${JSON.stringify(given)}, want ${row.wants}`
  const operation = readScopes(rule['operation'])
  if (typeof operation === 'string') return `${name}.operation: ${operation}`
  const skip = readCount(rule['skip'], 0)
  const count = readCount(rule['count'], Number.POSITIVE_INFINITY)
  if (skip === undefined || count === undefined) {
    return `${name}: skip and count want whole numbers from 0 on`
  }
  return { value, skip, count, ...(operation === undefined ? {} : { operation }) }
}

function readScopes(value: unknown): readonly Scope[] | string | undefined {
  if (value === undefined || value === null) return undefined
  const words: unknown[] = Array.isArray(value) ? value : [value]
  const scopes = words.map((word) => SCOPES.find((scope) => scope === word))
  const known = scopes.filter((scope) => scope !== undefined)
  return known.length === words.length ? known : `want ${SCOPES.join(' | ')}`
}

function readCount(value: unknown, standard: number): number | undefined {
  if (value === undefined || value === null) return standard
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined
}

function describeRule(rule: Rule<unknown>): Record<string, unknown> {
  return {
    value: rule.value,
    ...(rule.operation === undefined ? {} : { operation: rule.operation }),
    ...(rule.skip === 0 ? {} : { skip: rule.skip }),
    ...(Number.isFinite(rule.count) ? { count: rule.count } : {}),
  }
}

function unknownKnob(name: string): string {
  const meant = nearest(name, KNOB_NAMES)
  return `unknown knob "${name}", ${meant === undefined ? 'GET /knobs lists them' : `did you mean "${meant}"?`}`
}

/** The table of all knobs as JSON. */
export function knobTable(): Record<string, { takes: string; standard: unknown; help: string }> {
  const rows = KNOB_NAMES.map((name) => {
    const { wants, standard, help } = KNOBS[name]
    return [name, { takes: wants, standard, help }] as const
  })
  return Object.fromEntries(rows)
}

/** The table of all knobs for people. */
export function knobHelp(): string {
  const width = Math.max(...KNOB_NAMES.map((name) => name.length))
  const rows = KNOB_NAMES.map((name) => {
    const { wants, help, standard } = KNOBS[name]
    return `${name.padEnd(width)}  ${help}\n${''.padEnd(width)}  takes ${wants}; true is ${JSON.stringify(standard)}`
  })
  const rule = `PUT /knobs {"NAME": VALUE} or {"NAME": {"value": VALUE, "operation": SCOPE, "skip": 0, "count": 2}}; false lets go
SCOPE: ${SCOPES.join(' ')}\n`
  return `${rule}\n${rows.join('\n')}\n`
}
