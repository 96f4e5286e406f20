import type { Document, RuntimeFile } from '../config/desired.ts'
import { sha256 } from '../model/digest.ts'
import { percentOf, places } from './rollout.ts'
import type { Rollout } from './rollout.ts'
import { compose, select, withSecrets } from './state.ts'
import type { DesiredState } from './state.ts'

/** What a runtime is answered. `etag` is without quotes: the SHA-256 of the body. */
export type Answer = { body: string; etag: string }

/** One version as it is served. */
export interface VersionView {
  readonly number: number
  readonly state: DesiredState
  runtime(id: string): RuntimeFile | undefined
  /** Undefined: the version has no such runtime. */
  answer(id: string): Answer | undefined
  etag(id: string): string | undefined
  /** What a runtime gets, secrets by name. */
  documents(id: string): Document[]
  place(id: string): number | undefined
}

/**
 * Puts together what each runtime gets, when it is asked for. Runtimes for which the same configurations and overlays are
 * share all but their ids, so that ten thousand of them cost little more than their ETags.
 */
export function viewOf(number: number, state: DesiredState): VersionView {
  const runtimes = new Map(state.runtimes.map((runtime) => [runtime.id, runtime]))
  let placeOf: Map<string, number> | undefined
  const shared = new Map<string, string>()
  const dataOf = new Map<string, string>()
  const etags = new Map<string, string>()
  const bodyOf = (runtime: RuntimeFile): string => {
    let data = dataOf.get(runtime.id)
    if (data === undefined) {
      const selection = select(state, runtime)
      data = shared.get(selection.key)
      if (data === undefined) {
        const documents = compose(state, selection).map(({ document }) => document)
        data = JSON.stringify({ resources: withSecrets(documents, state.secrets) })
        shared.set(selection.key, data)
      }
      dataOf.set(runtime.id, data)
    }
    return `{"id":${JSON.stringify(runtime.id)},"data":${data}}`
  }
  return {
    number,
    state,
    runtime: (id) => runtimes.get(id),
    place: (id) => (placeOf ??= places(runtimes.keys())).get(id),
    documents(id) {
      const runtime = runtimes.get(id)
      if (runtime === undefined) return []
      return compose(state, select(state, runtime)).map(({ document }) => document)
    },
    answer(id) {
      const runtime = runtimes.get(id)
      if (runtime === undefined) return undefined
      const body = bodyOf(runtime)
      const etag = etags.get(id) ?? sha256(body)
      etags.set(id, etag)
      return { body, etag }
    },
    etag(id) {
      return etags.get(id) ?? this.answer(id)?.etag
    },
  }
}

/** A version that still counts, and how far it has come. */
export type Layer = { rollout: Rollout; view: VersionView }

/** The layer that a runtime is on: `layers` are newest first. Undefined: none of them has it for this runtime. */
export function layerFor(layers: readonly Layer[], id: string): Layer | undefined {
  const newest = layers[0]
  // Mostly there is one only, and nobody has to know places.
  if (layers.length === 1 && newest !== undefined && percentOf(newest.rollout) >= 100)
    return newest.view.runtime(id) === undefined ? undefined : newest
  const known = layers.find(({ view }) => view.place(id) !== undefined)
  const place = known?.view.place(id)
  if (newest === undefined || place === undefined) return undefined
  const reached = layers.find(({ rollout, view }) => percentOf(rollout) > (view.place(id) ?? place))
  if (reached?.view.runtime(id) !== undefined) return reached
  // A runtime that the layer did not know yet has nothing to lose; one that the newest has no more is gone.
  return reached !== newest && newest.view.runtime(id) !== undefined ? newest : undefined
}

/** How two states differ, in runtimes. */
export type Difference = {
  added: string[]
  removed: string[]
  changed: string[]
  /** Of the changed ones: those that had documents and have none now. */
  emptied: string[]
}

export function differenceOf(before: VersionView | undefined, after: VersionView): Difference {
  const difference: Difference = { added: [], removed: [], changed: [], emptied: [] }
  for (const { id } of after.state.runtimes) {
    if (before?.runtime(id) === undefined) difference.added.push(id)
    else if (before.etag(id) !== after.etag(id)) {
      difference.changed.push(id)
      if (before.documents(id).length > 0 && after.documents(id).length === 0)
        difference.emptied.push(id)
    }
  }
  for (const { id } of before?.state.runtimes ?? [])
    if (after.runtime(id) === undefined) difference.removed.push(id)
  return difference
}
