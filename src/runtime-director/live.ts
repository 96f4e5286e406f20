import type { RuntimeFile } from '../config/desired.ts'
import { AgentError } from '../model/problem.ts'
import { SECOND } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Following } from '../storage/storage.ts'
import { admittedIn } from './identities.ts'
import { revisionOf } from './keeper.ts'
import type { Keeper } from './keeper.ts'
import { layersOf } from './rollout.ts'
import { advance } from './steps.ts'
import type { DesiredState } from './state.ts'
import { contentOf, versionsOf } from './versions.ts'
import type { Version } from './versions.ts'
import { layerFor, viewOf } from './view.ts'
import type { Answer, Layer, VersionView } from './view.ts'

/*
 * What one server knows: the versions that count, decrypted, and who may ask for which runtime. Agents are answered from
 * here and never from the store. It is read anew when another server or a command announces a change, and looked at every
 * ten seconds whatever is announced, so that a lost announcement is late and not lost.
 */

export type LiveLayer = Layer & { rollout: Version }

export interface Live {
  /** Newest first. */
  layers(): readonly LiveLayer[]
  /** The runtime that a certificate is for. */
  ownerOf(cn: string): string | undefined
  /** Whether some certificate is for this runtime. */
  hasIdentity(runtime: string): boolean
  /** How the newest version describes a runtime, else an older one that counts. */
  runtime(id: string): RuntimeFile | undefined
  newestState(): DesiredState | undefined
  answer(id: string): Answer | undefined
  etag(id: string): string | undefined
  /** Reads the store now, if it has changed. Throws storage_failed, store_key_wrong. */
  refresh(): Promise<void>
  /** Calls back after each change, until the returned function is called. */
  onChange(changed: () => void): () => void
  /** When the store was last looked at without a failure. */
  lookedAt(): Instant | undefined
  /** Why the store could not be read; undefined while it can. */
  problem(): AgentError | undefined
}

const LOOK_EVERY: Duration = 10 * SECOND
/** SQLite announces nothing, but tells at no cost whether anybody has written. */
const TOUCHED_EVERY: Duration = SECOND / 4

export type LiveLoop = Live & {
  /** Keeps up with the store until the signal. */
  run(signal: AbortSignal): Promise<void>
}

type Known = {
  revision: number
  layers: LiveLayer[]
  owners: Map<string, string>
  withIdentity: Set<string>
}

export function openLive(keeper: Keeper, { clock, log }: { clock: Clock; log: Log }): LiveLoop {
  const { storage } = keeper
  let known: Known = { revision: -1, layers: [], owners: new Map(), withIdentity: new Set() }
  let lookedAt: Instant | undefined
  let failed: AgentError | undefined
  let reading: Promise<void> | undefined
  let wake: AbortController | undefined
  const listeners = new Set<() => void>()

  const read = async (): Promise<void> => {
    const found = await storage.read(async (db) => {
      const revision = await revisionOf(db)
      if (revision === known.revision) return undefined
      return { revision, versions: await versionsOf(db), admitted: await admittedIn(db) }
    })
    if (found !== undefined) {
      const layers = await layersFrom(keeper, layersOf(found.versions), known.layers)
      known = { revision: found.revision, layers, ...ownersOf(layers[0]?.view, found.admitted) }
      for (const listener of listeners) listener()
    }
    lookedAt = clock.now()
  }
  /** One at a time: what begins later than a change has it. */
  const refresh = async (): Promise<void> => {
    while (reading !== undefined) await reading.catch(() => undefined)
    reading = read().finally(() => (reading = undefined))
    await reading
  }
  const look = async (): Promise<void> => {
    try {
      await refresh()
      const newest = known.layers[0]?.rollout
      if (newest !== undefined) await advance(keeper, newest)
      if (failed !== undefined) log.info('the store can be read again')
      failed = undefined
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown
      if (failed?.message !== thrown.message)
        log.error(thrown.message, { code: thrown.code, hint: thrown.hint })
      failed = thrown
    }
  }
  return {
    layers: () => known.layers,
    ownerOf: (cn) => known.owners.get(cn),
    hasIdentity: (runtime) => known.withIdentity.has(runtime),
    runtime: (id) => layerFor(known.layers, id)?.view.runtime(id),
    newestState: () => known.layers[0]?.view.state,
    answer: (id) => layerFor(known.layers, id)?.view.answer(id),
    etag: (id) => layerFor(known.layers, id)?.view.etag(id),
    refresh,
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    lookedAt: () => lookedAt,
    problem: () => failed,
    async run(signal) {
      let following: Following | undefined
      let last = -LOOK_EVERY
      let waited = 0
      const events = {
        changed: () => {
          last = -LOOK_EVERY
          wake?.abort()
        },
        lost: () => (following = undefined),
      }
      while (!signal.aborted) {
        // It is told again only after it was lost, so this is no second try of the same call.
        following ??= await storage.follow(events).catch(() => undefined)
        const touched = await storage.touched().catch(() => true)
        if (touched || waited - last >= LOOK_EVERY) {
          last = waited
          await look()
        }
        wake = new AbortController()
        const pause = storage.dialect === 'sqlite' ? TOUCHED_EVERY : LOOK_EVERY
        await clock.sleep(pause, AbortSignal.any([signal, wake.signal]))
        waited += pause
      }
      await following?.close()
    },
  }
}

/** Decrypts only what is not known yet: what a version holds never changes. */
async function layersFrom(
  keeper: Keeper,
  versions: readonly Version[],
  known: readonly LiveLayer[],
): Promise<LiveLayer[]> {
  const layers: LiveLayer[] = []
  for (const rollout of versions) {
    const same = known.find(
      (layer) => layer.rollout.number === rollout.number && layer.rollout.digest === rollout.digest,
    )
    const state = same?.view.state ?? (await contentOf(keeper, rollout.number))
    // Gone between two reads: the next look sees what is there instead.
    if (state !== undefined)
      layers.push({ rollout, view: same?.view ?? viewOf(rollout.number, state) })
  }
  return layers
}

function ownersOf(
  newest: VersionView | undefined,
  admitted: ReadonlyMap<string, string>,
): Pick<Known, 'owners' | 'withIdentity'> {
  const owners = new Map(admitted)
  for (const { id, identities } of newest?.state.runtimes ?? [])
    for (const cn of identities) owners.set(cn, id)
  return { owners, withIdentity: new Set(owners.values()) }
}
