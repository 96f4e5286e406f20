import type { AdminToken, DirectorConfig } from '../config/director.ts'
import type { Secret } from '../model/secret.ts'
import { MINUTE, SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ListenLimits } from '../runtime/listen-limits.ts'
import { listen } from '../runtime/listen.ts'
import type { ListenTls, Listener } from '../runtime/listen.ts'
import type { Log } from '../runtime/log.ts'
import { adminApp } from './admin-app.ts'
import { agentsHandler } from './agents-app.ts'
import { openCounters } from './counters.ts'
import type { Keeper } from './keeper.ts'
import { openLive } from './live.ts'
import type { LiveLoop } from './live.ts'
import { openReports } from './reports.ts'
import { openSeen } from './seen.ts'
import type { Tree } from './tree.ts'
import type { Rules } from './versions.ts'
import { openWaiters } from './waiters.ts'
import { watchTree } from './watch.ts'

type Address = { host: string; port: number }

/** What a server is made from, files read. */
export type ServerOptions = {
  keeper: Keeper
  clock: Clock
  log: Log
  tree: Tree
  rules: Rules
  firstUse: boolean
  watch: boolean
  /** Missing: agents are not answered. */
  agents?: { at: Address; tls: { key: Secret; certificate: string; clientCa: string } }
  /** Missing: there is no admin API. */
  admin?: {
    at: Address
    tls?: { key: Secret; certificate: string }
    tokens: readonly AdminToken[]
  }
}

export interface DirectorServer {
  readonly live: LiveLoop
  /** Real ports, also where 0 was asked for. */
  readonly agentsPort: number | undefined
  readonly adminPort: number | undefined
  /** Lets those who wait go, writes what is not written, and closes. */
  close(): Promise<void>
}

/**
 * Long polls of ten thousand agents and a connection that closes for each that is opened anew; more would only take memory
 * from those.
 */
const AGENT_LIMITS: ListenLimits = {
  ...{ head: 10 * SECOND, body: 20 * SECOND, answer: 30 * SECOND, idle: 3 * MINUTE },
  connections: 15_000,
}
const ADMIN_LIMITS: ListenLimits = { ...AGENT_LIMITS, connections: 200 }
/** For answers that are on their way at the end. */
const LAST_ANSWERS: Duration = 200

/**
 * Starts a Runtime Director.
 *
 * @throws AgentError listen_failed, storage_failed, store_key_wrong
 */
export async function startServer(options: ServerOptions): Promise<DirectorServer> {
  const { keeper, clock, log, tree, rules } = options
  const live = openLive(keeper, { clock, log })
  await live.refresh()
  const waiters = openWaiters(live, clock)
  const seen = openSeen(keeper, clock)
  const parts = { keeper, clock, live, waiters, seen, counters: openCounters() }
  const listeners: Listener[] = []
  const agents = await openAgents(options, { ...parts, reports: openReports(keeper, live) })
  if (agents !== undefined) listeners.push(agents)
  try {
    const admin = await openAdmin(options, { ...parts, tree, rules })
    if (admin !== undefined) listeners.push(admin)
    const stop = new AbortController()
    const running = [live, waiters, seen].map((one) => one.run(stop.signal))
    if (options.watch)
      running.push(watchTree({ keeper, clock, log, tree, rules, live }, stop.signal))
    return {
      live,
      agentsPort: agents?.port,
      adminPort: admin?.port,
      async close() {
        stop.abort()
        await Promise.all(running)
        if (waiters.count > 0) await clock.sleep(LAST_ANSWERS, new AbortController().signal)
        await closeAll(listeners)
      },
    }
  } catch (thrown) {
    await closeAll(listeners)
    throw thrown
  }
}

async function closeAll(listeners: readonly Listener[]): Promise<void> {
  await Promise.all(listeners.map((listener) => listener.close()))
}

async function openAgents(
  { agents, firstUse }: ServerOptions,
  parts: Omit<Parameters<typeof agentsHandler>[0], 'firstUse'>,
): Promise<Listener | undefined> {
  if (agents === undefined) return undefined
  const tls: ListenTls = {
    ...agents.tls,
    ...{ requestClientCertificate: 'required', minVersion: 'TLSv1.2' },
  }
  return listen(agentsHandler({ ...parts, firstUse }), agents.at, tls, AGENT_LIMITS)
}

async function openAdmin(
  { admin }: ServerOptions,
  parts: Omit<Parameters<typeof adminApp>[0], 'tokens'>,
): Promise<Listener | undefined> {
  if (admin === undefined) return undefined
  const app = adminApp({ ...parts, tokens: admin.tokens })
  const tls = admin.tls && ({ ...admin.tls, minVersion: 'TLSv1.2' } as const)
  return listen((request) => app.fetch(request), admin.at, tls, ADMIN_LIMITS)
}

/** The rules of director.yaml. */
export function rulesOf({ rollout, history }: DirectorConfig): Rules {
  const { steps, wait, stopAfter } = rollout
  return { steps, wait, stopAfter, keep: history.versions, keepAudit: history.audit }
}
