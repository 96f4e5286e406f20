/** Servers on loopback that misbehave or count; they run under all three runtimes. */
import { createServer as createHttpServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { listen } from '../../src/runtime/listen.ts'
import type { Handler, Listener } from '../../src/runtime/listen.ts'
import type { Leaf, Pki } from './pki.ts'

export type Running = { port: number; close(): Promise<void> }

/** What {@link serveTls} answers with. */
export type Echo = {
  method: string
  path: string
  body: string
  fingerprint?: string
  authorized?: boolean
  reason?: string
}

export const echo: Handler = async (request, { certificate }) => {
  const { pathname, search } = new URL(request.url)
  const seen: Echo = {
    method: request.method,
    path: pathname + search,
    body: await request.text(),
    ...(certificate === undefined
      ? {}
      : { fingerprint: certificate.fingerprint, authorized: certificate.authorized }),
  }
  return Response.json(seen)
}

/** A TLS server that asks for a client certificate and tells what it saw. */
export async function serveTls(
  pki: Pki,
  options: { leaf?: Leaf; handler?: Handler; client?: 'optional' | 'required' } = {},
): Promise<Listener & { port: number }> {
  const { leaf = pki.server, handler = echo, client = 'optional' } = options
  const tls = { ...leaf, clientCa: pki.ca, requestClientCertificate: client }
  const listener = await listen(handler, { host: '127.0.0.1', port: 0 }, tls)
  return { ...listener, port: listener.port ?? 0 }
}

/** Hands every connection on to `port` and counts them. */
export async function countConnections(port: number): Promise<Running & { count(): number }> {
  let count = 0
  const server = createServer((inner) => {
    count += 1
    join(inner, connect(port, '127.0.0.1'))
  })
  return { ...(await started(server)), count: () => count }
}

/** Accepts and then says nothing. */
export async function silentServer(): Promise<Running> {
  return started(createServer())
}

export type Proxy = Running & { connects: string[]; plain: string[] }

export type ProxyOptions = {
  /** Shown to who speaks TLS to the proxy. */
  tls?: Leaf
  host?: string
  /** What is said to every CONNECT instead of opening a tunnel. */
  answer?: string
}

/** An HTTP proxy that leads every name to 127.0.0.1. */
export async function startProxy(
  credentials?: string,
  { tls, host, answer }: ProxyOptions = {},
): Promise<Proxy> {
  const connects: string[] = []
  const plain: string[] = []
  const wanted =
    credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`
  const plainly: RequestListener = (request, response) => {
    plain.push(request.url ?? '')
    response.end('by the proxy')
  }
  const server =
    tls === undefined
      ? createHttpServer(plainly)
      : createHttpsServer({ cert: tls.certificate, key: tls.key.reveal() }, plainly)
  server.on('connect', (request, socket: Socket) => {
    connects.push(request.url ?? '')
    if (answer !== undefined) {
      socket.end(answer)
      return
    }
    if (wanted !== undefined && request.headers['proxy-authorization'] !== wanted) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n')
      return
    }
    const outer = connect(Number((request.url ?? '').split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      join(socket, outer)
    })
    outer.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'))
  })
  return { ...(await started(server, host)), connects, plain }
}

function join(one: Socket, other: Socket): void {
  one.on('error', () => other.destroy())
  other.on('error', () => one.destroy())
  one.pipe(other)
  other.pipe(one)
}

async function started(server: Server, host = '127.0.0.1'): Promise<Running> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
