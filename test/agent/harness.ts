import { openCompass } from '../../src/agent/compass.ts'
import type { CompassOptions } from '../../src/agent/compass.ts'
import type { AgentSettings, ConfigurationDeps } from '../../src/agent/deps.ts'
import { runLoop } from '../../src/agent/loop.ts'
import type { Asked, Ownership, Reporter, TriggerOutcome } from '../../src/agent/ports.ts'
import { createAuthorities } from '../../src/devplane/authority.ts'
import type { Landscape } from '../../src/devplane/landscape.ts'
import { openPlane } from '../../src/devplane/plane.ts'
import type { Plane, PlaneOptions } from '../../src/devplane/plane.ts'
import type { TokenOwner } from '../../src/devplane/operator.ts'
import type { OneTimeToken } from '../../src/devplane/token.ts'
import type { Identity } from '../../src/model/identity.ts'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import type { Status } from '../../src/model/status.ts'
import { HOUR, MINUTE } from '../../src/model/time.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { generateRsaKey } from '../../src/runtime/keys.ts'
import { openLog } from '../../src/runtime/log.ts'
import { renderMetrics } from '../../src/server/metrics.ts'
import { openTriggerQueue } from '../../src/server/trigger-queue.ts'
import { openMemory } from '../../src/targets/memory.ts'
import type { Target } from '../../src/targets/target.ts'
import { Canaries } from './canaries.ts'
import { LoopClock } from './loop-clock.ts'
import { openStores } from './stores.ts'
import type { Stores } from './stores.ts'

/*
 * A real agent loop against a real development control plane in this process, over real TLS. Only time is made up, and
 * what the composition root would bring (stores, token, targets, reporters) is made by hand.
 *
 * Every agent proves when it stops that no secret is in anything it said.
 */

/** Made once a process: RSA keys are the slow part. */
let authorities: ReturnType<typeof createAuthorities> | undefined

/** Keys that are used in turn: making one takes longer than most tests. */
const KEYS = 4
let keys: Promise<Secret[]> | undefined
let keysUsed = 0

async function nextKey(): Promise<Secret> {
  const make = async (): Promise<Secret> => (await generateRsaKey(2048)).privateKeyPem
  keys ??= Promise.all(Array.from({ length: KEYS }, make))
  return (await keys)[keysUsed++ % KEYS]!
}

/** One plane, the clock that it shares with the agents, and all secrets that were ever given out. */
export class World implements AsyncDisposable {
  readonly plane: Plane
  readonly clock: LoopClock
  readonly secrets = new Canaries()
  /** The Runtime Director keeps nobody waiting: who listens is answered before time goes on. */
  answersAtOnce = false
  #identity: Promise<Identity> | undefined

  private constructor(plane: Plane, clock: LoopClock) {
    this.plane = plane
    this.clock = clock
    this.secrets.addLandscape(plane.landscape)
  }

  static async open(
    landscape: Landscape,
    options: Partial<PlaneOptions> & { clock?: LoopClock } = {},
  ): Promise<World> {
    const { clock = new LoopClock(), ...rest } = options
    authorities ??= createAuthorities(Date.now())
    const now = (): number => clock.now()
    const shared = { landscape, authorities: await authorities, now }
    return new World(await openPlane({ ...shared, ...rest }), clock)
  }

  get runtimeId(): string {
    return this.plane.landscape.runtimes[0]!.id
  }

  async issueToken(owner?: TokenOwner): Promise<OneTimeToken> {
    const token = await this.plane.issueToken(owner)
    this.secrets.addToken(token)
    return token
  }

  /** A new token as a person would give it. */
  async token(owner?: TokenOwner): Promise<string> {
    return (await this.issueToken(owner)).rawEncoded
  }

  edit(change: (draft: Landscape) => void): void {
    this.plane.edit(change)
    this.secrets.addLandscape(this.plane.landscape)
  }

  /** An identity of the first runtime, enrolled once for all who ask. */
  identity(): Promise<Identity> {
    this.#identity ??= this.#enrol()
    return this.#identity
  }

