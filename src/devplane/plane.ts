import { AgentError } from '../model/problem.ts'
import { DAY, HOUR, type Instant } from '../model/time.ts'
import { systemClock } from '../runtime/clock.ts'
import { listen, type Listener } from '../runtime/listen.ts'
import { acquireLock, type Lock } from '../runtime/lock.ts'
import type { Log } from '../runtime/log.ts'
import { join } from '../runtime/path.ts'
import { adminApp, type Administered } from './admin.ts'
import {
  createAuthorities,
  loadAuthorities,
  storeAuthorities,
  type Authorities,
} from './authority.ts'
import { LandscapeHolder, type Lifetimes, type PlaneCore } from './core.ts'
import { EventLog, type PlaneEvent } from './events.ts'
import { KnobBoard, type KnobSettings } from './knob-board.ts'
import type { Landscape } from './landscape.ts'
import * as operator from './operator.ts'
import { openServers, type Servers, type ServerSettings } from './servers.ts'
import { PlaneStore } from './store.ts'
import type { OneTimeToken } from './token.ts'
import { followLandscapeFile, readLandscapeFile } from './watch.ts'

export type PlaneOptions = {
  /** A file is followed: what is saved there is served within a second. */
  landscape: Landscape | { file: string }
  /** Where everything is kept that must survive a restart; in memory when missing. Never one that another plane uses. */
  directory?: string
  /** Loopback, unless a test wants another one. */
  host?: string
  /** Missing: those of the last start, else free ones. */
  ports?: { token?: number; mtls?: number; admin?: number }
  /** 60 minutes and 90 days when missing, as Compass has them. */
  lifetimes?: Partial<Lifetimes>
  knobs?: KnobSettings
  /** Made anew (about half a second) or taken from the directory when missing; tests may share one. */
  authorities?: Authorities
  /** For tokens, certificates of clients and the Date header; timers and TLS use the real clock. */
  now?: () => Instant
  log?: Log
  onEvent?: (event: PlaneEvent) => void
}

/** A development control plane that listens: Connector, Director, and an admin endpoint that the real ones do not have. */
export interface Plane {
  /** The Connector for one-time tokens: `connector.url` of agent.yaml. */
  readonly tokenUrl: string
  readonly mtlsConnectorUrl: string
  readonly directorUrl: string
  readonly adminUrl: string
  /** Of the CA of both servers: `connector.ca` of agent.yaml. */
  readonly caPem: string
  readonly authorities: Authorities
  /** As it is served now; changed by {@link edit} only. */
  readonly landscape: Landscape
  issueToken(owner?: operator.TokenOwner): Promise<OneTimeToken>
  /** Turns the knobs named, see KNOBS. Throws `usage` with all that does not fit. */
  set(knobs: KnobSettings): Promise<void>
  /** Lets go of all knobs. */
  reset(): Promise<void>
  /** Serves a changed landscape from now on. `change` gets a copy that it may change in place, or returns another one. */
  edit(change: (draft: Landscape) => Landscape | undefined): void
  revoke(which?: operator.Revocation): Promise<string[]>
  runtimes(): operator.RuntimeView[]
  /** Requests seen so far, oldest first; `after` is a sequence number. */
  events(after?: number): PlaneEvent[]
  /** Closes all connections and ports; resolves when everything is on disk. */
  close(): Promise<void>
}

const SERVER: ServerSettings = { names: ['127.0.0.1', 'localhost', '::1'], lifetime: 397 * DAY }

/**
 * Starts a development control plane.
 *
 * @throws AgentError `config_missing`, `config_invalid` (landscape), `state_unusable`, `already_running` (directory),
 *   `listen_failed` (ports)
 */
export async function openPlane(options: PlaneOptions): Promise<Plane> {
  const lock = await lockDirectory(options.directory)
  try {
    const given = await givenLandscape(options)
    const core = await coreOf(options, given.landscape)
    return await new RunningPlane(options, { core, lock, text: given.text }).start()
  } catch (thrown) {
    await lock?.release()
    throw thrown
  }
}

async function lockDirectory(directory: string | undefined): Promise<Lock | undefined> {
  if (directory === undefined) return undefined
  await PlaneStore.open(directory)
  const lock = await acquireLock(join(directory, 'plane.lock'))
  if (lock !== undefined) return lock
  const message = `Cannot start a development control plane from ${directory}: another one uses it`
  throw new AgentError('already_running', message)
}

/** `text` is what a file held. */
async function givenLandscape({
  landscape,
}: PlaneOptions): Promise<{ landscape: Landscape; text?: string }> {
  return 'file' in landscape ? readLandscapeFile(landscape.file) : { landscape }
}

async function coreOf(options: PlaneOptions, given: Landscape): Promise<PlaneCore> {
  const { directory } = options
  const store = directory === undefined ? PlaneStore.inMemory() : await PlaneStore.open(directory)
  const board = new KnobBoard()
  board.set(options.knobs ?? {})
  return {
    store,
    board,
    events: new EventLog(options.onEvent ?? (() => undefined)),
    landscape: new LandscapeHolder(given, store),
    authorities: options.authorities ?? (await authoritiesOf(store)),
    lifetimes: { token: HOUR, certificate: 90 * DAY, ...options.lifetimes },
    now: options.now ?? (() => systemClock.now()),
    urls: { tokenUrl: '', mtlsConnectorUrl: '', directorUrl: '' },
  }
}

