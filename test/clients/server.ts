import { createServer } from 'node:http'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { AgentError } from '../../src/model/problem.ts'
import type { Endpoint } from '../../src/clients/http.ts'
import type { Call } from '../../src/clients/graphql.ts'
import { openHttp } from '../../src/runtime/http.ts'

/** One request as the server saw it. */
export type Seen = { headers: IncomingHttpHeaders; path: string; method: string; body: string }

/** A whole answer; a handler may also write to the response itself and give nothing back. */
export type Reply = { status?: number; headers?: Record<string, string>; body?: string }

export type Server = {
  url: string
  /** All requests so far. */
  seen: Seen[]
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A real HTTP server on loopback. */
export async function serve(
  handler: (seen: Seen, response: ServerResponse) => Reply | undefined | Promise<Reply | undefined>,
): Promise<Server> {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const chunks: Uint8Array[] = []
    request.on('data', (chunk: Uint8Array) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      const { headers, url: path = '', method = '' } = request
      const one = { headers, path, method, body }
      seen.push(one)
      void Promise.resolve(handler(one, response)).then((reply) => {
        if (reply === undefined) return
        const length = { 'content-length': String(Buffer.byteLength(reply.body ?? '')) }
        response.writeHead(reply.status ?? 200, { ...length, ...reply.headers })
        response.end(reply.body)
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.closeAllConnections()
      server.close(() => resolve())
    })
  const url = `http://127.0.0.1:${address.port}/director/graphql`
  return { url, seen, close, [Symbol.asyncDispose]: close }
}

/** JSON as a reply. */
export function json(value: unknown, status = 200): Reply {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}

export const NOW = Date.parse('2026-11-21T06:00:00Z')

/** The fetch of the agent itself: no proxy of the environment, a session for all tests. */
const { fetch } = openHttp({ tls: {}, proxy: { except: ['*'] } })

/** A session to a server. */
export function sessionTo(server: { url: string }, more: Partial<Endpoint> = {}): Endpoint {
  return { url: server.url, fetch, now: () => NOW, ...more }
}

export function aCall(signal = new AbortController().signal): Call {
  return { requestId: 'runtime-1_5e0c', signal }
}

/** The error of a promise that must reject with an AgentError. */
export async function failureOf(promise: Promise<unknown>): Promise<AgentError> {
  try {
    await promise
  } catch (thrown) {
    if (thrown instanceof AgentError) return thrown
    throw thrown
  }
  throw new Error('it did not fail')
}

/** Everything that an error could show anywhere: text, stack, JSON, inspection, causes. */
export function everythingOf(error: Error): string {
  return [
    String(error),
    error.message,
    error.stack ?? '',
    JSON.stringify(error),
    Bun.inspect(error),
    JSON.stringify(Object.getOwnPropertyDescriptors(error)),
    error instanceof AgentError ? JSON.stringify(error.toProblem()) : '',
    error.cause instanceof Error ? everythingOf(error.cause) : String(error.cause),
  ].join('\n')
}
