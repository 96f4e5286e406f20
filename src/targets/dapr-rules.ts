import type { Observed, ObservedObject } from '../model/target.ts'

/** What decides how things look in Dapr, wherever that is: nothing of it knows of files or clusters. */
export type DaprRules = {
  /** Whether applications become objects of Dapr; documents of the Runtime Director always do. */
  applications: boolean
  /**
   * When an API gets an HTTPEndpoint, each change of which restarts daprd: never, where Dapr has no other way (OAuth), or
   * always; `all` also where it refers to secrets, and then daprd restarts at any change at all.
   */
  endpoints: 'none' | 'needed' | 'all'
  /** What to ask a token for: Compass knows none, and Dapr's middleware takes none for an error. */
  oauthScopes: string | undefined
  /** Ids of the applications of Dapr that may use what we write; empty: all. */
  scopes: readonly string[]
  /** Which types of Components the Runtime Director may bring; `*` stands for any characters. */
  types: readonly string[]
  /** Name of the secret store that holds our secrets; undefined: Kubernetes' own. */
  store: string | undefined
}

/** What is around our objects in a place. */
export type DaprSurroundings = {
  /** Names that somebody else has, as `Component crm`, with where. */
  taken: ReadonlyMap<string, string>
  /** Secret stores that somebody else has defined. */
  stores: ReadonlySet<string>
  /** Names of the handlers of all pipelines that we know of. */
  pipeline: ReadonlySet<string>
}

const ALONE: DaprSurroundings = { taken: new Map(), stores: new Set(), pipeline: new Set() }

/** What a target sees: its objects, and what is around them. */
export class ObservedDapr implements Observed {
  readonly objects: ReadonlyMap<string, ObservedObject>
  readonly around: DaprSurroundings

  constructor(objects: ReadonlyMap<string, ObservedObject>, around: DaprSurroundings = ALONE) {
    this.objects = objects
    this.around = around
  }
}

export function surroundingsOf(observed: Observed): DaprSurroundings {
  return observed instanceof ObservedDapr ? observed.around : ALONE
}
