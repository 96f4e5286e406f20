import { getRequestListener } from '@hono/node-server'
import { X509Certificate } from 'node:crypto'
import * as http from 'node:http'
import type { Server, Socket } from 'node:net'
import * as tls from 'node:tls'
import { nameText, sha256Hex } from './keys.ts'
import type { Bind, Handler, ListenTls, Peer } from './listen.ts'

/**
 * node's server, for all three runtimes.
 *
 * With TLS, a TLS server hands its sockets to a plain HTTP server: under Bun, `node:https` servers cannot tell the
 * client's certificate.
 */
export const bindNode: Bind = async (handler, at, settings) => {
  const plain = http.createServer(requestListener(handler))
  const server = settings ? secured(plain, settings) : plain
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await bound(server, at)
  const address = server.address()
  return {
    port: address === null || typeof address === 'string' ? undefined : address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        plain.closeAllConnections()
        for (const socket of sockets) socket.destroy()
      }),
  }
}

function requestListener(handler: Handler): http.RequestListener {
  const listener = getRequestListener(
    (request, { incoming }) => handler(request, peerOf(incoming.socket)),
    { overrideGlobalObjects: false, errorHandler: () => new Response(null, { status: 500 }) },
  )
  return (incoming, outgoing) => void listener(incoming, outgoing)
}

function secured(plain: http.Server, settings: ListenTls): Server {
  const { key, certificate, clientCa, requestClientCertificate, minVersion } = settings
  const options: tls.TlsOptions = {
    key: key.reveal(),
    cert: certificate,
    requestCert: requestClientCertificate !== undefined,
    // `required` tells a client without certificate so, by an alert; the handler of `optional` wants to see refused ones.
    rejectUnauthorized: requestClientCertificate === 'required',
    ALPNProtocols: ['http/1.1'],
    ...(clientCa === undefined ? {} : { ca: clientCa }),
    ...(minVersion === undefined ? {} : { minVersion }),
  }
  const server = tls.createServer(options, (socket) => {
    const peer = read(socket)
    peers.set(socket, peer)
    const refused = requestClientCertificate === 'required' && !peer.certificate?.authorized
    if (refused) socket.destroy()
    else plain.emit('connection', socket)
  })
  // A handshake that fails is the client's problem; without a listener it would end the process.
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return server
}

const peers = new WeakMap<Socket, Peer>()

function peerOf(socket: Socket): Peer {
  return peers.get(socket) ?? {}
}

function read(socket: tls.TLSSocket): Peer {
  // node gives an object without members when there is no certificate.
  const { raw } = socket.getPeerCertificate() as Partial<tls.PeerCertificate>
  if (!raw) return {}
  const error = socket.authorized ? undefined : reasonOf(socket.authorizationError)
  return {
    certificate: {
      subject: nameText(new X509Certificate(raw).subject),
      der: new Uint8Array(raw),
      fingerprint: sha256Hex(raw),
      authorized: socket.authorized,
      ...(error === undefined ? {} : { authorizationError: error }),
    },
  }
}

/** Typed as an Error, but a string in fact. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
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
