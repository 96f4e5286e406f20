import process from 'node:process'
import type { Socket } from 'node:net'
import type { TLSSocket, ConnectionOptions } from 'node:tls'
import type { Duration } from '../model/time.ts'
import { errorCode } from './disk-error.ts'

/*
 * A second look at a handshake that failed, for its reason alone: nothing is ever sent over it.
 *
 * Under TLS 1.3 a server refuses a client certificate after the client has finished its handshake. Bun's fetch tells
 * that as EPROTO, undici as "other side closed"; a plain socket gets to see the alert. Deno does not tell an expired
 * certificate from a foreign one. And Bun's fetch has no connect time-out.
 */

/** What was seen: an error code to class, a server certificate to describe, or that a connection stands. */
export type Seen = { code?: string; issuer?: string; notAfter?: number; connected?: boolean }

export type ProbeOptions = {
  /** Until TCP and TLS stand; `ETIMEDOUT` beyond it. */
  limit: Duration
  /** How long a server that has finished its handshake is given to send an alert. */
  afterwards?: Duration
}

/** Connects with the TLS options of a session and reports. */
export function probe(
  options: ConnectionOptions,
  { limit, afterwards = 0 }: ProbeOptions,
): Promise<Seen> {
  const socket = process.getBuiltinModule('node:tls').connect(options)
  return watched(socket, limit, (done) => {
    socket.once('secureConnect', () => {
      done({ connected: true, ...describe(socket) }, afterwards)
    })
  })
}

/** As {@link probe}, of a server that speaks no TLS. */
export function probeTcp(
  { host, port }: { host: string; port: number },
  { limit }: ProbeOptions,
): Promise<Seen> {
  const socket = process.getBuiltinModule('node:net').connect(port, host)
  return watched(socket, limit, (done) => {
    socket.once('connect', () => done({ connected: true }))
  })
}

/** `done` ends the look, after a while in which something worse may still be seen. */
type Done = (seen: Seen, afterwards?: Duration) => void

function watched(socket: Socket, limit: Duration, listen: (done: Done) => void): Promise<Seen> {
  return new Promise((resolve) => {
    const end = (seen: Seen): void => {
      clearTimeout(timer)
      resolve(seen)
      socket.destroy()
    }
    let timer = setTimeout(() => end({ code: 'ETIMEDOUT' }), limit)
    socket.on('error', (error) => end({ code: errorCode(error) ?? 'unknown' }))
    socket.once('close', () => end({ code: 'ECONNRESET' }))
    listen((seen, afterwards = 0) => {
      clearTimeout(timer)
      timer = setTimeout(() => end(seen), afterwards)
    })
    socket.resume()
  })
}

function describe(socket: TLSSocket): Seen {
  const certificate = socket.getPeerCertificate()
  const { O: organisation, CN: name } = certificate.issuer
  const issuer = name ?? organisation
  return {
    notAfter: Date.parse(certificate.valid_to),
    ...(issuer === undefined ? {} : { issuer: String(issuer) }),
  }
}
