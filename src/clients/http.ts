import ky from 'ky'
import { joinBytes } from '../model/bytes.ts'
import { AgentError } from '../model/problem.ts'
import { formatDuration, HOUR, SECOND } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import { runtimeName } from '../runtime/process.ts'
import type { Fetch } from '../runtime/http.ts'

/**
 * One exchange, bounded in time and size, over a fetch that carries identity, roots and proxy (src/runtime/http.ts).
 *
 * What must stay true: nothing here retries (ky has `retry: 0`); no error of ky or fetch leaves this file, as those hold
 * headers and bodies; the time limit covers the whole answer, so that one which trickles ends too; a body is counted
 * while it is read, unpacked, so that neither an endless one nor a small packed one fills the memory.
 */

/** The address of a service and how it is reached. */
export type Endpoint = {
  url: string
  fetch: Fetch
  /** Sent with every request. */
  headers?: Record<string, string>
  /** Called with the HTTP `Date` (whole seconds) of every answer. */
  onServerDate?: (server: Instant) => void
  now: () => Instant
  /** Version of the agent, for User-Agent. */
  version?: string
  /** Defaults: 120 s for the whole exchange, bodies of 64 MiB (design §6 Failure). */
  limits?: { time?: Duration; bytes?: number }
}

export type Post = {
  /** What cannot be done when it fails: the verb and its object, as in "read the applications". */
  what: string
  body: string
  headers: Record<string, string>
  signal: AbortSignal
}

/** As {@link Post}, with any method. */
export type Exchange = Omit<Post, 'body'> & { method: string; body?: string | undefined }

/** An answer of any status. */
export type Answer = {
  status: number
  /** Media type, lower case, without parameters; empty when there is none. */
  mediaType: string
  /** Unpacked. Of an answer other than 2xx at most 256 KiB; longer ones are given as empty, with `cut`. */
  body: Uint8Array<ArrayBuffer>
  cut: boolean
  /** What Retry-After asks for, at most an hour. */
  retryAfter: Duration | undefined
  /** What the server calls this content. */
  etag?: string
}

const TIME = 120 * SECOND
const BYTES = 64 * 1024 * 1024
const REFUSAL_BYTES = 256 * 1024

/**
 * Sends one POST and reads its answer, whatever its status.
 *
 * Throws AgentError: timed_out and answer_too_large of its own, unreachable when fetch or the body breaks, and what the
 * fetch throws as AgentError. `detail.status` is set when the answer had begun, `detail.reason` to the code of a transport
 * error where that is known. Rejects with the reason of the signal
 * when that is aborted.
 */
export function post(endpoint: Endpoint, request: Post): Promise<Answer> {
  return bounded(endpoint, request, (signal) => send(endpoint, request, signal))
}

/** As {@link post}, without ky in between: there may be a thousand in a pass, and the executable interprets its code. */
export function exchange(endpoint: Endpoint, request: Exchange): Promise<Answer> {
  return bounded(endpoint, request, (signal) => {
    const { method, body = null } = request
    const headers = headersOf(endpoint, request.headers)
    return endpoint.fetch(endpoint.url, { method, headers, body, signal, redirect: 'manual' })
  })
}

async function bounded(
  endpoint: Endpoint,
  request: Pick<Post, 'what' | 'signal'>,
  begin: (signal: AbortSignal) => Promise<Response>,
): Promise<Answer> {
  request.signal.throwIfAborted()
  const time = endpoint.limits?.time ?? TIME
  const deadline = openDeadline(request.signal, time)
  const progress: Progress = {}
  try {
    const response = await begin(deadline.signal)
    progress.status = response.status
    return await readAnswer(endpoint, request, response, deadline.signal)
  } catch (thrown) {
    request.signal.throwIfAborted()
    const cannot = `Cannot ${request.what} at ${hostOf(endpoint.url)}`
    if (deadline.signal.aborted) {
      const message = `${cannot}: no whole answer came within ${formatDuration(time)}`
      throw new AgentError('timed_out', message, { detail: { ...progress, limit: time } })
    }
    if (thrown instanceof AgentError) throw thrown
    const reason = reasonOf(thrown)
    const message = `${cannot}: the connection failed${reason === undefined ? '' : ` (${reason})`}`
    throw new AgentError('unreachable', message, {
      detail: { ...progress, ...(reason === undefined ? {} : { reason }) },
    })
  } finally {
    deadline.close()
  }
}

type Progress = { status?: number }

/** Host and port of an address: what messages may show of it. */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'an address that is none'
}

