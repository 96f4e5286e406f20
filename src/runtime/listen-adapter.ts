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
    watch?.asked(incoming, outgoing)
    const answering = (): void => watch?.answering(incoming.socket)
    void serve(handler, peerOf(incoming.socket), { incoming, outgoing, answering })
  }
}

type Exchange = { incoming: IncomingMessage; outgoing: ServerResponse; answering: () => void }

async function serve(
  handler: Handler,
  peer: Peer,
  { incoming, outgoing, answering }: Exchange,
): Promise<void> {
  const gone = new AbortController()
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) gone.abort()
  })
  outgoing.on('error', () => gone.abort())
  const request = toRequest(incoming, gone.signal)
  if (!request) {
    outgoing.writeHead(400).end()
    return
  }
  try {
    const response = await handler(request, peer)
    answering()
    await answer(response, incoming.method === 'HEAD', outgoing)
  } catch {
    // What was thrown may hold anything, so nothing of it is told. A body that has begun can only be cut.
    if (outgoing.headersSent) outgoing.destroy()
    else outgoing.writeHead(500).end()
  }
}

/** `undefined`: no valid target or Host header. */
function toRequest(incoming: IncomingMessage, signal: AbortSignal): Request | undefined {
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
    return new Request(origin + url, { method, headers: list, body, signal, duplex: 'half' })
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

async function answer(response: Response, head: boolean, outgoing: ServerResponse): Promise<void> {
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
