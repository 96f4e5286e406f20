import { DAY } from '../model/time.ts'
import { listen, type Listener } from '../runtime/listen.ts'
import type { Lock } from '../runtime/lock.ts'
import { adminApp, type Administered } from './admin.ts'
import type { Authorities } from './authority.ts'
import type { PlaneCore } from './core.ts'
import type { PlaneEvent } from './events.ts'
import type { Landscape } from './landscape.ts'
import * as operator from './operator.ts'
import type { Plane, PlaneOptions } from './plane.ts'
import { openServers, type Servers, type ServerSettings } from './servers.ts'
import type { OneTimeToken } from './token.ts'
import { followLandscapeFile } from './watch.ts'

const SERVER: ServerSettings = { names: ['127.0.0.1', 'localhost', '::1'], lifetime: 397 * DAY }

/** A plane from its core on: servers, admin endpoint, the watch over its landscape file. */
export class RunningPlane implements Plane, Administered {
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
      runtimeDirectorUrl: `https://${name}:${mtls}`,
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

  get runtimeDirectorUrl(): string {
    return this.core.urls.runtimeDirectorUrl
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

  edit(change: (draft: Landscape) => void): void {
    const draft = structuredClone(this.landscape)
    change(draft)
    this.replace(draft)
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
