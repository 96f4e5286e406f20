import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Watch } from './listen-limits.ts'
import type { Handler, Peer } from './listen.ts'

/*
 * From node's requests and responses to the web's. Small and our own, because an adapter that imports node:http, http2 and
 * stream at its top costs 10 MB of resident memory under Bun in a bundle that never calls it.
 */

/** A listener for node's HTTP server. `peerOf` tells who is at the other end of a socket. */
export function requestListener(
  handler: Handler,
  peerOf: (socket: Socket) => Peer,
  watch?: Watch,
): RequestListener {
  return (incoming, outgoing) => {
    watch?.asked(incoming)
    outgoing.on('error', nothing)
    void serve(handler, peerOf(incoming.socket), { incoming, outgoing, watch })
  }
}

type Exchange = { incoming: IncomingMessage; outgoing: ServerResponse; watch: Watch | undefined }

/** For events that need a listener. */
function nothing(): void {
  // What fails on the way out shows as a connection that is closed.
}

/**
 * A request whose signal is made when somebody asks for it: thousands may wait for their answers at the same time, and a
 * controller with its listener for each is half of what one costs.
 */
class IncomingRequest extends Request {
  readonly #outgoing: ServerResponse
  #gone: AbortController | undefined

  constructor(outgoing: ServerResponse, url: string, init: RequestInit) {
    super(url, init)
    this.#outgoing = outgoing
  }

  // @ts-expect-error It is typed as a property; in all three runtimes it is an accessor.
  override get signal(): AbortSignal {
    return (this.#gone ??= goneFrom(this.#outgoing)).signal
  }
}

/** Aborts when the client goes away before it has its answer. */
function goneFrom(outgoing: ServerResponse): AbortController {
  const gone = new AbortController()
  const abort = (): void => gone.abort()
  if (outgoing.destroyed && !outgoing.writableFinished) abort()
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) abort()
  })
  outgoing.once('error', abort)
  return gone
}

async function serve(
  handler: Handler,
  peer: Peer,
  { incoming, outgoing, watch }: Exchange,
): Promise<void> {
  const request = toRequest(incoming, outgoing)
  if (!request) {
    outgoing.writeHead(400).end()
    return
  }
  try {
    const response = await handler(request, peer)
    watch?.answering(incoming.socket)
    await answer(response, incoming.method === 'HEAD', outgoing)
    watch?.answered(incoming.socket, outgoing)
  } catch {
    // What was thrown may hold anything, so nothing of it is told. A body that has begun can only be cut.
    if (outgoing.headersSent) outgoing.destroy()
    else outgoing.writeHead(500).end()
  }
}

/** `undefined`: no valid target or Host header. */
function toRequest(incoming: IncomingMessage, outgoing: ServerResponse): Request | undefined {
  const { method = 'GET', url = '', headers, rawHeaders } = incoming
  const scheme = 'encrypted' in incoming.socket ? 'https' : 'http'
  const origin = `${scheme}://${headers.host ?? 'localhost'}`
  if (!url.startsWith('/') || !URL.canParse(origin) || new URL(origin).pathname !== '/')
    return undefined
  const list = new Headers()
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    list.append(rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '')
  }
  const body = method === 'GET' || method === 'HEAD' ? null : bodyOf(incoming)
  try {
    return new IncomingRequest(outgoing, origin + url, {
      method,
      headers: list,
      body,
      duplex: 'half',
    })
  } catch {
    return undefined
  }
}

function bodyOf(incoming: IncomingMessage): ReadableStream<Uint8Array> {
  const chunks: AsyncIterator<Uint8Array> = incoming[Symbol.asyncIterator]()
  return new ReadableStream({
    async pull(controller) {
      const next = await chunks.next()
      if (next.done) controller.close()
      else controller.enqueue(next.value)
    },
    cancel() {
      incoming.resume()
    },
  })
}

/** What answers of {@link plainResponse} are made of. */
type Plain = { status: number; headers: Record<string, string>; text: string | undefined }

const plainOnes = new WeakMap<Response, Plain>()

/**
 * A response of a text or of nothing, for servers that answer thousands at the same moment: it is written at once, where
 * any other one is read as the stream that it may be.
 */
export function plainResponse(
  status: number,
  headers: Record<string, string>,
  text?: string,
): Response {
  const response = new Response(text ?? null, { status, headers })
  plainOnes.set(response, { status, headers, text })
  return response
}

async function answer(response: Response, head: boolean, outgoing: ServerResponse): Promise<void> {
  const plain = plainOnes.get(response)
  if (plain !== undefined) {
    const { status, headers, text } = plain
    const length = text === undefined ? {} : { 'content-length': Buffer.byteLength(text) }
    outgoing.writeHead(status, { ...headers, ...length })
    if (head || text === undefined) outgoing.end()
    else outgoing.end(text)
    return
  }
  // Response.error(): the handler wants no answer at all.
  if (response.type === 'error') {
    outgoing.destroy()
    return
  }
  outgoing.statusCode = response.status
  for (const [name, value] of response.headers) {
    if (name !== 'set-cookie') outgoing.setHeader(name, value)
  }
  const cookies = response.headers.getSetCookie()
  if (cookies.length > 0) outgoing.setHeader('set-cookie', cookies)
  if (head || !response.body) {
    await response.body?.cancel()
    outgoing.end()
    return
  }
  await send(response.body, outgoing)
}

/** A body of one chunk goes with its length, others chunk by chunk as they come. */
async function send(body: ReadableStream<Uint8Array>, outgoing: ServerResponse): Promise<void> {
  const reader = body.getReader()
  const first = await reader.read()
  if (first.done) {
    outgoing.end()
    return
  }
  let following = reader.read()
  const soon = await Promise.race([following, nextTurn()])
  if (soon?.done) {
    outgoing.end(first.value)
    return
  }
  await write(outgoing, first.value)
  for (;;) {
    const { done, value } = await following
    if (done) break
    await write(outgoing, value)
    if (outgoing.destroyed) {
      await reader.cancel()
      return
    }
    following = reader.read()
  }
  outgoing.end()
}

/** Waits while the other end is slower than we are. */
function write(outgoing: ServerResponse, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (outgoing.write(chunk) || outgoing.destroyed) {
      resolve()
      return
    }
    const done = (): void => {
      outgoing.off('drain', done)
      outgoing.off('close', done)
      resolve()
    }
    outgoing.once('drain', done)
    outgoing.once('close', done)
  })
}

function nextTurn(): Promise<undefined> {
  return new Promise((resolve) => {
    setImmediate(() => resolve(undefined))
  })
}
