import { sha256 } from '../model/digest.ts'
import { SECOND } from '../model/time.ts'
import { systemClock } from '../runtime/clock.ts'
import type { Peer } from '../runtime/listen.ts'
import type { Answer } from './answer.ts'
import { jsonAnswer } from './answer.ts'
import { systemAuthOf } from './caller.ts'
import type { PlaneCore } from './core.ts'
import { closeConnection, send } from './deliver.ts'
import { isObject, parseJson } from './graphql.ts'
import type { Taken } from './knob-board.ts'
import { isKnobName, type Operation } from './knobs.ts'
import { refusalOf } from './refusal.ts'

/*
 * A Runtime Director as the agent knows it: the form of the proof of concept (reference/runtime-director.md §2), and
 * what our own server adds: ETag, `Prefer: wait`, reports. Who may ask is said by the certificate that the Connector
 * gave: a runtime sees itself alone. What it gives stands under `configurations` of the landscape.
 */

const LONGEST_WAIT = 60
const LONGEST_REPORT = 64 * 1024

export function isForRuntimeDirector(request: Request): boolean {
  return /^\/runtimes(\/|$)/.test(new URL(request.url).pathname)
}

type Arrived = { request: Request; peer: Peer }

export async function answerRuntimeDirector(
  { request, peer }: Arrived,
  core: PlaneCore,
): Promise<Response> {
  const operation: Operation = request.method === 'POST' ? 'report' : 'fetch'
  const knobs = core.board.take(new Set([operation, 'runtimeDirector', 'mtls']))
  if (knobs.delay !== undefined) await systemClock.sleep(knobs.delay, request.signal)
  const answer =
    knobs.lostBefore === true ? undefined : await answerTo({ request, peer }, knobs, core)
  const heard = knobs.lost === true ? undefined : answer
  const body = new TextEncoder().encode(heard?.body)
  core.events.add({
    at: core.now(),
    port: 'mtls',
    method: request.method,
    path: new URL(request.url).pathname,
    operations: [operation],
    knobs: Object.keys(knobs).filter(isKnobName),
    status: heard?.status ?? null,
    bytes: body.length,
    ...(peer.certificate === undefined ? {} : { fingerprint: peer.certificate.fingerprint }),
  })
  return heard === undefined ? closeConnection() : send({ ...heard, body }, core, knobs)
}

async function answerTo(
  { request, peer }: Arrived,
  knobs: Taken,
  core: PlaneCore,
): Promise<Answer> {
  const refused = refusalOf({ service: 'runtimeDirector', knobs })
  if (refused !== undefined) return refused
  if (knobs.status !== undefined) return plain(knobs.status, 'as the knob says\n')
  const caller = callerOf(peer, core)
  if (caller === undefined) return plain(403, 'unknown certificate\n')
  const [, , id, more] = new URL(request.url).pathname.split('/')
  if (id === undefined || id === '') return jsonAnswer([envelope(caller, core, knobs)])
  if (id !== caller) return plain(404, 'unknown runtime\n')
  if (request.method === 'POST' && more === 'report')
    return takeReport(request, caller, knobs, core)
  return request.method === 'GET' && more === undefined
    ? give(request, caller, knobs, core)
    : plain(404, 'unknown path\n')
}

/** The id of the runtime that a certificate belongs to. */
function callerOf({ certificate }: Peer, core: PlaneCore): string | undefined {
  if (certificate?.authorized !== true) return undefined
  const owner = systemAuthOf(core.store, certificate, { strictSubject: false })?.owner
  return owner?.type === 'RUNTIME' ? owner.id : undefined
}

async function give(request: Request, id: string, knobs: Taken, core: PlaneCore): Promise<Answer> {
  const known = request.headers.get('if-none-match')
  const wait = knobs.noWait === true ? 0 : waitOf(request)
  const end = performance.now() + wait * SECOND
  for (;;) {
    // Taken before the look: a change in between is not missed.
    const { changed } = core.landscape
    const answer = answerWith(id, knobs, core)
    const left = end - performance.now()
    if (answer.headers?.['etag'] === undefined || answer.headers['etag'] !== known) return answer
    if (left <= 0 || request.signal.aborted) return { ...answer, status: 304, body: '' }
    await systemClock.sleep(left, AbortSignal.any([request.signal, changed]))
  }
}

/** Seconds that the caller would wait (RFC 7240). */
function waitOf(request: Request): number {
  const seconds = /\bwait=(\d{1,4})\b/.exec(request.headers.get('prefer') ?? '')?.[1]
  return Math.min(LONGEST_WAIT, Number(seconds ?? 0))
}

function answerWith(id: string, knobs: Taken, core: PlaneCore): Answer {
  const whole = envelope(id, core, knobs)
  // By the content, whatever order its keys are sent in.
  const etag = `"${sha256(JSON.stringify(whole))}"`
  const shown = knobs.keyOrder === true ? shuffled(whole) : whole
  const answer = { ...jsonAnswer(shown), type: 'application/json;charset=UTF-8' }
  return knobs.noEtag === true ? answer : { ...answer, headers: { etag } }
}

function envelope(id: string, core: PlaneCore, knobs: Taken): Record<string, unknown> {
  const shown = knobs.otherRuntime === true ? `${id.slice(0, -1)}-other` : id
  const resources = resourcesFor(id, core)
  if (knobs.form === 'missing') return { id: shown }
  return { id: shown, data: dataOf(resources, knobs) }
}

/** One document is given bare, as in the proof of concept, more of them as a list. */
function dataOf(resources: unknown[], { form }: Taken): unknown {
  if (form === 'null') return null
  if (form === 'unknown') return { documents: resources }
  if (form === 'resources') return { resources }
  const isBare = form === 'bare' || (form === undefined && resources.length === 1)
  return isBare ? (resources[0] ?? null) : resources
}

function resourcesFor(id: string, core: PlaneCore): unknown[] {
  const { runtimes, configurations = [] } = core.landscape.catalog.landscape
  const name = runtimes.find((runtime) => runtime.id === id)?.name
  return configurations
    .filter(
      ({ runtimes: only }) =>
        only === undefined || only.includes(id) || (name !== undefined && only.includes(name)),
    )
    .flatMap(({ resources }) => resources)
}

/** The same JSON with the keys of all objects in another order. */
function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled)
  if (!isObject(value)) return value
  const members = Object.entries(value).map(([key, member]): [string, unknown] => [
    key,
    shuffled(member),
  ])
  const by = (key: string): string => sha256(`${key}${performance.now()}`)
  return Object.fromEntries(members.sort(([a], [b]) => (by(a) < by(b) ? -1 : 1)))
}

async function takeReport(
  request: Request,
  id: string,
  { noReports }: Taken,
  core: PlaneCore,
): Promise<Answer> {
  if (noReports === true) return plain(404, '404 page not found\n')
  const text = await request.text()
  const report = parseJson(text)
  if (text.length > LONGEST_REPORT || !isObject(report)) return plain(400, 'no report\n')
  core.reports.set(id, { at: core.now(), report })
  return { status: 204, type: 'text/plain', body: '' }
}

function plain(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body }
}