  async #enrol(): Promise<Identity> {
    const stores = openStores()
    const agent = await this.start({ stores, token: await this.token(), targets: [] })
    await agent.until(({ identity }) => identity !== undefined)
    await agent.stop()
    return (await stores.identity.load())!.identity
  }

  /** An agent that is enrolled already and in step. */
  async healthy(options: AgentOptions = {}): Promise<TestAgent> {
    const agent = await this.start({ stores: openStores(await this.identity()), ...options })
    await agent.atRest()
    return agent
  }

  /** An agent that begins to run. */
  start(options: AgentOptions = {}): Promise<TestAgent> {
    return Promise.resolve(new TestAgent(this, options))
  }

  /** How many requests the plane has seen: for {@link requests}. */
  mark(): number {
    return this.plane.events().at(-1)?.sequence ?? 0
  }

  /** What was asked of the plane since the mark, in order: `applications+runtime`, `sign`. */
  requests(mark = 0): string[] {
    return this.plane
      .events(mark)
      .map(({ operations }) => operations.toSorted((a, b) => (a < b ? -1 : 1)).join('+'))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.plane.close()
  }
}

export type AgentOptions = {
  stores?: Stores
  token?: string | undefined
  targets?: Target[]
  clock?: Clock
  settings?: Partial<AgentSettings>
  ownership?: Ownership
  compass?: Partial<CompassOptions>
  /** What stands in `configuration` of agent.yaml: the plane is its Runtime Director. */
  configuration?: Partial<ConfigurationDeps>
  /** Makes RSA keys as the product does, instead of using a few in turn. */
  ownKeys?: boolean
  reporters?: Reporter[]
  /** For jitter; half of what is possible when missing. */
  random?: () => number
}

export const INTERVAL = 3 * MINUTE

const SETTINGS: AgentSettings = {
  name: 'test',
  interval: INTERVAL,
  labels: {},
  renewal: { threshold: 0.3, windows: [] },
  guard: {
    ordinary: { count: 5, percent: 20 },
    massDeletion: 'hold',
    credentialsGrace: 24 * HOUR,
  },
  insecure: false,
}

/** What the tests let in. */
const ALLOW = [
  { apiVersion: 'dapr.io/v1alpha1', kind: 'Component', namespaces: ['apps'], names: ['*'] },
]

/** Real time in which something must be reported; only a test that fails waits for so long. */
const PATIENCE = 15_000

type Waiter = { holds: (status: Status) => boolean; resolve: (status: Status) => void }

/** A running agent. */
export class TestAgent implements AsyncDisposable {
  readonly world: World
  readonly stores: Stores
  readonly clock: Clock
  /** What lies where connector.token points; `unreadable` cannot be read. */
  token: string | undefined | { unreadable: string }
  /** Lines of the log, level debug. */
  readonly log: string[] = []
  /** All that was reported, oldest first. */
  readonly statuses: Status[] = []
  readonly ended: Promise<void>
  /** Whether the state is free for another agent. */
  released = false
  #final = false
  #waiters: Waiter[] = []
  readonly #queue = openTriggerQueue()
  readonly #stop = new AbortController()

