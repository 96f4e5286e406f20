import type { Duration, Instant } from '../model/time.ts'
import type { Authorities } from './authority.ts'
import { catalogOf, type Catalog } from './catalog.ts'
import type { Service } from './call.ts'
import type { PlaneUrls } from './configuration.ts'
import { connectorEngine } from './connector.ts'
import { directorEngine } from './director.ts'
import type { EventLog } from './events.ts'
import type { GraphqlEngine } from './graphql.ts'
import type { KnobBoard } from './knob-board.ts'
import type { Landscape } from './landscape.ts'
import type { PlaneStore } from './store.ts'

export type Lifetimes = { token: Duration; certificate: Duration }

/** The last report of a runtime. */
export type RuntimeReport = { at: Instant; report: unknown }

/** What all parts of one plane share. */
export type PlaneCore = {
  readonly store: PlaneStore
  readonly board: KnobBoard
  readonly events: EventLog
  readonly landscape: LandscapeHolder
  readonly authorities: Authorities
  readonly lifetimes: Lifetimes
  readonly now: () => Instant
  /** What runtimes told the Runtime Director last, by id. */
  readonly reports: Map<string, RuntimeReport>
  /** Known once the servers listen. */
  urls: PlaneUrls
}

/** The landscape as it was given, and as it is served after what the admin endpoint changed about it. */
export class LandscapeHolder {
  #given: Landscape
  #catalog: Catalog
  #changed = new AbortController()
  readonly #store: PlaneStore

  constructor(given: Landscape, store: PlaneStore) {
    this.#given = given
    this.#store = store
    this.#catalog = catalogOf(this.#merged())
  }

  /** Aborted when another landscape is served. */
  get changed(): AbortSignal {
    return this.#changed.signal
  }

  get catalog(): Catalog {
    return this.#catalog
  }

  /** Another landscape from now on; what the admin endpoint changed stays on top of it. */
  replace(given: Landscape): void {
    this.#given = given
    this.refresh()
  }

  /** To be called when the overlay in the state has changed. */
  refresh(): void {
    this.#catalog = catalogOf(this.#merged())
    this.#changed.abort()
    this.#changed = new AbortController()
  }

  #merged(): Landscape {
    const { overlay } = this.#store.state
    return {
      ...this.#given,
      runtimes: merge(this.#given.runtimes, overlay.runtimes),
      applications: merge(this.#given.applications, overlay.applications),
    }
  }
}

function merge<T extends { id: string }>(given: T[], overlay: Record<string, T | null>): T[] {
  const kept = given.filter(({ id }) => !Object.hasOwn(overlay, id))
  return [...kept, ...Object.values(overlay).filter((item) => item !== null)]
}

const engines: { [S in Service]?: GraphqlEngine } = {}

/** The GraphQL engine of a service. They hold no state, so all planes of a process share them and their documents. */
export function engineOf(service: Service): GraphqlEngine {
  engines[service] ??= service === 'connector' ? connectorEngine() : directorEngine()
  return engines[service]
}
