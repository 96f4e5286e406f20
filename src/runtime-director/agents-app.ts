import { Hono } from 'hono'
import type { Context } from 'hono'
import { COMMON_NAME, RUNTIME_ID } from '../config/desired.ts'
import { parseSubject } from '../identity/subject.ts'
import { AgentError } from '../model/problem.ts'
import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
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

type Env = { Bindings: { cn: string | undefined } }
type Asking = Context<Env>

/**
 * What agents ask, over mutual TLS that ends in this process: who asks is the common name of the certificate of the connection,
 * and no header can say otherwise. Errors are text, as those of the proof of concept were.
 */
export function agentsHandler(deps: AgentsDeps): Handler {
  const app = new Hono<Env>()
  app.get('/runtimes', (c) => list(deps, c))
  app.get('/runtimes/:id', (c) => one(deps, c, c.req.param('id')))
  app.post('/runtimes/:id/report', (c) => report(deps, c, c.req.param('id')))
  app.notFound((c) => c.text('Not found; there is /runtimes/{id}\n', 404))
  app.onError((thrown, c) => trouble(c, thrown))
  const names = new WeakMap<PeerCertificate, string>()
  return (request, { certificate }) => {
    let cn = certificate && names.get(certificate)
    if (certificate !== undefined && cn === undefined) {
      cn = certificate.authorized ? commonNameOf(certificate.subject) : undefined
      if (cn !== undefined) names.set(certificate, cn)
    }
    deps.counters.add('requests')
    return app.fetch(request, { cn })
  }
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

function list({ live, seen }: AgentsDeps, c: Asking): Response {
  const { cn } = c.env
  const runtime = cn === undefined ? undefined : live.ownerOf(cn)
  if (cn === undefined || runtime === undefined) return refuse(c, 'the runtimes', cn)
  const answer = live.answer(runtime)
  if (answer === undefined) return c.body('[]', 200, { 'content-type': JSON_TYPE })
  seen.served(runtime, cn)
  const body = `[${answer.body}]`
  return c.body(body, 200, { 'content-type': JSON_TYPE, 'cache-control': 'no-store' })
}

async function one(deps: AgentsDeps, c: Asking, id: string): Promise<Response> {
  const { live, waiters, seen, counters } = deps
  const cn = await admittedFor(deps, c, id)
  if (cn === undefined) return refuse(c, `runtime ${shown(id)}`, c.env.cn)
  let answer = live.answer(id)
  const given = c.req.header('if-none-match')
  const wait = preferredWait(c.req.header('prefer'), LONGEST_WAIT)
  const preference: Record<string, string> = wait > 0 ? { 'preference-applied': 'wait' } : {}
  if (answer !== undefined && wait > 0 && matchesEtag(given, answer.etag)) {
    await waiters.wait(id, { etag: answer.etag, cn }, wait)
    // The certificate may have been dismissed meanwhile.
    if (live.ownerOf(cn) !== id) return refuse(c, `runtime ${shown(id)}`, cn)
    answer = live.answer(id)
  }
  if (answer === undefined) return c.text(`Cannot find runtime ${shown(id)}\n`, 404)
  seen.served(id, cn)
  if (matchesEtag(given, answer.etag)) {
    counters.add('unchanged')
    return c.body(null, 304, { ...preference, ...headersOf(answer) })
  }
  counters.add('sent')
  return c.body(answer.body, 200, {
    'content-type': JSON_TYPE,
    ...preference,
    ...headersOf(answer),
  })
}

function headersOf({ etag }: Answer): Record<string, string> {
  return { etag: `"${etag}"`, 'cache-control': 'private, no-cache' }
}

async function report(deps: AgentsDeps, c: Asking, id: string): Promise<Response> {
  const { live, reports, clock, counters } = deps
  const { cn } = c.env
  if (cn === undefined || live.ownerOf(cn) !== id)
    return refuse(c, `reports of runtime ${shown(id)}`, cn)
  const body = await readBody(c.req.raw, MAX_REPORT)
  if ('refused' in body) {
    const why = body.refused === 413 ? `it is larger than ${MAX_REPORT} bytes` : 'it is no text'
    return c.text(`Cannot take the report: ${why}\n`, body.refused, { connection: 'close' })
  }
  const found = readReport(parseJson(body.text))
  if (found === undefined)
    return c.text('Cannot take the report: want {etag, state, problems} as JSON\n', 400)
  await reports.add({ runtime: id, cn, at: clock.now(), ...found })
  counters.add('reports')
  return c.body(null, 204)
}

/** The name of a certificate that may ask for this runtime, where it may. Others become pending, or the first one. */
async function admittedFor(deps: AgentsDeps, c: Asking, id: string): Promise<string | undefined> {
  const { live, seen } = deps
  const { cn } = c.env
  if (cn === undefined || !RUNTIME_ID.test(id)) return undefined
  const owner = live.ownerOf(cn)
  if (owner !== undefined) return owner === id ? cn : undefined
  if (await isFirst(deps, id, cn)) return cn
  seen.refused(cn, id)
  return undefined
}

async function isFirst(
  { firstUse, live, keeper }: AgentsDeps,
  runtime: string,
  cn: string,
): Promise<boolean> {
  const state = live.newestState()
  const isKnown = state?.runtimes.some(({ id }) => id === runtime) === true
  if (!firstUse || !isKnown || live.hasIdentity(runtime)) return false
  const admitted = await admitFirst(keeper, state, { runtime, cn })
  await live.refresh()
  return admitted
}

/** One answer for all reasons: whether there is such a runtime is nobody's business who is not admitted. */
function refuse(c: Asking, what: string, cn: string | undefined): Response {
  const who =
    cn === undefined
      ? 'the client certificate has no usable common name'
      : `the client certificate '${cn}' is not admitted for it`
  return c.text(`Cannot give ${what}: ${who}\n`, 403)
}

function trouble(c: Asking, thrown: unknown): Response {
  const busy = thrown instanceof AgentError
  const text = busy ? 'the store is in trouble' : 'an internal error'
  return c.text(`Cannot answer: ${text}\n`, busy ? 503 : 500, busy ? { 'retry-after': '30' } : {})
}

/** A path may hold anything. */
function shown(id: string): string {
  return RUNTIME_ID.test(id) ? id : '(no id of a runtime)'
}
