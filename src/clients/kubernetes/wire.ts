import { AgentError } from '../../model/problem.ts'
import type { Code } from '../../model/problem.ts'
import type { Secret } from '../../model/secret.ts'
import { MINUTE } from '../../model/time.ts'
import type { HttpSession } from '../../runtime/http.ts'
import { transportError } from '../../runtime/http-error.ts'
import type { Endpoint, Exchange } from '../http.ts'
import { exchange, headersOf, readAnswer } from '../http.ts'
import type { Resource } from './api.ts'
import { notJson, parseJson, refusal } from './errors.ts'
import type { Attempt } from './errors.ts'
import { pathOf, queryOf } from './path.ts'
import type { Place } from './path.ts'

/** Where the API server is and how it knows us: what a kubeconfig or a service account comes to. */
export type Connection = {
  /** With a path where a gateway serves many clusters; no slash at the end. */
  url: string
  /** That of the pod or of the context; `default` where neither names one. */
  namespace: string
  http: HttpSession
  /** Asked for before each request: a token changes every hour. */
  headers: () => Promise<Record<string, Secret>>
}

/** One request. */
export type WireRequest = {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  resource: Resource
  place: Place
  /** As in "create Secret team-a/orders": begins the message of a failure. */
  what: string
  query?: Record<string, string | number | boolean | undefined>
  body?: unknown
  contentType?: string
  accept?: string
  signal: AbortSignal
}

/** Requests to one API server over a connection that is loaded anew when it is no longer accepted. */
export interface Wire {
  readonly host: string
  readonly namespace: string
  /** The JSON of a 2xx answer; else throws AgentError. */
  send(request: WireRequest): Promise<unknown>
  /** A 2xx answer of which the body comes piece by piece, for as long as the signal lets it. */
  open(request: WireRequest): Promise<Response>
  close(): Promise<void>
}

type Prepared = { endpoint: Endpoint; exchange: Exchange; attempt: Attempt }

const JSON_TYPE = 'application/json'

/**
 * Opens a wire. `connect` is asked again after an answer that may come of what has changed since: another CA, another
 * client certificate, a credential that has run out. The request that met it fails all the same.
 */
export async function openWire(
  connect: () => Promise<Connection>,
  { version }: { version: string },
): Promise<Wire> {
  const first = await connect()
  const { host } = new URL(first.url)
  let current: Promise<Connection> | undefined = Promise.resolve(first)
  let retired: Connection | undefined
  let closed = false

  /** One for all who ask at the same time; one that failed is asked for again by the next. */
  function connected(): Promise<Connection> {
    if (current !== undefined) return current
    const asked = connect()
    current = asked
    asked.catch(() => (current = current === asked ? undefined : current))
    return asked
  }

  /** What runs over the old connection may end; it is closed when the next one is given up. */
  async function giveUp(asked: Promise<Connection>): Promise<void> {
    if (current !== asked) return
    const older = retired
    current = undefined
    retired = await asked
    await older?.http.close()
  }

  async function carry<T>(
    request: WireRequest,
    go: (prepared: Prepared) => Promise<T>,
  ): Promise<T> {
    if (closed) throw new AgentError('internal', `Cannot ${request.what}: the client is closed`)
    const asked = connected()
    const connection = await asked
    try {
      return await go(await prepare(connection, request, { host, version }))
    } catch (thrown) {
      request.signal.throwIfAborted()
      const error = thrown instanceof AgentError ? thrown : transportError({ host }, thrown)
      if (RELOAD.has(error.code) || error.detail['status'] === 401) await giveUp(asked)
      throw explained(error)
    }
  }

  return {
    host,
    namespace: first.namespace,
    send: (request) => carry(request, send),
    open: (request) => carry(request, open),
    async close() {
      closed = true
      await retired?.http.close()
      await (await current?.catch(() => undefined))?.http.close()
    },
  }
}

async function prepare(
  { url, http, headers: credentials }: Connection,
  request: WireRequest,
  { host, version }: { host: string; version: string },
): Promise<Prepared> {
  const { method, resource, place, body, contentType = JSON_TYPE, accept = JSON_TYPE } = request
  const headers: Record<string, string> = { accept }
  if (body !== undefined) headers['content-type'] = contentType
  for (const [name, value] of Object.entries(await credentials())) headers[name] = value.reveal()
  const { what, signal } = request
  const text = body === undefined ? undefined : JSON.stringify(body)
  return {
    endpoint: {
      url: `${url}${pathOf(resource, place)}${queryOf(request.query ?? {})}`,
      fetch: http.fetch,
      version,
      limits: { time: MINUTE },
      now: Date.now,
    },
    exchange: { method, headers, body: text, what, signal },
    attempt: {
      what: `${what} at ${host}`,
      asked: { plural: resource.plural, name: place.name },
      body,
    },
  }
}

async function send({ endpoint, exchange: one, attempt }: Prepared): Promise<unknown> {
  const answer = await exchange(endpoint, one)
  if (answer.status < 200 || answer.status > 299) throw refusal(attempt, answer)
  const value = answer.mediaType === JSON_TYPE ? parseJson(answer.body) : undefined
  if (value === undefined) throw notJson(attempt.what, answer)
  return value
}

async function open({ endpoint, exchange: one, attempt }: Prepared): Promise<Response> {
  const { method, signal } = one
  const headers = headersOf(endpoint, one.headers)
  const response = await endpoint.fetch(endpoint.url, { method, headers, signal })
  const mediaType = (response.headers.get('content-type') ?? '').split(';', 1).join()
  if (response.ok && mediaType === JSON_TYPE) return response
  const answer = await readAnswer(endpoint, one, response, signal)
  throw response.ok ? notJson(attempt.what, answer) : refusal(attempt, answer)
}

/** After these the connection is loaded anew. */
const RELOAD = new Set<Code>([
  'tls_untrusted',
  'tls_name_mismatch',
  'tls_failed',
  'client_certificate_refused',
  'redirect_refused',
])

/** What helps here, where the table of problems speaks of Compass. */
const HINTS: Partial<Record<Code, string>> = {
  tls_untrusted:
    'the API server is not signed by the CA of the kubeconfig or service account: correct certificate-authority',
  tls_name_mismatch:
    'the certificate of the API server is for another name: correct server or tls-server-name in the kubeconfig',
  tls_server_expired: 'renew the certificate of the API server, or set the clock',
  client_certificate_refused:
    'the API server refuses the client certificate of the kubeconfig: renew it; it is read again and tried again',
  redirect_refused: 'correct server in the kubeconfig: what answers there is no API server',
}

function explained(error: AgentError): AgentError {
  const hint = HINTS[error.code]
  if (hint === undefined) return error
  const { code, message, class: kind, turn, subject, retryAfter, detail } = error
  return new AgentError(code, message, { hint, class: kind, turn, subject, retryAfter, detail })
}
