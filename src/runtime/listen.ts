import { AgentError } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { errorCode } from './disk-error.ts'
import type { ListenLimits } from './listen-limits.ts'
import { claimSocket } from './listen-socket.ts'
import { runtimeName } from './process.ts'

/*
 * HTTP/1.1 servers. Two ways, chosen by need and runtime:
 *
 * - Bun.serve for whatever it can do: measured compiled and idle, it needs 3 MB, node:http under Bun 12 MB, with
 *   Hono's adapter 16 MB.
 * - node:http for Node and Deno, and everywhere for client certificates, which Bun.serve does not show, and for limits.
 */

/** The client certificate of a connection, if one was asked for and given. */
export type PeerCertificate = {
  /** RFC 4514 text, last part of the encoded name first: `CN=…,OU=…`. */
  subject: string
  der: Uint8Array
  /** SHA-256 of `der`, 64 lower-case hex characters. */
  fingerprint: string
  /** True when it is signed by `clientCa` and was within its dates at the handshake. */
  authorized: boolean
  /** OpenSSL's reason when not authorized, for example `CERT_HAS_EXPIRED`. */
  authorizationError?: string
}

/** Who is at the other end of a request. */
export type Peer = { certificate?: PeerCertificate }

/** Hono's `(request, peer) => app.fetch(request, { peer })` fits. What it throws is answered with 500 and an empty body. */
export type Handler = (request: Request, peer: Peer) => Response | Promise<Response>

export type ListenAddress =
  | { host: string; port: number }
  /** A Unix socket; `mode` stands before the first connection is accepted. A dead socket file in its place is replaced. */
  | { socket: string; mode: number }

export type ListenTls = {
  /** PEM. */
  key: Secret
  /** PEM, server certificate first. */
  certificate: string
  /** PEM blocks that client certificates must be signed by. */
  clientCa?: string
  /** `optional`: the handler looks at the peer and decides. `required`: a connection without an authorized certificate is closed. */
  requestClientCertificate?: 'optional' | 'required'
  minVersion?: 'TLSv1.2' | 'TLSv1.3'
}

export interface Listener {
  /** The real port, also when 0 was asked for. Missing for a Unix socket. */
  readonly port?: number
  readonly host?: string
  readonly socket?: string
  /** Stops accepting, closes all connections (also busy ones) and removes the socket file. */
  close(): Promise<void>
}

/** A server of one runtime, bound and accepting. */
export type Bound = { port: number | undefined; close(): Promise<void> }

/** Binds to a port, or to a socket file that does not exist yet. Throws the system's error. */
export type Bind = (
  handler: Handler,
  at: { host: string; port: number } | { path: string },
  tls: ListenTls | undefined,
  limits: ListenLimits | undefined,
) => Promise<Bound>

/** Serves HTTP/1.1 at an address. Throws `listen_failed` when it is taken or not ours to take. `limits`: for strangers. */
export async function listen(
  handler: Handler,
  at: ListenAddress,
  tls?: ListenTls,
  limits?: ListenLimits,
): Promise<Listener> {
  const bind = await chooseBind(tls, limits)
  try {
    if ('socket' in at) {
      const { socket, mode } = at
      let bound: Bound | undefined
      const remove = await claimSocket(socket, mode, async (path) => {
        bound = await bind(handler, { path }, tls, limits)
      })
      return { socket, close: () => Promise.all([bound?.close(), remove()]).then(() => undefined) }
    }
    const bound = await bind(handler, at, tls, limits)
    return { host: at.host, port: bound.port ?? at.port, close: () => bound.close() }
  } catch (thrown) {
    throw listenError(at, thrown)
  }
}

async function chooseBind(
  tls: ListenTls | undefined,
  limits: ListenLimits | undefined,
): Promise<Bind> {
  const plain = tls?.requestClientCertificate === undefined && tls?.minVersion === undefined
  const simple = plain && limits === undefined
  if (runtimeName === 'bun' && simple) return (await import('./listen-bun.ts')).bindBun
  return (await import('./listen-node.ts')).bindNode
}

const REASONS: Record<string, string> = {
  EADDRINUSE: 'the address is taken',
  EADDRNOTAVAIL: 'this machine has no such address',
  EACCES: 'the user of the agent may not',
  ENOTFOUND: 'the name does not resolve',
  EINVAL: 'this machine has no such address',
  ENOENT: 'its directory does not exist',
  ENAMETOOLONG: 'the path is longer than 107 bytes',
}

function listenError(at: ListenAddress, thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown
  const place = 'socket' in at ? at.socket : `${at.host}:${at.port}`
  const code = errorCode(thrown) ?? (thrown instanceof Error ? thrown.message : 'unknown')
  const reason = REASONS[code]
  const why = reason === undefined ? code : `${reason} (${code})`
  return new AgentError('listen_failed', `Cannot listen on ${place}: ${why}`)
}
