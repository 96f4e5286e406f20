/** A real datagram Unix socket, as the service manager has one: no runtime has them, so it is the C library. */
import { dlopen } from 'bun:ffi'
import { rmSync } from 'node:fs'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const DONTWAIT = 0x40

export type Datagrams = {
  /** All that came since the last call, a message each. */
  read(): string[]
  close(): void
}

/** Binds `path`, or an abstract name that begins with @. Linux only. */
export function openDatagrams(path: string): Datagrams {
  const { symbols } = dlopen('libc.so.6', {
    socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
    bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
    recv: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
    close: { args: ['i32'], returns: 'i32' },
  })
  const descriptor = symbols.socket(AF_UNIX, SOCK_DGRAM, 0)
  const address = Buffer.concat([
    Buffer.from([AF_UNIX, 0]),
    Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`),
  ])
  if (symbols.bind(descriptor, address, address.length) !== 0)
    throw new Error(`cannot bind ${path}`)
  return {
    read() {
      const messages: string[] = []
      const buffer = new Uint8Array(8192)
      for (;;) {
        const length = Number(symbols.recv(descriptor, buffer, buffer.length, DONTWAIT))
        if (length < 0) return messages
        messages.push(new TextDecoder().decode(buffer.subarray(0, length)))
      }
    },
    close() {
      symbols.close(descriptor)
      if (!path.startsWith('@')) rmSync(path, { force: true })
    },
  }
}
