import type { Reporter, Trigger } from '../agent/ports.ts'
import { AgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Status } from '../model/status.ts'
import { SECOND } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import { listen } from '../runtime/listen.ts'
import type { Handler, ListenAddress, Listener } from '../runtime/listen.ts'
import type { Log } from '../runtime/log.ts'
import { cpuUsage, memoryUsage } from '../runtime/process.ts'
import { controlApp } from './control-app.ts'
import { hostRule } from './host-rule.ts'
import type { ProcessUsage } from './metrics.ts'
import { statusApp } from './status-app.ts'

export type StatusServerOptions = {
  /** Missing: no port is opened. */
  tcp?: { host: string; port: number }
  /** Path of the control socket; missing: there is none. */
  socket?: string
  log: Log
  now(): Instant
  ask(trigger: Trigger): void
  /** What fails beside the loop; shown with its own problems. */
  problems?(): Problem[]
}

export type StatusServer = Reporter & {
  /** Where the status page is, once it is served. */
  address(): { host: string; port: number } | undefined
  close(): Promise<void>
}

/** A port that is taken is tried again after this. */
const TRY_AGAIN = 10 * SECOND

/**
 * Serves the latest status on TCP (GET only) and the verbs that act on the control socket. Opened by the first report,
 * so never before the agent owns its state. An address that cannot be had must not stop the agent: it is logged once, shown
 * by the other one, and tried again.
 */
export function statusServer(options: StatusServerOptions): StatusServer {
  const { tcp, socket, now, ask, problems = () => [] } = options
  let latest: Status | undefined
  let heartbeat: Instant = now()
  const usage = (): ProcessUsage => ({ memory: memoryUsage().rss, cpu: cpuUsage() })
  const view = {
    now,
    status: () =>
      latest && withProblems(latest, [...doors.map((one) => one.problem()), ...problems()]),
    heartbeat: () => heartbeat,
    usage,
  }
  const doors: Door[] = []
  if (socket !== undefined) {
    const control: Handler = (request) => controlApp(view, ask).fetch(request)
    doors.push(door({ socket, mode: 0o600 }, control, options))
  }
  const page: Door | undefined =
    tcp && door(tcp, (request) => statusApp(view, hostRule(tcp.host)).fetch(request), options)
  if (page !== undefined) doors.push(page)
  return {
    async report(status) {
      latest = status
      heartbeat = now()
      await Promise.all(doors.map((one) => one.open()))
    },
    address() {
      const listener = page?.listener()
      return listener?.port === undefined
        ? undefined
        : { host: listener.host ?? '', port: listener.port }
    },
    async close() {
      for (const one of doors) await one.listener()?.close()
    },
  }
}

type Door = {
  open(): Promise<void>
  listener(): Listener | undefined
  /** Why it is not open. */
  problem(): Problem | undefined
}

function withProblems(status: Status, others: readonly (Problem | undefined)[]): Status {
  const problems = others.filter((problem) => problem !== undefined)
  return problems.length === 0 ? status : { ...status, problems: [...status.problems, ...problems] }
}

function door(at: ListenAddress, handler: Handler, { log, now }: StatusServerOptions): Door {
  let listener: Listener | undefined
  let tryAt: Instant = 0
  let problem: Problem | undefined
  return {
    listener: () => listener,
    problem: () => problem,
    async open() {
      if (listener !== undefined || now() < tryAt) return
      try {
        listener = await listen(handler, at)
        problem = undefined
        log.debug('listening', {
          at: 'socket' in at ? at.socket : `${at.host}:${listener.port ?? at.port}`,
        })
      } catch (thrown) {
        if (!(thrown instanceof AgentError)) throw thrown
        tryAt = now() + TRY_AGAIN
        if (problem?.message !== thrown.message)
          log.error(thrown.message, { code: thrown.code, hint: thrown.hint })
        problem = thrown.toProblem()
      }
    },
  }
}
