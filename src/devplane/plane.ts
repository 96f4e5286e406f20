import { AgentError } from '../model/problem.ts'
import { DAY, HOUR, type Instant } from '../model/time.ts'
import { systemClock } from '../runtime/clock.ts'
import { ensureDirectory, removeTemporary } from '../runtime/files.ts'
import { acquireLock, type Lock } from '../runtime/lock.ts'
import type { Log } from '../runtime/log.ts'
import { join } from '../runtime/path.ts'
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
import type { Revocation, RuntimeView, TokenOwner } from './operator.ts'
import { RunningPlane } from './running-plane.ts'
import { PlaneStore } from './store.ts'
import type { OneTimeToken } from './token.ts'
import { readLandscapeFile } from './watch.ts'

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
  /** `configuration.url` of agent.yaml. */
  readonly runtimeDirectorUrl: string
  readonly adminUrl: string
  /** Of the CA of both servers: `connector.ca` of agent.yaml. */
  readonly caPem: string
  readonly authorities: Authorities
  /** As it is served now; changed by {@link edit} and {@link replace} only. */
  readonly landscape: Landscape
  issueToken(owner?: TokenOwner): Promise<OneTimeToken>
  /** Turns the knobs named, see KNOBS. Throws `usage` with all that does not fit. */
  set(knobs: KnobSettings): Promise<void>
  /** Lets go of all knobs. */
  reset(): Promise<void>
  /** Serves a changed landscape from now on: `change` gets a copy and changes it in place. */
  edit(change: (draft: Landscape) => void): void
  /** Serves another landscape from now on. */
  replace(landscape: Landscape): void
  revoke(which?: Revocation): Promise<string[]>
  runtimes(): RuntimeView[]
  /** Requests seen so far, oldest first; `after` is a sequence number. */
  events(after?: number): PlaneEvent[]
  /** Closes all connections and ports; resolves when everything is on disk. */
  close(): Promise<void>
}

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
  await ensureDirectory(directory, { mode: 0o700 })
  const lock = await acquireLock(join(directory, 'plane.lock'))
  if (lock !== undefined) {
    await removeTemporary(directory)
    return lock
  }
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
    reports: new Map(),
    urls: { tokenUrl: '', mtlsConnectorUrl: '', directorUrl: '', runtimeDirectorUrl: '' },
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
