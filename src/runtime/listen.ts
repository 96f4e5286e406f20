import type { Secret } from '../model/secret.ts'

/** The client certificate of a connection, if one was asked for and given. */
export type PeerCertificate = {
  /** RFC 4514 text, most specific part first: `CN=…,OU=…`. */
  subject: string
  der: Uint8Array
  /** SHA-256 of `der`, 64 lower-case hex characters. */
  fingerprint: string
  /** True when it is signed by `clientCa` and within its dates. */
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

/** Serves HTTP/1.1 at an address. Throws `listen_failed` when it is taken or not ours to take. */
export function listen(handler: Handler, at: ListenAddress, tls?: ListenTls): Promise<Listener> {
  void handler
  void at
  void tls
  return Promise.reject(new Error('not yet'))
}
