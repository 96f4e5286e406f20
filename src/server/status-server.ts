import type { Reporter, Trigger } from '../agent/ports.ts'
import { AgentError } from '../model/problem.ts'
import type { Status } from '../model/status.ts'
import { MINUTE } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import { listen } from '../runtime/listen.ts'
import type { Handler, ListenAddress, Listener } from '../runtime/listen.ts'
import type { Log } from '../runtime/log.ts'
import { controlApp } from './control-app.ts'
import { hostRule } from './host-rule.ts'
import { statusApp } from './status-app.ts'

export type StatusServerOptions = {
  /** Missing: no port is opened. */
  tcp?: { host: string; port: number }
  /** Path of the control socket. */
  socket: string
  log: Log
  now(): Instant
  ask(trigger: Trigger): void
}

export type StatusServer = Reporter & {
  /** Where the status page is, once it is served. */
  address(): { host: string; port: number } | undefined
  close(): Promise<void>
}

/** A port that is taken is tried again after this. */
const TRY_AGAIN = MINUTE

/**
 * Serves the latest status on TCP (GET only) and the verbs that act on the control socket. Opened by the first report,
 * so never before the agent owns its state. An address that cannot be had must not stop the agent: it is logged once and
 * tried again.
 */
export function statusServer(options: StatusServerOptions): StatusServer {
  const { tcp, socket, now, ask } = options
  let latest: Status | undefined
  let heartbeat: Instant = now()
  const view = { now, status: () => latest, heartbeat: () => heartbeat }
  const doors = [
    door({ socket, mode: 0o600 }, (request) => controlApp(view, ask).fetch(request), options),
  ]
  if (tcp !== undefined)
    doors.push(door(tcp, (request) => statusApp(view, hostRule(tcp.host)).fetch(request), options))
  return {
    async report(status) {
      latest = status
      heartbeat = now()
      await Promise.all(doors.map((one) => one.open()))
    },
    address() {
      const listener = doors[1]?.listener()
      return listener?.port === undefined
        ? undefined
        : { host: listener.host ?? '', port: listener.port }
    },
    async close() {
      for (const one of doors) await one.listener()?.close()
    },
  }
}

type Door = { open(): Promise<void>; listener(): Listener | undefined }

function door(at: ListenAddress, handler: Handler, { log, now }: StatusServerOptions): Door {
  let listener: Listener | undefined
  let tryAt: Instant = 0
  let said = ''
  return {
    listener: () => listener,
    async open() {
      if (listener !== undefined || now() < tryAt) return
      try {
        listener = await listen(handler, at)
        log.debug('listening', {
          at: 'socket' in at ? at.socket : `${at.host}:${listener.port ?? at.port}`,
        })
      } catch (thrown) {
        if (!(thrown instanceof AgentError)) throw thrown
        tryAt = now() + TRY_AGAIN
        if (said !== thrown.message)
          log.error(thrown.message, { code: thrown.code, hint: thrown.hint })
        said = thrown.message
      }
    },
  }
}
