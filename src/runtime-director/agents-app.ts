import { COMMON_NAME, RUNTIME_ID } from '../config/desired.ts'
import { parseSubject } from '../identity/subject.ts'
import { AgentError } from '../model/problem.ts'
import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { plainResponse } from '../runtime/listen-adapter.ts'
import type { Handler, PeerCertificate } from '../runtime/listen.ts'
import { parseJson, readBody } from '../web/body.ts'
import { matchesEtag } from '../web/etag.ts'
import { preferredWait } from '../web/prefer.ts'
import type { Counters } from './counters.ts'
import { admitFirst } from './identities.ts'
import type { Keeper } from './keeper.ts'
import type { LiveLoop } from './live.ts'
import { readReport } from './reports.ts'
import type { Reports } from './reports.ts'
import type { Seen } from './seen.ts'
import type { Answer } from './view.ts'
import type { Waiters } from './waiters.ts'

/** What agents are answered with. */
export type AgentsDeps = {
  keeper: Keeper
  clock: Clock
  live: LiveLoop
  waiters: Waiters
  seen: Seen
  reports: Reports
  counters: Counters
  firstUse: boolean
}

const LONGEST_WAIT: Duration = 60 * SECOND
const MAX_REPORT = 64 * 1024
const JSON_TYPE = 'application/json;charset=UTF-8'

/** What is asked, without the request: ten thousand of them wait at the same time. */
type Asked = { id: string; cn: string | undefined; etag: string | undefined; wait: Duration }

/**
 * What agents ask, over mutual TLS that ends in this process: who asks is the common name of the certificate of the connection,
 * and no header can say otherwise. Errors are text, as those of the proof of concept were.
 *
 * Without Hono, which keeps 4 kB for each request that waits.
 */
export function agentsHandler(deps: AgentsDeps): Handler {
  const names = new WeakMap<PeerCertificate, string>()
  const nameOf = (certificate: PeerCertificate | undefined): string | undefined => {
    if (certificate?.authorized !== true) return undefined
    const known = names.get(certificate) ?? commonNameOf(certificate.subject)
    if (known !== undefined) names.set(certificate, known)
    return known
  }
  return (request, { certificate }) => {
    deps.counters.add('requests')
    try {
      const answer = route(deps, request, nameOf(certificate))
      return answer instanceof Promise ? answer.catch(trouble) : answer
    } catch (thrown) {
      return trouble(thrown)
    }
  }
}

