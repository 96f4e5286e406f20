/** Stands before a server and remembers where each connection came from: what a server cannot be told, only see. */
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

export type Witness = {
  readonly port: number
  /** Addresses of all who connected, oldest first. */
  readonly from: string[]
  close(): Promise<void>
}

/** Hands every connection on to `port` of 127.0.0.1. */
export async function openWitness(port: number, host = '127.0.0.1'): Promise<Witness> {
  const from: string[] = []
  const open = new Set<Socket>()
  const server = createServer((inner) => {
    from.push(inner.remoteAddress ?? '')
    const outer = connect(port, '127.0.0.1')
    for (const [one, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      open.add(one)
      one.on('error', () => other.destroy())
      one.once('close', () => open.delete(one))
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    from,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}
