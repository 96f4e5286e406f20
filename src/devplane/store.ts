import type { Instant } from '../model/time.ts'
import { AgentError } from '../model/problem.ts'
import { readText, writeAtomic } from '../runtime/files.ts'
import { join } from '../runtime/path.ts'
import { isObject, parseJson } from './graphql.ts'
import type { LandscapeApplication, LandscapeAuth, LandscapeRuntime } from './landscape.ts'

/** Who a certificate or token belongs to: every new token from outside makes another one, so another CN. */
export type SystemAuth = {
  id: string
  owner: { type: 'RUNTIME' | 'APPLICATION'; id: string }
  created: Instant
  /** The one token that may live; each new one replaces it. Only its digest is kept. */
  token?: { digest: string; created: Instant; used: boolean }
  /** It has made a call with a certificate. */
  certified: boolean
}

/** A client certificate that was signed here. */
export type IssuedCertificate = {
  fingerprint: string
  systemAuth: string
  notBefore: Instant
  notAfter: Instant
}

/** What was learned about a runtime since it is in the landscape. */
export type RuntimeRecord = {
  created: Instant
  /** When it was first heard of over its certificate. */
  connected?: Instant
  /** Laid over the labels of the landscape; null for a deleted one. */
  labels: Record<string, unknown>
}

export type InstanceAuthCondition = 'PENDING' | 'SUCCEEDED' | 'FAILED' | 'UNUSED'

export type InstanceAuth = {
  id: string
  bundle: string
  runtime?: string
  /** Re-serialised JSON text, as the Director's database gives it back. */
  context?: string
  inputParams?: string
  auth?: LandscapeAuth
  status: { condition: InstanceAuthCondition; timestamp: Instant; message: string; reason: string }
}

/** A certificate authority as it is kept: PEM texts. */
export type StoredAuthority = { certificate: string; key: string }

/** Everything that must survive a restart. The landscape is not in it, only what was changed about it. */
export type PlaneState = {
  version: 1
  ports: { token?: number; mtls?: number; admin?: number }
  authorities?: {
    client: StoredAuthority
    server: StoredAuthority
    serverKey: { privateKeyPem: string; publicKeyPem: string }
  }
  systemAuths: Record<string, SystemAuth>
  certificates: IssuedCertificate[]
  /** Fingerprints. */
  revoked: string[]
  runtimes: Record<string, RuntimeRecord>
  instanceAuths: InstanceAuth[]
  /** Laid over the landscape by the admin endpoint; null for what was unregistered. */
  overlay: {
    applications: Record<string, LandscapeApplication | null>
    runtimes: Record<string, LandscapeRuntime | null>
  }
}

function emptyState(): PlaneState {
  return {
    version: 1,
    ports: {},
    systemAuths: {},
    certificates: [],
    revoked: [],
    runtimes: {},
    instanceAuths: [],
    overlay: { applications: {}, runtimes: {} },
  }
}

const FILE = 'plane.json'

/**
 * The state of a plane, in memory or in one file of a directory of its own (0600 in 0700).
 *
 * Every request waits for {@link saved} before it is answered, so a plane that is killed has done what it said, and a
 * token that it took is spent after the next start too.
 */
export class PlaneStore {
  readonly state: PlaneState
  readonly #path: string | undefined
  #dirty = false
  #writing: Promise<void> | undefined

  private constructor(state: PlaneState, path: string | undefined) {
    this.state = state
    this.#path = path
  }

  /** A state that ends with the process. */
  static inMemory(): PlaneStore {
    return new PlaneStore(emptyState(), undefined)
  }

  /**
   * The state of a directory that exists and is locked.
   *
   * @throws AgentError `state_unusable` when there is a file that this version did not write
   */
  static async open(directory: string): Promise<PlaneStore> {
    const path = join(directory, FILE)
    const text = await readText(path, 256 * 1024 * 1024)
    if (text === undefined) return new PlaneStore(emptyState(), path)
    const state = parseJson(text)
    if (isPlaneState(state)) return new PlaneStore(state, path)
    throw new AgentError(
      'state_unusable',
      `Cannot start the development control plane from ${path}: it is not a state of this version`,
    )
  }

  /** Changes the state; on disk when {@link saved} resolves. */
  change<T>(apply: (state: PlaneState) => T): T {
    this.#dirty = true
    return apply(this.state)
  }

  /** Resolves when all changes made so far are on disk. Requests at the same time share one write. */
  async saved(): Promise<void> {
    if (this.#path === undefined) return
    while (this.#dirty || this.#writing !== undefined) {
      this.#writing ??= this.#write(this.#path)
      await this.#writing
    }
  }

  async #write(path: string): Promise<void> {
    this.#dirty = false
    try {
      await writeAtomic(path, `${JSON.stringify(this.state, null, 1)}\n`, { mode: 0o600 })
    } catch (thrown) {
      this.#dirty = true
      throw thrown
    } finally {
      this.#writing = undefined
    }
  }
}

/** Only this class writes the file, whole: the version tells enough. */
function isPlaneState(value: unknown): value is PlaneState {
  return isObject(value) && value['version'] === 1 && isObject(value['overlay'])
}
