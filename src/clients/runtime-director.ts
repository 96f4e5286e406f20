import { AgentError } from '../model/problem.ts'
import type { Code, Problem } from '../model/problem.ts'
import { formatDuration, SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import type { Call } from './connector.ts'
import { exchange, hostOf } from './http.ts'
import type { Answer, Endpoint, Exchange } from './http.ts'

/**
 * The API from which a runtime gets its configuration (reference/runtime-director.md §2, §7). There is no specification:
 * this is what the proof of concept serves, and what our own server adds to it.
 */
export interface RuntimeDirector {
  /** What the runtime is to have now, whatever shape it has. Throws on anything but a whole answer for this runtime. */
  configuration(runtimeId: string, question: Question, call: Call): Promise<Given>
  /** Tells what came of it. False: this server takes no reports. */
  report(runtimeId: string, report: Report, call: Call): Promise<boolean>
}

export type Question = {
  /** What the last answer was called. */
  etag?: string
  /** With `etag`: the server may take so long to answer, until it has another one. One that cannot wait answers now. */
  wait?: Duration
}

export type Given = 'unchanged' | { data: unknown; etag?: string }

export type Report = {
  etag: string
  state: 'applied' | 'partly' | 'failed'
  problems: Pick<Problem, 'code' | 'message' | 'subject'>[]
}

export type RuntimeDirectorOptions = Pick<Endpoint, 'url' | 'fetch' | 'now' | 'version'> & {
  /** `configuration.maxBytes` */
  maxBytes: number
}

/** For an answer that nobody waits for, and what the way takes beyond a wait. */
const TIME: Duration = 30 * SECOND

export function openRuntimeDirector(options: RuntimeDirectorOptions): RuntimeDirector {
  const endpoint = (runtimeId: string, path: string, time: Duration): Endpoint => {
    const url = new URL(options.url)
    const base = url.pathname.replace(/\/+$/, '')
    url.pathname = `${base}/runtimes/${encodeURIComponent(runtimeId)}${path}`
    return { ...options, url: url.href, limits: { time, bytes: options.maxBytes } }
  }
  return {
    async configuration(runtimeId, { etag, wait = 0 }, { signal }) {
      const at = endpoint(runtimeId, '', TIME + wait)
      const conditional = etag === undefined ? {} : { 'if-none-match': etag }
      const prefer = wait === 0 ? {} : { prefer: `wait=${Math.floor(wait / SECOND)}` }
      const headers = { accept: 'application/json', ...conditional, ...prefer }
      const request = { what: 'read the configuration', method: 'GET', headers, signal }
      const answer = await ask(at, request, options.maxBytes)
      if (answer.status === 304 && etag !== undefined) return 'unchanged'
      return givenBy(answer, runtimeId, `Cannot ${request.what} at ${hostOf(at.url)}`)
    },
    async report(runtimeId, report, { signal }) {
      const at = endpoint(runtimeId, '/report', TIME)
      const headers = { 'content-type': 'application/json' }
      const body = JSON.stringify(report)
      const request = { what: 'report', method: 'POST', headers, body, signal }
      const answer = await ask(at, request, options.maxBytes)
      if (answer.status >= 200 && answer.status < 300) return true
      if ([404, 405, 501].includes(answer.status)) return false
      throw refusal(answer, `Cannot ${request.what} at ${hostOf(at.url)}`)
    },
  }
}

async function ask(at: Endpoint, request: Exchange, maxBytes: number): Promise<Answer> {
  try {
    return await exchange(at, request)
  } catch (thrown) {
    if (!(thrown instanceof AgentError) || thrown.code !== 'answer_too_large') throw thrown
    const cannot = `Cannot ${request.what} at ${hostOf(at.url)}`
    const message = `${cannot}: the answer is longer than the ${maxBytes} bytes of configuration.maxBytes`
    throw new AgentError('configuration_too_large', message, { detail: thrown.detail })
  }
}

/** What is no whole answer for this runtime changes nothing: a captive page, a cut body, somebody else's data. */
function givenBy(answer: Answer, runtimeId: string, cannot: string): Given {
  if (answer.status !== 200) throw refusal(answer, cannot)
  const malformed = (why: string): AgentError =>
    new AgentError('answer_malformed', `${cannot}: ${why}`, { detail: { status: 200 } })
  const body = parse(answer.body)
  if (body === undefined) throw malformed(`the answer is ${kindOf(answer)}`)
  const { id, data } = body
  if (typeof id !== 'string') throw malformed('the answer names no runtime')
  if (id.toLowerCase() !== runtimeId.toLowerCase())
    throw malformed('the answer is for another runtime')
  return { data, ...(answer.etag === undefined ? {} : { etag: answer.etag }) }
}

/** Undefined: no JSON object. Errors of JSON quote what they read, which may be a secret. */
function parse(body: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? { ...value } : undefined
  } catch {
    return undefined
  }
}

function kindOf({ body, mediaType }: Answer): string {
  if (body.byteLength === 0) return 'empty'
  if (mediaType === 'text/html') return 'an HTML page'
  return mediaType.endsWith('json') ? 'cut or no JSON object' : 'no JSON object'
}

function refusal(answer: Answer, cannot: string): AgentError {
  const { status, retryAfter } = answer
  const [code, why] = causeOf(answer)
  return new AgentError(code, `${cannot}: ${why}`, { retryAfter, detail: { status } })
}

function causeOf({ status, retryAfter }: Answer): [Code, string] {
  const said = `the answer was HTTP ${status}`
  if (status === 401 || status === 403)
    return ['runtime_director_refused', `it does not let this certificate in (HTTP ${status})`]
  if (status === 404) return ['runtime_unknown', 'it does not know this runtime (HTTP 404)']
  if (status === 407) return ['proxy_failed', 'the proxy wants other credentials (HTTP 407)']
  if (status === 408 || status === 504) return ['timed_out', said]
  if (status === 429) {
    const wait = retryAfter === undefined ? '' : ` for ${formatDuration(retryAfter)}`
    return ['too_many_requests', `it asks to slow down${wait} (HTTP 429)`]
  }
  return [status >= 500 ? 'server_failed' : 'answer_malformed', said]
}
