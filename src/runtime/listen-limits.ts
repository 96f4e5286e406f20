import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'

/*
 * What keeps slow or many clients from holding a server. node's own time-outs are kept by node only; Bun 1.4 takes them and
 * does nothing, least of all for connections that a TLS server hands over. So connections are looked at here, all of
 * them now and then, by a clock that nobody can set.
 */

/** How long a client may take, and how many there may be. */
export type ListenLimits = {
  /** From the connection to the end of the first head, handshake included. */
  head: Duration
  /** For a body. */
  body: Duration
  /** For taking the answer. */
  answer: Duration
  /** From an answer to the end of the next head. */
  idle: Duration
  /** More are closed at once. */
  connections: number
}

export interface Watch {
  /** A connection was made; false: it is one too many, and closed. */
  opened(socket: Socket): boolean
  /** Its head has come. */
  asked(incoming: IncomingMessage): void
  /** Its answer is known and goes out. */
  answering(socket: Socket): void
  /** All of it was given to the system, or to a buffer that waits for the client. */
  answered(socket: Socket, outgoing: ServerResponse): void
  close(): void
}

const LOOK_EVERY: Duration = SECOND

type Connection = { socket: Socket; deadline: number }

export function watchOver(limits: ListenLimits): Watch {
  const connections = new Map<string, Connection>()
  /** By address, as the socket of a request may be another object than the one that was opened: TLS lies over it. */
  const of = (socket: Socket): Connection | undefined => connections.get(nameOf(socket))
  const within = (connection: Connection | undefined, length: Duration): void => {
    if (connection !== undefined) connection.deadline = performance.now() + length
  }
  const timer = setInterval(() => {
    const now = performance.now()
    for (const { socket, deadline } of connections.values()) if (deadline < now) socket.destroy()
  }, LOOK_EVERY)
  timer.unref()
  return {
    opened(socket) {
      if (connections.size >= limits.connections) {
        socket.destroy()
        return false
      }
      const name = nameOf(socket)
      const connection = { socket, deadline: performance.now() + limits.head }
      connections.set(name, connection)
      socket.once('close', () => {
        if (connections.get(name) === connection) connections.delete(name)
      })
      return true
    },
    asked(incoming) {
      const connection = of(incoming.socket)
      const { headers } = incoming
      const hasBody = 'content-length' in headers || 'transfer-encoding' in headers
      within(connection, hasBody ? limits.body : Infinity)
      if (connection === undefined || !hasBody) return
      const bodyBy = connection.deadline
      // Not when it has been answered meanwhile, which has a time of its own.
      incoming.once('end', () => {
        if (connection.deadline === bodyBy) connection.deadline = Infinity
      })
    },
    answering: (socket) => within(of(socket), limits.answer),
    answered(socket, outgoing) {
      const connection = of(socket)
      if (outgoing.writableFinished) within(connection, limits.idle)
      else outgoing.once('finish', () => within(connection, limits.idle))
    },
    close: () => clearInterval(timer),
  }
}

function nameOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
