import { X509Certificate } from 'node:crypto'
import type * as http from 'node:http'
import type { Server, Socket } from 'node:net'
import process from 'node:process'
import type { PeerCertificate as NodeCertificate, TLSSocket, TlsOptions } from 'node:tls'
import { nameText, sha256Hex } from './keys.ts'
import { requestListener } from './listen-adapter.ts'
import { watchOver } from './listen-limits.ts'
import type { Bind, ListenTls, Peer } from './listen.ts'
import { runtimeName } from './process.ts'

/*
 * node's server, for all three runtimes. Modules are loaded on first use, because an import would be hoisted by the
 * bundler and cost memory in a program that never comes here.
 */

/** Binds a server that can ask for client certificates. */
export const bindNode: Bind = async (handler, at, settings, limits) => {
  const watch = limits && watchOver(limits)
  const listener = requestListener(handler, peerOf, watch)
  const { plain, server } = settings ? secured(listener, settings) : unsecured(listener)
  // What is told to clients: else they would believe in five seconds and connect anew for each request.
  if (limits !== undefined) plain.keepAliveTimeout = limits.idle
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    if (watch?.opened(socket) === false) return
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await bound(server, at)
  const address = server.address()
  return {
    port: address === null || typeof address === 'string' ? undefined : address.port,
    close: () =>
      new Promise((resolve) => {
        watch?.close()
        server.close(() => resolve())
        plain.closeAllConnections()
        for (const socket of sockets) socket.destroy()
      }),
  }
}

/** `server` listens; `plain` knows the connections that speak HTTP. Often they are one. */
type Servers = {
  server: Server
  plain: { closeAllConnections(): void; keepAliveTimeout: number }
}

function unsecured(listener: http.RequestListener): Servers {
  const server = process.getBuiltinModule('node:http').createServer(listener)
  return { server, plain: server }
}

/**
 * Bun cannot tell the client's certificate on a `node:https` server, so there a TLS server hands its sockets to an HTTP
 * server. Deno in turn loses kept-alive connections that are handed over like that.
 */
function secured(listener: http.RequestListener, settings: ListenTls): Servers {
  const options = tlsOptions(settings)
  const { server, plain } =
    runtimeName === 'bun' ? handedOver(listener, options) : https(listener, options)
  // A handshake that fails is the client's problem; without a listener it would end the process.
  server.on('tlsClientError', (_error: unknown, socket: Socket) => socket.destroy())
  return { server, plain }
}

function handedOver(listener: http.RequestListener, options: TlsOptions): Servers {
  const plain = process.getBuiltinModule('node:http').createServer(listener)
  const tls = process.getBuiltinModule('node:tls')
  return { plain, server: tls.createServer(options, (socket) => plain.emit('connection', socket)) }
}

function https(listener: http.RequestListener, options: TlsOptions): Servers {
  const server = process.getBuiltinModule('node:https').createServer(options, listener)
  return { server, plain: server }
}

function tlsOptions(settings: ListenTls): TlsOptions {
  const { key, certificate, clientCa, requestClientCertificate, minVersion } = settings
  return {
    key: key.reveal(),
    cert: certificate,
    requestCert: requestClientCertificate !== undefined,
    // `required` tells a client without certificate so, by an alert; the handler of `optional` wants to see refused ones.
    rejectUnauthorized: requestClientCertificate === 'required',
    ALPNProtocols: ['http/1.1'],
    ...(clientCa === undefined ? {} : { ca: clientCa }),
    ...(minVersion === undefined ? {} : { minVersion }),
  }
}

const peers = new WeakMap<Socket, Peer>()

function peerOf(socket: Socket): Peer {
  const known = peers.get(socket)
  if (known) return known
  const peer = isSecure(socket) ? readPeer(socket) : {}
  peers.set(socket, peer)
  return peer
}

function isSecure(socket: Socket): socket is TLSSocket {
  return 'encrypted' in socket && 'getPeerCertificate' in socket
}

function readPeer(socket: TLSSocket): Peer {
  // node gives an object without members when there is no certificate.
  const shown: NodeCertificate | Record<string, never> = socket.getPeerCertificate()
  if (!('raw' in shown)) return {}
  const { raw } = shown
  // Typed as an Error, but a string in fact.
  const error: unknown = socket.authorizationError
  return {
    certificate: {
      subject: nameText(new X509Certificate(raw).subject),
      // Read again when they are wanted: ten thousand connections would keep a copy each.
      get der() {
        return new Uint8Array(rawOf(socket))
      },
      get fingerprint() {
        return sha256Hex(rawOf(socket))
      },
      authorized: socket.authorized,
      ...(socket.authorized ? {} : { authorizationError: String(error) }),
    },
  }
}

function rawOf(socket: TLSSocket): Uint8Array {
  const shown: NodeCertificate | Record<string, never> = socket.getPeerCertificate()
  return 'raw' in shown ? shown.raw : new Uint8Array()
}

function bound(
  server: Server,
  at: { host: string; port: number } | { path: string },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(at, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
