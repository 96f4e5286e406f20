import { arrayOf, asNumber, asObject, asString, Malformed } from '../model/decode.ts'
import { readText } from '../runtime/files.ts'
import { join } from '../runtime/path.ts'
import type { HookResult } from './hook-command.ts'

/*
 * How the agent has commands run by root (docs/systemd.md, reference/vm.md §6). Two directories, each written by one side:
 *
 *   <state>/hooks/<target>-<n>.json                      the agent's: which command for which changed bindings
 *   /var/lib/runtime-agent-hooks/<target>-<hook>.json    root's: what came of the last request for a command
 *
 * The agent notes the name of a request in its journal, writes it, and looks until the outcome names it. Root writes that
 * it begins, runs the command, writes the outcome, and removes the request. So a request without outcome is run (again),
 * one with an outcome is only removed, and one that is gone without an outcome was refused, or is written again. A request
 * holds no command: root looks the hook up in its own agent.yaml.
 */

/** What the agent asks for. */
export type HookRequest = { hook: string; names: string[] }

/** What root says of the last request for a hook. */
export type HookOutcome = {
  /** Name of the file of the request. */
  request: string
  /** Missing: it was begun. */
  result?: HookResult
}

const VERSION = 1
const REQUEST = /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)-(\d{1,16})\.json$/
const HOOK = /^[0-9a-f]{16}$/
/** A binding, or `config/` and the name of a document. Nothing that a command could take for an option. */
const CHANGED = /^(?:[a-z0-9][a-z0-9-]{0,62}|config(?:\/[a-z0-9][a-z0-9.-]{0,252}){1,3})$/

export function requestName(target: string, number: number): string {
  return `${target}-${number}.json`
}

/** The parts of a name that a request may have. */
export function parseRequestName(name: string): { target: string; number: number } | undefined {
  const [, target, digits] = REQUEST.exec(name) ?? []
  return target === undefined ? undefined : { target, number: Number(digits) }
}

export function encodeRequest({ hook, names }: HookRequest): string {
  return `${JSON.stringify({ version: VERSION, hook, names })}\n`
}

/** Throws Malformed for anything else than what the agent writes. */
export function decodeRequest(text: string): HookRequest {
  const json = asObject(parseJson(text), 'request')
  if (json['version'] !== VERSION) throw new Malformed('version is another one')
  const hook = matching(json['hook'], 'hook', HOOK)
  return { hook, names: arrayOf(json['names'], 'names', (v, at) => matching(v, at, CHANGED)) }
}

/** The parser's own message would quote what it did not like. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Malformed('it is no JSON')
  }
}

function matching(value: unknown, at: string, form: RegExp): string {
  const text = asString(value, at)
  if (!form.test(text)) throw new Malformed(`${at} has another form`)
  return text
}

/** Where root tells of a hook; the name of the target must be one of agent.yaml or of {@link parseRequestName}. */
export function outcomePath(outcomes: string, target: string, hook: string): string {
  return join(outcomes, `${target}-${hook}.json`)
}

export function encodeOutcome({ request, result }: HookOutcome): string {
  const { code, killed } = result ?? {}
  return `${JSON.stringify({ version: VERSION, request, code, killed })}\n`
}

const OUTCOME_LIMIT = 4096

/** Undefined: there is none, or none that can be understood. */
export async function readOutcome(path: string): Promise<HookOutcome | undefined> {
  const text = await readText(path, OUTCOME_LIMIT)
  if (text === undefined) return undefined
  try {
    const json = asObject(JSON.parse(text) as unknown, 'outcome')
    const request = asString(json['request'], 'request')
    if (json['code'] === undefined) return { request }
    const code = asNumber(json['code'], 'code')
    return { request, result: { code, ...(json['killed'] === 'timeout' && { killed: 'timeout' }) } }
  } catch {
    return undefined
  }
}
