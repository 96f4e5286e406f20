import type { Instant } from '../model/time.ts'
import { sortKeys, type Catalog } from './catalog.ts'
import type { LandscapeRuntime } from './landscape.ts'
import type { PlaneStore, RuntimeRecord } from './store.ts'

/** A runtime by id. */
export function runtimeById(catalog: Catalog, id: string): LandscapeRuntime | undefined {
  return catalog.landscape.runtimes.find((runtime) => runtime.id === id)
}

/** What was learned about a runtime; made when it is asked for the first time. */
export function recordOf(store: PlaneStore, id: string, now: Instant): RuntimeRecord {
  const known = store.state.runtimes[id]
  if (known !== undefined) return known
  const record: RuntimeRecord = { created: now, labels: {} }
  return store.change((state) => (state.runtimes[id] = record))
}

/** The labels of a runtime: as registered, `isNormalized` and formations added, then what was set and deleted since. */
export function labelsOf(
  runtime: LandscapeRuntime,
  record: RuntimeRecord,
): Record<string, unknown> {
  const { formations } = runtime
  const labels: Record<string, unknown> = {
    isNormalized: 'true',
    ...runtime.labels,
    ...(formations.length === 0 ? {} : { scenarios: formations }),
    ...record.labels,
  }
  return sortKeys(Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== null)))
}

/** Any call over its certificate marks a runtime CONNECTED. */
export function markConnected(store: PlaneStore, id: string, now: Instant): void {
  const record = recordOf(store, id, now)
  if (record.connected !== undefined) return
  store.change(() => {
    record.connected = now
  })
}
