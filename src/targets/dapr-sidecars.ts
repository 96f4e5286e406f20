import type { Sidecar } from '../clients/dapr.ts'
import { AgentError, problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import { parseDuration } from '../config/duration.ts'
import type { Clock } from '../runtime/clock.ts'
import type { FileObject } from './dapr-file.ts'
import { GENERATION } from './dapr-secrets.ts'

/** A daprd that reads our file. */
export type DaprReader = { sidecar: Sidecar; reload: 'hot' | 'sighup' | 'command' }

/** What daprd should have once it took our file. */
export type Expected = {
  objects: readonly FileObject[]
  /** The store, and which secrets it has; missing when there are none. */
  store: { name: string; hash: string } | undefined
}

/** How one sidecar stands to what is expected. */
export type Look =
  | { state: 'away'; problem: Problem }
  /** It takes no change by itself, and nobody makes it: nothing can be concluded from what it has. */
  | { state: 'deaf'; problem: Problem }
  | {
      state: 'there'
      /** What it does not have. */
      missing: FileObject[]
      /** It does not even have the secret store. */
      storeMissing: boolean
      /** The store has other secrets than those expected. */
      stale: boolean
    }

export type Looks = { name: string; look: Look }[]

/** The first version whose hot reload loses nothing (reference/dapr.md §3). */
const FLOOR = [1, 18, 2]

/** Whether a sidecar has a store with other secrets than those expected. */
export function isAnyStale(looks: Looks): boolean {
  return looks.some(({ look }) => look.state === 'there' && look.stale)
}

export async function lookAtAll(
  readers: readonly DaprReader[],
  expected: Expected,
  signal: AbortSignal,
): Promise<Looks> {
  return Promise.all(
    readers.map(async (reader) => ({
      name: reader.sidecar.name,
      look: await lookAt(reader, expected, signal),
    })),
  )
}

async function lookAt(
  { sidecar, reload }: DaprReader,
  expected: Expected,
  signal: AbortSignal,
): Promise<Look> {
  try {
    const { id, version, features, components, endpoints } = await sidecar.metadata(signal)
    const deaf = reload === 'hot' ? whyDeaf(version, features) : undefined
    if (deaf !== undefined) {
      const message = `Cannot rely on the hot reload of daprd at ${sidecar.name}: ${deaf}`
      return {
        state: 'deaf',
        problem: problem('dapr_too_old', message, { subject: sidecar.name }),
      }
    }
    const mine = expected.objects.filter(({ document: { scopes = [] } }) => isFor(scopes, id))
    const { store } = expected
    const stores = mine.some(({ document }) => document.auth?.secretStore === store?.name)
    const storeMissing = store !== undefined && stores && !components.has(store.name)
    return {
      state: 'there',
      missing: mine.filter(({ document: { kind, metadata } }) =>
        kind === 'Component'
          ? !components.has(metadata.name)
          : kind === 'HTTPEndpoint' && !endpoints.has(metadata.name),
      ),
      storeMissing,
      stale: stores && !storeMissing && (await isStale(sidecar, store, signal)),
    }
  } catch (thrown) {
    if (!(thrown instanceof AgentError) || thrown.code === 'internal') throw thrown
    return { state: 'away', problem: awayOf(sidecar.name, thrown) }
  }
}

function isFor(scopes: readonly string[], id: string): boolean {
  return scopes.length === 0 || scopes.includes(id)
}

/** Values are proved by one that is no secret: where daprd may not tell, nothing is proved and nothing wrong. */
async function isStale(
  sidecar: Sidecar,
  store: Expected['store'],
  signal: AbortSignal,
): Promise<boolean> {
  if (store === undefined) return false
  const ref = { store: store.name, name: GENERATION, key: 'value' }
  const found = await sidecar.secret(ref, signal)
  return found !== undefined && found !== store.hash
}

function whyDeaf(version: string, features: ReadonlySet<string>): string | undefined {
  const parts = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number)
  // An edge build has no number; whoever runs one knows.
  if (parts !== undefined) {
    const at = parts.findIndex((part, index) => part !== FLOOR[index])
    if (at >= 0 && (parts[at] ?? 0) < (FLOOR[at] ?? 0)) return `it is ${version}`
  }
  return features.size > 0 && !features.has('HotReload') ? 'it is switched off' : undefined
}

function awayOf(name: string, { code, class: kind, message, hint }: AgentError): Problem {
  if (code === 'dapr_unreachable' || kind === 'operator')
    return problem(code, message, { subject: name, hint })
  const why = message.replace(/^.*?: /, '')
  return problem('dapr_unreachable', `Cannot ask daprd at ${name} what it took: ${why}`, {
    subject: name,
  })
}

/** How long one that restarts may be away. */
const RESTART: Duration = 30 * SECOND
/** What Dapr gives a Component that names no time of its own. */
const INIT: Duration = 5 * SECOND
const LOOK_EVERY: Duration = 100

export type SettleInput = {
  readers: readonly DaprReader[]
  expected: Expected
  /** Names of the sidecars that were there before the change. */
  before: ReadonlySet<string>
  /** Called when a store has its new secrets only after the last rename: what refers to it was looked at too early. */
  again: () => Promise<void>
  /** A store did not have its new secrets at the last rename. */
  late: boolean
  clock: Clock
  signal: AbortSignal
}

/**
 * Looks until every sidecar has what it should, twice in a row, as an old version may still be there at the first look; or
 * until it is clear that one will not have it.
 */
export async function settle(input: SettleInput): Promise<Looks> {
  const { readers, expected, before, clock, signal } = input
  let since = clock.now()
  let missing = Infinity
  let good = 0
  let { late } = input
  for (;;) {
    await clock.sleep(LOOK_EVERY, signal)
    signal.throwIfAborted()
    const looks = await lookAtAll(readers, expected, signal)
    // One that takes one Component after the other is at work.
    const still = looks.reduce((sum, { look }) => sum + missingIn(look), 0)
    if (still < missing) since = clock.now()
    missing = Math.min(missing, still)
    const waited = clock.now() - since
    const open = looks.filter(({ name, look }) => isOpen(look, before.has(name)))
    const stale = isAnyStale(looks)
    if (late && !stale) await input.again()
    late = stale
    good = open.length === 0 ? good + 1 : 0
    const lost = open.length > 0 && open.every(({ look }) => waited >= patience(look))
    if (good >= 2 || lost) return looks
  }
}

function missingIn(look: Look): number {
  return look.state === 'there' ? look.missing.length + Number(look.storeMissing) : 0
}

function isOpen(look: Look, wasThere: boolean): boolean {
  if (look.state === 'away') return wasThere
  return look.state === 'there' && (look.missing.length > 0 || look.storeMissing || look.stale)
}

function patience(look: Look): Duration {
  if (look.state !== 'there') return RESTART
  const times = look.missing.map(({ document: { spec } }) => {
    const { initTimeout } = spec
    return (typeof initTimeout === 'string' ? parseDuration(initTimeout) : undefined) ?? INIT
  })
  return Math.min(RESTART, Math.max(INIT, ...times) + SECOND)
}