async function authoritiesOf(store: PlaneStore): Promise<Authorities> {
  const stored = store.state.authorities
  if (stored !== undefined) return loadAuthorities(stored)
  const made = await createAuthorities(systemClock.now())
  store.change((state) => Object.assign(state, { authorities: storeAuthorities(made) }))
  await store.saved()
  return made
}

class RunningPlane implements Plane, Administered {
  readonly core: PlaneCore
  readonly #options: PlaneOptions
  readonly #lock: Lock | undefined
  readonly #text: string | undefined
  readonly #stop = new AbortController()
  #servers: Servers | undefined
  #admin: Listener | undefined
  #following: Promise<void> | undefined
  /** What the servers show now. */
  #settings: ServerSettings = SERVER

  constructor(
    options: PlaneOptions,
    opened: { core: PlaneCore; lock: Lock | undefined; text: string | undefined },
  ) {
    this.#options = options
    this.core = opened.core
    this.#lock = opened.lock
    this.#text = opened.text
  }

  async start(): Promise<this> {
    const host = this.#options.host ?? '127.0.0.1'
    const ports = { ...this.core.store.state.ports, ...this.#options.ports }
    this.#settings = this.#wanted()
    try {
      const open = { token: ports.token ?? 0, mtls: ports.mtls ?? 0 }
      this.#servers = await openServers(this.core, { host, ports: open, settings: this.#settings })
      this.#admin = await listen(adminApp(this), { host, port: ports.admin ?? 0 })
      await this.#remember(host)
    } catch (thrown) {
      await this.#closeServers()
      throw thrown
    }
    this.#follow()
    return this
  }

  async #remember(host: string): Promise<void> {
    const { token = 0, mtls = 0 } = this.#servers?.ports ?? {}
    const name = host.includes(':') ? `[${host}]` : host
    this.core.urls = {
      tokenUrl: `https://${name}:${token}/connector/graphql`,
      mtlsConnectorUrl: `https://${name}:${mtls}/connector/graphql`,
      directorUrl: `https://${name}:${mtls}/director/graphql`,
    }
    this.core.store.change((state) => {
      state.ports = { token, mtls, admin: this.#admin?.port ?? 0 }
    })
    await this.core.store.saved()
  }

  #follow(): void {
    const { landscape, log } = this.#options
    if (!('file' in landscape) || this.#text === undefined) return
    this.#following = followLandscapeFile(landscape.file, {
      text: this.#text,
      log,
      signal: this.#stop.signal,
      changed: (next) => this.core.landscape.replace(next),
    })
  }

  get tokenUrl(): string {
    return this.core.urls.tokenUrl
  }

  get mtlsConnectorUrl(): string {
    return this.core.urls.mtlsConnectorUrl
  }

  get directorUrl(): string {
    return this.core.urls.directorUrl
  }

  get adminUrl(): string {
    const { host, port } = this.#admin ?? {}
    return `http://${host?.includes(':') === true ? `[${host}]` : (host ?? '')}:${port ?? 0}`
  }

  get caPem(): string {
    return this.core.authorities.server.certificate
  }

  get authorities(): Authorities {
    return this.core.authorities
  }

  get landscape(): Landscape {
    return this.core.landscape.catalog.landscape
  }

  issueToken(owner: operator.TokenOwner = {}): Promise<OneTimeToken> {
    return operator.issueToken(this.core, owner)
  }

  async set(knobs: Record<string, unknown>): Promise<void> {
    this.core.board.set(knobs)
    await this.#showCertificate()
  }

  async reset(): Promise<void> {
    this.core.board.reset()
    await this.#showCertificate()
  }

  edit(change: (draft: Landscape) => Landscape | undefined): void {
    const draft = structuredClone(this.landscape)
    this.replace(change(draft) ?? draft)
  }

  replace(landscape: Landscape): void {
    // What the admin endpoint changed is part of what was edited, or replaced with it.
    this.core.store.change((state) => {
      state.overlay = { applications: {}, runtimes: {} }
    })
    this.core.landscape.replace(landscape)
  }

  revoke(which: operator.Revocation = {}): Promise<string[]> {
    return operator.revoke(this.core, which)
  }

  runtimes(): operator.RuntimeView[] {
    return operator.runtimesOf(this.core)
  }

  events(after = 0): PlaneEvent[] {
    return this.core.events.since(after)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#following
    await this.#closeServers()
    await this.core.store.saved()
    await this.#lock?.release()
  }

  async #closeServers(): Promise<void> {
    await Promise.all([this.#servers?.close(), this.#admin?.close()])
  }

  #wanted(): ServerSettings {
    return {
      names: this.core.board.peek('serverNames') ?? SERVER.names,
      lifetime: this.core.board.peek('serverLifetime') ?? SERVER.lifetime,
    }
  }

  async #showCertificate(): Promise<void> {
    const wanted = this.#wanted()
    const { names, lifetime } = this.#settings
    if (wanted.lifetime === lifetime && wanted.names.join() === names.join()) return
    this.#settings = wanted
    await this.#servers?.restart(wanted)
  }
}
