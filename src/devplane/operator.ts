import { AgentError } from '../model/problem.ts'
import type { Instant } from '../model/time.ts'
import type { PlaneCore, RuntimeReport } from './core.ts'
import { DirectorError, notFound } from './director-error.ts'
import type { Landscape, LandscapeApplication, LandscapeRuntime } from './landscape.ts'
import { normalizeName } from './names.ts'
import { labelsOf, recordOf } from './runtimes.ts'
import { describeToken, newSystemAuth, type OneTimeToken } from './token.ts'

/** Who a token is for; the first runtime of the landscape when nothing is said. Names or ids. */
export type TokenOwner = { runtime?: string; application?: string }

/** What the operators of Compass see of a runtime. */
export type RuntimeView = {
  id: string
  name: string
  labels: Record<string, unknown>
  connected?: Instant
  /** Of certificates that have not expired. */
  certificates: { fingerprint: string; notAfter: Instant; revoked: boolean }[]
  /** What it told the Runtime Director last. */
  report?: RuntimeReport
}

/** A new one-time token, as `requestOneTimeTokenForRuntime` gives it. Each makes a new system auth, so a new CN. */
export async function issueToken(core: PlaneCore, owner: TokenOwner = {}): Promise<OneTimeToken> {
  const { store, now } = core
  const { runtimes, applications } = core.landscape.catalog.landscape
  const created = now()
  const found =
    owner.application === undefined
      ? { type: 'RUNTIME' as const, id: find(runtimes, owner.runtime, 'runtime').id }
      : {
          type: 'APPLICATION' as const,
          id: find(applications, owner.application, 'application').id,
        }
  const { auth, token } = newSystemAuth(store, found, created)
  await store.saved()
  const lifetime = core.board.peek('tokenLifetime') ?? core.lifetimes.token
  return describeToken(token, auth, { connectorURL: core.urls.tokenUrl, created, lifetime })
}

function find<T extends { id: string; name: string }>(
  items: readonly T[],
  wanted: string | undefined,
  what: string,
): T {
  const found =
    wanted === undefined ? items[0] : items.find(({ id, name }) => id === wanted || name === wanted)
  if (found !== undefined) return found
  const named = wanted === undefined ? `any ${what}` : `the ${what} "${wanted}"`
  throw new AgentError('usage', `Cannot find ${named}: the landscape has ${items.length}`)
}

/** Which certificates to revoke: one, or all of a runtime. */
export type Revocation = { fingerprint?: string; runtime?: string }

/** Revokes certificates; returns their fingerprints. */
export async function revoke(core: PlaneCore, which: Revocation): Promise<string[]> {
  const fingerprints = fingerprintsOf(core, which)
  core.store.change((state) => {
    state.revoked = [...new Set([...state.revoked, ...fingerprints])]
  })
  await core.store.saved()
  return fingerprints
}

function fingerprintsOf(core: PlaneCore, which: Revocation): string[] {
  if (which.fingerprint !== undefined) return [which.fingerprint]
  const { runtimes } = core.landscape.catalog.landscape
  const { id } = find(runtimes, which.runtime, 'runtime')
  return certificatesOf(core, id).map(({ fingerprint }) => fingerprint)
}

function certificatesOf(
  core: PlaneCore,
  runtime: string,
): { fingerprint: string; notAfter: Instant }[] {
  const { certificates, systemAuths } = core.store.state
  return certificates.filter(({ systemAuth }) => systemAuths[systemAuth]?.owner.id === runtime)
}

/** All runtimes with what is known of them. */
export function runtimesOf(core: PlaneCore): RuntimeView[] {
  const { store, now, reports } = core
  return core.landscape.catalog.landscape.runtimes.map((runtime) => {
    const record = recordOf(store, runtime.id, now())
    const report = reports.get(runtime.id)
    return {
      id: runtime.id,
      name: runtime.name,
      labels: labelsOf(runtime, record),
      ...(record.connected === undefined ? {} : { connected: record.connected }),
      certificates: certificatesOf(core, runtime.id).map(({ fingerprint, notAfter }) => ({
        fingerprint,
        notAfter,
        revoked: store.state.revoked.includes(fingerprint),
      })),
      ...(report === undefined ? {} : { report }),
    }
  })
}

/**
 * Registers an application, or changes one of the same id.
 *
 * @throws DirectorError 31 when another one has the name, in normalised form and with the same system number
 */
export async function putApplication(
  core: PlaneCore,
  application: LandscapeApplication,
): Promise<void> {
  const key = nameKey(application)
  const { applications } = core.landscape.catalog.landscape
  const other = applications.find((one) => one.id !== application.id && nameKey(one) === key)
  if (other !== undefined) {
    const message = 'Object name is not unique [object=application]'
    throw new DirectorError(31, message)
  }
  await overlay(core, (state) => (state.applications[application.id] = application))
}

function nameKey({ name, systemNumber }: LandscapeApplication): string {
  return `${normalizeName(name)}\n${systemNumber ?? ''}`
}

/** Puts an application into these formations and no others; none: no runtime sees it. */
export async function assign(core: PlaneCore, id: string, formations: string[]): Promise<void> {
  const application = knownApplication(core, id)
  await overlay(core, (state) => (state.applications[id] = { ...application, formations }))
}

/** Unregisters an application. */
export async function deleteApplication(core: PlaneCore, id: string): Promise<void> {
  knownApplication(core, id)
  await overlay(core, (state) => (state.applications[id] = null))
}

function knownApplication(core: PlaneCore, id: string): LandscapeApplication {
  const { applications } = core.landscape.catalog.landscape
  const found = applications.find((application) => application.id === id)
  if (found === undefined) throw notFound('application', id)
  return found
}

/** Registers a runtime, or changes one of the same id. */
export function putRuntime(core: PlaneCore, runtime: LandscapeRuntime): Promise<void> {
  return overlay(core, (state) => (state.runtimes[runtime.id] = runtime))
}

/** Unregisters a runtime: its system auths go with it, so nobody knows its certificates any more. */
export async function deleteRuntime(core: PlaneCore, wanted: string): Promise<void> {
  const { id } = find(core.landscape.catalog.landscape.runtimes, wanted, 'runtime')
  core.store.change((state) => {
    const auths = Object.entries(state.systemAuths)
    state.systemAuths = Object.fromEntries(auths.filter(([, { owner }]) => owner.id !== id))
  })
  await overlay(core, (state) => (state.runtimes[id] = null))
}

type Overlay = {
  applications: Record<string, LandscapeApplication | null>
  runtimes: Record<string, LandscapeRuntime | null>
}

async function overlay(core: PlaneCore, change: (state: Overlay) => unknown): Promise<void> {
  core.store.change((state) => change(state.overlay))
  core.landscape.refresh()
  await core.store.saved()
}

/** The landscape as it is served. */
export function landscapeOf(core: PlaneCore): Landscape {
  return core.landscape.catalog.landscape
}