/** `https://host/path?query` to its path. Only what has a path and a host gets here. */
const PATH = /^https?:\/\/[^/]*(\/[^?#]*)/
const ROUTE = /^\/runtimes(?:\/([^/]+)(\/report)?)?$/

function route(
  deps: AgentsDeps,
  request: Request,
  cn: string | undefined,
): Response | Promise<Response> {
  const found = ROUTE.exec(PATH.exec(request.url)?.[1] ?? '')
  const [, id, reports] = found ?? []
  if (found === null) return text('Not found; there is /runtimes/{id}', 404)
  const { method, headers } = request
  const wanted = reports === undefined ? 'GET' : 'POST'
  if (method !== wanted && !(method === 'HEAD' && wanted === 'GET'))
    return text(`Only ${wanted} is served here`, 405, { allow: wanted })
  if (id === undefined) return list(deps, cn)
  if (reports !== undefined) return report(deps, request, { id, cn })
  return one(deps, {
    ...{ id, cn, etag: headers.get('if-none-match') ?? undefined },
    wait: preferredWait(headers.get('prefer') ?? undefined, LONGEST_WAIT),
  })
}

/** The one common name of a subject; undefined when there is none, more than one, or one that nobody could type. */
function commonNameOf(subject: string): string | undefined {
  try {
    const [name, ...more] = parseSubject(subject).filter(({ type }) => type === 'CN')
    if (name === undefined || more.length > 0) return undefined
    return COMMON_NAME.test(name.value) ? name.value : undefined
  } catch {
    return undefined
  }
}

function list({ live, seen }: AgentsDeps, cn: string | undefined): Response {
  const runtime = cn === undefined ? undefined : live.ownerOf(cn)
  if (cn === undefined || runtime === undefined) return refuse('the runtimes', cn)
  seen.served(runtime, cn)
  const answer = live.answer(runtime)
  const headers = { 'content-type': JSON_TYPE, 'cache-control': 'no-store' }
  return plainResponse(200, headers, answer === undefined ? '[]' : `[${answer.body}]`)
}

function one(deps: AgentsDeps, asked: Asked): Response | Promise<Response> {
  const { live } = deps
  const { id, cn } = asked
  if (cn === undefined || !RUNTIME_ID.test(id)) return refuse(`runtime ${shown(id)}`, cn)
  const owner = live.ownerOf(cn)
  if (owner === id) return admitted(deps, { ...asked, cn })
  if (owner !== undefined) return refuse(`runtime ${id}`, cn)
  return unknown(deps, { ...asked, cn })
}

type Admitted = Asked & { cn: string }

function admitted(deps: AgentsDeps, asked: Admitted): Response | Promise<Response> {
  const { id, cn, etag, wait } = asked
  const answer = deps.live.answer(id)
  if (answer === undefined || wait === 0 || !matchesEtag(etag, answer.etag))
    return answered(deps, asked, answer)
  return deps.waiters.wait(id, { etag: answer.etag, cn }, wait).then(() => {
    // The certificate may have been dismissed meanwhile.
    if (deps.live.ownerOf(cn) !== id) return refuse(`runtime ${id}`, cn)
    return answered(deps, asked, deps.live.answer(id))
  })
}

function answered(
  { seen, counters }: AgentsDeps,
  { id, cn, etag, wait }: Admitted,
  answer: Answer | undefined,
): Response {
  seen.served(id, cn)
  if (answer === undefined) return text(`Cannot find runtime ${id}`, 404)
  const headers: Record<string, string> = {
    ...{ etag: `"${answer.etag}"`, 'cache-control': 'private, no-cache' },
    ...(wait > 0 ? { 'preference-applied': 'wait' } : {}),
  }
  if (matchesEtag(etag, answer.etag)) {
    counters.add('unchanged')
    return plainResponse(304, headers)
  }
  counters.add('sent')
  return plainResponse(200, { ...headers, 'content-type': JSON_TYPE }, answer.body)
}

/** A certificate that nobody has admitted: the first one of a runtime, or one that waits for a person. */
async function unknown(deps: AgentsDeps, asked: Admitted): Promise<Response> {
  const { id, cn } = asked
  if (await isFirst(deps, id, cn)) return admitted(deps, asked)
  deps.seen.refused(cn, id)
  return refuse(`runtime ${id}`, cn)
}

async function isFirst(
  { firstUse, live, keeper }: AgentsDeps,
  runtime: string,
  cn: string,
): Promise<boolean> {
  const state = live.newestState()
  const isKnown = state?.runtimes.some(({ id }) => id === runtime) === true
  if (!firstUse || !isKnown || live.hasIdentity(runtime)) return false
  const isAdmitted = await admitFirst(keeper, state, { runtime, cn })
  await live.refresh()
  return isAdmitted
}

async function report(
  deps: AgentsDeps,
  request: Request,
  { id, cn }: Pick<Asked, 'id' | 'cn'>,
): Promise<Response> {
  const { live, reports, clock, counters } = deps
  if (cn === undefined || live.ownerOf(cn) !== id) return refuse(`reports of ${shown(id)}`, cn)
  const body = await readBody(request, MAX_REPORT)
  if ('refused' in body) {
    const why = body.refused === 413 ? `it is larger than ${MAX_REPORT} bytes` : 'it is no text'
    return text(`Cannot take the report: ${why}`, body.refused, { connection: 'close' })
  }
  const found = readReport(parseJson(body.text))
  if (found === undefined)
    return text('Cannot take the report: want {etag, state, problems} as JSON', 400)
  await reports.add({ runtime: id, cn, at: clock.now(), ...found })
  counters.add('reports')
  return plainResponse(204, {})
}

/** One answer for all reasons: whether there is such a runtime is nobody's business who is not admitted. */
function refuse(what: string, cn: string | undefined): Response {
  const who =
    cn === undefined
      ? 'the client certificate has no usable common name'
      : `the client certificate '${cn}' is not admitted for it`
  return text(`Cannot give ${what}: ${who}`, 403)
}

function trouble(thrown: unknown): Response {
  if (!(thrown instanceof AgentError)) return text('Cannot answer: an internal error', 500)
  return text('Cannot answer: the store is in trouble', 503, { 'retry-after': '30' })
}

function text(message: string, status: number, headers: Record<string, string> = {}): Response {
  const type = { 'content-type': 'text/plain; charset=UTF-8' }
  return plainResponse(status, { ...type, ...headers }, `${message}\n`)
}

/** A path may hold anything. */
function shown(id: string): string {
  return RUNTIME_ID.test(id) ? id : '(no id of a runtime)'
}
