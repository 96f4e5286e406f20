import { systemClock } from '../runtime/clock.ts'
import type { Handler, Peer, PeerCertificate } from '../runtime/listen.ts'
import { unknownPath, type Answer } from './answer.ts'
import { readCall, scopesOf, type Call, type Port, type Service } from './call.ts'
import { answerConnector } from './connector.ts'
import { engineOf, type PlaneCore } from './core.ts'
import { answerDirector } from './director.ts'
import { closeConnection, send } from './deliver.ts'
import type { PlaneEvent } from './events.ts'
import { isKnobName } from './knobs.ts'
import { refusalOf } from './refusal.ts'
import { answerRuntimeDirector, isForRuntimeDirector } from './runtime-director.ts'
import { reshape } from './spoil.ts'

/**
 * The way of a request through a plane: what it asks for, which knobs are turned for it, what stands in front of the
 * services, the service itself, the state on disk, and then the answer with all that spoils it.
 */
export function handlerOf(port: Port, core: PlaneCore): Handler {
  return async (request, peer) => {
    if (port === 'mtls' && isForRuntimeDirector(request))
      return answerRuntimeDirector({ request, peer }, core)
    const service = serviceOf(port, request)
    if (service === undefined) return sendUnknown(core)
    const call = await receive({ port, service, request, peer }, core)
    if (call.knobs.delay !== undefined) {
      await systemClock.sleep(call.knobs.delay, request.signal)
    }
    const answer = call.knobs.lostBefore === true ? undefined : await answerTo(call, core)
    const body = new TextEncoder().encode(answer?.body)
    core.events.add({
      ...eventOf(request, call),
      status: answer?.status ?? null,
      bytes: body.length,
    })
    return answer === undefined ? closeConnection() : send({ ...answer, body }, core, call.knobs)
  }
}

function serviceOf(port: Port, request: Request): Service | undefined {
  const { pathname } = new URL(request.url)
  if (request.method !== 'POST') return undefined
  if (pathname === '/connector/graphql') return 'connector'
  return pathname === '/director/graphql' && port === 'mtls' ? 'director' : undefined
}

async function receive(
  arrived: { port: Port; service: Service; request: Request; peer: Peer },
  core: PlaneCore,
): Promise<Call> {
  const { port, service, request, peer } = arrived
  const read = readCall(engineOf(service), service, await request.text())
  const knobs = core.board.take(scopesOf({ port, service, operations: read.operations }))
  const token = port === 'token' ? tokenOf(request) : undefined
  const tenant = request.headers.get('tenant')
  const certificate = acceptedCertificate(port, peer)
  return {
    ...read,
    port,
    service,
    ...(token === undefined ? {} : { token }),
    ...(tenant === null ? {} : { tenant }),
    ...(certificate === undefined ? {} : { certificate }),
    now: core.now(),
    knobs: knobs.refuse === 0 && service === 'director' ? { ...knobs, databaseDown: true } : knobs,
    lifetimes: {
      token: knobs.tokenLifetime ?? core.lifetimes.token,
      certificate: knobs.certificateLifetime ?? core.lifetimes.certificate,
    },
  }
}

function tokenOf(request: Request): string | undefined {
  const token =
    request.headers.get('connector-token') ?? new URL(request.url).searchParams.get('token')
  return token === null || token === '' ? undefined : token
}

function acceptedCertificate(port: Port, peer: Peer): PeerCertificate | undefined {
  const { certificate } = peer
  return port === 'mtls' && certificate?.authorized === true ? certificate : undefined
}

/** `undefined`: everything is done and stored, but nobody will hear of it. */
async function answerTo(call: Call, core: PlaneCore): Promise<Answer | undefined> {
  const answer = refusalOf(call) ?? reshape(await serve(call, core), call)
  await core.store.saved()
  return call.knobs.lost === true ? undefined : answer
}

function serve(call: Call, core: PlaneCore): Promise<Answer> {
  const { store, authorities, urls, landscape } = core
  const engine = engineOf(call.service)
  return call.service === 'connector'
    ? answerConnector(call, { engine, store, authorities, urls })
    : answerDirector(call, { engine, store, catalog: landscape.catalog })
}

function sendUnknown(core: PlaneCore): Response {
  const answer = unknownPath()
  return send({ ...answer, body: new TextEncoder().encode(answer.body) }, core, {})
}

function eventOf(request: Request, call: Call): Omit<PlaneEvent, 'sequence' | 'status' | 'bytes'> {
  const requestId = request.headers.get('x-request-id')
  const userAgent = request.headers.get('user-agent')
  return {
    at: call.now,
    port: call.port,
    method: request.method,
    path: new URL(request.url).pathname,
    operations: call.operations,
    knobs: Object.keys(call.knobs).filter(isKnobName),
    ...(call.certificate === undefined ? {} : { fingerprint: call.certificate.fingerprint }),
    ...(requestId === null ? {} : { requestId }),
    ...(userAgent === null ? {} : { userAgent }),
    ...(call.tenant === undefined ? {} : { tenant: call.tenant }),
  }
}
