import { runCommand } from './command.ts'
import { env, pid, platform, runtimeName } from './process.ts'
import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'

/*
 * The protocol of sd_notify(3): one datagram to the Unix socket that NOTIFY_SOCKET names, with one VARIABLE=VALUE a line.
 * No runtime has datagram Unix sockets, so Bun calls the C library; Node and Deno start `systemd-notify`, whose messages
 * count only with NotifyAccess=all.
 */

/** Tells the service manager how it goes. Never throws: the agent works without anybody who listens. */
export interface Notify {
  /** Sends the lines in one message. False: they did not get there, and may be sent again. */
  send(lines: readonly string[]): Promise<boolean>
  /** `MONOTONIC_USEC=…`, which RELOADING=1 asks for; undefined where the clock cannot be read. */
  monotonic(): string | undefined
  /** A sign of life is wanted at least this often; undefined: nobody watches. */
  readonly watchdog?: Duration
}

/** Undefined: no service manager has started this process. `debug` is told why nothing can be sent. */
export async function openNotify(debug: (message: string) => void): Promise<Notify | undefined> {
  const socket = env('NOTIFY_SOCKET')
  if (socket === undefined) return undefined
  const address = socketAddress(socket)
  if (address === undefined) {
    debug('cannot notify the service manager: NOTIFY_SOCKET names no Unix socket')
    return undefined
  }
  const system = await loadSystem()
  const watchdog = watchdogTime()
  const rest = watchdog === undefined ? {} : { watchdog }
  if (system === undefined) {
    debug('the service manager is notified by systemd-notify, which needs NotifyAccess=all')
    return { ...rest, send: (lines) => byProgram(socket, lines), monotonic: () => undefined }
  }
  return {
    ...rest,
    send: (lines) => Promise.resolve(system.send(address, lines.join('\n'))),
    monotonic: () => `MONOTONIC_USEC=${system.monotonic()}`,
  }
}

/** WATCHDOG_USEC, unless it is meant for another process. */
function watchdogTime(): Duration | undefined {
  const whose = env('WATCHDOG_PID')
  const time = Number(env('WATCHDOG_USEC') ?? NaN) / 1000
  if (!(time > 0) || (whose !== undefined && Number(whose) !== pid)) return undefined
  return time
}

const LONGEST_PATH = 107

/** `struct sockaddr_un` of Linux: the family, then the path with its NUL, or for `@name` a NUL and the name. */
function socketAddress(socket: string): Uint8Array | undefined {
  const path = new TextEncoder().encode(socket)
  const abstract = socket.startsWith('@')
  if (!(abstract || socket.startsWith('/')) || path.length > LONGEST_PATH) return undefined
  const address = new Uint8Array(2 + path.length + (abstract ? 0 : 1))
  new Uint16Array(address.buffer, 0, 1)[0] = AF_UNIX
  address.set(path, 2)
  if (abstract) address[2] = 0
  return address
}

const AF_UNIX = 1
/** SOCK_DGRAM | SOCK_CLOEXEC: commands that the agent starts do not inherit it. */
const SOCKET_KIND = 2 | 0o2000000
/** MSG_DONTWAIT | MSG_NOSIGNAL: a manager that does not read must not hold up the loop. */
const FLAGS = 0x40 | 0x4000
const CLOCK_MONOTONIC = 1

type System = {
  send(address: Uint8Array, text: string): boolean
  /** Microseconds. */
  monotonic(): bigint
}

async function loadSystem(): Promise<System | undefined> {
  if (runtimeName !== 'bun' || platform !== 'linux') return undefined
  const { dlopen } = await import('bun:ffi')
  const libraries = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1']
  for (const library of libraries) {
    try {
      const { symbols } = dlopen(library, {
        socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
        sendto: { args: ['i32', 'ptr', 'u64', 'i32', 'ptr', 'u32'], returns: 'i64' },
        close: { args: ['i32'], returns: 'i32' },
        clock_gettime: { args: ['i32', 'ptr'], returns: 'i32' },
      })
      return systemOf(symbols)
    } catch {
      // Not this C library, or the sandbox forbids it.
    }
  }
  return undefined
}

type Symbols = {
  socket(family: number, kind: number, protocol: number): number
  sendto(
    descriptor: number,
    data: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: number,
  ): number | bigint
  close(descriptor: number): number
  clock_gettime(clock: number, time: BigInt64Array): number
}

function systemOf({ socket, sendto, close, clock_gettime }: Symbols): System {
  return {
    send(address, text) {
      // A new socket each time, as sd_notify does: it is some messages a minute, and none is left open.
      const descriptor = socket(AF_UNIX, SOCKET_KIND, 0)
      if (descriptor < 0) return false
      try {
        const data = new TextEncoder().encode(text)
        const sent = sendto(descriptor, data, data.length, FLAGS, address, address.length)
        return Number(sent) === data.length
      } finally {
        close(descriptor)
      }
    },
    monotonic() {
      const time = new BigInt64Array(2)
      clock_gettime(CLOCK_MONOTONIC, time)
      const [seconds = 0n, nanoseconds = 0n] = time
      return seconds * 1_000_000n + nanoseconds / 1000n
    },
  }
}

async function byProgram(socket: string, lines: readonly string[]): Promise<boolean> {
  const { signal } = new AbortController()
  const { code } = await runCommand(['systemd-notify', ...lines], {
    timeout: 5 * SECOND,
    env: { NOTIFY_SOCKET: socket },
    signal,
  })
  return code === 0
}