async function send(endpoint: Endpoint, request: Post, signal: AbortSignal): Promise<Response> {
  const { body } = request
  const headers = headersOf(endpoint, request.headers)
  return ky.post(endpoint.url, {
    body,
    headers,
    signal,
    redirect: 'manual',
    retry: 0,
    timeout: false,
    throwHttpErrors: false,
    // Plain values instead of ky's Request: its class is not the one of undici's fetch, and a text has a length to send.
    fetch: () =>
      endpoint.fetch(endpoint.url, { method: 'POST', headers, body, signal, redirect: 'manual' }),
  })
}

/** Those of a request: ours, those of the endpoint, and who asks. */
export function headersOf(
  endpoint: Pick<Endpoint, 'headers' | 'version'>,
  headers: Record<string, string>,
): Record<string, string> {
  return {
    ...endpoint.headers,
    ...headers,
    'user-agent': `runtime-agent/${endpoint.version ?? 'dev'} (${runtimeName})`,
  }
}

/** Reads an answer within its limit. Throws answer_too_large, and what the body throws. */
export async function readAnswer(
  endpoint: Endpoint,
  request: Pick<Post, 'what'>,
  response: Response,
  signal: AbortSignal,
): Promise<Answer> {
  const date = httpDate(response.headers.get('date'))
  if (date !== undefined) endpoint.onServerDate?.(date)
  const limit = endpoint.limits?.bytes ?? BYTES
  const good = response.ok
  const body = await readBody(response, good ? limit : Math.min(limit, REFUSAL_BYTES), signal)
  if (body === undefined && good) {
    const message = `Cannot ${request.what} at ${hostOf(endpoint.url)}: the answer is larger than ${megabytes(limit)}`
    throw new AgentError('answer_too_large', message, {
      detail: { status: response.status, limit },
    })
  }
  const etag = response.headers.get('etag')
  return {
    ...(etag === null ? {} : { etag }),
    status: response.status,
    mediaType: (response.headers.get('content-type') ?? '')
      .split(';', 1)
      .join()
      .trim()
      .toLowerCase(),
    body: body ?? new Uint8Array(),
    cut: body === undefined,
    retryAfter: retryAfter(response.headers.get('retry-after'), date ?? endpoint.now()),
  }
}

/** The body, or undefined when it is larger than `limit`: the rest is not read. */
async function readBody(
  response: Response,
  limit: number,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (response.body === null) return new Uint8Array()
  const reader = response.body.getReader()
  // An aborted fetch does not end its body on every runtime.
  const cancel = (): void => void reader.cancel().catch(() => undefined)
  signal.addEventListener('abort', cancel, { once: true })
  try {
    const chunks: Uint8Array[] = []
    let size = 0
    for (;;) {
      const part: { value?: Uint8Array } = await reader.read()
      signal.throwIfAborted()
      if (part.value === undefined) return joinBytes(chunks)
      size += part.value.byteLength
      if (size > limit) {
        cancel()
        return undefined
      }
      chunks.push(part.value)
    }
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

/** A signal that follows `outer` and fires after `time`; `close` ends both. */
function openDeadline(outer: AbortSignal, time: Duration): { signal: AbortSignal; close(): void } {
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  const timer = setTimeout(abort, time)
  outer.addEventListener('abort', abort, { once: true })
  return {
    signal: controller.signal,
    close: () => {
      clearTimeout(timer)
      outer.removeEventListener('abort', abort)
    },
  }
}

const HTTP_DATE = /^\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT$/

function httpDate(text: string | null): Instant | undefined {
  if (text === null || !HTTP_DATE.test(text)) return undefined
  const instant = Date.parse(text)
  return Number.isNaN(instant) ? undefined : instant
}

/** Seconds or a date (RFC 9110 §10.2.3), measured on the server's own clock; at most an hour. */
function retryAfter(text: string | null, serverNow: Instant): Duration | undefined {
  if (text === null) return undefined
  const date = httpDate(text)
  const wait = /^\d{1,15}$/.test(text)
    ? Number(text) * SECOND
    : date === undefined
      ? undefined
      : date - serverNow
  return wait === undefined ? undefined : Math.min(Math.max(wait, 0), HOUR)
}

/** The code of a transport error (`ECONNRESET`), never its text: that may hold the address with its query. */
function reasonOf(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null) return undefined
  const { code, cause } = thrown as { code?: unknown; cause?: unknown }
  if (typeof code === 'string' && /^\w{3,60}$/.test(code)) return code
  return reasonOf(cause)
}

function megabytes(bytes: number): string {
  return bytes < 1024 * 1024 ? `${bytes} bytes` : `${Math.floor(bytes / 1024 / 1024)} MiB`
}