  constructor(world: World, options: AgentOptions) {
    const { stores = openStores(), clock = world.clock, targets = [openMemory('memory')] } = options
    this.world = world
    this.stores = stores
    this.clock = clock
    this.token = options.token
    let count = 0
    const now = (): number => clock.now()
    this.ended = runLoop(
      {
        settings: { ...SETTINGS, ...options.settings },
        clock,
        random: options.random ?? ((): number => 0.5),
        ...(options.ownKeys === true ? {} : { makeKey: nextKey }),
        uuid: () => `00000000-0000-4000-8000-${String(++count).padStart(12, '0')}`,
        log: openLog({
          level: 'debug',
          format: 'json',
          write: (line) => void this.log.push(line),
        }),
        version: 'test',
        pid: 1,
        store: world.secrets.watch(stores.identity),
        snapshots: stores.snapshots,
        states: stores.states,
        ...(options.configuration === undefined
          ? {}
          : {
              configuration: {
                interval: MINUTE,
                rules: { allow: ALLOW, secrets: ['*password', '*Token'] },
                digest: 'rules',
                store: stores.configurations,
                ...options.configuration,
              },
            }),
        token: { read: () => this.#readToken() },
        compass: openCompass({
          ca: [world.plane.caPem],
          proxy: { except: ['*'] },
          insecureSkipVerify: false,
          ...(options.configuration === undefined
            ? {}
            : { runtimeDirector: { url: world.plane.runtimeDirectorUrl, maxBytes: 64 * 1024 } }),
          version: 'test',
          now,
          ...options.compass,
        }),
        targets,
        reporters: [
          ...(options.reporters ?? []),
          { report: (status, final) => this.#heard(status, final) },
        ],
        triggers: this.#queue,
        ownership: options.ownership ?? {
          acquire: () =>
            Promise.resolve({
              lost: new AbortController().signal,
              release: () => this.#release(),
            }),
        },
      },
      this.#stop.signal,
    )
    this.ended.catch(() => undefined) // thrown by stop()
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- a token that cannot be read rejects
  async #readToken(): Promise<Secret | undefined> {
    const { token } = this
    if (typeof token !== 'object') return token === undefined ? undefined : new Secret(token)
    throw new AgentError('token_unreadable', `Cannot read the token: ${token.unreadable}`)
  }

  #release(): Promise<void> {
    this.released = true
    return Promise.resolve()
  }

  #heard(status: Status, final: boolean): Promise<void> {
    this.statuses.push(status)
    const { running, sources } = status
    const asks = this.world.answersAtOnce && sources.some(({ listening }) => listening)
    if (this.clock !== systemClock) this.world.clock.busy = running.length > 0 || asks
    this.#final ||= final
    const heard = this.#waiters.filter(({ holds }) => holds(status))
    this.#waiters = this.#waiters.filter((waiter) => !heard.includes(waiter))
    for (const { resolve } of heard) resolve(status)
    return Promise.resolve()
  }

  /** The latest status. */
  get status(): Status {
    return this.statuses.at(-1)!
  }

  /** Codes of all that is wrong, as the status shows it. */
  get codes(): string[] {
    return this.status.problems.map(({ code }) => code)
  }

  /** The first status reported from now on, or the latest one, for which this holds. */
  async until(holds: (status: Status) => boolean): Promise<Status> {
    const latest = this.statuses.at(-1)
    if (latest !== undefined && holds(latest)) return latest
    let timer: NodeJS.Timeout | undefined
    const heard = await new Promise<Status>((resolve, reject) => {
      this.#waiters.push({ holds, resolve })
      const late = (): void => reject(new Error(`never reported; last: ${this.summary()}`))
      timer = setTimeout(late, PATIENCE)
    })
    clearTimeout(timer)
    return heard
  }

  /** Until it waits and nothing is due. */
  async atRest(): Promise<void> {
    await this.world.clock.atRest()
  }

  /** Asks, and waits until all that follows from it is done. */
  async ask(asked: Asked): Promise<TriggerOutcome> {
    const outcome = await new Promise<TriggerOutcome>((reply) => {
      this.#queue.ask({ ...asked, reply })
    })
    if (this.clock !== systemClock) await this.atRest()
    return outcome
  }

  async sync(): Promise<Status> {
    return (await this.ask({ kind: 'sync' })).status
  }

  /** One line for a person who reads why a test failed. */
  summary(): string {
    const status = this.statuses.at(-1)
    if (status === undefined) return 'nothing was reported'
    const { state, why, token, problems } = status
    return JSON.stringify({ state, why, token, problems: problems.map((p) => p.message) })
  }

  /** Ends the loop and proves that nothing secret was said. */
  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    await this.ended
    if (!this.released) throw new Error('the state was not released')
    if (!this.#final) throw new Error('the last status was not reported as such')
    const found = this.world.secrets.foundIn(this.said())
    if (found.length > 0) throw new Error(`secrets were said: ${found.join(', ')}`)
  }

  /** Log, statuses, metrics and what it stored for its own use in clear. */
  said(): string {
    const statuses = new Set(this.statuses.map((status) => JSON.stringify(status)))
    const metrics = new Set(
      this.statuses.slice(-50).map((status) => renderMetrics(status, { memory: 1, cpu: 1 })),
    )
    return [...this.log, ...statuses, ...metrics, this.stores.states.text ?? ''].join('\n')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
